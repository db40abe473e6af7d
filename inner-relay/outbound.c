#include "common/sa/verify.h"
#include "inner-relay/inner.h"

static void take(struct inner *inner, const struct path_found *found, unsigned listener,
                 bool rtcp_port, const struct udp_packet *packet, uint64_t now_us)
{
    struct verdict_counts *counts = &inner->listeners[listener].counts[rtcp_port];
    struct sa *sa = found->sa;
    struct session *session;
    enum verdict verdict;

    counts->received++;
    verdict = path_verify(found, rtcp_port, packet, now_us);
    if (verdict != VERDICT_ACCEPTED) {
        verdict_count(counts, verdict);
        return;
    }
    session = inner->links[sa->owner].session;
    if (session) {
        session_media(session, sa->label, packet->data, packet->length, counts, now_us);
        return;
    }
    verdict_count(counts, VERDICT_TUNNEL_DOWN);
    verify_count(sa, VERDICT_TUNNEL_DOWN);
}

void outbound_packets(struct inner *inner, unsigned listener, bool rtcp_port,
                      const struct udp_packet *packets, size_t count, uint64_t now_us)
{
    struct path_found found[PATH_GROUP];

    for (size_t at = 0; at < count; at += PATH_GROUP) {
        size_t some = count - at < PATH_GROUP ? count - at : PATH_GROUP;

        path_find(inner->table, SA_SIDE_INTERNAL, packets + at, some, found);
        for (size_t i = 0; i < some; i++)
            take(inner, &found[i], listener, rtcp_port, &packets[at + i], now_us);
    }
}
