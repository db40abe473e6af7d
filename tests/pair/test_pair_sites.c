/* Two sites on one dmz-relay, and two connections of one site. */
#include <stdio.h>
#include <string.h>

#include "common/sa/table.h"
#include "common/tunnel/passwire.h"
#include "tests/pair/pair.h"
#include "tests/unit/sample.h"
#include "tests/unit/unit.h"

static struct pair_sender *add_sender(struct pair *pair, unsigned site, enum sa_side side,
                                      unsigned n)
{
    struct admit_request request;

    pair_request(&request, side, n);
    return pair_sender_new(pair, site, &request);
}

/* ------------------------------------------------------------ two sites */

/* The same ids, labels and SSRCs in both sites, and inside the same addresses: nothing crosses. */
START_TEST(test_two_sites)
{
    struct pair *pair = pair_new(2);
    struct pair_sender *out[2], *in[2];

    for (unsigned site = 0; site < 2; site++) {
        struct admit_request request;

        pair_request(&request, SA_SIDE_EXTERNAL, 7);
        request.source.rtp = sample_addr(site ? "8.9.9.9:4000" : "8.9.9.8:4000");
        request.source.rtcp = sample_addr(site ? "8.9.9.9:4001" : "8.9.9.8:4001");
        out[site] = pair_sender_new(pair, site, &request);
        pair_request(&request, SA_SIDE_INTERNAL, 7);
        request.destination.rtp = request.destination.rtcp = out[site]->request.source.rtp;
        request.destination.mux = true;
        in[site] = pair_sender_new(pair, site, &request);
    }
    ck_assert_uint_eq(out[0]->id, out[1]->id);
    (void)pair_run_until_synced(pair);
    ck_assert_uint_eq(table_by_id(pair->dmz->table, 0, out[0]->id)->label,
                      table_by_id(pair->dmz->table, 1, out[1]->id)->label);
    for (unsigned i = 0; i < 10; i++) {
        for (unsigned site = 0; site < 2; site++)
            pair_expect_call(out[site], in[site]);
    }
    ck_assert_uint_eq(pair->site[0].out.count, 20);
    ck_assert_uint_eq(pair->site[1].out.count, 20);
    for (unsigned site = 0; site < 2; site++) {
        ck_assert_uint_eq(pair->dmz->sites[site].counts.n[VERDICT_ACCEPTED], 20);
        ck_assert_uint_eq(verdict_sum(&pair->dmz->sites[site].counts), 20);
    }
    /* One site's tunnel, end and stale-hold are not the other's. */
    pair->site[0].reconnect = false;
    pair_reset(pair_tunnel(pair, 0));
    pair_run(pair, pair->dmz_options.stale_hold_us + 5 * PAIR_SECOND);
    ck_assert_uint_eq(table_count_owner(pair->dmz->table, 0), 0);
    ck_assert_uint_eq(table_count_owner(pair->dmz->table, 1), 2);
    ck_assert_uint_eq(pair->site[1].connects, 1);
    pair_expect_call(out[1], in[1]);
    pair_send_rtp(out[0]);
    ck_assert_uint_eq(pair_dmz_verdict(pair, VERDICT_NO_SA), 1);
    for (unsigned site = 0; site < 2; site++) {
        pair_sender_free(out[site]);
        pair_sender_free(in[site]);
    }
    pair_free(pair);
}
END_TEST

/*
 * The second site has a sender at the same address with the same SSRC: each gets what verifies
 * under its own key, and the first one's calls go on.
 */
START_TEST(test_foreign_source)
{
    struct pair *pair = pair_new(2);
    struct admit_request request;
    struct pair_sender *owner = add_sender(pair, 0, SA_SIDE_EXTERNAL, 7), *thief;

    (void)pair_run_until_synced(pair);
    pair_expect_one_way(owner);
    pair_request(&request, SA_SIDE_EXTERNAL, 7);
    request.key.octets[0] ^= 1;
    thief = pair_sender_new(pair, 1, &request);
    (void)pair_run_until_synced(pair);
    pair_run(pair, 50 * PAIR_MS);
    ck_assert_str_eq(sa_text(inner_find_sa(pair->site[1].inner, thief->id), SA_REFUSED), "");
    pair_expect_one_way(owner);
    ck_assert_uint_eq(pair->site[1].out.count, 0);
    pair_expect_one_way(thief);
    ck_assert_uint_eq(pair->site[1].out.count, 2);
    pair_expect_one_way(owner);
    ck_assert_uint_eq(pair->site[1].out.count, 2);
    ck_assert_uint_eq(pair_dmz_verdict(pair, VERDICT_AUTH_FAIL), 0);
    pair_sender_free(owner);
    pair_sender_free(thief);
    pair_free(pair);
}
END_TEST

/* Media frames reach only the SAs of the site that sent them. */
START_TEST(test_foreign_label)
{
    struct pair *pair = pair_new(2);
    struct pair_sender *in = add_sender(pair, 0, SA_SIDE_INTERNAL, 7);

    (void)pair_run_until_synced(pair);
    pair_make_rtp(in);
    pair_inject_media(pair_tunnel(pair, 1), false, in->request.ssrc[0], in->packet, in->length);
    pair_run(pair, 50 * PAIR_MS);
    ck_assert_uint_eq(pair->out.count, 0);
    ck_assert_uint_eq(pair->dmz->sites[1].counts.n[VERDICT_NO_SA], 1);
    pair_expect_one_way(in);
    pair_sender_free(in);
    pair_free(pair);
}
END_TEST

static void put_pass(struct pair *pair, unsigned site, const char *other, bool want)
{
    struct pass_frame frame = {.want = want};
    uint8_t memory[SITE_SIZE + 64];
    struct writer w;

    snprintf(frame.site, sizeof(frame.site), "%s", other);
    writer_init(&w, memory, sizeof(memory));
    passwire_put(&w, FRAME_PASS, &frame);
    pair_inject(pair_tunnel(pair, site), false, FRAME_PASS, memory, writer_length(&w));
    pair_run(pair, 50 * PAIR_MS);
}

static uint64_t strangers(const struct pair *pair, unsigned site)
{
    return pair->site[site].inner->links[0].counts.n[VERDICT_NO_SA];
}

/* A packet forwarder passes what both want, and nothing else; SAs of the same tunnel go on. */
START_TEST(test_passes)
{
    struct pair *pair = pair_new(2);
    struct pair_sender *in = add_sender(pair, 0, SA_SIDE_INTERNAL, 7);

    (void)pair_run_until_synced(pair);
    for (unsigned i = 0; i < DMZ_SITES_MAX; i++)
        exchange_set_policy(pair->dmz->exchange, i % 2, i % 2 ? 1 : 0);
    for (unsigned step = 0; step < 4; step++) {
        static const struct {
            unsigned site;
            bool want, open;
        } steps[] = {{0, true, false}, {1, true, true}, {1, false, false}, {1, true, true}};
        uint64_t before = strangers(pair, 1), accepted = pair->dmz->sites[0].counts.n[0];

        put_pass(pair, steps[step].site, pair->site[!steps[step].site].name, steps[step].want);
        pair_make_rtp(in);
        for (unsigned n = 0; n < 3; n++)
            pair_inject_media(pair_tunnel(pair, 0), false, 1, in->packet, in->length);
        pair_run(pair, 50 * PAIR_MS);
        ck_assert_uint_eq(strangers(pair, 1) - before, steps[step].open ? 3 : 0);
        ck_assert_uint_eq(pair->dmz->sites[0].counts.n[VERDICT_ACCEPTED] - accepted,
                          steps[step].open ? 3 : 0);
        pair_expect_one_way(in);
        ck_assert_uint_eq(strangers(pair, 0), 0);
    }
    /* No more than the rate from site to site: a largest packet's octets at once, here. */
    rate_init(&pair->dmz->sites[0].passing[1], 1);
    for (unsigned n = 0; n < 150; n++)
        pair_inject_media(pair_tunnel(pair, 0), false, 1, in->packet, in->length);
    pair_run(pair, 50 * PAIR_MS);
    ck_assert_uint_eq(pair->dmz->sites[0].counts.n[VERDICT_RATE],
                      150 - PACKET_MAX_OCTETS / in->length);
    pair_inject_media(pair_tunnel(pair, 0), false, 1, in->packet, in->length);
    pair_inject_media(pair_tunnel(pair, 0), false, in->request.ssrc[0], in->packet, in->length);
    pair_inject_media(pair_tunnel(pair, 0), false, 1, in->packet, in->length);
    pair_run(pair, 50 * PAIR_MS);
    pair_check_sums(pair);
    pair_reset(pair_tunnel(pair, 1));
    ck_assert(!passes_open(&pair->dmz->passes, 0, 1));
    pair_sender_free(in);
    pair_free(pair);
}
END_TEST

/* The quota of one site leaves the other its own. */
START_TEST(test_quota)
{
    struct pair *pair = pair_new_unconnected(2);
    struct pair_sender *other;
    struct admit_request request;
    unsigned refused = 0;

    pair->dmz->sites[0].replica.quota = 10;
    for (unsigned i = 0; i < 15; i++) {
        pair_request(&request, SA_SIDE_EXTERNAL, i);
        (void)pair_admit(pair, 0, &request);
    }
    pair->site[0].reconnect = pair->site[1].reconnect = true;
    (void)pair_run_until_synced(pair);
    pair_run(pair, 50 * PAIR_MS);
    ck_assert_uint_eq(table_count_owner(pair->dmz->table, 0), 10);
    for (uint64_t id = 1; id <= 15; id++)
        refused += sa_text(inner_find_sa(pair->site[0].inner, id), SA_REFUSED)[0] != '\0';
    ck_assert_uint_eq(refused, 5);
    other = add_sender(pair, 1, SA_SIDE_EXTERNAL, 100);
    (void)pair_run_until_synced(pair);
    pair_expect_one_way(other);
    pair_sender_free(other);
    pair_free(pair);
}
END_TEST

/* ------------------------------------------------------------ two connections of one site */

/* How the second connection's epoch and instance stand to those of the first. */
static const struct {
    int epoch, instance;
    bool wins;
} seconds[] = {
    {0, 1, true}, {0, 0, false}, {0, -1, false}, {1, -1, true}, {-1, 1, false}, {1, 1, true},
};

/* A connection that the test plays on the inner side: only HELLO and what is injected. */
static struct dmz_link *second_connection(struct pair *pair, const struct hello *hello)
{
    struct dmz_link *link = dmz_link_new(pair->dmz, pair->site[0].name, pair->now_us);
    uint8_t memory[FRAME_MAX_OCTETS], *space;
    struct writer w;
    size_t size;

    ck_assert_ptr_nonnull(link);
    writer_init(&w, memory, sizeof(memory));
    writer_u16(&w, 0);
    writer_u8(&w, FRAME_HELLO);
    hello_put(&w, hello);
    memory[0] = (uint8_t)((writer_length(&w) - 2) >> 8);
    memory[1] = (uint8_t)(writer_length(&w) - 2);
    space = session_space(link->session, &size);
    memcpy(space, memory, writer_length(&w));
    (void)session_received(link->session, writer_length(&w), pair->now_us);
    return link;
}

static void close_second(struct pair *pair, struct dmz_link *link)
{
    dmz_link_closed(link, "the test is over", pair->now_us);
    session_free(link->session);
}

START_TEST(test_second_connection)
{
    struct pair *pair = pair_new(1);
    struct pair_sender *out = add_sender(pair, 0, SA_SIDE_EXTERNAL, 7);
    struct dmz_link *first, *second;
    struct hello hello = {.version_min = 1, .version_max = 1};

    (void)pair_run_until_synced(pair);
    pair_expect_one_way(out);
    pair->site[0].reconnect = false;
    first = pair->dmz->sites[0].link;
    hello.epoch = first->epoch + (uint64_t)(int64_t)seconds[_i].epoch;
    hello.instance = first->instance + (uint64_t)(int64_t)seconds[_i].instance;
    second = second_connection(pair, &hello);
    if (seconds[_i].wins) {
        ck_assert_ptr_eq(pair->dmz->sites[0].link, second);
        ck_assert_int_eq(session_state(second->session), SESSION_UP);
        pair_run(pair, 50 * PAIR_MS);
        ck_assert_ptr_null(pair->tunnel[0]->dmz);
        ck_assert(strstr(pair->tunnel[0]->inner_reason, "newer connection") != NULL);
        /* The SAs are still there, and media goes to the new connection. */
        ck_assert_uint_eq(table_count(pair->dmz->table), 1);
        pair_send_rtp(out);
        ck_assert_uint_eq(session_queued(second->session), 1);
    } else {
        ck_assert_ptr_eq(pair->dmz->sites[0].link, first);
        ck_assert_int_eq(session_state(second->session), SESSION_ENDED);
        ck_assert(strstr(session_reason(second->session), "newer connection") != NULL);
        pair_expect_one_way(out);
    }
    close_second(pair, second);
    if (!seconds[_i].wins) {
        /* That it goes takes nothing from the one that stayed. */
        ck_assert_ptr_eq(pair->dmz->sites[0].link, first);
        pair_expect_one_way(out);
    }
    pair_sender_free(out);
    pair_free(pair);
}
END_TEST

/* The old connection hangs; the inner-relay has long connected anew. */
START_TEST(test_reconnect_before_the_old_one_is_dead)
{
    struct pair *pair = pair_new(1);
    struct pair_sender *out = add_sender(pair, 0, SA_SIDE_EXTERNAL, 7);
    struct pair_sender *in = add_sender(pair, 0, SA_SIDE_INTERNAL, 7);
    struct pair_tunnel *old;

    (void)pair_run_until_synced(pair);
    pair_expect_call(out, in);
    old = pair_tunnel(pair, 0);
    /* Only the inner side knows that it is over. */
    inner_link_closed(old->link, pair->now_us);
    session_free(old->inner);
    old->inner = NULL;
    old->scripted = true;
    ck_assert_ptr_nonnull(old->dmz);
    (void)pair_connect(pair, 0);
    pair_run(pair, 100 * PAIR_MS);
    ck_assert_ptr_null(old->dmz);
    ck_assert_ptr_nonnull(pair_tunnel(pair, 0));
    (void)pair_run_until_synced(pair);
    pair_expect_call(out, in);
    ck_assert_uint_eq(table_count(pair->dmz->table), 2);
    pair_sender_free(out);
    pair_sender_free(in);
    pair_free(pair);
}
END_TEST

/* In the middle of a snapshot: what the old connection left half done is no ground for a delta. */
START_TEST(test_takeover_in_the_snapshot)
{
    struct pair *pair = pair_new(1);
    struct admit_request request;
    struct hello hello = {.version_min = 1, .version_max = 1};
    struct dmz_link *second;

    for (unsigned i = 0; i < 200; i++) {
        pair_request(&request, SA_SIDE_INTERNAL, i);
        (void)pair_admit(pair, 0, &request);
    }
    (void)pair_run_until_synced(pair);
    pair->bandwidth = 100000;
    pair_reset(pair_tunnel(pair, 0));
    replica_clear(&pair->dmz->sites[0].replica);
    ck_assert_uint_eq(replica_sweep(&pair->dmz->sites[0].replica, 1000), 200);
    while (table_count(pair->dmz->table) < 20)
        pair_run(pair, PAIR_MS);
    pair->site[0].reconnect = false;
    hello.epoch = pair->dmz->sites[0].link->epoch;
    hello.instance = pair->dmz->sites[0].link->instance + 1;
    second = second_connection(pair, &hello);
    ck_assert(!pair->dmz->sites[0].replica.syncing);
    ck_assert_uint_eq(pair->dmz->sites[0].replica.version, 0);
    close_second(pair, second);
    pair_run(pair, PAIR_SECOND);
    pair->site[0].reconnect = true;
    pair->bandwidth = 0;
    (void)pair_run_until_synced(pair);
    ck_assert_uint_eq(table_count(pair->dmz->table), 200);
    pair_free(pair);
}
END_TEST

START_TEST(test_unknown_site)
{
    struct pair *pair = pair_new(1);

    ck_assert_ptr_null(dmz_link_new(pair->dmz, "site-c.example", pair->now_us));
    ck_assert_ptr_null(dmz_link_new(pair->dmz, "", pair->now_us));
    pair_free(pair);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pair sites");
    TCase *tc = tcase_create("sites");
    int result;

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, sample_engine_start, NULL);
    tcase_add_test(tc, test_two_sites);
    tcase_add_test(tc, test_foreign_source);
    tcase_add_test(tc, test_foreign_label);
    tcase_add_test(tc, test_passes);
    tcase_add_test(tc, test_quota);
    tcase_add_loop_test(tc, test_second_connection, 0, sizeof(seconds) / sizeof(seconds[0]));
    tcase_add_test(tc, test_reconnect_before_the_old_one_is_dead);
    tcase_add_test(tc, test_takeover_in_the_snapshot);
    tcase_add_test(tc, test_unknown_site);
    suite_add_tcase(suite, tc);
    result = unit_run(suite);
    sample_engine_stop();
    return result;
}
