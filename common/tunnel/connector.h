/*
 * The inner-relay's end of one tunnel: resolves the dmz-relay's name, connects,
 * and connects again when the connection ends: at once after one that was up,
 * then with a jittered back-off. Through an HTTP proxy, where there is one: by the first of its
 * ways that gives a tunnel, which is the first one to be tried until it fails.
 */
#ifndef COMMON_TUNNEL_CONNECTOR_H
#define COMMON_TUNNEL_CONNECTOR_H

#include <stddef.h>

#include "common/tunnel/conn.h"

struct connector;
struct localports;

struct connector_settings {
    const char *label; /* for log lines: the NAME of [dmz NAME]; must outlive the connector */
    const char *host;  /* must outlive the connector */
    uint16_t port;
    const char *name; /* that the dmz-relay's certificate must bear; must outlive the connector */
    unsigned dscp;
    const struct httpproxy *proxy; /* NULL, or without a host: none; must outlive the connector */
    const char *password;          /* for the proxy; NULL: none */
    struct localports *ports;      /* to connect from, without a proxy; NULL: any */
};

/* hooks and ctx are those of each connection. Starts at once. NULL without memory. */
struct connector *connector_new(struct ev_loop *loop, struct tls_context *context,
                                const struct connector_settings *settings,
                                const struct conn_hooks *hooks, void *ctx);
/* Ends the connection with this reason. Accepts NULL. */
void connector_free(struct connector *connector, const char *reason);
/* For the next connections; rechecks the live one's peer. */
void connector_set_context(struct connector *connector, struct tls_context *context);

/* For the next attempts; NULL: none. */
void connector_set_password(struct connector *connector, const char *password);

/* NULL while there is none. */
struct conn *connector_conn(const struct connector *connector);
/* "down", "connecting", or the connection's. */
const char *connector_state(const struct connector *connector);
/* Why the last attempt or connection ended; "" when none has. */
const char *connector_last_error(const struct connector *connector);
/* Connections that came up. */
uint64_t connector_count(const struct connector *connector);

#endif
