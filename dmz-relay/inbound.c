#include "dmz-relay/dmz.h"

struct session *inbound_media(const struct dmz_site *site, uint32_t spread)
{
    return site->media_count > 0 ? site->media[spread % site->media_count]->session : NULL;
}

/* All packets of one SA go one way, or they would not keep their order; but for large ones. */
static struct session *session_of(void *ctx, const struct sa *sa, size_t length,
                                  struct verdict_counts **counts)
{
    struct dmz *dmz = ctx;
    const struct dmz_site *site = &dmz->sites[sa->owner];
    struct session *media = inbound_media(site, sa->label), *stream = NULL;

    if (media && session_takes(media, length))
        return media;
    if (dmz->main && dmz->path.pass->all)
        stream = dmz_worker_borrow(dmz, sa->owner, media != NULL, counts);
    else if (site->link)
        stream = site->link->session;
    return media ? session_for(media, stream, length) : stream;
}

static bool is_elsewhere(void *ctx, const struct sa *sa, size_t length)
{
    const struct dmz *dmz = ctx;
    const struct session *media = inbound_media(&dmz->sites[sa->owner], sa->label);

    return !(media && session_takes(media, length)) && dmz->main->sites[sa->owner].link;
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
