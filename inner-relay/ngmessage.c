#include "inner-relay/ngmessage.h"

#include <ctype.h>
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/random.h"
#include "inner-relay/ngjson.h"

enum { STDIO_OCTETS = 4096 };

/* ---------------------------------------------------------------- request */

int ngmessage_split(struct ngmessage *message, const char *data, size_t length, const char **body,
                    size_t *body_length)
{
    const char *blank = memchr(data, ' ', length);

    *message = (struct ngmessage){.cookie = data};
    if (!blank || blank == data || blank - data > NG_COOKIE_MAX || blank + 1 == data + length)
        return ERR_INVALID;
    message->cookie_length = (size_t)(blank - data);
    *body = blank + 1;
    *body_length = length - message->cookie_length - 1;
    return 0;
}

static void hyphens(char *text)
{
    for (; *text; text++) {
        if (*text == ' ')
            *text = '-';
    }
}

/* Of keys that become the same the first one counts. */
static int normalise(struct ngmessage *message)
{
    json_t *fresh = json_object(), *value;
    char text[BENCODE_ERROR_SIZE];
    const char *key;
    int rc = fresh ? 0 : ERR_NOMEM;

    json_object_foreach(message->dict, key, value)
    {
        snprintf(text, sizeof(text), "%s", key);
        hyphens(text);
        if (rc == 0 && !json_object_get(fresh, text) &&
            json_object_set_nocheck(fresh, text, value) < 0)
            rc = ERR_NOMEM;
    }
    json_decref(message->dict);
    message->dict = fresh;
    return rc;
}

int ngmessage_read(struct ngmessage *message, const char *body, size_t length,
                   char error[BENCODE_ERROR_SIZE])
{
    int rc;

    message->json = length > 0 && body[0] == '{';
    if (message->json)
        rc = ngjson_read(body, length, &message->dict, error);
    else
        rc = bencode_read(body, length, &message->dict, error);
    if (rc == 0 && !json_is_object(message->dict)) {
        snprintf(error, BENCODE_ERROR_SIZE, "octet 0: not a dictionary");
        rc = ERR_INVALID;
    }
    if (rc == 0 && normalise(message) < 0) {
        snprintf(error, BENCODE_ERROR_SIZE, "%s", err_text(ERR_NOMEM));
        rc = ERR_NOMEM;
    }
    return rc;
}

bool ngmessage_is_whole(const char *body, size_t length)
{
    struct ngmessage message = {.cookie = NULL};
    char error[BENCODE_ERROR_SIZE];
    int rc = length > 0 ? ngmessage_read(&message, body, length, error) : ERR_TRUNCATED;

    ngmessage_fini(&message);
    return rc != ERR_TRUNCATED;
}

void ngmessage_fini(struct ngmessage *message)
{
    json_decref(message->dict);
    message->dict = NULL;
}

/* ---------------------------------------------------------------- its values */

int ngmessage_string(const struct ngmessage *message, const char *key, const char **octets,
                     size_t *length)
{
    const json_t *value = json_object_get(message->dict, key);

    if (!value)
        return ERR_NOT_FOUND;
    if (!json_is_string(value))
        return ERR_INVALID;
    *octets = json_string_value(value);
    *length = json_string_length(value);
    return 0;
}

int ngmessage_text(const struct ngmessage *message, const char *key, size_t max, const char **text)
{
    size_t length = 0;
    int rc;

    *text = "";
    rc = ngmessage_string(message, key, text, &length);
    if (rc == 0 && length > max)
        rc = ERR_TOO_LONG;
    if (rc == 0 && strlen(*text) != length)
        rc = ERR_INVALID;
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

int ngmessage_number(const struct ngmessage *message, const char *key, long long *value)
{
    const json_t *found = json_object_get(message->dict, key);
    const char *text = json_string_value(found);
    size_t digits = text ? strspn(text, "0123456789") : 0;

    if (!found)
        return ERR_NOT_FOUND;
    if (!json_is_integer(found) && (digits == 0 || digits > 9 || text[digits]))
        return ERR_INVALID;
    *value = json_is_integer(found) ? (long long)json_integer_value(found) : atoll(text);
    return 0;
}

static void copy_word(const char *text, size_t length, char word[NG_WORD_SIZE])
{
    word[0] = '\0';
    if (length >= NG_WORD_SIZE || memchr(text, '\0', length))
        return;
    for (size_t i = 0; i < length; i++)
        word[i] = text[i] == ' ' ? '-' : (char)tolower((unsigned char)text[i]);
    word[length] = '\0';
}

/* Of the words between blanks. */
static bool word_of_text(const char *text, size_t position, char word[NG_WORD_SIZE])
{
    text += strspn(text, " ");
    while (*text && position-- > 0) {
        text += strcspn(text, " ");
        text += strspn(text, " ");
    }
    if (!*text)
        return false;
    copy_word(text, strcspn(text, " "), word);
    return true;
}

bool ngmessage_word(const struct ngmessage *message, const char *key, size_t position,
                    char word[NG_WORD_SIZE])
{
    const json_t *value = json_object_get(message->dict, key), *item;

    word[0] = '\0';
    if (json_is_string(value))
        return word_of_text(json_string_value(value), position, word);
    if (value && !json_is_array(value))
        return position == 0;
    item = json_array_get(value, position);
    if (!item)
        return false;
    if (json_is_string(item))
        copy_word(json_string_value(item), json_string_length(item), word);
    return true;
}

bool ngmessage_has_word(const struct ngmessage *message, const char *key, const char *word)
{
    char one[NG_WORD_SIZE];

    for (size_t i = 0; ngmessage_word(message, key, i, one); i++) {
        if (strcmp(one, word) == 0)
            return true;
    }
    return false;
}

/* ---------------------------------------------------------------- reply */

static int write_all(const struct ngmessage *message, const json_t *dict, FILE *to)
{
    if (message->cookie_length > 0) {
        fwrite(message->cookie, 1, message->cookie_length, to);
        putc(' ', to);
    }
    return message->json ? ngjson_write(dict, to) : bencode_write(dict, to);
}

static char *copy_of(const char *octets, size_t length)
{
    char *copy = malloc(length + 1);

    if (copy) {
        memcpy(copy, octets, length);
        copy[length] = '\0';
    }
    return copy;
}

/*
 * NULL without memory, when it is longer than a datagram (*too_long), or when a value cannot be
 * written. Replies have keys in them: no memory is used here that would not be wiped.
 */
static char *write_reply(const struct ngmessage *message, const json_t *dict, size_t *length,
                         bool *too_long)
{
    char memory[NG_REPLY_MAX + 2], held[STDIO_OCTETS]; /* an octet too many, and a NUL */
    FILE *to = fmemopen(memory, sizeof(memory), "w");
    char *text = NULL;
    long written;
    int rc;

    if (!to)
        return NULL;
    (void)setvbuf(to, held, _IOFBF, sizeof(held));
    rc = write_all(message, dict, to);
    *too_long = fflush(to) != 0 || ferror(to);
    written = ftell(to);
    fclose(to);
    if (written > NG_REPLY_MAX)
        *too_long = true;
    if (rc == 0 && !*too_long && written > 0) {
        *length = (size_t)written;
        text = copy_of(memory, *length);
    }
    wipe(memory,
         written > 0 && (size_t)written < sizeof(memory) ? (size_t)written : sizeof(memory));
    wipe(held, sizeof(held));
    return text;
}

char *ngmessage_reply(const struct ngmessage *message, json_t *dict, size_t *length)
{
    bool too_long = false;
    char *text = dict ? write_reply(message, dict, length, &too_long) : NULL;

    json_decref(dict);
    if (text)
        return text;
    dict = json_pack("{s:s, s:s}", "result", "error", "error-reason",
                     too_long ? "the reply is longer than a datagram" : err_text(ERR_NOMEM));
    text = dict ? write_reply(message, dict, length, &too_long) : NULL;
    json_decref(dict);
    return text;
}
