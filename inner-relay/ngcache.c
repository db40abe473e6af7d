#include "inner-relay/ngcache.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/hash.h"
#include "common/base/random.h"

enum { BUCKETS = NGCACHE_REPLIES_MAX, NONE = -1, FORGET_MAX = 64 };

/* In a ring, by age; in a chain with others of its bucket. */
struct entry {
    struct addr from;
    unsigned socket;
    size_t cookie_length;
    uint64_t print; /* of the whole request, cookie included */
    uint64_t put_us;
    char *octets; /* the cookie, then the reply */
    size_t length;
    int next;
};

struct ngcache {
    struct hash_key key;
    int bucket[BUCKETS];
    struct entry ring[NGCACHE_REPLIES_MAX];
    size_t first, count, octets;
};

struct ngcache *ngcache_new(void)
{
    struct ngcache *cache = calloc(1, sizeof(*cache));

    if (!cache)
        return NULL;
    cache->key = hash_key_random();
    for (size_t i = 0; i < BUCKETS; i++)
        cache->bucket[i] = NONE;
    return cache;
}

static int *bucket_of(struct ngcache *cache, uint64_t print)
{
    return &cache->bucket[print % BUCKETS];
}

static void forget_oldest(struct ngcache *cache)
{
    struct entry *entry = &cache->ring[cache->first];
    int *link = bucket_of(cache, entry->print);

    while (*link != (int)cache->first)
        link = &cache->ring[*link].next;
    *link = entry->next;
    wipe(entry->octets, entry->length);
    free(entry->octets);
    cache->octets -= entry->length;
    cache->first = (cache->first + 1) % NGCACHE_REPLIES_MAX;
    cache->count--;
}

void ngcache_free(struct ngcache *cache)
{
    while (cache && cache->count > 0)
        forget_oldest(cache);
    free(cache);
}

static bool oldest_is_over(const struct ngcache *cache, uint64_t now_us)
{
    return cache->count > 0 && now_us - cache->ring[cache->first].put_us > NGCACHE_KEEP_US;
}

bool ngcache_work(struct ngcache *cache, uint64_t now_us)
{
    for (unsigned i = 0; i < FORGET_MAX && oldest_is_over(cache, now_us); i++)
        forget_oldest(cache);
    return oldest_is_over(cache, now_us);
}

static bool entry_is(const struct entry *entry, const struct ngcache_key *key, uint64_t print)
{
    return entry->print == print && entry->socket == key->socket &&
           addr_equal(&entry->from, &key->from) && entry->cookie_length == key->cookie_length &&
           memcmp(entry->octets, key->request, key->cookie_length) == 0;
}

const char *ngcache_find(struct ngcache *cache, const struct ngcache_key *key, uint64_t now_us,
                         size_t *length)
{
    uint64_t print = hash_bytes(&cache->key, key->request, key->length);

    for (int i = *bucket_of(cache, print); i != NONE; i = cache->ring[i].next) {
        const struct entry *entry = &cache->ring[i];

        if (!entry_is(entry, key, print) || now_us - entry->put_us > NGCACHE_KEEP_US)
            continue;
        *length = entry->length - entry->cookie_length;
        return entry->octets + entry->cookie_length;
    }
    return NULL;
}

void ngcache_put(struct ngcache *cache, const struct ngcache_key *key, const char *reply,
                 size_t length, uint64_t now_us)
{
    size_t all = key->cookie_length + length, at;
    char *octets = malloc(all ? all : 1);
    struct entry *entry;
    int *bucket;

    (void)ngcache_work(cache, now_us);
    if (!octets)
        return;
    while (cache->count > 0 &&
           (cache->count == NGCACHE_REPLIES_MAX || cache->octets + all > NGCACHE_OCTETS_MAX))
        forget_oldest(cache);
    memcpy(octets, key->request, key->cookie_length);
    memcpy(octets + key->cookie_length, reply, length);
    at = (cache->first + cache->count) % NGCACHE_REPLIES_MAX;
    entry = &cache->ring[at];
    *entry = (struct entry){.from = key->from,
                            .socket = key->socket,
                            .cookie_length = key->cookie_length,
                            .print = hash_bytes(&cache->key, key->request, key->length),
                            .put_us = now_us,
                            .octets = octets,
                            .length = all};
    bucket = bucket_of(cache, entry->print);
    entry->next = *bucket;
    *bucket = (int)at;
    cache->count++;
    cache->octets += all;
}

size_t ngcache_count(const struct ngcache *cache, size_t *octets)
{
    if (octets)
        *octets = cache->octets;
    return cache->count;
}
