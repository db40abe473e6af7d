/* What is known of a call, for explain.h: from the SAs here and from what the dmz-relay reports. */
#ifndef INNER_RELAY_FACTS_H
#define INNER_RELAY_FACTS_H

#include <stdint.h>

#include "inner-relay/explain.h"
#include "inner-relay/inner.h"

/*
 * Of the SA and of its other direction, where it has one. The tunnel's state is up where the
 * session is, and else the caller's to say. The texts live as long as the SAs are not changed.
 */
void facts_gather(struct inner *inner, const struct sa *sa, struct explain_facts *facts,
                  uint64_t now_us);

#endif
