/* MEET, MEET-END and PUNCH: what is written is read again, and nothing else. */
#include <string.h>

#include "common/base/err.h"
#include "common/base/tlv.h"
#include "common/carrier/segment.h"
#include "common/tunnel/meetwire.h"
#include "tests/unit/unit.h"

static const struct {
    uint8_t type;
    struct meet_frame frame;
    const char *own, *mapped;
} rows[] = {
    {FRAME_MEET, {.number = 7, .site = "a.example"}, "192.0.2.1:1", "198.51.100.1:65535"},
    {FRAME_MEET,
     {.number = UINT64_MAX,
      .site = "b.example",
      .handed_over = true,
      .start = {.send_next = UINT32_MAX,
                .receive_next = 1,
                .peer_window = 1,
                .mss = 536,
                .own_scale = SEGMENT_SCALE_MAX,
                .peer_scale = 7}},
     "[2001:db8::1]:9",
     "[2001:db8::2]:9"},
    {FRAME_MEET,
     {.number = 1,
      .site = "b.example",
      .handed_over = true,
      .start = {.send_next = 5,
                .receive_next = 6,
                .peer_window = 65535,
                .mss = 1460,
                .timestamps = true,
                .timestamp = 8,
                .timestamp_echo = 9}},
     "192.0.2.1:1",
     "198.51.100.1:2"},
    {FRAME_MEET_END, {.number = 7}, NULL, NULL},
    {FRAME_MEET_END, {.number = 7, .reason = "no calls"}, NULL, NULL},
    {FRAME_PUNCH, {.number = 7, .site = "b.example"}, NULL, NULL},
    {FRAME_PUNCH, {.number = 7, .site = "b.example"}, "192.0.2.1:1", "198.51.100.1:2"},
    {FRAME_PUNCH, {.number = 7, .site = "b.example", .reason = "no"}, NULL, NULL},
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

static struct meet_frame frame_of(int row)
{
    struct meet_frame frame = rows[row].frame;

    if (rows[row].own) {
        ck_assert_int_eq(addr_parse(rows[row].own, &frame.own), 0);
        ck_assert_int_eq(addr_parse(rows[row].mapped, &frame.mapped), 0);
    }
    return frame;
}

static size_t put(int row, uint8_t *memory)
{
    struct meet_frame frame = frame_of(row);
    struct writer w;

    writer_init(&w, memory, FRAME_MAX_OCTETS);
    meetwire_put(&w, rows[row].type, &frame);
    ck_assert(!w.failed);
    return writer_length(&w);
}

static int get(uint8_t type, const uint8_t *memory, size_t length, struct meet_frame *frame)
{
    struct reader r;

    reader_init(&r, memory, length);
    return meetwire_get(type, &r, frame);
}

static void check_start(const struct track_start *after, const struct track_start *before)
{
    ck_assert_uint_eq(after->send_next, before->send_next);
    ck_assert_uint_eq(after->receive_next, before->receive_next);
    ck_assert_uint_eq(after->peer_window, before->peer_window);
    ck_assert_uint_eq(after->mss, before->mss);
    ck_assert_uint_eq(after->own_scale, before->own_scale);
    ck_assert_uint_eq(after->peer_scale, before->peer_scale);
    ck_assert_uint_eq(after->timestamps, before->timestamps);
    ck_assert_uint_eq(after->timestamp, before->timestamp);
    ck_assert_uint_eq(after->timestamp_echo, before->timestamp_echo);
}

START_TEST(test_round)
{
    struct meet_frame before = frame_of(_i), after;
    uint8_t memory[FRAME_MAX_OCTETS];
    size_t length = put(_i, memory);

    ck_assert_int_eq(get(rows[_i].type, memory, length, &after), 0);
    ck_assert_uint_eq(after.number, before.number);
    ck_assert_str_eq(after.site, before.site);
    ck_assert_str_eq(after.reason, before.reason);
    ck_assert_uint_eq(after.handed_over, before.handed_over);
    if (rows[_i].own) {
        ck_assert(addr_equal(&after.own, &before.own));
        ck_assert(addr_equal(&after.mapped, &before.mapped));
    }
    check_start(&after.start, &before.start);
    /* One is not the other, unless it has NUMBER alone. */
    if (rows[_i].type != FRAME_PUNCH && (rows[_i].type == FRAME_MEET || before.reason[0]))
        ck_assert_int_eq(
            get(rows[_i].type == FRAME_MEET ? FRAME_MEET_END : FRAME_MEET, memory, length, &after),
            ERR_PROTOCOL);
}
END_TEST

/* Cut short it is refused, or it is what may be without the rest. */
START_TEST(test_cut)
{
    uint8_t memory[FRAME_MAX_OCTETS];
    size_t length = put(_i, memory);
    unsigned taken = 0, expected;

    for (size_t cut = 0; cut < length; cut++) {
        struct meet_frame frame;

        taken += get(rows[_i].type, memory, cut, &frame) == 0;
    }
    /* Without REASON; without START; and without timestamps. */
    expected = rows[_i].frame.reason[0] != '\0';
    expected += rows[_i].frame.handed_over;
    expected += rows[_i].frame.start.timestamps;
    expected += rows[_i].type == FRAME_PUNCH && rows[_i].own; /* without the addresses */
    ck_assert_uint_eq(taken, expected);
}
END_TEST

START_TEST(test_flips)
{
    uint8_t memory[FRAME_MAX_OCTETS];
    size_t length = put(_i, memory);

    for (size_t bit = 0; bit < length * 8; bit++) {
        struct meet_frame frame;

        memory[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (get(rows[_i].type, memory, length, &frame) == 0) {
            ck_assert_ptr_nonnull(memchr(frame.site, 0, sizeof(frame.site)));
            ck_assert_ptr_nonnull(memchr(frame.reason, 0, sizeof(frame.reason)));
            ck_assert_uint_ne(frame.number, 0);
            ck_assert_uint_le(frame.start.own_scale, SEGMENT_SCALE_MAX);
            ck_assert_uint_le(frame.start.peer_scale, SEGMENT_SCALE_MAX);
            ck_assert(!frame.handed_over ||
                      (frame.start.mss >= 536 && frame.start.peer_window > 0));
        }
        memory[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}
END_TEST

static const struct {
    uint8_t type;
    const char *hex;
} bad[] = {
    {FRAME_MEET_END, "80010008 0000000000000000"},                          /* no number */
    {FRAME_MEET_END, "80010008 0000000000000001 800100080000000000000001"}, /* twice */
    {FRAME_MEET_END, "80010008 0000000000000001 000d0000"},                 /* an empty reason */
    {FRAME_MEET_END, "80010008 0000000000000001 80630000"},   /* critical, not known */
    {FRAME_MEET_END, "80010008 0000000000000001 8002000161"}, /* of the other frame */
    {FRAME_MEET, "80010008 0000000000000001 8002000161"},     /* no addresses */
    {FRAME_PUNCH, "80010008 0000000000000001"},               /* no site */
    {FRAME_PUNCH, "80010008 0000000000000001 8002000161 0005000400000001"},        /* of MEET */
    {FRAME_PUNCH, "80010008 0000000000000001 8002000161 80030007 04c00002010001"}, /* one of two */
};

START_TEST(test_bad)
{
    uint8_t memory[256];
    size_t length = unit_hex(bad[_i].hex, memory, sizeof(memory));
    struct meet_frame frame;

    ck_assert_int_eq(get(bad[_i].type, memory, length, &frame), ERR_PROTOCOL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("meetwire");
    TCase *tcase = tcase_create("meetwire");

    tcase_add_loop_test(tcase, test_round, 0, ROWS);
    tcase_add_loop_test(tcase, test_cut, 0, ROWS);
    tcase_add_loop_test(tcase, test_flips, 0, ROWS);
    tcase_add_loop_test(tcase, test_bad, 0, sizeof(bad) / sizeof(bad[0]));
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
