/*
 * A sender of SRTP and SRTCP on libsrtp2, for tests, tools and the bench.
 */
#ifndef TESTS_UNIT_PROTECT_H
#define TESTS_UNIT_PROTECT_H

#include <stddef.h>
#include <stdint.h>

#include "common/srtp/suite.h"

/* What protection adds at most: size = length + this is always enough. */
enum { PROTECT_ADDS_OCTETS = 20, PROTECT_HEADER_OCTETS = 12 };

struct protect;

/*
 * Once per process, before anything else; 0 or negative. It keeps a session: the library's
 * cryptography starts anew with every first one, and that takes long.
 */
int protect_start(void);
void protect_stop(void);

/* material is suite_material_octets() long and is copied. NULL when it cannot be made. */
struct protect *protect_new(const struct suite *suite, const uint8_t *material, uint32_t ssrc);
/* Accepts NULL. */
void protect_free(struct protect *sender);

/*
 * Writes an RTP header of 12 octets with payload type, sequence number and
 * timestamp behind it, and the payload. Returns the length, 0 when it does not fit.
 */
size_t protect_make_rtp(uint8_t *out, size_t size, uint8_t payload_type, uint16_t sequence,
                        uint32_t timestamp, uint32_t ssrc, const void *payload, size_t length);

/*
 * Protects a packet in place; it need not be aligned. index is ROC * 2^16 +
 * SEQ, and SEQ is written into the packet; any index above the last one will
 * do. Returns the new length, 0 on failure (does not fit, index used before).
 */
size_t protect_rtp(struct protect *sender, uint64_t index, uint8_t *packet, size_t length,
                   size_t size);
/* Likewise; the SRTCP index counts up from 1. */
size_t protect_rtcp(struct protect *sender, uint8_t *packet, size_t length, size_t size);

#endif
