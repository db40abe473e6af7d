#include "inner-relay/ngquery.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "common/base/err.h"
#include "common/daemon/reportvalue.h"
#include "common/sa/far.h"

/* Of RTP and RTCP together; RTCP alone where the SA has counted RTP for itself. */
struct totals {
    uint64_t rtp, rtcp, octets, errors;
};

static void add_verdicts(struct totals *totals, const uint32_t verdicts[VERDICT_COUNT])
{
    for (int i = 0; i < VERDICT_COUNT; i++) {
        if (i != VERDICT_ACCEPTED)
            totals->errors += verdicts[i];
    }
}

/* received: of RTP, under all SSRCs. */
static void add_counts(struct totals *totals, uint64_t packets, uint64_t octets, uint64_t received)
{
    totals->rtp += received < packets ? received : packets;
    totals->rtcp += received < packets ? packets - received : 0;
    totals->octets += octets;
}

static void add_far(struct totals *totals, const struct sa *sa)
{
    struct sa_report report;
    uint64_t received = 0;

    if (!far_get(sa, &report, NULL, 0))
        return;
    for (unsigned i = 0; i < report.heard_count; i++)
        received += report.heard[i].received;
    add_counts(totals, report.packets, report.octets, received);
    add_verdicts(totals, report.verdicts);
}

/* A hairpin's packets do not come inside. */
static void add_sa(struct totals *totals, const struct sa *sa)
{
    uint64_t received = 0;

    if (sa->hairpin && sa->side == SA_SIDE_EXTERNAL) {
        add_far(totals, sa);
        return;
    }
    for (unsigned i = 0; i < sa->stream_count; i++)
        received += sa->stream[i].stats.received;
    add_counts(totals, sa->packets, sa->octets, received);
    add_verdicts(totals, sa->verdicts);
}

static json_t *totals_json(const struct totals *totals)
{
    return json_pack("{s:{s:o,s:o,s:o},s:{s:o,s:i,s:i}}", "RTP", "packets",
                     report_number(totals->rtp), "bytes", report_number(totals->octets), "errors",
                     report_number(totals->errors), "RTCP", "packets", report_number(totals->rtcp),
                     "bytes", 0, "errors", 0);
}

static int add_ssrcs(json_t *ssrcs, const struct sa *sa)
{
    char text[16];
    int rc = 0;

    for (unsigned i = 0; i < sa->stream_count && rc == 0; i++) {
        const struct rtp_stats *stats = &sa->stream[i].stats;

        snprintf(text, sizeof(text), "%u", (unsigned)sa->stream[i].ssrc);
        rc = json_object_set_new(ssrcs, text,
                                 json_pack("{s:o,s:o}", "packets", report_number(stats->received),
                                           "packets lost", report_number(rtp_stats_lost(stats))));
    }
    return rc;
}

static json_t *media_json(unsigned line, const struct sa *sa, const struct totals *totals)
{
    return json_pack("{s:i,s:s,s:{s:o,s:o,s:o}}", "index", (int)line + 1, "crypto suite",
                     sa->suite ? sa->suite->name : "", "stats", "packets",
                     report_number(totals->rtp + totals->rtcp), "bytes",
                     report_number(totals->octets), "errors", report_number(totals->errors));
}

static void sum(struct totals *all, const struct totals *one)
{
    all->rtp += one->rtp;
    all->rtcp += one->rtcp;
    all->octets += one->octets;
    all->errors += one->errors;
}

/* The lines that a party sends media on; NULL without memory. */
static json_t *party_json(struct inner *inner, const struct call_party *party, json_t *ssrcs,
                          struct totals *all)
{
    json_t *medias = json_array();

    for (unsigned i = 0; medias && i < party->line_count; i++) {
        const struct sa *sa = party->line[i].sa ? inner_find_sa(inner, party->line[i].sa) : NULL;
        struct totals totals = {0};

        if (!sa)
            continue;
        add_sa(&totals, sa);
        sum(all, &totals);
        if (add_ssrcs(ssrcs, sa) < 0 ||
            json_array_append_new(medias, media_json(i, sa, &totals)) < 0) {
            json_decref(medias);
            return NULL;
        }
    }
    return json_pack("{s:o*,s:o,s:o}", "tag",
                     party->tag ? json_stringn_nocheck(party->tag, strlen(party->tag)) : NULL,
                     "side", json_string(sa_side_name(party->side)), "medias", medias);
}

static json_t *tags_json(struct inner *inner, const struct call *call, json_t *ssrcs,
                         struct totals *all)
{
    json_t *tags = json_object();

    for (unsigned i = 0; tags && i < call->party_count; i++) {
        const struct call_party *party = call->party[i];
        json_t *row = party_json(inner, party, ssrcs, all);

        if (json_object_set_new_nocheck(tags, party->tag ? party->tag : "", row) < 0) {
            json_decref(tags);
            return NULL;
        }
    }
    return tags;
}

int ngquery_call(struct inner *inner, const struct call *call, json_t *reply)
{
    struct totals all = {0};
    json_t *ssrcs = json_object();
    int rc = json_object_set_new(reply, "tags", tags_json(inner, call, ssrcs, &all));

    rc += json_object_set_new(reply, "SSRC", ssrcs);
    rc += json_object_set_new(reply, "totals", totals_json(&all));
    rc += json_object_set_new(reply, "created", report_number(call->created_us / 1000000));
    rc += json_object_set_new(reply, "created_us", report_number(call->created_us % 1000000));
    rc += json_object_set_new(reply, "last signal", report_number(call->signalled_us / 1000000));
    return rc < 0 ? ERR_NOMEM : 0;
}
