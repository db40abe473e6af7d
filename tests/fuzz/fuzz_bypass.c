/*
 * Ways of media by packet forwarders, under any octets: each pair of octets of the input is a step
 * of a hostile packet forwarder, of the other sites, of calls or of the clock. Whatever comes, each
 * frame is counted once, nothing leaves by a way that the packet forwarder has not opened, and none
 * is used unless the other site, which alone has the keys, has answered.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/tunnel/frame.h"
#include "common/tunnel/passwire.h"
#include "inner-relay/bypass.h"
#include "tests/unit/core.h"

enum { FORWARDER = 1, OTHERS = 3 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const names[OTHERS] = {"a", "b", "c"};

struct world {
    struct core core;
    struct bypass *bypass;
    struct inner_link *link;
    struct passprobe_keys keys; /* the other sites' */
    uint64_t now_us;
    uint64_t probed_us; /* the newest clock of ours */
    bool answers;       /* another site has made a probe */
    uint64_t given;     /* labels of ways, a bit each */
};

static void expect(bool condition)
{
    if (!condition)
        abort();
}

/* ------------------------------------------------------------ the tunnel */

/* False: it has ended it. */
static bool give(struct world *world, uint8_t type, const uint8_t *body, size_t length)
{
    struct session *session = world->link->session;
    uint8_t memory[FRAME_MAX_OCTETS], *head, *space;
    struct writer w;
    size_t size;

    if (!session)
        return false;
    writer_init(&w, memory, sizeof(memory));
    head = frame_begin(&w, type);
    writer_copy(&w, body, length);
    frame_end(&w, head);
    space = session_space(session, &size);
    if (w.failed || size < writer_length(&w))
        return true;
    memcpy(space, memory, writer_length(&w));
    if (session_received(session, writer_length(&w), world->now_us) < 0)
        return false;
    while (session_pending(session)) {
        if (session_received(session, 0, world->now_us) < 0)
            return false;
    }
    return true;
}

static void check_frame(struct world *world, const struct frame *frame)
{
    struct reader body = frame->body;
    struct pass_frame pass;
    const uint8_t *packet;
    uint32_t label;
    size_t length;

    if (frame->type == FRAME_PASS)
        expect(passwire_get(FRAME_PASS, &body, &pass) == 0);
    if (frame->type != FRAME_MEDIA)
        return;
    expect(frame_media(&body, &label, &packet, &length) == 0);
    expect(label < PASS_NUMBERS && (world->given >> label & 1));
    expect(length > 0 && (packet[0] == 1 || packet[0] == 2));
}

static void take(struct world *world)
{
    uint8_t memory[4 * FRAME_MAX_OCTETS];
    struct frame frame;
    size_t length;

    while (world->link->session && (length = session_output(world->link->session, memory,
                                                            sizeof(memory), world->now_us)) > 0) {
        int taken;

        for (size_t at = 0; at < length; at += (size_t)taken) {
            taken = frame_parse(memory + at, length - at, &frame);
            expect(taken > 0);
            check_frame(world, &frame);
        }
    }
}

static void go_down(struct world *world)
{
    struct session *session = world->link->session;

    if (!session)
        return;
    inner_link_closed(world->link, world->now_us);
    session_free(session);
    world->given = 0;
}

static void come_up(struct world *world)
{
    struct hello hello = {.version = PROTOCOL_VERSION_MAX, .features = FEATURE_PASSES};
    uint8_t memory[FRAME_MAX_OCTETS];
    struct writer w;

    go_down(world);
    if (!inner_link_open(world->link, 1, world->now_us))
        return;
    take(world);
    snprintf(hello.software, sizeof(hello.software), "x");
    snprintf(hello.site, sizeof(hello.site), "own");
    writer_init(&w, memory, sizeof(memory));
    hello_ack_put(&w, &hello);
    expect(give(world, FRAME_HELLO_ACK, memory, writer_length(&w)));
}

/* ------------------------------------------------------------ steps */

static void give_or_end(struct world *world, uint8_t type, const uint8_t *body, size_t length)
{
    if (!give(world, type, body, length))
        go_down(world);
}

static void say_state(struct world *world, uint8_t octet)
{
    struct pass_frame frame = {.state = 1 + octet % 4, .number = octet / 16};
    uint8_t memory[SITE_SIZE + 64];
    struct writer w;

    snprintf(frame.site, sizeof(frame.site), "%s", names[octet / 4 % OTHERS]);
    if (frame.state == PASS_STATE_OPEN)
        world->given |= UINT64_C(1) << frame.number;
    writer_init(&w, memory, sizeof(memory));
    passwire_put(&w, FRAME_PASS_STATE, &frame);
    give_or_end(world, FRAME_PASS_STATE, memory, writer_length(&w));
}

static void send_frame(struct world *world, uint8_t label, const uint8_t *data, size_t length)
{
    uint8_t memory[4 + 1 + PASSPROBE_OCTETS + 256];
    struct writer w;

    writer_init(&w, memory, sizeof(memory));
    writer_u32(&w, label);
    writer_copy(&w, data, length);
    give_or_end(world, FRAME_MEDIA, memory, writer_length(&w));
}

/* What a site answers, or a packet forwarder, which has no key, would like to. */
static void send_probe(struct world *world, bool genuine, uint8_t octet)
{
    struct passprobe probe = {.clock_us = world->now_us,
                              .echo_us = world->now_us - 1000u * (octet / 16),
                              .held_us = octet,
                              .taken = octet};
    uint8_t memory[1 + PASSPROBE_OCTETS] = {2};
    struct writer w;

    writer_init(&w, memory + 1, PASSPROBE_OCTETS);
    if (!passprobe_put(&w, &world->keys, &probe, world->now_us))
        return;
    memory[PASSPROBE_OCTETS] ^= !genuine;
    world->answers = world->answers || genuine;
    send_frame(world, octet % 16, memory, sizeof(memory));
}

static void change_keys(struct world *world, uint8_t octet)
{
    uint8_t secret[2][PASSPROBE_SECRET_OCTETS];
    bool ours = octet & 1;
    unsigned site = octet / 2 % OTHERS;

    if (octet & 64) {
        bypass_key(world->bypass, site, ours, NULL, world->now_us);
        return;
    }
    memset(secret[0], octet, sizeof(secret[0]));
    memset(secret[1], 0x80 | octet, sizeof(secret[1]));
    bypass_key(world->bypass, site, ours, secret, world->now_us);
    passprobe_keys_add(&world->keys, !ours, secret, world->now_us);
}

static void change_sites(struct world *world, uint8_t octet)
{
    unsigned site = octet % OTHERS;

    if (octet & 128) {
        bypass_forget(world->bypass, site, world->now_us);
        (void)bypass_site(world->bypass, names[site], 0);
    }
    bypass_want(world->bypass, site, (octet & 64) == 0, world->now_us);
}

/* The clock moves in a rhythm in which a way can prove itself. */
static void wait(struct world *world, uint8_t octet)
{
    uint64_t next_us;

    world->now_us += octet & 128 ? 1000000u * (octet & 127) : 1000u * octet;
    next_us = bypass_tick(world->bypass, world->now_us);
    expect(next_us > world->now_us);
    if (world->link->session && session_tick(world->link->session, world->now_us) < 0)
        go_down(world);
}

/* How many octets of the input it has used beside its own two. */
static size_t step(struct world *world, const uint8_t *at, size_t left)
{
    size_t length = left < at[1] ? left : at[1];

    switch (at[0] % 10) {
    case 0:
        give_or_end(world, FRAME_PASS_STATE, at + 2, length);
        return length;
    case 1:
        send_frame(world, at[0] / 10, at + 2, length);
        return length;
    case 2:
        say_state(world, at[1]);
        return 0;
    case 3:
        send_probe(world, false, at[1]);
        return 0;
    case 4:
        send_probe(world, true, at[1]);
        return 0;
    case 5:
        change_keys(world, at[1]);
        return 0;
    case 6:
        change_sites(world, at[1]);
        return 0;
    case 7:
        at[1] & 1 ? come_up(world) : go_down(world);
        return 0;
    default:
        wait(world, at[1]);
        return 0;
    }
}

static void check(const struct world *world)
{
    const struct verdict_counts *counts = &world->link->counts;

    expect(counts->received == counts->queued + verdict_sum(counts));
    for (unsigned i = 0; i < OTHERS; i++) {
        struct bypass_view view;

        bypass_show(world->bypass, i, &view);
        expect(!view.by || (view.by == world->link && world->answers && world->given));
        expect(view.returns <= view.moves);
    }
}

/* ------------------------------------------------------------ worlds */

static bool start(struct world *world)
{
    *world = (struct world){.now_us = 1000000};
    if (!core_init(&world->core, 16))
        return false;
    world->link = &world->core.inner.links[FORWARDER];
    world->link->forwarder = true;
    world->bypass = bypass_new(&world->core.inner);
    if (!world->bypass) {
        core_fini(&world->core);
        return false;
    }
    for (unsigned i = 0; i < OTHERS; i++) {
        expect(bypass_site(world->bypass, names[i], 0) == (int)i);
        bypass_want(world->bypass, i, true, world->now_us);
    }
    come_up(world);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct world world;
    static bool started;

    started = started || core_start_engine();
    if (!started || !start(&world))
        return 0;
    take(&world);
    for (size_t at = 0; at + 2 <= size; at += 2) {
        at += step(&world, data + at, size - at - 2);
        take(&world);
        check(&world);
    }
    go_down(&world);
    bypass_free(world.bypass);
    core_fini(&world.core);
    return 0;
}
