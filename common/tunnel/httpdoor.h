/*
 * The dmz-relay's tunnel port before TLS: it speaks TLS with who begins with that, and HTTP with
 * who begins with a request, as an inner-relay behind an HTTP proxy does (httpproxy.h). Each
 * visitor has 3 s and the room of one head. Who asks for anything else hears 400 or 404, and
 * nothing more.
 */
#ifndef COMMON_TUNNEL_HTTPDOOR_H
#define COMMON_TUNNEL_HTTPDOOR_H

#include <stddef.h>

#include "common/base/addr.h"
#include "common/tunnel/transport.h"

struct ev_loop;
struct httpdoor;

struct httpdoor_hooks {
    /* TLS is to follow. The sockets are the hook's; what came early lives as long as the call. */
    void (*opened)(void *ctx, const struct transport *transport);
    /* Nothing came of this one, and it is closed. */
    void (*refused)(void *ctx, const struct addr *peer, const char *reason);
};

/* NULL without memory. */
struct httpdoor *httpdoor_new(struct ev_loop *loop, const struct httpdoor_hooks *hooks, void *ctx);
/* Closes all visitors without a word to the hooks. Accepts NULL. */
void httpdoor_free(struct httpdoor *door);
/*
 * Takes a socket over that accept() gave, with this address: one that was reset by now does not
 * know it any more. No hook is called from within. ERR_NOMEM: it is closed.
 */
int httpdoor_take(struct httpdoor *door, int fd, const struct addr *peer);
/* Visitors that are neither opened nor refused yet; one tunnel of the way http is two until then.
 */
size_t httpdoor_waiting(const struct httpdoor *door);

#endif
