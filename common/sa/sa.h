/*
 * A security association: all that is known of one sender's media line. The
 * inner-relay's table of them is the authority, the dmz-relay's is a replica.
 */
#ifndef COMMON_SA_SA_H
#define COMMON_SA_SA_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/addr.h"
#include "common/base/protocol.h"
#include "common/base/verdict.h"
#include "common/rtp/stats.h"
#include "common/sa/rate.h"
#include "common/srtp/index.h"
#include "common/srtp/suite.h"

struct srtp_session;

/* Where the sender is. The values are those of the wire. */
enum sa_side { SA_SIDE_EXTERNAL = 1, SA_SIDE_INTERNAL = 2 };

/* How packets stand in a datagram on one hop: RTP, or RTP' with the SSRC in front. */
enum sa_encap { SA_ENCAP_RTP = 1, SA_ENCAP_RTP_PRIME = 2 };

/* How an SSRC became the sender's. */
enum ssrc_origin { SSRC_ORIGIN_SIGNALLED = 1, SSRC_ORIGIN_ASSIGNED = 2, SSRC_ORIGIN_LEARNED = 3 };

enum { SA_REFUSED_SIZE = 96 };

/* A pair of ports at one place. An address of family 0 is not known. */
struct sa_transport {
    struct addr rtp, rtcp;
    bool mux; /* RTCP shares the RTP port (RFC 5761); rtcp is then not used */
};

/* One SSRC of the sender. Replay windows are the SRTP engine's. */
struct sa_stream {
    uint32_t ssrc;
    enum ssrc_origin origin;
    struct srtp_index index;
    struct rtp_stats stats;
};

/* An entry of one hash chain of the table. */
struct sa_link {
    struct sa *sa;
    struct sa_link *next, **previous; /* previous NULL: in no chain */
};

struct sa {
    uint64_t id;         /* unique in its authority, never used again */
    uint32_t generation; /* rises when keys change */
    uint64_t version;    /* of the authority's table when this SA last changed */
    unsigned owner;      /* inner-relay: which [dmz NAME]; dmz-relay: which site */

    char call_id[CALL_ID_SIZE]; /* for display */
    uint8_t media_index;        /* m= line, for display */
    uint64_t created_us;        /* since 1970 */

    enum sa_side side;
    struct sa_transport source;
    struct sa_transport destination;
    enum sa_encap encap_in, encap_out;
    char listener_in[NAME_SIZE];  /* that the sender sends to; "" = any */
    char listener_out[NAME_SIZE]; /* that its packets leave from; "" = the first of the family */
    uint64_t reverse;             /* id of the other direction's SA, 0 = none */
    uint32_t media_timeout_s;     /* 0 = never */

    const struct suite *suite; /* NULL where this host has no key */
    uint8_t material[SUITE_KEY_MAX_OCTETS];
    struct srtp_session *srtp; /* NULL where this host does not verify */

    uint32_t label; /* the outer SSRC inside the tunnel */
    unsigned stream_count;
    struct sa_stream stream[SA_SSRC_MAX];

    struct rate rate;
    uint64_t packets, octets; /* accepted */
    uint64_t verdicts[VERDICT_COUNT];
    uint64_t last_packet_us;       /* monotonic; 0 = none yet */
    uint64_t installed_us;         /* monotonic, in this process */
    char refused[SA_REFUSED_SIZE]; /* why the dmz-relay does not take it; "" = it does */

    struct sa_link by_id, by_label, by_source_rtp, by_source_rtcp; /* the table's */
    /* With the RTP and the RTCP source. */
    struct sa_link by_stream[2][SA_SSRC_MAX];
    struct sa *before, *after; /* the table's: by insertion */
    struct sa *older, *newer;  /* the authority's */
    uint32_t mark;             /* the replica's: last sync that named it */
};

/* All zero but for the encapsulations (RTP); NULL without memory. */
struct sa *sa_new(void);
/* Wipes the keys. Must not be in a table. Accepts NULL. */
void sa_free(struct sa *sa);

/* Makes the SRTP session from suite and material. 0 or an error of srtp_session_new. */
int sa_open(struct sa *sa);

/* NULL when the SA does not have this SSRC. */
struct sa_stream *sa_stream(struct sa *sa, uint32_t ssrc);
/* ERR_FULL after SA_SSRC_MAX, ERR_EXISTS. */
int sa_stream_add(struct sa *sa, uint32_t ssrc, enum ssrc_origin origin);

/* Where RTCP (or RTP) of a pair of ports goes to or comes from; NULL when that is not known. */
const struct addr *sa_transport_addr(const struct sa_transport *transport, bool rtcp);
const char *sa_side_name(enum sa_side side);

#endif
