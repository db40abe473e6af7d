/*
 * The direct path to another site: sealed frames in segments that bear the dmz-relay's name, as far
 * as the other site's connection to it allows; and what of the other site's came on our own. No
 * socket, no clock: segments go out by a hook.
 */
#ifndef INNER_RELAY_MEETPATH_H
#define INNER_RELAY_MEETPATH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/addr.h"
#include "common/carrier/seal.h"
#include "common/carrier/track.h"
#include "common/tunnel/session.h"
#include "inner-relay/direct.h"

struct segment;

enum {
    MEETPATH_OCTETS = 1200,            /* of a segment: what passes nearly everywhere */
    MEETPATH_RATE = 100 * 1000 * 1000, /* octets per second */
    MEETPATH_ROOM = MEETPATH_OCTETS + SEAL_FRAME_MAX_OCTETS,
};

struct meetpath_hooks {
    /* The segment is complete, its data are gone afterwards. */
    void (*send)(void *ctx, const struct segment *segment);
    /* 1 to SESSION_GROUP packets of the other site. */
    void (*media)(void *ctx, const struct session_packet *packets, size_t count, uint64_t now_us);
};

/* 0 is one that is closed and has no keys. */
struct meetpath {
    const struct meetpath_hooks *hooks;
    void *ctx;
    /* It is over something else than segments of our own: 0, or negative, ERR_AGAIN: not now. */
    int (*write)(void *ctx, const uint8_t *data, size_t length);
    void *write_ctx;
    struct seal *seal;
    struct addr source, to;
    uint8_t traffic;
    struct track out; /* the other site's connection, in the name of the dmz-relay */
    struct direct direct;
    uint64_t sent, came, forged; /* packets, and frames that were not genuine */
    size_t length;
    uint8_t segment[MEETPATH_ROOM];
};

/* From here on it can read frames; what it was before has to be over. 0 or negative. */
int meetpath_init(struct meetpath *path, const struct meetpath_hooks *hooks, void *ctx,
                  struct seal_store *store, const uint8_t out[SEAL_SECRET_OCTETS],
                  const uint8_t in[SEAL_SECRET_OCTETS]);
/* And from here on it says something: in the name of source. start: as the dmz-relay has told. */
void meetpath_open(struct meetpath *path, const struct addr *source, const struct addr *to,
                   const struct track_start *start, uint64_t now_us);
/* The same over a connection, where nothing is tracked, and send() of the hooks is not called. */
void meetpath_open_over(struct meetpath *path,
                        int (*write)(void *ctx, const uint8_t *data, size_t length),
                        void *write_ctx, uint64_t now_us);
/* It says nothing any more. */
void meetpath_close(struct meetpath *path);
/* Nor can it read anything: it is as if it had never been, but for what it has counted. */
void meetpath_fini(struct meetpath *path);

/* True: the packet has gone that way, and need not go through the tunnel. */
bool meetpath_media(struct meetpath *path, uint32_t label, const uint8_t *packet, size_t length,
                    uint64_t now_us);
/* A PING, if one is due. received: octets that have come on our connection. */
void meetpath_ping(struct meetpath *path, uint32_t received, uint64_t now_us);
/* What waits for a segment to be full goes out, or stays where that must not be now. */
void meetpath_flush(struct meetpath *path, uint64_t now_us);
/* Data of a segment that came, which are changed. True: at least one frame was genuine. */
bool meetpath_frames(struct meetpath *path, uint8_t *at, size_t left, uint64_t now_us);

#endif
