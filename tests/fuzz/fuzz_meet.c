/*
 * How two sites meet, from any octets: the first says what they are, a MEET or MEET-END of the
 * dmz-relay, a message of the other site, or PINGs of the direct path. What is accepted keeps to
 * its bounds, and written again and read again it is the same.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/carrier/segment.h"
#include "common/tunnel/meetwire.h"
#include "inner-relay/direct.h"
#include "inner-relay/meetmessage.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool condition)
{
    if (!condition)
        abort();
}

static void expect_same_start(const struct track_start *a, const struct track_start *b)
{
    expect(a->send_next == b->send_next && a->receive_next == b->receive_next);
    expect(a->timestamps == b->timestamps && a->timestamp == b->timestamp);
    expect(a->timestamp_echo == b->timestamp_echo && a->peer_window == b->peer_window);
    expect(a->mss == b->mss && a->own_scale == b->own_scale && a->peer_scale == b->peer_scale);
}

static void try_frame(uint8_t type, const uint8_t *data, size_t size)
{
    struct meet_frame first, second;
    uint8_t memory[FRAME_MAX_OCTETS];
    struct writer w;
    struct reader r;

    reader_init(&r, data, size);
    if (meetwire_get(type, &r, &first) < 0)
        return;
    expect(first.number > 0);
    expect(first.start.own_scale <= SEGMENT_SCALE_MAX);
    expect(first.start.peer_scale <= SEGMENT_SCALE_MAX);
    writer_init(&w, memory, sizeof(memory));
    meetwire_put(&w, type, &first);
    expect(!w.failed);
    reader_init(&r, memory, writer_length(&w));
    expect(meetwire_get(type, &r, &second) == 0);
    expect(second.number == first.number && second.handed_over == first.handed_over);
    expect(strcmp(second.site, first.site) == 0 && strcmp(second.reason, first.reason) == 0);
    if (type == FRAME_MEET || first.mapped.port != 0)
        expect(addr_equal(&second.own, &first.own) && addr_equal(&second.mapped, &first.mapped));
    expect_same_start(&second.start, &first.start);
}

static void try_message(uint8_t type, const uint8_t *data, size_t size)
{
    struct meet_message first, second;
    uint8_t memory[512];
    struct writer w;
    struct reader r;

    reader_init(&r, data, size);
    if (meetmessage_get(type, &r, &first) < 0)
        return;
    writer_init(&w, memory, sizeof(memory));
    meetmessage_put(&w, type, &first);
    expect(!w.failed);
    reader_init(&r, memory, writer_length(&w));
    expect(meetmessage_get(type, &r, &second) == 0);
    expect(second.number == first.number && strcmp(second.reason, first.reason) == 0);
}

/* Whatever the other side says, no clock of ours comes back before it was sent. */
static void try_pings(const uint8_t *data, size_t size)
{
    struct direct direct;
    uint64_t now_us = 1000000;
    uint8_t own[DIRECT_PING_OCTETS];
    uint32_t received;

    direct_open(&direct, now_us);
    for (; size > 0; now_us += 1000 * (uint64_t)data[0]) {
        size_t length = size < DIRECT_PING_OCTETS ? size : DIRECT_PING_OCTETS;

        (void)direct_get(&direct, data, length, &received, now_us);
        if (direct_is_due(&direct, now_us))
            direct_put(&direct, received, own, now_us);
        expect(direct.echoed_us <= now_us);
        expect(direct_way(&direct, now_us) <= DIRECT_ALONE);
        if (size <= length)
            return;
        data += length;
        size -= length;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    if (data[0] == FRAME_MEET || data[0] == FRAME_MEET_END || data[0] == FRAME_PUNCH)
        try_frame(data[0], data + 1, size - 1);
    else if (data[0] >= MESSAGE_MEET && data[0] <= MESSAGE_PUNCH_END)
        try_message(data[0], data + 1, size - 1);
    else
        try_pings(data + 1, size - 1);
    return 0;
}
