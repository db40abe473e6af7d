/*
 * Octets from one site to another, which the dmz-relay cannot read: it looks at who may open a
 * session with whom, keeps the order of each pair of sites, and holds no more than a window of
 * each. No socket, no clock.
 */
#ifndef DMZ_RELAY_EXCHANGE_H
#define DMZ_RELAY_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/reader.h"
#include "common/base/writer.h"

struct exchange;

enum { EXCHANGE_SITES_MAX = 64 };

struct exchange_hooks {
    /* There is something to pull for this site. */
    void (*kick)(void *ctx, unsigned site);
    /* Sends it an urgent SITE-STATE. */
    void (*tell)(void *ctx, unsigned site, const uint8_t *body, size_t length);
};

struct exchange_counts {
    uint64_t frames, octets;            /* that went on to a site */
    uint64_t refused, unknown, offline; /* frames that were answered so */
};

/* names: count of them, at most EXCHANGE_SITES_MAX; they must outlive it. NULL without memory. */
struct exchange *exchange_new(const char *const *names, size_t count,
                              const struct exchange_hooks *hooks, void *ctx);
/* Accepts NULL. */
void exchange_free(struct exchange *exchange);
/* Which sites, a bit each, may open sessions with this one; at first nobody. */
void exchange_set_policy(struct exchange *exchange, unsigned site, uint64_t callers);

/* May one of them open sessions with the other? */
bool exchange_may_meet(const struct exchange *exchange, unsigned a, unsigned b);

/* A tunnel of the site is up. features: the inner-relay's FEATURE_ bits. */
void exchange_up(struct exchange *exchange, unsigned site, uint64_t features);
/* It is gone: what was on its way is dropped, and those that it has talked with are told. */
void exchange_down(struct exchange *exchange, unsigned site);
/* A SITE or SITE-STATE frame came. ERR_PROTOCOL: no honest inner-relay sends it. */
int exchange_frame(struct exchange *exchange, unsigned site, uint8_t type, struct reader *body);
/* The next frame for the site: false when there is none. */
bool exchange_pull(struct exchange *exchange, unsigned site, uint8_t *type, struct writer *body);

const struct exchange_counts *exchange_counts(const struct exchange *exchange);
/* Octets that it holds. */
size_t exchange_held(const struct exchange *exchange);

#endif
