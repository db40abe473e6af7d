#include "dmz-relay/settings.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static const struct conf_section sections[] = {
    SETTINGS_NAMED(dmz_settings, "listener", listeners, listener_count, 1, SETTINGS_LISTENERS_MAX),
    SETTINGS_NAMED(dmz_settings, "peer", peers, peer_count, 0, PEERS_MAX),
    SETTINGS_NAMED(dmz_settings, "forward", forwards, forward_count, 0, SETTINGS_FORWARDS_MAX),
    SETTINGS_SECTION(dmz_settings, "tunnel", tunnel),
    SETTINGS_NAMED(dmz_settings, "site", sites, site_count, 0, DMZ_SITES_SETTINGS_MAX),
    SETTINGS_SECTION(dmz_settings, "networks", networks),
    SETTINGS_SECTION(dmz_settings, "srtp", srtp),
    SETTINGS_SECTION(dmz_settings, "limits", limits),
    SETTINGS_SECTION(dmz_settings, "control", control),
    SETTINGS_SECTION(dmz_settings, "log", log),
    SETTINGS_SECTION(dmz_settings, "daemon", daemon),
    {.name = NULL},
};

static const struct conf_key keys[] = {
    SETTINGS_LISTENER_KEYS,
    SETTINGS_PEER_KEYS,
    SETTINGS_FORWARD_KEYS("site"),
    SETTINGS_ROW("tunnel", "listen", CONF_ADDR, dmz_tunnel_settings, listen, 0, 0, NULL, false),
    SETTINGS_ROW("tunnel", "sites", CONF_NAMES, dmz_tunnel_settings, sites, 1, 0, NULL, false),
    SETTINGS_TUNNEL_KEYS,
    SETTINGS_ROW("tunnel", "stale-hold", CONF_MSEC, dmz_tunnel_settings, stale_hold_us, 0, 86400000,
                 "5min", true),
    SETTINGS_ROW("tunnel", "max-handshakes", CONF_UINT, dmz_tunnel_settings, max_handshakes, 1,
                 1024, "64", false),
    SETTINGS_ROW("site", "call-from", CONF_NAMES, dmz_site_settings, call_from, 0, 0, "", true),
    SETTINGS_NETWORKS_KEYS,
    SETTINGS_SRTP_KEYS,
    SETTINGS_ROW("limits", "max-sas", CONF_UINT, dmz_limits_settings, max_sas, 1, 1000000, "20000",
                 false),
    SETTINGS_ROW("limits", "site-quota", CONF_UINT, dmz_limits_settings, site_quota, 1, 1000000,
                 "20000", true),
    SETTINGS_CONTROL_KEYS("dmz-relay"),
    SETTINGS_LOG_KEYS,
    SETTINGS_DAEMON_KEYS,
    {.name = NULL},
};

/* -1: there is none of this name. */
static int find_site(const struct dmz_settings *settings, const char *name)
{
    const struct conf_names *sites = &settings->tunnel.sites;

    for (size_t i = 0; i < sites->count; i++) {
        if (strcasecmp(sites->name[i], name) == 0)
            return (int)i;
    }
    return -1;
}

/* Names of sections are as they are written, those of sites in lower case. */
static bool is_site(const void *conf, const char *name)
{
    const struct dmz_settings *settings = conf;
    int found = find_site(settings, name);

    return found >= 0 && strcmp(settings->tunnel.sites.name[found], name) == 0;
}

uint64_t dmz_callers(const struct dmz_settings *settings, unsigned site)
{
    uint64_t callers = 0;

    for (size_t i = 0; i < settings->site_count; i++) {
        const struct dmz_site_settings *one = &settings->sites[i];

        if (find_site(settings, one->name) != (int)site)
            continue;
        for (size_t k = 0; k < one->call_from.count; k++) {
            int caller = find_site(settings, one->call_from.name[k]);

            /* After a reload it may be one that comes with the next restart. */
            if (caller >= 0)
                callers |= UINT64_C(1) << caller;
        }
    }
    return callers;
}

static int check_site(const struct dmz_settings *settings, const struct dmz_site_settings *site,
                      struct conf_complaint *complaint)
{
    char section[sizeof(complaint->section)];

    snprintf(section, sizeof(section), "site %s", site->name);
    if (find_site(settings, site->name) < 0)
        return settings_complain(complaint, section, "call-from",
                                 "[tunnel] sites has no such site; one of them would be right");
    for (size_t i = 0; i < site->call_from.count; i++) {
        const char *name = site->call_from.name[i];

        if (strcasecmp(name, site->name) == 0)
            return settings_complain(complaint, section, "call-from",
                                     "a site does not call itself; other sites would be right");
        if (find_site(settings, name) < 0)
            return settings_complain(complaint, section, "call-from",
                                     "%.100s is none of [tunnel] sites; one of them would be right",
                                     name);
    }
    return 0;
}

static int check_sites(const struct dmz_settings *settings, struct conf_complaint *complaint)
{
    int code = 0;

    for (size_t i = 0; code == 0 && i < settings->site_count; i++)
        code = check_site(settings, &settings->sites[i], complaint);
    return code;
}

static int check(const void *conf, struct conf_complaint *complaint)
{
    const struct dmz_settings *settings = conf;
    enum addr_kind kind = addr_kind(&settings->tunnel.listen);
    int code;

    if (kind == ADDR_MULTICAST || kind == ADDR_BROADCAST)
        return settings_complain(complaint, "tunnel", "listen",
                                 "the address is %s; one of this host's own would be right",
                                 addr_kind_text(kind));
    code = settings_check_listeners(settings->listeners, settings->listener_count, complaint);
    if (code == 0)
        code = settings_check_networks(&settings->networks, complaint);
    if (code == 0)
        code = settings_check_peers(settings->peers, settings->peer_count, settings->listeners,
                                    settings->listener_count, &settings->networks, complaint);
    if (code == 0)
        code = check_sites(settings, complaint);
    return code < 0 ? code
                    : settings_check_forwards(settings->forwards, settings->forward_count, "site",
                                              is_site, settings->tunnel.sites.count, settings,
                                              complaint);
}

const struct conf_schema dmz_schema = {
    .sections = sections,
    .keys = keys,
    .size = sizeof(struct dmz_settings),
    .check = check,
};
