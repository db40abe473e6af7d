#include "inner-relay/bencode.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "common/base/err.h"

struct input {
    const char *text;
    size_t length, at;
    unsigned depth, values;
    bool cut; /* more octets could have made it right */
    char *error;
};

static json_t *read_value(struct input *in);

/* ---------------------------------------------------------------- numbers */

__attribute__((format(printf, 3, 4))) static json_t *refuse(struct input *in, size_t at,
                                                            const char *format, ...)
{
    int n = snprintf(in->error, BENCODE_ERROR_SIZE, "octet %zu: ", at);
    va_list ap;

    in->cut = in->cut || in->at >= in->length;
    va_start(ap, format);
    vsnprintf(in->error + n, BENCODE_ERROR_SIZE - (size_t)n, format, ap);
    va_end(ap);
    return NULL;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* -1 at the end. */
static int next(const struct input *in)
{
    return in->at < in->length ? (unsigned char)in->text[in->at] : -1;
}

/*
 * Digits up to end, which is consumed, of a number that is at most max. A zero in front would be a
 * second form of one value.
 */
static bool read_digits(struct input *in, char end, uint64_t max, uint64_t *value)
{
    size_t start = in->at;

    *value = 0;
    while (in->at < in->length && is_digit(in->text[in->at])) {
        unsigned digit = (unsigned)(in->text[in->at] - '0');

        if (*value > (max - digit) / 10) {
            refuse(in, start, "the number is larger than %llu", (unsigned long long)max);
            return false;
        }
        *value = 10 * *value + digit;
        in->at++;
    }
    if (in->at == start || (in->text[start] == '0' && in->at - start > 1)) {
        refuse(in, start, in->at == start ? "a digit is missing" : "a zero in front of a number");
        return false;
    }
    if (next(in) != end) {
        refuse(in, in->at, "\"%c\" is missing", end);
        return false;
    }
    in->at++;
    return true;
}

static json_t *read_integer(struct input *in)
{
    size_t start = in->at++;
    bool negative = next(in) == '-';
    uint64_t value;

    in->at += negative;
    if (!read_digits(in, 'e', INT64_MAX, &value))
        return NULL;
    if (negative && value == 0)
        return refuse(in, start, "minus zero");
    return json_integer(negative ? -(json_int_t)value : (json_int_t)value);
}

/* ---------------------------------------------------------------- strings */

/* Points into the input; NULL when there is none. */
static const char *read_octets(struct input *in, size_t *length)
{
    size_t start = in->at;
    uint64_t value;

    if (!read_digits(in, ':', BENCODE_OCTETS_MAX, &value))
        return NULL;
    if (value > in->length - in->at) {
        in->cut = true;
        refuse(in, start, "a string of %llu octets, but %zu are left", (unsigned long long)value,
               in->length - in->at);
        return NULL;
    }
    *length = (size_t)value;
    in->at += *length;
    return in->text + in->at - *length;
}

static json_t *read_string(struct input *in)
{
    size_t length;
    const char *octets = read_octets(in, &length);

    return octets ? json_stringn_nocheck(octets, length) : NULL;
}

/* ---------------------------------------------------------------- lists and dictionaries */

static json_t *read_list(struct input *in)
{
    json_t *list = json_array(), *item;

    in->at++;
    while (list && next(in) != 'e') {
        item = read_value(in);
        if (json_array_append_new(list, item) < 0) {
            json_decref(list);
            return NULL;
        }
    }
    in->at++;
    return list;
}

/* jansson's keys end at a NUL, so that one inside would make two keys the same. */
static json_t *read_member(struct input *in, json_t *dict)
{
    size_t start = in->at, length = 0;
    const char *key;
    json_t *value;
    char text[BENCODE_ERROR_SIZE];

    if (++in->values > BENCODE_VALUES_MAX)
        return refuse(in, start, "more than %d values", BENCODE_VALUES_MAX);
    if (!is_digit((char)next(in)))
        return refuse(in, start, "a key is missing");
    key = read_octets(in, &length);
    if (!key)
        return NULL;
    if (length >= sizeof(text) || memchr(key, '\0', length))
        return refuse(in, start, "a key that is too long, or has a NUL octet");
    memcpy(text, key, length);
    text[length] = '\0';
    value = read_value(in);
    if (!value)
        return NULL;
    if (json_object_get(dict, text)) {
        json_decref(value);
        return dict;
    }
    return json_object_set_new_nocheck(dict, text, value) == 0 ? dict : NULL;
}

static json_t *read_dictionary(struct input *in)
{
    json_t *dict = json_object();

    in->at++;
    while (dict && next(in) != 'e') {
        if (!read_member(in, dict)) {
            json_decref(dict);
            return NULL;
        }
    }
    in->at++;
    return dict;
}

static json_t *read_nested(struct input *in, bool list)
{
    json_t *value;

    if (in->depth == BENCODE_DEPTH_MAX)
        return refuse(in, in->at, "nested more than %d deep", BENCODE_DEPTH_MAX);
    in->depth++;
    value = list ? read_list(in) : read_dictionary(in);
    in->depth--;
    return value;
}

static json_t *read_value(struct input *in)
{
    if (++in->values > BENCODE_VALUES_MAX)
        return refuse(in, in->at, "more than %d values", BENCODE_VALUES_MAX);
    switch (next(in)) {
    case -1:
        return refuse(in, in->at, "it ends too early");
    case 'i':
        return read_integer(in);
    case 'l':
        return read_nested(in, true);
    case 'd':
        return read_nested(in, false);
    default:
        if (is_digit(in->text[in->at]))
            return read_string(in);
        return refuse(in, in->at, "neither a string, a number, a list nor a dictionary");
    }
}

int bencode_read(const char *text, size_t length, json_t **value, char error[BENCODE_ERROR_SIZE])
{
    struct input in = {.text = text, .length = length, .error = error};

    *value = NULL;
    snprintf(error, BENCODE_ERROR_SIZE, "%s", err_text(ERR_NOMEM));
    if (length > BENCODE_OCTETS_MAX) {
        refuse(&in, BENCODE_OCTETS_MAX, "longer than %d octets", BENCODE_OCTETS_MAX);
        return ERR_TOO_LONG;
    }
    *value = read_value(&in);
    if (*value && in.at < length) {
        refuse(&in, in.at, "something stands behind the end");
        json_decref(*value);
        *value = NULL;
    }
    if (!*value)
        return in.cut ? ERR_TRUNCATED : ERR_INVALID;
    error[0] = '\0';
    return 0;
}

/* ---------------------------------------------------------------- writer */

static int write_octets(const char *octets, size_t length, FILE *to)
{
    fprintf(to, "%zu:", length);
    return fwrite(octets, 1, length, to) == length ? 0 : ERR_NOMEM;
}

static int write_list(const json_t *list, FILE *to)
{
    size_t count = json_array_size(list);
    int rc = 0;

    putc('l', to);
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = bencode_write(json_array_get(list, i), to);
    putc('e', to);
    return rc;
}

static int write_dictionary(const json_t *dict, FILE *to)
{
    json_t *object = (json_t *)dict, *value;
    const char *key;
    int rc = 0;

    putc('d', to);
    json_object_foreach(object, key, value)
    {
        if (rc == 0)
            rc = write_octets(key, strlen(key), to);
        if (rc == 0)
            rc = bencode_write(value, to);
    }
    putc('e', to);
    return rc;
}

int bencode_write(const json_t *value, FILE *to)
{
    switch (json_typeof(value)) {
    case JSON_STRING:
        return write_octets(json_string_value(value), json_string_length(value), to);
    case JSON_INTEGER:
        return fprintf(to, "i%" JSON_INTEGER_FORMAT "e", json_integer_value(value)) > 0 ? 0
                                                                                        : ERR_NOMEM;
    case JSON_TRUE:
    case JSON_FALSE:
        return fputs(json_is_true(value) ? "i1e" : "i0e", to) >= 0 ? 0 : ERR_NOMEM;
    case JSON_ARRAY:
        return write_list(value, to);
    case JSON_OBJECT:
        return write_dictionary(value, to);
    default:
        return ERR_UNSUPPORTED;
    }
}
