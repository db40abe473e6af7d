/* The bodies of STREAM-OPEN, STREAM-DATA, STREAM-CREDIT, STREAM-END and STREAM-RESET. */
#ifndef COMMON_TUNNEL_STREAMWIRE_H
#define COMMON_TUNNEL_STREAMWIRE_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/addr.h"
#include "common/base/protocol.h"
#include "common/base/reader.h"
#include "common/base/writer.h"

/* Each frame has the number, and the fields of its type; others are left 0. */
struct stream_frame {
    uint32_t number;
    char forward[NAME_SIZE];         /* OPEN */
    struct addr client, server;      /* OPEN; family 0: not said */
    const uint8_t *data;             /* DATA; points into what was read */
    size_t length;                   /* DATA: 1 to STREAM_DATA_OCTETS */
    uint32_t credit;                 /* CREDIT: 1 to STREAM_WINDOW_OCTETS */
    char reason[STREAM_REASON_SIZE]; /* RESET; "": not said */
};

void streamwire_put(struct writer *w, uint8_t type, const struct stream_frame *frame);
/* 0 or ERR_PROTOCOL: fields that are missing, twice there or of another type of frame, too. */
int streamwire_get(uint8_t type, struct reader *r, struct stream_frame *frame);

#endif
