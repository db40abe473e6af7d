/*
 * Calls as a SIP proxy makes them: offer and answer, then real SRTP through both cores. What the
 * phones are shown is where they send to; what they have said is where it comes out.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/base64.h"
#include "common/rtp/prime.h"
#include "common/sa/table.h"
#include "inner-relay/calls.h"
#include "tests/pair/pair.h"
#include "tests/unit/sample.h"
#include "tests/unit/unit.h"

#define WALL UINT64_C(1700000000000000)

static struct pair *pair;
static struct calls *calls;
static const char *call_id;

static void start_calls(void)
{
    struct call_options options = {.offer_timeout_us = 180 * PAIR_SECOND, .max_calls = 100};

    call_id = "one@example";
    pair->site[0].inner->options.learns_ssrcs = true;
    pair->site[0].inner->options.source_policy = SOURCE_HINTED;
    calls = calls_new(pair->site[0].inner, &options);
    ck_assert_ptr_nonnull(calls);
}

static void setup(void)
{
    pair = pair_new(1);
    start_calls();
}

static void teardown(void)
{
    calls_free(calls);
    pair_free(pair);
}

/* ------------------------------------------------------------ phones */

struct phone {
    const char *tag;
    enum sa_side side;
    struct addr says, from; /* RTP, in its SDP and really; RTCP has the next ports */
    const char *more;       /* lines of its SDP */
    struct pair_sender sender;
    uint8_t key[30];
};

static void set_key(struct phone *phone, unsigned key)
{
    for (size_t i = 0; i < sizeof(phone->key); i++)
        phone->key[i] = (uint8_t)(key * 37 + i * 5 + 1);
    protect_free(phone->sender.protect);
    phone->sender.protect = protect_new(suite_get(SUITE_AES_CM_128_HMAC_SHA1_80), phone->key,
                                        phone->sender.request.ssrc[0]);
    ck_assert_ptr_nonnull(phone->sender.protect);
}

static void set_from(struct phone *phone, const char *says, const char *from)
{
    struct sa_transport *source = &phone->sender.request.source;

    phone->says = sample_addr(says);
    phone->from = source->rtp = source->rtcp = sample_addr(from);
    source->rtcp.port++;
}

static struct phone *phone_new(const char *tag, const char *says, const char *from, unsigned key)
{
    struct phone *phone = calloc(1, sizeof(*phone));

    ck_assert_ptr_nonnull(phone);
    phone->tag = tag;
    phone->more = "";
    phone->side = strncmp(from, "10.", 3) == 0 ? SA_SIDE_INTERNAL : SA_SIDE_EXTERNAL;
    phone->sender.pair = pair;
    phone->sender.side = phone->side;
    phone->sender.index = 100;
    phone->sender.request.ssrc[0] = 0x1000 + key;
    set_from(phone, says, from);
    set_key(phone, key);
    return phone;
}

static void phone_free(struct phone *phone)
{
    protect_free(phone->sender.protect);
    free(phone);
}

/* ------------------------------------------------------------ messages */

static void write_sdp(const struct phone *phone, char *out, size_t size)
{
    char ip[ADDR_TEXT_SIZE], key[64];

    addr_format_ip(&phone->says, ip, sizeof(ip));
    base64_encode(phone->key, sizeof(phone->key), key);
    snprintf(out, size,
             "v=0\r\no=- 1 1 IN IP4 %s\r\ns=-\r\nc=IN IP4 %s\r\nt=0 0\r\n"
             "m=audio %u RTP/SAVP 8\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:%s\r\n%s",
             ip, ip, phone->says.port, key, phone->more);
}

typedef int message_fn(struct calls *calls, const struct call_request *request, uint64_t wall_us,
                       uint64_t now_us, struct call_reply *reply, struct call_error *error);

/* The other one is shown the relay, on its side. */
static int try_to_say(message_fn *message, const struct phone *from, const struct phone *offerer,
                      const struct phone *other)
{
    const struct phone *to = from == offerer ? other : offerer;
    char text[1024];
    struct call_request request = {.call_id = call_id,
                                   .from_tag = offerer->tag,
                                   .to_tag = message == calls_offer ? "" : other->tag,
                                   .via_branch = "",
                                   .sdp = text,
                                   .replace_session_connection = true,
                                   .received_from = from->from,
                                   .direction = {from->side, to->side}};
    struct call_reply reply;
    struct call_error error;
    int result;

    write_sdp(from, text, sizeof(text));
    request.sdp_length = strlen(text);
    if (calls_find(calls, call_id, other->tag, ""))
        request.to_tag = other->tag;
    result = message(calls, &request, WALL, pair->now_us, &reply, &error);
    if (result < 0)
        return result;
    ck_assert_ptr_nonnull(strstr(reply.sdp, to->side == SA_SIDE_EXTERNAL
                                                ? "c=IN IP4 9.0.0.1\r\n"
                                                : "c=IN IP4 10.0.0.1\r\n"));
    calls_reply_free(&reply);
    return 0;
}

static void say(message_fn *message, const struct phone *from, const struct phone *offerer,
                const struct phone *other)
{
    ck_assert_int_eq(try_to_say(message, from, offerer, other), 0);
}

static void connect_call(const struct phone *offerer, const struct phone *other)
{
    say(calls_offer, offerer, offerer, other);
    say(calls_answer, other, offerer, other);
    (void)pair_run_until_synced(pair);
    pair_run(pair, 20 * PAIR_MS);
}

/* Where packets of the one come out is where the other one really is. */
static void expect_call(struct phone *a, struct phone *b)
{
    a->sender.request.destination = b->sender.request.source;
    b->sender.request.destination = a->sender.request.source;
    pair_expect_call(&a->sender, &b->sender);
}

static void hang_up(const struct phone *phone)
{
    struct call_request request = {
        .call_id = call_id, .from_tag = phone->tag, .to_tag = "", .via_branch = ""};
    struct call_error error;

    ck_assert_int_eq(calls_delete(calls, &request, pair->now_us, &error), 0);
    (void)pair_run_until_synced(pair);
    pair_run(pair, 20 * PAIR_MS);
    ck_assert_uint_eq(table_count(pair->site[0].inner->table), 0);
    ck_assert_uint_eq(table_count(pair->dmz->table), 0);
}

static void delete_branch(const struct phone *from, const struct phone *to)
{
    struct call_request request = {
        .call_id = call_id, .from_tag = from->tag, .to_tag = to->tag, .via_branch = ""};
    struct call_error error;

    ck_assert_int_eq(calls_delete(calls, &request, pair->now_us, &error), 0);
}

static void age_calls(void)
{
    calls_tick(calls);
    while (calls_work(calls, pair->now_us))
        ;
}

/* ------------------------------------------------------------ calls */

/* From either end, hung up by either. The phone outside is behind NAT in the second half. */
START_TEST(test_call)
{
    const char *says = _i & 2 ? "192.168.1.5:7000" : "8.8.1.1:7000";
    struct phone *out = phone_new("out", says, _i & 2 ? "8.8.99.1:41000" : "8.8.1.1:7000", 1);
    struct phone *in = phone_new("in", "10.1.1.1:8000", "10.1.1.1:8000", 2);

    if (_i & 1)
        connect_call(out, in);
    else
        connect_call(in, out);
    for (unsigned i = 0; i < 5; i++)
        expect_call(out, in);
    hang_up(_i & 1 ? in : out);
    pair_send_rtp(&out->sender);
    pair_run(pair, 50 * PAIR_MS);
    ck_assert_uint_eq(pair_dmz_verdict(pair, VERDICT_NO_SA), 1);
    phone_free(out);
    phone_free(in);
}
END_TEST

/* Hold and resume lose no packet and accept no copy; then a new key, then a new place. */
START_TEST(test_changes)
{
    struct phone *out = phone_new("out", "8.8.1.1:7000", "8.8.1.1:7000", 1);
    struct phone *in = phone_new("in", "10.1.1.1:8000", "10.1.1.1:8000", 2);

    connect_call(out, in);
    expect_call(out, in);
    in->more = "a=sendonly\r\n";
    out->more = "a=recvonly\r\n";
    connect_call(in, out);
    expect_call(out, in);
    in->more = out->more = "";
    connect_call(in, out);
    expect_call(out, in);
    pair_datagram(pair, SA_SIDE_EXTERNAL, 0, 0, true, &out->sender.request.source.rtcp,
                  out->sender.packet, out->sender.length);
    ck_assert_uint_eq(pair_dmz_verdict(pair, VERDICT_REPLAY), 1);
    set_key(out, 3);
    connect_call(out, in);
    expect_call(out, in);
    set_from(in, "10.1.1.9:9000", "10.1.1.9:9000");
    connect_call(in, out);
    expect_call(out, in);
    ck_assert_uint_eq(table_count(pair->dmz->table), 2);
    hang_up(out);
    phone_free(out);
    phone_free(in);
}
END_TEST

/* An offer that nobody answers changes nothing for packets. */
START_TEST(test_rejected)
{
    struct phone *out = phone_new("out", "8.8.1.1:7000", "8.8.1.1:7000", 1);
    struct phone *in = phone_new("in", "10.1.1.1:8000", "10.1.1.1:8000", 2);
    struct phone *other = phone_new("out", "8.8.1.7:7000", "8.8.1.7:7000", 5);

    connect_call(out, in);
    expect_call(out, in);
    say(calls_offer, other, other, in);
    (void)pair_run_until_synced(pair);
    expect_call(out, in);
    hang_up(in);
    phone_free(out);
    phone_free(in);
    phone_free(other);
}
END_TEST

/* The inner-relay starts again from its state file: a re-INVITE finds the SAs, and no copy comes
 * in.
 */
START_TEST(test_restart)
{
    static uint8_t state[PAIR_STATE_OCTETS];
    struct phone *out = phone_new("out", "192.168.1.5:7000", "8.8.99.1:41000", 1);
    struct phone *in = phone_new("in", "10.1.1.1:8000", "10.1.1.1:8000", 2);
    uint8_t copy[PACKET_MAX_OCTETS];
    size_t length, size;

    connect_call(out, in);
    out->sender.index = in->sender.index = 65000;
    for (unsigned i = 0; i < 20; i++) {
        out->sender.index += 60;
        in->sender.index += 60;
        expect_call(out, in);
    }
    pair_send_rtp(&out->sender);
    length = out->sender.length;
    memcpy(copy, out->sender.packet, length);
    pair_run(pair, 20 * PAIR_MS);
    calls_free(calls);
    size = pair_save_state(pair, 0, state, sizeof(state));
    pair_kill_inner(pair, 0);
    pair_start_inner(pair, 0, state, size);
    start_calls();
    calls_restore(calls, WALL, pair->now_us);
    (void)pair_run_until_synced(pair);
    expect_call(out, in);
    if (_i)
        connect_call(in, out);
    else
        connect_call(out, in);
    expect_call(out, in);
    ck_assert_uint_eq(table_count(pair->dmz->table), 2);
    pair_datagram(pair, SA_SIDE_EXTERNAL, 0, 0, false, &out->from, copy, length);
    ck_assert_uint_eq(pair_dmz_verdict(pair, VERDICT_REPLAY), 1);
    hang_up(in);
    phone_free(out);
    phone_free(in);
}
END_TEST

/*
 * The phone inside goes outside, and says one m= line twice: the answer fails when half of it is
 * done. The first half is not to be heard of.
 */
START_TEST(test_half)
{
    struct phone *out = phone_new("out", "8.8.1.1:7000", "8.8.99.1:41000", 1);
    struct phone *in = phone_new("in", "10.1.1.1:8000", "10.1.1.1:8000", 2);
    struct phone *moved = phone_new("in", "8.8.2.2:8000", "8.8.2.2:8000", 3);
    char twice[600], more[512];
    uint64_t label;

    connect_call(out, in);
    expect_call(out, in);
    label = inner_find_sa(pair->site[0].inner, 1)->label;
    moved->more = "a=ssrc:4099 cname:x\r\n";
    write_sdp(moved, twice, sizeof(twice));
    snprintf(more, sizeof(more), "%s%s", moved->more, strstr(twice, "m=audio"));
    moved->more = more;
    say(calls_offer, moved, moved, out);
    out->more = "m=audio 7002 RTP/SAVP 8\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 "
                "inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj\r\n";
    ck_assert_int_lt(try_to_say(calls_answer, out, moved, out), 0);
    out->more = "";
    (void)pair_run_until_synced(pair);
    pair_run(pair, 50 * PAIR_MS);
    ck_assert_uint_eq(table_count(pair->dmz->table), 2);
    ck_assert_uint_eq(inner_find_sa(pair->site[0].inner, 1)->label, label);
    expect_call(out, in);
    pair_datagram(pair, SA_SIDE_EXTERNAL, 0, 0, true, &out->sender.request.source.rtcp,
                  out->sender.packet, out->sender.length);
    ck_assert_uint_eq(pair_dmz_verdict(pair, VERDICT_REPLAY), 1);
    ck_assert_uint_eq(pair_dmz_verdict(pair, VERDICT_NO_SA), 0);
    /* Alone, it may go there. */
    moved->more = "";
    connect_call(moved, out);
    pair_send_rtp(&out->sender);
    pair_run(pair, 20 * PAIR_MS);
    pair->out.count = 0;
    pair_send_rtp(&moved->sender);
    pair_run(pair, 20 * PAIR_MS);
    ck_assert_uint_eq(pair->out.count, 1);
    ck_assert(addr_equal(&pair->out.sent[0].to, &out->from));
    hang_up(out);
    phone_free(out);
    phone_free(in);
    phone_free(moved);
}
END_TEST

/* Two branches inside: the one that answered last has the media. */
START_TEST(test_fork)
{
    struct phone *out = phone_new("out", "8.8.1.1:7000", "8.8.1.1:7000", 1);
    struct phone *b = phone_new("b", "10.1.1.1:8000", "10.1.1.1:8000", 2);
    struct phone *c = phone_new("c", "10.1.1.2:8000", "10.1.1.2:8000", 3);

    connect_call(out, b);
    expect_call(out, b);
    say(calls_answer, c, out, c);
    (void)pair_run_until_synced(pair);
    expect_call(out, c);
    pair_send_rtp(&b->sender);
    pair_run(pair, 50 * PAIR_MS);
    ck_assert_uint_eq(pair->dmz->sites[0].counts.n[VERDICT_NO_DESTINATION] +
                          pair_inner_verdict(pair, 0, VERDICT_NO_DESTINATION),
                      1);
    say(calls_answer, b, out, b);
    (void)pair_run_until_synced(pair);
    expect_call(out, b);
    /* c has it again, and goes; then c again, and falls silent. */
    say(calls_answer, c, out, c);
    delete_branch(out, c);
    (void)pair_run_until_synced(pair);
    expect_call(out, b);
    say(calls_answer, c, out, c);
    (void)pair_run_until_synced(pair);
    expect_call(out, c);
    for (unsigned i = 0; i < 6; i++) {
        pair_run(pair, 1000 * PAIR_MS);
        pair_send_rtp(&b->sender);
        pair_run(pair, 20 * PAIR_MS);
        age_calls();
    }
    (void)pair_run_until_synced(pair);
    expect_call(out, b);
    hang_up(out);
    phone_free(out);
    phone_free(b);
    phone_free(c);
}
END_TEST

/* ------------------------------------------------------------ peers, and calls that come round */

static void add_peer(const char *name, const char *addr)
{
    const struct addr peer = sample_addr(addr);
    struct dmz *dmz = pair->dmz;
    struct inner *inner = pair->site[0].inner;

    ck_assert_int_eq(peers_add(&dmz->peers, name, &peer), 0);
    peers_fill_rules(&dmz->peers, &dmz->rules);
    if (strcmp(name, PEERS_SELF) == 0)
        return;
    ck_assert_int_eq(peers_add(&inner->peers, name, &peer), 0);
    peers_fill_rules(&inner->peers, &inner->rules);
}

/*
 * Two phones inside call each other by way of the Internet, as two calls of one proxy: each shows
 * the other call the dmz-relay's own address. Media turns in its memory, and no socket sends it.
 */
START_TEST(test_self)
{
    struct phone *a = phone_new("a", "10.1.1.1:8000", "10.1.1.1:8000", 1);
    struct phone *c = phone_new("c", "10.1.1.2:8000", "10.1.1.2:8000", 2);
    struct phone *as_a = phone_new("back", "9.0.0.1:5004", "8.8.7.7:5061", 1);
    struct phone *as_c = phone_new("away", "9.0.0.1:5004", "8.8.7.7:5061", 2);

    add_peer(PEERS_SELF, "9.0.0.1:5004");
    a->sender.request.to_side = c->sender.request.to_side = SA_SIDE_INTERNAL;
    say(calls_offer, a, a, as_c);
    call_id = "two@example";
    say(calls_offer, as_a, as_a, c);
    say(calls_answer, c, as_a, c);
    call_id = "one@example";
    say(calls_answer, as_c, a, as_c);
    (void)pair_run_until_synced(pair);
    for (unsigned i = 0; i < 5; i++)
        expect_call(a, c);
    ck_assert_uint_eq(pair->out.count, 0);
    /* Hold and resume of the one, and a new key that both calls hear of, in either order. */
    say(calls_offer, a, a, as_c);
    say(calls_answer, as_c, a, as_c);
    expect_call(a, c);
    set_key(a, 7);
    set_key(as_a, 7);
    say(calls_offer, a, a, as_c);
    call_id = "two@example";
    say(calls_offer, as_a, as_a, c);
    say(calls_answer, c, as_a, c);
    call_id = "one@example";
    say(calls_answer, as_c, a, as_c);
    (void)pair_run_until_synced(pair);
    expect_call(a, c);
    call_id = "two@example";
    ck_assert_int_eq(
        calls_delete(calls,
                     &(struct call_request){
                         .call_id = call_id, .from_tag = "c", .to_tag = "", .via_branch = ""},
                     pair->now_us, &(struct call_error){0}),
        0);
    call_id = "one@example";
    hang_up(a);
    phone_free(a);
    phone_free(c);
    phone_free(as_a);
    phone_free(as_c);
}
END_TEST

/* A call with a phone of another company: RTP' to and from its dmz-relay. */
START_TEST(test_peer)
{
    struct phone *in = phone_new("in", "10.1.1.1:8000", "10.1.1.1:8000", 1);
    struct phone *far = phone_new("far", "8.8.98.1:5004", "8.8.98.2:5061", 2);
    uint8_t prime[PATH_PRIME_OCTETS];

    add_peer("other", "8.8.98.1:5004");
    if (_i)
        connect_call(in, far);
    else
        connect_call(far, in);
    for (unsigned i = 0; i < 3; i++) {
        pair_send_rtp(&in->sender);
        pair_run(pair, 20 * PAIR_MS);
        ck_assert_uint_eq(pair->out.count, i + 1);
        ck_assert(addr_equal(&pair->out.sent[i].to, &far->says));
        ck_assert_uint_eq(pair->out.sent[i].length, PRIME_OCTETS + in->sender.length);
        ck_assert_mem_eq(pair->out.sent[i].data + PRIME_OCTETS, in->sender.packet,
                         in->sender.length);
        pair_make_rtp(&far->sender);
        prime_write(prime, far->sender.request.ssrc[0]);
        memcpy(prime + PRIME_OCTETS, far->sender.packet, far->sender.length);
        pair_datagram(pair, SA_SIDE_EXTERNAL, 0, 0, false, &far->says, prime,
                      PRIME_OCTETS + far->sender.length);
        pair_run(pair, 20 * PAIR_MS);
        ck_assert_uint_eq(pair->site[0].out.count, i + 1);
        ck_assert(addr_equal(&pair->site[0].out.sent[i].to, &in->from));
        ck_assert_mem_eq(pair->site[0].out.sent[i].data, far->sender.packet, far->sender.length);
    }
    hang_up(in);
    phone_free(in);
    phone_free(far);
}
END_TEST

static void use_ssrc(struct phone *phone, uint32_t ssrc)
{
    phone->sender.request.ssrc[0] = ssrc;
    protect_free(phone->sender.protect);
    phone->sender.protect = protect_new(suite_get(SUITE_AES_CM_128_HMAC_SHA1_80), phone->key, ssrc);
    ck_assert_ptr_nonnull(phone->sender.protect);
}

/* a=ssrc is binding; a re-offer makes it another one. */
START_TEST(test_ssrc)
{
    struct phone *out = phone_new("out", "8.8.1.1:7000", "8.8.1.1:7000", 1);
    struct phone *in = phone_new("in", "10.1.1.1:8000", "10.1.1.1:8000", 2);

    out->more = "a=ssrc:77 cname:x\r\n";
    use_ssrc(out, 77);
    connect_call(out, in);
    expect_call(out, in);
    use_ssrc(out, 88);
    out->sender.index = 500;
    pair_send_rtp(&out->sender);
    pair_run(pair, 20 * PAIR_MS);
    ck_assert_uint_eq(pair_dmz_verdict(pair, VERDICT_SSRC_MISMATCH), 1);
    out->more = "a=ssrc:88 cname:x\r\n";
    connect_call(out, in);
    expect_call(out, in);
    hang_up(in);
    phone_free(out);
    phone_free(in);
}
END_TEST

/* Lines that the other phone has at one port, as with BUNDLE: the key, or the SSRC, tells which. */
START_TEST(test_bundle)
{
    struct phone *out = phone_new("out", "8.8.1.1:7000", "8.8.1.1:7000", 1);
    struct phone *in = phone_new("in", "10.1.1.1:8000", "10.1.1.1:8000", 2);
    struct phone *video = phone_new("in", "10.1.1.1:8000", "10.1.1.1:8000", 3);
    struct phone *second = phone_new("out", "8.8.1.1:7002", "8.8.1.1:7002", 4);
    char of_in[1024], of_out[1024], text[1024];

    if (_i) {
        set_key(video, 2);
        in->more = "a=ssrc:4098 cname:x\r\n";
        video->more = "a=ssrc:4099 cname:x\r\n";
    }
    write_sdp(video, text, sizeof(text));
    snprintf(of_in, sizeof(of_in), "%s%s", in->more, strstr(text, "m=audio"));
    write_sdp(second, text, sizeof(text));
    snprintf(of_out, sizeof(of_out), "%s%s", out->more, strstr(text, "m=audio"));
    in->more = of_in;
    out->more = of_out;
    connect_call(out, in);
    for (unsigned i = 0; i < 5; i++) {
        struct phone *from = i % 2 ? in : video;

        from->sender.request.destination = (i % 2 ? out : second)->sender.request.source;
        pair_send_rtp(&from->sender);
        pair_run(pair, 20 * PAIR_MS);
        pair_expect_received(&from->sender, false);
        ck_assert_uint_eq(pair->out.count, i + 1);
        from = i % 2 ? out : second;
        from->sender.request.destination = in->sender.request.source;
        pair_send_rtp(&from->sender);
        pair_run(pair, 20 * PAIR_MS);
        pair_expect_received(&from->sender, false);
        ck_assert_uint_eq(pair->site[0].out.count, i + 1);
    }
    hang_up(in);
    phone_free(out);
    phone_free(in);
    phone_free(video);
    phone_free(second);
}
END_TEST

/* Two phones outside, both behind NAT: nothing goes through the tunnel. */
START_TEST(test_hairpin)
{
    struct phone *a = phone_new("a", "192.168.1.5:7000", "8.8.99.1:41000", 1);
    struct phone *b = phone_new("b", "192.168.1.6:7000", "8.8.98.1:42000", 2);

    connect_call(a, b);
    /* Each has to be heard before it gets anything. */
    pair_send_rtp(&a->sender);
    pair_send_rtp(&b->sender);
    pair_send_rtcp(&a->sender);
    pair_send_rtcp(&b->sender);
    pair_run(pair, 20 * PAIR_MS);
    ck_assert_uint_eq(pair->dmz->sites[0].counts.n[VERDICT_ACCEPTED], 0);
    a->sender.request.destination = b->sender.request.source;
    pair->out.count = 0;
    pair_send_rtp(&a->sender);
    pair_run(pair, 20 * PAIR_MS);
    ck_assert_uint_eq(pair->out.count, 1);
    ck_assert(addr_equal(&pair->out.sent[0].to, &b->from));
    ck_assert_mem_eq(pair->out.sent[0].data, a->sender.packet, a->sender.length);
    hang_up(b);
    phone_free(a);
    phone_free(b);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pair sip");
    TCase *tc = tcase_create("sip");
    int result;

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, sample_engine_start, NULL);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, test_call, 0, 4);
    tcase_add_test(tc, test_changes);
    tcase_add_test(tc, test_rejected);
    tcase_add_loop_test(tc, test_restart, 0, 2);
    tcase_add_test(tc, test_half);
    tcase_add_test(tc, test_fork);
    tcase_add_test(tc, test_self);
    tcase_add_loop_test(tc, test_peer, 0, 2);
    tcase_add_test(tc, test_ssrc);
    tcase_add_loop_test(tc, test_bundle, 0, 2);
    tcase_add_test(tc, test_hairpin);
    suite_add_tcase(suite, tc);
    result = unit_run(suite);
    sample_engine_stop();
    return result;
}
