#include "common/tunnel/httpdoor.h"

#include <errno.h>
#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/protocol.h"
#include "common/tunnel/http.h"

enum visitor_state {
    FIRST,  /* what does it speak? */
    HEAD,   /* HTTP */
    PAIRING /* a GET or a POST, whose other half has not come */
};

struct visitor {
    struct httpdoor *door;
    struct visitor *next, **link;
    ev_io io;
    ev_timer timer;
    uint64_t started_us;
    int fd;
    struct addr peer;
    enum visitor_state state;
    enum httpproxy_want want; /* PAIRING */
    bool chunked;             /* the reply may be */
    char token[HTTPPROXY_TOKEN_SIZE];
    size_t head, length; /* octets of the head, and of all that was read */
    char data[HTTP_HEAD_OCTETS];
};

struct httpdoor {
    struct ev_loop *loop;
    const struct httpdoor_hooks *hooks;
    void *ctx;
    struct visitor *visitors;
    size_t count;
};

static const char bad_request[] =
    "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
static const char not_found[] =
    "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
static const char switching[] = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
                                "Upgrade: " HTTPPROXY_PROTOCOL "\r\n\r\n";
#define STREAM_FIELDS "Content-Type: application/octet-stream\r\nCache-Control: no-store\r\n"
static const char in_chunks[] =
    "HTTP/1.1 200 OK\r\n" STREAM_FIELDS "Transfer-Encoding: chunked\r\n\r\n";
static const char to_close[] = "HTTP/1.1 200 OK\r\n" STREAM_FIELDS "Connection: close\r\n\r\n";

/* Its socket stays open. */
static void forget(struct visitor *visitor)
{
    struct httpdoor *door = visitor->door;

    ev_io_stop(door->loop, &visitor->io);
    ev_timer_stop(door->loop, &visitor->timer);
    *visitor->link = visitor->next;
    if (visitor->next)
        visitor->next->link = visitor->link;
    door->count--;
    free(visitor);
}

/* reply NULL: without a word. */
static void refuse(struct visitor *visitor, const char *reply, const char *reason)
{
    struct httpdoor *door = visitor->door;
    struct addr peer = visitor->peer;
    int fd = visitor->fd;

    if (reply) {
        (void)send(fd, reply, strlen(reply), MSG_NOSIGNAL);
        (void)shutdown(fd, SHUT_WR);
        /* What is left unread would make a reset of the end, which may overtake the reply. */
        (void)recv(fd, visitor->data, sizeof(visitor->data), MSG_DONTWAIT);
    }
    forget(visitor);
    close(fd);
    door->hooks->refused(door->ctx, &peer, reason);
}

static bool say(int fd, const char *text)
{
    return send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text);
}

/* Hands the sockets over; partner NULL: there is one. */
static void open_to(struct visitor *visitor, struct visitor *partner, struct transport *transport)
{
    struct httpdoor *door = visitor->door;

    transport->started_us = visitor->started_us;
    transport->peer = visitor->peer;
    transport->early = visitor->data + visitor->head;
    transport->early_length = visitor->length - visitor->head;
    ev_io_stop(door->loop, &visitor->io);
    door->hooks->opened(door->ctx, transport);
    forget(visitor);
    if (partner)
        forget(partner);
}

/* ---------------------------------------------------------------- requests */

static struct visitor *find_partner(const struct visitor *visitor)
{
    struct visitor *other = visitor->door->visitors;

    while (other && (other == visitor || other->state != PAIRING ||
                     strcmp(other->token, visitor->token) != 0))
        other = other->next;
    return other;
}

static void upgrade(struct visitor *visitor)
{
    struct transport transport = transport_direct(visitor->fd);

    transport.way = HTTPPROXY_UPGRADE;
    if (!say(visitor->fd, switching))
        refuse(visitor, NULL, "its end came before the reply to Upgrade");
    else
        open_to(visitor, NULL, &transport);
}

static void pair(struct visitor *get, struct visitor *post)
{
    struct transport transport = {.in = post->fd,
                                  .out = get->fd,
                                  .chunked_in = true,
                                  .chunked_out = get->chunked,
                                  .way = HTTPPROXY_HTTP};

    if (!say(get->fd, get->chunked ? in_chunks : to_close)) {
        refuse(get, NULL, "its end came before the reply to GET");
        refuse(post, NULL, "its other half has gone");
        return;
    }
    open_to(post, get, &transport);
}

static void take_half(struct visitor *visitor, enum httpproxy_want want)
{
    struct visitor *partner = find_partner(visitor);

    visitor->state = PAIRING;
    visitor->want = want;
    if (want == HTTPPROXY_WANTS_IN && visitor->length > visitor->head)
        refuse(visitor, bad_request, "something followed its request");
    else if (partner && partner->want == want)
        refuse(visitor, not_found, "its token is taken");
    else if (partner)
        pair(want == HTTPPROXY_WANTS_IN ? visitor : partner,
             want == HTTPPROXY_WANTS_IN ? partner : visitor);
}

static void take_head(struct visitor *visitor)
{
    struct http_head head;
    enum httpproxy_want want;
    int length = http_head_length(visitor->data, visitor->length);

    if (length == ERR_AGAIN)
        return;
    if (length < 0 || http_read_request(&head, visitor->data, (size_t)length) < 0) {
        refuse(visitor, bad_request, "what it sent is neither TLS nor a request of HTTP");
        return;
    }
    visitor->head = (size_t)length;
    want = httpproxy_wants(&head, &visitor->chunked, visitor->token);
    if (want == HTTPPROXY_WANTS_NOTHING)
        refuse(visitor, not_found, "its HTTP request is no inner-relay's");
    else if (want == HTTPPROXY_WANTS_UPGRADE)
        upgrade(visitor);
    else
        take_half(visitor, want);
}

/* ---------------------------------------------------------------- reading */

/* Requests begin with a method, which is in capital letters; all else is TLS's to judge. */
static void take_first(struct visitor *visitor)
{
    struct transport transport = transport_direct(visitor->fd);

    if (visitor->data[0] >= 'A' && visitor->data[0] <= 'Z') {
        visitor->state = HEAD;
        return;
    }
    open_to(visitor, NULL, &transport);
}

static void on_io(struct ev_loop *loop, ev_io *io, int events)
{
    struct visitor *visitor = io->data;
    bool first = visitor->state == FIRST;
    size_t room = sizeof(visitor->data) - visitor->length;
    ssize_t count;

    (void)loop;
    (void)events;
    if (room == 0) {
        refuse(visitor, bad_request, "too much came before the other half of its request");
        return;
    }
    count =
        recv(visitor->fd, visitor->data + visitor->length, first ? 1 : room, first ? MSG_PEEK : 0);
    if (count < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (count <= 0) {
        refuse(visitor, NULL,
               count == 0 ? "closed by the other side during the handshake" : strerror(errno));
        return;
    }
    if (first) {
        take_first(visitor);
        return;
    }
    visitor->length += (size_t)count;
    if (visitor->state == HEAD)
        take_head(visitor);
    else if (visitor->want == HTTPPROXY_WANTS_IN)
        refuse(visitor, bad_request, "something followed its request");
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct visitor *visitor = timer->data;

    (void)loop;
    (void)events;
    if (visitor->state == FIRST)
        refuse(visitor, NULL, "no TLS handshake within 3 s");
    else if (visitor->state == HEAD)
        refuse(visitor, NULL, "no request of HTTP within 3 s");
    else
        refuse(visitor, not_found, "the other half of its request did not come within 3 s");
}

/* ---------------------------------------------------------------- life */

struct httpdoor *httpdoor_new(struct ev_loop *loop, const struct httpdoor_hooks *hooks, void *ctx)
{
    struct httpdoor *door = calloc(1, sizeof(*door));

    if (!door)
        return NULL;
    door->loop = loop;
    door->hooks = hooks;
    door->ctx = ctx;
    return door;
}

void httpdoor_free(struct httpdoor *door)
{
    if (!door)
        return;
    while (door->visitors) {
        close(door->visitors->fd);
        forget(door->visitors);
    }
    free(door);
}

int httpdoor_take(struct httpdoor *door, int fd, const struct addr *peer)
{
    struct visitor *visitor = calloc(1, sizeof(*visitor));

    if (!visitor) {
        close(fd);
        return ERR_NOMEM;
    }
    visitor->door = door;
    visitor->fd = fd;
    visitor->peer = *peer;
    visitor->started_us = clock_now_us();
    visitor->next = door->visitors;
    visitor->link = &door->visitors;
    if (visitor->next)
        visitor->next->link = &visitor->next;
    door->visitors = visitor;
    door->count++;
    ev_io_init(&visitor->io, on_io, fd, EV_READ);
    ev_timer_init(&visitor->timer, on_timer, HANDSHAKE_TIMEOUT_US / 1e6, 0.);
    visitor->io.data = visitor->timer.data = visitor;
    ev_io_start(door->loop, &visitor->io);
    ev_timer_start(door->loop, &visitor->timer);
    return 0;
}

size_t httpdoor_waiting(const struct httpdoor *door)
{
    return door->count;
}
