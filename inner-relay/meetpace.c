#include "inner-relay/meetpace.h"

#include "common/tunnel/localports.h"

/* One that came to nothing is tried again after so long, each time after twice as long. */
#define RETRY_US     (UINT64_C(10) * 1000 * 1000)
#define RETRY_MAX_US (UINT64_C(600) * 1000 * 1000)
/* No two are begun in less time. */
#define BEGIN_US (UINT64_C(5) * 1000 * 1000)
/* A path that dies earlier is as good as one that came to nothing. */
#define LASTED_US (UINT64_C(60) * 1000 * 1000)

enum {
    PORTS_LEFT = 3, /* for the tunnel itself */
    STEP_BITS = 40, /* of the step from one number to the next: nobody guesses it */
};

bool meetpace_may_begin(const struct meetpace *pace, unsigned others, uint64_t now_us)
{
    return others < LOCALPORTS - PORTS_LEFT &&
           (pace->begun_us == 0 || now_us - pace->begun_us >= BEGIN_US);
}

bool meetpace_is_due(const struct meetpace *pace, uint64_t now_us)
{
    return now_us >= pace->retry_us;
}

void meetpace_begin(struct meetpace *pace, uint64_t now_us)
{
    pace->begun_us = now_us;
}

void meetpace_open(struct meetpace *pace, uint64_t now_us)
{
    pace->opened_us = now_us;
}

bool meetpace_prove(struct meetpace *pace)
{
    bool new = !pace->works;

    pace->works = true;
    return new;
}

void meetpace_close(struct meetpace *pace, bool good, uint64_t now_us)
{
    pace->works = pace->works && (good || now_us - pace->opened_us >= LASTED_US);
}

void meetpace_end(struct meetpace *pace, uint64_t now_us)
{
    if (pace->works) {
        pace->works = false;
        pace->pause_us = 0;
        pace->retry_us = pace->begun_us + BEGIN_US;
        return;
    }
    pace->pause_us = pace->pause_us ? 2 * pace->pause_us : RETRY_US;
    if (pace->pause_us > RETRY_MAX_US)
        pace->pause_us = RETRY_MAX_US;
    pace->retry_us = now_us + pace->pause_us;
}

static uint64_t greatest(const struct meetpace *pace, unsigned side, uint64_t session)
{
    return pace->used[side].session == session ? pace->used[side].number : 0;
}

uint64_t meetpace_draw(const struct meetpace *pace, unsigned side, uint64_t session,
                       uint64_t random)
{
    uint64_t last = greatest(pace, side, session), step = (random >> (64 - STEP_BITS)) + 1;

    return last <= UINT64_MAX - step ? last + step : 0;
}

bool meetpace_take(struct meetpace *pace, unsigned side, uint64_t session, uint64_t number)
{
    if (number <= greatest(pace, side, session))
        return false;
    pace->used[side].session = session;
    pace->used[side].number = number;
    return true;
}
