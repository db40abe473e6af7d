#include "common/daemon/activation.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/addr.h"
#include "common/base/err.h"
#include "tests/unit/unit.h"

enum kind { LISTENS, DOES_NOT_LISTEN, DATAGRAMS, UNIX, NONE };

static int open_kind(enum kind kind, struct addr *at)
{
    uint8_t ip[4] = {127, 0, 0, 1};
    struct sockaddr_storage storage;
    socklen_t length;
    int fd = kind == NONE ? -1
                          : socket(kind == UNIX ? AF_UNIX : AF_INET,
                                   kind == DATAGRAMS ? SOCK_DGRAM : SOCK_STREAM, 0);

    *at = addr_from_ip4(ip, 1);
    if (kind == UNIX || kind == NONE)
        return fd;
    at->port = 0;
    length = addr_to_sockaddr(at, &storage);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&storage, length), 0);
    if (kind == LISTENS)
        ck_assert_int_eq(listen(fd, 1), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&storage, &length), 0);
    *at = addr_from_sockaddr((struct sockaddr *)&storage);
    return fd;
}

static const struct {
    enum kind kind;
    const char *pid; /* "me": this process */
    const char *count;
    uint16_t other_port; /* what the ini file has beside it */
    int result;
    bool taken;
    const char *error;
} rows[] = {
    {LISTENS, "me", "1", 0, 0, true, ""},
    {LISTENS, NULL, NULL, 0, 0, false, ""},
    {LISTENS, "me", NULL, 0, 0, false, ""},
    {LISTENS, NULL, "1", 0, 0, false, ""},
    {LISTENS, "1", "1", 0, 0, false, ""},
    {LISTENS, "", "1", 0, 0, false, ""},
    {NONE, "me", "0", 0, 0, false, ""},
    {LISTENS, "me", "2", 0, ERR_CONFIG, false, "LISTEN_FDS is 2; one socket"},
    {LISTENS, "me", "-1", 0, ERR_CONFIG, false, "LISTEN_FDS is -1; one socket"},
    {LISTENS, "me", "1", 1, ERR_CONFIG, false, "the same address in both would be right"},
    {DOES_NOT_LISTEN, "me", "1", 0, ERR_CONFIG, false, "no TCP socket that listens"},
    {DATAGRAMS, "me", "1", 0, ERR_CONFIG, false, "no TCP socket that listens"},
    {UNIX, "me", "1", 0, ERR_CONFIG, false, "no TCP socket that listens"},
    {NONE, "me", "1", 0, ERR_CONFIG, false, "no TCP socket that listens"},
};

START_TEST(test_take)
{
    struct addr wanted;
    char pid[32], error[256] = "";
    int first = open_kind(rows[_i].kind, &wanted), fd = -2;

    wanted.port = (uint16_t)(wanted.port ^ rows[_i].other_port);
    snprintf(pid, sizeof(pid), "%ld", (long)getpid());
    ck_assert_int_eq(
        activation_take(rows[_i].pid && strcmp(rows[_i].pid, "me") == 0 ? pid : rows[_i].pid,
                        rows[_i].count, first, &wanted, &fd, error, sizeof(error)),
        rows[_i].result);
    ck_assert_int_eq(fd, rows[_i].taken ? first : -1);
    ck_assert_msg(strstr(error, rows[_i].error), "%s", error);
    if (rows[_i].taken) {
        ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
        ck_assert_int_ne(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    }
    if (first >= 0)
        close(first);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("activation");
    TCase *tc = tcase_create("activation");

    tcase_add_loop_test(tc, test_take, 0, sizeof(rows) / sizeof(rows[0]));
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
