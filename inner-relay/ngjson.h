/*
 * JSON as the ng protocol has it: a reader with the bounds of bencode, and a writer that makes
 * UTF-8 of strings with any octets.
 */
#ifndef INNER_RELAY_NGJSON_H
#define INNER_RELAY_NGJSON_H

#include "inner-relay/bencode.h"

/*
 * As bencode_read(). JSON text is UTF-8: anything else, and a NUL character in a string, is
 * refused.
 */
int ngjson_read(const char *text, size_t length, struct json_t **value,
                char error[BENCODE_ERROR_SIZE]);
/* Octets of strings and keys that are not UTF-8 become U+FFFD each. */
int ngjson_write(const struct json_t *value, FILE *to);
/* That it writes for this string. */
size_t ngjson_string_octets(const char *string, size_t length);

#endif
