/*
 * A change of an SA in two steps: made, and then kept or taken back, in the same turn of the event
 * loop. For several SAs that change together (batch.h); admit_change() does both steps.
 */
#ifndef INNER_RELAY_CHANGE_H
#define INNER_RELAY_CHANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "inner-relay/admit.h"
#include "inner-relay/inner.h"

struct change {
    struct sa *sa;
    struct sa *draft; /* with the place and the session that sa had, as far as it has others now */
    bool key, place, source, texts, any; /* what has changed */
    /* What sa had. Destination and reverse are the caller's to put back, as others' change too. */
    const struct suite *suite;
    struct rate rate;
    uint64_t installed_us;
    uint32_t generation, media_timeout_s;
    uint8_t media_index;
};

/* As admit_change(); 0 and *change, to be kept or taken back. Negative: nothing is changed. */
int change_make(struct inner *inner, struct sa *sa, const struct admit_request *request,
                uint64_t now_us, struct change *change, struct admit_error *error);
void change_keep(struct inner *inner, struct change *change, uint64_t now_us);
void change_take_back(struct inner *inner, struct change *change);

#endif
