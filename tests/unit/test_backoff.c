#include "common/tunnel/backoff.h"

#include <stdbool.h>
#include <stddef.h>

#include "tests/unit/unit.h"

#define MS UINT64_C(1000)

static const struct {
    unsigned failures;
    uint64_t max_us, bound_us;
} rows[] = {
    {0, 10000 * MS, 0},
    {1, 10000 * MS, 200 * MS},
    {2, 10000 * MS, 400 * MS},
    {3, 10000 * MS, 800 * MS},
    {6, 10000 * MS, 6400 * MS},
    {7, 10000 * MS, 10000 * MS},
    {8, 10000 * MS, 10000 * MS},
    {4000000000, 10000 * MS, 10000 * MS},
    {1, 100 * MS, 100 * MS},
    {3, 500 * MS, 500 * MS},
    {0, 100 * MS, 0},
};

START_TEST(test_bound)
{
    ck_assert_uint_eq(backoff_bound(rows[_i].failures, rows[_i].max_us), rows[_i].bound_us);
}
END_TEST

START_TEST(test_next)
{
    struct backoff backoff = {0};

    /* At once after a tunnel that had been up. */
    ck_assert_uint_eq(backoff_next(&backoff, 10000 * MS), 0);
    for (unsigned i = 1; i < 100; i++)
        ck_assert_uint_le(backoff_next(&backoff, 10000 * MS), backoff_bound(i, 10000 * MS));
    backoff_reset(&backoff);
    ck_assert_uint_eq(backoff_next(&backoff, 10000 * MS), 0);
}
END_TEST

/* Full jitter: waits lie in all quarters of the range. */
START_TEST(test_jitter)
{
    bool seen[4] = {false};

    for (unsigned i = 0; i < 400; i++) {
        struct backoff backoff = {.failures = 20};
        uint64_t wait = backoff_next(&backoff, 10000 * MS);

        seen[wait * 4 / (10000 * MS + 1)] = true;
    }
    for (unsigned i = 0; i < 4; i++)
        ck_assert(seen[i]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("backoff");
    TCase *tc = tcase_create("backoff");

    tcase_add_loop_test(tc, test_bound, 0, sizeof(rows) / sizeof(rows[0]));
    tcase_add_test(tc, test_next);
    tcase_add_test(tc, test_jitter);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
