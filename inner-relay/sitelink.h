/*
 * A session of two inner-relays, end to end: TLS 1.3 over octets that somebody carries, and in it
 * messages "u16 length | u8 type | fields"; length counts type and fields. It has no socket but
 * the pair that TLS works on, and no clock.
 */
#ifndef INNER_RELAY_SITELINK_H
#define INNER_RELAY_SITELINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/reader.h"

struct sitelink;
struct tls_context;

enum { SITELINK_QUEUE_OCTETS = 96 * 1024 };

struct sitelink_hooks {
    /* TLS is through. A TLS 1.3 client does not know yet whether its certificate is liked. */
    void (*up)(void *ctx);
    /* A message came; a negative code ends the session. It may send, and must not free it. */
    int (*message)(void *ctx, uint8_t type, struct reader *body, uint64_t now_us);
};

/*
 * context: of TLS_SITE_CLIENT or TLS_SITE_SERVER, outlives the handshake; name: of the other site,
 * outlives it. NULL without memory or sockets.
 */
struct sitelink *sitelink_new(struct tls_context *context, const char *name,
                              const struct sitelink_hooks *hooks, void *ctx);
/* Accepts NULL. */
void sitelink_free(struct sitelink *link);
/* Octets came from the other end; length may be 0. Negative: it is over, sitelink_error() says why.
 */
int sitelink_give(struct sitelink *link, const void *data, size_t length, uint64_t now_us);
/* Octets for the other end, also when it is over: how many, 0: none now. */
size_t sitelink_take(struct sitelink *link, uint8_t *memory, size_t size, uint64_t now_us);
/*
 * Queues a message, also before it is up; it leaves with the next sitelink_take(). Negative: too
 * long, no room in the queue, or over.
 */
int sitelink_send(struct sitelink *link, uint8_t type, const void *fields, size_t length);
/* Says good-bye; nothing is sent or received any more. */
void sitelink_close(struct sitelink *link, const char *why);

/* Keys of their own, when it is up (tls_export()). */
bool sitelink_export(struct sitelink *link, const char *label, const uint8_t *context,
                     size_t context_length, uint8_t *out, size_t length);

bool sitelink_is_up(const struct sitelink *link);
bool sitelink_is_over(const struct sitelink *link);
const char *sitelink_error(const struct sitelink *link);
/* Is the other's certificate still good under this context? It ends if not. */
bool sitelink_recheck(struct sitelink *link, struct tls_context *context);

#endif
