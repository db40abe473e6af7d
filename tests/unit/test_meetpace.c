/* When a meeting with another site may be begun. */
#include "common/tunnel/localports.h"
#include "inner-relay/direct.h"
#include "inner-relay/meetpace.h"
#include "tests/unit/unit.h"

#define S (UINT64_C(1000) * 1000)

enum { NOW = 100, OTHERS_MAX = LOCALPORTS - 4 };

/* The other site asks as often as it likes: each would be a connection to the dmz-relay. */
START_TEST(test_flood)
{
    struct meetpace pace = {0};
    unsigned begun = 0;

    for (uint64_t now_us = NOW * S; now_us < (NOW + 60) * S; now_us += S / 100) {
        if (!meetpace_may_begin(&pace, 0, now_us))
            continue;
        meetpace_begin(&pace, now_us);
        begun++;
    }
    ck_assert_uint_eq(begun, 12);
}
END_TEST

/* Each needs a port, and the tunnel is to find one, too. */
START_TEST(test_ports)
{
    struct meetpace pace = {0};

    ck_assert(meetpace_may_begin(&pace, OTHERS_MAX, NOW * S));
    ck_assert(!meetpace_may_begin(&pace, OTHERS_MAX + 1, NOW * S));
    ck_assert(!meetpace_may_begin(&pace, 31, NOW * S));
}
END_TEST

/* What comes to nothing is tried later and later; what has worked, soon. */
START_TEST(test_retries)
{
    static const unsigned pauses_s[] = {10, 20, 40, 80, 160, 320, 600, 600};
    struct meetpace pace = {0};
    uint64_t now_us = NOW * S;

    ck_assert(meetpace_is_due(&pace, now_us));
    for (size_t i = 0; i < sizeof(pauses_s) / sizeof(pauses_s[0]); i++) {
        meetpace_begin(&pace, now_us);
        now_us += 7 * S;
        meetpace_end(&pace, now_us);
        now_us += pauses_s[i] * S;
        ck_assert(!meetpace_is_due(&pace, now_us - 1));
        ck_assert(meetpace_is_due(&pace, now_us));
    }
    meetpace_begin(&pace, now_us);
    meetpace_open(&pace, now_us);
    ck_assert(meetpace_prove(&pace) && !meetpace_prove(&pace));
    meetpace_end(&pace, now_us + S);
    ck_assert(!meetpace_is_due(&pace, now_us + 5 * S - 1));
    ck_assert(meetpace_is_due(&pace, now_us + 5 * S));
    now_us += 5 * S;
    meetpace_begin(&pace, now_us);
    meetpace_end(&pace, now_us);
    ck_assert(meetpace_is_due(&pace, now_us + 10 * S));
}
END_TEST

/*
 * A path that dies by itself within a minute has come to nothing, whoever notices first: one ends
 * it after 8 s of silence, the other one when it is told of that. One that is ended while it is
 * good has not.
 */
START_TEST(test_flapping)
{
    static const struct {
        unsigned lasts_s;
        bool good, soon;
    } rows[] = {{59, false, false}, {60, false, true}, {59, true, true}, {4, true, true}};
    struct meetpace pace = {0};
    uint64_t now_us = NOW * S;
    unsigned begun = 0;

    while (now_us < 4000 * S) {
        if (!meetpace_is_due(&pace, now_us)) {
            now_us += S;
            continue;
        }
        meetpace_begin(&pace, now_us);
        meetpace_open(&pace, now_us);
        (void)meetpace_prove(&pace);
        begun++;
        now_us += rows[_i].lasts_s * S;
        meetpace_close(&pace, rows[_i].good, now_us);
        meetpace_end(&pace, now_us);
    }
    if (rows[_i].soon)
        ck_assert_uint_ge(begun, 60);
    else
        ck_assert_uint_le(begun, 12);
}
END_TEST

/* The path that has died: its end by the clock, and by the other site's word, cost the same. */
START_TEST(test_told)
{
    struct meetpace pace[2] = {{0}, {0}};
    struct direct direct = {0};
    uint64_t now_us = NOW * S;

    for (unsigned i = 0; i < 2; i++) {
        meetpace_begin(&pace[i], now_us);
        meetpace_open(&pace[i], now_us);
        (void)meetpace_prove(&pace[i]);
    }
    direct_open(&direct, now_us);
    for (; !direct_is_lost(&direct, now_us); now_us += S)
        ck_assert_uint_lt(now_us, (NOW + 20) * S);
    for (unsigned i = 0; i < 2; i++) {
        meetpace_close(&pace[i], direct_is_proven(&direct, now_us), now_us);
        meetpace_end(&pace[i], now_us);
        ck_assert(!meetpace_is_due(&pace[i], now_us + 10 * S - 1));
    }
}
END_TEST

/* In one session each number makes its keys once; in another one all are new. */
START_TEST(test_numbers)
{
    struct meetpace pace = {0};
    uint64_t number = 0;

    for (unsigned i = 0; i < 1000; i++) {
        uint64_t next = meetpace_draw(&pace, 0, 77, i % 3 == 0 ? 0 : i % 3 == 1 ? UINT64_MAX : i);

        ck_assert_uint_gt(next, number);
        ck_assert(meetpace_take(&pace, 0, 77, next));
        number = next;
        ck_assert(!meetpace_take(&pace, 0, 77, number));
        ck_assert(!meetpace_take(&pace, 0, 77, number - 1));
        ck_assert(!meetpace_take(&pace, 0, 77, 1));
    }
    ck_assert(meetpace_take(&pace, 1, 78, 5));
    ck_assert(!meetpace_take(&pace, 0, 77, number));
    ck_assert(!meetpace_take(&pace, 1, 78, 5));
    ck_assert(meetpace_take(&pace, 0, 79, 5));
    ck_assert(meetpace_take(&pace, 0, 79, UINT64_MAX));
    ck_assert_uint_eq(meetpace_draw(&pace, 0, 79, 1), 0);
    ck_assert(!meetpace_take(&pace, 0, 79, 0));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("meetpace");
    TCase *tc = tcase_create("meetpace");

    tcase_add_test(tc, test_flood);
    tcase_add_test(tc, test_ports);
    tcase_add_test(tc, test_retries);
    tcase_add_loop_test(tc, test_flapping, 0, 4);
    tcase_add_test(tc, test_told);
    tcase_add_test(tc, test_numbers);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
