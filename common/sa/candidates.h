/*
 * SAs that a packet from an unknown sender may belong to, in groups that are found in constant time
 * by what is known of the packet: its source address, or the IP address of it alone. Each group is
 * an array, so that a search may begin anywhere in it. Keys are hashed with a secret: a stranger
 * chooses source addresses.
 *
 * Which groups an SA is in follows from its fields alone (DESIGN section 5):
 *
 *   FRESH   its RTP source, where no SSRC of the sender is known yet
 *   HEARD   the same, where SSRCs were learned: a new one may be its sender's too
 *   HINT    the IP addresses of source.rtp and of hint, until its RTP source is bound; SSRCs are
 * learned OPEN    all of its side with SOURCE_OPEN, until the RTP source is bound; SSRCs are
 * learned
 *   *_NAMED the same for SAs whose SSRC was signalled or assigned. It is binding, so their RTP is
 *           found by SSRC (table_by_ssrc); but RTCP may come under another one
 *
 * RTCP is looked for at its source and at the port below that, which is where RTP of the same
 * sender comes from. So only an RTCP source that is not the port behind the RTP source is
 * registered, as FRESH or HEARD; while an SA is OPEN it is not (any packet finds the SA then).
 * An SA that takes RTP' has no HINT and no OPEN: one source has one encapsulation, and nobody sends
 * RTP' from an address that is not known. Where RTP is bound and RTCP is not, the RTCP source
 * is found by SSRC: silent SAs would else stay candidates as long as they have no RTCP.
 */
#ifndef COMMON_SA_CANDIDATES_H
#define COMMON_SA_CANDIDATES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/sa/sa.h"

struct candidates;

enum candidates_kind {
    CANDIDATES_FRESH,
    CANDIDATES_HEARD,
    CANDIDATES_HINT,
    CANDIDATES_HINT_NAMED,
    CANDIDATES_OPEN,
    CANDIDATES_OPEN_NAMED,
    CANDIDATES_KINDS
};

/* Some SAs; valid until the next change of the candidates. */
struct candidates_group {
    struct sa *const *sa;
    uint32_t count; /* 0: there is no such group */
};

/*
 * For at most max SAs. Memory follows the SAs that are in it: each SA that enters a group gives
 * back what two others have too much. NULL without memory.
 */
struct candidates *candidates_new(size_t max);
/* The SAs are not touched. Accepts NULL. */
void candidates_free(struct candidates *c);
/*
 * Enters sa where its fields say. Allocates. 0, ERR_FULL or ERR_NOMEM (then it is nowhere). sa must
 * be removed before it is freed.
 */
int candidates_add(struct candidates *c, struct sa *sa);
/* Allocates nothing. sa was added, and not removed since. */
void candidates_remove(struct candidates *c, struct sa *sa);
/*
 * To be called after a change of source, bound, hint, source_policy, streams, side or encap_in.
 * Allocates nothing: sa leaves at once the groups that it is in no more, and another part of the
 * same group (FRESH to HEARD) is entered at once. A group that it was not in is entered by
 * candidates_work(); until then sa is in no group of its sources either.
 */
void candidates_update(struct candidates *c, struct sa *sa);
/*
 * Enters up to most SAs where they belong after candidates_update(). Allocates: not for the path of
 * a packet. True when something is left to do.
 */
bool candidates_work(struct candidates *c, unsigned most);
bool candidates_work_due(const struct candidates *c);
/* There is nobody to be found: a search need not begin. */
bool candidates_are_none(const struct candidates *c);
/*
 * Would candidates_begin() find anybody? open: those that may be anywhere count, too. Changes
 * nothing, so that several threads may ask at once.
 */
bool candidates_may_be(const struct candidates *c, enum sa_side side, const struct addr *source,
                       bool rtcp, bool open);

/* What it takes of the heap, without malloc's own. For tests and statistics: walks through all
 * groups. */
size_t candidates_octets(const struct candidates *c);

/*
 * The port of addr counts for FRESH and HEARD only, its IP address not for OPEN. Of several owners'
 * SAs those of one that has any.
 */
struct candidates_group candidates_group(const struct candidates *c, enum candidates_kind kind,
                                         enum sa_side side, const struct addr *addr);

/* ------------------------------------------------------------ searching */

/*
 * A search looks at several groups in turns, best first: of 8 tries FRESH gets 4, HINT 2, HEARD and
 * OPEN 1, and what a group leaves over goes to the others. So no group starves another. Where
 * several owners have SAs in one of them, a search looks at those of one, by lot.
 */
enum {
    CANDIDATES_LANES = 4,
    CANDIDATES_LOOKS = 32, /* at SAs, in one search */
};

/* Where the searches of one flow go on: in each lane, and in the order of lanes. Any value is good.
 */
struct candidates_cursor {
    uint32_t at[CANDIDATES_LANES];
    uint32_t turn; /* 0: begins with FRESH */
};

/* One or two groups that are gone through as one. */
struct candidates_lane {
    struct candidates_group group[2];
    uint32_t count, looked;
};

/* A search for one packet; all but open_only is candidates.c's. Ends with the next change of the
 * candidates. */
struct candidates_search {
    struct candidates_lane lane[CANDIDATES_LANES];
    uint32_t source[2], hint; /* groups */
    uint32_t looks;           /* that are left */
    bool open_only;           /* no candidate names the packet's source */
};

/*
 * Begins a search for the sender of an RTP or RTCP packet. Returns how many candidates there are
 * (one that stands in two lanes counts twice), 0 when there is none.
 */
size_t candidates_begin(struct candidates *c, enum sa_side side, const struct addr *source,
                        bool rtcp, struct candidates_search *search);
/*
 * The next candidate, each SA once in a search; NULL at the end, or after CANDIDATES_LOOKS. With
 * the same cursor the next search goes on where this one ended: in a lane that nobody changes, each
 * SA comes before one comes again, if all are of one owner.
 */
struct sa *candidates_next(struct candidates_search *search, struct candidates_cursor *cursor);

#endif
