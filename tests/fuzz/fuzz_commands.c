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

#define SECRET_A "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj"
#define SECRET_B "NzB4d1BINUAvLEw6UzF3WSJ+PSdFcGdUJShpX1Zj"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
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

/* Of a message in the one call that there is; of the other one there is an offer only. */
static void say(struct calls *calls, const char *from, const char *to, const char *ip,
                const char *key)
{
    struct call_request request = {.call_id = "c",
                                   .from_tag = from,
                                   .to_tag = to,
                                   .via_branch = "",
                                   .direction = {SA_SIDE_EXTERNAL, SA_SIDE_INTERNAL}};
    struct call_reply reply;
    struct call_error error;
    char sdp[512];
    int result;

    snprintf(sdp, sizeof(sdp),
             "v=0\no=hidden 1 1 IN IP4 %s\ns=-\nc=IN IP4 %s\nt=0 0\nm=audio 4000 RTP/SAVP 0\n"
             "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:%s\n",
             ip, ip, key);
    request.sdp = sdp;
    request.sdp_length = strlen(sdp);
    result = (to[0] ? calls_answer : calls_offer)(calls, &request, 1, 1, &reply, &error);
    calls_reply_free(&reply);
    if (result < 0)
        abort();
}

static struct calls *make_calls(struct inner *inner)
{
    struct call_options options = {
        .offer_timeout_us = 1000000, .call_max_us = 1000000, .max_calls = 3};
    struct calls *calls = calls_new(inner, &options);

    if (!calls)
        abort();
    say(calls, "a", "", "192.0.2.77", SECRET_A);
    say(calls, "a", "b", "10.0.1.77", SECRET_B);
    say(calls, "d", "", "192.0.2.77", SECRET_A);
    return calls;
}

/* One SA and calls that no request may harm, but for sa-delete, sa-rekey and call-end. */
static void fill(struct core *core, struct relay *relay)
{
    struct admit_request request;

    if (!core_init(core, 8))
        abort();
    core_introduce(core, 0, 100, 100);
    core_request(&request, 1);
    if (!core_add(core, &request))
        abort();
    relay->core = core->inner;
    for (unsigned i = 0; i < relay->core.link_count; i++)
        relay->core.links[i].inner = &relay->core;
    relay->core.options.learns_ssrcs = true;
    relay->calls = make_calls(&relay->core);
}

/* Of what a call's SDP has nothing is shown, unless the request has it. */
static void check_hidden(const char *line, const uint8_t *data, size_t size)
{
    static const char *const hidden[] = {SECRET_A, SECRET_B, "hidden"};

    for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++) {
        if (strstr(line, hidden[i]) && !memmem(data, size, hidden[i], strlen(hidden[i])))
            abort();
    }
}

/* Whatever was asked: of the four SAs that there may be then, those that were there are whole. */
static void check(const struct relay *relay, const json_t *reply)
{
    size_t count = table_count(relay->core.table), calls = calls_count(relay->calls);
    const struct sa *sa = inner_find_sa((struct inner *)&relay->core, 1);

    if (json_is_false(json_object_get(reply, "ok")) &&
        (count != 3 || calls != 2 || !sa || sa->source.rtp.port != 1026 || sa->generation != 1 ||
         sa->old || !json_object_get(reply, "error")))
        abort();
    /* One more, one less, or those of a call less. */
    if (calls < 1 || calls > 2 || count > 4 || count < 1 || (calls == 2 && count < 2) ||
        (calls == 1 && !sa))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct relay relay;
    static struct daemon daemon;
    static struct core core;
    json_t *reply;
    char *line;

    if (!daemon.loop)
        start(&daemon, &relay);
    fill(&core, &relay);
    reply = control_answer(relay_commands, &daemon, (const char *)data, size);
    line = reply ? json_dumps(reply, JSON_COMPACT) : NULL;
    if (!line || strchr(line, '\n') || !json_is_boolean(json_object_get(reply, "ok")))
        abort();
    check_hidden(line, data, size);
    check(&relay, reply);
    free(line);
    json_decref(reply);
    calls_free(relay.calls);
    inner_fini(&relay.core);
    log_set_level(LOG_LEVEL_ERROR);
    return 0;
}
