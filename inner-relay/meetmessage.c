#define LOG_MODULE "meet"
#include "inner-relay/meetmessage.h"

#include <stdio.h>
#include <strings.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/tlv.h"
#include "inner-relay/inner.h"

static bool is_end(uint8_t type)
{
    return type == MESSAGE_MEET_END || type == MESSAGE_PUNCH_END;
}

void meetmessage_put(struct writer *w, uint8_t type, const struct meet_message *message)
{
    tlv_put_u64(w, MESSAGE_TAG_NUMBER | TLV_CRITICAL, message->number);
    if (is_end(type) && message->reason[0])
        tlv_put_text(w, MESSAGE_TAG_REASON, message->reason);
}

static bool get_field(uint8_t type, const struct tlv *field, struct meet_message *message)
{
    if (field->tag == MESSAGE_TAG_NUMBER)
        return message->number == 0 && tlv_get_u64(field, &message->number) && message->number > 0;
    if (field->tag == MESSAGE_TAG_REASON && is_end(type))
        return !message->reason[0] &&
               tlv_get_text(field, message->reason, sizeof(message->reason)) && message->reason[0];
    return !field->critical;
}

int meetmessage_get(uint8_t type, struct reader *r, struct meet_message *message)
{
    struct tlv field;

    *message = (struct meet_message){.number = 0};
    if (type < MESSAGE_MEET || type > MESSAGE_PUNCH_END)
        return ERR_UNSUPPORTED;
    while (tlv_next(r, &field)) {
        if (!get_field(type, &field, message))
            return ERR_PROTOCOL;
    }
    return reader_done(r) && message->number > 0 ? 0 : ERR_PROTOCOL;
}

void meetmessage_send(struct site *site, enum sites_side side, uint8_t type, uint64_t number,
                      const char *reason, uint64_t now_us)
{
    struct meet_message message = {.number = number};
    uint8_t memory[MESSAGE_REASON_SIZE + 64];
    struct writer w;
    const char *why;

    if (!site_is_up(site, side))
        return;
    snprintf(message.reason, sizeof(message.reason), "%s", reason);
    writer_init(&w, memory, sizeof(memory));
    meetmessage_put(&w, type, &message);
    if (site_send(site, side, type, memory, writer_length(&w), &why, now_us) < 0)
        log_debug("site %s: %s", site_name(site), why);
}

bool meetmessage_is_theirs(const struct site *site)
{
    return strcasecmp(site_link(site)->peer.site, site_name(site)) > 0;
}

const char *meetmessage_not_yet(const struct site *site)
{
    return meetmessage_is_theirs(site) ? "the other site has not asked"
                                       : "the other site has not been asked yet";
}
