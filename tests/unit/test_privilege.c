#include "config.h"

#include "common/daemon/privilege.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/err.h"
#include "tests/unit/unit.h"

START_TEST(test_user)
{
    char error[256] = "";

    ck_assert_int_eq(privilege_check_user(1000, false, error, sizeof(error)), 0);
    ck_assert_int_eq(privilege_check_user(1000, true, error, sizeof(error)), 0);
    ck_assert_int_eq(privilege_check_user(0, true, error, sizeof(error)), 0);
    ck_assert_int_eq(privilege_check_user(0, false, error, sizeof(error)), ERR_FORBIDDEN);
    ck_assert_ptr_nonnull(strstr(error, "allow-root = yes"));
}
END_TEST

/* In a process of its own: it is for good. Returns its exit code. */
static int in_child(int (*run)(void))
{
    pid_t pid = fork();
    int status;

    ck_assert_int_ge(pid, 0);
    if (pid == 0)
        _exit(run());
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int harden(void)
{
    char error[256];
    struct rlimit core;

    if (privilege_harden(error, sizeof(error)) < 0)
        return 1;
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
        return 2;
    if (getrlimit(RLIMIT_CORE, &core) < 0 || core.rlim_cur != 0 || core.rlim_max != 0)
        return 3;
    if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != PRIVILEGE_LEAK_CHECKER)
        return 4;
    return 0;
}

START_TEST(test_harden)
{
    ck_assert_int_eq(in_child(harden), 0);
}
END_TEST

/* Only the soft limit is changed: valgrind does not let go of the hard one. */
static int raise_files(void)
{
    struct rlimit limit;
    char error[256];
    long most;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 1;
    most = limit.rlim_max > LONG_MAX ? LONG_MAX : (long)limit.rlim_max;
    limit.rlim_cur = 64;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 2;
    if (privilege_raise_files(32, error, sizeof(error)) != 64)
        return 3;
    if (privilege_raise_files(100, error, sizeof(error)) != 100)
        return 4;
    if (privilege_raise_files(ULONG_MAX - 1, error, sizeof(error)) != most)
        return 5;
    return getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur == limit.rlim_max ? 0 : 6;
}

START_TEST(test_files)
{
    ck_assert_int_eq(in_child(raise_files), 0);
}
END_TEST

START_TEST(test_directory)
{
    char top[64] = "/tmp/test_privilege.XXXXXX", path[128], error[PATH_MAX + 256];
    struct stat st;

    ck_assert_ptr_nonnull(mkdtemp(top));
    snprintf(path, sizeof(path), "%s/a/b/socket", top);
    ck_assert_int_eq(privilege_make_directory(path, error, sizeof(error)), 0);
    ck_assert_int_eq(privilege_make_directory(path, error, sizeof(error)), 0);
    ck_assert_int_lt(stat(path, &st), 0);
    snprintf(path, sizeof(path), "%s/a/b", top);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert(S_ISDIR(st.st_mode));
    ck_assert_uint_eq(st.st_mode & (S_IWGRP | S_IWOTH), 0);
    rmdir(path);
    /* A file stands where a directory should. */
    fclose(fopen(path, "w"));
    snprintf(path, sizeof(path), "%s/a/b/socket", top);
    ck_assert_int_eq(privilege_make_directory(path, error, sizeof(error)), ERR_SYSTEM);
    ck_assert_ptr_nonnull(strstr(error, "/a/b: no such directory, and it cannot be made"));
    snprintf(path, sizeof(path), "%s/a/b", top);
    unlink(path);
    snprintf(path, sizeof(path), "%s/a", top);
    rmdir(path);
    rmdir(top);
}
END_TEST

START_TEST(test_directory_odd)
{
    char path[PATH_MAX + 16], error[PATH_MAX + 256];

    ck_assert_int_eq(privilege_make_directory("", error, sizeof(error)), 0);
    ck_assert_int_eq(privilege_make_directory("/file", error, sizeof(error)), 0);
    ck_assert_int_eq(privilege_make_directory("/tmp//file", error, sizeof(error)), 0);
    memset(path, 'x', sizeof(path));
    path[0] = '/';
    path[sizeof(path) - 2] = '/';
    path[sizeof(path) - 1] = '\0';
    ck_assert_int_eq(privilege_make_directory(path, error, sizeof(error)), ERR_TOO_LONG);
    ck_assert_int_eq(privilege_make_directory("/proc/none/file", error, sizeof(error)), ERR_SYSTEM);
    ck_assert_ptr_nonnull(strstr(error, "/proc/none: "));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("privilege");
    TCase *tc = tcase_create("privilege");

    tcase_add_test(tc, test_user);
    tcase_add_test(tc, test_harden);
    tcase_add_test(tc, test_files);
    tcase_add_test(tc, test_directory);
    tcase_add_test(tc, test_directory_odd);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
