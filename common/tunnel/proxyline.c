#include "common/tunnel/proxyline.h"

#include <stdio.h>
#include <string.h>

#include "common/base/addr.h"

enum {
    V2_PROXY = 0x21,
    V2_LOCAL = 0x20,
    V2_TCP4 = 0x11,
    V2_TCP6 = 0x21,
    V2_UNSPEC = 0x00,
    V2_HEAD_OCTETS = 16
};

static size_t put_v1(const struct addr *client, const struct addr *server, bool known,
                     uint8_t out[PROXYLINE_OCTETS])
{
    char from[ADDR_TEXT_SIZE], to[ADDR_TEXT_SIZE], line[2 * ADDR_TEXT_SIZE + 32];
    int length;

    if (known)
        length = snprintf(line, sizeof(line), "PROXY TCP%d %s %s %u %u\r\n", client->family,
                          addr_format_ip(client, from, sizeof(from)),
                          addr_format_ip(server, to, sizeof(to)), client->port, server->port);
    else
        length = snprintf(line, sizeof(line), "PROXY UNKNOWN\r\n");
    memcpy(out, line, (size_t)length);
    return (size_t)length;
}

static size_t put_v2(const struct addr *client, const struct addr *server, bool known,
                     uint8_t out[PROXYLINE_OCTETS])
{
    static const uint8_t signature[] = "\r\n\r\n\0\r\nQUIT\n";
    const uint16_t ports[] = {client->port, server->port};
    size_t ip = addr_ip_length(client), at = V2_HEAD_OCTETS;

    memcpy(out, signature, sizeof(signature) - 1);
    out[12] = known ? V2_PROXY : V2_LOCAL;
    out[13] = !known ? V2_UNSPEC : ip == 4 ? V2_TCP4 : V2_TCP6;
    out[14] = 0;
    out[15] = (uint8_t)(known ? 2 * ip + 4 : 0);
    if (!known)
        return at;
    memcpy(out + at, client->ip, ip);
    memcpy(out + at + ip, server->ip, ip);
    at += 2 * ip;
    for (int i = 0; i < 2; i++, at += 2) {
        out[at] = (uint8_t)(ports[i] >> 8);
        out[at + 1] = (uint8_t)ports[i];
    }
    return at;
}

size_t proxyline_put(enum proxyline_version version, const struct addr *client,
                     const struct addr *server, uint8_t out[PROXYLINE_OCTETS])
{
    bool known = client->family && client->family == server->family;

    switch (version) {
    case PROXYLINE_V1:
        return put_v1(client, server, known, out);
    case PROXYLINE_V2:
        return put_v2(client, server, known, out);
    default:
        return 0;
    }
}
