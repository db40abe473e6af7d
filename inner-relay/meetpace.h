/*
 * When a meeting with another site may be begun, whoever asks for it: each is a connection to the
 * dmz-relay, and takes one of the few local ports that are ours. And under which number: in one
 * session of the two each makes the same keys again. Pure.
 */
#ifndef INNER_RELAY_MEETPACE_H
#define INNER_RELAY_MEETPACE_H

#include <stdbool.h>
#include <stdint.h>

/* 0: none was begun so far. */
struct meetpace {
    uint64_t begun_us, opened_us; /* the last one; 0: none was */
    uint64_t retry_us, pause_us;
    bool works; /* media has gone by it */
    struct {
        uint64_t session, number; /* of that session the greatest */
    } used[2];                    /* sessions: ours, theirs */
};

/* May it be, beside so many others with the same dmz-relay? */
bool meetpace_may_begin(const struct meetpace *pace, unsigned others, uint64_t now_us);
/* Is it time for one of our own? */
bool meetpace_is_due(const struct meetpace *pace, uint64_t now_us);
void meetpace_begin(struct meetpace *pace, uint64_t now_us);
/* There is a path. */
void meetpace_open(struct meetpace *pace, uint64_t now_us);
/* True: that it works is new. */
bool meetpace_prove(struct meetpace *pace);
/*
 * The path is given up, whoever has seen first that it should be. good: media goes there until now.
 * Where it does not, it has died by itself, and soon is as good as at once.
 */
void meetpace_close(struct meetpace *pace, bool good, uint64_t now_us);
/* It is over: what came to nothing is tried again later and later. */
void meetpace_end(struct meetpace *pace, uint64_t now_us);

/*
 * A number for the next one in this session, which has this mark: 0: none is left. Only who takes
 * it has used it.
 */
uint64_t meetpace_draw(const struct meetpace *pace, unsigned side, uint64_t session,
                       uint64_t random);
/* False: it is not greater than all that were used in this session. */
bool meetpace_take(struct meetpace *pace, unsigned side, uint64_t session, uint64_t number);

#endif
