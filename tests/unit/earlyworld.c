#include "tests/unit/earlyworld.h"

#include <stdlib.h>
#include <string.h>

static void expect(bool condition)
{
    if (!condition)
        abort();
}

struct earlyworld *earlyworld_new(uint32_t sequence)
{
    static const uint8_t secrets[2][SEAL_SECRET_OCTETS] = {{1, 2, 3}, {4, 5, 6}};
    struct earlyworld *world = calloc(1, sizeof(*world));

    expect(world != NULL);
    world->stream = malloc(EARLYWORLD_OCTETS);
    expect(world->stream && seal_store_new(&world->store) == 0);
    expect(seal_new(&world->near, world->store, 16, secrets[0], secrets[1]) == 0);
    expect(seal_new(&world->far, world->store, 16, secrets[1], secrets[0]) == 0);
    early_init(&world->early);
    world->sequence = sequence;
    return world;
}

void earlyworld_free(struct earlyworld *world)
{
    seal_free(world->near);
    seal_free(world->far);
    seal_store_free(world->store);
    free(world->stream);
    free(world);
}

/* ---------------------------------------------------------------- the sender */

bool earlyworld_frame(struct earlyworld *world, size_t length)
{
    static const uint8_t packet[PACKET_MAX_OCTETS];
    struct earlyworld_frame *frame = &world->frames[world->frame_count];
    int octets;

    if (world->frame_count == EARLYWORLD_FRAMES ||
        world->written + SEAL_OVER_OCTETS + length > EARLYWORLD_OCTETS)
        return false;
    octets = seal_put(world->near, FRAME_MEDIA, 7, packet, length, world->stream + world->written);
    expect(octets > 0);
    *frame =
        (struct earlyworld_frame){.start = world->written, .end = world->written + (size_t)octets};
    world->written = frame->end;
    world->frame_count++;
    return true;
}

bool earlyworld_cut(struct earlyworld *world, size_t length)
{
    size_t left = world->written - world->cut;

    if (left == 0 || world->segment_count == EARLYWORLD_SEGMENTS)
        return false;
    if (length == 0 || length > left)
        length = left;
    world->segments[world->segment_count++] =
        (struct earlyworld_segment){.start = world->cut, .end = world->cut + length};
    world->cut += length;
    return true;
}

/* ---------------------------------------------------------------- the receiver, early */

/* seal_open() spoils what it opens, as in the daemons' buffers. */
static enum seal_verdict open_frame(struct earlyworld *world, const uint8_t *frame, size_t length,
                                    bool early)
{
    uint8_t text[SEAL_TEXT_MAX_OCTETS + SEAL_TAG_OCTETS];
    struct seal_opened opened = {.counter = 0};
    enum seal_verdict verdict = seal_open(world->far, frame, length, text, &opened);
    struct earlyworld_frame *of;

    if (verdict == SEAL_FORGED)
        world->tries++;
    if (verdict != SEAL_OPENED)
        return verdict;
    expect(opened.counter < world->frame_count);
    of = &world->frames[opened.counter];
    expect(!of->opened);
    of->opened = true;
    of->early = early;
    return verdict;
}

static void walk_through(struct earlyworld *world, uint32_t sequence, const uint8_t *data,
                         size_t length)
{
    uint8_t *copy = malloc(length ? length : 1);
    struct early_walk walk;
    const uint8_t *frame;
    size_t octets;

    expect(copy != NULL);
    if (length > 0)
        memcpy(copy, data, length);
    world->tries = 0;
    early_segment(&walk, &world->early, sequence, copy, length);
    while ((frame = early_next(&walk, &octets)) != NULL) {
        uint64_t counter = seal_counter_of(frame);

        expect(frame >= copy && frame + octets <= copy + length);
        early_judge(&walk, open_frame(world, frame, octets, true), counter);
    }
    expect(world->tries <= 2);
    free(copy);
}

void earlyworld_raw(struct earlyworld *world, size_t first, size_t count)
{
    size_t start = world->segments[first].start, end = world->segments[first + count - 1].end;

    expect(count > 0 && first + count <= world->segment_count);
    walk_through(world, world->sequence + (uint32_t)start, world->stream + start, end - start);
}

void earlyworld_forged(struct earlyworld *world, uint32_t sequence, const uint8_t *data,
                       size_t length)
{
    walk_through(world, sequence, data, length);
}

/* ---------------------------------------------------------------- the receiver, in order */

void earlyworld_kernel(struct earlyworld *world, size_t segment)
{
    world->segments[segment].arrived = true;
    for (size_t i = 0; i < world->segment_count && world->segments[i].arrived; i++) {
        if (world->segments[i].end > world->ready)
            world->ready = world->segments[i].end;
    }
}

/* All frames that touch these octets must have been opened. */
static void expect_opened(const struct earlyworld *world, size_t start, size_t end)
{
    for (size_t i = 0; i < world->frame_count; i++) {
        const struct earlyworld_frame *frame = &world->frames[i];

        expect(frame->opened || frame->end <= start || frame->start >= end);
    }
}

static bool discard(struct earlyworld *world)
{
    size_t skip, there = world->ready - world->position;

    if (world->parsed != world->position)
        return false;
    skip = early_skip(&world->early, world->position);
    if (skip > there)
        skip = there;
    if (skip == 0)
        return false;
    expect_opened(world, world->position, world->position + skip);
    world->position += skip;
    world->parsed = world->position;
    world->discarded += skip;
    early_advance(&world->early, world->position);
    return true;
}

static void parse(struct earlyworld *world)
{
    while (world->parsed < world->position) {
        const uint8_t *at = world->stream + world->parsed;
        size_t left = world->position - world->parsed;
        int octets = seal_length(at, left);
        enum seal_verdict verdict;

        expect(octets >= 0); /* the order of frames is never lost */
        if (octets == 0 || (size_t)octets > left)
            break;
        verdict = open_frame(world, at, (size_t)octets, false);
        expect(verdict == SEAL_OPENED || verdict == SEAL_REPLAYED || verdict == SEAL_OLD);
        early_kernel_frame(&world->early, world->parsed, seal_counter_of(at));
        world->parsed += (size_t)octets;
        early_advance(&world->early, world->parsed);
    }
}

void earlyworld_read(struct earlyworld *world, size_t at_once)
{
    while (world->position < world->ready) {
        size_t there = world->ready - world->position;

        if (discard(world))
            continue;
        if (there > at_once)
            there = at_once;
        world->position += there;
        world->read += there;
        parse(world);
        early_advance(&world->early, world->position);
    }
}

size_t earlyworld_opened(const struct earlyworld *world)
{
    size_t count = 0;

    for (size_t i = 0; i < world->frame_count; i++)
        count += world->frames[i].opened;
    return count;
}
