#include "dmz-relay/dmz.h"

static struct session *session_of(void *ctx, const struct sa *sa)
{
    const struct dmz *dmz = ctx;
    const struct dmz_link *link = dmz->sites[sa->owner].link;

    return link ? link->session : NULL;
}

void inbound_init(struct dmz *dmz)
{
    dmz->path = (struct path){.side = SA_SIDE_EXTERNAL,
                              .learn = {dmz->table, dmz->budget, &dmz->rules},
                              .peers = &dmz->peers,
                              .session = session_of,
                              .turn = outbound_turn,
                              .ctx = dmz};
}

void inbound_packets(struct dmz *dmz, unsigned listener, bool rtcp_port,
                     const struct udp_packet *packets, size_t count, uint64_t now_us)
{
    struct verdict_counts *counts = &dmz->listeners[listener].counts[rtcp_port];
    struct path_found found[PATH_GROUP];

    dmz->listeners[listener].heard_us[rtcp_port] = now_us;
    for (size_t at = 0; at < count; at += PATH_GROUP) {
        size_t some = count - at < PATH_GROUP ? count - at : PATH_GROUP;

        path_find(&dmz->path, packets + at, some, found);
        for (size_t i = 0; i < some; i++)
            path_into_tunnel(&dmz->path, &found[i], counts, rtcp_port, &packets[at + i], now_us);
    }
}

void inbound_own(struct dmz *dmz, unsigned listener, bool rtcp_port, const uint8_t *data,
                 size_t length, uint64_t now_us)
{
    struct udp_packet packet = {
        .data = data, .length = length, .source = dmz->listeners[listener].advertise};
    struct path_found found;

    packet.source.port = (uint16_t)(packet.source.port + rtcp_port);
    path_find_own(&dmz->path, &packet, &found);
    path_into_tunnel(&dmz->path, &found, &dmz->own, rtcp_port, &packet, now_us);
}
