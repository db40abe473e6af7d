#include "config.h" /* _GNU_SOURCE */

#include "tests/tools/slowway.h"

#include <stdlib.h>
#include <string.h>

#include "tests/tools/cli.h"

enum {
    ETHERNET_OCTETS = 14,
    ETHERTYPE_AT = 12,
    IP6_NEXT_AT = ETHERNET_OCTETS + 6,
    IP6_TYPE_AT = ETHERNET_OCTETS + 40,
    NEXT_ICMP6 = 58,
    ND_FIRST = 133,
    ND_LAST = 137,
    CABLE_OCTETS = 24, /* of a frame: preamble, checksum and gap */
    MILLION = 1000000,
};

struct frame {
    uint64_t due_us;
    size_t length;
    uint8_t octets[SLOWWAY_FRAME_OCTETS];
};

/* In the order of their due times. */
struct line {
    struct frame *frames[SLOWWAY_FRAMES];
    size_t first, count;
    uint64_t last_due_us;
};

struct slowway {
    struct slowway_settings settings;
    struct slowway_counters counters;
    uint64_t random;
    uint64_t free_at_us;      /* when the rate takes the next packet */
    struct line line, behind; /* behind: those that are reordered */
    struct frame *slot;       /* the one to be filled */
    struct frame *out;        /* the one that was handed out last */
    struct frame *spare[2 * SLOWWAY_FRAMES + 2];
    size_t spare_count;
};

/* ---------------------------------------------------------------- memory */

static struct frame *frame_new(struct slowway *way)
{
    struct frame *frame;

    if (way->spare_count > 0)
        return way->spare[--way->spare_count];
    frame = malloc(sizeof(*frame));
    if (!frame)
        cli_die("out of memory");
    return frame;
}

static void frame_spare(struct slowway *way, struct frame *frame)
{
    if (frame)
        way->spare[way->spare_count++] = frame;
}

struct slowway *slowway_new(uint64_t seed)
{
    struct slowway *way = calloc(1, sizeof(*way));

    if (!way)
        cli_die("out of memory");
    way->random = seed;
    return way;
}

static void line_free(struct line *line)
{
    for (size_t i = 0; i < line->count; i++)
        free(line->frames[(line->first + i) % SLOWWAY_FRAMES]);
}

void slowway_free(struct slowway *way)
{
    if (!way)
        return;
    line_free(&way->line);
    line_free(&way->behind);
    while (way->spare_count > 0)
        free(way->spare[--way->spare_count]);
    free(way->slot);
    free(way->out);
    free(way);
}

struct slowway_settings *slowway_settings(struct slowway *way)
{
    return &way->settings;
}

const struct slowway_counters *slowway_counters(const struct slowway *way)
{
    return &way->counters;
}

void slowway_forget_late(struct slowway *way)
{
    way->counters.late_max_us = 0;
}

void slowway_seed(struct slowway *way, uint64_t seed)
{
    way->random = seed;
}

/* ---------------------------------------------------------------- in */

/* SplitMix64, by Sebastiano Vigna (public domain). */
static uint64_t draw(struct slowway *way)
{
    uint64_t z = way->random += 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static bool is_neighbours(const struct frame *frame)
{
    const uint8_t *o = frame->octets;
    uint16_t type = (uint16_t)(o[ETHERTYPE_AT] << 8 | o[ETHERTYPE_AT + 1]);

    if (frame->length <= IP6_TYPE_AT)
        return type == 0x0806;
    return type == 0x0806 || (type == 0x86dd && o[IP6_NEXT_AT] == NEXT_ICMP6 &&
                              o[IP6_TYPE_AT] >= ND_FIRST && o[IP6_TYPE_AT] <= ND_LAST);
}

/* When the rate lets it into the link; false: it would wait for too long. */
static bool pace(struct slowway *way, size_t length, uint64_t now_us, uint64_t *at_us)
{
    const struct slowway_settings *s = &way->settings;

    *at_us = now_us;
    if (s->rate_kbit == 0)
        return true;
    if (way->free_at_us < now_us)
        way->free_at_us = now_us;
    if (way->free_at_us - now_us > s->queue_us)
        return false;
    way->free_at_us += (length + CABLE_OCTETS) * 8 * 1000 / s->rate_kbit;
    *at_us = way->free_at_us;
    return true;
}

static bool line_put(struct line *line, struct frame *frame, uint64_t due_us)
{
    if (line->count == SLOWWAY_FRAMES)
        return false;
    /* A delay that was made shorter puts nothing in front of what is in the link already. */
    if (due_us < line->last_due_us)
        due_us = line->last_due_us;
    frame->due_us = line->last_due_us = due_us;
    line->frames[(line->first + line->count++) % SLOWWAY_FRAMES] = frame;
    return true;
}

/* Two numbers for each packet, whatever the settings: what is lost goes by its place alone. */
static bool enter(struct slowway *way, struct frame *frame, uint64_t now_us)
{
    struct slowway_settings *s = &way->settings;
    bool lost = draw(way) % MILLION < s->loss_ppm, behind = draw(way) % MILLION < s->reorder_ppm;
    uint64_t *why = NULL, at_us;

    if (s->outage)
        why = &way->counters.outage;
    else if (!pace(way, frame->length, now_us, &at_us))
        why = &way->counters.overflow;
    else if (lost)
        why = &way->counters.lost;
    else if (!line_put(behind ? &way->behind : &way->line, frame,
                       at_us + s->delay_us + (behind ? s->reorder_us : 0)))
        why = &way->counters.full;
    if (why)
        ++*why;
    else
        way->counters.reordered += behind;
    return !why;
}

uint8_t *slowway_slot(struct slowway *way)
{
    if (!way->slot)
        way->slot = frame_new(way);
    return way->slot->octets;
}

void slowway_take(struct slowway *way, size_t length, uint64_t now_us)
{
    struct frame *frame = way->slot;
    bool in;

    frame->length = length;
    way->counters.received++;
    if (is_neighbours(frame))
        in = line_put(&way->line, frame, now_us + way->settings.delay_us);
    else
        in = enter(way, frame, now_us);
    if (in)
        way->slot = NULL;
}

/* ---------------------------------------------------------------- out */

static uint64_t line_due(const struct line *line)
{
    return line->count > 0 ? line->frames[line->first]->due_us : UINT64_MAX;
}

uint64_t slowway_due(const struct slowway *way)
{
    uint64_t a = line_due(&way->line), b = line_due(&way->behind);

    return a < b ? a : b;
}

static void count(struct slowway *way, const struct frame *frame, uint64_t now_us)
{
    uint64_t late_us = now_us - frame->due_us;

    way->counters.passed++;
    way->counters.octets += frame->length;
    way->counters.late += late_us > SLOWWAY_LATE_US;
    if (late_us > way->counters.late_max_us)
        way->counters.late_max_us = late_us;
}

uint8_t *slowway_next(struct slowway *way, uint64_t now_us, size_t *length)
{
    struct line *line = line_due(&way->behind) < line_due(&way->line) ? &way->behind : &way->line;

    frame_spare(way, way->out);
    way->out = NULL;
    if (line_due(line) > now_us)
        return NULL;
    way->out = line->frames[line->first];
    line->first = (line->first + 1) % SLOWWAY_FRAMES;
    line->count--;
    count(way, way->out, now_us);
    *length = way->out->length;
    return way->out->octets;
}
