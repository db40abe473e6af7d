#include "common/base/addr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"

static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

struct addr addr_from_ip4(const uint8_t ip[4], uint16_t port)
{
    struct addr addr = {.family = 4, .port = port};

    memcpy(addr.ip, ip, 4);
    return addr;
}

struct addr addr_from_ip6(const uint8_t ip[16], uint16_t port)
{
    struct addr addr = {.family = 6, .port = port};

    if (memcmp(ip, mapped_prefix, sizeof(mapped_prefix)) == 0)
        return addr_from_ip4(ip + 12, port);
    memcpy(addr.ip, ip, 16);
    return addr;
}

struct addr addr_from_sockaddr(const struct sockaddr *sa)
{
    struct addr none = {0};
    struct sockaddr_in in;
    struct sockaddr_in6 in6;

    if (sa->sa_family == AF_INET) {
        memcpy(&in, sa, sizeof(in));
        return addr_from_ip4((const uint8_t *)&in.sin_addr, ntohs(in.sin_port));
    }
    if (sa->sa_family == AF_INET6) {
        memcpy(&in6, sa, sizeof(in6));
        return addr_from_ip6(in6.sin6_addr.s6_addr, ntohs(in6.sin6_port));
    }
    return none;
}

socklen_t addr_to_sockaddr(const struct addr *addr, struct sockaddr_storage *out)
{
    memset(out, 0, sizeof(*out));
    if (addr->family == 6) {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;

        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(addr->port);
        memcpy(&in6->sin6_addr, addr->ip, 16);
        return sizeof(*in6);
    }
    struct sockaddr_in *in = (struct sockaddr_in *)out;

    in->sin_family = AF_INET;
    in->sin_port = htons(addr->port);
    memcpy(&in->sin_addr, addr->ip, 4);
    return sizeof(*in);
}

int addr_parse_ip(const char *text, struct addr *out)
{
    uint8_t ip[16];

    if (inet_pton(AF_INET, text, ip) == 1)
        *out = addr_from_ip4(ip, 0);
    else if (inet_pton(AF_INET6, text, ip) == 1)
        *out = addr_from_ip6(ip, 0);
    else
        return ERR_INVALID;
    return 0;
}

static int parse_number(const char *text, unsigned long max, unsigned long *out)
{
    size_t digits = strspn(text, "0123456789");

    if (digits == 0 || digits > 5 || text[digits] != '\0')
        return ERR_INVALID;
    *out = strtoul(text, NULL, 10);
    return *out > max ? ERR_RANGE : 0;
}

int addr_parse(const char *text, struct addr *out)
{
    char ip[INET6_ADDRSTRLEN + 1];
    const char *colon = strrchr(text, ':');
    struct addr parsed;
    unsigned long port;
    size_t length;
    bool bracketed = text[0] == '[';

    if (!colon || (bracketed && (colon == text || colon[-1] != ']')))
        return ERR_INVALID;
    length = (size_t)(colon - text) - (bracketed ? 2 : 0);
    if (length >= sizeof(ip))
        return ERR_INVALID;
    memcpy(ip, text + (bracketed ? 1 : 0), length);
    ip[length] = '\0';
    if (bracketed != (strchr(ip, ':') != NULL) || addr_parse_ip(ip, &parsed) < 0)
        return ERR_INVALID;
    if (parse_number(colon + 1, UINT16_MAX, &port) < 0 || port == 0)
        return ERR_INVALID;
    parsed.port = (uint16_t)port;
    *out = parsed;
    return 0;
}

/* Clears what lies behind the prefix; true when something had been set there. */
static bool clear_host_bits(uint8_t *ip, size_t length, unsigned prefix)
{
    bool had = false;

    for (size_t i = 0; i < length; i++) {
        unsigned kept = prefix > 8 * i ? prefix - (unsigned)(8 * i) : 0;
        uint8_t mask = (uint8_t)(kept >= 8 ? 0xff : 0xff00u >> kept);

        had = had || (ip[i] & ~mask) != 0;
        ip[i] = (uint8_t)(ip[i] & mask);
    }
    return had;
}

int addr_net_parse(const char *text, struct addr_net *out)
{
    char ip[INET6_ADDRSTRLEN + 1];
    const char *slash = strchr(text, '/');
    size_t length = slash ? (size_t)(slash - text) : strlen(text);
    struct addr_net net = {0};
    unsigned long prefix;

    if (length >= sizeof(ip))
        return ERR_INVALID;
    memcpy(ip, text, length);
    ip[length] = '\0';
    if (addr_parse_ip(ip, &net.addr) < 0)
        return ERR_INVALID;
    prefix = 8 * addr_ip_length(&net.addr);
    if (slash && parse_number(slash + 1, prefix, &prefix) < 0)
        return ERR_INVALID;
    net.prefix = (unsigned)prefix;
    if (clear_host_bits(net.addr.ip, addr_ip_length(&net.addr), net.prefix))
        return ERR_INVALID;
    *out = net;
    return 0;
}

char *addr_format_ip(const struct addr *addr, char *out, size_t size)
{
    char text[INET6_ADDRSTRLEN] = "none";

    if (addr->family != 0)
        inet_ntop(addr->family == 4 ? AF_INET : AF_INET6, addr->ip, text, sizeof(text));
    snprintf(out, size, "%s", text);
    return out;
}

char *addr_format(const struct addr *addr, char *out, size_t size)
{
    char ip[INET6_ADDRSTRLEN];

    addr_format_ip(addr, ip, sizeof(ip));
    if (addr->family == 0)
        snprintf(out, size, "none");
    else
        snprintf(out, size, addr->family == 6 ? "[%s]:%u" : "%s:%u", ip, addr->port);
    return out;
}

char *addr_net_format(const struct addr_net *net, char *out, size_t size)
{
    char ip[INET6_ADDRSTRLEN];

    snprintf(out, size, "%s/%u", addr_format_ip(&net->addr, ip, sizeof(ip)), net->prefix);
    return out;
}

size_t addr_ip_length(const struct addr *addr)
{
    return addr->family == 4 ? 4 : 16;
}

bool addr_ip_equal(const struct addr *a, const struct addr *b)
{
    return a->family == b->family && memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
}

bool addr_equal(const struct addr *a, const struct addr *b)
{
    return a->port == b->port && addr_ip_equal(a, b);
}

bool addr_in_net(const struct addr *addr, const struct addr_net *net)
{
    uint8_t ip[16];

    if (addr->family != net->addr.family)
        return false;
    memcpy(ip, addr->ip, sizeof(ip));
    clear_host_bits(ip, addr_ip_length(addr), net->prefix);
    return memcmp(ip, net->addr.ip, addr_ip_length(addr)) == 0;
}

struct special {
    uint8_t ip[16];
    unsigned prefix;
    enum addr_kind kind;
};

/* The IANA special-purpose registries (RFC 6890), first match wins. */
static const struct special special4[] = {
    {{255, 255, 255, 255}, 32, ADDR_BROADCAST},
    {{0}, 8, ADDR_UNSPECIFIED},
    {{127}, 8, ADDR_LOOPBACK},
    {{224}, 4, ADDR_MULTICAST},
    {{10}, 8, ADDR_PRIVATE},
    {{100, 64}, 10, ADDR_PRIVATE},
    {{169, 254}, 16, ADDR_PRIVATE},
    {{172, 16}, 12, ADDR_PRIVATE},
    {{192, 0, 0}, 24, ADDR_PRIVATE},
    {{192, 0, 2}, 24, ADDR_PRIVATE},
    {{192, 88, 99}, 24, ADDR_PRIVATE}, /* 6to4 relays, RFC 7526 */
    {{192, 168}, 16, ADDR_PRIVATE},
    {{198, 18}, 15, ADDR_PRIVATE},
    {{198, 51, 100}, 24, ADDR_PRIVATE},
    {{203, 0, 113}, 24, ADDR_PRIVATE},
    {{240}, 4, ADDR_PRIVATE},
};

static const struct special special6[] = {
    {{0}, 128, ADDR_UNSPECIFIED},
    {{[15] = 1}, 128, ADDR_LOOPBACK},
    {{0xff}, 8, ADDR_MULTICAST},
    {{0xfe, 0x80}, 10, ADDR_PRIVATE},
    {{0xfe, 0xc0}, 10, ADDR_PRIVATE},
    {{0xfc}, 7, ADDR_PRIVATE},
    {{0x20, 0x01, 0x0d, 0xb8}, 32, ADDR_PRIVATE},
    {{0x20, 0x01, 0x00, 0x00}, 23, ADDR_PRIVATE}, /* among them Teredo, which hides an IPv4 one */
    {{0x00, 0x64, 0xff, 0x9b, 0x00, 0x01}, 48, ADDR_PRIVATE}, /* local NAT64, RFC 8215 */
    {{0x01, 0x00}, 64, ADDR_PRIVATE},
    {{0x3f, 0xff}, 20, ADDR_PRIVATE}, /* documentation, RFC 9637 */
    {{0x5f, 0x00}, 16, ADDR_PRIVATE}, /* segment routing, RFC 9602 */
};

/* IPv6 forms that hold an IPv4 address, and the octet where it begins. */
static const struct {
    uint8_t ip[12];
    unsigned prefix, at;
} embedded[] = {
    {{0}, 96, 12},                      /* IPv4-compatible, RFC 4291 */
    {{0x00, 0x64, 0xff, 0x9b}, 96, 12}, /* NAT64, RFC 6052 */
    {{0x20, 0x02}, 16, 2},              /* 6to4, RFC 3056 */
    {{[8] = 0xff, [9] = 0xff}, 96, 12}, /* SIIT, RFC 2765: ::ffff:0:a.b.c.d */
};

static enum addr_kind kind_in(const struct addr *addr, const struct special *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct addr_net net = {.addr = {.family = addr->family}, .prefix = list[i].prefix};

        memcpy(net.addr.ip, list[i].ip, sizeof(net.addr.ip));
        if (addr_in_net(addr, &net))
            return list[i].kind;
    }
    return ADDR_PUBLIC;
}

struct addr addr_embedded(const struct addr *addr)
{
    for (size_t i = 0; addr->family == 6 && i < sizeof(embedded) / sizeof(embedded[0]); i++) {
        struct addr_net net = {.addr = {.family = 6}, .prefix = embedded[i].prefix};

        memcpy(net.addr.ip, embedded[i].ip, sizeof(embedded[i].ip));
        if (addr_in_net(addr, &net))
            return addr_from_ip4(addr->ip + embedded[i].at, addr->port);
    }
    return *addr;
}

enum addr_kind addr_kind(const struct addr *addr)
{
    enum addr_kind kind;
    struct addr inner;

    if (addr->family == 4)
        return kind_in(addr, special4, sizeof(special4) / sizeof(special4[0]));
    if (addr->family != 6)
        return ADDR_UNSPECIFIED;
    kind = kind_in(addr, special6, sizeof(special6) / sizeof(special6[0]));
    inner = addr_embedded(addr);
    return kind == ADDR_PUBLIC && inner.family == 4 ? addr_kind(&inner) : kind;
}

const char *addr_kind_text(enum addr_kind kind)
{
    static const char *const text[] = {"public",    "private",   "loopback",
                                       "multicast", "broadcast", "unspecified"};

    return text[kind];
}
