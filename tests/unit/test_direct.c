/* The direct path of two sites: when it is alive, and which way packets go, on a fake clock. */
#include <string.h>

#include "common/base/err.h"
#include "common/base/protocol.h"
#include "inner-relay/direct.h"
#include "tests/unit/unit.h"

enum { MS = 1000, STEP_US = 1 * MS, LINE = 256 };

/* One way, with a delay; what is lost is not there. */
struct line {
    bool cut, stalls; /* what stalls comes later, all at once */
    uint64_t delay_us;
    size_t head, tail;
    struct {
        uint64_t at_us;
        uint8_t data[DIRECT_PING_OCTETS];
    } ping[LINE];
};

struct world {
    uint64_t now_us;
    struct direct end[2];
    struct line line[2]; /* from end 0, from end 1 */
};

static void send_ping(struct world *world, int end)
{
    struct line *line = &world->line[end];
    uint8_t data[DIRECT_PING_OCTETS];

    direct_put(&world->end[end], 7, data, world->now_us);
    if (line->cut)
        return;
    memcpy(line->ping[line->tail % LINE].data, data, sizeof(data));
    line->ping[line->tail++ % LINE].at_us = world->now_us + line->delay_us;
}

static void arrive(struct world *world, int end)
{
    struct line *line = &world->line[1 - end];

    while (!line->stalls && line->head < line->tail &&
           line->ping[line->head % LINE].at_us <= world->now_us) {
        uint32_t received;

        ck_assert_int_eq(direct_get(&world->end[end], line->ping[line->head++ % LINE].data,
                                    DIRECT_PING_OCTETS, &received, world->now_us),
                         0);
        ck_assert_uint_eq(received, 7);
    }
}

static void run(struct world *world, uint64_t us)
{
    for (uint64_t end_us = world->now_us + us; world->now_us < end_us;) {
        world->now_us += STEP_US;
        for (int end = 0; end < 2; end++) {
            arrive(world, end);
            if (direct_is_due(&world->end[end], world->now_us))
                send_ping(world, end);
        }
    }
}

static void begin(struct world *world, uint64_t delay_us)
{
    memset(world, 0, sizeof(*world));
    world->now_us = 1000000;
    for (int end = 0; end < 2; end++) {
        world->line[end].delay_us = delay_us;
        direct_open(&world->end[end], world->now_us);
    }
}

static const uint64_t delays_us[] = {0, 1 * MS, 20 * MS, 100 * MS};
enum { DELAYS = sizeof(delays_us) / sizeof(delays_us[0]) };

/* Media goes both ways at once, and there alone when it was proven. */
START_TEST(test_proof)
{
    struct world world;

    begin(&world, delays_us[_i]);
    ck_assert_int_eq(direct_way(&world.end[0], world.now_us), DIRECT_BOTH);
    run(&world, 2 * delays_us[_i] + 50 * MS);
    ck_assert_int_eq(direct_way(&world.end[0], world.now_us), DIRECT_BOTH);
    ck_assert(!direct_is_proven(&world.end[0], world.now_us));
    run(&world, DIRECT_PROOF_US);
    ck_assert(direct_is_proven(&world.end[0], world.now_us));
    for (int i = 0; i < 640; i++)
        ck_assert_int_eq(direct_way(&world.end[0], world.now_us), DIRECT_ALONE);
    ck_assert_uint_eq(world.end[0].moves, 1);
    run(&world, DIRECT_STEADY_US - DIRECT_PROOF_US - 2 * delays_us[_i] - 50 * MS);
    ck_assert(!direct_is_steady(&world.end[0], world.now_us));
    run(&world, 2 * delays_us[_i] + 50 * MS);
    ck_assert(direct_is_steady(&world.end[0], world.now_us));
    run(&world, 60 * 1000 * MS);
    ck_assert(direct_is_proven(&world.end[0], world.now_us));
    ck_assert(direct_is_steady(&world.end[0], world.now_us));
    ck_assert_uint_eq(world.end[0].returns, 0);
}
END_TEST

/* Whichever way is cut, both ends know soon: within the round trip and 80 ms. */
START_TEST(test_death)
{
    uint64_t delay_us = delays_us[_i / 2];
    struct world world;

    begin(&world, delay_us);
    run(&world, 3000 * MS);
    for (int end = 0; end < 2; end++)
        ck_assert_int_eq(direct_way(&world.end[end], world.now_us), DIRECT_ALONE);
    world.line[_i % 2].cut = true;
    run(&world, 2 * delay_us + 90 * MS);
    for (int end = 0; end < 2; end++) {
        ck_assert_int_eq(direct_way(&world.end[end], world.now_us), DIRECT_BOTH);
        ck_assert(!direct_is_steady(&world.end[end], world.now_us));
        ck_assert_uint_eq(world.end[end].returns, 1);
    }
    run(&world, 1100 * MS);
    for (int end = 0; end < 2; end++)
        ck_assert_int_eq(direct_way(&world.end[end], world.now_us), DIRECT_TUNNEL);
    run(&world, 6000 * MS);
    ck_assert(!direct_is_lost(&world.end[0], world.now_us));
    world.line[_i % 2].cut = false;
    run(&world, 2 * delay_us + 50 * MS);
    ck_assert_int_eq(direct_way(&world.end[0], world.now_us), DIRECT_BOTH);
    run(&world, 1000 * MS);
    ck_assert_int_eq(direct_way(&world.end[0], world.now_us), DIRECT_ALONE);
    ck_assert_uint_eq(world.end[0].moves, 2);
    /* One that stays so is lost, and not before. */
    world.line[_i % 2].cut = true;
    for (int i = 0; i < 790; i++) {
        run(&world, 10 * MS);
        for (int end = 0; end < 2; end++)
            ck_assert(!direct_is_lost(&world.end[end], world.now_us));
    }
    run(&world, 2 * delay_us + 250 * MS);
    for (int end = 0; end < 2; end++)
        ck_assert(direct_is_lost(&world.end[end], world.now_us));
}
END_TEST

/*
 * TCP stalls for what it has lost, again and again, and then all comes at once: that is no longer
 * round trip, and the next death is noticed as soon as ever.
 */
START_TEST(test_stall)
{
    uint64_t delay_us = delays_us[_i / 2];
    struct world world;

    begin(&world, delay_us);
    run(&world, 3000 * MS);
    for (int i = 0; i < 5; i++) {
        world.line[_i % 2].stalls = true;
        run(&world, 1500 * MS);
        world.line[_i % 2].stalls = false;
        run(&world, 20 * MS);
    }
    for (int end = 0; end < 2; end++)
        ck_assert_uint_le(world.end[end].rtt_us, 2 * delay_us + 20 * MS);
    run(&world, 2 * delay_us + DIRECT_PROOF_US);
    for (int end = 0; end < 2; end++)
        ck_assert_int_eq(direct_way(&world.end[end], world.now_us), DIRECT_ALONE);
    world.line[_i % 2].cut = true;
    run(&world, 2 * delay_us + 90 * MS);
    for (int end = 0; end < 2; end++)
        ck_assert_int_eq(direct_way(&world.end[end], world.now_us), DIRECT_BOTH);
}
END_TEST

/* A round trip that has become longer is followed, and media goes there alone again. */
START_TEST(test_longer)
{
    struct world world;

    begin(&world, 20 * MS);
    run(&world, 3000 * MS);
    for (int end = 0; end < 2; end++)
        world.line[end].delay_us = 150 * MS;
    run(&world, 4000 * MS);
    for (int end = 0; end < 2; end++)
        ck_assert_int_eq(direct_way(&world.end[end], world.now_us), DIRECT_ALONE);
}
END_TEST

/* A path that works one way only is never good for media alone. */
START_TEST(test_one_way)
{
    struct world world;

    begin(&world, 1 * MS);
    world.line[0].cut = true;
    run(&world, 5000 * MS);
    for (int end = 0; end < 2; end++)
        ck_assert_int_eq(direct_way(&world.end[end], world.now_us), DIRECT_TUNNEL);
    run(&world, 4000 * MS);
    for (int end = 0; end < 2; end++)
        ck_assert(direct_is_lost(&world.end[end], world.now_us));
}
END_TEST

START_TEST(test_closed)
{
    struct direct direct = {.open = false};

    ck_assert_int_eq(direct_way(&direct, 1), DIRECT_TUNNEL);
    ck_assert(!direct_is_due(&direct, UINT64_MAX));
    direct_open(&direct, 1000);
    direct_close(&direct);
    ck_assert_int_eq(direct_way(&direct, 1000), DIRECT_TUNNEL);
    ck_assert(!direct_is_lost(&direct, UINT64_MAX));
}
END_TEST

/* A clock of ours that we have not had yet, or none of theirs, is a lie; so is any other length. */
START_TEST(test_bad)
{
    struct direct a, b;
    uint8_t data[DIRECT_PING_OCTETS + 1] = {0};
    uint32_t received;

    direct_open(&a, 1000);
    direct_open(&b, 1000);
    direct_put(&a, 0, data, 5000);
    for (size_t cut = 0; cut < DIRECT_PING_OCTETS; cut++)
        ck_assert_int_eq(direct_get(&b, data, cut, &received, 6000), ERR_PROTOCOL);
    ck_assert_int_eq(direct_get(&b, data, sizeof(data), &received, 6000), ERR_PROTOCOL);
    ck_assert_int_eq(direct_get(&b, data, DIRECT_PING_OCTETS, &received, 6000), 0);
    direct_put(&b, 0, data, 7000);
    ck_assert_int_eq(direct_get(&a, data, DIRECT_PING_OCTETS, &received, 4999), ERR_PROTOCOL);
    memset(data, 0, 8);
    ck_assert_int_eq(direct_get(&a, data, DIRECT_PING_OCTETS, &received, 8000), ERR_PROTOCOL);
    for (size_t bit = 0; bit < 8 * DIRECT_PING_OCTETS; bit++) {
        direct_put(&b, 0, data, 9000);
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        (void)direct_get(&a, data, DIRECT_PING_OCTETS, &received, 10000);
        ck_assert_uint_le(a.echoed_us, 10000);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("direct");
    TCase *tcase = tcase_create("direct");

    tcase_add_loop_test(tcase, test_proof, 0, DELAYS);
    tcase_add_loop_test(tcase, test_death, 0, 2 * DELAYS);
    tcase_add_loop_test(tcase, test_stall, 0, 2 * DELAYS);
    tcase_add_test(tcase, test_longer);
    tcase_add_test(tcase, test_one_way);
    tcase_add_test(tcase, test_closed);
    tcase_add_test(tcase, test_bad);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
