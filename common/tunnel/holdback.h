/*
 * Of a connection that is read in order, each lost segment holds up all that come behind it for a
 * round trip. With fewer segments fewer are lost: where segments are lost, and there are many
 * packets, these wait until one is full, or for a millisecond. Where segments are read as they
 * come, that is so only while the kernel has what it may not send: after a loss it sends a segment
 * for each that has arrived, whatever is in it. No socket, no clock.
 */
#ifndef COMMON_TUNNEL_HOLDBACK_H
#define COMMON_TUNNEL_HOLDBACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HOLDBACK_US = 1000,
    HOLDBACK_OCTETS = 1200,         /* about a segment */
    HOLDBACK_RATE = 2000,           /* packets/s: with fewer, next to none would come meanwhile */
    HOLDBACK_LOSS_US = 1000 * 1000, /* so long after a segment was repeated the path loses some */
};

/* All zero is a start. */
struct holdback {
    uint64_t since_us, sent; /* when the rate was counted last, and from which number on */
    bool many;
};

/* How things are: times of the clock, 0: never. */
struct holdback_state {
    uint64_t sent;      /* packets of media, in all */
    uint64_t lost_us;   /* when a segment was repeated last */
    uint64_t queued_us; /* the oldest packet that waits */
    size_t octets;      /* that wait, about */
};

/* For how long the packets are to wait still; 0: not at all. */
uint64_t holdback_us(struct holdback *holdback, const struct holdback_state *state,
                     uint64_t now_us);

#endif
