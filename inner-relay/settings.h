/* The ini file of the inner-relay, inner-relay.ini(5). */
#ifndef INNER_RELAY_SETTINGS_H
#define INNER_RELAY_SETTINGS_H

#include "common/daemon/conf.h"
#include "common/daemon/settings.h"
#include "common/sa/wire.h"
#include "common/tunnel/httpproxy.h"
#include "inner-relay/callconf.h"
#include "inner-relay/inner.h"

enum { INNER_VIA_SIZE = 64, INNER_SITES_MAX = 32 };

/* [dmz NAME], [forwarder NAME]: a dmz-relay that a tunnel is opened to. */
struct dmz_peer_settings {
    char name[NAME_SIZE]; /* of the section */
    struct conf_hostport address;
    char certificate_name[CONF_NAME_SIZE]; /* in lower case */
    char proxy[SETTINGS_LINK_SIZE];        /* a URL; "": none */
    char via[INNER_VIA_SIZE];
    char password_file[SETTINGS_PATH_SIZE - 20]; /* "proxy-password-file = PATH" fits a line */
    enum inner_carrier carrier;
};

/* [site NAME]: another site of a dmz-relay, for calls between sites. */
struct site_settings {
    char name[NAME_SIZE];        /* of the section, and of the certificate */
    char dmz[NAME_SIZE];         /* "": the first */
    char ca[SETTINGS_PATH_SIZE]; /* "": that of [tunnel] */
    bool refuse;
    uint64_t ring_us;
    bool allow_spoofing;
    struct conf_nets direct_to;
};

struct inner_srtp_settings {
    struct srtp_settings common; /* first: its keys' offsets count from here */
    enum wire_view dmz_keys;     /* of the WIRE_REPLICA_ ones */
};

/* In the order in which inner-relay.ini(5) names them. */
enum learning_source { LEARNING_SOURCE_STRICT, LEARNING_SOURCE_HINTED, LEARNING_SOURCE_OPEN };
enum learning_ssrc { LEARNING_SSRC_STRICT, LEARNING_SSRC_LEARN };

/* [learning]: of SAs that do not say. */
struct inner_learning_settings {
    enum learning_source source;
    enum learning_ssrc ssrc;
};

struct inner_limits_settings {
    unsigned max_sas;
    unsigned sa_rate_kbit;
    uint64_t media_timeout_us; /* 0: never */
};

struct inner_state_settings {
    char file[SETTINGS_PATH_SIZE]; /* "": none */
    uint64_t max_age_us;
    uint64_t interval_us;
};

/* [signalling]: the SIP proxies that command calls by the ng protocol. */
struct signalling_settings {
    struct conf_sockets ng;    /* none: there are no such calls */
    struct conf_nets ng_allow; /* beside loopback addresses */
    struct call_options calls; /* media_timeout_us is left 0: inner_call_options() fills it in */
};

struct inner_settings {
    size_t dmz_count;
    struct dmz_peer_settings dmzs[INNER_DMZS_MAX];
    size_t forwarder_count;
    struct dmz_peer_settings forwarders[INNER_FORWARDERS_MAX];
    size_t listener_count;
    struct listener_settings listeners[SETTINGS_LISTENERS_MAX];
    size_t forward_count;
    struct forward_conf forwards[SETTINGS_FORWARDS_MAX];
    size_t peer_count;
    struct peer_settings peers[PEERS_MAX];
    struct tunnel_settings tunnel;
    size_t site_count;
    struct site_settings sites[INNER_SITES_MAX];
    struct networks_settings networks;
    struct inner_srtp_settings srtp;
    struct inner_learning_settings learning;
    struct inner_limits_settings limits;
    struct signalling_settings signalling;
    struct inner_state_settings state;
    struct control_settings control;
    struct log_settings log;
    struct daemon_settings daemon;
};

/* The dmz-relays first, then the forwarders, as the core counts its links. NULL: no more. */
const struct dmz_peer_settings *inner_peer_at(const struct inner_settings *settings, size_t number);
/* "dmz", "forwarder" */
const char *inner_peer_kind(const struct inner_settings *settings,
                            const struct dmz_peer_settings *peer);
/* The HTTP proxy of a section that was checked; without a host where there is none. */
struct httpproxy inner_proxy(const struct dmz_peer_settings *dmz);
/*
 * Reads the password for it, "" where there is no file; wipe() is the caller's. Negative with a
 * sentence in error.
 */
int inner_password(const struct inner_settings *settings, const struct dmz_peer_settings *dmz,
                   char out[HTTPAUTH_TEXT_SIZE], char *error, size_t error_size);
enum source_policy inner_source_policy(const struct inner_learning_settings *learning);
/* Complete: media-timeout and, where max-calls is 0, half of max-sas are filled in. */
struct call_options inner_call_options(const struct inner_settings *settings);

/* What [site NAME] says; letter case does not count. NULL: there is none. */
const struct site_settings *inner_site(const struct inner_settings *settings, const char *name);
/* Does its direct-to name the address, and is that one that a single host has? */
bool inner_site_is_at(const struct inner_settings *settings, const char *name,
                      const struct addr *addr);
/*
 * What a file that is right asks for and does not get: the warning of this number, counted from 0,
 * of a struct inner_settings. False: there are no more.
 */
bool inner_warning(const void *conf, size_t number, char *out, size_t size);
/* conf_read with it gives a struct inner_settings. */
extern const struct conf_schema inner_schema;

#endif
