/*
 * The commands of the ng protocol. What they make of calls is the linker's: it puts functions here
 * in place of those of calls.c, which note what they were asked.
 */
#include "config.h"

#include "inner-relay/ng.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "inner-relay/ngmessage.h"
#include "tests/unit/core.h"
#include "tests/unit/unit.h"

enum { FILE_MAX_OCTETS = 65536, WALL_S = 1795271820, CALLS_MAX = 40 };

/* What calls.c was asked last, and what it is to say. */
static struct {
    unsigned offers, answers, deletes;
    char call_id[64], from_tag[64], to_tag[64], via_branch[64];
    char sdp[FILE_MAX_OCTETS];
    struct call_request request;
    int code; /* of the next one */
    const char *text;
    json_t *extra;
    struct call *found;
    size_t calls;
    size_t id_more; /* octets before each Call-ID */
} seen;

int __wrap_calls_offer(struct calls *calls, const struct call_request *request, uint64_t wall_us,
                       uint64_t now_us, struct call_reply *reply, struct call_error *error);
int __wrap_calls_answer(struct calls *calls, const struct call_request *request, uint64_t wall_us,
                        uint64_t now_us, struct call_reply *reply, struct call_error *error);
int __wrap_calls_delete(struct calls *calls, const struct call_request *request, uint64_t now_us,
                        struct call_error *error);
struct call *__wrap_calls_find(const struct calls *calls, const char *call_id, const char *tag,
                               const char *other_tag);
size_t __wrap_calls_count(const struct calls *calls);
struct call *__wrap_calls_next(const struct calls *calls, size_t *at);

static void note(const struct call_request *request)
{
    seen.request = *request;
    snprintf(seen.call_id, sizeof(seen.call_id), "%s", request->call_id);
    snprintf(seen.from_tag, sizeof(seen.from_tag), "%s", request->from_tag);
    snprintf(seen.to_tag, sizeof(seen.to_tag), "%s", request->to_tag);
    snprintf(seen.via_branch, sizeof(seen.via_branch), "%s", request->via_branch);
    ck_assert_uint_lt(request->sdp_length, sizeof(seen.sdp));
    memcpy(seen.sdp, request->sdp, request->sdp_length);
    seen.sdp[request->sdp_length] = '\0';
}

static int say(struct call_error *error)
{
    error->code = seen.code;
    snprintf(error->text, sizeof(error->text), "%s", seen.text ? seen.text : "");
    return seen.code;
}

/* The SDP comes back with a line more. */
int __wrap_calls_offer(struct calls *calls, const struct call_request *request, uint64_t wall_us,
                       uint64_t now_us, struct call_reply *reply, struct call_error *error)
{
    (void)calls;
    (void)now_us;
    ck_assert_uint_eq(wall_us / 1000000, WALL_S);
    note(request);
    seen.offers++;
    if (seen.code < 0)
        return say(error);
    reply->sdp_length = request->sdp_length + 5;
    reply->sdp = malloc(reply->sdp_length);
    memcpy(reply->sdp, request->sdp, request->sdp_length);
    memcpy(reply->sdp + request->sdp_length, "a=x\r\n", 5);
    reply->extra = json_incref(seen.extra);
    return 0;
}

int __wrap_calls_answer(struct calls *calls, const struct call_request *request, uint64_t wall_us,
                        uint64_t now_us, struct call_reply *reply, struct call_error *error)
{
    seen.answers++;
    seen.offers--;
    return __wrap_calls_offer(calls, request, wall_us, now_us, reply, error);
}

int __wrap_calls_delete(struct calls *calls, const struct call_request *request, uint64_t now_us,
                        struct call_error *error)
{
    (void)calls;
    (void)now_us;
    note(request);
    seen.deletes++;
    return seen.code < 0 ? say(error) : 0;
}

struct call *__wrap_calls_find(const struct calls *calls, const char *call_id, const char *tag,
                               const char *other_tag)
{
    (void)calls;
    (void)tag;
    (void)other_tag;
    return seen.found && strcmp(seen.found->call_id, call_id) == 0 ? seen.found : NULL;
}

size_t __wrap_calls_count(const struct calls *calls)
{
    (void)calls;
    return seen.calls;
}

struct call *__wrap_calls_next(const struct calls *calls, size_t *at)
{
    static struct call call;
    static char id[CALL_TEXT_SIZE];

    (void)calls;
    /* Behind the last one there may be many places without a call. */
    ck_assert_uint_lt(*at, seen.calls);
    memset(id, 0xfc, sizeof(id));
    snprintf(id + seen.id_more, sizeof(id) - seen.id_more, "call\xfc-%zu", (*at)++);
    call.call_id = id;
    return &call;
}

/* ---------------------------------------------------------------- asking */

static struct core core;
static struct calls *calls;
static struct ng *ng;
static char reply[NG_REPLY_MAX + 1];

static void set_up(void)
{
    static const struct call_options options = {.max_calls = 10};

    memset(&seen, 0, sizeof(seen));
    ck_assert(core_start_engine());
    ck_assert(core_init(&core, 8));
    calls = calls_new(&core.inner, &options);
    ng = ng_new(&core.inner, calls, 0);
    ck_assert(calls && ng);
    log_set_level(LOG_LEVEL_ERROR);
}

static void tear_down(void)
{
    ng_free(ng);
    calls_free(calls);
    core_fini(&core);
    core_stop_engine();
}

/* NULL when nothing was answered. */
static const char *ask_from(const struct ng_asker *asker, const char *request, size_t length,
                            uint64_t now_us)
{
    size_t reply_length = 0;
    char *copy = malloc(length ? length : 1), *answer;

    memcpy(copy, request, length);
    answer = ng_answer(ng, asker, copy, length, (uint64_t)WALL_S * 1000000, now_us, &reply_length);
    free(copy);
    if (!answer)
        return NULL;
    ck_assert_uint_le(reply_length, NG_REPLY_MAX);
    memcpy(reply, answer, reply_length);
    reply[reply_length] = '\0';
    ng_reply_free(answer, reply_length);
    return reply;
}

static const char *ask(const char *request)
{
    struct ng_asker asker = {.socket = 0};

    return ask_from(&asker, request, strlen(request), 0);
}

/* ---------------------------------------------------------------- rows */

#define SDP  "\"sdp\":\"v=0\\r\\n\""
#define TAGS "\"call-id\":\"i\",\"from-tag\":\"f\""
#define FULL TAGS "," SDP

static const struct {
    const char *request, *reply;
} rows[] = {
    {"c d7:command4:pinge", "c d6:result4:ponge"},
    {"c {\"command\":\"ping\"}", "c {\"result\":\"pong\"}"},
    {"c d7:command4:Pinge", "c d6:result5:error12:error-reason20:Unrecognized commande"},
    {"c de", "c d6:result5:error12:error-reason20:Unrecognized commande"},
    {"c {\"command\":[\"ping\"]}",
     "c {\"result\":\"error\",\"error-reason\":\"Unrecognized command\"}"},
    {"c {\"command\":\"other\"}",
     "c {\"result\":\"error\",\"error-reason\":\"Unrecognized command\"}"},
    {"c {\"command\":\"ping\"",
     "c {\"result\":\"error\",\"error-reason\":\"JSON: octet 17: it ends too early\"}"},
    {"c hello", "c d6:result5:error12:error-reason69:bencode: octet 0: neither a string, a number, "
                "a list nor a dictionarye"},
    {"c {\"command\":\"offer\",\"from-tag\":\"f\"," SDP "}",
     "c {\"result\":\"error\",\"error-reason\":\"call-id is missing\"}"},
    {"c {\"command\":\"offer\",\"call-id\":\"i\"," SDP "}",
     "c {\"result\":\"error\",\"error-reason\":\"from-tag is missing\"}"},
    {"c {\"command\":\"offer\"," TAGS "}",
     "c {\"result\":\"error\",\"error-reason\":\"sdp is missing\"}"},
    {"c {\"command\":\"offer\"," TAGS ",\"sdp\":\"\"}",
     "c {\"result\":\"error\",\"error-reason\":\"sdp is missing\"}"},
    {"c {\"command\":\"offer\"," TAGS ",\"sdp\":[\"v=0\"]}",
     "c {\"result\":\"error\",\"error-reason\":\"sdp is not a string\"}"},
    {"c {\"command\":\"offer\",\"call-id\":7,\"from-tag\":\"f\"," SDP "}",
     "c {\"result\":\"error\",\"error-reason\":\"call-id is not a string, or has a NUL octet\"}"},
    {"c {\"command\":\"answer\"," FULL "}",
     "c {\"result\":\"error\",\"error-reason\":\"to-tag is missing\"}"},
    {"c {\"command\":\"offer\"," FULL ",\"direction\":[\"internal\",\"pub\"]}",
     "c {\"result\":\"error\",\"error-reason\":\"direction is not a list of two, each internal or "
     "external: of who sends the message, then of who gets it\"}"},
    {"c {\"command\":\"offer\"," FULL ",\"direction\":[\"internal\",\"external\",\"internal\"]}",
     "c {\"result\":\"error\",\"error-reason\":\"direction is not a list of two, each internal or "
     "external: of who sends the message, then of who gets it\"}"},
    {"c {\"command\":\"offer\"," FULL ",\"received-from\":[\"IP4\"]}",
     "c {\"result\":\"error\",\"error-reason\":\"received-from is not a list of IP4 or IP6 and an "
     "address of it\"}"},
    {"c {\"command\":\"offer\"," FULL ",\"received-from\":[\"IP4\",\"phone\"]}",
     "c {\"result\":\"error\",\"error-reason\":\"received-from is not a list of IP4 or IP6 and an "
     "address of it\"}"},
    {"c {\"command\":\"offer\"," FULL ",\"received-from\":[\"IP4\",\"::1\"]}",
     "c {\"result\":\"error\",\"error-reason\":\"received-from is an IPv6 address, but says "
     "IP4\"}"},
    {"c {\"command\":\"offer\"," FULL ",\"address-family\":\"IPv6\"}",
     "c {\"result\":\"error\",\"error-reason\":\"address-family is neither IP4 nor IP6\"}"},
    {"c {\"command\":\"offer\"," FULL "}", "c {\"result\":\"ok\",\"sdp\":\"v=0\\r\\na=x\\r\\n\"}"},
    {"c d7:command5:offer7:call-id1:i8:from-tag1:f3:sdp8:s=M\xfcl\x01\r\ne",
     "c d6:result2:ok3:sdp13:s=M\xfcl\x01\r\na=x\r\ne"},
    {"c {\"command\":\"delete\"}",
     "c {\"result\":\"error\",\"error-reason\":\"call-id is missing\"}"},
    {"c {\"command\":\"delete\"," TAGS "}", "c {\"result\":\"ok\"}"},
    {"c {\"command\":\"query\",\"call-id\":\"i\"}",
     "c {\"result\":\"error\",\"error-reason\":\"Unknown call-id\"}"},
    {"c {\"command\":\"list\"}", "c {\"result\":\"ok\",\"calls\":[]}"},
    {"c {\"command\":\"list\",\"limit\":-1}",
     "c {\"result\":\"error\",\"error-reason\":\"limit is not a number\"}"},
};

START_TEST(test_rows)
{
    set_up();
    ck_assert_str_eq(ask(rows[_i].request), rows[_i].reply);
    tear_down();
}
END_TEST

START_TEST(test_dropped)
{
    static const char *const requests[] = {"", " ", "c", "c ", "d7:command4:pinge", " d4:pinge"};

    set_up();
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
        ck_assert_ptr_null(ask(requests[i]));
    ck_assert_uint_eq(ng_counts(ng)->dropped, sizeof(requests) / sizeof(requests[0]));
    tear_down();
}
END_TEST

START_TEST(test_stream)
{
    struct ng_asker asker = {.stream = true};

    set_up();
    ck_assert_str_eq(ask_from(&asker, "d7:command4:pinge", 17, 0), "d6:result4:ponge");
    ck_assert_str_eq(ask_from(&asker, "{\"command\":\"ping\"}", 18, 0), "{\"result\":\"pong\"}");
    tear_down();
}
END_TEST

/* ---------------------------------------------------------------- repeats */

START_TEST(test_repeats)
{
    static const char offer[] = "c1 {\"command\":\"offer\"," FULL "}";
    struct ng_asker asker = {.socket = 0};
    char first[256];

    set_up();
    snprintf(first, sizeof(first), "%s", ask(offer));
    ck_assert_uint_eq(seen.offers, 1);
    for (int i = 0; i < 5; i++)
        ck_assert_str_eq(ask(offer), first);
    ck_assert_uint_eq(seen.offers, 1);
    ck_assert_uint_eq(ng_counts(ng)->repeats, 5);
    /* Another proxy with the same cookie, or another cookie: another request. */
    asker.from.port = 7;
    ck_assert_str_eq(ask_from(&asker, offer, strlen(offer), 0), first);
    ck_assert_uint_eq(seen.offers, 2);
    ck_assert_str_eq(ask("c2 {\"command\":\"offer\"," FULL "}") + 2, first + 2);
    ck_assert_uint_eq(seen.offers, 3);
    asker.from.port = 0;
    (void)ask_from(&asker, offer, strlen(offer), 11000000);
    ck_assert_uint_eq(seen.offers, 4);
    tear_down();
}
END_TEST

/* ---------------------------------------------------------------- errors */

static const struct {
    const char *supports; /* with its comma */
    const char *command, *flags;
    int code;
    const char *reply; /* without cookie and brace */
} errors[] = {
    {"", "offer", "", ERR_INVALID, "\"result\":\"error\",\"error-reason\":\"why \xc3\xa4\""},
    {"\"supports\":[\"load limit\"],", "offer", "", ERR_FULL,
     "\"result\":\"load limit\",\"message\":\"why \xc3\xa4\""},
    {"\"supports\":[\"x\"],", "offer", "", ERR_FULL,
     "\"result\":\"error\",\"error-reason\":\"Parallel session limit "
     "reached\",\"message\":\"why \xc3\xa4\""},
    {"", "delete", "", ERR_NOT_FOUND,
     "\"result\":\"ok\",\"warning\":\"Call-ID not found or tags didn't match\""},
    {"", "delete", ",\"flags\":[\"fatal\"]", ERR_NOT_FOUND,
     "\"result\":\"error\",\"error-reason\":\"why \xc3\xa4\""},
    {"", "delete", "", ERR_INVALID, "\"result\":\"error\",\"error-reason\":\"why \xc3\xa4\""},
};

START_TEST(test_errors)
{
    char request[512], wanted[512];

    set_up();
    seen.code = errors[_i].code;
    seen.text = "why \xc3\xa4";
    snprintf(request, sizeof(request), "c {%s\"command\":\"%s\"," FULL "%s}", errors[_i].supports,
             errors[_i].command, errors[_i].flags);
    snprintf(wanted, sizeof(wanted), "c {%s}", errors[_i].reply);
    ck_assert_str_eq(ask(request), wanted);
    ck_assert_uint_eq(ng_counts(ng)->load_limit, errors[_i].code == ERR_FULL);
    tear_down();
}
END_TEST

/* Warnings and assigned SSRCs come with the SDP. */
START_TEST(test_extra)
{
    set_up();
    seen.extra = json_pack("{s:[s],s:[i,i]}", "warnings", "line 1: T.38", "assigned-ssrc", 0, 77);
    ck_assert_str_eq(ask("c {\"command\":\"offer\"," FULL "}"),
                     "c {\"result\":\"ok\",\"sdp\":\"v=0\\r\\na=x\\r\\n\",\"warnings\":[\"line 1: "
                     "T.38\"],\"assigned-ssrc\":[0,77]}");
    json_decref(seen.extra);
    tear_down();
}
END_TEST

/* ---------------------------------------------------------------- flags */

static const struct {
    const char *flags;
    struct call_request wanted;
} flags[] = {
    {"", {.call_id = "i"}},
    {"\"replace\":[\"origin\"]", {.replace_origin = true}},
    {"\"replace\":[\"session connection\",\"origin\"]",
     {.replace_origin = true, .replace_session_connection = true}},
    {"\"replace\":\"session-connection\"", {.replace_session_connection = true}},
    {"\"flags\":[\"replace-origin\",\"replace session connection\"]",
     {.replace_origin = true, .replace_session_connection = true}},
    {"\"ICE\":\"remove\"", {.ice_remove = true}},
    {"\"ICE\":\"force\"", {.call_id = "i"}},
    {"\"flags\":[\"trust-address\",\"assign-ssrc\"]", {.assign_ssrc = true}},
    {"\"flags\":[\"assign ssrc\"]", {.assign_ssrc = true}},
    {"\"address family\":\"IP6\"", {.family = 6}},
    {"\"address-family\":\"IP4\"", {.family = 4}},
    {"\"direction\":[\"internal\",\"external\"]",
     {.direction = {SA_SIDE_INTERNAL, SA_SIDE_EXTERNAL}}},
    {"\"direction\":\"external internal\"", {.direction = {SA_SIDE_EXTERNAL, SA_SIDE_INTERNAL}}},
    {"\"direction\":[\"external\"]", {.direction = {SA_SIDE_EXTERNAL, 0}}},
    {"\"received from\":[\"IP6\",\"::ffff:10.0.0.1\"]",
     {.received_from = {.family = 4, .ip = {10, 0, 0, 1}}}},
    {"\"received-from\":[\"IP6\",\"fd00::1\"]",
     {.received_from = {.family = 6, .ip = {0xfd, [15] = 1}}}},
};

START_TEST(test_flags)
{
    const struct call_request *wanted = &flags[_i].wanted, *got = &seen.request;
    char request[512];

    set_up();
    snprintf(request, sizeof(request), "c {\"command\":\"offer\",%s%s" FULL "}", flags[_i].flags,
             flags[_i].flags[0] ? "," : "");
    ck_assert_ptr_nonnull(strstr(ask(request), "\"ok\""));
    ck_assert_int_eq(got->replace_origin, wanted->replace_origin);
    ck_assert_int_eq(got->replace_session_connection, wanted->replace_session_connection);
    ck_assert_int_eq(got->ice_remove, wanted->ice_remove);
    ck_assert_int_eq(got->assign_ssrc, wanted->assign_ssrc);
    ck_assert_int_eq(got->family, wanted->family);
    ck_assert_int_eq(got->direction[0], wanted->direction[0]);
    ck_assert_int_eq(got->direction[1], wanted->direction[1]);
    ck_assert(addr_equal(&got->received_from, &wanted->received_from));
    tear_down();
}
END_TEST

/* ---------------------------------------------------------------- real requests */

static size_t read_golden(const char *name, char *out)
{
    const char *top = getenv("TEST_TOP_SRCDIR");
    char path[4096];
    size_t length;
    FILE *file;

    snprintf(path, sizeof(path), "%s/tests/unit/ng/%s", top ? top : ".", name);
    file = fopen(path, "rb");
    ck_assert_msg(file != NULL, "%s cannot be opened", path);
    length = fread(out, 1, FILE_MAX_OCTETS, file);
    fclose(file);
    return length;
}

#define OUTSIDE                                                                                    \
    {                                                                                              \
        SA_SIDE_EXTERNAL, SA_SIDE_INTERNAL                                                         \
    }
#define INSIDE                                                                                     \
    {                                                                                              \
        SA_SIDE_INTERNAL, SA_SIDE_EXTERNAL                                                         \
    }

/*
 * What Kamailio 5.6.3 sends; the phones are baresip 1.0, or written by hand. What OpenSIPS 3 sends
 * is made after the documentation and the source of its module: Debian 12 does not have it.
 */
static const struct {
    const char *file;
    char kind; /* offer, answer, delete */
    const char *call_id, *from_tag, *to_tag, *via_branch;
    const char *sdp, *sdp_end;
    enum sa_side direction[2];
    const char *from;
} golden[] = {
    {"kamailio-offer", 'o', "673ee199875cf87f", "76e4378b1d559e18", "", "z9hG4bK44c22e507573c493-0",
     "v=0\r\no=- 428884013 856629601 IN IP4 192.52.193.10\r\n", "a=ptime:20\r\n", OUTSIDE,
     "192.52.193.10"},
    {"kamailio-answer", 'a', "673ee199875cf87f", "76e4378b1d559e18", "0a0fa6d264e31ed4",
     "z9hG4bK44c22e507573c493-0", "v=0\r\no=- 36457963 882792590 IN IP4 10.1.1.1\r\n",
     "inline:88T6D4UtD4aOWsyT+r3PQZR3PTPZw80xk/2NNWFe\r\n", INSIDE, "10.1.1.1"},
    {"kamailio-hold", 'o', "673ee199875cf87f", "76e4378b1d559e18", "0a0fa6d264e31ed4",
     "z9hG4bKadb96be7f832ed23-0", "v=0\r\no=- 428884013 856629602 ",
     "inline:6aiKq359XczWfz1BcHxmQa+to1tv4HhjIEq1jhpt\r\n", OUTSIDE, "192.52.193.10"},
    {"kamailio-offer-of-callee", 'o', "673ee199875cf87f", "0a0fa6d264e31ed4", "76e4378b1d559e18",
     "z9hG4bKf5e4e7b7c0e6ea14-0", "v=0\r\no=- 36457963 ", "\r\n", INSIDE, "10.1.1.1"},
    {"kamailio-answer-of-caller", 'a', "673ee199875cf87f", "0a0fa6d264e31ed4", "76e4378b1d559e18",
     "z9hG4bKf5e4e7b7c0e6ea14-0", "v=0\r\no=- 428884013 ", "\r\n", OUTSIDE, "192.52.193.10"},
    {"kamailio-late-offer",
     'o',
     "call-3@phone.example",
     "late-tag",
     "caller-tag",
     "",
     "v=0\r\no=- 1 1 IN IP4 10.0.0.7\r\ns=M\xfcller\r\n",
     "a=sendrecv\r\n",
     {0, 0},
     "127.0.0.1"},
    {"kamailio-late-answer", 'a', "call-3@phone.example", "late-tag", "caller-tag", "z9hG4bKd2",
     "v=0\r\no=- 1 1 IN IP4 192.0.2.99\r\ns=M\xfcller\r\n", "a=sendrecv\r\n", OUTSIDE, "127.0.0.1"},
    {"kamailio-delete", 'd', "673ee199875cf87f", "0a0fa6d264e31ed4", "", "", "", "", {0, 0}, NULL},
    {"kamailio-delete-of-callee",
     'd',
     "call-1@phone.example",
     "callee-tag",
     "",
     "",
     "",
     "",
     {0, 0},
     NULL},
    {"opensips-offer", 'o', "5d1f7a90-3c2b@192.168.1.20", "c41ler", "", "z9hG4bK9f3c.1a-0",
     "v=0\r\no=- 428884013 856629601 IN IP4 192.168.1.20\r\n",
     "inline:6aiKq359XczWfz1BcHxmQa+to1tv4HhjIEq1jhpt\r\n", OUTSIDE, "198.51.100.77"},
    {"opensips-answer", 'a', "5d1f7a90-3c2b@192.168.1.20", "c41ler", "c4llee", "z9hG4bK9f3c.1a-0",
     "v=0\r\no=- 36457963 882792590 IN IP4 10.1.1.1\r\n",
     "inline:88T6D4UtD4aOWsyT+r3PQZR3PTPZw80xk/2NNWFe\r\n", INSIDE, "10.1.1.1"},
    {"opensips-delete", 'd', "5d1f7a90-3c2b@192.168.1.20", "c4llee", "", "", "", "", {0, 0}, NULL},
};

static void check_sdp(const char *begin, const char *end)
{
    size_t length = strlen(seen.sdp);

    ck_assert_uint_eq(length, seen.request.sdp_length);
    ck_assert_uint_ge(length, strlen(end));
    ck_assert_msg(strncmp(seen.sdp, begin, strlen(begin)) == 0, "%s", seen.sdp);
    ck_assert_str_eq(seen.sdp + length - strlen(end), end);
}

START_TEST(test_golden)
{
    static char request[FILE_MAX_OCTETS];
    size_t length = read_golden(golden[_i].file, request);
    struct ng_asker asker = {.socket = 0};
    const char *answer;
    struct addr from;
    char wanted[64];

    set_up();
    answer = ask_from(&asker, request, length, 0);
    snprintf(wanted, sizeof(wanted), "%.*s d6:result2:ok", (int)strcspn(request, " "), request);
    ck_assert_ptr_nonnull(answer);
    ck_assert_msg(strncmp(answer, wanted, strlen(wanted)) == 0, "%s", answer);
    ck_assert_uint_eq(seen.offers, golden[_i].kind == 'o');
    ck_assert_uint_eq(seen.answers, golden[_i].kind == 'a');
    ck_assert_uint_eq(seen.deletes, golden[_i].kind == 'd');
    ck_assert_str_eq(seen.call_id, golden[_i].call_id);
    ck_assert_str_eq(seen.from_tag, golden[_i].from_tag);
    ck_assert_str_eq(seen.to_tag, golden[_i].to_tag);
    ck_assert_str_eq(seen.via_branch, golden[_i].via_branch);
    check_sdp(golden[_i].sdp, golden[_i].sdp_end);
    ck_assert_int_eq(seen.request.direction[0], golden[_i].direction[0]);
    ck_assert_int_eq(seen.request.direction[1], golden[_i].direction[1]);
    if (golden[_i].from) {
        ck_assert_int_eq(addr_parse_ip(golden[_i].from, &from), 0);
        ck_assert(addr_equal(&seen.request.received_from, &from));
        ck_assert(seen.request.replace_origin && seen.request.replace_session_connection);
        ck_assert(seen.request.ice_remove && !seen.request.assign_ssrc);
    }
    tear_down();
}
END_TEST

START_TEST(test_golden_ping)
{
    static char request[FILE_MAX_OCTETS];
    struct ng_asker asker = {.socket = 0};

    set_up();
    ck_assert_str_eq(ask_from(&asker, request, read_golden("kamailio-ping", request), 0),
                     "0_11977_0 d6:result4:ponge");
    ck_assert_str_eq(ask_from(&asker, request, read_golden("opensips-ping", request), 0),
                     "4711_1 d6:result4:ponge");
    tear_down();
}
END_TEST

/* Cut short or with a flipped bit: an answer, or silence where the cookie is gone. */
START_TEST(test_golden_spoiled)
{
    static char request[FILE_MAX_OCTETS];
    size_t length = read_golden("kamailio-offer", request);
    struct ng_asker asker = {.socket = 0};

    set_up();
    for (size_t cut = 0; cut < length; cut++) {
        const char *answer = ask_from(&asker, request, cut, 0);

        ck_assert_int_eq(answer != NULL, cut > 10);
        if (answer)
            ck_assert_ptr_nonnull(strstr(answer, "6:result5:error"));
    }
    ck_assert_uint_eq(seen.offers, 0);
    for (size_t bit = 0; bit < 8 * length; bit++) {
        request[bit / 8] = (char)(request[bit / 8] ^ (1 << bit % 8));
        if (bit / 8 > 9)
            ck_assert_ptr_nonnull(ask_from(&asker, request, length, 0));
        request[bit / 8] = (char)(request[bit / 8] ^ (1 << bit % 8));
    }
    tear_down();
}
END_TEST

/* ---------------------------------------------------------------- query, list, statistics */

START_TEST(test_list)
{
    set_up();
    seen.calls = CALLS_MAX;
    ck_assert_str_eq(ask("a {\"command\":\"list\",\"limit\":\"2\"}"),
                     "a {\"result\":\"ok\",\"calls\":[\"call\\ufffd-0\",\"call\\ufffd-1\"]}");
    ck_assert_ptr_nonnull(strstr(ask("b {\"command\":\"list\"}"), "-31\"]"));
    seen.calls = 100000;
    ck_assert_ptr_nonnull(strstr(ask("c {\"command\":\"list\",\"limit\":100000}"), "-1023\"]"));
    /* Octets that are not UTF-8 are six each in JSON: as many as fit. */
    seen.id_more = 480;
    ck_assert_ptr_nonnull(strstr(ask("d {\"command\":\"list\"}"), "-19\"]"));
    ck_assert_ptr_nonnull(strstr(ask("e d7:command4:liste"), "-31e"));
    tear_down();
}
END_TEST

/* A call with one line inside, whose SA has had packets. */
START_TEST(test_query)
{
    char tag[] = "f", call_id[] = "i";
    struct call_party party = {.tag = tag, .side = SA_SIDE_EXTERNAL, .line_count = 2};
    struct call call = {.call_id = call_id,
                        .created_us = 1795271820000007,
                        .signalled_us = 1795271829000000,
                        .party_count = 1,
                        .party = {&party}};
    struct admit_request request;
    struct sa *sa;

    set_up();
    core_introduce(&core, 0, 8, 8);
    core_request(&request, 1);
    request.ssrc_count = 1;
    request.ssrc[0] = 4276085362u;
    sa = core_add(&core, &request);
    ck_assert_ptr_nonnull(sa);
    party.line[1].sa = sa->id;
    party.line[0].sa = 999; /* that is gone */
    sa->packets = 100;
    sa->octets = 20000;
    sa->stream[0].stats.received = 97;
    sa->verdicts[VERDICT_ACCEPTED] = 100;
    sa->verdicts[VERDICT_AUTH_FAIL] = 2;
    seen.found = &call;
    ck_assert_str_eq(
        ask("c {\"command\":\"query\",\"call-id\":\"i\"}"),
        "c {\"result\":\"ok\",\"tags\":{\"f\":{\"tag\":\"f\",\"side\":\"external\",\"medias\":[{"
        "\"index\":2,\"crypto suite\":\"AES_CM_128_HMAC_SHA1_32\",\"stats\":{\"packets\":100,"
        "\"bytes\":20000,\"errors\":2}}]}},\"SSRC\":{\"4276085362\":{\"packets\":97,\"packets "
        "lost\":0}},\"totals\":{\"RTP\":{\"packets\":97,\"bytes\":20000,\"errors\":2},\"RTCP\":{"
        "\"packets\":3,\"bytes\":0,\"errors\":0}},\"created\":1795271820,\"created_us\":7,\"last "
        "signal\":1795271829}");
    /* After a restart a party's tag is not known. The delete says the same once more. */
    party.tag = NULL;
    ck_assert_ptr_nonnull(strstr(ask("c {\"command\":\"delete\",\"call-id\":\"i\"}"),
                                 "\"tags\":{\"\":{\"side\":\"external\""));
    ck_assert_ptr_nonnull(strstr(ask("c d7:command5:query7:call-id1:ie"),
                                 "6:totalsd3:RTPd7:packetsi97e5:bytesi20000e6:errorsi2ee"));
    tear_down();
}
END_TEST

START_TEST(test_statistics)
{
    set_up();
    (void)ask("a d7:command4:pinge");
    (void)ask("b d7:command5:offere");
    (void)ask("b xx");
    ck_assert_ptr_nonnull(strstr(ask("c {\"command\":\"statistics\"}"),
                                 "\"requests\":{\"ping\":1,\"offer\":1,\"answer\":0,\"delete\":0,"
                                 "\"query\":0,\"list\":0,\"statistics\":1,\"other\":1}"));
    ck_assert_uint_eq(ng_counts(ng)->errors, 2);
    tear_down();
}
END_TEST

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

int main(void)
{
    Suite *suite = suite_create("ng");
    TCase *tc = tcase_create("ng");

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, test_rows, 0, COUNT(rows));
    tcase_add_test(tc, test_dropped);
    tcase_add_test(tc, test_stream);
    tcase_add_test(tc, test_repeats);
    tcase_add_loop_test(tc, test_errors, 0, COUNT(errors));
    tcase_add_test(tc, test_extra);
    tcase_add_loop_test(tc, test_flags, 0, COUNT(flags));
    tcase_add_loop_test(tc, test_golden, 0, COUNT(golden));
    tcase_add_test(tc, test_golden_ping);
    tcase_add_test(tc, test_golden_spoiled);
    tcase_add_test(tc, test_list);
    tcase_add_test(tc, test_query);
    tcase_add_test(tc, test_statistics);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
