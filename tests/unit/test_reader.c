#include "common/base/reader.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/addr.h"
#include "common/base/tlv.h"
#include "common/base/writer.h"
#include "tests/unit/unit.h"

/* ---------------------------------------------------------------- reader and writer */

static void write_all(struct writer *w)
{
    writer_u8(w, 0x01);
    writer_u16(w, 0x0203);
    writer_u32(w, 0x04050607);
    writer_u64(w, 0x08090a0b0c0d0e0f);
    writer_copy(w, "abc", 3);
}

START_TEST(test_round_trip)
{
    uint8_t memory[18], copied[3];
    struct writer w;
    struct reader r;

    writer_init(&w, memory, sizeof(memory));
    write_all(&w);
    ck_assert(!w.failed);
    ck_assert_uint_eq(writer_length(&w), sizeof(memory));
    ck_assert_uint_eq(writer_room(&w), 0);
    for (size_t i = 0; i < 15; i++)
        ck_assert_uint_eq(memory[i], i + 1);

    reader_init(&r, memory, sizeof(memory));
    ck_assert_uint_eq(reader_u8(&r), 0x01);
    ck_assert_uint_eq(reader_u16(&r), 0x0203);
    ck_assert_uint_eq(reader_u32(&r), 0x04050607);
    ck_assert_uint_eq(reader_u64(&r), 0x08090a0b0c0d0e0f);
    ck_assert_uint_eq(reader_left(&r), 3);
    ck_assert(!reader_done(&r));
    reader_copy(&r, copied, sizeof(copied));
    ck_assert_mem_eq(copied, "abc", 3);
    ck_assert(reader_done(&r));
}
END_TEST

/* A number that does not fit is not written in part. */
START_TEST(test_writer_short)
{
    for (size_t size = 0; size < 18; size++) {
        uint8_t *memory = malloc(size ? size : 1);
        struct writer w;
        size_t length;

        writer_init(&w, memory, size);
        write_all(&w);
        ck_assert(w.failed);
        ck_assert_uint_eq(writer_room(&w), 0);
        length = writer_length(&w);
        ck_assert(length == 0 || length == 1 || length == 3 || length == 7 || length == 15);
        writer_u8(&w, 1);
        writer_copy(&w, "", 0);
        ck_assert_ptr_null(writer_reserve(&w, 0));
        ck_assert_uint_eq(writer_length(&w), length);
        free(memory);
    }
}
END_TEST

START_TEST(test_reader_short)
{
    volatile size_t eight = 8; /* or gcc warns of the very overrun that cannot come */
    uint8_t copied[8] = "stays";

    for (size_t size = 0; size < 8; size++) {
        uint8_t *octets = malloc(size ? size : 1);
        struct reader r;

        memset(octets, 0xff, size);
        reader_init(&r, octets, size);
        ck_assert_uint_eq(reader_u64(&r), 0);
        ck_assert(r.failed && !reader_done(&r));
        ck_assert_uint_eq(reader_left(&r), 0);
        /* It sticks, though octets would be there. */
        ck_assert_uint_eq(reader_u8(&r), 0);
        ck_assert_ptr_null(reader_take(&r, 0));
        reader_copy(&r, copied, 1);
        ck_assert_str_eq((const char *)copied, "stays");
        reader_init(&r, octets, size);
        reader_copy(&r, copied, eight);
        ck_assert(r.failed);
        ck_assert_str_eq((const char *)copied, "stays");
        free(octets);
    }
}
END_TEST

START_TEST(test_reader_empty)
{
    struct reader r;

    reader_init(&r, NULL, 0);
    ck_assert(reader_done(&r));
    reader_copy(&r, NULL, 0);
    ck_assert(reader_done(&r));
    ck_assert_uint_eq(reader_u16(&r), 0);
    ck_assert(!reader_done(&r));
}
END_TEST

/* ---------------------------------------------------------------- tlv */

static struct tlv first_field(const uint8_t *data, size_t length)
{
    struct tlv field;
    struct reader r;

    reader_init(&r, data, length);
    ck_assert(tlv_next(&r, &field));
    ck_assert(reader_done(&r));
    return field;
}

START_TEST(test_tlv_numbers)
{
    uint8_t memory[64];
    struct writer w;
    struct reader r;
    struct tlv field;
    uint8_t u8;
    uint16_t u16;
    uint32_t u32;
    uint64_t u64;

    writer_init(&w, memory, sizeof(memory));
    tlv_put_u8(&w, 1, 0x12);
    tlv_put_u16(&w, 2 | TLV_CRITICAL, 0x1234);
    tlv_put_u32(&w, 0x7fff, 0x12345678);
    tlv_put_u64(&w, 0xffff, 0x123456789abcdef0);
    reader_init(&r, memory, writer_length(&w));
    ck_assert(tlv_next(&r, &field) && field.tag == 1 && !field.critical);
    ck_assert(tlv_get_u8(&field, &u8) && u8 == 0x12);
    ck_assert(tlv_next(&r, &field) && field.tag == 2 && field.critical);
    ck_assert(tlv_get_u16(&field, &u16) && u16 == 0x1234);
    ck_assert(tlv_next(&r, &field) && field.tag == 0x7fff && !field.critical);
    ck_assert(tlv_get_u32(&field, &u32) && u32 == 0x12345678);
    ck_assert(tlv_next(&r, &field) && field.tag == 0x7fff && field.critical);
    ck_assert(tlv_get_u64(&field, &u64) && u64 == 0x123456789abcdef0);
    ck_assert(!tlv_next(&r, &field) && reader_done(&r));
}
END_TEST

/* A value of any other length is refused, and the variable stays. */
START_TEST(test_tlv_lengths)
{
    uint8_t memory[32];

    for (size_t length = 0; length <= 9; length++) {
        uint8_t u8 = 0x55;
        uint16_t u16 = 0x5555;
        uint32_t u32 = 0x55555555;
        uint64_t u64 = 0x5555555555555555;
        struct writer w;
        struct tlv field;

        writer_init(&w, memory, sizeof(memory));
        tlv_put_bytes(&w, 7, "\1\1\1\1\1\1\1\1\1", length);
        field = first_field(memory, writer_length(&w));
        ck_assert(tlv_get_u8(&field, &u8) == (length == 1));
        ck_assert(tlv_get_u16(&field, &u16) == (length == 2));
        ck_assert(tlv_get_u32(&field, &u32) == (length == 4));
        ck_assert(tlv_get_u64(&field, &u64) == (length == 8));
        ck_assert_uint_eq(u8, length == 1 ? 1 : 0x55);
        ck_assert_uint_eq(u16, length == 2 ? 0x0101 : 0x5555);
        ck_assert_uint_eq(u32, length == 4 ? 0x01010101 : 0x55555555);
        ck_assert_uint_eq(u64, length == 8 ? 0x0101010101010101 : 0x5555555555555555);
    }
}
END_TEST

static const struct {
    const char *text;
    size_t size;
    bool good;
} texts[] = {
    {"", 1, true},      {"a", 2, true},
    {"a", 1, false},    {"main", 5, true},
    {"main", 4, false}, {" ~", 8, true},
    {"a\nb", 8, false}, {"\x7f", 8, false},
    {"\x1f", 8, false}, {"caf\xc3\xa9", 8, false},
};

START_TEST(test_tlv_text)
{
    uint8_t memory[64];
    char out[8] = "stays";
    struct writer w;
    struct tlv field;

    writer_init(&w, memory, sizeof(memory));
    tlv_put_text(&w, 3, texts[_i].text);
    field = first_field(memory, writer_length(&w));
    ck_assert(tlv_get_text(&field, out, texts[_i].size) == texts[_i].good);
    ck_assert_str_eq(out, texts[_i].good ? texts[_i].text : "stays");
}
END_TEST

START_TEST(test_tlv_text_nul)
{
    static const uint8_t octets[] = {0, 3, 0, 3, 'a', 0, 'b'};
    struct tlv field = first_field(octets, sizeof(octets));
    char out[8];

    ck_assert(!tlv_get_text(&field, out, sizeof(out)));
}
END_TEST

START_TEST(test_tlv_addr)
{
    static const char *const addrs[] = {"192.0.2.1:5004", "[2001:db8::1]:1"};
    uint8_t memory[64];
    struct addr addr, got;
    struct writer w;
    struct tlv field;

    for (size_t i = 0; i < 2; i++) {
        ck_assert_int_eq(addr_parse(addrs[i], &addr), 0);
        writer_init(&w, memory, sizeof(memory));
        tlv_put_addr(&w, 6, &addr);
        ck_assert_uint_eq(writer_length(&w), i ? 4 + 19 : 4 + 7);
        field = first_field(memory, writer_length(&w));
        ck_assert(tlv_get_addr(&field, &got) && addr_equal(&addr, &got));
        /* The value shorter or longer by one, or of another family. */
        memory[3]--;
        field = first_field(memory, writer_length(&w) - 1);
        ck_assert(!tlv_get_addr(&field, &got));
        memory[3] = (uint8_t)(memory[3] + 2);
        field = first_field(memory, writer_length(&w) + 1);
        ck_assert(!tlv_get_addr(&field, &got));
        memory[3]--;
        memory[4] ^= 2; /* 4 and 6 differ in this bit */
        field = first_field(memory, writer_length(&w));
        ck_assert(!tlv_get_addr(&field, &got));
    }
}
END_TEST

START_TEST(test_tlv_no_addr)
{
    struct addr none = {0};
    uint8_t memory[64];
    struct writer w;

    writer_init(&w, memory, sizeof(memory));
    tlv_put_addr(&w, 6, &none);
    ck_assert(w.failed);
}
END_TEST

START_TEST(test_tlv_bytes)
{
    uint8_t memory[64], out[4];
    struct writer w;
    size_t length = 99;

    for (size_t n = 0; n <= 5; n++) {
        struct tlv field;

        writer_init(&w, memory, sizeof(memory));
        tlv_put_bytes(&w, 12, "abcde", n);
        field = first_field(memory, writer_length(&w));
        ck_assert(tlv_get_bytes(&field, out, sizeof(out), &length) == (n >= 1 && n <= 4));
        if (n >= 1 && n <= 4) {
            ck_assert_uint_eq(length, n);
            ck_assert_mem_eq(out, "abcde", n);
        }
    }
}
END_TEST

START_TEST(test_tlv_too_long)
{
    uint8_t *memory = malloc(70000), *value = calloc(1, 65536);
    struct writer w;

    writer_init(&w, memory, 70000);
    tlv_put_bytes(&w, 12, value, 65535);
    ck_assert(!w.failed);
    writer_init(&w, memory, 70000);
    tlv_put_bytes(&w, 12, value, 65536);
    ck_assert(w.failed);
    free(memory);
    free(value);
}
END_TEST

/* Cut at every octet: whole fields in front are read, then it ends or fails. */
START_TEST(test_tlv_truncated)
{
    uint8_t memory[64];
    struct writer w;

    writer_init(&w, memory, sizeof(memory));
    tlv_put_u32(&w, 1, 7);
    tlv_put_text(&w, 2, "ab");
    for (size_t cut = 0; cut < writer_length(&w); cut++) {
        struct reader r;
        struct tlv field;
        size_t fields = 0;

        reader_init(&r, memory, cut);
        while (tlv_next(&r, &field))
            fields++;
        ck_assert_uint_eq(fields, cut >= 8);
        ck_assert(r.failed == (cut != 0 && cut != 8));
        ck_assert(!tlv_next(&r, &field));
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("reader");
    TCase *tc = tcase_create("reader and writer");
    TCase *fields = tcase_create("tlv");

    tcase_add_test(tc, test_round_trip);
    tcase_add_test(tc, test_writer_short);
    tcase_add_test(tc, test_reader_short);
    tcase_add_test(tc, test_reader_empty);
    suite_add_tcase(suite, tc);
    tcase_add_test(fields, test_tlv_numbers);
    tcase_add_test(fields, test_tlv_lengths);
    tcase_add_loop_test(fields, test_tlv_text, 0, sizeof(texts) / sizeof(texts[0]));
    tcase_add_test(fields, test_tlv_text_nul);
    tcase_add_test(fields, test_tlv_addr);
    tcase_add_test(fields, test_tlv_no_addr);
    tcase_add_test(fields, test_tlv_bytes);
    tcase_add_test(fields, test_tlv_too_long);
    tcase_add_test(fields, test_tlv_truncated);
    suite_add_tcase(suite, fields);
    return unit_run(suite);
}
