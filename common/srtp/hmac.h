/*
 * HMAC-SHA1 (RFC 2104) for one key and many messages. The key is kept as the two
 * states of SHA-1 behind its first block, so a message costs no block for it.
 *
 * On libcrypto's SHA1_* functions, although OpenSSL 3.0 calls them deprecated:
 * its EVP_MAC and EVP_MD allocate twice for each message, and cost twice as much
 * for 172 octets (0.34 us against 0.19 us).
 */
#ifndef COMMON_SRTP_HMAC_H
#define COMMON_SRTP_HMAC_H

#include <stddef.h>
#include <stdint.h>

enum { HMAC_OCTETS = 20 };

struct hmac_key {
    uint32_t inner[5], outer[5];
};

/* length at most 64 octets. */
void hmac_init(struct hmac_key *key, const uint8_t *octets, size_t length);
/* Of the two pieces one after the other. */
void hmac_tag(const struct hmac_key *key, const uint8_t *message, size_t length,
              const uint8_t *more, size_t more_length, uint8_t tag[HMAC_OCTETS]);

#endif
