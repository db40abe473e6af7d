#include "common/base/tlv.h"

#include "common/base/addr.h"

bool tlv_next(struct reader *r, struct tlv *field)
{
    uint16_t tag, length;
    const uint8_t *value;

    if (reader_left(r) == 0)
        return false;
    tag = reader_u16(r);
    length = reader_u16(r);
    value = reader_take(r, length);
    if (!value)
        return false;
    field->tag = (uint16_t)(tag & ~TLV_CRITICAL);
    field->critical = (tag & TLV_CRITICAL) != 0;
    reader_init(&field->value, value, length);
    return true;
}

bool tlv_get_u8(const struct tlv *field, uint8_t *out)
{
    struct reader r = field->value;
    uint8_t value = reader_u8(&r);

    if (!reader_done(&r))
        return false;
    *out = value;
    return true;
}

bool tlv_get_u16(const struct tlv *field, uint16_t *out)
{
    struct reader r = field->value;
    uint16_t value = reader_u16(&r);

    if (!reader_done(&r))
        return false;
    *out = value;
    return true;
}

bool tlv_get_u32(const struct tlv *field, uint32_t *out)
{
    struct reader r = field->value;
    uint32_t value = reader_u32(&r);

    if (!reader_done(&r))
        return false;
    *out = value;
    return true;
}

bool tlv_get_u64(const struct tlv *field, uint64_t *out)
{
    struct reader r = field->value;
    uint64_t value = reader_u64(&r);

    if (!reader_done(&r))
        return false;
    *out = value;
    return true;
}

bool tlv_get_text(const struct tlv *field, char *out, size_t size)
{
    struct reader r = field->value;
    size_t length = reader_left(&r);
    const uint8_t *p = reader_take(&r, length);

    if (length >= size)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (p[i] < 0x20 || p[i] > 0x7e)
            return false;
    }
    if (length > 0)
        memcpy(out, p, length);
    out[length] = '\0';
    return true;
}

/* On the wire: u8 4 or 6, the address, u16 port. */
bool tlv_get_addr(const struct tlv *field, struct addr *out)
{
    struct reader r = field->value;
    uint8_t ip[16] = {0};
    uint8_t version = reader_u8(&r);
    uint16_t port;

    if (version != 4 && version != 6)
        return false;
    reader_copy(&r, ip, version == 4 ? 4 : 16);
    port = reader_u16(&r);
    if (!reader_done(&r))
        return false;
    *out = version == 4 ? addr_from_ip4(ip, port) : addr_from_ip6(ip, port);
    return true;
}

bool tlv_get_bytes(const struct tlv *field, uint8_t *out, size_t size, size_t *length)
{
    struct reader r = field->value;
    size_t n = reader_left(&r);

    if (n == 0 || n > size)
        return false;
    reader_copy(&r, out, n);
    *length = n;
    return true;
}

static void put_head(struct writer *w, uint16_t tag, size_t length)
{
    if (length > UINT16_MAX)
        w->failed = true;
    writer_u16(w, tag);
    writer_u16(w, (uint16_t)length);
}

void tlv_put_u8(struct writer *w, uint16_t tag, uint8_t value)
{
    put_head(w, tag, 1);
    writer_u8(w, value);
}

void tlv_put_u16(struct writer *w, uint16_t tag, uint16_t value)
{
    put_head(w, tag, 2);
    writer_u16(w, value);
}

void tlv_put_u32(struct writer *w, uint16_t tag, uint32_t value)
{
    put_head(w, tag, 4);
    writer_u32(w, value);
}

void tlv_put_u64(struct writer *w, uint16_t tag, uint64_t value)
{
    put_head(w, tag, 8);
    writer_u64(w, value);
}

void tlv_put_text(struct writer *w, uint16_t tag, const char *text)
{
    tlv_put_bytes(w, tag, text, strlen(text));
}

void tlv_put_addr(struct writer *w, uint16_t tag, const struct addr *addr)
{
    size_t length = addr_ip_length(addr);

    if (addr->family == 0) {
        w->failed = true; /* no address has no form on the wire: leave the field out */
        return;
    }
    put_head(w, tag, 1 + length + 2);
    writer_u8(w, length == 4 ? 4 : 6);
    writer_copy(w, addr->ip, length);
    writer_u16(w, addr->port);
}

void tlv_put_bytes(struct writer *w, uint16_t tag, const void *data, size_t length)
{
    put_head(w, tag, length);
    writer_copy(w, data, length);
}
