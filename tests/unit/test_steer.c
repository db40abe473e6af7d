/* Real sockets that share a port: the kernel runs the program. */
#include "config.h"

#include "common/net/steer.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "common/net/udp.h"
#include "tests/unit/sample.h"
#include "tests/unit/unit.h"

enum { SOCKETS = 4, ROUNDS = 64 };

static struct udp *sockets[SOCKETS];
static struct peers peers;
static struct addr local;

static struct udp *open_at(const char *text, bool shared)
{
    struct addr at = sample_addr(text);
    struct udp *udp = NULL;
    char error[256] = "";

    at.port = shared ? local.port : 0;
    ck_assert_msg((shared ? udp_open_shared : udp_open)(&udp, &at, 0, error, sizeof(error)) == 0,
                  "%s", error);
    return udp;
}

static void setup(const char *ip, bool prime, const struct addr *peer)
{
    struct steer steer = {.count = SOCKETS, .prime = prime, .peers = &peers};
    struct sock_filter code[STEER_MAX];
    struct sock_fprog program = {.filter = code};

    memset(&peers, 0, sizeof(peers));
    memset(&local, 0, sizeof(local));
    if (peer) {
        /* Others in front of it, which are not it. */
        for (unsigned i = 0; i < 5; i++) {
            struct addr other = *peer;
            char name[8];

            other.ip[peer->family == 6 ? 15 : 3] = (uint8_t)(100 + i);
            snprintf(name, sizeof(name), "p%u", i);
            ck_assert_int_eq(peers_add(&peers, name, &other), 0);
        }
        ck_assert_int_eq(peers_add(&peers, "peer", peer), 0);
    }
    for (unsigned i = 0; i < SOCKETS; i++) {
        sockets[i] = open_at(ip, i > 0);
        local = *udp_local(sockets[i]);
        if (i == 0)
            ck_assert_int_eq(udp_share(sockets[0]), 0);
    }
    steer.family = local.family;
    program.len = (unsigned short)steer_make(&steer, code);
    ck_assert_int_eq(udp_steer(sockets[1], &program), 0);
}

static void teardown(void)
{
    for (unsigned i = 0; i < SOCKETS; i++) {
        udp_close(sockets[i]);
        sockets[i] = NULL;
    }
}

/* Which of them has it. */
static unsigned arrived(void)
{
    struct pollfd fds[SOCKETS];
    struct udp_packet packets[UDP_BATCH];

    for (unsigned i = 0; i < SOCKETS; i++)
        fds[i] = (struct pollfd){.fd = udp_fd(sockets[i]), .events = POLLIN};
    ck_assert_int_eq(poll(fds, SOCKETS, 10000), 1);
    for (unsigned i = 0; i < SOCKETS; i++) {
        if (fds[i].revents) {
            ck_assert_int_eq(udp_receive(sockets[i], packets), 1);
            return i;
        }
    }
    return SOCKETS;
}

static void put(uint8_t *at, uint32_t word)
{
    for (unsigned i = 0; i < 4; i++)
        at[i] = (uint8_t)(word >> (24 - 8 * i));
}

static unsigned send_words(struct udp *from, uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
    uint8_t octets[16];

    put(octets, a);
    put(octets + 4, b);
    put(octets + 8, c);
    put(octets + 12, d);
    udp_queue(from, &local, octets, sizeof(octets), NULL);
    udp_flush(from);
    return arrived();
}

/* A sender's RTP with any number, its RTCP and, of a peer, its RTP'. */
static unsigned send_rtp(struct udp *from, uint32_t ssrc, uint32_t n)
{
    return send_words(from, 0x80000000 | n * 77, n * 160 & 0x3fffffff, ssrc, n);
}

static unsigned send_rtcp(struct udp *from, uint32_t ssrc, uint32_t n)
{
    return send_words(from, 0x80c80006 | (n % 4) << 16, ssrc, n, n * 5);
}

static unsigned send_prime(struct udp *from, uint32_t outer, uint32_t n)
{
    return send_words(from, outer, 0x80000000 | n * 77, n * 160, n * 31);
}

static const char *const ips[] = {"127.0.0.1:9", "[::1]:9"};

START_TEST(test_rtp_and_rtcp)
{
    struct udp *rtp = open_at(ips[_i], false), *rtcp = open_at(ips[_i], false);
    unsigned used[SOCKETS] = {0};

    setup(ips[_i], false, NULL);
    for (uint32_t ssrc = 1; ssrc <= ROUNDS; ssrc++) {
        unsigned at = send_rtp(rtp, ssrc, 1);

        used[at]++;
        for (uint32_t n = 2; n < 8; n++) {
            ck_assert_uint_eq(send_rtp(rtp, ssrc, n * 1000), at);
            ck_assert_uint_eq(send_rtcp(rtcp, ssrc, n), at);
        }
    }
    for (unsigned i = 0; i < SOCKETS; i++)
        ck_assert_uint_ge(used[i], ROUNDS / SOCKETS / 2);
    udp_close(rtp);
    udp_close(rtcp);
}
END_TEST

/* By what is in front, whatever it looks like: the SSRCs of one peer go to all of them. */
START_TEST(test_peer)
{
    struct udp *peer = open_at(ips[_i], false);
    unsigned used[SOCKETS] = {0};

    setup(ips[_i], false, udp_local(peer));
    for (uint32_t i = 0; i < ROUNDS; i++) {
        uint32_t outer = i % 2 ? i : 0x80000000 | i;
        unsigned at = send_prime(peer, outer, 1);

        used[at]++;
        for (uint32_t n = 2; n < 8; n++)
            ck_assert_uint_eq(send_prime(peer, outer, n), at);
    }
    for (unsigned i = 0; i < SOCKETS; i++)
        ck_assert_uint_ge(used[i], ROUNDS / SOCKETS / 2);
    udp_close(peer);
}
END_TEST

/* Inside, a client that is no peer sends RTP': all of one sender's goes to one. */
START_TEST(test_prime_client)
{
    struct udp *client = open_at(ips[_i], false);

    setup(ips[_i], true, NULL);
    for (uint32_t i = 0; i < ROUNDS; i++) {
        uint32_t outer = i * 0x12345677;
        unsigned at = send_prime(client, outer, 1);

        for (uint32_t n = 2; n < 8; n++)
            ck_assert_uint_eq(send_prime(client, outer, n), at);
    }
    udp_close(client);
}
END_TEST

/* What is too short for all that comes to one of them all the same. */
START_TEST(test_short)
{
    struct udp *from = open_at(ips[_i], false);
    static const uint8_t octets[12] = {0x80};

    setup(ips[_i], true, NULL);
    for (size_t length = 0; length <= sizeof(octets); length++) {
        udp_queue(from, &local, octets, length, NULL);
        udp_flush(from);
        ck_assert_uint_lt(arrived(), SOCKETS);
    }
    udp_close(from);
}
END_TEST

/* Jumps of 64 peers do not go astray: the kernel takes the program, and the last peer is known. */
START_TEST(test_most_peers)
{
    struct steer steer = {.family = ips[_i][0] == '[' ? 6 : 4, .count = SOCKETS, .peers = &peers};
    struct sock_filter code[STEER_MAX];
    size_t length;

    memset(&peers, 0, sizeof(peers));
    for (unsigned i = 0; i < PEERS_MAX; i++) {
        struct addr at = sample_addr(_i ? "[2001:db8::1]:5004" : "192.0.2.0:5004");
        char name[8];

        at.ip[at.family == 6 ? 15 : 3] = (uint8_t)i;
        snprintf(name, sizeof(name), "p%u", i);
        ck_assert_int_eq(peers_add(&peers, name, &at), 0);
    }
    length = steer_make(&steer, code);
    ck_assert_uint_le(length, STEER_MAX);
    for (size_t i = 0; i < length; i++) {
        if (BPF_CLASS(code[i].code) == BPF_JMP && BPF_OP(code[i].code) == BPF_JA)
            ck_assert_uint_lt(i + 1 + code[i].k, length);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("steer");
    TCase *tc = tcase_create("steer");

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, NULL, teardown);
    tcase_add_loop_test(tc, test_rtp_and_rtcp, 0, 2);
    tcase_add_loop_test(tc, test_peer, 0, 2);
    tcase_add_loop_test(tc, test_prime_client, 0, 2);
    tcase_add_loop_test(tc, test_short, 0, 2);
    tcase_add_loop_test(tc, test_most_peers, 0, 2);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
