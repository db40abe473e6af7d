/*
 * The packet index of SRTP (RFC 3711 section 3.3.1 and appendix A), kept with
 * the SA, so that any engine and any worker can go on where another stopped.
 */
#ifndef COMMON_SRTP_INDEX_H
#define COMMON_SRTP_INDEX_H

#include <stdbool.h>
#include <stdint.h>

struct srtp_index {
    bool started; /* an RTP packet has been verified: highest counts */
    bool rtcp_started;
    uint64_t highest;      /* ROC * 2^16 + SEQ of the newest verified RTP packet, below 2^48 */
    uint32_t rtcp_highest; /* below 2^31 */
};

/* The index that a packet with this sequence number has most likely. Never below 0 or from 2^48 on.
 */
uint64_t index_estimate(const struct srtp_index *state, uint16_t sequence);
/* After a packet was verified. */
void index_advance(struct srtp_index *state, uint64_t index);
void index_advance_rtcp(struct srtp_index *state, uint32_t index);

static inline uint32_t index_roc(uint64_t index)
{
    return (uint32_t)(index >> 16);
}

#endif
