/* What relayctl may ask of the dmz-relay. */
#include <stdio.h>

#include "common/daemon/report.h"
#include "common/sa/table.h"
#include "dmz-relay/relay.h"

struct collected {
    unsigned site;
    struct report_tunnel *row;
};

static void collect(struct dmz_link *link, void *ctx)
{
    const struct collected *collected = ctx;

    if (link->site == collected->site && collected->row->media_count < MEDIA_MAX)
        collected->row->media[collected->row->media_count++] = link->conn;
}

/* Those of pairs that are not there any more have neither a stream nor a carrier. */
static void collect_ways(const struct dmz_site *site, struct report_tunnel *row)
{
    if (site->chooses)
        row->ways[row->ways_count++] = &site->ways;
    for (unsigned i = 0; !site->chooses && i < WORKERS_MAX; i++) {
        if (site->pairs[i] && ways_are_there(site->pairs[i]))
            row->ways[row->ways_count++] = site->pairs[i];
    }
}

static json_t *tunnel_row(const struct daemon *daemon, struct dmz *core, unsigned number)
{
    const struct dmz_site *site = &core->sites[number];
    struct report_tunnel row = {.name = site->name,
                                .state = site->link ? "up" : "down",
                                .sync = "none",
                                .last_error = site->last_error,
                                .engine = site->engine,
                                .changed_us = site->changed_us,
                                .connects = site->connects,
                                .sas = table_count_owner(core->table, number),
                                .conn = site->link ? site->link->conn : NULL,
                                .raw_reason = daemon->raw_reason};
    struct collected collected = {number, &row};

    if (site->link)
        collect_ways(site, &row);
    if (site->link && site->replica.syncing)
        row.sync = site->replica.kind == SYNC_DELTA ? "delta" : "snapshot";
    else if (site->link && site->replica.epoch)
        row.sync = "synced";
    dmz_media_each(core, collect, &collected);
    return report_tunnel(&row);
}

static json_t *on_status(void *ctx, const json_t *request)
{
    struct dmz *core = &relay_of(ctx)->core;
    json_t *tunnels = json_array(), *reply;

    (void)request;
    daemon_gather(ctx);
    reply = report_status(ctx, core->listeners, core->listener_count, table_count(core->table),
                          table_max(core->table));
    for (unsigned i = 0; i < core->site_count; i++)
        json_array_append_new(tunnels, tunnel_row(ctx, core, i));
    json_object_set_new(reply, "srtp_engine", json_string(core->options.engine_name));
    json_object_set_new(reply, "peers", report_peers(&core->peers));
    json_object_set_new(reply, "forwards", report_forwards(relay_of(ctx)->forwards, false));
    json_object_set_new(reply, "tunnels", tunnels);
    return reply;
}

static void add_sites(json_t *counters, const struct exchange *exchange)
{
    const struct exchange_counts *counts = exchange_counts(exchange);

    json_object_set_new(counters, "site_frames", json_integer((json_int_t)counts->frames));
    json_object_set_new(counters, "site_octets", json_integer((json_int_t)counts->octets));
    json_object_set_new(counters, "site_refused", json_integer((json_int_t)counts->refused));
    json_object_set_new(counters, "site_unknown", json_integer((json_int_t)counts->unknown));
    json_object_set_new(counters, "site_offline", json_integer((json_int_t)counts->offline));
}

static json_t *on_stats(void *ctx, const json_t *request)
{
    const struct relay *relay = relay_of(ctx);
    const struct dmz *core = &relay->core;
    json_t *places = json_array(), *reply;
    char place[SITE_SIZE + 16];
    uint64_t unknown = 0;

    (void)request;
    daemon_gather(ctx);
    report_add_listeners(places, core->listeners, core->listener_count);
    for (size_t i = 0; i < core->site_count; i++) {
        snprintf(place, sizeof(place), "tunnel %s", core->sites[i].name);
        json_array_append_new(places, report_place(place, &core->sites[i].counts));
    }
    for (size_t i = 0; i < core->site_count; i++)
        unknown += core->sites[i].streams.unknown;
    json_array_append_new(places, report_place("own address", &core->own));
    json_array_append_new(places, report_place("hairpin", &core->hairpin));
    reply = report_stats(ctx, places);
    report_add_budget(reply, core->budget);
    json_object_set_new(reply, "forwards", report_forwards(relay_of(ctx)->forwards, true));
    json_object_set_new(json_object_get(reply, "counters"), "connections_turned_away",
                        json_integer((json_int_t)acceptor_turned_away(relay->acceptor)));
    json_object_set_new(json_object_get(reply, "counters"), "streams_unknown",
                        json_integer((json_int_t)unknown));
    add_sites(json_object_get(reply, "counters"), core->exchange);
    return reply;
}

static const char *site_name(const void *ctx, unsigned owner)
{
    const struct dmz *core = ctx;

    return core->sites[owner].name;
}

static json_t *on_sa_list(void *ctx, const json_t *request)
{
    const struct dmz *core = &relay_of(ctx)->core;

    return report_sa_list(core->table, request, "site", site_name, core);
}

/* Ids are a site's own: the first site that has it is shown. */
static json_t *on_sa_show(void *ctx, const json_t *request)
{
    const struct dmz *core = &relay_of(ctx)->core;
    const struct sa *sa = NULL;
    json_t *refusal;
    uint64_t id;

    if (!report_get_id(request, &id, &refusal))
        return refusal;
    for (unsigned i = 0; i < core->site_count && !sa; i++)
        sa = table_by_id(core->table, i, id);
    return report_sa_show(core->table, sa, id, "site", sa ? core->sites[sa->owner].name : "");
}

static json_t *not_here(void *ctx, const json_t *request)
{
    (void)ctx;
    (void)request;
    return control_refuse(NULL,
                          "SAs are added, changed and deleted at the inner-relay, which owns them");
}

static json_t *not_all(void *ctx, const json_t *request)
{
    (void)ctx;
    (void)request;
    return control_refuse(NULL, "the inner-relay explains: it knows what both relays see");
}

static json_t *no_calls(void *ctx, const json_t *request)
{
    (void)ctx;
    (void)request;
    return control_refuse(NULL, "calls are the inner-relay's: ask there");
}

const struct control_command relay_commands[] = {
    {"status", on_status},
    {"stats", on_stats},
    {"sa-list", on_sa_list},
    {"sa-show", on_sa_show},
    {"sa-add", not_here},
    {"sa-delete", not_here},
    {"explain", not_all},
    {"sa-rekey", not_here},
    {"reload", report_reload},
    {"debug", report_debug},
    {"call-list", no_calls},
    {"call-show", no_calls},
    {"call-end", no_calls},
    {"call-place", no_calls},
    {"call-answer", no_calls},
    {"call-refuse", no_calls},
    {"call-wait", no_calls},
    {"call-state", no_calls},
    {NULL, NULL},
};
