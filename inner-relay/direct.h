/*
 * Is the direct path to another site good, and which way does a packet go? PINGs with clocks go
 * both ways; the path is alive while what we have sent a moment ago is known to have come there.
 * Pure: octets and times in, answers out.
 */
#ifndef INNER_RELAY_DIRECT_H
#define INNER_RELAY_DIRECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    DIRECT_PING_OCTETS = 24,
    DIRECT_STEADY_US = 5 * 1000 * 1000, /* alive for so long: nothing else is held ready */
};

enum direct_way { DIRECT_TUNNEL, DIRECT_BOTH, DIRECT_ALONE };

/* 0 is one that is not open. */
struct direct {
    bool open;
    uint64_t pinged_us;      /* when we sent the last PING */
    uint64_t echoed_us;      /* when we sent the newest that the other side has; 0: none */
    uint64_t theirs;         /* the newest clock of the other side; 0: none */
    uint64_t rtt_us;         /* the lowest of late, with what the other side waits; 0: not known */
    uint64_t alive_us;       /* since when it has been alive; 0: it is not */
    uint64_t lost_us;        /* since when it has not */
    bool alone;              /* the last packet went there alone */
    uint64_t moves, returns; /* to the direct path, and back */
};

void direct_open(struct direct *direct, uint64_t now_us);
void direct_close(struct direct *direct);
/* Is a PING due? */
bool direct_is_due(const struct direct *direct, uint64_t now_us);
/* It is sent now. received: octets that have come, for the other side. */
void direct_put(struct direct *direct, uint32_t received, uint8_t out[DIRECT_PING_OCTETS],
                uint64_t now_us);
/* A genuine PING came. ERR_PROTOCOL: it cannot be read, or says what cannot be. */
int direct_get(struct direct *direct, const uint8_t *data, size_t length, uint32_t *received,
               uint64_t now_us);
/* Which way the next packet goes. */
enum direct_way direct_way(struct direct *direct, uint64_t now_us);
/* Has it not been alive for so long that another one should be made? */
bool direct_is_lost(struct direct *direct, uint64_t now_us);
/* Does media go there alone? */
bool direct_is_proven(const struct direct *direct, uint64_t now_us);
/* And has it been alive for DIRECT_STEADY_US? */
bool direct_is_steady(const struct direct *direct, uint64_t now_us);

#endif
