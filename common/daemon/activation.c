#include "common/daemon/activation.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/addr.h"
#include "common/base/err.h"

static int option_of(int fd, int name)
{
    int value = -1;
    socklen_t length = sizeof(value);

    return getsockopt(fd, SOL_SOCKET, name, &value, &length) == 0 ? value : -1;
}

/* A child of the daemon's own would not be meant. */
static bool is_for_us(const char *pid, const char *count)
{
    return pid && count && strtol(pid, NULL, 10) == (long)getpid() && strcmp(count, "0") != 0;
}

static int check_address(int fd, const struct addr *wanted, char *error, size_t error_size)
{
    struct sockaddr_storage storage = {0};
    socklen_t length = sizeof(storage);
    char got_text[ADDR_TEXT_SIZE], wanted_text[ADDR_TEXT_SIZE];
    struct addr got;

    if (getsockname(fd, (struct sockaddr *)&storage, &length) < 0) {
        snprintf(error, error_size, "the socket that was handed over: %s", strerror(errno));
        return ERR_SYSTEM;
    }
    got = addr_from_sockaddr((struct sockaddr *)&storage);
    if (addr_equal(&got, wanted))
        return 0;
    snprintf(
        error, error_size,
        "the socket that was handed over (LISTEN_FDS) listens at %s, but [tunnel] listen is %s; "
        "the same address in both would be right",
        addr_format(&got, got_text, sizeof(got_text)),
        addr_format(wanted, wanted_text, sizeof(wanted_text)));
    return ERR_CONFIG;
}

int activation_take(const char *pid, const char *count, int first, const struct addr *wanted,
                    int *fd, char *error, size_t error_size)
{
    int domain = option_of(first, SO_DOMAIN), result;

    *fd = -1;
    if (!is_for_us(pid, count))
        return 0;
    if (strcmp(count, "1") != 0) {
        snprintf(error, error_size,
                 "LISTEN_FDS is %s; one socket, that of [tunnel] listen, would be right", count);
        return ERR_CONFIG;
    }
    if ((domain != AF_INET && domain != AF_INET6) || option_of(first, SO_TYPE) != SOCK_STREAM ||
        option_of(first, SO_ACCEPTCONN) != 1) {
        snprintf(error, error_size,
                 "what was handed over (LISTEN_FDS) is no TCP socket that listens; ListenStream in "
                 "the socket unit would be right");
        return ERR_CONFIG;
    }
    result = check_address(first, wanted, error, error_size);
    if (result < 0)
        return result;
    if (fcntl(first, F_SETFD, FD_CLOEXEC) < 0 ||
        fcntl(first, F_SETFL, fcntl(first, F_GETFL) | O_NONBLOCK) < 0) {
        snprintf(error, error_size, "the socket that was handed over: %s", strerror(errno));
        return ERR_SYSTEM;
    }
    *fd = first;
    return 0;
}
