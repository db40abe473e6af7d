#include "common/rtp/classify.h"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"

#define RTP_12 "8000 0001 00000002 deadbeef"

struct row {
    const char *name, *hex;
    enum verdict verdict;
    enum rtp_shape shape;
    uint8_t payload_type;
    uint32_t ssrc;
    size_t header_length;
};

static const struct row rows[] = {
    {"empty", "", VERDICT_MALFORMED, 0, 0, 0, 0},
    {"rtp, no payload", RTP_12, VERDICT_ACCEPTED, RTP_SHAPE_RTP, 0, 0xdeadbeef, 12},
    {"rtp, marker", "80e0 0001 00000002 deadbeef aa", VERDICT_ACCEPTED, RTP_SHAPE_RTP, 96,
     0xdeadbeef, 12},
    {"rtp, second octet 191", "80bf 0001 00000002 deadbeef", VERDICT_ACCEPTED, RTP_SHAPE_RTP, 63,
     0xdeadbeef, 12},
    {"rtp, second octet 224", "80e0 0001 00000002 deadbeef", VERDICT_ACCEPTED, RTP_SHAPE_RTP, 96,
     0xdeadbeef, 12},
    {"rtp, padding bit", "a000 0001 00000002 deadbeef ff", VERDICT_ACCEPTED, RTP_SHAPE_RTP, 0,
     0xdeadbeef, 12},
    {"rtp, one octet short", "8000 0001 00000002 deadbe", VERDICT_MALFORMED, 0, 0, 0, 0},
    {"rtp, one CSRC", "8100 0001 00000002 deadbeef 00000007", VERDICT_ACCEPTED, RTP_SHAPE_RTP, 0,
     0xdeadbeef, 16},
    {"rtp, CSRC cut", "8100 0001 00000002 deadbeef 000000", VERDICT_MALFORMED, 0, 0, 0, 0},
    {"rtp, 15 CSRCs in 12 octets", "8f00 0001 00000002 deadbeef", VERDICT_MALFORMED, 0, 0, 0, 0},
    {"rtp, empty extension", "9000 0001 00000002 deadbeef bede0000", VERDICT_ACCEPTED,
     RTP_SHAPE_RTP, 0, 0xdeadbeef, 16},
    {"rtp, extension", "9000 0001 00000002 deadbeef bede0001 01020304 ff", VERDICT_ACCEPTED,
     RTP_SHAPE_RTP, 0, 0xdeadbeef, 20},
    {"rtp, CSRC and extension", "9100 0001 00000002 deadbeef 00000007 bede0001 01020304",
     VERDICT_ACCEPTED, RTP_SHAPE_RTP, 0, 0xdeadbeef, 24},
    {"rtp, extension one short", "9000 0001 00000002 deadbeef bede0001 010203", VERDICT_MALFORMED,
     0, 0, 0, 0},
    {"rtp, extension of 65535 words", "9000 0001 00000002 deadbeef bedeffff 01020304",
     VERDICT_MALFORMED, 0, 0, 0, 0},
    {"rtp, extension head cut", "9000 0001 00000002 deadbeef bede00", VERDICT_MALFORMED, 0, 0, 0,
     0},
    {"rtcp, receiver report", "80c9 0001 deadbeef", VERDICT_ACCEPTED, RTP_SHAPE_RTCP, 201,
     0xdeadbeef, 8},
    {"rtcp, type 192", "80c0 0001 deadbeef", VERDICT_ACCEPTED, RTP_SHAPE_RTCP, 192, 0xdeadbeef, 8},
    {"rtcp, type 223", "80df 0001 deadbeef", VERDICT_ACCEPTED, RTP_SHAPE_RTCP, 223, 0xdeadbeef, 8},
    {"rtcp, one octet short", "80c9 0001 deadbe", VERDICT_MALFORMED, 0, 0, 0, 0},
    {"rtcp, no SSRC by its length", "80c9 0000 deadbeef", VERDICT_MALFORMED, 0, 0, 0, 0},
    {"rtcp, longer than the datagram", "80c9 0002 deadbeef 000000", VERDICT_MALFORMED, 0, 0, 0, 0},
    {"rtcp, 65536 words", "80c9 ffff deadbeef", VERDICT_MALFORMED, 0, 0, 0, 0},
    {"rtcp, octets behind it", "80c9 0001 deadbeef 80000001 0102030405060708090a", VERDICT_ACCEPTED,
     RTP_SHAPE_RTCP, 201, 0xdeadbeef, 8},
    {"version 0", "0000 0001 00000002 deadbeef", VERDICT_MALFORMED, 0, 0, 0, 0},
    {"version 1", "4000 0001 00000002 deadbeef", VERDICT_MALFORMED, 0, 0, 0, 0},
    {"version 3", "c000 0001 00000002 deadbeef", VERDICT_MALFORMED, 0, 0, 0, 0},
    {"stun, binding request", "0001 0000 2112a442 0102030405060708090a0b0c", VERDICT_STUN, 0, 0, 0,
     0},
    {"stun, cookie, length of more", "0101 0008 2112a442 0102030405060708090a0b0c", VERDICT_STUN, 0,
     0, 0, 0},
    {"stun, RFC 3489", "0001 0004 01020304 0102030405060708090a0b0c 00000000", VERDICT_STUN, 0, 0,
     0, 0},
    {"stun, no cookie, wrong length", "0001 0008 01020304 0102030405060708090a0b0c",
     VERDICT_MALFORMED, 0, 0, 0, 0},
    {"stun, one octet short", "0001 0000 2112a442 0102030405060708090a0b", VERDICT_MALFORMED, 0, 0,
     0, 0},
    {"first octet 4", "0401 0000 2112a442 0102030405060708090a0b0c", VERDICT_MALFORMED, 0, 0, 0, 0},
    {"zrtp", "1000 0001 5a525450 deadbeef 505a0003", VERDICT_ZRTP, 0, 0, 0, 0},
    {"zrtp, no magic", "1000 0001 5a525451 deadbeef 505a0003", VERDICT_MALFORMED, 0, 0, 0, 0},
    {"zrtp, short", "1000 0001 5a525450 deadbe", VERDICT_MALFORMED, 0, 0, 0, 0},
    {"dtls, client hello", "16feff 0000 000000000000 0000", VERDICT_DTLS, 0, 0, 0, 0},
    {"dtls, first of the range", "14", VERDICT_DTLS, 0, 0, 0, 0},
    {"dtls, last of the range", "3f", VERDICT_DTLS, 0, 0, 0, 0},
    {"turn channel", "4000 0004 01020304", VERDICT_MALFORMED, 0, 0, 0, 0},
};

START_TEST(test_rows)
{
    const struct row *row = &rows[_i];
    uint8_t packet[128];
    size_t length = unit_hex(row->hex, packet, sizeof(packet));
    struct rtp_view view;

    ck_assert_msg(classify(packet, length, &view) == row->verdict, "%s", row->name);
    if (row->verdict != VERDICT_ACCEPTED)
        return;
    ck_assert_msg(view.shape == row->shape, "%s", row->name);
    ck_assert_msg(view.payload_type == row->payload_type, "%s", row->name);
    ck_assert_msg(view.ssrc == row->ssrc, "%s", row->name);
    ck_assert_msg(view.header_length == row->header_length, "%s", row->name);
}
END_TEST

START_TEST(test_rtp_fields)
{
    static const uint8_t packet[] = {0x80, 0x89, 0xfe, 0xdc, 0x12, 0x34,
                                     0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0};
    struct rtp_view view;

    ck_assert_int_eq(classify(packet, sizeof(packet), &view), VERDICT_ACCEPTED);
    ck_assert_uint_eq(view.payload_type, 9);
    ck_assert_uint_eq(view.sequence, 0xfedc);
    ck_assert_uint_eq(view.timestamp, 0x12345678);
    ck_assert_uint_eq(view.ssrc, 0x9abcdef0);
}
END_TEST

/* What the shape of a datagram must be, said once more and in other words than the code. */
static enum verdict oracle(const uint8_t *p, size_t n)
{
    size_t need;

    if (n == 0 || p[0] >= 192 || (p[0] >= 64 && p[0] < 128) || (p[0] > 3 && p[0] < 16))
        return VERDICT_MALFORMED;
    if (p[0] < 4 || (p[0] >= 16 && p[0] < 20))
        return VERDICT_MALFORMED; /* the filling below has no magic and no matching length */
    if (p[0] < 64)
        return VERDICT_DTLS;
    if (n >= 2 && p[1] >= 192 && p[1] < 224)
        return n >= 8 && (p[2] << 8 | p[3]) >= 1 && 4u * (unsigned)((p[2] << 8 | p[3]) + 1) <= n
                   ? VERDICT_ACCEPTED
                   : VERDICT_MALFORMED;
    need = 12 + 4u * (p[0] & 15);
    if (p[0] & 16) {
        if (n < need + 4)
            return VERDICT_MALFORMED;
        need += 4 + 4u * (unsigned)(p[need + 2] << 8 | p[need + 3]);
    }
    return n >= need ? VERDICT_ACCEPTED : VERDICT_MALFORMED;
}

/* Every first octet, a few second ones and fillings, every length from 0 to 64. */
START_TEST(test_every_length)
{
    static const uint8_t seconds[] = {0, 96, 191, 192, 200, 223, 224, 255};
    static const uint8_t fillings[] = {0x00, 0x01, 0x03, 0xff};
    struct rtp_view view;

    for (size_t length = 0; length <= 64; length++) {
        uint8_t *packet = malloc(length ? length : 1);

        for (unsigned i = 0; i < sizeof(seconds) * sizeof(fillings); i++) {
            memset(packet, fillings[i % sizeof(fillings)], length);
            if (length > 1)
                packet[1] = seconds[i / sizeof(fillings)];
            if (length > 3)
                packet[3] = (uint8_t)(packet[3] ^ 1); /* never the length that makes STUN of it */
            for (unsigned first = 0; first < 256 && length > 0; first++) {
                packet[0] = (uint8_t)first;
                ck_assert_msg(classify(packet, length, &view) == oracle(packet, length),
                              "first %u second %u filling %u length %zu", first,
                              length > 1 ? packet[1] : 0u, fillings[i % sizeof(fillings)], length);
            }
        }
        ck_assert(length > 0 || classify(packet, 0, &view) == VERDICT_MALFORMED);
        free(packet);
    }
}
END_TEST

/* A packet with everything in it, every single bit flipped: accepted stays inside the datagram. */
START_TEST(test_bits)
{
    uint8_t packet[64];
    size_t length = unit_hex("9200 0001 00000002 deadbeef 00000007 00000008 bede0001 01020304 aabb",
                             packet, sizeof(packet));
    unsigned accepted = 0;
    struct rtp_view view;

    for (size_t bit = 0; bit < 8 * length; bit++) {
        packet[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (classify(packet, length, &view) == VERDICT_ACCEPTED) {
            accepted++;
            ck_assert_uint_le(view.header_length, length);
        }
        packet[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    ck_assert_uint_gt(accepted, 8 * length / 2);
    ck_assert_uint_lt(accepted, 8 * length);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("classify");
    TCase *tc = tcase_create("classify");

    tcase_add_loop_test(tc, test_rows, 0, sizeof(rows) / sizeof(rows[0]));
    tcase_add_test(tc, test_rtp_fields);
    tcase_add_test(tc, test_every_length);
    tcase_add_test(tc, test_bits);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
