/* From site to site: who may, in which order, how much at most, and what is said of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/protocol.h"
#include "common/tunnel/sitewire.h"
#include "dmz-relay/exchange.h"
#include "tests/unit/unit.h"

enum { SITES = 4, A = 0, B = 1, C = 2, OLD = 3 };

static const char *const names[] = {"a.example", "b.example", "c.example", "old.example"};

struct world {
    struct exchange *exchange;
    unsigned kicks[SITES], tells[SITES];
    struct site_frame told; /* the last one */
};

static void on_kick(void *ctx, unsigned site)
{
    ((struct world *)ctx)->kicks[site]++;
}

static void on_tell(void *ctx, unsigned site, const uint8_t *body, size_t length)
{
    struct world *world = ctx;
    struct reader r;

    reader_init(&r, body, length);
    ck_assert_int_eq(sitewire_get(FRAME_SITE_STATE, &r, &world->told), 0);
    world->tells[site]++;
}

static const struct exchange_hooks hooks = {on_kick, on_tell};

/* a may call b, b may call c; all are up, but one knows no SITE frames. */
static struct world *new_world(void)
{
    struct world *world = calloc(1, sizeof(*world));

    world->exchange = exchange_new(names, SITES, &hooks, world);
    ck_assert_ptr_nonnull(world->exchange);
    exchange_set_policy(world->exchange, B, 1u << A);
    exchange_set_policy(world->exchange, C, 1u << B | 1u << C);
    exchange_set_policy(world->exchange, OLD, 1u << A);
    for (unsigned i = 0; i < SITES; i++)
        exchange_up(world->exchange, i, i == OLD ? FEATURE_STREAMS : FEATURE_SITES);
    return world;
}

static void end_world(struct world *world)
{
    exchange_free(world->exchange);
    free(world);
}

static int send_frame(struct world *world, unsigned from, uint8_t type,
                      const struct site_frame *frame)
{
    uint8_t memory[FRAME_MAX_OCTETS];
    struct writer w;
    struct reader r;

    writer_init(&w, memory, sizeof(memory));
    sitewire_put(&w, type, frame);
    reader_init(&r, memory, writer_length(&w));
    return exchange_frame(world->exchange, from, type, &r);
}

static int send_octets(struct world *world, unsigned from, const char *to, uint8_t kind,
                       uint64_t session, const void *data, size_t length)
{
    struct site_frame frame = {.session = session, .kind = kind, .data = data, .length = length};

    snprintf(frame.site, sizeof(frame.site), "%s", to);
    return send_frame(world, from, FRAME_SITE, &frame);
}

static uint8_t pulled[FRAME_MAX_OCTETS]; /* what the frame points into */

static bool pull(struct world *world, unsigned site, uint8_t *type, struct site_frame *frame)
{
    struct writer w;
    struct reader r;

    writer_init(&w, pulled, sizeof(pulled));
    if (!exchange_pull(world->exchange, site, type, &w))
        return false;
    ck_assert(!w.failed);
    reader_init(&r, pulled, writer_length(&w));
    ck_assert_int_eq(sitewire_get(*type, &r, frame), 0);
    return true;
}

static void expect_data(struct world *world, unsigned site, unsigned from, uint8_t kind,
                        uint64_t session, const char *text)
{
    struct site_frame frame;
    uint8_t type;

    ck_assert(pull(world, site, &type, &frame));
    ck_assert_uint_eq(type, FRAME_SITE);
    ck_assert_str_eq(frame.site, names[from]);
    ck_assert_uint_eq(frame.kind, kind);
    ck_assert_uint_eq(frame.session, session);
    ck_assert_uint_eq(frame.length, strlen(text));
    ck_assert_mem_eq(frame.data, text, frame.length);
}

/* What it may send to that site again; 0: nothing was said. */
static uint32_t credit(struct world *world, unsigned site, unsigned about)
{
    struct site_frame frame;
    uint8_t type;

    if (!pull(world, site, &type, &frame))
        return 0;
    ck_assert_uint_eq(type, FRAME_SITE_STATE);
    ck_assert_uint_eq(frame.state, SITE_STATE_TAKEN);
    ck_assert_str_eq(frame.site, names[about]);
    return frame.credit;
}

START_TEST(test_there_and_back)
{
    struct world *world = new_world();

    ck_assert_int_eq(send_octets(world, A, "B.Example", SITE_KIND_OPEN, 7, "one", 3), 0);
    ck_assert_int_eq(send_octets(world, A, "b.example", SITE_KIND_FORTH, 7, "two", 3), 0);
    ck_assert_uint_ge(world->kicks[B], 1);
    expect_data(world, B, A, SITE_KIND_OPEN, 7, "one");
    expect_data(world, B, A, SITE_KIND_FORTH, 7, "two");
    ck_assert_uint_ge(world->kicks[A], 1);
    ck_assert_uint_eq(credit(world, A, B), 6 + 2 * SITE_COST_OCTETS);
    ck_assert_int_eq(send_octets(world, B, "a.example", SITE_KIND_BACK, 7, "three", 5), 0);
    expect_data(world, A, B, SITE_KIND_BACK, 7, "three");
    ck_assert_uint_eq(credit(world, B, A), 5 + SITE_COST_OCTETS);
    for (unsigned i = 0; i < SITES; i++)
        ck_assert_uint_eq(credit(world, i, 0), 0);
    ck_assert_uint_eq(exchange_held(world->exchange), 0);
    ck_assert_uint_eq(exchange_counts(world->exchange)->frames, 3);
    ck_assert_uint_eq(exchange_counts(world->exchange)->octets, 11);
    end_world(world);
}
END_TEST

static const struct {
    unsigned from;
    const char *to;
    uint8_t kind;
    uint8_t state; /* 0: it goes on */
} policy[] = {
    {A, "b.example", SITE_KIND_OPEN, 0},
    {A, "b.example", SITE_KIND_FORTH, 0},
    {A, "b.example", SITE_KIND_BACK, SITE_STATE_REFUSED}, /* b does not call a */
    {B, "a.example", SITE_KIND_BACK, 0},
    {B, "a.example", SITE_KIND_OPEN, SITE_STATE_REFUSED},
    {B, "c.example", SITE_KIND_OPEN, 0},
    {A, "c.example", SITE_KIND_OPEN, SITE_STATE_REFUSED},
    {C, "c.example", SITE_KIND_OPEN, SITE_STATE_REFUSED}, /* nobody calls himself */
    {A, "d.example", SITE_KIND_OPEN, SITE_STATE_UNKNOWN},
    {A, "old.example", SITE_KIND_OPEN, SITE_STATE_OFFLINE},
};

START_TEST(test_policy)
{
    struct world *world = new_world();
    unsigned from = policy[_i].from;
    struct site_frame end = {.session = 7, .kind = policy[_i].kind, .state = SITE_STATE_CLOSED};

    ck_assert_int_eq(send_octets(world, from, policy[_i].to, policy[_i].kind, 7, "x", 1), 0);
    ck_assert_uint_eq(world->tells[from], policy[_i].state != 0);
    ck_assert_uint_eq(exchange_held(world->exchange) == 0, policy[_i].state != 0);
    if (policy[_i].state) {
        ck_assert_uint_eq(world->told.state, policy[_i].state);
        ck_assert_str_eq(world->told.site, policy[_i].to);
        ck_assert_uint_eq(world->told.session, 7);
        ck_assert_uint_eq(world->told.kind, policy[_i].kind);
    }
    /* What was refused is given back at once; of an unknown site nothing was taken. */
    if (policy[_i].state == SITE_STATE_REFUSED || policy[_i].state == SITE_STATE_OFFLINE) {
        struct site_frame frame;
        uint8_t type;

        ck_assert(pull(world, from, &type, &frame));
        ck_assert_uint_eq(frame.credit, 1 + SITE_COST_OCTETS);
    }
    /* An end is never answered. */
    snprintf(end.site, sizeof(end.site), "%s", policy[_i].to);
    ck_assert_int_eq(send_frame(world, from, FRAME_SITE_STATE, &end), 0);
    ck_assert_uint_eq(world->tells[from], policy[_i].state != 0);
    end_world(world);
}
END_TEST

START_TEST(test_policy_changes)
{
    struct world *world = new_world();

    ck_assert_int_eq(send_octets(world, A, "b.example", SITE_KIND_OPEN, 7, "x", 1), 0);
    exchange_set_policy(world->exchange, B, 0);
    ck_assert_int_eq(send_octets(world, A, "b.example", SITE_KIND_FORTH, 7, "y", 1), 0);
    ck_assert_uint_eq(world->told.state, SITE_STATE_REFUSED);
    ck_assert_int_eq(send_octets(world, B, "a.example", SITE_KIND_BACK, 7, "y", 1), 0);
    ck_assert_uint_eq(world->tells[B], 1);
    ck_assert_uint_eq(exchange_counts(world->exchange)->refused, 2);
    end_world(world);
}
END_TEST

/* Not one octet above the window is held; who sends more is no honest inner-relay. */
START_TEST(test_window)
{
    static const uint8_t data[SITE_DATA_OCTETS];
    struct world *world = new_world();
    uint32_t used = 0, got = 0;
    struct site_frame frame;
    uint8_t type;

    while (used + sizeof(data) + SITE_COST_OCTETS <= SITE_WINDOW_OCTETS) {
        ck_assert_int_eq(send_octets(world, A, "b.example", SITE_KIND_OPEN, 7, data, sizeof(data)),
                         0);
        used += (uint32_t)sizeof(data) + SITE_COST_OCTETS;
    }
    ck_assert_int_eq(send_octets(world, A, "b.example", SITE_KIND_OPEN, 7, data,
                                 SITE_WINDOW_OCTETS - used - SITE_COST_OCTETS),
                     0);
    ck_assert_int_eq(send_octets(world, A, "b.example", SITE_KIND_OPEN, 7, data, 1), ERR_PROTOCOL);
    /* Others have windows of their own. */
    ck_assert_int_eq(send_octets(world, B, "c.example", SITE_KIND_OPEN, 7, data, sizeof(data)), 0);
    while (exchange_held(world->exchange) > 0 && pull(world, B, &type, &frame))
        ck_assert_int_eq(type, FRAME_SITE);
    while (pull(world, C, &type, &frame))
        ;
    while (pull(world, A, &type, &frame))
        got += frame.credit;
    ck_assert_uint_eq(got, SITE_WINDOW_OCTETS);
    ck_assert_int_eq(send_octets(world, A, "b.example", SITE_KIND_OPEN, 7, data, sizeof(data)), 0);
    end_world(world);
}
END_TEST

/* The end of a session comes behind its octets. */
START_TEST(test_end)
{
    struct world *world = new_world();
    struct site_frame end = {
        .site = "b.example", .session = 7, .kind = SITE_KIND_FORTH, .state = SITE_STATE_CLOSED};
    struct site_frame frame;
    uint8_t type;

    ck_assert_int_eq(send_octets(world, A, "b.example", SITE_KIND_OPEN, 7, "x", 1), 0);
    ck_assert_int_eq(send_frame(world, A, FRAME_SITE_STATE, &end), 0);
    expect_data(world, B, A, SITE_KIND_OPEN, 7, "x");
    ck_assert(pull(world, B, &type, &frame));
    ck_assert_uint_eq(type, FRAME_SITE_STATE);
    ck_assert_uint_eq(frame.state, SITE_STATE_CLOSED);
    ck_assert_str_eq(frame.site, names[A]);
    ck_assert_uint_eq(frame.session, 7);
    ck_assert_uint_eq(frame.kind, SITE_KIND_FORTH);
    end.state = SITE_STATE_REFUSED;
    ck_assert_int_eq(send_frame(world, A, FRAME_SITE_STATE, &end), ERR_PROTOCOL);
    end_world(world);
}
END_TEST

/* When a site goes, what was for it is dropped and given back, and who talked with it is told. */
START_TEST(test_down)
{
    struct world *world = new_world();

    ck_assert_int_eq(send_octets(world, A, "b.example", SITE_KIND_OPEN, 7, "x", 1), 0);
    ck_assert_int_eq(send_octets(world, B, "a.example", SITE_KIND_BACK, 7, "y", 1), 0);
    exchange_down(world->exchange, B);
    ck_assert_uint_eq(exchange_held(world->exchange), 0);
    ck_assert_uint_eq(world->tells[A], 1);
    ck_assert_uint_eq(world->tells[C], 0);
    ck_assert_uint_eq(world->told.state, SITE_STATE_OFFLINE);
    ck_assert_str_eq(world->told.site, names[B]);
    ck_assert_uint_eq(world->told.kind, 0);
    ck_assert_uint_eq(credit(world, A, B), 1 + SITE_COST_OCTETS);
    ck_assert_int_eq(send_octets(world, A, "b.example", SITE_KIND_OPEN, 8, "x", 1), 0);
    ck_assert_uint_eq(world->tells[A], 2);
    ck_assert_uint_eq(world->told.session, 8);
    ck_assert_uint_eq(credit(world, A, B), 1 + SITE_COST_OCTETS);
    /* Its next connection begins with whole windows. */
    exchange_up(world->exchange, B, FEATURE_SITES);
    ck_assert_int_eq(send_octets(world, A, "b.example", SITE_KIND_OPEN, 9, "z", 1), 0);
    expect_data(world, B, A, SITE_KIND_OPEN, 9, "z");
    ck_assert_uint_eq(credit(world, B, A), 0);
    end_world(world);
}
END_TEST

/* One that sends without end takes turns with the others. */
START_TEST(test_turns)
{
    struct world *world = new_world();
    unsigned from_a = 0, from_c = 0;
    struct site_frame frame;
    uint8_t type;

    exchange_set_policy(world->exchange, B, 1u << A | 1u << C);
    for (unsigned i = 0; i < 100; i++)
        ck_assert_int_eq(send_octets(world, A, "b.example", SITE_KIND_OPEN, 7, "x", 1), 0);
    for (unsigned i = 0; i < 10; i++)
        ck_assert_int_eq(send_octets(world, C, "b.example", SITE_KIND_OPEN, 7, "x", 1), 0);
    for (unsigned i = 0; i < 20; i++) {
        ck_assert(pull(world, B, &type, &frame));
        from_a += strcmp(frame.site, names[A]) == 0;
        from_c += strcmp(frame.site, names[C]) == 0;
    }
    ck_assert_uint_eq(from_a, 10);
    ck_assert_uint_eq(from_c, 10);
    end_world(world);
}
END_TEST

START_TEST(test_old_peer)
{
    struct world *world = new_world();

    ck_assert_int_eq(send_octets(world, OLD, "b.example", SITE_KIND_OPEN, 7, "x", 1), ERR_PROTOCOL);
    end_world(world);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("exchange");
    TCase *tc = tcase_create("exchange");

    tcase_add_test(tc, test_there_and_back);
    tcase_add_loop_test(tc, test_policy, 0, sizeof(policy) / sizeof(policy[0]));
    tcase_add_test(tc, test_policy_changes);
    tcase_add_test(tc, test_window);
    tcase_add_test(tc, test_end);
    tcase_add_test(tc, test_down);
    tcase_add_test(tc, test_turns);
    tcase_add_test(tc, test_old_peer);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
