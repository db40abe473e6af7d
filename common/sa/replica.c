#include "common/sa/replica.h"

#include <stdio.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/random.h"
#include "common/sa/learn.h"
#include "common/sa/rekey.h"
#include "common/sa/table.h"
#include "common/srtp/srtp.h"

void replica_init(struct replica *replica, struct table *table, struct srtp_engine *engine,
                  unsigned owner, uint32_t quota, const struct target_rules *rules,
                  const struct replica_hooks *hooks, void *ctx)
{
    *replica = (struct replica){.table = table,
                                .engine = engine,
                                .owner = owner,
                                .quota = quota,
                                .rules = rules,
                                .hooks = hooks,
                                .ctx = ctx};
}

static void refuse(struct replica *replica, const struct sa *sa, int error, const char *reason)
{
    struct wire_nak nak = {.id = sa->id, .generation = sa->generation, .error = error};

    snprintf(nak.reason, sizeof(nak.reason), "%s", reason);
    replica->hooks->nak(replica->ctx, &nak);
}

/* Marks go round after 2^32 syncs. */
static bool is_stale(const struct replica *replica, const struct sa *sa)
{
    return (int32_t)(sa->mark - replica->stale) < 0;
}

static bool in_snapshot(const struct replica *replica)
{
    return replica->syncing && replica->kind == SYNC_SNAPSHOT;
}

/* ------------------------------------------------------------ SAs by the last sync that named them
 */

/* It comes into the table (by = 1) or leaves it (-1), or its mark is about to change. */
static void count_left(struct replica *replica, const struct sa *sa, int by)
{
    if (is_stale(replica, sa))
        replica->stale_count += (size_t)by;
    if (in_snapshot(replica) && sa->mark == replica->mark)
        replica->named_count += (size_t)by;
}

/* Those in the table that are not left over (is_left_over). */
static size_t live_count(const struct replica *replica)
{
    return in_snapshot(replica)
               ? replica->named_count
               : table_count_owner(replica->table, replica->owner) - replica->stale_count;
}

static void unlink_sa(struct replica *replica, struct sa *sa)
{
    if (replica->report_next == sa)
        replica->report_next = sa->newer;
    if (replica->review_next == sa)
        replica->review_next = sa->newer;
    *(sa->older ? &sa->older->newer : &replica->oldest) = sa->newer;
    *(sa->newer ? &sa->newer->older : &replica->newest) = sa->older;
    sa->older = sa->newer = NULL;
}

/* The authority has just named it. */
static void append(struct replica *replica, struct sa *sa)
{
    sa->mark = replica->mark;
    sa->newer = NULL;
    sa->older = replica->newest;
    *(sa->older ? &sa->older->newer : &replica->oldest) = sa;
    replica->newest = sa;
    count_left(replica, sa, 1);
}

static void remove_from_table(struct replica *replica, struct sa *sa)
{
    count_left(replica, sa, -1);
    table_remove(replica->table, sa);
}

/* For an SA that is no longer in the table. */
static void forget(struct replica *replica, struct sa *sa)
{
    unlink_sa(replica, sa);
    sa_free(sa);
}

static void drop(struct replica *replica, struct sa *sa)
{
    remove_from_table(replica, sa);
    forget(replica, sa);
}

bool replica_sweep_due(const struct replica *replica)
{
    return replica->oldest && is_stale(replica, replica->oldest);
}

bool replica_is_empty(const struct replica *replica)
{
    return !replica->newest || is_stale(replica, replica->newest);
}

bool replica_yield(struct replica *replica, struct sa *sa)
{
    if (!is_stale(replica, sa) && !sa->refused)
        return false;
    drop(replica, sa);
    return true;
}

unsigned replica_sweep(struct replica *replica, unsigned most)
{
    unsigned count = 0;

    for (; count < most && replica_sweep_due(replica); count++)
        drop(replica, replica->oldest);
    return count;
}

/* ------------------------------------------------------------ SA-PUT */

/* Who sends decides how packets stand: a peer sends RTP', anybody else RTP. */
static const char *source_refusal(const struct target_rules *rules, const struct sa *sa, bool rtcp)
{
    const struct addr *addr = sa_transport_addr(&sa->source, rtcp);

    if (!addr)
        return NULL;
    if (sa->encap_in == SA_ENCAP_RTP_PRIME)
        return target_is_peer(rules, addr, rtcp && !sa->source.mux)
                   ? NULL
                   : "the source is no [peer] of this dmz-relay";
    return target_is_peer(rules, addr, false) || target_is_peer(rules, addr, true)
               ? "the source is a [peer] of this dmz-relay, which sends RTP'"
               : NULL;
}

static const char *destination_refusal(const struct target_rules *rules, const struct sa *sa,
                                       bool rtcp)
{
    const struct addr *addr = sa_transport_addr(&sa->destination, rtcp);

    if (!addr)
        return NULL;
    if (sa->encap_out == SA_ENCAP_RTP)
        return target_refusal(rules, SA_SIDE_EXTERNAL, addr);
    return target_is_peer(rules, addr, rtcp && !sa->destination.mux)
               ? NULL
               : "the destination is no [peer] of this dmz-relay";
}

const char *replica_rules_refusal(const struct replica *replica, const struct sa *sa)
{
    const char *why = NULL;

    for (int rtcp = 0; rtcp < 2 && !why; rtcp++) {
        if (sa->side == SA_SIDE_EXTERNAL)
            why = source_refusal(replica->rules, sa, rtcp);
        if (!why && sa_to_side(sa) == SA_SIDE_EXTERNAL)
            why = destination_refusal(replica->rules, sa, rtcp);
    }
    return why;
}

/* Its packets go from outside to outside, and nobody behind the dmz-relay verifies them again. */
static const char *hairpin_refusal(const struct sa *sa, const struct srtp_key *key)
{
    if (sa->side == SA_SIDE_INTERNAL)
        return "what goes from inside to inside is no matter of the dmz-relay";
    if (key->kind == SRTP_KEY_NONE)
        return "from outside to outside nothing goes that the dmz-relay has no key for";
    return addr_equal(&sa->source.rtp, &sa->destination.rtp) && sa->source.rtp.family
               ? "its packets would go back to their sender"
               : NULL;
}

/* Nobody could be found by that, or anybody. */
static const char *unknown_refusal(const struct replica *replica, const struct sa *sa,
                                   const struct srtp_key *key)
{
    bool strict = sa->source_policy == SOURCE_STRICT;
    bool keyless = key->kind == SRTP_KEY_NONE;

    if (keyless && (!strict || sa->stream_count == 0))
        return "a sender without a key needs a strict source and SSRCs";
    /* All calls with a peer have one source, and so have all between sites. */
    if (keyless && sa->encap_in == SA_ENCAP_RTP_PRIME && replica->several_sites)
        return "without a key it would have the [peer] to itself, whose calls other sites have, "
               "too";
    if (sa->encap_in == SA_ENCAP_RTP_PRIME && !strict)
        return "a source of RTP' cannot be learned";
    if (sa->source.rtp.family || sa->source_policy == SOURCE_OPEN)
        return NULL;
    return strict || !sa->hint.family ? "a sender needs a source address, or a hint of one" : NULL;
}

/* An external sender needs a source and a key here; what goes outside, a place to go to. */
static const char *refusal(struct replica *replica, const struct sa *sa, const struct srtp_key *key)
{
    const char *why = sa->hairpin ? hairpin_refusal(sa, key) : NULL;

    if (!why && sa->side == SA_SIDE_EXTERNAL)
        why = unknown_refusal(replica, sa, key);
    if (!why)
        why = replica_rules_refusal(replica, sa);
    if (!why && sa->side == SA_SIDE_EXTERNAL && !sa->suite)
        why = "an external sender needs a suite";
    if (why || sa_to_side(sa) != SA_SIDE_EXTERNAL || !sa->destination.rtp.family)
        return why;
    return replica->hooks->listener_refusal(replica->ctx, sa);
}

/* True: some SSRC is known in another way from now on. */
static bool merge_origins(struct sa *held, const struct sa *put)
{
    bool any = false;

    for (unsigned i = 0; i < put->stream_count; i++) {
        struct sa_stream *stream = sa_stream(held, put->stream[i].ssrc);

        if (stream && stream->origin != put->stream[i].origin) {
            stream->origin = put->stream[i].origin;
            any = true;
        }
    }
    return any;
}

/* What a packet is found and verified by is the same: what the packets have taught stays, what the
 * authority says is taken. */
static void merge(const struct replica *replica, struct sa *held, struct sa *put)
{
    char *texts = held->texts;

    held->version = put->version;
    held->generation = put->generation;
    held->texts = put->texts;
    put->texts = texts;
    held->destination = put->destination;
    held->encap_out = put->encap_out;
    held->reverse = put->reverse;
    held->refused = false;
    if (held->rate.octets_per_second != put->rate.octets_per_second)
        rate_init(&held->rate, put->rate.octets_per_second);
    if (merge_origins(held, put))
        table_streams_added(replica->table, held);
}

static bool same_sender(const struct sa *a, const struct sa *b)
{
    return a->side == b->side && a->hairpin == b->hairpin && a->suite == b->suite;
}

/* Is what is held what was put, down to the form of the key? */
static bool same_key(const struct sa *held, const struct sa *put, const struct srtp_key *key)
{
    return same_sender(held, put) && (held->srtp ? srtp_session_is(held->srtp, held->suite, key)
                                                 : key->kind == SRTP_KEY_NONE);
}

/* The same key in another form, after the authority's dmz-keys changed: it verifies the same. */
static bool same_keys_inside(const struct sa *a, const struct sa *b)
{
    return same_sender(a, b) && a->srtp && b->srtp && srtp_session_one_key(a->srtp, b->srtp) &&
           srtp_session_one_mki(a->srtp, b->srtp);
}

/* Does a have every SSRC that the authority named in b? Learned ones are no matter of its. */
static bool has_streams(struct sa *a, const struct sa *b)
{
    for (unsigned i = 0; i < b->stream_count; i++) {
        if (b->stream[i].origin != SSRC_ORIGIN_LEARNED && !sa_stream(a, b->stream[i].ssrc))
            return false;
    }
    return true;
}

/* What a packet is found by: when it changes, the SA has to be put into the table anew. */
static bool same_place(struct sa *a, struct sa *b)
{
    return a->label == b->label && a->encap_in == b->encap_in &&
           a->source_print == b->source_print && a->source.mux == b->source.mux &&
           addr_equal(&a->source.rtp, &b->source.rtp) &&
           addr_equal(&a->source.rtcp, &b->source.rtcp) && has_streams(a, b) && has_streams(b, a);
}

/* What was signalled is the same: where packets have come from since then is nearer to the truth.
 */
static void keep_binding(struct sa *sa, const struct sa *held)
{
    if (sa->source_print != held->source_print || !(held->bound[0] || held->bound[1]))
        return;
    sa->source = held->source;
    memcpy(sa->bound, held->bound, sizeof(sa->bound));
    sa->move = held->move;
    sa->bound_heard_us = held->bound_heard_us;
    sa->moved_us = held->moved_us;
}

static void keep_history(struct sa *sa, const struct sa *held)
{
    sa->packets = held->packets;
    sa->octets = held->octets;
    sa->last_packet_us = held->last_packet_us;
    memcpy(sa->verdicts, held->verdicts, sizeof(sa->verdicts));
    sa->stray = held->stray;
    sa->carried_ssrc = held->carried_ssrc;
}

static void keep_stream(struct sa_stream *stream, const struct sa_stream *known, bool index)
{
    stream->stats = known->stats;
    if (index)
        stream->index = known->index;
}

/* index: with the same key they keep replay window and ROC, whatever the address. */
static void keep_streams(const struct replica *replica, struct sa *sa, const struct sa *held,
                         bool index)
{
    for (unsigned i = 0; i < held->stream_count; i++) {
        const struct sa_stream *known = &held->stream[i];
        struct sa_stream *stream = sa_stream(sa, known->ssrc);

        if (!stream && known->origin == SSRC_ORIGIN_LEARNED && sa->stream_count < SA_SSRC_MAX)
            stream = table_learn_ssrc(replica->table, sa, known->ssrc);
        if (stream)
            keep_stream(stream, known, index);
    }
}

/*
 * A new key of the same call, as the generation tells; when it does not, the
 * authority has lost its state, and the numbers are those of another call.
 */
static void change_keys(struct replica *replica, struct sa *sa, struct sa *held)
{
    struct rekey_queue *queue = table_old_keys(replica->table);

    if (sa->generation <= held->generation)
        return;
    if (held->srtp && sa->srtp) {
        keep_streams(replica, sa, held, false);
        rekey_move(held, sa);
        rekey(queue, sa, held->srtp, held->stream, held->stream_count, replica->now_us);
        held->srtp = NULL;
    } else if (!held->srtp && !sa->srtp && held->suite && sa->suite) {
        rekey_suite(queue, sa, held->suite, replica->now_us);
    }
}

/* held is the earlier form of sa, or NULL; it goes. same: its key is sa's, in the same form. */
static void take_over(struct replica *replica, struct sa *sa, struct sa *held, bool same)
{
    bool kept = held && (same || same_keys_inside(held, sa));

    if (!held)
        return;
    keep_history(sa, held);
    if (!kept) {
        change_keys(replica, sa, held);
        return;
    }
    keep_streams(replica, sa, held, true);
    rekey_move(held, sa);
    if (!same)
        return;
    srtp_session_free(sa->srtp);
    sa->srtp = held->srtp;
    held->srtp = NULL;
}

/* An SA on its way into the table. */
struct placing {
    struct sa *sa, *held; /* held: its earlier form, or NULL */
    bool same;            /* it has the key of held, in the same form */
    bool keyless;         /* a sender outside, and no key */
};

/*
 * Those at one address all send RTP, or all RTP' (where peers changed with a reload, they did not
 * always). And all have a key, or there is only one.
 */
static struct sa *neighbour_at(const struct replica *replica, const struct placing *placing,
                               bool rtcp)
{
    struct sa *other = table_shares_source(replica->table, placing->sa, rtcp);

    return other && (placing->keyless || !other->srtp || other->encap_in != placing->sa->encap_in)
               ? other
               : NULL;
}

/* What makes an SA at the same address impossible. A sender without a key is told by its source. */
static struct sa *neighbour(const struct replica *replica, const struct placing *placing)
{
    struct sa *other;

    if (placing->sa->side != SA_SIDE_EXTERNAL)
        return NULL;
    other = neighbour_at(replica, placing, false);
    return other ? other : neighbour_at(replica, placing, true);
}

/* A sweep has yet to reach it, or a snapshot under way has yet to name it. */
static bool is_left_over(const struct replica *replica, const struct sa *sa)
{
    return is_stale(replica, sa) || (in_snapshot(replica) && sa->mark != replica->mark);
}

/*
 * What an SA-PUT takes out or deletes at most: one for the id, one for the label, for each SSRC one
 * at either address, and some neighbours; and some more that are left over, to make room.
 */
enum { ROW_MAX = 2 + 2 * SA_SSRC_MAX + 8, ROOM_PER_PUT = 4 };

/* SAs of the site that another one takes the place of. */
struct row {
    unsigned count;
    struct sa *sa[ROW_MAX];
};

/* Has another site only left it behind? Then it is gone now. NULL: one of all that there are. */
static bool other_site_yields(const struct replica *replica, struct sa *sa)
{
    return replica->hooks->yield && replica->hooks->yield(replica->ctx, sa);
}

/* An SA in the way of another one. */
struct obstacle {
    struct sa *sa;   /* NULL: none */
    const char *why; /* it may keep the other one out */
    bool replaced;   /* of this site: the other one takes its place */
    bool left_over;  /* a neighbour of this site that a sweep is about to delete, or of no use */
};

static struct obstacle find_obstacle(const struct replica *replica, const struct placing *placing)
{
    struct sa *other = table_conflict(replica->table, placing->sa);

    if (other)
        return (struct obstacle){
            .sa = other,
            .why = "other sites have as many SAs with this source and SSRC as may be",
            .replaced = other->owner == replica->owner};
    other = table_twin(replica->table, placing->sa, false);
    if (other)
        return (struct obstacle){.sa = other, .why = "", .replaced = true};
    other = neighbour(replica, placing);
    return (struct obstacle){.sa = other,
                             .why = other && other->encap_in != placing->sa->encap_in
                                        ? "one source sends RTP or RTP', not both"
                                        : "a sender without a key must have its source to itself",
                             .left_over = other && other->owner == replica->owner &&
                                          (other->refused || is_left_over(replica, other))};
}

/*
 * Into the row, or gone: the site's own SAs are, besides an earlier form of the
 * SA itself, left-overs that a sweep or a deletion has not reached yet, since in
 * one site the authority's word is the newest. False: it stays.
 */
static bool clear_away(struct replica *replica, const struct obstacle *in_the_way, struct row *row)
{
    if (in_the_way->sa->owner != replica->owner)
        return other_site_yields(replica, in_the_way->sa);
    if (in_the_way->left_over) {
        drop(replica, in_the_way->sa);
    } else if (in_the_way->replaced) {
        remove_from_table(replica, in_the_way->sa);
        row->sa[row->count++] = in_the_way->sa;
    }
    return in_the_way->left_over || in_the_way->replaced;
}

/*
 * Clears the way for an SA. 0; ERR_EXISTS: something stays; ERR_AGAIN: a gateway
 * with all its calls at one port was left over, and more than one SA-PUT may
 * delete is still there. Those that are gone do not come back: the next one gets further.
 */
static int take_out(struct replica *replica, const struct placing *placing, struct row *row,
                    const char **why)
{
    row->count = 0;
    for (unsigned left = ROW_MAX;; left--) {
        struct obstacle in_the_way = find_obstacle(replica, placing);

        *why = in_the_way.why;
        if (!in_the_way.sa)
            return 0;
        if (left == 0) {
            *why = "other SAs with its source are still to be deleted";
            return ERR_AGAIN;
        }
        if (!clear_away(replica, &in_the_way, row))
            return ERR_EXISTS;
    }
}

static void put_back(struct replica *replica, const struct row *row)
{
    for (unsigned i = 0; i < row->count; i++) {
        /* It stood there a moment ago. */
        if (table_insert(replica->table, row->sa[i]) < 0)
            forget(replica, row->sa[i]);
        else
            count_left(replica, row->sa[i], 1);
    }
}

static void forget_row(struct replica *replica, const struct row *row)
{
    for (unsigned i = 0; i < row->count; i++)
        forget(replica, row->sa[i]);
}

static bool table_is_full(const struct replica *replica)
{
    return table_count(replica->table) >= table_max(replica->table);
}

/* Room for one more SA of this site? What is left over does not count. */
static const char *no_room(const struct replica *replica)
{
    if (live_count(replica) >= replica->quota)
        return "the site's quota of SAs is used up";
    return table_is_full(replica) ? "the dmz-relay has no room for more SAs" : NULL;
}

/*
 * The SA that the authority named longest ago, if it may go. A snapshot of
 * another lineage names none of what is held: that may not keep it out. Those
 * that were taken out make no room.
 */
static struct sa *left_over(const struct replica *replica)
{
    struct sa *sa = replica->oldest;

    while (sa && sa->slot == 0)
        sa = sa->newer;
    return sa && is_left_over(replica, sa) ? sa : NULL;
}

/*
 * Room for one more SA, or why there is none. Left-overs above the quota, after
 * a reload made it smaller, go by and by: more of them with each SA than come.
 */
static const char *make_room(struct replica *replica)
{
    struct sa *sa;

    for (unsigned i = 0; i < ROOM_PER_PUT; i++) {
        if (table_count_owner(replica->table, replica->owner) < replica->quota &&
            !table_is_full(replica))
            break;
        sa = left_over(replica);
        if (!sa)
            break;
        drop(replica, sa);
    }
    if (table_is_full(replica))
        (void)other_site_yields(replica, NULL);
    return no_room(replica);
}

/*
 * What was learned of one direction counts for the other, whatever the authority knows of it: but
 * not where a source is signalled anew. held: the earlier form of sa, or NULL.
 */
static void settle(const struct replica *replica, const struct sa *sa, const struct sa *held)
{
    struct learn learn = {.table = replica->table, .rules = replica->rules};

    if (held && held->bound[0] && held->source_print != sa->source_print)
        learn_anew(&learn, sa, &held->source);
    learn_settle(&learn, sa);
}

/* Owns the SA in any case. */
static void place(struct replica *replica, const struct placing *placing)
{
    struct sa *sa = placing->sa;
    struct row row;
    const char *why;
    int result = take_out(replica, placing, &row, &why);

    if (result < 0) {
        refuse(replica, sa, result, why);
    } else if ((why = make_room(replica))) {
        refuse(replica, sa, ERR_FULL, why);
    } else if (table_insert(replica->table, sa) < 0) {
        refuse(replica, sa, ERR_INVALID, "the dmz-relay cannot place this SA");
    } else {
        take_over(replica, sa, placing->held, placing->same);
        table_streams_added(replica->table, sa);
        append(replica, sa);
        settle(replica, sa, placing->held);
        forget_row(replica, &row);
        return;
    }
    put_back(replica, &row);
    sa_free(sa);
}

/* Takes sa over in any case. */
static void put(struct replica *replica, struct sa *sa, const struct srtp_key *key)
{
    struct sa *held = table_by_id(replica->table, replica->owner, sa->id);
    bool outside = sa->side == SA_SIDE_EXTERNAL, keyless = outside && key->kind == SRTP_KEY_NONE;
    struct placing placing = {sa, held, held && same_key(held, sa, key), keyless};
    const char *why = refusal(replica, sa, key);
    int result;

    if (held)
        keep_binding(sa, held);
    if (sa->bound[0] && !sa->bound_heard_us)
        sa->bound_heard_us = replica->now_us; /* else any other source would be fresher */
    if (why) {
        if (held)
            held->refused = true;
        refuse(replica, sa, ERR_FORBIDDEN, why);
    } else if (placing.same && same_place(held, sa)) {
        merge(replica, held, sa);
        count_left(replica, held, -1);
        unlink_sa(replica, held);
        append(replica, held);
        settle(replica, held, NULL);
    } else if (outside && !keyless && !placing.same &&
               (result = sa_open(sa, replica->engine, key)) < 0) {
        refuse(replica, sa, result,
               result == ERR_UNSUPPORTED
                   ? "the dmz-relay's srtp-engine cannot verify with this key; evp can"
                   : "the SRTP session could not be made");
    } else {
        place(replica, &placing);
        return;
    }
    sa_free(sa);
}

static int put_fields(struct replica *replica, struct reader *body, struct srtp_key *key)
{
    struct sa *sa = sa_new();
    int result;

    if (!sa)
        return ERR_NOMEM;
    sa->owner = replica->owner;
    result = wire_get_sa(body, sa, key);
    if (result == ERR_PROTOCOL || result == ERR_NOMEM) {
        sa_free(sa);
        return result;
    }
    if (!replica->syncing && sa->version > replica->version)
        replica->version = sa->version;
    if (result == ERR_UNSUPPORTED) {
        refuse(replica, sa, result, "the dmz-relay does not have this crypto suite");
        sa_free(sa);
    } else {
        put(replica, sa, key);
    }
    return 0;
}

static int on_put(struct replica *replica, struct reader *body)
{
    struct srtp_key key = {0};
    int result = put_fields(replica, body, &key);

    wipe(&key, sizeof(key));
    return result;
}

static int on_delete(struct replica *replica, struct reader *body)
{
    struct wire_delete deletion;
    struct sa *sa;

    if (wire_get_delete(body, &deletion) < 0)
        return ERR_PROTOCOL;
    if (!replica->syncing && deletion.version > replica->version)
        replica->version = deletion.version;
    sa = table_by_id(replica->table, replica->owner, deletion.id);
    if (sa)
        drop(replica, sa);
    return 0;
}

/* ------------------------------------------------------------ sync */

static int on_begin(struct replica *replica, struct reader *body)
{
    struct wire_sync sync;

    if (wire_get_sync(body, &sync) < 0)
        return ERR_PROTOCOL;
    if (sync.kind == SYNC_DELTA && sync.epoch != replica->epoch)
        return ERR_PROTOCOL;
    replica->syncing = true;
    replica->kind = sync.kind;
    replica->mark++;
    replica->named_count = 0;
    return 0;
}

static int on_end(struct replica *replica, struct reader *body)
{
    struct wire_sync sync;

    if (wire_get_sync(body, &sync) < 0 || !replica->syncing || sync.kind != replica->kind)
        return ERR_PROTOCOL;
    if (sync.kind == SYNC_SNAPSHOT) {
        replica->stale = replica->mark;
        replica->stale_count =
            table_count_owner(replica->table, replica->owner) - replica->named_count;
    }
    replica->syncing = false;
    replica->epoch = sync.epoch;
    replica->version = sync.version;
    return 0;
}

int replica_frame(struct replica *replica, uint8_t type, struct reader *body)
{
    switch (type) {
    case FRAME_SA_PUT:
        return on_put(replica, body);
    case FRAME_SA_DELETE:
        return on_delete(replica, body);
    case FRAME_SYNC_BEGIN:
        return on_begin(replica, body);
    case FRAME_SYNC_END:
        return on_end(replica, body);
    default:
        return ERR_PROTOCOL;
    }
}

void replica_disconnected(struct replica *replica)
{
    /* Half a snapshot is no version that a delta could build on; half a delta is still the old one.
     */
    if (replica->syncing && replica->kind == SYNC_SNAPSHOT)
        replica->epoch = replica->version = 0;
    replica->syncing = false;
}

void replica_clear(struct replica *replica)
{
    replica->stale = ++replica->mark;
    replica->stale_count = table_count_owner(replica->table, replica->owner);
    replica->epoch = replica->version = 0;
    replica->syncing = false;
}
