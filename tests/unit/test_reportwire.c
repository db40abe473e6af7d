#include "common/sa/reportwire.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/tlv.h"
#include "common/sa/far.h"
#include "tests/unit/sample.h"
#include "tests/unit/unit.h"

enum { NOW_US = 1000000000 };

/* Every field at its largest, and all counters. */
static struct sa_report full_report(void)
{
    struct sa_report report = {
        .id = UINT64_MAX,
        .generation = UINT32_MAX,
        .bound = {sample_addr("[2001:db8::1]:5004"), sample_addr("[2001:db8::1]:5005")},
        .packets = UINT64_MAX,
        .octets = UINT64_MAX - 1,
        .age_us = 20000,
        .stray = sample_addr("192.0.2.7:4000"),
        .stray_verdict = VERDICT_AUTH_FAIL,
        .stray_age_us = 3000000,
        .heard_count = SA_SSRC_MAX};

    for (unsigned v = 0; v < VERDICT_COUNT; v++)
        report.verdicts[v] = UINT32_MAX - v;
    for (unsigned i = 0; i < SA_SSRC_MAX; i++)
        report.heard[i] = (struct sa_heard){.ssrc = 0x80000000 + i,
                                            .origin = (enum ssrc_origin)(1 + i % 3),
                                            .rtp = true,
                                            .rtcp = true,
                                            .index = (UINT64_C(1) << 48) - 1 - i,
                                            .rtcp_index = 0x7fffffff - i,
                                            .received = UINT64_MAX - i,
                                            .lost = i,
                                            .age_us = 1000 * i,
                                            .jitter = UINT32_MAX};
    return report;
}

static struct sa_report empty_report(void)
{
    return (struct sa_report){
        .id = 7, .generation = 1, .age_us = REPORT_NEVER, .stray_age_us = REPORT_NEVER};
}

static struct sa_report sample_report(int full)
{
    return full ? full_report() : empty_report();
}

static size_t put(uint8_t *memory, const struct sa_report *report)
{
    struct writer w;

    writer_init(&w, memory, FRAME_MAX_OCTETS - FRAME_HEAD_OCTETS);
    reportwire_put(&w, report);
    ck_assert(!w.failed);
    return writer_length(&w);
}

/* The copy is exactly as long, so that ASan and valgrind see every octet too far. */
static int get(const uint8_t *data, size_t length, struct sa_report *report)
{
    uint8_t *copy = malloc(length ? length : 1);
    struct reader r;
    int result;

    ck_assert_ptr_nonnull(copy);
    memcpy(copy, data, length);
    reader_init(&r, copy, length);
    result = reportwire_get(&r, report);
    free(copy);
    return result;
}

static void expect_same_heard(const struct sa_heard *a, const struct sa_heard *b)
{
    ck_assert_uint_eq(a->ssrc, b->ssrc);
    ck_assert_int_eq(a->origin, b->origin);
    ck_assert_int_eq(a->rtp, b->rtp);
    ck_assert_int_eq(a->rtcp, b->rtcp);
    ck_assert_uint_eq(a->index, b->index);
    ck_assert_uint_eq(a->rtcp_index, b->rtcp_index);
    ck_assert_uint_eq(a->received, b->received);
    ck_assert_uint_eq(a->lost, b->lost);
    ck_assert_uint_eq(a->jitter, b->jitter);
    ck_assert_uint_eq(a->age_us, b->age_us);
}

static void expect_same(const struct sa_report *a, const struct sa_report *b)
{
    ck_assert_uint_eq(a->id, b->id);
    ck_assert_uint_eq(a->generation, b->generation);
    for (int rtcp = 0; rtcp < 2; rtcp++)
        ck_assert(addr_equal(&a->bound[rtcp], &b->bound[rtcp]));
    ck_assert_uint_eq(a->packets, b->packets);
    ck_assert_uint_eq(a->octets, b->octets);
    ck_assert_uint_eq(a->age_us, b->age_us);
    ck_assert(addr_equal(&a->stray, &b->stray));
    ck_assert_int_eq(a->stray_verdict, b->stray_verdict);
    ck_assert_uint_eq(a->stray_age_us, b->stray_age_us);
    ck_assert_mem_eq(a->verdicts, b->verdicts, sizeof(a->verdicts));
    ck_assert_uint_eq(a->heard_count, b->heard_count);
    for (unsigned i = 0; i < a->heard_count; i++)
        expect_same_heard(&a->heard[i], &b->heard[i]);
}

/* What can be read is within its bounds. */
static void expect_sound(const struct sa_report *report)
{
    ck_assert_uint_le(report->heard_count, SA_SSRC_MAX);
    ck_assert_uint_lt(report->stray_verdict, VERDICT_COUNT);
    for (unsigned i = 0; i < report->heard_count; i++) {
        const struct sa_heard *heard = &report->heard[i];

        ck_assert_uint_eq(heard->index >> 48, 0);
        ck_assert_uint_eq(heard->rtcp_index >> 31, 0);
        ck_assert(heard->origin >= SSRC_ORIGIN_SIGNALLED && heard->origin <= SSRC_ORIGIN_LEARNED);
        for (unsigned k = 0; k < i; k++)
            ck_assert_uint_ne(heard->ssrc, report->heard[k].ssrc);
    }
}

START_TEST(test_round_trip)
{
    struct sa_report report = sample_report(_i), back;
    uint8_t memory[FRAME_MAX_OCTETS];
    size_t length = put(memory, &report);

    ck_assert_int_eq(get(memory, length, &back), 0);
    expect_same(&report, &back);
}
END_TEST

START_TEST(test_truncated)
{
    struct sa_report report = full_report(), back;
    uint8_t memory[FRAME_MAX_OCTETS];
    size_t length = put(memory, &report), good = 0;

    for (size_t cut = 0; cut < length; cut++) {
        int result = get(memory, cut, &back);

        ck_assert(result == 0 || result == ERR_PROTOCOL);
        good += result == 0;
        expect_sound(&back);
    }
    /* Behind ID and GENERATION each whole field is optional. */
    ck_assert_uint_eq(good, 2 + 2 + SA_SSRC_MAX + 1 + 1 + VERDICT_COUNT);
}
END_TEST

START_TEST(test_every_bit_flipped)
{
    struct sa_report report = full_report(), back;
    uint8_t memory[FRAME_MAX_OCTETS];
    size_t length = put(memory, &report);

    for (size_t bit = 0; bit < 8 * length; bit++) {
        int result;

        memory[bit / 8] ^= (uint8_t)(1 << bit % 8);
        result = get(memory, length, &back);
        ck_assert(result == 0 || result == ERR_PROTOCOL);
        expect_sound(&back);
        memory[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}
END_TEST

/* One field more; of nested ones, what stands in them: tag (hex), then value. */
static const struct {
    const char *hex; /* appended to an empty report */
    int result;
} extras[] = {
    {"", 0},
    {"7777 0000", 0},                             /* unknown */
    {"f777 0000", ERR_PROTOCOL},                  /* unknown and critical */
    {"0003 0007 04 c0000207 0fa0", 0},            /* BOUND-RTP */
    {"0003 0006 04 c0000207 0f", ERR_PROTOCOL},   /* cut */
    {"0003 0007 05 c0000207 0fa0", ERR_PROTOCOL}, /* of family 5 */
    {"0006 0004 00000001", ERR_PROTOCOL},         /* PACKETS as u32 */
    {"0008 0008 ffffffffffffffff", ERR_PROTOCOL}, /* AGE that means never */
    {"0008 0008 fffffffffffffffe", 0},            /* older than the clock */
    {"0005 0000", ERR_PROTOCOL},                  /* SSRC without one */
    {"0005 0008 0001 0004 00000001", 0},          /* SSRC alone */
    {"0005 0008 0001 0004 00000001 0005 0008 0001 0004 00000001", ERR_PROTOCOL}, /* twice */
    {"0005 000d 0001 0004 00000001 0002 0001 04", ERR_PROTOCOL},                 /* ORIGIN 4 */
    {"0005 000d 0001 0004 00000001 0002 0001 00", ERR_PROTOCOL},                 /* ORIGIN 0 */
    {"0005 0014 0001 0004 00000001 0003 0008 0001000000000000", ERR_PROTOCOL},   /* 2^48 */
    {"0005 0010 0001 0004 00000001 0004 0004 80000000", ERR_PROTOCOL},           /* 2^31 */
    {"0005 000c 0001 0004 00000001 f777 0000", ERR_PROTOCOL},
    {"0005 000c 0001 0004 00000001 7777 0000", 0},
    {"0009 0014 0001 0008 6163636570746564 0002 0004 00000009", 0}, /* accepted: 9 */
    {"0009 0014 0001 0008 6e6f766572646963 0002 0004 00000009", 0}, /* no verdict */
    {"0009 0008 0002 0004 00000009", 0},                            /* of nothing */
    {"0009 0005 0001 0001 00", ERR_PROTOCOL},                       /* not text */
    {"0009 0004 f777 0000", ERR_PROTOCOL},
    {"000a 0018 0002 0008 6163636570746564 0003 0008 0000000000000001", 0}, /* STRAY */
    {"000a 000c 0002 0008 6163636570746564", 0},                            /* without AGE */
    {"000a 000c 0003 0008 ffffffffffffffff", ERR_PROTOCOL},
    {"000a 0004 f777 0000", ERR_PROTOCOL},
    {"0001 0004 00000001", ERR_PROTOCOL},
    {"00", ERR_PROTOCOL},
};

START_TEST(test_extra_field)
{
    struct sa_report report = empty_report(), back;
    uint8_t memory[FRAME_MAX_OCTETS];
    size_t length = put(memory, &report);

    length += unit_hex(extras[_i].hex, memory + length, sizeof(memory) - length);
    ck_assert_int_eq(get(memory, length, &back), extras[_i].result);
    expect_sound(&back);
}
END_TEST

START_TEST(test_nine_ssrcs)
{
    struct sa_report report = full_report(), back;
    uint8_t memory[FRAME_MAX_OCTETS];
    size_t length = put(memory, &report);

    length += unit_hex("0005 0008 0001 0004 00000001", memory + length, sizeof(memory) - length);
    ck_assert_int_eq(get(memory, length, &back), ERR_PROTOCOL);
}
END_TEST

START_TEST(test_missing)
{
    static const char *const bodies[] = {"", "8001 0008 0000000000000007", "8002 0004 00000001"};

    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        struct sa_report back;
        uint8_t memory[64];
        size_t length = unit_hex(bodies[i], memory, sizeof(memory));

        ck_assert_int_eq(get(memory, length, &back), ERR_PROTOCOL);
    }
}
END_TEST

/* ------------------------------------------------------------ what is kept of it */

START_TEST(test_far)
{
    struct sa *sa = sample_sa(SA_SIDE_EXTERNAL, 7, 1);
    struct sa_report report = sample_report(_i), back;
    uint64_t reported_us;

    report.id = 7;
    ck_assert(!far_get(sa, &back, NULL, NOW_US));
    ck_assert_ptr_null(far_bound(sa, false));
    ck_assert_int_eq(far_store(sa, &report, NOW_US), 0);
    ck_assert(far_get(sa, &back, &reported_us, NOW_US));
    ck_assert_uint_eq(reported_us, NOW_US);
    expect_same(&report, &back);
    ck_assert_int_eq(far_bound(sa, true) != NULL, _i);
    /* What was reported gets older with the clock. */
    ck_assert(far_get(sa, &back, NULL, NOW_US + 5));
    ck_assert_uint_eq(back.age_us, report.age_us + (_i ? 5 : 0));
    for (unsigned i = 0; i < back.heard_count; i++)
        ck_assert_uint_eq(back.heard[i].age_us, report.heard[i].age_us + 5);
    ck_assert_uint_eq(back.stray_age_us, report.stray_age_us + (_i ? 5 : 0));
    sa_free(sa);
}
END_TEST

/* Of other shapes, in any order: nothing of an earlier one stays. */
START_TEST(test_far_again)
{
    struct sa *sa = sample_sa(SA_SIDE_EXTERNAL, 7, 1);

    for (unsigned round = 0; round < 64; round++) {
        struct sa_report report = sample_report(round % 3 != 0), back;

        report.id = 7;
        report.heard_count = round * 5 % (SA_SSRC_MAX + 1);
        for (unsigned v = 0; v < VERDICT_COUNT; v++)
            report.verdicts[v] = (round * 7 + v) % 3;
        ck_assert_int_eq(far_store(sa, &report, NOW_US), 0);
        ck_assert(far_get(sa, &back, NULL, NOW_US));
        expect_same(&report, &back);
    }
    sa_free(sa);
}
END_TEST

/* An age that no honest clock gives is shown as the oldest that there is. */
START_TEST(test_far_ages)
{
    struct sa *sa = sample_sa(SA_SIDE_EXTERNAL, 7, 1);
    struct sa_report report = full_report(), back;

    report.age_us = report.stray_age_us = REPORT_NEVER - 1;
    ck_assert_int_eq(far_store(sa, &report, NOW_US), 0);
    ck_assert(far_get(sa, &back, NULL, NOW_US));
    ck_assert_uint_eq(back.age_us, NOW_US - 1);
    ck_assert_uint_eq(back.stray_age_us, NOW_US - 1);
    sa_free(sa);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("reportwire");
    TCase *tc = tcase_create("reportwire");

    tcase_add_loop_test(tc, test_round_trip, 0, 2);
    tcase_add_test(tc, test_truncated);
    tcase_add_test(tc, test_every_bit_flipped);
    tcase_add_loop_test(tc, test_extra_field, 0, sizeof(extras) / sizeof(extras[0]));
    tcase_add_test(tc, test_nine_ssrcs);
    tcase_add_test(tc, test_missing);
    tcase_add_loop_test(tc, test_far, 0, 2);
    tcase_add_test(tc, test_far_again);
    tcase_add_test(tc, test_far_ages);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
