/*
 * The connection of two sites that both have opened at once: sealed frames over TCP, without TLS
 * and without a session. Frames go out in segments of their own, and what TCP does not take now
 * waits, as one segment at most; what comes is read in order, and early, too, where somebody hands
 * segments over: each frame counts once. No event loop, no clock.
 */
#ifndef INNER_RELAY_HOLE_H
#define INNER_RELAY_HOLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "inner-relay/meetpath.h"

enum {
    HOLE_READ_OCTETS = 16 * 1024, /* at once: the caller looks at the clock in between */
    HOLE_INPUT_OCTETS = HOLE_READ_OCTETS + SEAL_FRAME_MAX_OCTETS,
    /* So often back to the tunnel in so short a time: it does more harm than good. */
    HOLE_RETURNS = 5,
    HOLE_RETURNS_US = 30 * 1000 * 1000,
};

struct hole {
    int fd;
    struct meetpath path;
    uint64_t early; /* packets that came by a segment, before the kernel had them in order */
    uint64_t returned_us[HOLE_RETURNS], returns; /* the newest of path.direct.returns, noted here */
    size_t length; /* of input: the beginning of a frame, between calls */
    size_t rest_at, rest_length;
    uint8_t input[HOLE_INPUT_OCTETS];
    uint8_t rest[MEETPATH_ROOM]; /* of a segment that TCP has taken a part of */
};

/*
 * Takes the socket over in any case. The path is open then; of its hooks media alone is called.
 * NULL: no memory, or keys cannot be made.
 */
struct hole *hole_new(int fd, struct seal_store *store, const uint8_t out[SEAL_SECRET_OCTETS],
                      const uint8_t in[SEAL_SECRET_OCTETS], const struct meetpath_hooks *hooks,
                      void *ctx, uint64_t now_us);
/* The other side hears at once that it is over, and so does each NAT on the way. Accepts NULL. */
void hole_free(struct hole *hole);
/*
 * Takes what has come, or a part of it. 0, or negative: the connection is over, or what came is no
 * sealed frame and there was no genuine one yet. What is none later is passed by, as far as the
 * next that looks like one, and counted.
 */
int hole_read(struct hole *hole, uint64_t now_us);
/* Data of a segment of this connection, which are changed, while the kernel has it, too. */
void hole_segment(struct hole *hole, uint8_t *data, size_t length, uint64_t now_us);
/* A PING, if one is due, and what waits. 0, or negative: the connection is over. */
int hole_tend(struct hole *hole, uint64_t now_us);
/* Has media come back to the tunnel too often? Asked in each turn, which notes when it did. */
bool hole_is_restless(struct hole *hole, uint64_t now_us);

#endif
