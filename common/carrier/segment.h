/*
 * A TCP segment with its IP header as a raw socket gives and takes it: read into a structure, and
 * written from one. Nothing here knows a connection.
 */
#ifndef COMMON_CARRIER_SEGMENT_H
#define COMMON_CARRIER_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/addr.h"

/* RFC 9293 section 3.1. */
enum {
    SEGMENT_FIN = 0x01,
    SEGMENT_SYN = 0x02,
    SEGMENT_RST = 0x04,
    SEGMENT_PSH = 0x08,
    SEGMENT_ACK = 0x10,
};

enum {
    SEGMENT_TTL = 64,
    SEGMENT_IP4_OCTETS = 20,
    SEGMENT_IP6_OCTETS = 40,
    SEGMENT_TCP_OCTETS = 20,
    SEGMENT_TIMESTAMP_OCTETS = 12, /* the option with what aligns it */
    SEGMENT_HEADS_MAX = SEGMENT_IP6_OCTETS + 60,
    SEGMENT_MAX_OCTETS = 65535, /* of a whole packet */
    SEGMENT_SCALE_MAX = 14,     /* RFC 7323 section 2.3 */
};

struct segment {
    struct addr source, destination;
    uint32_t sequence, ack;
    uint16_t window;      /* as it stands in the header: not scaled */
    uint16_t mss;         /* 0: the option is not there */
    uint8_t flags;        /* SEGMENT_*, and others as received */
    uint8_t ttl;          /* or hop limit; 0 when written: SEGMENT_TTL */
    uint8_t traffic;      /* TOS or traffic class */
    uint8_t window_scale; /* 0 to SEGMENT_SCALE_MAX */
    bool has_window_scale;
    bool has_sack_permitted;
    bool has_timestamps;
    uint32_t timestamp, timestamp_echo;
    const uint8_t *data; /* when read: in the packet that was read */
    size_t length;
};

/*
 * Reads a packet from its IP header on. Octets behind the length that the IP header says are left
 * out. Check sums are not looked at: a raw socket gets packets whose sums the network card has
 * verified, or has yet to make. ERR_TRUNCATED: shorter than its own lengths say; ERR_UNSUPPORTED:
 * not TCP, a fragment, or IPv6 with extension headers; ERR_INVALID: lengths that cannot be.
 */
int segment_read(struct segment *segment, const uint8_t *packet, size_t length);
/*
 * The same from the TCP header on, as raw sockets of IPv6 give it. Leaves addresses, ttl and
 * traffic to the caller, but sets the ports of both addresses.
 */
int segment_read_tcp(struct segment *segment, const uint8_t *tcp, size_t length);
/*
 * Writes a packet with its IP header and its check sums: "do not fragment", identification 0 (the
 * kernel fills it in). MSS, SACK-permitted and window scale only together with SYN. Both addresses
 * are of one family. Returns its length, ERR_INVALID or ERR_TOO_LONG.
 */
int segment_write(const struct segment *segment, uint8_t *out, size_t size);
/* Are the check sums of a whole packet right? False for what segment_read() does not read. */
bool segment_sums_hold(const uint8_t *packet, size_t length);
/* What goes in front of the data: IP and TCP header with the options that it says. */
size_t segment_heads_length(const struct segment *segment);

/* Is sequence number a after b? Both within 2^31 of each other. */
static inline bool segment_is_after(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) > 0;
}

/* The sequence number that follows what this segment holds: SYN and FIN count. */
static inline uint32_t segment_end(const struct segment *segment)
{
    return segment->sequence + (uint32_t)segment->length + !!(segment->flags & SEGMENT_SYN) +
           !!(segment->flags & SEGMENT_FIN);
}

#endif
