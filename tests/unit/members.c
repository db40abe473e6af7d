#include "tests/unit/members.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"

const char *members_text(const json_t *object)
{
    static char text[65536];
    char *dump = json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);

    ck_assert_ptr_nonnull(dump);
    ck_assert_uint_lt(strlen(dump), sizeof(text));
    snprintf(text, sizeof(text), "%s", dump);
    free(dump);
    return text;
}

void members_are(const json_t *object, const char *names)
{
    char copy[1024], *rest = copy;
    size_t count = 0;

    ck_assert(json_is_object(object));
    snprintf(copy, sizeof(copy), "%s", names);
    for (char *name; (name = strtok_r(rest, " ", &rest)) != NULL; count++)
        ck_assert_msg(json_object_get(object, name) != NULL, "no member %s in %s", name,
                      members_text(object));
    ck_assert_msg(json_object_size(object) == count, "other members than %s: %s", names,
                  members_text(object));
}
