#define LOG_MODULE "daemon"
#include "config.h"

#include "common/daemon/daemon.h"

#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/carrier/seal.h"
#include "common/daemon/detach.h"
#include "common/daemon/privilege.h"
#include "common/sa/target.h"
#include "common/srtp/srtp.h"
#include "common/tunnel/localports.h"
#include "common/tunnel/rawreader.h"
#include "common/tunnel/turn.h"

enum { ERROR_SIZE = 512, OPEN_FILES = 65536, CRL_WARN_PERCENT = 25, CERTIFICATE_WARN_DAYS = 14 };

/* What is done some time has this much of each millisecond. */
enum { WORK_SHARE_US = 100 };
static const double WORK_EVERY_S = 0.001;

/* ------------------------------------------------------------ settings and certificates */

/* "key PATH ..." gets the place of "key" in the ini file in front of it. */
static void name_place(const char *config, const char *why, char *error, size_t error_size)
{
    char key[16];
    unsigned line = 0;

    if (sscanf(why, "%15[a-z] /", key) == 1)
        line = conf_line(config, "tunnel", key);
    if (line > 0)
        snprintf(error, error_size, "%s:%u: [tunnel] %s", config, line, why);
    else
        snprintf(error, error_size, "%s: [tunnel] %s", config, why);
}

static int read_tls(const struct daemon *daemon, const struct daemon_shared *shared,
                    struct tls_context **context, char *error, size_t error_size)
{
    struct tls_files files = {.certificate = shared->tunnel->certificate,
                              .key = shared->tunnel->key,
                              .ca = shared->tunnel->ca,
                              .crl = shared->tunnel->crl[0] ? shared->tunnel->crl : NULL};
    char why[ERROR_SIZE] = "";
    int result;

    result = tls_context_new(context, daemon->kind->role, &files, why, sizeof(why));
    if (result < 0)
        name_place(daemon->options.config, why, error, error_size);
    return result;
}

static int check_files(const struct daemon *daemon, const void *settings, char *error,
                       size_t error_size)
{
    return daemon->kind->check_files ? daemon->kind->check_files(settings, error, error_size) : 0;
}

static bool warning(const struct daemon *daemon, size_t number, char *out, size_t size)
{
    return daemon->kind->warning && daemon->kind->warning(daemon->settings, number, out, size);
}

static void warn_about_settings(const struct daemon *daemon)
{
    char text[ERROR_SIZE];

    for (size_t i = 0; warning(daemon, i, text, sizeof(text)); i++)
        log_warning("%s", text);
}

static void warn_about_lifetimes(const struct tls_context *context)
{
    int64_t days = tls_context_certificate_left(context) / 86400;
    int crl = tls_context_crl_left_percent(context);

    if (days < CERTIFICATE_WARN_DAYS)
        log_warning("the certificate ends in %lld days", (long long)days);
    if (crl >= 0 && crl < CRL_WARN_PERCENT)
        log_warning("the CRL has %d %% of its time left: make a new one", crl);
}

void daemon_fill_rules(const struct daemon_shared *shared, struct target_rules *rules)
{
    const struct conf_nets *external = &shared->networks->external;
    const struct conf_nets *internal = &shared->networks->internal;

    memset(rules, 0, sizeof(*rules));
    memcpy(rules->external, external->net, external->count * sizeof(external->net[0]));
    rules->external_count = external->count;
    memcpy(rules->internal, internal->net, internal->count * sizeof(internal->net[0]));
    rules->internal_count = internal->count;
    rules->allow_loopback = shared->networks->test_allow_loopback;
    for (size_t i = 0; i < shared->listener_count; i++) {
        rules->own[rules->own_count++] = shared->listeners[i].address;
        rules->own[rules->own_count++] = shared->listeners[i].advertise;
    }
}

/* ------------------------------------------------------------ media sockets for the core */

static void send_out(void *ctx, unsigned listener, bool rtcp_port, const struct addr *to,
                     const uint8_t *packet, size_t length, void *tag)
{
    struct daemon *daemon = ctx;

    media_send(daemon->media, listener, rtcp_port, to, packet, length, tag);
}

static void flush_out(void *ctx)
{
    struct daemon *daemon = ctx;

    media_flush(daemon->media);
}

struct path_out daemon_path_out(struct daemon *daemon)
{
    return (struct path_out){send_out, flush_out, daemon};
}

static void worker_send_out(void *ctx, unsigned listener, bool rtcp_port, const struct addr *to,
                            const uint8_t *packet, size_t length, void *tag)
{
    struct worker *worker = ctx;

    media_send(worker->media, listener, rtcp_port, to, packet, length, tag);
}

static void worker_flush_out(void *ctx)
{
    struct worker *worker = ctx;

    media_flush(worker->media);
}

struct path_out worker_path_out(struct worker *worker)
{
    return (struct path_out){worker_send_out, worker_flush_out, worker};
}

static int steer(struct daemon *daemon, char *error, size_t error_size)
{
    bool others = false;
    const struct peers *peers = daemon->kind->peers(daemon, &others);

    return media_steer(daemon->media, workers_count(daemon->workers), peers, others, error,
                       error_size);
}

/* ------------------------------------------------------------ reload */

static void on_changed(void *ctx, const char *section, const struct conf_key *key)
{
    struct daemon_changes *changes = ctx;
    size_t *count = key->live ? &changes->changed : &changes->restart;
    char(*list)[96] = key->live ? changes->changed_key : changes->restart_key;

    if (*count < DAEMON_CHANGES_MAX)
        snprintf(list[(*count)++], sizeof(list[0]), "[%s] %s", section, key->name);
}

static void log_changes(const struct daemon_changes *changes)
{
    for (size_t i = 0; i < changes->changed; i++)
        log_info("reload: %s has a new value", changes->changed_key[i]);
    for (size_t i = 0; i < changes->restart; i++)
        log_warning("reload: %s has changed, but needs a restart; the old value stays",
                    changes->restart_key[i]);
}

static int reload(struct daemon *daemon, struct daemon_changes *changes, char *error,
                  size_t error_size)
{
    struct tls_context *context = NULL, *old = daemon->tls;
    void *settings = NULL;
    int result;

    memset(changes, 0, sizeof(*changes));
    result = conf_read(daemon->kind->schema, daemon->options.config, &settings, error, error_size);
    if (result < 0)
        return result;
    /* The paths are those of the running daemon: a new path needs a restart, as -t says. */
    result = read_tls(daemon, &daemon->shared, &context, error, error_size);
    if (result == 0)
        result = check_files(daemon, daemon->settings, error, error_size);
    if (result < 0)
        tls_context_free(context);
    if (result == 0) {
        (void)conf_compare(daemon->kind->schema, daemon->settings, settings, on_changed, changes);
        conf_copy_live(daemon->kind->schema, daemon->settings, settings);
        log_set_level(options_log_level(&daemon->options, daemon->shared.log->level));
        if (daemon->workers)
            workers_set_coalesce(daemon->workers, daemon->shared.daemon->coalesce);
        else
            coalesce_set(&daemon->coalesce, daemon->shared.daemon->coalesce);
        daemon->tls = context;
        daemon->kind->reloaded(daemon);
        tls_context_free(old);
        if (daemon->workers && steer(daemon, error, error_size) < 0)
            log_warning("%s: the old peers stay, as far as threads are concerned", error);
        warn_about_lifetimes(context);
        warn_about_settings(daemon);
        log_changes(changes);
        log_info("reloaded: certificates, CRL and the keys that may change live");
    }
    free(settings);
    return result;
}

/* Whoever asked for it, the log says what came of it. */
int daemon_reload(struct daemon *daemon, struct daemon_changes *changes, char *error,
                  size_t error_size)
{
    int result = reload(daemon, changes, error, error_size);

    if (result < 0)
        log_error("not reloaded, the old values stay: %s", error);
    return result;
}

/* ------------------------------------------------------------ signals and time */

static void on_hup(struct ev_loop *loop, ev_signal *signal, int events)
{
    struct daemon *daemon = signal->data;
    struct daemon_changes changes;
    char error[ERROR_SIZE] = "";

    (void)loop;
    (void)events;
    notify_reloading(&daemon->notify);
    (void)daemon_reload(daemon, &changes, error, sizeof(error));
    notify_ready(&daemon->notify, NULL);
}

static void on_stop(struct ev_loop *loop, ev_signal *signal, int events)
{
    struct daemon *daemon = signal->data;

    (void)events;
    log_info("stopping: signal %d", signal->signum);
    notify_stopping(&daemon->notify, NULL);
    ev_break(loop, EVBREAK_ALL);
}

/* Work takes a tenth of the time, in pieces between which media has its turn. */
static void on_piece(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct daemon *daemon = timer->data;
    uint64_t began_us = clock_now_us(), now_us = began_us;
    bool more;

    (void)events;
    do {
        more = daemon->kind->work(daemon, now_us);
        now_us = clock_now_us();
    } while (more && now_us - began_us < WORK_SHARE_US && !turn_is_over(loop));
    if (!more)
        ev_timer_stop(loop, timer);
}

void daemon_has_work(struct daemon *daemon)
{
    if (!ev_is_active(&daemon->piece))
        ev_timer_again(daemon->loop, &daemon->piece);
}

static void on_wake(struct ev_loop *loop, ev_async *wake, int events)
{
    (void)loop;
    (void)events;
    daemon_has_work(wake->data);
}

void daemon_wake(struct daemon *daemon)
{
    ev_async_send(daemon->loop, &daemon->wake);
}

void daemon_gather(struct daemon *daemon)
{
    if (daemon->workers)
        daemon->kind->gather(daemon);
}

static void on_second(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct daemon *daemon = timer->data;

    (void)loop;
    (void)events;
    daemon_gather(daemon);
    daemon->kind->tick(daemon, clock_now_us());
    daemon_has_work(daemon);
    notify_watchdog(&daemon->notify);
}

/* ------------------------------------------------------------ steps of the start */

static int start_user(void *ctx, char *error, size_t error_size)
{
    struct daemon *daemon = ctx;
    int result =
        privilege_check_user(geteuid(), daemon->shared.daemon->allow_root, error, error_size);

    if (result < 0)
        return result;
    if (privilege_raise_files(OPEN_FILES, error, error_size) < 0)
        return ERR_SYSTEM;
    return privilege_harden(error, error_size);
}

/* Keys in the swap space would outlive their call: worse than without, but no reason to stay down.
 */
static int start_memory(void *ctx, char *error, size_t error_size)
{
    struct daemon *daemon = ctx;

    (void)error;
    (void)error_size;
    daemon->memory_locked = privilege_lock_memory();
    if (!daemon->memory_locked)
        log_warning("memory is not locked, so that keys may be swapped out: no limit of locked "
                    "memory (LimitMEMLOCK=infinity in the systemd unit, or ulimit -l unlimited) "
                    "would be right");
    return 0;
}

static int start_folder(void *ctx, char *error, size_t error_size)
{
    struct daemon *daemon = ctx;

    return privilege_make_directory(daemon->shared.control->socket, error, error_size);
}

static int start_loop(void *ctx, char *error, size_t error_size)
{
    static const int numbers[] = {SIGHUP, SIGTERM, SIGINT};
    struct daemon *daemon = ctx;

    daemon->loop = ev_default_loop(EVFLAG_AUTO);
    if (!daemon->loop) {
        snprintf(error, error_size, "no event loop can be made");
        return ERR_SYSTEM;
    }
    signal(SIGPIPE, SIG_IGN);
    for (int i = 0; i < 3; i++) {
        ev_signal_init(&daemon->signals[i], i == 0 ? on_hup : on_stop, numbers[i]);
        daemon->signals[i].data = daemon;
        ev_signal_start(daemon->loop, &daemon->signals[i]);
    }
    ev_timer_init(&daemon->second, on_second, 1., 1.);
    ev_timer_init(&daemon->piece, on_piece, 0., WORK_EVERY_S);
    ev_async_init(&daemon->wake, on_wake);
    daemon->second.data = daemon->piece.data = daemon->wake.data = daemon;
    ev_async_start(daemon->loop, &daemon->wake);
    turns_start(&daemon->turns, daemon->loop);
    return 0;
}

static void stop_loop(void *ctx)
{
    struct daemon *daemon = ctx;

    for (int i = 0; i < 3; i++)
        ev_signal_stop(daemon->loop, &daemon->signals[i]);
    ev_timer_stop(daemon->loop, &daemon->second);
    ev_timer_stop(daemon->loop, &daemon->piece);
    ev_async_stop(daemon->loop, &daemon->wake);
    turns_stop(&daemon->turns);
    ev_loop_destroy(daemon->loop);
}

/* While the loops are there. */
static void stop_readers(struct daemon *daemon)
{
    for (unsigned i = 0; i < WORKERS_MAX; i++) {
        rawreader_free(daemon->readers[i]);
        daemon->readers[i] = NULL;
    }
}

static void end_raw(void *ctx)
{
    stop_readers(ctx);
}

static void stop_raw(void *ctx)
{
    struct daemon *daemon = ctx;

    stop_readers(daemon);
    for (unsigned i = 0; i < WORKERS_MAX; i++) {
        localports_free(daemon->ports[i]);
        daemon->ports[i] = NULL;
    }
}

/*
 * Without the raw socket everything works, but in the kernel's order. The privilege goes in any
 * case, and before anything comes from the network.
 */
static int start_raw(void *ctx, char *error, size_t error_size)
{
    struct daemon *daemon = ctx;
    unsigned threads = daemon->shared.tunnel->raw_socket ? daemon->shared.daemon->workers : 0;
    char why[ERROR_SIZE] = "";
    int result = 0;

    if (threads == 0)
        snprintf(daemon->raw_reason, sizeof(daemon->raw_reason), "[tunnel] raw-socket = no");
    for (unsigned i = 0; result == 0 && i < threads; i++)
        result = daemon->kind->open_raw(daemon, i, why, sizeof(why));
    if (result < 0) {
        stop_raw(daemon);
        snprintf(daemon->raw_reason, sizeof(daemon->raw_reason), "%s", why);
        log_warning("[tunnel] raw-socket: %s; sealed frames are read in their order", why);
    }
    if (threads == 1 && daemon->readers[0])
        rawreader_start(daemon->readers[0], daemon->loop);
    return privilege_drop_raw(error, error_size);
}

static int start_certificates(void *ctx, char *error, size_t error_size)
{
    struct daemon *daemon = ctx;
    int result = read_tls(daemon, &daemon->shared, &daemon->tls, error, error_size);

    if (result == 0)
        warn_about_lifetimes(daemon->tls);
    return result;
}

static void stop_certificates(void *ctx)
{
    struct daemon *daemon = ctx;

    tls_context_free(daemon->tls);
}

static int start_srtp(void *ctx, char *error, size_t error_size)
{
    struct daemon *daemon = ctx;
    enum srtp_engine_kind kind = (enum srtp_engine_kind)daemon->shared.srtp->engine;
    int result = srtp_engine_new(&daemon->engine, kind);

    if (result < 0)
        snprintf(error, error_size, "the engine %s could not be started: %s",
                 srtp_engine_name(kind), err_text(result));
    else if ((result = seal_store_new(&daemon->seals)) < 0)
        snprintf(error, error_size, "no memory for the keys of connections of media");
    if (result < 0) {
        srtp_engine_free(daemon->engine);
        daemon->engine = NULL;
    }
    return result;
}

static void stop_srtp(void *ctx)
{
    struct daemon *daemon = ctx;

    seal_store_free(daemon->seals);
    srtp_engine_free(daemon->engine);
}

uint64_t daemon_features(const struct daemon *daemon)
{
    uint64_t features = FEATURE_KEYLESS | FEATURE_VERIFY_ONLY;

    for (unsigned i = 0; i < SUITE_COUNT; i++) {
        const struct suite *suite = suite_get((enum suite_id)i);

        if (!suite->aead && !srtp_engine_has(daemon->engine, suite, SRTP_KEY_AUTH))
            features &= ~(uint64_t)FEATURE_VERIFY_ONLY;
    }
    return features;
}

static int start_core(void *ctx, char *error, size_t error_size)
{
    struct daemon *daemon = ctx;

    return daemon->kind->start_core(daemon, error, error_size);
}

static void stop_core(void *ctx)
{
    struct daemon *daemon = ctx;

    daemon->kind->stop_core(daemon);
}

static void stop_workers(void *ctx)
{
    struct daemon *daemon = ctx;

    if (daemon->workers)
        stop_readers(daemon);
    for (unsigned i = 0; daemon->workers && i < workers_count(daemon->workers); i++)
        daemon->kind->stop_worker(workers_at(daemon->workers, i));
    workers_free(daemon->workers);
    daemon->workers = NULL;
}

static int start_worker(struct daemon *daemon, struct worker *worker, char *error,
                        size_t error_size)
{
    struct rawreader *reader = daemon->readers[worker->number];

    if (reader)
        rawreader_start(reader, worker->loop);
    return daemon->kind->start_worker(worker, error, error_size);
}

static int start_workers(void *ctx, char *error, size_t error_size)
{
    struct daemon *daemon = ctx;
    unsigned count = daemon->shared.daemon->workers;
    int result;

    if (count == 1)
        return 0;
    result = workers_new(&daemon->workers, daemon, count, error, error_size);
    for (unsigned i = 0; result == 0 && i < count; i++)
        result = start_worker(daemon, workers_at(daemon->workers, i), error, error_size);
    if (result < 0)
        stop_workers(daemon);
    return result;
}

/* The first one's sockets share their ports once they have them: they are nobody else's then. */
static int open_media(struct daemon *daemon, struct worker *worker, char *error, size_t error_size)
{
    const struct daemon_shared *shared = &daemon->shared;
    int result;

    if (!worker)
        return media_open(&daemon->media, daemon->loop, shared->listeners, shared->listener_count,
                          false, daemon->kind->media_hooks, daemon, error, error_size);
    result = media_open(&worker->media, worker->loop, shared->listeners, shared->listener_count,
                        worker->number > 0, daemon->kind->worker_hooks, worker, error, error_size);
    if (result == 0 && worker->number == 0)
        result = media_share(worker->media, error, error_size);
    return result;
}

static void stop_media(void *ctx)
{
    struct daemon *daemon = ctx;

    for (unsigned i = 1; daemon->workers && i < workers_count(daemon->workers); i++)
        media_close(workers_at(daemon->workers, i)->media);
    media_close(daemon->media);
}

/* All sockets are there before the first packet is read: a later one would change who gets what. */
static int start_media(void *ctx, char *error, size_t error_size)
{
    struct daemon *daemon = ctx;
    int result = 0;

    if (!daemon->workers) {
        result = open_media(daemon, NULL, error, error_size);
    } else {
        for (unsigned i = 0; result == 0 && i < workers_count(daemon->workers); i++)
            result = open_media(daemon, workers_at(daemon->workers, i), error, error_size);
        daemon->media = workers_at(daemon->workers, 0)->media;
        if (result == 0)
            result = steer(daemon, error, error_size);
        if (result < 0)
            stop_media(daemon);
    }
    if (result == 0)
        media_warn_about_buffers(daemon->media);
    return result;
}

static int start_threads(void *ctx, char *error, size_t error_size)
{
    struct daemon *daemon = ctx;

    if (!daemon->workers)
        return 0;
    for (unsigned i = 0; i < workers_count(daemon->workers); i++)
        media_start(workers_at(daemon->workers, i)->media);
    return workers_start(daemon->workers, error, error_size);
}

static void stop_threads(void *ctx)
{
    struct daemon *daemon = ctx;

    if (daemon->workers)
        workers_stop(daemon->workers);
}

static int start_tunnel(void *ctx, char *error, size_t error_size)
{
    struct daemon *daemon = ctx;

    return daemon->kind->start_tunnel(daemon, error, error_size);
}

static void stop_tunnel(void *ctx)
{
    struct daemon *daemon = ctx;

    daemon->kind->stop_tunnel(daemon);
}

static int start_control(void *ctx, char *error, size_t error_size)
{
    struct daemon *daemon = ctx;
    const struct control_settings *settings = daemon->shared.control;

    return control_open(&daemon->control, daemon->loop, settings->socket, settings->group,
                        daemon->kind->commands, daemon, error, error_size);
}

static void stop_control(void *ctx)
{
    struct daemon *daemon = ctx;

    control_close(daemon->control);
}

/* When nothing else can fail: the file may be that of a daemon that runs already. */
static int start_pid_file(void *ctx, char *error, size_t error_size)
{
    struct daemon *daemon = ctx;

    return detach_write_pid(daemon->shared.daemon->pid_file, error, error_size);
}

static void stop_pid_file(void *ctx)
{
    struct daemon *daemon = ctx;

    detach_remove_pid(daemon->shared.daemon->pid_file);
}

static int start_notify(void *ctx, char *error, size_t error_size)
{
    struct daemon *daemon = ctx;

    if (notify_open(&daemon->notify, getenv("NOTIFY_SOCKET"), getenv("WATCHDOG_USEC"),
                    getenv("WATCHDOG_PID"), error, error_size) < 0)
        log_warning("%s", error);
    return 0;
}

static void stop_notify(void *ctx)
{
    struct daemon *daemon = ctx;

    notify_close(&daemon->notify);
}

static const struct step step_table[] = {
    {"user", start_user, NULL},
    {"memory", start_memory, NULL},
    {"folder of the control socket", start_folder, NULL},
    {"event loop", start_loop, stop_loop},
    {"raw socket", start_raw, stop_raw},
    {"certificates", start_certificates, stop_certificates},
    {"SRTP", start_srtp, stop_srtp},
    {"tables", start_core, stop_core},
    {"workers", start_workers, stop_workers},
    {"media ports", start_media, stop_media},
    /* Before the tunnel: a second daemon on this socket must not take the site over and then fail.
     */
    {"control socket", start_control, stop_control},
    /* What ends with the tunnel says so by itself, while there are keys. */
    {"raw sockets' connections", NULL, end_raw},
    {"tunnel", start_tunnel, stop_tunnel},
    {"pid file", start_pid_file, stop_pid_file},
    {"readiness notice", start_notify, stop_notify},
    {"media threads", start_threads, stop_threads},
    {NULL, NULL, NULL},
};

/* ------------------------------------------------------------ main */

static int read_settings(struct daemon *daemon, char *error, size_t error_size)
{
    int result = conf_read(daemon->kind->schema, daemon->options.config, &daemon->settings, error,
                           error_size);

    if (result == 0)
        daemon->kind->share(daemon->settings, &daemon->shared);
    return result;
}

/* -t: the file, and what it names. */
static int check(struct daemon *daemon)
{
    struct tls_context *context = NULL;
    char error[ERROR_SIZE] = "";

    if (read_tls(daemon, &daemon->shared, &context, error, sizeof(error)) < 0 ||
        check_files(daemon, daemon->settings, error, sizeof(error)) < 0) {
        tls_context_free(context);
        fprintf(stderr, "%s: %s\n", daemon->kind->name, error);
        return OPTIONS_EXIT_USAGE;
    }
    tls_context_free(context);
    for (size_t i = 0; warning(daemon, i, error, sizeof(error)); i++)
        fprintf(stderr, "%s: warning: %s\n", daemon->kind->name, error);
    printf("%s: the configuration is right\n", daemon->options.config);
    return OPTIONS_EXIT_CLEAN;
}

static void open_log(const struct daemon *daemon)
{
    enum log_target target = daemon->shared.log->target == 0 || daemon->options.foreground
                                 ? LOG_TARGET_STDERR
                                 : LOG_TARGET_SYSLOG;

    log_open(daemon->kind->name, target,
             options_log_level(&daemon->options, (enum log_level)daemon->shared.log->level));
}

static int fail(struct daemon *daemon, const char *error)
{
    log_error("not started: %s", error);
    if (!daemon->options.foreground)
        fprintf(stderr, "%s: not started: %s\n", daemon->kind->name, error);
    detach_report(&daemon->report, OPTIONS_EXIT_FAILED);
    return OPTIONS_EXIT_FAILED;
}

static int run(struct daemon *daemon)
{
    char error[ERROR_SIZE] = "";

    daemon->report = -1;
    if (!daemon->options.foreground && detach(&daemon->report, error, sizeof(error)) < 0) {
        fprintf(stderr, "%s: %s\n", daemon->kind->name, error);
        return OPTIONS_EXIT_FAILED;
    }
    open_log(daemon);
    warn_about_settings(daemon);
    daemon->started_us = clock_now_us();
    steps_init(&daemon->steps, step_table, daemon);
    if (steps_start(&daemon->steps, error, sizeof(error)) < 0)
        return fail(daemon, error);
    daemon->running = true;
    if (!daemon->workers) {
        media_start(daemon->media);
        coalesce_start(&daemon->coalesce, daemon->loop, daemon->shared.daemon->coalesce,
                       media_received, daemon->media);
    }
    ev_timer_start(daemon->loop, &daemon->second);
    log_info("started, version " PACKAGE_VERSION);
    detach_report(&daemon->report, OPTIONS_EXIT_CLEAN);
    notify_ready(&daemon->notify, NULL);
    ev_run(daemon->loop, 0);
    if (!daemon->workers)
        coalesce_stop(&daemon->coalesce);
    steps_stop(&daemon->steps);
    log_info("stopped");
    return OPTIONS_EXIT_CLEAN;
}

/*
 * What glibc puts off, it does in one turn of the event loop: after 20,000 SAs
 * were deleted, one free() took 2 ms. So small pieces are joined when they are
 * freed, and the heap keeps its size: it is needed again.
 */
static void steady_heap(void)
{
    mallopt(M_MXFAST, 0);
    mallopt(M_TRIM_THRESHOLD, INT_MAX);
}

static int act(struct daemon *daemon)
{
    switch (daemon->options.action) {
    case OPTIONS_CHECK:
        return check(daemon);
    case OPTIONS_PRINT:
        conf_print(daemon->kind->schema, daemon->settings, stdout);
        return OPTIONS_EXIT_CLEAN;
    default:
        return run(daemon);
    }
}

int daemon_main(const struct daemon_kind *kind, int argc, char **argv)
{
    struct daemon daemon = {.kind = kind};
    char error[ERROR_SIZE] = "";
    int result;

    control_wipe_json();
    steady_heap();
    if (options_read(&daemon.options, kind->default_config, argc, argv, error, sizeof(error)) < 0) {
        fprintf(stderr, "%s: %s\n", kind->name, error);
        return OPTIONS_EXIT_USAGE;
    }
    if (daemon.options.action == OPTIONS_HELP) {
        options_print_help(kind->name, kind->default_config, stdout);
        return OPTIONS_EXIT_CLEAN;
    }
    if (daemon.options.action == OPTIONS_VERSION) {
        options_print_version(kind->name, stdout);
        return OPTIONS_EXIT_CLEAN;
    }
    if (read_settings(&daemon, error, sizeof(error)) < 0) {
        fprintf(stderr, "%s: %s\n", kind->name, error);
        return OPTIONS_EXIT_USAGE;
    }
    result = act(&daemon);
    free(daemon.settings);
    return result;
}
