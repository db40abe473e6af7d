/* When packets wait for a segment to be full. */
#include "common/tunnel/holdback.h"

#include "tests/unit/unit.h"

enum { START_US = 1000000 };

/* Packets of a second at this rate; the clock stands at its end. */
static void go(struct holdback *holdback, unsigned rate, uint64_t *sent, uint64_t *now_us)
{
    for (unsigned i = 0; i < 100; i++) {
        struct holdback_state state = {.sent = *sent += rate / 100, .queued_us = *now_us};

        ck_assert_uint_eq(holdback_us(holdback, &state, *now_us), 0);
        *now_us += 10000;
    }
}

static const struct {
    unsigned rate;
    uint64_t lost_before_us, waited_us; /* 0: never lost */
    size_t octets;
    uint64_t wanted_us;
} rows[] = {
    {5000, 1, 0, 200, HOLDBACK_US},
    {5000, HOLDBACK_LOSS_US - 1, 0, 200, HOLDBACK_US},
    {5000, HOLDBACK_LOSS_US, 0, 200, 0},
    {5000, 0, 0, 200, 0},
    {5000, 1, 400, 200, HOLDBACK_US - 400},
    {5000, 1, HOLDBACK_US - 1, 200, 1},
    {5000, 1, HOLDBACK_US, 200, 0},
    {5000, 1, 50000, 200, 0},
    {5000, 1, 0, HOLDBACK_OCTETS - 1, HOLDBACK_US},
    {5000, 1, 0, HOLDBACK_OCTETS, 0},
    {HOLDBACK_RATE + 500, 1, 0, 200, HOLDBACK_US},
    {HOLDBACK_RATE - 100, 1, 0, 200, 0},
    {50, 1, 0, 200, 0},
};

START_TEST(test_rows)
{
    struct holdback holdback = {0};
    uint64_t sent = 0, now_us = START_US;
    struct holdback_state state = {.octets = rows[_i].octets};

    go(&holdback, rows[_i].rate, &sent, &now_us);
    state.sent = sent;
    state.lost_us = rows[_i].lost_before_us ? now_us - rows[_i].lost_before_us : 0;
    state.queued_us = now_us - rows[_i].waited_us;
    ck_assert_uint_eq(holdback_us(&holdback, &state, now_us), rows[_i].wanted_us);
}
END_TEST

/* Who becomes quiet waits no more. */
START_TEST(test_quiet)
{
    struct holdback holdback = {0};
    uint64_t sent = 0, now_us = START_US;
    struct holdback_state state = {.octets = 200};

    go(&holdback, 5000, &sent, &now_us);
    go(&holdback, 1000, &sent, &now_us);
    state.sent = sent;
    state.lost_us = state.queued_us = now_us;
    ck_assert_uint_eq(holdback_us(&holdback, &state, now_us), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("holdback");
    TCase *tc = tcase_create("holdback");

    tcase_add_loop_test(tc, test_rows, 0, sizeof(rows) / sizeof(rows[0]));
    tcase_add_test(tc, test_quiet);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
