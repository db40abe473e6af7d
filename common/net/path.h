/*
 * The way of a packet, as far as both daemons and both directions share it:
 * from a media socket to its SA, and from the tunnel to a media socket. Pure:
 * packets and times in, verdicts out.
 */
#ifndef COMMON_NET_PATH_H
#define COMMON_NET_PATH_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/addr.h"
#include "common/base/gate.h"
#include "common/base/verdict.h"
#include "common/net/peers.h"
#include "common/net/udp.h"
#include "common/rtp/prime.h"
#include "common/sa/learn.h"
#include "common/sa/sa.h"
#include "common/sa/verify.h"
#include "common/tunnel/session.h"

struct table;

/* Two UDP ports of one address: what a [listener NAME] section makes. */
struct path_listener {
    char name[NAME_SIZE];
    struct addr address;             /* with the RTP port */
    struct addr advertise;           /* what senders are told, with the RTP port */
    int m_line;                      /* -1: any */
    struct verdict_counts counts[2]; /* RTP port, RTCP port */
    uint64_t sent[2];
    uint64_t heard_us[2]; /* when the last datagram came, of anybody; 0: none yet */
};

/* The same listener for another thread, which counts for itself. */
void path_listener_copy(struct path_listener *to, const struct path_listener *from);
/* What a thread has counted is added, and it begins anew. */
void path_listener_gather(struct path_listener *sum, struct path_listener *part);

/* Where packets leave. The daemons' are UDP sockets, a test's is a list. */
struct path_out {
    /* Queues a copy of the octets. tag comes back once, with what became of the packet. */
    void (*send)(void *ctx, unsigned listener, bool rtcp_port, const struct addr *to,
                 const uint8_t *packet, size_t length, void *tag);
    /* Sends what is queued and tells the fate of each: no tag is held any longer. */
    void (*flush)(void *ctx);
    void *ctx;
};

struct path_found;

/*
 * What one daemon's datagrams are judged with: senders of one side, on their way into the tunnel,
 * or back.
 */
struct path {
    enum sa_side side;
    struct learn learn;        /* with the table */
    const struct peers *peers; /* who speaks RTP' whatever the SAs say; NULL: nobody */
    struct gate_pass *pass;    /* of this thread; NULL: it is the only one */
    const struct path_out *out;
    /*
     * The tunnel of the SA, under the locks of all another thread's, too; NULL: it is not up.
     * counts: where the packet came in; changed to that place of the tunnel's thread.
     */
    struct session *(*session)(void *ctx, const struct sa *sa, size_t length,
                               struct verdict_counts **counts);
    /*
     * Is the tunnel of the SA up, but not this thread's, for a packet of this length? Asked beside
     * other threads only.
     */
    bool (*elsewhere)(void *ctx, const struct sa *sa, size_t length);
    /*
     * Packets of an SA with a way of its own. True: it went another way than through its tunnel,
     * and its verdict is known, or is counted in counts later. May be NULL.
     */
    bool (*beside)(void *ctx, const struct path_found *found, struct verdict_counts *counts,
                   uint64_t now_us);
    /* A verified packet of an SA that is a hairpin: it goes out on the side where it came in. */
    void (*turn)(void *ctx, const struct path_found *found, uint64_t now_us);
    /* Has a verified packet gone past the dmz-relay, and alone? It is accepted then. May be NULL.
     */
    bool (*past)(void *ctx, const struct path_found *found, uint64_t now_us);
    void *ctx;
};

/*
 * What is known of a datagram before it is verified. verdict: VERDICT_ACCEPTED so far, or final.
 * sa: NULL when none was found by source and SSRC. The octets of the packet live as long as the
 * datagram.
 */
struct path_found {
    struct sa *sa;
    struct verify_input input;
    bool peer; /* it came from a configured peer */
    enum verdict verdict;
};

/*
 * Classifies datagrams that came to one port and finds the SAs of their senders, for
 * up to PATH_GROUP at once (see table_by_sources()). Nothing may be removed from the table until
 * path_verify() has had the last of them. Who sends decides between RTP and RTP': a peer, or an
 * address of which the SAs say so.
 */
enum { PATH_GROUP = SESSION_GROUP };
void path_find(const struct path *path, const struct udp_packet *packets, size_t count,
               struct path_found *found);
/*
 * The same for one datagram to ourselves that never was on a socket: RTP' from our own
 * address, which packet->source is.
 */
void path_find_own(const struct path *path, const struct udp_packet *packet,
                   struct path_found *found);
/*
 * Verifies a datagram with what was found of it, and learns from it. VERDICT_ACCEPTED: it is
 * found->sa's, which may be another one than before. Any other verdict is final.
 */
enum verdict path_verify(const struct path *path, struct path_found *found, bool rtcp_port,
                         const struct udp_packet *packet, uint64_t now_us);
/*
 * The whole way of datagrams into the tunnel: found, verified and queued in their sessions, or
 * counted under their verdicts in counts and at their SAs. What goes out again on this side is
 * accepted, and then received by what turn() leads to.
 *
 * Beside other threads a packet that changes more than its SA waits until this one holds the locks
 * of all, and so do those that come after it: path_narrow() gives them back.
 */
void path_take(const struct path *path, struct verdict_counts *counts, bool rtcp_port,
               const struct udp_packet *packets, size_t count, uint64_t now_us);
/* The same for path_find_own(). */
void path_take_own(const struct path *path, struct verdict_counts *counts, bool rtcp_port,
                   const struct udp_packet *packet, uint64_t now_us);
/*
 * The locks of all, for what comes next: what was found is to be looked for again. And back to
 * this thread's own, if it is not the only one.
 */
void path_widen(const struct path *path);
void path_narrow(const struct path *path);
/* Counts a verdict at the SA of the packet, and keeps it for explain; from: see verify_stray(). */
void path_drop(struct gate_pass *pass, struct sa *sa, const struct addr *from, enum verdict verdict,
               uint64_t now_us);
/* The same for a packet that was accepted, but could not be sent. */
void path_unsent(struct gate_pass *pass, struct sa *sa, bool rtcp_port, enum verdict verdict);
/*
 * path_find() for packets from the tunnel: verdict is what classify() says, and sa the SA of that
 * owner with the packet's label, whatever the verdict. Which verdict it becomes is the caller's
 * business.
 */
void path_find_labels(struct table *table, unsigned owner, const struct session_packet *packets,
                      size_t count, struct path_found *found);

/*
 * Where a packet of this SA leaves to. VERDICT_ACCEPTED, or VERDICT_NO_DESTINATION. listeners:
 * those of the side it leaves on.
 */
struct path_hop {
    const struct addr *to;
    unsigned listener;
    bool rtcp_port;
};
enum verdict path_route(const struct sa *sa, bool rtcp, const struct path_listener *listeners,
                        size_t count, struct path_hop *hop);

/*
 * The packet of a hairpin: path_route() and path_send(). counts: of the place that turns packets
 * round; path_turned() counts there what became of one that was handed to out.
 */
void path_turn(const struct path *path, const struct path_listener *listeners, size_t count,
               struct verdict_counts *counts, const struct path_found *found, uint64_t now_us);
void path_turned(const struct path *path, struct verdict_counts *counts, struct sa *sa,
                 bool rtcp_port, enum verdict verdict);

/* Hands a packet of the SA to out, as RTP or RTP'. */
void path_send(const struct path_out *out, const struct path_hop *hop, struct sa *sa,
               const struct verify_input *input);
/*
 * Writes the packet as the SA's RTP' into memory of PATH_PRIME_OCTETS, and returns its length. The
 * outer SSRC of RTP is its own; RTCP has one of the SA's in front, whichever reports inside.
 */
enum { PATH_PRIME_OCTETS = PRIME_OCTETS + PACKET_MAX_OCTETS };
size_t path_prime(struct sa *sa, const struct verify_input *input, uint8_t *memory);

/*
 * An ICMP error quotes a packet to this address on the path's side: the SA whose RTP it was, as far
 * as its SSRC tells, has a receiver that cannot be reached. For display only: anybody may have sent
 * it.
 */
void path_failed(const struct path *path, bool rtcp_port, const struct addr *to,
                 const uint8_t *data, size_t length, uint64_t now_us);

/* The verdict of an errno that sending gave; 0 is VERDICT_ACCEPTED. */
enum verdict path_sent_verdict(int error);

/*
 * The listener that a name means, or, for "", the first of that family (4 or 6; 0: any). -1: none.
 */
int path_find_listener(const struct path_listener *listeners, size_t count, const char *name,
                       uint8_t family);

#endif
