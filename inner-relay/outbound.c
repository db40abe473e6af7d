#include "inner-relay/bypass.h"
#include "inner-relay/inner.h"

static struct session *session_of(void *ctx, const struct sa *sa, size_t length,
                                  struct verdict_counts **counts)
{
    struct inner *inner = ctx;
    const struct inner_link *link = &inner->links[sa->owner];

    /* All packets of one SA go one way, or they would not keep their order; but for large ones. */
    if (link->media_count > 0)
        return session_for(link->media[sa->label % link->media_count]->session, link->session,
                           length);
    if (inner->main && inner->path.pass->all)
        return inner_worker_borrow(inner, sa->owner, counts);
    return link->session;
}

static bool beside(void *ctx, const struct path_found *found, struct verdict_counts *counts,
                   uint64_t now_us)
{
    return bypass_take(ctx, found, counts, now_us);
}

static bool is_past(void *ctx, const struct path_found *found, uint64_t now_us)
{
    const struct inner_meetings *meetings = &((struct inner *)ctx)->meetings;

    return meetings->media && meetings->media(meetings->ctx, found->sa, found->input.packet,
                                              found->input.length, now_us);
}

static void turn(void *ctx, const struct path_found *found, uint64_t now_us)
{
    struct inner *inner = ctx;

    path_turn(&inner->path, inner->listeners, inner->listener_count, &inner->hairpin, found,
              now_us);
}

static bool is_elsewhere(void *ctx, const struct sa *sa)
{
    const struct inner *inner = ctx;
    const struct session *control = inner->main->links[sa->owner].session;

    return inner->links[sa->owner].media_count == 0 && control &&
           session_state(control) == SESSION_UP;
}

void outbound_init(struct inner *inner)
{
    inner->path = (struct path){.side = SA_SIDE_INTERNAL,
                                .learn = {inner->table, inner->budget, &inner->rules},
                                .out = &inner->out,
                                .session = session_of,
                                .elsewhere = is_elsewhere,
                                .beside = beside,
                                .turn = turn,
                                .past = is_past,
                                .ctx = inner};
}

void outbound_packets(struct inner *inner, unsigned listener, bool rtcp_port,
                      const struct udp_packet *packets, size_t count, uint64_t now_us)
{
    struct verdict_counts *counts = &inner->listeners[listener].counts[rtcp_port];

    inner->listeners[listener].heard_us[rtcp_port] = now_us;
    path_take(&inner->path, counts, rtcp_port, packets, count, now_us);
    path_narrow(&inner->path);
}
