/*
 * Streams under a hostile other side: each octet of the input is a step, of the other side's frames
 * (some whole, some from the input's octets), of local ends, of time or of the tunnel. Whatever
 * comes, each end is closed once, nothing is sent beyond the window that the other side gave, no
 * more is kept than a window, and the limits hold.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/protocol.h"
#include "common/tunnel/streams.h"

enum { ENDS_MAX = 512, STREAMS_MAX = 6, HALF_OPEN_MAX = 3 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct end {
    struct stream *stream;
    bool connecting, closed, finished;
    unsigned has;  /* octets for the other side */
    unsigned room; /* that it takes */
};

struct world {
    struct streams streams;
    struct stream_forward listen, to;
    struct end end[ENDS_MAX];
    size_t count;
    uint64_t now_us;
};

static void expect(bool condition)
{
    if (!condition)
        abort();
}

static struct end *new_end(struct world *world)
{
    struct end *end;

    if (world->count == ENDS_MAX)
        return NULL;
    end = &world->end[world->count++];
    *end = (struct end){.room = 300, .has = 100};
    return end;
}

static void *on_open(struct stream_forward *forward, struct stream *stream,
                     const struct addr *client, const struct addr *server)
{
    struct end *end = new_end(forward->owner);

    (void)client;
    (void)server;
    if (end) {
        end->stream = stream;
        end->connecting = true;
    }
    return end;
}

static int on_take(void *ctx, uint8_t *memory, size_t size)
{
    struct end *end = ctx;
    unsigned count = end->has < size ? end->has : (unsigned)size;

    expect(!end->closed && !end->connecting && size > 0 && size <= STREAM_DATA_OCTETS);
    memset(memory, 0, count);
    end->has -= count;
    return count > 0 ? (int)count : 0;
}

static int on_give(void *ctx, const uint8_t *data, size_t length)
{
    struct end *end = ctx;
    unsigned count = end->room < length ? end->room : (unsigned)length;

    (void)data;
    expect(!end->closed && !end->finished && length <= STREAM_WINDOW_OCTETS);
    end->room -= count;
    return (int)count;
}

static void on_finish(void *ctx)
{
    struct end *end = ctx;

    expect(!end->closed && !end->finished);
    end->finished = true;
}

static void on_close(void *ctx, bool broken)
{
    struct end *end = ctx;

    (void)broken;
    expect(!end->closed);
    end->closed = true;
}

static const struct stream_ends ends = {on_open, on_take, on_give, on_finish, on_close};

static void on_kick(void *ctx)
{
    (void)ctx;
}

static void on_refuse(void *ctx, const uint8_t *body, size_t length)
{
    struct stream_frame frame;
    struct reader r;

    (void)ctx;
    reader_init(&r, body, length);
    expect(streamwire_get(FRAME_STREAM_RESET, &r, &frame) == 0);
}

static const struct streams_hooks hooks = {on_kick, on_refuse};

static void add(struct world *world, struct stream_forward *forward, bool listens)
{
    *forward = (struct stream_forward){.name = "sip",
                                       .listens = listens,
                                       .max_streams = STREAMS_MAX,
                                       .max_half_open = HALF_OPEN_MAX,
                                       .max_per_client = STREAMS_MAX,
                                       .half_open_us = 10,
                                       .idle_us = 60,
                                       .ends = &ends,
                                       .owner = world};
    streams_add(&world->streams, forward);
}

static int receive(struct world *world, uint8_t type, const uint8_t *body, size_t length)
{
    struct reader r;

    reader_init(&r, body, length);
    return streams_frame(&world->streams, type, &r, world->now_us);
}

/* A frame that can be read, of one of a few streams. */
static int receive_made(struct world *world, uint8_t type, uint8_t what)
{
    static const uint8_t octets[STREAM_DATA_OCTETS];
    struct stream_frame frame = {.number = what % 16,
                                 .forward = "sip",
                                 .data = octets,
                                 .length = what & 16 ? STREAM_DATA_OCTETS : 50,
                                 .credit = what & 32 ? 50 : STREAM_WINDOW_OCTETS};
    uint8_t memory[FRAME_MAX_OCTETS];
    struct writer w;

    writer_init(&w, memory, sizeof(memory));
    streamwire_put(&w, type, &frame);
    return receive(world, type, memory, writer_length(&w));
}

static void pull(struct world *world)
{
    uint8_t memory[FRAME_MAX_OCTETS - FRAME_HEAD_OCTETS], type = 0;
    struct stream_frame frame;
    struct writer body;
    struct reader r;
    bool more;

    writer_init(&body, memory, sizeof(memory));
    if (!streams_pull(&world->streams, &type, &body, &more, world->now_us))
        return;
    expect(!body.failed);
    reader_init(&r, memory, writer_length(&body));
    expect(streamwire_get(type, &r, &frame) == 0);
    /* Nothing of the inside is told. */
    expect(frame.client.family == 0 && frame.server.family == 0);
}

static void connect_one(struct world *world)
{
    struct end *end = new_end(world);
    struct addr addr = {0};

    if (!end)
        return;
    end->stream = streams_open(&world->streams, &world->listen, end, &addr, &addr, world->now_us);
    end->closed = !end->stream;
}

/* Something happens to a local end that is there. */
static void touch(struct world *world, uint8_t what)
{
    struct end *end = world->count > 0 ? &world->end[what / 8 % world->count] : NULL;

    if (!end || end->closed)
        return;
    end->has += 1000;
    end->room += 5000;
    switch (what % 8) {
    case 0:
        stream_broken(end->stream, "broken");
        break;
    case 1:
    case 2:
        if (!end->connecting)
            stream_writable(end->stream, world->now_us);
        break;
    case 3:
        if (end->connecting)
            stream_connected(end->stream, world->now_us);
        end->connecting = false;
        break;
    default:
        if (!end->connecting)
            stream_readable(end->stream);
    }
}

static void restart(struct world *world)
{
    streams_down(&world->streams);
    streams_up(&world->streams, FEATURE_STREAMS);
}

static bool step(struct world *world, const uint8_t **at, const uint8_t *end)
{
    uint8_t what = *(*at)++, more = *at < end ? *(*at)++ : 0;
    uint8_t type = (uint8_t)(FRAME_STREAM_OPEN + what / 16 % 5);
    size_t left = (size_t)(end - *at), length = more < left ? more : left;
    int result = 0;

    switch (what % 16) {
    case 0:
        result = receive(world, type, *at, length);
        *at += length;
        break;
    case 1:
        connect_one(world);
        break;
    case 2:
        world->now_us += more;
        break;
    case 3:
        (void)streams_work(&world->streams, world->now_us);
        break;
    case 4:
    case 5:
    case 6:
        pull(world);
        break;
    case 7:
    case 8:
    case 9:
        touch(world, more);
        break;
    case 10:
        result = more == 0 ? ERR_PROTOCOL : 0; /* the tunnel ends */
        break;
    default:
        result = receive_made(world, type, more);
    }
    expect(result == 0 || result == ERR_PROTOCOL);
    return result == 0;
}

static void expect_bounds(const struct world *world)
{
    const struct stream_forward *both[] = {&world->listen, &world->to};

    for (int i = 0; i < 2; i++) {
        expect(both[i]->count <= STREAMS_MAX);
        expect(both[i]->half_open.count <= HALF_OPEN_MAX);
        expect(both[i]->half_open.count + both[i]->open.count <= both[i]->count);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world *world = calloc(1, sizeof(*world));
    const uint8_t *end = data + size;

    if (!world)
        return 0;
    streams_init(&world->streams, true, &hooks, world);
    add(world, &world->listen, true);
    add(world, &world->to, false);
    streams_up(&world->streams, FEATURE_STREAMS);
    while (size > 0 && data < end) {
        if (!step(world, &data, end))
            restart(world);
        expect_bounds(world);
    }
    streams_fini(&world->streams);
    for (size_t i = 0; i < world->count; i++)
        expect(world->end[i].closed);
    free(world);
    return 0;
}
