/* The packet forwarder: both sites have to want it, and be allowed to. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/tunnel/passwire.h"
#include "dmz-relay/passes.h"
#include "tests/unit/unit.h"

enum { SITES = 3, A = 0, B = 1, C = 2, NOBODY = 9 };

static const char *const names[] = {"a.example", "b.example", "c.example"};

struct world {
    struct passes passes;
    bool may;
    unsigned tells[SITES];
    struct pass_frame told[SITES]; /* the last one */
};

static bool on_may(void *ctx, unsigned a, unsigned b)
{
    const struct world *world = ctx;

    return world->may && a + b == A + B;
}

static void on_tell(void *ctx, unsigned site, const uint8_t *body, size_t length)
{
    struct world *world = ctx;
    struct reader r;

    reader_init(&r, body, length);
    ck_assert_int_eq(passwire_get(FRAME_PASS_STATE, &r, &world->told[site]), 0);
    world->tells[site]++;
}

static void on_kick(void *ctx, unsigned site)
{
    (void)ctx;
    (void)site;
}

/* What the site's tunnel has room for by and by. */
static void pull(struct world *world, unsigned site)
{
    uint8_t memory[SITE_SIZE + 64], type;
    struct writer w;

    for (;;) {
        writer_init(&w, memory, sizeof(memory));
        if (!passes_pull(&world->passes, site, &type, &w))
            return;
        ck_assert_uint_eq(type, FRAME_PASS_STATE);
        on_tell(world, site, memory, writer_length(&w));
    }
}

static void begin_world(struct world *world)
{
    struct passes_hooks hooks = {on_may, on_tell, on_kick, world};

    *world = (struct world){.may = true};
    passes_init(&world->passes, names, SITES, &hooks);
}

static int put(struct world *world, unsigned site, const char *other, bool want)
{
    struct pass_frame frame = {.want = want};
    uint8_t memory[SITE_SIZE + 64];
    struct writer w;
    struct reader r;

    snprintf(frame.site, sizeof(frame.site), "%s", other);
    writer_init(&w, memory, sizeof(memory));
    passwire_put(&w, FRAME_PASS, &frame);
    reader_init(&r, memory, writer_length(&w));
    return passes_frame(&world->passes, site, &r);
}

static int ask(struct world *world, unsigned site, const char *other, bool want)
{
    int result = put(world, site, other, want);

    for (unsigned i = 0; i < SITES; i++)
        pull(world, i);
    return result;
}

static void expect_told(const struct world *world, unsigned site, unsigned about, uint8_t state)
{
    ck_assert_str_eq(world->told[site].site, names[about]);
    ck_assert_uint_eq(world->told[site].state, state);
    if (state == PASS_STATE_OPEN)
        ck_assert_uint_eq(world->told[site].number, about);
}

START_TEST(test_both_want_it)
{
    struct world world;

    begin_world(&world);
    ck_assert_int_eq(ask(&world, A, "B.EXAMPLE", true), 0);
    expect_told(&world, A, B, PASS_STATE_WAITING);
    ck_assert_uint_eq(world.tells[B], 0);
    ck_assert(!passes_open(&world.passes, A, B) && !passes_open(&world.passes, B, A));
    ck_assert_int_eq(ask(&world, B, names[A], true), 0);
    expect_told(&world, A, B, PASS_STATE_OPEN);
    expect_told(&world, B, A, PASS_STATE_OPEN);
    ck_assert(passes_open(&world.passes, A, B) && passes_open(&world.passes, B, A));
    ck_assert(!passes_open(&world.passes, A, C) && !passes_open(&world.passes, C, A));
    ck_assert_int_eq(ask(&world, A, names[B], false), 0);
    expect_told(&world, B, A, PASS_STATE_WAITING);
    ck_assert(!passes_open(&world.passes, A, B) && !passes_open(&world.passes, B, A));
    ck_assert_int_eq(ask(&world, A, names[B], false), 0);
    ck_assert_uint_eq(world.tells[B], 2);
    ck_assert_int_eq(ask(&world, A, names[B], true), 0);
    ck_assert(passes_open(&world.passes, A, B));
    passes_down(&world.passes, B);
    pull(&world, A);
    expect_told(&world, A, B, PASS_STATE_WAITING);
    ck_assert(!passes_open(&world.passes, A, B) && passes_wants(&world.passes, A, B));
    ck_assert_int_eq(ask(&world, B, names[A], true), 0);
    ck_assert(passes_open(&world.passes, B, A));
}
END_TEST

START_TEST(test_policy)
{
    static const struct {
        unsigned site;
        const char *other;
        uint8_t state;
    } rows[] = {
        {A, "c.example", PASS_STATE_REFUSED},
        {C, "b.example", PASS_STATE_REFUSED},
        {A, "d.example", PASS_STATE_UNKNOWN},
        {A, "a.example", PASS_STATE_UNKNOWN},
    };
    struct world world;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        begin_world(&world);
        ck_assert_int_eq(ask(&world, rows[i].site, rows[i].other, true), 0);
        ck_assert_uint_eq(world.told[rows[i].site].state, rows[i].state);
        ck_assert_str_eq(world.told[rows[i].site].site, rows[i].other);
        ck_assert_uint_eq(world.passes.wants[rows[i].site], 0);
    }
    begin_world(&world);
    ck_assert_int_eq(ask(&world, A, names[B], true), 0);
    ck_assert_int_eq(ask(&world, B, names[A], true), 0);
    passes_review(&world.passes);
    ck_assert(passes_open(&world.passes, A, B));
    world.may = false;
    passes_review(&world.passes);
    pull(&world, A);
    pull(&world, B);
    expect_told(&world, A, B, PASS_STATE_REFUSED);
    expect_told(&world, B, A, PASS_STATE_REFUSED);
    ck_assert_uint_eq(world.passes.wants[A] | world.passes.wants[B], 0);
}
END_TEST

/* The other site's queue holds one frame of a site that changes its mind without end. */
START_TEST(test_toggles)
{
    struct world world;

    begin_world(&world);
    ck_assert_int_eq(ask(&world, B, names[A], true), 0);
    for (unsigned i = 0; i < 10000; i++)
        ck_assert_int_eq(put(&world, A, names[B], i % 2 == (unsigned)_i), 0);
    ck_assert_uint_eq(world.tells[A] + world.tells[B], 1);
    pull(&world, A);
    pull(&world, B);
    ck_assert_uint_eq(world.tells[B], 2);
    expect_told(&world, B, A, _i ? PASS_STATE_OPEN : PASS_STATE_WAITING);
    ck_assert_uint_eq(world.tells[A], (unsigned)_i);
    pull(&world, B);
    ck_assert_uint_eq(world.tells[B], 2);
    /* Nothing of it is left for the next tunnel. */
    ck_assert_int_eq(put(&world, A, names[B], !_i), 0);
    passes_down(&world.passes, B);
    pull(&world, B);
    ck_assert_uint_eq(world.tells[B], 2);
}
END_TEST

static const struct {
    uint8_t type;
    struct pass_frame frame;
} frames[] = {
    {FRAME_PASS, {.site = "b.example", .want = true}},
    {FRAME_PASS, {.site = "b.example", .want = false}},
    {FRAME_PASS_STATE, {.site = "b.example", .state = PASS_STATE_OPEN, .number = 63}},
    {FRAME_PASS_STATE, {.site = "b.example", .state = PASS_STATE_UNKNOWN}},
};

static bool is_same(const struct pass_frame *a, const struct pass_frame *b)
{
    return strcmp(a->site, b->site) == 0 && a->want == b->want && a->state == b->state &&
           a->number == b->number;
}

/*
 * Cut anywhere it cannot be read; with any bit flipped it says something else, or nothing: but for
 * those that say that a field has to be understood.
 */
START_TEST(test_wire)
{
    uint8_t memory[SITE_SIZE + 64];
    struct pass_frame got;
    struct writer w;
    struct reader r;
    size_t length, same = 0;
    unsigned fields;

    fields = frames[_i].frame.state == PASS_STATE_OPEN ? 3 : 2;
    writer_init(&w, memory, sizeof(memory));
    passwire_put(&w, frames[_i].type, &frames[_i].frame);
    length = writer_length(&w);
    reader_init(&r, memory, length);
    ck_assert_int_eq(passwire_get(frames[_i].type, &r, &got), 0);
    ck_assert(is_same(&got, &frames[_i].frame));
    for (size_t cut = 0; cut < length; cut++) {
        reader_init(&r, memory, cut);
        ck_assert_int_eq(passwire_get(frames[_i].type, &r, &got), ERR_PROTOCOL);
    }
    for (size_t bit = 0; bit < length * 8; bit++) {
        memory[bit / 8] ^= (uint8_t)(1 << bit % 8);
        reader_init(&r, memory, length);
        if (passwire_get(frames[_i].type, &r, &got) == 0)
            same += is_same(&got, &frames[_i].frame);
        memory[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    ck_assert_uint_eq(same, fields);
    reader_init(&r, memory, length);
    ck_assert_int_eq(
        passwire_get(frames[_i].type == FRAME_PASS ? FRAME_PASS_STATE : FRAME_PASS, &r, &got),
        ERR_PROTOCOL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("passes");
    TCase *tc = tcase_create("passes");

    tcase_add_test(tc, test_both_want_it);
    tcase_add_test(tc, test_policy);
    tcase_add_loop_test(tc, test_toggles, 0, 2);
    tcase_add_loop_test(tc, test_wire, 0, sizeof(frames) / sizeof(frames[0]));
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
