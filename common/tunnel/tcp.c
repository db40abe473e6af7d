#define LOG_MODULE "tunnel"
#include "common/tunnel/tcp.h"

#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "common/base/log.h"

/* Of Linux 6.15; headers may be older than the kernel that runs. */
#ifndef TCP_RTO_MAX_MS
#define TCP_RTO_MAX_MS 44
#endif
#ifndef TCP_RTO_MIN_US
#define TCP_RTO_MIN_US 45
#endif
#ifndef TCP_DELACK_MAX_US
#define TCP_DELACK_MAX_US 46
#endif

enum {
    /* As long as the path is not known to be what limits us. */
    NOTSENT_LOWAT_OCTETS = 16 * 1024,
    NOTSENT_LOWAT_MAX = 256 * 1024,
    /*
     * Else as much as it takes in this time. In segments: the socket is writable when less than
     * half is left, and if that were less than a segment the kernel would believe that we have too
     * little to send, and would not see it when the path becomes slower. On a path that needs too
     * long even for that we do with less.
     */
    LOWAT_US = 5000,
    LOWAT_SEGMENTS = 4,
    LOWAT_SLOW_US = 40 * 1000,
    LOWAT_SLOW_SEGMENTS = 2,
    SEGMENT_MAX = 9000,
    ASK_INTERVAL_US = 10 * 1000,
    /* Who had no more than the path takes for so long is not limited by it. */
    UNLIMITED_US = 300 * 1000,
    /* A long queue on the path: this much, or half of the shortest RTT. */
    LONG_QUEUE_US = 20 * 1000,
    /* A queue that has not become shorter by then is not of our making. */
    CAP_US = 1000 * 1000,
    /* In which the queue should be gone; the rate is cut by an eighth at least, by half at most. */
    DRAIN_US = 500 * 1000,
    /* BBR's PROBE_RTT comes 10 s after the last; we are asked every 10 ms as long as there is
       media. Best while nothing is lost; with many segments on a lossy path that moment never
       comes. */
    RENEW_US = 7 * 1000 * 1000,
    RENEW_AT_LOSS_US = 8500 * 1000,
    NS_PER_S = 1000 * 1000 * 1000,
    USER_TIMEOUT_MS = 5000,
    /*
     * The default floor of 200 ms is all that hurts where the RTT is 1 ms, and acknowledgements
     * that are delayed for less than the floor cause no needless repetition. The kernel counts in
     * ticks and takes no less than two: the second value is for one of 100 Hz.
     */
    SHORT_US = 5000,
    SHORT_OF_SLOW_TICKS_US = 20000,
    /* After an outage the next try comes soon; longer than 1.5 s no tunnel lives without. */
    RTO_MAX_MS = 1000,
};

static const struct {
    const char *name;
    int option, value;
    int instead; /* 0: none */
} options[TCP_OPTIONS] = {
    [TCP_OPTION_BBR] = {"bbr", TCP_CONGESTION, 0, 0},
    [TCP_OPTION_NODELAY] = {"TCP_NODELAY", TCP_NODELAY, 1, 0},
    [TCP_OPTION_NOTSENT_LOWAT] = {"TCP_NOTSENT_LOWAT", TCP_NOTSENT_LOWAT, NOTSENT_LOWAT_OCTETS, 0},
    [TCP_OPTION_USER_TIMEOUT] = {"TCP_USER_TIMEOUT", TCP_USER_TIMEOUT, USER_TIMEOUT_MS, 0},
    [TCP_OPTION_RTO_MIN] = {"TCP_RTO_MIN_US", TCP_RTO_MIN_US, SHORT_US, SHORT_OF_SLOW_TICKS_US},
    [TCP_OPTION_RTO_MAX] = {"TCP_RTO_MAX_MS", TCP_RTO_MAX_MS, RTO_MAX_MS, 0},
    [TCP_OPTION_DELACK_MAX] = {"TCP_DELACK_MAX_US", TCP_DELACK_MAX_US, SHORT_US,
                               SHORT_OF_SLOW_TICKS_US},
};

const char *tcp_option_name(enum tcp_option option)
{
    return options[option].name;
}

static bool set_number(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof(value)) == 0;
}

static bool set_option(int fd, enum tcp_option option)
{
    static const char bbr[] = "bbr";
    bool done;

    if (option == TCP_OPTION_BBR)
        done = setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, bbr, sizeof(bbr) - 1) == 0;
    else
        done = set_number(fd, IPPROTO_TCP, options[option].option, options[option].value) ||
               (options[option].instead &&
                set_number(fd, IPPROTO_TCP, options[option].option, options[option].instead));
    if (!done)
        log_debug("the kernel refuses %s: %s", options[option].name, strerror(errno));
    return done;
}

unsigned tcp_set_options(int fd, unsigned dscp)
{
    int tos = (int)dscp << 2;
    unsigned refused = 0;

    for (enum tcp_option option = 0; option < TCP_OPTIONS; option++)
        refused |= set_option(fd, option) ? 0 : 1u << option;
    /* Sockets of IPv6 may take the first as well, without effect on IPv6. */
    bool set = set_number(fd, IPPROTO_IP, IP_TOS, tos);
    if (!set_number(fd, IPPROTO_IPV6, IPV6_TCLASS, tos) && !set)
        log_debug("DSCP could not be set: %s", strerror(errno));
    return refused;
}

static uint32_t lowat_of(uint64_t rate, uint32_t mss)
{
    uint64_t segment = mss < SEGMENT_MAX ? mss : SEGMENT_MAX;
    uint64_t lowat = rate * LOWAT_US / 1000000;
    uint64_t least = LOWAT_SEGMENTS * segment;

    if (least > rate * LOWAT_SLOW_US / 1000000)
        least = LOWAT_SLOW_SEGMENTS * segment;
    if (lowat < least)
        lowat = least;
    return lowat < NOTSENT_LOWAT_MAX ? (uint32_t)lowat : NOTSENT_LOWAT_MAX;
}

/* The time for the queue on the path; 0 without one. */
static uint32_t queue_of(const struct tcp_info *info)
{
    return info->tcpi_rtt > info->tcpi_min_rtt ? info->tcpi_rtt - info->tcpi_min_rtt : 0;
}

/*
 * A rate that was limited by how little we had to send says nothing about the path: a burst after
 * silence would look hopeless. But where the path is the limit the kernel takes a moment without
 * octets of ours for that, too.
 */
static bool is_limited(const struct tcp_path *path, const struct tcp_info *info, uint64_t now_us)
{
    if (info->tcpi_delivery_rate == 0 || info->tcpi_rtt == 0)
        return false;
    return !info->tcpi_delivery_rate_app_limited ||
           (path->limited && now_us - path->closed_us < UNLIMITED_US);
}

/*
 * In octets per second. From time to time BBR makes the window very small for 0.2 s, and does not
 * count what is delivered then.
 */
static uint64_t rate_of(const struct tcp_info *info)
{
    uint64_t rate = info->tcpi_delivery_rate;
    uint64_t window = (uint64_t)info->tcpi_snd_cwnd * info->tcpi_snd_mss * 1000000 / info->tcpi_rtt;

    return rate < window || window == 0 ? rate : window;
}

static uint64_t cut_of(const struct tcp_info *info)
{
    uint64_t queue_us = queue_of(info);

    if (queue_us < DRAIN_US / 8)
        queue_us = DRAIN_US / 8;
    if (queue_us > DRAIN_US / 2)
        queue_us = DRAIN_US / 2;
    return info->tcpi_delivery_rate * queue_us / DRAIN_US;
}

/* Of a rate or window that counts segments: octets. */
static uint64_t filled(const struct tcp_path *path, const struct tcp_info *info, uint64_t octets)
{
    if (path->segment == 0 || path->segment >= info->tcpi_snd_mss)
        return octets;
    octets = octets * path->segment / info->tcpi_snd_mss;
    return octets > 0 ? octets : 1;
}

/*
 * Both BBR and CUBIC fill the path until there is a queue, of an RTT or of as much as the path has
 * room for: media would wait there. With less than the path takes, the queue becomes shorter; at
 * half of what is long the kernel may do as it likes again. delivery rate: what the path takes as
 * long as there is a queue.
 */
static void judge_cap(struct tcp_path *path, const struct tcp_info *info, uint32_t long_us,
                      uint64_t now_us)
{
    bool over = now_us - path->capped_us >= CAP_US;
    uint64_t cap = path->cap;

    if (path->cap && (over || queue_of(info) < long_us / 2))
        cap = 0;
    else if (!path->cap && over && path->limited && path->long_queue)
        cap = filled(path, info, info->tcpi_delivery_rate - cut_of(info));
    if (cap != path->cap)
        path->capped_us = queue_of(info) < long_us / 2 ? 0 : now_us;
    path->cap = cap;
}

/* The time for what is on the path, beyond the shortest RTT. The smoothed RTT is behind by some. */
static uint64_t flight_of(const struct tcp_info *info, uint64_t rate)
{
    uint64_t left = (uint64_t)info->tcpi_sacked + info->tcpi_lost, segments = info->tcpi_unacked;
    uint64_t us;

    segments = (segments > left ? segments - left : 0) + info->tcpi_retrans;
    us = segments * info->tcpi_snd_mss * 1000000 / rate;
    us = us > info->tcpi_min_rtt ? us - info->tcpi_min_rtt : 0;
    return us < UINT32_MAX ? us : UINT32_MAX;
}

/*
 * What lies before a packet: in the kernel, and on the path. At the start of a load BBR sends three
 * times what the path takes, until it knows better, and the queue is longer than two RTT: what is
 * beyond these is taken off the age that media may have. Before the path is known to be the limit,
 * but the socket has had enough, what was delivered may have been what there was to send: then half
 * a window in each RTT goes for the least that the path takes.
 */
static void judge_age(struct tcp_path *path, const struct tcp_info *info, uint64_t now_us)
{
    uint64_t window = (uint64_t)info->tcpi_snd_cwnd * info->tcpi_snd_mss;
    bool full = path->closed_us > 0 && now_us - path->closed_us < UNLIMITED_US;
    uint64_t rate = info->tcpi_delivery_rate, flight_us, free_us = 2 * (uint64_t)info->tcpi_min_rtt;

    path->ns_per_octet = path->behind_us = path->spare_us = 0;
    if (path->limited) {
        flight_us = flight_of(info, rate);
        path->ns_per_octet = (uint32_t)(NS_PER_S / filled(path, info, rate_of(info)));
        path->behind_us = flight_us > free_us ? (uint32_t)(flight_us - free_us) : 0;
    } else if (full && window > 0 && info->tcpi_rtt > 0) {
        if (rate < window * 500000 / info->tcpi_rtt)
            rate = window * 500000 / info->tcpi_rtt + 1;
        path->ns_per_octet = (uint32_t)(NS_PER_S / filled(path, info, rate));
        path->behind_us = (uint32_t)flight_of(info, rate);
        path->spare_us = (uint32_t)free_us;
    }
}

void tcp_path_judge(struct tcp_path *path, const struct tcp_info *info, uint64_t now_us)
{
    uint32_t half_us = info->tcpi_min_rtt / 2;
    uint32_t long_us = half_us > LONG_QUEUE_US ? half_us : LONG_QUEUE_US;

    path->rtt_us = info->tcpi_rtt;
    if (path->lost != info->tcpi_total_retrans)
        path->lost_us = now_us;
    path->lost = info->tcpi_total_retrans;
    path->long_queue = queue_of(info) > long_us;
    path->limited = is_limited(path, info, now_us);
    path->lowat = NOTSENT_LOWAT_OCTETS;
    if (path->limited)
        path->lowat = lowat_of(filled(path, info, rate_of(info)), info->tcpi_snd_mss);
    judge_age(path, info, now_us);
    judge_cap(path, info, long_us, now_us);
}

static void set_cap(int fd, uint64_t cap)
{
    unsigned long rate = cap ? (unsigned long)cap : ~0ul;

    (void)setsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &rate, sizeof(rate));
}

/*
 * Every 10 s BBR makes its window four segments for 0.2 s, to see the RTT without its own queue:
 * media waits and grows old. Who begins anew takes the shortest RTT that TCP has seen. Only where
 * there is no queue, and we are not limited: else BBR would fill the path to find its rate, and
 * where the path has become longer it is to find that out.
 */
bool tcp_path_wants_renewal(const struct tcp_path *path, const struct tcp_info *info,
                            uint64_t now_us)
{
    uint64_t since_us = now_us - path->renewed_us;

    if (!path->bbr || path->limited || path->long_queue)
        return false;
    if (since_us >= RENEW_AT_LOSS_US)
        return info->tcpi_ca_state != TCP_CA_Loss;
    return since_us >= RENEW_US && info->tcpi_ca_state == TCP_CA_Open;
}

/* An algorithm that runs already is not set anew: another one has to be in between. */
static void renew(int fd)
{
    static const char reno[] = "reno";

    if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, reno, sizeof(reno) - 1) == 0 &&
        !set_option(fd, TCP_OPTION_BBR))
        log_warning("the kernel does not set bbr any more: the tunnel runs with reno");
}

static void ask(struct tcp_path *path, int fd, uint64_t now_us)
{
    struct tcp_info info = {0};
    socklen_t length = sizeof(info);
    uint32_t before = path->lowat;
    uint64_t cap = path->cap;

    path->asked_us = now_us;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) < 0) {
        path->lowat = NOTSENT_LOWAT_OCTETS;
        return;
    }
    tcp_path_judge(path, &info, now_us);
    if (path->cap != cap)
        set_cap(fd, path->cap);
    if (path->renewed_us == 0)
        path->renewed_us = now_us;
    if (tcp_path_wants_renewal(path, &info, now_us)) {
        renew(fd);
        path->renewed_us = now_us;
    }
    /* Small changes are not worth a call, and the kernel's figure is what counts. */
    if (path->lowat > before - before / 4 && path->lowat < before + before / 4)
        path->lowat = before;
    else if (!set_number(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, (int)path->lowat))
        path->lowat = before ? before : NOTSENT_LOWAT_OCTETS;
}

/* The kernel's own rule for a writable socket: half of lowat. */
static bool is_open(const struct tcp_path *path)
{
    return path->held * 2 < path->lowat;
}

bool tcp_path_holds(struct tcp_path *path, int fd)
{
    int unsent = 0;

    path->held = ioctl(fd, SIOCOUTQNSD, &unsent) == 0 && unsent > 0 ? (size_t)unsent : 0;
    return path->held > 0;
}

bool tcp_path_is_open(struct tcp_path *path, int fd, uint64_t now_us)
{
    if (path->lowat == 0 || now_us - path->asked_us >= ASK_INTERVAL_US)
        ask(path, fd, now_us);
    /* What was handed over can only have become less. */
    if (is_open(path) && !path->limited)
        return true;
    (void)tcp_path_holds(path, fd);
    if (!is_open(path))
        path->closed_us = now_us;
    return is_open(path);
}

size_t tcp_path_room(const struct tcp_path *path)
{
    return path->held < path->lowat ? path->lowat - path->held : 0;
}

void tcp_path_wrote(struct tcp_path *path, size_t octets)
{
    path->held += octets;
}

void tcp_path_wrote_segments(struct tcp_path *path, size_t octets, size_t segments)
{
    uint32_t mean = segments > 0 ? (uint32_t)(octets / segments) : 0;

    tcp_path_wrote(path, octets);
    if (mean > 0)
        path->segment = path->segment > 0 ? (7 * path->segment + mean) / 8 : mean;
}

void tcp_congestion(int fd, char *out, size_t size)
{
    socklen_t length = (socklen_t)size - 1;

    memset(out, 0, size);
    if (getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, out, &length) < 0)
        snprintf(out, size, "unknown");
}
