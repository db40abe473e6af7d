#define LOG_MODULE "tunnel"
#include "common/tunnel/connector.h"

#include <errno.h>
#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/protocol.h"
#include "common/tunnel/backoff.h"
#include "common/tunnel/resolver.h"

enum connector_state_id { WAITING, RESOLVING, CONNECTING, CONNECTED };

struct connector {
    struct ev_loop *loop;
    struct tls_context *context;
    struct connector_settings settings;
    const char *names[2];
    const struct conn_hooks *owner;
    void *ctx;
    struct conn_hooks hooks;

    enum connector_state_id state;
    struct resolver *resolver;
    struct addr addrs[RESOLVER_MAX_ADDRS];
    size_t addr_count, addr_next;
    int fd; /* while connecting; -1 otherwise */
    ev_io io;
    ev_timer timer; /* the next attempt, or the end of this one */
    struct conn *conn;
    /*
     * What the network refuses, and what the dmz-relay does, each slows down its own attempts: a
     * long cut must not make the first hitch after it a long one.
     */
    struct backoff network, refused;
    bool was_up; /* the connection that is open has been up */
    bool closing;
    uint64_t count;
    char last_error[256];
};

static void wait_and_begin(struct connector *connector, const char *why, uint64_t wait_us)
{
    snprintf(connector->last_error, sizeof(connector->last_error), "%s", why);
    connector->state = WAITING;
    if (connector->closing)
        return;
    log_warning("dmz %s: %s; next attempt in %llu ms", connector->settings.label, why,
                (unsigned long long)(wait_us / 1000));
    ev_timer_stop(connector->loop, &connector->timer);
    ev_timer_set(&connector->timer, (double)wait_us / 1e6, 0.);
    ev_timer_start(connector->loop, &connector->timer);
}

static void try_later(struct connector *connector, const char *why)
{
    wait_and_begin(connector, why, backoff_next(&connector->network, BACKOFF_NETWORK_MAX_US));
}

/* ------------------------------------------------------------ the connection's hooks */

static struct session *on_secured(void *ctx, struct conn *conn, const char *name,
                                  const char **reason)
{
    struct connector *connector = ctx;

    return connector->owner->secured(connector->ctx, conn, name, reason);
}

static void on_drained(void *ctx)
{
    struct connector *connector = ctx;

    connector->owner->drained(connector->ctx);
    if (!connector->was_up && connector->conn && conn_is_up(connector->conn)) {
        connector->was_up = true;
        connector->count++;
    }
}

static void on_closed(void *ctx, struct conn *conn, const char *reason)
{
    struct connector *connector = ctx;
    char why[256], text[ADDR_TEXT_SIZE];

    /* One that ends again and again right after it came up is a refusal, too. */
    if (connector->was_up &&
        clock_now_us() - session_up_since(conn_session(conn)) >= TUNNEL_STEADY_US)
        backoff_reset(&connector->refused);
    if (conn_session(conn))
        connector->owner->closed(connector->ctx, conn, reason);
    connector->conn = NULL;
    connector->addr_next += !connector->was_up;
    connector->was_up = false;
    snprintf(why, sizeof(why), "connection to %s ended: %s",
             addr_format(conn_peer(conn), text, sizeof(text)), reason);
    wait_and_begin(connector, why, backoff_next(&connector->refused, BACKOFF_MAX_US));
}

/* ------------------------------------------------------------ connecting */

static void attempt_failed(struct connector *connector, int error)
{
    char why[256], text[ADDR_TEXT_SIZE];

    ev_io_stop(connector->loop, &connector->io);
    close(connector->fd);
    connector->fd = -1;
    snprintf(why, sizeof(why), "cannot connect to %s: %s",
             addr_format(&connector->addrs[connector->addr_next], text, sizeof(text)),
             strerror(error));
    connector->addr_next++;
    try_later(connector, why);
}

static void on_connected(struct ev_loop *loop, ev_io *io, int events)
{
    struct connector *connector = io->data;
    int error = 0;
    socklen_t length = sizeof(error);
    int fd = connector->fd;

    (void)events;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0)
        error = errno;
    if (error) {
        attempt_failed(connector, error);
        return;
    }
    ev_io_stop(loop, io);
    ev_timer_stop(loop, &connector->timer);
    connector->fd = -1;
    connector->conn = conn_new(loop, fd, connector->context, connector->names,
                               connector->settings.dscp, &connector->hooks, connector);
    if (!connector->conn) {
        try_later(connector, "out of memory");
        return;
    }
    connector->state = CONNECTED;
    backoff_reset(&connector->network);
}

static void attempt(struct connector *connector)
{
    struct sockaddr_storage storage;
    const struct addr *to = &connector->addrs[connector->addr_next];
    socklen_t length = addr_to_sockaddr(to, &storage);

    connector->state = CONNECTING;
    connector->fd = socket(storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (connector->fd < 0) {
        try_later(connector, strerror(errno));
        return;
    }
    ev_io_set(&connector->io, connector->fd, EV_WRITE);
    if (connect(connector->fd, (struct sockaddr *)&storage, length) < 0 && errno != EINPROGRESS) {
        attempt_failed(connector, errno);
        return;
    }
    ev_io_start(connector->loop, &connector->io);
    ev_timer_set(&connector->timer, CONNECT_TIMEOUT_US / 1e6, 0.);
    ev_timer_start(connector->loop, &connector->timer);
}

static void on_resolved(void *ctx, const struct addr *addrs, size_t count, const char *error)
{
    struct connector *connector = ctx;
    char why[256];

    if (count == 0) {
        snprintf(why, sizeof(why), "cannot resolve %s: %s", connector->settings.host, error);
        try_later(connector, why);
        return;
    }
    memcpy(connector->addrs, addrs, count * sizeof(addrs[0]));
    connector->addr_count = count;
    connector->addr_next = 0;
    attempt(connector);
}

/* The next address of the last answer; when all have been tried, the name is looked up again. */
static void begin(struct connector *connector)
{
    if (connector->addr_next < connector->addr_count) {
        attempt(connector);
        return;
    }
    connector->state = RESOLVING;
    if (resolver_start(connector->resolver, connector->settings.host, connector->settings.port) < 0)
        try_later(connector, "the resolver is busy");
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct connector *connector = timer->data;

    (void)loop;
    (void)events;
    if (connector->state == CONNECTING)
        attempt_failed(connector, ETIMEDOUT);
    else
        begin(connector);
}

/* ------------------------------------------------------------ life */

struct connector *connector_new(struct ev_loop *loop, struct tls_context *context,
                                const struct connector_settings *settings,
                                const struct conn_hooks *hooks, void *ctx)
{
    struct connector *connector = calloc(1, sizeof(*connector));

    if (!connector)
        return NULL;
    connector->loop = loop;
    connector->context = context;
    connector->settings = *settings;
    connector->names[0] = connector->settings.name;
    connector->owner = hooks;
    connector->ctx = ctx;
    connector->hooks = (struct conn_hooks){on_secured, on_drained, on_closed};
    connector->fd = -1;
    ev_io_init(&connector->io, on_connected, -1, EV_WRITE);
    ev_timer_init(&connector->timer, on_timer, 0., 0.);
    connector->io.data = connector->timer.data = connector;
    connector->resolver = resolver_new(loop, on_resolved, connector);
    if (!connector->resolver) {
        free(connector);
        return NULL;
    }
    begin(connector);
    return connector;
}

void connector_free(struct connector *connector, const char *reason)
{
    if (!connector)
        return;
    connector->closing = true;
    if (connector->conn)
        conn_close(connector->conn, reason);
    ev_timer_stop(connector->loop, &connector->timer);
    ev_io_stop(connector->loop, &connector->io);
    if (connector->fd >= 0)
        close(connector->fd);
    resolver_free(connector->resolver);
    free(connector);
}

void connector_set_context(struct connector *connector, struct tls_context *context)
{
    connector->context = context;
    if (connector->conn)
        conn_recheck(connector->conn, context);
}

struct conn *connector_conn(const struct connector *connector)
{
    return connector->conn;
}

const char *connector_state(const struct connector *connector)
{
    static const char *const names[] = {"down", "connecting", "connecting", "handshake"};

    return connector->conn ? conn_state(connector->conn) : names[connector->state];
}

const char *connector_last_error(const struct connector *connector)
{
    return connector->last_error;
}

uint64_t connector_count(const struct connector *connector)
{
    return connector->count;
}
