#include "common/sa/rekey.h"

#include <stdlib.h>
#include <string.h>

#include "common/srtp/srtp.h"

enum { SPARE_STREAMS = 2 }; /* that are first heard under a key that goes */

struct old_stream {
    uint32_t ssrc;
    struct srtp_index index;
};

struct sa_old {
    TAILQ_ENTRY(sa_old) link;
    struct rekey_queue *queue;
    struct sa *sa;
    struct srtp_session *session; /* NULL where this host has no keys */
    const struct suite *suite;    /* then */
    uint64_t end_us;
    bool one_key; /* with the new one, but for MKI or suite: sa->stream has the windows of both */
    unsigned count, room;
    struct old_stream stream[];
};

static struct old_stream *old_stream(struct sa_old *old, uint32_t ssrc)
{
    for (unsigned i = 0; i < old->count; i++) {
        if (old->stream[i].ssrc == ssrc)
            return &old->stream[i];
    }
    return NULL;
}

static struct sa_old *old_new(struct srtp_session *session, const struct sa_stream *streams,
                              unsigned count)
{
    unsigned room = session ? count + SPARE_STREAMS : 0;
    struct sa_old *old = calloc(1, sizeof(*old) + room * sizeof(old->stream[0]));

    if (!old)
        return NULL;
    old->session = session;
    old->count = count;
    old->room = room;
    for (unsigned i = 0; i < count; i++)
        old->stream[i] = (struct old_stream){streams[i].ssrc, streams[i].index};
    return old;
}

static void keep(struct rekey_queue *queue, struct sa *sa, struct sa_old *old, uint64_t now_us)
{
    old->queue = queue;
    old->sa = sa;
    old->end_us = now_us + OLD_KEY_US;
    TAILQ_INSERT_TAIL(queue, old, link);
    sa->old = old;
}

static const struct srtp_index *index_of(const struct sa_stream *streams, unsigned count,
                                         uint32_t ssrc)
{
    for (unsigned i = 0; i < count; i++) {
        if (streams[i].ssrc == ssrc)
            return &streams[i].index;
    }
    return NULL;
}

/* before: where it stood under the key that goes; NULL: it is new. */
static void begin(struct sa_stream *stream, const struct srtp_index *before)
{
    bool in_place = before == &stream->index;

    /* Else the authority knows more already than that the key is new. */
    if (before && (in_place || (!stream->index.started && (before->started || before->hinted))))
        index_rekey(&stream->index, before);
}

/*
 * The key stays, and only MKI or suite change. What has come under it stays known: an MKI stands in
 * no tag, and of a tag one can cut off, so who has heard a packet can make the other form of it.
 */
static void go_on(struct sa_stream *stream, const struct srtp_index *before)
{
    if (before && before != &stream->index)
        stream->index = *before;
}

/* The new key is the one before the last: it goes on where it stood, or its packets came again. */
static void take_back(struct sa *sa, struct sa_old *older)
{
    struct srtp_session *made = sa->srtp;

    if (srtp_session_equal(older->session, made)) {
        sa->srtp = older->session;
        older->session = made;
    }
    for (unsigned i = 0; i < older->count; i++) {
        struct sa_stream *stream = sa_stream(sa, older->stream[i].ssrc);

        if (stream)
            stream->index = older->stream[i].index;
    }
}

void rekey(struct rekey_queue *queue, struct sa *sa, struct srtp_session *session,
           const struct sa_stream *streams, unsigned count, uint64_t now_us)
{
    struct sa_old *old = old_new(session, streams, count);
    bool one_key = srtp_session_one_key(session, sa->srtp);

    for (unsigned i = 0; i < sa->stream_count; i++) {
        const struct srtp_index *before = index_of(streams, count, sa->stream[i].ssrc);

        if (one_key)
            go_on(&sa->stream[i], before);
        else
            begin(&sa->stream[i], before);
    }
    if (sa->old && !one_key && srtp_session_one_key(sa->old->session, sa->srtp))
        take_back(sa, sa->old);
    rekey_end(sa);
    if (!old) {
        srtp_session_free(session);
        return;
    }
    old->one_key = one_key;
    keep(queue, sa, old, now_us);
}

void rekey_suite(struct rekey_queue *queue, struct sa *sa, const struct suite *before,
                 uint64_t now_us)
{
    struct sa_old *old = old_new(NULL, NULL, 0);

    rekey_end(sa);
    if (!old)
        return;
    old->suite = before;
    keep(queue, sa, old, now_us);
}

size_t rekey_trailer_octets(const struct sa *sa, enum rtp_shape shape, uint64_t now_us)
{
    size_t octets = sa->suite ? srtp_trailer_octets(sa->suite, shape, 0) : 0, before;

    if (!sa->old || now_us >= sa->old->end_us)
        return octets;
    before = srtp_trailer_octets(sa->old->suite, shape, 0);
    return before < octets ? before : octets;
}

uint64_t rekey_left_us(const struct sa *sa, uint64_t now_us)
{
    return sa->old && now_us < sa->old->end_us ? sa->old->end_us - now_us : 0;
}

void rekey_end(struct sa *sa)
{
    struct sa_old *old = sa->old;

    sa->move.from.family = 0; /* indexes of two keys do not compare */
    if (!old)
        return;
    TAILQ_REMOVE(old->queue, old, link);
    sa->old = NULL;
    srtp_session_free(old->session);
    free(old);
}

void rekey_move(struct sa *from, struct sa *to)
{
    if (!from->old)
        return;
    to->old = from->old;
    to->old->sa = to;
    from->old = NULL;
}

bool rekey_tick(struct rekey_queue *queue, uint64_t now_us, size_t limit)
{
    struct sa_old *old;

    while ((old = TAILQ_FIRST(queue)) && now_us >= old->end_us) {
        if (limit-- == 0)
            return true;
        rekey_end(old->sa);
    }
    return false;
}

/*
 * The new key's verdict says why, but where it took a packet of the old key for a
 * forged one that the old key has seen before.
 */
static enum verdict final(enum verdict verdict, enum verdict before)
{
    bool unknown = verdict == VERDICT_AUTH_FAIL || verdict == VERDICT_MALFORMED;

    return unknown && before == VERDICT_REPLAY ? before : verdict;
}

enum verdict rekey_verify(struct sa *sa, struct sa_stream *stream, enum verdict verdict,
                          const struct rtp_view *view, const uint8_t *packet, size_t length,
                          uint64_t now_us)
{
    struct old_stream *known = old_stream(sa->old, view->ssrc);
    struct srtp_index *index = known ? &known->index : NULL;
    enum verdict before;

    if (now_us >= sa->old->end_us)
        return verdict;
    if (sa->old->one_key)
        index = stream ? &stream->index : NULL;
    before = srtp_verify(sa->old->session, index, view, packet, length);
    if (before != VERDICT_ACCEPTED)
        return final(verdict, before);
    /* Without a window of its own, such a packet could come any number of times. */
    if (!index || !stream)
        return VERDICT_SSRC_MISMATCH;
    /* The sender may change over when the ROC is another than it was. */
    if (index->started)
        index_hint(&stream->index, index->highest);
    index_search_was_honest(&stream->index);
    return VERDICT_ACCEPTED;
}

bool rekey_authenticates(const struct sa *sa, const struct sa_stream *stream,
                         const struct rtp_view *view, const uint8_t *packet, size_t length,
                         uint64_t now_us)
{
    const struct old_stream *known;
    const struct srtp_index *index;

    if (rekey_left_us(sa, now_us) == 0 || !sa->old->session)
        return false;
    known = old_stream(sa->old, view->ssrc);
    index = known ? &known->index : NULL;
    if (sa->old->one_key)
        index = &stream->index;
    return index &&
           srtp_authenticate(sa->old->session, index, view, packet, length) == VERDICT_ACCEPTED;
}

enum verdict rekey_verify_first(struct sa *sa, struct srtp_index *index, uint32_t late,
                                enum verdict verdict, const struct rtp_view *view,
                                const uint8_t *packet, size_t length, uint64_t now_us)
{
    struct sa_old *old = sa->old;

    /* Without a window of its own, or with a second one, it could come any number of times. */
    if (now_us >= old->end_us ||
        (!old->one_key && (old->count == old->room || old_stream(old, view->ssrc))))
        return verdict;
    if (srtp_verify_first(old->session, index, late, view, packet, length) != VERDICT_ACCEPTED)
        return verdict;
    return VERDICT_ACCEPTED;
}

void rekey_learned(struct sa *sa, struct sa_stream *stream, const struct srtp_index *index)
{
    struct sa_old *old = sa->old;

    if (old->one_key) {
        stream->index = *index;
        return;
    }
    old->stream[old->count++] = (struct old_stream){stream->ssrc, *index};
    if (index->started)
        index_hint(&stream->index, index->highest);
}
