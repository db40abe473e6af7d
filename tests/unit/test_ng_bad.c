/*
 * What a hostile or broken proxy may ask, through all of ng, SDP and calls: each gets a reply with
 * a reason, the call that is there stays as it is, and nothing grows.
 */
#include <jansson.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/writer.h"
#include "common/sa/table.h"
#include "common/sa/wire.h"
#include "inner-relay/calls.h"
#include "inner-relay/ng.h"
#include "tests/unit/core.h"
#include "tests/unit/unit.h"

#define SECOND UINT64_C(1000000)
#define KEY    "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj"
#define OTHER  "NzB4d1BINUAvLEw6UzF3WSJ+PSdFcGdUJShpX1Zj"
#define SUITE  "AES_CM_128_HMAC_SHA1_80"

enum { AGAIN = 30, GROWTH_OCTETS = 2048 };

static struct core core;
static struct calls *calls;
static struct ng *ng;
static uint64_t now;
static unsigned cookie;
static char reply[131072];

/* ------------------------------------------------------------ asking */

static const char *ask(const char *body, size_t length)
{
    struct ng_asker asker = {.socket = 0};
    char *request = malloc(length + 32), *answer;
    size_t head, size;

    ck_assert_ptr_nonnull(request);
    head = (size_t)snprintf(request, 32, "cookie%u ", cookie++);
    memcpy(request + head, body, length);
    answer = ng_answer(ng, &asker, request, head + length, now, now, &size);
    ck_assert_ptr_nonnull(answer);
    ck_assert_uint_lt(size, sizeof(reply));
    memcpy(reply, answer, size);
    reply[size] = '\0';
    ng_reply_free(answer, size);
    free(request);
    return reply;
}

/* NULL and "" are left out. */
struct message {
    const char *command, *call_id, *from, *to, *branch, *direction, *sdp;
};

static const char *say(const struct message *m)
{
    json_t *dict =
        json_pack("{s:s*,s:s*,s:s*,s:s*,s:s*,s:s*}", "command", m->command, "call-id", m->call_id,
                  "from-tag", m->from, "to-tag", m->to, "via-branch", m->branch, "sdp", m->sdp);
    char *text;

    if (m->direction)
        json_object_set_new(dict, "direction",
                            json_pack("[s,s]", m->direction[0] == 'e' ? "external" : "internal",
                                      m->direction[1] == 'e' ? "external" : "internal"));
    text = json_dumps(dict, JSON_COMPACT);
    ck_assert_ptr_nonnull(text);
    (void)ask(text, strlen(text));
    free(text);
    json_decref(dict);
    return reply;
}

static const char *audio(const char *ip, unsigned port, const char *more)
{
    static char out[2][2048];
    static unsigned turn;
    char *text = out[turn++ % 2];

    snprintf(text, sizeof(out[0]),
             "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP%d %s\r\nt=0 0\r\n"
             "m=audio %u RTP/SAVP 0\r\n%s",
             strchr(ip, ':') ? 6 : 4, ip, port, more);
    return text;
}

#define CRYPTO(key) "a=crypto:1 " SUITE " inline:" key "\r\n"

static bool is_ok(void)
{
    return strstr(reply, "\"result\":\"ok\"") || strstr(reply, "6:result2:ok");
}

static void expect_error(const char *because)
{
    ck_assert_msg(!is_ok() && strstr(reply, "error-reason"), "no error: %s", reply);
    ck_assert_msg(strstr(reply, because) != NULL, "no \"%s\" in: %s", because, reply);
}

/* ------------------------------------------------------------ what is there */

/* All that may grow, and the SAs. */
struct picture {
    size_t calls, staged, promised, reserved, sas, length;
    uint64_t next_number;
    uint8_t octets[4096];
};

static void take_picture(struct picture *picture)
{
    struct table_walk walk;
    struct writer w;
    struct sa *sa;

    memset(picture, 0, sizeof(*picture));
    picture->calls = calls_count(calls);
    picture->staged = calls->staged;
    picture->promised = core.inner.promises.used;
    picture->reserved = calls->reserved;
    picture->next_number = calls->next_number;
    picture->sas = table_count(core.inner.table);
    writer_init(&w, picture->octets, sizeof(picture->octets));
    table_walk_begin(core.inner.table, &walk);
    while ((sa = table_walk_next(core.inner.table, &walk)))
        wire_put_sa(&w, sa, WIRE_STATE);
    ck_assert(!w.failed);
    picture->length = writer_length(&w);
}

static struct picture before;

static void expect_untouched(void)
{
    struct picture after;

    take_picture(&after);
    ck_assert_mem_eq(&before, &after, sizeof(before));
}

static size_t heap_octets(void)
{
    for (unsigned i = 0; i < 60; i++) { /* what is kept for repeats goes */
        now += SECOND;
        ng_tick(ng, now);
    }
    return mallinfo2().uordblks;
}

static void setup(void)
{
    struct call_options options = {.offer_timeout_us = 3600 * SECOND, .max_calls = 8};
    struct message m = {.command = "offer",
                        .call_id = "one",
                        .from = "a",
                        .direction = "ei",
                        .sdp = audio("192.0.2.10", 20000, CRYPTO(KEY))};

    ck_assert(core_init(&core, 32));
    core_introduce(&core, 0, 100, 100);
    core.inner.links[0].peer.features = FEATURE_HAIRPIN;
    core.inner.options.learns_ssrcs = true;
    core.inner.options.source_policy = SOURCE_HINTED;
    calls = calls_new(&core.inner, &options);
    ck_assert_ptr_nonnull(calls);
    now = 1000 * SECOND;
    ng = ng_new(&core.inner, calls, now);
    ck_assert_ptr_nonnull(ng);
    (void)say(&m);
    ck_assert_msg(is_ok(), "%s", reply);
    m.command = "answer";
    m.to = "b";
    m.direction = NULL;
    m.sdp = audio("10.0.1.20", 30000, CRYPTO(OTHER));
    (void)say(&m);
    ck_assert_msg(is_ok(), "%s", reply);
    ck_assert_uint_eq(table_count(core.inner.table), 2);
    take_picture(&before);
}

static void teardown(void)
{
    ng_free(ng);
    calls_free(calls);
    core_fini(&core);
}

/* ------------------------------------------------------------ bencode and dictionaries */

static const struct {
    const char *piece; /* so often */
    size_t count;
    const char *because;
} raw[] = {
    /* depth */
    {"l", 100000, "longer than 65536 octets"},
    {"l", 60000, "nested more than 16 deep"},
    {"d1:a", 15000, "nested more than 16 deep"},
    {"{\"a\":", 10000, "nested more than 16 deep"},
    {"[", 60000, "neither"},
    /* lengths and numbers */
    {"d7:command9223372036854775808:x", 1, "the number is larger than"},
    {"d7:command18446744073709551616:x", 1, "the number is larger than"},
    {"d7:commandi9223372036854775808ee", 1, "the number is larger than"},
    {"d7:command65536:offere", 1, "bencode: octet"},
    {"d7:command-5:offere", 1, "bencode: octet"},
    {"d-7:command5:offere", 1, "bencode: octet"},
    {"d7:commandi-ee", 1, "bencode: octet"},
    {"d7:command5:offer7:call-idi-1ee", 1, "call-id"},
    {"d7:command5:off", 1, "bencode: octet"},
    {"d7:command5:offer", 1, "bencode: octet"},
    {"d7:command", 1, "bencode: octet"},
    {"d", 1, "bencode: octet"},
    {"{\"command\":\"offer\",", 1, "error-reason"},
    /* missing keys */
    {"d7:command5:offere", 1, "is missing"},
    {"d7:command5:offer7:call-id3:onee", 1, "is missing"},
    {"d7:command5:offer7:call-id3:one8:from-tag1:ae", 1, "sdp"},
    {"d7:command6:answer7:call-id3:one8:from-tag1:a3:sdp3:v=0e", 1, "to-tag"},
    {"d7:command6:deletee", 1, "call-id"},
    {"d7:command5:querye", 1, "call-id"},
    {"de", 1, "Unrecognized command"},
    /* wrong types */
    {"d7:commandi1ee", 1, "command"},
    {"d7:commandl5:offeree", 1, "command"},
    {"d7:command5:offer7:call-idi7e8:from-tag1:a3:sdp3:v=0e", 1, "call-id"},
    {"d7:command5:offer7:call-id3:one8:from-tagd1:a1:be3:sdp3:v=0e", 1, "from-tag"},
    {"d7:command5:offer7:call-id3:one8:from-tag1:a3:sdpli1eee", 1, "sdp"},
    {"d7:command5:offer7:call-id3:one8:from-tag1:a3:sdp3:v=09:directioni1ee", 1, "direction"},
    {"d7:command5:offer7:call-id3:one8:from-tag1:a3:sdp3:v=013:received-fromli4eee", 1,
     "received-from"},
    {"d7:command5:offer7:call-id3:one8:from-tag1:a3:sdp3:v=013:received-fromi4ee", 1,
     "received-from"},
    {"d7:command5:offer7:call-id3:one8:from-tag1:a3:sdp3:v=014:address-familyd1:a1:bee", 1,
     "address-family"},
    {"d7:command6:delete7:call-idl3:oneee", 1, "call-id"},
};

START_TEST(test_raw)
{
    size_t piece = strlen(raw[_i].piece), length = piece * raw[_i].count;
    char *text = malloc(length);
    size_t heap = 0;

    ck_assert_ptr_nonnull(text);
    for (size_t i = 0; i < raw[_i].count; i++)
        memcpy(text + i * piece, raw[_i].piece, piece);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < AGAIN / 10; i++) {
            (void)ask(text, length);
            expect_error(raw[_i].because);
        }
        ck_assert(round == 0 || heap_octets() <= heap + GROWTH_OCTETS);
        heap = heap_octets();
    }
    expect_untouched();
    free(text);
}
END_TEST

/* A right offer, cut at each octet. */
START_TEST(test_truncated)
{
    char text[1024];
    const char *sdp = audio("192.0.2.99", 22000, CRYPTO(KEY));
    int length = snprintf(text, sizeof(text),
                          "d7:command5:offer7:call-id3:one8:from-tag1:a6:to-tag1:b9:direction"
                          "l8:external8:internale3:sdp%zu:%se",
                          strlen(sdp), sdp);

    for (size_t i = 1; i < (size_t)length; i++) {
        (void)ask(text, i);
        expect_error("");
    }
    expect_untouched();
    (void)ask(text, (size_t)length);
    ck_assert_msg(is_ok(), "%s", reply);
}
END_TEST

/* ------------------------------------------------------------ SDP and calls */

#define TARGET(direction, ip, why)                                                                 \
    {                                                                                              \
        "offer", "one", "a", "b", direction, ip, 20000, CRYPTO(OTHER), why                         \
    }
#define TARGET_OF_ANSWER(ip, why)                                                                  \
    {                                                                                              \
        "answer", "two", "x", "y", NULL, ip, 20000, CRYPTO(OTHER), why                             \
    }
#define MEDIA(more, why)                                                                           \
    {                                                                                              \
        "offer", "one", "a", "b", "ei", "192.0.2.10", 20000, more, why                             \
    }

static const struct {
    const char *command, *call_id, *from, *to, *direction, *ip;
    unsigned port;
    const char *more, *because;
} bad[] = {
    /* a=crypto */
    MEDIA("", "no a=crypto line"),
    MEDIA("a=crypto:1 " SUITE " inline:c2hvcnQ=\r\n", "no a=crypto line that can be used: "),
    MEDIA("a=crypto:1 " SUITE " inline:" KEY KEY "\r\n", "no a=crypto line that can be used: "),
    MEDIA("a=crypto:1 " SUITE " inline:d0Rm*mcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj\r\n",
          "no a=crypto line that can be used: "),
    MEDIA("a=crypto:1 " SUITE " inline:\r\n", "no a=crypto line that can be used: "),
    MEDIA("a=crypto:1 " SUITE "\r\n", "no a=crypto line that can be used: "),
    MEDIA("a=crypto:1 ROT13 inline:" KEY "\r\na=crypto:2 NULL inline:" KEY "\r\n",
          "no a=crypto line that can be used: "),
    /* who may be sent to, or has been signalled as such */
    TARGET("ei", "127.0.0.1", "loopback"),
    TARGET("ei", "127.255.255.254", "loopback"),
    TARGET("ei", "::1", "loopback"),
    TARGET("ei", "::ffff:127.0.0.1", "loopback"),
    TARGET("ei", "64:ff9b::7f00:1", "loopback"),
    TARGET("ei", "2002:7f00:1::", "loopback"),
    TARGET("ei", "224.0.0.1", "multicast"),
    TARGET("ei", "239.255.255.255", "multicast"),
    TARGET("ei", "ff02::1", "multicast"),
    TARGET("ei", "64:ff9b::e000:1", "multicast"),
    TARGET("ei", "255.255.255.255", "broadcast"),
    TARGET("ei", "203.0.113.7", "not the RTP port of a listener"),
    TARGET("ie", "127.0.0.1", "loopback"),
    TARGET("ie", "::1", "loopback"),
    TARGET("ie", "224.0.0.1", "multicast"),
    TARGET("ie", "255.255.255.255", "broadcast"),
    TARGET("ie", "192.0.2.10", "internal"),
    TARGET("ie", "8.8.8.8", "internal"),
    TARGET("ie", "10.0.0.1", "the relay's own"),
    TARGET_OF_ANSWER("127.0.0.1", "loopback"),
    TARGET_OF_ANSWER("ff02::1", "multicast"),
    TARGET_OF_ANSWER("10.0.0.101", "the relay's own"),
    TARGET_OF_ANSWER("192.0.2.10", "internal"),
    TARGET_OF_ANSWER("0.0.0.0", "source"),
    {"offer", "one", "a", "b", "ei", "10.0.0.101", 4000, CRYPTO(OTHER), "this relay's own"},
    {"offer", "one", "a", "b", "ei", "10.0.0.1", 4001, CRYPTO(OTHER), "this relay's own"},
    {"offer", "one", "a", "b", "ei", "203.0.113.7", 5005, CRYPTO(OTHER), "not the RTP port"},
    {"offer", "one", "b", "a", "ie", "10.0.0.101", 4000, CRYPTO(OTHER), "this relay's own"},
    MEDIA(CRYPTO(OTHER) "a=rtcp:9 IN IP4 127.0.0.1\r\n", "loopback"),
    MEDIA(CRYPTO(OTHER) "a=rtcp:9 IN IP4 239.1.1.1\r\n", "multicast"),
    MEDIA(CRYPTO(OTHER) "a=rtcp:4001 IN IP4 10.0.0.101\r\n", "this relay's own"),
    MEDIA(CRYPTO(OTHER) "a=rtcp:5005 IN IP4 203.0.113.7\r\n", "the dmz-relay's own"),
    /* no such call, and no such offer */
    {"answer", "none", "a", "b", NULL, "10.0.1.20", 30000, CRYPTO(KEY), "no offer"},
    {"answer", "one", "b", "a", NULL, "192.0.2.10", 20000, CRYPTO(KEY), "no offer"},
    {"answer", "one", "x", "b", NULL, "10.0.1.20", 30000, CRYPTO(KEY), "no offer"},
    {"answer", "two", "x", "", NULL, "10.0.1.20", 30000, CRYPTO(KEY), "to-tag"},
    {"answer", "two", "x", "y", NULL, "10.0.1.20", 30000,
     "a=crypto:7 " SUITE " inline:" OTHER "\r\n", "not offered"},
    {"answer", "two", "x", "y", NULL, "10.0.1.20", 30000,
     "a=crypto:1 AES_CM_128_HMAC_SHA1_32 inline:" OTHER "\r\n", "another suite"},
    {"answer", "two", "x", "y", NULL, "10.0.1.20", 30000,
     CRYPTO(OTHER) "m=video 30002 RTP/SAVP 96\r\n" CRYPTO(KEY), "2 m= lines"},
    {"offer", "three", "a", "", NULL, "192.0.2.10", 20000, CRYPTO(KEY), "neither direction nor"},
};

/* A second call that rings, for answers that are bad. */
static void ring(void)
{
    struct message m = {.command = "offer",
                        .call_id = "two",
                        .from = "x",
                        .direction = "ei",
                        .sdp = audio("192.0.2.50", 20000, CRYPTO(KEY))};

    (void)say(&m);
    ck_assert_msg(is_ok(), "%s", reply);
    take_picture(&before);
}

START_TEST(test_bad)
{
    struct message m = {.command = bad[_i].command,
                        .call_id = bad[_i].call_id,
                        .from = bad[_i].from,
                        .to = bad[_i].to,
                        .direction = bad[_i].direction};
    char sdp[2048];
    size_t heap = 0;

    ring();
    snprintf(sdp, sizeof(sdp), "%s", audio(bad[_i].ip, bad[_i].port, bad[_i].more));
    m.sdp = sdp;
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < AGAIN; i++) {
            (void)say(&m);
            expect_error(bad[_i].because);
        }
        ck_assert(round == 0 || heap_octets() <= heap + GROWTH_OCTETS);
        heap = heap_octets();
    }
    expect_untouched();
}
END_TEST

/* 64 KiB with 500 m= lines; as many octets as there may be; and one line too many. */
START_TEST(test_large)
{
    struct message m = {
        .command = "offer", .call_id = "one", .from = "a", .to = "b", .direction = "ei"};
    char *sdp = malloc(70000);
    size_t length, lines = _i == 0 ? 500 : 17;

    ck_assert_ptr_nonnull(sdp);
    length = (size_t)snprintf(sdp, 70000, "%s", audio("192.0.2.10", 20000, CRYPTO(KEY)));
    for (size_t i = 1; i < lines && _i < 2; i++)
        length += (size_t)snprintf(sdp + length, 70000 - length,
                                   "m=audio %zu RTP/SAVP 0\r\n" CRYPTO(OTHER), 20000 + 2 * i);
    while (_i != 1 && length < (_i == 0 ? 62000 : 66000))
        length += (size_t)snprintf(sdp + length, 70000 - length, "a=x:%060d\r\n", 0);
    m.sdp = sdp;
    for (unsigned i = 0; i < 10; i++) {
        (void)say(&m);
        expect_error(_i == 2 ? "65536" : "m= lines");
    }
    expect_untouched();
    free(sdp);
}
END_TEST

/* Who is not there, and whose tags are others', gets nothing done. */
static const struct message foreign[] = {
    {"delete", "none", "a", "b", NULL, NULL, NULL},  {"delete", "one", "x", "y", NULL, NULL, NULL},
    {"delete", "one", "x", "b", NULL, NULL, NULL},   {"delete", "one", "x", "a", NULL, NULL, NULL},
    {"delete", "one", "x", NULL, NULL, NULL, NULL},  {"delete", "one", "a", "z", NULL, NULL, NULL},
    {"delete", "one", "a", NULL, "z-9", NULL, NULL}, {"delete", "ONE", "a", "b", NULL, NULL, NULL},
    {"delete", "on", "a", "b", NULL, NULL, NULL},    {"query", "none", "a", "b", NULL, NULL, NULL},
    {"query", "one", "x", "y", NULL, NULL, NULL},
};

START_TEST(test_foreign)
{
    (void)say(&foreign[_i]);
    ck_assert_msg(strstr(reply, "not found") || strstr(reply, "Unknown call-id"), "%s", reply);
    expect_untouched();
}
END_TEST

/* Two calls with one Call-ID: each goes its way. */
START_TEST(test_two_of_one)
{
    struct message m = {.command = "offer",
                        .call_id = "one",
                        .from = "x",
                        .direction = "ei",
                        .sdp = audio("192.0.2.50", 20000, CRYPTO(KEY))};
    struct picture after;

    m.sdp = audio("192.0.2.50", 22000,
                  "a=crypto:1 " SUITE " inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\r\n");
    (void)say(&m);
    ck_assert_msg(is_ok(), "%s", reply);
    m.command = "answer";
    m.to = "y";
    m.direction = NULL;
    m.sdp = audio("10.0.1.50", 32000,
                  "a=crypto:1 " SUITE " inline:UzF3IT42avVCspeKvpEc3QGZiNWpVLFJhQX1cfHA\r\n");
    (void)say(&m);
    ck_assert_msg(is_ok(), "%s", reply);
    ck_assert_uint_eq(calls_count(calls), 2);
    ck_assert_uint_eq(table_count(core.inner.table), 4);
    (void)say(&(struct message){.command = "delete", .call_id = "one", .from = "y", .to = "x"});
    ck_assert_msg(is_ok(), "%s", reply);
    take_picture(&after);
    after.next_number = before.next_number;
    ck_assert_mem_eq(&before, &after, sizeof(before));
}
END_TEST

/* The tunnel is down: an offer is answered at once, as [signalling] when-down says. */
START_TEST(test_down)
{
    struct call_options options = calls->options;
    struct message m = {.command = "offer",
                        .call_id = "two",
                        .from = "x",
                        .direction = "ei",
                        .sdp = audio("192.0.2.50", 20000, CRYPTO(KEY))};

    options.when_down = _i ? CALL_WHEN_DOWN_ACCEPT : CALL_WHEN_DOWN_REFUSE;
    calls_set_options(calls, &options);
    ck_assert_ptr_null(core.inner.links[0].session);
    (void)say(&m);
    if (_i) {
        ck_assert_msg(is_ok(), "%s", reply);
    } else {
        expect_error("Parallel session limit reached");
        expect_untouched();
    }
    /* It was never up: what is to be shown is not known. */
    core.inner.links[0].peer = (struct hello){0};
    m.call_id = "three";
    (void)say(&m);
    expect_error("");
    ck_assert_uint_eq(table_count(core.inner.table), 2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ng bad");
    TCase *tc = tcase_create("bad");
    int result;

    if (!core_start_engine())
        return 1;
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, test_raw, 0, sizeof(raw) / sizeof(raw[0]));
    tcase_add_test(tc, test_truncated);
    tcase_add_loop_test(tc, test_bad, 0, sizeof(bad) / sizeof(bad[0]));
    tcase_add_loop_test(tc, test_large, 0, 3);
    tcase_add_loop_test(tc, test_foreign, 0, sizeof(foreign) / sizeof(foreign[0]));
    tcase_add_test(tc, test_two_of_one);
    tcase_add_loop_test(tc, test_down, 0, 2);
    suite_add_tcase(suite, tc);
    result = unit_run(suite);
    core_stop_engine();
    return result;
}
