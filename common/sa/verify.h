/* Steps 5 and 6 of the way of a packet: is it the sender's, is it fresh, is the SSRC the SA's? */
#ifndef COMMON_SA_VERIFY_H
#define COMMON_SA_VERIFY_H

#include <stddef.h>
#include <stdint.h>

#include "common/rtp/classify.h"
#include "common/sa/sa.h"

/*
 * Verifies a packet under its SA and keeps the SA's counters and stream state. An
 * SA without an SRTP session (keyless, or its SSRC was assigned) takes what has
 * one of its SSRCs and room for the tag of its suite, where it has one, and learns nothing from it.
 * view is what classify() said of it.
 */
enum verdict verify_packet(struct sa *sa, const struct rtp_view *view, const uint8_t *packet,
                           size_t length, uint64_t now_us);

/*
 * See srtp_prefetch(): of an SA that was found, what verifying will need. For an SA that has a
 * session or none.
 */
void verify_prefetch(const struct sa *sa, const struct rtp_view *view);

/* A verdict that was found after (or without) verification, for the SA's own counters. */
static inline void verify_count(struct sa *sa, enum verdict verdict)
{
    sa->verdicts[verdict] += sa->verdicts[verdict] < UINT32_MAX;
}

#endif
