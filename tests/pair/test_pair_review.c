/*
 * Peers that come and go with a reload of the dmz-relay, under calls: the operator is told which
 * SAs they refuse, nothing is sent to who is a peer no longer, and a reload that is taken back
 * mends it.
 */
#include <string.h>

#include "common/sa/review.h"
#include "common/sa/table.h"
#include "inner-relay/facts.h"
#include "tests/pair/pair.h"
#include "tests/unit/sample.h"
#include "tests/unit/unit.h"

/* A sender of each side. */
struct call {
    struct pair *pair;
    struct pair_sender *in, *out; /* outside; inside */
};

static void end(struct call *call)
{
    pair_sender_free(call->in);
    pair_sender_free(call->out);
    pair_free(call->pair);
}

/* The dmz-relay reloads: these are its peers from now on. */
static void reload(struct pair *pair, const struct addr *const *peers)
{
    struct dmz *dmz = pair->dmz;

    memset(&dmz->peers, 0, sizeof(dmz->peers));
    for (unsigned i = 0; peers[i]; i++)
        ck_assert_int_eq(peers_add(&dmz->peers, "other", peers[i]), 0);
    peers_fill_rules(&dmz->peers, &dmz->rules);
    dmz_rules_changed(dmz);
    pair_run(pair, 100 * PAIR_MS);
}

static void expect_refused(const struct pair_sender *sender, const char *why)
{
    struct sa *sa = inner_find_sa(sender->pair->site[0].inner, sender->id);
    struct explain_facts facts;
    struct explained explained;

    ck_assert_msg(strcmp(sa_text(sa, SA_REFUSED), why) == 0, "SA %u: \"%s\"", (unsigned)sa->id,
                  sa_text(sa, SA_REFUSED));
    facts_gather(sender->pair->site[0].inner, sa, &facts, sender->pair->now_us);
    explain(&facts, &explained);
    if (*why)
        ck_assert_str_eq(explain_word(explained.direction[0].cause), "refused");
}

/* RTP of a sender outside, as RTP' of who it is. */
static void send_prime(struct pair_sender *sender)
{
    uint8_t memory[PATH_PRIME_OCTETS];

    pair_make_rtp(sender);
    prime_write(memory, sender->request.ssrc[0]);
    memcpy(memory + PRIME_OCTETS, sender->packet, sender->length);
    pair_datagram(sender->pair, sender->side, 0, 0, false, &sender->request.source.rtp, memory,
                  PRIME_OCTETS + sender->length);
    pair_run(sender->pair, 100 * PAIR_MS);
}

/* ------------------------------------------------------------ RTP, and a peer comes */

static void set_up(struct call *call)
{
    struct admit_request request;

    call->pair = pair_new(1);
    pair_request(&request, SA_SIDE_EXTERNAL, 1);
    call->in = pair_sender_new(call->pair, 0, &request);
    pair_request(&request, SA_SIDE_INTERNAL, 1);
    call->out = pair_sender_new(call->pair, 0, &request);
    (void)pair_run_until_synced(call->pair);
}

START_TEST(test_peer_comes)
{
    struct call call;
    const struct addr *none[] = {NULL}, *both[3] = {NULL}, *stranger[2] = {NULL};
    struct addr far = sample_addr("198.51.100.200:5004");

    set_up(&call);
    both[0] = &call.in->request.source.rtp;
    both[1] = &call.out->request.destination.rtp;
    stranger[0] = &far;
    pair_expect_call(call.in, call.out);
    reload(call.pair, stranger);
    expect_refused(call.in, "");
    expect_refused(call.out, "");
    pair_expect_call(call.in, call.out);

    reload(call.pair, both);
    expect_refused(call.in, "the source is a [peer] of this dmz-relay, which sends RTP'");
    expect_refused(call.out, "a [peer], which takes nothing but RTP'");
    call.pair->out.count = call.pair->site[0].out.count = 0;
    pair_send_rtp(call.in);
    pair_send_rtp(call.out);
    pair_run(call.pair, 100 * PAIR_MS);
    ck_assert_uint_eq(call.pair->out.count, 0);
    ck_assert_uint_eq(call.pair->site[0].out.count, 0);
    ck_assert_uint_eq(call.pair->dmz->sites[0].counts.n[VERDICT_NO_DESTINATION], 1);

    reload(call.pair, none);
    expect_refused(call.in, "");
    expect_refused(call.out, "");
    pair_expect_call(call.in, call.out);
    end(&call);
}
END_TEST

/* ------------------------------------------------------------ RTP', and the peer goes */

static void set_up_prime(struct call *call, const struct addr *peer)
{
    struct target_rules *rules;
    struct admit_request request;
    const struct addr *peers[] = {peer, NULL};

    call->pair = pair_new(1);
    rules = &call->pair->site[0].inner->rules;
    rules->peer[rules->peer_count++] = *peer;
    reload(call->pair, peers);
    pair_request(&request, SA_SIDE_EXTERNAL, 1);
    request.source.rtp = request.source.rtcp = *peer;
    request.source.rtcp.port++;
    call->in = pair_sender_new(call->pair, 0, &request);
    pair_request(&request, SA_SIDE_INTERNAL, 1);
    request.destination.rtp = request.destination.rtcp = *peer;
    request.destination.rtcp.port++;
    call->out = pair_sender_new(call->pair, 0, &request);
    (void)pair_run_until_synced(call->pair);
}

START_TEST(test_peer_goes)
{
    struct addr peer = sample_addr("198.51.100.200:5004");
    const struct addr *none[] = {NULL}, *one[] = {&peer, NULL};
    struct call call;

    set_up_prime(&call, &peer);
    send_prime(call.in);
    pair_send_rtp(call.out);
    pair_run(call.pair, 100 * PAIR_MS);
    ck_assert_uint_eq(call.pair->out.count, 1);
    ck_assert_uint_eq(call.pair->site[0].out.count, 1);

    reload(call.pair, none);
    expect_refused(call.in, "the source is no [peer] of this dmz-relay");
    expect_refused(call.out, "the destination is no [peer] of this dmz-relay");
    send_prime(call.in);
    pair_send_rtp(call.out);
    pair_run(call.pair, 100 * PAIR_MS);
    ck_assert_uint_eq(call.pair->out.count, 1);
    ck_assert_uint_eq(call.pair->site[0].out.count, 1);

    /* Once more without it: asked again, refused again. */
    reload(call.pair, none);
    expect_refused(call.out, "the destination is no [peer] of this dmz-relay");
    reload(call.pair, one);
    expect_refused(call.in, "");
    expect_refused(call.out, "");
    send_prime(call.in);
    pair_send_rtp(call.out);
    pair_run(call.pair, 100 * PAIR_MS);
    ck_assert_uint_eq(call.pair->out.count, 2);
    ck_assert_uint_eq(call.pair->site[0].out.count, 2);
    end(&call);
}
END_TEST

/* ------------------------------------------------------------ many */

/* In pieces; and SAs that end meanwhile are no matter. */
START_TEST(test_many)
{
    enum { SAS = 3 * REVIEW_PIECE };
    struct pair_sender *senders[SAS];
    struct pair *pair = pair_new(1);
    const struct addr *none[] = {NULL};
    struct admit_request request;

    for (unsigned i = 0; i < SAS; i++) {
        pair_request(&request, SA_SIDE_INTERNAL, i + 1);
        senders[i] = pair_sender_new(pair, 0, &request);
    }
    (void)pair_run_until_synced(pair);
    /* Public addresses would do without: now none of them is allowed. */
    pair->dmz->rules.internal_count = 1;
    ck_assert_int_eq(addr_net_parse("0.0.0.0/0", &pair->dmz->rules.internal[0]), 0);
    peers_fill_rules(&pair->dmz->peers, &pair->dmz->rules);
    dmz_rules_changed(pair->dmz);
    for (unsigned i = 0; i < SAS; i += 3)
        inner_delete(pair->site[0].inner, inner_find_sa(pair->site[0].inner, senders[i]->id),
                     pair->now_us);
    pair_run(pair, 200 * PAIR_MS);
    for (unsigned i = 0; i < SAS; i++) {
        if (i % 3)
            expect_refused(senders[i], "in [networks] internal, so not on the external side");
    }
    pair->dmz->rules.internal_count = 0;
    reload(pair, none);
    for (unsigned i = 0; i < SAS; i++) {
        if (i % 3)
            expect_refused(senders[i], "");
        pair_sender_free(senders[i]);
    }
    pair_free(pair);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pair_review");
    TCase *tc = tcase_create("pair_review");
    int result;

    tcase_add_checked_fixture(tc, sample_engine_start, NULL);
    tcase_add_test(tc, test_peer_comes);
    tcase_add_test(tc, test_peer_goes);
    tcase_add_test(tc, test_many);
    suite_add_tcase(suite, tc);
    result = unit_run(suite);
    sample_engine_stop();
    return result;
}
