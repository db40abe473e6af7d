#include "config.h"

#include "common/daemon/notify.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/base/err.h"

enum { NOTICE_SIZE = 512 };

static int set_address(struct notify *notify, const char *name, char *error, size_t error_size)
{
    size_t length = strlen(name);

    if ((name[0] != '/' && name[0] != '@') || length < 2) {
        snprintf(error, error_size,
                 "NOTIFY_SOCKET=%s is not supported; a path or @NAME would be right", name);
        return ERR_UNSUPPORTED;
    }
    if (length >= sizeof(notify->to.sun_path)) {
        snprintf(error, error_size, "NOTIFY_SOCKET has %zu octets; at most %zu would be right",
                 length, sizeof(notify->to.sun_path) - 1);
        return ERR_TOO_LONG;
    }
    notify->to.sun_family = AF_UNIX;
    memcpy(notify->to.sun_path, name, length);
    /* An abstract name begins with NUL and is not ended by one. */
    if (name[0] == '@')
        notify->to.sun_path[0] = '\0';
    notify->to_length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    return 0;
}

/* The variables may be those of a parent: then the sign of life is the parent's. */
static uint64_t read_watchdog(const char *usec, const char *pid)
{
    if (!usec || usec[strspn(usec, "0123456789")] != '\0')
        return 0;
    if (pid && strtoll(pid, NULL, 10) != (long long)getpid())
        return 0;
    return strtoull(usec, NULL, 10);
}

int notify_open(struct notify *notify, const char *socket_name, const char *watchdog_usec,
                const char *watchdog_pid, char *error, size_t error_size)
{
    int code;

    memset(notify, 0, sizeof(*notify));
    notify->fd = -1;
    if (!socket_name || socket_name[0] == '\0')
        return 0;
    code = set_address(notify, socket_name, error, error_size);
    if (code < 0)
        return code;
    notify->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (notify->fd < 0) {
        snprintf(error, error_size, "no socket for NOTIFY_SOCKET: %s", strerror(errno));
        return ERR_SYSTEM;
    }
    notify->watchdog_us = read_watchdog(watchdog_usec, watchdog_pid);
    return 0;
}

void notify_close(struct notify *notify)
{
    if (notify->fd >= 0)
        close(notify->fd);
    notify->fd = -1;
}

__attribute__((format(printf, 2, 3))) static void send_notice(const struct notify *notify,
                                                              const char *format, ...)
{
    char notice[NOTICE_SIZE];
    va_list ap;

    if (notify->fd < 0)
        return;
    va_start(ap, format);
    vsnprintf(notice, sizeof(notice), format, ap);
    va_end(ap);
    (void)sendto(notify->fd, notice, strlen(notice), MSG_NOSIGNAL,
                 (const struct sockaddr *)&notify->to, notify->to_length);
}

/* A status is one line, or it would be read as another variable. */
static int status_length(const char *status)
{
    return status ? (int)strcspn(status, "\n") : 0;
}

void notify_ready(const struct notify *notify, const char *status)
{
    send_notice(notify, "READY=1\nMAINPID=%ld\nSTATUS=%.*s", (long)getpid(), status_length(status),
                status ? status : "");
}

void notify_reloading(const struct notify *notify)
{
    struct timespec now;

    /* The manager compares it with its own clock, so it is not a time that somebody passes in. */
    clock_gettime(CLOCK_MONOTONIC, &now);
    send_notice(notify, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
                (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000);
}

void notify_stopping(const struct notify *notify, const char *status)
{
    send_notice(notify, "STOPPING=1\nSTATUS=%.*s", status_length(status), status ? status : "");
}

void notify_status(const struct notify *notify, const char *status)
{
    send_notice(notify, "STATUS=%.*s", status_length(status), status);
}

void notify_watchdog(const struct notify *notify)
{
    send_notice(notify, "WATCHDOG=1");
}
