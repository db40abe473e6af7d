#include "common/tunnel/hello.h"

#include "common/base/err.h"
#include "common/base/tlv.h"

enum { LISTENER_FIELDS_OCTETS = 160 };

void hello_put(struct writer *w, const struct hello *hello)
{
    tlv_put_u16(w, TAG_VERSION_MIN | TLV_CRITICAL, hello->version_min);
    tlv_put_u16(w, TAG_VERSION_MAX | TLV_CRITICAL, hello->version_max);
    tlv_put_u64(w, TAG_FEATURES, hello->features);
    tlv_put_u64(w, TAG_EPOCH | TLV_CRITICAL, hello->epoch);
    tlv_put_u64(w, TAG_INSTANCE | TLV_CRITICAL, hello->instance);
    tlv_put_u64(w, TAG_SA_VERSION | TLV_CRITICAL, hello->sa_version);
    tlv_put_text(w, TAG_SOFTWARE, hello->software);
    tlv_put_text(w, TAG_ENGINE, hello->engine);
    if (hello->worker > 0)
        tlv_put_u8(w, TAG_WORKER | TLV_CRITICAL, hello->worker);
    if (hello->meet > 0)
        tlv_put_u64(w, TAG_MEET | TLV_CRITICAL, hello->meet);
}

static void put_listener(struct writer *w, const struct hello_listener *listener)
{
    uint8_t memory[LISTENER_FIELDS_OCTETS];
    struct writer fields;

    writer_init(&fields, memory, sizeof(memory));
    tlv_put_text(&fields, LISTENER_TAG_NAME, listener->name);
    tlv_put_addr(&fields, LISTENER_TAG_ADVERTISE, &listener->advertise);
    if (listener->m_line >= 0)
        tlv_put_u8(&fields, LISTENER_TAG_MLINE, (uint8_t)listener->m_line);
    w->failed = w->failed || fields.failed;
    tlv_put_bytes(w, TAG_LISTENER, memory, writer_length(&fields));
}

void hello_ack_put(struct writer *w, const struct hello *hello)
{
    tlv_put_u16(w, TAG_VERSION | TLV_CRITICAL, hello->version);
    tlv_put_u64(w, TAG_FEATURES, hello->features);
    tlv_put_u64(w, TAG_EPOCH | TLV_CRITICAL, hello->epoch);
    tlv_put_u64(w, TAG_SA_VERSION | TLV_CRITICAL, hello->sa_version);
    tlv_put_u32(w, TAG_CAPACITY, hello->capacity);
    tlv_put_u32(w, TAG_QUOTA, hello->quota);
    tlv_put_text(w, TAG_SOFTWARE, hello->software);
    tlv_put_text(w, TAG_SITE, hello->site);
    tlv_put_text(w, TAG_ENGINE, hello->engine);
    if (hello->workers > 0)
        tlv_put_u8(w, TAG_WORKERS, hello->workers);
    for (size_t i = 0; i < hello->listener_count; i++)
        put_listener(w, &hello->listener[i]);
}

static bool get_listener(const struct tlv *field, struct hello *hello)
{
    struct hello_listener *listener = &hello->listener[hello->listener_count];
    struct reader r = field->value;
    struct tlv inner;
    bool ok = true;
    uint8_t m_line;

    if (hello->listener_count == HELLO_LISTENERS_MAX)
        return false;
    *listener = (struct hello_listener){.m_line = -1};
    while (ok && tlv_next(&r, &inner)) {
        if (inner.tag == LISTENER_TAG_NAME) {
            ok = tlv_get_text(&inner, listener->name, sizeof(listener->name));
        } else if (inner.tag == LISTENER_TAG_ADVERTISE) {
            ok = tlv_get_addr(&inner, &listener->advertise);
        } else if (inner.tag == LISTENER_TAG_MLINE) {
            ok = tlv_get_u8(&inner, &m_line);
            listener->m_line = ok ? m_line : -1;
        } else {
            ok = !inner.critical;
        }
    }
    ok = ok && reader_done(&r) && listener->name[0] && listener->advertise.family;
    hello->listener_count += ok;
    return ok;
}

/* Both kinds of HELLO read with one table of tags; each checks what it needs afterwards. */
static bool get_field(const struct tlv *field, struct hello *hello)
{
    switch (field->tag) {
    case TAG_VERSION_MIN:
        return tlv_get_u16(field, &hello->version_min);
    case TAG_VERSION_MAX:
        return tlv_get_u16(field, &hello->version_max);
    case TAG_VERSION:
        return tlv_get_u16(field, &hello->version);
    case TAG_FEATURES:
        return tlv_get_u64(field, &hello->features);
    case TAG_EPOCH:
        return tlv_get_u64(field, &hello->epoch);
    case TAG_INSTANCE:
        return tlv_get_u64(field, &hello->instance);
    case TAG_SA_VERSION:
        return tlv_get_u64(field, &hello->sa_version);
    case TAG_CAPACITY:
        return tlv_get_u32(field, &hello->capacity);
    case TAG_QUOTA:
        return tlv_get_u32(field, &hello->quota);
    case TAG_SOFTWARE:
        return tlv_get_text(field, hello->software, sizeof(hello->software));
    case TAG_ENGINE:
        return tlv_get_text(field, hello->engine, sizeof(hello->engine));
    case TAG_SITE:
        return tlv_get_text(field, hello->site, sizeof(hello->site));
    case TAG_WORKER:
        return tlv_get_u8(field, &hello->worker) && hello->worker > 0 &&
               hello->worker <= WORKERS_MAX;
    case TAG_WORKERS:
        return tlv_get_u8(field, &hello->workers) && hello->workers > 0 &&
               hello->workers <= WORKERS_MAX;
    case TAG_MEET:
        return tlv_get_u64(field, &hello->meet) && hello->meet > 0;
    case TAG_LISTENER:
        return get_listener(field, hello);
    default:
        return !field->critical;
    }
}

static int get_all(struct reader *r, struct hello *hello)
{
    struct tlv field;

    *hello = (struct hello){0};
    while (tlv_next(r, &field)) {
        if (!get_field(&field, hello))
            return ERR_PROTOCOL;
    }
    return reader_done(r) ? 0 : ERR_PROTOCOL;
}

int hello_get(struct reader *r, struct hello *hello)
{
    if (get_all(r, hello) < 0 || hello->version_min == 0 ||
        hello->version_min > hello->version_max || (hello->meet > 0 && hello->worker == 0))
        return ERR_PROTOCOL;
    if (hello->version_min > PROTOCOL_VERSION_MAX || hello->version_max < PROTOCOL_VERSION_MIN)
        return ERR_UNSUPPORTED;
    return 0;
}

int hello_ack_get(struct reader *r, struct hello *hello)
{
    if (get_all(r, hello) < 0 || hello->version == 0)
        return ERR_PROTOCOL;
    if (hello->version < PROTOCOL_VERSION_MIN || hello->version > PROTOCOL_VERSION_MAX)
        return ERR_UNSUPPORTED;
    return 0;
}

void ping_put(struct writer *w, const struct ping *ping)
{
    tlv_put_u64(w, TAG_CLOCK | TLV_CRITICAL, ping->clock_us);
    tlv_put_u64(w, TAG_SA_VERSION, ping->sa_version);
}

int ping_get(struct reader *r, struct ping *ping)
{
    struct tlv field;
    bool ok = true, has_clock = false;

    *ping = (struct ping){0};
    while (ok && tlv_next(r, &field)) {
        if (field.tag == TAG_CLOCK)
            ok = has_clock = tlv_get_u64(&field, &ping->clock_us);
        else if (field.tag == TAG_SA_VERSION)
            ok = tlv_get_u64(&field, &ping->sa_version);
        else
            ok = !field.critical;
    }
    return ok && has_clock && reader_done(r) ? 0 : ERR_PROTOCOL;
}

void bye_put(struct writer *w, const char *reason)
{
    /* A longer one would be a BYE that cannot be read. */
    tlv_put_bytes(w, TAG_REASON, reason, strnlen(reason, BYE_REASON_SIZE - 1));
}

int bye_get(struct reader *r, char reason[BYE_REASON_SIZE])
{
    struct tlv field;
    bool ok = true;

    reason[0] = '\0';
    while (ok && tlv_next(r, &field))
        ok = field.tag == TAG_REASON ? tlv_get_text(&field, reason, BYE_REASON_SIZE)
                                     : !field.critical;
    return ok && reader_done(r) ? 0 : ERR_PROTOCOL;
}
