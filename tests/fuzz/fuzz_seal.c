/*
 * Two ends of a media connection and everything that a network, and who sits in it, can do to the
 * frames in between: the input is a list of steps. What must hold: exactly the frames that were
 * sealed, unaltered, each once and while the window knows of it, are opened; what they hold is what
 * was sealed; the counts are right.
 *
 * Input: steps of three octets: what, which frame, how.
 */
#include "common/carrier/seal.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FRAMES = 64, PACKET = 200, STEPS_MAX = 400, KEY_FRAMES = 1 << SEAL_KEY_BITS };

enum step { PUT, DELIVER, FLIP, CUT, SKIP, OCTETS, STEP_COUNT };

struct frame {
    uint8_t octets[SEAL_OVER_OCTETS + PACKET];
    size_t length; /* 0: none */
    uint64_t counter;
    uint8_t seed;
    bool came;
};

struct run {
    struct seal *near, *far;
    struct frame frame[FRAMES];
    uint64_t end; /* after the highest counter that came */
    uint64_t given;
};

static void expect(bool condition)
{
    if (!condition)
        abort();
}

static void fill(uint8_t *octets, size_t length, uint8_t seed)
{
    for (size_t i = 0; i < length; i++)
        octets[i] = (uint8_t)(seed + i * 3);
}

static void put(struct run *run, struct frame *frame, uint8_t how)
{
    size_t length = how % (PACKET + 1);
    uint8_t packet[PACKET];

    fill(packet, length, how);
    frame->counter = seal_next_counter(run->near);
    frame->seed = how;
    frame->came = false;
    frame->length = SEAL_OVER_OCTETS + length;
    expect(seal_put(run->near, how, how * 1000u, packet, length, frame->octets) ==
           (int)frame->length);
    expect(seal_length(frame->octets, frame->length) == (int)frame->length);
}

/* The octets are in memory of their own: a tool sees what is read beyond them. */
static enum seal_verdict give(struct run *run, const uint8_t *octets, size_t length,
                              struct seal_opened *opened, uint8_t *text)
{
    uint8_t *copy = malloc(length > 0 ? length : 1);
    enum seal_verdict verdict;

    expect(copy != NULL);
    if (length > 0)
        memcpy(copy, octets, length);
    verdict = seal_open(run->far, copy, length, text, opened);
    free(copy);
    run->given++;
    return verdict;
}

static enum seal_verdict expected(const struct run *run, const struct frame *frame)
{
    uint64_t number = frame->counter >> SEAL_KEY_BITS;
    uint64_t known = run->end > 0 ? (run->end - 1) >> SEAL_KEY_BITS : 0;

    if (frame->counter + SEAL_WINDOW_FRAMES < run->end)
        return SEAL_OLD;
    if (frame->came)
        return SEAL_REPLAYED;
    return number > known + 1 ? SEAL_FORGED : SEAL_OPENED;
}

static void deliver(struct run *run, struct frame *frame)
{
    uint8_t text[SEAL_TEXT_MAX_OCTETS], packet[PACKET];
    enum seal_verdict wanted = expected(run, frame);
    struct seal_opened opened;

    if (frame->length == 0)
        return;
    expect(give(run, frame->octets, frame->length, &opened, text) == wanted);
    if (wanted != SEAL_OPENED)
        return;
    fill(packet, opened.length, frame->seed);
    expect(opened.counter == frame->counter && opened.type == frame->seed &&
           opened.label == frame->seed * 1000u &&
           opened.length == frame->length - SEAL_OVER_OCTETS &&
           memcmp(opened.packet, packet, opened.length) == 0);
    frame->came = true;
    if (frame->counter >= run->end)
        run->end = frame->counter + 1;
}

static void flip(struct run *run, const struct frame *frame, uint8_t how)
{
    uint8_t text[SEAL_TEXT_MAX_OCTETS];
    struct frame copy = *frame;
    struct seal_opened opened;
    size_t bit = how * 7u % (8 * (copy.length > 0 ? copy.length : 1));

    if (copy.length == 0)
        return;
    copy.octets[bit / 8] ^= (uint8_t)(1 << bit % 8);
    expect(give(run, copy.octets, copy.length, &opened, text) != SEAL_OPENED);
}

static void cut(struct run *run, const struct frame *frame, uint8_t how)
{
    uint8_t text[SEAL_TEXT_MAX_OCTETS];
    struct seal_opened opened;

    if (frame->length > 0)
        expect(give(run, frame->octets, how % frame->length, &opened, text) == SEAL_TRUNCATED);
}

/* By a little, by about a window, by about a key. */
static void skip(struct run *run, uint8_t how)
{
    static const uint64_t leaps[] = {1, SEAL_WINDOW_FRAMES - 20, KEY_FRAMES - 20, 100};

    seal_skip(run->near, leaps[how % 4] + how / 4 % 40);
}

/* What the fuzzer wrote itself: it has no key. */
static void octets(struct run *run, const uint8_t *data, size_t size)
{
    uint8_t text[SEAL_FRAME_MAX_OCTETS];
    struct seal_opened opened;

    if (size > SEAL_FRAME_MAX_OCTETS)
        size = SEAL_FRAME_MAX_OCTETS;
    expect(seal_length(data, size) <= SEAL_FRAME_MAX_OCTETS);
    expect(give(run, data, size, &opened, text) != SEAL_OPENED);
}

static void expect_counts(const struct run *run)
{
    uint64_t sum = 0;

    for (int i = 0; i < SEAL_VERDICT_COUNT; i++)
        sum += seal_count(run->far, (enum seal_verdict)i);
    expect(sum == run->given);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t secret[2][SEAL_SECRET_OCTETS] = {{1}, {2}};
    struct seal_store *store;
    struct run run = {0};

    expect(seal_store_new(&store) == 0);
    expect(seal_new(&run.near, store, 16, secret[0], secret[1]) == 0);
    expect(seal_new(&run.far, store, 16, secret[1], secret[0]) == 0);
    for (size_t at = 0; at + 3 <= size && at < 3 * (size_t)STEPS_MAX; at += 3) {
        struct frame *frame = &run.frame[data[at + 1] % FRAMES];

        switch ((enum step)(data[at] % STEP_COUNT)) {
        case PUT:
            put(&run, frame, data[at + 2]);
            break;
        case DELIVER:
            deliver(&run, frame);
            break;
        case FLIP:
            flip(&run, frame, data[at + 2]);
            break;
        case CUT:
            cut(&run, frame, data[at + 2]);
            break;
        case SKIP:
            skip(&run, data[at + 2]);
            break;
        default:
            octets(&run, data + at + 1, size - at - 1);
            break;
        }
    }
    expect_counts(&run);
    seal_free(run.near);
    seal_free(run.far);
    seal_store_free(store);
    return 0;
}
