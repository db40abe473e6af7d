/* How many meetings a site may have at the dmz-relay: none takes what all others need. */
#include "dmz-relay/meet.h"
#include "tests/unit/unit.h"

enum { SITES = 64 };

/* So many of them begin all that they may. */
static const unsigned greedy[] = {1, 2, 7, 8, 9, 31, 47, 62, 63, SITES};

START_TEST(test_greedy)
{
    unsigned of[SITES] = {0}, all = 0, before;

    do {
        before = all;
        for (unsigned i = 0; i < greedy[_i]; i++) {
            bool may = meets_may_begin(of[i], all, SITES);

            of[i] += may;
            all += may;
        }
    } while (all > before);
    ck_assert_uint_le(of[0], MEETS_OF_SITE);
    for (unsigned i = 1; i < greedy[_i]; i++)
        ck_assert_uint_le(of[0] - of[i], 1);
    /* Each of the others, which have none yet, may begin one. */
    for (unsigned i = greedy[_i]; i < SITES; i++)
        ck_assert(meets_may_begin(0, all++, SITES));
    ck_assert_uint_le(all, MEETS_MAX);
}
END_TEST

static const struct {
    unsigned of_site, all, sites;
    bool may;
} rows[] = {
    {0, 0, 2, true},
    {0, MEETS_MAX - 1, SITES, true},
    {0, MEETS_MAX, 2, false},
    {MEETS_OF_SITE - 1, MEETS_OF_SITE - 1, SITES, true},
    {MEETS_OF_SITE, MEETS_OF_SITE, SITES, false},
    {20, MEETS_MAX - 41, 10, true},
    {20, MEETS_MAX - 40, 10, false},
    {1, MEETS_MAX - SITES, SITES, true},
    {1, MEETS_MAX - SITES + 1, SITES, false},
};

START_TEST(test_rows)
{
    ck_assert_int_eq(meets_may_begin(rows[_i].of_site, rows[_i].all, rows[_i].sites), rows[_i].may);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("meetshare");
    TCase *tc = tcase_create("meetshare");

    tcase_add_loop_test(tc, test_greedy, 0, sizeof(greedy) / sizeof(greedy[0]));
    tcase_add_loop_test(tc, test_rows, 0, sizeof(rows) / sizeof(rows[0]));
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
