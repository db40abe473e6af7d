/*
 * All SAs of one daemon, found in constant time by id, by label, by the source
 * address and SSRC of their sender, and by SSRC alone. Hashes are keyed: a
 * stranger chooses source addresses. Memory of the indexes is allocated once,
 * insertion and removal take the same time however many SAs there are.
 *
 * What an SA is found by (owner, id, label, side, source and SSRCs) changes
 * while it is in the table only by the functions that are made for it.
 */
#ifndef COMMON_SA_TABLE_H
#define COMMON_SA_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/sa/sa.h"

struct candidates;
struct gate_pass;
struct rekey_queue;
struct table;

struct table *table_new(size_t max);
/* Frees the SAs in it too. Accepts NULL. */
void table_free(struct table *table);
size_t table_count(const struct table *table);
/* Of the SAs in it, after a change of keys. */
struct rekey_queue *table_old_keys(struct table *table);
/* Those in it whose sender is looked for by packets of unknown ones. */
struct candidates *table_candidates(const struct table *table);
/* Are there SAs of that side whose sender sends RTP'? */
bool table_has_prime(const struct table *table, enum sa_side side);
/* A piece of what is due after sources and SSRCs were learned. Allocates. True: there is more. */
bool table_work(struct table *table);
bool table_work_due(const struct table *table);
size_t table_max(const struct table *table);
size_t table_count_owner(const struct table *table, unsigned owner);

/*
 * The table owns sa afterwards. ERR_FULL; ERR_EXISTS when another SA stands in the way
 * (table_conflict).
 */
int table_insert(struct table *table, struct sa *sa);
/* To be called when an SA in the table got another SSRC. */
void table_streams_added(struct table *table, struct sa *sa);
/*
 * An SA in the table learns an SSRC that it does not have: the stream of it, fresh. When it has
 * SA_SSRC_MAX already, the oldest is let go. NULL without memory, or where as many SAs as may be
 * share its source and this SSRC (TABLE_ALIKE_MAX).
 */
struct sa_stream *table_learn_ssrc(struct table *table, struct sa *sa, uint32_t ssrc);
/* An SA in the table is found by another RTP (RTCP) address from now on, or, family 0, by none. */
void table_move_source(struct table *table, struct sa *sa, bool rtcp, const struct addr *source);
/*
 * Around a change of source, bound, hint, source_policy, encap_in or streams of an SA in the table.
 * In between it is found by id and label only. Neither allocates, neither can fail; whether
 * others let it have them (table_conflict) can be asked in between.
 */
void table_change_begin(struct table *table, struct sa *sa);
void table_change_end(struct table *table, struct sa *sa);
/* The SA stays allocated and is the caller's. */
void table_remove(struct table *table, struct sa *sa);
/*
 * An SA that stands in the way of inserting sa: another of its owner with its id or label; or one
 * of those that share its side, source and SSRC, when those are as many as may be
 * (TABLE_ALIKE_MAX, and of one owner TABLE_ALIKE_OWN; they are told apart by key). NULL when
 * none does. sa itself may be in the table.
 */
enum { TABLE_ALIKE_MAX = 8, TABLE_ALIKE_OWN = 4 };
struct sa *table_conflict(struct table *table, const struct sa *sa);

/* Would sa, if it were at this source, share it and an SSRC with as many others as may be? */
bool table_is_crowded(struct table *table, const struct sa *sa, const struct addr *source);
/*
 * Another SA, of the same owner or of any, with the side, the source, an SSRC and the key of sa:
 * nothing tells their packets apart. NULL when there is none, or sa has no key.
 */
struct sa *table_twin(struct table *table, const struct sa *sa, bool any_owner);

/* Another SA of the same side with the RTP (RTCP) source address of sa, whatever its SSRCs; NULL:
 * none, or sa has no RTCP address of its own.
 */
struct sa *table_shares_source(struct table *table, const struct sa *sa, bool rtcp);

/* All of these return NULL when there is none; the table keeps what they return. */
struct sa *table_by_id(struct table *table, unsigned owner, uint64_t id);
struct sa *table_by_label(struct table *table, unsigned owner, uint32_t label);
/*
 * The SA whose sender on that side sends from source. Where several share the
 * source, the one that has the SSRC; one alone is found whatever the SSRC, since it may only
 * be told after the packet is verified whether the SSRC is wrong.
 */
struct sa *table_by_source(struct table *table, enum sa_side side, const struct addr *source,
                           uint32_t ssrc);
/*
 * The SAs whose sender on that side sends this SSRC from source, the youngest first: the first for
 * after = NULL, then the one behind after. At most TABLE_ALIKE_MAX.
 */
struct sa *table_by_stream(struct table *table, enum sa_side side, const struct addr *source,
                           uint32_t ssrc, const struct sa *after);
/*
 * Does an SA other than sa, which is in the table, have this SSRC, whatever its source? True also
 * when sa does not have it.
 */
bool table_has_company(const struct table *table, const struct sa *sa, uint32_t ssrc);
/* Any SA whose sender on that side sends from source; NULL when there is none. */
struct sa *table_at_source(struct table *table, enum sa_side side, const struct addr *source);

/*
 * table_by_source() and table_by_label() for several packets at once. With many SAs a search mostly
 * waits for memory; here all of them wait at the same time.
 */
struct table_lookup {
    const struct addr *source; /* NULL: nothing is sought; not looked at for labels */
    uint32_t ssrc;             /* or label */
    bool exact;                /* never one alone with another SSRC; not looked at for labels */
    const uint32_t *bucket;    /* the table's */
    struct sa *sa;             /* the result */
};
void table_by_sources(struct table *table, enum sa_side side, struct table_lookup *lookups,
                      size_t count);
void table_by_labels(struct table *table, unsigned owner, struct table_lookup *lookups,
                     size_t count);
/* Counts the verdict of packets with these labels in the SAs that are still there; pass: hold.h. */
void table_count_verdicts(struct table *table, unsigned owner, const uint32_t *labels, size_t count,
                          enum verdict verdict, struct gate_pass *pass);

/*
 * The SAs whose sender on that side has this SSRC, one by one: the first for after = NULL, then the
 * one behind after, which must be in the table still. There may be as many as the table
 * holds: the caller bounds the search.
 */
struct sa *table_by_ssrc(struct table *table, enum sa_side side, uint32_t ssrc, struct sa *after);

/*
 * A walk through all SAs that can be left and resumed at any time: any SA may be inserted and
 * removed between two steps, and nothing has to be done to end it. Each SA that is in the table
 * from begin to end comes exactly once; one that is inserted meanwhile may come or not.
 */
struct table_walk {
    uint32_t left;
};
void table_walk_begin(const struct table *table, struct table_walk *walk);
/* NULL at the end, and from then on. */
struct sa *table_walk_next(const struct table *table, struct table_walk *walk);

/* A whole walk in one go: with 20,000 SAs it takes longer than one turn of the event loop may. */
void table_each(struct table *table, void (*each)(void *ctx, struct sa *sa), void *ctx);

#endif
