#include "tests/bench/tlspair.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "tests/tools/cli.h"

static void must(bool good, const char *what)
{
    if (!good)
        cli_die("%s: it does not work here", what);
}

static SSL_CTX *tls_context(bool server)
{
    SSL_CTX *ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x509 = X509_new();

    must(ctx && key && x509 && SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) &&
             SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256"),
         "TLS 1.3");
    SSL_CTX_set_read_ahead(ctx, 1);
    SSL_CTX_set_default_read_buffer_len(ctx, 65536);
    ASN1_INTEGER_set(X509_get_serialNumber(x509), 1);
    X509_gmtime_adj(X509_getm_notBefore(x509), 0);
    X509_gmtime_adj(X509_getm_notAfter(x509), 86400);
    must(X509_set_pubkey(x509, key) && X509_sign(x509, key, EVP_sha256()) > 0 &&
             SSL_CTX_use_certificate(ctx, x509) == 1 && SSL_CTX_use_PrivateKey(ctx, key) == 1,
         "a certificate");
    X509_free(x509);
    EVP_PKEY_free(key);
    return ctx;
}

/* A connection to itself. */
static void tcp_pair(int fds[2])
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(name);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int one = 1, buffer = 1 << 20;

    fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
    if (listener < 0 || fds[0] < 0 || bind(listener, (struct sockaddr *)&name, length) < 0 ||
        listen(listener, 1) < 0 || getsockname(listener, (struct sockaddr *)&name, &length) < 0 ||
        connect(fds[0], (struct sockaddr *)&name, length) < 0 ||
        (fds[1] = accept(listener, NULL, NULL)) < 0)
        cli_die("a TCP connection on loopback: %s", strerror(errno));
    for (int i = 0; i < 2; i++)
        setsockopt(fds[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    close(listener);
}

/* How long a read waits; 0: for ever. */
static void set_patience(int fd, unsigned us)
{
    const struct timeval patience = {.tv_usec = us};

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
}

/* Both sides in one thread: they go on in turns, on sockets that do not wait for long. */
static bool shake_hands(SSL *tls[2], const int fds[2])
{
    int done[2] = {0};

    for (unsigned turn = 0; turn < 1000000 && !(done[0] == 1 && done[1] == 1); turn++)
        for (int i = 0; i < 2; i++) {
            set_patience(fds[i], 1000);
            if (done[i] != 1)
                done[i] = SSL_do_handshake(tls[i]);
        }
    return done[0] == 1 && done[1] == 1;
}

void tlspair_open(SSL *tls[2])
{
    int fds[2];

    tcp_pair(fds);
    for (int i = 0; i < 2; i++) {
        SSL_CTX *ctx = tls_context(i == 1);

        tls[i] = SSL_new(ctx);
        must(tls[i] && SSL_set_fd(tls[i], fds[i]), "TLS");
        (i == 1 ? SSL_set_accept_state : SSL_set_connect_state)(tls[i]);
        SSL_set_mode(tls[i], SSL_MODE_ENABLE_PARTIAL_WRITE);
        SSL_CTX_free(ctx);
    }
    must(shake_hands(tls, fds), "a TLS handshake");
    for (int i = 0; i < 2; i++)
        set_patience(fds[i], 0);
}
