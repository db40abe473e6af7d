#include "common/rtp/prime.h"

#include <stdlib.h>
#include <string.h>

#include "common/rtp/classify.h"
#include "tests/unit/unit.h"

#define RTP  "8000 0001 00000002 deadbeef"
#define RTCP "80c9 0001 deadbeef"

static const struct {
    const char *name, *hex;
    bool read;
    uint32_t outer;
} rows[] = {
    {"empty", "", false, 0},
    {"three octets", "deadbe", false, 0},
    {"no packet", "deadbeef", false, 0},
    {"one octet of a packet", "deadbeef 80", true, 0xdeadbeef},
    {"rtp", "deadbeef" RTP, true, 0xdeadbeef},
    {"rtcp", "deadbeef" RTCP, true, 0xdeadbeef},
    {"another SSRC than inside", "01020304" RTP, true, 0x01020304},
    {"zero", "00000000" RTP, true, 0},
    {"all ones", "ffffffff" RTP, true, 0xffffffff},
    {"looks like RTP, version 2", "80000000" RTP, true, 0x80000000},
    {"looks like RTP, the last of version 2", "bfffffff" RTP, true, 0xbfffffff},
    {"looks like a sender report", "80c80006" RTCP, true, 0x80c80006},
    {"looks like STUN", "00010000" RTP, true, 0x00010000},
    {"looks like DTLS", "16fefd00" RTP, true, 0x16fefd00},
};

START_TEST(test_rows)
{
    uint8_t data[64], head[PRIME_OCTETS];
    size_t length = unit_hex(rows[_i].hex, data, sizeof(data));
    uint32_t outer = 7;

    ck_assert_msg(prime_read(data, length, &outer) == rows[_i].read, "%s", rows[_i].name);
    ck_assert_msg(outer == rows[_i].outer, "%s: %08x", rows[_i].name, outer);
    if (!rows[_i].read)
        return;
    prime_write(head, outer);
    ck_assert_msg(memcmp(head, data, sizeof(head)) == 0, "%s", rows[_i].name);
}
END_TEST

/* Cut anywhere: it is read once there is a packet, in memory that ends with the datagram. */
START_TEST(test_every_length)
{
    uint8_t whole[64];
    size_t full = unit_hex("bfedcba9" RTP, whole, sizeof(whole));

    for (size_t length = 0; length <= full; length++) {
        uint8_t *data = malloc(length > 0 ? length : 1);
        struct rtp_view view;
        uint32_t outer;
        bool read;

        ck_assert_ptr_nonnull(data);
        memcpy(data, whole, length);
        read = prime_read(data, length, &outer);
        ck_assert_msg(read == (length > 4), "length %zu", length);
        ck_assert_uint_eq(outer, read ? 0xbfedcba9 : 0);
        ck_assert(length < full || (classify(data + PRIME_OCTETS, length - PRIME_OCTETS, &view) ==
                                        VERDICT_ACCEPTED &&
                                    view.ssrc == 0xdeadbeef));
        free(data);
    }
}
END_TEST

/* Each bit of the outer SSRC is that bit of the number; bits of the packet are none of its
 * business. */
START_TEST(test_bits)
{
    uint8_t data[64];
    size_t length = unit_hex("00000000" RTP, data, sizeof(data));
    uint32_t outer;

    for (size_t bit = 0; bit < 8 * length; bit++) {
        uint32_t wanted = bit < 32 ? UINT32_C(1) << (24 - 8 * (bit / 8) + bit % 8) : 0;

        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        ck_assert(prime_read(data, length, &outer));
        ck_assert_msg(outer == wanted, "bit %zu: %08x", bit, outer);
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}
END_TEST

/* Outer SSRCs that an RTP header could begin with, through and through. */
START_TEST(test_version_2)
{
    uint8_t data[PRIME_OCTETS + 12];
    uint32_t outer;

    unit_hex("00000000" RTP, data, sizeof(data));
    for (uint32_t ssrc = 0x80000000; ssrc < 0xc0000000; ssrc += 0xfff1) {
        prime_write(data, ssrc);
        ck_assert_uint_eq(data[0], ssrc >> 24);
        ck_assert_uint_eq(data[3], ssrc & 0xff);
        ck_assert(prime_read(data, sizeof(data), &outer));
        ck_assert_uint_eq(outer, ssrc);
    }
    ck_assert_uint_eq(data[PRIME_OCTETS], 0x80);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("prime");
    TCase *tc = tcase_create("prime");

    tcase_add_loop_test(tc, test_rows, 0, sizeof(rows) / sizeof(rows[0]));
    tcase_add_test(tc, test_every_length);
    tcase_add_test(tc, test_bits);
    tcase_add_test(tc, test_version_2);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
