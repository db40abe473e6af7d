/*
 * SAs that are added, changed and deleted together, as the answer of a call wants it: all of that
 * is done, or nothing at all. From the first step to the end in one turn of the event loop, so that
 * no packet and no frame sees what is between.
 */
#ifndef INNER_RELAY_BATCH_H
#define INNER_RELAY_BATCH_H

#include <stdint.h>

#include "inner-relay/admit.h"
#include "inner-relay/inner.h"

struct batch;

/* NULL without memory. */
struct batch *batch_new(struct inner *inner);

/* As admit() and admit_change(). Negative with error: this step has changed nothing. */
int batch_add(struct batch *batch, const struct admit_request *request, uint64_t wall_us,
              uint64_t now_us, struct sa **sa, struct admit_error *error);
int batch_change(struct batch *batch, struct sa *sa, const struct admit_request *request,
                 uint64_t now_us, struct admit_error *error);
/* As admit_park(). */
int batch_park(struct batch *batch, struct sa *sa, struct admit_error *error);
/* It is in nobody's way any more. */
int batch_delete(struct batch *batch, struct sa *sa, uint64_t now_us, struct admit_error *error);

/* Ends it: it stays as it is now, or everything is what it was before the first step. */
void batch_commit(struct batch *batch, uint64_t now_us);
void batch_undo(struct batch *batch);

#endif
