#include "common/sa/budget.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/hash.h"

/* A longer pause counts as this one, so that products fit 64 bits. */
enum { PAUSE_MAX_US = 1000 * 1000 * 1000 };

/* In tries. */
struct limit {
    uint32_t rate, burst;
};

static const struct limit limit_kind[BUDGET_KINDS] = {
    [BUDGET_MATCH] = {BUDGET_MATCH_RATE, BUDGET_MATCH_BURST},
    [BUDGET_SEARCH] = {BUDGET_SEARCH_RATE, BUDGET_SEARCH_BURST},
    [BUDGET_OPEN] = {BUDGET_OPEN_RATE, BUDGET_OPEN_BURST},
};
static const struct limit limit_owner[BUDGET_KINDS] = {
    [BUDGET_MATCH] = {BUDGET_MATCH_OWNER_RATE, BUDGET_MATCH_OWNER_BURST},
    [BUDGET_SEARCH] = {BUDGET_SEARCH_OWNER_RATE, BUDGET_SEARCH_OWNER_BURST},
    [BUDGET_OPEN] = {BUDGET_OPEN_OWNER_RATE, BUDGET_OPEN_OWNER_BURST},
};
static const struct limit limit_flow = {BUDGET_FLOW_RATE, BUDGET_FLOW_BURST};
static const struct limit limit_ip = {BUDGET_IP_RATE, BUDGET_IP_BURST};
static const struct limit limit_peer = {BUDGET_PEER_RATE, BUDGET_PEER_BURST};

/* What was taken and has not come back yet, in tries * 10^6: one of zeros is full. */
struct bucket {
    uint64_t spent;
    uint64_t last_us;
};

struct flow {
    struct bucket match, search;
    uint64_t seen_us; /* with this tag */
    struct candidates_cursor cursor;
    uint32_t tag; /* 0: nobody's yet */
};

struct budget {
    struct hash_key key;
    uint64_t dice;
    struct bucket kind[BUDGET_KINDS];
    struct bucket ip[BUDGET_IPS], peer[BUDGET_PEERS];
    struct bucket owner[BUDGET_KINDS][BUDGET_OWNERS];
    struct flow flow[BUDGET_FLOWS];
    struct candidates_cursor loose; /* of flows whose place another one keeps */
    struct budget_counts counts;
};

struct budget *budget_new(void)
{
    struct budget *budget = calloc(1, sizeof(*budget));

    if (!budget)
        return NULL;
    budget->key = hash_key_random();
    return budget;
}

void budget_free(struct budget *budget)
{
    free(budget);
}

/* ------------------------------------------------------------ buckets */

static void refill(struct bucket *bucket, const struct limit *limit, uint64_t now_us)
{
    uint64_t elapsed = now_us > bucket->last_us ? now_us - bucket->last_us : 0;
    uint64_t back;

    if (elapsed > PAUSE_MAX_US)
        elapsed = PAUSE_MAX_US;
    back = elapsed * limit->rate;
    bucket->spent -= back < bucket->spent ? back : bucket->spent;
    if (now_us > bucket->last_us)
        bucket->last_us = now_us;
}

/* At most wanted. */
static unsigned holds(struct bucket *bucket, const struct limit *limit, unsigned wanted,
                      uint64_t now_us)
{
    uint64_t left;

    refill(bucket, limit, now_us);
    left = ((uint64_t)limit->burst * 1000000 - bucket->spent) / 1000000;
    return left < wanted ? (unsigned)left : wanted;
}

static void spend(struct bucket *bucket, unsigned tries)
{
    bucket->spent += (uint64_t)tries * 1000000;
}

static void give_back(struct bucket *bucket, unsigned tries)
{
    uint64_t back = (uint64_t)tries * 1000000;

    bucket->spent -= back < bucket->spent ? back : bucket->spent;
}

/* ------------------------------------------------------------ flows */

static struct bucket *flow_bucket(struct budget *budget, const struct budget_flow *flow,
                                  enum budget_kind kind)
{
    struct flow *place = &budget->flow[flow->place];

    return kind == BUDGET_MATCH ? &place->match : &place->search;
}

static struct bucket *host_bucket(struct budget *budget, const struct budget_flow *flow)
{
    return flow->peer ? &budget->peer[flow->host] : &budget->ip[flow->host];
}

struct budget_flow budget_flow(const struct budget *budget, const struct addr *source,
                               uint32_t ssrc, bool peer)
{
    uint8_t key[16 + sizeof(ssrc) + 3];
    struct budget_flow flow = {.peer = peer};
    uint64_t hash;

    memcpy(key, source->ip, 16);
    key[16] = source->family;
    hash = hash_bytes(&budget->key, key, 17);
    flow.host = (uint32_t)(hash % (peer ? BUDGET_PEERS : BUDGET_IPS));
    key[17] = (uint8_t)(source->port >> 8);
    key[18] = (uint8_t)source->port;
    memcpy(key + 19, &ssrc, sizeof(ssrc));
    hash = hash_bytes(&budget->key, key, sizeof(key));
    flow.place = (uint32_t)(hash % BUDGET_FLOWS);
    flow.tag = (uint32_t)(hash >> 32) | 1;
    return flow;
}

/* Nobody outside sees what follows from it, so it need not be more than even. */
static uint32_t roll(struct budget *budget)
{
    uint64_t count = ++budget->dice;

    return (uint32_t)hash_bytes(&budget->key, &count, sizeof(count));
}

static void throw_cursor(struct budget *budget, struct candidates_cursor *cursor, uint32_t turn)
{
    for (unsigned i = 0; i < CANDIDATES_LANES; i++)
        cursor->at[i] = roll(budget);
    cursor->turn = turn;
}

/*
 * Two flows that took one place from each other all the time would each begin anew with every
 * packet, and two that shared one cursor might each see every other candidate only. So one
 * has it to itself, and the other tries its luck.
 */
struct candidates_cursor *budget_cursor(struct budget *budget, const struct budget_flow *flow,
                                        uint64_t now_us)
{
    struct flow *place = &budget->flow[flow->place];

    if (place->tag != flow->tag) {
        if (place->tag && now_us < place->seen_us + BUDGET_FLOW_KEEP_US) {
            throw_cursor(budget, &budget->loose, roll(budget));
            return &budget->loose;
        }
        place->tag = flow->tag;
        throw_cursor(budget, &place->cursor, 0);
    }
    place->seen_us = now_us;
    return &place->cursor;
}

/* ------------------------------------------------------------ tries */

unsigned budget_take(struct budget *budget, const struct budget_flow *flow, enum budget_kind kind,
                     unsigned wanted, uint64_t now_us)
{
    struct bucket *of_flow = flow_bucket(budget, flow, kind), *of_kind = &budget->kind[kind];
    struct bucket *host = host_bucket(budget, flow);
    unsigned tries = wanted < BUDGET_TRIES ? wanted : BUDGET_TRIES;

    tries = holds(of_flow, &limit_flow, tries, now_us);
    tries = holds(of_kind, &limit_kind[kind], tries, now_us);
    if (kind != BUDGET_MATCH)
        tries = holds(host, flow->peer ? &limit_peer : &limit_ip, tries, now_us);
    spend(of_flow, tries);
    spend(of_kind, tries);
    if (kind != BUDGET_MATCH)
        spend(host, tries);
    budget->counts.refused += tries == 0 && wanted > 0;
    return tries;
}

bool budget_owner(struct budget *budget, enum budget_kind kind, unsigned owner, uint64_t now_us)
{
    struct bucket *bucket = &budget->owner[kind][owner % BUDGET_OWNERS];

    if (holds(bucket, &limit_owner[kind], 1, now_us) == 0)
        return false;
    spend(bucket, 1);
    return true;
}

void budget_done(struct budget *budget, const struct budget_flow *flow, enum budget_kind kind,
                 unsigned taken, unsigned tried, bool heard)
{
    struct flow *place = &budget->flow[flow->place];

    budget->counts.tries += tried;
    budget->counts.refused += tried == 0;
    give_back(&budget->kind[kind], taken - tried);
    if (kind != BUDGET_MATCH)
        give_back(host_bucket(budget, flow), heard ? taken : taken - tried);
    if (heard)
        place->match.spent = place->search.spent = 0;
    else
        give_back(flow_bucket(budget, flow, kind), taken - tried);
}

struct budget_counts budget_counts(const struct budget *budget)
{
    return budget->counts;
}
