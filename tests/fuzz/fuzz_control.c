/* The parser of the control socket, behind a command table of its own. */
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/daemon/control.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static json_t *run_echo(void *ctx, const json_t *request)
{
    (void)ctx;
    return json_pack("{s:b, s:o}", "ok", 1, "said", json_deep_copy(request));
}

static json_t *run_refuse(void *ctx, const json_t *request)
{
    const char *text = json_string_value(json_object_get(request, "say"));

    (void)ctx;
    return control_refuse(text, "%s", text ? text : "nothing said");
}

static json_t *run_nothing(void *ctx, const json_t *request)
{
    (void)ctx;
    (void)request;
    return NULL;
}

static const struct control_command commands[] = {
    {"echo", run_echo}, {"refuse", run_refuse}, {"nothing", run_nothing}, {NULL, NULL}};

/* Whatever came in: an object with "ok" goes out, as one line. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *reply = control_answer(commands, NULL, (const char *)data, size);
    char *line = reply ? json_dumps(reply, JSON_COMPACT) : NULL;

    if (!line || strchr(line, '\n') || !json_is_boolean(json_object_get(reply, "ok")))
        abort();
    if (json_is_false(json_object_get(reply, "ok")) && !json_object_get(reply, "error"))
        abort();
    free(line);
    json_decref(reply);
    return 0;
}
