#include "config.h" /* _GNU_SOURCE */

#include "tests/bench/flow.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/base/protocol.h"
#include "common/rtp/classify.h"
#include "tests/unit/protect.h"

enum {
    BATCH = 64,
    NS_PER_S = 1000000000,
    PAYLOAD_TYPE = 96,
    TIMESTAMP_STEP = 160,
    SHARE = 1 << 20
};
static const size_t memory_max = (size_t)3 << 30;
static const uint64_t stuck_max_ns = 30 * 1000 * 1000;

enum flow_kind { KIND_GOOD, KIND_FORGED, KIND_REPLAYED };

/* An address as the system calls want it; and the source that the packets leave from. */
struct flow_target {
    struct sockaddr_storage name;
    socklen_t length;
    union {
        struct cmsghdr align;
        uint8_t octets[CMSG_SPACE(sizeof(struct in_pktinfo))];
    } source;
};

/* ---------------------------------------------------------------- addresses and sockets */

static struct addr ip_plus(const struct addr *first, unsigned n)
{
    struct addr addr = *first;

    for (int i = 3; i >= 0; i--) {
        n += addr.ip[i];
        addr.ip[i] = (uint8_t)n;
        n >>= 8;
    }
    return addr;
}

struct addr flow_source(const struct flow *flow, unsigned n)
{
    return ip_plus(&flow->from, n % flow->plan->sources);
}

struct addr flow_sink(const struct flow *flow, unsigned n)
{
    return ip_plus(&flow->sink, n % flow->plan->sinks);
}

/* One socket for all addresses. */
static int open_socket(const struct addr *first, unsigned addresses)
{
    struct addr any = {.family = 4, .port = first->port};

    if (addresses > 1 && first->family != 4)
        cli_die("many addresses of one side have to be IPv4");
    return cli_socket(addresses > 1 ? &any : first);
}

static void enter_netns(int fd, const char *name)
{
    if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
        cli_die("network namespace %s: %s", name, strerror(errno));
}

/* In a network namespace; NULL: in this one. */
static int open_socket_in(const char *netns, const struct addr *first, unsigned addresses)
{
    int home, there, fd;
    char path[128];

    if (!netns)
        return open_socket(first, addresses);
    home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    snprintf(path, sizeof(path), "/run/netns/%s", netns);
    there = open(path, O_RDONLY | O_CLOEXEC);
    enter_netns(there, netns);
    fd = open_socket(first, addresses);
    enter_netns(home, "of the bench");
    close(there);
    close(home);
    return fd;
}

static void open_sink(struct flow *flow)
{
    const int one = 1;

    flow->sink_fd = open_socket_in(flow->sink_netns, &flow->sink, flow->plan->sinks);
    if (setsockopt(flow->sink_fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof(one)) < 0)
        cli_die("SO_TIMESTAMPNS: %s", strerror(errno));
}

void flow_aim(struct flow *flow, unsigned n, const struct addr *to)
{
    struct flow_target *target = &flow->to[n];
    struct addr from = flow_source(flow, n);
    struct in_pktinfo info = {0};
    struct cmsghdr *head = &target->source.align;

    target->length = addr_to_sockaddr(to, &target->name);
    memcpy(&info.ipi_spec_dst, from.ip, sizeof(info.ipi_spec_dst));
    head->cmsg_level = IPPROTO_IP;
    head->cmsg_type = IP_PKTINFO;
    head->cmsg_len = CMSG_LEN(sizeof(info));
    memcpy(CMSG_DATA(head), &info, sizeof(info));
}

/* ---------------------------------------------------------------- packets */

static void *need(size_t count, size_t size)
{
    void *memory = count <= memory_max / size ? calloc(count ? count : 1, size) : NULL;

    if (!memory)
        cli_die("%zu MB of memory for the packets cannot be had: "
                "take fewer streams, a lower rate or less time",
                count / 1000000 * size);
    return memory;
}

static uint8_t payload_octet(uint32_t ssrc, uint64_t number)
{
    return (uint8_t)(ssrc + number);
}

static size_t make_packet(const struct flow *flow, struct protect *protect, uint32_t ssrc,
                          uint64_t number, uint8_t *out, size_t size)
{
    uint8_t payload[PACKET_MAX_OCTETS];
    uint64_t index = number + 1;

    memset(payload, payload_octet(ssrc, number), flow->plan->size);
    return protect_rtp(protect, index, out,
                       protect_make_rtp(out, size, PAYLOAD_TYPE, (uint16_t)index,
                                        (uint32_t)index * TIMESTAMP_STEP, ssrc, payload,
                                        flow->plan->size),
                       size);
}

/* The shares, spread without a pattern, and the same in each run. */
static enum flow_kind kind_of(const struct flow_plan *plan, uint64_t n)
{
    uint64_t dice = (n + 1) * 0x9e3779b97f4a7c15u;

    dice = (dice ^ dice >> 32) * 0xd6e8feb86659fd93u >> 44;
    if ((double)dice < plan->forged * SHARE)
        return KIND_FORGED;
    return (double)dice < (plan->forged + plan->replayed) * SHARE ? KIND_REPLAYED : KIND_GOOD;
}

/* Packet number n of the flow has been made; makes a forged one of it, or an older one anew. */
static void spoil(struct flow *flow, uint64_t n)
{
    uint64_t streams = flow->plan->streams, older = n;
    uint8_t *packet = flow->packets + n * flow->length;

    flow->kind[n] = (uint8_t)kind_of(flow->plan, n);
    if (flow->kind[n] == KIND_FORGED)
        packet[flow->length - 1] ^= 1;
    if (flow->kind[n] != KIND_REPLAYED)
        return;
    do {
        older -= streams;
    } while (older < n && flow->kind[older] != KIND_GOOD);
    if (older < n)
        memcpy(packet, flow->packets + older * flow->length, flow->length);
    else
        flow->kind[n] = KIND_GOOD;
}

/* All packets of one stream; all have one length. */
static void make_stream(struct flow *flow, unsigned n)
{
    const struct flow_plan *plan = flow->plan;
    uint32_t ssrc = flow->first_ssrc + n;
    uint8_t packet[PACKET_MAX_OCTETS], material[SUITE_KEY_MAX_OCTETS];
    struct protect *protect;

    cli_key_of(&plan->key, n, material);
    protect = protect_new(plan->key.suite, material, ssrc);
    if (!protect)
        cli_die("the SRTP session of stream %u could not be made", n);
    for (uint64_t k = 0; k < plan->per_stream; k++) {
        size_t length = make_packet(flow, protect, ssrc, k, packet, sizeof(packet));

        if (length == 0 || (flow->length > 0 && length != flow->length))
            cli_die("a packet could not be protected");
        if (!flow->packets) {
            flow->length = length;
            flow->packets = need(flow->total, length);
        }
        memcpy(flow->packets + (k * plan->streams + n) * length, packet, length);
        spoil(flow, k * plan->streams + n);
    }
    protect_free(protect);
}

void flow_open(struct flow *flow)
{
    const struct flow_plan *plan = flow->plan;

    flow->total = plan->per_stream * plan->streams;
    flow->kind = need(flow->total, sizeof(*flow->kind));
    flow->sent_ns = need(flow->total, sizeof(*flow->sent_ns));
    flow->arrived = need(flow->total, sizeof(*flow->arrived));
    flow->delays = need(FLOW_DELAYS, sizeof(*flow->delays));
    flow->last_ns = need(plan->streams, sizeof(*flow->last_ns));
    flow->to = need(plan->streams, sizeof(*flow->to));
    for (unsigned n = 0; n < plan->streams; n++)
        make_stream(flow, n);
    /* Its pages are here before the run. */
    memset(flow->sent_ns, 0, flow->total * sizeof(*flow->sent_ns));
    memset(flow->arrived, 0, flow->total * sizeof(*flow->arrived));
    flow->fd = open_socket_in(flow->from_netns, &flow->from, plan->sources);
    open_sink(flow);
}

void flow_close(struct flow *flow)
{
    close(flow->fd);
    close(flow->sink_fd);
    free(flow->packets);
    free(flow->kind);
    free(flow->sent_ns);
    free(flow->arrived);
    free(flow->delays);
    free(flow->last_ns);
    free(flow->to);
}

/* ---------------------------------------------------------------- send */

static uint64_t real_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

static void count_sent(struct flow *flow, uint64_t number)
{
    flow->sent++;
    flow->good_sent += flow->kind[number] == KIND_GOOD;
    flow->forged_sent += flow->kind[number] == KIND_FORGED;
    flow->replayed_sent += flow->kind[number] == KIND_REPLAYED;
}

static void fill_head(struct flow *flow, uint64_t number, struct mmsghdr *head, struct iovec *iov)
{
    struct flow_target *to = &flow->to[number % flow->plan->streams];

    *iov = (struct iovec){flow->packets + number * flow->length, flow->length};
    *head = (struct mmsghdr){
        .msg_hdr = {
            .msg_iov = iov, .msg_iovlen = 1, .msg_name = &to->name, .msg_namelen = to->length}};
    if (flow->plan->sources > 1) {
        head->msg_hdr.msg_control = &to->source;
        head->msg_hdr.msg_controllen = sizeof(to->source);
    }
}

/* From next on, in order; a packet that the system refuses counts as sent and lost. */
static void send_batch(struct flow *flow, unsigned count)
{
    struct mmsghdr heads[BATCH];
    struct iovec iov[BATCH];
    uint64_t now;

    for (unsigned i = 0; i < count; i++)
        fill_head(flow, flow->next + i, &heads[i], &iov[i]);
    now = real_ns();
    for (unsigned i = 0; i < count; i++) {
        flow->sent_ns[flow->next + i] = now;
        count_sent(flow, flow->next + i);
    }
    for (unsigned at = 0; at < count;) {
        int n = sendmmsg(flow->fd, heads + at, count - at, MSG_DONTWAIT);

        if (n < 0 && errno == EINTR)
            continue;
        flow->refused += n < 0;
        at += n > 0 ? (unsigned)n : 1;
    }
    flow->next += count;
}

static double all_rates(const struct flow *flow)
{
    return flow->plan->rate * flow->plan->streams;
}

uint64_t flow_due_ns(const struct flow *flow)
{
    return (uint64_t)((double)flow->next / all_rates(flow) * NS_PER_S);
}

static uint64_t due_at(const struct flow *flow, uint64_t elapsed_ns)
{
    double due = (double)elapsed_ns / NS_PER_S * all_rates(flow) + 1;

    return due < (double)flow->total ? (uint64_t)due : flow->total;
}

/* What is to be dropped counts as come; and what has been away for long as lost. */
static uint64_t window_end(struct flow *flow, uint64_t elapsed_ns)
{
    uint64_t back = flow->received + flow->forged_sent + flow->replayed_sent + flow->written_off;
    uint64_t end = back + flow->plan->window;

    if (end > flow->next)
        flow->stuck_ns = elapsed_ns;
    if (elapsed_ns - flow->stuck_ns > stuck_max_ns && flow->next > back)
        flow->written_off += flow->next - back;
    return end < flow->total ? end : flow->total;
}

static void note_late(struct flow *flow, uint64_t elapsed_ns)
{
    uint64_t due_ns = flow_due_ns(flow);

    if (elapsed_ns > due_ns && elapsed_ns - due_ns > flow->late_ns)
        flow->late_ns = elapsed_ns - due_ns;
}

unsigned flow_send(struct flow *flow, uint64_t elapsed_ns)
{
    bool window = flow->plan->window > 0;
    uint64_t end = window ? window_end(flow, elapsed_ns) : due_at(flow, elapsed_ns);
    unsigned all = 0;

    if (end <= flow->next)
        return 0;
    if (!window)
        note_late(flow, elapsed_ns);
    flow->bursts++;
    do {
        unsigned count = end - flow->next < BATCH ? (unsigned)(end - flow->next) : BATCH;

        send_batch(flow, count);
        all += count;
    } while (flow->next < end && !window); /* with a window, who receives takes turns */
    return all;
}

bool flow_all_sent(const struct flow *flow)
{
    return flow->next == flow->total;
}

/* ---------------------------------------------------------------- receive */

static uint64_t stamp_of(struct msghdr *head)
{
    struct timespec ts;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(head); c; c = CMSG_NXTHDR(head, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
            memcpy(&ts, CMSG_DATA(c), sizeof(ts));
            return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
        }
    return real_ns();
}

/* The newest packet sent that has this stream and sequence number; total when there is none. */
static uint64_t number_of(const struct flow *flow, uint32_t ssrc, uint16_t sequence)
{
    uint64_t streams = flow->plan->streams, stream = ssrc - flow->first_ssrc, sent;
    uint64_t low = (uint16_t)(sequence - 1), number;

    if (stream >= streams || flow->next <= stream)
        return flow->total;
    sent = (flow->next - stream + streams - 1) / streams; /* of this stream */
    if (low >= sent)
        return flow->total;
    number = low + ((sent - 1 - low) & ~(uint64_t)UINT16_MAX);
    return number * streams + stream;
}

static uint64_t uncounted(const struct flow *flow)
{
    return flow->plan->uncounted * flow->plan->streams;
}

static void note_delay(struct flow *flow, uint64_t number, uint64_t stamp_ns)
{
    uint64_t sent = flow->sent_ns[number], us = stamp_ns > sent ? (stamp_ns - sent) / 1000 : 0;

    flow->delays[us < FLOW_DELAYS ? us : FLOW_DELAYS - 1]++;
    flow->max_delay_us = us > flow->max_delay_us ? us : flow->max_delay_us;
}

static void note_gap(struct flow *flow, uint64_t number, uint64_t stamp_ns)
{
    uint64_t *last_ns = &flow->last_ns[number % flow->plan->streams];

    if (*last_ns > 0 && stamp_ns > *last_ns && (stamp_ns - *last_ns) / 1000 > flow->max_gap_us)
        flow->max_gap_us = (stamp_ns - *last_ns) / 1000;
    *last_ns = stamp_ns;
}

/* A relay that decrypts has to give back what was encrypted. */
static bool as_sent(const struct flow *flow, uint64_t number, const uint8_t *data, size_t length)
{
    const uint8_t *packet = flow->packets + number * flow->length;
    uint64_t streams = flow->plan->streams;
    uint8_t payload =
        payload_octet(flow->first_ssrc + (uint32_t)(number % streams), number / streams);

    if (!flow->plan->plain)
        return length == flow->length && memcmp(data, packet, length) == 0;
    if (length != PROTECT_HEADER_OCTETS + flow->plan->size ||
        memcmp(data, packet, PROTECT_HEADER_OCTETS) != 0)
        return false;
    for (size_t i = PROTECT_HEADER_OCTETS; i < length; i++)
        if (data[i] != payload)
            return false;
    return true;
}

static void note_packet(struct flow *flow, const uint8_t *data, size_t length, uint64_t stamp_ns)
{
    struct rtp_view view;
    uint64_t number;

    flow->received++;
    if (classify(data, length, &view) != VERDICT_ACCEPTED || view.shape != RTP_SHAPE_RTP ||
        (number = number_of(flow, view.ssrc, view.sequence)) == flow->total) {
        flow->strange++;
        return;
    }
    if (flow->kind[number] == KIND_FORGED) {
        flow->forged++;
        return;
    }
    if (!as_sent(flow, number, data, length))
        flow->altered++;
    if (flow->arrived[number] == 0) {
        flow->distinct++;
        if (number >= uncounted(flow))
            note_delay(flow, number, stamp_ns);
        note_gap(flow, number, stamp_ns);
    }
    if (flow->arrived[number] < UINT8_MAX)
        flow->arrived[number]++;
}

unsigned flow_receive(struct flow *flow)
{
    static uint8_t data[BATCH][PACKET_MAX_OCTETS];
    union {
        struct cmsghdr align;
        uint8_t octets[CMSG_SPACE(sizeof(struct timespec))];
    } control[BATCH];
    struct mmsghdr heads[BATCH];
    struct iovec iov[BATCH];
    unsigned all = 0;
    int n;

    do {
        for (unsigned i = 0; i < BATCH; i++) {
            iov[i] = (struct iovec){.iov_base = data[i], .iov_len = sizeof(data[i])};
            heads[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &iov[i],
                                                    .msg_iovlen = 1,
                                                    .msg_control = &control[i],
                                                    .msg_controllen = sizeof(control[i])}};
        }
        n = recvmmsg(flow->sink_fd, heads, BATCH, MSG_DONTWAIT, NULL);
        for (int i = 0; i < n; i++)
            note_packet(flow, data[i], heads[i].msg_len, stamp_of(&heads[i].msg_hdr));
        all += n > 0 ? (unsigned)n : 0;
    } while (n == BATCH);
    return all;
}

static bool sends_to(const struct flow *flow, unsigned ip, unsigned port)
{
    for (unsigned n = 0; n < flow->plan->streams; n++) {
        const struct sockaddr_in *name = (const struct sockaddr_in *)&flow->to[n].name;

        if (name->sin_family == AF_INET && name->sin_addr.s_addr == ip &&
            ntohs(name->sin_port) == port)
            return true;
    }
    return false;
}

bool flow_is_read(const struct flow *flow)
{
    FILE *file = fopen("/proc/net/udp", "re");
    unsigned ip, port, queued;
    bool waits = false;
    char line[256];

    while (file && !waits && fgets(line, sizeof(line), file))
        waits = sscanf(line, " %*u: %8x:%4x %*x:%*x %*x %*x:%x", &ip, &port, &queued) == 3 &&
                queued > 0 && sends_to(flow, ip, port);
    if (file)
        fclose(file);
    return !waits;
}

/* ---------------------------------------------------------------- figures */

uint64_t flow_percentile(const struct flow *flows, unsigned count, double share)
{
    uint64_t all = 0, wanted, seen = 0;

    for (unsigned f = 0; f < count; f++)
        all += flow_within(&flows[f], FLOW_DELAYS);
    wanted = (uint64_t)(share * (double)all + 0.5);
    for (uint64_t us = 0; us < FLOW_DELAYS; us++) {
        for (unsigned f = 0; f < count; f++)
            seen += flows[f].delays[us];
        if (seen > 0 && seen >= wanted)
            return us;
    }
    return 0;
}

uint64_t flow_within(const struct flow *flow, uint64_t us)
{
    uint64_t seen = 0;

    for (uint64_t i = 0; i <= us && i < FLOW_DELAYS; i++)
        seen += flow->delays[i];
    return seen;
}

uint64_t flow_counted(const struct flow *flow)
{
    uint64_t count = 0;

    for (uint64_t i = uncounted(flow); i < flow->next; i++)
        count += flow->kind[i] == KIND_GOOD;
    return count;
}

uint64_t flow_lost(const struct flow *flow)
{
    return flow->good_sent - flow->distinct;
}

uint64_t flow_duplicates(const struct flow *flow)
{
    return flow->received - flow->distinct - flow->strange - flow->forged;
}
