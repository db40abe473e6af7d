/*
 * An SSRC that the authority assigned to a sender inside: its packets are compared
 * with that, and no engine is asked about them; the receiver verifies them.
 */
#include <string.h>

#include "common/sa/table.h"
#include "common/srtp/engine.h"
#include "tests/pair/pair.h"
#include "tests/unit/sample.h"
#include "tests/unit/unit.h"

enum { PACKETS = 100 * 1000, AT_ONCE = 50, RTCP_EVERY = 10 };

/* ------------------------------------------------------------ an engine that may not be asked */

static struct {
    bool forbidden;
    uint64_t asked;
} test_engine;

static void count_call(void)
{
    test_engine.asked++;
    ck_assert_msg(!test_engine.forbidden, "an engine is asked about a packet");
}

static enum verdict ask_rtp(struct srtp_session *session, const struct rtp_view *view, bool known,
                            uint64_t index, const uint8_t *packet, size_t length)
{
    count_call();
    return evp_ops.rtp(session, view, known, index, packet, length);
}

static enum verdict ask_rtcp(struct srtp_session *session, const struct rtp_view *view, bool known,
                             uint32_t index, const uint8_t *packet, size_t length)
{
    count_call();
    return evp_ops.rtcp(session, view, known, index, packet, length);
}

/* ------------------------------------------------------------ the pair */

/* One that has its SSRC from us, with a key and without, and one that chose it. */
enum who { KEYED, KEYLESS, SIGNALLED, SENDERS };

static struct srtp_ops ops;
static struct srtp_engine *engine;
static struct pair *pair;
static struct pair_sender *senders[SENDERS];

static struct pair_sender *sender_new(enum who who)
{
    struct admit_request request;
    struct pair_sender *sender;
    struct srtp_key key;

    pair_request(&request, SA_SIDE_INTERNAL, SUITE_COUNT + who);
    key = request.key;
    request.rate = 100 * 1000 * 1000;
    if (who != SIGNALLED) {
        request.assign_ssrc = true;
        request.ssrc_count = 0;
    }
    if (who == KEYLESS)
        request.key.kind = SRTP_KEY_NONE;
    sender = pair_sender_new(pair, 0, &request);
    sender->request.key = key;
    return sender;
}

static void setup(void)
{
    ops = evp_ops;
    ops.rtp = ask_rtp;
    ops.rtcp = ask_rtcp;
    memset(&test_engine, 0, sizeof(test_engine));
    ck_assert_int_eq(srtp_engine_new_of(&engine, &ops), 0);
    pair = pair_new_unconnected(1);
    pair->dmz_options.engine = pair->inner_options.engine = engine;
    pair->site[0].inner->options.engine = engine;
    pair_restart_dmz(pair);
    pair->site[0].reconnect = true;
    for (enum who who = 0; who < SENDERS; who++)
        senders[who] = sender_new(who);
    (void)pair_run_until_synced(pair);
}

static void teardown(void)
{
    for (enum who who = 0; who < SENDERS; who++)
        pair_sender_free(senders[who]);
    pair_free(pair);
    srtp_engine_free(engine);
}

/* ------------------------------------------------------------ who receives */

struct receiver {
    struct srtp_session *session;
    struct srtp_index index;
    uint32_t ssrc;
    size_t rtp, rtcp;
};

static void receiver_open(struct receiver *receiver, const struct pair_sender *sender)
{
    const struct admit_request *request = &sender->request;

    *receiver = (struct receiver){.ssrc = request->ssrc[0]};
    ck_assert_int_eq(
        srtp_session_new(sample_engine(), &receiver->session, request->suite, &request->key), 0);
}

/* All that has left the dmz-relay is this sender's, in order, and comes once. */
static void receive(struct receiver *receiver)
{
    for (size_t i = 0; i < pair->out.count; i++) {
        const struct pair_packet *p = &pair->out.sent[i];
        enum verdict verdict = p->rtcp_port ? srtp_verify_rtcp(receiver->session, &receiver->index,
                                                               receiver->ssrc, p->data, p->length)
                                            : srtp_verify_rtp(receiver->session, &receiver->index,
                                                              receiver->ssrc, p->data, p->length);

        ck_assert_str_eq(verdict_name(verdict), "accepted");
        receiver->rtp += !p->rtcp_port;
        receiver->rtcp += p->rtcp_port;
    }
    pair->out.count = 0;
}

static void send_some(struct pair_sender *sender, unsigned packets)
{
    for (unsigned i = 0; i < packets; i++) {
        if (i % RTCP_EVERY == 1)
            pair_send_rtcp(sender);
        else
            pair_send_rtp(sender);
    }
}

static struct sa *at_inner(const struct pair_sender *sender)
{
    return inner_find_sa(pair->site[0].inner, sender->id);
}

/* ------------------------------------------------------------ tests */

/* The first sender shows that the engine is asked at all. */
START_TEST(test_no_engine)
{
    struct pair_sender *sender = senders[_i];
    struct receiver receiver;
    unsigned wraps;

    send_some(senders[SIGNALLED], AT_ONCE);
    ck_assert_uint_eq(test_engine.asked, AT_ONCE);
    ck_assert_uint_eq(srtp_engine_verifications(engine), AT_ONCE);
    pair_run(pair, 50 * PAIR_MS);
    ck_assert_uint_eq(pair->out.count, AT_ONCE);
    pair->out.count = 0;

    test_engine.forbidden = true;
    receiver_open(&receiver, sender);
    for (unsigned sent = 0; sent < PACKETS; sent += AT_ONCE) {
        send_some(sender, AT_ONCE);
        pair_run(pair, PAIR_MS);
        receive(&receiver);
    }
    pair_run(pair, 50 * PAIR_MS);
    receive(&receiver);
    wraps = (unsigned)(sender->index >> 16);
    ck_assert_uint_eq(receiver.rtp, PACKETS - PACKETS / RTCP_EVERY);
    ck_assert_uint_eq(receiver.rtcp, PACKETS / RTCP_EVERY);
    ck_assert_uint_eq(wraps, 1);
    ck_assert_uint_eq(srtp_engine_verifications(engine), AT_ONCE);
    ck_assert_uint_eq(at_inner(sender)->packets, PACKETS);
    ck_assert_uint_eq(at_inner(sender)->stream[0].stats.received, receiver.rtp);
    ck_assert_uint_eq(rtp_stats_lost(&at_inner(sender)->stream[0].stats), 0);
    srtp_session_free(receiver.session);
}
END_TEST

/* Well protected, but not what was assigned. */
START_TEST(test_other_ssrc)
{
    struct pair_sender *sender = senders[_i];
    uint32_t ssrcs[] = {0, senders[SIGNALLED]->request.ssrc[0], senders[!_i]->request.ssrc[0]};
    struct protect *right = sender->protect;
    size_t count = sizeof(ssrcs) / sizeof(ssrcs[0]);
    uint32_t assigned = sender->request.ssrc[0];

    ssrcs[0] = assigned ^ 1;
    for (size_t i = 0; i < count; i++) {
        sender->request.ssrc[0] = ssrcs[i];
        sender->protect = protect_new(sender->request.suite, sender->request.key.octets, ssrcs[i]);
        ck_assert_ptr_nonnull(sender->protect);
        pair_send_rtp(sender);
        pair_send_rtcp(sender);
        protect_free(sender->protect);
    }
    pair_run(pair, 50 * PAIR_MS);
    ck_assert_uint_eq(pair_inner_verdict(pair, 0, VERDICT_SSRC_MISMATCH), 2 * count);
    ck_assert_uint_eq(pair_inner_verdict(pair, 0, VERDICT_ACCEPTED), 0);
    ck_assert_uint_eq(at_inner(sender)->verdicts[VERDICT_SSRC_MISMATCH], 2 * count);
    ck_assert_uint_eq(pair->dmz->sites[0].counts.received, 0);
    ck_assert_uint_eq(pair->out.count, 0);
    ck_assert_uint_eq(test_engine.asked, 0);

    sender->protect = right;
    sender->request.ssrc[0] = assigned;
    pair_expect_one_way(sender);
}
END_TEST

/* Neither daemon's restart takes the SSRC away, and the dmz-relay knows whose it is. */
START_TEST(test_restarts)
{
    static uint8_t state[PAIR_STATE_OCTETS];
    struct pair_sender *sender = senders[_i];
    size_t length;

    test_engine.forbidden = true;
    pair_expect_one_way(sender);
    length = pair_save_state(pair, 0, state, sizeof(state));
    pair_kill_inner(pair, 0);
    pair_start_inner(pair, 0, state, length);
    (void)pair_run_until_synced(pair);
    ck_assert_ptr_null(at_inner(sender)->srtp);
    pair_expect_one_way(sender);
    pair_restart_dmz(pair);
    (void)pair_run_until_synced(pair);
    pair_expect_one_way(sender);
    ck_assert_int_eq(table_by_id(pair->dmz->table, 0, sender->id)->stream[0].origin,
                     SSRC_ORIGIN_ASSIGNED);
}
END_TEST

/* What a site says of a sender outside opens nothing: such packets are verified. */
START_TEST(test_not_outside)
{
    struct admit_request request;
    struct pair_sender *sender;
    struct sa *sa;

    pair_request(&request, SA_SIDE_EXTERNAL, SUITE_COUNT);
    sender = pair_sender_new(pair, 0, &request);
    sa = at_inner(sender);
    sa->stream[0].origin = SSRC_ORIGIN_ASSIGNED;
    authority_changed(&pair->site[0].inner->links[0].authority, sa);
    pair_run(pair, 50 * PAIR_MS);
    ck_assert_int_eq(table_by_id(pair->dmz->table, 0, sender->id)->stream[0].origin,
                     SSRC_ORIGIN_ASSIGNED);
    pair_make_rtp(sender);
    sender->packet[sender->length - 1] ^= 1;
    pair_datagram(pair, SA_SIDE_EXTERNAL, 0, 0, false, &request.source.rtp, sender->packet,
                  sender->length);
    ck_assert_uint_eq(pair_dmz_verdict(pair, VERDICT_AUTH_FAIL), 1);
    pair_expect_one_way(sender);
    pair_sender_free(sender);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pair assigned");
    TCase *tc = tcase_create("assigned");
    int result;

    tcase_set_timeout(tc, 120);
    tcase_add_unchecked_fixture(tc, sample_engine_start, NULL);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, test_no_engine, KEYED, SIGNALLED);
    tcase_add_loop_test(tc, test_other_ssrc, KEYED, SIGNALLED);
    tcase_add_loop_test(tc, test_restarts, KEYED, SIGNALLED);
    tcase_add_test(tc, test_not_outside);
    suite_add_tcase(suite, tc);
    result = unit_run(suite);
    sample_engine_stop();
    return result;
}
