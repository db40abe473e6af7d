#include "common/sa/table.h"
#include "common/sa/verify.h"
#include "dmz-relay/dmz.h"

/* The inner-relay has verified the packet; the replica has no key of internal senders. */
static enum verdict route(const struct sa *sa, struct dmz *dmz, const uint8_t *packet,
                          size_t length, struct path_hop *hop)
{
    struct rtp_view view;
    enum verdict verdict = classify(packet, length, &view);

    if (verdict != VERDICT_ACCEPTED)
        return verdict;
    if (sa->side != SA_SIDE_INTERNAL)
        return VERDICT_WRONG_SIDE;
    return path_route(sa, view.shape == RTP_SHAPE_RTCP, dmz->listeners, dmz->listener_count, hop);
}

void outbound_frame(struct dmz_site *site, struct dmz *dmz, uint32_t label, const uint8_t *packet,
                    size_t length)
{
    struct sa *sa = table_by_label(dmz->table, site->replica.owner, label);
    enum verdict verdict = VERDICT_NO_SA;
    struct path_hop hop;

    site->counts.received++;
    if (sa)
        verdict = route(sa, dmz, packet, length, &hop);
    if (verdict == VERDICT_ACCEPTED) {
        sa->octets += length;
        dmz->out.send(dmz->out.ctx, hop.listener, hop.rtcp_port, hop.to, packet, length, sa);
        return;
    }
    verdict_count(&site->counts, verdict);
    if (sa)
        verify_count(sa, verdict);
}

void outbound_sent(struct dmz *dmz, unsigned listener, bool rtcp_port, void *tag, int error)
{
    struct sa *sa = tag;
    enum verdict verdict = path_sent_verdict(error);

    verdict_count(&dmz->sites[sa->owner].counts, verdict);
    verify_count(sa, verdict);
    sa->packets += verdict == VERDICT_ACCEPTED;
    dmz->listeners[listener].sent[rtcp_port] += verdict == VERDICT_ACCEPTED;
}
