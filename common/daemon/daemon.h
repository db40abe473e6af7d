/*
 * What both daemons do alike: command line, ini file, user, log, certificates,
 * media sockets, control socket, signals, readiness, reload, stop. A daemon is
 * a struct daemon_kind, and its main() is one call.
 */
#ifndef COMMON_DAEMON_DAEMON_H
#define COMMON_DAEMON_DAEMON_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/daemon/coalesce.h"
#include "common/daemon/control.h"
#include "common/daemon/media.h"
#include "common/daemon/notify.h"
#include "common/daemon/options.h"
#include "common/daemon/settings.h"
#include "common/daemon/steps.h"
#include "common/daemon/turns.h"
#include "common/daemon/workers.h"
#include "common/tunnel/tls.h"

struct daemon;
struct localports;
struct rawreader;
struct seal_store;
struct srtp_engine;
struct target_rules;

/* The sections that both ini files have, inside the structure of one of them. */
struct daemon_shared {
    const struct listener_settings *listeners;
    size_t listener_count;
    const struct tunnel_settings *tunnel;
    const struct networks_settings *networks;
    const struct control_settings *control;
    const struct srtp_settings *srtp;
    const struct log_settings *log;
    const struct daemon_settings *daemon;
};

struct daemon_kind {
    const char *name;           /* "dmz-relay" */
    const char *default_config; /* path */
    const struct conf_schema *schema;
    enum tls_role role;
    const struct control_command *commands;
    const struct media_hooks *media_hooks;  /* called with the struct daemon */
    const struct media_hooks *worker_hooks; /* called with the struct worker */

    /* The files that the ini file names beside those of [tunnel]; NULL: there are none. */
    int (*check_files)(const void *settings, char *error, size_t error_size);
    /*
     * What the ini file asks for and does not get, as a sentence: that of this number, counted from
     * 0. False: there are no more. NULL: there are none.
     */
    bool (*warning)(const void *settings, size_t number, char *out, size_t size);
    void (*share)(const void *settings, struct daemon_shared *shared);
    /* Makes daemon->state. Negative with a sentence in error. */
    int (*start_core)(struct daemon *daemon, char *error, size_t error_size);
    void (*stop_core)(struct daemon *daemon);
    /* The core of one more media thread, worker->state; and what all of them counted so far. */
    int (*start_worker)(struct worker *worker, char *error, size_t error_size);
    void (*stop_worker)(struct worker *worker);
    /* In the worker's thread: something may be new for it. May be NULL. */
    void (*woken)(struct worker *worker);
    void (*gather)(struct daemon *daemon);
    /* Who speaks RTP', and may others do so, too? */
    const struct peers *(*peers)(const struct daemon *daemon, bool *others);
    /*
     * Makes daemon->readers[thread] for the local ports of its connections of media, or leaves it
     * NULL where none is wanted. Negative with a sentence in error.
     */
    int (*open_raw)(struct daemon *daemon, unsigned thread, char *error, size_t error_size);
    /* After the media sockets are open. */
    int (*start_tunnel)(struct daemon *daemon, char *error, size_t error_size);
    void (*stop_tunnel)(struct daemon *daemon);
    /* daemon->settings has new live values, or daemon->tls is a new context. */
    void (*reloaded)(struct daemon *daemon);
    /* Once a second; work() is called after it. */
    void (*tick)(struct daemon *daemon, uint64_t now_us);
    /* A piece of what is to be done some time, much less than a millisecond. False: nothing is
     * left.
     */
    bool (*work)(struct daemon *daemon, uint64_t now_us);
};

struct daemon {
    const struct daemon_kind *kind;
    struct daemon_options options;
    void *settings; /* as read; live keys change with a reload */
    struct daemon_shared shared;
    void *state; /* the kind's */

    struct ev_loop *loop;
    ev_signal signals[3];
    ev_timer second;
    ev_timer piece; /* runs while there is work */
    ev_async wake;  /* there is some */
    struct turns turns;
    struct coalesce coalesce;
    struct srtp_engine *engine;
    struct seal_store *seals; /* for keys of sealed frames */
    struct tls_context *tls;
    /* Of the inner-relay's connections of media, for each thread; NULL: any. */
    struct localports *ports[WORKERS_MAX];
    /* For each thread that has such connections; NULL: frames are read in the kernel's order. */
    struct rawreader *readers[WORKERS_MAX];
    char raw_reason[256];    /* why there are none; "" with [tunnel] raw-socket = yes that works */
    struct media *media;     /* where there are workers: of the first one */
    struct workers *workers; /* NULL: the main thread is the only one */
    struct control *control;
    struct notify notify;
    int report; /* to the process that waits for the start-up */
    uint64_t started_us;
    bool memory_locked;
    bool running; /* the start-up succeeded */
    struct steps steps;
};

/* What main() returns. */
int daemon_main(const struct daemon_kind *kind, int argc, char **argv);

/* There is something for kind->work to do, before the next second. */
void daemon_has_work(struct daemon *daemon);

/* The same, from any thread. */
void daemon_wake(struct daemon *daemon);
/* What all threads have counted is in the core's counters, until they count on. */
void daemon_gather(struct daemon *daemon);

/* What a reload did: texts "[tunnel] max-age". Each list has count entries. */
enum { DAEMON_CHANGES_MAX = 64 };
struct daemon_changes {
    size_t changed, restart;
    char changed_key[DAEMON_CHANGES_MAX][96];
    char restart_key[DAEMON_CHANGES_MAX][96];
};
/*
 * Reads ini file, certificates and CRL anew; takes what may change live. Negative with a sentence
 * in error: nothing has changed then.
 */
int daemon_reload(struct daemon *daemon, struct daemon_changes *changes, char *error,
                  size_t error_size);

/* FEATURE_ bits: what the engine of this daemon can do with keys. */
uint64_t daemon_features(const struct daemon *daemon);

/* The media sockets as a core sees them; they may be opened later. */
struct path_out daemon_path_out(struct daemon *daemon);
struct path_out worker_path_out(struct worker *worker);

/* [networks] and the listeners' addresses as rules for targets. */
void daemon_fill_rules(const struct daemon_shared *shared, struct target_rules *rules);

#endif
