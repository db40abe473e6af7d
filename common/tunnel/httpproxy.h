/*
 * The ways through an HTTP proxy: what is asked for, and what the answers mean. Pure.
 *
 *   connect   CONNECT host:port, and TLS behind the 200 (RFC 9110 section 9.3.6)
 *   upgrade   a GET with Upgrade: media-relay, and TLS behind the 101 (section 7.8)
 *   http      a GET whose reply, and a POST whose body, do not end; TLS is in both
 */
#ifndef COMMON_TUNNEL_HTTPPROXY_H
#define COMMON_TUNNEL_HTTPPROXY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/tunnel/http.h"
#include "common/tunnel/httpauth.h"

/* In the order in which they are tried when nothing else is said. DIRECT: without a proxy. */
enum httpproxy_way {
    HTTPPROXY_CONNECT,
    HTTPPROXY_UPGRADE,
    HTTPPROXY_HTTP,
    HTTPPROXY_DIRECT,
    HTTPPROXY_WAYS = HTTPPROXY_DIRECT
};

/* "connect", "upgrade", "http", "direct" */
const char *httpproxy_way_name(enum httpproxy_way way);

enum {
    HTTPPROXY_HOST_SIZE = 256,
    HTTPPROXY_TOKEN_SIZE = 33, /* 32 digits in lower-case hexadecimal, and the end */
    HTTPPROXY_REQUEST_OCTETS = 8192,
};

/* What the requests name on the dmz-relay: the path, and the token of Upgrade. */
#define HTTPPROXY_PATH     "/media-relay"
#define HTTPPROXY_PROTOCOL "media-relay"

struct httpproxy {
    char host[HTTPPROXY_HOST_SIZE]; /* "": there is none; an IPv6 address has no brackets */
    uint16_t port;
    char user[HTTPAUTH_TEXT_SIZE]; /* "": none */
    enum httpproxy_way ways[HTTPPROXY_WAYS];
    size_t way_count;
};

/*
 * "http://[USER@]HOST[:PORT][/]"; USER may have %XX, PORT is 3128 where it is not said. 0, or
 * ERR_INVALID; ERR_UNSUPPORTED: another scheme; ERR_FORBIDDEN: a password, which has a file of its
 * own.
 */
int httpproxy_read_url(struct httpproxy *proxy, const char *url);
/* "connect, upgrade, http", or some of them in another order, none twice. 0 or ERR_INVALID. */
int httpproxy_read_ways(struct httpproxy *proxy, const char *text);

/* One request: the way's only one, or of HTTPPROXY_HTTP the GET (0) and the POST (1). */
struct httpproxy_request {
    enum httpproxy_way way;
    unsigned leg;
    const char *host; /* of the dmz-relay */
    uint16_t port;
    const char *token;  /* of HTTPPROXY_HTTP: the same in both, never used before */
    const char *cnonce; /* for httpauth_line */
};

enum { HTTPPROXY_LEGS = 2 };
static inline unsigned httpproxy_legs(enum httpproxy_way way)
{
    return way == HTTPPROXY_HTTP ? 2 : 1;
}

/* Returns the length of the request's head, or ERR_TOO_LONG, ERR_CRYPTO. */
int httpproxy_request(const struct httpproxy_request *request, struct httpauth *auth, char *out,
                      size_t size);

enum httpproxy_answer {
    HTTPPROXY_OPEN,       /* what follows the head is the tunnel's */
    HTTPPROXY_WAIT,       /* an interim reply: another one follows */
    HTTPPROXY_CHALLENGED, /* 407 */
    HTTPPROXY_REFUSED,    /* reason says why */
};

/* What the head of a reply means; *chunked: how the way in comes, with HTTPPROXY_OPEN. */
enum httpproxy_answer httpproxy_judge(enum httpproxy_way way, unsigned leg,
                                      const struct http_head *head, bool *chunked, char *reason,
                                      size_t reason_size);

/* What a request that came to the dmz-relay wants. */
enum httpproxy_want {
    HTTPPROXY_WANTS_UPGRADE,
    HTTPPROXY_WANTS_IN,     /* GET: what the dmz-relay sends */
    HTTPPROXY_WANTS_OUT,    /* POST: what it receives */
    HTTPPROXY_WANTS_NOTHING /* that there is here */
};

/* *chunked: may the reply be in chunks? token: of IN and OUT. */
enum httpproxy_want httpproxy_wants(const struct http_head *head, bool *chunked,
                                    char token[HTTPPROXY_TOKEN_SIZE]);

#endif
