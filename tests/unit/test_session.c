#include "common/tunnel/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/protocol.h"
#include "common/base/tlv.h"
#include "common/tunnel/frame.h"
#include "tests/unit/unit.h"

enum { OUTPUT_OCTETS = RECORD_MAX_OCTETS, QUEUE_OCTETS = 64 * 1024, MAX_AGE_US = 60000 };

#define START_US UINT64_C(5000000)

/* One end, and what it asked of its daemon. */
struct end {
    struct session *session;
    struct verdict_counts counts;
    unsigned hellos, ups, controls, media, freed;
    unsigned live_due, bulk_due; /* frames that there are to pull */
    unsigned live_pulled, bulk_pulled;
    unsigned dropped[VERDICT_COUNT];
    int hello_result, control_result;
    char came[64]; /* m: media; c: control; the end of a group is a stroke */
    uint8_t last_type;
    uint32_t last_label, dropped_labels; /* the sum of those */
    size_t last_length;
};

static int on_hello(void *ctx, const struct hello *theirs, struct hello *reply,
                    char reason[BYE_REASON_SIZE])
{
    struct end *end = ctx;

    end->hellos++;
    if (reply) {
        reply->epoch = theirs->epoch;
        reply->quota = 7;
    }
    snprintf(reason, BYE_REASON_SIZE, "not today");
    return end->hello_result;
}

static void on_up(void *ctx, const struct hello *theirs)
{
    (void)theirs;
    ((struct end *)ctx)->ups++;
}

static void note(struct end *end, char what)
{
    size_t length = strlen(end->came);

    if (length + 1 < sizeof(end->came))
        end->came[length] = what;
}

static int on_control(void *ctx, uint8_t type, struct reader *body, uint64_t now_us)
{
    struct end *end = ctx;

    (void)now_us;
    end->controls++;
    note(end, 'c');
    end->last_type = type;
    end->last_length = reader_left(body);
    return end->control_result;
}

static void on_packet(void *ctx, uint32_t label, const uint8_t *packet, size_t length,
                      uint64_t now_us)
{
    struct end *end = ctx;
    bool right = true;

    (void)now_us;
    end->media++;
    end->last_label = label;
    end->last_length = length;
    for (size_t i = 0; i < length; i++)
        right = right && packet[i] == (label & 0xff);
    ck_assert(right);
}

static void on_media(void *ctx, const struct session_packet *packets, size_t count, uint64_t now_us)
{
    ck_assert(count >= 1 && count <= SESSION_GROUP);
    for (size_t i = 0; i < count; i++) {
        on_packet(ctx, packets[i].label, packets[i].data, packets[i].length, now_us);
        note(ctx, 'm');
    }
    note(ctx, '/');
}

/* SA-DELETE bodies of 24 octets. */
static bool pull(unsigned *due, unsigned *pulled, uint8_t *type, struct writer *body)
{
    ck_assert_uint_ge(writer_room(body), FRAME_MAX_OCTETS - FRAME_HEAD_OCTETS);
    if (*due == 0)
        return false;
    (*due)--;
    (*pulled)++;
    *type = FRAME_SA_DELETE;
    tlv_put_u64(body, 1, *pulled);
    tlv_put_u64(body, 3, *pulled);
    return true;
}

static bool pull_live(void *ctx, uint8_t *type, struct writer *body, uint64_t now_us)
{
    struct end *end = ctx;

    (void)now_us;
    return pull(&end->live_due, &end->live_pulled, type, body);
}

static bool pull_bulk(void *ctx, uint8_t *type, struct writer *body, uint64_t now_us)
{
    struct end *end = ctx;

    (void)now_us;
    return pull(&end->bulk_due, &end->bulk_pulled, type, body);
}

static void on_dropped(void *ctx, const uint32_t *labels, size_t count, enum verdict verdict)
{
    struct end *end = ctx;

    ck_assert_uint_ge(count, 1);
    ck_assert_uint_le(count, SESSION_GROUP);
    end->dropped[verdict] += (unsigned)count;
    for (size_t i = 0; i < count; i++)
        end->dropped_labels += labels[i];
}

static void on_freed(void *ctx)
{
    ((struct end *)ctx)->freed++;
}

static const struct session_hooks hooks = {
    on_hello, on_up, on_control, on_media, pull_live, pull_bulk, on_dropped, on_freed,
};

static void open_end(struct end *end, enum session_role role)
{
    memset(end, 0, sizeof(*end));
    end->session = session_new(role, &hooks, end, MAX_AGE_US, QUEUE_OCTETS, START_US);
    ck_assert_ptr_nonnull(end->session);
}

static void close_end(struct end *end)
{
    session_free(end->session);
    ck_assert_uint_eq(end->freed, 1);
    ck_assert_uint_eq(end->counts.queued, 0);
    ck_assert_uint_eq(end->counts.received, verdict_sum(&end->counts));
}

/* In pieces of this size, as TCP may cut it. */
static int receive(struct end *end, const uint8_t *data, size_t length, size_t piece,
                   uint64_t now_us)
{
    while (length > 0) {
        size_t size, n = length < piece ? length : piece;
        uint8_t *space = session_space(end->session, &size);

        ck_assert_uint_gt(size, 0);
        n = n < size ? n : size;
        memcpy(space, data, n);
        if (session_received(end->session, n, now_us) < 0)
            return ERR_CLOSED;
        while (session_pending(end->session)) {
            if (session_received(end->session, 0, now_us) < 0)
                return ERR_CLOSED;
        }
        data += n;
        length -= n;
    }
    return 0;
}

/* All that from has to say goes to to. Returns how many octets. */
static size_t carry(struct end *from, struct end *to, size_t piece, uint64_t now_us)
{
    uint8_t memory[OUTPUT_OCTETS];
    size_t length, sum = 0;

    while ((length = session_output(from->session, memory, sizeof(memory), now_us)) > 0) {
        sum += length;
        if (receive(to, memory, length, piece, now_us) < 0)
            break;
    }
    return sum;
}

static void exchange(struct end *a, struct end *b, size_t piece, uint64_t now_us)
{
    while (carry(a, b, piece, now_us) + carry(b, a, piece, now_us) > 0)
        ;
}

static const struct hello hello = {.version_min = PROTOCOL_VERSION_MIN,
                                   .version_max = PROTOCOL_VERSION_MAX,
                                   .epoch = 42,
                                   .instance = 3};

/* Two ends that are up. */
static void pair_up(struct end *inner, struct end *dmz)
{
    open_end(inner, SESSION_INNER);
    open_end(dmz, SESSION_DMZ);
    session_start(inner->session, &hello);
    exchange(inner, dmz, SIZE_MAX, START_US);
    ck_assert_int_eq(session_state(inner->session), SESSION_UP);
    ck_assert_int_eq(session_state(dmz->session), SESSION_UP);
}

static void media(struct end *end, uint32_t label, size_t length, uint64_t now_us)
{
    uint8_t packet[PACKET_MAX_OCTETS];

    memset(packet, (int)(label & 0xff), length);
    end->counts.received++;
    session_media(end->session, label, packet, length, &end->counts, now_us);
}

#define expect_ended(end, part)                                                                    \
    do {                                                                                           \
        ck_assert_int_eq(session_state((end)->session), SESSION_ENDED);                            \
        ck_assert_msg(strstr(session_reason((end)->session), part) != NULL, "%s",                  \
                      session_reason((end)->session));                                             \
    } while (0)

/* ------------------------------------------------------------ coming up */

START_TEST(test_up)
{
    struct end inner, dmz;

    open_end(&inner, SESSION_INNER);
    open_end(&dmz, SESSION_DMZ);
    session_start(inner.session, &hello);
    ck_assert_int_eq(session_state(inner.session), SESSION_HELLO);
    exchange(&inner, &dmz, (size_t)_i, START_US + 1);
    ck_assert_uint_eq(dmz.hellos, 1);
    ck_assert_uint_eq(inner.hellos, 1);
    ck_assert_uint_eq(dmz.ups, 1);
    ck_assert_uint_eq(inner.ups, 1);
    ck_assert_uint_eq(session_peer(dmz.session)->epoch, 42);
    ck_assert_uint_eq(session_peer(dmz.session)->instance, 3);
    ck_assert_uint_eq(session_peer(inner.session)->epoch, 42);
    ck_assert_uint_eq(session_peer(inner.session)->quota, 7);
    ck_assert_uint_eq(session_peer(inner.session)->version, PROTOCOL_VERSION_MAX);
    ck_assert_uint_eq(session_up_since(inner.session), START_US + 1);
    ck_assert_uint_eq(session_counters(inner.session)->octets_out,
                      session_counters(dmz.session)->octets_in);
    ck_assert_uint_eq(session_counters(inner.session)->frames_out, 1);
    ck_assert_uint_eq(session_counters(inner.session)->frames_in, 1);
    close_end(&inner);
    close_end(&dmz);
}
END_TEST

START_TEST(test_hello_refused)
{
    struct end inner, dmz;

    open_end(&inner, SESSION_INNER);
    open_end(&dmz, SESSION_DMZ);
    dmz.hello_result = ERR_EXISTS;
    session_start(inner.session, &hello);
    exchange(&inner, &dmz, SIZE_MAX, START_US);
    expect_ended(&dmz, "not today");
    expect_ended(&inner, "said BYE: not today");
    ck_assert_uint_eq(dmz.ups + inner.ups, 0);
    close_end(&inner);
    close_end(&dmz);
}
END_TEST

/* The dmz-relay says what it can, and that is not enough: it was up, and hears why it is not. */
START_TEST(test_hello_ack_refused)
{
    struct end inner, dmz;

    open_end(&inner, SESSION_INNER);
    open_end(&dmz, SESSION_DMZ);
    inner.hello_result = ERR_UNSUPPORTED;
    session_start(inner.session, &hello);
    exchange(&inner, &dmz, SIZE_MAX, START_US);
    expect_ended(&inner, "not today");
    expect_ended(&dmz, "said BYE: not today");
    ck_assert_uint_eq(dmz.ups, 1);
    ck_assert_uint_eq(inner.ups, 0);
    ck_assert_uint_eq(session_up_since(inner.session), 0);
    close_end(&inner);
    close_end(&dmz);
}
END_TEST

START_TEST(test_no_common_version)
{
    struct end inner, dmz;
    struct hello later = hello;

    open_end(&inner, SESSION_INNER);
    open_end(&dmz, SESSION_DMZ);
    later.version_min = later.version_max = PROTOCOL_VERSION_MAX + 1;
    session_start(inner.session, &later);
    exchange(&inner, &dmz, SIZE_MAX, START_US);
    expect_ended(&dmz, "version");
    expect_ended(&inner, "version");
    ck_assert_uint_eq(dmz.hellos, 0);
    close_end(&inner);
    close_end(&dmz);
}
END_TEST

START_TEST(test_no_hello)
{
    struct end end;

    open_end(&end, _i ? SESSION_INNER : SESSION_DMZ);
    ck_assert_uint_eq(session_deadline(end.session), START_US + HANDSHAKE_TIMEOUT_US);
    ck_assert_int_eq(session_tick(end.session, START_US + HANDSHAKE_TIMEOUT_US - 1), 0);
    ck_assert_int_lt(session_tick(end.session, START_US + HANDSHAKE_TIMEOUT_US), 0);
    expect_ended(&end, "HELLO");
    close_end(&end);
}
END_TEST

/* ------------------------------------------------------------ which frames may come when */

/* A frame of a type with a body that can be read. */
static size_t make_frame(uint8_t *memory, uint8_t type)
{
    struct writer w;
    struct ping ping = {.clock_us = 1};
    struct hello ack = hello;
    uint8_t *head;

    ack.version = PROTOCOL_VERSION_MAX;
    writer_init(&w, memory, FRAME_MAX_OCTETS);
    head = frame_begin(&w, type);
    if (type == FRAME_HELLO)
        hello_put(&w, &ack);
    else if (type == FRAME_HELLO_ACK)
        hello_ack_put(&w, &ack);
    else if (type == FRAME_PING || type == FRAME_PONG)
        ping_put(&w, &ping);
    else if (type == FRAME_BYE)
        bye_put(&w, "goodbye");
    else if (type >= FRAME_MEDIA)
        writer_copy(&w, "\0\0\0\7\7\7\7\7", 8);
    frame_end(&w, head);
    return writer_length(&w);
}

static bool is_one_of(uint8_t type, const uint8_t *list)
{
    while (*list && *list != type)
        list++;
    return *list != 0;
}

START_TEST(test_frames_before_hello)
{
    enum session_role role = _i ? SESSION_INNER : SESSION_DMZ;
    uint8_t awaited = role == SESSION_DMZ ? FRAME_HELLO : FRAME_HELLO_ACK;
    uint8_t memory[FRAME_MAX_OCTETS];

    for (unsigned type = 0; type < 256; type++) {
        struct end end;
        size_t length = make_frame(memory, (uint8_t)type);
        int result;

        open_end(&end, role);
        result = receive(&end, memory, length, SIZE_MAX, START_US);
        ck_assert_int_eq(result == 0, type == awaited);
        if (type != awaited)
            expect_ended(&end, type == FRAME_BYE ? "goodbye" : "protocol error");
        ck_assert_uint_eq(end.controls + end.media, 0);
        close_end(&end);
    }
}
END_TEST

#define STREAM_FRAMES                                                                              \
    FRAME_STREAM_OPEN, FRAME_STREAM_DATA, FRAME_STREAM_CREDIT, FRAME_STREAM_END,                   \
        FRAME_STREAM_RESET, FRAME_SITE, FRAME_SITE_STATE

START_TEST(test_frames_when_up)
{
    static const uint8_t to_dmz[] = {
        FRAME_PING, FRAME_PONG,    FRAME_SYNC_BEGIN, FRAME_SYNC_END, FRAME_SA_PUT, FRAME_SA_DELETE,
        FRAME_PASS, STREAM_FRAMES, FRAME_MEET_END,   FRAME_PUNCH,    FRAME_MEDIA,  0};
    static const uint8_t to_inner[] = {
        FRAME_PING,    FRAME_PONG, FRAME_SA_NAK,   FRAME_SA_REPORT, FRAME_STATS, FRAME_PASS_STATE,
        STREAM_FRAMES, FRAME_MEET, FRAME_MEET_END, FRAME_PUNCH,     FRAME_MEDIA, 0};
    uint8_t memory[FRAME_MAX_OCTETS];

    for (unsigned type = 0; type < 256; type++) {
        struct end ends[2];
        struct end *end = &ends[_i];
        bool may = is_one_of((uint8_t)type, _i ? to_dmz : to_inner);
        size_t length = make_frame(memory, (uint8_t)type);

        pair_up(&ends[0], &ends[1]);
        ck_assert_int_eq(receive(end, memory, length, 1, START_US) == 0, may);
        if (may)
            ck_assert_int_eq(session_state(end->session), SESSION_UP);
        else
            expect_ended(end, type == FRAME_BYE ? "goodbye" : "protocol error");
        ck_assert_uint_eq(end->media, type == FRAME_MEDIA);
        ck_assert_uint_eq(end->controls, may && type >= FRAME_SYNC_BEGIN && type < FRAME_MEDIA);
        close_end(&ends[0]);
        close_end(&ends[1]);
    }
}
END_TEST

static const struct {
    uint8_t type;
    unsigned helping; /* frames that one call may take */
} helpings[] = {{FRAME_SA_DELETE, 4}, {FRAME_MEDIA, 32}};

/* However much lies there: each call takes a helping, and all come in the end, also what is cut. */
START_TEST(test_helpings)
{
    unsigned count = 1000, helping = helpings[_i].helping;
    struct end inner, dmz;
    uint8_t one[FRAME_MAX_OCTETS], *space;
    size_t size, length, at = 0;

    pair_up(&inner, &dmz);
    length = make_frame(one, helpings[_i].type);
    space = session_space(dmz.session, &size);
    ck_assert_uint_ge(size, (count + 1) * length);
    for (unsigned i = 0; i <= count; i++, at += length)
        memcpy(space + at, one, length);
    at -= length - 2;
    for (unsigned taken = 0; taken < count || session_pending(dmz.session); at = 0) {
        unsigned before = taken;

        ck_assert(at > 0 || session_pending(dmz.session));
        ck_assert_int_eq(session_received(dmz.session, at, START_US), 0);
        taken = dmz.controls + dmz.media;
        ck_assert_uint_le(taken, before + helping);
    }
    ck_assert_uint_eq(dmz.controls + dmz.media, count);
    ck_assert(!session_pending(dmz.session));
    ck_assert_int_eq(receive(&dmz, one + 2, length - 2, SIZE_MAX, START_US), 0);
    ck_assert_uint_eq(dmz.controls + dmz.media, count + 1);
    close_end(&inner);
    close_end(&dmz);
}
END_TEST

static const struct {
    const char *name, *hex, *why;
} broken[] = {
    {"length 0", "0000", "length"},
    {"length too long", "ffff", "length"},
    {"media without packet", "0005 80 00000001", "media"},
    {"media without label", "0003 80 0000", "media"},
    {"PING that cannot be read", "0002 03 00", "PING"},
    {"PONG that cannot be read", "0001 04", "PONG"},
    {"PONG of the future", "000d 04 0001 0008 7fffffffffffffff", "PONG"},
    {"BYE that cannot be read", "0002 05 00", "BYE"},
};

/* What follows HELLO of a connection that carries media alone is for its thread to take. */
START_TEST(test_hello_of_media)
{
    struct hello theirs = hello;
    struct end inner, dmz;
    uint8_t *space;
    size_t size, length;

    theirs.worker = (uint8_t)_i;
    open_end(&inner, SESSION_INNER);
    open_end(&dmz, SESSION_DMZ);
    session_start(inner.session, &theirs);
    space = session_space(dmz.session, &size);
    length = session_output(inner.session, space, size, START_US);
    length += make_frame(space + length, FRAME_MEDIA);
    ck_assert_int_eq(session_received(dmz.session, length, START_US), 0);
    ck_assert_uint_eq(dmz.ups, 1);
    ck_assert_uint_eq(dmz.media, theirs.worker == 0);
    ck_assert_int_eq(session_pending(dmz.session), theirs.worker > 0);
    ck_assert_int_eq(session_received(dmz.session, 0, START_US), 0);
    ck_assert_uint_eq(dmz.media, 1);
    ck_assert(!session_pending(dmz.session));
    close_end(&inner);
    close_end(&dmz);
}
END_TEST

START_TEST(test_broken)
{
    struct end inner, dmz;
    uint8_t data[256];
    size_t length = unit_hex(broken[_i].hex, data, sizeof(data));
    size_t said;

    pair_up(&inner, &dmz);
    ck_assert_int_lt(receive(&dmz, data, length, SIZE_MAX, START_US), 0);
    expect_ended(&dmz, broken[_i].why);
    /* Nothing is accepted afterwards, and nothing but a BYE goes out. */
    ck_assert_int_lt(receive(&dmz, data, length, SIZE_MAX, START_US), 0);
    media(&dmz, 1, 10, START_US);
    ck_assert_uint_eq(dmz.counts.n[VERDICT_TUNNEL_DOWN], 1);
    session_control(dmz.session, FRAME_SA_NAK, "", 0);
    said = session_output(dmz.session, data, sizeof(data), START_US);
    ck_assert_uint_ge(said, 3);
    ck_assert_uint_eq(data[2], FRAME_BYE);
    ck_assert_uint_eq(said, 2u + (unsigned)(data[0] << 8 | data[1]));
    ck_assert_uint_eq(session_output(dmz.session, data, sizeof(data), START_US), 0);
    ck_assert_int_lt(session_tick(dmz.session, START_US), 0);
    close_end(&inner);
    close_end(&dmz);
}
END_TEST

START_TEST(test_control_error_ends)
{
    struct end inner, dmz;
    uint8_t memory[FRAME_MAX_OCTETS];

    pair_up(&inner, &dmz);
    dmz.control_result = ERR_PROTOCOL;
    ck_assert_int_lt(receive(&dmz, memory, make_frame(memory, FRAME_SA_PUT), SIZE_MAX, START_US),
                     0);
    expect_ended(&dmz, "SA, sync, stream or site frame");
    close_end(&inner);
    close_end(&dmz);
}
END_TEST

START_TEST(test_bye)
{
    struct end inner, dmz;

    pair_up(&inner, &dmz);
    media(&inner, 1, 10, START_US);
    session_bye(inner.session, "going down");
    expect_ended(&inner, "going down");
    exchange(&inner, &dmz, 1, START_US);
    expect_ended(&dmz, "said BYE: going down");
    ck_assert_uint_eq(dmz.media, 0);
    session_bye(inner.session, "again");
    expect_ended(&inner, "going down");
    close_end(&inner);
    ck_assert_uint_eq(inner.counts.n[VERDICT_TUNNEL_DOWN], 1);
    close_end(&dmz);
}
END_TEST

/* ------------------------------------------------------------ heartbeat */

START_TEST(test_heartbeat)
{
    struct end inner, dmz;
    uint64_t now_us = START_US;

    pair_up(&inner, &dmz);
    ck_assert_uint_eq(session_rtt_us(inner.session), 0);
    for (unsigned i = 0; i < 100; i++) {
        ck_assert_uint_le(session_deadline(inner.session), now_us + PING_INTERVAL_US);
        now_us = session_deadline(inner.session);
        ck_assert_int_eq(session_tick(inner.session, now_us), 0);
        (void)carry(&inner, &dmz, SIZE_MAX, now_us + 3000);
        (void)carry(&dmz, &inner, SIZE_MAX, now_us + 7000);
        ck_assert_uint_eq(session_rtt_us(inner.session), 7000);
        (void)session_tick(dmz.session, now_us);
    }
    ck_assert_uint_eq(now_us, START_US + 100 * (uint64_t)PING_INTERVAL_US);
    ck_assert_uint_ge(session_counters(inner.session)->frames_out, 100);
    close_end(&inner);
    close_end(&dmz);
}
END_TEST

START_TEST(test_dead_peer)
{
    struct end inner, dmz;
    uint64_t now_us = START_US;

    pair_up(&inner, &dmz);
    while (session_tick(inner.session, now_us) == 0)
        now_us = session_deadline(inner.session);
    ck_assert_uint_eq(now_us, START_US + DEAD_PEER_US);
    expect_ended(&inner, "nothing was heard");
    close_end(&inner);
    close_end(&dmz);
}
END_TEST

/* Groups are of packets in a row, and what came in front of a frame is handed over before it. */
static const struct {
    const char *sent; /* m, c, PING (p), BYE (b), a frame that may not be (x), cut short (s) */
    const char *came;
} groups[] = {
    {"m", "m/"},
    {"mmm", "mmm/"},
    {"mmmmmmmm", "mmmmmmmm/"},
    {"mmmmmmmmmm", "mmmmmmmm/mm/"},
    {"mmcmcc", "mm/cm/cc"},
    {"mmpm", "mm/m/"},
    {"mmb", "mm/"},
    {"mmx", "mm/"},
    {"mmxmm", "mm/"},
    {"ms", "m/"},
    {"mmmmmmmmcm", "mmmmmmmm/cm/"},
};

static size_t make_one(uint8_t *memory, char what)
{
    static const uint8_t no_label[] = {0, 2, FRAME_MEDIA, 1};
    size_t length;

    switch (what) {
    case 'm':
        return make_frame(memory, FRAME_MEDIA);
    case 'c':
        return make_frame(memory, FRAME_SA_DELETE);
    case 'p':
        return make_frame(memory, FRAME_PING);
    case 'b':
        return make_frame(memory, FRAME_BYE);
    case 'x':
        memcpy(memory, no_label, sizeof(no_label));
        return sizeof(no_label);
    default:
        length = make_frame(memory, FRAME_MEDIA);
        return length - 1;
    }
}

START_TEST(test_groups)
{
    const char *sent = groups[_i].sent;
    bool ends = strpbrk(sent, "bx") != NULL;
    uint8_t memory[2 * FRAME_MAX_OCTETS];
    struct end inner, dmz;
    size_t length = 0;

    pair_up(&inner, &dmz);
    for (size_t i = 0; sent[i]; i++)
        length += make_one(memory + length, sent[i]);
    ck_assert_int_eq(receive(&dmz, memory, length, SIZE_MAX, START_US), ends ? ERR_CLOSED : 0);
    ck_assert_str_eq(dmz.came, groups[_i].came);
    ck_assert_uint_eq(session_counters(dmz.session)->media_in, dmz.media);
    close_end(&inner);
    close_end(&dmz);
}
END_TEST

/* Any frame is life, half of one is none. */
START_TEST(test_life)
{
    struct end inner, dmz;
    uint8_t memory[FRAME_MAX_OCTETS];
    size_t length = make_frame(memory, FRAME_MEDIA);
    uint64_t now_us = START_US;

    pair_up(&inner, &dmz);
    for (unsigned i = 0; i < 10; i++) {
        now_us += DEAD_PEER_US - 1;
        ck_assert_int_eq(receive(&inner, memory, length, SIZE_MAX, now_us), 0);
        ck_assert_int_eq(session_tick(inner.session, now_us), 0);
    }
    ck_assert_int_eq(receive(&inner, memory, length - 1, SIZE_MAX, now_us + 1000000), 0);
    ck_assert_int_lt(session_tick(inner.session, now_us + DEAD_PEER_US), 0);
    close_end(&inner);
    close_end(&dmz);
}
END_TEST

/* A timer may read the clock a little earlier than the socket did. */
START_TEST(test_clock_behind)
{
    struct end inner, dmz;

    pair_up(&inner, &dmz);
    ck_assert_int_eq(session_tick(inner.session, START_US - 100), 0);
    media(&inner, 1, 10, START_US);
    (void)carry(&inner, &dmz, SIZE_MAX, START_US - 100);
    ck_assert_uint_eq(dmz.media, 1);
    close_end(&inner);
    close_end(&dmz);
    open_end(&dmz, SESSION_DMZ);
    ck_assert_int_eq(session_tick(dmz.session, START_US - 100), 0);
    close_end(&dmz);
}
END_TEST

/* ------------------------------------------------------------ media */

START_TEST(test_media)
{
    static const size_t lengths[] = {1, 12, 172, 1500, PACKET_MAX_OCTETS};
    struct end inner, dmz;

    pair_up(&inner, &dmz);
    for (uint32_t i = 0; i < 5; i++) {
        media(&inner, 0x01020300 + i, lengths[i], START_US);
        ck_assert_uint_eq(inner.counts.queued, 1);
        ck_assert_uint_eq(session_queued(inner.session), 1);
        exchange(&inner, &dmz, 7, START_US);
        ck_assert_uint_eq(dmz.last_label, 0x01020300 + i);
        ck_assert_uint_eq(dmz.last_length, lengths[i]);
    }
    ck_assert_uint_eq(dmz.media, 5);
    ck_assert_uint_eq(inner.counts.n[VERDICT_ACCEPTED], 5);
    ck_assert_uint_eq(session_counters(inner.session)->media_out, 5);
    ck_assert_uint_eq(session_counters(dmz.session)->media_in, 5);
    close_end(&inner);
    close_end(&dmz);
}
END_TEST

START_TEST(test_media_before_up)
{
    struct end end;

    open_end(&end, SESSION_INNER);
    media(&end, 1, 10, START_US);
    ck_assert_uint_eq(end.counts.n[VERDICT_TUNNEL_DOWN], 1);
    ck_assert_uint_eq(end.dropped[VERDICT_TUNNEL_DOWN], 1);
    close_end(&end);
}
END_TEST

/* age of a packet when the tunnel takes octets again; what the kernel holds is taken off, and what
 * is on the path, but for what may be spent. */
static const struct {
    uint64_t age_us, max_age_us, kernel_us;
    bool sent;
    uint32_t behind_us, spare_us;
} ages[] = {
    {0, MAX_AGE_US, 0, true, 0, 0},
    {MAX_AGE_US, MAX_AGE_US, 0, true, 0, 0},
    {MAX_AGE_US + 1, MAX_AGE_US, 0, false, 0, 0},
    {20000, MAX_AGE_US, 40000, true, 0, 0},
    {20001, MAX_AGE_US, 40000, false, 0, 0},
    {1, MAX_AGE_US, MAX_AGE_US, false, 0, 0},
    {0, MAX_AGE_US, MAX_AGE_US, true, 0, 0},
    {0, MAX_AGE_US, 10 * MAX_AGE_US, true, 0, 0},
    {500000, 1000000, 0, true, 0, 0},
    {10001, 10000, 0, false, 0, 0},
    {30000, MAX_AGE_US, 10000, true, 20000, 0},
    {30001, MAX_AGE_US, 10000, false, 20000, 0},
    {40000, MAX_AGE_US, 10000, true, 20000, 10000},
    {40001, MAX_AGE_US, 10000, false, 20000, 10000},
    {MAX_AGE_US, MAX_AGE_US, 10000, true, 20000, 30000},
    {MAX_AGE_US / 4, MAX_AGE_US, 0, true, 10 * MAX_AGE_US, 0}, /* not all */
    {MAX_AGE_US / 4 + 1, MAX_AGE_US, 0, false, 10 * MAX_AGE_US, 0},
};

START_TEST(test_age)
{
    struct session_path path = {.room = SIZE_MAX,
                                .ns_per_octet = 2000,
                                .behind_us = ages[_i].behind_us,
                                .spare_us = ages[_i].spare_us};
    struct end inner, dmz;

    pair_up(&inner, &dmz);
    session_set_max_age(inner.session, ages[_i].max_age_us);
    path.held = (size_t)ages[_i].kernel_us / 2;
    session_set_path(inner.session, &path, 0);
    media(&inner, 1, 10, START_US);
    exchange(&inner, &dmz, SIZE_MAX, START_US + ages[_i].age_us);
    ck_assert_uint_eq(dmz.media, ages[_i].sent);
    ck_assert_uint_eq(inner.counts.n[VERDICT_ACCEPTED], ages[_i].sent);
    ck_assert_uint_eq(inner.counts.n[VERDICT_TUNNEL_LATE], !ages[_i].sent);
    ck_assert_uint_eq(inner.dropped[VERDICT_TUNNEL_LATE], !ages[_i].sent);
    ck_assert_uint_eq(session_counters(inner.session)->late, !ages[_i].sent);
    close_end(&inner);
    close_end(&dmz);
}
END_TEST

START_TEST(test_full_queue_drops_the_oldest)
{
    struct end inner, dmz;
    unsigned late;

    pair_up(&inner, &dmz);
    for (uint32_t i = 0; i < 1000; i++)
        media(&inner, i, 1000, START_US);
    late = (unsigned)inner.counts.n[VERDICT_TUNNEL_LATE];
    ck_assert_uint_gt(late, 1000 - QUEUE_OCTETS / 1000);
    ck_assert_uint_eq(inner.counts.queued, 1000 - late);
    (void)carry(&inner, &dmz, SIZE_MAX, START_US);
    ck_assert_uint_eq(dmz.media, 1000 - late);
    ck_assert_uint_eq(dmz.last_label, 999);
    close_end(&inner);
    close_end(&dmz);
}
END_TEST

/* What waits when the session goes is told of in groups, and nothing twice. */
START_TEST(test_freed_with_packets)
{
    struct end inner, dmz;
    uint32_t sum = 0;

    pair_up(&inner, &dmz);
    for (uint32_t i = 1; i <= (uint32_t)_i; i++) {
        media(&inner, i, 10, START_US);
        sum += i;
    }
    ck_assert_uint_eq(inner.counts.queued, (unsigned)_i);
    close_end(&inner);
    ck_assert_uint_eq(inner.dropped[VERDICT_TUNNEL_DOWN], (unsigned)_i);
    ck_assert_uint_eq(inner.counts.n[VERDICT_TUNNEL_DOWN], (unsigned)_i);
    ck_assert_uint_eq(inner.dropped_labels, sum);
    close_end(&dmz);
}
END_TEST

/* A queue that no packet fits into delays nothing, and is no crash. */
START_TEST(test_tiny_queue)
{
    struct end inner, dmz;

    pair_up(&inner, &dmz);
    close_end(&inner);
    memset(&inner, 0, sizeof(inner));
    inner.session = session_new(SESSION_INNER, &hooks, &inner, MAX_AGE_US, 64, START_US);
    session_start(inner.session, &hello);
    close_end(&dmz);
    open_end(&dmz, SESSION_DMZ);
    exchange(&inner, &dmz, SIZE_MAX, START_US);
    media(&inner, 1, 10, START_US);
    media(&inner, 2, 1000, START_US);
    ck_assert_uint_eq(inner.counts.n[VERDICT_TUNNEL_LATE], 2);
    ck_assert_uint_eq(inner.dropped[VERDICT_TUNNEL_LATE], 2);
    close_end(&inner);
    close_end(&dmz);
}
END_TEST

/* ------------------------------------------------------------ the order of the queues */

/* Reads the types of whole frames out of one output: "c" control, "m" media, "d" pulled. */
static void types_of(const uint8_t *data, size_t length, char *out, size_t size)
{
    struct frame frame;
    size_t n = 0;

    while (length > 0) {
        int taken = frame_parse(data, length, &frame);

        ck_assert_int_gt(taken, 0);
        ck_assert_uint_lt(n + 1, size);
        out[n++] = frame.type == FRAME_MEDIA ? 'm' : frame.type == FRAME_SA_DELETE ? 'd' : 'c';
        data += taken;
        length -= (size_t)taken;
    }
    out[n] = '\0';
}

START_TEST(test_order)
{
    struct end inner, dmz;
    uint8_t memory[OUTPUT_OCTETS];
    char types[64];

    pair_up(&inner, &dmz);
    inner.bulk_due = 2;
    media(&inner, 1, 10, START_US);
    media(&inner, 2, 10, START_US);
    inner.live_due = 1;
    session_control(inner.session, FRAME_SA_NAK, "", 0);
    types_of(memory, session_output(inner.session, memory, sizeof(memory), START_US), types,
             sizeof(types));
    ck_assert_str_eq(types, "cdmmdd");
    ck_assert_uint_eq(inner.live_pulled, 1);
    ck_assert_uint_eq(session_output(inner.session, memory, sizeof(memory), START_US), 0);
    close_end(&inner);
    close_end(&dmz);
}
END_TEST

/* However many SAs change or are synced: media has its half, and bulk waits for it. */
START_TEST(test_media_is_not_starved)
{
    struct end inner, dmz;
    uint8_t memory[OUTPUT_OCTETS];
    char types[4096];
    size_t length;

    pair_up(&inner, &dmz);
    inner.live_due = inner.bulk_due = 100000;
    for (uint32_t i = 0; i < 60; i++)
        media(&inner, i, 1000, START_US);
    length = session_output(inner.session, memory, sizeof(memory), START_US);
    ck_assert_uint_le(length, sizeof(memory));
    types_of(memory, length, types, sizeof(types));
    ck_assert_int_eq(types[0], 'd');
    ck_assert_uint_ge(strlen(strchr(types, 'm')), 6);
    ck_assert_uint_eq(inner.bulk_pulled, 0);
    inner.live_due = 0;
    while (session_queued(inner.session) > 0) {
        ck_assert_uint_eq(inner.bulk_pulled, 0);
        (void)session_output(inner.session, memory, sizeof(memory), START_US);
    }
    /* Then bulk goes, in small helpings: what comes next does not wait behind a full buffer. */
    (void)session_output(inner.session, memory, sizeof(memory), START_US);
    length = session_output(inner.session, memory, sizeof(memory), START_US);
    ck_assert_uint_gt(length, 0);
    ck_assert_uint_le(length, 3 * FRAME_MAX_OCTETS);
    close_end(&inner);
    close_end(&dmz);
}
END_TEST

/*
 * Of ten packets of 1,000 octets that are all as old, so many go at once, and so many are too late,
 * because of what is before them in the kernel and in the same output. A frame is 1,007 octets.
 */
static const struct {
    struct session_path path;
    uint64_t age_us;
    unsigned sent, late;
} outputs[] = {
    {{0, SIZE_MAX, 0, 0, 0, 0, 0, false}, MAX_AGE_US, 10, 0},
    {{0, 10070, 0, 0, 0, 0, 0, false}, 0, 10, 0},
    {{0, 10069, 0, 0, 0, 0, 0, false}, 0, 9, 0},
    {{0, 2014, 0, 0, 0, 0, 0, false}, 0, 2, 0},
    {{0, 2013, 0, 0, 0, 0, 0, false}, 0, 1, 0},
    {{0, 1, 0, 0, 0, 0, 0, false}, 0, 1, 0},
    {{0, 0, 0, 0, 0, 0, 0, false}, 0, 1, 0},
    /* 10 us for an octet: 10 ms for a frame. */
    {{0, SIZE_MAX, 10000, 0, 0, 0, 0, false}, 0, 10, 0},
    {{0, SIZE_MAX, 10000, 0, 0, 0, 0, false}, MAX_AGE_US, 1, 9},
    {{0, SIZE_MAX, 10000, 0, 0, 0, 0, false}, 30000, 3, 7},
    {{1000, SIZE_MAX, 10000, 0, 0, 0, 0, false}, 30000, 2, 8},
    {{3001, SIZE_MAX, 10000, 0, 0, 0, 0, false}, 30000, 0, 10},
    {{0, 1007, 10000, 0, 0, 0, 0, false}, 30000, 1, 0},
};

START_TEST(test_path)
{
    struct end inner, dmz;
    uint8_t memory[OUTPUT_OCTETS];
    char types[64];

    pair_up(&inner, &dmz);
    session_set_path(inner.session, &outputs[_i].path, 0);
    for (uint32_t i = 0; i < 10; i++)
        media(&inner, i, 1000, START_US);
    types_of(memory,
             session_output(inner.session, memory, sizeof(memory), START_US + outputs[_i].age_us),
             types, sizeof(types));
    ck_assert_uint_eq(strlen(types), outputs[_i].sent);
    ck_assert_uint_eq(inner.counts.n[VERDICT_TUNNEL_LATE], outputs[_i].late);
    /* The oldest are those that were dropped. */
    ck_assert_uint_eq(session_queued(inner.session), 10 - outputs[_i].sent - outputs[_i].late);
    close_end(&inner);
    close_end(&dmz);
}
END_TEST

/*
 * How many frames of bulk go beside calls, after one that went with the last packet; and whether
 * more of them wait for the path.
 */
static const struct {
    bool long_queue;
    size_t room;
    uint64_t since_media_us, since_bulk_us; /* since_media_us 0: none at all */
    unsigned waiting;                       /* packets that no room is left for */
    unsigned pulled;
    bool held;
} bulks[] = {
    {false, SIZE_MAX, 0, 2000, 0, 100, false},
    {true, SIZE_MAX, 0, 2000, 0, 100, false},
    {true, SIZE_MAX, 1000, 2000, 0, 0, true},
    {true, SIZE_MAX, 2000, 3000, 0, 0, true},
    {true, SIZE_MAX, 199999, 200999, 0, 59, false}, /* 8,000 octets a second */
    {true, SIZE_MAX, 200000, 201000, 0, 100, false},
    /* Room for two frames of 27 octets, and one that begins there. */
    {false, 54, 0, 1000, 0, 2, false},
    {false, 55, 0, 1000, 0, 3, false},
    /* However much media there is, some bulk goes. */
    {false, 1, 0, 499999, 3, 0, false},
    {false, 1, 0, 500000, 3, 1, false},
};

START_TEST(test_bulk)
{
    struct session_path path = {.room = bulks[_i].room, .long_queue = bulks[_i].long_queue};
    uint64_t now_us = START_US + 10000000;
    uint8_t memory[OUTPUT_OCTETS];
    struct end inner, dmz;

    pair_up(&inner, &dmz);
    (void)session_output(inner.session, memory, sizeof(memory), now_us - bulks[_i].since_bulk_us);
    if (bulks[_i].since_media_us) {
        media(&inner, 1, 10, now_us - bulks[_i].since_media_us);
        session_set_path(inner.session,
                         &(struct session_path){.room = SIZE_MAX, .long_queue = true}, 0);
        inner.bulk_due = 1;
        (void)session_output(inner.session, memory, sizeof(memory),
                             now_us - bulks[_i].since_media_us);
    }
    session_set_path(inner.session, &path, 0);
    for (unsigned i = 0; i < bulks[_i].waiting; i++)
        media(&inner, 1, 10, now_us);
    ck_assert_uint_eq(inner.bulk_due, 0);
    inner.bulk_due = 100;
    inner.bulk_pulled = 0;
    (void)session_output(inner.session, memory, sizeof(memory), now_us);
    ck_assert_uint_eq(inner.bulk_pulled, bulks[_i].pulled);
    ck_assert_int_eq(session_bulk_is_held(inner.session), bulks[_i].held);
    close_end(&inner);
    close_end(&dmz);
}
END_TEST

/* Into the smallest memory that is allowed, in any piece: the same frames come out. */
START_TEST(test_small_outputs)
{
    struct end inner, dmz;
    uint8_t memory[2 * FRAME_MAX_OCTETS];
    size_t length;

    pair_up(&inner, &dmz);
    for (unsigned i = 0; i < 15; i++) {
        memset(memory, 0, sizeof(memory));
        session_control(dmz.session, FRAME_SA_NAK, memory, 3000);
    }
    inner.control_result = 0;
    for (unsigned i = 0; i < 20; i++)
        media(&dmz, i, 1000, START_US);
    while ((length = session_output(dmz.session, memory, sizeof(memory), START_US)) > 0) {
        ck_assert_uint_le(length, sizeof(memory));
        ck_assert_int_eq(receive(&inner, memory, length, 1 + (size_t)_i * 700, START_US), 0);
    }
    ck_assert_uint_eq(inner.controls, 15);
    ck_assert_uint_eq(inner.media, 20);
    ck_assert_uint_eq(inner.last_label, 19);
    close_end(&inner);
    close_end(&dmz);
}
END_TEST

START_TEST(test_urgent_overflow)
{
    struct end inner, dmz;
    uint8_t body[1000] = {0};
    unsigned n = 0;

    pair_up(&inner, &dmz);
    while (session_state(dmz.session) == SESSION_UP) {
        ck_assert_int_eq(session_congested(dmz.session),
                         n * (sizeof(body) + FRAME_HEAD_OCTETS) > URGENT_QUEUE_OCTETS / 2);
        session_control(dmz.session, FRAME_SA_NAK, body, sizeof(body));
        n++;
    }
    ck_assert_uint_eq(n - 1, URGENT_QUEUE_OCTETS / (sizeof(body) + FRAME_HEAD_OCTETS));
    expect_ended(&dmz, "urgent control");
    close_end(&inner);
    close_end(&dmz);
}
END_TEST

/* The bound is on what waits: a steady trickle that is never quite empty goes on for ever. */
START_TEST(test_urgent_trickle)
{
    struct end inner, dmz;
    uint8_t body[4000] = {0}, memory[2 * FRAME_MAX_OCTETS];

    pair_up(&inner, &dmz);
    for (unsigned i = 0; i < 3; i++)
        session_control(dmz.session, FRAME_SA_NAK, body, sizeof(body));
    /* Each turn as much comes as goes. */
    for (unsigned i = 0; i < 200; i++) {
        size_t length;

        session_control(dmz.session, FRAME_SA_NAK, body, sizeof(body));
        length = session_output(dmz.session, memory, FRAME_HEAD_OCTETS + sizeof(body), START_US);
        ck_assert_uint_eq(length, FRAME_HEAD_OCTETS + sizeof(body));
        ck_assert_int_eq(session_state(dmz.session), SESSION_UP);
        ck_assert_int_eq(receive(&inner, memory, length, SIZE_MAX, START_US), 0);
    }
    ck_assert_uint_eq(inner.controls, 200);
    close_end(&inner);
    close_end(&dmz);
}
END_TEST

/* ------------------------------------------------------------ keys in buffers */

enum { KEY_OCTET = 0xa7, OTHER_OCTET = 0x11 };

static size_t make_filled(uint8_t *memory, uint8_t type, int octet, size_t length)
{
    uint8_t body[FRAME_MAX_OCTETS];
    struct writer w;
    uint8_t *head;

    memset(body, octet, length);
    writer_init(&w, memory, FRAME_MAX_OCTETS);
    head = frame_begin(&w, type);
    if (type == FRAME_MEDIA)
        writer_u32(&w, (uint32_t)octet);
    writer_copy(&w, body, length);
    frame_end(&w, head);
    ck_assert(!w.failed);
    return writer_length(&w);
}

/* Octets of keys in the free part of the input; a single one may be a length. */
static size_t keys_left(struct end *end)
{
    size_t size, n = 0;
    const uint8_t *space = session_space(end->session, &size);

    for (size_t i = 1; i < size; i++)
        n += space[i - 1] == KEY_OCTET && space[i] == KEY_OCTET;
    return n;
}

/* SA-PUTs between media, cut anywhere: nothing of them is left behind what is still to be read. */
START_TEST(test_input_is_wiped)
{
    static uint8_t stream[60 * 1024];
    struct end inner, dmz;
    size_t length = 0, frames = 0, size;
    uint8_t *space;

    srandom((unsigned)_i);
    pair_up(&inner, &dmz);
    space = session_space(dmz.session, &size);
    memset(space, OTHER_OCTET, size); /* or valgrind complains of what keys_left() reads */
    while (length + FRAME_MAX_OCTETS <= sizeof(stream)) {
        bool key = random() % 3 == 0;

        length += make_filled(stream + length, key ? FRAME_SA_PUT : FRAME_MEDIA,
                              key ? KEY_OCTET : OTHER_OCTET, 20 + (size_t)random() % 500);
        frames += key;
    }
    for (size_t at = 0; at < length;) {
        size_t piece = _i == 0 ? length : 1 + (size_t)random() % (_i == 1 ? 100 : 20000);

        space = session_space(dmz.session, &size);
        piece = piece < length - at ? piece : length - at;
        ck_assert_uint_le(piece, size);
        memcpy(space, stream + at, piece);
        at += piece;
        ck_assert_int_eq(session_received(dmz.session, piece, START_US), 0);
        ck_assert_uint_eq(keys_left(&dmz), 0);
        while (session_pending(dmz.session)) {
            ck_assert_int_eq(session_received(dmz.session, 0, START_US), 0);
            ck_assert_uint_eq(keys_left(&dmz), 0);
        }
    }
    ck_assert_uint_gt(frames, 10);
    ck_assert_uint_eq(dmz.controls, frames);
    close_end(&inner);
    close_end(&dmz);
}
END_TEST

static bool pull_put(void *ctx, uint8_t *type, struct writer *body, uint64_t now_us)
{
    struct end *end = ctx;

    (void)now_us;
    if (end->live_due == 0)
        return false;
    end->live_due--;
    *type = FRAME_SA_PUT;
    tlv_put_u64(body, 1, 1);
    return true;
}

START_TEST(test_output_has_keys)
{
    struct session_hooks putting = hooks;
    uint8_t memory[OUTPUT_OCTETS];
    struct end inner, dmz;

    putting.pull_live = pull_put;
    pair_up(&inner, &dmz);
    ck_assert(!session_output_has_keys(inner.session));
    session_free(inner.session);
    inner.session =
        session_new(SESSION_INNER, &putting, &inner, MAX_AGE_US, QUEUE_OCTETS, START_US);
    session_start(inner.session, &hello);
    (void)session_output(inner.session, memory, sizeof(memory), START_US);
    (void)receive(&inner, memory, make_frame(memory, FRAME_HELLO_ACK), SIZE_MAX, START_US);
    ck_assert_int_eq(session_state(inner.session), SESSION_UP);
    inner.live_due = 1;
    media(&inner, 1, 100, START_US);
    ck_assert_uint_gt(session_output(inner.session, memory, sizeof(memory), START_US), 100);
    ck_assert(session_output_has_keys(inner.session));
    media(&inner, 1, 100, START_US);
    ck_assert_uint_gt(session_output(inner.session, memory, sizeof(memory), START_US), 100);
    ck_assert(!session_output_has_keys(inner.session));
    inner.bulk_due = 1;
    ck_assert_uint_gt(session_output(inner.session, memory, sizeof(memory), START_US), 0);
    ck_assert_uint_eq(inner.bulk_pulled, 1);
    ck_assert(!session_output_has_keys(inner.session));
    session_free(inner.session);
    close_end(&dmz);
}
END_TEST

/* A PING flood makes PONGs that nobody takes: the session ends, its memory does not grow. */
START_TEST(test_ping_flood)
{
    struct end inner, dmz;
    uint8_t memory[FRAME_MAX_OCTETS];
    size_t length = make_frame(memory, FRAME_PING);
    unsigned n = 0;

    pair_up(&inner, &dmz);
    while (receive(&dmz, memory, length, SIZE_MAX, START_US) == 0 && n < 100000)
        n++;
    ck_assert_uint_gt(n, 1000);
    expect_ended(&dmz, "urgent control");
    close_end(&inner);
    close_end(&dmz);
}
END_TEST

/* What no segment takes goes by the stream, if there is one that is up. */
static const struct {
    size_t room, length;
    bool stream, up, by_stream;
} larger[] = {
    {0, 2048, true, true, false}, /* the room was not said */
    {1000, 1000, true, true, false},   {1000, 1001, true, true, true},
    {1000, 1001, false, false, false}, {1000, 1001, true, false, false},
};

START_TEST(test_larger)
{
    struct end carrier = {0}, stream = {0}, far = {0};
    struct session *taken;

    open_end(&carrier, SESSION_INNER);
    open_end(&stream, SESSION_INNER);
    open_end(&far, SESSION_DMZ);
    if (larger[_i].up) {
        session_start(stream.session, &hello);
        exchange(&stream, &far, SIZE_MAX, START_US);
    }
    if (larger[_i].room > 0)
        session_set_packet_room(carrier.session, larger[_i].room);
    taken =
        session_for(carrier.session, larger[_i].stream ? stream.session : NULL, larger[_i].length);
    ck_assert_ptr_eq(taken, larger[_i].by_stream ? stream.session : carrier.session);
    ck_assert_uint_eq(session_counters(carrier.session)->larger, larger[_i].by_stream);
    close_end(&carrier);
    close_end(&stream);
    close_end(&far);
}
END_TEST

/* Whose owner asks for nothing: media is passed by, a control frame is none that may come. */
START_TEST(test_no_hooks)
{
    static const struct session_hooks none = {.hello = NULL};
    struct end inner, dmz = {0};

    open_end(&inner, SESSION_INNER);
    dmz.session = session_new(SESSION_DMZ, &none, &dmz, MAX_AGE_US, QUEUE_OCTETS, START_US);
    ck_assert_ptr_nonnull(dmz.session);
    session_start(inner.session, &hello);
    exchange(&inner, &dmz, SIZE_MAX, START_US);
    ck_assert_int_eq(session_state(dmz.session), SESSION_UP);
    media(&inner, 1, 100, START_US);
    exchange(&inner, &dmz, SIZE_MAX, START_US);
    ck_assert_uint_eq(session_counters(dmz.session)->media_in, 1);
    media(&dmz, 1, 100, START_US);
    exchange(&inner, &dmz, SIZE_MAX, START_US + MAX_AGE_US + 1);
    ck_assert_uint_eq(dmz.counts.n[VERDICT_TUNNEL_LATE], 1);
    ck_assert_int_eq(session_state(dmz.session), SESSION_UP);
    inner.live_due = 1;
    exchange(&inner, &dmz, SIZE_MAX, START_US + MAX_AGE_US + 2);
    expect_ended(&dmz, "cannot be read");
    media(&dmz, 1, 100, START_US);
    session_free(dmz.session);
    ck_assert_uint_eq(dmz.counts.n[VERDICT_TUNNEL_DOWN], 1);
    close_end(&inner);
}
END_TEST

START_TEST(test_free_null)
{
    session_free(NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("session");
    TCase *tc = tcase_create("session");

    tcase_add_loop_test(tc, test_up, 1, 80);
    tcase_add_test(tc, test_hello_refused);
    tcase_add_test(tc, test_hello_ack_refused);
    tcase_add_test(tc, test_no_common_version);
    tcase_add_loop_test(tc, test_no_hello, 0, 2);
    tcase_add_loop_test(tc, test_frames_before_hello, 0, 2);
    tcase_add_loop_test(tc, test_frames_when_up, 0, 2);
    tcase_add_loop_test(tc, test_helpings, 0, 2);
    tcase_add_loop_test(tc, test_hello_of_media, 0, 2);
    tcase_add_loop_test(tc, test_broken, 0, sizeof(broken) / sizeof(broken[0]));
    tcase_add_test(tc, test_control_error_ends);
    tcase_add_test(tc, test_bye);
    tcase_add_test(tc, test_heartbeat);
    tcase_add_test(tc, test_dead_peer);
    tcase_add_loop_test(tc, test_groups, 0, sizeof(groups) / sizeof(groups[0]));
    tcase_add_test(tc, test_life);
    tcase_add_test(tc, test_clock_behind);
    tcase_add_test(tc, test_media);
    tcase_add_test(tc, test_media_before_up);
    tcase_add_loop_test(tc, test_age, 0, sizeof(ages) / sizeof(ages[0]));
    tcase_add_test(tc, test_full_queue_drops_the_oldest);
    tcase_add_loop_test(tc, test_freed_with_packets, 0, 20);
    tcase_add_test(tc, test_tiny_queue);
    tcase_add_loop_test(tc, test_path, 0, sizeof(outputs) / sizeof(outputs[0]));
    tcase_add_loop_test(tc, test_bulk, 0, sizeof(bulks) / sizeof(bulks[0]));
    tcase_add_test(tc, test_order);
    tcase_add_test(tc, test_media_is_not_starved);
    tcase_add_loop_test(tc, test_small_outputs, 0, 6);
    tcase_add_test(tc, test_urgent_overflow);
    tcase_add_test(tc, test_urgent_trickle);
    tcase_add_loop_test(tc, test_input_is_wiped, 0, 12);
    tcase_add_test(tc, test_output_has_keys);
    tcase_add_test(tc, test_ping_flood);
    tcase_add_loop_test(tc, test_larger, 0, sizeof(larger) / sizeof(larger[0]));
    tcase_add_test(tc, test_no_hooks);
    tcase_add_test(tc, test_free_null);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
