#include "common/tunnel/tlssocket.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

static int result_of(BIO *bio, ssize_t result, int retry_flag)
{
    struct tls_socket *socket = BIO_get_data(bio);

    BIO_clear_retry_flags(bio);
    if (result >= 0)
        return (int)result;
    socket->error = errno;
    if (errno == EAGAIN || errno == EWOULDBLOCK)
        BIO_set_flags(bio, retry_flag | BIO_FLAGS_SHOULD_RETRY);
    return -1;
}

static int write_out(BIO *bio, const char *data, int length)
{
    const struct tls_socket *socket = BIO_get_data(bio);
    ssize_t result;

    do
        result = send(socket->fd, data, (size_t)length, MSG_NOSIGNAL);
    while (result < 0 && errno == EINTR);
    return result_of(bio, result, BIO_FLAGS_WRITE);
}

/* As much as is there. When it was less than there is room for, the next answer is known. */
static ssize_t read_ahead(struct tls_socket *socket)
{
    ssize_t result;

    if (socket->dry) {
        socket->dry = false;
        errno = EAGAIN;
        return -1;
    }
    do
        result = recv(socket->fd, socket->ahead, sizeof(socket->ahead), 0);
    while (result < 0 && errno == EINTR);
    socket->at = 0;
    socket->length = result > 0 ? (size_t)result : 0;
    socket->dry = result > 0 && (size_t)result < sizeof(socket->ahead);
    return result;
}

static int read_in(BIO *bio, char *data, int length)
{
    struct tls_socket *socket = BIO_get_data(bio);
    size_t count = (size_t)length;
    ssize_t result;

    if (socket->at == socket->length) {
        result = read_ahead(socket);
        if (result == 0)
            BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
        if (result <= 0)
            return result_of(bio, result, BIO_FLAGS_READ);
    }
    if (count > socket->length - socket->at)
        count = socket->length - socket->at;
    memcpy(data, socket->ahead + socket->at, count);
    socket->at += count;
    return result_of(bio, (ssize_t)count, BIO_FLAGS_READ);
}

static long control(BIO *bio, int command, long number, void *pointer)
{
    (void)number;
    (void)pointer;
    switch (command) {
    case BIO_CTRL_FLUSH:
        return 1;
    case BIO_CTRL_EOF:
        return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
    default:
        return 0;
    }
}

BIO *tls_socket_bio(struct tls_socket *socket, int fd)
{
    BIO *bio = NULL;

    socket->fd = fd;
    socket->method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "tunnel socket");
    if (socket->method && BIO_meth_set_write(socket->method, write_out) == 1 &&
        BIO_meth_set_read(socket->method, read_in) == 1 &&
        BIO_meth_set_ctrl(socket->method, control) == 1)
        bio = BIO_new(socket->method);
    if (bio) {
        BIO_set_data(bio, socket);
        BIO_set_init(bio, 1);
    }
    return bio;
}

void tls_socket_fini(struct tls_socket *socket)
{
    BIO_meth_free(socket->method);
}
