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

/* Until octets of data have gone, and not of the framing alone. */
static ssize_t write_chunk(struct tls_socket *socket, const char *data, size_t length)
{
    struct iovec parts[HTTPWIRE_PARTS];
    struct msghdr message = {.msg_iov = parts};
    ssize_t result;

    do {
        message.msg_iovlen = httpwire_frame(&socket->writer, data, length, parts);
        result = sendmsg(socket->out, &message, MSG_NOSIGNAL);
        if (result > 0)
            result = (ssize_t)httpwire_sent(&socket->writer, (size_t)result);
    } while (result == 0);
    return result;
}

static int write_out(BIO *bio, const char *data, int length)
{
    struct tls_socket *socket = BIO_get_data(bio);
    ssize_t result;

    do
        result = socket->chunked_out ? write_chunk(socket, data, (size_t)length)
                                     : send(socket->out, data, (size_t)length, MSG_NOSIGNAL);
    while (result < 0 && errno == EINTR);
    return result_of(bio, result, BIO_FLAGS_WRITE);
}

/* As much as is there. When it was less than there is room for, the next answer is known. */
static ssize_t read_into(struct tls_socket *socket, void *memory, size_t size)
{
    ssize_t result;

    if (socket->dry) {
        socket->dry = false;
        errno = EAGAIN;
        return -1;
    }
    do
        result = recv(socket->in, memory, size, 0);
    while (result < 0 && errno == EINTR);
    socket->dry = result > 0 && (size_t)result < size;
    return result;
}

static ssize_t read_octets(struct tls_socket *socket)
{
    ssize_t result = read_into(socket, socket->ahead, sizeof(socket->ahead));

    socket->at = 0;
    socket->length = result > 0 ? (size_t)result : 0;
    return result;
}

/* Of what lies ahead, the octets of TLS; 0: there are none, or the last chunk has come. */
static ssize_t take_chunks(struct tls_socket *socket)
{
    int result = httpwire_read(&socket->reader, socket->ahead, socket->length);

    socket->length = result > 0 ? (size_t)result : 0;
    if (result >= 0)
        return result;
    errno = TLS_SOCKET_NO_CHUNKS;
    return -1;
}

static ssize_t read_ahead(struct tls_socket *socket)
{
    ssize_t result;

    if (!socket->chunked_in)
        return read_octets(socket);
    do {
        if (httpwire_ended(&socket->reader))
            return 0;
        if (httpwire_broken(&socket->reader)) {
            errno = TLS_SOCKET_NO_CHUNKS;
            return -1;
        }
        result = read_octets(socket);
        if (result <= 0)
            return result;
        result = take_chunks(socket);
    } while (result == 0);
    return result;
}

static size_t take_ahead(struct tls_socket *socket, void *memory, size_t size)
{
    size_t left = socket->length - socket->at, count = size < left ? size : left;

    memcpy(memory, socket->ahead + socket->at, count);
    socket->at += count;
    return count;
}

static int read_in(BIO *bio, char *data, int length)
{
    struct tls_socket *socket = BIO_get_data(bio);
    ssize_t result;

    if (socket->at == socket->length) {
        result = read_ahead(socket);
        if (result == 0)
            BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
        if (result <= 0)
            return result_of(bio, result, BIO_FLAGS_READ);
    }
    return result_of(bio, (ssize_t)take_ahead(socket, data, (size_t)length), BIO_FLAGS_READ);
}

/* ------------------------------------------------------------ without TLS */

ssize_t tls_socket_receive(struct tls_socket *socket, void *memory, size_t size)
{
    ssize_t result = 1;

    if (socket->at == socket->length) {
        if (!socket->chunked_in)
            result = read_into(socket, memory, size);
        else
            result = read_ahead(socket);
        if (result <= 0 || !socket->chunked_in) {
            socket->error = result < 0 ? errno : 0;
            return result;
        }
    }
    return (ssize_t)take_ahead(socket, memory, size);
}

ssize_t tls_socket_discard(struct tls_socket *socket, size_t size)
{
    ssize_t result;

    do
        result = recv(socket->in, NULL, size, MSG_TRUNC);
    while (result < 0 && errno == EINTR);
    socket->dry = result > 0 && (size_t)result < size;
    socket->error = result < 0 ? errno : 0;
    return result;
}

/* A segment that was not taken whole ends the call: what is left of it goes first the next time. */
static ssize_t send_segments(struct tls_socket *socket, const struct iovec *segments, size_t count)
{
    struct mmsghdr messages[TLS_SOCKET_SEGMENTS];
    ssize_t sum = 0;
    int sent;

    count = count < TLS_SOCKET_SEGMENTS ? count : TLS_SOCKET_SEGMENTS;
    for (size_t i = 0; i < count; i++)
        messages[i].msg_hdr =
            (struct msghdr){.msg_iov = (struct iovec *)(uintptr_t)&segments[i], .msg_iovlen = 1};
    do
        sent = sendmmsg(socket->out, messages, (unsigned)count, MSG_NOSIGNAL | MSG_EOR);
    while (sent < 0 && errno == EINTR);
    for (int i = 0; i < sent; i++)
        sum += messages[i].msg_len;
    return sent < 0 ? -1 : sum;
}

ssize_t tls_socket_send(struct tls_socket *socket, const struct iovec *segments, size_t count)
{
    ssize_t result;

    if (socket->chunked_out) {
        do
            result = write_chunk(socket, segments[0].iov_base, segments[0].iov_len);
        while (result < 0 && errno == EINTR);
    } else {
        result = send_segments(socket, segments, count);
    }
    socket->error = result < 0 ? errno : 0;
    return result;
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

/*
 * False: it is longer than it can be. That it is not chunked is what the first read says: whoever
 * has the connection hears of it as of any other failure of the network, and not as of no memory.
 */
static bool take_early(struct tls_socket *socket, const struct transport *transport)
{
    if (transport->early_length > TRANSPORT_EARLY_MAX)
        return false;
    if (transport->early_length == 0)
        return true;
    memcpy(socket->ahead, transport->early, transport->early_length);
    socket->length = transport->early_length;
    if (socket->chunked_in)
        (void)take_chunks(socket);
    return true;
}

BIO *tls_socket_bio(struct tls_socket *socket, const struct transport *transport)
{
    BIO *bio = NULL;

    socket->in = transport->in;
    socket->out = transport->out;
    socket->chunked_in = transport->chunked_in;
    socket->chunked_out = transport->chunked_out;
    if (!take_early(socket, transport))
        return NULL;
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

bool tls_socket_drained(const struct tls_socket *socket)
{
    return socket->dry && socket->at == socket->length &&
           !(socket->chunked_in && httpwire_ended(&socket->reader));
}

void tls_socket_fini(struct tls_socket *socket)
{
    BIO_meth_free(socket->method);
}
