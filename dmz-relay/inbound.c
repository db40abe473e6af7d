#include "dmz-relay/dmz.h"

static struct session *session_of(void *ctx, const struct sa *sa, size_t length,
                                  struct verdict_counts **counts)
{
    struct dmz *dmz = ctx;
    const struct dmz_site *site = &dmz->sites[sa->owner];

    /* All packets of one SA go one way, or they would not keep their order; but for large ones. */
    if (site->media_count > 0)
        return session_for(site->media[sa->label % site->media_count]->session,
                           site->link ? site->link->session : NULL, length);
    if (dmz->main && dmz->path.pass->all)
        return dmz_worker_borrow(dmz, sa->owner, counts);
    return site->link ? site->link->session : NULL;
}

static bool is_elsewhere(void *ctx, const struct sa *sa)
{
    const struct dmz *dmz = ctx;

    return dmz->sites[sa->owner].media_count == 0 && dmz->main->sites[sa->owner].link;
}

void inbound_init(struct dmz *dmz)
{
    dmz->path = (struct path){.side = SA_SIDE_EXTERNAL,
                              .learn = {dmz->table, dmz->budget, &dmz->rules},
                              .peers = &dmz->peers,
                              .out = &dmz->out,
                              .session = session_of,
                              .elsewhere = is_elsewhere,
                              .turn = outbound_turn,
                              .ctx = dmz};
}

void inbound_packets(struct dmz *dmz, unsigned listener, bool rtcp_port,
                     const struct udp_packet *packets, size_t count, uint64_t now_us)
{
    struct verdict_counts *counts = &dmz->listeners[listener].counts[rtcp_port];

    dmz->listeners[listener].heard_us[rtcp_port] = now_us;
    path_take(&dmz->path, counts, rtcp_port, packets, count, now_us);
    path_narrow(&dmz->path);
}

void inbound_own(struct dmz *dmz, unsigned listener, bool rtcp_port, const uint8_t *data,
                 size_t length, uint64_t now_us)
{
    struct udp_packet packet = {
        .data = data, .length = length, .source = dmz->listeners[listener].advertise};

    packet.source.port = (uint16_t)(packet.source.port + rtcp_port);
    path_take_own(&dmz->path, &dmz->own, rtcp_port, &packet, now_us);
}
