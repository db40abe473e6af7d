/*
 * Which of several sockets that share a port gets a datagram (SO_REUSEPORT): a classic BPF program
 * chooses by SSRC, so that all packets of one sender, RTP and RTCP, come to one thread. That is for
 * speed and order only: state is in the SAs, and whichever thread has a packet may take it.
 *
 * Peers send RTP', which has its outer SSRC in front; anybody else is taken to send RTP or RTCP. On
 * the inside a client may send RTP' too, which octets alone do not tell: what looks as both, one in
 * four timestamps or outer SSRCs, is spread by its source instead, where RTP and RTCP differ in the
 * last bit of the port.
 */
#ifndef COMMON_NET_STEER_H
#define COMMON_NET_STEER_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/net/peers.h"

struct steer {
    uint8_t family;            /* of the socket */
    unsigned count;            /* of sockets, which were bound one after another */
    bool prime;                /* others than peers may send RTP' */
    const struct peers *peers; /* NULL: none */
};

enum { STEER_MAX = 32 + 12 * PEERS_MAX };

/* How many instructions it has. */
size_t steer_make(const struct steer *steer, struct sock_filter code[STEER_MAX]);

#endif
