#include "common/carrier/segment.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"

#include "tests/unit/unit.h"

/* As Linux builds them; the check sums of the SYN are not filled in. */
#define SYN4                                                                                       \
    "4500003c2ef140004006 0dc9 7f0000017f000001 9c401f90 11223344 00000000 a002 ffff 0000 0000"    \
    "0204ffd7 0402080a 00000001 00000000 01030307"
#define DATA6                                                                                      \
    "60000000 0027 06 40 20010db8000000000000000000000001 20010db8000000000000000000000002"        \
    "9c401f90 fffffffe 55667788 8018 0200 0000 0000 0101080a 0000000a 00000014 1703030000 0102"

static const struct addr no_addr;

struct packet {
    uint8_t octets[128];
    size_t length;
};

static struct packet packet_of(const char *hex)
{
    struct packet p;

    p.length = unit_hex(hex, p.octets, sizeof(p.octets));
    return p;
}

static struct addr address(const char *text)
{
    struct addr addr = no_addr;

    ck_assert_int_eq(addr_parse(text, &addr), 0);
    return addr;
}

static struct segment sample(unsigned family)
{
    static const uint8_t data[] = {0x17, 3, 3, 0, 2, 9, 8, 7};

    return (struct segment){
        .source = address(family == 6 ? "[2001:db8::1]:40000" : "192.0.2.1:40000"),
        .destination = address(family == 6 ? "[2001:db8::2]:8080" : "192.0.2.2:8080"),
        .sequence = 0xfffffffe,
        .ack = 7,
        .window = 65535,
        .flags = SEGMENT_ACK | SEGMENT_PSH,
        .ttl = SEGMENT_TTL,
        .traffic = 0xb8,
        .has_timestamps = true,
        .timestamp = 0x01020304,
        .timestamp_echo = 0x05060708,
        .data = data,
        .length = sizeof(data),
    };
}

static void expect_same(const struct segment *a, const struct segment *b)
{
    ck_assert(addr_equal(&a->source, &b->source));
    ck_assert(addr_equal(&a->destination, &b->destination));
    ck_assert_uint_eq(a->sequence, b->sequence);
    ck_assert_uint_eq(a->ack, b->ack);
    ck_assert_uint_eq(a->window, b->window);
    ck_assert_uint_eq(a->flags, b->flags);
    ck_assert_uint_eq(a->ttl, b->ttl);
    ck_assert_uint_eq(a->traffic, b->traffic);
    ck_assert_uint_eq(a->mss, b->mss);
    ck_assert(a->has_window_scale == b->has_window_scale);
    ck_assert_uint_eq(a->window_scale, b->window_scale);
    ck_assert(a->has_sack_permitted == b->has_sack_permitted);
    ck_assert(a->has_timestamps == b->has_timestamps);
    ck_assert_uint_eq(a->timestamp, b->timestamp);
    ck_assert_uint_eq(a->timestamp_echo, b->timestamp_echo);
    ck_assert_uint_eq(a->length, b->length);
    ck_assert(a->length == 0 || memcmp(a->data, b->data, a->length) == 0);
}

/* What is written is read again, with right check sums; and fits into exactly its own length. */
static void round_trip(const struct segment *segment)
{
    uint8_t packet[256], exact[256];
    struct segment back;
    int length = segment_write(segment, packet, sizeof(packet));

    ck_assert_int_eq(length, (int)(segment_heads_length(segment) + segment->length));
    ck_assert(segment_sums_hold(packet, (size_t)length));
    ck_assert_int_eq(segment_read(&back, packet, (size_t)length), 0);
    expect_same(segment, &back);
    ck_assert_int_eq(segment_write(segment, exact, (size_t)length), length);
    for (int size = 0; size < length; size++)
        ck_assert_int_eq(segment_write(segment, exact, (size_t)size), ERR_TOO_LONG);
}

START_TEST(test_round_trip)
{
    unsigned family = _i & 1 ? 6 : 4;
    struct segment segment = sample(family);

    segment.has_timestamps = _i & 2;
    if (!segment.has_timestamps)
        segment.timestamp = segment.timestamp_echo = 0;
    if (_i & 4) {
        segment.flags = SEGMENT_SYN;
        segment.mss = 1460;
        segment.has_window_scale = segment.has_sack_permitted = true;
        segment.window_scale = 7;
    }
    if (_i & 8)
        segment.length = _i & 4 ? 0 : 7; /* an odd number of octets */
    round_trip(&segment);
}
END_TEST

START_TEST(test_refused)
{
    uint8_t *out = malloc(70000), *data = calloc(1, SEGMENT_MAX_OCTETS);
    struct segment segment = sample(4);

    ck_assert(out && data);
    segment.destination = address("[2001:db8::2]:8080");
    ck_assert_int_eq(segment_write(&segment, out, 70000), ERR_INVALID);
    segment = sample(4);
    segment.source.family = segment.destination.family = 0;
    ck_assert_int_eq(segment_write(&segment, out, 70000), ERR_INVALID);
    segment = sample(4);
    segment.window_scale = 15;
    ck_assert_int_eq(segment_write(&segment, out, 70000), ERR_INVALID);
    segment = sample(4);
    segment.data = data;
    segment.length = SEGMENT_MAX_OCTETS - segment_heads_length(&segment);
    ck_assert_int_eq(segment_write(&segment, out, 70000), SEGMENT_MAX_OCTETS);
    segment.length++;
    ck_assert_int_eq(segment_write(&segment, out, 70000), ERR_TOO_LONG);
    free(out);
    free(data);
}
END_TEST

START_TEST(test_syn_of_linux)
{
    struct packet p = packet_of(SYN4);
    struct segment s;

    ck_assert_int_eq(segment_read(&s, p.octets, p.length), 0);
    ck_assert_uint_eq(s.source.port, 40000);
    ck_assert_uint_eq(s.destination.port, 8080);
    ck_assert_uint_eq(s.sequence, 0x11223344);
    ck_assert_uint_eq(s.flags, SEGMENT_SYN);
    ck_assert_uint_eq(s.mss, 65495);
    ck_assert(s.has_sack_permitted && s.has_timestamps && s.has_window_scale);
    ck_assert_uint_eq(s.timestamp, 1);
    ck_assert_uint_eq(s.window_scale, 7);
    ck_assert_uint_eq(segment_end(&s), 0x11223345);
    ck_assert_uint_eq(s.length, 0);
}
END_TEST

START_TEST(test_data_of_ip6)
{
    struct packet p = packet_of(DATA6);
    struct segment s, alone;

    ck_assert_int_eq(segment_read(&s, p.octets, p.length), 0);
    ck_assert_uint_eq(s.length, 7);
    ck_assert_ptr_eq(s.data, p.octets + 72);
    ck_assert_uint_eq(segment_end(&s), 5); /* across the wrap */
    ck_assert(segment_is_after(segment_end(&s), s.sequence));
    memset(&alone, 0, sizeof(alone));
    ck_assert_int_eq(segment_read_tcp(&alone, p.octets + 40, p.length - 40), 0);
    ck_assert_uint_eq(alone.sequence, s.sequence);
    ck_assert_uint_eq(alone.source.port, 40000);
    ck_assert_uint_eq(alone.timestamp_echo, 20);
}
END_TEST

/* One change to a packet that is read, and what becomes of it. */
static const struct {
    const char *name;
    size_t at;
    uint8_t value;
    int result;
} changes[] = {
    {"version 5", 0, 0x55, ERR_UNSUPPORTED},
    {"IP header of 16 octets", 0, 0x44, ERR_INVALID},
    {"IP header with nothing behind it", 0, 0x4f, ERR_TRUNCATED},
    {"total length below the IP header", 3, 19, ERR_INVALID},
    {"total length with half a TCP header", 3, 30, ERR_TRUNCATED},
    {"total length above what is there", 3, 61, ERR_TRUNCATED},
    {"total length that cuts the options", 3, 59, ERR_TRUNCATED},
    {"more fragments", 6, 0x20, ERR_UNSUPPORTED},
    {"a later fragment", 7, 1, ERR_UNSUPPORTED},
    {"evil bit", 6, 0xc0, 0},
    {"UDP", 9, 17, ERR_UNSUPPORTED},
    {"TCP header of 16 octets", 32, 0x40, ERR_INVALID},
    {"TCP header of 60 octets", 32, 0xf0, ERR_TRUNCATED},
    {"option of length 0", 41, 0, ERR_INVALID},
    {"option of length 1", 41, 1, ERR_INVALID},
    {"option beyond the header", 41, 21, ERR_INVALID},
    {"MSS of 5 octets", 41, 5, ERR_INVALID},
    {"end of options", 40, 0, 0},
    {"unknown option", 40, 0xfe, 0},
    {"window scale 255", 59, 255, 0},
};

START_TEST(test_changes)
{
    struct packet p = packet_of(SYN4);
    struct segment s;

    p.octets[changes[_i].at] = changes[_i].value;
    ck_assert_msg(segment_read(&s, p.octets, p.length) == changes[_i].result, "%s: %d",
                  changes[_i].name, segment_read(&s, p.octets, p.length));
    if (changes[_i].result == 0)
        ck_assert_uint_le(s.window_scale, SEGMENT_SCALE_MAX);
}
END_TEST

START_TEST(test_other_ip6)
{
    struct packet p = packet_of(DATA6);
    struct segment s;

    p.octets[6] = 0; /* hop-by-hop options */
    ck_assert_int_eq(segment_read(&s, p.octets, p.length), ERR_UNSUPPORTED);
    p = packet_of(DATA6);
    p.octets[5]++;
    ck_assert_int_eq(segment_read(&s, p.octets, p.length), ERR_TRUNCATED);
    p = packet_of(DATA6);
    memset(p.octets + 8, 0, 10);
    p.octets[18] = p.octets[19] = 0xff; /* ::ffff:0.0.0.1 */
    ck_assert_int_eq(segment_read(&s, p.octets, p.length), ERR_UNSUPPORTED);
}
END_TEST

/* What the link added to fill a frame is no payload. */
START_TEST(test_padding)
{
    struct segment segment = sample(_i ? 6 : 4), back;
    uint8_t packet[256];
    int length = segment_write(&segment, packet, sizeof(packet));

    memset(packet + length, 0xaa, 6);
    ck_assert_int_eq(segment_read(&back, packet, (size_t)length + 6), 0);
    ck_assert_uint_eq(back.length, segment.length);
}
END_TEST

START_TEST(test_truncated)
{
    struct segment segment = sample(_i ? 6 : 4), back;
    uint8_t packet[256];
    int length = segment_write(&segment, packet, sizeof(packet));

    for (int cut = 0; cut < length; cut++) {
        uint8_t *copy = malloc(cut ? (size_t)cut : 1);

        ck_assert(copy != NULL);
        memcpy(copy, packet, (size_t)cut);
        ck_assert_int_eq(segment_read(&back, copy, (size_t)cut), ERR_TRUNCATED);
        ck_assert(!segment_sums_hold(copy, (size_t)cut));
        free(copy);
    }
}
END_TEST

/* Each bit is under one of the sums but some of the IPv6 header, which has none. */
START_TEST(test_bits)
{
    struct segment segment = sample(_i ? 6 : 4), back;
    uint8_t packet[256];
    int length = segment_write(&segment, packet, sizeof(packet));

    for (int bit = 0; bit < 8 * length; bit++) {
        int at = bit / 8;
        bool covered = _i == 0 || at >= 8 || at == 4 || at == 5 || at == 6;

        packet[at] ^= (uint8_t)(1u << bit % 8);
        ck_assert_msg(!segment_sums_hold(packet, (size_t)length) || !covered, "bit %d", bit);
        if (segment_read(&back, packet, (size_t)length) == 0) {
            ck_assert(back.data >= packet && back.data + back.length <= packet + length);
        }
        packet[at] ^= (uint8_t)(1u << bit % 8);
    }
    ck_assert(segment_sums_hold(packet, (size_t)length));
}
END_TEST

START_TEST(test_after)
{
    ck_assert(segment_is_after(1, 0));
    ck_assert(segment_is_after(0, UINT32_MAX));
    ck_assert(!segment_is_after(5, 5));
    ck_assert(!segment_is_after(UINT32_MAX, 0));
    ck_assert(segment_is_after(0x7fffffff, 0));
    ck_assert(!segment_is_after(0x80000001, 0));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("segment");
    TCase *tc = tcase_create("segment");

    tcase_add_loop_test(tc, test_round_trip, 0, 16);
    tcase_add_test(tc, test_refused);
    tcase_add_test(tc, test_syn_of_linux);
    tcase_add_test(tc, test_data_of_ip6);
    tcase_add_loop_test(tc, test_changes, 0, sizeof(changes) / sizeof(changes[0]));
    tcase_add_test(tc, test_other_ip6);
    tcase_add_loop_test(tc, test_padding, 0, 2);
    tcase_add_loop_test(tc, test_truncated, 0, 2);
    tcase_add_loop_test(tc, test_bits, 0, 2);
    tcase_add_test(tc, test_after);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
