/* The fields of the messages of two sites: calls are placed, answered, and ended by them. */
#ifndef INNER_RELAY_SITEMESSAGE_H
#define INNER_RELAY_SITEMESSAGE_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/protocol.h"
#include "common/base/reader.h"
#include "common/base/writer.h"

/* Each type has its fields; others are left 0. */
struct site_message {
    uint64_t number;                  /* all but KEPT, TAKES, GIVES and ASK */
    const char *sdp;                  /* PLACE, ANSWER; points into what was read */
    size_t sdp_length;                /* 1 to MESSAGE_SDP_OCTETS */
    char reason[MESSAGE_REASON_SIZE]; /* REFUSE, END; "": not said */
    uint32_t label;                   /* TAKES */
    uint8_t media[MESSAGE_MEDIA_OCTETS], proof[MESSAGE_MEDIA_OCTETS]; /* TAKES, GIVES */
};

void sitemessage_put(struct writer *w, uint8_t type, const struct site_message *message);
/*
 * 0 or ERR_PROTOCOL: fields that are missing, twice there or of another message, too.
 * ERR_UNSUPPORTED: a type of a later version, to be passed over.
 */
int sitemessage_get(uint8_t type, struct reader *r, struct site_message *message);
/* What is not printable US-ASCII, or too long, is left out. */
void sitemessage_set_reason(struct site_message *message, const char *reason);

#endif
