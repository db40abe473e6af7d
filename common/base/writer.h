/*
 * A bounded writer of octets into memory that the caller owns. The first write
 * beyond the end makes the error stick and writes nothing; check once, at the
 * end, with writer.failed.
 */
#ifndef COMMON_BASE_WRITER_H
#define COMMON_BASE_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct writer {
    uint8_t *start;
    uint8_t *at;
    uint8_t *end;
    bool failed;
};

static inline void writer_init(struct writer *w, void *memory, size_t size)
{
    w->start = w->at = memory;
    w->end = w->at + size;
    w->failed = false;
}

static inline size_t writer_length(const struct writer *w)
{
    return (size_t)(w->at - w->start);
}

static inline size_t writer_room(const struct writer *w)
{
    return w->failed ? 0 : (size_t)(w->end - w->at);
}

/* Returns where length octets may be written; NULL when they do not fit. */
static inline uint8_t *writer_reserve(struct writer *w, size_t length)
{
    uint8_t *p = w->at;

    if (w->failed || (size_t)(w->end - w->at) < length) {
        w->failed = true;
        return NULL;
    }
    w->at += length;
    return p;
}

static inline void writer_u8(struct writer *w, uint8_t value)
{
    uint8_t *p = writer_reserve(w, 1);

    if (p)
        p[0] = value;
}

static inline void writer_u16(struct writer *w, uint16_t value)
{
    uint8_t *p = writer_reserve(w, 2);

    if (p) {
        p[0] = (uint8_t)(value >> 8);
        p[1] = (uint8_t)value;
    }
}

static inline void writer_u32(struct writer *w, uint32_t value)
{
    uint8_t *p = writer_reserve(w, 4);

    for (int i = 0; p && i < 4; i++)
        p[i] = (uint8_t)(value >> (24 - 8 * i));
}

static inline void writer_u64(struct writer *w, uint64_t value)
{
    uint8_t *p = writer_reserve(w, 8);

    for (int i = 0; p && i < 8; i++)
        p[i] = (uint8_t)(value >> (56 - 8 * i));
}

static inline void writer_copy(struct writer *w, const void *data, size_t length)
{
    uint8_t *p = writer_reserve(w, length);

    if (p && length > 0)
        memcpy(p, data, length);
}

#endif
