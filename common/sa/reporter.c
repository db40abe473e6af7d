#include "common/sa/reporter.h"

#include "common/sa/reportwire.h"

void reporter_connected(struct replica *replica)
{
    replica->report_next = NULL;
    replica->report_all = true;
}

void reporter_disconnected(struct replica *replica)
{
    replica->report_next = NULL;
}

void reporter_begin(struct replica *replica)
{
    if (replica->report_next)
        return;
    replica->report_next = replica->oldest;
    replica->report_looks = REPORTER_PIECE;
}

static uint64_t mix(uint64_t sum, uint64_t value)
{
    return (sum ^ value) * UINT64_C(0x9e3779b97f4a7c15) + (sum >> 32);
}

/*
 * Changes whenever one of the counters does, so that nobody who counts has to
 * think of reports. 0: there is nothing to say.
 */
static uint32_t print_of(const struct sa *sa)
{
    uint64_t verdicts = 0, sum;

    for (unsigned i = 0; i < VERDICT_COUNT; i++)
        verdicts += sa->verdicts[i];
    if (sa->packets == 0 && verdicts == 0 && sa->stray.at_us == 0)
        return 0;
    sum = mix(mix(mix(sa->generation, sa->packets), verdicts), sa->stray.at_us);
    return (uint32_t)(sum >> 32) | 1;
}

static uint64_t age(uint64_t then_us, uint64_t now_us)
{
    if (then_us == 0)
        return REPORT_NEVER;
    return now_us > then_us ? now_us - then_us : 0;
}

static bool was_heard(const struct sa_stream *stream)
{
    return stream->index.started || stream->index.rtcp_started || stream->stats.received > 0;
}

static void add_heard(struct sa_report *report, const struct sa_stream *stream, uint64_t now_us)
{
    report->heard[report->heard_count++] =
        (struct sa_heard){.ssrc = stream->ssrc,
                          .origin = stream->origin,
                          .rtp = stream->index.started,
                          .rtcp = stream->index.rtcp_started,
                          .index = stream->index.started ? stream->index.highest : 0,
                          .rtcp_index = stream->index.rtcp_highest,
                          .received = stream->stats.received,
                          .lost = rtp_stats_lost(&stream->stats),
                          .age_us = age(stream->stats.last_arrival_us, now_us),
                          .jitter = (uint32_t)stream->stats.jitter};
}

static void fill(struct sa_report *report, const struct sa *sa, uint64_t now_us)
{
    *report = (struct sa_report){.id = sa->id,
                                 .generation = sa->generation,
                                 .packets = sa->packets,
                                 .octets = sa->octets,
                                 .age_us = age(sa->last_packet_us, now_us),
                                 .stray = sa->stray.from,
                                 .stray_verdict = (enum verdict)sa->stray.verdict,
                                 .stray_age_us = age(sa->stray.at_us, now_us)};
    if (sa->bound[0])
        report->bound[0] = sa->source.rtp;
    if (sa->bound[1])
        report->bound[1] = sa->source.rtcp;
    for (unsigned i = 0; i < VERDICT_COUNT; i++)
        report->verdicts[i] = sa->verdicts[i];
    /* Where it has no key, it knows what it was told and no more. */
    for (unsigned i = 0; sa->srtp && i < sa->stream_count; i++) {
        if (was_heard(&sa->stream[i]))
            add_heard(report, &sa->stream[i], now_us);
    }
}

static bool put_report(struct sa *sa, uint8_t *type, struct writer *body, uint64_t now_us)
{
    struct sa_report report;

    fill(&report, sa, now_us);
    *type = FRAME_SA_REPORT;
    reportwire_put(body, &report);
    return true;
}

bool reporter_pull(struct replica *replica, uint8_t *type, struct writer *body, bool *more,
                   uint64_t now_us)
{
    *more = false;
    while (replica->report_next && replica->report_looks > 0) {
        struct sa *sa = replica->report_next;
        uint32_t print = print_of(sa);
        bool due = print != 0 && (replica->report_all || print != sa->reported);

        replica->report_next = sa->newer;
        replica->report_looks--;
        replica->report_all = replica->report_all && replica->report_next;
        sa->reported = print;
        if (due)
            return put_report(sa, type, body, now_us);
    }
    replica->report_looks = REPORTER_PIECE;
    *more = replica->report_next != NULL;
    return false;
}
