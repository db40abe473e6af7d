/* A token bucket: how many octets a sender may bring in per second. */
#ifndef COMMON_SA_RATE_H
#define COMMON_SA_RATE_H

#include <stdbool.h>
#include <stdint.h>

struct rate {
    uint32_t octets_per_second; /* 0: no bound */
    uint64_t tokens;            /* in octets * 10^6 */
    uint64_t last_us;
};

/* A key frame of video is a burst: half a second's worth may come at once. */
static inline uint64_t rate_depth(const struct rate *rate)
{
    return (uint64_t)rate->octets_per_second * 500000;
}

static inline void rate_init(struct rate *rate, uint32_t octets_per_second)
{
    rate->octets_per_second = octets_per_second;
    rate->tokens = rate_depth(rate);
    rate->last_us = 0;
}

/* True, and takes the tokens, when length octets may pass now. */
static inline bool rate_take(struct rate *rate, uint64_t length, uint64_t now_us)
{
    uint64_t elapsed = now_us > rate->last_us ? now_us - rate->last_us : 0;

    if (rate->octets_per_second == 0)
        return true;
    if (elapsed > 1000000)
        elapsed = 1000000;
    rate->tokens += elapsed * rate->octets_per_second;
    if (rate->tokens > rate_depth(rate))
        rate->tokens = rate_depth(rate);
    rate->last_us = now_us;
    if (rate->tokens < length * 1000000)
        return false;
    rate->tokens -= length * 1000000;
    return true;
}

#endif
