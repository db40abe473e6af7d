/*
 * Media of two sites beside their dmz-relay: by a packet forwarder, which here is the same
 * dmz-relay. No packet is lost or comes twice while it moves there, nor while it returns; a silent
 * forwarder is noticed within 200 ms.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/protocol.h"
#include "common/base/writer.h"
#include "common/sa/table.h"
#include "common/sa/way.h"
#include "common/tunnel/passwire.h"
#include "inner-relay/bypass.h"
#include "tests/pair/pair.h"
#include "tests/unit/sample.h"
#include "tests/unit/unit.h"

enum { A = 0, B = 1 };

static struct pair *pair;
static struct bypass *bypass[2];
static struct pair_sender *sender;
static uint64_t takes;
static size_t sent;

/* Of the session that site A has opened; number 1 and above: of later ones. */
static void give_keys(unsigned site, uint8_t number)
{
    uint8_t secret[2][PASSPROBE_SECRET_OCTETS];

    memset(secret[0], 0x10 + number, sizeof(secret[0]));
    memset(secret[1], 0x80 + number, sizeof(secret[1]));
    bypass_key(bypass[site], 0, site == A, secret, pair->now_us);
}

/* What the forwarder passes on of media, as its link does: one of so many; not one of so many. */
static unsigned one_of = 1, lost_of, passed;
static bool copies; /* it sends one that it has passed on in the place of each that it does not */

void __real_session_media(struct session *session, uint32_t label, const uint8_t *packet,
                          size_t length, struct verdict_counts *counts, uint64_t now_us);
void __wrap_session_media(struct session *session, uint32_t label, const uint8_t *packet,
                          size_t length, struct verdict_counts *counts, uint64_t now_us);

/* Probes to site A, which the forwarder keeps, and sends again once it passes nothing on. */
enum { KEPT_MAX = 4000 };

static struct {
    uint64_t at_us;
    uint8_t octets[1 + PASSPROBE_OCTETS];
} kept[KEPT_MAX];
static size_t kept_count, replayed;
static uint64_t replay_us; /* since when it does; 0: it is honest */
static bool replaying;

static bool is_to(const struct session *session, unsigned site)
{
    const struct pair_tunnel *to = pair_tunnel(pair, site);

    return to && to->dmz && to->dmz->session == session;
}

/* True: it does not pass it on. */
static bool keeps(const struct session *session, uint32_t label, const uint8_t *packet)
{
    if (label >= PASS_NUMBERS || replaying)
        return false;
    if (replay_us == 0 && packet[0] == 2 && is_to(session, A) && kept_count < KEPT_MAX) {
        kept[kept_count].at_us = pair->now_us;
        memcpy(kept[kept_count++].octets, packet, sizeof(kept[0].octets));
    }
    return replay_us > 0;
}

static void replay(void)
{
    while (replay_us > 0 && replayed < kept_count &&
           kept[replayed].at_us - kept[0].at_us <= pair->now_us - replay_us) {
        replaying = true;
        pair_inject_media(pair_tunnel(pair, A), true, B, kept[replayed].octets,
                          sizeof(kept[0].octets));
        replaying = false;
        replayed++;
    }
}

static uint8_t copied[PACKET_MAX_OCTETS];
static size_t copied_length;

static bool is_lost(const struct session *session, uint32_t label, const uint8_t *packet,
                    size_t length)
{
    const struct pair_tunnel *to = pair_tunnel(pair, B);

    if (label >= PASS_NUMBERS || packet[0] != 1 || !to || !to->dmz || to->dmz->session != session)
        return false;
    passed++;
    if (copies && copied_length > 0 && passed % one_of != 0)
        pair_inject_media(pair_tunnel(pair, B), true, label, copied, copied_length);
    else if (copies)
        memcpy(copied, packet, copied_length = length);
    return passed % one_of != 0 || (lost_of && passed % lost_of == 0);
}

void __wrap_session_media(struct session *session, uint32_t label, const uint8_t *packet,
                          size_t length, struct verdict_counts *counts, uint64_t now_us)
{
    if (keeps(session, label, packet) || is_lost(session, label, packet, length))
        verdict_count(counts, VERDICT_TUNNEL_DOWN);
    else
        __real_session_media(session, label, packet, length, counts, now_us);
}

static struct admit_request request_of(enum sa_side side)
{
    struct admit_request request, inside;
    struct admit_error error;
    unsigned site = side == SA_SIDE_INTERNAL ? A : B;

    pair_request(&request, side, 1);
    pair_request(&inside, SA_SIDE_INTERNAL, 1);
    request.suite = inside.suite;
    request.key = inside.key;
    request.ssrc[0] = inside.ssrc[0];
    *(side == SA_SIDE_INTERNAL ? &request.destination : &request.source) =
        (struct sa_transport){.mux = false};
    ck_assert_msg(admit_peer(pair->site[site].inner, PEERS_SELF, &request, &error) == 0, "%s",
                  error.text);
    return request;
}

/* The dmz-relay becomes a forwarder, too, once the SAs have found their place. */
static void setup(void)
{
    struct admit_request request;

    pair = pair_new(2);
    sent = 0;
    one_of = 1;
    lost_of = passed = 0;
    copies = false;
    copied_length = 0;
    kept_count = replayed = 0;
    replay_us = 0;
    exchange_set_policy(pair->dmz->exchange, B, 1u << A);
    for (size_t i = 0; i < pair->dmz->listener_count; i++)
        (void)peers_add(&pair->dmz->peers, PEERS_SELF, &pair->dmz->listeners[i].advertise);
    peers_fill_rules(&pair->dmz->peers, &pair->dmz->rules);
    request = request_of(SA_SIDE_INTERNAL);
    sender = pair_sender_new(pair, A, &request);
    request = request_of(SA_SIDE_EXTERNAL);
    takes = pair_admit(pair, B, &request);
    (void)pair_run_until_synced(pair);
    for (unsigned i = 0; i < 2; i++) {
        bypass[i] = bypass_new(pair->site[i].inner);
        pair->site[i].inner->links[0].forwarder = true;
        ck_assert_int_eq(bypass_site(bypass[i], pair->site[!i].name, 0), 0);
        give_keys(i, 0);
    }
    pair->delay_us = 20 * PAIR_MS;
    pair_run(pair, 100 * PAIR_MS);
}

static void bind_both(void)
{
    struct sa *there = inner_find_sa(pair->site[B].inner, takes);
    struct sa *here = inner_find_sa(pair->site[A].inner, sender->id);

    ck_assert_int_eq(bypass_bind(here, 0, there->label), 0);
    ck_assert_int_eq(bypass_bind(there, 0, 0), 0);
    for (unsigned i = 0; i < 2; i++)
        bypass_want(bypass[i], 0, true, pair->now_us);
}

static void teardown(void)
{
    pair_sender_free(sender);
    for (unsigned i = 0; i < 2; i++)
        bypass_free(bypass[i]);
    pair_free(pair);
}

static void tick(void)
{
    replay();
    for (unsigned i = 0; i < 2; i++)
        (void)bypass_tick(bypass[i], pair->now_us);
}

static size_t arrived(void)
{
    return pair->site[B].out.count;
}

/* A packet each 20 ms; the longest time in which none came. */
static uint64_t talk(uint64_t duration_us)
{
    uint64_t end_us = pair->now_us + duration_us, last_us = pair->now_us, gap_us = 0;
    size_t before = arrived();

    while (pair->now_us < end_us) {
        pair_send_rtp(sender);
        sent++;
        for (unsigned i = 0; i < 2; i++) {
            pair_run(pair, 10 * PAIR_MS);
            tick();
        }
        if (arrived() == before)
            continue;
        before = arrived();
        if (pair->now_us - last_us > gap_us)
            gap_us = pair->now_us - last_us;
        last_us = pair->now_us;
    }
    return gap_us;
}

static struct bypass_view view(unsigned site)
{
    struct bypass_view out;

    bypass_show(bypass[site], 0, &out);
    return out;
}

static uint64_t by_dmz(void)
{
    return pair->dmz->own.received;
}

/* From the first packet by the dmz-relay, then by the forwarder; each comes once. */
START_TEST(test_moves)
{
    uint64_t before;

    talk(400 * PAIR_MS);
    ck_assert_uint_eq(by_dmz(), sent);
    bind_both();
    talk(2 * PAIR_SECOND);
    ck_assert_ptr_eq(view(A).by, &pair->site[A].inner->links[0]);
    ck_assert_uint_eq(view(A).moves, 1);
    /* 40 ms to the forwarder and back, twice, and what probes wait for each other. */
    ck_assert_uint_ge(view(A).rtt_us, 80 * PAIR_MS);
    ck_assert_uint_le(view(A).rtt_us, 85 * PAIR_MS);
    before = by_dmz();
    ck_assert_uint_le(talk(10 * PAIR_SECOND), 40 * PAIR_MS);
    ck_assert_uint_ge(by_dmz() - before, 9);
    ck_assert_uint_le(by_dmz() - before, 11);
    pair_run(pair, 200 * PAIR_MS);
    ck_assert_uint_eq(arrived(), sent);
    ck_assert_uint_gt(pair->site[B].inner->links[0].counts.n[VERDICT_REPLAY], 0);
    /* Nobody wants it any more. */
    for (unsigned i = 0; i < 2; i++)
        bypass_want(bypass[i], 0, false, pair->now_us);
    before = by_dmz();
    talk(1 * PAIR_SECOND);
    ck_assert_uint_eq(by_dmz() - before, 50);
    pair_run(pair, 200 * PAIR_MS);
    ck_assert_uint_eq(arrived(), sent);
    ck_assert_uint_eq(pair->dmz->passes.wants[A] | pair->dmz->passes.wants[B], 0);
    ck_assert_uint_eq(bypass_tick(bypass[A], pair->now_us), UINT64_MAX);
}
END_TEST

/* The forwarder loses everything, in both directions or in one, without a word. */
START_TEST(test_silent)
{
    uint64_t before, gap_us;

    bind_both();
    talk(2 * PAIR_SECOND);
    ck_assert_ptr_nonnull(view(A).by);
    ck_assert_uint_eq(pair->site[B].inner->links[0].counts.n[VERDICT_NO_SA], 0);
    /* Frames from B to A are lost, too: a way is for both or for none. */
    pair->dmz->passes.wants[_i] = 0;
    gap_us = talk(2 * PAIR_SECOND);
    ck_assert_uint_le(gap_us, 200 * PAIR_MS);
    ck_assert_uint_ge(gap_us, 60 * PAIR_MS);
    ck_assert_ptr_null(view(A).by);
    ck_assert_uint_eq(view(A).returns, 1);
    before = by_dmz();
    talk(1 * PAIR_SECOND);
    ck_assert_uint_eq(by_dmz() - before, 50);
    pair->dmz->passes.wants[_i] = 1u << !_i;
    talk(2 * PAIR_SECOND);
    ck_assert_ptr_nonnull(view(A).by);
    ck_assert_uint_eq(view(A).moves, 2);
}
END_TEST

/* It says that it is over, or the tunnel to it is: nothing but what was on its way is lost. */
START_TEST(test_told)
{
    uint64_t beside;

    bind_both();
    talk(2 * PAIR_SECOND);
    ck_assert_ptr_nonnull(view(A).by);
    if (_i == 0)
        bypass_want(bypass[B], 0, false, pair->now_us);
    else
        bypass_forget(bypass[B], 0, pair->now_us);
    while (view(A).by)
        talk(20 * PAIR_MS);
    /* A way that is no more takes no copies either: its number may be another site's. */
    beside = pair->site[A].inner->beside.received;
    ck_assert_uint_le(talk(1 * PAIR_SECOND), 100 * PAIR_MS);
    ck_assert_uint_eq(pair->site[A].inner->beside.received, beside);
    ck_assert_ptr_null(view(A).by);
    ck_assert_uint_ge(arrived(), sent - 8);
}
END_TEST

/* Nothing that a forwarder sends is good for SAs that are not with that site. */
START_TEST(test_liar)
{
    struct sa *there;
    uint8_t memory[PACKET_MAX_OCTETS];
    struct verdict_counts *counts = &pair->site[B].inner->links[0].counts;
    uint64_t no_sa, malformed;

    bind_both();
    talk(1 * PAIR_SECOND);
    pair_run(pair, 100 * PAIR_MS);
    there = inner_find_sa(pair->site[B].inner, takes);
    no_sa = counts->n[VERDICT_NO_SA];
    ck_assert_int_eq(bypass_bind(there, 1, 0), 0);
    pair_make_rtp(sender);
    memory[0] = 1;
    memory[1] = (uint8_t)(there->label >> 24);
    memory[2] = (uint8_t)(there->label >> 16);
    memory[3] = (uint8_t)(there->label >> 8);
    memory[4] = (uint8_t)there->label;
    memcpy(memory + 5, sender->packet, sender->length);
    pair_inject_media(pair_tunnel(pair, B), true, A, memory, sender->length + 5);
    pair_run(pair, 100 * PAIR_MS);
    ck_assert_uint_eq(counts->n[VERDICT_NO_SA], no_sa + 1);
    ck_assert_int_eq(bypass_bind(there, 0, 0), 0);
    malformed = counts->n[VERDICT_MALFORMED];
    for (size_t length = 1; length < 42; length++) {
        memory[0] = (uint8_t)(length % 4);
        memset(memory + 1, 0xff, 41);
        pair_inject_media(pair_tunnel(pair, B), true, A, memory, length);
    }
    pair_run(pair, 100 * PAIR_MS);
    ck_assert_uint_gt(counts->n[VERDICT_MALFORMED], malformed);
    ck_assert_ptr_nonnull(pair_tunnel(pair, B));
    pair_check_sums(pair);
    talk(1 * PAIR_SECOND);
    ck_assert_uint_eq(pair->site[A].inner->links[0].counts.n[VERDICT_NO_SA], 0);
}
END_TEST

/* Nor is what comes by a direct path, without a forwarder: it is the other site's, with whom it
 * leads. */
START_TEST(test_beside)
{
    struct inner *inner = pair->site[B].inner;
    const struct verdict_counts *counts = &inner->links[0].counts;
    struct session_packet packet;
    struct sa *there;

    bind_both();
    there = inner_find_sa(inner, takes);
    pair_make_rtp(sender);
    packet = (struct session_packet){there->label, sender->packet, sender->length};
    inbound_beside(&inner->links[0], 1, &packet, 1, pair->now_us);
    ck_assert_uint_eq(counts->n[VERDICT_NO_SA], 1);
    ck_assert_uint_eq(arrived(), 0);
    inbound_beside(&inner->links[0], 0, &packet, 1, pair->now_us);
    ck_assert_uint_eq(counts->n[VERDICT_NO_SA], 1);
    ck_assert_uint_eq(arrived(), 1);
    inbound_past(&inner->links[0], "nobody.example", &packet, 1, pair->now_us);
    ck_assert_uint_eq(counts->n[VERDICT_NO_SA], 2);
    pair_make_rtp(sender);
    packet.data = sender->packet;
    packet.length = sender->length;
    inbound_past(&inner->links[0], pair->site[A].name, &packet, 1, pair->now_us);
    ck_assert_uint_eq(counts->n[VERDICT_NO_SA], 2);
    ck_assert_uint_eq(arrived(), 2);
}
END_TEST

/* What no segment of the forwarder's media connection takes, with its head, goes by the stream. */
START_TEST(test_large)
{
    struct inner_link *link = &pair->site[A].inner->links[0];
    static const struct session_hooks none = {.hello = NULL};
    struct inner_media media = {.link = link, .number = 1};
    const struct session_counters *counters;

    bind_both();
    talk(2 * PAIR_SECOND);
    ck_assert_ptr_nonnull(view(A).by);
    media.session = session_new(SESSION_INNER, &none, NULL, PAIR_SECOND, 64 * 1024, pair->now_us);
    ck_assert_ptr_nonnull(media.session);
    counters = session_counters(media.session);
    session_set_packet_room(media.session, sender->length + (_i ? 4 : 5));
    link->media[link->media_count++] = &media;
    for (int n = 0; n < 4; n++) {
        pair_send_rtp(sender);
        pair_run(pair, 5 * PAIR_MS);
    }
    ck_assert_uint_eq(counters->larger, _i ? 4 : 0);
    link->media_count--;
    pair_run(pair, 200 * PAIR_MS);
    ck_assert_uint_eq(arrived(), sent + (_i ? 4 : 0));
    session_free(media.session);
}
END_TEST

/* What the other site would send, from what a packet forwarder sees. */
static void pretend(unsigned to)
{
    uint8_t memory[1 + PASSPROBE_OCTETS] = {2};
    struct writer w;

    writer_init(&w, memory + 1, sizeof(memory) - 1);
    writer_u8(&w, to == A ? 1 : 0);
    writer_u64(&w, pair->now_us);
    writer_u64(&w, pair->now_us - 40 * PAIR_MS);
    writer_u64(&w, 0);
    pair_inject_media(pair_tunnel(pair, to), true, !to, memory, sizeof(memory));
}

/* A packet forwarder that answers itself, and drops everything, gets no media. */
START_TEST(test_answers_itself)
{
    uint64_t before = pair->site[A].inner->links[0].counts.n[VERDICT_AUTH_FAIL];

    bind_both();
    talk(100 * PAIR_MS);
    pair->dmz->passes.wants[A] = pair->dmz->passes.wants[B] = 0;
    for (unsigned i = 0; i < 100; i++) {
        pretend(A);
        pretend(B);
        talk(20 * PAIR_MS);
    }
    ck_assert_ptr_null(view(A).by);
    ck_assert_uint_eq(view(A).moves, 0);
    ck_assert_uint_ge(pair->site[A].inner->links[0].counts.n[VERDICT_AUTH_FAIL], before + 90);
    pair_run(pair, 200 * PAIR_MS);
    ck_assert_uint_eq(arrived(), sent);
    pair_check_sums(pair);
}
END_TEST

static void say_state(uint8_t state)
{
    struct inner *inner = pair->site[A].inner;
    struct pass_frame frame = {.state = state, .number = B};

    snprintf(frame.site, sizeof(frame.site), "%s", pair->site[B].name);
    inner->passes.state(inner->passes.ctx, &inner->links[0], &frame, pair->now_us);
}

/* One that opens the way anew, and sends again what the other site has answered before. */
START_TEST(test_replays_probes)
{
    uint64_t before;

    bind_both();
    talk(10 * PAIR_SECOND);
    ck_assert_ptr_nonnull(view(A).by);
    ck_assert_uint_ge(kept_count, 400);
    replay_us = pair->now_us;
    /* What is on its way comes before: it would be newer. */
    talk(60 * PAIR_MS);
    if (_i > 0) {
        say_state(PASS_STATE_WAITING);
        say_state(PASS_STATE_OPEN);
    }
    ck_assert_uint_le(talk(1 * PAIR_SECOND), 200 * PAIR_MS);
    ck_assert_ptr_null(view(A).by);
    before = arrived();
    talk(7 * PAIR_SECOND);
    ck_assert_uint_ge(replayed, 300);
    ck_assert_ptr_null(view(A).by);
    ck_assert_uint_eq(view(A).moves, 1);
    ck_assert_uint_ge(arrived() - before, 7 * 50 - 2);
    pair_check_sums(pair);
}
END_TEST

/*
 * One that passes probes on, and of media one packet in so many, is left, and stays so; copies of
 * what it has passed on do not make up for it.
 */
START_TEST(test_drops_media)
{
    uint64_t before;

    bind_both();
    talk(2 * PAIR_SECOND);
    ck_assert_ptr_nonnull(view(A).by);
    copies = _i > 0;
    one_of = 2;
    talk(4 * PAIR_SECOND);
    ck_assert_ptr_null(view(A).by);
    before = arrived();
    talk(50 * PAIR_SECOND);
    ck_assert_uint_ge(arrived() - before, 2500 - 10);
    ck_assert_uint_eq(view(A).moves, 1);
    one_of = 1;
    talk(15 * PAIR_SECOND);
    ck_assert_ptr_nonnull(view(A).by);
    pair_check_sums(pair);
}
END_TEST

/* One that loses a few, as any network does, stays; so does one of a sender that says little. */
START_TEST(test_some_loss)
{
    bind_both();
    talk(2 * PAIR_SECOND);
    lost_of = 10;
    for (unsigned i = 0; i < 30; i++) {
        talk(500 * PAIR_MS);
        ck_assert_ptr_nonnull(view(A).by);
    }
    lost_of = 0;
    for (unsigned i = 0; i < 20 * 50; i++) {
        pair_run(pair, 20 * PAIR_MS);
        tick();
        if (i % 25 == 0)
            pair_send_rtp(sender);
    }
    ck_assert_uint_eq(view(A).returns, 0);
}
END_TEST

/* A path past the dmz-relay, by which all comes at once, and which is in doubt. */
static bool past_open;

static bool past_media(void *ctx, const struct sa *sa, const uint8_t *packet, size_t length,
                       uint64_t now_us)
{
    struct inner *inner = pair->site[B].inner;
    struct session_packet copy = {inner_find_sa(inner, takes)->label, packet, length};

    (void)ctx;
    (void)sa;
    inbound_beside(&inner->links[0], 0, &copy, 1, now_us);
    return false;
}

static bool is_past_open(void *ctx, const char *site)
{
    (void)ctx;
    ck_assert_str_eq(site, pair->site[B].name);
    return past_open;
}

/* What has gone past the dmz-relay, too, is no loss of the forwarder. */
START_TEST(test_past)
{
    bind_both();
    talk(2 * PAIR_SECOND);
    past_open = true;
    pair->site[A].inner->meetings =
        (struct inner_meetings){.media = past_media, .is_open = is_past_open};
    talk(6 * PAIR_SECOND);
    ck_assert_ptr_nonnull(view(A).by);
    ck_assert_uint_eq(view(A).returns, 0);
    past_open = false;
    talk(4 * PAIR_SECOND);
    ck_assert_uint_eq(view(A).returns, 1);
}
END_TEST

/* Nor is what the other side refuses itself: over the rate of its SA, or without a destination. */
START_TEST(test_refused)
{
    static const enum verdict verdicts[] = {VERDICT_RATE, VERDICT_NO_DESTINATION};
    const struct verdict_counts *counts = &pair->site[B].inner->links[0].counts;
    struct sa *there = inner_find_sa(pair->site[B].inner, takes);

    bind_both();
    talk(2 * PAIR_SECOND);
    if (_i == 0)
        rate_init(&there->rate, 1000);
    else
        there->destination = (struct sa_transport){.mux = true};
    talk(6 * PAIR_SECOND);
    ck_assert_uint_ge(counts->n[verdicts[_i]], 150);
    ck_assert_ptr_nonnull(view(A).by);
    ck_assert_uint_eq(view(A).returns, 0);
}
END_TEST

/* A forwarder by which it takes too long gets no media, and loses it, however slowly it slows. */
START_TEST(test_slow)
{
    pair->delay_us = 110 * PAIR_MS;
    bind_both();
    talk(3 * PAIR_SECOND);
    ck_assert_ptr_null(view(A).by);
    pair->delay_us = 50 * PAIR_MS;
    talk(3 * PAIR_SECOND);
    ck_assert_ptr_nonnull(view(A).by);
    for (; pair->delay_us < 110 * PAIR_MS; pair->delay_us += PAIR_MS)
        talk(200 * PAIR_MS);
    talk(2 * PAIR_SECOND);
    ck_assert_ptr_null(view(A).by);
    ck_assert_uint_eq(view(A).returns, 1);
    pair_run(pair, PAIR_SECOND);
    ck_assert_uint_eq(arrived(), sent);
}
END_TEST

/* A way that falls silent again and again has to answer for longer each time. */
START_TEST(test_back_off)
{
    uint64_t moves[2] = {0};

    bind_both();
    for (unsigned i = 0; i < 2 * 20; i++) {
        pair->dmz->passes.wants[A] = 1u << B;
        talk(600 * PAIR_MS);
        pair->dmz->passes.wants[A] = 0;
        talk(600 * PAIR_MS);
        moves[i / 20] = view(A).moves;
    }
    ck_assert_uint_ge(moves[0], 2);
    ck_assert_uint_le(moves[0], 4);
    ck_assert_uint_eq(moves[1], moves[0]);
    /* It is as good as ever once it has lasted. */
    pair->dmz->passes.wants[A] = 1u << B;
    talk(70 * PAIR_SECOND);
    ck_assert_uint_eq(view(A).moves, moves[0] + 1);
    pair->dmz->passes.wants[A] = 0;
    talk(1 * PAIR_SECOND);
    ck_assert_ptr_null(view(A).by);
    pair->dmz->passes.wants[A] = 1u << B;
    talk(700 * PAIR_MS);
    ck_assert_ptr_nonnull(view(A).by);
}
END_TEST

/* What was refused is asked for again: the other side's ini file may have changed. */
START_TEST(test_asks_again)
{
    unsigned seconds = 0;

    exchange_set_policy(pair->dmz->exchange, B, 0);
    bind_both();
    talk(2 * PAIR_SECOND);
    ck_assert_ptr_null(view(A).by);
    ck_assert_uint_eq(pair->dmz->passes.refused[A], 1u << B);
    exchange_set_policy(pair->dmz->exchange, B, 1u << A);
    for (; !view(A).by && seconds < 100; seconds++)
        talk(1 * PAIR_SECOND);
    ck_assert_uint_ge(seconds, 30);
    ck_assert_uint_le(seconds, 62);
}
END_TEST

/* Sites that have no key, or that of another session, take no probe; media stays where it is. */
START_TEST(test_keys)
{
    const struct verdict_counts *counts = &pair->site[A].inner->links[0].counts;

    talk(100 * PAIR_MS);
    bypass_forget(bypass[B], 0, pair->now_us);
    ck_assert_int_eq(bypass_site(bypass[B], pair->site[A].name, 0), 0);
    bind_both();
    talk(1 * PAIR_SECOND);
    ck_assert_ptr_null(view(A).by);
    ck_assert_uint_gt(pair->site[B].inner->links[0].counts.n[VERDICT_NO_SA], 0);
    give_keys(B, 7);
    talk(1 * PAIR_SECOND);
    ck_assert_ptr_null(view(A).by);
    ck_assert_uint_gt(counts->n[VERDICT_AUTH_FAIL], 0);
    give_keys(B, 0);
    talk(1 * PAIR_SECOND);
    ck_assert_ptr_nonnull(view(A).by);
}
END_TEST

/* Sessions come and go: no probe is lost by it, though the two hear of it at different times. */
START_TEST(test_new_keys)
{
    bind_both();
    talk(2 * PAIR_SECOND);
    ck_assert_ptr_nonnull(view(A).by);
    for (uint8_t i = 1; i < 6; i++) {
        give_keys(i % 2, i);
        talk(200 * PAIR_MS);
        give_keys(!(i % 2), i);
        talk(2 * PAIR_SECOND);
        bypass_key(bypass[A], 0, true, NULL, pair->now_us);
    }
    /* One that is over at once the other site may not have. */
    give_keys(A, 6);
    talk(200 * PAIR_MS);
    bypass_key(bypass[A], 0, true, NULL, pair->now_us);
    talk(2 * PAIR_SECOND);
    ck_assert_uint_eq(view(A).moves + view(B).moves, 2);
    ck_assert_uint_eq(view(A).returns + view(B).returns, 0);
    for (unsigned i = 0; i < 2; i++)
        ck_assert_uint_eq(pair->site[i].inner->links[0].counts.n[VERDICT_AUTH_FAIL], 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pair bypass");
    TCase *tc = tcase_create("bypass");
    int result;

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, sample_engine_start, NULL);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, test_moves);
    tcase_add_loop_test(tc, test_silent, 0, 2);
    tcase_add_loop_test(tc, test_told, 0, 2);
    tcase_add_test(tc, test_liar);
    tcase_add_test(tc, test_beside);
    tcase_add_loop_test(tc, test_large, 0, 2);
    tcase_add_test(tc, test_answers_itself);
    tcase_add_loop_test(tc, test_replays_probes, 0, 2);
    tcase_add_loop_test(tc, test_drops_media, 0, 2);
    tcase_add_test(tc, test_past);
    tcase_add_loop_test(tc, test_refused, 0, 2);
    tcase_add_test(tc, test_slow);
    tcase_add_test(tc, test_some_loss);
    tcase_add_test(tc, test_back_off);
    tcase_add_test(tc, test_asks_again);
    tcase_add_test(tc, test_keys);
    tcase_add_test(tc, test_new_keys);
    suite_add_tcase(suite, tc);
    result = unit_run(suite);
    sample_engine_stop();
    return result;
}
