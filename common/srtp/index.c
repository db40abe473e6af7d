#include "common/srtp/index.h"

uint64_t index_estimate(const struct srtp_index *state, uint16_t sequence)
{
    uint32_t roc = index_roc(state->highest);
    uint16_t last = (uint16_t)state->highest;

    if (!state->started)
        return sequence;
    if (last < 0x8000) {
        if (sequence - last > 0x8000 && roc > 0)
            roc--;
    } else if (last - 0x8000 > sequence && roc < UINT32_MAX) {
        roc++;
    }
    return (uint64_t)roc << 16 | sequence;
}

void index_advance(struct srtp_index *state, uint64_t index)
{
    if (!state->started || index > state->highest)
        state->highest = index;
    state->started = true;
}

void index_advance_rtcp(struct srtp_index *state, uint32_t index)
{
    if (!state->rtcp_started || index > state->rtcp_highest)
        state->rtcp_highest = index;
    state->rtcp_started = true;
}
