/*
 * What became of a datagram. Each is counted under exactly one fate, at the place that received it.
 * The list makes the enum, the words that are printed, and is compared with rtp-prime(1).
 */
#ifndef RTP_PRIME_FATE_H
#define RTP_PRIME_FATE_H

#include <stdint.h>
#include <stdio.h>

#define FATE_LIST(X)                                                                               \
    X(PASSED, "passed", "handed on")                                                               \
    X(EMPTY, "empty", "a datagram without content: it keeps a firewall open, and ends here")       \
    X(MALFORMED, "malformed", "neither RTP nor RTCP: too short, wrong version or wrong lengths")   \
    X(STUN, "stun", "a STUN message (RFC 8489), which has no SSRC")                                \
    X(DTLS, "dtls", "a DTLS record, which has no SSRC")                                            \
    X(ZRTP, "zrtp", "a ZRTP message; the relay does not take it")                                  \
    X(WRONG_PORT, "wrong-port", "RTP on the RTCP port, or RTCP on the RTP port without --mux")     \
    X(TOO_BIG, "too-big", "larger than 2048 octets or than the path to the receiver allows")       \
    X(STRANGER, "stranger", "not from the address of the relay, or not from that of --client")     \
    X(SSRC_MISMATCH, "ssrc-mismatch", "RTP under an SSRC other than --ssrc or the one in front")   \
    X(NO_CLIENT, "no-client", "for the client, and where it listens is not known yet")             \
    X(UNREACHABLE, "unreachable", "the system could not send it to the receiver")                  \
    X(SOCKET_FULL, "socket-full", "the system had no room in its send buffer")

enum fate {
#define X(name, word, text) FATE_##name,
    FATE_LIST(X)
#undef X
        FATE_COUNT
};

/* Of one place. received is the sum of n whenever nothing waits to be sent. */
struct fate_counts {
    uint64_t received;
    uint64_t n[FATE_COUNT];
};

/* Of a datagram that was given to the system to send: error is 0 or an errno. */
enum fate fate_of_sending(int error);
const char *fate_name(enum fate fate);
const char *fate_text(enum fate fate);
/* One line: the place, how many packets, and each fate that is not zero. */
void fate_print(const struct fate_counts *counts, const char *place, FILE *to);

#endif
