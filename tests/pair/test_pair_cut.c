/* The tunnel is lost in mid-call, either daemon is killed: media goes on, nobody adds SAs again. */
#include <stdlib.h>
#include <string.h>

#include "common/sa/table.h"
#include "tests/pair/pair.h"
#include "tests/unit/sample.h"
#include "tests/unit/unit.h"

enum { CALLS = 5 };

/* Calls both ways; the sequence numbers of the second half have wrapped once by now. */
struct calls {
    struct pair *pair;
    struct pair_sender *out[CALLS], *in[CALLS];
};

static void start_calls(struct calls *calls)
{
    struct admit_request request;

    calls->pair = pair_new(1);
    for (unsigned i = 0; i < CALLS; i++) {
        pair_request(&request, SA_SIDE_EXTERNAL, i);
        calls->out[i] = pair_sender_new(calls->pair, 0, &request);
        pair_request(&request, SA_SIDE_INTERNAL, i);
        calls->in[i] = pair_sender_new(calls->pair, 0, &request);
        calls->out[i]->index = calls->in[i]->index = i % 2 ? 0xfffc : 100;
    }
    (void)pair_run_until_synced(calls->pair);
    for (unsigned n = 0; n < 4; n++) {
        for (unsigned i = 0; i < CALLS; i++)
            pair_expect_call(calls->out[i], calls->in[i]);
    }
}

static void expect_calls(struct calls *calls)
{
    for (unsigned i = 0; i < CALLS; i++)
        pair_expect_call(calls->out[i], calls->in[i]);
}

static void end_calls(struct calls *calls)
{
    for (unsigned i = 0; i < CALLS; i++) {
        pair_sender_free(calls->out[i]);
        pair_sender_free(calls->in[i]);
    }
    pair_free(calls->pair);
}

/* Every 20 ms a packet of each call each way, for so long. */
static void talk(struct calls *calls, uint64_t duration_us)
{
    uint64_t end_us = calls->pair->now_us + duration_us;

    while (calls->pair->now_us < end_us) {
        for (unsigned i = 0; i < CALLS; i++) {
            pair_send_rtp(calls->out[i]);
            pair_send_rtp(calls->in[i]);
        }
        pair_run(calls->pair, 20 * PAIR_MS);
    }
    calls->pair->out.count = calls->pair->site[0].out.count = 0;
}

/* Talks until something arrives on both sides again; how long did that take? */
static uint64_t silence(struct calls *calls)
{
    uint64_t began_us = calls->pair->now_us;

    calls->pair->out.count = calls->pair->site[0].out.count = 0;
    while (calls->pair->out.count < CALLS || calls->pair->site[0].out.count < CALLS) {
        ck_assert_uint_lt(calls->pair->now_us, began_us + 10 * PAIR_SECOND);
        for (unsigned i = 0; i < CALLS; i++) {
            pair_send_rtp(calls->out[i]);
            pair_send_rtp(calls->in[i]);
        }
        pair_run(calls->pair, 20 * PAIR_MS);
    }
    pair_run(calls->pair, 50 * PAIR_MS);
    return calls->pair->now_us - began_us;
}

static struct authority *authority(struct calls *calls)
{
    return &calls->pair->site[0].inner->links[0].authority;
}

/* Was the last sync a snapshot? */
static bool was_snapshot(struct calls *calls)
{
    return authority(calls)->sweep;
}

/* How long the network is away. Up to a second the connection survives it. */
static const uint64_t cuts_us[] = {100 * PAIR_MS, 1 * PAIR_SECOND, 1400 * PAIR_MS, 2 * PAIR_SECOND,
                                   30 * PAIR_SECOND};

START_TEST(test_network_cut)
{
    struct calls calls;
    struct pair *pair;
    unsigned connects;

    start_calls(&calls);
    pair = calls.pair;
    connects = pair->site[0].connects;
    talk(&calls, PAIR_SECOND);
    pair->cut = true;
    talk(&calls, cuts_us[_i]);
    ck_assert_uint_eq(pair->out.count + pair->site[0].out.count, 0);
    pair->cut = false;
    ck_assert_uint_lt(silence(&calls), 2 * PAIR_SECOND);
    (void)pair_run_until_synced(pair);
    if (cuts_us[_i] <= PAIR_SECOND)
        ck_assert_uint_eq(pair->site[0].connects, connects);
    if (cuts_us[_i] >= 2 * PAIR_SECOND) {
        ck_assert_uint_eq(pair->site[0].connects, connects + 1);
        /* Nothing had changed: nothing is sent but the two ends of a delta. */
        ck_assert(!was_snapshot(&calls));
        ck_assert_uint_gt(pair_dmz_verdict(pair, VERDICT_TUNNEL_DOWN), 0);
        ck_assert_uint_gt(pair_inner_verdict(pair, 0, VERDICT_TUNNEL_DOWN), 0);
    }
    expect_calls(&calls);
    end_calls(&calls);
}
END_TEST

/* Noticed within the time of a dead peer, on both sides; SAs stay, packets have their verdict. */
START_TEST(test_cut_is_noticed)
{
    struct calls calls;
    struct pair *pair;

    start_calls(&calls);
    pair = calls.pair;
    pair->cut = true;
    pair_run(pair, DEAD_PEER_US - 600 * PAIR_MS);
    ck_assert_ptr_nonnull(pair_tunnel(pair, 0));
    pair_run(pair, 700 * PAIR_MS);
    ck_assert_ptr_null(pair_tunnel(pair, 0));
    ck_assert_ptr_null(pair->dmz->sites[0].link);
    ck_assert_ptr_null(pair->site[0].inner->links[0].session);
    ck_assert(strstr(pair->dmz->sites[0].last_error, "nothing was heard") != NULL);
    ck_assert_uint_eq(table_count(pair->dmz->table), 2 * CALLS);
    pair_send_rtp(calls.out[0]);
    pair_send_rtp(calls.in[0]);
    ck_assert_uint_eq(pair_dmz_verdict(pair, VERDICT_TUNNEL_DOWN), 1);
    ck_assert_uint_eq(pair_inner_verdict(pair, 0, VERDICT_TUNNEL_DOWN), 1);
    end_calls(&calls);
}
END_TEST

START_TEST(test_reset)
{
    struct calls calls;

    start_calls(&calls);
    for (unsigned i = 0; i < 5; i++) {
        /* With packets in every queue and on the way. */
        pair_send_rtp(calls.out[i]);
        pair_send_rtp(calls.in[i]);
        if (i % 2)
            pair_run(calls.pair, PAIR_MS);
        pair_reset(pair_tunnel(calls.pair, 0));
        ck_assert_uint_lt(silence(&calls), PAIR_SECOND);
    }
    expect_calls(&calls);
    end_calls(&calls);
}
END_TEST

/* What changed while the tunnel was away comes as a delta. */
START_TEST(test_changes_while_away)
{
    struct calls calls;
    struct pair *pair;
    struct inner *inner;
    struct admit_request request;
    struct pair_sender *fresh;

    start_calls(&calls);
    pair = calls.pair;
    inner = pair->site[0].inner;
    pair->cut = true;
    pair_run(pair, 3 * PAIR_SECOND);
    pair_request(&request, SA_SIDE_EXTERNAL, 50);
    fresh = pair_sender_new(pair, 0, &request);
    inner_delete(inner, inner_find_sa(inner, calls.out[1]->id), pair->now_us);
    pair->cut = false;
    (void)pair_run_until_synced(pair);
    ck_assert(!was_snapshot(&calls));
    ck_assert_uint_eq(table_count(pair->dmz->table), 2 * CALLS);
    pair_expect_one_way(fresh);
    pair_expect_call(calls.out[0], calls.in[0]);
    pair_send_rtp(calls.out[1]);
    ck_assert_uint_eq(pair_dmz_verdict(pair, VERDICT_NO_SA), 1);
    pair_sender_free(fresh);
    end_calls(&calls);
}
END_TEST

/* Away for so long that a deletion is forgotten: a snapshot sweeps it. */
START_TEST(test_deletion_forgotten)
{
    struct calls calls;
    struct pair *pair;
    struct inner *inner;

    start_calls(&calls);
    pair = calls.pair;
    inner = pair->site[0].inner;
    pair->dmz->options.stale_hold_us = 600 * PAIR_SECOND;
    pair->cut = true;
    pair_run(pair, 3 * PAIR_SECOND);
    inner_delete(inner, inner_find_sa(inner, calls.out[1]->id), pair->now_us);
    pair_run(pair, LABEL_REST_US + 2 * PAIR_SECOND);
    ck_assert_uint_eq(table_count(pair->dmz->table), 2 * CALLS);
    pair->cut = false;
    (void)pair_run_until_synced(pair);
    ck_assert(was_snapshot(&calls));
    ck_assert_uint_eq(table_count(pair->dmz->table), 2 * CALLS - 1);
    pair_expect_call(calls.out[0], calls.in[0]);
    end_calls(&calls);
}
END_TEST

START_TEST(test_stale_hold)
{
    struct calls calls;
    struct pair *pair;

    start_calls(&calls);
    pair = calls.pair;
    pair->cut = true;
    pair_run(pair, pair->dmz_options.stale_hold_us);
    ck_assert_uint_eq(table_count(pair->dmz->table), 2 * CALLS);
    pair_send_rtp(calls.out[0]);
    ck_assert_uint_eq(pair_dmz_verdict(pair, VERDICT_TUNNEL_DOWN), 1);
    pair_run(pair, 4 * PAIR_SECOND);
    ck_assert_uint_eq(table_count(pair->dmz->table), 0);
    pair_send_rtp(calls.out[0]);
    ck_assert_uint_eq(pair_dmz_verdict(pair, VERDICT_NO_SA), 1);
    pair->cut = false;
    ck_assert_uint_lt(silence(&calls), 2 * PAIR_SECOND);
    ck_assert(was_snapshot(&calls));
    expect_calls(&calls);
    end_calls(&calls);
}
END_TEST

/* Packets that the network brings twice, before and after the tunnel was away. */
START_TEST(test_no_replay_after_reconnect)
{
    struct calls calls;
    struct pair *pair;
    uint8_t old[PACKET_MAX_OCTETS];
    size_t length;

    start_calls(&calls);
    pair = calls.pair;
    pair_send_rtp(calls.out[0]);
    length = calls.out[0]->length;
    memcpy(old, calls.out[0]->packet, length);
    pair_run(pair, 50 * PAIR_MS);
    for (int i = 0; i < 3; i++) {
        if (i == 1)
            pair_reset(pair_tunnel(pair, 0));
        else if (i == 2)
            pair_restart_dmz(pair);
        (void)pair_run_until_synced(pair);
        pair->site[0].out.count = 0;
        pair_datagram(pair, SA_SIDE_EXTERNAL, 0, 0, false, &calls.out[0]->request.source.rtp, old,
                      length);
        pair_run(pair, 50 * PAIR_MS);
        ck_assert_uint_eq(pair->site[0].out.count, 0);
        ck_assert_uint_ge(pair_dmz_verdict(pair, VERDICT_REPLAY), 1);
    }
    expect_calls(&calls);
    end_calls(&calls);
}
END_TEST

/* ------------------------------------------------------------ restarts */

START_TEST(test_dmz_restarted)
{
    struct calls calls;

    start_calls(&calls);
    for (unsigned i = 0; i < 3; i++) {
        talk(&calls, PAIR_SECOND);
        pair_restart_dmz(calls.pair);
        ck_assert_uint_lt(silence(&calls), PAIR_SECOND);
        ck_assert(was_snapshot(&calls));
        /* The ROC came with the SAs. */
        for (unsigned k = 0; k < CALLS; k++) {
            struct sa *sa = table_by_id(calls.pair->dmz->table, 0, calls.out[k]->id);

            ck_assert_uint_eq(index_roc(sa->stream[0].index.highest), k % 2);
        }
        expect_calls(&calls);
    }
    end_calls(&calls);
}
END_TEST

static void restart_inner(struct calls *calls, const uint8_t *state, size_t length)
{
    pair_kill_inner(calls->pair, 0);
    talk(calls, 0);
    pair_start_inner(calls->pair, 0, state, length);
}

/* age_us: how old the state file is; packets went by since then. */
static const uint64_t ages_us[] = {0, 1 * PAIR_SECOND, 5 * PAIR_SECOND};

START_TEST(test_inner_restarted)
{
    uint8_t *state = malloc(PAIR_STATE_OCTETS);
    struct calls calls;
    uint32_t label[CALLS];
    size_t length;

    ck_assert_ptr_nonnull(state);
    start_calls(&calls);
    length = pair_save_state(calls.pair, 0, state, PAIR_STATE_OCTETS);
    for (unsigned i = 0; i < CALLS; i++)
        label[i] = inner_find_sa(calls.pair->site[0].inner, calls.out[i]->id)->label;
    talk(&calls, ages_us[_i]);
    restart_inner(&calls, state, length);
    ck_assert_uint_eq(table_count(calls.pair->site[0].inner->table), 2 * CALLS);
    ck_assert_uint_lt(silence(&calls), 2 * PAIR_SECOND);
    for (unsigned i = 0; i < CALLS; i++) {
        struct sa *sa = inner_find_sa(calls.pair->site[0].inner, calls.out[i]->id);

        ck_assert_uint_eq(sa->label, label[i]);
        ck_assert_uint_eq(index_roc(sa->stream[0].index.highest), i % 2);
    }
    expect_calls(&calls);
    free(state);
    end_calls(&calls);
}
END_TEST

/* SAs that were added and deleted after the state was saved: the file's word counts. */
START_TEST(test_inner_restarted_with_an_old_state)
{
    uint8_t *state = malloc(PAIR_STATE_OCTETS);
    struct calls calls;
    struct pair *pair;
    struct pair_sender *lost, *fresh;
    struct admit_request request;
    size_t length;

    ck_assert_ptr_nonnull(state);
    start_calls(&calls);
    pair = calls.pair;
    length = pair_save_state(pair, 0, state, PAIR_STATE_OCTETS);
    pair_request(&request, SA_SIDE_EXTERNAL, 60);
    lost = pair_sender_new(pair, 0, &request);
    inner_delete(pair->site[0].inner, inner_find_sa(pair->site[0].inner, calls.out[1]->id),
                 pair->now_us);
    (void)pair_run_until_synced(pair);
    pair_expect_one_way(lost);
    restart_inner(&calls, state, length);
    /* The new life gives the lost one's source and SSRC to another key, and its id to nobody. */
    request.key.octets[0] ^= 1;
    fresh = pair_sender_new(pair, 0, &request);
    ck_assert_uint_gt(fresh->id, lost->id);
    (void)pair_run_until_synced(pair);
    ck_assert(was_snapshot(&calls));
    ck_assert_uint_eq(table_count(pair->dmz->table), 2 * CALLS + 1);
    pair_expect_one_way(fresh);
    pair_send_rtp(lost);
    ck_assert_uint_eq(pair_dmz_verdict(pair, VERDICT_AUTH_FAIL), 1);
    expect_calls(&calls);
    pair_sender_free(lost);
    pair_sender_free(fresh);
    free(state);
    end_calls(&calls);
}
END_TEST

/* Without a state file nothing is left, on neither side, and new calls can be made. */
START_TEST(test_inner_restarted_without_state)
{
    struct calls calls;
    struct pair *pair;
    struct admit_request request;
    struct pair_sender *fresh;

    start_calls(&calls);
    pair = calls.pair;
    restart_inner(&calls, NULL, 0);
    (void)pair_run_until_synced(pair);
    ck_assert_uint_eq(table_count(pair->dmz->table), 0);
    pair_send_rtp(calls.out[0]);
    ck_assert_uint_eq(pair_dmz_verdict(pair, VERDICT_NO_SA), 1);
    pair_request(&request, SA_SIDE_EXTERNAL, 0);
    request.key.octets[0] ^= 1;
    fresh = pair_sender_new(pair, 0, &request);
    (void)pair_run_until_synced(pair);
    pair_expect_one_way(fresh);
    pair_sender_free(fresh);
    end_calls(&calls);
}
END_TEST

START_TEST(test_both_restarted)
{
    uint8_t *state = malloc(PAIR_STATE_OCTETS);
    struct calls calls;
    size_t length;

    ck_assert_ptr_nonnull(state);
    start_calls(&calls);
    for (unsigned i = 0; i < 3; i++) {
        length = pair_save_state(calls.pair, 0, state, PAIR_STATE_OCTETS);
        talk(&calls, PAIR_SECOND);
        pair_restart_dmz(calls.pair);
        restart_inner(&calls, state, length);
        ck_assert_uint_lt(silence(&calls), 2 * PAIR_SECOND);
        expect_calls(&calls);
    }
    free(state);
    end_calls(&calls);
}
END_TEST

/* Killed in the middle of a snapshot, again and again: the next one completes. */
START_TEST(test_cut_in_the_snapshot)
{
    struct pair *pair = pair_new(1);
    struct admit_request request;
    struct pair_sender *first, *last;

    pair_request(&request, SA_SIDE_EXTERNAL, 0);
    first = pair_sender_new(pair, 0, &request);
    for (unsigned i = 1; i < 500; i++) {
        pair_request(&request, i % 2 ? SA_SIDE_INTERNAL : SA_SIDE_EXTERNAL, i);
        (void)pair_admit(pair, 0, &request);
    }
    pair_request(&request, SA_SIDE_EXTERNAL, 500);
    last = pair_sender_new(pair, 0, &request);
    (void)pair_run_until_synced(pair);
    pair->bandwidth = 1000000;
    for (unsigned i = 0; i < 5; i++) {
        pair_restart_dmz(pair);
        pair_run(pair, (100 + 30 * i) * PAIR_MS);
        if (pair_tunnel(pair, 0))
            pair_reset(pair_tunnel(pair, 0));
    }
    pair_restart_dmz(pair);
    while (table_count(pair->dmz->table) < 100)
        pair_run(pair, PAIR_MS);
    /* Newest calls first. */
    ck_assert_ptr_nonnull(table_by_id(pair->dmz->table, 0, last->id));
    ck_assert_ptr_null(table_by_id(pair->dmz->table, 0, first->id));
    (void)pair_run_until_synced(pair);
    ck_assert_uint_eq(table_count(pair->dmz->table), 501);
    pair_expect_one_way(first);
    pair_expect_one_way(last);
    pair_sender_free(first);
    pair_sender_free(last);
    pair_free(pair);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pair cut");
    TCase *tc = tcase_create("cut");
    int result;

    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, sample_engine_start, NULL);
    tcase_add_loop_test(tc, test_network_cut, 0, sizeof(cuts_us) / sizeof(cuts_us[0]));
    tcase_add_test(tc, test_cut_is_noticed);
    tcase_add_test(tc, test_reset);
    tcase_add_test(tc, test_changes_while_away);
    tcase_add_test(tc, test_deletion_forgotten);
    tcase_add_test(tc, test_stale_hold);
    tcase_add_test(tc, test_no_replay_after_reconnect);
    tcase_add_test(tc, test_dmz_restarted);
    tcase_add_loop_test(tc, test_inner_restarted, 0, sizeof(ages_us) / sizeof(ages_us[0]));
    tcase_add_test(tc, test_inner_restarted_with_an_old_state);
    tcase_add_test(tc, test_inner_restarted_without_state);
    tcase_add_test(tc, test_both_restarted);
    tcase_add_test(tc, test_cut_in_the_snapshot);
    suite_add_tcase(suite, tc);
    result = unit_run(suite);
    sample_engine_stop();
    return result;
}
