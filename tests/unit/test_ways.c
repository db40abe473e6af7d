/* What comes two ways is taken once; and the bodies of PROBE and PROBE-REPORT. */
#include "common/tunnel/ways.h"

#include <string.h>

#include "common/base/protocol.h"
#include "common/base/tlv.h"
#include "common/tunnel/session.h"
#include "tests/unit/unit.h"

enum { NUMBERS = 200000 };

START_TEST(test_copies)
{
    static const uint32_t starts[] = {0, 1, 77, UINT32_MAX, UINT32_MAX - 1000, 0x7fffff00};
    static struct ways ways;
    uint32_t start = starts[_i], random = 1;

    ways_init(&ways, NULL);
    for (uint32_t n = 0; n < NUMBERS; n++) {
        uint32_t back;

        ck_assert_msg(!ways_is_copy(&ways, start + n), "number %u is new", start + n);
        random = random * 1664525 + 1013904223;
        back = (random >> 8) % WAYS_WINDOW;
        if (back <= n)
            ck_assert(ways_is_copy(&ways, start + n - back));
    }
    /* Too old to know. */
    ck_assert(ways_is_copy(&ways, start + NUMBERS - 1 - WAYS_WINDOW));
    /* A gap: those in it may still come, once each. */
    ck_assert(!ways_is_copy(&ways, start + NUMBERS + 1000));
    for (uint32_t n = NUMBERS; n < NUMBERS + 1000; n++) {
        ck_assert(!ways_is_copy(&ways, start + n));
        ck_assert(ways_is_copy(&ways, start + n));
    }
    /* A gap larger than the window. */
    ck_assert(!ways_is_copy(&ways, start + NUMBERS + 10 * WAYS_WINDOW));
    ck_assert(!ways_is_copy(&ways, start + NUMBERS + 9 * WAYS_WINDOW + 1));
    ck_assert(ways_is_copy(&ways, start + NUMBERS + 9 * WAYS_WINDOW));
    ck_assert_uint_gt(ways.copies, 0);
}
END_TEST

/* What there may be to be gained. */
static const struct {
    uint32_t rtt_us, lost;
    uint64_t after_us;
    bool gains;
} paths[] = {
    {0, 0, 0, false},  {4999, 0, 0, false},       {5000, 0, 0, true},
    {100, 1, 0, true}, {100, 1, 599000000, true}, {100, 1, 600000000, false},
};

START_TEST(test_path)
{
    static struct ways ways;
    struct session *stream = (struct session *)(void *)&ways; /* never looked into */
    struct session_path path = {.rtt_us = paths[_i].rtt_us, .lost = paths[_i].lost};
    uint64_t now_us = 1000000;

    ways_init(&ways, stream);
    ways_path(&ways, stream, &path, now_us);
    path.rtt_us = 100;
    ways_path(&ways, stream, &path, now_us + paths[_i].after_us + (paths[_i].rtt_us >= 5000));
    ck_assert(ways.choice.gains == paths[_i].gains);
    /* One that is none of both says nothing. */
    path.rtt_us = 100000;
    ways_path(&ways, (struct session *)(void *)&path, &path, now_us + paths[_i].after_us);
    ck_assert(ways.choice.gains == paths[_i].gains);
}
END_TEST

struct body {
    uint8_t octets[64];
    size_t length;
};

static struct body probe(uint32_t number)
{
    struct body body;
    struct writer w;

    writer_init(&w, body.octets, sizeof(body.octets));
    probe_put(&w, number);
    body.length = writer_length(&w);
    return body;
}

static struct body report(void)
{
    struct choice_report report = {.number = 0x01020304, .early = true, .overtook = 1ull << 40};
    struct body body;
    struct writer w;

    writer_init(&w, body.octets, sizeof(body.octets));
    probe_report_put(&w, &report);
    body.length = writer_length(&w);
    return body;
}

static int read_probe(const uint8_t *octets, size_t length, uint32_t *number)
{
    struct reader r;

    reader_init(&r, octets, length);
    return probe_get(&r, number);
}

static int read_report(const uint8_t *octets, size_t length, struct choice_report *report)
{
    struct reader r;

    reader_init(&r, octets, length);
    return probe_report_get(&r, report);
}

START_TEST(test_bodies)
{
    struct body body = probe(UINT32_MAX);
    struct choice_report got;
    uint32_t number;

    ck_assert_int_eq(read_probe(body.octets, body.length, &number), 0);
    ck_assert_uint_eq(number, UINT32_MAX);
    ck_assert_int_lt(read_report(body.octets, body.length, &got), 0);
    for (size_t length = 0; length < body.length; length++)
        ck_assert_int_lt(read_probe(body.octets, length, &number), 0);
    body = report();
    ck_assert_int_eq(read_report(body.octets, body.length, &got), 0);
    ck_assert(got.number == 0x01020304 && got.early && got.overtook == 1ull << 40);
    for (size_t length = 0; length < body.length; length++)
        ck_assert_int_lt(read_report(body.octets, length, &got), 0);
}
END_TEST

/* No bit can be flipped unnoticed, but in a value or in the critical bit of what may lack it. */
START_TEST(test_flipped)
{
    struct body body = report();
    struct choice_report want, got;

    ck_assert_int_eq(read_report(body.octets, body.length, &want), 0);
    for (size_t bit = 0; bit < 8 * body.length; bit++) {
        body.octets[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (read_report(body.octets, body.length, &got) == 0)
            ck_assert(got.number != want.number || got.early != want.early ||
                      got.overtook != want.overtook || bit % 8 == 7);
        body.octets[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}
END_TEST

/* ------------------------------------------------------------ a pair of connections of media */

enum { STREAM, CARRIER, BOTH, MSS = 100 };

static const uint64_t features[BOTH] = {
    [STREAM] = FEATURE_PROBE | FEATURE_PAIRS,
    [CARRIER] = FEATURE_PROBE | FEATURE_PAIRS | FEATURE_SEALED,
};

static int on_hello(void *ctx, const struct hello *theirs, struct hello *reply,
                    char reason[BYE_REASON_SIZE])
{
    (void)ctx;
    (void)theirs;
    (void)reason;
    if (reply)
        reply->features = FEATURE_PROBE | FEATURE_PAIRS | FEATURE_SEALED;
    return 0;
}

static void on_up(void *ctx, const struct hello *theirs)
{
    (void)ctx;
    (void)theirs;
}

static void on_dropped(void *ctx, const uint32_t *labels, size_t count, enum verdict verdict)
{
    (void)ctx;
    (void)labels;
    (void)count;
    (void)verdict;
}

static const struct session_hooks hooks = {.hello = on_hello, .up = on_up, .dropped = on_dropped};

static void carry(struct session *from, struct session *to)
{
    uint8_t octets[4096];
    size_t room, length = session_output(from, octets, sizeof(octets), 1);

    memcpy(session_space(to, &room), octets, length);
    ck_assert_int_eq(session_received(to, length, 1), 0);
}

static struct session *open_media(struct ways *ways, int which)
{
    struct hello hello = {
        .version_min = 1, .version_max = 1, .features = features[which], .worker = 2};
    struct session *inner = session_new(SESSION_INNER, &hooks, NULL, 1000000, 1 << 16, 1);
    struct session *dmz = session_new(SESSION_DMZ, &hooks, NULL, 1000000, 1 << 16, 1);

    session_set_ways(inner, ways);
    session_start(inner, &hello);
    carry(inner, dmz);
    carry(dmz, inner);
    session_free(dmz);
    ck_assert_int_eq(session_state(inner), SESSION_UP);
    session_set_packet_room(inner, which == CARRIER ? MSS : SIZE_MAX);
    return inner;
}

/* Which are up, where media is, how long the packet is, and what it takes. */
static const struct {
    bool up[BOTH];
    enum choice_state state;
    size_t length;
    bool takes[BOTH];
} pairs[] = {
    {{1, 1}, CHOICE_STREAM, 50, {1, 0}},       {{1, 1}, CHOICE_PROBING, 50, {1, 1}},
    {{1, 1}, CHOICE_CARRIER, 50, {0, 1}},      {{1, 1}, CHOICE_CARRIER, MSS, {0, 1}},
    {{1, 1}, CHOICE_CARRIER, MSS + 1, {1, 0}}, {{1, 1}, CHOICE_PROBING, MSS - 1, {1, 0}},
    {{1, 0}, CHOICE_STREAM, 50, {1, 0}},       {{0, 1}, CHOICE_STREAM, 50, {0, 1}},
    {{0, 1}, CHOICE_CARRIER, 50, {0, 1}},
};

/* It is the same to whichever of the two a packet is given. */
START_TEST(test_pair)
{
    static struct ways ways;
    struct session *media[BOTH];
    struct verdict_counts counts = {0};
    static const uint8_t packet[2 * MSS];
    int to = _i % BOTH, row = _i / BOTH;

    ways_init(&ways, NULL);
    ck_assert(!ways_are_there(&ways));
    for (int i = 0; i < BOTH; i++)
        media[i] = open_media(&ways, i);
    ways_open(&ways, media[CARRIER], 1);
    ways_join(&ways, media[STREAM]);
    choice_path(&ways.choice, true, 0);
    ways.choice.state = pairs[row].state;
    ways.choice.retry_us = UINT64_MAX; /* nothing changes by itself */
    ways.choice.packet_us = 2;
    for (int i = 0; i < BOTH; i++) {
        if (!pairs[row].up[i])
            ways_close(&ways, media[i], 2);
    }
    session_media(media[to], 7, packet, pairs[row].length, &counts, 3);
    for (int i = 0; i < BOTH; i++)
        ck_assert_uint_eq(session_queued(media[i]), pairs[row].takes[i]);
    ck_assert_uint_eq(counts.queued, 1);
    ck_assert_uint_eq(ways.doubled, pairs[row].takes[STREAM] && pairs[row].takes[CARRIER]);
    /* One that has ended knows nothing of the two that came after. */
    ways_fini(&ways);
    ways_close(&ways, media[to], 3);
    for (int i = 0; i < BOTH; i++)
        session_free(media[i]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ways");
    TCase *tc = tcase_create("ways");

    suite_add_tcase(suite, tc);
    tcase_add_loop_test(tc, test_copies, 0, 6);
    tcase_add_loop_test(tc, test_path, 0, sizeof(paths) / sizeof(paths[0]));
    tcase_add_loop_test(tc, test_pair, 0, BOTH * (int)(sizeof(pairs) / sizeof(pairs[0])));
    tcase_add_test(tc, test_bodies);
    tcase_add_test(tc, test_flipped);
    return unit_run(suite);
}
