#include "config.h"

#include "common/daemon/unixsock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/err.h"

static int set_address(struct sockaddr_un *address, const char *path, char *error,
                       size_t error_size)
{
    size_t length = strlen(path);

    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (length == 0 || length >= sizeof(address->sun_path)) {
        snprintf(error, error_size, "the path of the socket has %zu octets; 1 to %zu fit", length,
                 sizeof(address->sun_path) - 1);
        return ERR_TOO_LONG;
    }
    memcpy(address->sun_path, path, length + 1);
    return 0;
}

/* The errno of connecting there: 0 when somebody listens. */
static int probe(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int result = 0;

    if (fd < 0 || connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0)
        result = errno;
    if (fd >= 0)
        close(fd);
    return result;
}

static int remove_stale(const struct sockaddr_un *address, char *error, size_t error_size)
{
    const char *path = address->sun_path;
    struct stat st;
    int result;

    if (lstat(path, &st) < 0)
        return 0; /* what else is wrong with the path, bind() says */
    if (!S_ISSOCK(st.st_mode)) {
        snprintf(error, error_size, "%s exists and is not a socket; it is left alone", path);
        return ERR_EXISTS;
    }
    result = probe(address);
    if (result == 0 || result == EAGAIN) {
        snprintf(error, error_size, "%s: another daemon listens there", path);
        return ERR_EXISTS;
    }
    if (result != ECONNREFUSED || unlink(path) < 0) {
        snprintf(error, error_size, "%s: cannot replace the old socket: %s", path,
                 strerror(result != ECONNREFUSED ? result : errno));
        return ERR_SYSTEM;
    }
    return 0;
}

/*
 * Before listen() nobody can connect. fchmod() bounds the mode that bind()
 * gives to the file, so that it is never wider than 0660.
 */
static int bind_socket(struct unixsock *sock, const char *group, gid_t gid, int backlog,
                       char *error, size_t error_size)
{
    const char *path = sock->address.sun_path, *what = "cannot make the socket";
    struct stat st;

    sock->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (sock->fd < 0 || fchmod(sock->fd, 0660) < 0 ||
        bind(sock->fd, (const struct sockaddr *)&sock->address, sizeof(sock->address)) < 0)
        goto failed;
    what = "cannot look at the new socket";
    if (lstat(path, &st) < 0)
        goto failed;
    sock->device = st.st_dev;
    sock->inode = st.st_ino;
    sock->group = st.st_gid;
    if (group) {
        what = "cannot give the socket to the group";
        if (lchown(path, (uid_t)-1, gid) < 0)
            goto failed;
        sock->group = gid;
    }
    what = "cannot open the socket to its group";
    if (chmod(path, 0660) < 0 || listen(sock->fd, backlog) < 0)
        goto failed;
    return 0;

failed:
    snprintf(error, error_size, "%s: %s%s%s: %s", path, what, group ? " " : "", group ? group : "",
             strerror(errno));
    return ERR_SYSTEM;
}

static void remove_socket(const struct unixsock *sock)
{
    struct stat st;

    if (sock->inode != 0 && lstat(sock->address.sun_path, &st) == 0 && st.st_dev == sock->device &&
        st.st_ino == sock->inode)
        unlink(sock->address.sun_path);
}

int unixsock_open(struct unixsock *sock, const char *path, const char *group, gid_t gid,
                  int backlog, char *error, size_t error_size)
{
    int rc;

    *sock = (struct unixsock){.fd = -1};
    rc = set_address(&sock->address, path, error, error_size);
    if (rc == 0)
        rc = remove_stale(&sock->address, error, error_size);
    if (rc == 0)
        rc = bind_socket(sock, group, gid, backlog, error, error_size);
    if (rc < 0)
        unixsock_close(sock);
    return rc;
}

void unixsock_close(struct unixsock *sock)
{
    if (sock->fd >= 0)
        close(sock->fd);
    sock->fd = -1;
    remove_socket(sock);
    sock->inode = 0;
}
