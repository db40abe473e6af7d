#include "config.h"

#include "common/daemon/confcheck.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "tests/unit/unit.h"

static const struct {
    const char *text;
    const char *error; /* NULL: it is right */
} rows[] = {
    {"", NULL},
    {"\n\n", NULL},
    {"# comment\n; comment\n   \n\t\n", NULL},
    {"# tab\there, and UTF-8 \xc3\xa4\n", NULL},
    {"  # an indented comment\n", "1: the line is indented; it would be right at the left margin"},
    {"[a]", NULL},
    {"[a]\nkey = value", NULL},
    {"[a]\nkey=value\n", NULL},
    {"[a]\nkey\t=\tvalue \t; comment\n", NULL},
    {"[a]\nkey =\n", NULL},
    {"[a]\nkey = ; comment\n", NULL},
    {"[a]\nkey = a;b#c\n", NULL},
    {"[a b-c_d.e] ; comment\n", NULL},
    {"[a]\nk = 1\n[b]\nk = 1\n", NULL},
    {"[a]\n k = 1\n", "2: the line is indented; it would be right at the left margin"},
    {"[a]\n\tk = 1\n", "2: the line is indented; it would be right at the left margin"},
    {" [a]\n", "1: the line is indented; it would be right at the left margin"},
    {"k = 1\n", "1: a key before the first section; [section] above it would be right"},
    {"[a]\nk\n", "2: neither a comment nor a section; key = value would be right"},
    {"[a]\n= 1\n", "2: neither a comment nor a section; key = value would be right"},
    {"[a]\nk: 1\n", "2: neither a comment nor a section; key = value would be right"},
    {"[a]\nk y = 1\n", "2: neither a comment nor a section; key = value would be right"},
    {"\xef\xbb\xbf[a]\n", "1: a byte order mark; a file without it would be right"},
    {"[a]\nk = 1\nl = 2\nk = 3\n", "4: the key \"k\" stands twice; once would be right"},
    {"[a]\n[b]\n\n[a]\n", "4: the section \"a\" stands twice; once would be right"},
    {"[a] k = 1\n", "1: text behind the section heading; a line of its own would be right"},
    {"[a];\n", "1: text behind the section heading; a line of its own would be right"},
    {"[a] # no\n", "1: text behind the section heading; a line of its own would be right"},
    {"[a]\nk = \t;\n", NULL},
    {"[a]\nk =;x\n", "2: the value begins with \";\"; a blank before a comment would be right"},
    {"[a]\nk = 1 # no\n", "2: \"#\" behind \"=\"; \" ;\" before a comment would be right"},
    {"[a]\nk = #\n", "2: \"#\" behind \"=\"; \" ;\" before a comment would be right"},
    {"[a]\nk = 1 ; here # it may stand\n", NULL},
    {"[a]\nk = 1\t2\n", "2: tab inside a value; a blank would be right"},
    {"[a]\r\n", "1: the line ends with CR LF; LF alone would be right"},
    {"[a]\nk = \x01\n", "2: control octet 0x01; plain text would be right"},
    {"# \x7f\n", "1: control octet 0x7f; plain text would be right"},
    {"[a]\nk = a\rb\n", "2: control octet 0x0d; plain text would be right"},
};

static const char *const bad_headings[] = {"[",      "[]",      "[a",     "[ a]",  "[a ]",
                                           "[a  b]", "[a b c]", "[a\tb]", "[a;b]", "[a[b]"};

START_TEST(test_rows)
{
    char error[256] = "";
    int code = confcheck(rows[_i].text, strlen(rows[_i].text), error, sizeof(error));

    ck_assert_int_eq(code, rows[_i].error ? ERR_CONFIG : 0);
    ck_assert_str_eq(error, rows[_i].error ? rows[_i].error : "");
}
END_TEST

START_TEST(test_headings)
{
    char error[256] = "";

    ck_assert_int_eq(confcheck(bad_headings[_i], strlen(bad_headings[_i]), error, sizeof(error)),
                     ERR_CONFIG);
    ck_assert_msg(strncmp(error, "1: not a section heading;", 25) == 0, "%s", error);
}
END_TEST

START_TEST(test_nul)
{
    char error[256] = "";

    ck_assert_int_eq(confcheck("[a]\nk = \0\n", 10, error, sizeof(error)), ERR_CONFIG);
    ck_assert_str_eq(error, "2: control octet 0x00; plain text would be right");
}
END_TEST

/* "[a]\nk = " and value octets up to a line of the given length. */
static int check_line_of(size_t length, char *error, size_t error_size)
{
    char text[512];
    int head = snprintf(text, sizeof(text), "[a]\nk = ");

    memset(text + head, 'x', length - 4);
    return confcheck(text, 4 + length, error, error_size);
}

START_TEST(test_line_length)
{
    char error[256] = "";

    ck_assert_int_eq(check_line_of(CONF_LINE_MAX_OCTETS, error, sizeof(error)), 0);
    ck_assert_int_eq(check_line_of(CONF_LINE_MAX_OCTETS + 1, error, sizeof(error)), ERR_CONFIG);
    ck_assert_str_eq(error, "2: the line has 199 octets; at most 198 would be right");
}
END_TEST

START_TEST(test_word_length)
{
    char text[128], error[256] = "";
    int n = snprintf(text, sizeof(text), "[%0*d]\n", CONF_WORD_MAX_OCTETS, 1);

    ck_assert_int_eq(confcheck(text, (size_t)n, error, sizeof(error)), 0);
    n = snprintf(text, sizeof(text), "[%0*d]\n", CONF_WORD_MAX_OCTETS + 1, 1);
    ck_assert_int_eq(confcheck(text, (size_t)n, error, sizeof(error)), ERR_CONFIG);
    ck_assert_str_eq(error, "1: the name of the section has 50 octets; at most 49 would be right");
    n = snprintf(text, sizeof(text), "[a]\n%0*d = 1\n", CONF_WORD_MAX_OCTETS + 1, 1);
    ck_assert_int_eq(confcheck(text, (size_t)n, error, sizeof(error)), ERR_CONFIG);
    ck_assert_str_eq(error, "2: the name of the key has 50 octets; at most 49 would be right");
}
END_TEST

/* Lines "PREFIX<i>SUFFIX" after a first line. */
static int check_many(const char *first, const char *prefix, const char *suffix, int count,
                      char *error, size_t error_size)
{
    char text[4096];
    int n = snprintf(text, sizeof(text), "%s", first);

    for (int i = 0; i < count; i++)
        n += snprintf(text + n, sizeof(text) - (size_t)n, "%s%d%s\n", prefix, i, suffix);
    return confcheck(text, (size_t)n, error, error_size);
}

START_TEST(test_too_many)
{
    char error[256] = "";

    ck_assert_int_eq(check_many("", "[s", "]", CONF_SECTIONS_MAX, error, sizeof(error)), 0);
    ck_assert_int_eq(check_many("", "[s", "]", CONF_SECTIONS_MAX + 1, error, sizeof(error)),
                     ERR_CONFIG);
    ck_assert_str_eq(error, "65: one section too many; at most 64 would be right");
    ck_assert_int_eq(check_many("[a]\n", "k", " = 1", CONF_KEYS_MAX, error, sizeof(error)), 0);
    ck_assert_int_eq(check_many("[a]\n", "k", " = 1", CONF_KEYS_MAX + 1, error, sizeof(error)),
                     ERR_CONFIG);
    ck_assert_str_eq(error, "66: one key too many; at most 64 would be right");
}
END_TEST

START_TEST(test_file_size)
{
    char *text = malloc(CONF_FILE_MAX_OCTETS + 1);
    char error[256] = "";

    memset(text, '\n', CONF_FILE_MAX_OCTETS + 1);
    ck_assert_int_eq(confcheck(text, CONF_FILE_MAX_OCTETS, error, sizeof(error)), 0);
    ck_assert_int_eq(confcheck(text, CONF_FILE_MAX_OCTETS + 1, error, sizeof(error)), ERR_CONFIG);
    ck_assert_str_eq(error, "1: the file has 262145 octets; at most 262144 would be right");
    free(text);
}
END_TEST

START_TEST(test_small_error)
{
    char error[4] = "";

    ck_assert_int_eq(confcheck("x", 1, error, sizeof(error)), ERR_CONFIG);
    ck_assert_str_eq(error, "1: ");
    ck_assert_int_eq(confcheck("x", 1, error, 1), ERR_CONFIG);
    ck_assert_str_eq(error, "");
}
END_TEST

static const char text[] = "# k = 0\n[a]\nk = 1\n\n[a b]\nk = 2\nkk = 3\n[c]";

START_TEST(test_find)
{
    ck_assert_uint_eq(confcheck_find(text, "a", NULL), 2);
    ck_assert_uint_eq(confcheck_find(text, "a", "k"), 3);
    ck_assert_uint_eq(confcheck_find(text, "a", "kk"), 0);
    ck_assert_uint_eq(confcheck_find(text, "a b", NULL), 5);
    ck_assert_uint_eq(confcheck_find(text, "a b", "k"), 6);
    ck_assert_uint_eq(confcheck_find(text, "a b", "kk"), 7);
    ck_assert_uint_eq(confcheck_find(text, "c", NULL), 8);
    ck_assert_uint_eq(confcheck_find(text, "c", "k"), 0);
    ck_assert_uint_eq(confcheck_find(text, "d", NULL), 0);
}
END_TEST

START_TEST(test_next_section)
{
    char name[CONF_WORD_MAX_OCTETS + 1];
    unsigned line = 0;

    ck_assert(confcheck_next_section(text, &line, name));
    ck_assert_str_eq(name, "a");
    ck_assert_uint_eq(line, 2);
    ck_assert(confcheck_next_section(text, &line, name));
    ck_assert_str_eq(name, "a b");
    ck_assert(confcheck_next_section(text, &line, name));
    ck_assert_str_eq(name, "c");
    ck_assert_uint_eq(line, 8);
    ck_assert(!confcheck_next_section(text, &line, name));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("confcheck");
    TCase *tc = tcase_create("confcheck");

    tcase_add_loop_test(tc, test_rows, 0, sizeof(rows) / sizeof(rows[0]));
    tcase_add_loop_test(tc, test_headings, 0, sizeof(bad_headings) / sizeof(bad_headings[0]));
    tcase_add_test(tc, test_nul);
    tcase_add_test(tc, test_line_length);
    tcase_add_test(tc, test_word_length);
    tcase_add_test(tc, test_too_many);
    tcase_add_test(tc, test_file_size);
    tcase_add_test(tc, test_small_error);
    tcase_add_test(tc, test_find);
    tcase_add_test(tc, test_next_section);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
