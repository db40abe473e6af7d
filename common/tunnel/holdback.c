#include "common/tunnel/holdback.h"

enum { COUNT_US = 100 * 1000 };

static void count(struct holdback *holdback, uint64_t sent, uint64_t now_us)
{
    uint64_t elapsed_us = now_us - holdback->since_us;

    if (elapsed_us < COUNT_US)
        return;
    holdback->many = (sent - holdback->sent) * 1000000 >= HOLDBACK_RATE * elapsed_us;
    holdback->since_us = now_us;
    holdback->sent = sent;
}

uint64_t holdback_us(struct holdback *holdback, const struct holdback_state *state, uint64_t now_us)
{
    uint64_t waited_us = now_us - state->queued_us;

    count(holdback, state->sent, now_us);
    if (!holdback->many || state->lost_us == 0 || now_us - state->lost_us >= HOLDBACK_LOSS_US)
        return 0;
    return state->octets < HOLDBACK_OCTETS && waited_us < HOLDBACK_US ? HOLDBACK_US - waited_us : 0;
}
