#include "config.h" /* _GNU_SOURCE */

#include "common/tunnel/localports.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/addr.h"
#include "common/base/err.h"

enum { FAMILIES = 2, TRIES = 16 };

static const int families[FAMILIES] = {AF_INET, AF_INET6};

struct localports {
    uint16_t numbers[LOCALPORTS];
    int holders[LOCALPORTS][FAMILIES]; /* bound, never connected; -1: none */
    size_t next;
};

/* Two sockets may have one port if both say so, and neither listens. */
static int bind_to(int fd, int family, uint16_t port)
{
    static const int on = 1;
    struct addr any = {.family = family == AF_INET ? 4 : 6, .port = port};
    struct sockaddr_storage name;
    socklen_t length = addr_to_sockaddr(&any, &name);

    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0) ||
        bind(fd, (struct sockaddr *)&name, length) < 0)
        return ERR_SYSTEM;
    return 0;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_storage name = {0};
    socklen_t length = sizeof(name);

    (void)getsockname(fd, (struct sockaddr *)&name, &length);
    return addr_from_sockaddr((struct sockaddr *)&name).port;
}

/* -1, errno says why. */
static int hold(int family, uint16_t port)
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0), saved;

    if (fd >= 0 && bind_to(fd, family, port) == 0)
        return fd;
    saved = errno;
    if (fd >= 0)
        close(fd);
    errno = saved;
    return -1;
}

static void let_go(int holders[FAMILIES])
{
    for (int i = 0; i < FAMILIES; i++) {
        if (holders[i] >= 0)
            close(holders[i]);
        holders[i] = -1;
    }
}

/* The same number in both families; a host may have one of these alone. */
static int take_one(struct localports *ports, size_t at)
{
    int *holders = ports->holders[at];
    uint16_t port = 0;

    for (int try = 0; try < TRIES; try++) {
        int have = 0, missing = 0;

        for (int i = 0; i < FAMILIES; i++) {
            holders[i] = hold(families[i], port);
            have += holders[i] >= 0;
            missing += holders[i] < 0 && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL);
            if (holders[i] >= 0 && port == 0)
                port = port_of(holders[i]);
        }
        if (have > 0 && have + missing == FAMILIES) {
            ports->numbers[at] = port;
            return 0;
        }
        let_go(holders);
        port = 0;
    }
    return ERR_SYSTEM;
}

int localports_new(struct localports **ports, char *error, size_t error_size)
{
    struct localports *p = malloc(sizeof(*p));

    *ports = NULL;
    if (!p) {
        snprintf(error, error_size, "%s", err_text(ERR_NOMEM));
        return ERR_NOMEM;
    }
    *p = (struct localports){.next = 0};
    memset(p->holders, -1, sizeof(p->holders));
    for (size_t i = 0; i < LOCALPORTS; i++) {
        if (take_one(p, i) < 0) {
            snprintf(error, error_size, "no local TCP port can be had: %s", strerror(errno));
            localports_free(p);
            return ERR_SYSTEM;
        }
    }
    *ports = p;
    return 0;
}

void localports_free(struct localports *ports)
{
    if (!ports)
        return;
    for (size_t i = 0; i < LOCALPORTS; i++)
        let_go(ports->holders[i]);
    free(ports);
}

const uint16_t *localports_list(const struct localports *ports)
{
    return ports->numbers;
}

bool localports_has(const struct localports *ports, uint16_t port)
{
    for (size_t i = 0; i < LOCALPORTS; i++) {
        if (ports->numbers[i] == port)
            return true;
    }
    return false;
}

int localports_bind(struct localports *ports, int fd, int family)
{
    uint16_t port = ports->numbers[ports->next];

    ports->next = (ports->next + 1) % LOCALPORTS;
    return bind_to(fd, family, port);
}
