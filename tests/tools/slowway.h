/*
 * One direction of a link that is slow: packets come out of it later than they went in, or not at
 * all. Pure: times come in, in microseconds. What is lost goes by a seeded generator: the same
 * packets and the same seed lose the same ones.
 */
#ifndef TESTS_TOOLS_SLOWWAY_H
#define TESTS_TOOLS_SLOWWAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SLOWWAY_FRAME_OCTETS = 2048, SLOWWAY_FRAMES = 32768, SLOWWAY_LATE_US = 200 };

struct slowway_settings {
    uint64_t delay_us;
    uint64_t loss_ppm;
    uint64_t reorder_ppm, reorder_us; /* so many are so much later than the rest */
    uint64_t rate_kbit;               /* 0: no bound */
    uint64_t queue_us;                /* how long a packet waits for the rate at most */
    uint64_t outage;                  /* 1: nothing passes */
};

struct slowway_counters {
    uint64_t received, passed, octets; /* octets: of those that passed */
    uint64_t lost, overflow, outage, full, reordered;
    uint64_t late, late_max_us; /* handed out more than SLOWWAY_LATE_US after they were due */
};

struct slowway;

/* Ends the program when there is no memory. */
struct slowway *slowway_new(uint64_t seed);
void slowway_free(struct slowway *way);
/* May be changed at any time; what is in the link stays as it is. */
struct slowway_settings *slowway_settings(struct slowway *way);
const struct slowway_counters *slowway_counters(const struct slowway *way);
/* late_max_us begins anew. */
void slowway_forget_late(struct slowway *way);
void slowway_seed(struct slowway *way, uint64_t seed);

/* Where the next frame goes, SLOWWAY_FRAME_OCTETS; slowway_take() says how long it is. */
uint8_t *slowway_slot(struct slowway *way);
/* An Ethernet frame. One that finds neighbours (ARP, ICMPv6) is delayed, never lost. */
void slowway_take(struct slowway *way, size_t length, uint64_t now_us);
/* When the next one comes out; UINT64_MAX: there is none. */
uint64_t slowway_due(const struct slowway *way);
/* The next frame that is due, its length in *length; NULL: none. Valid until the next call. */
uint8_t *slowway_next(struct slowway *way, uint64_t now_us, size_t *length);

#endif
