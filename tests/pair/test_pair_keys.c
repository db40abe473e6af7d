/* What the dmz-relay is given of the keys, what it does with that, and what it cannot do. */
#include <string.h>

#include "common/sa/table.h"
#include "tests/pair/pair.h"
#include "tests/unit/sample.h"
#include "tests/unit/unit.h"

static const enum sa_side EXT = SA_SIDE_EXTERNAL;

/* ------------------------------------------------------------ what the dmz-relay lacks */

static const struct {
    enum wire_view keys;
    uint64_t features;  /* of the dmz-relay */
    const char *reason; /* NULL: the tunnel comes up */
} peers[] = {
    {WIRE_REPLICA_VERIFY_ONLY, 0, "dmz-keys = verify-only needs the evp engine"},
    {WIRE_REPLICA_VERIFY_ONLY, FEATURE_KEYLESS, "dmz-keys = full would do without"},
    {WIRE_REPLICA_VERIFY_ONLY, FEATURE_VERIFY_ONLY, NULL},
    {WIRE_REPLICA_VERIFY_ONLY, UINT64_MAX, NULL},
    {WIRE_REPLICA_FULL, 0, NULL},
    {WIRE_REPLICA_KEYLESS, 0, "dmz-keys = keyless needs a current version"},
    {WIRE_REPLICA_KEYLESS, FEATURE_VERIFY_ONLY, "dmz-keys = full would do without"},
    {WIRE_REPLICA_KEYLESS, FEATURE_KEYLESS, NULL},
};
enum { PEERS = sizeof(peers) / sizeof(peers[0]) };

/* Both sides know why, and no SA has crossed. */
START_TEST(test_features)
{
    struct pair *pair = pair_new_unconnected(1);
    struct pair_tunnel *tunnel;
    struct admit_request request;

    pair->dmz->options.features = peers[_i].features;
    pair->site[0].inner->options.dmz_keys = peers[_i].keys;
    pair_request(&request, EXT, 1);
    (void)pair_admit(pair, 0, &request);
    tunnel = pair_connect(pair, 0);
    pair_run(pair, 50 * PAIR_MS);
    ck_assert_int_eq(tunnel->inner != NULL, peers[_i].reason == NULL);
    ck_assert_int_eq(tunnel->dmz != NULL, peers[_i].reason == NULL);
    ck_assert_uint_eq(table_count(pair->dmz->table), peers[_i].reason ? 0 : 1);
    ck_assert_str_eq(pair->site[0].inner->links[0].peer.engine, "test");
    if (peers[_i].reason) {
        ck_assert(strstr(tunnel->inner_reason, peers[_i].reason));
        ck_assert(strstr(tunnel->dmz_reason, peers[_i].reason));
        ck_assert(strstr(pair->dmz->sites[0].last_error, peers[_i].reason));
        ck_assert_uint_eq(pair->site[0].inner->links[0].changed_us, 0);
    }
    pair_free(pair);
}
END_TEST

/* What an earlier tunnel has put is not held for longer because such a one knocks all the time. */
START_TEST(test_refusal_does_not_hold)
{
    struct pair *pair = pair_new(1);
    struct admit_request request;

    pair->dmz->options.stale_hold_us = 4 * PAIR_SECOND;
    pair_request(&request, EXT, 1);
    (void)pair_admit(pair, 0, &request);
    (void)pair_run_until_synced(pair);
    ck_assert_uint_eq(table_count(pair->dmz->table), 1);
    pair->site[0].inner->options.dmz_keys = WIRE_REPLICA_KEYLESS;
    pair->dmz->options.features = 0;
    pair_reset(pair_tunnel(pair, 0));
    pair_run(pair, 2 * PAIR_SECOND);
    ck_assert_uint_gt(pair->site[0].connects, 10);
    ck_assert_uint_eq(table_count(pair->dmz->table), 1);
    pair_run(pair, 4 * PAIR_SECOND);
    ck_assert_uint_eq(table_count(pair->dmz->table), 0);
    pair_free(pair);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pair keys");
    TCase *tc = tcase_create("features");
    int result;

    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, sample_engine_start, NULL);
    tcase_add_loop_test(tc, test_features, 0, PEERS);
    tcase_add_test(tc, test_refusal_does_not_hold);
    suite_add_tcase(suite, tc);
    result = unit_run(suite);
    sample_engine_stop();
    return result;
}
