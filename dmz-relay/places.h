/*
 * Tells two sites where the tunnel of the other one comes from, relay-tunnel(7) "Two sites that
 * connect to each other at once": both have to ask, by PUNCH with the same number, and one of them
 * must be allowed to call the other. Nobody learns where a site is that has not asked for that
 * itself. No socket, no clock.
 */
#ifndef DMZ_RELAY_PLACES_H
#define DMZ_RELAY_PLACES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/addr.h"
#include "common/base/reader.h"

struct places;

/* A question waits for so long; of those of one site about another the newest alone does. */
enum { PLACES_US = 5 * 1000 * 1000 };

struct places_hooks {
    /* May one of these sites call the other? */
    bool (*may)(void *ctx, unsigned site, unsigned other);
    const char *(*name)(void *ctx, unsigned site);
    /* Where its tunnel comes from; false: it has none, or an HTTP proxy is in between. */
    bool (*where)(void *ctx, unsigned site, struct addr *addr);
    /* Sends a frame on the connection that carries control, if it is up. */
    void (*tell)(void *ctx, unsigned site, uint8_t type, const uint8_t *body, size_t length);
    void *ctx;
};

/* So many sites, numbered from 0. NULL without memory. */
struct places *places_new(unsigned sites, const struct places_hooks *hooks);
/* Accepts NULL. */
void places_free(struct places *places);
/* PUNCH came from the site. ERR_PROTOCOL: no honest inner-relay sends it. */
int places_frame(struct places *places, unsigned site, struct reader *body, uint64_t now_us);
/* Its tunnel is gone: it asks no more. */
void places_down(struct places *places, unsigned site);

#endif
