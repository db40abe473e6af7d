/*
 * SRTP and SRTCP once more, without libsrtp2: straight from RFC 3711, RFC 6188
 * and RFC 7714 onto AES, HMAC-SHA1 and GCM. It is checked with the RFCs' vectors,
 * which give session keys; the engines are then checked with what it makes.
 */
#ifndef TESTS_UNIT_REFERENCE_H
#define TESTS_UNIT_REFERENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/srtp/suite.h"

/* Session keys, of either SRTP or SRTCP. */
struct reference_keys {
    uint8_t cipher[32];
    uint8_t auth[20]; /* not with AEAD */
    uint8_t salt[14];
};

/* AES in counter mode, in place. */
void reference_aes_cm(const uint8_t *key, size_t key_octets, const uint8_t iv[16], uint8_t *data,
                      size_t length);
/* RFC 3711 section 4.3; material is master key, then master salt. */
void reference_derive(const struct suite *suite, const uint8_t *material, uint8_t label,
                      uint8_t *out, size_t length);
/* All keys of SRTP (rtcp false) or SRTCP. */
void reference_keys(const struct suite *suite, const uint8_t *material, bool rtcp,
                    struct reference_keys *keys);

/*
 * Protect the packet in place; it must have room for tag and index. Return the
 * new length. index is ROC * 2^16 + SEQ; the header is all that stays in clear.
 */
size_t reference_rtp(const struct suite *suite, const struct reference_keys *keys, uint64_t index,
                     uint8_t *packet, size_t header_length, size_t length);
size_t reference_rtcp(const struct suite *suite, const struct reference_keys *keys, uint32_t index,
                      bool encrypt, uint8_t *packet, size_t length);

/*
 * Puts the MKI into a protected packet, which must have room for it: in front of the tag, with AEAD
 * behind everything. Returns the new length.
 */
size_t reference_mki(const struct suite *suite, bool rtcp, const uint8_t *mki, size_t mki_length,
                     uint8_t *packet, size_t length);

#endif
