#include "common/sa/hold.h"

#include <sched.h>

/* So many looks take about as long as one packet; then its holder does not run just now. */
enum { LOOKS = 200 };

void hold_wait(struct sa *sa, struct gate_pass *pass)
{
    unsigned looks = 0;

    pass->contended++;
    do {
        while (__atomic_load_n(&sa->held, __ATOMIC_RELAXED)) {
            if (++looks % LOOKS == 0)
                sched_yield();
        }
    } while (__atomic_exchange_n(&sa->held, true, __ATOMIC_ACQUIRE));
}
