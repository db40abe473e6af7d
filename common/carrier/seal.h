/*
 * Sealed frames: what a media connection carries after SWITCH (relay-tunnel(7)). Each can be opened
 * alone, in any order, and looks like a record of TLS:
 *
 *     17 03 03 | u16 length | u48 counter | AES-GCM(u8 type, u32 label, packet) | 16 octets of tag
 *
 * length counts what follows it; the 11 octets in front of the sealed part are authenticated, too.
 * Each direction has a secret of its own, and each 2^22 frames a key of their own, made of it
 * by a ratchet: who gets today's keys cannot open what went before.
 *
 * Pure: octets go in and out. Nothing is allocated but by seal_new() and seal_store_new().
 */
#ifndef COMMON_CARRIER_SEAL_H
#define COMMON_CARRIER_SEAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/protocol.h"

enum {
    SEAL_START_OCTETS = 5,  /* as far as the length */
    SEAL_HEAD_OCTETS = 11,  /* as far as the counter */
    SEAL_INSIDE_OCTETS = 5, /* type and label */
    SEAL_TAG_OCTETS = 16,
    SEAL_OVER_OCTETS = SEAL_HEAD_OCTETS + SEAL_INSIDE_OCTETS + SEAL_TAG_OCTETS,
    SEAL_FRAME_MAX_OCTETS = SEAL_OVER_OCTETS + PACKET_MAX_OCTETS,
    SEAL_TEXT_MAX_OCTETS = SEAL_INSIDE_OCTETS + PACKET_MAX_OCTETS,
    SEAL_SECRET_OCTETS = 32,
    SEAL_WINDOW_FRAMES = 65536, /* of the newest counters it is known which have come */
    SEAL_KEY_BITS = 22,         /* number of the key: the counter without these */
    SEAL_COUNTER_BITS = 48,
};

/* What became of a frame. Each that is given to seal_open() is counted under one of these. */
#define SEAL_VERDICT_LIST(X)                                                                       \
    X(OPENED, "opened", "authenticated, and had not come before")                                  \
    X(REPLAYED, "replayed", "came before")                                                         \
    X(OLD, "old", "older than the newest 65,536 counters")                                         \
    X(FORGED, "forged", "the tag is wrong: altered, or sealed with another key")                   \
    X(TRUNCATED, "truncated", "not as long as its head says")                                      \
    X(MALFORMED, "malformed", "does not begin as a sealed frame does")

enum seal_verdict {
#define X(name, word, text) SEAL_##name,
    SEAL_VERDICT_LIST(X)
#undef X
        SEAL_VERDICT_COUNT
};

/* The word for a counter: "forged". */
const char *seal_verdict_name(enum seal_verdict verdict);

struct seal_store; /* locked memory for the keys of all connections; threads may share it */
struct seal;       /* both directions of one connection; one thread at a time */

struct seal_opened {
    uint8_t type;
    uint32_t label;
    const uint8_t *packet; /* within the text */
    size_t length;
    uint64_t counter;
};

/* 0 or ERR_NOMEM. */
int seal_store_new(struct seal_store **store);
/* All seals must have been freed. Accepts NULL. */
void seal_store_free(struct seal_store *store);

/*
 * key_octets: 16 or 32, for AES-128-GCM or AES-256-GCM; the secrets are copied. The store must live
 * longer. 0, ERR_NOMEM or ERR_CRYPTO (no such cipher to be had).
 */
int seal_new(struct seal **seal, struct seal_store *store, size_t key_octets,
             const uint8_t out_secret[SEAL_SECRET_OCTETS],
             const uint8_t in_secret[SEAL_SECRET_OCTETS]);
/* Wipes all keys. Accepts NULL. */
void seal_free(struct seal *seal);

/*
 * Writes a frame of SEAL_OVER_OCTETS + length octets and returns how many these are. ERR_TOO_LONG:
 * more than PACKET_MAX_OCTETS; ERR_RANGE: all 2^48 counters are used up; ERR_CRYPTO: OpenSSL
 * refused.
 */
int seal_put(struct seal *seal, uint8_t type, uint32_t label, const uint8_t *packet, size_t length,
             uint8_t *frame);

/*
 * How long is the frame that begins here, all of it? 0: fewer octets than tell; ERR_PROTOCOL: no
 * sealed frame begins like this. Says nothing about whether it is genuine.
 */
int seal_length(const uint8_t *data, size_t length);
/* The counter of a frame whose head is there; not authenticated. */
uint64_t seal_counter_of(const uint8_t *frame);

/*
 * Opens one whole frame. With SEAL_OPENED *opened is filled; packet points into text, which has
 * room for length - SEAL_HEAD_OCTETS octets and may be frame + SEAL_HEAD_OCTETS: then the frame is
 * spoiled, also when it is forged. What came before or is too old is known without a look at the
 * tag. With another verdict text holds nothing that may be looked at.
 */
enum seal_verdict seal_open(struct seal *seal, const uint8_t *frame, size_t length, uint8_t *text,
                            struct seal_opened *opened);

/*
 * Is one whole frame that came before, or came too late, genuine all the same? Its tag is tried,
 * with what keys there are; the frame is left as it is, text is spoiled. Nothing is counted.
 */
bool seal_is_genuine(struct seal *seal, const uint8_t *frame, size_t length, uint8_t *text);

/* Has this one come, or is it so old that nobody knows? */
bool seal_has(const struct seal *seal, uint64_t counter);
/* How many frames had this verdict. */
uint64_t seal_count(const struct seal *seal, enum seal_verdict verdict);
/* The counter that the next frame will have: as many as were sealed. */
uint64_t seal_next_counter(const struct seal *seal);
/* Leaves out counters as if so many more frames had been sealed and lost. For tests. */
void seal_skip(struct seal *seal, uint64_t frames);

#endif
