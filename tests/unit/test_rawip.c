#include "config.h" /* _GNU_SOURCE */

#include "tests/tools/rawip.h"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"

/* 192.0.2.1:5004 to 198.51.100.2:40000, "media"; with four octets of IP options where wanted. */
static size_t sample(uint8_t *out, bool options)
{
    static const uint8_t ip[] = {0x45, 0, 0,   33, 0, 1, 0x40, 0,  64,  17,
                                 0,    0, 192, 0,  2, 1, 198,  51, 100, 2};
    static const uint8_t udp[] = {0x13, 0x8c, 0x9c, 0x40, 0, 13, 0, 0, 'm', 'e', 'd', 'i', 'a'};
    const size_t more = options ? 4 : 0;

    memcpy(out, ip, sizeof(ip));
    memset(out + sizeof(ip), 1, more);
    out[0] = (uint8_t)(out[0] + more / 4);
    out[3] = (uint8_t)(out[3] + more);
    memcpy(out + sizeof(ip) + more, udp, sizeof(udp));
    return sizeof(ip) + more + sizeof(udp);
}

static struct addr address(const char *text)
{
    struct addr addr;

    ck_assert_int_eq(addr_parse(text, &addr), 0);
    return addr;
}

START_TEST(test_parsed)
{
    uint8_t packet[64];
    const struct addr from = address("192.0.2.1:5004"), to = address("198.51.100.2:40000");
    struct rawip_udp udp;
    size_t length = sample(packet, _i == 1);

    ck_assert(rawip_parse(packet, length, &udp));
    ck_assert(addr_equal(&udp.from, &from));
    ck_assert(addr_equal(&udp.to, &to));
    ck_assert_uint_eq(udp.length, 5);
    ck_assert_mem_eq(udp.payload, "media", 5);
    /* Padding of short frames. */
    ck_assert(rawip_parse(packet, length + 10, &udp));
    ck_assert_uint_eq(udp.length, 5);
}
END_TEST

/* Each copy is as long as it says, so that a sanitizer sees a read beyond it. */
START_TEST(test_truncated)
{
    uint8_t packet[64];
    size_t length = sample(packet, true);

    for (size_t n = 0; n < length; n++) {
        uint8_t *copy = malloc(n + 1);
        struct rawip_udp udp;

        ck_assert_ptr_nonnull(copy);
        memcpy(copy + 1, packet, n);
        ck_assert(!rawip_parse(copy + 1, n, &udp));
        free(copy);
    }
}
END_TEST

START_TEST(test_flipped)
{
    uint8_t packet[64];
    size_t length = sample(packet, true);

    for (size_t bit = 0; bit < length * 8; bit++) {
        struct rawip_udp udp;

        packet[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (rawip_parse(packet, length, &udp))
            ck_assert(udp.payload >= packet && udp.payload + udp.length <= packet + length);
        packet[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}
END_TEST

static const struct {
    size_t at;
    uint8_t value;
} others[] = {
    {9, 6},    /* TCP */
    {6, 0x20}, /* more fragments */
    {7, 1},    /* not the first fragment */
    {25, 14},  /* UDP longer than IP */
    {25, 12},  /* or shorter */
    {25, 7},   /* than its header */
    {3, 27},   /* no room for the UDP header */
    {0, 0x44}, /* nor for that of IP */
};

START_TEST(test_others)
{
    uint8_t packet[64];
    size_t length = sample(packet, false);
    struct rawip_udp udp;

    packet[others[_i].at] = others[_i].value;
    ck_assert(!rawip_parse(packet, length, &udp));
}
END_TEST

START_TEST(test_ranges)
{
    const struct addr first = address("198.18.0.250:7"), carried = address("198.18.1.4:7");
    struct addr after = rawip_after(&first, 10), before = address("198.18.0.249:7"), six;

    ck_assert(addr_equal(&after, &carried));
    ck_assert(rawip_within(&first, &first, 1));
    ck_assert(rawip_within(&after, &first, 11));
    ck_assert(!rawip_within(&after, &first, 10));
    ck_assert(!rawip_within(&before, &first, 1000));
    six = address("[2001:db8::1]:7");
    ck_assert(!rawip_within(&six, &first, UINT32_MAX));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rawip");
    TCase *tc = tcase_create("rawip");

    tcase_add_loop_test(tc, test_parsed, 0, 2);
    tcase_add_test(tc, test_truncated);
    tcase_add_test(tc, test_flipped);
    tcase_add_loop_test(tc, test_others, 0, sizeof(others) / sizeof(others[0]));
    tcase_add_test(tc, test_ranges);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
