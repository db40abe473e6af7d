#include "tests/tools/junk.h"

#include <string.h>

/* Every length from 0 to this, once with the first octets of RTP and once with random ones. */
enum { LENGTHS = 65, FILLS = 2 };

struct shape {
    size_t length;
    uint8_t head[24]; /* the rest is a fixed noise */
    size_t head_length;
};

static const struct shape shapes[] = {
    /* RTP with the versions 0, 1 and 3 */
    {172, {0x00, 0, 0, 1}, 4},
    {172, {0x40, 0, 0, 1}, 4},
    {172, {0xc0, 0, 0, 1}, 4},
    /* 15 CSRCs in a packet that has room for 14, for one, for none */
    {12 + 14 * 4, {0x8f, 0, 0, 1}, 4},
    {12 + 4, {0x8f, 0, 0, 1}, 4},
    {12, {0x8f, 0, 0, 1}, 4},
    /* a header extension that is cut off, one longer than the packet, both with CSRCs */
    {12, {0x90, 0, 0, 1}, 4},
    {14, {0x90, 0, 0, 1}, 4},
    {16, {0x90, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0xbe, 0xde, 0xff, 0xff}, 16},
    {172, {0x90, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0xbe, 0xde, 0xff, 0xff}, 16},
    {76, {0x9f, 0, 0, 1}, 4},
    /* padding of more than there is, and of nothing */
    {13, {0xa0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0xff}, 13},
    {13, {0xa0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0x00}, 13},
    /* well-formed RTP that nobody has a key for */
    {172, {0x80, 0, 0, 1, 0, 0, 0, 0, 0xde, 0xad, 0xbe, 0xef}, 12},
    {1400, {0x80, 96, 0, 1, 0, 0, 0, 0, 0xde, 0xad, 0xbe, 0xef}, 12},
    /* RTCP: absurd lengths inside, a lone BYE, a report of nobody */
    {28, {0x81, 200, 0xff, 0xff}, 4},
    {28, {0x80, 200, 0, 0}, 4},
    {8, {0x81, 203, 0, 1, 0xde, 0xad, 0xbe, 0xef}, 8},
    {8, {0x80, 201, 0, 1, 0xde, 0xad, 0xbe, 0xef}, 8},
    /* STUN: a binding request (RFC 8489), and with a wrong length */
    {20, {0x00, 0x01, 0, 0, 0x21, 0x12, 0xa4, 0x42}, 8},
    {20, {0x00, 0x01, 0xff, 0xff, 0x21, 0x12, 0xa4, 0x42}, 8},
    {28, {0x01, 0x01, 0, 8, 0x21, 0x12, 0xa4, 0x42}, 8},
    /* DTLS: ClientHello, alert, application data */
    {120, {22, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 107, 1}, 14},
    {15, {21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 2, 40}, 15},
    {60, {23, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 1, 0, 47}, 13},
    /* ZRTP Hello (RFC 6189) */
    {100, {0x10, 0x00, 0, 1, 0x5a, 0x52, 0x54, 0x50}, 8},
    /* TURN channel data, SIP, DNS, QUIC */
    {64, {0x40, 0x00, 0, 60}, 4},
    {200, "OPTIONS sip:a SIP/2.0\r\n", 23},
    {40, {0x12, 0x34, 0x01, 0x00, 0, 1}, 6},
    {1200, {0xc3, 0, 0, 0, 1, 8}, 6},
};

static void fill(uint8_t *out, size_t length, size_t seed)
{
    uint32_t state = (uint32_t)seed * 2654435761u + 1;

    for (size_t i = 0; i < length; i++) {
        state = state * 1664525 + 1013904223;
        out[i] = (uint8_t)(state >> 24);
    }
}

size_t junk_count(void)
{
    return LENGTHS * FILLS + sizeof(shapes) / sizeof(shapes[0]);
}

size_t junk_make(size_t n, uint8_t out[JUNK_MAX_OCTETS])
{
    const struct shape *shape;

    if (n < LENGTHS * FILLS) {
        fill(out, n % LENGTHS, n);
        if (n < LENGTHS && n > 0)
            out[0] = 0x80;
        return n % LENGTHS;
    }
    shape = &shapes[n - LENGTHS * FILLS];
    fill(out, shape->length, n);
    memcpy(out, shape->head, shape->head_length);
    return shape->length;
}
