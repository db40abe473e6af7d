/* What `relayctl` shows, as JSON. Every function returns a new reference; keys never appear. */
#ifndef COMMON_DAEMON_REPORT_H
#define COMMON_DAEMON_REPORT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/daemon/daemon.h"
#include "common/sa/sa.h"
#include "common/tunnel/conn.h"

struct forward;
struct table;

/*
 * The members of `status` that both daemons have; the caller adds "srtp_engine", "peers" and
 * "tunnels".
 */
json_t *report_status(const struct daemon *daemon, const struct path_listener *listeners,
                      size_t count, size_t sas, size_t max_sas);

/* "peers" of `status`: those of the ini file. */
json_t *report_peers(const struct peers *peers);

/* "forwards" of `status` and, with their counters, of `stats`; NULL ends the list. */
json_t *report_forwards(struct forward *const *forwards, bool counters);

/* One row of "tunnels". conn NULL: there is none. */
struct report_tunnel {
    const char *name, *state, *sync, *last_error;
    const char *engine;  /* of the other side, as it last said; NULL or "": not known */
    uint64_t changed_us; /* 0: never */
    uint64_t connects;
    size_t sas;
    const struct conn *conn;
    const struct conn *media[MEDIA_MAX]; /* connections that carry media alone and are up */
    unsigned media_count;
    /* Why not the carrier that is asked for; and why frames are not read early. NULL or "": no
     * reason. */
    const char *carrier_reason, *raw_reason;
    /* Of several threads each has its own; none: the carrier is not chosen here. */
    const struct ways *ways[WORKERS_MAX];
    unsigned ways_count;
};
/*
 * Those that speak for all: the first whose media does not go by the carrier alone; where there are
 * none, the first that have media.
 */
unsigned report_worst_ways(const struct ways *const *ways, unsigned count);
json_t *report_tunnel(const struct report_tunnel *tunnel);

/* One row of "places" of `stats`. */
json_t *report_place(const char *place, const struct verdict_counts *counts);
/* The two rows of each listener. */
void report_add_listeners(json_t *places, const struct path_listener *listeners, size_t count);

/* The whole reply of `stats`; takes places over. The caller adds counters of its own. */
json_t *report_stats(const struct daemon *daemon, json_t *places);
/* Adds to its counters what packets of unknown senders have caused. */
void report_add_budget(json_t *stats, const struct budget *budget);

/*
 * A row of `sa list`; full: the object of `sa show`. home: "site" or "dmz", and its name. table:
 * where its other direction is; NULL: nowhere.
 */
json_t *report_sa(struct table *table, const struct sa *sa, const char *home, const char *home_name,
                  bool full);

/*
 * The reply of `sa list`: a page. To make a row takes more than 10 us, and a turn of the event loop
 * is to be short. home_name: of an SA's owner. Where the request has call_id, only SAs of that call
 * are in it, and it may have none although there are more pages.
 */
enum { REPORT_PAGE_SAS = 16, REPORT_PAGE_LOOKS = 256 };
json_t *report_sa_list(struct table *table, const json_t *request, const char *home,
                       const char *(*home_name)(const void *ctx, unsigned owner), const void *ctx);
/* The whole reply of `sa show`; sa NULL: there is none of that id. */
json_t *report_sa_show(struct table *table, const struct sa *sa, uint64_t id, const char *home,
                       const char *home_name);
/* What the dmz-relay last said of it; null: nothing yet. */
json_t *report_far(const struct sa *sa);

/* The commands that both daemons have. */
json_t *report_reload(void *daemon, const json_t *request);
json_t *report_debug(void *daemon, const json_t *request);
/* The id that a request names; false: *refusal is the answer. */
bool report_get_id(const json_t *request, uint64_t *id, json_t **refusal);

#endif
