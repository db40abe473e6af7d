#include "common/tunnel/meetwire.h"

#include "common/base/err.h"
#include "common/base/tlv.h"
#include "common/carrier/segment.h"

#define BIT(tag) (1u << MEET_TAG_##tag)

enum {
    MEET_FIELDS = BIT(NUMBER) | BIT(SITE) | BIT(OWN) | BIT(MAPPED),
    CLOCK_FIELDS = BIT(TIMESTAMP) | BIT(ECHO),
    START_FIELDS = BIT(SEQUENCE) | BIT(ACK) | BIT(SCALE) | BIT(PEER_SCALE) | BIT(WINDOW) | BIT(MSS),
    MSS_LEAST = 536, /* RFC 9293 section 3.7.1 */
};

static void put_start(struct writer *w, const struct track_start *start)
{
    tlv_put_u32(w, MEET_TAG_SEQUENCE, start->send_next);
    tlv_put_u32(w, MEET_TAG_ACK, start->receive_next);
    tlv_put_u8(w, MEET_TAG_SCALE, start->own_scale);
    tlv_put_u8(w, MEET_TAG_PEER_SCALE, start->peer_scale);
    tlv_put_u32(w, MEET_TAG_WINDOW, start->peer_window);
    tlv_put_u16(w, MEET_TAG_MSS, start->mss);
    if (!start->timestamps)
        return;
    tlv_put_u32(w, MEET_TAG_TIMESTAMP, start->timestamp);
    tlv_put_u32(w, MEET_TAG_ECHO, start->timestamp_echo);
}

void meetwire_put(struct writer *w, uint8_t type, const struct meet_frame *frame)
{
    tlv_put_u64(w, MEET_TAG_NUMBER | TLV_CRITICAL, frame->number);
    if (type == FRAME_MEET_END) {
        if (frame->reason[0])
            tlv_put_text(w, MEET_TAG_REASON, frame->reason);
        return;
    }
    tlv_put_text(w, MEET_TAG_SITE | TLV_CRITICAL, frame->site);
    if (type == FRAME_PUNCH && frame->reason[0])
        tlv_put_text(w, MEET_TAG_REASON, frame->reason);
    if (type == FRAME_PUNCH && frame->mapped.port == 0)
        return;
    tlv_put_addr(w, MEET_TAG_OWN | TLV_CRITICAL, &frame->own);
    tlv_put_addr(w, MEET_TAG_MAPPED | TLV_CRITICAL, &frame->mapped);
    if (frame->handed_over)
        put_start(w, &frame->start);
}

static bool get_scale(const struct tlv *field, uint8_t *scale)
{
    return tlv_get_u8(field, scale) && *scale <= SEGMENT_SCALE_MAX;
}

static bool get_start(const struct tlv *field, struct track_start *start)
{
    switch (field->tag) {
    case MEET_TAG_SEQUENCE:
        return tlv_get_u32(field, &start->send_next);
    case MEET_TAG_ACK:
        return tlv_get_u32(field, &start->receive_next);
    case MEET_TAG_SCALE:
        return get_scale(field, &start->own_scale);
    case MEET_TAG_PEER_SCALE:
        return get_scale(field, &start->peer_scale);
    case MEET_TAG_WINDOW:
        return tlv_get_u32(field, &start->peer_window) && start->peer_window > 0;
    case MEET_TAG_MSS:
        return tlv_get_u16(field, &start->mss) && start->mss >= MSS_LEAST;
    case MEET_TAG_TIMESTAMP:
        return tlv_get_u32(field, &start->timestamp);
    default: /* MEET_TAG_ECHO */
        return tlv_get_u32(field, &start->timestamp_echo);
    }
}

static bool get_place(const struct tlv *field, struct addr *addr)
{
    return tlv_get_addr(field, addr) && addr->port != 0;
}

static bool get_field(const struct tlv *field, struct meet_frame *frame)
{
    switch (field->tag) {
    case MEET_TAG_NUMBER:
        return tlv_get_u64(field, &frame->number) && frame->number > 0;
    case MEET_TAG_SITE:
        return tlv_get_text(field, frame->site, sizeof(frame->site)) && frame->site[0];
    case MEET_TAG_OWN:
        return get_place(field, &frame->own);
    case MEET_TAG_MAPPED:
        return get_place(field, &frame->mapped);
    case MEET_TAG_REASON:
        return tlv_get_text(field, frame->reason, sizeof(frame->reason)) && frame->reason[0];
    default:
        return get_start(field, &frame->start);
    }
}

static bool is_complete(uint8_t type, struct meet_frame *frame, unsigned got)
{
    unsigned more = got & ~(unsigned)MEET_FIELDS;

    if (type == FRAME_MEET_END)
        return (got & ~(unsigned)BIT(REASON)) == BIT(NUMBER);
    if (type == FRAME_PUNCH)
        return got == MEET_FIELDS || (got & ~(unsigned)BIT(REASON)) == (BIT(NUMBER) | BIT(SITE));
    frame->handed_over = more != 0;
    frame->start.timestamps = (more & BIT(TIMESTAMP)) != 0;
    return (got & MEET_FIELDS) == MEET_FIELDS &&
           (more == 0 || more == START_FIELDS || more == (START_FIELDS | CLOCK_FIELDS));
}

int meetwire_get(uint8_t type, struct reader *r, struct meet_frame *frame)
{
    unsigned got = 0;
    struct tlv field;

    *frame = (struct meet_frame){.number = 0};
    while (tlv_next(r, &field)) {
        bool known = field.tag >= MEET_TAG_NUMBER && field.tag <= MEET_TAG_REASON;

        if (!known && !field.critical)
            continue;
        if (!known || (got & 1u << field.tag) || !get_field(&field, frame))
            return ERR_PROTOCOL;
        got |= 1u << field.tag;
    }
    return reader_done(r) && is_complete(type, frame, got) ? 0 : ERR_PROTOCOL;
}
