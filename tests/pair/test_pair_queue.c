/* A link that is too slow: media is let go, oldest first, control never. */
#include <stdlib.h>
#include <string.h>

#include "common/sa/table.h"
#include "common/sa/wire.h"
#include "tests/pair/pair.h"
#include "tests/unit/sample.h"
#include "tests/unit/unit.h"

enum { SENDERS = 10 };

static struct pair_sender *add_sender(struct pair *pair, enum sa_side side, unsigned n)
{
    struct admit_request request;

    pair_request(&request, side, n);
    return pair_sender_new(pair, 0, &request);
}

/* SENDERS senders of one side, each with a packet every 20 ms: 100,000 octets per second. */
struct crowd {
    struct pair *pair;
    struct pair_sender *sender[SENDERS];
    uint64_t sent;
};

static void crowd_init(struct crowd *crowd, struct pair *pair, enum sa_side side)
{
    crowd->pair = pair;
    crowd->sent = 0;
    for (unsigned i = 0; i < SENDERS; i++)
        crowd->sender[i] = add_sender(pair, side, i);
}

static void crowd_fini(struct crowd *crowd)
{
    for (unsigned i = 0; i < SENDERS; i++)
        pair_sender_free(crowd->sender[i]);
}

static void crowd_talk(struct crowd *crowd, uint64_t duration_us)
{
    for (uint64_t t = 0; t < duration_us; t += 20 * PAIR_MS) {
        for (unsigned i = 0; i < SENDERS; i++)
            pair_send_rtp(crowd->sender[i]);
        crowd->sent += SENDERS;
        pair_run(crowd->pair, 20 * PAIR_MS);
    }
}

static uint64_t verdict(const struct crowd *crowd, enum verdict what)
{
    return crowd->sender[0]->side == SA_SIDE_EXTERNAL ? pair_dmz_verdict(crowd->pair, what)
                                                      : pair_inner_verdict(crowd->pair, 0, what);
}

static const struct {
    enum sa_side side;
    uint64_t bandwidth;
    bool late;
} links[] = {
    {SA_SIDE_EXTERNAL, 200000, false}, {SA_SIDE_INTERNAL, 200000, false},
    {SA_SIDE_EXTERNAL, 60000, true},   {SA_SIDE_INTERNAL, 60000, true},
    {SA_SIDE_EXTERNAL, 20000, true},   {SA_SIDE_INTERNAL, 20000, true},
};

START_TEST(test_slow_link)
{
    struct pair *pair = pair_new(1);
    struct crowd crowd;
    struct pair_out *out;
    uint64_t late;

    crowd_init(&crowd, pair, links[_i].side);
    (void)pair_run_until_synced(pair);
    out = pair_receiver(crowd.sender[0]);
    pair->bandwidth = links[_i].bandwidth;
    crowd_talk(&crowd, 5 * PAIR_SECOND);
    pair->bandwidth = 0;
    pair_run(pair, 3 * PAIR_SECOND);
    late = verdict(&crowd, VERDICT_TUNNEL_LATE);
    ck_assert_uint_eq(late + verdict(&crowd, VERDICT_ACCEPTED), crowd.sent);
    ck_assert_uint_eq(out->count, verdict(&crowd, VERDICT_ACCEPTED));
    if (links[_i].late) {
        uint64_t carried = 5 * links[_i].bandwidth / (crowd.sender[0]->length + 7);

        ck_assert_uint_gt(late, crowd.sent / 5);
        /* The link was used for what was new, not for what was late already. */
        ck_assert_uint_ge(out->count, carried * 8 / 10);
        ck_assert_uint_gt(session_counters(pair_tunnel(pair, 0)->inner)->late +
                              session_counters(pair_tunnel(pair, 0)->dmz->session)->late,
                          0);
    } else {
        ck_assert_uint_eq(late, 0);
    }
    /* The same tunnel, all the time. */
    ck_assert_uint_eq(pair->site[0].connects, 1);
    crowd_fini(&crowd);
    pair_free(pair);
}
END_TEST

/* A standstill: what comes out of it are the newest packets, in their order. */
START_TEST(test_oldest_first)
{
    struct pair *pair = pair_new(1);
    struct pair_sender *out = add_sender(pair, SA_SIDE_EXTERNAL, 0);
    struct pair_out *receiver = pair_receiver(out);
    uint16_t last = 0;
    uint64_t late;

    (void)pair_run_until_synced(pair);
    pair->cut = true;
    /* The socket fills up; then packets wait in the queue, and get too old there. */
    for (unsigned i = 0; i < 400; i++) {
        pair_send_rtp(out);
        pair_run(pair, 2 * PAIR_MS);
    }
    pair->cut = false;
    pair_run(pair, 500 * PAIR_MS);
    late = pair_dmz_verdict(pair, VERDICT_TUNNEL_LATE);
    ck_assert_uint_gt(late, 100);
    ck_assert_uint_eq(receiver->count + late, 400);
    for (size_t i = 0; i < receiver->count; i++) {
        uint16_t sequence = (uint16_t)(receiver->sent[i].data[2] << 8 | receiver->sent[i].data[3]);

        ck_assert(i == 0 || sequence > last);
        last = sequence;
    }
    ck_assert_uint_eq(last, out->index - 1);
    /* The gap lies before what was still young: the last 60 ms are there without one. */
    for (size_t i = receiver->count - 25; i < receiver->count; i++)
        ck_assert_uint_eq(receiver->sent[i].data[3], (uint8_t)(receiver->sent[i - 1].data[3] + 1));
    pair_sender_free(out);
    pair_free(pair);
}
END_TEST

/* While media is let go, every SA that is added and deleted arrives, and soon. */
START_TEST(test_control_is_never_lost)
{
    struct pair *pair = pair_new(1);
    struct inner *inner = pair->site[0].inner;
    struct crowd crowd;
    struct admit_request request;
    uint64_t ids[40];

    crowd_init(&crowd, pair, SA_SIDE_INTERNAL);
    (void)pair_run_until_synced(pair);
    pair->bandwidth = 50000;
    crowd_talk(&crowd, 2 * PAIR_SECOND);
    for (unsigned i = 0; i < 40; i++) {
        pair_request(&request, SA_SIDE_EXTERNAL, 100 + i);
        ids[i] = pair_admit(pair, 0, &request);
        crowd_talk(&crowd, 20 * PAIR_MS);
        if (i % 2)
            inner_delete(inner, inner_find_sa(inner, ids[i]), pair->now_us);
    }
    crowd_talk(&crowd, 1500 * PAIR_MS);
    ck_assert(pair_synced(pair, 0));
    ck_assert_uint_eq(table_count(pair->dmz->table), SENDERS + 20);
    ck_assert_uint_gt(pair_inner_verdict(pair, 0, VERDICT_TUNNEL_LATE), 100);
    ck_assert_uint_eq(pair->site[0].connects, 1);
    crowd_fini(&crowd);
    pair_free(pair);
}
END_TEST

/* More is queued at once than the queue has octets for. */
START_TEST(test_queue_full)
{
    struct pair *pair = pair_new(1);
    struct pair_sender *out = add_sender(pair, SA_SIDE_EXTERNAL, 0);
    struct session *session;
    uint64_t late;

    (void)pair_run_until_synced(pair);
    session = pair_tunnel(pair, 0)->dmz->session;
    for (unsigned i = 0; i < 1000; i++)
        pair_send_rtp(out);
    late = pair_dmz_verdict(pair, VERDICT_TUNNEL_LATE);
    ck_assert_uint_gt(late, 0);
    ck_assert_uint_eq(session_queued(session), 1000 - late);
    ck_assert_uint_le((1000 - late) * out->length, pair->dmz_options.queue_octets);
    pair_check_sums(pair);
    pair_run(pair, 100 * PAIR_MS);
    ck_assert_uint_eq(pair_receiver(out)->count, 1000 - late);
    pair_expect_received(out, false);
    ck_assert_uint_eq(table_by_id(pair->dmz->table, 0, out->id)->verdicts[VERDICT_TUNNEL_LATE],
                      late);
    pair_sender_free(out);
    pair_free(pair);
}
END_TEST

/* The bound can be changed while the tunnel is up. */
START_TEST(test_max_age)
{
    static const uint64_t ages_us[] = {10 * PAIR_MS, 60 * PAIR_MS, 500 * PAIR_MS};
    uint64_t carried[3];

    for (int i = 0; i < 3; i++) {
        struct pair *pair = pair_new(1);
        struct pair_sender *out = add_sender(pair, SA_SIDE_EXTERNAL, 0);

        (void)pair_run_until_synced(pair);
        session_set_max_age(pair_tunnel(pair, 0)->dmz->session, ages_us[i]);
        pair->cut = true;
        for (unsigned k = 0; k < 350; k++) {
            pair_send_rtp(out);
            pair_run(pair, 2 * PAIR_MS);
        }
        pair->cut = false;
        pair_run(pair, 500 * PAIR_MS);
        carried[i] = pair_receiver(out)->count;
        pair_sender_free(out);
        pair_free(pair);
    }
    ck_assert_uint_lt(carried[0], carried[1]);
    ck_assert_uint_lt(carried[1], carried[2]);
}
END_TEST

/*
 * The dmz-relay refuses more SAs than its urgent queue has room for refusals,
 * and the way back is slow: it reads no more until they went out, and all of
 * them arrive.
 */
START_TEST(test_storm_of_refusals)
{
    struct pair *pair = pair_new_unconnected(1);
    struct admit_request request;
    struct pair_sender *good;

    pair->inner_options.max_sas = 2000;
    for (unsigned i = 0; i < 1500; i++) {
        pair_request(&request, SA_SIDE_INTERNAL, i);
        memcpy(request.to_listener, "nowhere", 8);
        (void)pair_admit(pair, 0, &request);
    }
    good = add_sender(pair, SA_SIDE_EXTERNAL, 3);
    pair->bandwidth_back = 40000;
    pair->site[0].reconnect = true;
    (void)pair_run_until_synced(pair);
    pair_run(pair, 5 * PAIR_SECOND);
    ck_assert_uint_eq(pair->site[0].connects, 1);
    for (uint64_t id = 1; id <= 1500; id++)
        ck_assert(strstr(sa_text(inner_find_sa(pair->site[0].inner, id), SA_REFUSED), "listener") !=
                  NULL);
    ck_assert_str_eq(sa_text(inner_find_sa(pair->site[0].inner, good->id), SA_REFUSED), "");
    ck_assert_uint_eq(table_count(pair->dmz->table), 1);
    pair->bandwidth_back = 0;
    pair_expect_one_way(good);
    pair_sender_free(good);
    pair_free(pair);
}
END_TEST

/* Urgent control overflows: the tunnel is reset, and comes up again with everything. */
START_TEST(test_urgent_overflow)
{
    struct pair *pair = pair_new(1);
    struct pair_sender *out = add_sender(pair, SA_SIDE_EXTERNAL, 0);
    struct pair_sender *in = add_sender(pair, SA_SIDE_INTERNAL, 0);
    struct session *session;
    uint8_t body[1000] = {0};

    (void)pair_run_until_synced(pair);
    pair_expect_call(out, in);
    pair_send_rtp(out);
    pair_send_rtp(in);
    session = pair_tunnel(pair, 0)->dmz->session;
    while (session_state(session) == SESSION_UP)
        session_control(session, FRAME_SA_NAK, body, sizeof(body));
    pair_run(pair, 10 * PAIR_MS);
    ck_assert(strstr(pair->dmz->sites[0].last_error, "urgent control") != NULL);
    pair_run(pair, PAIR_SECOND);
    ck_assert_uint_eq(pair->site[0].connects, 2);
    (void)pair_run_until_synced(pair);
    pair_expect_call(out, in);
    pair_check_sums(pair);
    pair_sender_free(out);
    pair_sender_free(in);
    pair_free(pair);
}
END_TEST

/* A snapshot of many SAs goes on while calls talk, and calls talk while it does. */
START_TEST(test_snapshot_beside_media)
{
    struct pair *pair = pair_new(1);
    struct crowd crowd;
    struct admit_request request;

    for (unsigned i = 100; i < 900; i++) {
        pair_request(&request, SA_SIDE_INTERNAL, i);
        (void)pair_admit(pair, 0, &request);
    }
    crowd_init(&crowd, pair, SA_SIDE_INTERNAL);
    (void)pair_run_until_synced(pair);
    pair_restart_dmz(pair);
    pair_run(pair, 300 * PAIR_MS);
    pair->bandwidth = 200000;
    crowd_talk(&crowd, 4 * PAIR_SECOND);
    ck_assert(pair_synced(pair, 0));
    ck_assert_uint_eq(table_count(pair->dmz->table), 800 + SENDERS);
    ck_assert_uint_eq(pair_inner_verdict(pair, 0, VERDICT_TUNNEL_LATE), 0);
    ck_assert_uint_eq(pair->out.count, crowd.sent);
    crowd_fini(&crowd);
    pair_free(pair);
}
END_TEST

/* ------------------------------------------------------------ an SA goes right behind its packet
 */

/* How an SA-PUT or SA-DELETE ends the SA that the dmz-relay holds. */
enum ending { DELETED, MOVED, ENDINGS };

static size_t put_ending(struct pair_sender *sender, enum ending how, uint8_t *type,
                         uint8_t *memory, size_t size)
{
    struct sa *sa = inner_find_sa(sender->pair->site[0].inner, sender->id);
    struct wire_delete deletion = {.id = sender->id, .version = sa->version + 1};
    uint32_t label = sa->label;
    struct writer w;

    writer_init(&w, memory, size);
    *type = how == DELETED ? FRAME_SA_DELETE : FRAME_SA_PUT;
    if (how == DELETED) {
        wire_put_delete(&w, &deletion);
    } else {
        sa->label = label + 1; /* so it is put into the table anew */
        wire_put_sa(&w, sa, WIRE_REPLICA_FULL);
        sa->label = label;
    }
    ck_assert(!w.failed);
    return writer_length(&w);
}

/* Both frames come in one read, so the packet is not sent yet; pair.c sees to it that it has its SA
 * when it is. */
START_TEST(test_sa_goes_behind_its_packet)
{
    struct pair *pair = pair_new(1);
    struct pair_sender *inside = add_sender(pair, SA_SIDE_INTERNAL, 1);
    uint8_t memory[FRAME_MAX_OCTETS], type;
    size_t length;
    struct pair_out *out;

    (void)pair_run_until_synced(pair);
    pair_expect_one_way(inside);
    out = pair_receiver(inside);
    out->count = 0;
    pair_make_rtp(inside);
    pair_inject_media(pair_tunnel(pair, 0), false,
                      inner_find_sa(pair->site[0].inner, inside->id)->label, inside->packet,
                      inside->length);
    length = put_ending(inside, (enum ending)_i, &type, memory, sizeof(memory));
    pair_inject(pair_tunnel(pair, 0), false, type, memory, length);
    pair_run(pair, 20 * PAIR_MS);
    ck_assert_uint_eq(out->count, 1);
    ck_assert_uint_eq(table_count(pair->dmz->table), _i == DELETED ? 0 : 1);
    pair_sender_free(inside);
    pair_free(pair);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pair queue");
    TCase *tc = tcase_create("queue");
    int result;

    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, sample_engine_start, NULL);
    tcase_add_loop_test(tc, test_sa_goes_behind_its_packet, 0, ENDINGS);
    tcase_add_loop_test(tc, test_slow_link, 0, sizeof(links) / sizeof(links[0]));
    tcase_add_test(tc, test_oldest_first);
    tcase_add_test(tc, test_control_is_never_lost);
    tcase_add_test(tc, test_queue_full);
    tcase_add_test(tc, test_max_age);
    tcase_add_test(tc, test_storm_of_refusals);
    tcase_add_test(tc, test_urgent_overflow);
    tcase_add_test(tc, test_snapshot_beside_media);
    suite_add_tcase(suite, tc);
    result = unit_run(suite);
    sample_engine_stop();
    return result;
}
