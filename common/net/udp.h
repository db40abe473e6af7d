/*
 * One UDP media socket, read and written in batches (recvmmsg, sendmmsg).
 * Never connected; memory for both batches is allocated once, in udp_open.
 */
#ifndef COMMON_NET_UDP_H
#define COMMON_NET_UDP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/addr.h"

struct sock_fprog;

enum { UDP_BATCH = 32, UDP_SEND_BATCH = 64 };

struct udp;

struct udp_packet {
    const uint8_t *data; /* valid until the next udp_receive on this socket */
    size_t length;       /* at most PACKET_MAX_OCTETS + 4: a packet, or RTP' */
    bool truncated;      /* it was longer */
    struct addr source;
};

/*
 * Opens, binds (address and port as they stand, port 0: one that the kernel picks; IPv6 sockets are
 * IPV6_V6ONLY), sets buffers (4 MiB asked for), DSCP (0 to 63), path MTU discovery "do not
 * fragment", SO_RXQ_OVFL and IP_RECVERR. On failure the result is negative and error says what
 * failed and what would be right.
 */
int udp_open(struct udp **udp, const struct addr *local, unsigned dscp, char *error,
             size_t error_size);
/*
 * The same for one more socket of a port: the others of it are this user's, and all of them have
 * been opened in this way or shared. Whoever else of this user opens one so gets a part of the
 * datagrams: the first is to be opened with udp_open, which fails when the port is anybody's.
 */
int udp_open_shared(struct udp **udp, const struct addr *local, unsigned dscp, char *error,
                    size_t error_size);
/* From now on other sockets may be opened with udp_open_shared. Negative: errno says. */
int udp_share(struct udp *udp);
/* Which of the sockets that share the port gets a datagram, from now on; negative: errno says. */
int udp_steer(struct udp *udp, const struct sock_fprog *program);
/* Accepts NULL. What is still queued is not sent and not reported. */
void udp_close(struct udp *udp);
int udp_fd(const struct udp *udp);
const struct addr *udp_local(const struct udp *udp);
/* What the kernel gave of what was asked for, in octets. */
int udp_receive_buffer(const struct udp *udp);
int udp_send_buffer(const struct udp *udp);
/* Packets that the kernel dropped because the receive buffer was full (SO_RXQ_OVFL). */
uint64_t udp_overflows(const struct udp *udp);

/*
 * An ICMP error says that a packet to this address did not arrive (ECONNREFUSED, EHOSTUNREACH,
 * ...). data: as much of it as the error quotes, 64 octets at most. Anybody can forge
 * that: it is worth a word to the operator, and no more.
 */
typedef void udp_failed_fn(void *ctx, const struct addr *to, const uint8_t *data, size_t length,
                           int error);
/* May be left out. */
void udp_on_failed(struct udp *udp, udp_failed_fn *failed, void *ctx);

/*
 * Receives up to UDP_BATCH packets without waiting. Returns how many (0: none
 * there). ICMP errors that the kernel reports on the socket are consumed and do not count; some of
 * them are told to failed().
 */
int udp_receive(struct udp *udp, struct udp_packet packets[UDP_BATCH]);

/*
 * What became of a queued packet. error is 0 or an errno: EMSGSIZE, ENETUNREACH, EAGAIN, ...
 * It must not queue or flush on the same socket.
 */
typedef void udp_sent_fn(void *ctx, void *tag, int error);

/*
 * Queues a copy of a packet of at most PACKET_MAX_OCTETS + 4 octets (a longer one is reported as
 * EMSGSIZE at once); when the batch is full it is flushed first. tag is handed to sent() by the
 * flush that sends it.
 */
void udp_queue(struct udp *udp, const struct addr *to, const uint8_t *data, size_t length,
               void *tag);
/* Set once, before the first udp_queue. */
void udp_on_sent(struct udp *udp, udp_sent_fn *sent, void *ctx);
/* Sends what is queued. Each packet is reported once: a packet that fails does not hold up the
 * others. */
void udp_flush(struct udp *udp);

#endif
