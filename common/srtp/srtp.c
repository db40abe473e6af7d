#include "common/srtp/srtp.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/protocol.h"
#include "common/base/random.h"
#include "common/base/vault.h"
#include "common/srtp/engine.h"

enum { BACKENDS_MAX = 2 };

struct srtp_engine {
    enum srtp_engine_kind kind;
    struct srtp_backend backend[BACKENDS_MAX]; /* the first that has a suite takes it */
    unsigned count;
    uint64_t calls[SRTP_THREADS_MAX][SRTP_CALLS_STRIDE]; /* of all backends, by thread */
};

_Thread_local unsigned srtp_thread;

/* ------------------------------------------------------------ keys */

size_t srtp_key_octets(const struct suite *suite, enum srtp_key_kind kind)
{
    switch (kind) {
    case SRTP_KEY_MASTER:
        return suite_material_octets(suite);
    case SRTP_KEY_AUTH:
        return suite->aead ? 0 : 2 * SRTP_AUTH_KEY_OCTETS;
    case SRTP_KEY_NONE:
        break;
    }
    return 0;
}

void srtp_key_master(struct srtp_key *key, const uint8_t *material, size_t length)
{
    memset(key, 0, sizeof(*key));
    key->kind = SRTP_KEY_MASTER;
    key->length = length;
    key->lifetime = SRTP_LIFETIME_MAX;
    memcpy(key->octets, material, length < sizeof(key->octets) ? length : sizeof(key->octets));
}

static bool is_zero(const uint8_t *octets, size_t length)
{
    uint8_t any = 0;

    for (size_t i = 0; i < length; i++)
        any |= octets[i];
    return any == 0;
}

static bool key_fits(const struct suite *suite, const struct srtp_key *key)
{
    size_t right = srtp_key_octets(suite, key->kind);

    /* A salt may be anything; each authentication key is a key. */
    size_t secret = key->kind == SRTP_KEY_AUTH ? SRTP_AUTH_KEY_OCTETS : suite->key_octets;

    return right > 0 && key->length == right && key->mki_length <= SRTP_MKI_MAX_OCTETS &&
           !is_zero(key->octets, secret) &&
           (key->kind != SRTP_KEY_AUTH || !is_zero(key->octets + secret, secret));
}

/* ------------------------------------------------------------ engines */

static int backend_start(struct srtp_engine *engine, const struct srtp_ops *ops)
{
    struct srtp_backend *backend = &engine->backend[engine->count];
    int result = ops->start(&backend->state);

    if (result < 0)
        return result;
    result = vault_new(&backend->vault, ops->session_octets);
    if (result < 0) {
        ops->stop(backend->state);
        return result;
    }
    backend->ops = ops;
    backend->calls = engine->calls;
    engine->count++;
    return 0;
}

static bool has_all_suites(const struct srtp_engine *engine)
{
    for (unsigned i = 0; i < SUITE_COUNT; i++) {
        if (!srtp_engine_has(engine, suite_get((enum suite_id)i), SRTP_KEY_MASTER))
            return false;
    }
    return true;
}

static int start_backends(struct srtp_engine *engine)
{
    int result = 0;

    if (engine->kind != SRTP_ENGINE_LIBSRTP2)
        result = backend_start(engine, &evp_ops);
    if (engine->kind == SRTP_ENGINE_LIBSRTP2 ||
        (engine->kind == SRTP_ENGINE_AUTO && (result < 0 || !has_all_suites(engine))))
        result = backend_start(engine, &libsrtp2_ops);
    return result;
}

/* only: NULL, or the one backend that it has. */
static int engine_new(struct srtp_engine **engine, enum srtp_engine_kind kind,
                      const struct srtp_ops *only)
{
    struct srtp_engine *made = calloc(1, sizeof(*made));
    int result;

    if (!made)
        return ERR_NOMEM;
    made->kind = kind;
    result = only ? backend_start(made, only) : start_backends(made);
    if (result < 0) {
        srtp_engine_free(made);
        return result;
    }
    *engine = made;
    return 0;
}

int srtp_engine_new(struct srtp_engine **engine, enum srtp_engine_kind kind)
{
    return engine_new(engine, kind, NULL);
}

int srtp_engine_new_of(struct srtp_engine **engine, const struct srtp_ops *ops)
{
    return engine_new(engine, SRTP_ENGINE_AUTO, ops);
}

void srtp_engine_free(struct srtp_engine *engine)
{
    if (!engine)
        return;
    while (engine->count > 0) {
        struct srtp_backend *backend = &engine->backend[--engine->count];

        vault_free(backend->vault);
        backend->ops->stop(backend->state);
    }
    free(engine);
}

const char *srtp_engine_name(enum srtp_engine_kind kind)
{
    static const char *const names[] = {"auto", "evp", "libsrtp2"};

    return names[kind];
}

enum srtp_engine_kind srtp_engine_kind(const struct srtp_engine *engine)
{
    return engine->kind;
}

static const struct srtp_backend *backend_for(const struct srtp_engine *engine,
                                              const struct suite *suite, enum srtp_key_kind kind)
{
    for (unsigned i = 0; i < engine->count; i++) {
        const struct srtp_backend *backend = &engine->backend[i];

        if (backend->ops->has(backend->state, suite, kind))
            return backend;
    }
    return NULL;
}

bool srtp_engine_has(const struct srtp_engine *engine, const struct suite *suite,
                     enum srtp_key_kind kind)
{
    return srtp_key_octets(suite, kind) > 0 && backend_for(engine, suite, kind);
}

bool srtp_engine_is_locked(const struct srtp_engine *engine)
{
    for (unsigned i = 0; i < engine->count; i++) {
        if (!vault_is_locked(engine->backend[i].vault))
            return false;
    }
    return true;
}

uint64_t srtp_engine_verifications(const struct srtp_engine *engine)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < SRTP_THREADS_MAX; i++)
        sum += engine->calls[i][0];
    return sum;
}

int srtp_engine_threads(struct srtp_engine *engine, unsigned count)
{
    int result = 0;

    for (unsigned i = 0; result == 0 && i < engine->count; i++) {
        const struct srtp_backend *backend = &engine->backend[i];

        if (backend->ops->threads)
            result = backend->ops->threads(backend->state, count);
    }
    return result;
}

void srtp_thread_begin(unsigned number)
{
    srtp_thread = number;
}

/* ------------------------------------------------------------ sessions */

static int fill(struct srtp_session *session, const struct suite *suite, const struct srtp_key *key)
{
    session->suite = suite;
    session->left = key->lifetime < SRTP_LIFETIME_MAX ? key->lifetime : SRTP_LIFETIME_MAX;
    session->bounded = key->lifetime < SRTP_LIFETIME_MAX;
    session->kind = key->kind & 0x7f;
    memcpy(session->octets, key->octets, key->length);
    session->mki_length = (uint8_t)key->mki_length;
    if (key->mki_length == 0)
        return 0;
    session->mki = malloc(key->mki_length);
    if (!session->mki)
        return ERR_NOMEM;
    memcpy(session->mki, key->mki, key->mki_length);
    return 0;
}

int srtp_session_new(struct srtp_engine *engine, struct srtp_session **session,
                     const struct suite *suite, const struct srtp_key *key)
{
    const struct srtp_backend *backend = backend_for(engine, suite, key->kind);
    struct srtp_session *made;
    int result;

    if (!key_fits(suite, key))
        return ERR_INVALID;
    if (!backend)
        return ERR_UNSUPPORTED;
    made = vault_take(backend->vault);
    if (!made)
        return ERR_NOMEM;
    made->backend = backend;
    result = fill(made, suite, key);
    if (result == 0)
        result = backend->ops->open(made);
    if (result < 0) {
        free(made->mki);
        vault_give(backend->vault, made);
        return result;
    }
    *session = made;
    return 0;
}

void srtp_session_free(struct srtp_session *session)
{
    if (!session)
        return;
    session->backend->ops->close(session);
    free(session->mki);
    vault_give(session->backend->vault, session);
}

bool srtp_session_is_parallel(const struct srtp_session *session)
{
    return session->backend->ops->threads != NULL;
}

uint64_t srtp_session_lifetime(const struct srtp_session *session)
{
    return session->bounded ? session->left : SRTP_LIFETIME_MAX;
}

const uint8_t *srtp_session_mki(const struct srtp_session *session, size_t *length)
{
    *length = session->mki_length;
    return session->mki;
}

int srtp_session_key(const struct srtp_session *session, enum srtp_key_kind kind,
                     struct srtp_key *key)
{
    const struct srtp_ops *ops = session->backend->ops;

    memset(key, 0, sizeof(*key));
    key->kind = kind;
    key->length = srtp_key_octets(session->suite, kind);
    key->lifetime = srtp_session_lifetime(session);
    key->mki_length = session->mki_length;
    if (session->mki)
        memcpy(key->mki, session->mki, session->mki_length);
    if (session->kind == kind) {
        memcpy(key->octets, session->octets, key->length);
        return 0;
    }
    if (key->length == 0 || session->kind != SRTP_KEY_MASTER || !ops->derive_auth)
        return ERR_UNSUPPORTED;
    return ops->derive_auth(session, key->octets);
}

enum srtp_key_kind srtp_session_kind(const struct srtp_session *session)
{
    return (enum srtp_key_kind)session->kind;
}

static bool has_mki(const struct srtp_session *session, const uint8_t *mki, size_t length)
{
    return session->mki_length == length && (length == 0 || memcmp(session->mki, mki, length) == 0);
}

static size_t octets_of(const struct srtp_session *session)
{
    return srtp_key_octets(session->suite, srtp_session_kind(session));
}

static bool has_octets(const struct srtp_session *session, const uint8_t *octets, size_t length)
{
    return octets_of(session) == length && memcmp(session->octets, octets, length) == 0;
}

bool srtp_session_is(const struct srtp_session *session, const struct suite *suite,
                     const struct srtp_key *key)
{
    return session->suite == suite && session->kind == key->kind &&
           has_octets(session, key->octets, key->length) &&
           has_mki(session, key->mki, key->mki_length);
}

bool srtp_session_equal(const struct srtp_session *a, const struct srtp_session *b)
{
    return a->suite == b->suite && a->kind == b->kind && has_octets(a, b->octets, octets_of(b)) &&
           srtp_session_one_mki(a, b);
}

bool srtp_session_one_mki(const struct srtp_session *a, const struct srtp_session *b)
{
    return has_mki(a, b->mki, b->mki_length);
}

bool srtp_session_one_key(const struct srtp_session *a, const struct srtp_session *b)
{
    enum srtp_key_kind kind =
        a->kind == b->kind ? (enum srtp_key_kind)a->kind : SRTP_KEY_AUTH; /* both can give that */
    struct srtp_key one, other;
    bool same = srtp_session_key(a, kind, &one) == 0 && srtp_session_key(b, kind, &other) == 0 &&
                one.length == other.length && memcmp(one.octets, other.octets, one.length) == 0;

    wipe(&one, sizeof(one));
    wipe(&other, sizeof(other));
    return same;
}

/* ------------------------------------------------------------ packets */

size_t srtp_trailer_octets(const struct suite *suite, enum rtp_shape shape, size_t mki_length)
{
    return mki_length + (shape == RTP_SHAPE_RTP ? suite->rtp_tag_octets
                                                : suite->rtcp_tag_octets + SRTCP_INDEX_OCTETS);
}

static bool mki_is_right(const struct srtp_session *session, enum rtp_shape shape,
                         const uint8_t *packet, size_t length)
{
    const uint8_t *mki =
        packet + length - srtp_octets_behind_mki(session->suite, shape) - session->mki_length;

    return !session->mki || memcmp(mki, session->mki, session->mki_length) == 0;
}

static enum verdict ask_rtp(struct srtp_session *session, const struct rtp_view *view, bool known,
                            uint64_t at, const uint8_t *packet, size_t length)
{
    ++session->backend->calls[srtp_thread][0];
    return session->backend->ops->rtp(session, view, known, at, packet, length);
}

static enum verdict ask_rtcp(struct srtp_session *session, const struct rtp_view *view, bool known,
                             uint32_t at, const uint8_t *packet, size_t length)
{
    ++session->backend->calls[srtp_thread][0];
    return session->backend->ops->rtcp(session, view, known, at, packet, length);
}

static enum verdict rtp_at(struct srtp_session *session, struct srtp_index *index,
                           const struct rtp_view *view, uint64_t at, const uint8_t *packet,
                           size_t length)
{
    enum verdict verdict;

    if (index_is_replay(index, at))
        return VERDICT_REPLAY;
    verdict = ask_rtp(session, view, true, at, packet, length);
    if (verdict == VERDICT_ACCEPTED)
        index_advance(index, at);
    return verdict;
}

static enum verdict verify_rtp(struct srtp_session *session, struct srtp_index *index,
                               const struct rtp_view *view, const uint8_t *packet, size_t length)
{
    uint64_t at = index_estimate(index, view->sequence), other;
    enum verdict verdict = rtp_at(session, index, view, at, packet, length);

    if ((verdict == VERDICT_AUTH_FAIL || verdict == VERDICT_REPLAY) &&
        index_search(index, at, verdict == VERDICT_REPLAY, &other) &&
        rtp_at(session, index, view, other, packet, length) == VERDICT_ACCEPTED) {
        index_search_was_honest(index);
        return VERDICT_ACCEPTED;
    }
    return verdict;
}

/* In clear behind the packet (RFC 3711 section 3.4), with AEAD behind the tag (RFC 7714
 * section 9.1). */
static uint32_t srtcp_index(const struct srtp_session *session, const uint8_t *packet,
                            size_t length)
{
    const uint8_t *p = packet + length - session->mki_length - SRTCP_INDEX_OCTETS -
                       srtp_octets_behind_mki(session->suite, RTP_SHAPE_RTCP);

    return (uint32_t)(p[0] & 0x7f) << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static enum verdict verify_rtcp(struct srtp_session *session, struct srtp_index *index,
                                const struct rtp_view *view, const uint8_t *packet, size_t length)
{
    uint32_t at = srtcp_index(session, packet, length);
    enum verdict verdict;

    if (!index)
        return ask_rtcp(session, view, false, at, packet, length);
    if (index_is_replay_rtcp(index, at))
        return VERDICT_REPLAY;
    verdict = ask_rtcp(session, view, true, at, packet, length);
    if (verdict == VERDICT_ACCEPTED)
        index_advance_rtcp(index, at);
    return verdict;
}

/* Is there room for the trailer, and the MKI in it? */
static enum verdict look_at_trailer(const struct srtp_session *session, enum rtp_shape shape,
                                    size_t header_length, const uint8_t *packet, size_t length)
{
    size_t trailer = srtp_trailer_octets(session->suite, shape, session->mki_length);

    if (length > PACKET_MAX_OCTETS || length < header_length + trailer)
        return VERDICT_MALFORMED;
    return mki_is_right(session, shape, packet, length) ? VERDICT_ACCEPTED : VERDICT_AUTH_FAIL;
}

enum verdict srtp_verify(struct srtp_session *session, struct srtp_index *index,
                         const struct rtp_view *view, const uint8_t *packet, size_t length)
{
    enum verdict verdict =
        look_at_trailer(session, view->shape, view->header_length, packet, length);

    if (verdict != VERDICT_ACCEPTED)
        return verdict;
    if (session->left == 0)
        return VERDICT_KEY_EXPIRED;
    if (view->shape == RTP_SHAPE_RTCP)
        verdict = verify_rtcp(session, index, view, packet, length);
    else if (index)
        verdict = verify_rtp(session, index, view, packet, length);
    else
        verdict = ask_rtp(session, view, false, view->sequence, packet, length);
    if (index) /* without one, a packet may come any number of times */
        session->left -= verdict == VERDICT_ACCEPTED;
    return verdict;
}

/* The engine keeps no state: it is not known whether the SSRC will be the SA's. */
static enum verdict first_rtp(struct srtp_session *session, struct srtp_index *index, uint32_t late,
                              const struct rtp_view *view, const uint8_t *packet, size_t length)
{
    uint64_t at = view->sequence;
    enum verdict verdict = ask_rtp(session, view, false, at, packet, length);

    if (verdict == VERDICT_AUTH_FAIL && late) {
        at |= (uint64_t)late << 16;
        verdict = ask_rtp(session, view, false, at, packet, length);
    }
    if (verdict == VERDICT_ACCEPTED)
        index_advance(index, at);
    return verdict;
}

static enum verdict first_rtcp(struct srtp_session *session, struct srtp_index *index,
                               const struct rtp_view *view, const uint8_t *packet, size_t length)
{
    uint32_t at = srtcp_index(session, packet, length);
    enum verdict verdict = ask_rtcp(session, view, false, at, packet, length);

    if (verdict == VERDICT_ACCEPTED)
        index_advance_rtcp(index, at);
    return verdict;
}

enum verdict srtp_verify_first(struct srtp_session *session, struct srtp_index *index,
                               uint32_t late, const struct rtp_view *view, const uint8_t *packet,
                               size_t length)
{
    enum verdict verdict =
        look_at_trailer(session, view->shape, view->header_length, packet, length);

    *index = (struct srtp_index){0};
    if (verdict != VERDICT_ACCEPTED)
        return verdict;
    if (session->left == 0)
        return VERDICT_KEY_EXPIRED;
    verdict = view->shape == RTP_SHAPE_RTCP ? first_rtcp(session, index, view, packet, length)
                                            : first_rtp(session, index, late, view, packet, length);
    session->left -= verdict == VERDICT_ACCEPTED;
    return verdict;
}

enum verdict srtp_authenticate(struct srtp_session *session, const struct srtp_index *index,
                               const struct rtp_view *view, const uint8_t *packet, size_t length)
{
    enum verdict verdict =
        look_at_trailer(session, view->shape, view->header_length, packet, length);

    if (verdict != VERDICT_ACCEPTED)
        return verdict;
    if (view->shape == RTP_SHAPE_RTCP)
        return ask_rtcp(session, view, false, srtcp_index(session, packet, length), packet, length);
    return ask_rtp(session, view, false,
                   index ? index_estimate(index, view->sequence) : view->sequence, packet, length);
}

enum { LINE_OCTETS = 64 };

void srtp_prefetch(const struct srtp_session *session, const struct srtp_index *index,
                   const struct rtp_view *view)
{
    const uint8_t *start = (const void *)session;

    for (int at = 0; at < SESSION_FETCHED_OCTETS; at += LINE_OCTETS)
        __builtin_prefetch(start + at);
    index_prefetch(index, view->sequence);
}

static enum verdict verify_octets(struct srtp_session *session, struct srtp_index *index,
                                  enum rtp_shape shape, uint32_t ssrc, const uint8_t *packet,
                                  size_t length)
{
    struct rtp_view view;

    if (classify(packet, length, &view) != VERDICT_ACCEPTED || view.shape != shape ||
        view.ssrc != ssrc)
        return VERDICT_MALFORMED;
    return srtp_verify(session, index, &view, packet, length);
}

enum verdict srtp_verify_rtp(struct srtp_session *session, struct srtp_index *index, uint32_t ssrc,
                             const uint8_t *packet, size_t length)
{
    return verify_octets(session, index, RTP_SHAPE_RTP, ssrc, packet, length);
}

enum verdict srtp_verify_rtcp(struct srtp_session *session, struct srtp_index *index, uint32_t ssrc,
                              const uint8_t *packet, size_t length)
{
    return verify_octets(session, index, RTP_SHAPE_RTCP, ssrc, packet, length);
}
