/*
 * Bodies of control messages: a row of fields "u16 tag | u16 length | value".
 * A tag with TLV_CRITICAL set must be understood, or the message is refused;
 * others are skipped, so that either side can be upgraded first.
 */
#ifndef COMMON_BASE_TLV_H
#define COMMON_BASE_TLV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/reader.h"
#include "common/base/writer.h"

#define TLV_CRITICAL 0x8000u

struct addr;

struct tlv {
    uint16_t tag; /* without TLV_CRITICAL */
    bool critical;
    struct reader value; /* points into the message */
};

/* Takes the next field. False at the end, and when the field is truncated (r->failed). */
bool tlv_next(struct reader *r, struct tlv *field);

/* Each reads the whole value, exactly; *out is untouched and the result false otherwise. */
bool tlv_get_u8(const struct tlv *field, uint8_t *out);
bool tlv_get_u16(const struct tlv *field, uint16_t *out);
bool tlv_get_u32(const struct tlv *field, uint32_t *out);
bool tlv_get_u64(const struct tlv *field, uint64_t *out);
/* Printable text without NUL, at most size - 1 octets; it is terminated. */
bool tlv_get_text(const struct tlv *field, char *out, size_t size);
bool tlv_get_addr(const struct tlv *field, struct addr *out);
/* 1 to size octets. */
bool tlv_get_bytes(const struct tlv *field, uint8_t *out, size_t size, size_t *length);

/* tag as it goes out, TLV_CRITICAL included where wanted. */
void tlv_put_u8(struct writer *w, uint16_t tag, uint8_t value);
void tlv_put_u16(struct writer *w, uint16_t tag, uint16_t value);
void tlv_put_u32(struct writer *w, uint16_t tag, uint32_t value);
void tlv_put_u64(struct writer *w, uint16_t tag, uint64_t value);
void tlv_put_text(struct writer *w, uint16_t tag, const char *text);
/* Of family 4 or 6; another fails. */
void tlv_put_addr(struct writer *w, uint16_t tag, const struct addr *addr);
void tlv_put_bytes(struct writer *w, uint16_t tag, const void *data, size_t length);

#endif
