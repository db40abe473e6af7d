/*
 * The sections that both daemons have: their structures, and their rows in the
 * tables of keys. Times are in microseconds.
 */
#ifndef COMMON_DAEMON_SETTINGS_H
#define COMMON_DAEMON_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/addr.h"
#include "common/base/gate.h"
#include "common/base/log.h"
#include "common/base/protocol.h"
#include "common/daemon/coalesce.h"
#include "common/daemon/conf.h"
#include "common/net/peers.h"
#include "common/srtp/srtp.h"
#include "common/tunnel/forward.h"

enum {
    SETTINGS_LISTENERS_MAX = 8,
    SETTINGS_FORWARDS_MAX = 16,
    SETTINGS_LINK_SIZE = 181,   /* "site = NAME" fits a line */
    SETTINGS_PATH_SIZE = 180,   /* "certificate = PATH" fits a line */
    SETTINGS_SOCKET_SIZE = 108, /* of sun_path */
    SETTINGS_GROUP_SIZE = 33,
};

/* [listener NAME] */
struct listener_settings {
    char name[NAME_SIZE];
    struct addr address, advertise; /* port 0 */
    unsigned rtp_port;              /* RTCP is the next one */
    int m_line;                     /* -1: any */
    unsigned dscp;
};

/* [peer NAME]: a dmz-relay of others that speaks RTP'. */
struct peer_settings {
    char name[NAME_SIZE];
    struct addr address; /* port 0 */
    unsigned rtp_port;   /* RTCP is the next one */
};

/* [forward NAME] */
struct forward_conf {
    char name[NAME_SIZE];
    struct addr listen;        /* family 0: there is to */
    struct conf_hostport to;   /* host "": there is listen */
    char link[CONF_NAME_SIZE]; /* site of the dmz-relay, dmz of the inner-relay; "": the only one */
    unsigned max_streams, max_half_open, max_per_client;
    uint64_t half_open_us, idle_us; /* idle_us 0: never */
    enum proxyline_version proxy;   /* inner-relay */
};

/* What [tunnel] has on both sides. */
struct tunnel_settings {
    char certificate[SETTINGS_PATH_SIZE], key[SETTINGS_PATH_SIZE], ca[SETTINGS_PATH_SIZE];
    char crl[SETTINGS_PATH_SIZE]; /* "": none */
    uint64_t max_age_us;
    unsigned dscp;
    bool raw_socket;
};

/* [networks]; internal is the inner-relay's only. */
struct networks_settings {
    struct conf_nets internal, external;
    bool test_allow_loopback;
};

/* [srtp] */
struct srtp_settings {
    int engine; /* enum srtp_engine_kind */
};

/* [control] */
struct control_settings {
    char socket[SETTINGS_SOCKET_SIZE];
    char group[SETTINGS_GROUP_SIZE]; /* "": the process's own */
};

/* [log] */
struct log_settings {
    enum log_target target;
    enum log_level level;
};

/* [daemon] */
struct daemon_settings {
    bool allow_root;
    unsigned workers;                  /* media threads; 1: the main thread is the only one */
    char pid_file[SETTINGS_PATH_SIZE]; /* "": none */
    int coalesce;                      /* microseconds, or COALESCE_AUTO */
};

#define SETTINGS_ROW(section_, name_, type_, structure, field, min_, max_, fallback_, live_)       \
    {                                                                                              \
        .section = section_, .name = name_, .type = type_,                                         \
        .offset = offsetof(struct structure, field),                                               \
        .size = sizeof(((struct structure *)0)->field), .min = min_, .max = max_,                  \
        .fallback = fallback_, .live = live_                                                       \
    }
#define SETTINGS_PATH(section_, name_, structure, field, fallback_)                                \
    SETTINGS_ROW(section_, name_, CONF_PATH, structure, field, (fallback_) == NULL,                \
                 sizeof(((struct structure *)0)->field) - 1, fallback_, false)
#define SETTINGS_CHOICE(section_, name_, structure, field, choices_, fallback_, live_)             \
    {                                                                                              \
        .section = section_, .name = name_, .type = CONF_CHOICE,                                   \
        .offset = offsetof(struct structure, field), .fallback = fallback_, .choices = choices_,   \
        .live = live_                                                                              \
    }

/* A row of the tables of sections; conf is the structure of all settings. */
#define SETTINGS_SECTION(conf, name_, field)                                                       \
    {                                                                                              \
        .name = name_, .offset = offsetof(struct conf, field)                                      \
    }
#define SETTINGS_NAMED(conf, name_, field, count, least, most)                                     \
    {                                                                                              \
        .name = name_, .named = true, .offset = offsetof(struct conf, field),                      \
        .element_size = sizeof(((struct conf *)0)->field[0]),                                      \
        .count_offset = offsetof(struct conf, count), .min = least, .max = most                    \
    }

#define SETTINGS_LISTENER_KEYS                                                                     \
    SETTINGS_ROW("listener", "address", CONF_IP, listener_settings, address, 0, 0, NULL, false),   \
        SETTINGS_ROW("listener", "advertise", CONF_IP, listener_settings, advertise, 0, 0,         \
                     "@address", false),                                                           \
        SETTINGS_ROW("listener", "rtp-port", CONF_UINT, listener_settings, rtp_port, 1, 65534,     \
                     NULL, false),                                                                 \
        SETTINGS_ROW("listener", "m-line", CONF_INDEX, listener_settings, m_line, 0, 15, "any",    \
                     false),                                                                       \
        SETTINGS_ROW("listener", "dscp", CONF_DSCP, listener_settings, dscp, 0, 63, "ef", false)

#define SETTINGS_PEER_KEYS                                                                         \
    SETTINGS_ROW("peer", "address", CONF_IP, peer_settings, address, 0, 0, NULL, true),            \
        SETTINGS_ROW("peer", "rtp-port", CONF_UINT, peer_settings, rtp_port, 1, 65534, NULL, true)

/* link_: what the key of the tunnel is called. */
#define SETTINGS_FORWARD_KEYS(link_)                                                               \
    SETTINGS_ROW("forward", "listen", CONF_ADDR, forward_conf, listen, 0, 0, "", false),           \
        SETTINGS_ROW("forward", "to", CONF_HOSTPORT, forward_conf, to, 0, 0, "", false),           \
        SETTINGS_ROW("forward", link_, CONF_TEXT, forward_conf, link, 0, SETTINGS_LINK_SIZE - 1,   \
                     "", false),                                                                   \
        SETTINGS_ROW("forward", "max-streams", CONF_UINT, forward_conf, max_streams, 1, 1024,      \
                     "256", false),                                                                \
        SETTINGS_ROW("forward", "max-half-open", CONF_UINT, forward_conf, max_half_open, 1, 1024,  \
                     "64", false),                                                                 \
        SETTINGS_ROW("forward", "max-per-client", CONF_UINT, forward_conf, max_per_client, 1,      \
                     1024, "64", false),                                                           \
        SETTINGS_ROW("forward", "half-open-timeout", CONF_MSEC, forward_conf, half_open_us, 100,   \
                     3600000, "10s", false),                                                       \
        SETTINGS_ROW("forward", "idle-timeout", CONF_MSEC, forward_conf, idle_us, 0, 604800000,    \
                     "15min", false)

/* Of a structure whose first member is a struct tunnel_settings. */
#define SETTINGS_TUNNEL_KEYS                                                                       \
    SETTINGS_PATH("tunnel", "certificate", tunnel_settings, certificate, NULL),                    \
        SETTINGS_PATH("tunnel", "key", tunnel_settings, key, NULL),                                \
        SETTINGS_PATH("tunnel", "ca", tunnel_settings, ca, NULL),                                  \
        SETTINGS_PATH("tunnel", "crl", tunnel_settings, crl, ""),                                  \
        SETTINGS_ROW("tunnel", "max-age", CONF_MSEC, tunnel_settings, max_age_us, 10, 1000,        \
                     "60ms", true),                                                                \
        SETTINGS_ROW("tunnel", "dscp", CONF_DSCP, tunnel_settings, dscp, 0, 63, "ef", false),      \
        SETTINGS_ROW("tunnel", "raw-socket", CONF_BOOL, tunnel_settings, raw_socket, 0, 0, "no",   \
                     false)

#define SETTINGS_NETWORKS_KEYS                                                                     \
    SETTINGS_ROW("networks", "external", CONF_NETS, networks_settings, external, 0, 0, "", true),  \
        SETTINGS_ROW("networks", "test-allow-loopback", CONF_BOOL, networks_settings,              \
                     test_allow_loopback, 0, 0, "no", false)

/* Of a structure whose first member is a struct srtp_settings. */
#define SETTINGS_SRTP_KEYS                                                                         \
    SETTINGS_CHOICE("srtp", "srtp-engine", srtp_settings, engine, "auto|evp|libsrtp2", "auto",     \
                    false)

#define SETTINGS_CONTROL_KEYS(daemon)                                                              \
    SETTINGS_ROW("control", "socket", CONF_PATH, control_settings, socket, 1,                      \
                 SETTINGS_SOCKET_SIZE - 1, RUNSTATEDIR "/media-relay/" daemon ".sock", false),     \
        SETTINGS_ROW("control", "group", CONF_TEXT, control_settings, group, 0,                    \
                     SETTINGS_GROUP_SIZE - 1, "", false)

#define SETTINGS_LOG_KEYS                                                                          \
    SETTINGS_CHOICE("log", "target", log_settings, target, "stderr|syslog", "syslog", false),      \
        SETTINGS_CHOICE("log", "level", log_settings, level, "error|warning|info|debug", "info",   \
                        true)

#define SETTINGS_DAEMON_KEYS                                                                       \
    SETTINGS_ROW("daemon", "allow-root", CONF_BOOL, daemon_settings, allow_root, 0, 0, "no",       \
                 false),                                                                           \
        SETTINGS_PATH("daemon", "pid-file", daemon_settings, pid_file, ""),                        \
        SETTINGS_ROW("daemon", "coalesce", CONF_USEC, daemon_settings, coalesce, 0,                \
                     COALESCE_MAX_US, "auto", true),                                               \
        SETTINGS_ROW("daemon", "workers", CONF_UINT, daemon_settings, workers, 1, GATE_MAX, "1",   \
                     false)

/*
 * Checks of more than one value, for conf_schema.check: negative with
 * *complaint filled in. Listeners: the address is one that a socket can have,
 * advertise is of its family, no two share a port.
 */
int settings_check_listeners(const struct listener_settings *listeners, size_t count,
                             struct conf_complaint *complaint);
/* No multicast or such, loopback only for tests, nothing both internal and external. */
int settings_check_networks(const struct networks_settings *networks,
                            struct conf_complaint *complaint);
/*
 * Each peer is a single host outside, none is one of the listeners, no two share a port, and none
 * takes the name of the relay itself.
 */
int settings_check_peers(const struct peer_settings *peers, size_t count,
                         const struct listener_settings *listeners, size_t listener_count,
                         const struct networks_settings *networks,
                         struct conf_complaint *complaint);
/* Peers that were checked, as the packets find them; those that were there before are gone. */
void settings_fill_peers(const struct peer_settings *settings, size_t count, struct peers *peers);
/*
 * Each [forward] has either listen or to, an address that can be had, and no two listen at one.
 * link: the name of the key of the tunnel; has_link: is it one of the (count) names there are?
 */
int settings_check_forwards(const struct forward_conf *forwards, size_t count, const char *link,
                            bool (*has_link)(const void *conf, const char *name), size_t link_count,
                            const void *conf, struct conf_complaint *complaint);
/* For forward_new(). */
struct forward_settings settings_forward(const struct forward_conf *conf);
/* Fills in *complaint; returns ERR_CONFIG. */
int settings_complain(struct conf_complaint *complaint, const char *section, const char *key,
                      const char *format, ...) __attribute__((format(printf, 4, 5)));

#endif
