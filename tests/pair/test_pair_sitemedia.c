/*
 * Media between sites: which SAs of two inner-relays are two ends of one medium, found in the
 * session of the two, whoever has added them; what becomes of that when SAs, keys, sessions and
 * tunnels come and go; and that nobody who lacks the key, or hears it said to another, is believed.
 */
#include <stdio.h>
#include <string.h>

#include "common/base/err.h"
#include "common/sa/table.h"
#include "inner-relay/sitemedia.h"
#include "inner-relay/sitemessage.h"
#include "tests/pair/pair.h"
#include "tests/pair/sitepki.h"
#include "tests/unit/sample.h"
#include "tests/unit/unit.h"

enum { A = 0, B = 1 };

static struct pair *pair;
static struct sites *sites[2];
static struct sitemedia *media[2];
static uint64_t ticked_us;

/* other NULL: no site. */
static void configure(unsigned site, const char *other)
{
    struct sites_conf conf = {.name = other, .dmz = "", .ring_us = 20 * PAIR_SECOND};

    if (other)
        sitepki_contexts(&conf, site);
    ck_assert_int_eq(sites_configure(sites[site], &conf, other != NULL, pair->now_us), 0);
}

static void start_site(unsigned site)
{
    sites[site] = sites_new(pair->site[site].inner);
    media[site] = sitemedia_new(pair->site[site].inner, sites[site]);
    configure(site, site == A ? "Site-B.example" : "site-a.example");
}

static void stop_site(unsigned site)
{
    sites_free(sites[site]);
    sitemedia_free(media[site]);
}

static void setup(void)
{
    pair = pair_new_unconnected(2);
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
    for (unsigned i = 0; i < 2; i++)
        stop_site(i);
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
            sites_tick(sites[i], pair->now_us);
            if (!media[i])
                continue;
            sitemedia_tick(media[i]);
            while (sitemedia_work(media[i], pair->now_us))
                ;
        }
    }
}

/* ------------------------------------------------------------ SAs */

static struct sa *sa_of(unsigned site, uint64_t id)
{
    struct sa *sa = inner_find_sa(pair->site[site].inner, id);

    ck_assert_ptr_nonnull(sa);
    return sa;
}

/* A sender inside whose packets go to the dmz-relay's own address, or one who sends from there. */
static struct admit_request request_of(enum sa_side side, unsigned n)
{
    struct admit_request request, inside;

    pair_request(&request, side, n);
    pair_request(&inside, SA_SIDE_INTERNAL, n);
    request.suite = inside.suite;
    request.key = inside.key;
    request.ssrc[0] = inside.ssrc[0];
    return request;
}

static uint64_t add(unsigned site, struct admit_request request)
{
    struct admit_error error;

    *(request.side == SA_SIDE_INTERNAL ? &request.destination : &request.source) =
        (struct sa_transport){.mux = false};
    ck_assert_msg(admit_peer(pair->site[site].inner, PEERS_SELF, &request, &error) == 0, "%s",
                  error.text);
    return pair_admit(pair, site, &request);
}

static void expect_known(unsigned from, uint64_t gives, uint64_t takes)
{
    const struct sa *there = sa_of(!from, takes);
    uint32_t label = ~there->label;

    ck_assert_ptr_eq(sitemedia_find(media[from], sa_of(from, gives), &label),
                     sites_at(sites[from], 0));
    ck_assert_uint_eq(label, there->label);
    ck_assert_ptr_eq(sitemedia_find(media[!from], there, NULL), sites_at(sites[!from], 0));
}

static void expect_unknown(unsigned site, uint64_t id)
{
    ck_assert_ptr_null(sitemedia_find(media[site], sa_of(site, id), NULL));
}

static size_t counted(unsigned site)
{
    return sitemedia_count(media[site], sites_at(sites[site], 0));
}

/* ------------------------------------------------------------ they are found */

/* Whichever site has its SA first, or the session already; and in both directions. */
START_TEST(test_found)
{
    unsigned from = (unsigned)_i & 1;
    uint64_t gives, takes;

    if (_i & 2) {
        takes = add(!from, request_of(SA_SIDE_EXTERNAL, 1));
        run(3 * PAIR_SECOND);
        gives = add(from, request_of(SA_SIDE_INTERNAL, 1));
    } else {
        gives = add(from, request_of(SA_SIDE_INTERNAL, 1));
        run(3 * PAIR_SECOND);
        takes = add(!from, request_of(SA_SIDE_EXTERNAL, 1));
    }
    run(6 * PAIR_SECOND);
    expect_known(from, gives, takes);
    ck_assert_uint_eq(counted(A) + counted(B), 2);
    /* It stays, and so does one session; there is no need for another one. */
    run(300 * PAIR_SECOND);
    expect_known(from, gives, takes);
    ck_assert_str_eq(site_session_state(sites_at(sites[A], 0), SITES_OURS), "up");
    ck_assert_str_eq(site_session_state(sites_at(sites[A], 0), SITES_THEIRS), "none");
    /* What is gone is forgotten, and then the session. */
    inner_delete(pair->site[A].inner, sa_of(A, from == A ? gives : takes), pair->now_us);
    inner_delete(pair->site[B].inner, sa_of(B, from == A ? takes : gives), pair->now_us);
    run(3 * PAIR_SECOND);
    ck_assert_uint_eq(counted(A) + counted(B), 0);
    ck_assert_uint_eq(sitemedia_held(media[A]) + sitemedia_held(media[B]), 0);
    run(130 * PAIR_SECOND);
    ck_assert_str_eq(site_session_state(sites_at(sites[A], 0), SITES_OURS), "none");
    ck_assert_str_eq(site_session_state(sites_at(sites[B], 0), SITES_OURS), "none");
}
END_TEST

START_TEST(test_many)
{
    enum { N = 400 };
    static uint64_t gives[N], takes[N];

    for (unsigned i = 0; i < N; i++) {
        gives[i] = add(i % 2, request_of(SA_SIDE_INTERNAL, i + 1));
        takes[i] = add(!(i % 2), request_of(SA_SIDE_EXTERNAL, i + 1));
    }
    run(10 * PAIR_SECOND);
    for (unsigned i = 0; i < N; i++)
        expect_known(i % 2, gives[i], takes[i]);
    ck_assert_uint_eq(counted(A), N);
    ck_assert_uint_eq(counted(B), N);
}
END_TEST

/* A session, a tunnel, a relay that begins anew: all is found again. */
START_TEST(test_again)
{
    uint64_t gives = add(A, request_of(SA_SIDE_INTERNAL, 1));
    uint64_t takes = add(B, request_of(SA_SIDE_EXTERNAL, 1));

    run(6 * PAIR_SECOND);
    expect_known(A, gives, takes);
    switch (_i) {
    case 0: /* what was found does not need the tunnel */
        pair_reset(pair_tunnel(pair, A));
        run(100 * PAIR_MS);
        expect_known(A, gives, takes);
        break;
    case 1: /* the sender's site knows nothing any more, until the SA is there again */
        stop_site(A);
        pair_kill_inner(pair, A);
        pair_start_inner(pair, A, NULL, 0);
        start_site(A);
        run(5 * PAIR_SECOND);
        gives = add(A, request_of(SA_SIDE_INTERNAL, 1));
        break;
    case 2:
        stop_site(B);
        pair_kill_inner(pair, B);
        pair_start_inner(pair, B, NULL, 0);
        start_site(B);
        run(5 * PAIR_SECOND);
        takes = add(B, request_of(SA_SIDE_EXTERNAL, 1));
        break;
    default: /* a reload without the site, and one with it */
        configure(A, NULL);
        run(3 * PAIR_SECOND);
        expect_unknown(A, gives);
        ck_assert_uint_eq(sitemedia_held(media[A]), 0);
        for (unsigned i = 0; i < 2 * SITES_MAX; i++) {
            configure(A, "site-b.example");
            run(PAIR_SECOND);
            configure(A, i % 2 ? NULL : "site-c.example");
            run(PAIR_SECOND);
        }
        configure(A, "site-b.example");
        run(150 * PAIR_SECOND);
    }
    run(15 * PAIR_SECOND);
    expect_known(A, gives, takes);
    ck_assert_uint_eq(counted(A), 1);
    ck_assert_uint_eq(counted(B), 1);
}
END_TEST

/* Only one of the two may open a session: that is enough for both directions. */
START_TEST(test_one_way_policy)
{
    uint64_t gives[2], takes[2];

    exchange_set_policy(pair->dmz->exchange, (unsigned)_i, 0);
    for (unsigned from = A; from <= B; from++) {
        gives[from] = add(from, request_of(SA_SIDE_INTERNAL, 5 + from));
        takes[from] = add(!from, request_of(SA_SIDE_EXTERNAL, 5 + from));
    }
    run(15 * PAIR_SECOND);
    for (unsigned from = A; from <= B; from++)
        expect_known(from, gives[from], takes[from]);
}
END_TEST

/* ------------------------------------------------------------ they are not */

/* Another key, m= line or suite; a sender elsewhere; a site that nobody may talk to. */
START_TEST(test_not_found)
{
    struct admit_request in = request_of(SA_SIDE_EXTERNAL, 1);
    uint64_t gives = add(A, request_of(SA_SIDE_INTERNAL, 1)), takes;

    if (_i == 0)
        in.key.octets[3] ^= 1;
    else if (_i == 1)
        in.media_index++;
    for (unsigned site = A; _i == 2 && site <= B; site++)
        exchange_set_policy(pair->dmz->exchange, site, 0);
    takes = _i == 3 ? pair_admit(pair, B, &in) : add(B, in);
    run(200 * PAIR_SECOND);
    expect_unknown(A, gives);
    expect_unknown(B, takes);
    ck_assert_uint_eq(sitemedia_held(media[B]), _i != 3);
    /* It has long stopped to ask, and the session is over. */
    run(130 * PAIR_SECOND);
    ck_assert_str_eq(site_session_state(sites_at(sites[B], 0), SITES_OURS), "none");
    ck_assert_str_eq(site_session_state(sites_at(sites[B], 0), SITES_THEIRS), "none");
}
END_TEST

static void say(unsigned from, uint8_t type, const struct site_message *message)
{
    uint8_t memory[256];
    struct writer w;
    const char *why;

    writer_init(&w, memory, sizeof(memory));
    sitemessage_put(&w, type, message);
    ck_assert_int_eq(site_send(sites_at(sites[from], 0), SITES_OURS, type, memory,
                               writer_length(&w), &why, pair->now_us),
                     0);
    run(500 * PAIR_MS);
}

static int heard(void *ctx, struct site *site, enum sites_side side, uint8_t type,
                 struct reader *body, uint64_t now_us)
{
    (void)site;
    (void)side;
    (void)now_us;
    if (type != MESSAGE_TAKES)
        return ERR_UNSUPPORTED;
    return sitemessage_get(type, body, ctx);
}

/*
 * Site B hears what site A says to it of media that comes to A, but has not the key: neither what
 * it heard nor a changed form of it makes anybody believe that it has the media's other end.
 */
START_TEST(test_liar)
{
    static struct site_message message;
    static const struct sites_hooks liar = {.message = heard};
    uint64_t gives, takes = add(A, request_of(SA_SIDE_EXTERNAL, 1));

    stop_site(B);
    sites[B] = sites_new(pair->site[B].inner);
    sites_add_hooks(sites[B], &liar, &message);
    media[B] = NULL;
    configure(B, "site-a.example");
    pair_reset(pair_tunnel(pair, B));
    run(8 * PAIR_SECOND);
    ck_assert_uint_ne(message.label, 0);
    gives = add(A, request_of(SA_SIDE_INTERNAL, 1));
    run(3 * PAIR_SECOND);
    /* What was said to B is no word of B's, in any of these forms. */
    say(B, MESSAGE_TAKES, &message);
    say(B, MESSAGE_GIVES, &message);
    for (size_t bit = 0; bit < 8 * sizeof(message.proof); bit += 5) {
        struct site_message other = message;

        other.proof[bit / 8] ^= (uint8_t)(1u << bit % 8);
        say(B, bit & 1 ? MESSAGE_TAKES : MESSAGE_GIVES, &other);
    }
    expect_unknown(A, gives);
    expect_unknown(A, takes);
    ck_assert_str_eq(site_session_state(sites_at(sites[B], 0), SITES_OURS), "up");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pair sitemedia");
    TCase *tc = tcase_create("sitemedia");
    int result;

    tcase_set_timeout(tc, 120);
    tcase_add_unchecked_fixture(tc, sitepki_make, sitepki_remove);
    tcase_add_checked_fixture(tc, sample_engine_start, NULL);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, test_found, 0, 4);
    tcase_add_test(tc, test_many);
    tcase_add_loop_test(tc, test_again, 0, 4);
    tcase_add_loop_test(tc, test_one_way_policy, 0, 2);
    tcase_add_loop_test(tc, test_not_found, 0, 4);
    tcase_add_test(tc, test_liar);
    suite_add_tcase(suite, tc);
    result = unit_run(suite);
    sample_engine_stop();
    return result;
}
