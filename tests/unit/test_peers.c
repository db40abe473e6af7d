#include "common/net/peers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "tests/unit/sample.h"
#include "tests/unit/unit.h"

static const struct {
    const char *name, *addr;
    int result;
} added[] = {
    {"four", "203.0.113.20:5004", 0},
    {"six", "[2001:db8::20]:5004", 0},
    {"second port", "203.0.113.20:5006", 0},
    {"last port", "203.0.113.21:65534", 0},
    {"no port for RTCP", "203.0.113.22:65535", ERR_INVALID},
    {"the same", "203.0.113.20:5004", ERR_EXISTS},
    {"RTP where another has RTCP", "203.0.113.20:5005", ERR_EXISTS},
    {"RTCP where another has RTP", "203.0.113.20:5003", ERR_EXISTS},
    {"below both", "203.0.113.20:5002", 0},
    {"mapped, the same", "[::ffff:203.0.113.20]:5004", ERR_EXISTS},
};
enum { ADDED = sizeof(added) / sizeof(added[0]) };

static struct peers *make_peers(void)
{
    struct peers *peers = calloc(1, sizeof(*peers));

    ck_assert_ptr_nonnull(peers);
    for (size_t i = 0; i < ADDED; i++) {
        struct addr rtp = sample_addr(added[i].addr);

        ck_assert_msg(peers_add(peers, added[i].name, &rtp) == added[i].result, "%s",
                      added[i].name);
    }
    return peers;
}

/* name NULL: nobody's. */
static const struct {
    const char *addr, *name;
} found[] = {
    {"203.0.113.20:5004", "four"},
    {"203.0.113.20:5005", "four"},
    {"203.0.113.20:5006", "second port"},
    {"203.0.113.20:5007", "second port"},
    {"203.0.113.20:5008", NULL},
    {"203.0.113.20:5001", NULL},
    {"203.0.113.20:5002", "below both"},
    {"203.0.113.20:5003", "below both"},
    {"203.0.113.20:1", NULL},
    {"203.0.113.21:65534", "last port"},
    {"203.0.113.21:65535", "last port"},
    {"203.0.113.21:1", NULL},
    {"203.0.113.22:65535", NULL},
    {"203.0.113.21:5004", NULL},
    {"[::ffff:203.0.113.20]:5004", "four"},
    {"[2001:db8::20]:5004", "six"},
    {"[2001:db8::20]:5005", "six"},
    {"[2001:db8::21]:5004", NULL},
    {"[2001:db8:0:1::20]:5004", NULL},
    /* IPv6 with the four octets of an IPv4 peer in front is another host. */
    {"[cb00:7114::]:5004", NULL},
};

START_TEST(test_find)
{
    struct peers *peers = make_peers();
    struct addr source = sample_addr(found[_i].addr);
    const struct peer *peer = peers_find(peers, &source);

    if (found[_i].name)
        ck_assert_msg(peer && strcmp(peer->name, found[_i].name) == 0, "%s", found[_i].addr);
    else
        ck_assert_msg(!peer, "%s: %s", found[_i].addr, peer->name);
    free(peers);
}
END_TEST

START_TEST(test_nothing)
{
    struct peers *peers = calloc(1, sizeof(*peers));
    struct addr none = {0}, some = sample_addr("203.0.113.20:5004");

    ck_assert_ptr_nonnull(peers);
    ck_assert_ptr_null(peers_find(peers, &none));
    ck_assert_ptr_null(peers_find(peers, &some));
    ck_assert_ptr_null(peers_by_name(peers, ""));
    ck_assert_int_eq(peers_add(peers, "none", &none), ERR_INVALID);
    some.port = 0;
    ck_assert_int_eq(peers_add(peers, "no port", &some), ERR_INVALID);
    ck_assert_uint_eq(peers->count, 0);
    free(peers);
}
END_TEST

START_TEST(test_by_name)
{
    struct peers *peers = make_peers();

    ck_assert_ptr_eq(peers_by_name(peers, "six"), &peers->peer[1]);
    ck_assert_ptr_null(peers_by_name(peers, "Six"));
    ck_assert_ptr_null(peers_by_name(peers, "the same"));
    free(peers);
}
END_TEST

/* As many as there can be, at neighbouring addresses: each is found, and nothing between them. */
START_TEST(test_full)
{
    struct peers *peers = calloc(1, sizeof(*peers));
    struct addr addr = sample_addr("10.0.0.0:5004");
    char name[NAME_SIZE];

    ck_assert_ptr_nonnull(peers);
    for (unsigned i = 0; i < PEERS_ALL_MAX; i++) {
        addr.ip[3] = (uint8_t)(2 * i);
        snprintf(name, sizeof(name), "peer-%u", i);
        ck_assert_int_eq(peers_add(peers, name, &addr), 0);
    }
    addr.ip[3] = 1;
    ck_assert_int_eq(peers_add(peers, "one more", &addr), ERR_FULL);
    for (unsigned i = 0; i < 256; i++) {
        const struct peer *peer;

        addr.ip[3] = (uint8_t)i;
        peer = peers_find(peers, &addr);
        ck_assert(i % 2 == 0 && i < 2 * PEERS_ALL_MAX ? peer == &peers->peer[i / 2] : !peer);
    }
    free(peers);
}
END_TEST

START_TEST(test_fill_rules)
{
    struct peers *peers = make_peers();
    struct target_rules rules = {.peer_count = 3};

    peers_fill_rules(peers, &rules);
    ck_assert_uint_eq(rules.peer_count, peers->count);
    for (size_t i = 0; i < peers->count; i++)
        ck_assert(addr_equal(&rules.peer[i], &peers->peer[i].rtp));
    memset(peers, 0, sizeof(*peers));
    peers_fill_rules(peers, &rules);
    ck_assert_uint_eq(rules.peer_count, 0);
    free(peers);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("peers");
    TCase *tc = tcase_create("peers");

    suite_add_tcase(suite, tc);
    tcase_add_loop_test(tc, test_find, 0, sizeof(found) / sizeof(found[0]));
    tcase_add_test(tc, test_nothing);
    tcase_add_test(tc, test_by_name);
    tcase_add_test(tc, test_full);
    tcase_add_test(tc, test_fill_rules);
    return unit_run(suite);
}
