/*
 * Where SIP proxies ask by the ng protocol: the UDP and Unix sockets of [signalling] ng. A turn of
 * the loop takes a helping of requests; what comes faster waits in the kernel's buffer, or is lost
 * there, and the proxy sends it again.
 */
#ifndef INNER_RELAY_NGSOCKET_H
#define INNER_RELAY_NGSOCKET_H

#include <stddef.h>
#include <stdint.h>

#include "common/daemon/conf.h"
#include "inner-relay/ng.h"

struct ev_loop;
struct ngsocket;

enum {
    NGSOCKET_CLIENTS_MAX = 32, /* of all Unix sockets */
    NGSOCKET_IDLE_SECONDS = 5, /* a client of a Unix socket has so long for its request */
};

struct ngsocket_hooks {
    /* As ng_answer(). */
    char *(*answer)(void *ctx, const struct ng_asker *asker, const char *request, size_t length,
                    size_t *reply_length);
    void *ctx;
};

/* Opens all of them. 0, or negative with a sentence in error. */
int ngsocket_open(struct ngsocket **sockets, struct ev_loop *loop,
                  const struct conf_sockets *settings, const struct conf_nets *allow,
                  const struct ngsocket_hooks *hooks, char *error, size_t error_size);
/* Accepts NULL. */
void ngsocket_close(struct ngsocket *sockets);
/* After a reload. */
void ngsocket_set_allow(struct ngsocket *sockets, const struct conf_nets *allow);
/* Datagrams of senders that may not ask, which are not answered. */
uint64_t ngsocket_foreign(const struct ngsocket *sockets);

#endif
