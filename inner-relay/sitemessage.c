#include "inner-relay/sitemessage.h"

#include <stdbool.h>

#include "common/base/err.h"
#include "common/base/tlv.h"

#define BIT(tag) (1u << MESSAGE_TAG_##tag)

/* Which fields a message has to have, and which it may have. */
static const struct {
    unsigned must, may;
} fields[] = {
    [MESSAGE_PLACE] = {BIT(NUMBER) | BIT(SDP), 0},
    [MESSAGE_RINGING] = {BIT(NUMBER), 0},
    [MESSAGE_ANSWER] = {BIT(NUMBER) | BIT(SDP), 0},
    [MESSAGE_REFUSE] = {BIT(NUMBER), BIT(REASON)},
    [MESSAGE_END] = {BIT(NUMBER), BIT(REASON)},
    [MESSAGE_KEEP] = {BIT(NUMBER), 0},
    [MESSAGE_KEPT] = {0, 0},
    [MESSAGE_TAKES] = {BIT(MEDIA) | BIT(PROOF) | BIT(TAKEN_AS), 0},
    [MESSAGE_GIVES] = {BIT(MEDIA) | BIT(PROOF), 0},
    [MESSAGE_ASK] = {0, 0},
};

void sitemessage_put(struct writer *w, uint8_t type, const struct site_message *message)
{
    unsigned has = fields[type].must | fields[type].may;

    if (has & BIT(NUMBER))
        tlv_put_u64(w, MESSAGE_TAG_NUMBER | TLV_CRITICAL, message->number);
    if (has & BIT(SDP))
        tlv_put_bytes(w, MESSAGE_TAG_SDP | TLV_CRITICAL, message->sdp, message->sdp_length);
    if ((has & BIT(REASON)) && message->reason[0])
        tlv_put_text(w, MESSAGE_TAG_REASON, message->reason);
    if (has & BIT(MEDIA))
        tlv_put_bytes(w, MESSAGE_TAG_MEDIA | TLV_CRITICAL, message->media, sizeof(message->media));
    if (has & BIT(PROOF))
        tlv_put_bytes(w, MESSAGE_TAG_PROOF | TLV_CRITICAL, message->proof, sizeof(message->proof));
    if (has & BIT(TAKEN_AS))
        tlv_put_u32(w, MESSAGE_TAG_TAKEN_AS | TLV_CRITICAL, message->label);
}

static bool get_sdp(const struct tlv *field, struct site_message *message)
{
    struct reader r = field->value;

    message->sdp_length = reader_left(&r);
    message->sdp = (const char *)reader_take(&r, message->sdp_length);
    return message->sdp_length >= 1 && message->sdp_length <= MESSAGE_SDP_OCTETS;
}

static bool get_octets(const struct tlv *field, uint8_t out[MESSAGE_MEDIA_OCTETS])
{
    size_t length;

    return tlv_get_bytes(field, out, MESSAGE_MEDIA_OCTETS, &length) &&
           length == MESSAGE_MEDIA_OCTETS;
}

static bool get_field(const struct tlv *field, struct site_message *message)
{
    switch (field->tag) {
    case MESSAGE_TAG_NUMBER:
        return tlv_get_u64(field, &message->number);
    case MESSAGE_TAG_SDP:
        return get_sdp(field, message);
    case MESSAGE_TAG_MEDIA:
        return get_octets(field, message->media);
    case MESSAGE_TAG_PROOF:
        return get_octets(field, message->proof);
    case MESSAGE_TAG_TAKEN_AS:
        return tlv_get_u32(field, &message->label);
    default: /* MESSAGE_TAG_REASON */
        return tlv_get_text(field, message->reason, sizeof(message->reason)) && message->reason[0];
    }
}

int sitemessage_get(uint8_t type, struct reader *r, struct site_message *message)
{
    unsigned may, got = 0;
    struct tlv field;

    *message = (struct site_message){.number = 0};
    if (type < MESSAGE_PLACE || type > MESSAGE_ASK)
        return ERR_UNSUPPORTED;
    may = fields[type].must | fields[type].may;
    while (tlv_next(r, &field)) {
        bool known = field.tag >= MESSAGE_TAG_NUMBER && field.tag <= MESSAGE_TAG_TAKEN_AS;

        if (!known && !field.critical)
            continue;
        if (!known || !(may & ~got & 1u << field.tag) || !get_field(&field, message))
            return ERR_PROTOCOL;
        got |= 1u << field.tag;
    }
    return reader_done(r) && (got & fields[type].must) == fields[type].must ? 0 : ERR_PROTOCOL;
}

void sitemessage_set_reason(struct site_message *message, const char *reason)
{
    size_t length = 0;

    for (; *reason && length < sizeof(message->reason) - 1; reason++) {
        if (*reason >= 0x20 && *reason < 0x7f)
            message->reason[length++] = *reason;
    }
    message->reason[length] = '\0';
}
