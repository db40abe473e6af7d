#include "tests/unit/reference.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

enum { LABEL_CIPHER = 0, LABEL_AUTH = 1, LABEL_SALT = 2, LABELS_OF_RTCP = 3, GCM_TAG_OCTETS = 16 };

static void must(int ok)
{
    if (ok != 1)
        abort();
}

static void put_u32(uint8_t *out, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(value >> (24 - 8 * i));
}

static void xor_into(uint8_t *out, const uint8_t *with, size_t length)
{
    for (size_t i = 0; i < length; i++)
        out[i] ^= with[i];
}

void reference_aes_cm(const uint8_t *key, size_t key_octets, const uint8_t iv[16], uint8_t *data,
                      size_t length)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int n = 0;

    must(ctx != NULL);
    must(EVP_EncryptInit_ex(ctx, key_octets == 16 ? EVP_aes_128_ctr() : EVP_aes_256_ctr(), NULL,
                            key, iv));
    must(EVP_EncryptUpdate(ctx, data, &n, data, (int)length));
    EVP_CIPHER_CTX_free(ctx);
}

void reference_derive(const struct suite *suite, const uint8_t *material, uint8_t label,
                      uint8_t *out, size_t length)
{
    uint8_t x[16] = {0};

    memcpy(x, material + suite->key_octets, suite->salt_octets);
    x[7] ^= label; /* label * 2^48, the key derivation rate is 0 */
    memset(out, 0, length);
    reference_aes_cm(material, suite->key_octets, x, out, length);
}

void reference_keys(const struct suite *suite, const uint8_t *material, bool rtcp,
                    struct reference_keys *keys)
{
    uint8_t base = rtcp ? LABELS_OF_RTCP : 0;

    memset(keys, 0, sizeof(*keys));
    reference_derive(suite, material, (uint8_t)(base + LABEL_CIPHER), keys->cipher,
                     suite->key_octets);
    reference_derive(suite, material, (uint8_t)(base + LABEL_AUTH), keys->auth, sizeof(keys->auth));
    reference_derive(suite, material, (uint8_t)(base + LABEL_SALT), keys->salt, suite->salt_octets);
}

/* Associated data is what stands in front of the text and, in SRTCP, one word more. */
static void gcm_seal(const struct suite *suite, const struct reference_keys *keys,
                     const uint8_t iv[12], const uint8_t *aad, size_t aad_length,
                     const uint8_t *word, uint8_t *text, size_t length, uint8_t *tag)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int n = 0;

    must(ctx != NULL);
    must(EVP_EncryptInit_ex(ctx, suite->key_octets == 16 ? EVP_aes_128_gcm() : EVP_aes_256_gcm(),
                            NULL, keys->cipher, iv));
    must(EVP_EncryptUpdate(ctx, NULL, &n, aad, (int)aad_length));
    if (word)
        must(EVP_EncryptUpdate(ctx, NULL, &n, word, 4));
    if (length > 0)
        must(EVP_EncryptUpdate(ctx, text, &n, text, (int)length));
    must(EVP_EncryptFinal_ex(ctx, tag, &n));
    must(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, GCM_TAG_OCTETS, tag));
    EVP_CIPHER_CTX_free(ctx);
}

static void hmac(const struct reference_keys *keys, const uint8_t *data, size_t length,
                 uint8_t *tag, size_t tag_octets)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;

    must(HMAC(EVP_sha1(), keys->auth, sizeof(keys->auth), data, length, digest, &n) != NULL);
    memcpy(tag, digest, tag_octets);
}

/* RFC 3711 section 4.1.1; in SRTCP the SSRC stands where the RTP timestamp does. */
static void aes_cm_crypt(const struct suite *suite, const struct reference_keys *keys,
                         const uint8_t *ssrc, uint64_t index, uint8_t *text, size_t length)
{
    uint8_t iv[16] = {0}, number[6];

    for (int i = 0; i < 6; i++)
        number[i] = (uint8_t)(index >> (40 - 8 * i));
    memcpy(iv, keys->salt, 14);
    xor_into(iv + 4, ssrc, 4);
    xor_into(iv + 8, number, 6);
    reference_aes_cm(keys->cipher, suite->key_octets, iv, text, length);
}

size_t reference_rtp(const struct suite *suite, const struct reference_keys *keys, uint64_t index,
                     uint8_t *packet, size_t header_length, size_t length)
{
    uint8_t *text = packet + header_length;
    uint8_t iv[12] = {0};

    packet[2] = (uint8_t)(index >> 8);
    packet[3] = (uint8_t)index;
    if (suite->aead) {
        memcpy(iv + 2, packet + 8, 4);
        put_u32(iv + 6, (uint32_t)(index >> 16));
        memcpy(iv + 10, packet + 2, 2);
        xor_into(iv, keys->salt, 12);
        gcm_seal(suite, keys, iv, packet, header_length, NULL, text, length - header_length,
                 packet + length);
        return length + suite->rtp_tag_octets;
    }
    aes_cm_crypt(suite, keys, packet + 8, index, text, length - header_length);
    put_u32(packet + length, (uint32_t)(index >> 16)); /* the tag covers the ROC, then hides it */
    hmac(keys, packet, length + 4, packet + length, suite->rtp_tag_octets);
    return length + suite->rtp_tag_octets;
}

size_t reference_rtcp(const struct suite *suite, const struct reference_keys *keys, uint32_t index,
                      bool encrypt, uint8_t *packet, size_t length)
{
    uint8_t iv[12] = {0}, word[4];
    size_t clear = encrypt ? 8 : length;

    put_u32(word, index | (encrypt ? 0x80000000u : 0));
    if (suite->aead) {
        memcpy(iv + 2, packet + 4, 4);
        put_u32(iv + 8, index);
        xor_into(iv, keys->salt, 12);
        gcm_seal(suite, keys, iv, packet, clear, word, packet + clear, length - clear,
                 packet + length);
        memcpy(packet + length + GCM_TAG_OCTETS, word, 4);
    } else {
        aes_cm_crypt(suite, keys, packet + 4, index, packet + clear, length - clear);
        memcpy(packet + length, word, 4);
        hmac(keys, packet, length + 4, packet + length + 4, suite->rtcp_tag_octets);
    }
    return length + 4 + suite->rtcp_tag_octets;
}

size_t reference_mki(const struct suite *suite, bool rtcp, const uint8_t *mki, size_t mki_length,
                     uint8_t *packet, size_t length)
{
    size_t tag = rtcp ? suite->rtcp_tag_octets : suite->rtp_tag_octets;
    uint8_t *at = packet + length - (suite->aead ? 0 : tag);

    memmove(at + mki_length, at, (size_t)(packet + length - at));
    memcpy(at, mki, mki_length);
    return length + mki_length;
}
