#define LOG_MODULE "admit"
#include "inner-relay/batch.h"

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/sa/authority.h"

void batch_init(struct batch *batch, struct inner *inner)
{
    batch->inner = inner;
    batch->step_count = batch->goal_count = 0;
}

/* ------------------------------------------------------------ steps */

static void remember(struct batch *batch, const struct sa *sa)
{
    for (unsigned i = 0; sa && i < batch->goal_count; i++) {
        if (batch->goal[i].id == sa->id)
            return;
    }
    if (sa)
        batch->goal[batch->goal_count++] = (struct batch_goal){.id = sa->id,
                                                               .reverse = sa->reverse,
                                                               .destination = sa->destination,
                                                               .encap_out = sa->encap_out};
}

/* sa may be NULL: it is yet to be made. Before anything is changed. */
static int prepare(struct batch *batch, const struct sa *sa, uint64_t reverse,
                   struct admit_error *error)
{
    struct inner *inner = batch->inner;

    if (batch->step_count == BATCH_STEPS_MAX || batch->goal_count + 3 > BATCH_GOALS_MAX)
        return admit_refuse(error, ERR_FULL, NULL, "more SAs than can change together");
    remember(batch, sa);
    if (sa && sa->reverse)
        remember(batch, inner_find_sa(inner, sa->reverse));
    if (reverse)
        remember(batch, inner_find_sa(inner, reverse));
    return 0;
}

static struct batch_step *add_step(struct batch *batch, enum batch_kind kind, struct sa *sa)
{
    struct batch_step *step = &batch->step[batch->step_count++];

    step->kind = kind;
    step->sa = sa;
    return step;
}

int batch_add(struct batch *batch, const struct admit_request *request, uint64_t wall_us,
              uint64_t now_us, struct sa **sa, struct admit_error *error)
{
    int result = prepare(batch, NULL, request->reverse, error);

    if (result == 0)
        result = admit(batch->inner, request, wall_us, now_us, sa, error);
    if (result == 0)
        add_step(batch, BATCH_ADD, *sa);
    return result;
}

int batch_change(struct batch *batch, struct sa *sa, const struct admit_request *request,
                 uint64_t now_us, struct admit_error *error)
{
    int result = prepare(batch, sa, request->reverse, error);
    struct change change;

    if (result == 0)
        result = change_make(batch->inner, sa, request, now_us, &change, error);
    if (result == 0)
        add_step(batch, BATCH_CHANGE, sa)->change = change;
    return result;
}

int batch_park(struct batch *batch, struct sa *sa, struct admit_error *error)
{
    int result = prepare(batch, sa, 0, error);

    if (result == 0)
        admit_park(batch->inner, sa);
    return result;
}

int batch_delete(struct batch *batch, struct sa *sa, uint64_t now_us, struct admit_error *error)
{
    int result = prepare(batch, sa, 0, error);

    if (result < 0)
        return result;
    inner_take_out(batch->inner, sa, now_us);
    add_step(batch, BATCH_DELETE, sa);
    return 0;
}

/* ------------------------------------------------------------ the end */

void batch_commit(struct batch *batch, uint64_t now_us)
{
    for (unsigned i = 0; i < batch->step_count; i++) {
        struct batch_step *step = &batch->step[i];

        if (step->kind == BATCH_CHANGE)
            change_keep(batch->inner, &step->change, now_us);
        else if (step->kind == BATCH_DELETE)
            inner_dispose(batch->inner, step->sa);
    }
}

static void undo_step(struct inner *inner, struct batch_step *step)
{
    uint64_t id = step->sa->id;

    if (step->kind == BATCH_ADD)
        inner_forget(inner, step->sa);
    else if (step->kind == BATCH_CHANGE)
        change_take_back(inner, &step->change);
    else if (inner_put_back(inner, step->sa) < 0)
        log_error("SA %llu is lost: out of memory", (unsigned long long)id);
}

static void undo_goal(struct inner *inner, const struct batch_goal *goal)
{
    struct sa *sa = inner_find_sa(inner, goal->id);

    if (!sa)
        return;
    sa->reverse = goal->reverse;
    sa->destination = goal->destination;
    sa->encap_out = goal->encap_out;
    authority_changed(&inner->links[sa->owner].authority, sa);
    inner->hooks.kick(inner->hooks.ctx, &inner->links[sa->owner]);
}

void batch_undo(struct batch *batch)
{
    while (batch->step_count > 0)
        undo_step(batch->inner, &batch->step[--batch->step_count]);
    while (batch->goal_count > 0)
        undo_goal(batch->inner, &batch->goal[--batch->goal_count]);
}
