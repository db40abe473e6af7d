/* The sockets of rtp-prime in an event loop, on loopback addresses of this process. */
#include "rtp-prime/proxy.h"

#include <ev.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/protocol.h"
#include "tests/unit/allocs.h"
#include "tests/unit/unit.h"

enum { PATIENCE_US = 10000000, DATAGRAM_MAX = 4096, MANY = 2000, TEXT_SIZE = 1024 };

#define RTP(ssrc) "8000 0001 00000002" ssrc "aabb"
#define RR(ssrc)  "80c9 0001" ssrc

/* Who takes part. CLIENT: a phone; MOVED: the same on other ports; OTHER: another host. */
enum who { CLIENT, CLIENT_RTCP, RELAY, RELAY_RTCP, MOVED, OTHER, NOBODY, WHO_COUNT = NOBODY };

static struct ev_loop *loop;
static struct proxy *proxy;
static struct setup setup;
static int fds[WHO_COUNT];
static struct addr addrs[WHO_COUNT];

/* 127.host.x.y: fixed ports on addresses that no other process uses. */
static struct addr local(unsigned host, uint16_t port)
{
    unsigned pid = (unsigned)getpid();
    uint8_t ip[4] = {127, (uint8_t)(100 + host), (uint8_t)(pid >> 8), (uint8_t)pid};

    return addr_from_ip4(ip, port);
}

static int open_at(const struct addr *addr)
{
    struct sockaddr_storage name;
    socklen_t length = addr_to_sockaddr(addr, &name);
    int fd = socket(name.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&name, length), 0);
    return fd;
}

static void setup_world(void)
{
    const struct addr places[WHO_COUNT] = {
        [CLIENT] = local(1, 4000),      [CLIENT_RTCP] = local(1, 4001), [RELAY] = local(2, 41000),
        [RELAY_RTCP] = local(2, 41001), [MOVED] = local(1, 4010),       [OTHER] = local(3, 4000)};

    for (int i = 0; i < WHO_COUNT; i++) {
        addrs[i] = places[i];
        fds[i] = open_at(&addrs[i]);
    }
    setup =
        (struct setup){.listen = local(0, 5004), .relay = places[RELAY], .from = local(0, 6000)};
    loop = ev_loop_new(EVFLAG_AUTO);
    ck_assert_ptr_nonnull(loop);
    proxy = NULL;
}

static void end_world(void)
{
    proxy_close(proxy);
    ev_loop_destroy(loop);
    for (int i = 0; i < WHO_COUNT; i++)
        close(fds[i]);
}

static void start(void)
{
    char error[256] = "";

    ck_assert_msg(proxy_open(&proxy, loop, &setup, error, sizeof(error)) == 0, "%s", error);
}

static void send_bytes(enum who who, const struct addr *to, const uint8_t *data, size_t length)
{
    struct sockaddr_storage name;
    socklen_t name_length = addr_to_sockaddr(to, &name);

    ck_assert_int_eq(sendto(fds[who], data, length, 0, (struct sockaddr *)&name, name_length),
                     (ssize_t)length);
}

static void send_hex(enum who who, const struct addr *to, const char *hex)
{
    uint8_t data[DATAGRAM_MAX];

    send_bytes(who, to, data, unit_hex(hex, data, sizeof(data)));
}

/* Turns the loop until this one has a datagram. */
static size_t receive(enum who who, uint8_t *data, struct addr *from)
{
    uint64_t end_us = clock_now_us() + PATIENCE_US;
    struct sockaddr_storage name;
    socklen_t length = sizeof(name);
    ssize_t n = -1;

    while (n < 0 && clock_now_us() < end_us) {
        struct pollfd p = {.fd = fds[who], .events = POLLIN};

        ev_run(loop, EVRUN_NOWAIT);
        poll(&p, 1, 1);
        n = recvfrom(fds[who], data, DATAGRAM_MAX, 0, (struct sockaddr *)&name, &length);
    }
    ck_assert_msg(n >= 0, "nothing came to %d", who);
    *from = addr_from_sockaddr((struct sockaddr *)&name);
    return (size_t)n;
}

static struct addr beside(const struct addr *addr)
{
    struct addr next = *addr;

    next.port++;
    return next;
}

/* This datagram, from this address. */
static void expect(enum who who, const struct addr *source, const char *hex)
{
    uint8_t got[DATAGRAM_MAX], wanted[DATAGRAM_MAX];
    size_t wanted_length = unit_hex(hex, wanted, sizeof(wanted)), length;
    struct addr from;

    length = receive(who, got, &from);
    ck_assert(addr_equal(&from, source));
    ck_assert_uint_eq(length, wanted_length);
    ck_assert_mem_eq(got, wanted, length);
}

static bool counts_are(const char *wanted, char *got, size_t size)
{
    char *text = NULL;
    size_t length;
    FILE *to = open_memstream(&text, &length);
    bool same;

    ck_assert_ptr_nonnull(to);
    proxy_print(proxy, to);
    fclose(to);
    same = strcmp(text, wanted) == 0;
    snprintf(got, size, "%s", text);
    free(text);
    return same;
}

/* Turns the loop until the counters are these. */
static void expect_counts(const char *wanted)
{
    uint64_t end_us = clock_now_us() + PATIENCE_US;
    char got[TEXT_SIZE];

    while (!counts_are(wanted, got, sizeof(got)) && clock_now_us() < end_us)
        ev_run(loop, EVRUN_NOWAIT);
    ck_assert_str_eq(got, wanted);
}

/* ---------------------------------------------------------------- the way there and back */

START_TEST(test_both_ways)
{
    struct addr listen_rtcp = beside(&setup.listen), from_rtcp = beside(&setup.from);

    start();
    send_hex(CLIENT, &setup.listen, RTP("deadbeef"));
    expect(RELAY, &setup.from, "deadbeef" RTP("deadbeef"));
    send_hex(CLIENT_RTCP, &listen_rtcp, RR("00000007"));
    expect(RELAY_RTCP, &from_rtcp, "deadbeef" RR("00000007"));
    send_hex(RELAY, &setup.from, "bedcba98" RTP("bedcba98"));
    expect(CLIENT, &setup.listen, RTP("bedcba98"));
    send_hex(RELAY_RTCP, &from_rtcp, "bedcba98" RR("00000009"));
    expect(CLIENT_RTCP, &listen_rtcp, RR("00000009"));
    expect_counts("client-rtp packets=1 passed=1\nclient-rtcp packets=1 passed=1\n"
                  "relay-rtp packets=1 passed=1\nrelay-rtcp packets=1 passed=1\n"
                  "keepalive packets=0\n");
}
END_TEST

START_TEST(test_mux)
{
    setup.mux = true;
    setup.keepalive_s = 3600;
    start();
    expect(RELAY, &setup.from, "");
    send_hex(CLIENT, &setup.listen, RTP("deadbeef"));
    expect(RELAY, &setup.from, "deadbeef" RTP("deadbeef"));
    send_hex(CLIENT, &setup.listen, RR("00000007"));
    expect(RELAY, &setup.from, "deadbeef" RR("00000007"));
    send_hex(RELAY, &setup.from, "bedcba98" RR("bedcba98"));
    expect(CLIENT, &setup.listen, RR("bedcba98"));
    expect_counts("client-rtp packets=2 passed=2\nrelay-rtp packets=1 passed=1\n"
                  "keepalive packets=1 passed=1\n");
}
END_TEST

/* ---------------------------------------------------------------- where the client is */

START_TEST(test_client_follows)
{
    start();
    send_hex(RELAY, &setup.from, "00000001" RTP("00000001"));
    expect_counts("client-rtp packets=0\nclient-rtcp packets=0\n"
                  "relay-rtp packets=1 no-client=1\nrelay-rtcp packets=0\nkeepalive packets=0\n");
    send_hex(OTHER, &setup.listen, "00"); /* bad: is not learned */
    send_hex(RELAY, &setup.from, "00000001" RTP("00000001"));
    expect_counts("client-rtp packets=1 malformed=1\nclient-rtcp packets=0\n"
                  "relay-rtp packets=2 no-client=2\nrelay-rtcp packets=0\nkeepalive packets=0\n");
    send_hex(CLIENT, &setup.listen, RTP("deadbeef"));
    expect(RELAY, &setup.from, "deadbeef" RTP("deadbeef"));
    send_hex(RELAY, &setup.from, "00000001" RTP("00000001"));
    expect(CLIENT, &setup.listen, RTP("00000001"));
    send_hex(MOVED, &setup.listen, RTP("deadbeef"));
    expect(RELAY, &setup.from, "deadbeef" RTP("deadbeef"));
    send_hex(RELAY, &setup.from, "00000001" RTP("00000001"));
    expect(MOVED, &setup.listen, RTP("00000001"));
}
END_TEST

/* Before the client's first RTCP: the port after the one that it sends RTP from. */
START_TEST(test_rtcp_before_the_clients)
{
    struct addr from_rtcp = beside(&setup.from), listen_rtcp = beside(&setup.listen);

    start();
    send_hex(RELAY_RTCP, &from_rtcp, "00000001" RR("00000001"));
    expect_counts("client-rtp packets=0\nclient-rtcp packets=0\nrelay-rtp packets=0\n"
                  "relay-rtcp packets=1 no-client=1\nkeepalive packets=0\n");
    send_hex(CLIENT, &setup.listen, RTP("deadbeef"));
    expect(RELAY, &setup.from, "deadbeef" RTP("deadbeef"));
    send_hex(RELAY_RTCP, &from_rtcp, "00000001" RR("00000001"));
    expect(CLIENT_RTCP, &listen_rtcp, RR("00000001"));
    send_hex(MOVED, &listen_rtcp, RR("deadbeef"));
    expect(RELAY_RTCP, &from_rtcp, "deadbeef" RR("deadbeef"));
    send_hex(RELAY_RTCP, &from_rtcp, "00000001" RR("00000001"));
    expect(MOVED, &listen_rtcp, RR("00000001"));
}
END_TEST

/* With --client ADDR:PORT: always there, whatever port the client sends from; nobody else may send.
 */
START_TEST(test_client_given)
{
    setup.client = addrs[MOVED];
    start();
    send_hex(RELAY, &setup.from, "00000001" RTP("00000001"));
    expect(MOVED, &setup.listen, RTP("00000001"));
    send_hex(CLIENT, &setup.listen, RTP("deadbeef"));
    expect(RELAY, &setup.from, "deadbeef" RTP("deadbeef"));
    send_hex(RELAY, &setup.from, "00000001" RTP("00000001"));
    expect(MOVED, &setup.listen, RTP("00000001"));
    send_hex(OTHER, &setup.listen, RTP("deadbeef"));
    expect_counts("client-rtp packets=2 passed=1 stranger=1\nclient-rtcp packets=0\n"
                  "relay-rtp packets=2 passed=2\nrelay-rtcp packets=0\nkeepalive packets=0\n");
}
END_TEST

/* With --client ADDR: where it sends from, and nobody else may send. */
START_TEST(test_client_host_given)
{
    setup.client = addrs[CLIENT];
    setup.client.port = 0;
    start();
    send_hex(OTHER, &setup.listen, RTP("deadbeef"));
    send_hex(MOVED, &setup.listen, RTP("deadbeef"));
    expect(RELAY, &setup.from, "deadbeef" RTP("deadbeef"));
    send_hex(RELAY, &setup.from, "00000001" RTP("00000001"));
    expect(MOVED, &setup.listen, RTP("00000001"));
    expect_counts("client-rtp packets=2 passed=1 stranger=1\nclient-rtcp packets=0\n"
                  "relay-rtp packets=1 passed=1\nrelay-rtcp packets=0\nkeepalive packets=0\n");
}
END_TEST

/* ---------------------------------------------------------------- what is dropped */

static const struct {
    const char *name, *hex;
    enum who who;
    bool to_relay_side, rtcp;
    const char *counts; /* of the one place */
} drops[] = {
    {"stranger as the relay", "00000001" RTP("00000001"), OTHER, true, false, "stranger"},
    {"the relay's RTCP port to the RTP port", "00000001" RTP("00000001"), RELAY_RTCP, true, false,
     "stranger"},
    {"the client as the relay", "00000001" RTP("00000001"), CLIENT, true, false, "stranger"},
    {"runt", "80", CLIENT, false, false, "malformed"},
    {"empty", "", CLIENT, false, false, "empty"},
    {"empty, of the relay", "", RELAY, true, false, "empty"},
    {"empty, of a stranger", "", OTHER, true, false, "stranger"},
    {"outer SSRC alone", "00000001", RELAY, true, false, "malformed"},
    {"RTP instead of RTP'", RTP("00000001"), RELAY, true, false, "malformed"},
    {"other outer SSRC", "00000002" RTP("00000001"), RELAY, true, false, "ssrc-mismatch"},
    {"version 1", "4000 0001 00000002 deadbeef", CLIENT, false, false, "malformed"},
    {"STUN", "0001 0000 2112a442 0102030405060708090a0b0c", CLIENT, false, false, "stun"},
    {"RTCP at the RTP port", RR("00000001"), CLIENT, false, false, "wrong-port"},
    {"RTP at the RTCP port", RTP("00000001"), CLIENT, false, true, "wrong-port"},
    {"RTP' at the RTCP port", "00000001" RTP("00000001"), RELAY_RTCP, true, true, "wrong-port"},
    {"another SSRC than --ssrc", RTP("00000005"), CLIENT, false, false, "ssrc-mismatch"},
};

/* Counted at one place and under one word, and what comes after it is handed on. */
START_TEST(test_drops)
{
    static const char *const places[] = {"client-rtp", "client-rtcp", "relay-rtp", "relay-rtcp"};
    unsigned place = 2u * drops[_i].to_relay_side + drops[_i].rtcp;
    struct addr to = drops[_i].to_relay_side ? setup.from : setup.listen;
    char wanted[TEXT_SIZE] = "";

    setup.client = addrs[CLIENT];
    setup.ssrc_given = true;
    setup.ssrc = 0xdeadbeef;
    start();
    to = drops[_i].rtcp ? beside(&to) : to;
    send_hex(drops[_i].who, &to, drops[_i].hex);
    for (unsigned i = 0; i < 4; i++) {
        size_t used = strlen(wanted);

        if (i == place)
            snprintf(wanted + used, sizeof(wanted) - used, "%s packets=1 %s=1\n", places[i],
                     drops[_i].counts);
        else
            snprintf(wanted + used, sizeof(wanted) - used, "%s packets=0\n", places[i]);
    }
    snprintf(wanted + strlen(wanted), sizeof(wanted) - strlen(wanted), "keepalive packets=0\n");
    expect_counts(wanted);
    send_hex(CLIENT, &setup.listen, RTP("deadbeef"));
    expect(RELAY, &setup.from, "deadbeef" RTP("deadbeef"));
    send_hex(RELAY, &setup.from, "00000001" RTP("00000001"));
    expect(CLIENT, &setup.listen, RTP("00000001"));
}
END_TEST

/* The largest packet passes, one octet more does not. */
START_TEST(test_sizes)
{
    uint8_t data[DATAGRAM_MAX] = {0}, got[DATAGRAM_MAX];
    struct addr from;

    unit_hex("8000 0001 00000002 deadbeef", data, sizeof(data));
    start();
    send_bytes(CLIENT, &setup.listen, data, PACKET_MAX_OCTETS + 1);
    send_bytes(CLIENT, &setup.listen, data, PACKET_MAX_OCTETS);
    ck_assert_uint_eq(receive(RELAY, got, &from), PACKET_MAX_OCTETS + 4);
    ck_assert_mem_eq(got + 4, data, PACKET_MAX_OCTETS);
    memmove(data + 4, data, 12);
    unit_hex("deadbeef", data, sizeof(data));
    send_bytes(RELAY, &setup.from, data, PACKET_MAX_OCTETS + 5);
    send_bytes(RELAY, &setup.from, data, PACKET_MAX_OCTETS + 4);
    ck_assert_uint_eq(receive(CLIENT, got, &from), PACKET_MAX_OCTETS);
    ck_assert_mem_eq(got, data + 4, PACKET_MAX_OCTETS);
    expect_counts("client-rtp packets=2 passed=1 too-big=1\nclient-rtcp packets=0\n"
                  "relay-rtp packets=2 passed=1 too-big=1\nrelay-rtcp packets=0\n"
                  "keepalive packets=0\n");
}
END_TEST

/* ---------------------------------------------------------------- keepalives, families, memory */

START_TEST(test_keepalive)
{
    struct addr from_rtcp = beside(&setup.from);

    setup.keepalive_s = 3600;
    start();
    expect(RELAY, &setup.from, "");
    expect(RELAY_RTCP, &from_rtcp, "");
    expect_counts("client-rtp packets=0\nclient-rtcp packets=0\nrelay-rtp packets=0\n"
                  "relay-rtcp packets=0\nkeepalive packets=2 passed=2\n");
}
END_TEST

/* The port that sends anyway gets none. */
START_TEST(test_keepalive_only_in_silence)
{
    struct addr from_rtcp = beside(&setup.from);

    setup.keepalive_s = 3600;
    start();
    send_hex(CLIENT, &setup.listen, RTP("deadbeef"));
    expect(RELAY, &setup.from, "deadbeef" RTP("deadbeef"));
    expect(RELAY_RTCP, &from_rtcp, "");
    expect_counts("client-rtp packets=1 passed=1\nclient-rtcp packets=0\nrelay-rtp packets=0\n"
                  "relay-rtcp packets=0\nkeepalive packets=1 passed=1\n");
}
END_TEST

/* After a silence another one. */
START_TEST(test_keepalive_again)
{
    struct addr from_rtcp = beside(&setup.from);

    setup.keepalive_s = 1;
    start();
    for (unsigned i = 0; i < 3; i++)
        expect(RELAY_RTCP, &from_rtcp, "");
}
END_TEST

START_TEST(test_ipv6)
{
    const uint8_t ip[16] = {[15] = 1};
    struct addr from;
    uint8_t got[DATAGRAM_MAX];
    char error[256];
    int result = -1;

    close(fds[CLIENT]);
    addrs[CLIENT] = addr_from_ip6(ip, 0);
    fds[CLIENT] = open_at(&addrs[CLIENT]);
    for (uint16_t port = 20000; result < 0 && port < 21000; port += 2) {
        setup.listen = addr_from_ip6(ip, port); /* others may use ::1, too */
        result = proxy_open(&proxy, loop, &setup, error, sizeof(error));
    }
    ck_assert_msg(result == 0, "%s", error);
    send_hex(CLIENT, &setup.listen, RTP("deadbeef"));
    expect(RELAY, &setup.from, "deadbeef" RTP("deadbeef"));
    send_hex(RELAY, &setup.from, "00000001" RTP("00000001"));
    ck_assert_uint_eq(receive(CLIENT, got, &from), 14);
    ck_assert(addr_equal(&from, &setup.listen));
}
END_TEST

/* There and back, many times: nothing is allocated. */
START_TEST(test_no_allocation)
{
    uint8_t got[DATAGRAM_MAX];
    struct addr from;
    uint64_t allocs;

    if (!allocs_are_seen())
        return;
    start();
    send_hex(CLIENT, &setup.listen, RTP("deadbeef"));
    receive(RELAY, got, &from);
    send_hex(RELAY, &setup.from, "00000001" RTP("00000001"));
    receive(CLIENT, got, &from);
    allocs_begin();
    for (unsigned i = 0; i < MANY; i++) {
        send_hex(CLIENT, &setup.listen, RTP("deadbeef"));
        receive(RELAY, got, &from);
        send_hex(RELAY, &setup.from, "00000001" RTP("00000001"));
        receive(CLIENT, got, &from);
    }
    allocs = allocs_end();
    ck_assert_uint_eq(allocs, 0);
}
END_TEST

START_TEST(test_port_in_use)
{
    char error[256] = "";

    setup.from = addrs[OTHER];
    ck_assert_int_lt(proxy_open(&proxy, loop, &setup, error, sizeof(error)), 0);
    ck_assert_ptr_null(proxy);
    ck_assert_msg(strstr(error, "choose a port that no other program uses") != NULL, "%s", error);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("proxy");
    TCase *tc = tcase_create("proxy");

    tcase_set_timeout(tc, 30);
    tcase_add_checked_fixture(tc, setup_world, end_world);
    tcase_add_test(tc, test_both_ways);
    tcase_add_test(tc, test_mux);
    tcase_add_test(tc, test_client_follows);
    tcase_add_test(tc, test_rtcp_before_the_clients);
    tcase_add_test(tc, test_client_given);
    tcase_add_test(tc, test_client_host_given);
    tcase_add_loop_test(tc, test_drops, 0, sizeof(drops) / sizeof(drops[0]));
    tcase_add_test(tc, test_sizes);
    tcase_add_test(tc, test_keepalive);
    tcase_add_test(tc, test_keepalive_only_in_silence);
    tcase_add_test(tc, test_keepalive_again);
    tcase_add_test(tc, test_ipv6);
    tcase_add_test(tc, test_no_allocation);
    tcase_add_test(tc, test_port_in_use);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
