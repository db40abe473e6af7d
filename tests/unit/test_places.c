/* Two sites are told where the other one is when both have asked, and may; nobody else is. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/tunnel/meetwire.h"
#include "dmz-relay/places.h"
#include "tests/unit/unit.h"

enum { SITES = 3, A = 0, B = 1, C = 2 };

static const char *const names[] = {"a.example", "b.example", "c.example"};
static const char *const seen_at[] = {"192.0.2.1:1000", "198.51.100.1:2000", "203.0.113.1:3000"};

struct world {
    struct places *places;
    bool may, proxied, hidden; /* hidden: site A alone */
    unsigned tells[SITES];
    struct meet_frame told[SITES]; /* the last one */
};

static bool on_may(void *ctx, unsigned site, unsigned other)
{
    return ((struct world *)ctx)->may && (site != C || other == A) && (other != C || site == A);
}

static const char *on_name(void *ctx, unsigned site)
{
    (void)ctx;
    return names[site];
}

static bool on_where(void *ctx, unsigned site, struct addr *addr)
{
    ck_assert_int_eq(addr_parse(seen_at[site], addr), 0);
    return !((struct world *)ctx)->proxied && !(site == A && ((struct world *)ctx)->hidden);
}

static void on_tell(void *ctx, unsigned site, uint8_t type, const uint8_t *body, size_t length)
{
    struct world *world = ctx;
    struct reader r;

    ck_assert_uint_eq(type, FRAME_PUNCH);
    reader_init(&r, body, length);
    ck_assert_int_eq(meetwire_get(type, &r, &world->told[site]), 0);
    world->tells[site]++;
}

static void begin_world(struct world *world)
{
    struct places_hooks hooks = {on_may, on_name, on_where, on_tell, world};

    *world = (struct world){.may = true};
    world->places = places_new(SITES, &hooks);
    ck_assert_ptr_nonnull(world->places);
}

static void ask(struct world *world, unsigned site, const char *other, uint64_t number,
                uint64_t now_us)
{
    struct meet_frame frame = {.number = number};
    uint8_t memory[512];
    struct writer w;
    struct reader r;

    snprintf(frame.site, sizeof(frame.site), "%s", other);
    writer_init(&w, memory, sizeof(memory));
    meetwire_put(&w, FRAME_PUNCH, &frame);
    reader_init(&r, memory, writer_length(&w));
    ck_assert_int_eq(places_frame(world->places, site, &r, now_us), 0);
}

static void check_told(const struct world *world, unsigned site, unsigned other, uint64_t number)
{
    const struct meet_frame *told = &world->told[site];
    struct addr addr;

    ck_assert_uint_eq(told->number, number);
    ck_assert_str_eq(told->site, names[other]);
    ck_assert_str_eq(told->reason, "");
    ck_assert_int_eq(addr_parse(seen_at[site], &addr), 0);
    ck_assert(addr_equal(&told->own, &addr));
    ck_assert_int_eq(addr_parse(seen_at[other], &addr), 0);
    ck_assert(addr_equal(&told->mapped, &addr));
}

START_TEST(test_both)
{
    struct world world;

    begin_world(&world);
    ask(&world, A, "B.Example", 7, 1);
    ck_assert_uint_eq(world.tells[A] + world.tells[B], 0);
    ask(&world, B, "a.example", 7, PLACES_US);
    ck_assert_uint_eq(world.tells[A], 1);
    ck_assert_uint_eq(world.tells[B], 1);
    ck_assert_uint_eq(world.tells[C], 0);
    check_told(&world, A, B, 7);
    check_told(&world, B, A, 7);
    /* That was it: one more is a new one. */
    ask(&world, B, "a.example", 7, PLACES_US);
    ck_assert_uint_eq(world.tells[A], 1);
    places_free(world.places);
}
END_TEST

/* Who has not asked, or asked for something else, or long ago, or is gone, is not told of. */
START_TEST(test_alone)
{
    static const struct {
        uint64_t number, now_us;
        bool down;
    } rows[] = {{8, 2, false}, {7, PLACES_US + 1, false}, {7, 2, true}, {7, 2, false}};
    struct world world;

    begin_world(&world);
    ask(&world, A, "b.example", 7, 1);
    if (rows[_i].down)
        places_down(world.places, A);
    ask(&world, B, "a.example", rows[_i].number, rows[_i].now_us);
    ck_assert_uint_eq(world.tells[A], _i == 3);
    ck_assert_uint_eq(world.tells[B], _i == 3);
    places_free(world.places);
}
END_TEST

START_TEST(test_refused)
{
    static const struct {
        unsigned site;
        const char *other;
        bool may, proxied;
        const char *reason;
    } rows[] = {
        {B, "c.example", true, false, "neither of the two sites may call the other one"},
        {A, "a.example", true, false, "neither of the two sites may call the other one"},
        {A, "nobody.example", true, false, "neither of the two sites may call the other one"},
        {A, "b.example", false, false, "neither of the two sites may call the other one"},
        {A, "b.example", true, true, "the dmz-relay does not see where its tunnel comes from"},
    };
    struct world world;

    begin_world(&world);
    world.may = rows[_i].may;
    world.proxied = rows[_i].proxied;
    ask(&world, rows[_i].site, rows[_i].other, 9, 1);
    ck_assert_uint_eq(world.tells[rows[_i].site], 1);
    ck_assert_str_eq(world.told[rows[_i].site].reason, rows[_i].reason);
    ck_assert_uint_eq(world.told[rows[_i].site].mapped.port, 0);
    ck_assert_uint_eq(world.told[rows[_i].site].number, 9);
    places_free(world.places);
}
END_TEST

/* Of its questions about a site the newest counts, and pushes out no other. */
START_TEST(test_many)
{
    struct world world;

    begin_world(&world);
    ask(&world, B, "a.example", 100, 1);
    ask(&world, A, "c.example", 200, 1);
    for (uint64_t number = 1; number <= 1000; number++)
        ask(&world, A, "b.example", number == 100 ? 2000 : number, 1);
    ck_assert_uint_eq(world.tells[A], 0);
    ask(&world, C, "a.example", 200, 2);
    ck_assert_uint_eq(world.tells[A], 1);
    check_told(&world, C, A, 200);
    ask(&world, A, "b.example", 100, 2);
    ck_assert_uint_eq(world.tells[A], 2);
    check_told(&world, B, A, 100);
    ask(&world, B, "a.example", 999, 2);
    ck_assert_uint_eq(world.tells[A], 2);
    ask(&world, B, "a.example", 1000, 2);
    ck_assert_uint_eq(world.tells[A], 3);
    places_free(world.places);
}
END_TEST

/* Where one of the two cannot be told where the other is, both hear so. */
START_TEST(test_hidden)
{
    static const char reason[] = "the dmz-relay does not see where both tunnels come from";
    struct world world;

    begin_world(&world);
    ask(&world, A, "b.example", 7, 1);
    world.hidden = true;
    ask(&world, B, "a.example", 7, 2);
    for (unsigned site = A; site <= B; site++) {
        ck_assert_uint_eq(world.tells[site], 1);
        ck_assert_uint_eq(world.told[site].number, 7);
        ck_assert_str_eq(world.told[site].site, names[1 - site]);
        ck_assert_str_eq(world.told[site].reason, reason);
        ck_assert_uint_eq(world.told[site].mapped.port, 0);
    }
    places_free(world.places);
}
END_TEST

START_TEST(test_bad)
{
    struct world world;
    struct reader r;

    begin_world(&world);
    reader_init(&r, (const uint8_t *)"\x80\x01\x00\x08", 4);
    ck_assert_int_eq(places_frame(world.places, A, &r, 1), ERR_PROTOCOL);
    places_free(world.places);
    places_free(NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("places");
    TCase *tcase = tcase_create("places");

    tcase_add_test(tcase, test_both);
    tcase_add_loop_test(tcase, test_alone, 0, 4);
    tcase_add_loop_test(tcase, test_refused, 0, 5);
    tcase_add_test(tcase, test_many);
    tcase_add_test(tcase, test_hidden);
    tcase_add_test(tcase, test_bad);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
