#include "common/srtp/index.h"

#include <stdlib.h>

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

int main(void)
{
    Suite *suite = suite_create("index");
    TCase *tc = tcase_create("index");

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, test_every_sequence, 0, sizeof(rocs) / sizeof(rocs[0]));
    tcase_add_loop_test(tc, test_every_highest, 0, sizeof(rocs) / sizeof(rocs[0]));
    tcase_add_test(tc, test_not_started);
    tcase_add_test(tc, test_advance);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
