/*
 * How long the turns of the event loop are, each from the end of a wait to the
 * next wait: media that comes meanwhile has to wait for so long. A turn that takes
 * long on the wall has either worked for long, which is the relay's own time, or
 * it was kept from working, which is not: the two are counted apart. The relay's own
 * time may be counted too high, by a quarter of a millisecond, and never too low.
 */
#ifndef COMMON_DAEMON_TURNS_H
#define COMMON_DAEMON_TURNS_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

enum { TURNS_LONG_US = 1000, TURNS_HALF_US = 500 };

struct turns {
    struct ev_loop *loop;
    ev_prepare before_wait;
    ev_check after_wait;
    uint64_t began_us;            /* 0: the first turn has yet to begin */
    uint64_t own_us, own_read_us; /* of the thread, and when that was read: at the end of a turn */
    uint64_t switches,
        switches_read_us; /* how often the thread was preempted, and when we looked */
    uint64_t count;
    uint64_t over_500us, over_1ms; /* the thread worked for longer than that */
    uint64_t late;                 /* it did not work for 1 ms, but 1 ms went by */
    uint64_t preempted;            /* of these: the kernel has let others work in its place */
    uint64_t longest_us, longest_own_us;
};

/*
 * Counts the turns from the next one on, in the thread that runs the loop. The loop may end without
 * any watcher but these two.
 */
void turns_start(struct turns *turns, struct ev_loop *loop);
void turns_stop(struct turns *turns);
/* Adds those of another loop; the longest ones are the longer ones. */
void turns_sum(struct turns *sum, const struct turns *turns);
/* What every turn is counted by; for tests. */
void turns_add(struct turns *turns, uint64_t spent_us, uint64_t own_us, bool preempted);

#endif
