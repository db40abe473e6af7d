/* The direct path of two sites: frames in segments, on a fake clock. */
#include <string.h>

#include "common/base/protocol.h"
#include "common/carrier/segment.h"
#include "inner-relay/meetpath.h"
#include "tests/unit/unit.h"

enum {
    MS = 1000,
    LABEL = 7,
    PACKET = 180,
    SENT_MAX = 4096,
    LINE = 65536 * 4,
};

struct end {
    struct meetpath path;
    unsigned segments, packets;
    uint32_t labels; /* sum of those that came */
    size_t octets;   /* of data that this end has sent, as the other one counts them */
    size_t head, tail;
    uint8_t line[LINE]; /* u16 length, data */
    uint32_t sequence;  /* of its newest segment */
};

static struct seal_store *store;
static struct end ends[2];
static bool cut;
static uint64_t now_us;

static void on_send(void *ctx, const struct segment *segment)
{
    struct end *end = ctx;

    ck_assert_uint_le(segment->length, MEETPATH_OCTETS);
    ck_assert(segment->flags & SEGMENT_ACK);
    ck_assert_uint_eq(segment->source.port, 443);
    end->segments++;
    end->sequence = segment->sequence;
    if (cut)
        return;
    ck_assert_uint_le(end->tail + 2 + segment->length, LINE);
    memcpy(end->line + end->tail, &(uint16_t){(uint16_t)segment->length}, 2);
    memcpy(end->line + end->tail + 2, segment->data, segment->length);
    end->tail += 2 + segment->length;
}

static void on_media(void *ctx, const struct session_packet *packets, size_t count, uint64_t at_us)
{
    struct end *end = ctx;

    (void)at_us;
    ck_assert(count >= 1 && count <= SESSION_GROUP);
    end->packets += (unsigned)count;
    for (size_t i = 0; i < count; i++)
        end->labels += packets[i].label;
}

static const struct meetpath_hooks hooks = {on_send, on_media};

static void open_both(uint32_t start)
{
    static const uint8_t secret[2][SEAL_SECRET_OCTETS] = {{1}, {2}};
    struct addr relay, site;
    struct track_start numbers = {
        .send_next = start, .receive_next = 99, .peer_window = 65535, .mss = 1460};

    ck_assert(addr_parse("192.0.2.1:443", &relay) == 0 && addr_parse("198.51.100.1:5", &site) == 0);
    ck_assert_int_eq(seal_store_new(&store), 0);
    memset(ends, 0, sizeof(ends));
    cut = false;
    now_us = 5000 * MS;
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(
            meetpath_init(&ends[i].path, &hooks, &ends[i], store, secret[i], secret[1 - i]), 0);
        meetpath_open(&ends[i].path, &relay, &site, &numbers, now_us);
    }
}

static void close_both(void)
{
    for (int i = 0; i < 2; i++)
        meetpath_fini(&ends[i].path);
    seal_store_free(store);
}

static void arrive(int at)
{
    struct end *from = &ends[1 - at];
    uint16_t length;

    for (; from->head < from->tail; from->head += 2u + length) {
        memcpy(&length, from->line + from->head, 2);
        from->octets += length;
        ck_assert(meetpath_frames(&ends[at].path, from->line + from->head + 2, length, now_us));
    }
    from->head = from->tail = 0;
}

static void run(unsigned ms)
{
    for (; ms > 0; ms--) {
        now_us += MS;
        for (int i = 0; i < 2; i++) {
            meetpath_ping(&ends[i].path, (uint32_t)ends[1 - i].octets, now_us);
            meetpath_flush(&ends[i].path, now_us);
            ck_assert(!direct_is_lost(&ends[i].path.direct, now_us));
        }
        arrive(0);
        arrive(1);
    }
}

/* true: it need not go through the tunnel. */
static bool media(int from, size_t length)
{
    static const uint8_t packet[PACKET_MAX_OCTETS];

    return meetpath_media(&ends[from].path, LABEL, packet, length, now_us);
}

/* Both ways at first, alone when it is proven, and through the tunnel when it is dead. */
START_TEST(test_life)
{
    open_both((uint32_t)_i);
    ck_assert(!media(0, PACKET));
    run(500);
    ck_assert_uint_eq(ends[1].packets, 1);
    ck_assert_uint_eq(ends[1].labels, LABEL);
    run(1500);
    ck_assert(direct_is_proven(&ends[0].path.direct, now_us));
    ck_assert(media(0, PACKET) && media(1, PACKET));
    run(10);
    ck_assert_uint_eq(ends[1].packets, 2);
    ck_assert_uint_eq(ends[0].packets, 1);
    cut = true;
    run(3000);
    ck_assert(!media(0, PACKET));
    ck_assert_uint_eq(ends[0].path.sent, 2);
    meetpath_close(&ends[0].path);
    ck_assert(!media(0, PACKET));
    close_both();
}
END_TEST

/* What no segment takes goes through the tunnel. */
START_TEST(test_large)
{
    open_both(0);
    run(2000);
    ck_assert(media(0, MEETPATH_OCTETS - SEAL_OVER_OCTETS));
    ck_assert(!media(0, MEETPATH_OCTETS - SEAL_OVER_OCTETS + 1));
    ck_assert_uint_eq(ends[0].path.sent, 1);
    close_both();
}
END_TEST

/* There is a bound to what goes there at once, and what is beyond it goes through the tunnel. */
START_TEST(test_rate)
{
    unsigned taken = 0, beside = 0;

    open_both(0);
    run(2000);
    for (unsigned i = 0; i < 40000; i++) {
        bool alone = media(0, 1000);

        beside += !alone;
        taken += alone;
        ends[0].tail = ends[0].tail > LINE / 2 ? 0 : ends[0].tail;
    }
    ck_assert_uint_gt(taken, 100);
    ck_assert_uint_gt(beside, 10000);
    /* Each that was taken has gone out, or does. */
    ends[0].tail = 0;
    run(5);
    ck_assert_uint_eq(ends[0].path.length, 0);
    ck_assert_uint_le(ends[0].path.sent, ends[0].segments);
    ck_assert_uint_ge(ends[0].path.sent, taken);
    close_both();
}
END_TEST

/* Nothing that is not the other site's comes in, or harms what is. */
START_TEST(test_forged)
{
    uint8_t frames[LINE];
    size_t length;

    open_both(0);
    run(2000);
    (void)media(0, PACKET);
    (void)media(0, PACKET);
    meetpath_flush(&ends[0].path, now_us);
    length = ends[0].tail - 2;
    memcpy(frames, ends[0].line + 2, length);
    ends[0].head = ends[0].tail = 0;
    frames[SEAL_HEAD_OCTETS + 1] ^= 1;
    ck_assert(meetpath_frames(&ends[1].path, frames, length, now_us));
    ck_assert_uint_eq(ends[1].packets, 1);
    ck_assert_uint_eq(ends[1].path.forged, 1);
    for (size_t cut_at = 0; cut_at < length; cut_at++)
        ck_assert(!meetpath_frames(&ends[1].path, frames, cut_at, now_us));
    ck_assert_uint_eq(ends[1].packets, 1);
    close_both();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("meetpath");
    TCase *tc = tcase_create("meetpath");

    tcase_add_loop_test(tc, test_life, -1, 1);
    tcase_add_test(tc, test_large);
    tcase_add_test(tc, test_rate);
    tcase_add_test(tc, test_forged);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
