/*
 * One SA's own state (streams, replay windows, rate, move, counters) for one thread at a time. Who
 * has passed the gate alone (gate_is_shared() is false) needs not hold an SA. A thread holds one SA
 * at a time, and does nothing meanwhile that takes long.
 */
#ifndef COMMON_SA_HOLD_H
#define COMMON_SA_HOLD_H

#include "common/base/gate.h"
#include "common/sa/sa.h"

/* Waits until nobody else holds it. */
void hold_wait(struct sa *sa, struct gate_pass *pass);

/* pass: of this thread; NULL: it is the only one. */
static inline void hold_take(struct sa *sa, struct gate_pass *pass)
{
    if (gate_is_shared(pass) && __atomic_exchange_n(&sa->held, true, __ATOMIC_ACQUIRE))
        hold_wait(sa, pass);
}

static inline void hold_give(struct sa *sa, struct gate_pass *pass)
{
    if (gate_is_shared(pass))
        __atomic_store_n(&sa->held, false, __ATOMIC_RELEASE);
}

#endif
