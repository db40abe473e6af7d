/* Messages between sites: what is written is read again, and nothing else. */
#include <string.h>

#include "common/base/err.h"
#include "common/base/tlv.h"
#include "inner-relay/sitemessage.h"
#include "tests/unit/unit.h"

static const struct {
    uint8_t type;
    struct site_message message;
} rows[] = {
    {MESSAGE_PLACE, {.number = 7, .sdp = "v=0", .sdp_length = 3}},
    {MESSAGE_RINGING, {.number = UINT64_MAX}},
    {MESSAGE_ANSWER, {.number = 7, .sdp = "v=0", .sdp_length = 3}},
    {MESSAGE_REFUSE, {.number = 7, .reason = "busy"}},
    {MESSAGE_REFUSE, {.number = 7}},
    {MESSAGE_END, {.number = 7, .reason = "hung up"}},
    {MESSAGE_KEEP, {.number = 7}},
    {MESSAGE_KEPT, {.number = 0}},
    {MESSAGE_TAKES, {.label = 77, .media = {1, 2}, .proof = {3, 4}}},
    {MESSAGE_GIVES, {.media = {1, 2}, .proof = {3, 4}}},
    {MESSAGE_ASK, {.number = 0}},
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

static size_t put(int row, uint8_t *memory, size_t size)
{
    struct writer w;

    writer_init(&w, memory, size);
    sitemessage_put(&w, rows[row].type, &rows[row].message);
    ck_assert(!w.failed);
    return writer_length(&w);
}

static int get(uint8_t type, const uint8_t *memory, size_t length, struct site_message *message)
{
    struct reader r;

    reader_init(&r, memory, length);
    return sitemessage_get(type, &r, message);
}

START_TEST(test_round)
{
    uint8_t memory[256];
    size_t length = put(_i, memory, sizeof(memory));
    struct site_message after;

    ck_assert_int_eq(get(rows[_i].type, memory, length, &after), 0);
    ck_assert_uint_eq(after.number, rows[_i].message.number);
    ck_assert_str_eq(after.reason, rows[_i].message.reason);
    ck_assert_uint_eq(after.label, rows[_i].message.label);
    ck_assert_mem_eq(after.media, rows[_i].message.media, sizeof(after.media));
    ck_assert_mem_eq(after.proof, rows[_i].message.proof, sizeof(after.proof));
    ck_assert_uint_eq(after.sdp_length, rows[_i].message.sdp_length);
    if (after.sdp_length > 0)
        ck_assert_mem_eq(after.sdp, rows[_i].message.sdp, after.sdp_length);
    for (size_t cut = 0; cut < length; cut++) {
        /* A reason may be missing. */
        if (cut == 12 && rows[_i].message.reason[0])
            continue;
        ck_assert_int_eq(get(rows[_i].type, memory, cut, &after), ERR_PROTOCOL);
    }
}
END_TEST

START_TEST(test_flips)
{
    uint8_t memory[256];
    size_t length = put(_i, memory, sizeof(memory));

    for (size_t bit = 0; bit < length * 8; bit++) {
        struct site_message message;

        memory[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (get(rows[_i].type, memory, length, &message) == 0) {
            ck_assert_ptr_nonnull(memchr(message.reason, 0, sizeof(message.reason)));
            ck_assert_uint_le(message.sdp_length, sizeof(memory));
        }
        memory[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}
END_TEST

static const struct {
    uint8_t type;
    const char *hex;
    int result;
} bad[] = {
    {MESSAGE_PLACE, "80010008 0000000000000007", ERR_PROTOCOL},
    {MESSAGE_PLACE, "80010008 0000000000000007 80020000", ERR_PROTOCOL},
    {MESSAGE_PLACE, "80020001 61", ERR_PROTOCOL},
    {MESSAGE_RINGING, "80010008 0000000000000007 80020001 61", ERR_PROTOCOL},
    {MESSAGE_RINGING, "80010008 0000000000000007 80010008 0000000000000007", ERR_PROTOCOL},
    {MESSAGE_RINGING, "80010004 00000007", ERR_PROTOCOL},
    {MESSAGE_REFUSE, "80010008 0000000000000007 00030000", ERR_PROTOCOL},
    {MESSAGE_KEPT, "80010008 0000000000000007", ERR_PROTOCOL},
    {MESSAGE_KEPT, "80090001 00", ERR_PROTOCOL},
    {MESSAGE_KEPT, "00090001 00", 0}, /* of a later version */
    {MESSAGE_TAKES,
     "80040010 000102030405060708090a0b0c0d0e0f 80050010 000102030405060708090a0b0c0d0e0f",
     ERR_PROTOCOL},
    {MESSAGE_GIVES,
     "80040010 000102030405060708090a0b0c0d0e0f 8005000f 000102030405060708090a0b0c0d0e",
     ERR_PROTOCOL},
    {MESSAGE_GIVES,
     "80040010 000102030405060708090a0b0c0d0e0f 80050010 000102030405060708090a0b0c0d0e0f", 0},
    {MESSAGE_ASK, "80010008 0000000000000007", ERR_PROTOCOL},
    {11, "", ERR_UNSUPPORTED},
    {0, "", ERR_UNSUPPORTED},
};

START_TEST(test_bad)
{
    uint8_t memory[256];
    size_t length = unit_hex(bad[_i].hex, memory, sizeof(memory));
    struct site_message message;

    ck_assert_int_eq(get(bad[_i].type, memory, length, &message), bad[_i].result);
}
END_TEST

START_TEST(test_long)
{
    static uint8_t memory[MESSAGE_MAX_OCTETS];
    static char sdp[MESSAGE_SDP_OCTETS + 1];
    struct site_message message = {.number = 1, .sdp = sdp, .sdp_length = MESSAGE_SDP_OCTETS};
    struct writer w;

    for (int more = 0; more < 2; more++, message.sdp_length++) {
        writer_init(&w, memory, sizeof(memory));
        sitemessage_put(&w, MESSAGE_PLACE, &message);
        ck_assert(!w.failed);
        ck_assert_int_eq(get(MESSAGE_PLACE, memory, writer_length(&w), &message),
                         more ? ERR_PROTOCOL : 0);
        message = (struct site_message){.number = 1, .sdp = sdp, .sdp_length = MESSAGE_SDP_OCTETS};
    }
}
END_TEST

START_TEST(test_reason)
{
    struct site_message message;
    char text[300];

    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    sitemessage_set_reason(&message, text);
    ck_assert_uint_eq(strlen(message.reason), MESSAGE_REASON_SIZE - 1);
    sitemessage_set_reason(&message, "a\n\xc3\xa4z\x7f");
    ck_assert_str_eq(message.reason, "az");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sitemessage");
    TCase *tc = tcase_create("sitemessage");

    tcase_add_loop_test(tc, test_round, 0, ROWS);
    tcase_add_loop_test(tc, test_flips, 0, ROWS);
    tcase_add_loop_test(tc, test_bad, 0, sizeof(bad) / sizeof(bad[0]));
    tcase_add_test(tc, test_long);
    tcase_add_test(tc, test_reason);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
