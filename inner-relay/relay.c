/* The inner-relay as a daemon: its core between media sockets, tunnels and control socket. */
#define LOG_MODULE "inner"
#include "config.h"

#include "inner-relay/relay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"

enum { QUEUE_OCTETS = 1024 * 1024 };

static const struct inner_settings *settings_of(const struct daemon *daemon)
{
    return daemon->settings;
}

/* ------------------------------------------------------------ between core and sockets */

/* What a batch put into the queues of the links goes out together. */
static void flush(struct relay *relay)
{
    for (size_t i = 0; i < relay->core.link_count; i++) {
        if (relay->core.links[i].session && session_queued(relay->core.links[i].session) > 0)
            conn_flush(connector_conn(relay->links[i].connector));
    }
}

static void on_packets(void *ctx, unsigned listener, bool rtcp_port,
                       const struct udp_packet *packets, size_t count, uint64_t now_us)
{
    const struct daemon *daemon = ctx;
    struct relay *relay = relay_of(ctx);

    outbound_packets(&relay->core, listener, rtcp_port, packets, count, now_us);
    flush(relay);
    media_flush(daemon->media);
    if (table_work_due(relay->core.table))
        daemon_has_work(ctx);
}

static void on_sent(void *ctx, unsigned listener, bool rtcp_port, void *tag, int error)
{
    inbound_sent(&relay_of(ctx)->core, listener, rtcp_port, tag, error);
}

static void on_failed(void *ctx, bool rtcp_port, const struct addr *to, const uint8_t *data,
                      size_t length, uint64_t now_us)
{
    path_failed(relay_of(ctx)->core.table, SA_SIDE_INTERNAL, rtcp_port, to, data, length, now_us);
}

static const struct media_hooks media_hooks = {on_packets, on_sent, on_failed};

/* ------------------------------------------------------------ between core and tunnel */

static struct inner_link *core_link(const struct relay_link *link)
{
    return &relay_of(link->daemon)->core.links[link->number];
}

static struct session *on_secured(void *ctx, struct conn *conn, const char *name,
                                  const char **reason)
{
    struct session *session = inner_link_open(core_link(ctx), clock_wall_us(), clock_now_us());

    (void)conn;
    (void)name;
    if (!session)
        *reason = "out of memory";
    return session;
}

static void on_drained(void *ctx)
{
    struct relay_link *link = ctx;

    media_flush(link->daemon->media);
    if (table_work_due(relay_of(link->daemon)->core.table))
        daemon_has_work(link->daemon);
}

static void on_closed(void *ctx, struct conn *conn, const char *reason)
{
    (void)conn;
    (void)reason; /* the connector logs it */
    inner_link_closed(core_link(ctx), clock_now_us());
    daemon_has_work(((struct relay_link *)ctx)->daemon); /* its streams are to be closed */
}

static const struct conn_hooks conn_hooks = {on_secured, on_drained, on_closed};

static void kick(void *ctx, struct inner_link *link)
{
    struct connector *connector = relay_of(ctx)->links[link->number].connector;
    struct conn *conn = connector ? connector_conn(connector) : NULL;

    if (conn)
        conn_flush_soon(conn);
}

static void changed(void *ctx)
{
    if (relay_of(ctx)->statefile)
        statefile_changed(relay_of(ctx)->statefile);
}

static void deleted(void *ctx, uint64_t id)
{
    if (relay_of(ctx)->statefile)
        statefile_deleted(relay_of(ctx)->statefile, id);
}

/* ------------------------------------------------------------ steps */

static void fill_addresses(const struct daemon *daemon, struct inner *core)
{
    const struct inner_settings *settings = settings_of(daemon);

    daemon_fill_rules(&daemon->shared, &core->rules);
    settings_fill_peers(settings->peers, settings->peer_count, &core->peers);
    peers_fill_rules(&core->peers, &core->rules);
}

static void take_options(const struct inner_settings *settings, struct inner_options *options)
{
    options->max_age_us = settings->tunnel.max_age_us;
    options->sa_rate = settings->limits.sa_rate_kbit * 1000 / 8;
    options->media_timeout_s = (uint32_t)(settings->limits.media_timeout_us / 1000000);
    options->source_policy = inner_source_policy(&settings->learning);
    options->learns_ssrcs = settings->learning.ssrc == LEARNING_SSRC_LEARN;
}

static int start_calls(struct daemon *daemon, char *error, size_t error_size)
{
    struct relay *relay = relay_of(daemon);
    struct call_options options = inner_call_options(settings_of(daemon));

    relay->calls = calls_new(&relay->core, &options);
    if (relay->calls)
        relay->ng = ng_new(&relay->core, relay->calls, clock_now_us());
    if (relay->ng)
        return 0;
    snprintf(error, error_size, "no memory for [signalling] max-calls = %u", options.max_calls);
    return ERR_NOMEM;
}

static int start_core(struct daemon *daemon, char *error, size_t error_size)
{
    const struct inner_settings *settings = settings_of(daemon);
    struct inner_options options = {.engine = daemon->engine,
                                    .max_sas = settings->limits.max_sas,
                                    .queue_octets = QUEUE_OCTETS,
                                    .dmz_keys = settings->srtp.dmz_keys,
                                    .features = daemon_features(daemon),
                                    .engine_name =
                                        srtp_engine_name(srtp_engine_kind(daemon->engine)),
                                    .software = "media-relay " PACKAGE_VERSION};
    struct path_out out = daemon_path_out(daemon);
    struct inner_hooks hooks = {kick, changed, deleted, daemon};
    struct relay *relay;

    /* The settings were checked; but auto may have found no better engine. */
    if (options.dmz_keys == WIRE_REPLICA_VERIFY_ONLY && !(options.features & FEATURE_VERIFY_ONLY)) {
        snprintf(error, error_size,
                 "[srtp] dmz-keys = verify-only, but the engine here (%s) makes no authentication "
                 "keys; dmz-keys = full would be right",
                 options.engine_name);
        return ERR_UNSUPPORTED;
    }
    relay = calloc(1, sizeof(*relay));
    if (!relay) {
        snprintf(error, error_size, "out of memory");
        return ERR_NOMEM;
    }
    take_options(settings, &options);
    for (size_t i = 0; i < settings->dmz_count; i++)
        relay->names[i] = settings->dmzs[i].name;
    if (inner_init(&relay->core, &options, relay->names, &out, &hooks) < 0) {
        snprintf(error, error_size, "no memory for [limits] max-sas = %zu", options.max_sas);
        inner_fini(&relay->core);
        free(relay);
        return ERR_NOMEM;
    }
    daemon->state = relay;
    fill_addresses(daemon, &relay->core);
    relay->core.listener_count = settings->listener_count;
    for (size_t i = 0; i < settings->listener_count; i++)
        media_describe(&settings->listeners[i], &relay->core.listeners[i]);
    if (start_calls(daemon, error, error_size) < 0) {
        calls_free(relay->calls);
        inner_fini(&relay->core);
        free(relay);
        daemon->state = NULL;
        return ERR_NOMEM;
    }
    if (settings->state.file[0])
        relay->statefile = statefile_open(daemon->loop, &relay->core, settings->state.file,
                                          settings->state.max_age_us, settings->state.interval_us);
    calls_restore(relay->calls, clock_wall_us(), clock_now_us());
    return 0;
}

static void stop_core(struct daemon *daemon)
{
    statefile_close(relay_of(daemon)->statefile, !daemon->running);
    ng_free(relay_of(daemon)->ng);
    calls_free(relay_of(daemon)->calls);
    inner_fini(&relay_of(daemon)->core);
    free(daemon->state);
}

static char *on_ng(void *ctx, const struct ng_asker *asker, const char *request, size_t length,
                   size_t *reply_length)
{
    struct relay *relay = relay_of(ctx);
    char *reply =
        ng_answer(relay->ng, asker, request, length, clock_wall_us(), clock_now_us(), reply_length);

    if (table_work_due(relay->core.table))
        daemon_has_work(ctx);
    return reply;
}

static int start_ng(struct daemon *daemon, char *error, size_t error_size)
{
    const struct signalling_settings *settings = &settings_of(daemon)->signalling;
    struct ngsocket_hooks hooks = {on_ng, daemon};

    return ngsocket_open(&relay_of(daemon)->ngsocket, daemon->loop, &settings->ng,
                         &settings->ng_allow, &hooks, error, error_size);
}

static void stop_tunnel(struct daemon *daemon)
{
    struct relay *relay = relay_of(daemon);

    ngsocket_close(relay->ngsocket);
    relay->ngsocket = NULL;
    for (size_t i = 0; i < relay->core.link_count; i++) {
        connector_free(relay->links[i].connector, "the inner-relay stops");
        relay->links[i].connector = NULL;
    }
    relay_forwards_stop(daemon);
}

static int start_tunnel(struct daemon *daemon, char *error, size_t error_size)
{
    const struct inner_settings *settings = settings_of(daemon);
    struct relay *relay = relay_of(daemon);
    int result = relay_forwards_start(daemon, error, error_size);

    if (result < 0) {
        relay_forwards_stop(daemon);
        return result;
    }
    for (unsigned i = 0; i < settings->dmz_count; i++) {
        const struct dmz_peer_settings *dmz = &settings->dmzs[i];
        struct connector_settings connector = {.label = dmz->name,
                                               .host = dmz->address.host,
                                               .port = dmz->address.port,
                                               .name = dmz->certificate_name,
                                               .dscp = settings->tunnel.dscp};
        struct relay_link *link = &relay->links[i];

        *link = (struct relay_link){.daemon = daemon, .number = i};
        link->connector = connector_new(daemon->loop, daemon->tls, &connector, &conn_hooks, link);
        if (!link->connector) {
            stop_tunnel(daemon);
            snprintf(error, error_size, "no connector for [dmz %s] can be made", dmz->name);
            return ERR_NOMEM;
        }
    }
    if (start_ng(daemon, error, error_size) == 0)
        return 0;
    stop_tunnel(daemon);
    return ERR_SYSTEM;
}

static void reloaded(struct daemon *daemon)
{
    const struct inner_settings *settings = settings_of(daemon);
    struct relay *relay = relay_of(daemon);
    struct call_options calls = inner_call_options(settings);

    fill_addresses(daemon, &relay->core);
    take_options(settings, &relay->core.options);
    calls_set_options(relay->calls, &calls);
    ngsocket_set_allow(relay->ngsocket, &settings->signalling.ng_allow);
    if (relay->statefile)
        statefile_set_interval(relay->statefile, settings->state.interval_us);
    for (size_t i = 0; i < relay->core.link_count; i++) {
        if (relay->core.links[i].session)
            session_set_max_age(relay->core.links[i].session, settings->tunnel.max_age_us);
        connector_set_context(relay->links[i].connector, daemon->tls);
    }
}

static void tick(struct daemon *daemon, uint64_t now_us)
{
    inner_tick(&relay_of(daemon)->core);
    calls_tick(relay_of(daemon)->calls);
    ng_tick(relay_of(daemon)->ng, now_us);
}

static bool work(struct daemon *daemon, uint64_t now_us)
{
    return inner_work(&relay_of(daemon)->core, now_us) ||
           calls_work(relay_of(daemon)->calls, now_us);
}

static void share(const void *conf, struct daemon_shared *shared)
{
    const struct inner_settings *settings = conf;

    *shared = (struct daemon_shared){.listeners = settings->listeners,
                                     .listener_count = settings->listener_count,
                                     .tunnel = &settings->tunnel,
                                     .networks = &settings->networks,
                                     .control = &settings->control,
                                     .srtp = &settings->srtp.common,
                                     .log = &settings->log,
                                     .daemon = &settings->daemon};
}

const struct daemon_kind relay_kind = {
    .name = "inner-relay",
    .default_config = SYSCONFDIR "/media-relay/inner-relay.ini",
    .schema = &inner_schema,
    .role = TLS_CLIENT,
    .commands = relay_commands,
    .media_hooks = &media_hooks,
    .share = share,
    .start_core = start_core,
    .stop_core = stop_core,
    .start_tunnel = start_tunnel,
    .stop_tunnel = stop_tunnel,
    .reloaded = reloaded,
    .tick = tick,
    .work = work,
};
