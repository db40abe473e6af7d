/* A Unix stream socket that listens, of mode 0660; its file goes when it is closed. */
#ifndef COMMON_DAEMON_UNIXSOCK_H
#define COMMON_DAEMON_UNIXSOCK_H

#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

struct unixsock {
    int fd; /* -1: closed */
    gid_t group;
    struct sockaddr_un address;
    dev_t device; /* with inode: the socket file that is ours to remove */
    ino_t inode;
};

/*
 * A stale socket that nobody listens on is replaced, anything else at path is an error. group: for
 * messages, NULL: the process's own, and gid does not count. 0, or negative with error.
 */
int unixsock_open(struct unixsock *sock, const char *path, const char *group, gid_t gid,
                  int backlog, char *error, size_t error_size);
/* Removes the file, if it is still ours. What was never opened has fd -1 and inode 0. */
void unixsock_close(struct unixsock *sock);

#endif
