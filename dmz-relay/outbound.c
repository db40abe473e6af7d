#include "common/sa/verify.h"
#include "dmz-relay/dmz.h"

/* The inner-relay has verified the packet; the replica has no key of internal senders. */
static enum verdict route(const struct path_found *found, const struct dmz *dmz,
                          struct path_hop *hop)
{
    if (!found->sa)
        return VERDICT_NO_SA;
    if (found->verdict != VERDICT_ACCEPTED)
        return found->verdict;
    if (found->sa->side != SA_SIDE_INTERNAL)
        return VERDICT_WRONG_SIDE;
    return path_route(found->sa, found->view.shape == RTP_SHAPE_RTCP, dmz->listeners,
                      dmz->listener_count, hop);
}

static void take(struct dmz_site *site, struct dmz *dmz, const struct path_found *found,
                 const struct session_packet *packet)
{
    struct sa *sa = found->sa;
    struct path_hop hop;
    enum verdict verdict = route(found, dmz, &hop);

    site->counts.received++;
    if (verdict == VERDICT_ACCEPTED) {
        sa->octets += packet->length;
        dmz->out.send(dmz->out.ctx, hop.listener, hop.rtcp_port, hop.to, packet->data,
                      packet->length, sa);
        return;
    }
    verdict_count(&site->counts, verdict);
    if (sa)
        verify_count(sa, verdict);
}

void outbound_frames(struct dmz_site *site, struct dmz *dmz, const struct session_packet *packets,
                     size_t count)
{
    struct path_found found[PATH_GROUP];

    path_find_labels(dmz->table, site->replica.owner, packets, count, found);
    for (size_t i = 0; i < count; i++)
        take(site, dmz, &found[i], &packets[i]);
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
