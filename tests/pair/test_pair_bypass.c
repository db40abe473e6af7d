/*
 * Media of two sites beside their dmz-relay: by a packet forwarder, which here is the same
 * dmz-relay. No packet is lost or comes twice while it moves there, nor while it returns; a silent
 * forwarder is noticed within 200 ms.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/sa/table.h"
#include "common/sa/way.h"
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
    for (size_t length = 1; length < 25; length++) {
        memory[0] = (uint8_t)(length % 4);
        memset(memory + 1, 0xff, 24);
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
    suite_add_tcase(suite, tc);
    result = unit_run(suite);
    sample_engine_stop();
    return result;
}
