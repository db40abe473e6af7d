/*
 * One attempt to get through an HTTP proxy by one of its ways (httpproxy.h): connects, asks,
 * answers what the proxy wants to know of who asks, and hands over what TLS can run over.
 */
#ifndef COMMON_TUNNEL_HTTPDIAL_H
#define COMMON_TUNNEL_HTTPDIAL_H

#include <stdint.h>

#include "common/base/addr.h"
#include "common/tunnel/httpauth.h"
#include "common/tunnel/transport.h"

struct ev_loop;
struct httpdial;

enum httpdial_result {
    HTTPDIAL_OPEN,
    HTTPDIAL_NETWORK, /* the proxy could not be reached */
    HTTPDIAL_REFUSED, /* not by this way */
    HTTPDIAL_DENIED,  /* the proxy does not know us: by no way */
};

struct httpdial_settings {
    struct addr proxy;
    enum httpproxy_way way;
    const char *host; /* the dmz-relay's, for the proxy to resolve; must outlive the attempt */
    uint16_t port;
    struct httpauth *auth; /* keeps the proxy's challenge for the next time; must outlive it, too */
};

/*
 * The end of an attempt, which is freed when this returns. With OPEN the sockets are the callee's,
 * and the transport lives as long as the call; otherwise it is NULL, and reason is a sentence.
 */
typedef void httpdial_fn(void *ctx, enum httpdial_result result, const struct transport *transport,
                         const char *reason);

/* done is called in a later turn of the loop. NULL without memory. */
struct httpdial *httpdial_start(struct ev_loop *loop, const struct httpdial_settings *settings,
                                httpdial_fn *done, void *ctx);
/* done is not called any more. Accepts NULL. */
void httpdial_free(struct httpdial *dial);

#endif
