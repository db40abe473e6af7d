#include "common/rtp/stats.h"

#include <stddef.h>

#include "tests/unit/unit.h"

enum { COUNT_MAX = 8 };

static const struct {
    const char *name;
    uint64_t index[COUNT_MAX];
    unsigned count;
    uint64_t lost;
} lost_rows[] = {
    {"nothing", {0}, 0, 0},
    {"one", {7}, 1, 0},
    {"in order", {7, 8, 9}, 3, 0},
    {"a gap", {7, 8, 12}, 3, 3},
    {"a gap that closes", {7, 8, 10, 9}, 4, 0},
    {"earlier than the first", {7, 5, 8}, 3, 1},
    {"over the wrap", {0xfffe, 0xffff, 0x10001}, 3, 1},
    {"duplicates", {7, 7, 7, 8}, 4, 0},
    {"duplicates hide loss, never less than none", {7, 7, 7, 9}, 4, 0},
    {"40,000 lost", {1, 40002}, 2, 40000},
};

START_TEST(test_lost)
{
    struct rtp_stats stats = {0};

    for (unsigned i = 0; i < lost_rows[_i].count; i++)
        rtp_stats_packet(&stats, lost_rows[_i].index[i], 0, i);
    ck_assert_uint_eq(stats.received, lost_rows[_i].count);
    ck_assert_msg(rtp_stats_lost(&stats) == lost_rows[_i].lost, "%s", lost_rows[_i].name);
}
END_TEST

/* RFC 3550 A.8 by hand: 20 ms packets at 8 kHz. */
START_TEST(test_jitter)
{
    struct rtp_stats stats = {.clock_rate = 8000};
    uint64_t now = 1000000;

    rtp_stats_packet(&stats, 1, 0xffffffb0, now);
    ck_assert_double_eq_tol(stats.jitter, 0, 1e-9);
    /* On time, while the timestamp wraps. */
    rtp_stats_packet(&stats, 2, 0xffffffb0u + 160, now += 20000);
    ck_assert_double_eq_tol(stats.jitter, 0, 1e-9);
    /* 10 ms late: D = 80 units. */
    rtp_stats_packet(&stats, 3, 0xffffffb0u + 320, now += 30000);
    ck_assert_double_eq_tol(stats.jitter, 80.0 / 16, 1e-9);
    /* 10 ms early again. */
    rtp_stats_packet(&stats, 4, 0xffffffb0u + 480, now += 10000);
    ck_assert_double_eq_tol(stats.jitter, 5.0 + (80.0 - 5.0) / 16, 1e-9);
    /* Out of order: the one before, 1 ms after it. */
    stats.jitter = 0;
    rtp_stats_packet(&stats, 3, 0xffffffb0u + 320, now + 1000);
    ck_assert_double_eq_tol(stats.jitter, (160.0 + 8.0) / 16, 1e-9);
}
END_TEST

START_TEST(test_no_clock_rate)
{
    struct rtp_stats stats = {0};

    rtp_stats_packet(&stats, 1, 0, 0);
    rtp_stats_packet(&stats, 2, 99999, 5);
    ck_assert_double_eq_tol(stats.jitter, 0, 1e-9);
    ck_assert_uint_eq(stats.last_timestamp, 99999);
    ck_assert_uint_eq(stats.last_arrival_us, 5);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("stats");
    TCase *tc = tcase_create("stats");

    tcase_add_loop_test(tc, test_lost, 0, sizeof(lost_rows) / sizeof(lost_rows[0]));
    tcase_add_test(tc, test_jitter);
    tcase_add_test(tc, test_no_clock_rate);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
