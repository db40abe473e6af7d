/*
 * The octets of the state file: what a restarted inner-relay needs to go on as
 * if nothing had happened. A row of frames as in the tunnel, with record types of its own, the
 * last of which tells that the file is whole. It holds keys.
 *
 * Read as hostile input all the same: a file that is truncated or altered is
 * refused as a whole.
 */
#ifndef INNER_RELAY_STATE_H
#define INNER_RELAY_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/writer.h"
#include "inner-relay/inner.h"

/* A file that is being written, a piece at a time; SAs may change meanwhile. */
struct state_writer {
    struct inner *inner;
    size_t link;      /* whose SAs are being written */
    uint64_t check;   /* running check sum of the records */
    uint64_t records; /* so far */
    uint64_t *deleted;
    size_t deleted_count, deleted_size;
    bool finished;
};

/* Begins with the head. memory of at least FRAME_MAX_OCTETS * (INNER_LINKS_MAX + 1). */
void state_begin(struct state_writer *state, struct inner *inner, uint64_t wall_us,
                 struct writer *w);
/* Adds records while a whole one has room; sets finished after the last one. 0 or ERR_NOMEM. */
int state_more(struct state_writer *state, struct writer *w);
/* An SA that may be in the file already was deleted. */
int state_deleted(struct state_writer *state, uint64_t id);
void state_end(struct state_writer *state);

/*
 * Reads a whole file into a core that has no SAs yet. 0, or negative with a
 * sentence in error, and the core is as it was. *count: SAs restored.
 */
int state_read(struct inner *inner, const uint8_t *data, size_t length, uint64_t max_age_us,
               uint64_t wall_us, uint64_t now_us, size_t *count, char *error, size_t error_size);

#endif
