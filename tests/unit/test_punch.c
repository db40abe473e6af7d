/*
 * From the port of a connection that there is: to somebody who listens, who refuses, and who comes
 * later. That two come at once is for test_punch.sh, which has NAT.
 */
#include "config.h"

#include "common/tunnel/punch.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "tests/unit/unit.h"

static struct addr name_of(int fd)
{
    struct sockaddr_storage name = {0};
    socklen_t length = sizeof(name);

    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&name, &length), 0);
    return addr_from_sockaddr((struct sockaddr *)&name);
}

static int bound(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(punch_share(fd), 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

static int listener;  /* a dmz-relay */
static int connected; /* to it, from a port that is shared */
static struct addr local;

static void setup(void)
{
    struct sockaddr_storage name;
    struct addr there;
    socklen_t length;

    listener = bound();
    ck_assert_int_eq(listen(listener, 8), 0);
    there = name_of(listener);
    length = addr_to_sockaddr(&there, &name);
    connected = bound();
    ck_assert_int_eq(connect(connected, (struct sockaddr *)&name, length), 0);
    local = name_of(connected);
}

static void teardown(void)
{
    close(connected);
    close(listener);
}

static enum punch_state run(struct punch *punch)
{
    enum punch_state state;

    while ((state = punch_go_on(punch, clock_now_us())) == PUNCH_WAITS)
        usleep(1000);
    return state;
}

START_TEST(test_open)
{
    int other = bound(), fd;
    struct addr to = name_of(other), own;
    struct punch punch;

    ck_assert_int_eq(listen(other, 8), 0);
    punch_begin(&punch, &local, &to, clock_now_us());
    ck_assert_int_eq(run(&punch), PUNCH_IS_OPEN);
    fd = punch_take(&punch);
    punch_end(&punch);
    ck_assert_int_ge(fd, 0);
    own = name_of(fd);
    ck_assert(addr_equal(&own, &local));
    ck_assert_int_eq(send(fd, "x", 1, MSG_NOSIGNAL), 1);
    ck_assert_int_eq(send(connected, "x", 1, MSG_NOSIGNAL), 1);
    close(fd);
    close(other);
}
END_TEST

/* Refused each time, until the other side is ready, or the time is over. */
START_TEST(test_refused)
{
    int other = bound();
    struct addr to = name_of(other);
    struct punch punch;
    uint64_t now_us = 1000000;

    punch_begin(&punch, &local, &to, now_us);
    for (; punch.tries < 5; now_us += PUNCH_PAUSE_US)
        ck_assert_int_eq(punch_go_on(&punch, now_us), PUNCH_WAITS);
    if (_i == 0) {
        ck_assert_int_eq(listen(other, 8), 0);
        while (punch_go_on(&punch, now_us) == PUNCH_WAITS)
            now_us += PUNCH_PAUSE_US;
        ck_assert_int_eq(punch.state, PUNCH_IS_OPEN);
    } else {
        ck_assert_int_eq(punch_go_on(&punch, 1000000 + PUNCH_MAX_US), PUNCH_FAILED);
        ck_assert_int_eq(punch.error, ECONNREFUSED);
        ck_assert_int_eq(punch.fd, -1);
    }
    punch_end(&punch);
    close(other);
}
END_TEST

/* A port that is another's, who does not share it. */
START_TEST(test_foreign_port)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int foreign = socket(AF_INET, SOCK_STREAM, 0);
    struct addr own, to = name_of(listener);
    struct punch punch;

    ck_assert_int_eq(bind(foreign, (struct sockaddr *)&any, sizeof(any)), 0);
    own = name_of(foreign);
    punch_begin(&punch, &own, &to, clock_now_us());
    ck_assert_int_eq(punch_go_on(&punch, clock_now_us()), PUNCH_FAILED);
    ck_assert_int_eq(punch.error, EADDRINUSE);
    punch_end(&punch);
    close(foreign);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("punch");
    TCase *tc = tcase_create("punch");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, test_open);
    tcase_add_loop_test(tc, test_refused, 0, 2);
    tcase_add_test(tc, test_foreign_port);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
