/* A token bucket: how many octets a sender may bring in per second. */
#ifndef COMMON_SA_RATE_H
#define COMMON_SA_RATE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/protocol.h"

/* A pause that is longer counts as this one: the product with the highest rate fits 64 bits. */
enum { RATE_ELAPSED_MAX_US = 1000 * 1000 * 1000 };

struct rate {
    uint32_t octets_per_second; /* 0: no bound */
    uint64_t tokens;            /* in octets * 10^6 */
    uint64_t last_us;
};

/*
 * A key frame of video is a burst: half a second's worth may come at once, and
 * one packet in any case, or a large one would never pass a low rate.
 */
static inline uint64_t rate_depth(const struct rate *rate)
{
    uint64_t half_second = (uint64_t)rate->octets_per_second * 500000;
    uint64_t packet = (uint64_t)PACKET_MAX_OCTETS * 1000000;

    return half_second > packet ? half_second : packet;
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
    if (elapsed > RATE_ELAPSED_MAX_US)
        elapsed = RATE_ELAPSED_MAX_US;
    rate->tokens += elapsed * rate->octets_per_second;
    if (rate->tokens > rate_depth(rate))
        rate->tokens = rate_depth(rate);
    rate->last_us += now_us > rate->last_us ? now_us - rate->last_us : 0;
    if (rate->tokens < length * 1000000)
        return false;
    rate->tokens -= length * 1000000;
    return true;
}

#endif
