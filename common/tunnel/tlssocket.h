/*
 * The socket under a TLS connection, as OpenSSL sees it: a BIO of our own, because OpenSSL's
 * writes with write(2), and a peer that went away would end the process with SIGPIPE; and because
 * it would ask the kernel twice for each record, and once more to hear that there is none.
 */
#ifndef COMMON_TUNNEL_TLSSOCKET_H
#define COMMON_TUNNEL_TLSSOCKET_H

#include <errno.h>
#include <openssl/bio.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "common/tunnel/httpwire.h"
#include "common/tunnel/transport.h"

enum {
    TLS_SOCKET_AHEAD = 64 * 1024,
    /* The error when HTTP's chunks were to come and something else did: no socket of TCP has it. */
    TLS_SOCKET_NO_CHUNKS = EBADMSG,
};

struct tls_socket {
    int in, out; /* not blocking; the caller's */
    int error;   /* the last errno, or TLS_SOCKET_NO_CHUNKS */
    bool chunked_in, chunked_out;
    struct httpwire_reader reader;
    struct httpwire_writer writer;
    BIO_METHOD *method;
    bool dry; /* the last read got all that there was */
    size_t at, length;
    uint8_t ahead[TLS_SOCKET_AHEAD]; /* what was read, as it came: encrypted */
};

/*
 * NULL: no memory, or too much came early; that it is not chunked is what the first read says. The
 * BIO must be freed before tls_socket_fini(), which is due in any case.
 */
BIO *tls_socket_bio(struct tls_socket *socket, const struct transport *transport);
/* Nothing lies ahead, and when the socket was last read nothing was left in it. */
bool tls_socket_drained(const struct tls_socket *socket);
/*
 * The octets themselves, when TLS is over: first what was read ahead of it. As read(2) and
 * write(2), with the reason of a failure in error; but reading knows when there is nothing more.
 * Each segment is written at once and no other octets are added to it (MSG_EOR), where there is one
 * socket and no HTTP around it; at most TLS_SOCKET_SEGMENTS of them.
 */
enum { TLS_SOCKET_SEGMENTS = 64 };
ssize_t tls_socket_receive(struct tls_socket *socket, void *memory, size_t size);
/* The same with size octets that nobody wants, without a copy. No HTTP, and nothing lies ahead. */
ssize_t tls_socket_discard(struct tls_socket *socket, size_t size);
ssize_t tls_socket_send(struct tls_socket *socket, const struct iovec *segments, size_t count);
void tls_socket_fini(struct tls_socket *socket);

#endif
