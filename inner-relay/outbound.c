#include "common/sa/hold.h"
#include "common/sa/sa.h"
#include "common/sa/way.h"
#include "inner-relay/bypass.h"
#include "inner-relay/inner.h"

/* All packets of one SA go one way, or they would not keep their order; but for large ones. */
static struct session *media_of(const struct inner *inner, const struct sa *sa)
{
    const struct inner_link *link = &inner->links[sa->owner];

    return link->media_count > 0 ? link->media[sa->label % link->media_count]->session : NULL;
}

static struct session *session_of(void *ctx, const struct sa *sa, size_t length,
                                  struct verdict_counts **counts)
{
    struct inner *inner = ctx;
    struct session *media = media_of(inner, sa), *stream = inner->links[sa->owner].session;

    if (media && session_takes(media, length))
        return media;
    if (inner->main && inner->path.pass->all)
        stream = inner_worker_borrow(inner, sa->owner, media != NULL, counts);
    return media ? session_for(media, stream, length) : stream;
}

static bool beside(void *ctx, const struct path_found *found, struct verdict_counts *counts,
                   uint64_t now_us)
{
    const struct inner *inner = ctx;

    if (bypass_take(ctx, found, counts, now_us))
        return true;
    hold_take(found->sa, inner->path.pass);
    found->sa->way->copied_us = now_us;
    hold_give(found->sa, inner->path.pass);
    return false;
}

static bool goes_by(const struct inner_meetings *way, const struct path_found *found,
                    uint64_t now_us)
{
    return way->media &&
           way->media(way->ctx, found->sa, found->input.packet, found->input.length, now_us);
}

/* Of each SA by itself: where all phones send in step, every so many packets are those of one. */
static bool is_copy_due(const struct inner *inner, struct sa *sa, uint64_t now_us)
{
    bool due;

    hold_take(sa, inner->path.pass);
    due = now_us - sa->way->copied_us >= BYPASS_WARM_US;
    hold_give(sa, inner->path.pass);
    return due;
}

/* One packet of each SA in a second goes through the dmz-relay all the same. */
static bool is_past(void *ctx, const struct path_found *found, uint64_t now_us)
{
    const struct inner *inner = ctx;

    if (!found->sa->way)
        return false;
    return (goes_by(&inner->punchings, found, now_us) ||
            goes_by(&inner->meetings, found, now_us)) &&
           !is_copy_due(inner, found->sa, now_us);
}

static void turn(void *ctx, const struct path_found *found, uint64_t now_us)
{
    struct inner *inner = ctx;

    path_turn(&inner->path, inner->listeners, inner->listener_count, &inner->hairpin, found,
              now_us);
}

static bool is_elsewhere(void *ctx, const struct sa *sa, size_t length)
{
    const struct inner *inner = ctx;
    const struct session *media = media_of(inner, sa);
    const struct session *control = inner->main->links[sa->owner].session;

    return !(media && session_takes(media, length)) && control &&
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
