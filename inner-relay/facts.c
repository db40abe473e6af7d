#include "inner-relay/facts.h"

#include <string.h>

#include "common/sa/candidates.h"
#include "common/sa/far.h"
#include "common/sa/table.h"

static uint64_t age(uint64_t then_us, uint64_t now_us)
{
    if (then_us == 0)
        return EXPLAIN_NEVER;
    return now_us > then_us ? now_us - then_us : 0;
}

/* ------------------------------------------------------------ the two ends */

/* Without streams (no key there) it cannot be told from RTCP. */
static uint64_t rtp_age_here(const struct sa *sa, uint64_t now_us)
{
    uint64_t last_us = 0;

    for (unsigned i = 0; i < sa->stream_count; i++) {
        if (sa->stream[i].stats.last_arrival_us > last_us)
            last_us = sa->stream[i].stats.last_arrival_us;
    }
    return age(last_us, now_us);
}

static void fill_here(struct explain_end *end, const struct sa *sa, uint64_t now_us)
{
    *end = (struct explain_end){.known = true,
                                .packets = sa->packets,
                                .age_us = age(sa->last_packet_us, now_us),
                                .rtp_age_us = rtp_age_here(sa, now_us),
                                .stray = sa->stray.from,
                                .stray_verdict = (enum verdict)sa->stray.verdict,
                                .stray_age_us = age(sa->stray.at_us, now_us)};
    memcpy(end->verdicts, sa->verdicts, sizeof(end->verdicts));
}

static uint64_t rtp_age_there(const struct sa_report *report)
{
    uint64_t least = EXPLAIN_NEVER;

    for (unsigned i = 0; i < report->heard_count; i++) {
        if (report->heard[i].age_us < least)
            least = report->heard[i].age_us;
    }
    return report->heard_count > 0 ? least : report->age_us;
}

/* reports: the dmz-relay reports at all; of an SA that nothing has happened to it says nothing. */
static void fill_there(struct explain_end *end, const struct sa *sa, bool reports, uint64_t now_us)
{
    struct sa_report report;

    *end = (struct explain_end){.known = reports,
                                .age_us = EXPLAIN_NEVER,
                                .rtp_age_us = EXPLAIN_NEVER,
                                .stray_age_us = EXPLAIN_NEVER};
    if (!far_get(sa, &report, NULL, now_us))
        return;
    *end = (struct explain_end){.known = true,
                                .packets = report.packets,
                                .age_us = report.age_us,
                                .rtp_age_us = rtp_age_there(&report),
                                .stray = report.stray,
                                .stray_verdict = report.stray_verdict,
                                .stray_age_us = report.stray_age_us};
    memcpy(end->verdicts, report.verdicts, sizeof(end->verdicts));
}

/* ------------------------------------------------------------ where the sender sends to */

static void fill_listener_here(struct explain_direction *d, const struct inner *inner,
                               const struct sa *sa, uint64_t now_us)
{
    int i = path_find_listener(inner->listeners, inner->listener_count, sa_text(sa, SA_LISTENER_IN),
                               sa->source.rtp.family);

    if (i < 0)
        return;
    d->listener = inner->listeners[i].advertise;
    d->heard_known = true;
    d->heard_age_us = age(inner->listeners[i].heard_us[0], now_us);
}

static void fill_listener_there(struct explain_direction *d, const struct inner_link *link,
                                const struct sa *sa, uint64_t now_us)
{
    const struct hello_listener *listener =
        inner_link_listener(link, sa_text(sa, SA_LISTENER_IN), sa->source.rtp.family);

    if (!listener)
        return;
    d->listener = listener->advertise;
    for (size_t i = 0; link->arrivals_us && i < link->arrivals.count; i++) {
        const struct arrivals_port *port = &link->arrivals.port[i];

        if (strcmp(port->name, listener->name) != 0)
            continue;
        d->heard_known = true;
        d->heard_age_us = port->age_us[0] == ARRIVALS_NEVER
                              ? EXPLAIN_NEVER
                              : port->age_us[0] + (now_us - link->arrivals_us);
    }
}

/* Does another site of the dmz-relay send, whose packets are handed over in memory? */
static bool is_from_site(const struct inner_link *link, const struct sa *sa)
{
    for (size_t i = 0; i < link->peer.listener_count; i++) {
        if (addr_equal(&sa->source.rtp, &link->peer.listener[i].advertise))
            return true;
    }
    return false;
}

/* ------------------------------------------------------------ whose packet was dropped */

/* SAs of a group that are looked at: if so many have been heard, one more has not. */
enum { SHARES_LOOKS = 64 };

/* Who was heard elsewhere is no candidate any more at the relay that heard it. */
static bool has_other(const struct candidates_group *group, const struct sa *sa, bool bound)
{
    for (uint32_t i = 0; i < group->count; i++) {
        if (i == SHARES_LOOKS)
            return true;
        if (group->sa[i] != sa && (bound || !far_bound(group->sa[i], false)))
            return true;
    }
    return false;
}

static bool shares_stray(const struct inner *inner, const struct sa *sa, const struct addr *stray)
{
    const struct candidates *c = table_candidates(inner->table);

    if (!stray->family)
        return false;
    for (enum candidates_kind kind = 0; kind < CANDIDATES_KINDS; kind++) {
        struct candidates_group group = candidates_group(c, kind, sa->side, stray);

        if (has_other(&group, sa, kind == CANDIDATES_FRESH || kind == CANDIDATES_HEARD))
            return true;
    }
    return false;
}

/* ------------------------------------------------------------ a direction */

static void fill_outside(struct explain_direction *d, const struct inner_link *link,
                         const struct sa *sa, uint64_t now_us)
{
    const struct addr *bound = far_bound(sa, false);

    if (bound)
        d->bound = *bound;
    fill_there(&d->in, sa, link->arrivals_us > 0, now_us);
    fill_here(&d->out, sa, now_us);
    fill_listener_there(d, link, sa, now_us);
    d->from_site = is_from_site(link, sa);
}

/* From outside to outside only the dmz-relay sees the packets, and reports of them once. */
static void fill_outside_only(struct explain_direction *d, const struct inner_link *link,
                              const struct sa *sa, const struct sa *other, uint64_t now_us)
{
    const struct addr *learned = other ? far_bound(other, false) : NULL;

    fill_outside(d, link, sa, now_us);
    d->out = d->in;
    if (learned)
        d->destination = *learned;
}

/* From inside to inside, only this relay does. */
static void fill_inside_only(struct explain_direction *d, const struct inner_link *link,
                             const struct sa *sa, uint64_t now_us)
{
    if (sa->bound[0])
        d->bound = sa->source.rtp;
    fill_here(&d->in, sa, now_us);
    d->out = d->in;
    fill_listener_here(d, link->inner, sa, now_us);
}

/* The dmz-relay sends to where it hears the other direction from, once it does. */
static void fill_inside(struct explain_direction *d, const struct inner_link *link,
                        const struct sa *sa, const struct sa *other, uint64_t now_us)
{
    const struct addr *learned = other ? far_bound(other, false) : NULL;

    if (sa->bound[0])
        d->bound = sa->source.rtp;
    if (learned)
        d->destination = *learned;
    fill_here(&d->in, sa, now_us);
    fill_there(&d->out, sa, link->arrivals_us > 0, now_us);
    fill_listener_here(d, link->inner, sa, now_us);
}

static void fill_direction(struct explain_direction *d, const struct inner_link *link,
                           const struct sa *sa, const struct sa *other, uint64_t now_us)
{
    *d = (struct explain_direction){.id = sa->id,
                                    .side = sa->side,
                                    .to_side = sa_to_side(sa),
                                    .policy = sa->source_policy,
                                    .prime = sa->encap_in == SA_ENCAP_RTP_PRIME,
                                    .refused = sa_text(sa, SA_REFUSED),
                                    .source = sa->source.rtp,
                                    .hint = sa->hint,
                                    .destination = sa->destination.rtp,
                                    .rate_kbit =
                                        (uint32_t)((uint64_t)sa->rate.octets_per_second * 8 / 1000),
                                    .ssrc_count = sa->stream_count,
                                    .heard_age_us = EXPLAIN_NEVER};
    for (unsigned i = 0; i < sa->stream_count; i++)
        d->ssrc[i] = sa->stream[i].ssrc;
    if (sa_stays_inside(sa))
        fill_inside_only(d, link, sa, now_us);
    else if (sa->hairpin)
        fill_outside_only(d, link, sa, other, now_us);
    else if (sa->side == SA_SIDE_EXTERNAL)
        fill_outside(d, link, sa, now_us);
    else
        fill_inside(d, link, sa, other, now_us);
    d->shares_stray = shares_stray(link->inner, sa, &d->in.stray);
}

void facts_gather(struct inner *inner, const struct sa *sa, struct explain_facts *facts,
                  uint64_t now_us)
{
    const struct inner_link *link = &inner->links[sa->owner];
    const struct sa *other = sa->reverse ? inner_find_sa(inner, sa->reverse) : NULL;
    bool up = link->session && session_state(link->session) == SESSION_UP;

    if (other && (other->owner != sa->owner || !sa_may_be_reverse(other, sa)))
        other = NULL;
    *facts = (struct explain_facts){.dmz = link->name,
                                    .state = up ? "up" : "down",
                                    .last_error = "",
                                    .up = up,
                                    .since_us = age(link->changed_us, now_us),
                                    .count = other ? 2 : 1};
    fill_direction(&facts->direction[0], link, sa, other, now_us);
    if (other)
        fill_direction(&facts->direction[1], link, other, sa, now_us);
}
