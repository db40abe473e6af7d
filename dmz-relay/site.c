#define LOG_MODULE "site"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/sa/reporter.h"
#include "common/sa/review.h"
#include "common/sa/table.h"
#include "common/tunnel/arrivals.h"
#include "dmz-relay/dmz.h"
#include "dmz-relay/places.h"

static struct dmz_site *site_of(const struct dmz_link *link)
{
    return &link->dmz->sites[link->site];
}

/* Of two connections of one site the one with the higher (epoch, instance) stays. */
static bool is_newer(const struct hello *theirs, const struct dmz_link *held)
{
    return theirs->epoch != held->epoch ? theirs->epoch > held->epoch
                                        : theirs->instance > held->instance;
}

static void fill_reply(const struct dmz *dmz, const struct dmz_site *site, struct hello *reply)
{
    reply->features =
        FEATURE_DELTA | FEATURE_REKEY | FEATURE_REPORT | FEATURE_HAIRPIN | FEATURE_STREAMS |
        FEATURE_WORKERS | FEATURE_SITES | FEATURE_PASSES |
        (dmz->options.seals ? FEATURE_SEALED | FEATURE_PROBE | FEATURE_PAIRS | FEATURE_AGAIN : 0) |
        (dmz->options.early ? FEATURE_EARLY : 0) | (dmz->meetings.take ? FEATURE_MEET : 0) |
        (dmz->places ? FEATURE_PUNCH : 0) | dmz->options.features;
    reply->workers = (uint8_t)(dmz->worker_count > 0 ? dmz->worker_count : 1);
    reply->epoch = site->replica.epoch;
    reply->sa_version = site->replica.version;
    reply->capacity = (uint32_t)table_max(dmz->table);
    reply->quota = site->replica.quota;
    snprintf(reply->software, sizeof(reply->software), "%s", dmz->options.software);
    snprintf(reply->engine, sizeof(reply->engine), "%s", dmz->options.engine_name);
    snprintf(reply->site, sizeof(reply->site), "%s", site->name);
    for (size_t i = 0; i < dmz->listener_count; i++) {
        struct hello_listener *listener = &reply->listener[reply->listener_count++];

        memcpy(listener->name, dmz->listeners[i].name, sizeof(listener->name));
        listener->advertise = dmz->listeners[i].advertise;
        listener->m_line = dmz->listeners[i].m_line;
    }
}

bool dmz_link_chooses(const struct dmz_link *link, const struct hello *theirs)
{
    const struct dmz_site *site = &link->dmz->sites[link->site];

    if (!(theirs->features & FEATURE_PROBE) || !link->dmz->options.seals ||
        link->dmz->worker_count > 0 || link->dmz->main)
        return false;
    /* A connection of media is one of two ways only beside one of control that said so, too. */
    return theirs->worker == 0 || (theirs->worker == 1 && site->link && site->chooses);
}

/* Without memory it is the only way. */
static struct ways *pair_of(struct dmz_site *site, unsigned number)
{
    struct ways **pair = &site->pairs[number - 1];

    if (!*pair) {
        *pair = malloc(sizeof(**pair));
        if (*pair)
            ways_init(*pair, NULL);
    }
    return *pair;
}

static struct ways *ways_of(const struct dmz_link *link, const struct hello *theirs)
{
    const uint64_t both = FEATURE_PROBE | FEATURE_PAIRS;

    if (theirs->worker > 0 && (theirs->features & both) == both && link->dmz->options.seals)
        return pair_of(site_of(link), theirs->worker);
    return dmz_link_chooses(link, theirs) ? &site_of(link)->ways : NULL;
}

static void end_ways(struct dmz_site *site)
{
    ways_fini(&site->ways);
    for (unsigned i = 0; i < WORKERS_MAX; i++) {
        if (site->pairs[i])
            ways_fini(site->pairs[i]);
    }
}

static void begin_ways(struct dmz_site *site, const struct dmz_link *link)
{
    if (site->chooses)
        ways_init(&site->ways, link->session);
    for (unsigned i = 0; i < WORKERS_MAX; i++) {
        if (site->pairs[i])
            ways_init(site->pairs[i], NULL);
    }
}

static int on_hello(void *ctx, const struct hello *theirs, struct hello *reply,
                    char reason[BYE_REASON_SIZE])
{
    struct dmz_link *link = ctx;
    struct dmz_site *site = site_of(link);

    link->epoch = theirs->epoch;
    link->instance = theirs->instance;
    link->ways = ways_of(link, theirs);
    session_set_ways(link->session, link->ways);
    if (theirs->worker > 0) {
        fill_reply(link->dmz, site, reply);
        return dmz_media_hello(link, theirs, reason);
    }
    if (site->link && !is_newer(theirs, site->link)) {
        snprintf(reason, BYE_REASON_SIZE, "a newer connection of site %.64s is up", site->name);
        return ERR_EXISTS;
    }
    if (site->link)
        link->dmz->hooks.close_link(link->dmz->hooks.ctx, site->link,
                                    "a newer connection of the same site came");
    fill_reply(link->dmz, site, reply);
    return 0;
}

static void take_meeting(struct dmz_link *link, uint64_t number)
{
    const struct dmz_meetings *meetings = &link->dmz->meetings;

    if (meetings->take && session_wire(link->session) == SESSION_SEALED)
        meetings->take(meetings->ctx, link, number);
    else
        link->dmz->hooks.close_link(link->dmz->hooks.ctx, link, "no sites can meet here");
}

/* One that had to switch first may have lost the connection that it goes with. */
static void take_media(struct dmz_link *link, const struct hello *theirs)
{
    char reason[BYE_REASON_SIZE];

    if (dmz_media_hello(link, theirs, reason) < 0)
        link->dmz->hooks.close_link(link->dmz->hooks.ctx, link, reason);
    else if (theirs->meet > 0)
        take_meeting(link, theirs->meet);
    else
        dmz_media_up(link, theirs);
}

static void on_up(void *ctx, const struct hello *theirs)
{
    struct dmz_link *link = ctx;
    struct dmz_site *site = site_of(link);

    if (theirs->worker > 0) {
        take_media(link, theirs);
        return;
    }
    site->link = link;
    site->connects++;
    /* Where nobody reads early there is no connection of media to choose. */
    site->chooses = dmz_link_chooses(link, theirs) &&
                    (theirs->features & FEATURE_EARLY || link->dmz->options.early);
    begin_ways(site, link);
    memcpy(site->engine, theirs->engine, sizeof(site->engine));
    reporter_connected(&site->replica);
    streams_up(&site->streams, theirs->features);
    exchange_up(link->dmz->exchange, link->site, theirs->features);
    site->changed_us = session_up_since(link->session);
    log_info("site %s is up (%s, %zu SAs held)", site->name, theirs->software,
             table_count_owner(link->dmz->table, link->site));
}

static bool is_stream_frame(uint8_t type)
{
    return type >= FRAME_STREAM_OPEN && type <= FRAME_STREAM_RESET;
}

static int on_control(void *ctx, uint8_t type, struct reader *body, uint64_t now_us)
{
    struct dmz_link *link = ctx;

    /* One that was replaced says no more about SAs, and has no streams; nor has one of media. */
    if (site_of(link)->link != link)
        return ERR_PROTOCOL;
    if (is_stream_frame(type))
        return streams_frame(&site_of(link)->streams, type, body, now_us);
    if (type == FRAME_MEET_END)
        return link->dmz->meetings.frame
                   ? link->dmz->meetings.frame(link->dmz->meetings.ctx, link->site, body)
                   : ERR_PROTOCOL;
    if (type == FRAME_PUNCH)
        return link->dmz->places ? places_frame(link->dmz->places, link->site, body, now_us)
                                 : ERR_PROTOCOL;
    if (type == FRAME_SITE || type == FRAME_SITE_STATE)
        return exchange_frame(link->dmz->exchange, link->site, type, body);
    if (type == FRAME_PASS)
        return passes_frame(&link->dmz->passes, link->site, body);
    link->spoke = true;
    /* Packets that wait to be sent hold their SA, and it may go now. */
    link->dmz->out.flush(link->dmz->out.ctx);
    site_of(link)->replica.now_us = now_us;
    return replica_frame(&site_of(link)->replica, type, body);
}

static void on_media(void *ctx, const struct session_packet *packets, size_t count, uint64_t now_us)
{
    struct dmz_link *link = ctx;

    outbound_frames(site_of(link), link->dmz, packets, count, now_us);
}

static uint64_t age(uint64_t then_us, uint64_t now_us)
{
    if (then_us == 0)
        return ARRIVALS_NEVER;
    return now_us > then_us ? now_us - then_us : 0;
}

static bool put_stats(struct dmz_site *site, const struct dmz *dmz, uint8_t *type,
                      struct writer *body, uint64_t now_us)
{
    struct arrivals arrivals = {.count = dmz->listener_count};

    for (size_t i = 0; i < dmz->listener_count; i++) {
        memcpy(arrivals.port[i].name, dmz->listeners[i].name, NAME_SIZE);
        for (int rtcp = 0; rtcp < 2; rtcp++)
            arrivals.port[i].age_us[rtcp] = age(dmz->listeners[i].heard_us[rtcp], now_us);
    }
    site->stats_due = false;
    *type = FRAME_STATS;
    arrivals_put(body, &arrivals);
    return true;
}

/* False: nothing is left, or, with *more, the piece is over. */
static bool pull_review(struct dmz_site *site, uint8_t *type, struct writer *body, bool *more)
{
    if (review_pull(&site->replica, type, body, more))
        return true;
    if (!*more && site->replica.review_refused > 0) {
        log_warning("site %s: after the reload %zu of its SAs are refused, for the addresses of "
                    "their senders or receivers (relayctl sa list at its inner-relay)",
                    site->name, site->replica.review_refused);
        site->replica.review_refused = 0;
    }
    return false;
}

static bool pull_report(struct dmz_link *link, uint8_t *type, struct writer *body, uint64_t now_us)
{
    struct dmz_site *site = site_of(link);
    bool more, pulled;

    if (site->stats_due)
        return put_stats(site, link->dmz, type, body, now_us);
    if (pull_review(site, type, body, &more))
        return true;
    if (more) {
        link->dmz->hooks.kick(link->dmz->hooks.ctx, link);
        return false;
    }
    pulled = reporter_pull(&site->replica, type, body, &more, now_us);
    if (more)
        link->dmz->hooks.kick(link->dmz->hooks.ctx, link);
    return pulled;
}

static bool pull_bulk(void *ctx, uint8_t *type, struct writer *body, uint64_t now_us)
{
    struct dmz_link *link = ctx;
    struct dmz_site *site = site_of(link);
    bool more = false, pulled;

    if (site->link != link)
        return false;
    if (pull_report(link, type, body, now_us) ||
        passes_pull(&link->dmz->passes, link->site, type, body) ||
        exchange_pull(link->dmz->exchange, link->site, type, body))
        return true;
    pulled = streams_pull(&site->streams, type, body, &more, now_us);
    if (!pulled && more)
        link->dmz->hooks.kick(link->dmz->hooks.ctx, link);
    return pulled;
}

static void on_dropped(void *ctx, const uint32_t *labels, size_t count, enum verdict verdict)
{
    struct dmz_link *link = ctx;

    table_count_verdicts(link->dmz->table, link->site, labels, count, verdict,
                         link->dmz->path.pass);
}

/* Nothing is pulled before media: NAKs are urgent, and everything else can wait. */
static const struct session_hooks hooks = {
    .hello = on_hello,
    .up = on_up,
    .control = on_control,
    .media = on_media,
    .pull_bulk = pull_bulk,
    .dropped = on_dropped,
    .freed = free,
};

static int find_site(const struct dmz *dmz, const char *name)
{
    for (size_t i = 0; i < dmz->site_count; i++) {
        if (strcmp(dmz->sites[i].name, name) == 0)
            return (int)i;
    }
    return -1;
}

struct dmz_link *dmz_link_new(struct dmz *dmz, const char *name, uint64_t now_us)
{
    int site = find_site(dmz, name);
    struct dmz_link *link = site >= 0 ? calloc(1, sizeof(*link)) : NULL;

    if (!link)
        return NULL;
    link->dmz = dmz;
    link->site = (unsigned)site;
    link->session = session_new(SESSION_DMZ, &hooks, link, dmz->options.max_age_us,
                                dmz->options.queue_octets, now_us);
    if (!link->session) {
        free(link);
        return NULL;
    }
    session_set_seals(link->session, dmz->options.seals);
    return link;
}

void dmz_link_closed(struct dmz_link *link, const char *reason, uint64_t now_us)
{
    struct dmz_site *site = site_of(link);

    if (link->media > 0) {
        dmz_media_closed(link, now_us);
        return;
    }
    if (site->link && site->link != link)
        return;
    snprintf(site->last_error, sizeof(site->last_error), "%s", reason);
    if (!site->link)
        return;
    site->link = NULL;
    end_ways(site);
    site->changed_us = now_us;
    /* One that ends at HELLO-ACK again and again is no news of the calls. */
    if (link->spoke)
        site->left_us = now_us;
    replica_disconnected(&site->replica);
    reporter_disconnected(&site->replica);
    streams_down(&site->streams);
    exchange_down(link->dmz->exchange, link->site);
    passes_down(&link->dmz->passes, link->site);
    if (link->dmz->places)
        places_down(link->dmz->places, link->site);
    if (link->dmz->meetings.down)
        link->dmz->meetings.down(link->dmz->meetings.ctx, link->site);
    dmz_media_end(link->dmz, link->site, "the connection that carries control has ended");
    site->stats_due = false;
    log_warning("site %s is down: %s", site->name, reason);
}
