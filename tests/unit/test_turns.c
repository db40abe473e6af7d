#include "common/daemon/turns.h"

#include "common/base/clock.h"
#include "tests/unit/unit.h"

START_TEST(test_counts)
{
    static const uint64_t spent_us[] = {1, 999, 1000, 1001, 70000, 5};
    struct turns turns = {0};

    for (unsigned i = 0; i < sizeof(spent_us) / sizeof(spent_us[0]); i++)
        turns_add(&turns, spent_us[i]);
    ck_assert_uint_eq(turns.count, 6);
    ck_assert_uint_eq(turns.over_1ms, 2);
    ck_assert_uint_eq(turns.longest_us, 70000);
}
END_TEST

struct work {
    ev_timer timer;
    uint64_t spin_us, spent_us;
    unsigned left;
};

static void on_work(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct work *work = timer->data;
    uint64_t began_us = clock_now_us();

    (void)events;
    do
        work->spent_us = clock_now_us() - began_us;
    while (work->spent_us < work->spin_us);
    if (--work->left == 0)
        ev_timer_stop(loop, timer);
}

/* What a callback takes is in its turn; the waiting between turns is in none. */
START_TEST(test_loop)
{
    struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
    struct work work = {.spin_us = 2000, .left = 3};
    struct turns turns;
    uint64_t began_us = clock_now_us();

    ev_timer_init(&work.timer, on_work, 0.03, 0.03);
    work.timer.data = &work;
    turns_start(&turns, loop);
    ev_now_update(loop);
    ev_timer_start(loop, &work.timer);
    /* It ends by itself when the timer has stopped. */
    ev_run(loop, 0);
    /* The last turn has no wait behind it. */
    ck_assert_uint_ge(turns.count, 2);
    ck_assert_uint_ge(turns.over_1ms, 2);
    ck_assert_uint_ge(turns.longest_us, 2000);
    ck_assert_uint_le(turns.longest_us + 25000, clock_now_us() - began_us);
    turns_stop(&turns);
    ev_loop_destroy(loop);
}
END_TEST

/* Before the loop has waited once there is nothing to count. */
START_TEST(test_not_begun)
{
    struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
    struct turns turns;

    turns_start(&turns, loop);
    ev_run(loop, EVRUN_NOWAIT);
    ck_assert_uint_eq(turns.count, 0);
    ev_run(loop, EVRUN_NOWAIT);
    ck_assert_uint_eq(turns.count, 1);
    turns_stop(&turns);
    ev_run(loop, EVRUN_NOWAIT);
    ck_assert_uint_eq(turns.count, 1);
    ev_loop_destroy(loop);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("turns");
    TCase *tc = tcase_create("turns");

    tcase_add_test(tc, test_counts);
    tcase_add_test(tc, test_loop);
    tcase_add_test(tc, test_not_begun);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
