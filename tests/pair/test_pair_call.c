/* A call both ways: what the sender sent is what the receiver gets, octet for octet. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/sa/table.h"
#include "tests/pair/pair.h"
#include "tests/unit/sample.h"
#include "tests/unit/unit.h"

static const enum sa_side EXT = SA_SIDE_EXTERNAL, INT = SA_SIDE_INTERNAL;

/* Suites, octets received at once, rtcp-mux at the sender and the receiver, address families. */
static const struct {
    enum suite_id suite;
    size_t piece;
    bool mux_in, mux_out, six_in, six_out;
} calls[] = {
    {SUITE_AES_CM_128_HMAC_SHA1_80, SIZE_MAX, false, false, false, false},
    {SUITE_AES_CM_128_HMAC_SHA1_32, 1, false, false, false, false},
    {SUITE_AES_256_CM_HMAC_SHA1_80, 2, true, true, false, false},
    {SUITE_AEAD_AES_128_GCM, 3, true, false, false, true},
    {SUITE_AEAD_AES_256_GCM, 17, false, true, true, false},
    {SUITE_AES_CM_128_HMAC_SHA1_80, 1000, false, false, true, true},
};
enum { CALLS = sizeof(calls) / sizeof(calls[0]) };

static void to_six(struct sa_transport *transport, bool inside)
{
    transport->rtp = sample_addr(inside ? "[fd00::77]:20000" : "[2a00::77]:20000");
    transport->rtcp = transport->rtp;
    transport->rtcp.port++;
}

static struct pair_sender *party(struct pair *pair, enum sa_side side, int row)
{
    bool inside = side == SA_SIDE_INTERNAL;
    struct admit_request request;

    pair_request(&request, side, calls[row].suite);
    request.source.mux = calls[row].mux_in;
    request.destination.mux = calls[row].mux_out;
    if (calls[row].six_in)
        to_six(&request.source, inside);
    if (calls[row].six_out)
        to_six(&request.destination, !inside);
    return pair_sender_new(pair, 0, &request);
}

START_TEST(test_both_ways)
{
    struct pair *pair = pair_new(1);
    struct pair_sender *out = party(pair, EXT, _i), *in = party(pair, INT, _i);

    pair->piece = calls[_i].piece;
    (void)pair_run_until_synced(pair);
    for (unsigned i = 0; i < 20; i++)
        pair_expect_call(out, in);
    ck_assert_uint_eq(pair_dmz_verdict(pair, VERDICT_ACCEPTED), 40);
    ck_assert_uint_eq(pair_inner_verdict(pair, 0, VERDICT_ACCEPTED), 40);
    ck_assert_uint_eq(pair->dmz->sites[0].counts.n[VERDICT_ACCEPTED], 40);
    ck_assert_uint_eq(pair->site[0].inner->links[0].counts.n[VERDICT_ACCEPTED], 40);
    ck_assert_uint_eq(inner_find_sa(pair->site[0].inner, out->id)->packets, 40);
    ck_assert_uint_eq(inner_find_sa(pair->site[0].inner, in->id)->packets, 40);
    pair_sender_free(out);
    pair_sender_free(in);
    pair_free(pair);
}
END_TEST

/* Over the wrap of the sequence number, with packets lost and out of order on the way in. */
START_TEST(test_rough_network)
{
    struct pair *pair = pair_new(1);
    struct pair_sender *out = party(pair, EXT, _i);
    uint8_t late[PACKET_MAX_OCTETS];
    size_t late_length, sent = 0;

    out->index = 0xffc0;
    (void)pair_run_until_synced(pair);
    for (unsigned i = 0; i < 40; i++) {
        pair_make_rtp(out);
        late_length = out->length;
        memcpy(late, out->packet, late_length);
        pair_make_rtp(out); /* lost */
        pair_send_rtp(out);
        pair_datagram(pair, EXT, 0, out->listener, false, &out->request.source.rtp, late,
                      late_length);
        sent += 2;
        pair_run(pair, 20 * PAIR_MS);
        ck_assert_uint_eq(pair_receiver(out)->count, sent);
    }
    ck_assert_uint_eq(pair_dmz_verdict(pair, VERDICT_ACCEPTED), sent);
    ck_assert_uint_eq(inner_find_sa(pair->site[0].inner, out->id)->stream[0].index.highest,
                      out->index - 1);
    pair_sender_free(out);
    pair_free(pair);
}
END_TEST

/* ------------------------------------------------------------ what may not come through */

/* Does something to a good packet, and says from where it comes. */
typedef void spoil_fn(struct pair_sender *sender, struct addr *source, bool *rtcp_port);

static void nothing(struct pair_sender *sender, struct addr *source, bool *rtcp_port)
{
    (void)sender;
    (void)source;
    (void)rtcp_port;
}

static void other_port(struct pair_sender *sender, struct addr *source, bool *rtcp_port)
{
    (void)sender;
    (void)rtcp_port;
    source->port++;
    source->port++;
}

static void other_host(struct pair_sender *sender, struct addr *source, bool *rtcp_port)
{
    (void)sender;
    (void)rtcp_port;
    source->ip[3] ^= 1;
}

static void flip_payload(struct pair_sender *sender, struct addr *source, bool *rtcp_port)
{
    (void)source;
    (void)rtcp_port;
    sender->packet[20] ^= 1;
}

static void flip_tag(struct pair_sender *sender, struct addr *source, bool *rtcp_port)
{
    (void)source;
    (void)rtcp_port;
    sender->packet[sender->length - 1] ^= 0x80;
}

static void flip_header(struct pair_sender *sender, struct addr *source, bool *rtcp_port)
{
    (void)source;
    (void)rtcp_port;
    sender->packet[5] ^= 1;
}

static void flip_ssrc(struct pair_sender *sender, struct addr *source, bool *rtcp_port)
{
    (void)source;
    (void)rtcp_port;
    sender->packet[11] ^= 1;
}

static void version_1(struct pair_sender *sender, struct addr *source, bool *rtcp_port)
{
    (void)source;
    (void)rtcp_port;
    sender->packet[0] = 0x40 | (sender->packet[0] & 0x3f);
}

static void cut_short(struct pair_sender *sender, struct addr *source, bool *rtcp_port)
{
    (void)source;
    (void)rtcp_port;
    sender->length = 11;
}

static void no_tag(struct pair_sender *sender, struct addr *source, bool *rtcp_port)
{
    (void)source;
    (void)rtcp_port;
    sender->length -= 5;
}

static void to_rtcp_port(struct pair_sender *sender, struct addr *source, bool *rtcp_port)
{
    (void)sender;
    (void)source;
    *rtcp_port = true;
}

static void plain_rtcp(struct pair_sender *sender, struct addr *source, bool *rtcp_port)
{
    *rtcp_port = true;
    source->port++;
    memcpy(sender->packet + 4, sender->packet + 8, 4);
    memcpy(sender->packet, "\x80\xc9\x00\x01", 4);
    sender->length = 8;
}

static void stun(struct pair_sender *sender, struct addr *source, bool *rtcp_port)
{
    (void)source;
    (void)rtcp_port;
    memset(sender->packet, 0, 20);
    memcpy(sender->packet, "\x00\x01\x00\x00\x21\x12\xa4\x42", 8);
    sender->length = 20;
}

static const struct {
    const char *name;
    spoil_fn *spoil;
    enum verdict verdict;
} bad[] = {
    {"nothing", nothing, VERDICT_ACCEPTED},
    {"from another port", other_port, VERDICT_NO_SA},
    {"from another host", other_host, VERDICT_NO_SA},
    {"payload changed", flip_payload, VERDICT_AUTH_FAIL},
    {"tag changed", flip_tag, VERDICT_AUTH_FAIL},
    {"timestamp changed", flip_header, VERDICT_AUTH_FAIL},
    {"SSRC changed", flip_ssrc, VERDICT_AUTH_FAIL},
    {"version 1", version_1, VERDICT_MALFORMED},
    {"11 octets", cut_short, VERDICT_MALFORMED},
    {"half a tag", no_tag, VERDICT_AUTH_FAIL},
    {"to the RTCP port", to_rtcp_port, VERDICT_WRONG_PORT},
    {"plain RTCP", plain_rtcp, VERDICT_PLAIN_RTCP},
    {"STUN", stun, VERDICT_STUN},
};

START_TEST(test_bad_packets)
{
    struct pair *pair = pair_new(1);
    enum sa_side sides[] = {EXT, INT};

    for (int i = 0; i < 2; i++) {
        struct pair_sender *sender = party(pair, sides[i], 0);
        struct addr source = sender->request.source.rtp;
        bool rtcp_port = false, good = bad[_i].verdict == VERDICT_ACCEPTED;

        (void)pair_run_until_synced(pair);
        pair_make_rtp(sender);
        bad[_i].spoil(sender, &source, &rtcp_port);
        pair_datagram(pair, sides[i], 0, sender->listener, rtcp_port, &source, sender->packet,
                      sender->length);
        pair_run(pair, 100 * PAIR_MS);
        ck_assert_msg(pair_receiver(sender)->count == good, "%s", bad[_i].name);
        ck_assert_msg((sides[i] == EXT ? pair_dmz_verdict(pair, bad[_i].verdict)
                                       : pair_inner_verdict(pair, 0, bad[_i].verdict)) == 1,
                      "%s", bad[_i].name);
        /* And the call goes on. */
        pair_expect_one_way(sender);
        pair_sender_free(sender);
    }
    pair_free(pair);
}
END_TEST

START_TEST(test_replay)
{
    struct pair *pair = pair_new(1);
    struct pair_sender *out = party(pair, EXT, 0), *in = party(pair, INT, 0);

    (void)pair_run_until_synced(pair);
    pair_expect_call(out, in);
    for (int rtcp = 0; rtcp < 2; rtcp++) {
        if (rtcp)
            pair_expect_one_way(out);
        else {
            pair_send_rtp(out);
            pair_run(pair, 20 * PAIR_MS);
        }
        pair_datagram(pair, EXT, 0, 0, rtcp,
                      rtcp ? &out->request.source.rtcp : &out->request.source.rtp, out->packet,
                      out->length);
        pair_run(pair, 20 * PAIR_MS);
        ck_assert_uint_eq(pair_dmz_verdict(pair, VERDICT_REPLAY), (unsigned)rtcp + 1);
    }
    ck_assert_uint_eq(pair_receiver(out)->count, 5);
    pair_sender_free(out);
    pair_sender_free(in);
    pair_free(pair);
}
END_TEST

/* Every length from 0 to 64, and noise: nothing leaves, each has its verdict. */
START_TEST(test_junk)
{
    struct pair *pair = pair_new(1);
    struct pair_sender *out = party(pair, EXT, 0);
    uint8_t junk[64];
    uint32_t random = 1;

    (void)pair_run_until_synced(pair);
    for (size_t i = 0; i < 65 * 64; i++) {
        for (size_t k = 0; k < sizeof(junk); k++)
            junk[k] = (uint8_t)((random = random * 1664525 + 1013904223) >> 24);
        if (i % 4 == 0)
            junk[0] = 0x80;
        pair_datagram(pair, EXT, 0, 0, i % 2,
                      i % 3 ? &out->request.source.rtp : &out->request.source.rtcp, junk, i % 65);
    }
    pair_run(pair, 100 * PAIR_MS);
    ck_assert_uint_eq(pair_receiver(out)->count, 0);
    ck_assert_uint_eq(pair->out.count, 0);
    pair_check_sums(pair);
    ck_assert_uint_eq(pair_dmz_verdict(pair, VERDICT_ACCEPTED), 0);
    pair_expect_one_way(out);
    pair_sender_free(out);
    pair_free(pair);
}
END_TEST

/* What the system says of sending becomes the verdict, and is counted once. */
START_TEST(test_send_errors)
{
    static const struct {
        int error;
        enum verdict verdict;
    } rows[] = {{EMSGSIZE, VERDICT_TOO_BIG},
                {EAGAIN, VERDICT_SOCKET_FULL},
                {EHOSTUNREACH, VERDICT_UNREACHABLE}};
    struct pair *pair = pair_new(1);
    struct pair_sender *out = party(pair, EXT, 0), *in = party(pair, INT, 0);

    (void)pair_run_until_synced(pair);
    for (int i = 0; i < 3; i++) {
        pair->out.error = pair->site[0].out.error = rows[i].error;
        pair_send_rtp(out);
        pair_send_rtp(in);
        pair_run(pair, 50 * PAIR_MS);
        ck_assert_uint_eq(pair->dmz->sites[0].counts.n[rows[i].verdict], 1);
        ck_assert_uint_eq(pair->site[0].inner->links[0].counts.n[rows[i].verdict], 1);
    }
    pair->out.error = pair->site[0].out.error = 0;
    pair_expect_call(out, in);
    pair_sender_free(out);
    pair_sender_free(in);
    pair_free(pair);
}
END_TEST

/* A sender over its rate: what is over it does not fill the tunnel. */
START_TEST(test_rate)
{
    struct pair *pair = pair_new(1);
    struct admit_request request;
    struct pair_sender *out, *other;

    pair_request(&request, SA_SIDE_EXTERNAL, 1);
    request.rate = 10000;
    out = pair_sender_new(pair, 0, &request);
    pair_request(&request, SA_SIDE_EXTERNAL, 2);
    other = pair_sender_new(pair, 0, &request);
    (void)pair_run_until_synced(pair);
    for (unsigned i = 0; i < 1000; i++)
        pair_send_rtp(out);
    pair_run(pair, 50 * PAIR_MS);
    /* Half a second's worth: 5,000 octets. */
    ck_assert_uint_eq(pair_receiver(out)->count, 5000 / out->length);
    ck_assert_uint_eq(pair_dmz_verdict(pair, VERDICT_RATE), 1000 - 5000 / out->length);
    pair_expect_one_way(other);
    pair_run(pair, PAIR_SECOND);
    pair_expect_one_way(out);
    pair_sender_free(out);
    pair_sender_free(other);
    pair_free(pair);
}
END_TEST

/* A deleted SA carries nothing any more, on either side. */
START_TEST(test_delete)
{
    struct pair *pair = pair_new(1);
    struct pair_sender *out = party(pair, EXT, 0), *in = party(pair, INT, 0);
    struct inner *inner = pair->site[0].inner;

    (void)pair_run_until_synced(pair);
    pair_expect_call(out, in);
    /* While packets are under way. */
    pair_send_rtp(out);
    pair_send_rtp(in);
    inner_delete(inner, inner_find_sa(inner, out->id), pair->now_us);
    inner_delete(inner, inner_find_sa(inner, in->id), pair->now_us);
    (void)pair_run_until_synced(pair);
    pair_run(pair, 50 * PAIR_MS);
    ck_assert_uint_eq(table_count(pair->dmz->table), 0);
    ck_assert_uint_eq(inner->links[0].counts.n[VERDICT_NO_SA], 1);
    pair->out.count = pair->site[0].out.count = 0;
    pair_send_rtp(out);
    pair_send_rtp(in);
    pair_run(pair, 50 * PAIR_MS);
    ck_assert_uint_eq(pair->out.count + pair->site[0].out.count, 0);
    ck_assert_uint_eq(pair_dmz_verdict(pair, VERDICT_NO_SA), 1);
    ck_assert_uint_eq(pair_inner_verdict(pair, 0, VERDICT_NO_SA), 1);
    pair_sender_free(out);
    pair_sender_free(in);
    pair_free(pair);
}
END_TEST

/* What an SA-PUT brings is refused by the dmz-relay, and the operator sees why. */
START_TEST(test_refused)
{
    struct pair *pair = pair_new_unconnected(1);
    struct admit_request request;
    uint64_t id;

    pair->site[0].reconnect = true;
    pair_request(&request, SA_SIDE_INTERNAL, 1);
    snprintf(request.to_listener, sizeof(request.to_listener), "third");
    id = pair_admit(pair, 0, &request);
    (void)pair_run_until_synced(pair);
    pair_run(pair, 50 * PAIR_MS);
    ck_assert(strstr(sa_text(inner_find_sa(pair->site[0].inner, id), SA_REFUSED), "no listener") !=
              NULL);
    ck_assert_uint_eq(table_count(pair->dmz->table), 0);
    pair_free(pair);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pair call");
    TCase *tc = tcase_create("call");
    int result;

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, sample_engine_start, NULL);
    tcase_add_loop_test(tc, test_both_ways, 0, CALLS);
    tcase_add_loop_test(tc, test_rough_network, 0, CALLS);
    tcase_add_loop_test(tc, test_bad_packets, 0, sizeof(bad) / sizeof(bad[0]));
    tcase_add_test(tc, test_replay);
    tcase_add_test(tc, test_junk);
    tcase_add_test(tc, test_send_errors);
    tcase_add_test(tc, test_rate);
    tcase_add_test(tc, test_delete);
    tcase_add_test(tc, test_refused);
    suite_add_tcase(suite, tc);
    result = unit_run(suite);
    sample_engine_stop();
    return result;
}
