/*
 * The branches of a forked call: the one that answered last has the media, as long as nothing shows
 * that it has lost. The others' SAs are there and lead nowhere.
 */
#ifndef INNER_RELAY_BRANCHES_H
#define INNER_RELAY_BRANCHES_H

#include <stdbool.h>
#include <stdint.h>

#include "inner-relay/calls.h"

/* The one whose media went to a branch that is gone goes to the one that had it last before. */
void branches_fall_back(struct calls *calls, struct call *call, unsigned hub, uint64_t now_us);
/*
 * Of those that could have the media and do not, the one that had it longest ago; not this one. -1:
 * none.
 */
int branches_oldest(const struct call *call, int not_this);
/* May one more answer this party, if need be in place of a branch without media? */
bool branches_have_room(const struct call *call, unsigned offerer);
/* A call that has one party too many lets that one go, with its SAs. */
void branches_make_room(struct calls *calls, struct call *call, uint64_t now_us);
/*
 * A 200 without SDP comes as no message here, and a 183 of a branch that has lost may come late:
 * the media goes to the branch that is heard, where the one that has it is not. True: something has
 * changed.
 */
bool branches_follow(struct calls *calls, struct call *call, uint64_t now_us);

#endif
