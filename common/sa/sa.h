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

struct sa_far;
struct sa_old;
struct sa_way;
struct srtp_engine;
struct srtp_key;
struct srtp_session;

/* Where the sender is. The values are those of the wire. In one octet, as the next two. */
enum __attribute__((packed)) sa_side { SA_SIDE_EXTERNAL = 1, SA_SIDE_INTERNAL = 2 };

/* How packets stand in a datagram on one hop: RTP, or RTP' with the SSRC in front. */
enum __attribute__((packed)) sa_encap { SA_ENCAP_RTP = 1, SA_ENCAP_RTP_PRIME = 2 };

/* How an SSRC became the sender's. */
enum __attribute__((packed)) ssrc_origin {
    SSRC_ORIGIN_SIGNALLED = 1,
    SSRC_ORIGIN_ASSIGNED = 2,
    SSRC_ORIGIN_LEARNED = 3
};

enum { SA_REFUSED_SIZE = 96 };

/*
 * What may teach a relay where the sender sends from (DESIGN section 5). A source is fixed or is
 * bound by the first packets that verify. The values are those of the wire.
 */
enum __attribute__((packed)) source_policy {
    SOURCE_STRICT = 1, /* nothing: source is where it sends from */
    SOURCE_HINTED = 2, /* packets from the IP address of source or of hint */
    SOURCE_OPEN = 3    /* packets from anywhere */
};

/* A pair of ports at one place. An address of family 0 is not known. */
struct sa_transport {
    struct addr rtp, rtcp;
    bool mux; /* RTCP shares the RTP port (RFC 5761); rtcp is then not used */
};

/* An entry of one hash chain of the table: numbers that only the table understands, 0 = none. */
struct sa_link {
    uint32_t next, previous;
};

/* A place in a group of candidates: numbers that only candidates.c understands, 0 = none. */
enum { SA_CANDIDACIES = 4 };
struct sa_candidacy {
    uint32_t group, position;
};

/* A bound sender's packets come from another address: whether it has moved there is not known yet.
 */
struct sa_move {
    struct addr from;        /* family 0: it has not */
    uint8_t packets;         /* verified ones from there, with rising index */
    uint32_t ssrc;           /* of the newest of them, */
    uint64_t first, highest; /* and the indexes of it from there, the first and the newest */
};

/* The last packet that was dropped, or nearly was the sender's: for explain. */
struct sa_stray {
    struct addr from; /* family 0: it came through the tunnel */
    uint8_t verdict;  /* enum verdict */
    uint64_t at_us;   /* monotonic; 0: none came */
};

/* One SSRC of the sender. */
struct sa_stream {
    uint32_t ssrc;
    enum ssrc_origin origin;
    struct rtp_stats stats;
    struct srtp_index index;
    struct sa_link by_source[2], by_ssrc; /* the table's: with the RTP and the RTCP source; alone */
};

/*
 * The media_timeout_s of an SA that ends with its call, and not by itself; the second one while its
 * m= line is on hold, so that the state file knows it.
 */
#define SA_TIMEOUT_BY_CALL      UINT32_MAX
#define SA_TIMEOUT_BY_CALL_HELD (UINT32_MAX - 1)

/* The texts of an SA: mostly short or empty, and kept outside of it. */
enum sa_text {
    SA_LISTENER_OUT, /* that its packets leave from; "" = the first of the family */
    SA_LISTENER_IN,  /* that the sender sends to; "" = any */
    SA_CALL_ID,      /* for display */
    SA_REFUSED,      /* why the dmz-relay does not take it; "" = it does */
    SA_TEXT_COUNT
};

/*
 * What every packet needs stands in front, together: with 20,000 SAs it comes from far away each
 * time. Otherwise by size, without holes.
 */
struct sa {
    struct sa_stream *stream;  /* stream_count of them; sa_stream_add() may move them */
    struct srtp_session *srtp; /* with the key; NULL where this host has none */
    struct sa_old *old;        /* the key before, for some seconds (rekey.h); mostly NULL */
    struct sa_transport source;
    enum sa_side side;
    enum sa_encap encap_in, encap_out;
    enum source_policy source_policy;
    bool hairpin;  /* its packets go out on the sender's side again, and not through the tunnel */
    bool bound[2]; /* RTP, RTCP: source is where it was heard from, and no longer what was signalled
                    */
    bool refused;  /* the replica's: it would not be taken any more as it is; the authority knows */
    uint32_t label; /* the outer SSRC inside the tunnel */
    unsigned owner; /* inner-relay: which [dmz NAME]; dmz-relay: which site */
    uint8_t stream_count;
    uint8_t media_index;   /* m= line, for display */
    uint8_t oldest_stream; /* the table's: of learned ones, the next that is let go */
    bool held; /* hold.h's: a thread works on it; by itself, since it is written often */
    struct rate rate;
    uint64_t packets, octets;         /* accepted */
    uint64_t last_packet_us;          /* monotonic; 0 = none yet */
    uint32_t verdicts[VERDICT_COUNT]; /* each stays at UINT32_MAX */

    uint64_t id;               /* unique in its authority, never used again */
    uint64_t version;          /* of the authority's table when this SA last changed */
    uint64_t created_us;       /* since 1970 */
    uint64_t installed_us;     /* monotonic, in this process */
    uint64_t reverse;          /* id of the other direction's SA, 0 = none */
    const struct suite *suite; /* NULL where this host is not told */
    char *texts;               /* use sa_text() */
    struct sa *older, *newer;  /* the authority's or the replica's */

    uint32_t generation;      /* rises when keys change */
    uint32_t media_timeout_s; /* 0 = never; SA_TIMEOUT_BY_CALL */
    uint32_t mark;            /* the replica's: last sync that named it */
    uint32_t reported;        /* the replica's: of its counters when it was reported last */

    uint32_t slot;    /* the table's; 0 = in no table */
    uint32_t entered; /* the table's, as the links: rises with each insertion */
    struct sa_link by_id, by_label, by_source[2]; /* by_source: the RTP and the RTCP address */
    uint32_t second_by_source[2];                 /* the table's: another SA with that address */
    struct sa_candidacy candidacy[SA_CANDIDACIES];

    struct sa_transport destination;

    struct addr hint; /* another address that it may send from: its signalling came from there */
    uint32_t source_print;   /* of source and hint as they were signalled */
    uint32_t carried_ssrc;   /* of the last RTP packet that was sent on as RTP', 0 = none */
    uint64_t bound_heard_us; /* last verified RTP packet from the bound source */
    uint64_t moved_us;       /* when the source changed last, 0 = never */
    uint64_t doubted_us;     /* learn.c's: what packets in its name have cost */
    struct sa_move move;
    struct sa_stray stray;
    struct sa_way
        *way; /* the authority's: packets may pass the dmz-relay by (way.h); mostly NULL */
    struct sa_far *far; /* the authority's: what the replica last said of it; NULL: nothing yet */
};

/* Fetches from memory what a packet needs of an SA: a hint, which may be given long before. */
static inline void sa_prefetch(const struct sa *sa)
{
    __builtin_prefetch(sa);
    __builtin_prefetch(&sa->rate);
    __builtin_prefetch(&sa->verdicts);
}

/* All zero but for the encapsulations (RTP) and a strict source; NULL without memory. */
struct sa *sa_new(void);
/* Wipes the keys. Must not be in a table. Accepts NULL. */
void sa_free(struct sa *sa);

/* Makes the SRTP session from suite and key. 0 or an error of srtp_session_new. */
int sa_open(struct sa *sa, struct srtp_engine *engine, const struct srtp_key *key);

/* Never NULL; valid until the next change of a text of this SA. */
const char *sa_text(const struct sa *sa, enum sa_text which);
/*
 * Copies value. 0 or ERR_NOMEM, which cannot be when the text becomes shorter. Limits are those of
 * the fields in the tunnel (CALL_ID_SIZE, NAME_SIZE, SA_REFUSED_SIZE): the caller keeps them.
 */
int sa_set_text(struct sa *sa, enum sa_text which, const char *value);

/* NULL when the SA does not have this SSRC. Valid until the next sa_stream_add(). */
struct sa_stream *sa_stream(struct sa *sa, uint32_t ssrc);
/*
 * Allocates: not for the path of a packet. ERR_FULL after SA_SSRC_MAX, ERR_EXISTS, ERR_NOMEM. An SA
 * that is in a table is found by the new SSRC after table_streams_added().
 */
int sa_stream_add(struct sa *sa, uint32_t ssrc, enum ssrc_origin origin);

/* Where RTCP (or RTP) of a pair of ports goes to or comes from; NULL when that is not known. */
const struct addr *sa_transport_addr(const struct sa_transport *transport, bool rtcp);
const char *sa_side_name(enum sa_side side);
/* The other side. */
static inline enum sa_side sa_other_side(enum sa_side side)
{
    return side == SA_SIDE_EXTERNAL ? SA_SIDE_INTERNAL : SA_SIDE_EXTERNAL;
}
/* Where its packets go. */
static inline enum sa_side sa_to_side(const struct sa *sa)
{
    return sa->hairpin ? sa->side : sa_other_side(sa->side);
}
/* Does each of them go to where the other one's sender is, so that they can be one conversation? */
static inline bool sa_may_be_reverse(const struct sa *a, const struct sa *b)
{
    return sa_to_side(a) == b->side && sa_to_side(b) == a->side;
}
/* From inside to inside: no matter of any dmz-relay's. */
static inline bool sa_stays_inside(const struct sa *sa)
{
    return sa->hairpin && sa->side == SA_SIDE_INTERNAL;
}

/* Its call ends it: SA_TIMEOUT_BY_CALL, SA_TIMEOUT_BY_CALL_HELD. */
static inline bool sa_ends_with_call(const struct sa *sa)
{
    return sa->media_timeout_s >= SA_TIMEOUT_BY_CALL_HELD;
}
/* "strict", "hinted" or "open". */
const char *sa_source_policy_name(enum source_policy policy);
bool sa_source_policy_parse(const char *text, enum source_policy *out);
/* Is its source where it sends from (by its policy, or as packets have shown), and no mere hint? */
static inline bool sa_is_bound(const struct sa *sa, bool rtcp)
{
    return sa->bound[rtcp] || sa->source_policy == SOURCE_STRICT;
}
/* May further SSRCs be the sender's? None was signalled or assigned. */
bool sa_learns_ssrcs(const struct sa *sa);
/*
 * Was a sender inside given its SSRC by the authority? Its packets are compared with that and not
 * verified: the SA has no SRTP session anywhere, and may be without a suite.
 */
bool sa_is_assigned(const struct sa *sa);

#endif
