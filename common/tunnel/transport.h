/*
 * What a tunnel's TLS runs over: one socket, or the two of a GET and a POST through an HTTP proxy.
 */
#ifndef COMMON_TUNNEL_TRANSPORT_H
#define COMMON_TUNNEL_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/addr.h"
#include "common/tunnel/httpproxy.h"

enum { TRANSPORT_EARLY_MAX = HTTP_HEAD_OCTETS };

struct transport {
    int in, out;                  /* not blocking; the same where there is one */
    bool chunked_in, chunked_out; /* httpwire.h */
    const void *early;            /* what was read of in already, at most TRANSPORT_EARLY_MAX */
    size_t early_length;
    enum httpproxy_way way;
    struct addr peer; /* of in, for when the socket does not know it any more; family 0: unknown */
    uint64_t started_us; /* from when on the 3 s of the handshakes count; 0: from now on */
};

static inline struct transport transport_direct(int fd)
{
    return (struct transport){.in = fd, .out = fd, .way = HTTPPROXY_DIRECT};
}

#endif
