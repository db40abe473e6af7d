#include "tests/unit/trackworld.h"

#include <stdlib.h>
#include <string.h>

enum { STEP_US = 100, MSS = 1460, ACK_WINDOW_MIN = 66000 };

/* ---------------------------------------------------------------- firewall */

static bool before(uint32_t a, uint32_t b)
{
    return segment_is_after(b, a);
}

static uint32_t ack_window(const struct watched *side)
{
    return side->max_window > ACK_WINDOW_MIN ? side->max_window : ACK_WINDOW_MIN;
}

static bool in_window(const struct watched *sender, const struct watched *receiver,
                      const struct segment *s)
{
    uint32_t end = segment_end(s);

    return before(s->sequence, sender->max_end + 1) &&
           (receiver->max_window == 0 ||
            segment_is_after(end, sender->end - receiver->max_window - 1)) &&
           before(s->ack, receiver->end + 1) &&
           segment_is_after(s->ack, receiver->end - ack_window(sender) - 1);
}

bool firewall_takes(struct firewall *firewall, unsigned from, const struct segment *s)
{
    struct watched *sender = &firewall->side[from], *receiver = &firewall->side[!from];
    uint32_t end = segment_end(s), window = (uint32_t)s->window << sender->scale;

    firewall->seen++;
    if (!in_window(sender, receiver, s)) {
        firewall->invalid++;
        return false;
    }
    if (sender->max_window < window)
        sender->max_window = window;
    if (segment_is_after(end, sender->end))
        sender->end = end;
    if (receiver->max_window != 0 && segment_is_after(end, sender->max_end))
        receiver->max_window += end - sender->max_end;
    if (segment_is_after(s->ack + window, receiver->max_end - 1))
        receiver->max_end = s->ack + window + (window == 0);
    return true;
}

/* ---------------------------------------------------------------- link */

static uint64_t next_random(struct world *world)
{
    world->random ^= world->random << 13;
    world->random ^= world->random >> 7;
    world->random ^= world->random << 17;
    return world->random;
}

void world_init(struct world *world, uint32_t sequence0, uint32_t sequence1, uint8_t scale,
                uint32_t rate)
{
    const uint32_t sequences[2] = {sequence0, sequence1};

    memset(world, 0, sizeof(*world));
    world->flights = calloc(WORLD_FLIGHT_MAX, sizeof(world->flights[0]));
    if (!world->flights)
        abort();
    world->now_us = 1000000;
    world->delay_us = 20000;
    world->random = 0x9e3779b97f4a7c15u;
    for (unsigned i = 0; i < 2; i++) {
        struct track_start start = {.send_next = sequences[i],
                                    .receive_next = sequences[!i],
                                    .timestamps = true,
                                    .timestamp = 0xfffffff0,
                                    .timestamp_echo = 0xfffffff0,
                                    .peer_window = (uint32_t)TRACK_WINDOW << scale,
                                    .own_scale = scale,
                                    .peer_scale = scale,
                                    .mss = MSS,
                                    .rate = rate};

        track_init(&world->track[i], &start, world->now_us);
        world->heard_us[i] = world->now_us;
        for (unsigned f = 0; f < 2; f++)
            world->firewall[f].side[i] =
                (struct watched){.end = sequences[i],
                                 .max_end = sequences[i] + start.peer_window,
                                 .max_window = start.peer_window,
                                 .scale = scale};
    }
}

void world_fini(struct world *world)
{
    free(world->flights);
}

static bool is_lost(struct world *world, unsigned from)
{
    return world->cut || next_random(world) % 10000 < world->loss[from];
}

void world_put(struct world *world, unsigned side, const struct segment *segment, bool genuine)
{
    uint64_t jitter = world->jitter_us ? next_random(world) % world->jitter_us : 0;

    /* Its own firewall drops what is invalid. */
    if (!firewall_takes(&world->firewall[side], side, segment) || is_lost(world, side))
        return;
    if (world->count == WORLD_FLIGHT_MAX)
        abort();
    world->flights[world->count++] =
        (struct flight){.at_us = world->now_us + world->delay_us + jitter,
                        .segment = *segment,
                        .from = side,
                        .genuine = genuine};
}

int world_send(struct world *world, unsigned side, size_t length)
{
    struct segment segment = {.length = length};
    int result = track_send(&world->track[side], length, &segment, world->now_us);

    if (result < 0) {
        world->not_now[side]++;
        return result;
    }
    world->sent[side]++;
    world_put(world, side, &segment, true);
    return 0;
}

static void arrive(struct world *world, struct flight *flight)
{
    unsigned to = !flight->from;

    if (!firewall_takes(&world->firewall[to], flight->from, &flight->segment))
        return;
    track_received(&world->track[to], &flight->segment, flight->genuine, world->now_us);
    if (!flight->genuine)
        return;
    world->received[to]++;
    if (world->now_us - world->heard_us[to] > world->longest_silence_us[to])
        world->longest_silence_us[to] = world->now_us - world->heard_us[to];
    world->heard_us[to] = world->now_us;
}

/* By time, not by when they were sent: reordering is in the jitter. */
static void arrive_all(struct world *world)
{
    size_t kept = 0;

    for (size_t i = 0; i < world->count; i++) {
        if (world->flights[i].at_us <= world->now_us)
            arrive(world, &world->flights[i]);
        else
            world->flights[kept++] = world->flights[i];
    }
    world->count = kept;
}

static void send_acks(struct world *world)
{
    for (unsigned side = 0; side < 2; side++) {
        struct segment ack = {.length = 0};

        if (track_wake_us(&world->track[side]) > world->now_us ||
            !track_ack(&world->track[side], &ack, world->now_us))
            continue;
        world->bare[side]++;
        world_put(world, side, &ack, false);
    }
}

void world_run(struct world *world, uint64_t duration_us, uint64_t interval0_us,
               uint64_t interval1_us, size_t length)
{
    const uint64_t interval[2] = {interval0_us, interval1_us};
    uint64_t end_us = world->now_us + duration_us;

    for (; world->now_us < end_us; world->now_us += STEP_US) {
        arrive_all(world);
        for (unsigned side = 0; side < 2; side++) {
            if (interval[side] && world->now_us % interval[side] < STEP_US)
                (void)world_send(world, side, length);
        }
        send_acks(world);
    }
}

uint64_t world_invalid(const struct world *world)
{
    return world->firewall[0].invalid + world->firewall[1].invalid;
}
