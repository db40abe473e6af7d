/*
 * The ini files of both daemons. What is taken must be printed in a form that
 * is taken again, and mean the same.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/daemon/conf.h"
#include "dmz-relay/settings.h"
#include "inner-relay/settings.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *print(const struct conf_schema *schema, const void *conf, size_t *length)
{
    char *text = NULL;
    FILE *file = open_memstream(&text, length);

    conf_print(schema, conf, file);
    fclose(file);
    return text;
}

static void try_schema(const struct conf_schema *schema, const char *text, size_t length)
{
    char error[512];
    char *once, *twice;
    size_t once_length, twice_length;
    void *conf, *again;

    if (conf_parse(schema, "fuzz.ini", text, length, &conf, error, sizeof(error)) < 0) {
        if (error[0] == '\0' || conf)
            abort();
        return;
    }
    once = print(schema, conf, &once_length);
    if (conf_parse(schema, "printed.ini", once, once_length, &again, error, sizeof(error)) < 0)
        abort();
    twice = print(schema, again, &twice_length);
    if (strcmp(once, twice) != 0)
        abort();
    free(once);
    free(twice);
    free(conf);
    free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_schema(&dmz_schema, (const char *)data, size);
    try_schema(&inner_schema, (const char *)data, size);
    return 0;
}
