#include "config.h"

#include "inner-relay/ngmessage.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "tests/unit/unit.h"

static const struct {
    const char *datagram;
    const char *cookie; /* NULL: it is dropped */
    const char *body;
} splits[] = {
    {"1234_1 d7:command4:pinge", "1234_1", "d7:command4:pinge"},
    {"a {\"command\":\"ping\"}", "a", "{\"command\":\"ping\"}"},
    {"a  x", "a", " x"},
    {"", NULL, NULL},
    {" ", NULL, NULL},
    {"d7:command4:pinge", NULL, NULL},
    {" d7:command4:pinge", NULL, NULL},
    {"cookie", NULL, NULL},
    {"cookie ", NULL, NULL},
};

START_TEST(test_split)
{
    struct ngmessage message;
    const char *body = NULL;
    size_t length = 0;
    int rc =
        ngmessage_split(&message, splits[_i].datagram, strlen(splits[_i].datagram), &body, &length);

    ck_assert_int_eq(rc, splits[_i].cookie ? 0 : ERR_INVALID);
    if (rc < 0)
        return;
    ck_assert_uint_eq(message.cookie_length, strlen(splits[_i].cookie));
    ck_assert_mem_eq(message.cookie, splits[_i].cookie, message.cookie_length);
    ck_assert_uint_eq(length, strlen(splits[_i].body));
    ck_assert_mem_eq(body, splits[_i].body, length);
}
END_TEST

START_TEST(test_long_cookie)
{
    char text[NG_COOKIE_MAX + 8];
    struct ngmessage message;
    const char *body;
    size_t length;

    memset(text, 'c', sizeof(text));
    memcpy(text + NG_COOKIE_MAX, " de", 4);
    ck_assert_int_eq(ngmessage_split(&message, text, NG_COOKIE_MAX + 3, &body, &length), 0);
    memcpy(text + NG_COOKIE_MAX, "c de", 5);
    ck_assert_int_eq(ngmessage_split(&message, text, NG_COOKIE_MAX + 4, &body, &length),
                     ERR_INVALID);
}
END_TEST

static void read_dict(struct ngmessage *message, const char *body)
{
    char error[BENCODE_ERROR_SIZE];

    *message = (struct ngmessage){.cookie = NULL};
    ck_assert_msg(ngmessage_read(message, body, strlen(body), error) == 0, "%s", error);
}

/* Keys and words with blanks, or hyphens; lists that are strings. */
static const char json_body[] =
    "{\"received from\":[\"IP4\",\"192.0.2.1\"],\"received-from\":[\"IP6\",\"::1\"],"
    "\"flags\":\" trust-address  x \",\"TOS\":184,\"limit\":\"32\",\"call id\":\"a@b\","
    "\"count\":[1],\"direction\":\"internal external\",\"numbers\":\"12x\"}";

START_TEST(test_values)
{
    struct ngmessage message;
    char word[NG_WORD_SIZE];
    const char *text;
    long long number;
    size_t length;

    read_dict(&message, json_body);
    ck_assert(ngmessage_word(&message, "received-from", 0, word));
    ck_assert_str_eq(word, "ip4"); /* the first of two keys that are the same */
    ck_assert(ngmessage_word(&message, "received-from", 1, word));
    ck_assert_str_eq(word, "192.0.2.1");
    ck_assert(!ngmessage_word(&message, "received-from", 2, word));
    ck_assert(!ngmessage_word(&message, "other", 0, word));
    ck_assert(ngmessage_has_word(&message, "flags", "trust-address"));
    ck_assert(ngmessage_has_word(&message, "flags", "x"));
    ck_assert(!ngmessage_has_word(&message, "flags", "y"));
    ck_assert(!ngmessage_has_word(&message, "flags", ""));
    ck_assert(ngmessage_word(&message, "direction", 1, word));
    ck_assert_str_eq(word, "external");
    ck_assert_int_eq(ngmessage_number(&message, "TOS", &number), 0);
    ck_assert_int_eq(number, 184);
    ck_assert_int_eq(ngmessage_number(&message, "limit", &number), 0);
    ck_assert_int_eq(number, 32);
    ck_assert_int_eq(ngmessage_number(&message, "numbers", &number), ERR_INVALID);
    ck_assert_int_eq(ngmessage_number(&message, "flags", &number), ERR_INVALID);
    ck_assert_int_eq(ngmessage_number(&message, "other", &number), ERR_NOT_FOUND);
    ck_assert_int_eq(ngmessage_text(&message, "call-id", 3, &text), 0);
    ck_assert_str_eq(text, "a@b");
    ck_assert_int_eq(ngmessage_text(&message, "call-id", 2, &text), ERR_TOO_LONG);
    ck_assert_int_eq(ngmessage_text(&message, "TOS", 100, &text), ERR_INVALID);
    ck_assert_int_eq(ngmessage_text(&message, "other", 100, &text), 0);
    ck_assert_str_eq(text, "");
    ck_assert_int_eq(ngmessage_string(&message, "call-id", &text, &length), 0);
    ck_assert_uint_eq(length, 3);
    ck_assert_int_eq(ngmessage_string(&message, "count", &text, &length), ERR_INVALID);
    ngmessage_fini(&message);
}
END_TEST

START_TEST(test_bencode_values)
{
    static const char body[] =
        "d13:received froml3:IP49:192.0.2.1e5:flagsl13:trust addressi7e"
        "70:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
        "aaaae3:sdp5:v=0\r\n7:call-id4:a\xff@be";
    struct ngmessage message;
    char word[NG_WORD_SIZE];
    const char *text;

    read_dict(&message, body);
    ck_assert(ngmessage_has_word(&message, "flags", "trust-address"));
    ck_assert(ngmessage_word(&message, "flags", 1, word));
    ck_assert_str_eq(word, ""); /* no string */
    ck_assert(ngmessage_word(&message, "flags", 2, word));
    ck_assert_str_eq(word, ""); /* too long */
    ck_assert(!ngmessage_word(&message, "flags", 3, word));
    ck_assert_int_eq(ngmessage_text(&message, "call-id", 10, &text), 0);
    ck_assert_str_eq(text, "a\xff@b");
    ngmessage_fini(&message);
}
END_TEST

START_TEST(test_text_with_nul)
{
    struct ngmessage message = {.cookie = NULL};
    char error[BENCODE_ERROR_SIZE];
    const char *text;
    size_t length;

    ck_assert_int_eq(ngmessage_read(&message, "d1:a3:x\0ye", 10, error), 0);
    ck_assert_int_eq(ngmessage_text(&message, "a", 10, &text), ERR_INVALID);
    ck_assert_int_eq(ngmessage_string(&message, "a", &text, &length), 0);
    ck_assert_uint_eq(length, 3);
    ngmessage_fini(&message);
}
END_TEST

static const struct {
    const char *body, *error;
} wrong[] = {
    {"le", "octet 0: not a dictionary"},
    {"4:ping", "octet 0: not a dictionary"},
    {"de ", "octet 2: something stands behind the end"},
    {"{}{", "octet 3: something stands behind the end"},
    {"[]", "octet 0: neither a string, a number, a list nor a dictionary"},
};

START_TEST(test_wrong)
{
    struct ngmessage message = {.cookie = NULL};
    char error[BENCODE_ERROR_SIZE];

    ck_assert_int_lt(ngmessage_read(&message, wrong[_i].body, strlen(wrong[_i].body), error), 0);
    ck_assert_str_eq(error, wrong[_i].error);
    ngmessage_fini(&message);
}
END_TEST

/* With an SDP of so many octets. */
static char *large_reply(const struct ngmessage *message, size_t octets, size_t *length)
{
    char *sdp = malloc(octets), *reply;

    memset(sdp, 'x', octets);
    reply = ngmessage_reply(message, json_pack("{s:o}", "sdp", json_stringn_nocheck(sdp, octets)),
                            length);
    free(sdp);
    return reply;
}

START_TEST(test_reply)
{
    static const struct {
        const char *datagram, *reply;
    } rows[] = {
        {"a-1 de", "a-1 d6:result4:ponge"},
        {"a-1 {}", "a-1 {\"result\":\"pong\"}"},
    };

    for (size_t i = 0; i < 2; i++) {
        char error[BENCODE_ERROR_SIZE], *reply;
        struct ngmessage message;
        const char *body;
        size_t length;

        ck_assert_int_eq(
            ngmessage_split(&message, rows[i].datagram, strlen(rows[i].datagram), &body, &length),
            0);
        ck_assert_int_eq(ngmessage_read(&message, body, length, error), 0);
        reply = ngmessage_reply(&message, json_pack("{s:s}", "result", "pong"), &length);
        ck_assert_str_eq(reply, rows[i].reply);
        ck_assert_uint_eq(length, strlen(reply));
        free(reply);
        /* Without a dictionary, or with one that no datagram holds, it is an error. */
        reply = ngmessage_reply(&message, NULL, &length);
        ck_assert_ptr_nonnull(strstr(reply, "out of memory"));
        free(reply);
        reply = large_reply(&message, NG_REPLY_MAX - 100, &length);
        size_t most = NG_REPLY_MAX - (length - (NG_REPLY_MAX - 100));

        free(reply);
        reply = large_reply(&message, most, &length);
        ck_assert_uint_eq(length, NG_REPLY_MAX);
        ck_assert_uint_eq(strlen(reply), NG_REPLY_MAX);
        free(reply);
        for (size_t more = 1; more < 10000; more += 1 + 5 * more) {
            reply = large_reply(&message, most + more, &length);
            ck_assert_ptr_nonnull(strstr(reply, "longer than a datagram"));
            free(reply);
        }
        ngmessage_fini(&message);
    }
}
END_TEST

#define ROWS(rows) (sizeof(rows) / sizeof((rows)[0]))

int main(void)
{
    Suite *suite = suite_create("ngmessage");
    TCase *tc = tcase_create("ngmessage");

    tcase_add_loop_test(tc, test_split, 0, ROWS(splits));
    tcase_add_test(tc, test_long_cookie);
    tcase_add_test(tc, test_values);
    tcase_add_test(tc, test_bencode_values);
    tcase_add_test(tc, test_text_with_nul);
    tcase_add_loop_test(tc, test_wrong, 0, ROWS(wrong));
    tcase_add_test(tc, test_reply);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
