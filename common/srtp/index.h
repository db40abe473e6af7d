/*
 * Where a stream of SRTP packets stands: the packet index (RFC 3711 section
 * 3.3.1 and appendix A) and the replay windows (section 3.3.2) of one SSRC under
 * one key. It is kept with the SA, not with an engine or a thread, so that any
 * engine and any worker goes on where another stopped.
 */
#ifndef COMMON_SRTP_INDEX_H
#define COMMON_SRTP_INDEX_H

#include <stdbool.h>
#include <stdint.h>

enum { SRTP_WINDOW_PACKETS = 1024 };

/* Which of the newest indexes have come: the bit of index i is i modulo the window. */
struct srtp_window {
    uint64_t bits[SRTP_WINDOW_PACKETS / 64];
};

/* All zero is the state before the first packet. */
struct srtp_index {
    uint64_t highest;      /* ROC * 2^16 + SEQ of the newest verified RTP packet, below 2^48 */
    uint32_t rtcp_highest; /* below 2^31 */
    bool started;          /* an RTP packet has been verified: highest counts */
    bool rtcp_started;
    bool hinted; /* not started, but highest is where the stream stood under an older key */
    uint8_t search_spent; /* of the burst of a stream that has not started */
    uint8_t search_wait;  /* packets until a second ROC may be tried again */
    uint8_t search_roc;   /* the ROC that was tried last for a stream that has not started */
    struct srtp_window rtp, rtcp;
};

/* The index nearest to highest that has this sequence number. Always below 2^48. */
uint64_t index_near(uint64_t highest, uint16_t sequence);
/* The index that a packet with this sequence number has most likely. Always below 2^48. */
uint64_t index_estimate(const struct srtp_index *state, uint16_t sequence);

/* Has this index come before, or is it too old to tell? Nothing is a replay before the start. */
bool index_is_replay(const struct srtp_index *state, uint64_t index);
bool index_is_replay_rtcp(const struct srtp_index *state, uint32_t index);

/* After a packet was verified that was no replay. */
void index_advance(struct srtp_index *state, uint64_t index);
void index_advance_rtcp(struct srtp_index *state, uint32_t index);

/*
 * Goes on from the highest index of another life (state file, SA-PUT). Which of
 * the older ones came is not known: all of them count as replays.
 */
void index_resume(struct srtp_index *state, uint64_t highest);
void index_resume_rtcp(struct srtp_index *state, uint32_t highest);

/*
 * The state of a stream under a new key: nothing has come yet, but the ROC probably goes on. old
 * may be state.
 */
void index_rekey(struct srtp_index *state, const struct srtp_index *old);

/* Where the stream stood under an older key; nothing, once it has started. */
void index_hint(struct srtp_index *state, uint64_t highest);

/*
 * A packet failed at index at: is there a second index to try (RFC 3711 does not
 * say; a ROC is lost when a receiver joins late or after 32,768 lost packets)?
 * behind: it failed as a replay, and not because its tag was wrong.
 *
 * A stream that has not started tries ROC 0 and then one other below
 * INDEX_SEARCH_TURNS, the next one with each packet; under a new key, the ROC of
 * the old one and then 0. It has a burst of INDEX_SEARCH_BURST packets for that.
 * After the burst, and from the start on (then for the turn after the estimated
 * one), it is one packet in INDEX_SEARCH_EVERY: what a stranger sends costs no
 * more than what the sender sends. A prime number: forged packets
 * that come in step with the sender's do not always take its turn.
 */
enum { INDEX_SEARCH_TURNS = 16, INDEX_SEARCH_BURST = 32, INDEX_SEARCH_EVERY = 251 };
bool index_search(struct srtp_index *state, uint64_t at, bool behind, uint64_t *other);
/*
 * The packet that a second index was tried for was no stranger's: it was
 * accepted, here or under the old key. The next one may search at once.
 */
void index_search_was_honest(struct srtp_index *state);

/* Fetches what a packet with this sequence number will need from memory. */
static inline void index_prefetch(const struct srtp_index *state, uint16_t sequence)
{
    __builtin_prefetch(state);
    __builtin_prefetch(&state->rtp.bits[sequence % SRTP_WINDOW_PACKETS / 64]);
}

static inline uint32_t index_roc(uint64_t index)
{
    return (uint32_t)(index >> 16);
}

#endif
