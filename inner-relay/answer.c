/* An answer: commits an offer that was staged. */
#define LOG_MODULE "calls"
#include <string.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "inner-relay/calls.h"
#include "inner-relay/callsdp.h"
#include "inner-relay/leg.h"
#include "inner-relay/restored.h"
#include "inner-relay/side.h"

/* What is known of an answer, step by step. */
struct answer {
    struct calls *calls;
    const struct call_request *request;
    struct call *call;
    struct call_stage *stage;
    bool new_party;
    uint64_t print;
    struct leg *leg;
};

/* How well an offer fits: by its branch, then by whom it was for, then the newest. */
static int fits(const struct call_stage *stage, const struct call_request *request)
{
    bool for_anybody = !stage->to_tag[0], for_them = strcmp(stage->to_tag, request->to_tag) == 0;

    if (!for_anybody && !for_them)
        return -1;
    return (request->via_branch[0] && strcmp(stage->branch, request->via_branch) == 0) * 2 +
           (!for_anybody && for_them);
}

static int find_stage(struct answer *answer, struct call_error *error)
{
    const struct call_request *request = answer->request;
    struct call *call = calls_find(answer->calls, request->call_id, request->from_tag, "");
    int party = call ? call_find_party(call, request->from_tag) : -1, best = -1;

    answer->call = call;
    if (party < 0)
        return calls_refuse(error, ERR_NOT_FOUND,
                            "no offer with this call-id and from-tag was made, or it is too old");
    for (unsigned i = 0; i < call->stage_count; i++) {
        int fit = call->stage[i]->offerer == (unsigned)party ? fits(call->stage[i], request) : -1;

        if (fit >= 0 && fit >= best) {
            best = fit;
            answer->stage = call->stage[i];
        }
    }
    return answer->stage ? 0
                         : calls_refuse(error, ERR_NOT_FOUND,
                                        "no offer of this party waits for an answer with this "
                                        "to-tag, or it is too old");
}

/* 0: nowhere else than it was offered to, as far as is known. */
static enum sa_side elsewhere(const struct answer *answer)
{
    const struct inner *inner = answer->calls->inner;
    const struct call_request *request = answer->request;
    const struct call_stage *stage = answer->stage;
    int number = call_find_party(answer->call, request->to_tag);
    struct addr before = {0};
    bool contradicts;

    if (stage->side_said)
        return 0;
    if (request->direction[0])
        return request->direction[0] != stage->side ? request->direction[0] : 0;
    if (number >= 0)
        before = answer->call->party[number]->signalling;
    contradicts = side_contradicts(inner, stage->side, &before, &request->received_from);
    return contradicts ? side_of(inner, 0, &request->received_from) : 0;
}

static int check_side(const struct answer *answer, struct call_error *error)
{
    const struct call_stage *stage = answer->stage;
    enum sa_side from = elsewhere(answer);

    if (from)
        return calls_refuse(error, ERR_INVALID,
                            "the answer comes from the %s side, and the offer was shown to the "
                            "%s one; in the offer, direction=%s,%s would be right",
                            sa_side_name(from), sa_side_name(stage->side),
                            sa_side_name(stage->offerer_side), sa_side_name(from));
    if (stage->side == SA_SIDE_INTERNAL &&
        callsdp_is_peer(answer->calls, answer->call->link, &answer->leg->end[1].sdp))
        return calls_refuse(error, ERR_INVALID,
                            "the answer has the address of a [peer], outside, and the offer was "
                            "shown to the internal side; in the offer, direction=%s,external would "
                            "be right",
                            sa_side_name(stage->offerer_side));
    return stage->direct ? 0
                         : callsdp_check(answer->calls, answer->call->link, stage->side,
                                         &answer->leg->end[1].sdp, error);
}

/* ------------------------------------------------------------ the two ends */

static void fill_offerer(struct answer *answer)
{
    const struct call_stage *stage = answer->stage;
    struct leg_end *end = &answer->leg->end[0];

    end->number = (int)stage->offerer;
    end->party = answer->call->party[stage->offerer];
    end->side = stage->offerer_side;
    end->signalling = stage->signalling.family ? stage->signalling : end->party->signalling;
    end->assign = end->party->assign || stage->assign || answer->request->assign_ssrc ||
                  restored_assigned(answer->calls, answer->call, end->side);
}

static int fill_answerer(struct answer *answer, struct call_error *error)
{
    const struct call_request *request = answer->request;
    struct leg_end *end = &answer->leg->end[1];

    end->number = call_find_party(answer->call, request->to_tag);
    if (end->number < 0) {
        end->number = call_add_party(answer->call, request->to_tag);
        if (end->number < 0)
            return calls_refuse(error, end->number, "the call takes no more branches: %s",
                                err_text(end->number));
        answer->new_party = true;
        answer->call->party[end->number]->hub = (int)answer->stage->offerer;
    }
    end->party = answer->call->party[end->number];
    end->side = answer->stage->side;
    end->signalling =
        request->received_from.family ? request->received_from : end->party->signalling;
    end->assign = end->party->assign || answer->stage->assign ||
                  restored_assigned(answer->calls, answer->call, end->side);
    memcpy(end->assigned, answer->stage->assigned, sizeof(end->assigned));
    return 0;
}

static int read_both(struct answer *answer, struct call_error *error)
{
    const struct call_stage *stage = answer->stage;
    const struct call_request offered = {.sdp = stage->sdp, .sdp_length = stage->sdp_length};
    int result = callsdp_read(answer->request, &answer->leg->end[1].sdp, error);

    return result < 0 ? result : callsdp_read(&offered, &answer->leg->end[0].sdp, error);
}

static int show(const struct answer *answer, struct call_reply *reply, struct call_error *error)
{
    const struct leg *leg = answer->leg;
    struct callsdp_view view = {.side = leg->end[0].side,
                                .family = answer->request->family,
                                .direct = leg->direct,
                                .mux = leg->mux,
                                .assigned = leg->end[0].assigned};

    view.must = view.family != 0;
    if (!view.family)
        view.family = callsdp_family(&leg->end[0].sdp);
    if (!view.family) /* it offered no media this time */
        view.family = leg->end[0].party->family;
    return callsdp_show(answer->calls, answer->call->link, &view, answer->request, &leg->end[1].sdp,
                        reply, error);
}

/* The same again, and nothing has happened since that it would undo. */
static bool is_repeated(const struct answer *answer)
{
    const struct call_stage *stage = answer->stage;
    const struct leg_end *end = &answer->leg->end[1];

    if (!stage->answered || answer->print != stage->answer_print || stage->answerer != end->number)
        return false;
    return stage->serial < answer->call->committed ||
           answer->call->party[stage->offerer]->partner == end->number;
}

static void settle(struct answer *answer, uint64_t wall_us, uint64_t now_us)
{
    struct call_stage *stage = answer->stage;

    stage->answered = true;
    stage->answer_print = answer->print;
    stage->answerer = answer->leg->end[1].number;
    stage->at_us = now_us;
    calls_set_answered(answer->calls, answer->call);
    if (stage->serial > answer->call->committed)
        answer->call->committed = stage->serial;
    answer->call->signalled_us = wall_us;
    answer->call->heard_us = now_us;
    calls_reserve(answer->calls, answer->call, 0);
}

static int commit(struct answer *answer, uint64_t wall_us, uint64_t now_us,
                  struct call_reply *reply, struct call_error *error)
{
    int result = leg_plan(answer->leg, error);

    if (result == 0)
        result = show(answer, reply, error);
    if (result < 0 || is_repeated(answer))
        return result;
    result = leg_commit(answer->leg, wall_us, now_us, error);
    if (result == 0)
        settle(answer, wall_us, now_us);
    if (result == 0)
        restored_settle(answer->calls, answer->call, answer->request->call_id, now_us);
    return result;
}

static int take(struct answer *answer, uint64_t wall_us, uint64_t now_us, struct call_reply *reply,
                struct call_error *error)
{
    int result = find_stage(answer, error);

    if (result < 0)
        return result;
    answer->leg = leg_new(answer->calls, answer->call);
    if (!answer->leg)
        return calls_refuse(error, ERR_NOMEM, "out of memory");
    answer->print = calls_print(answer->calls, answer->request);
    answer->leg->direct = answer->stage->direct;
    result = read_both(answer, error);
    if (result == 0)
        result = check_side(answer, error);
    if (result < 0)
        return result;
    fill_offerer(answer);
    result = fill_answerer(answer, error);
    if (result == 0)
        result = commit(answer, wall_us, now_us, reply, error);
    if (result < 0 && answer->new_party)
        call_remove_party(answer->call, answer->call->party_count - 1);
    return result;
}

int calls_answer(struct calls *calls, const struct call_request *request, uint64_t wall_us,
                 uint64_t now_us, struct call_reply *reply, struct call_error *error)
{
    struct answer answer = {.calls = calls, .request = request};
    int result = calls_check_request(request, error);

    *reply = (struct call_reply){0};
    if (result == 0 && !request->to_tag[0])
        result = calls_refuse(error, ERR_INVALID, "to-tag is missing: who answers?");
    if (result == 0)
        result = take(&answer, wall_us, now_us, reply, error);
    leg_free(answer.leg);
    if (result < 0)
        calls_reply_free(reply);
    calls->counts.answers += result == 0;
    calls->counts.refused += result < 0;
    calls->counts.load_limit += result == ERR_FULL;
    return result;
}
