/* An answer: commits an offer that was staged. */
#define LOG_MODULE "calls"
#include <string.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "inner-relay/branches.h"
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

/* ------------------------------------------------------------ to what? */

/* So long a 200 comes again when its ACK was lost (RFC 3261 section 13.3.1.4: 64 * T1). */
enum { AGAIN_S = 32 };

/* Of the offers that it may be an answer to. */
struct candidates {
    struct call_stage *fresh; /* the newest that this party has not answered */
    struct call_stage *same;  /* that it has answered with just this */
    struct call_stage *other; /* the newest that it has answered with something else */
};

static bool is_branch(const struct call_stage *stage, const struct call_request *request)
{
    return request->via_branch[0] && strcmp(stage->branch, request->via_branch) == 0;
}

/*
 * In a dialog the branch is a help: the answer to a late offer, an ACK, has another one. Of a fork
 * it says who answers.
 */
static bool may_be(const struct call_stage *stage, const struct call_request *request)
{
    bool other_branch = request->via_branch[0] && stage->branch[0] && !is_branch(stage, request);

    if (!stage->to_tag[0])
        return !other_branch;
    return strcmp(stage->to_tag, request->to_tag) == 0 && !(other_branch && stage->answered);
}

/* The oldest comes first: the newest stays. One for this party is better than one for anybody. */
static void sort_in(struct candidates *found, struct call_stage *stage,
                    const struct call_answer *known, uint64_t print)
{
    if (known && known->print == print)
        found->same = stage;
    else if (known && !stage->again)
        found->other = stage;
    else if (!found->fresh || stage->to_tag[0] || !found->fresh->to_tag[0])
        found->fresh = stage;
}

static struct candidates find_candidates(const struct answer *answer, unsigned offerer, bool exact)
{
    int party = call_find_party(answer->call, answer->request->to_tag);
    struct candidates found = {0};

    for (unsigned i = 0; i < answer->call->stage_count; i++) {
        struct call_stage *stage = answer->call->stage[i];

        if (stage->offerer == offerer && may_be(stage, answer->request) &&
            is_branch(stage, answer->request) == exact)
            sort_in(&found, stage, call_answer_of(stage, party), answer->print);
    }
    return found;
}

static bool suits_line(const struct sdp_media *offer, const struct sdp_media *answer)
{
    const struct sdes *chosen = callsdp_usable(answer), *offered;

    if (!callsdp_is_media(answer))
        return true;
    offered = chosen ? sdp_crypto(offer, chosen->tag) : NULL;
    return offer->port && offered && offered->suite == chosen->suite;
}

/* Can it be an answer to this offer at all (RFC 3264 section 6)? */
static bool suits(struct answer *answer, const struct call_stage *stage)
{
    const struct call_request offered = {.sdp = stage->sdp, .sdp_length = stage->sdp_length};
    struct sdp *offer = &answer->leg->end[0].sdp, *reply = &answer->leg->end[1].sdp;
    struct call_error error;

    if (callsdp_read(&offered, offer, &error) < 0 || offer->media_count != reply->media_count)
        return false;
    for (unsigned i = 0; i < offer->media_count; i++) {
        if (!suits_line(&offer->media[i], &reply->media[i]))
            return false;
    }
    return true;
}

/*
 * The same again may be the 200 that was sent once more, or the answer to a newer offer by a phone
 * for which nothing has changed. Where no branch tells, it is the latter, if it can be.
 */
static struct call_stage *choose(struct answer *answer, const struct candidates *found,
                                 uint64_t now_us)
{
    struct call_stage *fresh = found->fresh, *same = found->same;

    if (fresh && same && fresh->serial > same->serial)
        return now_us - same->at_us < AGAIN_S * UINT64_C(1000000) && !suits(answer, fresh) ? same
                                                                                           : fresh;
    if (same)
        return same;
    return fresh ? fresh : found->other;
}

static int find_stage(struct answer *answer, uint64_t now_us, struct call_error *error)
{
    const struct call_request *request = answer->request;
    int party = call_find_party(answer->call, request->from_tag);
    struct candidates found;

    found = find_candidates(answer, (unsigned)party, true);
    answer->stage = choose(answer, &found, now_us);
    if (!answer->stage) {
        found = find_candidates(answer, (unsigned)party, false);
        answer->stage = choose(answer, &found, now_us);
    }
    return answer->stage ? 0
                         : calls_refuse(error, ERR_NOT_FOUND,
                                        "no offer of this party waits for an answer with this "
                                        "to-tag and via-branch, or it is too old");
}

static int find_call(struct answer *answer, struct call_error *error)
{
    const struct call_request *request = answer->request;

    answer->call = calls_find(answer->calls, request->call_id, request->from_tag, "");
    if (answer->call && call_find_party(answer->call, request->from_tag) >= 0)
        return 0;
    return calls_refuse(error, ERR_NOT_FOUND,
                        "no offer with this call-id and from-tag was made, or it is too old");
}

/* ------------------------------------------------------------ from where? */

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
    if (end->number < 0 && !branches_have_room(answer->call, answer->stage->offerer))
        return calls_refuse(error, ERR_FULL, "the call takes no more branches: %d are there",
                            CALL_PARTIES_MAX - 1);
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

static int read_offer(struct answer *answer, struct call_error *error)
{
    const struct call_stage *stage = answer->stage;
    const struct call_request offered = {.sdp = stage->sdp, .sdp_length = stage->sdp_length};

    return callsdp_read(&offered, &answer->leg->end[0].sdp, error);
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

/*
 * The two have agreed on something newer; or it is the same again, and nothing has happened since
 * that it would undo.
 */
static bool is_repeated(const struct answer *answer)
{
    const struct call_stage *stage = answer->stage;
    const struct leg_end *end = &answer->leg->end[1];
    const struct call_answer *known = call_answer_of(stage, end->number);

    if (*call_committed(answer->call, stage->offerer, (unsigned)end->number) > stage->serial)
        return true;
    return known && known->print == answer->print &&
           answer->call->party[stage->offerer]->partner == end->number;
}

static void settle(struct answer *answer, uint64_t wall_us, uint64_t now_us)
{
    struct call_stage *stage = answer->stage;

    int number = answer->leg->end[1].number;

    call_set_answer(stage, number, answer->print);
    *call_committed(answer->call, stage->offerer, (unsigned)number) = stage->serial;
    answer->leg->end[1].party->answered_us = now_us;
    stage->again = false;
    stage->at_us = now_us;
    calls_set_answered(answer->calls, answer->call);
    answer->call->signalled_us = wall_us;
    answer->call->heard_us = now_us;
    calls_reserve(answer->calls, answer->call, 0);
}

/* A branch that has agreed on something newer answers the INVITE: it has the media, if it had not.
 */
static void take_back(const struct answer *answer, uint64_t now_us)
{
    const struct leg_end *end = answer->leg->end;

    if (answer->stage->to_tag[0] || end[0].party->partner == end[1].number ||
        end[1].party->hub != end[0].number)
        return;
    if (leg_resume(answer->calls, answer->call, (unsigned)end[0].number, (unsigned)end[1].number,
                   now_us))
        end[1].party->answered_us = now_us;
}

static int commit(struct answer *answer, uint64_t wall_us, uint64_t now_us,
                  struct call_reply *reply, struct call_error *error)
{
    int result = leg_plan(answer->leg, error);

    if (result == 0)
        result = show(answer, reply, error);
    if (result == 0 && is_repeated(answer))
        take_back(answer, now_us);
    if (result < 0 || is_repeated(answer))
        return result;
    result = leg_commit(answer->leg, wall_us, now_us, error);
    if (result == 0)
        settle(answer, wall_us, now_us);
    if (result == 0)
        restored_settle(answer->calls, answer->call, answer->request->call_id, now_us);
    if (result == 0)
        branches_make_room(answer->calls, answer->call, now_us);
    return result;
}

static int take(struct answer *answer, uint64_t wall_us, uint64_t now_us, struct call_reply *reply,
                struct call_error *error)
{
    int result = find_call(answer, error);

    if (result < 0)
        return result;
    answer->leg = leg_new(answer->calls, answer->call);
    if (!answer->leg)
        return calls_refuse(error, ERR_NOMEM, "out of memory");
    answer->print = calls_print(answer->calls, answer->request);
    result = callsdp_read(answer->request, &answer->leg->end[1].sdp, error);
    if (result == 0)
        result = find_stage(answer, now_us, error);
    if (result == 0)
        result = read_offer(answer, error);
    if (result == 0)
        result = check_side(answer, error);
    if (result < 0)
        return result;
    answer->leg->direct = answer->stage->direct;
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
