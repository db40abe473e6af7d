#include "dmz-relay/dmz.h"

/* The tunnel of the site that the SA is of; NULL: it is not up, or there is no SA. */
static struct session *session_of(const struct dmz *dmz, const struct sa *sa)
{
    const struct dmz_link *link = sa ? dmz->sites[sa->owner].link : NULL;

    return link ? link->session : NULL;
}

void inbound_packets(struct dmz *dmz, unsigned listener, bool rtcp_port,
                     const struct udp_packet *packets, size_t count, uint64_t now_us)
{
    struct verdict_counts *counts = &dmz->listeners[listener].counts[rtcp_port];
    struct path_found found[PATH_GROUP];

    dmz->listeners[listener].heard_us[rtcp_port] = now_us;
    for (size_t at = 0; at < count; at += PATH_GROUP) {
        size_t some = count - at < PATH_GROUP ? count - at : PATH_GROUP;

        path_find(dmz->table, SA_SIDE_EXTERNAL, packets + at, some, found);
        for (size_t i = 0; i < some; i++)
            path_into_tunnel(&found[i], session_of(dmz, found[i].sa), counts, rtcp_port,
                             &packets[at + i], now_us);
    }
}
