#include "inner-relay/callreport.h"

#include <stdio.h>
#include <string.h>

#include "common/base/err.h"
#include "common/daemon/reportvalue.h"
#include "common/sa/far.h"
#include "inner-relay/callsdp.h"
#include "inner-relay/side.h"

enum { WARNING_SIZE = 192 };

/* ------------------------------------------------------------ values */

static json_t *number_or_null(uint64_t value)
{
    return value ? report_number(value) : json_null();
}

static json_t *seconds_since(uint64_t then_us, uint64_t now_us)
{
    return report_number(now_us > then_us ? (now_us - then_us) / 1000000 : 0);
}

static json_t *seconds_or_null(uint64_t age_us)
{
    return age_us == REPORT_NEVER ? json_null() : json_real((double)age_us / 1e6);
}

json_t *callreport_text(const char *text)
{
    char clean[2 * CALL_TEXT_SIZE];
    json_t *string;

    if (!text || !text[0])
        return json_null();
    string = json_string(text);
    if (string)
        return string;
    snprintf(clean, sizeof(clean), "%s", text);
    for (char *c = clean; *c; c++) {
        if ((unsigned char)*c >= 0x80)
            *c = '?';
    }
    return json_string(clean);
}

static json_t *tag_of(const struct call *call, int party)
{
    return callreport_text(party >= 0 ? call->party[party]->tag : NULL);
}

const char *callreport_kind(enum call_kind kind)
{
    static const char *const names[] = {
        [CALL_KIND_UNKNOWN] = "",      [CALL_KIND_AUDIO] = "audio",
        [CALL_KIND_VIDEO] = "video",   [CALL_KIND_TEXT] = "text",
        [CALL_KIND_IMAGE] = "image",   [CALL_KIND_MESSAGE] = "message",
        [CALL_KIND_OTHER] = "another", [CALL_KIND_APPLICATION] = "application",
    };

    return names[kind];
}

static json_t *kind_or_null(enum call_kind kind)
{
    return kind ? json_string(callreport_kind(kind)) : json_null();
}

static json_t *way_or_null(enum call_way way)
{
    static const char *const names[] = {[CALL_WAY_UNKNOWN] = "",
                                        [CALL_WAY_RELAYED] = "relayed",
                                        [CALL_WAY_DIRECT] = "direct",
                                        [CALL_WAY_REJECTED] = "rejected",
                                        [CALL_WAY_UNTOUCHED] = "untouched"};

    return way ? json_string(names[way]) : json_null();
}

unsigned callreport_waiting(const struct call *call)
{
    unsigned count = 0;

    for (unsigned i = 0; i < call->stage_count; i++)
        count += !call->stage[i]->answered;
    return count;
}

const char *callreport_state(const struct call *call)
{
    if (call->restored)
        return "restored";
    if (!call->answered)
        return "offered";
    return call_is_held(call) ? "held" : "answered";
}

json_t *callreport_tags(const struct call *call)
{
    json_t *tags = json_array();

    for (unsigned i = 0; i < call->party_count; i++) {
        json_t *tag = tag_of(call, (int)i);

        if (json_is_string(tag))
            json_array_append(tags, tag);
        json_decref(tag);
    }
    return tags;
}

/* ------------------------------------------------------------ what a party sends */

static const struct sa *sa_of(const struct calls *calls, const struct call_line *line)
{
    return line->sa ? inner_find_sa(calls->inner, line->sa) : NULL;
}

/* Since its last packet that verified; from outside to outside only the dmz-relay knows. */
static uint64_t silence_us(const struct sa *sa, uint64_t now_us)
{
    struct sa_report report;

    if (sa->hairpin && sa->side == SA_SIDE_EXTERNAL)
        return far_get(sa, &report, NULL, now_us) ? report.age_us : REPORT_NEVER;
    if (sa->last_packet_us == 0)
        return REPORT_NEVER;
    return now_us > sa->last_packet_us ? now_us - sa->last_packet_us : 0;
}

/* The members that list and show have; the number of its SAs is added to *sas. */
static json_t *party_row(const struct calls *calls, const struct call_party *party, uint64_t now_us,
                         size_t *sas)
{
    uint64_t least_us = REPORT_NEVER;
    size_t count = 0;

    for (unsigned i = 0; i < party->line_count; i++) {
        const struct sa *sa = sa_of(calls, &party->line[i]);
        uint64_t age_us = sa ? silence_us(sa, now_us) : REPORT_NEVER;

        count += sa != NULL;
        if (age_us < least_us)
            least_us = age_us;
    }
    *sas += count;
    return json_pack("{s:o,s:s,s:o,s:o}", "tag", callreport_text(party->tag), "side",
                     sa_side_name(party->side), "sas", report_number(count), "last_packet",
                     seconds_or_null(least_us));
}

static unsigned line_count(const struct call *call)
{
    unsigned count = 0;

    for (unsigned i = 0; i < call->party_count; i++) {
        if (call->party[i]->line_count > count)
            count = call->party[i]->line_count;
    }
    for (unsigned i = 0; i < call->stage_count; i++) {
        if (call->stage[i]->line_count > count)
            count = call->stage[i]->line_count;
    }
    return count;
}

json_t *callreport_row(const struct calls *calls, const struct call *call, uint64_t now_us,
                       size_t *looks)
{
    json_t *parties = json_array();
    size_t sas = 0;

    for (unsigned i = 0; i < call->party_count; i++) {
        json_array_append_new(parties, party_row(calls, call->party[i], now_us, &sas));
        if (looks)
            *looks += 1 + call->party[i]->line_count;
    }
    return json_pack("{s:o,s:o,s:s,s:s,s:o,s:o,s:I,s:o,s:I,s:o}", "call_id",
                     callreport_text(call->call_id), "number", report_number(call->number), "state",
                     callreport_state(call), "dmz", calls->inner->links[call->link].name, "age",
                     seconds_since(call->began_us, now_us), "last_signal",
                     seconds_since(call->heard_us, now_us), "lines", (json_int_t)line_count(call),
                     "sas", report_number(sas), "waiting", (json_int_t)callreport_waiting(call),
                     "parties", parties);
}

/* ------------------------------------------------------------ lines of a party */

/* What a party of that side is told to send to. */
struct shown {
    struct addr rtp, rtcp;
};

static struct shown shown_to(const struct calls *calls, unsigned link, enum sa_side side,
                             unsigned line, uint8_t family, bool mux)
{
    struct side_shown shown = {0};
    struct shown out = {0};

    if (side_shown(calls->inner, link, side, line, family, &shown) < 0 &&
        side_shown(calls->inner, link, side, line, 0, &shown) < 0)
        return out;
    out.rtp = out.rtcp = shown.rtp;
    out.rtcp.port = (uint16_t)(out.rtcp.port + !mux);
    return out;
}

/* Does media of this party go nowhere, because another branch of the fork has the call? */
static bool is_parked(const struct call *call, const struct call_party *party)
{
    return party->partner < 0 && party->hub >= 0 && call->party[party->hub]->partner >= 0;
}

static json_t *warning_of(const struct call *call, const struct call_party *party,
                          const struct call_line *line, const struct sa *sa)
{
    unsigned long long id = (unsigned long long)line->sa;
    char text[WARNING_SIZE + SA_REFUSED_SIZE];

    if (line->way == CALL_WAY_UNTOUCHED)
        snprintf(text, sizeof(text), "it is not RTP and does not go through the relay");
    else if (line->sa && !sa)
        snprintf(text, sizeof(text),
                 "SA %llu was deleted; the next answer in the call makes a new one", id);
    else if (sa && sa_text(sa, SA_REFUSED)[0])
        snprintf(text, sizeof(text), "the dmz-relay refuses SA %llu: %s", id,
                 sa_text(sa, SA_REFUSED));
    else if (sa && is_parked(call, party))
        snprintf(text, sizeof(text), "it leads nowhere: another branch has the call");
    else
        return json_null();
    return callreport_text(text);
}

/* Takes count lines of those that may be shown; false: so many are too many. */
static bool take_lines(size_t *lines, size_t count)
{
    if (count > *lines)
        return false;
    *lines -= count;
    return true;
}

static json_t *line_json(const struct calls *calls, const struct call *call,
                         const struct call_party *party, unsigned i, uint64_t now_us)
{
    const struct call_line *line = &party->line[i], *other;
    const struct call_party *partner = party->partner >= 0 ? call->party[party->partner] : NULL;
    const struct sa *sa = sa_of(calls, line);
    bool relayed = line->way == CALL_WAY_RELAYED;
    struct shown shown = {0};

    other = partner && i < partner->line_count ? &partner->line[i] : NULL;
    if (relayed)
        shown = shown_to(calls, call->link, party->side, i, party->family, line->at.mux);
    return json_pack(
        "{s:i,s:o,s:o,s:o,s:o,s:o,s:o,s:b,s:o,s:o,s:b,s:o,s:o,s:o}", "line", (int)i, "kind",
        kind_or_null((enum call_kind)line->kind), "way", way_or_null((enum call_way)line->way),
        "sa", sa ? report_number(sa->id) : json_null(), "sa_back",
        other && sa_of(calls, other) ? report_number(other->sa) : json_null(), "signalled",
        report_addr(&line->at.rtp), "signalled_rtcp", report_addr(&line->at.rtcp), "mux",
        line->at.mux, "shown", report_addr(&shown.rtp), "shown_rtcp", report_addr(&shown.rtcp),
        "held", line->held, "assigned_ssrc", number_or_null(line->assigned), "last_packet",
        seconds_or_null(sa ? silence_us(sa, now_us) : REPORT_NEVER), "warning",
        warning_of(call, party, line, sa));
}

static json_t *party_json(const struct calls *calls, const struct call *call,
                          const struct call_party *party, uint64_t now_us, size_t *left)
{
    json_t *lines = json_array(), *row, *more;
    bool cut = !take_lines(left, party->line_count);
    size_t sas = 0;

    for (unsigned i = 0; i < party->line_count && !cut; i++)
        json_array_append_new(lines, line_json(calls, call, party, i, now_us));
    row = party_row(calls, party, now_us, &sas);
    more = json_pack("{s:o,s:o,s:o,s:b,s:b,s:b,s:o}", "partner", tag_of(call, party->partner),
                     "branch_of", tag_of(call, party->hub), "signalling",
                     report_ip(&party->signalling), "parked", is_parked(call, party), "assign_ssrc",
                     party->assign, "cut", cut, "lines", lines);
    json_object_update(row, more);
    json_decref(more);
    return row;
}

/* ------------------------------------------------------------ offers */

static json_t *offered_line(const struct calls *calls, const struct call *call,
                            const struct call_stage *stage, unsigned i,
                            const struct sdp_media *media)
{
    enum call_way way = callsdp_way(media, stage->direct);
    struct shown shown = {0};
    uint8_t family = stage->family ? stage->family : media->rtp_addr.family;

    /* RTCP is shown apart: whether both mux is not known before the answer. */
    if (way == CALL_WAY_RELAYED)
        shown = shown_to(calls, call->link, stage->side, i, family, false);
    return json_pack(
        "{s:i,s:o,s:o,s:o,s:o,s:b,s:o,s:o,s:b,s:o,s:o}", "line", (int)i, "kind",
        kind_or_null(callsdp_kind(media)), "way", way_or_null(way), "signalled",
        report_addr(&media->rtp_addr), "signalled_rtcp", report_addr(&media->rtcp_addr), "mux",
        media->mux, "shown", report_addr(&shown.rtp), "shown_rtcp", report_addr(&shown.rtcp),
        "held", media->port != 0 && callsdp_is_held(media), "assigned_ssrc",
        number_or_null(stage->assigned[i]), "warning",
        way == CALL_WAY_UNTOUCHED ? json_string("it is not RTP and does not go through the relay")
                                  : json_null());
}

static json_t *offered_lines(struct calls *calls, const struct call *call,
                             const struct call_stage *stage)
{
    struct sdp *sdp = calls_borrow(calls, sizeof(*sdp));
    json_t *lines = json_array();
    char why[SDP_ERROR_SIZE];

    if (!sdp)
        return lines;
    if (sdp_read(sdp, stage->sdp, stage->sdp_length, why) == 0) {
        for (unsigned i = 0; i < sdp->media_count; i++)
            json_array_append_new(lines, offered_line(calls, call, stage, i, &sdp->media[i]));
    }
    calls_give_back(calls, sdp, sizeof(*sdp));
    return lines;
}

/* What is left of offer-timeout. */
static uint64_t left_us(const struct calls *calls, const struct call_stage *stage, uint64_t now_us)
{
    uint64_t end_us = stage->at_us + calls->options.offer_timeout_us;

    return end_us > now_us ? end_us - now_us : 0;
}

static json_t *offer_json(struct calls *calls, const struct call *call,
                          const struct call_stage *stage, uint64_t now_us, size_t *left)
{
    bool cut = !take_lines(left, stage->line_count);

    return json_pack("{s:o,s:o,s:o,s:s,s:s,s:o,s:o,s:b,s:o}", "tag",
                     tag_of(call, (int)stage->offerer), "to_tag", callreport_text(stage->to_tag),
                     "via_branch", callreport_text(stage->branch), "side",
                     sa_side_name(stage->offerer_side), "to_side", sa_side_name(stage->side), "age",
                     seconds_since(stage->at_us, now_us), "left",
                     report_number(left_us(calls, stage, now_us) / 1000000), "cut", cut, "lines",
                     cut ? json_array() : offered_lines(calls, call, stage));
}

json_t *callreport_full(struct calls *calls, const struct call *call, uint64_t now_us,
                        size_t *lines)
{
    json_t *full = callreport_row(calls, call, now_us, NULL);
    json_t *parties = json_array(), *offers = json_array();

    for (unsigned i = 0; i < call->party_count; i++)
        json_array_append_new(parties, party_json(calls, call, call->party[i], now_us, lines));
    for (unsigned i = 0; i < call->stage_count; i++) {
        if (!call->stage[i]->answered)
            json_array_append_new(offers, offer_json(calls, call, call->stage[i], now_us, lines));
    }
    json_object_set_new(full, "created", report_number(call->created_us / 1000000));
    json_object_set_new(full, "parties", parties);
    json_object_set_new(full, "offers", offers);
    return full;
}
