#include "rtp-prime/convert.h"

#include <stdlib.h>
#include <string.h>

#include "common/rtp/prime.h"
#include "tests/unit/unit.h"

#define RTP(ssrc) "8000 0001 00000002" ssrc "aabb"
#define RR(ssrc)  "80c9 0001" ssrc
#define STUN      "0001 0000 2112a442 0102030405060708090a0b0c"
#define ZRTP      "1000 0001 5a525450 deadbeef 505a0003"

/* ---------------------------------------------------------------- shapes, both ways */

enum { RTP_PORT = 1, RTCP_PORT = 2, MUX_PORT = 4, EVERY_PORT = 7 };

static const struct {
    const char *name, *hex;
    unsigned passed; /* at these ports */
    enum fate otherwise;
} shapes[] = {
    {"rtp", RTP("deadbeef"), RTP_PORT | MUX_PORT, FATE_WRONG_PORT},
    {"rtcp", RR("deadbeef"), RTCP_PORT | MUX_PORT, FATE_WRONG_PORT},
    {"srtcp", RR("deadbeef") "80000001 0102030405060708090a", RTCP_PORT | MUX_PORT,
     FATE_WRONG_PORT},
    {"rtp, no payload", "8000 0001 00000002 deadbeef", RTP_PORT | MUX_PORT, FATE_WRONG_PORT},
    {"rtp, CSRC and extension", "9100 0001 00000002 deadbeef 00000007 bede0001 01020304",
     RTP_PORT | MUX_PORT, FATE_WRONG_PORT},
    {"one octet", "80", 0, FATE_MALFORMED},
    {"runt", "8000 0001 00000002 deadbe", 0, FATE_MALFORMED},
    {"rtcp, runt", "80c9 0001 deadbe", 0, FATE_MALFORMED},
    {"version 0", "0000 0001 00000002 deadbeef", 0, FATE_MALFORMED},
    {"version 1", "4000 0001 00000002 deadbeef", 0, FATE_MALFORMED},
    {"version 3", "c000 0001 00000002 deadbeef", 0, FATE_MALFORMED},
    {"extension beyond the end", "9000 0001 00000002 deadbeef bedeffff", 0, FATE_MALFORMED},
    {"stun", STUN, 0, FATE_STUN},
    {"dtls", "16feff 0000 000000000000 0000", 0, FATE_DTLS},
    {"zrtp", ZRTP, 0, FATE_ZRTP},
};

enum { SHAPES = sizeof(shapes) / sizeof(shapes[0]) };

static enum fate wanted(size_t row, unsigned port)
{
    return shapes[row].passed & port ? FATE_PASSED : shapes[row].otherwise;
}

START_TEST(test_shapes_from_client)
{
    uint8_t packet[64];
    size_t length = unit_hex(shapes[_i].hex, packet, sizeof(packet));

    for (unsigned port = RTP_PORT; port <= MUX_PORT; port <<= 1) {
        struct convert convert;
        uint32_t outer;
        enum fate fate;

        convert_init(&convert, port == MUX_PORT, NULL);
        fate = convert_from_client(&convert, port == RTCP_PORT, packet, length, &outer);
        ck_assert_msg(fate == wanted((size_t)_i, port), "%s at %u: %s", shapes[_i].name, port,
                      fate_name(fate));
        ck_assert(fate != FATE_PASSED || outer == 0xdeadbeef);
    }
}
END_TEST

/* The same packets behind their SSRC; and what has none is never taken for RTP by its outer SSRC.
 */
START_TEST(test_shapes_from_relay)
{
    static const char *const heads[] = {"deadbeef", "80000000"};
    uint8_t data[64];

    for (size_t h = 0; h < 2; h++) {
        size_t head = unit_hex(heads[h], data, sizeof(data));
        size_t length = head + unit_hex(shapes[_i].hex, data + head, sizeof(data) - head);

        for (unsigned port = RTP_PORT; port <= MUX_PORT; port <<= 1) {
            struct convert convert;
            enum fate fate, want = wanted((size_t)_i, port);

            if (h == 1 && want == FATE_PASSED && length > head && data[head + 1] < 192)
                want = FATE_SSRC_MISMATCH; /* of RTCP' the SSRC in front may be another */
            convert_init(&convert, port == MUX_PORT, NULL);
            fate = convert_from_relay(&convert, port == RTCP_PORT, data, length);
            ck_assert_msg(fate == want, "%s behind %s at %u: %s", shapes[_i].name, heads[h], port,
                          fate_name(fate));
        }
    }
}
END_TEST

/* ---------------------------------------------------------------- what goes in front */

/* "R" and "C": an RTP or RTCP packet of this SSRC; "=": what is in front of it; "!": refused. */
static const struct {
    const char *name;
    uint32_t only; /* --ssrc; 0: none */
    const char *steps;
} rows[] = {
    {"rtp", 0, "R1=1 R2=2 R1=1"},
    {"rtp, looks like version 2 in front", 0, "R80000000=80000000 Rbfffffff=bfffffff"},
    {"rtcp before rtp: its own", 0, "C1=1 C2=2"},
    {"rtcp of the rtp's sender", 0, "R1=1 C1=1"},
    {"rtcp of another sender: that of the rtp", 0, "R1=1 C7=1 C1=1 C8=1"},
    {"rtcp of nobody in particular: the last rtp", 0, "R1=1 R2=2 C7=2 R1=1 C7=1"},
    {"rtcp of an earlier sender: its own", 0, "R1=1 R2=2 C1=1"},
    {"an rtcp packet is no rtp", 0, "C5=5 R1=1 C5=1"},
    {"eight are known", 0, "R1=1 R2=2 R3=3 R4=4 R5=5 R6=6 R7=7 R8=8 C1=1 C8=8"},
    {"the ninth lets the first go", 0, "R1=1 R2=2 R3=3 R4=4 R5=5 R6=6 R7=7 R8=8 R9=9 C1=9 C2=2"},
    {"known again: no new place", 0, "R1=1 R2=2 R1=1 R2=2 R3=3 R4=4 R5=5 R6=6 R7=7 R8=8 C1=1 C2=2"},
    {"--ssrc: others are refused", 5, "R1! R5=5 R1! R5=5"},
    {"--ssrc: rtcp before rtp", 5, "C1=5 C5=5"},
    {"--ssrc: a refused one is not learned", 5, "R5=5 R1! C1=5"},
};

static enum fate step(struct convert *convert, char kind, uint32_t ssrc, uint32_t *outer)
{
    char hex[64];
    uint8_t packet[64];
    size_t length;

    snprintf(hex, sizeof(hex), kind == 'R' ? RTP("%08x") : RR("%08x"), ssrc);
    length = unit_hex(hex, packet, sizeof(packet));
    return convert_from_client(convert, kind == 'C', packet, length, outer);
}

START_TEST(test_in_front)
{
    const char *at = rows[_i].steps;
    struct convert convert;
    unsigned steps = 0;

    convert_init(&convert, false, rows[_i].only ? &rows[_i].only : NULL);
    for (; *at; steps++) {
        char kind = *at, *end;
        uint32_t ssrc = (uint32_t)strtoul(at + 1, &end, 16), outer;
        enum fate fate = step(&convert, kind, ssrc, &outer);

        if (*end == '=') {
            uint32_t want = (uint32_t)strtoul(end + 1, &end, 16);

            ck_assert_msg(fate == FATE_PASSED && outer == want, "%s: step %u: %s, %x",
                          rows[_i].name, steps, fate_name(fate), outer);
        } else {
            ck_assert_msg(fate == FATE_SSRC_MISMATCH, "%s: step %u: %s", rows[_i].name, steps,
                          fate_name(fate));
            end++;
        }
        at = end + strspn(end, " ");
    }
    ck_assert_uint_gt(steps, 1);
}
END_TEST

/* ---------------------------------------------------------------- there and back */

/* What leaves one rtp-prime and is taken by another is what the client sent. */
START_TEST(test_there_and_back)
{
    static const char *const packets[] = {RTP("deadbeef"), RTP("bedcba98"), RR("deadbeef"),
                                          RR("01020304"),
                                          RR("bedcba98") "80000001 0102030405060708090a"};
    struct convert here, there;

    convert_init(&here, true, NULL);
    convert_init(&there, true, NULL);
    for (size_t i = 0; i < sizeof(packets) / sizeof(packets[0]); i++) {
        uint8_t packet[64], data[64];
        size_t length = unit_hex(packets[i], packet, sizeof(packet));
        uint32_t outer, read;

        ck_assert_int_eq(convert_from_client(&here, false, packet, length, &outer), FATE_PASSED);
        prime_write(data, outer);
        memcpy(data + PRIME_OCTETS, packet, length);
        ck_assert_int_eq(convert_from_relay(&there, false, data, length + PRIME_OCTETS),
                         FATE_PASSED);
        ck_assert(prime_read(data, length + PRIME_OCTETS, &read));
        ck_assert_uint_eq(read, outer);
    }
}
END_TEST

START_TEST(test_empty)
{
    struct convert convert;
    uint32_t outer;

    convert_init(&convert, false, NULL);
    ck_assert_int_eq(convert_from_client(&convert, false, NULL, 0, &outer), FATE_EMPTY);
    ck_assert_int_eq(convert_from_relay(&convert, true, NULL, 0), FATE_EMPTY);
}
END_TEST

/* Cut anywhere, in memory that ends with the datagram: nothing shorter than its header passes. */
START_TEST(test_every_length)
{
    uint8_t whole[64];
    size_t full = unit_hex("deadbeef" RTP("deadbeef"), whole, sizeof(whole));

    for (size_t length = 0; length <= full; length++) {
        uint8_t *data = malloc(length > 0 ? length : 1);
        struct convert convert;
        uint32_t outer;
        enum fate fate;

        ck_assert_ptr_nonnull(data);
        convert_init(&convert, false, NULL);
        memcpy(data, whole, length);
        fate = convert_from_relay(&convert, false, data, length);
        ck_assert_msg((fate == FATE_PASSED) == (length >= 16), "from the relay, %zu", length);
        memcpy(data, whole + PRIME_OCTETS,
               length < full - PRIME_OCTETS ? length : full - PRIME_OCTETS);
        fate = convert_from_client(&convert, false, data, length, &outer);
        ck_assert_msg((fate == FATE_PASSED) == (length >= 12), "from the client, %zu", length);
        free(data);
    }
}
END_TEST

/* One flipped bit in front or in the SSRC behind it, and they differ; in the version it is no RTP.
 */
START_TEST(test_bits)
{
    uint8_t data[64];
    size_t length = unit_hex("deadbeef" RTP("deadbeef"), data, sizeof(data));
    struct convert convert;

    convert_init(&convert, false, NULL);
    for (size_t bit = 0; bit < 8 * length; bit++) {
        size_t at = bit / 8;
        enum fate fate;

        data[at] ^= (uint8_t)(1u << bit % 8);
        fate = convert_from_relay(&convert, false, data, length);
        if (at < 4 || (at >= 12 && at < 16))
            ck_assert_msg(fate == FATE_SSRC_MISMATCH, "bit %zu: %s", bit, fate_name(fate));
        else if (at == 4 && bit % 8 >= 6)
            ck_assert_msg(fate == FATE_MALFORMED, "bit %zu: %s", bit, fate_name(fate));
        else if (at != 4)
            ck_assert_msg(fate == FATE_PASSED, "bit %zu: %s", bit, fate_name(fate));
        data[at] ^= (uint8_t)(1u << bit % 8);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("convert");
    TCase *tc = tcase_create("convert");

    tcase_add_loop_test(tc, test_shapes_from_client, 0, SHAPES);
    tcase_add_loop_test(tc, test_shapes_from_relay, 0, SHAPES);
    tcase_add_loop_test(tc, test_in_front, 0, sizeof(rows) / sizeof(rows[0]));
    tcase_add_test(tc, test_there_and_back);
    tcase_add_test(tc, test_empty);
    tcase_add_test(tc, test_every_length);
    tcase_add_test(tc, test_bits);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
