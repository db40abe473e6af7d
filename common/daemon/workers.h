/*
 * The media threads of a daemon, where [daemon] workers is more than 1: each has an event loop,
 * sockets of all media ports and a core of its own, and holds its own lock of the gate while it
 * works. The main thread holds the locks of all while it works, and so may touch everything, the
 * event loops of the others included (HACKING.md, "Threads").
 */
#ifndef COMMON_DAEMON_WORKERS_H
#define COMMON_DAEMON_WORKERS_H

#include <ev.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/gate.h"
#include "common/daemon/coalesce.h"
#include "common/daemon/turns.h"

struct daemon;
struct media;
struct workers;

struct worker {
    struct daemon *daemon;
    unsigned number;
    struct gate_pass pass;
    struct ev_loop *loop;
    ev_async wake;
    struct media *media;
    struct coalesce coalesce;
    struct turns turns;
    void *state; /* the kind's */
    pthread_t thread;
    bool stop;
};

/*
 * Event loops and gate; daemon->loop is there already, and takes and gives the locks of all from
 * now on. Negative with a sentence in error.
 */
int workers_new(struct workers **workers, struct daemon *daemon, unsigned count, char *error,
                size_t error_size);
/* Accepts NULL. */
void workers_free(struct workers *workers);
/* The threads; the calling one holds all locks afterwards. */
int workers_start(struct workers *workers, char *error, size_t error_size);
/* They have ended afterwards, and what they had is the calling thread's. */
void workers_stop(struct workers *workers);

unsigned workers_count(const struct workers *workers);
struct worker *workers_at(struct workers *workers, unsigned number);
/* Under the locks of all: its event loop looks anew at what there is to do. */
void worker_wake(struct worker *worker);
/* The setting of all of them; and their sum, for display. */
void workers_set_coalesce(struct workers *workers, int setting);
struct coalesce workers_coalesce(const struct workers *workers);
/* Of all threads, with these of the main one; the longest ones are the longest of any. */
struct turns workers_turns(const struct workers *workers, const struct turns *main);
/* How often a thread wanted a lock that another one held. */
uint64_t workers_contended(const struct workers *workers);

#endif
