#include "common/sa/verify.h"

#include "common/rtp/plain.h"
#include "common/rtp/rtcp.h"
#include "common/sa/rekey.h"
#include "common/sa/table.h"
#include "common/srtp/srtp.h"

/* An MKI, which stands near the end, may be long and is no noise. */
static bool looks_plain(const struct sa *sa, const struct rtp_view *view, const uint8_t *packet,
                        size_t length)
{
    size_t mki_length;

    (void)srtp_session_mki(sa->srtp, &mki_length);
    return length > view->header_length + mki_length &&
           plain_looks_so(packet + view->header_length, length - view->header_length - mki_length);
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
        return verdict == VERDICT_AUTH_FAIL && looks_plain(sa, view, packet, length)
                   ? VERDICT_PLAIN_RTP
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

static void note_arrival(struct sa *sa, struct sa_stream *stream, const struct verify_input *input,
                         uint64_t now_us)
{
    sa->packets++;
    sa->octets += input->length;
    sa->last_packet_us = now_us;
    if (input->view.shape != RTP_SHAPE_RTP)
        return;
    /* Strangers may not move them. */
    if (sa->srtp || stream->origin == SSRC_ORIGIN_ASSIGNED)
        rtp_stats_packet(&stream->stats, stats_index(stream, input->view.sequence),
                         input->view.timestamp, now_us);
}

/* RTCP has an SSRC of the SA in front, whichever of them reports; RTP its own. */
static bool is_crossed(const struct verify_input *input)
{
    return input->prime && input->view.shape == RTP_SHAPE_RTP && input->outer != input->view.ssrc;
}

/*
 * A new SSRC of the sender. Which turn of its sequence numbers it is in is not known: the first one
 * is likely, and one packet in LATE_JOIN_EVERY is also tried in a later one, which its sequence
 * number picks.
 */
enum { LATE_JOIN_EVERY = 4 };

static uint32_t late_roc(const struct rtp_view *view)
{
    if (view->sequence % LATE_JOIN_EVERY != 0)
        return 0;
    return 1 + view->sequence / LATE_JOIN_EVERY % (INDEX_SEARCH_TURNS - 1);
}

static enum verdict meet(struct table *table, struct sa *sa, const struct verify_input *input,
                         uint64_t now_us)
{
    struct srtp_index index;
    struct sa_stream *stream;
    uint32_t late = late_roc(&input->view);
    enum verdict verdict =
        srtp_verify_first(sa->srtp, &index, late, &input->view, input->packet, input->length);
    bool old_key = sa->old && verdict != VERDICT_ACCEPTED;

    if (old_key)
        verdict = rekey_verify_first(sa, &index, late, verdict, &input->view, input->packet,
                                     input->length, now_us);
    if (verdict != VERDICT_ACCEPTED)
        return verdict;
    stream = is_crossed(input) ? NULL : table_learn_ssrc(table, sa, input->view.ssrc);
    if (!stream)
        return VERDICT_SSRC_MISMATCH;
    if (old_key)
        rekey_learned(sa, stream, &index);
    else
        stream->index = index;
    return VERDICT_ACCEPTED;
}

/* An authentic packet in the wrong envelope moves nothing. */
static enum verdict look_inside(struct sa *sa, const struct sa_stream *stream,
                                const struct verify_input *input)
{
    enum verdict verdict = srtp_authenticate(sa->srtp, stream ? &stream->index : NULL, &input->view,
                                             input->packet, input->length);

    return verdict == VERDICT_ACCEPTED ? VERDICT_SSRC_MISMATCH : verdict;
}

static enum verdict judge_key(struct table *table, struct sa *sa, struct sa_stream *stream,
                              const struct verify_input *input, uint64_t now_us)
{
    if (!stream && sa_learns_ssrcs(sa))
        return meet(table, sa, input, now_us);
    if (is_crossed(input))
        return look_inside(sa, stream, input);
    return authenticate(sa, stream, &input->view, input->packet, input->length, now_us);
}

static enum verdict judge_header(const struct sa *sa, const struct sa_stream *stream,
                                 const struct verify_input *input, uint64_t now_us)
{
    enum verdict verdict = look_at(sa, stream, &input->view, input->length, now_us);

    return verdict == VERDICT_ACCEPTED && is_crossed(input) ? VERDICT_SSRC_MISMATCH : verdict;
}

enum verdict verify_judge(struct table *table, struct sa *sa, const struct verify_input *input,
                          uint64_t now_us)
{
    struct sa_stream *stream = sa_stream(sa, input->view.ssrc);
    enum verdict verdict = sa->srtp ? judge_key(table, sa, stream, input, now_us)
                                    : judge_header(sa, stream, input, now_us);

    if (verdict != VERDICT_ACCEPTED)
        return verdict;
    stream = sa_stream(sa, input->view.ssrc);
    if (!stream)
        return VERDICT_SSRC_MISMATCH;
    if (!rate_take(&sa->rate, input->length, now_us))
        return VERDICT_RATE;
    note_arrival(sa, stream, input, now_us);
    return VERDICT_ACCEPTED;
}

enum verdict verify_packet(struct table *table, struct sa *sa, const struct verify_input *input,
                           uint64_t now_us)
{
    enum verdict verdict = verify_judge(table, sa, input, now_us);

    verify_count(sa, verdict);
    return verdict;
}

enum verdict verify_try(struct table *table, struct sa *sa, const struct verify_input *input,
                        uint64_t now_us)
{
    enum verdict verdict = verify_judge(table, sa, input, now_us);

    if (verdict == VERDICT_ACCEPTED || verdict == VERDICT_RATE || verdict == VERDICT_SSRC_MISMATCH)
        verify_count(sa, verdict);
    return verdict;
}

bool verify_is_alone(struct sa *sa, const struct verify_input *input)
{
    return !sa->old && (!sa->srtp || srtp_session_is_parallel(sa->srtp)) &&
           (sa_stream(sa, input->view.ssrc) || !sa_learns_ssrcs(sa));
}

uint64_t verify_index(struct sa *sa, const struct rtp_view *view)
{
    const struct sa_stream *stream = sa_stream(sa, view->ssrc);

    return stream ? index_estimate(&stream->index, view->sequence) : 0;
}

void verify_prefetch(const struct sa *sa, const struct rtp_view *view)
{
    const struct sa_stream *stream = sa->stream;

    /* Which of several it is, is not worth the time. */
    if (sa->srtp && sa->stream_count > 0)
        srtp_prefetch(sa->srtp, &stream->index, view);
}
