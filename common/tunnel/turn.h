/*
 * No turn of the event loop may take longer than a millisecond: media that comes meanwhile waits.
 * Whoever has much to do does one piece of it, and another one while the turn is not over; the rest
 * is for the next turn, when all others have had theirs.
 */
#ifndef COMMON_TUNNEL_TURN_H
#define COMMON_TUNNEL_TURN_H

#include <ev.h>
#include <stdbool.h>

/* The half of a millisecond is left for those whose piece comes last. */
enum { TURN_US = 400 };

/*
 * To be asked inside a callback. libev compares its clocks twice a second: after a step of the wall
 * clock turns may seem over until then, in which each does one piece all the same.
 */
static inline bool turn_is_over(struct ev_loop *loop)
{
    double took_s = ev_time() - ev_now(loop);

    /* The clocks differ by some microseconds in any case. */
    return took_s <= -TURN_US / 1e6 || took_s >= TURN_US / 1e6;
}

#endif
