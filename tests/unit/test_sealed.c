/* Two sessions of a connection of media that switch, and what lies between them afterwards. */
#include "common/tunnel/sealed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/tunnel/frame.h"
#include "common/tunnel/session.h"
#include "common/tunnel/ways.h"
#include "tests/unit/allocs.h"
#include "tests/unit/unit.h"

enum {
    INNER,
    DMZ,
    ENDS,
    WIRE_OCTETS = 512 * 1024,
    MAX_AGE_US = 60000,
    START_US = 1000000,
    PACKETS_MAX = 4096,
};

struct end {
    struct session *session;
    struct sealed *sealed;
    unsigned ups, controls;
    struct verdict_counts counts;
    uint32_t label[PACKETS_MAX]; /* of the packets that came */
    unsigned count;
};

static struct seal_store *store;
static struct end ends[ENDS];
static uint8_t wire[WIRE_OCTETS];
static uint64_t now_us;

/* Packets of labels from here on are as large as they may be. */
static const uint32_t large = 1u << 24;

static size_t length_of(uint32_t label)
{
    return label >= large ? PACKET_MAX_OCTETS : 1 + label * 37 % 1400;
}

static void fill(uint8_t *packet, size_t length, uint32_t label)
{
    for (size_t i = 0; i < length; i++)
        packet[i] = (uint8_t)(label + i * 5);
}

/* ---------------------------------------------------------------- the sessions */

static uint64_t offered[ENDS]; /* features */

static int on_hello(void *ctx, const struct hello *theirs, struct hello *reply,
                    char reason[BYE_REASON_SIZE])
{
    (void)ctx;
    (void)theirs;
    (void)reason;
    if (reply)
        reply->features = offered[DMZ];
    return 0;
}

static void on_up(void *ctx, const struct hello *theirs)
{
    (void)theirs;
    ((struct end *)ctx)->ups++;
}

static int on_control(void *ctx, uint8_t type, struct reader *body, uint64_t at_us)
{
    (void)type;
    (void)body;
    (void)at_us;
    ((struct end *)ctx)->controls++;
    return ERR_PROTOCOL;
}

static void on_media(void *ctx, const struct session_packet *packets, size_t count, uint64_t at_us)
{
    struct end *end = ctx;
    uint8_t wanted[PACKET_MAX_OCTETS];

    (void)at_us;
    for (size_t i = 0; i < count && end->count < PACKETS_MAX; i++) {
        fill(wanted, packets[i].length, packets[i].label);
        ck_assert_uint_eq(packets[i].length, length_of(packets[i].label));
        ck_assert_mem_eq(packets[i].data, wanted, packets[i].length);
        end->label[end->count++] = packets[i].label;
    }
}

static const struct session_hooks hooks = {
    .hello = on_hello,
    .up = on_up,
    .control = on_control,
    .media = on_media,
};

static int receive(struct end *end, const uint8_t *octets, size_t length)
{
    size_t size;

    memcpy(session_space(end->session, &size), octets, length);
    ck_assert_uint_le(length, size);
    return session_received(end->session, length, now_us);
}

/* As long as TLS is around it. Returns how many octets went. */
static size_t carry(struct end *from, struct end *to)
{
    size_t length = session_output(from->session, wire, sizeof(wire), now_us);

    if (length > 0)
        receive(to, wire, length);
    return length;
}

static void open_sessions(uint64_t inner_features, uint64_t dmz_features, uint8_t number)
{
    struct hello hello = {.version_min = 1,
                          .version_max = 1,
                          .epoch = 1,
                          .features = inner_features,
                          .worker = number};

    memset(ends, 0, sizeof(ends));
    now_us = START_US;
    offered[INNER] = inner_features;
    offered[DMZ] = dmz_features;
    for (int i = 0; i < ENDS; i++) {
        ends[i].session = session_new(i == INNER ? SESSION_INNER : SESSION_DMZ, &hooks, &ends[i],
                                      MAX_AGE_US, 1024 * 1024, now_us);
        ck_assert_ptr_nonnull(ends[i].session);
    }
    session_start(ends[INNER].session, &hello);
    carry(&ends[INNER], &ends[DMZ]);
    carry(&ends[DMZ], &ends[INNER]);
}

static void close_sessions(void)
{
    for (int i = 0; i < ENDS; i++) {
        sealed_free(ends[i].sealed);
        session_free(ends[i].session);
        ck_assert_uint_eq(ends[i].counts.received, verdict_sum(&ends[i].counts));
        ends[i].session = NULL;
    }
    seal_store_free(store);
    store = NULL;
}

static void start_sealed(struct end *end, unsigned out)
{
    static const uint8_t secret[ENDS][SEAL_SECRET_OCTETS] = {{1}, {2}};
    struct seal *seal;

    ck_assert_int_eq(seal_new(&seal, store, 16, secret[out], secret[1 - out]), 0);
    end->sealed = sealed_new(seal);
    ck_assert_ptr_nonnull(end->sealed);
}

static void switch_over_with(uint64_t inner_features, uint64_t dmz_features)
{
    ck_assert_int_eq(seal_store_new(&store), 0);
    open_sessions(FEATURE_SEALED | inner_features, FEATURE_SEALED | dmz_features, 7);
    while (carry(&ends[INNER], &ends[DMZ]) + carry(&ends[DMZ], &ends[INNER]) > 0)
        ;
    for (unsigned i = 0; i < ENDS; i++) {
        session_output_is_sent(ends[i].session);
        ck_assert_int_eq(session_wire(ends[i].session), SESSION_SEALED);
        start_sealed(&ends[i], i);
    }
}

static void switch_over(void)
{
    switch_over_with(0, 0);
}

/* ---------------------------------------------------------------- switching */

START_TEST(test_switch)
{
    size_t length;

    ck_assert_int_eq(seal_store_new(&store), 0);
    open_sessions(FEATURE_SEALED, FEATURE_SEALED, 7);
    ck_assert_uint_eq(session_number(ends[INNER].session), 7);
    ck_assert_uint_eq(session_number(ends[DMZ].session), 7);
    /* It is up, but its owner is not told before it can carry media. */
    ck_assert_int_eq(session_state(ends[DMZ].session), SESSION_UP);
    ck_assert_int_eq(session_wire(ends[INNER].session), SESSION_SWITCHING);
    ck_assert_uint_eq(ends[INNER].ups + ends[DMZ].ups, 0);

    /* SWITCH is the last that the inner-relay says in TLS. */
    now_us += PING_INTERVAL_US;
    ck_assert_int_eq(session_tick(ends[INNER].session, now_us), 0);
    length = carry(&ends[INNER], &ends[DMZ]);
    ck_assert_uint_eq(length, FRAME_HEAD_OCTETS);
    ck_assert_uint_eq(wire[2], FRAME_SWITCH);
    ck_assert_uint_eq(session_output(ends[INNER].session, wire, sizeof(wire), now_us), 0);
    session_output_is_sent(ends[INNER].session);
    ck_assert_int_eq(session_wire(ends[INNER].session), SESSION_SWITCHING);

    ck_assert(session_input_is_sealed(ends[DMZ].session));
    session_output_is_sent(ends[DMZ].session);
    ck_assert_int_eq(session_wire(ends[DMZ].session), SESSION_SWITCHING);
    ck_assert(!session_input_is_sealed(ends[INNER].session));
    length = carry(&ends[DMZ], &ends[INNER]);
    ck_assert_uint_eq(wire[length - 1], FRAME_SWITCH_OK);
    for (int i = 0; i < ENDS; i++) {
        ck_assert(session_input_is_sealed(ends[i].session));
        session_output_is_sent(ends[i].session);
        session_output_is_sent(ends[i].session);
        ck_assert_int_eq(session_wire(ends[i].session), SESSION_SEALED);
        ck_assert_uint_eq(ends[i].ups, 1);
    }
    /* What had to wait: PING. */
    length = session_output(ends[INNER].session, wire, sizeof(wire), now_us);
    ck_assert_uint_gt(length, FRAME_HEAD_OCTETS);
    ck_assert_uint_eq(wire[2], FRAME_PING);
    close_sessions();
}
END_TEST

static const struct {
    uint64_t inner, dmz;
    uint8_t number;
} plain[] = {
    {0, FEATURE_SEALED, 1},
    {FEATURE_SEALED, 0, 1},
    {FEATURE_SEALED, FEATURE_SEALED, 0}, /* it carries control */
    {FEATURE_WORKERS, FEATURE_WORKERS, 1},
};

START_TEST(test_stays_plain)
{
    open_sessions(plain[_i].inner, plain[_i].dmz, plain[_i].number);
    ck_assert_uint_eq(carry(&ends[INNER], &ends[DMZ]), 0);
    for (int i = 0; i < ENDS; i++) {
        ck_assert_int_eq(session_wire(ends[i].session), SESSION_PLAIN);
        ck_assert_uint_eq(ends[i].ups, 1);
    }
    close_sessions();
}
END_TEST

/* What may not come; to: who hears it. switched: both have switched before. */
static const struct {
    int to;
    uint64_t features;
    bool switched;
    const char *octets, *reason;
} wrong[] = {
    {DMZ, FEATURE_SEALED, false, "000113", "SWITCH where none"},
    {INNER, FEATURE_SEALED, false, "000112", "SWITCH where none"},
    {DMZ, 0, false, "000112", "SWITCH where none"},
    {INNER, 0, false, "000113", "SWITCH where none"},
    {DMZ, FEATURE_SEALED, false, "00021200", "SWITCH where none"},
    {INNER, FEATURE_SEALED, false, "00021300", "SWITCH where none"},
    {DMZ, FEATURE_SEALED, false, "000112000112", "behind SWITCH"},
    {DMZ, FEATURE_SEALED, false, "00011200", "behind SWITCH"},
    {INNER, FEATURE_SEALED, false, "0001130006800000000155", "behind SWITCH"},
    {DMZ, FEATURE_SEALED, true, "000112", "SWITCH where none"},
    {INNER, FEATURE_SEALED, true, "000113", "SWITCH where none"},
};

START_TEST(test_wrong)
{
    uint8_t octets[32];
    size_t length = unit_hex(wrong[_i].octets, octets, sizeof(octets));
    struct end *to = &ends[wrong[_i].to];

    if (wrong[_i].switched)
        switch_over();
    else
        open_sessions(wrong[_i].features, wrong[_i].features, 1);
    ck_assert_int_lt(receive(to, octets, length), 0);
    ck_assert_int_eq(session_state(to->session), SESSION_ENDED);
    ck_assert_msg(strstr(session_reason(to->session), wrong[_i].reason) != NULL, "%s",
                  session_reason(to->session));
    close_sessions();
}
END_TEST

/* A sign of life is no SWITCH. */
START_TEST(test_no_switch)
{
    uint8_t octets[64];
    size_t length = unit_hex("0019 03 800b 0008 0000000000000001 8007 0008 0000000000000000",
                             octets, sizeof(octets)); /* PING */

    open_sessions(FEATURE_SEALED, FEATURE_SEALED, 1);
    for (; now_us < START_US + HANDSHAKE_TIMEOUT_US; now_us += PING_INTERVAL_US) {
        ck_assert_int_eq(session_tick(ends[DMZ].session, now_us), 0);
        ck_assert_int_eq(receive(&ends[DMZ], octets, length), 0);
    }
    ck_assert_int_lt(session_tick(ends[DMZ].session, now_us), 0);
    ck_assert_ptr_nonnull(strstr(session_reason(ends[DMZ].session), "no SWITCH"));
    close_sessions();
}
END_TEST

/* ---------------------------------------------------------------- frames */

static void send_packet(struct end *end, uint32_t label)
{
    uint8_t packet[PACKET_MAX_OCTETS];

    fill(packet, length_of(label), label);
    end->counts.received++;
    session_media(end->session, label, packet, length_of(label), &end->counts, now_us);
}

/* All that an end has to say, into the wire; the socket takes so many octets at a time. */
static size_t drain(struct end *end, size_t bite)
{
    struct iovec segments[SEALED_SEGMENTS_MAX];
    size_t length = 0, count;

    while (sealed_fill(end->sealed, end->session, now_us) > 0) {
        while ((count = sealed_segments(end->sealed, segments)) > 0) {
            size_t taken = segments[0].iov_len < bite ? segments[0].iov_len : bite;

            ck_assert_uint_le(length + taken, sizeof(wire));
            memcpy(wire + length, segments[0].iov_base, taken);
            sealed_sent(end->sealed, taken);
            length += taken;
        }
    }
    return length;
}

static int feed(struct end *end, const uint8_t *octets, size_t length, size_t piece)
{
    int result = 0;

    while (length > 0 && result == 0) {
        size_t size, n = length < piece ? length : piece;
        uint8_t *space = sealed_space(end->sealed, &size);

        ck_assert_uint_gt(size, 0);
        n = n < size ? n : size;
        memcpy(space, octets, n);
        result = sealed_received(end->sealed, end->session, n, now_us);
        while (result == 0 && (session_pending(end->session) || sealed_pending(end->sealed)))
            result = session_pending(end->session)
                         ? session_received(end->session, 0, now_us)
                         : sealed_received(end->sealed, end->session, 0, now_us);
        octets += n;
        length -= n;
    }
    return result;
}

static void expect_row(const struct end *end, uint32_t first, unsigned count)
{
    ck_assert_uint_eq(end->count, count);
    for (unsigned i = 0; i < count; i++)
        ck_assert_uint_eq(end->label[i], first + i);
}

static const struct {
    size_t bite, piece;
} cuts[] = {{SIZE_MAX, SIZE_MAX}, {SIZE_MAX, 1}, {1000, 77}, {1, 1500}, {777, 40000}};

START_TEST(test_both_ways)
{
    enum { PACKETS = 300 };

    switch_over();
    for (int i = 0; i < ENDS; i++) {
        for (uint32_t label = 1; label <= PACKETS; label++)
            send_packet(&ends[i], label);
        ck_assert_int_eq(feed(&ends[1 - i], wire, drain(&ends[i], cuts[_i].bite), cuts[_i].piece),
                         0);
        expect_row(&ends[1 - i], 1, PACKETS);
        ck_assert_uint_eq(sealed_count(ends[1 - i].sealed, SEAL_OPENED), PACKETS);
        ck_assert_uint_eq(ends[i].counts.n[VERDICT_ACCEPTED], PACKETS);
    }
    close_sessions();
}
END_TEST

/* Whole frames in each, as many as there is room for; what is larger stands alone. */
START_TEST(test_segments)
{
    static const size_t sizes[] = {256, 536, 1220, 1448, 8192};
    struct iovec segments[SEALED_SEGMENTS_MAX];
    size_t room = sizes[_i], before = 0;
    unsigned frames = 0;

    switch_over();
    sealed_set_segment(ends[INNER].sealed, room);
    for (uint32_t label = 1; label <= 200; label++)
        send_packet(&ends[INNER], label);
    while (sealed_fill(ends[INNER].sealed, ends[INNER].session, now_us) > 0) {
        size_t count = sealed_segments(ends[INNER].sealed, segments);

        before = 0;
        for (size_t i = 0; i < count; i++) {
            const uint8_t *at = segments[i].iov_base;
            size_t left = segments[i].iov_len, first = (size_t)seal_length(at, left);

            ck_assert(left <= room || left == first);
            ck_assert(i == 0 || before + first > room);
            for (; left > 0; frames++) {
                int whole = seal_length(at, left);

                ck_assert(whole > 0 && (size_t)whole <= left);
                at += whole;
                left -= (size_t)whole;
            }
            before = segments[i].iov_len;
            sealed_sent(ends[INNER].sealed, segments[i].iov_len);
        }
        ck_assert_uint_eq(sealed_segments(ends[INNER].sealed, segments), 0);
    }
    ck_assert_uint_eq(frames, 200);
    close_sessions();
}
END_TEST

/* Tiny ones take four times the octets when they are sealed. */
START_TEST(test_many_small)
{
    enum { PACKETS = 3000 };
    static uint8_t packet[1];

    switch_over();
    for (uint32_t i = 0; i < PACKETS; i++) {
        uint32_t label = i * 1400; /* of one octet each */

        packet[0] = (uint8_t)label;
        ends[INNER].counts.received++;
        session_media(ends[INNER].session, label, packet, 1, &ends[INNER].counts, now_us);
    }
    ck_assert_int_eq(feed(&ends[DMZ], wire, drain(&ends[INNER], SIZE_MAX), SIZE_MAX), 0);
    ck_assert_uint_eq(ends[DMZ].count, PACKETS);
    close_sessions();
}
END_TEST

/* The session's room is full before a helping is: what is left waits for nobody. */
START_TEST(test_many_large)
{
    enum { PACKETS = 32 };

    switch_over();
    for (uint32_t i = 0; i < PACKETS; i++)
        send_packet(&ends[INNER], large + i);
    ck_assert_int_eq(feed(&ends[DMZ], wire, drain(&ends[INNER], SIZE_MAX), SIZE_MAX), 0);
    expect_row(&ends[DMZ], large, PACKETS);
    close_sessions();
}
END_TEST

START_TEST(test_heartbeat_and_bye)
{
    switch_over();
    now_us += PING_INTERVAL_US;
    ck_assert_int_eq(session_tick(ends[INNER].session, now_us), 0);
    ck_assert_int_eq(feed(&ends[DMZ], wire, drain(&ends[INNER], SIZE_MAX), SIZE_MAX), 0);
    now_us += 1234;
    ck_assert_int_eq(feed(&ends[INNER], wire, drain(&ends[DMZ], SIZE_MAX), SIZE_MAX), 0);
    ck_assert_uint_eq(session_rtt_us(ends[INNER].session), 1234);
    session_bye(ends[DMZ].session, "the test ends");
    ck_assert_int_lt(feed(&ends[INNER], wire, drain(&ends[DMZ], SIZE_MAX), SIZE_MAX), 0);
    ck_assert_ptr_nonnull(strstr(session_reason(ends[INNER].session), "the test ends"));
    close_sessions();
}
END_TEST

/* Frames of SAs have no business here. */
START_TEST(test_control)
{
    uint8_t frame[SEAL_FRAME_MAX_OCTETS];
    static const uint8_t secret[ENDS][SEAL_SECRET_OCTETS] = {{1}, {2}};
    struct seal *seal;
    int length;

    switch_over();
    ck_assert_int_eq(seal_new(&seal, store, 16, secret[INNER], secret[DMZ]), 0);
    length = seal_put(seal, FRAME_SA_PUT, 0, (const uint8_t *)"x", 1, frame);
    ck_assert_int_gt(length, 0);
    ck_assert_int_lt(feed(&ends[DMZ], frame, (size_t)length, SIZE_MAX), 0);
    ck_assert_uint_eq(ends[DMZ].controls, 1);
    seal_free(seal);
    close_sessions();
}
END_TEST

/* ---------------------------------------------------------------- what is not as it should be */

/* One bit of the second of three frames: it is passed by, or nobody can tell where the third is. */
START_TEST(test_flipped)
{
    size_t length, first, second;

    switch_over();
    for (uint32_t label = 1; label <= 3; label++)
        send_packet(&ends[INNER], label);
    length = drain(&ends[INNER], SIZE_MAX);
    first = (size_t)seal_length(wire, length);
    second = (size_t)seal_length(wire + first, length - first);
    close_sessions();
    for (size_t bit = 0; bit < 8 * second; bit += unit_stride(7)) {
        bool framing = bit < 8 * SEAL_START_OCTETS;
        int result;

        switch_over();
        for (uint32_t label = 1; label <= 3; label++)
            send_packet(&ends[INNER], label);
        length = drain(&ends[INNER], SIZE_MAX);
        wire[first + bit / 8] ^= (uint8_t)(1 << bit % 8);
        result = feed(&ends[DMZ], wire, length, SIZE_MAX);
        ck_assert_uint_eq(ends[DMZ].label[0], 1);
        if (!framing) {
            ck_assert_int_eq(result, 0);
            ck_assert_uint_eq(ends[DMZ].count, 2);
            ck_assert_uint_eq(ends[DMZ].label[1], 3);
            ck_assert_uint_eq(
                sealed_count(ends[DMZ].sealed, SEAL_FORGED) +
                    sealed_count(ends[DMZ].sealed, SEAL_REPLAYED), /* the counter of the first */
                1);
        } else if (bit < 24) {
            ck_assert_int_lt(result, 0);
            ck_assert_ptr_nonnull(strstr(session_reason(ends[DMZ].session), "no sealed frame"));
        }
        ck_assert_uint_le(ends[DMZ].count, 2);
        close_sessions();
    }
}
END_TEST

/* ---------------------------------------------------------------- taking over */

static enum session_take takes(unsigned end)
{
    return session_take(ends[end].session);
}

/* All that one side has to say, which is of this type alone; 0: it has nothing to say. */
static void pass(unsigned from, uint8_t type)
{
    uint64_t before = session_counters(ends[1 - from].session)->frames_in;
    size_t length = drain(&ends[from], SIZE_MAX);

    ck_assert_int_eq(length > 0, type != 0);
    ck_assert_int_eq(feed(&ends[1 - from], wire, length, SIZE_MAX), 0);
    ck_assert_uint_eq(session_counters(ends[1 - from].session)->frames_in - before, length > 0);
}

static void ping(unsigned from)
{
    now_us += PING_INTERVAL_US;
    ck_assert_int_eq(session_tick(ends[from].session, now_us), 0);
}

/* As far as the dmz-relay's answer. */
static void ask_for_it(void)
{
    switch_over_with(FEATURE_RAW, FEATURE_RAW);
    ck_assert(session_may_be_taken(ends[INNER].session));
    ck_assert_uint_eq(ends[DMZ].ups, 1);
    ck_assert_uint_eq(ends[INNER].ups, 0);
    pass(INNER, 0);
    /* The dmz-relay says at once that it is there. */
    ck_assert_int_eq(session_tick(ends[DMZ].session, now_us), 0);
    pass(DMZ, FRAME_PING);
    ck_assert_int_eq(takes(INNER), SESSION_TAKE_ASKED);
    ck_assert_int_eq(takes(DMZ), SESSION_TAKE_WAITING);
}

START_TEST(test_take)
{
    static struct ways ways;
    uint8_t packet[] = {0x80, 0};
    size_t length;
    unsigned hung;

    ask_for_it();
    /* What comes afterwards waits: TAKE, and the answer to PING before it, are the last. */
    ping(INNER);
    send_packet(&ends[INNER], 1);
    length = drain(&ends[INNER], SIZE_MAX);
    ck_assert_int_eq(feed(&ends[DMZ], wire, length, SIZE_MAX), 0);
    ck_assert_uint_eq(ends[DMZ].count, 0);
    ck_assert_int_eq(takes(DMZ), SESSION_TAKE_PREPARE);
    ck_assert_uint_eq(drain(&ends[DMZ], SIZE_MAX), 0);
    session_take_prepared(ends[DMZ].session, NULL);
    send_packet(&ends[DMZ], 2);
    ck_assert_int_eq(takes(DMZ), SESSION_TAKE_ANSWERED);
    pass(DMZ, FRAME_TAKE_OK);
    ck_assert_uint_eq(ends[INNER].count, 0);
    ck_assert_int_eq(takes(INNER), SESSION_TAKE_PREPARE);
    session_take_prepared(ends[INNER].session, NULL);
    ck_assert_int_eq(takes(INNER), SESSION_TAKE_OVER);
    ck_assert_uint_eq(drain(&ends[INNER], SIZE_MAX), 0);

    session_taken(ends[INNER].session);
    ck_assert_int_eq(takes(INNER), SESSION_TAKE_PROVING);
    hung = 0;
    ck_assert(session_take_has_failed(ends[INNER].session, &hung));
    length = drain(&ends[INNER], SIZE_MAX);
    ck_assert_int_eq(feed(&ends[DMZ], wire, length, SIZE_MAX), 0);
    ck_assert_int_eq(takes(DMZ), SESSION_TAKE_OVER);
    ways_init(&ways, ends[DMZ].session);
    ways_open(&ways, ends[DMZ].session, now_us);
    ck_assert(!ways.choice.holes);
    session_take_again(ends[INNER].session);
    pass(INNER, FRAME_TAKE_OK);
    session_taken(ends[DMZ].session);
    ck_assert_int_eq(takes(DMZ), SESSION_TAKE_DONE);
    ck_assert_uint_eq(ends[INNER].ups, 0);
    length = drain(&ends[DMZ], SIZE_MAX);
    ck_assert_int_eq(feed(&ends[INNER], wire, length, SIZE_MAX), 0);
    ck_assert_int_eq(takes(INNER), SESSION_TAKE_DONE);
    ck_assert(!session_take_has_failed(ends[INNER].session, &hung));
    for (unsigned i = 0; i < ENDS; i++) {
        ck_assert_uint_eq(ends[i].ups, 1);
        ck_assert_uint_eq(ends[i].count, 1); /* what had waited */
        ck_assert_str_eq(session_take_refused(ends[i].session), "");
    }
    /* From here on it can leave out a segment, and has to prove that what is behind one comes. */
    ends[DMZ].counts.received++;
    ways_media(&ways, 3, packet, sizeof(packet), &ends[DMZ].counts, now_us);
    ck_assert(ways.choice.holes);
    close_sessions();
}
END_TEST

START_TEST(test_take_refused)
{
    size_t length;
    unsigned hung;

    ask_for_it();
    length = drain(&ends[INNER], SIZE_MAX);
    ck_assert_int_eq(feed(&ends[DMZ], wire, length, SIZE_MAX), 0);
    session_take_prepared(ends[DMZ].session, "not today");
    length = drain(&ends[DMZ], SIZE_MAX);
    ck_assert_int_eq(feed(&ends[INNER], wire, length, SIZE_MAX), 0);
    for (unsigned i = 0; i < ENDS; i++) {
        ck_assert_int_eq(takes(i), SESSION_TAKE_NONE);
        ck_assert_uint_eq(ends[i].ups, 1);
        ck_assert_str_eq(session_take_refused(ends[i].session), "not today");
        send_packet(&ends[i], 5);
        length = drain(&ends[i], SIZE_MAX);
        ck_assert_int_eq(feed(&ends[1 - i], wire, length, SIZE_MAX), 0);
        ck_assert_uint_eq(ends[1 - i].count, 1);
    }
    hung = 2;
    ck_assert(session_take_has_failed(ends[INNER].session, &hung));
    close_sessions();
}
END_TEST

/* One side alone does not make it. */
START_TEST(test_take_not_agreed)
{
    switch_over_with(_i ? FEATURE_RAW : 0, _i ? 0 : FEATURE_RAW);
    for (unsigned i = 0; i < ENDS; i++) {
        ck_assert(!session_may_be_taken(ends[i].session));
        ck_assert_int_eq(takes(i), SESSION_TAKE_NONE);
        ck_assert_uint_eq(ends[i].ups, 1);
    }
    close_sessions();
}
END_TEST

/* Where what is waited for never comes, silence ends it. */
START_TEST(test_take_too_slow)
{
    unsigned hung = 0;

    ask_for_it();
    now_us += DEAD_PEER_US;
    ck_assert_int_lt(session_tick(ends[INNER].session, now_us), 0);
    ck_assert_int_lt(session_tick(ends[DMZ].session, now_us), 0);
    /* Once says nothing, nor twice; but three times in a row. */
    ck_assert(!session_take_has_failed(ends[INNER].session, &hung));
    ck_assert(!session_take_has_failed(ends[INNER].session, &hung));
    ck_assert(session_take_has_failed(ends[INNER].session, &hung));
    ck_assert_uint_eq(hung, 0);
    close_sessions();
}
END_TEST

/* Frames of it where none may come: from this side, to the other one, which ends. */
static const struct {
    unsigned to;
    uint64_t features;
    uint8_t type;
} odd_takes[] = {
    {DMZ, FEATURE_RAW, FRAME_TAKE_OK}, {INNER, FEATURE_RAW, FRAME_TAKE}, {DMZ, 0, FRAME_TAKE},
    {DMZ, 0, FRAME_TAKE_OK},           {INNER, 0, FRAME_TAKE},           {INNER, 0, FRAME_TAKE_OK},
};

START_TEST(test_take_odd)
{
    unsigned to = odd_takes[_i].to;
    size_t length;

    switch_over_with(odd_takes[_i].features, odd_takes[_i].features);
    session_control(ends[1 - to].session, odd_takes[_i].type, "", 0);
    length = drain(&ends[1 - to], SIZE_MAX);
    ck_assert_int_eq(feed(&ends[to], wire, length, SIZE_MAX), ERR_CLOSED);
    close_sessions();
}
END_TEST

/* Octets of the wire as a segment, whose numbers wrap. */
static int early(uint32_t offset, size_t length)
{
    return sealed_segment(ends[DMZ].sealed, ends[DMZ].session, 0xfffffff0 + offset, wire + offset,
                          length, now_us);
}

/* As a second source gives them: any order, and the connection has them again. */
START_TEST(test_early)
{
    enum { PACKETS = 60 };
    const uint8_t *at[PACKETS];
    size_t length, sizes[PACKETS], done = 0;

    switch_over();
    for (uint32_t label = 0; label < PACKETS; label++)
        send_packet(&ends[INNER], label);
    length = drain(&ends[INNER], SIZE_MAX);
    for (unsigned i = 0; i < PACKETS; i++) {
        at[i] = wire + done;
        sizes[i] = (size_t)seal_length(wire + done, length - done);
        done += sizes[i];
    }
    for (unsigned i = 0; i < PACKETS; i++) {
        unsigned n = i * 7 % PACKETS;
        uint32_t offset;

        if (n % 3 == 0)
            continue; /* lost, for that source */
        offset = (uint32_t)(at[n] - wire);
        ck_assert_int_eq(early(offset, sizes[n]), 0);
        ck_assert_uint_eq(ends[DMZ].label[ends[DMZ].count - 1], n);
        ck_assert_int_eq(early(offset, sizes[n]), 0);
        ck_assert_int_eq(early(offset + 1, sizes[n] - 1), 0);
        ck_assert_int_eq(early(offset, sizes[n] - 1), 0);
    }
    ck_assert_uint_eq(ends[DMZ].count, PACKETS - PACKETS / 3);
    ck_assert_int_eq(feed(&ends[DMZ], wire, length, 100), 0);
    ck_assert_uint_eq(ends[DMZ].count, PACKETS);
    for (unsigned i = 0; i < PACKETS / 3; i++)
        ck_assert_uint_eq(ends[DMZ].label[PACKETS - PACKETS / 3 + i], 3 * i);
    ck_assert_uint_eq(sealed_count(ends[DMZ].sealed, SEAL_OPENED), PACKETS);
    close_sessions();
}
END_TEST

/* Frame by frame from wire on; returns the octets. */
static size_t make_frames(unsigned packets, size_t *starts)
{
    size_t length, done = 0;

    for (uint32_t label = 0; label < packets; label++)
        send_packet(&ends[INNER], label);
    length = drain(&ends[INNER], SIZE_MAX);
    for (unsigned i = 0; i < packets; i++) {
        starts[i] = done;
        done += (size_t)seal_length(wire + done, length - done);
    }
    starts[packets] = done;
    ck_assert_uint_eq(done, length);
    return length;
}

/* Before frame 10 comes: octets of somebody else at its number, which the kernel keeps. */
static const struct {
    const char *head; /* of these; NULL: a frame that came */
    size_t octets;
} strays[] = {
    {"abcde", 1},
    {"abcde", 100},
    {"abcde", 5000},
    {"\x17\x03\x03\x00\x50", 85},  /* as long as it says, */
    {"\x17\x03\x03\x00\x50", 60},  /* shorter, */
    {"\x17\x03\x03\x00\x50", 500}, /* longer */
    {"\x17\x03\x03\x05\x70", 1000},
    {"\x17\x03\x03\xff\xff", 30},
    {"\x17\x03", 2},
    {NULL, 0},
};

START_TEST(test_stray)
{
    enum { PACKETS = 60, AT = 10 };
    size_t starts[PACKETS + 1], length, at, octets = strays[_i].octets;
    static uint8_t stray[8192];

    switch_over();
    length = make_frames(PACKETS, starts);
    at = starts[AT];
    if (strays[_i].head) {
        memset(stray, 0x5a, sizeof(stray));
        memcpy(stray, strays[_i].head, octets < 5 ? octets : 5);
    } else {
        octets = starts[6] - starts[5];
        memcpy(stray, wire + starts[5], octets);
    }
    for (unsigned i = 0; i < AT; i++)
        ck_assert_int_eq(early((uint32_t)starts[i], starts[i + 1] - starts[i]), 0);
    ck_assert_int_eq(feed(&ends[DMZ], wire, at, SIZE_MAX), 0);
    ck_assert_int_eq(feed(&ends[DMZ], stray, octets, SIZE_MAX), 0);
    at += octets;
    for (unsigned i = AT; i < PACKETS; i++) {
        ck_assert_int_eq(early((uint32_t)starts[i], starts[i + 1] - starts[i]), 0);
        if (at >= starts[i + 1])
            continue; /* the kernel has that already */
        ck_assert_int_eq(feed(&ends[DMZ], wire + at, starts[i + 1] - at, SIZE_MAX), 0);
        at = starts[i + 1];
    }
    expect_row(&ends[DMZ], 0, PACKETS);
    ck_assert_uint_eq(at, length);
    ck_assert_int_eq(session_state(ends[DMZ].session), SESSION_UP);
    close_sessions();
}
END_TEST

/* Without end, and without anything genuine in between: nobody can tell. */
START_TEST(test_stray_only)
{
    enum { PACKETS = 10 };
    static uint8_t stray[1000];
    size_t starts[PACKETS + 1], passed = 0;
    int result = 0;

    switch_over();
    (void)make_frames(PACKETS, starts);
    ck_assert_int_eq(early(0, starts[PACKETS]), 0);
    ck_assert_int_eq(feed(&ends[DMZ], wire, starts[PACKETS], SIZE_MAX), 0);
    for (; result == 0 && passed < 1000000; passed += sizeof(stray))
        result = feed(&ends[DMZ], stray, sizeof(stray), SIZE_MAX);
    ck_assert_int_lt(result, 0);
    ck_assert(passed > 50000 && passed < 100000);
    ck_assert_uint_gt(sealed_early_count(ends[DMZ].sealed, EARLY_STRAY), 50000);
    ck_assert_ptr_nonnull(strstr(session_reason(ends[DMZ].session), "no sealed frame"));
    close_sessions();
}
END_TEST

START_TEST(test_late)
{
    switch_over();
    send_packet(&ends[INNER], 1);
    now_us += MAX_AGE_US + 1;
    send_packet(&ends[INNER], 2);
    ck_assert_int_eq(feed(&ends[DMZ], wire, drain(&ends[INNER], SIZE_MAX), SIZE_MAX), 0);
    expect_row(&ends[DMZ], 2, 1);
    ck_assert_uint_eq(ends[INNER].counts.n[VERDICT_TUNNEL_LATE], 1);
    close_sessions();
}
END_TEST

START_TEST(test_no_allocation)
{
    int bad = 0;

    switch_over();
    allocs_begin();
    for (unsigned round = 0; round < 100; round++) {
        for (uint32_t label = 1; label <= 10; label++)
            send_packet(&ends[INNER], label);
        bad += feed(&ends[DMZ], wire, drain(&ends[INNER], SIZE_MAX), SIZE_MAX) != 0;
    }
    ck_assert_uint_eq(allocs_end(), 0);
    ck_assert_int_eq(bad, 0);
    ck_assert_uint_eq(ends[DMZ].count, 1000);
    close_sessions();
}
END_TEST

/* ---------------------------------------------------------------- frames that are sent again */

/* What the inner-relay has sent, as the kernel at the other end will have it. */
static uint8_t stream[128 * 1024];
static size_t streamed;

/* Appends what it has to say; how many octets. */
static size_t say(void)
{
    size_t length = drain(&ends[INNER], SIZE_MAX);

    ck_assert_uint_le(streamed + length, sizeof(stream));
    memcpy(stream + streamed, wire, length);
    streamed += length;
    return length;
}

/* Frame by frame, early, what was appended last; but for the one of this number. */
static void hear(size_t length, unsigned lost)
{
    size_t at = streamed - length;

    for (unsigned i = 0; at < streamed; i++) {
        size_t whole = (size_t)seal_length(stream + at, streamed - at);

        /* What is opened is spoiled, and the kernel's copy is not. */
        memcpy(wire, stream + at, whole);
        if (i != lost)
            ck_assert_int_eq(sealed_segment(ends[DMZ].sealed, ends[DMZ].session, (uint32_t)at, wire,
                                            whole, now_us),
                             0);
        at += whole;
    }
}

static void say_packets(uint32_t first, unsigned count, unsigned lost)
{
    for (unsigned i = 0; i < count; i++)
        send_packet(&ends[INNER], first + i);
    hear(say(), lost);
}

/* What the dmz-relay asks for reaches the inner-relay. */
static size_t ask(void)
{
    size_t length = drain(&ends[DMZ], SIZE_MAX);

    ck_assert_int_eq(feed(&ends[INNER], wire, length, SIZE_MAX), 0);
    return length;
}

static void expect_all(unsigned count)
{
    bool seen[PACKETS_MAX] = {false};

    ck_assert_uint_eq(ends[DMZ].count, count);
    for (unsigned i = 0; i < count; i++) {
        ck_assert_uint_lt(ends[DMZ].label[i], count);
        ck_assert(!seen[ends[DMZ].label[i]]);
        seen[ends[DMZ].label[i]] = true;
    }
}

/* From the first question on frames are kept; what was lost comes again, and once. */
START_TEST(test_again)
{
    size_t length;

    switch_over();
    streamed = 0;
    for (int i = 0; i < ENDS; i++)
        sealed_repeats(ends[i].sealed);
    say_packets(0, 20, 5);
    ck_assert_uint_gt(ask(), 0);
    ck_assert_uint_eq(ask(), 0);
    ck_assert_uint_eq(say(), 0);
    say_packets(20, 20, 5);
    ck_assert_uint_eq(ends[DMZ].count, 38);
    ck_assert_uint_gt(ask(), 0);
    length = say();
    ck_assert_uint_eq(length, SEAL_OVER_OCTETS + length_of(25));
    ck_assert_uint_eq(seal_counter_of(stream + streamed - length), 25);
    hear(length, UINT32_MAX);
    ck_assert_uint_eq(ends[DMZ].label[ends[DMZ].count - 1], 25);
    ck_assert_uint_eq(sealed_asked_for(ends[DMZ].sealed), 2);
    ck_assert_uint_eq(sealed_repeated(ends[INNER].sealed), 1);
    ck_assert_int_eq(feed(&ends[DMZ], stream, streamed, 1000), 0);
    expect_all(40);
    say_packets(40, 20, UINT32_MAX);
    ck_assert_uint_eq(ask(), 0);
    close_sessions();
}
END_TEST

/* A copy that comes before it is known where the kernel's order is does not tell that. */
START_TEST(test_again_before_anchor)
{
    enum { PACKETS = 120, LOST = 1, AGAIN = 30 };
    size_t starts[PACKETS + 1], length = 0;

    switch_over();
    streamed = 0;
    for (uint32_t label = 0; label < PACKETS; label++)
        send_packet(&ends[INNER], label);
    (void)say();
    for (unsigned i = 0; i < PACKETS; i++) {
        starts[i] = length;
        length += (size_t)seal_length(stream + length, streamed - length);
    }
    starts[PACKETS] = length;
    length = starts[AGAIN + 1] - starts[AGAIN];
    memcpy(stream + streamed, stream + starts[AGAIN], length);
    streamed += length;

    ck_assert_int_eq(feed(&ends[DMZ], stream, starts[1], SIZE_MAX), 0);
    for (unsigned i = LOST + 1; i <= PACKETS; i++) {
        size_t at = i < PACKETS ? starts[i] : streamed - length;
        size_t whole = i < PACKETS ? starts[i + 1] - starts[i] : length;

        if (i == AGAIN)
            continue;
        memcpy(wire, stream + at, whole);
        ck_assert_int_eq(
            sealed_segment(ends[DMZ].sealed, ends[DMZ].session, (uint32_t)at, wire, whole, now_us),
            0);
    }
    ck_assert_uint_eq(ends[DMZ].count, PACKETS - 1);
    for (size_t at = starts[1]; at < streamed;) {
        size_t skip = sealed_skip(ends[DMZ].sealed), piece = streamed - at;

        if (skip > 0) {
            sealed_skipped(ends[DMZ].sealed, skip);
            at += skip;
            continue;
        }
        piece = piece < 500 ? piece : 500;
        ck_assert_int_eq(feed(&ends[DMZ], stream + at, piece, SIZE_MAX), 0);
        at += piece;
    }
    expect_all(PACKETS);
    ck_assert_int_eq(session_state(ends[DMZ].session), SESSION_UP);
    ck_assert_uint_eq(sealed_early_count(ends[DMZ].sealed, EARLY_STRAY), 0);
    /* By now it is known. */
    length = streamed;
    say_packets(PACKETS, 2, UINT32_MAX);
    ck_assert_uint_eq(sealed_skip(ends[DMZ].sealed), streamed - length);
    close_sessions();
}
END_TEST

/* What only comes late is not asked for: two newer ones are no sign of a loss, unless time goes by.
 */
START_TEST(test_again_waits)
{
    switch_over();
    streamed = 0;
    for (int i = 0; i < ENDS; i++)
        sealed_repeats(ends[i].sealed);
    say_packets(0, 4, 1);
    ck_assert_uint_eq(ask(), 0);
    now_us += 1999;
    ck_assert_uint_eq(ask(), 0);
    now_us++;
    ck_assert_uint_gt(ask(), 0);
    close_sessions();
}
END_TEST

/* Who takes a connection over, or whose other side does not know AGAIN, asks for nothing. */
START_TEST(test_never_again)
{
    switch_over();
    streamed = 0;
    if (_i) {
        sealed_repeats(ends[DMZ].sealed);
        sealed_is_alone(ends[DMZ].sealed);
    }
    say_packets(0, 20, 5);
    ck_assert_uint_eq(ask(), 0);
    ck_assert_uint_eq(sealed_asked_for(ends[DMZ].sealed), 0);
    ck_assert_uint_eq(sealed_repeated(ends[DMZ].sealed), 0);
    close_sessions();
}
END_TEST

/* It ends the connection. */
START_TEST(test_again_broken)
{
    static const uint8_t secret[ENDS][SEAL_SECRET_OCTETS] = {{1}, {2}};
    uint8_t frame[SEAL_FRAME_MAX_OCTETS];
    struct seal *seal;
    int length;

    switch_over();
    sealed_repeats(ends[DMZ].sealed);
    ck_assert_int_eq(seal_new(&seal, store, 16, secret[INNER], secret[DMZ]), 0);
    length = seal_put(seal, FRAME_AGAIN, 0, (const uint8_t *)"\0\0\0\0\0\1\0", 7, frame);
    ck_assert_int_gt(length, 0);
    if (_i)
        ck_assert_int_lt(
            sealed_segment(ends[DMZ].sealed, ends[DMZ].session, 0, frame, (size_t)length, now_us),
            0);
    else
        ck_assert_int_lt(feed(&ends[DMZ], frame, (size_t)length, SIZE_MAX), 0);
    ck_assert_ptr_nonnull(strstr(session_reason(ends[DMZ].session), "AGAIN"));
    seal_free(seal);
    close_sessions();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sealed");
    TCase *tc = tcase_create("sealed");

    tcase_add_test(tc, test_switch);
    tcase_add_loop_test(tc, test_stays_plain, 0, sizeof(plain) / sizeof(plain[0]));
    tcase_add_loop_test(tc, test_wrong, 0, sizeof(wrong) / sizeof(wrong[0]));
    tcase_add_test(tc, test_no_switch);
    tcase_add_loop_test(tc, test_both_ways, 0, sizeof(cuts) / sizeof(cuts[0]));
    tcase_add_loop_test(tc, test_segments, 0, 5);
    tcase_add_test(tc, test_many_small);
    tcase_add_test(tc, test_many_large);
    tcase_add_test(tc, test_heartbeat_and_bye);
    tcase_add_test(tc, test_control);
    tcase_add_test(tc, test_flipped);
    tcase_add_test(tc, test_early);
    tcase_add_loop_test(tc, test_stray, 0, sizeof(strays) / sizeof(strays[0]));
    tcase_add_test(tc, test_stray_only);
    tcase_add_test(tc, test_late);
    tcase_add_test(tc, test_again);
    tcase_add_test(tc, test_again_before_anchor);
    tcase_add_test(tc, test_again_waits);
    tcase_add_loop_test(tc, test_never_again, 0, 2);
    tcase_add_loop_test(tc, test_again_broken, 0, 2);
    if (allocs_are_seen())
        tcase_add_test(tc, test_no_allocation);
    tcase_add_test(tc, test_take);
    tcase_add_test(tc, test_take_refused);
    tcase_add_loop_test(tc, test_take_not_agreed, 0, 2);
    tcase_add_test(tc, test_take_too_slow);
    tcase_add_loop_test(tc, test_take_odd, 0, sizeof(odd_takes) / sizeof(odd_takes[0]));
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
