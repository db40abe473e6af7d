/*
 * A session in either role, before or after HELLO, fed with the octets of the
 * input in pieces. What must hold: only frames that may come at that side and
 * time reach the daemon, each inside what was received, nothing after the end,
 * and whatever the session answers is made of whole frames.
 *
 * Input: role and state, size of the pieces, then octets from the tunnel.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/protocol.h"
#include "common/tunnel/frame.h"
#include "common/tunnel/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INNER = 1, UP = 2, BUSY = 4, SEALS = 8 };

struct run {
    unsigned flags;
    struct session *session;
    struct verdict_counts counts;
    size_t fed;  /* octets of the input so far */
    size_t seen; /* octets that came back in frames */
    uint64_t now_us;
};

static void expect(bool condition)
{
    if (!condition)
        abort();
}

static void expect_alive(const struct run *run)
{
    expect(session_state(run->session) == SESSION_UP);
}

static int on_hello(void *ctx, const struct hello *theirs, struct hello *reply,
                    char reason[BYE_REASON_SIZE])
{
    struct run *run = ctx;

    expect(!reply == !!(run->flags & INNER));
    expect(session_state(run->session) == SESSION_HELLO);
    memcpy(reason, "odd", 4);
    if (reply && run->flags & SEALS)
        reply->features = FEATURE_SEALED;
    return theirs->instance % 2 || theirs->features >> 63 ? -1 : 0;
}

static void on_up(void *ctx, const struct hello *theirs)
{
    const struct run *run = ctx;

    expect_alive(run);
    /* One that switches is not told of before it has. */
    expect(session_wire(run->session) != SESSION_SWITCHING);
    expect((session_wire(run->session) == SESSION_SEALED) == session_input_is_sealed(run->session));
    expect(theirs->listener_count <= HELLO_LISTENERS_MAX);
}

/* A type that the other side may send; what the session itself takes does not come here. */
static bool comes_to(bool inner, uint8_t type)
{
    switch (type) {
    case FRAME_SA_NAK:
    case FRAME_SA_REPORT:
    case FRAME_STATS:
    case FRAME_MEET:
    case FRAME_PASS_STATE:
        return inner;
    case FRAME_SYNC_BEGIN:
    case FRAME_SYNC_END:
    case FRAME_SA_PUT:
    case FRAME_SA_DELETE:
    case FRAME_PASS:
        return !inner;
    default:
        return (type >= FRAME_STREAM_OPEN && type <= FRAME_STREAM_RESET) || type == FRAME_SITE ||
               type == FRAME_SITE_STATE || type == FRAME_MEET_END || type == FRAME_PUNCH;
    }
}

static int on_control(void *ctx, uint8_t type, struct reader *body, uint64_t now_us)
{
    struct run *run = ctx;

    (void)now_us;
    expect_alive(run);
    expect(comes_to(run->flags & INNER, type));
    run->seen += FRAME_HEAD_OCTETS + reader_left(body);
    expect(run->seen <= run->fed);
    return reader_u8(body) == 0xff ? -1 : 0;
}

static void on_packet(void *ctx, uint32_t label, const uint8_t *packet, size_t length,
                      uint64_t now_us)
{
    struct run *run = ctx;
    uint8_t sum = 0;

    expect_alive(run);
    expect(now_us == run->now_us);
    expect(length >= 1 && length <= PACKET_MAX_OCTETS);
    run->seen += FRAME_HEAD_OCTETS + FRAME_LABEL_OCTETS + length;
    expect(run->seen <= run->fed);
    for (size_t i = 0; i < length; i++)
        sum = (uint8_t)(sum + packet[i]);
    /* What comes goes back, as a busy daemon would send it. */
    if (run->flags & BUSY) {
        run->counts.received++;
        session_media(run->session, label ^ sum, packet, length, &run->counts, now_us);
    }
}

static void on_media(void *ctx, const struct session_packet *packets, size_t count, uint64_t now_us)
{
    expect(count >= 1 && count <= SESSION_GROUP);
    for (size_t i = 0; i < count; i++)
        on_packet(ctx, packets[i].label, packets[i].data, packets[i].length, now_us);
}

static bool pull_nothing(void *ctx, uint8_t *type, struct writer *body, uint64_t now_us)
{
    (void)now_us;
    (void)ctx;
    (void)type;
    expect(writer_room(body) >= FRAME_MAX_OCTETS - FRAME_HEAD_OCTETS);
    return false;
}

static void on_dropped(void *ctx, const uint32_t *labels, size_t count, enum verdict verdict)
{
    (void)ctx;
    (void)labels;
    expect(count >= 1 && count <= SESSION_GROUP);
    expect(verdict == VERDICT_TUNNEL_LATE || verdict == VERDICT_TUNNEL_DOWN);
}

static const struct session_hooks hooks = {
    .hello = on_hello,
    .up = on_up,
    .control = on_control,
    .media = on_media,
    .pull_live = pull_nothing,
    .pull_bulk = pull_nothing,
    .dropped = on_dropped,
};

static void feed(struct run *run, const uint8_t *data, size_t length)
{
    size_t room;
    uint8_t *space = session_space(run->session, &room);

    expect(length <= room);
    if (length > 0)
        memcpy(space, data, length);
    run->fed += length;
    do {
        if (session_received(run->session, length, run->now_us) < 0) {
            expect(session_state(run->session) == SESSION_ENDED && session_reason(run->session)[0]);
            return;
        }
        length = 0;
    } while (session_pending(run->session));
}

static void drain(struct run *run)
{
    static uint8_t memory[RECORD_MAX_OCTETS];
    struct frame frame;
    size_t length, at = 0;

    length = session_output(run->session, memory, sizeof(memory), run->now_us);
    while (at < length) {
        int taken = frame_parse(memory + at, length - at, &frame);

        expect(taken > 0);
        at += (size_t)taken;
    }
    if (length == 0)
        session_output_is_sent(run->session);
    /* SWITCH is the last of what is not sealed. */
    if (session_wire(run->session) == SESSION_SWITCHING && length > 0)
        expect(frame.type == FRAME_SWITCH || frame.type == FRAME_SWITCH_OK);
}

static void start(struct run *run)
{
    static const struct hello hello = {.version_min = PROTOCOL_VERSION_MIN,
                                       .version_max = PROTOCOL_VERSION_MAX,
                                       .features = FEATURE_SEALED,
                                       .worker = 1};

    if (run->flags & INNER && run->flags & SEALS)
        session_start(run->session, &hello);
}

static void come_up(struct run *run)
{
    struct hello hello = {.version_min = PROTOCOL_VERSION_MIN,
                          .version_max = PROTOCOL_VERSION_MAX,
                          .version = PROTOCOL_VERSION_MAX,
                          .features = run->flags & SEALS ? FEATURE_SEALED : 0,
                          .worker = run->flags & SEALS && !(run->flags & INNER)};
    uint8_t memory[FRAME_MAX_OCTETS], *head;
    struct writer w;

    writer_init(&w, memory, sizeof(memory));
    head = frame_begin(&w, run->flags & INNER ? FRAME_HELLO_ACK : FRAME_HELLO);
    if (run->flags & INNER)
        hello_ack_put(&w, &hello);
    else
        hello_put(&w, &hello);
    frame_end(&w, head);
    feed(run, memory, writer_length(&w));
    expect_alive(run);
    run->fed = 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct run run = {.now_us = 1000000};
    size_t piece, at = 2;

    if (size < 2)
        return 0;
    run.flags = data[0];
    piece = 1 + (size_t)data[1] * 16;
    run.session = session_new(run.flags & INNER ? SESSION_INNER : SESSION_DMZ, &hooks, &run, 60000,
                              8192, run.now_us);
    expect(run.session != NULL);
    start(&run);
    if (run.flags & UP)
        come_up(&run);
    while (at < size && session_state(run.session) != SESSION_ENDED) {
        size_t length = size - at < piece ? size - at : piece;

        feed(&run, data + at, length);
        at += length;
        if (at % 3 == 0)
            drain(&run);
        run.now_us += 1000;
        (void)session_tick(run.session, run.now_us);
    }
    session_free(run.session);
    expect(run.counts.queued == 0 && run.counts.received == verdict_sum(&run.counts));
    return 0;
}
