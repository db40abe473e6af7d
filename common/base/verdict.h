/*
 * What became of a packet. This list is the only one: it makes the enum, the
 * counters, what relayctl prints and the table in relay-tunnel(7).
 *
 * Every packet that a socket or the tunnel receives is counted under exactly
 * one verdict, in the counts of the place where it was received.
 */
#ifndef COMMON_BASE_VERDICT_H
#define COMMON_BASE_VERDICT_H

#include <stdbool.h>
#include <stdint.h>

#define VERDICT_LIST(X)                                                                            \
    X(ACCEPTED, "accepted", "authenticated and handed on")                                         \
    X(MALFORMED, "malformed", "neither RTP nor RTCP: too short, wrong version or wrong lengths")   \
    X(STUN, "stun", "a STUN message (RFC 8489); the relay does not answer ICE")                    \
    X(DTLS, "dtls", "a DTLS record; keys come from signalling, not from DTLS")                     \
    X(ZRTP, "zrtp", "a ZRTP message; keys come from signalling, not from ZRTP")                    \
    X(WRONG_PORT, "wrong-port", "RTP on the RTCP port, or RTCP on the RTP port without rtcp-mux")  \
    X(TOO_BIG, "too-big", "larger than the relay takes or than the path to the receiver allows")   \
    X(NO_SA, "no-sa", "no security association for this sender or label")                          \
    X(LEARN_LIMIT, "learn-limit", "an unknown sender, and no more of those may be tried now")      \
    X(PLAIN_RTCP, "plain-rtcp", "RTCP without protection where SRTCP is expected")                 \
    X(PLAIN_RTP, "plain-rtp", "looks like RTP without protection where SRTP is expected")          \
    X(AUTH_FAIL, "auth-fail", "the authentication tag is wrong: forged, or another key")           \
    X(REPLAY, "replay", "this index was received before, or is older than the replay window")      \
    X(KEY_EXPIRED, "key-expired", "the key has protected as many packets as it may")               \
    X(SSRC_MISMATCH, "ssrc-mismatch", "authenticated, but the SSRC is not the one of the SA")      \
    X(RATE, "rate",                                                                                \
      "over the rate of its SA, or, where sites exchange packets without one, of the two sites")   \
    X(WRONG_SIDE, "wrong-side", "a frame for an SA whose sender is on the other side")             \
    X(NO_DESTINATION, "no-destination", "the SA does not say where its packets go")                \
    X(TUNNEL_DOWN, "tunnel-down", "the tunnel was not up")                                         \
    X(TUNNEL_LATE, "tunnel-late", "waited too long for the tunnel, or the queue was full")         \
    X(UNREACHABLE, "unreachable", "the system could not send it to the receiver")                  \
    X(SOCKET_FULL, "socket-full", "the system had no room in its send buffer")                     \
    X(OVERFLOW, "overflow", "the system dropped it: the receive buffer was full (SO_RXQ_OVFL)")

enum verdict {
#define X(name, word, text) VERDICT_##name,
    VERDICT_LIST(X)
#undef X
        VERDICT_COUNT
};

/* Of one place that receives packets. At any time received == queued + sum of n. */
struct verdict_counts {
    uint64_t received;
    uint64_t queued; /* wait for the tunnel: their fate is not known yet */
    uint64_t n[VERDICT_COUNT];
};

static inline void verdict_count(struct verdict_counts *counts, enum verdict verdict)
{
    counts->n[verdict]++;
}

/* So many that the system received and dropped; their senders are not known. */
static inline void verdict_overflow(struct verdict_counts *counts, uint64_t count)
{
    counts->received += count;
    counts->n[VERDICT_OVERFLOW] += count;
}

/* The word that relayctl prints ("auth-fail"), and its explanation. */
const char *verdict_name(enum verdict verdict);
const char *verdict_text(enum verdict verdict);
/* The verdict of this name; false: there is none. */
bool verdict_parse(const char *name, enum verdict *out);
uint64_t verdict_sum(const struct verdict_counts *counts);
/*
 * Adds a part, which begins anew. Packets that wait are counted in the part when their fate is
 * known: queued is then below 0 there, and right in the sum.
 */
void verdict_gather(struct verdict_counts *sum, struct verdict_counts *part);

#endif
