/*
 * How much of one SSRC arrived: packets expected and lost, and jitter in units
 * of the RTP timestamp (RFC 3550 appendices A.3 and A.8).
 */
#ifndef COMMON_RTP_STATS_H
#define COMMON_RTP_STATS_H

#include <stdbool.h>
#include <stdint.h>

struct rtp_stats {
    uint64_t first_index, highest_index; /* extended sequence numbers: ROC * 2^16 + SEQ */
    uint64_t received;
    uint64_t last_arrival_us;
    uint32_t last_timestamp;
    uint32_t clock_rate; /* Hz; 0 = unknown, jitter is then not computed */
    float jitter;        /* in timestamp units */
    bool started;
};

void rtp_stats_packet(struct rtp_stats *stats, uint64_t index, uint32_t timestamp, uint64_t now_us);
/* Packets between the first and the highest that did not come; duplicates never make it negative.
 */
uint64_t rtp_stats_lost(const struct rtp_stats *stats);

#endif
