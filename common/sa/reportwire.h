/*
 * SA-REPORT: what the dmz-relay has seen of an SA. The inner-relay shows it to
 * the operator and takes none of it on trust.
 */
#ifndef COMMON_SA_REPORTWIRE_H
#define COMMON_SA_REPORTWIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/addr.h"
#include "common/base/protocol.h"
#include "common/base/reader.h"
#include "common/base/verdict.h"
#include "common/base/writer.h"
#include "common/sa/sa.h"

/* No moment: of a packet that never came. */
#define REPORT_NEVER UINT64_MAX

/* An SSRC that packets came under. */
struct sa_heard {
    uint32_t ssrc;
    enum ssrc_origin origin;
    bool rtp, rtcp; /* which indexes there are */
    uint64_t index; /* the highest one verified */
    uint32_t rtcp_index;
    uint64_t received, lost;
    uint64_t age_us; /* since the last RTP packet; REPORT_NEVER */
    uint32_t jitter; /* in units of the RTP timestamp */
};

struct sa_report {
    uint64_t id;
    uint32_t generation;
    struct addr bound[2];     /* where RTP and RTCP are heard from; family 0: not known */
    uint64_t packets, octets; /* accepted */
    uint64_t age_us;          /* since the last of them; REPORT_NEVER */
    uint32_t verdicts[VERDICT_COUNT];
    struct addr stray; /* the last packet that was dropped; family 0: it came through the tunnel */
    enum verdict stray_verdict;
    uint64_t stray_age_us; /* REPORT_NEVER: none was dropped */
    unsigned heard_count;
    struct sa_heard heard[SA_SSRC_MAX];
};

/* Counters of 0 are left out. */
void reportwire_put(struct writer *w, const struct sa_report *report);
/*
 * 0, or ERR_PROTOCOL for what no honest dmz-relay sends: the tunnel is then
 * closed. A verdict that this version does not know is left out.
 */
int reportwire_get(struct reader *r, struct sa_report *report);

#endif
