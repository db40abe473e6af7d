/*
 * When to connect again: at once after a tunnel that had been up, then after a
 * random time between 0 and a bound that doubles (full jitter) from 200 ms on.
 *
 * A dmz-relay that refuses us is asked less and less often, down to every 10 s. A
 * network that does not answer is tried at least every BACKOFF_NETWORK_MAX_US + the time of an
 * attempt: media has to go on within 2 s of its return.
 */
#ifndef COMMON_TUNNEL_BACKOFF_H
#define COMMON_TUNNEL_BACKOFF_H

#include <stdint.h>

struct backoff {
    unsigned failures; /* since the tunnel was last up */
};

static inline void backoff_reset(struct backoff *backoff)
{
    backoff->failures = 0;
}

/* Microseconds to wait before the next attempt, at most max_us; counts the failure. */
uint64_t backoff_next(struct backoff *backoff, uint64_t max_us);
/* The bound of the wait after that many failures in a row. */
uint64_t backoff_bound(unsigned failures, uint64_t max_us);

#endif
