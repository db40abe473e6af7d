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
#include "common/base/random.h"
#include "common/tunnel/backoff.h"
#include "common/tunnel/httpdial.h"
#include "common/tunnel/localports.h"
#include "common/tunnel/punch.h"
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
    int fd; /* while connecting without a proxy; -1 otherwise */
    ev_io io;
    struct httpdial *dial; /* while connecting through one; NULL otherwise */
    struct httpauth auth;
    size_t way;       /* in proxy->ways: of this attempt, or of the next one */
    bool way_is_good; /* it gave a tunnel, the last time it was tried */
    ev_timer timer;   /* the next attempt, or the end of this one */
    struct conn *conn;
    /*
     * What the network refuses, and what the dmz-relay does, each slows down its own attempts: a
     * long cut must not make the first hitch after it a long one.
     */
    struct backoff network, refused;
    bool was_up; /* the connection that is open has been up */
    bool closing;
    uint64_t count;
    char last_error[384];
};

static const struct httpproxy *proxy_of(const struct connector *connector)
{
    const struct httpproxy *proxy = connector->settings.proxy;

    return proxy && proxy->host[0] ? proxy : NULL;
}

static void wait_and_begin(struct connector *connector, const char *why, uint64_t wait_us)
{
    snprintf(connector->last_error, sizeof(connector->last_error), "%s", why);
    connector->state = WAITING;
    if (connector->closing)
        return;
    if (wait_us == 0 && proxy_of(connector))
        log_warning("dmz %s: %s; next attempt by %s", connector->settings.label, why,
                    httpproxy_way_name(proxy_of(connector)->ways[connector->way]));
    else
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

static void refused(struct connector *connector, const char *why)
{
    wait_and_begin(connector, why, backoff_next(&connector->refused, BACKOFF_MAX_US));
}

/* The way did not give a tunnel that lasts. False: it was the last one of the list. */
static bool next_way(struct connector *connector)
{
    const struct httpproxy *proxy = proxy_of(connector);
    bool was_good = connector->way_is_good;

    connector->way_is_good = false;
    if (!proxy)
        return false;
    connector->way = was_good ? 0 : connector->way + 1;
    if (connector->way < proxy->way_count)
        return true;
    connector->way = 0;
    return false;
}

/* After what one way came to: another way at once, or the first one later. */
static void way_failed(struct connector *connector, const char *why)
{
    if (!next_way(connector)) {
        connector->addr_next++;
        refused(connector, why);
    } else if (!connector->closing) {
        /* The same address of the proxy. */
        wait_and_begin(connector, why, 0);
    }
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

    if (connector->owner->drained)
        connector->owner->drained(connector->ctx);
    if (!connector->was_up && connector->conn && conn_is_up(connector->conn)) {
        connector->was_up = true;
        connector->count++;
    }
}

/* What most often is behind it when a proxy stands in between. */
static const char *hint(const struct connector *connector, const struct conn *conn,
                        const char *reason)
{
    if (!proxy_of(connector) || conn_session(conn) || !strstr(reason, "certificate"))
        return "";
    return "; a proxy that opens TLS must not open this one's";
}

static void describe_end(const struct connector *connector, const struct conn *conn,
                         const char *reason, char *out, size_t size)
{
    const struct httpproxy *proxy = proxy_of(connector);
    char text[ADDR_TEXT_SIZE];

    addr_format(conn_peer(conn), text, sizeof(text));
    if (proxy)
        snprintf(out, size, "connection to %s by %s through the proxy %s ended: %s%s",
                 connector->settings.host, httpproxy_way_name(conn_way(conn)), text, reason,
                 hint(connector, conn, reason));
    else
        snprintf(out, size, "connection to %s ended: %s", text, reason);
}

static void on_closed(void *ctx, struct conn *conn, const char *reason)
{
    struct connector *connector = ctx;
    char why[sizeof(connector->last_error)];
    bool steady = connector->was_up &&
                  clock_now_us() - session_up_since(conn_session(conn)) >= TUNNEL_STEADY_US;

    describe_end(connector, conn, reason, why, sizeof(why));
    /* One that ends again and again right after it came up is a refusal, too. */
    if (steady)
        backoff_reset(&connector->refused);
    if (conn_session(conn))
        connector->owner->closed(connector->ctx, conn, reason);
    connector->conn = NULL;
    if (proxy_of(connector) && !steady) {
        connector->was_up = false;
        way_failed(connector, why);
        return;
    }
    connector->way_is_good = steady;
    connector->addr_next += !connector->was_up;
    connector->was_up = false;
    refused(connector, why);
}

/* ------------------------------------------------------------ connecting */

static void attempt_failed(struct connector *connector, int error)
{
    char why[256], text[ADDR_TEXT_SIZE];

    ev_io_stop(connector->loop, &connector->io);
    if (connector->fd >= 0)
        close(connector->fd);
    connector->fd = -1;
    snprintf(why, sizeof(why), "cannot connect to %s: %s",
             addr_format(&connector->addrs[connector->addr_next], text, sizeof(text)),
             strerror(error));
    connector->addr_next++;
    try_later(connector, why);
}

static void take_over(struct connector *connector, const struct transport *transport)
{
    connector->conn =
        conn_new_over(connector->loop, transport, connector->context, connector->names,
                      connector->settings.dscp, &connector->hooks, connector);
    if (!connector->conn) {
        try_later(connector, "out of memory");
        return;
    }
    connector->state = CONNECTED;
    backoff_reset(&connector->network);
}

static void on_connected(struct ev_loop *loop, ev_io *io, int events)
{
    struct connector *connector = io->data;
    int error = 0;
    socklen_t length = sizeof(error);
    int fd = connector->fd;
    struct transport transport;

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
    transport = transport_direct(fd);
    transport.peer = connector->addrs[connector->addr_next];
    take_over(connector, &transport);
}

static void on_dialled(void *ctx, enum httpdial_result result, const struct transport *transport,
                       const char *reason)
{
    struct connector *connector = ctx;
    const struct httpproxy *proxy = proxy_of(connector);
    char why[sizeof(connector->last_error)], text[ADDR_TEXT_SIZE];

    connector->dial = NULL;
    if (result == HTTPDIAL_OPEN) {
        take_over(connector, transport);
        return;
    }
    addr_format(&connector->addrs[connector->addr_next], text, sizeof(text));
    if (result == HTTPDIAL_NETWORK) {
        snprintf(why, sizeof(why), "cannot connect to the proxy %s: %s", text, reason);
        connector->addr_next++;
        try_later(connector, why);
        return;
    }
    snprintf(why, sizeof(why), "no way to %s by %s through the proxy %s: %s",
             connector->settings.host, httpproxy_way_name(proxy->ways[connector->way]), text,
             reason);
    if (result == HTTPDIAL_REFUSED) {
        way_failed(connector, why);
        return;
    }
    connector->way = 0;
    connector->way_is_good = false;
    refused(connector, why);
}

static void dial(struct connector *connector)
{
    const struct httpproxy *proxy = proxy_of(connector);
    struct httpdial_settings settings = {.proxy = connector->addrs[connector->addr_next],
                                         .way = proxy->ways[connector->way],
                                         .host = connector->settings.host,
                                         .port = connector->settings.port,
                                         .auth = &connector->auth};

    connector->state = CONNECTING;
    connector->dial = httpdial_start(connector->loop, &settings, on_dialled, connector);
    if (!connector->dial)
        try_later(connector, "out of memory");
}

/*
 * A socket on its way there, or -1, errno says why. From each of the ports of ours that may have a
 * connection to the same place that ended a moment ago, then from any.
 */
static int start_to_connect(struct connector *connector, const struct addr *to)
{
    struct localports *ports = connector->settings.ports;
    struct sockaddr_storage storage;
    socklen_t length = addr_to_sockaddr(to, &storage);

    for (unsigned try = ports ? 0 : LOCALPORTS; try <= LOCALPORTS; try++) {
        int fd = socket(storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), saved;

        if (fd < 0)
            return -1;
        /* Somebody may connect to another site from there (punch.h). */
        (void)punch_share(fd);
        if (try < LOCALPORTS && localports_bind(ports, fd, storage.ss_family) < 0)
            log_debug("dmz %s: a local port of ours cannot be had: %s", connector->settings.label,
                      strerror(errno));
        if (connect(fd, (struct sockaddr *)&storage, length) == 0 || errno == EINPROGRESS)
            return fd;
        saved = errno;
        close(fd);
        errno = saved;
        if (saved != EADDRNOTAVAIL)
            break;
    }
    return -1;
}

static void attempt(struct connector *connector)
{
    const struct addr *to = &connector->addrs[connector->addr_next];

    connector->state = CONNECTING;
    connector->fd = start_to_connect(connector, to);
    if (connector->fd < 0) {
        attempt_failed(connector, errno);
        return;
    }
    ev_io_set(&connector->io, connector->fd, EV_WRITE);
    ev_io_start(connector->loop, &connector->io);
    ev_timer_set(&connector->timer, CONNECT_TIMEOUT_US / 1e6, 0.);
    ev_timer_start(connector->loop, &connector->timer);
}

static void try_next(struct connector *connector)
{
    if (proxy_of(connector))
        dial(connector);
    else
        attempt(connector);
}

/* What is connected to. */
static const char *host_of(const struct connector *connector)
{
    const struct httpproxy *proxy = proxy_of(connector);

    return proxy ? proxy->host : connector->settings.host;
}

static void on_resolved(void *ctx, const struct addr *addrs, size_t count, const char *error)
{
    struct connector *connector = ctx;
    char why[sizeof(connector->last_error)];

    if (count == 0) {
        snprintf(why, sizeof(why), "cannot resolve %s: %s", host_of(connector), error);
        try_later(connector, why);
        return;
    }
    memcpy(connector->addrs, addrs, count * sizeof(addrs[0]));
    connector->addr_count = count;
    connector->addr_next = 0;
    try_next(connector);
}

/* The next address of the last answer; when all have been tried, the name is looked up again. */
static void begin(struct connector *connector)
{
    if (connector->addr_next < connector->addr_count) {
        try_next(connector);
        return;
    }
    connector->state = RESOLVING;
    if (resolver_start(connector->resolver, host_of(connector),
                       proxy_of(connector) ? proxy_of(connector)->port : connector->settings.port) <
        0)
        try_later(connector, "the resolver is busy");
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct connector *connector = timer->data;

    (void)loop;
    (void)events;
    if (connector->state == CONNECTING && connector->fd >= 0)
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
    if (proxy_of(connector))
        snprintf(connector->auth.user, sizeof(connector->auth.user), "%s",
                 connector->settings.proxy->user);
    connector_set_password(connector, settings->password);
    connector->settings.password = NULL;
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
    httpdial_free(connector->dial);
    resolver_free(connector->resolver);
    wipe(&connector->auth, sizeof(connector->auth));
    free(connector);
}

void connector_set_context(struct connector *connector, struct tls_context *context)
{
    connector->context = context;
    if (connector->conn)
        conn_recheck(connector->conn, context);
}

void connector_set_password(struct connector *connector, const char *password)
{
    snprintf(connector->auth.password, sizeof(connector->auth.password), "%s",
             password ? password : "");
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
