#include "common/sa/far.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"

/* A verdict that was counted: most SAs have one or two. */
struct far_count {
    uint32_t packets;
    uint8_t verdict;
};

/* As small as it can be: there is one for each SA. Behind the SSRCs stand the counts. */
struct sa_far {
    uint64_t reported_us; /* monotonic here, as the next two; 0: never */
    uint64_t last_packet_us, stray_us;
    uint64_t packets, octets;
    struct addr bound[2], stray;
    uint32_t generation;
    uint8_t stray_verdict, heard_count, count_count;
    struct sa_heard heard[]; /* with the moment in place of the age */
};

static struct far_count *counts_of(const struct sa_far *far)
{
    return (struct far_count *)(uintptr_t)&far->heard[far->heard_count];
}

static unsigned count_counts(const struct sa_report *report)
{
    unsigned count = 0;

    for (enum verdict v = 0; v < VERDICT_COUNT; v++)
        count += report->verdicts[v] > 0;
    return count;
}

/* An age that is longer than the clock has run is as long as it has. */
static uint64_t moment(uint64_t age_us, uint64_t now_us)
{
    if (age_us == REPORT_NEVER)
        return 0;
    return age_us < now_us ? now_us - age_us : 1;
}

static uint64_t age(uint64_t moment_us, uint64_t now_us)
{
    if (moment_us == 0)
        return REPORT_NEVER;
    return now_us > moment_us ? now_us - moment_us : 0;
}

static void fill(struct sa_far *far, const struct sa_report *report, unsigned counts,
                 uint64_t now_us)
{
    struct far_count *count;

    *far = (struct sa_far){.reported_us = now_us,
                           .last_packet_us = moment(report->age_us, now_us),
                           .stray_us = moment(report->stray_age_us, now_us),
                           .packets = report->packets,
                           .octets = report->octets,
                           .bound = {report->bound[0], report->bound[1]},
                           .stray = report->stray,
                           .generation = report->generation,
                           .stray_verdict = (uint8_t)report->stray_verdict,
                           .heard_count = (uint8_t)report->heard_count,
                           .count_count = (uint8_t)counts};
    for (unsigned i = 0; i < report->heard_count; i++) {
        far->heard[i] = report->heard[i];
        far->heard[i].age_us = moment(report->heard[i].age_us, now_us);
    }
    count = counts_of(far);
    for (enum verdict v = 0; v < VERDICT_COUNT; v++) {
        if (report->verdicts[v])
            *count++ = (struct far_count){report->verdicts[v], (uint8_t)v};
    }
}

int far_store(struct sa *sa, const struct sa_report *report, uint64_t now_us)
{
    unsigned counts = count_counts(report);
    size_t size = sizeof(*sa->far) + report->heard_count * sizeof(struct sa_heard) +
                  counts * sizeof(struct far_count);
    bool fits =
        sa->far && sa->far->heard_count == report->heard_count && sa->far->count_count == counts;
    struct sa_far *far = fits ? sa->far : realloc(sa->far, size);

    if (!far)
        return ERR_NOMEM;
    fill(far, report, counts, now_us);
    sa->far = far;
    return 0;
}

bool far_get(const struct sa *sa, struct sa_report *report, uint64_t *heard_us, uint64_t now_us)
{
    const struct sa_far *far = sa->far;

    if (!far)
        return false;
    *report = (struct sa_report){.id = sa->id,
                                 .generation = far->generation,
                                 .bound = {far->bound[0], far->bound[1]},
                                 .packets = far->packets,
                                 .octets = far->octets,
                                 .age_us = age(far->last_packet_us, now_us),
                                 .stray = far->stray,
                                 .stray_verdict = (enum verdict)far->stray_verdict,
                                 .stray_age_us = age(far->stray_us, now_us),
                                 .heard_count = far->heard_count};
    for (unsigned i = 0; i < far->heard_count; i++) {
        report->heard[i] = far->heard[i];
        report->heard[i].age_us = age(far->heard[i].age_us, now_us);
    }
    for (unsigned i = 0; i < far->count_count; i++)
        report->verdicts[counts_of(far)[i].verdict] = counts_of(far)[i].packets;
    if (heard_us)
        *heard_us = far->reported_us;
    return true;
}

const struct addr *far_bound(const struct sa *sa, bool rtcp)
{
    return sa->far && sa->far->bound[rtcp].family ? &sa->far->bound[rtcp] : NULL;
}

void far_unbind(struct sa *sa)
{
    if (sa->far)
        memset(sa->far->bound, 0, sizeof(sa->far->bound));
}
