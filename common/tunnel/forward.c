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
#include "common/tunnel/resolver.h"

enum { WHERE_SIZE = FORWARD_HOST_SIZE + 16 };

struct forward {
    struct ev_loop *loop;
    struct forward_settings settings;
    struct streams *streams;
    struct stream_forward core;
    char section[NAME_SIZE + 16]; /* "[forward NAME]" */
    struct listening listening;   /* if core.listens */
    double logged;                /* when */
    struct addr to[RESOLVER_MAX_ADDRS];
    size_t to_count;
    struct resolver *resolver; /* NULL: "to" is no name */
    uint64_t looked_up_us;     /* when it gave an answer */
    struct end *waiting;       /* for what a look-up comes to */
};

/* One connection. */
struct end {
    struct forward *forward;
    struct stream *stream;
    int fd; /* -1: none yet */
    bool connecting;
    bool may_look;     /* its addresses are old: if none can be connected, a look-up may help */
    size_t next_addr;  /* of forward->to */
    struct end **link; /* what points to it in forward->waiting; NULL: it does not wait */
    struct end *next;
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

/* No address is left to try. */
static void connect_failed(struct end *end, const char *why)
{
    struct forward *forward = end->forward;
    char text[WHERE_SIZE], reason[STREAM_REASON_SIZE];

    if (may_log(forward))
        log_warning("[forward %s] cannot connect to %s: %s", forward->settings.name,
                    forward_where(forward, text, sizeof(text)), why);
    snprintf(reason, sizeof(reason), "cannot connect: %s", why);
    stream_broken(end->stream, reason);
}

static void unlink_waiting(struct end *end)
{
    if (!end->link)
        return;
    *end->link = end->next;
    if (end->next)
        end->next->link = end->link;
    end->link = NULL;
}

/* False: nothing will be called. */
static bool look_up(struct forward *forward)
{
    int result =
        resolver_start(forward->resolver, forward->settings.to_host, forward->settings.to_port);

    return result == 0 || result == ERR_AGAIN;
}

/* on_resolved() goes on with it. */
static bool wait_for_name(struct end *end)
{
    struct forward *forward = end->forward;

    if (!look_up(forward))
        return false;
    end->may_look = false;
    end->next = forward->waiting;
    if (end->next)
        end->next->link = &end->next;
    end->link = &forward->waiting;
    forward->waiting = end;
    return true;
}

static void end_close_fd(struct end *end)
{
    ev_io_stop(end->forward->loop, &end->in);
    ev_io_stop(end->forward->loop, &end->out);
    if (end->fd >= 0)
        close(end->fd);
    end->fd = -1;
}

static void end_take_fd(struct end *end, int fd)
{
    int on = 1;

    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    end->fd = fd;
    ev_io_set(&end->in, fd, EV_READ);
    ev_io_set(&end->out, fd, EV_WRITE);
}

/* 0 or an errno. */
static int connect_to(struct end *end, const struct addr *addr)
{
    struct sockaddr_storage storage;
    socklen_t length = addr_to_sockaddr(addr, &storage);
    int fd = socket(storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), error;

    if (fd < 0)
        return errno;
    end_take_fd(end, fd);
    if (connect(fd, (struct sockaddr *)&storage, length) < 0 && errno != EINPROGRESS) {
        error = errno;
        end_close_fd(end);
        return error;
    }
    ev_io_start(end->forward->loop, &end->out);
    return 0;
}

/* The next address that can be tried. 0, or error if there is none. */
static int try_next(struct end *end, int error)
{
    while (end->next_addr < end->forward->to_count) {
        error = connect_to(end, &end->forward->to[end->next_addr++]);
        if (!error)
            return 0;
    }
    return end->may_look && wait_for_name(end) ? 0 : error;
}

/* As from the ini file, nothing is connected to that is no single host. */
static void take_addresses(struct forward *forward, const struct addr *addrs, size_t count)
{
    forward->to_count = 0;
    for (size_t i = 0; i < count; i++) {
        enum addr_kind kind = addr_kind(&addrs[i]);

        if (kind != ADDR_MULTICAST && kind != ADDR_BROADCAST && kind != ADDR_UNSPECIFIED)
            forward->to[forward->to_count++] = addrs[i];
    }
}

/* Without an answer the older addresses stay, for those who come later. */
static void on_resolved(void *ctx, const struct addr *addrs, size_t count, const char *error)
{
    struct forward *forward = ctx;

    if (count > 0) {
        take_addresses(forward, addrs, count);
        forward->looked_up_us = clock_now_us();
    } else if (may_log(forward)) {
        log_warning("[forward %s] %s", forward->settings.name, error);
    }
    while (forward->waiting) {
        struct end *end = forward->waiting;
        int failed;

        unlink_waiting(end);
        end->next_addr = 0;
        failed = count > 0 ? try_next(end, EHOSTUNREACH) : 0;
        if (count == 0 || failed)
            connect_failed(end, failed ? strerror(failed) : error);
    }
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
        end_close_fd(end);
        error = try_next(end, error);
        if (error)
            connect_failed(end, strerror(error));
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

static struct end *end_new(struct forward *forward)
{
    struct end *end = calloc(1, sizeof(*end));

    if (!end)
        return NULL;
    end->forward = forward;
    end->fd = -1;
    ev_init(&end->in, on_in);
    ev_init(&end->out, on_out);
    end->in.data = end->out.data = end;
    return end;
}

/* ------------------------------------------------------------ what streams ask */

static void end_close(void *ctx, bool broken)
{
    const struct linger reset = {.l_onoff = 1};
    struct end *end = ctx;

    unlink_waiting(end);
    if (broken && end->fd >= 0)
        (void)setsockopt(end->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    end_close_fd(end);
    free(end);
}

/* Old addresses are good for now; who comes next has new ones. 0 or an errno. */
static int begin(struct end *end)
{
    struct forward *forward = end->forward;

    if (forward->resolver) {
        end->may_look = forward->to_count == 0 ||
                        clock_now_us() - forward->looked_up_us >= forward->settings.fresh_us;
        if (end->may_look && forward->to_count > 0)
            (void)look_up(forward);
    }
    return try_next(end, EHOSTUNREACH);
}

static void *end_open(struct stream_forward *core, struct stream *stream, const struct addr *client,
                      const struct addr *server)
{
    struct forward *forward = core->owner;
    struct end *end = end_new(forward);
    int error;

    if (!end)
        return NULL;
    end->stream = stream;
    end->connecting = true;
    end->head_length = proxyline_put(forward->settings.proxy, client, server, end->head);
    error = begin(end);
    if (!error)
        return end;
    if (may_log(forward))
        log_warning("[forward %s] cannot connect: %s", forward->settings.name, strerror(error));
    end_close(end, false);
    return NULL;
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
    struct end *end = end_new(forward);
    struct addr server = own_address(fd);
    char text[ADDR_TEXT_SIZE];

    if (!end) {
        close(fd);
        return;
    }
    end_take_fd(end, fd);
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

/* False without memory. */
static bool take_target(struct forward *forward)
{
    struct addr addr;

    if (forward->core.listens)
        return true;
    if (addr_parse_ip(forward->settings.to_host, &addr) == 0) {
        addr.port = forward->settings.to_port;
        take_addresses(forward, &addr, 1);
        return true;
    }
    forward->resolver = resolver_new(forward->loop, on_resolved, forward);
    return forward->resolver;
}

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
    if (take_target(forward))
        return forward;
    free(forward);
    return NULL;
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
            free(forward); /* one that listens has no resolver */
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
    resolver_free(forward->resolver);
    free(forward);
}

const struct forward_settings *forward_settings(const struct forward *forward)
{
    return &forward->settings;
}

const char *forward_where(const struct forward *forward, char *out, size_t size)
{
    const struct forward_settings *settings = &forward->settings;
    bool v6 = strchr(settings->to_host, ':') != NULL;

    if (forward->core.listens)
        return addr_format(&settings->listen, out, size);
    snprintf(out, size, "%s%s%s:%u", v6 ? "[" : "", settings->to_host, v6 ? "]" : "",
             (unsigned)settings->to_port);
    return out;
}

const struct stream_forward *forward_streams(const struct forward *forward)
{
    return &forward->core;
}
