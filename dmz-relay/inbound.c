#include "common/sa/verify.h"
#include "dmz-relay/dmz.h"

static void take(struct dmz *dmz, const struct path_found *found, unsigned listener, bool rtcp_port,
                 const struct udp_packet *packet, uint64_t now_us)
{
    struct verdict_counts *counts = &dmz->listeners[listener].counts[rtcp_port];
    struct sa *sa = found->sa;
    struct dmz_link *link;
    enum verdict verdict;

    counts->received++;
    verdict = path_verify(found, rtcp_port, packet, now_us);
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

void inbound_packets(struct dmz *dmz, unsigned listener, bool rtcp_port,
                     const struct udp_packet *packets, size_t count, uint64_t now_us)
{
    struct path_found found[PATH_GROUP];

    for (size_t at = 0; at < count; at += PATH_GROUP) {
        size_t some = count - at < PATH_GROUP ? count - at : PATH_GROUP;

        path_find(dmz->table, SA_SIDE_EXTERNAL, packets + at, some, found);
        for (size_t i = 0; i < some; i++)
            take(dmz, &found[i], listener, rtcp_port, &packets[at + i], now_us);
    }
}
