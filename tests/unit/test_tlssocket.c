#include "common/tunnel/tlssocket.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/unit.h"

struct rig {
    int fds[2]; /* ours, the peer's */
    struct tls_socket *socket;
    BIO *bio;
};

static struct rig rig_over(struct transport *transport)
{
    struct rig rig = {.socket = calloc(1, sizeof(*rig.socket))};

    ck_assert_ptr_nonnull(rig.socket);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, rig.fds), 0);
    transport->in = transport->out = rig.fds[0];
    rig.bio = tls_socket_bio(rig.socket, transport);
    ck_assert_ptr_nonnull(rig.bio);
    return rig;
}

static struct rig rig_new(void)
{
    return rig_over(&(struct transport){.in = -1});
}

static void rig_free(struct rig *rig)
{
    BIO_free(rig->bio);
    tls_socket_fini(rig->socket);
    close(rig->fds[0]);
    if (rig->fds[1] >= 0)
        close(rig->fds[1]);
    free(rig->socket);
}

static void peer_sends(const struct rig *rig, const void *data, size_t length)
{
    ck_assert_int_eq(send(rig->fds[1], data, length, 0), (ssize_t)length);
}

static void expect(const struct rig *rig, int length, const char *text)
{
    char buffer[64] = "";

    ck_assert_int_eq(BIO_read(rig->bio, buffer, length), (int)strlen(text));
    ck_assert_str_eq(buffer, text);
}

static void expect_nothing(const struct rig *rig)
{
    char octet;

    ck_assert_int_lt(BIO_read(rig->bio, &octet, 1), 0);
    ck_assert_int_ne(BIO_should_retry(rig->bio), 0);
    ck_assert_int_ne(BIO_should_read(rig->bio), 0);
}

/* One read of the socket serves several; the next answer is known without asking, once. */
START_TEST(test_ahead)
{
    struct rig rig = rig_new();

    expect_nothing(&rig);
    peer_sends(&rig, "headbodyhead", 12);
    expect(&rig, 4, "head");
    peer_sends(&rig, "more", 4);
    expect(&rig, 4, "body");
    expect(&rig, 9, "head");
    expect_nothing(&rig);
    expect(&rig, 9, "more");
    expect_nothing(&rig);
    expect_nothing(&rig);
    peer_sends(&rig, "x", 1);
    expect(&rig, 1, "x");
    rig_free(&rig);
}
END_TEST

/* A full buffer says nothing of what is behind it. */
START_TEST(test_full)
{
    struct rig rig = rig_new();
    char *data = calloc(1, TLS_SOCKET_AHEAD);
    int most = TLS_SOCKET_AHEAD;

    ck_assert_ptr_nonnull(data);
    ck_assert_int_eq(setsockopt(rig.fds[1], SOL_SOCKET, SO_SNDBUF, &(int){1 << 20}, sizeof(int)),
                     0);
    peer_sends(&rig, data, TLS_SOCKET_AHEAD);
    peer_sends(&rig, "end", 3);
    ck_assert_int_eq(BIO_read(rig.bio, data, most), most);
    expect(&rig, 9, "end");
    expect_nothing(&rig);
    free(data);
    rig_free(&rig);
}
END_TEST

/* Whether the next read finds nothing is known when all that a short read brought has been taken.
 */
START_TEST(test_drained)
{
    struct rig rig = rig_new();

    ck_assert(!tls_socket_drained(rig.socket));
    peer_sends(&rig, "headbody", 8);
    expect(&rig, 4, "head");
    ck_assert(!tls_socket_drained(rig.socket));
    expect(&rig, 4, "body");
    ck_assert(tls_socket_drained(rig.socket));
    peer_sends(&rig, "x", 1);
    expect_nothing(&rig);
    ck_assert(!tls_socket_drained(rig.socket));
    expect(&rig, 4, "x");
    ck_assert(tls_socket_drained(rig.socket));
    rig_free(&rig);
}
END_TEST

/* The end comes after all that was sent. */
START_TEST(test_end)
{
    struct rig rig = rig_new();
    char octet;

    peer_sends(&rig, "last", 4);
    close(rig.fds[1]);
    rig.fds[1] = -1;
    expect(&rig, 9, "last");
    expect_nothing(&rig);
    ck_assert_int_eq(BIO_read(rig.bio, &octet, 1), 0);
    ck_assert_int_ne(BIO_eof(rig.bio), 0);
    rig_free(&rig);
}
END_TEST

/* What is not chunked is the same failure when it came early and when it comes later, for good. */
static const struct {
    const char *early, *later, *read; /* read: before the failure */
} unchunked[] = {
    {"zz\r\n", "", ""},
    {"zz\r\n", "1\r\na\r\n", ""},
    {"3\r\nabcd\r\n", "", ""},
    {"3\r\nabc\r\n", "zz\r\n", "abc"},
    {"3", "x", ""},
    {"", "\r\n", ""},
};

START_TEST(test_unchunked)
{
    struct transport transport = {.chunked_in = true,
                                  .early = unchunked[_i].early,
                                  .early_length = strlen(unchunked[_i].early)};
    struct rig rig = rig_over(&transport);
    char octet;

    peer_sends(&rig, unchunked[_i].later, strlen(unchunked[_i].later));
    if (unchunked[_i].read[0])
        expect(&rig, 9, unchunked[_i].read);
    for (unsigned again = 0; again < 2; again++) {
        ck_assert_int_lt(BIO_read(rig.bio, &octet, 1), 0);
        ck_assert_int_eq(BIO_should_retry(rig.bio), 0);
        ck_assert_int_eq(rig.socket->error, TLS_SOCKET_NO_CHUNKS);
        ck_assert_int_lt(tls_socket_receive(rig.socket, &octet, 1), 0);
        ck_assert_int_eq(rig.socket->error, TLS_SOCKET_NO_CHUNKS);
    }
    rig_free(&rig);
}
END_TEST

/* Nobody is there any more: an error, and no signal. */
START_TEST(test_write)
{
    struct rig rig = rig_new();
    char got[8] = "";

    ck_assert_int_eq(BIO_write(rig.bio, "abc", 3), 3);
    ck_assert_int_eq(recv(rig.fds[1], got, sizeof(got), 0), 3);
    ck_assert_str_eq(got, "abc");
    close(rig.fds[1]);
    rig.fds[1] = -1;
    ck_assert_int_lt(BIO_write(rig.bio, "abc", 3), 0);
    ck_assert_int_eq(BIO_should_retry(rig.bio), 0);
    ck_assert_int_eq(rig.socket->error, EPIPE);
    rig_free(&rig);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tlssocket");
    TCase *tcase = tcase_create("tlssocket");

    tcase_add_test(tcase, test_ahead);
    tcase_add_test(tcase, test_full);
    tcase_add_test(tcase, test_drained);
    tcase_add_test(tcase, test_end);
    tcase_add_loop_test(tcase, test_unchunked, 0, sizeof(unchunked) / sizeof(unchunked[0]));
    tcase_add_test(tcase, test_write);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
