#include "common/tunnel/httpauth.h"

#include <stdio.h>
#include <string.h>

#include "common/base/base64.h"
#include "common/base/err.h"
#include "common/base/random.h"

/* ---------------------------------------------------------------- challenges */

/* A name, and behind "=" its value, or the name of a scheme without one. */
struct item {
    struct words name;
    bool has_value;
    char value[HTTPAUTH_NONCE_SIZE]; /* without quotes */
};

static void skip_blanks(struct words *rest, const char *blanks)
{
    while (rest->length > 0 && strchr(blanks, rest->at[0]) && rest->at[0])
        *rest = (struct words){rest->at + 1, rest->length - 1};
}

static struct words take_word(struct words *rest, const char *ends)
{
    struct words word = {rest->at, 0};

    while (word.length < rest->length && rest->at[word.length] &&
           !strchr(ends, rest->at[word.length]))
        word.length++;
    *rest = (struct words){rest->at + word.length, rest->length - word.length};
    return word;
}

/* False: it does not end, or is too long. */
static bool take_quoted(struct words *rest, char *out, size_t size)
{
    size_t length = 0;

    for (size_t i = 1; i < rest->length; i++) {
        if (rest->at[i] == '"') {
            out[length] = '\0';
            *rest = (struct words){rest->at + i + 1, rest->length - i - 1};
            return true;
        }
        if (rest->at[i] == '\\' && ++i == rest->length)
            return false;
        if (length + 1 == size || rest->at[i] == '\0')
            return false;
        out[length++] = rest->at[i];
    }
    return false;
}

/* False at the end, or at what is no challenge. */
static bool take_item(struct words *rest, struct item *item)
{
    struct words word;

    skip_blanks(rest, " \t,");
    item->name = take_word(rest, " \t,=\"");
    skip_blanks(rest, " \t");
    item->has_value = rest->length > 0 && rest->at[0] == '=';
    item->value[0] = '\0';
    if (!item->has_value)
        return item->name.length > 0;
    skip_blanks(rest, "=");
    skip_blanks(rest, " \t");
    if (rest->length > 0 && rest->at[0] == '"')
        return take_quoted(rest, item->value, sizeof(item->value));
    word = take_word(rest, " \t,");
    return words_copy(&word, item->value, sizeof(item->value));
}

static bool list_has(const char *list, const char *word)
{
    struct words rest = {list, strlen(list)};

    while (rest.length > 0) {
        struct words part = words_until(&rest, ',');
        struct words one = words_next(&part);

        if (words_are(&one, word))
            return true;
    }
    return false;
}

static bool is_text(const char *text, const char *wanted)
{
    struct words words = {text, strlen(text)};

    return words_are(&words, wanted);
}

/* True when the algorithm is one of ours. */
static bool set_algorithm(struct httpauth_challenge *challenge, const char *name)
{
    static const struct {
        const char *name;
        enum digest_kind hash;
        bool session;
    } algorithms[] = {{"MD5", DIGEST_MD5, false},
                      {"MD5-sess", DIGEST_MD5, true},
                      {"SHA-256", DIGEST_SHA256, false},
                      {"SHA-256-sess", DIGEST_SHA256, true}};

    for (size_t i = 0; i < sizeof(algorithms) / sizeof(algorithms[0]); i++) {
        if (!is_text(name, algorithms[i].name))
            continue;
        challenge->hash = algorithms[i].hash;
        challenge->session = algorithms[i].session;
        return true;
    }
    return false;
}

static bool copy_text(const char *text, char *out, size_t size)
{
    return snprintf(out, size, "%s", text) < (int)size;
}

/* False: with this the challenge is none that can be answered. */
static bool set_parameter(struct httpauth_challenge *challenge, const struct item *item)
{
    if (words_are(&item->name, "realm"))
        return copy_text(item->value, challenge->realm, sizeof(challenge->realm));
    if (words_are(&item->name, "nonce"))
        return copy_text(item->value, challenge->nonce, sizeof(challenge->nonce));
    if (words_are(&item->name, "opaque"))
        return copy_text(item->value, challenge->opaque, sizeof(challenge->opaque));
    if (words_are(&item->name, "algorithm"))
        return set_algorithm(challenge, item->value);
    if (words_are(&item->name, "stale"))
        challenge->stale = is_text(item->value, "true");
    if (words_are(&item->name, "qop"))
        return challenge->qop = list_has(item->value, "auth");
    return true;
}

static bool is_better(const struct httpauth_challenge *one, const struct httpauth_challenge *than)
{
    if (one->scheme == HTTPAUTH_DIGEST && !one->nonce[0])
        return false;
    if (one->scheme != than->scheme)
        return one->scheme > than->scheme;
    return one->scheme == HTTPAUTH_DIGEST && one->hash > than->hash;
}

/* What the reader of a list of challenges has so far. */
struct search {
    struct httpauth_challenge best, now;
    bool usable; /* now is one that can be answered */
    char *names; /* of all schemes */
    size_t names_size;
};

static void end_challenge(struct search *search)
{
    if (search->usable && is_better(&search->now, &search->best))
        search->best = search->now;
    search->usable = false;
}

static void begin_challenge(struct search *search, const struct words *name)
{
    size_t used = strlen(search->names);

    end_challenge(search);
    memset(&search->now, 0, sizeof(search->now));
    search->now.scheme = words_are(name, "Digest")  ? HTTPAUTH_DIGEST
                         : words_are(name, "Basic") ? HTTPAUTH_BASIC
                                                    : HTTPAUTH_NONE;
    search->usable = search->now.scheme != HTTPAUTH_NONE;
    if (used < search->names_size)
        snprintf(search->names + used, search->names_size - used, "%s%.*s", used ? ", " : "",
                 (int)(name->length < 32 ? name->length : 32), name->at);
}

static void read_challenges(struct search *search, struct words rest)
{
    struct item item;

    while (take_item(&rest, &item)) {
        if (!item.has_value)
            begin_challenge(search, &item.name);
        else if (!set_parameter(&search->now, &item))
            search->usable = false;
    }
    end_challenge(search);
}

int httpauth_take(struct httpauth *auth, const struct http_head *head, char *reason,
                  size_t reason_size)
{
    char names[128] = "";
    struct search search = {.names = names, .names_size = sizeof(names)};

    for (size_t i = 0; i < head->field_count; i++) {
        if (words_are(&head->fields[i].name, "Proxy-Authenticate"))
            read_challenges(&search, head->fields[i].value);
    }
    if (search.best.scheme == HTTPAUTH_NONE) {
        snprintf(reason, reason_size,
                 "the proxy asks for the authentication %s; Basic, or Digest with MD5 or SHA-256 "
                 "and qop auth, would be right",
                 names[0] ? names : "that it does not name");
        return ERR_UNSUPPORTED;
    }
    auth->challenge = search.best;
    auth->count = 0;
    return 0;
}

/* ---------------------------------------------------------------- answers */

static int answer_basic(const struct httpauth *auth, char *out, size_t size)
{
    char pair[2 * HTTPAUTH_TEXT_SIZE], coded[4 * ((sizeof(pair) + 2) / 3) + 1];
    int length = snprintf(pair, sizeof(pair), "%s:%s", auth->user, auth->password);

    base64_encode((const uint8_t *)pair, (size_t)length, coded);
    length = snprintf(out, size, "Proxy-Authorization: Basic %s\r\n", coded);
    wipe(pair, sizeof(pair));
    wipe(coded, sizeof(coded));
    return length < (int)size ? 0 : ERR_TOO_LONG;
}

/* H(A1) of RFC 7616 section 3.4.2. */
static int hash_secret(const struct httpauth *auth, const char *cnonce, char out[DIGEST_TEXT_SIZE])
{
    const struct httpauth_challenge *challenge = &auth->challenge;
    char text[4 * HTTPAUTH_NONCE_SIZE];
    int result;

    snprintf(text, sizeof(text), "%s:%s:%s", auth->user, challenge->realm, auth->password);
    result = digest_text(challenge->hash, text, out);
    if (result == 0 && challenge->session) {
        snprintf(text, sizeof(text), "%s:%s:%s", out, challenge->nonce, cnonce);
        result = digest_text(challenge->hash, text, out);
    }
    wipe(text, sizeof(text));
    return result;
}

static int hash_response(const struct httpauth *auth, const char *method, const char *uri,
                         const char *cnonce, char out[DIGEST_TEXT_SIZE])
{
    const struct httpauth_challenge *challenge = &auth->challenge;
    char secret[DIGEST_TEXT_SIZE], request[DIGEST_TEXT_SIZE], text[HTTPAUTH_LINE_OCTETS];
    int result = hash_secret(auth, cnonce, secret);

    if (snprintf(text, sizeof(text), "%s:%s", method, uri) >= (int)sizeof(text))
        result = ERR_TOO_LONG;
    if (result == 0)
        result = digest_text(challenge->hash, text, request);
    if (result < 0)
        return result;
    if (challenge->qop)
        snprintf(text, sizeof(text), "%s:%s:%08x:%s:auth:%s", secret, challenge->nonce,
                 (unsigned)auth->count, cnonce, request);
    else
        snprintf(text, sizeof(text), "%s:%s:%s", secret, challenge->nonce, request);
    wipe(secret, sizeof(secret));
    result = digest_text(challenge->hash, text, out);
    wipe(text, sizeof(text));
    return result;
}

/* Appends name="text", with what the quotes ask for; false: no room. */
static bool add_quoted(char *out, size_t size, const char *name, const char *text)
{
    size_t at = strlen(out);
    int count = snprintf(out + at, size - at, "%s=\"", name);

    if (count >= (int)(size - at))
        return false;
    at += (size_t)count;
    for (; *text && at + 4 < size; text++) {
        if (*text == '"' || *text == '\\')
            out[at++] = '\\';
        out[at++] = *text;
    }
    snprintf(out + at, size - at, "\", ");
    return !*text && at + 4 < size;
}

static const char *algorithm_name(const struct httpauth_challenge *challenge)
{
    if (challenge->hash == DIGEST_SHA256)
        return challenge->session ? "SHA-256-sess" : "SHA-256";
    return challenge->session ? "MD5-sess" : "MD5";
}

static int answer_digest(struct httpauth *auth, const char *method, const char *uri,
                         const char *cnonce, char *out, size_t size)
{
    const struct httpauth_challenge *challenge = &auth->challenge;
    char response[DIGEST_TEXT_SIZE];
    size_t used;
    int result;

    auth->count++;
    result = hash_response(auth, method, uri, cnonce, response);
    if (result < 0)
        return result;
    snprintf(out, size, "Proxy-Authorization: Digest ");
    if (!add_quoted(out, size, "username", auth->user) ||
        !add_quoted(out, size, "realm", challenge->realm) ||
        !add_quoted(out, size, "nonce", challenge->nonce) || !add_quoted(out, size, "uri", uri) ||
        (challenge->opaque[0] && !add_quoted(out, size, "opaque", challenge->opaque)) ||
        ((challenge->qop || challenge->session) && !add_quoted(out, size, "cnonce", cnonce)) ||
        !add_quoted(out, size, "response", response))
        return ERR_TOO_LONG;
    used = strlen(out);
    result = challenge->qop
                 ? snprintf(out + used, size - used, "qop=auth, nc=%08x, algorithm=%s\r\n",
                            (unsigned)auth->count, algorithm_name(challenge))
                 : snprintf(out + used, size - used, "algorithm=%s\r\n", algorithm_name(challenge));
    return result < (int)(size - used) ? 0 : ERR_TOO_LONG;
}

int httpauth_line(struct httpauth *auth, const char *method, const char *uri, const char *cnonce,
                  char *out, size_t size)
{
    out[0] = '\0';
    switch (auth->challenge.scheme) {
    case HTTPAUTH_BASIC:
        return answer_basic(auth, out, size);
    case HTTPAUTH_DIGEST:
        return answer_digest(auth, method, uri, cnonce, out, size);
    default:
        return 0;
    }
}
