/*
 * Who may touch what all threads share (HACKING.md, "Threads"). Each media thread
 * has a lock of its own, which nobody else takes while nothing has to change: it
 * holds it while it works on packets. Who changes what is found by (tables, SAs,
 * settings) holds the locks of all.
 */
#ifndef COMMON_BASE_GATE_H
#define COMMON_BASE_GATE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/protocol.h"

enum { GATE_MAX = WORKERS_MAX };

struct gate;

/* What one thread shows at the gate; another thread looks at it only while it has all locks. */
struct gate_pass {
    struct gate *gate;
    unsigned number;    /* of the media thread; GATE_NOBODY: a thread without a lock of its own */
    bool all;           /* it holds the locks of all */
    uint64_t contended; /* locks that another thread held when this one wanted them */
};
enum { GATE_NOBODY = GATE_MAX };

/* count: of media threads, 1 to GATE_MAX. NULL without memory. */
struct gate *gate_new(unsigned count);
/* Nobody holds a lock. Accepts NULL. */
void gate_free(struct gate *gate);
/* number is less than the gate's count, or GATE_NOBODY. */
void gate_pass_init(struct gate_pass *pass, struct gate *gate, unsigned number);

/* The thread's own lock. Who wants all of them goes first. */
void gate_enter(struct gate_pass *pass);
void gate_leave(struct gate_pass *pass);
/* The locks of all, for a thread that holds none. */
void gate_enter_all(struct gate_pass *pass);
void gate_leave_all(struct gate_pass *pass);
/*
 * From the thread's own lock to those of all, and back. Before gate_widen() returns, others may
 * have changed anything: what was found before is to be looked for again.
 */
void gate_widen(struct gate_pass *pass);
void gate_narrow(struct gate_pass *pass);
/* Lets those go first who want all locks, if there are any: as gate_widen(), nothing is left. */
void gate_yield(struct gate_pass *pass);

/* Does the thread have company, so that an SA must be held while its state changes? */
static inline bool gate_is_shared(const struct gate_pass *pass)
{
    return pass && !pass->all;
}

#endif
