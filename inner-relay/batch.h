/*
 * SAs that are added, changed and deleted together, as the answer of a call wants it: all of that
 * is done, or nothing at all. From the first step to the end in one turn of the event loop, so that
 * no packet and no frame sees what is between.
 */
#ifndef INNER_RELAY_BATCH_H
#define INNER_RELAY_BATCH_H

#include <stdint.h>

#include "inner-relay/admit.h"
#include "inner-relay/change.h"
#include "inner-relay/inner.h"

/*
 * Of 16 m= lines: what two send, each perhaps in another SA's place; and these, whom they talked
 * to, and whom they talk to now.
 */
enum { BATCH_STEPS_MAX = 64, BATCH_GOALS_MAX = 128 };

enum batch_kind { BATCH_ADD, BATCH_CHANGE, BATCH_DELETE };

struct batch_step {
    enum batch_kind kind;
    struct sa *sa;
    struct change change;
};

/* Where an SA went before the first step: that may change by a step that is another's. */
struct batch_goal {
    uint64_t id, reverse;
    struct sa_transport destination;
    enum sa_encap encap_out;
};

struct batch {
    struct inner *inner;
    unsigned step_count, goal_count;
    struct batch_step step[BATCH_STEPS_MAX];
    struct batch_goal goal[BATCH_GOALS_MAX];
};

/* It is empty. */
void batch_init(struct batch *batch, struct inner *inner);

/* As admit() and admit_change(). Negative with error: this step has changed nothing. */
int batch_add(struct batch *batch, const struct admit_request *request, uint64_t wall_us,
              uint64_t now_us, struct sa **sa, struct admit_error *error);
int batch_change(struct batch *batch, struct sa *sa, const struct admit_request *request,
                 uint64_t now_us, struct admit_error *error);
/* As admit_park(). */
int batch_park(struct batch *batch, struct sa *sa, struct admit_error *error);
/* It is in nobody's way any more. */
int batch_delete(struct batch *batch, struct sa *sa, uint64_t now_us, struct admit_error *error);

/* Ends it: it stays as it is now, or everything is what it was before the first step. */
void batch_commit(struct batch *batch, uint64_t now_us);
void batch_undo(struct batch *batch);

#endif
