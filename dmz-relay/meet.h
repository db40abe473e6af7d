/*
 * Where two sites meet, relay-tunnel(7): each makes a connection of its own, whose numbers and
 * mapped addresses they are told, and which the dmz-relay hears and says nothing of from then on.
 */
#ifndef DMZ_RELAY_MEET_H
#define DMZ_RELAY_MEET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/addr.h"
#include "common/base/reader.h"

struct conn;
struct ev_loop;
struct meets;
struct rawreader;
struct seal_store;

enum { MEETS_MAX = 256, MEETS_OF_SITE = 32 };

struct meets_hooks {
    /* May one of these sites call the other? */
    bool (*may)(void *ctx, unsigned site, unsigned other);
    const char *(*name)(void *ctx, unsigned site);
    /* Sends a frame on the connection that carries control, if it is up. */
    void (*tell)(void *ctx, unsigned site, uint8_t type, const uint8_t *body, size_t length);
    void *ctx;
};

/* For so many sites. All must outlive it; reader is read in this loop. NULL without memory. */
struct meets *meets_new(struct ev_loop *loop, struct rawreader *reader, struct seal_store *seals,
                        unsigned site_count, const struct meets_hooks *hooks);
/* Closes all connections. Accepts NULL. */
void meets_free(struct meets *meets);
/*
 * A connection of the site for this meeting has switched: it is the meeting's from the end of this
 * on, with its hooks. May be called from within a hook of the connection.
 */
void meets_take(struct meets *meets, unsigned site, uint64_t number, struct conn *conn);
/* MEET-END came from the site. ERR_PROTOCOL: it cannot be read. */
int meets_frame(struct meets *meets, unsigned site, struct reader *body);
/*
 * May a site that has so many meetings, of so many in all, begin one more? At most half as many as
 * are free, and but for its first one not those that the other ones of so many sites may need:
 * however many have all that they may, there is one for each that has none.
 */
bool meets_may_begin(unsigned of_site, unsigned all, unsigned sites);
/* The site is gone, with its meetings. */
void meets_down(struct meets *meets, unsigned site);

#endif
