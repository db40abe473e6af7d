#include "common/base/random.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

void random_bytes(void *out, size_t length)
{
    uint8_t *p = out;

    while (length > 0) {
        ssize_t n = getrandom(p, length, 0);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            abort();
        p += n;
        length -= (size_t)n;
    }
}

uint32_t random_u32(void)
{
    uint32_t value;

    random_bytes(&value, sizeof(value));
    return value;
}

uint64_t random_u64(void)
{
    uint64_t value;

    random_bytes(&value, sizeof(value));
    return value;
}

uint32_t random_below(uint32_t below)
{
    uint32_t limit = UINT32_MAX - UINT32_MAX % below;
    uint32_t value;

    do
        value = random_u32();
    while (value >= limit);
    return value % below;
}

void wipe(void *memory, size_t length)
{
    if (length > 0)
        explicit_bzero(memory, length);
}
