#include "common/carrier/early.h"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/earlyworld.h"
#include "tests/unit/unit.h"

static struct earlyworld *world;

static void start(void)
{
    world = earlyworld_new(0xfffffe00); /* the numbers wrap soon */
}

static void stop(void)
{
    earlyworld_free(world);
}

/* Segments of one or more frames each, as "200", "200+100". */
static void send_all(const char *const *texts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        for (const char *at = texts[i]; at; at = strchr(at, '+') ? strchr(at, '+') + 1 : NULL)
            ck_assert(earlyworld_frame(world, strtoul(at, NULL, 10)));
        ck_assert(earlyworld_cut(world, 0));
    }
}

static void send_frames(size_t count, size_t length)
{
    for (size_t i = 0; i < count; i++)
        ck_assert(earlyworld_frame(world, length) && earlyworld_cut(world, 0));
}

static uint64_t count(enum early_count which)
{
    return world->early.counts[which];
}

/* What comes raw first is opened; the kernel's copy of it is discarded once the place is known. */
START_TEST(test_hole)
{
    send_frames(6, 200);
    earlyworld_raw(world, 0, 1);
    earlyworld_kernel(world, 0);
    earlyworld_read(world, 65536);
    ck_assert(world->early.anchored);
    for (size_t i = 2; i < 6; i++) { /* 1 is lost */
        earlyworld_raw(world, i, 1);
        earlyworld_kernel(world, i);
        earlyworld_read(world, 65536);
        ck_assert(world->frames[i].early);
    }
    ck_assert_uint_eq(world->early.range_count, 1);
    ck_assert_uint_eq(early_skip(&world->early, world->position), 0);
    earlyworld_raw(world, 1, 1);
    earlyworld_kernel(world, 1);
    ck_assert_uint_eq(early_skip(&world->early, world->position), 5 * 232);
    earlyworld_read(world, 65536);
    ck_assert_uint_eq(earlyworld_opened(world), 6);
    ck_assert_uint_eq(count(EARLY_OPENED), 6);
    ck_assert_uint_eq(world->discarded, 5 * 232);
    ck_assert_uint_eq(world->early.range_count, 0);
}
END_TEST

/* The raw socket misses one: the kernel's order has it, and nothing of it is discarded. */
START_TEST(test_missed)
{
    send_frames(6, 200);
    for (size_t i = 0; i < 6; i++) {
        if (i != 3)
            earlyworld_raw(world, i, 1);
        earlyworld_kernel(world, i);
        if (i == 0)
            earlyworld_read(world, 65536);
    }
    earlyworld_read(world, 232);
    ck_assert_uint_eq(earlyworld_opened(world), 6);
    ck_assert(!world->frames[3].early);
    ck_assert_uint_eq(world->discarded, 4 * 232);
}
END_TEST

/* The kernel's order is read first, and the raw socket has a copy, which is known to be genuine. */
START_TEST(test_kernel_first)
{
    uint32_t place;

    send_frames(3, 200);
    earlyworld_kernel(world, 0);
    earlyworld_read(world, 65536);
    earlyworld_raw(world, 0, 1);
    ck_assert(!early_place(&world->early, &place));
    early_copied(&world->early, world->sequence, 77); /* of another frame */
    ck_assert(!early_place(&world->early, &place));
    early_copied(&world->early, world->sequence, 0);
    early_advance(&world->early, world->position);
    ck_assert(early_place(&world->early, &place));
    ck_assert_uint_eq(place, world->sequence + 232);
    earlyworld_raw(world, 1, 1);
    earlyworld_kernel(world, 1);
    ck_assert_uint_eq(early_skip(&world->early, world->position), 232);
    early_is_alone(&world->early);
    ck_assert(!early_place(&world->early, &place));
    ck_assert_uint_eq(early_skip(&world->early, world->position), 0);
}
END_TEST

/* Without a raw socket the order is the kernel's. */
START_TEST(test_alone)
{
    send_frames(50, 300);
    for (size_t i = 0; i < 50; i++)
        earlyworld_kernel(world, i);
    earlyworld_read(world, 1000);
    ck_assert_uint_eq(earlyworld_opened(world), 50);
    ck_assert_uint_eq(world->discarded, 0);
    ck_assert(!world->early.anchored);
}
END_TEST

/* Frames of mixed sizes, several in a segment, and all of them in one piece as GRO makes it. */
START_TEST(test_merged)
{
    static const char *const texts[] = {"200", "60+1200", "0", "1+2+3+400", "1400", "20"};

    send_all(texts, 6);
    earlyworld_raw(world, 1, 5);
    ck_assert_uint_eq(count(EARLY_OPENED), 9);
    ck_assert_uint_eq(count(EARLY_SEGMENTS), 1);
    earlyworld_raw(world, 1, 2); /* sent again, merged otherwise */
    ck_assert_uint_eq(count(EARLY_COPIES), 3);
    earlyworld_raw(world, 0, 1);
    for (size_t i = 0; i < 6; i++)
        earlyworld_kernel(world, i);
    earlyworld_read(world, 65536);
    ck_assert_uint_eq(earlyworld_opened(world), 10);
    ck_assert_uint_eq(count(EARLY_OPENED), 10);
}
END_TEST

/* A box on the way that cuts segments anew. */
START_TEST(test_cut_anew)
{
    for (size_t i = 0; i < 10; i++)
        ck_assert(earlyworld_frame(world, 268)); /* 300 octets each */
    ck_assert(earlyworld_cut(world, 450));       /* ends in the middle of frame 1 */
    ck_assert(earlyworld_cut(world, 450));       /* begins there, ends with frame 2 */
    ck_assert(earlyworld_cut(world, 1000));      /* frames 3, 4, 5, a third of 6 */
    ck_assert(earlyworld_cut(world, 500));       /* rest of 6, 7 */
    ck_assert(earlyworld_cut(world, 0));         /* 8, 9 */
    earlyworld_raw(world, 1, 1);
    ck_assert_uint_eq(count(EARLY_UNALIGNED), 1); /* the end of frame 1 is not known yet */
    earlyworld_raw(world, 0, 1);
    ck_assert(world->frames[0].early && !world->frames[1].opened);
    ck_assert_uint_eq(count(EARLY_PARTIAL), 1);
    earlyworld_raw(world, 1, 1);
    ck_assert(world->frames[2].early);
    earlyworld_raw(world, 2, 1);
    ck_assert(world->frames[5].early);
    earlyworld_raw(world, 3, 1);
    ck_assert(!world->frames[6].opened && world->frames[7].early);
    for (size_t i = 0; i < 5; i++)
        earlyworld_kernel(world, i);
    earlyworld_read(world, 65536);
    ck_assert_uint_eq(earlyworld_opened(world), 10);
    ck_assert_uint_eq(count(EARLY_FORGED), 0);
}
END_TEST

/* Cut at every octet: what is whole in either part is opened, and all comes by the kernel. */
START_TEST(test_truncated)
{
    size_t octets = 3 * (40 + SEAL_OVER_OCTETS);

    for (size_t cut = 1; cut < octets; cut++) {
        stop();
        start();
        for (size_t i = 0; i < 3; i++)
            ck_assert(earlyworld_frame(world, 40));
        ck_assert(earlyworld_cut(world, cut) && earlyworld_cut(world, 0));
        earlyworld_raw(world, 0, 1);
        earlyworld_raw(world, 1, 1);
        /* The frame that is cut: where its end is known the others are opened early. */
        ck_assert_uint_ge(earlyworld_opened(world), cut % 72 == 0 || cut % 72 >= 5 ? 2 : cut / 72);
        earlyworld_kernel(world, 0);
        earlyworld_kernel(world, 1);
        earlyworld_read(world, 65536);
        ck_assert_uint_eq(earlyworld_opened(world), 3);
    }
}
END_TEST

/* Each bit of a segment flipped: nothing of it is opened that was not sealed, nothing is lost. */
START_TEST(test_bits)
{
    uint8_t segment[2 * (20 + SEAL_OVER_OCTETS)];
    size_t bits = 8 * sizeof(segment);

    for (size_t bit = 0; bit < bits; bit++) {
        stop();
        start();
        send_frames(1, 20);
        ck_assert(earlyworld_frame(world, 20) && earlyworld_frame(world, 20));
        ck_assert(earlyworld_cut(world, 0));
        earlyworld_raw(world, 0, 1);
        memcpy(segment, world->stream + world->segments[1].start, sizeof(segment));
        segment[bit / 8] ^= (uint8_t)(1u << bit % 8);
        earlyworld_forged(world, world->sequence + (uint32_t)world->segments[1].start, segment,
                          sizeof(segment));
        ck_assert_uint_eq(world->frames[1].opened, bit >= bits / 2);
        /* Behind what has the counter of one that came the walk goes on: no tag was tried there. */
        ck_assert(!world->frames[2].opened || (bit < bits / 2 && count(EARLY_COPIES) == 1));
        ck_assert_uint_eq(count(EARLY_FORGED) + count(EARLY_COPIES) + count(EARLY_UNALIGNED) +
                              count(EARLY_PARTIAL),
                          1);
        earlyworld_kernel(world, 0);
        earlyworld_kernel(world, 1);
        earlyworld_read(world, 65536);
        ck_assert_uint_eq(earlyworld_opened(world), 3);
    }
}
END_TEST

/* Who injects segments costs two tries each, and nothing else. */
START_TEST(test_injected)
{
    uint8_t junk[1400] = {0};
    struct early before;

    send_frames(4, 200);
    earlyworld_raw(world, 0, 1);
    earlyworld_kernel(world, 0);
    earlyworld_read(world, 65536);
    before = world->early;
    for (size_t at = 0; at + 60 <= sizeof(junk); at += 60)
        memcpy(junk + at, "\x17\x03\x03\x00\x37", 5); /* a row of what looks like frames */
    for (uint32_t i = 0; i < 1000; i++) {
        junk[5] = 1; /* a counter that has not come */
        earlyworld_forged(world, world->sequence + i * 99991, junk, sizeof(junk));
        ck_assert_uint_le(world->tries, 2);
    }
    ck_assert_uint_ge(count(EARLY_FORGED), 1000);
    memcpy(world->early.counts, before.counts, sizeof(before.counts));
    ck_assert_int_eq(memcmp(&world->early, &before, sizeof(before)), 0);
    for (size_t i = 1; i < 4; i++) {
        earlyworld_raw(world, i, 1);
        earlyworld_kernel(world, i);
    }
    earlyworld_read(world, 65536);
    ck_assert_uint_eq(count(EARLY_OPENED), 4);
    ck_assert_uint_eq(world->discarded, 3 * 232);
}
END_TEST

/* More holes than ranges are kept: the kernel's copies are read, and nothing is lost. */
START_TEST(test_crowded)
{
    enum { FRAMES = 3 * EARLY_RANGES };

    send_frames(FRAMES, 30);
    earlyworld_raw(world, 0, 1);
    earlyworld_kernel(world, 0);
    earlyworld_read(world, 65536);
    for (size_t i = 2; i < FRAMES; i += 2)
        earlyworld_raw(world, i, 1);
    ck_assert_uint_eq(world->early.range_count, EARLY_RANGES);
    ck_assert_uint_gt(count(EARLY_CROWDED), 0);
    for (size_t i = 1; i < FRAMES; i++)
        earlyworld_kernel(world, i);
    earlyworld_read(world, 62);
    ck_assert_uint_eq(earlyworld_opened(world), FRAMES);
    ck_assert_uint_gt(world->discarded, 0);
    ck_assert_uint_eq(world->early.range_count, 0);
}
END_TEST

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Loss, copies, merged and late segments, a raw socket that misses some, short reads, a stream
 * that is cut where no frame ends. */
static void run_random(uint64_t seed)
{
    uint64_t random = seed * 0x9e3779b97f4a7c15u + 1;
    uint64_t lost = next_random(&random) % 20, missed = next_random(&random) % 20;
    bool aligned = next_random(&random) % 4 > 0;

    for (size_t i = 0; i < 400; i++) {
        for (uint64_t frames = 1 + next_random(&random) % 3; frames > 0; frames--)
            ck_assert(earlyworld_frame(world, next_random(&random) % 400));
        ck_assert(earlyworld_cut(world, aligned ? 0 : 1 + next_random(&random) % 900));
    }
    while (earlyworld_cut(world, 0))
        ;
    for (size_t i = 0; i < world->segment_count; i++) {
        size_t merged = 1 + next_random(&random) % 3, late = next_random(&random) % (i + 1);

        if (merged > world->segment_count - i)
            merged = world->segment_count - i;
        if (next_random(&random) % 100 >= lost) {
            if (next_random(&random) % 100 >= missed)
                earlyworld_raw(world, i, merged);
            earlyworld_kernel(world, i);
        }
        if (next_random(&random) % 3 == 0) { /* one that was lost, or a copy */
            earlyworld_raw(world, late, 1);
            earlyworld_kernel(world, late);
        }
        if (next_random(&random) % 2)
            earlyworld_read(world, 1 + next_random(&random) % 2000);
    }
    for (size_t i = 0; i < world->segment_count; i++)
        earlyworld_kernel(world, i);
    earlyworld_read(world, 65536);
    ck_assert_uint_eq(earlyworld_opened(world), world->frame_count);
    ck_assert_uint_eq(world->position, world->written);
}

START_TEST(test_random)
{
    for (unsigned round = 0; round < unit_rounds(300); round++) {
        stop();
        start();
        run_random(round + 1);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("early");
    TCase *tc = tcase_create("early");

    tcase_add_checked_fixture(tc, start, stop);
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, test_hole);
    tcase_add_test(tc, test_missed);
    tcase_add_test(tc, test_kernel_first);
    tcase_add_test(tc, test_alone);
    tcase_add_test(tc, test_merged);
    tcase_add_test(tc, test_cut_anew);
    tcase_add_test(tc, test_truncated);
    tcase_add_test(tc, test_bits);
    tcase_add_test(tc, test_injected);
    tcase_add_test(tc, test_crowded);
    tcase_add_test(tc, test_random);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
