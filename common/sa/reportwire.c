#include "common/sa/reportwire.h"

#include <string.h>

#include "common/base/err.h"
#include "common/base/tlv.h"

enum { FIELDS_OCTETS = 128, VERDICT_NAME_SIZE = 32 };

/* ------------------------------------------------------------ writing */

static void put_fields(struct writer *w, uint16_t tag, const struct writer *fields)
{
    w->failed = w->failed || fields->failed;
    tlv_put_bytes(w, tag, fields->start, writer_length(fields));
}

static void put_addr_known(struct writer *w, uint16_t tag, const struct addr *addr)
{
    if (addr->family)
        tlv_put_addr(w, tag, addr);
}

static void put_heard(struct writer *w, const struct sa_heard *heard)
{
    uint8_t memory[FIELDS_OCTETS];
    struct writer fields;

    writer_init(&fields, memory, sizeof(memory));
    tlv_put_u32(&fields, HEARD_TAG_SSRC, heard->ssrc);
    tlv_put_u8(&fields, HEARD_TAG_ORIGIN, (uint8_t)heard->origin);
    if (heard->rtp)
        tlv_put_u64(&fields, HEARD_TAG_INDEX, heard->index);
    if (heard->rtcp)
        tlv_put_u32(&fields, HEARD_TAG_RTCP_INDEX, heard->rtcp_index);
    tlv_put_u64(&fields, HEARD_TAG_RECEIVED, heard->received);
    tlv_put_u64(&fields, HEARD_TAG_LOST, heard->lost);
    tlv_put_u32(&fields, HEARD_TAG_JITTER, heard->jitter);
    if (heard->age_us != REPORT_NEVER)
        tlv_put_u64(&fields, HEARD_TAG_AGE, heard->age_us);
    put_fields(w, REPORT_TAG_SSRC, &fields);
}

static void put_count(struct writer *w, enum verdict verdict, uint32_t packets)
{
    uint8_t memory[FIELDS_OCTETS];
    struct writer fields;

    writer_init(&fields, memory, sizeof(memory));
    tlv_put_text(&fields, COUNT_TAG_VERDICT, verdict_name(verdict));
    tlv_put_u32(&fields, COUNT_TAG_PACKETS, packets);
    put_fields(w, REPORT_TAG_COUNT, &fields);
}

static void put_stray(struct writer *w, const struct sa_report *report)
{
    uint8_t memory[FIELDS_OCTETS];
    struct writer fields;

    writer_init(&fields, memory, sizeof(memory));
    put_addr_known(&fields, STRAY_TAG_FROM, &report->stray);
    tlv_put_text(&fields, STRAY_TAG_VERDICT, verdict_name(report->stray_verdict));
    tlv_put_u64(&fields, STRAY_TAG_AGE, report->stray_age_us);
    put_fields(w, REPORT_TAG_STRAY, &fields);
}

void reportwire_put(struct writer *w, const struct sa_report *report)
{
    tlv_put_u64(w, REPORT_TAG_ID | TLV_CRITICAL, report->id);
    tlv_put_u32(w, REPORT_TAG_GENERATION | TLV_CRITICAL, report->generation);
    put_addr_known(w, REPORT_TAG_BOUND_RTP, &report->bound[0]);
    put_addr_known(w, REPORT_TAG_BOUND_RTCP, &report->bound[1]);
    for (unsigned i = 0; i < report->heard_count; i++)
        put_heard(w, &report->heard[i]);
    tlv_put_u64(w, REPORT_TAG_PACKETS, report->packets);
    tlv_put_u64(w, REPORT_TAG_OCTETS, report->octets);
    if (report->age_us != REPORT_NEVER)
        tlv_put_u64(w, REPORT_TAG_AGE, report->age_us);
    for (enum verdict v = 0; v < VERDICT_COUNT; v++) {
        if (report->verdicts[v])
            put_count(w, v, report->verdicts[v]);
    }
    if (report->stray_age_us != REPORT_NEVER)
        put_stray(w, report);
}

/* ------------------------------------------------------------ reading */

static bool get_age(const struct tlv *field, uint64_t *age_us)
{
    return tlv_get_u64(field, age_us) && *age_us != REPORT_NEVER;
}

static bool get_origin(const struct tlv *field, enum ssrc_origin *origin)
{
    uint8_t value;

    if (!tlv_get_u8(field, &value) || value < SSRC_ORIGIN_SIGNALLED || value > SSRC_ORIGIN_LEARNED)
        return false;
    *origin = (enum ssrc_origin)value;
    return true;
}

static bool get_heard_field(const struct tlv *field, struct sa_heard *heard, bool *has_ssrc)
{
    switch (field->tag) {
    case HEARD_TAG_SSRC:
        return *has_ssrc = tlv_get_u32(field, &heard->ssrc);
    case HEARD_TAG_ORIGIN:
        return get_origin(field, &heard->origin);
    case HEARD_TAG_INDEX:
        heard->rtp = true;
        return tlv_get_u64(field, &heard->index) && heard->index >> 48 == 0;
    case HEARD_TAG_RTCP_INDEX:
        heard->rtcp = true;
        return tlv_get_u32(field, &heard->rtcp_index) && heard->rtcp_index >> 31 == 0;
    case HEARD_TAG_RECEIVED:
        return tlv_get_u64(field, &heard->received);
    case HEARD_TAG_LOST:
        return tlv_get_u64(field, &heard->lost);
    case HEARD_TAG_JITTER:
        return tlv_get_u32(field, &heard->jitter);
    case HEARD_TAG_AGE:
        return get_age(field, &heard->age_us);
    default:
        return !field->critical;
    }
}

static bool get_heard(const struct tlv *field, struct sa_report *report)
{
    struct sa_heard heard = {.origin = SSRC_ORIGIN_SIGNALLED, .age_us = REPORT_NEVER};
    struct reader r = field->value;
    struct tlv inner;
    bool ok = true, has_ssrc = false;

    while (ok && tlv_next(&r, &inner))
        ok = get_heard_field(&inner, &heard, &has_ssrc);
    for (unsigned i = 0; i < report->heard_count; i++)
        ok = ok && report->heard[i].ssrc != heard.ssrc;
    if (!ok || !has_ssrc || !reader_done(&r) || report->heard_count == SA_SSRC_MAX)
        return false;
    report->heard[report->heard_count++] = heard;
    return true;
}

/* known: this version has it. */
static bool get_verdict(const struct tlv *field, enum verdict *verdict, bool *known)
{
    char name[VERDICT_NAME_SIZE];

    if (!tlv_get_text(field, name, sizeof(name)))
        return false;
    *known = verdict_parse(name, verdict);
    return true;
}

static bool get_count(const struct tlv *field, struct sa_report *report)
{
    struct reader r = field->value;
    enum verdict verdict = VERDICT_ACCEPTED;
    uint32_t packets = 0;
    struct tlv inner;
    bool ok = true, known = false;

    while (ok && tlv_next(&r, &inner)) {
        if (inner.tag == COUNT_TAG_VERDICT)
            ok = get_verdict(&inner, &verdict, &known);
        else if (inner.tag == COUNT_TAG_PACKETS)
            ok = tlv_get_u32(&inner, &packets);
        else
            ok = !inner.critical;
    }
    if (known)
        report->verdicts[verdict] = packets;
    return ok && reader_done(&r);
}

static bool get_stray(const struct tlv *field, struct sa_report *report)
{
    struct reader r = field->value;
    uint64_t age_us = REPORT_NEVER;
    struct tlv inner;
    bool ok = true, known = false;

    while (ok && tlv_next(&r, &inner)) {
        if (inner.tag == STRAY_TAG_FROM)
            ok = tlv_get_addr(&inner, &report->stray);
        else if (inner.tag == STRAY_TAG_VERDICT)
            ok = get_verdict(&inner, &report->stray_verdict, &known);
        else if (inner.tag == STRAY_TAG_AGE)
            ok = get_age(&inner, &age_us);
        else
            ok = !inner.critical;
    }
    report->stray_age_us = known ? age_us : REPORT_NEVER;
    return ok && reader_done(&r);
}

/* ID and GENERATION are required. */
struct seen {
    bool id, generation;
};

static bool get_field(const struct tlv *field, struct sa_report *report, struct seen *seen)
{
    switch (field->tag) {
    case REPORT_TAG_ID:
        return seen->id = tlv_get_u64(field, &report->id);
    case REPORT_TAG_GENERATION:
        return seen->generation = tlv_get_u32(field, &report->generation);
    case REPORT_TAG_BOUND_RTP:
        return tlv_get_addr(field, &report->bound[0]);
    case REPORT_TAG_BOUND_RTCP:
        return tlv_get_addr(field, &report->bound[1]);
    case REPORT_TAG_SSRC:
        return get_heard(field, report);
    case REPORT_TAG_PACKETS:
        return tlv_get_u64(field, &report->packets);
    case REPORT_TAG_OCTETS:
        return tlv_get_u64(field, &report->octets);
    case REPORT_TAG_AGE:
        return get_age(field, &report->age_us);
    case REPORT_TAG_COUNT:
        return get_count(field, report);
    case REPORT_TAG_STRAY:
        return get_stray(field, report);
    default:
        return !field->critical;
    }
}

int reportwire_get(struct reader *r, struct sa_report *report)
{
    struct seen seen = {false, false};
    struct tlv field;

    memset(report, 0, sizeof(*report));
    report->age_us = report->stray_age_us = REPORT_NEVER;
    while (tlv_next(r, &field)) {
        if (!get_field(&field, report, &seen))
            return ERR_PROTOCOL;
    }
    return seen.id && seen.generation && reader_done(r) ? 0 : ERR_PROTOCOL;
}
