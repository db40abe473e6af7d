#include "common/tunnel/passwire.h"

#include "common/base/err.h"
#include "common/base/tlv.h"

#define BIT(tag) (1u << PASS_TAG_##tag)

void passwire_put(struct writer *w, uint8_t type, const struct pass_frame *frame)
{
    tlv_put_text(w, PASS_TAG_SITE | TLV_CRITICAL, frame->site);
    if (type == FRAME_PASS) {
        tlv_put_u8(w, PASS_TAG_WANT | TLV_CRITICAL, frame->want);
        return;
    }
    tlv_put_u8(w, PASS_TAG_STATE | TLV_CRITICAL, frame->state);
    if (frame->state == PASS_STATE_OPEN)
        tlv_put_u8(w, PASS_TAG_NUMBER | TLV_CRITICAL, frame->number);
}

static bool get_field(const struct tlv *field, struct pass_frame *frame)
{
    uint8_t want;

    switch (field->tag) {
    case PASS_TAG_SITE:
        return tlv_get_text(field, frame->site, sizeof(frame->site)) && frame->site[0];
    case PASS_TAG_WANT:
        if (!tlv_get_u8(field, &want) || want > 1)
            return false;
        frame->want = want;
        return true;
    case PASS_TAG_STATE:
        return tlv_get_u8(field, &frame->state) && frame->state >= PASS_STATE_OPEN &&
               frame->state <= PASS_STATE_UNKNOWN;
    default: /* PASS_TAG_NUMBER */
        return tlv_get_u8(field, &frame->number) && frame->number < PASS_NUMBERS;
    }
}

static unsigned fields_of(uint8_t type, const struct pass_frame *frame)
{
    if (type == FRAME_PASS)
        return BIT(SITE) | BIT(WANT);
    return BIT(SITE) | BIT(STATE) | (frame->state == PASS_STATE_OPEN ? BIT(NUMBER) : 0);
}

int passwire_get(uint8_t type, struct reader *r, struct pass_frame *frame)
{
    unsigned got = 0;
    struct tlv field;

    *frame = (struct pass_frame){.state = 0};
    while (tlv_next(r, &field)) {
        bool known = field.tag >= PASS_TAG_SITE && field.tag <= PASS_TAG_NUMBER;

        if (!known && !field.critical)
            continue;
        if (!known || (got & 1u << field.tag) || !get_field(&field, frame))
            return ERR_PROTOCOL;
        got |= 1u << field.tag;
    }
    return reader_done(r) && got == fields_of(type, frame) ? 0 : ERR_PROTOCOL;
}
