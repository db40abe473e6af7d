#include "common/daemon/turns.h"

#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "tests/unit/unit.h"

START_TEST(test_counts)
{
    static const struct {
        uint64_t spent_us, own_us;
        bool preempted;
        /* with this turn and those above */
        uint64_t over_500us, over_1ms, late, were_preempted;
    } rows[] = {
        {1, 0, false, 0, 0, 0, 0},       {500, 500, false, 0, 0, 0, 0},
        {999, 999, true, 1, 0, 0, 0},    {1000, 1000, false, 2, 0, 0, 0},
        {1001, 1000, false, 3, 0, 1, 0}, {1001, 1001, false, 4, 1, 1, 0},
        {70000, 20, true, 4, 1, 2, 1},   {70001, 3000, true, 5, 2, 2, 1},
        {600, 501, false, 6, 2, 2, 1},   {5, 5, false, 6, 2, 2, 1},
    };
    struct turns turns = {0};

    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        turns_add(&turns, rows[i].spent_us, rows[i].own_us, rows[i].preempted);
        ck_assert_uint_eq(turns.count, i + 1);
        ck_assert_uint_eq(turns.over_500us, rows[i].over_500us);
        ck_assert_uint_eq(turns.over_1ms, rows[i].over_1ms);
        ck_assert_uint_eq(turns.late, rows[i].late);
        ck_assert_uint_eq(turns.preempted, rows[i].were_preempted);
    }
    ck_assert_uint_eq(turns.longest_us, 70001);
    ck_assert_uint_eq(turns.longest_own_us, 3000);
}
END_TEST

/* Of several loops: all of them, and the longest of any. */
START_TEST(test_sum)
{
    struct turns a = {.count = 0}, b = {.count = 0}, sum = {.count = 0};

    turns_add(&a, 1200, 1100, false);
    turns_add(&a, 20, 10, false);
    turns_add(&b, 3000, 600, true);
    turns_sum(&sum, &a);
    turns_sum(&sum, &b);
    ck_assert_uint_eq(sum.count, 3);
    ck_assert_uint_eq(sum.over_1ms, 1);
    ck_assert_uint_eq(sum.over_500us, 2);
    ck_assert_uint_eq(sum.late, 1);
    ck_assert_uint_eq(sum.preempted, 1);
    ck_assert_uint_eq(sum.longest_us, 3000);
    ck_assert_uint_eq(sum.longest_own_us, 1100);
}
END_TEST

/* How a callback passes its time. */
static void work(void)
{
    uint64_t began_us = clock_thread_us();

    while (clock_thread_us() - began_us < 2000) {
    }
}

static void rest(void)
{
    struct timespec pause = {.tv_nsec = 2000000};

    nanosleep(&pause, NULL);
}

/* The kernel gives the processor to who wants it too, and does not give it back at once. */
static void yield(void)
{
    uint64_t began_us = clock_now_us();

    while (clock_now_us() - began_us < 2000)
        sched_yield();
}

/* Passes the time in turn after turn: left of them, or until enough were late. */
struct passing {
    ev_timer timer;
    void (*pass)(void);
    const struct turns *turns;
    unsigned left, late_enough;
};

static void on_passing(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct passing *passing = timer->data;

    (void)events;
    passing->pass();
    if (--passing->left == 0 || passing->turns->late >= passing->late_enough)
        ev_timer_stop(loop, timer);
}

/* The last turn has no wait behind it, and is not counted. */
static struct turns turns_of(void (*pass)(void), unsigned most, unsigned late_enough)
{
    struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
    struct turns turns;
    struct passing passing = {
        .pass = pass, .turns = &turns, .left = most, .late_enough = late_enough};

    ev_timer_init(&passing.timer, on_passing, 0.03, 0.03);
    passing.timer.data = &passing;
    turns_start(&turns, loop);
    ev_now_update(loop);
    ev_timer_start(loop, &passing.timer);
    /* It ends by itself when the timer has stopped. */
    ev_run(loop, 0);
    turns_stop(&turns);
    ev_loop_destroy(loop);
    return turns;
}

/* What a callback takes is in its turn; the waiting between turns is in none. */
START_TEST(test_work)
{
    uint64_t began_us = clock_now_us();
    struct turns turns = turns_of(work, 3, UINT_MAX);

    ck_assert_uint_ge(turns.count, 2);
    ck_assert_uint_ge(turns.over_1ms, 2);
    ck_assert_uint_ge(turns.longest_own_us, 1999);
    ck_assert_uint_ge(turns.longest_us, turns.longest_own_us);
    ck_assert_uint_le(turns.longest_us + 25000, clock_now_us() - began_us);
}
END_TEST

/*
 * Of a turn that waited it is the turn that is long, not the work. Where everything is slow
 * (valgrind translates what it sees first) the work of single turns may be long too.
 */
START_TEST(test_rest)
{
    struct turns turns = turns_of(rest, 100, 2);

    ck_assert_uint_ge(turns.late, 2);
    ck_assert_uint_le(turns.late + turns.over_1ms, turns.count);
    ck_assert_uint_ge(turns.longest_us, 2000);
    ck_assert_uint_lt(turns.longest_own_us, turns.longest_us);
}
END_TEST

/* Keeps one processor busy beside this process, which may use no other. Returns its pid. */
static pid_t start_rival(cpu_set_t *before)
{
    cpu_set_t one;
    pid_t pid;

    ck_assert_int_eq(sched_getaffinity(0, sizeof(*before), before), 0);
    CPU_ZERO(&one);
    CPU_SET((size_t)sched_getcpu(), &one);
    ck_assert_int_eq(sched_setaffinity(0, sizeof(one), &one), 0);
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        alarm(60);
        for (;;) {
        }
    }
    return pid;
}

/* A turn that is late because another process worked in its place says so. */
START_TEST(test_preempted)
{
    cpu_set_t before;
    pid_t rival = start_rival(&before);
    struct turns turns = {0};

    for (unsigned round = 0; round < 100 && turns.preempted == 0; round++)
        turns = turns_of(yield, 3, UINT_MAX);
    kill(rival, SIGKILL);
    waitpid(rival, NULL, 0);
    ck_assert_int_eq(sched_setaffinity(0, sizeof(before), &before), 0);
    ck_assert_uint_gt(turns.preempted, 0);
    ck_assert_uint_ge(turns.late, turns.preempted);
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
    tcase_add_test(tc, test_sum);
    tcase_add_test(tc, test_work);
    tcase_add_test(tc, test_rest);
    tcase_add_test(tc, test_preempted);
    tcase_add_test(tc, test_not_begun);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
