/*
 * A caller sends a packet every 20 ms over what the choice says; PROBEs are reported after a round
 * trip, but those that the script loses.
 */
#include "common/carrier/choice.h"

#include <string.h>

#include "tests/unit/unit.h"

#define MS     UINT64_C(1000)
#define SECOND (1000 * MS)

enum { PACKET_MS = 20, TRIPS = 64 };

struct world {
    struct choice choice;
    uint64_t now_us, rtt_us;
    bool quiet;      /* no packets */
    bool dead;       /* PROBEs are lost */
    bool blocked;    /* the connection takes nothing: no PROBE goes out */
    bool in_order;   /* the other side reads in order */
    bool stalls;     /* nothing comes any more that is behind a hole */
    unsigned wanted; /* holes, that were to be left, */
    unsigned holes;  /* and were */
    bool never_over; /* what is behind a hole does not come before it */
    unsigned random; /* per cent of PROBEs that are lost at random */
    uint32_t dice;
    unsigned loss; /* each so manieth segment is sent again; 0: none */
    uint64_t sent, lost, overtook;
    struct {
        uint64_t at_us;
        uint32_t number;
    } trip[TRIPS];
    unsigned first, count;
    uint64_t on_stream, on_carrier, on_both; /* packets */
    uint64_t gap_us; /* the longest time in which no packet arrived, by any way */
    uint64_t arrived_us;
};

static void start(struct world *world, uint64_t rtt_us)
{
    memset(world, 0, sizeof(*world));
    world->now_us = 100 * SECOND;
    world->rtt_us = rtt_us;
    choice_init(&world->choice);
    choice_path(&world->choice, true, 0);
    choice_open(&world->choice, false, world->now_us);
}

static void report(struct world *world)
{
    while (world->count > 0 && world->trip[world->first].at_us <= world->now_us) {
        struct choice_report report = {.number = world->trip[world->first].number,
                                       .early = !world->in_order,
                                       .overtook = world->overtook};

        world->first = (world->first + 1) % TRIPS;
        world->count--;
        ck_assert(choice_reported(&world->choice, &report, world->now_us));
    }
}

static bool is_unlucky(struct world *world)
{
    world->dice = world->dice * 1664525 + 1013904223;
    return (world->dice >> 16) % 100 < world->random;
}

static void probe(struct world *world)
{
    uint32_t number;

    if (world->blocked || !choice_probe(&world->choice, world->now_us, &number))
        return;
    if (!world->dead && !is_unlucky(world) && world->count < TRIPS) {
        unsigned at = (world->first + world->count++) % TRIPS;

        world->trip[at].at_us = world->now_us + world->rtt_us;
        world->trip[at].number = number;
    }
}

static void lose(struct world *world)
{
    if (world->loss == 0 || ++world->sent % world->loss > 0)
        return;
    world->lost++;
    world->overtook += !world->never_over;
    choice_path(&world->choice, true, world->lost);
}

static void packet(struct world *world)
{
    struct choice_ways ways = choice_packet(&world->choice, world->now_us);

    ck_assert(ways.stream || ways.carrier);
    world->on_stream += ways.stream && !ways.carrier;
    world->on_carrier += ways.carrier && !ways.stream;
    world->on_both += ways.carrier && ways.stream;
    if (ways.stream || (!world->dead && !world->blocked)) {
        if (world->arrived_us && world->now_us - world->arrived_us > world->gap_us)
            world->gap_us = world->now_us - world->arrived_us;
        world->arrived_us = world->now_us;
    }
    if (!ways.carrier)
        return;
    lose(world);
    /* The first time there is no room to leave one out. */
    if (choice_wants_hole(&world->choice) && world->wanted++ > 0) {
        choice_left_hole(&world->choice);
        world->holes++;
        world->overtook += !world->never_over;
        world->dead = world->dead || world->stalls;
        return;
    }
    probe(world);
}

static void run(struct world *world, uint64_t for_us)
{
    uint64_t end_us = world->now_us + for_us;

    for (; world->now_us < end_us; world->now_us += MS) {
        report(world);
        if (!world->quiet && world->now_us / MS % PACKET_MS == 0)
            packet(world);
    }
}

static void pass(struct world *world, uint64_t for_us)
{
    world->quiet = true;
    run(world, for_us);
    world->quiet = false;
}

static void state_is(const struct world *world, enum choice_state state, enum choice_why why)
{
    ck_assert_msg(world->choice.state == state && world->choice.why == why, "%s: %s",
                  choice_way_name(&world->choice), choice_why_text(&world->choice));
}

START_TEST(test_proved)
{
    struct world world;

    start(&world, (uint64_t)_i * MS);
    state_is(&world, CHOICE_STREAM, CHOICE_IDLE_);
    run(&world, 2 * PACKET_MS * MS);
    state_is(&world, CHOICE_PROBING, CHOICE_PROBING_);
    run(&world, SECOND);
    state_is(&world, CHOICE_CARRIER, CHOICE_PROVED_);
    ck_assert_uint_ge(world.on_both, 8);
    ck_assert_uint_eq(world.choice.counts[CHOICE_COUNT_MOVES], 1);
    run(&world, 60 * SECOND);
    state_is(&world, CHOICE_CARRIER, CHOICE_PROVED_);
    ck_assert_uint_eq(world.choice.counts[CHOICE_COUNT_DOUBTS], 0);
    ck_assert_uint_eq(world.choice.counts[CHOICE_COUNT_FALLS], 0);
    ck_assert_uint_ge(world.choice.rtt_us, (uint64_t)_i * MS);
}
END_TEST

/* However it goes silent: all others wait 150 ms at most for the next packet, and the way to go. */
START_TEST(test_silent)
{
    struct world world;

    start(&world, 40 * MS);
    run(&world, 5 * SECOND + (uint64_t)_i * MS);
    state_is(&world, CHOICE_CARRIER, CHOICE_PROVED_);
    world.gap_us = 0;
    world.dead = _i % 2 == 0;
    world.blocked = !world.dead;
    run(&world, 500 * MS);
    state_is(&world, CHOICE_DOUBTING, CHOICE_SILENT_);
    ck_assert_uint_gt(world.gap_us, PACKET_MS * MS);
    ck_assert_uint_le(world.gap_us, 160 * MS);
    run(&world, 1000 * MS);
    state_is(&world, CHOICE_STREAM, CHOICE_FAILED_);
    /* As long as it is dead nobody waits for it again. */
    world.gap_us = 0;
    run(&world, 30 * SECOND);
    ck_assert_uint_le(world.gap_us, PACKET_MS * MS);
    world.dead = world.blocked = false;
    run(&world, 65 * SECOND);
    state_is(&world, CHOICE_CARRIER, CHOICE_PROVED_);
}
END_TEST

START_TEST(test_short_silence)
{
    struct world world;

    start(&world, 40 * MS);
    run(&world, 5 * SECOND);
    world.dead = true;
    run(&world, 300 * MS);
    state_is(&world, CHOICE_DOUBTING, CHOICE_SILENT_);
    world.dead = false;
    run(&world, 500 * MS);
    state_is(&world, CHOICE_CARRIER, CHOICE_PROVED_);
    ck_assert_uint_eq(world.choice.counts[CHOICE_COUNT_FALLS], 0);
}
END_TEST

/* The RTT becomes much longer: a doubt, and no fall. */
START_TEST(test_longer_way)
{
    struct world world;

    start(&world, 20 * MS);
    run(&world, 5 * SECOND);
    world.rtt_us = 300 * MS;
    run(&world, 10 * SECOND);
    state_is(&world, CHOICE_CARRIER, CHOICE_PROVED_);
    ck_assert_uint_eq(world.choice.counts[CHOICE_COUNT_FALLS], 0);
}
END_TEST

START_TEST(test_never_proved)
{
    struct world world;

    start(&world, 40 * MS);
    world.dead = true;
    run(&world, 3 * SECOND);
    state_is(&world, CHOICE_STREAM, CHOICE_UNPROVED_);
    ck_assert_uint_eq(world.on_carrier, 0);
    run(&world, 60 * SECOND);
    ck_assert_uint_eq(world.on_carrier, 0);
    /* It backs off. */
    ck_assert_uint_gt(world.on_stream, world.on_both);
}
END_TEST

START_TEST(test_nothing_gained)
{
    struct world world;

    start(&world, 40 * MS);
    choice_path(&world.choice, false, 0);
    run(&world, 5 * SECOND);
    state_is(&world, CHOICE_STREAM, CHOICE_NO_LOSS_);
    ck_assert_uint_eq(world.on_both + world.on_carrier, 0);
    ck_assert_uint_eq(world.choice.counts[CHOICE_COUNT_PROBES], 0);
    choice_path(&world.choice, true, 0);
    run(&world, 2 * SECOND);
    state_is(&world, CHOICE_CARRIER, CHOICE_PROVED_);
    choice_path(&world.choice, false, 0);
    run(&world, SECOND);
    state_is(&world, CHOICE_STREAM, CHOICE_NO_LOSS_);

    start(&world, 40 * MS);
    world.in_order = true;
    run(&world, 5 * SECOND);
    state_is(&world, CHOICE_STREAM, CHOICE_IN_ORDER_);
    ck_assert_uint_eq(world.on_carrier, 0);
}
END_TEST

/* Loss shows whether what is behind a hole comes before it. */
START_TEST(test_holes)
{
    struct world world;

    start(&world, 40 * MS);
    world.loss = 10;
    run(&world, 30 * SECOND);
    state_is(&world, CHOICE_CARRIER, CHOICE_PROVED_);
    world.never_over = true;
    run(&world, 10 * SECOND);
    state_is(&world, CHOICE_STREAM, CHOICE_HELD_BACK_);
}
END_TEST

/* One segment is left out, and what is behind it has to come. */
START_TEST(test_hole)
{
    struct world world;

    start(&world, 40 * MS);
    choice_open(&world.choice, true, world.now_us);
    run(&world, SECOND);
    state_is(&world, CHOICE_CARRIER, CHOICE_PROVED_);
    ck_assert_uint_eq(world.holes, 1);
    run(&world, 5 * SECOND);
    ck_assert_uint_eq(world.holes, 1);

    for (int stalls = 0; stalls < 2; stalls++) {
        start(&world, 40 * MS);
        world.never_over = true;
        world.stalls = stalls;
        choice_open(&world.choice, true, world.now_us);
        run(&world, 2500 * MS);
        state_is(&world, CHOICE_STREAM, CHOICE_UNPROVED_);
        ck_assert_uint_eq(world.on_carrier, 0);
        ck_assert_uint_eq(world.holes, 1);
        ck_assert_uint_le(world.gap_us, PACKET_MS * MS);
    }
}
END_TEST

/* Never silent for long, and yet too much is lost: of raw segments, nothing comes later. */
static const struct {
    unsigned percent;
    bool falls;
} lossy[] = {{0, false}, {2, false}, {5, false}, {15, true}, {20, true}, {50, true}, {80, true}};

START_TEST(test_lossy)
{
    struct world world;

    start(&world, 40 * MS);
    choice_open(&world.choice, true, world.now_us);
    run(&world, SECOND);
    state_is(&world, CHOICE_CARRIER, CHOICE_PROVED_);
    world.random = lossy[_i].percent;
    for (int second = 0; second < 60 && world.choice.counts[CHOICE_COUNT_FALLS] == 0; second++)
        run(&world, SECOND);
    ck_assert_msg((world.choice.counts[CHOICE_COUNT_FALLS] > 0) == lossy[_i].falls,
                  "%u %%: %llu falls, %llu packets", lossy[_i].percent,
                  (unsigned long long)world.choice.counts[CHOICE_COUNT_FALLS],
                  (unsigned long long)world.on_carrier);
    if (lossy[_i].falls)
        ck_assert_uint_lt(world.on_carrier, 20 * SECOND / (PACKET_MS * MS));
}
END_TEST

/* After a pause nobody knows whether the carrier lives: both, until a report comes. */
START_TEST(test_pause)
{
    struct world world;
    uint64_t both;

    start(&world, 40 * MS);
    run(&world, 5 * SECOND);
    both = world.on_both;
    pass(&world, 5 * SECOND);
    run(&world, SECOND);
    ck_assert_uint_gt(world.on_both, both);
    ck_assert_uint_le(world.on_both, both + 4);
    state_is(&world, CHOICE_CARRIER, CHOICE_PROVED_);
    pass(&world, 5 * SECOND);
    world.dead = true;
    world.gap_us = 0;
    world.arrived_us = 0;
    run(&world, 1500 * MS);
    ck_assert_uint_le(world.gap_us, PACKET_MS * MS);
    state_is(&world, CHOICE_STREAM, CHOICE_FAILED_);
}
END_TEST

START_TEST(test_close)
{
    struct world world;

    start(&world, 40 * MS);
    run(&world, 5 * SECOND);
    choice_close(&world.choice, world.now_us);
    state_is(&world, CHOICE_STREAM, CHOICE_NO_CONNECTION_);
    world.count = 0;
    run(&world, 5 * SECOND);
    state_is(&world, CHOICE_STREAM, CHOICE_NO_CONNECTION_);
    choice_open(&world.choice, false, world.now_us);
    run(&world, SECOND);
    state_is(&world, CHOICE_CARRIER, CHOICE_PROVED_);
}
END_TEST

static const struct {
    uint32_t next, number;
    bool ok;
} numbers[] = {
    {0, 0, false}, {5, 4, true},           {5, 0, true},
    {5, 5, false}, {5, UINT32_MAX, false}, {500, 3, true},
};

START_TEST(test_numbers)
{
    struct choice choice;
    struct choice_report report = {.number = numbers[_i].number, .early = true};

    choice_init(&choice);
    choice.next = numbers[_i].next;
    ck_assert(choice_reported(&choice, &report, SECOND) == numbers[_i].ok);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("choice");
    TCase *tc = tcase_create("choice");

    suite_add_tcase(suite, tc);
    tcase_add_loop_test(tc, test_proved, 1, 100);
    tcase_add_loop_test(tc, test_silent, 0, 40);
    tcase_add_test(tc, test_short_silence);
    tcase_add_test(tc, test_longer_way);
    tcase_add_test(tc, test_never_proved);
    tcase_add_test(tc, test_nothing_gained);
    tcase_add_test(tc, test_holes);
    tcase_add_test(tc, test_hole);
    tcase_add_loop_test(tc, test_lossy, 0, sizeof(lossy) / sizeof(lossy[0]));
    tcase_add_test(tc, test_pause);
    tcase_add_test(tc, test_close);
    tcase_add_loop_test(tc, test_numbers, 0, sizeof(numbers) / sizeof(numbers[0]));
    return unit_run(suite);
}
