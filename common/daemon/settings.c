#include "common/daemon/settings.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"

int settings_complain(struct conf_complaint *complaint, const char *section, const char *key,
                      const char *format, ...)
{
    va_list ap;

    snprintf(complaint->section, sizeof(complaint->section), "%s", section);
    complaint->key = key;
    va_start(ap, format);
    vsnprintf(complaint->text, sizeof(complaint->text), format, ap);
    va_end(ap);
    return ERR_CONFIG;
}

/* "listener NAME" */
static const char *listener_section(const struct listener_settings *listener, char *out,
                                    size_t size)
{
    snprintf(out, size, "listener %s", listener->name);
    return out;
}

static int check_listener(const struct listener_settings *listener,
                          struct conf_complaint *complaint)
{
    enum addr_kind address = addr_kind(&listener->address);
    enum addr_kind advertise = addr_kind(&listener->advertise);
    char section[sizeof(complaint->section)];

    listener_section(listener, section, sizeof(section));
    if (address == ADDR_MULTICAST || address == ADDR_BROADCAST)
        return settings_complain(complaint, section, "address",
                                 "the address is %s; one of this host's own would be right",
                                 addr_kind_text(address));
    if (listener->advertise.family != listener->address.family)
        return settings_complain(complaint, section, "advertise",
                                 "not of the family of address; an IPv%d address would be right",
                                 listener->address.family);
    if (advertise == ADDR_MULTICAST || advertise == ADDR_BROADCAST || advertise == ADDR_UNSPECIFIED)
        return settings_complain(
            complaint, section, "advertise",
            "the address is %s; the one that senders reach this listener at would be right",
            addr_kind_text(advertise));
    return 0;
}

/* A socket on the unspecified address takes the port of every address of its family. */
static bool listeners_meet(const struct listener_settings *a, const struct listener_settings *b)
{
    bool address =
        addr_ip_equal(&a->address, &b->address) ||
        (a->address.family == b->address.family && (addr_kind(&a->address) == ADDR_UNSPECIFIED ||
                                                    addr_kind(&b->address) == ADDR_UNSPECIFIED));

    return address && abs((int)a->rtp_port - (int)b->rtp_port) <= 1;
}

int settings_check_listeners(const struct listener_settings *listeners, size_t count,
                             struct conf_complaint *complaint)
{
    char section[sizeof(complaint->section)];
    int code = 0;

    for (size_t i = 0; code == 0 && i < count; i++) {
        code = check_listener(&listeners[i], complaint);
        for (size_t j = 0; code == 0 && j < i; j++) {
            if (listeners_meet(&listeners[i], &listeners[j]))
                code = settings_complain(
                    complaint, listener_section(&listeners[i], section, sizeof(section)),
                    "rtp-port",
                    "the ports %u and %u meet those of [listener %s], %u and %u; two free ones "
                    "would be right",
                    listeners[i].rtp_port, listeners[i].rtp_port + 1, listeners[j].name,
                    listeners[j].rtp_port, listeners[j].rtp_port + 1);
        }
    }
    return code;
}

static int check_nets(const struct networks_settings *networks, const struct conf_nets *nets,
                      const char *key, struct conf_complaint *complaint)
{
    char text[ADDR_TEXT_SIZE];

    for (size_t i = 0; i < nets->count; i++) {
        const struct addr_net *net = &nets->net[i];
        enum addr_kind kind = addr_kind(&net->addr);

        addr_net_format(net, text, sizeof(text));
        if (net->prefix == 0)
            return settings_complain(complaint, "networks", key,
                                     "\"%s\" is everything; the networks themselves would be right",
                                     text);
        if (kind == ADDR_MULTICAST || kind == ADDR_BROADCAST || kind == ADDR_UNSPECIFIED)
            return settings_complain(complaint, "networks", key,
                                     "\"%s\" is %s; networks of single hosts would be right", text,
                                     addr_kind_text(kind));
        if (kind == ADDR_LOOPBACK && !networks->test_allow_loopback)
            return settings_complain(
                complaint, "networks", key,
                "\"%s\" is loopback; for tests only, test-allow-loopback = yes "
                "would be right",
                text);
    }
    return 0;
}

int settings_check_networks(const struct networks_settings *networks,
                            struct conf_complaint *complaint)
{
    const struct conf_nets *internal = &networks->internal, *external = &networks->external;
    char text[ADDR_TEXT_SIZE];
    int code = check_nets(networks, internal, "internal", complaint);

    if (code == 0)
        code = check_nets(networks, external, "external", complaint);
    for (size_t i = 0; code == 0 && i < internal->count * external->count; i++) {
        const struct addr_net *a = &internal->net[i / external->count];
        const struct addr_net *b = &external->net[i % external->count];

        if (a->prefix == b->prefix && addr_ip_equal(&a->addr, &b->addr))
            code = settings_complain(complaint, "networks", "external",
                                     "\"%s\" is internal too; one of the two would be right",
                                     addr_net_format(a, text, sizeof(text)));
    }
    return code;
}

/* ------------------------------------------------------------ peers */

/* Who complains of a peer. */
struct peer_check {
    const struct peer_settings *peer;
    char section[sizeof(((struct conf_complaint *)0)->section)]; /* "peer NAME" */
    struct conf_complaint *complaint;
};

static int check_peer_address(const struct peer_check *check,
                              const struct networks_settings *networks)
{
    const struct addr *addr = &check->peer->address;
    struct addr ends = addr_embedded(addr);
    enum addr_kind kind = addr_kind(addr);

    if (kind == ADDR_MULTICAST || kind == ADDR_BROADCAST || kind == ADDR_UNSPECIFIED)
        return settings_complain(check->complaint, check->section, "address",
                                 "the address is %s; that of a single host would be right",
                                 addr_kind_text(kind));
    if (kind == ADDR_LOOPBACK && !networks->test_allow_loopback)
        return settings_complain(check->complaint, check->section, "address",
                                 "the address is loopback; for tests only, [networks] "
                                 "test-allow-loopback = yes would be right");
    for (size_t i = 0; i < networks->internal.count; i++) {
        if (addr_in_net(addr, &networks->internal.net[i]) ||
            addr_in_net(&ends, &networks->internal.net[i]))
            return settings_complain(check->complaint, check->section, "address",
                                     "the address is in [networks] internal; that of a relay "
                                     "outside would be right");
    }
    return 0;
}

/* Two pairs of ports have one in common. */
static bool ports_meet(unsigned a, unsigned b)
{
    return abs((int)a - (int)b) <= 1;
}

static int check_peer_listeners(const struct peer_check *check,
                                const struct listener_settings *listeners, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct listener_settings *own = &listeners[i];
        bool address = addr_ip_equal(&check->peer->address, &own->address) ||
                       addr_ip_equal(&check->peer->address, &own->advertise);

        if (address && ports_meet(check->peer->rtp_port, own->rtp_port))
            return settings_complain(check->complaint, check->section, "address",
                                     "it is our own [listener %s], which is a peer by itself; the "
                                     "address of another relay would be right",
                                     own->name);
    }
    return 0;
}

static int check_peer_others(const struct peer_check *check, const struct peer_settings *peers)
{
    for (const struct peer_settings *other = peers; other < check->peer; other++) {
        if (addr_ip_equal(&check->peer->address, &other->address) &&
            ports_meet(check->peer->rtp_port, other->rtp_port))
            return settings_complain(check->complaint, check->section, "rtp-port",
                                     "the ports %u and %u meet those of [peer %s], %u and %u at "
                                     "the same address; another address or port would be right",
                                     check->peer->rtp_port, check->peer->rtp_port + 1, other->name,
                                     other->rtp_port, other->rtp_port + 1);
    }
    return 0;
}

int settings_check_peers(const struct peer_settings *peers, size_t count,
                         const struct listener_settings *listeners, size_t listener_count,
                         const struct networks_settings *networks, struct conf_complaint *complaint)
{
    int code = 0;

    for (size_t i = 0; code == 0 && i < count; i++) {
        struct peer_check check = {.peer = &peers[i], .complaint = complaint};

        snprintf(check.section, sizeof(check.section), "peer %s", peers[i].name);
        if (strcmp(peers[i].name, PEERS_SELF) == 0)
            return settings_complain(complaint, check.section, NULL,
                                     "the name \"" PEERS_SELF "\" is the relay's own; another "
                                     "name would be right");
        code = check_peer_address(&check, networks);
        if (code == 0)
            code = check_peer_listeners(&check, listeners, listener_count);
        if (code == 0)
            code = check_peer_others(&check, peers);
    }
    return code;
}

void settings_fill_peers(const struct peer_settings *settings, size_t count, struct peers *peers)
{
    memset(peers, 0, sizeof(*peers));
    for (size_t i = 0; i < count; i++) {
        struct addr rtp = settings[i].address;

        rtp.port = (uint16_t)settings[i].rtp_port;
        (void)peers_add(peers, settings[i].name, &rtp);
    }
}

/* ------------------------------------------------------------ forwards */

/* Who complains of a forward. */
struct forward_check {
    const struct forward_conf *forward;
    char section[sizeof(((struct conf_complaint *)0)->section)]; /* "forward NAME" */
    struct conf_complaint *complaint;
};

/* What a name stands for is seen when it is looked up. */
static enum addr_kind kind_of_host(const char *host)
{
    struct addr addr;

    return addr_parse_ip(host, &addr) == 0 ? addr_kind(&addr) : ADDR_PUBLIC;
}

static int check_forward_addresses(const struct forward_check *check)
{
    const struct forward_conf *forward = check->forward;
    bool listens = forward->listen.family != 0;
    enum addr_kind kind = listens ? addr_kind(&forward->listen) : kind_of_host(forward->to.host);
    const char *key = listens ? "listen" : "to";

    if (listens == (forward->to.host[0] != '\0'))
        return settings_complain(check->complaint, check->section, "listen",
                                 "%s; listen, where connections come from, or to, where they go, "
                                 "would be right",
                                 listens ? "it stands beside to" : "neither it nor to is there");
    if (kind == ADDR_MULTICAST || kind == ADDR_BROADCAST || (kind == ADDR_UNSPECIFIED && !listens))
        return settings_complain(check->complaint, check->section, key,
                                 "the address is %s; that of a single host would be right",
                                 addr_kind_text(kind));
    if (listens && forward->proxy != PROXYLINE_NONE)
        return settings_complain(check->complaint, check->section, "proxy-protocol",
                                 "it is for connections that are made, and this one listens; "
                                 "nothing would be right");
    return 0;
}

static int check_forward_others(const struct forward_check *check,
                                const struct forward_conf *forwards)
{
    char text[ADDR_TEXT_SIZE];

    for (const struct forward_conf *other = forwards; other < check->forward; other++) {
        if (check->forward->listen.family && addr_equal(&other->listen, &check->forward->listen))
            return settings_complain(check->complaint, check->section, "listen",
                                     "%s is that of [forward %s], too; another port would be right",
                                     addr_format(&other->listen, text, sizeof(text)), other->name);
    }
    return 0;
}

int settings_check_forwards(const struct forward_conf *forwards, size_t count, const char *link,
                            bool (*has_link)(const void *conf, const char *name), size_t link_count,
                            const void *conf, struct conf_complaint *complaint)
{
    int code = 0;

    for (size_t i = 0; code == 0 && i < count; i++) {
        const struct forward_conf *forward = &forwards[i];
        struct forward_check check = {.forward = forward, .complaint = complaint};

        snprintf(check.section, sizeof(check.section), "forward %s", forward->name);
        code = check_forward_addresses(&check);
        if (code == 0)
            code = check_forward_others(&check, forwards);
        if (code == 0 && !forward->link[0] && link_count > 1)
            code = settings_complain(complaint, check.section, link,
                                     "there are %zu of them; the name of one would be right",
                                     link_count);
        if (code == 0 && forward->link[0] && !has_link(conf, forward->link))
            code = settings_complain(complaint, check.section, link,
                                     "\"%.100s\" is none that this file names; one of those would "
                                     "be right",
                                     forward->link);
    }
    return code;
}

_Static_assert((int)FORWARD_HOST_SIZE == (int)CONF_NAME_SIZE, "a host name is copied");

struct forward_settings settings_forward(const struct forward_conf *conf)
{
    struct forward_settings settings = {.listen = conf->listen,
                                        .to_port = conf->to.port,
                                        .fresh_us = FORWARD_FRESH_US,
                                        .max_streams = conf->max_streams,
                                        .max_half_open = conf->max_half_open,
                                        .max_per_client = conf->max_per_client,
                                        .half_open_us = conf->half_open_us,
                                        .idle_us = conf->idle_us,
                                        .proxy = conf->proxy};

    memcpy(settings.name, conf->name, sizeof(settings.name));
    memcpy(settings.to_host, conf->to.host, sizeof(settings.to_host));
    return settings;
}
