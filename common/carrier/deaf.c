#include "common/carrier/deaf.h"

#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "common/base/addr.h"
#include "common/base/err.h"
#include "common/carrier/rawsocket.h"
#include "common/carrier/segment.h"
#include "common/carrier/track.h"

#ifndef IPV6_MINHOPCOUNT
#define IPV6_MINHOPCOUNT 73
#endif

enum {
    TTL_OF_OURS = 255,   /* nothing that has passed a router has it */
    STATE_CLOSED = 7,    /* TCP_CLOSE of the kernel */
    MSS_MAX = 8 * 1024,  /* what a raw socket's memory takes, with headers */
    WINDOW_LEAST = 65535 /* of a peer whose kernel does not say */
};

/* What the kernel tells is as long as it knows; the rest is 0. */
static int ask(int fd, struct tcp_info *info)
{
    socklen_t length = sizeof(*info);

    memset(info, 0, sizeof(*info));
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, &length) < 0 ? ERR_SYSTEM : 0;
}

void deaf_saw(struct deaf *deaf, const struct segment *segment)
{
    uint32_t end = segment_end(segment);

    if (!deaf->seen || segment_is_after(end, deaf->end))
        deaf->end = end;
    if (!deaf->seen || segment_is_after(segment->ack, deaf->ack))
        deaf->ack = segment->ack;
    if (!deaf->seen || segment_is_after(segment->timestamp, deaf->timestamp))
        deaf->timestamp = segment->timestamp;
    deaf->seen = true;
}

int deaf_note(struct deaf *deaf, int fd)
{
    struct tcp_info info;

    if (!deaf->seen)
        return ERR_AGAIN;
    if (ask(fd, &info) < 0 || info.tcpi_state == STATE_CLOSED)
        return ERR_SYSTEM;
    deaf->noted_end = deaf->end;
    deaf->noted_received = info.tcpi_bytes_received;
    deaf->noted = true;
    return 0;
}

bool deaf_is_quiet(int fd)
{
    int octets;

    return ioctl(fd, SIOCOUTQ, &octets) == 0 && octets == 0;
}

static int set(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof(value)) < 0 ? ERR_SYSTEM : 0;
}

/* One of them is for another IP version; an IPv6 socket may have an IPv4 peer. */
static int close_ears(int fd)
{
    int four = set(fd, IPPROTO_IP, IP_MINTTL, TTL_OF_OURS);
    int six = set(fd, IPPROTO_IPV6, IPV6_MINHOPCOUNT, TTL_OF_OURS);

    return four < 0 && six < 0 ? ERR_SYSTEM : 0;
}

static void drain(int fd)
{
    uint8_t octets[16 * 1024]; /* never read: MSG_TRUNC copies nothing */
    ssize_t result;

    do
        result = recv(fd, octets, sizeof(octets), MSG_TRUNC | MSG_DONTWAIT);
    while (result > 0 || (result < 0 && errno == EINTR));
}

static int fill(const struct deaf *deaf, int fd, const struct tcp_info *info,
                struct track_start *start)
{
    int mss, clock = 0;
    socklen_t length = sizeof(mss);

    if (getsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &mss, &length) < 0)
        return ERR_SYSTEM;
    start->timestamps = (info->tcpi_options & TCPI_OPT_TIMESTAMPS) != 0;
    length = sizeof(clock);
    if (start->timestamps && getsockopt(fd, IPPROTO_TCP, TCP_TIMESTAMP, &clock, &length) < 0)
        return ERR_SYSTEM;
    if (start->timestamps)
        mss += SEGMENT_TIMESTAMP_OCTETS;
    start->mss = (uint16_t)(mss < MSS_MAX ? mss : MSS_MAX);
    start->timestamp = (uint32_t)clock + 1; /* the kernel has rounded, and said it already */
    start->timestamp_echo = deaf->timestamp;
    start->send_next = deaf->ack;
    start->receive_next = deaf->end;
    start->own_scale = info->tcpi_rcv_wscale;
    start->peer_scale = info->tcpi_snd_wscale;
    start->peer_window = info->tcpi_snd_wnd ? info->tcpi_snd_wnd : WINDOW_LEAST;
    return 0;
}

int deaf_make(struct deaf *deaf, int fd, struct track_start *start)
{
    struct tcp_info info;

    if (!deaf->noted || !deaf_is_quiet(fd))
        return ERR_AGAIN;
    if (ask(fd, &info) < 0 || info.tcpi_state == STATE_CLOSED || close_ears(fd) < 0)
        return ERR_SYSTEM;
    drain(fd);
    /* What is owed is said at once when this is set. */
    (void)set(fd, IPPROTO_TCP, TCP_QUICKACK, 1);
    if (fill(deaf, fd, &info, start) < 0 || ask(fd, &info) < 0)
        return ERR_SYSTEM;
    deaf->receive_next =
        deaf->noted_end + (uint32_t)(info.tcpi_bytes_received - deaf->noted_received);
    deaf->made = true;
    return 0;
}

int deaf_reset(const struct deaf *deaf, struct rawsocket *raw, const struct addr *local,
               const struct addr *peer)
{
    struct segment segment = {.source = *peer,
                              .destination = *local,
                              .sequence = deaf->receive_next,
                              .ack = deaf->ack,
                              .flags = SEGMENT_RST | SEGMENT_ACK,
                              .ttl = TTL_OF_OURS};
    int result;

    if (!deaf->made)
        return ERR_AGAIN;
    result = rawsocket_queue(raw, &segment);
    rawsocket_flush(raw);
    return result;
}

bool deaf_is_over(int fd)
{
    struct tcp_info info;

    return ask(fd, &info) == 0 && info.tcpi_state == STATE_CLOSED;
}
