/*
 * Both relays, and beside the connection that carries control one of media that switches to sealed
 * frames: between its two ends sits who delays, repeats, reorders, alters and invents frames.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/random.h"
#include "common/sa/table.h"
#include "common/tunnel/sealed.h"
#include "tests/pair/pair.h"
#include "tests/unit/sample.h"
#include "tests/unit/unit.h"

enum { FRAMES_MAX = 256, ROUNDS = 40, PER_ROUND = 10, OUTPUT_OCTETS = 64 * 1024 };

struct frame {
    uint8_t octets[SEAL_FRAME_MAX_OCTETS];
    size_t length;
    uint32_t sequence; /* as TCP numbers its octets */
};

/* 0: from the inner-relay, 1: from the dmz-relay. */
static struct world {
    struct pair *pair;
    struct seal_store *seals;
    struct inner_media media;
    struct dmz_link *link;
    struct sealed *sealed[2];
    struct frame frame[FRAMES_MAX];
    unsigned frames;
    uint32_t sequence[2]; /* of each end's next frame */
    int wanted;           /* what want_media was last called with; -1: it was not */
    bool closed;
    bool raw; /* both ends have a raw socket */
    uint32_t random;
} * world;

static uint32_t next_random(void)
{
    world->random = world->random * 1664525 + 1013904223;
    return world->random >> 8;
}

static struct session *session_at(int end)
{
    return end == 0 ? world->media.session : world->link->session;
}

/* ------------------------------------------------------------ the connection */

static void want_media(void *ctx, struct inner_link *link, unsigned count)
{
    (void)ctx;
    (void)link;
    world->wanted = (int)count;
}

static void move_link(void *ctx, struct dmz_link *link)
{
    (void)ctx;
    (void)link;
}

static void close_link(void *ctx, struct dmz_link *link, const char *reason)
{
    (void)ctx;
    (void)reason;
    world->closed = world->closed || link == world->link;
}

static void carry(int from)
{
    static uint8_t octets[OUTPUT_OCTETS];
    struct session *to = session_at(1 - from);
    size_t room,
        length = session_output(session_at(from), octets, sizeof(octets), world->pair->now_us);

    if (length == 0)
        return;
    memcpy(session_space(to, &room), octets, length);
    ck_assert_uint_le(length, room);
    ck_assert_int_ge(session_received(to, length, world->pair->now_us), 0);
}

static void open_media(void)
{
    struct inner_link *control = &world->pair->site[0].inner->links[0];

    world->media = (struct inner_media){.link = control, .number = 1, .may_raw = world->raw};
    ck_assert_ptr_nonnull(inner_media_open(&world->media, control, world->pair->now_us));
    world->link = dmz_link_new(world->pair->dmz, "site-a.example", world->pair->now_us);
    ck_assert_ptr_nonnull(world->link);
    session_set_raw(world->link->session, world->raw);
    for (int i = 0; i < 4; i++)
        carry(i % 2);
}

static void switch_over(void)
{
    static const uint8_t secret[2][SEAL_SECRET_OCTETS] = {{1}, {2}};

    for (int end = 0; end < 2; end++) {
        struct seal *seal;

        session_output_is_sent(session_at(end));
        ck_assert_int_eq(session_wire(session_at(end)), SESSION_SEALED);
        ck_assert_int_eq(seal_new(&seal, world->seals, 16, secret[end], secret[1 - end]), 0);
        world->sealed[end] = sealed_new(seal);
    }
}

static void cut_media(void)
{
    struct session *inner = world->media.session, *dmz = world->link->session;

    dmz_link_closed(world->link, "cut", world->pair->now_us);
    inner_media_closed(&world->media, world->pair->now_us);
    session_free(dmz);
    session_free(inner);
    for (int end = 0; end < 2; end++)
        sealed_free(world->sealed[end]);
    world->link = NULL;
}

static void start_reading(enum inner_carrier carrier, bool inner_seals, bool dmz_seals, bool early)
{
    struct inner *inner;

    world = calloc(1, sizeof(*world));
    ck_assert_ptr_nonnull(world);
    world->random = 7;
    world->wanted = -1;
    ck_assert_int_eq(seal_store_new(&world->seals), 0);
    world->pair = pair_new_unconnected(1);
    inner = world->pair->site[0].inner;
    inner->options.seals = inner_seals ? world->seals : NULL;
    inner->links[0].carrier = carrier;
    inner->options.early = world->pair->dmz->options.early = early;
    inner->hooks.want_media = want_media;
    world->pair->dmz->options.seals = dmz_seals ? world->seals : NULL;
    world->pair->dmz->hooks.move_link = move_link;
    pair_connect(world->pair, 0);
    (void)pair_run_until_synced(world->pair);
}

static void start(enum inner_carrier carrier, bool inner_seals, bool dmz_seals)
{
    start_reading(carrier, inner_seals, dmz_seals, false);
}

static void stop(void)
{
    if (world->link)
        cut_media();
    pair_free(world->pair);
    seal_store_free(world->seals);
    free(world);
}

/* ------------------------------------------------------------ who sits in between */

/* All that one end has to say, frame by frame. */
static void take_frames(int from)
{
    struct iovec segments[SEALED_SEGMENTS_MAX];

    world->frames = 0;
    while (sealed_fill(world->sealed[from], session_at(from), world->pair->now_us) > 0) {
        size_t count = sealed_segments(world->sealed[from], segments);

        for (size_t i = 0; i < count; i++) {
            const uint8_t *at = segments[i].iov_base;
            size_t left = segments[i].iov_len;

            while (left > 0) {
                struct frame *frame = &world->frame[world->frames++];

                ck_assert_uint_le(world->frames, FRAMES_MAX);
                frame->length = (size_t)seal_length(at, left);
                memcpy(frame->octets, at, frame->length);
                frame->sequence = world->sequence[from];
                world->sequence[from] += (uint32_t)frame->length;
                at += frame->length;
                left -= frame->length;
            }
            sealed_sent(world->sealed[from], segments[i].iov_len);
        }
    }
}

/* As a segment; its octets may be spoiled. */
static void give_early(int to, uint32_t sequence, const uint8_t *octets, size_t length)
{
    uint8_t copy[SEAL_FRAME_MAX_OCTETS];

    memcpy(copy, octets, length);
    ck_assert_int_eq(sealed_segment(world->sealed[to], session_at(to), sequence, copy, length,
                                    world->pair->now_us),
                     0);
}

/* Altered, cut short, of the other direction, of no connection at all. */
static void give_forged(int to, const struct frame *frame)
{
    uint8_t octets[SEAL_FRAME_MAX_OCTETS];
    size_t bit = next_random() % (8 * frame->length);

    memcpy(octets, frame->octets, frame->length);
    octets[bit / 8] ^= (uint8_t)(1 << bit % 8);
    give_early(to, frame->sequence, octets, frame->length);
    give_early(to, frame->sequence, frame->octets, next_random() % frame->length);
    give_early(1 - to, world->sequence[to], frame->octets, frame->length);
    random_bytes(octets + SEAL_START_OCTETS, frame->length - SEAL_START_OCTETS);
    give_early(to, frame->sequence, octets, frame->length);
}

/* In any order, with some of them missing; then all of them as they were sent. */
static void deliver(int to)
{
    for (unsigned n = 0; n < 2 * world->frames; n++) {
        const struct frame *frame = &world->frame[next_random() % world->frames];

        if (next_random() % 3 == 0)
            give_forged(to, frame);
        if (next_random() % 3 > 0)
            give_early(to, frame->sequence, frame->octets, frame->length);
    }
    for (unsigned n = 0; n < world->frames; n++) {
        size_t size;
        uint8_t *space = sealed_space(world->sealed[to], &size);

        memcpy(space, world->frame[n].octets, world->frame[n].length);
        ck_assert_int_eq(sealed_received(world->sealed[to], session_at(to), world->frame[n].length,
                                         world->pair->now_us),
                         0);
    }
    pair_run(world->pair, PAIR_MS);
}

/* ------------------------------------------------------------ tests */

static const struct {
    enum inner_carrier carrier;
    bool inner, dmz;
    int wanted;
} rows[] = {
    {CARRIER_STREAM, true, true, 0},     {CARRIER_UNORDERED, true, true, 1},
    {CARRIER_UNORDERED, true, false, 0},                                /* an older dmz-relay */
    {CARRIER_UNORDERED, false, true, 0}, {CARRIER_AUTO, true, true, 0}, /* nobody reads early */
    {CARRIER_AUTO, true, false, 0},
};

START_TEST(test_wanted)
{
    start(rows[_i].carrier, rows[_i].inner, rows[_i].dmz);
    ck_assert_int_eq(world->wanted, rows[_i].wanted);
    open_media();
    ck_assert_int_eq(session_wire(world->media.session),
                     rows[_i].wanted ? SESSION_SWITCHING : SESSION_PLAIN);
    /* One that does not switch carries media at once. */
    ck_assert_uint_eq(world->pair->site[0].inner->links[0].media_count, !rows[_i].wanted);
    ck_assert_uint_eq(world->pair->dmz->sites[0].media_count, !rows[_i].wanted);
    stop();
}
END_TEST

static struct pair_sender *add_sender(enum sa_side side, unsigned n)
{
    struct admit_request request;

    pair_request(&request, side, n);
    request.rate = 100 * 1000 * 1000;
    return pair_sender_new(world->pair, 0, &request);
}

/* Each packet comes out once, whatever is done to the frames; nothing else does. */
START_TEST(test_hostile)
{
    struct pair_sender *sender[2];
    struct pair_out *out[2];

    start(CARRIER_UNORDERED, true, true);
    sender[0] = add_sender(SA_SIDE_INTERNAL, 1);
    sender[1] = add_sender(SA_SIDE_EXTERNAL, 2);
    (void)pair_run_until_synced(world->pair);
    open_media();
    switch_over();
    ck_assert_uint_eq(world->pair->site[0].inner->links[0].media_count, 1);
    ck_assert_uint_eq(world->pair->dmz->sites[0].media_count, 1);
    for (unsigned round = 0; round < ROUNDS; round++) {
        int from = round % 2;

        for (unsigned i = 0; i < PER_ROUND; i++)
            pair_send_rtp(sender[from]);
        pair_send_rtcp(sender[from]);
        take_frames(from);
        ck_assert_uint_ge(world->frames, PER_ROUND + 1);
        deliver(1 - from);
    }
    for (int from = 0; from < 2; from++) {
        out[from] = pair_receiver(sender[from]);
        ck_assert_uint_eq(out[from]->count, ROUNDS / 2 * (PER_ROUND + 1));
        ck_assert_uint_gt(sealed_count(world->sealed[from], SEAL_FORGED), 0);
        ck_assert_uint_gt(sealed_count(world->sealed[from], SEAL_REPLAYED), 0);
        ck_assert_uint_gt(sealed_early_count(world->sealed[from], EARLY_PARTIAL), 0);
    }
    /* No copy came as far as SRTP. */
    ck_assert_uint_eq(world->pair->site[0].inner->links[0].counts.n[VERDICT_REPLAY], 0);
    ck_assert_uint_eq(world->pair->site[0].inner->links[0].counts.received,
                      ROUNDS / 2 * (PER_ROUND + 1));
    ck_assert_uint_eq(world->pair->dmz->sites[0].counts.received, ROUNDS / 2 * (PER_ROUND + 1));
    for (int from = 0; from < 2; from++)
        pair_sender_free(sender[from]);
    stop();
}
END_TEST

/* Before it has switched, and after it is gone, media goes by the connection of control. */
START_TEST(test_by_control)
{
    struct pair_sender *a, *b;

    start(CARRIER_UNORDERED, true, true);
    a = add_sender(SA_SIDE_INTERNAL, 1);
    b = add_sender(SA_SIDE_EXTERNAL, 2);
    (void)pair_run_until_synced(world->pair);
    open_media();
    pair_expect_call(a, b);
    switch_over();
    cut_media();
    ck_assert_uint_eq(world->pair->site[0].inner->links[0].media_count, 0);
    ck_assert_uint_eq(world->pair->dmz->sites[0].media_count, 0);
    pair_expect_call(a, b);
    pair_sender_free(a);
    pair_sender_free(b);
    stop();
}
END_TEST

/* ------------------------------------------------------------ carrier = auto */

struct auto_world {
    struct pair_sender *sender[2];
    bool dead[2];     /* what this end sends over the connection of media is lost */
    unsigned sent;    /* packets of each */
    unsigned longest; /* row of packets that did not come */
    unsigned row[2];
};

/* All that waits at one end of the connection of media comes, or nothing of it does. */
static void carry_sealed(int from, bool dead)
{
    take_frames(from);
    for (unsigned n = 0; n < world->frames && !dead; n++) {
        uint8_t copy[SEAL_FRAME_MAX_OCTETS];

        memcpy(copy, world->frame[n].octets, world->frame[n].length);
        ck_assert_int_ge(sealed_segment(world->sealed[1 - from], session_at(1 - from),
                                        world->frame[n].sequence, copy, world->frame[n].length,
                                        world->pair->now_us),
                         0);
    }
}

static size_t arrived(const struct auto_world *at, int from)
{
    return pair_receiver(at->sender[from])->count;
}

/* A packet each way each 20 ms; what goes over the connection of media is there at once. */
static void talk(struct auto_world *at, unsigned packets)
{
    for (unsigned n = 0; n < packets; n++) {
        for (int from = 0; from < 2; from++) {
            size_t before = arrived(at, from);

            pair_send_rtp(at->sender[from]);
            carry_sealed(from, at->dead[from]);
            carry_sealed(1 - from, at->dead[1 - from]);
            pair_run(world->pair, 10 * PAIR_MS);
            at->row[from] = arrived(at, from) > before ? 0 : at->row[from] + 1;
            if (at->row[from] > at->longest)
                at->longest = at->row[from];
        }
        at->sent++;
    }
}

static const struct choice *choice_at(int end)
{
    return end == 0 ? &world->pair->site[0].inner->links[0].ways.choice
                    : &world->pair->dmz->sites[0].ways.choice;
}

static void choices_are(enum choice_state inner, enum choice_state dmz)
{
    ck_assert_msg(choice_at(0)->state == inner, "inner: %s", choice_why_text(choice_at(0)));
    ck_assert_msg(choice_at(1)->state == dmz, "dmz: %s", choice_why_text(choice_at(1)));
}

static void start_auto(struct auto_world *at)
{
    struct session_path path = {.room = SIZE_MAX, .rtt_us = 40000};

    *at = (struct auto_world){.sent = 0};
    start_reading(CARRIER_AUTO, true, true, true);
    at->sender[0] = add_sender(SA_SIDE_INTERNAL, 1);
    at->sender[1] = add_sender(SA_SIDE_EXTERNAL, 2);
    (void)pair_run_until_synced(world->pair);
    ck_assert_int_eq(world->wanted, 1);
    open_media();
    switch_over();
    for (int end = 0; end < 2; end++) {
        session_set_early(session_at(end), true, 0);
        session_set_path(session_at(end), &path, world->pair->now_us);
    }
}

static void stop_auto(struct auto_world *at)
{
    for (int from = 0; from < 2; from++)
        pair_sender_free(at->sender[from]);
    stop();
}

START_TEST(test_auto)
{
    struct auto_world at;

    start_auto(&at);
    choices_are(CHOICE_STREAM, CHOICE_STREAM);
    talk(&at, 3);
    choices_are(CHOICE_PROBING, CHOICE_PROBING);
    talk(&at, 30);
    choices_are(CHOICE_CARRIER, CHOICE_CARRIER);
    talk(&at, 30);
    for (int from = 0; from < 2; from++) {
        ck_assert_uint_eq(arrived(&at, from), at.sent); /* each one once */
        ck_assert_uint_eq(choice_at(from)->counts[CHOICE_COUNT_MOVES], 1);
    }
    ck_assert_uint_gt(world->pair->dmz->sites[0].ways.copies, 5);
    ck_assert_uint_eq(world->pair->site[0].inner->links[0].counts.n[VERDICT_REPLAY], 0);
    ck_assert_uint_eq(world->pair->site[0].inner->links[0].counts.received, at.sent);
    ck_assert_uint_eq(world->pair->dmz->sites[0].counts.received, at.sent);
    stop_auto(&at);
}
END_TEST

/* One way, the other or both go silent: less than 200 ms of a call are lost, and nothing more. */
START_TEST(test_auto_silent)
{
    struct auto_world at;
    size_t lost[2];

    start_auto(&at);
    talk(&at, 40);
    choices_are(CHOICE_CARRIER, CHOICE_CARRIER);
    ck_assert_uint_eq(at.longest, 0);
    at.dead[0] = _i != 1;
    at.dead[1] = _i != 0;
    talk(&at, 20);
    ck_assert_uint_le(at.longest, 6);
    choices_are(CHOICE_DOUBTING, CHOICE_DOUBTING);
    talk(&at, 60);
    choices_are(CHOICE_STREAM, CHOICE_STREAM);
    for (int from = 0; from < 2; from++)
        lost[from] = at.sent - arrived(&at, from);
    /* In the end the connection ends, and comes anew. */
    cut_media();
    memset(at.dead, 0, sizeof(at.dead));
    memset(at.row, 0, sizeof(at.row));
    at.longest = 0;
    for (int from = 0; from < 2; from++) {
        ck_assert_uint_le(lost[from], 6);
        ck_assert(at.dead[from] || choice_at(from)->why == CHOICE_NO_CONNECTION_);
    }
    stop_auto(&at);
}
END_TEST

/* A site says with its connection of media alone that it sends two ways: it is one way, and goes
 * on. */
START_TEST(test_auto_media_alone)
{
    struct auto_world at = {.sent = 0};
    struct dmz_site *site;

    start_reading(CARRIER_AUTO, true, true, true);
    at.sender[0] = add_sender(SA_SIDE_INTERNAL, 1);
    at.sender[1] = add_sender(SA_SIDE_EXTERNAL, 2);
    (void)pair_run_until_synced(world->pair);
    site = &world->pair->dmz->sites[0];
    site->chooses = false;
    ways_fini(&site->ways);
    open_media();
    switch_over();
    ck_assert_ptr_null(site->ways.carrier);
    talk(&at, 5);
    for (int from = 0; from < 2; from++)
        ck_assert_uint_eq(arrived(&at, from), at.sent);
    stop_auto(&at);
}
END_TEST

/* A dmz-relay that has not seen all segments: the connection ends, and another one asks again. */
START_TEST(test_take_refused)
{
    struct inner_link *link;
    unsigned hung = 0;

    start(CARRIER_RAW, true, true);
    link = &world->pair->site[0].inner->links[0];
    world->raw = true;
    open_media();
    switch_over();
    ck_assert_int_eq(session_tick(session_at(1), world->pair->now_us), 0);
    carry_sealed(1, false); /* PING, upon which comes TAKE */
    carry_sealed(0, false);
    ck_assert_int_eq(session_take(session_at(1)), SESSION_TAKE_PREPARE);
    ck_assert_uint_eq(link->media_count, 0);
    session_take_prepared(session_at(1), "not today");
    take_frames(1);
    ck_assert_uint_eq(world->frames, 1);
    ck_assert_int_lt(sealed_segment(world->sealed[0], session_at(0), world->frame[0].sequence,
                                    world->frame[0].octets, world->frame[0].length,
                                    world->pair->now_us),
                     0);
    ck_assert_str_eq(session_reason(session_at(0)), "it was not taken over: not today");
    ck_assert(!session_take_has_failed(session_at(0), &hung));
    ck_assert_uint_eq(hung, 1);
    ck_assert_uint_eq(link->media_count, 0);
    stop();
}
END_TEST

/* The connection that it goes with ends in the middle of the switch. */
START_TEST(test_control_ends)
{
    start(CARRIER_UNORDERED, true, true);
    open_media();
    world->pair->dmz->hooks.close_link = close_link;
    pair_reset(pair_tunnel(world->pair, 0));
    session_output_is_sent(world->link->session);
    ck_assert(world->closed);
    ck_assert_uint_eq(world->pair->dmz->sites[0].media_count, 0);
    stop();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pair sealed");
    TCase *tc = tcase_create("sealed");
    int result;

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, sample_engine_start, NULL);
    tcase_add_loop_test(tc, test_wanted, 0, sizeof(rows) / sizeof(rows[0]));
    tcase_add_test(tc, test_hostile);
    tcase_add_test(tc, test_by_control);
    tcase_add_test(tc, test_control_ends);
    tcase_add_test(tc, test_take_refused);
    tcase_add_test(tc, test_auto);
    tcase_add_loop_test(tc, test_auto_silent, 0, 3);
    tcase_add_test(tc, test_auto_media_alone);
    suite_add_tcase(suite, tc);
    result = unit_run(suite);
    sample_engine_stop();
    return result;
}
