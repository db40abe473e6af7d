/*
 * The dmz-relay's SA-REPORTs to one site: rounds over the site's SAs, and a
 * report of each that has changed since its last one. A round is taken in
 * pieces: what has to go out is pulled when the tunnel has room for it.
 */
#ifndef COMMON_SA_REPORTER_H
#define COMMON_SA_REPORTER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/writer.h"
#include "common/sa/replica.h"

/* SAs that are looked at in one piece: some microseconds. */
enum { REPORTER_PIECE = 64 };

/* A tunnel is up: the next round reports whatever there is to say, since the authority may be new.
 */
void reporter_connected(struct replica *replica);
/* The tunnel is gone: a round that is under way ends. */
void reporter_disconnected(struct replica *replica);
/* Begins a round, unless one is under way. */
void reporter_begin(struct replica *replica);
/*
 * The next SA-REPORT that is due. False: the round is over, or, with *more, the piece: the caller
 * comes again soon. body has room for a whole frame.
 */
bool reporter_pull(struct replica *replica, uint8_t *type, struct writer *body, bool *more,
                   uint64_t now_us);

#endif
