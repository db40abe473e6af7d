#include "common/base/verdict.h"

#include <stdbool.h>
#include <string.h>

#include "common/base/err.h"
#include "tests/unit/unit.h"

/* Words go into JSON, into the man page and onto command lines. */
START_TEST(test_words)
{
    for (unsigned i = 0; i < VERDICT_COUNT; i++) {
        const char *name = verdict_name((enum verdict)i);

        ck_assert_uint_gt(strlen(name), 0);
        ck_assert_uint_eq(strspn(name, "abcdefghijklmnopqrstuvwxyz-"), strlen(name));
        ck_assert_uint_gt(strlen(verdict_text((enum verdict)i)), strlen(name) / 2);
        for (unsigned k = 0; k < i; k++) {
            ck_assert_str_ne(name, verdict_name((enum verdict)k));
            ck_assert_str_ne(verdict_text((enum verdict)i), verdict_text((enum verdict)k));
        }
    }
    ck_assert_str_eq(verdict_name(VERDICT_ACCEPTED), "accepted");
    ck_assert_str_eq(verdict_name(VERDICT_AUTH_FAIL), "auth-fail");
    ck_assert_str_eq(verdict_name(VERDICT_SOCKET_FULL), "socket-full");
}
END_TEST

START_TEST(test_sum)
{
    struct verdict_counts counts = {0};

    ck_assert_uint_eq(verdict_sum(&counts), 0);
    for (unsigned i = 0; i < VERDICT_COUNT; i++) {
        for (unsigned k = 0; k <= i; k++)
            verdict_count(&counts, (enum verdict)i);
        ck_assert_uint_eq(counts.n[i], i + 1);
    }
    ck_assert_uint_eq(verdict_sum(&counts), VERDICT_COUNT * (VERDICT_COUNT + 1) / 2);
    ck_assert_uint_eq(counts.received, 0);
}
END_TEST

/* The result codes are a list of the same make. */
START_TEST(test_err)
{
    static const int codes[] = {
#define X(name, number, text) ERR_##name,
        ERR_LIST(X)
#undef X
    };
    size_t count = sizeof(codes) / sizeof(codes[0]);

    for (size_t i = 0; i < count; i++) {
        ck_assert_int_eq(codes[i], -(int)(i + 1));
        ck_assert_str_ne(err_text(codes[i]), "unknown error");
    }
    ck_assert_str_eq(err_text(0), "success");
    ck_assert_str_eq(err_text(1), "unknown error");
    ck_assert_str_eq(err_text(-(int)count - 1), "unknown error");
    ck_assert_str_eq(err_text(ERR_TOO_OLD), "too old");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("verdict");
    TCase *tc = tcase_create("verdict");

    tcase_add_test(tc, test_words);
    tcase_add_test(tc, test_sum);
    tcase_add_test(tc, test_err);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
