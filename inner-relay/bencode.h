/*
 * Bencode, as SIP proxies send it: strings of any octets, integers, lists and dictionaries, whose
 * keys may come in any order. In memory a value is jansson's, with strings that need not be UTF-8.
 */
#ifndef INNER_RELAY_BENCODE_H
#define INNER_RELAY_BENCODE_H

#include <stddef.h>
#include <stdio.h>

struct json_t;

enum {
    BENCODE_OCTETS_MAX = 65536,
    BENCODE_DEPTH_MAX = 16,
    BENCODE_VALUES_MAX = 2048, /* in all, keys included: what can be read in a turn of the loop */
    BENCODE_ERROR_SIZE = 128,
};

/*
 * Reads one value, which must be all of the input. 0 and *value, owned by the caller; or negative,
 * *value NULL, and in error "octet 17: what is wrong"; ERR_TRUNCATED when more octets
 * could make it right. Where a key stands twice the first one
 * counts.
 */
int bencode_read(const char *text, size_t length, struct json_t **value,
                 char error[BENCODE_ERROR_SIZE]);
/*
 * Keys in the order in which they were set; true and false are 1 and 0. Negative for a value that
 * bencode does not have (null, a real number).
 */
int bencode_write(const struct json_t *value, FILE *to);

#endif
