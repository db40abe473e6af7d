#include "common/sa/learn.h"

#include "common/sa/rekey.h"
#include "common/sa/table.h"
#include "common/srtp/srtp.h"

bool learn_right_port(const struct sa *sa, const struct rtp_view *view, bool rtcp_port)
{
    bool rtcp = view->shape == RTP_SHAPE_RTCP;

    return rtcp_port ? rtcp && !sa->source.mux : !rtcp || sa->source.mux;
}

/* ------------------------------------------------------------ searching */

enum { STRAYS_MAX = 2 * BUDGET_TRIES };

/* One search, for one packet. */
struct search {
    const struct learn *learn;
    const struct learn_origin *origin;
    const struct verify_input *input;
    const struct sa *known;
    struct sa *found;
    enum verdict before;  /* what known said */
    enum verdict verdict; /* the one that says most so far */
    enum budget_kind kind;
    unsigned left; /* tries */
    unsigned tried;
    bool many; /* more SAs have the packet's SSRC than are looked at */
    /* Whose packet it nearly was. */
    struct {
        struct sa *sa;
        enum verdict verdict;
    } stray[STRAYS_MAX];
    unsigned strays;
    uint64_t now_us;
};

/* Which verdict says more of a packet that is nobody's? */
static unsigned weight(enum verdict verdict)
{
    switch (verdict) {
    case VERDICT_NO_SA:
        return 0;
    case VERDICT_LEARN_LIMIT:
        return 1;
    case VERDICT_MALFORMED:
        return 2;
    case VERDICT_AUTH_FAIL:
        return 3;
    case VERDICT_PLAIN_RTP:
    case VERDICT_PLAIN_RTCP:
        return 4;
    default:
        return 5; /* replay, key-expired; and what is surely of an SA */
    }
}

static void say(struct search *search, enum verdict verdict)
{
    if (weight(verdict) > weight(search->verdict))
        search->verdict = verdict;
}

static void note_stray(struct search *search, struct sa *sa, enum verdict verdict)
{
    if (search->strays == STRAYS_MAX)
        return;
    search->stray[search->strays].sa = sa;
    search->stray[search->strays++].verdict = verdict;
}

/* What turned out to be another's packet says nothing of those that were asked before. */
static void tell_strays(const struct search *search)
{
    for (unsigned i = 0; i < search->strays; i++)
        verify_stray(search->stray[i].sa, search->origin->source, search->stray[i].verdict,
                     search->now_us);
}

static bool may_be(const struct search *search, const struct sa *sa)
{
    return sa != search->known && (sa->encap_in == SA_ENCAP_RTP_PRIME) == search->input->prime &&
           sa->suite && learn_right_port(sa, &search->input->view, search->origin->rtcp_port);
}

/*
 * A replay for one SA is no first packet of another one with the same key: it would be admitted
 * twice, and the SAs would be two with one SSRC, which nothing tells apart.
 */
static bool is_seen(const struct search *search, const struct sa *sa)
{
    const struct sa *known = search->known;

    if (search->before == VERDICT_REPLAY && known->srtp &&
        srtp_session_one_key(known->srtp, sa->srtp))
        return true;
    for (unsigned i = 0; i < search->strays; i++) {
        if (search->stray[i].verdict == VERDICT_REPLAY &&
            srtp_session_one_key(search->stray[i].sa->srtp, sa->srtp))
            return true;
    }
    return false;
}

/* True when the packet is surely this SA's: the search is over. */
static bool try(struct search *search, struct sa *sa)
{
    enum verdict verdict;

    /* Without a key, a source is all that tells a sender: it is not learned. */
    if (!sa->srtp || is_seen(search, sa))
        return false;
    if (!budget_owner(search->learn->budget, search->kind, sa->owner, search->now_us)) {
        say(search, VERDICT_LEARN_LIMIT);
        return false;
    }
    search->left--;
    search->tried++;
    verdict = verify_try(search->learn->table, sa, search->input, search->now_us);
    if (verdict == VERDICT_ACCEPTED || verdict == VERDICT_RATE ||
        verdict == VERDICT_SSRC_MISMATCH) {
        search->found = sa;
        search->verdict = verdict;
        return true;
    }
    if (verdict == VERDICT_REPLAY)
        learn_replayed(sa, search->origin, search->input, search->now_us);
    note_stray(search, sa, verdict);
    say(search, verdict);
    return false;
}

/* SAs that share source and SSRC with the one that was found first. */
static bool try_alike(struct search *search)
{
    struct table *table = search->learn->table;
    struct sa *sa = NULL;

    while (search->left > 0 &&
           (sa = table_by_stream(table, search->origin->side, search->origin->source,
                                 verify_ssrc(search->input), sa))) {
        if (may_be(search, sa) && try(search, sa))
            return true;
    }
    return false;
}

static bool is_hint(const struct sa *sa, const struct addr *source)
{
    return addr_ip_equal(&sa->source.rtp, source) || addr_ip_equal(&sa->hint, source) ||
           (!sa->source.mux && addr_ip_equal(&sa->source.rtcp, source));
}

/*
 * A sender that is known may have moved; one that is not must come from where it is expected. So
 * must RTCP until it is bound: whoever copies each packet faster would leave nothing to bind it by.
 */
static bool may_come(const struct sa *sa, const struct addr *source, bool rtcp)
{
    if (sa->source_policy == SOURCE_STRICT)
        return false;
    if (rtcp && !sa->source.mux && sa->bound[0] && !sa->bound[1])
        return is_hint(sa, source);
    return sa->bound[0] || sa->source_policy == SOURCE_OPEN || is_hint(sa, source);
}

/* Was it tried already, as one of those at this source? */
static bool is_alike(const struct sa *sa, const struct addr *source)
{
    return addr_equal(&sa->source.rtp, source) ||
           (!sa->source.mux && addr_equal(&sa->source.rtcp, source));
}

/* SAs that have the SSRC, elsewhere. A peer does not move, nor does a sender of RTP'. */
static bool try_matches(struct search *search)
{
    const struct learn_origin *origin = search->origin;
    struct table *table = search->learn->table;
    bool rtcp = search->input->view.shape == RTP_SHAPE_RTCP;
    struct sa *sa = NULL;

    for (unsigned looks = LEARN_MATCHES;; looks--) {
        sa = table_by_ssrc(table, origin->side, search->input->view.ssrc, sa);
        search->many = sa && (looks == 0 || search->left == 0);
        if (!sa || search->many)
            break;
        if (!may_be(search, sa) || is_alike(sa, origin->source))
            continue;
        if (!may_come(sa, origin->source, rtcp))
            note_stray(search, sa, VERDICT_NO_SA);
        else if (try(search, sa))
            return true;
    }
    return false;
}

static bool is_match_due(const struct learn *learn, const struct learn_origin *origin,
                         const struct verify_input *input)
{
    return !input->prime && table_by_ssrc(learn->table, origin->side, input->view.ssrc, NULL);
}

static struct budget_flow flow_of(const struct search *search)
{
    return budget_flow(search->learn->budget, search->origin->source, verify_ssrc(search->input),
                       search->origin->peer);
}

static void try_known(struct search *search)
{
    struct budget *budget = search->learn->budget;
    struct budget_flow flow = flow_of(search);
    unsigned taken = budget_take(budget, &flow, BUDGET_MATCH, BUDGET_TRIES, search->now_us);

    search->kind = BUDGET_MATCH;
    search->left = taken;
    search->tried = 0;
    if (taken == 0) {
        say(search, VERDICT_LEARN_LIMIT);
        return;
    }
    if (!try_alike(search) && !search->input->prime)
        (void)try_matches(search);
    budget_done(budget, &flow, BUDGET_MATCH, taken, search->tried, search->found != NULL);
}

static void try_candidates(struct search *search)
{
    const struct learn *learn = search->learn;
    const struct learn_origin *origin = search->origin;
    /* As RTCP, also among those whose SSRC was signalled, where it is not enough to find them. */
    bool named = search->many || search->input->view.shape == RTP_SHAPE_RTCP;
    struct candidates_search candidates;
    struct candidates_cursor *cursor;
    struct budget_flow flow;
    struct sa *sa;
    unsigned taken;

    if (candidates_begin(table_candidates(learn->table), origin->side, origin->source, named,
                         &candidates) == 0)
        return;
    search->kind = candidates.open_only ? BUDGET_OPEN : BUDGET_SEARCH;
    flow = flow_of(search);
    taken = budget_take(learn->budget, &flow, search->kind, BUDGET_TRIES, search->now_us);
    search->left = taken;
    search->tried = 0;
    if (taken == 0) {
        say(search, VERDICT_LEARN_LIMIT);
        return;
    }
    cursor = budget_cursor(learn->budget, &flow, search->now_us);
    while (search->left > 0 && !search->found && (sa = candidates_next(&candidates, cursor))) {
        if (may_be(search, sa))
            (void)try(search, sa);
    }
    budget_done(learn->budget, &flow, search->kind, taken, search->tried, search->found != NULL);
}

static uint64_t paid_until(const struct sa *sa, uint64_t now_us)
{
    return sa->doubted_us > now_us ? sa->doubted_us : now_us;
}

bool learn_would_doubt(const struct sa *sa, uint64_t now_us)
{
    return paid_until(sa, now_us) - now_us <= (LEARN_DOUBTS - 1) * (uint64_t)LEARN_DOUBT_US;
}

bool learn_may_doubt(struct sa *sa, uint64_t now_us)
{
    if (!learn_would_doubt(sa, now_us))
        return false;
    sa->doubted_us = paid_until(sa, now_us) + LEARN_DOUBT_US;
    return true;
}

void learn_doubted(struct sa *sa)
{
    sa->doubted_us -= LEARN_DOUBT_US;
}

bool learn_is_fresh(const struct learn *learn, enum sa_side side, const struct addr *source)
{
    return candidates_group(table_candidates(learn->table), CANDIDATES_FRESH, side, source).count >
           0;
}

/* match, candidates: there are SAs of this kind to be tried. */
static void search_all(struct search *search, bool match, bool candidates)
{
    const struct learn_origin *origin = search->origin;
    bool unread = search->verdict == VERDICT_REPLAY || search->verdict == VERDICT_KEY_EXPIRED;

    if (match)
        try_known(search);
    /* What one SA has seen before is hardly another's, unless that one is yet to be heard there. */
    if (!search->found && candidates &&
        (!unread || learn_is_fresh(search->learn, origin->side, origin->source)))
        try_candidates(search);
    if (!search->found)
        tell_strays(search);
}

enum verdict learn_search(const struct learn *learn, const struct learn_origin *origin,
                          const struct verify_input *input, struct sa *known, enum verdict before,
                          struct sa **sa, uint64_t now_us)
{
    bool match = known ? table_has_company(learn->table, known, verify_ssrc(input))
                       : is_match_due(learn, origin, input);
    bool candidates = !candidates_are_none(table_candidates(learn->table));
    struct search search;

    *sa = NULL;
    /* A forged packet from the right address should cost no more than a good one. */
    if (!match && !candidates)
        return before;
    search = (struct search){.learn = learn,
                             .origin = origin,
                             .input = input,
                             .known = known,
                             .before = before,
                             .verdict = before,
                             .now_us = now_us};
    search_all(&search, match, candidates);
    *sa = search.found;
    return search.verdict;
}

bool learn_may_find(const struct learn *learn, const struct learn_origin *origin,
                    const struct verify_input *input)
{
    return is_match_due(learn, origin, input) ||
           candidates_may_be(table_candidates(learn->table), origin->side, origin->source,
                             input->view.shape == RTP_SHAPE_RTCP, true);
}

/* ------------------------------------------------------------ where the other direction goes */

static struct sa *reverse_of(const struct learn *learn, const struct sa *sa)
{
    return sa->reverse ? table_by_id(learn->table, sa->owner, sa->reverse) : NULL;
}

/* RTP' goes to peers, outside. */
static bool may_send(const struct learn *learn, const struct sa *sa, enum sa_encap encap, bool rtcp)
{
    const struct addr *to = rtcp ? &sa->source.rtcp : &sa->source.rtp;

    return !(encap == SA_ENCAP_RTP ? target_refusal(learn->rules, sa->side, to)
                                   : target_prime_refusal(learn->rules, sa->side, to, rtcp));
}

/* The other direction goes to where sa is bound. */
static void send_back(const struct learn *learn, const struct sa *sa)
{
    struct sa *other = reverse_of(learn, sa);

    /* A branch of a call that was given up knows so before the caller's SA does. */
    if (!other || other->reverse != sa->id || !sa_may_be_reverse(other, sa) ||
        sa->source_policy == SOURCE_STRICT)
        return;
    /* A reload took its destination away, and has to be told otherwise first. */
    if (other->refused && !other->destination.rtp.family)
        return;
    if (sa->bound[0] && may_send(learn, sa, other->encap_out, false)) {
        other->destination.rtp = sa->source.rtp;
        other->destination.mux = sa->source.mux;
    }
    if (sa->bound[1] && !sa->source.mux && may_send(learn, sa, other->encap_out, true))
        other->destination.rtcp = sa->source.rtcp;
}

void learn_settle(const struct learn *learn, const struct sa *sa)
{
    const struct sa *other = reverse_of(learn, sa);

    send_back(learn, sa);
    if (other)
        send_back(learn, other);
}

void learn_anew(const struct learn *learn, const struct sa *sa, const struct sa_transport *before)
{
    struct sa *other = reverse_of(learn, sa);

    if (!other || !sa_may_be_reverse(other, sa) || !sa->source.rtp.family ||
        !addr_equal(&other->destination.rtp, &before->rtp) ||
        !may_send(learn, sa, other->encap_out, false))
        return;
    other->destination = (struct sa_transport){.rtp = sa->source.rtp, .mux = sa->source.mux};
    if (!sa->source.mux && sa->source.rtcp.family && may_send(learn, sa, other->encap_out, true))
        other->destination.rtcp = sa->source.rtcp;
}

/* ------------------------------------------------------------ binding and moving */

static void bind_source(const struct learn *learn, struct sa *sa, bool rtcp,
                        const struct addr *source, uint64_t now_us)
{
    if (table_is_crowded(learn->table, sa, source))
        return;
    if (!rtcp) {
        if (sa->bound[0]) {
            sa->moved_us = now_us;
            sa->bound[1] = false; /* RTCP has moved with it, who knows whereto */
        }
        sa->bound_heard_us = now_us;
        sa->move = (struct sa_move){0};
    }
    sa->bound[rtcp] = true;
    table_move_source(learn->table, sa, rtcp, source);
    send_back(learn, sa);
}

static unsigned packets_to_bind(const struct sa *sa)
{
    return sa->suite->rtp_tag_octets <= 4 ? LEARN_SHORT_TAG_PACKETS : 1;
}

/* One more in a row from there, each newer than the last, as far as one SSRC tells. */
static void count_move(struct sa_move *move, const struct addr *source, uint32_t ssrc,
                       uint64_t index)
{
    if (!addr_equal(&move->from, source))
        *move = (struct sa_move){.from = *source, .ssrc = ssrc, .first = index};
    else if (move->ssrc != ssrc)
        move->first = index;
    else if (index <= move->highest)
        return;
    move->ssrc = ssrc;
    move->highest = index;
    if (move->packets < UINT8_MAX)
        move->packets++;
}

static bool has_moved(const struct sa *sa, uint64_t now_us)
{
    return sa->move.packets >= LEARN_MOVE_PACKETS &&
           now_us - sa->bound_heard_us >= LEARN_MOVE_SILENCE_US &&
           (!sa->moved_us || now_us - sa->moved_us >= LEARN_MOVE_PAUSE_US);
}

static void stay(struct sa *sa, uint64_t now_us)
{
    sa->move.from.family = 0;
    sa->bound_heard_us = now_us;
}

static void heard_rtp(const struct learn *learn, struct sa *sa, const struct addr *source,
                      const struct verify_input *input, uint64_t now_us)
{
    const struct sa_move *move = &sa->move;
    uint64_t index = verify_index(sa, &input->view);

    if (sa->bound[0] && addr_equal(source, &sa->source.rtp)) {
        /* A late one is no sign: one from elsewhere is fresher. */
        if (!move->from.family || input->view.ssrc != move->ssrc || index > move->highest)
            stay(sa, now_us);
        return;
    }
    if (sa->bound[0] && !sa->bound_heard_us)
        sa->bound_heard_us = now_us; /* of another life: its silence begins now */
    count_move(&sa->move, source, input->view.ssrc, index);
    if (sa->bound[0] ? has_moved(sa, now_us) : sa->move.packets >= packets_to_bind(sa))
        bind_source(learn, sa, false, source, now_us);
}

/* RTCP alone binds and moves nothing: it follows RTP to the host where that is bound. */
static void heard_rtcp(const struct learn *learn, struct sa *sa, const struct addr *source,
                       uint64_t now_us)
{
    if (!sa->bound[1] && sa->bound[0] && addr_ip_equal(source, &sa->source.rtp))
        bind_source(learn, sa, true, source, now_us);
}

void learn_heard(const struct learn *learn, struct sa *sa, const struct learn_origin *origin,
                 const struct verify_input *input, uint64_t now_us)
{
    if (sa->source_policy == SOURCE_STRICT || input->prime || !sa->srtp)
        return;
    if (input->view.shape == RTP_SHAPE_RTP)
        heard_rtp(learn, sa, origin->source, input, now_us);
    else if (!sa->source.mux)
        heard_rtcp(learn, sa, origin->source, now_us);
}

bool learn_is_alone(const struct sa *sa, const struct addr *source,
                    const struct verify_input *input)
{
    if (sa->source_policy == SOURCE_STRICT || input->prime || !sa->srtp)
        return true;
    if (input->view.shape == RTP_SHAPE_RTP)
        return sa->bound[0] && addr_equal(source, &sa->source.rtp);
    return sa->source.mux || sa->bound[1] || !sa->bound[0] ||
           !addr_ip_equal(source, &sa->source.rtp);
}

/* Under the key that goes as well: it is still good for packets from elsewhere, too. */
static bool is_authentic(struct sa *sa, const struct sa_stream *stream,
                         const struct verify_input *input, uint64_t now_us)
{
    return srtp_authenticate(sa->srtp, &stream->index, &input->view, input->packet,
                             input->length) == VERDICT_ACCEPTED ||
           rekey_authenticates(sa, stream, &input->view, input->packet, input->length, now_us);
}

void learn_replayed(struct sa *sa, const struct learn_origin *origin,
                    const struct verify_input *input, uint64_t now_us)
{
    const struct sa_stream *stream = sa_stream(sa, input->view.ssrc);
    const struct sa_move *move = &sa->move;

    if (!move->from.family || !sa->bound[0] || !stream || !sa->srtp ||
        input->view.shape != RTP_SHAPE_RTP || !addr_equal(origin->source, &sa->source.rtp))
        return;
    /* What came before the first packet from elsewhere may have been late, or kept by anybody. */
    if (input->view.ssrc == move->ssrc && verify_index(sa, &input->view) < move->first)
        return;
    if (is_authentic(sa, stream, input, now_us))
        stay(sa, now_us);
}
