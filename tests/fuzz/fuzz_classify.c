/* Any datagram on a media port: what is accepted lies inside it. */
#include <stdlib.h>

#include "common/rtp/classify.h"
#include "common/rtp/rtcp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(int condition)
{
    if (!condition)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rtp_view view;
    enum verdict verdict = classify(data, size, &view);

    expect(verdict == VERDICT_ACCEPTED || verdict == VERDICT_MALFORMED || verdict == VERDICT_STUN ||
           verdict == VERDICT_DTLS || verdict == VERDICT_ZRTP);
    if (verdict == VERDICT_ACCEPTED) {
        expect(data[0] >> 6 == 2);
        expect(view.header_length <= size);
        expect(view.header_length >= (view.shape == RTP_SHAPE_RTP ? 12 : 8));
        expect(view.shape == RTP_SHAPE_RTCP || view.payload_type < 128);
    }
    /* Plain RTCP is RTCP: its first packet is classified as that, unless it has no SSRC. */
    if (rtcp_is_plain(data, size) && verdict == VERDICT_ACCEPTED)
        expect(view.shape == RTP_SHAPE_RTCP);
    return 0;
}
