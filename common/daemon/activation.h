/*
 * A listening socket that was opened by who started the daemon (sd_listen_fds(3)): so an
 * unprivileged daemon has a port below 1024.
 */
#ifndef COMMON_DAEMON_ACTIVATION_H
#define COMMON_DAEMON_ACTIVATION_H

#include <stddef.h>

struct addr;

enum { ACTIVATION_FIRST = 3 }; /* the number of the first socket */

/*
 * Takes the values of $LISTEN_PID and $LISTEN_FDS, NULL for those not set. *fd is the socket, made
 * non-blocking, the caller's; -1: there is none for this process. Negative with a sentence in
 * error: there are several, or it is no TCP socket that listens at wanted.
 */
int activation_take(const char *pid, const char *count, int first, const struct addr *wanted,
                    int *fd, char *error, size_t error_size);

#endif
