/*
 * RTP and RTCP of one client to RTP' and back: octets in, octets out. Nothing here needs a key: of
 * SRTP and SRTCP the SSRC is in clear.
 */
#ifndef RTP_PRIME_CONVERT_H
#define RTP_PRIME_CONVERT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rtp-prime/fate.h"

enum { CONVERT_SSRCS_MAX = 8 };

struct convert {
    bool mux;   /* RTCP comes on the RTP port, too */
    bool fixed; /* the client must send under ssrc[0] */
    /* SSRCs that the client has sent RTP under: the last few */
    size_t count, next;
    uint32_t ssrc[CONVERT_SSRCS_MAX];
    uint32_t last; /* the one of its last RTP packet */
};

/* ssrc: the only one that the client may send RTP under; NULL: any. */
void convert_init(struct convert *convert, bool mux, const uint32_t *ssrc);

/*
 * FATE_PASSED, and *outer is what goes in front: of RTP its SSRC; of RTCP the SSRC of its sender
 * where the client has sent RTP under it, or has sent no RTP yet, otherwise that of the last RTP
 * packet. For RTCP' carries an SSRC of the sender's media line, whichever SSRC reports inside.
 */
enum fate convert_from_client(struct convert *convert, bool rtcp_port, const uint8_t *packet,
                              size_t length, uint32_t *outer);

/* FATE_PASSED: the client is to get what lies behind the first PRIME_OCTETS of data. */
enum fate convert_from_relay(const struct convert *convert, bool rtcp_port, const uint8_t *data,
                             size_t length);

#endif
