/*
 * An IP address with a port, and a network prefix. IPv4-mapped IPv6 addresses
 * (::ffff:0:0/96) become IPv4 wherever an address enters, so that one host has
 * one form.
 */
#ifndef COMMON_BASE_ADDR_H
#define COMMON_BASE_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum { ADDR_TEXT_SIZE = 64 };

struct addr {
    uint8_t family; /* 0 (none), 4 or 6 */
    uint16_t port;  /* host order */
    uint8_t ip[16]; /* network order; the rest of an IPv4 address is zero */
};

struct addr_net {
    struct addr addr; /* host bits are zero, port 0 */
    unsigned prefix;  /* bits */
};

/* What kind of address it is, seen by somebody who is asked to send media there. */
enum addr_kind {
    ADDR_PUBLIC,
    ADDR_PRIVATE, /* RFC 1918, 6598, 4193, link-local, documentation and other special ranges */
    ADDR_LOOPBACK,
    ADDR_MULTICAST,
    ADDR_BROADCAST,
    ADDR_UNSPECIFIED, /* 0.0.0.0/8, :: */
};

struct addr addr_from_ip4(const uint8_t ip[4], uint16_t port);
struct addr addr_from_ip6(const uint8_t ip[16], uint16_t port);
/* A family that is not IPv4 or IPv6 gives family 0. */
struct addr addr_from_sockaddr(const struct sockaddr *sa);
/* Writes into *out and returns its length. */
socklen_t addr_to_sockaddr(const struct addr *addr, struct sockaddr_storage *out);

/* "192.0.2.1:5004" or "[2001:db8::1]:5004"; port 1 to 65535. 0 or ERR_INVALID. */
int addr_parse(const char *text, struct addr *out);
/* An address without a port. */
int addr_parse_ip(const char *text, struct addr *out);
/* "192.0.2.0/24", or an address alone for one host. Host bits must be zero. */
int addr_net_parse(const char *text, struct addr_net *out);

/* Each writes at most size octets, terminated, and returns out. */
char *addr_format(const struct addr *addr, char *out, size_t size);
char *addr_format_ip(const struct addr *addr, char *out, size_t size);
char *addr_net_format(const struct addr_net *net, char *out, size_t size);

size_t addr_ip_length(const struct addr *addr);
bool addr_equal(const struct addr *a, const struct addr *b);
bool addr_ip_equal(const struct addr *a, const struct addr *b);
bool addr_in_net(const struct addr *addr, const struct addr_net *net);
/*
 * The IPv4 address inside a 6to4, NAT64, SIIT or IPv4-compatible one, which is
 * where packets to it end; any other address as it is. The port stays.
 */
struct addr addr_embedded(const struct addr *addr);
/* An IPv4 address inside an IPv6 one (addr_embedded) is judged as itself. */
enum addr_kind addr_kind(const struct addr *addr);
const char *addr_kind_text(enum addr_kind kind);

#endif
