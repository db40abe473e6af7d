#include "common/net/steer.h"

#include <string.h>

#include "common/base/reader.h"

enum {
    /* From the IP header on, without options: with some, a peer is taken for anybody. */
    IP4_SOURCE = 12,
    IP4_PORT = 20,
    IP6_SOURCE = 8,
    IP6_PORT = 40,
    /* From the payload on. */
    RTP_SSRC = 8,
    RTCP_SSRC = 4,
    /* RFC 5761 section 4: what the second octet is, without the marker. */
    RTCP_FIRST = 64,
    RTCP_LAST = 95,
};

static const uint32_t HASH_FACTOR = 0x9e3779b1; /* golden ratio: neighbours are spread */

struct code {
    struct sock_filter *at;
    size_t length;
};

static void put(struct code *code, uint16_t operation, uint32_t value)
{
    code->at[code->length++] = (struct sock_filter){.code = operation, .k = value};
}

/* Where it jumps from here is told later, by land(). */
static size_t put_jump(struct code *code)
{
    put(code, BPF_JMP | BPF_JA, 0);
    return code->length - 1;
}

static void land(struct code *code, size_t jump)
{
    code->at[jump].k = (uint32_t)(code->length - jump - 1);
}

/* Goes on when A is value, else passes by as many instructions as others says. */
static void put_equal(struct code *code, uint32_t value, unsigned others)
{
    code->at[code->length++] =
        (struct sock_filter){.code = BPF_JMP | BPF_JEQ | BPF_K, .jf = (uint8_t)others, .k = value};
}

static uint32_t from_ip(unsigned offset)
{
    return (uint32_t)SKF_NET_OFF + offset;
}

static uint32_t word_of(const struct addr *addr, unsigned number)
{
    struct reader r;

    reader_init(&r, addr->ip + 4 * number, 4);
    return reader_u32(&r);
}

/* What a peer sends jumps: to where, is told later. */
static size_t put_peer(struct code *code, const struct addr *rtp)
{
    unsigned words = rtp->family == 6 ? 4 : 1;

    for (unsigned i = 0; i < words; i++) {
        put(code, BPF_LD | BPF_W | BPF_ABS,
            from_ip((rtp->family == 6 ? IP6_SOURCE : IP4_SOURCE) + 4 * i));
        put_equal(code, word_of(rtp, i), 2 * (words - i - 1) + 4);
    }
    put(code, BPF_LD | BPF_H | BPF_ABS, from_ip(rtp->family == 6 ? IP6_PORT : IP4_PORT));
    code->at[code->length++] =
        (struct sock_filter){.code = BPF_JMP | BPF_JEQ | BPF_K, .jt = 1, .k = rtp->port};
    put_equal(code, (uint32_t)rtp->port + 1, 1);
    return put_jump(code);
}

static size_t put_peers(struct code *code, const struct steer *steer, size_t jumps[PEERS_MAX])
{
    size_t count = 0;

    for (size_t i = 0; steer->peers && i < steer->peers->count && count < PEERS_MAX; i++) {
        const struct peer *peer = &steer->peers->peer[i];

        if (peer->rtp.family == steer->family && strcmp(peer->name, PEERS_SELF) != 0)
            jumps[count++] = put_peer(code, &peer->rtp);
    }
    return count;
}

/* Is the version of RTP in this octet? If not, passes by as many instructions. */
static void put_version(struct code *code, unsigned offset, unsigned others)
{
    put(code, BPF_LD | BPF_B | BPF_ABS, offset);
    put(code, BPF_ALU | BPF_AND | BPF_K, 0xc0);
    put_equal(code, 0x80, others);
}

static size_t put_by_source(struct code *code, const struct steer *steer)
{
    bool ip6 = steer->family == 6;

    put(code, BPF_LD | BPF_W | BPF_ABS, from_ip(ip6 ? IP6_SOURCE + 12 : IP4_SOURCE));
    put(code, BPF_MISC | BPF_TAX, 0);
    put(code, BPF_LD | BPF_H | BPF_ABS, from_ip(ip6 ? IP6_PORT : IP4_PORT));
    put(code, BPF_ALU | BPF_RSH | BPF_K, 1);
    put(code, BPF_ALU | BPF_ADD | BPF_X, 0);
    return put_jump(code);
}

/* RTP or RTCP. */
static size_t put_plain(struct code *code)
{
    put(code, BPF_LD | BPF_B | BPF_ABS, 1);
    put(code, BPF_ALU | BPF_AND | BPF_K, 0x7f);
    code->at[code->length++] =
        (struct sock_filter){.code = BPF_JMP | BPF_JGE | BPF_K, .jf = 3, .k = RTCP_FIRST};
    code->at[code->length++] =
        (struct sock_filter){.code = BPF_JMP | BPF_JGT | BPF_K, .jt = 2, .k = RTCP_LAST};
    put(code, BPF_LD | BPF_W | BPF_ABS, RTCP_SSRC);
    put(code, BPF_JMP | BPF_JA, 1);
    put(code, BPF_LD | BPF_W | BPF_ABS, RTP_SSRC);
    return put_jump(code);
}

size_t steer_make(const struct steer *steer, struct sock_filter at[STEER_MAX])
{
    struct code code = {at, 0};
    size_t primes[PEERS_MAX], plain[2], plains = 0, peers = put_peers(&code, steer, primes);
    size_t other;

    put_version(&code, 0, 1);
    put(&code, BPF_JMP | BPF_JA, 1);
    other = put_jump(&code);
    if (steer->prime) {
        put_version(&code, 4, 6);
        plain[plains++] = put_by_source(&code, steer);
    }
    plain[plains++] = put_plain(&code);
    land(&code, other);
    while (peers > 0)
        land(&code, primes[--peers]);
    put(&code, BPF_LD | BPF_W | BPF_ABS, 0);
    while (plains > 0)
        land(&code, plain[--plains]);
    put(&code, BPF_ALU | BPF_MUL | BPF_K, HASH_FACTOR);
    put(&code, BPF_ALU | BPF_RSH | BPF_K, 16);
    put(&code, BPF_ALU | BPF_MOD | BPF_K, steer->count);
    put(&code, BPF_RET | BPF_A, 0);
    return code.length;
}
