/* A short run of what tests/bench/enginecheck does at length. */
#include "tests/unit/enginerun.h"
#include "tests/unit/unit.h"

enum { PACKETS = 20000, SEEDS = 4 };

START_TEST(test_run)
{
    const struct suite *suite = suite_get((enum suite_id)(_i / SEEDS));
    struct enginerun *run;
    const struct enginerun_counts *counts;
    unsigned packets = unit_rounds(PACKETS / SEEDS);

    if ((unsigned)_i % SEEDS >= unit_rounds(SEEDS))
        return;
    run = enginerun_new(suite, (uint64_t)_i % SEEDS + 1);
    ck_assert_ptr_nonnull(run);
    for (unsigned i = 0; i < packets; i++) {
        if (!enginerun_step(run))
            ck_abort_msg("%s", enginerun_failure(run));
    }
    /* It was no idle run. */
    counts = enginerun_counts(run);
    ck_assert_uint_gt(counts->verdict[VERDICT_ACCEPTED], packets / 4);
    ck_assert_uint_gt(counts->verdict[VERDICT_REPLAY], packets / 20);
    ck_assert_uint_gt(counts->verdict[VERDICT_AUTH_FAIL], packets / 20);
    ck_assert_uint_gt(counts->to_accept, packets / 4);
    ck_assert_uint_gt(counts->to_refuse, packets / 8);
    ck_assert_uint_gt(counts->wraps, 0);
    enginerun_free(run);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engines");
    TCase *tc = tcase_create("engines");

    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, test_run, 0, SUITE_COUNT * SEEDS);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
