/*
 * The core of one media thread (HACKING.md, "Threads"): it has its own counters, its own way out
 * and its own tunnels, and shares everything that SAs are found and judged by with the main one.
 */
#include <stdio.h>
#include <string.h>

#include "common/base/err.h"
#include "common/sa/table.h"
#include "dmz-relay/dmz.h"

void dmz_worker_init(struct dmz *worker, struct dmz *main, const struct path_out *out,
                     const struct dmz_hooks *hooks, struct gate_pass *pass)
{
    memset(worker, 0, sizeof(*worker));
    worker->main = main;
    worker->options = main->options;
    worker->table = main->table;
    worker->budget = main->budget;
    worker->out = *out;
    worker->hooks = *hooks;
    worker->site_count = main->site_count;
    for (size_t i = 0; i < main->site_count; i++)
        worker->sites[i].name = main->sites[i].name;
    worker->listener_count = main->listener_count;
    for (size_t i = 0; i < main->listener_count; i++)
        path_listener_copy(&worker->listeners[i], &main->listeners[i]);
    inbound_init(worker);
    worker->path.learn.rules = &main->rules;
    worker->path.peers = &main->peers;
    worker->path.pass = pass;
    main->workers[main->worker_count++] = worker;
}

/* The counts of the same place at another core. */
static struct verdict_counts *same_place(struct dmz *there, struct dmz *here,
                                         const struct verdict_counts *counts)
{
    for (size_t i = 0; i < here->listener_count; i++) {
        for (int rtcp = 0; rtcp < 2; rtcp++) {
            if (counts == &here->listeners[i].counts[rtcp])
                return &there->listeners[i].counts[rtcp];
        }
    }
    for (size_t i = 0; i < here->site_count; i++) {
        if (counts == &here->sites[i].counts)
            return &there->sites[i].counts;
    }
    return &there->own;
}

/* Of two that belong together either may get what is given to one. */
static void kick_media(const struct dmz *dmz, const struct dmz_site *site)
{
    for (unsigned i = 0; i < site->media_count; i++)
        dmz->hooks.kick(dmz->hooks.ctx, site->media[i]);
}

static struct session *borrow_from(struct dmz *there, struct dmz *here, unsigned number,
                                   struct verdict_counts **counts)
{
    const struct dmz_site *site = &there->sites[number];
    struct dmz_link *link = site->media_count > 0 ? site->media[0] : site->link;

    if (!link || there == here)
        return NULL;
    *counts = same_place(there, here, *counts);
    there->hooks.kick(there->hooks.ctx, link);
    kick_media(there, site);
    there->hooks.wake(there->hooks.ctx);
    return link->session;
}

struct session *dmz_worker_borrow(struct dmz *worker, unsigned site, bool control,
                                  struct verdict_counts **counts)
{
    struct dmz *main = worker->main;
    struct session *session = NULL;

    for (unsigned i = 0; i < main->worker_count && !session && !control; i++)
        session = borrow_from(main->workers[i], worker, site, counts);
    return session ? session : borrow_from(main, worker, site, counts);
}

/* ------------------------------------------------------------ connections that carry media alone
 */

int dmz_media_hello(const struct dmz_link *link, const struct hello *theirs,
                    char reason[BYE_REASON_SIZE])
{
    const struct dmz_link *control = link->dmz->sites[link->site].link;

    if (control && control->epoch == theirs->epoch && control->instance == theirs->instance)
        return 0;
    snprintf(reason, BYE_REASON_SIZE, "the connection that carries control is not up");
    return ERR_INVALID;
}

/*
 * Of one number there is one: the older one is dead, whether we know it yet or not. So there are
 * never more than there is room for.
 */
static void list_link(struct dmz_site *site, struct dmz_link *link)
{
    for (unsigned i = 0; i < site->media_count; i++) {
        struct dmz_link *old = site->media[i];

        if (old->media != link->media || old->seals != link->seals)
            continue;
        site->media[i] = link;
        old->dmz->hooks.close_link(old->dmz->hooks.ctx, old, "a newer one of its number came");
        return;
    }
    site->media[site->media_count++] = link;
}

void dmz_media_up(struct dmz_link *link, const struct hello *theirs)
{
    struct dmz *main = link->dmz;
    struct dmz *dmz =
        main->worker_count > 0 ? main->workers[(theirs->worker - 1) % main->worker_count] : main;

    link->media = theirs->worker;
    link->seals = (theirs->features & FEATURE_SEALED) != 0;
    link->dmz = dmz;
    main->hooks.move_link(main->hooks.ctx, link);
    list_link(&dmz->sites[link->site], link);
    if (link->ways && !link->seals)
        ways_join(link->ways, link->session);
    else if (link->ways)
        ways_open(link->ways, link->session, session_up_since(link->session));
}

static void unlist_link(struct dmz_site *site, const struct dmz_link *link)
{
    for (unsigned i = 0; i < site->media_count; i++) {
        if (site->media[i] != link)
            continue;
        site->media[i] = site->media[--site->media_count];
        return;
    }
}

/* Where packets of a connection that has ended go on: another thread's under the locks of all. */
static struct session *heir(struct dmz *dmz, unsigned number, struct verdict_counts **counts)
{
    const struct dmz_site *site = &dmz->sites[number];
    struct dmz_link *link = site->media_count > 0 ? site->media[0] : site->link;

    if (!link)
        return dmz->main ? dmz_worker_borrow(dmz, number, false, counts) : NULL;
    dmz->hooks.kick(dmz->hooks.ctx, link);
    kick_media(dmz, site);
    if (dmz->main)
        dmz->hooks.wake(dmz->hooks.ctx);
    return link->session;
}

static void hand_on(struct dmz *dmz, unsigned site, struct queue *queue)
{
    const struct queue_entry *entry;
    const uint8_t *packet;

    while ((entry = queue_peek(queue, &packet)) != NULL) {
        struct verdict_counts *counts = entry->counts;
        struct session *to;

        if (entry->copy) {
            queue_pop(queue);
            continue;
        }
        to = heir(dmz, site, &counts);
        entry->counts->queued--;
        if (to) {
            session_media(to, entry->label, packet, entry->length, counts, entry->queued_us);
        } else {
            verdict_count(counts, VERDICT_TUNNEL_DOWN);
            table_count_verdicts(dmz->table, site, &entry->label, 1, VERDICT_TUNNEL_DOWN,
                                 dmz->path.pass);
        }
        queue_pop(queue);
    }
    queue_fini(queue);
}

void dmz_media_closed(struct dmz_link *link, uint64_t now_us)
{
    struct dmz *dmz = link->dmz;
    struct dmz_site *site = &dmz->sites[link->site];
    struct queue queue;

    unlist_link(site, link);
    if (link->ways)
        ways_close(link->ways, link->session, now_us);
    /* Without control all of them end. */
    if (session_queued(link->session) == 0 ||
        !(dmz->main ? dmz->main : dmz)->sites[link->site].link)
        return;
    if (site->media_count > 0 || !dmz->main) {
        session_take_queue(link->session, &queue);
        hand_on(dmz, link->site, &queue);
    } else if (!site->left.memory) {
        session_take_queue(link->session, &site->left);
        dmz->left = true;
    }
}

void dmz_adopt(struct dmz *dmz)
{
    for (unsigned i = 0; i < dmz->worker_count; i++) {
        struct dmz *worker = dmz->workers[i];

        for (unsigned s = 0; worker->left && s < worker->site_count; s++) {
            if (worker->sites[s].left.memory)
                hand_on(worker, s, &worker->sites[s].left);
        }
        worker->left = false;
    }
}

struct ending {
    unsigned site;
    const char *reason;
};

static void end_link(struct dmz_link *link, void *ctx)
{
    const struct ending *ending = ctx;

    if (link->site == ending->site)
        link->dmz->hooks.close_link(link->dmz->hooks.ctx, link, ending->reason);
}

void dmz_media_end(struct dmz *dmz, unsigned site, const char *reason)
{
    struct ending ending = {site, reason};

    dmz_media_each(dmz, end_link, &ending);
}

/* One that ends meanwhile is replaced by the last one, which was here already. */
static void each_of(struct dmz *dmz, void (*each)(struct dmz_link *link, void *ctx), void *ctx)
{
    for (size_t s = 0; s < dmz->site_count; s++) {
        for (unsigned i = dmz->sites[s].media_count; i-- > 0;)
            each(dmz->sites[s].media[i], ctx);
    }
}

void dmz_media_each(struct dmz *dmz, void (*each)(struct dmz_link *link, void *ctx), void *ctx)
{
    each_of(dmz, each, ctx);
    for (unsigned i = 0; i < dmz->worker_count; i++)
        each_of(dmz->workers[i], each, ctx);
}

/* ------------------------------------------------------------ counters */

void dmz_gather(struct dmz *dmz)
{
    for (unsigned i = 0; i < dmz->worker_count; i++) {
        struct dmz *worker = dmz->workers[i];

        for (size_t l = 0; l < dmz->listener_count; l++)
            path_listener_gather(&dmz->listeners[l], &worker->listeners[l]);
        for (size_t s = 0; s < dmz->site_count; s++)
            verdict_gather(&dmz->sites[s].counts, &worker->sites[s].counts);
        verdict_gather(&dmz->own, &worker->own);
        verdict_gather(&dmz->hairpin, &worker->hairpin);
    }
}
