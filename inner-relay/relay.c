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
#include "common/base/random.h"
#include "common/tunnel/localports.h"
#include "common/tunnel/rawreader.h"
#include "common/tunnel/tls.h"
#include "inner-relay/bypass.h"
#include "inner-relay/mediaconn.h"

enum { QUEUE_OCTETS = 1024 * 1024 };

static const struct inner_settings *settings_of(const struct daemon *daemon)
{
    return daemon->settings;
}

/* ------------------------------------------------------------ between core and sockets */

/* What a batch put into the queues of the links goes out together. */
static void flush_media(struct inner *core)
{
    for (size_t i = 0; i < core->link_count; i++) {
        struct inner_link *link = &core->links[i];

        for (unsigned m = link->media_count; m-- > 0;) {
            if (session_queued(link->media[m]->session) > 0)
                conn_flush(link->media[m]->conn);
        }
    }
}

static void flush(struct relay *relay)
{
    for (size_t i = 0; i < relay->core.link_count; i++) {
        if (relay->core.links[i].session && session_queued(relay->core.links[i].session) > 0)
            conn_flush(connector_conn(relay->links[i].connector));
    }
    flush_media(&relay->core);
    punchings_flush(relay->punchings);
    meets_flush(relay->meets);
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

/* Of a media thread. Others may do more when a batch is done. */
static void on_worker_packets(void *ctx, unsigned listener, bool rtcp_port,
                              const struct udp_packet *packets, size_t count, uint64_t now_us)
{
    struct worker *worker = ctx;
    struct inner *core = worker->state;

    outbound_packets(core, listener, rtcp_port, packets, count, now_us);
    flush_media(core);
    media_flush(worker->media);
    if (table_work_due(core->table))
        daemon_wake(worker->daemon);
    gate_yield(&worker->pass);
}

static void on_worker_sent(void *ctx, unsigned listener, bool rtcp_port, void *tag, int error)
{
    struct worker *worker = ctx;

    inbound_sent(worker->state, listener, rtcp_port, tag, error);
}

static void on_worker_failed(void *ctx, bool rtcp_port, const struct addr *to, const uint8_t *data,
                             size_t length, uint64_t now_us)
{
    const struct worker *worker = ctx;
    const struct inner *core = worker->state;

    path_failed(&core->path, rtcp_port, to, data, length, now_us);
}

static void on_worker_overflow(void *ctx, unsigned listener, bool rtcp_port, uint64_t count)
{
    struct worker *worker = ctx;
    struct inner *core = worker->state;

    verdict_overflow(&core->listeners[listener].counts[rtcp_port], count);
}

static const struct media_hooks worker_hooks = {on_worker_packets, on_worker_sent, on_worker_failed,
                                                on_worker_overflow};

static void on_sent(void *ctx, unsigned listener, bool rtcp_port, void *tag, int error)
{
    inbound_sent(&relay_of(ctx)->core, listener, rtcp_port, tag, error);
}

static void on_failed(void *ctx, bool rtcp_port, const struct addr *to, const uint8_t *data,
                      size_t length, uint64_t now_us)
{
    path_failed(&relay_of(ctx)->core.path, rtcp_port, to, data, length, now_us);
}

static void on_overflow(void *ctx, unsigned listener, bool rtcp_port, uint64_t count)
{
    verdict_overflow(&relay_of(ctx)->core.listeners[listener].counts[rtcp_port], count);
}

static const struct media_hooks media_hooks = {on_packets, on_sent, on_failed, on_overflow};

/* ------------------------------------------------------------ between core and tunnel */

static struct inner_link *core_link(const struct relay_link *link)
{
    return &relay_of(link->daemon)->core.links[link->number];
}

static struct session *on_secured(void *ctx, struct conn *conn, const char *name,
                                  const char **reason)
{
    struct session *session = inner_link_open(core_link(ctx), clock_wall_us(), clock_now_us());

    (void)name;
    core_link(ctx)->proxied = conn_way(conn) != HTTPPROXY_DIRECT;
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

static void wake(void *ctx)
{
    daemon_wake(ctx);
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

static void kick_worker(void *ctx, struct inner_link *link)
{
    (void)ctx;
    for (unsigned m = 0; m < link->media_count; m++)
        conn_flush_soon(link->media[m]->conn);
}

static void wake_worker(void *ctx)
{
    worker_wake(ctx);
}

static int start_worker(struct worker *worker, char *error, size_t error_size)
{
    struct inner_hooks hooks = {.kick = kick_worker, .wake = wake_worker, .ctx = worker};
    struct path_out out = worker_path_out(worker);
    struct inner *core = malloc(sizeof(*core));

    if (!core) {
        snprintf(error, error_size, "out of memory");
        return ERR_NOMEM;
    }
    inner_worker_init(core, &relay_of(worker->daemon)->core, &out, &hooks, &worker->pass);
    worker->state = core;
    return 0;
}

static void stop_worker(struct worker *worker)
{
    free(worker->state);
}

static void gather(struct daemon *daemon)
{
    inner_gather(&relay_of(daemon)->core);
}

/* Clients inside may send RTP' (DESIGN section 3, FIG. 8). */
static const struct peers *peers_of(const struct daemon *daemon, bool *others)
{
    *others = true;
    return &relay_of(daemon)->core.peers;
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

/* Both ends of sessions with a site; the caller's. NULLs with an error that names the section. */
static int make_contexts(const struct inner_settings *settings, const struct site_settings *site,
                         struct tls_context *context[2], char *error, size_t error_size)
{
    static const enum tls_role roles[] = {TLS_SITE_CLIENT, TLS_SITE_SERVER};
    const char *crl = settings->tunnel.crl[0] && !site->ca[0] ? settings->tunnel.crl : NULL;
    struct tls_files files = {.certificate = settings->tunnel.certificate,
                              .key = settings->tunnel.key,
                              .ca = site->ca[0] ? site->ca : settings->tunnel.ca,
                              .crl = crl};
    char why[256] = "";
    int result = 0;

    context[0] = context[1] = NULL;
    for (int i = 0; i < 2 && result == 0; i++)
        result = tls_context_new(&context[i], roles[i], &files, why, sizeof(why));
    if (result == 0)
        return 0;
    tls_context_free(context[0]);
    context[0] = context[1] = NULL;
    snprintf(error, error_size, "[site %s] %s", site->name, why);
    return result;
}

/* A site whose files have become bad since they were checked stays away. */
static void configure_sites(struct daemon *daemon)
{
    const struct inner_settings *settings = settings_of(daemon);
    struct sites_conf conf[INNER_SITES_MAX];
    char error[512];
    size_t count = 0;

    for (size_t i = 0; i < settings->site_count; i++) {
        const struct site_settings *site = &settings->sites[i];

        if (!inner_find_link(&relay_of(daemon)->core, site->dmz)) {
            log_error("[site %s] dmz: [dmz %s] comes with a restart only", site->name, site->dmz);
            continue;
        }
        conf[count] = (struct sites_conf){
            .name = site->name, .dmz = site->dmz, .refuse = site->refuse, .ring_us = site->ring_us};
        if (make_contexts(settings, site, conf[count].context, error, sizeof(error)) < 0)
            log_error("%s", error);
        else
            count++;
    }
    if (sites_configure(relay_of(daemon)->sites, conf, count, clock_now_us()) < 0)
        log_error("no memory for all [site NAME]");
}

/* Whose media may pass the dmz-relay by. */
static void count_media(struct relay *relay, uint64_t now_us)
{
    for (size_t i = 0; i < sites_count(relay->sites); i++) {
        struct site *site = sites_at(relay->sites, i);
        bool wanted = sitemedia_count(relay->sitemedia, site) > 0;
        int number = wanted
                         ? bypass_site(relay->core.bypass, site_name(site), site_link(site)->number)
                         : bypass_find(relay->core.bypass, site_name(site));

        if (number >= 0)
            bypass_want(relay->core.bypass, (unsigned)number, wanted, now_us);
    }
}

static void on_known(void *ctx, struct sa *sa, struct site *site, uint32_t label)
{
    struct relay *relay = ctx;
    int number = -1;

    if (site)
        number = bypass_site(relay->core.bypass, site_name(site), site_link(site)->number);
    (void)bypass_bind(sa, number, label);
}

static void on_site_gone(void *ctx, struct site *site)
{
    struct relay *relay = ctx;
    int number = bypass_find(relay->core.bypass, site_name(site));

    if (number >= 0)
        bypass_forget(relay->core.bypass, (unsigned)number, clock_now_us());
}

/* Keys for probes: number 0 is no meeting's. */
static void on_session_up(void *ctx, struct site *site, enum sites_side side, uint64_t now_us)
{
    struct bypass *bypass = ((struct relay *)ctx)->core.bypass;
    int number = bypass_site(bypass, site_name(site), site_link(site)->number);
    uint8_t secret[2][SITE_SECRET_OCTETS];

    if (number >= 0 && site_export(site, side, SITE_USE_MEETING, 0, secret[0]) &&
        site_export(site, side, SITE_USE_MEETING + 1, 0, secret[1]))
        bypass_key(bypass, (unsigned)number, side == SITES_OURS, secret, now_us);
    wipe(secret, sizeof(secret));
}

static void on_session_down(void *ctx, struct site *site, enum sites_side side, const char *why)
{
    struct bypass *bypass = ((struct relay *)ctx)->core.bypass;
    int number = bypass_find(bypass, site_name(site));

    (void)why;
    if (number >= 0)
        bypass_key(bypass, (unsigned)number, side == SITES_OURS, NULL, clock_now_us());
}

static const struct sites_hooks bypass_hooks = {
    .up = on_session_up, .down = on_session_down, .gone = on_site_gone};

static int start_sites(struct daemon *daemon, char *error, size_t error_size)
{
    struct relay *relay = relay_of(daemon);

    relay->sites = sites_new(&relay->core);
    if (relay->sites) {
        relay->sitecalls = sitecalls_new(relay->sites, relay->calls);
        relay->sitemedia = sitemedia_new(&relay->core, relay->sites);
        relay->punchings = punchings_new(daemon);
        relay->meets = meets_new(daemon);
    }
    if (!relay->sitecalls || !relay->sitemedia || !relay->punchings || !relay->meets) {
        meets_free(relay->meets);
        punchings_free(relay->punchings);
        sites_free(relay->sites);
        sitecalls_free(relay->sitecalls);
        sitemedia_free(relay->sitemedia);
        snprintf(error, error_size, "out of memory");
        return ERR_NOMEM;
    }
    sitemedia_set_hook(relay->sitemedia, on_known, relay);
    sites_add_hooks(relay->sites, &bypass_hooks, relay);
    configure_sites(daemon);
    return 0;
}

static int start_core(struct daemon *daemon, char *error, size_t error_size)
{
    const struct inner_settings *settings = settings_of(daemon);
    struct inner_options options = {.engine = daemon->engine,
                                    .max_sas = settings->limits.max_sas,
                                    .queue_octets = QUEUE_OCTETS,
                                    .dmz_keys = settings->srtp.dmz_keys,
                                    .features = daemon_features(daemon),
                                    .seals = daemon->seals,
                                    .early = daemon->readers[0] != NULL,
                                    .engine_name =
                                        srtp_engine_name(srtp_engine_kind(daemon->engine)),
                                    .software = "media-relay " PACKAGE_VERSION};
    struct path_out out = daemon_path_out(daemon);
    struct inner_hooks hooks = {kick, changed, deleted, wake, mediaconn_want, daemon};
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
    for (size_t i = 0; inner_peer_at(settings, i); i++)
        relay->names[i] = inner_peer_at(settings, i)->name;
    if (inner_init(&relay->core, &options, relay->names, &out, &hooks) < 0) {
        snprintf(error, error_size, "no memory for [limits] max-sas = %zu", options.max_sas);
        inner_fini(&relay->core);
        free(relay);
        return ERR_NOMEM;
    }
    daemon->state = relay;
    for (size_t i = 0; i < relay->core.link_count; i++) {
        relay->core.links[i].carrier = inner_peer_at(settings, i)->carrier;
        relay->core.links[i].forwarder = i >= settings->dmz_count;
    }
    fill_addresses(daemon, &relay->core);
    relay->core.listener_count = settings->listener_count;
    for (size_t i = 0; i < settings->listener_count; i++)
        media_describe(&settings->listeners[i], &relay->core.listeners[i]);
    if (!bypass_new(&relay->core) || start_calls(daemon, error, error_size) < 0 ||
        start_sites(daemon, error, error_size) < 0) {
        ng_free(relay->ng);
        calls_free(relay->calls);
        bypass_free(relay->core.bypass);
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
    meets_free(relay_of(daemon)->meets);
    punchings_free(relay_of(daemon)->punchings);
    sites_free(relay_of(daemon)->sites);
    sitecalls_free(relay_of(daemon)->sitecalls);
    sitemedia_free(relay_of(daemon)->sitemedia);
    calls_free(relay_of(daemon)->calls);
    bypass_free(relay_of(daemon)->core.bypass);
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
    ev_timer_stop(daemon->loop, &relay->bypass_timer);
    meets_stop(relay->meets);
    punchings_stop(relay->punchings);
    for (size_t i = 0; i < relay->core.link_count; i++) {
        /* Control first: then what waits in the others is not handed on from one to the next. */
        connector_free(relay->links[i].connector, "the inner-relay stops");
        relay->links[i].connector = NULL;
        for (unsigned m = 0; m < MEDIA_MAX; m++)
            mediaconn_end(&relay->links[i].media[m], "the inner-relay stops");
        wipe(relay->links[i].password, sizeof(relay->links[i].password));
    }
    inner_adopt(&relay->core);
    relay_forwards_stop(daemon);
}

/*
 * Other sites connect to the local port of control (punching.h), and what comes on those
 * connections is read early where it is one that the raw socket sees.
 */
static struct localports *control_ports(const struct daemon *daemon)
{
    const struct inner_settings *settings = settings_of(daemon);

    for (size_t i = 0; !daemon->workers && i < settings->site_count; i++) {
        if (settings->sites[i].direct_to.count > 0)
            return daemon->ports[0];
    }
    return NULL;
}

static int start_link(struct daemon *daemon, unsigned number, char *error, size_t error_size)
{
    const struct dmz_peer_settings *dmz = inner_peer_at(settings_of(daemon), number);
    struct relay_link *link = &relay_of(daemon)->links[number];
    int result;

    *link = (struct relay_link){.daemon = daemon, .number = number, .proxy = inner_proxy(dmz)};
    link->settings = (struct connector_settings){.label = dmz->name,
                                                 .host = dmz->address.host,
                                                 .port = dmz->address.port,
                                                 .name = dmz->certificate_name,
                                                 .dscp = settings_of(daemon)->tunnel.dscp,
                                                 .proxy = &link->proxy,
                                                 .password = link->password,
                                                 .ports = control_ports(daemon)};
    result = inner_password(settings_of(daemon), dmz, link->password, error, error_size);
    if (result < 0)
        return result;
    mediaconn_prepare(link);
    link->connector = connector_new(daemon->loop, daemon->tls, &link->settings, &conn_hooks, link);
    if (link->connector)
        return 0;
    snprintf(error, error_size, "no connector for [%s %s] can be made",
             inner_peer_kind(settings_of(daemon), dmz), dmz->name);
    return ERR_NOMEM;
}

static int open_raw(struct daemon *daemon, unsigned thread, char *error, size_t error_size)
{
    const struct inner_settings *settings = settings_of(daemon);
    bool wanted = false;
    int result;

    for (size_t i = 0; inner_peer_at(settings, i); i++)
        wanted = wanted || inner_peer_at(settings, i)->carrier != CARRIER_STREAM;
    for (size_t i = 0; i < settings->site_count; i++)
        wanted =
            wanted || settings->sites[i].allow_spoofing || settings->sites[i].direct_to.count > 0;
    if (!wanted)
        return 0;
    result = localports_new(&daemon->ports[thread], error, error_size);
    if (result < 0)
        return result;
    return rawreader_new(&daemon->readers[thread], localports_list(daemon->ports[thread]),
                         LOCALPORTS, error, error_size);
}

/* What it sends goes out at once. */
static void tend_bypass(struct daemon *daemon)
{
    struct relay *relay = relay_of(daemon);
    uint64_t now_us = clock_now_us(), next_us = bypass_tick(relay->core.bypass, now_us);

    ev_timer_stop(daemon->loop, &relay->bypass_timer);
    flush(relay);
    if (next_us == UINT64_MAX)
        return;
    ev_timer_set(&relay->bypass_timer, (double)(next_us - now_us) / 1e6, 0);
    ev_timer_start(daemon->loop, &relay->bypass_timer);
}

static void on_bypass_timer(struct ev_loop *loop, struct ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    tend_bypass(timer->data);
}

static int start_tunnel(struct daemon *daemon, char *error, size_t error_size)
{
    const struct inner_settings *settings = settings_of(daemon);
    int result = relay_forwards_start(daemon, error, error_size);

    ev_timer_init(&relay_of(daemon)->bypass_timer, on_bypass_timer, 0, 0);
    relay_of(daemon)->bypass_timer.data = daemon;

    if (result < 0) {
        relay_forwards_stop(daemon);
        return result;
    }
    for (unsigned i = 0; result == 0 && inner_peer_at(settings, i); i++)
        result = start_link(daemon, i, error, error_size);
    if (result == 0 && start_ng(daemon, error, error_size) < 0)
        result = ERR_SYSTEM;
    if (result < 0)
        stop_tunnel(daemon);
    return result;
}

/* check_files() has said that it can be read. */
static void reload_password(struct relay_link *link, const struct inner_settings *settings)
{
    const struct dmz_peer_settings *dmz = inner_peer_at(settings, link->number);
    char password[HTTPAUTH_TEXT_SIZE], error[256];

    if (inner_password(settings, dmz, password, error, sizeof(error)) == 0) {
        memcpy(link->password, password, sizeof(password));
        connector_set_password(link->connector, password);
    }
    wipe(password, sizeof(password));
}

static void reloaded(struct daemon *daemon)
{
    const struct inner_settings *settings = settings_of(daemon);
    struct relay *relay = relay_of(daemon);
    struct call_options calls = inner_call_options(settings);

    fill_addresses(daemon, &relay->core);
    take_options(settings, &relay->core.options);
    calls_set_options(relay->calls, &calls);
    configure_sites(daemon);
    punchings_reloaded(relay->punchings);
    ngsocket_set_allow(relay->ngsocket, &settings->signalling.ng_allow);
    if (relay->statefile)
        statefile_set_interval(relay->statefile, settings->state.interval_us);
    for (size_t i = 0; i < relay->core.link_count; i++) {
        if (relay->core.links[i].session)
            session_set_max_age(relay->core.links[i].session, settings->tunnel.max_age_us);
        connector_set_context(relay->links[i].connector, daemon->tls);
        reload_password(&relay->links[i], settings);
        for (unsigned m = 0; m < MEDIA_MAX; m++)
            mediaconn_reload(&relay->links[i].media[m], daemon);
    }
}

static void tick(struct daemon *daemon, uint64_t now_us)
{
    for (unsigned i = 0; i < relay_of(daemon)->core.link_count; i++)
        mediaconn_tick(&relay_of(daemon)->links[i], now_us);
    inner_tick(&relay_of(daemon)->core);
    count_media(relay_of(daemon), now_us);
    if (!ev_is_active(&relay_of(daemon)->bypass_timer))
        tend_bypass(daemon);
    calls_tick(relay_of(daemon)->calls);
    sitecalls_tick(relay_of(daemon)->sitecalls, clock_wall_us(), now_us);
    punchings_tick(relay_of(daemon)->punchings, now_us);
    meets_tick(relay_of(daemon)->meets, now_us);
    sites_tick(relay_of(daemon)->sites, now_us);
    sitemedia_tick(relay_of(daemon)->sitemedia);
    ng_tick(relay_of(daemon)->ng, now_us);
}

static bool work(struct daemon *daemon, uint64_t now_us)
{
    return inner_work(&relay_of(daemon)->core, now_us) ||
           calls_work(relay_of(daemon)->calls, now_us) ||
           sitemedia_work(relay_of(daemon)->sitemedia, now_us) ||
           ng_work(relay_of(daemon)->ng, now_us);
}

static int check_files(const void *conf, char *error, size_t error_size)
{
    const struct inner_settings *settings = conf;
    char password[HTTPAUTH_TEXT_SIZE];
    int result = 0;

    for (size_t i = 0; result == 0 && inner_peer_at(settings, i); i++)
        result = inner_password(settings, inner_peer_at(settings, i), password, error, error_size);
    wipe(password, sizeof(password));
    for (size_t i = 0; result == 0 && i < settings->site_count; i++) {
        struct tls_context *context[2];

        result = make_contexts(settings, &settings->sites[i], context, error, error_size);
        tls_context_free(context[0]);
        tls_context_free(context[1]);
    }
    return result;
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
    .worker_hooks = &worker_hooks,
    .check_files = check_files,
    .warning = inner_warning,
    .share = share,
    .start_core = start_core,
    .stop_core = stop_core,
    .start_worker = start_worker,
    .woken = mediaconn_woken,
    .stop_worker = stop_worker,
    .gather = gather,
    .peers = peers_of,
    .open_raw = open_raw,
    .start_tunnel = start_tunnel,
    .stop_tunnel = stop_tunnel,
    .reloaded = reloaded,
    .tick = tick,
    .work = work,
};
