/*
 * What inih would silently get wrong, looked for before it reads the file:
 * inih cuts lines at 199 octets and carries on, takes indented lines as
 * continuations, lets a second value replace the first.
 */
#ifndef COMMON_DAEMON_CONFCHECK_H
#define COMMON_DAEMON_CONFCHECK_H

#include <stdbool.h>
#include <stddef.h>

enum {
    CONF_FILE_MAX_OCTETS = 256 * 1024,
    CONF_LINE_MAX_OCTETS = 198,
    CONF_WORD_MAX_OCTETS = 49, /* of a key, or between the brackets of a section: inih cuts there */
    CONF_SECTIONS_MAX = 64,
    CONF_KEYS_MAX = 64, /* in one section */
};

/*
 * Checks the whole text of an ini file. 0, or negative with "LINE: what is
 * wrong; what would be right" in error. Refused: more than CONF_FILE_MAX_OCTETS,
 * a line over CONF_LINE_MAX_OCTETS, control octets (a tab may stand where a blank
 * may, outside of values; lines end with LF alone), an indented line, a key before
 * the first section, a line that is neither comment, [section], [section name] nor
 * key = value, text behind a section's bracket, a "#" comment behind a value (inih
 * would make it part of the value; " ;" begins one), a section or a key of one
 * section that stands twice.
 */
int confcheck(const char *text, size_t length, char *error, size_t error_size);

/*
 * Both take a text that passed confcheck, terminated by NUL. The line of
 * "[section]" (key NULL), or of key in it; 0 when it is not there.
 */
unsigned confcheck_find(const char *text, const char *section, const char *key);
/*
 * The heading behind line *line (0: the first), without its brackets, terminated; *line becomes
 * its number. False when there is no other.
 */
bool confcheck_next_section(const char *text, unsigned *line, char name[CONF_WORD_MAX_OCTETS + 1]);

#endif
