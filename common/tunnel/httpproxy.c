#include "common/tunnel/httpproxy.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "common/base/addr.h"
#include "common/base/err.h"

enum { PORT_DEFAULT = 3128 };

static const char *const way_names[] = {[HTTPPROXY_CONNECT] = "connect",
                                        [HTTPPROXY_UPGRADE] = "upgrade",
                                        [HTTPPROXY_HTTP] = "http",
                                        [HTTPPROXY_DIRECT] = "direct"};

const char *httpproxy_way_name(enum httpproxy_way way)
{
    return way_names[way];
}

/* ---------------------------------------------------------------- settings */

static int hex_digit(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *found = c ? strchr(digits, tolower((unsigned char)c)) : NULL;

    return found ? (int)(found - digits) : -1;
}

/* A colon and control characters are in no user name of Basic authentication. */
static int read_user(const struct words *words, char *out, size_t size)
{
    size_t length = 0;

    for (size_t i = 0; i < words->length; i++) {
        int c = (unsigned char)words->at[i];

        if (c == '%') {
            int high = i + 2 < words->length ? hex_digit(words->at[i + 1]) : -1;
            int low = high >= 0 ? hex_digit(words->at[i + 2]) : -1;

            if (low < 0)
                return ERR_INVALID;
            c = high * 16 + low;
            i += 2;
        } else if (c == ':') {
            return ERR_FORBIDDEN;
        }
        if (c < 0x20 || c == 0x7f || c == ':' || length + 1 >= size)
            return ERR_INVALID;
        out[length++] = (char)c;
    }
    out[length] = '\0';
    return length > 0 ? 0 : ERR_INVALID;
}

static bool is_host_octet(char c)
{
    return isalnum((unsigned char)c) || c == '-' || c == '.' || c == '_';
}

static int read_host(struct httpproxy *proxy, struct words *rest)
{
    struct words host = {rest->at, 0};
    struct addr addr;

    if (rest->length > 0 && rest->at[0] == '[') {
        *rest = (struct words){rest->at + 1, rest->length - 1};
        if (!memchr(rest->at, ']', rest->length))
            return ERR_INVALID;
        host = words_until(rest, ']');
        return words_copy(&host, proxy->host, sizeof(proxy->host)) &&
                       addr_parse_ip(proxy->host, &addr) == 0 && strchr(proxy->host, ':')
                   ? 0
                   : ERR_INVALID;
    }
    while (host.length < rest->length && is_host_octet(rest->at[host.length]))
        host.length++;
    *rest = (struct words){rest->at + host.length, rest->length - host.length};
    return host.length > 0 && words_copy(&host, proxy->host, sizeof(proxy->host)) ? 0 : ERR_INVALID;
}

int httpproxy_read_url(struct httpproxy *proxy, const char *url)
{
    struct words rest = {url, strlen(url)};
    uint64_t port = PORT_DEFAULT;
    int result = 0;

    proxy->host[0] = proxy->user[0] = '\0';
    if (!strstr(url, "://"))
        return ERR_INVALID;
    if (!words_skip(&rest, "http://"))
        return ERR_UNSUPPORTED;
    if (memchr(rest.at, '@', rest.length)) {
        struct words user = words_until(&rest, '@');

        result = read_user(&user, proxy->user, sizeof(proxy->user));
    }
    if (result == 0)
        result = read_host(proxy, &rest);
    if (result == 0 && words_skip(&rest, ":")) {
        struct words digits = words_until(&rest, '/');

        if (!words_number(&digits, UINT16_MAX, &port) || port == 0 || rest.length > 0)
            result = ERR_INVALID;
    } else if (result == 0) {
        (void)words_skip(&rest, "/");
        result = rest.length == 0 ? 0 : ERR_INVALID;
    }
    proxy->port = (uint16_t)port;
    return result;
}

static bool has_way(const struct httpproxy *proxy, enum httpproxy_way way)
{
    for (size_t i = 0; i < proxy->way_count; i++) {
        if (proxy->ways[i] == way)
            return true;
    }
    return false;
}

int httpproxy_read_ways(struct httpproxy *proxy, const char *text)
{
    struct words rest = {text, strlen(text)};

    proxy->way_count = 0;
    do {
        struct words part = words_until(&rest, ',');
        struct words word = words_next(&part);
        enum httpproxy_way way = HTTPPROXY_CONNECT;

        while (way < HTTPPROXY_WAYS && !words_are(&word, way_names[way]))
            way++;
        if (way == HTTPPROXY_WAYS || words_next(&part).length > 0 || has_way(proxy, way))
            return ERR_INVALID;
        proxy->ways[proxy->way_count++] = way;
    } while (rest.length > 0);
    return 0;
}

/* ---------------------------------------------------------------- requests */

int httpproxy_request(const struct httpproxy_request *request, struct httpauth *auth, char *out,
                      size_t size)
{
    static const char *const methods[][HTTPPROXY_LEGS] = {[HTTPPROXY_CONNECT] = {"CONNECT", ""},
                                                          [HTTPPROXY_UPGRADE] = {"GET", ""},
                                                          [HTTPPROXY_HTTP] = {"GET", "POST"}};
    static const char *const fields[][HTTPPROXY_LEGS] = {
        [HTTPPROXY_CONNECT] = {"", ""},
        [HTTPPROXY_UPGRADE] = {"Connection: Upgrade\r\nUpgrade: " HTTPPROXY_PROTOCOL "\r\n", ""},
        [HTTPPROXY_HTTP] = {"Cache-Control: no-store\r\n",
                            "Cache-Control: no-store\r\nContent-Type: application/octet-stream\r\n"
                            "Transfer-Encoding: chunked\r\n"}};
    const char *method = methods[request->way][request->leg];
    bool v6 = strchr(request->host, ':') != NULL;
    char target[HTTPPROXY_HOST_SIZE + 16], uri[sizeof(target) + 64], line[HTTPAUTH_LINE_OCTETS];
    int result;

    snprintf(target, sizeof(target), "%s%s%s:%u", v6 ? "[" : "", request->host, v6 ? "]" : "",
             request->port);
    if (request->way == HTTPPROXY_CONNECT)
        snprintf(uri, sizeof(uri), "%s", target);
    else
        snprintf(uri, sizeof(uri), "http://%s" HTTPPROXY_PATH "%s%s", target,
                 request->way == HTTPPROXY_HTTP ? "/" : "",
                 request->way == HTTPPROXY_HTTP ? request->token : "");
    result = httpauth_line(auth, method, uri, request->cnonce, line, sizeof(line));
    if (result < 0)
        return result;
    result =
        snprintf(out, size, "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: media-relay\r\n%s%s\r\n",
                 method, uri, target, fields[request->way][request->leg], line);
    return result < (int)size ? result : ERR_TOO_LONG;
}

/* ---------------------------------------------------------------- answers */

/* What most often is behind a number that proxies answer with. */
static const char *hint(unsigned status)
{
    switch (status) {
    case 403:
        return "the proxy forbids it";
    case 404:
        return "what answered is no dmz-relay, or one that does not know this way";
    case 405:
    case 501:
        return "the proxy does not know this method";
    case 411:
        return "the proxy takes no request without a known length";
    case 502:
    case 503:
    case 504:
        return "the proxy cannot reach the dmz-relay";
    default:
        return NULL;
    }
}

static enum httpproxy_answer refuse(const struct http_head *head, const char *what, char *reason,
                                    size_t reason_size)
{
    char said[64];
    size_t length = head->reason.length < sizeof(said) ? head->reason.length : sizeof(said) - 1;

    for (size_t i = 0; i < length; i++)
        said[i] = isprint((unsigned char)head->reason.at[i]) ? head->reason.at[i] : '?';
    said[length] = '\0';
    if (!what)
        what = hint(head->status);
    snprintf(reason, reason_size, "the answer was %u%s%s%s%s", head->status, said[0] ? " " : "",
             said, what ? ": " : "", what ? what : "");
    return HTTPPROXY_REFUSED;
}

enum httpproxy_answer httpproxy_judge(enum httpproxy_way way, unsigned leg,
                                      const struct http_head *head, bool *chunked, char *reason,
                                      size_t reason_size)
{
    int framing = http_framing(head, true);

    *chunked = false;
    if (head->status == 407)
        return HTTPPROXY_CHALLENGED;
    if (head->status < 200 && !(way == HTTPPROXY_UPGRADE && head->status == 101))
        return HTTPPROXY_WAIT;
    switch (way) {
    case HTTPPROXY_CONNECT:
        return head->status < 300 ? HTTPPROXY_OPEN : refuse(head, NULL, reason, reason_size);
    case HTTPPROXY_UPGRADE:
        if (head->status == 101 && http_lists(head, "Upgrade", HTTPPROXY_PROTOCOL))
            return HTTPPROXY_OPEN;
        return refuse(head,
                      head->status == 101   ? "it upgrades to something else"
                      : head->status == 404 ? "the proxy did not pass the Upgrade on"
                                            : NULL,
                      reason, reason_size);
    default:
        break;
    }
    if (head->status != 200)
        return refuse(head, NULL, reason, reason_size);
    if (leg == 1)
        return refuse(head, "the request was answered before its end", reason, reason_size);
    *chunked = framing == HTTP_CHUNKED;
    if (framing != HTTP_CHUNKED && framing != HTTP_TO_CLOSE)
        return refuse(head, "its reply is not a stream", reason, reason_size);
    return HTTPPROXY_OPEN;
}

/* ---------------------------------------------------------------- at the dmz-relay */

/* The path of a target, which may be "http://host/path", too. */
static struct words path_of(struct words target)
{
    if (words_skip(&target, "http://") || words_skip(&target, "https://")) {
        const char *slash = target.length ? memchr(target.at, '/', target.length) : NULL;
        size_t before = slash ? (size_t)(slash - target.at) : target.length;

        target = (struct words){target.at + before, target.length - before};
    }
    return target;
}

static bool is_exactly(const struct words *words, const char *text)
{
    return words->length == strlen(text) && memcmp(words->at, text, words->length) == 0;
}

static bool take_token(struct words path, char token[HTTPPROXY_TOKEN_SIZE])
{
    static const char before[] = HTTPPROXY_PATH "/";
    size_t length = sizeof(before) - 1;

    if (path.length != length + HTTPPROXY_TOKEN_SIZE - 1 || memcmp(path.at, before, length) != 0)
        return false;
    memcpy(token, path.at + length, HTTPPROXY_TOKEN_SIZE - 1);
    token[HTTPPROXY_TOKEN_SIZE - 1] = '\0';
    return strspn(token, "0123456789abcdef") == HTTPPROXY_TOKEN_SIZE - 1;
}

enum httpproxy_want httpproxy_wants(const struct http_head *head, bool *chunked,
                                    char token[HTTPPROXY_TOKEN_SIZE])
{
    struct words path = path_of(head->target);
    int framing = http_framing(head, false);
    bool get = is_exactly(&head->method, "GET"), post = is_exactly(&head->method, "POST");

    *chunked = head->minor >= 1;
    token[0] = '\0';
    if (get && framing == HTTP_NO_BODY && is_exactly(&path, HTTPPROXY_PATH) &&
        http_lists(head, "Upgrade", HTTPPROXY_PROTOCOL) &&
        http_lists(head, "Connection", "Upgrade"))
        return HTTPPROXY_WANTS_UPGRADE;
    if (!(get && framing == HTTP_NO_BODY) && !(post && framing == HTTP_CHUNKED))
        return HTTPPROXY_WANTS_NOTHING;
    if (!take_token(path, token))
        return HTTPPROXY_WANTS_NOTHING;
    return get ? HTTPPROXY_WANTS_IN : HTTPPROXY_WANTS_OUT;
}
