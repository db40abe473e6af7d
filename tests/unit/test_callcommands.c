/* What relayctl may ask of calls, against calls that offers and answers have made. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/sa/table.h"
#include "inner-relay/callcommands.h"
#include "inner-relay/relay.h"
#include "tests/unit/core.h"
#include "tests/unit/members.h"
#include "tests/unit/unit.h"

#define SECOND UINT64_C(1000000)
#define WALL   UINT64_C(1700000000000000)
/* Of each kind of text that must not be shown. */
#define KEY_A "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj"
#define KEY_B "NzB4d1BINUAvLEw6UzF3WSJ+PSdFcGdUJShpX1Zj"

#define LIST_MEMBERS "call_id number state dmz age last_signal lines sas waiting parties"
#define LINE_MEMBERS                                                                               \
    "line kind way sa sa_back signalled signalled_rtcp mux shown shown_rtcp held assigned_ssrc "   \
    "last_packet warning"

static struct core core;
static struct relay relay;
static struct daemon daemon_;
static uint64_t now; /* of what the calls are told; commands have the clock's */

static void setup(void)
{
    struct call_options options = {.offer_timeout_us = 180 * SECOND,
                                   .call_max_us = 86400 * SECOND,
                                   .media_timeout_us = 60 * SECOND,
                                   .max_calls = 5000};

    ck_assert(core_init(&core, 256));
    core_introduce(&core, 0, 1000, 1000);
    core.inner.options.learns_ssrcs = true;
    core.inner.options.source_policy = SOURCE_HINTED;
    memset(&relay, 0, sizeof(relay));
    relay.core = core.inner;
    for (unsigned i = 0; i < relay.core.link_count; i++)
        relay.core.links[i].inner = &relay.core;
    relay.calls = calls_new(&relay.core, &options);
    ck_assert_ptr_nonnull(relay.calls);
    memset(&daemon_, 0, sizeof(daemon_));
    daemon_.kind = &relay_kind;
    daemon_.state = &relay;
    now = clock_now_us();
}

static void teardown(void)
{
    calls_free(relay.calls);
    inner_fini(&relay.core);
}

/* ------------------------------------------------------------ calls */

static const char *sdp(const char *ip, unsigned port, const char *key, const char *more)
{
    static char out[2][2048];
    static unsigned turn;
    char *text = out[turn++ % 2];

    snprintf(text, sizeof(out[0]),
             "v=0\r\no=hidden 1 1 IN IP4 %s\r\ns=-\r\nc=IN IP4 %s\r\nt=0 0\r\n"
             "m=audio %u RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:%s\r\n%s",
             ip, ip, port, key, more);
    return text;
}

struct message {
    const char *call_id, *from, *to, *branch, *direction, *sdp;
};

static int tell(const struct message *m, bool answers)
{
    struct call_request request = {.call_id = m->call_id,
                                   .from_tag = m->from,
                                   .to_tag = m->to ? m->to : "",
                                   .via_branch = m->branch ? m->branch : "",
                                   .sdp = m->sdp,
                                   .sdp_length = strlen(m->sdp)};
    struct call_reply reply;
    struct call_error error;
    int result;

    for (int i = 0; i < 2 && m->direction; i++)
        request.direction[i] = m->direction[i] == 'e' ? SA_SIDE_EXTERNAL : SA_SIDE_INTERNAL;
    result =
        (answers ? calls_answer : calls_offer)(relay.calls, &request, WALL, now, &reply, &error);
    ck_assert_msg(result == 0, "%s", error.text);
    calls_reply_free(&reply);
    return result;
}

static void offer(const char *call_id, const char *from, const char *more)
{
    tell(&(struct message){.call_id = call_id,
                           .from = from,
                           .branch = "z9hG4bK1",
                           .direction = "ei",
                           .sdp = sdp("192.0.2.10", 20000, KEY_A, more)},
         false);
}

static void answer(const char *call_id, const char *from, const char *to, const char *more)
{
    tell(&(struct message){.call_id = call_id,
                           .from = from,
                           .to = to,
                           .sdp = sdp("10.0.1.20", 30000, KEY_B, more)},
         true);
}

/* One that was answered, from outside to inside. */
static void make(const char *call_id, const char *from, const char *to)
{
    offer(call_id, from, "");
    answer(call_id, from, to, "");
}

static const struct call_party *party(const char *call_id, const char *tag)
{
    const struct call *call = calls_find(relay.calls, call_id, tag, "");

    ck_assert_ptr_nonnull(call);
    ck_assert_int_ge(call_find_party(call, tag), 0);
    return call->party[call_find_party(call, tag)];
}

static struct sa *sa_of(const char *call_id, const char *tag, unsigned line)
{
    return inner_find_sa(&relay.core, party(call_id, tag)->line[line].sa);
}

static size_t sas(void)
{
    return table_count(relay.core.table);
}

/* ------------------------------------------------------------ asking */

/* The answer, to be released; it shows neither keys nor SDP. */
static json_t *ask(const json_t *request)
{
    const char *line = members_text(request);
    json_t *reply = control_answer(relay_commands, &daemon_, line, strlen(line));

    ck_assert(json_is_object(reply));
    line = members_text(reply);
    ck_assert_msg(!strstr(line, "d0Rm") && !strstr(line, "NzB4") && !strstr(line, "inline") &&
                      !strstr(line, "hidden") && !strstr(line, "crypto:") && !strstr(line, "m=a"),
                  "a key, or SDP: %s", line);
    return reply;
}

static json_t *ask_for(const char *command, const char *call_id, const char *tag)
{
    json_t *request =
        json_pack("{s:s,s:s*,s:s*}", "command", command, "call_id", call_id, "tag", tag);
    json_t *reply = ask(request);

    json_decref(request);
    return reply;
}

static bool is_ok(const json_t *reply)
{
    return json_is_true(json_object_get(reply, "ok"));
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text ? text : "(none)";
}

static json_int_t number_of(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

static const json_t *row(const json_t *object, const char *list, size_t i)
{
    const json_t *value = json_array_get(json_object_get(object, list), i);

    ck_assert_msg(value != NULL, "no %zu. of %s: %s", i, list, members_text(object));
    return value;
}

static void check_refused(json_t *reply, const char *field, const char *part)
{
    ck_assert_msg(!is_ok(reply), "%s", members_text(reply));
    ck_assert_str_eq(text_of(reply, "field"), field);
    ck_assert_msg(strstr(text_of(reply, "error"), part) != NULL, "%s", members_text(reply));
    json_decref(reply);
}

/* ------------------------------------------------------------ call list */

START_TEST(test_list_nothing)
{
    json_t *reply = ask_for("call-list", NULL, NULL);

    members_are(reply, "ok calls next");
    ck_assert_uint_eq(json_array_size(json_object_get(reply, "calls")), 0);
    json_decref(reply);
}
END_TEST

START_TEST(test_list)
{
    json_t *reply;
    const json_t *one, *other;

    now -= 12 * SECOND;
    make("one@example", "a", "b");
    offer("two@example", "c", "");
    sa_of("one@example", "a", 0)->last_packet_us = now + 10 * SECOND;
    reply = ask_for("call-list", NULL, NULL);
    ck_assert_uint_eq(json_array_size(json_object_get(reply, "calls")), 2);
    one = row(reply, "calls", 0);
    other = row(reply, "calls", 1);
    members_are(one, LIST_MEMBERS);
    ck_assert_str_eq(text_of(one, "call_id"), "one@example");
    ck_assert_str_eq(text_of(one, "state"), "answered");
    ck_assert_str_eq(text_of(one, "dmz"), "east");
    ck_assert_int_ge(number_of(one, "age"), 12);
    ck_assert_int_eq(number_of(one, "lines"), 1);
    ck_assert_int_eq(number_of(one, "sas"), 2);
    ck_assert_int_eq(number_of(one, "waiting"), 0);
    members_are(row(one, "parties", 0), "tag side sas last_packet");
    ck_assert_str_eq(text_of(row(one, "parties", 0), "side"), "external");
    ck_assert(json_is_real(json_object_get(row(one, "parties", 0), "last_packet")));
    ck_assert(json_is_null(json_object_get(row(one, "parties", 1), "last_packet")));
    ck_assert_str_eq(text_of(other, "state"), "offered");
    ck_assert_int_eq(number_of(other, "lines"), 1);
    ck_assert_int_eq(number_of(other, "sas"), 0);
    ck_assert_int_eq(number_of(other, "waiting"), 1);
    json_decref(reply);
}
END_TEST

static const struct {
    const char *more, *state;
} states[] = {{"", "answered"}, {"a=sendonly\r\n", "held"}, {"a=inactive\r\n", "held"}};

START_TEST(test_list_state)
{
    json_t *reply;

    offer("one@example", "a", states[_i].more);
    answer("one@example", "a", "b", "");
    reply = ask_for("call-list", NULL, NULL);
    ck_assert_str_eq(text_of(row(reply, "calls", 0), "state"), states[_i].state);
    json_decref(reply);
}
END_TEST

/* All of them once, in pages of no more than 16, though most places of the table are empty. */
START_TEST(test_list_pages)
{
    json_t *request = json_pack("{s:s}", "command", "call-list");
    bool seen[40] = {false};
    json_int_t next = 0;
    unsigned pages = 0, count = 0;
    char call_id[32];

    for (unsigned i = 0; i < 40; i++) {
        snprintf(call_id, sizeof(call_id), "%u@example", i);
        offer(call_id, "a", "");
    }
    do {
        json_t *reply = ask(request), *call;
        json_int_t before = next;
        size_t i;

        ck_assert_uint_le(json_array_size(json_object_get(reply, "calls")), 16);
        json_array_foreach(json_object_get(reply, "calls"), i, call)
        {
            int n = atoi(text_of(call, "call_id"));

            ck_assert(!seen[n]);
            seen[n] = true;
            count++;
        }
        next = number_of(reply, "next");
        ck_assert(before == 0 || next < before);
        json_object_set_new(request, "after", json_integer(next));
        json_decref(reply);
        pages++;
    } while (next > 0);
    ck_assert_uint_eq(count, 40);
    ck_assert_uint_eq(pages, 4);
    json_decref(request);
}
END_TEST

static const char *const bad_pages[] = {"{\"after\":0}",     "{\"after\":-1}",
                                        "{\"after\":\"1\"}", "{\"after\":4294967296}",
                                        "{\"limit\":0}",     "{\"limit\":1.5}"};

START_TEST(test_list_wrong)
{
    json_t *request = json_loads(bad_pages[_i], 0, NULL);

    json_object_set_new(request, "command", json_string("call-list"));
    check_refused(ask(request), strstr(bad_pages[_i], "after") ? "after" : "limit", "from 1 on");
    json_decref(request);
}
END_TEST

/* ------------------------------------------------------------ call show */

START_TEST(test_show)
{
    json_t *reply;
    const json_t *call, *a, *b, *line;

    make("one@example", "a", "b");
    reply = ask_for("call-show", "one@example", NULL);
    members_are(reply, "ok calls more");
    ck_assert_int_eq(number_of(reply, "more"), 0);
    call = row(reply, "calls", 0);
    members_are(call, LIST_MEMBERS " created offers");
    ck_assert_int_eq(number_of(call, "created"), (json_int_t)(WALL / SECOND));
    ck_assert_uint_eq(json_array_size(json_object_get(call, "offers")), 0);
    a = row(call, "parties", 0);
    b = row(call, "parties", 1);
    members_are(
        a, "tag side sas last_packet partner branch_of signalling parked assign_ssrc cut lines");
    ck_assert_str_eq(text_of(a, "tag"), "a");
    ck_assert_str_eq(text_of(a, "partner"), "b");
    ck_assert_str_eq(text_of(b, "partner"), "a");
    ck_assert_str_eq(text_of(b, "branch_of"), "a");
    ck_assert_str_eq(text_of(b, "side"), "internal");
    ck_assert(json_is_false(json_object_get(b, "parked")));
    line = row(a, "lines", 0);
    members_are(line, LINE_MEMBERS);
    ck_assert_str_eq(text_of(line, "kind"), "audio");
    ck_assert_str_eq(text_of(line, "way"), "relayed");
    ck_assert_str_eq(text_of(line, "signalled"), "192.0.2.10:20000");
    ck_assert_str_eq(text_of(line, "signalled_rtcp"), "192.0.2.10:20001");
    ck_assert_str_eq(text_of(line, "shown"), "203.0.113.7:5004");
    ck_assert_str_eq(text_of(line, "shown_rtcp"), "203.0.113.7:5005");
    ck_assert_int_eq(number_of(line, "sa"), (json_int_t)sa_of("one@example", "a", 0)->id);
    ck_assert_int_eq(number_of(line, "sa_back"), (json_int_t)sa_of("one@example", "b", 0)->id);
    ck_assert(json_is_null(json_object_get(line, "warning")));
    ck_assert_str_eq(text_of(row(b, "lines", 0), "shown"), "10.0.0.101:4000");
    json_decref(reply);
}
END_TEST

#define OTHER_LINES                                                                                \
    "a=sendonly\r\n"                                                                               \
    "m=application 5000 TCP/BFCP *\r\n"                                                            \
    "m=video 0 RTP/SAVP 31\r\n"

/* One that is not answered, and the same lines when they are. */
START_TEST(test_show_lines)
{
    static const struct {
        const char *kind, *way;
        bool held, warns;
    } lines[] = {{"audio", "relayed", true, false},
                 {"application", "untouched", false, true},
                 {"video", "rejected", false, false}};
    json_t *reply;
    const json_t *offered;

    now -= 12 * SECOND;
    offer("one@example", "a", OTHER_LINES);
    reply = ask_for("call-show", "one@example", NULL);
    offered = row(row(reply, "calls", 0), "offers", 0);
    members_are(offered, "tag to_tag via_branch side to_side age left cut lines");
    ck_assert_str_eq(text_of(offered, "tag"), "a");
    ck_assert(json_is_null(json_object_get(offered, "to_tag")));
    ck_assert_str_eq(text_of(offered, "via_branch"), "z9hG4bK1");
    ck_assert_str_eq(text_of(offered, "side"), "external");
    ck_assert_str_eq(text_of(offered, "to_side"), "internal");
    ck_assert_int_ge(number_of(offered, "age"), 12);
    ck_assert_int_le(number_of(offered, "left"), 168);
    ck_assert_int_gt(number_of(offered, "left"), 60);
    ck_assert_str_eq(text_of(row(offered, "lines", 0), "shown"), "10.0.0.101:4000");
    ck_assert_str_eq(text_of(row(offered, "lines", 0), "signalled"), "192.0.2.10:20000");
    for (size_t pass = 0; pass < 2; pass++) {
        const json_t *of = pass ? row(row(reply, "calls", 0), "parties", 0) : offered;

        for (size_t i = 0; i < 3; i++) {
            const json_t *line = row(of, "lines", i);

            ck_assert_str_eq(text_of(line, "kind"), lines[i].kind);
            ck_assert_str_eq(text_of(line, "way"), lines[i].way);
            ck_assert(json_is_true(json_object_get(line, "held")) == lines[i].held);
            ck_assert(json_is_string(json_object_get(line, "warning")) == lines[i].warns);
        }
        if (pass == 0) {
            json_decref(reply);
            answer("one@example", "a", "b", OTHER_LINES);
            reply = ask_for("call-show", "one@example", NULL);
        }
    }
    json_decref(reply);
}
END_TEST

/* Two phones are offered the call, both answer: the last one has it. */
START_TEST(test_show_fork)
{
    struct message m = {.call_id = "one@example", .from = "a", .direction = "ei", .branch = "z-1"};
    json_t *reply;
    const json_t *call;

    offer("one@example", "a", "");
    m.sdp = sdp("192.0.2.10", 20000, KEY_A, "");
    tell(&m, false);
    reply = ask_for("call-show", "one@example", NULL);
    ck_assert_uint_eq(json_array_size(json_object_get(row(reply, "calls", 0), "offers")), 2);
    json_decref(reply);
    m = (struct message){.call_id = "one@example", .from = "a", .to = "b", .branch = "z9hG4bK1"};
    m.sdp = sdp("10.0.1.20", 30000, KEY_B, "");
    tell(&m, true);
    m.to = "c";
    m.branch = "z-1";
    m.sdp = sdp("10.0.1.30", 30000, "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz", "");
    tell(&m, true);
    reply = ask_for("call-show", "one@example", NULL);
    call = row(reply, "calls", 0);
    ck_assert_str_eq(text_of(row(call, "parties", 0), "partner"), "c");
    ck_assert(json_is_true(json_object_get(row(call, "parties", 1), "parked")));
    ck_assert_str_eq(text_of(row(call, "parties", 1), "branch_of"), "a");
    ck_assert_ptr_nonnull(
        strstr(text_of(row(row(call, "parties", 1), "lines", 0), "warning"), "leads nowhere"));
    ck_assert(json_is_false(json_object_get(row(call, "parties", 2), "parked")));
    json_decref(reply);
    /* What the phone that lost would send is nothing to be explained. */
    reply = ask_for("explain", "one@example", NULL);
    ck_assert_uint_eq(json_array_size(json_object_get(row(reply, "calls", 0), "sas")), 2);
    ck_assert_ptr_nonnull(strstr(text_of(row(reply, "calls", 0), "text"), "1 other branch of"));
    json_decref(reply);
}
END_TEST

/* What the network may hold is shown somehow, and the reply stays JSON. */
START_TEST(test_show_octets)
{
    const char *odd = "\xff\xfe@\x01\xc3\xa4";
    json_t *reply;

    make(odd, "a\xff", "b");
    offer(odd, "a\xff", "");
    reply = ask_for("call-list", NULL, NULL);
    ck_assert_str_eq(text_of(row(reply, "calls", 0), "call_id"), "\?\?@\x01\?\?");
    ck_assert_str_eq(text_of(row(row(reply, "calls", 0), "parties", 0), "tag"), "a?");
    json_decref(reply);
}
END_TEST

static const struct {
    const char *call_id, *tag, *field, *part;
} unknown[] = {
    {"none@example", NULL, "call_id", "relayctl call list"},
    {"none@example", "a", "call_id", "relayctl call list"},
    {"one@example", "x", "tag", "without a tag"},
    {"ONE@example", "a", "call_id", "relayctl call list"},
    {NULL, NULL, "call_id", "Call-ID is needed"},
    {"", NULL, "call_id", "Call-ID is needed"},
    {"one@example", "", "tag", "tag of a party is needed"},
};

START_TEST(test_unknown)
{
    static const char *const commands[] = {"call-show", "call-end", "explain"};

    make("one@example", "a", "b");
    for (size_t i = 0; i < 3; i++) {
        if (i < 2 || unknown[_i].call_id)
            check_refused(ask_for(commands[i], unknown[_i].call_id, unknown[_i].tag),
                          unknown[_i].field, unknown[_i].part);
    }
    ck_assert_uint_eq(sas(), 2);
}
END_TEST

START_TEST(test_types)
{
    static const char *const requests[] = {
        "{\"command\":\"call-show\",\"call_id\":7}",
        "{\"command\":\"call-end\",\"call_id\":\"one@example\",\"tag\":7}",
        "{\"command\":\"call-end\",\"call_id\":[]}", "{\"command\":\"explain\",\"call_id\":7}"};

    make("one@example", "a", "b");
    for (size_t i = 0; i < 4; i++) {
        json_t *request = json_loads(requests[i], 0, NULL), *reply = ask(request);

        ck_assert(!is_ok(reply));
        json_decref(request);
        json_decref(reply);
    }
    ck_assert_uint_eq(sas(), 2);
}
END_TEST

/* ------------------------------------------------------------ call end */

START_TEST(test_end)
{
    json_t *reply, *counters = json_object();

    make("one@example", "a", "b");
    make("two@example", "a", "b");
    reply = ask_for("call-end", "one@example", NULL);
    members_are(reply, "ok number tags sas");
    ck_assert_int_eq(number_of(reply, "sas"), 2);
    ck_assert_uint_eq(sas(), 2);
    ck_assert_ptr_null(calls_find(relay.calls, "one@example", "", ""));
    ck_assert_ptr_nonnull(calls_find(relay.calls, "two@example", "", ""));
    json_decref(reply);
    check_refused(ask_for("call-end", "one@example", NULL), "call_id", "(any more)");
    callcommands_add_counters(counters, relay.calls);
    ck_assert_str_eq(members_text(counters),
                     "{\"calls\":1,\"calls_ended\":1,\"calls_offered\":0,\"calls_timeouts\":0}");
    json_decref(counters);
}
END_TEST

START_TEST(test_end_offered)
{
    json_t *reply;

    offer("one@example", "a", "");
    ck_assert_uint_eq(relay.calls->offered, 1);
    reply = ask_for("call-end", "one@example", "a");
    ck_assert(is_ok(reply));
    ck_assert_int_eq(number_of(reply, "sas"), 0);
    ck_assert_uint_eq(calls_count(relay.calls), 0);
    ck_assert_uint_eq(relay.calls->offered, 0);
    ck_assert_uint_eq(relay.calls->reserved, 0);
    json_decref(reply);
}
END_TEST

/* Calls with one Call-ID are shown together, and ended one by one. */
START_TEST(test_same_call_id)
{
    json_t *reply;

    make("one@example", "a", "b");
    make("one@example", "c", "d");
    offer("one@example", "e", "");
    reply = ask_for("call-show", "one@example", NULL);
    ck_assert_uint_eq(json_array_size(json_object_get(reply, "calls")), 3);
    json_decref(reply);
    reply = ask_for("call-show", "one@example", "d");
    ck_assert_uint_eq(json_array_size(json_object_get(reply, "calls")), 1);
    ck_assert_str_eq(text_of(row(row(reply, "calls", 0), "parties", 0), "tag"), "c");
    json_decref(reply);
    reply = ask_for("call-end", "one@example", NULL);
    ck_assert(!is_ok(reply));
    ck_assert_str_eq(text_of(reply, "error"),
                     "3 calls have this Call-ID; the tag of a party says which one is meant: e, "
                     "c, a");
    json_decref(reply);
    ck_assert_uint_eq(sas(), 4);
    reply = ask_for("call-end", "one@example", "d");
    ck_assert_msg(is_ok(reply), "%s", members_text(reply));
    json_decref(reply);
    ck_assert_uint_eq(sas(), 2);
    ck_assert_ptr_nonnull(calls_find(relay.calls, "one@example", "b", ""));
    ck_assert_ptr_null(calls_find(relay.calls, "one@example", "c", ""));
}
END_TEST

/* With very many, no reply is longer for it. */
START_TEST(test_many_with_one_call_id)
{
    char tag[CALL_TEXT_SIZE];
    json_t *reply;

    memset(tag, 'x', sizeof(tag));
    tag[sizeof(tag) - 1] = '\0';
    for (unsigned i = 0; i < CALLS_OF_ONE_ID; i++) {
        tag[0] = (char)('a' + i);
        offer("one@example", tag, "");
    }
    reply = ask_for("call-show", "one@example", NULL);
    ck_assert_uint_eq(json_array_size(json_object_get(reply, "calls")), 8);
    ck_assert_int_eq(number_of(reply, "more"), CALLS_OF_ONE_ID - 8);
    json_decref(reply);
    check_refused(ask_for("call-end", "one@example", NULL), "tag", ", ...");
}
END_TEST

/* Nor with very many lines: those that are too many are left out, and that is said. */
START_TEST(test_many_lines)
{
    char more[2048] = "", branch[16];
    json_t *reply, *one;
    unsigned cut = 0, lines = 0;
    size_t i;

    for (unsigned m = 1; m < 16; m++)
        snprintf(more + strlen(more), sizeof(more) - strlen(more),
                 "m=application %u TCP/BFCP *\r\n", 5000 + m);
    for (unsigned b = 0; b < 8; b++) {
        snprintf(branch, sizeof(branch), "z-%u", b);
        tell(&(struct message){.call_id = "one@example",
                               .from = "a",
                               .branch = branch,
                               .direction = "ei",
                               .sdp = sdp("192.0.2.10", 20000, KEY_A, more)},
             false);
    }
    offer("one@example", "b", "");
    reply = ask_for("call-show", "one@example", "a");
    json_array_foreach(json_object_get(row(reply, "calls", 0), "offers"), i, one)
    {
        size_t shown = json_array_size(json_object_get(one, "lines"));

        lines += (unsigned)shown;
        cut += json_is_true(json_object_get(one, "cut"));
        ck_assert_uint_eq(shown, json_is_true(json_object_get(one, "cut")) ? 0 : 16);
    }
    ck_assert_uint_eq(i, 8);
    ck_assert_uint_eq(lines, 48);
    ck_assert_uint_eq(cut, 5);
    json_decref(reply);
    reply = ask_for("call-show", "one@example", "b");
    ck_assert(json_is_false(json_object_get(row(row(reply, "calls", 0), "offers", 0), "cut")));
    json_decref(reply);
}
END_TEST

/* ------------------------------------------------------------ SAs of calls, after a restart */

START_TEST(test_sa_of_a_call)
{
    json_t *request, *reply;
    struct sa *sa;

    make("one@example", "a", "b");
    sa = sa_of("one@example", "a", 0);
    request = json_pack("{s:s,s:I}", "command", "sa-show", "id", (json_int_t)sa->id);
    reply = ask(request);
    ck_assert(json_is_null(json_object_get(json_object_get(reply, "sa"), "media_timeout")));
    json_decref(reply);
    json_object_set_new(request, "command", json_string("sa-delete"));
    reply = ask(request);
    members_are(reply, "ok call_id");
    ck_assert_str_eq(text_of(reply, "call_id"), "one@example");
    json_decref(reply);
    reply = ask_for("call-show", "one@example", NULL);
    ck_assert_int_eq(number_of(row(reply, "calls", 0), "sas"), 1);
    ck_assert_ptr_nonnull(strstr(
        text_of(row(row(row(reply, "calls", 0), "parties", 0), "lines", 0), "warning"), "deleted"));
    json_decref(reply);
    json_decref(request);
}
END_TEST

static void round_of_timeouts(void)
{
    calls_tick(relay.calls);
    while (calls_work(relay.calls, now))
        ;
}

/* The call stays as long as one of its SAs does, also on hold; a new answer makes the other. */
START_TEST(test_deleted_sas)
{
    json_t *reply;

    offer("one@example", "a", "a=sendonly\r\n");
    answer("one@example", "a", "b", "");
    inner_delete(&relay.core, sa_of("one@example", "a", 0), now);
    round_of_timeouts();
    ck_assert_uint_eq(calls_count(relay.calls), 1);
    tell(&(struct message){.call_id = "one@example",
                           .from = "a",
                           .to = "b",
                           .branch = "z-2",
                           .sdp = sdp("192.0.2.10", 20000, KEY_A, "")},
         false);
    answer("one@example", "a", "b", "");
    ck_assert_uint_eq(sas(), 2);
    inner_delete(&relay.core, sa_of("one@example", "a", 0), now);
    inner_delete(&relay.core, sa_of("one@example", "b", 0), now);
    reply = ask_for("explain", "one@example", NULL);
    ck_assert_str_eq(text_of(row(reply, "calls", 0), "cause"), "deleted");
    json_decref(reply);
    round_of_timeouts();
    ck_assert_uint_eq(calls_count(relay.calls), 0);
    ck_assert_uint_eq(calls_counts(relay.calls)->timeouts, 1);
}
END_TEST

START_TEST(test_restored)
{
    struct call_options options = relay.calls->options;
    json_t *reply;
    const json_t *call;

    make("one@example", "a", "b");
    calls_free(relay.calls);
    relay.calls = calls_new(&relay.core, &options);
    calls_restore(relay.calls, WALL, now);
    ck_assert_uint_eq(relay.calls->offered, 0);
    reply = ask_for("call-show", "one@example", NULL);
    call = row(reply, "calls", 0);
    ck_assert_str_eq(text_of(call, "state"), "restored");
    ck_assert_int_eq(number_of(call, "sas"), 2);
    ck_assert(json_is_null(json_object_get(row(call, "parties", 0), "tag")));
    ck_assert(json_is_null(json_object_get(row(row(call, "parties", 0), "lines", 0), "kind")));
    json_decref(reply);
    reply = ask_for("explain", "one@example", NULL);
    ck_assert_uint_eq(json_array_size(json_object_get(row(reply, "calls", 0), "sas")), 2);
    json_decref(reply);
    reply = ask_for("call-end", "one@example", NULL);
    ck_assert(is_ok(reply));
    ck_assert_uint_eq(sas(), 0);
    json_decref(reply);
}
END_TEST

/* ------------------------------------------------------------ explain */

static void explains(const char *cause, const char *text, const char *check, size_t count)
{
    json_t *reply = ask_for("explain", "one@example", NULL);
    const json_t *call = row(reply, "calls", 0);

    members_are(call, "call_id number tags cause text check sas");
    ck_assert_str_eq(text_of(call, "cause"), cause);
    ck_assert_msg(strstr(text_of(call, "text"), text) != NULL, "%s", members_text(call));
    ck_assert_msg(strstr(text_of(call, "check"), check) != NULL, "%s", members_text(call));
    ck_assert_uint_eq(json_array_size(json_object_get(call, "sas")), count);
    json_decref(reply);
}

START_TEST(test_explain)
{
    uint64_t start = now;

    now = start - 12 * SECOND - SECOND / 2;
    offer("one@example", "a", "");
    explains("offered",
             "offered 12 s ago from outside (tag a) to inside and there is no answer yet: the "
             "phone does not ring, or ",
             "forgotten 2 min from now", 0);
    answer("one@example", "a", "b", "");
    explains("answered", "", "", 2);
    tell(&(struct message){.call_id = "one@example",
                           .from = "b",
                           .to = "a",
                           .sdp = sdp("10.0.1.20", 30000, KEY_B, "a=sendonly\r\n")},
         false);
    explains("offered-again", "A new offer came 12 s ago from inside (tag b) and is not answered",
             "", 2);
    tell(&(struct message){.call_id = "one@example",
                           .from = "b",
                           .to = "a",
                           .sdp = sdp("192.0.2.10", 20000, KEY_A, "")},
         true);
    explains("held", "On hold: m= line 0 (audio), by the party inside.", "", 2);
}
END_TEST

START_TEST(test_explain_bare)
{
    static const struct {
        const char *direction, *sdp, *cause;
    } rows[] = {
        {"ii", "m=audio 4000 RTP/SAVP 0\r\n", "direct"},
        {"ei", "m=audio 0 RTP/SAVP 0\r\n", "no-media"},
        {"ei", "m=application 4000 TCP/BFCP *\r\n", "no-media"},
    };
    char text[256];
    struct message m = {
        .call_id = "one@example", .from = "a", .direction = rows[_i].direction, .sdp = text};

    snprintf(text, sizeof(text),
             "v=0\r\no=- 1 1 IN IP4 10.0.1.20\r\ns=-\r\n"
             "c=IN IP4 10.0.1.20\r\nt=0 0\r\n%s",
             rows[_i].sdp);
    tell(&m, false);
    m.to = "b";
    m.direction = NULL;
    tell(&m, true);
    explains(rows[_i].cause, "", "", 0);
}
END_TEST

/* ------------------------------------------------------------ how many */

START_TEST(test_counts)
{
    json_t *status = json_object();

    make("one@example", "a", "b");
    offer("two@example", "a", "");
    offer("three@example", "a", "");
    callcommands_add_status(status, relay.calls);
    ck_assert_str_eq(members_text(status), "{\"calls\":3,\"calls_offered\":2,\"max_calls\":5000}");
    now += 181 * SECOND;
    sa_of("one@example", "a", 0)->last_packet_us = now;
    round_of_timeouts();
    json_object_clear(status);
    callcommands_add_counters(status, relay.calls);
    ck_assert_str_eq(members_text(status),
                     "{\"calls\":1,\"calls_ended\":0,\"calls_offered\":0,\"calls_timeouts\":2}");
    json_decref(status);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("callcommands");
    TCase *tcase = tcase_create("callcommands");

    int result;

    if (!core_start_engine())
        return 1;
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_list_nothing);
    tcase_add_test(tcase, test_list);
    tcase_add_loop_test(tcase, test_list_state, 0, sizeof(states) / sizeof(states[0]));
    tcase_add_test(tcase, test_list_pages);
    tcase_add_loop_test(tcase, test_list_wrong, 0, sizeof(bad_pages) / sizeof(bad_pages[0]));
    tcase_add_test(tcase, test_show);
    tcase_add_test(tcase, test_show_lines);
    tcase_add_test(tcase, test_show_fork);
    tcase_add_test(tcase, test_show_octets);
    tcase_add_loop_test(tcase, test_unknown, 0, sizeof(unknown) / sizeof(unknown[0]));
    tcase_add_test(tcase, test_types);
    tcase_add_test(tcase, test_end);
    tcase_add_test(tcase, test_end_offered);
    tcase_add_test(tcase, test_same_call_id);
    tcase_add_test(tcase, test_many_with_one_call_id);
    tcase_add_test(tcase, test_many_lines);
    tcase_add_test(tcase, test_sa_of_a_call);
    tcase_add_test(tcase, test_deleted_sas);
    tcase_add_test(tcase, test_restored);
    tcase_add_test(tcase, test_explain);
    tcase_add_loop_test(tcase, test_explain_bare, 0, 3);
    tcase_add_test(tcase, test_counts);
    suite_add_tcase(suite, tcase);
    result = unit_run(suite);
    core_stop_engine();
    return result;
}
