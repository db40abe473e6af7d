#define LOG_MODULE "admit"
#include "inner-relay/admit.h"

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/sa/learn.h"
#include "common/sa/table.h"
#include "inner-relay/draft.h"
#include "inner-relay/judge.h"
#include "inner-relay/plan.h"

uint8_t admit_source_family(const struct admit_request *request)
{
    return request->source.rtp.family ? request->source.rtp.family : request->hint.family;
}

static int judge_draft(const struct inner *inner, const struct sa *sa, struct admit_error *error)
{
    int result = judge_place(inner, sa, error);

    return result < 0 ? result : judge_twin(inner, sa, error);
}

/* The caller's SA, which may go into the table. */
static int make(struct inner *inner, const struct admit_request *request, struct sa **sa,
                struct admit_error *error)
{
    int result = draft_make(inner, request, NULL, sa, error);

    if (result < 0)
        return result;
    result = judge_draft(inner, *sa, error);
    if (result < 0)
        sa_free(*sa);
    return result;
}

int admit_check(struct inner *inner, const struct admit_request *request, const struct sa *old,
                struct admit_error *error)
{
    struct sa *sa;
    int result;

    *error = (struct admit_error){0};
    if (old)
        return admit_check_change(inner, old, request, error);
    result = make(inner, request, &sa, error);
    if (result == 0)
        sa_free(sa);
    return result;
}

static void install(struct inner *inner, struct sa *sa)
{
    struct inner_link *link = &inner->links[sa->owner];

    inner->next_id++;
    authority_added(&link->authority, sa);
    inner_tie(inner, sa);
    learn_settle(&inner->path.learn, sa);
    log_debug("SA %llu added: %s sender, label %u", (unsigned long long)sa->id,
              sa_side_name(sa->side), sa->label);
    inner->hooks.kick(inner->hooks.ctx, link);
    inner->hooks.changed(inner->hooks.ctx);
}

int admit(struct inner *inner, const struct admit_request *request, uint64_t wall_us,
          uint64_t now_us, struct sa **out, struct admit_error *error)
{
    struct sa *sa;
    int result;

    *error = (struct admit_error){0};
    result = make(inner, request, &sa, error);
    if (result < 0)
        return result;
    sa->created_us = wall_us;
    sa->installed_us = now_us;
    result = table_insert(inner->table, sa);
    if (result < 0) {
        sa_free(sa);
        return admit_refuse(error, result, NULL, "the table takes no more: %s", err_text(result));
    }
    install(inner, sa);
    *out = sa;
    return 0;
}
