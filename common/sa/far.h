/*
 * What the dmz-relay last said of an SA, kept by the inner-relay at the SA. It
 * is shown, and told again to the same dmz-relay: nothing else is done with it.
 */
#ifndef COMMON_SA_FAR_H
#define COMMON_SA_FAR_H

#include <stdbool.h>
#include <stdint.h>

#include "common/sa/reportwire.h"

/* In place of what was stored before. 0, or ERR_NOMEM: what was stored before stays. */
int far_store(struct sa *sa, const struct sa_report *report, uint64_t now_us);
/* Ages count up to now. False: nothing was stored. heard_us: when the report came; may be NULL. */
bool far_get(const struct sa *sa, struct sa_report *report, uint64_t *heard_us, uint64_t now_us);
/* Where the dmz-relay hears it from; NULL: it did not say. Valid until the next far_store(). */
const struct addr *far_bound(const struct sa *sa, bool rtcp);
/* What it said of where it hears it is of no use any more. */
void far_unbind(struct sa *sa);

#endif
