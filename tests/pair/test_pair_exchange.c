/*
 * From one inner-relay to another through both tunnels: octets keep their order beside calls, over
 * a slow link, and what ends is said.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/tunnel/sitewire.h"
#include "tests/pair/pair.h"
#include "tests/unit/sample.h"
#include "tests/unit/unit.h"

enum { OCTETS = 300000, A = 0, B = 1 };

/* One site: it has octets for the other, and takes what comes. */
struct end {
    struct pair *pair;
    unsigned other;
    uint8_t kind; /* of what it sends */
    bool up;
    uint32_t room; /* of the window */
    size_t has, sent, got;
    bool wrong;
    unsigned ups, refused, offline, closed;
};

struct stage {
    struct pair *pair;
    struct end end[2];
};

static uint8_t octet(size_t at)
{
    return (uint8_t)(at ^ at >> 8 ^ at >> 16);
}

static void on_link(void *ctx, struct inner_link *link, bool up)
{
    struct end *end = ctx;

    (void)link;
    end->up = up;
    end->ups += up;
    end->room = SITE_WINDOW_OCTETS;
}

static int on_frame(void *ctx, struct inner_link *link, uint8_t type, struct reader *body,
                    uint64_t now_us)
{
    struct end *end = ctx;
    struct site_frame frame;

    (void)link;
    (void)now_us;
    ck_assert_int_eq(sitewire_get(type, body, &frame), 0);
    ck_assert_str_eq(frame.site, end->pair->site[end->other].name);
    end->room += frame.credit;
    ck_assert_uint_le(end->room, SITE_WINDOW_OCTETS);
    end->refused += frame.state == SITE_STATE_REFUSED;
    end->offline += frame.state == SITE_STATE_OFFLINE;
    end->closed += frame.state == SITE_STATE_CLOSED;
    for (size_t i = 0; i < frame.length; i++)
        end->wrong |= frame.data[i] != octet(end->got++);
    return 0;
}

static bool on_pull(void *ctx, struct inner_link *link, uint8_t *type, struct writer *body)
{
    struct end *end = ctx;
    uint8_t data[SITE_DATA_OCTETS];
    struct site_frame frame = {.session = 9, .kind = end->kind, .data = data};

    (void)link;
    frame.length = end->has < sizeof(data) ? end->has : sizeof(data);
    if (frame.length == 0 || end->room < sitewire_cost(&frame))
        return false;
    for (size_t i = 0; i < frame.length; i++)
        data[i] = octet(end->sent++);
    end->has -= frame.length;
    end->room -= sitewire_cost(&frame);
    snprintf(frame.site, sizeof(frame.site), "%s", end->pair->site[end->other].name);
    *type = FRAME_SITE;
    sitewire_put(body, FRAME_SITE, &frame);
    return true;
}

static void attach(struct stage *stage, unsigned site)
{
    struct end *end = &stage->end[site];

    *end = (struct end){.pair = stage->pair, .other = !site};
    end->kind = site == A ? SITE_KIND_FORTH : SITE_KIND_BACK;
    stage->pair->site[site].inner->sites =
        (struct inner_sites){.link = on_link, .frame = on_frame, .pull = on_pull, .ctx = end};
}

/* a may call b; all are connected. */
static struct stage *new_stage(void)
{
    struct stage *stage = calloc(1, sizeof(*stage));

    stage->pair = pair_new_unconnected(2);
    for (unsigned i = 0; i < 2; i++) {
        attach(stage, i);
        stage->pair->site[i].reconnect = true;
    }
    exchange_set_policy(stage->pair->dmz->exchange, B, 1u << A);
    (void)pair_run_until_synced(stage->pair);
    ck_assert(stage->end[A].up && stage->end[B].up);
    return stage;
}

static void end_stage(struct stage *stage)
{
    pair_free(stage->pair);
    free(stage);
}

START_TEST(test_both_ways)
{
    struct stage *stage = new_stage();
    struct pair *pair = stage->pair;
    struct pair_sender *out, *in;
    struct admit_request request;

    pair_request(&request, SA_SIDE_EXTERNAL, 7);
    out = pair_sender_new(pair, A, &request);
    pair_request(&request, SA_SIDE_INTERNAL, 7);
    in = pair_sender_new(pair, A, &request);
    (void)pair_run_until_synced(pair);
    if (_i)
        pair->bandwidth = 200000;
    stage->end[A].has = stage->end[B].has = OCTETS;
    while (stage->end[A].got + stage->end[B].got < 2 * OCTETS) {
        pair_run(pair, 10 * PAIR_MS);
        if (!_i) /* on the slow link calls wait for what the kernel has */
            pair_expect_call(out, in);
        ck_assert_uint_le(exchange_held(pair->dmz->exchange), 2 * SITE_WINDOW_OCTETS);
        ck_assert_uint_lt(pair->now_us, UINT64_C(1000000000) + 60 * PAIR_SECOND);
    }
    pair_run(pair, PAIR_SECOND);
    for (unsigned i = 0; i < 2; i++) {
        ck_assert(!stage->end[i].wrong);
        ck_assert_uint_eq(stage->end[i].got, OCTETS);
        ck_assert_uint_eq(stage->end[i].room, SITE_WINDOW_OCTETS);
    }
    ck_assert_uint_eq(exchange_held(pair->dmz->exchange), 0);
    pair_sender_free(out);
    pair_sender_free(in);
    end_stage(stage);
}
END_TEST

/* The other one's tunnel is cut: it is told, and all goes on when it is back. */
START_TEST(test_cut)
{
    struct stage *stage = new_stage();
    struct pair *pair = stage->pair;

    stage->end[A].has = 100;
    pair_run(pair, 50 * PAIR_MS);
    ck_assert_uint_eq(stage->end[B].got, 100);
    pair_reset(pair_tunnel(pair, B));
    pair_run(pair, 50 * PAIR_MS);
    ck_assert_uint_eq(stage->end[A].offline, 1);
    ck_assert(!stage->end[B].up);
    stage->end[A].has = 100;
    pair_run(pair, 50 * PAIR_MS);
    ck_assert_uint_eq(stage->end[A].offline, 2);
    ck_assert_uint_eq(stage->end[A].room, SITE_WINDOW_OCTETS);
    (void)pair_run_until_synced(pair);
    ck_assert_uint_eq(stage->end[B].ups, 2);
    stage->end[A].has = 50;
    pair_run(pair, 50 * PAIR_MS);
    ck_assert_uint_eq(stage->end[B].got, 150);
    ck_assert_uint_eq(stage->end[A].ups, 1);
    end_stage(stage);
}
END_TEST

/* A site that may not, and one that lies about who has opened. */
START_TEST(test_refused)
{
    struct stage *stage = new_stage();

    stage->end[B].kind = SITE_KIND_OPEN;
    stage->end[B].has = 10;
    pair_run(stage->pair, 50 * PAIR_MS);
    ck_assert_uint_eq(stage->end[B].refused, 1);
    ck_assert_uint_eq(stage->end[A].got, 0);
    stage->end[A].kind = SITE_KIND_BACK;
    stage->end[A].has = 10;
    pair_run(stage->pair, 50 * PAIR_MS);
    ck_assert_uint_eq(stage->end[A].refused, 1);
    ck_assert_uint_eq(stage->end[B].got, 0);
    end_stage(stage);
}
END_TEST

/* Beyond its window: the tunnel ends, and the other's does not. */
START_TEST(test_overrun)
{
    struct stage *stage = new_stage();

    stage->pair->bandwidth_back = 1000;
    stage->end[A].room = UINT32_MAX / 2;
    stage->end[A].has = 3 * SITE_WINDOW_OCTETS;
    while (stage->end[A].up)
        pair_run(stage->pair, PAIR_MS);
    ck_assert_ptr_nonnull(stage->pair->dmz->sites[B].link);
    ck_assert_uint_eq(exchange_held(stage->pair->dmz->exchange), 0);
    end_stage(stage);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pair exchange");
    TCase *tc = tcase_create("exchange");
    int result;

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, sample_engine_start, NULL);
    tcase_add_loop_test(tc, test_both_ways, 0, 2);
    tcase_add_test(tc, test_cut);
    tcase_add_test(tc, test_refused);
    tcase_add_test(tc, test_overrun);
    suite_add_tcase(suite, tc);
    result = unit_run(suite);
    sample_engine_stop();
    return result;
}
