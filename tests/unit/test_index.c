#include "common/srtp/index.h"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"

#define TURN  ((int64_t)1 << 16)
#define LIMIT ((int64_t)1 << 48)

/*
 * Of all indexes with this sequence number, inside the range, the one nearest to the highest. At
 * exactly half a turn the RFC's inequalities are strict, and keep the ROC.
 */
static uint64_t oracle(uint64_t highest, uint16_t sequence)
{
    int64_t best = (int64_t)(highest & ~(uint64_t)0xffff) | sequence;
    int64_t same = best;

    for (int64_t candidate = same - TURN; candidate <= same + TURN; candidate += 2 * TURN) {
        if (candidate < 0 || candidate >= LIMIT)
            continue;
        if (llabs(candidate - (int64_t)highest) < llabs(same - (int64_t)highest))
            best = candidate;
    }
    return (uint64_t)best;
}

static const uint16_t edges[] = {0, 1, 2, 0x7ffe, 0x7fff, 0x8000, 0x8001, 0x8002, 0xfffe, 0xffff};
static const uint32_t rocs[] = {0, 1, 2, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff};

START_TEST(test_every_sequence)
{
    for (size_t e = 0; e < sizeof(edges) / sizeof(edges[0]); e++) {
        struct srtp_index state = {.started = true, .highest = (uint64_t)rocs[_i] << 16 | edges[e]};

        for (uint32_t sequence = 0; sequence <= 0xffff; sequence++) {
            uint64_t got = index_estimate(&state, (uint16_t)sequence);

            if (got != oracle(state.highest, (uint16_t)sequence))
                ck_abort_msg("highest %llx sequence %x: %llx", (unsigned long long)state.highest,
                             sequence, (unsigned long long)got);
        }
    }
}
END_TEST

/* Every highest sequence number, with the sequence numbers around both ends of its half turn. */
START_TEST(test_every_highest)
{
    for (uint32_t last = 0; last <= 0xffff; last++) {
        struct srtp_index state = {.started = true, .highest = (uint64_t)rocs[_i] << 16 | last};

        for (int offset = -3; offset <= 3; offset++) {
            uint16_t near = (uint16_t)((int)last + offset);
            uint16_t far = (uint16_t)(near + 0x8000);

            if (index_estimate(&state, near) != oracle(state.highest, near) ||
                index_estimate(&state, far) != oracle(state.highest, far))
                ck_abort_msg("highest %llx offset %d", (unsigned long long)state.highest, offset);
        }
    }
}
END_TEST

START_TEST(test_not_started)
{
    struct srtp_index state = {.highest = 0x50000};

    for (size_t e = 0; e < sizeof(edges) / sizeof(edges[0]); e++)
        ck_assert_uint_eq(index_estimate(&state, edges[e]), edges[e]);
}
END_TEST

START_TEST(test_advance)
{
    struct srtp_index state = {0};

    index_advance(&state, 0);
    ck_assert(state.started);
    ck_assert_uint_eq(state.highest, 0);
    index_advance(&state, 0x1ffff);
    index_advance(&state, 0x1fffe);
    ck_assert_uint_eq(state.highest, 0x1ffff);
    ck_assert_uint_eq(index_roc(state.highest), 1);
    ck_assert(!state.rtcp_started);

    index_advance_rtcp(&state, 7);
    index_advance_rtcp(&state, 6);
    ck_assert(state.rtcp_started);
    ck_assert_uint_eq(state.rtcp_highest, 7);
    index_advance_rtcp(&state, 0x7fffffff);
    ck_assert_uint_eq(state.rtcp_highest, 0x7fffffff);
}
END_TEST

/* ---------------------------------------------------------------- replay windows */

enum {
    WINDOW = SRTP_WINDOW_PACKETS,
    NEAR = WINDOW + 76, /* distances that are looked at one by one */
    SLIDES = 2 * WINDOW + 52,
    MARGIN = 4096, /* of the oracle, below and above its base */
};

/* What came, written down: the window has to say the same with its bits. */
struct record {
    uint64_t base, highest;
    bool came[2 * MARGIN];
};

/* Where a window stands in words, turns and at its two ends. */
static const uint64_t bases[] = {0,
                                 1,
                                 63,
                                 64,
                                 65,
                                 1022,
                                 1023,
                                 1024,
                                 1025,
                                 2047,
                                 2048,
                                 0xffff,
                                 0x10000,
                                 0x10001,
                                 0x1ffff,
                                 0x3fffffff,
                                 0x7fffffff,
                                 0x80000000,
                                 0xffffffff,
                                 0x100000000,
                                 0x10000003f,
                                 0x7ffffffff,
                                 0xfffffffeffff,
                                 0xffffffffffff};

enum { BASES = sizeof(bases) / sizeof(bases[0]), KINDS = 2 };

static uint64_t limit_of(bool rtcp)
{
    return rtcp ? (uint64_t)1 << 31 : (uint64_t)1 << 48;
}

static void advance(struct srtp_index *state, bool rtcp, uint64_t index)
{
    if (rtcp)
        index_advance_rtcp(state, (uint32_t)index);
    else
        index_advance(state, index);
}

static bool is_replay(const struct srtp_index *state, bool rtcp, uint64_t index)
{
    return rtcp ? index_is_replay_rtcp(state, (uint32_t)index) : index_is_replay(state, index);
}

static uint64_t highest_of(const struct srtp_index *state, bool rtcp)
{
    return rtcp ? state->rtcp_highest : state->highest;
}

static bool *place(struct record *record, uint64_t index)
{
    return &record->came[index + MARGIN - record->base];
}

static bool is_old(struct record *record, uint64_t index)
{
    if (index > record->highest)
        return false;
    return record->highest - index >= WINDOW || *place(record, index);
}

static void come(struct srtp_index *state, struct record *record, bool rtcp, uint64_t index)
{
    advance(state, rtcp, index);
    *place(record, index) = true;
    if (index > record->highest)
        record->highest = index;
}

static void begin(struct srtp_index *state, struct record *record, bool rtcp, uint64_t base)
{
    memset(state, 0, sizeof(*state));
    memset(record, 0, sizeof(*record));
    record->base = record->highest = base;
    come(state, record, rtcp, base);
}

/* Of the window behind the base, those whose bit in a pattern is set came too, latest last. */
static void fill(struct srtp_index *state, struct record *record, bool rtcp, uint64_t seed)
{
    for (uint64_t back = 1; back < WINDOW && back <= record->base; back++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        if (seed >> 63)
            come(state, record, rtcp, record->base - back);
    }
}

/* Each index near the highest, and some a multiple of the window away. */
static void compare(const struct srtp_index *state, struct record *record, bool rtcp)
{
    uint64_t highest = record->highest;

    if (highest_of(state, rtcp) != highest)
        ck_abort_msg("highest is %llx", (unsigned long long)highest_of(state, rtcp));
    for (int64_t way = -NEAR; way <= NEAR; way++) {
        uint64_t index = highest + (uint64_t)way;

        if (index < limit_of(rtcp) && is_replay(state, rtcp, index) != is_old(record, index))
            ck_abort_msg("base %llx highest %llx distance %lld", (unsigned long long)record->base,
                         (unsigned long long)highest, (long long)way);
    }
    for (int64_t windows = -70; windows <= 70; windows++) {
        uint64_t index = highest + (uint64_t)(windows * WINDOW);

        if (index < limit_of(rtcp) && is_replay(state, rtcp, index) != (windows <= 0))
            ck_abort_msg("base %llx highest %llx, %lld windows away",
                         (unsigned long long)record->base, (unsigned long long)highest,
                         (long long)windows);
    }
}

/* At each base: a full window, an empty one, patterns. */
START_TEST(test_window)
{
    static struct record record;
    struct srtp_index state;
    bool rtcp = _i / BASES;
    uint64_t base = bases[_i % BASES];

    if (base >= limit_of(rtcp))
        return;
    for (uint64_t seed = 0; seed < 8; seed++) {
        begin(&state, &record, rtcp, base);
        compare(&state, &record, rtcp);
        fill(&state, &record, rtcp, seed);
        compare(&state, &record, rtcp);
    }
    for (uint64_t back = 0; back < WINDOW && back <= base; back++)
        come(&state, &record, rtcp, base - back);
    compare(&state, &record, rtcp);
}
END_TEST

/* The window moves by every distance, from every base; then single indexes fill its gaps. */
START_TEST(test_slides)
{
    static struct record record;
    struct srtp_index state;
    bool rtcp = _i / BASES;
    uint64_t base = bases[_i % BASES];

    for (uint64_t slide = 1; slide <= SLIDES; slide += unit_stride(7)) {
        if (base + slide >= limit_of(rtcp))
            break;
        begin(&state, &record, rtcp, base);
        fill(&state, &record, rtcp, slide);
        come(&state, &record, rtcp, base + slide);
        if (slide < 200 || slide % 64 < 2 || slide > SLIDES - 8)
            compare(&state, &record, rtcp);
        for (uint64_t back = 1; back < WINDOW && back <= base + slide; back += 61) {
            if (!is_old(&record, base + slide - back))
                come(&state, &record, rtcp, base + slide - back);
        }
        compare(&state, &record, rtcp);
    }
}
END_TEST

/* A walk of small and large steps, all of it compared. */
START_TEST(test_walk)
{
    static struct record record;
    struct srtp_index state;
    bool rtcp = _i % KINDS;
    uint64_t seed = (uint64_t)_i, base = rtcp ? 0x7fffe800 : 0xffffe800;

    begin(&state, &record, rtcp, base);
    for (int i = 0; i < 3000 && record.highest < base + MARGIN - NEAR; i++) {
        uint64_t index;

        seed = seed * 6364136223846793005u + 1442695040888963407u;
        index = record.highest + (seed >> 33) % (seed >> 62 ? 8 : 80);
        if (seed >> 40 & 1)
            index = record.highest - (seed >> 33) % WINDOW;
        if (index < base || index >= limit_of(rtcp) || is_old(&record, index))
            continue;
        come(&state, &record, rtcp, index);
        compare(&state, &record, rtcp);
    }
    ck_assert_uint_gt(record.highest, base + WINDOW);
}
END_TEST

/* RTP's window and SRTCP's do not know of each other. */
START_TEST(test_two_windows)
{
    struct srtp_index state = {0}, before;

    index_advance(&state, 5000);
    before = state;
    index_advance_rtcp(&state, 70);
    index_advance_rtcp(&state, 2000);
    ck_assert_mem_eq(&state.rtp, &before.rtp, sizeof(state.rtp));
    ck_assert_uint_eq(state.highest, 5000);
    before = state;
    index_advance(&state, 7000);
    ck_assert_mem_eq(&state.rtcp, &before.rtcp, sizeof(state.rtcp));
    ck_assert_uint_eq(state.rtcp_highest, 2000);
}
END_TEST

/* ---------------------------------------------------------------- other lives */

START_TEST(test_resume)
{
    bool rtcp = _i / BASES;
    uint64_t base = bases[_i % BASES];
    struct srtp_index state = {.hinted = true, .highest = 7};

    if (base >= limit_of(rtcp))
        return;
    if (rtcp)
        index_resume_rtcp(&state, (uint32_t)base);
    else
        index_resume(&state, base);
    ck_assert(rtcp ? state.rtcp_started : state.started && !state.hinted);
    ck_assert_uint_eq(highest_of(&state, rtcp), base);
    for (int64_t way = -NEAR; way <= NEAR; way++) {
        uint64_t index = base + (uint64_t)way;

        if (index < limit_of(rtcp) && is_replay(&state, rtcp, index) != (way <= 0))
            ck_abort_msg("base %llx distance %lld", (unsigned long long)base, (long long)way);
    }
    /* What comes after it leaves no trace of the old ones behind. */
    if (base + 3 >= limit_of(rtcp))
        return;
    advance(&state, rtcp, base + 3);
    ck_assert(!is_replay(&state, rtcp, base + 2) && !is_replay(&state, rtcp, base + 1));
    ck_assert(is_replay(&state, rtcp, base + 3) && is_replay(&state, rtcp, base));
}
END_TEST

START_TEST(test_rekey)
{
    struct srtp_index old = {0}, state, again;

    index_advance(&old, 0x5fff0);
    index_advance_rtcp(&old, 9);
    index_rekey(&state, &old);
    ck_assert(state.hinted && !state.started && !state.rtcp_started);
    /* Nothing has come under the new key. */
    ck_assert(!index_is_replay(&state, 0x5fff0) && !index_is_replay(&state, 3));
    ck_assert(!index_is_replay_rtcp(&state, 9) && !index_is_replay_rtcp(&state, 0));
    /* A second re-keying before the first packet still knows the ROC. */
    index_rekey(&again, &state);
    ck_assert(again.hinted);
    for (uint32_t sequence = 0; sequence <= 0xffff; sequence++)
        ck_assert_uint_eq(index_estimate(&again, (uint16_t)sequence),
                          oracle(0x5fff0, (uint16_t)sequence));
    /* The first packet settles it, whatever its ROC. */
    index_advance(&state, 17);
    ck_assert(state.started && !state.hinted);
    ck_assert_uint_eq(state.highest, 17);
    ck_assert(index_is_replay(&state, 17) && !index_is_replay(&state, 16));
    /* In place, and of a stream that has not begun. */
    index_rekey(&old, &old);
    ck_assert_mem_eq(&old, &again, sizeof(old));
    memset(&old, 0, sizeof(old));
    index_rekey(&state, &old);
    ck_assert_mem_eq(&state, &old, sizeof(old));
}
END_TEST

/* A hint counts until the first packet, and not after it. */
START_TEST(test_hint)
{
    uint64_t highest = (uint64_t)rocs[_i] << 16 | 0xff00, other = 0;
    struct srtp_index state = {0}, before;

    index_hint(&state, highest);
    ck_assert(state.hinted && !state.started && !index_is_replay(&state, highest));
    for (size_t e = 0; e < sizeof(edges) / sizeof(edges[0]); e++) {
        ck_assert_uint_eq(index_estimate(&state, edges[e]), oracle(highest, edges[e]));
        ck_assert_uint_eq(index_near(highest, edges[e]), oracle(highest, edges[e]));
    }
    ck_assert(index_search(&state, highest, false, &other) == (rocs[_i] > 0));
    index_hint(&state, 0x20005); /* a later one is better */
    ck_assert_uint_eq(index_estimate(&state, 6), 0x20006);
    index_advance(&state, 0x20007);
    before = state;
    index_hint(&state, highest);
    ck_assert_mem_eq(&state, &before, sizeof(state));
}
END_TEST

/* ---------------------------------------------------------------- the search */

START_TEST(test_search_first)
{
    struct srtp_index state = {0};
    uint64_t other = 0;

    ck_assert(!index_search(&state, 0x1234, true, &other));
    for (uint64_t i = 0; i < INDEX_SEARCH_BURST; i++) {
        ck_assert(index_search(&state, 0x1234, false, &other));
        ck_assert_uint_eq(other, (i % (INDEX_SEARCH_TURNS - 1) + 1) << 16 | 0x1234);
    }
    for (unsigned i = 0; i < 3 * INDEX_SEARCH_EVERY; i++)
        ck_assert(index_search(&state, 0x1234, false, &other) == (i % INDEX_SEARCH_EVERY == 0));
    ck_assert(!state.started);
    index_search_was_honest(&state);
    for (unsigned i = 0; i < INDEX_SEARCH_BURST; i++)
        ck_assert(index_search(&state, 0x1234, false, &other));
}
END_TEST

START_TEST(test_search_rekeyed)
{
    struct srtp_index old = {.started = true, .highest = 0x5fff0}, state;
    uint64_t other = 0;

    index_rekey(&state, &old);
    for (int i = 0; i < INDEX_SEARCH_BURST; i++) {
        ck_assert(index_search(&state, index_estimate(&state, 0xfff1), false, &other));
        ck_assert_uint_eq(other, 0xfff1);
    }
    ck_assert(!index_search(&state, 0xfff1, false, &other)); /* that was ROC 0 */
}
END_TEST

/* One second try, then none for 31 packets, be they bad or good. */
START_TEST(test_search_bound)
{
    struct srtp_index state = {.started = true, .highest = 0x25000};
    bool good = _i;
    uint64_t other = 0;

    for (uint64_t i = 0; i < 10 * (uint64_t)INDEX_SEARCH_EVERY; i++) {
        uint64_t at = state.highest + 1;

        if (i % INDEX_SEARCH_EVERY == 0) {
            ck_assert(index_search(&state, at, false, &other));
            ck_assert_uint_eq(other, at + (uint64_t)TURN);
        } else if (good) {
            index_advance(&state, at);
        } else {
            ck_assert(!index_search(&state, at, false, &other));
        }
    }
}
END_TEST

/* What lies in the window is a replay and nothing else; what is behind it may be ahead. */
START_TEST(test_search_behind)
{
    struct srtp_index state = {.started = true, .highest = 0x25000};
    struct srtp_index before = state;
    uint64_t other = 0;

    for (uint64_t back = 0; back < WINDOW; back++) {
        ck_assert(!index_search(&state, state.highest - back, true, &other));
        ck_assert_mem_eq(&state, &before, sizeof(state)); /* and costs no try */
    }
    ck_assert(index_search(&state, state.highest - WINDOW, true, &other));
    ck_assert_uint_eq(other, state.highest - WINDOW + (uint64_t)TURN);
}
END_TEST

/* There is no ROC above the last. */
START_TEST(test_search_limit)
{
    uint64_t last = (uint64_t)(LIMIT - TURN), other = 0;
    struct srtp_index state = {.started = true, .highest = last - 1};
    struct srtp_index before = state;

    ck_assert(!index_search(&state, last, false, &other));
    ck_assert(!index_search(&state, last + (uint64_t)TURN - 1, false, &other));
    ck_assert_mem_eq(&state, &before, sizeof(state));
    ck_assert(index_search(&state, last - 1, false, &other));
    ck_assert_uint_eq(other, (uint64_t)LIMIT - 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("index");
    TCase *tc = tcase_create("index");

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, test_every_sequence, 0, sizeof(rocs) / sizeof(rocs[0]));
    tcase_add_loop_test(tc, test_every_highest, 0, sizeof(rocs) / sizeof(rocs[0]));
    tcase_add_test(tc, test_not_started);
    tcase_add_test(tc, test_advance);
    tcase_add_loop_test(tc, test_window, 0, KINDS * BASES);
    tcase_add_loop_test(tc, test_slides, 0, KINDS * BASES);
    tcase_add_loop_test(tc, test_walk, 0, KINDS * 4);
    tcase_add_test(tc, test_two_windows);
    tcase_add_loop_test(tc, test_resume, 0, KINDS * BASES);
    tcase_add_test(tc, test_rekey);
    tcase_add_loop_test(tc, test_hint, 0, sizeof(rocs) / sizeof(rocs[0]));
    tcase_add_test(tc, test_search_first);
    tcase_add_test(tc, test_search_rekeyed);
    tcase_add_loop_test(tc, test_search_bound, 0, 2);
    tcase_add_test(tc, test_search_behind);
    tcase_add_test(tc, test_search_limit);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
