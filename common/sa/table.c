#include "common/sa/table.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/hash.h"
#include "common/sa/candidates.h"
#include "common/sa/hold.h"
#include "common/sa/rekey.h"
#include "common/sa/verify.h"
#include "common/srtp/srtp.h"

enum {
    OWNERS_MAX = 256,
    WORK_PIECE = 16, /* SAs that one call of table_work() enters among the candidates */
};

/* A part of the hashed key, so that the same octets hash differently in each index. */
enum index_kind { INDEX_ID, INDEX_LABEL, INDEX_SOURCE, INDEX_STREAM, INDEX_SSRC, INDEX_COUNT };

/*
 * Chains are linked by numbers of half a pointer's size. The number of a link is
 * that of its SA's slot, of the stream in the SA, and 1 for RTCP; what stands
 * before the first link of a chain is its bucket.
 */
enum {
    REF_RTCP = 1,
    REF_STREAM = 2,
    REF_SLOT = REF_STREAM * SA_SSRC_MAX,
    REF_SLOTS_MAX = INT32_MAX / 2 / REF_SLOT,
};
static const uint32_t ref_bucket = (uint32_t)1 << 31;
/* By source: what stands before is the first SA with the same source (link_source). */
static const uint32_t ref_first = (uint32_t)1 << 30;

struct table {
    size_t max, count;
    size_t mask; /* buckets - 1 */
    struct hash_key key;
    uint32_t *bucket[INDEX_COUNT];
    size_t owned[OWNERS_MAX];
    struct rekey_queue old_keys;
    struct candidates *candidates;
    size_t primes[2]; /* SAs that take RTP', by side */
    /* An SA keeps its slot until it is removed. Slot 0 stays free. */
    struct sa **slot;
    uint32_t *spare; /* slots below used that are free */
    uint32_t used, spare_count;
    uint32_t entered; /* insertions so far */
};

struct table *table_new(size_t max)
{
    struct table *table = calloc(1, sizeof(*table));
    size_t buckets = 16;
    bool ok;

    if (!table)
        return NULL;
    if (max >= REF_SLOTS_MAX)
        max = REF_SLOTS_MAX - 1;
    while (buckets < max)
        buckets *= 2;
    table->max = max;
    table->mask = buckets - 1;
    table->key = hash_key_random();
    TAILQ_INIT(&table->old_keys);
    table->slot = calloc(max + 1, sizeof(struct sa *));
    table->spare = calloc(max + 1, sizeof(*table->spare));
    table->used = 1;
    table->candidates = candidates_new(max);
    ok = table->slot && table->spare && table->candidates;
    for (int i = 0; i < INDEX_COUNT; i++) {
        table->bucket[i] = calloc(buckets, sizeof(*table->bucket[i]));
        ok = ok && table->bucket[i];
    }
    if (ok)
        return table;
    table_free(table);
    return NULL;
}

static int younger_first(const void *a, const void *b)
{
    const struct sa *const *x = a, *const *y = b;

    return ((*x)->entered < (*y)->entered) - ((*x)->entered > (*y)->entered);
}

/*
 * libsrtp2 on NSS frees a session the faster the younger it is: 6,000 of them, half of which came
 * in later, take 9.4 s in the order of their slots and 0.7 s with the youngest first.
 */
static void free_all(struct table *table)
{
    size_t count = 0;

    for (uint32_t i = 1; i < table->used; i++) {
        if (table->slot[i])
            table->slot[count++] = table->slot[i];
    }
    qsort(table->slot, count, sizeof(struct sa *), younger_first);
    for (size_t i = 0; i < count; i++)
        sa_free(table->slot[i]);
}

void table_free(struct table *table)
{
    if (!table)
        return;
    if (table->slot)
        free_all(table);
    for (int i = 0; i < INDEX_COUNT; i++)
        free(table->bucket[i]);
    candidates_free(table->candidates);
    free(table->slot);
    free(table->spare);
    free(table);
}

struct candidates *table_candidates(const struct table *table)
{
    return table->candidates;
}

bool table_work(struct table *table)
{
    return candidates_work(table->candidates, WORK_PIECE);
}

bool table_work_due(const struct table *table)
{
    return candidates_work_due(table->candidates);
}

static size_t *primes_of(struct table *table, enum sa_side side)
{
    return &table->primes[side == SA_SIDE_INTERNAL];
}

bool table_has_prime(const struct table *table, enum sa_side side)
{
    return table->primes[side == SA_SIDE_INTERNAL] > 0;
}

struct rekey_queue *table_old_keys(struct table *table)
{
    return &table->old_keys;
}

size_t table_count(const struct table *table)
{
    return table->count;
}

size_t table_max(const struct table *table)
{
    return table->max;
}

size_t table_count_owner(const struct table *table, unsigned owner)
{
    return owner < OWNERS_MAX ? table->owned[owner] : 0;
}

/* ------------------------------------------------------------ chains */

static uint32_t *bucket_of(struct table *table, enum index_kind kind, const void *key,
                           size_t length)
{
    return &table->bucket[kind][hash_bytes(&table->key, key, length) & table->mask];
}

static uint32_t *bucket_number(struct table *table, enum index_kind kind, unsigned owner,
                               uint64_t number)
{
    uint64_t key[2] = {(uint64_t)owner << 8 | kind, number};

    return bucket_of(table, kind, key, sizeof(key));
}

enum { SOURCE_OCTETS = 20 };

static void put_source(uint8_t key[SOURCE_OCTETS], enum sa_side side, const struct addr *source)
{
    memcpy(key, source->ip, 16);
    key[16] = (uint8_t)side;
    key[17] = source->family;
    key[18] = (uint8_t)(source->port >> 8);
    key[19] = (uint8_t)source->port;
}

static uint32_t *bucket_source(struct table *table, enum sa_side side, const struct addr *source)
{
    uint8_t key[SOURCE_OCTETS];

    put_source(key, side, source);
    return bucket_of(table, INDEX_SOURCE, key, sizeof(key));
}

static uint32_t *bucket_stream(struct table *table, enum sa_side side, const struct addr *source,
                               uint32_t ssrc)
{
    uint8_t key[SOURCE_OCTETS + sizeof(ssrc)];

    put_source(key, side, source);
    memcpy(key + SOURCE_OCTETS, &ssrc, sizeof(ssrc));
    return bucket_of(table, INDEX_STREAM, key, sizeof(key));
}

static struct sa *sa_of(const struct table *table, uint32_t ref)
{
    return table->slot[ref / REF_SLOT];
}

static struct sa_stream *stream_of(const struct table *table, uint32_t ref)
{
    return &sa_of(table, ref)->stream[ref % REF_SLOT / REF_STREAM];
}

/* The address with which a link stands in the indexes of sources. */
static const struct addr *source_of(const struct table *table, uint32_t ref)
{
    const struct sa *sa = sa_of(table, ref);

    return ref & REF_RTCP ? &sa->source.rtcp : &sa->source.rtp;
}

static struct sa_link *link_of(const struct table *table, enum index_kind kind, uint32_t ref)
{
    switch (kind) {
    case INDEX_ID:
        return &sa_of(table, ref)->by_id;
    case INDEX_LABEL:
        return &sa_of(table, ref)->by_label;
    case INDEX_SOURCE:
        return &sa_of(table, ref)->by_source[ref & REF_RTCP];
    case INDEX_STREAM:
        return &stream_of(table, ref)->by_source[ref & REF_RTCP];
    default:
        return &stream_of(table, ref)->by_ssrc;
    }
}

static uint32_t next_of(const struct table *table, enum index_kind kind, uint32_t ref)
{
    return link_of(table, kind, ref)->next;
}

static void link_in(struct table *table, enum index_kind kind, uint32_t *bucket, uint32_t ref)
{
    struct sa_link *link = link_of(table, kind, ref);

    link->next = *bucket;
    link->previous = ref_bucket | (uint32_t)(bucket - table->bucket[kind]);
    if (link->next)
        link_of(table, kind, link->next)->previous = ref;
    *bucket = ref;
}

static void link_out(struct table *table, enum index_kind kind, struct sa_link *link)
{
    if (!link->previous)
        return;
    if (link->previous & ref_bucket)
        table->bucket[kind][link->previous & ~ref_bucket] = link->next;
    else
        link_of(table, kind, link->previous)->next = link->next;
    if (link->next)
        link_of(table, kind, link->next)->previous = link->previous;
    *link = (struct sa_link){0};
}

/* ------------------------------------------------------------ SAs by their source */

/*
 * All calls of a gateway may come from one port: they would make one bucket's chain
 * so long that a packet from any source of that bucket, which a stranger may
 * choose, takes a millisecond. So only the first SA with a source stands
 * in the chain; the others hang in a list of their own from its second_by_source.
 */
static uint32_t *second_of(const struct table *table, uint32_t first)
{
    return &sa_of(table, first)->second_by_source[first & REF_RTCP];
}

/* 0: none. */
static uint32_t first_with_source(const struct table *table, uint32_t ref, enum sa_side side,
                                  const struct addr *source)
{
    for (; ref; ref = next_of(table, INDEX_SOURCE, ref)) {
        if (sa_of(table, ref)->side == side && addr_equal(source_of(table, ref), source))
            break;
    }
    return ref;
}

static void link_source(struct table *table, uint32_t ref)
{
    const struct sa *sa = sa_of(table, ref);
    uint32_t *bucket = bucket_source(table, sa->side, source_of(table, ref));
    uint32_t first = first_with_source(table, *bucket, sa->side, source_of(table, ref));
    struct sa_link *link = link_of(table, INDEX_SOURCE, ref);

    if (!first) {
        link_in(table, INDEX_SOURCE, bucket, ref);
        return;
    }
    *link = (struct sa_link){.next = *second_of(table, first), .previous = ref_first | first};
    if (link->next)
        link_of(table, INDEX_SOURCE, link->next)->previous = ref;
    *second_of(table, first) = ref;
}

/* The second takes the place of the first in the chain. */
static void replace_first(struct table *table, struct sa_link *first, uint32_t second)
{
    struct sa_link *link = link_of(table, INDEX_SOURCE, second);

    *second_of(table, second) = link->next;
    if (link->next)
        link_of(table, INDEX_SOURCE, link->next)->previous = ref_first | second;
    *link = *first;
    if (link->next)
        link_of(table, INDEX_SOURCE, link->next)->previous = second;
    if (link->previous & ref_bucket)
        table->bucket[INDEX_SOURCE][link->previous & ~ref_bucket] = second;
    else
        link_of(table, INDEX_SOURCE, link->previous)->next = second;
    *first = (struct sa_link){0};
}

static void unlink_source(struct table *table, struct sa *sa, int rtcp)
{
    struct sa_link *link = &sa->by_source[rtcp];

    if (sa->second_by_source[rtcp]) {
        replace_first(table, link, sa->second_by_source[rtcp]);
        sa->second_by_source[rtcp] = 0;
    } else if (!(link->previous & ref_bucket) && (link->previous & ref_first)) {
        *second_of(table, link->previous & ~ref_first) = link->next;
        if (link->next)
            link_of(table, INDEX_SOURCE, link->next)->previous = link->previous;
        *link = (struct sa_link){0};
    } else {
        link_out(table, INDEX_SOURCE, link);
    }
}

/* ------------------------------------------------------------ what stands in the way */

static bool has_own_rtcp(const struct sa *sa)
{
    return !sa->source.mux && sa->source.rtcp.family &&
           !addr_equal(&sa->source.rtcp, &sa->source.rtp);
}

/* In that chain: the first SA whose sender sends this SSRC from source. */
static struct sa *find_in_chain(const struct table *table, uint32_t ref, enum sa_side side,
                                const struct addr *source, uint32_t ssrc)
{
    for (; ref; ref = next_of(table, INDEX_STREAM, ref)) {
        struct sa *sa = sa_of(table, ref);

        if (sa->side == side && stream_of(table, ref)->ssrc == ssrc &&
            addr_equal(source_of(table, ref), source))
            return sa;
    }
    return NULL;
}

/* The number with which the SA stands in the chain of that source and SSRC; 0: in none. */
static uint32_t ref_of_stream(const struct sa *sa, const struct addr *source, uint32_t ssrc)
{
    for (unsigned i = 0; i < sa->stream_count; i++) {
        for (unsigned rtcp = 0; rtcp < 2 && sa->stream[i].ssrc == ssrc; rtcp++) {
            if (sa->stream[i].by_source[rtcp].previous &&
                addr_equal(rtcp ? &sa->source.rtcp : &sa->source.rtp, source))
                return sa->slot * REF_SLOT + i * REF_STREAM + rtcp;
        }
    }
    return 0;
}

struct sa *table_by_stream(struct table *table, enum sa_side side, const struct addr *source,
                           uint32_t ssrc, const struct sa *after)
{
    uint32_t ref;

    if (!after)
        return find_in_chain(table, *bucket_stream(table, side, source, ssrc), side, source, ssrc);
    ref = ref_of_stream(after, source, ssrc);
    return ref ? find_in_chain(table, next_of(table, INDEX_STREAM, ref), side, source, ssrc) : NULL;
}

static bool is_of(const struct table *table, uint32_t ref, enum sa_side side, uint32_t ssrc)
{
    return sa_of(table, ref)->side == side && stream_of(table, ref)->ssrc == ssrc;
}

/* All with one SSRC stand in one chain: sa is found in it without the hash. */
bool table_has_company(const struct table *table, const struct sa *sa, uint32_t ssrc)
{
    const struct sa_link *link = NULL;
    uint32_t ref;

    for (unsigned i = 0; i < sa->stream_count; i++) {
        if (sa->stream[i].ssrc == ssrc)
            link = &sa->stream[i].by_ssrc;
    }
    if (!link)
        return true;
    for (ref = link->next; ref; ref = next_of(table, INDEX_SSRC, ref)) {
        if (is_of(table, ref, sa->side, ssrc))
            return true;
    }
    for (ref = link->previous; !(ref & ref_bucket);
         ref = link_of(table, INDEX_SSRC, ref)->previous) {
        if (is_of(table, ref, sa->side, ssrc))
            return true;
    }
    return false;
}

/* The one of those alike that would have to go for sa, if there are too many of them. */
static struct sa *crowd(struct table *table, const struct sa *sa, const struct addr *source,
                        uint32_t ssrc)
{
    struct sa *other = NULL, *oldest = NULL, *own_oldest = NULL;
    unsigned count = 0, own = 0;

    while ((other = table_by_stream(table, sa->side, source, ssrc, other))) {
        if (other == sa)
            continue;
        count++;
        oldest = other;
        if (other->owner == sa->owner) {
            own++;
            own_oldest = other;
        }
    }
    if (own >= TABLE_ALIKE_OWN)
        return own_oldest;
    return count >= TABLE_ALIKE_MAX ? oldest : NULL;
}

static struct sa *source_conflict(struct table *table, const struct sa *sa,
                                  const struct addr *source)
{
    struct sa *other = NULL;

    for (unsigned i = 0; source->family && i < sa->stream_count && !other; i++)
        other = crowd(table, sa, source, sa->stream[i].ssrc);
    return other;
}

bool table_is_crowded(struct table *table, const struct sa *sa, const struct addr *source)
{
    return source_conflict(table, sa, source) != NULL;
}

struct sa *table_conflict(struct table *table, const struct sa *sa)
{
    struct sa *other = table_by_id(table, sa->owner, sa->id);

    if (other && other != sa)
        return other;
    other = table_by_label(table, sa->owner, sa->label);
    if (other && other != sa)
        return other;
    other = source_conflict(table, sa, &sa->source.rtp);
    if (!other && !sa->source.mux)
        other = source_conflict(table, sa, &sa->source.rtcp);
    return other;
}

static struct sa *twin_at(struct table *table, const struct sa *sa, const struct addr *source,
                          uint32_t ssrc, bool any_owner)
{
    struct sa *other = NULL;

    if (!source->family)
        return NULL;
    while ((other = table_by_stream(table, sa->side, source, ssrc, other))) {
        if (other != sa && (any_owner || other->owner == sa->owner) && other->srtp &&
            srtp_session_one_key(other->srtp, sa->srtp))
            return other;
    }
    return NULL;
}

struct sa *table_twin(struct table *table, const struct sa *sa, bool any_owner)
{
    struct sa *other = NULL;

    for (unsigned i = 0; sa->srtp && i < sa->stream_count && !other; i++) {
        other = twin_at(table, sa, &sa->source.rtp, sa->stream[i].ssrc, any_owner);
        if (!other && !sa->source.mux)
            other = twin_at(table, sa, &sa->source.rtcp, sa->stream[i].ssrc, any_owner);
    }
    return other;
}

/* ------------------------------------------------------------ in and out */

static void link_stream(struct table *table, struct sa *sa, uint32_t ref)
{
    struct sa_stream *stream = stream_of(table, ref);

    if (!stream->by_ssrc.previous)
        link_in(table, INDEX_SSRC, bucket_number(table, INDEX_SSRC, sa->side, stream->ssrc), ref);
    if (sa->source.rtp.family && !stream->by_source[0].previous)
        link_in(table, INDEX_STREAM, bucket_stream(table, sa->side, &sa->source.rtp, stream->ssrc),
                ref);
    if (has_own_rtcp(sa) && !stream->by_source[1].previous)
        link_in(table, INDEX_STREAM, bucket_stream(table, sa->side, &sa->source.rtcp, stream->ssrc),
                ref | REF_RTCP);
}

static void link_streams(struct table *table, struct sa *sa)
{
    for (unsigned i = 0; i < sa->stream_count; i++)
        link_stream(table, sa, sa->slot * REF_SLOT + i * REF_STREAM);
}

void table_streams_added(struct table *table, struct sa *sa)
{
    link_streams(table, sa);
    candidates_update(table->candidates, sa);
}

static void unlink_stream(struct table *table, struct sa_stream *stream)
{
    link_out(table, INDEX_STREAM, &stream->by_source[0]);
    link_out(table, INDEX_STREAM, &stream->by_source[1]);
    link_out(table, INDEX_SSRC, &stream->by_ssrc);
}

/* Do as many SAs as may be have this SSRC where sa is? */
static bool is_common(struct table *table, const struct sa *sa, uint32_t ssrc)
{
    return (sa->source.rtp.family && crowd(table, sa, &sa->source.rtp, ssrc)) ||
           (has_own_rtcp(sa) && crowd(table, sa, &sa->source.rtcp, ssrc));
}

struct sa_stream *table_learn_ssrc(struct table *table, struct sa *sa, uint32_t ssrc)
{
    struct sa_stream *stream;

    if (is_common(table, sa, ssrc))
        return NULL;
    if (sa->stream_count < SA_SSRC_MAX) {
        if (sa_stream_add(sa, ssrc, SSRC_ORIGIN_LEARNED) < 0)
            return NULL;
        stream = &sa->stream[sa->stream_count - 1];
    } else {
        stream = &sa->stream[sa->oldest_stream];
        sa->oldest_stream = (uint8_t)((sa->oldest_stream + 1) % SA_SSRC_MAX);
        unlink_stream(table, stream);
        *stream = (struct sa_stream){.ssrc = ssrc, .origin = SSRC_ORIGIN_LEARNED};
    }
    table_streams_added(table, sa);
    return stream;
}

/* Mux or no mux, the RTCP address of an SA may be its RTP address for a while: both are linked
 * anew. */
static void unlink_sources(struct table *table, struct sa *sa)
{
    for (int rtcp = 0; rtcp < 2; rtcp++) {
        unlink_source(table, sa, rtcp);
        for (unsigned i = 0; i < sa->stream_count; i++)
            link_out(table, INDEX_STREAM, &sa->stream[i].by_source[rtcp]);
    }
}

static void link_sources(struct table *table, struct sa *sa)
{
    uint32_t ref = sa->slot * REF_SLOT;

    if (sa->source.rtp.family)
        link_source(table, ref);
    if (has_own_rtcp(sa))
        link_source(table, ref | REF_RTCP);
    link_streams(table, sa);
}

void table_move_source(struct table *table, struct sa *sa, bool rtcp, const struct addr *source)
{
    unlink_sources(table, sa);
    *(rtcp ? &sa->source.rtcp : &sa->source.rtp) = *source;
    link_sources(table, sa);
    candidates_update(table->candidates, sa);
}

void table_change_begin(struct table *table, struct sa *sa)
{
    unlink_sources(table, sa);
    for (unsigned i = 0; i < sa->stream_count; i++)
        link_out(table, INDEX_SSRC, &sa->stream[i].by_ssrc);
    *primes_of(table, sa->side) -= sa->encap_in == SA_ENCAP_RTP_PRIME;
}

void table_change_end(struct table *table, struct sa *sa)
{
    *primes_of(table, sa->side) += sa->encap_in == SA_ENCAP_RTP_PRIME;
    link_sources(table, sa);
    candidates_update(table->candidates, sa);
}

static void take_slot(struct table *table, struct sa *sa)
{
    sa->slot = table->spare_count ? table->spare[--table->spare_count] : table->used++;
    table->slot[sa->slot] = sa;
    sa->entered = ++table->entered;
}

static void give_slot(struct table *table, struct sa *sa)
{
    table->slot[sa->slot] = NULL;
    table->spare[table->spare_count++] = sa->slot;
    sa->slot = 0;
}

int table_insert(struct table *table, struct sa *sa)
{
    uint32_t ref;
    int result;

    if (table->count >= table->max)
        return ERR_FULL;
    if (sa->owner >= OWNERS_MAX)
        return ERR_RANGE;
    if (table_conflict(table, sa))
        return ERR_EXISTS;
    result = candidates_add(table->candidates, sa);
    if (result < 0)
        return result;
    *primes_of(table, sa->side) += sa->encap_in == SA_ENCAP_RTP_PRIME;
    take_slot(table, sa);
    ref = sa->slot * REF_SLOT;
    link_in(table, INDEX_ID, bucket_number(table, INDEX_ID, sa->owner, sa->id), ref);
    link_in(table, INDEX_LABEL, bucket_number(table, INDEX_LABEL, sa->owner, sa->label), ref);
    link_sources(table, sa);
    table->count++;
    table->owned[sa->owner]++;
    return 0;
}

void table_remove(struct table *table, struct sa *sa)
{
    if (!sa->slot)
        return;
    link_out(table, INDEX_ID, &sa->by_id);
    link_out(table, INDEX_LABEL, &sa->by_label);
    unlink_sources(table, sa);
    for (unsigned i = 0; i < sa->stream_count; i++)
        link_out(table, INDEX_SSRC, &sa->stream[i].by_ssrc);
    candidates_remove(table->candidates, sa);
    *primes_of(table, sa->side) -= sa->encap_in == SA_ENCAP_RTP_PRIME;
    give_slot(table, sa);
    table->count--;
    table->owned[sa->owner]--;
}

/* ------------------------------------------------------------ finding */

struct sa *table_by_id(struct table *table, unsigned owner, uint64_t id)
{
    for (uint32_t ref = *bucket_number(table, INDEX_ID, owner, id); ref;
         ref = next_of(table, INDEX_ID, ref)) {
        struct sa *sa = sa_of(table, ref);

        if (sa->id == id && sa->owner == owner)
            return sa;
    }
    return NULL;
}

static struct sa *find_label(const struct table *table, uint32_t ref, unsigned owner,
                             uint32_t label)
{
    for (; ref; ref = next_of(table, INDEX_LABEL, ref)) {
        struct sa *sa = sa_of(table, ref);

        if (sa->label == label && sa->owner == owner)
            return sa;
    }
    return NULL;
}

struct sa *table_by_label(struct table *table, unsigned owner, uint32_t label)
{
    return find_label(table, *bucket_number(table, INDEX_LABEL, owner, label), owner, label);
}

/* One alone is found whatever the SSRC. */
static struct sa *find_alone(struct table *table, enum sa_side side, const struct addr *source)
{
    uint32_t first = first_with_source(table, *bucket_source(table, side, source), side, source);

    return first && !*second_of(table, first) ? sa_of(table, first) : NULL;
}

struct sa *table_by_source(struct table *table, enum sa_side side, const struct addr *source,
                           uint32_t ssrc)
{
    struct sa *sa = table_by_stream(table, side, source, ssrc, NULL);

    return sa ? sa : find_alone(table, side, source);
}

/* Each loop fetches what the next one reads: bucket, slot, SA, stream. */
static void prefetch_lookups(const struct table *table, const struct table_lookup *lookups,
                             size_t count)
{
    for (size_t i = 0; i < count; i++)
        __builtin_prefetch(&table->slot[*lookups[i].bucket / REF_SLOT]);
    for (size_t i = 0; i < count; i++) {
        if (*lookups[i].bucket)
            sa_prefetch(sa_of(table, *lookups[i].bucket));
    }
    for (size_t i = 0; i < count; i++) {
        /* By its label an SA is found before it has an SSRC. */
        if (*lookups[i].bucket && sa_of(table, *lookups[i].bucket)->stream_count > 0)
            __builtin_prefetch(stream_of(table, *lookups[i].bucket));
    }
}

void table_by_sources(struct table *table, enum sa_side side, struct table_lookup *lookups,
                      size_t count)
{
    static const uint32_t none;

    for (size_t i = 0; i < count; i++) {
        struct table_lookup *at = &lookups[i];

        at->bucket = at->source ? bucket_stream(table, side, at->source, at->ssrc) : &none;
        __builtin_prefetch(at->bucket);
    }
    prefetch_lookups(table, lookups, count);
    for (size_t i = 0; i < count; i++) {
        struct table_lookup *at = &lookups[i];

        at->sa = find_in_chain(table, *at->bucket, side, at->source, at->ssrc);
        if (at->source && !at->sa && !at->exact)
            at->sa = find_alone(table, side, at->source);
    }
}

void table_by_labels(struct table *table, unsigned owner, struct table_lookup *lookups,
                     size_t count)
{
    for (size_t i = 0; i < count; i++) {
        lookups[i].bucket = bucket_number(table, INDEX_LABEL, owner, lookups[i].ssrc);
        __builtin_prefetch(lookups[i].bucket);
    }
    prefetch_lookups(table, lookups, count);
    for (size_t i = 0; i < count; i++)
        lookups[i].sa = find_label(table, *lookups[i].bucket, owner, lookups[i].ssrc);
}

void table_count_verdicts(struct table *table, unsigned owner, const uint32_t *labels, size_t count,
                          enum verdict verdict, struct gate_pass *pass)
{
    enum { GROUP = 8 };

    for (size_t at = 0; at < count; at += GROUP) {
        struct table_lookup lookups[GROUP];
        size_t some = count - at < GROUP ? count - at : GROUP;

        for (size_t i = 0; i < some; i++)
            lookups[i].ssrc = labels[at + i];
        table_by_labels(table, owner, lookups, some);
        for (size_t i = 0; i < some; i++) {
            if (!lookups[i].sa)
                continue;
            hold_take(lookups[i].sa, pass);
            verify_count(lookups[i].sa, verdict);
            hold_give(lookups[i].sa, pass);
        }
    }
}

static struct sa *find_source(struct table *table, enum sa_side side, const struct addr *source,
                              const struct sa *other_than)
{
    uint32_t ref = first_with_source(table, *bucket_source(table, side, source), side, source);

    if (ref && sa_of(table, ref) == other_than)
        ref = *second_of(table, ref);
    return ref ? sa_of(table, ref) : NULL;
}

struct sa *table_at_source(struct table *table, enum sa_side side, const struct addr *source)
{
    return find_source(table, side, source, NULL);
}

struct sa *table_shares_source(struct table *table, const struct sa *sa, bool rtcp)
{
    if (rtcp ? !has_own_rtcp(sa) : !sa->source.rtp.family)
        return NULL;
    return find_source(table, sa->side, rtcp ? &sa->source.rtcp : &sa->source.rtp, sa);
}

struct sa *table_by_ssrc(struct table *table, enum sa_side side, uint32_t ssrc, struct sa *after)
{
    const struct sa_stream *last = after ? sa_stream(after, ssrc) : NULL;
    uint32_t ref = 0;

    if (!after)
        ref = *bucket_number(table, INDEX_SSRC, side, ssrc);
    else if (last)
        ref = last->by_ssrc.next;
    for (; ref; ref = next_of(table, INDEX_SSRC, ref)) {
        if (sa_of(table, ref)->side == side && stream_of(table, ref)->ssrc == ssrc)
            return sa_of(table, ref);
    }
    return NULL;
}

/* ------------------------------------------------------------ walking */

void table_walk_begin(const struct table *table, struct table_walk *walk)
{
    walk->left = table->used;
}

struct sa *table_walk_next(const struct table *table, struct table_walk *walk)
{
    struct sa *sa = NULL;

    while (!sa && walk->left)
        sa = table->slot[--walk->left];
    return sa;
}

void table_each(struct table *table, void (*each)(void *ctx, struct sa *sa), void *ctx)
{
    struct table_walk walk;
    struct sa *sa;

    table_walk_begin(table, &walk);
    while ((sa = table_walk_next(table, &walk)))
        each(ctx, sa);
}
