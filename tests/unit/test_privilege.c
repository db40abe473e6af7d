#include "config.h"

#include "common/daemon/privilege.h"

#include <errno.h>
#include <limits.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
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

#if !PRIVILEGE_LEAK_CHECKER /* AddressSanitizer takes mlockall away */
enum { FRESH_OCTETS = 8 * 1024 * 1024, PAGES_MAX = FRESH_OCTETS / 4096 };

/* Of /proc/self/status, in KiB; what others have locked is none of ours. */
static unsigned long locked_kib(void)
{
    FILE *file = fopen("/proc/self/status", "re");
    unsigned long value = 0;
    char line[256];

    while (file && fgets(line, sizeof(line), file))
        sscanf(line, "VmLck: %lu", &value);
    if (file)
        fclose(file);
    return value;
}

/* What comes later is locked as well, yet takes no memory before it is used. */
static int check_locked(void)
{
    static unsigned char resident[PAGES_MAX];
    unsigned long before;
    char *fresh;

    if (!privilege_lock_memory())
        return 11;
    before = locked_kib();
    if (before < 256)
        return 12;
    fresh = mmap(NULL, FRESH_OCTETS, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (fresh == MAP_FAILED || locked_kib() < before + FRESH_OCTETS / 1024)
        return 13;
    fresh[0] = 1;
    if (mincore(fresh, FRESH_OCTETS, resident) < 0 || !(resident[0] & 1))
        return 14;
    return resident[sysconf(_SC_PAGESIZE) == 4096 ? PAGES_MAX - 1 : 8] & 1 ? 15 : 0;
}

static int limit_memory(rlim_t soft, rlim_t hard)
{
    const struct rlimit limit = {soft, hard};

    return setrlimit(RLIMIT_MEMLOCK, &limit);
}

/* Where it may be unlimited, the soft limit does not matter. */
static int lock_unlimited(void)
{
    if (limit_memory(65536, RLIM_INFINITY) < 0)
        return errno == EPERM ? 0 : 1; /* who may not raise it cannot try this */
    if (geteuid() == 0 && setresuid(65534, 65534, 65534) < 0)
        return 2;
    return check_locked();
}

/* Root has CAP_IPC_LOCK, but in some containers. */
static int lock_as_root(void)
{
    if (geteuid() != 0 || limit_memory(0, 0) < 0 || mlock(&(char){0}, 1) < 0)
        return 0;
    return check_locked();
}

/* Nothing is locked, and memory can be had as before. */
static int lock_limited(void)
{
    const rlim_t most = 1024 * 1024;
    struct rlimit limit;
    void *fresh;

    if (limit_memory(65536, most) < 0)
        return 1;
    if (geteuid() == 0 && setresuid(65534, 65534, 65534) < 0)
        return 2;
    if (privilege_lock_memory() || locked_kib() != 0)
        return 3;
    if (getrlimit(RLIMIT_MEMLOCK, &limit) < 0 || limit.rlim_cur != most || limit.rlim_max != most)
        return 4;
    fresh = mmap(NULL, FRESH_OCTETS, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return fresh == MAP_FAILED || locked_kib() != 0 ? 5 : 0;
}

static int (*const locks[])(void) = {lock_unlimited, lock_as_root, lock_limited};

START_TEST(test_lock)
{
    ck_assert_int_eq(in_child(locks[_i]), 0);
}
END_TEST
#endif

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

/* A raw socket stays when the privilege goes, and no other can be opened. */
static int drop_raw(void)
{
    char error[256];
    int before = socket(AF_INET, SOCK_RAW, IPPROTO_TCP);

    if ((before >= 0) != privilege_has_raw())
        return 1;
    if (privilege_drop_raw(error, sizeof(error)) < 0 || privilege_has_raw())
        return 2;
    if (socket(AF_INET, SOCK_RAW, IPPROTO_TCP) >= 0)
        return 3;
    if (before >= 0 && send(before, "", 0, 0) < 0 && errno == EBADF)
        return 4;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_NET_RAW, 0, 0) != 0 ||
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_RAW, 0, 0) == 0)
        return 5;
    /* Once more is no error. */
    return privilege_drop_raw(error, sizeof(error)) < 0 ? 6 : 0;
}

/* What systemd does for AmbientCapabilities=. */
static bool make_ambient(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];

    if (syscall(SYS_capget, &head, sets) < 0)
        return false;
    sets[0].inheritable |= 1u << CAP_NET_RAW;
    return syscall(SYS_capset, &head, sets) == 0 &&
           prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_RAW, 0, 0) == 0;
}

/* As an ordinary user, in namespaces of its own where these may be made. */
static int drop_ambient_raw(void)
{
    if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0) {
        fprintf(stderr, "no namespaces can be made here: tried without\n");
        return drop_raw();
    }
    return make_ambient() ? drop_raw() : 9;
}

START_TEST(test_raw)
{
    ck_assert_int_eq(in_child(_i == 0 ? drop_raw : drop_ambient_raw), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("privilege");
    TCase *tc = tcase_create("privilege");

    tcase_add_test(tc, test_user);
    tcase_add_test(tc, test_harden);
#if !PRIVILEGE_LEAK_CHECKER
    tcase_add_loop_test(tc, test_lock, 0, sizeof(locks) / sizeof(locks[0]));
#endif
    tcase_add_test(tc, test_files);
    tcase_add_loop_test(tc, test_raw, 0, 2);
    tcase_add_test(tc, test_directory);
    tcase_add_test(tc, test_directory_odd);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
