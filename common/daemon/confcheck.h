/*
 * What inih would silently get wrong, looked for before it reads the file:
 * inih cuts lines at 199 octets and carries on, takes indented lines as
 * continuations, lets a second value replace the first.
 */
#ifndef COMMON_DAEMON_CONFCHECK_H
#define COMMON_DAEMON_CONFCHECK_H

#include <stddef.h>

enum { CONF_FILE_MAX_OCTETS = 256 * 1024, CONF_LINE_MAX_OCTETS = 198 };

/*
 * Checks the whole text of an ini file. 0, or negative with "LINE: what is
 * wrong; what would be right" in error. Refused: more than CONF_FILE_MAX_OCTETS,
 * a line over CONF_LINE_MAX_OCTETS, control octets (NUL, CR and tab inside values; a CR LF line
 * end), an indented line, a key before the first section, a line that is neither comment, section
 * nor key = value, a section or a key of one section that stands twice.
 */
int confcheck(const char *text, size_t length, char *error, size_t error_size);

#endif
