/*
 * Calls whose senders are not where SDP says, or whose SSRCs nobody named: both relays learn them,
 * each from what it hears. Times are those of the fake clock, from a stream's first packet.
 */
#include <stdio.h>
#include <string.h>

#include "common/sa/budget.h"
#include "common/sa/table.h"
#include "tests/pair/pair.h"
#include "tests/unit/sample.h"
#include "tests/unit/unit.h"

enum {
    STREAMS_MAX = 200,
    PACE_MS = 20,
    NAT_PORTS = 30000,
    PEER_PORT = 5004,
    SECOND = 1000 / PACE_MS
};

#define NAT  "8.8.99.1"
#define PEER "8.8.98.1:5004"
#define PBX  "8.8.97.1:16000"

static struct pair *pair;

static struct inner *inner(void)
{
    return pair->site[0].inner;
}

static void setup(void)
{
    pair = pair_new(1);
    inner()->options.learns_ssrcs = true;
}

static void teardown(void)
{
    pair_free(pair);
}

static struct sa *at_dmz(uint64_t id)
{
    return table_by_id(pair->dmz->table, 0, id);
}

static struct addr with_port(const char *ip, unsigned port)
{
    char text[ADDR_TEXT_SIZE];

    snprintf(text, sizeof(text), "%s:%u", ip, port);
    return sample_addr(text);
}

/* ------------------------------------------------------------ a call */

struct call {
    struct pair_sender *outside, *inside;
};

/* A phone that SDP has at 192.168.1.n, and whose signalling came from behind a NAT. */
static void behind_nat(struct admit_request *request)
{
    struct addr lan = with_port("192.168.1.77", 4000);

    request->source_policy = SOURCE_HINTED;
    request->hint = with_port(NAT, 5060);
    request->source.rtp = request->source.rtcp = lan;
    request->source.rtcp.port++;
}

static void call_end(struct call *call)
{
    pair_sender_free(call->outside);
    pair_sender_free(call->inside);
}

/* The other direction goes to where the phone is heard. outside was filled in by the test. */
static struct call call_new(const struct admit_request *outside, unsigned n)
{
    struct admit_request inside;
    struct call call = {.outside = pair_sender_new(pair, 0, outside)};

    pair_request(&inside, SA_SIDE_INTERNAL, n);
    inside.reverse = call.outside->id;
    inside.destination = (struct sa_transport){.mux = outside->source.mux};
    call.inside = pair_sender_new(pair, 0, &inside);
    return call;
}

/* From now on its packets come from there, and what goes back is expected there. */
static void comes_from(struct call *call, const char *ip, unsigned rtp, unsigned rtcp)
{
    struct sa_transport *at = &call->outside->request.source;

    at->rtp = with_port(ip, rtp);
    at->rtcp = with_port(ip, rtcp);
    call->inside->request.destination = *at;
}

/* Of n: the suites take turns, and those with short tags bind with the third packet. */
static unsigned packets_to_bind(const struct pair_sender *sender)
{
    return sender->request.suite->rtp_tag_octets == 4 ? 3 : 1;
}

static void send_to_bind(struct call *call)
{
    for (unsigned i = 0; i < packets_to_bind(call->outside); i++) {
        pair_send_rtp(call->outside);
        pair_run(pair, PACE_MS * PAIR_MS);
    }
}

static uint64_t no_destination(void)
{
    return pair->dmz->sites[0].counts.n[VERDICT_NO_DESTINATION];
}

/* ------------------------------------------------------------ one phone */

enum { LEARN_SSRC = 1, MUX = 2 };

/*
 * SDP shows a private address: until its first packet there is nowhere to send to, and nothing is;
 * then media goes both ways.
 */
START_TEST(test_nat_phone)
{
    unsigned how = (unsigned)_i % 4;
    struct admit_request request;
    struct call call;

    pair_request(&request, SA_SIDE_EXTERNAL, (unsigned)_i / 4);
    behind_nat(&request);
    request.source.mux = how & MUX;
    request.ssrc_count = how & LEARN_SSRC ? 0 : 1;
    call = call_new(&request, 7);
    (void)pair_run_until_synced(pair);
    pair_send_rtp(call.inside);
    pair_run(pair, 50 * PAIR_MS);
    ck_assert_uint_eq(pair->out.count, 0);
    ck_assert_uint_eq(no_destination(), 1);
    comes_from(&call, NAT, 31234, 31777);
    call.inside->request.destination.mux = how & MUX;
    send_to_bind(&call);
    ck_assert_uint_eq(pair->site[0].out.count, packets_to_bind(call.outside));
    pair_expect_received(call.outside, false);
    for (unsigned i = 0; i < 3; i++)
        pair_expect_call(call.outside, call.inside);
    ck_assert_uint_eq(no_destination(), 1);
    call_end(&call);
}
END_TEST

/* SDP is right but for the ports, which a NAT has changed; nobody told of a hint. */
START_TEST(test_ports_rewritten)
{
    struct admit_request request;
    struct call call;

    pair_request(&request, SA_SIDE_EXTERNAL, 5);
    request.source_policy = SOURCE_HINTED;
    request.source.rtp = with_port(NAT, 4000);
    request.source.rtcp = with_port(NAT, 4001);
    call = call_new(&request, 7);
    (void)pair_run_until_synced(pair);
    comes_from(&call, NAT, 61234, 61777);
    send_to_bind(&call);
    pair_expect_call(call.outside, call.inside);
    call_end(&call);
}
END_TEST

/* Both ends are elsewhere than SDP says, and no SSRC is known: each relay learns its own side. */
START_TEST(test_both_directions)
{
    struct admit_request outside, inside;
    struct call call;

    pair_request(&outside, SA_SIDE_EXTERNAL, 5);
    behind_nat(&outside);
    outside.ssrc_count = 0;
    outside.destination = (struct sa_transport){0};
    pair_request(&inside, SA_SIDE_INTERNAL, 5);
    inside.source_policy = SOURCE_HINTED;
    inside.ssrc_count = 0;
    inside.destination = (struct sa_transport){0};
    inside.source.rtp = with_port("10.1.5.5", 4000);
    inside.source.rtcp = with_port("10.1.5.5", 4001);
    /* The first of the two cannot name the other yet, so it is told where to send. */
    outside.destination = inside.source;
    call.outside = pair_sender_new(pair, 0, &outside);
    inside.reverse = call.outside->id;
    call.inside = pair_sender_new(pair, 0, &inside);
    (void)pair_run_until_synced(pair);
    comes_from(&call, NAT, 31234, 31777);
    call.inside->request.source.rtp = with_port("10.1.5.5", 41234);
    call.inside->request.source.rtcp = with_port("10.1.5.5", 41235);
    call.outside->request.destination = call.inside->request.source;
    for (unsigned i = 0; i < 3; i++) {
        pair_send_rtp(call.outside);
        pair_send_rtp(call.inside);
        pair_run(pair, PACE_MS * PAIR_MS);
    }
    pair_send_rtcp(call.outside);
    pair_send_rtcp(call.inside);
    pair_run(pair, PACE_MS * PAIR_MS);
    for (unsigned i = 0; i < 3; i++)
        pair_expect_call(call.outside, call.inside);
    ck_assert_uint_eq(at_dmz(call.outside->id)->stream[0].origin, SSRC_ORIGIN_LEARNED);
    ck_assert_uint_eq(inner_find_sa(inner(), call.outside->id)->stream[0].ssrc,
                      call.outside->request.ssrc[0]);
    ck_assert_uint_eq(inner_find_sa(inner(), call.inside->id)->stream[0].origin,
                      SSRC_ORIGIN_LEARNED);
    call_end(&call);
}
END_TEST

/* Handover: media comes in without a gap, and goes to the new address after a second. */
START_TEST(test_handover)
{
    struct admit_request request;
    struct call call;
    size_t before;
    unsigned n = 0;

    pair_request(&request, SA_SIDE_EXTERNAL, 5);
    behind_nat(&request);
    request.ssrc_count = 0;
    call = call_new(&request, 7);
    (void)pair_run_until_synced(pair);
    comes_from(&call, NAT, 31234, 31777);
    send_to_bind(&call);
    pair_expect_call(call.outside, call.inside);
    comes_from(&call, "8.8.96.1", 2000, 2001);
    before = pair->site[0].out.count;
    for (; n < 100 && pair->out.sent[pair->out.count - 1].to.port != 2000; n++) {
        pair_send_rtp(call.outside);
        pair_send_rtp(call.inside);
        pair_run(pair, PACE_MS * PAIR_MS);
    }
    ck_assert_uint_eq(pair->site[0].out.count, before + n);
    ck_assert_uint_ge(n * PACE_MS, 1000 - PACE_MS);
    ck_assert_uint_le(n * PACE_MS, 1000 + 2 * PACE_MS);
    pair_expect_call(call.outside, call.inside);
    call_end(&call);
}
END_TEST

/*
 * A dmz-relay that was killed in mid-call knows again where the phone is, and its SSRC and turn,
 * before the phone has sent a packet.
 */
START_TEST(test_dmz_restarted)
{
    struct admit_request request;
    struct call call;

    pair_request(&request, SA_SIDE_EXTERNAL, 5);
    behind_nat(&request);
    request.ssrc_count = (unsigned)_i;
    call = call_new(&request, 7);
    (void)pair_run_until_synced(pair);
    comes_from(&call, NAT, 31234, 31777);
    call.outside->index = 0xfff0;
    for (unsigned i = 0; i < 100; i++) {
        pair_expect_one_way(call.outside);
        pair_run(pair, PACE_MS * PAIR_MS);
    }
    pair_run(pair, 2 * PAIR_SECOND); /* reports */
    pair_restart_dmz(pair);
    (void)pair_run_until_synced(pair);
    pair_run(pair, 50 * PAIR_MS);
    ck_assert_uint_eq(at_dmz(call.outside->id)->packets, 0);
    pair_expect_one_way(call.inside);
    pair_expect_one_way(call.outside);
    ck_assert_uint_eq(at_dmz(call.outside->id)->verdicts[VERDICT_ACCEPTED], 2);
    call_end(&call);
}
END_TEST

/* ------------------------------------------------------------ many streams at once */

/* When each was heard, in packets of its own. */
static struct pair_sender *senders[STREAMS_MAX];
static unsigned heard[STREAMS_MAX];
static unsigned sent[STREAMS_MAX];

static void send_one(struct pair_sender *sender)
{
    uint8_t memory[PRIME_OCTETS + PACKET_MAX_OCTETS];

    if (sender->request.source.rtp.port != PEER_PORT) {
        pair_send_rtp(sender);
        return;
    }
    pair_make_rtp(sender);
    prime_write(memory, sender->request.ssrc[0]);
    memcpy(memory + PRIME_OCTETS, sender->packet, sender->length);
    pair_datagram(pair, SA_SIDE_EXTERNAL, 0, 0, false, &sender->request.source.rtp, memory,
                  PRIME_OCTETS + sender->length);
}

/* Sends one packet of each that has begun; one that was not forwarded is yet to be heard. */
static void send_all(unsigned count, unsigned begun)
{
    for (unsigned i = 0; i < count && i < begun; i++) {
        struct pair_sender *sender = senders[i];
        struct sa *sa = at_dmz(sender->id);
        uint64_t before = sa->packets;

        send_one(sender);
        sent[i]++;
        if (sa->packets > before && heard[i] == 0)
            heard[i] = sent[i];
        ck_assert_msg(sa->packets > before || heard[i] == 0, "stream %u was heard before", i);
    }
}

/* All of them, begun evenly within a time, until each is heard, with so many packets at most. */
static void send_streams(unsigned count, unsigned spread_ms, unsigned within, const char *what)
{
    struct budget_counts before = budget_counts(pair->dmz->budget), after;
    unsigned most = 0, left = count;
    uint64_t sum = 0;

    memset(heard, 0, sizeof(heard));
    memset(sent, 0, sizeof(sent));
    for (unsigned ms = 0; ms < spread_ms + 5000 && left > 0; ms += PACE_MS) {
        send_all(count, spread_ms ? 1 + count * ms / spread_ms : count);
        pair_run(pair, PACE_MS * PAIR_MS);
        pair->site[0].out.count = 0;
        left = 0;
        for (unsigned i = 0; i < count; i++)
            left += heard[i] == 0;
    }
    after = budget_counts(pair->dmz->budget);
    for (unsigned i = 0; i < count; i++) {
        most = heard[i] > most ? heard[i] : most;
        sum += heard[i];
    }
    fprintf(stderr,
            "%s: %u streams, %u not heard; packets until heard: mean %.1f, most %u; %u tries\n",
            what, count, left, (double)sum / count, most, (unsigned)(after.tries - before.tries));
    ck_assert_uint_eq(left, 0);
    ck_assert_msg(most <= within, "%s: the last was heard with its packet %u", what, most);
}

static void end_streams(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        pair_sender_free(senders[i]);
}

static void stream_request(unsigned n, struct admit_request *request)
{
    pair_request(request, SA_SIDE_EXTERNAL, n);
    request->rate = 1000 * 1000;
    request->source.mux = true;
}

/* 20 of them never send. */
START_TEST(test_fifty_phones)
{
    struct admit_request request;

    for (unsigned i = 0; i < 50; i++) {
        stream_request(i, &request);
        behind_nat(&request);
        request.source.rtp = with_port("192.168.1.1", 4000 + 2 * i);
        request.ssrc_count = _i ? 0 : 1;
        senders[i] = pair_sender_new(pair, 0, &request);
        senders[i]->request.source.rtp = with_port(NAT, NAT_PORTS + 7 * i);
    }
    (void)pair_run_until_synced(pair);
    for (unsigned i = 30; i < 50; i++)
        ck_assert_uint_eq(at_dmz(senders[i]->id)->packets, 0);
    send_streams(30, 0, SECOND, "50 phones behind one NAT address");
    end_streams(50);
}
END_TEST

/* Set up within a second, and all at once. */
START_TEST(test_peer)
{
    struct addr peer = sample_addr(PEER);
    struct admit_request request;

    ck_assert_int_eq(peers_add(&pair->dmz->peers, "other", &peer), 0);
    peers_fill_rules(&pair->dmz->peers, &pair->dmz->rules);
    ck_assert_int_eq(peers_add(&inner()->peers, "other", &peer), 0);
    peers_fill_rules(&inner()->peers, &inner()->rules);
    for (unsigned i = 0; i < 200; i++) {
        stream_request(i, &request);
        request.source.rtp = peer;
        request.ssrc_count = 0;
        senders[i] = pair_sender_new(pair, 0, &request);
    }
    (void)pair_run_until_synced(pair);
    /* One after another, the first ones look among all 200, which change places meanwhile. */
    send_streams(200, _i ? 0 : 1000, _i ? SECOND : 2 * SECOND, "200 calls from a peer");
    end_streams(200);
}
END_TEST

/*
 * All calls from one socket, behind a NAT in the last row: by key, until the SSRC is known. Most
 * are heard within half a second; who is the last of 200 is chance, and how long that takes, too.
 */
START_TEST(test_pbx)
{
    struct admit_request request;

    for (unsigned i = 0; i < 200; i++) {
        stream_request(i, &request);
        request.source.rtp = sample_addr(PBX);
        request.source_policy = SOURCE_HINTED;
        request.ssrc_count = _i == 2 ? 1 : 0;
        if (_i == 3)
            behind_nat(&request);
        senders[i] = pair_sender_new(pair, 0, &request);
        if (_i == 3)
            senders[i]->request.source.rtp = with_port(NAT, NAT_PORTS);
    }
    (void)pair_run_until_synced(pair);
    send_streams(200, _i == 0 ? 1000 : 0, _i == 2 ? 1 : 2 * SECOND, "200 calls from one socket");
    if (_i == 2)
        ck_assert_uint_eq(budget_counts(pair->dmz->budget).tries, 0);
    end_streams(200);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pair learn");
    TCase *tc = tcase_create("learn");
    int result;

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, sample_engine_start, NULL);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, test_nat_phone, 0, 4 * SUITE_COUNT);
    tcase_add_test(tc, test_ports_rewritten);
    tcase_add_test(tc, test_both_directions);
    tcase_add_test(tc, test_handover);
    tcase_add_loop_test(tc, test_dmz_restarted, 0, 2);
    tcase_add_loop_test(tc, test_fifty_phones, 0, 2);
    tcase_add_loop_test(tc, test_peer, 0, 2);
    tcase_add_loop_test(tc, test_pbx, 0, 4);
    suite_add_tcase(suite, tc);
    result = unit_run(suite);
    sample_engine_stop();
    return result;
}
