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
};

struct replica {
    struct table *table;
    struct srtp_engine *engine;
    unsigned owner; /* the site's number in the SAs */
    uint32_t quota; /* SAs that this site may put */
    const struct target_rules *rules;
    const struct replica_hooks *hooks;
    void *ctx;

    uint64_t epoch, version; /* what is held; 0, 0: nothing that a delta could build on */
    bool syncing;
    bool sweep_due; /* while syncing: what the sync has not named yet is still there */
    uint8_t kind;   /* enum sync_kind, while syncing */
    uint32_t mark;  /* of the sync under way, or of the last one */
};

void replica_init(struct replica *replica, struct table *table, struct srtp_engine *engine,
                  unsigned owner, uint32_t quota, const struct target_rules *rules,
                  const struct replica_hooks *hooks, void *ctx);

/*
 * FRAME_SYNC_BEGIN, _SYNC_END, _SA_PUT or _SA_DELETE. 0, or ERR_PROTOCOL: the tunnel is to be
 * closed. What is well formed but cannot be done is answered with a NAK, and nothing changes.
 */
int replica_frame(struct replica *replica, uint8_t type, struct reader *body);
/* The tunnel is gone: a sync that was under way will never end. SAs stay. */
void replica_disconnected(struct replica *replica);
/* Deletes all SAs of the site (after stale-hold). */
void replica_clear(struct replica *replica);

#endif
