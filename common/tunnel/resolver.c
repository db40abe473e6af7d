#include "config.h" /* _GNU_SOURCE */

#include "common/tunnel/resolver.h"

#include <errno.h>
#include <ev.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"

enum { HOST_SIZE = 256, ERROR_SIZE = 384 };

/*
 * One look-up. The thread and the loop each hold it; the one that lets go last
 * frees it. Only with the mutex held may the thread touch the resolver, so
 * that none is woken after resolver_free.
 */
struct job {
    pthread_mutex_t mutex;
    struct resolver *resolver; /* NULL: abandoned */
    bool finished;
    uint16_t port;
    char host[HOST_SIZE];
    struct addr addrs[RESOLVER_MAX_ADDRS];
    size_t count;
    char error[ERROR_SIZE];
};

struct resolver {
    struct ev_loop *loop;
    resolver_fn *done;
    void *ctx;
    struct ev_async wake; /* active while a request is under way */
    struct job *job;
};

static void job_free(struct job *job)
{
    pthread_mutex_destroy(&job->mutex);
    free(job);
}

static void collect(struct job *job, const struct addrinfo *list)
{
    for (; list && job->count < RESOLVER_MAX_ADDRS; list = list->ai_next) {
        struct addr addr = addr_from_sockaddr(list->ai_addr);

        addr.port = job->port;
        if (addr.family != 0)
            job->addrs[job->count++] = addr;
    }
}

static void look_up(struct job *job)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *list = NULL;
    char text[128];
    int result = getaddrinfo(job->host, NULL, &hints, &list);

    if (result == 0)
        collect(job, list);
    if (job->count == 0)
        snprintf(job->error, sizeof(job->error), "cannot resolve \"%s\": %s", job->host,
                 result == EAI_SYSTEM ? strerror_r(errno, text, sizeof(text))
                 : result != 0        ? gai_strerror(result)
                                      : "no IPv4 or IPv6 address");
    if (list)
        freeaddrinfo(list);
}

static void *run(void *arg)
{
    struct job *job = arg;
    bool abandoned;

    look_up(job);
    pthread_mutex_lock(&job->mutex);
    abandoned = !job->resolver;
    job->finished = true;
    if (!abandoned)
        ev_async_send(job->resolver->loop, &job->resolver->wake);
    pthread_mutex_unlock(&job->mutex);
    if (abandoned)
        job_free(job);
    return NULL;
}

static void on_wake(struct ev_loop *loop, struct ev_async *watcher, int events)
{
    struct resolver *resolver = watcher->data;
    struct job *job = resolver->job;
    bool finished;

    (void)events;
    pthread_mutex_lock(&job->mutex);
    finished = job->finished;
    pthread_mutex_unlock(&job->mutex);
    if (!finished)
        return;
    ev_async_stop(loop, watcher);
    resolver->job = NULL;
    /* done may start the next request, or free the resolver. */
    resolver->done(resolver->ctx, job->addrs, job->count, job->count ? NULL : job->error);
    job_free(job);
}

struct resolver *resolver_new(struct ev_loop *loop, resolver_fn *done, void *ctx)
{
    struct resolver *resolver = calloc(1, sizeof(*resolver));

    if (!resolver)
        return NULL;
    resolver->loop = loop;
    resolver->done = done;
    resolver->ctx = ctx;
    ev_async_init(&resolver->wake, on_wake);
    resolver->wake.data = resolver;
    return resolver;
}

void resolver_free(struct resolver *resolver)
{
    struct job *job;
    bool finished;

    if (!resolver)
        return;
    job = resolver->job;
    if (job) {
        pthread_mutex_lock(&job->mutex);
        finished = job->finished;
        job->resolver = NULL;
        pthread_mutex_unlock(&job->mutex);
        if (finished)
            job_free(job);
    }
    ev_async_stop(resolver->loop, &resolver->wake);
    free(resolver);
}

/* Signals are for the thread that runs the loop. */
static int start_thread(struct job *job)
{
    pthread_attr_t attr;
    pthread_t thread;
    sigset_t all, before;
    int result;

    if (pthread_attr_init(&attr) != 0)
        return ERR_SYSTEM;
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    result = pthread_create(&thread, &attr, run, job);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    return result == 0 ? 0 : ERR_SYSTEM;
}

static struct job *job_new(struct resolver *resolver, const char *host, uint16_t port)
{
    struct job *job = calloc(1, sizeof(*job));

    if (!job)
        return NULL;
    if (pthread_mutex_init(&job->mutex, NULL) != 0) {
        free(job);
        return NULL;
    }
    job->resolver = resolver;
    job->port = port;
    memcpy(job->host, host, strlen(host) + 1);
    return job;
}

int resolver_start(struct resolver *resolver, const char *host, uint16_t port)
{
    struct job *job;

    if (resolver->job)
        return ERR_AGAIN;
    if (strlen(host) >= HOST_SIZE)
        return ERR_TOO_LONG;
    job = job_new(resolver, host, port);
    if (!job)
        return ERR_NOMEM;
    resolver->job = job;
    ev_async_start(resolver->loop, &resolver->wake);
    if (addr_parse_ip(host, &job->addrs[0]) == 0) {
        job->addrs[0].port = port;
        job->count = 1;
        job->finished = true;
        ev_async_send(resolver->loop, &resolver->wake);
        return 0;
    }
    if (start_thread(job) < 0) {
        ev_async_stop(resolver->loop, &resolver->wake);
        resolver->job = NULL;
        job_free(job);
        return ERR_SYSTEM;
    }
    return 0;
}
