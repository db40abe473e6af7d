#define LOG_MODULE "calls"
#include "inner-relay/callcommands.h"

#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/daemon/reportvalue.h"
#include "inner-relay/callexplain.h"
#include "inner-relay/callreport.h"
#include "inner-relay/relay.h"
#include "inner-relay/sitecommands.h"

/*
 * One reply has at most so many calls; it ends earlier when so many places of the table, or m=
 * lines, have been looked at: a turn of the event loop is to be short.
 */
enum {
    PAGE_CALLS = 16,
    PAGE_SLOTS = 4096,
    PAGE_LOOKS = 256,
    SHOWN_CALLS = 8,
    SHOWN_LINES = 48,
    NAMED_CALLS = 4
};

/* ------------------------------------------------------------ call list */

/* A whole number from 1 on; *out stays when it is not there. False: *refusal is the answer. */
static bool get_positive(const json_t *request, const char *name, size_t *out, json_t **refusal)
{
    const json_t *value = json_object_get(request, name);

    if (!value || json_is_null(value))
        return true;
    if (json_integer_value(value) < 1 || json_integer_value(value) > UINT32_MAX) {
        *refusal = control_refuse(name, "a whole number from 1 on is needed");
        return false;
    }
    *out = (size_t)json_integer_value(value);
    return true;
}

/* One between sites says with whom, and its own state. */
static json_t *row_of(const struct relay *relay, const struct call *call, uint64_t now_us,
                      size_t *looks)
{
    json_t *row = callreport_row(relay->calls, call, now_us, looks);

    sitecommands_add(row, relay, call);
    return row;
}

/* "after" counts down, as that of sa-list: the places of the table that are left. */
json_t *callcommands_list(void *ctx, const json_t *request)
{
    const struct calls *calls = relay_of(ctx)->calls;
    size_t left = calls->max, limit = PAGE_CALLS, after = left, slots = PAGE_SLOTS, looks = 0;
    uint64_t now_us = clock_now_us();
    json_t *rows, *refusal;

    if (!get_positive(request, "after", &after, &refusal) ||
        !get_positive(request, "limit", &limit, &refusal))
        return refusal;
    if (limit > PAGE_CALLS)
        limit = PAGE_CALLS;
    if (left > after)
        left = after;
    rows = json_array();
    while (left > 0 && slots-- > 0 && looks < PAGE_LOOKS && json_array_size(rows) < limit) {
        const struct call *call = calls->slot[calls->max - left--];

        if (call)
            json_array_append_new(rows, row_of(relay_of(ctx), call, now_us, &looks));
    }
    return json_pack("{s:b,s:o,s:o}", "ok", 1, "calls", rows, "next",
                     left ? report_number(left) : json_null());
}

/* ------------------------------------------------------------ the call that is meant */

/* What a request says of it. tag "": any. */
struct wanted {
    const char *call_id, *tag;
};

static json_t *read_wanted(const json_t *request, struct wanted *wanted)
{
    const json_t *tag = json_object_get(request, "tag");

    wanted->call_id = json_string_value(json_object_get(request, "call_id"));
    wanted->tag = tag && !json_is_null(tag) ? json_string_value(tag) : "";
    if (!wanted->call_id || !wanted->call_id[0])
        return control_refuse("call_id", "a Call-ID is needed; \"relayctl call list\" shows them");
    if (!wanted->tag || (json_is_string(tag) && !wanted->tag[0]))
        return control_refuse("tag", "the tag of a party is needed, or none");
    return NULL;
}

static struct call *next_wanted(struct call *call, const struct wanted *wanted)
{
    while (call && !call_has_tag(call, wanted->tag, ""))
        call = calls_find_next(call);
    return call;
}

static struct call *first_wanted(const struct calls *calls, const struct wanted *wanted)
{
    return next_wanted(calls_find(calls, wanted->call_id, "", ""), wanted);
}

static json_t *refuse_unknown(const struct calls *calls, const struct wanted *wanted)
{
    if (wanted->tag[0] && calls_find(calls, wanted->call_id, "", ""))
        return control_refuse("tag",
                              "no call with this Call-ID has a party with this tag; \"relayctl "
                              "call show\" without a tag shows which there are");
    return control_refuse("call_id",
                          "there is no call with this Call-ID (any more); \"relayctl call list\" "
                          "shows those there are");
}

/* ------------------------------------------------------------ call show, explain */

typedef json_t *tell_fn(struct calls *calls, const struct call *call, uint64_t now_us,
                        size_t *lines);

static json_t *told(const struct relay *relay, tell_fn *tell, const struct call *call,
                    uint64_t now_us, size_t *lines)
{
    json_t *row = tell(relay->calls, call, now_us, lines);

    if (tell == callreport_full)
        sitecommands_add(row, relay, call);
    return row;
}

/* "more": how many calls are not in it, because there are too many. */
static json_t *tell_each(void *ctx, const json_t *request, tell_fn *tell)
{
    struct calls *calls = relay_of(ctx)->calls;
    uint64_t now_us = clock_now_us(), more = 0;
    size_t lines = SHOWN_LINES;
    struct wanted wanted;
    json_t *refusal = read_wanted(request, &wanted), *rows;
    struct call *call;

    if (refusal)
        return refusal;
    call = first_wanted(calls, &wanted);
    if (!call)
        return refuse_unknown(calls, &wanted);
    rows = json_array();
    for (; call; call = next_wanted(calls_find_next(call), &wanted)) {
        if (json_array_size(rows) < SHOWN_CALLS && lines > 0)
            json_array_append_new(rows, told(relay_of(ctx), tell, call, now_us, &lines));
        else
            more++;
    }
    return json_pack("{s:b,s:o,s:o}", "ok", 1, "calls", rows, "more", report_number(more));
}

json_t *callcommands_show(void *ctx, const json_t *request)
{
    return tell_each(ctx, request, callreport_full);
}

static json_t *explained(struct calls *calls, const struct call *call, uint64_t now_us,
                         size_t *lines)
{
    struct callexplain out;
    json_t *ids = json_array();

    (void)lines;
    callexplain(calls, call, now_us, &out);
    for (size_t i = 0; i < out.sa_count; i++)
        json_array_append_new(ids, report_number(out.sa[i]));
    return json_pack("{s:o,s:o,s:o,s:s,s:o,s:o,s:o}", "call_id", callreport_text(call->call_id),
                     "number", report_number(call->number), "tags", callreport_tags(call), "cause",
                     out.cause, "text", out.text[0] ? callreport_text(out.text) : json_string(""),
                     "check", out.check[0] ? callreport_text(out.check) : json_string(""), "sas",
                     ids);
}

json_t *callcommands_explain(void *ctx, const json_t *request)
{
    return tell_each(ctx, request, explained);
}

/* ------------------------------------------------------------ call end */

/* One tag of each call will do: "a7, 9z, ..." */
static json_t *refuse_several(struct call *call, const struct wanted *wanted)
{
    char names[NAMED_CALLS * 68 + 8] = "";
    size_t count = 0, used = 0;

    for (; call; call = next_wanted(calls_find_next(call), wanted), count++) {
        const char *tag = "(none known)";

        for (unsigned i = call->party_count; i-- > 0;)
            tag = call->party[i]->tag && call->party[i]->tag[0] ? call->party[i]->tag : tag;
        if (count < NAMED_CALLS)
            used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%.64s",
                                     count ? ", " : "", tag);
        else if (count == NAMED_CALLS)
            snprintf(names + used, sizeof(names) - used, ", ...");
    }
    return control_refuse("tag",
                          "%zu calls have this Call-ID; the tag of a party says which one is "
                          "meant: %s",
                          count, names);
}

static size_t count_sas(const struct calls *calls, const struct call *call)
{
    size_t count = 0;

    for (unsigned i = 0; i < call->party_count; i++) {
        for (unsigned k = 0; k < call->party[i]->line_count; k++) {
            uint64_t id = call->party[i]->line[k].sa;

            count += id && inner_find_sa(calls->inner, id);
        }
    }
    return count;
}

json_t *callcommands_end(void *ctx, const json_t *request)
{
    struct calls *calls = relay_of(ctx)->calls;
    struct wanted wanted;
    json_t *refusal = read_wanted(request, &wanted), *reply;
    struct call *call;

    if (refusal)
        return refusal;
    call = first_wanted(calls, &wanted);
    if (!call)
        return refuse_unknown(calls, &wanted);
    if (next_wanted(calls_find_next(call), &wanted))
        return refuse_several(call, &wanted);
    reply = json_pack("{s:b,s:o,s:o,s:o}", "ok", 1, "number", report_number(call->number), "tags",
                      callreport_tags(call), "sas", report_number(count_sas(calls, call)));
    log_info("call %llu ended: by relayctl", (unsigned long long)call->number);
    calls->counts.ended++;
    if (!sitecommands_end(relay_of(ctx), call))
        calls_end(calls, call, clock_now_us());
    return reply;
}

/* ------------------------------------------------------------ status, stats */

void callcommands_add_status(json_t *status, const struct calls *calls)
{
    json_object_set_new(status, "calls", report_number(calls ? calls_count(calls) : 0));
    json_object_set_new(status, "calls_offered", report_number(calls ? calls->offered : 0));
    json_object_set_new(status, "max_calls", report_number(calls ? calls_max(calls) : 0));
}

void callcommands_add_counters(json_t *counters, const struct calls *calls)
{
    static const struct calls_counts none;
    const struct calls_counts *counts = calls ? calls_counts(calls) : &none;

    json_object_set_new(counters, "calls", report_number(calls ? calls_count(calls) : 0));
    json_object_set_new(counters, "calls_offered", report_number(calls ? calls->offered : 0));
    json_object_set_new(counters, "calls_timeouts", report_number(counts->timeouts));
    json_object_set_new(counters, "calls_ended", report_number(counts->ended));
}
