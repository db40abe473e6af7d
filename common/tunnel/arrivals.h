/*
 * STATS: when the dmz-relay's media ports last heard anybody, so that the
 * inner-relay can tell a sender that is silent from a firewall that swallows all.
 */
#ifndef COMMON_TUNNEL_ARRIVALS_H
#define COMMON_TUNNEL_ARRIVALS_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/protocol.h"
#include "common/base/reader.h"
#include "common/base/writer.h"
#include "common/tunnel/hello.h"

/* The age of what never came. */
#define ARRIVALS_NEVER UINT64_MAX

struct arrivals_port {
    char name[NAME_SIZE]; /* of the listener */
    uint64_t age_us[2];   /* of the last datagram to the port for RTP, and for RTCP */
};

struct arrivals {
    size_t count;
    struct arrivals_port port[HELLO_LISTENERS_MAX];
};

void arrivals_put(struct writer *w, const struct arrivals *arrivals);
/* 0, or ERR_PROTOCOL for what no honest dmz-relay sends. */
int arrivals_get(struct reader *r, struct arrivals *arrivals);

#endif
