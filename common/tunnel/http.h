/*
 * Heads of HTTP/1.x requests and replies (RFC 9112), taken apart without a copy: what a proxy and
 * the port of the dmz-relay have to know, and no more. Stricter than the RFC lets one be: lines end
 * with CR LF, nothing is folded, and no octet of a head is a control character.
 */
#ifndef COMMON_TUNNEL_HTTP_H
#define COMMON_TUNNEL_HTTP_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/words.h"

/* A head with its empty line. */
enum { HTTP_HEAD_OCTETS = 8192, HTTP_FIELDS_MAX = 64 };

struct http_field {
    struct words name, value;
};

/* Points into the octets that it was read from. */
struct http_head {
    struct words method, target; /* of a request */
    unsigned status;             /* of a reply: 100 to 999 */
    struct words reason;         /* of a reply; it may be empty */
    unsigned minor;              /* of HTTP/1.0 or HTTP/1.1 */
    struct http_field fields[HTTP_FIELDS_MAX];
    size_t field_count;
};

enum http_framing {
    HTTP_NO_BODY,
    HTTP_CHUNKED,
    HTTP_LENGTH,   /* as many octets as Content-Length says */
    HTTP_TO_CLOSE, /* a reply that neither field describes: up to the end of the connection */
};

/*
 * How many octets of data the head has, its empty line included; ERR_AGAIN: it goes on;
 * ERR_TOO_LONG: it does after HTTP_HEAD_OCTETS; ERR_INVALID: no head has such octets.
 */
int http_head_length(const char *data, size_t length);
/* Reads a whole head of that many octets: 0, or ERR_INVALID, ERR_TOO_LONG (too many fields). */
int http_read_request(struct http_head *head, const char *data, size_t length);
int http_read_reply(struct http_head *head, const char *data, size_t length);

/* The value of the first field of that name; NULL: there is none. */
const struct words *http_value(const struct http_head *head, const char *name);
/* Has one of the lists in fields of that name this word? Letter case means nothing. */
bool http_lists(const struct http_head *head, const char *name, const char *word);
/*
 * How the body behind the head ends: negative when its fields contradict each other or describe
 * what is not known here; reply: not a request.
 */
int http_framing(const struct http_head *head, bool reply);

#endif
