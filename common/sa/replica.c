#include "common/sa/replica.h"

#include <stdio.h>
#include <string.h>

#include "common/base/err.h"
#include "common/sa/table.h"

void replica_init(struct replica *replica, struct table *table, unsigned owner, uint32_t quota,
                  const struct target_rules *rules, const struct replica_hooks *hooks, void *ctx)
{
    *replica = (struct replica){
        .table = table, .owner = owner, .quota = quota, .rules = rules, .hooks = hooks, .ctx = ctx};
}

static void refuse(struct replica *replica, const struct sa *sa, int error, const char *reason)
{
    struct wire_nak nak = {.id = sa->id, .generation = sa->generation, .error = error};

    snprintf(nak.reason, sizeof(nak.reason), "%s", reason);
    replica->hooks->nak(replica->ctx, &nak);
}

static void drop(struct replica *replica, struct sa *sa)
{
    table_remove(replica->table, sa);
    sa_free(sa);
}

/* ------------------------------------------------------------ SA-PUT */

/* An external sender needs a source and a key here, an internal one a place to send to. */
static const char *refusal(struct replica *replica, const struct sa *sa)
{
    const char *why;

    if (sa->encap_in != SA_ENCAP_RTP || sa->encap_out != SA_ENCAP_RTP)
        return "RTP' is not supported by this dmz-relay";
    if (sa->side == SA_SIDE_EXTERNAL) {
        if (!sa->source.rtp.family)
            return "a sender without a source address is not supported by this dmz-relay";
        return sa->suite ? NULL : "an external sender needs suite and key";
    }
    if (!sa->destination.rtp.family)
        return NULL;
    why = target_refusal(replica->rules, SA_SIDE_EXTERNAL, &sa->destination.rtp);
    if (!why && !sa->destination.mux && sa->destination.rtcp.family)
        why = target_refusal(replica->rules, SA_SIDE_EXTERNAL, &sa->destination.rtcp);
    return why ? why : replica->hooks->listener_refusal(replica->ctx, sa);
}

/* Generation and id are the same: what the packets have taught stays, what the authority says is
 * taken. */
static void merge(struct sa *held, const struct sa *put)
{
    for (unsigned i = 0; i < put->stream_count; i++) {
        const struct sa_stream *stream = &put->stream[i];

        if (sa_stream_add(held, stream->ssrc, stream->origin) == 0)
            held->stream[held->stream_count - 1].index = stream->index;
    }
    held->version = put->version;
    memcpy(held->call_id, put->call_id, sizeof(held->call_id));
    memcpy(held->listener_out, put->listener_out, sizeof(held->listener_out));
    held->destination = put->destination;
    held->reverse = put->reverse;
    if (held->rate.octets_per_second != put->rate.octets_per_second)
        rate_init(&held->rate, put->rate.octets_per_second);
}

/* What a packet is found by: when it changes, the SA has to be put into the table anew. */
static bool same_keys(const struct sa *a, const struct sa *b)
{
    return a->generation == b->generation && a->label == b->label && a->side == b->side &&
           a->suite == b->suite && memcmp(a->material, b->material, sizeof(a->material)) == 0 &&
           a->source.mux == b->source.mux && addr_equal(&a->source.rtp, &b->source.rtp) &&
           addr_equal(&a->source.rtcp, &b->source.rtcp);
}

static void keep_history(struct sa *sa, const struct sa *held)
{
    sa->packets = held->packets;
    sa->octets = held->octets;
    sa->last_packet_us = held->last_packet_us;
    memcpy(sa->verdicts, held->verdicts, sizeof(sa->verdicts));
}

/*
 * In one site the authority's word is the newest: an SA of the same site that
 * stands in the way is a left-over that a sweep has not reached yet.
 */
static struct sa *foreign_conflict(struct replica *replica, struct sa *sa)
{
    struct sa *other;

    while ((other = table_conflict(replica->table, sa)) != NULL) {
        if (other->owner != replica->owner)
            return other;
        drop(replica, other);
    }
    return NULL;
}

/* Takes sa over in any case. */
static void put(struct replica *replica, struct sa *sa)
{
    struct sa *held = table_by_id(replica->table, replica->owner, sa->id);
    const char *why = refusal(replica, sa);
    int result;

    if (why) {
        refuse(replica, sa, ERR_FORBIDDEN, why);
    } else if (held && same_keys(held, sa)) {
        merge(held, sa);
        held->mark = replica->mark;
    } else if (!held && table_count_owner(replica->table, replica->owner) >= replica->quota) {
        refuse(replica, sa, ERR_FULL, "the site's quota of SAs is used up");
    } else if (sa->side == SA_SIDE_EXTERNAL && (result = sa_open(sa)) < 0) {
        refuse(replica, sa, result, "the SRTP session could not be made");
    } else {
        if (held)
            keep_history(sa, held);
        if (foreign_conflict(replica, sa)) {
            refuse(replica, sa, ERR_EXISTS, "another site has an SA with this source and SSRC");
        } else if ((result = table_insert(replica->table, sa)) < 0) {
            refuse(replica, sa, result, "the dmz-relay has no room for more SAs");
        } else {
            sa->mark = replica->mark;
            return;
        }
    }
    sa_free(sa);
}

static int on_put(struct replica *replica, struct reader *body)
{
    struct sa *sa = sa_new();
    int result;

    if (!sa)
        return ERR_NOMEM;
    sa->owner = replica->owner;
    result = wire_get_sa(body, sa);
    if (result == ERR_PROTOCOL) {
        sa_free(sa);
        return result;
    }
    if (!replica->syncing && sa->version > replica->version)
        replica->version = sa->version;
    if (result == ERR_UNSUPPORTED) {
        refuse(replica, sa, result, "the dmz-relay does not have this crypto suite");
        sa_free(sa);
    } else {
        put(replica, sa);
    }
    return 0;
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
    return 0;
}

static void sweep_one(void *ctx, struct sa *sa)
{
    struct replica *replica = ctx;

    if (sa->owner == replica->owner && sa->mark != replica->mark)
        drop(replica, sa);
}

static int on_end(struct replica *replica, struct reader *body)
{
    struct wire_sync sync;

    if (wire_get_sync(body, &sync) < 0 || !replica->syncing || sync.kind != replica->kind)
        return ERR_PROTOCOL;
    if (sync.kind == SYNC_SNAPSHOT)
        table_each(replica->table, sweep_one, replica);
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

static void clear_one(void *ctx, struct sa *sa)
{
    struct replica *replica = ctx;

    if (sa->owner == replica->owner)
        drop(replica, sa);
}

void replica_clear(struct replica *replica)
{
    table_each(replica->table, clear_one, replica);
    replica->epoch = replica->version = 0;
    replica->syncing = false;
}
