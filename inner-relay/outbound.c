#include "inner-relay/inner.h"

static struct session *session_of(void *ctx, const struct sa *sa)
{
    const struct inner *inner = ctx;

    return inner->links[sa->owner].session;
}

static void turn(void *ctx, const struct path_found *found, uint64_t now_us)
{
    struct inner *inner = ctx;

    path_turn(&inner->out, inner->listeners, inner->listener_count, &inner->hairpin, found, now_us);
}

void outbound_init(struct inner *inner)
{
    inner->path = (struct path){.side = SA_SIDE_INTERNAL,
                                .learn = {inner->table, inner->budget, &inner->rules},
                                .session = session_of,
                                .turn = turn,
                                .ctx = inner};
}

void outbound_packets(struct inner *inner, unsigned listener, bool rtcp_port,
                      const struct udp_packet *packets, size_t count, uint64_t now_us)
{
    struct verdict_counts *counts = &inner->listeners[listener].counts[rtcp_port];
    struct path_found found[PATH_GROUP];

    inner->listeners[listener].heard_us[rtcp_port] = now_us;
    for (size_t at = 0; at < count; at += PATH_GROUP) {
        size_t some = count - at < PATH_GROUP ? count - at : PATH_GROUP;

        path_find(&inner->path, packets + at, some, found);
        for (size_t i = 0; i < some; i++)
            path_into_tunnel(&inner->path, &found[i], counts, rtcp_port, &packets[at + i], now_us);
    }
}
