/* The ini file of the dmz-relay, dmz-relay.ini(5). */
#ifndef DMZ_RELAY_SETTINGS_H
#define DMZ_RELAY_SETTINGS_H

#include <stdint.h>

#include "common/daemon/conf.h"
#include "common/daemon/settings.h"

enum { DMZ_SITES_SETTINGS_MAX = CONF_NAMES_MAX };

struct dmz_tunnel_settings {
    struct tunnel_settings common; /* first: its keys' offsets count from here */
    struct addr listen;
    struct conf_names sites; /* in lower case */
    uint64_t stale_hold_us;
    unsigned max_handshakes;
};

/* [site NAME]: what is said of one of tunnel.sites. */
struct dmz_site_settings {
    char name[NAME_SIZE]; /* of the section */
    struct conf_names call_from;
};

struct dmz_limits_settings {
    unsigned max_sas;
    unsigned site_quota;
};

struct dmz_settings {
    size_t listener_count;
    struct listener_settings listeners[SETTINGS_LISTENERS_MAX];
    size_t peer_count;
    struct peer_settings peers[PEERS_MAX];
    size_t forward_count;
    struct forward_conf forwards[SETTINGS_FORWARDS_MAX];
    struct dmz_tunnel_settings tunnel;
    size_t site_count;
    struct dmz_site_settings sites[DMZ_SITES_SETTINGS_MAX];
    struct networks_settings networks;
    struct srtp_settings srtp;
    struct dmz_limits_settings limits;
    struct control_settings control;
    struct log_settings log;
    struct daemon_settings daemon;
};

/* Which of tunnel.sites, a bit each, may call the one with this number. */
uint64_t dmz_callers(const struct dmz_settings *settings, unsigned site);

/* conf_read with it gives a struct dmz_settings. */
extern const struct conf_schema dmz_schema;

#endif
