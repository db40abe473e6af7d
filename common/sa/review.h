/*
 * After a reload: which SAs of a site may no longer be as they were put, since peers or networks
 * have come or gone? The authority is told by SA-NAK, as it would be if it put them now. A walk
 * over the site's SAs in pieces, which is pulled when the tunnel has room, as reports are.
 */
#ifndef COMMON_SA_REVIEW_H
#define COMMON_SA_REVIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/writer.h"
#include "common/sa/replica.h"

/* SAs that are looked at in one piece: some microseconds. */
enum { REVIEW_PIECE = 64 };

/* replica->rules have changed. Begins anew where a review is under way. */
void review_begin(struct replica *replica);
/*
 * The next SA-NAK that is due: of an SA that is refused from now on, which is then sent nowhere,
 * or, with ERR_AGAIN, of one that was refused before: it is judged when it comes again. False: the
 * review is over, or, with *more, the piece: the caller comes again soon. body has room for a whole
 * frame.
 */
bool review_pull(struct replica *replica, uint8_t *type, struct writer *body, bool *more);

#endif
