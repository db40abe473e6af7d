/* SITE and SITE-STATE: what is written is read again, and nothing else. */
#include <string.h>

#include "common/base/err.h"
#include "common/base/tlv.h"
#include "common/tunnel/sitewire.h"
#include "tests/unit/unit.h"

static const uint8_t octets[] = {1, 2, 3};

static const struct {
    uint8_t type;
    struct site_frame frame;
} rows[] = {
    {FRAME_SITE, {"a.example", 7, SITE_KIND_OPEN, octets, 3, 0, 0}},
    {FRAME_SITE, {"b.example", UINT64_MAX, SITE_KIND_BACK, octets, 1, 0, 0}},
    {FRAME_SITE_STATE, {"a.example", 0, 0, NULL, 0, SITE_STATE_TAKEN, 1}},
    {FRAME_SITE_STATE, {"a.example", 0, 0, NULL, 0, SITE_STATE_TAKEN, SITE_WINDOW_OCTETS}},
    {FRAME_SITE_STATE, {"a.example", 9, SITE_KIND_OPEN, NULL, 0, SITE_STATE_REFUSED, 0}},
    {FRAME_SITE_STATE, {"a.example", 9, SITE_KIND_FORTH, NULL, 0, SITE_STATE_UNKNOWN, 0}},
    {FRAME_SITE_STATE, {"a.example", 9, SITE_KIND_FORTH, NULL, 0, SITE_STATE_OFFLINE, 0}},
    {FRAME_SITE_STATE, {"a.example", 0, 0, NULL, 0, SITE_STATE_OFFLINE, 0}},
    {FRAME_SITE_STATE, {"a.example", 9, SITE_KIND_BACK, NULL, 0, SITE_STATE_CLOSED, 0}},
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

static size_t put(int row, uint8_t *memory)
{
    struct writer w;

    writer_init(&w, memory, FRAME_MAX_OCTETS);
    sitewire_put(&w, rows[row].type, &rows[row].frame);
    ck_assert(!w.failed);
    return writer_length(&w);
}

static int get(uint8_t type, const uint8_t *memory, size_t length, struct site_frame *frame)
{
    struct reader r;

    reader_init(&r, memory, length);
    return sitewire_get(type, &r, frame);
}

START_TEST(test_round)
{
    const struct site_frame *before = &rows[_i].frame;
    uint8_t memory[FRAME_MAX_OCTETS];
    size_t length = put(_i, memory);
    struct site_frame after;

    ck_assert_int_eq(get(rows[_i].type, memory, length, &after), 0);
    ck_assert_str_eq(after.site, before->site);
    ck_assert_uint_eq(after.session, before->session);
    ck_assert_uint_eq(after.kind, before->kind);
    ck_assert_uint_eq(after.state, before->state);
    ck_assert_uint_eq(after.credit, before->credit);
    ck_assert_uint_eq(after.length, before->length);
    if (after.length > 0)
        ck_assert_mem_eq(after.data, before->data, after.length);
    ck_assert_uint_eq(sitewire_cost(&after), before->length + SITE_COST_OCTETS);
    /* One is not the other. */
    ck_assert_int_eq(
        get(rows[_i].type == FRAME_SITE ? FRAME_SITE_STATE : FRAME_SITE, memory, length, &after),
        ERR_PROTOCOL);
    /* But STATE-OFFLINE, whose session may lack, all that is cut is refused. */
    for (size_t cut = 0; cut < length; cut++)
        ck_assert_int_eq(get(rows[_i].type, memory, cut, &after), ERR_PROTOCOL);
}
END_TEST

/* With any bit flipped it is refused, or it keeps to its bounds. */
START_TEST(test_flips)
{
    uint8_t memory[FRAME_MAX_OCTETS];
    size_t length = put(_i, memory);

    for (size_t bit = 0; bit < length * 8; bit++) {
        struct site_frame frame;

        memory[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (get(rows[_i].type, memory, length, &frame) == 0) {
            ck_assert_ptr_nonnull(memchr(frame.site, 0, sizeof(frame.site)));
            ck_assert_uint_le(frame.kind, SITE_KIND_BACK);
            ck_assert_uint_le(frame.state, SITE_STATE_CLOSED);
            ck_assert_uint_le(frame.credit, SITE_WINDOW_OCTETS);
            ck_assert(frame.length <= SITE_DATA_OCTETS);
        }
        memory[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}
END_TEST

static const struct {
    uint8_t type;
    const char *hex;
} bad[] = {
    {FRAME_SITE, "8001000161 80020008 0000000000000007 8003000101 80040000"},   /* no data */
    {FRAME_SITE, "80010000 80020008 0000000000000007 8003000101 8004000101"},   /* no name */
    {FRAME_SITE, "8001000161 80020008 0000000000000007 8003000100 8004000101"}, /* kind 0 */
    {FRAME_SITE, "8001000161 80020008 0000000000000007 8003000104 8004000101"}, /* kind 4 */
    {FRAME_SITE, "8001000161 8003000101 8004000101"},                           /* lacks */
    {FRAME_SITE,
     "8001000161 8001000161 80020008 0000000000000007 8003000101 8004000101"}, /* twice */
    {FRAME_SITE, "8001000161 80020008 0000000000000007 8003000101 8004000101 8005000102"},
    {FRAME_SITE, "8001000161 80020008 0000000000000007 8003000101 8004000101 80070000"},
    {FRAME_SITE_STATE, "8001000161 8005000101"},                   /* TAKEN without CREDIT */
    {FRAME_SITE_STATE, "8001000161 8005000101 80060004 00000000"}, /* of nothing */
    {FRAME_SITE_STATE, "8001000161 8005000101 80060004 00008001"}, /* of too much */
    {FRAME_SITE_STATE, "8001000161 8005000102"},                   /* REFUSED without SESSION */
    {FRAME_SITE_STATE, "8001000161 8005000106"},                   /* unknown */
    {FRAME_SITE_STATE, "8001000161 8005000100"},
    {FRAME_SITE_STATE, "8001000161 8003000101 8005000104"}, /* half a session */
};

START_TEST(test_bad)
{
    uint8_t memory[256];
    size_t length = unit_hex(bad[_i].hex, memory, sizeof(memory));
    struct site_frame frame;

    ck_assert_int_eq(get(bad[_i].type, memory, length, &frame), ERR_PROTOCOL);
}
END_TEST

/* A field that is not known, and need not be. */
START_TEST(test_later_field)
{
    uint8_t memory[FRAME_MAX_OCTETS];
    struct site_frame frame;
    struct writer w;

    writer_init(&w, memory, sizeof(memory));
    sitewire_put(&w, rows[0].type, &rows[0].frame);
    tlv_put_u8(&w, 99, 1);
    ck_assert_int_eq(get(rows[0].type, memory, writer_length(&w), &frame), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sitewire");
    TCase *tc = tcase_create("sitewire");

    tcase_add_loop_test(tc, test_round, 0, ROWS);
    tcase_add_loop_test(tc, test_flips, 0, ROWS);
    tcase_add_loop_test(tc, test_bad, 0, sizeof(bad) / sizeof(bad[0]));
    tcase_add_test(tc, test_later_field);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
