/*
 * A row of datagrams for rtp-prime, from the client and from the relay: u8 flags (1: from the
 * relay, 2: RTCP port), u8 length, the datagram. The octet in front of all says whether there is
 * mux, and
 * --ssrc with the four octets after it.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/reader.h"
#include "common/rtp/classify.h"
#include "common/rtp/prime.h"
#include "rtp-prime/convert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool condition)
{
    if (!condition)
        abort();
}

/* What passes has an SSRC in front that fits, and the other end takes it. */
static void from_client(struct convert *convert, bool rtcp_port, const uint8_t *packet,
                        size_t length)
{
    uint8_t prime[PRIME_OCTETS + UINT8_MAX];
    struct rtp_view view;
    uint32_t outer;

    if (convert_from_client(convert, rtcp_port, packet, length, &outer) != FATE_PASSED)
        return;
    expect(classify(packet, length, &view) == VERDICT_ACCEPTED);
    expect(convert->count <= CONVERT_SSRCS_MAX);
    expect(outer == view.ssrc || (view.shape == RTP_SHAPE_RTCP && outer == convert->last));
    expect(!convert->fixed || outer == convert->ssrc[0]);
    prime_write(prime, outer);
    memcpy(prime + PRIME_OCTETS, packet, length);
    expect(convert_from_relay(convert, rtcp_port, prime, PRIME_OCTETS + length) == FATE_PASSED);
}

static void from_relay(const struct convert *convert, bool rtcp_port, const uint8_t *data,
                       size_t length)
{
    struct rtp_view view;
    uint32_t outer;

    if (convert_from_relay(convert, rtcp_port, data, length) != FATE_PASSED)
        return;
    expect(prime_read(data, length, &outer));
    expect(classify(data + PRIME_OCTETS, length - PRIME_OCTETS, &view) == VERDICT_ACCEPTED);
    expect(view.shape == RTP_SHAPE_RTCP || view.ssrc == outer);
    expect(convert->mux || rtcp_port == (view.shape == RTP_SHAPE_RTCP));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct convert convert;
    struct reader r;
    uint8_t flags;
    uint32_t ssrc;

    reader_init(&r, data, size);
    flags = reader_u8(&r);
    ssrc = flags & 2 ? reader_u32(&r) : 0;
    convert_init(&convert, flags & 1, flags & 2 ? &ssrc : NULL);
    while (reader_left(&r) > 0) {
        uint8_t *copy;
        const uint8_t *from;
        size_t length;

        flags = reader_u8(&r);
        length = reader_u8(&r);
        if (length > reader_left(&r))
            length = reader_left(&r);
        from = reader_take(&r, length);
        copy = malloc(length > 0 ? length : 1); /* of its size, for the sanitizer */
        expect(copy != NULL);
        if (length > 0)
            memcpy(copy, from, length);
        if (flags & 1)
            from_relay(&convert, flags & 2, copy, length);
        else
            from_client(&convert, flags & 2, copy, length);
        free(copy);
    }
    return 0;
}
