#include "common/tunnel/frame.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/protocol.h"
#include "tests/unit/unit.h"

/* Of the exact length, so that ASan and valgrind see every octet too far. */
static int parse(const uint8_t *data, size_t length, struct frame *frame)
{
    uint8_t *copy = malloc(length ? length : 1);
    int result;

    ck_assert_ptr_nonnull(copy);
    memcpy(copy, data, length);
    result = frame_parse(copy, length, frame);
    if (result > 0) {
        ck_assert_uint_le((size_t)result, length);
        ck_assert_ptr_eq(frame->body.at, copy + FRAME_HEAD_OCTETS);
        ck_assert_uint_eq(reader_left(&frame->body), (size_t)result - FRAME_HEAD_OCTETS);
    }
    free(copy);
    return result;
}

static const struct {
    const char *name, *hex;
    int result;
    uint8_t type;
} rows[] = {
    {"nothing", "", 0, 0},
    {"half a length", "00", 0, 0},
    {"a length", "0001", 0, 0},
    {"no type", "0000", ERR_PROTOCOL, 0},
    {"no type, more behind", "0000 0000", ERR_PROTOCOL, 0},
    {"empty body", "0001 03", 3, 3},
    {"empty body, more behind", "0001 03 0001", 3, 3},
    {"a body", "0004 80 aabbcc", 6, 0x80},
    {"a body that is not all there", "0004 80 aabb", 0, 0},
    {"the longest, incomplete", "0ffe 80", 0, 0},
    {"one longer than the longest", "0fff 80", ERR_PROTOCOL, 0},
    {"far longer", "ffff", ERR_PROTOCOL, 0},
};

START_TEST(test_parse)
{
    uint8_t data[64];
    struct frame frame;
    int result = parse(data, unit_hex(rows[_i].hex, data, sizeof(data)), &frame);

    ck_assert_msg(result == rows[_i].result, "%s: %d", rows[_i].name, result);
    if (result > 0)
        ck_assert_uint_eq(frame.type, rows[_i].type);
}
END_TEST

START_TEST(test_longest)
{
    static uint8_t data[FRAME_MAX_OCTETS + 1];
    struct frame frame;

    data[0] = (FRAME_MAX_OCTETS - 2) >> 8;
    data[1] = (FRAME_MAX_OCTETS - 2) & 0xff;
    for (size_t length = 2; length < FRAME_MAX_OCTETS; length++)
        ck_assert_int_eq(parse(data, length, &frame), 0);
    ck_assert_int_eq(parse(data, FRAME_MAX_OCTETS, &frame), FRAME_MAX_OCTETS);
    ck_assert_int_eq(parse(data, FRAME_MAX_OCTETS + 1, &frame), FRAME_MAX_OCTETS);
}
END_TEST

START_TEST(test_round_trip)
{
    uint8_t memory[256];
    struct writer w;
    struct frame frame;
    uint8_t *head;
    size_t at = 0;

    writer_init(&w, memory, sizeof(memory));
    for (uint8_t i = 0; i < 10; i++) {
        head = frame_begin(&w, (uint8_t)(0x80 + i));
        for (uint8_t k = 0; k < i; k++)
            writer_u8(&w, k);
        frame_end(&w, head);
    }
    for (uint8_t i = 0; i < 10; i++) {
        int taken = parse(memory + at, writer_length(&w) - at, &frame);

        ck_assert_int_eq(taken, FRAME_HEAD_OCTETS + i);
        ck_assert_uint_eq(frame.type, 0x80 + i);
        at += (size_t)taken;
    }
    ck_assert_uint_eq(at, writer_length(&w));
}
END_TEST

START_TEST(test_taken_back)
{
    uint8_t memory[8];
    struct writer w;
    uint8_t *head;

    writer_init(&w, memory, sizeof(memory));
    head = frame_begin(&w, 1);
    writer_u8(&w, 1);
    frame_end(&w, head);
    ck_assert_uint_eq(writer_length(&w), 4);
    head = frame_begin(&w, 2);
    writer_u32(&w, 1);
    frame_end(&w, head);
    ck_assert(w.failed);
    ck_assert_uint_eq(writer_length(&w), 4);
    frame_end(&w, frame_begin(&w, 3));
    ck_assert_uint_eq(writer_length(&w), 4);
}
END_TEST

/* A media frame's body: a label, and a packet of 1 to PACKET_MAX_OCTETS. */
static const struct {
    size_t length;
    int result;
} media_rows[] = {
    {0, ERR_PROTOCOL},          {3, ERR_PROTOCOL},
    {4, ERR_PROTOCOL},          {5, 0},
    {4 + PACKET_MAX_OCTETS, 0}, {4 + PACKET_MAX_OCTETS + 1, ERR_PROTOCOL},
};

START_TEST(test_media)
{
    size_t length = media_rows[_i].length, packet_length = 0;
    uint8_t *data = calloc(1, length + 1);
    const uint8_t *packet = NULL;
    uint32_t label = 0;
    struct reader body;

    ck_assert_ptr_nonnull(data);
    if (length >= 4)
        memcpy(data, "\xde\xad\xbe\xef", 4);
    reader_init(&body, data, length);
    ck_assert_int_eq(frame_media(&body, &label, &packet, &packet_length), media_rows[_i].result);
    if (media_rows[_i].result == 0) {
        ck_assert_uint_eq(label, 0xdeadbeef);
        ck_assert_ptr_eq(packet, data + 4);
        ck_assert_uint_eq(packet_length, length - 4);
    }
    free(data);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("frame");
    TCase *tc = tcase_create("frame");

    tcase_add_loop_test(tc, test_parse, 0, sizeof(rows) / sizeof(rows[0]));
    tcase_add_test(tc, test_longest);
    tcase_add_test(tc, test_round_trip);
    tcase_add_test(tc, test_taken_back);
    tcase_add_loop_test(tc, test_media, 0, sizeof(media_rows) / sizeof(media_rows[0]));
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
