/* The dmz-relay's table of commands, without sockets and without a loop that runs. */
#include <ev.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "common/base/log.h"
#include "common/sa/table.h"
#include "common/srtp/srtp.h"
#include "dmz-relay/relay.h"
#include "tests/unit/members.h"
#include "tests/unit/unit.h"

static const char *const names[] = {"inner.example", "branch.example", NULL};

static struct relay relay;
static struct daemon daemon_;
static struct srtp_engine *engine;

static void setup(void)
{
    struct dmz_options options = {
        .max_sas = 100, .site_quota = 50, .engine_name = "libsrtp2", .software = "test"};
    struct acceptor_settings settings = {.names = names, .max_handshakes = 1};
    static struct conn_hooks none;
    struct path_out out = {0};
    struct dmz_hooks hooks = {0};
    char error[256] = "";

    log_open("test", LOG_TARGET_STDERR, LOG_LEVEL_ERROR);
    memset(&relay, 0, sizeof(relay));
    ck_assert_int_eq(srtp_engine_new(&engine, SRTP_ENGINE_EVP), 0);
    ck_assert_int_eq(dmz_init(&relay.core, &options, names, &out, &hooks), 0);
    relay.core.listener_count = 1;
    snprintf(relay.core.listeners[0].name, NAME_SIZE, "main");
    ck_assert_int_eq(addr_parse("192.0.2.1:5004", &relay.core.listeners[0].address), 0);
    ck_assert_int_eq(addr_parse("203.0.113.1:5004", &relay.core.listeners[0].advertise), 0);
    memset(&daemon_, 0, sizeof(daemon_));
    daemon_.kind = &relay_kind;
    daemon_.state = &relay;
    daemon_.loop = ev_loop_new(EVFLAG_AUTO);
    settings.listen = addr_from_ip4((const uint8_t[]){127, 0, 0, 1}, 0);
    ck_assert_msg(acceptor_new(&relay.acceptor, daemon_.loop, NULL, &settings, &none, NULL, error,
                               sizeof(error)) == 0,
                  "%s", error);
}

static void teardown(void)
{
    acceptor_free(relay.acceptor, "");
    ev_loop_destroy(daemon_.loop);
    dmz_fini(&relay.core);
    srtp_engine_free(engine);
}

/* As a site's SA-PUT of an external sender leaves it; the key is 0x5a throughout. */
static void put(unsigned site, uint64_t id)
{
    uint8_t octets[SUITE_KEY_MAX_OCTETS];
    struct sa *sa = sa_new();
    struct srtp_key key;

    ck_assert_ptr_nonnull(sa);
    sa->owner = site;
    sa->id = id;
    sa->label = (uint32_t)id;
    sa->suite = suite_get(SUITE_AEAD_AES_128_GCM);
    memset(octets, 0x5a, sizeof(octets));
    srtp_key_master(&key, octets, suite_material_octets(sa->suite));
    ck_assert_int_eq(sa_open(sa, engine, &key), 0);
    ck_assert_int_eq(addr_parse("198.51.100.1:5000", &sa->source.rtp), 0);
    sa->source.rtp.port = (uint16_t)(5000 + 2 * id + site);
    ck_assert_int_eq(sa_stream_add(sa, (uint32_t)id, SSRC_ORIGIN_SIGNALLED), 0);
    ck_assert_int_eq(table_insert(relay.core.table, sa), 0);
}

static json_t *ask(const char *line)
{
    json_t *reply = control_answer(relay_commands, &daemon_, line, strlen(line));

    ck_assert(json_is_boolean(json_object_get(reply, "ok")));
    ck_assert_ptr_null(strstr(members_text(reply), "WlpaWl")); /* the key in base64 */
    ck_assert_ptr_null(strcasestr(members_text(reply), "5a5a5a"));
    return reply;
}

static const char *text_of(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

START_TEST(test_status)
{
    json_t *reply;
    const json_t *row;

    put(1, 7);
    snprintf(relay.core.sites[1].last_error, sizeof(relay.core.sites[1].last_error), "gone");
    snprintf(relay.core.sites[1].engine, sizeof(relay.core.sites[1].engine), "auto");
    reply = ask("{\"command\": \"status\"}");
    members_are(reply, "ok daemon version pid uptime sas max_sas memory_locked keys_locked "
                       "coalesce srtp_engine tunnels listeners peers forwards");
    ck_assert_str_eq(text_of(reply, "daemon"), "dmz-relay");
    ck_assert_str_eq(text_of(reply, "srtp_engine"), "libsrtp2");
    ck_assert_int_eq(json_integer_value(json_object_get(reply, "sas")), 1);
    ck_assert_uint_eq(json_array_size(json_object_get(reply, "tunnels")), 2);
    row = json_array_get(json_object_get(reply, "tunnels"), 1);
    members_are(row,
                "name peer state since rtt_ms connects last_error sync queued sas via congestion "
                "tcp_refused "
                "frames_in frames_out octets_in octets_out late larger srtp_engine "
                "media_connections carrier choice sealed early carrier_reason raw");
    ck_assert_str_eq(text_of(row, "name"), "branch.example");
    ck_assert_str_eq(text_of(row, "state"), "down");
    ck_assert_str_eq(text_of(row, "last_error"), "gone");
    ck_assert_str_eq(text_of(row, "srtp_engine"), "auto");
    ck_assert_int_eq(json_integer_value(json_object_get(row, "sas")), 1);
    row = json_array_get(json_object_get(reply, "listeners"), 0);
    members_are(row, "name address advertise rtp_port rtcp_port rtp rtcp");
    json_decref(reply);
}
END_TEST

/* "NAME ADDRESS PORT, " for each of the reply. */
static void peers_are(const char *wanted)
{
    json_t *reply = ask("{\"command\": \"status\"}");
    const json_t *peers = json_object_get(reply, "peers"), *peer;
    char have[256] = "";
    size_t i;

    json_array_foreach(peers, i, peer)
    {
        members_are(peer, "name address rtp_port rtcp_port");
        snprintf(have + strlen(have), sizeof(have) - strlen(have), "%s %s %d, ",
                 text_of(peer, "name"), text_of(peer, "address"),
                 (int)json_integer_value(json_object_get(peer, "rtp_port")));
    }
    ck_assert_str_eq(have, wanted);
    json_decref(reply);
}

static void add_peer(struct dmz_settings *settings, const char *name, const char *address)
{
    struct peer_settings *peer = &settings->peers[settings->peer_count++];

    snprintf(peer->name, sizeof(peer->name), "%s", name);
    ck_assert_int_eq(addr_parse_ip(address, &peer->address), 0);
    peer->rtp_port = 5004;
}

static const char *whose(const struct dmz *core, const char *source)
{
    struct addr addr;
    const struct peer *peer;

    ck_assert_int_eq(addr_parse(source, &addr), 0);
    peer = peers_find(&core->peers, &addr);
    return peer ? peer->name : "";
}

/* Peers come and go with a reload; our own listener is one, and is not shown. */
START_TEST(test_peers)
{
    static struct dmz_settings settings;
    struct dmz *core = &relay.core;

    memset(&settings, 0, sizeof(settings));
    settings.listener_count = 1;
    ck_assert_int_eq(addr_parse_ip("192.0.2.1", &settings.listeners[0].address), 0);
    ck_assert_int_eq(addr_parse_ip("203.0.113.1", &settings.listeners[0].advertise), 0);
    settings.listeners[0].rtp_port = 5004;
    add_peer(&settings, "west", "203.0.113.20");
    add_peer(&settings, "east", "2001:db8::20");
    daemon_.settings = &settings;
    relay_kind.share(&settings, &daemon_.shared);
    relay_kind.reloaded(&daemon_);
    peers_are("west 203.0.113.20 5004, east 2001:db8::20 5004, ");
    ck_assert_str_eq(whose(core, "203.0.113.20:5005"), "west");
    ck_assert_str_eq(whose(core, "192.0.2.1:5004"), "self");
    ck_assert_str_eq(whose(core, "203.0.113.1:5005"), "self");
    ck_assert_str_eq(whose(core, "203.0.113.1:5006"), "");
    ck_assert_uint_eq(core->rules.peer_count, 4);
    settings.peers[0] = settings.peers[1];
    settings.peer_count = 1;
    relay_kind.reloaded(&daemon_);
    peers_are("east 2001:db8::20 5004, ");
    ck_assert_str_eq(whose(core, "203.0.113.20:5004"), "");
    ck_assert_str_eq(whose(core, "192.0.2.1:5004"), "self");
    ck_assert_uint_eq(core->rules.peer_count, 3);
    daemon_.settings = NULL;
}
END_TEST

START_TEST(test_stats)
{
    json_t *reply = ask("{\"command\": \"stats\"}");

    members_are(reply, "ok places counters forwards");
    ck_assert_uint_eq(json_array_size(json_object_get(reply, "places")), 6);
    ck_assert_str_eq(text_of(json_array_get(json_object_get(reply, "places"), 3), "place"),
                     "tunnel branch.example");
    ck_assert_str_eq(text_of(json_array_get(json_object_get(reply, "places"), 4), "place"),
                     "own address");
    ck_assert_str_eq(text_of(json_array_get(json_object_get(reply, "places"), 5), "place"),
                     "hairpin");
    members_are(json_object_get(reply, "counters"),
                "loop_turns loop_turns_over_500us loop_turns_over_1ms loop_turns_late "
                "loop_turns_preempted loop_longest_own_us loop_longest_us srtp_verifications "
                "connections_turned_away streams_unknown learn_tries learn_refused "
                "site_frames site_octets site_refused site_unknown site_offline");
    json_decref(reply);
}
END_TEST

/* Where memory ran out before all of it was made. */
START_TEST(test_half_a_core)
{
    static struct dmz half;

    dmz_fini(&half);
    ck_assert_ptr_null(half.table);
}
END_TEST

#define LIST_MEMBERS                                                                               \
    "id side to_side call_id site source destination ssrc label suite packets octets dropped "     \
    "last_packet "                                                                                 \
    "state source_policy source_bound bound hint destination_learned"

START_TEST(test_sas)
{
    json_t *reply;
    const json_t *sa;

    put(0, 7);
    put(1, 7);
    put(1, 8);
    reply = ask("{\"command\": \"sa-list\"}");
    ck_assert_uint_eq(json_array_size(json_object_get(reply, "sas")), 3);
    members_are(json_array_get(json_object_get(reply, "sas"), 0), LIST_MEMBERS);
    json_decref(reply);
    reply = ask("{\"command\": \"sa-show\", \"id\": 8}");
    sa = json_object_get(reply, "sa");
    members_are(sa, LIST_MEMBERS
                " generation created source_rtcp source_mux destination_rtcp destination_mux "
                "encap_in encap_out rate listener to_listener reverse media_timeout refused "
                "streams verdicts media key mki lifetime old_key bound_rtcp stray");
    ck_assert_str_eq(text_of(sa, "site"), "branch.example");
    ck_assert(json_is_null(json_object_get(sa, "destination")));
    json_decref(reply);
    reply = ask("{\"command\": \"sa-show\", \"id\": 9}");
    ck_assert_str_eq(text_of(reply, "field"), "id");
    json_decref(reply);
}
END_TEST

enum { PAGED = 40 };

static const struct {
    const char *limit;
    size_t rows; /* that a full page has */
} pages[] = {{"", 16}, {",\"limit\":1", 1}, {",\"limit\":7", 7}, {",\"limit\":100000", 16}};

static json_t *ask_page(const char *limit, json_int_t after)
{
    char line[128], cursor[64] = "";

    if (after)
        snprintf(cursor, sizeof(cursor), ",\"after\":%lld", (long long)after);
    snprintf(line, sizeof(line), "{\"command\":\"sa-list\"%s%s}", limit, cursor);
    return ask(line);
}

static void drop(unsigned site, uint64_t id)
{
    struct sa *sa = table_by_id(relay.core.table, site, id);

    table_remove(relay.core.table, sa);
    sa_free(sa);
}

/* Both sites have the same ids; one that was not listed yet goes, another one comes. */
START_TEST(test_pages)
{
    unsigned seen[2][PAGED + 2] = {{0}};
    json_int_t after = 0;

    for (uint64_t id = 1; id <= PAGED; id++) {
        put(0, id);
        put(1, id);
    }
    do {
        json_t *reply = ask_page(pages[_i].limit, after), *row;
        const json_t *rows = json_object_get(reply, "sas");
        size_t i;

        members_are(reply, "ok sas next");
        json_array_foreach(rows, i, row)
        {
            seen[strcmp(text_of(row, "site"), names[1]) == 0]
                [json_integer_value(json_object_get(row, "id"))]++;
        }
        if (!after) {
            drop(1, 1);
            put(0, PAGED + 1);
        }
        after = json_integer_value(json_object_get(reply, "next"));
        ck_assert_uint_le(json_array_size(rows), pages[_i].rows);
        if (after)
            ck_assert_uint_eq(json_array_size(rows), pages[_i].rows);
        json_decref(reply);
    } while (after);
    for (unsigned id = 1; id <= PAGED; id++) {
        ck_assert_uint_eq(seen[0][id], 1);
        ck_assert_uint_eq(seen[1][id], id > 1);
    }
}
END_TEST

static const char *const bad_pages[] = {"after\":0",  "after\":-1",        "after\":\"1\"",
                                        "limit\":0",  "limit\":1.5",       "limit\":[]",
                                        "limit\":-1", "after\":4294967296"};

START_TEST(test_bad_pages)
{
    char line[128];
    json_t *reply;

    snprintf(line, sizeof(line), "{\"command\":\"sa-list\",\"%s}", bad_pages[_i]);
    reply = ask(line);
    members_are(reply, "ok error field");
    ck_assert_int_eq(strncmp(text_of(reply, "field"), bad_pages[_i], 5), 0);
    json_decref(reply);
    /* A number that no reply gave is behind all, or before all. */
    put(0, 1);
    reply = ask("{\"command\":\"sa-list\",\"after\":4294967295,\"limit\":null}");
    ck_assert_uint_eq(json_array_size(json_object_get(reply, "sas")), 1);
    ck_assert(json_is_null(json_object_get(reply, "next")));
    json_decref(reply);
}
END_TEST

/* The authority is elsewhere: nothing is added, changed or deleted here, however it is asked. */
START_TEST(test_not_here)
{
    static const char *const lines[] = {
        "{\"command\": \"sa-add\"}", "{\"command\": \"sa-add\", \"side\": \"external\"}",
        "{\"command\": \"sa-rekey\", \"id\": 7}", "{\"command\": \"sa-delete\", \"id\": 7}"};
    json_t *reply;

    put(0, 7);
    reply = ask(lines[_i]);
    ck_assert(json_is_false(json_object_get(reply, "ok")));
    ck_assert_str_eq(text_of(reply, "error"),
                     "SAs are added, changed and deleted at the inner-relay, which owns them");
    ck_assert_uint_eq(table_count(relay.core.table), 1);
    json_decref(reply);
}
END_TEST

START_TEST(test_no_calls_here)
{
    static const char *const lines[] = {"{\"command\": \"call-list\"}",
                                        "{\"command\": \"call-show\", \"call_id\": \"x\"}",
                                        "{\"command\": \"call-end\", \"call_id\": \"x\"}"};
    json_t *reply = ask(lines[_i]);

    members_are(reply, "ok error");
    ck_assert_str_eq(text_of(reply, "error"), "calls are the inner-relay's: ask there");
    json_decref(reply);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("dmz_commands");
    TCase *tc = tcase_create("commands");

    suite_add_tcase(suite, tc);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, test_status);
    tcase_add_test(tc, test_peers);
    tcase_add_test(tc, test_stats);
    tcase_add_test(tc, test_half_a_core);
    tcase_add_test(tc, test_sas);
    tcase_add_loop_test(tc, test_pages, 0, sizeof(pages) / sizeof(pages[0]));
    tcase_add_loop_test(tc, test_bad_pages, 0, sizeof(bad_pages) / sizeof(bad_pages[0]));
    tcase_add_loop_test(tc, test_not_here, 0, 4);
    tcase_add_loop_test(tc, test_no_calls_here, 0, 3);
    return unit_run(suite);
}
