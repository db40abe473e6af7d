/*
 * Host names are resolved off the event loop, in a thread of their own, one
 * request at a time per resolver.
 */
#ifndef COMMON_TUNNEL_RESOLVER_H
#define COMMON_TUNNEL_RESOLVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/addr.h"

struct ev_loop;
struct resolver;

enum { RESOLVER_MAX_ADDRS = 8 };

/*
 * Called in the loop. count 0: error says why. addrs carry the port that was asked for, and live
 * as long as the call; in it the resolver may be started again, or freed.
 */
typedef void resolver_fn(void *ctx, const struct addr *addrs, size_t count, const char *error);

/* NULL without memory. The loop must live longer than the resolver. */
struct resolver *resolver_new(struct ev_loop *loop, resolver_fn *done, void *ctx);
/* No call of done comes after this. A look-up under way is left to end by itself. Accepts NULL. */
void resolver_free(struct resolver *resolver);
/*
 * host: a name or a numeric address (which is answered without a thread, but also in a later turn
 * of the loop). 0, ERR_AGAIN when a request is under way, ERR_TOO_LONG, ERR_NOMEM, ERR_SYSTEM.
 */
int resolver_start(struct resolver *resolver, const char *host, uint16_t port);

#endif
