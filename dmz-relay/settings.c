#include "dmz-relay/settings.h"

#include <string.h>

static const struct conf_section sections[] = {
    SETTINGS_NAMED(dmz_settings, "listener", listeners, listener_count, 1, SETTINGS_LISTENERS_MAX),
    SETTINGS_NAMED(dmz_settings, "peer", peers, peer_count, 0, PEERS_MAX),
    SETTINGS_NAMED(dmz_settings, "forward", forwards, forward_count, 0, SETTINGS_FORWARDS_MAX),
    SETTINGS_SECTION(dmz_settings, "tunnel", tunnel),
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

static bool is_site(const void *conf, const char *name)
{
    const struct conf_names *sites = &((const struct dmz_settings *)conf)->tunnel.sites;
    size_t i = 0;

    while (i < sites->count && strcmp(sites->name[i], name) != 0)
        i++;
    return i < sites->count;
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
