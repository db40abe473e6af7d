/*
 * The dmz-relays that speak RTP' with this one: [peer NAME] of both ini files,
 * and, named "self", the addresses of the dmz-relay's own listeners, at which
 * its sites meet. Who sends decides between RTP and RTP', never the octets.
 */
#ifndef COMMON_NET_PEERS_H
#define COMMON_NET_PEERS_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/addr.h"
#include "common/base/protocol.h"
#include "common/sa/target.h"

/* PEERS_MAX: of the ini file; beside them there is room for an address and what it advertises. */
enum { PEERS_MAX = 64, PEERS_ALL_MAX = TARGET_PEERS_MAX, PEERS_BUCKETS = 128 };

#define PEERS_SELF "self"

struct peer {
    char name[NAME_SIZE];
    struct addr rtp; /* RTCP is the next port */
};

/* All zero: none. */
struct peers {
    size_t count;
    struct peer peer[PEERS_ALL_MAX];
    /* By IP address: the last peer of each bucket, and the one before; 1 and up, 0 = none. */
    uint8_t bucket[PEERS_BUCKETS], before[PEERS_ALL_MAX];
};

/*
 * 0; ERR_FULL; ERR_EXISTS: one with this address and port is there already, or one whose ports
 * these meet; ERR_INVALID: no port behind it for RTCP.
 */
int peers_add(struct peers *peers, const char *name, const struct addr *rtp);
/*
 * The peer whose RTP or RTCP address and port this is; NULL when it is nobody's. Runs for each
 * packet. Valid until the next change.
 */
const struct peer *peers_find(const struct peers *peers, const struct addr *source);
/* The first of this name, or NULL. */
const struct peer *peers_by_name(const struct peers *peers, const char *name);
/* They become the addresses that RTP' may be sent to, instead of those that were. */
void peers_fill_rules(const struct peers *peers, struct target_rules *rules);

#endif
