#include "inner-relay/ngjson.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/random.h"

/* ---------------------------------------------------------------- reader */

/* jansson's own bound on depth is 2,048, and it has none on the number of values. */
static int check_bounds(const char *text, size_t length, char *error)
{
    unsigned depth = 0, values = 1;
    bool string = false;

    for (size_t i = 0; i < length; i++) {
        char c = text[i];

        if (string && c == '\\')
            i++;
        else if (c == '"')
            string = !string;
        if (string)
            continue;
        values += c == ',' || c == ':' || c == '[' || c == '{';
        if (c == '[' || c == '{')
            depth++;
        else if ((c == ']' || c == '}') && depth > 0)
            depth--;
        if (depth > BENCODE_DEPTH_MAX) {
            snprintf(error, BENCODE_ERROR_SIZE, "octet %zu: nested more than %d deep", i,
                     BENCODE_DEPTH_MAX);
            return ERR_RANGE;
        }
        if (values > BENCODE_VALUES_MAX) {
            snprintf(error, BENCODE_ERROR_SIZE, "octet %zu: more than %d values", i,
                     BENCODE_VALUES_MAX);
            return ERR_RANGE;
        }
    }
    return 0;
}

/* jansson's own text quotes the request, which has keys in it. */
static const char *describe(const json_error_t *error)
{
    switch (json_error_code(error)) {
    case json_error_invalid_utf8:
        return "not UTF-8; bencode takes any octets";
    case json_error_null_character:
    case json_error_null_byte_in_key:
        return "a NUL character";
    case json_error_end_of_input_expected:
        return "something stands behind the end";
    case json_error_premature_end_of_input:
        return "it ends too early";
    case json_error_numeric_overflow:
        return "a number that is too large";
    case json_error_out_of_memory:
        return err_text(ERR_NOMEM);
    default:
        return "not JSON";
    }
}

int ngjson_read(const char *text, size_t length, json_t **value, char error[BENCODE_ERROR_SIZE])
{
    json_error_t why;
    int rc;

    *value = NULL;
    if (length > BENCODE_OCTETS_MAX) {
        snprintf(error, BENCODE_ERROR_SIZE, "octet %d: longer than %d octets", BENCODE_OCTETS_MAX,
                 BENCODE_OCTETS_MAX);
        return ERR_TOO_LONG;
    }
    rc = check_bounds(text, length, error);
    if (rc < 0)
        return rc;
    *value = json_loadb(text, length, JSON_DECODE_ANY, &why);
    rc = 0;
    error[0] = '\0';
    if (!*value) {
        rc = json_error_code(&why) == json_error_premature_end_of_input ? ERR_TRUNCATED
                                                                        : ERR_INVALID;
        snprintf(error, BENCODE_ERROR_SIZE, "octet %d: %s", why.position, describe(&why));
    }
    wipe(&why, sizeof(why));
    return rc;
}

/* ---------------------------------------------------------------- writer */

/* Octets of the UTF-8 character at text, RFC 3629; 0: there is none. */
static size_t utf8_length(const unsigned char *text, size_t left)
{
    uint32_t code = text[0];
    size_t more = code >= 0xf0 ? 3 : code >= 0xe0 ? 2 : code >= 0xc0 ? 1 : 0;
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};

    if (code < 0x80)
        return 1;
    if (more == 0 || code > 0xf4 || more >= left)
        return 0;
    code &= 0x3fu >> more;
    for (size_t i = 1; i <= more; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (text[i] & 0x3f);
    }
    if (code < least[more] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
        return 0;
    return more + 1;
}

static void write_character(const unsigned char *text, size_t length, FILE *to)
{
    switch (length == 1 ? text[0] : 0x80) {
    case '"':
    case '\\':
        fprintf(to, "\\%c", text[0]);
        break;
    case '\n':
        fputs("\\n", to);
        break;
    case '\r':
        fputs("\\r", to);
        break;
    default:
        if (length == 0)
            fputs("\\ufffd", to);
        else if (length == 1 && text[0] < 0x20)
            fprintf(to, "\\u%04x", text[0]);
        else
            fwrite(text, 1, length, to);
    }
}

static void write_string(const char *string, size_t length, FILE *to)
{
    const unsigned char *text = (const unsigned char *)string;

    putc('"', to);
    for (size_t i = 0; i < length;) {
        size_t octets = utf8_length(text + i, length - i);

        write_character(text + i, octets, to);
        i += octets > 0 ? octets : 1;
    }
    putc('"', to);
}

size_t ngjson_string_octets(const char *string, size_t length)
{
    const unsigned char *text = (const unsigned char *)string;
    size_t count = 2;

    for (size_t i = 0; i < length;) {
        size_t octets = utf8_length(text + i, length - i);

        if (octets == 1 && memchr("\"\\\n\r", text[i], 4))
            count += 2;
        else
            count += octets == 0 || text[i] < 0x20 ? 6 : octets;
        i += octets > 0 ? octets : 1;
    }
    return count;
}

static int write_list(const json_t *list, FILE *to)
{
    size_t count = json_array_size(list);
    int rc = 0;

    putc('[', to);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        if (i > 0)
            putc(',', to);
        rc = ngjson_write(json_array_get(list, i), to);
    }
    putc(']', to);
    return rc;
}

static int write_dictionary(const json_t *dict, FILE *to)
{
    json_t *object = (json_t *)dict, *value;
    const char *key, *before = "{";
    int rc = 0;

    json_object_foreach(object, key, value)
    {
        if (rc < 0)
            break;
        fputs(before, to);
        write_string(key, strlen(key), to);
        putc(':', to);
        rc = ngjson_write(value, to);
        before = ",";
    }
    fputs(json_object_size(object) > 0 ? "}" : "{}", to);
    return rc;
}

int ngjson_write(const json_t *value, FILE *to)
{
    switch (json_typeof(value)) {
    case JSON_STRING:
        write_string(json_string_value(value), json_string_length(value), to);
        return 0;
    case JSON_INTEGER:
        fprintf(to, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        return 0;
    case JSON_TRUE:
    case JSON_FALSE:
        fputs(json_is_true(value) ? "true" : "false", to);
        return 0;
    case JSON_ARRAY:
        return write_list(value, to);
    case JSON_OBJECT:
        return write_dictionary(value, to);
    default:
        return ERR_UNSUPPORTED;
    }
}
