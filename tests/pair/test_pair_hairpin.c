/*
 * Calls that stay on one side: from outside to outside the dmz-relay alone sends the packets on,
 * from inside to inside the inner-relay does, and nothing of them is in the tunnel.
 */
#include <stdio.h>
#include <string.h>

#include "common/rtp/prime.h"
#include "common/sa/far.h"
#include "common/sa/table.h"
#include "inner-relay/facts.h"
#include "tests/pair/pair.h"
#include "tests/unit/sample.h"
#include "tests/unit/unit.h"

static struct pair *pair;

static void setup(void)
{
    pair = pair_new(1);
}

static void teardown(void)
{
    pair_free(pair);
}

static struct inner *inner(void)
{
    return pair->site[0].inner;
}

static struct sa *at_dmz(const struct pair_sender *sender)
{
    return table_by_id(pair->dmz->table, sender->site, sender->id);
}

/* ------------------------------------------------------------ calls */

struct call {
    struct pair_sender *a, *b;
};

/* From client n to client to, on one side. */
static void hairpin(struct admit_request *request, enum sa_side side, unsigned n, unsigned to)
{
    struct admit_request receiver;

    pair_request(&receiver, side, to);
    pair_request(request, side, n);
    request->to_side = side;
    request->destination = receiver.source;
}

static struct call call_new(enum sa_side side)
{
    struct admit_request request;
    struct call call;

    hairpin(&request, side, 1, 2);
    call.a = pair_sender_new(pair, 0, &request);
    hairpin(&request, side, 2, 1);
    request.reverse = call.a->id;
    call.b = pair_sender_new(pair, 0, &request);
    (void)pair_run_until_synced(pair);
    return call;
}

static void call_end(const struct call *call)
{
    pair_sender_free(call->a);
    pair_sender_free(call->b);
}

/* No packet of media was put into a tunnel, or came out of one. */
static void expect_no_tunnel(void)
{
    for (unsigned i = 0; i < pair->site_count; i++) {
        const struct pair_tunnel *tunnel = pair_tunnel(pair, i);

        ck_assert_uint_eq(pair->site[i].inner->links[0].counts.received, 0);
        ck_assert_uint_eq(pair->dmz->sites[i].counts.received, 0);
        ck_assert_uint_eq(session_counters(tunnel->inner)->media_out, 0);
        ck_assert_uint_eq(session_counters(tunnel->dmz->session)->media_out, 0);
    }
}

/* Gives the packet to the relay, and looks that it drops it. */
static void expect_dropped(struct pair_sender *sender, const struct addr *source,
                           enum verdict verdict)
{
    size_t before = pair_receiver(sender)->count;
    uint64_t counted = sender->side == SA_SIDE_EXTERNAL ? pair_dmz_verdict(pair, verdict)
                                                        : pair_inner_verdict(pair, 0, verdict);

    pair_datagram(pair, sender->side, 0, 0, false, source, sender->packet, sender->length);
    pair_run(pair, 20 * PAIR_MS);
    ck_assert_uint_eq(pair_receiver(sender)->count, before);
    ck_assert_uint_eq(sender->side == SA_SIDE_EXTERNAL ? pair_dmz_verdict(pair, verdict)
                                                       : pair_inner_verdict(pair, 0, verdict),
                      counted + 1);
}

static const enum sa_side sides[] = {SA_SIDE_EXTERNAL, SA_SIDE_INTERNAL};

/* RTP and RTCP both ways, and everything else is dropped as it is on the way inside. */
START_TEST(test_call)
{
    enum sa_side side = sides[_i];
    struct call call = call_new(side);
    const struct addr stranger = sample_addr(_i ? "10.1.77.77:20000" : "8.8.77.77:20000");
    const struct verdict_counts *counts = _i ? &inner()->hairpin : &pair->dmz->hairpin;
    struct pair_out *other = _i ? &pair->out : &pair->site[0].out;

    for (unsigned i = 0; i < 10; i++)
        pair_expect_call(call.a, call.b);
    ck_assert_uint_eq(counts->n[VERDICT_ACCEPTED], 40);
    ck_assert_uint_eq(counts->received, 40);
    ck_assert_uint_eq(other->count, 0);

    expect_dropped(call.a, &call.a->request.source.rtp, VERDICT_WRONG_PORT); /* its RTCP again */
    pair_make_rtp(call.a);
    call.a->packet[call.a->length - 1] ^= 1;
    expect_dropped(call.a, &call.a->request.source.rtp, VERDICT_AUTH_FAIL);
    call.a->packet[call.a->length - 1] ^= 1;
    expect_dropped(call.a, &stranger, VERDICT_NO_SA);
    pair_send_rtp(call.a);
    expect_dropped(call.a, &call.a->request.source.rtp, VERDICT_REPLAY);
    /* In the name of the other one. */
    pair_make_rtp(call.a);
    expect_dropped(call.a, &call.b->request.source.rtp, VERDICT_AUTH_FAIL);
    pair_expect_call(call.a, call.b);
    expect_no_tunnel();
    call_end(&call);
}
END_TEST

/* The replica has both SAs of a call outside, and none of one inside. */
START_TEST(test_replica)
{
    struct call outside = call_new(SA_SIDE_EXTERNAL), inside = call_new(SA_SIDE_INTERNAL);

    ck_assert_uint_eq(table_count(pair->dmz->table), 2);
    ck_assert(at_dmz(outside.a)->hairpin && at_dmz(outside.b)->hairpin);
    ck_assert_ptr_null(at_dmz(inside.a));
    ck_assert_uint_eq(table_count(inner()->table), 4);
    /* A dmz-relay that has lost its memory is told again. */
    pair_restart_dmz(pair);
    (void)pair_run_until_synced(pair);
    ck_assert_uint_eq(table_count(pair->dmz->table), 2);
    pair_expect_call(outside.a, outside.b);
    pair_expect_call(inside.a, inside.b);
    for (uint64_t id = 1; id <= 4; id++)
        inner_delete(inner(), inner_find_sa(inner(), id), pair->now_us);
    pair_run(pair, 50 * PAIR_MS);
    ck_assert_uint_eq(table_count(pair->dmz->table), 0);
    expect_no_tunnel();
    call_end(&outside);
    call_end(&inside);
}
END_TEST

/* What is on one side stays there when the inner-relay comes back from its state file. */
START_TEST(test_state_file)
{
    static uint8_t state[PAIR_STATE_OCTETS];
    struct call outside = call_new(SA_SIDE_EXTERNAL), inside = call_new(SA_SIDE_INTERNAL);
    size_t length = pair_save_state(pair, 0, state, sizeof(state));

    pair_kill_inner(pair, 0);
    pair_start_inner(pair, 0, state, length);
    (void)pair_run_until_synced(pair);
    ck_assert_uint_eq(table_count(inner()->table), 4);
    ck_assert_uint_eq(table_count(pair->dmz->table), 2);
    pair_expect_call(outside.a, outside.b);
    pair_expect_call(inside.a, inside.b);
    expect_no_tunnel();
    call_end(&outside);
    call_end(&inside);
}
END_TEST

/* The tunnel is down, and the calls on either side of it go on. */
START_TEST(test_without_a_tunnel)
{
    struct call outside = call_new(SA_SIDE_EXTERNAL), inside = call_new(SA_SIDE_INTERNAL);

    pair->site[0].reconnect = false;
    pair_reset(pair_tunnel(pair, 0));
    pair_run(pair, PAIR_SECOND);
    pair_expect_call(outside.a, outside.b);
    pair_expect_call(inside.a, inside.b);
    call_end(&outside);
    call_end(&inside);
}
END_TEST

/* ------------------------------------------------------------ learned */

/* Two phones behind NATs: SDP has private addresses, and each is heard from where nobody said. */
static struct pair_sender *behind_nat(enum sa_side side, unsigned n, uint64_t reverse)
{
    struct admit_request request;
    char text[ADDR_TEXT_SIZE];
    struct pair_sender *sender;

    hairpin(&request, side, n, n + 1);
    request.suite = suite_get(SUITE_AES_CM_128_HMAC_SHA1_80);
    request.key.length = suite_material_octets(request.suite);
    request.source_policy = SOURCE_HINTED;
    request.hint = request.source.rtp;
    request.source.rtp =
        sample_addr(side == SA_SIDE_EXTERNAL ? "192.168.1.7:4000" : "10.9.9.9:4000");
    request.source.rtcp =
        sample_addr(side == SA_SIDE_EXTERNAL ? "192.168.1.7:4001" : "10.9.9.9:4001");
    request.destination = (struct sa_transport){.mux = false};
    request.no_destination = true;
    request.reverse = reverse;
    sender = pair_sender_new(pair, 0, &request);
    snprintf(text, sizeof(text), "%s.0.%u:%u", side == SA_SIDE_EXTERNAL ? "8.8" : "10.1", n,
             40000 + n);
    sender->request.source.rtp = sample_addr(text);
    sender->request.source.rtcp = sender->request.source.rtp;
    sender->request.source.rtcp.port += 500;
    return sender;
}

START_TEST(test_learned)
{
    enum sa_side side = sides[_i];
    struct call call;
    const struct verdict_counts *counts = _i ? &inner()->hairpin : &pair->dmz->hairpin;

    call.a = behind_nat(side, 1, 0);
    call.b = behind_nat(side, 2, call.a->id);
    call.a->request.destination = call.b->request.source;
    call.b->request.destination = call.a->request.source;
    (void)pair_run_until_synced(pair);
    /* Who speaks first is heard by nobody yet, and is where the other one's packets go. */
    pair_send_rtp(call.a);
    pair_run(pair, 20 * PAIR_MS);
    ck_assert_uint_eq(pair_receiver(call.a)->count, 0);
    ck_assert_uint_eq(counts->n[VERDICT_NO_DESTINATION], 1);
    pair_send_rtp(call.b);
    pair_run(pair, 20 * PAIR_MS);
    pair_expect_received(call.b, false);
    pair_send_rtp(call.a);
    pair_run(pair, 20 * PAIR_MS);
    pair_expect_received(call.a, false);
    /* RTCP follows from ports of its own: the first of each binds it. */
    pair_send_rtcp(call.a);
    pair_send_rtcp(call.b);
    pair_run(pair, 20 * PAIR_MS);
    for (unsigned i = 0; i < 5; i++)
        pair_expect_call(call.a, call.b);
    /* A forged packet from elsewhere binds nothing. */
    pair_make_rtp(call.a);
    call.a->packet[20] ^= 1;
    expect_dropped(call.a, &call.a->request.hint, VERDICT_AUTH_FAIL);
    pair_expect_call(call.a, call.b);
    expect_no_tunnel();
    call_end(&call);
}
END_TEST

/* ------------------------------------------------------------ RTP' */

/* The last packet that was made, as the RTP' of who it comes from. */
static size_t prime_of(const struct pair_sender *sender, uint8_t *memory)
{
    prime_write(memory, sender->request.ssrc[0]);
    memcpy(memory + PRIME_OCTETS, sender->packet, sender->length);
    return PRIME_OCTETS + sender->length;
}

static void add_peer(struct dmz *dmz, const char *name, const struct addr *addr)
{
    ck_assert_int_eq(peers_add(&dmz->peers, name, addr), 0);
    peers_fill_rules(&dmz->peers, &dmz->rules);
}

/* A phone of another company, behind its dmz-relay, and a phone on the Internet. */
START_TEST(test_peer)
{
    const struct addr peer = sample_addr("8.8.98.1:5004");
    struct admit_request request;
    struct admit_error error;
    struct pair_sender *from, *to;
    const struct pair_packet *packet;
    uint8_t memory[PATH_PRIME_OCTETS];
    size_t length;

    add_peer(pair->dmz, "other", &peer);
    ck_assert_int_eq(peers_add(&inner()->peers, "other", &peer), 0);
    peers_fill_rules(&inner()->peers, &inner()->rules);
    hairpin(&request, SA_SIDE_EXTERNAL, 1, 2);
    request.source = (struct sa_transport){.mux = false};
    ck_assert_int_eq(admit_peer(inner(), "other", &request, &error), 0);
    ck_assert(addr_equal(&request.source.rtp, &peer));
    from = pair_sender_new(pair, 0, &request);
    hairpin(&request, SA_SIDE_EXTERNAL, 2, 1);
    request.destination = (struct sa_transport){.mux = false};
    ck_assert_int_eq(admit_peer(inner(), "other", &request, &error), 0);
    ck_assert(addr_equal(&request.destination.rtp, &peer));
    to = pair_sender_new(pair, 0, &request);
    (void)pair_run_until_synced(pair);

    pair_make_rtp(from);
    length = prime_of(from, memory);
    pair_datagram(pair, SA_SIDE_EXTERNAL, 0, 0, false, &peer, memory, length);
    pair_expect_received(from, false);
    /* And again: the peer repeats it. */
    pair_datagram(pair, SA_SIDE_EXTERNAL, 0, 0, false, &peer, memory, length);
    ck_assert_uint_eq(pair->out.count, 1);
    ck_assert_uint_eq(pair_dmz_verdict(pair, VERDICT_REPLAY), 1);

    pair_send_rtp(to);
    length = prime_of(to, memory);
    ck_assert_uint_eq(pair->out.count, 2);
    packet = &pair->out.sent[1];
    ck_assert(addr_equal(&packet->to, &peer));
    ck_assert_uint_eq(packet->length, length);
    ck_assert_mem_eq(packet->data, memory, length);
    expect_no_tunnel();
    pair_sender_free(from);
    pair_sender_free(to);
}
END_TEST

/*
 * A phone outside calls one of this proxy's other calls: our own address is in the SDP. The packets
 * come in again as RTP', to a phone outside (one more hairpin) or to one inside.
 */
START_TEST(test_own_address)
{
    struct dmz *dmz = pair->dmz;
    struct admit_request request;
    struct admit_error error;
    struct pair_sender *phone, *again;

    add_peer(dmz, PEERS_SELF, &dmz->listeners[0].advertise);
    hairpin(&request, SA_SIDE_EXTERNAL, 1, 2);
    request.destination = (struct sa_transport){.mux = false};
    ck_assert_int_eq(admit_peer(inner(), PEERS_SELF, &request, &error), 0);
    phone = pair_sender_new(pair, 0, &request);
    /* The same packets, in the other call. */
    if (_i == 0) {
        request.source = request.destination;
        hairpin(&request, SA_SIDE_EXTERNAL, 1, 2);
    } else {
        pair_request(&request, SA_SIDE_EXTERNAL, 1);
    }
    request.source = (struct sa_transport){.mux = false};
    ck_assert_int_eq(admit_peer(inner(), PEERS_SELF, &request, &error), 0);
    again = pair_sender_new(pair, 0, &request);
    (void)pair_run_until_synced(pair);

    pair_send_rtp(phone);
    pair_run(pair, 20 * PAIR_MS);
    ck_assert_uint_eq(dmz->own.n[VERDICT_ACCEPTED], 1);
    ck_assert_uint_eq(dmz->hairpin.n[VERDICT_ACCEPTED], _i == 0 ? 2 : 1);
    ck_assert_uint_eq(pair_receiver(again)->count, 1);
    memcpy(again->packet, phone->packet, phone->length);
    again->length = phone->length;
    pair_expect_received(again, false);
    if (_i == 0)
        expect_no_tunnel();
    else
        ck_assert_uint_eq(pair->out.count, 0);
    pair_sender_free(phone);
    pair_sender_free(again);
}
END_TEST

/* ------------------------------------------------------------ what is refused */

static void to_itself(struct admit_request *request)
{
    request->destination = request->source;
}

static void to_inside(struct admit_request *request)
{
    request->destination.rtp = sample_addr("10.1.0.9:4000");
}

static void to_loopback(struct admit_request *request)
{
    request->destination.rtcp = sample_addr("127.0.0.1:4000");
}

static void to_own(struct admit_request *request)
{
    inner()->rules.own[inner()->rules.own_count++] = sample_addr("8.8.0.2:1");
    request->destination.rtp = sample_addr("8.8.0.2:4000");
}

static void to_listener(struct admit_request *request)
{
    snprintf(request->to_listener, sizeof(request->to_listener), "none");
}

static void keyless(struct admit_request *request)
{
    (void)request;
    inner()->options.dmz_keys = WIRE_REPLICA_KEYLESS;
}

static void old_dmz(struct admit_request *request)
{
    (void)request;
    inner()->links[0].peer.features &= ~(uint64_t)FEATURE_HAIRPIN;
}

static void to_outside(struct admit_request *request)
{
    request->destination.rtp = sample_addr("8.8.4.4:4000");
}

static const struct {
    enum sa_side side;
    void (*spoil)(struct admit_request *request);
    const char *field, *why;
} refusals[] = {
    {SA_SIDE_EXTERNAL, to_itself, "to", "back to their sender"},
    {SA_SIDE_EXTERNAL, to_inside, "to", "in [networks] internal, so not on the external side"},
    {SA_SIDE_EXTERNAL, to_loopback, "to_rtcp", "loopback"},
    {SA_SIDE_EXTERNAL, to_own, "to", "own address"},
    {SA_SIDE_EXTERNAL, to_listener, "to_listener", "dmz dmz has no [listener none]"},
    {SA_SIDE_EXTERNAL, keyless, "to_side", "keyless"},
    {SA_SIDE_EXTERNAL, old_dmz, "to_side", "older version"},
    {SA_SIDE_INTERNAL, to_itself, "to", "back to their sender"},
    {SA_SIDE_INTERNAL, to_outside, "to", "not in [networks] internal"},
    {SA_SIDE_INTERNAL, to_listener, "to_listener", "the inner-relay has no [listener none]"},
    /* The dmz-relay has no part in it. */
    {SA_SIDE_INTERNAL, keyless, NULL, NULL},
    {SA_SIDE_INTERNAL, old_dmz, NULL, NULL},
};

START_TEST(test_refused)
{
    struct admit_request request;
    struct admit_error error;
    int result;

    hairpin(&request, refusals[_i].side, 1, 2);
    ck_assert_int_eq(admit_check(inner(), &request, NULL, &error), 0);
    refusals[_i].spoil(&request);
    result = admit_check(inner(), &request, NULL, &error);
    if (!refusals[_i].field) {
        ck_assert_int_eq(result, 0);
        return;
    }
    ck_assert_int_lt(result, 0);
    ck_assert_str_eq(error.field, refusals[_i].field);
    ck_assert_msg(strstr(error.text, refusals[_i].why) != NULL, "%s", error.text);
}
END_TEST

/* A stolen dmz-relay, or a stolen inner-relay, cannot make the other one send such packets. */
START_TEST(test_frames)
{
    struct call outside = call_new(SA_SIDE_EXTERNAL), inside = call_new(SA_SIDE_INTERNAL);
    struct pair_sender *senders[] = {outside.a, inside.a};

    for (int i = 0; i < 2; i++) {
        pair_make_rtp(senders[i]);
        pair_inject_media(pair_tunnel(pair, 0), true, senders[i]->request.ssrc[0],
                          senders[i]->packet, senders[i]->length);
        pair_inject_media(pair_tunnel(pair, 0), false, senders[i]->request.ssrc[0],
                          senders[i]->packet, senders[i]->length);
    }
    pair_run(pair, 20 * PAIR_MS);
    ck_assert_uint_eq(pair->out.count, 0);
    ck_assert_uint_eq(pair->site[0].out.count, 0);
    ck_assert_uint_eq(inner()->links[0].counts.n[VERDICT_WRONG_SIDE], 2);
    ck_assert_uint_eq(pair->dmz->sites[0].counts.n[VERDICT_WRONG_SIDE], 1);
    ck_assert_uint_eq(pair->dmz->sites[0].counts.n[VERDICT_NO_SA], 1);
    call_end(&outside);
    call_end(&inside);
}
END_TEST

/* ------------------------------------------------------------ what the inner-relay knows */

static void talk(const struct call *call, unsigned seconds)
{
    for (unsigned i = 0; i < 10 * seconds; i++) {
        pair_send_rtp(call->a);
        pair_send_rtp(call->b);
        pair_run(pair, 100 * PAIR_MS);
    }
}

static enum explain_cause cause_of(const struct pair_sender *sender, struct explained *out)
{
    struct explain_facts facts;

    facts_gather(inner(), inner_find_sa(inner(), sender->id), &facts, pair->now_us);
    ck_assert_uint_eq(facts.count, 2);
    explain(&facts, out);
    return out->direction[0].cause;
}

static bool says(const struct explained *explained, const char *part)
{
    const struct explain_verdict *verdict = &explained->direction[0];

    for (unsigned i = 0; i < verdict->line_count; i++) {
        if (strstr(verdict->line[i], part))
            return true;
    }
    return false;
}

/* Nothing comes inside, and nobody takes that for a loss. */
START_TEST(test_explain)
{
    struct call call = call_new(sides[_i]);
    struct explained explained;
    enum explain_cause cause;

    talk(&call, 3);
    cause = cause_of(call.a, &explained);
    ck_assert_str_eq(explain_word(cause), "flows");
    ck_assert(says(&explained, "not through the tunnel"));
    ck_assert(says(&explained, _i ? "receiver inside" : "receiver outside"));
    ck_assert(says(&explained, _i ? "inner-relay: 30 packets taken" : "dmz-relay: "));
    ck_assert(!says(&explained, _i ? "dmz-relay" : "inner-relay"));
    /* One falls silent. */
    for (unsigned i = 0; i < 80; i++) {
        pair_send_rtp(call.b);
        pair_run(pair, 100 * PAIR_MS);
    }
    cause = cause_of(call.a, &explained);
    ck_assert_str_eq(explain_word(cause), "stopped");
    ck_assert(strstr(explained.text, "The other direction flows") != NULL);
    /* Without a tunnel it is known inside what goes on there, and not what goes on outside. */
    talk(&call, 3);
    pair->site[0].reconnect = false;
    pair_reset(pair_tunnel(pair, 0));
    talk(&call, 3);
    cause = cause_of(call.a, &explained);
    ck_assert_str_eq(explain_word(cause), _i ? "flows" : "hairpin-unseen");
    call_end(&call);
}
END_TEST

/* The receiver is unreachable: the relay that sends says so. */
START_TEST(test_explain_unreachable)
{
    struct call call = call_new(sides[_i]);
    struct explained explained;

    talk(&call, 2);
    pair_receiver(call.a)->error = 111; /* ECONNREFUSED */
    talk(&call, 3);
    ck_assert_str_eq(explain_word(cause_of(call.a, &explained)), "unreachable");
    pair_receiver(call.a)->error = 0;
    call_end(&call);
}
END_TEST

/* The dmz-relay's word keeps a call outside alive, and its silence ends it; no word is no silence.
 */
START_TEST(test_media_timeout)
{
    struct admit_request request;
    struct call call;

    inner()->options.media_timeout_s = 10;
    call = call_new(sides[_i]);
    talk(&call, 25);
    ck_assert_uint_eq(table_count(inner()->table), 2);
    pair->site[0].reconnect = false;
    pair_reset(pair_tunnel(pair, 0));
    talk(&call, 25);
    ck_assert_uint_eq(table_count(inner()->table), 2);
    pair->site[0].reconnect = true;
    pair_run(pair, 8 * PAIR_SECOND);
    ck_assert_uint_eq(table_count(inner()->table), 2);
    pair_run(pair, 5 * PAIR_SECOND);
    ck_assert_uint_eq(table_count(inner()->table), 0);
    /* One that was never heard goes, too. */
    hairpin(&request, sides[_i], 7, 8);
    (void)pair_admit(pair, 0, &request);
    pair_run(pair, 8 * PAIR_SECOND);
    ck_assert_uint_eq(table_count(inner()->table), 1);
    pair_run(pair, 5 * PAIR_SECOND);
    ck_assert_uint_eq(table_count(inner()->table), 0);
    call_end(&call);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pair hairpin");
    TCase *tc = tcase_create("hairpin");
    int result;

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, sample_engine_start, NULL);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, test_call, 0, 2);
    tcase_add_test(tc, test_replica);
    tcase_add_test(tc, test_state_file);
    tcase_add_test(tc, test_without_a_tunnel);
    tcase_add_loop_test(tc, test_learned, 0, 2);
    tcase_add_test(tc, test_peer);
    tcase_add_loop_test(tc, test_own_address, 0, 2);
    tcase_add_loop_test(tc, test_refused, 0, sizeof(refusals) / sizeof(refusals[0]));
    tcase_add_test(tc, test_frames);
    tcase_add_loop_test(tc, test_explain, 0, 2);
    tcase_add_loop_test(tc, test_explain_unreachable, 0, 2);
    tcase_add_loop_test(tc, test_media_timeout, 0, 2);
    suite_add_tcase(suite, tc);
    result = unit_run(suite);
    sample_engine_stop();
    return result;
}
