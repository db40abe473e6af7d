#include "config.h"

#include "common/tunnel/punch.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/err.h"

int punch_share(int fd)
{
    static const int on = 1;

    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) < 0)
        return ERR_SYSTEM;
    return 0;
}

static void drop(struct punch *punch)
{
    if (punch->fd >= 0)
        close(punch->fd);
    punch->fd = -1;
}

static int bind_shared(int fd, const struct addr *local)
{
    struct sockaddr_storage name;
    socklen_t length = addr_to_sockaddr(local, &name);

    return punch_share(fd) < 0 ? -1 : bind(fd, (struct sockaddr *)&name, length);
}

static void fail(struct punch *punch, int error)
{
    drop(punch);
    punch->error = error;
    punch->state = PUNCH_FAILED;
}

/* Who is refused may find the other side ready a moment later. */
static void judge(struct punch *punch, int error, uint64_t now_us)
{
    drop(punch);
    punch->error = error;
    punch->refused_us = now_us;
    if (error != ECONNREFUSED && error != ECONNRESET && error != EHOSTUNREACH &&
        error != ENETUNREACH && error != ETIMEDOUT)
        fail(punch, error);
}

static void try(struct punch *punch, uint64_t now_us)
{
    struct sockaddr_storage name;
    socklen_t length = addr_to_sockaddr(&punch->to, &name);
    int family = punch->to.family == 4 ? AF_INET : AF_INET6;

    punch->refused_us = 0;
    punch->tries++;
    punch->fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (punch->fd < 0 || bind_shared(punch->fd, &punch->local) < 0)
        fail(punch, errno);
    else if (connect(punch->fd, (struct sockaddr *)&name, length) < 0 && errno != EINPROGRESS)
        judge(punch, errno, now_us);
}

void punch_begin(struct punch *punch, const struct addr *local, const struct addr *to,
                 uint64_t now_us)
{
    *punch = (struct punch){.local = *local, .to = *to, .fd = -1, .began_us = now_us};
    try(punch, now_us);
}

static void look(struct punch *punch, uint64_t now_us)
{
    struct pollfd at = {.fd = punch->fd, .events = POLLOUT};
    int error = 0;
    socklen_t length = sizeof(error);

    if (poll(&at, 1, 0) <= 0)
        return;
    if (getsockopt(punch->fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0)
        error = errno;
    if (error != 0)
        judge(punch, error, now_us);
    else
        punch->state = PUNCH_IS_OPEN;
}

enum punch_state punch_go_on(struct punch *punch, uint64_t now_us)
{
    if (punch->state == PUNCH_WAITS && punch->fd >= 0)
        look(punch, now_us);
    if (punch->state != PUNCH_WAITS)
        return punch->state;
    if (now_us - punch->began_us >= PUNCH_MAX_US)
        fail(punch, punch->error ? punch->error : ETIMEDOUT);
    else if (punch->fd < 0 && now_us - punch->refused_us >= PUNCH_PAUSE_US)
        try(punch, now_us);
    return punch->state;
}

int punch_take(struct punch *punch)
{
    int fd = punch->fd;

    punch->fd = -1;
    return fd;
}

void punch_end(struct punch *punch)
{
    drop(punch);
}
