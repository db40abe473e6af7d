#include "config.h" /* _GNU_SOURCE */

#include "common/carrier/rawsocket.h"

#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/reader.h"
#include "common/carrier/segment.h"
#include "common/carrier/track.h"

enum {
    BUFFER_OCTETS = 8 * 1024 * 1024,
    RECEIVE_OCTETS = SEGMENT_MAX_OCTETS + 1, /* GRO merges up to this */
    SEND_OCTETS = 9216,
    SEND_BATCH = 32,
    /* Batches without any segment that one rawsocket_receive() passes by. */
    EMPTY_MAX = 4,
    /* From the IP header on. */
    IP4_SOURCE = 12,
    IP6_SOURCE = 8,
    /* From the TCP header on. */
    TCP_DESTINATION = 2,
    TCP_OFFSET = 12,
    TCP_WINDOW = 14,
    ACCEPT = 0x40000,
};

union control {
    struct cmsghdr align;
    uint8_t octets[CMSG_SPACE(sizeof(uint32_t)) + CMSG_SPACE(sizeof(struct in6_pktinfo)) +
                   CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(int))];
};

struct receive_slot {
    uint8_t data[RECEIVE_OCTETS];
    struct sockaddr_storage from;
    struct iovec iov;
    union control control;
};

struct send_slot {
    uint8_t data[SEND_OCTETS];
    struct sockaddr_storage to;
    struct iovec iov;
};

struct rawsocket {
    int fd;
    uint8_t family;
    int receive_buffer;
    uint32_t overflow_last; /* the kernel's counter has 32 bits */
    unsigned queued;
    struct rawsocket_counts counts;
    struct mmsghdr receive_heads[RAWSOCKET_BATCH];
    struct mmsghdr send_heads[SEND_BATCH];
    struct receive_slot receive[RAWSOCKET_BATCH];
    struct send_slot send[SEND_BATCH];
};

/* ---------------------------------------------------------------- filter */

struct code {
    struct sock_filter *at;
    size_t length;
};

static void put(struct code *code, uint16_t operation, uint32_t value)
{
    code->at[code->length++] = (struct sock_filter){.code = operation, .k = value};
}

static void put_branch(struct code *code, uint16_t condition, uint32_t value, unsigned yes,
                       unsigned no)
{
    code->at[code->length++] = (struct sock_filter){
        .code = BPF_JMP | condition, .jt = (uint8_t)yes, .jf = (uint8_t)no, .k = value};
}

/* All of these jump to where the code goes on. */
static void land(struct code *code, const size_t *jumps, size_t count)
{
    for (size_t i = 0; i < count; i++)
        code->at[jumps[i]].k = (uint32_t)(code->length - jumps[i] - 1);
}

/* X: the length of the IP header in front of what is loaded from; IPv6 sockets see none. */
static void put_header(struct code *code, uint8_t family)
{
    if (family == 4)
        put(code, BPF_LDX | BPF_B | BPF_MSH, 0);
    else
        put(code, BPF_LDX | BPF_W | BPF_IMM, 0);
}

static void put_ports(struct code *code, const struct rawsocket_filter *filter)
{
    size_t jumps[RAWSOCKET_PORTS_MAX];

    put(code, BPF_LD | BPF_H | BPF_IND, TCP_DESTINATION);
    for (size_t i = 0; i < filter->port_count; i++) {
        put_branch(code, BPF_JGE | BPF_K, filter->ports[i].first, 0, 2);
        put_branch(code, BPF_JGT | BPF_K, filter->ports[i].last, 1, 0);
        jumps[i] = code->length;
        put(code, BPF_JMP | BPF_JA, 0);
    }
    put(code, BPF_RET | BPF_K, 0);
    land(code, jumps, filter->port_count);
}

static uint32_t word_of(const uint8_t *octets)
{
    struct reader r;

    reader_init(&r, octets, sizeof(uint32_t));
    return reader_u32(&r);
}

static uint32_t mask_of(unsigned prefix, unsigned word)
{
    unsigned bits = prefix > 32 * word ? prefix - 32 * word : 0;

    return bits >= 32 ? UINT32_MAX : bits == 0 ? 0 : ~(UINT32_MAX >> bits);
}

static size_t put_remote(struct code *code, const struct addr_net *net)
{
    unsigned words = net->addr.family == 6 ? 4 : 1;
    uint32_t from = (uint32_t)SKF_NET_OFF + IP6_SOURCE;

    if (words == 1)
        from = IP4_SOURCE;
    for (unsigned i = 0; i < words; i++) {
        put(code, BPF_LD | BPF_W | BPF_ABS, from + 4 * i);
        put(code, BPF_ALU | BPF_AND | BPF_K, mask_of(net->prefix, i));
        put_branch(code, BPF_JEQ | BPF_K, word_of(net->addr.ip + 4 * i), 0,
                   3 * (words - i - 1) + 1);
    }
    put(code, BPF_JMP | BPF_JA, 0);
    return code->length - 1;
}

static void put_remotes(struct code *code, const struct rawsocket_filter *filter)
{
    size_t jumps[RAWSOCKET_REMOTES_MAX];

    if (filter->remote_count == 0)
        return;
    for (size_t i = 0; i < filter->remote_count; i++)
        jumps[i] = put_remote(code, &filter->remotes[i]);
    put(code, BPF_RET | BPF_K, 0);
    land(code, jumps, filter->remote_count);
}

/* More octets than both headers have, or the window of raw sockets. */
static void put_data(struct code *code)
{
    put(code, BPF_LD | BPF_H | BPF_IND, TCP_WINDOW);
    put_branch(code, BPF_JEQ | BPF_K, TRACK_WINDOW, 8, 0);
    put(code, BPF_LD | BPF_B | BPF_IND, TCP_OFFSET);
    put(code, BPF_ALU | BPF_RSH | BPF_K, 4);
    put(code, BPF_ALU | BPF_LSH | BPF_K, 2);
    put(code, BPF_ALU | BPF_ADD | BPF_X, 0);
    put(code, BPF_MISC | BPF_TAX, 0);
    put(code, BPF_LD | BPF_W | BPF_LEN, 0);
    put_branch(code, BPF_JGT | BPF_X, 0, 1, 0);
    put(code, BPF_RET | BPF_K, 0);
}

size_t rawsocket_filter(const struct rawsocket_filter *filter,
                        struct sock_filter code[RAWSOCKET_CODE_MAX])
{
    struct code program = {.at = code};

    put_header(&program, filter->family);
    put_ports(&program, filter);
    put_remotes(&program, filter);
    if (filter->data_only)
        put_data(&program);
    put(&program, BPF_RET | BPF_K, ACCEPT);
    return program.length;
}

/* ---------------------------------------------------------------- open */

static int fail(char *error, size_t size, const char *what)
{
    int number = errno;
    bool forbidden = number == EPERM || number == EACCES;

    snprintf(error, size, "%s: %s%s", what, strerror(number),
             forbidden ? "; CAP_NET_RAW (AmbientCapabilities= and CapabilityBoundingSet= in the "
                         "systemd unit) would be right"
                       : "");
    if (number == EAFNOSUPPORT || number == EPROTONOSUPPORT)
        return ERR_UNSUPPORTED;
    return forbidden ? ERR_FORBIDDEN : ERR_SYSTEM;
}

static bool is_sound(const struct rawsocket_filter *filter)
{
    if ((filter->family != 4 && filter->family != 6) || filter->port_count == 0 ||
        filter->port_count > RAWSOCKET_PORTS_MAX || filter->remote_count > RAWSOCKET_REMOTES_MAX)
        return false;
    for (size_t i = 0; i < filter->remote_count; i++) {
        if (filter->remotes[i].addr.family != filter->family)
            return false;
    }
    return true;
}

static int set_filter(struct rawsocket *raw, const struct rawsocket_filter *filter)
{
    static const int on = 1;
    struct sock_filter code[RAWSOCKET_CODE_MAX];
    struct sock_fprog program = {.filter = code};

    program.len = (unsigned short)rawsocket_filter(filter, code);
    if (setsockopt(raw->fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0)
        return -1;
    return setsockopt(raw->fd, SOL_SOCKET, SO_LOCK_FILTER, &on, sizeof(on));
}

/* What came before the filter was there is of no concern to us. */
static void drain(struct rawsocket *raw)
{
    uint8_t octet;

    while (recv(raw->fd, &octet, sizeof(octet), MSG_DONTWAIT | MSG_TRUNC) >= 0 || errno == EINTR)
        ;
}

static void set_buffers(struct rawsocket *raw)
{
    static const int wanted = BUFFER_OCTETS;
    socklen_t length = sizeof(raw->receive_buffer);

    if (setsockopt(raw->fd, SOL_SOCKET, SO_RCVBUFFORCE, &wanted, sizeof(wanted)) < 0)
        setsockopt(raw->fd, SOL_SOCKET, SO_RCVBUF, &wanted, sizeof(wanted));
    if (setsockopt(raw->fd, SOL_SOCKET, SO_SNDBUFFORCE, &wanted, sizeof(wanted)) < 0)
        setsockopt(raw->fd, SOL_SOCKET, SO_SNDBUF, &wanted, sizeof(wanted));
    (void)getsockopt(raw->fd, SOL_SOCKET, SO_RCVBUF, &raw->receive_buffer, &length);
}

static int set_options(struct rawsocket *raw)
{
    static const struct {
        uint8_t family;
        int level, name, value;
    } options[] = {
        {0, SOL_SOCKET, SO_RXQ_OVFL, 1},         {4, IPPROTO_IP, IP_HDRINCL, 1},
        {6, IPPROTO_IPV6, IPV6_HDRINCL, 1},      {6, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1},
        {6, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1}, {6, IPPROTO_IPV6, IPV6_RECVTCLASS, 1},
    };

    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        if (options[i].family != 0 && options[i].family != raw->family)
            continue;
        if (setsockopt(raw->fd, options[i].level, options[i].name, &options[i].value,
                       sizeof(options[i].value)) < 0)
            return -1;
    }
    return 0;
}

static void prepare_slots(struct rawsocket *raw)
{
    for (size_t i = 0; i < RAWSOCKET_BATCH; i++) {
        struct receive_slot *slot = &raw->receive[i];
        struct msghdr *head = &raw->receive_heads[i].msg_hdr;

        slot->iov = (struct iovec){.iov_base = slot->data, .iov_len = sizeof(slot->data)};
        head->msg_iov = &slot->iov;
        head->msg_iovlen = 1;
        head->msg_name = &slot->from;
        head->msg_control = &slot->control;
    }
    for (size_t i = 0; i < SEND_BATCH; i++) {
        struct send_slot *slot = &raw->send[i];
        struct msghdr *head = &raw->send_heads[i].msg_hdr;

        slot->iov.iov_base = slot->data;
        head->msg_iov = &slot->iov;
        head->msg_iovlen = 1;
        head->msg_name = &slot->to;
    }
}

static int open_socket(struct rawsocket *raw, const struct rawsocket_filter *filter, char *error,
                       size_t error_size)
{
    raw->fd = socket(filter->family == 6 ? AF_INET6 : AF_INET,
                     SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
    if (raw->fd < 0)
        return fail(error, error_size, "cannot open a raw socket for TCP");
    if (set_filter(raw, filter) < 0)
        return fail(error, error_size, "cannot set and lock the filter of a raw socket");
    drain(raw);
    if (set_options(raw) < 0)
        return fail(error, error_size, "cannot set the options of a raw socket");
    set_buffers(raw);
    return 0;
}

int rawsocket_open(struct rawsocket **raw, const struct rawsocket_filter *filter, char *error,
                   size_t error_size)
{
    struct rawsocket *r = NULL;
    int result;

    *raw = NULL;
    if (!is_sound(filter)) {
        snprintf(error, error_size,
                 "a raw socket needs local ports, and remote addresses of its "
                 "own IP version");
        return ERR_INVALID;
    }
    r = calloc(1, sizeof(*r));
    if (!r) {
        snprintf(error, error_size, "%s", err_text(ERR_NOMEM));
        return ERR_NOMEM;
    }
    r->family = filter->family;
    prepare_slots(r);
    result = open_socket(r, filter, error, error_size);
    if (result < 0) {
        rawsocket_close(r);
        return result;
    }
    *raw = r;
    return 0;
}

void rawsocket_close(struct rawsocket *raw)
{
    if (!raw)
        return;
    if (raw->fd >= 0)
        close(raw->fd);
    free(raw);
}

int rawsocket_fd(const struct rawsocket *raw)
{
    return raw->fd;
}

int rawsocket_receive_buffer(const struct rawsocket *raw)
{
    return raw->receive_buffer;
}

const struct rawsocket_counts *rawsocket_counts(const struct rawsocket *raw)
{
    return &raw->counts;
}

/* ---------------------------------------------------------------- receive */

static void count_overflows(struct rawsocket *raw, const struct cmsghdr *c)
{
    uint32_t now;

    memcpy(&now, CMSG_DATA(c), sizeof(now));
    raw->counts.overflows += now - raw->overflow_last;
    raw->overflow_last = now;
}

static void take_control(struct rawsocket *raw, struct msghdr *head, struct segment *segment)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(head); c; c = CMSG_NXTHDR(head, c)) {
        struct in6_pktinfo info;
        int value = 0;

        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL) {
            count_overflows(raw, c);
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            memcpy(&info, CMSG_DATA(c), sizeof(info));
            segment->destination = addr_from_ip6(info.ipi6_addr.s6_addr, 0);
        } else if (c->cmsg_level == IPPROTO_IPV6) {
            memcpy(&value, CMSG_DATA(c), sizeof(value));
            if (c->cmsg_type == IPV6_HOPLIMIT)
                segment->ttl = (uint8_t)value;
            if (c->cmsg_type == IPV6_TCLASS)
                segment->traffic = (uint8_t)value;
        }
    }
}

/* IPv6 sockets get what the IP header holds, and of that header what they have asked for. */
static int read_one(struct rawsocket *raw, struct mmsghdr *got, struct receive_slot *slot,
                    struct segment *segment)
{
    memset(segment, 0, sizeof(*segment));
    take_control(raw, &got->msg_hdr, segment);
    if (got->msg_hdr.msg_flags & MSG_TRUNC)
        return ERR_TOO_LONG;
    if (raw->family == 4)
        return segment_read(segment, slot->data, got->msg_len);
    segment->source = addr_from_sockaddr((struct sockaddr *)&slot->from);
    return segment_read_tcp(segment, slot->data, got->msg_len);
}

static int receive_batch(struct rawsocket *raw)
{
    int n;

    for (size_t i = 0; i < RAWSOCKET_BATCH; i++) {
        raw->receive_heads[i].msg_hdr.msg_namelen = sizeof(raw->receive[i].from);
        raw->receive_heads[i].msg_hdr.msg_controllen = sizeof(raw->receive[i].control);
    }
    do
        n = recvmmsg(raw->fd, raw->receive_heads, RAWSOCKET_BATCH, MSG_DONTWAIT, NULL);
    while (n < 0 && errno == EINTR);
    return n;
}

unsigned rawsocket_receive(struct rawsocket *raw, struct segment segments[RAWSOCKET_BATCH])
{
    unsigned count = 0;

    for (unsigned batch = 0; count == 0 && batch < EMPTY_MAX; batch++) {
        int n = receive_batch(raw);

        if (n <= 0)
            break;
        for (int i = 0; i < n; i++) {
            if (read_one(raw, &raw->receive_heads[i], &raw->receive[i], &segments[count]) == 0)
                count++;
            else
                raw->counts.malformed++;
        }
    }
    raw->counts.received += count;
    return count;
}

/* ---------------------------------------------------------------- send */

int rawsocket_queue(struct rawsocket *raw, const struct segment *segment)
{
    struct send_slot *slot;
    struct addr to = segment->destination;
    int length;

    if (segment->source.family != raw->family)
        return ERR_INVALID;
    if (raw->queued == SEND_BATCH)
        rawsocket_flush(raw);
    slot = &raw->send[raw->queued];
    length = segment_write(segment, slot->data, sizeof(slot->data));
    if (length < 0)
        return length;
    slot->iov.iov_len = (size_t)length;
    to.port = 0; /* of raw sockets, the protocol or nothing */
    raw->send_heads[raw->queued].msg_hdr.msg_namelen = addr_to_sockaddr(&to, &slot->to);
    raw->queued++;
    return 0;
}

void rawsocket_flush(struct rawsocket *raw)
{
    unsigned at = 0;

    while (at < raw->queued) {
        int n = sendmmsg(raw->fd, raw->send_heads + at, raw->queued - at, MSG_DONTWAIT);

        if (n < 0 && errno == EINTR)
            continue;
        if (n > 0) {
            raw->counts.sent += (unsigned)n;
            at += (unsigned)n;
        } else {
            raw->counts.unsent++;
            at++;
        }
    }
    raw->queued = 0;
}
