/* The sockets of the ng protocol, on loopback, with an answer that says what was asked. */
#include "config.h"

#include "inner-relay/ngsocket.h"

#include <errno.h>
#include <ev.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/err.h"
#include "tests/unit/unit.h"

enum { PATIENCE_MS = 10000, LARGE = 60000 };

static struct ev_loop *loop;
static struct ngsocket *sockets;
static char folder[] = "/tmp/test_ngsocket.XXXXXX";
static char path[64];
static unsigned asked;
static unsigned work_us; /* what an answer takes */

/* "<" and the request's own octets; of a request "large" many. NULL for "silence". */
static char *on_request(void *ctx, const struct ng_asker *asker, const char *request, size_t length,
                        size_t *reply_length)
{
    bool large = length == 7 && memcmp(request, "5:large", 7) == 0;
    uint64_t began_us = clock_now_us();
    char *reply;

    (void)ctx;
    asked++;
    ck_assert_int_eq(asker->stream, asker->from.family == 0);
    while (clock_now_us() - began_us < work_us)
        ;
    if (length == 7 && memcmp(request, "silence", 7) == 0)
        return NULL;
    *reply_length = large ? LARGE : length + 1;
    reply = malloc(*reply_length);
    memset(reply, '<', *reply_length);
    if (!large)
        memcpy(reply + 1, request, length);
    return reply;
}

static const struct ngsocket_hooks hooks = {.answer = on_request};

/* A port of loopback that is free now. */
static struct addr free_port(int *fd)
{
    static const uint8_t ip[4] = {127, 0, 0, 1};
    struct addr addr = addr_from_ip4(ip, 0);
    struct sockaddr_storage name;
    socklen_t length = addr_to_sockaddr(&addr, &name);

    *fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(*fd, (struct sockaddr *)&name, length), 0);
    length = sizeof(name);
    ck_assert_int_eq(getsockname(*fd, (struct sockaddr *)&name, &length), 0);
    return addr_from_sockaddr((struct sockaddr *)&name);
}

static struct addr place; /* of the UDP socket */
static int proxy;         /* connected to it */

static void connect_proxy(void)
{
    struct sockaddr_storage name;
    socklen_t length = addr_to_sockaddr(&place, &name);

    proxy = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(proxy, (struct sockaddr *)&name, length), 0);
}

static void set_up(void)
{
    struct conf_sockets settings = {.count = 2};
    static const struct conf_nets nobody;
    char error[256] = "";
    int fd;

    asked = work_us = 0;
    loop = ev_loop_new(EVFLAG_AUTO);
    memcpy(folder + sizeof(folder) - 7, "XXXXXX", 6);
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/ng", folder);
    place = free_port(&fd);
    close(fd);
    settings.socket[0].addr = place;
    snprintf(settings.socket[1].path, sizeof(settings.socket[1].path), "%s", path);
    ck_assert_msg(ngsocket_open(&sockets, loop, &settings, &nobody, &hooks, error, sizeof(error)) ==
                      0,
                  "%s", error);
    connect_proxy();
}

static void tear_down(void)
{
    ngsocket_close(sockets);
    ck_assert_int_lt(access(path, F_OK), 0); /* its file is gone */
    close(proxy);
    ck_assert_int_eq(rmdir(folder), 0);
    ev_loop_destroy(loop);
}

/* Turns of the loop until fd has something to read. */
static void turn_until_readable(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

    for (unsigned ms = 0; poll(&poll_fd, 1, 0) == 0; ms++) {
        ck_assert_uint_lt(ms, PATIENCE_MS);
        ev_run(loop, EVRUN_NOWAIT);
        (void)poll(&poll_fd, 1, 1);
    }
}

static ssize_t exchange(int fd, const char *request, char *reply, size_t size)
{
    ck_assert_int_eq(send(fd, request, strlen(request), 0), (ssize_t)strlen(request));
    turn_until_readable(fd);
    return recv(fd, reply, size, 0);
}

START_TEST(test_udp)
{
    char reply[64];

    set_up();
    ck_assert_int_eq(exchange(proxy, "one", reply, sizeof(reply)), 4);
    ck_assert_mem_eq(reply, "<one", 4);
    /* No reply is no reply; the next one is answered. */
    ck_assert_int_eq(send(proxy, "silence", 7, 0), 7);
    ck_assert_int_eq(exchange(proxy, "two", reply, sizeof(reply)), 4);
    ck_assert_mem_eq(reply, "<two", 4);
    ck_assert_uint_eq(asked, 3);
    ck_assert_uint_eq(ngsocket_foreign(sockets), 0);
    tear_down();
}
END_TEST

/* A helping for each turn: as many as fit, at least one, and none is lost. */
START_TEST(test_helpings)
{
    enum { REQUESTS = 20 };
    unsigned turns = 0;

    set_up();
    for (unsigned i = 0; i < REQUESTS; i++)
        ck_assert_int_eq(send(proxy, "silence", 7, 0), 7);
    work_us = 500;
    while (asked < REQUESTS) {
        unsigned before = asked;

        ck_assert_uint_lt(turns++, PATIENCE_MS);
        ev_run(loop, EVRUN_NOWAIT);
        ck_assert_uint_le(asked - before, 1);
    }
    tear_down();
}
END_TEST

static int connect_stream(void)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(name.sun_path, sizeof(name.sun_path), "%s", path);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&name, sizeof(name)), 0);
    return fd;
}

/* All until the other side closes. */
static size_t read_all(int fd, char *out, size_t size)
{
    size_t used = 0;
    ssize_t n;

    do {
        turn_until_readable(fd);
        n = recv(fd, out + used, size - used, 0);
        ck_assert_int_ge(n, 0);
        used += (size_t)n;
    } while (n > 0);
    return used;
}

/* A request is answered as soon as it is whole, in however many pieces it comes. */
START_TEST(test_stream)
{
    static const char request[] = "d7:command4:pinge";
    char reply[64];
    int fd;

    set_up();
    fd = connect_stream();
    for (size_t i = 0; i < sizeof(request) - 1; i++) {
        ck_assert_uint_eq(asked, 0);
        ck_assert_int_eq(send(fd, request + i, 1, 0), 1);
        ev_run(loop, EVRUN_NOWAIT);
        ev_run(loop, EVRUN_NOWAIT);
    }
    ck_assert_uint_eq(read_all(fd, reply, sizeof(reply)), sizeof(request));
    ck_assert_mem_eq(reply, "<d7:command4:pinge", sizeof(request));
    close(fd);
    /* What never can be whole is answered too, and what ends early. */
    fd = connect_stream();
    ck_assert_int_eq(send(fd, "nonsense", 8, 0), 8);
    ck_assert_uint_eq(read_all(fd, reply, sizeof(reply)), 9);
    close(fd);
    fd = connect_stream();
    ck_assert_int_eq(send(fd, "{\"a\"", 4, 0), 4);
    shutdown(fd, SHUT_WR);
    ck_assert_uint_eq(read_all(fd, reply, sizeof(reply)), 5);
    close(fd);
    ck_assert_uint_eq(asked, 3);
    tear_down();
}
END_TEST

START_TEST(test_large_reply)
{
    static char reply[LARGE + 1];
    int fd;

    set_up();
    fd = connect_stream();
    ck_assert_int_eq(send(fd, "5:large", 7, 0), 7);
    ck_assert_uint_eq(read_all(fd, reply, sizeof(reply)), LARGE);
    close(fd);
    tear_down();
}
END_TEST

/* Clients that say nothing take the places, and no more; when one goes there is room again. */
START_TEST(test_clients)
{
    int fds[NGSOCKET_CLIENTS_MAX + 1];
    char reply[64];
    int fd;

    set_up();
    for (size_t i = 0; i < NGSOCKET_CLIENTS_MAX; i++) {
        fds[i] = connect_stream();
        ev_run(loop, EVRUN_NOWAIT);
    }
    fd = connect_stream();
    ck_assert_uint_eq(read_all(fd, reply, sizeof(reply)), 0);
    close(fd);
    close(fds[0]);
    ev_run(loop, EVRUN_NOWAIT);
    fd = connect_stream();
    ck_assert_int_eq(send(fd, "1:x", 3, 0), 3);
    ck_assert_uint_eq(read_all(fd, reply, sizeof(reply)), 4);
    close(fd);
    for (size_t i = 1; i < NGSOCKET_CLIENTS_MAX; i++)
        close(fds[i]);
    tear_down();
}
END_TEST

START_TEST(test_mode)
{
    struct stat st;

    set_up();
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert(S_ISSOCK(st.st_mode));
    ck_assert_uint_eq(st.st_mode & 0777, 0660);
    tear_down();
}
END_TEST

START_TEST(test_port_in_use)
{
    struct conf_sockets settings = {.count = 1};
    static const struct conf_nets nobody;
    struct ngsocket *made;
    char error[256] = "";
    int fd;

    loop = ev_loop_new(EVFLAG_AUTO);
    settings.socket[0].addr = free_port(&fd);
    ck_assert_int_eq(ngsocket_open(&made, loop, &settings, &nobody, &hooks, error, sizeof(error)),
                     ERR_SYSTEM);
    ck_assert_ptr_null(made);
    ck_assert_msg(strstr(error, "[signalling] ng: udp:127.0.0.1:") &&
                      strstr(error, "cannot be opened: Address already in use"),
                  "%s", error);
    close(fd);
    ev_loop_destroy(loop);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ngsocket");
    TCase *tc = tcase_create("ngsocket");

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, test_udp);
    tcase_add_test(tc, test_helpings);
    tcase_add_test(tc, test_stream);
    tcase_add_test(tc, test_large_reply);
    tcase_add_test(tc, test_clients);
    tcase_add_test(tc, test_mode);
    tcase_add_test(tc, test_port_in_use);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
