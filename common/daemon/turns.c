#include "common/daemon/turns.h"

#include <sys/resource.h>

#include "common/base/clock.h"

enum {
    /* Looked at before each turn the count would cost as much as a packet. */
    SWITCHES_EVERY_US = 10000,
    /* The thread's time is a system call: where turns are shorter than this, not in each of them.
     */
    OWN_EVERY_US = 250,
};

void turns_add(struct turns *turns, uint64_t spent_us, uint64_t own_us, bool preempted)
{
    bool late = spent_us > TURNS_LONG_US && own_us <= TURNS_LONG_US;

    turns->count++;
    turns->over_500us += own_us > TURNS_HALF_US;
    turns->over_1ms += own_us > TURNS_LONG_US;
    turns->late += late;
    turns->preempted += late && preempted;
    if (turns->longest_us < spent_us)
        turns->longest_us = spent_us;
    if (turns->longest_own_us < own_us)
        turns->longest_own_us = own_us;
}

void turns_sum(struct turns *sum, const struct turns *turns)
{
    sum->count += turns->count;
    sum->over_500us += turns->over_500us;
    sum->over_1ms += turns->over_1ms;
    sum->late += turns->late;
    sum->preempted += turns->preempted;
    if (sum->longest_us < turns->longest_us)
        sum->longest_us = turns->longest_us;
    if (sum->longest_own_us < turns->longest_own_us)
        sum->longest_own_us = turns->longest_own_us;
}

/* Has the thread been preempted since this was last asked? */
static bool read_switches(struct turns *turns, uint64_t now_us)
{
    struct rusage usage = {0};
    uint64_t before = turns->switches;

    (void)getrusage(RUSAGE_THREAD, &usage);
    turns->switches = (uint64_t)usage.ru_nivcsw;
    turns->switches_read_us = now_us;
    return turns->switches != before;
}

/*
 * What the thread has worked since this was last read; at most the turn's length is the turn's. The
 * end of an earlier turn stands for the beginning of this one: what the kernel does to begin and
 * end a wait is in it, and short turns in between are, so that it is too much rather than too
 * little.
 */
static uint64_t read_own(struct turns *turns, uint64_t now_us, uint64_t spent_us)
{
    uint64_t own_us, used_us;

    if (now_us - turns->own_read_us < OWN_EVERY_US)
        return spent_us;
    own_us = clock_thread_us();
    used_us = own_us - turns->own_us;
    turns->own_us = own_us;
    turns->own_read_us = now_us;
    return used_us < spent_us ? used_us : spent_us;
}

static void on_before_wait(struct ev_loop *loop, ev_prepare *prepare, int events)
{
    struct turns *turns = prepare->data;
    uint64_t now_us = clock_now_us(), spent_us, own_us;

    (void)loop;
    (void)events;
    spent_us = turns->began_us == 0 ? 0 : now_us - turns->began_us;
    own_us = read_own(turns, now_us, spent_us);
    if (turns->began_us == 0)
        return;
    turns_add(turns, spent_us, own_us, spent_us > TURNS_LONG_US && read_switches(turns, now_us));
}

static void on_after_wait(struct ev_loop *loop, ev_check *check, int events)
{
    struct turns *turns = check->data;

    (void)loop;
    (void)events;
    turns->began_us = clock_now_us();
    if (turns->began_us - turns->switches_read_us >= SWITCHES_EVERY_US)
        (void)read_switches(turns, turns->began_us);
}

void turns_start(struct turns *turns, struct ev_loop *loop)
{
    *turns = (struct turns){.loop = loop};
    ev_prepare_init(&turns->before_wait, on_before_wait);
    ev_check_init(&turns->after_wait, on_after_wait);
    turns->before_wait.data = turns->after_wait.data = turns;
    /* The first callback after the wait and the last one before it. */
    ev_set_priority(&turns->after_wait, EV_MAXPRI);
    ev_set_priority(&turns->before_wait, EV_MINPRI);
    ev_prepare_start(loop, &turns->before_wait);
    ev_check_start(loop, &turns->after_wait);
    /* They measure the loop and do not keep it alive. */
    ev_unref(loop);
    ev_unref(loop);
}

void turns_stop(struct turns *turns)
{
    ev_ref(turns->loop);
    ev_ref(turns->loop);
    ev_prepare_stop(turns->loop, &turns->before_wait);
    ev_check_stop(turns->loop, &turns->after_wait);
}
