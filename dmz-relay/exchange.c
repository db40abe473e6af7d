#include "dmz-relay/exchange.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/err.h"
#include "common/base/protocol.h"
#include "common/tunnel/sitewire.h"

/* A SITE, or, without data, the end of its session. */
struct item {
    struct item *next;
    uint64_t session;
    uint8_t kind;
    size_t length;
    uint8_t data[];
};

/* What goes from one site to another. */
struct way {
    struct item *first, *last;
    uint32_t used; /* of the window; */
    uint32_t owed; /* of that is free again, and has not been said yet */
};

struct place {
    const char *name;
    bool up;
    uint64_t callers; /* that may open sessions with it */
    uint64_t talked;  /* sites that frames went to, or came from, while both were up */
    uint64_t waiting; /* sites that something waits from */
    uint64_t owed;    /* sites to which some of the window is free again */
    unsigned turn;    /* the site that is next */
};

struct exchange {
    const struct exchange_hooks *hooks;
    void *ctx;
    size_t count, held;
    struct exchange_counts counts;
    struct way *way; /* count * count of them: from, to */
    struct place place[EXCHANGE_SITES_MAX];
};

static uint64_t bit(unsigned site)
{
    return UINT64_C(1) << site;
}

static struct way *way_of(const struct exchange *exchange, unsigned from, unsigned to)
{
    return &exchange->way[from * exchange->count + to];
}

struct exchange *exchange_new(const char *const *names, size_t count,
                              const struct exchange_hooks *hooks, void *ctx)
{
    struct exchange *exchange = calloc(1, sizeof(*exchange));

    if (!exchange)
        return NULL;
    exchange->hooks = hooks;
    exchange->ctx = ctx;
    exchange->count = count;
    exchange->way = calloc(count * count + 1, sizeof(*exchange->way));
    if (!exchange->way) {
        free(exchange);
        return NULL;
    }
    for (size_t i = 0; i < count; i++)
        exchange->place[i].name = names[i];
    return exchange;
}

static void free_first(struct exchange *exchange, struct way *way)
{
    struct item *item = way->first;

    way->first = item->next;
    exchange->held -= sizeof(*item) + item->length;
    free(item);
}

void exchange_free(struct exchange *exchange)
{
    if (!exchange)
        return;
    for (size_t i = 0; i < exchange->count * exchange->count; i++) {
        while (exchange->way[i].first)
            free_first(exchange, &exchange->way[i]);
    }
    free(exchange->way);
    free(exchange);
}

void exchange_set_policy(struct exchange *exchange, unsigned site, uint64_t callers)
{
    exchange->place[site].callers = callers & ~bit(site);
}

bool exchange_may_meet(const struct exchange *exchange, unsigned a, unsigned b)
{
    return (exchange->place[a].callers & bit(b)) || (exchange->place[b].callers & bit(a));
}

const struct exchange_counts *exchange_counts(const struct exchange *exchange)
{
    return &exchange->counts;
}

size_t exchange_held(const struct exchange *exchange)
{
    return exchange->held;
}

/* ------------------------------------------------------------ what is said of sites */

/* frame NULL: of no one session. */
static void tell(struct exchange *exchange, unsigned to, const char *about, enum site_state state,
                 const struct site_frame *frame)
{
    struct site_frame answer = {.state = (uint8_t)state};
    uint8_t memory[SITE_SIZE + 64];
    struct writer w;

    snprintf(answer.site, sizeof(answer.site), "%s", about);
    if (frame) {
        answer.session = frame->session;
        answer.kind = frame->kind;
    }
    writer_init(&w, memory, sizeof(memory));
    sitewire_put(&w, FRAME_SITE_STATE, &answer);
    exchange->hooks->tell(exchange->ctx, to, memory, writer_length(&w));
}

static void give_back(struct exchange *exchange, unsigned from, unsigned to, uint32_t cost)
{
    way_of(exchange, from, to)->owed += cost;
    exchange->place[from].owed |= bit(to);
    exchange->hooks->kick(exchange->ctx, from);
}

void exchange_up(struct exchange *exchange, unsigned site, uint64_t features)
{
    exchange->place[site].up = (features & FEATURE_SITES) != 0;
}

static void drop_all(struct exchange *exchange, unsigned from, unsigned to)
{
    struct way *way = way_of(exchange, from, to);

    exchange->place[to].waiting &= ~bit(from);
    while (way->first) {
        uint32_t cost = (uint32_t)way->first->length + SITE_COST_OCTETS;

        free_first(exchange, way);
        if (exchange->place[from].up)
            give_back(exchange, from, to, cost);
    }
}

void exchange_down(struct exchange *exchange, unsigned site)
{
    struct place *place = &exchange->place[site];
    uint64_t talked = place->talked;

    place->up = false;
    place->talked = place->owed = 0;
    for (unsigned other = 0; other < exchange->count; other++) {
        drop_all(exchange, site, other);
        drop_all(exchange, other, site);
        way_of(exchange, site, other)->used = way_of(exchange, site, other)->owed = 0;
        exchange->place[other].talked &= ~bit(site);
        if ((talked & bit(other)) && exchange->place[other].up)
            tell(exchange, other, place->name, SITE_STATE_OFFLINE, NULL);
    }
}

/* ------------------------------------------------------------ what comes */

static int find(const struct exchange *exchange, const char *name)
{
    for (size_t i = 0; i < exchange->count; i++) {
        if (strcasecmp(exchange->place[i].name, name) == 0)
            return (int)i;
    }
    return -1;
}

static bool may(const struct exchange *exchange, unsigned from, unsigned to, uint8_t kind)
{
    unsigned caller = kind == SITE_KIND_BACK ? to : from;
    unsigned called = kind == SITE_KIND_BACK ? from : to;

    return exchange->place[called].callers & bit(caller);
}

/* False without memory. */
static bool append(struct exchange *exchange, unsigned from, unsigned to,
                   const struct site_frame *frame)
{
    struct way *way = way_of(exchange, from, to);
    struct item *item = malloc(sizeof(*item) + frame->length);

    if (!item)
        return false;
    item->next = NULL;
    item->session = frame->session;
    item->kind = frame->kind;
    item->length = frame->length;
    if (frame->length > 0)
        memcpy(item->data, frame->data, frame->length);
    if (way->first)
        way->last->next = item;
    else
        way->first = item;
    way->last = item;
    exchange->held += sizeof(*item) + frame->length;
    exchange->place[to].waiting |= bit(from);
    exchange->place[from].talked |= bit(to);
    exchange->place[to].talked |= bit(from);
    exchange->hooks->kick(exchange->ctx, to);
    return true;
}

/* Of the end of a session nothing is said: it would be of no use to who ended it. */
static void answer(struct exchange *exchange, unsigned from, uint8_t type, enum site_state state,
                   const struct site_frame *frame)
{
    exchange->counts.refused += state == SITE_STATE_REFUSED;
    exchange->counts.unknown += state == SITE_STATE_UNKNOWN;
    exchange->counts.offline += state == SITE_STATE_OFFLINE;
    if (type == FRAME_SITE)
        tell(exchange, from, frame->site, state, frame);
}

int exchange_frame(struct exchange *exchange, unsigned site, uint8_t type, struct reader *body)
{
    struct site_frame frame;
    int to = -1;
    struct way *way;

    if (!exchange->place[site].up || sitewire_get(type, body, &frame) < 0)
        return ERR_PROTOCOL;
    if (type == FRAME_SITE_STATE && (frame.state != SITE_STATE_CLOSED))
        return ERR_PROTOCOL;
    to = find(exchange, frame.site);
    if (to < 0) {
        answer(exchange, site, type, SITE_STATE_UNKNOWN, &frame);
        return 0;
    }
    way = way_of(exchange, site, (unsigned)to);
    if (way->used + sitewire_cost(&frame) > SITE_WINDOW_OCTETS)
        return ERR_PROTOCOL;
    way->used += sitewire_cost(&frame);
    if (!may(exchange, site, (unsigned)to, frame.kind))
        answer(exchange, site, type, SITE_STATE_REFUSED, &frame);
    else if (!exchange->place[to].up || !append(exchange, site, (unsigned)to, &frame))
        answer(exchange, site, type, SITE_STATE_OFFLINE, &frame);
    else
        return 0;
    give_back(exchange, site, (unsigned)to, sitewire_cost(&frame));
    return 0;
}

/* ------------------------------------------------------------ what goes on */

/* The next one with a bit in the mask, from turn on. */
static unsigned next_of(uint64_t mask, unsigned turn)
{
    uint64_t later = turn < 64 ? mask & ~(bit(turn) - 1) : 0;

    return (unsigned)__builtin_ctzll(later ? later : mask);
}

static void put_credit(struct exchange *exchange, unsigned site, uint8_t *type, struct writer *body)
{
    struct place *place = &exchange->place[site];
    unsigned about = next_of(place->owed, 0);
    struct way *way = way_of(exchange, site, about);
    struct site_frame frame = {.state = SITE_STATE_TAKEN, .credit = way->owed};

    snprintf(frame.site, sizeof(frame.site), "%s", exchange->place[about].name);
    way->used -= way->owed;
    way->owed = 0;
    place->owed &= ~bit(about);
    *type = FRAME_SITE_STATE;
    sitewire_put(body, FRAME_SITE_STATE, &frame);
}

static void put_item(struct exchange *exchange, unsigned site, unsigned from, uint8_t *type,
                     struct writer *body)
{
    struct way *way = way_of(exchange, from, site);
    const struct item *item = way->first;
    struct site_frame frame = {.session = item->session,
                               .kind = item->kind,
                               .state = SITE_STATE_CLOSED,
                               .data = item->data,
                               .length = item->length};

    snprintf(frame.site, sizeof(frame.site), "%s", exchange->place[from].name);
    *type = item->length > 0 ? FRAME_SITE : FRAME_SITE_STATE;
    sitewire_put(body, *type, &frame);
    exchange->counts.frames++;
    exchange->counts.octets += item->length;
    free_first(exchange, way);
    if (!way->first)
        exchange->place[site].waiting &= ~bit(from);
    give_back(exchange, from, site, sitewire_cost(&frame));
}

bool exchange_pull(struct exchange *exchange, unsigned site, uint8_t *type, struct writer *body)
{
    struct place *place = &exchange->place[site];
    unsigned from;

    if (!place->up || (!place->owed && !place->waiting))
        return false;
    if (place->owed) {
        put_credit(exchange, site, type, body);
        return true;
    }
    from = next_of(place->waiting, place->turn);
    place->turn = from + 1;
    put_item(exchange, site, from, type, body);
    return true;
}
