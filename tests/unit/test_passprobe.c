/* Probes by packet forwarders: only the other site can make one, with the key of a session. */
#include <string.h>

#include "common/base/err.h"
#include "inner-relay/passprobe.h"
#include "tests/unit/unit.h"

#define SECOND UINT64_C(1000000)

static const struct passprobe sample = {.clock_us = 0x0102030405060708,
                                        .echo_us = 0x1112131415161718,
                                        .held_us = 0x21222324,
                                        .taken = 0x31323334};
static struct passprobe_keys keys[2];

/* Of the session that site 0 has opened (from 0), or site 1. */
static void add(unsigned site, unsigned from, uint8_t number, uint64_t now_us)
{
    uint8_t secret[2][PASSPROBE_SECRET_OCTETS];

    memset(secret[0], number, sizeof(secret[0]));
    memset(secret[1], 0x80 | number, sizeof(secret[1]));
    passprobe_keys_add(&keys[site], site == from, secret, now_us);
}

static void setup(void)
{
    memset(keys, 0, sizeof(keys));
}

static size_t put(unsigned site, uint8_t *out, size_t size, uint64_t now_us)
{
    struct writer w;

    writer_init(&w, out, size);
    return passprobe_put(&w, &keys[site], &sample, now_us) ? writer_length(&w) : 0;
}

static int get(unsigned site, const uint8_t *data, size_t length, struct passprobe *probe)
{
    struct reader r;

    reader_init(&r, data, length);
    return passprobe_get(&r, &keys[site], probe);
}

/* What site sends at that time comes to the other one. */
static int pass(unsigned site, uint64_t now_us)
{
    uint8_t memory[PASSPROBE_OCTETS];
    struct passprobe probe;

    ck_assert_uint_eq(put(site, memory, sizeof(memory), now_us), sizeof(memory));
    return get(!site, memory, sizeof(memory), &probe);
}

START_TEST(test_fields)
{
    unsigned from = (unsigned)_i & 1, site = (unsigned)_i >> 1;
    uint8_t memory[PASSPROBE_OCTETS + 1];
    struct passprobe probe;

    for (unsigned i = 0; i < 2; i++)
        add(i, from, 1, SECOND);
    ck_assert_uint_eq(put(site, memory, PASSPROBE_OCTETS - 1, SECOND), 0);
    ck_assert_uint_eq(put(site, memory, sizeof(memory), SECOND), PASSPROBE_OCTETS);
    ck_assert_uint_eq(memory[0], site == from ? 0 : 1);
    ck_assert_int_eq(get(!site, memory, PASSPROBE_OCTETS, &probe), 0);
    ck_assert_uint_eq(probe.clock_us, sample.clock_us);
    ck_assert_uint_eq(probe.echo_us, sample.echo_us);
    ck_assert_uint_eq(probe.held_us, sample.held_us);
    ck_assert_uint_eq(probe.taken, sample.taken);
    for (size_t length = 0; length < PASSPROBE_OCTETS; length++)
        ck_assert_int_eq(get(!site, memory, length, &probe), ERR_PROTOCOL);
    for (size_t bit = 0; bit < 8 * PASSPROBE_OCTETS; bit++) {
        memory[bit / 8] ^= (uint8_t)(1 << bit % 8);
        ck_assert_int_lt(get(!site, memory, PASSPROBE_OCTETS, &probe), 0);
        memory[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    ck_assert_int_eq(get(!site, memory, PASSPROBE_OCTETS, &probe), 0);
}
END_TEST

/* A packet forwarder sends one back to who has made it, as it came or as if it were the other's. */
START_TEST(test_reflected)
{
    uint8_t memory[PASSPROBE_OCTETS];
    struct passprobe probe;

    for (unsigned i = 0; i < 2; i++) {
        add(i, 0, 1, SECOND);
        add(i, 1, 2, SECOND);
    }
    ck_assert_uint_gt(put(0, memory, sizeof(memory), SECOND), 0);
    for (uint8_t side = 0; side < 2; side++) {
        memory[0] = side;
        ck_assert_int_eq(get(0, memory, sizeof(memory), &probe), ERR_FORBIDDEN);
    }
    ck_assert_int_eq(pass(0, SECOND), 0);
}
END_TEST

START_TEST(test_no_key)
{
    uint8_t memory[PASSPROBE_OCTETS];

    ck_assert_uint_eq(put(0, memory, sizeof(memory), SECOND), 0);
    add(0, 0, 1, SECOND);
    ck_assert_int_eq(pass(0, SECOND), ERR_NOT_FOUND);
    add(1, 0, 2, SECOND);
    ck_assert_int_eq(pass(0, SECOND), ERR_FORBIDDEN);
}
END_TEST

/* Octets between the fields and the tag are of a later version. */
START_TEST(test_later)
{
    uint8_t memory[PASSPROBE_OCTETS + 4] = {0};
    struct passprobe probe;

    add(0, 0, 1, SECOND);
    add(1, 0, 1, SECOND);
    ck_assert_uint_gt(put(0, memory, sizeof(memory), SECOND), 0);
    ck_assert_int_eq(get(1, memory, sizeof(memory), &probe), ERR_FORBIDDEN);
}
END_TEST

/* The two hear of a new session at different times, and in any order. */
START_TEST(test_change)
{
    unsigned first = (unsigned)_i & 1, from = (unsigned)_i >> 1;
    uint64_t now_us = 10 * SECOND;

    for (unsigned i = 0; i < 2; i++)
        add(i, 0, 1, SECOND);
    for (uint8_t number = 2; number < 5; number++) {
        add(first, from, number, now_us);
        for (unsigned i = 0; i < 4; i++, now_us += SECOND / 10) {
            ck_assert_int_eq(pass(0, now_us), 0);
            ck_assert_int_eq(pass(1, now_us), 0);
        }
        add(!first, from, number, now_us);
        for (unsigned i = 0; i < 20; i++, now_us += SECOND / 10) {
            ck_assert_int_eq(pass(0, now_us), 0);
            ck_assert_int_eq(pass(1, now_us), 0);
        }
        passprobe_keys_end(&keys[0], from == 0, now_us);
        passprobe_keys_end(&keys[1], from == 1, now_us);
        ck_assert_int_eq(pass(0, now_us), 0);
        ck_assert_int_eq(pass(1, now_us), 0);
    }
}
END_TEST

/* It was over at once: the other site may never have had it. */
START_TEST(test_over_at_once)
{
    for (unsigned i = 0; i < 2; i++)
        add(i, 0, 1, SECOND);
    add(0, 0, 2, 10 * SECOND);
    passprobe_keys_end(&keys[0], true, 10 * SECOND + 100);
    ck_assert_int_eq(pass(0, 20 * SECOND), 0);
    ck_assert_int_eq(pass(1, 20 * SECOND), 0);
    /* The one that was there before is not forgotten by an end of its own. */
    passprobe_keys_end(&keys[0], true, 20 * SECOND);
    ck_assert_int_eq(pass(0, 20 * SECOND), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("passprobe");
    TCase *tc = tcase_create("passprobe");

    tcase_add_checked_fixture(tc, setup, NULL);
    tcase_add_loop_test(tc, test_fields, 0, 4);
    tcase_add_test(tc, test_reflected);
    tcase_add_test(tc, test_no_key);
    tcase_add_test(tc, test_later);
    tcase_add_loop_test(tc, test_change, 0, 4);
    tcase_add_test(tc, test_over_at_once);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
