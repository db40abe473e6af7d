/*
 * One value of the ini file: its text, and its field in a structure. The text
 * that confvalue_format makes is the one form of a value: two values are equal
 * when their texts are.
 */
#ifndef COMMON_DAEMON_CONFVALUE_H
#define COMMON_DAEMON_CONFVALUE_H

#include <stddef.h>

#include "common/daemon/conf.h"

/* As long as a line of the file may be. */
enum { CONFVALUE_TEXT_SIZE = 200 };

/*
 * Reads text into the key's field. 0, ERR_INVALID, ERR_RANGE, ERR_EXISTS (an entry of a list stands
 * twice), ERR_FULL (too many entries), or ERR_TOO_LONG (the value is right, but printed in full it
 * would not fit a line). The field is changed only on success.
 */
int confvalue_parse(const struct conf_key *key, const char *text, void *field);
/* Writes the value as the file would have it; false when it does not fit. */
bool confvalue_format(const struct conf_key *key, const void *field, char *out, size_t size);
/* What would be right: "a number from 1 to 65534". Returns out. */
char *confvalue_describe(const struct conf_key *key, char *out, size_t size);
/* Octets of the key's field. */
size_t confvalue_size(const struct conf_key *key);
/* Whether text is a DNS name: letters, digits and hyphens, no wildcard, not an IPv4 address. */
bool confvalue_is_dns_name(const char *text);

#endif
