/* See hmac.h for why. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "common/srtp/hmac.h"

#include <openssl/sha.h>
#include <string.h>

#include "common/base/random.h"

enum { BLOCK_OCTETS = 64, LENGTH_OCTETS = 8, INNER_PAD = 0x36, OUTER_PAD = 0x5c };

static void save(uint32_t state[5], const SHA_CTX *sha)
{
    state[0] = sha->h0;
    state[1] = sha->h1;
    state[2] = sha->h2;
    state[3] = sha->h3;
    state[4] = sha->h4;
}

/* SHA-1 as it stands after the one block that the key made. */
static void restore(SHA_CTX *sha, const uint32_t state[5])
{
    sha->h0 = state[0];
    sha->h1 = state[1];
    sha->h2 = state[2];
    sha->h3 = state[3];
    sha->h4 = state[4];
    sha->Nl = BLOCK_OCTETS * 8;
    sha->Nh = 0;
    sha->num = 0;
}

static void absorb_key(uint32_t state[5], const uint8_t *octets, size_t length, uint8_t pad)
{
    uint8_t block[BLOCK_OCTETS];
    SHA_CTX sha;

    memset(block, pad, sizeof(block));
    for (size_t i = 0; i < length && i < sizeof(block); i++)
        block[i] ^= octets[i];
    SHA1_Init(&sha);
    SHA1_Update(&sha, block, sizeof(block));
    save(state, &sha);
    wipe(block, sizeof(block));
    wipe(&sha, sizeof(sha));
}

void hmac_init(struct hmac_key *key, const uint8_t *octets, size_t length)
{
    absorb_key(key->inner, octets, length, INNER_PAD);
    absorb_key(key->outer, octets, length, OUTER_PAD);
}

static void put_u32(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 24);
    at[1] = (uint8_t)(value >> 16);
    at[2] = (uint8_t)(value >> 8);
    at[3] = (uint8_t)value;
}

/* SHA1_Final() without its wiping of the last block, in which nothing is secret. */
static void finish(SHA_CTX *sha, size_t octets, uint8_t digest[HMAC_OCTETS])
{
    uint8_t *block = (uint8_t *)sha->data;
    size_t used = sha->num;

    block[used++] = 0x80;
    memset(block + used, 0, BLOCK_OCTETS - used);
    if (used > BLOCK_OCTETS - LENGTH_OCTETS) {
        SHA1_Transform(sha, block);
        memset(block, 0, BLOCK_OCTETS);
    }
    put_u32(block + BLOCK_OCTETS - 4, (uint32_t)octets * 8);
    SHA1_Transform(sha, block);
    put_u32(digest, sha->h0);
    put_u32(digest + 4, sha->h1);
    put_u32(digest + 8, sha->h2);
    put_u32(digest + 12, sha->h3);
    put_u32(digest + 16, sha->h4);
}

void hmac_tag(const struct hmac_key *key, const uint8_t *message, size_t length,
              const uint8_t *more, size_t more_length, uint8_t tag[HMAC_OCTETS])
{
    SHA_CTX sha;

    restore(&sha, key->inner);
    SHA1_Update(&sha, message, length);
    SHA1_Update(&sha, more, more_length);
    finish(&sha, BLOCK_OCTETS + length + more_length, (uint8_t *)sha.data);
    restore(&sha, key->outer);
    sha.num = HMAC_OCTETS;
    finish(&sha, BLOCK_OCTETS + HMAC_OCTETS, tag);
}
