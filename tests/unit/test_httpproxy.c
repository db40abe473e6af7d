#include "common/tunnel/httpproxy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "tests/unit/unit.h"

static const struct {
    const char *url;
    int result;
    const char *host;
    unsigned port;
    const char *user;
} urls[] = {
    {"http://proxy.example", 0, "proxy.example", 3128, ""},
    {"HTTP://proxy.example:8080/", 0, "proxy.example", 8080, ""},
    {"http://10.0.0.1:1", 0, "10.0.0.1", 1, ""},
    {"http://[2001:db8::1]:3128", 0, "2001:db8::1", 3128, ""},
    {"http://[2001:db8::1]", 0, "2001:db8::1", 3128, ""},
    {"http://me@proxy", 0, "proxy", 3128, "me"},
    {"http://a%40b%25c@proxy", 0, "proxy", 3128, "a@b%c"},
    {"http://me:secret@proxy", ERR_FORBIDDEN, NULL, 0, NULL},
    {"http://a%3ab@proxy", ERR_INVALID, NULL, 0, NULL},
    {"http://a%0ab@proxy", ERR_INVALID, NULL, 0, NULL},
    {"http://a%4@proxy", ERR_INVALID, NULL, 0, NULL},
    {"http://a%zz@proxy", ERR_INVALID, NULL, 0, NULL},
    {"http://@proxy", ERR_INVALID, NULL, 0, NULL},
    {"https://proxy", ERR_UNSUPPORTED, NULL, 0, NULL},
    {"socks5://proxy", ERR_UNSUPPORTED, NULL, 0, NULL},
    {"proxy:3128", ERR_INVALID, NULL, 0, NULL},
    {"http://", ERR_INVALID, NULL, 0, NULL},
    {"http://:3128", ERR_INVALID, NULL, 0, NULL},
    {"http://proxy:", ERR_INVALID, NULL, 0, NULL},
    {"http://proxy:0", ERR_INVALID, NULL, 0, NULL},
    {"http://proxy:65536", ERR_INVALID, NULL, 0, NULL},
    {"http://proxy:80/path", ERR_INVALID, NULL, 0, NULL},
    {"http://proxy/path", ERR_INVALID, NULL, 0, NULL},
    {"http://pro xy", ERR_INVALID, NULL, 0, NULL},
    {"http://[2001:db8::1", ERR_INVALID, NULL, 0, NULL},
    {"http://[10.0.0.1]", ERR_INVALID, NULL, 0, NULL},
    {"http://2001:db8::1", ERR_INVALID, NULL, 0, NULL},
};

START_TEST(test_urls)
{
    struct httpproxy proxy = {.port = 0};

    ck_assert_int_eq(httpproxy_read_url(&proxy, urls[_i].url), urls[_i].result);
    if (urls[_i].result < 0)
        return;
    ck_assert_str_eq(proxy.host, urls[_i].host);
    ck_assert_uint_eq(proxy.port, urls[_i].port);
    ck_assert_str_eq(proxy.user, urls[_i].user);
}
END_TEST

static const struct {
    const char *text, *ways; /* NULL: wrong */
} lists[] = {
    {"connect", "0"},
    {"connect, upgrade, http", "012"},
    {"http,connect", "20"},
    {" http ,\tupgrade ", "21"},
    {"", NULL},
    {"connect,", "0"},
    {"connect,,http", NULL},
    {"connect, connect", NULL},
    {"direct", NULL},
    {"connect upgrade", NULL},
    {"connect, quic", NULL},
};

START_TEST(test_lists)
{
    struct httpproxy proxy = {.port = 0};
    char got[HTTPPROXY_WAYS + 1] = "";

    ck_assert_int_eq(httpproxy_read_ways(&proxy, lists[_i].text), lists[_i].ways ? 0 : ERR_INVALID);
    if (!lists[_i].ways)
        return;
    for (size_t i = 0; i < proxy.way_count; i++)
        got[i] = (char)('0' + proxy.ways[i]);
    ck_assert_str_eq(got, lists[_i].ways);
}
END_TEST

#define TOKEN "0123456789abcdef0123456789abcdef"
#define AGENT "User-Agent: media-relay\r\n"
static const struct {
    struct httpproxy_request request;
    const char *wanted;
} requests[] = {
    {{.way = HTTPPROXY_CONNECT, .host = "dmz.example", .port = 443},
     "CONNECT dmz.example:443 HTTP/1.1\r\nHost: dmz.example:443\r\n" AGENT "\r\n"},
    {{.way = HTTPPROXY_CONNECT, .host = "2001:db8::1", .port = 443},
     "CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: [2001:db8::1]:443\r\n" AGENT "\r\n"},
    {{.way = HTTPPROXY_UPGRADE, .host = "dmz", .port = 7000},
     "GET http://dmz:7000/media-relay HTTP/1.1\r\nHost: dmz:7000\r\n" AGENT
     "Connection: Upgrade\r\nUpgrade: media-relay\r\n\r\n"},
    {{.way = HTTPPROXY_HTTP, .host = "dmz", .port = 7000, .token = TOKEN},
     "GET http://dmz:7000/media-relay/" TOKEN " HTTP/1.1\r\nHost: dmz:7000\r\n" AGENT
     "Cache-Control: no-store\r\n\r\n"},
    {{.way = HTTPPROXY_HTTP, .leg = 1, .host = "dmz", .port = 7000, .token = TOKEN},
     "POST http://dmz:7000/media-relay/" TOKEN " HTTP/1.1\r\nHost: dmz:7000\r\n" AGENT
     "Cache-Control: no-store\r\nContent-Type: application/octet-stream\r\n"
     "Transfer-Encoding: chunked\r\n\r\n"},
};

/* And the dmz-relay knows what is meant. */
START_TEST(test_requests)
{
    static const enum httpproxy_want wants[] = {HTTPPROXY_WANTS_NOTHING, HTTPPROXY_WANTS_NOTHING,
                                                HTTPPROXY_WANTS_UPGRADE, HTTPPROXY_WANTS_IN,
                                                HTTPPROXY_WANTS_OUT};
    struct httpauth *auth = calloc(1, sizeof(*auth));
    char text[HTTPPROXY_REQUEST_OCTETS], token[HTTPPROXY_TOKEN_SIZE];
    struct http_head head;
    bool chunked = false;
    int length;

    ck_assert_ptr_nonnull(auth);
    length = httpproxy_request(&requests[_i].request, auth, text, sizeof(text));
    ck_assert_int_eq(length, (int)strlen(text));
    ck_assert_str_eq(text, requests[_i].wanted);
    ck_assert_int_eq(httpproxy_request(&requests[_i].request, auth, text, 40), ERR_TOO_LONG);
    ck_assert_int_eq(http_read_request(&head, requests[_i].wanted, (size_t)length), 0);
    ck_assert_int_eq(httpproxy_wants(&head, &chunked, token), wants[_i]);
    ck_assert(chunked);
    if (wants[_i] == HTTPPROXY_WANTS_IN || wants[_i] == HTTPPROXY_WANTS_OUT)
        ck_assert_str_eq(token, TOKEN);
    free(auth);
}
END_TEST

/* What the dmz-relay has nothing for. */
static const char *const foreign[] = {
    "GET / HTTP/1.1\r\n\r\n",
    "GET /media-relay HTTP/1.1\r\n\r\n",
    "GET /media-relay HTTP/1.1\r\nUpgrade: media-relay\r\n\r\n",
    "GET /media-relay HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "get /media-relay/" TOKEN " HTTP/1.1\r\n\r\n",
    "GET /media-relay/" TOKEN "0 HTTP/1.1\r\n\r\n",
    "GET /media-relay/0123456789ABCDEF0123456789abcdef HTTP/1.1\r\n\r\n",
    "GET /media-relay/ HTTP/1.1\r\n\r\n",
    "GET media-relay/" TOKEN " HTTP/1.1\r\n\r\n",
    "GET ftp://dmz/media-relay/" TOKEN " HTTP/1.1\r\n\r\n",
    "GET http://dmz HTTP/1.1\r\n\r\n",
    "GET /media-relay/" TOKEN " HTTP/1.1\r\nContent-Length: 1\r\n\r\n",
    "HEAD /media-relay/" TOKEN " HTTP/1.1\r\n\r\n",
    "POST /media-relay/" TOKEN " HTTP/1.1\r\nContent-Length: 1\r\n\r\n",
    "POST /media-relay/" TOKEN " HTTP/1.1\r\n\r\n",
    "POST /media-relay/" TOKEN
    " HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
    "CONNECT dmz:7000 HTTP/1.1\r\n\r\n",
};

START_TEST(test_foreign)
{
    struct http_head head;
    char token[HTTPPROXY_TOKEN_SIZE];
    bool chunked;

    ck_assert_int_eq(http_read_request(&head, foreign[_i], strlen(foreign[_i])), 0);
    ck_assert_int_eq(httpproxy_wants(&head, &chunked, token), HTTPPROXY_WANTS_NOTHING);
}
END_TEST

static const struct {
    enum httpproxy_way way;
    unsigned leg;
    const char *text;
    enum httpproxy_answer answer;
    bool chunked;
    const char *reason;
} answers[] = {
    {HTTPPROXY_CONNECT, 0, "200 Connection established\r\n\r\n", HTTPPROXY_OPEN, false, ""},
    {HTTPPROXY_CONNECT, 0, "100 Continue\r\n\r\n", HTTPPROXY_WAIT, false, ""},
    {HTTPPROXY_CONNECT, 0, "407 x\r\n\r\n", HTTPPROXY_CHALLENGED, false, ""},
    {HTTPPROXY_CONNECT, 0, "302 Found\r\n\r\n", HTTPPROXY_REFUSED, false,
     "the answer was 302 Found"},
    {HTTPPROXY_CONNECT, 0, "403 Forbidden\r\n\r\n", HTTPPROXY_REFUSED, false,
     "the answer was 403 Forbidden: the proxy forbids it"},
    {HTTPPROXY_CONNECT, 0, "502 Bad Gateway\r\n\r\n", HTTPPROXY_REFUSED, false,
     "the answer was 502 Bad Gateway: the proxy cannot reach the dmz-relay"},
    {HTTPPROXY_CONNECT, 0, "503\r\n\r\n", HTTPPROXY_REFUSED, false,
     "the answer was 503: the proxy cannot reach the dmz-relay"},
    {HTTPPROXY_CONNECT, 0, "500 \xc3\xa9\r\n\r\n", HTTPPROXY_REFUSED, false,
     "the answer was 500 ??"},
    {HTTPPROXY_UPGRADE, 0, "101 x\r\nUpgrade: media-relay\r\n\r\n", HTTPPROXY_OPEN, false, ""},
    {HTTPPROXY_UPGRADE, 0, "101 x\r\nUpgrade: h2c\r\n\r\n", HTTPPROXY_REFUSED, false,
     "the answer was 101 x: it upgrades to something else"},
    {HTTPPROXY_UPGRADE, 0, "200 OK\r\n\r\n", HTTPPROXY_REFUSED, false, "the answer was 200 OK"},
    {HTTPPROXY_UPGRADE, 0, "404 Not Found\r\n\r\n", HTTPPROXY_REFUSED, false,
     "the answer was 404 Not Found: the proxy did not pass the Upgrade on"},
    {HTTPPROXY_HTTP, 0, "200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", HTTPPROXY_OPEN, true, ""},
    {HTTPPROXY_HTTP, 0, "200 OK\r\n\r\n", HTTPPROXY_OPEN, false, ""},
    {HTTPPROXY_HTTP, 0, "200 OK\r\nContent-Length: 5\r\n\r\n", HTTPPROXY_REFUSED, false,
     "the answer was 200 OK: its reply is not a stream"},
    {HTTPPROXY_HTTP, 0, "200 OK\r\nContent-Length: 0\r\n\r\n", HTTPPROXY_REFUSED, false,
     "the answer was 200 OK: its reply is not a stream"},
    {HTTPPROXY_HTTP, 1, "200 OK\r\n\r\n", HTTPPROXY_REFUSED, false,
     "the answer was 200 OK: the request was answered before its end"},
    {HTTPPROXY_HTTP, 1, "100 Continue\r\n\r\n", HTTPPROXY_WAIT, false, ""},
    {HTTPPROXY_HTTP, 1, "411 Length Required\r\n\r\n", HTTPPROXY_REFUSED, false,
     "the answer was 411 Length Required: the proxy takes no request without a known length"},
};

START_TEST(test_answers)
{
    struct http_head head;
    char text[256], reason[256] = "";
    bool chunked;
    int length = snprintf(text, sizeof(text), "HTTP/1.1 %s", answers[_i].text);

    ck_assert_int_eq(http_read_reply(&head, text, (size_t)length), 0);
    ck_assert_int_eq(
        httpproxy_judge(answers[_i].way, answers[_i].leg, &head, &chunked, reason, sizeof(reason)),
        answers[_i].answer);
    ck_assert_int_eq(chunked, answers[_i].chunked);
    ck_assert_str_eq(reason, answers[_i].reason);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("httpproxy");
    TCase *tc = tcase_create("httpproxy");

    tcase_add_loop_test(tc, test_urls, 0, sizeof(urls) / sizeof(urls[0]));
    tcase_add_loop_test(tc, test_lists, 0, sizeof(lists) / sizeof(lists[0]));
    tcase_add_loop_test(tc, test_requests, 0, sizeof(requests) / sizeof(requests[0]));
    tcase_add_loop_test(tc, test_foreign, 0, sizeof(foreign) / sizeof(foreign[0]));
    tcase_add_loop_test(tc, test_answers, 0, sizeof(answers) / sizeof(answers[0]));
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
