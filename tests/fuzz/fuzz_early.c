/*
 * A receiver with a raw socket and the kernel's, and a network that loses, repeats, reorders,
 * merges and cuts segments, and forges some. What must hold (tests/unit/earlyworld.h): each frame
 * is opened once, nothing is discarded that was not opened, and in the end all came.
 *
 * Input: the first sequence number, then steps of three octets: what, which, how much; a forged
 * segment has its octets behind it.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/unit/earlyworld.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STEPS_MAX = 600 };

enum step { FRAME, CUT, CUT_INSIDE, RAW, RAW_MERGED, KERNEL, READ, FORGED, BENT, STEP_COUNT };

static void expect(bool condition)
{
    if (!condition)
        abort();
}

/* A segment of the stream with one bit that is not as it was. */
static void bend(struct earlyworld *world, const struct earlyworld_segment *segment, size_t how)
{
    size_t length = segment->end - segment->start;
    uint8_t *copy = malloc(length);

    expect(copy != NULL);
    memcpy(copy, world->stream + segment->start, length);
    copy[how * 7 % length] ^= (uint8_t)(1u << how % 8);
    earlyworld_forged(world, world->sequence + (uint32_t)segment->start, copy, length);
    free(copy);
}

static void at_segment(struct earlyworld *world, uint8_t what, size_t which, size_t how)
{
    size_t first = which % world->segment_count, count = 1;

    switch (what) {
    case RAW_MERGED:
        count += how % 5;
        if (count > world->segment_count - first)
            count = world->segment_count - first;
        earlyworld_raw(world, first, count);
        break;
    case RAW:
        earlyworld_raw(world, first, 1);
        break;
    case BENT:
        bend(world, &world->segments[first], how);
        break;
    default:
        earlyworld_kernel(world, first);
        break;
    }
}

/* Returns how many octets it took. */
static size_t do_step(struct earlyworld *world, const uint8_t *step, size_t left)
{
    uint8_t what = step[0] % STEP_COUNT;
    size_t forged = step[2] < left - 3 ? step[2] : left - 3;

    switch (what) {
    case FRAME:
        (void)earlyworld_frame(world, step[2]);
        break;
    case CUT:
        (void)earlyworld_cut(world, 0);
        break;
    case CUT_INSIDE:
        (void)earlyworld_cut(world, 1u + step[2]);
        break;
    case READ:
        earlyworld_read(world, 1u + step[1] * 8u);
        break;
    case FORGED:
        earlyworld_forged(world, world->sequence + step[1] * 16u, step + 3, forged);
        return 3 + forged;
    default:
        if (world->segment_count > 0)
            at_segment(world, what, step[1], step[2]);
        break;
    }
    return 3;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct earlyworld *world;
    unsigned steps = 0;
    size_t at = 4;

    if (size < 4)
        return 0;
    world = earlyworld_new((uint32_t)data[0] << 24 | (uint32_t)data[1] << 16 |
                           (uint32_t)data[2] << 8 | data[3]);
    while (at + 3 <= size && steps++ < STEPS_MAX)
        at += do_step(world, data + at, size - at);
    (void)earlyworld_cut(world, 0);
    for (size_t i = 0; i < world->segment_count; i++)
        earlyworld_kernel(world, i);
    earlyworld_read(world, 4096);
    expect(world->cut < world->written || earlyworld_opened(world) == world->frame_count);
    expect(world->discarded + world->read == world->position);
    earlyworld_free(world);
    return 0;
}
