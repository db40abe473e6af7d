/*
 * Which side a party of a call is on, and which of our addresses a side is shown. What an SDP says
 * has no say in the first, but that the address of a [peer], or our own outside, is outside.
 */
#ifndef INNER_RELAY_SIDE_H
#define INNER_RELAY_SIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/addr.h"
#include "common/base/protocol.h"
#include "common/sa/sa.h"
#include "inner-relay/inner.h"

/*
 * direction: as the request says, 0: it does not. from: where the message came from, family 0: not
 * said. 0: neither says.
 */
enum sa_side side_of(const struct inner *inner, enum sa_side direction, const struct addr *from);
enum sa_side side_other(enum sa_side side);
/*
 * Does a message come from another network than those of its sender before? known: the side of
 * who sends; before: where the last one came from, family 0: not said.
 */
bool side_contradicts(const struct inner *inner, enum sa_side known, const struct addr *before,
                      const struct addr *from);

/* What an address in an SDP is. */
enum side_place {
    SIDE_ELSEWHERE,
    SIDE_PEER,    /* the RTP address of a [peer] or, outside, our own: RTP' */
    SIDE_OWN_DMZ, /* our own outside, but not the RTP port of a listener there */
    SIDE_OWN      /* our own, inside */
};
enum side_place side_place(const struct inner *inner, unsigned link, const struct addr *addr);
/* Is it our own dmz-relay's? SIDE_PEER may be that or another's. */
bool side_is_self(const struct inner *inner, unsigned link, const struct addr *addr);

/*
 * The listener that a party of that side is shown for an m= line: one for this line, else one for
 * any; of this family, 0: the first. ERR_NOT_FOUND: there is none. name is "" where the SA need
 * not name it.
 */
struct side_shown {
    struct addr rtp; /* RTCP is the next port */
    char name[NAME_SIZE];
};
int side_shown(const struct inner *inner, unsigned link, enum sa_side side, unsigned line,
               uint8_t family, struct side_shown *shown);

#endif
