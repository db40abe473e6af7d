#include "common/sa/verify.h"
#include "inner-relay/inner.h"

/*
 * The dmz-relay has verified the packet already, but it stands where it can be
 * broken into: nothing that it says is taken on trust.
 */
static enum verdict admit(const struct path_found *found, struct inner *inner, uint64_t now_us,
                          struct path_hop *hop)
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
    if (verdict != VERDICT_ACCEPTED)
        return verdict;
    verdict = path_route(sa, found->input.view.shape == RTP_SHAPE_RTCP, inner->listeners,
                         inner->listener_count, hop);
    if (verdict != VERDICT_ACCEPTED)
        verify_count(sa, verdict);
    return verdict;
}

static void take(struct inner_link *link, const struct path_found *found, uint64_t now_us)
{
    enum verdict verdict = VERDICT_NO_SA;
    struct path_hop hop;

    link->counts.received++;
    if (found->sa)
        verdict = admit(found, link->inner, now_us, &hop);
    if (verdict == VERDICT_ACCEPTED) {
        path_send(&link->inner->out, &hop, found->sa, &found->input);
        return;
    }
    verdict_count(&link->counts, verdict);
    if (found->sa)
        verify_stray(found->sa, NULL, verdict, now_us);
}

void inbound_frames(struct inner_link *link, const struct session_packet *packets, size_t count,
                    uint64_t now_us)
{
    struct path_found found[PATH_GROUP];

    path_find_labels(link->inner->table, link->number, packets, count, found);
    for (size_t i = 0; i < count; i++)
        take(link, &found[i], now_us);
}

void inbound_sent(struct inner *inner, unsigned listener, bool rtcp_port, void *tag, int error)
{
    struct sa *sa = tag;
    enum verdict verdict = path_sent_verdict(error);

    inner->listeners[listener].sent[rtcp_port] += verdict == VERDICT_ACCEPTED;
    if (sa->hairpin) {
        path_turned(&inner->hairpin, sa, rtcp_port, verdict);
        return;
    }
    verdict_count(&inner->links[sa->owner].counts, verdict);
    if (verdict != VERDICT_ACCEPTED) {
        verify_count(sa, verdict);
        verify_stray(sa, sa_transport_addr(&sa->destination, rtcp_port), verdict,
                     sa->last_packet_us);
    }
}
