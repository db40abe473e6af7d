#include "config.h" /* _GNU_SOURCE */

#include "tests/bench/flow.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/base/protocol.h"
#include "common/rtp/classify.h"
#include "tests/unit/protect.h"

enum { BATCH = 64, NS_PER_S = 1000000000, PAYLOAD_TYPE = 96, TIMESTAMP_STEP = 160 };
static const size_t memory_max = (size_t)1 << 30;

/* ---------------------------------------------------------------- open */

static void *need(size_t count, size_t size)
{
    void *memory = count <= memory_max / size ? calloc(count ? count : 1, size) : NULL;

    if (!memory)
        cli_die("%zu MB of memory for the packets cannot be had: "
                "take fewer streams, a lower rate or less time",
                count / 1000000 * size);
    return memory;
}

static size_t make_packet(const struct flow *flow, struct protect *protect, uint32_t ssrc,
                          uint64_t number, uint8_t *out, size_t size)
{
    uint8_t payload[PACKET_MAX_OCTETS];
    uint64_t index = number + 1;

    memset(payload, (int)(ssrc + number), sizeof(payload));
    return protect_rtp(protect, index, out,
                       protect_make_rtp(out, size, PAYLOAD_TYPE, (uint16_t)index,
                                        (uint32_t)index * TIMESTAMP_STEP, ssrc, payload,
                                        flow->plan->size),
                       size);
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
    }
    protect_free(protect);
}

void flow_open(struct flow *flow)
{
    const struct flow_plan *plan = flow->plan;
    const int one = 1;

    flow->total = plan->per_stream * plan->streams;
    flow->sent_ns = need(flow->total, sizeof(*flow->sent_ns));
    flow->arrived = need(flow->total, sizeof(*flow->arrived));
    flow->delays = need(FLOW_DELAYS, sizeof(*flow->delays));
    flow->last_ns = need(plan->streams, sizeof(*flow->last_ns));
    for (unsigned n = 0; n < plan->streams; n++)
        make_stream(flow, n);
    flow->fds = need(plan->sources, sizeof(*flow->fds));
    for (unsigned i = 0; i < plan->sources; i++) {
        struct addr from = flow->from;

        from.port = (uint16_t)(from.port + 2 * i);
        flow->fds[i] = cli_socket(&from);
    }
    flow->sink_fd = cli_socket(&flow->sink);
    if (setsockopt(flow->sink_fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof(one)) < 0)
        cli_die("SO_TIMESTAMPNS: %s", strerror(errno));
}

void flow_close(struct flow *flow)
{
    for (unsigned i = 0; i < flow->plan->sources; i++)
        close(flow->fds[i]);
    close(flow->sink_fd);
    free(flow->fds);
    free(flow->packets);
    free(flow->sent_ns);
    free(flow->arrived);
    free(flow->delays);
    free(flow->last_ns);
}

/* ---------------------------------------------------------------- send */

static uint64_t real_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* Packets of one source, in order; a packet that the system refuses counts as sent and lost. */
static void send_batch(struct flow *flow, int fd, const uint64_t *numbers, unsigned count)
{
    struct sockaddr_storage to;
    socklen_t to_length = addr_to_sockaddr(&flow->to, &to);
    struct mmsghdr heads[BATCH];
    struct iovec iov[BATCH];
    uint64_t now = real_ns();

    memset(heads, 0, sizeof(heads));
    for (unsigned i = 0; i < count; i++) {
        iov[i].iov_base = flow->packets + numbers[i] * flow->length;
        iov[i].iov_len = flow->length;
        heads[i].msg_hdr.msg_iov = &iov[i];
        heads[i].msg_hdr.msg_iovlen = 1;
        heads[i].msg_hdr.msg_name = &to;
        heads[i].msg_hdr.msg_namelen = to_length;
        flow->sent_ns[numbers[i]] = now;
    }
    for (unsigned at = 0; at < count;) {
        int n = sendmmsg(fd, heads + at, count - at, MSG_DONTWAIT);

        if (n < 0 && errno == EINTR)
            continue;
        flow->refused += n < 0;
        at += n > 0 ? (unsigned)n : 1;
    }
    flow->sent += count;
}

static uint64_t due_at(const struct flow *flow, uint64_t elapsed_ns)
{
    double due = (double)elapsed_ns / NS_PER_S * flow->plan->rate * flow->plan->streams + 1;

    return due < (double)flow->total ? (uint64_t)due : flow->total;
}

void flow_send(struct flow *flow, uint64_t elapsed_ns)
{
    const struct flow_plan *plan = flow->plan;
    uint64_t end = due_at(flow, elapsed_ns), numbers[BATCH], first = flow->next, behind;

    if (end <= first)
        return;
    behind = elapsed_ns - (uint64_t)((double)first / (plan->rate * plan->streams) * NS_PER_S);
    flow->late_ns = behind > flow->late_ns && elapsed_ns > 0 ? behind : flow->late_ns;
    for (unsigned source = 0; source < plan->sources; source++) {
        /* The first packet from here on that this source has; streams is a multiple of sources. */
        uint64_t n = first + (source + plan->sources - first % plan->sources) % plan->sources;
        unsigned count = 0;

        for (; n < end; n += plan->sources) {
            numbers[count++] = n;
            if (count == BATCH) {
                send_batch(flow, flow->fds[source], numbers, count);
                count = 0;
            }
        }
        if (count > 0)
            send_batch(flow, flow->fds[source], numbers, count);
    }
    flow->next = end;
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
    if (length != flow->length || memcmp(data, flow->packets + number * flow->length, length) != 0)
        flow->altered++;
    if (flow->arrived[number] == 0) {
        flow->distinct++;
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
        memset(heads, 0, sizeof(heads));
        for (unsigned i = 0; i < BATCH; i++) {
            iov[i] = (struct iovec){.iov_base = data[i], .iov_len = sizeof(data[i])};
            heads[i].msg_hdr.msg_iov = &iov[i];
            heads[i].msg_hdr.msg_iovlen = 1;
            heads[i].msg_hdr.msg_control = &control[i];
            heads[i].msg_hdr.msg_controllen = sizeof(control[i]);
        }
        n = recvmmsg(flow->sink_fd, heads, BATCH, MSG_DONTWAIT, NULL);
        for (int i = 0; i < n; i++)
            note_packet(flow, data[i], heads[i].msg_len, stamp_of(&heads[i].msg_hdr));
        all += n > 0 ? (unsigned)n : 0;
    } while (n == BATCH);
    return all;
}

uint64_t flow_percentile(const struct flow *flow, double share)
{
    uint64_t wanted = (uint64_t)(share * (double)flow->distinct + 0.5), seen = 0;

    for (uint64_t us = 0; us < FLOW_DELAYS; us++) {
        seen += flow->delays[us];
        if (seen > 0 && seen >= wanted)
            return us;
    }
    return 0;
}
