/*
 * Two tracks joined by a scripted link, with a firewall at either end that follows the connection
 * as Linux's connection tracking does (nf_conntrack_proto_tcp.c, tcp_in_window, without
 * be_liberal): what it would call invalid is counted.
 */
#ifndef TESTS_UNIT_TRACKWORLD_H
#define TESTS_UNIT_TRACKWORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/carrier/segment.h"
#include "common/carrier/track.h"

struct watched { /* one side, as a firewall knows it */
    uint32_t end, max_end, max_window;
    uint8_t scale;
};

struct firewall {
    struct watched side[2];
    uint64_t invalid, seen;
};

enum { WORLD_FLIGHT_MAX = 65536 };

struct flight {
    uint64_t at_us;
    struct segment segment;
    unsigned from;
    bool genuine;
};

struct world {
    struct track track[2];
    struct firewall firewall[2]; /* next to side 0, next to side 1 */
    struct flight *flights;
    size_t count;
    uint64_t now_us, delay_us, jitter_us;
    unsigned loss[2]; /* per 10,000, of what this side sends, on the way between the firewalls */
    bool cut;         /* nothing gets through between the firewalls */
    uint64_t sent[2], received[2], bare[2], not_now[2];
    uint64_t random;
    uint64_t longest_silence_us[2]; /* of genuine segments, received by this side */
    uint64_t heard_us[2];
};

/* rate: octets per second, 0 for no bound. Aborts without memory. */
void world_init(struct world *world, uint32_t sequence0, uint32_t sequence1, uint8_t scale,
                uint32_t rate);
void world_fini(struct world *world);
/* Side sends length octets of frames now. Returns track_send()'s result. */
int world_send(struct world *world, unsigned side, size_t length);
/* Puts any segment on side's own link, as its host would. */
void world_put(struct world *world, unsigned side, const struct segment *segment, bool genuine);
/*
 * Time goes on; each side sends its data at its interval (0: none), and what its track wants.
 */
void world_run(struct world *world, uint64_t duration_us, uint64_t interval0_us,
               uint64_t interval1_us, size_t length);
uint64_t world_invalid(const struct world *world);
/* Would this firewall call it invalid? If not, it follows. */
bool firewall_takes(struct firewall *firewall, unsigned from, const struct segment *segment);

#endif
