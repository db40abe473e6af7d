/* SHA256_* as common/srtp/hmac.c has SHA1_*, and for the same reason: EVP allocates. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "common/carrier/hkdf.h"

#include <openssl/sha.h>
#include <string.h>

#include "common/base/random.h"

enum {
    BLOCK_OCTETS = 64,
    INNER_PAD = 0x36,
    OUTER_PAD = 0x5c,
    /* u16 length, u8 label length, label, u8 context length, then the number of the block */
    INFO_MAX = 2 + 1 + 6 + HKDF_LABEL_MAX + 1 + 1,
};

static void begin(SHA256_CTX *sha, const uint8_t secret[HKDF_SECRET_OCTETS], uint8_t pad)
{
    uint8_t block[BLOCK_OCTETS];

    memset(block, pad, sizeof(block));
    for (size_t i = 0; i < HKDF_SECRET_OCTETS; i++)
        block[i] ^= secret[i];
    SHA256_Init(sha);
    SHA256_Update(sha, block, sizeof(block));
    wipe(block, sizeof(block));
}

static void hmac(const uint8_t secret[HKDF_SECRET_OCTETS], const uint8_t *message, size_t length,
                 uint8_t tag[SHA256_DIGEST_LENGTH])
{
    SHA256_CTX sha;

    begin(&sha, secret, INNER_PAD);
    SHA256_Update(&sha, message, length);
    SHA256_Final(tag, &sha);
    begin(&sha, secret, OUTER_PAD);
    SHA256_Update(&sha, tag, SHA256_DIGEST_LENGTH);
    SHA256_Final(tag, &sha);
    wipe(&sha, sizeof(sha));
}

void hkdf_expand_label(const uint8_t secret[HKDF_SECRET_OCTETS], const char *label, uint8_t *out,
                       size_t length)
{
    uint8_t info[INFO_MAX], block[SHA256_DIGEST_LENGTH];
    size_t label_length = strnlen(label, HKDF_LABEL_MAX), at = 0;

    info[at++] = 0;
    info[at++] = (uint8_t)length;
    info[at++] = (uint8_t)(6 + label_length);
    memcpy(info + at, "tls13 ", 6);
    memcpy(info + at + 6, label, label_length);
    at += 6 + label_length;
    info[at++] = 0;
    info[at++] = 1;
    hmac(secret, info, at, block);
    memcpy(out, block, length < sizeof(block) ? length : sizeof(block));
    wipe(block, sizeof(block));
}

void hkdf_mac(const uint8_t secret[HKDF_SECRET_OCTETS], const uint8_t *message, size_t length,
              uint8_t tag[HKDF_SECRET_OCTETS])
{
    uint8_t block[SHA256_DIGEST_LENGTH];

    hmac(secret, message, length, block);
    memcpy(tag, block, sizeof(block));
    wipe(block, sizeof(block));
}

void hkdf_extract(const uint8_t *material, size_t length, uint8_t secret[HKDF_SECRET_OCTETS])
{
    static const uint8_t salt[HKDF_SECRET_OCTETS];

    hkdf_mac(salt, material, length, secret);
}
