/*
 * What packets teach a relay of their senders (DESIGN section 5): which SA a packet from an unknown
 * source or of an unknown SSRC is of, where a sender sends from, when it has moved, and where
 * the other direction therefore goes.
 *
 * Nothing is learned but from a packet that has verified. A first binding follows a hint; a move
 * takes MOVE_PACKETS packets and MOVE_SILENCE_US without a fresher one from the bound source, so
 * that who only forwards copies, however fast, moves nothing.
 */
#ifndef COMMON_SA_LEARN_H
#define COMMON_SA_LEARN_H

#include <stdbool.h>
#include <stdint.h>

#include "common/sa/budget.h"
#include "common/sa/target.h"
#include "common/sa/verify.h"

struct table;

enum {
    LEARN_MOVE_PACKETS = 8, /* from the new source, with rising index */
    LEARN_MOVE_SILENCE_US = 1000 * 1000,
    LEARN_MOVE_PAUSE_US = 10 * 1000 * 1000, /* between two moves of one sender */
    LEARN_SHORT_TAG_PACKETS = 3,            /* bind a source, where a tag has 32 bits */
    LEARN_MATCHES = 32,                     /* SAs with the packet's SSRC that are looked at */
    LEARN_DOUBTS = 50, /* searches that packets of a known sender's source and SSRC cause at once:
                          a second of speech; */
    LEARN_DOUBT_US = 1000 * 1000, /* and one more in this time */
};

/* What one daemon learns with. */
struct learn {
    struct table *table;
    struct budget *budget;
    const struct target_rules *rules;
};

/* Where a packet came from. */
struct learn_origin {
    enum sa_side side;
    const struct addr *source;
    bool rtcp_port; /* it came to the port for RTCP */
    bool peer;      /* source is a configured peer's */
};

/*
 * May RTP and RTCP of the SA come to this port? RFC 5761: RTCP on the RTP port only where that was
 * agreed; RTP never on the RTCP port.
 */
bool learn_right_port(const struct sa *sa, const struct rtp_view *view, bool rtcp_port);

/* Is there an SA that sends from source and of which no SSRC is known yet? */
bool learn_is_fresh(const struct learn *learn, enum sa_side side, const struct addr *source);

/*
 * Looks for the SA of a packet that is not one of known's (NULL: none was found by source and
 * SSRC); before: what known said of it. VERDICT_ACCEPTED with *sa, which has counted it; or why it
 * is nobody's: before where that says more. The verifications that it causes are bounded.
 */
enum verdict learn_search(const struct learn *learn, const struct learn_origin *origin,
                          const struct verify_input *input, struct sa *known, enum verdict before,
                          struct sa **sa, uint64_t now_us);
/*
 * May a packet that sa was asked about, and that is not its, be looked for elsewhere? Who forges
 * packets in a known sender's name must not cost more than who sends good ones. learn_doubted():
 * it was another's, so it is not charged.
 */
bool learn_may_doubt(struct sa *sa, uint64_t now_us);
void learn_doubted(struct sa *sa);
/* A packet of sa was accepted: binds or moves its source where that is due. */
void learn_heard(const struct learn *learn, struct sa *sa, const struct learn_origin *origin,
                 const struct verify_input *input, uint64_t now_us);
/*
 * What other threads may do at once, each for another SA. Would learn_search() for a packet of
 * nobody that is known find anybody to ask? Does learn_heard() change nothing but sa's own state?
 * Would learn_may_doubt() allow it?
 */
bool learn_may_find(const struct learn *learn, const struct learn_origin *origin,
                    const struct verify_input *input);
bool learn_is_alone(const struct sa *sa, const struct addr *source,
                    const struct verify_input *input);
bool learn_would_doubt(const struct sa *sa, uint64_t now_us);
/* A packet of sa was a replay. If it is a copy that the bound source sent too, nobody has moved. */
void learn_replayed(struct sa *sa, const struct learn_origin *origin,
                    const struct verify_input *input, uint64_t now_us);
/*
 * Each of sa and its reverse is sent to where the other one is bound, as far as it is, and as far
 * as that may be sent to. To be called when sa came into the table or was changed. Needs no budget.
 */
void learn_settle(const struct learn *learn, const struct sa *sa);
/*
 * Where sa, which is in the table, sends from was signalled anew, and nothing is bound: before is
 * where it was bound. What goes back there goes to where it is signalled now, if that may be.
 */
void learn_anew(const struct learn *learn, const struct sa *sa, const struct sa_transport *before);

#endif
