#include "inner-relay/direct.h"

#include "common/base/err.h"
#include "common/base/protocol.h"
#include "common/base/reader.h"
#include "common/base/writer.h"

enum {
    /* Silence beyond the round-trip time after which it is dead: four PINGs and a bit. */
    SILENCE_US = 65 * 1000,
    RTT_PARTS = 64,
    RTT_FIRST_US = 500 * 1000, /* until it is known */
    /* Media goes both ways for so long after the path was opened, or has died. */
    HOPE_US = 1000 * 1000,
    /* What forgets a connection does not come back; what is busy, or moves, does by then. */
    LOST_US = 8 * 1000 * 1000,
};

void direct_open(struct direct *direct, uint64_t now_us)
{
    *direct = (struct direct){.open = true, .lost_us = now_us};
}

void direct_close(struct direct *direct)
{
    direct->open = direct->alone = false;
    direct->alive_us = 0;
}

bool direct_is_due(const struct direct *direct, uint64_t now_us)
{
    return direct->open && now_us - direct->pinged_us >= DIRECT_PING_US;
}

void direct_put(struct direct *direct, uint32_t received, uint8_t out[DIRECT_PING_OCTETS],
                uint64_t now_us)
{
    struct writer w;

    direct->pinged_us = now_us;
    writer_init(&w, out, DIRECT_PING_OCTETS);
    writer_u64(&w, now_us);
    writer_u64(&w, direct->theirs);
    writer_u32(&w, received);
    writer_u32(&w, 0);
}

static bool is_alive(const struct direct *direct, uint64_t now_us)
{
    uint64_t rtt_us = direct->rtt_us ? direct->rtt_us : RTT_FIRST_US;

    return direct->echoed_us > 0 && now_us - direct->echoed_us <= rtt_us + SILENCE_US;
}

/* The state as it is now: between two PINGs the path may have died. */
static void look(struct direct *direct, uint64_t now_us)
{
    bool alive = is_alive(direct, now_us);

    if (alive && direct->alive_us == 0)
        direct->alive_us = now_us;
    if (alive || direct->alive_us == 0)
        return;
    direct->alive_us = 0;
    direct->lost_us = now_us;
}

/*
 * The shortest one, which rises slowly: what came late after a stall does not say how long an
 * answer takes, or the next death would be noticed later.
 */
static void take_echo(struct direct *direct, uint64_t echo, uint64_t now_us)
{
    uint64_t rtt_us = now_us - echo + 1; /* never 0 */

    if (echo <= direct->echoed_us)
        return;
    direct->echoed_us = echo;
    if (direct->rtt_us == 0 || rtt_us <= direct->rtt_us)
        direct->rtt_us = rtt_us;
    else
        direct->rtt_us += (rtt_us - direct->rtt_us) / RTT_PARTS;
}

int direct_get(struct direct *direct, const uint8_t *data, size_t length, uint32_t *received,
               uint64_t now_us)
{
    struct reader r;
    uint64_t clock, echo;

    reader_init(&r, data, length);
    clock = reader_u64(&r);
    echo = reader_u64(&r);
    *received = reader_u32(&r);
    (void)reader_u32(&r);
    if (!reader_done(&r) || clock == 0 || echo > now_us)
        return ERR_PROTOCOL;
    if (clock > direct->theirs)
        direct->theirs = clock;
    look(direct, now_us);
    take_echo(direct, echo, now_us);
    look(direct, now_us);
    return 0;
}

bool direct_is_proven(const struct direct *direct, uint64_t now_us)
{
    return direct->open && direct->alive_us > 0 && is_alive(direct, now_us) &&
           now_us - direct->alive_us >= DIRECT_PROOF_US;
}

bool direct_is_steady(const struct direct *direct, uint64_t now_us)
{
    return direct_is_proven(direct, now_us) && now_us - direct->alive_us >= DIRECT_STEADY_US;
}

bool direct_is_lost(struct direct *direct, uint64_t now_us)
{
    if (!direct->open)
        return false;
    look(direct, now_us);
    return direct->alive_us == 0 && now_us - direct->lost_us >= LOST_US;
}

static void count(struct direct *direct, bool alone)
{
    direct->moves += alone && !direct->alone;
    direct->returns += !alone && direct->alone;
    direct->alone = alone;
}

enum direct_way direct_way(struct direct *direct, uint64_t now_us)
{
    bool proven;

    if (!direct->open)
        return DIRECT_TUNNEL;
    look(direct, now_us);
    proven = direct_is_proven(direct, now_us);
    count(direct, proven);
    if (proven)
        return DIRECT_ALONE;
    return direct->alive_us > 0 || now_us - direct->lost_us < HOPE_US ? DIRECT_BOTH : DIRECT_TUNNEL;
}
