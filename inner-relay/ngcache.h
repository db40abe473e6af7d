/*
 * Replies of the ng protocol that were given a short time ago: a proxy that missed one sends its
 * request again, which must not be carried out twice. Known by where it came from, its cookie and
 * its octets: two proxies may use one cookie. Bounded in number, octets and time.
 */
#ifndef INNER_RELAY_NGCACHE_H
#define INNER_RELAY_NGCACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/addr.h"

enum {
    NGCACHE_REPLIES_MAX = 8192,
    NGCACHE_OCTETS_MAX = 16 * 1024 * 1024,
    NGCACHE_KEEP_US = 10 * 1000000,
};

struct ngcache;

struct ngcache *ngcache_new(void);
/* Accepts NULL. Replies are wiped: SDP has keys in it. */
void ngcache_free(struct ngcache *cache);
/* The whole request, its cookie included, and who sent it to which socket. */
struct ngcache_key {
    unsigned socket;
    struct addr from;
    size_t cookie_length;
    const char *request;
    size_t length;
};
/* NULL when there is none; lives until the next call of ngcache_. */
const char *ngcache_find(struct ngcache *cache, const struct ngcache_key *key, uint64_t now_us,
                         size_t *length);
/* Keeps a copy; the oldest ones make room. Without memory it is not kept. */
void ngcache_put(struct ngcache *cache, const struct ngcache_key *key, const char *reply,
                 size_t length, uint64_t now_us);
/* Forgets a few that are too old. True: there are more of them. */
bool ngcache_work(struct ngcache *cache, uint64_t now_us);
/* How many there are, for tests; *octets may be NULL. */
size_t ngcache_count(const struct ngcache *cache, size_t *octets);

#endif
