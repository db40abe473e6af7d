#define LOG_MODULE "tunnel"
#include "common/tunnel/acceptor.h"

#include <errno.h>
#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/tunnel/httpdoor.h"
#include "common/tunnel/listening.h"

enum {
    /* Who connects need not be who may: lines about refusals are bounded. */
    LOG_LINES_PER_SECOND = 20,
    /* Complete ones: one per site, and a second while one takes over from another. */
    CONNS_MAX = 1024,
};

static const char SECTION[] = "[tunnel]";

struct entry {
    struct conn *conn;
    bool half_open;
};

struct acceptor {
    struct ev_loop *loop;
    struct listening listening;
    struct httpdoor *door; /* of those that have not said yet what they speak */
    struct tls_context *context;
    struct acceptor_settings settings;
    const struct conn_hooks *owner;
    void *ctx;
    struct conn_hooks hooks;

    struct entry entries[CONNS_MAX];
    size_t count, half_open;
    size_t turned_away;
    double log_second;
    unsigned log_lines;
};

static struct entry *entry_of(struct acceptor *acceptor, const struct conn *conn)
{
    for (size_t i = 0; i < acceptor->count; i++) {
        if (acceptor->entries[i].conn == conn)
            return &acceptor->entries[i];
    }
    return NULL;
}

static bool may_log(void *ctx)
{
    struct acceptor *acceptor = ctx;
    double now = ev_now(acceptor->loop);

    if (now - acceptor->log_second >= 1) {
        acceptor->log_second = now;
        acceptor->log_lines = 0;
    }
    return acceptor->log_lines++ < LOG_LINES_PER_SECOND;
}

static struct session *on_secured(void *ctx, struct conn *conn, const char *name,
                                  const char **reason)
{
    struct acceptor *acceptor = ctx;

    return acceptor->owner->secured(acceptor->ctx, conn, name, reason);
}

static void on_drained(void *ctx)
{
    struct acceptor *acceptor = ctx;

    if (acceptor->owner->drained)
        acceptor->owner->drained(acceptor->ctx);
    /* HELLO may have come with this batch: then the connection is no longer half open. */
    for (size_t i = 0; acceptor->half_open > 0 && i < acceptor->count; i++) {
        if (acceptor->entries[i].half_open && conn_is_up(acceptor->entries[i].conn)) {
            acceptor->entries[i].half_open = false;
            acceptor->half_open--;
        }
    }
}

static void forget(struct acceptor *acceptor, struct entry *entry)
{
    acceptor->half_open -= entry->half_open;
    *entry = acceptor->entries[--acceptor->count];
}

static void on_closed(void *ctx, struct conn *conn, const char *reason)
{
    struct acceptor *acceptor = ctx;
    struct entry *entry = entry_of(acceptor, conn);
    char text[ADDR_TEXT_SIZE];

    if (!conn_session(conn)) {
        if (may_log(acceptor))
            log_warning("connection from %s refused: %s",
                        addr_format(conn_peer(conn), text, sizeof(text)), reason);
    } else {
        acceptor->owner->closed(acceptor->ctx, conn, reason);
    }
    if (entry)
        forget(acceptor, entry);
}

static size_t half_open(const struct acceptor *acceptor)
{
    return acceptor->half_open + httpdoor_waiting(acceptor->door);
}

static void on_refused(void *ctx, const struct addr *peer, const char *reason)
{
    char text[ADDR_TEXT_SIZE];

    if (may_log(ctx))
        log_warning("connection from %s refused: %s", addr_format(peer, text, sizeof(text)),
                    reason);
}

static void on_opened(void *ctx, const struct transport *transport)
{
    struct acceptor *acceptor = ctx;
    struct conn *conn =
        conn_new_over(acceptor->loop, transport, acceptor->context, acceptor->settings.names,
                      acceptor->settings.dscp, &acceptor->hooks, acceptor);

    if (!conn) {
        on_refused(acceptor, &transport->peer, "out of memory");
        return;
    }
    acceptor->entries[acceptor->count++] = (struct entry){.conn = conn, .half_open = true};
    acceptor->half_open++;
}

static const struct httpdoor_hooks door_hooks = {on_opened, on_refused};

static void accept_one(void *ctx, int fd, const struct addr *client)
{
    struct acceptor *acceptor = ctx;
    size_t waiting = httpdoor_waiting(acceptor->door);

    if (half_open(acceptor) >= acceptor->settings.max_handshakes ||
        acceptor->count + waiting >= CONNS_MAX) {
        acceptor->turned_away++;
        close(fd);
        if (may_log(acceptor))
            log_warning("connection turned away: %zu handshakes are under way",
                        half_open(acceptor));
        return;
    }
    if (httpdoor_take(acceptor->door, fd, client) < 0)
        on_refused(acceptor, client, "out of memory");
}

static const struct listening_hooks listening_hooks = {accept_one, may_log};

int acceptor_new(struct acceptor **out, struct ev_loop *loop, struct tls_context *context,
                 const struct acceptor_settings *settings, const struct conn_hooks *hooks,
                 void *ctx, char *error, size_t error_size)
{
    struct acceptor *acceptor;
    int fd = settings->handed_over > 0
                 ? settings->handed_over
                 : listening_open(&settings->listen, SECTION, error, error_size);

    if (fd < 0)
        return fd;
    acceptor = calloc(1, sizeof(*acceptor));
    if (acceptor)
        acceptor->door = httpdoor_new(loop, &door_hooks, acceptor);
    if (!acceptor || !acceptor->door) {
        free(acceptor);
        close(fd);
        return ERR_NOMEM;
    }
    acceptor->loop = loop;
    acceptor->context = context;
    acceptor->settings = *settings;
    acceptor->owner = hooks;
    acceptor->ctx = ctx;
    acceptor->hooks = (struct conn_hooks){on_secured, on_drained, on_closed};
    listening_start(&acceptor->listening, loop, fd, SECTION, &listening_hooks, acceptor);
    *out = acceptor;
    return 0;
}

void acceptor_free(struct acceptor *acceptor, const char *reason)
{
    if (!acceptor)
        return;
    listening_stop(&acceptor->listening);
    httpdoor_free(acceptor->door);
    while (acceptor->count > 0)
        conn_close(acceptor->entries[0].conn, reason);
    free(acceptor);
}

void acceptor_set_context(struct acceptor *acceptor, struct tls_context *context)
{
    acceptor->context = context;
    /* A closed connection is replaced by the last one: walk from the end. */
    for (size_t i = acceptor->count; i-- > 0;)
        conn_recheck(acceptor->entries[i].conn, context);
}

void acceptor_release(struct acceptor *acceptor, const struct conn *conn)
{
    struct entry *entry = entry_of(acceptor, conn);

    if (entry)
        forget(acceptor, entry);
}

size_t acceptor_turned_away(const struct acceptor *acceptor)
{
    return acceptor->turned_away;
}
