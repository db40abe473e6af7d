/* The media sockets of two listeners in an event loop, over loopback. */
#include "common/daemon/media.h"

#include <errno.h>
#include <ev.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "tests/unit/unit.h"

enum { LISTENERS = 2, PLACES = 2 * LISTENERS, MANY = 100, PATIENCE_US = 20000000 };

static struct ev_loop *loop;
static struct media *media;
static struct listener_settings settings[LISTENERS];
static int client;
static struct addr client_addr;

/* What the hooks saw. */
static struct {
    unsigned packets[PLACES], next[PLACES], batches, longest_batch;
    unsigned sent[PLACES], failed;
    int error;
    char tags[MANY]; /* how often each came back */
    uint64_t overflows[PLACES];
    bool lossy; /* not every packet comes */
} seen;

static void see(void *ctx, unsigned listener, bool rtcp_port, const struct udp_packet *packet,
                uint64_t now_us)
{
    unsigned place = 2 * listener + rtcp_port;

    ck_assert_ptr_eq(ctx, &seen);
    ck_assert_uint_gt(now_us, 0);
    ck_assert(addr_equal(&packet->source, &client_addr));
    ck_assert_uint_eq(packet->length, 2);
    ck_assert_uint_eq(packet->data[0], place);
    ck_assert(seen.lossy || packet->data[1] == seen.next[place]);
    seen.next[place]++;
    seen.packets[place]++;
}

static void on_packets(void *ctx, unsigned listener, bool rtcp_port,
                       const struct udp_packet *packets, size_t count, uint64_t now_us)
{
    ck_assert_uint_gt(count, 0);
    for (size_t i = 0; i < count; i++)
        see(ctx, listener, rtcp_port, &packets[i], now_us);
    if (count > seen.longest_batch)
        seen.longest_batch = (unsigned)count;
    seen.batches++;
}

static void on_sent(void *ctx, unsigned listener, bool rtcp_port, void *tag, int error)
{
    (void)ctx;
    seen.sent[2 * listener + rtcp_port]++;
    seen.failed += error != 0;
    if (error)
        seen.error = error;
    ++*(char *)tag;
}

static void on_overflow(void *ctx, unsigned listener, bool rtcp_port, uint64_t count)
{
    (void)ctx;
    seen.overflows[2 * listener + rtcp_port] += count;
}

static const struct media_hooks hooks = {
    .packets = on_packets, .sent = on_sent, .overflow = on_overflow};

/* ------------------------------------------------------------ ports */

static int bound(uint16_t port, uint16_t *got)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof(address);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (bind(fd, (struct sockaddr *)&address, length) < 0) {
        close(fd);
        return -1;
    }
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    *got = ntohs(address.sin_port);
    return fd;
}

/* Two free ports in a row. */
static uint16_t free_pair(void)
{
    for (int i = 0; i < 1000; i++) {
        uint16_t port, next;
        int first = bound(0, &port);
        int second = port < 65535 ? bound((uint16_t)(port + 1), &next) : -1;

        close(first);
        if (second < 0)
            continue;
        close(second);
        return port;
    }
    ck_abort_msg("no two free ports in a row");
    return 0;
}

static void setup(void)
{
    uint16_t port;

    log_open("test", LOG_TARGET_STDERR, LOG_LEVEL_ERROR);
    memset(&seen, 0, sizeof(seen));
    loop = ev_loop_new(EVFLAG_AUTO);
    ck_assert_ptr_nonnull(loop);
    for (int i = 0; i < LISTENERS; i++) {
        settings[i] = (struct listener_settings){.rtp_port = free_pair(), .m_line = i - 1};
        snprintf(settings[i].name, sizeof(settings[i].name), "l%d", i);
        ck_assert_int_eq(addr_parse_ip("127.0.0.1", &settings[i].address), 0);
        ck_assert_int_eq(addr_parse_ip("203.0.113.9", &settings[i].advertise), 0);
        /* The second pair must not take the first one's. */
        while (i > 0 && settings[1].rtp_port + 1 >= settings[0].rtp_port &&
               settings[1].rtp_port <= settings[0].rtp_port + 1)
            settings[1].rtp_port = free_pair();
    }
    client = bound(0, &port);
    client_addr = addr_from_ip4((const uint8_t[]){127, 0, 0, 1}, port);
    media = NULL;
}

static void open_media(void)
{
    char error[256] = "";

    ck_assert_msg(media_open(&media, loop, settings, LISTENERS, false, &hooks, &seen, error,
                             sizeof(error)) == 0,
                  "%s", error);
}

static void teardown(void)
{
    media_close(media);
    ev_loop_destroy(loop);
    close(client);
}

#define RUN_UNTIL(condition)                                                                       \
    for (uint64_t run_end = clock_now_us() + PATIENCE_US; !(condition);) {                         \
        ck_assert_msg(clock_now_us() < run_end, "waited for too long: %s", #condition);            \
        ev_run(loop, EVRUN_NOWAIT);                                                                \
        poll(NULL, 0, 1);                                                                          \
    }

/* ------------------------------------------------------------ in */

static void send_to(unsigned place, unsigned count)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};

    to.sin_port = htons((uint16_t)(settings[place / 2].rtp_port + place % 2));
    for (unsigned i = 0; i < count; i++) {
        uint8_t packet[2] = {(uint8_t)place, (uint8_t)i};

        ck_assert_int_eq(sendto(client, packet, 2, 0, (struct sockaddr *)&to, sizeof(to)), 2);
    }
}

static unsigned received(void)
{
    unsigned sum = 0;

    for (int place = 0; place < PLACES; place++)
        sum += seen.packets[place];
    return sum;
}

/* Each comes with its listener and port, in order, and in batches of what fits. */
START_TEST(test_receive)
{
    open_media();
    for (unsigned place = 0; place < PLACES; place++)
        send_to(place, MANY);
    for (int i = 0; i < 5; i++)
        ev_run(loop, EVRUN_NOWAIT);
    ck_assert_uint_eq(received(), 0); /* not before media_start */
    media_start(media);
    RUN_UNTIL(received() == PLACES * MANY);
    for (int place = 0; place < PLACES; place++) {
        ck_assert_uint_eq(seen.packets[place], MANY);
        ck_assert_uint_eq(seen.overflows[place], 0);
    }
    ck_assert_uint_eq(media_received(media), PLACES * MANY);
    ck_assert_uint_eq(seen.longest_batch, UDP_BATCH);
    ck_assert_uint_eq(seen.batches, PLACES * ((MANY + UDP_BATCH - 1) / UDP_BATCH));
}
END_TEST

/* More than the buffers hold: what the kernel drops is told, once. */
START_TEST(test_overflow)
{
    enum { PLACE = 1, HELPING = 5000, HELPINGS_MAX = 20 };
    unsigned sent = 0;

    open_media();
    seen.lossy = true;
    for (int i = 0; i < HELPINGS_MAX; i++, sent += HELPING)
        send_to(PLACE, HELPING);
    media_start(media);
    RUN_UNTIL(seen.packets[PLACE] > 0);
    for (unsigned before = 0; before != seen.packets[PLACE];) {
        before = seen.packets[PLACE];
        for (int i = 0; i < 5; i++)
            ev_run(loop, EVRUN_NOWAIT);
    }
    send_to(PLACE, 1);
    sent++;
    RUN_UNTIL(seen.packets[PLACE] + seen.overflows[PLACE] >= sent);
    ck_assert_uint_eq(seen.packets[PLACE] + seen.overflows[PLACE], sent);
    ck_assert_uint_gt(seen.overflows[PLACE], 0);
    ck_assert_uint_eq(media_received(media), seen.packets[PLACE]);
}
END_TEST

/* ------------------------------------------------------------ out */

/* Port that the next datagram came from; 0: there is none. */
static uint16_t next_source(unsigned *number)
{
    struct sockaddr_in from = {0};
    socklen_t length = sizeof(from);
    uint8_t packet[16];
    ssize_t count =
        recvfrom(client, packet, sizeof(packet), MSG_DONTWAIT, (struct sockaddr *)&from, &length);

    if (count < 1)
        return 0;
    *number = packet[0];
    return ntohs(from.sin_port);
}

START_TEST(test_send)
{
    unsigned listener = (unsigned)_i / 2, number;
    bool rtcp = _i % 2;

    open_media();
    for (unsigned i = 0; i < UDP_SEND_BATCH; i++) {
        uint8_t packet[1] = {(uint8_t)i};

        media_send(media, listener, rtcp, &client_addr, packet, 1, &seen.tags[i]);
    }
    ck_assert_uint_eq(next_source(&number), 0);
    media_flush(media);
    for (unsigned i = 0; i < UDP_SEND_BATCH; i++) {
        ck_assert_uint_eq(next_source(&number), settings[listener].rtp_port + rtcp);
        ck_assert_uint_eq(number, i);
        ck_assert_int_eq(seen.tags[i], 1);
    }
    ck_assert_uint_eq(seen.sent[_i], UDP_SEND_BATCH);
    ck_assert_uint_eq(seen.failed, 0);
    ck_assert_uint_eq(media_received(media), 0);
    /* All is told: there is nothing left to flush. */
    media_flush(media);
    ck_assert_uint_eq(seen.sent[_i], UDP_SEND_BATCH);
}
END_TEST

/* One that cannot be sent is told with its errno, and holds up no other. */
START_TEST(test_send_failure)
{
    struct addr nowhere = addr_from_ip4((const uint8_t[]){255, 255, 255, 255}, 9);
    unsigned number;

    open_media();
    media_send(media, 0, false, &client_addr, (const uint8_t *)"a", 1, &seen.tags[0]);
    media_send(media, 0, false, &nowhere, (const uint8_t *)"b", 1, &seen.tags[1]);
    media_send(media, 0, false, &client_addr, (const uint8_t *)"c", 1, &seen.tags[2]);
    media_flush(media);
    ck_assert_uint_eq(seen.sent[0], 3);
    ck_assert_uint_eq(seen.failed, 1);
    ck_assert_int_ne(seen.error, 0);
    ck_assert(seen.tags[0] == 1 && seen.tags[1] == 1 && seen.tags[2] == 1);
    ck_assert_uint_ne(next_source(&number), 0);
    ck_assert_uint_eq(number, 'a');
    ck_assert_uint_ne(next_source(&number), 0);
    ck_assert_uint_eq(number, 'c');
}
END_TEST

/* ------------------------------------------------------------ opening */

/* Which section is wrong is said, and nothing stays open. */
START_TEST(test_port_in_use)
{
    char error[256] = "", wanted[64];
    uint16_t port;
    int taken = bound((uint16_t)(settings[_i / 2].rtp_port + (unsigned)_i % 2), &port);

    ck_assert_int_ge(taken, 0);
    ck_assert_int_lt(
        media_open(&media, loop, settings, LISTENERS, false, &hooks, &seen, error, sizeof(error)),
        0);
    ck_assert_ptr_null(media);
    snprintf(wanted, sizeof(wanted), "[listener l%d]", _i / 2);
    ck_assert_msg(strstr(error, wanted), "%s", error);
    ck_assert_msg(strstr(error, strerror(EADDRINUSE)), "%s", error);
    close(taken);
    open_media();
}
END_TEST

/* Threads share ports, and whoever begins finds them taken all the same. */
START_TEST(test_shared_ports)
{
    struct media *second = NULL, *other = NULL;
    char error[256] = "";

    open_media();
    ck_assert_int_lt(
        media_open(&second, loop, settings, LISTENERS, true, &hooks, &seen, error, sizeof(error)),
        0);
    ck_assert_int_eq(media_share(media, error, sizeof(error)), 0);
    ck_assert_msg(media_open(&second, loop, settings, LISTENERS, true, &hooks, &seen, error,
                             sizeof(error)) == 0,
                  "%s", error);
    ck_assert_int_lt(
        media_open(&other, loop, settings, LISTENERS, false, &hooks, &seen, error, sizeof(error)),
        0);
    ck_assert_ptr_null(other);
    ck_assert_msg(strstr(error, strerror(EADDRINUSE)), "%s", error);
    media_close(second);
}
END_TEST

START_TEST(test_describe)
{
    struct path_listener listener;

    memset(&listener, 0xff, sizeof(listener));
    media_describe(&settings[1], &listener);
    ck_assert_str_eq(listener.name, "l1");
    ck_assert_uint_eq(listener.address.port, settings[1].rtp_port);
    ck_assert_uint_eq(listener.advertise.port, settings[1].rtp_port);
    ck_assert(addr_ip_equal(&listener.advertise, &settings[1].advertise));
    ck_assert_int_eq(listener.m_line, 0);
    ck_assert_uint_eq(listener.counts[1].received + listener.sent[1], 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("media");
    TCase *tc = tcase_create("media");

    suite_add_tcase(suite, tc);
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, test_receive);
    tcase_add_test(tc, test_overflow);
    tcase_add_loop_test(tc, test_send, 0, PLACES);
    tcase_add_test(tc, test_send_failure);
    tcase_add_loop_test(tc, test_port_in_use, 0, PLACES);
    tcase_add_test(tc, test_shared_ports);
    tcase_add_test(tc, test_describe);
    return unit_run(suite);
}
