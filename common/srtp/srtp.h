/*
 * Verification of SRTP and SRTCP for one sender: one suite, one key, and the
 * SSRCs that may come under it. The one interface of all engines.
 *
 * A packet is never changed: what comes in goes out byte for byte.
 */
#ifndef COMMON_SRTP_SRTP_H
#define COMMON_SRTP_SRTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/verdict.h"
#include "common/rtp/classify.h"
#include "common/srtp/index.h"
#include "common/srtp/suite.h"

/*
 * evp verifies with libcrypto, and only verifies; libsrtp2 decrypts a copy.
 * auto takes evp for each suite that it has, libsrtp2 for others.
 */
enum srtp_engine_kind { SRTP_ENGINE_AUTO, SRTP_ENGINE_EVP, SRTP_ENGINE_LIBSRTP2 };

struct srtp_engine;
struct srtp_session;

/* What a host has of a sender's key. The order is that of how much it can do with it. */
enum srtp_key_kind {
    SRTP_KEY_NONE,
    SRTP_KEY_AUTH,   /* authentication keys of SRTP and of SRTCP: verifies, cannot decrypt */
    SRTP_KEY_MASTER, /* master key, then master salt */
};

enum {
    SRTP_AUTH_KEY_OCTETS = 20, /* of HMAC-SHA1, RFC 3711 section 5.2 */
    SRTP_MKI_MAX_OCTETS = 128, /* RFC 4568 section 6.1 */
};

/* A key on its way into a session or out of one. Whoever holds it wipes it. */
struct srtp_key {
    enum srtp_key_kind kind;
    size_t length;
    uint8_t octets[SUITE_KEY_MAX_OCTETS];
    size_t mki_length; /* 0: packets have no MKI */
    uint8_t mki[SRTP_MKI_MAX_OCTETS];
    uint64_t lifetime; /* packets that it may protect yet, SRTP and SRTCP together */
};

/* RFC 3711 section 9.2. */
#define SRTP_LIFETIME_MAX ((uint64_t)1 << 48)

/* How long the octets of a key of this kind are; 0 when there is none (AUTH with an AEAD suite). */
size_t srtp_key_octets(const struct suite *suite, enum srtp_key_kind kind);
/* Fills in a master key without MKI, with the longest lifetime. length is suite_material_octets()
 * or the session refuses it.
 */
void srtp_key_master(struct srtp_key *key, const uint8_t *material, size_t length);

/*
 * 0, ERR_NOMEM, or ERR_CRYPTO when a library cannot be started. *engine is owned by the caller and
 * outlives its sessions.
 */
int srtp_engine_new(struct srtp_engine **engine, enum srtp_engine_kind kind);
/* Accepts NULL. */
void srtp_engine_free(struct srtp_engine *engine);
/* "auto", "evp" or "libsrtp2". */
const char *srtp_engine_name(enum srtp_engine_kind kind);
enum srtp_engine_kind srtp_engine_kind(const struct srtp_engine *engine);
/* Can it verify this suite with a key of this kind? */
bool srtp_engine_has(const struct srtp_engine *engine, const struct suite *suite,
                     enum srtp_key_kind kind);
/* False when the system let it lock no memory for the keys: they may be swapped out. */
bool srtp_engine_is_locked(const struct srtp_engine *engine);
/*
 * Makes what more threads than one need to verify at the same time, each another session: count of
 * them in all, at most SRTP_THREADS_MAX. Each calls srtp_thread_begin() before it verifies, with a
 * number less than count; the one that does not has number 0. Everything else than verifying is for
 * one thread while no other is inside. 0, ERR_NOMEM or ERR_CRYPTO.
 */
enum { SRTP_THREADS_MAX = 33 };
int srtp_engine_threads(struct srtp_engine *engine, unsigned count);
void srtp_thread_begin(unsigned number);
/* How often a tag was computed so far, for good packets and for bad ones. */
uint64_t srtp_engine_verifications(const struct srtp_engine *engine);

/*
 * The key is copied into locked memory. *session is owned by the caller. 0,
 * ERR_NOMEM, ERR_INVALID (a length that is not the suite's, all octets zero),
 * ERR_UNSUPPORTED (no engine here verifies this suite with such a key) or ERR_CRYPTO.
 */
int srtp_session_new(struct srtp_engine *engine, struct srtp_session **session,
                     const struct suite *suite, const struct srtp_key *key);
/* Wipes the keys. Accepts NULL. */
void srtp_session_free(struct srtp_session *session);
/*
 * The session's key in the kind that is asked for: as it was given, or authentication keys derived
 * from a master key (RFC 3711 section 4.3). 0, or ERR_UNSUPPORTED when there is no such thing.
 */
int srtp_session_key(const struct srtp_session *session, enum srtp_key_kind kind,
                     struct srtp_key *key);
/* May it be verified with while other threads verify with other sessions? */
bool srtp_session_is_parallel(const struct srtp_session *session);
/* The kind of key that it was made from. */
enum srtp_key_kind srtp_session_kind(const struct srtp_session *session);
/* Packets that its key may protect yet; SRTP_LIFETIME_MAX where no shorter life was agreed. */
uint64_t srtp_session_lifetime(const struct srtp_session *session);
/* *length octets, 0: it has none. Lives as long as the session. */
const uint8_t *srtp_session_mki(const struct srtp_session *session, size_t *length);
/* Was it made from this key (octets and MKI)? */
bool srtp_session_is(const struct srtp_session *session, const struct suite *suite,
                     const struct srtp_key *key);
/* Were both made from the same key (octets and MKI), in the same form? */
bool srtp_session_equal(const struct srtp_session *a, const struct srtp_session *b);
/* Is the key the same, whatever its form, the MKI and the suite? */
bool srtp_session_one_key(const struct srtp_session *a, const struct srtp_session *b);
/* Do packets under both carry the same MKI, or both none? */
bool srtp_session_one_mki(const struct srtp_session *a, const struct srtp_session *b);

/*
 * Verifies a packet. view is what classify() said of it. index is the state of
 * its SSRC in the SA, and moves on when the packet is accepted.
 *
 * NULL for an SSRC that the SA does not know: the tag is still checked, so that
 * the caller can tell ssrc-mismatch from auth-fail, and nothing is remembered, nor
 * counted against the key's lifetime; RTP of such an SSRC is taken to be in its
 * first turn (ROC 0).
 *
 * VERDICT_ACCEPTED, _MALFORMED (no room for a tag, or too long), _AUTH_FAIL, _REPLAY or
 * _KEY_EXPIRED. Allocates nothing with the evp engine. The packet need not be aligned.
 */
enum verdict srtp_verify(struct srtp_session *session, struct srtp_index *index,
                         const struct rtp_view *view, const uint8_t *packet, size_t length);

/*
 * Verifies a packet of an SSRC that the SA does not know yet, but may learn: *index is filled in
 * when it is accepted, and the packet's is its first one. late: RTP in its first turn is likely; 0,
 * or another ROC that is tried as well. _ACCEPTED, _MALFORMED, _AUTH_FAIL or _KEY_EXPIRED.
 */
enum verdict srtp_verify_first(struct srtp_session *session, struct srtp_index *index,
                               uint32_t late, const struct rtp_view *view, const uint8_t *packet,
                               size_t length);

/*
 * Does the packet carry the right tag, at the index that this state gives it (NULL: in its first
 * turn)? Fresh or not is no matter, and nothing is remembered. _ACCEPTED, _AUTH_FAIL or _MALFORMED.
 */
enum verdict srtp_authenticate(struct srtp_session *session, const struct srtp_index *index,
                               const struct rtp_view *view, const uint8_t *packet, size_t length);

/*
 * Hints that a packet of this session will be verified soon: what that needs of the session and of
 * the index is fetched from memory meanwhile. The time until then is well spent on other packets.
 */
void srtp_prefetch(const struct srtp_session *session, const struct srtp_index *index,
                   const struct rtp_view *view);

/*
 * The same for callers that have only octets: _MALFORMED too when classify() does not accept
 * them as RTP (RTCP) of this SSRC.
 */
enum verdict srtp_verify_rtp(struct srtp_session *session, struct srtp_index *index, uint32_t ssrc,
                             const uint8_t *packet, size_t length);
enum verdict srtp_verify_rtcp(struct srtp_session *session, struct srtp_index *index, uint32_t ssrc,
                              const uint8_t *packet, size_t length);

/* Room that a packet of this suite has behind its header: the tag, the SRTCP index, the MKI. */
size_t srtp_trailer_octets(const struct suite *suite, enum rtp_shape shape, size_t mki_length);

#endif
