#include "common/sa/sa.h"

#include <string.h>

#include "common/base/err.h"
#include "common/sa/verify.h"
#include "tests/unit/sample.h"
#include "tests/unit/unit.h"

static void expect_texts(const struct sa *sa, const char *const texts[SA_TEXT_COUNT])
{
    for (enum sa_text i = 0; i < SA_TEXT_COUNT; i++)
        ck_assert_str_eq(sa_text(sa, i), texts[i]);
}

START_TEST(test_no_texts)
{
    static const char *const none[SA_TEXT_COUNT] = {"", "", "", ""};
    struct sa *sa = sa_new();

    expect_texts(sa, none);
    for (enum sa_text i = 0; i < SA_TEXT_COUNT; i++)
        ck_assert_int_eq(sa_set_text(sa, i, ""), 0);
    expect_texts(sa, none);
    ck_assert_ptr_null(sa->texts);
    sa_free(sa);
}
END_TEST

/* Each text in turn becomes longer, shorter and empty, beside others that stay. */
START_TEST(test_texts)
{
    static const char *const values[] = {"",      "x", "a longer one",
                                         "short", "",  "the longest of them"};
    const char *texts[SA_TEXT_COUNT] = {"", "", "", ""};
    struct sa *sa = sa_new();

    for (unsigned round = 0; round < 6 * 6 * 6 * SA_TEXT_COUNT; round++) {
        enum sa_text which = (enum sa_text)((round + round / 6) % SA_TEXT_COUNT);

        texts[which] = values[(round * 5 + round / 7) % 6];
        ck_assert_int_eq(sa_set_text(sa, which, texts[which]), 0);
        expect_texts(sa, texts);
    }
    for (enum sa_text i = 0; i < SA_TEXT_COUNT; i++) {
        texts[i] = "";
        ck_assert_int_eq(sa_set_text(sa, i, ""), 0);
        expect_texts(sa, texts);
    }
    ck_assert_ptr_null(sa->texts);
    sa_free(sa);
}
END_TEST

START_TEST(test_streams)
{
    struct sa *sa = sa_new();

    ck_assert_ptr_null(sa_stream(sa, 0));
    for (uint32_t i = 0; i < SA_SSRC_MAX; i++) {
        ck_assert_int_eq(sa_stream_add(sa, 100 + i, SSRC_ORIGIN_LEARNED), 0);
        sa_stream(sa, 100 + i)->index.highest = i;
        ck_assert_int_eq(sa_stream_add(sa, 100, SSRC_ORIGIN_LEARNED), ERR_EXISTS);
        ck_assert_uint_eq(sa->stream_count, i + 1);
    }
    ck_assert_int_eq(sa_stream_add(sa, 99, SSRC_ORIGIN_LEARNED), ERR_FULL);
    for (uint32_t i = 0; i < SA_SSRC_MAX; i++) {
        ck_assert_uint_eq(sa_stream(sa, 100 + i)->index.highest, i);
        ck_assert_int_eq(sa_stream(sa, 100 + i)->origin, SSRC_ORIGIN_LEARNED);
    }
    ck_assert_ptr_null(sa_stream(sa, 99));
    sa_free(sa);
}
END_TEST

/* A count that is full stays there: it never begins at 0 again. */
START_TEST(test_verdicts_saturate)
{
    struct sa *sa = sa_new();

    sa->verdicts[VERDICT_AUTH_FAIL] = UINT32_MAX - 1;
    for (int i = 0; i < 3; i++)
        verify_count(sa, VERDICT_AUTH_FAIL);
    ck_assert_uint_eq(sa->verdicts[VERDICT_AUTH_FAIL], UINT32_MAX);
    sa_free(sa);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sa");
    TCase *tc = tcase_create("sa");

    tcase_add_test(tc, test_no_texts);
    tcase_add_test(tc, test_texts);
    tcase_add_test(tc, test_streams);
    tcase_add_test(tc, test_verdicts_saturate);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
