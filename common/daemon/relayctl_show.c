#include "config.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/verdict.h"
#include "common/daemon/relayctl.h"
#include "common/daemon/relayctl_table.h"

/* "0x00000001,0x00000002" */
static const char *ssrcs_text(const json_t *array, char *out, size_t size)
{
    size_t used = 0;

    snprintf(out, size, "-");
    for (size_t i = 0; i < json_array_size(array) && used + 16 < size; i++) {
        uint64_t ssrc = (uint64_t)json_integer_value(json_array_get(array, i));

        used += (size_t)snprintf(out + used, size - used, "%s0x%08" PRIx64, i ? "," : "", ssrc);
    }
    return out;
}

static const char *rtt_text(const json_t *value, char *out, size_t size)
{
    if (!json_is_number(value))
        return "-";
    snprintf(out, size, "%.1f ms", json_number_value(value));
    return out;
}

/* ---------------------------------------------------------------- status */

static void add_tunnel(struct relayctl_table *table, const json_t *tunnel)
{
    char text[RELAYCTL_CELL_SIZE];

    relayctl_add_member(table, tunnel, "name");
    relayctl_add_member(table, tunnel, "peer");
    relayctl_add_member(table, tunnel, "state");
    relayctl_add_duration(table, tunnel, "since");
    relayctl_add(table, rtt_text(json_object_get(tunnel, "rtt_ms"), text, sizeof(text)));
    relayctl_add_member(table, tunnel, "sync");
    relayctl_add_member(table, tunnel, "sas");
    relayctl_add_member(table, tunnel, "queued");
    relayctl_add_member(table, tunnel, "late");
    relayctl_add_member(table, tunnel, "frames_in");
    relayctl_add_octets(table, tunnel, "octets_in");
    relayctl_add_member(table, tunnel, "frames_out");
    relayctl_add_octets(table, tunnel, "octets_out");
    relayctl_add_member(table, tunnel, "connects");
    relayctl_add_member(table, tunnel, "via");
    relayctl_add_member(table, tunnel, "carrier");
    relayctl_add_member(table, tunnel, "congestion");
    relayctl_add_member(table, tunnel, "srtp_engine");
}

static void show_last_errors(const json_t *tunnels, FILE *to)
{
    const json_t *tunnel;
    size_t i;

    json_array_foreach(tunnels, i, tunnel)
    {
        char name[RELAYCTL_CELL_SIZE], error[2 * RELAYCTL_CELL_SIZE];
        const json_t *text = json_object_get(tunnel, "last_error");

        if (!json_is_string(text))
            continue;
        relayctl_text_of(json_object_get(tunnel, "name"), name, sizeof(name));
        fprintf(to, "last error of %s: %s\n", name, relayctl_text_of(text, error, sizeof(error)));
    }
}

static void show_media(const json_t *tunnels, FILE *to)
{
    char name[RELAYCTL_CELL_SIZE];
    const json_t *tunnel;
    size_t i;

    json_array_foreach(tunnels, i, tunnel)
    {
        if (relayctl_number_of(tunnel, "media_connections") > 0)
            fprintf(to, "tunnel %s: %" PRId64 " connections of media beside that of control\n",
                    relayctl_text_of(json_object_get(tunnel, "name"), name, sizeof(name)),
                    relayctl_number_of(tunnel, "media_connections"));
    }
}

static void show_reasons(const json_t *tunnels, FILE *to)
{
    char name[RELAYCTL_CELL_SIZE], carrier[RELAYCTL_CELL_SIZE], reason[4 * RELAYCTL_CELL_SIZE];
    const json_t *tunnel;
    size_t i;

    json_array_foreach(tunnels, i, tunnel)
    {
        const json_t *text = json_object_get(tunnel, "carrier_reason");

        if (json_is_string(text))
            fprintf(to, "tunnel %s, carrier %s: %s\n",
                    relayctl_text_of(json_object_get(tunnel, "name"), name, sizeof(name)),
                    relayctl_text_of(json_object_get(tunnel, "carrier"), carrier, sizeof(carrier)),
                    relayctl_text_of(text, reason, sizeof(reason)));
    }
}

/* What was not as it should be; copies are, where frames come by two ways. */
static void show_sealed(const json_t *tunnels, FILE *to)
{
    static const char *const bad[] = {"forged", "old", "truncated", "malformed"};
    char name[RELAYCTL_CELL_SIZE];
    const json_t *tunnel;
    size_t i;

    json_array_foreach(tunnels, i, tunnel)
    {
        const json_t *sealed = json_object_get(tunnel, "sealed");

        for (size_t b = 0; json_is_object(sealed) && b < sizeof(bad) / sizeof(bad[0]); b++) {
            if (relayctl_number_of(sealed, bad[b]) > 0)
                fprintf(to, "tunnel %s: %" PRId64 " sealed frames were %s\n",
                        relayctl_text_of(json_object_get(tunnel, "name"), name, sizeof(name)),
                        relayctl_number_of(sealed, bad[b]), bad[b]);
        }
    }
}

/* What would make the tunnel's delay shorter: inner-relay(8) says what to do about it. */
static void show_refused(const json_t *tunnels, FILE *to)
{
    char name[RELAYCTL_CELL_SIZE], option[RELAYCTL_CELL_SIZE];
    const json_t *tunnel, *text;
    size_t i, j;

    json_array_foreach(tunnels, i, tunnel)
    {
        const json_t *refused = json_object_get(tunnel, "tcp_refused");

        json_array_foreach(refused, j, text)
        {
            if (j == 0)
                fprintf(to, "tunnel %s: the kernel refuses",
                        relayctl_text_of(json_object_get(tunnel, "name"), name, sizeof(name)));
            fprintf(to, "%s %s", j ? "," : "", relayctl_text_of(text, option, sizeof(option)));
        }
        if (json_array_size(refused) > 0)
            fputc('\n', to);
    }
}

static void show_tunnels(const json_t *tunnels, FILE *to)
{
    static const struct relayctl_column columns[] = {
        {"TUNNEL", false},     {"PEER", false},     {"STATE", false},    {"FOR", true},
        {"RTT", true},         {"SYNC", false},     {"SAS", true},       {"QUEUED", true},
        {"LATE", true},        {"FRAMES IN", true}, {"OCTETS IN", true}, {"FRAMES OUT", true},
        {"OCTETS OUT", true},  {"CONNECTS", true},  {"VIA", false},      {"CARRIER", false},
        {"CONGESTION", false}, {"ENGINE", false},   {NULL, false},
    };
    struct relayctl_table table = relayctl_table_of(columns);
    const json_t *tunnel;
    size_t i;

    if (json_array_size(tunnels) == 0) {
        fprintf(to, "\nno tunnel\n");
        return;
    }
    fprintf(to, "\n");
    json_array_foreach(tunnels, i, tunnel) add_tunnel(&table, tunnel);
    relayctl_table_print(&table, to);
    show_reasons(tunnels, to);
    show_sealed(tunnels, to);
    show_media(tunnels, to);
    show_refused(tunnels, to);
    show_last_errors(tunnels, to);
}

/* What verifies, and at the inner-relay what the dmz-relays get of the keys. */
static void show_engine(const json_t *reply, FILE *to)
{
    const json_t *keys = json_object_get(reply, "dmz_keys");
    char engine[RELAYCTL_CELL_SIZE], text[RELAYCTL_CELL_SIZE];

    fprintf(to, "srtp engine: %s",
            relayctl_text_of(json_object_get(reply, "srtp_engine"), engine, sizeof(engine)));
    if (keys)
        fprintf(to, ", keys for dmz-relays: %s", relayctl_text_of(keys, text, sizeof(text)));
    fputc('\n', to);
}

/* One of a listener's two sockets. */
static void add_socket(struct relayctl_table *table, const json_t *listener, const char *kind)
{
    const json_t *counts = json_object_get(listener, kind);
    char name[RELAYCTL_CELL_SIZE], text[RELAYCTL_CELL_SIZE + 8], port[16];

    relayctl_text_of(json_object_get(listener, "name"), name, sizeof(name));
    snprintf(text, sizeof(text), "%s %s", name, kind);
    snprintf(port, sizeof(port), "%s_port", kind);
    relayctl_add(table, text);
    relayctl_add_member(table, listener, "address");
    relayctl_add_member(table, listener, "advertise");
    relayctl_add_member(table, listener, port);
    relayctl_add_member(table, counts, "received");
    relayctl_add_member(table, counts, "accepted");
    relayctl_add_member(table, counts, "dropped");
    relayctl_add_member(table, counts, "sent");
    relayctl_add_member(table, counts, "overflow");
}

static void show_listeners(const json_t *listeners, FILE *to)
{
    static const struct relayctl_column columns[] = {
        {"LISTENER", false}, {"ADDRESS", false}, {"ADVERTISE", false}, {"PORT", true},
        {"RECEIVED", true},  {"ACCEPTED", true}, {"DROPPED", true},    {"SENT", true},
        {"OVERFLOW", true},  {NULL, false},
    };
    struct relayctl_table table = relayctl_table_of(columns);
    const json_t *listener;
    size_t i;

    fprintf(to, "\n");
    json_array_foreach(listeners, i, listener)
    {
        add_socket(&table, listener, "rtp");
        add_socket(&table, listener, "rtcp");
    }
    relayctl_table_print(&table, to);
}

/* Most relays have none: then nothing is said. */
static void show_peers(const json_t *peers, FILE *to)
{
    static const struct relayctl_column columns[] = {
        {"PEER", false}, {"ADDRESS", false}, {"RTP PORT", true}, {"RTCP PORT", true}, {NULL, false},
    };
    struct relayctl_table table = relayctl_table_of(columns);
    const json_t *peer;
    size_t i;

    if (json_array_size(peers) == 0)
        return;
    fprintf(to, "\n");
    json_array_foreach(peers, i, peer)
    {
        relayctl_add_member(&table, peer, "name");
        relayctl_add_member(&table, peer, "address");
        relayctl_add_member(&table, peer, "rtp_port");
        relayctl_add_member(&table, peer, "rtcp_port");
    }
    relayctl_table_print(&table, to);
}

/* Most relays have none: then nothing is said. */
static void show_forwards(const json_t *forwards, FILE *to)
{
    static const struct relayctl_column columns[] = {
        {"FORWARD", false},  {"KIND", false},   {"ADDRESS", false}, {"STREAMS", true},
        {"HALF-OPEN", true}, {"AT MOST", true}, {NULL, false},
    };
    static const char *const members[] = {"name",    "kind",      "address",
                                          "streams", "half_open", "max_streams"};
    struct relayctl_table table = relayctl_table_of(columns);
    const json_t *forward;
    size_t i;

    if (json_array_size(forwards) == 0)
        return;
    fprintf(to, "\n");
    json_array_foreach(forwards, i, forward)
    {
        for (size_t k = 0; k < sizeof(members) / sizeof(members[0]); k++)
            relayctl_add_member(&table, forward, members[k]);
    }
    relayctl_table_print(&table, to);
}

/* Keys of calls have memory of their own, which is locked as far as the limit allows it. */
static void show_memory(const json_t *reply, FILE *to)
{
    const json_t *locked = json_object_get(reply, "memory_locked");

    if (!locked)
        return;
    if (json_is_true(locked))
        fprintf(to, "memory: locked\n");
    else if (json_is_true(json_object_get(reply, "keys_locked")))
        fprintf(to, "memory: the keys of calls are locked, the rest may be swapped\n");
    else
        fprintf(to, "memory: not locked, keys may be swapped\n");
}

/* How long packets wait for others, and how busy it is. */
static void show_coalesce(const json_t *coalesce, FILE *to)
{
    const json_t *setting = json_object_get(coalesce, "setting");
    char text[RELAYCTL_CELL_SIZE];

    if (!coalesce)
        return;
    fprintf(
        to, "coalesce: %s%s, now %" PRId64 " us (%" PRId64 " packets/s in %" PRId64 " turns/s)\n",
        relayctl_text_of(setting, text, sizeof(text)), json_is_integer(setting) ? " us" : "",
        relayctl_number_of(coalesce, "interval_us"), relayctl_number_of(coalesce, "packets_per_s"),
        relayctl_number_of(coalesce, "turns_per_s"));
}

/* At the inner-relay. */
static void show_call_count(const json_t *reply, FILE *to)
{
    int64_t offered = relayctl_number_of(reply, "calls_offered");
    char calls[RELAYCTL_CELL_SIZE], max[RELAYCTL_CELL_SIZE];

    if (!json_object_get(reply, "calls"))
        return;
    fprintf(to, "calls: %s of at most %s",
            relayctl_text_of(json_object_get(reply, "calls"), calls, sizeof(calls)),
            relayctl_text_of(json_object_get(reply, "max_calls"), max, sizeof(max)));
    if (offered != 0)
        fprintf(to, ", %" PRId64 " of them without an answer yet", offered);
    fputc('\n', to);
}

static void show_count_of(FILE *to, const json_t *object, const char *name, const char *text)
{
    if (relayctl_number_of(object, name) > 0)
        fprintf(to, ", %s: %" PRId64, text, relayctl_number_of(object, name));
}

/* One way past the dmz-relay: how far it is, or why it is not there. */
static void show_past(FILE *to, const json_t *site, const char *way)
{
    char name[RELAYCTL_CELL_SIZE], state[RELAYCTL_CELL_SIZE], why[4 * RELAYCTL_CELL_SIZE];
    const json_t *past = json_object_get(site, way);
    double rtt_ms = (double)relayctl_number_of(past, "rtt_us") / 1000;

    fprintf(to, "site %s, %s: %s",
            relayctl_text_of(json_object_get(site, "name"), name, sizeof(name)), way,
            relayctl_text_of(json_object_get(past, "state"), state, sizeof(state)));
    if (json_string_length(json_object_get(past, "why")) > 0)
        fprintf(to, ", %s", relayctl_text_of(json_object_get(past, "why"), why, sizeof(why)));
    else if (rtt_ms > 0 && (strcmp(state, "open") == 0 || strcmp(state, "proven") == 0))
        fprintf(to, ", %.1f ms there and back", rtt_ms);
    show_count_of(to, past, "returns", "went back to the dmz-relay");
    show_count_of(to, past, "forged", "forged");
    fputc('\n', to);
}

static void show_forwarders(FILE *to, const json_t *site)
{
    char name[RELAYCTL_CELL_SIZE], by[RELAYCTL_CELL_SIZE], rtt[RELAYCTL_CELL_SIZE];
    const json_t *ms = json_object_get(site, "media_rtt_ms");

    if (!json_is_number(ms) && relayctl_number_of(site, "media_returns") == 0)
        return;
    fprintf(to, "site %s, media by %s",
            relayctl_text_of(json_object_get(site, "name"), name, sizeof(name)),
            relayctl_text_of(json_object_get(site, "media"), by, sizeof(by)));
    if (json_is_number(ms))
        fprintf(to, ": %s there and back", rtt_text(ms, rtt, sizeof(rtt)));
    show_count_of(to, site, "media_returns", "went back to the dmz-relay");
    fputc('\n', to);
}

/* What the ini file does not ask for is not missed. */
static void show_ways(const json_t *sites, FILE *to)
{
    const json_t *site;
    size_t i;

    json_array_foreach(sites, i, site)
    {
        show_forwarders(to, site);
        if (json_is_true(json_object_get(site, "direct_to")))
            show_past(to, site, "punch");
        if (json_is_true(json_object_get(site, "allow_spoofing")))
            show_past(to, site, "direct");
    }
}

/* Other sites, of an inner-relay that has any. */
static void show_sites(const json_t *sites, FILE *to)
{
    static const struct relayctl_column columns[] = {
        {"SITE", false},     {"DMZ", false},        {"OURS", false}, {"THEIRS", false},
        {"MEDIA BY", false}, {"LAST ERROR", false}, {NULL, false},
    };
    static const char *const members[] = {"name", "dmz", "ours", "theirs", "media", "last_error"};
    struct relayctl_table table = relayctl_table_of(columns);
    const json_t *site;
    size_t i;

    if (json_array_size(sites) == 0)
        return;
    fprintf(to, "\n");
    json_array_foreach(sites, i, site)
    {
        for (size_t k = 0; k < sizeof(members) / sizeof(members[0]); k++)
            relayctl_add_member(&table, site, members[k]);
    }
    relayctl_table_print(&table, to);
    show_ways(sites, to);
}

void relayctl_show_status(const struct json_t *reply, FILE *to)
{
    char daemon[RELAYCTL_CELL_SIZE], version[RELAYCTL_CELL_SIZE], pid[RELAYCTL_CELL_SIZE],
        uptime[RELAYCTL_CELL_SIZE];
    char sas[RELAYCTL_CELL_SIZE], max[RELAYCTL_CELL_SIZE];

    fprintf(to, "%s %s, process %s, up %s\n",
            relayctl_text_of(json_object_get(reply, "daemon"), daemon, sizeof(daemon)),
            relayctl_text_of(json_object_get(reply, "version"), version, sizeof(version)),
            relayctl_text_of(json_object_get(reply, "pid"), pid, sizeof(pid)),
            relayctl_duration_text(relayctl_number_of(reply, "uptime"), uptime, sizeof(uptime)));
    fprintf(to, "security associations: %s of at most %s\n",
            relayctl_text_of(json_object_get(reply, "sas"), sas, sizeof(sas)),
            relayctl_text_of(json_object_get(reply, "max_sas"), max, sizeof(max)));
    show_call_count(reply, to);
    show_engine(reply, to);
    show_memory(reply, to);
    show_coalesce(json_object_get(reply, "coalesce"), to);
    show_tunnels(json_object_get(reply, "tunnels"), to);
    show_listeners(json_object_get(reply, "listeners"), to);
    show_peers(json_object_get(reply, "peers"), to);
    show_forwards(json_object_get(reply, "forwards"), to);
    show_sites(json_object_get(reply, "sites"), to);
}

bool relayctl_tunnels_up(const struct json_t *reply)
{
    const json_t *tunnels = json_object_get(reply, "tunnels"), *tunnel;
    size_t i;

    json_array_foreach(tunnels, i, tunnel)
    {
        const char *state = json_string_value(json_object_get(tunnel, "state"));

        if (!state || strcmp(state, "up") != 0)
            return false;
    }
    return json_array_size(tunnels) > 0;
}

/* ---------------------------------------------------------------- stats */

static const char *explanation(const char *name)
{
    for (int i = 0; i < VERDICT_COUNT; i++) {
        if (strcmp(verdict_name((enum verdict)i), name) == 0)
            return verdict_text((enum verdict)i);
    }
    return "(a verdict that this relayctl does not know)";
}

static void show_count(FILE *to, const char *name, int64_t n, const char *text)
{
    char clean[32];

    snprintf(clean, sizeof(clean), "%s", name);
    relayctl_clean(clean);
    fprintf(to, "  %-16s %12lld%s%s\n", clean, (long long)n, text[0] ? "  " : "", text);
}

/* Those that are not zero; returns the sum of all. */
static int64_t show_verdicts(const json_t *verdicts, FILE *to)
{
    const char *name;
    json_t *value;
    uint64_t sum = 0;

    /* jansson iterates over what is not const only. */
    json_object_foreach((json_t *)(uintptr_t)verdicts, name, value)
    {
        int64_t n = json_integer_value(value);

        if (n != 0)
            show_count(to, name, n, explanation(name));
        sum += (uint64_t)n;
    }
    return (int64_t)sum;
}

/* Every packet that was received has one verdict or waits: if not, packets went missing. */
static void show_place(const json_t *place, FILE *to)
{
    int64_t received = relayctl_number_of(place, "received"),
            queued = relayctl_number_of(place, "queued"), sum;
    char name[RELAYCTL_CELL_SIZE], text[64] = "as received";

    fprintf(to, "%s\n", relayctl_text_of(json_object_get(place, "place"), name, sizeof(name)));
    show_count(to, "received", received, "");
    sum = show_verdicts(json_object_get(place, "verdicts"), to);
    sum = (int64_t)((uint64_t)sum + (uint64_t)queued);
    if (queued != 0)
        show_count(to, "queued", queued, "waiting for the tunnel");
    if (sum != received)
        snprintf(text, sizeof(text), "WRONG: %lld were received", (long long)received);
    show_count(to, "sum", sum, text);
}

static void show_counters(json_t *counters, FILE *to)
{
    const char *name;
    json_t *value;

    json_object_foreach(counters, name, value)
    {
        char clean[RELAYCTL_CELL_SIZE];

        snprintf(clean, sizeof(clean), "%s", name);
        relayctl_clean(clean);
        fprintf(to, "  %-28s %12" JSON_INTEGER_FORMAT "\n", clean, json_integer_value(value));
    }
}

static void show_forward_counters(const json_t *forward, FILE *to)
{
    char name[RELAYCTL_CELL_SIZE];

    fprintf(to, "forward %s\n",
            relayctl_text_of(json_object_get(forward, "name"), name, sizeof(name)));
    show_counters(json_object_get(forward, "counters"), to);
}

void relayctl_show_stats(const struct json_t *reply, FILE *to)
{
    const json_t *places = json_object_get(reply, "places"), *place;
    const json_t *forwards = json_object_get(reply, "forwards"), *forward;
    json_t *counters = json_object_get(reply, "counters");
    size_t i;

    json_array_foreach(places, i, place) show_place(place, to);
    json_array_foreach(forwards, i, forward) show_forward_counters(forward, to);
    if (json_object_size(counters) == 0)
        return;
    fprintf(to, "counters\n");
    show_counters(counters, to);
}

/* ---------------------------------------------------------------- security associations */

/* Where packets have shown what the sender sends from, that; else what was said of it. */
static const char *source_text(const json_t *sa, char *out, size_t size)
{
    const json_t *bound = json_object_get(sa, "bound"), *source = json_object_get(sa, "source");
    char text[RELAYCTL_CELL_SIZE];

    if (json_is_string(bound) || !json_is_false(json_object_get(sa, "source_bound")))
        return relayctl_text_of(json_is_string(bound) ? bound : source, out, size);
    if (!json_is_string(source))
        source = json_object_get(sa, "hint");
    snprintf(out, size, "%s (not bound)",
             json_is_string(source) ? relayctl_text_of(source, text, sizeof(text)) : "any");
    return out;
}

static const char *destination_text(const json_t *sa, char *out, size_t size)
{
    const json_t *destination = json_object_get(sa, "destination");

    if (json_is_string(destination) || !json_is_true(json_object_get(sa, "destination_learned")))
        return relayctl_text_of(destination, out, size);
    snprintf(out, size, "learned");
    return out;
}

static void add_sa(struct relayctl_table *table, const json_t *sa)
{
    char text[RELAYCTL_CELL_SIZE];
    const char *home = json_object_get(sa, "site") ? "site" : "dmz";

    relayctl_add_member(table, sa, "id");
    relayctl_add_member(table, sa, "side");
    relayctl_add_member(table, sa, home);
    relayctl_add(table, source_text(sa, text, sizeof(text)));
    relayctl_add(table, destination_text(sa, text, sizeof(text)));
    relayctl_add(table, ssrcs_text(json_object_get(sa, "ssrc"), text, sizeof(text)));
    relayctl_add_hex(table, sa, "label");
    relayctl_add_member(table, sa, "suite");
    relayctl_add_member(table, sa, "packets");
    relayctl_add_octets(table, sa, "octets");
    relayctl_add_member(table, sa, "dropped");
    relayctl_add_duration(table, sa, "last_packet");
    relayctl_add_member(table, sa, "state");
    relayctl_add_member(table, sa, "call_id");
}

static int compare_ids(const void *a, const void *b)
{
    json_int_t first = json_integer_value(json_object_get(*(json_t *const *)a, "id"));
    json_int_t second = json_integer_value(json_object_get(*(json_t *const *)b, "id"));

    return (first > second) - (first < second);
}

/* The daemon gives them in the order of its table, which means nothing to a reader. */
static void add_sorted(struct relayctl_table *table, const json_t *list)
{
    size_t count = json_array_size(list), i;
    json_t **sas = calloc(count, sizeof(*sas)), *sa;

    json_array_foreach(list, i, sa)
    {
        if (sas)
            sas[i] = sa;
        else
            add_sa(table, sa);
    }
    if (sas)
        qsort(sas, count, sizeof(*sas), compare_ids);
    for (i = 0; sas && i < count; i++)
        add_sa(table, sas[i]);
    free(sas);
}

void relayctl_show_sa_list(const struct json_t *reply, FILE *to)
{
    static const struct relayctl_column columns[] = {
        {"ID", true},           {"SIDE", false},  {"PAIR", false},   {"SOURCE", false},
        {"DESTINATION", false}, {"SSRC", false},  {"LABEL", false},  {"SUITE", false},
        {"PACKETS", true},      {"OCTETS", true}, {"DROPPED", true}, {"LAST", true},
        {"STATE", false},       {"CALL", false},  {NULL, false},
    };
    const json_t *list = json_object_get(reply, "sas");
    struct relayctl_table table = relayctl_table_of(columns);

    if (json_array_size(list) == 0) {
        fprintf(to, "no security associations\n");
        return;
    }
    add_sorted(&table, list);
    relayctl_table_print(&table, to);
}

enum field_kind {
    FIELD_PLAIN,
    FIELD_KNOWN,   /* left out when it is null */
    FIELD_LEARNED, /* left out when it is false */
    FIELD_HEX,
    FIELD_SSRCS,
    FIELD_OCTETS,
    FIELD_AGO,
    FIELD_LEFT,
    FIELD_DATE,
    FIELD_RATE,
    FIELD_TIMEOUT
};

/* What "sa show" prints, in this order; a member that the daemon does not send is left out. */
struct field {
    const char *name, *title;
    enum field_kind kind;
};

static const struct field fields[] = {
    {"id", "id", FIELD_PLAIN},
    {"generation", "generation", FIELD_PLAIN},
    {"state", "state", FIELD_PLAIN},
    {"refused", "refused because", FIELD_PLAIN},
    {"created", "created", FIELD_DATE},
    {"call_id", "call", FIELD_PLAIN},
    {"site", "site", FIELD_PLAIN},
    {"dmz", "dmz-relay", FIELD_PLAIN},
    {"side", "sender's side", FIELD_PLAIN},
    {"to_side", "goes to side", FIELD_PLAIN},
    {"listener", "listener", FIELD_PLAIN},
    {"source", "source RTP", FIELD_PLAIN},
    {"source_rtcp", "source RTCP", FIELD_PLAIN},
    {"source_mux", "source mux", FIELD_PLAIN},
    {"source_policy", "source policy", FIELD_KNOWN},
    {"hint", "source hint", FIELD_KNOWN},
    {"source_bound", "source bound", FIELD_KNOWN},
    {"bound", "bound RTP", FIELD_KNOWN},
    {"bound_rtcp", "bound RTCP", FIELD_KNOWN},
    {"encap_in", "encapsulation in", FIELD_PLAIN},
    {"to_listener", "leaves from", FIELD_PLAIN},
    {"destination", "destination RTP", FIELD_PLAIN},
    {"destination_rtcp", "destination RTCP", FIELD_PLAIN},
    {"destination_mux", "destination mux", FIELD_PLAIN},
    {"destination_learned", "destination", FIELD_LEARNED},
    {"encap_out", "encapsulation out", FIELD_PLAIN},
    {"suite", "suite", FIELD_PLAIN},
    {"key", "key", FIELD_PLAIN},
    {"mki", "MKI", FIELD_PLAIN},
    {"lifetime", "packets left", FIELD_PLAIN},
    {"old_key", "key before", FIELD_LEFT},
    {"ssrc", "SSRC", FIELD_SSRCS},
    {"label", "label", FIELD_HEX},
    {"reverse", "other direction", FIELD_PLAIN},
    {"rate", "most rate", FIELD_RATE},
    {"media_timeout", "media timeout", FIELD_TIMEOUT},
    {"packets", "packets", FIELD_PLAIN},
    {"octets", "octets", FIELD_OCTETS},
    {"dropped", "dropped", FIELD_PLAIN},
    {"last_packet", "last packet", FIELD_AGO},
    {NULL, NULL, FIELD_PLAIN},
};

/* At the inner-relay: what the dmz-relay says of the same SA. */
static const struct field far_fields[] = {
    {"reported", "reported", FIELD_AGO},
    {"source", "hears RTP from", FIELD_PLAIN},
    {"source_rtcp", "hears RTCP from", FIELD_PLAIN},
    {"packets", "packets", FIELD_PLAIN},
    {"octets", "octets", FIELD_OCTETS},
    {"dropped", "dropped", FIELD_PLAIN},
    {"last_packet", "last packet", FIELD_AGO},
    {NULL, NULL, FIELD_PLAIN},
};

static const char *date_text(const json_t *value, char *out, size_t size)
{
    time_t seconds = (time_t)json_integer_value(value);
    struct tm tm;

    if (!json_is_integer(value) || !gmtime_r(&seconds, &tm) ||
        strftime(out, size, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
        return relayctl_text_of(value, out, size);
    return out;
}

static const char *field_text(const json_t *value, enum field_kind kind, char *out, size_t size)
{
    int64_t number = relayctl_whole(value);

    if (kind == FIELD_LEARNED)
        return "learned";
    if (kind == FIELD_SSRCS)
        return ssrcs_text(value, out, size);
    if (kind == FIELD_DATE)
        return date_text(value, out, size);
    if (kind == FIELD_TIMEOUT && json_is_null(value))
        return "by its call";
    if (!json_is_number(value))
        return relayctl_text_of(value, out, size);
    if (kind == FIELD_HEX)
        return relayctl_hex_text(number, out, size);
    if (kind == FIELD_OCTETS)
        return relayctl_octets_text(number, out, size);
    if (kind == FIELD_TIMEOUT && number == UINT32_MAX) /* of an older daemon */
        return "by its call";
    if (kind == FIELD_AGO || kind == FIELD_LEFT || (kind == FIELD_TIMEOUT && number != 0))
        return relayctl_duration_text(number, out, size);
    if (kind == FIELD_TIMEOUT)
        return "never";
    relayctl_text_of(value, out, size);
    if (kind == FIELD_RATE)
        snprintf(out + strlen(out), size - strlen(out), " kbit/s");
    return out;
}

/* What stands behind a number. */
static const char *field_tail(const json_t *value, enum field_kind kind)
{
    if (!json_is_number(value))
        return "";
    return kind == FIELD_AGO ? " ago" : kind == FIELD_LEFT ? " more" : "";
}

static bool is_left_out(const json_t *value, enum field_kind kind)
{
    return kind == FIELD_KNOWN ? json_is_null(value)
                               : kind == FIELD_LEARNED && !json_is_true(value);
}

static void show_fields(const struct field *list, const json_t *sa, FILE *to)
{
    for (; list->name; list++) {
        const json_t *value = json_object_get(sa, list->name);
        char text[RELAYCTL_CELL_SIZE];

        if (value && !is_left_out(value, list->kind))
            fprintf(to, "%-18s %s%s\n", list->title,
                    field_text(value, list->kind, text, sizeof(text)),
                    field_tail(value, list->kind));
    }
}

/* "auth-fail, from 192.0.2.7:4000, 3 s ago", "unreachable, to 10.0.0.7:4000, 3 s ago" */
static void show_stray(const json_t *stray, FILE *to)
{
    char verdict[RELAYCTL_CELL_SIZE], from[RELAYCTL_CELL_SIZE], age[RELAYCTL_CELL_SIZE];
    bool sent; /* it was on its way out */

    if (!json_is_object(stray))
        return;
    relayctl_text_of(json_object_get(stray, "verdict"), verdict, sizeof(verdict));
    relayctl_text_of(json_object_get(stray, "from"), from, sizeof(from));
    relayctl_duration_text(relayctl_whole(json_object_get(stray, "age")), age, sizeof(age));
    sent = strcmp(verdict, verdict_name(VERDICT_UNREACHABLE)) == 0 ||
           strcmp(verdict, verdict_name(VERDICT_SOCKET_FULL)) == 0;
    fprintf(to, "%-18s %s, %s %s, %s ago\n", "last dropped", verdict, sent ? "to" : "from",
            strcmp(from, "-") == 0 ? "the tunnel" : from, age);
}

static void show_streams(const json_t *streams, FILE *to)
{
    static const struct relayctl_column columns[] = {
        {"SSRC", false}, {"ORIGIN", false}, {"ROC", true},      {"HIGHEST", true},
        {"LOST", true},  {"JITTER", true},  {"RECEIVED", true}, {NULL, false},
    };
    struct relayctl_table table = relayctl_table_of(columns);
    const json_t *stream;
    size_t i;

    if (json_array_size(streams) == 0)
        return;
    json_array_foreach(streams, i, stream)
    {
        relayctl_add_hex(&table, stream, "ssrc");
        relayctl_add_member(&table, stream, "origin");
        relayctl_add_member(&table, stream, "roc");
        relayctl_add_member(&table, stream, "highest");
        relayctl_add_member(&table, stream, "lost");
        relayctl_add_member(&table, stream, "jitter");
        relayctl_add_member(&table, stream, "received");
    }
    fprintf(to, "\n");
    relayctl_table_print(&table, to);
}

/* One end of a stream. */
static void show_end(const struct field *list, const json_t *end, FILE *to)
{
    const json_t *verdicts = json_object_get(end, "verdicts");

    show_fields(list, end, to);
    show_stray(json_object_get(end, "stray"), to);
    show_streams(json_object_get(end, "streams"), to);
    if (json_object_size(verdicts) == 0)
        return;
    fprintf(to, "\nverdicts\n");
    show_verdicts(verdicts, to);
}

void relayctl_show_sa(const struct json_t *reply, FILE *to)
{
    const json_t *sa = json_object_get(reply, "sa"), *far = json_object_get(sa, "far");

    show_end(fields, sa, to);
    if (!far)
        return;
    fprintf(to, "\nat the dmz-relay\n");
    if (json_is_object(far))
        show_end(far_fields, far, to);
    else
        fprintf(to, "nothing reported yet\n");
}

void relayctl_show_sa_added(const struct json_t *reply, FILE *to)
{
    char id[RELAYCTL_CELL_SIZE], label[RELAYCTL_CELL_SIZE], rtp[RELAYCTL_CELL_SIZE],
        rtcp[RELAYCTL_CELL_SIZE];
    const json_t *assigned = json_object_get(reply, "ssrc");

    fprintf(to, "SA %s added, label %s\n",
            relayctl_text_of(json_object_get(reply, "id"), id, sizeof(id)),
            relayctl_hex_text(relayctl_number_of(reply, "label"), label, sizeof(label)));
    if (json_is_integer(assigned))
        fprintf(to, "the sender must use SSRC %" JSON_INTEGER_FORMAT " (%s)\n",
                json_integer_value(assigned),
                relayctl_hex_text(relayctl_whole(assigned), label, sizeof(label)));
    if (!json_is_string(json_object_get(reply, "send_to"))) {
        fprintf(to, "where the sender must send to is not known yet: the tunnel is not up\n");
        return;
    }
    fprintf(to, "the sender must send RTP to %s",
            relayctl_text_of(json_object_get(reply, "send_to"), rtp, sizeof(rtp)));
    if (json_is_string(json_object_get(reply, "send_rtcp_to")))
        fprintf(to, " and RTCP to %s",
                relayctl_text_of(json_object_get(reply, "send_rtcp_to"), rtcp, sizeof(rtcp)));
    fprintf(to, "\n");
}

void relayctl_show_sa_rekeyed(const struct json_t *reply, FILE *to)
{
    char generation[RELAYCTL_CELL_SIZE];

    fprintf(to, "rekeyed, generation %s\n",
            relayctl_text_of(json_object_get(reply, "generation"), generation, sizeof(generation)));
}

void relayctl_show_sa_deleted(const struct json_t *reply, FILE *to)
{
    const json_t *call_id = json_object_get(reply, "call_id");
    char text[RELAYCTL_CELL_SIZE];

    fprintf(to, "deleted\n");
    if (json_is_string(call_id))
        fprintf(to,
                "Its call %s goes on without it until the next offer and answer in it; \"relayctl "
                "call end\" ends it.\n",
                relayctl_text_of(call_id, text, sizeof(text)));
}

/* ---------------------------------------------------------------- explain */

/* The whole of it: sentences are longer than a cell. */
static void show_sentence(const char *title, const json_t *value, FILE *to)
{
    char text[2 * RELAYCTL_CELL_SIZE];

    if (json_string_length(value) > 0)
        fprintf(to, "%s%s\n", title, relayctl_text_of(value, text, sizeof(text)));
}

/* other: of a daemon that does not say. */
static const char *side_text(const json_t *direction, const char *name, const char *other)
{
    const char *side = json_string_value(json_object_get(direction, name));

    return strcmp(side ? side : other, "internal") == 0 ? "inside" : "outside";
}

static void show_direction(const json_t *direction, bool alone, FILE *to)
{
    const json_t *hops = json_object_get(direction, "hops"), *hop;
    const char *from = side_text(direction, "side", "external");
    char id[RELAYCTL_CELL_SIZE], cause[RELAYCTL_CELL_SIZE];
    size_t i;

    fprintf(to, "\nSA %s, from %s to %s: %s\n",
            relayctl_text_of(json_object_get(direction, "id"), id, sizeof(id)), from,
            side_text(direction, "to_side", strcmp(from, "inside") == 0 ? "external" : "internal"),
            relayctl_text_of(json_object_get(direction, "cause"), cause, sizeof(cause)));
    if (!alone)
        show_sentence("  ", json_object_get(direction, "text"), to);
    json_array_foreach(hops, i, hop) show_sentence("  - ", hop, to);
}

/* The cause comes first. */
void relayctl_show_explain(const struct json_t *reply, FILE *to)
{
    const json_t *directions = json_object_get(reply, "directions"), *direction;
    size_t i;

    show_sentence("", json_object_get(reply, "text"), to);
    show_sentence("Check first: ", json_object_get(reply, "check"), to);
    json_array_foreach(directions, i, direction)
        show_direction(direction, json_array_size(directions) == 1, to);
}

/* ---------------------------------------------------------------- reload, debug */

static void show_names(const json_t *names, const char *title, FILE *to)
{
    const json_t *name;
    size_t i;

    json_array_foreach(names, i, name)
    {
        char text[RELAYCTL_CELL_SIZE];

        fprintf(to, "%s: %s\n", title, relayctl_text_of(name, text, sizeof(text)));
    }
}

void relayctl_show_reload(const struct json_t *reply, FILE *to)
{
    const json_t *changed = json_object_get(reply, "changed");
    const json_t *restart = json_object_get(reply, "restart_needed");

    if (json_array_size(changed) + json_array_size(restart) == 0)
        fprintf(to, "read again, nothing changed\n");
    show_names(changed, "changed", to);
    show_names(restart, "needs a restart", to);
}

void relayctl_show_debug(const struct json_t *reply, FILE *to)
{
    char text[RELAYCTL_CELL_SIZE];

    fprintf(to, "level: %s\n",
            relayctl_text_of(json_object_get(reply, "level"), text, sizeof(text)));
}
