#include "common/daemon/secretfile.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/err.h"
#include "tests/unit/unit.h"

enum { SIZE = 16 };

static const struct {
    const char *text; /* NULL: there is no file */
    mode_t mode;
    int result;
    const char *wanted; /* what it has, or what is wrong */
} rows[] = {
    {"secret\n", 0600, 0, "secret"},
    {"secret", 0400, 0, "secret"},
    {" a b ", 0600, 0, " a b "},
    {"123456789012345", 0600, 0, "123456789012345"},
    {"123456789012345\n", 0600, 0, "123456789012345"},
    {"1234567890123456", 0600, ERR_TOO_LONG, "at most 15 octets"},
    {"1234567890123456\n", 0600, ERR_TOO_LONG, "at most 15 octets"},
    {"", 0600, ERR_CONFIG, "it is empty"},
    {"\n", 0600, ERR_CONFIG, "it is empty"},
    {"one\ntwo\n", 0600, ERR_CONFIG, "more than one line"},
    {"one\r\n", 0600, ERR_CONFIG, "control character"},
    {"secret\n", 0640, ERR_CONFIG, "others may use it (mode 0640); chmod 600 would be right"},
    {"secret\n", 0604, ERR_CONFIG, "others may use it"},
    {NULL, 0, ERR_SYSTEM, "it cannot be opened: No such file"},
};

static char folder[64], path[96];

static void setup(void)
{
    snprintf(folder, sizeof(folder), "/tmp/test_secretfile.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/secret", folder);
}

static void teardown(void)
{
    ck_assert(unlink(path) == 0 || errno == ENOENT);
    ck_assert_int_eq(rmdir(folder), 0);
}

START_TEST(test_files)
{
    char out[SIZE], error[128] = "";

    if (rows[_i].text) {
        FILE *file = fopen(path, "w");

        ck_assert_ptr_nonnull(file);
        ck_assert_int_ge(fputs(rows[_i].text, file), 0);
        ck_assert_int_eq(fclose(file), 0);
        ck_assert_int_eq(chmod(path, rows[_i].mode), 0);
    }
    memset(out, 'x', sizeof(out));
    ck_assert_int_eq(secretfile_read(path, out, sizeof(out), error, sizeof(error)),
                     rows[_i].result);
    if (rows[_i].result == 0) {
        ck_assert_str_eq(out, rows[_i].wanted);
        return;
    }
    ck_assert_msg(strstr(error, rows[_i].wanted), "%s", error);
    for (size_t i = 0; i < sizeof(out); i++)
        ck_assert_int_eq(out[i], 0);
}
END_TEST

START_TEST(test_folder)
{
    char out[SIZE], error[128] = "";

    ck_assert_int_eq(secretfile_read(folder, out, sizeof(out), error, sizeof(error)), ERR_CONFIG);
    ck_assert_str_eq(error, "it is not a regular file");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("secretfile");
    TCase *tc = tcase_create("secretfile");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, test_files, 0, sizeof(rows) / sizeof(rows[0]));
    tcase_add_test(tc, test_folder);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
