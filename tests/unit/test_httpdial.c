#include "common/tunnel/httpdial.h"

#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "tests/unit/unit.h"

enum { CONNS_MAX = 8, WAIT_US = 10 * 1000 * 1000 };

/* A proxy that reads a head and says its next line, whoever asks. */
struct stand_in {
    int listener, conns[CONNS_MAX];
    size_t conn_count, said;
    char head[CONNS_MAX][4096];
    size_t head_length[CONNS_MAX];
    bool answered[CONNS_MAX];
};

static struct {
    bool done;
    enum httpdial_result result;
    enum httpproxy_way way;
    bool chunked_in, chunked_out, two;
    char early[64], reason[256];
} outcome;

static void on_done(void *ctx, enum httpdial_result result, const struct transport *transport,
                    const char *reason)
{
    (void)ctx;
    outcome.done = true;
    outcome.result = result;
    if (!transport) {
        snprintf(outcome.reason, sizeof(outcome.reason), "%s", reason);
        return;
    }
    outcome.way = transport->way;
    outcome.chunked_in = transport->chunked_in;
    outcome.chunked_out = transport->chunked_out;
    outcome.two = transport->in != transport->out;
    memcpy(outcome.early, transport->early, transport->early_length);
    close(transport->in);
    if (outcome.two)
        close(transport->out);
}

static struct addr open_stand_in(struct stand_in *stand_in)
{
    uint8_t ip[4] = {127, 0, 0, 1};
    struct addr any = addr_from_ip4(ip, 0);
    struct sockaddr_storage storage;
    socklen_t length = addr_to_sockaddr(&any, &storage);

    stand_in->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(stand_in->listener, (struct sockaddr *)&storage, length), 0);
    ck_assert_int_eq(listen(stand_in->listener, 8), 0);
    length = sizeof(storage);
    ck_assert_int_eq(getsockname(stand_in->listener, (struct sockaddr *)&storage, &length), 0);
    return addr_from_sockaddr((struct sockaddr *)&storage);
}

/* One look at all of its sockets. "-" closes without a word, "" says nothing. */
static void play(struct stand_in *stand_in, const char *const *lines)
{
    int fd = accept4(stand_in->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd >= 0) {
        ck_assert_uint_lt(stand_in->conn_count, CONNS_MAX);
        stand_in->conns[stand_in->conn_count++] = fd;
    }
    for (size_t i = 0; i < stand_in->conn_count; i++) {
        char *head = stand_in->head[i];
        size_t *length = &stand_in->head_length[i];
        ssize_t count =
            recv(stand_in->conns[i], head + *length, sizeof(stand_in->head[i]) - *length - 1, 0);

        if (count > 0)
            *length += (size_t)count;
        if (!strstr(head, "\r\n\r\n") || stand_in->answered[i] || !lines[stand_in->said])
            continue;
        stand_in->answered[i] = true;
        const char *line = lines[stand_in->said++];
        if (strcmp(line, "-") == 0)
            ck_assert_int_eq(shutdown(stand_in->conns[i], SHUT_RDWR), 0);
        else
            ck_assert_int_eq(send(stand_in->conns[i], line, strlen(line), MSG_NOSIGNAL),
                             (ssize_t)strlen(line));
    }
}

#define NONE  "HTTP/1.1 407 No\r\n\r\n"
#define BASIC "HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\r\n"
#define DIGEST(nonce, stale)                                                                       \
    "HTTP/1.1 407 No\r\nProxy-Authenticate: Digest realm=\"x\", qop=\"auth\", nonce=\"" nonce      \
    "\", stale=" stale "\r\n\r\n"
static const struct {
    enum httpproxy_way way;
    const char *user;
    const char *lines[6]; /* of one connection after the other; ended by NULL */
    enum httpdial_result result;
    const char *wanted; /* in the last request, or in the reason */
    const char *early;
    bool chunked;
} rows[] = {
    {HTTPPROXY_CONNECT,
     "",
     {"HTTP/1.1 200 Yes\r\n\r\n"},
     HTTPDIAL_OPEN,
     "CONNECT dmz:7000 ",
     "",
     false},
    {HTTPPROXY_CONNECT,
     "",
     {"HTTP/1.1 100 Wait\r\n\r\nHTTP/1.0 200\r\nA: b\r\n\r\nearly"},
     HTTPDIAL_OPEN,
     "CONNECT",
     "early",
     false},
    {HTTPPROXY_CONNECT, "", {"HTTP/1.1 403 No\r\n\r\n"}, HTTPDIAL_REFUSED, "403 No", "", false},
    {HTTPPROXY_CONNECT, "", {"SSH-2.0-x\r\n\r\n"}, HTTPDIAL_REFUSED, "not HTTP", "", false},
    {HTTPPROXY_CONNECT, "", {"\x15\x03\x01"}, HTTPDIAL_REFUSED, "not HTTP", "", false},
    {HTTPPROXY_CONNECT, "", {"-"}, HTTPDIAL_REFUSED, "without an answer", "", false},
    {HTTPPROXY_CONNECT, "", {""}, HTTPDIAL_REFUSED, "did not answer within 5 s", "", false},
    {HTTPPROXY_CONNECT, "", {BASIC}, HTTPDIAL_DENIED, "wants a user name", "", false},
    {HTTPPROXY_CONNECT, "me", {NONE}, HTTPDIAL_DENIED, "that it does not name", "", false},
    {HTTPPROXY_CONNECT,
     "me",
     {BASIC, "HTTP/1.1 200 Yes\r\n\r\n"},
     HTTPDIAL_OPEN,
     "Proxy-Authorization: Basic bWU6cHc=\r\n",
     "",
     false},
    {HTTPPROXY_CONNECT, "me", {BASIC, BASIC}, HTTPDIAL_DENIED, "does not take this", "", false},
    {HTTPPROXY_CONNECT,
     "me",
     {DIGEST("n1", "false"), DIGEST("n2", "true"), "HTTP/1.1 200 Yes\r\n\r\n"},
     HTTPDIAL_OPEN,
     "nonce=\"n2\"",
     "",
     false},
    {HTTPPROXY_CONNECT,
     "me",
     {DIGEST("n1", "false"), DIGEST("n2", "true"), DIGEST("n3", "true")},
     HTTPDIAL_DENIED,
     "does not take this",
     "",
     false},
    {HTTPPROXY_UPGRADE,
     "",
     {"HTTP/1.1 101 Yes\r\nUpgrade: media-relay\r\n\r\n"},
     HTTPDIAL_OPEN,
     "Upgrade: media-relay",
     "",
     false},
    {HTTPPROXY_UPGRADE, "", {"HTTP/1.1 404 No\r\n\r\n"}, HTTPDIAL_REFUSED, "404", "", false},
    {HTTPPROXY_HTTP,
     "",
     {"HTTP/1.1 200 Yes\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc", ""},
     HTTPDIAL_OPEN,
     "",
     "3\r\nabc",
     true},
    {HTTPPROXY_HTTP, "", {"HTTP/1.1 200 Yes\r\n\r\n", ""}, HTTPDIAL_OPEN, "", "", false},
    {HTTPPROXY_HTTP, "", {"", "HTTP/1.1 411 No\r\n\r\n"}, HTTPDIAL_REFUSED, "411", "", false},
    {HTTPPROXY_HTTP, "", {"", "-"}, HTTPDIAL_REFUSED, "without an answer", "", false},
};

static void run(struct ev_loop *loop, struct stand_in *stand_in, const char *const *lines)
{
    uint64_t start_us = clock_now_us();

    while (!outcome.done && clock_now_us() - start_us < WAIT_US) {
        play(stand_in, lines);
        ev_run(loop, EVRUN_NOWAIT);
    }
    ck_assert(outcome.done);
}

static void close_stand_in(struct stand_in *stand_in)
{
    for (size_t i = 0; i < stand_in->conn_count; i++)
        close(stand_in->conns[i]);
    close(stand_in->listener);
    free(stand_in);
}

START_TEST(test_attempts)
{
    struct ev_loop *loop = ev_loop_new(0);
    struct stand_in *stand_in = calloc(1, sizeof(*stand_in));
    struct httpauth *auth = calloc(1, sizeof(*auth));
    struct httpdial_settings settings = {
        .way = rows[_i].way, .host = "dmz", .port = 7000, .auth = auth};

    ck_assert(loop && stand_in && auth);
    memset(&outcome, 0, sizeof(outcome));
    snprintf(auth->user, sizeof(auth->user), "%s", rows[_i].user);
    snprintf(auth->password, sizeof(auth->password), "pw");
    settings.proxy = open_stand_in(stand_in);
    ck_assert_ptr_nonnull(httpdial_start(loop, &settings, on_done, NULL));
    run(loop, stand_in, rows[_i].lines);
    ck_assert_msg(outcome.result == rows[_i].result, "%s", outcome.reason);
    if (outcome.result != HTTPDIAL_OPEN) {
        ck_assert_msg(strstr(outcome.reason, rows[_i].wanted), "%s", outcome.reason);
    } else {
        ck_assert_ptr_nonnull(strstr(stand_in->head[stand_in->conn_count - 1], rows[_i].wanted));
        ck_assert_str_eq(outcome.early, rows[_i].early);
        ck_assert_int_eq(outcome.way, rows[_i].way);
        ck_assert_int_eq(outcome.two, rows[_i].way == HTTPPROXY_HTTP);
        ck_assert_int_eq(outcome.chunked_out, rows[_i].way == HTTPPROXY_HTTP);
        ck_assert_int_eq(outcome.chunked_in, rows[_i].chunked);
    }
    close_stand_in(stand_in);
    free(auth);
    ev_loop_destroy(loop);
}
END_TEST

/* Nobody listens; and an attempt that is given up says nothing. */
START_TEST(test_no_proxy)
{
    struct ev_loop *loop = ev_loop_new(0);
    struct stand_in *stand_in = calloc(1, sizeof(*stand_in));
    struct httpauth *auth = calloc(1, sizeof(*auth));
    struct httpdial_settings settings = {
        .way = HTTPPROXY_CONNECT, .host = "dmz", .port = 7000, .auth = auth};
    static const char *const nothing[] = {NULL};
    struct httpdial *dial;

    ck_assert(loop && stand_in && auth);
    memset(&outcome, 0, sizeof(outcome));
    settings.proxy = open_stand_in(stand_in);
    dial = httpdial_start(loop, &settings, on_done, NULL);
    while (!stand_in->head_length[0]) {
        play(stand_in, nothing);
        ev_run(loop, EVRUN_NOWAIT);
    }
    httpdial_free(dial);
    ck_assert(!outcome.done);
    close(stand_in->listener);
    stand_in->listener = -1;
    ck_assert_ptr_nonnull(httpdial_start(loop, &settings, on_done, NULL));
    run(loop, stand_in, nothing);
    ck_assert_int_eq(outcome.result, HTTPDIAL_NETWORK);
    close_stand_in(stand_in);
    free(auth);
    ev_loop_destroy(loop);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("httpdial");
    TCase *tc = tcase_create("httpdial");

    tcase_set_timeout(tc, 30);
    tcase_add_loop_test(tc, test_attempts, 0, sizeof(rows) / sizeof(rows[0]));
    tcase_add_test(tc, test_no_proxy);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
