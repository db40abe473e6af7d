#include "common/tunnel/digest.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "common/base/err.h"

int digest_text(enum digest_kind kind, const char *text, char out[DIGEST_TEXT_SIZE])
{
    unsigned char value[EVP_MAX_MD_SIZE];
    unsigned length = 0;

    out[0] = '\0';
    if (EVP_Digest(text, strlen(text), value, &length,
                   kind == DIGEST_SHA256 ? EVP_sha256() : EVP_md5(), NULL) != 1 ||
        2 * length >= DIGEST_TEXT_SIZE) {
        ERR_clear_error();
        return ERR_CRYPTO;
    }
    for (unsigned i = 0; i < length; i++)
        snprintf(out + (size_t)2 * i, 3, "%02x", value[i]);
    return 0;
}
