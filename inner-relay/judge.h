/*
 * What an SA may be refused for. Nothing is changed here. Each returns 0, or
 * negative with error.
 */
#ifndef INNER_RELAY_JUDGE_H
#define INNER_RELAY_JUDGE_H

#include "inner-relay/admit.h"
#include "inner-relay/plan.h"

/* All that can be told of a request by itself, one check for each member. */
int judge_request(const struct inner *inner, const struct inner_link *link,
                  const struct admit_request *request, const struct plan *plan,
                  struct admit_error *error);
/* Of that, only the key. */
int judge_key(const struct inner *inner, const struct suite *suite, const struct srtp_key *key,
              struct admit_error *error);
/* Of that, only where packets are sent. */
int judge_targets(const struct inner *inner, const struct inner_link *link,
                  const struct admit_request *request, struct admit_error *error);

/* Is there room for one more SA, here and at its dmz-relay? */
int judge_room(const struct inner *inner, const struct inner_link *link,
               const struct admit_request *request, struct admit_error *error);
/* Do others let it have its source and SSRCs? sa is complete, and in no table. */
int judge_place(const struct inner *inner, const struct sa *sa, struct admit_error *error);
/* Is there another one that nothing tells it from? sa has its session. */
int judge_twin(const struct inner *inner, const struct sa *sa, struct admit_error *error);

#endif
