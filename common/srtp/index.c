#include "common/srtp/index.h"

#include <string.h>

#define INDEX_TURN  ((uint64_t)1 << 16)
#define INDEX_LIMIT ((uint64_t)1 << 48)

uint64_t index_near(uint64_t highest, uint16_t sequence)
{
    uint32_t roc = index_roc(highest);
    uint16_t last = (uint16_t)highest;

    if (last < 0x8000) {
        if (sequence - last > 0x8000 && roc > 0)
            roc--;
    } else if (last - 0x8000 > sequence && roc < UINT32_MAX) {
        roc++;
    }
    return (uint64_t)roc << 16 | sequence;
}

uint64_t index_estimate(const struct srtp_index *state, uint16_t sequence)
{
    return state->started || state->hinted ? index_near(state->highest, sequence) : sequence;
}

/* ------------------------------------------------------------ replay windows */

static uint64_t *window_word(struct srtp_window *window, uint64_t index)
{
    return &window->bits[index % SRTP_WINDOW_PACKETS / 64];
}

static bool window_has(const struct srtp_window *window, uint64_t index)
{
    return window->bits[index % SRTP_WINDOW_PACKETS / 64] >> index % 64 & 1;
}

static void window_set(struct srtp_window *window, uint64_t index)
{
    *window_word(window, index) |= (uint64_t)1 << index % 64;
}

/* The places of from + 1 to to belonged to indexes that are now too old. */
static void window_slide(struct srtp_window *window, uint64_t from, uint64_t to)
{
    if (to - from >= SRTP_WINDOW_PACKETS) {
        memset(window, 0, sizeof(*window));
        return;
    }
    while (from < to) {
        uint64_t first = from + 1;
        uint64_t last = first | 63; /* of its word */

        if (last > to)
            last = to;
        *window_word(window, first) &= ~(UINT64_MAX >> (63 - (last - first)) << first % 64);
        from = last;
    }
}

static bool is_replay(const struct srtp_window *window, uint64_t highest, uint64_t index)
{
    if (index > highest)
        return false;
    return highest - index >= SRTP_WINDOW_PACKETS || window_has(window, index);
}

bool index_is_replay(const struct srtp_index *state, uint64_t index)
{
    return state->started && is_replay(&state->rtp, state->highest, index);
}

bool index_is_replay_rtcp(const struct srtp_index *state, uint32_t index)
{
    return state->rtcp_started && is_replay(&state->rtcp, state->rtcp_highest, index);
}

void index_advance(struct srtp_index *state, uint64_t index)
{
    if (!state->started) {
        memset(&state->rtp, 0, sizeof(state->rtp));
        state->started = true;
        state->hinted = false;
        state->highest = index;
        index_search_was_honest(state);
    } else if (index > state->highest) {
        window_slide(&state->rtp, state->highest, index);
        state->highest = index;
    }
    window_set(&state->rtp, index);
    if (state->search_wait > 0)
        state->search_wait--;
}

void index_advance_rtcp(struct srtp_index *state, uint32_t index)
{
    if (!state->rtcp_started) {
        memset(&state->rtcp, 0, sizeof(state->rtcp));
        state->rtcp_started = true;
        state->rtcp_highest = index;
    } else if (index > state->rtcp_highest) {
        window_slide(&state->rtcp, state->rtcp_highest, index);
        state->rtcp_highest = index;
    }
    window_set(&state->rtcp, index);
}

void index_resume(struct srtp_index *state, uint64_t highest)
{
    state->started = true;
    state->hinted = false;
    state->highest = highest;
    memset(&state->rtp, 0xff, sizeof(state->rtp));
}

void index_resume_rtcp(struct srtp_index *state, uint32_t highest)
{
    state->rtcp_started = true;
    state->rtcp_highest = highest;
    memset(&state->rtcp, 0xff, sizeof(state->rtcp));
}

void index_rekey(struct srtp_index *state, const struct srtp_index *old)
{
    bool hinted = old->started || old->hinted;
    uint64_t highest = old->highest;

    memset(state, 0, sizeof(*state));
    state->hinted = hinted;
    state->highest = highest;
}

void index_hint(struct srtp_index *state, uint64_t highest)
{
    if (state->started)
        return;
    state->hinted = true;
    state->highest = highest;
}

/* ------------------------------------------------------------ search */

/* A stream that has started has no burst: after it, one packet in INDEX_SEARCH_EVERY. */
static bool search_is_due(struct srtp_index *state)
{
    if (!state->started && state->search_spent < INDEX_SEARCH_BURST) {
        state->search_spent++;
        return true;
    }
    if (state->search_wait > 0) {
        state->search_wait--;
        return false;
    }
    state->search_wait = INDEX_SEARCH_EVERY - 1;
    return true;
}

/* ROC 0 is what most stacks begin with, and what many go back to when they get a new key. */
static bool search_start(struct srtp_index *state, uint64_t at, uint64_t *other)
{
    if ((state->hinted && index_roc(at) == 0) || !search_is_due(state))
        return false;
    if (state->hinted) {
        *other = (uint16_t)at;
        return true;
    }
    state->search_roc = (uint8_t)(state->search_roc % (INDEX_SEARCH_TURNS - 1) + 1);
    *other = (uint64_t)state->search_roc << 16 | (uint16_t)at;
    return true;
}

bool index_search(struct srtp_index *state, uint64_t at, bool behind, uint64_t *other)
{
    if (!state->started)
        return !behind && search_start(state, at, other);
    if (behind && at + SRTP_WINDOW_PACKETS > state->highest)
        return false;
    if (at + INDEX_TURN >= INDEX_LIMIT || !search_is_due(state))
        return false;
    *other = at + INDEX_TURN;
    return true;
}

void index_search_was_honest(struct srtp_index *state)
{
    state->search_wait = 0;
    state->search_spent = 0;
}
