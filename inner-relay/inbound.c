#include "common/sa/hold.h"
#include "common/sa/verify.h"
#include "common/sa/way.h"
#include "inner-relay/bypass.h"
#include "inner-relay/inner.h"

/*
 * The dmz-relay has verified the packet already, but it stands where it can be
 * broken into: nothing that it says is taken on trust.
 */
static enum verdict admit(const struct path_found *found, struct inner *inner, uint64_t now_us,
                          struct path_hop *hop, bool *genuine)
{
    struct sa *sa = found->sa;
    enum verdict verdict = found->verdict;

    if (verdict == VERDICT_ACCEPTED && (sa->side != SA_SIDE_EXTERNAL || sa->hairpin))
        verdict = VERDICT_WRONG_SIDE;
    if (verdict != VERDICT_ACCEPTED) {
        verify_count(sa, verdict);
        return verdict;
    }
    verdict = verify_packet(inner->table, sa, &found->input, now_us);
    /* A copy of one that is over the rate is a replay: it has moved the SA's index. */
    *genuine = verdict == VERDICT_ACCEPTED || verdict == VERDICT_RATE;
    if (verdict != VERDICT_ACCEPTED)
        return verdict;
    verdict = path_route(sa, found->input.view.shape == RTP_SHAPE_RTCP, inner->listeners,
                         inner->listener_count, hop);
    if (verdict != VERDICT_ACCEPTED)
        verify_count(sa, verdict);
    return verdict;
}

static enum verdict admit_held(const struct path_found *found, struct inner *inner, uint64_t now_us,
                               struct path_hop *hop, bool *genuine)
{
    enum verdict verdict;

    hold_take(found->sa, inner->path.pass);
    verdict = admit(found, inner, now_us, hop, genuine);
    if (verdict != VERDICT_ACCEPTED)
        verify_stray(found->sa, NULL, verdict, now_us);
    hold_give(found->sa, inner->path.pass);
    return verdict;
}

/* A site may send to those SAs alone that take its packets. */
static void leave_out_others(struct path_found *found, size_t count, unsigned site)
{
    for (size_t i = 0; i < count; i++) {
        const struct sa_way *way = found[i].sa ? found[i].sa->way : NULL;

        if (!way || way->goes || way->site != site)
            found[i].sa = NULL;
    }
}

/* False: only with the locks of all, and nothing has happened yet. One more is genuine, or not. */
static bool take(struct inner_link *link, const struct path_found *found, size_t *count,
                 uint64_t now_us)
{
    bool genuine = false;
    enum verdict verdict = VERDICT_NO_SA;
    struct inner *inner = link->inner;
    struct path_hop hop;

    if (found->sa && found->verdict == VERDICT_ACCEPTED && gate_is_shared(inner->path.pass) &&
        !verify_is_alone(found->sa, &found->input))
        return false;
    link->counts.received++;
    if (found->sa)
        verdict = admit_held(found, inner, now_us, &hop, &genuine);
    if (verdict == VERDICT_ACCEPTED)
        path_send(&inner->out, &hop, found->sa, &found->input);
    else
        verdict_count(&link->counts, verdict);
    *count += genuine;
    return true;
}

/* How many were genuine and new. site -1: from the dmz-relay. */
static size_t take_all(struct inner_link *link, int site, const struct session_packet *packets,
                       size_t count, uint64_t now_us)
{
    struct path_found found[PATH_GROUP];
    size_t genuine = 0;

    for (size_t at = 0; at < count;) {
        size_t done = 0;

        path_find_labels(link->inner->table, link->number, packets + at, count - at, found);
        if (site >= 0)
            leave_out_others(found, count - at, (unsigned)site);
        while (at + done < count && take(link, &found[done], &genuine, now_us))
            done++;
        at += done;
        if (at < count)
            path_widen(&link->inner->path);
    }
    path_narrow(&link->inner->path);
    return genuine;
}

size_t inbound_beside(struct inner_link *link, unsigned site, const struct session_packet *packets,
                      size_t count, uint64_t now_us)
{
    return take_all(link, (int)site, packets, count, now_us);
}

void inbound_past(struct inner_link *link, const char *site, const struct session_packet *packets,
                  size_t count, uint64_t now_us)
{
    int number = bypass_find(link->inner->bypass, site);

    if (number >= 0) {
        (void)inbound_beside(link, (unsigned)number, packets, count, now_us);
        return;
    }
    link->counts.received += count;
    link->counts.n[VERDICT_NO_SA] += count;
}

void inbound_frames(struct inner_link *link, const struct session_packet *packets, size_t count,
                    uint64_t now_us)
{
    for (size_t at = 0; at < count;) {
        size_t done = link->forwarder ? bypass_frames(link, packets + at, count - at, now_us) : 0;
        size_t own = 0;

        at += done;
        while (at + own < count &&
               !(link->forwarder && bypass_knows(link, packets[at + own].label)))
            own++;
        if (own > 0)
            (void)take_all(link, -1, packets + at, own, now_us);
        at += own;
    }
}

void inbound_sent(struct inner *inner, unsigned listener, bool rtcp_port, void *tag, int error)
{
    struct sa *sa = tag;
    enum verdict verdict = path_sent_verdict(error);

    inner->listeners[listener].sent[rtcp_port] += verdict == VERDICT_ACCEPTED;
    if (sa->hairpin) {
        path_turned(&inner->path, &inner->hairpin, sa, rtcp_port, verdict);
        return;
    }
    verdict_count(&inner->links[sa->owner].counts, verdict);
    if (verdict != VERDICT_ACCEPTED)
        path_unsent(inner->path.pass, sa, rtcp_port, verdict);
}
