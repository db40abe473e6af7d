#include "config.h"

#include "common/daemon/privilege.h"

#include <errno.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/base/err.h"

enum { DIRECTORY_MODE = 0755 }; /* each file in it has a mode of its own */

static int system_error(char *error, size_t error_size, const char *what)
{
    snprintf(error, error_size, "%s: %s", what, strerror(errno));
    return ERR_SYSTEM;
}

int privilege_check_user(uid_t uid, bool allow_root, char *error, size_t error_size)
{
    if (uid != 0 || allow_root)
        return 0;
    snprintf(error, error_size,
             "started as root; an ordinary user, or [daemon] allow-root = yes, would be right");
    return ERR_FORBIDDEN;
}

int privilege_harden(char *error, size_t error_size)
{
    const struct rlimit none = {0, 0};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return system_error(error, error_size, "PR_SET_NO_NEW_PRIVS");
    if (setrlimit(RLIMIT_CORE, &none) < 0)
        return system_error(error, error_size, "RLIMIT_CORE");
    if (!PRIVILEGE_LEAK_CHECKER && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return system_error(error, error_size, "PR_SET_DUMPABLE");
    return 0;
}

/*
 * Under a limit of 0 the kernel locks only for who has CAP_IPC_LOCK where it counts; in a container
 * the capability may be there and yet say nothing.
 */
bool privilege_lock_memory(void)
{
    const int everything = MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT;
    struct rlimit limit, none;
    bool locked;

    if (getrlimit(RLIMIT_MEMLOCK, &limit) < 0)
        return false;
    limit.rlim_cur = limit.rlim_max;
    none = (struct rlimit){limit.rlim_max == RLIM_INFINITY ? RLIM_INFINITY : 0, limit.rlim_max};
    if (setrlimit(RLIMIT_MEMLOCK, &none) < 0)
        return false;
    locked = mlockall(everything) == 0;
    (void)setrlimit(RLIMIT_MEMLOCK, &limit);
    return locked;
}

long privilege_raise_files(unsigned long wanted, char *error, size_t error_size)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return system_error(error, error_size, "RLIMIT_NOFILE");
    if (limit.rlim_cur < wanted) {
        limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
            return system_error(error, error_size, "RLIMIT_NOFILE");
    }
    return limit.rlim_cur > LONG_MAX ? LONG_MAX : (long)limit.rlim_cur;
}

/* The C library has no calls for it, and a library for these two is not worth its place. */
static int get_capabilities(struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3])
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};

    return (int)syscall(SYS_capget, &head, sets);
}

static int set_capabilities(const struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3])
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};

    return (int)syscall(SYS_capset, &head, sets);
}

bool privilege_has_raw(void)
{
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];

    return get_capabilities(sets) == 0 && sets[0].effective & 1u << CAP_NET_RAW;
}

int privilege_drop_raw(char *error, size_t error_size)
{
    static const uint32_t raw = 1u << CAP_NET_RAW;
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];

    if (get_capabilities(sets) < 0)
        return system_error(error, error_size, "capget");
    if (!((sets[0].permitted | sets[0].inheritable) & raw))
        return 0;
    /* Needs CAP_SETPCAP: who has not that gets nothing of the bounding set by execve, either. */
    (void)prctl(PR_CAPBSET_DROP, CAP_NET_RAW, 0, 0, 0);
    sets[0].effective &= ~raw;
    sets[0].permitted &= ~raw;
    sets[0].inheritable &= ~raw; /* with it goes the ambient one */
    if (set_capabilities(sets) < 0)
        return system_error(error, error_size, "capset");
    return 0;
}

/* A part that is there but not ours may give another error than EEXIST. */
static bool make_one(const char *path)
{
    struct stat st;
    int why;

    if (mkdir(path, DIRECTORY_MODE) == 0)
        return true;
    why = errno;
    if (stat(path, &st) == 0) {
        errno = ENOTDIR;
        return S_ISDIR(st.st_mode);
    }
    errno = why;
    return false;
}

int privilege_make_directory(const char *path, char *error, size_t error_size)
{
    char part[PATH_MAX];
    const char *slash = path[0] ? strchr(path + 1, '/') : NULL;

    for (; slash; slash = strchr(slash + 1, '/')) {
        if ((size_t)(slash - path) >= sizeof(part)) {
            snprintf(error, error_size, "%s: %s", path, err_text(ERR_TOO_LONG));
            return ERR_TOO_LONG;
        }
        snprintf(part, sizeof(part), "%.*s", (int)(slash - path), path);
        if (make_one(part))
            continue;
        snprintf(error, error_size,
                 "%s: no such directory, and it cannot be made: %s; one that this user may write "
                 "to would be right",
                 part, strerror(errno));
        return ERR_SYSTEM;
    }
    return 0;
}
