#include "tests/unit/learnworld.h"

#include <stdlib.h>
#include <string.h>

#include "common/sa/rekey.h"
#include "common/srtp/srtp.h"
#include "tests/unit/protect.h"
#include "tests/unit/sample.h"

/* What stands where, for one look before and one after a packet. */
struct place {
    struct sa_transport source;
    bool bound[2];
};

struct sender {
    struct world_who who;
    struct sa *sa, *reverse;
    uint32_t ssrc;
    unsigned key, keys; /* material is made of both */
    bool old_key;

    /* What made the last packet. */
    struct protect *protect;
    uint32_t protect_ssrc;
    unsigned protect_key;
    uint64_t rtp_done, rtcp_done;
};

static struct {
    struct table *table;
    struct budget *budget;
    struct target_rules rules;
    struct peers peers;
    struct path path;
    struct sender sender[WORLD_SENDERS_MAX];
    struct place place[WORLD_SENDERS_MAX];
    unsigned count;
    uint64_t now_us;
} world;

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

void world_end(void)
{
    for (unsigned i = 0; i < world.count; i++)
        protect_free(world.sender[i].protect);
    table_free(world.table);
    budget_free(world.budget);
    memset(&world, 0, sizeof(world));
}

void world_begin(void)
{
    world_end();
    world.table = table_new(2 * (size_t)WORLD_SENDERS_MAX);
    world.budget = budget_new();
    MUST(world.table && world.budget);
    world.now_us = 1000 * UINT64_C(1000000);
    world.path = (struct path){.side = SA_SIDE_EXTERNAL,
                               .learn = {world.table, world.budget, &world.rules},
                               .peers = &world.peers};
}

struct table *world_table(void)
{
    return world.table;
}

struct budget *world_budget(void)
{
    return world.budget;
}

struct target_rules *world_rules(void)
{
    return &world.rules;
}

uint64_t world_now_us(void)
{
    return world.now_us;
}

void world_pass(uint64_t duration_us)
{
    world.now_us += duration_us;
}

void world_add_peer(const char *address)
{
    struct addr rtp = sample_addr(address);

    MUST(peers_add(&world.peers, "peer", &rtp) == 0);
}

/* ------------------------------------------------------------ SAs */

static void make_material(const struct sender *sender, unsigned keys,
                          uint8_t material[SUITE_KEY_MAX_OCTETS])
{
    for (unsigned i = 0; i < SUITE_KEY_MAX_OCTETS; i++)
        material[i] = (uint8_t)(1 + sender->key * 31 + (sender->key >> 8) * 101 + keys * 17 + i);
}

static void open_sa(struct sender *sender)
{
    uint8_t material[SUITE_KEY_MAX_OCTETS];

    make_material(sender, sender->keys, material);
    sample_set_key(sender->sa, material);
}

static void fill_sa(struct sa *sa, const struct world_who *who)
{
    sa->source_policy = who->policy ? who->policy : SOURCE_HINTED;
    sa->source.rtp = sample_addr(who->source ? who->source : "");
    sa->source.rtcp = sa->source.rtp;
    sa->source.rtcp.port = (uint16_t)(sa->source.rtp.port + (sa->source.rtp.family != 0));
    sa->source.mux = who->flags & WORLD_MUX;
    sa->hint = sample_addr(who->hint ? who->hint : "");
    sa->encap_in = who->flags & WORLD_PRIME ? SA_ENCAP_RTP_PRIME : SA_ENCAP_RTP;
    sa->suite = suite_get(who->flags & WORLD_SHORT_TAG ? SUITE_AES_CM_128_HMAC_SHA1_32
                                                       : SUITE_AES_CM_128_HMAC_SHA1_80);
    sa->owner = who->owner;
}

static struct sa *new_sa(enum sa_side side, uint64_t id)
{
    struct sa *sa = sa_new();

    MUST(sa);
    sa->side = side;
    sa->id = id;
    sa->label = (uint32_t)id;
    rate_init(&sa->rate, 10 * 1000 * 1000);
    return sa;
}

unsigned world_add(const struct world_who *who)
{
    unsigned n = world.count++;
    struct sender *sender = &world.sender[n];

    MUST(n < WORLD_SENDERS_MAX);
    *sender = (struct sender){.who = *who, .key = who->key ? who->key : 1000 + n};
    sender->ssrc = WORLD_SSRC + (who->flags & WORLD_ONE_SSRC ? 0 : n);
    sender->sa = new_sa(SA_SIDE_EXTERNAL, 2 * (uint64_t)n + 1);
    sender->reverse = new_sa(SA_SIDE_INTERNAL, 2 * (uint64_t)n + 2);
    sender->reverse->owner = who->owner;
    fill_sa(sender->sa, who);
    if (who->flags & WORLD_NAMED)
        MUST(sa_stream_add(sender->sa, sender->ssrc, SSRC_ORIGIN_SIGNALLED) == 0);
    if (!(who->flags & WORLD_KEYLESS))
        open_sa(sender);
    sender->sa->reverse = sender->reverse->id;
    sender->reverse->reverse = sender->sa->id;
    MUST(table_insert(world.table, sender->sa) == 0);
    MUST(table_insert(world.table, sender->reverse) == 0);
    return n;
}

struct sa *world_sa(unsigned who)
{
    return world.sender[who].sa;
}

struct sa *world_reverse(unsigned who)
{
    return world.sender[who].reverse;
}

void world_rekey(unsigned who)
{
    struct sender *sender = &world.sender[who];
    struct srtp_session *before = sender->sa->srtp;

    sender->sa->srtp = NULL;
    sender->keys++;
    open_sa(sender);
    rekey(table_old_keys(world.table), sender->sa, before, sender->sa->stream,
          sender->sa->stream_count, world.now_us);
}

void world_use_old_key(unsigned who, bool old)
{
    world.sender[who].old_key = old;
}

/* ------------------------------------------------------------ packets */

/* protect.h only goes up: what was made before takes a fresh one. */
static struct protect *protect_for(struct sender *sender, uint32_t ssrc, uint64_t index, bool rtcp)
{
    uint8_t material[SUITE_KEY_MAX_OCTETS];
    unsigned keys = sender->keys - sender->old_key;
    uint64_t done = rtcp ? sender->rtcp_done : sender->rtp_done;

    if (sender->protect && sender->protect_ssrc == ssrc && sender->protect_key == keys &&
        index > done)
        return sender->protect;
    protect_free(sender->protect);
    make_material(sender, keys, material);
    sender->protect = protect_new(sender->sa->suite, material, ssrc);
    MUST(sender->protect);
    sender->protect_ssrc = ssrc;
    sender->protect_key = keys;
    sender->rtp_done = sender->rtcp_done = 0;
    return sender->protect;
}

static size_t make_rtp(struct sender *sender, uint32_t ssrc, uint64_t index, uint8_t *out)
{
    size_t length = protect_make_rtp(out, WORLD_PACKET_OCTETS - 4, 0, (uint16_t)index,
                                     (uint32_t)(160 * index), ssrc, "\x80speech", 7);

    length = protect_rtp(protect_for(sender, ssrc, index, false), index, out, length,
                         WORLD_PACKET_OCTETS - 4);
    sender->rtp_done = index;
    return length;
}

static size_t make_rtcp(struct sender *sender, uint32_t ssrc, uint64_t index, uint8_t *out)
{
    struct protect *protect = protect_for(sender, ssrc, index, true);
    size_t length = 0;

    while (sender->rtcp_done < index) {
        const uint8_t report[] = {0x80,
                                  201,
                                  0,
                                  1,
                                  (uint8_t)(ssrc >> 24),
                                  (uint8_t)(ssrc >> 16),
                                  (uint8_t)(ssrc >> 8),
                                  (uint8_t)ssrc};

        memcpy(out, report, sizeof(report));
        length = protect_rtcp(protect, out, sizeof(report), WORLD_PACKET_OCTETS - 4);
        sender->rtcp_done++;
    }
    return length;
}

size_t world_make(const struct world_packet *packet, uint8_t octets[WORLD_PACKET_OCTETS])
{
    struct sender *sender = &world.sender[packet->who];
    uint32_t ssrc = packet->ssrc ? packet->ssrc : sender->ssrc;
    size_t front = packet->flags & WORLD_OUTER ? PRIME_OCTETS : 0;
    size_t length = packet->flags & WORLD_RTCP
                        ? make_rtcp(sender, ssrc, packet->index, octets + front)
                        : make_rtp(sender, ssrc, packet->index, octets + front);

    MUST(length > 0);
    if (front)
        prime_write(octets, packet->outer);
    if (packet->flags & WORLD_FORGED)
        octets[front + length - 1] ^= 1;
    return front + length;
}

/* ------------------------------------------------------------ what must hold */

static void look(void)
{
    for (unsigned i = 0; i < world.count; i++) {
        const struct sa *sa = world.sender[i].sa;

        world.place[i] = (struct place){sa->source, {sa->bound[0], sa->bound[1]}};
    }
}

static bool is_where_it_was(const struct sa *sa, const struct place *place)
{
    return addr_equal(&sa->source.rtp, &place->source.rtp) &&
           addr_equal(&sa->source.rtcp, &place->source.rtcp) && sa->bound[0] == place->bound[0] &&
           sa->bound[1] == place->bound[1];
}

/* Only the SA whose packet was accepted may be somewhere else, and only there where it came from.
 */
static void check_places(const struct sa *heard, const struct addr *from)
{
    for (unsigned i = 0; i < world.count; i++) {
        const struct sa *sa = world.sender[i].sa;
        const struct place *place = &world.place[i];

        if (is_where_it_was(sa, place))
            continue;
        MUST(sa == heard && sa->source_policy != SOURCE_STRICT);
        MUST(addr_equal(&sa->source.rtp, &place->source.rtp) || addr_equal(&sa->source.rtp, from));
        MUST(addr_equal(&sa->source.rtcp, &place->source.rtcp) ||
             addr_equal(&sa->source.rtcp, from));
    }
}

/* What goes back goes where the sender is bound, or nowhere. */
static void check_return(const struct sender *sender)
{
    const struct sa *sa = sender->sa, *reverse = sender->reverse;

    if (!reverse->destination.rtp.family)
        return;
    MUST(sa->bound[0] && sa->source_policy != SOURCE_STRICT);
    MUST(!target_refusal(&world.rules, SA_SIDE_EXTERNAL, &reverse->destination.rtp));
}

enum verdict world_datagram(const struct addr *from, bool rtcp_port, const uint8_t *octets,
                            size_t length, struct sa **found)
{
    struct udp_packet packet = {.data = octets, .length = length, .source = *from};
    struct path_found at;
    enum verdict verdict;

    look();
    path_find(&world.path, &packet, 1, &at);
    verdict = path_verify(&world.path, &at, rtcp_port, &packet, world.now_us);
    check_places(verdict == VERDICT_ACCEPTED ? at.sa : NULL, from);
    for (unsigned i = 0; i < world.count; i++)
        check_return(&world.sender[i]);
    while (table_work_due(world.table) && table_work(world.table))
        continue;
    if (found)
        *found = at.sa;
    return verdict;
}

enum verdict world_send(const struct world_packet *packet, const char *from, struct sa **found)
{
    uint8_t octets[WORLD_PACKET_OCTETS];
    size_t length = world_make(packet, octets);
    struct addr source = sample_addr(from);

    return world_datagram(&source, packet->flags & WORLD_RTCP_PORT, octets, length, found);
}
