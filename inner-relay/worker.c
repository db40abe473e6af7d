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

struct session *inner_worker_borrow(struct inner *worker, unsigned number,
                                    struct verdict_counts **counts)
{
    struct inner *main = worker->main;
    struct session *session = NULL;

    for (unsigned i = 0; i < main->worker_count && !session; i++)
        session = borrow_from(main->workers[i], worker, number, counts);
    return session ? session : borrow_from(main, worker, number, counts);
}

/* ------------------------------------------------------------ connections that carry media alone
 */

static int on_hello(void *ctx, const struct hello *theirs, struct hello *reply,
                    char reason[BYE_REASON_SIZE])
{
    (void)ctx;
    (void)theirs;
    (void)reply;
    (void)reason;
    return 0;
}

static void on_up(void *ctx, const struct hello *theirs)
{
    struct inner_media *media = ctx;
    struct inner_link *link = media->link;

    (void)theirs;
    if (session_take_refused(media->session)[0])
        log_info("dmz %s, media connection %u was not taken over: %s", link->name, media->number,
                 session_take_refused(media->session));
    if (link->media_count < WORKERS_MAX)
        link->media[link->media_count++] = media;
    if (link->chooses)
        ways_open(&link->ways, media->session, session_up_since(media->session));
}

static int on_control(void *ctx, uint8_t type, struct reader *body, uint64_t now_us)
{
    (void)ctx;
    (void)type;
    (void)body;
    (void)now_us;
    return ERR_PROTOCOL;
}

static void on_media(void *ctx, const struct session_packet *packets, size_t count, uint64_t now_us)
{
    const struct inner_media *media = ctx;

    inbound_frames(media->link, packets, count, now_us);
}

static bool pull_nothing(void *ctx, uint8_t *type, struct writer *body, uint64_t now_us)
{
    (void)ctx;
    (void)type;
    (void)body;
    (void)now_us;
    return false;
}

static void on_dropped(void *ctx, const uint32_t *labels, size_t count, enum verdict verdict)
{
    const struct inner_media *media = ctx;
    const struct inner *inner = media->link->inner;

    table_count_verdicts(inner->table, media->link->number, labels, count, verdict,
                         inner->path.pass);
}

static const struct session_hooks hooks = {
    .hello = on_hello,
    .up = on_up,
    .control = on_control,
    .media = on_media,
    .pull_live = pull_nothing,
    .pull_bulk = pull_nothing,
    .dropped = on_dropped,
};

struct session *inner_media_open(struct inner_media *media, const struct inner_link *main,
                                 uint64_t now_us)
{
    const struct inner_options *options = &main->inner->options;
    bool seals = options->seals && (main->carrier == CARRIER_UNORDERED ||
                                    main->carrier == CARRIER_RAW || main->chooses);
    bool both = main->chooses && main->peer.features & FEATURE_EARLY;
    bool raw = seals && media->may_raw && (main->carrier == CARRIER_RAW || both);
    struct hello hello = {.version_min = PROTOCOL_VERSION_MIN,
                          .version_max = PROTOCOL_VERSION_MAX,
                          .features = FEATURE_WORKERS | (seals ? FEATURE_SEALED : 0) |
                                      (raw ? FEATURE_RAW : 0) |
                                      (main->chooses ? FEATURE_PROBE : 0) |
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
    if (main->chooses)
        session_set_ways(media->session, &media->link->ways);
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
        return inner->main ? inner_worker_borrow(inner, number, counts) : NULL;
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
    struct queue queue;

    media->session = NULL;
    unlist_media(link, media);
    ways_close(&link->ways, session, now_us);
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
