#include "common/tunnel/streams.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/tlv.h"
#include "common/tunnel/proxyline.h"
#include "tests/unit/unit.h"

#define START_US UINT64_C(5000000)
#define SECOND   UINT64_C(1000000)

#define ROWS(rows) (int)(sizeof(rows) / sizeof((rows)[0]))

enum { ENDS_MAX = 64, QUEUED_MAX = 256, MESSAGE_OCTETS = 300000 };

/* What a socket would be. */
struct end {
    struct stream *stream;
    uint8_t *out; /* what it has for the other side */
    size_t out_length, out_taken;
    bool out_ends, out_broken;
    uint8_t *in; /* what came */
    size_t in_length;
    size_t in_room; /* that it takes before it is full */
    bool in_broken, finished, closed, broken;
    struct addr client, server;
};

/* One side: streams, the ends of its forwards, and frames on their way to the other one. */
struct side {
    struct streams streams;
    struct stream_forward listen, to;
    struct end end[ENDS_MAX];
    size_t end_count;
    bool refuses; /* open() fails */
    bool keeps;   /* open() does not connect at once */
    unsigned kicks, refusals;
    struct {
        uint8_t type;
        size_t length;
        uint8_t body[FRAME_MAX_OCTETS];
    } frame[QUEUED_MAX];
    size_t frame_count;
};

struct world {
    struct side inner, dmz;
    uint64_t now_us;
};

/* ------------------------------------------------------------ ends */

static struct end *new_end(struct side *side)
{
    struct end *end = &side->end[side->end_count++];

    ck_assert_uint_le(side->end_count, ENDS_MAX);
    end->in = malloc(MESSAGE_OCTETS);
    ck_assert_ptr_nonnull(end->in);
    end->in_room = MESSAGE_OCTETS;
    return end;
}

static void *on_open(struct stream_forward *forward, struct stream *stream,
                     const struct addr *client, const struct addr *server)
{
    struct side *side = forward->owner;
    struct end *end;

    if (side->refuses)
        return NULL;
    end = new_end(side);
    end->stream = stream;
    end->client = *client;
    end->server = *server;
    return end;
}

static int on_take(void *ctx, uint8_t *memory, size_t size)
{
    struct end *end = ctx;
    size_t left = end->out_length - end->out_taken;

    ck_assert(!end->closed && size > 0);
    if (end->out_broken)
        return ERR_SYSTEM;
    if (left == 0)
        return end->out_ends ? ERR_CLOSED : 0;
    size = size < left ? size : left;
    memcpy(memory, end->out + end->out_taken, size);
    end->out_taken += size;
    return (int)size;
}

static int on_give(void *ctx, const uint8_t *data, size_t length)
{
    struct end *end = ctx;
    size_t room = end->in_room - end->in_length;

    ck_assert(!end->closed && !end->finished);
    if (end->in_broken)
        return ERR_SYSTEM;
    length = length < room ? length : room;
    memcpy(end->in + end->in_length, data, length);
    end->in_length += length;
    return (int)length;
}

static void on_finish(void *ctx)
{
    struct end *end = ctx;

    ck_assert(!end->closed && !end->finished);
    end->finished = true;
}

static void on_close(void *ctx, bool broken)
{
    struct end *end = ctx;

    ck_assert(!end->closed);
    end->closed = true;
    end->broken = broken;
}

static const struct stream_ends ends = {on_open, on_take, on_give, on_finish, on_close};

static void on_kick(void *ctx)
{
    ((struct side *)ctx)->kicks++;
}

static void push(struct side *side, uint8_t type, const uint8_t *body, size_t length)
{
    ck_assert_uint_lt(side->frame_count, QUEUED_MAX);
    side->frame[side->frame_count].type = type;
    side->frame[side->frame_count].length = length;
    memcpy(side->frame[side->frame_count++].body, body, length);
}

static void on_refuse(void *ctx, const uint8_t *body, size_t length)
{
    struct side *side = ctx;

    side->refusals++;
    push(side, FRAME_STREAM_RESET, body, length);
}

static const struct streams_hooks hooks = {on_kick, on_refuse};

/* ------------------------------------------------------------ the world */

static void add_forward(struct side *side, struct stream_forward *forward, const char *name,
                        bool listens)
{
    *forward = (struct stream_forward){.listens = listens,
                                       .max_streams = 8,
                                       .max_half_open = 4,
                                       .max_per_client = 8,
                                       .half_open_us = 10 * SECOND,
                                       .idle_us = 60 * SECOND,
                                       .ends = &ends,
                                       .owner = side};
    snprintf(forward->name, sizeof(forward->name), "%s", name);
    streams_add(&side->streams, forward);
}

/* "sip" from outside in, "out" the other way; both are up. */
static struct world *new_world(void)
{
    struct world *world = calloc(1, sizeof(*world));

    ck_assert_ptr_nonnull(world);
    world->now_us = START_US;
    streams_init(&world->inner.streams, true, &hooks, &world->inner);
    streams_init(&world->dmz.streams, false, &hooks, &world->dmz);
    add_forward(&world->dmz, &world->dmz.listen, "sip", true);
    add_forward(&world->dmz, &world->dmz.to, "out", false);
    add_forward(&world->inner, &world->inner.listen, "out", true);
    add_forward(&world->inner, &world->inner.to, "sip", false);
    streams_up(&world->inner.streams, FEATURE_STREAMS);
    streams_up(&world->dmz.streams, FEATURE_STREAMS);
    return world;
}

static void free_side(struct side *side)
{
    streams_fini(&side->streams);
    ck_assert_uint_eq(side->listen.count + side->to.count, 0);
    for (size_t i = 0; i < side->end_count; i++) {
        free(side->end[i].in);
        free(side->end[i].out);
    }
}

static void free_world(struct world *world)
{
    free_side(&world->inner);
    free_side(&world->dmz);
    free(world);
}

/* At most so many frames. */
static bool pull(struct world *world, struct side *side, size_t most)
{
    bool any = false, more = true;

    while (side->frame_count < most && more) {
        uint8_t memory[FRAME_MAX_OCTETS - FRAME_HEAD_OCTETS], type = 0;
        struct writer body;

        writer_init(&body, memory, sizeof(memory));
        if (!streams_pull(&side->streams, &type, &body, &more, world->now_us))
            continue;
        ck_assert(!body.failed);
        push(side, type, memory, writer_length(&body));
        any = true;
    }
    return any;
}

static int deliver(struct world *world, struct side *from, struct side *to)
{
    int result = 0;

    for (size_t i = 0; i < from->frame_count && result == 0; i++) {
        struct reader body;

        reader_init(&body, from->frame[i].body, from->frame[i].length);
        result = streams_frame(&to->streams, from->frame[i].type, &body, world->now_us);
    }
    from->frame_count = 0;
    return result;
}

static void connect_ends(struct world *world, struct side *side)
{
    for (size_t i = 0; i < side->end_count && !side->keeps; i++) {
        struct end *end = &side->end[i];

        if (end->stream && !end->closed && !end->out) {
            end->out = malloc(1);
            stream_connected(end->stream, world->now_us);
        }
    }
}

/* Frames go to and fro until nobody has any. */
static void run(struct world *world)
{
    bool any = true;

    while (any) {
        any = pull(world, &world->dmz, 8) | (world->dmz.frame_count > 0);
        ck_assert_int_eq(deliver(world, &world->dmz, &world->inner), 0);
        connect_ends(world, &world->inner);
        any |= pull(world, &world->inner, 8) | (world->inner.frame_count > 0);
        ck_assert_int_eq(deliver(world, &world->inner, &world->dmz), 0);
        connect_ends(world, &world->dmz);
    }
}

static struct addr address(uint8_t last, uint16_t port)
{
    const uint8_t ip[4] = {198, 51, 100, last};

    return addr_from_ip4(ip, port);
}

/* A client connects. NULL: it was turned away. */
static struct end *client_from(struct world *world, struct side *side, struct addr from)
{
    struct end *end = new_end(side);
    struct addr to = address(1, 5061);

    end->stream = streams_open(&side->streams, &side->listen, end, &from, &to, world->now_us);
    end->out = malloc(1);
    return end->stream ? end : NULL;
}

static struct end *client(struct world *world, struct side *side)
{
    return client_from(world, side, address(10, 40000));
}

/* The octets of a number: any shift of them is seen. */
static void say(struct end *end, size_t length)
{
    end->out = realloc(end->out, end->out_length + length);
    ck_assert_ptr_nonnull(end->out);
    for (size_t i = 0; i < length; i++) {
        size_t at = end->out_length + i;

        end->out[at] = (uint8_t)(at ^ at >> 8 ^ at >> 16);
    }
    end->out_length += length;
    stream_readable(end->stream);
}

static bool heard(const struct end *end, const struct end *from)
{
    return end->in_length == from->out_length && memcmp(end->in, from->out, from->out_length) == 0;
}

/* All servers say something to those that have said something to them. */
static void answer_all(struct world *world)
{
    run(world);
    for (struct end *end = world->inner.end; end < world->inner.end + world->inner.end_count;
         end++) {
        if (!end->closed && end->in_length > 0 && end->out_length == 0)
            say(end, 10);
    }
    run(world);
}

static size_t streams_count(const struct world *world)
{
    return world->inner.streams.all.count + world->dmz.streams.all.count;
}

/* ------------------------------------------------------------ streams that go well */

START_TEST(test_to_and_fro)
{
    struct world *world = new_world();
    struct side *from = _i ? &world->inner : &world->dmz, *to = _i ? &world->dmz : &world->inner;
    struct end *a = client(world, from), *b;

    run(world);
    ck_assert_uint_eq(to->end_count, 1);
    b = &to->end[0];
    say(a, MESSAGE_OCTETS);
    say(b, MESSAGE_OCTETS / 2);
    run(world);
    ck_assert(heard(b, a) && heard(a, b));
    /* Nothing of the inside is told outside. */
    ck_assert_uint_eq(b->client.family, _i ? 0 : 4);
    ck_assert_uint_eq(b->server.port, _i ? 0 : 5061);
    ck_assert_uint_eq(b->client.port, _i ? 0 : 40000);
    /* One direction ends, the other goes on. */
    a->out_ends = true;
    stream_readable(a->stream);
    run(world);
    ck_assert(b->finished && !b->closed && !a->closed);
    say(b, 1000);
    run(world);
    ck_assert(heard(a, b));
    b->out_ends = true;
    stream_readable(b->stream);
    run(world);
    ck_assert(a->finished && a->closed && !a->broken);
    ck_assert(b->closed && !b->broken);
    ck_assert_uint_eq(streams_count(world), 0);
    ck_assert_uint_eq(from->listen.counts.octets_out, MESSAGE_OCTETS);
    ck_assert_uint_eq(to->to.counts.octets_in, MESSAGE_OCTETS);
    ck_assert_uint_eq(from->listen.counts.opened + to->to.counts.opened, 2);
    free_world(world);
}
END_TEST

/* Who does not read stops its sender at a window, and nobody else. */
START_TEST(test_slow_reader)
{
    struct world *world = new_world();
    struct end *slow = client(world, &world->dmz), *quick, *slow_in, *quick_in;

    run(world);
    quick = client(world, &world->dmz);
    run(world);
    slow_in = &world->inner.end[0];
    quick_in = &world->inner.end[1];
    slow_in->in_room = 1000;
    say(slow, MESSAGE_OCTETS);
    say(quick, MESSAGE_OCTETS);
    run(world);
    ck_assert(heard(quick_in, quick));
    ck_assert_uint_eq(slow_in->in_length, 1000);
    ck_assert_uint_le(slow->out_taken, 1000 + STREAM_WINDOW_OCTETS);
    ck_assert_uint_gt(slow->out_taken, STREAM_WINDOW_OCTETS - 1000);
    for (size_t room = 7777; room < MESSAGE_OCTETS + 7777; room += 7777) {
        slow_in->in_room = room < MESSAGE_OCTETS ? room : MESSAGE_OCTETS;
        stream_writable(slow_in->stream, world->now_us);
        run(world);
        ck_assert_uint_le(slow->out_taken, slow_in->in_length + STREAM_WINDOW_OCTETS);
    }
    ck_assert(heard(slow_in, slow));
    free_world(world);
}
END_TEST

/* The end that comes while octets are kept yet is told after the last of them. */
START_TEST(test_end_behind_octets)
{
    struct world *world = new_world();
    struct end *a = client(world, &world->dmz), *b;

    run(world);
    b = &world->inner.end[0];
    b->in_room = 10;
    a->out_ends = true;
    say(a, 5000);
    run(world);
    ck_assert(!b->finished);
    b->in_room = MESSAGE_OCTETS;
    stream_writable(b->stream, world->now_us);
    ck_assert(b->finished && heard(b, a));
    free_world(world);
}
END_TEST

/* ------------------------------------------------------------ bounds */

/* Those that nobody answers give way, the oldest first; those that the server answered do not. */
START_TEST(test_limits)
{
    struct world *world = new_world();
    struct side *dmz = &world->dmz, *inner = &world->inner;
    struct end *mute[5];

    dmz->listen.max_per_client = 100;
    for (unsigned i = 0; i < 5; i++) {
        mute[i] = client(world, dmz);
        ck_assert_ptr_nonnull(mute[i]);
        run(world);
    }
    ck_assert(mute[0]->closed && mute[0]->broken && !mute[1]->closed);
    ck_assert(inner->end[0].closed && inner->end[0].broken);
    ck_assert_uint_eq(dmz->listen.counts.displaced, 1);
    ck_assert_uint_eq(dmz->listen.count, 4);
    ck_assert_uint_eq(inner->to.count, 4);
    for (unsigned i = 1; i < 5; i++)
        say(mute[i], 10);
    answer_all(world);
    /* Half-open ones are as many as may be, and at last there are max-streams. */
    for (unsigned i = 0; i < 6; i++) {
        mute[0] = client(world, dmz);
        ck_assert_ptr_nonnull(mute[0]);
        run(world);
    }
    ck_assert_uint_eq(dmz->listen.counts.displaced, 3);
    ck_assert_uint_eq(dmz->listen.half_open.count, 4);
    ck_assert_uint_eq(inner->to.count, 8);
    for (struct end *end = dmz->end; end < dmz->end + dmz->end_count; end++) {
        if (!end->closed && end->out_length == 0)
            say(end, 10);
    }
    answer_all(world);
    ck_assert_ptr_null(client(world, dmz));
    ck_assert_uint_eq(dmz->listen.counts.refused, 1);
    ck_assert_uint_eq(inner->to.counts.refused, 0);
    free_world(world);
}
END_TEST

/*
 * Who takes all places with an octet each, or with one a second, keeps nobody out: not those whom
 * the server answers, and none of its own is the newest by that.
 */
START_TEST(test_limit_of_unanswered)
{
    struct world *world = new_world();
    struct side *dmz = &world->dmz;
    struct end *held[4], *call;

    dmz->listen.max_streams = 4;
    for (unsigned i = 0; i < 4; i++) {
        held[i] = client(world, dmz);
        ck_assert_ptr_nonnull(held[i]);
        run(world);
    }
    for (unsigned i = 4; i-- > 0;) {
        world->now_us += SECOND;
        say(held[i], 1);
        run(world);
    }
    ck_assert_uint_eq(dmz->listen.half_open.count, 4);
    call = client(world, dmz);
    ck_assert_ptr_nonnull(call);
    run(world);
    ck_assert(held[0]->closed && !held[1]->closed);
    say(call, 10);
    run(world);
    say(&world->inner.end[4], 10);
    run(world);
    ck_assert(heard(call, &world->inner.end[4]));
    for (unsigned i = 0; i < 4; i++) {
        ck_assert_ptr_nonnull(client(world, dmz));
        run(world);
    }
    ck_assert(held[1]->closed && held[2]->closed && held[3]->closed && !call->closed);
    ck_assert_uint_eq(dmz->listen.open.count, 1);
    ck_assert_uint_eq(dmz->listen.counts.refused, 0);
    ck_assert_uint_eq(world->inner.to.counts.refused, 0);
    free_world(world);
}
END_TEST

/* max-streams is below max-half-open, too. */
START_TEST(test_limit_of_all)
{
    struct world *world = new_world();
    struct side *dmz = &world->dmz;
    struct end *first, *second;

    dmz->listen.max_streams = 2;
    first = client(world, dmz);
    second = client(world, dmz);
    run(world);
    say(first, 10);
    answer_all(world);
    ck_assert_ptr_nonnull(client(world, dmz));
    ck_assert(second->closed && !first->closed);
    ck_assert_uint_eq(dmz->listen.counts.displaced, 1);
    free_world(world);
}
END_TEST

/* While the tunnel takes little, those that gave way are not without number. */
START_TEST(test_limit_of_leaving)
{
    struct world *world = new_world();
    struct side *dmz = &world->dmz;

    for (unsigned i = 0; i < 4; i++)
        ck_assert_ptr_nonnull(client(world, dmz));
    run(world);
    for (unsigned i = 0; i < 40; i++) {
        ck_assert_ptr_nonnull(client(world, dmz));
        ck_assert_uint_le(dmz->listen.count, 8);
        if (i > 20)
            pull(world, dmz, i - 20);
    }
    run(world);
    ck_assert_uint_eq(dmz->listen.count, 4);
    ck_assert_uint_eq(world->inner.to.count, 4);
    ck_assert_uint_eq(world->inner.to.counts.refused, 0);
    free_world(world);
}
END_TEST

static const struct {
    const char *first, *other;
    bool same;
} clients[] = {
    {"192.0.2.1:1000", "192.0.2.1:2000", true},
    {"192.0.2.1:1000", "192.0.2.2:1000", false},
    {"[2001:db8::1]:1000", "[2001:db8::ffff:1]:1", true},
    {"[2001:db8::1]:1000", "[2001:db8:0:1::1]:1000", false},
    {"32.1.13.184:1000", "[2001:db8::]:1000", false}, /* the same octets */
};

/* Nobody takes all connections, by whatever addresses of one IPv6 network. */
START_TEST(test_limit_per_client)
{
    struct world *world = new_world();
    struct side *dmz = &world->dmz;
    struct addr first, other;
    struct end *end;

    ck_assert_int_eq(addr_parse(clients[_i].first, &first), 0);
    ck_assert_int_eq(addr_parse(clients[_i].other, &other), 0);
    dmz->listen.max_per_client = 3;
    /* One that is open, and two half-open ones. */
    end = client_from(world, dmz, first);
    ck_assert_ptr_nonnull(end);
    run(world);
    say(end, 10);
    answer_all(world);
    ck_assert_uint_eq(dmz->listen.open.count, 1);
    ck_assert_ptr_nonnull(client_from(world, dmz, first));
    ck_assert_ptr_nonnull(client_from(world, dmz, first));
    ck_assert_ptr_null(client_from(world, dmz, first));
    ck_assert_int_eq(client_from(world, dmz, other) == NULL, clients[_i].same);
    ck_assert_uint_eq(dmz->listen.counts.refused, clients[_i].same ? 2 : 1);
    /* Where one has ended there is room. */
    stream_broken(end->stream, "gone");
    ck_assert_ptr_nonnull(client_from(world, dmz, first));
    free_world(world);
}
END_TEST

static void work(struct world *world)
{
    while (streams_work(&world->dmz.streams, world->now_us))
        ;
    while (streams_work(&world->inner.streams, world->now_us))
        ;
}

START_TEST(test_half_open_timeout)
{
    struct world *world = new_world();
    struct end *mute = client(world, &world->dmz), *late;

    run(world);
    world->now_us += 5 * SECOND;
    late = client(world, &world->dmz);
    run(world);
    world->now_us += 5 * SECOND - 1;
    work(world);
    ck_assert(!mute->closed);
    world->now_us++;
    work(world);
    run(world);
    ck_assert(mute->closed && mute->broken && !late->closed);
    ck_assert(world->inner.end[0].closed && world->inner.end[0].broken);
    ck_assert_uint_eq(world->dmz.listen.counts.timeouts, 1);
    ck_assert_uint_eq(world->inner.to.counts.reset, 1);
    ck_assert_uint_eq(streams_count(world), 2);
    free_world(world);
}
END_TEST

/*
 * Who sends, and has no answer yet, has idle-timeout; who is silent behind it has half-open-timeout
 * still. Either may be the longer one; 0 is never.
 */
START_TEST(test_unanswered_timeout)
{
    static const uint64_t idle_s[] = {60, 5, 0};
    struct world *world = new_world();
    struct end *sends = client(world, &world->dmz), *mute = client(world, &world->dmz);

    world->dmz.listen.idle_us = idle_s[_i] * SECOND;
    world->inner.to.idle_us = 0;
    run(world);
    world->now_us += SECOND;
    say(sends, 10);
    run(world);
    world->now_us += (_i == 1 ? 5 : 9) * SECOND - 1;
    work(world);
    ck_assert(!sends->closed && !mute->closed);
    world->now_us++;
    work(world);
    ck_assert(sends->closed == (_i == 1) && mute->closed == (_i != 1));
    world->now_us += 51 * SECOND - 1;
    work(world);
    ck_assert(sends->closed == (_i == 1) && mute->closed);
    world->now_us++;
    work(world);
    ck_assert_int_eq(sends->closed, _i != 2);
    run(world);
    free_world(world);
}
END_TEST

/* A server that cannot be reached. */
START_TEST(test_connect_timeout)
{
    struct world *world = new_world();
    struct end *a;

    world->dmz.listen.half_open_us = 100 * SECOND;
    a = client(world, &world->dmz);
    world->inner.keeps = true;
    say(a, 100);
    run(world);
    ck_assert_uint_eq(a->out_taken, 0);
    world->now_us += 10 * SECOND;
    work(world);
    run(world);
    ck_assert(a->closed && a->broken);
    ck_assert_uint_eq(world->inner.to.counts.timeouts, 1);
    ck_assert_uint_eq(world->dmz.listen.counts.reset, 1);
    ck_assert_uint_eq(streams_count(world), 0);
    free_world(world);
}
END_TEST

START_TEST(test_idle_timeout)
{
    struct world *world = new_world();
    struct end *a = client(world, &world->dmz);

    run(world);
    for (unsigned i = 0; i < 5; i++) {
        say(a, 10);
        run(world);
        world->now_us += 59 * SECOND;
        work(world);
        ck_assert(!a->closed);
    }
    world->inner.to.idle_us = 0;
    world->now_us += SECOND;
    work(world);
    run(world);
    ck_assert(a->closed && a->broken && world->inner.end[0].closed);
    ck_assert_uint_eq(world->dmz.listen.counts.timeouts, 1);
    free_world(world);
}
END_TEST

/* ------------------------------------------------------------ ends that break */

START_TEST(test_broken)
{
    struct world *world = new_world();
    struct end *a = client(world, &world->dmz), *b;

    run(world);
    b = &world->inner.end[0];
    say(a, 10);
    run(world);
    switch (_i) {
    case 0:
        stream_broken(a->stream, "gone");
        break;
    case 1:
        a->out_broken = true;
        stream_readable(a->stream);
        break;
    case 2:
        a->in_broken = true;
        say(b, 10);
        break;
    default:
        a->in_room = a->in_length;
        say(b, 10);
        run(world);
        a->in_broken = true;
        stream_writable(a->stream, world->now_us);
    }
    run(world);
    ck_assert(a->closed && a->broken && b->closed && b->broken);
    ck_assert_uint_eq(world->dmz.listen.counts.failed, 1);
    ck_assert_uint_eq(world->inner.to.counts.reset, 1);
    ck_assert_uint_eq(streams_count(world), 0);
    free_world(world);
}
END_TEST

/* It goes before the other side has heard of it: nothing is sent. */
START_TEST(test_gone_at_once)
{
    struct world *world = new_world();
    struct end *a = client(world, &world->dmz);

    stream_broken(a->stream, "gone");
    ck_assert(a->closed);
    ck_assert(!pull(world, &world->dmz, 1));
    ck_assert_uint_eq(streams_count(world), 0);
    free_world(world);
}
END_TEST

START_TEST(test_not_connected)
{
    struct world *world = new_world();
    struct end *a = client(world, &world->dmz);

    world->inner.refuses = true;
    run(world);
    ck_assert(a->closed && a->broken);
    ck_assert_uint_eq(world->inner.to.counts.failed, 1);
    ck_assert_uint_eq(streams_count(world), 0);
    free_world(world);
}
END_TEST

/* ------------------------------------------------------------ the tunnel goes */

START_TEST(test_cut)
{
    struct world *world = new_world();
    struct end *a, *fresh;

    for (unsigned i = 0; i < 8; i++) {
        a = client(world, &world->dmz);
        run(world);
        say(a, 100);
        answer_all(world);
    }
    a = &world->dmz.end[0];
    streams_down(&world->dmz.streams);
    streams_down(&world->inner.streams);
    ck_assert(streams_has_work(&world->dmz.streams));
    /* What ends meanwhile says nothing to the next tunnel. */
    stream_readable(a->stream);
    stream_writable(a->stream, world->now_us);
    stream_connected(world->inner.end[0].stream, world->now_us);
    ck_assert_ptr_null(client(world, &world->dmz));
    streams_up(&world->dmz.streams, FEATURE_STREAMS);
    streams_up(&world->inner.streams, FEATURE_STREAMS);
    ck_assert(!pull(world, &world->dmz, 1) && !pull(world, &world->inner, 1));
    stream_broken(world->inner.end[1].stream, "gone");
    work(world);
    for (unsigned i = 0; i < 8; i++)
        ck_assert(world->dmz.end[i].broken && world->inner.end[i].broken);
    ck_assert_uint_eq(world->dmz.listen.counts.cut, 8);
    ck_assert_uint_eq(world->inner.to.counts.cut, 7);
    ck_assert_uint_eq(streams_count(world), 0);
    fresh = client(world, &world->dmz);
    run(world);
    say(fresh, 5000);
    run(world);
    ck_assert(heard(&world->inner.end[8], fresh));
    free_world(world);
}
END_TEST

/* The other side does not know streams. */
START_TEST(test_old_peer)
{
    struct world *world = new_world();

    streams_down(&world->dmz.streams);
    streams_up(&world->dmz.streams, ~(uint64_t)FEATURE_STREAMS);
    ck_assert_ptr_null(client(world, &world->dmz));
    ck_assert_uint_eq(world->dmz.listen.counts.refused, 1);
    free_world(world);
}
END_TEST

/* ------------------------------------------------------------ hostile peers */

static int inject(struct world *world, uint8_t type, const struct stream_frame *frame)
{
    uint8_t memory[FRAME_MAX_OCTETS];
    struct writer w;
    struct reader r;

    writer_init(&w, memory, sizeof(memory));
    streamwire_put(&w, type, frame);
    ck_assert(!w.failed);
    reader_init(&r, memory, writer_length(&w));
    return streams_frame(&world->inner.streams, type, &r, world->now_us);
}

static struct stream_frame opening(uint32_t number, const char *name)
{
    struct stream_frame frame = {.number = number};

    snprintf(frame.forward, sizeof(frame.forward), "%s", name);
    return frame;
}

/* "out" listens at this side: nobody may open it from there. */
static const char *const unknown_names[] = {"nothing", "out", "SIP", "sip "};

START_TEST(test_unknown_name)
{
    struct world *world = new_world();
    struct stream_frame frame = opening(2, unknown_names[_i]);

    ck_assert_int_eq(inject(world, FRAME_STREAM_OPEN, &frame), 0);
    ck_assert_uint_eq(world->inner.streams.unknown, 1);
    ck_assert_uint_eq(world->inner.refusals, 1);
    ck_assert_uint_eq(world->inner.end_count, 0);
    ck_assert_uint_eq(streams_count(world), 0);
    free_world(world);
}
END_TEST

START_TEST(test_too_many)
{
    struct world *world = new_world();

    for (uint32_t i = 0; i < 40; i++) {
        struct stream_frame frame = opening(2 + 2 * i, "sip");

        ck_assert_int_eq(inject(world, FRAME_STREAM_OPEN, &frame), 0);
        if (i >= 10)
            connect_ends(world, &world->inner);
    }
    /* Four that were being made, then four more. */
    ck_assert_uint_eq(world->inner.end_count, 8);
    ck_assert_uint_eq(world->inner.refusals, 32);
    ck_assert_uint_eq(world->inner.to.counts.refused, 32);
    free_world(world);
}
END_TEST

static const uint8_t octets[STREAM_DATA_OCTETS] = {1};

/* With stream 2 open and connected, or, with early, not connected yet. */
static const struct {
    const char *what;
    uint8_t type;
    struct stream_frame frame;
    unsigned times; /* the last of which is refused */
    bool early;
} hostile[] = {
    {"a number in use", FRAME_STREAM_OPEN, {.number = 2, .forward = "sip"}, 1, false},
    {"our own number", FRAME_STREAM_OPEN, {.number = 3, .forward = "sip"}, 1, false},
    {"beyond the window",
     FRAME_STREAM_DATA,
     {.number = 2, .data = octets, .length = 4000},
     17,
     false},
    {"octets before credit",
     FRAME_STREAM_DATA,
     {.number = 2, .data = octets, .length = 1},
     1,
     true},
    {"the end before credit", FRAME_STREAM_END, {.number = 2}, 1, true},
    {"a second end", FRAME_STREAM_END, {.number = 2}, 2, false},
    {"credit that was not used", FRAME_STREAM_CREDIT, {.number = 2, .credit = 1}, 1, false},
    {"credit before", FRAME_STREAM_CREDIT, {.number = 2, .credit = 65536}, 1, true},
};

START_TEST(test_hostile)
{
    struct world *world = new_world();
    struct stream_frame frame = opening(2, "sip");

    ck_assert_int_eq(inject(world, FRAME_STREAM_OPEN, &frame), 0);
    world->inner.end[0].in_room = 0;
    if (!hostile[_i].early) {
        connect_ends(world, &world->inner);
        pull(world, &world->inner, 8);
    }
    for (unsigned i = 1; i <= hostile[_i].times; i++)
        ck_assert_msg(inject(world, hostile[_i].type, &hostile[_i].frame) ==
                          (i < hostile[_i].times ? 0 : ERR_PROTOCOL),
                      "%s", hostile[_i].what);
    world->inner.frame_count = 0;
    free_world(world);
}
END_TEST

START_TEST(test_octets_after_the_end)
{
    struct world *world = new_world();
    struct stream_frame frame = opening(2, "sip");
    struct stream_frame data = {.number = 2, .data = octets, .length = 1};

    ck_assert_int_eq(inject(world, FRAME_STREAM_OPEN, &frame), 0);
    connect_ends(world, &world->inner);
    pull(world, &world->inner, 8);
    ck_assert_int_eq(inject(world, FRAME_STREAM_DATA, &data), 0);
    ck_assert_int_eq(inject(world, FRAME_STREAM_END, &data), 0);
    ck_assert_int_eq(inject(world, FRAME_STREAM_DATA, &data), ERR_PROTOCOL);
    free_world(world);
}
END_TEST

/* What speaks of no stream may have crossed a reset. */
START_TEST(test_ignored)
{
    struct world *world = new_world();
    const struct stream_frame frame = {
        .number = 4, .data = octets, .length = 10, .credit = 5, .reason = "so"};

    for (uint8_t type = FRAME_STREAM_DATA; type <= FRAME_STREAM_RESET; type++)
        ck_assert_int_eq(inject(world, type, &frame), 0);
    ck_assert_uint_eq(world->inner.refusals + streams_count(world), 0);
    free_world(world);
}
END_TEST

/* ------------------------------------------------------------ frames */

static size_t sample_frame(uint8_t type, uint8_t *memory, size_t size)
{
    struct stream_frame frame = {.number = 0x01020304,
                                 .forward = "sip",
                                 .data = octets,
                                 .length = 5,
                                 .credit = 4096,
                                 .reason = "reason"};
    struct writer w;

    frame.client = address(10, 40000);
    frame.server = address(1, 5061);
    writer_init(&w, memory, size);
    streamwire_put(&w, type, &frame);
    ck_assert(!w.failed);
    return writer_length(&w);
}

static int read_frame(uint8_t type, const uint8_t *memory, size_t length,
                      struct stream_frame *frame)
{
    struct reader r;

    reader_init(&r, memory, length);
    return streamwire_get(type, &r, frame);
}

START_TEST(test_wire)
{
    uint8_t type = (uint8_t)_i, memory[256], again[256];
    size_t length = sample_frame(type, memory, sizeof(memory));
    struct stream_frame frame;
    struct writer w;

    ck_assert_int_eq(read_frame(type, memory, length, &frame), 0);
    ck_assert_uint_eq(frame.number, 0x01020304);
    writer_init(&w, again, sizeof(again));
    streamwire_put(&w, type, &frame);
    ck_assert_uint_eq(writer_length(&w), length);
    ck_assert_mem_eq(memory, again, length);
    for (size_t i = 0; i < length; i++) {
        uint8_t *exact = malloc(i + 1);
        int result;

        memcpy(exact, memory, i);
        result = read_frame(type, exact, i, &frame);
        /* A field that may be absent may be cut off whole. */
        ck_assert(result == ERR_PROTOCOL || type == FRAME_STREAM_OPEN ||
                  type == FRAME_STREAM_RESET);
        free(exact);
    }
    for (size_t bit = 0; bit < 8 * length; bit++) {
        memory[bit / 8] ^= (uint8_t)(1u << bit % 8);
        (void)read_frame(type, memory, length, &frame);
        memory[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    /* Fields of another type of frame, and fields twice. */
    for (uint8_t other = FRAME_STREAM_OPEN; other <= FRAME_STREAM_RESET; other++) {
        if (other != type && other != FRAME_STREAM_END && type != FRAME_STREAM_END)
            ck_assert_int_eq(read_frame(other, memory, length, &frame), ERR_PROTOCOL);
    }
    memcpy(memory + length, memory, 8);
    ck_assert_int_eq(read_frame(type, memory, length + 8, &frame), ERR_PROTOCOL);
}
END_TEST

static const struct {
    uint8_t type;
    const char *hex;
    int result;
} wire_rows[] = {
    {FRAME_STREAM_END, "8001 0004 00000002", 0},
    {FRAME_STREAM_END, "0001 0004 00000002", 0},
    {FRAME_STREAM_END, "8001 0004 00000002 0063 0001 07", 0},
    {FRAME_STREAM_END, "8001 0004 00000002 8063 0001 07", ERR_PROTOCOL},
    {FRAME_STREAM_END, "8001 0003 000002", ERR_PROTOCOL},
    {FRAME_STREAM_END, "", ERR_PROTOCOL},
    {FRAME_STREAM_DATA, "8001 0004 00000002 8005 0000", ERR_PROTOCOL},
    {FRAME_STREAM_DATA, "8001 0004 00000002", ERR_PROTOCOL},
    {FRAME_STREAM_CREDIT, "8001 0004 00000002 8006 0004 00000000", ERR_PROTOCOL},
    {FRAME_STREAM_CREDIT, "8001 0004 00000002 8006 0004 00010000", 0},
    {FRAME_STREAM_CREDIT, "8001 0004 00000002 8006 0004 00010001", ERR_PROTOCOL},
    {FRAME_STREAM_OPEN, "8001 0004 00000002 8002 0003 736970", 0},
    {FRAME_STREAM_OPEN, "8001 0004 00000002 8002 0003 730970", ERR_PROTOCOL},
    {FRAME_STREAM_OPEN, "8001 0004 00000002 8002 0000", ERR_PROTOCOL},
    {FRAME_STREAM_RESET, "8001 0004 00000002", 0},
};

START_TEST(test_wire_row)
{
    uint8_t memory[128];
    size_t length = unit_hex(wire_rows[_i].hex, memory, sizeof(memory));
    struct stream_frame frame;

    ck_assert_int_eq(read_frame(wire_rows[_i].type, memory, length, &frame), wire_rows[_i].result);
}
END_TEST

/* ------------------------------------------------------------ PROXY protocol */

static const struct {
    enum proxyline_version version;
    const char *client, *server; /* NULL: not known */
    const char *hex;
} heads[] = {
    {PROXYLINE_NONE, "198.51.100.10:40000", "203.0.113.10:5061", ""},
    /* PROXY TCP4 198.51.100.10 203.0.113.10 40000 5061 */
    {PROXYLINE_V1, "198.51.100.10:40000", "203.0.113.10:5061",
     "50524f585920544350342031 39382e35312e3130302e3130 20 3230332e302e3131332e3130 20 3430303030 "
     "20 "
     "35303631 0d0a"},
    /* PROXY TCP6 2001:db8::1 2001:db8::2 1 65535 */
    {PROXYLINE_V1, "[2001:db8::1]:1", "[2001:db8::2]:65535",
     "50524f58592054435036 20 323030313a6462383a3a31 20 323030313a6462383a3a32 20 31 20 3635353335 "
     "0d0a"},
    {PROXYLINE_V1, NULL, NULL, "50524f585920554e4b4e4f574e0d0a"},
    {PROXYLINE_V1, "198.51.100.10:40000", "[2001:db8::2]:65535", "50524f585920554e4b4e4f574e0d0a"},
    {PROXYLINE_V2, "198.51.100.10:40000", "203.0.113.10:5061",
     "0d0a0d0a000d0a515549540a 21 11 000c c633640a cb00710a 9c40 13c5"},
    {PROXYLINE_V2, "[2001:db8::1]:1", "[2001:db8::2]:65535",
     "0d0a0d0a000d0a515549540a 21 21 0024 20010db8000000000000000000000001 "
     "20010db8000000000000000000000002 0001 ffff"},
    {PROXYLINE_V2, NULL, NULL, "0d0a0d0a000d0a515549540a 20 00 0000"},
};

START_TEST(test_proxy_head)
{
    struct addr client = {0}, server = {0};
    uint8_t got[PROXYLINE_OCTETS], wanted[PROXYLINE_OCTETS];
    size_t length = unit_hex(heads[_i].hex, wanted, sizeof(wanted));

    if (heads[_i].client) {
        ck_assert_int_eq(addr_parse(heads[_i].client, &client), 0);
        ck_assert_int_eq(addr_parse(heads[_i].server, &server), 0);
    }
    ck_assert_uint_eq(proxyline_put(heads[_i].version, &client, &server, got), length);
    ck_assert_mem_eq(got, wanted, length);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("streams");
    TCase *tc = tcase_create("streams");

    tcase_add_loop_test(tc, test_to_and_fro, 0, 2);
    tcase_add_test(tc, test_slow_reader);
    tcase_add_test(tc, test_end_behind_octets);
    tcase_add_test(tc, test_limits);
    tcase_add_test(tc, test_limit_of_all);
    tcase_add_test(tc, test_limit_of_unanswered);
    tcase_add_test(tc, test_limit_of_leaving);
    tcase_add_loop_test(tc, test_limit_per_client, 0, ROWS(clients));
    tcase_add_test(tc, test_half_open_timeout);
    tcase_add_loop_test(tc, test_unanswered_timeout, 0, 3);
    tcase_add_test(tc, test_connect_timeout);
    tcase_add_test(tc, test_idle_timeout);
    tcase_add_loop_test(tc, test_broken, 0, 4);
    tcase_add_test(tc, test_gone_at_once);
    tcase_add_test(tc, test_not_connected);
    tcase_add_test(tc, test_cut);
    tcase_add_test(tc, test_old_peer);
    tcase_add_loop_test(tc, test_unknown_name, 0, ROWS(unknown_names));
    tcase_add_test(tc, test_too_many);
    tcase_add_loop_test(tc, test_hostile, 0, ROWS(hostile));
    tcase_add_test(tc, test_octets_after_the_end);
    tcase_add_test(tc, test_ignored);
    tcase_add_loop_test(tc, test_wire, FRAME_STREAM_OPEN, FRAME_STREAM_RESET + 1);
    tcase_add_loop_test(tc, test_wire_row, 0, ROWS(wire_rows));
    tcase_add_loop_test(tc, test_proxy_head, 0, ROWS(heads));
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
