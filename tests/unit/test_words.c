#include "common/base/words.h"

#include <string.h>

#include "tests/unit/unit.h"

static struct words words_of(const char *text)
{
    return (struct words){text, strlen(text)};
}

START_TEST(test_parts)
{
    struct words rest = words_of("a|bc||"), part;

    part = words_until(&rest, '|');
    ck_assert(words_are(&part, "a"));
    part = words_until(&rest, '|');
    ck_assert(words_are(&part, "bc"));
    part = words_until(&rest, '|');
    ck_assert(part.length == 0 && rest.length == 0);
    part = words_until(&rest, '|');
    ck_assert(part.length == 0 && rest.length == 0);
}
END_TEST

START_TEST(test_blanks)
{
    struct words rest = words_of(" one\t two  "), word;

    word = words_next(&rest);
    ck_assert(words_are(&word, "ONE"));
    word = words_next(&rest);
    ck_assert(words_are(&word, "two"));
    word = words_next(&rest);
    ck_assert(word.length == 0 && rest.length == 0);
}
END_TEST

START_TEST(test_beginning)
{
    struct words rest = words_of("Inline:x");

    ck_assert(!words_skip(&rest, "inline:xy"));
    ck_assert(words_skip(&rest, "inline:"));
    ck_assert(words_are(&rest, "x") && !words_are(&rest, "xy") && !words_are(&rest, ""));
}
END_TEST

static const struct {
    const char *text;
    uint64_t max;
    int64_t number; /* -1: none */
} numbers[] = {
    {"0", 0, 0},
    {"0", 9, 0},
    {"007", 7, 7},
    {"8", 7, -1},
    {"10", 9, -1},
    {"65535", 65535, 65535},
    {"65536", 65535, -1},
    {"9223372036854775807", INT64_MAX, INT64_MAX},
    {"18446744073709551616", UINT64_MAX, -1},
    {"99999999999999999999999", UINT64_MAX, -1},
    {"", 9, -1},
    {"-1", 9, -1},
    {"+1", 9, -1},
    {" 1", 9, -1},
    {"1 ", 9, -1},
    {"1a", 99, -1},
    {"/", 99, -1},
    {":", 99, -1},
};

START_TEST(test_number)
{
    struct words words = words_of(numbers[_i].text);
    uint64_t number = 42;
    bool ok = numbers[_i].number >= 0;

    ck_assert(words_number(&words, numbers[_i].max, &number) == ok);
    ck_assert_uint_eq(number, ok ? (uint64_t)numbers[_i].number : 42);
}
END_TEST

START_TEST(test_copy)
{
    struct words words = words_of("abc"), zero = {"a\0b", 3};
    char out[4] = "xxx";

    ck_assert(!words_copy(&words, out, 3) && strcmp(out, "") == 0);
    ck_assert(words_copy(&words, out, 4) && strcmp(out, "abc") == 0);
    ck_assert(!words_copy(&zero, out, 4) && strcmp(out, "") == 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("words");
    TCase *tc = tcase_create("words");

    tcase_add_test(tc, test_parts);
    tcase_add_test(tc, test_blanks);
    tcase_add_test(tc, test_beginning);
    tcase_add_loop_test(tc, test_number, 0, sizeof(numbers) / sizeof(numbers[0]));
    tcase_add_test(tc, test_copy);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
