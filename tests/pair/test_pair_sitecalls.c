/*
 * Calls between two sites, with both inner-relays, the dmz-relay between them, and real TLS end to
 * end: placed, answered, refused, ended from either side, and through the loss of tunnels.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/sa/table.h"
#include "common/tunnel/tls.h"
#include "inner-relay/sitecalls.h"
#include "inner-relay/sitemessage.h"
#include "tests/pair/pair.h"
#include "tests/pair/sitepki.h"
#include "tests/unit/sample.h"
#include "tests/unit/unit.h"

#define WALL UINT64_C(1700000000000000)

enum { A = 0, B = 1 };

static struct pair *pair;
static struct calls *calls[2];
static struct sites *sites[2];
static struct sitecalls *sitecalls[2];
static uint64_t ticked_us;
static bool refuses;

static void configure(unsigned site, const char *other)
{
    struct sites_conf conf = {
        .name = other, .dmz = "", .refuse = site == B && refuses, .ring_us = 20 * PAIR_SECOND};

    sitepki_contexts(&conf, site);
    ck_assert_int_eq(sites_configure(sites[site], &conf, 1, pair->now_us), 0);
}

static void start_site(unsigned site)
{
    struct call_options options = {
        .offer_timeout_us = 180 * PAIR_SECOND, .call_max_us = 3600 * PAIR_SECOND, .max_calls = 100};
    struct inner *inner = pair->site[site].inner;

    inner->options.learns_ssrcs = true;
    inner->options.source_policy = SOURCE_HINTED;
    calls[site] = calls_new(inner, &options);
    sites[site] = sites_new(inner);
    sitecalls[site] = sitecalls_new(sites[site], calls[site]);
    configure(site, site == A ? "Site-B.example" : "site-a.example");
}

static void setup(void)
{
    pair = pair_new_unconnected(2);
    refuses = false;
    for (unsigned i = 0; i < 2; i++) {
        start_site(i);
        pair->site[i].reconnect = true;
    }
    exchange_set_policy(pair->dmz->exchange, A, 1u << B);
    exchange_set_policy(pair->dmz->exchange, B, 1u << A);
    ticked_us = pair->now_us;
    (void)pair_run_until_synced(pair);
}

static void teardown(void)
{
    for (unsigned i = 0; i < 2; i++) {
        sites_free(sites[i]);
        sitecalls_free(sitecalls[i]);
        calls_free(calls[i]);
    }
    pair_free(pair);
}

static void run(uint64_t duration_us)
{
    uint64_t end_us = pair->now_us + duration_us;

    while (pair->now_us < end_us) {
        pair_run(pair, 10 * PAIR_MS);
        if (pair->now_us - ticked_us < PAIR_SECOND)
            continue;
        ticked_us = pair->now_us;
        for (unsigned i = 0; i < 2; i++) {
            sitecalls_tick(sitecalls[i], WALL + pair->now_us, pair->now_us);
            sites_tick(sites[i], pair->now_us);
            calls_tick(calls[i]);
            while (calls_work(calls[i], pair->now_us))
                ;
        }
    }
}

/* ------------------------------------------------------------ calls */

static const char *sdp_of(unsigned site)
{
    static const char *const texts[] = {
        "v=0\r\no=- 1 1 IN IP4 10.0.1.1\r\ns=-\r\nc=IN IP4 10.0.1.1\r\nt=0 0\r\n"
        "m=audio 6000 RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 "
        "inline:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd\r\n",
        "v=0\r\no=- 1 1 IN IP4 10.0.2.1\r\ns=-\r\nc=IN IP4 10.0.2.1\r\nt=0 0\r\n"
        "m=audio 6000 RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 "
        "inline:ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9\r\n",
    };

    return texts[site];
}

static struct sitecall *place(unsigned from)
{
    struct site *site = sites_at(sites[from], 0);
    struct call_error error = {0};
    struct sitecall *call =
        sitecalls_place(sitecalls[from], site, sdp_of(from), strlen(sdp_of(from)),
                        WALL + pair->now_us, pair->now_us, &error);

    ck_assert_msg(call != NULL, "%s", error.text);
    return call;
}

static int answer(struct sitecall *call, unsigned site)
{
    struct call_error error = {0};

    return sitecalls_answer(sitecalls[site], call, sdp_of(site), strlen(sdp_of(site)),
                            WALL + pair->now_us, pair->now_us, &error);
}

static struct sitecall *rings(unsigned site)
{
    struct sitecall *call = sitecalls_next_ringing(sitecalls[site]);

    ck_assert_ptr_nonnull(call);
    return call;
}

static void expect_sas(size_t each)
{
    for (unsigned i = 0; i < 2; i++)
        ck_assert_uint_eq(table_count(pair->site[i].inner->table), each);
}

static void expect_over(const struct sitecall *call, const char *reason)
{
    ck_assert_int_eq(call->state, SITECALL_ENDED);
    ck_assert_msg(strstr(call->reason, reason) != NULL, "%s", call->reason);
    ck_assert_ptr_null(call->sdp);
}

/* One from a to b that was answered. */
static void make_call(struct sitecall **at_a, struct sitecall **at_b)
{
    *at_a = place(A);
    run(200 * PAIR_MS);
    *at_b = rings(B);
    ck_assert_int_eq(answer(*at_b, B), 0);
    run(100 * PAIR_MS);
    ck_assert_int_eq((*at_a)->state, SITECALL_ANSWERED);
    expect_sas(2);
}

static void expect_answered(const struct sitecall *at_a, const struct sitecall *at_b)
{
    ck_assert_int_eq(at_a->state, SITECALL_ANSWERED);
    ck_assert_int_eq(at_b->state, SITECALL_ANSWERED);
    expect_sas(2);
}

START_TEST(test_answered)
{
    struct sitecall *out, *in;

    out = place((unsigned)_i);
    ck_assert_int_eq(out->state, SITECALL_PLACED);
    run(200 * PAIR_MS);
    ck_assert_int_eq(out->state, SITECALL_RINGING);
    in = rings((unsigned)!_i);
    ck_assert_ptr_null(sitecalls_next_ringing(sitecalls[!_i]));
    ck_assert_str_eq(in->call_id, out->call_id);
    /* Who is inside sees its own relay, the key and nothing of the other network. */
    ck_assert_ptr_nonnull(strstr(in->sdp, "c=IN IP4 10.0.0.1\r\n"));
    ck_assert_ptr_nonnull(strstr(in->sdp, _i ? "inline:ICEi" : "inline:AAEC"));
    ck_assert_ptr_null(strstr(in->sdp, _i ? "10.0.2.1" : "10.0.1.1"));
    expect_sas(0);
    ck_assert_int_eq(answer(in, (unsigned)!_i), 0);
    run(100 * PAIR_MS);
    ck_assert_int_eq(out->state, SITECALL_ANSWERED);
    ck_assert_ptr_nonnull(strstr(out->sdp, "c=IN IP4 10.0.0.1\r\n"));
    ck_assert_ptr_nonnull(strstr(out->sdp, _i ? "inline:AAEC" : "inline:ICEi"));
    expect_sas(2);
    ck_assert_int_lt(answer(in, (unsigned)!_i), 0);
    /* A minute without a word changes nothing. */
    run(150 * PAIR_SECOND);
    ck_assert_int_eq(in->state, SITECALL_ANSWERED);
    ck_assert_int_eq(out->state, SITECALL_ANSWERED);
    sitecalls_end(sitecalls[_i], out, "hung up", pair->now_us);
    run(100 * PAIR_MS);
    expect_over(in, "ended by the other site: hung up");
    expect_over(out, "hung up");
    expect_sas(0);
    ck_assert_uint_eq(calls_count(calls[A]) + calls_count(calls[B]), 0);
    /* All is forgotten, and the session closed. */
    run(100 * PAIR_SECOND);
    ck_assert_str_eq(site_session_state(sites_at(sites[_i], 0), SITES_OURS), "none");
    ck_assert_str_eq(site_session_state(sites_at(sites[!_i], 0), SITES_THEIRS), "none");
    ck_assert_uint_eq(exchange_held(pair->dmz->exchange), 0);
}
END_TEST

START_TEST(test_not_answered)
{
    struct sitecall *out = place(A), *in;
    struct call_error error;

    run(200 * PAIR_MS);
    in = rings(B);
    switch (_i) {
    case 0:
        ck_assert_int_eq(sitecalls_refuse(sitecalls[B], in, "busy", pair->now_us, &error), 0);
        run(100 * PAIR_MS);
        expect_over(out, "refused by the other site: busy");
        expect_over(in, "busy");
        break;
    case 1:
        sitecalls_end(sitecalls[A], out, "hung up", pair->now_us);
        run(100 * PAIR_MS);
        expect_over(in, "ended by the other site: hung up");
        ck_assert_int_lt(answer(in, B), 0);
        break;
    case 2: /* ring-timeout of both is the same */
        run(22 * PAIR_SECOND);
        expect_over(out, "nobody has answered");
        expect_over(in, "nobody has answered");
        break;
    case 3: /* what calls.h ends by itself */
        calls_end(calls[B], calls_find(calls[B], in->call_id, "", ""), pair->now_us);
        run(2 * PAIR_SECOND);
        expect_over(out, "the media has ended");
        break;
    case 4: /* the tunnel of either */
    case 5:
        pair_reset(pair_tunnel(pair, (unsigned)_i - 4));
        run(100 * PAIR_MS);
        expect_over(out, _i == 4 ? "tunnel" : "not connected");
        run(3 * PAIR_SECOND);
        expect_over(in, _i == 5 ? "tunnel" : "not connected");
        break;
    default: /* an answer that cannot be */
        ck_assert_int_lt(
            sitecalls_answer(sitecalls[B], in, "v=0\r\n", 5, WALL, pair->now_us, &error), 0);
        ck_assert_int_eq(in->state, SITECALL_RINGING);
        ck_assert_int_eq(answer(in, B), 0);
        run(100 * PAIR_MS);
        expect_answered(out, in);
        sitecalls_end(sitecalls[B], in, "hung up", pair->now_us);
        run(100 * PAIR_MS);
        expect_over(out, "ended by the other site: hung up");
    }
    expect_sas(0);
    ck_assert_uint_eq(calls_count(calls[A]) + calls_count(calls[B]), 0);
}
END_TEST

START_TEST(test_refused)
{
    struct sitecall *out;
    const char *reason = "takes no calls of this one";

    if (_i == 0) {
        refuses = true;
        configure(B, "site-a.example");
    } else if (_i == 1) {
        exchange_set_policy(pair->dmz->exchange, B, 0);
        reason = "no call-from that allows it";
    } else {
        configure(B, "site-c.example");
        reason = "has not answered";
    }
    out = place(A);
    run(_i == 2 ? 8 * PAIR_SECOND : 200 * PAIR_MS);
    expect_over(out, reason);
    ck_assert_ptr_null(sitecalls_next_ringing(sitecalls[B]));
    expect_sas(0);
    /* It does not try for ever. */
    run(20 * PAIR_SECOND);
    ck_assert_str_eq(site_session_state(sites_at(sites[A], 0), SITES_OURS), _i ? "none" : "up");
}
END_TEST

/* A call that was answered goes on without its session, and that comes back. */
START_TEST(test_lost_tunnel)
{
    struct sitecall *out, *in;

    make_call(&out, &in);
    pair_reset(pair_tunnel(pair, (unsigned)_i));
    run(50 * PAIR_MS);
    expect_answered(out, in);
    ck_assert_str_eq(site_session_state(sites_at(sites[A], 0), SITES_OURS), "none");
    run(6 * PAIR_SECOND);
    expect_answered(out, in);
    ck_assert_str_eq(site_session_state(sites_at(sites[A], 0), SITES_OURS), "up");
    sitecalls_end(sitecalls[_i], _i == A ? out : in, "hung up", pair->now_us);
    run(100 * PAIR_MS);
    expect_over(_i == A ? in : out, "hung up");
    expect_sas(0);
}
END_TEST

/* Who hangs up while there is no way to say so says it later. */
START_TEST(test_hang_up_without_tunnel)
{
    struct sitecall *out, *in;

    make_call(&out, &in);
    pair->site[_i].reconnect = false;
    pair_reset(pair_tunnel(pair, (unsigned)_i));
    run(PAIR_SECOND);
    sitecalls_end(sitecalls[_i], _i == A ? out : in, "hung up", pair->now_us);
    run(10 * PAIR_SECOND);
    ck_assert_int_eq((_i == A ? in : out)->state, SITECALL_ANSWERED);
    pair->site[_i].reconnect = true;
    run(20 * PAIR_SECOND);
    expect_over(_i == A ? in : out, "");
    expect_sas(0);
}
END_TEST

/* Who hangs up does not know yet that its words get lost. */
START_TEST(test_hang_up_in_a_cut)
{
    struct sitecall *out, *in;

    make_call(&out, &in);
    sitecalls_end(sitecalls[_i], _i == A ? out : in, "hung up", pair->now_us);
    pair_reset(pair_tunnel(pair, (unsigned)_i));
    run(100 * PAIR_MS);
    ck_assert_int_eq((_i == A ? in : out)->state, SITECALL_ANSWERED);
    run(20 * PAIR_SECOND);
    expect_over(_i == A ? in : out, "");
    expect_sas(0);
    /* And then there is no reason for a session. */
    run(130 * PAIR_SECOND);
    for (unsigned site = A; site <= B; site++)
        ck_assert_str_eq(site_session_state(sites_at(sites[site], 0), SITES_OURS), "none");
}
END_TEST

static void restart_with(unsigned site, const uint8_t *state, size_t length)
{
    sites_free(sites[site]);
    sitecalls_free(sitecalls[site]);
    calls_free(calls[site]);
    pair_kill_inner(pair, site);
    pair_start_inner(pair, site, state, length);
    start_site(site);
    calls_restore(calls[site], WALL + pair->now_us, pair->now_us);
}

static void restart(unsigned site)
{
    static uint8_t state[PAIR_STATE_OCTETS];
    size_t length = pair_save_state(pair, site, state, sizeof(state));

    restart_with(site, state, length);
}

/* A site restarts and has no state file. */
START_TEST(test_forgotten)
{
    struct sitecall *out, *in;

    make_call(&out, &in);
    run(2 * PAIR_SECOND);
    restart_with(A, NULL, 0);
    run(100 * PAIR_MS);
    ck_assert_int_eq(in->state, SITECALL_ANSWERED);
    run(20 * PAIR_SECOND);
    expect_over(in, "the other site has it no more");
    expect_sas(0);
}
END_TEST

/* A site restarts with its state file: its calls go on, and end at both when one hangs up. */
START_TEST(test_restart)
{
    unsigned site = (unsigned)_i & 1;
    struct sitecall *at[2];
    char id[sizeof(at[A]->call_id)];

    make_call(&at[A], &at[B]);
    memcpy(id, at[A]->call_id, sizeof(id));
    run(2 * PAIR_SECOND);
    restart(site);
    run(10 * PAIR_SECOND);
    for (unsigned i = A; i <= B; i++) {
        at[i] = sitecalls_find(sitecalls[i], id);
        ck_assert_ptr_nonnull(at[i]);
    }
    expect_answered(at[A], at[B]);
    if (_i & 2)
        site = !site;
    sitecalls_end(sitecalls[site], at[site], "hung up", pair->now_us);
    run(100 * PAIR_MS);
    expect_over(at[!site], "ended by the other site: hung up");
    expect_sas(0);
}
END_TEST

/*
 * This one does not know which of two sites has the call, of which one cannot be asked (0: neither
 * has it, and it ends by media-timeout); or the other site has lost it meanwhile (2).
 */
START_TEST(test_restart_alone)
{
    static const char *const names[] = {"site-b.example", "site-c.example"};
    struct sites_conf conf[2];
    struct sitecall *at[2];
    char id[sizeof(at[A]->call_id)];

    make_call(&at[A], &at[B]);
    memcpy(id, at[A]->call_id, sizeof(id));
    run(2 * PAIR_SECOND);
    if (_i != 1)
        sitecalls_end(sitecalls[B], at[B], "hung up", pair->now_us);
    restart(A);
    for (unsigned n = 0; n < 2; n++) {
        conf[n] = (struct sites_conf){.name = names[n], .dmz = "", .ring_us = PAIR_SECOND};
        sitepki_contexts(&conf[n], A);
    }
    ck_assert_int_eq(sites_configure(sites[A], conf, _i == 2 ? 1 : 2, pair->now_us), 0);
    if (_i == 2)
        for (int i = 0; i < 2; i++)
            tls_context_free(conf[1].context[i]);
    run(15 * PAIR_SECOND);
    if (_i == 1) {
        at[A] = sitecalls_find(sitecalls[A], id);
        ck_assert_ptr_nonnull(at[A]);
        expect_answered(at[A], at[B]);
        sitecalls_end(sitecalls[A], at[A], "hung up", pair->now_us);
        run(2 * PAIR_SECOND);
        expect_over(at[B], "ended by the other site");
    }
    run(2 * PAIR_SECOND);
    ck_assert_uint_eq(table_count(pair->site[B].inner->table), 0);
    ck_assert_uint_eq(table_count(pair->site[A].inner->table), _i == 0 ? 2 : 0);
}
END_TEST

/* Its section goes from the ini file. */
START_TEST(test_gone)
{
    struct sitecall *out, *in;

    make_call(&out, &in);
    ck_assert_int_eq(sites_configure(sites[A], NULL, 0, pair->now_us), 0);
    expect_over(out, "no longer in the ini file");
    run(PAIR_SECOND);
    ck_assert_ptr_null(sitecalls_find(sitecalls[A], "x"));
    ck_assert_int_eq(in->state, SITECALL_ANSWERED);
    configure(A, "site-b.example");
    run(20 * PAIR_SECOND);
    expect_over(in, "");
    expect_sas(0);
}
END_TEST

/* Certificates are read again: sessions that are good stay. */
START_TEST(test_configured_again)
{
    struct sitecall *out, *in;

    make_call(&out, &in);
    configure(A, "site-b.example");
    configure(B, "site-a.example");
    ck_assert_str_eq(site_session_state(sites_at(sites[A], 0), SITES_OURS), "up");
    run(PAIR_SECOND);
    expect_answered(out, in);
    sitecalls_end(sitecalls[A], out, "hung up", pair->now_us);
    run(100 * PAIR_MS);
    expect_over(in, "hung up");
}
END_TEST

/* Many at once, in both directions, and no more than may ring. */
START_TEST(test_many)
{
    struct sitecall *one;
    unsigned ringing = 0;

    for (unsigned i = 0; i < SITECALLS_RINGING_MAX + 4; i++) {
        (void)place(A);
        if (i % 2)
            (void)place(B);
        run(20 * PAIR_MS);
    }
    run(500 * PAIR_MS);
    while ((one = sitecalls_next_ringing(sitecalls[B]))) {
        ck_assert_int_eq(answer(one, B), 0);
        ringing++;
    }
    ck_assert_uint_eq(ringing, SITECALLS_RINGING_MAX);
    run(PAIR_SECOND);
    ck_assert_uint_eq(table_count(pair->site[B].inner->table), 2 * SITECALLS_RINGING_MAX);
    sites_free(sites[B]);
    sitecalls_free(sitecalls[B]);
    calls_free(calls[B]);
    pair_kill_inner(pair, B);
    pair_start_inner(pair, B, NULL, 0);
    start_site(B);
    /* The other site knows nothing of them any more. */
    run(10 * PAIR_SECOND);
    expect_sas(0);
}
END_TEST

/* What a hostile site may say in its session. */
START_TEST(test_hostile)
{
    static const uint8_t types[] = {MESSAGE_ANSWER,
                                    MESSAGE_RINGING,
                                    MESSAGE_REFUSE,
                                    MESSAGE_END,
                                    MESSAGE_KEEP,
                                    MESSAGE_KEPT,
                                    200};
    struct sitecall *out, *in;
    struct site_message message = {.number = 12, .sdp = "v=0\r\n", .sdp_length = 5};
    uint8_t memory[256];
    struct writer w;
    const char *why;
    bool may = types[_i] >= MESSAGE_END;

    make_call(&out, &in);
    writer_init(&w, memory, sizeof(memory));
    if (types[_i] < 200)
        sitemessage_put(&w, types[_i], &message);
    ck_assert_int_eq(site_send(sites_at(sites[A], 0), SITES_OURS, types[_i], memory,
                               writer_length(&w), &why, pair->now_us),
                     0);
    run(100 * PAIR_MS);
    ck_assert_str_eq(site_session_state(sites_at(sites[A], 0), SITES_OURS), may ? "up" : "none");
    ck_assert_int_eq(in->state, SITECALL_ANSWERED);
    expect_sas(2);
    /* Another's address in an SDP is not sent to. */
    message.sdp = sdp_of(A);
    message.sdp_length = strlen(sdp_of(A));
    run(6 * PAIR_SECOND);
    {
        static uint8_t large[4096];

        writer_init(&w, large, sizeof(large));
        sitemessage_put(&w, MESSAGE_PLACE, &message);
        ck_assert_int_eq(site_send(sites_at(sites[A], 0), SITES_OURS, MESSAGE_PLACE, large,
                                   writer_length(&w), &why, pair->now_us),
                         0);
    }
    run(200 * PAIR_MS);
    ck_assert_ptr_null(sitecalls_next_ringing(sitecalls[B]));
    ck_assert_uint_eq(calls_count(calls[B]), 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pair sitecalls");
    TCase *tc = tcase_create("sitecalls");
    int result;

    tcase_set_timeout(tc, 120);
    tcase_add_unchecked_fixture(tc, sitepki_make, sitepki_remove);
    tcase_add_checked_fixture(tc, sample_engine_start, NULL);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, test_answered, 0, 2);
    tcase_add_loop_test(tc, test_not_answered, 0, 7);
    tcase_add_loop_test(tc, test_refused, 0, 3);
    tcase_add_loop_test(tc, test_lost_tunnel, 0, 2);
    tcase_add_loop_test(tc, test_hang_up_without_tunnel, 0, 2);
    tcase_add_loop_test(tc, test_hang_up_in_a_cut, 0, 2);
    tcase_add_test(tc, test_forgotten);
    tcase_add_loop_test(tc, test_restart, 0, 4);
    tcase_add_loop_test(tc, test_restart_alone, 0, 3);
    tcase_add_test(tc, test_gone);
    tcase_add_test(tc, test_configured_again);
    tcase_add_test(tc, test_many);
    tcase_add_loop_test(tc, test_hostile, 0, 7);
    suite_add_tcase(suite, tc);
    result = unit_run(suite);
    sample_engine_stop();
    return result;
}
