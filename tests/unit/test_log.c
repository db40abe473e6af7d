#define LOG_MODULE "test"
#include "common/base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/unit.h"

static int saved_stderr = -1;
static FILE *captured;
static char text[8192];

static void setup(void)
{
    captured = tmpfile();
    ck_assert_ptr_nonnull(captured);
    saved_stderr = dup(STDERR_FILENO);
    ck_assert_int_ge(dup2(fileno(captured), STDERR_FILENO), 0);
    log_open("test-program", LOG_TARGET_STDERR, LOG_LEVEL_INFO);
}

static void teardown(void)
{
    dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
    fclose(captured);
}

/* What was logged so far. */
static const char *logged(void)
{
    size_t n;

    fflush(stderr);
    rewind(captured);
    n = fread(text, 1, sizeof(text) - 1, captured);
    text[n] = '\0';
    return text;
}

static int evaluations;

static const char *evaluated(void)
{
    evaluations++;
    return "said";
}

START_TEST(test_line)
{
    const char *line;

    log_info("%d %s", 42, "things");
    line = logged();
    ck_assert_ptr_nonnull(strstr(line, "test-program[info] test: 42 things\n"));
    ck_assert_int_eq(line[4], '-'); /* a date in front */
    ck_assert_int_eq(line[10], 'T');
}
END_TEST

START_TEST(test_levels)
{
    static const char *const names[] = {"error", "warning", "info", "debug"};

    for (int level = LOG_LEVEL_ERROR; level <= LOG_LEVEL_DEBUG; level++) {
        enum log_level parsed = LOG_LEVEL_ERROR;

        ck_assert_str_eq(log_level_name((enum log_level)level), names[level]);
        ck_assert(log_level_parse(names[level], &parsed));
        ck_assert_int_eq((int)parsed, level);
        ck_assert_int_eq(ftruncate(fileno(captured), 0), 0);
        rewind(captured);
        log_set_level((enum log_level)level);
        ck_assert_int_eq((int)log_get_level(), level);
        log_error("line error");
        log_warning("line warning");
        log_info("line info");
        log_debug("line debug %s", evaluated());
        logged();
        for (int other = LOG_LEVEL_ERROR; other <= LOG_LEVEL_DEBUG; other++) {
            char want[32];

            snprintf(want, sizeof(want), "line %s", names[other]);
            ck_assert_msg((strstr(text, want) != NULL) == (other <= level), "%s at level %s", want,
                          names[level]);
        }
    }
    ck_assert_int_eq(evaluations, 1); /* arguments of debug lines that nobody wants cost nothing */
}
END_TEST

START_TEST(test_level_parse_bad)
{
    static const char *const bad[] = {"", "Error", "err", "infos", " info", "4"};
    enum log_level level = LOG_LEVEL_WARNING;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_msg(!log_level_parse(bad[i], &level), "\"%s\"", bad[i]);
    ck_assert_int_eq((int)level, LOG_LEVEL_WARNING);
}
END_TEST

/* A peer's text makes no second line, and moves no terminal. */
START_TEST(test_control_bytes)
{
    log_info("a%sb", "\r\n\x1b[2J\t\x7f");
    ck_assert_ptr_nonnull(strstr(logged(), "test: a???[2J??b\n"));
    ck_assert_ptr_eq(strchr(text, '\n'), text + strlen(text) - 1);
}
END_TEST

START_TEST(test_long_line)
{
    char *longer = malloc(5000);

    memset(longer, 'x', 4999);
    longer[4999] = '\0';
    log_info("%s", longer);
    free(longer);
    logged();
    ck_assert_uint_lt(strlen(text), 1200);
    ck_assert_ptr_eq(strchr(text, '\n'), text + strlen(text) - 1);
}
END_TEST

START_TEST(test_errno_stays)
{
    errno = ENOENT;
    log_info("line");
    ck_assert_int_eq(errno, ENOENT);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("log");
    TCase *tc = tcase_create("log");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, test_line);
    tcase_add_test(tc, test_levels);
    tcase_add_test(tc, test_level_parse_bad);
    tcase_add_test(tc, test_control_bytes);
    tcase_add_test(tc, test_long_line);
    tcase_add_test(tc, test_errno_stays);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
