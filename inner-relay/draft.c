#include "inner-relay/draft.h"

#include <string.h>

#include "common/base/err.h"
#include "common/base/random.h"
#include "common/sa/table.h"
#include "common/sa/wire.h"
#include "common/srtp/srtp.h"
#include "inner-relay/judge.h"
#include "inner-relay/plan.h"

/* So many SAs of one call have one SSRC at most. */
enum { ALIKE_LOOKS = 16 };

/* No SA of the site has it, nor had it until some seconds ago, whatever dmz-relay it lives on. */
static bool ssrc_is_free(const struct inner *inner, uint32_t ssrc)
{
    bool free = !table_by_ssrc(inner->table, SA_SIDE_EXTERNAL, ssrc, NULL) &&
                !table_by_ssrc(inner->table, SA_SIDE_INTERNAL, ssrc, NULL);

    for (size_t i = 0; i < inner->link_count && free; i++)
        free = authority_label_is_free(&inner->links[i].authority, ssrc);
    return free;
}

/* Up to 2^31, since there are senders whose option for it is a signed number. */
uint32_t admit_reserve_ssrc(const struct inner *inner)
{
    uint32_t ssrc;

    do {
        ssrc = random_u32() >> 1;
    } while (ssrc == 0 || !ssrc_is_free(inner, ssrc) || promises_has(&inner->promises, ssrc));
    return ssrc;
}

static uint32_t assigned_ssrc(const struct inner *inner, const struct admit_request *request,
                              const struct sa *old)
{
    if (old)
        return old->stream[0].ssrc;
    return request->assigned ? request->assigned : admit_reserve_ssrc(inner);
}

static int add_streams(struct sa *sa, const struct inner *inner,
                       const struct admit_request *request, const struct sa *old)
{
    int result = 0;

    if (request->assign_ssrc)
        return sa_stream_add(sa, assigned_ssrc(inner, request, old), SSRC_ORIGIN_ASSIGNED);
    for (unsigned i = 0; result == 0 && i < request->ssrc_count; i++)
        result = sa_stream_add(sa, request->ssrc[i], SSRC_ORIGIN_SIGNALLED);
    return result;
}

static void fill_addresses(struct sa *sa, const struct inner *inner, const struct inner_link *link,
                           const struct admit_request *request, const struct plan *plan)
{
    struct admit_error error;

    sa->source = request->source;
    if (sa->source.mux)
        sa->source.rtcp = (struct addr){0};
    sa->source_policy = plan->policy;
    if (plan->policy != SOURCE_STRICT && request->hint.family) {
        sa->hint = request->hint;
        sa->hint.port = 0;
    }
    sa->source_print = wire_source_print(sa);
    sa->destination = request->destination;
    if (plan->back && request->destination.rtp.family &&
        judge_targets(inner, link, request, &error) < 0)
        sa->destination = (struct sa_transport){.mux = request->destination.mux};
    sa->encap_in = plan->in;
    sa->encap_out = plan->out;
}

static int fill_texts(struct sa *sa, const struct admit_request *request)
{
    bool ok = sa_set_text(sa, SA_CALL_ID, request->call_id) == 0 &&
              sa_set_text(sa, SA_LISTENER_IN, request->listener) == 0 &&
              sa_set_text(sa, SA_LISTENER_OUT, request->to_listener) == 0;

    return ok ? 0 : ERR_NOMEM;
}

static int fill(struct sa *sa, const struct inner *inner, const struct inner_link *link,
                const struct admit_request *request, const struct sa *old, const struct plan *plan)
{
    sa->owner = link->number;
    sa->generation = 1;
    sa->side = request->side;
    sa->hairpin = plan_far_side(request) == request->side;
    fill_addresses(sa, inner, link, request, plan);
    sa->suite = request->suite;
    rate_init(&sa->rate, request->rate ? request->rate : inner->options.sa_rate);
    sa->media_index = request->media_index;
    sa->reverse = request->reverse;
    sa->media_timeout_s = request->media_timeout_s < 0 ? inner->options.media_timeout_s
                                                       : (uint32_t)request->media_timeout_s;
    if (add_streams(sa, inner, request, old) < 0)
        return ERR_NOMEM;
    sa->id = old ? old->id : inner->next_id;
    sa->label = old ? old->label
                    : authority_label(&link->authority,
                                      sa->stream_count > 0 ? sa->stream[0].ssrc : random_u32());
    return fill_texts(sa, request);
}

static int open_session(const struct inner *inner, const struct admit_request *request,
                        const struct sa *old, struct sa *sa, struct admit_error *error)
{
    int result;

    if (sa_is_assigned(sa) || (old && srtp_session_is(old->srtp, request->suite, &request->key)))
        return 0;
    result = sa_open(sa, inner->options.engine, &request->key);
    return result < 0 ? admit_refuse(error, result, "key", "no SRTP session could be made: %s",
                                     err_text(result))
                      : 0;
}

static int find_link(struct inner *inner, const struct admit_request *request, const struct sa *old,
                     struct inner_link **link, struct admit_error *error)
{
    *link =
        old && !request->dmz[0] ? &inner->links[old->owner] : inner_find_link(inner, request->dmz);
    if (!*link)
        return admit_refuse(error, ERR_NOT_FOUND, "dmz", "there is no [dmz %s]", request->dmz);
    if (request->reverse && !inner_find_sa(inner, request->reverse))
        return admit_refuse(error, ERR_NOT_FOUND, "reverse", "there is no SA %llu",
                            (unsigned long long)request->reverse);
    return 0;
}

/* What makes an SA another one, and no other form of the same. */
static int check_old(const struct inner_link *link, const struct admit_request *request,
                     const struct sa *old, struct admit_error *error)
{
    if (link->number != old->owner)
        return admit_refuse(error, ERR_INVALID, "dmz", "an SA stays at its dmz-relay");
    if (request->side != old->side)
        return admit_refuse(error, ERR_INVALID, "side", "the sender of an SA stays %s",
                            sa_side_name(old->side));
    if (plan_far_side(request) != sa_to_side(old))
        return admit_refuse(error, ERR_INVALID, "to_side", "the packets of an SA go %s, always",
                            sa_to_side(old) == SA_SIDE_EXTERNAL ? "outside" : "inside");
    if (request->assign_ssrc != sa_is_assigned(old))
        return admit_refuse(error, ERR_INVALID, "assign_ssrc",
                            "a sender is given its SSRC when its SA is added, or never");
    if (request->assigned && request->assigned != old->stream[0].ssrc)
        return admit_refuse(error, ERR_INVALID, "assigned", "its SSRC is %u, and stays that",
                            old->stream[0].ssrc);
    return 0;
}

/* Branches of one call were told the same one; in the tunnel labels tell them apart. */
static bool has_other_call(const struct inner *inner, enum sa_side side,
                           const struct admit_request *request)
{
    struct sa *sa = NULL;
    unsigned looks = ALIKE_LOOKS;

    while ((sa = table_by_ssrc(inner->table, side, request->assigned, sa))) {
        if (looks-- == 0 || !request->call_id[0] ||
            strcmp(sa_text(sa, SA_CALL_ID), request->call_id) != 0)
            return true;
    }
    return false;
}

static int check_new(const struct inner *inner, const struct inner_link *link,
                     const struct admit_request *request, struct admit_error *error)
{
    if (request->assigned && (has_other_call(inner, SA_SIDE_EXTERNAL, request) ||
                              has_other_call(inner, SA_SIDE_INTERNAL, request)))
        return admit_refuse(error, ERR_EXISTS, "assigned",
                            "SSRC %u is another call's; admit_reserve_ssrc() would give a free one",
                            request->assigned);
    return judge_room(inner, link, request, error);
}

static int judge(struct inner *inner, const struct inner_link *link,
                 const struct admit_request *request, const struct sa *old, struct plan *plan,
                 struct admit_error *error)
{
    int result = plan_make(inner, link, request, old, plan, error);

    if (result == 0)
        result = judge_request(inner, link, request, plan, error);
    if (result < 0)
        return result;
    return old ? check_old(link, request, old, error) : check_new(inner, link, request, error);
}

int draft_make(struct inner *inner, const struct admit_request *request, const struct sa *old,
               struct sa **out, struct admit_error *error)
{
    struct inner_link *link;
    struct plan plan = {0};
    struct sa *sa;
    int result = find_link(inner, request, old, &link, error);

    if (result == 0)
        result = judge(inner, link, request, old, &plan, error);
    if (result < 0)
        return result;
    sa = sa_new();
    if (!sa || fill(sa, inner, link, request, old, &plan) < 0)
        result = admit_refuse(error, ERR_NOMEM, NULL, "out of memory");
    else
        result = open_session(inner, request, old, sa, error);
    if (result < 0)
        sa_free(sa);
    else
        *out = sa;
    return result;
}
