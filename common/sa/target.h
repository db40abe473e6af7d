/*
 * Which addresses media may be sent to (DESIGN: sides and targets), so that
 * nobody can aim a relay at a third party or at itself.
 */
#ifndef COMMON_SA_TARGET_H
#define COMMON_SA_TARGET_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/addr.h"
#include "common/sa/sa.h"

enum { TARGET_NETS_MAX = 32, TARGET_OWN_MAX = 16, TARGET_PEERS_MAX = 64 + TARGET_OWN_MAX };

struct target_rules {
    struct addr_net external[TARGET_NETS_MAX]; /* allowed outside beside public addresses */
    size_t external_count;
    struct addr_net internal[TARGET_NETS_MAX]; /* the only ones allowed inside */
    size_t internal_count;
    struct addr own[TARGET_OWN_MAX]; /* addresses of our listeners */
    size_t own_count;
    struct addr peer[TARGET_PEERS_MAX]; /* RTP' goes to these, outside; RTCP to the next port */
    size_t peer_count;
    bool allow_loopback; /* an explicit test setting */
};

/*
 * May RTP be sent to this address on that side? NULL when it may, otherwise a
 * constant text that says why not.
 */
const char *target_refusal(const struct target_rules *rules, enum sa_side side,
                           const struct addr *addr);
/*
 * The same of RTP', or with rtcp of RTCP': outside it goes to the port of a peer that is meant for
 * it, and nowhere else.
 */
const char *target_prime_refusal(const struct target_rules *rules, enum sa_side side,
                                 const struct addr *addr, bool rtcp);
/* Is it the RTP address of a peer, or with rtcp its RTCP address? */
bool target_is_peer(const struct target_rules *rules, const struct addr *addr, bool rtcp);
bool target_is_internal(const struct target_rules *rules, const struct addr *addr);

#endif
