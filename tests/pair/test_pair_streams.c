/*
 * Streams of a [forward NAME] between both cores, beside calls: in both directions, over a slow
 * link, through a cut, and from a stolen dmz-relay.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "tests/pair/pair.h"
#include "tests/unit/sample.h"
#include "tests/unit/unit.h"

enum { OCTETS = 1000000, ENDS_MAX = 32 };

/* What a socket would be: it has octets, and takes what comes. */
struct end {
    struct stream *stream;
    size_t has, sent, got;
    bool wrong, connecting, closed, broken;
};

struct stage {
    struct pair *pair;
    struct stream_forward outside, inside; /* "sip": listens, connects */
    struct end end[ENDS_MAX];
    size_t count;
};

static uint8_t octet(size_t at)
{
    return (uint8_t)(at ^ at >> 8 ^ at >> 16);
}

static struct end *new_end(struct stage *stage)
{
    struct end *end = &stage->end[stage->count++];

    ck_assert_uint_le(stage->count, ENDS_MAX);
    return end;
}

static void *on_open(struct stream_forward *forward, struct stream *stream,
                     const struct addr *client, const struct addr *server)
{
    struct end *end = new_end(forward->owner);

    (void)server;
    ck_assert_uint_eq(client->family, 4);
    end->stream = stream;
    end->connecting = true;
    return end;
}

static int on_take(void *ctx, uint8_t *memory, size_t size)
{
    struct end *end = ctx;

    size = size < end->has ? size : end->has;
    for (size_t i = 0; i < size; i++)
        memory[i] = octet(end->sent++);
    end->has -= size;
    return (int)size;
}

static int on_give(void *ctx, const uint8_t *data, size_t length)
{
    struct end *end = ctx;

    for (size_t i = 0; i < length; i++)
        end->wrong |= data[i] != octet(end->got++);
    return (int)length;
}

static void on_finish(void *ctx)
{
    (void)ctx;
}

static void on_close(void *ctx, bool broken)
{
    struct end *end = ctx;

    ck_assert(!end->closed);
    end->closed = true;
    end->broken = broken;
}

static const struct stream_ends ends = {on_open, on_take, on_give, on_finish, on_close};

static void add(struct stage *stage, struct streams *streams, struct stream_forward *forward,
                bool listens)
{
    *forward = (struct stream_forward){.name = "sip",
                                       .listens = listens,
                                       .max_streams = 8,
                                       .max_half_open = 4,
                                       .max_per_client = 8,
                                       .half_open_us = 10 * PAIR_SECOND,
                                       .ends = &ends,
                                       .owner = stage};
    streams_add(streams, forward);
}

static struct streams *inner_streams(struct stage *stage)
{
    return &stage->pair->site[0].inner->links[0].streams;
}

static struct stage *new_stage(struct pair *pair)
{
    struct stage *stage = calloc(1, sizeof(*stage));

    ck_assert_ptr_nonnull(stage);
    stage->pair = pair;
    add(stage, &pair->dmz->sites[0].streams, &stage->outside, true);
    add(stage, inner_streams(stage), &stage->inside, false);
    return stage;
}

static void free_stage(struct stage *stage)
{
    pair_free(stage->pair);
    for (size_t i = 0; i < stage->count; i++)
        ck_assert(stage->end[i].closed);
    free(stage);
}

static struct end *client(struct stage *stage, size_t has)
{
    struct end *end = new_end(stage);
    struct addr from = sample_addr("198.51.100.9:4000"), to = sample_addr("9.0.0.1:5061");

    end->has = has;
    end->stream = streams_open(&stage->pair->dmz->sites[0].streams, &stage->outside, end, &from,
                               &to, stage->pair->now_us);
    end->closed = !end->stream;
    return end;
}

/* Time goes on; what is being connected is, after a while. */
static void run(struct stage *stage, uint64_t duration_us)
{
    for (uint64_t t = 0; t < duration_us; t += 10 * PAIR_MS) {
        pair_run(stage->pair, 10 * PAIR_MS);
        for (size_t i = 0; i < stage->count; i++) {
            struct end *end = &stage->end[i];

            if (end->connecting && !end->closed)
                stream_connected(end->stream, stage->pair->now_us);
            end->connecting = false;
        }
    }
}

/* bandwidth 0: no bound. */
static const uint64_t bandwidths[] = {0, 4000000};

START_TEST(test_beside_calls)
{
    struct stage *stage = new_stage(pair_new(1));
    struct pair *pair = stage->pair;
    struct admit_request request;
    struct pair_sender *out, *in;
    struct end *a, *b;

    pair_request(&request, SA_SIDE_EXTERNAL, 1);
    in = pair_sender_new(pair, 0, &request);
    pair_request(&request, SA_SIDE_INTERNAL, 1);
    out = pair_sender_new(pair, 0, &request);
    (void)pair_run_until_synced(pair);
    pair->bandwidth = bandwidths[_i];
    a = client(stage, OCTETS);
    run(stage, 30 * PAIR_MS);
    ck_assert_uint_eq(stage->count, 2);
    b = &stage->end[1];
    b->has = OCTETS;
    stream_readable(b->stream);
    for (unsigned i = 0; i < 200; i++) {
        pair_send_rtp(in);
        pair_send_rtp(out);
        run(stage, 20 * PAIR_MS);
    }
    ck_assert_uint_eq(b->got, OCTETS);
    ck_assert_uint_eq(a->got, OCTETS);
    ck_assert(!a->wrong && !b->wrong);
    ck_assert_uint_eq(pair_dmz_verdict(pair, VERDICT_TUNNEL_LATE), 0);
    ck_assert_uint_eq(pair_inner_verdict(pair, 0, VERDICT_TUNNEL_LATE), 0);
    ck_assert_uint_eq(pair_receiver(in)->count, 200);
    ck_assert_uint_eq(pair_receiver(out)->count, 200);
    pair_sender_free(in);
    pair_sender_free(out);
    free_stage(stage);
}
END_TEST

/* Both sides lose all, at once or when they notice, and the next tunnel begins anew. */
START_TEST(test_cut)
{
    struct stage *stage = new_stage(pair_new(1));
    struct pair *pair = stage->pair;
    struct end *fresh;

    for (unsigned i = 0; i < 4; i++) {
        (void)client(stage, OCTETS);
        run(stage, 30 * PAIR_MS);
    }
    ck_assert_uint_eq(stage->count, 8);
    pair->cut = _i == 0;
    if (_i > 0)
        pair_reset(pair_tunnel(pair, 0));
    run(stage, 3 * PAIR_SECOND);
    for (size_t i = 0; i < 8; i++)
        ck_assert(stage->end[i].closed && stage->end[i].broken);
    ck_assert_uint_eq(stage->outside.counts.cut, 4);
    ck_assert_uint_eq(stage->inside.counts.cut, 4);
    pair->cut = false;
    (void)pair_run_until_synced(pair);
    fresh = client(stage, 1000);
    run(stage, 100 * PAIR_MS);
    ck_assert(!fresh->closed && fresh->has == 0);
    ck_assert_uint_eq(stage->inside.count, 1);
    free_stage(stage);
}
END_TEST

static void inject_open(struct pair_tunnel *tunnel, uint32_t number, const char *name)
{
    struct stream_frame frame = {.number = number, .client = sample_addr("198.51.100.9:4000")};
    uint8_t memory[FRAME_MAX_OCTETS];
    struct writer w;

    snprintf(frame.forward, sizeof(frame.forward), "%s", name);
    writer_init(&w, memory, sizeof(memory));
    streamwire_put(&w, FRAME_STREAM_OPEN, &frame);
    pair_inject(tunnel, true, FRAME_STREAM_OPEN, memory, writer_length(&w));
}

/* It opens what it likes: only what the ini file names, and no more than that says. */
START_TEST(test_stolen_dmz)
{
    struct pair *pair = pair_new_unconnected(1);
    struct stage *stage = new_stage(pair);
    struct pair_tunnel *tunnel = pair_connect_scripted(pair, 0);

    for (uint32_t i = 0; i < 1000; i++) {
        inject_open(tunnel, 2 + 4 * i, "10.0.0.9:22");
        inject_open(tunnel, 4 + 4 * i, i % 2 ? "sip" : "Sip");
        run(stage, 10 * PAIR_MS);
        /* It answers a PING, or it would be dead soon. */
        pair_inject(tunnel, true, FRAME_PONG, "\x80\x0b\x00\x08\x00\x00\x00\x00\x00\x00\x00\x00",
                    12);
    }
    ck_assert_ptr_nonnull(tunnel->inner);
    ck_assert_uint_eq(stage->count, 8);
    ck_assert_uint_eq(stage->inside.counts.refused, 500 - 8);
    ck_assert_uint_eq(inner_streams(stage)->unknown, 1500);
    /* A number that is in use: no honest one does that. */
    inject_open(tunnel, 8, "sip");
    run(stage, 100 * PAIR_MS);
    ck_assert_ptr_null(tunnel->inner);
    ck_assert(strstr(tunnel->inner_reason, "protocol error") != NULL);
    ck_assert_uint_eq(stage->inside.count, 0);
    free_stage(stage);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pair streams");
    TCase *tc = tcase_create("streams");
    int result;

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, sample_engine_start, NULL);
    tcase_add_loop_test(tc, test_beside_calls, 0, sizeof(bandwidths) / sizeof(bandwidths[0]));
    tcase_add_loop_test(tc, test_cut, 0, 2);
    tcase_add_test(tc, test_stolen_dmz);
    suite_add_tcase(suite, tc);
    result = unit_run(suite);
    sample_engine_stop();
    return result;
}
