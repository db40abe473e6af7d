/*
 * When to connect again: at once after a tunnel that had been up, then after a
 * random time between 0 and a bound that doubles (full jitter), 200 ms to 10 s.
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

/* Microseconds to wait before the next attempt; counts the failure. */
uint64_t backoff_next(struct backoff *backoff);
/* The bound of the wait after that many failures in a row. */
uint64_t backoff_bound(unsigned failures);

#endif
