/*
 * The state file on disk (a tmpfs by default: it holds keys). Written a piece
 * at a time between packets, into a new file that then takes the old one's
 * place; mode 0600; removed at a clean stop.
 */
#ifndef INNER_RELAY_STATEFILE_H
#define INNER_RELAY_STATEFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "inner-relay/inner.h"

struct ev_loop;
struct statefile;

/*
 * Restores the SAs of an earlier life, if the file is there, fit and not too
 * old; a file that is not is reported in the log and left out. path must
 * outlive it. NULL without memory.
 */
struct statefile *statefile_open(struct ev_loop *loop, struct inner *inner, const char *path,
                                 uint64_t max_age_us, uint64_t interval_us);
/*
 * A clean stop removes the file. keep: after a start that failed, the next one needs it still.
 * Accepts NULL.
 */
void statefile_close(struct statefile *statefile, bool keep);

/* Something changed: the file is written within a tenth of a second. */
void statefile_changed(struct statefile *statefile);
/* An SA is about to be deleted. */
void statefile_deleted(struct statefile *statefile, uint64_t id);
/* While there are SAs, the file is written at least this often: indexes move on. */
void statefile_set_interval(struct statefile *statefile, uint64_t interval_us);

#endif
