/*
 * A raw socket for TCP: segments as they come, before the kernel puts them in order, and segments
 * of our own. It sees copies of what comes to this host, for local ports and from remote
 * addresses that are said when it is opened and never change: the kernel keeps the filter
 * locked, so that who takes the process over sees no more than that. Needs CAP_NET_RAW, but only
 * to be opened (privilege_drop_raw() of common/daemon/privilege.h).
 */
#ifndef COMMON_CARRIER_RAWSOCKET_H
#define COMMON_CARRIER_RAWSOCKET_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/addr.h"
#include "common/carrier/segment.h"

enum {
    RAWSOCKET_BATCH = 16,
    RAWSOCKET_PORTS_MAX = 16,
    RAWSOCKET_REMOTES_MAX = 16,
    RAWSOCKET_CODE_MAX = 3 * RAWSOCKET_PORTS_MAX + 13 * RAWSOCKET_REMOTES_MAX + 16,
};

struct rawsocket;

struct rawsocket_ports {
    uint16_t first, last;
};

struct rawsocket_filter {
    uint8_t family; /* 4 or 6 */
    /* Without segments that hold no data, unless their window is one that only track.h says. */
    bool data_only;
    size_t port_count, remote_count;
    struct rawsocket_ports ports[RAWSOCKET_PORTS_MAX]; /* local ones; at least one */
    struct addr_net remotes[RAWSOCKET_REMOTES_MAX];    /* of this family; none: anybody */
};

struct rawsocket_counts {
    uint64_t received;  /* segments */
    uint64_t malformed; /* what is no TCP segment, or was too long for the buffer */
    uint64_t overflows; /* what the kernel dropped because its buffer was full */
    uint64_t sent, unsent;
};

/* The program for the kernel; returns its length. */
size_t rawsocket_filter(const struct rawsocket_filter *filter,
                        struct sock_filter code[RAWSOCKET_CODE_MAX]);

/*
 * Opens, sets filter, buffers (8 MiB asked for) and lock. On failure the result is negative and
 * error says what failed and what would be right: ERR_FORBIDDEN without CAP_NET_RAW,
 * ERR_UNSUPPORTED where this host does not have the IP version.
 */
int rawsocket_open(struct rawsocket **raw, const struct rawsocket_filter *filter, char *error,
                   size_t error_size);
/* Accepts NULL. What is still queued is not sent. */
void rawsocket_close(struct rawsocket *raw);
int rawsocket_fd(const struct rawsocket *raw);
/* What the kernel gave, in octets as getsockopt reports them. */
int rawsocket_receive_buffer(const struct rawsocket *raw);
const struct rawsocket_counts *rawsocket_counts(const struct rawsocket *raw);

/*
 * Receives segments without waiting; returns how many (0: none there). Their data are valid, and
 * may be written to, until the next call. Several of a row may have been merged into one.
 */
unsigned rawsocket_receive(struct rawsocket *raw, struct segment segments[RAWSOCKET_BATCH]);

/*
 * Queues a copy of a segment of ours, of this socket's family; when there is no room for another
 * all are sent first. 0, or negative: it cannot be written (segment_write()).
 */
int rawsocket_queue(struct rawsocket *raw, const struct segment *segment);
/* Sends what is queued; one that fails is counted, and does not hold up the others. */
void rawsocket_flush(struct rawsocket *raw);

#endif
