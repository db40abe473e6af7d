#define LOG_MODULE "calls"
#include "inner-relay/leg.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/random.h"
#include "common/sa/table.h"
#include "inner-relay/callsdp.h"
#include "inner-relay/restored.h"
#include "inner-relay/side.h"

/* What b= says of the receiver's wishes is no promise of the sender's: it may send more. */
enum { RATE_MARGIN = 4, RATE_LEAST = 64000 };

struct leg *leg_new(struct calls *calls, struct call *call)
{
    struct leg *leg = calls_borrow(calls, sizeof(*leg));

    if (!leg)
        return NULL;
    leg->calls = calls;
    leg->call = call;
    return leg;
}

void leg_free(struct leg *leg)
{
    if (leg)
        calls_give_back(leg->calls, leg, sizeof(*leg));
}

static struct sa *sa_of(const struct leg *leg, const struct call_party *party, unsigned line)
{
    uint64_t id = line < party->line_count ? party->line[line].sa : 0;

    return id ? inner_find_sa(leg->calls->inner, id) : NULL;
}

static struct sa *sa_there(const struct leg *leg, unsigned line, unsigned from)
{
    return leg->end[from].sa[line] ? inner_find_sa(leg->calls->inner, leg->end[from].sa[line])
                                   : NULL;
}

/* ------------------------------------------------------------ what both have said */

static int refuse_line(struct call_error *error, int code, unsigned line, const char *why)
{
    return calls_refuse(error, code, "m= line %u: %s", line, why);
}

/* The answer's line chooses; the offer's line with its tag is the offerer's key (RFC 4568). */
static int plan_crypto(struct leg *leg, unsigned line, struct call_error *error)
{
    const struct sdp_media *offer = &leg->end[0].sdp.media[line];
    const struct sdp_media *answer = &leg->end[1].sdp.media[line];
    const struct sdes *chosen = callsdp_usable(answer), *offered;

    if (!chosen)
        return refuse_line(error, ERR_UNSUPPORTED, line,
                           answer->crypto_count > 0 ? answer->crypto[0].unusable
                                                    : "the answer has no a=crypto line");
    offered = sdp_crypto(offer, chosen->tag);
    if (!offered)
        return refuse_line(error, ERR_INVALID, line,
                           "the answer's a=crypto has a tag that was not offered");
    if (offered->unusable)
        return refuse_line(error, ERR_UNSUPPORTED, line, offered->unusable);
    if (offered->suite != chosen->suite)
        return refuse_line(error, ERR_INVALID, line,
                           "the answer's a=crypto has another suite than that tag was offered "
                           "with");
    leg->end[0].crypto[line] = offered;
    leg->end[1].crypto[line] = chosen;
    return 0;
}

/* What the party has, or had before a restart. Keys tell whose that was, or that it is alone. */
static void plan_sa(struct leg *leg, struct leg_end *end, unsigned line, bool by_key)
{
    const struct sdes *crypto = end->crypto[line];
    const struct sa *sa = sa_of(leg, end->party, line);
    uint64_t other = leg->end[end == &leg->end[0]].sa[line];

    if (!sa)
        sa = restored_sa(leg->calls, leg->call, end->side, line, crypto->suite,
                         by_key ? &crypto->key : NULL);
    if (sa && sa->id != other && !end->sa[line])
        end->sa[line] = sa->id;
}

static bool is_known(const struct addr *addr)
{
    return addr->family && addr_kind(addr) != ADDR_UNSPECIFIED;
}

/* Hold with 0.0.0.0 does not say that the phone is elsewhere. */
static void plan_at(struct leg *leg, struct leg_end *end, unsigned line)
{
    const struct sdp_media *media = &end->sdp.media[line];
    struct sa_transport *at = &end->at[line];

    at->mux = leg->mux[line];
    if (!is_known(&media->rtp_addr)) {
        const struct sa *sa =
            end->sa[line] ? inner_find_sa(leg->calls->inner, end->sa[line]) : NULL;

        if (line < end->party->line_count)
            *at = end->party->line[line].at;
        else if (sa)
            *at = sa->source;
        return;
    }
    at->rtp = media->rtp_addr;
    if (!at->mux && is_known(&media->rtcp_addr))
        at->rtcp = media->rtcp_addr;
}

static bool is_told(const struct leg_end *end)
{
    return end->assign && end->side == SA_SIDE_INTERNAL;
}

/* An address outside that nothing may be sent to is a hint: media goes to where the party is heard.
 */
static bool is_hint_only(const struct leg *leg, const struct leg_end *end,
                         const struct sa_transport *at)
{
    const struct inner *inner = leg->calls->inner;

    if (end->side != SA_SIDE_EXTERNAL || inner->options.source_policy == SOURCE_STRICT ||
        side_place(inner, leg->call->link, &at->rtp) == SIDE_PEER)
        return false;
    return target_refusal(&inner->rules, end->side, &at->rtp) ||
           (!at->mux && at->rtcp.family && target_refusal(&inner->rules, end->side, &at->rtcp));
}

static uint32_t rate_of(const struct leg *leg, unsigned line)
{
    uint32_t a = leg->end[0].sdp.media[line].bandwidth, b = leg->end[1].sdp.media[line].bandwidth;
    uint64_t rate = (uint64_t)(a > b ? a : b) * RATE_MARGIN;
    uint32_t most = leg->calls->inner->options.sa_rate;

    if (rate == 0)
        return 0;
    rate = rate < RATE_LEAST ? RATE_LEAST : rate;
    return most && rate > most ? most : (uint32_t)rate;
}

static void name_listener(const struct leg *leg, enum sa_side side, unsigned line, uint8_t family,
                          char name[NAME_SIZE])
{
    struct side_shown shown;

    if (side_shown(leg->calls->inner, leg->call->link, side, line, family, &shown) == 0)
        memcpy(name, shown.name, NAME_SIZE);
}

static void plan_ssrcs(const struct leg_end *end, unsigned line, struct admit_request *request)
{
    const struct sdp_media *media = &end->sdp.media[line];

    if (is_told(end)) {
        request->assign_ssrc = true;
        request->assigned = end->assigned[line];
        return;
    }
    request->ssrc_count = media->ssrc_count;
    memcpy(request->ssrc, media->ssrc, media->ssrc_count * sizeof(media->ssrc[0]));
}

static int64_t timeout_of(bool held)
{
    return held ? SA_TIMEOUT_BY_CALL_HELD : SA_TIMEOUT_BY_CALL;
}

/* All but keys, SSRCs, rate and timeout. */
static void plan_way(struct leg *leg, unsigned line, unsigned from)
{
    const struct leg_end *sender = &leg->end[from], *receiver = &leg->end[!from];
    struct admit_request *request = &leg->request[line][from];

    request->side = sender->side;
    request->to_side = receiver->side;
    request->source = sender->at[line];
    request->hint = sender->signalling;
    request->hint.port = 0;
    request->destination.mux = leg->mux[line];
    if (receiver->at[line].rtp.family && !is_hint_only(leg, receiver, &receiver->at[line]))
        request->destination = receiver->at[line];
    request->no_destination = true;
    call_label(leg->call->call_id, request->call_id);
    request->media_index = (uint8_t)line;
    name_listener(leg, sender->side, line, admit_source_family(request), request->listener);
    name_listener(leg, receiver->side, line, receiver->at[line].rtp.family, request->to_listener);
    snprintf(request->dmz, sizeof(request->dmz), "%s",
             leg->calls->inner->links[leg->call->link].name);
}

static void plan_request(struct leg *leg, unsigned line, unsigned from)
{
    const struct leg_end *sender = &leg->end[from];
    struct admit_request *request = &leg->request[line][from];

    plan_way(leg, line, from);
    request->suite = sender->crypto[line]->suite;
    request->key = sender->crypto[line]->key;
    plan_ssrcs(sender, line, request);
    request->rate = rate_of(leg, line);
    request->media_timeout_s = timeout_of(callsdp_is_held(&sender->sdp.media[line]));
}

static void plan_assigned(const struct leg *leg, struct leg_end *end, unsigned line)
{
    const struct call_party *party = end->party;

    const struct sa *sa = end->sa[line] ? inner_find_sa(leg->calls->inner, end->sa[line]) : NULL;

    if (!is_told(end) || end->assigned[line])
        return;
    if (line < party->line_count)
        end->assigned[line] = party->line[line].assigned;
    else if (sa && sa_is_assigned(sa))
        end->assigned[line] = sa->stream[0].ssrc;
    if (!end->assigned[line])
        end->assigned[line] = admit_reserve_ssrc(leg->calls->inner);
}

static int plan_line(struct leg *leg, unsigned line, struct call_error *error)
{
    const struct sdp_media *offer = &leg->end[0].sdp.media[line];
    const struct sdp_media *answer = &leg->end[1].sdp.media[line];
    int result;

    if (offer->port && answer->port && offer->rtp != answer->rtp)
        return refuse_line(error, ERR_INVALID, line, "RTP on one side only");
    leg->wanted[line] = !leg->direct && callsdp_is_media(offer) && callsdp_is_media(answer);
    if (!leg->wanted[line])
        return 0;
    leg->mux[line] = offer->mux && answer->mux;
    result = plan_crypto(leg, line, error);
    for (unsigned i = 0; i < 4 && result == 0; i++)
        plan_sa(leg, &leg->end[i % 2], line, i < 2);
    for (unsigned i = 0; i < 2 && result == 0; i++) {
        plan_at(leg, &leg->end[i], line);
        plan_assigned(leg, &leg->end[i], line);
    }
    for (unsigned i = 0; i < 2 && result == 0; i++)
        plan_request(leg, line, i);
    return result;
}

int leg_plan(struct leg *leg, struct call_error *error)
{
    int result = 0;

    leg->count = leg->end[0].sdp.media_count;
    if (leg->end[1].sdp.media_count != leg->count)
        return calls_refuse(error, ERR_INVALID, "the answer has %u m= lines, and the offer %u",
                            leg->end[1].sdp.media_count, leg->count);
    for (unsigned i = 0; i < leg->count && result == 0; i++)
        result = plan_line(leg, i, error);
    return result;
}

/* ------------------------------------------------------------ making it so */

/* Sides and the dmz-relay of an SA cannot change: another one takes its place. */
static bool can_stay(const struct leg *leg, const struct sa *sa,
                     const struct admit_request *request)
{
    return sa && sa->side == request->side && sa_to_side(sa) == request->to_side &&
           sa->owner == leg->call->link && sa_is_assigned(sa) == request->assign_ssrc &&
           (!request->assign_ssrc || sa->stream[0].ssrc == request->assigned);
}

static struct sa *old_of(const struct leg *leg, unsigned line, unsigned from)
{
    struct sa *sa = sa_there(leg, line, from);

    return can_stay(leg, sa, &leg->request[line][from]) ? sa : NULL;
}

static int refused(const struct admit_error *why, int code, unsigned line, unsigned from,
                   struct call_error *error)
{
    return calls_refuse(error, code, "m= line %u, what the %s sends: %s%s%s", line,
                        from ? "answerer" : "offerer", why->field ? why->field : "",
                        why->field ? ": " : "", why->text);
}

/* One more than one SA each is checked by admit(). */
static int check_room(const struct leg *leg, size_t wanted, struct call_error *error)
{
    const struct inner *inner = leg->calls->inner;

    if (table_count(inner->table) + wanted > table_max(inner->table))
        return calls_refuse(error, ERR_FULL, "[limits] max-sas = %zu leaves no room for the call",
                            table_max(inner->table));
    return 0;
}

static int check(const struct leg *leg, struct call_error *error)
{
    struct admit_error why;
    size_t wanted = 0;

    for (unsigned line = 0; line < leg->count; line++) {
        for (unsigned from = 0; from < 2 && leg->wanted[line]; from++) {
            struct sa *sa = sa_there(leg, line, from), *old = old_of(leg, line, from);
            int result = 0;

            /* One that goes would be in the way of its own successor. */
            if (!sa || old)
                result = admit_check(leg->calls->inner, &leg->request[line][from], old, &why);
            if (result < 0)
                return refused(&why, result, line, from, error);
            wanted += !sa;
        }
    }
    return check_room(leg, wanted, error);
}

/* In place of one that cannot become it, which may be in its way. */
static int replace(struct leg *leg, unsigned line, unsigned from, struct sa **sa, uint64_t wall_us,
                   uint64_t now_us, struct admit_error *why)
{
    struct sa *gone = sa_there(leg, line, from);
    int result = gone ? batch_delete(&leg->batch, gone, now_us, why) : 0;

    return result < 0 ? result
                      : batch_add(&leg->batch, &leg->request[line][from], wall_us, now_us, sa, why);
}

/* Ids of what both send on this line, as far as they are made. */
static int make_one(struct leg *leg, unsigned line, unsigned from, uint64_t id[2], uint64_t wall_us,
                    uint64_t now_us, struct call_error *error)
{
    struct admit_request *request = &leg->request[line][from];
    struct sa *sa = old_of(leg, line, from);
    struct admit_error why;
    int result;

    request->reverse = id[!from];
    result = sa ? batch_change(&leg->batch, sa, request, now_us, &why)
                : replace(leg, line, from, &sa, wall_us, now_us, &why);
    if (result < 0)
        return refused(&why, result, line, from, error);
    id[from] = sa->id;
    return 0;
}

/* A sender outside comes first: what goes to it may go to where that one is heard. */
static int make_line(struct leg *leg, unsigned line, uint64_t id[2], uint64_t wall_us,
                     uint64_t now_us, struct call_error *error)
{
    unsigned first = leg->end[0].side == SA_SIDE_EXTERNAL ? 0 : 1;
    int result;

    for (unsigned from = 0; from < 2; from++) {
        const struct sa *old = old_of(leg, line, from);

        id[from] = old ? old->id : 0;
    }
    result = make_one(leg, line, first, id, wall_us, now_us, error);
    if (result == 0)
        result = make_one(leg, line, !first, id, wall_us, now_us, error);
    return result;
}

/* The party that one of the two talked to until now. */
static int park_other(struct leg *leg, unsigned end, struct call_error *error)
{
    int partner = leg->end[end].party->partner;
    struct admit_error why;
    int result = 0;

    if (partner < 0 || partner == leg->end[!end].number)
        return 0;
    for (unsigned line = 0; line < leg->call->party[partner]->line_count && result == 0; line++) {
        struct sa *sa = sa_of(leg, leg->call->party[partner], line);

        if (sa)
            result = batch_park(&leg->batch, sa, &why);
    }
    return result < 0 ? calls_refuse(error, result, "another branch of the call: %s", why.text) : 0;
}

static void settle_end(struct leg *leg, struct leg_end *end, int partner, uint64_t now_us)
{
    struct call_party *party = end->party;

    if (party->partner >= 0 && party->partner != partner)
        leg->call->party[party->partner]->partner = -1;
    party->partner = partner;
    party->side = end->side;
    if (end->signalling.family)
        party->signalling = end->signalling;
    party->assign = end->assign;
    if (callsdp_family(&end->sdp))
        party->family = callsdp_family(&end->sdp);
    calls_drop_lines(leg->calls, party, leg->count, now_us);
    party->line_count = leg->count;
}

static enum call_way way_of(const struct leg *leg, unsigned line)
{
    enum call_way one = callsdp_way(&leg->end[0].sdp.media[line], leg->direct);
    enum call_way other = callsdp_way(&leg->end[1].sdp.media[line], leg->direct);

    return one == CALL_WAY_REJECTED ? one : other;
}

static void settle_line(struct leg *leg, unsigned from, unsigned line, uint64_t id, uint64_t now_us)
{
    struct leg_end *end = &leg->end[from];
    struct call_line *out = &end->party->line[line];
    struct sa *gone = out->sa && out->sa != id ? inner_find_sa(leg->calls->inner, out->sa) : NULL;

    out->sa = id;
    out->held = leg->wanted[line] && callsdp_is_held(&end->sdp.media[line]);
    out->kind = (uint8_t)callsdp_kind(&end->sdp.media[line]);
    out->way = (uint8_t)way_of(leg, line);
    if (gone)
        inner_delete(leg->calls->inner, gone, now_us);
    if (!leg->wanted[line])
        return;
    out->at = end->at[line];
    out->assigned = end->assigned[line];
}

static int make(struct leg *leg, uint64_t id[CALL_LINES_MAX][2], uint64_t wall_us, uint64_t now_us,
                struct call_error *error)
{
    int result = 0;

    for (unsigned i = 0; i < 2 && result == 0; i++)
        result = park_other(leg, i, error);
    for (unsigned line = 0; line < leg->count && result == 0; line++) {
        if (leg->wanted[line])
            result = make_line(leg, line, id[line], wall_us, now_us, error);
    }
    return result;
}

int leg_commit(struct leg *leg, uint64_t wall_us, uint64_t now_us, struct call_error *error)
{
    uint64_t id[CALL_LINES_MAX][2] = {{0}};
    int result = leg->direct ? 0 : check(leg, error);

    if (result < 0)
        return result;
    batch_init(&leg->batch, leg->calls->inner);
    result = make(leg, id, wall_us, now_us, error);
    if (result < 0) {
        batch_undo(&leg->batch);
        return result;
    }
    batch_commit(&leg->batch, now_us);
    for (unsigned i = 0; i < 2; i++) {
        settle_end(leg, &leg->end[i], leg->end[!i].number, now_us);
        for (unsigned line = 0; line < leg->count; line++)
            settle_line(leg, i, line, id[line][i], now_us);
    }
    return 0;
}

void leg_park(struct calls *calls, struct call *call, unsigned number)
{
    struct call_party *party = call->party[number];

    party->partner = -1;
    for (unsigned line = 0; line < party->line_count; line++) {
        struct sa *sa =
            party->line[line].sa ? inner_find_sa(calls->inner, party->line[line].sa) : NULL;

        if (sa)
            admit_park(calls->inner, sa);
    }
}

/* ------------------------------------------------------------ once more */

static void resume_end(struct leg *leg, unsigned i, unsigned number)
{
    struct leg_end *end = &leg->end[i];

    end->number = (int)number;
    end->party = leg->call->party[number];
    end->side = end->party->side;
    end->signalling = end->party->signalling;
    end->assign = end->party->assign;
    for (unsigned line = 0; line < end->party->line_count; line++) {
        end->sa[line] = end->party->line[line].sa;
        end->at[line] = end->party->line[line].at;
        end->assigned[line] = end->party->line[line].assigned;
    }
}

/* The offer that the branch has answered, if it is there yet: another branch may have taken another
 * key of it. */
static void read_agreed(struct leg *leg)
{
    struct sdp *sdp = &leg->end[0].sdp;
    struct call_error error;

    for (unsigned i = 0; i < leg->call->stage_count; i++) {
        const struct call_stage *stage = leg->call->stage[i];
        const struct call_request offered = {.sdp = stage->sdp, .sdp_length = stage->sdp_length};

        if (stage->offerer == (unsigned)leg->end[0].number &&
            stage->serial == leg->end[1].party->committed &&
            callsdp_read(&offered, sdp, &error) < 0)
            sdp->media_count = 0;
    }
}

/* A key that was offered with the suite that the branch has taken; its own, if that is one. */
static bool resume_key(const struct leg *leg, unsigned line, unsigned from, const struct sa *sa,
                       struct admit_request *request)
{
    const struct sdp *sdp = &leg->end[from].sdp;
    bool found = sa->suite == request->suite &&
                 (!sa->srtp || srtp_session_key(sa->srtp, SRTP_KEY_MASTER, &request->key) == 0);

    for (unsigned i = 0; line < sdp->media_count && i < sdp->media[line].crypto_count; i++) {
        const struct sdes *crypto = &sdp->media[line].crypto[i];

        if (crypto->unusable || crypto->suite != request->suite)
            continue;
        if (!found)
            request->key = crypto->key;
        found = true;
    }
    return found;
}

static bool resume_request(struct leg *leg, unsigned line, unsigned from)
{
    const struct leg_end *end = &leg->end[from];
    struct admit_request *request = &leg->request[line][from];
    const struct sa *sa = sa_there(leg, line, from);

    plan_way(leg, line, from);
    request->suite = sa_there(leg, line, 1)->suite;
    request->rate = sa->rate.octets_per_second;
    request->media_timeout_s = timeout_of(end->party->line[line].held);
    request->assign_ssrc = is_told(end);
    request->assigned = is_told(end) ? end->assigned[line] : 0;
    for (unsigned i = 0; i < sa->stream_count && !is_told(end); i++) {
        if (sa->stream[i].origin == SSRC_ORIGIN_SIGNALLED && request->ssrc_count < SA_SSRC_MAX)
            request->ssrc[request->ssrc_count++] = sa->stream[i].ssrc;
    }
    return resume_key(leg, line, from, sa, request);
}

static bool resume_plan(struct leg *leg)
{
    bool any = false;

    leg->count = leg->end[0].party->line_count;
    if (leg->count > leg->end[1].party->line_count)
        leg->count = leg->end[1].party->line_count;
    for (unsigned line = 0; line < leg->count; line++) {
        leg->mux[line] = leg->end[1].at[line].mux;
        leg->end[0].at[line].mux = leg->mux[line];
        leg->wanted[line] = sa_there(leg, line, 0) && sa_there(leg, line, 1) &&
                            resume_request(leg, line, 0) && resume_request(leg, line, 1);
        any |= leg->wanted[line];
    }
    return any;
}

static void resume_settle(struct leg *leg, uint64_t id[CALL_LINES_MAX][2])
{
    for (unsigned i = 0; i < 2; i++) {
        int before = leg->end[i].party->partner;

        if (before >= 0)
            leg->call->party[before]->partner = -1;
    }
    for (unsigned i = 0; i < 2; i++) {
        leg->end[i].party->partner = leg->end[!i].number;
        for (unsigned line = 0; line < leg->count; line++) {
            if (leg->wanted[line])
                leg->end[i].party->line[line].sa = id[line][i];
        }
    }
}

bool leg_resume(struct calls *calls, struct call *call, unsigned hub, unsigned branch,
                uint64_t now_us)
{
    struct leg *leg = leg_new(calls, call);
    uint64_t id[CALL_LINES_MAX][2] = {{0}};
    struct call_error error = {0};
    bool done;

    if (!leg)
        return false;
    resume_end(leg, 0, hub);
    resume_end(leg, 1, branch);
    read_agreed(leg);
    done = resume_plan(leg);
    batch_init(&leg->batch, calls->inner);
    /* What is made anew here (the branch is on another side) is as old as the last message. */
    if (done && make(leg, id, call->signalled_us, now_us, &error) < 0) {
        batch_undo(&leg->batch);
        log_info("call %llu: a branch could not have the media again: %s",
                 (unsigned long long)call->number, error.text);
        done = false;
    } else if (done) {
        batch_commit(&leg->batch, now_us);
        resume_settle(leg, id);
    }
    leg_free(leg);
    return done;
}
