#include "common/carrier/track.h"

#include <string.h>

#include "common/base/err.h"

#include "tests/unit/trackworld.h"
#include "tests/unit/unit.h"

enum { MS = 1000, S = 1000000, LENGTH = 240 };

#define ACK_PSH (SEGMENT_ACK | SEGMENT_PSH)

/* ---------------------------------------------------------------- what firewalls see */

static const struct {
    const char *name;
    uint64_t duration_us, interval_us[2];
    unsigned loss[2]; /* per 10,000 */
    uint64_t delay_us, jitter_us;
    uint32_t start[2];
    uint8_t scale;
    size_t length;
    bool rewinds; /* are there to be some? */
} rows[] = {
    {"quiet link", 20 * S, {500, 500}, {0, 0}, 20 * MS, 0, {1, 2}, 7, LENGTH, false},
    {"2 % lost", 20 * S, {500, 500}, {200, 200}, 20 * MS, 0, {0xfffff000, 5}, 7, LENGTH, false},
    {"10 % lost", 20 * S, {500, 500}, {1000, 1000}, 20 * MS, 0, {0xfffff000, 5}, 7, LENGTH, false},
    {"reordered",
     20 * S,
     {500, 700},
     {100, 100},
     20 * MS,
     30 * MS,
     {9, 0xffffff00},
     7,
     LENGTH,
     false},
    {"slow", 60 * S, {20 * MS, 20 * MS}, {500, 0}, 20 * MS, 0, {0xffffff00, 5}, 7, LENGTH, false},
    {"one way", 360 * S, {20 * MS, 0}, {200, 200}, 20 * MS, 0, {0xfffff000, 5}, 7, LENGTH, false},
    {"the other way", 30 * S, {0, 500}, {200, 200}, 20 * MS, 0, {3, 0xfffff000}, 7, LENGTH, false},
    {"no scale", 20 * S, {500, 500}, {200, 200}, 20 * MS, 0, {0xfffff000, 5}, 0, LENGTH, false},
    {"no scale, too fast",
     20 * S,
     {200, 0},
     {200, 200},
     40 * MS,
     0,
     {0xfffff000, 5},
     0,
     1000,
     true},
    {"fast", 10 * S, {100, 100}, {200, 200}, 5 * MS, MS, {0xfffff000, 5}, 7, LENGTH, false},
    {"a full turn", 320 * S, {100, 0}, {50, 50}, 2 * MS, 0, {7, 8}, 7, 1448, false},
};

START_TEST(test_no_segment_is_invalid)
{
    struct world world;
    uint64_t sent, received;
    unsigned lost = rows[_i].loss[0] > rows[_i].loss[1] ? rows[_i].loss[0] : rows[_i].loss[1];

    world_init(&world, rows[_i].start[0], rows[_i].start[1], rows[_i].scale, 0);
    world.delay_us = rows[_i].delay_us;
    world.jitter_us = rows[_i].jitter_us;
    memcpy(world.loss, rows[_i].loss, sizeof(world.loss));
    world_run(&world, rows[_i].duration_us, rows[_i].interval_us[0], rows[_i].interval_us[1],
              rows[_i].length);
    world_run(&world, S, 0, 0, 0);
    ck_assert_msg(world_invalid(&world) == 0, "%s: %d invalid", rows[_i].name,
                  (int)world_invalid(&world));
    ck_assert_uint_eq(world.not_now[0] + world.not_now[1], 0);
    for (unsigned side = 0; side < 2; side++) {
        sent = world.sent[!side];
        received = world.received[side];
        ck_assert_msg(received <= sent && received + sent * lost / 8000 + 30 >= sent,
                      "%s: %d of %d", rows[_i].name, (int)received, (int)sent);
        /* Nobody is silent for longer than the timer of pure ACKs and what is lost. */
        ck_assert(world.bare[side] > 0 || rows[_i].interval_us[side] > 0);
    }
    ck_assert_msg((world.track[0].rewinds > 0) == rows[_i].rewinds, "%s", rows[_i].name);
    world_fini(&world);
}
END_TEST

/* Twice as long as the window lasts, and longer than it takes to stop. */
START_TEST(test_outage)
{
    const uint8_t scales[] = {0, 2, 7};
    struct world world;
    uint64_t received[2];

    world_init(&world, 0xfffff000, 0x7ffff000, scales[_i], 0);
    world.loss[0] = world.loss[1] = 200;
    world_run(&world, 2 * S, 500, 500, 1000);
    memcpy(received, world.received, sizeof(received));
    world.cut = true;
    world_run(&world, 5 * S, 500, 500, 1000);
    ck_assert(track_is_stopped(&world.track[0], world.now_us));
    world.cut = false;
    memset(world.longest_silence_us, 0, sizeof(world.longest_silence_us));
    world_run(&world, 2 * S, 500, 500, 1000);
    ck_assert_uint_eq(world_invalid(&world), 0);
    for (unsigned side = 0; side < 2; side++) {
        ck_assert(!track_is_stopped(&world.track[side], world.now_us));
        ck_assert_uint_gt(world.received[side], received[side] + 3000);
        ck_assert_uint_lt(world.longest_silence_us[side], 5 * S + 500 * MS);
        ck_assert_uint_eq(world.track[side].stops, 1);
        ck_assert(scales[_i] == 7 || world.track[side].rewinds > 0);
    }
    world_fini(&world);
}
END_TEST

/* The other direction goes on, and its outage alone ends. */
START_TEST(test_outage_of_one_way)
{
    struct world world;

    world_init(&world, 5, 0xfffff000, 0, 0);
    world.loss[0] = 10000;
    world_run(&world, 10 * S, 500, 500, 1000);
    ck_assert_uint_eq(world.received[1], 0);
    /* The peer gets no ACK either: after 3 s it stops, too. */
    ck_assert(track_is_stopped(&world.track[1], world.now_us));
    world.loss[0] = 0;
    world_run(&world, 2 * S, 500, 500, 1000);
    ck_assert_uint_eq(world_invalid(&world), 0);
    ck_assert_uint_gt(world.received[0], 3000);
    ck_assert_uint_gt(world.received[1], 3000);
    world_fini(&world);
}
END_TEST

/* ---------------------------------------------------------------- one side alone */

static struct track_start sample_start(void)
{
    return (struct track_start){.send_next = 1000,
                                .receive_next = 5000,
                                .timestamp = 100,
                                .timestamp_echo = 200,
                                .peer_window = 65535,
                                .mss = 1460,
                                .timestamps = true};
}

static struct track sample_track(void)
{
    const struct track_start start = sample_start();
    struct track track;

    track_init(&track, &start, S);
    return track;
}

static struct segment send_one(struct track *track, size_t length, uint64_t now_us)
{
    struct segment segment = {.length = length};

    ck_assert_int_eq(track_send(track, length, &segment, now_us), 0);
    return segment;
}

static struct segment genuine(uint32_t sequence, size_t length, uint32_t ack)
{
    return (struct segment){
        .sequence = sequence, .length = length, .ack = ack, .flags = ACK_PSH, .window = 65535};
}

START_TEST(test_numbers)
{
    struct track track = sample_track();
    struct segment s = send_one(&track, 100, S + 5 * MS), in;

    ck_assert_uint_eq(s.sequence, 1000);
    ck_assert_uint_eq(s.ack, 5000);
    ck_assert_uint_eq(s.window, TRACK_WINDOW);
    ck_assert_uint_eq(s.flags, ACK_PSH);
    ck_assert(s.has_timestamps);
    ck_assert_uint_eq(s.timestamp, 105);
    ck_assert_uint_eq(s.timestamp_echo, 200);
    in = genuine(5200, 100, 1100); /* the one before it is missing: acknowledged as well */
    in.has_timestamps = true;
    in.timestamp = 333;
    ck_assert_int_eq(track_received(&track, &in, true, S), TRACK_GENUINE);
    s = send_one(&track, 50, S + 6 * MS);
    ck_assert_uint_eq(s.sequence, 1100);
    ck_assert_uint_eq(s.ack, 5300);
    ck_assert_uint_eq(s.timestamp_echo, 333);
    in = genuine(5000, 100, 1100); /* late: nothing goes back */
    in.has_timestamps = true;
    in.timestamp = 222;
    track_received(&track, &in, true, S);
    s = send_one(&track, 50, S + 7 * MS);
    ck_assert_uint_eq(s.ack, 5300);
    ck_assert_uint_eq(s.timestamp_echo, 333);
}
END_TEST

START_TEST(test_room)
{
    struct track track = sample_track();
    struct segment s;

    ck_assert_uint_eq(track_room(&track), 1448);
    ck_assert_int_eq(track_send(&track, 1448, &s, S), 0);
    ck_assert_int_eq(track_send(&track, 1449, &s, S), ERR_TOO_LONG);
    ck_assert_int_eq(track_send(&track, 0, &s, S), ERR_TOO_LONG);
    ck_assert_int_eq(track_finish(&track, 1449, &s, S), ERR_TOO_LONG);
    track.start.timestamps = false;
    ck_assert_uint_eq(track_room(&track), 1460);
    track.start.timestamps = true;
    track.start.mss = 5;
    ck_assert_uint_eq(track_room(&track), 0);
}
END_TEST

START_TEST(test_rewind)
{
    struct track track = sample_track();
    struct segment s, ack = genuine(5000, 0, 1000 + 2000);

    for (unsigned i = 0; i < 32; i++) /* up to half of 65535 */
        ck_assert_uint_eq(send_one(&track, 1000, S).sequence, 1000 + i * 1000);
    ack.flags = SEGMENT_ACK;
    ck_assert_int_eq(track_received(&track, &ack, false, S), TRACK_BARE);
    for (unsigned i = 32; i < 34; i++)
        ck_assert_uint_eq(send_one(&track, 1000, S).sequence, 1000 + i * 1000);
    s = send_one(&track, 1000, S);
    ck_assert_uint_eq(s.sequence, 3000);
    ck_assert_uint_eq(track.rewinds, 1);
    ck_assert_uint_eq(track.send_high, 35000);
    /* What went out before has come nevertheless: on from there. */
    ack.ack = 20000;
    track_received(&track, &ack, false, S);
    ck_assert_uint_eq(send_one(&track, 1000, S).sequence, 20000);
    ack.ack = 35001; /* of something never sent */
    ck_assert_int_eq(track_received(&track, &ack, false, S), TRACK_OUTSIDE);
}
END_TEST

/* What somebody without the keys sends changes nothing but a counter. */
static const struct {
    const char *name;
    uint8_t flags;
    uint32_t sequence, ack;
    size_t length;
    enum track_count count;
} blind[] = {
    {"RST at the right number", SEGMENT_RST, 5000, 1000, 0, TRACK_RESET},
    {"RST with ACK", SEGMENT_RST | SEGMENT_ACK, 5000, 1000, 0, TRACK_RESET},
    {"SYN", SEGMENT_SYN, 5000, 0, 0, TRACK_RESET},
    {"SYN with ACK", SEGMENT_SYN | SEGMENT_ACK, 5000, 1000, 0, TRACK_RESET},
    {"FIN", SEGMENT_FIN | SEGMENT_ACK, 5000, 1000, 0, TRACK_RESET},
    {"FIN with data", SEGMENT_FIN | SEGMENT_ACK, 5000, 1000, 10, TRACK_RESET},
    {"data", ACK_PSH, 5000, 1200, 100, TRACK_FOREIGN},
    {"data far away", ACK_PSH, 0x80000000, 0x80000000, 100, TRACK_FOREIGN},
    {"ACK of nothing sent", SEGMENT_ACK, 5000, 1301, 0, TRACK_OUTSIDE},
    {"old ACK", SEGMENT_ACK, 5000, 1000u - 70000, 0, TRACK_OUTSIDE},
    {"ACK out of the window", SEGMENT_ACK, 5000 + 66001, 1200, 0, TRACK_OUTSIDE},
    {"ACK before the window", SEGMENT_ACK, 5000u - 66001, 1200, 0, TRACK_OUTSIDE},
    {"no flags", 0, 5000, 1200, 0, TRACK_OUTSIDE},
    {"ACK of what was acknowledged", SEGMENT_ACK, 5000, 1000, 0, TRACK_BARE},
};

/* A timestamp after which none of the peer's would be newer. */
static const uint32_t future = 200 + 0x7fffffffu;

START_TEST(test_blind)
{
    struct track track = sample_track(), before;
    struct segment s = {.sequence = blind[_i].sequence,
                        .ack = blind[_i].ack,
                        .flags = blind[_i].flags,
                        .length = blind[_i].length,
                        .has_timestamps = true,
                        .timestamp = future,
                        .window = 0};

    (void)send_one(&track, 300, S);
    before = track;
    ck_assert_msg(track_received(&track, &s, false, 2 * S) == blind[_i].count, "%s",
                  blind[_i].name);
    ck_assert_uint_eq(track.counts[blind[_i].count], 1);
    memcpy(track.counts, before.counts, sizeof(track.counts));
    ck_assert_msg(memcmp(&track, &before, sizeof(track)) == 0, "%s", blind[_i].name);
}
END_TEST

/* An old genuine segment that somebody sends once more. */
START_TEST(test_replayed)
{
    struct track track = sample_track(), before;
    struct segment s = genuine(5000, 100, 1300), old = genuine(5000, 100, 1000);

    (void)send_one(&track, 300, S);
    track_received(&track, &s, true, S);
    before = track;
    track_received(&track, &old, true, S);
    memcpy(track.counts, before.counts, sizeof(track.counts));
    ck_assert_int_eq(memcmp(&track, &before, sizeof(track)), 0);
    /* And one whose ACK was altered by who holds no key: beyond what was sent it is left out. */
    s = genuine(5100, 100, 99999);
    track_received(&track, &s, true, S);
    ck_assert_uint_eq(track.acked, 1300);
    ck_assert_uint_eq(track.receive, 5200);
}
END_TEST

START_TEST(test_silence)
{
    struct track track = sample_track();
    struct segment s = {.length = 0}, in;

    ck_assert(!track_ack(&track, &s, S + TRACK_SILENCE_US - 1));
    ck_assert_uint_eq(track_wake_us(&track), S + TRACK_SILENCE_US);
    ck_assert(track_ack(&track, &s, S + TRACK_SILENCE_US));
    ck_assert_uint_eq(s.flags, SEGMENT_ACK);
    ck_assert_uint_eq(s.sequence, 1000);
    ck_assert(!track_ack(&track, &s, S + TRACK_SILENCE_US));
    (void)send_one(&track, 10, 2 * S);
    ck_assert_uint_eq(track_wake_us(&track), 2 * S + TRACK_SILENCE_US);
    /* A quarter of our window has come: an ACK at once. */
    in = genuine(5000, 16000, 1010);
    track_received(&track, &in, true, 2 * S);
    ck_assert(!track_ack(&track, &s, 2 * S));
    in = genuine(21000, 1000, 1010);
    track_received(&track, &in, true, 2 * S);
    ck_assert_uint_le(track_wake_us(&track), 2 * S);
    ck_assert(track_ack(&track, &s, 2 * S));
    ck_assert_uint_eq(s.ack, 22000);
}
END_TEST

START_TEST(test_stop)
{
    struct track track = sample_track();
    struct segment s, ack = genuine(5000, 0, 1000);
    unsigned sent = 0;

    ack.flags = SEGMENT_ACK;
    ck_assert(!track_is_stopped(&track, 100 * S)); /* nothing was sent: nothing is missing */
    for (uint64_t now_us = 10 * S; now_us < 13 * S; now_us += 20 * MS) {
        (void)send_one(&track, 100, now_us);
        ck_assert_int_eq(track_received(&track, &ack, false, now_us), TRACK_BARE);
    }
    ck_assert(track_is_stopped(&track, 13 * S));
    for (uint64_t now_us = 13 * S; now_us < 15 * S; now_us += 20 * MS)
        sent += track_send(&track, 100, &s, now_us) == 0;
    ck_assert_uint_eq(sent, 10);
    ck_assert_uint_eq(track.stops, 1);
    ack.ack = 1100;
    track_received(&track, &ack, false, 15 * S);
    ck_assert(!track_is_stopped(&track, 15 * S));
    (void)send_one(&track, 100, 15 * S);
    (void)send_one(&track, 100, 15 * S);
}
END_TEST

START_TEST(test_rate)
{
    struct track_start start = sample_start();
    struct track track;
    struct segment s, ack = genuine(5000, 0, 1000);
    uint64_t octets = 0;

    start.rate = 100000;
    ack.flags = SEGMENT_ACK;
    track_init(&track, &start, S);
    for (uint64_t now_us = S; now_us < 11 * S; now_us += MS) {
        if (track_send(&track, 1000, &s, now_us) == 0) {
            octets += 1040;
            ack.ack = s.sequence + 1000;
            track_received(&track, &ack, false, now_us);
        }
    }
    ck_assert_uint_le(octets, 10 * 100000 + 65535);
    ck_assert_uint_ge(octets, 10 * 100000);
    ck_assert_uint_gt(track.refused, 0);
}
END_TEST

/* ---------------------------------------------------------------- the end */

static void say_fin(struct world *world, unsigned side, size_t length)
{
    struct segment s = {.length = length};

    ck_assert_int_eq(track_finish(&world->track[side], length, &s, world->now_us), 0);
    ck_assert(s.flags & SEGMENT_FIN);
    world_put(world, side, &s, length > 0);
}

/* Runs until both are over; the other side answers a FIN with its own, and lost ones come again. */
static void run_to_the_end(struct world *world, bool answered)
{
    uint64_t end_us = world->now_us + 10 * S;

    while (world->now_us < end_us) {
        world_run(world, 10 * MS, 0, 0, 0);
        for (unsigned side = 0; side < 2; side++) {
            struct track *track = &world->track[side];

            if (answered && track->peer_fin && !track->fin_sent)
                say_fin(world, side, 40);
            if (track_fin_is_due(track, world->now_us))
                say_fin(world, side, 40);
        }
        if (track_state(&world->track[0], world->now_us) == TRACK_OVER &&
            track_state(&world->track[1], world->now_us) == TRACK_OVER)
            return;
    }
}

static const struct {
    const char *name;
    unsigned loss;
    bool both, answered;
} ends[] = {
    {"one says it", 0, false, true},     {"both at once", 0, true, true},
    {"30 % lost", 3000, false, true},    {"both at once, 30 % lost", 3000, true, true},
    {"nobody answers", 0, false, false},
};

START_TEST(test_end)
{
    struct world world;
    struct segment s;

    world_init(&world, 0xfffffff0, 77, 0, 0);
    world_run(&world, S, 2 * MS, 2 * MS, LENGTH);
    world.loss[0] = world.loss[1] = ends[_i].loss;
    say_fin(&world, 0, 40);
    ck_assert_int_eq(track_send(&world.track[0], LENGTH, &s, world.now_us), ERR_CLOSED);
    if (ends[_i].both)
        say_fin(&world, 1, 40);
    run_to_the_end(&world, ends[_i].answered);
    ck_assert_int_eq(track_state(&world.track[0], world.now_us), TRACK_OVER);
    ck_assert_int_eq(track_finish(&world.track[0], 40, &s, world.now_us), ERR_CLOSED);
    ck_assert_uint_eq(track_wake_us(&world.track[0]), UINT64_MAX);
    ck_assert_uint_eq(world_invalid(&world), 0);
    if (ends[_i].answered) {
        ck_assert_int_eq(track_state(&world.track[1], world.now_us), TRACK_OVER);
        ck_assert(world.track[0].peer_fin && world.track[1].peer_fin);
    }
    world_fini(&world);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("track");
    TCase *tc = tcase_create("track");

    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, test_no_segment_is_invalid, 0, sizeof(rows) / sizeof(rows[0]));
    tcase_add_loop_test(tc, test_outage, 0, 3);
    tcase_add_test(tc, test_outage_of_one_way);
    tcase_add_test(tc, test_numbers);
    tcase_add_test(tc, test_room);
    tcase_add_test(tc, test_rewind);
    tcase_add_loop_test(tc, test_blind, 0, sizeof(blind) / sizeof(blind[0]));
    tcase_add_test(tc, test_replayed);
    tcase_add_test(tc, test_silence);
    tcase_add_test(tc, test_stop);
    tcase_add_test(tc, test_rate);
    tcase_add_loop_test(tc, test_end, 0, sizeof(ends) / sizeof(ends[0]));
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
