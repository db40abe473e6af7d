/* What the dmz-relay is given of the keys, what it does with that, and what it cannot do. */
#include <string.h>

#include "common/sa/table.h"
#include "common/srtp/srtp.h"
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
    {WIRE_REPLICA_VERIFY_ONLY, 0, "dmz-keys = verify-only needs srtp-engine evp"},
    {WIRE_REPLICA_VERIFY_ONLY, FEATURE_KEYLESS, "look there before you give it"},
    {WIRE_REPLICA_VERIFY_ONLY, FEATURE_VERIFY_ONLY, NULL},
    {WIRE_REPLICA_VERIFY_ONLY, UINT64_MAX, NULL},
    {WIRE_REPLICA_FULL, 0, NULL},
    {WIRE_REPLICA_KEYLESS, 0, "dmz-keys = keyless needs a current version"},
    {WIRE_REPLICA_KEYLESS, FEATURE_VERIFY_ONLY, "look there before you give it"},
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

/* ------------------------------------------------------------ who drops what */

static const enum wire_view all_keys[] = {WIRE_REPLICA_VERIFY_ONLY, WIRE_REPLICA_FULL,
                                          WIRE_REPLICA_KEYLESS};
enum { ALL_KEYS = sizeof(all_keys) / sizeof(all_keys[0]), CASES = ALL_KEYS * SUITE_COUNT };

/* Row i: which keys the dmz-relay gets, and the suite. */
static struct pair_sender *call_with(struct pair **pair, int row)
{
    struct admit_request request;

    *pair = pair_new_unconnected(1);
    (*pair)->inner_options.dmz_keys = all_keys[row / SUITE_COUNT];
    (*pair)->site[0].inner->options.dmz_keys = all_keys[row / SUITE_COUNT];
    (*pair)->site[0].reconnect = true;
    pair_request(&request, EXT, (unsigned)(row % SUITE_COUNT));
    return pair_sender_new(*pair, 0, &request);
}

static const struct sa *at_dmz(const struct pair_sender *sender)
{
    return table_by_id(sender->pair->dmz->table, 0, sender->id);
}

static const struct sa *at_inner(const struct pair_sender *sender)
{
    return inner_find_sa(sender->pair->site[0].inner, sender->id);
}

/* The dmz-relay can verify what it should, and has no more of the key than that. */
START_TEST(test_what_is_held)
{
    enum wire_view keys = all_keys[_i / SUITE_COUNT];
    struct pair *pair;
    struct pair_sender *sender = call_with(&pair, _i);
    bool aead = sender->request.suite->aead;
    struct srtp_key key;
    const struct sa *sa;

    (void)pair_run_until_synced(pair);
    pair_expect_one_way(sender);
    sa = at_dmz(sender);
    ck_assert_ptr_eq(sa->suite, sender->request.suite);
    ck_assert_int_eq(sa->srtp == NULL, keys == WIRE_REPLICA_KEYLESS);
    if (keys == WIRE_REPLICA_VERIFY_ONLY && !aead) {
        ck_assert_int_eq(srtp_session_kind(sa->srtp), SRTP_KEY_AUTH);
        ck_assert_int_lt(srtp_session_key(sa->srtp, SRTP_KEY_MASTER, &key), 0);
    } else if (sa->srtp) {
        ck_assert_int_eq(srtp_session_kind(sa->srtp), SRTP_KEY_MASTER);
    }
    ck_assert_int_eq(srtp_session_kind(at_inner(sender)->srtp), SRTP_KEY_MASTER);
    pair_sender_free(sender);
    pair_free(pair);
}
END_TEST

/* What is done to a good packet, RTP or RTCP. */
enum harm { PAYLOAD, TAG, SSRC, NO_ROOM, OTHER_HOST, AGAIN, HARMS };

/* Verdicts with a key at the dmz-relay, and without one; then the inner-relay's, which gets it. */
static const struct {
    enum verdict with, without, inner;
} harms[HARMS] = {
    [PAYLOAD] = {VERDICT_AUTH_FAIL, VERDICT_ACCEPTED, VERDICT_AUTH_FAIL},
    [TAG] = {VERDICT_AUTH_FAIL, VERDICT_ACCEPTED, VERDICT_AUTH_FAIL},
    [SSRC] = {VERDICT_AUTH_FAIL, VERDICT_SSRC_MISMATCH, VERDICT_ACCEPTED},
    [NO_ROOM] = {VERDICT_MALFORMED, VERDICT_MALFORMED, VERDICT_ACCEPTED},
    [OTHER_HOST] = {VERDICT_NO_SA, VERDICT_NO_SA, VERDICT_ACCEPTED},
    [AGAIN] = {VERDICT_REPLAY, VERDICT_ACCEPTED, VERDICT_REPLAY},
};

/* SRTCP ends with its index under an AEAD suite, otherwise with its tag. */
static void harm(struct pair_sender *sender, enum harm how, bool rtcp, struct addr *source)
{
    const struct suite *suite = sender->request.suite;
    size_t header = rtcp ? 8 : 12;

    if (how == PAYLOAD && !rtcp)
        sender->packet[header + 5] ^= 1;
    else if (how == PAYLOAD)
        sender->packet[0] ^= 1; /* the count of reports */
    else if (how == TAG)
        sender->packet[rtcp && suite->aead ? header : sender->length - 1] ^= 0x80;
    else if (how == SSRC)
        sender->packet[header - 1] ^= 1;
    else if (how == NO_ROOM)
        sender->length = header + (rtcp ? suite->rtcp_tag_octets + 4 : suite->rtp_tag_octets) - 1;
    else if (how == OTHER_HOST)
        source->ip[3] ^= 1;
}

static void send_harmed(struct pair_sender *sender, enum harm how, bool rtcp)
{
    struct addr source = rtcp ? sender->request.source.rtcp : sender->request.source.rtp;

    /* The good one first, when it is to come again; otherwise it never arrives. */
    if (how == AGAIN) {
        if (rtcp)
            pair_send_rtcp(sender);
        else
            pair_send_rtp(sender);
    } else if (rtcp) {
        pair_make_rtcp(sender);
    } else {
        pair_make_rtp(sender);
    }
    harm(sender, how, rtcp, &source);
    pair_datagram(sender->pair, EXT, 0, 0, rtcp, &source, sender->packet, sender->length);
    pair_run(sender->pair, 50 * PAIR_MS);
}

/* Each bad packet has one verdict at one relay, or with keyless one at each; none arrives. */
START_TEST(test_harmed_packets)
{
    bool keyless = all_keys[_i / SUITE_COUNT] == WIRE_REPLICA_KEYLESS;
    struct pair *pair;
    struct pair_sender *sender = call_with(&pair, _i);
    const struct verdict_counts *inner = &pair->site[0].inner->links[0].counts;

    (void)pair_run_until_synced(pair);
    pair_expect_one_way(sender);
    for (int how = 0; how < 2 * HARMS; how++) {
        enum verdict dmz = keyless ? harms[how / 2].without : harms[how / 2].with;
        bool crosses = dmz == VERDICT_ACCEPTED, again = how / 2 == AGAIN;
        uint64_t at_dmz_before = pair_dmz_verdict(pair, dmz), before = inner->received;
        uint64_t bad_before = inner->n[harms[how / 2].inner];
        size_t arrived = pair_receiver(sender)->count;

        send_harmed(sender, (enum harm)(how / 2), how % 2);
        ck_assert_uint_eq(pair_dmz_verdict(pair, dmz), at_dmz_before + 1 + (again && crosses));
        ck_assert_uint_eq(inner->received, before + crosses + again);
        if (crosses)
            ck_assert_uint_eq(inner->n[harms[how / 2].inner], bad_before + 1);
        ck_assert_uint_eq(pair_receiver(sender)->count, arrived + again);
        pair_check_sums(pair);
        pair_expect_one_way(sender);
    }
    pair_sender_free(sender);
    pair_free(pair);
}
END_TEST

/* A stranger who knows source and SSRC: not one packet arrives, and each is counted. */
START_TEST(test_forged_flood)
{
    enum { FORGED = 500 };
    bool keyless = all_keys[_i / SUITE_COUNT] == WIRE_REPLICA_KEYLESS;
    struct pair *pair;
    struct pair_sender *sender = call_with(&pair, _i);
    const struct verdict_counts *inner = &pair->site[0].inner->links[0].counts;

    (void)pair_run_until_synced(pair);
    pair_expect_one_way(sender);
    for (unsigned i = 0; i < FORGED; i++) {
        pair_make_rtp(sender);
        sender->packet[sender->length - 1 - i % 4] ^= (uint8_t)(1 + i % 255);
        pair_datagram(pair, EXT, 0, 0, false, &sender->request.source.rtp, sender->packet,
                      sender->length);
        pair_run(pair, PAIR_MS);
    }
    pair_run(pair, 50 * PAIR_MS);
    ck_assert_uint_eq(pair_dmz_verdict(pair, VERDICT_AUTH_FAIL), keyless ? 0 : FORGED);
    ck_assert_uint_eq(pair_dmz_verdict(pair, VERDICT_ACCEPTED), keyless ? FORGED + 2 : 2);
    ck_assert_uint_eq(inner->n[VERDICT_AUTH_FAIL], keyless ? FORGED : 0);
    ck_assert_uint_eq(inner->n[VERDICT_ACCEPTED], 2);
    ck_assert_uint_eq(at_inner(sender)->verdicts[VERDICT_AUTH_FAIL], keyless ? FORGED : 0);
    ck_assert_uint_eq(pair_receiver(sender)->count, 2);
    pair_expect_one_way(sender);
    pair_sender_free(sender);
    pair_free(pair);
}
END_TEST

/* ------------------------------------------------------------ dmz-keys is changed */

/* The inner-relay starts anew with its state file and other dmz-keys: the call goes on, what the
 * dmz-relay held in the old form is gone, and what was heard stays heard. */
START_TEST(test_other_keys_after_a_restart)
{
    enum wire_view then = all_keys[(_i / SUITE_COUNT + 1) % ALL_KEYS];
    bool aead, keyless = then == WIRE_REPLICA_KEYLESS;
    static uint8_t state[PAIR_STATE_OCTETS];
    struct pair *pair;
    struct pair_sender *sender = call_with(&pair, _i);
    uint8_t heard[PACKET_MAX_OCTETS];
    size_t length, heard_length;
    const struct sa *sa;

    (void)pair_run_until_synced(pair);
    pair_expect_one_way(sender);
    pair_send_rtp(sender);
    pair_run(pair, 50 * PAIR_MS);
    heard_length = sender->length;
    memcpy(heard, sender->packet, heard_length);
    length = pair_save_state(pair, 0, state, sizeof(state));
    pair_kill_inner(pair, 0);
    pair->inner_options.dmz_keys = then;
    pair_start_inner(pair, 0, state, length);
    (void)pair_run_until_synced(pair);
    pair_expect_one_way(sender);
    sa = at_dmz(sender);
    aead = sa->suite->aead;
    ck_assert_int_eq(sa->srtp ? srtp_session_kind(sa->srtp) : SRTP_KEY_NONE,
                     keyless                                     ? SRTP_KEY_NONE
                     : then == WIRE_REPLICA_VERIFY_ONLY && !aead ? SRTP_KEY_AUTH
                                                                 : SRTP_KEY_MASTER);
    pair->site[0].out.count = 0;
    pair_datagram(pair, EXT, 0, 0, false, &sender->request.source.rtp, heard, heard_length);
    pair_run(pair, 50 * PAIR_MS);
    ck_assert_uint_eq(pair->site[0].out.count, 0);
    ck_assert_uint_eq(keyless ? at_inner(sender)->verdicts[VERDICT_REPLAY]
                              : pair_dmz_verdict(pair, VERDICT_REPLAY),
                      1);
    pair_sender_free(sender);
    pair_free(pair);
}
END_TEST

/* A new key in the middle of the call; packets of the old one are still on their way. */
START_TEST(test_new_key)
{
    bool keyless = all_keys[_i / SUITE_COUNT] == WIRE_REPLICA_KEYLESS;
    struct pair *pair;
    struct pair_sender *sender = call_with(&pair, _i);
    struct protect *old = sender->protect;
    const struct suite *suite = sender->request.suite;
    const struct verdict_counts *inner = &pair->site[0].inner->links[0].counts;
    struct srtp_key key;
    struct admit_error error;
    enum srtp_key_kind kind;

    (void)pair_run_until_synced(pair);
    pair_expect_one_way(sender);
    kind = at_dmz(sender)->srtp ? srtp_session_kind(at_dmz(sender)->srtp) : SRTP_KEY_NONE;
    key = sender->request.key;
    key.octets[0] ^= 1;
    ck_assert_int_eq(admit_rekey(pair->site[0].inner,
                                 inner_find_sa(pair->site[0].inner, sender->id), suite, &key,
                                 pair->now_us, &error),
                     0);
    (void)pair_run_until_synced(pair);
    pair_run(pair, 50 * PAIR_MS);
    ck_assert_int_eq(at_dmz(sender)->srtp ? srtp_session_kind(at_dmz(sender)->srtp) : SRTP_KEY_NONE,
                     kind);
    pair_expect_one_way(sender); /* the old one */
    sender->protect = protect_new(suite, key.octets, sender->request.ssrc[0]);
    ck_assert_ptr_nonnull(sender->protect);
    pair_expect_one_way(sender);
    pair_run(pair, OLD_KEY_US + 2 * PAIR_SECOND);
    pair_expect_one_way(sender);
    ck_assert_uint_eq(pair_dmz_verdict(pair, VERDICT_AUTH_FAIL) + inner->n[VERDICT_AUTH_FAIL], 0);
    protect_free(sender->protect);
    sender->protect = old;
    pair->site[0].out.count = 0;
    pair_send_rtp(sender);
    pair_run(pair, 50 * PAIR_MS);
    ck_assert_uint_eq(pair->site[0].out.count, 0);
    ck_assert_uint_eq(pair_dmz_verdict(pair, VERDICT_AUTH_FAIL), !keyless);
    ck_assert_uint_eq(inner->n[VERDICT_AUTH_FAIL], keyless);
    pair_sender_free(sender);
    pair_free(pair);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pair keys");
    TCase *tc = tcase_create("keys");
    int result;

    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, sample_engine_start, NULL);
    tcase_add_loop_test(tc, test_features, 0, PEERS);
    tcase_add_test(tc, test_refusal_does_not_hold);
    tcase_add_loop_test(tc, test_what_is_held, 0, CASES);
    tcase_add_loop_test(tc, test_harmed_packets, 0, CASES);
    tcase_add_loop_test(tc, test_forged_flood, 0, CASES);
    tcase_add_loop_test(tc, test_other_keys_after_a_restart, 0, CASES);
    tcase_add_loop_test(tc, test_new_key, 0, CASES);
    suite_add_tcase(suite, tc);
    result = unit_run(suite);
    sample_engine_stop();
    return result;
}
