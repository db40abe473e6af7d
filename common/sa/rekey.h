/*
 * A change of keys in the middle of a call (DESIGN section 5, Keys): packets
 * that the sender protected before it changed are still on their way, so old and
 * new key are good together for OLD_KEY_US. Each has its own index and replay
 * windows: an index under one key says nothing of the other's packets.
 */
#ifndef COMMON_SA_REKEY_H
#define COMMON_SA_REKEY_H

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/rtp/classify.h"
#include "common/sa/sa.h"

/* The old keys of one table, the oldest first. */
TAILQ_HEAD(rekey_queue, sa_old);

/*
 * Takes over session, the one that sa had until now, with the streams as they
 * stood; sa has its new one already. The streams of sa begin anew, with the ROC
 * of the old ones as a hint. An old key that sa still has ends, or, when it is
 * the new one again, goes on. Where only MKI or suite change, the windows go on, and both forms
 * share them. Without memory the old key ends at once.
 */
void rekey(struct rekey_queue *queue, struct sa *sa, struct srtp_session *session,
           const struct sa_stream *streams, unsigned count, uint64_t now_us);
/* The same where this host has no keys: packets have the shape of one suite or of the other. */
void rekey_suite(struct rekey_queue *queue, struct sa *sa, const struct suite *before,
                 uint64_t now_us);
/* How long the old key of sa is good yet; 0: it has none. */
uint64_t rekey_left_us(const struct sa *sa, uint64_t now_us);
/* The old key of sa ends, if there is one, and is wiped. A move that is pending begins anew. */
void rekey_end(struct sa *sa);
/* Hands the old key on to another form of the same SA, which has none. */
void rekey_move(struct sa *from, struct sa *to);
/* Ends the old keys that are due, limit at most: true when more are. */
bool rekey_tick(struct rekey_queue *queue, uint64_t now_us, size_t limit);

/* Of an SA without a session, perhaps without a suite: the least room that a packet has behind its
 * header.
 */
size_t rekey_trailer_octets(const struct sa *sa, enum rtp_shape shape, uint64_t now_us);
/*
 * A packet that failed under the new key, with this verdict: the final one. stream is that of its
 * SSRC in sa, or NULL; sa has an old key.
 */
enum verdict rekey_verify(struct sa *sa, struct sa_stream *stream, enum verdict verdict,
                          const struct rtp_view *view, const uint8_t *packet, size_t length,
                          uint64_t now_us);
/*
 * Does a packet carry the right tag of the old key, as long as that is good (srtp_authenticate)?
 * The stream is that of its SSRC in sa.
 */
bool rekey_authenticates(const struct sa *sa, const struct sa_stream *stream,
                         const struct rtp_view *view, const uint8_t *packet, size_t length,
                         uint64_t now_us);
/*
 * As rekey_verify() for an SSRC that sa does not know, but may learn (srtp_verify_first): *index is
 * where it stands under the old key when that is accepted. rekey_learned() is to follow then.
 */
enum verdict rekey_verify_first(struct sa *sa, struct srtp_index *index, uint32_t late,
                                enum verdict verdict, const struct rtp_view *view,
                                const uint8_t *packet, size_t length, uint64_t now_us);
/* sa has learned the SSRC: stream, which is fresh. */
void rekey_learned(struct sa *sa, struct sa_stream *stream, const struct srtp_index *index);

#endif
