/*
 * Calls after a restart: the state file has their SAs, by their Call-IDs, but not whose they are.
 * Messages that come later show that, by their keys.
 */
#ifndef INNER_RELAY_RESTORED_H
#define INNER_RELAY_RESTORED_H

#include <stdbool.h>

#include "inner-relay/calls.h"

/*
 * The SA that a party of that side had for this m= line before the restart: the one that has this
 * key, or, key NULL, the only one that there is. NULL: none, or the call has none of before.
 */
struct sa *restored_sa(const struct calls *calls, const struct call *call, enum sa_side side,
                       unsigned line, const struct suite *suite, const struct srtp_key *key);
/* Did somebody inside send under an SSRC that was assigned? */
bool restored_assigned(const struct calls *calls, const struct call *call, enum sa_side side);

/* An answer has told all that there is, and the whole Call-ID: what nobody has taken over ends. */
void restored_settle(struct calls *calls, struct call *call, const char *call_id, uint64_t now_us);

#endif
