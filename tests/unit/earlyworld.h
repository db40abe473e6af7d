/*
 * A stream of sealed frames, cut into segments, that comes to a receiver twice: to a raw socket
 * segment by segment, and to the kernel's socket in order. What must hold is checked on the way, by
 * abort(): each frame is opened once, and nothing is discarded unless it was opened.
 */
#ifndef TESTS_UNIT_EARLYWORLD_H
#define TESTS_UNIT_EARLYWORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/carrier/early.h"

enum { EARLYWORLD_FRAMES = 4096, EARLYWORLD_SEGMENTS = 4096, EARLYWORLD_OCTETS = 1 << 20 };

struct earlyworld_frame {
    size_t start, end;
    bool opened, early;
};

struct earlyworld_segment {
    size_t start, end;
    bool arrived; /* at the kernel */
};

struct earlyworld {
    struct seal_store *store;
    struct seal *near, *far;
    struct early early;
    uint32_t sequence; /* of the first octet */
    uint8_t *stream;
    struct earlyworld_frame frames[EARLYWORLD_FRAMES];
    struct earlyworld_segment segments[EARLYWORLD_SEGMENTS];
    size_t frame_count, segment_count;
    size_t written;   /* octets in frames */
    size_t cut;       /* octets in segments */
    size_t ready;     /* octets that the kernel has in order */
    size_t position;  /* read or discarded of these */
    size_t parsed;    /* position without the frame that is not complete */
    size_t discarded; /* octets */
    size_t read;
    unsigned tries; /* of tags, in the last segment */
};

/* Aborts without memory. On the heap: it is large. */
struct earlyworld *earlyworld_new(uint32_t sequence);
void earlyworld_free(struct earlyworld *world);
/* Seals a frame with a packet of so many octets. False: the world is full. */
bool earlyworld_frame(struct earlyworld *world, size_t length);
/* What was sealed becomes one segment; or, with length > 0, at most so many octets of it. */
bool earlyworld_cut(struct earlyworld *world, size_t length);
/* Segments first to first + count - 1, merged, come to the raw socket. */
void earlyworld_raw(struct earlyworld *world, size_t first, size_t count);
/* Any octets come to the raw socket. */
void earlyworld_forged(struct earlyworld *world, uint32_t sequence, const uint8_t *data,
                       size_t length);
/* A segment comes to the kernel. */
void earlyworld_kernel(struct earlyworld *world, size_t segment);
/* The receiver discards what it may, then reads so many octets at most; as long as there are any.
 */
void earlyworld_read(struct earlyworld *world, size_t at_once);
size_t earlyworld_opened(const struct earlyworld *world);

#endif
