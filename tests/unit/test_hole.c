/* Sealed frames over TCP without TLS: what is taken comes, in whatever pieces, on a fake clock. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/protocol.h"
#include "inner-relay/hole.h"
#include "tests/unit/unit.h"

#define UNBOUNDED UINT64_MAX

enum { MS = 1000, LABEL = 7, PACKET = 180, WIRE = 64 * 1024, MANY = 100000 };

struct end {
    struct hole *hole;
    unsigned packets;
    uint32_t next; /* the number that the next packet has to have */
};

static struct seal_store *store;
static struct end ends[2];
static uint64_t now_us;
static uint64_t takes = UNBOUNDED; /* so many octets fit into TCP */

/* The one that hole.c calls: it takes a part of a segment where the kernel does so hardly ever. */
ssize_t send(int fd, const void *data, size_t length, int flags)
{
    ssize_t sent;

    if (takes == 0) {
        errno = EAGAIN;
        return -1;
    }
    sent = sendto(fd, data, length < takes ? length : (size_t)takes, flags, NULL, 0);
    if (sent > 0 && takes != UNBOUNDED)
        takes -= (uint64_t)sent;
    return sent;
}

static void on_media(void *ctx, const struct session_packet *packets, size_t count, uint64_t at_us)
{
    struct end *end = ctx;

    ck_assert_uint_eq(at_us, now_us);
    for (size_t i = 0; i < count; i++) {
        uint32_t number;

        ck_assert_uint_eq(packets[i].label, LABEL);
        ck_assert_uint_eq(packets[i].length, PACKET);
        memcpy(&number, packets[i].data, sizeof(number));
        ck_assert_uint_eq(number, end->next++);
        end->packets++;
    }
}

static const struct meetpath_hooks hooks = {.media = on_media};

static void open_end(int i, int fd)
{
    static const uint8_t secret[2][SEAL_SECRET_OCTETS] = {{1}, {2}};

    ends[i] = (struct end){.packets = 0};
    ends[i].hole = hole_new(fd, store, secret[i], secret[1 - i], &hooks, &ends[i], now_us);
    ck_assert_ptr_nonnull(ends[i].hole);
}

/* TCP, as it is between two sites. */
static void tcp_pair(int fds[2])
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(at);
    int listener = socket(AF_INET, SOCK_STREAM, 0), small = 4096;

    ck_assert_int_eq(bind(listener, (struct sockaddr *)&at, sizeof(at)), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&at, &length), 0);
    fds[0] = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
    ck_assert_int_eq(connect(fds[0], (struct sockaddr *)&at, sizeof(at)), 0);
    fds[1] = accept(listener, NULL, NULL);
    ck_assert_int_ge(fds[1], 0);
    close(listener);
}

static void setup(void)
{
    now_us = 5000 * MS;
    takes = UNBOUNDED;
    ck_assert_int_eq(seal_store_new(&store), 0);
}

static void teardown(void)
{
    for (int i = 0; i < 2; i++) {
        hole_free(ends[i].hole);
        ends[i].hole = NULL;
    }
    seal_store_free(store);
}

static void open_both(void)
{
    int fds[2];

    tcp_pair(fds);
    open_end(0, fds[0]);
    open_end(1, fds[1]);
}

/* Has it been taken, for this way at least? */
static bool put(struct end *end, uint32_t number)
{
    uint8_t packet[PACKET] = {0};
    uint64_t before = end->hole->path.sent;

    memcpy(packet, &number, sizeof(number));
    (void)meetpath_media(&end->hole->path, LABEL, packet, sizeof(packet), now_us);
    return end->hole->path.sent > before;
}

static void run(unsigned ms)
{
    for (; ms > 0; ms--) {
        now_us += MS;
        for (int i = 0; i < 2; i++) {
            ck_assert_int_eq(hole_tend(ends[i].hole, now_us), 0);
            ck_assert_int_eq(hole_read(ends[i].hole, now_us), 0);
        }
    }
}

START_TEST(test_proven)
{
    open_both();
    ck_assert(put(&ends[0], 0) && put(&ends[1], 0));
    run(2000);
    for (int i = 0; i < 2; i++) {
        ck_assert(direct_is_proven(&ends[i].hole->path.direct, now_us));
        ck_assert_uint_eq(ends[i].packets, 1);
        ck_assert_uint_eq(ends[i].hole->path.forged, 0);
    }
}
END_TEST

/* What TCP does not take now is not taken, and goes another way; what was taken comes, in order. */
START_TEST(test_full)
{
    uint32_t taken = 0;
    unsigned tries;

    open_both();
    run(1000);
    while (taken < MANY && put(&ends[0], taken))
        taken++;
    ck_assert_uint_gt(taken, 10);
    ck_assert_uint_lt(taken, MANY);
    for (tries = 0; ends[1].packets < taken && tries < MANY; tries++) {
        now_us += MS / 10;
        ck_assert_int_eq(hole_read(ends[1].hole, now_us), 0);
        ck_assert_int_eq(hole_tend(ends[0].hole, now_us), 0);
    }
    ck_assert_uint_eq(ends[1].packets, taken);
    ck_assert(put(&ends[0], taken));
}
END_TEST

/* TCP takes a part of a segment: the rest goes before anything else, and nothing comes twice. */
START_TEST(test_parts)
{
    uint32_t taken = 0;
    unsigned cut = 0;

    open_both();
    for (unsigned ms = 0; ms < 3000; ms++) {
        now_us += MS;
        takes = ms % 5 == 4 ? 3000 : ms % 3 * (uint64_t)_i;
        taken += put(&ends[0], taken);
        ck_assert_int_eq(hole_tend(ends[0].hole, now_us), 0);
        cut += ends[0].hole->rest_length > 0;
        ck_assert_int_eq(hole_read(ends[1].hole, now_us), 0);
    }
    ck_assert_uint_gt(cut, 100);
    takes = UNBOUNDED;
    run(2);
    ck_assert_uint_gt(taken, 100);
    ck_assert_uint_eq(ends[1].packets, taken);
    ck_assert_uint_eq(ends[1].hole->path.forged, 0);
}
END_TEST

START_TEST(test_ends)
{
    open_both();
    hole_free(ends[0].hole);
    ends[0].hole = NULL;
    ck_assert_int_eq(hole_read(ends[1].hole, now_us), ERR_CLOSED);
    now_us += 1000 * MS;
    /* The first write may be what finds it out. */
    (void)hole_tend(ends[1].hole, now_us);
    ck_assert_int_eq(hole_read(ends[1].hole, now_us), ERR_CLOSED);
}
END_TEST

/* ------------------------------------------------------------ octets on their way */

/* The octets that this many packets make. */
static size_t octets_of(unsigned packets, uint8_t wire[WIRE], int *other)
{
    int fds[2];
    ssize_t got;

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    open_end(0, fds[0]);
    for (uint32_t i = 0; i < packets; i++)
        ck_assert(put(&ends[0], i));
    meetpath_flush(&ends[0].hole->path, now_us);
    got = recv(fds[1], wire, WIRE, MSG_DONTWAIT);
    ck_assert_int_gt(got, 0);
    close(fds[1]);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    open_end(1, fds[1]);
    *other = fds[0];
    return (size_t)got;
}

START_TEST(test_pieces)
{
    uint8_t wire[WIRE];
    int other;
    size_t length = octets_of(30, wire, &other);
    size_t piece = (size_t)_i;

    for (size_t at = 0; at < length; at += piece) {
        size_t count = length - at < piece ? length - at : piece;

        ck_assert_int_eq(send(other, wire + at, count, 0), (ssize_t)count);
        ck_assert_int_eq(hole_read(ends[1].hole, now_us), 0);
    }
    ck_assert_uint_eq(ends[1].packets, 30);
    close(other);
}
END_TEST

/*
 * One bit of the second frame is another one. It is passed by, and the third comes, unless the
 * second says that it is longer than it is: then that is waited for.
 */
START_TEST(test_flips)
{
    enum { FRAME = SEAL_OVER_OCTETS + PACKET };
    uint8_t wire[WIRE];
    int other;
    size_t length = octets_of(3, wire, &other), which = (size_t)_i * unit_stride(17);
    size_t at = which / 8;
    uint8_t bit = (uint8_t)(1u << which % 8);
    bool longer = (at == 3 || at == 4) && !(wire[FRAME + at] & bit) &&
                  seal_length(wire + FRAME, FRAME) == FRAME;

    ck_assert_uint_eq(length, 3 * FRAME);
    wire[FRAME + at] ^= bit;
    longer = longer && seal_length(wire + FRAME, FRAME) > FRAME;
    ends[1].next = 0;
    ck_assert_int_eq(send(other, wire, FRAME, 0), FRAME);
    ck_assert_int_eq(hole_read(ends[1].hole, now_us), 0);
    ck_assert_uint_eq(ends[1].packets, 1);
    ends[1].next = 2;
    ck_assert_int_eq(send(other, wire + FRAME, 2 * FRAME, 0), 2 * FRAME);
    ck_assert_int_eq(hole_read(ends[1].hole, now_us), 0);
    ck_assert_uint_eq(ends[1].packets, longer ? 1 : 2);
    /* With the counter of one that has come it is taken for that. */
    if (at >= SEAL_HEAD_OCTETS)
        ck_assert_uint_eq(ends[1].hole->path.forged, 1);
    close(other);
}
END_TEST

/* Somebody puts octets in between, all at once or one by one: what was there is passed by. */
START_TEST(test_strays)
{
    enum { FRAME = SEAL_OVER_OCTETS + PACKET };
    static const uint8_t strays[] = {0, 0x17, 3, 0, 0x17, 0x17, 3, 2, 0, 1, 0x17, 3};
    uint8_t wire[WIRE], mixed[WIRE];
    int other;
    size_t length = octets_of(3, wire, &other), count = (size_t)_i % sizeof(strays) + 1;
    size_t piece = _i < (int)sizeof(strays) ? sizeof(mixed) : 1;

    memcpy(mixed, wire, FRAME);
    memcpy(mixed + FRAME, strays, count);
    memcpy(mixed + FRAME + count, wire + FRAME, length - FRAME);
    length += count;
    for (size_t at = 0; at < length; at += piece) {
        size_t some = length - at < piece ? length - at : piece;

        ck_assert_int_eq(send(other, mixed + at, some, 0), (ssize_t)some);
        ck_assert_int_eq(hole_read(ends[1].hole, now_us), 0);
    }
    ck_assert_uint_eq(ends[1].packets, 3);
    ck_assert_uint_gt(ends[1].hole->path.forged, 0);
    close(other);
}
END_TEST

/* What somebody else says is not listened to for long. */
START_TEST(test_stranger)
{
    static const char words[] = "GET / HTTP/1.1\r\n\r\n";
    uint8_t wire[WIRE];
    int other;

    (void)octets_of(1, wire, &other);
    ck_assert_int_eq(send(other, words, sizeof(words), 0), sizeof(words));
    ck_assert_int_eq(hole_read(ends[1].hole, now_us), ERR_PROTOCOL);
    ck_assert_uint_eq(ends[1].packets, 0);
    close(other);
}
END_TEST

/* ------------------------------------------------------------ segments */

/* The first is lost: what is behind it comes early, and when the kernel has all, it alone. */
START_TEST(test_early)
{
    enum { FRAME = SEAL_OVER_OCTETS + PACKET };
    uint8_t wire[WIRE], segment[FRAME];
    int other;
    size_t length = octets_of(4, wire, &other);

    ends[1].next = 1;
    for (size_t at = FRAME; at < length; at += FRAME) {
        memcpy(segment, wire + at, FRAME);
        hole_segment(ends[1].hole, segment, FRAME, now_us);
        /* One that begins inside of a frame is left to the kernel. */
        memcpy(segment, wire + at + 1, FRAME - 1);
        hole_segment(ends[1].hole, segment, FRAME - 1, now_us);
    }
    ck_assert_uint_eq(ends[1].packets, 3);
    ck_assert_uint_eq(ends[1].hole->early, 3);
    ends[1].next = 0;
    ck_assert_int_eq(send(other, wire, length, 0), (ssize_t)length);
    ck_assert_int_eq(hole_read(ends[1].hole, now_us), 0);
    ck_assert_uint_eq(ends[1].packets, 4);
    ck_assert_uint_eq(ends[1].hole->early, 3);
    ck_assert_uint_eq(ends[1].hole->path.forged, 0);
    close(other);
}
END_TEST

/* ------------------------------------------------------------ there and back */

/* Media all the while, and a silence in each period: is it restless afterwards? */
static bool falls_silent(unsigned times, unsigned period_ms)
{
    bool restless = false;

    open_both();
    run(2000);
    for (unsigned i = 0; i < times; i++) {
        for (unsigned ms = 0; ms < period_ms && !restless; ms++) {
            now_us += MS;
            (void)direct_way(&ends[0].hole->path.direct, now_us);
            restless = hole_is_restless(ends[0].hole, now_us);
            if (ms < 300)
                continue;
            for (int e = 0; e < 2; e++) {
                ck_assert_int_eq(hole_tend(ends[e].hole, now_us), 0);
                ck_assert_int_eq(hole_read(ends[e].hole, now_us), 0);
            }
        }
    }
    return restless;
}

START_TEST(test_restless)
{
    static const struct {
        unsigned times, period_ms;
        bool restless;
    } rows[] = {
        {HOLE_RETURNS, 2000, true},
        {HOLE_RETURNS - 1, 2000, false},
        {3 * HOLE_RETURNS, 8000, false},
        {HOLE_RETURNS, 7000, true},
        {1, 60000, false},
    };

    ck_assert_int_eq(falls_silent(rows[_i].times, rows[_i].period_ms), rows[_i].restless);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("hole");
    TCase *tcase = tcase_create("hole");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_proven);
    tcase_add_test(tcase, test_full);
    tcase_add_loop_test(tcase, test_parts, 100, 108);
    tcase_add_test(tcase, test_ends);
    tcase_add_loop_test(tcase, test_pieces, 1, 40);
    tcase_add_loop_test(tcase, test_flips, 0,
                        (SEAL_OVER_OCTETS + PACKET) * 8 / (int)unit_stride(17));
    tcase_add_loop_test(tcase, test_strays, 0, 24);
    tcase_add_test(tcase, test_stranger);
    tcase_add_test(tcase, test_early);
    tcase_add_loop_test(tcase, test_restless, 0, 5);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
