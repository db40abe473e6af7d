/*
 * All engines under one random schedule of one sender: loss, reordering, replays near and far,
 * wraps, forgeries, SSRCs that come, go and come back, restarts, re-keying with both keys in use,
 * RTP and SRTCP mixed. After each packet the engines' verdicts and indexes must be the same, and
 * what an oracle of 64-bit indexes says must hold: it knows the true index of each packet that it
 * made and which were accepted.
 */
#ifndef TESTS_UNIT_ENGINERUN_H
#define TESTS_UNIT_ENGINERUN_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/verdict.h"
#include "common/srtp/suite.h"

struct enginerun;

struct enginerun_counts {
    uint64_t verdict[VERDICT_COUNT]; /* of the packets, each counted once */
    uint64_t to_accept, to_refuse;   /* what the oracle knew beforehand ... */
    uint64_t either;  /* ... and where it leaves the choice to the search for a ROC */
    uint64_t forged;  /* of those to refuse */
    uint64_t unknown; /* of an SSRC that the SA does not know */
    uint64_t rekeys, restarts, moves; /* moves: a stream forgotten, replaced, or told its index */
    uint64_t wraps;                   /* of SEQ, in packets that were accepted */
};

/* NULL when an engine or a session cannot be made. The same seed makes the same run. */
struct enginerun *enginerun_new(const struct suite *suite, uint64_t seed);
/* Accepts NULL. */
void enginerun_free(struct enginerun *run);
/* The next packet. False when a rule is broken; the run is then over. */
bool enginerun_step(struct enginerun *run);
/* Which rule, and how to come there again; "" while none is broken. */
const char *enginerun_failure(const struct enginerun *run);
const struct enginerun_counts *enginerun_counts(const struct enginerun *run);

#endif
