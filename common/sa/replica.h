/*
 * The dmz-relay's side: the SAs that one site has put, kept in the table that
 * all sites share. Bytes and times in, SAs and refusals out. An SA belongs to
 * the site that put it: ids, labels and deletions of one site never touch another's.
 */
#ifndef COMMON_SA_REPLICA_H
#define COMMON_SA_REPLICA_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/reader.h"
#include "common/sa/target.h"
#include "common/sa/wire.h"

struct srtp_engine;
struct table;

/* What the replica asks of its daemon. */
struct replica_hooks {
    /* Sends an SA-NAK. */
    void (*nak)(void *ctx, const struct wire_nak *nak);
    /* Why packets cannot leave as the SA says (unknown listener, no listener of that family); NULL:
     * they can. */
    const char *(*listener_refusal)(void *ctx, const struct sa *sa);
    /*
     * An SA of another site is in the way (NULL: the table is full). If a sweep has only yet to
     * reach it, or any, deletes it (replica_yield, replica_sweep); false: it stays. May be NULL.
     */
    bool (*yield)(void *ctx, struct sa *sa);
};

struct replica {
    struct table *table;
    struct srtp_engine *engine;
    unsigned owner;     /* the site's number in the SAs */
    uint32_t quota;     /* SAs that this site may put */
    bool several_sites; /* it is not the only one; the daemon sets it */
    const struct target_rules *rules;
    const struct replica_hooks *hooks;
    void *ctx;

    uint64_t now_us;         /* monotonic; the daemon sets it before each replica_frame */
    uint64_t epoch, version; /* what is held; 0, 0: nothing that a delta could build on */
    bool syncing;
    uint8_t kind;               /* enum sync_kind, while syncing */
    uint32_t mark;              /* of the sync under way, or of the last one */
    uint32_t stale;             /* SAs that were named before this one are to be swept */
    size_t stale_count;         /* of those in the table that are to be swept */
    size_t named_count;         /* of those in the table that the snapshot under way named */
    struct sa *oldest, *newest; /* the site's SAs in the order in which they were named last */

    struct sa *report_next; /* the reporter's: walks from oldest to newest */
    unsigned report_looks;  /* left of a piece */
    bool report_all;        /* in this round, also what has not changed */

    struct sa *review_next; /* review.c's, as report_next */
    unsigned review_looks;
    size_t review_refused; /* in this review */
};

void replica_init(struct replica *replica, struct table *table, struct srtp_engine *engine,
                  unsigned owner, uint32_t quota, const struct target_rules *rules,
                  const struct replica_hooks *hooks, void *ctx);

/*
 * FRAME_SYNC_BEGIN, _SYNC_END, _SA_PUT or _SA_DELETE. 0, or ERR_PROTOCOL: the tunnel is to be
 * closed. What is well formed but cannot be done is answered with a NAK, and nothing changes
 * but that left-overs in its way may be gone; with ERR_AGAIN it can be done when it comes again.
 */
int replica_frame(struct replica *replica, uint8_t type, struct reader *body);
/*
 * Why an SA that is held would be refused now, by the addresses that packets may come from and go
 * to; NULL: it would not.
 */
const char *replica_rules_refusal(const struct replica *replica, const struct sa *sa);
/* The tunnel is gone: a sync that was under way will never end. SAs stay. */
void replica_disconnected(struct replica *replica);
/* Gives all SAs of the site up (after stale-hold): replica_sweep deletes them. */
void replica_clear(struct replica *replica);

/*
 * What the end of a snapshot did not name, and what was given up, is deleted by
 * and by: 20,000 SAs at once would take too long. Until then packets find it;
 * it is in the way of no new SA, and comes back to life when it is named.
 */
bool replica_sweep_due(const struct replica *replica);
/* Deletes an SA of the site, if it is one of them, or refused meanwhile (review.h). */
bool replica_yield(struct replica *replica, struct sa *sa);
/* Deletes at most so many of them, and returns how many. */
unsigned replica_sweep(struct replica *replica, unsigned most);
/* The site has no SAs but those that are to be swept. */
bool replica_is_empty(const struct replica *replica);

#endif
