#include "config.h"

#include "common/tunnel/localports.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/addr.h"
#include "tests/unit/unit.h"

static struct localports *ports;

static void start(void)
{
    char error[256] = "";

    ck_assert_msg(localports_new(&ports, error, sizeof(error)) == 0, "%s", error);
}

static void stop(void)
{
    localports_free(ports);
}

static struct addr name_of(int fd)
{
    struct sockaddr_storage name = {0};
    socklen_t length = sizeof(name);

    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&name, &length), 0);
    return addr_from_sockaddr((struct sockaddr *)&name);
}

static int bind_loopback(int fd, uint16_t port)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    return bind(fd, (struct sockaddr *)&to, sizeof(to));
}

static int listen_at_loopback(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(bind_loopback(fd, 0), 0);
    ck_assert_int_eq(listen(fd, LOCALPORTS), 0);
    return fd;
}

START_TEST(test_list)
{
    const uint16_t *list = localports_list(ports);

    for (size_t i = 0; i < LOCALPORTS; i++) {
        ck_assert_uint_ne(list[i], 0);
        for (size_t j = 0; j < i; j++)
            ck_assert_uint_ne(list[i], list[j]);
        ck_assert(localports_has(ports, list[i]));
    }
    ck_assert(!localports_has(ports, 1));
}
END_TEST

/* One connection from each of them to the same place, and each port is in the list. */
START_TEST(test_connect)
{
    const uint16_t *list = localports_list(ports);
    int listener = listen_at_loopback(), fds[LOCALPORTS];
    struct sockaddr_storage name;
    struct addr to = name_of(listener);
    socklen_t length = addr_to_sockaddr(&to, &name);

    for (size_t i = 0; i < LOCALPORTS; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM, 0);
        ck_assert_int_eq(localports_bind(ports, fds[i], AF_INET), 0);
        ck_assert_int_eq(connect(fds[i], (struct sockaddr *)&name, length), 0);
        ck_assert_uint_eq(name_of(fds[i]).port, list[i]);
    }
    for (size_t i = 0; i < LOCALPORTS; i++)
        close(fds[i]);
    close(listener);
}
END_TEST

/* Nobody else has them as long as we do, and with us they go. */
START_TEST(test_held)
{
    uint16_t port = localports_list(ports)[3];
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    ck_assert_int_lt(bind_loopback(fd, port), 0);
    ck_assert_int_eq(errno, EADDRINUSE);
    stop();
    ck_assert_int_eq(bind_loopback(fd, port), 0);
    close(fd);
    start();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("localports");
    TCase *tc = tcase_create("localports");

    tcase_add_checked_fixture(tc, start, stop);
    tcase_add_test(tc, test_list);
    tcase_add_test(tc, test_connect);
    tcase_add_test(tc, test_held);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
