#include "common/rtp/classify.h"

#include <stdbool.h>

#include "common/base/reader.h"

enum {
    RTCP_FIXED_OCTETS = 8,
    STUN_HEAD_OCTETS = 20,
    ZRTP_HEAD_OCTETS = 12,
};

#define STUN_MAGIC 0x2112a442u
#define ZRTP_MAGIC 0x5a525450u

/* RFC 8489 section 5; without the cookie it may be a client of RFC 3489: then its length tells. */
static bool is_stun(const uint8_t *packet, size_t length)
{
    struct reader r;
    uint16_t body;

    if (length < STUN_HEAD_OCTETS)
        return false;
    reader_init(&r, packet, length);
    reader_u16(&r);
    body = reader_u16(&r);
    return reader_u32(&r) == STUN_MAGIC ||
           (body % 4 == 0 && length == (size_t)STUN_HEAD_OCTETS + body);
}

/* RFC 6189 section 5. */
static bool is_zrtp(const uint8_t *packet, size_t length)
{
    struct reader r;

    if (length < ZRTP_HEAD_OCTETS)
        return false;
    reader_init(&r, packet, length);
    reader_u32(&r);
    return reader_u32(&r) == ZRTP_MAGIC;
}

/*
 * Only the first eight octets of SRTCP are in clear; they hold the length of the first packet of
 * the compound, which must lie inside the datagram, its sender's SSRC included.
 */
static enum verdict classify_rtcp(const uint8_t *packet, size_t length, struct rtp_view *view)
{
    struct reader r;
    size_t first;

    reader_init(&r, packet, length);
    reader_u8(&r);
    view->shape = RTP_SHAPE_RTCP;
    view->payload_type = reader_u8(&r);
    first = 4 * ((size_t)reader_u16(&r) + 1);
    view->ssrc = reader_u32(&r);
    view->header_length = RTCP_FIXED_OCTETS;
    if (r.failed || first < RTCP_FIXED_OCTETS || first > length)
        return VERDICT_MALFORMED;
    return VERDICT_ACCEPTED;
}

static enum verdict classify_rtp(const uint8_t *packet, size_t length, struct rtp_view *view)
{
    struct reader r;
    uint8_t first;

    reader_init(&r, packet, length);
    first = reader_u8(&r);
    view->shape = RTP_SHAPE_RTP;
    view->payload_type = reader_u8(&r) & 0x7f;
    view->sequence = reader_u16(&r);
    view->timestamp = reader_u32(&r);
    view->ssrc = reader_u32(&r);
    reader_take(&r, 4 * (size_t)(first & 0x0f)); /* CSRC list */
    if (first & 0x10) {                          /* header extension */
        reader_u16(&r);
        reader_take(&r, 4 * (size_t)reader_u16(&r));
    }
    view->header_length = length - reader_left(&r);
    return r.failed ? VERDICT_MALFORMED : VERDICT_ACCEPTED;
}

enum verdict classify(const uint8_t *packet, size_t length, struct rtp_view *view)
{
    struct rtp_view none = {0};

    *view = none;
    if (length == 0)
        return VERDICT_MALFORMED;
    if (packet[0] <= 3)
        return is_stun(packet, length) ? VERDICT_STUN : VERDICT_MALFORMED;
    if (packet[0] >= 16 && packet[0] <= 19)
        return is_zrtp(packet, length) ? VERDICT_ZRTP : VERDICT_MALFORMED;
    if (packet[0] >= 20 && packet[0] <= 63)
        return VERDICT_DTLS;
    if (packet[0] < 128 || packet[0] > 191)
        return VERDICT_MALFORMED;
    if (length > 1 && packet[1] >= 192 && packet[1] <= 223)
        return classify_rtcp(packet, length, view);
    return classify_rtp(packet, length, view);
}
