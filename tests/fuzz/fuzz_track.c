/*
 * A connection that was taken over, and a peer, or somebody who is not the peer, who sends any
 * segments to it. What must hold: only what is genuine moves what we acknowledge, the window and
 * the state; nobody acknowledges what was never sent; nothing is sent that the peer does not take;
 * each segment is counted once; and what is due is over when it was done.
 *
 * Input: 16 octets of how it was taken over, then steps of four octets: what, and three of how.
 */
#include "common/carrier/track.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/reader.h"
#include "common/carrier/segment.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { START_US = 1000000, STEPS_MAX = 1000, HEAD_OCTETS = 16, STEP_OCTETS = 4 };

enum step { SEND, BARE, GENUINE, FOREIGN, ANY, WAIT, WAIT_LONG, TEND, FINISH, STEP_COUNT };

struct run {
    struct track track;
    uint64_t now_us;
    uint64_t received;
    size_t goodbye; /* octets with FIN: as many each time */
};

static void expect(bool condition)
{
    if (!condition)
        abort();
}

static bool is_after(uint32_t a, uint32_t b)
{
    return segment_is_after(a, b);
}

/* -128 to 127 times 512. */
static uint32_t offset(uint8_t octet)
{
    return (uint32_t)(int32_t)(int8_t)octet * 512u;
}

static void check(const struct run *run)
{
    const struct track *track = &run->track;
    uint64_t sum = 0;

    for (unsigned i = 0; i < TRACK_COUNTS; i++)
        sum += track->counts[i];
    expect(sum == run->received);
    expect(!is_after(track->acked, track->send_next));
    expect(!is_after(track->send_next, track->send_high));
}

/* ---------------------------------------------------------------- what we send */

static void check_sent(const struct run *run, const struct segment *segment)
{
    expect(segment->flags & SEGMENT_ACK);
    expect(!(segment->flags & (SEGMENT_RST | SEGMENT_SYN)));
    expect(segment->ack == run->track.receive);
    expect(segment->window == TRACK_WINDOW);
    expect(segment->has_timestamps == run->track.start.timestamps);
}

static void send_data(struct run *run, size_t length)
{
    struct track *track = &run->track;
    struct segment segment = {0};
    enum track_state state = track->state;
    bool closed = state != TRACK_OPEN || track->fin_sent;
    int result = track_send(track, length, &segment, run->now_us);

    expect(closed == (result == ERR_CLOSED));
    if (result < 0)
        return;
    expect(length > 0 && length <= track_room(track));
    check_sent(run, &segment);
    expect(segment.sequence == track->acked ||
           segment.sequence + (uint32_t)length - track->acked <= track->window / 2);
}

/* What is due is done, and then nothing is due at this moment. */
static void tend(struct run *run)
{
    struct track *track = &run->track;
    struct segment segment = {0};

    if (track_state(track, run->now_us) == TRACK_OVER)
        expect(!track_ack(track, &segment, run->now_us));
    if (track_fin_is_due(track, run->now_us)) {
        expect(track_finish(track, run->goodbye, &segment, run->now_us) == 0);
        expect(segment.flags & SEGMENT_FIN && segment.sequence == track->fin);
    }
    if (track_ack(track, &segment, run->now_us))
        check_sent(run, &segment);
    expect(track_wake_us(track) > run->now_us);
}

static void finish(struct run *run, size_t length)
{
    struct track *track = &run->track;
    struct segment segment = {0};
    uint32_t high = track->send_high;
    int result;

    if (track->fin_sent)
        return;
    result = track_finish(track, length, &segment, run->now_us);
    if (result < 0) {
        expect(length > track_room(track));
        return;
    }
    run->goodbye = length;
    check_sent(run, &segment);
    expect(segment.sequence == high && segment.flags & SEGMENT_FIN);
    expect(track->state != TRACK_OPEN);
}

/* ---------------------------------------------------------------- what comes */

static void receive(struct run *run, const struct segment *segment, bool genuine)
{
    struct track *track = &run->track, before = *track;
    enum track_count count = track_received(track, segment, genuine, run->now_us);

    run->received++;
    expect(track->counts[count] == before.counts[count] + 1);
    expect((count == TRACK_GENUINE) ==
           (genuine && !(segment->flags & (SEGMENT_RST | SEGMENT_SYN))));
    expect(!is_after(before.acked, track->acked));
    expect(track->send_high == before.send_high);
    expect(track->fin_sent == before.fin_sent);
    if (count == TRACK_GENUINE) {
        expect(!is_after(before.receive, track->receive));
        return;
    }
    expect(track->receive == before.receive && track->window == before.window);
    expect(track->state == before.state && track->peer_fin == before.peer_fin);
    if (count == TRACK_BARE)
        return;
    expect(track->acked == before.acked && track->echo == before.echo);
    expect(track->send_next == before.send_next);
}

/* Near what is expected, as far as a, b and c let it. */
static struct segment near(const struct run *run, uint8_t a, uint8_t b, uint8_t c)
{
    return (struct segment){.sequence = run->track.receive + offset(a),
                            .ack = run->track.send_high + offset(b) + (c & 7),
                            .window = (uint16_t)(c * 257u),
                            .flags = SEGMENT_ACK,
                            .has_timestamps = c & 8,
                            .timestamp = run->track.echo + offset(c)};
}

static void take(struct run *run, enum step step, const uint8_t *how)
{
    struct segment segment = near(run, how[0], how[1], how[2]);

    if (step != BARE)
        segment.length = how[2];
    if (step == GENUINE && how[2] % 16 == 15)
        segment.flags |= SEGMENT_FIN;
    if (step == ANY) {
        segment.flags = how[0];
        segment.sequence += (uint32_t)how[1] << 24;
        segment.ack += (uint32_t)how[2] << 24;
    }
    receive(run, &segment, step == GENUINE || (step == ANY && how[1] % 2));
}

static void do_step(struct run *run, const uint8_t *octets)
{
    enum step step = octets[0] % STEP_COUNT;
    size_t length = octets[1] * 8u + octets[2];

    switch (step) {
    case SEND:
        /* Many at once: otherwise nothing is far ahead of what is acknowledged. */
        for (unsigned i = 0; i <= octets[3]; i++)
            send_data(run, length);
        break;
    case WAIT:
        run->now_us += octets[1] * 1000u + octets[2];
        break;
    case WAIT_LONG:
        run->now_us += octets[1] * 100000u;
        break;
    case TEND:
        tend(run);
        break;
    case FINISH:
        finish(run, octets[1]);
        break;
    default:
        take(run, step, octets + 1);
        break;
    }
    check(run);
}

static struct track_start start_of(const uint8_t *head)
{
    struct reader r;
    struct track_start start = {0};

    reader_init(&r, head, HEAD_OCTETS);
    start.send_next = reader_u32(&r);
    start.receive_next = reader_u32(&r);
    start.peer_window = reader_u16(&r);
    start.mss = reader_u16(&r);
    start.rate = (uint32_t)reader_u8(&r) * 10000u;
    start.own_scale = reader_u8(&r) % (SEGMENT_SCALE_MAX + 1);
    start.peer_scale = reader_u8(&r) % (SEGMENT_SCALE_MAX + 1);
    start.timestamps = reader_u8(&r) % 2;
    start.peer_window <<= start.peer_scale;
    return start;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct run run = {.now_us = START_US};
    struct track_start start;
    unsigned steps = 0;

    if (size < HEAD_OCTETS)
        return 0;
    start = start_of(data);
    track_init(&run.track, &start, run.now_us);
    for (size_t at = HEAD_OCTETS; at + STEP_OCTETS <= size && steps++ < STEPS_MAX;
         at += STEP_OCTETS)
        do_step(&run, data + at);
    tend(&run);
    return 0;
}
