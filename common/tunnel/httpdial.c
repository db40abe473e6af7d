#include "common/tunnel/httpdial.h"

#include <errno.h>
#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/protocol.h"
#include "common/base/random.h"
#include "common/tunnel/http.h"
#include "common/tunnel/httpproxy.h"

/* The first answer may say that the nonce of the last time is too old, the second whose turn it is.
 */
enum { CHALLENGES_MAX = 2, REASON_SIZE = 256 };

/* One connection to the proxy. */
struct leg {
    struct httpdial *dial;
    ev_io io;
    int fd; /* -1: not there yet */
    bool connected;
    size_t request_length, request_sent, reply_length;
    char request[HTTPPROXY_REQUEST_OCTETS];
    char reply[HTTP_HEAD_OCTETS];
};

struct httpdial {
    struct ev_loop *loop;
    struct httpdial_settings settings;
    httpdial_fn *done;
    void *ctx;
    ev_timer timer;
    unsigned challenges; /* that were answered in this attempt */
    char token[HTTPPROXY_TOKEN_SIZE], cnonce[HTTPPROXY_TOKEN_SIZE];
    struct leg legs[HTTPPROXY_LEGS];
};

static void random_text(char out[HTTPPROXY_TOKEN_SIZE])
{
    uint8_t octets[(HTTPPROXY_TOKEN_SIZE - 1) / 2];

    random_bytes(octets, sizeof(octets));
    for (size_t i = 0; i < sizeof(octets); i++)
        snprintf(out + 2 * i, 3, "%02x", octets[i]);
}

static void close_legs(struct httpdial *dial)
{
    for (unsigned i = 0; i < HTTPPROXY_LEGS; i++) {
        struct leg *leg = &dial->legs[i];

        ev_io_stop(dial->loop, &leg->io);
        if (leg->fd >= 0)
            close(leg->fd);
        wipe(leg->request, leg->request_length);
        leg->fd = -1;
        leg->connected = false;
        leg->request_length = leg->request_sent = leg->reply_length = 0;
    }
}

static void fail(struct httpdial *dial, enum httpdial_result result, const char *reason)
{
    dial->done(dial->ctx, result, NULL, reason);
    httpdial_free(dial);
}

/* ---------------------------------------------------------------- asking */

static void on_io(struct ev_loop *loop, ev_io *io, int events);

static int open_leg(struct httpdial *dial, unsigned number)
{
    struct leg *leg = &dial->legs[number];
    struct httpproxy_request request = {.way = dial->settings.way,
                                        .leg = number,
                                        .host = dial->settings.host,
                                        .port = dial->settings.port,
                                        .token = dial->token,
                                        .cnonce = dial->cnonce};
    struct sockaddr_storage storage;
    socklen_t size = addr_to_sockaddr(&dial->settings.proxy, &storage);
    int length =
        httpproxy_request(&request, dial->settings.auth, leg->request, sizeof(leg->request));

    if (length < 0)
        return length;
    leg->request_length = (size_t)length;
    leg->fd = socket(storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (leg->fd < 0 ||
        (connect(leg->fd, (struct sockaddr *)&storage, size) < 0 && errno != EINPROGRESS))
        return ERR_SYSTEM;
    ev_io_set(&leg->io, leg->fd, EV_WRITE);
    ev_io_start(dial->loop, &leg->io);
    return 0;
}

static void ask(struct httpdial *dial, unsigned number)
{
    int result = open_leg(dial, number);

    if (result == ERR_SYSTEM)
        fail(dial, HTTPDIAL_NETWORK, strerror(errno));
    else if (result < 0)
        fail(dial, HTTPDIAL_REFUSED,
             result == ERR_CRYPTO ? "the hash that the proxy wants is not to be had here"
                                  : "the request would be too long");
}

/* Both legs anew: after a challenge the proxy may keep the connection or not. */
static void begin(struct httpdial *dial)
{
    close_legs(dial);
    random_text(dial->token);
    random_text(dial->cnonce);
    ev_timer_stop(dial->loop, &dial->timer);
    ev_timer_set(&dial->timer, CONNECT_TIMEOUT_US / 1e6, 0.);
    ev_timer_start(dial->loop, &dial->timer);
    ask(dial, 0);
}

/* ---------------------------------------------------------------- answers */

static void challenged(struct httpdial *dial, const struct http_head *head)
{
    struct httpauth *auth = dial->settings.auth;
    char reason[REASON_SIZE];

    if (!auth->user[0]) {
        fail(dial, HTTPDIAL_DENIED,
             "the answer was 407: the proxy wants a user name and a password; proxy = "
             "http://USER@... and proxy-password-file would be right");
        return;
    }
    if (httpauth_take(auth, head, reason, sizeof(reason)) < 0) {
        fail(dial, HTTPDIAL_DENIED, reason);
        return;
    }
    if (dial->challenges == CHALLENGES_MAX || (dial->challenges > 0 && !auth->challenge.stale)) {
        memset(&auth->challenge, 0, sizeof(auth->challenge));
        fail(dial, HTTPDIAL_DENIED,
             "the answer was 407: the proxy does not take this user name and password");
        return;
    }
    dial->challenges++;
    begin(dial);
}

static void opened(struct httpdial *dial, bool chunked, size_t head)
{
    struct leg *in = &dial->legs[0], *out = &dial->legs[1];
    bool two = dial->settings.way == HTTPPROXY_HTTP;
    struct transport transport = {.in = in->fd,
                                  .out = two ? out->fd : in->fd,
                                  .chunked_in = chunked,
                                  .chunked_out = two,
                                  .early = in->reply + head,
                                  .early_length = in->reply_length - head,
                                  .way = dial->settings.way,
                                  .peer = dial->settings.proxy};

    ev_io_stop(dial->loop, &in->io);
    ev_io_stop(dial->loop, &out->io);
    ev_timer_stop(dial->loop, &dial->timer);
    in->fd = out->fd = -1;
    dial->done(dial->ctx, HTTPDIAL_OPEN, &transport, NULL);
    httpdial_free(dial);
}

/* True: there may be another head behind this one. */
static bool judge(struct leg *leg, size_t length)
{
    struct httpdial *dial = leg->dial;
    struct http_head head;
    char reason[REASON_SIZE] = "";
    bool chunked;

    if (http_read_reply(&head, leg->reply, length) < 0) {
        fail(dial, HTTPDIAL_REFUSED, "what the proxy answered is not HTTP");
        return false;
    }
    switch (httpproxy_judge(dial->settings.way, (unsigned)(leg - dial->legs), &head, &chunked,
                            reason, sizeof(reason))) {
    case HTTPPROXY_WAIT:
        leg->reply_length -= length;
        memmove(leg->reply, leg->reply + length, leg->reply_length);
        return true;
    case HTTPPROXY_CHALLENGED:
        challenged(dial, &head);
        return false;
    case HTTPPROXY_REFUSED:
        fail(dial, HTTPDIAL_REFUSED, reason);
        return false;
    default:
        opened(dial, chunked, length);
        return false;
    }
}

static void take_reply(struct leg *leg)
{
    for (;;) {
        int length = http_head_length(leg->reply, leg->reply_length);

        if (length == ERR_AGAIN)
            return;
        if (length < 0) {
            fail(leg->dial, HTTPDIAL_REFUSED,
                 length == ERR_TOO_LONG ? "the proxy's answer is too long"
                                        : "what the proxy answered is not HTTP");
            return;
        }
        if (!judge(leg, (size_t)length))
            return;
    }
}

/* ---------------------------------------------------------------- the event loop */

static void receive(struct leg *leg)
{
    ssize_t count =
        recv(leg->fd, leg->reply + leg->reply_length, sizeof(leg->reply) - leg->reply_length, 0);

    if (count < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (count > 0) {
        leg->reply_length += (size_t)count;
        take_reply(leg);
        return;
    }
    fail(leg->dial, HTTPDIAL_REFUSED,
         count == 0 ? "the proxy closed the connection without an answer" : strerror(errno));
}

static void transmit(struct leg *leg)
{
    struct httpdial *dial = leg->dial;
    ssize_t count = send(leg->fd, leg->request + leg->request_sent,
                         leg->request_length - leg->request_sent, MSG_NOSIGNAL);

    if (count < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (count < 0) {
        fail(dial, HTTPDIAL_REFUSED, strerror(errno));
        return;
    }
    leg->request_sent += (size_t)count;
    if (leg->request_sent < leg->request_length)
        return;
    ev_io_stop(dial->loop, &leg->io);
    ev_io_set(&leg->io, leg->fd, EV_READ);
    ev_io_start(dial->loop, &leg->io);
    /* One after the other: a proxy counts what is asked for under one nonce. */
    if (leg == &dial->legs[0] && httpproxy_legs(dial->settings.way) > 1)
        ask(dial, 1);
}

/* False: it failed, and the attempt is over. */
static bool is_connected(struct leg *leg)
{
    struct httpdial *dial = leg->dial;
    int error = 0;
    socklen_t length = sizeof(error);

    if (getsockopt(leg->fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0)
        error = errno;
    if (error) {
        fail(dial, HTTPDIAL_NETWORK, strerror(error));
        return false;
    }
    leg->connected = true;
    ev_timer_stop(dial->loop, &dial->timer);
    ev_timer_set(&dial->timer, PROXY_TIMEOUT_US / 1e6, 0.);
    ev_timer_start(dial->loop, &dial->timer);
    return true;
}

static void on_io(struct ev_loop *loop, ev_io *io, int events)
{
    struct leg *leg = io->data;

    (void)loop;
    if (events & EV_READ)
        receive(leg);
    else if (leg->connected || is_connected(leg))
        transmit(leg);
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct httpdial *dial = timer->data;
    char reason[REASON_SIZE];

    (void)loop;
    (void)events;
    if (dial->legs[0].fd < 0) {
        begin(dial);
        return;
    }
    if (!dial->legs[0].connected) {
        fail(dial, HTTPDIAL_NETWORK, strerror(ETIMEDOUT));
        return;
    }
    snprintf(reason, sizeof(reason), "the proxy did not answer within %d s",
             PROXY_TIMEOUT_US / 1000000);
    fail(dial, HTTPDIAL_REFUSED, reason);
}

/* ---------------------------------------------------------------- life */

struct httpdial *httpdial_start(struct ev_loop *loop, const struct httpdial_settings *settings,
                                httpdial_fn *done, void *ctx)
{
    struct httpdial *dial = calloc(1, sizeof(*dial));

    if (!dial)
        return NULL;
    dial->loop = loop;
    dial->settings = *settings;
    dial->done = done;
    dial->ctx = ctx;
    for (unsigned i = 0; i < HTTPPROXY_LEGS; i++) {
        dial->legs[i].dial = dial;
        dial->legs[i].fd = -1;
        ev_io_init(&dial->legs[i].io, on_io, -1, EV_WRITE);
        dial->legs[i].io.data = &dial->legs[i];
    }
    ev_timer_init(&dial->timer, on_timer, 0., 0.);
    dial->timer.data = dial;
    ev_timer_start(loop, &dial->timer);
    return dial;
}

void httpdial_free(struct httpdial *dial)
{
    if (!dial)
        return;
    ev_timer_stop(dial->loop, &dial->timer);
    close_legs(dial);
    free(dial);
}
