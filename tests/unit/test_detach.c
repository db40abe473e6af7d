#include "config.h"

#include "common/daemon/detach.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/unit.h"

enum { DEADLINE_MS = 20000, NO_REPORT = -1 };

/* What the daemon saw, told through a pipe that outlives the process that was called. */
struct seen {
    bool own_session, leader, at_root, closed_stderr;
    pid_t pid;
};

static bool is_null_device(int fd)
{
    struct stat st, null;

    return fstat(fd, &st) == 0 && stat("/dev/null", &null) == 0 && st.st_rdev == null.st_rdev;
}

/* The process that is called; comes back only in the daemon, which ends here too. */
__attribute__((noreturn)) static void called(int code, int tell, pid_t session)
{
    struct seen seen = {.pid = 0};
    char error[128], here[16] = "";
    int report;

    if (detach(&report, error, sizeof(error)) < 0)
        _exit(99);
    seen.pid = getpid();
    seen.own_session = getsid(0) != session;
    seen.leader = getsid(0) == getpid();
    seen.at_root = getcwd(here, sizeof(here)) && strcmp(here, "/") == 0;
    if (code != NO_REPORT)
        detach_report(&report, code);
    detach_report(&report, 0);
    seen.closed_stderr = is_null_device(0) && is_null_device(1) && is_null_device(2);
    if (write(tell, &seen, sizeof(seen)) < 0)
        _exit(1);
    _exit(0);
}

static const struct {
    int report, exit_code;
    bool closed;
} rows[] = {
    {0, 0, true},
    {1, 1, false},
    {2, 2, false},
};

static void run_detach(int report, int *exit_code, struct seen *seen)
{
    struct pollfd poll_fd = {.events = POLLIN};
    int ends[2], status;
    pid_t pid;

    ck_assert_int_eq(pipe(ends), 0);
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0)
        called(report, ends[1], getsid(0));
    close(ends[1]);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status));
    *exit_code = WEXITSTATUS(status);
    poll_fd.fd = ends[0];
    ck_assert_int_eq(poll(&poll_fd, 1, DEADLINE_MS), 1);
    ck_assert_int_eq(read(ends[0], seen, sizeof(*seen)), (int)sizeof(*seen));
    close(ends[0]);
    ck_assert_int_ne(seen->pid, pid);
}

START_TEST(test_rows)
{
    struct seen seen;
    int exit_code;

    run_detach(rows[_i].report, &exit_code, &seen);
    ck_assert_int_eq(exit_code, rows[_i].exit_code);
    ck_assert(seen.own_session);
    ck_assert(!seen.leader);
    ck_assert(seen.at_root);
    ck_assert_int_eq(seen.closed_stderr, rows[_i].closed);
}
END_TEST

/* A daemon that ends without a word failed. */
START_TEST(test_no_report)
{
    pid_t pid = fork();
    int status;

    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        char error[128];
        int report;

        if (detach(&report, error, sizeof(error)) < 0)
            _exit(99);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 1);
}
END_TEST

START_TEST(test_pid_file)
{
    char top[64] = "/tmp/test_detach.XXXXXX", path[128], error[512], text[32];
    FILE *file;

    ck_assert_ptr_nonnull(mkdtemp(top));
    snprintf(path, sizeof(path), "%s/pid", top);
    ck_assert_int_eq(detach_write_pid(path, error, sizeof(error)), 0);
    ck_assert_int_eq(detach_write_pid(path, error, sizeof(error)), 0);
    file = fopen(path, "r");
    ck_assert_ptr_nonnull(fgets(text, sizeof(text), file));
    fclose(file);
    ck_assert_int_eq(strtol(text, NULL, 10), getpid());
    ck_assert_ptr_nonnull(strchr(text, '\n'));
    detach_remove_pid(path);
    ck_assert_int_eq(access(path, F_OK), -1);
    /* Another process's file stays. */
    file = fopen(path, "w");
    fputs("1\n", file);
    fclose(file);
    detach_remove_pid(path);
    ck_assert_int_eq(access(path, F_OK), 0);
    unlink(path);
    /* Nothing else was left there. */
    ck_assert_int_eq(rmdir(top), 0);
}
END_TEST

START_TEST(test_pid_file_wrong)
{
    char error[512] = "";

    ck_assert_int_eq(detach_write_pid("", error, sizeof(error)), 0);
    detach_remove_pid("");
    detach_remove_pid("/nonexistent/pid");
    ck_assert_int_lt(detach_write_pid("/nonexistent/pid", error, sizeof(error)), 0);
    ck_assert_str_eq(error, "/nonexistent/pid: No such file or directory");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("detach");
    TCase *tc = tcase_create("detach");

    tcase_add_loop_test(tc, test_rows, 0, sizeof(rows) / sizeof(rows[0]));
    tcase_add_test(tc, test_no_report);
    tcase_add_test(tc, test_pid_file);
    tcase_add_test(tc, test_pid_file_wrong);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
