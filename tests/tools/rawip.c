#include "config.h" /* _GNU_SOURCE */

#include "tests/tools/rawip.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netpacket/packet.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/reader.h"
#include "common/base/writer.h"
#include "tests/tools/cli.h"

enum {
    ETHERTYPE_IPV4 = 0x0800,
    IP_HEAD_OCTETS = 20,
    UDP_HEAD_OCTETS = 8,
    IP_VERSION_AND_HEAD = 0x45,
    FRAGMENT_BITS = 0x3fff, /* more fragments, or an offset */
    IP_DESTINATION_AT = 16,
    TIME_TO_LIVE = 64,
    BUFFER_OCTETS = 32 * 1024 * 1024
};

/* ---------------------------------------------------------------- namespaces and sockets */

/* Returns what leave() wants. */
static int enter(const char *netns)
{
    int own, other;

    if (!netns)
        return -1;
    own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    other = open(netns, O_RDONLY | O_CLOEXEC);
    if (own < 0 || other < 0 || setns(other, CLONE_NEWNET) < 0)
        cli_die("cannot enter the network namespace %s: %s", netns, strerror(errno));
    close(other);
    return own;
}

static void leave(int own)
{
    if (own >= 0 && setns(own, CLONE_NEWNET) < 0)
        cli_die("cannot return to the own network namespace: %s", strerror(errno));
    if (own >= 0)
        close(own);
}

void rawip_out_open(struct rawip_out *out, const char *netns)
{
    const int buffer = BUFFER_OCTETS;
    int own = enter(netns);

    memset(out, 0, sizeof(*out));
    out->fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
    if (out->fd < 0)
        cli_die("cannot open a raw socket: %s", strerror(errno));
    setsockopt(out->fd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof(buffer));
    leave(own);
}

int rawip_see(const char *netns, const char *device)
{
    const int buffer = BUFFER_OCTETS;
    int own = enter(netns);
    struct sockaddr_ll name = {.sll_family = AF_PACKET, .sll_protocol = htons(ETHERTYPE_IPV4)};
    int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (device && (name.sll_ifindex = (int)if_nametoindex(device)) == 0)
        cli_die("there is no device %s: %s", device, strerror(errno));
    if (fd < 0 || bind(fd, (struct sockaddr *)&name, sizeof(name)) < 0)
        cli_die("cannot see the packets of %s: %s", device ? device : "all devices",
                strerror(errno));
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer));
    leave(own);
    return fd;
}

/* ---------------------------------------------------------------- reading */

size_t rawip_next(int fd, uint8_t *buffer, size_t size)
{
    for (;;) {
        struct sockaddr_ll from = {0};
        socklen_t length = sizeof(from);
        ssize_t n = recvfrom(fd, buffer, size, 0, (struct sockaddr *)&from, &length);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return 0;
        if (from.sll_pkttype != PACKET_OUTGOING && n >= IP_HEAD_OCTETS)
            return (size_t)n;
    }
}

struct addr rawip_destination(const uint8_t *packet)
{
    return addr_from_ip4(packet + IP_DESTINATION_AT, 0);
}

bool rawip_parse(const uint8_t *packet, size_t length, struct rawip_udp *udp)
{
    struct reader r;
    const uint8_t *from, *to;
    size_t head, whole, rest;
    uint16_t fragment;
    uint8_t protocol;

    reader_init(&r, packet, length);
    head = (reader_u8(&r) & 0x0f) * 4u;
    (void)reader_u8(&r);
    whole = reader_u16(&r);
    (void)reader_u16(&r);
    fragment = reader_u16(&r);
    (void)reader_u8(&r);
    protocol = reader_u8(&r);
    (void)reader_u16(&r);
    from = reader_take(&r, 4);
    to = reader_take(&r, 4);
    if (r.failed || protocol != IPPROTO_UDP || (fragment & FRAGMENT_BITS) != 0 ||
        head < IP_HEAD_OCTETS || whole < head + UDP_HEAD_OCTETS || whole > length)
        return false;
    (void)reader_take(&r, head - IP_HEAD_OCTETS);
    udp->from = addr_from_ip4(from, reader_u16(&r));
    udp->to = addr_from_ip4(to, reader_u16(&r));
    rest = reader_u16(&r);
    (void)reader_u16(&r);
    if (r.failed || rest != whole - head)
        return false;
    udp->length = rest - UDP_HEAD_OCTETS;
    udp->payload = packet + head + UDP_HEAD_OCTETS;
    return true;
}

/* ---------------------------------------------------------------- sending */

static size_t make(uint8_t *out, size_t size, const struct rawip_udp *udp)
{
    struct writer w;

    writer_init(&w, out, size);
    writer_u8(&w, IP_VERSION_AND_HEAD);
    writer_u8(&w, 0);
    writer_u16(&w, 0); /* the kernel fills in length, identification and checksum */
    writer_u32(&w, 0);
    writer_u8(&w, TIME_TO_LIVE);
    writer_u8(&w, IPPROTO_UDP);
    writer_u16(&w, 0);
    writer_copy(&w, udp->from.ip, 4);
    writer_copy(&w, udp->to.ip, 4);
    writer_u16(&w, udp->from.port);
    writer_u16(&w, udp->to.port);
    writer_u16(&w, (uint16_t)(UDP_HEAD_OCTETS + udp->length));
    writer_u16(&w, 0); /* UDP over IPv4 needs no checksum */
    writer_copy(&w, udp->payload, udp->length);
    return w.failed ? 0 : writer_length(&w);
}

void rawip_send(struct rawip_out *out, const struct rawip_udp *udp)
{
    size_t length = make(out->packets[out->count], sizeof(out->packets[0]), udp);

    if (length == 0)
        cli_die("a datagram of %zu octets is too long", udp->length);
    out->lengths[out->count++] = length;
    if (out->count == RAWIP_BATCH)
        rawip_flush(out);
}

/* One that cannot be sent is counted and left out. */
void rawip_flush(struct rawip_out *out)
{
    struct sockaddr_in names[RAWIP_BATCH];
    struct mmsghdr messages[RAWIP_BATCH];
    struct iovec parts[RAWIP_BATCH];
    size_t done = 0;

    memset(messages, 0, sizeof(messages));
    for (size_t i = 0; i < out->count; i++) {
        names[i] = (struct sockaddr_in){.sin_family = AF_INET};
        memcpy(&names[i].sin_addr, out->packets[i] + IP_DESTINATION_AT, 4);
        parts[i] = (struct iovec){out->packets[i], out->lengths[i]};
        messages[i].msg_hdr.msg_name = &names[i];
        messages[i].msg_hdr.msg_namelen = sizeof(names[i]);
        messages[i].msg_hdr.msg_iov = &parts[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    while (done < out->count) {
        int n = sendmmsg(out->fd, messages + done, (unsigned)(out->count - done), 0);

        if (n < 0) {
            out->errors++;
            out->last_error = errno;
        } else {
            out->sent += (unsigned)n;
        }
        done += n < 0 ? 1 : (size_t)n;
    }
    out->count = 0;
}

/* ---------------------------------------------------------------- addresses */

static uint32_t number(const struct addr *addr)
{
    return (uint32_t)addr->ip[0] << 24 | (uint32_t)addr->ip[1] << 16 | (uint32_t)addr->ip[2] << 8 |
           addr->ip[3];
}

struct addr rawip_after(const struct addr *addr, uint32_t n)
{
    uint32_t sum = number(addr) + n;
    const uint8_t ip[4] = {(uint8_t)(sum >> 24), (uint8_t)(sum >> 16), (uint8_t)(sum >> 8),
                           (uint8_t)sum};

    return addr_from_ip4(ip, addr->port);
}

bool rawip_within(const struct addr *addr, const struct addr *first, uint32_t count)
{
    return addr->family == 4 && number(addr) - number(first) < count;
}
