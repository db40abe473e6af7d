/* See hmac.h for why. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "common/srtp/hmac.h"

#include <openssl/sha.h>
#include <string.h>

#include "common/base/random.h"

enum { BLOCK_OCTETS = 64, INNER_PAD = 0x36, OUTER_PAD = 0x5c };

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

void hmac_tag(const struct hmac_key *key, const uint8_t *message, size_t length,
              const uint8_t *more, size_t more_length, uint8_t tag[HMAC_OCTETS])
{
    SHA_CTX sha;

    restore(&sha, key->inner);
    SHA1_Update(&sha, message, length);
    SHA1_Update(&sha, more, more_length);
    SHA1_Final(tag, &sha);
    restore(&sha, key->outer);
    SHA1_Update(&sha, tag, HMAC_OCTETS);
    SHA1_Final(tag, &sha);
}
