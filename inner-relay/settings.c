#include "inner-relay/settings.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/base/err.h"
#include "common/daemon/confvalue.h"
#include "common/daemon/secretfile.h"

static const struct conf_section sections[] = {
    SETTINGS_NAMED(inner_settings, "dmz", dmzs, dmz_count, 1, INNER_DMZS_MAX),
    SETTINGS_NAMED(inner_settings, "forwarder", forwarders, forwarder_count, 0,
                   INNER_FORWARDERS_MAX),
    SETTINGS_NAMED(inner_settings, "listener", listeners, listener_count, 1,
                   SETTINGS_LISTENERS_MAX),
    SETTINGS_NAMED(inner_settings, "peer", peers, peer_count, 0, PEERS_MAX),
    SETTINGS_NAMED(inner_settings, "forward", forwards, forward_count, 0, SETTINGS_FORWARDS_MAX),
    SETTINGS_SECTION(inner_settings, "tunnel", tunnel),
    SETTINGS_NAMED(inner_settings, "site", sites, site_count, 0, INNER_SITES_MAX),
    SETTINGS_SECTION(inner_settings, "networks", networks),
    SETTINGS_SECTION(inner_settings, "srtp", srtp),
    SETTINGS_SECTION(inner_settings, "learning", learning),
    SETTINGS_SECTION(inner_settings, "limits", limits),
    SETTINGS_SECTION(inner_settings, "signalling", signalling),
    SETTINGS_SECTION(inner_settings, "state", state),
    SETTINGS_SECTION(inner_settings, "control", control),
    SETTINGS_SECTION(inner_settings, "log", log),
    SETTINGS_SECTION(inner_settings, "daemon", daemon),
    {.name = NULL},
};

/* Of [dmz NAME] and [forwarder NAME]. The carriers in the order of enum inner_carrier. */
#define PEER_KEYS(section)                                                                         \
    SETTINGS_ROW(section, "address", CONF_HOSTPORT, dmz_peer_settings, address, 0, 0, NULL,        \
                 false),                                                                           \
        SETTINGS_ROW(section, "name", CONF_NAME, dmz_peer_settings, certificate_name, 0, 0, NULL,  \
                     false),                                                                       \
        SETTINGS_ROW(section, "proxy", CONF_TEXT, dmz_peer_settings, proxy, 0,                     \
                     SETTINGS_LINK_SIZE - 1, "", false),                                           \
        SETTINGS_PATH(section, "proxy-password-file", dmz_peer_settings, password_file, ""),       \
        SETTINGS_ROW(section, "via", CONF_TEXT, dmz_peer_settings, via, 1, INNER_VIA_SIZE - 1,     \
                     "connect, upgrade, http", false),                                             \
        SETTINGS_CHOICE(section, "carrier", dmz_peer_settings, carrier,                            \
                        "stream|unordered|raw|auto", "auto", false)

static const struct conf_key keys[] = {
    PEER_KEYS("dmz"),
    PEER_KEYS("forwarder"),
    SETTINGS_LISTENER_KEYS,
    SETTINGS_PEER_KEYS,
    SETTINGS_FORWARD_KEYS("dmz"),
    /* In the order of enum proxyline_version. */
    SETTINGS_CHOICE("forward", "proxy-protocol", forward_conf, proxy, "no|v1|v2", "no", false),
    SETTINGS_TUNNEL_KEYS,
    SETTINGS_ROW("site", "dmz", CONF_TEXT, site_settings, dmz, 0, NAME_SIZE - 1, "", true),
    SETTINGS_ROW("site", "ca", CONF_PATH, site_settings, ca, 0, SETTINGS_PATH_SIZE - 1, "", true),
    SETTINGS_ROW("site", "refuse", CONF_BOOL, site_settings, refuse, 0, 0, "no", true),
    SETTINGS_ROW("site", "ring-timeout", CONF_MSEC, site_settings, ring_us, 1000, 600000, "60s",
                 true),
    SETTINGS_ROW("site", "allow-spoofing", CONF_BOOL, site_settings, allow_spoofing, 0, 0, "no",
                 true),
    SETTINGS_ROW("site", "direct-to", CONF_NETS, site_settings, direct_to, 0, 0, "", true),
    SETTINGS_ROW("networks", "internal", CONF_NETS, networks_settings, internal, 1, 0, NULL, true),
    SETTINGS_NETWORKS_KEYS,
    SETTINGS_SRTP_KEYS,
    /* In the order of enum wire_view. */
    SETTINGS_CHOICE("srtp", "dmz-keys", inner_srtp_settings, dmz_keys, "verify-only|full|keyless",
                    "verify-only", false),
    /* In the order of enum learning_source and learning_ssrc. */
    SETTINGS_CHOICE("learning", "source-policy", inner_learning_settings, source,
                    "strict|hinted|open", "hinted", true),
    SETTINGS_CHOICE("learning", "ssrc-policy", inner_learning_settings, ssrc, "strict|learn",
                    "learn", true),
    SETTINGS_ROW("limits", "max-sas", CONF_UINT, inner_limits_settings, max_sas, 1, 1000000,
                 "20000", false),
    SETTINGS_ROW("limits", "sa-rate", CONF_UINT, inner_limits_settings, sa_rate_kbit, 8, 1000000,
                 "8000", true),
    SETTINGS_ROW("limits", "media-timeout", CONF_MSEC, inner_limits_settings, media_timeout_us, 0,
                 86400000, "0s", true),
    SETTINGS_ROW("signalling", "ng", CONF_SOCKETS, signalling_settings, ng, 0, 0, "", false),
    SETTINGS_ROW("signalling", "ng-allow", CONF_NETS, signalling_settings, ng_allow, 0, 0, "",
                 true),
    /* In the order of enum call_when_down. */
    SETTINGS_CHOICE("signalling", "when-down", signalling_settings, calls.when_down,
                    "accept|refuse", "accept", true),
    SETTINGS_ROW("signalling", "relay-internal", CONF_BOOL, signalling_settings,
                 calls.relay_internal, 0, 0, "no", true),
    SETTINGS_ROW("signalling", "offer-timeout", CONF_MSEC, signalling_settings,
                 calls.offer_timeout_us, 1000, 3600000, "3min", true),
    SETTINGS_ROW("signalling", "call-max", CONF_MSEC, signalling_settings, calls.call_max_us, 60000,
                 604800000, "24h", true),
    SETTINGS_ROW("signalling", "max-calls", CONF_UINT, signalling_settings, calls.max_calls, 0,
                 1000000, "0", false),
    SETTINGS_ROW("state", "file", CONF_PATH, inner_state_settings, file, 0, SETTINGS_PATH_SIZE - 1,
                 RUNSTATEDIR "/media-relay/inner-relay.state", false),
    SETTINGS_ROW("state", "max-age", CONF_MSEC, inner_state_settings, max_age_us, 1000, 86400000,
                 "10min", true),
    SETTINGS_ROW("state", "interval", CONF_MSEC, inner_state_settings, interval_us, 1000, 60000,
                 "5s", true),
    SETTINGS_CONTROL_KEYS("inner-relay"),
    SETTINGS_LOG_KEYS,
    SETTINGS_DAEMON_KEYS,
    {.name = NULL},
};

const struct site_settings *inner_site(const struct inner_settings *settings, const char *name)
{
    for (size_t i = 0; i < settings->site_count; i++) {
        if (strcasecmp(settings->sites[i].name, name) == 0)
            return &settings->sites[i];
    }
    return NULL;
}

static bool is_one_host(enum addr_kind kind)
{
    return kind == ADDR_PUBLIC || kind == ADDR_PRIVATE || kind == ADDR_LOOPBACK;
}

/* A wide network may have addresses in it that check_direct_to() would refuse by themselves. */
bool inner_site_is_at(const struct inner_settings *settings, const char *name,
                      const struct addr *addr)
{
    const struct site_settings *site = inner_site(settings, name);
    enum addr_kind kind = addr_kind(addr);

    if (!is_one_host(kind) || (kind == ADDR_LOOPBACK && !settings->networks.test_allow_loopback))
        return false;
    for (size_t i = 0; site && i < site->direct_to.count; i++) {
        if (addr_in_net(addr, &site->direct_to.net[i]))
            return true;
    }
    return false;
}

const struct dmz_peer_settings *inner_peer_at(const struct inner_settings *settings, size_t number)
{
    if (number < settings->dmz_count)
        return &settings->dmzs[number];
    number -= settings->dmz_count;
    return number < settings->forwarder_count ? &settings->forwarders[number] : NULL;
}

const char *inner_peer_kind(const struct inner_settings *settings,
                            const struct dmz_peer_settings *peer)
{
    return peer >= settings->dmzs && peer < settings->dmzs + INNER_DMZS_MAX ? "dmz" : "forwarder";
}

static int check_two(const struct inner_settings *settings, const struct dmz_peer_settings *a,
                     const struct dmz_peer_settings *b, struct conf_complaint *complaint)
{
    const char *kind = inner_peer_kind(settings, b);
    char section[sizeof(complaint->section)];

    snprintf(section, sizeof(section), "%s %s", inner_peer_kind(settings, a), a->name);
    if (strcmp(a->name, b->name) == 0)
        return settings_complain(complaint, section, "name",
                                 "there is a [%s %s], too; another name of the section would be "
                                 "right",
                                 kind, b->name);
    if (strcmp(a->certificate_name, b->certificate_name) == 0)
        return settings_complain(complaint, section, "name",
                                 "the dmz-relay of [%s %s] too; another one would be right", kind,
                                 b->name);
    if (a->address.port == b->address.port && strcmp(a->address.host, b->address.host) == 0)
        return settings_complain(complaint, section, "address",
                                 "the address of [%s %s] too; another one would be right", kind,
                                 b->name);
    return 0;
}

static int check_dmzs(const struct inner_settings *settings, struct conf_complaint *complaint)
{
    const struct dmz_peer_settings *a;
    int code = 0;

    for (size_t i = 0; code == 0 && (a = inner_peer_at(settings, i)) != NULL; i++) {
        for (size_t j = 0; code == 0 && j < i; j++)
            code = check_two(settings, a, inner_peer_at(settings, j), complaint);
    }
    return code;
}

static const char *url_fault(const char *url, struct httpproxy *proxy)
{
    switch (httpproxy_read_url(proxy, url)) {
    case 0:
        return NULL;
    case ERR_UNSUPPORTED:
        return "it is no URL of http; http://proxy.example.com:3128 would be right";
    case ERR_FORBIDDEN:
        return "passwords have a file of their own, proxy-password-file; "
               "http://USER@proxy.example.com:3128 would be right";
    default:
        return "it cannot be read; http://proxy.example.com:3128 or "
               "http://USER@proxy.example.com:3128 would be right";
    }
}

static int check_proxy(const char *kind, const struct dmz_peer_settings *dmz,
                       struct conf_complaint *complaint)
{
    char section[sizeof(complaint->section)];
    struct httpproxy proxy = {.way_count = 0};
    const char *fault = dmz->proxy[0] ? url_fault(dmz->proxy, &proxy) : NULL;

    snprintf(section, sizeof(section), "%s %s", kind, dmz->name);
    if (fault)
        return settings_complain(complaint, section, "proxy", "%s", fault);
    if (httpproxy_read_ways(&proxy, dmz->via) < 0)
        return settings_complain(complaint, section, "via",
                                 "%s is no list of ways; some of connect, upgrade, http would be "
                                 "right, none of them twice",
                                 dmz->via);
    if (proxy.user[0] && !dmz->password_file[0])
        return settings_complain(complaint, section, "proxy",
                                 "there is no password for this user; proxy-password-file would be "
                                 "right");
    if (dmz->password_file[0] && !proxy.user[0])
        return settings_complain(complaint, section, "proxy-password-file",
                                 "it has no user; proxy = http://USER@... would be right");
    return 0;
}

static int check_proxies(const struct inner_settings *settings, struct conf_complaint *complaint)
{
    const struct dmz_peer_settings *peer;
    int code = 0;

    for (size_t i = 0; code == 0 && (peer = inner_peer_at(settings, i)) != NULL; i++)
        code = check_proxy(inner_peer_kind(settings, peer), peer, complaint);
    return code;
}

struct httpproxy inner_proxy(const struct dmz_peer_settings *dmz)
{
    struct httpproxy proxy = {.way_count = 0};

    if (dmz->proxy[0])
        (void)httpproxy_read_url(&proxy, dmz->proxy);
    (void)httpproxy_read_ways(&proxy, dmz->via);
    return proxy;
}

int inner_password(const struct inner_settings *settings, const struct dmz_peer_settings *dmz,
                   char out[HTTPAUTH_TEXT_SIZE], char *error, size_t error_size)
{
    char why[128];
    int code;

    out[0] = '\0';
    if (!dmz->password_file[0])
        return 0;
    code = secretfile_read(dmz->password_file, out, HTTPAUTH_TEXT_SIZE, why, sizeof(why));
    if (code < 0)
        snprintf(error, error_size, "[%s %s] proxy-password-file: %s: %s",
                 inner_peer_kind(settings, dmz), dmz->name, dmz->password_file, why);
    return code;
}

/* Authentication keys alone are the evp engine's; libsrtp2 wants master keys. */
static int check_srtp(const struct inner_srtp_settings *srtp, struct conf_complaint *complaint)
{
    if (srtp->common.engine != SRTP_ENGINE_LIBSRTP2 || srtp->dmz_keys != WIRE_REPLICA_VERIFY_ONLY)
        return 0;
    return settings_complain(complaint, "srtp", "srtp-engine",
                             "libsrtp2 cannot make the keys of dmz-keys = verify-only; srtp-engine "
                             "= auto or evp, or dmz-keys = full, would be right");
}

/* A dmz-relay without keys cannot verify, so that nothing can be learned there. */
static int check_keyless(const struct inner_settings *settings, struct conf_complaint *complaint)
{
    const struct inner_learning_settings *learning = &settings->learning;

    if (settings->srtp.dmz_keys != WIRE_REPLICA_KEYLESS)
        return 0;
    if (learning->source != LEARNING_SOURCE_STRICT)
        return settings_complain(complaint, "learning", "source-policy",
                                 "with [srtp] dmz-keys = keyless no source can be learned; "
                                 "source-policy = strict would be right");
    if (learning->ssrc != LEARNING_SSRC_STRICT)
        return settings_complain(complaint, "learning", "ssrc-policy",
                                 "with [srtp] dmz-keys = keyless no SSRC can be learned; "
                                 "ssrc-policy = strict would be right");
    return 0;
}

static int check_socket(const struct inner_settings *settings, const struct conf_socket *one,
                        struct conf_complaint *complaint)
{
    enum addr_kind kind = addr_kind(&one->addr);

    if (one->addr.family == 0 || kind == ADDR_LOOPBACK)
        return 0;
    if (kind == ADDR_MULTICAST || kind == ADDR_BROADCAST || kind == ADDR_UNSPECIFIED)
        return settings_complain(complaint, "signalling", "ng",
                                 "the address is %s; one of this host's own would be right",
                                 addr_kind_text(kind));
    if (settings->signalling.ng_allow.count == 0)
        return settings_complain(complaint, "signalling", "ng",
                                 "nobody may ask at an address that is not loopback; ng-allow with "
                                 "the SIP proxy's address would be right");
    return 0;
}

/* There are no passwords: whoever may ask can end every call. */
static int check_signalling(const struct inner_settings *settings, struct conf_complaint *complaint)
{
    const struct signalling_settings *signalling = &settings->signalling;
    int code = 0;

    for (size_t i = 0; code == 0 && i < signalling->ng.count; i++)
        code = check_socket(settings, &signalling->ng.socket[i], complaint);
    for (size_t i = 0; code == 0 && i < signalling->ng_allow.count; i++) {
        if (signalling->ng_allow.net[i].prefix == 0)
            code = settings_complain(complaint, "signalling", "ng-allow",
                                     "it allows everybody; the SIP proxies' addresses would be "
                                     "right");
    }
    return code;
}

struct call_options inner_call_options(const struct inner_settings *settings)
{
    struct call_options options = settings->signalling.calls;

    options.media_timeout_us = settings->limits.media_timeout_us;
    if (options.max_calls == 0)
        options.max_calls = settings->limits.max_sas > 1 ? settings->limits.max_sas / 2 : 1;
    return options;
}

enum source_policy inner_source_policy(const struct inner_learning_settings *learning)
{
    static const enum source_policy policies[] = {
        [LEARNING_SOURCE_STRICT] = SOURCE_STRICT,
        [LEARNING_SOURCE_HINTED] = SOURCE_HINTED,
        [LEARNING_SOURCE_OPEN] = SOURCE_OPEN,
    };

    return policies[learning->source];
}

static bool is_dmz(const void *conf, const char *name)
{
    const struct inner_settings *settings = conf;
    size_t i = 0;

    while (i < settings->dmz_count && strcmp(settings->dmzs[i].name, name) != 0)
        i++;
    return i < settings->dmz_count;
}

/* Who has stolen the dmz-relay says where in these networks the other site is. */
static int check_direct_to(const struct inner_settings *settings, const struct addr_net *net,
                           const char *section, struct conf_complaint *complaint)
{
    enum addr_kind kind = addr_kind(&net->addr);
    char text[ADDR_TEXT_SIZE];

    addr_net_format(net, text, sizeof(text));
    if (net->prefix == 0)
        return settings_complain(complaint, section, "direct-to",
                                 "\"%s\" is everywhere; the addresses of the other site's NAT "
                                 "would be right",
                                 text);
    if (!is_one_host(kind))
        return settings_complain(complaint, section, "direct-to",
                                 "\"%s\" is %s; the addresses of the other site's NAT would be "
                                 "right",
                                 text, addr_kind_text(kind));
    if (kind == ADDR_LOOPBACK && !settings->networks.test_allow_loopback)
        return settings_complain(complaint, section, "direct-to",
                                 "\"%s\" is loopback; for tests only, [networks] "
                                 "test-allow-loopback = yes would be right",
                                 text);
    return 0;
}

static const struct dmz_peer_settings *dmz_of(const struct inner_settings *settings,
                                              const struct site_settings *site)
{
    size_t i = settings->dmz_count - 1;

    while (i > 0 && (!site->dmz[0] || strcmp(settings->dmzs[i].name, site->dmz) != 0))
        i--;
    return &settings->dmzs[i];
}

static int check_spoofing(const struct inner_settings *settings, const struct site_settings *site,
                          const char *section, struct conf_complaint *complaint)
{
    const struct dmz_peer_settings *dmz = dmz_of(settings, site);

    if (!site->allow_spoofing)
        return 0;
    if (site->direct_to.count == 0)
        return settings_complain(complaint, section, "allow-spoofing",
                                 "nowhere may segments be sent; direct-to with the addresses "
                                 "of the other site's NAT would be right");
    if (!settings->tunnel.raw_socket)
        return settings_complain(complaint, section, "allow-spoofing",
                                 "there is no raw socket; [tunnel] raw-socket = yes would be "
                                 "right");
    if (settings->daemon.workers > 1)
        return settings_complain(complaint, section, "allow-spoofing",
                                 "it does not work with more than one thread; [daemon] workers = "
                                 "1 would be right");
    if (dmz->proxy[0])
        return settings_complain(complaint, section, "allow-spoofing",
                                 "it does not work through the HTTP proxy of [dmz %s]; "
                                 "allow-spoofing = no would be right",
                                 dmz->name);
    return 0;
}

static int check_site(const struct inner_settings *settings, const struct site_settings *site,
                      struct conf_complaint *complaint)
{
    char section[sizeof(complaint->section)];
    int code = 0;

    snprintf(section, sizeof(section), "site %s", site->name);
    if (!confvalue_is_dns_name(site->name))
        return settings_complain(complaint, section, "dmz",
                                 "the section's name is no DNS name; that of the site's "
                                 "certificate would be right");
    if (site->dmz[0] && !is_dmz(settings, site->dmz))
        return settings_complain(complaint, section, "dmz",
                                 "there is no [dmz %s]; the name of one would be right", site->dmz);
    for (size_t i = 0; code == 0 && i < site->direct_to.count; i++)
        code = check_direct_to(settings, &site->direct_to.net[i], section, complaint);
    if (code == 0)
        code = check_spoofing(settings, site, section, complaint);
    for (const struct site_settings *other = settings->sites; code == 0 && other < site; other++) {
        if (strcasecmp(site->name, other->name) == 0)
            code = settings_complain(complaint, section, "dmz",
                                     "the site has a section already; one would be right");
    }
    return code;
}

static int check_sites(const struct inner_settings *settings, struct conf_complaint *complaint)
{
    int code = 0;

    for (size_t i = 0; code == 0 && i < settings->site_count; i++)
        code = check_site(settings, &settings->sites[i], complaint);
    return code;
}

static bool warn_of_peer(const struct inner_settings *settings,
                         const struct dmz_peer_settings *peer, char *out, size_t size)
{
    if (peer->carrier != CARRIER_RAW || settings->tunnel.raw_socket)
        return false;
    snprintf(out, size,
             "[%s %s] carrier: there is no raw socket, so it is unordered in place of raw, and a "
             "lost segment holds up those behind it; [tunnel] raw-socket = yes would be right",
             inner_peer_kind(settings, peer), peer->name);
    return true;
}

static bool warn_of_site(const struct inner_settings *settings, const struct site_settings *site,
                         char *out, size_t size)
{
    const struct dmz_peer_settings *dmz = dmz_of(settings, site);

    if (site->direct_to.count == 0 || (settings->daemon.workers <= 1 && !dmz->proxy[0]))
        return false;
    if (settings->daemon.workers > 1)
        snprintf(out, size,
                 "[site %s] direct-to: with more than one thread no connection to it is opened; "
                 "[daemon] workers = 1 would be right",
                 site->name);
    else
        snprintf(out, size,
                 "[site %s] direct-to: through the HTTP proxy of [dmz %s] no connection to it is "
                 "opened; nothing would be right",
                 site->name, dmz->name);
    return true;
}

bool inner_warning(const void *conf, size_t number, char *out, size_t size)
{
    const struct inner_settings *settings = conf;
    const struct dmz_peer_settings *peer;

    for (size_t i = 0; (peer = inner_peer_at(settings, i)) != NULL; i++) {
        if (warn_of_peer(settings, peer, out, size) && number-- == 0)
            return true;
    }
    for (size_t i = 0; i < settings->site_count; i++) {
        if (warn_of_site(settings, &settings->sites[i], out, size) && number-- == 0)
            return true;
    }
    return false;
}

static int check(const void *conf, struct conf_complaint *complaint)
{
    const struct inner_settings *settings = conf;
    int code = check_dmzs(settings, complaint);

    if (code == 0)
        code = check_sites(settings, complaint);
    if (code == 0)
        code = check_proxies(settings, complaint);
    if (code == 0)
        code = settings_check_listeners(settings->listeners, settings->listener_count, complaint);
    if (code == 0)
        code = settings_check_networks(&settings->networks, complaint);
    if (code == 0)
        code = settings_check_peers(settings->peers, settings->peer_count, settings->listeners,
                                    settings->listener_count, &settings->networks, complaint);
    if (code == 0)
        code = settings_check_forwards(settings->forwards, settings->forward_count, "dmz", is_dmz,
                                       settings->dmz_count, settings, complaint);
    if (code == 0)
        code = check_srtp(&settings->srtp, complaint);
    if (code == 0)
        code = check_keyless(settings, complaint);
    return code < 0 ? code : check_signalling(settings, complaint);
}

const struct conf_schema inner_schema = {
    .sections = sections,
    .keys = keys,
    .size = sizeof(struct inner_settings),
    .check = check,
};
