#define LOG_MODULE "workers"
#include "config.h"

#include "common/daemon/workers.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/err.h"
#include "common/daemon/daemon.h"
#include "common/srtp/srtp.h"

/* Enough for a TLS handshake; it is locked memory. */
enum { STACK_OCTETS = 512 * 1024 };

struct workers {
    struct daemon *daemon;
    struct gate *gate;
    struct gate_pass pass; /* of the main thread */
    unsigned count;
    bool running;
    struct worker worker[];
};

/* ------------------------------------------------------------ one of them */

/* What another thread has put into this loop is there when it comes round. */
static void on_wake(struct ev_loop *loop, ev_async *wake, int events)
{
    struct worker *worker = wake->data;

    (void)events;
    if (worker->stop)
        ev_break(loop, EVBREAK_ALL);
    else if (worker->daemon->kind->woken)
        worker->daemon->kind->woken(worker);
}

static void before_wait(struct ev_loop *loop)
{
    struct worker *worker = ev_userdata(loop);

    struct timespec left = {.tv_nsec = (long)coalesce_left_us(&worker->coalesce) * 1000};

    gate_leave(&worker->pass);
    if (left.tv_nsec > 0)
        (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &left, NULL);
}

static void after_wait(struct ev_loop *loop)
{
    struct worker *worker = ev_userdata(loop);

    gate_enter(&worker->pass);
}

static void *run(void *pointer)
{
    struct worker *worker = pointer;

    srtp_thread_begin(worker->number + 1);
    gate_enter(&worker->pass);
    coalesce_start_resting(&worker->coalesce, worker->loop, worker->daemon->shared.daemon->coalesce,
                           media_received, worker->media);
    turns_start(&worker->turns, worker->loop);
    ev_run(worker->loop, 0);
    turns_stop(&worker->turns);
    coalesce_stop(&worker->coalesce);
    gate_leave(&worker->pass);
    return NULL;
}

static int prepare(struct workers *workers, unsigned number)
{
    struct worker *worker = &workers->worker[number];

    worker->daemon = workers->daemon;
    worker->number = number;
    gate_pass_init(&worker->pass, workers->gate, number);
    worker->loop = ev_loop_new(EVFLAG_AUTO);
    if (!worker->loop)
        return ERR_SYSTEM;
    ev_set_userdata(worker->loop, worker);
    ev_async_init(&worker->wake, on_wake);
    worker->wake.data = worker;
    ev_async_start(worker->loop, &worker->wake);
    return 0;
}

void worker_wake(struct worker *worker)
{
    ev_async_send(worker->loop, &worker->wake);
}

/* ------------------------------------------------------------ all of them */

static void main_before_wait(struct ev_loop *loop)
{
    struct workers *workers = ev_userdata(loop);

    gate_leave_all(&workers->pass);
}

static void main_after_wait(struct ev_loop *loop)
{
    struct workers *workers = ev_userdata(loop);

    gate_enter_all(&workers->pass);
}

int workers_new(struct workers **out, struct daemon *daemon, unsigned count, char *error,
                size_t error_size)
{
    struct workers *workers = calloc(1, sizeof(*workers) + count * sizeof(workers->worker[0]));
    int result = workers ? 0 : ERR_NOMEM;

    *out = NULL;
    if (workers) {
        workers->daemon = daemon;
        workers->gate = gate_new(count);
        result = workers->gate ? 0 : ERR_NOMEM;
    }
    for (; result == 0 && workers->count < count; workers->count++)
        result = prepare(workers, workers->count);
    if (result == 0)
        result = srtp_engine_threads(daemon->engine, count + 1);
    if (result < 0) {
        workers_free(workers);
        snprintf(error, error_size, "[daemon] workers = %u: %s", count, err_text(result));
        return result;
    }
    gate_pass_init(&workers->pass, workers->gate, GATE_NOBODY);
    *out = workers;
    return 0;
}

void workers_free(struct workers *workers)
{
    if (!workers)
        return;
    for (unsigned i = 0; i < workers->count; i++) {
        if (!workers->worker[i].loop)
            continue;
        ev_async_stop(workers->worker[i].loop, &workers->worker[i].wake);
        ev_loop_destroy(workers->worker[i].loop);
    }
    gate_free(workers->gate);
    free(workers);
}

static int start_thread(struct worker *worker)
{
    pthread_attr_t attributes;
    int result;

    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_OCTETS);
    ev_set_loop_release_cb(worker->loop, before_wait, after_wait);
    result = pthread_create(&worker->thread, &attributes, run, worker);
    pthread_attr_destroy(&attributes);
    return result;
}

/* Signals are the main thread's. */
int workers_start(struct workers *workers, char *error, size_t error_size)
{
    unsigned count = workers->count;
    sigset_t all, before;
    int result = 0;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    gate_enter_all(&workers->pass);
    workers->running = true;
    for (workers->count = 0; result == 0 && workers->count < count;)
        if ((result = start_thread(&workers->worker[workers->count])) == 0)
            workers->count++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (result == 0) {
        ev_set_userdata(workers->daemon->loop, workers);
        ev_set_loop_release_cb(workers->daemon->loop, main_before_wait, main_after_wait);
        return 0;
    }
    snprintf(error, error_size, "[daemon] workers = %u: no thread can be made: %s", count,
             strerror(result));
    workers_stop(workers);
    workers->count = count;
    return ERR_SYSTEM;
}

void workers_stop(struct workers *workers)
{
    if (!workers->running)
        return;
    for (unsigned i = 0; i < workers->count; i++) {
        workers->worker[i].stop = true;
        worker_wake(&workers->worker[i]);
    }
    gate_leave_all(&workers->pass);
    for (unsigned i = 0; i < workers->count; i++)
        pthread_join(workers->worker[i].thread, NULL);
    ev_set_loop_release_cb(workers->daemon->loop, NULL, NULL);
    workers->running = false;
}

unsigned workers_count(const struct workers *workers)
{
    return workers->count;
}

struct worker *workers_at(struct workers *workers, unsigned number)
{
    return &workers->worker[number];
}

void workers_set_coalesce(struct workers *workers, int setting)
{
    for (unsigned i = 0; i < workers->count; i++)
        coalesce_set(&workers->worker[i].coalesce, setting);
}

struct coalesce workers_coalesce(const struct workers *workers)
{
    struct coalesce sum = workers->worker[0].coalesce;

    for (unsigned i = 1; i < workers->count; i++) {
        const struct coalesce *one = &workers->worker[i].coalesce;

        if (sum.interval_us < one->interval_us)
            sum.interval_us = one->interval_us;
        sum.packets_per_s += one->packets_per_s;
        sum.turns_per_s += one->turns_per_s;
    }
    return sum;
}

struct turns workers_turns(const struct workers *workers, const struct turns *main)
{
    struct turns sum = *main;

    for (unsigned i = 0; i < workers->count; i++)
        turns_sum(&sum, &workers->worker[i].turns);
    return sum;
}

uint64_t workers_contended(const struct workers *workers)
{
    uint64_t sum = workers->pass.contended;

    for (unsigned i = 0; i < workers->count; i++)
        sum += workers->worker[i].pass.contended;
    return sum;
}
