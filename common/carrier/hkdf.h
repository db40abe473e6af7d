/*
 * HKDF-Expand-Label of TLS 1.3 (RFC 8446 section 7.1) with SHA-256 and without a context, for
 * outputs of one block: it can be called where packets go, since it neither allocates nor fails.
 */
#ifndef COMMON_CARRIER_HKDF_H
#define COMMON_CARRIER_HKDF_H

#include <stddef.h>
#include <stdint.h>

enum { HKDF_SECRET_OCTETS = 32, HKDF_LABEL_MAX = 32 };

/*
 * Makes length octets, at most HKDF_SECRET_OCTETS, of a secret; label without "tls13 ", at most
 * HKDF_LABEL_MAX characters. out may be the secret.
 */
void hkdf_expand_label(const uint8_t secret[HKDF_SECRET_OCTETS], const char *label, uint8_t *out,
                       size_t length);
/* HKDF-Extract (RFC 5869 section 2.2) without salt. */
void hkdf_extract(const uint8_t *material, size_t length, uint8_t secret[HKDF_SECRET_OCTETS]);
/* HMAC-SHA256 under a secret; tag may be the secret. */
void hkdf_mac(const uint8_t secret[HKDF_SECRET_OCTETS], const uint8_t *message, size_t length,
              uint8_t tag[HKDF_SECRET_OCTETS]);

#endif
