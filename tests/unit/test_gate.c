#include "common/base/gate.h"

#include <pthread.h>
#include <stdint.h>

#include "tests/unit/unit.h"

enum { THREADS = 3, ROUNDS = 20000 };

static struct gate *gate;
/* What each thread counts under its own lock, and all under those of all. */
static uint64_t own[THREADS], common;
static unsigned inside; /* threads that hold their own lock */

static void *work(void *ctx)
{
    struct gate_pass pass;
    unsigned number = (unsigned)(uintptr_t)ctx;

    gate_pass_init(&pass, gate, number);
    ck_assert(gate_is_shared(&pass));
    for (unsigned round = 0; round < ROUNDS; round++) {
        gate_enter(&pass);
        __atomic_add_fetch(&inside, 1, __ATOMIC_RELAXED);
        own[number]++;
        __atomic_sub_fetch(&inside, 1, __ATOMIC_RELAXED);
        if (round % 64 == number) {
            gate_widen(&pass);
            ck_assert(!gate_is_shared(&pass));
            ck_assert_uint_eq(__atomic_load_n(&inside, __ATOMIC_RELAXED), 0);
            common++;
            gate_narrow(&pass);
        }
        gate_yield(&pass);
        gate_leave(&pass);
    }
    return NULL;
}

/* Who has all locks is alone, and sees what the others wrote; nobody waits for ever. */
START_TEST(test_all)
{
    struct gate_pass pass;
    pthread_t thread[THREADS];
    uint64_t sum = 0, most = (uint64_t)THREADS * ROUNDS;

    gate = gate_new(THREADS);
    ck_assert_ptr_nonnull(gate);
    gate_pass_init(&pass, gate, GATE_NOBODY);
    for (uintptr_t i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, work, (void *)i), 0);
    while (sum < most) {
        uint64_t before = sum;

        gate_enter_all(&pass);
        ck_assert_uint_eq(__atomic_load_n(&inside, __ATOMIC_RELAXED), 0);
        sum = own[0] + own[1] + own[2];
        ck_assert_uint_ge(sum, before);
        gate_leave_all(&pass);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    ck_assert_uint_eq(common, (uint64_t)THREADS * ((ROUNDS + 63) / 64));
    gate_free(gate);
}
END_TEST

/* What is not contended is not counted as such. */
START_TEST(test_contended)
{
    struct gate_pass pass, all;

    gate = gate_new(1);
    ck_assert_ptr_nonnull(gate);
    gate_pass_init(&pass, gate, 0);
    gate_pass_init(&all, gate, GATE_NOBODY);
    for (unsigned i = 0; i < 10; i++) {
        gate_enter(&pass);
        gate_yield(&pass);
        gate_widen(&pass);
        ck_assert(!gate_is_shared(&pass));
        gate_narrow(&pass);
        ck_assert(gate_is_shared(&pass));
        gate_leave(&pass);
        gate_enter_all(&all);
        ck_assert(!gate_is_shared(&all));
        gate_leave_all(&all);
    }
    ck_assert_uint_eq(pass.contended + all.contended, 0);
    ck_assert(!gate_is_shared(NULL));
    gate_free(gate);
    gate_free(NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("gate");
    TCase *tc = tcase_create("gate");

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, test_all);
    tcase_add_test(tc, test_contended);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
