/*
 * The engine on libsrtp2: full unprotect on a copy, which nobody looks at but
 * for its SSRC.
 *
 * One srtp_t per session, with the any-inbound template. The template checks a
 * packet at ROC 0 without allocating anything, and makes a stream that shares
 * its ciphers only when the packet was good. So a stream comes into being
 * - from the template, when the first packet verifies at ROC 0, the usual case;
 * - by srtp_add_stream(), with ciphers of its own (29 kB), when the first index
 *   to try has a higher ROC: after a restart in the middle of a call. It stays
 *   whatever becomes of the packet; a session has SA_SSRC_MAX at most.
 * For an SSRC that the SA does not know the template alone decides, and the
 * stream that it makes is removed at once.
 *
 * The index and the replay windows are the SA's (index.c). The ROC is given to
 * the library before each packet: one that is left from an earlier packet loses
 * every one after the next wrap. ROC 0 means "none given" to the library, which
 * then comes to the same estimate, as long as both know of the same packets; when
 * the SA was told another index, or has forgotten the SSRC, they do not. Then, and
 * where the library's own replay list says no to what the SA says is new (its list
 * for SRTCP is 128 long), its stream is made anew. Nothing of a failed packet stays
 * behind.
 *
 * The library never sees an MKI: 2.5.0 looks for that of an SRTCP packet in front of
 * a tag as long as SRTP's, which is wrong for AES_CM_128_HMAC_SHA1_32. It stands in
 * no tag, has been compared already, and is left out of the copy.
 */
#include <arpa/inet.h>
#include <srtp2/srtp.h>
#include <stdalign.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/protocol.h"
#include "common/srtp/engine.h"

_Static_assert(PACKET_ROOM_OCTETS >= PACKET_MAX_OCTETS + SRTP_MAX_TRAILER_LEN,
               "libsrtp2 wants room behind a packet");

enum { SSRC_AT_RTP = 8, SSRC_AT_RTCP = 4 };

/* What the library has of one SSRC. */
struct stream {
    uint32_t ssrc;
    bool used;
    bool made;        /* the library has a stream of this SSRC */
    uint64_t highest; /* RTP index that this stream of the library's has accepted */
    uint64_t last_use;
};

struct libsrtp2_session {
    struct srtp_session base;
    srtp_t context;
    uint64_t uses;
    struct stream streams[SA_SSRC_MAX];
};

static struct libsrtp2_session *session_of(struct srtp_session *session)
{
    return (struct libsrtp2_session *)session;
}

/* ------------------------------------------------------------ the engine */

/* The library's own state is one per process, and so is the count of those who use it. */
static unsigned library_users;

/* The library's own handler prints. */
static void ignore_event(srtp_event_data_t *event)
{
    (void)event;
}

static int libsrtp2_start(void **state)
{
    *state = NULL;
    if (library_users == 0 && (srtp_init() != srtp_err_status_ok ||
                               srtp_install_event_handler(ignore_event) != srtp_err_status_ok))
        return ERR_CRYPTO;
    library_users++;
    return 0;
}

static void libsrtp2_stop(void *state)
{
    (void)state;
    if (--library_users == 0)
        srtp_shutdown();
}

static bool libsrtp2_has(const void *state, const struct suite *suite, enum srtp_key_kind kind)
{
    (void)state;
    (void)suite;
    return kind == SRTP_KEY_MASTER;
}

/* ------------------------------------------------------------ sessions */

static void set_crypto(srtp_policy_t *policy, enum suite_id id)
{
    switch (id) {
    case SUITE_AES_CM_128_HMAC_SHA1_32:
        srtp_crypto_policy_set_aes_cm_128_hmac_sha1_32(&policy->rtp);
        srtp_crypto_policy_set_rtcp_default(&policy->rtcp); /* RFC 4568: 80 bits */
        break;
    case SUITE_AES_256_CM_HMAC_SHA1_80:
        srtp_crypto_policy_set_aes_cm_256_hmac_sha1_80(&policy->rtp);
        srtp_crypto_policy_set_aes_cm_256_hmac_sha1_80(&policy->rtcp);
        break;
    case SUITE_AEAD_AES_128_GCM:
        srtp_crypto_policy_set_aes_gcm_128_16_auth(&policy->rtp);
        srtp_crypto_policy_set_aes_gcm_128_16_auth(&policy->rtcp);
        break;
    case SUITE_AEAD_AES_256_GCM:
        srtp_crypto_policy_set_aes_gcm_256_16_auth(&policy->rtp);
        srtp_crypto_policy_set_aes_gcm_256_16_auth(&policy->rtcp);
        break;
    case SUITE_AES_CM_128_HMAC_SHA1_80:
    case SUITE_COUNT:
        srtp_crypto_policy_set_rtp_default(&policy->rtp);
        srtp_crypto_policy_set_rtcp_default(&policy->rtcp);
        break;
    }
}

/* The library copies all that the policy points to. */
struct policy {
    srtp_policy_t policy;
    srtp_master_key_t key;
    srtp_master_key_t *keys[1];
};

static srtp_policy_t *make_policy(struct srtp_session *session, struct policy *made)
{
    memset(made, 0, sizeof(*made));
    set_crypto(&made->policy, session->suite->id);
    made->policy.window_size = SRTP_WINDOW_PACKETS;
    made->key = (srtp_master_key_t){session->octets, NULL, 0};
    made->keys[0] = &made->key;
    made->policy.keys = made->keys;
    made->policy.num_master_keys = 1;
    return &made->policy;
}

static int libsrtp2_open(struct srtp_session *base)
{
    struct policy made;
    srtp_policy_t *policy = make_policy(base, &made);

    policy->ssrc.type = ssrc_any_inbound;
    return srtp_create(&session_of(base)->context, policy) == srtp_err_status_ok ? 0 : ERR_CRYPTO;
}

static void libsrtp2_close(struct srtp_session *base)
{
    srtp_dealloc(session_of(base)->context);
}

/* ------------------------------------------------------------ streams */

static void remove_from_library(struct libsrtp2_session *session, uint32_t ssrc)
{
    srtp_remove_stream(session->context, htonl(ssrc)); /* the one call in network order */
}

static struct stream *stream_find(struct libsrtp2_session *session, uint32_t ssrc)
{
    for (unsigned i = 0; i < SA_SSRC_MAX; i++) {
        if (session->streams[i].used && session->streams[i].ssrc == ssrc)
            return &session->streams[i];
    }
    return NULL;
}

static void stream_drop(struct libsrtp2_session *session, struct stream *stream)
{
    if (stream->made)
        remove_from_library(session, stream->ssrc);
    *stream = (struct stream){0};
}

/* Finds it, or takes a free place, or that of the stream that was silent longest. */
static struct stream *stream_get(struct libsrtp2_session *session, uint32_t ssrc)
{
    struct stream *stream = stream_find(session, ssrc);

    if (!stream) {
        stream = &session->streams[0];
        for (unsigned i = 1; i < SA_SSRC_MAX; i++) {
            if (session->streams[i].last_use < stream->last_use)
                stream = &session->streams[i];
        }
        stream_drop(session, stream);
        stream->used = true;
        stream->ssrc = ssrc;
    }
    stream->last_use = ++session->uses;
    return stream;
}

/* Makes the library take the next packet of this stream at this ROC. */
static bool stream_set_roc(struct libsrtp2_session *session, struct stream *stream, uint32_t roc)
{
    struct policy made;
    srtp_policy_t *policy;

    if (!stream->made) {
        if (roc == 0)
            return true; /* the template's business */
        policy = make_policy(&session->base, &made);
        policy->ssrc.type = ssrc_specific;
        policy->ssrc.value = stream->ssrc;
        stream->made = srtp_add_stream(session->context, policy) == srtp_err_status_ok;
    }
    return stream->made &&
           srtp_set_stream_roc(session->context, stream->ssrc, roc) == srtp_err_status_ok;
}

/* Would the library, without being given a ROC, come to this index? */
static bool stream_comes_to(const struct stream *stream, uint64_t index)
{
    return index_near(stream->highest, (uint16_t)index) == index;
}

/* ------------------------------------------------------------ packets */

static bool copy_has_ssrc(const uint8_t *at, uint32_t ssrc)
{
    return ((uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3]) == ssrc;
}

/* Returns the length of the copy. */
static size_t copy_without_mki(const struct srtp_session *session, enum rtp_shape shape,
                               uint8_t *copy, const uint8_t *packet, size_t length)
{
    size_t behind = srtp_octets_behind_mki(session->suite, shape);
    size_t front = length - behind - session->mki_length;

    memcpy(copy, packet, front);
    memcpy(copy + front, packet + length - behind, behind);
    return front + behind;
}

static srtp_err_status_t unprotect(struct libsrtp2_session *session, const struct rtp_view *view,
                                   const uint8_t *packet, size_t length)
{
    alignas(8) uint8_t copy[PACKET_ROOM_OCTETS];
    int octets = (int)copy_without_mki(&session->base, view->shape, copy, packet, length);
    srtp_err_status_t status;

    if (view->shape == RTP_SHAPE_RTP)
        status = srtp_unprotect_mki(session->context, copy, &octets, false);
    else
        status = srtp_unprotect_rtcp_mki(session->context, copy, &octets, false);
    if (status == srtp_err_status_ok &&
        !copy_has_ssrc(copy + (view->shape == RTP_SHAPE_RTP ? SSRC_AT_RTP : SSRC_AT_RTCP),
                       view->ssrc))
        status = srtp_err_status_auth_fail;
    return status;
}

static bool is_replay(srtp_err_status_t status)
{
    return status == srtp_err_status_replay_fail || status == srtp_err_status_replay_old ||
           status == srtp_err_status_pkt_idx_old;
}

static enum verdict verdict_of(srtp_err_status_t status)
{
    switch (status) {
    case srtp_err_status_ok:
        return VERDICT_ACCEPTED;
    case srtp_err_status_key_expired:
        return VERDICT_KEY_EXPIRED;
    case srtp_err_status_bad_param:
    case srtp_err_status_parse_err:
        return VERDICT_MALFORMED;
    default:
        return is_replay(status) ? VERDICT_REPLAY : VERDICT_AUTH_FAIL;
    }
}

/* Nothing may stay: neither what an earlier time left of this SSRC, nor what this packet makes. */
static enum verdict verify_unknown(struct libsrtp2_session *session, const struct rtp_view *view,
                                   const uint8_t *packet, size_t length)
{
    struct stream *stream = stream_find(session, view->ssrc);
    srtp_err_status_t status;

    if (stream)
        stream_drop(session, stream);
    status = unprotect(session, view, packet, length);
    if (status == srtp_err_status_ok)
        remove_from_library(session, view->ssrc);
    return verdict_of(status);
}

static srtp_err_status_t unprotect_at(struct libsrtp2_session *session, struct stream *stream,
                                      const struct rtp_view *view, uint32_t roc,
                                      const uint8_t *packet, size_t length)
{
    if (!stream_set_roc(session, stream, roc))
        return srtp_err_status_fail;
    return unprotect(session, view, packet, length);
}

/* index: of RTP; 0 for RTCP, whose index the library reads from the packet. */
static enum verdict verify_known(struct libsrtp2_session *session, const struct rtp_view *view,
                                 uint64_t index, const uint8_t *packet, size_t length)
{
    struct stream *stream = stream_get(session, view->ssrc);
    uint32_t roc = index_roc(index);
    srtp_err_status_t status;

    if (view->shape == RTP_SHAPE_RTP && roc == 0 && !stream_comes_to(stream, index)) {
        stream_drop(session, stream);
        stream = stream_get(session, view->ssrc);
    }
    status = unprotect_at(session, stream, view, roc, packet, length);
    if (is_replay(status)) {
        stream_drop(session, stream);
        stream = stream_get(session, view->ssrc);
        status = unprotect_at(session, stream, view, roc, packet, length);
    }
    if (status == srtp_err_status_ok) {
        stream->made = true;
        if (index > stream->highest)
            stream->highest = index;
    }
    return verdict_of(status);
}

static enum verdict libsrtp2_rtp(struct srtp_session *session, const struct rtp_view *view,
                                 bool known, uint64_t index, const uint8_t *packet, size_t length)
{
    return known ? verify_known(session_of(session), view, index, packet, length)
                 : verify_unknown(session_of(session), view, packet, length);
}

static enum verdict libsrtp2_rtcp(struct srtp_session *session, const struct rtp_view *view,
                                  bool known, uint32_t index, const uint8_t *packet, size_t length)
{
    (void)index; /* the library reads it from the packet */
    return known ? verify_known(session_of(session), view, 0, packet, length)
                 : verify_unknown(session_of(session), view, packet, length);
}

const struct srtp_ops libsrtp2_ops = {
    .session_octets = sizeof(struct libsrtp2_session),
    .start = libsrtp2_start,
    .stop = libsrtp2_stop,
    .has = libsrtp2_has,
    .open = libsrtp2_open,
    .close = libsrtp2_close,
    .rtp = libsrtp2_rtp,
    .rtcp = libsrtp2_rtcp,
};
