#include "common/carrier/early.h"

#include <string.h>

#include "common/carrier/segment.h"

const char *early_count_name(enum early_count which)
{
    static const char *const names[] = {
#define X(name, word, text) word,
        EARLY_COUNT_LIST(X)
#undef X
    };

    return names[which];
}

void early_init(struct early *early)
{
    memset(early, 0, sizeof(*early));
}

/* ---------------------------------------------------------------- known starts of frames */

static void add_start(struct early *early, uint32_t sequence)
{
    for (uint8_t i = 0; i < early->start_count; i++) {
        if (early->starts[i] == sequence)
            return;
    }
    early->starts[early->start_next] = sequence;
    early->start_next = (uint8_t)((early->start_next + 1) % EARLY_STARTS);
    if (early->start_count < EARLY_STARTS)
        early->start_count++;
}

/* How far from sequence on the first known start is, less than length; 0: none is. */
static size_t find_start(const struct early *early, uint32_t sequence, size_t length)
{
    size_t best = 0;

    for (uint8_t i = 0; i < early->start_count; i++) {
        size_t distance = early->starts[i] - sequence;

        if (distance > 0 && distance < length && (best == 0 || distance < best))
            best = distance;
    }
    return best;
}

/* ---------------------------------------------------------------- ranges */

/* The octets of a frame in the kernel's stream. False: that has passed them, or it is not known. */
static bool place(const struct early *early, uint32_t sequence, size_t length,
                  struct early_range *range)
{
    int64_t distance = (int32_t)(sequence - early->sequence);

    if (!early->anchored || distance < 0)
        return false;
    range->start = early->position + (uint64_t)distance;
    range->end = range->start + length;
    return true;
}

/* Whether the range before i ends where i begins: one of both is enough then. */
static void join(struct early *early, size_t i)
{
    struct early_range *ranges = early->ranges;

    if (i == 0 || i >= early->range_count || ranges[i - 1].end < ranges[i].start)
        return;
    if (ranges[i].end > ranges[i - 1].end)
        ranges[i - 1].end = ranges[i].end;
    early->range_count--;
    memmove(&ranges[i], &ranges[i + 1], (early->range_count - i) * sizeof(ranges[0]));
}

/* Most come behind all others. What overlaps another cannot be: one of both is not where it says.
 */
static void add_range(struct early *early, const struct early_range *range)
{
    struct early_range *ranges = early->ranges;
    size_t i = early->range_count;

    while (i > 0 && ranges[i - 1].start >= range->end)
        i--;
    if (i > 0 && ranges[i - 1].end > range->start)
        return;
    if (i > 0 && ranges[i - 1].end == range->start) {
        ranges[i - 1].end = range->end;
        join(early, i);
        return;
    }
    if (early->range_count == EARLY_RANGES) {
        early->counts[EARLY_CROWDED]++;
        return;
    }
    memmove(&ranges[i + 1], &ranges[i], (early->range_count - i) * sizeof(ranges[0]));
    ranges[i] = *range;
    early->range_count++;
    join(early, i + 1);
}

static void add_recent(struct early *early, uint32_t sequence, uint64_t counter)
{
    early->recent[early->recent_next] = (struct early_recent){counter, sequence};
    early->recent_next = (uint8_t)((early->recent_next + 1) % EARLY_RECENT);
    if (early->recent_count < EARLY_RECENT)
        early->recent_count++;
}

/* ---------------------------------------------------------------- a segment */

void early_segment(struct early_walk *walk, struct early *early, uint32_t sequence,
                   const uint8_t *data, size_t length)
{
    *walk = (struct early_walk){.early = early, .at = data, .left = length, .sequence = sequence};
    early->counts[EARLY_SEGMENTS]++;
    /* It is walked through all the same: what the kernel had there may be somebody else's. */
    if (early->anchored && !segment_is_after(sequence + (uint32_t)length, early->sequence))
        early->counts[EARLY_LATE]++;
}

static void pass(struct early_walk *walk, size_t octets)
{
    walk->at += octets;
    walk->left -= octets;
    walk->sequence += (uint32_t)octets;
}

/* To where a frame is known to begin; once in a segment. */
static bool jump(struct early_walk *walk)
{
    size_t distance = walk->jumped ? 0 : find_start(walk->early, walk->sequence, walk->left);

    if (distance == 0) {
        walk->left = 0;
        return false;
    }
    walk->jumped = true;
    pass(walk, distance);
    return true;
}

static void end_inside(struct early_walk *walk, size_t length)
{
    walk->early->counts[EARLY_PARTIAL]++;
    if (length > 0 && !walk->early->alone)
        add_start(walk->early, walk->sequence + (uint32_t)length);
    walk->left = 0;
}

const uint8_t *early_next(struct early_walk *walk, size_t *length)
{
    while (walk->left > 0) {
        int all = seal_length(walk->at, walk->left);

        if (all < 0) {
            if (!jump(walk))
                walk->early->counts[EARLY_UNALIGNED]++;
            continue;
        }
        if (all == 0 || (size_t)all > walk->left) {
            end_inside(walk, (size_t)all);
            break;
        }
        walk->length = *length = (size_t)all;
        return walk->at;
    }
    return NULL;
}

static void note_newest(struct early *early, uint64_t counter)
{
    if (!early->begun || counter > early->newest)
        early->newest = counter;
    early->begun = true;
}

static void note_opened(struct early_walk *walk, uint64_t counter)
{
    struct early *early = walk->early;
    bool newest = !early->begun || counter > early->newest;
    struct early_range range;

    early->counts[EARLY_OPENED]++;
    early->counts[EARLY_OVERTOOK] += early->begun && counter > early->newest + 1;
    note_newest(early, counter);
    if (early->alone)
        return;
    /* An older one may be a copy that was asked for, and lie elsewhere in the kernel's order. */
    if (!early->anchored && newest)
        add_recent(early, walk->sequence, counter);
    else if (early->anchored && place(early, walk->sequence, walk->length, &range))
        add_range(early, &range);
}

void early_judge(struct early_walk *walk, enum seal_verdict verdict, uint64_t counter)
{
    switch (verdict) {
    case SEAL_OPENED:
        note_opened(walk, counter);
        pass(walk, walk->length);
        break;
    case SEAL_REPLAYED:
    case SEAL_OLD:
        walk->early->counts[EARLY_COPIES]++;
        pass(walk, walk->length);
        break;
    default:
        walk->early->counts[EARLY_FORGED]++;
        (void)jump(walk);
        break;
    }
}

/* ---------------------------------------------------------------- the kernel's order */

void early_kernel_frame(struct early *early, uint64_t offset, uint64_t counter)
{
    note_newest(early, counter);
    for (uint8_t i = 0; !early->anchored && i < early->recent_count; i++) {
        if (early->recent[i].counter != counter)
            continue;
        early->anchored = true;
        early->position = offset;
        early->sequence = early->recent[i].sequence;
    }
    early->kernel_first = !early->anchored;
    early->kernel_offset = offset;
    early->kernel_counter = counter;
}

void early_copied(struct early *early, uint32_t sequence, uint64_t counter)
{
    if (!early->kernel_first || early->anchored || early->alone || counter != early->kernel_counter)
        return;
    early->anchored = true;
    early->position = early->kernel_offset;
    early->sequence = sequence;
}

void early_is_alone(struct early *early)
{
    early->alone = true;
    early->anchored = false;
    early->start_count = early->recent_count = 0;
    early->range_count = 0;
}

bool early_place(const struct early *early, uint32_t *sequence)
{
    *sequence = early->sequence;
    return early->anchored;
}

void early_advance(struct early *early, uint64_t offset)
{
    size_t passed = 0;

    if (offset <= early->position)
        return;
    early->sequence += (uint32_t)(offset - early->position);
    early->position = offset;
    while (passed < early->range_count && early->ranges[passed].end <= offset)
        passed++;
    if (passed == 0)
        return;
    early->range_count -= passed;
    memmove(early->ranges, early->ranges + passed, early->range_count * sizeof(early->ranges[0]));
}

size_t early_skip(const struct early *early, uint64_t offset)
{
    const struct early_range *first = early->ranges;

    if (early->range_count == 0 || offset < first->start || offset >= first->end)
        return 0;
    return (size_t)(first->end - offset);
}

size_t early_next_place(const struct early *early, uint64_t offset)
{
    for (size_t i = 0; i < early->range_count; i++) {
        const struct early_range *range = &early->ranges[i];

        if (range->end > offset)
            return (size_t)((range->start > offset ? range->start : range->end) - offset);
    }
    return 0;
}

void early_stray(struct early *early, size_t octets)
{
    early->counts[EARLY_STRAY] += octets;
}
