#include "config.h"

#include "inner-relay/ngcache.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"

static struct addr from(unsigned host, uint16_t port)
{
    uint8_t ip[4] = {10, 0, (uint8_t)(host >> 8), (uint8_t)host};

    return addr_from_ip4(ip, port);
}

/* request is "COOKIE rest". */
static struct ngcache_key key_of(unsigned socket, unsigned host, uint16_t port, const char *request)
{
    return (struct ngcache_key){.socket = socket,
                                .from = from(host, port),
                                .cookie_length = strcspn(request, " "),
                                .request = request,
                                .length = strlen(request)};
}

static void put(struct ngcache *cache, const char *request, const char *reply, uint64_t now_us)
{
    struct ngcache_key key = key_of(0, 1, 1, request);

    ngcache_put(cache, &key, reply, strlen(reply), now_us);
}

/* NULL, or the reply. */
static const char *find(struct ngcache *cache, const struct ngcache_key *key, uint64_t now_us)
{
    static char text[64];
    size_t length;
    const char *reply = ngcache_find(cache, key, now_us, &length);

    if (!reply)
        return NULL;
    ck_assert_uint_lt(length, sizeof(text));
    memcpy(text, reply, length);
    text[length] = '\0';
    return text;
}

/* Each part of the key counts. */
START_TEST(test_key)
{
    struct ngcache *cache = ngcache_new();
    static const struct {
        unsigned socket, host;
        uint16_t port;
        const char *request;
        const char *reply;
    } rows[] = {
        {0, 1, 1, "c1 one", "first"}, {1, 1, 1, "c1 one", NULL}, {0, 2, 1, "c1 one", NULL},
        {0, 1, 2, "c1 one", NULL},    {0, 1, 1, "c2 one", NULL}, {0, 1, 1, "c1 two", NULL},
        {0, 1, 1, "c1one", NULL},
    };

    put(cache, "c1 one", "first", 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ngcache_key key =
            key_of(rows[i].socket, rows[i].host, rows[i].port, rows[i].request);
        const char *reply = find(cache, &key, 1);

        ck_assert_int_eq(reply != NULL, rows[i].reply != NULL);
        if (reply)
            ck_assert_str_eq(reply, rows[i].reply);
    }
    ngcache_free(cache);
}
END_TEST

START_TEST(test_time)
{
    struct ngcache *cache = ngcache_new();
    struct ngcache_key key = key_of(0, 1, 1, "c one");
    size_t octets;

    put(cache, "c one", "first", 1000);
    ck_assert_ptr_nonnull(find(cache, &key, 1000 + NGCACHE_KEEP_US));
    ck_assert_ptr_null(find(cache, &key, 1001 + NGCACHE_KEEP_US));
    ck_assert_uint_eq(ngcache_count(cache, NULL), 1);
    ck_assert(!ngcache_work(cache, 1000 + NGCACHE_KEEP_US));
    ck_assert_uint_eq(ngcache_count(cache, NULL), 1);
    ck_assert(!ngcache_work(cache, 1001 + NGCACHE_KEEP_US));
    ck_assert_uint_eq(ngcache_count(cache, &octets), 0);
    ck_assert_uint_eq(octets, 0);
    ngcache_free(cache);
}
END_TEST

/* In pieces, and to the last one that is too old. */
START_TEST(test_pieces)
{
    struct ngcache *cache = ngcache_new();
    char request[32];
    unsigned pieces = 1;

    for (int i = 0; i < 1001; i++) {
        snprintf(request, sizeof(request), "c%d one", i);
        put(cache, request, "reply", i < 1000 ? 0 : 1);
    }
    while (ngcache_work(cache, 1 + NGCACHE_KEEP_US))
        pieces++;
    ck_assert_uint_gt(pieces, 10);
    ck_assert_uint_eq(ngcache_count(cache, NULL), 1);
    ngcache_free(cache);
}
END_TEST

/* Whatever comes, there are not more than so many; the youngest ones are there. */
START_TEST(test_number)
{
    struct ngcache *cache = ngcache_new();
    char request[32], reply[32];

    for (unsigned i = 0; i < 3 * NGCACHE_REPLIES_MAX; i++) {
        snprintf(request, sizeof(request), "c%u body", i);
        snprintf(reply, sizeof(reply), "r%u", i);
        put(cache, request, reply, i);
        ck_assert_uint_le(ngcache_count(cache, NULL), NGCACHE_REPLIES_MAX);
    }
    ck_assert_uint_eq(ngcache_count(cache, NULL), NGCACHE_REPLIES_MAX);
    for (unsigned i = 0; i < 3 * NGCACHE_REPLIES_MAX; i++) {
        struct ngcache_key key;
        const char *found;

        snprintf(request, sizeof(request), "c%u body", i);
        snprintf(reply, sizeof(reply), "r%u", i);
        key = key_of(0, 1, 1, request);
        found = find(cache, &key, 3 * NGCACHE_REPLIES_MAX);
        ck_assert_int_eq(found != NULL, i >= 2 * NGCACHE_REPLIES_MAX);
        if (found)
            ck_assert_str_eq(found, reply);
    }
    ngcache_free(cache);
}
END_TEST

START_TEST(test_octets)
{
    struct ngcache *cache = ngcache_new();
    static char large[60000];
    char request[32];
    size_t octets;

    for (unsigned i = 0; i < 1000; i++) {
        struct ngcache_key key;

        snprintf(request, sizeof(request), "c%u body", i);
        key = key_of(0, 1, 1, request);
        ngcache_put(cache, &key, large, sizeof(large), 0);
        ck_assert_uint_gt(ngcache_count(cache, &octets), 0);
        ck_assert_uint_le(octets, NGCACHE_OCTETS_MAX);
    }
    ck_assert_uint_gt(octets, NGCACHE_OCTETS_MAX - 2 * sizeof(large));
    ngcache_free(cache);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ngcache");
    TCase *tc = tcase_create("ngcache");

    tcase_add_test(tc, test_key);
    tcase_add_test(tc, test_pieces);
    tcase_add_test(tc, test_time);
    tcase_add_test(tc, test_number);
    tcase_add_test(tc, test_octets);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
