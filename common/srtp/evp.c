/*
 * The engine on libcrypto: the verification that a relay needs, and no more.
 *
 * The tag of the AES-CM suites is an HMAC over header, encrypted payload, SSRC
 * and ROC: who can make it has the key, and decrypting would prove nothing more
 * (RFC 3711 section 4.2). So a host that only verifies needs no cipher key. The
 * AEAD suites have one key for both; the payload is decrypted on the way, into
 * memory that nobody looks at.
 *
 * Nothing is allocated per packet, nor per session: algorithms are fetched once,
 * and a session has its keys in its own cell, in locked memory.
 */
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/protocol.h"
#include "common/base/random.h"
#include "common/srtp/engine.h"
#include "common/srtp/gcm.h"
#include "common/srtp/hmac.h"

/* RFC 3711 section 4.3.1: what a derived key is for. */
enum key_label {
    LABEL_RTP_CIPHER = 0,
    LABEL_RTP_AUTH = 1,
    LABEL_RTP_SALT = 2,
    LABEL_RTCP_CIPHER = 3,
    LABEL_RTCP_AUTH = 4,
    LABEL_RTCP_SALT = 5,
};

enum {
    GCM_SALT_OCTETS = GCM_IV_OCTETS, /* RFC 7714 section 12 */
    CM_IV_OCTETS = 16,
    SRTCP_E_BIT = 0x80,
    RTCP_HEADER_OCTETS = 8,
};

/* All suites have one of two key lengths. */
struct evp_state {
    /* By thread; for keys of 16 and 32 octets, as the others; NULL: not to be had. */
    struct gcm *gcm[SRTP_THREADS_MAX][2];
    unsigned threads;
    EVP_CIPHER *cm[2];
    EVP_CIPHER_CTX *derive[2];
};

/* Of one enum rtp_shape. */
struct gcm_keys {
    uint8_t salt[GCM_SALT_OCTETS];
    uint8_t key[GCM_KEY_MAX_OCTETS];
};

struct evp_session {
    struct srtp_session base;
    union { /* by enum rtp_shape */
        struct hmac_key hmac[2];
        struct gcm_keys gcm[2];
    } u;
};

_Static_assert(offsetof(struct evp_session, u) + sizeof(struct gcm_keys) <= SESSION_FETCHED_OCTETS,
               "an SRTP packet finds its keys fetched");

static unsigned size_of_key(const struct suite *suite)
{
    return suite->key_octets == 32;
}

/* ------------------------------------------------------------ the engine */

static void evp_stop(void *pointer)
{
    struct evp_state *state = pointer;

    for (int i = 0; i < 2; i++) {
        EVP_CIPHER_CTX_free(state->derive[i]);
        EVP_CIPHER_free(state->cm[i]);
        for (unsigned thread = 0; thread < state->threads; thread++)
            gcm_free(state->gcm[thread][i]);
    }
    free(state);
}

/* What the first thread has not, no other needs. */
static int evp_threads(void *pointer, unsigned count)
{
    struct evp_state *state = pointer;

    for (; state->threads < count; state->threads++) {
        struct gcm **gcm = state->gcm[state->threads];

        for (int i = 0; i < 2; i++) {
            gcm[i] = gcm_new(i == 0 ? 16 : 32);
            if (gcm[i] || !state->gcm[0][i])
                continue;
            gcm_free(gcm[0]);
            return ERR_NOMEM;
        }
    }
    return 0;
}

static int evp_start(void **pointer)
{
    struct evp_state *state = calloc(1, sizeof(*state));

    if (!state)
        return ERR_NOMEM;
    state->cm[0] = EVP_CIPHER_fetch(NULL, "AES-128-CTR", NULL);
    state->cm[1] = EVP_CIPHER_fetch(NULL, "AES-256-CTR", NULL);
    (void)evp_threads(state, 1); /* without GCM, too */
    state->derive[0] = EVP_CIPHER_CTX_new();
    state->derive[1] = EVP_CIPHER_CTX_new();
    if (!state->cm[0] || !state->derive[0] || !state->derive[1]) {
        evp_stop(state);
        return ERR_CRYPTO;
    }
    *pointer = state;
    return 0;
}

static bool evp_has(const void *pointer, const struct suite *suite, enum srtp_key_kind kind)
{
    const struct evp_state *state = pointer;
    unsigned size = size_of_key(suite);

    if (kind == SRTP_KEY_AUTH)
        return !suite->aead;
    return kind == SRTP_KEY_MASTER && state->cm[size] && (!suite->aead || state->gcm[0][size]);
}

/* ------------------------------------------------------------ key derivation, RFC 3711 4.3 */

/*
 * The first octets of AES in counter mode from x * 2^16, x = label * 2^48 XOR master salt. A salt
 * of 96 bits stands left of two octets of zero (RFC 7714 section 11).
 */
static bool derive(const struct srtp_session *session, enum key_label label, uint8_t *out,
                   size_t length)
{
    static const uint8_t zero[GCM_KEY_MAX_OCTETS];
    const struct suite *suite = session->suite;
    const struct evp_state *state = session->backend->state;
    unsigned size = size_of_key(suite);
    uint8_t iv[CM_IV_OCTETS] = {0};
    int written = 0;
    bool done;

    memcpy(iv, session->octets + suite->key_octets, suite->salt_octets);
    iv[7] ^= (uint8_t)label;
    done = EVP_EncryptInit_ex2(state->derive[size], state->cm[size], session->octets, iv, NULL) &&
           EVP_EncryptUpdate(state->derive[size], out, &written, zero, (int)length) &&
           (size_t)written == length;
    wipe(iv, sizeof(iv));
    return done;
}

/* After the last key of a session: the context, which is that of all sessions, holds on to it. */
static void derive_end(const struct srtp_session *session)
{
    const struct evp_state *state = session->backend->state;

    EVP_CIPHER_CTX_reset(state->derive[size_of_key(session->suite)]);
}

static int evp_derive_auth(const struct srtp_session *session,
                           uint8_t out[2 * SRTP_AUTH_KEY_OCTETS])
{
    bool done = derive(session, LABEL_RTP_AUTH, out, SRTP_AUTH_KEY_OCTETS) &&
                derive(session, LABEL_RTCP_AUTH, out + SRTP_AUTH_KEY_OCTETS, SRTP_AUTH_KEY_OCTETS);

    derive_end(session);
    return done ? 0 : ERR_CRYPTO;
}

/* ------------------------------------------------------------ sessions */

static struct evp_session *evp_of(struct srtp_session *session)
{
    return (struct evp_session *)session;
}

static int open_hmac(struct evp_session *session)
{
    uint8_t keys[2 * SRTP_AUTH_KEY_OCTETS];
    int result = 0;

    if (session->base.kind == SRTP_KEY_AUTH)
        memcpy(keys, session->base.octets, sizeof(keys));
    else
        result = evp_derive_auth(&session->base, keys);
    hmac_init(&session->u.hmac[RTP_SHAPE_RTP], keys, SRTP_AUTH_KEY_OCTETS);
    hmac_init(&session->u.hmac[RTP_SHAPE_RTCP], keys + SRTP_AUTH_KEY_OCTETS, SRTP_AUTH_KEY_OCTETS);
    wipe(keys, sizeof(keys));
    return result;
}

static int open_gcm(struct evp_session *session)
{
    const struct srtp_session *base = &session->base;
    struct gcm_keys *rtp = &session->u.gcm[RTP_SHAPE_RTP], *rtcp = &session->u.gcm[RTP_SHAPE_RTCP];
    size_t octets = base->suite->key_octets;
    bool done = derive(base, LABEL_RTP_CIPHER, rtp->key, octets) &&
                derive(base, LABEL_RTP_SALT, rtp->salt, sizeof(rtp->salt)) &&
                derive(base, LABEL_RTCP_CIPHER, rtcp->key, octets) &&
                derive(base, LABEL_RTCP_SALT, rtcp->salt, sizeof(rtcp->salt));

    derive_end(base);
    return done ? 0 : ERR_CRYPTO;
}

static struct gcm *gcm_of(const struct srtp_session *session)
{
    const struct evp_state *state = session->backend->state;

    return state->gcm[srtp_thread][size_of_key(session->suite)];
}

static int evp_open(struct srtp_session *session)
{
    return session->suite->aead ? open_gcm(evp_of(session)) : open_hmac(evp_of(session));
}

static void evp_close(struct srtp_session *session)
{
    const struct evp_state *state = session->backend->state;

    /* The last message of each thread may have been of this session. */
    for (unsigned thread = 0; session->suite->aead && thread < state->threads; thread++)
        gcm_forget(state->gcm[thread][size_of_key(session->suite)]);
}

/* ------------------------------------------------------------ AES-CM suites: HMAC */

static enum verdict hmac_is(const struct hmac_key *key, const uint8_t *message, size_t length,
                            const uint8_t *roc, size_t roc_octets, const uint8_t *tag,
                            size_t tag_octets)
{
    uint8_t right[HMAC_OCTETS];

    hmac_tag(key, message, length, roc, roc_octets, right);
    return CRYPTO_memcmp(right, tag, tag_octets) == 0 ? VERDICT_ACCEPTED : VERDICT_AUTH_FAIL;
}

/* The tag is over the packet without MKI, and the ROC (RFC 3711 section 4.2). */
static enum verdict hmac_rtp(struct evp_session *session, uint64_t index, const uint8_t *packet,
                             size_t length)
{
    size_t tag = session->base.suite->rtp_tag_octets;
    uint32_t roc = index_roc(index);
    uint8_t octets[4] = {(uint8_t)(roc >> 24), (uint8_t)(roc >> 16), (uint8_t)(roc >> 8),
                         (uint8_t)roc};

    return hmac_is(&session->u.hmac[RTP_SHAPE_RTP], packet, length - tag - session->base.mki_length,
                   octets, sizeof(octets), packet + length - tag, tag);
}

/*
 * The tag is over E and index too. E = 0 says "not encrypted", which only UNENCRYPTED_SRTCP may
 * agree on (RFC 4568 section 6.3.2); nothing here does.
 */
static enum verdict hmac_rtcp(struct evp_session *session, const uint8_t *packet, size_t length)
{
    size_t tag = session->base.suite->rtcp_tag_octets;
    size_t covered = length - tag - session->base.mki_length;

    if (!(packet[covered - SRTCP_INDEX_OCTETS] & SRTCP_E_BIT))
        return VERDICT_AUTH_FAIL;
    return hmac_is(&session->u.hmac[RTP_SHAPE_RTCP], packet, covered, NULL, 0,
                   packet + length - tag, tag);
}

/* ------------------------------------------------------------ AEAD suites: GCM */

static void xor_u32(uint8_t *at, uint32_t value)
{
    at[0] ^= (uint8_t)(value >> 24);
    at[1] ^= (uint8_t)(value >> 16);
    at[2] ^= (uint8_t)(value >> 8);
    at[3] ^= (uint8_t)value;
}

static enum verdict gcm_is(struct evp_session *session, enum rtp_shape shape,
                           const struct gcm_message *message)
{
    return gcm_is_right(gcm_of(&session->base), session->u.gcm[shape].key, message)
               ? VERDICT_ACCEPTED
               : VERDICT_AUTH_FAIL;
}

/* RFC 7714 section 8.1: the IV is 00 00 SSRC ROC SEQ, XOR the session salt. */
static enum verdict gcm_rtp(struct evp_session *session, const struct rtp_view *view,
                            uint64_t index, const uint8_t *packet, size_t length)
{
    size_t text = length - view->header_length - GCM_TAG_OCTETS - session->base.mki_length;
    struct gcm_message in = {.aad = packet,
                             .aad_octets = view->header_length,
                             .text = packet + view->header_length,
                             .text_octets = text,
                             .tag = packet + view->header_length + text};

    memcpy(in.iv, session->u.gcm[RTP_SHAPE_RTP].salt, sizeof(in.iv));
    xor_u32(in.iv + 2, view->ssrc);
    xor_u32(in.iv + 6, index_roc(index));
    in.iv[10] ^= (uint8_t)(index >> 8);
    in.iv[11] ^= (uint8_t)index;
    return gcm_is(session, RTP_SHAPE_RTP, &in);
}

/*
 * RFC 7714 sections 9.1 to 9.3: the IV is 00 00 SSRC 00 00 index, XOR the session
 * salt. E and index are authenticated behind the header, and when E is 0 so is
 * the rest of the packet, in front of them.
 */
static enum verdict gcm_rtcp(struct evp_session *session, const struct rtp_view *view,
                             uint32_t index, const uint8_t *packet, size_t length)
{
    const uint8_t *word = packet + length - session->base.mki_length - SRTCP_INDEX_OCTETS;
    const uint8_t *tag = word - GCM_TAG_OCTETS;
    size_t before_tag = (size_t)(tag - packet);
    size_t clear = word[0] & SRTCP_E_BIT ? RTCP_HEADER_OCTETS : before_tag;
    struct gcm_message in = {.aad = packet,
                             .aad_octets = clear,
                             .more_aad = word,
                             .more_aad_octets = SRTCP_INDEX_OCTETS,
                             .text = packet + clear,
                             .text_octets = before_tag - clear,
                             .tag = tag};

    memcpy(in.iv, session->u.gcm[RTP_SHAPE_RTCP].salt, sizeof(in.iv));
    xor_u32(in.iv + 2, view->ssrc);
    xor_u32(in.iv + 8, index);
    return gcm_is(session, RTP_SHAPE_RTCP, &in);
}

/* ------------------------------------------------------------ */

static enum verdict evp_rtp(struct srtp_session *session, const struct rtp_view *view, bool known,
                            uint64_t index, const uint8_t *packet, size_t length)
{
    (void)known;
    return session->suite->aead ? gcm_rtp(evp_of(session), view, index, packet, length)
                                : hmac_rtp(evp_of(session), index, packet, length);
}

static enum verdict evp_rtcp(struct srtp_session *session, const struct rtp_view *view, bool known,
                             uint32_t index, const uint8_t *packet, size_t length)
{
    (void)known;
    return session->suite->aead ? gcm_rtcp(evp_of(session), view, index, packet, length)
                                : hmac_rtcp(evp_of(session), packet, length);
}

const struct srtp_ops evp_ops = {
    .session_octets = sizeof(struct evp_session),
    .start = evp_start,
    .stop = evp_stop,
    .has = evp_has,
    .threads = evp_threads,
    .open = evp_open,
    .close = evp_close,
    .derive_auth = evp_derive_auth,
    .rtp = evp_rtp,
    .rtcp = evp_rtcp,
};
