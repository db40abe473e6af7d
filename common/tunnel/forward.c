#define LOG_MODULE "forward"
#include "common/tunnel/forward.h"

#include <errno.h>
#include <ev.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/tunnel/listening.h"

struct forward {
    struct ev_loop *loop;
    struct forward_settings settings;
    struct streams *streams;
    struct stream_forward core;
    char section[NAME_SIZE + 16]; /* "[forward NAME]" */
    struct listening listening;   /* if core.listens */
    double logged;                /* when */
};

/* One connection. */
struct end {
    struct forward *forward;
    struct stream *stream;
    int fd;
    bool connecting;
    ev_io in, out; /* active while something is waited for */
    uint8_t head[PROXYLINE_OCTETS];
    size_t head_length;
};

/* What a host inside or this one does not take, whoever asked for it: one line a second. */
static bool may_log(void *ctx)
{
    struct forward *forward = ctx;
    double now = ev_now(forward->loop);

    if (now - forward->logged < 1)
        return false;
    forward->logged = now;
    return true;
}

/* ------------------------------------------------------------ connections */

static void on_in(struct ev_loop *loop, ev_io *io, int events)
{
    struct end *end = io->data;

    (void)events;
    ev_io_stop(loop, io);
    stream_readable(end->stream);
}

static void connect_failed(struct end *end, int error)
{
    struct forward *forward = end->forward;
    char text[ADDR_TEXT_SIZE], reason[STREAM_REASON_SIZE];

    if (may_log(forward))
        log_warning("[forward %s] cannot connect to %s: %s", forward->settings.name,
                    addr_format(&forward->settings.to, text, sizeof(text)), strerror(error));
    snprintf(reason, sizeof(reason), "cannot connect: %s", strerror(error));
    stream_broken(end->stream, reason);
}

static void on_connected(struct end *end)
{
    int error = 0;
    socklen_t length = sizeof(error);

    if (getsockopt(end->fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0)
        error = errno;
    /* The head fits the buffer of a socket that is new. */
    if (!error && end->head_length > 0 &&
        send(end->fd, end->head, end->head_length, MSG_NOSIGNAL) != (ssize_t)end->head_length)
        error = errno ? errno : ENOBUFS;
    if (error) {
        connect_failed(end, error);
        return;
    }
    end->connecting = false;
    stream_connected(end->stream, clock_now_us());
}

static void on_out(struct ev_loop *loop, ev_io *io, int events)
{
    struct end *end = io->data;

    (void)events;
    ev_io_stop(loop, io);
    if (end->connecting)
        on_connected(end);
    else
        stream_writable(end->stream, clock_now_us());
}

/* Takes fd over, also when it fails. */
static struct end *end_new(struct forward *forward, int fd)
{
    struct end *end = calloc(1, sizeof(*end));
    int on = 1;

    if (!end) {
        close(fd);
        return NULL;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    end->forward = forward;
    end->fd = fd;
    ev_io_init(&end->in, on_in, fd, EV_READ);
    ev_io_init(&end->out, on_out, fd, EV_WRITE);
    end->in.data = end->out.data = end;
    return end;
}

/* ------------------------------------------------------------ what streams ask */

static void end_close(void *ctx, bool broken)
{
    const struct linger reset = {.l_onoff = 1};
    struct end *end = ctx;

    ev_io_stop(end->forward->loop, &end->in);
    ev_io_stop(end->forward->loop, &end->out);
    if (broken)
        (void)setsockopt(end->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    close(end->fd);
    free(end);
}

static void *end_open(struct stream_forward *core, struct stream *stream, const struct addr *client,
                      const struct addr *server)
{
    struct forward *forward = core->owner;
    struct sockaddr_storage storage;
    socklen_t length = addr_to_sockaddr(&forward->settings.to, &storage);
    int fd = socket(storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct end *end = fd >= 0 ? end_new(forward, fd) : NULL;

    if (!end)
        return NULL;
    end->stream = stream;
    end->connecting = true;
    end->head_length = proxyline_put(forward->settings.proxy, client, server, end->head);
    if (connect(fd, (struct sockaddr *)&storage, length) < 0 && errno != EINPROGRESS) {
        if (may_log(forward))
            log_warning("[forward %s] cannot connect: %s", forward->settings.name, strerror(errno));
        end_close(end, false);
        return NULL;
    }
    ev_io_start(forward->loop, &end->out);
    return end;
}

static bool is_for_later(int error)
{
    return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

static int end_take(void *ctx, uint8_t *memory, size_t size)
{
    struct end *end = ctx;
    ssize_t count = recv(end->fd, memory, size, 0);

    if (count > 0)
        return (int)count;
    if (count == 0)
        return ERR_CLOSED;
    if (!is_for_later(errno))
        return ERR_SYSTEM;
    ev_io_start(end->forward->loop, &end->in);
    return 0;
}

static int end_give(void *ctx, const uint8_t *data, size_t length)
{
    struct end *end = ctx;
    ssize_t count = send(end->fd, data, length, MSG_NOSIGNAL);

    if (count < 0 && !is_for_later(errno))
        return ERR_SYSTEM;
    if (count < (ssize_t)length)
        ev_io_start(end->forward->loop, &end->out);
    return count < 0 ? 0 : (int)count;
}

static void end_finish(void *ctx)
{
    struct end *end = ctx;

    (void)shutdown(end->fd, SHUT_WR);
}

static const struct stream_ends ends = {end_open, end_take, end_give, end_finish, end_close};

/* ------------------------------------------------------------ listening */

static struct addr own_address(int fd)
{
    struct sockaddr_storage storage = {0};
    socklen_t length = sizeof(storage);

    (void)getsockname(fd, (struct sockaddr *)&storage, &length);
    return addr_from_sockaddr((struct sockaddr *)&storage);
}

static void accept_one(void *ctx, int fd, const struct addr *client)
{
    struct forward *forward = ctx;
    struct end *end = end_new(forward, fd);
    struct addr server = own_address(fd);
    char text[ADDR_TEXT_SIZE];

    if (!end)
        return;
    end->stream =
        streams_open(forward->streams, &forward->core, end, client, &server, clock_now_us());
    if (end->stream)
        return;
    /* A stranger causes no more than this; the counters tell it, too. */
    log_debug("[forward %s] connection from %s turned away: %s", forward->settings.name,
              addr_format(client, text, sizeof(text)),
              forward->streams->up ? "as many as may be, of all or from its address, are there"
                                   : "no tunnel that carries streams");
    end_close(end, true);
}

static const struct listening_hooks listening_hooks = {accept_one, may_log};

/* ------------------------------------------------------------ life */

static struct forward *make(struct ev_loop *loop, const struct forward_settings *settings,
                            struct streams *streams)
{
    struct forward *forward = calloc(1, sizeof(*forward));

    if (!forward)
        return NULL;
    forward->loop = loop;
    forward->settings = *settings;
    forward->streams = streams;
    snprintf(forward->section, sizeof(forward->section), "[forward %s]", settings->name);
    forward->core = (struct stream_forward){.listens = settings->listen.family != 0,
                                            .max_streams = settings->max_streams,
                                            .max_half_open = settings->max_half_open,
                                            .max_per_client = settings->max_per_client,
                                            .half_open_us = settings->half_open_us,
                                            .idle_us = settings->idle_us,
                                            .ends = &ends,
                                            .owner = forward};
    memcpy(forward->core.name, settings->name, sizeof(forward->core.name));
    return forward;
}

int forward_new(struct forward **out, struct ev_loop *loop, const struct forward_settings *settings,
                struct streams *streams, char *error, size_t error_size)
{
    struct forward *forward = make(loop, settings, streams);

    if (!forward) {
        snprintf(error, error_size, "out of memory");
        return ERR_NOMEM;
    }
    if (forward->core.listens) {
        int fd = listening_open(&settings->listen, forward->section, error, error_size);

        if (fd < 0) {
            free(forward);
            return fd;
        }
        listening_start(&forward->listening, loop, fd, forward->section, &listening_hooks, forward);
    }
    streams_add(streams, &forward->core);
    *out = forward;
    return 0;
}

void forward_free(struct forward *forward)
{
    if (!forward)
        return;
    if (forward->core.listens)
        listening_stop(&forward->listening);
    free(forward);
}

const struct forward_settings *forward_settings(const struct forward *forward)
{
    return &forward->settings;
}

const struct stream_forward *forward_streams(const struct forward *forward)
{
    return &forward->core;
}
