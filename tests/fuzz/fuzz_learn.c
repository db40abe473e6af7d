/*
 * Sources and SSRCs that are learned: the input is a program of senders, and of attackers who have
 * copies of all packets, spoil them, and make some with keys of their own. What must hold: nothing
 * is accepted that was not made with the SA's key, nothing is accepted twice while its SSRC is
 * known, nothing binds without such a packet from there, and nothing moves but after 8 of them and
 * a second without a fresher one (learnworld.c sees that nothing else is changed).
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/srtp/srtp.h"
#include "tests/unit/learnworld.h"
#include "tests/unit/sample.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    SENDERS_MAX = 4,
    SSRCS = 10,
    SEEN_MAX = 512,
    STEPS_MAX = 256,
    STEP_OCTETS = 4,
    INDEX_BEGIN = 70,
};

/* The first is a peer. */
static const char *const places[] = {"8.8.0.50:5004", "8.8.0.50:5005", "8.8.0.1:5000",
                                     "8.8.0.1:5001",  "8.8.0.1:31234", "9.9.0.1:7000",
                                     "9.9.0.1:7001",  "10.0.0.7:5000"};
enum { PLACES = sizeof(places) / sizeof(places[0]) };

/* Of packets that were accepted. */
struct seen {
    uint64_t index;
    uint32_t ssrc;
    unsigned keys;
    bool rtcp;
};

struct client {
    uint64_t rtp[SSRCS], rtcp; /* next index */
    unsigned keys;
    bool old_key;
    uint64_t rekeyed_us;

    struct seen seen[SEEN_MAX];
    unsigned seen_count;
    /* As an observer knows it: what came of RTP since it was bound or at home last. */
    unsigned rtp_from[PLACES];
    uint64_t moved_us, home_us;
    bool has_moved;
};

struct run {
    const uint8_t *data;
    size_t size;
    struct client client[SENDERS_MAX];
    unsigned count;
};

static void expect(bool condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "%s\n", what);
    abort();
}

static uint8_t take(struct run *run)
{
    if (run->size == 0)
        return 0;
    run->size--;
    return *run->data++;
}

/* ------------------------------------------------------------ senders */

static void add_sender(struct run *run)
{
    uint8_t how = take(run), where = take(run);
    struct world_who who = {.policy = (enum source_policy)(1 + how % 3),
                            .source = places[2 + where % (PLACES - 2)],
                            .hint = where & 0x80 ? places[4] : NULL};

    if (how & 4)
        who.flags |= WORLD_NAMED;
    if (how & 8)
        who.flags |= WORLD_MUX;
    if (how & 16)
        who.flags |= WORLD_SHORT_TAG;
    if (how & 32)
        who.flags |= WORLD_ONE_SSRC;
    if (how & 64) {
        who.flags |= WORLD_PRIME;
        who.policy = SOURCE_STRICT;
        who.source = places[0];
    }
    memset(&run->client[run->count], 0, sizeof(run->client[0]));
    for (unsigned i = 0; i < SSRCS; i++)
        run->client[run->count].rtp[i] = INDEX_BEGIN;
    run->client[run->count].rtcp = 1;
    (void)world_add(&who);
    run->count++;
}

/* ------------------------------------------------------------ what must hold */

static bool is_seen(const struct client *client, const struct seen *packet)
{
    for (unsigned i = 0; i < client->seen_count; i++) {
        const struct seen *seen = &client->seen[i];

        if (seen->index == packet->index && seen->ssrc == packet->ssrc &&
            seen->keys == packet->keys && seen->rtcp == packet->rtcp)
            return true;
    }
    return false;
}

/* What the SA has let go it may learn again. */
static void forget(struct client *client, struct sa *sa)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < client->seen_count; i++) {
        if (sa_stream(sa, client->seen[i].ssrc))
            client->seen[kept++] = client->seen[i];
    }
    client->seen_count = kept;
}

static bool is_newest(const struct client *client, const struct seen *packet)
{
    for (unsigned i = 0; i < client->seen_count; i++) {
        const struct seen *seen = &client->seen[i];

        if (!seen->rtcp && seen->ssrc == packet->ssrc &&
            seen->index + (seen->keys != packet->keys) > packet->index)
            return false;
    }
    return true;
}

static void is_home(struct client *client)
{
    client->home_us = world_now_us();
    memset(client->rtp_from, 0, sizeof(client->rtp_from));
}

struct before {
    bool bound;
    struct addr source;
};

static void check_move(struct client *client, const struct sa *sa, const struct before *before,
                       const struct seen *packet, unsigned from)
{
    uint64_t now_us = world_now_us();
    struct addr place = sample_addr(places[from]);

    if (packet->rtcp) {
        expect(sa->bound[0] == before->bound && addr_equal(&sa->source.rtp, &before->source),
               "RTCP has bound or moved RTP");
        return;
    }
    client->rtp_from[from]++;
    if (sa->bound[0] && (!before->bound || !addr_equal(&sa->source.rtp, &before->source))) {
        unsigned least = !before->bound ? sa->suite->rtp_tag_octets == 4 ? 3 : 1 : 8;

        expect(client->rtp_from[from] >= least, "moved too soon");
        expect(!before->bound || now_us - client->home_us >= 1000000, "moved while it was at home");
        expect(!client->has_moved || now_us - client->moved_us >= 10000000, "moved too often");
        client->has_moved = before->bound;
        client->moved_us = now_us;
        is_home(client);
    } else if (sa->bound[0] && addr_equal(&sa->source.rtp, &place) && is_newest(client, packet)) {
        is_home(client);
    }
}

/* A copy from the bound source of the newest packet, while packets come from elsewhere. */
static void check_copy(struct client *client, const struct sa *sa,
                       const struct world_packet *packet, unsigned from)
{
    struct seen seen = {packet->index, packet->ssrc, client->keys, false};
    struct addr place = sample_addr(places[from]);
    unsigned elsewhere = 0;

    for (unsigned i = 0; i < PLACES; i++)
        elsewhere += client->rtp_from[i];
    if (sa->bound[0] && addr_equal(&sa->source.rtp, &place) && elsewhere > 0 &&
        !(packet->flags & (WORLD_RTCP | WORLD_FORGED)) && !client->old_key &&
        is_seen(client, &seen) && is_newest(client, &seen))
        is_home(client);
}

static void check(struct run *run, const struct world_packet *packet, const struct sa *found,
                  const struct before *before, unsigned from)
{
    struct client *client = &run->client[packet->who];
    struct sa *sa = world_sa(packet->who);
    struct seen seen = {packet->index, packet->ssrc, client->keys - client->old_key,
                        packet->flags & WORLD_RTCP};

    expect(found == sa, "accepted as another's");
    expect(!(packet->flags & WORLD_FORGED), "a forged packet is accepted");
    expect(!client->old_key || world_now_us() < client->rekeyed_us + OLD_KEY_US,
           "accepted under a key that is over");
    expect(!is_seen(client, &seen), "accepted twice");
    expect(sa_stream(sa, packet->ssrc) != NULL, "accepted and not known");
    check_move(client, sa, before, &seen, from);
    forget(client, sa);
    if (client->seen_count < SEEN_MAX)
        client->seen[client->seen_count++] = seen;
}

/* ------------------------------------------------------------ packets */

/*
 * who and what, SSRC, how far from where the sender stands, from where: bits of four octets. An old
 * index is a copy, or a late packet.
 */
static void send_packet(struct run *run, uint8_t what, uint8_t which, uint8_t where)
{
    struct world_packet packet = {.who = what % run->count};
    struct client *client = &run->client[packet.who];
    unsigned ssrc = which % SSRCS, back = which / SSRCS, from = where % PLACES;
    uint64_t *next = what & 4 ? &client->rtcp : &client->rtp[ssrc];
    struct before before = {world_sa(packet.who)->bound[0], world_sa(packet.who)->source.rtp};
    uint64_t refused = budget_counts(world_budget()).refused;
    struct sa *found;
    enum verdict verdict;

    packet.ssrc = WORLD_SSRC + ssrc;
    packet.index = *next > back ? *next - back : *next;
    packet.flags = (what & 4 ? WORLD_RTCP : 0) | (what & 8 ? WORLD_RTCP_PORT : 0) |
                   (what & 16 ? WORLD_FORGED : 0) | (where & 8 ? WORLD_OUTER : 0);
    packet.outer = WORLD_SSRC + (where & 16 ? ssrc : where / 32u);
    *next += packet.index == *next;
    verdict = world_send(&packet, places[from], &found);
    if (verdict == VERDICT_ACCEPTED)
        check(run, &packet, found, &before, from);
    if (verdict == VERDICT_REPLAY && budget_counts(world_budget()).refused == refused)
        check_copy(client, world_sa(packet.who), &packet, from);
}

/* The same 8 times, one in 20 ms: what a stream looks like. */
static void send_stream(struct run *run, uint8_t what, uint8_t which, uint8_t where)
{
    for (unsigned i = 0; i < 8; i++) {
        world_pass(20000);
        send_packet(run, what, which, where);
    }
}

static void rekey_sender(struct run *run, unsigned who)
{
    struct client *client = &run->client[who];

    if (client->keys == 3)
        return;
    world_rekey(who);
    client->keys++;
    client->rekeyed_us = world_now_us();
    client->old_key = false;
    world_use_old_key(who, false);
}

static void use_key(struct run *run, unsigned who, bool old)
{
    struct client *client = &run->client[who];

    client->old_key = old && client->keys > 0;
    world_use_old_key(who, client->old_key);
}

static void step(struct run *run)
{
    uint8_t kind = take(run), what = take(run), which = take(run), where = take(run);

    world_pass(1000 * (uint64_t)(kind / 16));
    switch (kind % 16) {
    case 0:
        world_pass(10000 * (uint64_t)what);
        break;
    case 1:
        world_pass(100000 * (uint64_t)what);
        break;
    case 2:
        rekey_sender(run, what % run->count);
        break;
    case 3:
        use_key(run, what % run->count, which & 1);
        break;
    case 4:
    case 5:
    case 6:
        send_stream(run, what, which, where);
        break;
    default:
        send_packet(run, what, which, where);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct run run;

    run = (struct run){.data = data, .size = size};
    sample_engine_start();
    world_begin();
    world_add_peer(places[0]);
    for (unsigned senders = 1 + take(&run) % SENDERS_MAX; run.count < senders;)
        add_sender(&run);
    for (unsigned i = 0; i < STEPS_MAX && run.size >= STEP_OCTETS; i++)
        step(&run);
    world_end();
    return 0;
}
