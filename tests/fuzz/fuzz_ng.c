/*
 * Requests of the ng protocol, one after another, to a core that takes calls: 0x1e octets stand
 * between the datagrams. Whatever comes, a datagram with a cookie has one reply that can be read,
 * calls and SAs stay within their bounds, each SA is one that a line of a call knows, and parties
 * are partners of each other. It ends with a restart, after which all of it times out.
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

enum { SEPARATOR = 0x1e, CALLS = 4, SAS = 16, STEP_US = 1000000 };

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

static size_t check_party(struct core *core, const struct call *call, unsigned number)
{
    const struct call_party *party = call->party[number];
    size_t sas = 0;

    if (party->partner >= (int)call->party_count || party->hub >= (int)call->party_count)
        abort();
    if (party->partner >= 0 && call->party[party->partner]->partner != (int)number)
        abort();
    for (unsigned i = 0; i < party->line_count; i++)
        sas += party->line[i].sa && inner_find_sa(&core->inner, party->line[i].sa);
    return sas;
}

static void check_stages(const struct call *call)
{
    size_t octets = 0;

    for (unsigned i = 0; i < call->stage_count; i++) {
        const struct call_stage *stage = call->stage[i];

        octets += stage->sdp_length;
        if (stage->offerer >= call->party_count)
            abort();
        for (unsigned k = 0; k < stage->answer_count; k++) {
            if (stage->answer[k].party >= (int)call->party_count)
                abort();
        }
    }
    if (octets != call->octets)
        abort();
}

static void check_calls(struct core *core, struct calls *calls)
{
    size_t at = 0, sas = 0, reserved = 0, staged = 0;
    struct call *call;

    while ((call = calls_next(calls, &at)) != NULL) {
        for (unsigned i = 0; i < call->party_count; i++)
            sas += check_party(core, call, i);
        check_stages(call);
        staged += call_octets_above(call->octets);
        reserved += call->reserved;
    }
    if (calls_count(calls) > CALLS || table_count(core->inner.table) > SAS)
        abort();
    if (sas != table_count(core->inner.table) || reserved != calls->reserved ||
        staged != calls->staged)
        abort();
}

/* Rounds of what is done some time; a round that never ends is a hang, which the fuzzer sees. */
static void pass_time(struct core *core, struct calls *calls, struct ng *ng, uint64_t now_us)
{
    inner_tick(&core->inner);
    calls_tick(calls);
    ng_tick(ng, now_us);
    while (inner_work(&core->inner, now_us) || calls_work(calls, now_us) || ng_work(ng, now_us))
        ;
}

/* Returns when it was over. */
static uint64_t run(struct core *core, struct calls *calls, struct ng *ng, const char *data,
                    size_t size)
{
    uint64_t now_us = STEP_US;

    for (size_t at = 0; at < size; now_us += STEP_US) {
        const char *end = memchr(data + at, SEPARATOR, size - at);
        size_t length = end ? (size_t)(end - data) - at : size - at;

        ask(ng, data + at, length, now_us);
        check_calls(core, calls);
        pass_time(core, calls, ng, now_us);
        check_calls(core, calls);
        at += length + 1;
    }
    return now_us;
}

/* The SAs stay, as from the state file. */
static void restart(struct core *core, const struct call_options *options, uint64_t now_us)
{
    struct calls *calls = calls_new(&core->inner, options);
    struct ng *ng = calls ? ng_new(&core->inner, calls, now_us) : NULL;

    if (!ng)
        abort();
    calls_restore(calls, now_us, now_us);
    check_calls(core, calls);
    pass_time(core, calls, ng, now_us + 2 * options->call_max_us);
    if (calls_count(calls) > 0 || table_count(core->inner.table) > 0)
        abort();
    ng_free(ng);
    calls_free(calls);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct call_options options = {
        .offer_timeout_us = 5 * STEP_US, .call_max_us = 20 * STEP_US, .max_calls = CALLS};
    static bool started;
    static struct core core;
    struct calls *calls;
    struct ng *ng;
    uint64_t now_us;

    if (!started && !core_start_engine())
        abort();
    started = true;
    log_set_level(LOG_LEVEL_ERROR);
    if (!core_init(&core, SAS))
        abort();
    core_introduce(&core, 0, SAS, SAS);
    core.inner.links[0].peer.features = FEATURE_HAIRPIN;
    core.inner.options.learns_ssrcs = true;
    core.inner.options.source_policy = SOURCE_HINTED;
    calls = calls_new(&core.inner, &options);
    ng = calls ? ng_new(&core.inner, calls, 0) : NULL;
    if (!ng)
        abort();
    now_us = run(&core, calls, ng, (const char *)data, size);
    ng_free(ng);
    calls_free(calls);
    restart(&core, &options, now_us);
    core_fini(&core);
    return 0;
}
