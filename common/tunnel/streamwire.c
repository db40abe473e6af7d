#include "common/tunnel/streamwire.h"

#include "common/base/err.h"
#include "common/base/tlv.h"

#define BIT(tag) (1u << STREAM_TAG_##tag)

/* Which fields a frame has to have, and which it may have. */
static const struct {
    unsigned must, may;
} fields[] = {
    [FRAME_STREAM_OPEN] = {BIT(NUMBER) | BIT(FORWARD), BIT(CLIENT) | BIT(SERVER)},
    [FRAME_STREAM_DATA] = {BIT(NUMBER) | BIT(DATA), 0},
    [FRAME_STREAM_CREDIT] = {BIT(NUMBER) | BIT(CREDIT), 0},
    [FRAME_STREAM_END] = {BIT(NUMBER), 0},
    [FRAME_STREAM_RESET] = {BIT(NUMBER), BIT(REASON)},
};

void streamwire_put(struct writer *w, uint8_t type, const struct stream_frame *frame)
{
    unsigned has = fields[type].must | fields[type].may;

    tlv_put_u32(w, STREAM_TAG_NUMBER | TLV_CRITICAL, frame->number);
    if (has & BIT(FORWARD))
        tlv_put_text(w, STREAM_TAG_FORWARD | TLV_CRITICAL, frame->forward);
    if ((has & BIT(CLIENT)) && frame->client.family)
        tlv_put_addr(w, STREAM_TAG_CLIENT, &frame->client);
    if ((has & BIT(SERVER)) && frame->server.family)
        tlv_put_addr(w, STREAM_TAG_SERVER, &frame->server);
    if (has & BIT(DATA))
        tlv_put_bytes(w, STREAM_TAG_DATA | TLV_CRITICAL, frame->data, frame->length);
    if (has & BIT(CREDIT))
        tlv_put_u32(w, STREAM_TAG_CREDIT | TLV_CRITICAL, frame->credit);
    if ((has & BIT(REASON)) && frame->reason[0])
        tlv_put_text(w, STREAM_TAG_REASON, frame->reason);
}

static bool get_data(const struct tlv *field, struct stream_frame *frame)
{
    struct reader r = field->value;

    frame->length = reader_left(&r);
    frame->data = reader_take(&r, frame->length);
    return frame->length >= 1 && frame->length <= STREAM_DATA_OCTETS;
}

static bool get_field(const struct tlv *field, struct stream_frame *frame)
{
    switch (field->tag) {
    case STREAM_TAG_NUMBER:
        return tlv_get_u32(field, &frame->number);
    case STREAM_TAG_FORWARD:
        return tlv_get_text(field, frame->forward, sizeof(frame->forward)) && frame->forward[0];
    case STREAM_TAG_CLIENT:
        return tlv_get_addr(field, &frame->client);
    case STREAM_TAG_SERVER:
        return tlv_get_addr(field, &frame->server);
    case STREAM_TAG_DATA:
        return get_data(field, frame);
    case STREAM_TAG_CREDIT:
        return tlv_get_u32(field, &frame->credit) && frame->credit > 0 &&
               frame->credit <= STREAM_WINDOW_OCTETS;
    default: /* STREAM_TAG_REASON */
        return tlv_get_text(field, frame->reason, sizeof(frame->reason)) && frame->reason[0];
    }
}

int streamwire_get(uint8_t type, struct reader *r, struct stream_frame *frame)
{
    unsigned left = fields[type].must | fields[type].may, got = 0;
    struct tlv field;

    *frame = (struct stream_frame){0};
    while (tlv_next(r, &field)) {
        bool known = field.tag >= STREAM_TAG_NUMBER && field.tag <= STREAM_TAG_REASON;

        if (!known && !field.critical)
            continue;
        if (!known || !(left & ~got & 1u << field.tag) || !get_field(&field, frame))
            return ERR_PROTOCOL;
        got |= 1u << field.tag;
    }
    return reader_done(r) && (got & fields[type].must) == fields[type].must ? 0 : ERR_PROTOCOL;
}
