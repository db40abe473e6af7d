#include "inner-relay/side.h"

#include <stdio.h>
#include <string.h>

#include "common/base/err.h"
#include "common/sa/target.h"

enum sa_side side_of(const struct inner *inner, enum sa_side direction, const struct addr *from)
{
    if (direction)
        return direction;
    if (!from->family)
        return 0;
    return target_is_internal(&inner->rules, from) ? SA_SIDE_INTERNAL : SA_SIDE_EXTERNAL;
}

enum sa_side side_other(enum sa_side side)
{
    return side == SA_SIDE_EXTERNAL ? SA_SIDE_INTERNAL : SA_SIDE_EXTERNAL;
}

/*
 * Networks are compared, not sides: behind a proxy that has an address inside, direction says what
 * side a party is on, and its later messages come from that proxy, too.
 */
bool side_contradicts(const struct inner *inner, enum sa_side known, const struct addr *before,
                      const struct addr *from)
{
    enum sa_side now = side_of(inner, 0, from), then = side_of(inner, 0, before);

    return now && now != (then ? then : known);
}

/* ------------------------------------------------------------ what an address is */

bool side_is_self(const struct inner *inner, unsigned link, const struct addr *addr)
{
    const struct hello *peer = &inner->links[link].peer;

    for (size_t i = 0; i < peer->listener_count; i++) {
        if (addr_equal(addr, &peer->listener[i].advertise))
            return true;
    }
    return false;
}

static bool is_own_ip_of_dmz(const struct inner *inner, unsigned link, const struct addr *addr)
{
    const struct hello *peer = &inner->links[link].peer;

    for (size_t i = 0; i < peer->listener_count; i++) {
        if (addr_ip_equal(addr, &peer->listener[i].advertise))
            return true;
    }
    return false;
}

static bool is_own_inside(const struct inner *inner, const struct addr *addr)
{
    for (size_t i = 0; i < inner->listener_count; i++) {
        const struct path_listener *own = &inner->listeners[i];

        for (int rtcp = 0; rtcp < 2; rtcp++) {
            if ((addr_ip_equal(addr, &own->address) && addr->port == own->address.port + rtcp) ||
                (addr_ip_equal(addr, &own->advertise) && addr->port == own->advertise.port + rtcp))
                return true;
        }
    }
    return false;
}

enum side_place side_place(const struct inner *inner, unsigned link, const struct addr *addr)
{
    if (!addr->family)
        return SIDE_ELSEWHERE;
    if (target_is_peer(&inner->rules, addr, false) || side_is_self(inner, link, addr))
        return SIDE_PEER;
    /* With both daemons on one host the two have one address, and ports tell. */
    if (is_own_inside(inner, addr))
        return SIDE_OWN;
    return is_own_ip_of_dmz(inner, link, addr) ? SIDE_OWN_DMZ : SIDE_ELSEWHERE;
}

/* ------------------------------------------------------------ what is shown */

/* Both sides' listeners in one form; false behind the last one. */
static bool listener_at(const struct inner *inner, unsigned link, enum sa_side side, size_t i,
                        struct hello_listener *out)
{
    const struct hello *peer = &inner->links[link].peer;

    if (side == SA_SIDE_EXTERNAL) {
        if (i < peer->listener_count)
            *out = peer->listener[i];
        return i < peer->listener_count;
    }
    if (i >= inner->listener_count)
        return false;
    *out = (struct hello_listener){.advertise = inner->listeners[i].advertise,
                                   .m_line = inner->listeners[i].m_line};
    memcpy(out->name, inner->listeners[i].name, sizeof(out->name));
    return true;
}

int side_shown(const struct inner *inner, unsigned link, enum sa_side side, unsigned line,
               uint8_t family, struct side_shown *shown)
{
    struct hello_listener listener;
    bool found = false, first = true, found_first = false;

    for (size_t i = 0; listener_at(inner, link, side, i, &listener); i++) {
        bool exact = listener.m_line == (int)line;

        if (family && listener.advertise.family != family)
            continue;
        if (exact || (!found && listener.m_line < 0)) {
            shown->rtp = listener.advertise;
            memcpy(shown->name, listener.name, sizeof(shown->name));
            found = true;
            found_first = first;
        }
        if (exact)
            break;
        first = false;
    }
    if (found && found_first)
        shown->name[0] = '\0';
    return found ? 0 : ERR_NOT_FOUND;
}
