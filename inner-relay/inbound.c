#include "common/sa/table.h"
#include "common/sa/verify.h"
#include "inner-relay/inner.h"

/*
 * The dmz-relay has verified the packet already, but it stands where it can be
 * broken into: nothing that it says is taken on trust.
 */
static enum verdict admit(struct sa *sa, struct inner *inner, const uint8_t *packet, size_t length,
                          uint64_t now_us, struct path_hop *hop)
{
    struct rtp_view view;
    enum verdict verdict = classify(packet, length, &view);

    if (verdict == VERDICT_ACCEPTED && sa->side != SA_SIDE_EXTERNAL)
        verdict = VERDICT_WRONG_SIDE;
    if (verdict != VERDICT_ACCEPTED) {
        verify_count(sa, verdict);
        return verdict;
    }
    verdict = verify_packet(sa, &view, packet, length, now_us);
    if (verdict != VERDICT_ACCEPTED)
        return verdict;
    verdict =
        path_route(sa, view.shape == RTP_SHAPE_RTCP, inner->listeners, inner->listener_count, hop);
    if (verdict != VERDICT_ACCEPTED)
        verify_count(sa, verdict);
    return verdict;
}

void inbound_frame(struct inner_link *link, uint32_t label, const uint8_t *packet, size_t length,
                   uint64_t now_us)
{
    struct inner *inner = link->inner;
    struct sa *sa = table_by_label(inner->table, link->number, label);
    enum verdict verdict = VERDICT_NO_SA;
    struct path_hop hop;

    link->counts.received++;
    if (sa)
        verdict = admit(sa, inner, packet, length, now_us, &hop);
    if (verdict == VERDICT_ACCEPTED)
        inner->out.send(inner->out.ctx, hop.listener, hop.rtcp_port, hop.to, packet, length, sa);
    else
        verdict_count(&link->counts, verdict);
}

void inbound_sent(struct inner *inner, unsigned listener, bool rtcp_port, void *tag, int error)
{
    struct sa *sa = tag;
    enum verdict verdict = path_sent_verdict(error);

    verdict_count(&inner->links[sa->owner].counts, verdict);
    if (verdict != VERDICT_ACCEPTED)
        verify_count(sa, verdict);
    inner->listeners[listener].sent[rtcp_port] += verdict == VERDICT_ACCEPTED;
}
