#include "config.h" /* _GNU_SOURCE */

#include "tests/tools/slowway.h"

#include <string.h>

#include "tests/unit/unit.h"

enum { IPV4 = 0x0800, ARP = 0x0806, OCTETS = 101 }; /* with the cable's own: 1,000 bit */

static void put(struct slowway *way, uint16_t type, uint8_t mark, uint64_t now_us)
{
    uint8_t *slot = slowway_slot(way);

    memset(slot, 0, OCTETS);
    slot[12] = (uint8_t)(type >> 8);
    slot[13] = (uint8_t)type;
    slot[OCTETS - 1] = mark;
    slowway_take(way, OCTETS, now_us);
}

/* The mark of the next one that is due; -1: none. */
static int next(struct slowway *way, uint64_t now_us)
{
    size_t length = 0;
    uint8_t *frame = slowway_next(way, now_us, &length);

    if (frame)
        ck_assert_uint_eq(length, OCTETS);
    return frame ? frame[OCTETS - 1] : -1;
}

START_TEST(test_delay)
{
    struct slowway *way = slowway_new(1);

    slowway_settings(way)->delay_us = 20000;
    ck_assert_uint_eq(slowway_due(way), UINT64_MAX);
    put(way, IPV4, 1, 1000);
    put(way, IPV4, 2, 1500);
    ck_assert_uint_eq(slowway_due(way), 21000);
    ck_assert_int_eq(next(way, 20999), -1);
    ck_assert_int_eq(next(way, 21000), 1);
    ck_assert_int_eq(next(way, 21000), -1);
    /* A delay made shorter leaves the order as it is. */
    slowway_settings(way)->delay_us = 0;
    put(way, IPV4, 3, 2000);
    ck_assert_int_eq(next(way, 21499), -1);
    ck_assert_int_eq(next(way, 21500 + SLOWWAY_LATE_US + 1), 2);
    ck_assert_int_eq(next(way, 30000), 3);
    ck_assert_uint_eq(slowway_counters(way)->late_max_us, 8500);
    ck_assert_uint_eq(slowway_counters(way)->late, 2);
    slowway_forget_late(way);
    ck_assert_uint_eq(slowway_counters(way)->late_max_us, 0);
    ck_assert_uint_eq(slowway_counters(way)->octets, 3 * OCTETS);
    slowway_free(way);
}
END_TEST

/* Which of 1,000 are lost. */
static void lose(uint64_t seed, uint8_t lost[1000])
{
    struct slowway *way = slowway_new(0);

    slowway_seed(way, seed);
    slowway_settings(way)->loss_ppm = 100000;
    memset(lost, 1, 1000);
    for (unsigned i = 0; i < 1000; i++) {
        put(way, IPV4, 0, i);
        lost[i] = next(way, i) < 0;
    }
    ck_assert_uint_eq(slowway_counters(way)->lost + slowway_counters(way)->passed, 1000);
    slowway_free(way);
}

START_TEST(test_loss)
{
    uint8_t a[1000], b[1000], c[1000];
    unsigned count = 0;

    lose(5, a);
    lose(5, b);
    lose(6, c);
    ck_assert_mem_eq(a, b, 1000);
    ck_assert_mem_ne(a, c, 1000);
    for (unsigned i = 0; i < 1000; i++)
        count += a[i];
    ck_assert_uint_ge(count, 60);
    ck_assert_uint_le(count, 140);
}
END_TEST

START_TEST(test_outage)
{
    struct slowway *way = slowway_new(1);

    slowway_settings(way)->loss_ppm = 1000000;
    put(way, IPV4, 1, 0);
    slowway_settings(way)->outage = 1;
    put(way, IPV4, 2, 0);
    put(way, ARP, 3, 0);
    ck_assert_int_eq(next(way, 0), 3);
    ck_assert_int_eq(next(way, 0), -1);
    ck_assert_uint_eq(slowway_counters(way)->lost, 1);
    ck_assert_uint_eq(slowway_counters(way)->outage, 1);
    ck_assert_uint_eq(slowway_counters(way)->received, 3);
    slowway_free(way);
}
END_TEST

/* A packet takes 1 ms of this rate, and waits for 3 ms at most. */
START_TEST(test_rate)
{
    struct slowway *way = slowway_new(1);

    slowway_settings(way)->rate_kbit = 1000;
    slowway_settings(way)->queue_us = 3000;
    slowway_settings(way)->delay_us = 10000;
    for (uint8_t i = 0; i < 6; i++)
        put(way, IPV4, i, 0);
    ck_assert_uint_eq(slowway_counters(way)->overflow, 2);
    for (uint8_t i = 0; i < 4; i++) {
        ck_assert_uint_eq(slowway_due(way), 11000u + 1000u * i);
        ck_assert_int_eq(next(way, 11000u + 1000u * i), i);
    }
    put(way, IPV4, 9, 20000);
    ck_assert_uint_eq(slowway_due(way), 31000);
    slowway_free(way);
}
END_TEST

START_TEST(test_reorder)
{
    struct slowway *way = slowway_new(1);

    slowway_settings(way)->delay_us = 100;
    slowway_settings(way)->reorder_ppm = 1000000;
    slowway_settings(way)->reorder_us = 50;
    put(way, IPV4, 1, 0);
    slowway_settings(way)->reorder_ppm = 0;
    put(way, IPV4, 2, 10);
    put(way, IPV4, 3, 60);
    ck_assert_int_eq(next(way, 1000), 2);
    ck_assert_int_eq(next(way, 1000), 1);
    ck_assert_int_eq(next(way, 1000), 3);
    ck_assert_uint_eq(slowway_counters(way)->reordered, 1);
    slowway_free(way);
}
END_TEST

/* As many as there is room for; then they can all be had. */
START_TEST(test_full)
{
    struct slowway *way = slowway_new(1);
    unsigned count = 0;

    slowway_settings(way)->delay_us = 1;
    for (unsigned i = 0; i < SLOWWAY_FRAMES + 3; i++)
        put(way, IPV4, 1, 0);
    ck_assert_uint_eq(slowway_counters(way)->full, 3);
    while (next(way, 1) >= 0)
        count++;
    ck_assert_uint_eq(count, SLOWWAY_FRAMES);
    put(way, IPV4, 2, 1);
    ck_assert_int_eq(next(way, 2), 2);
    slowway_free(way);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("slowway");
    TCase *tc = tcase_create("core");

    tcase_add_test(tc, test_delay);
    tcase_add_test(tc, test_loss);
    tcase_add_test(tc, test_outage);
    tcase_add_test(tc, test_rate);
    tcase_add_test(tc, test_reorder);
    tcase_add_test(tc, test_full);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
