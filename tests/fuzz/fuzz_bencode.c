/* Bencode, or JSON where it begins with a brace: what was read is the same, written and read again.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inner-relay/bencode.h"
#include "inner-relay/ngjson.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int read_value(bool json, const char *text, size_t length, json_t **value)
{
    char error[BENCODE_ERROR_SIZE];
    int rc =
        json ? ngjson_read(text, length, value, error) : bencode_read(text, length, value, error);

    if ((rc == 0) != (*value != NULL) || (rc == 0) != (error[0] == '\0'))
        abort();
    return rc;
}

/* NULL when the value has something that the form does not have. */
static char *write_value(bool json, const json_t *value, size_t *length)
{
    char *text = NULL;
    FILE *to = open_memstream(&text, length);
    int rc;

    if (!to)
        abort();
    rc = json ? ngjson_write(value, to) : bencode_write(value, to);
    if (fclose(to) != 0)
        abort();
    if (rc == 0)
        return text;
    free(text);
    return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bool json = size > 0 && data[0] == '{';
    json_t *value, *again;
    size_t length;
    char *text;

    if (read_value(json, (const char *)data, size, &value) < 0)
        return 0;
    text = write_value(json, value, &length);
    if (!text && !json)
        abort();
    if (text) {
        if (read_value(json, text, length, &again) < 0 || !json_equal(value, again))
            abort();
        json_decref(again);
    }
    free(text);
    /* The other form can be written too, whatever the octets are. */
    free(write_value(!json, value, &length));
    json_decref(value);
    return 0;
}
