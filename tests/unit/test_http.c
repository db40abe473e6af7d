#include "common/tunnel/http.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "tests/unit/unit.h"

static const char request[] = "GET http://dmz.example:4600/media-relay HTTP/1.1\r\n"
                              "Host: dmz.example:4600\r\n"
                              "Connection:keep-alive,\tUpgrade \r\n"
                              "upgrade: websocket, media-relay\r\n"
                              "Empty:\r\n\r\n";
static const char reply[] = "HTTP/1.1 407 Proxy Authentication Required\r\n"
                            "Proxy-Authenticate: Basic realm=\"a\"\r\n"
                            "Transfer-Encoding: Chunked\r\n\r\n";

static bool is(const struct words *words, const char *text)
{
    return words && words->length == strlen(text) && memcmp(words->at, text, words->length) == 0;
}

START_TEST(test_request)
{
    struct http_head head;

    ck_assert_int_eq(http_head_length(request, sizeof(request) - 1), (int)sizeof(request) - 1);
    ck_assert_int_eq(http_read_request(&head, request, sizeof(request) - 1), 0);
    ck_assert(is(&head.method, "GET"));
    ck_assert(is(&head.target, "http://dmz.example:4600/media-relay"));
    ck_assert_uint_eq(head.minor, 1);
    ck_assert_uint_eq(head.field_count, 4);
    ck_assert(is(http_value(&head, "host"), "dmz.example:4600"));
    ck_assert(is(http_value(&head, "Empty"), ""));
    ck_assert_ptr_null(http_value(&head, "Hos"));
    ck_assert(http_lists(&head, "Connection", "upgrade"));
    ck_assert(http_lists(&head, "Upgrade", "media-relay"));
    ck_assert(!http_lists(&head, "Upgrade", "media"));
    ck_assert_int_eq(http_framing(&head, false), HTTP_NO_BODY);
    ck_assert_int_lt(http_read_reply(&head, request, sizeof(request) - 1), 0);
}
END_TEST

START_TEST(test_reply)
{
    struct http_head head;

    ck_assert_int_eq(http_read_reply(&head, reply, sizeof(reply) - 1), 0);
    ck_assert_uint_eq(head.status, 407);
    ck_assert(is(&head.reason, "Proxy Authentication Required"));
    ck_assert_int_eq(http_framing(&head, true), HTTP_CHUNKED);
    ck_assert_int_eq(http_read_reply(&head, "HTTP/1.0 200\r\n\r\n", 16), 0);
    ck_assert_uint_eq(head.minor, 0);
    ck_assert_uint_eq(head.reason.length, 0);
}
END_TEST

static const struct {
    const char *text;
    bool reply;
    int result;
} heads[] = {
    {"GET / HTTP/1.1\r\n\r\n", false, 0},
    {"GET / HTTP/1.0\r\n\r\n", false, 0},
    {"\r\n\r\n", false, ERR_INVALID},
    {"GET / HTTP/1.2\r\n\r\n", false, ERR_INVALID},
    {"GET / HTTP/2.0\r\n\r\n", false, ERR_INVALID},
    {"GET /\r\n\r\n", false, ERR_INVALID},
    {"GET  / HTTP/1.1\r\n\r\n", false, ERR_INVALID},
    {"GET / x HTTP/1.1\r\n\r\n", false, ERR_INVALID},
    {"G,T / HTTP/1.1\r\n\r\n", false, ERR_INVALID},
    {" GET / HTTP/1.1\r\n\r\n", false, ERR_INVALID},
    {"GET / HTTP/1.1\r\nA\r\n\r\n", false, ERR_INVALID},
    {"GET / HTTP/1.1\r\nA : b\r\n\r\n", false, ERR_INVALID},
    {"GET / HTTP/1.1\r\n: b\r\n\r\n", false, ERR_INVALID},
    {"GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n", false, ERR_INVALID},
    {"GET / HTTP/1.1\r\nA: \x01\r\n\r\n", false, ERR_INVALID},
    {"GET / HTTP/1.1\nA: b\n\n", false, ERR_INVALID},
    {"GET / HTTP/1.1\r\n\r\nx", false, ERR_INVALID},
    {"HTTP/1.1 200 OK\r\n\r\n", true, 0},
    {"HTTP/1.1 2000 OK\r\n\r\n", true, ERR_INVALID},
    {"HTTP/1.1 099 OK\r\n\r\n", true, ERR_INVALID},
    {"HTTP/1.1  OK\r\n\r\n", true, ERR_INVALID},
    {"http/1.1 200 OK\r\n\r\n", true, ERR_INVALID},
    {"ICY 200 OK\r\n\r\n", true, ERR_INVALID},
};

START_TEST(test_heads)
{
    struct http_head head;
    size_t length = strlen(heads[_i].text);
    int result = heads[_i].reply ? http_read_reply(&head, heads[_i].text, length)
                                 : http_read_request(&head, heads[_i].text, length);

    ck_assert_int_eq(result, heads[_i].result);
}
END_TEST

#define POST "POST / HTTP/1.1\r\n"
#define OK   "HTTP/1.1 200 OK\r\n"
static const struct {
    const char *text;
    bool reply;
    int result;
} framings[] = {
    {POST "\r\n", false, HTTP_NO_BODY},
    {POST "Content-Length: 0\r\n\r\n", false, HTTP_NO_BODY},
    {POST "Content-Length: 7\r\n\r\n", false, HTTP_LENGTH},
    {POST "Content-Length: -7\r\n\r\n", false, ERR_INVALID},
    {POST "Content-Length: 7, 7\r\n\r\n", false, ERR_INVALID},
    {POST "Content-Length: 7\r\nContent-Length: 7\r\n\r\n", false, ERR_INVALID},
    {POST "Transfer-Encoding: chunked\r\nContent-Length: 7\r\n\r\n", false, ERR_INVALID},
    {POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", false, ERR_INVALID},
    {POST "Transfer-Encoding: gzip, chunked\r\n\r\n", false, ERR_UNSUPPORTED},
    {POST "transfer-encoding: CHUNKED\r\n\r\n", false, HTTP_CHUNKED},
    {OK "\r\n", true, HTTP_TO_CLOSE},
    {OK "Content-Length: 0\r\n\r\n", true, HTTP_NO_BODY},
    {OK "Transfer-Encoding: chunked\r\n\r\n", true, HTTP_CHUNKED},
};

START_TEST(test_framings)
{
    struct http_head head;
    size_t length = strlen(framings[_i].text);

    ck_assert_int_eq(framings[_i].reply ? http_read_reply(&head, framings[_i].text, length)
                                        : http_read_request(&head, framings[_i].text, length),
                     0);
    ck_assert_int_eq(http_framing(&head, framings[_i].reply), framings[_i].result);
}
END_TEST

/* A head that stops anywhere is one that goes on. */
START_TEST(test_truncation)
{
    for (size_t length = 0; length < sizeof(request) - 1; length++) {
        struct http_head head;
        char *copy = malloc(length + 1);

        ck_assert_ptr_nonnull(copy);
        memcpy(copy, request, length);
        ck_assert_int_eq(http_head_length(copy, length), ERR_AGAIN);
        ck_assert_int_eq(http_read_request(&head, copy, length), ERR_INVALID);
        free(copy);
    }
}
END_TEST

/* Whatever a flipped bit makes of it, what is read stays inside. */
START_TEST(test_bits)
{
    char *copy = malloc(sizeof(request) - 1);

    ck_assert_ptr_nonnull(copy);
    for (size_t bit = 0; bit < 8 * (sizeof(request) - 1); bit += unit_stride(7)) {
        struct http_head head;

        memcpy(copy, request, sizeof(request) - 1);
        copy[bit / 8] = (char)(copy[bit / 8] ^ 1 << bit % 8);
        if (http_read_request(&head, copy, sizeof(request) - 1) < 0)
            continue;
        for (size_t i = 0; i < head.field_count; i++) {
            const struct words *value = &head.fields[i].value;

            ck_assert(value->at >= copy);
            ck_assert(value->at + value->length <= copy + sizeof(request) - 1);
        }
    }
    free(copy);
}
END_TEST

START_TEST(test_limits)
{
    char *text = malloc(2 * HTTP_HEAD_OCTETS);
    struct http_head head;
    size_t length;

    ck_assert_ptr_nonnull(text);
    memset(text, 'a', 2 * HTTP_HEAD_OCTETS);
    ck_assert_int_eq(http_head_length(text, HTTP_HEAD_OCTETS - 1), ERR_AGAIN);
    ck_assert_int_eq(http_head_length(text, HTTP_HEAD_OCTETS), ERR_TOO_LONG);
    memcpy(text, "GET / HTTP/1.1\r\n", 16);
    memcpy(text + HTTP_HEAD_OCTETS - 4, "\r\n\r\n", 4);
    ck_assert_int_eq(http_head_length(text, 2 * HTTP_HEAD_OCTETS), HTTP_HEAD_OCTETS);
    for (int more = 0; more < 2; more++) {
        length = 16;
        for (int i = 0; i < HTTP_FIELDS_MAX + more; i++, length += 6)
            memcpy(text + length, "a: b\r\n", 6);
        memcpy(text + length, "\r\n", 2);
        ck_assert_int_eq(http_read_request(&head, text, length + 2), more ? ERR_TOO_LONG : 0);
    }
    free(text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("http");
    TCase *tc = tcase_create("http");

    tcase_add_test(tc, test_request);
    tcase_add_test(tc, test_reply);
    tcase_add_loop_test(tc, test_heads, 0, sizeof(heads) / sizeof(heads[0]));
    tcase_add_loop_test(tc, test_framings, 0, sizeof(framings) / sizeof(framings[0]));
    tcase_add_test(tc, test_truncation);
    tcase_add_test(tc, test_bits);
    tcase_add_test(tc, test_limits);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
