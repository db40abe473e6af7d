/*
 * What a service manager wants to know, sd_notify(3) without its library: lines
 * of NAME=VALUE in one datagram to the Unix socket that $NOTIFY_SOCKET names.
 * A notice that cannot be sent is lost: it never holds up the daemon.
 */
#ifndef COMMON_DAEMON_NOTIFY_H
#define COMMON_DAEMON_NOTIFY_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

struct notify {
    int fd; /* -1: nobody asked */
    struct sockaddr_un to;
    socklen_t to_length;
    uint64_t watchdog_us; /* a sign of life is wanted this often; 0: not */
};

/*
 * Takes the values of $NOTIFY_SOCKET ("/path" or "@abstract"), $WATCHDOG_USEC and $WATCHDOG_PID,
 * each NULL when not set. 0 also when nobody asked; negative with a sentence in error, and *notify
 * still fit for all calls.
 */
int notify_open(struct notify *notify, const char *socket_name, const char *watchdog_usec,
                const char *watchdog_pid, char *error, size_t error_size);
void notify_close(struct notify *notify);

/* status is shown to people, one line; may be NULL. */
void notify_ready(const struct notify *notify, const char *status);
/* Before a reload; notify_ready() ends it. */
void notify_reloading(const struct notify *notify);
void notify_stopping(const struct notify *notify, const char *status);
void notify_status(const struct notify *notify, const char *status);
/* The sign of life; to be given at least every watchdog_us / 2. */
void notify_watchdog(const struct notify *notify);

#endif
