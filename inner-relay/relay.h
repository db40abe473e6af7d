/* The inner-relay as a daemon. */
#ifndef INNER_RELAY_RELAY_H
#define INNER_RELAY_RELAY_H

#include "common/daemon/daemon.h"
#include "common/tunnel/connector.h"
#include "inner-relay/calls.h"
#include "inner-relay/inner.h"
#include "inner-relay/meet.h"
#include "inner-relay/ng.h"
#include "inner-relay/ngsocket.h"
#include "inner-relay/punching.h"
#include "inner-relay/settings.h"
#include "inner-relay/sitecalls.h"
#include "inner-relay/sitemedia.h"
#include "inner-relay/sites.h"
#include "inner-relay/statefile.h"

struct relay_link;

/* A connection that carries media alone, beside that of a [dmz NAME]: mediaconn.h. */
struct relay_media {
    struct relay_link *link;
    struct worker *worker; /* NULL: the main thread's */
    bool wanted;
    uint64_t instance; /* of the control connection that it is wanted beside; */
    uint64_t made_for; /* and that the connector was made for */
    struct connector *connector;
    unsigned takes_hung;       /* in a row: session_take_has_failed() */
    unsigned raw_failures;     /* in a row: it is put off for longer each time */
    uint64_t not_raw_until_us; /* it could not be taken over; 0: it was never tried in vain */
    char not_raw_why[128];     /* "": its segments did not get through */
    unsigned port_failures;    /* in a row: no local port of ours could be had; */
    uint64_t port_until_us;    /* so long it is without one; 0: it is not */
    uint64_t media_count;      /* packets that it has carried, both ways, at the last tick; */
    uint64_t media_us;         /* and when there was last another one */
    struct inner_media core;
    char label[NAME_SIZE + 32];
};

/* One [dmz NAME]: the context of its connections. */
struct relay_link {
    struct daemon *daemon;
    unsigned number; /* in core.links */
    struct httpproxy proxy;
    char password[HTTPAUTH_TEXT_SIZE]; /* for the proxy */
    struct connector *connector;
    struct connector_settings settings;
    struct relay_media media[MEDIA_MAX]; /* from WORKERS_MAX on: the carriers of pairs */
};

struct relay {
    struct inner core;
    const char *names[INNER_LINKS_MAX + 1]; /* of the [dmz NAME] sections; ended by NULL */
    struct relay_link links[INNER_LINKS_MAX];
    struct forward
        *forwards[SETTINGS_FORWARDS_MAX + 1]; /* as the ini file has them; ended by NULL */
    struct statefile *statefile;              /* NULL: none is configured */
    struct calls *calls;
    struct ev_timer bypass_timer; /* while there is a way to another site */
    struct sites *sites;
    struct sitecalls *sitecalls;
    struct sitemedia *sitemedia;
    struct meets *meets;
    struct punchings *punchings;
    struct ng *ng;
    struct ngsocket *ngsocket;
};

static inline struct relay *relay_of(const void *daemon)
{
    return ((const struct daemon *)daemon)->state;
}

/* forward.c: before the tunnel comes, and after it has gone. Negative with a sentence in error. */
int relay_forwards_start(struct daemon *daemon, char *error, size_t error_size);
void relay_forwards_stop(struct daemon *daemon);
/* commands.c */
extern const struct control_command relay_commands[];
/* relay.c */
extern const struct daemon_kind relay_kind;

#endif
