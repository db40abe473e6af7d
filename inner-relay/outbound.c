#include "common/sa/verify.h"
#include "inner-relay/inner.h"

void outbound_packet(struct inner *inner, unsigned listener, bool rtcp_port,
                     const struct udp_packet *packet, uint64_t now_us)
{
    struct verdict_counts *counts = &inner->listeners[listener].counts[rtcp_port];
    struct session *session;
    struct sa *sa;
    enum verdict verdict;

    counts->received++;
    verdict = path_admit(inner->table, SA_SIDE_INTERNAL, rtcp_port, packet, now_us, &sa);
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
