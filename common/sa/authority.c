#define LOG_MODULE "authority"
#include "common/sa/authority.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/random.h"
#include "common/sa/table.h"

/* Tombstones that one call forgets: some microseconds. */
enum { FORGET_PIECE = 64 };
/* SAs that are no matter of the replica's, and that one call passes by. */
enum { PASS_PIECE = 64 };

struct tombstone {
    struct tombstone *older, *newer; /* by version */
    struct tombstone *next;          /* in the hash of labels */
    uint64_t id, version;
    uint32_t label;
    uint64_t died_us;
    bool untold; /* the replica never had it */
};

/* The wall clock's milliseconds, with room for a million numbers between two of them. */
static uint64_t wall_clock_number(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return ((uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000) << 20;
}

/* The time in front lets a later lineage win against an older one's connection; the rest is random.
 */
static uint64_t new_epoch(void)
{
    return wall_clock_number() | random_below(1u << 20);
}

/*
 * The first version of a life that follows one which saved this version. The
 * earlier one went on after that, and two lives can begin with the same file:
 * the clock keeps their versions apart.
 */
static uint64_t next_life(uint64_t version)
{
    uint64_t begin = wall_clock_number();

    return begin > version ? begin : version + 1;
}

int authority_init(struct authority *authority, struct table *table, unsigned owner)
{
    size_t buckets = 16;

    memset(authority, 0, sizeof(*authority));
    while (buckets < table_max(table))
        buckets *= 2;
    authority->resting = calloc(buckets, sizeof(*authority->resting));
    if (!authority->resting)
        return ERR_NOMEM;
    authority->resting_mask = buckets - 1;
    authority->resting_key = hash_key_random();
    authority->table = table;
    authority->owner = owner;
    authority->epoch = new_epoch();
    return 0;
}

/* ------------------------------------------------------------ tombstones */

/* Labels are SSRCs, which the senders choose. */
static struct tombstone **resting_bucket(const struct authority *authority, uint32_t label)
{
    uint64_t hash = hash_bytes(&authority->resting_key, &label, sizeof(label));

    return &authority->resting[hash & authority->resting_mask];
}

static void unlink_resting(struct authority *authority, struct tombstone *dead)
{
    struct tombstone **at = resting_bucket(authority, dead->label);

    while (*at != dead)
        at = &(*at)->next;
    *at = dead->next;
}

static void forget_oldest(struct authority *authority)
{
    struct tombstone *dead = authority->oldest_dead;

    unlink_resting(authority, dead);
    if (authority->sync_dead == dead)
        authority->sync_dead = NULL;
    if (authority->live_dead == dead)
        authority->live_dead = dead->newer;
    authority->oldest_dead = dead->newer;
    *(dead->newer ? &dead->newer->older : &authority->newest_dead) = NULL;
    if (!dead->untold && authority->forgotten < dead->version)
        authority->forgotten = dead->version;
    authority->dead_count--;
    free(dead);
}

void authority_fini(struct authority *authority)
{
    while (authority->oldest_dead)
        forget_oldest(authority);
    free(authority->resting);
    memset(authority, 0, sizeof(*authority));
}

/* The oldest deletion cannot be forgotten while the replica has yet to be told of it. */
static bool is_told(const struct authority *authority, const struct tombstone *oldest)
{
    bool sync_due = authority->sync_dead && oldest->version > authority->sync_from;

    return !sync_due && oldest != authority->live_dead;
}

static bool may_forget(const struct authority *authority, const struct tombstone *dead,
                       uint64_t now_us)
{
    return is_told(authority, dead) && now_us >= dead->died_us + LABEL_REST_US;
}

bool authority_tick(struct authority *authority, uint64_t now_us)
{
    unsigned left = FORGET_PIECE;

    while (left > 0 && authority->oldest_dead &&
           may_forget(authority, authority->oldest_dead, now_us)) {
        forget_oldest(authority);
        left--;
    }
    return left == 0;
}

/* The newest one; nobody was told of it yet. */
static void unbury(struct authority *authority, struct tombstone *dead)
{
    unlink_resting(authority, dead);
    if (authority->live_dead == dead)
        authority->live_dead = NULL;
    authority->newest_dead = dead->older;
    *(dead->older ? &dead->older->newer : &authority->oldest_dead) = NULL;
    authority->dead_count--;
    free(dead);
}

static void bury(struct authority *authority, const struct sa *sa, uint64_t now_us)
{
    struct tombstone *dead = calloc(1, sizeof(*dead));
    struct tombstone **bucket = resting_bucket(authority, sa->label);

    authority->version++;
    /* So many calls end that labels cannot rest their full time. */
    if (authority->dead_count > authority->resting_mask &&
        is_told(authority, authority->oldest_dead))
        forget_oldest(authority);
    if (!dead || authority->dead_count > authority->resting_mask) {
        /* A replica that misses this one has to be swept: break the delta. */
        free(dead);
        authority->forgotten = authority->version;
        if (authority->sync != AUTHORITY_NONE)
            authority_connected(authority, 0, 0);
        return;
    }
    *dead = (struct tombstone){.older = authority->newest_dead,
                               .next = *bucket,
                               .id = sa->id,
                               .version = authority->version,
                               .label = sa->label,
                               .died_us = now_us,
                               .untold = sa_stays_inside(sa)};
    *bucket = dead;
    if (authority->newest_dead)
        authority->newest_dead->newer = dead;
    else
        authority->oldest_dead = dead;
    authority->newest_dead = dead;
    authority->dead_count++;
    if (authority->sync != AUTHORITY_NONE && !authority->live_dead)
        authority->live_dead = dead;
}

bool authority_label_is_free(const struct authority *authority, uint32_t label)
{
    const struct tombstone *dead = *resting_bucket(authority, label);

    while (dead && dead->label != label)
        dead = dead->next;
    return !dead && !table_by_label(authority->table, authority->owner, label);
}

uint32_t authority_label(const struct authority *authority, uint32_t wanted)
{
    uint32_t label = wanted;

    while (!authority_label_is_free(authority, label))
        label = random_u32();
    return label;
}

/* ------------------------------------------------------------ the change list */

static void append(struct authority *authority, struct sa *sa)
{
    sa->newer = NULL;
    sa->older = authority->newest;
    if (sa->older)
        sa->older->newer = sa;
    else
        authority->oldest = sa;
    authority->newest = sa;
}

static void unlink_sa(struct authority *authority, struct sa *sa)
{
    if (authority->sync_next == sa)
        authority->sync_next = sa->older;
    if (authority->live_next == sa)
        authority->live_next = sa->newer;
    if (authority->save_next == sa)
        authority->save_next = sa->newer;
    *(sa->older ? &sa->older->newer : &authority->oldest) = sa->newer;
    *(sa->newer ? &sa->newer->older : &authority->newest) = sa->older;
    sa->older = sa->newer = NULL;
}

void authority_added(struct authority *authority, struct sa *sa)
{
    sa->version = ++authority->version;
    append(authority, sa);
    if (authority->sync != AUTHORITY_NONE && !authority->live_next)
        authority->live_next = sa;
}

void authority_resume(struct authority *authority, uint64_t epoch, uint64_t version)
{
    authority->epoch = epoch;
    authority->version = authority->forgotten = next_life(version);
}

void authority_restored(struct authority *authority, struct sa *sa)
{
    append(authority, sa);
}

void authority_forget(struct authority *authority, struct sa *sa)
{
    unlink_sa(authority, sa);
}

void authority_changed(struct authority *authority, struct sa *sa)
{
    bool last_to_save = authority->save_next == sa && !sa->newer;

    unlink_sa(authority, sa);
    authority_added(authority, sa);
    /* It is the newest still: the state file that is being written has not got it yet. */
    if (last_to_save)
        authority->save_next = sa;
}

void authority_removed(struct authority *authority, struct sa *sa, uint64_t now_us)
{
    unlink_sa(authority, sa);
    bury(authority, sa, now_us);
}

/* Where there was no memory for a tombstone, a snapshot has been begun: that is right as well. */
void authority_revived(struct authority *authority, struct sa *sa)
{
    struct tombstone *dead = authority->newest_dead;

    if (dead && dead->id == sa->id)
        unbury(authority, dead);
    authority_added(authority, sa);
}

/* ------------------------------------------------------------ sending */

/* Is every change since that version of the replica still known? */
static bool delta_possible(const struct authority *authority, uint64_t epoch, uint64_t version)
{
    return epoch == authority->epoch && version >= authority->forgotten &&
           version <= authority->version;
}

/* One that the replica has yet to be told of, or NULL. */
static struct tombstone *if_after(struct tombstone *dead, uint64_t version)
{
    return dead && dead->version > version ? dead : NULL;
}

void authority_connected(struct authority *authority, uint64_t replica_epoch,
                         uint64_t replica_version)
{
    bool delta = delta_possible(authority, replica_epoch, replica_version);

    authority->sync = delta ? AUTHORITY_DELTA : AUTHORITY_SNAPSHOT;
    authority->sweep = !delta;
    authority->begin_due = true;
    authority->retries = table_max(authority->table);
    authority->sync_from = delta ? replica_version : 0;
    authority->sync_next = authority->newest;
    /* A snapshot sweeps what it does not name: tombstones add nothing to it. */
    authority->sync_dead = delta ? if_after(authority->newest_dead, replica_version) : NULL;
    authority->live_next = NULL;
    authority->live_dead = NULL;
}

void authority_disconnected(struct authority *authority)
{
    authority->sync = AUTHORITY_NONE;
    authority->sync_next = authority->live_next = NULL;
    authority->sync_dead = authority->live_dead = NULL;
}

void authority_set_own(struct authority *authority, const struct addr *own, unsigned count)
{
    authority->own_count = count < AUTHORITY_OWN_MAX ? count : AUTHORITY_OWN_MAX;
    memcpy(authority->own, own, authority->own_count * sizeof(*own));
}

static bool is_between_sites(const struct authority *authority, const struct sa *sa)
{
    const struct addr *far = sa->side == SA_SIDE_EXTERNAL ? &sa->source.rtp : &sa->destination.rtp;

    for (unsigned i = 0; !sa->hairpin && i < authority->own_count; i++) {
        if (addr_equal(far, &authority->own[i]))
            return true;
    }
    return false;
}

/* False: there is nothing to say. */
static bool put_delete(const struct tombstone *dead, uint8_t *type, struct writer *body)
{
    struct wire_delete deletion = {.id = dead->id, .version = dead->version};

    if (dead->untold)
        return false;
    *type = FRAME_SA_DELETE;
    wire_put_delete(body, &deletion);
    return true;
}

/*
 * False: it is not for the replica. What goes from inside to inside never is; what goes from
 * outside to outside would end the tunnel to a dmz-relay that does not know of it.
 */
static bool put_sa(const struct authority *authority, struct sa *sa, uint8_t *type,
                   struct writer *body)
{
    bool unknown = sa->hairpin && !authority->hairpins;

    if (sa_stays_inside(sa))
        return false;
    (void)sa_set_text(sa, SA_REFUSED,
                      unknown ? "this version of the dmz-relay knows no hairpins" : "");
    if (unknown)
        return false;
    *type = FRAME_SA_PUT;
    if (is_between_sites(authority, sa))
        wire_put_nameless(body, sa, authority->view);
    else
        wire_put_sa(body, sa, authority->view);
    return true;
}

/* Nothing that is live waits when SYNC-END goes out: it is true up to the newest version. */
static bool put_sync(struct authority *authority, uint8_t frame, uint8_t *type, struct writer *body)
{
    struct wire_sync sync = {.kind = authority->sweep ? SYNC_SNAPSHOT : SYNC_DELTA,
                             .epoch = authority->epoch,
                             .version = authority->version};

    *type = frame;
    wire_put_sync(body, &sync);
    return true;
}

/* What a step towards the next frame has come to. */
enum step { STEP_FRAME, STEP_PASSED, STEP_END };

static enum step step_sync_delete(struct authority *authority, uint8_t *type, struct writer *body)
{
    struct tombstone *dead = authority->sync_dead;

    if (!dead)
        return STEP_END;
    authority->sync_dead = if_after(dead->older, authority->sync_from);
    return put_delete(dead, type, body) ? STEP_FRAME : STEP_PASSED;
}

static enum step step_live(struct authority *authority, uint8_t *type, struct writer *body)
{
    struct sa *sa = authority->live_next;
    struct tombstone *dead = authority->live_dead;
    enum step step;

    if (!sa && !dead)
        return STEP_END;
    /* What the sync deletes makes room for what comes new: it goes first. */
    step = step_sync_delete(authority, type, body);
    if (step != STEP_END)
        return step;
    if (dead && (!sa || dead->version < sa->version)) {
        authority->live_dead = dead->newer;
        return put_delete(dead, type, body) ? STEP_FRAME : STEP_PASSED;
    }
    authority->live_next = sa->newer;
    return put_sa(authority, sa, type, body) ? STEP_FRAME : STEP_PASSED;
}

static enum step step_sync(struct authority *authority, uint8_t *type, struct writer *body)
{
    struct sa *sa = authority->sync_next;
    enum step step = step_sync_delete(authority, type, body);

    if (step != STEP_END)
        return step;
    if (!sa || sa->version <= authority->sync_from)
        return STEP_END;
    authority->sync_next = sa->older;
    return put_sa(authority, sa, type, body) ? STEP_FRAME : STEP_PASSED;
}

/* Steps until there is a frame. False: there is none, or, with more, not after so many steps. */
static bool pull(struct authority *authority,
                 enum step (*next)(struct authority *authority, uint8_t *type, struct writer *body),
                 uint8_t *type, struct writer *body)
{
    enum step step = STEP_PASSED;

    for (unsigned left = PASS_PIECE; left > 0 && step == STEP_PASSED; left--)
        step = next(authority, type, body);
    authority->more = step == STEP_PASSED;
    return step == STEP_FRAME;
}

bool authority_pull_live(struct authority *authority, uint8_t *type, struct writer *body)
{
    authority->more = false;
    if (authority->sync == AUTHORITY_NONE)
        return false;
    if (authority->begin_due) {
        authority->begin_due = false;
        return put_sync(authority, FRAME_SYNC_BEGIN, type, body);
    }
    return pull(authority, step_live, type, body);
}

static bool pull_sync(struct authority *authority, uint8_t *type, struct writer *body)
{
    if (pull(authority, step_sync, type, body))
        return true;
    if (authority->more)
        return false;
    authority->sync = AUTHORITY_SYNCED;
    authority->sync_next = NULL;
    authority->sync_dead = NULL;
    return put_sync(authority, FRAME_SYNC_END, type, body);
}

bool authority_pull_bulk(struct authority *authority, uint8_t *type, struct writer *body)
{
    /* SYNC-END sweeps: no change may still wait when it goes out. */
    if (authority_pull_live(authority, type, body))
        return true;
    if (authority->more ||
        (authority->sync != AUTHORITY_DELTA && authority->sync != AUTHORITY_SNAPSHOT))
        return false;
    return pull_sync(authority, type, body);
}

int authority_nak(struct authority *authority, struct reader *body)
{
    struct wire_nak nak = {0};
    struct sa *sa;

    if (wire_get_nak(body, &nak) < 0)
        return ERR_PROTOCOL;
    sa = table_by_id(authority->table, authority->owner, nak.id);
    if (!sa || sa->generation != nak.generation || sa_stays_inside(sa))
        return 0;
    if (nak.error == ERR_AGAIN && authority->retries > 0) {
        authority->retries--;
        authority_changed(authority, sa);
        return 0;
    }
    /* One line for each SA-PUT at most, whatever a stolen dmz-relay sends. */
    if (!sa_text(sa, SA_REFUSED)[0])
        log_warning("the dmz-relay refuses SA %llu: %s", (unsigned long long)nak.id,
                    nak.reason[0] ? nak.reason : err_text(nak.error));
    /* Without memory it is logged, but not shown. */
    (void)sa_set_text(sa, SA_REFUSED, nak.reason[0] ? nak.reason : err_text(nak.error));
    return 0;
}

const char *authority_sync_name(enum authority_sync sync)
{
    static const char *const names[] = {"none", "delta", "snapshot", "synced"};

    return names[sync];
}
