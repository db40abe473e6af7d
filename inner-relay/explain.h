/*
 * Why is a call silent? From what both relays know of its SAs to plain sentences:
 * the cause first, then for each direction how far packets come. Pure: facts in,
 * lines out. Who fills the facts in is facts.c.
 */
#ifndef INNER_RELAY_EXPLAIN_H
#define INNER_RELAY_EXPLAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/addr.h"
#include "common/base/protocol.h"
#include "common/base/verdict.h"
#include "common/sa/sa.h"

/* The age of what never happened. */
#define EXPLAIN_NEVER UINT64_MAX

/*
 * A cause: its word, whether it is worth more than another one (of the other direction), what it
 * says, and what to check first. Words in braces stand for facts (explain.c).
 */
#define EXPLAIN_LIST(X)                                                                            \
    X(FLOWS, "flows", 0, "Packets from {source} flow to {destination}.", "")                       \
    X(UNKNOWN, "unknown", 1,                                                                       \
      "What the dmz-relay {dmz} sees of this SA is not known: it has reported nothing.",           \
      "A new SA is reported within a second or two of its first packet; an old version of the "    \
      "dmz-relay reports nothing.")                                                                \
    X(NOTHING, "nothing-heard", 2,                                                                 \
      "Nothing comes from the sender {source}, though the {in} hears others at {listener}: it "    \
      "sends nothing, or not from there, or not to there{no_form}.",                               \
      "Is the sender on hold or muted, and does it send to {listener}? Capture at the {in}.")      \
    X(STOPPED, "stopped", 2,                                                                       \
      "The sender {source} was heard at the {in}, but has sent nothing for {rtp_age}.",            \
      "Is the sender on hold or muted, has the call ended there, has its network gone?")           \
    X(ONLY_RTCP, "only-rtcp", 2, "From the sender {source} comes RTCP, but no RTP.",               \
      "Is the sender on hold or muted? If not, look for a firewall that lets the port of RTCP "    \
      "through and not that of RTP ({listener}).")                                                 \
    X(LISTENER_SILENT, "listener-silent", 3,                                                       \
      "Nothing of anybody reaches the {in} at {listener}: a firewall or a route in front of it "   \
      "swallows the packets, or nobody sends.",                                                    \
      "{let_in}.")                                                                                 \
    X(OTHER_SITE, "other-site", 3,                                                                 \
      "Nothing of the sender comes from the other site of the dmz-relay {dmz}, by way of "         \
      "{source}: it sends nothing, or to another address of the dmz-relay, or under another "      \
      "SSRC.",                                                                                     \
      "Ask relayctl explain at the inner-relay of that site; relayctl stats of the dmz-relay "     \
      "counts such packets at its own address.")                                                   \
    X(NO_DESTINATION, "no-destination", 4,                                                         \
      "Where to send what comes from {source} is not known: nothing that verifies has come from "  \
      "the other side of the call, and no address was given.",                                     \
      "Let the other side send first, or give the address: relayctl sa add --to.")                 \
    X(OTHER_SOURCE, "other-source", 5,                                                             \
      "Packets with the sender's SSRC come from {stray}, where it may not send from: its source "  \
      "is {source}, source-policy {policy}. It has moved, or NAT has changed its address or "      \
      "port.",                                                                                     \
      "Add the SA with --source-policy hinted (or open) and, where media and signalling come "     \
      "from one address, --hint; or with the right --source.")                                     \
    X(LEARN_LIMIT, "learn-limit", 5,                                                               \
      "Packets from {stray} are not tried any more: too many that verify for nobody come from "    \
      "there.",                                                                                    \
      "Give the SA its SSRC or its exact source, and look who else sends from there.")             \
    X(WRONG_KEY, "wrong-key", 5,                                                                   \
      "Packets of the sender {stray} come to the {in}, but do not verify: its key is another one " \
      "than the SA's{drops}.",                                                                     \
      "Compare suite and key of the SA with the a=crypto line that the sender uses; after a new "  \
      "offer or answer they may have changed (relayctl sa rekey).")                                \
    X(NO_KEY_FITS, "no-key-fits", 5,                                                               \
      "Nothing that verifies comes from the sender {source}. Packets from {stray} fit the key of " \
      "none of the SAs that may send from there, of which there are several: they may be its "     \
      "sender's, or another's.",                                                                   \
      "Is the sender on hold or muted? If it sends, compare suite, key and SSRC of the SA with "   \
      "the sender's; an exact --source or --ssrc for each SA tells whose packets they are.")       \
    X(PLAIN_RTP, "plain-rtp", 5,                                                                   \
      "The sender {stray} sends plain RTP where SRTP is expected{drops}.",                         \
      "Was RTP/AVP negotiated in place of RTP/SAVP, or is SRTP turned off in the sender?")         \
    X(PLAIN_RTCP, "plain-rtcp", 5,                                                                 \
      "The sender {stray} sends plain RTCP where SRTCP is expected{drops}.",                       \
      "Was RTP/AVP negotiated in place of RTP/SAVP, or is SRTP turned off in the sender?")         \
    X(WRONG_SSRC, "wrong-ssrc", 5,                                                                 \
      "The sender {stray} sends under an SSRC that is not the SA's{drops}; the "                   \
      "SA has {ssrcs}.",                                                                           \
      "Add the SA with the SSRC that the sender uses, or without one, so that it is learned.")     \
    X(WRONG_PORT, "wrong-port", 5,                                                                 \
      "The sender {stray} sends to the wrong port of the {in}: RTP to the port for RTCP, or RTCP " \
      "to the port for RTP{drops}.",                                                               \
      "RTP goes to {listener}, RTCP to the next port; both to one only with --mux (rtcp-mux).")    \
    X(DTLS, "dtls", 5,                                                                             \
      "The sender {stray} sends DTLS where SRTP is expected: it waits for keys "                   \
      "by DTLS-SRTP.",                                                                             \
      "The relay takes keys from signalling (SDES, a=crypto) only: turn DTLS-SRTP off there.")     \
    X(STUN, "stun", 5,                                                                             \
      "The sender {stray} sends STUN where SRTP is expected: it waits for an answer of ICE.",      \
      "The relay answers no ICE: turn it off there, or let the proxy remove it from SDP.")         \
    X(ZRTP, "zrtp", 5, "The sender {stray} sends ZRTP where SRTP is expected.",                    \
      "The relay takes keys from signalling (SDES, a=crypto) only: turn ZRTP off there.")          \
    X(MALFORMED, "malformed", 5,                                                                   \
      "What comes from {stray} is neither {form} nor the RTCP of it{drops}.",                      \
      "Does the sender speak RTP' where the SA has RTP, or the other way round (--rtp-prime)? If " \
      "not, capture at the {in}: what does it send?")                                              \
    X(REPLAY, "replay", 5,                                                                         \
      "The packets that come from {stray} are old ones: each has come before, or is older than "   \
      "the replay window{drops}.",                                                                 \
      "Somebody repeats packets, or the sender began anew with its old key: it needs a new one.")  \
    X(KEY_EXPIRED, "key-expired", 5,                                                               \
      "The key of the sender {source} is used up: it was given for so many packets only.",         \
      "Give the SA a new key (relayctl sa rekey), and a higher lifetime.")                         \
    X(RATE, "rate", 5,                                                                             \
      "The sender {source} sends more than its SA may, {rate} kbit/s: the rest is dropped "        \
      "{drops}.",                                                                                  \
      "Add the SA with a higher --rate, or raise sa-rate of [limits].")                            \
    X(TOO_BIG, "too-big", 5,                                                                       \
      "Packets from {source} are too big, for the relay or for the path to the receiver "          \
      "{drops}.",                                                                                  \
      "Let the sender make smaller packets, or look for the link with the small MTU.")             \
    X(LATE, "tunnel-late", 5,                                                                      \
      "Packets from {source} wait too long for the tunnel to the dmz-relay {dmz} and are dropped " \
      "{drops}.",                                                                                  \
      "Look for loss and for too little bandwidth between the hosts (relayctl status, RTT).")      \
    X(LOST, "lost-between", 5,                                                                     \
      "The {in} takes the packets from {source}, but they do not come to the {out}.",              \
      "Look at the tunnel in relayctl status and stats of both relays.")                           \
    X(FAR_DROPS, "other-relay-drops", 5,                                                           \
      "The {in} takes the packets from {source}, but the {out} drops them: {out_verdict}{drops}.", \
      "Both relays must have the same SA: look at relayctl sa show on both.")                      \
    X(SOCKET_FULL, "socket-full", 5,                                                               \
      "The {out} cannot send fast enough to {destination}: its send buffer is full{drops}.",       \
      "Raise net.core.wmem_max, and look at the network of the {out}.")                            \
    X(UNREACHABLE, "unreachable", 5,                                                               \
      "The {out} cannot reach the receiver {destination}: there is no route to it, or nobody "     \
      "listens there{drops}.",                                                                     \
      "Does the receiver listen there still? Look at routes and firewalls from the {out} to it.")  \
    X(TUNNEL_DOWN, "tunnel-down", 8,                                                               \
      "The tunnel to the dmz-relay {dmz} is down ({state}){error}.",                               \
      "Look at relayctl status on both hosts, at the internal firewall (one TCP port, opened "     \
      "from inside), and at the certificates.")                                                    \
    X(HAIRPIN_UNSEEN, "hairpin-unseen", 7,                                                         \
      "Packets go from outside to outside by way of the dmz-relay {dmz} alone, and what it sees "  \
      "of them is not known: the tunnel to it is down ({state}){error}.",                          \
      "The dmz-relay keeps the SA for stale-hold, so the call may go on. Look at relayctl status " \
      "on both hosts.")                                                                            \
    X(REFUSED, "refused", 9, "The dmz-relay {dmz} refuses this SA: {refused}.",                    \
      "Change what it names, here or in the dmz-relay's ini file, and add the SA again.")

enum explain_cause {
#define X(name, word, weight, text, advice) EXPLAIN_##name,
    EXPLAIN_LIST(X)
#undef X
        EXPLAIN_COUNT
};

/* One relay on the way of a direction: the one where packets come in, or where they leave. */
struct explain_end {
    bool known; /* the dmz-relay's is once it has reported */
    uint64_t packets;
    uint64_t age_us;     /* since the last packet that it accepted; EXPLAIN_NEVER */
    uint64_t rtp_age_us; /* since the last RTP packet, where that can be told; else as age_us */
    uint32_t verdicts[VERDICT_COUNT];
    struct addr stray; /* where the last packet that it dropped came from, or was to go */
    enum verdict stray_verdict;
    uint64_t stray_age_us; /* EXPLAIN_NEVER: it dropped none */
};

/* One SA. */
struct explain_direction {
    uint64_t id;
    enum sa_side side;    /* of the sender */
    enum sa_side to_side; /* the same: a hairpin, whose in and out are one relay */
    enum source_policy policy;
    const char *refused;     /* "": it is not */
    struct addr source;      /* as signalled */
    struct addr hint;        /* where its signalling came from; its port does not count */
    struct addr bound;       /* where it is heard from; family 0: not known */
    struct addr destination; /* family 0: not known */
    uint32_t rate_kbit;
    unsigned ssrc_count;
    uint32_t ssrc[SA_SSRC_MAX];
    struct explain_end in, out;
    struct addr listener;  /* where the sender has to send RTP to; family 0: not known */
    bool prime;            /* packets are to come as RTP\' */
    bool from_site;        /* the source is the dmz-relay\'s own: no socket hears the sender */
    bool heard_known;      /* what comes to the listener is known: */
    uint64_t heard_age_us; /* since the last packet of anybody */
    bool shares_stray; /* other SAs, too, may send from where the dropped packet in.stray came from
                        */
    const char *listener_name; /* "main" */
};

struct explain_facts {
    const char *dmz;        /* the [dmz NAME] */
    const char *state;      /* of the tunnel: "up", "down", ... */
    const char *last_error; /* "" or NULL: none */
    bool up;
    uint64_t since_us; /* in that state; EXPLAIN_NEVER: always */
    unsigned count;    /* of directions: 1 or 2, the one that was asked for first */
    struct explain_direction direction[2];
};

enum { EXPLAIN_LINE_SIZE = 320, EXPLAIN_LINES_MAX = 8 };

/* What is said of one direction. */
struct explain_verdict {
    enum explain_cause cause;
    char text[EXPLAIN_LINE_SIZE], advice[EXPLAIN_LINE_SIZE];
    unsigned line_count; /* how far packets come, hop by hop */
    char line[EXPLAIN_LINES_MAX][EXPLAIN_LINE_SIZE];
};

struct explained {
    unsigned worst; /* the direction whose cause is that of the whole */
    char text[EXPLAIN_LINE_SIZE];
    struct explain_verdict direction[2];
};

void explain(const struct explain_facts *facts, struct explained *out);
/* "wrong-key" */
const char *explain_word(enum explain_cause cause);

#endif
