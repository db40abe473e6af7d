/* What relayctl may ask of the inner-relay: one line, its real table of commands. */
#include <ev.h>
#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/sa/table.h"
#include "inner-relay/relay.h"
#include "tests/unit/core.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/* There are no media sockets: the linker puts this in place of the daemon's. */
uint64_t __wrap_media_overflows(const struct media *media, unsigned listener, bool rtcp_port);

uint64_t __wrap_media_overflows(const struct media *media, unsigned listener, bool rtcp_port)
{
    (void)media;
    return 2 * listener + rtcp_port;
}

/* The loop never runs: connectors that never connect, and nothing that is ever due. */
static void start(struct daemon *daemon, struct relay *relay)
{
    static const struct connector_settings settings = {
        .label = "east", .host = "127.0.0.1", .port = 9, .name = "dmz.example"};
    static const struct conn_hooks none;

    if (!core_start_engine())
        abort();
    log_set_level(LOG_LEVEL_ERROR);
    daemon->kind = &relay_kind;
    daemon->state = relay;
    daemon->loop = ev_loop_new(EVFLAG_AUTO);
    snprintf(daemon->options.config, sizeof(daemon->options.config), "/nonexistent/inner.ini");
    for (unsigned i = 0; i < 2; i++)
        relay->links[i].connector = connector_new(daemon->loop, NULL, &settings, &none, NULL);
}

/* One SA that no request may harm, but for sa-delete and sa-rekey. */
static void fill(struct core *core, struct relay *relay)
{
    struct admit_request request;

    if (!core_init(core, 4))
        abort();
    core_introduce(core, 0, 100, 100);
    core_request(&request, 1);
    if (!core_add(core, &request))
        abort();
    relay->core = core->inner;
    for (unsigned i = 0; i < relay->core.link_count; i++)
        relay->core.links[i].inner = &relay->core;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct relay relay;
    static struct daemon daemon;
    static struct core core;
    const struct sa *sa;
    size_t count;
    json_t *reply;
    char *line;

    if (!daemon.loop)
        start(&daemon, &relay);
    fill(&core, &relay);
    reply = control_answer(relay_commands, &daemon, (const char *)data, size);
    line = reply ? json_dumps(reply, JSON_COMPACT) : NULL;
    if (!line || strchr(line, '\n') || !json_is_boolean(json_object_get(reply, "ok")))
        abort();
    count = table_count(relay.core.table);
    sa = inner_find_sa(&relay.core, 1);
    if (json_is_false(json_object_get(reply, "ok")) &&
        (count != 1 || !sa || sa->source.rtp.port != 1026 || sa->generation != 1 || sa->old ||
         !json_object_get(reply, "error")))
        abort();
    if (count > 2 || (count != 1 && !sa && count != 0))
        abort();
    free(line);
    json_decref(reply);
    inner_fini(&relay.core);
    log_set_level(LOG_LEVEL_ERROR);
    return 0;
}
