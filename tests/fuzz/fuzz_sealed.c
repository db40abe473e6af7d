/*
 * The receiver of a connection of media that is read early, and a network that brings segments to
 * its raw socket in any order, bent ones too, and to its kernel what somebody else has put in the
 * place of genuine octets. What must hold: a packet comes once, and as it was sent; one whose frame
 * came by a whole segment has come; without anybody else's octets all come in the end, and the
 * session lives.
 *
 * Input: steps of three octets: what, which, how.
 */
#include "common/tunnel/sealed.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/tunnel/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FRAMES = 256, STREAM_OCTETS = 96 * 1024, STEPS_MAX = 600, NOW_US = 1000000, NUMBER = 7 };
enum { PAIR = 2, QUEUE_OCTETS = 65536, AGE_US = 60000, SEQUENCE = 0xfffff000 };

enum step { PUT, RAW, MERGED, BENT, KERNEL, STRAY, MOVED, STEP_COUNT };

struct run {
    struct seal_store *store;
    struct session *session[PAIR]; /* inner-relay, dmz-relay: the receiver */
    struct seal *sender;
    struct sealed *sealed;
    uint8_t stream[STREAM_OCTETS];
    size_t starts[FRAMES + 1], count;
    size_t kernel; /* what the kernel has given so far */
    bool came[FRAMES];
    bool disturbed, ended;
};

static void expect(bool condition)
{
    if (!condition)
        abort();
}

/* ---------------------------------------------------------------- the session */

static int on_hello(void *ctx, const struct hello *theirs, struct hello *reply,
                    char reason[BYE_REASON_SIZE])
{
    (void)ctx;
    (void)theirs;
    (void)reason;
    if (reply)
        reply->features = FEATURE_SEALED;
    return 0;
}

static void on_up(void *ctx, const struct hello *theirs)
{
    (void)ctx;
    (void)theirs;
}

static int on_control(void *ctx, uint8_t type, struct reader *body, uint64_t now_us)
{
    (void)ctx;
    (void)type;
    (void)body;
    (void)now_us;
    abort();
}

static void on_media(void *ctx, const struct session_packet *packets, size_t count, uint64_t now_us)
{
    struct run *run = ctx;

    (void)now_us;
    for (size_t i = 0; i < count; i++) {
        const struct session_packet *packet = &packets[i];

        expect(packet->label < run->count && !run->came[packet->label]);
        expect(packet->length + SEAL_OVER_OCTETS ==
               run->starts[packet->label + 1] - run->starts[packet->label]);
        for (size_t at = 0; at < packet->length; at++)
            expect(packet->data[at] == (uint8_t)(packet->label + at));
        run->came[packet->label] = true;
    }
}

static const struct session_hooks hooks = {
    .hello = on_hello, .up = on_up, .control = on_control, .media = on_media};

static size_t carry(struct session *from, struct session *to)
{
    static uint8_t wire[65536];
    size_t room, length = session_output(from, wire, sizeof(wire), NOW_US);

    memcpy(session_space(to, &room), wire, length);
    expect(length <= room && session_received(to, length, NOW_US) == 0);
    return length;
}

static void switch_over(struct run *run)
{
    static const struct hello hello = {
        .version_min = 1, .version_max = 1, .features = FEATURE_SEALED, .worker = NUMBER};

    for (int i = 0; i < PAIR; i++) {
        run->session[i] = session_new(i == 0 ? SESSION_INNER : SESSION_DMZ, &hooks, run, AGE_US,
                                      QUEUE_OCTETS, NOW_US);
        expect(run->session[i] != NULL);
    }
    session_start(run->session[0], &hello);
    while (carry(run->session[0], run->session[1]) + carry(run->session[1], run->session[0]) > 0)
        ;
    for (int i = 0; i < PAIR; i++) {
        session_output_is_sent(run->session[i]);
        expect(session_wire(run->session[i]) == SESSION_SEALED);
    }
}

static void start(struct run *run)
{
    static const uint8_t secret[PAIR][SEAL_SECRET_OCTETS] = {{1}, {2}};
    struct seal *seal;

    switch_over(run);
    expect(seal_store_new(&run->store) == 0);
    expect(seal_new(&run->sender, run->store, 16, secret[0], secret[1]) == 0);
    expect(seal_new(&seal, run->store, 16, secret[1], secret[0]) == 0);
    run->sealed = sealed_new(seal);
    expect(run->sealed != NULL);
}

static void stop(struct run *run)
{
    sealed_free(run->sealed);
    seal_free(run->sender);
    seal_store_free(run->store);
    for (int i = 0; i < PAIR; i++)
        session_free(run->session[i]);
    free(run);
}

/* ---------------------------------------------------------------- the network */

static size_t written(const struct run *run)
{
    return run->starts[run->count];
}

static void put(struct run *run, size_t length)
{
    uint8_t packet[PACKET_MAX_OCTETS];
    int octets;

    if (run->count == FRAMES || written(run) + SEAL_FRAME_MAX_OCTETS > STREAM_OCTETS)
        return;
    for (size_t at = 0; at < length; at++)
        packet[at] = (uint8_t)(run->count + at);
    octets = seal_put(run->sender, FRAME_MEDIA, (uint32_t)run->count, packet, length,
                      run->stream + written(run));
    expect(octets > 0);
    run->starts[run->count + 1] = written(run) + (size_t)octets;
    run->count++;
}

/* Frames first to first + count - 1 as one segment; bit: is flipped, unless it is SIZE_MAX. */
static void segment(struct run *run, size_t first, size_t count, size_t bit)
{
    static uint8_t octets[STREAM_OCTETS];
    size_t from = run->starts[first], length = run->starts[first + count] - from;

    memcpy(octets, run->stream + from, length);
    if (bit != SIZE_MAX)
        octets[bit / 8 % length] ^= (uint8_t)(1u << bit % 8);
    expect(sealed_segment(run->sealed, run->session[1], SEQUENCE + (uint32_t)from, octets, length,
                          NOW_US) >= 0);
    for (size_t i = first; i < first + count && bit == SIZE_MAX; i++)
        expect(run->came[i]);
}

static void feed(struct run *run, const uint8_t *octets, size_t length)
{
    struct session *session = run->session[1];

    while (length > 0 && !run->ended) {
        size_t room, n, skip = sealed_skip(run->sealed);
        uint8_t *space;

        if (skip > 0) {
            n = skip < length ? skip : length;
            sealed_skipped(run->sealed, n);
        } else {
            space = sealed_space(run->sealed, &room);
            n = room < length ? room : length;
            memcpy(space, octets, n);
            run->ended = sealed_received(run->sealed, session, n, NOW_US) < 0;
        }
        while (!run->ended && (session_pending(session) || sealed_pending(run->sealed)))
            run->ended =
                (session_pending(session) ? session_received(session, 0, NOW_US)
                                          : sealed_received(run->sealed, session, 0, NOW_US)) < 0;
        octets += n;
        length -= n;
    }
}

static void kernel(struct run *run, size_t most)
{
    size_t left = run->kernel < written(run) ? written(run) - run->kernel : 0;
    size_t length = most < left ? most : left;

    feed(run, run->stream + run->kernel, length);
    run->kernel += length;
}

/* Somebody else's, where genuine ones belong that the kernel will not take any more. */
static void stray(struct run *run, const uint8_t *octets, size_t length)
{
    run->disturbed = true;
    feed(run, octets, length);
    run->kernel += length;
}

static void stray_octets(struct run *run, uint8_t what, size_t length)
{
    static uint8_t octets[1024];

    memset(octets, what, sizeof(octets));
    if (what % 2)
        memcpy(octets, "\x17\x03\x03\x00", 4);
    stray(run, octets, length);
}

static void at_frame(struct run *run, enum step step, size_t which, size_t how)
{
    size_t left = run->count - which;

    switch (step) {
    case MERGED:
        segment(run, which, 1 + how % 8 < left ? 1 + how % 8 : left, SIZE_MAX);
        break;
    case BENT:
        segment(run, which, 1, how * 37);
        break;
    case MOVED:
        stray(run, run->stream + run->starts[which], run->starts[which + 1] - run->starts[which]);
        break;
    default:
        segment(run, which, 1, SIZE_MAX);
        break;
    }
}

static void do_step(struct run *run, const uint8_t *octets)
{
    enum step step = octets[0] % STEP_COUNT;

    if (step == PUT)
        put(run, 1 + octets[1] * 5u + octets[2] % 5);
    else if (step == KERNEL)
        kernel(run, 1 + octets[1] * 8u + octets[2]);
    else if (step == STRAY)
        stray_octets(run, octets[1], 1 + octets[2] * 3u);
    else if (run->count > 0)
        at_frame(run, step, octets[1] % run->count, octets[2]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct run *run = calloc(1, sizeof(*run));
    unsigned steps = 0;

    expect(run != NULL);
    start(run);
    for (size_t at = 0; at + 3 <= size && steps++ < STEPS_MAX && !run->ended; at += 3)
        do_step(run, data + at);
    kernel(run, STREAM_OCTETS);
    expect(run->disturbed || !run->ended);
    for (size_t i = 0; i < run->count && !run->disturbed; i++)
        expect(run->came[i]);
    stop(run);
    return 0;
}
