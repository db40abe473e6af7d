/*
 * A connection of media that is taken over from the kernel (deaf.h), and goes on from a raw socket
 * (track.h, rawreader.h): what conn.c does then instead of writing to the socket and reading it.
 * When it ends it says FIN by itself, and lives until the other side has heard it.
 */
#ifndef COMMON_TUNNEL_TAKEOVER_H
#define COMMON_TUNNEL_TAKEOVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/addr.h"
#include "common/carrier/track.h"

struct rawreader;
struct sealed;
struct segment;
struct takeover;

/* Of a connected socket, which stays the caller's; NULL: out of memory. */
struct takeover *takeover_new(struct rawreader *reader, int fd, const struct addr *local,
                              const struct addr *peer);
/* Accepts NULL. The kernel's connection is as it was, if it was not made deaf. */
void takeover_free(struct takeover *takeover);

/* Until it has begun: a segment with a genuine frame came. */
void takeover_saw(struct takeover *takeover, const struct segment *segment);
/* Is there any, and which number is the highest? */
bool takeover_has_seen(const struct takeover *takeover, uint32_t *end);
/* All that the other side has sent was seen and read. 0 or negative (deaf.h). */
int takeover_note(struct takeover *takeover);
/* It is ours from now on. ERR_AGAIN: the other side has not acknowledged everything yet. */
int takeover_begin(struct takeover *takeover, uint64_t now_us);

/* A segment came; genuine: one frame of it at least was new. */
void takeover_received(struct takeover *takeover, const struct segment *segment, bool genuine,
                       uint64_t now_us);
/* How many octets of frames a segment takes. */
size_t takeover_room(const struct takeover *takeover);
/*
 * Queues a segment with whole frames; one that is too long is left out, and counted. ERR_AGAIN: not
 * now.
 */
int takeover_send(struct takeover *takeover, const uint8_t *frames, size_t length, uint64_t now_us);
/* As if it had been sent, and lost. */
int takeover_leave_out(struct takeover *takeover, size_t length, uint64_t now_us);
/* Sends what is queued, and an acknowledgement if one is due. */
void takeover_flush(struct takeover *takeover, uint64_t now_us);
/* When takeover_flush() has something to say without anybody asking. */
uint64_t takeover_wake_us(const struct takeover *takeover);

/*
 * It ends: FIN with a sealed BYE, which is repeated; then the kernel closes the socket in silence.
 * takeover, fd and sealed are nobody's any more.
 */
void takeover_leave(struct takeover *takeover, struct sealed *sealed, const char *reason,
                    uint64_t now_us);

const struct track *takeover_track(const struct takeover *takeover);
/* Segments that were too long to be sent. */
uint64_t takeover_too_long(const struct takeover *takeover);

#endif
