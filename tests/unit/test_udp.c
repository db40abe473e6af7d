#include "config.h" /* _GNU_SOURCE */

#include "common/net/udp.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/protocol.h"
#include "tests/unit/unit.h"

enum { SENT_MAX = 512, WAIT_MS = 5000 };

struct sent {
    size_t count;
    int error[SENT_MAX];
    uintptr_t tag[SENT_MAX];
};

static const char *const loopback[] = {"127.0.0.1", "::1"};

static void note_sent(void *ctx, void *tag, int error)
{
    struct sent *sent = ctx;

    ck_assert_uint_lt(sent->count, SENT_MAX);
    sent->tag[sent->count] = (uintptr_t)tag;
    sent->error[sent->count++] = error;
}

static struct addr ip(const char *text, uint16_t port)
{
    struct addr addr;

    ck_assert_int_eq(addr_parse_ip(text, &addr), 0);
    addr.port = port;
    return addr;
}

static struct udp *open_on(const char *text)
{
    struct addr local = ip(text, 0);
    struct udp *udp = NULL;
    char error[256] = "";

    ck_assert_msg(udp_open(&udp, &local, 46, error, sizeof(error)) == 0, "%s", error);
    ck_assert_uint_ne(udp_local(udp)->port, 0);
    return udp;
}

static int option(const struct udp *udp, int level, int name)
{
    int value = -1;
    socklen_t length = sizeof(value);

    ck_assert_int_eq(getsockopt(udp_fd(udp), level, name, &value, &length), 0);
    return value;
}

static void wait_readable(const struct udp *udp)
{
    struct pollfd p = {.fd = udp_fd(udp), .events = POLLIN};

    ck_assert_int_eq(poll(&p, 1, WAIT_MS), 1);
}

START_TEST(options_are_set)
{
    struct udp *udp = open_on(loopback[_i]);

    if (_i == 0) {
        ck_assert_int_eq(option(udp, IPPROTO_IP, IP_TOS), 46 << 2);
        ck_assert_int_eq(option(udp, IPPROTO_IP, IP_MTU_DISCOVER), IP_PMTUDISC_DO);
    } else {
        ck_assert_int_eq(option(udp, IPPROTO_IPV6, IPV6_TCLASS), 46 << 2);
        ck_assert_int_eq(option(udp, IPPROTO_IPV6, IPV6_MTU_DISCOVER), IPV6_PMTUDISC_DO);
        ck_assert_int_eq(option(udp, IPPROTO_IPV6, IPV6_DONTFRAG), 1);
        ck_assert_int_eq(option(udp, IPPROTO_IPV6, IPV6_V6ONLY), 1);
    }
    ck_assert_int_eq(option(udp, SOL_SOCKET, SO_RXQ_OVFL), 1);
    ck_assert_int_eq(option(udp, SOL_SOCKET, SO_RCVBUF), 2 * udp_receive_buffer(udp));
    ck_assert_int_eq(option(udp, SOL_SOCKET, SO_SNDBUF), 2 * udp_send_buffer(udp));
    udp_close(udp);
}
END_TEST

/* Both IP versions may have one port: an IPv6 socket takes IPv6 only. */
START_TEST(ipv6_only)
{
    struct udp *six = open_on("::");
    struct addr local = ip("0.0.0.0", udp_local(six)->port);
    struct udp *four = NULL;
    char error[256];

    ck_assert_int_eq(udp_open(&four, &local, 0, error, sizeof(error)), 0);
    udp_close(four);
    udp_close(six);
}
END_TEST

START_TEST(open_errors)
{
    struct udp *taken = open_on("127.0.0.1"), *udp;
    struct addr local = *udp_local(taken), nowhere = ip("192.0.2.77", 4000), none = {0};
    char error[256] = "";

    ck_assert_int_eq(udp_open(&udp, &local, 0, error, sizeof(error)), ERR_SYSTEM);
    ck_assert_ptr_null(udp);
    ck_assert_ptr_nonnull(strstr(error, "127.0.0.1:"));
    ck_assert_ptr_nonnull(strstr(error, "no other program"));
    ck_assert_int_eq(udp_open(&udp, &nowhere, 0, error, sizeof(error)), ERR_SYSTEM);
    ck_assert_ptr_nonnull(strstr(error, "an address that this host has"));
    ck_assert_int_eq(udp_open(&udp, &none, 0, error, sizeof(error)), ERR_INVALID);
    ck_assert_int_eq(udp_open(&udp, &nowhere, 64, error, sizeof(error)), ERR_INVALID);
    ck_assert_ptr_null(udp);
    udp_close(taken);
    udp_close(NULL);
}
END_TEST

/* Queues packets of rising length; the first octet of each is its number. */
static void queue_numbered(struct udp *udp, const struct addr *to, unsigned count)
{
    uint8_t data[PACKET_MAX_OCTETS];

    for (unsigned i = 0; i < count; i++) {
        memset(data, (int)i, sizeof(data));
        udp_queue(udp, to, data, i + 1, (void *)(uintptr_t)(i + 1));
    }
    udp_flush(udp);
}

static void check_numbered(const struct udp_packet *packet, unsigned number,
                           const struct addr *source)
{
    ck_assert_uint_eq(packet->length, number + 1);
    ck_assert_uint_eq(packet->data[0], number);
    ck_assert_uint_eq(packet->data[packet->length - 1], number);
    ck_assert(!packet->truncated);
    ck_assert(addr_equal(&packet->source, source));
}

/* More than a batch either way; the address and the order are kept. */
START_TEST(batches)
{
    struct udp *from = open_on(loopback[_i]), *to = open_on(loopback[_i]);
    struct udp_packet packets[UDP_BATCH];
    struct sent sent = {0};
    unsigned got = 0;

    ck_assert_int_eq(udp_receive(to, packets), 0);
    udp_on_sent(from, note_sent, &sent);
    queue_numbered(from, udp_local(to), 150);
    ck_assert_uint_eq(sent.count, 150);
    for (unsigned i = 0; i < 150; i++) {
        ck_assert_int_eq(sent.error[i], 0);
        ck_assert_uint_eq(sent.tag[i], i + 1);
    }
    while (got < 150) {
        int n;

        wait_readable(to);
        n = udp_receive(to, packets);
        ck_assert_int_ge(n, 0);
        for (int i = 0; i < n; i++)
            check_numbered(&packets[i], got++, udp_local(from));
    }
    ck_assert_int_eq(udp_receive(to, packets), 0);
    udp_flush(from);
    ck_assert_uint_eq(sent.count, 150);
    udp_close(from);
    udp_close(to);
}
END_TEST

static const struct {
    size_t length, received;
    bool truncated;
} lengths[] = {
    {0, 0, false},
    {1, 1, false},
    {PACKET_MAX_OCTETS - 1, PACKET_MAX_OCTETS - 1, false},
    {PACKET_MAX_OCTETS, PACKET_MAX_OCTETS, false},
    {PACKET_MAX_OCTETS + 3, PACKET_MAX_OCTETS + 3, false},
    {PACKET_MAX_OCTETS + 4, PACKET_MAX_OCTETS + 4, false},
    {PACKET_MAX_OCTETS + 5, PACKET_MAX_OCTETS + 4, true},
};

START_TEST(truncation)
{
    struct udp *from = open_on("127.0.0.1"), *to = open_on("127.0.0.1");
    struct udp_packet packets[UDP_BATCH];
    uint8_t data[PACKET_MAX_OCTETS + FRAME_LABEL_OCTETS + 1] = {0};
    struct sockaddr_storage name;
    socklen_t name_length = addr_to_sockaddr(udp_local(to), &name);

    ck_assert_int_eq(
        sendto(udp_fd(from), data, lengths[_i].length, 0, (struct sockaddr *)&name, name_length),
        (ssize_t)lengths[_i].length);
    wait_readable(to);
    ck_assert_int_eq(udp_receive(to, packets), 1);
    ck_assert_uint_eq(packets[0].length, lengths[_i].received);
    ck_assert_int_eq(packets[0].truncated, lengths[_i].truncated);
    udp_close(from);
    udp_close(to);
}
END_TEST

/* A length above what the slots hold never reaches the kernel. */
START_TEST(too_long_for_a_slot)
{
    struct udp *udp = open_on("127.0.0.1");
    static uint8_t data[PACKET_MAX_OCTETS + FRAME_LABEL_OCTETS + 1];
    struct sent sent = {0};

    udp_on_sent(udp, note_sent, &sent);
    udp_queue(udp, udp_local(udp), data, sizeof(data), &sent);
    ck_assert_uint_eq(sent.count, 1);
    ck_assert_int_eq(sent.error[0], EMSGSIZE);
    ck_assert_uint_eq(sent.tag[0], (uintptr_t)&sent);
    udp_flush(udp);
    ck_assert_uint_eq(sent.count, 1);
    udp_close(udp);
}
END_TEST

static const struct {
    const char *to;
    uint16_t port;
    int error;
} failing[] = {
    {"255.255.255.255", 9, EACCES}, /* broadcast without permission */
    {"127.0.0.1", 0, EINVAL},       /* no port */
    {"::1", 9, EAFNOSUPPORT},       /* the other IP version */
};

/* Every second packet fails: each is reported once, with its own error, and the others arrive. */
START_TEST(failures_hold_up_nobody)
{
    struct udp *from = open_on("127.0.0.1"), *to = open_on("127.0.0.1");
    struct addr bad = ip(failing[_i].to, failing[_i].port);
    struct udp_packet packets[UDP_BATCH];
    struct sent sent = {0};
    const uint8_t data[20] = {0x80};

    udp_on_sent(from, note_sent, &sent);
    for (uintptr_t i = 0; i < 40; i++)
        udp_queue(from, i % 2 ? udp_local(to) : &bad, data, sizeof(data), (void *)i);
    ck_assert_uint_eq(sent.count, 0);
    udp_flush(from);
    ck_assert_uint_eq(sent.count, 40);
    for (unsigned i = 0; i < 40; i++) {
        ck_assert_uint_eq(sent.tag[i], i);
        ck_assert_int_eq(sent.error[i], i % 2 ? 0 : failing[_i].error);
    }
    wait_readable(to);
    ck_assert_int_eq(udp_receive(to, packets), 20);
    udp_close(from);
    udp_close(to);
}
END_TEST

/* A port that nobody listens on answers by ICMP: it stops neither sending nor receiving. */
START_TEST(icmp_errors_are_harmless)
{
    struct udp *gone = open_on(loopback[_i]), *udp = open_on(loopback[_i]);
    struct addr nobody = *udp_local(gone);
    struct udp_packet packets[UDP_BATCH];
    struct sent sent = {0};

    udp_close(gone);
    udp_on_sent(udp, note_sent, &sent);
    for (unsigned round = 0; round < 3; round++) {
        udp_queue(udp, &nobody, (const uint8_t *)"x", 1, NULL);
        udp_queue(udp, udp_local(udp), (const uint8_t *)"y", 1, NULL);
        udp_flush(udp);
        wait_readable(udp);
        ck_assert_int_eq(udp_receive(udp, packets), 1);
        ck_assert_uint_eq(packets[0].data[0], 'y');
    }
    ck_assert_uint_eq(sent.count, 6);
    for (unsigned i = 0; i < 6; i++)
        ck_assert_int_eq(sent.error[i], 0);
    udp_close(udp);
}
END_TEST

struct failed {
    unsigned count;
    struct addr to;
    uint8_t data[64];
    size_t length;
    int error;
};

static void note_failed(void *ctx, const struct addr *to, const uint8_t *data, size_t length,
                        int error)
{
    struct failed *failed = ctx;

    ck_assert_uint_le(length, sizeof(failed->data));
    failed->count++;
    failed->to = *to;
    memcpy(failed->data, data, length);
    failed->length = length;
    failed->error = error;
}

/* Whoever asks is told what the ICMP error quotes; then the socket is quiet. */
START_TEST(icmp_errors_are_told)
{
    static const uint8_t data[100] = "a packet";
    struct udp *gone = open_on(loopback[_i]), *udp = open_on(loopback[_i]);
    struct addr nobody = *udp_local(gone);
    struct udp_packet packets[UDP_BATCH];
    struct failed failed = {0};
    struct pollfd poll_fd = {.fd = udp_fd(udp), .events = POLLIN};

    udp_close(gone);
    udp_on_failed(udp, note_failed, &failed);
    udp_queue(udp, &nobody, data, sizeof(data), NULL);
    udp_flush(udp);
    wait_readable(udp);
    ck_assert_int_eq(udp_receive(udp, packets), 0);
    ck_assert_uint_eq(failed.count, 1);
    ck_assert(addr_equal(&failed.to, &nobody));
    ck_assert_uint_eq(failed.length, sizeof(failed.data));
    ck_assert_mem_eq(failed.data, data, sizeof(failed.data));
    ck_assert_int_eq(failed.error, ECONNREFUSED);
    ck_assert_int_eq(poll(&poll_fd, 1, 0), 0);
    udp_close(udp);
}
END_TEST

/* Of many, some are left for the next time; media that came meanwhile is received. */
START_TEST(many_icmp_errors)
{
    struct udp *gone = open_on(loopback[_i]), *udp = open_on(loopback[_i]);
    struct addr nobody = *udp_local(gone);
    struct udp_packet packets[UDP_BATCH];
    struct failed failed = {0};
    struct sent sent = {0};
    struct pollfd poll_fd = {.fd = udp_fd(udp), .events = POLLIN};
    int received = 0;

    udp_close(gone);
    udp_on_sent(udp, note_sent, &sent);
    udp_on_failed(udp, note_failed, &failed);
    for (unsigned i = 0; i < 100; i++) {
        udp_queue(udp, &nobody, (const uint8_t *)"x", 1, NULL);
        if (i % 10 == 0)
            udp_queue(udp, udp_local(udp), (const uint8_t *)"y", 1, NULL);
        udp_flush(udp);
    }
    while (poll(&poll_fd, 1, 100) > 0)
        received += udp_receive(udp, packets);
    ck_assert_int_eq(received, 10);
    ck_assert_uint_gt(failed.count, 0);
    for (unsigned i = 0; i < sent.count; i++)
        ck_assert_int_eq(sent.error[i], 0);
    udp_close(udp);
}
END_TEST

/*
 * A packet larger than the path is an error, not several fragments. Only of IPv6 may an ordinary
 * user say how much the path takes.
 */
START_TEST(larger_than_the_path)
{
    static const uint8_t data[1600];
    struct udp *udp = open_on("::1");
    struct sent sent = {0};
    int mtu = 1280;

    ck_assert_int_eq(setsockopt(udp_fd(udp), IPPROTO_IPV6, IPV6_MTU, &mtu, sizeof(mtu)), 0);
    udp_on_sent(udp, note_sent, &sent);
    udp_queue(udp, udp_local(udp), data, 1280 - 48, NULL);
    udp_queue(udp, udp_local(udp), data, 1280 - 47, NULL);
    udp_flush(udp);
    ck_assert_uint_eq(sent.count, 2);
    ck_assert_int_eq(sent.error[0], 0);
    ck_assert_int_eq(sent.error[1], EMSGSIZE);
    udp_close(udp);
}
END_TEST

/* A full receive buffer is noticed with the first packet that gets through again. */
START_TEST(overflow_is_counted)
{
    struct udp *from = open_on("127.0.0.1"), *to = open_on("127.0.0.1");
    struct udp_packet packets[UDP_BATCH];
    uint64_t sent = 0, got = 0;
    int small = 4096, n;

    ck_assert_int_eq(setsockopt(udp_fd(to), SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
    for (unsigned round = 0; round < 2; round++) {
        queue_numbered(from, udp_local(to), UDP_SEND_BATCH);
        sent += UDP_SEND_BATCH;
        wait_readable(to);
        while ((n = udp_receive(to, packets)) > 0)
            got += (uint64_t)n;
        queue_numbered(from, udp_local(to), 1);
        sent++;
        wait_readable(to);
        ck_assert_int_eq(udp_receive(to, packets), 1);
        got++;
        ck_assert_uint_lt(got, sent);
        ck_assert_uint_eq(got + udp_overflows(to), sent);
    }
    udp_close(from);
    udp_close(to);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("udp");
    TCase *tcase = tcase_create("udp");

    tcase_add_loop_test(tcase, options_are_set, 0, 2);
    tcase_add_test(tcase, ipv6_only);
    tcase_add_test(tcase, open_errors);
    tcase_add_loop_test(tcase, batches, 0, 2);
    tcase_add_loop_test(tcase, truncation, 0, sizeof(lengths) / sizeof(lengths[0]));
    tcase_add_test(tcase, too_long_for_a_slot);
    tcase_add_loop_test(tcase, failures_hold_up_nobody, 0, sizeof(failing) / sizeof(failing[0]));
    tcase_add_loop_test(tcase, icmp_errors_are_harmless, 0, 2);
    tcase_add_loop_test(tcase, icmp_errors_are_told, 0, 2);
    tcase_add_loop_test(tcase, many_icmp_errors, 0, 2);
    tcase_add_test(tcase, larger_than_the_path);
    tcase_add_test(tcase, overflow_is_counted);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
