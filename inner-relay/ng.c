#define LOG_MODULE "ng"
#include "inner-relay/ng.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/random.h"
#include "common/daemon/reportvalue.h"
#include "inner-relay/ngcache.h"
#include "inner-relay/ngjson.h"
#include "inner-relay/ngmessage.h"
#include "inner-relay/ngquery.h"

enum {
    ERROR_SIZE = 256,
    LIST_DEFAULT = 32, /* calls, where nothing else is said */
    LIST_MAX = 1024,
    LIST_OCTETS = 60000, /* what a datagram holds, and a little less */
    LIST_STEPS = 2048,
    LOG_PER_SECOND = 10, /* refusals; an INVITE flood must not fill the disk */
};

struct ng {
    struct inner *inner;
    struct calls *calls;
    struct ngcache *cache;
    struct ng_counts counts;
    uint64_t started_us;
    unsigned logged; /* in this second */
};

/* A request that is being carried out. */
struct job {
    struct ng *ng;
    const struct ngmessage *message;
    uint64_t wall_us, now_us;
    json_t *reply;
    char error[ERROR_SIZE]; /* "": none */
    bool load_limit;
};

__attribute__((format(printf, 2, 3))) static void complain(struct job *job, const char *format, ...)
{
    va_list ap;

    if (job->error[0])
        return;
    va_start(ap, format);
    vsnprintf(job->error, sizeof(job->error), format, ap);
    va_end(ap);
}

/* ---------------------------------------------------------------- reading a request */

static const char *read_name(struct job *job, const char *key, bool needed)
{
    const char *text;
    int rc = ngmessage_text(job->message, key, CALL_TEXT_SIZE - 1, &text);

    if (rc == ERR_TOO_LONG)
        complain(job, "%s is longer than %d octets", key, CALL_TEXT_SIZE - 1);
    else if (rc < 0)
        complain(job, "%s is not a string, or has a NUL octet", key);
    else if (needed && text[0] == '\0')
        complain(job, "%s is missing", key);
    return text;
}

static void read_sdp(struct job *job, struct call_request *request)
{
    int rc = ngmessage_string(job->message, "sdp", &request->sdp, &request->sdp_length);

    if (rc == ERR_NOT_FOUND || (rc == 0 && request->sdp_length == 0))
        complain(job, "sdp is missing");
    else if (rc < 0)
        complain(job, "sdp is not a string");
}

/* [IP4, 192.0.2.1] */
static void read_received_from(struct job *job, struct addr *out)
{
    char family[NG_WORD_SIZE], address[NG_WORD_SIZE];

    if (!ngmessage_word(job->message, "received-from", 0, family))
        return;
    if (!ngmessage_word(job->message, "received-from", 1, address) ||
        (strcmp(family, "ip4") != 0 && strcmp(family, "ip6") != 0) ||
        addr_parse_ip(address, out) < 0)
        complain(job, "received-from is not a list of IP4 or IP6 and an address of it");
    /* An IPv4-mapped IPv6 address is IPv4 already. */
    if (out->family == 6 && strcmp(family, "ip4") == 0)
        complain(job, "received-from is an IPv6 address, but says IP4");
}

static void read_direction(struct job *job, enum sa_side direction[2])
{
    char word[NG_WORD_SIZE];

    for (size_t i = 0; ngmessage_word(job->message, "direction", i, word); i++) {
        if (i >= 2 || (strcmp(word, "internal") != 0 && strcmp(word, "external") != 0))
            complain(job, "direction is not a list of two, each internal or external: of who sends "
                          "the message, then of who gets it");
        else
            direction[i] = word[0] == 'i' ? SA_SIDE_INTERNAL : SA_SIDE_EXTERNAL;
    }
}

static void read_family(struct job *job, uint8_t *family)
{
    char word[NG_WORD_SIZE];

    if (!ngmessage_word(job->message, "address-family", 0, word))
        return;
    if (strcmp(word, "ip4") == 0)
        *family = 4;
    else if (strcmp(word, "ip6") == 0)
        *family = 6;
    else
        complain(job, "address-family is neither IP4 nor IP6");
}

static void read_flags(struct job *job, struct call_request *request)
{
    const struct ngmessage *message = job->message;

    request->replace_origin = ngmessage_has_word(message, "replace", "origin") ||
                              ngmessage_has_word(message, "flags", "replace-origin");
    request->replace_session_connection =
        ngmessage_has_word(message, "replace", "session-connection") ||
        ngmessage_has_word(message, "flags", "replace-session-connection");
    request->ice_remove = ngmessage_has_word(message, "ICE", "remove");
    request->assign_ssrc = ngmessage_has_word(message, "flags", "assign-ssrc");
}

/* What names a call and a branch of it. */
static void read_names(struct job *job, struct call_request *request)
{
    *request = (struct call_request){.call_id = read_name(job, "call-id", true),
                                     .from_tag = read_name(job, "from-tag", false),
                                     .to_tag = read_name(job, "to-tag", false),
                                     .via_branch = read_name(job, "via-branch", false),
                                     .sdp = ""};
}

static void read_request(struct job *job, struct call_request *request)
{
    read_names(job, request);
    (void)read_name(job, "from-tag", true);
    read_sdp(job, request);
    read_received_from(job, &request->received_from);
    read_direction(job, request->direction);
    read_family(job, &request->family);
    read_flags(job, request);
}

/* ---------------------------------------------------------------- commands */

static int run_ping(struct job *job)
{
    return json_object_set_new(job->reply, "result", json_string("pong"));
}

static void take_error(struct job *job, const struct call_error *error)
{
    job->load_limit = error->code == ERR_FULL;
    complain(job, "%s", error->text[0] ? error->text : err_text(error->code));
}

/* The SDP, and warnings and assigned SSRCs. */
static int take_reply(struct job *job, struct call_reply *reply)
{
    int rc =
        json_object_set_new(job->reply, "sdp", json_stringn_nocheck(reply->sdp, reply->sdp_length));

    if (reply->extra)
        rc += json_object_update(job->reply, reply->extra);
    calls_reply_free(reply);
    return rc;
}

typedef int call_function(struct calls *calls, const struct call_request *request, uint64_t wall_us,
                          uint64_t now_us, struct call_reply *reply, struct call_error *error);

static int run_sdp(struct job *job, const struct call_request *request, call_function *function)
{
    struct call_error error = {.code = 0};
    struct call_reply reply = {.sdp = NULL};

    if (job->error[0])
        return 0;
    if (function(job->ng->calls, request, job->wall_us, job->now_us, &reply, &error) < 0) {
        take_error(job, &error);
        return 0;
    }
    return take_reply(job, &reply);
}

static int run_offer(struct job *job)
{
    struct call_request request;

    read_request(job, &request);
    return run_sdp(job, &request, calls_offer);
}

static int run_answer(struct job *job)
{
    struct call_request request;

    read_request(job, &request);
    (void)read_name(job, "to-tag", true);
    return run_sdp(job, &request, calls_answer);
}

/* What is gone already is no error to a proxy that says so twice. */
static int run_delete(struct job *job)
{
    const struct ng *ng = job->ng;
    struct call_error error = {.code = 0};
    struct call_request request;
    const struct call *call;
    int rc = 0;

    read_names(job, &request);
    if (job->error[0])
        return 0;
    call = calls_find(ng->calls, request.call_id, calls_ending_tag(&request), "");
    if (call)
        rc = ngquery_call(ng->inner, call, job->reply);
    if (calls_delete(ng->calls, &request, job->now_us, &error) == 0 || rc < 0)
        return rc;
    if (error.code != ERR_NOT_FOUND || ngmessage_has_word(job->message, "flags", "fatal"))
        take_error(job, &error);
    else
        rc = json_object_set_new(job->reply, "warning",
                                 json_string("Call-ID not found or tags "
                                             "didn't match"));
    return rc;
}

static int run_query(struct job *job)
{
    struct call_request request;
    const struct call *call;

    read_names(job, &request);
    if (job->error[0])
        return 0;
    call = calls_find(job->ng->calls, request.call_id, request.from_tag, request.to_tag);
    if (call)
        return ngquery_call(job->ng->inner, call, job->reply);
    complain(job, "Unknown call-id");
    return 0;
}

/* In a list, at most. */
static size_t id_octets(const struct ngmessage *message, const char *call_id)
{
    size_t length = strlen(call_id);

    return message->json ? ngjson_string_octets(call_id, length) + 1 : length + 4;
}

/* No more than a turn may take, and a datagram hold. */
static int run_list(struct job *job)
{
    const struct ng *ng = job->ng;
    json_t *list = json_array();
    long long limit = LIST_DEFAULT;
    size_t at = 0, octets = 0, left = calls_count(ng->calls);
    const struct call *call;
    int rc = ngmessage_number(job->message, "limit", &limit);

    if (rc == ERR_INVALID || limit < 0)
        complain(job, "limit is not a number");
    if (limit > LIST_MAX)
        limit = LIST_MAX;
    while (left-- > 0 && json_array_size(list) < (size_t)limit &&
           (call = calls_next(ng->calls, &at)) != NULL) {
        octets += id_octets(job->message, call->call_id);
        if (octets > LIST_OCTETS)
            break;
        if (json_array_append_new(list,
                                  json_stringn_nocheck(call->call_id, strlen(call->call_id))) < 0)
            break;
    }
    return json_object_set_new(job->reply, "calls", list);
}

static json_t *command_counts(const struct ng *ng)
{
    json_t *counts = json_object();

    for (int i = 0; i < NG_COMMAND_COUNT; i++)
        json_object_set_new(counts, ng_command_name((enum ng_command)i),
                            json_integer((json_int_t)ng->counts.requests[i]));
    return counts;
}

static int run_statistics(struct job *job)
{
    const struct ng *ng = job->ng;
    const struct calls_counts *calls = calls_counts(ng->calls);
    json_t *statistics = json_pack(
        "{s:{s:o,s:o,s:o,s:o},s:{s:o,s:o,s:o,s:o,s:o,s:o,s:o},s:o}", "currentstatistics",
        "sessionsown", report_number(calls_count(ng->calls)), "sessionstotal",
        report_number(calls_count(ng->calls)), "maxsessions", report_number(calls_max(ng->calls)),
        "associations", report_number(table_count(ng->inner->table)), "totalstatistics", "uptime",
        report_number((job->now_us - ng->started_us) / 1000000), "offers",
        report_number(calls->offers), "answers", report_number(calls->answers), "deletes",
        report_number(calls->deletes), "rejectedsessions", report_number(calls->refused),
        "loadlimit", report_number(calls->load_limit), "timeoutsessions",
        report_number(calls->timeouts), "requests", command_counts(ng));

    return json_object_set_new(job->reply, "statistics", statistics);
}

static const struct {
    const char *name;
    int (*run)(struct job *job);
} commands[] = {
    [NG_PING] = {"ping", run_ping},
    [NG_OFFER] = {"offer", run_offer},
    [NG_ANSWER] = {"answer", run_answer},
    [NG_DELETE] = {"delete", run_delete},
    [NG_QUERY] = {"query", run_query},
    [NG_LIST] = {"list", run_list},
    [NG_STATISTICS] = {"statistics", run_statistics},
    [NG_OTHER] = {"other", NULL},
};

const char *ng_command_name(enum ng_command command)
{
    return commands[command].name;
}

static enum ng_command command_of(const struct ngmessage *message)
{
    const char *name = json_string_value(json_object_get(message->dict, "command"));
    int i = 0;

    while (name && i < NG_OTHER && strcmp(commands[i].name, name) != 0)
        i++;
    return name ? (enum ng_command)i : NG_OTHER;
}

/* ---------------------------------------------------------------- the reply */

static json_t *text_of_any(const char *text)
{
    return json_stringn_nocheck(text, strlen(text));
}

/*
 * The proxy goes on to its next relay at "load limit", if it knows that, or at this exact reason.
 */
static json_t *refusal(struct job *job)
{
    json_t *reply = json_object();

    if (!job->load_limit) {
        json_object_set_new(reply, "result", json_string("error"));
        json_object_set_new(reply, "error-reason", text_of_any(job->error));
        return reply;
    }
    job->ng->counts.load_limit++;
    if (ngmessage_has_word(job->message, "supports", "load-limit")) {
        json_object_set_new(reply, "result", json_string("load limit"));
    } else {
        json_object_set_new(reply, "result", json_string("error"));
        json_object_set_new(reply, "error-reason", json_string("Parallel session limit reached"));
    }
    json_object_set_new(reply, "message", text_of_any(job->error));
    return reply;
}

static void log_refusal(struct job *job, enum ng_command command)
{
    const char *call_id = "";

    if (++job->ng->logged > LOG_PER_SECOND)
        return;
    (void)ngmessage_text(job->message, "call-id", CALL_TEXT_SIZE - 1, &call_id);
    log_info("%s of call \"%.100s\" is refused: %s%s", ng_command_name(command), call_id,
             job->error, job->ng->logged == LOG_PER_SECOND ? " (others follow unsaid)" : "");
}

/* The reply's dictionary; NULL without memory. */
static json_t *carry_out(struct job *job)
{
    enum ng_command command = job->error[0] ? NG_OTHER : command_of(job->message);
    int rc = 0;

    job->ng->counts.requests[command]++;
    job->reply = json_pack("{s:s}", "result", "ok");
    if (!job->reply)
        return NULL;
    if (command != NG_OTHER)
        rc = commands[command].run(job);
    else
        complain(job, "Unrecognized command");
    if (rc < 0)
        complain(job, "%s", err_text(ERR_NOMEM));
    if (!job->error[0])
        return job->reply;
    job->ng->counts.errors++;
    log_refusal(job, command);
    json_decref(job->reply);
    return refusal(job);
}

static char *answer(struct ng *ng, struct ngmessage *message, const char *body, size_t length,
                    uint64_t wall_us, uint64_t now_us, size_t *reply_length)
{
    struct job job = {.ng = ng, .message = message, .wall_us = wall_us, .now_us = now_us};
    char why[BENCODE_ERROR_SIZE], *reply;

    if (ngmessage_read(message, body, length, why) < 0)
        complain(&job, "%s: %s", message->json ? "JSON" : "bencode", why);
    reply = ngmessage_reply(message, carry_out(&job), reply_length);
    ngmessage_fini(message);
    return reply;
}

static char *copy_of(const char *octets, size_t length)
{
    char *copy = malloc(length ? length : 1);

    if (copy)
        memcpy(copy, octets, length);
    return copy;
}

char *ng_answer(struct ng *ng, const struct ng_asker *asker, const char *request, size_t length,
                uint64_t wall_us, uint64_t now_us, size_t *reply_length)
{
    struct ngmessage message = {.cookie = request};
    struct ngcache_key key;
    const char *body = request, *kept;
    size_t body_length = length;
    char *reply;

    if (asker->stream)
        return answer(ng, &message, body, body_length, wall_us, now_us, reply_length);
    if (ngmessage_split(&message, request, length, &body, &body_length) < 0) {
        ng->counts.dropped++;
        return NULL;
    }
    key = (struct ngcache_key){asker->socket, asker->from, message.cookie_length, request, length};
    kept = ngcache_find(ng->cache, &key, now_us, reply_length);
    if (kept) {
        ng->counts.repeats++;
        return copy_of(kept, *reply_length);
    }
    reply = answer(ng, &message, body, body_length, wall_us, now_us, reply_length);
    if (reply)
        ngcache_put(ng->cache, &key, reply, *reply_length, now_us);
    return reply;
}

/* ---------------------------------------------------------------- all of it */

struct ng *ng_new(struct inner *inner, struct calls *calls, uint64_t now_us)
{
    struct ng *ng = calloc(1, sizeof(*ng));

    if (!ng)
        return NULL;
    ng->inner = inner;
    ng->calls = calls;
    ng->started_us = now_us;
    ng->cache = ngcache_new();
    if (ng->cache)
        return ng;
    free(ng);
    return NULL;
}

void ng_free(struct ng *ng)
{
    if (ng)
        ngcache_free(ng->cache);
    free(ng);
}

void ng_reply_free(char *reply, size_t length)
{
    if (reply)
        wipe(reply, length);
    free(reply);
}

void ng_tick(struct ng *ng, uint64_t now_us)
{
    ng->logged = 0;
    (void)ng_work(ng, now_us);
}

bool ng_work(struct ng *ng, uint64_t now_us)
{
    return ngcache_work(ng->cache, now_us);
}

const struct ng_counts *ng_counts(const struct ng *ng)
{
    return &ng->counts;
}
