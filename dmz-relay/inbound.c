#include "common/sa/verify.h"
#include "dmz-relay/dmz.h"

void inbound_packet(struct dmz *dmz, unsigned listener, bool rtcp_port,
                    const struct udp_packet *packet, uint64_t now_us)
{
    struct verdict_counts *counts = &dmz->listeners[listener].counts[rtcp_port];
    struct dmz_link *link;
    struct sa *sa;
    enum verdict verdict;

    counts->received++;
    verdict = path_admit(dmz->table, SA_SIDE_EXTERNAL, rtcp_port, packet, now_us, &sa);
    if (verdict != VERDICT_ACCEPTED) {
        verdict_count(counts, verdict);
        return;
    }
    link = dmz->sites[sa->owner].link;
    if (link) {
        session_media(link->session, sa->label, packet->data, packet->length, counts, now_us);
        return;
    }
    verdict_count(counts, VERDICT_TUNNEL_DOWN);
    verify_count(sa, VERDICT_TUNNEL_DOWN);
}
