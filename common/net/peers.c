#include "common/net/peers.h"

#include <stdio.h>
#include <string.h>

#include "common/base/err.h"

/*
 * No keyed hash: strangers cannot add peers, and the longest way through a bucket is that of the
 * few that the operator configured.
 */
static unsigned bucket_of(const struct addr *addr)
{
    uint32_t word[4], mixed;

    memcpy(word, addr->ip, sizeof(word));
    mixed = (word[0] ^ word[1] ^ word[2] ^ word[3]) * UINT32_C(0x9e3779b1);
    return mixed >> 25;
}
_Static_assert(PEERS_BUCKETS == 1 << 7, "bucket_of() gives 7 bits");
_Static_assert(PEERS_ALL_MAX < UINT8_MAX, "numbers of peers are octets");

static bool has_port(const struct peer *peer, unsigned port)
{
    return port == peer->rtp.port || port == peer->rtp.port + 1u;
}

const struct peer *peers_find(const struct peers *peers, const struct addr *source)
{
    for (unsigned i = peers->bucket[bucket_of(source)]; i; i = peers->before[i - 1]) {
        const struct peer *peer = &peers->peer[i - 1];

        if (has_port(peer, source->port) && addr_ip_equal(&peer->rtp, source))
            return peer;
    }
    return NULL;
}

int peers_add(struct peers *peers, const char *name, const struct addr *rtp)
{
    struct addr rtcp = *rtp;
    unsigned bucket = bucket_of(rtp);
    struct peer *peer;

    if (rtp->family == 0 || rtp->port == 0 || rtp->port == UINT16_MAX)
        return ERR_INVALID;
    if (peers->count == PEERS_ALL_MAX)
        return ERR_FULL;
    rtcp.port++;
    if (peers_find(peers, rtp) || peers_find(peers, &rtcp))
        return ERR_EXISTS;
    peer = &peers->peer[peers->count];
    snprintf(peer->name, sizeof(peer->name), "%s", name);
    peer->rtp = *rtp;
    peers->before[peers->count] = peers->bucket[bucket];
    peers->bucket[bucket] = (uint8_t)++peers->count;
    return 0;
}

const struct peer *peers_by_name(const struct peers *peers, const char *name)
{
    for (size_t i = 0; i < peers->count; i++) {
        if (strcmp(peers->peer[i].name, name) == 0)
            return &peers->peer[i];
    }
    return NULL;
}

void peers_fill_rules(const struct peers *peers, struct target_rules *rules)
{
    rules->peer_count = 0;
    for (size_t i = 0; i < peers->count; i++)
        rules->peer[rules->peer_count++] = peers->peer[i].rtp;
}
