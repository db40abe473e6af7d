#include "config.h"

#include "common/daemon/notify.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/base/err.h"
#include "tests/unit/unit.h"

struct manager {
    int fd;
    char directory[64];
    char name[108]; /* as $NOTIFY_SOCKET */
};

/* A service manager's socket, by path or abstract. */
static void manager_open(struct manager *manager, bool abstract)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    size_t length;

    snprintf(manager->directory, sizeof(manager->directory), "/tmp/test_notify.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(manager->directory));
    snprintf(manager->name, sizeof(manager->name), "%s%s/socket", abstract ? "@" : "",
             manager->directory);
    length = strlen(manager->name);
    memcpy(un.sun_path, manager->name, length);
    if (abstract)
        un.sun_path[0] = '\0';
    manager->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ck_assert_int_ge(manager->fd, 0);
    ck_assert_int_eq(bind(manager->fd, (const struct sockaddr *)&un,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)),
                     0);
}

static void manager_close(struct manager *manager)
{
    close(manager->fd);
    if (manager->name[0] == '/')
        unlink(manager->name);
    rmdir(manager->directory);
}

/* A datagram of a Unix socket is there when the call that sent it has returned. */
static const char *received(struct manager *manager, char *out, size_t size)
{
    ssize_t n = recv(manager->fd, out, size - 1, 0);

    out[n < 0 ? 0 : n] = '\0';
    return n < 0 ? "nothing" : out;
}

START_TEST(test_notices)
{
    struct manager manager;
    struct notify notify;
    char error[128], got[600], wanted[64];

    manager_open(&manager, _i == 1);
    ck_assert_int_eq(notify_open(&notify, manager.name, NULL, NULL, error, sizeof(error)), 0);
    ck_assert_uint_eq(notify.watchdog_us, 0);
    notify_ready(&notify, "2 listeners");
    snprintf(wanted, sizeof(wanted), "READY=1\nMAINPID=%ld\nSTATUS=2 listeners", (long)getpid());
    ck_assert_str_eq(received(&manager, got, sizeof(got)), wanted);
    notify_status(&notify, "one line\nREADY=1");
    ck_assert_str_eq(received(&manager, got, sizeof(got)), "STATUS=one line");
    notify_watchdog(&notify);
    ck_assert_str_eq(received(&manager, got, sizeof(got)), "WATCHDOG=1");
    notify_stopping(&notify, NULL);
    ck_assert_str_eq(received(&manager, got, sizeof(got)), "STOPPING=1\nSTATUS=");
    notify_close(&notify);
    notify_watchdog(&notify);
    ck_assert_str_eq(received(&manager, got, sizeof(got)), "nothing");
    manager_close(&manager);
}
END_TEST

static uint64_t monotonic_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

START_TEST(test_reloading)
{
    static const char head[] = "RELOADING=1\nMONOTONIC_USEC=";
    struct manager manager;
    struct notify notify;
    char error[128], got[600];
    uint64_t before = monotonic_us();

    manager_open(&manager, false);
    ck_assert_int_eq(notify_open(&notify, manager.name, NULL, NULL, error, sizeof(error)), 0);
    notify_reloading(&notify);
    received(&manager, got, sizeof(got));
    ck_assert_int_eq(strncmp(got, head, strlen(head)), 0);
    ck_assert_uint_ge(strtoull(got + strlen(head), NULL, 10), before);
    ck_assert_uint_le(strtoull(got + strlen(head), NULL, 10), monotonic_us());
    notify_close(&notify);
    manager_close(&manager);
}
END_TEST

START_TEST(test_nobody)
{
    struct notify notify;
    char error[128];

    ck_assert_int_eq(notify_open(&notify, NULL, "1000", NULL, error, sizeof(error)), 0);
    ck_assert_int_eq(notify.fd, -1);
    notify_ready(&notify, "x");
    notify_close(&notify);
    ck_assert_int_eq(notify_open(&notify, "", NULL, NULL, error, sizeof(error)), 0);
    ck_assert_int_eq(notify.fd, -1);
    /* A manager that went away is no failure. */
    ck_assert_int_eq(notify_open(&notify, "/nonexistent/socket", NULL, NULL, error, sizeof(error)),
                     0);
    notify_ready(&notify, "x");
    notify_close(&notify);
}
END_TEST

START_TEST(test_wrong_name)
{
    static const char *const names[] = {"vsock:2:1234", "relative", "/", "@"};
    struct notify notify;
    char error[256] = "";

    ck_assert_int_eq(notify_open(&notify, names[_i], NULL, NULL, error, sizeof(error)),
                     ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(error, "a path or @NAME would be right"));
    notify_ready(&notify, "x");
    notify_close(&notify);
}
END_TEST

START_TEST(test_long_name)
{
    struct notify notify;
    char name[128], error[256];

    snprintf(name, sizeof(name), "/%0107d", 1);
    ck_assert_int_eq(notify_open(&notify, name, NULL, NULL, error, sizeof(error)), ERR_TOO_LONG);
    name[107] = '\0';
    ck_assert_int_eq(notify_open(&notify, name, NULL, NULL, error, sizeof(error)), 0);
    notify_close(&notify);
}
END_TEST

START_TEST(test_watchdog)
{
    char own[32], error[128];
    struct notify notify;

    snprintf(own, sizeof(own), "%ld", (long)getpid());
    ck_assert_int_eq(notify_open(&notify, "/x", "30000000", own, error, sizeof(error)), 0);
    ck_assert_uint_eq(notify.watchdog_us, 30000000);
    notify_close(&notify);
    ck_assert_int_eq(notify_open(&notify, "/x", "30000000", "1", error, sizeof(error)), 0);
    ck_assert_uint_eq(notify.watchdog_us, 0);
    notify_close(&notify);
    ck_assert_int_eq(notify_open(&notify, "/x", "3s", NULL, error, sizeof(error)), 0);
    ck_assert_uint_eq(notify.watchdog_us, 0);
    notify_close(&notify);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("notify");
    TCase *tc = tcase_create("notify");

    tcase_add_loop_test(tc, test_notices, 0, 2);
    tcase_add_test(tc, test_reloading);
    tcase_add_test(tc, test_nobody);
    tcase_add_loop_test(tc, test_wrong_name, 0, 4);
    tcase_add_test(tc, test_long_name);
    tcase_add_test(tc, test_watchdog);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
