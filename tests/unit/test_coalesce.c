#include "common/daemon/coalesce.h"

#include <stdbool.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "tests/unit/unit.h"

START_TEST(test_interval)
{
    static const struct {
        int setting;
        unsigned now_us;
        uint64_t packets_per_s;
        unsigned next_us;
    } rows[] = {
        {0, 0, 1000000, 0},
        {0, 500, 1000000, 0},
        {1000, 0, 0, 1000},
        {70, 500, 1000000, 70},
        {COALESCE_AUTO, 0, 0, 0},
        {COALESCE_AUTO, 0, COALESCE_AUTO_ON - 1, 0},
        {COALESCE_AUTO, 0, COALESCE_AUTO_ON, COALESCE_AUTO_US},
        {COALESCE_AUTO, COALESCE_AUTO_US, COALESCE_AUTO_OFF, COALESCE_AUTO_US},
        {COALESCE_AUTO, COALESCE_AUTO_US, COALESCE_AUTO_OFF - 1, 0},
        {COALESCE_AUTO, 70, COALESCE_AUTO_OFF, COALESCE_AUTO_US},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        ck_assert_uint_eq(coalesce_interval(rows[i].setting, rows[i].now_us, rows[i].packets_per_s),
                          rows[i].next_us);
}
END_TEST

/* A socket that can always be read: the loop turns as often as it may. */
struct busy {
    struct coalesce coalesce;
    ev_io io;
    int ends[2];
    uint64_t packets, each; /* of each look at the count */
    unsigned turns, most;
    unsigned interval_seen_us; /* the greatest */
    bool calms;                /* no more packets once the interval is there */
};

static uint64_t packets_of(void *ctx)
{
    struct busy *busy = ctx;

    busy->packets += busy->each;
    return busy->packets;
}

static void on_readable(struct ev_loop *loop, ev_io *io, int events)
{
    struct busy *busy = io->data;

    (void)events;
    if (busy->coalesce.interval_us > busy->interval_seen_us)
        busy->interval_seen_us = busy->coalesce.interval_us;
    if (busy->calms && busy->coalesce.interval_us > 0)
        busy->each = 0;
    if (++busy->turns >= busy->most ||
        (busy->calms && busy->interval_seen_us > 0 && busy->coalesce.interval_us == 0))
        ev_io_stop(loop, io);
}

static void run(struct busy *busy, int setting)
{
    struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);

    ck_assert_int_eq(pipe(busy->ends), 0);
    ck_assert_int_eq(write(busy->ends[1], "x", 1), 1);
    ev_io_init(&busy->io, on_readable, busy->ends[0], EV_READ);
    busy->io.data = busy;
    ev_io_start(loop, &busy->io);
    coalesce_start(&busy->coalesce, loop, setting, packets_of, busy);
    /* It ends by itself: what measures does not keep the loop alive. */
    ev_run(loop, 0);
    coalesce_stop(&busy->coalesce);
    ev_loop_destroy(loop);
    close(busy->ends[0]);
    close(busy->ends[1]);
}

/* No matter how much there is to be read, it is looked at once in an interval. */
START_TEST(test_fixed)
{
    struct busy busy = {.most = 200, .each = 1};
    uint64_t began_us = clock_now_us();

    run(&busy, 1000);
    ck_assert_uint_eq(busy.turns, 200);
    ck_assert_uint_ge(clock_now_us() - began_us, 199 * 990);
    ck_assert_uint_gt(busy.coalesce.turns_per_s, 0);
    ck_assert_uint_le(busy.coalesce.turns_per_s, 1100);
}
END_TEST

START_TEST(test_none)
{
    struct busy busy = {.most = 200, .each = 1000000};

    run(&busy, 0);
    ck_assert_uint_eq(busy.turns, 200);
    ck_assert_uint_eq(busy.interval_seen_us, 0);
}
END_TEST

START_TEST(test_auto)
{
    struct busy busy = {.most = UINT32_MAX, .each = 1000000, .calms = true};

    run(&busy, COALESCE_AUTO);
    ck_assert_uint_eq(busy.interval_seen_us, COALESCE_AUTO_US);
    ck_assert_uint_eq(busy.coalesce.interval_us, 0);
    ck_assert_uint_eq(busy.coalesce.packets_per_s, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("coalesce");
    TCase *tcase = tcase_create("coalesce");

    tcase_add_test(tcase, test_interval);
    tcase_add_test(tcase, test_fixed);
    tcase_add_test(tcase, test_none);
    tcase_add_test(tcase, test_auto);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
