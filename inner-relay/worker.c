/*
 * The core of one media thread (HACKING.md, "Threads"): it has its own counters, its own way out
 * and its own tunnels, and shares everything that SAs are found and judged by with the main one.
 */
#define LOG_MODULE "link"
#include <stdio.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/sa/table.h"
#include "inner-relay/inner.h"

void inner_worker_init(struct inner *worker, struct inner *main, const struct path_out *out,
                       const struct inner_hooks *hooks, struct gate_pass *pass)
{
    memset(worker, 0, sizeof(*worker));
    worker->main = main;
    worker->options = main->options;
    worker->table = main->table;
    worker->budget = main->budget;
    worker->out = *out;
    worker->hooks = *hooks;
    worker->listener_count = main->listener_count;
    for (size_t i = 0; i < main->listener_count; i++)
        path_listener_copy(&worker->listeners[i], &main->listeners[i]);
    for (; worker->link_count < main->link_count; worker->link_count++) {
        struct inner_link *link = &worker->links[worker->link_count];

        link->inner = worker;
        link->number = (unsigned)worker->link_count;
        link->name = main->links[worker->link_count].name;
        link->forwarder = main->links[worker->link_count].forwarder;
    }
    outbound_init(worker);
    worker->path.learn.rules = &main->rules;
    worker->path.pass = pass;
    main->workers[main->worker_count++] = worker;
}

/* The counts of the same place at another core. */
static struct verdict_counts *same_place(struct inner *there, struct inner *here,
                                         const struct verdict_counts *counts)
{
    for (size_t i = 0; i < here->listener_count; i++) {
        if (counts == &here->listeners[i].counts[0])
            return &there->listeners[i].counts[0];
        if (counts == &here->listeners[i].counts[1])
            return &there->listeners[i].counts[1];
    }
    return &there->hairpin;
}

static struct session *borrow_from(struct inner *there, struct inner *here, unsigned number,
                                   struct verdict_counts **counts)
{
    struct inner_link *link = &there->links[number];
    struct session *session = link->media_count > 0 ? link->media[0]->session : link->session;

    if (!session || there == here || session_state(session) != SESSION_UP)
        return NULL;
    *counts = same_place(there, here, *counts);
    there->hooks.kick(there->hooks.ctx, link);
    there->hooks.wake(there->hooks.ctx);
    return session;
}

struct session *inner_worker_borrow(struct inner *worker, unsigned number, bool control,
                                    struct verdict_counts **counts)
{
    struct inner *main = worker->main;
    struct session *session = NULL;

    for (unsigned i = 0; i < main->worker_count && !session && !control; i++)
        session = borrow_from(main->workers[i], worker, number, counts);
    return session ? session : borrow_from(main, worker, number, counts);
}

/* ------------------------------------------------------------ connections that carry media alone
 */

static struct inner_link *main_link(const struct inner_media *media)
{
    struct inner *inner = media->link->inner;

    return &(inner->main ? inner->main : inner)->links[media->link->number];
}

static struct ways *ways_of(const struct inner_media *media)
{
    struct inner_link *main = main_link(media);

    if (main->paired)
        return main->pairs[media->number - 1];
    return main->chooses ? &main->ways : NULL;
}

const struct ways *inner_media_ways(const struct inner_media *media)
{
    return ways_of(media);
}

static void on_up(void *ctx, const struct hello *theirs)
{
    struct inner_media *media = ctx;
    struct inner_link *link = media->link;
    char reason[BYE_REASON_SIZE];
    struct ways *ways = ways_of(media);

    (void)theirs;
    /* What is too busy to see all segments now may be so no more: the next one asks again. */
    if (session_take_refused(media->session)[0]) {
        snprintf(reason, sizeof(reason), "it was not taken over: %s",
                 session_take_refused(media->session));
        session_bye(media->session, reason);
        return;
    }
    if (link->media_count < MEDIA_MAX)
        link->media[link->media_count++] = media;
    if (ways && main_link(media)->paired && !media->carrier)
        ways_join(ways, media->session);
    else if (ways)
        ways_open(ways, media->session, session_up_since(media->session));
}

static void on_media(void *ctx, const struct session_packet *packets, size_t count, uint64_t now_us)
{
    const struct inner_media *media = ctx;

    inbound_frames(media->link, packets, count, now_us);
}

static void on_dropped(void *ctx, const uint32_t *labels, size_t count, enum verdict verdict)
{
    const struct inner_media *media = ctx;
    const struct inner *inner = media->link->inner;

    table_count_verdicts(inner->table, media->link->number, labels, count, verdict,
                         inner->path.pass);
}

static const struct session_hooks hooks = {
    .up = on_up,
    .media = on_media,
    .dropped = on_dropped,
};

struct session *inner_media_open(struct inner_media *media, const struct inner_link *main,
                                 uint64_t now_us)
{
    const struct inner_options *options = &main->inner->options;
    bool sealed = main->carrier == CARRIER_UNORDERED || main->carrier == CARRIER_RAW ||
                  (main->chooses && (media->carrier || !main->paired));
    bool seals = options->seals && sealed;
    bool both = main->chooses && main->peer.features & FEATURE_EARLY;
    bool raw = seals && media->may_raw && (main->carrier == CARRIER_RAW || both);
    struct hello hello = {.version_min = PROTOCOL_VERSION_MIN,
                          .version_max = PROTOCOL_VERSION_MAX,
                          .features =
                              FEATURE_WORKERS | (seals ? FEATURE_SEALED | FEATURE_AGAIN : 0) |
                              (raw ? FEATURE_RAW : 0) | (main->chooses ? FEATURE_PROBE : 0) |
                              (main->paired ? FEATURE_PAIRS : 0) |
                              (options->early ? FEATURE_EARLY : 0) | options->features,
                          .epoch = main->authority.epoch,
                          .sa_version = main->authority.version,
                          .instance = main->instance,
                          .worker = media->number};

    snprintf(hello.software, sizeof(hello.software), "%s", options->software);
    snprintf(hello.engine, sizeof(hello.engine), "%s", options->engine_name);
    media->session = session_new(SESSION_INNER, &hooks, media, options->max_age_us,
                                 options->queue_octets, now_us);
    if (!media->session)
        return NULL;
    session_set_seals(media->session, options->seals);
    session_set_ways(media->session, ways_of(media));
    session_start(media->session, &hello);
    return media->session;
}

static void unlist_media(struct inner_link *link, const struct inner_media *media)
{
    for (unsigned i = 0; i < link->media_count; i++) {
        if (link->media[i] != media)
            continue;
        link->media[i] = link->media[--link->media_count];
        return;
    }
}

/* Where packets of a connection that has ended go on: another thread's under the locks of all. */
static struct session *heir(struct inner *inner, unsigned number, struct verdict_counts **counts)
{
    struct inner_link *link = &inner->links[number];
    struct session *session = link->media_count > 0 ? link->media[0]->session : link->session;

    if (!session)
        return inner->main ? inner_worker_borrow(inner, number, false, counts) : NULL;
    inner->hooks.kick(inner->hooks.ctx, link);
    if (inner->main)
        inner->hooks.wake(inner->hooks.ctx);
    return session;
}

static void hand_on(struct inner *inner, unsigned link, struct queue *queue)
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
        to = heir(inner, link, &counts);
        entry->counts->queued--;
        if (to) {
            session_media(to, entry->label, packet, entry->length, counts, entry->queued_us);
        } else {
            verdict_count(counts, VERDICT_TUNNEL_DOWN);
            table_count_verdicts(inner->table, link, &entry->label, 1, VERDICT_TUNNEL_DOWN,
                                 inner->path.pass);
        }
        queue_pop(queue);
    }
    queue_fini(queue);
}

static bool has_control(const struct inner_link *link)
{
    const struct inner *inner = link->inner->main ? link->inner->main : link->inner;
    const struct session *control = inner->links[link->number].session;

    return control && session_state(control) == SESSION_UP;
}

void inner_media_closed(struct inner_media *media, uint64_t now_us)
{
    struct inner_link *link = media->link;
    struct session *session = media->session;
    struct ways *ways = ways_of(media);
    struct queue queue;

    media->session = NULL;
    unlist_media(link, media);
    if (ways)
        ways_close(ways, session, now_us);
    /* Without control all of them end. */
    if (!session || session_queued(session) == 0 || !has_control(link))
        return;
    if (link->media_count > 0 || !link->inner->main) {
        session_take_queue(session, &queue);
        hand_on(link->inner, link->number, &queue);
    } else if (!link->left.memory) {
        session_take_queue(session, &link->left);
        link->inner->left = true;
    }
}

void inner_adopt(struct inner *inner)
{
    for (unsigned i = 0; i < inner->worker_count; i++) {
        struct inner *worker = inner->workers[i];

        for (unsigned n = 0; worker->left && n < worker->link_count; n++) {
            if (worker->links[n].left.memory)
                hand_on(worker, n, &worker->links[n].left);
        }
        worker->left = false;
    }
}

/* ------------------------------------------------------------ counters */

void inner_gather(struct inner *inner)
{
    for (unsigned i = 0; i < inner->worker_count; i++) {
        struct inner *worker = inner->workers[i];

        for (size_t l = 0; l < inner->listener_count; l++)
            path_listener_gather(&inner->listeners[l], &worker->listeners[l]);
        for (size_t n = 0; n < inner->link_count; n++)
            verdict_gather(&inner->links[n].counts, &worker->links[n].counts);
        verdict_gather(&inner->hairpin, &worker->hairpin);
        verdict_gather(&inner->beside, &worker->beside);
    }
}
