#include "common/tunnel/tcp.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
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
    ck_assert_int_eq(number_of(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT), 16 * 1024);
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

/* What the kernel tells, and what follows. rate in octets per second. */
static const struct {
    uint64_t rate;
    uint32_t mss, rtt_us, min_rtt_us;
    bool ours; /* the rate was what we had to send */
    uint32_t cwnd;
    uint32_t lowat, ns_per_octet;
    bool long_queue;
} paths[] = {
    /* Nothing is known, or we are what limits it. */
    {0, 1448, 0, 0, false, 100000, 16 * 1024, 0, false},
    {1000, 1448, 40000, 40000, true, 100000, 16 * 1024, 0, false},
    {100000000, 1448, 40000, 40000, true, 100000, 16 * 1024, 0, false},
    /* 5 ms of it, at least four segments, at most 256 KiB. */
    {2000000, 1448, 40000, 40000, false, 100000, 10000, 500, false},
    {1000000, 1448, 40000, 40000, false, 100000, 5792, 1000, false},
    {500000, 1448, 40000, 40000, false, 100000, 5792, 2000, false},
    {144800, 1448, 40000, 40000, false, 100000, 5792, 6906, false},
    {1000000000, 1448, 100, 100, false, 100000, 256 * 1024, 1, false},
    {5000000000, 1448, 100, 100, false, 100000, 256 * 1024, 0, false},
    /* Loopback's segments are none of a network. */
    {10000000, 65483, 100, 100, false, 100000, 50000, 100, false},
    {1000000, 65483, 100, 100, false, 100000, 36000, 1000, false},
    /* Four segments would be more than 40 ms. */
    {144799, 1448, 40000, 40000, false, 100000, 2896, 6906, false},
    {8000, 1448, 40000, 40000, false, 100000, 2896, 125000, false},
    /* 20 ms, or half of the shortest RTT. */
    {1000000, 1448, 60000, 40000, false, 100000, 5792, 1000, false},
    {1000000, 1448, 60001, 40000, false, 100000, 5792, 1000, true},
    {1000000, 1448, 20100, 100, false, 100000, 5792, 1000, false},
    {1000000, 1448, 20101, 100, false, 100000, 5792, 1000, true},
    {1000000, 1448, 300000, 200000, false, 100000, 5792, 1000, false},
    {1000000, 1448, 300001, 200000, false, 100000, 5792, 1000, true},
    {0, 1448, 60001, 40000, true, 100000, 16 * 1024, 0, true},
    /* A window that allows less than what was delivered. */
    {1000000, 1448, 40000, 40000, false, 28, 5792, 1000, false},
    {1000000, 1448, 40000, 40000, false, 20, 5792, 1381, false},
    {1000000, 1448, 80000, 40000, false, 4, 2896, 13812, true},
};

START_TEST(test_judge)
{
    struct tcp_info info = {
        .tcpi_delivery_rate = paths[_i].rate,
        .tcpi_snd_mss = paths[_i].mss,
        .tcpi_rtt = paths[_i].rtt_us,
        .tcpi_min_rtt = paths[_i].min_rtt_us,
        .tcpi_delivery_rate_app_limited = paths[_i].ours,
        .tcpi_snd_cwnd = paths[_i].cwnd,
    };
    struct tcp_path path = {.held = 7, .asked_us = 8};

    tcp_path_judge(&path, &info, 5000000);
    ck_assert_uint_eq(path.lowat, paths[_i].lowat);
    ck_assert_uint_eq(path.ns_per_octet, paths[_i].ns_per_octet);
    ck_assert_int_eq(path.limited, path.ns_per_octet > 0 || path.lowat == 256 * 1024);
    ck_assert_int_eq(path.long_queue, paths[_i].long_queue);
    ck_assert_uint_eq(path.held, 7);
}
END_TEST

/* What is taken off the age of media: what is on the path beyond two RTT; and before the path is
 * known to be the limit, all beyond them. 1,000 octets in each segment. */
static const struct {
    uint32_t rate, rtt_us, cwnd, unacked, sacked;
    bool ours, closed;
    uint32_t ns_per_octet, behind_us, spare_us;
} before_us[] = {
    {1000000, 40000, 1000, 40, 0, false, false, 1000, 0, 0},
    {1000000, 60000, 1000, 120, 0, false, false, 1000, 0, 0},
    {1000000, 60000, 1000, 150, 0, false, true, 1000, 30000, 0},
    {1000000, 60000, 1000, 150, 20, false, true, 1000, 10000, 0},
    {1000000, 150000, 1000, 40, 0, false, true, 1000, 0, 0},   /* the queue is gone already */
    {1000000, 150000, 50, 50, 0, true, false, 0, 0, 0},        /* what is slow holds nobody up */
    {10000, 40000, 20, 20, 0, true, true, 3999, 39999, 80000}, /* after silence */
    {500000, 40000, 20, 20, 0, true, true, 2000, 0, 80000},
    {500000, 100000, 50, 50, 0, true, true, 2000, 60000, 80000},
    {1000000, 0, 10, 10, 0, true, true, 0, 0, 0},
    {1000000, 40000, 0, 10, 0, true, true, 0, 0, 0},
};

START_TEST(test_before)
{
    struct tcp_info info = {
        .tcpi_delivery_rate = before_us[_i].rate,
        .tcpi_snd_mss = 1000,
        .tcpi_rtt = before_us[_i].rtt_us,
        .tcpi_min_rtt = 40000,
        .tcpi_delivery_rate_app_limited = before_us[_i].ours,
        .tcpi_snd_cwnd = before_us[_i].cwnd,
        .tcpi_unacked = before_us[_i].unacked,
        .tcpi_sacked = before_us[_i].sacked,
    };
    struct tcp_path path = {.closed_us = before_us[_i].closed ? 4990000 : 0};

    tcp_path_judge(&path, &info, 5000000);
    ck_assert_uint_eq(path.ns_per_octet, before_us[_i].ns_per_octet);
    ck_assert_uint_eq(path.behind_us, before_us[_i].behind_us);
    ck_assert_uint_eq(path.spare_us, before_us[_i].spare_us);
}
END_TEST

/*
 * A path of 1,000,000 octets per second and 40 ms, at times: its RTT, whether the last rate was
 * what we had to send, and whether the socket had enough just then. What follows: is the path the
 * limit, and the cap of the pacing rate.
 */
static const struct {
    uint64_t now_us;
    uint32_t rtt_us;
    bool ours, closed, limited;
    uint64_t cap;
} course[] = {
    {10000000, 40000, true, false, false, 0},
    {10010000, 70000, true, true, false, 0}, /* a burst after silence */
    {10020000, 45000, false, true, true, 0},
    {10030000, 60000, false, true, true, 0},
    {10040000, 60001, false, true, true, 875000},
    {10050000, 55000, true, true, true, 875000},
    {10060000, 50000, true, false, true, 875000},
    {10070000, 49999, true, false, true, 0}, /* at once again when it is long again */
    {10080000, 61000, false, true, true, 875000},
    {11079999, 61000, false, true, true, 875000},
    {11080000, 61000, false, true, true, 0}, /* not of our making: for as long, none */
    {12079999, 61000, false, true, true, 0},
    {12080000, 61000, false, true, true, 875000},
    {12090000, 41000, true, true, true, 0},
    {12389999, 41000, true, false, true, 0},
    {12390000, 41000, true, false, false, 0}, /* less than it takes for 0.3 s */
    {12400000, 99000, true, true, false, 0},
    /* As much less as makes it go away in 0.5 s, but half of the rate. */
    {14000000, 165000, false, true, true, 750000},
    {14010000, 40000, false, true, true, 0},
    {14020000, 900000, false, true, true, 500000},
};

START_TEST(test_course)
{
    struct tcp_info info = {
        .tcpi_delivery_rate = 1000000,
        .tcpi_snd_mss = 1448,
        .tcpi_min_rtt = 40000,
        .tcpi_snd_cwnd = 1000,
    };
    struct tcp_path path = {.held = 0};

    for (size_t i = 0; i < sizeof(course) / sizeof(course[0]); i++) {
        info.tcpi_rtt = course[i].rtt_us;
        info.tcpi_delivery_rate_app_limited = course[i].ours;
        if (course[i].closed)
            path.closed_us = course[i].now_us;
        tcp_path_judge(&path, &info, course[i].now_us);
        ck_assert_msg(path.limited == course[i].limited && path.cap == course[i].cap,
                      "row %zu: %d %llu", i, path.limited, (unsigned long long)path.cap);
    }
}
END_TEST

/* The kernel counts segments as if they were full. */
START_TEST(test_small_segments)
{
    struct tcp_info info = {
        .tcpi_delivery_rate = 1448000,
        .tcpi_snd_mss = 1448,
        .tcpi_rtt = 400000,
        .tcpi_min_rtt = 40000,
        .tcpi_snd_cwnd = 10000,
    };
    struct tcp_path path = {.held = 0};
    uint64_t cap;

    tcp_path_judge(&path, &info, 5000000);
    ck_assert_uint_eq(path.ns_per_octet, 1000000000 / 1448000);
    ck_assert_uint_gt(path.cap, 0);
    cap = path.cap;
    path = (struct tcp_path){.held = 0};
    tcp_path_wrote_segments(&path, 4 * (size_t)214, 4);
    ck_assert_uint_eq(path.held, 4 * 214);
    ck_assert_uint_eq(path.segment, 214);
    tcp_path_judge(&path, &info, 5000000);
    ck_assert_uint_eq(path.ns_per_octet, 1000000000 / 214000);
    ck_assert_uint_eq(path.cap, cap * 214 / 1448);
    /* Full ones after them are as before, in the mean of some. */
    for (int i = 0; i < 100; i++)
        tcp_path_wrote_segments(&path, 1448, 1);
    ck_assert_uint_ge(path.segment, 1440);
    tcp_path_wrote_segments(&path, 0, 0);
    ck_assert_uint_ge(path.segment, 1440);
}
END_TEST

static void connect_pair(int fds[2])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, length), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&address, &length), 0);
    fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    (void)connect(fds[0], (struct sockaddr *)&address, length);
    fds[1] = accept(listener, NULL, NULL);
    ck_assert_int_ge(fds[1], 0);
    close(listener);
}

static const struct {
    bool bbr, limited, long_queue;
    uint8_t state;
    uint64_t since_us;
    bool wants;
} renewals[] = {
    {true, false, false, TCP_CA_Open, 7000000, true},
    {true, false, false, TCP_CA_Open, 6999999, false},
    {false, false, false, TCP_CA_Open, 7000000, false},
    {true, true, false, TCP_CA_Open, 7000000, false},
    {true, false, true, TCP_CA_Open, 7000000, false},
    {true, false, false, TCP_CA_Recovery, 8499999, false},
    {true, false, false, TCP_CA_Recovery, 8500000, true},
    {true, false, false, TCP_CA_Disorder, 8499999, false},
    {true, false, false, TCP_CA_Disorder, 8500000, true},
    {true, false, false, TCP_CA_Loss, 9000000, false},
    {true, true, false, TCP_CA_Recovery, 9000000, false},
};

START_TEST(test_renewal)
{
    struct tcp_info info = {.tcpi_ca_state = renewals[_i].state};
    struct tcp_path path = {.bbr = renewals[_i].bbr,
                            .limited = renewals[_i].limited,
                            .long_queue = renewals[_i].long_queue,
                            .renewed_us = 1000};

    ck_assert_int_eq(tcp_path_wants_renewal(&path, &info, 1000 + renewals[_i].since_us),
                     renewals[_i].wants);
}
END_TEST

/* The kernel runs the same algorithm afterwards, and the connection goes on. */
START_TEST(test_renewed)
{
    struct tcp_path path = {.bbr = true};
    char congestion[32], octet;
    int fds[2];

    connect_pair(fds);
    path.bbr = !(tcp_set_options(fds[0], 0) & 1u << TCP_OPTION_BBR);
    for (unsigned i = 1; i < 5; i++) {
        ck_assert(tcp_path_is_open(&path, fds[0], i * 7000000));
        ck_assert_uint_eq(path.renewed_us, path.bbr ? i * 7000000 : 7000000);
        tcp_congestion(fds[0], congestion, sizeof(congestion));
        ck_assert_int_eq(strcmp(congestion, "bbr") == 0, path.bbr);
        ck_assert_int_eq(send(fds[0], "x", 1, 0), 1);
        ck_assert_int_eq(recv(fds[1], &octet, 1, 0), 1);
    }
    close(fds[0]);
    close(fds[1]);
}
END_TEST

START_TEST(test_room)
{
    struct tcp_path path = {.lowat = 1000, .held = 300};

    ck_assert_uint_eq(tcp_path_room(&path), 700);
    tcp_path_wrote(&path, 699);
    ck_assert_uint_eq(tcp_path_room(&path), 1);
    tcp_path_wrote(&path, 2);
    ck_assert_uint_eq(tcp_path_room(&path), 0);
}
END_TEST

static bool is_writable(int fd)
{
    struct pollfd poller = {.fd = fd, .events = POLLOUT};

    return poll(&poller, 1, 0) == 1;
}

/* Nobody reads: what the path takes is soon in the kernel, and then it is closed. */
START_TEST(test_open)
{
    static const char octets[1000];
    struct tcp_path path = {.held = 0};
    uint64_t now_us = 1;
    int fds[2];

    connect_pair(fds);
    (void)tcp_set_options(fds[0], 0);
    for (unsigned i = 0; tcp_path_is_open(&path, fds[0], now_us); i++, now_us += 100) {
        ck_assert_uint_lt(i, 1000000);
        ck_assert_int_eq(send(fds[0], octets, sizeof(octets), 0), sizeof(octets));
        tcp_path_wrote(&path, sizeof(octets));
    }
    /* As much as it holds is what it was asked for, and the next packet. */
    ck_assert_uint_ge(2 * path.held, path.lowat);
    ck_assert_uint_lt(path.held, path.lowat / 2 + 2 * sizeof(octets));
    ck_assert(!is_writable(fds[0]));
    ck_assert(tcp_path_holds(&path, fds[0]));
    for (bool done = false; !done; now_us += 10000) {
        char rest[65536];

        ck_assert_uint_lt(now_us, 1000000000);
        done = recv(fds[1], rest, sizeof(rest), MSG_DONTWAIT) < 0 && is_writable(fds[0]);
    }
    ck_assert(tcp_path_is_open(&path, fds[0], now_us));
    for (unsigned i = 0; tcp_path_holds(&path, fds[0]); i++) {
        char rest[65536];

        ck_assert_uint_lt(i, 1000000);
        (void)recv(fds[1], rest, sizeof(rest), MSG_DONTWAIT);
    }
    ck_assert_uint_eq(path.held, 0);
    close(fds[0]);
    close(fds[1]);
}
END_TEST

/* What is no TCP holds nothing back. */
START_TEST(test_open_no_tcp)
{
    struct tcp_path path = {.held = 0};
    int fds[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    for (unsigned i = 0; i < 100; i++) {
        ck_assert(tcp_path_is_open(&path, fds[0], i));
        ck_assert_uint_gt(tcp_path_room(&path), 8 * 1024 - 1);
        tcp_path_wrote(&path, 10000);
        ck_assert(!tcp_path_holds(&path, fds[0]));
    }
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
    tcase_add_loop_test(tcase, test_before, 0, sizeof(before_us) / sizeof(before_us[0]));
    tcase_add_loop_test(tcase, test_judge, 0, sizeof(paths) / sizeof(paths[0]));
    tcase_add_test(tcase, test_course);
    tcase_add_loop_test(tcase, test_renewal, 0, sizeof(renewals) / sizeof(renewals[0]));
    tcase_add_test(tcase, test_small_segments);
    tcase_add_test(tcase, test_renewed);
    tcase_add_test(tcase, test_room);
    tcase_add_test(tcase, test_open);
    tcase_add_test(tcase, test_open_no_tcp);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
