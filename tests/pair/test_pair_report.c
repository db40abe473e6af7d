/* What the dmz-relay tells the authority of each SA, and what comes of it. */
#include <string.h>

#include "common/sa/far.h"
#include "common/sa/table.h"
#include "tests/pair/pair.h"
#include "tests/unit/sample.h"
#include "tests/unit/unit.h"

static struct inner_link *link_of(struct pair *pair, unsigned site)
{
    return &pair->site[site].inner->links[0];
}

static struct sa *sa_of(const struct pair_sender *sender)
{
    return inner_find_sa(sender->pair->site[sender->site].inner, sender->id);
}

static struct pair_sender *call(struct pair *pair, unsigned site, enum sa_side side, unsigned n)
{
    struct admit_request request;

    pair_request(&request, side, n);
    return pair_sender_new(pair, site, &request);
}

/* One report comes within a second, and is looked at. */
static struct sa_report report_of(const struct pair_sender *sender)
{
    struct sa_report report;

    pair_run(sender->pair, 1100 * PAIR_MS);
    ck_assert(far_get(sa_of(sender), &report, NULL, sender->pair->now_us));
    return report;
}

START_TEST(test_both_ends)
{
    struct pair *pair = pair_new(1);
    struct pair_sender *out = call(pair, 0, SA_SIDE_EXTERNAL, 1);
    struct pair_sender *in = call(pair, 0, SA_SIDE_INTERNAL, 2);
    struct sa_report report;

    pair_run(pair, 50 * PAIR_MS);
    out->index = 0xfffe;
    for (unsigned i = 0; i < 4; i++)
        pair_send_rtp(out);
    pair_send_rtcp(out);
    pair_expect_one_way(in);
    report = report_of(out);
    ck_assert_uint_eq(report.packets, 5);
    ck_assert_uint_eq(report.octets, table_by_id(pair->dmz->table, 0, out->id)->octets);
    ck_assert_uint_eq(report.verdicts[VERDICT_ACCEPTED], 5);
    ck_assert_uint_eq(report.heard_count, 1);
    ck_assert_uint_eq(report.heard[0].ssrc, out->request.ssrc[0]);
    ck_assert_uint_eq(report.heard[0].index, 0x10001);
    ck_assert_uint_eq(report.heard[0].received, 4);
    ck_assert(report.heard[0].rtcp);
    ck_assert_uint_gt(report.age_us, 500 * PAIR_MS);
    ck_assert_uint_lt(report.age_us, 1500 * PAIR_MS);
    report = report_of(in);
    ck_assert_uint_eq(report.packets, 2);
    ck_assert_uint_eq(report.verdicts[VERDICT_ACCEPTED], 2);
    ck_assert_uint_eq(report.heard_count, 0);
    pair_sender_free(in);
    pair_sender_free(out);
    pair_free(pair);
}
END_TEST

/* Once for each change, and not a second time. */
START_TEST(test_only_what_changed)
{
    struct pair *pair = pair_new(1);
    struct pair_sender *sender[100];
    uint64_t before;

    for (unsigned i = 0; i < 100; i++)
        sender[i] = call(pair, 0, SA_SIDE_EXTERNAL, i);
    pair_run(pair, 3 * PAIR_SECOND);
    ck_assert_uint_eq(link_of(pair, 0)->reports, 0);
    for (unsigned i = 0; i < 100; i += 2)
        pair_send_rtp(sender[i]);
    pair_run(pair, 1100 * PAIR_MS);
    ck_assert_uint_eq(link_of(pair, 0)->reports, 50);
    for (unsigned i = 0; i < 100; i++)
        ck_assert_int_eq(sa_of(sender[i])->far != NULL, i % 2 == 0);
    pair_run(pair, 3 * PAIR_SECOND);
    before = link_of(pair, 0)->reports;
    ck_assert_uint_eq(before, 50);
    /* A drop is news, too. */
    pair_make_rtp(sender[7]);
    sender[7]->packet[sender[7]->length - 1] ^= 1;
    pair_datagram(pair, SA_SIDE_EXTERNAL, 0, 0, false, &sender[7]->request.source.rtp,
                  sender[7]->packet, sender[7]->length);
    pair_run(pair, 1100 * PAIR_MS);
    ck_assert_uint_eq(link_of(pair, 0)->reports, before + 1);
    ck_assert_ptr_nonnull(sa_of(sender[7])->far);
    ck_assert_uint_eq(link_of(pair, 0)->reports_ignored, 0);
    for (unsigned i = 0; i < 100; i++)
        pair_sender_free(sender[i]);
    pair_free(pair);
}
END_TEST

/* When each port of each listener last heard anybody, whoever it was. */
START_TEST(test_listeners)
{
    struct pair *pair = pair_new(1);
    const struct inner_link *link = link_of(pair, 0);
    struct addr stranger = sample_addr("192.0.2.99:9");

    pair_run(pair, 1100 * PAIR_MS);
    ck_assert_uint_eq(link->arrivals.count, 2);
    ck_assert_str_eq(link->arrivals.port[0].name, "four");
    ck_assert_uint_eq(link->arrivals.port[0].age_us[0], ARRIVALS_NEVER);
    pair_datagram(pair, SA_SIDE_EXTERNAL, 0, 1, true, &stranger, (const uint8_t *)"x", 1);
    pair_run(pair, 1100 * PAIR_MS);
    ck_assert_uint_eq(link->arrivals.port[0].age_us[0], ARRIVALS_NEVER);
    ck_assert_uint_eq(link->arrivals.port[1].age_us[0], ARRIVALS_NEVER);
    ck_assert_uint_lt(link->arrivals.port[1].age_us[1], 1100 * PAIR_MS);
    pair_reset(pair_tunnel(pair, 0));
    ck_assert_uint_eq(link->arrivals_us, 0);
    pair_free(pair);
}
END_TEST

/* Each site hears of its own SAs only, though ids are the same. */
START_TEST(test_two_sites)
{
    struct pair *pair = pair_new(2);
    struct pair_sender *a = call(pair, 0, SA_SIDE_EXTERNAL, 1);
    struct pair_sender *b = call(pair, 1, SA_SIDE_EXTERNAL, 2);

    ck_assert_uint_eq(a->id, b->id);
    pair_run(pair, 50 * PAIR_MS);
    for (unsigned i = 0; i < 3; i++)
        pair_send_rtp(a);
    pair_send_rtp(b);
    ck_assert_uint_eq(report_of(a).packets, 3);
    ck_assert_uint_eq(report_of(b).packets, 1);
    ck_assert_uint_eq(link_of(pair, 0)->reports, 1);
    ck_assert_uint_eq(link_of(pair, 1)->reports, 1);
    pair_sender_free(a);
    pair_sender_free(b);
    pair_free(pair);
}
END_TEST

/* After a reconnect all that there is to say is said again: the authority may be a new one. */
START_TEST(test_again_after_a_reconnect)
{
    static uint8_t state[PAIR_STATE_OCTETS];
    struct pair *pair = pair_new(1);
    struct pair_sender *sender = call(pair, 0, SA_SIDE_EXTERNAL, 1);
    size_t length;

    pair_run(pair, 50 * PAIR_MS);
    pair_expect_one_way(sender);
    ck_assert_uint_eq(report_of(sender).packets, 2);
    length = pair_save_state(pair, 0, state, sizeof(state));
    pair_kill_inner(pair, 0);
    pair_start_inner(pair, 0, state, length);
    (void)pair_run_until_synced(pair);
    ck_assert_uint_eq(report_of(sender).packets, 2);
    pair_sender_free(sender);
    pair_free(pair);
}
END_TEST

/* From another port than was signalled: NAT. */
static void send_from(struct pair_sender *sender, const struct addr *source)
{
    pair_make_rtp(sender);
    pair_datagram(sender->pair, SA_SIDE_EXTERNAL, 0, 0, false, source, sender->packet,
                  sender->length);
    pair_run(sender->pair, 20 * PAIR_MS);
}

static void wait_for_tunnel(struct pair *pair)
{
    pair_run(pair, PAIR_SECOND);
    (void)pair_run_until_synced(pair);
}

/*
 * A phone behind NAT talks, and its ROC is above 0. The dmz-relay is killed and comes back with
 * nothing: no packet is lost from the moment at which it has the SAs, and the other direction
 * goes to the learned address at once, before the phone has said another word.
 */
START_TEST(test_restarted_in_mid_call)
{
    struct pair *pair = pair_new(1);
    struct pair_sender *out = call(pair, 0, SA_SIDE_EXTERNAL, 1), *in;
    struct admit_request request;
    struct addr nat = out->request.source.rtp;
    const struct sa *replica;
    uint8_t old[PACKET_MAX_OCTETS];
    size_t before, old_length;

    nat.port = 61234;
    sa_of(out)->source_policy = SOURCE_HINTED;
    pair_request(&request, SA_SIDE_INTERNAL, 1);
    request.reverse = out->id;
    in = pair_sender_new(pair, 0, &request);
    (void)pair_run_until_synced(pair);
    out->index = 0xfff0;
    for (unsigned i = 0; i < 100; i++)
        send_from(out, &nat);
    ck_assert_uint_eq(pair_receiver(out)->count, 100);
    ck_assert(addr_equal(&report_of(out).bound[0], &nat));
    ck_assert_uint_eq(report_of(out).heard[0].index, 0xfff0 + 99);

    memcpy(old, out->packet, out->length);
    old_length = out->length;
    pair_restart_dmz(pair);
    wait_for_tunnel(pair);
    replica = table_by_id(pair->dmz->table, 0, out->id);
    ck_assert_ptr_nonnull(replica);
    ck_assert(replica->bound[0] && addr_equal(&replica->source.rtp, &nat));
    before = pair->out.count;
    pair_send_rtp(in);
    pair_run(pair, 50 * PAIR_MS);
    ck_assert_uint_eq(pair->out.count, before + 1);
    ck_assert(addr_equal(&pair->out.sent[before].to, &nat));
    before = pair_receiver(out)->count;
    for (unsigned i = 0; i < 10; i++)
        send_from(out, &nat);
    ck_assert_uint_eq(pair_receiver(out)->count, before + 10);
    /* What had come before the restart is old. */
    pair_datagram(pair, SA_SIDE_EXTERNAL, 0, 0, false, &nat, old, old_length);
    pair_run(pair, 20 * PAIR_MS);
    ck_assert_uint_eq(pair_receiver(out)->count, before + 10);
    ck_assert_uint_eq(pair_dmz_verdict(pair, VERDICT_REPLAY), 1);
    pair_sender_free(in);
    pair_sender_free(out);
    pair_free(pair);
}
END_TEST

/* SAs come, go and are put again while a round is under way: the walk goes on beside them. */
START_TEST(test_changes_under_a_round)
{
    struct pair *pair = pair_new(1);
    struct pair_sender *sender[300] = {NULL};
    struct inner *inner = pair->site[0].inner;

    for (unsigned step = 0; step < 4000; step++) {
        unsigned i = step * 7919 % 300;

        if (!sender[i]) {
            sender[i] = call(pair, 0, SA_SIDE_EXTERNAL, i);
        } else if (step % 3 == 0) {
            inner_delete(inner, sa_of(sender[i]), pair->now_us);
            pair_sender_free(sender[i]);
            sender[i] = NULL;
        } else if (step % 3 == 1) {
            authority_changed(&inner->links[0].authority, sa_of(sender[i]));
        } else if (table_by_id(pair->dmz->table, 0, sender[i]->id)) {
            pair_send_rtp(sender[i]);
        }
        pair_run(pair, PAIR_MS);
        pair_receiver(&(struct pair_sender){.pair = pair, .side = SA_SIDE_EXTERNAL})->count = 0;
    }
    pair_run(pair, 2 * PAIR_SECOND);
    ck_assert_uint_gt(link_of(pair, 0)->reports, 100);
    for (unsigned i = 0; i < 300; i++) {
        const struct sa *held = sender[i] ? table_by_id(pair->dmz->table, 0, sender[i]->id) : NULL;
        struct sa_report report;

        if (held && held->packets > 0) {
            ck_assert(far_get(sa_of(sender[i]), &report, NULL, pair->now_us));
            ck_assert_uint_eq(report.packets, held->packets);
        }
        if (sender[i])
            pair_sender_free(sender[i]);
    }
    pair_free(pair);
}
END_TEST

/* Bulk: media that waits goes first. */
START_TEST(test_media_goes_first)
{
    struct pair *pair = pair_new(1);
    struct pair_sender *sender[200];
    const struct pair_out *out;
    uint64_t began_us;

    for (unsigned i = 0; i < 200; i++)
        sender[i] = call(pair, 0, SA_SIDE_EXTERNAL, i);
    (void)pair_run_until_synced(pair);
    for (unsigned i = 0; i < 200; i++)
        pair_send_rtp(sender[i]);
    pair_run(pair, 990 * PAIR_MS - (pair->now_us - pair->ticked_us));
    /* 200 reports take half a second on this line; a packet every 20 ms takes 8 ms. */
    pair->bandwidth = 100000;
    out = pair_receiver(sender[0]);
    for (unsigned i = 0; i < 20; i++) {
        size_t before = out->count;

        began_us = pair->now_us;
        pair_send_rtp(sender[0]);
        while (out->count == before && pair->now_us < began_us + 500 * PAIR_MS)
            pair_run(pair, PAIR_MS);
        ck_assert_uint_eq(out->count, before + 1);
        ck_assert_uint_lt(pair->now_us - began_us, 450 * PAIR_MS);
    }
    ck_assert_uint_gt(link_of(pair, 0)->reports, 0);
    for (unsigned i = 0; i < 200; i++)
        pair_sender_free(sender[i]);
    pair_free(pair);
}
END_TEST

/* An inner-relay that does not know SA-REPORT gets none. */
START_TEST(test_older_inner_relay)
{
    struct pair *pair = pair_new(1);
    struct pair_sender *sender = call(pair, 0, SA_SIDE_EXTERNAL, 1);
    struct hello *theirs =
        (struct hello *)(uintptr_t)session_peer(pair_tunnel(pair, 0)->dmz->session);

    theirs->features &= ~(uint64_t)FEATURE_REPORT;
    pair_run(pair, 50 * PAIR_MS);
    pair_expect_one_way(sender);
    pair_run(pair, 3 * PAIR_SECOND);
    ck_assert_uint_eq(link_of(pair, 0)->reports, 0);
    theirs->features |= FEATURE_REPORT;
    pair_run(pair, 2 * PAIR_SECOND);
    ck_assert_uint_eq(link_of(pair, 0)->reports, 1);
    pair_sender_free(sender);
    pair_free(pair);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pair_report");
    TCase *tc = tcase_create("pair_report");
    int result;

    tcase_add_checked_fixture(tc, sample_engine_start, NULL);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, test_both_ends);
    tcase_add_test(tc, test_only_what_changed);
    tcase_add_test(tc, test_listeners);
    tcase_add_test(tc, test_two_sites);
    tcase_add_test(tc, test_again_after_a_reconnect);
    tcase_add_test(tc, test_restarted_in_mid_call);
    tcase_add_test(tc, test_changes_under_a_round);
    tcase_add_test(tc, test_media_goes_first);
    tcase_add_test(tc, test_older_inner_relay);
    suite_add_tcase(suite, tc);
    result = unit_run(suite);
    sample_engine_stop();
    return result;
}
