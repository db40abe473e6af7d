/*
 * How many verifications packets of unknown senders may cause: token buckets for
 * each flow, each IP address, each peer and each site, and for all together. Fixed
 * memory, nothing is allocated after budget_new(), constant time for a packet.
 *
 * A strange packet goes: candidates_begin() -> budget_take() -> for each
 * of candidates_next(budget_cursor()): budget_owner(), verify -> budget_done().
 */
#ifndef COMMON_SA_BUDGET_H
#define COMMON_SA_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/addr.h"
#include "common/sa/candidates.h"

struct budget;

/*
 * In tries, and tries per second. One try costs 0.3 us (evp, AES-CM), a stream of speech has 50
 * packets per second.
 *
 * All together: 100,000 per second are 3 % of a core; 20,000 at once are 6 ms, spread over many
 * turns of the loop. Half of them is for packets whose SSRC an SA has: who guesses addresses cannot
 * keep known senders from moving. Most of the other half is for packets from an address that some
 * SA names; the rest for those that are looked for among the open SAs only, which anybody can send.
 *
 * Flow: two seconds of packets with all 8 tries each: a new sender goes twice through 400
 * candidates, which change places when others are heard meanwhile, and may be passed over once.
 * Then one try for each packet of speech. What is left of 10,000 forging addresses is then the
 * common bounds' to hold. As much again for SAs that have the packet's SSRC: who forges packets in
 * a sender's name, and makes it one of a search among others as well, leaves it the one try that it
 * needs.
 *
 * IP address: 50 phones behind one, each heard within 7 packets with 8 tries among 50 candidates,
 * take 50 * 50 / 2 = 1,250 in 0.14 s. A PBX whose 200 calls all come from one socket, at once and
 * without SSRCs, takes 14,000 to 18,000 (test_pair_learn): 10,000 + 8,000. Four addresses that
 * some SA names can fill the common bound so, by forged packets; no single one can.
 *
 * Peer: 200 streams that look for themselves among 200 SAs, fewer with each that is found, take
 * 16,000 to 21,000 (test_budget) within about 0.5 s: 10,000 + 20,000 / 2. Less than a site
 * may, so that a false peer leaves the site's other senders a part.
 *
 * Site: so much of each kind. Its candidates, were they made to fail, leave a third to the others.
 */
enum {
    BUDGET_TRIES = 8, /* for one packet */
    BUDGET_MATCH_RATE = 50000,
    BUDGET_MATCH_BURST = 7000,
    BUDGET_MATCH_OWNER_RATE = 35000,
    BUDGET_MATCH_OWNER_BURST = 5000,
    BUDGET_SEARCH_RATE = 35000,
    BUDGET_SEARCH_BURST = 10000,
    BUDGET_SEARCH_OWNER_RATE = 25000,
    BUDGET_SEARCH_OWNER_BURST = 10000,
    BUDGET_OPEN_RATE = 15000,
    BUDGET_OPEN_BURST = 3000,
    BUDGET_OPEN_OWNER_RATE = 10000,
    BUDGET_OPEN_OWNER_BURST = 2000,
    BUDGET_FLOW_RATE = 50,
    BUDGET_FLOW_BURST = 800,
    BUDGET_IP_RATE = 8000,
    BUDGET_IP_BURST = 10000,
    BUDGET_PEER_RATE = 20000,
    BUDGET_PEER_BURST = 10000,

    BUDGET_FLOWS = 8192,
    BUDGET_IPS = 4096,
    BUDGET_PEERS = 64,
    BUDGET_OWNERS = 64,
    /* A flow keeps its cursor from others with the same place for so long after its last packet. */
    BUDGET_FLOW_KEEP_US = 1000 * 1000,
};

/* What a packet is tried with. */
enum budget_kind {
    BUDGET_MATCH,  /* SAs that have its SSRC */
    BUDGET_SEARCH, /* candidates, of which some name its source */
    BUDGET_OPEN,   /* candidates that may be anywhere: candidates_search's open_only */
    BUDGET_KINDS
};

/* Who a packet comes from, as places in the budget. */
struct budget_flow {
    uint32_t place, tag;
    uint32_t host; /* place of its IP address, or of the peer */
    bool peer;
};

struct budget_counts {
    uint64_t tries;   /* verifications of packets from unknown senders */
    uint64_t refused; /* packets that might not try at all */
};

/* NULL without memory. */
struct budget *budget_new(void);
/* Accepts NULL. */
void budget_free(struct budget *budget);
/*
 * The flow of a packet: source and SSRC, the outer one of RTP', else the packet's own. The SSRC is
 * part of it since a gateway may send all its calls from one port. Flows whose keyed hashes meet
 * share their tokens. peer: source is a configured one.
 */
struct budget_flow budget_flow(const struct budget *budget, const struct addr *source,
                               uint32_t ssrc, bool peer);
/*
 * How many verifications, at most wanted and BUDGET_TRIES, this packet may cause; they are taken
 * from the flow's tokens, from those of its kind, and but for a match from the IP address's. 0:
 * none now (VERDICT_LEARN_LIMIT). Otherwise budget_done() is to follow.
 */
unsigned budget_take(struct budget *budget, const struct budget_flow *flow, enum budget_kind kind,
                     unsigned wanted, uint64_t now_us);
/* Takes one try at a candidate of this site. False: pass it over. */
bool budget_owner(struct budget *budget, enum budget_kind kind, unsigned owner, uint64_t now_us);
/*
 * Where the flow's search goes on: its own cursor, which begins anywhere in each lane, or, while
 * another flow keeps the place, one that is good for this packet only. Valid until the next call.
 */
struct candidates_cursor *budget_cursor(struct budget *budget, const struct budget_flow *flow,
                                        uint64_t now_us);
/*
 * The end of a packet that was given taken tries and verified tried times (0: all its candidates
 * were passed over). What was not used goes back. heard: the last one succeeded: flow and IP
 * address are not charged, and what the flow paid before is forgiven.
 */
void budget_done(struct budget *budget, const struct budget_flow *flow, enum budget_kind kind,
                 unsigned taken, unsigned tried, bool heard);
struct budget_counts budget_counts(const struct budget *budget);

#endif
