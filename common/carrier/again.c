#include "common/carrier/again.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/carrier/seal.h"

enum {
    GAPS = 64,
    KEPT_FRAMES = 2048,
    KEPT_OCTETS = 256 * 1024,
    COUNTER_BITS = 48,
    CREDIT_MAX = AGAIN_CREDIT * AGAIN_SHARE,
};

/* Counters that were passed over. */
struct gap {
    uint64_t first, end, since_us;
};

/* Where the newest frames are, behind each other, in memory that begins anew at its end. */
struct kept {
    uint64_t first, end; /* counters that are there */
    size_t at;
    struct {
        uint32_t at, length;
    } slot[KEPT_FRAMES];
    uint8_t octets[KEPT_OCTETS];
};

struct again {
    bool begun;
    uint64_t next; /* the counter after the highest one that came */
    struct gap gap[GAPS];
    size_t gap_first, gap_count;
    unsigned ask_credit, send_credit; /* in shares of a frame */
    uint64_t asked_for;
    bool keeps;       /* somebody has asked */
    struct kept kept; /* else untouched: it takes no memory then */
    uint64_t repeated;
    uint64_t waiting[AGAIN_WAITING];
    size_t waiting_first, waiting_count;
};

struct again *again_new(void)
{
    struct again *again = calloc(1, sizeof(*again));

    if (again)
        again->ask_credit = again->send_credit = CREDIT_MAX;
    return again;
}

void again_free(struct again *again)
{
    free(again);
}

/* A frame came, or went. */
static void earn(unsigned *credit)
{
    *credit += *credit < CREDIT_MAX;
}

static bool spend(unsigned *credit, uint64_t frames)
{
    if (*credit / AGAIN_SHARE < frames)
        return false;
    *credit -= (unsigned)frames * AGAIN_SHARE;
    return true;
}

/* ------------------------------------------------------------ what comes */

static void note_gap(struct again *again, uint64_t first, uint64_t end, uint64_t now_us)
{
    if (end - first > AGAIN_RUN_FRAMES || again->gap_count == GAPS)
        return;
    again->gap[(again->gap_first + again->gap_count++) % GAPS] =
        (struct gap){.first = first, .end = end, .since_us = now_us};
}

void again_came(struct again *again, uint64_t counter, uint64_t now_us)
{
    earn(&again->ask_credit);
    if (again->begun && counter < again->next)
        return;
    if (again->begun && counter > again->next)
        note_gap(again, again->next, counter, now_us);
    again->begun = true;
    again->next = counter + 1;
}

static bool is_due(const struct again *again, const struct gap *gap, uint64_t now_us)
{
    return again->next - gap->end >= AGAIN_LATER_FRAMES || now_us - gap->since_us >= AGAIN_LATER_US;
}

static void put_run(struct writer *w, uint64_t first, uint64_t count)
{
    writer_u16(w, (uint16_t)(first >> 32));
    writer_u32(w, (uint32_t)first);
    writer_u16(w, (uint16_t)count);
}

/* What is missing of the gap, in runs; how many these are. What has no place is TCP's affair. */
static unsigned put_gap(struct again *again, const struct gap *gap, const struct seal *seal,
                        struct writer *w, unsigned room)
{
    uint64_t counter = gap->first, first;
    unsigned runs = 0;

    while (runs < room) {
        while (counter < gap->end && seal_has(seal, counter))
            counter++;
        for (first = counter; counter < gap->end && !seal_has(seal, counter);)
            counter++;
        if (counter == first || !spend(&again->ask_credit, counter - first))
            break;
        put_run(w, first, counter - first);
        again->asked_for += counter - first;
        runs++;
    }
    return runs;
}

uint64_t again_wait_us(const struct again *again, uint64_t now_us)
{
    const struct gap *gap = &again->gap[again->gap_first];

    if (again->gap_count == 0)
        return UINT64_MAX;
    return is_due(again, gap, now_us) ? 0 : AGAIN_LATER_US - (now_us - gap->since_us);
}

bool again_ask(struct again *again, const struct seal *seal, struct writer *w, uint64_t now_us)
{
    unsigned runs = 0;

    while (again->gap_count > 0 && runs < AGAIN_RUNS) {
        const struct gap *gap = &again->gap[again->gap_first];

        if (!is_due(again, gap, now_us))
            break;
        runs += put_gap(again, gap, seal, w, AGAIN_RUNS - runs);
        again->gap_first = (again->gap_first + 1) % GAPS;
        again->gap_count--;
    }
    return runs > 0;
}

/* ------------------------------------------------------------ what goes */

static bool is_in_the_way(const struct kept *kept, size_t at, size_t length)
{
    size_t first = kept->slot[kept->first % KEPT_FRAMES].at;
    size_t end = first + kept->slot[kept->first % KEPT_FRAMES].length;

    return kept->end - kept->first == KEPT_FRAMES || (first < at + length && at < end);
}

void again_keep(struct again *again, uint64_t counter, const uint8_t *frame, size_t length)
{
    struct kept *kept = &again->kept;
    bool turns;

    earn(&again->send_credit);
    if (!again->keeps || length > SEAL_FRAME_MAX_OCTETS)
        return;
    if (counter != kept->end)
        kept->first = kept->end = counter;
    turns = kept->at + length > KEPT_OCTETS;
    /* What lies behind the last whole frame is older than all at the beginning. */
    while (turns && kept->first < kept->end && kept->slot[kept->first % KEPT_FRAMES].at >= kept->at)
        kept->first++;
    if (turns)
        kept->at = 0;
    while (kept->first < kept->end && is_in_the_way(kept, kept->at, length))
        kept->first++;
    memcpy(kept->octets + kept->at, frame, length);
    kept->slot[counter % KEPT_FRAMES].at = (uint32_t)kept->at;
    kept->slot[counter % KEPT_FRAMES].length = (uint32_t)length;
    kept->at += length;
    kept->end = counter + 1;
}

static void wait_for(struct again *again, uint64_t first, uint64_t count)
{
    for (uint64_t counter = first; counter < first + count && again->waiting_count < AGAIN_WAITING;
         counter++) {
        if (!spend(&again->send_credit, 1))
            return;
        again->waiting[(again->waiting_first + again->waiting_count++) % AGAIN_WAITING] = counter;
    }
}

static int get_run(struct reader *body, uint64_t *first, uint16_t *count)
{
    uint64_t high = reader_u16(body);

    *first = high << 32 | reader_u32(body);
    *count = reader_u16(body);
    if (body->failed || *count == 0 || *count > AGAIN_RUN_FRAMES)
        return ERR_PROTOCOL;
    return *first + *count > (uint64_t)1 << COUNTER_BITS ? ERR_PROTOCOL : 0;
}

int again_asked(struct again *again, struct reader *body)
{
    struct reader copy = *body;
    unsigned runs = 0;
    uint64_t first, end = 0;
    uint16_t count;

    for (; reader_left(&copy) > 0; runs++) {
        if (runs == AGAIN_RUNS || get_run(&copy, &first, &count) < 0 || first < end)
            return ERR_PROTOCOL;
        end = first + count;
    }
    if (runs == 0)
        return ERR_PROTOCOL;
    again->keeps = true;
    while (reader_left(body) > 0) {
        (void)get_run(body, &first, &count);
        wait_for(again, first, count);
    }
    return 0;
}

const uint8_t *again_next(struct again *again, size_t *length)
{
    const struct kept *kept = &again->kept;

    while (again->waiting_count > 0) {
        uint64_t counter = again->waiting[again->waiting_first];

        again->waiting_first = (again->waiting_first + 1) % AGAIN_WAITING;
        again->waiting_count--;
        if (counter < kept->first || counter >= kept->end)
            continue;
        again->repeated++;
        *length = kept->slot[counter % KEPT_FRAMES].length;
        return kept->octets + kept->slot[counter % KEPT_FRAMES].at;
    }
    return NULL;
}

uint64_t again_asked_for(const struct again *again)
{
    return again->asked_for;
}

uint64_t again_repeated(const struct again *again)
{
    return again->repeated;
}
