#define LOG_MODULE "link"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/sa/far.h"
#include "common/sa/table.h"
#include "common/tunnel/passwire.h"
#include "inner-relay/bypass.h"
#include "inner-relay/inner.h"

/* Indexed by the views of a replica. */
static const struct {
    const char *name;
    uint64_t feature; /* that the dmz-relay must have */
    const char *lack;
} policies[] = {
    [WIRE_REPLICA_VERIFY_ONLY] = {"verify-only", FEATURE_VERIFY_ONLY,
                                  "dmz-keys = verify-only needs srtp-engine evp and a current "
                                  "version at the dmz-relay: look there before you give it full "
                                  "keys"},
    [WIRE_REPLICA_FULL] = {"full", 0, NULL},
    [WIRE_REPLICA_KEYLESS] = {"keyless", FEATURE_KEYLESS,
                              "dmz-keys = keyless needs a current version at the dmz-relay: look "
                              "there before you give it keys"},
};

const char *inner_dmz_keys_name(enum wire_view dmz_keys)
{
    return policies[dmz_keys].name;
}

/* A dmz-relay that could not do with what it would be given is not given anything. */
static int on_hello(void *ctx, const struct hello *theirs, struct hello *reply,
                    char reason[BYE_REASON_SIZE])
{
    struct inner_link *link = ctx;
    enum wire_view keys = link->inner->options.dmz_keys;

    (void)reply;
    link->peer = *theirs;
    if (link->forwarder && !(theirs->features & FEATURE_PASSES)) {
        snprintf(reason, BYE_REASON_SIZE, "a packet forwarder needs a current version");
        return ERR_UNSUPPORTED;
    }
    if (link->forwarder || (theirs->features & policies[keys].feature) == policies[keys].feature)
        return 0;
    snprintf(reason, BYE_REASON_SIZE, "%s", policies[keys].lack);
    return ERR_UNSUPPORTED;
}

/* Sealed frames are for connections of media, and for dmz-relays that know them. */
static bool can_seal(struct inner_link *link, const struct hello *theirs)
{
    if (link->carrier == CARRIER_STREAM)
        return false;
    if (link->inner->options.seals && theirs->features & FEATURE_SEALED)
        return true;
    link->why = "the dmz-relay is of a version that knows no sealed frames";
    if (link->carrier != CARRIER_AUTO)
        log_warning("dmz %s: another carrier than stream needs a current version at the dmz-relay; "
                    "media goes by stream",
                    link->name);
    return false;
}

/* carrier = auto: is there anything to choose from, and to be gained by it? */
static bool can_choose(struct inner_link *link, const struct hello *theirs, unsigned count)
{
    if (!(theirs->features & FEATURE_PROBE))
        link->why = "the dmz-relay is of a version that does not choose, or has several threads";
    else if (count > 1 && !(theirs->features & FEATURE_PAIRS))
        link->why = "the dmz-relay is of a version that does not choose for several threads";
    else if (link->proxied)
        link->why = "an HTTP proxy is in between: segments are its own";
    else if (!(theirs->features & FEATURE_EARLY) && !link->inner->options.early)
        link->why = "neither side reads segments as they come ([tunnel] raw-socket)";
    else
        return true;
    return false;
}

static void begin_pairs(struct inner_link *link, unsigned count)
{
    for (unsigned i = 0; i < count && link->chooses; i++) {
        if (!link->pairs[i])
            link->pairs[i] = malloc(sizeof(*link->pairs[i]));
        link->chooses = link->pairs[i] != NULL;
        if (link->pairs[i])
            ways_init(link->pairs[i], NULL);
    }
    link->paired = link->chooses;
    link->why = link->chooses ? NULL : "out of memory";
}

/* As many as the side with more threads has: each of them then has one. */
static void want_media(struct inner_link *link, const struct hello *theirs)
{
    const struct inner *inner = link->inner;
    unsigned count = inner->worker_count > theirs->workers ? inner->worker_count : theirs->workers;
    unsigned least;

    if (count == 0)
        count = 1;
    link->why = NULL;
    link->chooses = link->paired = false;
    least = can_seal(link, theirs) ? 1 : 2;
    if (least == 1 && link->carrier == CARRIER_AUTO) {
        link->chooses = can_choose(link, theirs, count);
        least = link->chooses ? 1 : 2;
    }
    if (link->chooses && count > 1)
        begin_pairs(link, count);
    else if (link->chooses)
        ways_init(&link->ways, link->session);
    if (inner->hooks.want_media)
        inner->hooks.want_media(inner->hooks.ctx, link,
                                theirs->features & FEATURE_WORKERS && count >= least ? count : 0);
}

static void set_own(struct inner_link *link, const struct hello *theirs)
{
    struct addr own[HELLO_LISTENERS_MAX];

    for (size_t i = 0; i < theirs->listener_count; i++)
        own[i] = theirs->listener[i].advertise;
    authority_set_own(&link->authority, own, (unsigned)theirs->listener_count);
}

static void on_up(void *ctx, const struct hello *theirs)
{
    struct inner_link *link = ctx;
    const struct inner_sites *sites = &link->inner->sites;

    link->changed_us = session_up_since(link->session);
    link->authority.hairpins = (theirs->features & FEATURE_HAIRPIN) != 0;
    set_own(link, theirs);
    authority_connected(&link->authority, theirs->epoch, theirs->sa_version);
    streams_up(&link->streams, theirs->features);
    want_media(link, theirs);
    link->sites = sites->link && (theirs->features & FEATURE_SITES);
    if (link->sites)
        sites->link(sites->ctx, link, true);
    if (link->inner->bypass)
        bypass_link(link->inner->bypass, link, true, link->changed_us);
    log_info("dmz %s is up (%s, site %s, %s of %zu SAs)", link->name, theirs->software,
             theirs->site, authority_sync_name(link->authority.sync),
             table_count_owner(link->inner->table, link->number));
    if (theirs->quota < table_count_owner(link->inner->table, link->number))
        log_warning("dmz %s takes %u SAs of this site, and it has more", link->name, theirs->quota);
}

/*
 * A word of what the dmz-relay sees, for the operator. One that is late speaks
 * of keys that are no more; one of an SA of another dmz-relay is a lie.
 */
static int take_report(struct inner_link *link, struct reader *body, uint64_t now_us)
{
    struct sa_report report;
    struct sa *sa;

    if (reportwire_get(body, &report) < 0)
        return ERR_PROTOCOL;
    sa = table_by_id(link->inner->table, link->number, report.id);
    if (!sa || sa->generation != report.generation || sa_stays_inside(sa) ||
        far_store(sa, &report, now_us) < 0)
        link->reports_ignored++;
    else
        link->reports++;
    return 0;
}

static int take_stats(struct inner_link *link, struct reader *body, uint64_t now_us)
{
    link->arrivals_us = now_us;
    return arrivals_get(body, &link->arrivals);
}

static int take_site(struct inner_link *link, uint8_t type, struct reader *body, uint64_t now_us)
{
    const struct inner_sites *sites = &link->inner->sites;

    return link->sites ? sites->frame(sites->ctx, link, type, body, now_us) : ERR_PROTOCOL;
}

static int take_pass(struct inner_link *link, struct reader *body, uint64_t now_us)
{
    const struct inner_passes *passes = &link->inner->passes;
    struct pass_frame frame;

    if (passwire_get(FRAME_PASS_STATE, body, &frame) < 0)
        return ERR_PROTOCOL;
    if (passes->state)
        passes->state(passes->ctx, link, &frame, now_us);
    return 0;
}

static int take_meeting(struct inner_link *link, uint8_t type, struct reader *body, uint64_t now_us)
{
    const struct inner *inner = link->inner;
    const struct inner_meetings *meetings =
        type == FRAME_PUNCH ? &inner->punchings : &inner->meetings;

    return meetings->frame ? meetings->frame(meetings->ctx, link, type, body, now_us)
                           : ERR_PROTOCOL;
}

static int on_control(void *ctx, uint8_t type, struct reader *body, uint64_t now_us)
{
    struct inner_link *link = ctx;

    switch (type) {
    case FRAME_SITE:
    case FRAME_SITE_STATE:
        return take_site(link, type, body, now_us);
    case FRAME_PASS_STATE:
        return take_pass(link, body, now_us);
    case FRAME_MEET:
    case FRAME_MEET_END:
    case FRAME_PUNCH:
        return take_meeting(link, type, body, now_us);
    case FRAME_SA_REPORT:
        return take_report(link, body, now_us);
    case FRAME_STATS:
        return take_stats(link, body, now_us);
    case FRAME_STREAM_OPEN:
    case FRAME_STREAM_DATA:
    case FRAME_STREAM_CREDIT:
    case FRAME_STREAM_END:
    case FRAME_STREAM_RESET:
        return streams_frame(&link->streams, type, body, now_us);
    default: /* SA-NAK: the session lets nothing else through to this side */
        return authority_nak(&link->authority, body);
    }
}

static void on_media(void *ctx, const struct session_packet *packets, size_t count, uint64_t now_us)
{
    inbound_frames(ctx, packets, count, now_us);
}

/* What is not for the dmz-relay is passed by in pieces. */
static void come_again(struct inner_link *link)
{
    if (link->authority.more)
        link->inner->hooks.kick(link->inner->hooks.ctx, link);
}

static bool pull_live(void *ctx, uint8_t *type, struct writer *body, uint64_t now_us)
{
    struct inner_link *link = ctx;
    bool pulled;

    (void)now_us;
    session_set_sa_version(link->session, link->authority.version);
    pulled = authority_pull_live(&link->authority, type, body);
    come_again(link);
    return pulled;
}

static bool pull_bulk(void *ctx, uint8_t *type, struct writer *body, uint64_t now_us)
{
    struct inner_link *link = ctx;
    const struct inner_sites *sites = &link->inner->sites;
    bool more = false, pulled = authority_pull_bulk(&link->authority, type, body);

    come_again(link);
    if (pulled || (link->sites && sites->pull(sites->ctx, link, type, body)))
        return true;
    pulled = streams_pull(&link->streams, type, body, &more, now_us);
    if (!pulled && more)
        link->inner->hooks.kick(link->inner->hooks.ctx, link);
    return pulled;
}

static void on_dropped(void *ctx, const uint32_t *labels, size_t count, enum verdict verdict)
{
    struct inner_link *link = ctx;

    table_count_verdicts(link->inner->table, link->number, labels, count, verdict,
                         link->inner->path.pass);
}

static const struct session_hooks hooks = {
    .hello = on_hello,
    .up = on_up,
    .control = on_control,
    .media = on_media,
    .pull_live = pull_live,
    .pull_bulk = pull_bulk,
    .dropped = on_dropped,
};

/* The wall clock makes an instance higher than those of an earlier life of this lineage. */
static uint64_t next_instance(const struct inner_link *link, uint64_t wall_us)
{
    return wall_us > link->instance ? wall_us : link->instance + 1;
}

struct session *inner_link_open(struct inner_link *link, uint64_t wall_us, uint64_t now_us)
{
    const struct inner_options *options = &link->inner->options;
    struct hello hello = {.version_min = PROTOCOL_VERSION_MIN,
                          .version_max = PROTOCOL_VERSION_MAX,
                          .features = FEATURE_DELTA | FEATURE_REKEY | FEATURE_REPORT |
                                      FEATURE_HAIRPIN | FEATURE_STREAMS | FEATURE_WORKERS |
                                      (options->seals ? FEATURE_SEALED : 0) | options->features,
                          .epoch = link->authority.epoch,
                          .sa_version = link->authority.version};

    link->session = session_new(SESSION_INNER, &hooks, link, options->max_age_us,
                                options->queue_octets, now_us);
    if (!link->session)
        return NULL;
    link->instance = next_instance(link, wall_us);
    link->authority.view = options->dmz_keys;
    if (link->inner->sites.link)
        hello.features |= FEATURE_SITES;
    if (link->carrier == CARRIER_AUTO && options->seals && link->inner->worker_count == 0) {
        hello.features |= FEATURE_PROBE;
        session_set_ways(link->session, &link->ways);
    }
    if (options->early)
        hello.features |= FEATURE_EARLY;
    if (link->inner->meetings.frame)
        hello.features |= FEATURE_MEET;
    hello.instance = link->instance;
    snprintf(hello.software, sizeof(hello.software), "%s", options->software);
    snprintf(hello.engine, sizeof(hello.engine), "%s", options->engine_name);
    session_start(link->session, &hello);
    return link->session;
}

void inner_link_closed(struct inner_link *link, uint64_t now_us)
{
    if (link->session && session_up_since(link->session) > 0)
        link->changed_us = now_us;
    ways_fini(&link->ways);
    for (unsigned i = 0; i < WORKERS_MAX; i++) {
        if (link->pairs[i])
            ways_fini(link->pairs[i]);
    }
    link->chooses = link->paired = false;
    authority_disconnected(&link->authority);
    streams_down(&link->streams);
    if (link->sites)
        link->inner->sites.link(link->inner->sites.ctx, link, false);
    link->sites = false;
    link->arrivals_us = 0;
    link->session = NULL;
    if (link->inner->bypass)
        bypass_link(link->inner->bypass, link, false, now_us);
    if (link->inner->hooks.want_media)
        link->inner->hooks.want_media(link->inner->hooks.ctx, link, 0);
}

const struct hello_listener *inner_link_listener(const struct inner_link *link, const char *name,
                                                 uint8_t family)
{
    for (size_t i = 0; i < link->peer.listener_count; i++) {
        const struct hello_listener *listener = &link->peer.listener[i];

        if (name[0] ? strcmp(listener->name, name) == 0
                    : family == 0 || listener->advertise.family == family)
            return listener;
    }
    return NULL;
}
