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
#include "common/base/verdict.h"
#include "common/net/udp.h"
#include "common/rtp/classify.h"
#include "common/sa/sa.h"
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

/* Where packets leave. The daemons' are UDP sockets, a test's is a list. */
struct path_out {
    /* Queues a copy of the octets. tag comes back once, with what became of the packet. */
    void (*send)(void *ctx, unsigned listener, bool rtcp_port, const struct addr *to,
                 const uint8_t *packet, size_t length, void *tag);
    /* Sends what is queued and tells the fate of each: no tag is held any longer. */
    void (*flush)(void *ctx);
    void *ctx;
};

/*
 * What is known of a datagram before it is verified. verdict: VERDICT_ACCEPTED so far, or final.
 * sa: NULL when none was found.
 */
struct path_found {
    struct sa *sa;
    struct rtp_view view;
    enum verdict verdict;
};

/*
 * Classifies datagrams that came to one port and finds the SAs of their senders on that side, for
 * up to PATH_GROUP at once (see table_by_sources()). Nothing may be removed from the table until
 * path_verify() has had the last of them.
 */
enum { PATH_GROUP = SESSION_GROUP };
void path_find(struct table *table, enum sa_side side, const struct udp_packet *packets,
               size_t count, struct path_found *found);
/*
 * Verifies a datagram with what was found of it. VERDICT_ACCEPTED: it is found->sa's. Any other
 * verdict is final.
 */
enum verdict path_verify(const struct path_found *found, bool rtcp_port,
                         const struct udp_packet *packet, uint64_t now_us);
/*
 * The whole way of a datagram, with what was found of it, into the tunnel: verified and queued in
 * this session (NULL: the tunnel is down), or counted under its verdict in counts and at its SA.
 */
void path_into_tunnel(const struct path_found *found, struct session *session,
                      struct verdict_counts *counts, bool rtcp_port,
                      const struct udp_packet *packet, uint64_t now_us);
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

/* The verdict of an errno that sending gave; 0 is VERDICT_ACCEPTED. */
enum verdict path_sent_verdict(int error);

/*
 * The listener that a name means, or, for "", the first of that family (4 or 6; 0: any). -1: none.
 */
int path_find_listener(const struct path_listener *listeners, size_t count, const char *name,
                       uint8_t family);

#endif
