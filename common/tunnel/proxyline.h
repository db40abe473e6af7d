/*
 * The head that the PROXY protocol puts in front of a byte stream, so that a server behind a relay
 * learns who the client is (haproxy's proxy-protocol.txt, versions 1 and 2).
 */
#ifndef COMMON_TUNNEL_PROXYLINE_H
#define COMMON_TUNNEL_PROXYLINE_H

#include <stddef.h>
#include <stdint.h>

struct addr;

/* In the order in which inner-relay.ini(5) names them. */
enum proxyline_version { PROXYLINE_NONE, PROXYLINE_V1, PROXYLINE_V2 };

enum { PROXYLINE_OCTETS = 108 };

/*
 * Returns how many octets were written, 0 for PROXYLINE_NONE. Addresses that are not known, or of
 * two families, make a head that says so.
 */
size_t proxyline_put(enum proxyline_version version, const struct addr *client,
                     const struct addr *server, uint8_t out[PROXYLINE_OCTETS]);

#endif
