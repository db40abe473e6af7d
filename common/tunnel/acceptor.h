/*
 * The dmz-relay's TCP port for its inner-relays, which come with TLS, or through an HTTP proxy with
 * HTTP first (httpdoor.h). Connections whose handshakes are not complete are capped; more are
 * closed at once.
 */
#ifndef COMMON_TUNNEL_ACCEPTOR_H
#define COMMON_TUNNEL_ACCEPTOR_H

#include <stddef.h>

#include "common/tunnel/conn.h"

struct acceptor;

struct acceptor_settings {
    struct addr listen;
    int handed_over; /* a socket that listens there already, the acceptor's from then on; 0: none */
    const char *const *names; /* of the sites; ended by NULL; must outlive the acceptor */
    unsigned dscp;
    unsigned max_handshakes;
};

/* hooks and ctx are those of each connection. Negative with a sentence in error. */
int acceptor_new(struct acceptor **acceptor, struct ev_loop *loop, struct tls_context *context,
                 const struct acceptor_settings *settings, const struct conn_hooks *hooks,
                 void *ctx, char *error, size_t error_size);
/* Closes the port and every connection that it accepted. Accepts NULL. */
void acceptor_free(struct acceptor *acceptor, const char *reason);
/* For connections that come from now on; rechecks the peers of the live ones. */
void acceptor_set_context(struct acceptor *acceptor, struct tls_context *context);
/* The connection, which is up, is no more the acceptor's: conn_move() gives it other hooks. */
void acceptor_release(struct acceptor *acceptor, const struct conn *conn);
/* Connections that were closed at once because of the cap. */
size_t acceptor_turned_away(const struct acceptor *acceptor);

#endif
