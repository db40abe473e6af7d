/*
 * Verification of SRTP and SRTCP for one sender: one suite, one master key, and
 * the SSRCs that may come under it. The one interface of all engines.
 *
 * A packet is never changed: what comes in goes out byte for byte.
 */
#ifndef COMMON_SRTP_SRTP_H
#define COMMON_SRTP_SRTP_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/verdict.h"
#include "common/srtp/index.h"
#include "common/srtp/suite.h"

struct srtp_session;

/* Once per process, before anything else. 0 or ERR_CRYPTO. */
int srtp_engine_init(void);
void srtp_engine_fini(void);

/*
 * material is master key then master salt, suite_material_octets() long; it is
 * copied. *session is owned by the caller. 0, ERR_NOMEM, ERR_INVALID (length)
 * or ERR_CRYPTO.
 */
int srtp_session_new(struct srtp_session **session, const struct suite *suite,
                     const uint8_t *material, size_t length);
/* Wipes the keys. Accepts NULL. */
void srtp_session_free(struct srtp_session *session);

/*
 * Verifies an SRTP packet of the given SSRC (as it stands in the packet).
 * index is that SSRC's state in the SA, and moves on when the packet is
 * accepted; it may come from another process's life (state file, SA-PUT):
 * what lies at or below its highest index, when this session has not yet
 * verified anything itself, is a replay. After a gap of more than half a turn
 * of the sequence number the next turn is tried as well, for the first failed
 * packet after an accepted one and then for one failed packet in sixteen.
 *
 * NULL for an SSRC that the SA does not know: the tag is still checked, so that
 * the caller can tell ssrc-mismatch from auth-fail, and nothing is remembered;
 * RTP of such an SSRC is taken to be in its first turn (ROC 0).
 *
 * At most SA_SSRC_MAX SSRCs at a time; one more pushes out the one that was
 * silent longest, whose index then guards it against replay.
 * VERDICT_ACCEPTED, _MALFORMED (not the shape that classify() demands, another
 * SSRC than said, no room for a tag), _AUTH_FAIL, _REPLAY or _KEY_EXPIRED.
 *
 * Works for any length; packet need not be aligned.
 */
enum verdict srtp_verify_rtp(struct srtp_session *session, struct srtp_index *index, uint32_t ssrc,
                             const uint8_t *packet, size_t length);
enum verdict srtp_verify_rtcp(struct srtp_session *session, struct srtp_index *index, uint32_t ssrc,
                              const uint8_t *packet, size_t length);

#endif
