#include "common/tunnel/bulk.h"

#include "common/base/protocol.h"

enum {
    START_RATE = 64 * 1000, /* when the first long queue is seen; octets per second */
    LEAST_RATE = 8 * 1000,
    MOST_RATE = 1000 * 1000 * 1000,
    STEP_US =
        20 * 1000, /* between two changes, or two RTT: what the last one did is seen by then */
    SAVED_US = 20 * 1000, /* for so long tokens are saved, and always for one frame */
};

static void fill(struct bulk *bulk, bool long_queue, uint64_t now_us)
{
    /* Until the queue is shorter it should shrink, not stay. */
    uint64_t rate = long_queue ? LEAST_RATE : bulk->rate;
    uint64_t most = rate * SAVED_US / 1000000;
    uint64_t passed_us = now_us - bulk->filled_us;

    if (passed_us > 1000000)
        passed_us = 1000000;
    bulk->filled_us = now_us;
    bulk->tokens += (int64_t)(rate * passed_us / 1000000);
    if (most < FRAME_MAX_OCTETS)
        most = FRAME_MAX_OCTETS;
    if (bulk->tokens > (int64_t)most)
        bulk->tokens = (int64_t)most;
}

static void lower(struct bulk *bulk, uint64_t now_us)
{
    bulk->lowered_us = bulk->raised_us = now_us;
    bulk->used_up = false;
    if (bulk->rate == 0)
        bulk->rate = START_RATE;
    else if (bulk->rate / 2 > LEAST_RATE)
        bulk->rate /= 2;
    else
        bulk->rate = LEAST_RATE;
}

static void raise(struct bulk *bulk, uint64_t now_us)
{
    bulk->raised_us = now_us;
    bulk->used_up = false;
    if (bulk->rate < MOST_RATE)
        bulk->rate += bulk->rate / 4;
}

size_t bulk_room(struct bulk *bulk, bool calls, bool long_queue, uint32_t rtt_us, uint64_t now_us)
{
    uint64_t step_us = 2 * (uint64_t)rtt_us > STEP_US ? 2 * (uint64_t)rtt_us : STEP_US;

    if (!calls || (bulk->rate == 0 && !long_queue)) {
        bulk->tokens = 0;
        bulk->filled_us = now_us;
        return SIZE_MAX;
    }
    if (long_queue && (bulk->rate == 0 || now_us - bulk->lowered_us >= step_us))
        lower(bulk, now_us);
    else if (!long_queue && bulk->used_up && now_us - bulk->raised_us >= step_us)
        raise(bulk, now_us);
    fill(bulk, long_queue, now_us);
    return bulk->tokens > 0 ? (size_t)bulk->tokens : 0;
}

void bulk_took(struct bulk *bulk, size_t octets)
{
    bulk->tokens -= (int64_t)octets;
    bulk->used_up = bulk->used_up || bulk->tokens <= 0;
}
