/* What becomes of an SA while its call goes on: it stays the same SA, for who sends and at the
 * dmz-relay, whose replay windows and bindings go on where nothing speaks against it.
 */
#define LOG_MODULE "admit"
#include <string.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/sa/far.h"
#include "common/sa/learn.h"
#include "common/sa/rekey.h"
#include "common/sa/table.h"
#include "common/srtp/srtp.h"
#include "inner-relay/admit.h"
#include "inner-relay/change.h"
#include "inner-relay/draft.h"
#include "inner-relay/judge.h"

static void changed(struct inner *inner, struct sa *sa)
{
    struct inner_link *link = &inner->links[sa->owner];

    authority_changed(&link->authority, sa);
    inner->hooks.kick(inner->hooks.ctx, link);
    inner->hooks.changed(inner->hooks.ctx);
}

/* ------------------------------------------------------------ what it is found by */

/* All that changes when a source or an SSRC is signalled anew. */
struct place {
    struct sa_transport source;
    struct addr hint;
    enum source_policy policy;
    uint32_t print;
    bool bound[2];
    struct sa_move move;
    uint64_t bound_heard_us, moved_us;
    enum sa_encap encap_in;
    struct sa_stream *stream;
    uint8_t stream_count, oldest_stream;
};

static struct place get_place(const struct sa *sa)
{
    return (struct place){.source = sa->source,
                          .hint = sa->hint,
                          .policy = sa->source_policy,
                          .print = sa->source_print,
                          .bound = {sa->bound[0], sa->bound[1]},
                          .move = sa->move,
                          .bound_heard_us = sa->bound_heard_us,
                          .moved_us = sa->moved_us,
                          .encap_in = sa->encap_in,
                          .stream = sa->stream,
                          .stream_count = sa->stream_count,
                          .oldest_stream = sa->oldest_stream};
}

static void set_place(struct sa *sa, const struct place *place)
{
    sa->source = place->source;
    sa->hint = place->hint;
    sa->source_policy = place->policy;
    sa->source_print = place->print;
    memcpy(sa->bound, place->bound, sizeof(sa->bound));
    sa->move = place->move;
    sa->bound_heard_us = place->bound_heard_us;
    sa->moved_us = place->moved_us;
    sa->encap_in = place->encap_in;
    sa->stream = place->stream;
    sa->stream_count = place->stream_count;
    sa->oldest_stream = place->oldest_stream;
}

static void swap_place(struct sa *a, struct sa *b)
{
    struct place of_a = get_place(a), of_b = get_place(b);

    set_place(a, &of_b);
    set_place(b, &of_a);
}

static void swap_session(struct sa *a, struct sa *b)
{
    struct srtp_session *session = a->srtp;

    a->srtp = b->srtp;
    b->srtp = session;
}

/* Learned ones are no matter of the request's. */
static bool same_ssrcs(struct sa *sa, struct sa *draft)
{
    unsigned count = 0;

    for (unsigned i = 0; i < sa->stream_count; i++) {
        if (sa->stream[i].origin == SSRC_ORIGIN_LEARNED)
            continue;
        if (!sa_stream(draft, sa->stream[i].ssrc))
            return false;
        count++;
    }
    return count == draft->stream_count;
}

static bool same_place(struct sa *sa, struct sa *draft)
{
    return sa->encap_in == draft->encap_in && sa->source_print == draft->source_print &&
           same_ssrcs(sa, draft);
}

static int keep_stream(struct sa *draft, const struct sa_stream *known)
{
    struct sa_stream *stream;
    int result = 0;

    if (!sa_stream(draft, known->ssrc))
        result = sa_stream_add(draft, known->ssrc, SSRC_ORIGIN_LEARNED);
    if (result < 0)
        return result;
    stream = sa_stream(draft, known->ssrc);
    stream->index = known->index;
    stream->stats = known->stats;
    return 0;
}

/*
 * ROC and replay windows stay with the key. An SSRC that is signalled no more is
 * good for what its sender still has on the way, until others are signalled.
 */
static int keep_streams(struct sa *draft, struct sa *sa)
{
    bool signalled = draft->stream_count > 0;
    int result = 0;

    for (unsigned i = 0; result == 0 && i < sa->stream_count; i++) {
        const struct sa_stream *known = &sa->stream[i];
        bool stays =
            sa_stream(draft, known->ssrc) || !signalled || known->origin != SSRC_ORIGIN_LEARNED;

        if (stays)
            result = keep_stream(draft, known);
    }
    return result == ERR_FULL ? 0 : result;
}

/* Where nothing was signalled anew, packets have shown better where the sender is. */
static void keep_binding(struct sa *draft, const struct sa *sa)
{
    struct place place = get_place(sa);

    if (draft->source_print != sa->source_print)
        return;
    place.encap_in = draft->encap_in;
    place.stream = draft->stream;
    place.stream_count = draft->stream_count;
    place.oldest_stream = draft->oldest_stream;
    set_place(draft, &place);
}

/*
 * Place and session of draft and sa change hands, if others let sa have them; with dry they change
 * back. What is in nobody's way is not asked about.
 */
static int trade(struct inner *inner, struct sa *sa, struct sa *draft, bool dry,
                 struct admit_error *error)
{
    bool key = draft->srtp;
    int result;

    if (key)
        swap_session(sa, draft);
    table_change_begin(inner->table, sa);
    swap_place(sa, draft);
    result = judge_place(inner, sa, error);
    if (result == 0)
        result = judge_twin(inner, sa, error);
    if (result < 0 || dry) {
        swap_place(sa, draft);
        if (key)
            swap_session(sa, draft);
    }
    table_change_end(inner->table, sa);
    return result;
}

/* What was signalled, and what was learned from that, is no more. Reports of it may be under way.
 */
static void begin_source(struct inner *inner, struct change *change)
{
    struct sa *sa = change->sa;
    const struct sa *before = change->draft;

    change->source = sa->source_print != before->source_print;
    if (!change->source)
        return;
    sa->generation++;
    if (before->bound[0])
        learn_anew(&inner->path.learn, sa, &before->source);
}

/* 1: something has changed. */
static int change_place(struct inner *inner, struct change *change, bool dry,
                        struct admit_error *error)
{
    struct sa *sa = change->sa, *draft = change->draft;
    int result;

    change->key = draft->srtp;
    change->place = !same_place(sa, draft);
    if (!change->key && !change->place)
        return 0;
    keep_binding(draft, sa);
    if (keep_streams(draft, sa) < 0)
        return admit_refuse(error, ERR_NOMEM, NULL, "out of memory");
    result = trade(inner, sa, draft, dry, error);
    if (result < 0 || dry)
        return result;
    change->place = true;
    begin_source(inner, change);
    if (change->key) {
        sa->suite = draft->suite;
        sa->generation++;
    }
    return 1;
}

/* ------------------------------------------------------------ where it goes */

static bool same_transport(const struct sa_transport *a, const struct sa_transport *b)
{
    return addr_equal(&a->rtp, &b->rtp) && a->mux == b->mux &&
           (a->mux || addr_equal(&a->rtcp, &b->rtcp));
}

static bool change_reverse(struct inner *inner, struct sa *sa, const struct sa *draft)
{
    if (sa->reverse == draft->reverse)
        return false;
    inner_untie(inner, sa);
    sa->reverse = draft->reverse;
    inner_tie(inner, sa);
    return true;
}

/* Where the other direction is bound, it goes there, whatever is signalled. */
static bool change_destination(struct inner *inner, struct sa *sa, const struct sa *draft)
{
    bool encap = sa->encap_out != draft->encap_out;
    struct sa_transport before = sa->destination;

    sa->destination = draft->destination;
    sa->encap_out = draft->encap_out;
    learn_settle(&inner->path.learn, sa);
    return encap || !same_transport(&before, &sa->destination);
}

/* ------------------------------------------------------------ the rest */

static void swap_texts(struct sa *a, struct sa *b)
{
    char *texts = a->texts;

    a->texts = b->texts;
    b->texts = texts;
}

static bool change_texts(struct sa *sa, struct sa *draft)
{
    if (strcmp(sa_text(sa, SA_CALL_ID), sa_text(draft, SA_CALL_ID)) == 0 &&
        strcmp(sa_text(sa, SA_LISTENER_IN), sa_text(draft, SA_LISTENER_IN)) == 0 &&
        strcmp(sa_text(sa, SA_LISTENER_OUT), sa_text(draft, SA_LISTENER_OUT)) == 0)
        return false;
    swap_texts(sa, draft);
    return true;
}

static bool change_limits(struct sa *sa, const struct sa *draft, uint64_t now_us)
{
    bool rate = sa->rate.octets_per_second != draft->rate.octets_per_second;
    bool timeout = sa->media_timeout_s != draft->media_timeout_s;
    bool index = sa->media_index != draft->media_index;

    if (rate)
        rate_init(&sa->rate, draft->rate.octets_per_second);
    if (timeout)
        sa->installed_us = now_us; /* silence that was allowed does not count */
    sa->media_timeout_s = draft->media_timeout_s;
    sa->media_index = draft->media_index;
    return rate || timeout || index;
}

/* Without a key: packets have the shape of one suite or of the other. Is anything another? */
static bool change_suite(struct sa *sa, const struct suite *suite)
{
    if (suite == sa->suite)
        return false;
    sa->suite = suite;
    sa->generation++;
    return true;
}

/* From here on nothing is refused. */
static bool change_rest(struct inner *inner, struct change *change, uint64_t now_us)
{
    struct sa *sa = change->sa, *draft = change->draft;
    bool any;

    change->texts = any = change_texts(sa, draft);
    any |= change_limits(sa, draft, now_us);
    any |= sa_is_assigned(sa) && change_suite(sa, draft->suite);
    any |= change_reverse(inner, sa, draft);
    any |= change_destination(inner, sa, draft);
    return any;
}

static int make_draft(struct inner *inner, const struct sa *sa, const struct admit_request *request,
                      struct sa **draft, struct admit_error *error)
{
    int result = draft_make(inner, request, sa, draft, error);

    if (result < 0 || (*draft)->hairpin == sa->hairpin)
        return result;
    sa_free(*draft);
    return admit_refuse(error, ERR_INVALID, "to_side", "the receiver of an SA stays %s",
                        sa_side_name(sa_to_side(sa)));
}

int change_make(struct inner *inner, struct sa *sa, const struct admit_request *request,
                uint64_t now_us, struct change *change, struct admit_error *error)
{
    int result;

    *error = (struct admit_error){0};
    *change = (struct change){.sa = sa,
                              .suite = sa->suite,
                              .rate = sa->rate,
                              .installed_us = sa->installed_us,
                              .generation = sa->generation,
                              .media_timeout_s = sa->media_timeout_s,
                              .media_index = sa->media_index};
    result = make_draft(inner, sa, request, &change->draft, error);
    if (result < 0)
        return result;
    result = change_place(inner, change, false, error);
    if (result < 0) {
        sa_free(change->draft);
        return result;
    }
    change->any = change_rest(inner, change, now_us) || result > 0;
    if (change->any)
        changed(inner, sa);
    return 0;
}

void change_keep(struct inner *inner, struct change *change, uint64_t now_us)
{
    struct sa *sa = change->sa, *draft = change->draft;
    struct srtp_session *before = draft->srtp;

    if (change->source)
        far_unbind(sa);
    if (change->key) {
        draft->srtp = NULL;
        rekey(table_old_keys(inner->table), sa, before, sa->stream, sa->stream_count, now_us);
    } else if (change->suite && change->suite != sa->suite) {
        rekey_suite(table_old_keys(inner->table), sa, change->suite, now_us);
    }
    if (change->any)
        log_debug("SA %llu changed, generation %u", (unsigned long long)sa->id, sa->generation);
    sa_free(draft);
}

void change_take_back(struct inner *inner, struct change *change)
{
    struct sa *sa = change->sa, *draft = change->draft;

    if (change->key)
        swap_session(sa, draft);
    if (change->place) {
        table_change_begin(inner->table, sa);
        swap_place(sa, draft);
        table_change_end(inner->table, sa);
    }
    if (change->texts)
        swap_texts(sa, draft);
    sa->suite = change->suite;
    sa->rate = change->rate;
    sa->installed_us = change->installed_us;
    sa->generation = change->generation;
    sa->media_timeout_s = change->media_timeout_s;
    sa->media_index = change->media_index;
    if (change->any)
        changed(inner, sa);
    sa_free(draft);
}

int admit_change(struct inner *inner, struct sa *sa, const struct admit_request *request,
                 uint64_t now_us, struct admit_error *error)
{
    struct change change;
    int result = change_make(inner, sa, request, now_us, &change, error);

    if (result == 0)
        change_keep(inner, &change, now_us);
    return result;
}

int admit_check_change(struct inner *inner, const struct sa *old,
                       const struct admit_request *request, struct admit_error *error)
{
    struct change change = {.sa = inner_find_sa(inner, old->id)};
    int result = make_draft(inner, change.sa, request, &change.draft, error);

    if (result < 0)
        return result;
    result = change_place(inner, &change, true, error);
    sa_free(change.draft);
    return result;
}

void admit_park(struct inner *inner, struct sa *sa)
{
    if (!sa->reverse && !sa->destination.rtp.family && !sa->destination.rtcp.family)
        return;
    inner_untie(inner, sa);
    sa->reverse = 0;
    sa->destination = (struct sa_transport){.mux = sa->destination.mux};
    sa->encap_out = SA_ENCAP_RTP;
    changed(inner, sa);
}

/* ------------------------------------------------------------ a new key alone */

/* 1: it has a new key, 0: it had this one, or an error of srtp_session_new(). */
static int change_key(struct inner *inner, struct sa *sa, const struct suite *suite,
                      const struct srtp_key *key, uint64_t now_us)
{
    struct srtp_session *before = sa->srtp, *session = NULL;
    int result;

    if (srtp_session_is(before, suite, key))
        return 0;
    result = srtp_session_new(inner->options.engine, &session, suite, key);
    if (result < 0)
        return result;
    sa->srtp = session;
    sa->suite = suite;
    sa->generation++;
    rekey(table_old_keys(inner->table), sa, before, sa->stream, sa->stream_count, now_us);
    return 1;
}

/* An SA without one. 1: it has another suite. */
static int change_suite_alone(struct inner *inner, struct sa *sa, const struct suite *suite,
                              uint64_t now_us)
{
    const struct suite *before = sa->suite;
    bool any = change_suite(sa, suite);

    if (any && before)
        rekey_suite(table_old_keys(inner->table), sa, before, now_us);
    return any;
}

int admit_rekey(struct inner *inner, struct sa *sa, const struct suite *suite,
                const struct srtp_key *key, uint64_t now_us, struct admit_error *error)
{
    int result = judge_key(inner, suite, key, error), any;

    if (result < 0)
        return result;
    any = sa_is_assigned(sa) ? change_suite_alone(inner, sa, suite, now_us)
                             : change_key(inner, sa, suite, key, now_us);
    if (any < 0)
        return admit_refuse(error, any, "key", "no SRTP session could be made: %s", err_text(any));
    if (any == 0)
        return 0;
    log_debug("SA %llu has a new key, generation %u", (unsigned long long)sa->id, sa->generation);
    changed(inner, sa);
    return 0;
}
