/*
 * Other sites of a dmz-relay, [site NAME]: the end-to-end sessions with them, in the SITE frames
 * of its tunnel. With each there are two at most: the one that we have opened, in which we place
 * calls, and the one that it has opened. No socket, no clock, no event loop.
 */
#ifndef INNER_RELAY_SITES_H
#define INNER_RELAY_SITES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/protocol.h"
#include "inner-relay/inner.h"

struct site;
struct sites;
struct tls_context;

enum { SITES_MAX = 32 };

/* Who has opened a session. */
enum sites_side { SITES_OURS, SITES_THEIRS };

/* What the ini file says of one. Contexts become the sites'. */
struct sites_conf {
    const char *name;
    const char *dmz;                /* "": the first */
    struct tls_context *context[2]; /* by who opens the session */
    bool refuse;                    /* its calls */
    uint64_t ring_us;
};

/* Of one who uses the sessions; each may be NULL. */
struct sites_hooks {
    /* The session is up: what was queued leaves. */
    void (*up)(void *ctx, struct site *site, enum sites_side side, uint64_t now_us);
    /* It is over, or, of ours, could not be; why is a sentence. */
    void (*down)(void *ctx, struct site *site, enum sites_side side, const char *why);
    /* A message came. ERR_UNSUPPORTED: it is not for this one; negative: no honest site sends it.
     */
    int (*message)(void *ctx, struct site *site, enum sites_side side, uint8_t type,
                   struct reader *body, uint64_t now_us);
    /* Does it need the session, so that this is to stay, or to be opened again? */
    bool (*wanted)(void *ctx, const struct site *site, enum sites_side side);
    /* It stands no longer in the ini file, and is freed next. */
    void (*gone)(void *ctx, struct site *site);
};

/* Takes inner->sites. NULL without memory. */
struct sites *sites_new(struct inner *inner);
/* One more of SITES_USERS_MAX who use the sessions. hooks must outlive it, ctx sites_free(). */
enum { SITES_USERS_MAX = 5 };
void sites_add_hooks(struct sites *sites, const struct sites_hooks *hooks, void *ctx);
/* Before inner_fini(). Accepts NULL. */
void sites_free(struct sites *sites);
/*
 * The sites that there are from now on. Sessions of those that stay go on, where their peers'
 * certificates are still good. 0 or ERR_NOMEM; contexts are taken over in any case.
 */
int sites_configure(struct sites *sites, const struct sites_conf *conf, size_t count,
                    uint64_t now_us);
/* Once a second. */
void sites_tick(struct sites *sites, uint64_t now_us);

/* Letter case does not count. NULL: none. */
struct site *sites_find(struct sites *sites, const char *name);
struct site *sites_at(struct sites *sites, size_t number);
size_t sites_count(const struct sites *sites);

const char *site_name(const struct site *site);
bool site_refuses(const struct site *site);
uint64_t site_ring_us(const struct site *site);
/* The [dmz NAME] that leads there. */
struct inner_link *site_link(const struct site *site);
/* "up", "connecting" or "none" of a session. */
const char *site_session_state(const struct site *site, enum sites_side side);
/* Why the last session of that side was over; "". */
const char *site_error(const struct site *site, enum sites_side side);
bool site_is_up(const struct site *site, enum sites_side side);
/*
 * Our session is opened, if it is not up, and again until it was, although nobody wants it: for ten
 * minutes in which the tunnel is up.
 */
void site_open(struct site *site);
/* A session that is up, ours where both are. False: none is. */
bool site_up_side(const struct site *site, enum sites_side *side);
/*
 * What a secret of a session is for. Where there is one for each direction, that from who has
 * opened the session comes first, the other one has the next number.
 */
enum site_use {
    SITE_USE_MEETING = 0, /* number 0, which no meeting has: probes by way of packet forwarders */
    SITE_USE_PUNCHED = 2, /* a connection that both sites open at once */
    SITE_USE_MARK = 4,    /* see site_mark() */
};
/* number: which one of that use. False: the session is not up. */
enum { SITE_SECRET_OCTETS = 32 };
bool site_export(struct site *site, enum sites_side side, uint8_t use, uint64_t number,
                 uint8_t secret[SITE_SECRET_OCTETS]);
/* Tells a session from all others, the same for both sites; 0: it is not up. */
uint64_t site_mark(struct site *site, enum sites_side side);
/*
 * Sends a message; of our side the session is opened if it has to be. Negative with a sentence in
 * why: the tunnel is down, there is no such session of theirs, or no room.
 */
int site_send(struct site *site, enum sites_side side, uint8_t type, const void *fields,
              size_t length, const char **why, uint64_t now_us);

#endif
