#include "common/sa/candidates.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/hash.h"

/*
 * Groups are numbered, and stand in chunks that never move. Those two numbers are no group: a
 * membership that is none, and that of an SA which waits for candidates_work().
 */
enum { GROUP_NONE, GROUP_PENDING, GROUP_FIRST, CHUNK_GROUPS = 256 };

/* The memberships of an SA (sa->candidacy), by what makes them. */
enum { BY_SOURCE, BY_SOURCE_IP, BY_HINT_IP, BY_POLICY };

/* Each is two kinds in one array: FRESH and HEARD, HINT and HINT_NAMED, OPEN and OPEN_NAMED. */
enum family { FAMILY_NONE, FAMILY_SOURCE, FAMILY_HINT, FAMILY_OPEN };

/*
 * What a group is found by; without holes, since its octets are hashed and compared. Groups of
 * several owners at one place differ in the last octet alone, which is not hashed: they stand in
 * one bucket.
 */
struct key {
    uint8_t ip[16];
    uint16_t port;
    uint8_t ip_family, side, family, none[2], owner;
};

enum { PLACE_OCTETS = offsetof(struct key, owner) };

/* The first kind stands in front. Most groups have one SA, and need no array. */
struct group {
    struct sa **sa;
    struct sa *one;
    uint32_t count, front, capacity;
    uint32_t next; /* with the same hash, or the next spare one; 0 = none */
    struct key key;
};

struct candidates {
    size_t max, count;
    size_t members; /* memberships of all SAs */
    struct hash_key hash_key;
    size_t mask; /* buckets - 1 */
    uint32_t *bucket;
    struct group **chunk;
    uint32_t used, spare; /* groups with a number below used; the first spare one */
    uint32_t tidy;        /* where tidy() goes on */
    uint64_t dice;
    struct group pending; /* room for all SAs: candidates_update() cannot allocate */
};

/* The memberships that an SA ought to have. */
struct wanted {
    struct key key[SA_CANDIDACIES];
    bool behind; /* in the second half of each group */
};

static struct group *group_at(const struct candidates *c, uint32_t number)
{
    return &c->chunk[number / CHUNK_GROUPS][number % CHUNK_GROUPS];
}

/* ------------------------------------------------------------ what an SA ought to be in */

static struct key make_key(enum family family, enum sa_side side, const struct addr *addr)
{
    struct key key;

    memset(&key, 0, sizeof(key));
    key.side = (uint8_t)side;
    key.family = (uint8_t)family;
    if (family == FAMILY_OPEN)
        return key;
    memcpy(key.ip, addr->ip, sizeof(key.ip));
    key.ip_family = addr->family;
    if (family == FAMILY_SOURCE)
        key.port = addr->port;
    return key;
}

static struct addr port_below(const struct addr *addr)
{
    struct addr below = *addr;

    below.port--;
    return below;
}

/* An RTCP source that is not found by the RTP source. */
static bool has_odd_rtcp(const struct sa *sa)
{
    struct addr below;

    if (sa->source.mux || !sa->source.rtcp.family)
        return false;
    below = port_below(&sa->source.rtcp);
    return !addr_equal(&sa->source.rtcp, &sa->source.rtp) && !addr_equal(&below, &sa->source.rtp);
}

static void want_unbound(const struct sa *sa, struct wanted *w)
{
    const struct addr *source = &sa->source.rtp;

    if (source->family)
        w->key[BY_SOURCE_IP] = make_key(FAMILY_HINT, sa->side, source);
    if (sa->hint.family && !addr_ip_equal(&sa->hint, source))
        w->key[BY_HINT_IP] = make_key(FAMILY_HINT, sa->side, &sa->hint);
    if (sa->source_policy == SOURCE_OPEN)
        w->key[BY_POLICY] = make_key(FAMILY_OPEN, sa->side, NULL);
}

static void want(const struct sa *sa, struct wanted *w)
{
    bool learns = sa_learns_ssrcs(sa);

    memset(w, 0, sizeof(*w));
    if (!sa_is_bound(sa, false) && sa->encap_in == SA_ENCAP_RTP)
        want_unbound(sa, w);
    if (learns && sa->source.rtp.family)
        w->key[BY_SOURCE] = make_key(FAMILY_SOURCE, sa->side, &sa->source.rtp);
    if (learns && has_odd_rtcp(sa) && w->key[BY_POLICY].family == FAMILY_NONE)
        w->key[BY_POLICY] = make_key(FAMILY_SOURCE, sa->side, &sa->source.rtcp);
    for (unsigned i = 0; i < SA_CANDIDACIES; i++) {
        if (w->key[i].family != FAMILY_NONE)
            w->key[i].owner = (uint8_t)sa->owner;
    }
}

/* HEARD instead of FRESH, and *_NAMED. */
static bool stands_behind(const struct sa *sa, enum family family)
{
    return family == FAMILY_SOURCE ? sa->stream_count > 0 : !sa_learns_ssrcs(sa);
}

/* ------------------------------------------------------------ one group */

/* Into a place whose SA has left it. */
static void move(struct group *group, uint32_t number, uint32_t from, uint32_t to)
{
    struct sa *sa = group->sa[from];

    if (from == to)
        return;
    group->sa[to] = sa;
    for (unsigned i = 0; i < SA_CANDIDACIES; i++) {
        if (sa->candidacy[i].group == number)
            sa->candidacy[i].position = to;
    }
}

/* Takes the SA at this place out; the others close up, each half by its last one. */
static void close_gap(struct group *group, uint32_t number, uint32_t position)
{
    if (position < group->front) {
        move(group, number, --group->front, position);
        position = group->front;
    }
    move(group, number, --group->count, position);
}

/* There is room. */
static void put(struct group *group, uint32_t number, struct sa *sa, unsigned which, bool behind)
{
    uint32_t position = group->count++;

    if (!behind) {
        if (position > group->front)
            move(group, number, group->front, position);
        position = group->front++;
    }
    group->sa[position] = sa;
    sa->candidacy[which] = (struct sa_candidacy){number, position};
}

/* Between the two halves. */
static void cross(struct group *group, struct sa *sa, unsigned which, bool behind)
{
    uint32_t number = sa->candidacy[which].group, position = sa->candidacy[which].position;
    uint32_t border;

    if (behind == (position >= group->front))
        return;
    border = behind ? --group->front : group->front++;
    if (border != position) {
        move(group, number, border, position);
        group->sa[border] = sa;
    }
    sa->candidacy[which].position = border;
}

/* To capacity, which holds all of them. False without memory: nothing has changed. */
static bool resize(struct group *group, uint32_t capacity)
{
    struct sa **array;

    if (capacity == 1) {
        group->one = group->sa[0];
        free(group->sa);
        array = &group->one;
    } else if (group->sa == &group->one) {
        array = malloc(capacity * sizeof(struct sa *));
        if (array)
            array[0] = group->one;
    } else {
        array = realloc(group->sa, capacity * sizeof(struct sa *));
    }
    if (!array)
        return false;
    group->sa = array;
    group->capacity = capacity;
    return true;
}

/* ------------------------------------------------------------ all groups */

static uint32_t *bucket_of(const struct candidates *c, const struct key *key)
{
    return &c->bucket[hash_bytes(&c->hash_key, key, PLACE_OCTETS) & c->mask];
}

/* GROUP_NONE: there is no such group. */
static uint32_t find(const struct candidates *c, const struct key *key)
{
    uint32_t number = *bucket_of(c, key);

    while (number && memcmp(&group_at(c, number)->key, key, sizeof(*key)) != 0)
        number = group_at(c, number)->next;
    return number;
}

/* The next group from number on, in its bucket, that stands at this place, of whatever owner. */
static uint32_t at_place(const struct candidates *c, uint32_t number, const struct key *key)
{
    while (number && memcmp(&group_at(c, number)->key, key, PLACE_OCTETS) != 0)
        number = group_at(c, number)->next;
    return number;
}

/* GROUP_NONE without memory. */
static uint32_t spare_group(struct candidates *c)
{
    uint32_t number = c->spare;

    if (number) {
        c->spare = group_at(c, number)->next;
        return number;
    }
    number = c->used;
    if (!c->chunk[number / CHUNK_GROUPS]) {
        c->chunk[number / CHUNK_GROUPS] = calloc(CHUNK_GROUPS, sizeof(struct group));
        if (!c->chunk[number / CHUNK_GROUPS])
            return GROUP_NONE;
    }
    c->used++;
    return number;
}

static uint32_t find_or_make(struct candidates *c, const struct key *key)
{
    uint32_t number = find(c, key), *bucket;
    struct group *group;

    if (number)
        return number;
    number = spare_group(c);
    if (!number)
        return GROUP_NONE;
    group = group_at(c, number);
    bucket = bucket_of(c, key);
    *group = (struct group){.sa = &group->one, .capacity = 1, .next = *bucket, .key = *key};
    *bucket = number;
    return number;
}

static void discard(struct candidates *c, uint32_t number)
{
    struct group *group = group_at(c, number);
    uint32_t *at = bucket_of(c, &group->key);

    while (*at != number)
        at = &group_at(c, *at)->next;
    *at = group->next;
    if (group->sa != &group->one)
        free(group->sa);
    *group = (struct group){.next = c->spare};
    c->spare = number;
}

static int enter(struct candidates *c, struct sa *sa, unsigned which, const struct key *key)
{
    uint32_t number = find_or_make(c, key);
    struct group *group;

    if (!number)
        return ERR_NOMEM;
    group = group_at(c, number);
    /* A group that was made just now has room: none stays empty. */
    if (group->count == group->capacity && !resize(group, 2 * group->capacity))
        return ERR_NOMEM;
    put(group, number, sa, which, stands_behind(sa, key->family));
    c->members++;
    return 0;
}

static void leave(struct candidates *c, struct sa *sa, unsigned which)
{
    struct sa_candidacy in = sa->candidacy[which];
    struct group *group;

    sa->candidacy[which] = (struct sa_candidacy){0};
    if (in.group == GROUP_NONE)
        return;
    c->members--;
    group = in.group == GROUP_PENDING ? &c->pending : group_at(c, in.group);
    close_gap(group, in.group, in.position);
    if (group->count == 0 && in.group != GROUP_PENDING)
        discard(c, in.group);
}

static void leave_all(struct candidates *c, struct sa *sa)
{
    for (unsigned i = 0; i < SA_CANDIDACIES; i++)
        leave(c, sa, i);
}

/*
 * Whoever moves from group to group would leave large arrays behind, each with one SA. So
 * whoever enters a group looks after two others.
 */
static void tidy(struct candidates *c)
{
    for (int i = 0; i < 2; i++) {
        struct group *group;

        if (c->tidy >= c->used)
            c->tidy = GROUP_FIRST;
        if (c->tidy >= c->used)
            return;
        group = group_at(c, c->tidy++);
        if (group->capacity > 1 && group->count <= group->capacity / 4)
            resize(group, group->count > 1 ? 2 * group->count : 1);
    }
}

/* Leaves what it is in and should not be, takes the right half of the rest. True: nothing is
 * missing. */
static bool leave_wrong(struct candidates *c, struct sa *sa, const struct wanted *w)
{
    bool complete = true;

    if (sa->candidacy[BY_SOURCE].group == GROUP_PENDING)
        leave(c, sa, BY_SOURCE);
    for (unsigned i = 0; i < SA_CANDIDACIES; i++) {
        uint32_t number = sa->candidacy[i].group;

        if (number && memcmp(&group_at(c, number)->key, &w->key[i], sizeof(struct key)) != 0)
            leave(c, sa, i);
        else if (number)
            cross(group_at(c, number), sa, i, stands_behind(sa, w->key[i].family));
        if (w->key[i].family != FAMILY_NONE && !sa->candidacy[i].group)
            complete = false;
    }
    return complete;
}

/* In no group of its source meanwhile: that place is the one among those that wait. */
static void wait_for_work(struct candidates *c, struct sa *sa)
{
    leave(c, sa, BY_SOURCE);
    put(&c->pending, GROUP_PENDING, sa, BY_SOURCE, true);
    c->members++;
}

/* What it should be in and is not. On an error it has entered some. */
static int enter_missing(struct candidates *c, struct sa *sa)
{
    struct wanted w;
    int result = 0;

    want(sa, &w);
    leave_wrong(c, sa, &w);
    for (unsigned i = 0; i < SA_CANDIDACIES && result == 0; i++) {
        if (w.key[i].family == FAMILY_NONE || sa->candidacy[i].group)
            continue;
        result = enter(c, sa, i, &w.key[i]);
        tidy(c);
    }
    return result;
}

/* ------------------------------------------------------------ in and out */

struct candidates *candidates_new(size_t max)
{
    size_t buckets = 16, groups = GROUP_FIRST + SA_CANDIDACIES * max;
    struct candidates *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    while (buckets < 2 * max)
        buckets *= 2;
    c->max = max;
    c->mask = buckets - 1;
    c->hash_key = hash_key_random();
    c->used = c->tidy = GROUP_FIRST;
    c->bucket = calloc(buckets, sizeof(*c->bucket));
    c->chunk = calloc(groups / CHUNK_GROUPS + 1, sizeof(struct group *));
    c->pending.sa = calloc(max + 1, sizeof(struct sa *));
    if (c->bucket && c->chunk && c->pending.sa)
        return c;
    candidates_free(c);
    return NULL;
}

void candidates_free(struct candidates *c)
{
    if (!c)
        return;
    for (uint32_t i = GROUP_FIRST; c->chunk && i < c->used; i++) {
        if (group_at(c, i)->sa != &group_at(c, i)->one)
            free(group_at(c, i)->sa);
    }
    for (uint32_t i = 0; c->chunk && i <= (c->used - 1) / CHUNK_GROUPS; i++)
        free(c->chunk[i]);
    free(c->pending.sa);
    free(c->chunk);
    free(c->bucket);
    free(c);
}

int candidates_add(struct candidates *c, struct sa *sa)
{
    int result;

    if (c->count >= c->max)
        return ERR_FULL;
    result = enter_missing(c, sa);
    if (result < 0)
        leave_all(c, sa);
    else
        c->count++;
    return result;
}

void candidates_remove(struct candidates *c, struct sa *sa)
{
    leave_all(c, sa);
    c->count--;
}

void candidates_update(struct candidates *c, struct sa *sa)
{
    struct wanted w;

    want(sa, &w);
    if (!leave_wrong(c, sa, &w))
        wait_for_work(c, sa);
}

bool candidates_work(struct candidates *c, unsigned most)
{
    for (unsigned i = 0; i < most && c->pending.count; i++) {
        struct sa *sa = c->pending.sa[c->pending.count - 1];

        if (enter_missing(c, sa) < 0) {
            wait_for_work(c, sa);
            return true;
        }
    }
    return c->pending.count > 0;
}

bool candidates_are_none(const struct candidates *c)
{
    return c->members == 0;
}

bool candidates_work_due(const struct candidates *c)
{
    return c->pending.count > 0;
}

size_t candidates_octets(const struct candidates *c)
{
    size_t groups = GROUP_FIRST + SA_CANDIDACIES * c->max;
    size_t octets = sizeof(*c) + (c->mask + 1) * sizeof(*c->bucket) +
                    (groups / CHUNK_GROUPS + 1) * sizeof(struct group *) +
                    (c->max + 1) * sizeof(struct sa *);

    octets += ((c->used - 1) / CHUNK_GROUPS + 1) * CHUNK_GROUPS * sizeof(struct group);
    for (uint32_t i = GROUP_FIRST; i < c->used; i++) {
        if (group_at(c, i)->capacity > 1)
            octets += group_at(c, i)->capacity * sizeof(struct sa *);
    }
    return octets;
}

/* ------------------------------------------------------------ searching */

/* All SAs of a group, or one half of them. */
static struct candidates_group part(const struct candidates *c, uint32_t number, bool front,
                                    bool behind)
{
    const struct group *group = number ? group_at(c, number) : NULL;
    uint32_t from, to;

    if (!group)
        return (struct candidates_group){NULL, 0};
    from = front ? 0 : group->front;
    to = behind ? group->count : group->front;
    return (struct candidates_group){group->sa + from, to - from};
}

struct candidates_group candidates_group(const struct candidates *c, enum candidates_kind kind,
                                         enum sa_side side, const struct addr *addr)
{
    struct key key = make_key((enum family)(FAMILY_SOURCE + kind / 2), side, addr);
    struct candidates_group found = {NULL, 0};
    uint32_t number = at_place(c, *bucket_of(c, &key), &key);

    for (; number && found.count == 0; number = at_place(c, group_at(c, number)->next, &key))
        found = part(c, number, kind % 2 == 0, kind % 2 == 1);
    return found;
}

/*
 * The group of one owner at this place, each as likely, whatever they have brought there: the
 * candidates of one site, however many, leave half of all searches to another one's. behind: one
 * that stands in the second half will do.
 */
static uint32_t pick(struct candidates *c, const struct key *key, bool behind)
{
    uint32_t first = at_place(c, *bucket_of(c, key), key), number, count = 0, chosen;

    for (number = first; number; number = at_place(c, group_at(c, number)->next, key))
        count += behind || group_at(c, number)->front > 0;
    if (count == 0)
        return GROUP_NONE;
    chosen = 0;
    if (count > 1 && ++c->dice)
        chosen = (uint32_t)(hash_bytes(&c->hash_key, &c->dice, sizeof(c->dice)) % count);
    for (number = first;; number = at_place(c, group_at(c, number)->next, key)) {
        if ((behind || group_at(c, number)->front > 0) && chosen-- == 0)
            return number;
    }
}

enum { LANE_FRESH, LANE_HEARD, LANE_HINT, LANE_OPEN };

static bool has_any(const struct candidates *c, struct key key, bool behind)
{
    uint32_t number = at_place(c, *bucket_of(c, &key), &key);

    while (number && !behind && group_at(c, number)->front == 0)
        number = at_place(c, group_at(c, number)->next, &key);
    return number != 0;
}

bool candidates_may_be(const struct candidates *c, enum sa_side side, const struct addr *source,
                       bool rtcp, bool open)
{
    struct addr below = port_below(source);

    return c->members > 0 && (has_any(c, make_key(FAMILY_SOURCE, side, source), true) ||
                              (rtcp && has_any(c, make_key(FAMILY_SOURCE, side, &below), true)) ||
                              has_any(c, make_key(FAMILY_HINT, side, source), rtcp) ||
                              (open && has_any(c, make_key(FAMILY_OPEN, side, NULL), rtcp)));
}

size_t candidates_begin(struct candidates *c, enum sa_side side, const struct addr *source,
                        bool rtcp, struct candidates_search *search)
{
    struct addr below = port_below(source);
    struct key key[2] = {make_key(FAMILY_SOURCE, side, source),
                         make_key(FAMILY_SOURCE, side, &below)};
    struct key hint = make_key(FAMILY_HINT, side, source), open = make_key(FAMILY_OPEN, side, NULL);
    struct candidates_lane *lane = search->lane;
    size_t count = 0;

    *search = (struct candidates_search){.hint = pick(c, &hint, rtcp), .looks = CANDIDATES_LOOKS};
    for (unsigned i = 0; i < (rtcp ? 2 : 1); i++) {
        search->source[i] = pick(c, &key[i], true);
        lane[LANE_FRESH].group[i] = part(c, search->source[i], true, false);
        lane[LANE_HEARD].group[i] = part(c, search->source[i], false, true);
    }
    lane[LANE_HINT].group[0] = part(c, search->hint, true, rtcp);
    lane[LANE_OPEN].group[0] = part(c, pick(c, &open, rtcp), true, rtcp);
    for (unsigned i = 0; i < CANDIDATES_LANES; i++) {
        lane[i].count = lane[i].group[0].count + lane[i].group[1].count;
        count += lane[i].count;
    }
    search->open_only = count == lane[LANE_OPEN].count;
    return count;
}

static bool is_in(const struct sa *sa, uint32_t group)
{
    bool in = false;

    for (unsigned i = 0; i < SA_CANDIDACIES; i++)
        in = in || (group && sa->candidacy[i].group == group);
    return in;
}

/* Does it, seen at this place, stand at a better one as well? Then it comes there. */
static bool stands_before(const struct candidates_search *search, const struct sa *sa,
                          unsigned lane, bool second)
{
    if (lane <= LANE_HEARD)
        return second && is_in(sa, search->source[0]);
    return is_in(sa, search->source[0]) || is_in(sa, search->source[1]) ||
           (lane == LANE_OPEN && is_in(sa, search->hint));
}

/*
 * The next SA of a lane; NULL when it comes elsewhere. *at becomes a position in the lane: a
 * larger number would be another place altogether as soon as the lane has one SA less.
 */
static struct sa *look(struct candidates_search *search, unsigned number, uint32_t *at)
{
    struct candidates_lane *lane = &search->lane[number];
    uint32_t position = *at % lane->count;
    bool second = position >= lane->group[0].count;
    struct sa *sa;

    *at = position + 1;
    lane->looked++;
    search->looks--;
    sa = lane->group[second].sa[second ? position - lane->group[0].count : position];
    return stands_before(search, sa, number, second) ? NULL : sa;
}

struct sa *candidates_next(struct candidates_search *search, struct candidates_cursor *cursor)
{
    static const uint8_t turns[] = {LANE_FRESH, LANE_HINT, LANE_FRESH, LANE_HEARD,
                                    LANE_FRESH, LANE_HINT, LANE_FRESH, LANE_OPEN};
    unsigned idle = 0;

    while (search->looks && idle < sizeof(turns)) {
        unsigned number = turns[cursor->turn++ % sizeof(turns)];
        struct sa *sa;

        if (search->lane[number].looked == search->lane[number].count) {
            idle++;
            continue;
        }
        idle = 0;
        sa = look(search, number, &cursor->at[number]);
        if (sa)
            return sa;
    }
    return NULL;
}
