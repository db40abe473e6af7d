#include "common/sa/rate.h"

#include <stddef.h>

#include "tests/unit/unit.h"

#define SECOND UINT64_C(1000000)

/* Sends packets of so many octets at an even pace for 10 s; how many pass? */
static const struct {
    const char *name;
    uint32_t octets_per_second;
    uint64_t length, interval_us;
    uint64_t least, most;
} rows[] = {
    {"no bound", 0, 1400, 10, 1000000, 1000000},
    {"half the rate", 100000, 1000, 20000, 500, 500},
    {"the rate exactly", 100000, 1000, 10000, 1000, 1000},
    /* 10 s at the rate, and the bucket of half a second */
    {"twice the rate", 100000, 1000, 5000, 1049, 1051},
    {"a flood", 1000000, 1000, 100, 10499, 10501},
    /* A low rate still lets whole packets through: its bucket holds one. */
    {"large packets, the lowest rate", 1000, 1400, 1400000, 8, 8},
    {"large packets over the lowest rate", 1000, 1400, 100000, 8, 9},
    {"longer than any packet", 1000, 5000, SECOND, 0, 0},
    {"the highest rate", UINT32_MAX, 2000, 100, 100000, 100000},
};

START_TEST(test_rate)
{
    struct rate rate;
    uint64_t passed = 0;

    rate_init(&rate, rows[_i].octets_per_second);
    for (uint64_t t = 0; t < 10 * SECOND; t += rows[_i].interval_us)
        passed += rate_take(&rate, rows[_i].length, 5 * SECOND + t);
    ck_assert_msg(passed >= rows[_i].least && passed <= rows[_i].most, "%s: %llu passed",
                  rows[_i].name, (unsigned long long)passed);
}
END_TEST

START_TEST(test_burst)
{
    struct rate rate;
    unsigned passed = 0;

    rate_init(&rate, 100000);
    for (unsigned i = 0; i < 1000; i++)
        passed += rate_take(&rate, 1000, 77);
    ck_assert_uint_eq(passed, 50);
    /* A day of silence saves up no more than that. */
    for (unsigned i = 0; i < 1000; i++)
        passed += rate_take(&rate, 1000, 86400 * SECOND);
    ck_assert_uint_eq(passed, 100);
}
END_TEST

START_TEST(test_clock_going_back)
{
    struct rate rate;

    rate_init(&rate, 100000);
    while (rate_take(&rate, 1000, 10 * SECOND))
        ;
    ck_assert(!rate_take(&rate, 1000, 9 * SECOND));
    ck_assert(!rate_take(&rate, 1000, 10 * SECOND));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rate");
    TCase *tc = tcase_create("rate");

    tcase_add_loop_test(tc, test_rate, 0, sizeof(rows) / sizeof(rows[0]));
    tcase_add_test(tc, test_burst);
    tcase_add_test(tc, test_clock_going_back);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
