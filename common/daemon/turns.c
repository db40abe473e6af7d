#include "common/daemon/turns.h"

#include "common/base/clock.h"

void turns_add(struct turns *turns, uint64_t spent_us)
{
    turns->count++;
    turns->over_1ms += spent_us > TURNS_LONG_US;
    if (turns->longest_us < spent_us)
        turns->longest_us = spent_us;
}

static void on_before_wait(struct ev_loop *loop, ev_prepare *prepare, int events)
{
    struct turns *turns = prepare->data;

    (void)loop;
    (void)events;
    if (turns->began_us > 0)
        turns_add(turns, clock_now_us() - turns->began_us);
}

static void on_after_wait(struct ev_loop *loop, ev_check *check, int events)
{
    struct turns *turns = check->data;

    (void)loop;
    (void)events;
    turns->began_us = clock_now_us();
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
