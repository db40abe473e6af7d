/*
 * What shape a datagram on a media port has, judged by its bytes alone
 * (RFC 7983 section 7, RFC 5761 section 4, RFC 3550 sections 5.1 and 6.4).
 */
#ifndef COMMON_RTP_CLASSIFY_H
#define COMMON_RTP_CLASSIFY_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/verdict.h"

enum rtp_shape { RTP_SHAPE_RTP, RTP_SHAPE_RTCP };

struct rtp_view {
    enum rtp_shape shape;
    uint8_t payload_type; /* RTP: 7 bits; RTCP: the packet type, 8 bits */
    uint16_t sequence;    /* RTP only */
    uint32_t timestamp;   /* RTP only */
    uint32_t ssrc;        /* RTCP: of the packet's sender */
    size_t header_length; /* octets in front of the payload; RTCP: 8 */
};

/*
 * Returns VERDICT_ACCEPTED and fills *view, or VERDICT_MALFORMED, _STUN, _DTLS
 * or _ZRTP. Accepted means that the fixed header, the CSRC list and the header
 * extension lie inside the datagram. The padding count is encrypted in SRTP and
 * is not looked at.
 */
enum verdict classify(const uint8_t *packet, size_t length, struct rtp_view *view);

#endif
