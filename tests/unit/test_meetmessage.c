/* Messages by which two sites meet: what is written is read again, and nothing else. */
#include <string.h>

#include "common/base/err.h"
#include "inner-relay/meetmessage.h"
#include "tests/unit/unit.h"

static const struct {
    uint8_t type;
    struct meet_message message;
} rows[] = {
    {MESSAGE_MEET, {.number = 7}},
    {MESSAGE_MEET_END, {.number = UINT64_MAX}},
    {MESSAGE_MEET_END, {.number = 7, .reason = "no"}},
    {MESSAGE_PUNCH, {.number = 7}},
    {MESSAGE_PUNCH_END, {.number = UINT64_MAX}},
    {MESSAGE_PUNCH_END, {.number = 7, .reason = "no"}},
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]), SIZE = 512 };

static size_t put(int row, uint8_t *memory)
{
    struct writer w;

    writer_init(&w, memory, SIZE);
    meetmessage_put(&w, rows[row].type, &rows[row].message);
    ck_assert(!w.failed);
    return writer_length(&w);
}

static int get(uint8_t type, const uint8_t *memory, size_t length, struct meet_message *message)
{
    struct reader r;

    reader_init(&r, memory, length);
    return meetmessage_get(type, &r, message);
}

START_TEST(test_round)
{
    const struct meet_message *before = &rows[_i].message;
    uint8_t memory[SIZE];
    size_t length = put(_i, memory);
    struct meet_message after;

    ck_assert_int_eq(get(rows[_i].type, memory, length, &after), 0);
    ck_assert_uint_eq(after.number, before->number);
    ck_assert_str_eq(after.reason, before->reason);
    ck_assert_int_eq(get(MESSAGE_KEPT, memory, length, &after), ERR_UNSUPPORTED);
    ck_assert_int_eq(get(MESSAGE_PUNCH_END + 1, memory, length, &after), ERR_UNSUPPORTED);
    /* Without REASON it is another one. */
    for (size_t cut = 0; cut < length; cut++)
        ck_assert_int_eq(get(rows[_i].type, memory, cut, &after), cut == 12 ? 0 : ERR_PROTOCOL);
}
END_TEST

START_TEST(test_flips)
{
    uint8_t memory[SIZE];
    size_t length = put(_i, memory);

    for (size_t bit = 0; bit < length * 8; bit++) {
        struct meet_message message;

        memory[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (get(rows[_i].type, memory, length, &message) == 0) {
            ck_assert_uint_ne(message.number, 0);
            ck_assert_ptr_nonnull(memchr(message.reason, 0, sizeof(message.reason)));
        }
        memory[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}
END_TEST

static const struct {
    uint8_t type;
    const char *hex;
} bad[] = {
    {MESSAGE_MEET, ""},
    {MESSAGE_MEET, "80010008 0000000000000000"},
    {MESSAGE_MEET, "80010008 0000000000000001 80010008 0000000000000001"},
    {MESSAGE_MEET, "80010008 0000000000000001 80630000"},
    {MESSAGE_MEET_END, "80010008 0000000000000001 00030000"},
    {MESSAGE_PUNCH, ""},
    {MESSAGE_PUNCH_END, "80010008 0000000000000001 00030000"},
};

START_TEST(test_bad)
{
    uint8_t memory[SIZE];
    size_t length = unit_hex(bad[_i].hex, memory, sizeof(memory));
    struct meet_message message;

    ck_assert_int_eq(get(bad[_i].type, memory, length, &message), ERR_PROTOCOL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("meetmessage");
    TCase *tcase = tcase_create("meetmessage");

    tcase_add_loop_test(tcase, test_round, 0, ROWS);
    tcase_add_loop_test(tcase, test_flips, 0, ROWS);
    tcase_add_loop_test(tcase, test_bad, 0, sizeof(bad) / sizeof(bad[0]));
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
