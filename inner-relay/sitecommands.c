#include "inner-relay/sitecommands.h"

#include <string.h>

#include "common/base/clock.h"
#include "common/base/err.h"
#include "inner-relay/bypass.h"
#include "inner-relay/callreport.h"
#include "inner-relay/relay.h"

/* ------------------------------------------------------------ requests */

static const char *text_of(const json_t *request, const char *name)
{
    const char *text = json_string_value(json_object_get(request, name));

    return text ? text : "";
}

/* NULL with *refusal. */
static struct sitecall *find_call(const struct relay *relay, const json_t *request,
                                  json_t **refusal)
{
    struct sitecall *call = sitecalls_find(relay->sitecalls, text_of(request, "call_id"));

    if (!call)
        *refusal = control_refuse("call_id", "there is no call between sites with this Call-ID "
                                             "(any more); \"relayctl call list\" shows calls");
    return call;
}

static const char *get_sdp(const json_t *request, size_t *length, json_t **refusal)
{
    const json_t *sdp = json_object_get(request, "sdp");

    *length = json_string_length(sdp);
    if (*length > 0)
        return json_string_value(sdp);
    *refusal = control_refuse("sdp", "SDP of who is inside is needed");
    return NULL;
}

static json_t *text_or_null(const char *text, size_t length)
{
    return text ? json_stringn(text, length) : json_null();
}

static json_t *describe(const struct sitecall *call)
{
    return json_pack("{s:b,s:o,s:s,s:s,s:s,s:o,s:o}", "ok", 1, "call_id",
                     callreport_text(call->call_id), "site", call->site_name, "direction",
                     call->side == SITES_OURS ? "to" : "from", "state", sitecall_state_name(call),
                     "reason", callreport_text(call->reason), "sdp",
                     text_or_null(call->sdp, call->sdp_length));
}

json_t *sitecommands_place(void *ctx, const json_t *request)
{
    struct relay *relay = relay_of(ctx);
    struct site *site = sites_find(relay->sites, text_of(request, "site"));
    struct call_error error = {0};
    struct sitecall *call;
    json_t *refusal = NULL;
    const char *sdp;
    size_t length;

    if (!site)
        return control_refuse("site", "the ini file has no [site NAME] of this name");
    sdp = get_sdp(request, &length, &refusal);
    if (!sdp)
        return refusal;
    call = sitecalls_place(relay->sitecalls, site, sdp, length, clock_wall_us(), clock_now_us(),
                           &error);
    return call ? describe(call) : control_refuse(NULL, "%s", error.text);
}

json_t *sitecommands_answer(void *ctx, const json_t *request)
{
    struct relay *relay = relay_of(ctx);
    struct call_error error = {0};
    json_t *refusal = NULL;
    struct sitecall *call = find_call(relay, request, &refusal);
    size_t length;
    const char *sdp = call ? get_sdp(request, &length, &refusal) : NULL;

    if (!sdp)
        return refusal;
    if (sitecalls_answer(relay->sitecalls, call, sdp, length, clock_wall_us(), clock_now_us(),
                         &error) < 0)
        return control_refuse(NULL, "%s", error.text);
    return describe(call);
}

json_t *sitecommands_refuse(void *ctx, const json_t *request)
{
    struct relay *relay = relay_of(ctx);
    struct call_error error = {0};
    json_t *refusal = NULL;
    struct sitecall *call = find_call(relay, request, &refusal);

    if (!call)
        return refusal;
    if (sitecalls_refuse(relay->sitecalls, call, text_of(request, "reason"), clock_now_us(),
                         &error) < 0)
        return control_refuse(NULL, "%s", error.text);
    return describe(call);
}

json_t *sitecommands_wait(void *ctx, const json_t *request)
{
    struct relay *relay = relay_of(ctx);
    const struct sitecall *call;

    (void)request;
    if (sites_count(relay->sites) == 0)
        return control_refuse(NULL, "the ini file has no [site NAME]: nobody can call");
    call = sitecalls_next_ringing(relay->sitecalls);
    if (!call)
        return json_pack("{s:b,s:n}", "ok", 1, "call_id");
    return describe(call);
}

json_t *sitecommands_state(void *ctx, const json_t *request)
{
    json_t *refusal = NULL;
    const struct sitecall *call = find_call(relay_of(ctx), request, &refusal);

    return call ? describe(call) : refusal;
}

/* ------------------------------------------------------------ what others show */

/* Which way media to the site goes, where nothing goes past all relays. */
static struct bypass_view way_to(const struct relay *relay, const struct site *site)
{
    struct bypass_view view = {.by = NULL};
    int number = relay->core.bypass ? bypass_find(relay->core.bypass, site_name(site)) : -1;

    if (number >= 0)
        bypass_show(relay->core.bypass, (unsigned)number, &view);
    return view;
}

static void add_way(json_t *row, const struct relay *relay, const struct site *site)
{
    struct bypass_view view = way_to(relay, site);

    json_object_set_new(row, "media", json_string(view.by ? view.by->name : site_link(site)->name));
    json_object_set_new(row, "media_both", json_boolean(view.both));
    json_object_set_new(row, "media_rtt_ms",
                        view.by ? json_real((double)view.rtt_us / 1000) : json_null());
    json_object_set_new(row, "media_moves", json_integer((json_int_t)view.moves));
    json_object_set_new(row, "media_returns", json_integer((json_int_t)view.returns));
}

/* Which ways past the dmz-relay the ini file allows. */
static void add_settings(json_t *row, const struct inner_settings *settings,
                         const struct site *site)
{
    const struct site_settings *mine = inner_site(settings, site_name(site));

    json_object_set_new(row, "direct_to", json_boolean(mine && mine->direct_to.count > 0));
    json_object_set_new(row, "allow_spoofing", json_boolean(mine && mine->allow_spoofing));
}

json_t *sitecommands_report(const struct daemon *daemon)
{
    const struct relay *relay = relay_of(daemon);
    const struct sitemedia *sitemedia = relay->sitemedia;
    struct sites *sites = relay->sites;
    json_t *rows = json_array();

    for (size_t i = 0; sites && i < sites_count(sites); i++) {
        const struct site *site = sites_at(sites, i);
        size_t sas = sitemedia ? sitemedia_count(sitemedia, site) : 0;

        json_t *row = json_pack("{s:s,s:s,s:b,s:s,s:s,s:I,s:o}", "name", site_name(site), "dmz",
                                site_link(site)->name, "refuse", site_refuses(site), "ours",
                                site_session_state(site, SITES_OURS), "theirs",
                                site_session_state(site, SITES_THEIRS), "sas", (json_int_t)sas,
                                "last_error", callreport_text(site_error(site, SITES_OURS)));

        add_way(row, relay, site);
        add_settings(row, daemon->settings, site);
        json_object_set_new(row, "direct", meets_report(relay->meets, site_name(site)));
        json_object_set_new(row, "punch", punchings_report(relay->punchings, site_name(site)));
        json_array_append_new(rows, row);
    }
    return rows;
}

/* By a forwarder, where the others say no more than that it is not by them. */
static void add_path(json_t *row, const struct relay *relay, const struct site *site)
{
    struct bypass_view view = way_to(relay, site);
    const char *path;

    meets_add(row, relay->meets, site);
    punchings_add(row, relay->punchings, site);
    path = json_string_value(json_object_get(row, "path"));
    if (view.by && path && strcmp(path, "dmz-relay") == 0)
        json_object_set_new(row, "path", json_sprintf("forwarder %s", view.by->name));
}

/* Where its media goes to, or comes from; NULL: not to a site that is known. */
static const struct site *site_of(const struct relay *relay, const struct call *call)
{
    const struct site *site = NULL;

    if (!relay->sitemedia || sitemedia_held(relay->sitemedia) == 0)
        return NULL;
    for (unsigned p = 0; p < call->party_count && !site; p++) {
        const struct call_party *party = call->party[p];

        for (unsigned i = 0; i < party->line_count && !site; i++) {
            const struct sa *sa = table_by_id(relay->core.table, call->link, party->line[i].sa);

            site = sa ? sitemedia_find(relay->sitemedia, sa, NULL) : NULL;
        }
    }
    return site;
}

void sitecommands_add(json_t *row, const struct relay *relay, const struct call *call)
{
    const struct sitecall *placed =
        relay->sitecalls ? sitecalls_find(relay->sitecalls, call->call_id) : NULL;
    const struct site *site = placed ? NULL : site_of(relay, call);

    if (site)
        json_object_set_new(row, "site", json_string(site_name(site)));
    if (site || (placed && placed->site))
        add_path(row, relay, site ? site : placed->site);
    if (!placed)
        return;
    json_object_set_new(row, "site", json_string(placed->site_name));
    json_object_set_new(row, "direction", json_string(placed->side == SITES_OURS ? "to" : "from"));
    if (placed->state == SITECALL_PLACED || placed->state == SITECALL_RINGING)
        json_object_set_new(row, "state", json_string(sitecall_state_name(placed)));
}

bool sitecommands_end(struct relay *relay, const struct call *call)
{
    struct sitecall *between =
        relay->sitecalls ? sitecalls_find(relay->sitecalls, call->call_id) : NULL;

    if (!between || between->state == SITECALL_ENDED)
        return false;
    sitecalls_end(relay->sitecalls, between, "hung up", clock_now_us());
    return true;
}
