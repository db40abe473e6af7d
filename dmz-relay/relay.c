/* The dmz-relay as a daemon: its core between media sockets, tunnel port and control socket. */
#define LOG_MODULE "dmz"
#include "config.h"

#include "dmz-relay/relay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/daemon/activation.h"
#include "common/sa/table.h"
#include "common/tunnel/rawreader.h"
#include "dmz-relay/places.h"

enum { QUEUE_OCTETS = 1024 * 1024 };

static const struct dmz_settings *settings_of(const struct daemon *daemon)
{
    return daemon->settings;
}

/* ------------------------------------------------------------ between core and sockets */

/* What a batch put into the queues of the sites goes out together. */
static void flush(struct dmz *core)
{
    for (size_t i = 0; i < core->site_count; i++) {
        struct dmz_site *site = &core->sites[i];

        if (site->link && session_queued(site->link->session) > 0)
            conn_flush(site->link->conn);
        for (unsigned m = site->media_count; m-- > 0;) {
            if (session_queued(site->media[m]->session) > 0)
                conn_flush(site->media[m]->conn);
        }
    }
}

/* One site's packets may have gone into another one's queue. */
static void flush_soon(struct dmz *core)
{
    for (size_t i = 0; i < core->site_count; i++) {
        struct dmz_site *site = &core->sites[i];

        if (site->link && session_queued(site->link->session) > 0)
            conn_flush_soon(site->link->conn);
        for (unsigned m = 0; m < site->media_count; m++) {
            if (session_queued(site->media[m]->session) > 0)
                conn_flush_soon(site->media[m]->conn);
        }
    }
}

static void on_packets(void *ctx, unsigned listener, bool rtcp_port,
                       const struct udp_packet *packets, size_t count, uint64_t now_us)
{
    const struct daemon *daemon = ctx;
    struct relay *relay = relay_of(ctx);

    inbound_packets(&relay->core, listener, rtcp_port, packets, count, now_us);
    flush(&relay->core);
    media_flush(daemon->media);
    if (dmz_has_work(&relay->core))
        daemon_has_work(ctx);
}

/* Of a media thread. Others may do more when a batch is done. */
static void on_worker_packets(void *ctx, unsigned listener, bool rtcp_port,
                              const struct udp_packet *packets, size_t count, uint64_t now_us)
{
    struct worker *worker = ctx;
    struct dmz *core = worker->state;

    inbound_packets(core, listener, rtcp_port, packets, count, now_us);
    flush(core);
    media_flush(worker->media);
    if (table_work_due(core->table))
        daemon_wake(worker->daemon);
    gate_yield(&worker->pass);
}

static void on_worker_sent(void *ctx, unsigned listener, bool rtcp_port, void *tag, int error)
{
    struct worker *worker = ctx;

    outbound_sent(worker->state, listener, rtcp_port, tag, error);
}

static void on_worker_failed(void *ctx, bool rtcp_port, const struct addr *to, const uint8_t *data,
                             size_t length, uint64_t now_us)
{
    const struct worker *worker = ctx;
    const struct dmz *core = worker->state;

    path_failed(&core->path, rtcp_port, to, data, length, now_us);
}

static void on_worker_overflow(void *ctx, unsigned listener, bool rtcp_port, uint64_t count)
{
    struct worker *worker = ctx;
    struct dmz *core = worker->state;

    verdict_overflow(&core->listeners[listener].counts[rtcp_port], count);
}

static const struct media_hooks worker_hooks = {on_worker_packets, on_worker_sent, on_worker_failed,
                                                on_worker_overflow};

static void on_sent(void *ctx, unsigned listener, bool rtcp_port, void *tag, int error)
{
    outbound_sent(&relay_of(ctx)->core, listener, rtcp_port, tag, error);
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

static struct session *on_secured(void *ctx, struct conn *conn, const char *name,
                                  const char **reason)
{
    struct dmz_link *link = dmz_link_new(&relay_of(ctx)->core, name, clock_now_us());

    if (!link) {
        *reason = "out of memory";
        return NULL;
    }
    link->conn = conn;
    session_set_raw(link->session, ((struct daemon *)ctx)->readers[0] && conn_is_direct(conn));
    return link->session;
}

static struct dmz_link *link_of(struct relay *relay, const struct conn *conn)
{
    for (size_t i = 0; i < relay->core.site_count; i++) {
        if (relay->core.sites[i].link && relay->core.sites[i].link->conn == conn)
            return relay->core.sites[i].link;
    }
    return NULL;
}

static void on_closed(void *ctx, struct conn *conn, const char *reason)
{
    struct relay *relay = relay_of(ctx);
    struct dmz_link *link = link_of(relay, conn);
    char text[ADDR_TEXT_SIZE];

    if (link) {
        dmz_link_closed(link, reason, clock_now_us());
        daemon_has_work(ctx); /* its streams are to be closed */
    } else {
        log_warning("connection from %s refused: %s",
                    addr_format(conn_peer(conn), text, sizeof(text)), reason);
    }
}

static void close_link(void *ctx, struct dmz_link *link, const char *reason)
{
    (void)ctx;
    conn_close(link->conn, reason);
}

static void kick(void *ctx, struct dmz_link *link)
{
    (void)ctx;
    conn_flush_soon(link->conn);
}

static void wake(void *ctx)
{
    daemon_wake(ctx);
}

static void on_drained(void *ctx)
{
    struct daemon *daemon = ctx;

    media_flush(daemon->media);
    flush_soon(&relay_of(daemon)->core);
    if (dmz_has_work(&relay_of(daemon)->core))
        daemon_has_work(daemon);
}

static const struct conn_hooks conn_hooks = {on_secured, on_drained, on_closed};

/* ------------------------------------------------------------ connections that carry media alone
 */

/* The thread that has the core: NULL, the main one. */
static struct worker *worker_of(const struct dmz *core)
{
    return core->main ? core->hooks.ctx : NULL;
}

static void on_media_drained(void *ctx)
{
    struct dmz_link *link = ctx;
    struct dmz *core = link->dmz;
    struct worker *worker = worker_of(core);

    core->out.flush(core->out.ctx);
    flush_soon(core);
    if (table_work_due(core->table))
        daemon_wake(worker ? worker->daemon : core->hooks.ctx);
}

static void on_media_closed(void *ctx, struct conn *conn, const char *reason)
{
    struct dmz_link *link = ctx;
    const struct worker *worker = worker_of(link->dmz);

    (void)conn;
    log_info("site %s, media connection %u: %s", link->dmz->sites[link->site].name, link->media,
             reason);
    dmz_media_closed(link, clock_now_us());
    daemon_wake(worker ? worker->daemon : link->dmz->hooks.ctx); /* what waited is to go on */
}

static const struct conn_hooks media_conn_hooks = {NULL, on_media_drained, on_media_closed};

static void move_link(void *ctx, struct dmz_link *link)
{
    struct daemon *daemon = ctx;
    struct worker *worker = worker_of(link->dmz);

    acceptor_release(relay_of(daemon)->acceptor, link->conn);
    conn_move(link->conn, worker ? worker->loop : daemon->loop, &media_conn_hooks, link);
    conn_read_early(link->conn, daemon->readers[worker ? worker->number : 0]);
    if (worker)
        worker_wake(worker);
    log_info("site %s, media connection %u: up", link->dmz->sites[link->site].name, link->media);
}

/* ------------------------------------------------------------ where sites meet */

static void take_meeting(void *ctx, struct dmz_link *link, uint64_t number)
{
    struct relay *relay = relay_of(ctx);

    acceptor_release(relay->acceptor, link->conn);
    meets_take(relay->meets, link->site, number, link->conn);
}

static int meeting_frame(void *ctx, unsigned site, struct reader *body)
{
    return meets_frame(relay_of(ctx)->meets, site, body);
}

static void meeting_down(void *ctx, unsigned site)
{
    meets_down(relay_of(ctx)->meets, site);
}

static bool may_meet(void *ctx, unsigned site, unsigned other)
{
    return exchange_may_meet(relay_of(ctx)->core.exchange, site, other);
}

static const char *meeting_name(void *ctx, unsigned site)
{
    return relay_of(ctx)->core.sites[site].name;
}

static void tell_meeting(void *ctx, unsigned site, uint8_t type, const uint8_t *body, size_t length)
{
    const struct dmz_link *link = relay_of(ctx)->core.sites[site].link;

    if (!link)
        return;
    session_control(link->session, type, body, length);
    conn_flush_soon(link->conn);
}

static bool place_of(void *ctx, unsigned site, struct addr *addr)
{
    const struct dmz_link *link = relay_of(ctx)->core.sites[site].link;

    if (!link || !conn_is_direct(link->conn))
        return false;
    *addr = *conn_peer(link->conn);
    return true;
}

static int start_places(struct daemon *daemon, char *error, size_t error_size)
{
    struct places_hooks hooks = {may_meet, meeting_name, place_of, tell_meeting, daemon};
    struct relay *relay = relay_of(daemon);

    relay->core.places = places_new((unsigned)relay->core.site_count, &hooks);
    if (relay->core.places)
        return 0;
    snprintf(error, error_size, "out of memory");
    return ERR_NOMEM;
}

static void stop_places(struct daemon *daemon)
{
    struct relay *relay = relay_of(daemon);

    places_free(relay->core.places);
    relay->core.places = NULL;
}

/* Only where this thread reads segments. */
static int start_meetings(struct daemon *daemon, char *error, size_t error_size)
{
    struct meets_hooks hooks = {may_meet, meeting_name, tell_meeting, daemon};
    struct relay *relay = relay_of(daemon);

    if (daemon->workers || !daemon->readers[0] || !daemon->seals)
        return 0;
    relay->meets = meets_new(daemon->loop, daemon->readers[0], daemon->seals,
                             (unsigned)relay->core.site_count, &hooks);
    if (!relay->meets) {
        snprintf(error, error_size, "out of memory");
        return ERR_NOMEM;
    }
    relay->core.meetings = (struct dmz_meetings){take_meeting, meeting_frame, meeting_down, daemon};
    return 0;
}

static void stop_meetings(struct daemon *daemon)
{
    struct relay *relay = relay_of(daemon);

    relay->core.meetings = (struct dmz_meetings){.take = NULL};
    meets_free(relay->meets);
    relay->meets = NULL;
}

static void set_max_age(struct dmz_link *link, void *ctx)
{
    const struct daemon *daemon = ctx;

    session_set_max_age(link->session, relay_of(daemon)->core.options.max_age_us);
    conn_recheck(link->conn, daemon->tls);
}

static void stop_link(struct dmz_link *link, void *ctx)
{
    conn_close(link->conn, ctx);
}

/* ------------------------------------------------------------ steps */

/* Two sites meet at our own addresses: what one sends there comes in as from a peer. */
static void add_own(const struct listener_settings *listener, struct peers *peers)
{
    const struct addr *own[] = {&listener->address, &listener->advertise};

    for (size_t i = 0; i < 2; i++) {
        struct addr rtp = *own[i];

        rtp.port = (uint16_t)listener->rtp_port;
        if (addr_kind(&rtp) != ADDR_UNSPECIFIED)
            (void)peers_add(peers, PEERS_SELF, &rtp);
    }
}

static void fill_addresses(const struct daemon *daemon, struct dmz *core)
{
    const struct dmz_settings *settings = settings_of(daemon);

    daemon_fill_rules(&daemon->shared, &core->rules);
    settings_fill_peers(settings->peers, settings->peer_count, &core->peers);
    for (size_t i = 0; i < settings->listener_count; i++)
        add_own(&settings->listeners[i], &core->peers);
    peers_fill_rules(&core->peers, &core->rules);
}

static void fill_policy(const struct dmz_settings *settings, struct dmz *core)
{
    for (unsigned i = 0; i < core->site_count; i++)
        exchange_set_policy(core->exchange, i, dmz_callers(settings, i));
    passes_review(&core->passes);
}

static int start_core(struct daemon *daemon, char *error, size_t error_size)
{
    const struct dmz_settings *settings = settings_of(daemon);
    struct dmz_options options = {.engine = daemon->engine,
                                  .max_sas = settings->limits.max_sas,
                                  .site_quota = settings->limits.site_quota,
                                  .max_age_us = settings->tunnel.common.max_age_us,
                                  .stale_hold_us = settings->tunnel.stale_hold_us,
                                  .queue_octets = QUEUE_OCTETS,
                                  .features = daemon_features(daemon),
                                  .seals = daemon->seals,
                                  .early = daemon->readers[0] != NULL,
                                  .engine_name = srtp_engine_name(srtp_engine_kind(daemon->engine)),
                                  .software = "media-relay " PACKAGE_VERSION};
    struct path_out out = daemon_path_out(daemon);
    struct dmz_hooks hooks = {close_link, kick, wake, move_link, daemon};
    struct relay *relay = calloc(1, sizeof(*relay));

    if (!relay) {
        snprintf(error, error_size, "out of memory");
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < settings->tunnel.sites.count && i < DMZ_SITES_MAX; i++)
        relay->names[i] = settings->tunnel.sites.name[i];
    if (dmz_init(&relay->core, &options, relay->names, &out, &hooks) < 0) {
        snprintf(error, error_size, "no memory for [limits] max-sas = %zu", options.max_sas);
        dmz_fini(&relay->core);
        free(relay);
        return ERR_NOMEM;
    }
    daemon->state = relay;
    fill_addresses(daemon, &relay->core);
    fill_policy(settings, &relay->core);
    relay->core.listener_count = settings->listener_count;
    for (size_t i = 0; i < settings->listener_count; i++)
        media_describe(&settings->listeners[i], &relay->core.listeners[i]);
    return 0;
}

static void stop_core(struct daemon *daemon)
{
    dmz_fini(&relay_of(daemon)->core);
    free(daemon->state);
}

static void kick_worker(void *ctx, struct dmz_link *link)
{
    (void)ctx;
    conn_flush_soon(link->conn);
}

static void wake_worker(void *ctx)
{
    worker_wake(ctx);
}

static int start_worker(struct worker *worker, char *error, size_t error_size)
{
    struct dmz_hooks hooks = {close_link, kick_worker, wake_worker, NULL, worker};
    struct path_out out = worker_path_out(worker);
    struct dmz *core = malloc(sizeof(*core));

    if (!core) {
        snprintf(error, error_size, "out of memory");
        return ERR_NOMEM;
    }
    dmz_worker_init(core, &relay_of(worker->daemon)->core, &out, &hooks, &worker->pass);
    worker->state = core;
    return 0;
}

static void stop_worker(struct worker *worker)
{
    free(worker->state);
}

static void gather(struct daemon *daemon)
{
    dmz_gather(&relay_of(daemon)->core);
}

static const struct peers *peers_of(const struct daemon *daemon, bool *others)
{
    *others = false;
    return &relay_of(daemon)->core.peers;
}

static int start_acceptor(struct daemon *daemon, char *error, size_t error_size)
{
    const struct dmz_settings *settings = settings_of(daemon);
    struct relay *relay = relay_of(daemon);
    struct acceptor_settings acceptor = {.listen = settings->tunnel.listen,
                                         .names = relay->names,
                                         .dscp = settings->tunnel.common.dscp,
                                         .max_handshakes = settings->tunnel.max_handshakes};
    int fd, result = activation_take(getenv("LISTEN_PID"), getenv("LISTEN_FDS"), ACTIVATION_FIRST,
                                     &acceptor.listen, &fd, error, error_size);

    if (result < 0)
        return result;
    acceptor.handed_over = fd > 0 ? fd : 0;
    return acceptor_new(&relay->acceptor, daemon->loop, daemon->tls, &acceptor, &conn_hooks, daemon,
                        error, error_size);
}

/*
 * Everything that sites send comes to one port, and who comes from where nobody knows before: each
 * thread sees what is for the others, too.
 */
static int open_raw(struct daemon *daemon, unsigned thread, char *error, size_t error_size)
{
    return rawreader_new(&daemon->readers[thread], &settings_of(daemon)->tunnel.listen.port, 1,
                         error, error_size);
}

static int start_tunnel(struct daemon *daemon, char *error, size_t error_size)
{
    int result = relay_forwards_start(daemon, error, error_size);

    if (result == 0)
        result = start_places(daemon, error, error_size);
    if (result == 0)
        result = start_meetings(daemon, error, error_size);
    if (result == 0)
        result = start_acceptor(daemon, error, error_size);
    if (result < 0) {
        stop_meetings(daemon);
        stop_places(daemon);
        relay_forwards_stop(daemon);
    }
    return result;
}

static void stop_tunnel(struct daemon *daemon)
{
    static char reason[] = "the dmz-relay stops";

    stop_meetings(daemon);
    acceptor_free(relay_of(daemon)->acceptor, reason);
    dmz_media_each(&relay_of(daemon)->core, stop_link, reason);
    dmz_adopt(&relay_of(daemon)->core);
    stop_places(daemon);
    relay_forwards_stop(daemon);
}

static void reloaded(struct daemon *daemon)
{
    const struct dmz_settings *settings = settings_of(daemon);
    struct dmz *core = &relay_of(daemon)->core;

    fill_addresses(daemon, core);
    fill_policy(settings, core);
    dmz_rules_changed(core);
    core->options.max_age_us = settings->tunnel.common.max_age_us;
    core->options.stale_hold_us = settings->tunnel.stale_hold_us;
    for (size_t i = 0; i < core->site_count; i++) {
        core->sites[i].replica.quota = settings->limits.site_quota;
        if (core->sites[i].link)
            session_set_max_age(core->sites[i].link->session, core->options.max_age_us);
    }
    acceptor_set_context(relay_of(daemon)->acceptor, daemon->tls);
    dmz_media_each(core, set_max_age, daemon);
}

static void tick(struct daemon *daemon, uint64_t now_us)
{
    dmz_tick(&relay_of(daemon)->core, now_us);
}

static bool work(struct daemon *daemon, uint64_t now_us)
{
    return dmz_work(&relay_of(daemon)->core, now_us);
}

static void share(const void *conf, struct daemon_shared *shared)
{
    const struct dmz_settings *settings = conf;

    *shared = (struct daemon_shared){.listeners = settings->listeners,
                                     .listener_count = settings->listener_count,
                                     .tunnel = &settings->tunnel.common,
                                     .networks = &settings->networks,
                                     .control = &settings->control,
                                     .srtp = &settings->srtp,
                                     .log = &settings->log,
                                     .daemon = &settings->daemon};
}

const struct daemon_kind relay_kind = {
    .name = "dmz-relay",
    .default_config = SYSCONFDIR "/media-relay/dmz-relay.ini",
    .schema = &dmz_schema,
    .role = TLS_SERVER,
    .commands = relay_commands,
    .media_hooks = &media_hooks,
    .worker_hooks = &worker_hooks,
    .share = share,
    .start_core = start_core,
    .stop_core = stop_core,
    .start_worker = start_worker,
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
