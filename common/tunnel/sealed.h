/*
 * Between a session and the octets of a connection of media that has switched: what the session
 * says is sealed, frame by frame, and packed into segments; what comes is opened, and told to the
 * session. Octets and times in, octets out; no socket, no clock.
 *
 * A segment is what is to be written at once: whole frames, as many as one TCP segment takes. A
 * frame that is larger than that is a segment of its own, which TCP splits.
 */
#ifndef COMMON_TUNNEL_SEALED_H
#define COMMON_TUNNEL_SEALED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "common/carrier/early.h"
#include "common/carrier/seal.h"
#include "common/tunnel/hello.h"

struct session;
struct sealed;

enum { SEALED_SEGMENTS_MAX = 64 };

/* The seal is taken over in any case. NULL without memory. */
struct sealed *sealed_new(struct seal *seal);
void sealed_free(struct sealed *sealed);
/*
 * The other side takes AGAIN: what is missing among frames that are read early is asked for. And
 * what it asks for is sent again. Not on a connection that will be taken over.
 */
void sealed_repeats(struct sealed *sealed);

/* ------------------------------------------------------------ what comes */

/* Memory for octets of the connection, in their order; *size is never 0 while nothing is pending.
 */
uint8_t *sealed_space(struct sealed *sealed, size_t *size);
/*
 * count octets were written there. A helping of frames is opened and told to the session, which
 * must have nothing pending. 0, or negative: the session has ended, also where what came is no
 * sealed frame, unless what was opened early tells where the next one is. A frame that is forged or
 * came before is passed by.
 */
int sealed_received(struct sealed *sealed, struct session *session, size_t count, uint64_t now_us);
/* Whole frames may be left: call sealed_received with 0 octets before more is read. */
bool sealed_pending(const struct sealed *sealed);
/*
 * The octets of a TCP segment of the connection, before the kernel has put it in order. Its whole
 * frames are opened and told to the session; that the kernel's order has them, too, is known then.
 * data may be written to. The session must have nothing pending. 0, or negative: the session has
 * ended. In any case sealed_kind() says what the segment was.
 */
enum sealed_kind {
    SEALED_NOTHING, /* no frame of it is genuine */
    SEALED_COPY,    /* some had come before: only where sealed_check_copies() asked for that */
    SEALED_NEW,     /* one at least had not */
};
int sealed_segment(struct sealed *sealed, struct session *session, uint32_t sequence, uint8_t *data,
                   size_t length, uint64_t now_us);
enum sealed_kind sealed_kind(const struct sealed *sealed);
void sealed_check_copies(struct sealed *sealed, bool check);
/* The same without a session: what the frames say is of no interest. */
enum sealed_kind sealed_judge(struct sealed *sealed, uint32_t sequence, uint8_t *data,
                              size_t length);
/* Up to which sequence number the kernel's stream was opened; false: it is not known. */
bool sealed_place(const struct sealed *sealed, uint32_t *sequence);
/* The connection was taken over: there is no kernel's stream any more. */
void sealed_is_alone(struct sealed *sealed);
/*
 * How many octets of the connection need not be read, because their frames have been opened
 * early: they can be discarded. 0: none, or the beginning of a frame waits for its end.
 */
size_t sealed_skip(const struct sealed *sealed);
/* So many of them, one at least, have been discarded. */
void sealed_skipped(struct sealed *sealed, size_t count);
/* How many octets were discarded in all. */
uint64_t sealed_discarded(const struct sealed *sealed);
/* As again_wait_us(): how long until a missing frame may be asked for, by sealed_fill(). */
uint64_t sealed_wait_us(const struct sealed *sealed, uint64_t now_us);
/* Frames that were asked for, and that were sent, again. */
uint64_t sealed_asked_for(const struct sealed *sealed);
uint64_t sealed_repeated(const struct sealed *sealed);
uint64_t sealed_early_count(const struct sealed *sealed, enum early_count which);

/* ------------------------------------------------------------ what goes */

/* How many octets one segment takes; until this is said, 1,200. */
void sealed_set_segment(struct sealed *sealed, size_t octets);
/*
 * Nothing may be left of the call before. Takes what the session has to say; how many octets wait
 * now, 0: it has nothing. ERR_RANGE or ERR_CRYPTO: nothing can be sealed any more.
 */
int sealed_fill(struct sealed *sealed, struct session *session, uint64_t now_us);
/* What waits, one element for each segment; of at most SEALED_SEGMENTS_MAX how many. */
size_t sealed_segments(const struct sealed *sealed, struct iovec segments[SEALED_SEGMENTS_MAX]);
/* How many segments the last sealed_fill() made. */
size_t sealed_segment_count(const struct sealed *sealed);
/* So many octets of them have been sent. */
void sealed_sent(struct sealed *sealed, size_t octets);

/*
 * Seals BYE with this reason, whatever the session says: of the same length each time. Returns how
 * many octets it has, or 0: it cannot be sealed. frame has room for SEALED_BYE_MAX_OCTETS.
 */
enum { SEALED_BYE_MAX_OCTETS = SEAL_OVER_OCTETS + BYE_REASON_SIZE + 16 };
size_t sealed_bye(struct sealed *sealed, const char *reason, uint8_t *frame);

/* How many frames had this verdict. */
uint64_t sealed_count(const struct sealed *sealed, enum seal_verdict verdict);

#endif
