/*
 * A bounded reader of octets. The first read beyond the end makes the error
 * stick: it and all later reads give 0 and consume nothing, so that a decoder checks once,
 * at its end, with reader_done().
 */
#ifndef COMMON_BASE_READER_H
#define COMMON_BASE_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct reader {
    const uint8_t *at;
    const uint8_t *end;
    bool failed;
};

static inline void reader_init(struct reader *r, const void *data, size_t length)
{
    r->at = data;
    r->end = length ? r->at + length : r->at;
    r->failed = false;
}

static inline size_t reader_left(const struct reader *r)
{
    return r->failed ? 0 : (size_t)(r->end - r->at);
}

/* Returns a pointer into the input, valid as long as the input is; NULL when too short. */
static inline const uint8_t *reader_take(struct reader *r, size_t length)
{
    const uint8_t *p = r->at;

    if (r->failed || (size_t)(r->end - r->at) < length) {
        r->failed = true;
        return NULL;
    }
    if (length > 0)
        r->at += length;
    return p;
}

static inline uint8_t reader_u8(struct reader *r)
{
    const uint8_t *p = reader_take(r, 1);

    return p ? p[0] : 0;
}

static inline uint16_t reader_u16(struct reader *r)
{
    const uint8_t *p = reader_take(r, 2);

    return (uint16_t)(p ? p[0] << 8 | p[1] : 0);
}

static inline uint32_t reader_u32(struct reader *r)
{
    const uint8_t *p = reader_take(r, 4);

    return p ? (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3] : 0;
}

static inline uint64_t reader_u64(struct reader *r)
{
    const uint8_t *p = reader_take(r, 8);
    uint64_t value = 0;

    for (int i = 0; p && i < 8; i++)
        value = value << 8 | p[i];
    return value;
}

/* Copies length octets, or fails and leaves to as it was. */
static inline void reader_copy(struct reader *r, void *to, size_t length)
{
    const uint8_t *p = reader_take(r, length);

    if (p && length > 0)
        memcpy(to, p, length);
}

/* True when nothing failed and every octet was consumed. */
static inline bool reader_done(const struct reader *r)
{
    return !r->failed && r->at == r->end;
}

#endif
