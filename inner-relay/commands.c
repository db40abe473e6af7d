/* What relayctl may ask of the inner-relay. */
#include <stdio.h>
#include <string.h>

#include "common/base/base64.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/random.h"
#include "common/daemon/report.h"
#include "common/sa/table.h"
#include "inner-relay/admit.h"
#include "inner-relay/callcommands.h"
#include "inner-relay/facts.h"
#include "inner-relay/mediaconn.h"
#include "inner-relay/relay.h"
#include "inner-relay/sitecommands.h"

/* ------------------------------------------------------------ status, stats, sa list, sa show */

static void collect(const struct inner_link *link, struct report_tunnel *row)
{
    for (unsigned i = 0; i < link->media_count && row->media_count < MEDIA_MAX; i++)
        row->media[row->media_count++] = link->media[i]->conn;
}

static void collect_ways(const struct relay *relay, unsigned number, struct report_tunnel *row)
{
    const struct inner_link *link = &relay->core.links[number];

    if (link->chooses && !link->paired)
        row->ways[row->ways_count++] = &link->ways;
    for (unsigned i = 0; link->paired && i < WORKERS_MAX; i++) {
        if (relay->links[number].media[i].wanted)
            row->ways[row->ways_count++] = link->pairs[i];
    }
}

/* The connection that speaks for all. */
static const struct relay_media *carrier_of(const struct relay *relay, unsigned number)
{
    const struct relay_media *media = relay->links[number].media;
    struct report_tunnel row = {.ways_count = 0};

    if (!relay->core.links[number].paired)
        return &media[0];
    collect_ways(relay, number, &row);
    return &media[WORKERS_MAX + report_worst_ways(row.ways, row.ways_count)];
}

static void say_media(const struct relay *relay, unsigned number, char *out, size_t size)
{
    const struct connector *media = carrier_of(relay, number)->connector;
    const char *error = media ? connector_last_error(media) : "";

    snprintf(out, size, "the connection of media is not up%s%s", error[0] ? ": " : "", error);
}

static void say_choice(const struct relay *relay, unsigned number, char *out, size_t size)
{
    const struct ways *ways = inner_media_ways(&carrier_of(relay, number)->core);
    char not_raw[160] = "";

    mediaconn_not_raw(carrier_of(relay, number), not_raw, sizeof(not_raw));
    snprintf(out, size, "%s%s%s", choice_why_text(&ways->choice), not_raw[0] ? "; not raw: " : "",
             not_raw);
}

/* Why media does not go as it was asked for; "" where it does. */
static void say_reason(const struct relay *relay, unsigned number, bool media, char *out,
                       size_t size)
{
    const struct inner_link *link = &relay->core.links[number];
    bool up = link->session && session_state(link->session) == SESSION_UP;

    out[0] = '\0';
    if (link->carrier == CARRIER_STREAM || !up)
        return;
    if (link->why)
        snprintf(out, size, "%s", link->why);
    else if (!media)
        say_media(relay, number, out, size);
    else if (link->carrier == CARRIER_RAW)
        mediaconn_not_raw(carrier_of(relay, number), out, size);
    else if (link->carrier == CARRIER_UNORDERED)
        mediaconn_in_order(&relay->links[number], out, size);
    else if (link->chooses)
        say_choice(relay, number, out, size);
}

static json_t *tunnel_row(const struct daemon *daemon, unsigned number)
{
    const struct relay *relay = relay_of(daemon);
    char reason[256];
    const struct inner_link *link = &relay->core.links[number];
    const struct connector *connector = relay->links[number].connector;
    struct report_tunnel row = {.name = link->name,
                                .state = connector_state(connector),
                                .sync = authority_sync_name(link->authority.sync),
                                .last_error = connector_last_error(connector),
                                .engine = link->peer.engine,
                                .changed_us = link->changed_us,
                                .connects = connector_count(connector),
                                .sas = table_count_owner(relay->core.table, number),
                                .conn = connector_conn(connector)};

    collect_ways(relay, number, &row);
    collect(link, &row);
    for (unsigned i = 0; i < relay->core.worker_count; i++)
        collect(&relay->core.workers[i]->links[number], &row);
    say_reason(relay, number, row.media_count > 0, reason, sizeof(reason));
    row.carrier_reason = reason;
    row.raw_reason = daemon->raw_reason;
    return report_tunnel(&row);
}

static json_t *on_status(void *ctx, const json_t *request)
{
    const struct relay *relay = relay_of(ctx);
    const struct inner *core = &relay->core;
    json_t *tunnels = json_array(), *reply;

    (void)request;
    daemon_gather(ctx);
    reply = report_status(ctx, core->listeners, core->listener_count, table_count(core->table),
                          table_max(core->table));
    for (unsigned i = 0; i < core->link_count; i++)
        json_array_append_new(tunnels, tunnel_row(ctx, i));
    json_object_set_new(reply, "srtp_engine", json_string(core->options.engine_name));
    json_object_set_new(reply, "dmz_keys",
                        json_string(inner_dmz_keys_name(core->options.dmz_keys)));
    json_object_set_new(reply, "peers", report_peers(&core->peers));
    json_object_set_new(reply, "forwards", report_forwards(relay_of(ctx)->forwards, false));
    json_object_set_new(reply, "sites", sitecommands_report(ctx));
    json_object_set_new(reply, "tunnels", tunnels);
    callcommands_add_status(reply, relay->calls);
    return reply;
}

/* Of SIP proxies: zeros where none can ask. */
static void add_ng_counts(json_t *counters, const struct relay *relay)
{
    static const struct ng_counts none;
    const struct ng_counts *counts = relay->ng ? ng_counts(relay->ng) : &none;
    uint64_t foreign = relay->ngsocket ? ngsocket_foreign(relay->ngsocket) : 0, requests = 0;

    for (int i = 0; i < NG_COMMAND_COUNT; i++)
        requests += counts->requests[i];
    json_object_set_new(counters, "ng_requests", json_integer((json_int_t)requests));
    json_object_set_new(counters, "ng_errors", json_integer((json_int_t)counts->errors));
    json_object_set_new(counters, "ng_load_limit", json_integer((json_int_t)counts->load_limit));
    json_object_set_new(counters, "ng_repeats", json_integer((json_int_t)counts->repeats));
    json_object_set_new(counters, "ng_dropped", json_integer((json_int_t)counts->dropped));
    json_object_set_new(counters, "ng_foreign", json_integer((json_int_t)foreign));
}

static json_t *on_stats(void *ctx, const json_t *request)
{
    const struct inner *core = &relay_of(ctx)->core;
    json_t *places = json_array(), *reply, *counters;
    uint64_t taken = 0, ignored = 0, unknown = 0;
    char place[NAME_SIZE + 16];

    (void)request;
    daemon_gather(ctx);
    report_add_listeners(places, core->listeners, core->listener_count);
    for (size_t i = 0; i < core->link_count; i++) {
        snprintf(place, sizeof(place), "tunnel %s", core->links[i].name);
        json_array_append_new(places, report_place(place, &core->links[i].counts));
        taken += core->links[i].reports;
        ignored += core->links[i].reports_ignored;
        unknown += core->links[i].streams.unknown;
    }
    json_array_append_new(places, report_place("hairpin", &core->hairpin));
    reply = report_stats(ctx, places);
    counters = json_object_get(reply, "counters");
    report_add_budget(reply, core->budget);
    json_object_set_new(reply, "forwards", report_forwards(relay_of(ctx)->forwards, true));
    json_object_set_new(counters, "sa_reports", json_integer((json_int_t)taken));
    json_object_set_new(counters, "sa_reports_ignored", json_integer((json_int_t)ignored));
    add_ng_counts(counters, relay_of(ctx));
    callcommands_add_counters(counters, relay_of(ctx)->calls);
    json_object_set_new(counters, "streams_unknown", json_integer((json_int_t)unknown));
    return reply;
}

static const char *dmz_name(const void *ctx, unsigned owner)
{
    const struct inner *core = ctx;

    return core->links[owner].name;
}

static json_t *on_sa_list(void *ctx, const json_t *request)
{
    const struct inner *core = &relay_of(ctx)->core;

    return report_sa_list(core->table, request, "dmz", dmz_name, core);
}

static json_t *on_sa_show(void *ctx, const json_t *request)
{
    struct inner *core = &relay_of(ctx)->core;
    const struct sa *sa;
    json_t *refusal, *reply;
    uint64_t id;

    if (!report_get_id(request, &id, &refusal))
        return refusal;
    sa = inner_find_sa(core, id);
    reply = report_sa_show(core->table, sa, id, "dmz", sa ? core->links[sa->owner].name : "");
    if (sa)
        json_object_set_new(json_object_get(reply, "sa"), "far", report_far(sa));
    return reply;
}

/* ------------------------------------------------------------ explain */

static json_t *explained_direction(const struct explain_facts *facts, const struct explained *out,
                                   unsigned i)
{
    const struct explain_direction *d = &facts->direction[i];
    const struct explain_verdict *verdict = &out->direction[i];
    json_t *hops = json_array();

    for (unsigned line = 0; line < verdict->line_count; line++)
        json_array_append_new(hops, json_string(verdict->line[line]));
    return json_pack("{s:I,s:s,s:s,s:s,s:s,s:s,s:o}", "id", (json_int_t)d->id, "side",
                     sa_side_name(d->side), "to_side", sa_side_name(d->to_side), "cause",
                     explain_word(verdict->cause), "text", verdict->text, "check", verdict->advice,
                     "hops", hops);
}

static json_t *explained_reply(const struct explain_facts *facts, const struct explained *out)
{
    const struct explain_verdict *worst = &out->direction[out->worst];
    json_t *directions = json_array();

    for (unsigned i = 0; i < facts->count; i++)
        json_array_append_new(directions, explained_direction(facts, out, i));
    return json_pack("{s:b,s:s,s:s,s:s,s:o}", "ok", 1, "cause", explain_word(worst->cause), "text",
                     out->text, "check", worst->advice, "directions", directions);
}

static json_t *on_explain(void *ctx, const json_t *request)
{
    struct relay *relay = relay_of(ctx);
    struct explain_facts facts;
    struct explained out;
    const struct sa *sa;
    json_t *refusal;
    uint64_t id;

    if (json_is_string(json_object_get(request, "call_id")))
        return callcommands_explain(ctx, request);
    if (!report_get_id(request, &id, &refusal))
        return refusal;
    sa = inner_find_sa(&relay->core, id);
    if (!sa)
        return control_refuse("id", "there is no SA %llu", (unsigned long long)id);
    daemon_gather(ctx);
    facts_gather(&relay->core, sa, &facts, clock_now_us());
    if (!facts.up) {
        facts.state = connector_state(relay->links[sa->owner].connector);
        facts.last_error = connector_last_error(relay->links[sa->owner].connector);
    }
    explain(&facts, &out);
    return explained_reply(&facts, &out);
}

/* ------------------------------------------------------------ sa add */

/* The first thing that is wrong; later reads do nothing. */
struct reading {
    const json_t *request;
    json_t *refusal;
};

static const json_t *member(const struct reading *reading, const char *name)
{
    const json_t *value = json_object_get(reading->request, name);

    return reading->refusal || json_is_null(value) ? NULL : value;
}

static void complain(struct reading *reading, const char *field, const char *text)
{
    if (!reading->refusal)
        reading->refusal = control_refuse(field, "%s", text);
}

static void read_addr(struct reading *reading, const char *name, struct addr *out)
{
    const json_t *value = member(reading, name);

    if (value && (!json_is_string(value) || addr_parse(json_string_value(value), out) < 0))
        complain(reading, name,
                 "not an address and a port from 1 to 65535; 192.0.2.1:5004 or "
                 "[2001:db8::1]:5004 is");
}

static void read_flag(struct reading *reading, const char *name, bool *out)
{
    const json_t *value = member(reading, name);

    if (value && !json_is_boolean(value))
        complain(reading, name, "true or false is expected");
    else if (value)
        *out = json_is_true(value);
}

static void read_text(struct reading *reading, const char *name, char *out, size_t size)
{
    const json_t *value = member(reading, name);
    const char *text = value ? json_string_value(value) : "";

    if (!text || strlen(text) >= size) {
        complain(reading, name, "a text is expected that is not as long as this");
        return;
    }
    for (const char *c = text; *c; c++) {
        if (*c < 0x20 || *c > 0x7e) {
            complain(reading, name, "only printable ASCII is taken");
            return;
        }
    }
    snprintf(out, size, "%s", text);
}

static int64_t read_number(struct reading *reading, const char *name, int64_t fallback, int64_t max)
{
    const json_t *value = member(reading, name);

    if (!value)
        return fallback;
    if (!json_is_integer(value) || json_integer_value(value) < 0 ||
        json_integer_value(value) > max) {
        if (!reading->refusal)
            reading->refusal =
                control_refuse(name, "a whole number from 0 to %lld is expected", (long long)max);
        return fallback;
    }
    return json_integer_value(value);
}

static bool parse_side(const char *text, enum sa_side *side)
{
    if (text && strcmp(text, "external") == 0)
        *side = SA_SIDE_EXTERNAL;
    else if (text && strcmp(text, "internal") == 0)
        *side = SA_SIDE_INTERNAL;
    else
        return false;
    return true;
}

static void read_sides(struct reading *reading, enum sa_side *side, enum sa_side *to_side)
{
    const json_t *to = member(reading, "to_side");

    if (!parse_side(json_string_value(member(reading, "side")), side))
        complain(reading, "side", "external or internal is expected: where the sender is");
    if (to && !parse_side(json_string_value(to), to_side))
        complain(reading, "to_side",
                 "external or internal is expected, where packets go; without it, the other side "
                 "than side");
}

static void read_policy(struct reading *reading, enum source_policy *out)
{
    const json_t *value = member(reading, "source_policy");
    const char *text = json_string_value(value);

    if (!value)
        return;
    if (!text || !sa_source_policy_parse(text, out))
        complain(reading, "source_policy", "strict, hinted or open is expected");
}

/* Its port says nothing: SIP does not come from the port that media comes from. */
static void read_hint(struct reading *reading, struct addr *out)
{
    const json_t *value = member(reading, "hint");
    const char *text = json_string_value(value);

    if (!value)
        return;
    if (!text || (addr_parse_ip(text, out) < 0 && addr_parse(text, out) < 0))
        complain(reading, "hint",
                 "not an IP address, where the signalling came from; 192.0.2.1 or 2001:db8::1 is");
}

static void read_suite(struct reading *reading, const struct suite **suite)
{
    const char *text = json_string_value(member(reading, "suite"));

    *suite = text ? suite_find(text) : NULL;
    if (!*suite && !reading->refusal)
        reading->refusal = control_refuse("suite", "not one of %s", suite_names());
}

static void read_material(struct reading *reading, struct srtp_key *key)
{
    const char *text = json_string_value(member(reading, "key"));
    int octets = text ? base64_decode(text, key->octets, sizeof(key->octets)) : ERR_INVALID;

    if (octets == ERR_TOO_LONG)
        complain(reading, "key", "more than 46 octets: longer than any suite takes");
    else if (octets < 0)
        complain(reading, "key", "not base64, as it stands behind inline: in a=crypto");
    else
        key->length = (size_t)octets;
}

static int hex_digit(char c)
{
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    const char *at = c ? strchr(digits, c) : NULL;

    return at ? (int)(at - digits) % 16 : -1;
}

static void read_mki(struct reading *reading, struct srtp_key *key)
{
    const char *text = json_string_value(member(reading, "mki"));
    size_t digits = text ? strlen(text) : 0;
    bool ok = digits > 0 && digits % 2 == 0 && digits <= 2 * sizeof(key->mki);

    if (!member(reading, "mki"))
        return;
    for (size_t i = 0; ok && i < digits; i += 2) {
        int high = hex_digit(text[i]), low = hex_digit(text[i + 1]);

        ok = high >= 0 && low >= 0;
        if (ok)
            key->mki[i / 2] = (uint8_t)(high << 4 | low);
    }
    if (!ok)
        complain(reading, "mki", "1 to 128 octets are expected, two hex digits for each");
    key->mki_length = ok ? digits / 2 : 0;
}

static void read_lifetime(struct reading *reading, struct srtp_key *key)
{
    const json_t *value = member(reading, "lifetime");
    json_int_t packets = json_integer_value(value);

    key->lifetime = SRTP_LIFETIME_MAX;
    if (!value)
        return;
    if (packets < 1 || packets > (json_int_t)SRTP_LIFETIME_MAX)
        complain(reading, "lifetime", "1 to 281474976710656 packets (2^48) are expected");
    else
        key->lifetime = (uint64_t)packets;
}

static void read_key(struct reading *reading, struct srtp_key *key)
{
    key->kind = SRTP_KEY_MASTER;
    read_material(reading, key);
    read_mki(reading, key);
    read_lifetime(reading, key);
}

/* With an assigned SSRC a suite may come without a key, and neither has to. */
static void read_crypto(struct reading *reading, struct admit_request *request)
{
    bool any = member(reading, "key") || member(reading, "mki") || member(reading, "lifetime");

    if (!request->assign_ssrc || any || member(reading, "suite"))
        read_suite(reading, &request->suite);
    if (!request->assign_ssrc || any)
        read_key(reading, &request->key);
}

static void read_ssrcs(struct reading *reading, struct admit_request *request)
{
    const json_t *array = member(reading, "ssrc");

    if (!array)
        return;
    if (!json_is_array(array) || json_array_size(array) > SA_SSRC_MAX) {
        complain(reading, "ssrc", "up to eight SSRCs are expected");
        return;
    }
    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *value = json_array_get(array, i);

        if (!json_is_integer(value) || json_integer_value(value) < 0 ||
            json_integer_value(value) > UINT32_MAX) {
            complain(reading, "ssrc", "an SSRC is a whole number from 0 to 4294967295");
            return;
        }
        request->ssrc[request->ssrc_count++] = (uint32_t)json_integer_value(value);
    }
}

/* RFC 3550 section 11: RTCP has the next port, unless something else was said. */
static void read_transport(struct reading *reading, const char *rtp, const char *rtcp,
                           const char *mux, struct sa_transport *out)
{
    read_addr(reading, rtp, &out->rtp);
    read_addr(reading, rtcp, &out->rtcp);
    read_flag(reading, mux, &out->mux);
    if (out->mux && out->rtcp.family) {
        complain(reading, rtcp, "not together with mux: RTCP comes on the RTP port then");
    } else if (!out->mux && out->rtp.family && !out->rtcp.family) {
        if (out->rtp.port == UINT16_MAX) {
            complain(reading, rtp, "port 65535 leaves none for RTCP; say where RTCP is, or mux");
            return;
        }
        out->rtcp = out->rtp;
        out->rtcp.port++;
    }
}

static void read_request(struct reading *reading, struct admit_request *request)
{
    read_sides(reading, &request->side, &request->to_side);
    read_transport(reading, "source", "source_rtcp", "mux", &request->source);
    read_policy(reading, &request->source_policy);
    read_hint(reading, &request->hint);
    read_flag(reading, "assign_ssrc", &request->assign_ssrc);
    read_crypto(reading, request);
    read_ssrcs(reading, request);
    read_transport(reading, "to", "to_rtcp", "to_mux", &request->destination);
    read_text(reading, "call_id", request->call_id, sizeof(request->call_id));
    read_text(reading, "listener", request->listener, sizeof(request->listener));
    read_text(reading, "to_listener", request->to_listener, sizeof(request->to_listener));
    read_text(reading, "dmz", request->dmz, sizeof(request->dmz));
    read_flag(reading, "rtp_prime", &request->prime_in);
    read_flag(reading, "to_rtp_prime", &request->prime_out);
    request->rate = (uint32_t)read_number(reading, "rate", 0, 10 * 1000 * 1000) * 125;
    request->media_index = (uint8_t)read_number(reading, "media", 0, 255);
    request->reverse = (uint64_t)read_number(reading, "reverse", 0, INT64_MAX);
    request->media_timeout_s = read_number(reading, "media_timeout", -1, 7 * 86400);
}

/* The peer that stands for an address. */
static void read_peer(struct reading *reading, const struct inner *core,
                      struct admit_request *request)
{
    struct admit_error error;
    char name[NAME_SIZE];

    read_text(reading, "peer", name, sizeof(name));
    if (!reading->refusal && name[0] && admit_peer(core, name, request, &error) < 0)
        complain(reading, error.field, error.text);
}

/* Where the sender has to send to: the listener's address as the world sees it. */
static json_t *send_to(const struct inner *core, const struct sa *sa, uint8_t family, bool rtcp)
{
    char text[ADDR_TEXT_SIZE];
    struct addr addr = {0};

    if (sa->side == SA_SIDE_INTERNAL) {
        int i = path_find_listener(core->listeners, core->listener_count,
                                   sa_text(sa, SA_LISTENER_IN), family);

        if (i >= 0)
            addr = core->listeners[i].advertise;
    } else {
        const struct hello_listener *listener =
            inner_link_listener(&core->links[sa->owner], sa_text(sa, SA_LISTENER_IN), family);

        if (listener)
            addr = listener->advertise;
    }
    if (!addr.family)
        return json_null();
    addr.port = (uint16_t)(addr.port + (rtcp && !sa->source.mux));
    return json_string(addr_format(&addr, text, sizeof(text)));
}

/* That was not the sender's choice. */
static json_t *ssrc_to_use(const struct sa *sa)
{
    return sa_is_assigned(sa) ? json_integer((json_int_t)sa->stream[0].ssrc) : json_null();
}

static json_t *on_sa_add(void *ctx, const json_t *json)
{
    struct inner *core = &relay_of(ctx)->core;
    struct reading reading = {.request = json};
    struct admit_request request = {0};
    struct admit_error error;
    struct sa *sa;
    uint8_t family;

    read_request(&reading, &request);
    read_peer(&reading, core, &request);
    if (!reading.refusal && admit(core, &request, clock_wall_us(), clock_now_us(), &sa, &error) < 0)
        reading.refusal = control_refuse(error.field, "%s", error.text);
    family = admit_source_family(&request);
    wipe(&request, sizeof(request));
    if (reading.refusal)
        return reading.refusal;
    return json_pack("{s:b,s:I,s:I,s:o,s:o,s:o}", "ok", 1, "id", (json_int_t)sa->id, "label",
                     (json_int_t)sa->label, "ssrc", ssrc_to_use(sa), "send_to",
                     send_to(core, sa, family, false), "send_rtcp_to",
                     send_to(core, sa, family, true));
}

static json_t *on_sa_rekey(void *ctx, const json_t *json)
{
    struct inner *core = &relay_of(ctx)->core;
    struct reading reading = {.request = json};
    const struct suite *suite = NULL;
    struct srtp_key key = {0};
    struct admit_error error;
    struct sa *sa;
    uint64_t id;

    if (!report_get_id(json, &id, &reading.refusal))
        return reading.refusal;
    sa = inner_find_sa(core, id);
    if (!sa)
        return control_refuse("id", "there is no SA %llu", (unsigned long long)id);
    read_suite(&reading, &suite);
    read_key(&reading, &key);
    if (!reading.refusal && admit_rekey(core, sa, suite, &key, clock_now_us(), &error) < 0)
        reading.refusal = control_refuse(error.field, "%s", error.text);
    wipe(&key, sizeof(key));
    if (reading.refusal)
        return reading.refusal;
    return json_pack("{s:b,s:I}", "ok", 1, "generation", (json_int_t)sa->generation);
}

static json_t *on_sa_delete(void *ctx, const json_t *request)
{
    struct inner *core = &relay_of(ctx)->core;
    struct sa *sa;
    json_t *refusal, *reply;
    uint64_t id;

    if (!report_get_id(request, &id, &refusal))
        return refusal;
    sa = inner_find_sa(core, id);
    if (!sa)
        return control_refuse("id", "there is no SA %llu", (unsigned long long)id);
    /* Its call goes on without it; the next answer in it makes another one. */
    reply = json_pack("{s:b,s:s*}", "ok", 1, "call_id",
                      sa_ends_with_call(sa) ? sa_text(sa, SA_CALL_ID) : NULL);
    inner_delete(core, sa, clock_now_us());
    return reply;
}

const struct control_command relay_commands[] = {
    {"status", on_status},
    {"stats", on_stats},
    {"sa-list", on_sa_list},
    {"sa-show", on_sa_show},
    {"sa-add", on_sa_add},
    {"sa-delete", on_sa_delete},
    {"explain", on_explain},
    {"call-list", callcommands_list},
    {"call-show", callcommands_show},
    {"call-end", callcommands_end},
    {"call-place", sitecommands_place},
    {"call-answer", sitecommands_answer},
    {"call-refuse", sitecommands_refuse},
    {"call-wait", sitecommands_wait},
    {"call-state", sitecommands_state},
    {"sa-rekey", on_sa_rekey},
    {"reload", report_reload},
    {"debug", report_debug},
    {NULL, NULL},
};
