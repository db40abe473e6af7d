#include "common/sa/rekey.h"

#include <stdlib.h>
#include <string.h>

#include "common/srtp/srtp.h"

struct old_stream {
    uint32_t ssrc;
    struct srtp_index index;
};

struct sa_old {
    TAILQ_ENTRY(sa_old) link;
    struct rekey_queue *queue;
    struct sa *sa;
    struct srtp_session *session;
    uint64_t end_us;
    unsigned count;
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
    struct sa_old *old = calloc(1, sizeof(*old) + count * sizeof(old->stream[0]));

    if (!old)
        return NULL;
    old->session = session;
    old->count = count;
    for (unsigned i = 0; i < count; i++)
        old->stream[i] = (struct old_stream){streams[i].ssrc, streams[i].index};
    return old;
}

void rekey(struct rekey_queue *queue, struct sa *sa, struct srtp_session *session,
           const struct sa_stream *streams, unsigned count, uint64_t now_us)
{
    struct sa_old *old = old_new(session, streams, count);

    rekey_end(sa);
    if (!old) {
        srtp_session_free(session);
        return;
    }
    old->queue = queue;
    old->sa = sa;
    old->end_us = now_us + OLD_KEY_US;
    TAILQ_INSERT_TAIL(queue, old, link);
    sa->old = old;
    for (unsigned i = 0; i < sa->stream_count; i++) {
        const struct old_stream *before = old_stream(old, sa->stream[i].ssrc);

        /* Else the authority knows more already than that the key is new. */
        if (before && (streams == sa->stream || !sa->stream[i].index.started))
            index_rekey(&sa->stream[i].index, &before->index);
    }
}

uint64_t rekey_left_us(const struct sa *sa, uint64_t now_us)
{
    return sa->old && now_us < sa->old->end_us ? sa->old->end_us - now_us : 0;
}

void rekey_end(struct sa *sa)
{
    struct sa_old *old = sa->old;

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
enum verdict rekey_verify(struct sa *sa, enum verdict verdict, const struct rtp_view *view,
                          const uint8_t *packet, size_t length)
{
    struct old_stream *stream = old_stream(sa->old, view->ssrc);
    enum verdict before =
        srtp_verify(sa->old->session, stream ? &stream->index : NULL, view, packet, length);

    if (before == VERDICT_ACCEPTED)
        return before;
    return verdict == VERDICT_AUTH_FAIL && before == VERDICT_REPLAY ? before : verdict;
}
