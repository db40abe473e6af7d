/*
 * Requests of the ng protocol, one after another, to a core that takes calls: 0x1e octets stand
 * between the datagrams. Whatever comes, a datagram with a cookie has one reply that can be read,
 * and calls and SAs stay within their bounds.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/sa/table.h"
#include "inner-relay/calls.h"
#include "inner-relay/ng.h"
#include "inner-relay/ngmessage.h"
#include "tests/unit/core.h"

enum { SEPARATOR = 0x1e, CALLS = 3, SAS = 8, STEP_US = 1000000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The request's cookie, and a dictionary that says how it went. */
static void check_reply(const char *request, size_t cookie, char *reply, size_t length)
{
    struct ngmessage message;
    char error[BENCODE_ERROR_SIZE];
    const char *body;
    size_t body_length;

    if (length > NG_REPLY_MAX || length <= cookie || memcmp(request, reply, cookie + 1) != 0)
        abort();
    if (ngmessage_split(&message, reply, length, &body, &body_length) < 0 ||
        ngmessage_read(&message, body, body_length, error) < 0 ||
        !json_is_string(json_object_get(message.dict, "result")))
        abort();
    ngmessage_fini(&message);
}

static void ask(struct ng *ng, const char *request, size_t length, uint64_t now_us)
{
    const char *blank = memchr(request, ' ', length);
    size_t cookie = blank ? (size_t)(blank - request) : 0, reply_length = 0;
    bool answered = cookie > 0 && cookie <= NG_COOKIE_MAX && cookie + 1 < length;
    struct ng_asker asker = {.socket = 0};
    char *reply = ng_answer(ng, &asker, request, length, now_us, now_us, &reply_length);

    if ((reply != NULL) != answered)
        abort();
    if (reply)
        check_reply(request, cookie, reply, reply_length);
    ng_reply_free(reply, reply_length);
}

/* Rounds of what is done some time; a round that never ends is a hang, which the fuzzer sees. */
static void pass_time(struct core *core, struct calls *calls, struct ng *ng, uint64_t now_us)
{
    inner_tick(&core->inner);
    calls_tick(calls);
    ng_tick(ng, now_us);
    while (inner_work(&core->inner, now_us) || calls_work(calls, now_us))
        ;
    if (calls_count(calls) > CALLS || table_count(core->inner.table) > SAS)
        abort();
}

static void run(struct core *core, struct calls *calls, struct ng *ng, const char *data,
                size_t size)
{
    uint64_t now_us = STEP_US;

    for (size_t at = 0; at < size; now_us += STEP_US) {
        const char *end = memchr(data + at, SEPARATOR, size - at);
        size_t length = end ? (size_t)(end - data) - at : size - at;

        ask(ng, data + at, length, now_us);
        pass_time(core, calls, ng, now_us);
        at += length + 1;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct call_options options = {
        .offer_timeout_us = 5 * STEP_US, .call_max_us = 20 * STEP_US, .max_calls = CALLS};
    static bool started;
    static struct core core;
    struct calls *calls;
    struct ng *ng;

    if (!started && !core_start_engine())
        abort();
    started = true;
    log_set_level(LOG_LEVEL_ERROR);
    if (!core_init(&core, SAS))
        abort();
    core_introduce(&core, 0, SAS, SAS);
    calls = calls_new(&core.inner, &options);
    ng = calls ? ng_new(&core.inner, calls, 0) : NULL;
    if (!ng)
        abort();
    run(&core, calls, ng, (const char *)data, size);
    ng_free(ng);
    calls_free(calls);
    core_fini(&core);
    return 0;
}
