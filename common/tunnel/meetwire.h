/*
 * The bodies of MEET and MEET-END: where two sites, each with a connection of its own to their
 * dmz-relay, find each other, and what the numbers of that connection are. And that of PUNCH: where
 * their tunnels come from.
 */
#ifndef COMMON_TUNNEL_MEETWIRE_H
#define COMMON_TUNNEL_MEETWIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/addr.h"
#include "common/base/protocol.h"
#include "common/base/reader.h"
#include "common/base/writer.h"
#include "common/carrier/track.h"

struct meet_frame {
    uint64_t number;                  /* of the meeting; never 0 */
    char site[SITE_SIZE];             /* MEET, PUNCH: the other one */
    struct addr own, mapped;          /* as the dmz-relay sees this site, and the other; PUNCH: a
                                         port of 0: it does not say */
    bool handed_over;                 /* MEET: start is there, and the dmz-relay is silent */
    struct track_start start;         /* of the dmz-relay's end of the other site's; no rate */
    char reason[MESSAGE_REASON_SIZE]; /* MEET-END, PUNCH; "": not said */
};

void meetwire_put(struct writer *w, uint8_t type, const struct meet_frame *frame);
/* 0 or ERR_PROTOCOL: fields that are missing, twice there or of the other frame, too. */
int meetwire_get(uint8_t type, struct reader *r, struct meet_frame *frame);

#endif
