#include "common/sa/table.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/hash.h"

enum { OWNERS_MAX = 256 };

/* A part of the hashed key, so that the same octets hash differently in each index. */
enum index_kind { INDEX_ID, INDEX_LABEL, INDEX_SOURCE, INDEX_STREAM, INDEX_COUNT };

struct table {
    size_t max, count;
    size_t mask; /* buckets - 1 */
    struct hash_key key;
    struct sa_link **bucket[INDEX_COUNT];
    size_t owned[OWNERS_MAX];
    struct sa *last; /* inserted; the others by before */
};

struct table *table_new(size_t max)
{
    struct table *table = calloc(1, sizeof(*table));
    size_t buckets = 16;

    if (!table)
        return NULL;
    while (buckets < max)
        buckets *= 2;
    table->max = max;
    table->mask = buckets - 1;
    table->key = hash_key_random();
    for (int i = 0; i < INDEX_COUNT; i++) {
        table->bucket[i] = calloc(buckets, sizeof(*table->bucket[i]));
        if (!table->bucket[i]) {
            table_free(table);
            return NULL;
        }
    }
    return table;
}

static void free_one(void *ctx, struct sa *sa)
{
    table_remove(ctx, sa);
    sa_free(sa);
}

void table_free(struct table *table)
{
    if (!table)
        return;
    table_each(table, free_one, table);
    for (int i = 0; i < INDEX_COUNT; i++)
        free(table->bucket[i]);
    free(table);
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

static struct sa_link **bucket_of(struct table *table, enum index_kind kind, const void *key,
                                  size_t length)
{
    return &table->bucket[kind][hash_bytes(&table->key, key, length) & table->mask];
}

static struct sa_link **bucket_number(struct table *table, enum index_kind kind, unsigned owner,
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

static struct sa_link **bucket_source(struct table *table, enum sa_side side,
                                      const struct addr *source)
{
    uint8_t key[SOURCE_OCTETS];

    put_source(key, side, source);
    return bucket_of(table, INDEX_SOURCE, key, sizeof(key));
}

static struct sa_link **bucket_stream(struct table *table, enum sa_side side,
                                      const struct addr *source, uint32_t ssrc)
{
    uint8_t key[SOURCE_OCTETS + sizeof(ssrc)];

    put_source(key, side, source);
    memcpy(key + SOURCE_OCTETS, &ssrc, sizeof(ssrc));
    return bucket_of(table, INDEX_STREAM, key, sizeof(key));
}

static void link_in(struct sa_link **bucket, struct sa_link *link)
{
    link->next = *bucket;
    link->previous = bucket;
    if (link->next)
        link->next->previous = &link->next;
    *bucket = link;
}

static void link_out(struct sa_link *link)
{
    if (!link->previous)
        return;
    *link->previous = link->next;
    if (link->next)
        link->next->previous = link->previous;
    link->previous = NULL;
}

static void list_in(struct table *table, struct sa *sa)
{
    sa->before = table->last;
    sa->after = NULL;
    if (sa->before)
        sa->before->after = sa;
    table->last = sa;
}

static void list_out(struct table *table, struct sa *sa)
{
    if (sa->before)
        sa->before->after = sa->after;
    *(sa->after ? &sa->after->before : &table->last) = sa->before;
    sa->before = sa->after = NULL;
}

/* An SA stands in this index with two addresses: is this link the one of source? */
static bool link_is_source(const struct sa_link *link, enum sa_side side, const struct addr *source)
{
    const struct sa *sa = link->sa;
    const struct addr *addr = link == &sa->by_source_rtp ? &sa->source.rtp : &sa->source.rtcp;

    return sa->side == side && addr_equal(addr, source);
}

static bool has_own_rtcp(const struct sa *sa)
{
    return !sa->source.mux && sa->source.rtcp.family &&
           !addr_equal(&sa->source.rtcp, &sa->source.rtp);
}

/* The SA, other than that one, whose sender sends this SSRC from source. */
static struct sa *find_stream(struct table *table, enum sa_side side, const struct addr *source,
                              uint32_t ssrc, const struct sa *other_than)
{
    for (struct sa_link *l = *bucket_stream(table, side, source, ssrc); l; l = l->next) {
        struct sa *sa = l->sa;

        if (sa != other_than && sa->side == side && sa_stream(sa, ssrc) &&
            (addr_equal(&sa->source.rtp, source) ||
             (has_own_rtcp(sa) && addr_equal(&sa->source.rtcp, source))))
            return sa;
    }
    return NULL;
}

static struct sa *source_conflict(struct table *table, const struct sa *sa,
                                  const struct addr *source)
{
    struct sa *other = NULL;

    for (unsigned i = 0; source->family && i < sa->stream_count && !other; i++)
        other = find_stream(table, sa->side, source, sa->stream[i].ssrc, sa);
    return other;
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

static void link_stream(struct table *table, struct sa *sa, unsigned number, bool rtcp)
{
    const struct addr *source = rtcp ? &sa->source.rtcp : &sa->source.rtp;
    struct sa_link *link = &sa->by_stream[rtcp][number];

    if (!link->previous)
        link_in(bucket_stream(table, sa->side, source, sa->stream[number].ssrc), link);
}

void table_streams_added(struct table *table, struct sa *sa)
{
    for (unsigned i = 0; i < sa->stream_count; i++) {
        if (sa->source.rtp.family)
            link_stream(table, sa, i, false);
        if (has_own_rtcp(sa))
            link_stream(table, sa, i, true);
    }
}

int table_insert(struct table *table, struct sa *sa)
{
    if (table->count >= table->max)
        return ERR_FULL;
    if (sa->owner >= OWNERS_MAX)
        return ERR_RANGE;
    if (table_conflict(table, sa))
        return ERR_EXISTS;
    link_in(bucket_number(table, INDEX_ID, sa->owner, sa->id), &sa->by_id);
    link_in(bucket_number(table, INDEX_LABEL, sa->owner, sa->label), &sa->by_label);
    if (sa->source.rtp.family)
        link_in(bucket_source(table, sa->side, &sa->source.rtp), &sa->by_source_rtp);
    if (has_own_rtcp(sa))
        link_in(bucket_source(table, sa->side, &sa->source.rtcp), &sa->by_source_rtcp);
    for (unsigned i = 0; i < SA_SSRC_MAX; i++)
        sa->by_stream[0][i] = sa->by_stream[1][i] = (struct sa_link){.sa = sa};
    table_streams_added(table, sa);
    list_in(table, sa);
    table->count++;
    table->owned[sa->owner]++;
    return 0;
}

void table_remove(struct table *table, struct sa *sa)
{
    if (!sa->by_id.previous)
        return;
    link_out(&sa->by_id);
    link_out(&sa->by_label);
    link_out(&sa->by_source_rtp);
    link_out(&sa->by_source_rtcp);
    for (unsigned i = 0; i < SA_SSRC_MAX; i++) {
        link_out(&sa->by_stream[0][i]);
        link_out(&sa->by_stream[1][i]);
    }
    list_out(table, sa);
    table->count--;
    table->owned[sa->owner]--;
}

struct sa *table_by_id(struct table *table, unsigned owner, uint64_t id)
{
    for (struct sa_link *l = *bucket_number(table, INDEX_ID, owner, id); l; l = l->next) {
        if (l->sa->id == id && l->sa->owner == owner)
            return l->sa;
    }
    return NULL;
}

struct sa *table_by_label(struct table *table, unsigned owner, uint32_t label)
{
    for (struct sa_link *l = *bucket_number(table, INDEX_LABEL, owner, label); l; l = l->next) {
        if (l->sa->label == label && l->sa->owner == owner)
            return l->sa;
    }
    return NULL;
}

struct sa *table_by_source(struct table *table, enum sa_side side, const struct addr *source,
                           uint32_t ssrc)
{
    struct sa *sa = find_stream(table, side, source, ssrc, NULL), *only = NULL;

    if (sa)
        return sa;
    /* All calls of a gateway may come from one port: the second is the end of the search. */
    for (struct sa_link *l = *bucket_source(table, side, source); l; l = l->next) {
        if (!link_is_source(l, side, source))
            continue;
        if (only)
            return NULL;
        only = l->sa;
    }
    return only;
}

void table_each(struct table *table, void (*each)(void *ctx, struct sa *sa), void *ctx)
{
    struct sa *before;

    for (struct sa *sa = table->last; sa; sa = before) {
        before = sa->before;
        each(ctx, sa);
    }
}
