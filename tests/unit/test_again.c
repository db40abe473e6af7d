/* Frames that are asked for, and sent, again: bounds, and what is no honest question. */
#include "common/carrier/again.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/carrier/seal.h"
#include "tests/unit/unit.h"

enum { RUN_OCTETS = 8, BODY_OCTETS = AGAIN_RUNS * RUN_OCTETS, NOW_US = 1000000 };

static struct seal_store *store;
static struct seal *out, *in;
static struct again *again;

static void start(void)
{
    static const uint8_t secret[2][SEAL_SECRET_OCTETS] = {{1}, {2}};

    ck_assert_int_eq(seal_store_new(&store), 0);
    ck_assert_int_eq(seal_new(&out, store, 16, secret[0], secret[1]), 0);
    ck_assert_int_eq(seal_new(&in, store, 16, secret[1], secret[0]), 0);
    again = again_new();
    ck_assert_ptr_nonnull(again);
}

static void stop(void)
{
    again_free(again);
    again_free(NULL);
    seal_free(out);
    seal_free(in);
    seal_store_free(store);
}

/* ------------------------------------------------------------ what comes */

/* The next count frames are sealed; those that come are told of. */
static void come(unsigned count, bool lost, uint64_t now_us)
{
    uint8_t frame[SEAL_OVER_OCTETS + 1], text[SEAL_OVER_OCTETS + 1];
    struct seal_opened opened;

    while (count-- > 0) {
        ck_assert_int_gt(seal_put(out, FRAME_MEDIA, 1, (const uint8_t *)"x", 1, frame), 0);
        if (lost)
            continue;
        ck_assert_int_eq(seal_open(in, frame, sizeof(frame), text, &opened), SEAL_OPENED);
        again_came(again, opened.counter, now_us);
    }
}

static size_t ask(uint8_t body[BODY_OCTETS], uint64_t now_us)
{
    struct writer w;

    writer_init(&w, body, BODY_OCTETS);
    if (!again_ask(again, in, &w, now_us)) {
        ck_assert_uint_eq(writer_length(&w), 0);
        return 0;
    }
    ck_assert(!w.failed);
    return writer_length(&w);
}

static void expect_runs(const char *hex, uint64_t now_us)
{
    uint8_t body[BODY_OCTETS], wanted[BODY_OCTETS];
    size_t length = unit_hex(hex, wanted, sizeof(wanted));

    ck_assert_uint_eq(ask(body, now_us), length);
    ck_assert_mem_eq(body, wanted, length);
    ck_assert_uint_eq(ask(body, now_us), 0);
}

START_TEST(test_asks)
{
    come(10, false, NOW_US);
    come(2, true, NOW_US);
    come(1, false, NOW_US);
    expect_runs("", NOW_US);
    come(3, false, NOW_US);
    expect_runs("00000000000a 0002", NOW_US);
    come(1, true, NOW_US);
    come(1, false, NOW_US);
    come(1, true, NOW_US);
    come(1, false, NOW_US);
    expect_runs("000000000010 0001", NOW_US);
    expect_runs("", NOW_US + AGAIN_LATER_US - 1);
    expect_runs("000000000012 0001", NOW_US + AGAIN_LATER_US);
    ck_assert_uint_eq(again_asked_for(again), 4);
}
END_TEST

/* The counter before the first one that came may be of any time. */
START_TEST(test_begins_late)
{
    come(100, true, NOW_US);
    come(10, false, NOW_US);
    expect_runs("", NOW_US + AGAIN_LATER_US);
}
END_TEST

/* What has come meanwhile is left out, in the middle of a gap, too. */
START_TEST(test_comes_late)
{
    uint8_t frame[5][SEAL_OVER_OCTETS], text[SEAL_OVER_OCTETS];
    struct seal_opened opened;

    come(5, false, NOW_US);
    for (unsigned i = 0; i < 5; i++)
        ck_assert_int_gt(seal_put(out, FRAME_MEDIA, 1, NULL, 0, frame[i]), 0);
    come(1, false, NOW_US);
    ck_assert_int_eq(seal_open(in, frame[2], sizeof(frame[2]), text, &opened), SEAL_OPENED);
    again_came(again, opened.counter, NOW_US);
    expect_runs("000000000005 0002 000000000008 0002", NOW_US + AGAIN_LATER_US);
}
END_TEST

/* An outage is TCP's affair, and so is what is more than a share. */
START_TEST(test_bounds)
{
    uint8_t body[BODY_OCTETS];

    come(1, false, NOW_US);
    come(AGAIN_RUN_FRAMES + 1, true, NOW_US);
    come(4, false, NOW_US);
    ck_assert_uint_eq(ask(body, NOW_US), 0);
    for (unsigned i = 0; i < 1000; i++) {
        come(1, true, NOW_US);
        come(1, false, NOW_US);
        ck_assert_uint_le(ask(body, NOW_US + AGAIN_LATER_US), RUN_OCTETS);
    }
    ck_assert_uint_le(again_asked_for(again), 1005 / AGAIN_SHARE + AGAIN_CREDIT);
    ck_assert_uint_ge(again_asked_for(again), 1000 / AGAIN_SHARE);
}
END_TEST

/* However long nothing was lost. */
START_TEST(test_credit)
{
    uint8_t body[BODY_OCTETS];

    come(50000, false, NOW_US);
    for (unsigned i = 0; i < 10; i++) {
        come(AGAIN_RUN_FRAMES / 2, true, NOW_US);
        come(4, false, NOW_US);
        (void)ask(body, NOW_US);
    }
    ck_assert_uint_eq(again_asked_for(again), AGAIN_CREDIT);
}
END_TEST

START_TEST(test_wait)
{
    uint8_t body[BODY_OCTETS];

    ck_assert(again_wait_us(again, NOW_US) == UINT64_MAX);
    come(1, false, NOW_US);
    come(1, true, NOW_US);
    come(1, false, NOW_US);
    ck_assert_uint_eq(again_wait_us(again, NOW_US), AGAIN_LATER_US);
    ck_assert_uint_eq(again_wait_us(again, NOW_US + AGAIN_LATER_US - 1), 1);
    ck_assert_uint_eq(again_wait_us(again, NOW_US + AGAIN_LATER_US), 0);
    come(3, false, NOW_US);
    ck_assert_uint_eq(again_wait_us(again, NOW_US), 0);
    ck_assert_uint_eq(ask(body, NOW_US), RUN_OCTETS);
    ck_assert(again_wait_us(again, NOW_US) == UINT64_MAX);
}
END_TEST

/* More gaps at once than an AGAIN has runs: the rest comes in the next one. */
START_TEST(test_many_gaps)
{
    uint8_t body[BODY_OCTETS];

    come(1, false, NOW_US);
    for (unsigned i = 0; i < AGAIN_RUNS + 5; i++) {
        come(1, true, NOW_US);
        come(1, false, NOW_US);
    }
    ck_assert_uint_eq(ask(body, NOW_US + AGAIN_LATER_US), BODY_OCTETS);
    ck_assert_uint_eq(ask(body, NOW_US + AGAIN_LATER_US), 5 * RUN_OCTETS);
}
END_TEST

/* ------------------------------------------------------------ what goes */

static size_t length_of(uint64_t counter)
{
    return counter % 100 == 0 ? SEAL_FRAME_MAX_OCTETS : SEAL_OVER_OCTETS + counter % 200;
}

static void keep(uint64_t first, uint64_t count)
{
    uint8_t frame[SEAL_FRAME_MAX_OCTETS];

    for (uint64_t counter = first; counter < first + count; counter++) {
        memset(frame, (int)(counter % 251), sizeof(frame));
        again_keep(again, counter, frame, length_of(counter));
    }
}

static int asked(uint64_t first, uint16_t count)
{
    uint8_t body[RUN_OCTETS];
    struct reader r;
    struct writer w;

    writer_init(&w, body, sizeof(body));
    writer_u16(&w, (uint16_t)(first >> 32));
    writer_u32(&w, (uint32_t)first);
    writer_u16(&w, count);
    reader_init(&r, body, sizeof(body));
    return again_asked(again, &r);
}

static void expect_next(uint64_t counter)
{
    size_t length;
    const uint8_t *frame = again_next(again, &length);

    ck_assert_ptr_nonnull(frame);
    ck_assert_uint_eq(length, length_of(counter));
    for (size_t i = 0; i < length; i++)
        ck_assert_uint_eq(frame[i], counter % 251);
}

static void expect_none(void)
{
    size_t length;

    ck_assert_ptr_null(again_next(again, &length));
}

START_TEST(test_repeats)
{
    keep(0, 100);
    ck_assert_int_eq(asked(5, 1), 0);
    expect_none(); /* nobody had asked */
    keep(100, 100);
    ck_assert_int_eq(asked(98, 4), 0);
    ck_assert_int_eq(asked(199, 2), 0);
    expect_next(100);
    expect_next(101);
    expect_next(199);
    expect_none();
    ck_assert_uint_eq(again_repeated(again), 3);
}
END_TEST

/* The newest are there, however often the memory was full. */
START_TEST(test_keeps)
{
    uint64_t next = 0;

    ck_assert_int_eq(asked(0, 1), 0);
    expect_none();
    for (unsigned round = 0; round < 50; round++) {
        keep(next, 997);
        next += 997;
        ck_assert_int_eq(asked(next - 1, 1), 0);
        expect_next(next - 1);
        ck_assert_int_eq(asked(next - 500, 1), 0);
        expect_next(next - 500);
        ck_assert_int_eq(asked(next > 3000 ? next - 3000 : 1000000, 1), 0);
        expect_none();
    }
}
END_TEST

/* Counters that do not follow each other: what was before is no more. */
START_TEST(test_jump)
{
    ck_assert_int_eq(asked(0, 1), 0);
    keep(10, 10);
    keep(1000, 10);
    ck_assert_int_eq(asked(15, 1), 0);
    ck_assert_int_eq(asked(1000, 1), 0);
    expect_next(1000);
    expect_none();
}
END_TEST

/* A share, however much is asked for. */
START_TEST(test_share)
{
    size_t length;
    unsigned count = 0;

    ck_assert_int_eq(asked(0, 1), 0);
    expect_none();
    keep(0, 1600);
    for (unsigned i = 0; i < 100; i++) {
        ck_assert_int_eq(asked(1600 - AGAIN_RUN_FRAMES, AGAIN_RUN_FRAMES), 0);
        while (again_next(again, &length))
            count++;
    }
    ck_assert_uint_eq(count, AGAIN_CREDIT);
    keep(1600, 10 * AGAIN_SHARE);
    ck_assert_int_eq(asked(1600, 10 * AGAIN_SHARE), 0);
    while (again_next(again, &length))
        count++;
    ck_assert_uint_eq(count, AGAIN_CREDIT + 10);
}
END_TEST

static const struct {
    const char *hex;
    int result;
} bodies[] = {
    {"", ERR_PROTOCOL},
    {"00000000000100", ERR_PROTOCOL},
    {"0000000000010001", 0},
    {"0000000000010000", ERR_PROTOCOL},
    {"0000000000010100", 0},
    {"0000000000010101", ERR_PROTOCOL},
    {"ffffffffffff0001", 0},
    {"ffffffffffff0002", ERR_PROTOCOL},
    {"0000000000010001 00000000000500", ERR_PROTOCOL},
    {"0000000000010001 0000000000050001", 0},
    {"0000000000010004 0000000000050001", 0},
    {"0000000000010005 0000000000050001", ERR_PROTOCOL},
    {"0000000000050001 0000000000010001", ERR_PROTOCOL},
};

START_TEST(test_bodies)
{
    uint8_t body[64];
    struct reader r;

    reader_init(&r, body, unit_hex(bodies[_i].hex, body, sizeof(body)));
    ck_assert_int_eq(again_asked(again, &r), bodies[_i].result);
}
END_TEST

START_TEST(test_too_many_runs)
{
    uint8_t body[BODY_OCTETS + RUN_OCTETS];
    struct reader r;
    struct writer w;

    writer_init(&w, body, sizeof(body));
    for (unsigned i = 0; i <= AGAIN_RUNS; i++) {
        writer_u16(&w, 0);
        writer_u32(&w, i);
        writer_u16(&w, 1);
    }
    reader_init(&r, body, sizeof(body));
    ck_assert_int_eq(again_asked(again, &r), ERR_PROTOCOL);
    reader_init(&r, body, BODY_OCTETS);
    ck_assert_int_eq(again_asked(again, &r), 0);
}
END_TEST

/* Cut short anywhere, and with any bit another one, it is read or refused. */
START_TEST(test_flips)
{
    uint8_t body[2 * RUN_OCTETS];
    struct reader r;
    size_t length;
    int result;

    ck_assert_int_eq(asked(0, 1), 0);
    keep(0, 100);
    for (size_t cut = 0; cut <= sizeof(body); cut++) {
        for (size_t bit = 0; bit < sizeof(body) * 8; bit++) {
            unit_hex("0000000000050001 0000000000090003", body, sizeof(body));
            body[bit / 8] ^= (uint8_t)(1u << bit % 8);
            reader_init(&r, body, cut);
            result = again_asked(again, &r);
            ck_assert(result == ERR_PROTOCOL || (result == 0 && cut > 0 && cut % RUN_OCTETS == 0));
            while (again_next(again, &length))
                ck_assert_uint_le(length, SEAL_FRAME_MAX_OCTETS);
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("again");
    TCase *tc = tcase_create("again");

    tcase_add_checked_fixture(tc, start, stop);
    tcase_add_test(tc, test_asks);
    tcase_add_test(tc, test_begins_late);
    tcase_add_test(tc, test_comes_late);
    tcase_add_test(tc, test_bounds);
    tcase_add_test(tc, test_credit);
    tcase_add_test(tc, test_wait);
    tcase_add_test(tc, test_many_gaps);
    tcase_add_test(tc, test_repeats);
    tcase_add_test(tc, test_keeps);
    tcase_add_test(tc, test_jump);
    tcase_add_test(tc, test_share);
    tcase_add_loop_test(tc, test_bodies, 0, sizeof(bodies) / sizeof(bodies[0]));
    tcase_add_test(tc, test_too_many_runs);
    tcase_add_test(tc, test_flips);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
