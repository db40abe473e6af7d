/*
 * The engine on libsrtp2: full unprotect on a copy, which nobody looks at.
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
 * The index is always estimated here (index.c) and its ROC given to the library
 * before each packet: a ROC that is left from an earlier packet loses every one
 * after the next wrap. ROC 0 means "none given" to the library, which then
 * comes to the same estimate. Nothing of a failed packet stays behind.
 */
#include <arpa/inet.h>
#include <srtp2/srtp.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/protocol.h"
#include "common/base/random.h"
#include "common/rtp/classify.h"
#include "common/srtp/srtp.h"

enum {
    WINDOW_PACKETS = 1024,
    /* After a long gap ROC + 1 is tried, too, but for one failed packet in so many only. */
    SEARCH_EVERY = 16,
    SRTCP_INDEX_OCTETS = 4,
};

#define INDEX_TURN  ((uint64_t)1 << 16)
#define INDEX_LIMIT ((uint64_t)1 << 48)

_Static_assert(PACKET_ROOM_OCTETS >= PACKET_MAX_OCTETS + SRTP_MAX_TRAILER_LEN,
               "libsrtp2 wants room behind a packet");

/* What this session knows of one SSRC beside the caller's index. */
struct stream {
    uint32_t ssrc;
    bool used;
    bool made; /* the library has a stream of this SSRC */
    /* Until this session verified something, the floors follow the caller's index. */
    bool verified, rtcp_verified;
    uint64_t floor, rtcp_floor; /* the lowest index that may still come */
    unsigned failures;          /* since the last accepted RTP packet */
    uint64_t last_use;
};

struct srtp_session {
    srtp_t context;
    const struct suite *suite;
    uint64_t uses;
    struct stream streams[SA_SSRC_MAX];
    uint8_t material[SUITE_KEY_MAX_OCTETS];
};

/* The library's own handler prints. */
static void ignore_event(srtp_event_data_t *event)
{
    (void)event;
}

int srtp_engine_init(void)
{
    if (srtp_init() != srtp_err_status_ok)
        return ERR_CRYPTO;
    if (srtp_install_event_handler(ignore_event) != srtp_err_status_ok)
        return ERR_CRYPTO;
    return 0;
}

void srtp_engine_fini(void)
{
    srtp_shutdown();
}

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

static void make_policy(struct srtp_session *session, srtp_policy_t *policy)
{
    memset(policy, 0, sizeof(*policy));
    set_crypto(policy, session->suite->id);
    policy->key = session->material;
    policy->window_size = WINDOW_PACKETS;
}

int srtp_session_new(struct srtp_session **session, const struct suite *suite,
                     const uint8_t *material, size_t length)
{
    struct srtp_session *made;
    srtp_policy_t policy;

    if (length != suite_material_octets(suite) || length > SUITE_KEY_MAX_OCTETS)
        return ERR_INVALID;
    made = calloc(1, sizeof(*made));
    if (!made)
        return ERR_NOMEM;
    made->suite = suite;
    memcpy(made->material, material, length);
    make_policy(made, &policy);
    policy.ssrc.type = ssrc_any_inbound;
    if (srtp_create(&made->context, &policy) != srtp_err_status_ok) {
        made->context = NULL;
        srtp_session_free(made);
        return ERR_CRYPTO;
    }
    *session = made;
    return 0;
}

void srtp_session_free(struct srtp_session *session)
{
    if (!session)
        return;
    if (session->context)
        srtp_dealloc(session->context);
    wipe(session, sizeof(*session));
    free(session);
}

static enum verdict verdict_of(srtp_err_status_t status)
{
    switch (status) {
    case srtp_err_status_ok:
        return VERDICT_ACCEPTED;
    case srtp_err_status_replay_fail:
    case srtp_err_status_replay_old:
    case srtp_err_status_pkt_idx_old:
        return VERDICT_REPLAY;
    case srtp_err_status_key_expired:
        return VERDICT_KEY_EXPIRED;
    case srtp_err_status_bad_param:
    case srtp_err_status_parse_err:
        return VERDICT_MALFORMED;
    default:
        return VERDICT_AUTH_FAIL;
    }
}

static enum verdict unprotect(struct srtp_session *session, enum rtp_shape shape,
                              const uint8_t *packet, size_t length)
{
    alignas(8) uint8_t copy[PACKET_ROOM_OCTETS];
    int octets = (int)length;

    memcpy(copy, packet, length);
    return verdict_of(shape == RTP_SHAPE_RTP
                          ? srtp_unprotect(session->context, copy, &octets)
                          : srtp_unprotect_rtcp(session->context, copy, &octets));
}

static void remove_from_library(struct srtp_session *session, uint32_t ssrc)
{
    srtp_remove_stream(session->context, htonl(ssrc)); /* the one call in network order */
}

static struct stream *stream_find(struct srtp_session *session, uint32_t ssrc)
{
    for (unsigned i = 0; i < SA_SSRC_MAX; i++) {
        if (session->streams[i].used && session->streams[i].ssrc == ssrc)
            return &session->streams[i];
    }
    return NULL;
}

static void stream_drop(struct srtp_session *session, struct stream *stream)
{
    struct stream none = {0};

    if (stream->made)
        remove_from_library(session, stream->ssrc);
    *stream = none;
}

/* Finds it, or takes a free place, or that of the stream that was silent longest. */
static struct stream *stream_get(struct srtp_session *session, uint32_t ssrc)
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
static bool stream_set_roc(struct srtp_session *session, struct stream *stream, uint32_t roc)
{
    srtp_policy_t policy;

    if (!stream->made) {
        if (roc == 0)
            return true; /* the template's business */
        make_policy(session, &policy);
        policy.ssrc.type = ssrc_specific;
        policy.ssrc.value = stream->ssrc;
        stream->made = srtp_add_stream(session->context, &policy) == srtp_err_status_ok;
    }
    return stream->made &&
           srtp_set_stream_roc(session->context, stream->ssrc, roc) == srtp_err_status_ok;
}

static enum verdict verify_at(struct srtp_session *session, struct stream *stream,
                              struct srtp_index *index, uint64_t at, const uint8_t *packet,
                              size_t length)
{
    enum verdict verdict;

    if (!stream->verified)
        stream->floor = index->started ? index->highest + 1 : 0;
    if (at < stream->floor)
        return VERDICT_REPLAY;
    if (!stream_set_roc(session, stream, index_roc(at)))
        return VERDICT_AUTH_FAIL;
    verdict = unprotect(session, RTP_SHAPE_RTP, packet, length);
    if (verdict == VERDICT_ACCEPTED) {
        stream->made = true;
        stream->verified = true;
        stream->failures = 0;
        index_advance(index, at);
    }
    return verdict;
}

/*
 * True when the packet may come from the turn after the estimated one: it is wrong there, or far
 * behind the window, as after 40,000 lost packets. The first failure after an accepted packet may
 * search, then one in SEARCH_EVERY: a flood of forged packets costs 1 + 1/16 verifications each,
 * and does not keep a true packet from being the one for long. A stream that was never made waits
 * for the sixteenth, because searching allocates it.
 */
static bool search_now(struct stream *stream, const struct srtp_index *index, uint64_t at,
                       enum verdict verdict)
{
    bool behind = verdict == VERDICT_REPLAY && at + WINDOW_PACKETS <= index->highest;

    if ((verdict != VERDICT_AUTH_FAIL && !behind) || at + INDEX_TURN >= INDEX_LIMIT)
        return false;
    stream->failures++;
    return stream->failures % SEARCH_EVERY == (stream->made ? 1 : 0);
}

static enum verdict verify_known(struct srtp_session *session, struct srtp_index *index,
                                 const struct rtp_view *view, const uint8_t *packet, size_t length)
{
    struct stream *stream = stream_get(session, view->ssrc);
    uint64_t at = index_estimate(index, view->sequence);
    enum verdict verdict = verify_at(session, stream, index, at, packet, length);

    if (search_now(stream, index, at, verdict) &&
        verify_at(session, stream, index, at + INDEX_TURN, packet, length) == VERDICT_ACCEPTED)
        return VERDICT_ACCEPTED;
    return verdict;
}

/* Nothing may stay: neither what an earlier time left of this SSRC, nor what this packet makes. */
static enum verdict verify_unknown(struct srtp_session *session, const struct rtp_view *view,
                                   const uint8_t *packet, size_t length)
{
    struct stream *stream = stream_find(session, view->ssrc);
    enum verdict verdict;

    if (stream)
        stream_drop(session, stream);
    verdict = unprotect(session, view->shape, packet, length);
    if (verdict == VERDICT_ACCEPTED)
        remove_from_library(session, view->ssrc);
    return verdict;
}

/* The engine does not check the version, and wants header and trailer inside the packet. */
static bool well_formed(enum rtp_shape shape, uint32_t ssrc, size_t trailer, const uint8_t *packet,
                        size_t length, struct rtp_view *view)
{
    return length <= PACKET_MAX_OCTETS && classify(packet, length, view) == VERDICT_ACCEPTED &&
           view->shape == shape && view->ssrc == ssrc && length - view->header_length >= trailer;
}

enum verdict srtp_verify_rtp(struct srtp_session *session, struct srtp_index *index, uint32_t ssrc,
                             const uint8_t *packet, size_t length)
{
    struct rtp_view view;

    if (!well_formed(RTP_SHAPE_RTP, ssrc, session->suite->rtp_tag_octets, packet, length, &view))
        return VERDICT_MALFORMED;
    if (!index)
        return verify_unknown(session, &view, packet, length);
    return verify_known(session, index, &view, packet, length);
}

/* In clear at the end (RFC 3711 section 3.4), with AEAD behind the tag (RFC 7714 section 9.2). */
static uint32_t srtcp_index(const struct suite *suite, const uint8_t *packet, size_t length)
{
    const uint8_t *p =
        packet + length - SRTCP_INDEX_OCTETS - (suite->aead ? 0 : suite->rtcp_tag_octets);

    return (uint32_t)(p[0] & 0x7f) << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

enum verdict srtp_verify_rtcp(struct srtp_session *session, struct srtp_index *index, uint32_t ssrc,
                              const uint8_t *packet, size_t length)
{
    size_t trailer = SRTCP_INDEX_OCTETS + session->suite->rtcp_tag_octets;
    struct rtp_view view;
    struct stream *stream;
    enum verdict verdict;
    uint32_t at;

    if (!well_formed(RTP_SHAPE_RTCP, ssrc, trailer, packet, length, &view))
        return VERDICT_MALFORMED;
    if (!index)
        return verify_unknown(session, &view, packet, length);
    stream = stream_get(session, ssrc);
    at = srtcp_index(session->suite, packet, length);
    if (!stream->rtcp_verified)
        stream->rtcp_floor = index->rtcp_started ? (uint64_t)index->rtcp_highest + 1 : 0;
    if (at < stream->rtcp_floor)
        return VERDICT_REPLAY;
    verdict = unprotect(session, RTP_SHAPE_RTCP, packet, length);
    if (verdict == VERDICT_ACCEPTED) {
        stream->made = true;
        stream->rtcp_verified = true;
        index_advance_rtcp(index, at);
    }
    return verdict;
}
