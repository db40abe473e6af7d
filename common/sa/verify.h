/* Steps 5 and 6 of the way of a packet: is it the sender's, is it fresh, is the SSRC the SA's? */
#ifndef COMMON_SA_VERIFY_H
#define COMMON_SA_VERIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/rtp/classify.h"
#include "common/sa/sa.h"

struct table;

/* A packet that classify() has accepted. */
struct verify_input {
    const uint8_t *packet;
    size_t length;
    struct rtp_view view;
    bool prime;     /* it came as RTP', */
    uint32_t outer; /* with this SSRC in front of it */
};

/* The SSRC that the packet is looked for by: the outer one of RTP', else its own. */
static inline uint32_t verify_ssrc(const struct verify_input *input)
{
    return input->prime ? input->outer : input->view.ssrc;
}

/*
 * Verifies a packet under its SA, which must be in the table, and keeps the SA's counters and
 * stream state. An SA that learns SSRCs (sa_learns_ssrcs) takes a new one with a packet that
 * verifies. An SA without an SRTP session (keyless, or its SSRC was assigned) takes what has one of
 * its SSRCs and room for the tag of its suite, where it has one, and learns nothing from it. RTP
 * with an outer SSRC that is not its own is ssrc-mismatch, if it is the sender's at all.
 */
enum verdict verify_packet(struct table *table, struct sa *sa, const struct verify_input *input,
                           uint64_t now_us);
/*
 * The same for an SA whose packet it may be: the SA counts the verdict only if it is surely its
 * packet.
 */
enum verdict verify_try(struct table *table, struct sa *sa, const struct verify_input *input,
                        uint64_t now_us);
/* The same, and the SA counts nothing: verify_count() is the caller's business. */
enum verdict verify_judge(struct table *table, struct sa *sa, const struct verify_input *input,
                          uint64_t now_us);
/*
 * Does verifying this packet change nothing but the SA's own state, whatever comes of it? Then
 * other threads may verify with other SAs meanwhile.
 */
bool verify_is_alone(struct sa *sa, const struct verify_input *input);
/* The SRTP index that an RTP packet has which was just accepted. */
uint64_t verify_index(struct sa *sa, const struct rtp_view *view);

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

/* The last packet of an SA that was dropped, for explain; from NULL: it came through the tunnel. */
static inline void verify_stray(struct sa *sa, const struct addr *from, enum verdict verdict,
                                uint64_t now_us)
{
    sa->stray = (struct sa_stray){.verdict = (uint8_t)verdict, .at_us = now_us};
    if (from)
        sa->stray.from = *from;
}

#endif
