/*
 * What is chosen for an SA before it is checked: how packets stand on both hops,
 * what may be learned of its source, and whether it goes to where its reverse is heard.
 */
#ifndef INNER_RELAY_PLAN_H
#define INNER_RELAY_PLAN_H

#include <stdbool.h>

#include "inner-relay/admit.h"
#include "inner-relay/inner.h"

struct plan {
    enum sa_encap in, out;     /* how packets stand on both hops */
    enum source_policy policy; /* of its source */
    bool back;                 /* its packets go to where the sender of reverse is heard */
};

/* The side that its packets go to. */
enum sa_side plan_far_side(const struct admit_request *request);
/* The dmz-relay tells such a sender by source and SSRC alone, and verifies none of its packets. */
bool plan_is_keyless(const struct inner *inner, enum sa_side side);

/* old: the SA that is to become what the request says, or NULL. 0, or negative with error. */
int plan_make(struct inner *inner, const struct inner_link *link,
              const struct admit_request *request, const struct sa *old, struct plan *plan,
              struct admit_error *error);

#endif
