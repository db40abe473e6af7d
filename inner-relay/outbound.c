#include "inner-relay/inner.h"

/* The tunnel to the dmz-relay that the SA lives on; NULL: it is not up, or there is no SA. */
static struct session *session_of(const struct inner *inner, const struct sa *sa)
{
    return sa ? inner->links[sa->owner].session : NULL;
}

void outbound_packets(struct inner *inner, unsigned listener, bool rtcp_port,
                      const struct udp_packet *packets, size_t count, uint64_t now_us)
{
    struct verdict_counts *counts = &inner->listeners[listener].counts[rtcp_port];
    struct path_found found[PATH_GROUP];

    inner->listeners[listener].heard_us[rtcp_port] = now_us;
    for (size_t at = 0; at < count; at += PATH_GROUP) {
        size_t some = count - at < PATH_GROUP ? count - at : PATH_GROUP;

        path_find(inner->table, SA_SIDE_INTERNAL, packets + at, some, found);
        for (size_t i = 0; i < some; i++)
            path_into_tunnel(&found[i], session_of(inner, found[i].sa), counts, rtcp_port,
                             &packets[at + i], now_us);
    }
}
