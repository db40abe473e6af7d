/*
 * How long the turns of the event loop are, each from the end of a wait to the
 * next wait: media that comes meanwhile has to wait for so long. The time is that
 * of a clock on the wall, so that it has in it what other processes took.
 */
#ifndef COMMON_DAEMON_TURNS_H
#define COMMON_DAEMON_TURNS_H

#include <ev.h>
#include <stdint.h>

enum { TURNS_LONG_US = 1000 };

struct turns {
    struct ev_loop *loop;
    ev_prepare before_wait;
    ev_check after_wait;
    uint64_t began_us; /* 0: the first turn has yet to begin */
    uint64_t count, over_1ms, longest_us;
};

/* Counts the turns from the next one on. The loop may end without any watcher but these two. */
void turns_start(struct turns *turns, struct ev_loop *loop);
void turns_stop(struct turns *turns);
/* What every turn is counted by; for tests. */
void turns_add(struct turns *turns, uint64_t spent_us);

#endif
