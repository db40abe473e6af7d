/*
 * The authority's side of keeping one replica in step: versions, the change
 * list, and what has to be sent. One per dmz-relay; bytes and times in, bytes
 * out.
 *
 * Every change of an SA takes the next version. SAs stand in a list by the
 * version of their last change, deleted ones in a second list as tombstones, so
 * that a delta from version v is "what is newer than v in both lists", and a
 * snapshot is a delta from 0. Nothing is queued: what has to go out is pulled
 * when the tunnel has room for it, and an SA that changed twice goes out once.
 */
#ifndef COMMON_SA_AUTHORITY_H
#define COMMON_SA_AUTHORITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/hash.h"
#include "common/base/writer.h"
#include "common/sa/sa.h"
#include "common/sa/wire.h"

struct table;
struct tombstone;

enum authority_sync { AUTHORITY_NONE, AUTHORITY_DELTA, AUTHORITY_SNAPSHOT, AUTHORITY_SYNCED };

enum { AUTHORITY_OWN_MAX = 8 };

struct authority {
    struct table *table;
    unsigned owner;      /* this authority's number in the SAs */
    uint64_t epoch;      /* of the lineage: survives a restart with the state file */
    uint64_t version;    /* of the last change */
    enum wire_view view; /* what the replica is given of keys: one of WIRE_REPLICA_ */
    bool hairpins;       /* and it takes SAs whose packets go from outside to outside */
    struct addr own[AUTHORITY_OWN_MAX]; /* the replica's RTP addresses: see authority_set_own() */
    unsigned own_count;

    struct sa *oldest, *newest; /* by version */
    struct tombstone *oldest_dead, *newest_dead;
    struct tombstone **resting; /* labels of tombstones, hashed */
    struct hash_key resting_key;
    size_t resting_mask, dead_count;
    uint64_t forgotten; /* a deletion up to this version may be without a tombstone */

    enum authority_sync sync;
    size_t retries;              /* SA-PUTs that this connection may ask for once more */
    bool begin_due, sweep;       /* SYNC-BEGIN has not gone out yet; the sync is a snapshot */
    uint64_t sync_from;          /* the sync ends at this version */
    struct sa *sync_next;        /* walks from newest to oldest */
    struct tombstone *sync_dead; /* the same */
    struct sa *live_next;        /* walks from oldest to newest: changes since the sync began */
    struct sa *save_next;        /* walks from oldest to newest, for the state file */
    struct tombstone *live_dead;
    bool more; /* the last pull has passed by what is not for the replica, and is not at the end */
};

/* Begins a lineage. Later lineages of one clock have higher epochs. 0 or ERR_NOMEM. */
int authority_init(struct authority *authority, struct table *table, unsigned owner);
/* Does not free the SAs: they are the table's. */
void authority_fini(struct authority *authority);

/* sa is in the table already, and is new to the authority (version is set here). */
void authority_added(struct authority *authority, struct sa *sa);
/*
 * Goes on with the lineage of an earlier life, before anything else is done. What that life did
 * after it last saved its state is unknown: versions jump, so that no replica can take a delta.
 */
void authority_resume(struct authority *authority, uint64_t epoch, uint64_t version);
/* For an SA from the state file: keeps its version; to be called in rising order of versions. */
void authority_restored(struct authority *authority, struct sa *sa);
/* Takes a restored SA, or one that was added in this turn, out again, without a trace. */
void authority_forget(struct authority *authority, struct sa *sa);
void authority_changed(struct authority *authority, struct sa *sa);
/* To be called before the SA leaves the table. Its label rests for LABEL_REST_US. */
void authority_removed(struct authority *authority, struct sa *sa, uint64_t now_us);
/*
 * In the same turn as authority_removed(), with the SA in the table again: it was not removed. Of
 * several, the one that was removed last comes first.
 */
void authority_revived(struct authority *authority, struct sa *sa);
/* Forgets tombstones whose label has rested long enough. True: there may be more. */
bool authority_tick(struct authority *authority, uint64_t now_us);
/* Is it no SA's label, and none of a deleted SA that still rests? */
bool authority_label_is_free(const struct authority *authority, uint32_t label);
/* The wanted label if it is free; else another that is. */
uint32_t authority_label(const struct authority *authority, uint32_t wanted);

/* A tunnel is up, and the replica said what it holds. Decides between delta and snapshot. */
void authority_connected(struct authority *authority, uint64_t replica_epoch,
                         uint64_t replica_version);
/*
 * The replica's own RTP addresses. What goes there, or comes from there, is between two sites: it
 * is told no Call-ID of it, which is none of its business.
 */
void authority_set_own(struct authority *authority, const struct addr *own, unsigned count);
void authority_disconnected(struct authority *authority);

/*
 * The next control frame that is due: changes since the sync began, oldest
 * first. False when there is none, or, with more, none yet: then the caller comes again soon. body
 * must have room for a whole frame.
 */
bool authority_pull_live(struct authority *authority, uint8_t *type, struct writer *body);
/* The next frame of the sync, newest SAs first; what is live comes before. */
bool authority_pull_bulk(struct authority *authority, uint8_t *type, struct writer *body);
/*
 * Writes the reason into the SA; with ERR_AGAIN the SA goes out once more instead, as often as the
 * replica may have something to delete first. ERR_PROTOCOL for a body that cannot be read.
 */
int authority_nak(struct authority *authority, struct reader *body);

const char *authority_sync_name(enum authority_sync sync);

#endif
