#include "common/daemon/settings.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

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
