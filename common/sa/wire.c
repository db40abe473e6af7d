#include "common/sa/wire.h"

#include <string.h>

#include "common/base/err.h"
#include "common/base/hash.h"
#include "common/base/random.h"
#include "common/base/tlv.h"
#include "common/sa/far.h"
#include "common/srtp/srtp.h"

enum { SSRC_FIELDS_OCTETS = 64 };

/* ------------------------------------------------------------ writing */

static void put_critical_u8(struct writer *w, unsigned tag, unsigned value)
{
    tlv_put_u8(w, (uint16_t)(tag | TLV_CRITICAL), (uint8_t)value);
}

static void put_addr_known(struct writer *w, unsigned tag, const struct addr *addr)
{
    if (addr->family)
        tlv_put_addr(w, (uint16_t)(tag | TLV_CRITICAL), addr);
}

static void put_text_known(struct writer *w, uint16_t tag, const char *text)
{
    if (text[0])
        tlv_put_text(w, tag, text);
}

static void put_stream(struct writer *w, const struct sa_stream *stream)
{
    uint8_t memory[SSRC_FIELDS_OCTETS];
    struct writer fields;

    writer_init(&fields, memory, sizeof(memory));
    tlv_put_u32(&fields, SSRC_TAG_SSRC, stream->ssrc);
    tlv_put_u8(&fields, SSRC_TAG_ORIGIN, (uint8_t)stream->origin);
    if (stream->index.started)
        tlv_put_u64(&fields, SSRC_TAG_INDEX, stream->index.highest);
    if (stream->index.rtcp_started)
        tlv_put_u32(&fields, SSRC_TAG_RTCP_INDEX, stream->index.rtcp_highest);
    if (stream->index.hinted)
        tlv_put_u64(&fields, SSRC_TAG_OLD_INDEX, stream->index.highest);
    w->failed = w->failed || fields.failed;
    tlv_put_bytes(w, SA_TAG_SSRC | TLV_CRITICAL, memory, writer_length(&fields));
}

static void put_key_octets(struct writer *w, const struct srtp_key *key)
{
    uint16_t tag = key->kind == SRTP_KEY_AUTH ? SA_TAG_AUTH_KEYS : SA_TAG_KEY;

    tlv_put_bytes(w, tag | TLV_CRITICAL, key->octets, key->length);
    if (key->mki_length > 0)
        tlv_put_bytes(w, SA_TAG_MKI | TLV_CRITICAL, key->mki, key->mki_length);
    if (key->lifetime < SRTP_LIFETIME_MAX)
        tlv_put_u64(w, SA_TAG_LIFETIME, key->lifetime);
}

/* What the view wants and cannot be had is not given in another form. */
static void put_key(struct writer *w, const struct sa *sa, enum wire_view view)
{
    bool auth = view == WIRE_REPLICA_VERIFY_ONLY && !sa->suite->aead;
    struct srtp_key key;

    if (view == WIRE_REPLICA_KEYLESS || !sa->srtp)
        return;
    if (srtp_session_key(sa->srtp, auth ? SRTP_KEY_AUTH : SRTP_KEY_MASTER, &key) == 0)
        put_key_octets(w, &key);
    wipe(&key, sizeof(key));
}

/*
 * Of a sender outside, the dmz-relay knows best where it is bound, and is told it again. Its word
 * on one inside, whose packets it never sees, counts for nothing.
 */
static const struct addr *bound_at(const struct sa *sa, bool rtcp)
{
    const struct addr *far = sa->side == SA_SIDE_EXTERNAL ? far_bound(sa, rtcp) : NULL;

    if (far || !sa->bound[rtcp])
        return far;
    return rtcp ? &sa->source.rtcp : &sa->source.rtp;
}

static void put_bound(struct writer *w, unsigned tag, const struct sa *sa, bool rtcp)
{
    const struct addr *bound = bound_at(sa, rtcp);

    if (bound)
        put_addr_known(w, tag, bound);
}

/* What is bound is written beside what was signalled, so that the replica can tell them apart. */
static void put_learning(struct writer *w, const struct sa *sa)
{
    if (sa->source_policy == SOURCE_STRICT)
        return;
    put_critical_u8(w, SA_TAG_SOURCE_POLICY, sa->source_policy);
    put_addr_known(w, SA_TAG_HINT, &sa->hint);
    put_bound(w, SA_TAG_BOUND_RTP, sa, false);
    put_bound(w, SA_TAG_BOUND_RTCP, sa, true);
}

static void put_source(struct writer *w, const struct sa *sa, enum wire_view view)
{
    put_addr_known(w, SA_TAG_SOURCE_RTP, &sa->source.rtp);
    put_addr_known(w, SA_TAG_SOURCE_RTCP, &sa->source.rtcp);
    put_critical_u8(w, SA_TAG_SOURCE_MUX, sa->source.mux);
    put_learning(w, sa);
    if (sa->suite) {
        tlv_put_text(w, SA_TAG_SUITE | TLV_CRITICAL, sa->suite->name);
        put_key(w, sa, view);
    }
    tlv_put_u32(w, SA_TAG_RATE, sa->rate.octets_per_second);
}

static void put_destination(struct writer *w, const struct sa *sa)
{
    put_addr_known(w, SA_TAG_DESTINATION_RTP, &sa->destination.rtp);
    put_addr_known(w, SA_TAG_DESTINATION_RTCP, &sa->destination.rtcp);
    put_critical_u8(w, SA_TAG_DESTINATION_MUX, sa->destination.mux);
    put_text_known(w, SA_TAG_LISTENER, sa_text(sa, SA_LISTENER_OUT));
}

static void put_sa(struct writer *w, const struct sa *sa, enum wire_view view, const char *call_id)
{
    tlv_put_u64(w, SA_TAG_ID | TLV_CRITICAL, sa->id);
    tlv_put_u32(w, SA_TAG_GENERATION | TLV_CRITICAL, sa->generation);
    tlv_put_u64(w, SA_TAG_VERSION | TLV_CRITICAL, sa->version);
    tlv_put_u32(w, SA_TAG_LABEL | TLV_CRITICAL, sa->label);
    put_critical_u8(w, SA_TAG_SIDE, sa->side);
    if (sa->hairpin)
        put_critical_u8(w, SA_TAG_TO_SIDE, sa_to_side(sa));
    put_critical_u8(w, SA_TAG_ENCAP_IN, sa->encap_in);
    put_critical_u8(w, SA_TAG_ENCAP_OUT, sa->encap_out);
    put_text_known(w, SA_TAG_CALL_ID, call_id);
    tlv_put_u8(w, SA_TAG_MEDIA_INDEX, sa->media_index);
    tlv_put_u64(w, SA_TAG_CREATED, sa->created_us);
    tlv_put_u64(w, SA_TAG_REVERSE, sa->reverse);
    for (unsigned i = 0; i < sa->stream_count; i++)
        put_stream(w, &sa->stream[i]);
    if (view == WIRE_STATE || sa->side == SA_SIDE_EXTERNAL)
        put_source(w, sa, view);
    if (view == WIRE_STATE || sa_to_side(sa) == SA_SIDE_EXTERNAL)
        put_destination(w, sa);
    if (view == WIRE_STATE) {
        put_text_known(w, SA_TAG_LISTENER_IN, sa_text(sa, SA_LISTENER_IN));
        tlv_put_u32(w, SA_TAG_MEDIA_TIMEOUT, sa->media_timeout_s);
    }
}

void wire_put_sa(struct writer *w, const struct sa *sa, enum wire_view view)
{
    put_sa(w, sa, view, sa_text(sa, SA_CALL_ID));
}

void wire_put_nameless(struct writer *w, const struct sa *sa, enum wire_view view)
{
    put_sa(w, sa, view, "");
}

/* ------------------------------------------------------------ reading */

/* What is collected before it can be judged. */
struct reading {
    struct sa *sa;
    struct srtp_key *key;
    bool has_id, has_generation, has_label, has_side, has_lifetime;
    bool suite_unknown, no_memory;
    enum sa_side to_side; /* 0: the other one */
    struct addr bound[2]; /* RTP, RTCP; family 0: not bound */
};

static bool get_stream(const struct tlv *field, struct reading *reading)
{
    struct reader r = field->value;
    struct sa *sa = reading->sa;
    struct sa_stream stream = {.origin = SSRC_ORIGIN_SIGNALLED};
    struct tlv inner;
    uint8_t origin = SSRC_ORIGIN_SIGNALLED;
    uint64_t index = 0, old_index = 0;
    uint32_t rtcp_index = 0;
    bool ok = true, has_ssrc = false;
    int result;

    while (ok && tlv_next(&r, &inner)) {
        switch (inner.tag) {
        case SSRC_TAG_SSRC:
            ok = has_ssrc = tlv_get_u32(&inner, &stream.ssrc);
            break;
        case SSRC_TAG_ORIGIN:
            ok = tlv_get_u8(&inner, &origin) && origin >= SSRC_ORIGIN_SIGNALLED &&
                 origin <= SSRC_ORIGIN_LEARNED;
            break;
        case SSRC_TAG_INDEX:
            ok = tlv_get_u64(&inner, &index) && index >> 48 == 0;
            index_resume(&stream.index, index);
            break;
        case SSRC_TAG_RTCP_INDEX:
            ok = tlv_get_u32(&inner, &rtcp_index) && rtcp_index >> 31 == 0;
            index_resume_rtcp(&stream.index, rtcp_index);
            break;
        case SSRC_TAG_OLD_INDEX:
            ok = tlv_get_u64(&inner, &old_index) && old_index >> 48 == 0;
            index_hint(&stream.index, old_index);
            break;
        default:
            ok = !inner.critical;
        }
    }
    if (!ok || !has_ssrc || !reader_done(&r))
        return false;
    result = sa_stream_add(sa, stream.ssrc, (enum ssrc_origin)origin);
    reading->no_memory = result == ERR_NOMEM;
    if (result < 0)
        return false;
    sa->stream[sa->stream_count - 1].index = stream.index;
    return true;
}

/* size: of the longest text that the field takes, with a NUL. */
static bool get_text(const struct tlv *field, struct reading *reading, enum sa_text which,
                     size_t size)
{
    char text[CALL_ID_SIZE];

    if (!tlv_get_text(field, text, size))
        return false;
    reading->no_memory = sa_set_text(reading->sa, which, text) < 0;
    return !reading->no_memory;
}

static bool get_flag(const struct tlv *field, bool *out)
{
    uint8_t value;

    if (!tlv_get_u8(field, &value) || value > 1)
        return false;
    *out = value == 1;
    return true;
}

static bool get_encap(const struct tlv *field, enum sa_encap *out)
{
    uint8_t value;

    if (!tlv_get_u8(field, &value) || value < SA_ENCAP_RTP || value > SA_ENCAP_RTP_PRIME)
        return false;
    *out = (enum sa_encap)value;
    return true;
}

static bool get_side(const struct tlv *field, enum sa_side *out)
{
    uint8_t value;

    if (!tlv_get_u8(field, &value) || value < SA_SIDE_EXTERNAL || value > SA_SIDE_INTERNAL)
        return false;
    *out = (enum sa_side)value;
    return true;
}

static bool get_suite(const struct tlv *field, struct reading *reading)
{
    char name[NAME_SIZE];

    if (!tlv_get_text(field, name, sizeof(name)))
        return false;
    reading->sa->suite = suite_find(name);
    reading->suite_unknown = !reading->sa->suite;
    return true;
}

static bool get_key(const struct tlv *field, struct reading *reading, enum srtp_key_kind kind)
{
    struct srtp_key *key = reading->key;
    bool other = key->kind != SRTP_KEY_NONE && key->kind != kind;

    key->kind = kind;
    return !other && tlv_get_bytes(field, key->octets, sizeof(key->octets), &key->length);
}

static bool get_mki(const struct tlv *field, struct srtp_key *key)
{
    return tlv_get_bytes(field, key->mki, sizeof(key->mki), &key->mki_length) &&
           key->mki_length > 0;
}

static bool get_lifetime(const struct tlv *field, struct reading *reading)
{
    reading->has_lifetime = tlv_get_u64(field, &reading->key->lifetime);
    return reading->has_lifetime && reading->key->lifetime <= SRTP_LIFETIME_MAX;
}

static bool get_rate(const struct tlv *field, struct sa *sa)
{
    uint32_t rate;

    if (!tlv_get_u32(field, &rate))
        return false;
    rate_init(&sa->rate, rate);
    return true;
}

static bool get_identity(const struct tlv *field, struct reading *reading, bool *known)
{
    struct sa *sa = reading->sa;

    *known = true;
    switch (field->tag) {
    case SA_TAG_ID:
        return reading->has_id = tlv_get_u64(field, &sa->id);
    case SA_TAG_GENERATION:
        return reading->has_generation = tlv_get_u32(field, &sa->generation);
    case SA_TAG_VERSION:
        return tlv_get_u64(field, &sa->version);
    case SA_TAG_LABEL:
        return reading->has_label = tlv_get_u32(field, &sa->label);
    case SA_TAG_SIDE:
        return reading->has_side = get_side(field, &sa->side);
    case SA_TAG_TO_SIDE:
        return get_side(field, &reading->to_side);
    case SA_TAG_CALL_ID:
        return get_text(field, reading, SA_CALL_ID, CALL_ID_SIZE);
    case SA_TAG_MEDIA_INDEX:
        return tlv_get_u8(field, &sa->media_index);
    case SA_TAG_CREATED:
        return tlv_get_u64(field, &sa->created_us);
    case SA_TAG_REVERSE:
        return tlv_get_u64(field, &sa->reverse);
    case SA_TAG_SSRC:
        return get_stream(field, reading);
    default:
        *known = false;
        return true;
    }
}

static bool get_source_policy(const struct tlv *field, enum source_policy *out)
{
    uint8_t value;

    if (!tlv_get_u8(field, &value) || value < SOURCE_STRICT || value > SOURCE_OPEN)
        return false;
    *out = (enum source_policy)value;
    return true;
}

static bool get_transport(const struct tlv *field, struct reading *reading)
{
    struct sa *sa = reading->sa;

    switch (field->tag) {
    case SA_TAG_SOURCE_RTP:
        return tlv_get_addr(field, &sa->source.rtp);
    case SA_TAG_SOURCE_RTCP:
        return tlv_get_addr(field, &sa->source.rtcp);
    case SA_TAG_SOURCE_MUX:
        return get_flag(field, &sa->source.mux);
    case SA_TAG_SOURCE_POLICY:
        return get_source_policy(field, &sa->source_policy);
    case SA_TAG_HINT:
        return tlv_get_addr(field, &sa->hint);
    case SA_TAG_BOUND_RTP:
        return tlv_get_addr(field, &reading->bound[0]);
    case SA_TAG_BOUND_RTCP:
        return tlv_get_addr(field, &reading->bound[1]);
    case SA_TAG_DESTINATION_RTP:
        return tlv_get_addr(field, &sa->destination.rtp);
    case SA_TAG_DESTINATION_RTCP:
        return tlv_get_addr(field, &sa->destination.rtcp);
    case SA_TAG_DESTINATION_MUX:
        return get_flag(field, &sa->destination.mux);
    case SA_TAG_ENCAP_IN:
        return get_encap(field, &sa->encap_in);
    case SA_TAG_ENCAP_OUT:
        return get_encap(field, &sa->encap_out);
    case SA_TAG_LISTENER:
        return get_text(field, reading, SA_LISTENER_OUT, NAME_SIZE);
    case SA_TAG_LISTENER_IN:
        return get_text(field, reading, SA_LISTENER_IN, NAME_SIZE);
    case SA_TAG_SUITE:
        return get_suite(field, reading);
    case SA_TAG_KEY:
        return get_key(field, reading, SRTP_KEY_MASTER);
    case SA_TAG_AUTH_KEYS:
        return get_key(field, reading, SRTP_KEY_AUTH);
    case SA_TAG_MKI:
        return get_mki(field, reading->key);
    case SA_TAG_LIFETIME:
        return get_lifetime(field, reading);
    case SA_TAG_RATE:
        return get_rate(field, sa);
    case SA_TAG_MEDIA_TIMEOUT:
        return tlv_get_u32(field, &sa->media_timeout_s);
    default:
        return !field->critical;
    }
}

/* A suite alone is a sender without a key here; a key needs its suite, and that one's length. */
static int judge_key(const struct reading *reading)
{
    const struct suite *suite = reading->sa->suite;
    struct srtp_key *key = reading->key;

    if (key->kind == SRTP_KEY_NONE)
        return key->mki_length > 0 || reading->has_lifetime ? ERR_PROTOCOL : 0;
    if (!suite || key->length == 0 || key->length != srtp_key_octets(suite, key->kind))
        return ERR_PROTOCOL;
    if (!reading->has_lifetime)
        key->lifetime = SRTP_LIFETIME_MAX;
    return 0;
}

static int judge(const struct reading *reading)
{
    if (!reading->has_id || !reading->has_generation || !reading->has_label || !reading->has_side)
        return ERR_PROTOCOL;
    if (reading->suite_unknown)
        return ERR_UNSUPPORTED;
    return judge_key(reading);
}

/* Not keyed: it tells two words of one authority apart, not strangers. */
uint32_t wire_source_print(const struct sa *sa)
{
    static const struct hash_key key;
    uint8_t memory[128];
    struct writer w;

    writer_init(&w, memory, sizeof(memory));
    put_addr_known(&w, SA_TAG_SOURCE_RTP, &sa->source.rtp);
    put_addr_known(&w, SA_TAG_SOURCE_RTCP, &sa->source.rtcp);
    put_addr_known(&w, SA_TAG_HINT, &sa->hint);
    put_critical_u8(&w, SA_TAG_SOURCE_MUX, sa->source.mux);
    put_critical_u8(&w, SA_TAG_SOURCE_POLICY, sa->source_policy);
    return (uint32_t)hash_bytes(&key, memory, writer_length(&w));
}

/* Where the authority knows it bound, it is; what was signalled lives on in the print. */
static void bind_source(const struct reading *reading)
{
    struct sa *sa = reading->sa;

    sa->source_print = wire_source_print(sa);
    for (int rtcp = 0; rtcp < 2; rtcp++) {
        if (!reading->bound[rtcp].family || sa->source_policy == SOURCE_STRICT)
            continue;
        *(rtcp ? &sa->source.rtcp : &sa->source.rtp) = reading->bound[rtcp];
        sa->bound[rtcp] = true;
    }
}

static int get_fields(struct reader *r, struct reading *reading)
{
    struct tlv field;

    memset(reading->key, 0, sizeof(*reading->key));
    while (tlv_next(r, &field)) {
        bool known;

        if (!get_identity(&field, reading, &known) || (!known && !get_transport(&field, reading)))
            return reading->no_memory ? ERR_NOMEM : ERR_PROTOCOL;
    }
    reading->sa->hairpin = reading->to_side == reading->sa->side;
    return reader_done(r) ? 0 : ERR_PROTOCOL;
}

int wire_get_sa(struct reader *r, struct sa *sa, struct srtp_key *key)
{
    struct reading reading = {.sa = sa, .key = key};
    int result = get_fields(r, &reading);

    if (result < 0)
        return result;
    bind_source(&reading);
    return judge(&reading);
}

/* What was signalled stays: the dmz-relay, which has it too, is not to take this for a change. */
static int remember_bound(const struct reading *reading)
{
    struct sa_report report = {.generation = reading->sa->generation,
                               .bound = {reading->bound[0], reading->bound[1]},
                               .age_us = REPORT_NEVER,
                               .stray_age_us = REPORT_NEVER};
    bool any = reading->bound[0].family || reading->bound[1].family;

    return any ? far_store(reading->sa, &report, 0) : 0;
}

int wire_get_saved_sa(struct reader *r, struct sa *sa, struct srtp_key *key)
{
    struct reading reading = {.sa = sa, .key = key};
    int result = get_fields(r, &reading);

    sa->source_print = wire_source_print(sa);
    if (result == 0 && sa->side == SA_SIDE_EXTERNAL)
        result = remember_bound(&reading);
    else if (result == 0)
        bind_source(&reading);
    return result < 0 ? result : judge(&reading);
}

/* ------------------------------------------------------------ SA-DELETE, SA-NAK, SYNC */

void wire_put_delete(struct writer *w, const struct wire_delete *deletion)
{
    tlv_put_u64(w, SA_TAG_ID | TLV_CRITICAL, deletion->id);
    tlv_put_u64(w, SA_TAG_VERSION | TLV_CRITICAL, deletion->version);
}

int wire_get_delete(struct reader *r, struct wire_delete *deletion)
{
    struct tlv field;
    bool ok = true, has_id = false, has_version = false;

    while (ok && tlv_next(r, &field)) {
        if (field.tag == SA_TAG_ID)
            ok = has_id = tlv_get_u64(&field, &deletion->id);
        else if (field.tag == SA_TAG_VERSION)
            ok = has_version = tlv_get_u64(&field, &deletion->version);
        else
            ok = !field.critical;
    }
    return ok && has_id && has_version && reader_done(r) ? 0 : ERR_PROTOCOL;
}

void wire_put_nak(struct writer *w, const struct wire_nak *nak)
{
    tlv_put_u64(w, SA_TAG_ID | TLV_CRITICAL, nak->id);
    tlv_put_u32(w, SA_TAG_GENERATION | TLV_CRITICAL, nak->generation);
    tlv_put_u8(w, SA_TAG_ERROR, (uint8_t)-nak->error);
    tlv_put_text(w, SA_TAG_REASON, nak->reason);
}

int wire_get_nak(struct reader *r, struct wire_nak *nak)
{
    struct tlv field;
    bool ok = true, has_id = false;
    uint8_t error;

    nak->error = ERR_INVALID;
    while (ok && tlv_next(r, &field)) {
        if (field.tag == SA_TAG_ID) {
            ok = has_id = tlv_get_u64(&field, &nak->id);
        } else if (field.tag == SA_TAG_GENERATION) {
            ok = tlv_get_u32(&field, &nak->generation);
        } else if (field.tag == SA_TAG_ERROR) {
            ok = tlv_get_u8(&field, &error) && error > 0;
            nak->error = ok ? -(int)error : nak->error;
        } else if (field.tag == SA_TAG_REASON) {
            ok = tlv_get_text(&field, nak->reason, sizeof(nak->reason));
        } else {
            ok = !field.critical;
        }
    }
    return ok && has_id && reader_done(r) ? 0 : ERR_PROTOCOL;
}

void wire_put_sync(struct writer *w, const struct wire_sync *sync)
{
    tlv_put_u8(w, TAG_SYNC_KIND | TLV_CRITICAL, sync->kind);
    tlv_put_u64(w, TAG_EPOCH | TLV_CRITICAL, sync->epoch);
    tlv_put_u64(w, TAG_SA_VERSION | TLV_CRITICAL, sync->version);
}

int wire_get_sync(struct reader *r, struct wire_sync *sync)
{
    struct tlv field;
    bool ok = true;
    unsigned seen = 0;

    while (ok && tlv_next(r, &field)) {
        if (field.tag == TAG_SYNC_KIND) {
            ok = tlv_get_u8(&field, &sync->kind) &&
                 (sync->kind == SYNC_DELTA || sync->kind == SYNC_SNAPSHOT);
            seen |= 1;
        } else if (field.tag == TAG_EPOCH) {
            ok = tlv_get_u64(&field, &sync->epoch);
            seen |= 2;
        } else if (field.tag == TAG_SA_VERSION) {
            ok = tlv_get_u64(&field, &sync->version);
            seen |= 4;
        } else {
            ok = !field.critical;
        }
    }
    return ok && seen == 7 && reader_done(r) ? 0 : ERR_PROTOCOL;
}
