#include "config.h" /* _GNU_SOURCE */

#include "tests/unit/netns.h"

#include <net/if.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "tests/unit/unit.h"

enum { NOT_ALLOWED = 77 };

static bool link_up(void)
{
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    bool up = fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &request) == 0;

    if (fd >= 0)
        close(fd);
    return up;
}

void netns_run(void (*body)(bool ip6), bool ip6)
{
    pid_t child = fork();
    int status;

    ck_assert_int_ge(child, 0);
    if (child == 0) {
        if (unshare(geteuid() == 0 ? CLONE_NEWNET : CLONE_NEWUSER | CLONE_NEWNET) < 0 || !link_up())
            _exit(NOT_ALLOWED);
        body(ip6);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status));
    if (WEXITSTATUS(status) == NOT_ALLOWED)
        fprintf(stderr, "left out: no network namespace may be made here\n");
    else
        ck_assert_int_eq(WEXITSTATUS(status), 0);
}

struct addr netns_local_name(int fd)
{
    struct sockaddr_storage name;
    socklen_t length = sizeof(name);

    EXPECT(getsockname(fd, (struct sockaddr *)&name, &length) == 0);
    return addr_from_sockaddr((struct sockaddr *)&name);
}

int netns_bound(bool ip6, int type)
{
    struct addr any;
    struct sockaddr_storage name;
    int fd = socket(ip6 ? AF_INET6 : AF_INET, type, 0);
    socklen_t length;

    EXPECT(fd >= 0 && addr_parse(ip6 ? "[::1]:1" : "127.0.0.1:1", &any) == 0);
    any.port = 0;
    length = addr_to_sockaddr(&any, &name);
    EXPECT(bind(fd, (struct sockaddr *)&name, length) == 0);
    return fd;
}
