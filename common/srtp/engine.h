/* What srtp.c asks of an engine: the cryptography of one packet at one index, and no more. */
#ifndef COMMON_SRTP_ENGINE_H
#define COMMON_SRTP_ENGINE_H

#include "common/srtp/srtp.h"

struct vault;

enum {
    SRTCP_INDEX_OCTETS = 4,
    SESSION_FETCHED_OCTETS =
        128, /* by srtp_prefetch(): what an SRTP packet needs should be there */
};

/* What each thread counts lies in a cache line of its own. */
enum { SRTP_CALLS_STRIDE = 64 / sizeof(uint64_t) };

/* The number of this thread, as srtp_thread_begin() was told. */
extern _Thread_local unsigned srtp_thread;

struct srtp_backend {
    const struct srtp_ops *ops;
    void *state; /* what ops->start made */
    struct vault *vault;
    uint64_t (*calls)[SRTP_CALLS_STRIDE]; /* of rtp and rtcp: the engine's counts, by thread */
};

/* The part of a session that all engines share; an engine's own part follows it in its cell. */
struct srtp_session {
    const struct srtp_backend *backend;
    const struct suite *suite;
    uint64_t left; /* packets that the key may still protect */
    uint8_t *mki;  /* mki_length octets; not secret; NULL: none */
    uint8_t mki_length;
    bool bounded : 1; /* left is less than SRTP_LIFETIME_MAX by agreement, not by use */
    uint8_t kind : 7; /* enum srtp_key_kind */
    uint8_t octets[SUITE_KEY_MAX_OCTETS];
};

struct srtp_ops {
    size_t session_octets; /* of its struct, which begins with struct srtp_session */
    /* 0, ERR_NOMEM or ERR_CRYPTO. */
    int (*start)(void **state);
    void (*stop)(void *state);
    bool (*has)(const void *state, const struct suite *suite, enum srtp_key_kind kind);
    /* NULL: one thread alone may verify. Otherwise 0, ERR_NOMEM or ERR_CRYPTO; see
     * srtp_engine_threads(). */
    int (*threads)(void *state, unsigned count);
    /* The shared part is filled in. On failure, close is not called. */
    int (*open)(struct srtp_session *session);
    void (*close)(struct srtp_session *session);
    /* NULL, or: authentication keys, SRTP's and then SRTCP's, from a master key. */
    int (*derive_auth)(const struct srtp_session *session, uint8_t out[2 * SRTP_AUTH_KEY_OCTETS]);
    /*
     * Does the packet carry the tag that it has at this index? The MKI was compared and there is
     * room for the trailer. known: the SA has this SSRC, the engine may keep state for it.
     * VERDICT_ACCEPTED or _AUTH_FAIL; anything else ends the search for another index.
     */
    enum verdict (*rtp)(struct srtp_session *session, const struct rtp_view *view, bool known,
                        uint64_t index, const uint8_t *packet, size_t length);
    enum verdict (*rtcp)(struct srtp_session *session, const struct rtp_view *view, bool known,
                         uint32_t index, const uint8_t *packet, size_t length);
};

/*
 * What stands behind the MKI: the tag (RFC 3711 section 3.1); with AEAD nothing, the MKI is the end
 * (RFC 7714 sections 8.1 and 9.1).
 */
static inline size_t srtp_octets_behind_mki(const struct suite *suite, enum rtp_shape shape)
{
    if (suite->aead)
        return 0;
    return shape == RTP_SHAPE_RTP ? suite->rtp_tag_octets : suite->rtcp_tag_octets;
}

extern const struct srtp_ops evp_ops, libsrtp2_ops;

/* For tests: an engine that asks these ops about everything. As srtp_engine_new(). */
int srtp_engine_new_of(struct srtp_engine **engine, const struct srtp_ops *ops);

#endif
