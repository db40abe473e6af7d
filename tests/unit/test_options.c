#include "config.h"

#include "common/daemon/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/err.h"
#include "tests/unit/unit.h"

enum { ARGS_MAX = 6 };

static const struct {
    const char *args[ARGS_MAX];
    const char *error; /* NULL: it is right */
    enum options_action action;
    bool foreground;
    unsigned verbose;
    const char *config;
} rows[] = {
    {{NULL}, NULL, OPTIONS_RUN, false, 0, "/etc/x.ini"},
    {{"-f"}, NULL, OPTIONS_RUN, true, 0, "/etc/x.ini"},
    {{"-c", "/a b"}, NULL, OPTIONS_RUN, false, 0, "/a b"},
    {{"-c/a"}, NULL, OPTIONS_RUN, false, 0, "/a"},
    {{"-ftc", "/a"}, NULL, OPTIONS_CHECK, true, 0, "/a"},
    {{"-t", "-t"}, NULL, OPTIONS_CHECK, false, 0, "/etc/x.ini"},
    {{"-T"}, NULL, OPTIONS_PRINT, false, 0, "/etc/x.ini"},
    {{"-V"}, NULL, OPTIONS_VERSION, false, 0, "/etc/x.ini"},
    {{"--version"}, NULL, OPTIONS_VERSION, false, 0, "/etc/x.ini"},
    {{"-h"}, NULL, OPTIONS_HELP, false, 0, "/etc/x.ini"},
    {{"--help"}, NULL, OPTIONS_HELP, false, 0, "/etc/x.ini"},
    {{"-v", "-vv"}, NULL, OPTIONS_RUN, false, 3, "/etc/x.ini"},
    {{"-c", "/a", "-c", "/b"}, NULL, OPTIONS_RUN, false, 0, "/b"},
    {{"-x"}, "unknown option \"-x\"; -h lists the options", 0, false, 0, NULL},
    {{"-f", "--colour"}, "unknown option \"--colour\"; -h lists the options", 0, false, 0, NULL},
    {{"-c"}, "-c needs an argument; -h lists the options", 0, false, 0, NULL},
    {{"-c", ""}, "-c: not a path; the path of an ini file would be right", 0, false, 0, NULL},
    {{"-t", "-T"}, "-t, -T, -V and -h exclude each other; one would be right", 0, false, 0, NULL},
    {{"/a"}, "\"/a\": no arguments are taken; -c FILE would be right", 0, false, 0, NULL},
    {{"--", "-f"}, "\"-f\": no arguments are taken; -c FILE would be right", 0, false, 0, NULL},
    {{"/a", "-f"}, "\"/a\": no arguments are taken; -c FILE would be right", 0, false, 0, NULL},
};

static int read_args(struct daemon_options *options, const char *const *args, char *error,
                     size_t error_size)
{
    char *argv[ARGS_MAX + 2] = {strdup("daemon")};
    int argc = 1, code;

    for (; args[argc - 1]; argc++)
        argv[argc] = strdup(args[argc - 1]);
    code = options_read(options, "/etc/x.ini", argc, argv, error, error_size);
    for (int i = 0; i < argc; i++)
        free(argv[i]);
    return code;
}

START_TEST(test_rows)
{
    struct daemon_options options;
    char error[256] = "";
    int code = read_args(&options, rows[_i].args, error, sizeof(error));

    ck_assert_str_eq(error, rows[_i].error ? rows[_i].error : "");
    if (rows[_i].error) {
        ck_assert_int_lt(code, 0);
        return;
    }
    ck_assert_int_eq(code, 0);
    ck_assert_int_eq(options.action, rows[_i].action);
    ck_assert_int_eq(options.foreground, rows[_i].foreground);
    ck_assert_uint_eq(options.verbose, rows[_i].verbose);
    ck_assert_str_eq(options.config, rows[_i].config);
}
END_TEST

START_TEST(test_relative)
{
    const char *const args[] = {"-c", "dir/x.ini", NULL};
    char here[PATH_MAX], wanted[PATH_MAX + 16], error[256];
    struct daemon_options options;

    ck_assert_ptr_nonnull(getcwd(here, sizeof(here)));
    snprintf(wanted, sizeof(wanted), "%s/dir/x.ini", here);
    ck_assert_int_eq(read_args(&options, args, error, sizeof(error)), 0);
    ck_assert_str_eq(options.config, wanted);
}
END_TEST

START_TEST(test_too_long)
{
    char *path = malloc(2 * PATH_MAX);
    const char *const args[] = {"-c", path, NULL};
    struct daemon_options options;
    char error[256];

    memset(path, '/', 2 * PATH_MAX - 1);
    path[2 * PATH_MAX - 1] = '\0';
    ck_assert_int_eq(read_args(&options, args, error, sizeof(error)), ERR_INVALID);
    free(path);
}
END_TEST

START_TEST(test_level)
{
    struct daemon_options options = {.verbose = 0};

    ck_assert_int_eq(options_log_level(&options, LOG_LEVEL_WARNING), LOG_LEVEL_WARNING);
    options.verbose = 1;
    ck_assert_int_eq(options_log_level(&options, LOG_LEVEL_WARNING), LOG_LEVEL_INFO);
    ck_assert_int_eq(options_log_level(&options, LOG_LEVEL_DEBUG), LOG_LEVEL_DEBUG);
    options.verbose = 1000;
    ck_assert_int_eq(options_log_level(&options, LOG_LEVEL_ERROR), LOG_LEVEL_DEBUG);
}
END_TEST

START_TEST(test_texts)
{
    char *text = NULL;
    size_t length;
    FILE *file = open_memstream(&text, &length);

    options_print_version("dmz-relay", file);
    options_print_help("dmz-relay", "/etc/x.ini", file);
    fclose(file);
    ck_assert_ptr_nonnull(strstr(text, "dmz-relay (" PACKAGE_NAME ") " PACKAGE_VERSION "\n"));
    ck_assert_ptr_nonnull(strstr(text, "/etc/x.ini\n"));
    ck_assert_ptr_nonnull(strstr(text, "dmz-relay.ini(5)"));
    for (const char *letter = "ctTfvVh"; *letter; letter++) {
        char option[] = {' ', ' ', '-', *letter, ' ', '\0'};

        ck_assert_ptr_nonnull(strstr(text, option));
    }
    free(text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("options");
    TCase *tc = tcase_create("options");

    tcase_add_loop_test(tc, test_rows, 0, sizeof(rows) / sizeof(rows[0]));
    tcase_add_test(tc, test_relative);
    tcase_add_test(tc, test_too_long);
    tcase_add_test(tc, test_level);
    tcase_add_test(tc, test_texts);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
