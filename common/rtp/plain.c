#include "common/rtp/plain.h"

#include <stdint.h>
#include <string.h>

/* Of 127 changes that may be; in ciphertext they are 63.5 with a standard deviation of 5.6. */
enum { CHANGES_MIN = 34 };

#define ONE_PER_LANE UINT64_C(0x0101010101010101)
enum { LANES = sizeof(uint64_t) };
_Static_assert(PLAIN_OCTETS < 256, "the lanes together count up to 255");

static uint64_t load(const uint8_t *octets)
{
    uint64_t word;

    memcpy(&word, octets, sizeof(word));
    return word;
}

bool plain_looks_so(const uint8_t *payload, size_t length)
{
    uint64_t lanes = 0;
    unsigned changes = 0;
    size_t i = 1;

    if (length < PLAIN_OCTETS)
        return false;
    /* Eight at a time, in lanes of an octet: forged packets should cost no more than good ones. */
    for (; i + LANES <= PLAIN_OCTETS; i += LANES)
        lanes += (load(payload + i) ^ load(payload + i - 1)) >> 7 & ONE_PER_LANE;
    for (; i < PLAIN_OCTETS; i++)
        changes += (payload[i] ^ payload[i - 1]) >> 7;
    return changes + (unsigned)(lanes * ONE_PER_LANE >> 56) < CHANGES_MIN;
}
