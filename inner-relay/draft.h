/*
 * An SA as a request makes it, in no table yet: so that all that it may be
 * refused for is found before anything is changed.
 */
#ifndef INNER_RELAY_DRAFT_H
#define INNER_RELAY_DRAFT_H

#include "inner-relay/admit.h"
#include "inner-relay/inner.h"

/*
 * Judges the request by itself, and makes the SA of it, with its session. old: the SA that is to
 * become like it, or NULL; with it id, label and assigned SSRC are those of old, and there is no
 * session where old has that key already. 0 and the caller's SA, or negative with error.
 */
int draft_make(struct inner *inner, const struct admit_request *request, const struct sa *old,
               struct sa **sa, struct admit_error *error);

/* --- change.c: would admit_change() do it? 0, or negative with error. */
int admit_check_change(struct inner *inner, const struct sa *old,
                       const struct admit_request *request, struct admit_error *error);

#endif
