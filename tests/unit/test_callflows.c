/*
 * Whole flows of messages, as SIP proxies send them and as somebody could who wants to do harm:
 * what SAs there are in the end. Single messages are in test_calls.c, packets in
 * tests/pair/test_pair_sip.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/sa/table.h"
#include "common/srtp/srtp.h"
#include "inner-relay/calls.h"
#include "inner-relay/sdp.h"
#include "tests/unit/core.h"
#include "tests/unit/unit.h"

#define SECOND UINT64_C(1000000)
#define WALL   UINT64_C(1700000000000000)

static struct core core;
static struct calls *calls;
static uint64_t now;
static struct call_reply reply;
static struct call_error error;

static void make_calls(void)
{
    struct call_options options = {.offer_timeout_us = 180 * SECOND,
                                   .call_max_us = 86400 * SECOND,
                                   .media_timeout_us = 60 * SECOND,
                                   .max_calls = 8};

    calls = calls_new(&core.inner, &options);
    ck_assert_ptr_nonnull(calls);
}

static void setup(void)
{
    ck_assert(core_init(&core, 64));
    core_introduce(&core, 0, 1000, 1000);
    core.inner.links[0].peer.features = FEATURE_HAIRPIN;
    core.inner.options.learns_ssrcs = true;
    core.inner.options.source_policy = SOURCE_HINTED;
    make_calls();
    now = 1000 * SECOND;
}

static void teardown(void)
{
    calls_reply_free(&reply);
    calls_free(calls);
    core_fini(&core);
}

/* ------------------------------------------------------------ one step */

/*
 * offer|answer FROM TO WAY BRANCH IP:PORT/KEY[,ATTRIBUTE]   WAY: ei, ii ... (direction), @ADDRESS
 * (received-from), or both delete FROM TO BRANCH ok | refused                       what the last
 * message was at TAG ADDRESS | to TAG ADDRESS    source, and destination, of what that party sends
 * key TAG KEY                        its key
 * partner TAG TAG                    whom its media goes to
 * sas COUNT, calls COUNT
 * heard TAG                          a packet of its verified just now
 * wait SECONDS, restart
 * "-" is nothing.
 */
struct said {
    char word[6][80];
    int result;
};

static const char *const key_of[] = {
    "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj", "NzB4d1BINUAvLEw6UzF3WSJ+PSdFcGdUJShpX1Zj",
    "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz", "UzF3IT42avVCspeKvpEc3QGZiNWpVLFJhQX1cfHA"};
static const uint8_t first_octet_of[] = {0x77, 0x37, 0x59, 0x53};

static const char *sdp(const char *text)
{
    static char out[1024];
    char ip[40] = "", more[40] = "";
    unsigned port = 0, key = 0;
    int family;

    ck_assert_int_ge(sscanf(text, "%39[0-9.]:%u/%u,%39s", ip, &port, &key, more), 3);
    family = 4;
    snprintf(out, sizeof(out),
             "v=0\r\no=- 1 1 IN IP%d %s\r\ns=-\r\nc=IN IP%d %s\r\nt=0 0\r\n"
             "m=audio %u RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:%s\r\n%s%s%s",
             family, ip, family, ip, port, key_of[key], more[0] ? "a=" : "", more,
             more[0] ? "\r\n" : "");
    return out;
}

static enum sa_side side(char c)
{
    return c == 'e' ? SA_SIDE_EXTERNAL : c == 'i' ? SA_SIDE_INTERNAL : 0;
}

static const char *word(const struct said *said, int i)
{
    return strcmp(said->word[i], "-") == 0 ? "" : said->word[i];
}

static struct call_request request_of(const struct said *said)
{
    struct call_request request = {.call_id = "one@example",
                                   .from_tag = word(said, 1),
                                   .to_tag = word(said, 2),
                                   .via_branch = word(said, 4),
                                   .replace_origin = true,
                                   .replace_session_connection = true};
    const char *way = word(said, 3), *from = strchr(way, '@');

    request.sdp = sdp(said->word[5]);
    request.sdp_length = strlen(request.sdp);
    if (from) {
        char address[64];

        snprintf(address, sizeof(address), "%s:5060", from + 1);
        ck_assert_int_eq(addr_parse(address, &request.received_from), 0);
    }
    if (way[0] && from != way) {
        request.direction[0] = side(way[0]);
        request.direction[1] = side(way[1]);
    }
    return request;
}

static struct call_party *party_of(const char *tag)
{
    struct call *call = calls_find(calls, "one@example", tag, "");
    int number = call ? call_find_party(call, tag) : -1;

    ck_assert_msg(number >= 0, "no party %s", tag);
    return call->party[number];
}

static struct sa *sa_of(const char *tag)
{
    struct call_party *party = party_of(tag);
    struct sa *sa = party->line_count > 0 ? inner_find_sa(&core.inner, party->line[0].sa) : NULL;

    ck_assert_msg(sa != NULL, "%s has no SA", tag);
    return sa;
}

static const char *partner_of(const char *tag)
{
    struct call *call = calls_find(calls, "one@example", tag, "");
    int partner = party_of(tag)->partner;

    return partner < 0 ? "-" : call->party[partner]->tag;
}

static void check_addr(const struct addr *addr, const char *expected, const char *step)
{
    char text[ADDR_TEXT_SIZE] = "-";

    if (addr->family)
        addr_format(addr, text, sizeof(text));
    ck_assert_msg(strcmp(text, expected) == 0, "%s: it is %s", step, text);
}

static void do_delete(struct said *said)
{
    struct call_request request = {.call_id = "one@example",
                                   .from_tag = word(said, 1),
                                   .to_tag = word(said, 2),
                                   .via_branch = word(said, 3),
                                   .sdp = ""};

    said->result = calls_delete(calls, &request, now, &error);
}

static void do_message(struct said *said)
{
    struct call_request request = request_of(said);

    calls_reply_free(&reply);
    said->result = strcmp(said->word[0], "offer") == 0
                       ? calls_offer(calls, &request, WALL, now, &reply, &error)
                       : calls_answer(calls, &request, WALL, now, &reply, &error);
}

static void do_wait(unsigned seconds)
{
    for (; seconds > 0; seconds--) {
        now += SECOND;
        calls_tick(calls);
        while (calls_work(calls, now))
            ;
    }
}

static void do_restart(void)
{
    calls_free(calls);
    make_calls();
    calls_restore(calls, WALL, now);
}

static void check_key(const char *tag, const char *expected, const char *step)
{
    struct srtp_key key = {0};

    srtp_session_key(sa_of(tag)->srtp, SRTP_KEY_MASTER, &key);
    ck_assert_msg(key.octets[0] == first_octet_of[atoi(expected)], "%s: it is %02x...", step,
                  key.octets[0]);
}

static void check_state(const char *verb, const char *tag, const char *expected, const char *step)
{
    if (strcmp(verb, "at") == 0)
        check_addr(&sa_of(tag)->source.rtp, expected, step);
    else if (strcmp(verb, "to") == 0)
        check_addr(&sa_of(tag)->destination.rtp, expected, step);
    else if (strcmp(verb, "key") == 0)
        check_key(tag, expected, step);
    else if (strcmp(verb, "partner") == 0)
        ck_assert_msg(strcmp(partner_of(tag), expected) == 0, "%s: it is %s", step,
                      partner_of(tag));
    else if (strcmp(verb, "sas") == 0)
        ck_assert_msg(table_count(core.inner.table) == (size_t)atoi(tag), "%s: there are %zu", step,
                      table_count(core.inner.table));
    else if (strcmp(verb, "calls") == 0)
        ck_assert_msg(calls_count(calls) == (size_t)atoi(tag), "%s: there are %zu", step,
                      calls_count(calls));
    else
        ck_abort_msg("what is %s?", step);
}

static void do_step(struct said *said, const char *step)
{
    const char *verb = said->word[0];

    memset(said->word, 0, sizeof(said->word));
    ck_assert_int_ge(sscanf(step, "%79s %79s %79s %79s %79s %79s", said->word[0], said->word[1],
                            said->word[2], said->word[3], said->word[4], said->word[5]),
                     1);
    if (strcmp(verb, "offer") == 0 || strcmp(verb, "answer") == 0)
        do_message(said);
    else if (strcmp(verb, "delete") == 0)
        do_delete(said);
    else if (strcmp(verb, "ok") == 0)
        ck_assert_msg(said->result == 0, "%s", error.text);
    else if (strcmp(verb, "refused") == 0)
        ck_assert_msg(said->result < 0, "it was not refused");
    else if (strcmp(verb, "heard") == 0)
        sa_of(said->word[1])->last_packet_us = now;
    else if (strcmp(verb, "wait") == 0)
        do_wait((unsigned)atoi(said->word[1]));
    else if (strcmp(verb, "restart") == 0)
        do_restart();
    else
        check_state(verb, said->word[1], said->word[2], step);
}

/* ------------------------------------------------------------ flows */

enum { STEPS_MAX = 24 };

/* a is outside, b and c inside, where nothing else is said. */
static const struct {
    const char *name;
    const char *step[STEPS_MAX];
} flows[] = {
    {"a tag of the other side in an offer, from outside",
     {"offer a - @192.0.2.10 - 192.0.2.10:20000/0", "answer a b @10.0.1.20 - 10.0.1.20:30000/1",
      "ok", "offer b a @192.0.2.10 - 10.0.9.9:161/2", "refused",
      "answer b a @192.0.2.10 - 192.0.2.10:20000/0", "refused", "to a 10.0.1.20:30000"}},
    {"a tag of the other side in an answer, from outside",
     {"offer a - @192.0.2.10 - 192.0.2.10:20000/0", "answer a b @10.0.1.20 - 10.0.1.20:30000/1",
      "offer a b @192.0.2.10 - 192.0.2.10:20002/0", "ok", "answer a b @192.0.2.99 - 10.0.9.9:161/2",
      "refused", "to a 10.0.1.20:30000", "at a 192.0.2.10:20000",
      "answer a b @10.0.1.20 - 10.0.1.20:30000/1", "ok", "at a 192.0.2.10:20002"}},
    {"all messages come from a proxy inside, and direction is in the first ones",
     {"offer a - ei@10.0.0.9 - 192.0.2.10:20000/0", "answer a b ie@10.0.1.20 - 10.0.1.20:30000/1",
      "ok", "offer a b @10.0.0.9 - 192.0.2.10:20002/0", "ok",
      "answer a b @10.0.1.20 - 10.0.1.20:30000/1", "ok", "at a 192.0.2.10:20002"}},
    {"a phone moves outside, and the proxy says so",
     {"offer a - @192.0.2.10 - 192.0.2.10:20000/0", "answer a b @10.0.1.20 - 10.0.1.20:30000/1",
      "offer b a ee - 192.0.2.77:30000/1", "ok", "answer b a @192.0.2.10 - 192.0.2.10:20000/0",
      "ok", "sas 2"}},
    {"who knows Call-ID and tag calls as that party, from the other side",
     {"offer a - ie - 10.0.1.20:30000/0", "answer a c ei - 192.0.2.10:20000/1", "ok",
      "offer a - ee - 192.0.2.66:6666/2", "refused", "offer a zzz ee - 192.0.2.66:6666/2",
      "refused", "partner a c", "at a 10.0.1.20:30000", "sas 2"}},
    {"the first 200 once more, while a re-INVITE waits that is rejected",
     {"offer a - ei z1 192.0.2.10:20000/0", "answer a b ie z1 10.0.1.20:30000/1", "ok",
      "offer a b ei z2 192.0.2.10:20010/2", "answer a b ie z1 10.0.1.20:30000/1", "ok", "key a 0",
      "at a 192.0.2.10:20000", "answer a b ie z2 10.0.1.20:30000/1", "ok", "key a 2",
      "at a 192.0.2.10:20010", "answer a b ie z1 10.0.1.20:30000/1", "ok", "key a 2",
      "delete a b z3", "refused", "sas 2"}},
    {"without branches: the same answer is that to the re-INVITE, by a phone that stays as it is",
     {"offer a - ei - 192.0.2.10:20000/0", "answer a b ie - 10.0.1.20:30000/1",
      "offer a b ei - 192.0.2.10:20010/2", "answer a b ie - 10.0.1.20:30000/1", "ok", "key a 2",
      "answer a b ie - 10.0.1.20:30000/1", "ok", "key a 2", "at a 192.0.2.10:20010"}},
    {"183, UPDATE and its 200, and the 200 of the INVITE repeats the 183",
     {"offer a - ei - 192.0.2.10:20000/0", "answer a b ie - 10.0.1.20:30000/1",
      "offer a b ei - 192.0.2.10:20002/2", "answer a b ie - 10.0.1.20:30002/3", "ok", "key a 2",
      "answer a b ie - 10.0.1.20:30000/1", "ok", "key a 2", "at a 192.0.2.10:20002",
      "to a 10.0.1.20:30002", "key b 3"}},
    {"the same with branches",
     {"offer a - ei z1 192.0.2.10:20000/0", "answer a b ie z1 10.0.1.20:30000/1",
      "offer a b ei z2 192.0.2.10:20002/2", "answer a b ie z2 10.0.1.20:30002/3", "ok",
      "answer a b ie z1 10.0.1.20:30000/1", "ok", "key a 2", "to a 10.0.1.20:30002", "key b 3",
      "answer a b ie z1 10.0.1.20:30002/3", "ok", "key a 2", "to a 10.0.1.20:30002"}},
    {"UPDATE in the early dialog with one branch, then another one answers",
     {"offer a - ei 1 192.0.2.10:20000/0", "offer a - ei 2 192.0.2.10:20000/0",
      "answer a b ie 1 10.0.1.20:30000/1", "offer a b ei 3 192.0.2.10:20002/0",
      "answer a b ie 3 10.0.1.20:30002/1", "ok", "at a 192.0.2.10:20002",
      "answer a c ie 2 10.0.1.30:30002/2", "ok", "partner a c", "at a 192.0.2.10:20000"}},
    {"a refresh with the same words, after the other one has moved",
     {"offer a - ei - 192.0.2.10:20000/0", "answer a b ie - 10.0.1.20:30000/1",
      "offer a b ei - 192.0.2.10:20000/0", "answer a b ie - 10.0.1.20:30000/1", "ok",
      "offer b a ie - 10.0.1.99:31000/2", "answer b a ei - 192.0.2.10:20000/0", "ok", "key b 2",
      "to a 10.0.1.99:31000", "offer a b ei - 192.0.2.10:20000/0",
      "answer a b ie - 10.0.1.20:30000/1", "ok", "key b 1", "to a 10.0.1.20:30000"}},
    {"late offer: the ACK has another branch than the INVITE",
     {"offer b a ie z1 10.0.1.20:30000/1", "answer b a ei z2 192.0.2.10:20000/0", "ok", "sas 2"}},
    {"an answer with a branch that no INVITE had",
     {"offer a - ei z1 192.0.2.10:20000/0", "answer a b ie z2 10.0.1.20:30000/1", "refused",
      "answer a b ie - 10.0.1.20:30000/1", "ok"}},
    {"183 b, 183 c, and b's 200 has no SDP: the branch of c is deleted",
     {"offer a - ei 1 192.0.2.10:20000/0", "offer a - ei 2 192.0.2.10:20000/0",
      "answer a b ie 1 10.0.1.20:30000/1", "answer a c ie 2 10.0.1.30:30000/2", "partner a c",
      "delete a - 2", "ok", "partner a b", "partner b a", "to a 10.0.1.20:30000",
      "to b 192.0.2.10:20000", "at a 192.0.2.10:20000", "key a 0", "key b 1", "sas 2",
      "delete a - -", "ok", "sas 0", "calls 0"}},
    {"the same by to-tag, with three branches: the last one but one is next",
     {"offer a - ei - 192.0.2.10:20000/0", "answer a b ie - 10.0.1.20:30000/1", "wait 1",
      "answer a c ie - 10.0.1.30:30000/2", "wait 1", "answer a d ie - 10.0.1.40:30000/3",
      "delete a d -", "ok", "partner a c", "to a 10.0.1.30:30000", "delete a b -", "ok",
      "partner a c", "delete a c -", "ok", "calls 0"}},
    {"nobody deletes the branch of c: b is heard, and c is not",
     {"offer a - ei - 192.0.2.10:20000/0", "answer a b ie - 10.0.1.20:30000/1",
      "answer a c ie - 10.0.1.30:30000/2", "wait 4", "heard b", "wait 1", "partner a b",
      "to a 10.0.1.20:30000", "to b 192.0.2.10:20000", "to c -", "wait 4", "heard c", "heard b",
      "wait 1", "partner a b"}},
    {"c is heard, too, or nobody is: it stays as it is",
     {"offer a - ei - 192.0.2.10:20000/0", "answer a b ie - 10.0.1.20:30000/1",
      "answer a c ie - 10.0.1.30:30000/2", "wait 4", "heard b", "heard c", "wait 1", "partner a c",
      "wait 20", "partner a c", "heard b", "wait 1", "partner a b"}},
    {"branches on both sides: the one outside goes",
     {"offer a - ei 1 192.0.2.10:20000/0", "offer a - ee 2 192.0.2.10:20000/0",
      "answer a b ie 1 10.0.1.20:30000/1", "answer a c ee 2 192.0.2.30:30000/2", "ok",
      "partner a c", "to a 192.0.2.30:30000", "delete a - 2", "ok", "partner a b",
      "to a 10.0.1.20:30000", "at a 192.0.2.10:20000", "key a 0", "to b 192.0.2.10:20000", "sas 2",
      "delete b - -", "ok", "sas 0"}},
    {"b answers its INVITE after an UPDATE, and c had the media in between",
     {"offer a - ei 1 192.0.2.10:20000/0", "offer a - ei 2 192.0.2.10:20000/0",
      "answer a b ie 1 10.0.1.20:30000/1", "offer a b ei 3 192.0.2.10:20000/0",
      "answer a b ie 3 10.0.1.20:30002/3", "answer a c ie 2 10.0.1.30:30002/2", "partner a c",
      "answer a b ie 1 10.0.1.20:30000/1", "ok", "partner a b", "to a 10.0.1.20:30002", "key b 3",
      "to c -"}},
    {"a call on hold lives through a restart, and ends by silence after it was resumed",
     {"offer a - ei - 192.0.2.10:20000/0",
      "answer a b ie - 10.0.1.20:30000/1",
      "offer a b ei - 192.0.2.10:20000/0,inactive",
      "answer a b ie - 10.0.1.20:30000/1,inactive",
      "ok",
      "wait 300",
      "calls 1",
      "restart",
      "wait 300",
      "calls 1",
      "sas 2",
      "offer a b ei - 192.0.2.10:20000/0",
      "answer a b ie - 10.0.1.20:30000/1",
      "ok",
      "restart",
      "wait 59",
      "calls 1",
      "wait 2",
      "calls 0",
      "sas 0"}},
    {"a branch that talks to another one answers the caller, after an UPDATE of both",
     {"offer a - ee 1 192.0.2.10:20000/0", "answer a b ee 1 192.0.2.20:30000/1",
      "offer a - ee 2 192.0.2.10:20000/0", "answer a c ee 2 192.0.2.30:30000/2",
      "offer a b ee 3 192.0.2.10:20000/0", "answer a b ee 3 192.0.2.20:30002/1", "partner a b",
      "offer b c ee 4 192.0.2.20:30002/1", "answer b c ee 4 192.0.2.30:30000/2", "partner b c",
      "partner a -", "answer a b ee 1 192.0.2.20:30000/1", "ok", "partner a b", "partner b a",
      "partner c -", "to c -", "delete a - -", "sas 0"}},
    {"one tag for both",
     {"offer a - ei - 192.0.2.10:20000/0", "ok", "answer a a ie - 10.0.1.20:30000/1", "refused",
      "offer a a ei - 192.0.2.10:20000/0", "refused", "sas 0", "answer a b ie - 10.0.1.20:30000/1",
      "ok", "sas 2"}},
};

static void do_flow(const char *const *step)
{
    struct said said = {0};

    for (int i = 0; i < STEPS_MAX && step[i]; i++)
        do_step(&said, step[i]);
}

START_TEST(test_flow)
{
    do_flow(flows[_i].step);
}
END_TEST

/* Hunting through many phones, each with early media: who rang longest ago goes. */
START_TEST(test_many_branches)
{
    struct said said = {0};
    char step[80];

    do_step(&said, "offer a - ei - 192.0.2.10:20000/0");
    for (unsigned i = 0; i < 20; i++) {
        snprintf(step, sizeof(step), "answer a b%u ie - 10.0.1.%u:30000/%u", i, 20 + i, 1 + i % 3);
        do_step(&said, step);
        do_step(&said, "ok");
        snprintf(step, sizeof(step), "partner a b%u", i);
        do_step(&said, step);
        do_step(&said, "wait 1");
    }
    do_step(&said, "sas 10");
    /* Who was let go comes once more; a late offer by somebody new finds room, too. */
    do_step(&said, "answer a b3 ie - 10.0.1.23:30000/1");
    do_step(&said, "partner a b3");
    do_step(&said, "sas 10");
    do_step(&said, "offer z a ie - 10.0.1.99:30000/1");
    do_step(&said, "ok");
    do_step(&said, "answer z a ei - 192.0.2.10:20000/0");
    do_step(&said, "ok");
    do_step(&said, "partner a z");
    do_step(&said, "sas 10");
    do_step(&said, "delete a - -");
    do_step(&said, "sas 0");
}
END_TEST

/* Whatever a restart makes of them, SAs are some call's, or end by themselves. */
START_TEST(test_restart_of_many)
{
    struct said said = {0};
    char step[80];

    for (unsigned i = 0; i < 12; i++) {
        snprintf(step, sizeof(step), "offer a%u - ei - 192.0.2.%u:20000/0", i, 10 + i);
        do_step(&said, step);
        snprintf(step, sizeof(step), "answer a%u b%u ie - 10.0.1.%u:30000/1", i, i, 10 + i);
        do_step(&said, step);
        do_step(&said, i < 8 ? "ok" : "refused");
    }
    do_step(&said, "sas 16");
    if (_i == 0) {
        do_flow(
            &(const char *const[]){"restart", "delete x b1 -", "ok", "sas 0", "calls 0", NULL}[0]);
        return;
    }
    calls_free(calls);
    calls = calls_new(&core.inner, &(struct call_options){.max_calls = 1});
    core.inner.options.media_timeout_s = 60;
    calls_restore(calls, WALL, now);
    do_step(&said, "calls 1");
    now += 60 * SECOND;
    for (unsigned i = 0; i < 4; i++) {
        inner_tick(&core.inner);
        while (inner_work(&core.inner, now))
            ;
    }
    do_step(&said, "sas 10");
}
END_TEST

/* INVITEs with 16 lines, or 64 KB of SDP, that nobody answers leave room for calls. */
START_TEST(test_greedy_offers)
{
    struct call_request request = {.from_tag = "x", .to_tag = "", .via_branch = ""};
    char *text = malloc(SDP_MAX_OCTETS), id[32];
    unsigned taken = 0;
    size_t length;

    ck_assert_ptr_nonnull(text);
    length = (size_t)sprintf(text, "%s", sdp("192.0.2.66:20000/2"));
    for (unsigned i = 1; i < 16; i++)
        length += (size_t)sprintf(
            text + length,
            "m=audio %u RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:%s\r\n",
            20000 + 2 * i, key_of[2]);
    while (_i && length + 80 < SDP_MAX_OCTETS)
        length += (size_t)sprintf(text + length, "a=fill:%070d\r\n", 0);
    request.call_id = id;
    request.sdp = text;
    request.sdp_length = length;
    request.direction[0] = SA_SIDE_EXTERNAL;
    for (unsigned i = 0; i < 7; i++) {
        snprintf(id, sizeof(id), "greedy-%u", i);
        calls_reply_free(&reply);
        taken += calls_offer(calls, &request, WALL, now, &reply, &error) == 0;
    }
    ck_assert_uint_eq(taken, _i ? 1 : 7);
    ck_assert_uint_le(calls->reserved, 7 * 4);
    do_flow(&(const char *const[]){"offer a - ei - 192.0.2.10:20000/0", "ok",
                                   "answer a b ie - 10.0.1.20:30000/1", "ok", "sas 2",
                                   "offer a b ei - 192.0.2.10:20002/0", "ok", NULL}[0]);
    do_flow(&(const char *const[]){"wait 180", "calls 0", NULL}[0]);
    ck_assert_uint_eq(calls->staged, 0);
    free(text);
}
END_TEST

/* Nothing that is said or known is overruled by an SDP; where nothing is, a peer's is outside. */
static const struct {
    const char *step[4];
} peers[] = {
    {{"offer a - ie - 198.51.100.10:5004/0", "refused"}},
    {{"offer a - ii - 198.51.100.10:5004/0", "refused"}},
    {{"offer a - ie - 10.0.1.20:30000/0", "ok", "offer a - @10.0.1.20 - 198.51.100.10:5004/0",
      "refused"}},
    {{"offer a - ei - 198.51.100.10:5004/0", "ok"}},
    {{"offer a - @10.0.1.20 - 198.51.100.10:5004/0", "ok"}},
};

START_TEST(test_peer)
{
    struct target_rules *rules = &core.inner.rules;
    struct said said = {0};

    ck_assert_int_eq(addr_parse("198.51.100.10:5004", &rules->peer[rules->peer_count++]), 0);
    for (int i = 0; i < 4 && peers[_i].step[i]; i++)
        do_step(&said, peers[_i].step[i]);
}
END_TEST

/* What no answer could make good is refused before a phone rings. */
START_TEST(test_no_ssrc)
{
    struct said said = {0};

    core.inner.options.learns_ssrcs = false;
    do_step(&said, "offer a - ei - 192.0.2.10:20000/0");
    do_step(&said, "refused");
    ck_assert_msg(strstr(error.text, "SDP line 6: no a=ssrc") != NULL, "%s", error.text);
    do_step(&said, "calls 0");
    do_step(&said, "offer a - ei - 192.0.2.10:20000/0,ssrc:7");
    do_step(&said, "ok");
    core.inner.options.learns_ssrcs = true;
    core.inner.options.dmz_keys = WIRE_REPLICA_KEYLESS;
    do_step(&said, "offer b - ei - 192.0.2.10:20000/0");
    do_step(&said, "refused");
    do_step(&said, "offer b - ie - 10.0.1.20:30000/1");
    do_step(&said, "ok");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("callflows");
    TCase *tc = tcase_create("callflows");
    int result;

    if (!core_start_engine())
        return 1;
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, test_flow, 0, sizeof(flows) / sizeof(flows[0]));
    tcase_add_test(tc, test_many_branches);
    tcase_add_loop_test(tc, test_restart_of_many, 0, 2);
    tcase_add_loop_test(tc, test_greedy_offers, 0, 2);
    tcase_add_loop_test(tc, test_peer, 0, sizeof(peers) / sizeof(peers[0]));
    tcase_add_test(tc, test_no_ssrc);
    suite_add_tcase(suite, tc);
    result = unit_run(suite);
    core_stop_engine();
    return result;
}
