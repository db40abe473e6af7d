/*
 * Both relays with two media threads each, which are real threads: the same SAs' packets come to
 * both at once, while a third one changes tables and cuts the connections of a thread. Built with
 * --enable-tsan it also shows that nothing is touched without its lock.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/sa/table.h"
#include "tests/pair/pair.h"
#include "tests/unit/sample.h"
#include "tests/unit/unit.h"

enum {
    THREADS = 2,
    SENDERS = 8, /* half of them on either side */
    PER_ROUND = 8,
    ROUNDS_MAX = 60,
    PACKETS_MAX = ROUNDS_MAX * PER_ROUND,
    OCTETS_MAX = 256,
    OUTPUT_OCTETS = 256 * 1024,
    NOISE = 4,
};

struct packet {
    uint8_t data[OCTETS_MAX];
    size_t length;
};

/* What one core sends: packets by sender and number. */
struct outlet {
    void *tag[UDP_SEND_BATCH];
    unsigned listener[UDP_SEND_BATCH];
    bool rtcp[UDP_SEND_BATCH];
    unsigned count;
    struct dmz *dmz; /* or */
    struct inner *inner;
};

struct side {
    struct gate *gate;
    struct gate_pass main, pass[THREADS];
    struct outlet outlet[THREADS];
};

static struct world {
    struct pair *pair;
    unsigned rounds, packets; /* of each sender */
    struct side out, in;      /* the dmz-relay, the inner-relay */
    struct dmz *dmz[THREADS];
    struct inner *inner[THREADS];
    struct dmz_link *link[THREADS];
    struct dmz_link *closed[THREADS]; /* that close_link() was asked to, the last ones */
    unsigned closed_count;
    struct inner_media media[THREADS];
    struct pair_sender *sender[SENDERS];
    struct addr from[SENDERS];
    struct packet packet[SENDERS][PACKETS_MAX];
    unsigned seen[SENDERS][PACKETS_MAX];
    pthread_barrier_t begin, end;
    uint8_t *octets[THREADS]; /* from one relay to the other */
} * world;

/* ------------------------------------------------------------ what leaves */

static unsigned sequence_of(const uint8_t *packet)
{
    return (unsigned)(packet[2] << 8 | packet[3]);
}

static void note_sent(const uint8_t *packet, size_t length)
{
    for (unsigned s = 0; s < SENDERS; s++) {
        unsigned number = (uint16_t)(sequence_of(packet) - sequence_of(world->packet[s][0].data));

        if (number < world->packets && length == world->packet[s][number].length &&
            memcmp(packet, world->packet[s][number].data, length) == 0)
            __atomic_add_fetch(&world->seen[s][number], 1, __ATOMIC_RELAXED);
    }
}

static void outlet_flush(void *ctx)
{
    struct outlet *outlet = ctx;

    for (unsigned i = 0; i < outlet->count; i++) {
        if (outlet->dmz)
            outbound_sent(outlet->dmz, outlet->listener[i], outlet->rtcp[i], outlet->tag[i], 0);
        else
            inbound_sent(outlet->inner, outlet->listener[i], outlet->rtcp[i], outlet->tag[i], 0);
    }
    outlet->count = 0;
}

static void outlet_send(void *ctx, unsigned listener, bool rtcp_port, const struct addr *to,
                        const uint8_t *packet, size_t length, void *tag)
{
    struct outlet *outlet = ctx;

    (void)to;
    if (outlet->count == UDP_SEND_BATCH)
        outlet_flush(outlet);
    note_sent(packet, length);
    outlet->listener[outlet->count] = listener;
    outlet->rtcp[outlet->count] = rtcp_port;
    outlet->tag[outlet->count++] = tag;
}

/* ------------------------------------------------------------ connections of media */

static void note_close(void *ctx, struct dmz_link *link, const char *reason)
{
    (void)ctx;
    (void)reason;
    world->closed[world->closed_count++ % THREADS] = link;
}

static void no_kick(void *ctx, struct dmz_link *link)
{
    (void)ctx;
    (void)link;
}

static void no_inner_kick(void *ctx, struct inner_link *link)
{
    (void)ctx;
    (void)link;
}

static void no_wake(void *ctx)
{
    (void)ctx;
}

static void feed(struct session *to, const uint8_t *octets, size_t length)
{
    size_t at = 0;

    while (to && at < length) {
        size_t room, some;
        uint8_t *space = session_space(to, &room);

        some = room < length - at ? room : length - at;
        memcpy(space, octets + at, some);
        at += some;
        ck_assert_int_ge(session_received(to, some, world->pair->now_us), 0);
        while (session_pending(to))
            ck_assert_int_ge(session_received(to, 0, world->pair->now_us), 0);
    }
}

/* Which may end it. */
static void give_octets(struct session *to, const uint8_t *octets, size_t length)
{
    size_t room;
    uint8_t *space = session_space(to, &room);

    ck_assert_uint_le(length, room);
    memcpy(space, octets, length);
    (void)session_received(to, length, world->pair->now_us);
}

static size_t drain(struct session *from, uint8_t *octets)
{
    size_t length = 0, some;

    while (from && (some = session_output(from, octets + length, RECORD_MAX_OCTETS,
                                          world->pair->now_us)) > 0) {
        length += some;
        ck_assert_uint_le(length + RECORD_MAX_OCTETS, OUTPUT_OCTETS);
    }
    return length;
}

static void open_media(unsigned thread)
{
    struct inner *inner = world->pair->site[0].inner;
    struct inner_media *media = &world->media[thread];
    uint8_t *octets = world->octets[thread];

    ck_assert_ptr_nonnull(inner_media_open(media, &inner->links[0], world->pair->now_us));
    world->link[thread] = dmz_link_new(world->pair->dmz, "site-a.example", world->pair->now_us);
    ck_assert_ptr_nonnull(world->link[thread]);
    feed(world->link[thread]->session, octets, drain(media->session, octets));
    feed(media->session, octets, drain(world->link[thread]->session, octets));
    ck_assert_uint_eq(session_state(media->session), SESSION_UP);
}

static void connect_media(unsigned thread)
{
    world->media[thread] = (struct inner_media){.link = &world->inner[thread]->links[0],
                                                .number = (uint8_t)(thread + 1)};
    open_media(thread);
    ck_assert_ptr_eq(world->link[thread]->dmz, world->dmz[thread]);
}

static void cut_media(unsigned thread)
{
    struct session *inner = world->media[thread].session;
    struct session *dmz = world->link[thread]->session;

    dmz_link_closed(world->link[thread], "cut", world->pair->now_us);
    inner_media_closed(&world->media[thread], world->pair->now_us);
    session_free(dmz);
    session_free(inner);
    world->link[thread] = NULL;
}

/* ------------------------------------------------------------ the world */

static void start_side(struct side *side)
{
    side->gate = gate_new(THREADS);
    ck_assert_ptr_nonnull(side->gate);
    gate_pass_init(&side->main, side->gate, GATE_NOBODY);
    for (unsigned t = 0; t < THREADS; t++)
        gate_pass_init(&side->pass[t], side->gate, t);
}

static void start_cores(unsigned t)
{
    struct path_out out = {outlet_send, outlet_flush, &world->out.outlet[t]};
    struct path_out in = {outlet_send, outlet_flush, &world->in.outlet[t]};
    struct dmz_hooks hooks = {note_close, no_kick, no_wake, NULL, NULL};
    struct inner_hooks inner_hooks = {.kick = no_inner_kick, .wake = no_wake};

    world->dmz[t] = calloc(1, sizeof(*world->dmz[t]));
    world->inner[t] = calloc(1, sizeof(*world->inner[t]));
    world->octets[t] = malloc(OUTPUT_OCTETS);
    ck_assert(world->dmz[t] && world->inner[t] && world->octets[t]);
    dmz_worker_init(world->dmz[t], world->pair->dmz, &out, &hooks, &world->out.pass[t]);
    inner_worker_init(world->inner[t], world->pair->site[0].inner, &in, &inner_hooks,
                      &world->in.pass[t]);
    world->out.outlet[t].dmz = world->dmz[t];
    world->in.outlet[t].inner = world->inner[t];
}

/* Some are bound by what they send; the others send from where they said. */
static void add_sender(unsigned s)
{
    enum sa_side side = s % 2 ? SA_SIDE_INTERNAL : SA_SIDE_EXTERNAL;
    struct admit_request request;

    pair_request(&request, side, s + 1);
    request.rate = 100 * 1000 * 1000;
    world->from[s] = request.source.rtp;
    if (s >= SENDERS / 2) {
        request.source_policy = SOURCE_HINTED;
        world->from[s].port = (uint16_t)(world->from[s].port + 100);
    }
    world->sender[s] = pair_sender_new(world->pair, 0, &request);
    for (unsigned i = 0; i < world->packets; i++) {
        pair_make_rtp(world->sender[s]);
        ck_assert_uint_le(world->sender[s]->length, OCTETS_MAX);
        world->packet[s][i].length = world->sender[s]->length;
        memcpy(world->packet[s][i].data, world->sender[s]->packet, world->sender[s]->length);
    }
}

static void move_link(void *ctx, struct dmz_link *link)
{
    (void)ctx;
    (void)link;
}

static void setup(void)
{
    world = calloc(1, sizeof(*world));
    ck_assert_ptr_nonnull(world);
    world->rounds = unit_rounds(ROUNDS_MAX);
    world->packets = world->rounds * PER_ROUND;
    world->pair = pair_new(1);
    world->pair->dmz->hooks.move_link = move_link;
    world->pair->dmz->hooks.wake = no_wake;
    world->pair->site[0].inner->hooks.wake = no_wake;
    ck_assert_int_eq(srtp_engine_threads(sample_engine(), THREADS + 1), 0);
    start_side(&world->out);
    start_side(&world->in);
    for (unsigned t = 0; t < THREADS; t++)
        start_cores(t);
    for (unsigned s = 0; s < SENDERS; s++)
        add_sender(s);
    (void)pair_run_until_synced(world->pair);
    for (unsigned t = 0; t < THREADS; t++)
        connect_media(t);
    pthread_barrier_init(&world->begin, NULL, THREADS + 1);
    pthread_barrier_init(&world->end, NULL, THREADS + 1);
}

static void teardown(void)
{
    for (unsigned t = 0; t < THREADS; t++) {
        if (world->link[t])
            cut_media(t);
    }
    dmz_gather(world->pair->dmz);
    inner_gather(world->pair->site[0].inner);
    for (unsigned s = 0; s < SENDERS; s++)
        pair_sender_free(world->sender[s]);
    pair_free(world->pair);
    for (unsigned t = 0; t < THREADS; t++) {
        free(world->dmz[t]);
        free(world->inner[t]);
        free(world->octets[t]);
    }
    gate_free(world->out.gate);
    gate_free(world->in.gate);
    pthread_barrier_destroy(&world->begin);
    pthread_barrier_destroy(&world->end);
    free(world);
}

/* ------------------------------------------------------------ one thread */

static void give(unsigned thread, unsigned s, unsigned first, bool rtcp_port)
{
    struct udp_packet batch[PER_ROUND];

    for (unsigned i = 0; i < PER_ROUND; i++)
        batch[i] = (struct udp_packet){.data = world->packet[s][first + i].data,
                                       .length = world->packet[s][first + i].length,
                                       .source = world->from[s]};
    if (world->sender[s]->side == SA_SIDE_EXTERNAL)
        inbound_packets(world->dmz[thread], 0, rtcp_port, batch, PER_ROUND, world->pair->now_us);
    else
        outbound_packets(world->inner[thread], 0, rtcp_port, batch, PER_ROUND, world->pair->now_us);
}

/* From a stranger, with an SSRC that is known or not, and from a known address with a wrong tag. */
static void give_noise(unsigned thread, unsigned s, unsigned first)
{
    const struct packet *packet = &world->packet[0][first];
    uint8_t strange[OCTETS_MAX], forged[OCTETS_MAX];
    struct udp_packet batch[2] = {{.data = strange, .length = packet->length},
                                  {.data = forged, .length = packet->length}};

    batch[0].source = sample_addr("198.51.100.7:9");
    batch[1].source = world->from[0];
    memcpy(strange, packet->data, packet->length);
    memcpy(forged, packet->data, packet->length);
    strange[8] ^= (uint8_t)(s == 0);
    forged[2] ^= 0x40; /* a number that was not seen yet */
    inbound_packets(world->dmz[thread], 0, false, batch, 2, world->pair->now_us);
}

/* All senders' packets of the round come to both threads: one of each two is a copy. */
static void half_round(unsigned t, unsigned round, enum sa_side side)
{
    struct side *from = side == SA_SIDE_EXTERNAL ? &world->out : &world->in;
    struct side *to = side == SA_SIDE_EXTERNAL ? &world->in : &world->out;
    bool out = side == SA_SIDE_EXTERNAL;
    size_t length;

    gate_enter(&from->pass[t]);
    for (unsigned i = 0; i < SENDERS; i++) {
        unsigned s = (i + t * SENDERS / 2) % SENDERS;

        if (world->sender[s]->side != side)
            continue;
        give(t, s, round * PER_ROUND, false);
        if (out && s < NOISE)
            give_noise(t, s, round * PER_ROUND);
        gate_yield(&from->pass[t]);
    }
    outlet_flush(&from->outlet[t]);
    length =
        drain(out ? (world->link[t] ? world->link[t]->session : NULL) : world->media[t].session,
              world->octets[t]);
    gate_leave(&from->pass[t]);
    gate_enter(&to->pass[t]);
    feed(out ? world->media[t].session : (world->link[t] ? world->link[t]->session : NULL),
         world->octets[t], length);
    outlet_flush(&to->outlet[t]);
    gate_leave(&to->pass[t]);
}

static void *run_thread(void *ctx)
{
    unsigned t = *(const unsigned *)ctx;

    srtp_thread_begin(t + 1);
    for (unsigned round = 0; round < world->rounds; round++) {
        pthread_barrier_wait(&world->begin);
        half_round(t, round, SA_SIDE_EXTERNAL);
        half_round(t, round, SA_SIDE_INTERNAL);
        pthread_barrier_wait(&world->end);
    }
    return NULL;
}

/* ------------------------------------------------------------ the main thread */

/* What its turn does: an SA comes or goes, and the dmz-relay is told. */
static void change(unsigned round)
{
    static struct sa *guest;
    struct inner *inner = world->pair->site[0].inner;
    struct admit_request request;

    gate_enter_all(&world->out.main);
    gate_enter_all(&world->in.main);
    if (round % 2 == 0) {
        pair_request(&request, SA_SIDE_EXTERNAL, 100 + round);
        guest = inner_find_sa(inner, pair_admit(world->pair, 0, &request));
    } else {
        inner_delete(inner, guest, world->pair->now_us);
    }
    pair_run(world->pair, PAIR_MS);
    dmz_gather(world->pair->dmz);
    inner_gather(inner);
    gate_leave_all(&world->in.main);
    gate_leave_all(&world->out.main);
}

/* Packets that another thread took over wait in its session: it sends them in its next round. */
static void settle(void)
{
    for (unsigned t = 0; t < THREADS; t++) {
        if (!world->link[t])
            continue;
        feed(world->media[t].session, world->octets[t],
             drain(world->link[t]->session, world->octets[t]));
        feed(world->link[t]->session, world->octets[t],
             drain(world->media[t].session, world->octets[t]));
        outlet_flush(&world->out.outlet[t]);
        outlet_flush(&world->in.outlet[t]);
    }
}

static void run(bool cut)
{
    unsigned number[THREADS] = {0, 1};
    pthread_t thread[THREADS];

    for (unsigned t = 0; t < THREADS; t++)
        ck_assert_int_eq(pthread_create(&thread[t], NULL, run_thread, &number[t]), 0);
    for (unsigned round = 0; round < world->rounds; round++) {
        settle();
        if (cut && round == world->rounds / 3)
            cut_media(1);
        if (cut && round == world->rounds * 2 / 3)
            connect_media(1);
        pthread_barrier_wait(&world->begin);
        change(round);
        pthread_barrier_wait(&world->end);
    }
    for (unsigned t = 0; t < THREADS; t++)
        pthread_join(thread[t], NULL);
    settle();
    dmz_gather(world->pair->dmz);
    inner_gather(world->pair->site[0].inner);
}

static void check(void)
{
    const struct inner *inner = world->pair->site[0].inner;
    uint64_t half = (uint64_t)SENDERS / 2 * world->packets;

    for (unsigned s = 0; s < SENDERS; s++) {
        for (unsigned i = 0; i < world->packets; i++)
            ck_assert_msg(world->seen[s][i] == 1, "sender %u, packet %u: %u times", s, i,
                          world->seen[s][i]);
    }
    ck_assert_uint_eq(pair_dmz_verdict(world->pair, VERDICT_ACCEPTED), half);
    ck_assert_uint_eq(pair_dmz_verdict(world->pair, VERDICT_REPLAY), half);
    ck_assert_uint_eq(pair_dmz_verdict(world->pair, VERDICT_NO_SA),
                      (uint64_t)world->rounds * THREADS * NOISE / 2);
    ck_assert_uint_eq(pair_dmz_verdict(world->pair, VERDICT_AUTH_FAIL),
                      (uint64_t)world->rounds * THREADS * NOISE / 2);
    ck_assert_uint_eq(pair_inner_verdict(world->pair, 0, VERDICT_ACCEPTED), half);
    ck_assert_uint_eq(pair_inner_verdict(world->pair, 0, VERDICT_REPLAY), half);
    ck_assert_uint_eq(inner->links[0].counts.n[VERDICT_ACCEPTED], half);
    ck_assert_uint_eq(inner->links[0].counts.received, half);
    ck_assert_uint_eq(world->pair->dmz->sites[0].counts.n[VERDICT_ACCEPTED], half);
}

/* Counters of an SA are right, too, whoever counted. */
START_TEST(test_both_at_once)
{
    const struct sa *sa;

    run(false);
    check();
    for (unsigned s = 0; s < SENDERS; s++) {
        sa = inner_find_sa(world->pair->site[0].inner, world->sender[s]->id);
        ck_assert_uint_eq(sa->packets, world->packets);
        ck_assert_uint_eq(sa->verdicts[VERDICT_ACCEPTED], world->packets);
        ck_assert(!sa->held);
        if (s % 2 == 0) {
            sa = table_by_id(world->pair->dmz->table, 0, world->sender[s]->id);
            ck_assert_uint_eq(sa->verdicts[VERDICT_REPLAY], world->packets);
        }
    }
}
END_TEST

/* Without its connections a thread's packets go by way of the other one, and none is lost. */
START_TEST(test_cut)
{
    run(true);
    check();
}
END_TEST

/* What waits in a connection that breaks goes on over the next best one, and is counted there. */
static const struct {
    const char *name;
    bool second;       /* the thread has another one */
    bool other_thread; /* another thread has one */
    bool control;      /* the one of control is still up */
    enum verdict verdict;
} breaks[] = {
    {"another one of the thread", true, true, true, VERDICT_ACCEPTED},
    {"one of another thread", false, true, true, VERDICT_ACCEPTED},
    {"the one of control", false, false, true, VERDICT_ACCEPTED},
    {"none", false, false, false, VERDICT_TUNNEL_DOWN},
};

/* Connection 1 becomes the thread's of connection 0, which it then has two of. */
static void connect_second(void)
{
    cut_media(1);
    world->media[1] = (struct inner_media){.link = &world->inner[0]->links[0], .number = 3};
    open_media(1);
    ck_assert_ptr_eq(world->link[1]->dmz, world->dmz[0]);
    ck_assert_uint_eq(world->dmz[0]->sites[0].media_count, 2);
}

/* All senders' first packets wait in the connections of thread 0. */
static void give_all(void)
{
    gate_enter(&world->out.pass[0]);
    gate_enter(&world->in.pass[0]);
    for (unsigned s = 0; s < SENDERS; s++)
        give(0, s, 0, false);
    gate_leave(&world->in.pass[0]);
    gate_leave(&world->out.pass[0]);
}

static uint64_t waiting(void)
{
    return session_queued(world->link[0]->session) + session_queued(world->media[0].session);
}

/* A turn of the main threads, and what the others have of it then. */
static void work_in_main(bool reset, uint64_t us)
{
    struct inner *inner = world->pair->site[0].inner;

    gate_enter_all(&world->out.main);
    gate_enter_all(&world->in.main);
    if (reset)
        pair_reset(pair_tunnel(world->pair, 0));
    dmz_adopt(world->pair->dmz);
    inner_adopt(inner);
    pair_run(world->pair, us);
    gate_leave_all(&world->in.main);
    gate_leave_all(&world->out.main);
    settle();
    for (unsigned i = 0; i < THREADS; i++) {
        outlet_flush(&world->out.outlet[i]);
        outlet_flush(&world->in.outlet[i]);
    }
    dmz_gather(world->pair->dmz);
    inner_gather(inner);
}

START_TEST(test_left_behind)
{
    uint64_t half = (uint64_t)SENDERS / 2 * PER_ROUND;
    struct inner *inner = world->pair->site[0].inner;

    if (breaks[_i].second)
        connect_second();
    else if (!breaks[_i].other_thread)
        cut_media(1);
    give_all();
    if (breaks[_i].second)
        ck_assert_uint_gt(waiting(), 0);
    else
        ck_assert_uint_eq(waiting(), 2 * half);
    gate_enter(&world->out.pass[0]);
    gate_enter(&world->in.pass[0]);
    cut_media(0);
    gate_leave(&world->in.pass[0]);
    gate_leave(&world->out.pass[0]);
    work_in_main(!breaks[_i].control, PAIR_MS);
    ck_assert_uint_eq(pair_dmz_verdict(world->pair, breaks[_i].verdict), half);
    ck_assert_uint_eq(pair_inner_verdict(world->pair, 0, breaks[_i].verdict), half);
    ck_assert_uint_eq(world->pair->dmz->listeners[0].counts[0].queued, 0);
    ck_assert_uint_eq(inner->listeners[0].counts[0].queued, 0);
}
END_TEST

/* Packets that no segment takes go by the connection of control, which the main thread has. */
START_TEST(test_large)
{
    uint64_t half = (uint64_t)SENDERS / 2 * PER_ROUND;
    struct session *ends[] = {world->link[0]->session, world->media[0].session};

    for (unsigned i = 0; i < 2; i++)
        session_set_packet_room(ends[i], 1);
    give_all();
    ck_assert_uint_eq(waiting(), 0);
    for (unsigned i = 0; i < 2; i++)
        ck_assert_uint_eq(session_counters(ends[i])->larger, half);
    work_in_main(false, 100 * PAIR_MS);
    ck_assert_uint_eq(pair_dmz_verdict(world->pair, VERDICT_ACCEPTED), half);
    ck_assert_uint_eq(pair_inner_verdict(world->pair, 0, VERDICT_ACCEPTED), half);
    for (unsigned side = 0; side < 2; side++)
        ck_assert_uint_eq(pair_receiver(world->sender[side])->count, half);
}
END_TEST

/* A connection of media that goes with no connection of control, and what it may not carry. */
static const struct {
    const char *name;
    int64_t epoch, instance; /* off by so much */
    bool no_control;
    bool comes_up;
} hellos[] = {
    {"right", 0, 0, false, true},
    {"another instance", 0, 1, false, false},
    {"an older instance", 0, -1, false, false},
    {"another epoch", 1, 0, false, false},
    {"no control", 0, 0, true, false},
};

START_TEST(test_hello)
{
    struct inner_link *control = &world->pair->site[0].inner->links[0];
    struct inner_media *media = &world->media[1];
    uint8_t *octets = world->octets[1];
    struct dmz_link *link;

    cut_media(1);
    if (hellos[_i].no_control)
        pair_reset(pair_tunnel(world->pair, 0));
    control->authority.epoch += (uint64_t)hellos[_i].epoch;
    control->instance += (uint64_t)hellos[_i].instance;
    ck_assert_ptr_nonnull(inner_media_open(media, control, world->pair->now_us));
    control->authority.epoch -= (uint64_t)hellos[_i].epoch;
    control->instance -= (uint64_t)hellos[_i].instance;
    link = dmz_link_new(world->pair->dmz, "site-a.example", world->pair->now_us);
    ck_assert_ptr_nonnull(link);
    give_octets(link->session, octets, drain(media->session, octets));
    ck_assert_msg((session_state(link->session) == SESSION_UP) == hellos[_i].comes_up, "%s",
                  hellos[_i].name);
    give_octets(media->session, octets, drain(link->session, octets));
    ck_assert_msg((session_state(media->session) == SESSION_UP) == hellos[_i].comes_up, "%s",
                  hellos[_i].name);
    ck_assert_uint_eq(world->dmz[1]->sites[0].media_count, hellos[_i].comes_up);
    ck_assert_uint_eq(world->inner[1]->links[0].media_count, hellos[_i].comes_up);
    world->link[1] = link;
    cut_media(1);
    ck_assert_uint_eq(world->dmz[1]->sites[0].media_count, 0);
}
END_TEST

/* Octets that came in one record with HELLO of a connection are taken by its thread. */
static void check_waits(unsigned thread, const uint8_t *octets, size_t length)
{
    const struct dmz_link *link = world->link[thread];
    const struct dmz_site *site = &world->dmz[thread]->sites[0];

    give_octets(link->session, octets, length);
    ck_assert_ptr_eq(link->dmz, world->dmz[thread]);
    ck_assert_uint_eq(site->counts.received, 0);
    ck_assert(session_pending(link->session));
    gate_leave_all(&world->out.main);
    gate_enter(&world->out.pass[thread]);
    ck_assert_int_eq(session_received(link->session, 0, world->pair->now_us), 0);
    gate_leave(&world->out.pass[thread]);
    ck_assert_uint_eq(site->counts.received, 1);
}

/* The main thread, which has the locks of all, parses HELLO and nothing that follows it. */
START_TEST(test_hello_and_media)
{
    static const uint8_t media[] = {0, 5 + 12, FRAME_MEDIA, 0, 0, 0, 99, 0x80, 0, 0, 1};
    struct inner_media *theirs = &world->media[1];
    uint8_t *octets = world->octets[1];
    size_t length;

    cut_media(1);
    ck_assert_ptr_nonnull(
        inner_media_open(theirs, &world->pair->site[0].inner->links[0], world->pair->now_us));
    world->link[1] = dmz_link_new(world->pair->dmz, "site-a.example", world->pair->now_us);
    ck_assert_ptr_nonnull(world->link[1]);
    length = drain(theirs->session, octets);
    memset(octets + length, 0, 2 + 5 + 12);
    memcpy(octets + length, media, sizeof(media));
    gate_enter_all(&world->out.main);
    check_waits(1, octets, length + 2 + 5 + 12);
}
END_TEST

/* However many come with one number, one of them is there: the one that came last. */
START_TEST(test_same_number)
{
    enum { MORE = WORKERS_MAX + 8 };
    const struct dmz_site *site = &world->dmz[1]->sites[0];

    for (unsigned i = 0; i < MORE; i++) {
        struct session *theirs = world->media[1].session;
        struct dmz_link *old = world->link[1];
        struct session *ours = old->session;

        inner_media_closed(&world->media[1], world->pair->now_us);
        session_free(theirs);
        connect_media(1);
        ck_assert_uint_eq(site->media_count, 1);
        ck_assert_ptr_eq(site->media[0], world->link[1]);
        ck_assert_uint_eq(world->closed_count, i + 1);
        ck_assert_ptr_eq(world->closed[i % THREADS], old);
        dmz_link_closed(old, "as close_link() does", world->pair->now_us);
        session_free(ours);
        ck_assert_uint_eq(site->media_count, 1);
    }
}
END_TEST

/* SAs come over the connection of control alone; which of them, is no matter. */
START_TEST(test_media_alone)
{
    static const uint8_t types[] = {FRAME_SYNC_BEGIN, FRAME_SYNC_END,    FRAME_SA_PUT,
                                    FRAME_SA_DELETE,  FRAME_STREAM_OPEN, FRAME_SA_NAK,
                                    FRAME_SA_REPORT,  FRAME_STATS,       FRAME_STREAM_OPEN};
    bool to_inner = _i > 4;
    struct session *session = to_inner ? world->media[1].session : world->link[1]->session;
    const uint8_t frame[] = {0, 1, types[_i]};
    size_t sas = table_count(world->pair->dmz->table);

    give_octets(session, frame, sizeof(frame));
    ck_assert_uint_eq(session_state(session), SESSION_ENDED);
    ck_assert_uint_eq(table_count(world->pair->dmz->table), sas);
    ck_assert_ptr_nonnull(pair_tunnel(world->pair, 0));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pair threads");
    TCase *tc = tcase_create("threads");
    int result;

    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, sample_engine_start, NULL);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, test_both_at_once);
    tcase_add_test(tc, test_cut);
    tcase_add_loop_test(tc, test_left_behind, 0, sizeof(breaks) / sizeof(breaks[0]));
    tcase_add_test(tc, test_large);
    tcase_add_loop_test(tc, test_hello, 0, sizeof(hellos) / sizeof(hellos[0]));
    tcase_add_test(tc, test_hello_and_media);
    tcase_add_test(tc, test_same_number);
    tcase_add_loop_test(tc, test_media_alone, 0, 9);
    suite_add_tcase(suite, tc);
    result = unit_run(suite);
    sample_engine_stop();
    return result;
}
