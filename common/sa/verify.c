#include "common/sa/verify.h"

#include "common/rtp/plain.h"
#include "common/rtp/rtcp.h"
#include "common/sa/rekey.h"
#include "common/srtp/srtp.h"

/* Padding and a tag that is not there are at the end. */
static bool looks_plain(const struct rtp_view *view, const uint8_t *packet, size_t length)
{
    return length > view->header_length &&
           plain_looks_so(packet + view->header_length, length - view->header_length);
}

static enum verdict authenticate(struct sa *sa, struct sa_stream *stream,
                                 const struct rtp_view *view, const uint8_t *packet, size_t length,
                                 uint64_t now_us)
{
    struct srtp_index *index = stream ? &stream->index : NULL;
    enum verdict verdict;

    verdict = srtp_verify(sa->srtp, index, view, packet, length);
    if (sa->old && verdict != VERDICT_ACCEPTED)
        verdict = rekey_verify(sa, stream, verdict, view, packet, length, now_us);
    if (view->shape == RTP_SHAPE_RTP)
        return verdict == VERDICT_AUTH_FAIL && looks_plain(view, packet, length) ? VERDICT_PLAIN_RTP
                                                                                 : verdict;
    /* Afterwards: now and then the ciphertext of a good packet looks like lengths that add up. */
    if ((verdict == VERDICT_AUTH_FAIL || verdict == VERDICT_MALFORMED) &&
        rtcp_is_plain(packet, length))
        return VERDICT_PLAIN_RTCP;
    return verdict;
}

/*
 * Without a key: what the header alone tells. Where the dmz-relay has none, the inner-relay
 * verifies; packets with an assigned SSRC, who receives them.
 */
static enum verdict look_at(const struct sa *sa, const struct sa_stream *stream,
                            const struct rtp_view *view, size_t length, uint64_t now_us)
{
    size_t least = view->header_length + rekey_trailer_octets(sa, view->shape, now_us);

    if (length < least)
        return VERDICT_MALFORMED;
    return stream ? VERDICT_ACCEPTED : VERDICT_SSRC_MISMATCH;
}

/*
 * Where the stream's statistics stand. A late packet's index is estimated from the state that it
 * has moved already: the same value. Under a new key the ROC may begin anew, the counts do not.
 */
static uint64_t stats_index(const struct sa_stream *stream, uint16_t sequence)
{
    uint64_t at = index_estimate(&stream->index, sequence);

    if (stream->stats.started && at + 0x8000 < stream->stats.highest_index)
        at = index_near(stream->stats.highest_index, sequence);
    return at;
}

static void note_arrival(struct sa *sa, struct sa_stream *stream, const struct rtp_view *view,
                         size_t length, uint64_t now_us)
{
    sa->packets++;
    sa->octets += length;
    sa->last_packet_us = now_us;
    if (view->shape != RTP_SHAPE_RTP)
        return;
    /* Strangers may not move them. */
    if (sa->srtp || stream->origin == SSRC_ORIGIN_ASSIGNED)
        rtp_stats_packet(&stream->stats, stats_index(stream, view->sequence), view->timestamp,
                         now_us);
}

enum verdict verify_packet(struct sa *sa, const struct rtp_view *view, const uint8_t *packet,
                           size_t length, uint64_t now_us)
{
    struct sa_stream *stream = sa_stream(sa, view->ssrc);
    enum verdict verdict = sa->srtp ? authenticate(sa, stream, view, packet, length, now_us)
                                    : look_at(sa, stream, view, length, now_us);

    if (verdict == VERDICT_ACCEPTED && !stream)
        verdict = VERDICT_SSRC_MISMATCH;
    if (verdict == VERDICT_ACCEPTED && !rate_take(&sa->rate, length, now_us))
        verdict = VERDICT_RATE;
    if (verdict == VERDICT_ACCEPTED)
        note_arrival(sa, stream, view, length, now_us);
    verify_count(sa, verdict);
    return verdict;
}

void verify_prefetch(const struct sa *sa, const struct rtp_view *view)
{
    const struct sa_stream *stream = sa->stream;

    /* Which of several it is, is not worth the time. */
    if (sa->srtp && sa->stream_count > 0)
        srtp_prefetch(sa->srtp, &stream->index, view);
}
