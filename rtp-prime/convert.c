#include "rtp-prime/convert.h"

#include "common/rtp/classify.h"
#include "common/rtp/prime.h"

void convert_init(struct convert *convert, bool mux, const uint32_t *ssrc)
{
    *convert = (struct convert){.mux = mux};
    if (!ssrc)
        return;
    convert->fixed = true;
    convert->count = 1;
    convert->ssrc[0] = convert->last = *ssrc;
}

static enum fate shape(const struct convert *convert, bool rtcp_port, const uint8_t *packet,
                       size_t length, struct rtp_view *view)
{
    switch (classify(packet, length, view)) {
    case VERDICT_ACCEPTED:
        break;
    case VERDICT_STUN:
        return FATE_STUN;
    case VERDICT_DTLS:
        return FATE_DTLS;
    case VERDICT_ZRTP:
        return FATE_ZRTP;
    default:
        return FATE_MALFORMED;
    }
    if (view->shape == RTP_SHAPE_RTCP)
        return rtcp_port || convert->mux ? FATE_PASSED : FATE_WRONG_PORT;
    return rtcp_port ? FATE_WRONG_PORT : FATE_PASSED;
}

static bool knows(const struct convert *convert, uint32_t ssrc)
{
    for (size_t i = 0; i < convert->count; i++)
        if (convert->ssrc[i] == ssrc)
            return true;
    return false;
}

/* The oldest makes room. */
static void remember(struct convert *convert, uint32_t ssrc)
{
    if (!knows(convert, ssrc)) {
        convert->ssrc[convert->next] = ssrc;
        convert->next = (convert->next + 1) % CONVERT_SSRCS_MAX;
        if (convert->count < CONVERT_SSRCS_MAX)
            convert->count++;
    }
    convert->last = ssrc;
}

enum fate convert_from_client(struct convert *convert, bool rtcp_port, const uint8_t *packet,
                              size_t length, uint32_t *outer)
{
    struct rtp_view view;
    enum fate fate;

    *outer = 0;
    if (length == 0)
        return FATE_EMPTY;
    fate = shape(convert, rtcp_port, packet, length, &view);
    *outer = view.ssrc;
    if (fate != FATE_PASSED)
        return fate;
    if (view.shape == RTP_SHAPE_RTCP) {
        if (convert->count > 0 && !knows(convert, view.ssrc))
            *outer = convert->last;
        return FATE_PASSED;
    }
    if (convert->fixed && view.ssrc != convert->last)
        return FATE_SSRC_MISMATCH;
    remember(convert, view.ssrc);
    return FATE_PASSED;
}

enum fate convert_from_relay(const struct convert *convert, bool rtcp_port, const uint8_t *data,
                             size_t length)
{
    struct rtp_view view;
    uint32_t outer;
    enum fate fate;

    if (length == 0)
        return FATE_EMPTY;
    if (!prime_read(data, length, &outer))
        return FATE_MALFORMED;
    fate = shape(convert, rtcp_port, data + PRIME_OCTETS, length - PRIME_OCTETS, &view);
    if (fate == FATE_PASSED && view.shape == RTP_SHAPE_RTP && view.ssrc != outer)
        return FATE_SSRC_MISMATCH;
    return fate;
}
