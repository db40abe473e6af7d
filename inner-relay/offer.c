/* An offer: staged beside what works, until it is answered. */
#define LOG_MODULE "calls"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/random.h"
#include "common/sa/table.h"
#include "inner-relay/admit.h"
#include "inner-relay/branches.h"
#include "inner-relay/calls.h"
#include "inner-relay/callsdp.h"
#include "inner-relay/plan.h"
#include "inner-relay/restored.h"
#include "inner-relay/side.h"

/* Octets of SDP in the pool that calls share, for each of max-calls. */
enum { SDP_OCTETS_EACH = 4096 };

/* SAs that are held for a call without an answer. Who offers more lines may find no room later. */
enum { RESERVED_MAX = 4 };

/* What is known of an offer, step by step. It has keys. */
struct offer {
    struct calls *calls;
    const struct call_request *request;
    struct call *call; /* NULL: a new one */
    int party, other;  /* -1: not known in the call */
    unsigned link;
    struct addr signalling;
    enum sa_side side[2];
    bool side_said, direct, assign;
    uint64_t print;
    struct call_stage *repeated; /* it came before */
    uint8_t family;
    uint32_t assigned[CALL_LINES_MAX];
    unsigned key_count;
    uint64_t key_print[SDP_MEDIA_MAX * SDP_CRYPTO_MAX]; /* of the usable ones of its a=crypto */
    struct sdp sdp;
};

static const struct call_party *party_of(const struct offer *offer, int number)
{
    return number >= 0 ? offer->call->party[number] : NULL;
}

static bool is_too_long(const char *text)
{
    return strlen(text) >= CALL_TEXT_SIZE;
}

int calls_check_request(const struct call_request *request, struct call_error *error)
{
    *error = (struct call_error){0};
    if (!request->call_id[0])
        return calls_refuse(error, ERR_INVALID, "call-id is missing");
    if (!request->from_tag[0])
        return calls_refuse(error, ERR_INVALID, "from-tag is missing");
    if (strcmp(request->from_tag, request->to_tag) == 0)
        return calls_refuse(error, ERR_INVALID,
                            "from-tag and to-tag are the same: those of two parties differ");
    if (is_too_long(request->call_id) || is_too_long(request->from_tag) ||
        is_too_long(request->to_tag) || is_too_long(request->via_branch))
        return calls_refuse(error, ERR_TOO_LONG,
                            "call-id, tags and via-branch have up to %d octets",
                            CALL_TEXT_SIZE - 1);
    return 0;
}

/* A repeat has another cookie, but says the same (a retransmitted INVITE). */
uint64_t calls_print(const struct calls *calls, const struct call_request *request)
{
    uint64_t part[] = {
        hash_bytes(&calls->key, request->sdp, request->sdp_length),
        hash_bytes(&calls->key, request->to_tag, strlen(request->to_tag)),
        hash_bytes(&calls->key, request->via_branch, strlen(request->via_branch)),
        (uint64_t)request->direction[0] << 8 | (uint64_t)request->direction[1] << 16 |
            (uint64_t)request->family << 24 | (uint64_t)request->replace_origin << 32 |
            (uint64_t)request->replace_session_connection << 33 |
            (uint64_t)request->ice_remove << 34 | (uint64_t)request->assign_ssrc << 35,
    };

    return hash_bytes(&calls->key, part, sizeof(part));
}

/* ------------------------------------------------------------ where it comes from and goes */

static unsigned choose_link(const struct inner *inner)
{
    unsigned best = 0;

    for (size_t i = inner->link_count; i-- > 0;) {
        const struct inner_link *link = &inner->links[i], *before = &inner->links[best];
        bool up = link->session && session_up_since(link->session) > 0;
        bool best_up = before->session && session_up_since(before->session) > 0;

        if (link->forwarder)
            continue;
        if (up || (!best_up && (link->peer.version || !before->peer.version)))
            best = (unsigned)i;
    }
    return best;
}

static void find_call(struct offer *offer)
{
    const struct call_request *request = offer->request;

    offer->call = calls_find(offer->calls, request->call_id, request->from_tag, request->to_tag);
    offer->party = offer->other = -1;
    if (offer->call) {
        offer->party = call_find_party(offer->call, request->from_tag);
        offer->other = call_find_party(offer->call, request->to_tag);
    }
    offer->link = offer->call     ? offer->call->link
                  : request->link ? request->link - 1
                                  : choose_link(offer->calls->inner);
    offer->signalling = request->received_from;
    offer->signalling.port = 0;
}

/* What is said of it counts, then what is known: anybody may write a tag into a message. */
static int find_side(struct offer *offer, struct call_error *error)
{
    const struct inner *inner = offer->calls->inner;
    const struct call_request *request = offer->request;
    const struct call_party *party = party_of(offer, offer->party);
    const struct addr *from = &request->received_from;

    offer->side[0] = request->direction[0] ? request->direction[0]
                     : party               ? party->side
                                           : side_of(inner, 0, from);
    if (!offer->side[0])
        return calls_refuse(error, ERR_INVALID,
                            "neither direction nor received-from says which side this comes "
                            "from; flags = direction=external,internal or the like would be right");
    if (!request->direction[0] && party &&
        side_contradicts(inner, party->side, &party->signalling, from))
        return calls_refuse(
            error, ERR_FORBIDDEN,
            "the party with this from-tag is on the %s side, and this does not come "
            "from where its messages came from; if it has moved, direction=%s,... "
            "would be right",
            sa_side_name(party->side), sa_side_name(side_of(inner, 0, from)));
    return 0;
}

/* A [peer] is outside. Only where nobody has said, or known, otherwise, the SDP tells that. */
static int find_peer(struct offer *offer, struct call_error *error)
{
    if (offer->side[0] == SA_SIDE_EXTERNAL ||
        !callsdp_is_peer(offer->calls, offer->link, &offer->sdp))
        return 0;
    if (offer->request->direction[0] || offer->party >= 0)
        return calls_refuse(error, ERR_INVALID,
                            "the SDP has the address of a [peer], outside, and who sends it is on "
                            "the internal side; direction=external,... would be right");
    offer->side[0] = SA_SIDE_EXTERNAL;
    return 0;
}

/* Who knows a Call-ID and a tag may not put himself in that party's place from the other side. */
static int check_moved(const struct offer *offer, struct call_error *error)
{
    const struct call_party *party = party_of(offer, offer->party);

    if (!party || party->side == offer->side[0] || offer->other >= 0)
        return 0;
    return calls_refuse(error, ERR_EXISTS,
                        "there is a call with this call-id and from-tag, and that party is on the "
                        "%s side: without the to-tag of another party this is no message of its",
                        sa_side_name(party->side));
}

static int find_sides(struct offer *offer, struct call_error *error)
{
    const struct call_request *request = offer->request;
    const struct call_party *other = party_of(offer, offer->other);
    int result = find_side(offer, error);

    if (result == 0)
        result = find_peer(offer, error);
    if (result == 0)
        result = check_moved(offer, error);
    if (result < 0)
        return result;
    offer->side_said = request->direction[1];
    offer->side[1] = request->direction[1] ? request->direction[1]
                     : other               ? other->side
                                           : side_other(offer->side[0]);
    offer->direct = offer->side[0] == SA_SIDE_INTERNAL && offer->side[1] == SA_SIDE_INTERNAL &&
                    !offer->calls->options.relay_internal;
    return 0;
}

/* ------------------------------------------------------------ may it be? */

static void print_keys(struct offer *offer)
{
    for (unsigned i = 0; i < offer->sdp.media_count; i++) {
        for (unsigned k = 0; k < offer->sdp.media[i].crypto_count; k++) {
            const struct srtp_key *key = &offer->sdp.media[i].crypto[k].key;

            if (key->kind != SRTP_KEY_NONE)
                offer->key_print[offer->key_count++] =
                    hash_bytes(&offer->calls->key, key->octets, key->length);
        }
    }
}

static bool shares_key(const struct offer *offer, const struct call_stage *stage)
{
    for (unsigned i = 0; i < offer->key_count; i++) {
        for (unsigned k = 0; k < stage->key_count; k++) {
            if (offer->key_print[i] == stage->key_print[k])
                return true;
        }
    }
    return false;
}

/* Our own address with a key that the same party has offered already: it came round. */
static int check_spiral(const struct offer *offer, struct call_error *error)
{
    if (offer->party < 0 || !callsdp_is_own(offer->calls, offer->link, &offer->sdp))
        return 0;
    for (unsigned i = 0; i < offer->call->stage_count; i++) {
        const struct call_stage *stage = offer->call->stage[i];

        if (stage->offerer == (unsigned)offer->party && stage->print != offer->print &&
            shares_key(offer, stage))
            return calls_refuse(error, ERR_EXISTS,
                                "a spiral: this call has been through the relay already, with "
                                "the same keys");
    }
    return 0;
}

static int check_tunnel(const struct offer *offer, struct call_error *error)
{
    const struct inner_link *link = &offer->calls->inner->links[offer->link];

    if (offer->side[0] == SA_SIDE_INTERNAL && offer->side[1] == SA_SIDE_INTERNAL)
        return 0;
    if (link->peer.version == 0)
        return calls_refuse(error, ERR_FULL,
                            "dmz %s has not been connected yet: its addresses are not known",
                            link->name);
    if (offer->side[0] == offer->side[1] && !(link->peer.features & FEATURE_HAIRPIN))
        return calls_refuse(error, ERR_UNSUPPORTED,
                            "dmz %s sends nothing from outside to outside: it is of an older "
                            "version",
                            link->name);
    if (offer->call || offer->calls->options.when_down == CALL_WHEN_DOWN_ACCEPT)
        return 0;
    return link->session && session_up_since(link->session) > 0
               ? 0
               : calls_refuse(error, ERR_FULL, "the tunnel to dmz %s is down", link->name);
}

static bool has_octets(const struct offer *offer)
{
    const struct calls *calls = offer->calls;
    size_t before = offer->call ? offer->call->octets : 0;
    size_t more =
        call_octets_above(before + offer->request->sdp_length) - call_octets_above(before);

    return more == 0 ||
           calls->staged + more <= SDP_MAX_OCTETS + calls->max * (size_t)SDP_OCTETS_EACH;
}

/*
 * Phones say what they want in one or two KB: who says more may not fill the memory with it, nor
 * keep those out who do not.
 */
static int check_octets(const struct offer *offer, struct call_error *error)
{
    const struct calls *calls = offer->calls;

    if (offer->repeated || (offer->call && offer->call->answered) || has_octets(offer))
        return 0;
    return calls_refuse(error, ERR_FULL, "the SDP of the offers that are there fills %zu octets",
                        calls->staged);
}

/* Without a=ssrc its answer would be refused: it is said before a phone rings. */
static int check_ssrcs(const struct offer *offer, struct call_error *error)
{
    const struct inner *inner = offer->calls->inner;
    const struct call_party *party = party_of(offer, offer->party);
    bool assign = offer->request->assign_ssrc || (party && party->assign) ||
                  (offer->call && restored_assigned(offer->calls, offer->call, offer->side[0]));

    if (assign && offer->side[0] == SA_SIDE_INTERNAL)
        return 0;
    if (inner->options.learns_ssrcs && !plan_is_keyless(inner, offer->side[0]))
        return 0;
    for (unsigned i = 0; i < offer->sdp.media_count; i++) {
        const struct sdp_media *media = &offer->sdp.media[i];

        if (callsdp_is_media(media) && media->ssrc_count == 0)
            return calls_refuse(error, ERR_UNSUPPORTED,
                                "SDP line %u: no a=ssrc, and with [learning] ssrc-policy = strict "
                                "or dmz-keys = keyless none is learned",
                                media->line);
    }
    return 0;
}

static int check_room(const struct offer *offer, struct call_error *error)
{
    const struct calls *calls = offer->calls;
    const struct inner_link *link = &calls->inner->links[offer->link];
    size_t wanted = callsdp_sas(&offer->sdp) + calls->reserved, held;

    if (offer->call)
        return 0;
    if (calls_count_id(calls, offer->request->call_id) >= CALLS_OF_ONE_ID)
        return calls_refuse(error, ERR_EXISTS, "there are %d calls with this call-id already",
                            CALLS_OF_ONE_ID);
    if (calls->count >= calls->max)
        return calls_refuse(error, ERR_FULL, "all %zu calls of [signalling] max-calls are there",
                            calls->max);
    if (offer->direct)
        return 0;
    if (table_count(calls->inner->table) + wanted > table_max(calls->inner->table))
        return calls_refuse(error, ERR_FULL, "[limits] max-sas = %zu leaves no room for the call",
                            table_max(calls->inner->table));
    held = table_count_owner(calls->inner->table, offer->link);
    if (held + wanted > link->peer.quota || held + wanted > link->peer.capacity)
        return calls_refuse(error, ERR_FULL, "dmz %s takes no more SAs of this site", link->name);
    return 0;
}

static int check(const struct offer *offer, struct call_error *error)
{
    int result = 0;

    if (!offer->direct) {
        result = check_tunnel(offer, error);
        if (result == 0)
            result = check_spiral(offer, error);
        if (result == 0)
            result = callsdp_check(offer->calls, offer->link, offer->side[0], &offer->sdp, error);
        if (result == 0)
            result = check_ssrcs(offer, error);
    }
    if (result == 0)
        result = check_octets(offer, error);
    return result < 0 ? result : check_room(offer, error);
}

/* ------------------------------------------------------------ staging */

static bool is_of(const struct call_stage *stage, const struct offer *offer)
{
    return stage->offerer == (unsigned)offer->party &&
           strcmp(stage->to_tag, offer->request->to_tag) == 0 &&
           strcmp(stage->branch, offer->request->via_branch) == 0;
}

/*
 * Two re-INVITEs, and not one that comes twice? The same words mean something else when the other
 * party has offered something since. A branch of its own makes each its own.
 */
static bool is_again(const struct offer *offer, const struct call_stage *stage)
{
    return stage->to_tag[0] && !stage->branch[0] && call_is_superseded(offer->call, stage);
}

static void find_repeated(struct offer *offer)
{
    offer->print = calls_print(offer->calls, offer->request);
    for (unsigned i = 0; offer->party >= 0 && i < offer->call->stage_count; i++) {
        struct call_stage *stage = offer->call->stage[i];

        if (is_of(stage, offer) && stage->print == offer->print && !is_again(offer, stage))
            offer->repeated = stage;
    }
}

/* What the one that is to answer had on this line before; 0: none. */
static uint32_t assigned_before(const struct offer *offer, unsigned line)
{
    const struct call_party *other = party_of(offer, offer->other);
    const struct sa *sa;

    if (other && line < other->line_count)
        return other->line[line].assigned;
    sa = offer->call ? restored_sa(offer->calls, offer->call, offer->side[1], line, NULL, NULL)
                     : NULL;
    return sa && sa_is_assigned(sa) ? sa->stream[0].ssrc : 0;
}

/* One that no line before this one has got, either. */
static uint32_t reserve(const struct offer *offer, unsigned line)
{
    uint32_t ssrc = admit_reserve_ssrc(offer->calls->inner);

    for (unsigned i = 0; i < line; i++) {
        if (offer->assigned[i] == ssrc)
            return reserve(offer, line);
    }
    return ssrc;
}

/* SSRCs for who is to answer, inside: those that were promised before, or new ones. */
static void choose_assigned(struct offer *offer)
{
    const struct call_party *other = party_of(offer, offer->other);

    offer->assign = offer->request->assign_ssrc || (other && other->assign) ||
                    (offer->call && restored_assigned(offer->calls, offer->call, offer->side[1]));
    if (offer->repeated)
        memcpy(offer->assigned, offer->repeated->assigned, sizeof(offer->assigned));
    if (offer->repeated || !offer->assign || offer->direct || offer->side[1] != SA_SIDE_INTERNAL)
        return;
    for (unsigned i = 0; i < offer->sdp.media_count; i++) {
        if (!callsdp_is_media(&offer->sdp.media[i]))
            continue;
        offer->assigned[i] = assigned_before(offer, i);
        if (!offer->assigned[i])
            offer->assigned[i] = reserve(offer, i);
    }
}

static int show(struct offer *offer, struct call_reply *reply, struct call_error *error)
{
    const struct call_party *other = party_of(offer, offer->other);
    struct callsdp_view view = {.side = offer->side[1],
                                .family = offer->request->family,
                                .must = offer->request->family != 0,
                                .direct = offer->direct,
                                .assigned = offer->assigned};

    if (!view.family && other)
        view.family = other->family;
    offer->family = view.family;
    return callsdp_show(offer->calls, offer->link, &view, offer->request, &offer->sdp, reply,
                        error);
}

/*
 * Those that nobody will answer any more: the one that this one takes the place of, and in a dialog
 * the one before, which was rejected. What was answered stays: its answer may come again.
 */
static void forget_older(struct offer *offer)
{
    const char *to_tag = offer->request->to_tag;

    for (unsigned i = offer->call->stage_count; i-- > 0;) {
        const struct call_stage *stage = offer->call->stage[i];
        bool same_dialog = stage->offerer == (unsigned)offer->party && to_tag[0] &&
                           strcmp(stage->to_tag, to_tag) == 0;

        if (!stage->answered && (same_dialog || is_of(stage, offer)))
            call_remove_stage(offer->call, i);
    }
}

static bool is_idle(const struct offer *offer, unsigned number)
{
    const struct call *call = offer->call;
    const struct call_party *party = call->party[number];
    bool used = party->partner >= 0 || (int)number == offer->other;

    for (unsigned k = 0; k < call->stage_count; k++)
        used |= call->stage[k]->offerer == number;
    for (unsigned k = 0; k < party->line_count; k++)
        used |= party->line[k].sa != 0;
    return !used;
}

/* One that neither talks nor may be answered makes room; else a branch without media. */
static void let_party_go(struct offer *offer, uint64_t now_us)
{
    struct call *call = offer->call;
    int gone = branches_oldest(call, offer->other);

    for (unsigned i = 0; i < call->party_count; i++) {
        if (is_idle(offer, i))
            gone = (int)i;
    }
    if (gone < 0)
        return;
    calls_drop_lines(offer->calls, call->party[gone], 0, now_us);
    call_remove_party(call, (unsigned)gone);
    if (offer->other > gone)
        offer->other--;
}

static int add_party(struct offer *offer, uint64_t now_us)
{
    if (offer->call->party_count >= CALL_PARTIES_MAX)
        let_party_go(offer, now_us);
    if (offer->call->party_count >= CALL_PARTIES_MAX)
        return ERR_FULL;
    offer->party = call_add_party(offer->call, offer->request->from_tag);
    if (offer->party < 0)
        return offer->party;
    offer->call->party[offer->party]->side = offer->side[0];
    offer->call->party[offer->party]->signalling = offer->signalling;
    offer->call->party[offer->party]->hub = offer->other;
    return 0;
}

static int add_stage(struct offer *offer, uint64_t now_us)
{
    const struct call_request *request = offer->request;
    struct call_stage *stage;

    forget_older(offer);
    /* A call that stands is never refused for that: it has what it has said before to give. */
    while (offer->call->answered && !has_octets(offer) && call_forget_answered(offer->call))
        ;
    stage = call_add_stage(offer->call, request->to_tag, request->via_branch, request->sdp,
                           request->sdp_length);
    if (!stage)
        return ERR_NOMEM;
    if (!call_set_keys(stage, offer->key_print, offer->key_count)) {
        call_remove_stage(offer->call, offer->call->stage_count - 1);
        return ERR_NOMEM;
    }
    stage->offerer = (unsigned)offer->party;
    stage->line_count = offer->sdp.media_count;
    stage->print = offer->print;
    stage->at_us = now_us;
    stage->offerer_side = offer->side[0];
    stage->signalling = offer->signalling;
    stage->side = offer->side[1];
    stage->side_said = offer->side_said;
    stage->direct = offer->direct;
    stage->assign = offer->assign;
    stage->family = offer->family;
    call_promise(offer->call, stage, offer->assigned);
    return 0;
}

static void reserve_sas(const struct offer *offer)
{
    size_t count = callsdp_sas(&offer->sdp);

    calls_reserve(offer->calls, offer->call, count < RESERVED_MAX ? count : RESERVED_MAX);
}

static int stage(struct offer *offer, uint64_t wall_us, uint64_t now_us, struct call_error *error)
{
    bool is_new = !offer->call;
    int result = 0;

    if (is_new)
        offer->call = calls_add(offer->calls, offer->request->call_id, wall_us, now_us);
    if (!offer->call)
        return calls_refuse(error, ERR_NOMEM, "out of memory");
    offer->call->link = offer->link;
    if (offer->party < 0)
        result = add_party(offer, now_us);
    if (result == 0)
        result = add_stage(offer, now_us);
    if (result < 0 && is_new)
        calls_remove(offer->calls, offer->call);
    if (result < 0)
        return calls_refuse(error, result, "the call takes no more parties: %s", err_text(result));
    if (!offer->call->answered && !offer->direct)
        reserve_sas(offer);
    offer->call->signalled_us = wall_us;
    offer->call->heard_us = now_us;
    return 0;
}

/* A refresh of the session may say what the last one said; its answer may be another. */
static void offer_again(struct call_stage *stage)
{
    stage->again = stage->answered && stage->to_tag[0] && !stage->branch[0];
}

static int take(struct offer *offer, uint64_t wall_us, uint64_t now_us, struct call_reply *reply,
                struct call_error *error)
{
    int result = callsdp_read(offer->request, &offer->sdp, error);

    if (result < 0)
        return result;
    print_keys(offer);
    find_call(offer);
    find_repeated(offer);
    result = find_sides(offer, error);
    if (result == 0)
        result = check(offer, error);
    if (result < 0)
        return result;
    choose_assigned(offer);
    result = show(offer, reply, error);
    if (result == 0 && offer->repeated)
        offer_again(offer->repeated);
    else if (result == 0)
        result = stage(offer, wall_us, now_us, error);
    if (result < 0)
        calls_reply_free(reply);
    return result;
}

int calls_offer(struct calls *calls, const struct call_request *request, uint64_t wall_us,
                uint64_t now_us, struct call_reply *reply, struct call_error *error)
{
    int result = calls_check_request(request, error);
    struct offer *offer = NULL;

    *reply = (struct call_reply){0};
    if (result == 0) {
        offer = calls_borrow(calls, sizeof(*offer));
        result = offer ? 0 : calls_refuse(error, ERR_NOMEM, "out of memory");
    }
    if (result == 0) {
        offer->calls = calls;
        offer->request = request;
        result = take(offer, wall_us, now_us, reply, error);
    }
    calls_give_back(calls, offer, sizeof(*offer));
    calls->counts.offers += result == 0;
    calls->counts.refused += result < 0;
    calls->counts.load_limit += result == ERR_FULL;
    return result;
}
