#include "common/tunnel/arrivals.h"

#include "common/base/err.h"
#include "common/base/tlv.h"

enum { FIELDS_OCTETS = 128 };

static void put_age(struct writer *w, uint16_t tag, uint64_t age_us)
{
    if (age_us != ARRIVALS_NEVER)
        tlv_put_u64(w, tag, age_us);
}

static void put_port(struct writer *w, const struct arrivals_port *port)
{
    uint8_t memory[FIELDS_OCTETS];
    struct writer fields;

    writer_init(&fields, memory, sizeof(memory));
    tlv_put_text(&fields, ARRIVAL_TAG_NAME, port->name);
    put_age(&fields, ARRIVAL_TAG_RTP_AGE, port->age_us[0]);
    put_age(&fields, ARRIVAL_TAG_RTCP_AGE, port->age_us[1]);
    w->failed = w->failed || fields.failed;
    tlv_put_bytes(w, STATS_TAG_LISTENER, memory, writer_length(&fields));
}

void arrivals_put(struct writer *w, const struct arrivals *arrivals)
{
    for (size_t i = 0; i < arrivals->count; i++)
        put_port(w, &arrivals->port[i]);
}

static bool get_age(const struct tlv *field, uint64_t *age_us)
{
    return tlv_get_u64(field, age_us) && *age_us != ARRIVALS_NEVER;
}

static bool get_port(const struct tlv *field, struct arrivals *arrivals)
{
    struct arrivals_port port = {.age_us = {ARRIVALS_NEVER, ARRIVALS_NEVER}};
    struct reader r = field->value;
    struct tlv inner;
    bool ok = true;

    while (ok && tlv_next(&r, &inner)) {
        if (inner.tag == ARRIVAL_TAG_NAME)
            ok = tlv_get_text(&inner, port.name, sizeof(port.name));
        else if (inner.tag == ARRIVAL_TAG_RTP_AGE)
            ok = get_age(&inner, &port.age_us[0]);
        else if (inner.tag == ARRIVAL_TAG_RTCP_AGE)
            ok = get_age(&inner, &port.age_us[1]);
        else
            ok = !inner.critical;
    }
    if (!ok || !reader_done(&r) || !port.name[0] || arrivals->count == HELLO_LISTENERS_MAX)
        return false;
    arrivals->port[arrivals->count++] = port;
    return true;
}

int arrivals_get(struct reader *r, struct arrivals *arrivals)
{
    struct tlv field;
    bool ok = true;

    arrivals->count = 0;
    while (ok && tlv_next(r, &field))
        ok = field.tag == STATS_TAG_LISTENER ? get_port(&field, arrivals) : !field.critical;
    return ok && reader_done(r) ? 0 : ERR_PROTOCOL;
}
