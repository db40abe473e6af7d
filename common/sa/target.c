#include "common/sa/target.h"

static bool in_any(const struct addr *addr, const struct addr_net *nets, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (addr_in_net(addr, &nets[i]))
            return true;
    }
    return false;
}

static bool is_own(const struct target_rules *rules, const struct addr *addr)
{
    struct addr ends = addr_embedded(addr);

    for (size_t i = 0; i < rules->own_count; i++) {
        if (addr_ip_equal(addr, &rules->own[i]) || addr_ip_equal(&ends, &rules->own[i]))
            return true;
    }
    return false;
}

bool target_is_internal(const struct target_rules *rules, const struct addr *addr)
{
    return in_any(addr, rules->internal, rules->internal_count);
}

bool target_is_peer(const struct target_rules *rules, const struct addr *addr, bool rtcp)
{
    for (size_t i = 0; i < rules->peer_count; i++) {
        if (addr_ip_equal(addr, &rules->peer[i]) && addr->port == rules->peer[i].port + rtcp)
            return true;
    }
    return false;
}

const char *target_refusal(const struct target_rules *rules, enum sa_side side,
                           const struct addr *addr)
{
    enum addr_kind kind = addr_kind(addr);
    struct addr ends = addr_embedded(addr);

    if (addr->port == 0)
        return "port 0 cannot be sent to";
    if (kind == ADDR_LOOPBACK && !rules->allow_loopback)
        return "a loopback address may not be sent to";
    if (kind == ADDR_MULTICAST || kind == ADDR_BROADCAST || kind == ADDR_UNSPECIFIED)
        return "a multicast, broadcast or unspecified address may not be sent to";
    if (is_own(rules, addr))
        return "the relay's own address may not be sent to";
    if (side == SA_SIDE_INTERNAL)
        return target_is_internal(rules, addr) ? NULL : "not in [networks] internal";
    if (target_is_peer(rules, addr, false) || target_is_peer(rules, addr, true))
        return "a [peer], which takes nothing but RTP'";
    if (target_is_internal(rules, addr) || target_is_internal(rules, &ends))
        return "in [networks] internal, so not on the external side";
    if (kind == ADDR_PUBLIC || in_any(addr, rules->external, rules->external_count))
        return NULL;
    return "neither a public address nor in [networks] external";
}

const char *target_prime_refusal(const struct target_rules *rules, enum sa_side side,
                                 const struct addr *addr, bool rtcp)
{
    if (side == SA_SIDE_INTERNAL)
        return target_refusal(rules, side, addr);
    return target_is_peer(rules, addr, rtcp) ? NULL
                                             : "no [peer], and RTP' goes to no other outside";
}
