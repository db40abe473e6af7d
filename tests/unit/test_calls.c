/* What offers, answers and deletions make of SAs. Packets are in tests/pair/test_pair_sip.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/writer.h"
#include "common/sa/table.h"
#include "common/sa/wire.h"
#include "inner-relay/calls.h"
#include "inner-relay/sdp.h"
#include "tests/unit/core.h"
#include "tests/unit/unit.h"

#define SECOND UINT64_C(1000000)
#define WALL   UINT64_C(1700000000000000)

static struct core core;
static struct calls *calls;
static uint64_t now;

static void setup(void)
{
    struct call_options options = {.offer_timeout_us = 180 * SECOND,
                                   .call_max_us = 86400 * SECOND,
                                   .media_timeout_us = 60 * SECOND,
                                   .max_calls = 8};

    ck_assert(core_init(&core, 32));
    core_introduce(&core, 0, 1000, 1000);
    core.inner.links[0].peer.features = FEATURE_HAIRPIN;
    core.inner.options.learns_ssrcs = true;
    core.inner.options.source_policy = SOURCE_HINTED;
    calls = calls_new(&core.inner, &options);
    ck_assert_ptr_nonnull(calls);
    now = 1000 * SECOND;
}

static struct call_reply reply;
static struct call_error error;

static void teardown(void)
{
    calls_reply_free(&reply);
    calls_free(calls);
    core_fini(&core);
}

/* ------------------------------------------------------------ messages */

static const char *const key_of[] = {
    "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj", "NzB4d1BINUAvLEw6UzF3WSJ+PSdFcGdUJShpX1Zj",
    "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz", "UzF3IT42avVCspeKvpEc3QGZiNWpVLFJhQX1cfHA"};

/* One m= line: key is one of key_of, direction "" is sendrecv. */
static const char *line(char *out, size_t size, const char *kind, unsigned port, unsigned key,
                        const char *more)
{
    snprintf(out, size,
             "m=%s %u RTP/SAVP 0\r\n"
             "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:%s\r\n%s",
             kind, port, key_of[key], more);
    return out;
}

static const char *sdp(const char *ip, const char *lines)
{
    static char out[2][8192];
    static unsigned turn;
    char *text = out[turn++ % 2];

    snprintf(text, sizeof(out[0]),
             "v=0\r\no=- 1 1 IN IP%d %s\r\ns=-\r\nc=IN IP%d %s\r\nt=0 0\r\n%s",
             strchr(ip, ':') ? 6 : 4, ip, strchr(ip, ':') ? 6 : 4, ip, lines);
    return text;
}

static const char *audio(const char *ip, unsigned port, unsigned key)
{
    char text[512];

    return sdp(ip, line(text, sizeof(text), "audio", port, key, ""));
}

static struct call_request request_of(const char *from, const char *to, const char *text)
{
    return (struct call_request){.call_id = "one@example",
                                 .from_tag = from,
                                 .to_tag = to,
                                 .via_branch = "",
                                 .sdp = text,
                                 .sdp_length = strlen(text),
                                 .replace_origin = true,
                                 .replace_session_connection = true};
}

static int offer_as(const struct call_request *request)
{
    calls_reply_free(&reply);
    return calls_offer(calls, request, WALL, now, &reply, &error);
}

static int answer_as(const struct call_request *request)
{
    calls_reply_free(&reply);
    return calls_answer(calls, request, WALL, now, &reply, &error);
}

static enum sa_side side(char c)
{
    return c == 'e' ? SA_SIDE_EXTERNAL : c == 'i' ? SA_SIDE_INTERNAL : 0;
}

/* direction: "ei" is from outside to inside. */
static int offer(const char *from, const char *to, const char *direction, const char *text)
{
    struct call_request request = request_of(from, to, text);

    request.direction[0] = side(direction[0]);
    request.direction[1] = direction[0] ? side(direction[1]) : 0;
    return offer_as(&request);
}

static int answer(const char *from, const char *to, const char *text)
{
    struct call_request request = request_of(from, to, text);

    return answer_as(&request);
}

static int delete_as(const char *from, const char *to, const char *branch)
{
    struct call_request request = request_of(from, to, "");

    request.via_branch = branch;
    return calls_delete(calls, &request, now, &error);
}

#define ck_ok(expression) ck_assert_msg((expression) == 0, "%s", error.text)
#define ck_shows(text)                                                                             \
    ck_assert_msg(strstr(reply.sdp, text) != NULL, "no %s in:\n%s", text, reply.sdp)

static size_t sas(void)
{
    return table_count(core.inner.table);
}

static struct sa *sa_of(const char *tag, unsigned m)
{
    struct call *call = calls_find(calls, "one@example", tag, "");
    int party = call ? call_find_party(call, tag) : -1;

    ck_assert_int_ge(party, 0);
    if (m >= call->party[party]->line_count || !call->party[party]->line[m].sa)
        return NULL;
    return inner_find_sa(&core.inner, call->party[party]->line[m].sa);
}

static void check_addr(const struct addr *addr, const char *expected)
{
    char text[ADDR_TEXT_SIZE] = "none";

    if (addr->family)
        addr_format(addr, text, sizeof(text));
    ck_assert_str_eq(text, expected);
}

static void run_round(void)
{
    calls_tick(calls);
    while (calls_work(calls, now))
        ;
}

/*
 * m= lines with a source, an SSRC and a key each, all of which follow from number; the last one is
 * the first again where twin says so: nothing tells the two apart.
 */
static const char *many(const char *ip, unsigned number, unsigned count, bool twin)
{
    char lines[4096] = "";

    for (unsigned i = 0; i < count; i++) {
        unsigned n = twin && i == count - 1 ? number : number + i;
        size_t at = strlen(lines);

        snprintf(lines + at, sizeof(lines) - at,
                 "m=audio %u RTP/SAVP 0\r\n"
                 "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:%c%c%s\r\na=ssrc:%u cname:x\r\n",
                 20000 + 2 * n, 'A' + (char)(n / 26), 'A' + (char)(n % 26), key_of[0] + 2,
                 1000 + n);
    }
    return sdp(ip, lines);
}

/* A phone outside calls one inside. */
static void set_up(void)
{
    ck_ok(offer("a", "", "ei", audio("192.0.2.10", 20000, 0)));
    ck_ok(answer("a", "b", audio("10.0.1.20", 30000, 1)));
}

/* ------------------------------------------------------------ one line */

START_TEST(test_inward)
{
    struct sa *a, *b;

    ck_ok(offer("a", "", "ei", audio("192.0.2.10", 20000, 0)));
    ck_shows("c=IN IP4 10.0.0.101\r\n");
    ck_shows("m=audio 4000 ");
    ck_assert_uint_eq(sas(), 0);
    ck_ok(answer("a", "b", audio("10.0.1.20", 30000, 1)));
    ck_shows("c=IN IP4 203.0.113.7\r\n");
    ck_shows("m=audio 5004 ");
    ck_assert_uint_eq(sas(), 2);
    a = sa_of("a", 0);
    b = sa_of("b", 0);
    ck_assert(a && b);
    ck_assert_int_eq(a->side, SA_SIDE_EXTERNAL);
    check_addr(&a->source.rtp, "192.0.2.10:20000");
    check_addr(&a->source.rtcp, "192.0.2.10:20001");
    check_addr(&a->destination.rtp, "10.0.1.20:30000");
    check_addr(&b->source.rtp, "10.0.1.20:30000");
    check_addr(&b->destination.rtp, "192.0.2.10:20000");
    ck_assert_uint_eq(a->reverse, b->id);
    ck_assert_uint_eq(b->reverse, a->id);
    ck_assert_uint_eq(a->media_timeout_s, SA_TIMEOUT_BY_CALL);
    ck_assert_str_eq(sa_text(a, SA_CALL_ID), "one@example");
    ck_ok(delete_as("a", "", ""));
    ck_assert_uint_eq(sas(), 0);
    ck_assert_uint_eq(calls_count(calls), 0);
    ck_assert_int_eq(delete_as("a", "", ""), ERR_NOT_FOUND);
}
END_TEST

START_TEST(test_outward)
{
    struct sa *a, *b;

    ck_ok(offer("a", "", "ie", audio("10.0.1.20", 30000, 0)));
    ck_shows("c=IN IP4 203.0.113.7\r\n");
    ck_ok(answer("a", "b", audio("192.168.1.5", 20000, 1)));
    ck_shows("c=IN IP4 10.0.0.101\r\n");
    a = sa_of("a", 0);
    b = sa_of("b", 0);
    /* A private address outside is a hint: nothing is sent there. */
    check_addr(&b->source.rtp, "192.168.1.5:20000");
    check_addr(&a->destination.rtp, "none");
    ck_assert_uint_eq(a->reverse, b->id);
    ck_assert_uint_eq(b->reverse, a->id);
    /* The callee hangs up. */
    ck_ok(delete_as("b", "", ""));
    ck_assert_uint_eq(sas(), 0);
}
END_TEST

/* Said by received-from. */
START_TEST(test_sides)
{
    struct call_request request = request_of("a", "", audio("192.0.2.10", 20000, 0));

    ck_assert_int_eq(offer_as(&request), ERR_INVALID);
    ck_assert(strstr(error.text, "neither direction nor received-from") != NULL);
    ck_assert(addr_parse("192.0.2.10:5060", &request.received_from) == 0);
    ck_ok(offer_as(&request));
    ck_shows("10.0.0.101");
    request = request_of("a", "b", audio("10.0.1.20", 30000, 1));
    ck_assert(addr_parse("192.0.2.77:5060", &request.received_from) == 0);
    ck_assert_int_eq(answer_as(&request), ERR_INVALID);
    ck_assert_msg(strstr(error.text, "direction=external,external would be right") != NULL, "%s",
                  error.text);
    ck_assert(addr_parse("10.0.0.5:5060", &request.received_from) == 0);
    ck_ok(answer_as(&request));
    check_addr(&sa_of("a", 0)->hint, "192.0.2.10:0");
}
END_TEST

START_TEST(test_inside_alone)
{
    char before[2048];

    snprintf(before, sizeof(before), "%s", audio("10.0.1.20", 30000, 0));
    ck_ok(offer("a", "", "ii", before));
    ck_assert_str_eq(reply.sdp, before);
    snprintf(before, sizeof(before), "%s", audio("10.0.1.30", 30000, 1));
    ck_ok(answer("a", "b", before));
    ck_assert_str_eq(reply.sdp, before);
    ck_assert_uint_eq(sas(), 0);
    ck_ok(delete_as("a", "", ""));
}
END_TEST

/* Two phones outside, at home: each goes to where the other one is heard. */
START_TEST(test_hairpin)
{
    struct sa *a, *b;

    ck_ok(offer("a", "", "ee", audio("192.168.1.5", 20000, 0)));
    ck_shows("c=IN IP4 203.0.113.7");
    ck_ok(answer("a", "b", audio("192.168.2.5", 20000, 1)));
    ck_shows("c=IN IP4 203.0.113.7");
    a = sa_of("a", 0);
    b = sa_of("b", 0);
    ck_assert(a->hairpin && b->hairpin);
    ck_assert_int_eq(a->side, SA_SIDE_EXTERNAL);
    ck_assert_uint_eq(a->reverse, b->id);
    ck_assert_uint_eq(b->reverse, a->id);
    check_addr(&a->destination.rtp, "none");
    ck_ok(delete_as("b", "a", ""));
    ck_assert_uint_eq(sas(), 0);
}
END_TEST

START_TEST(test_relay_internal)
{
    struct call_options options = calls->options;

    options.relay_internal = true;
    calls_set_options(calls, &options);
    core.inner.links[0].peer.version = core.inner.links[1].peer.version = 0;
    ck_ok(offer("a", "", "ii", audio("10.0.1.20", 30000, 0)));
    ck_shows("c=IN IP4 10.0.0.101");
    ck_ok(answer("a", "b", audio("10.0.1.30", 30000, 1)));
    ck_shows("c=IN IP4 10.0.0.101");
    ck_assert(sa_stays_inside(sa_of("a", 0)));
    check_addr(&sa_of("b", 0)->destination.rtp, "10.0.1.20:30000");
    check_addr(&sa_of("a", 0)->destination.rtp, "10.0.1.30:30000");
}
END_TEST

/* One branch is inside, the other one outside; the caller's SA is another one then. */
START_TEST(test_fork_over_sides)
{
    struct call_request request = request_of("a", "", audio("192.0.2.10", 20000, 0));

    request.direction[0] = SA_SIDE_EXTERNAL;
    request.direction[1] = SA_SIDE_INTERNAL;
    request.via_branch = "z-0";
    ck_ok(offer_as(&request));
    ck_shows("10.0.0.101");
    request.direction[1] = SA_SIDE_EXTERNAL;
    request.via_branch = "z-1";
    ck_ok(offer_as(&request));
    ck_shows("203.0.113.7");
    request = request_of("a", "b", audio("10.0.1.20", 30000, 1));
    request.via_branch = "z-0";
    ck_ok(answer_as(&request));
    check_addr(&sa_of("a", 0)->destination.rtp, "10.0.1.20:30000");
    request = request_of("a", "c", audio("192.0.2.30", 30000, 2));
    request.via_branch = "z-1";
    ck_ok(answer_as(&request));
    ck_assert(sa_of("a", 0)->hairpin && sa_of("c", 0)->hairpin);
    check_addr(&sa_of("a", 0)->destination.rtp, "192.0.2.30:30000");
    ck_assert_uint_eq(sa_of("a", 0)->reverse, sa_of("c", 0)->id);
    ck_assert_uint_eq(sas(), 3);
    ck_ok(delete_as("a", "", ""));
    ck_assert_uint_eq(sas(), 0);
}
END_TEST

/* ------------------------------------------------------------ what is refused */

static const struct {
    const char *direction, *ip, *lines, *because;
    int code;
} bad[] = {
    {"ei", "192.0.2.10", "m=audio 4 RTP/SAVP 0\r\n", "no a=crypto", ERR_UNSUPPORTED},
    {"ei", "192.0.2.10", "m=audio 4 UDP/TLS/RTP/SAVPF 0\r\na=fingerprint:sha-1 00\r\n", "DTLS-SRTP",
     ERR_UNSUPPORTED},
    {"ei", "192.0.2.10",
     "m=audio 4 RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2hvcnQ=\r\n",
     "no a=crypto line that can be used", ERR_UNSUPPORTED},
    {"ei", "192.0.2.10",
     "m=audio 4 RTP/SAVP 0\r\na=crypto:1 F8_128_HMAC_SHA1_80 "
     "inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj\r\n",
     "no a=crypto line that can be used", ERR_UNSUPPORTED},
    {"ei", "127.0.0.1", NULL, "loopback", ERR_FORBIDDEN},
    {"ei", "224.1.1.1", NULL, "multicast", ERR_FORBIDDEN},
    {"ie", "192.0.2.10", NULL, "internal", ERR_FORBIDDEN},
    {"ie", "127.0.0.1", NULL, "", ERR_FORBIDDEN},
    {"ei", "not.an.address", "m=audio x\r\n", "SDP: line", ERR_INVALID},
};

static const char *bad_sdp(int i)
{
    return bad[i].lines ? sdp(bad[i].ip, bad[i].lines) : audio(bad[i].ip, 20000, 2);
}

START_TEST(test_refused_offer)
{
    set_up();
    ck_assert_int_eq(offer("a", "b", bad[_i].direction, bad_sdp(_i)), bad[_i].code);
    ck_assert_msg(strstr(error.text, bad[_i].because) != NULL, "%s", error.text);
    ck_assert_ptr_null(reply.sdp);
    /* The call is as it was. */
    ck_assert_uint_eq(sas(), 2);
    ck_assert_uint_eq(calls_count(calls), 1);
    ck_ok(delete_as("a", "", ""));
    ck_assert_int_eq(offer("a", "", bad[_i].direction, bad_sdp(_i)), bad[_i].code);
    ck_assert_uint_eq(calls_count(calls), 0);
}
END_TEST

START_TEST(test_refused_answer)
{
    char text[512];

    ck_assert_int_eq(answer("a", "b", audio("10.0.1.20", 30000, 1)), ERR_NOT_FOUND);
    ck_ok(offer("a", "", "ei", audio("192.0.2.10", 20000, 0)));
    ck_assert_int_eq(answer("x", "b", audio("10.0.1.20", 30000, 1)), ERR_NOT_FOUND);
    ck_assert_int_eq(answer("a", "b", sdp("10.0.1.20", "m=audio 4 RTP/SAVP 0\r\n")),
                     ERR_UNSUPPORTED);
    ck_assert_int_eq(answer("a", "b", audio("192.0.2.66", 30000, 1)), ERR_FORBIDDEN);
    ck_assert_int_eq(answer("a", "b", sdp("10.0.1.20", "")), ERR_INVALID);
    snprintf(text, sizeof(text),
             "m=audio 4 RTP/SAVP 0\r\na=crypto:7 AES_CM_128_HMAC_SHA1_80 inline:%s\r\n", key_of[1]);
    ck_assert_int_eq(answer("a", "b", sdp("10.0.1.20", text)), ERR_INVALID);
    ck_assert_uint_eq(sas(), 0);
    ck_ok(answer("a", "b", audio("10.0.1.20", 30000, 1)));
    ck_assert_uint_eq(sas(), 2);
}
END_TEST

/* ------------------------------------------------------------ in mid-call */

START_TEST(test_rejected_reoffer)
{
    uint64_t version;
    struct sa *a;

    set_up();
    a = sa_of("a", 0);
    version = a->version;
    ck_ok(offer("a", "b", "ei", audio("192.0.2.99", 22000, 2)));
    ck_assert_uint_eq(a->version, version);
    check_addr(&a->source.rtp, "192.0.2.10:20000");
    /* Glare: the other one offers, too. Neither is answered. */
    ck_ok(offer("b", "a", "ie", audio("10.0.1.21", 30000, 1)));
    ck_assert_uint_eq(a->version, version);
    now += 200 * SECOND;
    ck_ok(offer("b", "a", "ie", audio("10.0.1.21", 32000, 1)));
    ck_ok(answer("b", "a", audio("192.0.2.10", 20000, 0)));
    ck_assert_ptr_eq(sa_of("a", 0), a);
    check_addr(&a->destination.rtp, "10.0.1.21:32000");
    ck_assert_uint_eq(sas(), 2);
    ck_assert_uint_eq(a->generation, 1);
}
END_TEST

START_TEST(test_rekey_and_same)
{
    uint64_t version;
    struct sa *a;

    set_up();
    a = sa_of("a", 0);
    version = a->version;
    ck_ok(offer("a", "b", "ei", audio("192.0.2.10", 20000, 0)));
    ck_ok(answer("a", "b", audio("10.0.1.20", 30000, 1)));
    ck_assert_uint_eq(a->version, version);
    ck_ok(offer("a", "b", "ei", audio("192.0.2.10", 20000, 2)));
    ck_ok(answer("a", "b", audio("10.0.1.20", 30000, 1)));
    ck_assert_ptr_eq(sa_of("a", 0), a);
    ck_assert_uint_eq(a->generation, 2);
}
END_TEST

START_TEST(test_repeats)
{
    char first[2048];

    set_up();
    /* The INVITE, late, with another cookie; then the 200. */
    ck_ok(offer("a", "", "ei", audio("192.0.2.10", 20000, 0)));
    snprintf(first, sizeof(first), "%s", reply.sdp);
    ck_assert_uint_eq(calls_find(calls, "one@example", "a", "")->stage_count, 1);
    ck_assert_uint_eq(calls_find(calls, "one@example", "a", "")->serial, 1);
    ck_ok(answer("a", "b", audio("10.0.1.20", 30000, 1)));
    ck_shows("203.0.113.7");
    ck_assert_uint_eq(sas(), 2);
    ck_ok(offer("a", "", "ei", audio("192.0.2.10", 20000, 0)));
    ck_assert_str_eq(reply.sdp, first);
}
END_TEST

START_TEST(test_late_offer)
{
    ck_ok(offer("b", "a", "ie", audio("10.0.1.20", 30000, 1)));
    ck_ok(answer("b", "a", audio("192.0.2.10", 20000, 0)));
    ck_assert_uint_eq(sas(), 2);
    check_addr(&sa_of("a", 0)->destination.rtp, "10.0.1.20:30000");
    ck_ok(delete_as("a", "", ""));
    ck_assert_uint_eq(sas(), 0);
}
END_TEST

static int lines_offer(const char *from, const char *to, const char *direction, const char *ip,
                       unsigned ports[2], const char *more,
                       int (*send)(const char *, const char *, const char *))
{
    char a[512], v[512], both[1024];
    unsigned key = strcmp(ip, "10.0.1.20") == 0 ? 2 : 0;

    line(a, sizeof(a), "audio", ports[0], key, more);
    line(v, sizeof(v), "video", ports[1], key + 1, "");
    snprintf(both, sizeof(both), "%s%s", a, v);
    return send ? send(from, to, sdp(ip, both)) : offer(from, to, direction, sdp(ip, both));
}

START_TEST(test_lines)
{
    ck_ok(lines_offer("a", "", "ei", "192.0.2.10", (unsigned[]){20000, 20002}, "", NULL));
    ck_ok(lines_offer("a", "b", "", "10.0.1.20", (unsigned[]){30000, 30002}, "", answer));
    ck_assert_uint_eq(sas(), 4);
    check_addr(&sa_of("a", 1)->destination.rtp, "10.0.1.20:30002");
    ck_assert_uint_eq(sa_of("a", 1)->media_index, 1);
    /* Hold of the audio; then the callee rejects the video. */
    ck_ok(lines_offer("a", "b", "ei", "192.0.2.10", (unsigned[]){20000, 20002}, "a=sendonly\r\n",
                      NULL));
    ck_ok(lines_offer("a", "b", "", "10.0.1.20", (unsigned[]){30000, 0}, "a=recvonly\r\n", answer));
    ck_assert_uint_eq(sas(), 2);
    ck_assert(call_is_held(calls_find(calls, "one@example", "a", "")));
    ck_assert_ptr_null(sa_of("a", 1));
    ck_shows("m=video 0 ");
    /* And takes it again. */
    ck_ok(lines_offer("b", "a", "ie", "10.0.1.20", (unsigned[]){30000, 30002}, "", NULL));
    ck_ok(lines_offer("b", "a", "", "192.0.2.10", (unsigned[]){20000, 20002}, "", answer));
    ck_assert_uint_eq(sas(), 4);
    ck_assert(!call_is_held(calls_find(calls, "one@example", "a", "")));
}
END_TEST

START_TEST(test_hold_without_address)
{
    struct sa *a;

    set_up();
    a = sa_of("a", 0);
    ck_ok(offer("b", "a", "ie", audio("0.0.0.0", 30000, 1)));
    ck_shows("0.0.0.0");
    ck_ok(answer("b", "a", audio("192.0.2.10", 20000, 0)));
    ck_assert(call_is_held(calls_find(calls, "one@example", "a", "")));
    check_addr(&a->destination.rtp, "10.0.1.20:30000");
    ck_assert_uint_eq(sas(), 2);
}
END_TEST

START_TEST(test_other_lines)
{
    char a[512], both[1024];

    line(a, sizeof(a), "audio", 20000, 0, "");
    snprintf(both, sizeof(both), "%sm=image 5000 udptl t38\r\n", a);
    ck_ok(offer("a", "", "ei", sdp("192.0.2.10", both)));
    ck_shows("m=image 5000 udptl");
    ck_assert_uint_eq(json_array_size(json_object_get(reply.extra, "warnings")), 1);
    line(a, sizeof(a), "audio", 30000, 1, "");
    snprintf(both, sizeof(both), "%sm=image 6000 udptl t38\r\n", a);
    ck_ok(answer("a", "b", sdp("10.0.1.20", both)));
    ck_assert_uint_eq(sas(), 2);
}
END_TEST

/* A line that cannot be used is warned of, and the next one is used; without a next one it fails.
 */
#define SEVERAL "|1:1;inline:NzB4d1BINUAvLEw6UzF3WSJ+PSdFcGdUJShpX1Zj|2:1"
static const struct {
    const char *suite[2], *behind_key[2], *warning;
    unsigned tag;
    int offer, answer;
} cryptos[] = {
    {{"AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_80"},
     {" UNENCRYPTED_SRTCP", ""},
     "a=crypto:1 cannot be used: UNENCRYPTED_SRTCP",
     2,
     0,
     0},
    {{"AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_80"},
     {SEVERAL, ""},
     "a=crypto:1 cannot be used: it has several keys",
     2,
     0,
     0},
    {{"F8_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32"},
     {"", ""},
     "a=crypto:1 cannot be used: ",
     2,
     0,
     0},
    {{"AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32"},
     {"", " KDR=1"},
     "a=crypto:2 cannot be used: ",
     1,
     0,
     0},
    /* Who answers takes the wrong one. */
    {{"AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_80"},
     {" UNENCRYPTED_SRTCP", ""},
     "a=crypto:1",
     1,
     0,
     ERR_UNSUPPORTED},
    {{"AES_CM_128_HMAC_SHA1_80", "X"}, {" UNENCRYPTED_SRTCP", ""}, "", 1, ERR_UNSUPPORTED, 0},
    {{"AES_CM_128_HMAC_SHA1_80", "X"}, {SEVERAL, ""}, "", 1, ERR_UNSUPPORTED, 0},
};

static const char *warning(size_t i)
{
    const char *text =
        json_string_value(json_array_get(json_object_get(reply.extra, "warnings"), i));

    return text ? text : "none";
}

START_TEST(test_unusable_crypto)
{
    char text[1200];

    snprintf(text, sizeof(text),
             "m=audio 20000 RTP/SAVP 0\r\na=crypto:1 %s inline:%s%s\r\n"
             "a=crypto:2 %s inline:%s%s\r\n",
             cryptos[_i].suite[0], key_of[0], cryptos[_i].behind_key[0], cryptos[_i].suite[1],
             key_of[1], cryptos[_i].behind_key[1]);
    ck_assert_int_eq(offer("a", "", "ei", sdp("192.0.2.10", text)), cryptos[_i].offer);
    if (cryptos[_i].offer) {
        ck_assert_msg(strstr(error.text, "no a=crypto line that can be used: ") != NULL, "%s",
                      error.text);
        ck_assert_uint_eq(calls_count(calls), 0);
        return;
    }
    ck_assert_msg(strstr(warning(0), cryptos[_i].warning) != NULL, "%s", warning(0));
    ck_assert_str_eq(warning(1), "none");
    snprintf(text, sizeof(text), "m=audio 30000 RTP/SAVP 0\r\na=crypto:%u %s inline:%s\r\n",
             cryptos[_i].tag, cryptos[_i].suite[cryptos[_i].tag - 1], key_of[3]);
    ck_assert_int_eq(answer("a", "b", sdp("10.0.1.20", text)), cryptos[_i].answer);
    ck_assert_uint_eq(sas(), cryptos[_i].answer ? 0 : 2);
    ck_assert(!cryptos[_i].answer || strstr(error.text, "UNENCRYPTED_SRTCP"));
    ck_assert_str_eq(cryptos[_i].answer ? "none" : warning(0), "none");
}
END_TEST

/* Two lines at one port, as with BUNDLE: told apart by their keys, or by SSRCs that are signalled.
 */
static const struct {
    unsigned key;
    const char *ssrc[2];
    bool warned;
} bundles[] = {{2, {"", ""}, false},
               {1, {"a=ssrc:5 cname:x\r\n", "a=ssrc:6 cname:x\r\n"}, false},
               {1, {"a=ssrc:5 cname:x\r\n", ""}, true},
               {1, {"", ""}, true}};

START_TEST(test_bundle)
{
    char a[512], v[512], both[1200];

    line(a, sizeof(a), "audio", 20000, 0, "a=mid:1\r\n");
    line(v, sizeof(v), "video", 20002, 3, "a=mid:2\r\n");
    snprintf(both, sizeof(both), "a=group:BUNDLE 1 2\r\n%s%s", a, v);
    ck_ok(offer("a", "", "ei", sdp("192.0.2.10", both)));
    ck_assert_msg(strncmp(warning(0), "a=group:BUNDLE is passed on", 27) == 0, "%s", warning(0));
    ck_assert_str_eq(warning(1), "none");
    ck_shows("a=group:BUNDLE 1 2\r\n");
    line(a, sizeof(a), "audio", 30000, 1, bundles[_i].ssrc[0]);
    line(v, sizeof(v), "video", 30000, bundles[_i].key, bundles[_i].ssrc[1]);
    snprintf(both, sizeof(both), "a=group:BUNDLE 1 2\r\n%s%s", a, v);
    ck_ok(answer("a", "b", sdp("10.0.1.20", both)));
    ck_assert_str_eq(warning(bundles[_i].warned ? 2 : 1), "none");
    ck_assert(!bundles[_i].warned || strstr(warning(1), "m= lines 0 and 1 have one address"));
    ck_assert_uint_eq(sas(), 4);
    for (unsigned i = 0; i < 2; i++) {
        check_addr(&sa_of("a", i)->destination.rtp, "10.0.1.20:30000");
        check_addr(&sa_of("b", i)->source.rtp, "10.0.1.20:30000");
        check_addr(&sa_of("b", i)->destination.rtp, i ? "192.0.2.10:20002" : "192.0.2.10:20000");
    }
}
END_TEST

static const char *fax(const char *ip, unsigned audio_port, unsigned key, unsigned port)
{
    char a[512], both[1024];

    line(a, sizeof(a), "audio", audio_port, key, "");
    snprintf(both, sizeof(both), "%sm=image %u udptl t38\r\n%s", a, port,
             port ? "a=T38FaxVersion:0\r\n" : "");
    return sdp(ip, both);
}

/* What is shown of fax(): the relay in o=; the fax goes where the phone says. */
static void check_fax(const char *shown, const char *phone, unsigned key, unsigned port)
{
    int shown_family = strchr(shown, ':') ? 6 : 4, family = strchr(phone, ':') ? 6 : 4;
    char wanted[2048];

    snprintf(wanted, sizeof(wanted),
             "v=0\r\no=- 1 1 IN IP%d %s\r\ns=-\r\nc=IN IP%d %s\r\nt=0 0\r\n"
             "m=audio 0 RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:%s\r\n"
             "m=image %u udptl t38\r\na=T38FaxVersion:0\r\n",
             shown_family, shown, family, phone, key_of[key], port);
    ck_assert_str_eq(reply.sdp, wanted);
    ck_assert_uint_eq(json_array_size(json_object_get(reply.extra, "warnings")), 1);
}

/* Voice becomes a fax, which goes around the relay, and voice again. */
START_TEST(test_fax)
{
    const char *out = _i ? "2001:db8::10" : "192.0.2.10";
    const char *shown_in = _i ? "fd00::101" : "10.0.0.101";
    const char *in = _i ? "fd00::20" : "10.0.1.20";
    const char *shown_out = _i ? "2001:db8::7" : "203.0.113.7";
    uint64_t first;

    ck_ok(offer("a", "", "ei", audio(out, 20000, 0)));
    ck_ok(answer("a", "b", audio(in, 30000, 1)));
    first = sa_of("a", 0)->id;
    ck_ok(offer("b", "a", "ie", fax(in, 0, 1, 6000)));
    check_fax(shown_out, in, 1, 6000);
    ck_assert_uint_eq(sas(), 2);
    /* 488: still voice. */
    ck_ok(offer("b", "a", "ie", fax(in, 0, 1, 6000)));
    ck_assert_ptr_nonnull(sa_of("a", 0));
    ck_ok(answer("b", "a", fax(out, 0, 0, 7000)));
    check_fax(shown_in, out, 0, 7000);
    /* A line with port 0 is at an end (RFC 3264 section 8.2). */
    ck_assert_uint_eq(sas(), 0);
    ck_assert_uint_eq(calls_count(calls), 1);
    now += 3600 * SECOND;
    run_round();
    ck_assert_uint_eq(calls_count(calls), 1);
    ck_ok(offer("a", "b", "ei", fax(out, 20000, 0, 0)));
    ck_shows(shown_in);
    ck_assert_ptr_null(strstr(reply.sdp, out));
    ck_ok(answer("a", "b", fax(in, 30000, 1, 0)));
    ck_assert_ptr_null(strstr(reply.sdp, in));
    ck_assert_uint_eq(sas(), 2);
    ck_assert_uint_ne(sa_of("a", 0)->id, first);
    ck_assert_uint_eq(sa_of("a", 0)->reverse, sa_of("b", 0)->id);
    ck_ok(delete_as("b", "", ""));
    ck_assert_uint_eq(sas(), 0);
}
END_TEST

START_TEST(test_families)
{
    struct call_request request = request_of("a", "", audio("2001:db8::10", 20000, 0));

    request.direction[0] = SA_SIDE_EXTERNAL;
    ck_ok(offer_as(&request));
    ck_shows("IN IP6 fd00::101");
    request = request_of("a", "", audio("2001:db8::10", 20000, 0));
    request.direction[0] = SA_SIDE_EXTERNAL;
    request.family = 4;
    ck_ok(offer_as(&request));
    ck_shows("c=IN IP4 10.0.0.101");
    ck_ok(answer("a", "b", audio("10.0.1.20", 30000, 1)));
    ck_shows("c=IN IP6 2001:db8::7");
    check_addr(&sa_of("b", 0)->destination.rtp, "[2001:db8::10]:20000");
}
END_TEST

START_TEST(test_assign)
{
    struct call_request request = request_of("a", "", audio("192.0.2.10", 20000, 0));
    uint32_t ssrc;

    request.direction[0] = SA_SIDE_EXTERNAL;
    request.assign_ssrc = true;
    ck_ok(offer_as(&request));
    ck_shows("a=media-relay-ssrc:");
    ssrc = (uint32_t)json_integer_value(
        json_array_get(json_object_get(reply.extra, "assigned-ssrc"), 0));
    ck_ok(offer_as(&request));
    ck_assert_uint_eq(ssrc, (uint32_t)json_integer_value(
                                json_array_get(json_object_get(reply.extra, "assigned-ssrc"), 0)));
    ck_ok(answer("a", "b", audio("10.0.1.20", 30000, 1)));
    ck_assert_ptr_null(reply.extra);
    ck_assert(sa_is_assigned(sa_of("b", 0)));
    ck_assert_uint_eq(sa_of("b", 0)->stream[0].ssrc, ssrc);
    ck_assert(!sa_is_assigned(sa_of("a", 0)));
    /* The inside party offers: the answer tells it again. */
    ck_ok(offer("b", "a", "ie", audio("10.0.1.20", 30000, 1)));
    ck_ok(answer("b", "a", audio("192.0.2.10", 20000, 0)));
    ck_shows("a=media-relay-ssrc:");
    ck_assert_uint_eq(sa_of("b", 0)->stream[0].ssrc, ssrc);
}
END_TEST

static uint32_t told(unsigned line)
{
    return (uint32_t)json_integer_value(
        json_array_get(json_object_get(reply.extra, "assigned-ssrc"), line));
}

/* What an offer tells is held until the offer is gone, however that ends, or until there is an SA.
 */
START_TEST(test_promises)
{
    struct promises *promises = &core.inner.promises;
    struct call_request request;
    uint32_t ssrc;

    for (unsigned end = 0; end < 4; end++) {
        request = request_of("a", "", audio("192.0.2.10", 20000, 0));
        request.direction[0] = SA_SIDE_EXTERNAL;
        request.assign_ssrc = true;
        ck_ok(offer_as(&request));
        ssrc = told(0);
        ck_assert(promises_has(promises, ssrc));
        ck_ok(offer_as(&request));
        ck_assert_uint_eq(promises->used, 1);
        if (end == 0) {
            now += 181 * SECOND;
            run_round();
        } else if (end == 1) {
            ck_ok(delete_as("a", "", ""));
        } else {
            ck_ok(answer("a", "b", audio("10.0.1.20", 30000, 1)));
            ck_assert(promises_has(promises, ssrc));
            if (end == 3) {
                now += 181 * SECOND;
                sa_of("a", 0)->last_packet_us = now;
                run_round();
            }
            ck_assert_uint_eq(sa_of("b", 0)->stream[0].ssrc, ssrc);
            ck_assert_uint_ne(admit_reserve_ssrc(&core.inner), ssrc);
            ck_ok(delete_as("a", "", ""));
        }
        ck_assert_uint_eq(promises->used, 0);
        ck_assert_uint_eq(calls_count(calls), 0);
    }
}
END_TEST

/* Both branches were told the same one; the one that answered last has the media. */
START_TEST(test_assign_fork)
{
    struct call_request request = request_of("a", "", audio("192.0.2.10", 20000, 0));
    uint32_t ssrc;

    request.direction[0] = SA_SIDE_EXTERNAL;
    request.assign_ssrc = true;
    ck_ok(offer_as(&request));
    ssrc = told(0);
    ck_ok(answer("a", "b", audio("10.0.1.20", 30000, 1)));
    ck_ok(answer("a", "c", audio("10.0.1.30", 30000, 2)));
    ck_assert_uint_eq(sa_of("b", 0)->stream[0].ssrc, ssrc);
    ck_assert_uint_eq(sa_of("c", 0)->stream[0].ssrc, ssrc);
    ck_assert_uint_ne(sa_of("c", 0)->label, sa_of("b", 0)->label);
    check_addr(&sa_of("b", 0)->destination.rtp, "none");
    check_addr(&sa_of("c", 0)->destination.rtp, "192.0.2.10:20000");
    ck_ok(delete_as("a", "", ""));
    ck_assert_uint_eq(sas(), 0);
}
END_TEST

/* A line that goes and comes again has the number that its sender was told. */
START_TEST(test_assign_line_off_and_on)
{
    struct call_request request;
    uint32_t ssrc[2];

    for (unsigned step = 0; step < 3; step++) {
        request = request_of("a", step ? "b" : "", many("192.0.2.10", 0, 2, false));
        request.direction[0] = SA_SIDE_EXTERNAL;
        request.direction[1] = SA_SIDE_INTERNAL;
        request.assign_ssrc = true;
        ck_ok(offer_as(&request));
        for (unsigned i = 0; i < 2; i++) {
            ck_assert(step == 0 || told(i) == ssrc[i]);
            ssrc[i] = told(i);
        }
        ck_assert_uint_ne(ssrc[0], ssrc[1]);
        ck_ok(lines_offer("a", "b", "", "10.0.1.20", (unsigned[]){30000, step == 1 ? 0 : 30002}, "",
                          answer));
        ck_assert_uint_eq(sas(), step == 1 ? 2 : 4);
        ck_assert_uint_eq(sa_of("b", 0)->stream[0].ssrc, ssrc[0]);
        ck_assert(step == 1 || sa_of("b", 1)->stream[0].ssrc == ssrc[1]);
    }
}
END_TEST

/* Its partner goes outside, and comes in again: what it was told does not change. */
START_TEST(test_assign_partner_moves)
{
    struct call_options options = calls->options;
    struct call_request request = request_of("a", "", audio("10.0.1.30", 20000, 0));
    uint32_t ssrc = 0;

    options.relay_internal = true;
    calls_set_options(calls, &options);
    for (unsigned step = 0; step < 3; step++) {
        bool inside = step % 2 == 0;

        request =
            request_of("a", step ? "b" : "", audio(inside ? "10.0.1.30" : "192.0.2.10", 20000, 0));
        request.direction[0] = inside ? SA_SIDE_INTERNAL : SA_SIDE_EXTERNAL;
        request.direction[1] = SA_SIDE_INTERNAL;
        request.assign_ssrc = true;
        ck_ok(offer_as(&request));
        ck_assert(step == 0 || told(0) == ssrc);
        ssrc = told(0);
        ck_ok(answer("a", "b", audio("10.0.1.20", 30000, 1)));
        ck_assert_uint_eq(sa_of("b", 0)->stream[0].ssrc, ssrc);
        ck_assert(sa_of("b", 0)->hairpin == inside);
        ck_assert_uint_eq(sas(), 2);
    }
}
END_TEST

/* ------------------------------------------------------------ forks */

static void fork_calls(void)
{
    ck_ok(offer("a", "", "ei", audio("192.0.2.10", 20000, 0)));
    ck_ok(answer("a", "b", audio("10.0.1.20", 30000, 1)));
    ck_ok(answer("a", "c", audio("10.0.1.30", 30000, 2)));
}

START_TEST(test_fork)
{
    struct sa *a, *b, *c;

    fork_calls();
    ck_assert_uint_eq(sas(), 3);
    a = sa_of("a", 0);
    b = sa_of("b", 0);
    c = sa_of("c", 0);
    check_addr(&a->destination.rtp, "10.0.1.30:30000");
    ck_assert_uint_eq(a->reverse, c->id);
    check_addr(&b->destination.rtp, "none");
    ck_assert_uint_eq(b->reverse, 0);
    /* The first one takes the call. */
    ck_ok(answer("a", "b", audio("10.0.1.20", 30000, 1)));
    ck_assert_ptr_eq(sa_of("b", 0), b);
    check_addr(&a->destination.rtp, "10.0.1.20:30000");
    check_addr(&b->destination.rtp, "192.0.2.10:20000");
    check_addr(&c->destination.rtp, "none");
    ck_assert_uint_eq(a->reverse, b->id);
    ck_assert_uint_eq(b->reverse, a->id);
    ck_assert_uint_eq(c->reverse, 0);
    ck_ok(delete_as("a", "c", ""));
    ck_assert_uint_eq(sas(), 2);
    check_addr(&a->destination.rtp, "10.0.1.20:30000");
    ck_assert_int_eq(delete_as("a", "c", ""), ERR_NOT_FOUND);
    ck_ok(delete_as("b", "a", ""));
    ck_assert_uint_eq(sas(), 0);
    ck_assert_uint_eq(calls_count(calls), 0);
}
END_TEST

/* The branch that has the call ends: another one may take it, or is all that is left. */
START_TEST(test_fork_loses_active)
{
    fork_calls();
    ck_ok(delete_as("a", "c", ""));
    ck_assert_uint_eq(calls_count(calls), 1);
    ck_assert_uint_eq(sas(), 2);
    if (_i == 0)
        ck_ok(answer("a", "b", audio("10.0.1.20", 30000, 1)));
    check_addr(&sa_of("a", 0)->destination.rtp, "10.0.1.20:30000");
    ck_assert_uint_eq(sa_of("a", 0)->reverse, sa_of("b", 0)->id);
    ck_ok(delete_as(_i == 1 ? "b" : "a", _i == 1 ? "a" : "b", ""));
    ck_assert_uint_eq(calls_count(calls), 0);
    ck_assert_uint_eq(sas(), 0);
}
END_TEST

/* The same where each branch has an offer: one rings still. */
START_TEST(test_fork_rings)
{
    struct call_request request = request_of("a", "", audio("192.0.2.10", 20000, 0));

    request.direction[0] = SA_SIDE_EXTERNAL;
    request.direction[1] = SA_SIDE_INTERNAL;
    request.via_branch = "z-0";
    ck_ok(offer_as(&request));
    request.via_branch = "z-1";
    ck_ok(offer_as(&request));
    request = request_of("a", "b", audio("10.0.1.20", 30000, 1));
    request.via_branch = "z-0";
    ck_ok(answer_as(&request));
    ck_ok(delete_as("a", _i ? "b" : "", _i ? "" : "z-0"));
    ck_assert_uint_eq(calls_count(calls), 1);
    request = request_of("a", "c", audio("10.0.1.30", 30000, 2));
    request.via_branch = "z-1";
    ck_ok(answer_as(&request));
    check_addr(&sa_of("a", 0)->destination.rtp, "10.0.1.30:30000");
    ck_assert_uint_eq(sas(), 2);
    ck_ok(delete_as("a", "c", ""));
    ck_assert_uint_eq(calls_count(calls), 0);
    ck_assert_uint_eq(sas(), 0);
}
END_TEST

/* Each branch has an offer of its own, as Kamailio's branch route makes them. */
START_TEST(test_branches)
{
    struct call_request request = request_of("a", "", audio("192.0.2.10", 20000, 0));

    request.direction[0] = SA_SIDE_EXTERNAL;
    request.direction[1] = SA_SIDE_INTERNAL;
    request.via_branch = "z-0";
    ck_ok(offer_as(&request));
    request.via_branch = "z-1";
    ck_ok(offer_as(&request));
    ck_assert_uint_eq(calls_count(calls), 1);
    ck_assert_uint_eq(calls_find(calls, "one@example", "a", "")->stage_count, 2);
    request = request_of("a", "c", audio("10.0.1.30", 30000, 2));
    request.via_branch = "z-1";
    ck_ok(answer_as(&request));
    request = request_of("a", "b", audio("10.0.1.20", 30000, 1));
    request.via_branch = "z-0";
    ck_ok(answer_as(&request));
    ck_assert_uint_eq(sas(), 3);
    ck_ok(delete_as("a", "", "z-1"));
    ck_assert_uint_eq(sas(), 2);
    check_addr(&sa_of("a", 0)->destination.rtp, "10.0.1.20:30000");
    ck_assert_int_eq(delete_as("a", "", "z-1"), ERR_NOT_FOUND);
    ck_ok(delete_as("a", "", ""));
    ck_assert_uint_eq(sas(), 0);
}
END_TEST

/* A re-INVITE that is rejected, and deleted by its branch, is not the call. */
START_TEST(test_branch_of_reoffer)
{
    struct call_request request;

    set_up();
    request = request_of("a", "b", audio("192.0.2.10", 22000, 2));
    request.direction[0] = SA_SIDE_EXTERNAL;
    request.direction[1] = SA_SIDE_INTERNAL;
    request.via_branch = "z-9";
    ck_ok(offer_as(&request));
    ck_ok(delete_as("a", "", "z-9"));
    ck_assert_uint_eq(sas(), 2);
    check_addr(&sa_of("a", 0)->source.rtp, "192.0.2.10:20000");
    /* One that was answered is. */
    ck_ok(offer_as(&request));
    request = request_of("a", "b", audio("10.0.1.20", 30000, 1));
    request.via_branch = "z-9";
    ck_ok(answer_as(&request));
    ck_ok(delete_as("a", "", "z-9"));
    ck_assert_uint_eq(sas(), 0);
    ck_assert_uint_eq(calls_count(calls), 0);
}
END_TEST

/* CANCEL, twice. */
START_TEST(test_cancel)
{
    ck_ok(offer("a", "", "ei", audio("192.0.2.10", 20000, 0)));
    ck_ok(delete_as("a", "", ""));
    ck_assert_int_eq(delete_as("a", "", ""), ERR_NOT_FOUND);
    ck_assert_uint_eq(calls_count(calls), 0);
    ck_assert_uint_eq(calls->reserved, 0);
}
END_TEST

/* Foreign tags do nothing; a second call with this Call-ID lives beside the first. */
START_TEST(test_one_call_id)
{
    set_up();
    ck_assert_int_eq(delete_as("x", "y", ""), ERR_NOT_FOUND);
    ck_assert_int_eq(delete_as("x", "b", ""), ERR_NOT_FOUND);
    ck_assert_int_eq(delete_as("x", "a", ""), ERR_NOT_FOUND);
    ck_assert_uint_eq(sas(), 2);
    ck_ok(offer("x", "", "ei", audio("192.0.2.50", 20000, 2)));
    ck_ok(answer("x", "y", audio("10.0.1.50", 30000, 3)));
    ck_assert_uint_eq(calls_count(calls), 2);
    ck_assert_uint_eq(sas(), 4);
    ck_ok(delete_as("y", "", ""));
    ck_assert_uint_eq(sas(), 2);
    check_addr(&sa_of("a", 0)->destination.rtp, "10.0.1.20:30000");
    ck_ok(delete_as("", "", ""));
    ck_assert_uint_eq(calls_count(calls), 0);
}
END_TEST

/* ------------------------------------------------------------ all or nothing */

/* All that there is of SAs, but for the numbers of their changes. */
struct picture {
    size_t count, length;
    uint8_t octets[16384];
};

static void take_picture(struct picture *picture)
{
    struct table_walk walk;
    struct writer w;
    struct sa *sa;

    memset(picture, 0, sizeof(*picture));
    writer_init(&w, picture->octets, sizeof(picture->octets));
    picture->count = sas();
    table_walk_begin(core.inner.table, &walk);
    while ((sa = table_walk_next(core.inner.table, &walk))) {
        uint64_t version = sa->version;

        sa->version = 0;
        wire_put_sa(&w, sa, WIRE_STATE);
        sa->version = version;
        writer_copy(&w, &sa->bound, sizeof(sa->bound));
        writer_copy(&w, &sa->rate, sizeof(sa->rate));
        writer_copy(&w, &sa->srtp, sizeof(sa->srtp));
        writer_copy(&w, &sa->old, sizeof(sa->old));
        for (unsigned i = 0; i < sa->stream_count; i++)
            writer_copy(&w, &sa->stream[i].index, sizeof(sa->stream[i].index));
    }
    ck_assert(!w.failed);
    picture->length = writer_length(&w);
}

/* Packets have taught more of it than was signalled, and it has been in use. */
static void use(struct sa *sa, const char *from)
{
    struct addr source;

    ck_assert(addr_parse(from, &source) == 0);
    sa->bound[0] = true;
    table_move_source(core.inner.table, sa, false, &source);
    sa->stream[0].index.started = true;
    sa->stream[0].index.highest = 0x1000 + sa->stream[0].ssrc;
}

/* What is offered, and answered, in a call that has a line or two (or none) already. */
enum { FRESH, SAME_KEY, NEW_KEY, OTHER_SIDE, BRANCH };
static const struct {
    int kind;
    unsigned lines;
    bool offerer; /* has the twins, and not who answers */
} halves[] = {{FRESH, 2, true},       {FRESH, 2, false},      {FRESH, 4, true},
              {FRESH, 4, false},      {SAME_KEY, 3, true},    {SAME_KEY, 4, false},
              {NEW_KEY, 3, true},     {NEW_KEY, 4, false},    {OTHER_SIDE, 3, true},
              {OTHER_SIDE, 3, false}, {OTHER_SIDE, 5, false}, {BRANCH, 3, true},
              {BRANCH, 3, false},     {BRANCH, 5, false}};

static void begin_half(int kind)
{
    if (kind == FRESH)
        return;
    ck_ok(offer("a", "", "ei", many("192.0.2.10", 0, 2, false)));
    ck_ok(answer("a", "b", many("10.0.1.20", 30, 2, false)));
    use(sa_of("a", 0), "192.0.2.99:7777");
    use(sa_of("b", 1), "10.9.9.9:8888");
}

static int commit_half(int kind, unsigned count, bool offerer, bool twin)
{
    const char *from = kind == OTHER_SIDE ? "b" : "a";
    const char *to = kind == FRESH ? "" : kind == OTHER_SIDE ? "a" : "b";
    const char *who = kind == OTHER_SIDE ? "a" : kind == BRANCH ? "c" : "b";
    unsigned base = kind == SAME_KEY ? 0 : kind == BRANCH ? 60 : 90;

    ck_ok(offer(
        from, kind == BRANCH ? "" : to, kind == OTHER_SIDE ? "ee" : "ei",
        many(kind == OTHER_SIDE ? "192.0.2.20" : "192.0.2.10", base, count, twin && offerer)));
    return answer(
        from, who,
        many(kind == OTHER_SIDE ? "192.0.2.10" : "10.0.1.20", base + 30, count, twin && !offerer));
}

/* An answer that fails at some SA or other leaves the call as it was; a right one is taken. */
START_TEST(test_half)
{
    static struct picture before, after;
    int kind = halves[_i].kind;
    struct sa *sa;

    begin_half(kind);
    sa = kind == FRESH ? NULL : sa_of("a", 0);
    take_picture(&before);
    ck_assert_int_eq(commit_half(kind, halves[_i].lines, halves[_i].offerer, true), ERR_EXISTS);
    take_picture(&after);
    ck_assert_mem_eq(&before, &after, sizeof(before));
    ck_assert(kind == FRESH || sa == sa_of("a", 0));
    ck_assert_int_eq(call_find_party(calls_find(calls, "one@example", "a", ""), "c"), -1);
    ck_ok(commit_half(kind, halves[_i].lines, halves[_i].offerer, false));
    ck_assert_uint_eq(sas(), 2 * halves[_i].lines + (kind == BRANCH ? 2 : 0));
    ck_ok(delete_as("a", "", ""));
    ck_assert_uint_eq(sas(), 0);
}
END_TEST

/* The dmz-relay has room for some of the SAs only: none of them is made, at whichever it ends. */
START_TEST(test_half_full)
{
    static struct picture before, after;
    uint32_t *quota = &core.inner.links[0].peer.quota;
    unsigned had, lines;

    begin_half(_i == 0 ? FRESH : SAME_KEY);
    had = (unsigned)sas();
    lines = 3 + had / 2;
    take_picture(&before);
    for (unsigned room = 0; room < 6; room++) {
        *quota = 1000;
        ck_ok(offer("a", _i == 0 ? "" : "b", "ei", many("192.0.2.10", 0, lines, false)));
        *quota = had + room;
        ck_assert_int_eq(answer("a", "b", many("10.0.1.20", 40, lines, false)), ERR_FULL);
        take_picture(&after);
        ck_assert_mem_eq(&before, &after, sizeof(before));
    }
    *quota = had + 6;
    ck_ok(answer("a", "b", many("10.0.1.20", 40, lines, false)));
    ck_assert_uint_eq(sas(), had + 6);
}
END_TEST

/* ------------------------------------------------------------ limits and timeouts */

/* A call that talks goes on while offers without answers fill the rest, and they time out. */
START_TEST(test_flood)
{
    char id[32], *text;
    struct call_request request;

    set_up();
    text = strdup(audio("192.0.2.66", 20000, 2));
    ck_assert_ptr_nonnull(text);
    request = request_of("x", "", text);
    request.direction[0] = SA_SIDE_EXTERNAL;
    request.call_id = id;
    for (unsigned i = 0; i < 20; i++) {
        snprintf(id, sizeof(id), "flood-%u", i);
        ck_assert_int_eq(offer_as(&request), i < 7 ? 0 : ERR_FULL);
    }
    ck_assert_uint_eq(calls_count(calls), 8);
    ck_assert_uint_eq(sas(), 2);
    ck_ok(offer("a", "b", "ei", audio("192.0.2.10", 20002, 0)));
    ck_ok(answer("a", "b", audio("10.0.1.20", 30000, 1)));
    ck_assert_uint_eq(sa_of("a", 0)->destination.rtp.port, 30000);
    ck_assert_uint_eq(sa_of("b", 0)->destination.rtp.port, 20002);
    for (unsigned s = 0; s < 180; s++) {
        ck_assert_uint_eq(calls_count(calls), 8);
        ck_assert_uint_eq(sas(), 2);
        now += SECOND;
        sa_of("a", 0)->last_packet_us = now;
        run_round();
    }
    ck_assert_uint_eq(calls_count(calls), 1);
    ck_assert_uint_eq(calls->reserved, 0);
    ck_assert_uint_eq(calls->staged, 0);
    ck_assert_uint_eq(sas(), 2);
    ck_ok(offer_as(&request));
    free(text);
}
END_TEST

/* Offers with as much SDP as there may be, over and over: memory has a bound, talkers have none. */
START_TEST(test_flood_of_octets)
{
    char *text = malloc(SDP_MAX_OCTETS), id[32];
    struct call_request request;
    size_t length, taken = 0;

    ck_assert_ptr_nonnull(text);
    set_up();
    length = strlen(strcpy(text, audio("192.0.2.10", 20000, 2)));
    while (length + 80 < SDP_MAX_OCTETS)
        length += (size_t)sprintf(text + length, "a=fill:%070d\r\n", 0);
    request = request_of("x", "", text);
    request.direction[0] = SA_SIDE_EXTERNAL;
    request.via_branch = id;
    for (unsigned i = 0; i < 64; i++) {
        snprintf(id, sizeof(id), "branch-%u", i);
        request.call_id = &"1234567"[i % 4];
        taken += offer_as(&request) == 0;
        ck_assert_uint_le(calls->staged, SDP_MAX_OCTETS + 8 * 8192);
    }
    ck_assert(taken == 1 || taken == 2);
    ck_assert_int_eq(error.code, ERR_FULL);
    ck_ok(offer("a", "b", "ei", text));
    ck_ok(answer("a", "b", audio("10.0.1.20", 30000, 1)));
    ck_ok(delete_as("a", "", ""));
    now += 180 * SECOND;
    run_round();
    ck_assert_uint_eq(calls->staged, 0);
    free(text);
}
END_TEST

/* Who calls chooses the Call-ID: a flood of one may not make searches long. */
START_TEST(test_flood_of_one_id)
{
    struct call_options options = calls->options;
    struct call_request request;
    char tag[16], id[200] = "one@example";

    if (_i) {
        memset(id, 'x', sizeof(id) - 1);
        id[sizeof(id) - 1] = '\0';
    }

    calls_free(calls);
    options.max_calls = 100;
    calls = calls_new(&core.inner, &options);
    ck_assert_ptr_nonnull(calls);
    request = request_of(tag, "", audio("192.0.2.66", 20000, 2));
    request.direction[0] = SA_SIDE_EXTERNAL;
    request.call_id = id;
    for (unsigned i = 0; i < 16; i++) {
        snprintf(tag, sizeof(tag), "tag-%u", i);
        ck_ok(offer_as(&request));
    }
    snprintf(tag, sizeof(tag), "tag-%u", 16);
    ck_assert_int_eq(offer_as(&request), ERR_EXISTS);
    snprintf(tag, sizeof(tag), "tag-%u", 3);
    ck_ok(offer_as(&request));
    ck_assert_uint_eq(calls_count_id(calls, id), 16);
    request.from_tag = "tag-3";
    ck_ok(calls_delete(calls, &request, now, &error));
    request.from_tag = tag;
    snprintf(tag, sizeof(tag), "tag-%u", 16);
    ck_ok(offer_as(&request));
    request.from_tag = "";
    ck_ok(calls_delete(calls, &request, now, &error));
    ck_assert_uint_eq(calls_count(calls), 0);
}
END_TEST

/* One block serves all requests; what it held, keys too, is gone when the next one gets it. */
START_TEST(test_borrowed)
{
    uint8_t *first = calls_borrow(calls, 1000), *second = calls_borrow(calls, 3000), *again;

    ck_assert(first && second && first != second);
    memset(first, 1, 1000);
    calls_give_back(calls, second, 3000);
    calls_give_back(calls, first, 1000);
    calls_give_back(calls, NULL, 1000);
    ck_assert_ptr_eq(again = calls_borrow(calls, 1000), first);
    for (unsigned i = 0; i < 1000; i++)
        ck_assert_uint_eq(again[i], 0);
    calls_give_back(calls, again, 1000);
    set_up();
    ck_assert_ptr_eq(again = calls_borrow(calls, calls->scratch_size), calls->scratch);
    for (size_t i = 0; i < calls->scratch_size; i++)
        ck_assert_uint_eq(again[i], 0);
    calls_give_back(calls, again, calls->scratch_size);
}
END_TEST

START_TEST(test_silence)
{
    set_up();
    now += 59 * SECOND;
    sa_of("a", 0)->last_packet_us = now;
    run_round();
    now += 59 * SECOND;
    run_round();
    ck_assert_uint_eq(sas(), 2);
    now += SECOND;
    run_round();
    ck_assert_uint_eq(sas(), 0);
    ck_assert_uint_eq(calls_count(calls), 0);
}
END_TEST

START_TEST(test_held_and_old)
{
    char text[512];

    set_up();
    line(text, sizeof(text), "audio", 20000, 0, "a=inactive\r\n");
    ck_ok(offer("a", "b", "ei", sdp("192.0.2.10", text)));
    ck_ok(answer("a", "b", audio("10.0.1.20", 30000, 1)));
    now += 3600 * SECOND;
    run_round();
    ck_assert_uint_eq(sas(), 2);
    now += 86400 * SECOND;
    run_round();
    ck_assert_uint_eq(sas(), 0);
}
END_TEST

START_TEST(test_down)
{
    struct call_options options = calls->options;

    options.when_down = CALL_WHEN_DOWN_REFUSE;
    calls_set_options(calls, &options);
    ck_assert_int_eq(offer("a", "", "ei", audio("192.0.2.10", 20000, 0)), ERR_FULL);
    options.when_down = CALL_WHEN_DOWN_ACCEPT;
    calls_set_options(calls, &options);
    ck_ok(offer("a", "", "ei", audio("192.0.2.10", 20000, 0)));
    core.inner.links[0].peer.version = core.inner.links[1].peer.version = 0;
    ck_assert_int_eq(offer("z", "", "ei", audio("192.0.2.10", 20000, 0)), ERR_FULL);
}
END_TEST

/* Our own address with a key that the same party offered before. */
START_TEST(test_spiral)
{
    ck_ok(offer("a", "", "ei", audio("192.0.2.10", 20000, 0)));
    ck_assert_int_eq(offer("a", "", "ei", audio("203.0.113.7", 5004, 0)), ERR_EXISTS);
    ck_assert_msg(strstr(error.text, "spiral") != NULL, "%s", error.text);
    ck_assert_int_eq(offer("b", "", "ei", audio("10.0.0.101", 4000, 0)), ERR_FORBIDDEN);
    ck_assert_int_eq(offer("b", "", "ei", audio("203.0.113.7", 7000, 0)), ERR_FORBIDDEN);
}
END_TEST

/* ------------------------------------------------------------ whose addresses they are */

/* A [peer]'s address, or our own outside, is outside, and speaks RTP'. */
START_TEST(test_peers)
{
    const char *ip = _i ? "192.0.2.77" : "203.0.113.7";
    struct addr peer;
    struct sa *a, *b;

    ck_assert(addr_parse("192.0.2.77:5004", &peer) == 0);
    ck_assert_int_eq(peers_add(&core.inner.peers, "other", &peer), 0);
    peers_fill_rules(&core.inner.peers, &core.inner.rules);
    ck_ok(offer("a", "", "ei", audio(ip, 5004, 0)));
    ck_shows("10.0.0.101");
    ck_ok(answer("a", "b", audio("10.0.1.20", 30000, 1)));
    a = sa_of("a", 0);
    b = sa_of("b", 0);
    ck_assert_int_eq(a->side, SA_SIDE_EXTERNAL);
    ck_assert_int_eq(a->encap_in, SA_ENCAP_RTP_PRIME);
    ck_assert_int_eq(a->encap_out, SA_ENCAP_RTP);
    ck_assert_int_eq(a->source_policy, SOURCE_STRICT);
    ck_assert_int_eq(b->encap_out, SA_ENCAP_RTP_PRIME);
    check_addr(&b->destination.rtp, _i ? "192.0.2.77:5004" : "203.0.113.7:5004");
    check_addr(&b->destination.rtcp, _i ? "192.0.2.77:5005" : "203.0.113.7:5005");
    /* Later it is a phone again, and then a peer that answers. */
    ck_ok(offer("a", "b", "ei", audio("192.0.2.10", 20000, 0)));
    ck_ok(answer("a", "b", audio("10.0.1.20", 30000, 1)));
    ck_assert_ptr_eq(a, sa_of("a", 0));
    ck_assert_int_eq(a->encap_in, SA_ENCAP_RTP);
    ck_assert_int_eq(b->encap_out, SA_ENCAP_RTP);
    check_addr(&b->destination.rtp, "192.0.2.10:20000");
    ck_ok(offer("b", "a", "ie", audio("10.0.1.20", 30000, 1)));
    ck_ok(answer("b", "a", audio(ip, 5004, 0)));
    ck_assert_int_eq(a->encap_in, SA_ENCAP_RTP_PRIME);
    ck_assert_int_eq(b->encap_out, SA_ENCAP_RTP_PRIME);
    ck_assert_ptr_eq(a, sa_of("a", 0));
    ck_ok(delete_as("b", "a", ""));
    ck_assert_uint_eq(sas(), 0);
}
END_TEST

/* The network that the message came from says nothing against it, nor for it. */
START_TEST(test_peer_is_outside)
{
    struct call_request request = request_of("a", "", audio("203.0.113.7", 5004, 0));

    ck_assert(addr_parse("10.0.0.5:5060", &request.received_from) == 0);
    request.direction[1] = SA_SIDE_INTERNAL;
    ck_ok(offer_as(&request));
    ck_assert_int_eq(calls_find(calls, "one@example", "a", "")->stage[0]->offerer_side,
                     SA_SIDE_EXTERNAL);
    ck_ok(offer("c", "", "ei", audio("192.0.2.10", 20000, 2)));
    ck_assert_int_eq(answer("c", "d", audio("203.0.113.7", 5004, 3)), ERR_INVALID);
    ck_assert_msg(strstr(error.text, "direction=external,external would be right"), "%s",
                  error.text);
}
END_TEST

/* One call of the proxy comes in again as another: each shows the other one our own outside. */
START_TEST(test_self)
{
    struct call_request request;
    char sdp_of[2][2048];

    ck_ok(offer("a", "", "ie", audio("10.0.1.20", 30000, 0)));
    snprintf(sdp_of[0], sizeof(sdp_of[0]), "%s", reply.sdp);
    request = request_of("b2b", "", sdp_of[0]);
    request.call_id = "two@example";
    request.direction[0] = SA_SIDE_EXTERNAL;
    request.direction[1] = SA_SIDE_INTERNAL;
    ck_ok(offer_as(&request));
    ck_shows("10.0.0.101");
    request = request_of("b2b", "c", audio("10.0.1.30", 30000, 1));
    request.call_id = "two@example";
    ck_ok(answer_as(&request));
    snprintf(sdp_of[1], sizeof(sdp_of[1]), "%s", reply.sdp);
    ck_ok(answer("a", "b", sdp_of[1]));
    ck_shows("10.0.0.101");
    ck_assert_uint_eq(sas(), 4);
    check_addr(&sa_of("a", 0)->destination.rtp, "203.0.113.7:5004");
    check_addr(&sa_of("b", 0)->destination.rtp, "10.0.1.20:30000");
    ck_ok(delete_as("a", "", ""));
    ck_assert_uint_eq(sas(), 2);
    request.from_tag = "b2b";
    ck_ok(calls_delete(calls, &request, now, &error));
    ck_assert_uint_eq(sas(), 0);
}
END_TEST

/* A second m= line has a listener of its own on both sides, and the call a dmz-relay that is up. */
START_TEST(test_listeners)
{
    struct hello *peer = &core.inner.links[1].peer;
    struct path_listener *listener = &core.inner.listeners[core.inner.listener_count++];

    core_introduce(&core, 1, 100, 100);
    core.inner.links[0].peer = (struct hello){0};
    peer->listener[1] = peer->listener[0];
    snprintf(peer->listener[1].name, sizeof(peer->listener[1].name), "video");
    peer->listener[1].advertise.port = 6004;
    peer->listener[1].m_line = 1;
    *listener = core.inner.listeners[0];
    snprintf(listener->name, sizeof(listener->name), "film");
    listener->address.port = listener->advertise.port = 4100;
    listener->m_line = 1;
    ck_ok(lines_offer("a", "", "ei", "192.0.2.10", (unsigned[]){20000, 20002}, "", NULL));
    ck_shows("m=audio 4000 ");
    ck_shows("m=video 4100 ");
    ck_ok(lines_offer("a", "b", "", "10.0.1.20", (unsigned[]){30000, 30002}, "", answer));
    ck_shows("m=audio 5004 ");
    ck_shows("m=video 6004 ");
    for (unsigned i = 0; i < 2; i++) {
        ck_assert_uint_eq(sa_of("a", i)->owner, 1);
        ck_assert_uint_eq(sa_of("b", i)->owner, 1);
        ck_assert_str_eq(sa_text(sa_of("a", i), SA_LISTENER_IN), i ? "video" : "");
        ck_assert_str_eq(sa_text(sa_of("a", i), SA_LISTENER_OUT), i ? "film" : "");
        ck_assert_str_eq(sa_text(sa_of("b", i), SA_LISTENER_IN), i ? "film" : "");
        ck_assert_str_eq(sa_text(sa_of("b", i), SA_LISTENER_OUT), i ? "video" : "");
    }
    /* The other dmz-relay comes up: a call stays where it is, and new ones go there. */
    core_introduce(&core, 0, 100, 100);
    ck_ok(lines_offer("b", "a", "ie", "10.0.1.20", (unsigned[]){30000, 30002}, "", NULL));
    ck_shows("m=video 6004 ");
    ck_ok(lines_offer("b", "a", "", "192.0.2.10", (unsigned[]){20000, 20002}, "", answer));
    ck_assert_uint_eq(sa_of("a", 1)->owner, 1);
    ck_ok(offer("x", "", "ie", audio("10.0.1.50", 30000, 2)));
    ck_ok(answer("x", "y", audio("192.0.2.50", 30000, 3)));
    ck_assert_uint_eq(sa_of("x", 0)->owner, 0);
}
END_TEST

/* ------------------------------------------------------------ what else SDP says */

/* An SSRC that is signalled is binding; one that was is good for what is on its way. */
START_TEST(test_ssrcs)
{
    char text[512];
    struct sa *a;

    line(text, sizeof(text), "audio", 20000, 0, "a=ssrc:11 cname:x\r\na=ssrc:12 cname:x\r\n");
    ck_ok(offer("a", "", "ei", sdp("192.0.2.10", text)));
    ck_ok(answer("a", "b", audio("10.0.1.20", 30000, 1)));
    a = sa_of("a", 0);
    ck_assert_uint_eq(a->stream_count, 2);
    ck_assert_int_eq(sa_stream(a, 11)->origin, SSRC_ORIGIN_SIGNALLED);
    ck_assert(!sa_learns_ssrcs(a) && sa_learns_ssrcs(sa_of("b", 0)));
    sa_stream(a, 12)->index.started = true;
    line(text, sizeof(text), "audio", 20000, 0, "a=ssrc:12 cname:x\r\na=ssrc:13 cname:x\r\n");
    ck_ok(offer("a", "b", "ei", sdp("192.0.2.10", text)));
    ck_assert_ptr_null(sa_stream(a, 13));
    ck_ok(answer("a", "b", audio("10.0.1.20", 30000, 1)));
    ck_assert_ptr_eq(a, sa_of("a", 0));
    ck_assert_int_eq(sa_stream(a, 13)->origin, SSRC_ORIGIN_SIGNALLED);
    ck_assert_int_eq(sa_stream(a, 11)->origin, SSRC_ORIGIN_LEARNED);
    ck_assert(sa_stream(a, 12)->index.started);
    ck_assert_uint_eq(a->generation, 1);
}
END_TEST

/* b= of both: the wider one has a margin, and [limits] sa-rate is the most. */
static const struct {
    const char *a, *b;
    uint32_t rate;
} rates[] = {{"", "", 125000},
             {"b=AS:64\r\n", "", 64000},
             {"b=AS:64\r\n", "b=AS:160\r\n", 80000},
             {"b=TIAS:160000\r\n", "b=AS:64\r\n", 80000},
             {"b=AS:512\r\n", "b=AS:64\r\n", 125000},
             {"b=AS:4294967295\r\n", "", 125000},
             {"b=AS:0\r\n", "b=X-Y:1\r\n", 125000}};

START_TEST(test_rates)
{
    char text[512];

    for (unsigned again = 0; again < 2; again++) {
        unsigned row = again ? 0 : (unsigned)_i;

        snprintf(text, sizeof(text),
                 "m=audio 20000 RTP/SAVP 0\r\n%sa=crypto:1 "
                 "AES_CM_128_HMAC_SHA1_80 inline:%s\r\n",
                 rates[row].a, key_of[0]);
        ck_ok(offer("a", again ? "b" : "", "ei", sdp("192.0.2.10", text)));
        snprintf(text, sizeof(text),
                 "m=audio 30000 RTP/SAVP 0\r\n%sa=crypto:1 "
                 "AES_CM_128_HMAC_SHA1_80 inline:%s\r\n",
                 rates[row].b, key_of[1]);
        ck_ok(answer("a", "b", sdp("10.0.1.20", text)));
        ck_assert_uint_eq(sa_of("a", 0)->rate.octets_per_second, rates[row].rate);
        ck_assert_uint_eq(sa_of("b", 0)->rate.octets_per_second, rates[row].rate);
    }
}
END_TEST

/* ------------------------------------------------------------ after a restart */

static void restart(void)
{
    struct call_options options = calls->options;

    calls_free(calls);
    calls = calls_new(&core.inner, &options);
    ck_assert_ptr_nonnull(calls);
    calls_restore(calls, WALL, now);
    ck_assert_uint_eq(calls_count(calls), 1);
}

/* Only SAs are left: the call ends by its Call-ID. */
START_TEST(test_restart)
{
    set_up();
    restart();
    ck_assert_uint_eq(sas(), 2);
    ck_ok(delete_as("a", "", ""));
    ck_assert_uint_eq(sas(), 0);
    ck_assert_uint_eq(calls_count(calls), 0);
}
END_TEST

/* Who re-INVITEs then, and what is another in it. */
static const struct {
    const char *name, *sides; /* of a and b */
    unsigned key[2], lines;
    bool callee, moves;
} restarts[] = {{"the same", "ei", {0, 30}, 2, false, false},
                {"the same, of the callee", "ei", {0, 30}, 2, true, false},
                {"another place", "ei", {0, 30}, 2, false, true},
                {"a new key", "ei", {9, 30}, 2, false, false},
                {"two new keys", "ei", {9, 39}, 2, true, false},
                {"a line less", "ei", {0, 30}, 1, false, false},
                {"a line more", "ei", {0, 30}, 3, true, false},
                {"outside to outside", "ee", {0, 30}, 2, false, false},
                {"outside to outside, of the callee", "ee", {0, 30}, 2, true, false}};

/* What each sends is known by its key, or by its side; ROC, window and binding go on. */
START_TEST(test_restart_goes_on)
{
    const char *at_b = restarts[_i].sides[1] == 'e' ? "192.0.2.20" : "10.0.1.20";
    const char *sides = restarts[_i].sides, back[] = {sides[1], sides[0], 0};
    bool same[2] = {restarts[_i].key[0] == 0, restarts[_i].key[1] == 30};
    struct sa *before[2], *after[2];
    char sdp_of[2][8192];
    uint64_t version;

    ck_ok(offer("a", "", sides, many("192.0.2.10", 0, 2, false)));
    ck_ok(answer("a", "b", many(at_b, 30, 2, false)));
    before[0] = sa_of("a", 0);
    before[1] = sa_of("b", 0);
    for (unsigned i = 0; i < 2; i++)
        before[i]->stream[0].index = (struct srtp_index){.started = true, .highest = 0x1234567 + i};
    before[0]->bound[0] = true;
    restart();
    version = core.inner.links[0].authority.version;
    snprintf(sdp_of[0], sizeof(sdp_of[0]), "%s",
             many(restarts[_i].moves ? "192.0.2.11" : "192.0.2.10", restarts[_i].key[0],
                  restarts[_i].lines, false));
    snprintf(sdp_of[1], sizeof(sdp_of[1]), "%s",
             many(at_b, restarts[_i].key[1], restarts[_i].lines, false));
    if (restarts[_i].callee) {
        ck_ok(offer("b", "a", back, sdp_of[1]));
        ck_ok(answer("b", "a", sdp_of[0]));
    } else {
        ck_ok(offer("a", "b", sides, sdp_of[0]));
        ck_ok(answer("a", "b", sdp_of[1]));
    }
    ck_assert_uint_eq(sas(), 2 * restarts[_i].lines);
    after[0] = sa_of("a", 0);
    after[1] = sa_of("b", 0);
    for (unsigned i = 0; i < 2; i++) {
        ck_assert_msg(after[i] == before[i], "%s: another SA", restarts[_i].name);
        ck_assert_uint_eq(after[i]->stream[0].index.started, same[i]);
        ck_assert(!same[i] || after[i]->stream[0].index.highest == 0x1234567 + i);
        ck_assert(same[i] || after[i]->old);
    }
    ck_assert(after[0]->bound[0] == (same[0] && !restarts[_i].moves));
    ck_assert_uint_eq(after[0]->reverse, after[1]->id);
    ck_assert(_i > 1 || version == core.inner.links[0].authority.version);
    ck_assert_uint_eq(calls_find(calls, "one@example", "a", "")->party_count, 2);
    ck_assert_int_eq(delete_as("x", "", ""), ERR_NOT_FOUND);
    ck_ok(delete_as("b", "", ""));
    ck_assert_uint_eq(sas(), 0);
}
END_TEST

/* An answer that is refused leaves what was restored; one that is not ends what is nobody's. */
START_TEST(test_restart_of_fork)
{
    static struct picture before, after;

    fork_calls();
    restart();
    take_picture(&before);
    ck_ok(offer("a", "b", "ei", many("192.0.2.10", 0, 3, true)));
    ck_assert_int_eq(answer("a", "b", many("10.0.1.20", 30, 3, false)), ERR_EXISTS);
    take_picture(&after);
    ck_assert_mem_eq(&before, &after, sizeof(before));
    ck_ok(offer("a", "b", "ei", audio("192.0.2.10", 20000, 0)));
    ck_ok(answer("a", "b", audio("10.0.1.20", 30000, 1)));
    ck_assert_uint_eq(sas(), 2);
    check_addr(&sa_of("a", 0)->destination.rtp, "10.0.1.20:30000");
}
END_TEST

/* Two Call-IDs that the tunnel cannot carry, alike in front: they are two calls, also afterwards.
 */
START_TEST(test_long_ids)
{
    struct call_options options = calls->options;
    char id[2][512], label[2][CALL_ID_SIZE], again[CALL_ID_SIZE];
    struct call_request request;
    size_t length = _i == 0 ? 127 : _i == 1 ? 300 : 0;

    for (unsigned i = 0; i < 2; i++) {
        memset(id[i], 'a', length);
        snprintf(id[i] + length, sizeof(id[i]) - length, "%s", i ? "\x7f\xc3x" : "\x01\xc3x");
        request = request_of("a", "", many("192.0.2.10", i, 1, false));
        request.call_id = id[i];
        request.direction[0] = SA_SIDE_EXTERNAL;
        ck_ok(offer_as(&request));
        request = request_of("a", "b", many("10.0.1.20", 30 + i, 1, false));
        request.call_id = id[i];
        ck_ok(answer_as(&request));
        call_label(id[i], label[i]);
        call_label(label[i], again);
        ck_assert_str_eq(label[i], again);
    }
    ck_assert_str_ne(label[0], label[1]);
    ck_assert_uint_eq(sas(), 4);
    ck_assert_str_eq(sa_text(inner_find_sa(&core.inner, 1), SA_CALL_ID), label[0]);
    calls_free(calls);
    calls = calls_new(&core.inner, &options);
    ck_assert_ptr_nonnull(calls);
    calls_restore(calls, WALL, now);
    ck_assert_uint_eq(calls_count(calls), 2);
    /* One goes on, and is known by all of its Call-ID then; the other one ends by it. */
    request = request_of("a", "b", many("192.0.2.10", 0, 1, false));
    request.call_id = id[0];
    request.direction[0] = SA_SIDE_EXTERNAL;
    ck_ok(offer_as(&request));
    request.direction[0] = 0;
    request.sdp = many("10.0.1.20", 30, 1, false);
    request.sdp_length = strlen(request.sdp);
    ck_ok(answer_as(&request));
    ck_assert_uint_eq(sas(), 4);
    ck_assert_str_eq(calls_find(calls, id[0], "a", "")->call_id, id[0]);
    ck_assert_ptr_null(calls_find(calls, label[0], "", ""));
    request.call_id = id[1];
    ck_ok(calls_delete(calls, &request, now, &error));
    ck_assert_uint_eq(sas(), 2);
    ck_assert_int_eq(calls_delete(calls, &request, now, &error), ERR_NOT_FOUND);
    request.call_id = id[0];
    ck_ok(calls_delete(calls, &request, now, &error));
    ck_assert_uint_eq(sas(), 0);
}
END_TEST

/* Who was given an SSRC keeps it, whoever asks. */
START_TEST(test_restart_assigned)
{
    struct call_request request = request_of("a", "", audio("192.0.2.10", 20000, 0));
    struct sa *b;

    request.direction[0] = SA_SIDE_EXTERNAL;
    request.assign_ssrc = true;
    ck_ok(offer_as(&request));
    ck_ok(answer("a", "b", audio("10.0.1.20", 30000, 1)));
    b = sa_of("b", 0);
    for (unsigned i = 0; i < 2; i++) {
        restart();
        if (i)
            ck_ok(offer("b", "a", "ie", audio("10.0.1.20", 30000, 1)));
        else
            ck_ok(offer("a", "b", "ei", audio("192.0.2.10", 20000, 0)));
        ck_ok(i ? answer("b", "a", audio("192.0.2.10", 20000, 0))
                : answer("a", "b", audio("10.0.1.20", 30000, 1)));
        ck_assert_ptr_eq(sa_of("b", 0), b);
        ck_assert(sa_is_assigned(b));
        ck_assert_uint_eq(sas(), 2);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("calls");
    TCase *tc = tcase_create("calls");
    int result;

    if (!core_start_engine())
        return 1;
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, test_inward);
    tcase_add_test(tc, test_outward);
    tcase_add_test(tc, test_sides);
    tcase_add_test(tc, test_inside_alone);
    tcase_add_test(tc, test_hairpin);
    tcase_add_test(tc, test_relay_internal);
    tcase_add_test(tc, test_fork_over_sides);
    tcase_add_loop_test(tc, test_refused_offer, 0, sizeof(bad) / sizeof(bad[0]));
    tcase_add_test(tc, test_refused_answer);
    tcase_add_test(tc, test_rejected_reoffer);
    tcase_add_test(tc, test_rekey_and_same);
    tcase_add_test(tc, test_repeats);
    tcase_add_test(tc, test_late_offer);
    tcase_add_test(tc, test_lines);
    tcase_add_test(tc, test_hold_without_address);
    tcase_add_test(tc, test_other_lines);
    tcase_add_loop_test(tc, test_unusable_crypto, 0, sizeof(cryptos) / sizeof(cryptos[0]));
    tcase_add_loop_test(tc, test_bundle, 0, sizeof(bundles) / sizeof(bundles[0]));
    tcase_add_loop_test(tc, test_fax, 0, 2);
    tcase_add_test(tc, test_families);
    tcase_add_test(tc, test_assign);
    tcase_add_test(tc, test_promises);
    tcase_add_test(tc, test_assign_fork);
    tcase_add_test(tc, test_assign_line_off_and_on);
    tcase_add_test(tc, test_assign_partner_moves);
    tcase_add_test(tc, test_fork);
    tcase_add_loop_test(tc, test_fork_loses_active, 0, 3);
    tcase_add_loop_test(tc, test_fork_rings, 0, 2);
    tcase_add_test(tc, test_branches);
    tcase_add_test(tc, test_branch_of_reoffer);
    tcase_add_test(tc, test_cancel);
    tcase_add_test(tc, test_one_call_id);
    tcase_add_loop_test(tc, test_half, 0, sizeof(halves) / sizeof(halves[0]));
    tcase_add_loop_test(tc, test_half_full, 0, 2);
    tcase_add_test(tc, test_flood);
    tcase_add_test(tc, test_flood_of_octets);
    tcase_add_loop_test(tc, test_flood_of_one_id, 0, 2);
    tcase_add_test(tc, test_borrowed);
    tcase_add_test(tc, test_silence);
    tcase_add_test(tc, test_held_and_old);
    tcase_add_test(tc, test_down);
    tcase_add_test(tc, test_spiral);
    tcase_add_loop_test(tc, test_peers, 0, 2);
    tcase_add_test(tc, test_peer_is_outside);
    tcase_add_test(tc, test_self);
    tcase_add_test(tc, test_listeners);
    tcase_add_test(tc, test_ssrcs);
    tcase_add_loop_test(tc, test_rates, 0, sizeof(rates) / sizeof(rates[0]));
    tcase_add_loop_test(tc, test_long_ids, 0, 3);
    tcase_add_test(tc, test_restart);
    tcase_add_loop_test(tc, test_restart_goes_on, 0, sizeof(restarts) / sizeof(restarts[0]));
    tcase_add_test(tc, test_restart_of_fork);
    tcase_add_test(tc, test_restart_assigned);
    suite_add_tcase(suite, tc);
    result = unit_run(suite);
    core_stop_engine();
    return result;
}
