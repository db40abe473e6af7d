/* Hash values as texts, for Digest authentication: the only place that HTTP sees OpenSSL. */
#ifndef COMMON_TUNNEL_DIGEST_H
#define COMMON_TUNNEL_DIGEST_H

#include <stddef.h>

/* The better one last. */
enum digest_kind { DIGEST_MD5, DIGEST_SHA256 };

enum { DIGEST_TEXT_SIZE = 2 * 32 + 1 };

/* In lower-case hexadecimal. ERR_CRYPTO: OpenSSL has no such hash here (MD5 under FIPS). */
int digest_text(enum digest_kind kind, const char *text, char out[DIGEST_TEXT_SIZE]);

#endif
