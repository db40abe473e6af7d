/* What [signalling] of inner-relay.ini(5) says of calls. */
#ifndef INNER_RELAY_CALLCONF_H
#define INNER_RELAY_CALLCONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In the order in which inner-relay.ini(5) names them. */
enum call_when_down { CALL_WHEN_DOWN_ACCEPT, CALL_WHEN_DOWN_REFUSE };

struct call_options {
    enum call_when_down when_down; /* what becomes of a call while its dmz-relay is not connected */
    bool relay_internal;           /* calls between two clients inside go through this relay */
    uint64_t offer_timeout_us;     /* an offer without an answer is forgotten */
    uint64_t call_max_us;          /* no call lives longer */
    uint64_t media_timeout_us;     /* of [limits]; 0: never */
    unsigned max_calls;            /* staged ones count; 0: half of max-sas, at least 1 */
};

#endif
