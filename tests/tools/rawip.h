/*
 * UDP over IPv4 as who stands on the way sees and makes it: datagrams of others, with any source
 * address. Needs root. A network namespace is the path of its file (/run/netns/NAME), NULL is the
 * one that the program was started in.
 */
#ifndef TESTS_TOOLS_RAWIP_H
#define TESTS_TOOLS_RAWIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/addr.h"

enum { RAWIP_HEAD_OCTETS = 28, RAWIP_MAX_OCTETS = 2048, RAWIP_BATCH = 64 };

/* A datagram; payload points into the caller's memory. */
struct rawip_udp {
    struct addr from, to;
    const uint8_t *payload;
    size_t length;
};

/* Datagrams that were made and wait to be sent together. */
struct rawip_out {
    int fd;
    size_t count;
    size_t lengths[RAWIP_BATCH];
    uint8_t packets[RAWIP_BATCH][RAWIP_HEAD_OCTETS + RAWIP_MAX_OCTETS];
    uint64_t sent, errors;
    int last_error;
};

/* Each of both ends the program with a message when it cannot. */
void rawip_out_open(struct rawip_out *out, const char *netns);
/* Sees what comes in at this device (NULL: at any); non-blocking. */
int rawip_see(const char *netns, const char *device);

/*
 * The next IPv4 packet that came in, into buffer: its length, 0 when there is none. Packets that
 * leave are skipped.
 */
size_t rawip_next(int fd, uint8_t *buffer, size_t size);
/* The address that a packet of rawip_next() goes to, its port 0. */
struct addr rawip_destination(const uint8_t *packet);
/* False: it is no whole UDP datagram. */
bool rawip_parse(const uint8_t *packet, size_t length, struct rawip_udp *udp);

/* Sent when RAWIP_BATCH are waiting, or by rawip_flush(). */
void rawip_send(struct rawip_out *out, const struct rawip_udp *udp);
void rawip_flush(struct rawip_out *out);

/* The IPv4 address that stands n after this one, same port. */
struct addr rawip_after(const struct addr *addr, uint32_t n);
/* Is addr one of the count IPv4 addresses from first on, whatever the port? */
bool rawip_within(const struct addr *addr, const struct addr *first, uint32_t count);

#endif
