/* A row of fields: what is read lies inside, and what is written again reads the same. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/addr.h"
#include "common/base/tlv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool condition)
{
    if (!condition)
        abort();
}

/* The value of the one field that w holds must be the value of field. */
static void expect_same(const struct tlv *field, const struct writer *w)
{
    struct reader r;
    struct tlv again;

    expect(!w->failed);
    reader_init(&r, w->start, writer_length(w));
    expect(tlv_next(&r, &again) && reader_done(&r));
    expect(again.tag == field->tag && again.critical == field->critical);
    expect(reader_left(&again.value) == reader_left(&field->value));
    expect(memcmp(again.value.at, field->value.at, reader_left(&field->value)) == 0);
}

static void check_numbers(const struct tlv *field, uint16_t tag, struct writer *w)
{
    size_t length = reader_left(&field->value);
    uint64_t u64 = 0;
    uint32_t u32 = 0;
    uint16_t u16 = 0;
    uint8_t u8 = 0;

    expect(tlv_get_u8(field, &u8) == (length == 1));
    expect(tlv_get_u16(field, &u16) == (length == 2));
    expect(tlv_get_u32(field, &u32) == (length == 4));
    expect(tlv_get_u64(field, &u64) == (length == 8));
    if (length == 1)
        tlv_put_u8(w, tag, u8);
    else if (length == 2)
        tlv_put_u16(w, tag, u16);
    else if (length == 4)
        tlv_put_u32(w, tag, u32);
    else if (length == 8)
        tlv_put_u64(w, tag, u64);
    else
        return;
    expect_same(field, w);
}

static void check_text(const struct tlv *field, uint16_t tag, struct writer *w)
{
    char text[64];

    if (!tlv_get_text(field, text, sizeof(text)))
        return;
    expect(strlen(text) == reader_left(&field->value));
    tlv_put_text(w, tag, text);
    expect_same(field, w);
}

/* An IPv4-mapped address comes back as IPv4, so that only the address is compared. */
static void check_addr(const struct tlv *field, uint16_t tag, struct writer *w)
{
    struct addr addr, again;
    struct reader r;
    struct tlv put;

    if (!tlv_get_addr(field, &addr))
        return;
    tlv_put_addr(w, tag, &addr);
    expect(!w->failed);
    reader_init(&r, w->start, writer_length(w));
    expect(tlv_next(&r, &put) && tlv_get_addr(&put, &again) && addr_equal(&addr, &again));
}

static void check_bytes(const struct tlv *field, uint16_t tag, struct writer *w)
{
    uint8_t bytes[64];
    size_t length;

    if (!tlv_get_bytes(field, bytes, sizeof(bytes), &length))
        return;
    tlv_put_bytes(w, tag, bytes, length);
    expect_same(field, w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const checks[])(const struct tlv *, uint16_t, struct writer *) = {
        check_numbers, check_text, check_addr, check_bytes};
    size_t consumed = 0;
    struct reader r;
    struct tlv field;

    reader_init(&r, data, size);
    while (tlv_next(&r, &field)) {
        uint16_t tag = (uint16_t)(field.tag | (field.critical ? TLV_CRITICAL : 0u));

        consumed += 4 + reader_left(&field.value);
        for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
            uint8_t room[128];
            struct writer w;

            writer_init(&w, room, sizeof(room));
            checks[i](&field, tag, &w);
        }
    }
    expect(r.failed ? consumed < size : consumed == size);
    return 0;
}
