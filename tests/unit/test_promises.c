/* SSRCs that are promised, against a list of them. */
#include "inner-relay/promises.h"

#include <stdlib.h>

#include "common/base/random.h"
#include "tests/unit/unit.h"

enum { NUMBERS = 64, ROUNDS = 20000 };

START_TEST(test_random)
{
    struct promises promises = {0};
    uint32_t number[NUMBERS], count[NUMBERS] = {0};
    size_t used = 0;

    /* Most of them want the same place, or that of a neighbour. */
    for (uint32_t i = 0; i < NUMBERS; i++)
        number[i] = i < NUMBERS / 2 ? (i << 10) + 0x3ff - i % 3 : i + 1;
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint32_t i = random_below(NUMBERS);

        if (random_below(2)) {
            ck_assert_int_eq(promises_add(&promises, number[i]), 0);
            used += count[i]++ == 0;
        } else {
            promises_drop(&promises, number[i]);
            used -= count[i] == 1;
            count[i] -= count[i] > 0;
        }
        ck_assert_uint_eq(promises.used, used);
        ck_assert_uint_le(promises.size, 4 * NUMBERS);
        for (uint32_t k = 0; k < NUMBERS; k++)
            ck_assert_msg(promises_has(&promises, number[k]) == (count[k] > 0), "%u", number[k]);
    }
    promises_fini(&promises);
}
END_TEST

START_TEST(test_nothing)
{
    struct promises promises = {0};

    ck_assert(!promises_has(&promises, 7));
    promises_drop(&promises, 7);
    promises_drop(&promises, 0);
    ck_assert_int_eq(promises_add(&promises, 7), 0);
    promises_drop(&promises, 0);
    ck_assert(!promises_has(&promises, 0));
    ck_assert(promises_has(&promises, 7));
    promises_drop(&promises, 7);
    ck_assert_uint_eq(promises.used, 0);
    promises_fini(&promises);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("promises");
    TCase *tc = tcase_create("promises");

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, test_random);
    tcase_add_test(tc, test_nothing);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
