/*
 * How long an event loop lets packets gather before it looks at its sockets again. A turn costs a
 * wake-up of this process and a TLS record, which is a wake-up of the other relay: with few packets
 * in it, more than the packets themselves. The first packet after a pause never waits; one that
 * comes right behind it waits until the interval since the last look is over. auto goes by the
 * packets that come by UDP: those of the tunnel have gathered at the other relay.
 */
#ifndef COMMON_DAEMON_COALESCE_H
#define COMMON_DAEMON_COALESCE_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    COALESCE_AUTO = -1,
    COALESCE_MAX_US = 1000,
    COALESCE_AUTO_US = 500, /* what auto waits under load */
    /* Packets per second by UDP from which auto waits, and below which it stops. */
    COALESCE_AUTO_ON = 8000,
    COALESCE_AUTO_OFF = 6000,
    COALESCE_WINDOW_US = 20 * 1000, /* they are counted for so long at least */
};

struct coalesce {
    struct ev_loop *loop;
    ev_check after_wait;
    int setting;                    /* microseconds, or COALESCE_AUTO */
    unsigned interval_us;           /* in force */
    bool rests;                     /* the owner waits, and libev does not */
    uint64_t looked_us;             /* when the loop last came back from waiting */
    uint64_t (*packets)(void *ctx); /* that have come by UDP so far */
    void *ctx;
    uint64_t began_us, began_packets, turns; /* of the window */
    uint64_t packets_per_s, turns_per_s;     /* of the last one */
};

/* To be called in the thread that runs the loop, whose timers become exact to some microseconds. */
void coalesce_start(struct coalesce *coalesce, struct ev_loop *loop, int setting,
                    uint64_t (*packets)(void *ctx), void *ctx);
/*
 * The same for a loop that has a release callback (ev_set_loop_release_cb): libev would wait before
 * it calls that, with the lock held. There the callback waits for so many microseconds without it.
 */
void coalesce_start_resting(struct coalesce *coalesce, struct ev_loop *loop, int setting,
                            uint64_t (*packets)(void *ctx), void *ctx);
uint64_t coalesce_left_us(const struct coalesce *coalesce);
void coalesce_stop(struct coalesce *coalesce);
/* At any time. */
void coalesce_set(struct coalesce *coalesce, int setting);
/* The interval that follows on one in force, with so many packets per second; for tests, too. */
unsigned coalesce_interval(int setting, unsigned interval_us, uint64_t packets_per_s);

#endif
