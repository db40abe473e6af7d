/* The inner-relay's table of commands, without sockets and without a loop that runs. */
#include <ev.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/sa/far.h"
#include "common/srtp/srtp.h"
#include "inner-relay/relay.h"
#include "tests/unit/core.h"
#include "tests/unit/members.h"
#include "tests/unit/unit.h"

#define KEY "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd" /* 30 octets */

#define HEX_128                                                                                    \
    "0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef"                             \
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static struct core core; /* counts what the hooks are called for */
static struct relay relay;
static struct daemon daemon_;

static void start_engine(void)
{
    ck_assert(core_start_engine());
}

static void add_peer(void)
{
    struct addr rtp;

    ck_assert_int_eq(addr_parse("203.0.113.20:5004", &rtp), 0);
    ck_assert_int_eq(peers_add(&core.inner.peers, "other", &rtp), 0);
    peers_fill_rules(&core.inner.peers, &core.inner.rules);
}

static void setup(void)
{
    static struct connector_settings settings = {
        .label = "east", .host = "127.0.0.1", .port = 9, .name = "dmz.example"};
    static struct conn_hooks none;

    log_open("test", LOG_TARGET_STDERR, LOG_LEVEL_ERROR);
    ck_assert(core_init(&core, 8));
    core_introduce(&core, 0, 100, 100);
    add_peer();
    memset(&relay, 0, sizeof(relay));
    relay.core = core.inner;
    memset(&daemon_, 0, sizeof(daemon_));
    daemon_.kind = &relay_kind;
    daemon_.state = &relay;
    daemon_.loop = ev_loop_new(EVFLAG_AUTO);
    snprintf(daemon_.options.config, sizeof(daemon_.options.config),
             "/nonexistent/inner-relay.ini");
    for (unsigned i = 0; i < relay.core.link_count; i++) {
        relay.core.links[i].inner = &relay.core;
        relay.links[i].connector = connector_new(daemon_.loop, NULL, &settings, &none, NULL);
        ck_assert_ptr_nonnull(relay.links[i].connector);
    }
}

static void teardown(void)
{
    for (unsigned i = 0; i < relay.core.link_count; i++)
        connector_free(relay.links[i].connector, "");
    ev_loop_destroy(daemon_.loop);
    inner_fini(&relay.core);
}

/* The answer, to be released. */
static json_t *ask(const json_t *request)
{
    const char *line = members_text(request);
    json_t *reply = control_answer(relay_commands, &daemon_, line, strlen(line));

    ck_assert(json_is_object(reply));
    ck_assert(json_is_boolean(json_object_get(reply, "ok")));
    ck_assert_msg(!strstr(members_text(reply), "AAECAwQF") &&
                      !strstr(members_text(reply), "HBsaGRgX"),
                  "a key: %s", members_text(reply));
    return reply;
}

static json_t *ask_about(const char *command, json_int_t id)
{
    json_t *request = json_pack("{s:s}", "command", command), *reply;

    if (id)
        json_object_set_new(request, "id", json_integer(id));
    reply = ask(request);
    json_decref(request);
    return reply;
}

static bool is_ok(const json_t *reply)
{
    return json_is_true(json_object_get(reply, "ok"));
}

static const char *text_of(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

static json_int_t number_of(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

/* An external sender, all members there are. */
static json_t *good_request(unsigned n)
{
    char source[64], to[64];

    snprintf(source, sizeof(source), "192.0.2.1:%u", 5000 + 4 * n);
    snprintf(to, sizeof(to), "10.1.1.1:%u", 6000 + 4 * n);
    return json_pack("{s:s,s:s,s:s,s:n,s:b,s:s,s:s,s:[I],s:s,s:n,s:b,s:i,s:s,s:i,s:s,s:s,s:s,s:i,"
                     "s:i}",
                     "command", "sa-add", "side", "external", "source", source, "source_rtcp",
                     "mux", 0, "suite", "AES_CM_128_HMAC_SHA1_80", "key", KEY, "ssrc",
                     (json_int_t)1000 + n, "to", to, "to_rtcp", "to_mux", 0, "rate", 64, "call_id",
                     "a call", "media", 1, "listener", "out4", "to_listener", "four", "dmz", "east",
                     "reverse", 0, "media_timeout", 30);
}

static json_int_t add(unsigned n)
{
    json_t *request = good_request(n), *reply = ask(request);
    json_int_t id = number_of(reply, "id");

    ck_assert_msg(is_ok(reply), "%s", members_text(reply));
    json_decref(request);
    json_decref(reply);
    return id;
}

/* What "sa show" says of both hops of the SA that this request makes. */
static void encaps_are(json_t *request, const char *in, const char *out)
{
    json_t *reply = ask(request), *shown;
    const json_t *sa;

    ck_assert_msg(is_ok(reply), "%s", members_text(reply));
    shown = ask_about("sa-show", number_of(reply, "id"));
    sa = json_object_get(shown, "sa");
    ck_assert_str_eq(text_of(sa, "encap_in"), in);
    ck_assert_str_eq(text_of(sa, "encap_out"), out);
    json_decref(shown);
    json_decref(reply);
    json_decref(request);
}

START_TEST(test_encapsulations)
{
    json_t *request = good_request(1);

    encaps_are(request, "rtp", "rtp");
    request = good_request(2);
    json_object_set_new(request, "source", json_null());
    json_object_set_new(request, "peer", json_string("other"));
    encaps_are(request, "rtp-prime", "rtp");
    request = good_request(3);
    json_object_set_new(request, "to_rtp_prime", json_true());
    encaps_are(request, "rtp", "rtp-prime");
    request = good_request(4);
    json_object_set_new(request, "source", json_string("203.0.113.20:5004"));
    json_object_set_new(request, "to_rtp_prime", json_true());
    encaps_are(request, "rtp-prime", "rtp-prime");
}
END_TEST

/* ------------------------------------------------------------ sa add: what is wrong */

/* value is JSON, NULL: the member is left out. */
static const struct {
    const char *member, *value, *field; /* field NULL: that of member */
} wrong[] = {
    {"side", NULL, NULL},
    {"side", "\"\"", NULL},
    {"side", "\"outside\"", NULL},
    {"side", "1", NULL},
    {"side", "\"internal\"", "source"}, /* the address is external */
    {"source", NULL, NULL},
    {"source", "\"\"", NULL},
    {"source", "\"192.0.2.1\"", NULL},
    {"source", "\"192.0.2.1:0\"", NULL},
    {"source", "\"192.0.2.1:65536\"", NULL},
    {"source", "\"192.0.2.1:65535\"", NULL}, /* leaves none for RTCP */
    {"source", "\"phone.example:5000\"", NULL},
    {"source", "5000", NULL},
    {"source", "\"10.1.1.1:5000\"", NULL},
    {"source", "\"224.0.0.1:5000\"", NULL},
    {"source", "\"[2001:db8::1]:5000\"", "listener"}, /* out4 is IPv4 */
    {"source_rtcp", "\"192.0.2.1\"", NULL},
    {"source_rtcp", "true", NULL},
    {"source_rtcp", "\"[2001:db8::1]:5001\"", NULL},
    {"source_rtcp", "\"10.1.1.1:5001\"", NULL},
    {"mux", "1", NULL},
    {"rtp_prime", "1", NULL},
    {"rtp_prime", "true", NULL}, /* the address is no peer's */
    {"to_rtp_prime", "\"yes\"", NULL},
    {"peer", "\"other\"", NULL}, /* there is a source */
    {"peer", "1", NULL},
    {"mux", "\"yes\"", NULL},
    {"suite", NULL, NULL},
    {"suite", "\"\"", NULL},
    {"suite", "\"aes_cm_128_hmac_sha1_80\"", NULL},
    {"suite", "\"AES_CM_128_HMAC_SHA1_81\"", NULL},
    {"suite", "{}", NULL},
    {"suite", "\"AEAD_AES_256_GCM\"", "key"}, /* takes 44 octets */
    {"key", NULL, NULL},
    {"key", "\"\"", NULL},
    {"key", "\"not base64!\"", NULL},
    {"key", "\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxw=\"", NULL},
    {"key", "\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg==\"", NULL},
    {"key", "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"", NULL},
    {"key", "[1, 2]", NULL},
    {"mki", "\"\"", NULL},
    {"mki", "\"0\"", NULL},
    {"mki", "\"000\"", NULL},
    {"mki", "\"0g\"", NULL},
    {"mki", "\"0x01\"", NULL},
    {"mki", "\"\\u0010\\u0011\"", NULL},
    {"mki", "1", NULL},
    {"mki", "[]", NULL},
    {"mki", "\"" HEX_128 HEX_128 "00\"", NULL},
    {"lifetime", "0", NULL},
    {"lifetime", "-1", NULL},
    {"lifetime", "281474976710657", NULL},
    {"lifetime", "1.0", NULL},
    {"lifetime", "\"1\"", NULL},
    {"lifetime", "true", NULL},
    {"ssrc", NULL, NULL},
    {"ssrc", "[]", NULL},
    {"ssrc", "77", NULL},
    {"ssrc", "[-1]", NULL},
    {"ssrc", "[4294967296]", NULL},
    {"ssrc", "[1.5]", NULL},
    {"ssrc", "[\"1\"]", NULL},
    {"ssrc", "[5, 6, 5]", NULL},
    {"ssrc", "[1,2,3,4,5,6,7,8,9]", NULL},
    {"source_policy", "\"loose\"", NULL},
    {"source_policy", "\"\"", NULL},
    {"source_policy", "2", NULL},
    {"hint", "\"phone.example\"", NULL},
    {"hint", "\"192.0.2.1:0\"", NULL},
    {"hint", "\"224.0.0.1\"", NULL},
    {"hint", "7", NULL},
    {"assign_ssrc", "1", NULL},
    {"assign_ssrc", "\"yes\"", NULL},
    {"assign_ssrc", "true", NULL}, /* there are SSRCs, and the sender is outside */
    {"to", NULL, NULL},
    {"to", "\"10.1.1.1:0\"", NULL},
    {"to", "\"10.1.1.1\"", NULL},
    {"to", "\"8.8.8.8:5000\"", NULL},
    {"to", "\"127.0.0.1:5000\"", NULL},
    {"to", "\"10.0.0.1:5000\"", NULL}, /* a listener of ours */
    {"to", "\"10.255.255.255:65535\"", NULL},
    {"to", "7", NULL},
    {"to_rtcp", "\"8.8.8.8:5001\"", NULL},
    {"to_rtcp", "\"[fd00::9]:5001\"", NULL},
    {"to_side", "\"outside\"", NULL},
    {"to_side", "1", NULL},
    {"to_side", "\"external\"", "to"}, /* which is inside */
    {"to_rtcp", "false", NULL},
    {"to_mux", "\"\"", NULL},
    {"rate", "-1", NULL},
    {"rate", "10000001", NULL},
    {"rate", "\"64\"", NULL},
    {"rate", "6.4", NULL},
    {"call_id", "7", NULL},
    {"call_id", "\"tab\\there\"", NULL},
    {"call_id", "\"\\u00e4\"", NULL},
    {"media", "256", NULL},
    {"media", "-1", NULL},
    {"media", "\"1\"", NULL},
    {"listener", "\"none\"", NULL},
    {"listener", "4", NULL},
    {"to_listener", "\"none\"", NULL},
    {"to_listener", "\"six\"", NULL},
    {"dmz", "\"north\"", NULL},
    {"dmz", "[]", NULL},
    {"reverse", "4711", NULL},
    {"reverse", "-1", NULL},
    {"reverse", "\"1\"", NULL},
    {"media_timeout", "-1", NULL},
    {"media_timeout", "604801", NULL},
    {"media_timeout", "\"30s\"", NULL},
};

static char *picture(void)
{
    json_t *list = ask_about("sa-list", 0);
    char *text = json_dumps(list, JSON_SORT_KEYS);

    json_decref(list);
    return text;
}

static void check_refused(const json_t *request, const char *field)
{
    char *before = picture(), *after;
    json_t *reply = ask(request);

    ck_assert_msg(!is_ok(reply), "%s", members_text(request));
    ck_assert_msg(text_of(reply, "field") && strcmp(text_of(reply, "field"), field) == 0,
                  "%s is not about %s", members_text(reply), field);
    ck_assert_uint_gt(strlen(text_of(reply, "error")), 5);
    members_are(reply, "ok error field");
    after = picture();
    ck_assert_str_eq(before, after);
    free(before);
    free(after);
    json_decref(reply);
}

START_TEST(test_wrong)
{
    json_t *request = good_request(2);
    const char *member = wrong[_i].member;

    add(1);
    if (wrong[_i].value)
        json_object_set_new(request, member, json_loads(wrong[_i].value, JSON_DECODE_ANY, NULL));
    else
        json_object_del(request, member);
    check_refused(request, wrong[_i].field ? wrong[_i].field : member);
    json_decref(request);
    /* Nothing of it stays: the same request without the fault is taken. */
    ck_assert_int_eq(add(2), 2);
}
END_TEST

/* Texts that are as long as their place, and one more. */
static const struct {
    const char *member;
    size_t size;
} lengths[] = {{"call_id", CALL_ID_SIZE},
               {"listener", NAME_SIZE},
               {"to_listener", NAME_SIZE},
               {"dmz", NAME_SIZE}};

START_TEST(test_too_long)
{
    char text[CALL_ID_SIZE + 1];
    json_t *request = good_request(1);

    memset(text, 'x', sizeof(text));
    text[lengths[_i].size] = '\0';
    json_object_set_new(request, lengths[_i].member, json_string(text));
    check_refused(request, lengths[_i].member);
    json_decref(request);
}
END_TEST

START_TEST(test_mux_and_rtcp)
{
    json_t *request = good_request(1);

    json_object_set_new(request, "mux", json_true());
    json_object_set_new(request, "source_rtcp", json_string("192.0.2.1:5001"));
    check_refused(request, "source_rtcp");
    json_decref(request);
    request = good_request(1);
    json_object_set_new(request, "to_mux", json_true());
    json_object_set_new(request, "to_rtcp", json_string("10.1.1.1:5001"));
    check_refused(request, "to_rtcp");
    json_decref(request);
}
END_TEST

START_TEST(test_same_source_and_ssrc)
{
    json_t *request = good_request(1);

    add(1);
    check_refused(request, "source");
    json_object_set_new(request, "dmz", json_string("west"));
    check_refused(request, "source");
    json_decref(request);
}
END_TEST

START_TEST(test_full)
{
    json_t *request = good_request(9), *reply;

    for (unsigned n = 0; n < 8; n++)
        add(n);
    reply = ask(request);
    ck_assert(!is_ok(reply));
    members_are(reply, "ok error");
    ck_assert_ptr_nonnull(strstr(text_of(reply, "error"), "max-sas"));
    json_decref(reply);
    json_decref(request);
}
END_TEST

/* ------------------------------------------------------------ sa add: what it answers */

static const struct {
    const char *changes;                /* a JSON object */
    const char *send_to, *send_rtcp_to; /* NULL: null */
} answers[] = {
    {"{}", "203.0.113.7:5004", "203.0.113.7:5005"},
    {"{\"listener\": null}", "203.0.113.7:5004", "203.0.113.7:5005"},
    {"{\"mux\": true}", "203.0.113.7:5004", "203.0.113.7:5004"},
    {"{\"listener\": \"out6\", \"source\": \"[2001:db8::9]:9\"}", "[2001:db8::7]:5004",
     "[2001:db8::7]:5005"},
    {"{\"source\": null, \"peer\": \"other\"}", "203.0.113.7:5004", "203.0.113.7:5005"},
    {"{\"source\": null, \"peer\": \"other\", \"mux\": true, \"to_rtp_prime\": true}",
     "203.0.113.7:5004", "203.0.113.7:5004"},
    {"{\"side\": \"internal\", \"source\": \"10.1.1.1:9\", \"to\": null, \"peer\": \"self\","
     "\"rtp_prime\": true, \"listener\": \"\", \"to_listener\": \"\"}",
     "10.0.0.101:4000", "10.0.0.101:4001"},
    {"{\"dmz\": \"west\"}", NULL, NULL}, /* what it has is not known yet */
    {"{\"side\": \"internal\", \"source\": \"10.1.1.1:9\", \"to\": \"8.8.8.8:9\","
     "\"listener\": \"\", \"to_listener\": \"\"}",
     "10.0.0.101:4000", "10.0.0.101:4001"},
    {"{\"side\": \"internal\", \"source\": \"[fd00::9]:9\", \"to\": \"8.8.8.8:9\","
     "\"listener\": \"six\", \"to_listener\": \"out4\", \"mux\": true}",
     "[fd00::101]:4000", "[fd00::101]:4000"},
};

static void check_text(const json_t *object, const char *name, const char *text)
{
    if (text)
        ck_assert_str_eq(text_of(object, name), text);
    else
        ck_assert(json_is_null(json_object_get(object, name)));
}

START_TEST(test_answer)
{
    json_t *request = good_request(1), *reply;
    json_t *changes = json_loads(answers[_i].changes, 0, NULL);

    json_object_update(request, changes);
    reply = ask(request);
    ck_assert_msg(is_ok(reply), "%s", members_text(reply));
    members_are(reply, "ok id label ssrc send_to send_rtcp_to");
    ck_assert(json_is_null(json_object_get(reply, "ssrc")));
    ck_assert_int_eq(number_of(reply, "id"), 1);
    ck_assert_int_eq(number_of(reply, "label"), 1001);
    check_text(reply, "send_to", answers[_i].send_to);
    check_text(reply, "send_rtcp_to", answers[_i].send_rtcp_to);
    ck_assert_uint_eq(core.changed, 1);
    json_decref(reply);
    json_decref(changes);
    json_decref(request);
}
END_TEST

/* Only what must be there: null and nothing are the same. */
START_TEST(test_least)
{
    static const char line[] =
        "{\"command\":\"sa-add\",\"side\":\"external\",\"source\":\"192.0.2.1:5000\","
        "\"suite\":\"AES_CM_128_HMAC_SHA1_80\",\"key\":\"" KEY "\",\"ssrc\":[0,4294967295],"
        "\"to\":\"10.1.1.1:6000\",\"rate\":null,\"dmz\":null,\"mux\":null}";
    json_t *reply = control_answer(relay_commands, &daemon_, line, strlen(line));
    const struct sa *sa = inner_find_sa(&relay.core, 1);

    ck_assert_msg(is_ok(reply), "%s", members_text(reply));
    ck_assert_ptr_nonnull(sa);
    ck_assert_uint_eq(sa->source.rtcp.port, 5001);
    ck_assert_uint_eq(sa->destination.rtcp.port, 6001);
    ck_assert_uint_eq(sa->rate.octets_per_second, relay.core.options.sa_rate);
    ck_assert_uint_eq(sa->media_timeout_s, relay.core.options.media_timeout_s);
    ck_assert_uint_eq(sa->stream[1].ssrc, UINT32_MAX);
    json_decref(reply);
}
END_TEST

static const struct {
    const char *more, *field; /* field NULL: it is taken */
} assigning[] = {
    {"", NULL},
    {",\"ssrc\":null,\"key\":null,\"suite\":null,\"mki\":null,\"lifetime\":null", NULL},
    {",\"suite\":\"AES_CM_128_HMAC_SHA1_80\"", NULL},
    {",\"suite\":\"AES_CM_128_HMAC_SHA1_80\",\"key\":\"" KEY "\",\"lifetime\":9", NULL},
    {",\"key\":\"" KEY "\"", "suite"},
    {",\"suite\":\"AES_CM_128\"", "suite"},
    {",\"suite\":\"AES_CM_128_HMAC_SHA1_80\",\"mki\":\"00\"", "key"},
    {",\"suite\":\"AES_CM_128_HMAC_SHA1_80\",\"lifetime\":9", "key"},
    {",\"suite\":\"AES_CM_128_HMAC_SHA1_80\",\"key\":\"AAAA\"", "key"},
    {",\"ssrc\":[7]", "assign_ssrc"},
};

START_TEST(test_assign_ssrc)
{
    json_t *request, *reply, *sa;
    char line[1024];

    snprintf(line, sizeof(line),
             "{\"command\":\"sa-add\",\"side\":\"internal\",\"source\":\"10.1.1.1:5000\","
             "\"to\":\"192.0.2.1:6000\",\"assign_ssrc\":true%s}",
             assigning[_i].more);
    request = json_loads(line, 0, NULL);
    ck_assert_ptr_nonnull(request);
    if (assigning[_i].field) {
        check_refused(request, assigning[_i].field);
        json_decref(request);
        return;
    }
    reply = ask(request);
    ck_assert_msg(is_ok(reply), "%s", members_text(reply));
    ck_assert_int_gt(number_of(reply, "ssrc"), 0);
    ck_assert_int_le(number_of(reply, "ssrc"), INT32_MAX);
    ck_assert_int_eq(number_of(reply, "ssrc"), number_of(reply, "label"));
    sa = ask_about("sa-show", 1);
    ck_assert_str_eq(text_of(json_object_get(sa, "sa"), "key"), "none");
    ck_assert_str_eq(
        text_of(json_array_get(json_object_get(json_object_get(sa, "sa"), "streams"), 0), "origin"),
        "assigned");
    json_decref(sa);
    json_decref(reply);
    json_decref(request);
}
END_TEST

/* ------------------------------------------------------------ sa list, show, delete */

#define LIST_MEMBERS                                                                               \
    "id side to_side call_id dmz source destination ssrc label suite packets octets dropped "      \
    "last_packet "                                                                                 \
    "state source_policy source_bound bound hint destination_learned"
#define SHOW_MEMBERS                                                                               \
    LIST_MEMBERS " generation created source_rtcp source_mux destination_rtcp destination_mux "    \
                 "encap_in encap_out rate listener to_listener reverse media_timeout refused "     \
                 "streams verdicts media key mki lifetime old_key bound_rtcp stray far"

START_TEST(test_list)
{
    json_t *reply = ask_about("sa-list", 0);

    members_are(reply, "ok sas next");
    ck_assert_uint_eq(json_array_size(json_object_get(reply, "sas")), 0);
    json_decref(reply);
    add(1);
    add(2);
    reply = ask_about("sa-list", 0);
    ck_assert_uint_eq(json_array_size(json_object_get(reply, "sas")), 2);
    for (size_t i = 0; i < 2; i++)
        members_are(json_array_get(json_object_get(reply, "sas"), i), LIST_MEMBERS);
    json_decref(reply);
}
END_TEST

START_TEST(test_show)
{
    json_t *reply;
    const json_t *sa, *stream;
    struct sa *held;

    add(1);
    held = inner_find_sa(&relay.core, 1);
    held->stream[0].index = (struct srtp_index){.started = true, .highest = 3 << 16 | 9};
    held->verdicts[VERDICT_ACCEPTED] = 12;
    held->verdicts[VERDICT_REPLAY] = 2;
    held->packets = 12;
    reply = ask_about("sa-show", 1);
    members_are(reply, "ok sa");
    sa = json_object_get(reply, "sa");
    members_are(sa, SHOW_MEMBERS);
    ck_assert_str_eq(text_of(sa, "side"), "external");
    ck_assert_str_eq(text_of(sa, "dmz"), "east");
    ck_assert_str_eq(text_of(sa, "call_id"), "a call");
    ck_assert_str_eq(text_of(sa, "source"), "192.0.2.1:5004");
    ck_assert_str_eq(text_of(sa, "source_rtcp"), "192.0.2.1:5005");
    ck_assert_str_eq(text_of(sa, "destination"), "10.1.1.1:6004");
    ck_assert_str_eq(text_of(sa, "suite"), "AES_CM_128_HMAC_SHA1_80");
    ck_assert_str_eq(text_of(sa, "state"), "active");
    ck_assert_int_eq(number_of(sa, "rate"), 64);
    ck_assert_int_eq(number_of(sa, "media_timeout"), 30);
    ck_assert_int_eq(number_of(sa, "packets"), 12);
    ck_assert_int_eq(number_of(sa, "dropped"), 2);
    ck_assert(json_is_null(json_object_get(sa, "last_packet")));
    ck_assert(json_is_null(json_object_get(sa, "reverse")));
    members_are(json_object_get(sa, "verdicts"), "accepted replay");
    stream = json_array_get(json_object_get(sa, "streams"), 0);
    members_are(stream, "ssrc origin roc highest lost jitter received");
    ck_assert_int_eq(number_of(stream, "roc"), 3);
    ck_assert_int_eq(number_of(stream, "highest"), 9);
    json_decref(reply);

    ck_assert_int_eq(sa_set_text(held, SA_REFUSED, "no room"), 0);
    reply = ask_about("sa-show", 1);
    ck_assert_str_eq(text_of(json_object_get(reply, "sa"), "state"), "refused");
    ck_assert_str_eq(text_of(json_object_get(reply, "sa"), "refused"), "no room");
    json_decref(reply);
}
END_TEST

/* A call whose ends are learned: id of the SA that this request makes. */
static json_int_t add_text(const char *text, const char *send_to)
{
    json_t *request = json_loads(text, 0, NULL), *reply;
    json_int_t id;

    ck_assert_ptr_nonnull(request);
    json_object_set_new(request, "command", json_string("sa-add"));
    json_object_set_new(request, "suite", json_string("AES_CM_128_HMAC_SHA1_80"));
    json_object_set_new(request, "key", json_string(KEY));
    reply = ask(request);
    ck_assert_msg(is_ok(reply), "%s", members_text(reply));
    ck_assert_str_eq(text_of(reply, "send_to"), send_to);
    id = number_of(reply, "id");
    json_decref(request);
    json_decref(reply);
    return id;
}

static void shows(json_int_t id, const char *member, const char *value)
{
    json_t *reply = ask_about("sa-show", id), *list = ask_about("sa-list", 0), *sa, *row;
    char *text;
    size_t i;

    sa = json_object_get(reply, "sa");
    text = json_dumps(json_object_get(sa, member), JSON_ENCODE_ANY);
    ck_assert_ptr_nonnull(text);
    ck_assert_msg(strcmp(text, value) == 0, "%s: %s, not %s", member, text, value);
    /* The row says the same, as far as it has it. */
    json_array_foreach(json_object_get(list, "sas"), i, row)
    {
        const json_t *in_row = json_object_get(row, member);

        if (number_of(row, "id") == id && in_row)
            ck_assert(json_equal(in_row, json_object_get(sa, member)));
    }
    free(text);
    json_decref(reply);
    json_decref(list);
}

static void report_bound(uint64_t id, const char *rtp)
{
    struct sa_report report = {
        .id = id, .generation = 1, .age_us = REPORT_NEVER, .stray_age_us = REPORT_NEVER};

    ck_assert_int_eq(addr_parse(rtp, &report.bound[0]), 0);
    ck_assert_int_eq(far_store(inner_find_sa(&relay.core, id), &report, 1), 0);
}

START_TEST(test_learning)
{
    json_int_t outside, inside;
    struct sa *sa;

    relay.core.options.learns_ssrcs = true;
    relay.core.options.source_policy = SOURCE_HINTED;
    outside = add_text("{\"side\": \"external\", \"hint\": \"[2001:db8::9]:5060\", \"to\": "
                       "\"10.1.1.1:6000\"}",
                       "[2001:db8::7]:5004");
    inside = add_text("{\"side\": \"internal\", \"source\": \"10.1.1.1:6000\", "
                      "\"source_policy\": \"open\", \"reverse\": 1}",
                      "10.0.0.101:4000");
    ck_assert_int_eq(outside, 1);
    shows(outside, "source", "null");
    shows(outside, "hint", "\"2001:db8::9\"");
    shows(outside, "source_policy", "\"hinted\"");
    shows(outside, "source_bound", "false");
    shows(outside, "bound", "null");
    shows(outside, "ssrc", "[]");
    shows(outside, "destination", "\"10.1.1.1:6000\"");
    shows(outside, "destination_learned", "true");
    shows(inside, "source_policy", "\"open\"");
    shows(inside, "destination", "null");
    shows(inside, "destination_learned", "true");

    /* The dmz-relay says where it hears the one; of the other one it knows nothing. */
    report_bound((uint64_t)outside, "192.0.2.77:9000");
    report_bound((uint64_t)inside, "192.0.2.66:6666");
    shows(outside, "source_bound", "true");
    shows(outside, "bound", "\"192.0.2.77:9000\"");
    shows(inside, "source_bound", "false");
    shows(inside, "bound", "null");
    sa = inner_find_sa(&relay.core, (uint64_t)inside);
    sa->bound[0] = true;
    shows(inside, "source_bound", "true");
    shows(inside, "bound", "\"10.1.1.1:6000\"");
    shows(inside, "bound_rtcp", "null");

    /* An SA that says nothing of the kind. */
    relay.core.options.source_policy = SOURCE_STRICT;
    shows(add(3), "source_policy", "\"strict\"");
    shows(3, "source_bound", "true");
    shows(3, "bound", "null");
    shows(3, "destination_learned", "false");
}
END_TEST

START_TEST(test_explain)
{
    json_t *reply;
    const json_t *direction;

    add(1);
    reply = ask_about("explain", 1);
    members_are(reply, "ok cause text check directions");
    ck_assert_str_eq(text_of(reply, "cause"), "tunnel-down");
    ck_assert_ptr_nonnull(
        strstr(text_of(reply, "text"), "The tunnel to the dmz-relay east is down"));
    ck_assert_uint_eq(json_array_size(json_object_get(reply, "directions")), 1);
    direction = json_array_get(json_object_get(reply, "directions"), 0);
    members_are(direction, "id side to_side cause text check hops");
    ck_assert_int_eq(number_of(direction, "id"), 1);
    ck_assert_uint_eq(json_array_size(json_object_get(direction, "hops")), 5);
    json_decref(reply);
    reply = ask_about("explain", 2);
    ck_assert(!is_ok(reply));
    json_decref(reply);
}
END_TEST

/* SAs of one call; a page looks at so many. */
START_TEST(test_list_of_a_call)
{
    json_t *request = json_pack("{s:s,s:s}", "command", "sa-list", "call_id", "a call"), *reply;

    add(1);
    add(2);
    ck_assert_int_eq(sa_set_text(inner_find_sa(&relay.core, 2), SA_CALL_ID, "another"), 0);
    reply = ask(request);
    ck_assert_uint_eq(json_array_size(json_object_get(reply, "sas")), 1);
    ck_assert_int_eq(number_of(json_array_get(json_object_get(reply, "sas"), 0), "id"), 1);
    ck_assert(json_is_null(json_object_get(reply, "next")));
    json_decref(reply);
    json_decref(request);
}
END_TEST

/* Neither in base64 nor in hex, whole or in part. */
START_TEST(test_no_keys)
{
    static const char *const commands[] = {"sa-list", "sa-show", "status", "stats"};
    struct srtp_key key;

    add(1);
    ck_assert_int_eq(srtp_session_key(inner_find_sa(&relay.core, 1)->srtp, SRTP_KEY_MASTER, &key),
                     0);
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        json_t *reply = ask_about(commands[i], 1);
        const char *text = members_text(reply);
        char hex[2 * 4 + 1];

        ck_assert(is_ok(reply));
        ck_assert_ptr_null(strstr(text, "AAECAwQF"));
        for (size_t k = 0; k + 4 <= 30; k++) {
            snprintf(hex, sizeof(hex), "%02x%02x%02x%02x", key.octets[k], key.octets[k + 1],
                     key.octets[k + 2], key.octets[k + 3]);
            ck_assert_ptr_null(strcasestr(text, hex));
        }
        json_decref(reply);
    }
}
END_TEST

/* ------------------------------------------------------------ sa rekey */

#define OTHER_KEY "HBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQD/"                     /* 30 octets */
#define LONG_KEY  "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKis=" /* 44 octets */

static json_t *rekey_request(json_int_t id)
{
    return json_pack("{s:s,s:I,s:s,s:s,s:s,s:i}", "command", "sa-rekey", "id", id, "suite",
                     "AES_CM_128_HMAC_SHA1_80", "key", OTHER_KEY, "mki", "01fF", "lifetime", 1000);
}

/* value is JSON, NULL: the member is left out. right: stands in the error, for the operator. */
static const struct {
    const char *member, *value, *field, *right;
} wrong_rekeys[] = {
    {"id", NULL, "id", "from 1 on"},
    {"id", "0", "id", "from 1 on"},
    {"id", "\"1\"", "id", "from 1 on"},
    {"id", "4711", "id", "there is no SA 4711"},
    {"suite", NULL, "suite", "AEAD_AES_256_GCM"},
    {"suite", "\"aes_cm_128_hmac_sha1_80\"", "suite", "AES_CM_128_HMAC_SHA1_80"},
    {"suite", "7", "suite", "AES_CM_128_HMAC_SHA1_80"},
    {"suite", "\"AEAD_AES_256_GCM\"", "key", "takes 44"},
    {"key", NULL, "key", "base64"},
    {"key", "\"not base64!\"", "key", "base64"},
    {"key", "\"\"", "key", "takes 30"},
    {"key", "7", "key", "base64"},
    {"key", "\"" LONG_KEY "\"", "key", "takes 30"},
    {"key", "\"" LONG_KEY LONG_KEY "\"", "key", "more than 46 octets"},

    {"key", "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"", "key", "a key is random"},
    {"mki", "\"\"", "mki", "1 to 128 octets"},
    {"mki", "\"1\"", "mki", "two hex digits"},
    {"mki", "\"zz\"", "mki", "two hex digits"},
    {"mki", "\"\\u0010\\u0011\"", "mki", "two hex digits"},
    {"mki", "257", "mki", "two hex digits"},
    {"mki", "\"" HEX_128 HEX_128 "00\"", "mki", "1 to 128 octets"},
    {"lifetime", "0", "lifetime", "1 to 281474976710656"},
    {"lifetime", "-5", "lifetime", "1 to 281474976710656"},
    {"lifetime", "281474976710657", "lifetime", "1 to 281474976710656"},
    {"lifetime", "\"5\"", "lifetime", "1 to 281474976710656"},
    {"lifetime", "5.5", "lifetime", "1 to 281474976710656"},
};

START_TEST(test_wrong_rekey)
{
    json_t *request = rekey_request(1), *reply;
    const char *member = wrong_rekeys[_i].member;
    const struct sa *sa;
    struct srtp_session *session;

    add(1);
    sa = inner_find_sa(&relay.core, 1);
    session = sa->srtp;
    if (wrong_rekeys[_i].value)
        json_object_set_new(request, member,
                            json_loads(wrong_rekeys[_i].value, JSON_DECODE_ANY, NULL));
    else
        json_object_del(request, member);
    check_refused(request, wrong_rekeys[_i].field);
    reply = ask(request);
    ck_assert_msg(strstr(text_of(reply, "error"), wrong_rekeys[_i].right) != NULL, "%s",
                  members_text(reply));
    ck_assert_ptr_eq(sa->srtp, session);
    ck_assert_ptr_null(sa->old);
    ck_assert_uint_eq(sa->generation, 1);
    ck_assert_uint_eq(core.changed, 1);
    json_decref(reply);
    json_decref(request);
}
END_TEST

static json_t *shown(json_int_t id)
{
    json_t *reply = ask_about("sa-show", id), *sa = json_incref(json_object_get(reply, "sa"));

    json_decref(reply);
    members_are(sa, SHOW_MEMBERS);
    return sa;
}

static void check_generation(const json_t *request, json_int_t generation)
{
    json_t *reply = ask(request);

    ck_assert_msg(is_ok(reply), "%s", members_text(reply));
    members_are(reply, "ok generation");
    ck_assert_int_eq(number_of(reply, "generation"), generation);
    json_decref(reply);
}

START_TEST(test_rekey)
{
    json_t *request = rekey_request(1), *sa;
    unsigned kicked;

    add(1);
    sa = shown(1);
    ck_assert_int_eq(number_of(sa, "generation"), 1);
    ck_assert(json_is_null(json_object_get(sa, "old_key")));
    ck_assert(json_is_null(json_object_get(sa, "mki")));
    ck_assert(json_is_null(json_object_get(sa, "lifetime")));
    json_decref(sa);
    kicked = core.kicked[0];
    check_generation(request, 2);
    ck_assert_uint_eq(core.kicked[0], kicked + 1);
    ck_assert_uint_eq(core.changed, 2);
    sa = shown(1);
    ck_assert_int_eq(number_of(sa, "generation"), 2);
    ck_assert(json_real_value(json_object_get(sa, "old_key")) > 0);
    ck_assert(json_real_value(json_object_get(sa, "old_key")) <= 5);
    ck_assert_str_eq(text_of(sa, "mki"), "01ff");
    ck_assert_int_eq(number_of(sa, "lifetime"), 1000);
    json_decref(sa);
    /* The same again: no new key. */
    check_generation(request, 2);
    ck_assert_uint_eq(core.changed, 2);
    json_decref(request);
}
END_TEST

START_TEST(test_rekey_other_suite)
{
    json_t *request = rekey_request(1), *sa;

    add(1);
    json_object_set_new(request, "suite", json_string("AEAD_AES_256_GCM"));
    json_object_set_new(request, "key", json_string(LONG_KEY));
    json_object_set_new(request, "mki", json_null());
    json_object_del(request, "lifetime");
    check_generation(request, 2);
    sa = shown(1);
    ck_assert_str_eq(text_of(sa, "suite"), "AEAD_AES_256_GCM");
    ck_assert(json_is_null(json_object_get(sa, "mki")));
    ck_assert(json_is_null(json_object_get(sa, "lifetime")));
    json_decref(sa);
    json_decref(request);
}
END_TEST

START_TEST(test_add_with_mki_and_lifetime)
{
    json_t *request = good_request(1), *reply, *sa;

    json_object_set_new(request, "mki", json_string(HEX_128 HEX_128));
    json_object_set_new(request, "lifetime", json_integer((json_int_t)1 << 48));
    reply = ask(request);
    ck_assert_msg(is_ok(reply), "%s", members_text(reply));
    json_decref(reply);
    sa = shown(1);
    ck_assert_int_eq(strcasecmp(text_of(sa, "mki"), HEX_128 HEX_128), 0);
    ck_assert(json_is_null(json_object_get(sa, "lifetime"))); /* no shorter than any */
    json_decref(sa);
    json_decref(request);
}
END_TEST

static const char *const bad_ids[] = {
    "null", "0", "-1", "\"1\"", "1.0", "4711", "[1]", "true", "9223372036854775807"};

START_TEST(test_bad_id)
{
    static const char *const commands[] = {"sa-show", "sa-delete"};

    add(1);
    for (size_t i = 0; i < 2; i++) {
        json_t *request = json_pack("{s:s}", "command", commands[i]);

        check_refused(request, "id");
        json_object_set_new(request, "id", json_loads(bad_ids[_i], JSON_DECODE_ANY, NULL));
        check_refused(request, "id");
        json_decref(request);
    }
}
END_TEST

START_TEST(test_delete)
{
    json_t *reply;

    add(1);
    add(2);
    reply = ask_about("sa-delete", 1);
    ck_assert(is_ok(reply));
    members_are(reply, "ok");
    json_decref(reply);
    ck_assert_uint_eq(core.deleted_count, 1);
    ck_assert_uint_eq(core.deleted[0], 1);
    ck_assert_ptr_null(inner_find_sa(&relay.core, 1));
    ck_assert_ptr_nonnull(inner_find_sa(&relay.core, 2));
    reply = ask_about("sa-delete", 1);
    ck_assert(!is_ok(reply));
    json_decref(reply);
    ck_assert_int_eq(add(1), 3); /* an id is never used again */
}
END_TEST

/* ------------------------------------------------------------ status, stats, the others */

START_TEST(test_status)
{
    json_t *reply;
    const json_t *row;

    add(1);
    relay.core.listeners[1].sent[1] = 5;
    relay.core.listeners[1].counts[1] = (struct verdict_counts){.received = 7};
    relay.core.listeners[1].counts[1].n[VERDICT_ACCEPTED] = 4;
    relay.core.listeners[1].counts[1].n[VERDICT_NO_SA] = 3;
    reply = ask_about("status", 0);
    members_are(reply,
                "ok daemon version pid uptime sas max_sas memory_locked keys_locked coalesce "
                "srtp_engine dmz_keys tunnels listeners peers forwards sites calls calls_offered "
                "max_calls");
    ck_assert_str_eq(text_of(reply, "daemon"), "inner-relay");
    ck_assert_str_eq(text_of(reply, "srtp_engine"), "evp");
    ck_assert_str_eq(text_of(reply, "dmz_keys"), "full");
    ck_assert_int_eq(number_of(reply, "sas"), 1);
    ck_assert_int_eq(number_of(reply, "max_sas"), 8);
    ck_assert_uint_eq(json_array_size(json_object_get(reply, "tunnels")), 2);
    row = json_array_get(json_object_get(reply, "tunnels"), 0);
    members_are(row,
                "name peer state since rtt_ms connects last_error sync queued sas via congestion "
                "tcp_refused "
                "frames_in frames_out octets_in octets_out late larger srtp_engine "
                "media_connections carrier choice sealed early carrier_reason raw");
    ck_assert_str_eq(text_of(row, "name"), "east");
    ck_assert_str_eq(text_of(row, "state"), "connecting");
    ck_assert_str_eq(text_of(row, "sync"), "none");
    ck_assert_int_eq(number_of(row, "sas"), 1);
    ck_assert(json_is_null(json_object_get(row, "peer")));
    ck_assert(json_is_null(json_object_get(row, "srtp_engine")));
    row = json_array_get(json_object_get(reply, "listeners"), 1);
    members_are(row, "name address advertise rtp_port rtcp_port rtp rtcp");
    ck_assert_str_eq(text_of(row, "address"), "fd00::1");
    ck_assert_str_eq(text_of(row, "advertise"), "fd00::101");
    ck_assert_int_eq(number_of(row, "rtp_port"), 4000);
    ck_assert_int_eq(number_of(row, "rtcp_port"), 4001);
    row = json_object_get(row, "rtcp");
    members_are(row, "received accepted dropped sent overflow");
    ck_assert_str_eq(members_text(row),
                     "{\"accepted\":4,\"dropped\":3,\"overflow\":0,\"received\":7,\"sent\":5}");
    json_decref(reply);
}
END_TEST

/* What the settings cannot know: the engine that was found has no authentication keys. */
START_TEST(test_no_authentication_keys)
{
    struct inner_settings settings = {.limits.max_sas = 8,
                                      .srtp.dmz_keys = WIRE_REPLICA_VERIFY_ONLY};
    struct daemon started = {.settings = &settings};
    char error[256];

    ck_assert_int_eq(srtp_engine_new(&started.engine, SRTP_ENGINE_LIBSRTP2), 0);
    ck_assert_uint_eq(daemon_features(&started), FEATURE_KEYLESS);
    ck_assert_int_eq(relay_kind.start_core(&started, error, sizeof(error)), ERR_UNSUPPORTED);
    ck_assert_msg(strstr(error, "dmz-keys = full would be right"), "%s", error);
    ck_assert_ptr_null(started.state);
    srtp_engine_free(started.engine);
    ck_assert_int_eq(srtp_engine_new(&started.engine, SRTP_ENGINE_EVP), 0);
    ck_assert_uint_eq(daemon_features(&started), FEATURE_KEYLESS | FEATURE_VERIFY_ONLY);
    srtp_engine_free(started.engine);
}
END_TEST

START_TEST(test_stats)
{
    static const char *const names[] = {
        "listener four rtp", "listener four rtcp", "listener six rtp", "listener six rtcp",
        "tunnel east",       "tunnel west",        "hairpin"};
    json_t *reply;
    const json_t *places;

    daemon_.turns = (struct turns){.count = 12,
                                   .over_500us = 4,
                                   .over_1ms = 1,
                                   .late = 3,
                                   .preempted = 2,
                                   .longest_us = 2500,
                                   .longest_own_us = 1200};
    reply = ask_about("stats", 0);
    places = json_object_get(reply, "places");

    members_are(reply, "ok places counters forwards");
    ck_assert_uint_eq(json_array_size(places), 7);
    for (size_t i = 0; i < 7; i++) {
        const json_t *place = json_array_get(places, i);

        members_are(place, "place received queued verdicts");
        ck_assert_str_eq(text_of(place, "place"), names[i]);
        ck_assert_uint_eq(json_object_size(json_object_get(place, "verdicts")), VERDICT_COUNT);
    }
    ck_assert_str_eq(members_text(json_object_get(reply, "counters")),
                     "{\"calls\":0,\"calls_ended\":0,\"calls_offered\":0,\"calls_timeouts\":0,"
                     "\"learn_refused\":0,\"learn_tries\":0,\"loop_longest_own_us\":1200,\"loop_"
                     "longest_us\":2500,\"loop_turns\":12,"
                     "\"loop_turns_late\":3,\"loop_turns_over_1ms\":1,"
                     "\"loop_turns_over_500us\":4,\"loop_turns_preempted\":2,"
                     "\"ng_dropped\":0,\"ng_errors\":0,\"ng_foreign\":0,\"ng_load_limit\":0,"
                     "\"ng_repeats\":0,\"ng_requests\":0,\"sa_reports\":0,"
                     "\"sa_reports_ignored\":0,"
                     "\"srtp_verifications\":0,\"streams_unknown\":0}");
    json_decref(reply);
}
END_TEST

START_TEST(test_others)
{
    json_t *reply = ask_about("reload", 0);

    ck_assert(!is_ok(reply));
    ck_assert_ptr_nonnull(strstr(text_of(reply, "error"), "/nonexistent/inner-relay.ini"));
    json_decref(reply);
    reply = ask_about("debug", 0);
    ck_assert_str_eq(text_of(reply, "level"), "error");
    json_decref(reply);
    reply = ask_about("no-such", 0);
    ck_assert(!is_ok(reply));
    json_decref(reply);
}
END_TEST

#define ROWS(rows) (int)(sizeof(rows) / sizeof((rows)[0]))

int main(void)
{
    Suite *suite = suite_create("inner_commands");
    TCase *tc = tcase_create("commands");

    suite_add_tcase(suite, tc);
    tcase_add_unchecked_fixture(tc, start_engine, core_stop_engine);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, test_wrong, 0, ROWS(wrong));
    tcase_add_loop_test(tc, test_too_long, 0, ROWS(lengths));
    tcase_add_test(tc, test_mux_and_rtcp);
    tcase_add_test(tc, test_same_source_and_ssrc);
    tcase_add_test(tc, test_full);
    tcase_add_test(tc, test_encapsulations);
    tcase_add_loop_test(tc, test_answer, 0, ROWS(answers));
    tcase_add_test(tc, test_least);
    tcase_add_loop_test(tc, test_assign_ssrc, 0, ROWS(assigning));
    tcase_add_test(tc, test_list);
    tcase_add_test(tc, test_show);
    tcase_add_test(tc, test_learning);
    tcase_add_test(tc, test_explain);
    tcase_add_test(tc, test_list_of_a_call);
    tcase_add_test(tc, test_no_keys);
    tcase_add_loop_test(tc, test_wrong_rekey, 0, ROWS(wrong_rekeys));
    tcase_add_test(tc, test_rekey);
    tcase_add_test(tc, test_rekey_other_suite);
    tcase_add_test(tc, test_add_with_mki_and_lifetime);
    tcase_add_loop_test(tc, test_bad_id, 0, ROWS(bad_ids));
    tcase_add_test(tc, test_delete);
    tcase_add_test(tc, test_status);
    tcase_add_test(tc, test_no_authentication_keys);
    tcase_add_test(tc, test_stats);
    tcase_add_test(tc, test_others);
    return unit_run(suite);
}
