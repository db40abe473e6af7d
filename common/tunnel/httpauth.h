/*
 * Authentication to an HTTP proxy: Basic (RFC 7617) and Digest (RFC 7616, and without qop as RFC
 * 2617 had it) with SHA-256 or MD5. Pure: nonces of our own come in as parameters.
 */
#ifndef COMMON_TUNNEL_HTTPAUTH_H
#define COMMON_TUNNEL_HTTPAUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/tunnel/digest.h"
#include "common/tunnel/http.h"

enum { HTTPAUTH_TEXT_SIZE = 256, HTTPAUTH_NONCE_SIZE = 512, HTTPAUTH_LINE_OCTETS = 4096 };

/* The worst first. */
enum httpauth_scheme { HTTPAUTH_NONE, HTTPAUTH_BASIC, HTTPAUTH_DIGEST };

/* What a proxy asks for. */
struct httpauth_challenge {
    enum httpauth_scheme scheme;
    enum digest_kind hash;
    bool session; /* "-sess" */
    bool qop;     /* auth, which is the only kind here; false: none was named */
    bool stale;   /* the nonce of the last answer was too old, and no more than that */
    char realm[HTTPAUTH_TEXT_SIZE], nonce[HTTPAUTH_NONCE_SIZE], opaque[HTTPAUTH_NONCE_SIZE];
};

struct httpauth {
    char user[HTTPAUTH_TEXT_SIZE], password[HTTPAUTH_TEXT_SIZE];
    struct httpauth_challenge challenge; /* scheme NONE: the proxy asked for nothing so far */
    uint32_t count;                      /* answers with its nonce */
};

/*
 * Takes the best of the challenges in the head of a reply 407. ERR_UNSUPPORTED: none is known here,
 * and reason says which ones there are; the one that was there before stays.
 */
int httpauth_take(struct httpauth *auth, const struct http_head *head, char *reason,
                  size_t reason_size);
/*
 * The line "Proxy-Authorization: ..." with its CR LF; "" without a challenge. cnonce: a text that
 * was never used before, without quotes. ERR_TOO_LONG, ERR_CRYPTO.
 */
int httpauth_line(struct httpauth *auth, const char *method, const char *uri, const char *cnonce,
                  char *out, size_t size);

#endif
