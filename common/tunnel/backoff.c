#include "common/tunnel/backoff.h"

#include "common/base/protocol.h"
#include "common/base/random.h"

uint64_t backoff_bound(unsigned failures, uint64_t max_us)
{
    uint64_t bound = BACKOFF_MIN_US;

    if (failures == 0)
        return 0;
    while (--failures > 0 && bound < max_us)
        bound *= 2;
    return bound < max_us ? bound : max_us;
}

uint64_t backoff_next(struct backoff *backoff, uint64_t max_us)
{
    uint64_t bound = backoff_bound(backoff->failures, max_us);

    if (backoff->failures < 32)
        backoff->failures++;
    return bound ? random_below((uint32_t)bound + 1) : 0;
}
