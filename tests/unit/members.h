/* Checks on JSON objects, for the tests of what the daemons answer. */
#ifndef TESTS_UNIT_MEMBERS_H
#define TESTS_UNIT_MEMBERS_H

#include <jansson.h>

/* The object has exactly these members, in any order; names are parted by blanks. */
void members_are(const json_t *object, const char *names);
/* The object as one line, which lives until the next call. */
const char *members_text(const json_t *object);

#endif
