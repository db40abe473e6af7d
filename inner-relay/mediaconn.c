#define LOG_MODULE "inner"
#include "inner-relay/mediaconn.h"

#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/sa/table.h"
#include "common/tunnel/localports.h"
#include "common/tunnel/rawreader.h"
#include "inner-relay/relay.h"

enum {
    /* So long after one could not be taken over it is tried again, twice as long each time: */
    UNTAKEN_US = 5 * 1000 * 1000,  /* where something has kept it from being taken over, */
    NOT_RAW_US = 60 * 1000 * 1000, /* where segments did not get through, */
    PUT_OFF_MOST_US = 600 * 1000 * 1000,
    /* where no local port of ours could be had: what keeps one is over in a minute. */
    PORT_US = 5 * 1000 * 1000,
    PORT_MOST_US = 80 * 1000 * 1000,
    /* And not while there is media: what is on the way when it ends would be lost. */
    SILENCE_US = 5 * 1000 * 1000,
};

static struct relay *relay_at(const struct daemon *daemon)
{
    return daemon->state;
}

static struct inner_link *core_link(const struct relay_media *media)
{
    return &relay_at(media->link->daemon)->core.links[media->link->number];
}

static unsigned thread_of(const struct relay_media *media)
{
    return media->worker ? media->worker->number : 0;
}

/* The stream of a pair is read in the kernel's order. */
static bool is_stream_of_pair(const struct relay_media *media)
{
    return core_link(media)->paired && !media->core.carrier;
}

/* ------------------------------------------------------------ with raw segments or without */

static const char NO_PORT[] = "all local ports of ours were in use";

static uint64_t doubled(uint64_t wait_us, unsigned times, uint64_t most_us)
{
    while (times-- > 0 && wait_us < most_us)
        wait_us *= 2;
    return wait_us < most_us ? wait_us : most_us;
}

static void put_off(struct relay_media *media, uint64_t wait_us, const char *why)
{
    media->not_raw_until_us =
        clock_now_us() + doubled(wait_us, media->raw_failures, PUT_OFF_MOST_US);
    media->raw_failures++;
    snprintf(media->not_raw_why, sizeof(media->not_raw_why), "%s", why);
}

/* It has one, or it is to be made anew for one: that says nothing of segments. */
static void note_port(struct relay_media *media, bool ours)
{
    media->port_until_us =
        ours ? 0 : clock_now_us() + doubled(PORT_US, media->port_failures, PORT_MOST_US);
    media->port_failures = ours ? 0 : media->port_failures + 1;
}

/* NULL: the raw socket sees nothing of this connection. */
static struct rawreader *reader_of(struct relay_media *media, const struct conn *conn)
{
    const struct daemon *daemon = media->link->daemon;
    struct rawreader *reader = daemon->readers[thread_of(media)];
    bool ours;

    media->port_until_us = 0;
    if (!reader || !conn_is_direct(conn) || is_stream_of_pair(media))
        return NULL;
    ours = localports_has(daemon->ports[thread_of(media)], conn_local(conn).port);
    note_port(media, ours);
    return ours ? reader : NULL;
}

/* It was one of raw segments, or about to be. */
static void note_failure(struct relay_media *media, struct conn *conn, const char *reason)
{
    const struct session *session = conn_session(conn);
    bool untaken = session && session_take(session) != SESSION_TAKE_PROVING;
    bool silent = conn_taken(conn) && core_link(media)->carrier == CARRIER_AUTO &&
                  /* Of one that is dead the other side's last words do not come. */
                  (ways_gave_up(reason) || strstr(reason, "nothing was heard"));

    if (session_take_has_failed(session, &media->takes_hung))
        put_off(media, untaken ? UNTAKEN_US : NOT_RAW_US, untaken ? reason : "");
    else if (silent)
        put_off(media, NOT_RAW_US, "");
}

/* Of what goes by it, and comes. */
static void note_media(struct relay_media *media, uint64_t now_us)
{
    const struct session_counters *counters = session_counters(media->core.session);
    uint64_t count = counters->media_in + counters->media_out;

    if (count != media->media_count)
        media->media_us = now_us;
    media->media_count = count;
}

static bool may_be_ended(const struct relay_media *media, uint64_t now_us)
{
    const struct ways *ways = inner_media_ways(&media->core);

    if (now_us - media->media_us < SILENCE_US)
        return false;
    if (core_link(media)->carrier != CARRIER_AUTO)
        return true;
    return ways && ways->carrier == media->core.session &&
           now_us - ways->choice.packet_us >= SILENCE_US;
}

/* True once. */
static bool is_over(uint64_t *until_us, uint64_t now_us)
{
    bool over = *until_us != 0 && now_us >= *until_us;

    *until_us = over ? 0 : *until_us;
    return over;
}

static void make_anew(struct relay_media *media, uint64_t now_us)
{
    bool raw, port;

    if (!may_be_ended(media, now_us))
        return;
    raw = is_over(&media->not_raw_until_us, now_us);
    port = is_over(&media->port_until_us, now_us);
    if (!raw && !port)
        return;
    conn_close(media->core.conn,
               raw ? "raw segments are tried again" : "a local port of ours is tried again");
    if (media->worker)
        worker_wake(media->worker);
}

static void tick(struct relay_media *media, uint64_t now_us)
{
    const struct session *session = media->core.session;

    if (!session || session_state(session) != SESSION_UP)
        return;
    note_media(media, now_us);
    if (session_take(session) == SESSION_TAKE_DONE)
        media->raw_failures = 0;
    else
        make_anew(media, now_us);
}

void mediaconn_tick(struct relay_link *link, uint64_t now_us)
{
    for (unsigned m = 0; m < MEDIA_MAX; m++) {
        if (link->media[m].connector)
            tick(&link->media[m], now_us);
    }
}

void mediaconn_in_order(const struct relay_link *link, char *out, size_t size)
{
    out[0] = '\0';
    for (unsigned m = 0; m < MEDIA_MAX; m++) {
        if (link->media[m].core.session && link->media[m].port_until_us)
            snprintf(out, size, "segments are read in their order: %s; it is tried again", NO_PORT);
    }
}

void mediaconn_not_raw(const struct relay_media *media, char *out, size_t size)
{
    const struct session *session = media->core.session;

    out[0] = '\0';
    if (!session || session_take(session) == SESSION_TAKE_DONE)
        return;
    if (!conn_is_direct(media->core.conn))
        snprintf(out, size, "an HTTP proxy cannot be passed by raw segments");
    else if (media->port_until_us)
        snprintf(out, size, "%s; it is tried again", NO_PORT);
    else if (!media->core.may_raw && media->not_raw_until_us)
        snprintf(out, size, "%s; it is tried again",
                 media->not_raw_why[0] ? media->not_raw_why : "raw segments did not get through");
    else if (!media->core.may_raw)
        snprintf(out, size, "there is no raw socket here ([tunnel] raw-socket, CAP_NET_RAW)");
    else
        snprintf(out, size, "the dmz-relay has no raw socket ([tunnel] raw-socket, CAP_NET_RAW)");
}

/* ------------------------------------------------------------ life */

static struct session *on_media_secured(void *ctx, struct conn *conn, const char *name,
                                        const char **reason)
{
    struct relay_media *media = ctx;
    struct rawreader *reader = reader_of(media, conn);
    uint64_t now_us = clock_now_us();
    struct session *session;

    (void)name;
    media->core.may_raw = reader && now_us >= media->not_raw_until_us;
    session = inner_media_open(&media->core, core_link(media), now_us);
    media->core.conn = conn;
    conn_read_early(conn, reader);
    if (!session)
        *reason = "out of memory";
    return session;
}

static void on_media_drained(void *ctx)
{
    struct relay_media *media = ctx;
    struct inner *core = media->core.link->inner;

    core->out.flush(core->out.ctx);
    if (table_work_due(core->table))
        daemon_wake(media->link->daemon);
}

/* The hook of the core kicks the connection of control. */
static void flush_media_soon(const struct inner_link *link)
{
    for (unsigned m = 0; m < link->media_count; m++) {
        if (session_queued(link->media[m]->session) > 0)
            conn_flush_soon(link->media[m]->conn);
    }
}

static void on_media_closed(void *ctx, struct conn *conn, const char *reason)
{
    struct relay_media *media = ctx;

    note_failure(media, conn, reason);
    inner_media_closed(&media->core, clock_now_us());
    flush_media_soon(media->core.link);
    daemon_wake(media->link->daemon); /* what waited is to go on */
}

static const struct conn_hooks media_conn_hooks = {on_media_secured, on_media_drained,
                                                   on_media_closed};

void mediaconn_end(struct relay_media *media, const char *reason)
{
    connector_free(media->connector, reason);
    media->connector = NULL;
}

/* What the main thread wants of this one, outside of every callback of the connection. */
static void tend_media(struct relay_media *media)
{
    struct daemon *daemon = media->link->daemon;
    struct connector_settings settings = media->link->settings;

    if (media->connector && (!media->wanted || media->made_for != media->instance))
        mediaconn_end(media, "the connection that carries control has ended");
    if (!media->wanted || media->connector)
        return;
    settings.label = media->label;
    settings.ports = is_stream_of_pair(media) ? NULL : daemon->ports[thread_of(media)];
    media->made_for = media->instance;
    media->connector = connector_new(media->worker ? media->worker->loop : daemon->loop,
                                     daemon->tls, &settings, &media_conn_hooks, media);
    if (!media->connector)
        log_error("dmz %s: out of memory", media->label);
}

void mediaconn_woken(struct worker *worker)
{
    struct relay *relay = relay_at(worker->daemon);

    for (size_t i = 0; i < relay->core.link_count; i++) {
        for (unsigned m = 0; m < MEDIA_MAX; m++) {
            struct relay_media *media = &relay->links[i].media[m];

            if (media->worker == worker && media->link)
                tend_media(media);
        }
    }
}

void mediaconn_want(void *ctx, struct inner_link *link, unsigned count)
{
    struct relay_link *at = &relay_at(ctx)->links[link->number];

    for (unsigned m = 0; m < MEDIA_MAX; m++) {
        struct relay_media *media = &at->media[m];

        media->wanted = media->core.number <= count && (!media->core.carrier || link->paired);
        media->instance = link->instance;
        if (!media->wanted && !media->connector)
            continue;
        if (media->worker)
            worker_wake(media->worker);
        else
            tend_media(media);
    }
}

void mediaconn_prepare(struct relay_link *link)
{
    struct daemon *daemon = link->daemon;
    struct relay *relay = relay_at(daemon);
    unsigned threads = relay->core.worker_count;

    for (unsigned m = 0; m < MEDIA_MAX; m++) {
        struct relay_media *media = &link->media[m];
        unsigned at = m % WORKERS_MAX;
        struct inner *core = threads > 0 ? relay->core.workers[at % threads] : &relay->core;

        *media = (struct relay_media){.link = link};
        media->worker = threads > 0 ? workers_at(daemon->workers, at % threads) : NULL;
        media->core.link = &core->links[link->number];
        media->core.number = (uint8_t)(at + 1);
        media->core.carrier = m >= WORKERS_MAX;
        snprintf(media->label, sizeof(media->label), "%s, media connection %u%s",
                 media->core.link->name, at + 1, media->core.carrier ? " with sealed frames" : "");
    }
}

void mediaconn_reload(struct relay_media *media, const struct daemon *daemon)
{
    if (!media->connector)
        return;
    if (media->core.session)
        session_set_max_age(media->core.session, relay_at(daemon)->core.options.max_age_us);
    connector_set_context(media->connector, daemon->tls);
    connector_set_password(media->connector, media->link->password);
}
