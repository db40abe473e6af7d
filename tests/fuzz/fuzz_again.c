/*
 * AGAIN of a hostile side: the first octet says how many frames were sealed, in sixteens, what
 * follows is bodies, each behind its length. Whatever they ask for, each frame that is sent again
 * is one that was sealed, octet for octet, and there are no more of them than the share.
 */
#include <stdlib.h>
#include <string.h>

#include "common/carrier/again.h"
#include "common/carrier/seal.h"

enum { FRAMES_EACH = 16, FRAMES_MAX = 65536 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool condition)
{
    if (!condition)
        abort();
}

static size_t length_of(uint64_t counter)
{
    return SEAL_OVER_OCTETS + counter * 7 % 1400;
}

static void keep(struct again *again, uint64_t *next, unsigned count)
{
    uint8_t frame[SEAL_FRAME_MAX_OCTETS];

    for (; count > 0; count--, ++*next) {
        memset(frame, (int)(*next % 251), sizeof(frame));
        memcpy(frame, next, sizeof(*next));
        again_keep(again, *next, frame, length_of(*next));
    }
}

static unsigned repeat(struct again *again, uint64_t next)
{
    const uint8_t *frame;
    uint64_t counter;
    unsigned count = 0;
    size_t length;

    while ((frame = again_next(again, &length))) {
        memcpy(&counter, frame, sizeof(counter));
        expect(counter < next && length == length_of(counter));
        for (size_t i = sizeof(counter); i < length; i++)
            expect(frame[i] == counter % 251);
        count++;
    }
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct again *again = again_new();
    uint64_t next = 0, repeated = 0;
    struct reader r;
    unsigned count;

    expect(again != NULL);
    if (size > 0) {
        count = data[0] * FRAMES_EACH;
        for (data++, size--; size > 0;) {
            size_t length = data[0] < size - 1 ? data[0] : size - 1;

            reader_init(&r, data + 1, length);
            (void)again_asked(again, &r);
            repeated += repeat(again, next);
            keep(again, &next, next < FRAMES_MAX ? count : 0);
            data += 1 + length;
            size -= 1 + length;
        }
    }
    expect(repeated == again_repeated(again));
    expect(repeated <= next / AGAIN_SHARE + AGAIN_CREDIT);
    again_free(again);
    return 0;
}
