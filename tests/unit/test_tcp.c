#include "common/tunnel/tcp.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/unit.h"

static int number_of(int fd, int level, int name)
{
    socklen_t length = sizeof(int);
    int value = -1;

    ck_assert_int_eq(getsockopt(fd, level, name, &value, &length), 0);
    return value;
}

/* family, and where its sockets keep the DSCP. */
static const struct {
    int family, level, name;
} families[] = {
    {AF_INET, IPPROTO_IP, IP_TOS},
    {AF_INET6, IPPROTO_IPV6, IPV6_TCLASS},
};

START_TEST(test_options)
{
    int fd = socket(families[_i].family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char congestion[32];
    unsigned refused;

    if (fd < 0) {
        ck_assert_int_eq(families[_i].family, AF_INET6);
        return;
    }
    refused = tcp_set_options(fd, 46);
    tcp_congestion(fd, congestion, sizeof(congestion));
    ck_assert_int_eq(strcmp(congestion, "bbr") != 0, refused >> TCP_OPTION_BBR & 1);
    /* Every kernel that we run on has these. */
    ck_assert_uint_eq(refused & (1u << TCP_OPTION_NODELAY | 1u << TCP_OPTION_NOTSENT_LOWAT |
                                 1u << TCP_OPTION_USER_TIMEOUT),
                      0);
    ck_assert_int_eq(number_of(fd, IPPROTO_TCP, TCP_NODELAY), 1);
    ck_assert_int_eq(number_of(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT), 32 * 1024);
    ck_assert_int_eq(number_of(fd, families[_i].level, families[_i].name), 46 << 2);
    close(fd);
}
END_TEST

/* A socket that is no TCP takes nothing: each is named. */
START_TEST(test_refused)
{
    int fds[2];
    char congestion[32];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    ck_assert_uint_eq(tcp_set_options(fds[0], 46), (1u << TCP_OPTIONS) - 1);
    tcp_congestion(fds[0], congestion, sizeof(congestion));
    ck_assert_str_eq(congestion, "unknown");
    for (enum tcp_option i = 0; i < TCP_OPTIONS; i++)
        ck_assert_uint_gt(strlen(tcp_option_name(i)), 2);
    close(fds[0]);
    close(fds[1]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tcp");
    TCase *tcase = tcase_create("tcp");

    tcase_add_loop_test(tcase, test_options, 0, sizeof(families) / sizeof(families[0]));
    tcase_add_test(tcase, test_refused);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
