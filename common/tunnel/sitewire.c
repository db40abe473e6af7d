#include "common/tunnel/sitewire.h"

#include <stdbool.h>

#include "common/base/err.h"
#include "common/base/tlv.h"

#define BIT(tag) (1u << SITE_TAG_##tag)

enum { SESSION = BIT(SESSION) | BIT(KIND) };

/* Which fields a SITE-STATE has, by its state; some may be without a session. */
static const struct {
    unsigned fields;
    bool session_may_lack;
} states[] = {
    [SITE_STATE_TAKEN] = {BIT(SITE) | BIT(STATE) | BIT(CREDIT), false},
    [SITE_STATE_REFUSED] = {BIT(SITE) | BIT(STATE) | SESSION, false},
    [SITE_STATE_UNKNOWN] = {BIT(SITE) | BIT(STATE) | SESSION, false},
    [SITE_STATE_OFFLINE] = {BIT(SITE) | BIT(STATE) | SESSION, true},
    [SITE_STATE_CLOSED] = {BIT(SITE) | BIT(STATE) | SESSION, false},
};

void sitewire_put(struct writer *w, uint8_t type, const struct site_frame *frame)
{
    tlv_put_text(w, SITE_TAG_SITE | TLV_CRITICAL, frame->site);
    if (frame->kind) {
        tlv_put_u64(w, SITE_TAG_SESSION | TLV_CRITICAL, frame->session);
        tlv_put_u8(w, SITE_TAG_KIND | TLV_CRITICAL, frame->kind);
    }
    if (type == FRAME_SITE) {
        tlv_put_bytes(w, SITE_TAG_DATA | TLV_CRITICAL, frame->data, frame->length);
        return;
    }
    tlv_put_u8(w, SITE_TAG_STATE | TLV_CRITICAL, frame->state);
    if (frame->state == SITE_STATE_TAKEN)
        tlv_put_u32(w, SITE_TAG_CREDIT | TLV_CRITICAL, frame->credit);
}

static bool get_data(const struct tlv *field, struct site_frame *frame)
{
    struct reader r = field->value;

    frame->length = reader_left(&r);
    frame->data = reader_take(&r, frame->length);
    return frame->length >= 1 && frame->length <= SITE_DATA_OCTETS;
}

static bool get_field(const struct tlv *field, struct site_frame *frame)
{
    switch (field->tag) {
    case SITE_TAG_SITE:
        return tlv_get_text(field, frame->site, sizeof(frame->site)) && frame->site[0];
    case SITE_TAG_SESSION:
        return tlv_get_u64(field, &frame->session);
    case SITE_TAG_KIND:
        return tlv_get_u8(field, &frame->kind) && frame->kind >= SITE_KIND_OPEN &&
               frame->kind <= SITE_KIND_BACK;
    case SITE_TAG_DATA:
        return get_data(field, frame);
    case SITE_TAG_STATE:
        return tlv_get_u8(field, &frame->state) && frame->state >= SITE_STATE_TAKEN &&
               frame->state <= SITE_STATE_CLOSED;
    default: /* SITE_TAG_CREDIT */
        return tlv_get_u32(field, &frame->credit) && frame->credit > 0 &&
               frame->credit <= SITE_WINDOW_OCTETS;
    }
}

static bool is_complete(uint8_t type, const struct site_frame *frame, unsigned got)
{
    if (type == FRAME_SITE)
        return got == (BIT(SITE) | SESSION | BIT(DATA));
    if (frame->state == 0)
        return false;
    if (got == states[frame->state].fields)
        return true;
    return states[frame->state].session_may_lack && got == (BIT(SITE) | BIT(STATE));
}

int sitewire_get(uint8_t type, struct reader *r, struct site_frame *frame)
{
    unsigned got = 0;
    struct tlv field;

    *frame = (struct site_frame){.state = 0};
    while (tlv_next(r, &field)) {
        bool known = field.tag >= SITE_TAG_SITE && field.tag <= SITE_TAG_CREDIT;

        if (!known && !field.critical)
            continue;
        if (!known || (got & 1u << field.tag) || !get_field(&field, frame))
            return ERR_PROTOCOL;
        got |= 1u << field.tag;
    }
    return reader_done(r) && is_complete(type, frame, got) ? 0 : ERR_PROTOCOL;
}

uint32_t sitewire_cost(const struct site_frame *frame)
{
    return (uint32_t)frame->length + SITE_COST_OCTETS;
}
