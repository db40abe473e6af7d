#include "common/tunnel/bulk.h"

#include "common/base/protocol.h"
#include "tests/unit/unit.h"

#define START_US UINT64_C(1000000000)

/* As many octets as there is room for, each 5 ms for so long; returns the octets per second. */
static uint64_t run(struct bulk *bulk, bool long_queue, uint64_t from_us, uint64_t for_us)
{
    uint64_t sum = 0;

    for (uint64_t us = 0; us < for_us; us += 5000) {
        size_t room = bulk_room(bulk, true, long_queue, 1000, from_us + us);

        ck_assert_uint_ne(room, SIZE_MAX);
        bulk_took(bulk, room);
        sum += room;
    }
    return sum * 1000000 / for_us;
}

/* Calls or none, a long queue or none: without either nothing is bounded. */
START_TEST(test_unbounded)
{
    struct bulk bulk = {.rate = 0};

    ck_assert_uint_eq(bulk_room(&bulk, false, false, 1000, START_US), SIZE_MAX);
    ck_assert_uint_eq(bulk_room(&bulk, false, true, 1000, START_US), SIZE_MAX);
    ck_assert_uint_eq(bulk_room(&bulk, true, false, 1000, START_US), SIZE_MAX);
    bulk_took(&bulk, 1000000);
    ck_assert_uint_eq(bulk_room(&bulk, true, true, 1000, START_US + 10), 0);
    ck_assert_uint_eq(bulk_room(&bulk, true, false, 1000, START_US + 20), 0);
    ck_assert_uint_eq(bulk_room(&bulk, false, true, 1000, START_US + 30), SIZE_MAX);
}
END_TEST

START_TEST(test_rate)
{
    struct bulk bulk = {.rate = 0};
    uint64_t rate;

    (void)bulk_room(&bulk, true, false, 1000, START_US);
    /* While the queue is long: the least, whatever the rate was. */
    rate = run(&bulk, true, START_US, 1000000);
    ck_assert_uint_ge(rate, 7000);
    ck_assert_uint_le(rate, 9000);
    ck_assert_uint_eq(bulk.rate, 8000);
    /* Then a quarter more each 20 ms. */
    rate = run(&bulk, false, START_US + 1000000, 40000);
    ck_assert_uint_le(rate, 12500);
    (void)run(&bulk, false, START_US + 1040000, 960000);
    ck_assert_uint_gt(bulk.rate, 10000000);
    /* And half of it at once. */
    rate = bulk.rate;
    (void)bulk_room(&bulk, true, true, 1000, START_US + 2000000);
    ck_assert_uint_eq(bulk.rate, rate / 2);
    (void)bulk_room(&bulk, true, true, 1000, START_US + 2019999);
    ck_assert_uint_eq(bulk.rate, rate / 2);
    (void)bulk_room(&bulk, true, true, 1000, START_US + 2020000);
    ck_assert_uint_eq(bulk.rate, rate / 4);
}
END_TEST

/* A longer RTT is a longer step. */
START_TEST(test_step)
{
    struct bulk bulk = {.rate = 1000,
                        .filled_us = START_US,
                        .lowered_us = START_US,
                        .raised_us = START_US,
                        .used_up = true};

    (void)bulk_room(&bulk, true, false, 50000, START_US + 99999);
    ck_assert_uint_eq(bulk.rate, 1000);
    bulk.used_up = true;
    (void)bulk_room(&bulk, true, false, 50000, START_US + 100000);
    ck_assert_uint_eq(bulk.rate, 1250);
    /* Who did not need it gets no more. */
    bulk.used_up = false;
    (void)bulk_room(&bulk, true, false, 50000, START_US + 300000);
    ck_assert_uint_eq(bulk.rate, 1250);
}
END_TEST

/* What was not used is not saved for a burst, and a frame that was too large is owed. */
START_TEST(test_saved)
{
    struct bulk bulk = {.rate = 100000, .filled_us = START_US};

    ck_assert_uint_eq(bulk_room(&bulk, true, false, 1000, START_US + 60000000), FRAME_MAX_OCTETS);
    bulk_took(&bulk, FRAME_MAX_OCTETS + 1000);
    ck_assert_uint_eq(bulk_room(&bulk, true, false, 1000, START_US + 60007000), 0);
    ck_assert_uint_gt(bulk_room(&bulk, true, false, 1000, START_US + 60011000), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("bulk");
    TCase *tcase = tcase_create("bulk");

    tcase_add_test(tcase, test_unbounded);
    tcase_add_test(tcase, test_rate);
    tcase_add_test(tcase, test_step);
    tcase_add_test(tcase, test_saved);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
