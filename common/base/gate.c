#include "common/base/gate.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { CACHE_LINE_OCTETS = 64 };

/* In cache lines of their own: a thread's own lock costs it nothing while nobody else looks. */
struct lock {
    _Alignas(CACHE_LINE_OCTETS) pthread_mutex_t mutex;
};

struct gate {
    struct lock door;                               /* of those who want all locks, one goes on */
    _Alignas(CACHE_LINE_OCTETS) atomic_uint wanted; /* so many are on their way to all locks */
    unsigned count;
    struct lock lock[];
};

struct gate *gate_new(unsigned count)
{
    struct gate *gate =
        aligned_alloc(CACHE_LINE_OCTETS, sizeof(*gate) + count * sizeof(gate->lock[0]));

    if (!gate)
        return NULL;
    pthread_mutex_init(&gate->door.mutex, NULL);
    for (unsigned i = 0; i < count; i++)
        pthread_mutex_init(&gate->lock[i].mutex, NULL);
    atomic_init(&gate->wanted, 0);
    gate->count = count;
    return gate;
}

void gate_free(struct gate *gate)
{
    if (!gate)
        return;
    for (unsigned i = 0; i < gate->count; i++)
        pthread_mutex_destroy(&gate->lock[i].mutex);
    pthread_mutex_destroy(&gate->door.mutex);
    free(gate);
}

void gate_pass_init(struct gate_pass *pass, struct gate *gate, unsigned number)
{
    *pass = (struct gate_pass){.gate = gate, .number = number};
}

/* Returns 1 when it had to wait. */
static unsigned take(struct lock *lock)
{
    if (pthread_mutex_trylock(&lock->mutex) == 0)
        return 0;
    pthread_mutex_lock(&lock->mutex);
    return 1;
}

static void give(struct lock *lock)
{
    pthread_mutex_unlock(&lock->mutex);
}

static bool is_wanted(const struct gate *gate)
{
    return atomic_load_explicit(&gate->wanted, memory_order_relaxed) > 0;
}

/*
 * A mutex is not fair: a thread that gives its lock and takes it again would mostly get it, and who
 * wants all would wait for long. So it goes round by the door, where those wait.
 */
void gate_enter(struct gate_pass *pass)
{
    struct gate *gate = pass->gate;
    bool waited = is_wanted(gate);

    if (waited) {
        take(&gate->door);
        give(&gate->door);
    }
    waited |= take(&gate->lock[pass->number]);
    pass->contended += waited;
}

void gate_leave(struct gate_pass *pass)
{
    give(&pass->gate->lock[pass->number]);
}

void gate_enter_all(struct gate_pass *pass)
{
    struct gate *gate = pass->gate;
    unsigned waited;

    atomic_fetch_add(&gate->wanted, 1);
    waited = take(&gate->door);
    for (unsigned i = 0; i < gate->count; i++)
        waited += take(&gate->lock[i]);
    atomic_fetch_sub(&gate->wanted, 1);
    pass->contended += waited;
    pass->all = true;
}

static void give_others(struct gate_pass *pass)
{
    struct gate *gate = pass->gate;

    pass->all = false;
    for (unsigned i = gate->count; i-- > 0;) {
        if (i != pass->number)
            give(&gate->lock[i]);
    }
    give(&gate->door);
}

void gate_leave_all(struct gate_pass *pass)
{
    struct gate *gate = pass->gate;
    unsigned number = pass->number;

    give_others(pass);
    if (number < gate->count)
        give(&gate->lock[number]);
}

void gate_widen(struct gate_pass *pass)
{
    gate_leave(pass);
    gate_enter_all(pass);
}

void gate_narrow(struct gate_pass *pass)
{
    give_others(pass);
}

void gate_yield(struct gate_pass *pass)
{
    if (!is_wanted(pass->gate))
        return;
    gate_leave(pass);
    gate_enter(pass);
}
