#include "common/daemon/coalesce.h"

#include <sys/prctl.h>

#include "common/base/clock.h"

/* By default the kernel wakes a thread up to 50 us late. */
enum { TIMER_SLACK_NS = 1000 };

unsigned coalesce_interval(int setting, unsigned interval_us, uint64_t packets_per_s)
{
    uint64_t threshold = interval_us > 0 ? COALESCE_AUTO_OFF : COALESCE_AUTO_ON;

    if (setting != COALESCE_AUTO)
        return (unsigned)setting;
    return packets_per_s >= threshold ? COALESCE_AUTO_US : 0;
}

static void apply(struct coalesce *coalesce, unsigned interval_us)
{
    if (interval_us == coalesce->interval_us)
        return;
    coalesce->interval_us = interval_us;
    if (!coalesce->rests)
        ev_set_io_collect_interval(coalesce->loop, interval_us / 1e6);
}

static void on_after_wait(struct ev_loop *loop, ev_check *check, int events)
{
    struct coalesce *coalesce = check->data;
    uint64_t now_us = clock_now_us(), took_us = now_us - coalesce->began_us, packets;

    (void)loop;
    (void)events;
    coalesce->turns++;
    coalesce->looked_us = now_us;
    if (took_us < COALESCE_WINDOW_US)
        return;
    packets = coalesce->packets(coalesce->ctx);
    coalesce->packets_per_s = (packets - coalesce->began_packets) * 1000000 / took_us;
    coalesce->turns_per_s = coalesce->turns * 1000000 / took_us;
    coalesce->began_us = now_us;
    coalesce->began_packets = packets;
    coalesce->turns = 0;
    apply(coalesce,
          coalesce_interval(coalesce->setting, coalesce->interval_us, coalesce->packets_per_s));
}

static void start(struct coalesce *coalesce, struct ev_loop *loop, int setting, bool rests,
                  uint64_t (*packets)(void *ctx), void *ctx)
{
    *coalesce = (struct coalesce){.loop = loop,
                                  .rests = rests,
                                  .packets = packets,
                                  .ctx = ctx,
                                  .began_us = clock_now_us(),
                                  .began_packets = packets(ctx)};
    (void)prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS);
    ev_check_init(&coalesce->after_wait, on_after_wait);
    coalesce->after_wait.data = coalesce;
    ev_check_start(loop, &coalesce->after_wait);
    ev_unref(loop); /* it does not keep the loop alive */
    coalesce_set(coalesce, setting);
}

void coalesce_start(struct coalesce *coalesce, struct ev_loop *loop, int setting,
                    uint64_t (*packets)(void *ctx), void *ctx)
{
    start(coalesce, loop, setting, false, packets, ctx);
}

void coalesce_start_resting(struct coalesce *coalesce, struct ev_loop *loop, int setting,
                            uint64_t (*packets)(void *ctx), void *ctx)
{
    start(coalesce, loop, setting, true, packets, ctx);
}

uint64_t coalesce_left_us(const struct coalesce *coalesce)
{
    uint64_t took_us = coalesce->interval_us > 0 ? clock_now_us() - coalesce->looked_us : 0;

    return took_us < coalesce->interval_us ? coalesce->interval_us - took_us : 0;
}

void coalesce_stop(struct coalesce *coalesce)
{
    ev_ref(coalesce->loop);
    ev_check_stop(coalesce->loop, &coalesce->after_wait);
}

void coalesce_set(struct coalesce *coalesce, int setting)
{
    coalesce->setting = setting;
    apply(coalesce, coalesce_interval(setting, coalesce->interval_us, coalesce->packets_per_s));
}
