#include "tests/unit/tablemodel.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/sa/table.h"
#include "tests/unit/sample.h"

/* So few of each that SAs meet all the time. */
enum { HELD_MAX = 24, WALKS = 3, OWNERS = 3, IDS = 8, LABELS = 8, SSRCS = 5, ADDRS = 4 };

struct walker {
    struct table_walk walk;
    bool begun, due[HELD_MAX], seen[HELD_MAX]; /* by place in the list */
};

struct model {
    const uint8_t *program;
    size_t length;
    struct addr addr[ADDRS]; /* number 0 is none */
    struct table *table;
    size_t max;
    struct sa *held[HELD_MAX]; /* the list; NULL: a free place */
    struct walker walker[WALKS];
    const char *wrong; /* the first difference stays */
};

static bool expect(struct model *m, bool condition, const char *wrong)
{
    if (!condition && !m->wrong)
        m->wrong = wrong;
    return condition;
}

/* The next number of the program, below limit. */
static unsigned take(struct model *m, unsigned limit)
{
    unsigned value = 0;

    if (m->length) {
        value = *m->program++;
        m->length--;
    }
    return value % limit;
}

static size_t held_count(const struct model *m)
{
    size_t count = 0;

    for (unsigned i = 0; i < HELD_MAX; i++)
        count += m->held[i] != NULL;
    return count;
}

static int place_of(const struct model *m, const struct sa *sa)
{
    for (int i = 0; i < HELD_MAX; i++) {
        if (m->held[i] == sa)
            return i;
    }
    return -1;
}

/* ------------------------------------------------------------ the list */

static bool sends_from(const struct sa *sa, const struct addr *source)
{
    return source->family && (addr_equal(&sa->source.rtp, source) ||
                              (!sa->source.mux && addr_equal(&sa->source.rtcp, source)));
}

static bool has_ssrc(const struct sa *sa, uint32_t ssrc)
{
    for (unsigned i = 0; i < sa->stream_count; i++) {
        if (sa->stream[i].ssrc == ssrc)
            return true;
    }
    return false;
}

static bool fits(const struct sa *sa, enum sa_side side, const struct addr *source, uint32_t ssrc)
{
    return sa->side == side && sends_from(sa, source) && has_ssrc(sa, ssrc);
}

/* Do too many send that SSRC from there? Each address of theirs counts. */
static bool crowded(const struct model *m, const struct sa *sa, const struct addr *source,
                    uint32_t ssrc)
{
    unsigned count = 0, own = 0;

    for (unsigned i = 0; source->family && i < HELD_MAX; i++) {
        const struct sa *other = m->held[i];

        if (!other || other == sa || !fits(other, sa->side, source, ssrc))
            continue;
        count++;
        own += other->owner == sa->owner;
    }
    return own >= TABLE_ALIKE_OWN || count >= TABLE_ALIKE_MAX;
}

static bool same_number(const struct sa *a, const struct sa *b)
{
    return a != b && a->owner == b->owner && (a->id == b->id || a->label == b->label);
}

static bool list_conflict(const struct model *m, const struct sa *sa)
{
    bool conflict = false;

    for (unsigned i = 0; i < HELD_MAX; i++)
        conflict = conflict || (m->held[i] && same_number(sa, m->held[i]));
    for (unsigned i = 0; i < sa->stream_count; i++)
        conflict = conflict || crowded(m, sa, &sa->source.rtp, sa->stream[i].ssrc) ||
                   (!sa->source.mux && crowded(m, sa, &sa->source.rtcp, sa->stream[i].ssrc));
    return conflict;
}

/* Is that what a search for source and SSRC may find? One that fits, else one that is alone. */
static bool right_answer(const struct model *m, enum sa_side side, const struct addr *source,
                         uint32_t ssrc, bool exact, const struct sa *found)
{
    const struct sa *only = NULL;
    unsigned fitting = 0, count = 0;

    for (unsigned i = 0; i < HELD_MAX; i++) {
        const struct sa *sa = m->held[i];

        if (!sa || sa->side != side || !sends_from(sa, source))
            continue;
        fitting += has_ssrc(sa, ssrc);
        only = sa;
        count++;
    }
    if (fitting > 0)
        return found && place_of(m, found) >= 0 && fits(found, side, source, ssrc);
    return found == (count == 1 && !exact ? only : NULL);
}

/* ------------------------------------------------------------ comparing */

static void compare_owner(struct model *m, unsigned owner)
{
    const struct sa *by_id[IDS] = {NULL}, *by_label[LABELS] = {NULL};
    struct table_lookup lookups[LABELS] = {0};
    size_t count = 0;

    for (unsigned i = 0; i < HELD_MAX; i++) {
        const struct sa *sa = m->held[i];

        if (!sa || sa->owner != owner)
            continue;
        by_id[sa->id] = by_label[sa->label] = sa;
        count++;
    }
    expect(m, table_count_owner(m->table, owner) == count, "count of an owner");
    for (unsigned i = 0; i < IDS; i++)
        expect(m, table_by_id(m->table, owner, i) == by_id[i], "by id");
    for (unsigned i = 0; i < LABELS; i++) {
        expect(m, table_by_label(m->table, owner, i) == by_label[i], "by label");
        lookups[i].ssrc = i;
    }
    table_by_labels(m->table, owner, lookups, LABELS);
    for (unsigned i = 0; i < LABELS; i++)
        expect(m, lookups[i].sa == by_label[i], "by labels");
}

static void compare_ssrc(struct model *m, enum sa_side side, uint32_t ssrc)
{
    size_t want = 0, got = 0;
    bool seen[HELD_MAX] = {false};

    for (unsigned i = 0; i < HELD_MAX; i++)
        want += m->held[i] && m->held[i]->side == side && has_ssrc(m->held[i], ssrc);
    for (struct sa *sa = NULL; got <= want && (sa = table_by_ssrc(m->table, side, ssrc, sa));) {
        int place = place_of(m, sa);

        if (!expect(m, place >= 0 && !seen[place], "by SSRC: gone, or twice"))
            return;
        seen[place] = true;
        expect(m, sa->side == side && has_ssrc(sa, ssrc), "by SSRC: another");
        got++;
    }
    expect(m, got == want, "by SSRC: how many");
    for (unsigned i = 0; i < HELD_MAX; i++) {
        if (m->held[i] && m->held[i]->side == side)
            expect(m,
                   table_has_company(m->table, m->held[i], ssrc) ==
                       (want > 1 || !has_ssrc(m->held[i], ssrc)),
                   "company");
    }
}

/* All of one side at once. */
static void compare_lookups(struct model *m, enum sa_side side)
{
    struct table_lookup lookups[SSRCS * ADDRS];

    for (unsigned i = 0; i < SSRCS * ADDRS; i++) {
        unsigned from = i % ADDRS;

        lookups[i].source = from ? &m->addr[from] : NULL;
        lookups[i].ssrc = i / ADDRS;
        lookups[i].exact = i % 2;
    }
    table_by_sources(m->table, side, lookups, SSRCS * ADDRS);
    for (unsigned i = 0; i < SSRCS * ADDRS; i++) {
        const struct table_lookup *at = &lookups[i];

        expect(m,
               at->source ? right_answer(m, side, at->source, at->ssrc, at->exact, at->sa)
                          : !at->sa,
               "by sources");
    }
}

/* All that are alike come, each once for each of its addresses. */
static void compare_alike(struct model *m, enum sa_side side, const struct addr *source,
                          uint32_t ssrc)
{
    bool seen[HELD_MAX] = {false};
    unsigned want = 0, got = 0;

    for (unsigned i = 0; i < HELD_MAX; i++)
        want += m->held[i] && fits(m->held[i], side, source, ssrc);
    for (struct sa *sa = NULL;
         got <= want && (sa = table_by_stream(m->table, side, source, ssrc, sa)); got++) {
        int place = place_of(m, sa);

        if (!expect(m, place >= 0 && !seen[place], "by stream: gone, or twice"))
            return;
        seen[place] = true;
        expect(m, fits(sa, side, source, ssrc), "by stream: another");
    }
    expect(m, got == want, "by stream: how many");
}

static void compare_side(struct model *m, enum sa_side side)
{
    compare_lookups(m, side);
    for (uint32_t ssrc = 0; ssrc < SSRCS; ssrc++) {
        compare_ssrc(m, side, ssrc);
        for (unsigned i = 1; i < ADDRS; i++) {
            const struct addr *source = &m->addr[i];

            expect(m,
                   right_answer(m, side, source, ssrc, false,
                                table_by_source(m->table, side, source, ssrc)),
                   "by source");
            compare_alike(m, side, source, ssrc);
        }
    }
}

static void compare(struct model *m)
{
    expect(m, table_count(m->table) == held_count(m), "count");
    for (unsigned owner = 0; owner < OWNERS; owner++)
        compare_owner(m, owner);
    compare_side(m, SA_SIDE_EXTERNAL);
    compare_side(m, SA_SIDE_INTERNAL);
    for (unsigned i = 0; i < HELD_MAX; i++)
        expect(m,
               !m->held[i] ||
                   !table_conflict(m->table, m->held[i]) == !list_conflict(m, m->held[i]),
               "conflict in the table");
}

/* ------------------------------------------------------------ steps */

static void set_place(struct model *m, struct sa *sa)
{
    unsigned flags = take(m, 256);

    sa->owner = flags % OWNERS;
    sa->side = flags & 2 ? SA_SIDE_EXTERNAL : SA_SIDE_INTERNAL;
    sa->source.mux = flags & 4;
    sa->source.rtp = m->addr[flags >> 3 & 3];
    sa->source.rtcp = m->addr[flags >> 5 & 3];
    sa->id = take(m, IDS);
    sa->label = take(m, LABELS);
}

/* Into both, or into neither: then sa is still the caller's. */
static bool enter(struct model *m, struct sa *sa)
{
    int want = 0, result, place = place_of(m, NULL);
    const struct sa *other = table_conflict(m->table, sa);

    if (list_conflict(m, sa))
        want = ERR_EXISTS;
    expect(m, (other != NULL) == (want != 0), "conflict");
    expect(m, !other || (other != sa && place_of(m, other) >= 0), "conflict with what");
    if (held_count(m) >= m->max)
        want = ERR_FULL;
    result = table_insert(m->table, sa);
    expect(m, result == want, "insert");
    if (result < 0)
        return false;
    m->held[place] = sa;
    for (unsigned i = 0; i < WALKS; i++)
        m->walker[i].due[place] = m->walker[i].seen[place] = false;
    return true;
}

static void leave(struct model *m, unsigned place)
{
    table_remove(m->table, m->held[place]);
    m->held[place] = NULL;
    for (unsigned i = 0; i < WALKS; i++)
        m->walker[i].due[place] = m->walker[i].seen[place] = false;
}

static void step_insert(struct model *m)
{
    struct sa *sa = sa_new();
    unsigned ssrcs = take(m, 1 << SSRCS);

    if (!sa)
        abort();
    set_place(m, sa);
    for (uint32_t i = 0; i < SSRCS; i++) {
        if (ssrcs & 1u << i && sa_stream_add(sa, i, SSRC_ORIGIN_SIGNALLED) < 0)
            abort();
    }
    if (!enter(m, sa))
        sa_free(sa);
}

static void step_remove(struct model *m, unsigned place)
{
    struct sa *sa = m->held[place];

    leave(m, place);
    /* Once more: nothing is left of it. */
    table_remove(m->table, sa);
    sa_free(sa);
}

/* As the replica does with an SA whose sender moved. */
static void step_move(struct model *m, unsigned place)
{
    struct sa *sa = m->held[place];

    leave(m, place);
    set_place(m, sa);
    if (!enter(m, sa))
        sa_free(sa);
}

static void step_learn(struct model *m, unsigned place)
{
    struct sa *sa = m->held[place];
    uint32_t ssrc = take(m, SSRCS);

    if (sa_stream(sa, ssrc))
        return;
    expect(m, table_learn_ssrc(m->table, sa, ssrc) == sa_stream(sa, ssrc), "learn an SSRC");
}

static void step_move_source(struct model *m, unsigned place)
{
    unsigned where = take(m, 256);

    table_move_source(m->table, m->held[place], where & 1, &m->addr[where >> 1 & 3]);
}

static void step_begin(struct model *m, unsigned number)
{
    struct walker *walker = &m->walker[number];

    table_walk_begin(m->table, &walker->walk);
    walker->begun = true;
    for (unsigned i = 0; i < HELD_MAX; i++) {
        walker->due[i] = m->held[i] != NULL;
        walker->seen[i] = false;
    }
}

static void step_walk(struct model *m, unsigned number)
{
    struct walker *walker = &m->walker[number];
    struct sa *sa;
    int place;

    if (!walker->begun)
        return;
    sa = table_walk_next(m->table, &walker->walk);
    if (sa) {
        place = place_of(m, sa);
        if (expect(m, place >= 0 && !walker->seen[place], "walk: gone, or twice"))
            walker->seen[place] = true;
        return;
    }
    for (unsigned i = 0; i < HELD_MAX; i++)
        expect(m, !walker->due[i] || walker->seen[i], "walk: left out");
    expect(m, !table_walk_next(m->table, &walker->walk), "walk: more after the end");
}

static void remove_odd(void *ctx, struct sa *sa)
{
    struct model *m = ctx;
    int place = place_of(m, sa);

    if (expect(m, place >= 0, "each: gone") && sa->id % 2)
        step_remove(m, (unsigned)place);
}

enum { STEP_INSERT, STEP_INSERT_TOO, STEP_REMOVE, STEP_MOVE, STEP_LEARN, STEP_SOURCE, STEP_BEGIN };
enum { STEP_WALK = STEP_BEGIN + 1, STEP_WALK_TOO, STEP_COUNT };

static void step(struct model *m)
{
    unsigned what = take(m, 256), number = what / STEP_COUNT, place = number % HELD_MAX;

    switch (what % STEP_COUNT) {
    case STEP_INSERT:
    case STEP_INSERT_TOO:
        step_insert(m);
        break;
    case STEP_BEGIN:
        if (number == 0)
            table_each(m->table, remove_odd, m);
        else
            step_begin(m, number % WALKS);
        break;
    case STEP_WALK:
    case STEP_WALK_TOO:
        step_walk(m, number % WALKS);
        break;
    default:
        if (!m->held[place])
            break;
        if (what % STEP_COUNT == STEP_REMOVE)
            step_remove(m, place);
        else if (what % STEP_COUNT == STEP_MOVE)
            step_move(m, place);
        else if (what % STEP_COUNT == STEP_LEARN)
            step_learn(m, place);
        else
            step_move_source(m, place);
    }
}

const char *tablemodel_run(const uint8_t *program, size_t length)
{
    static const char *const addrs[ADDRS] = {"", "192.0.2.1:5000", "192.0.2.1:5001",
                                             "[2001:db8::1]:5000"};
    struct model m = {.program = program, .length = length};

    for (unsigned i = 0; i < ADDRS; i++)
        m.addr[i] = sample_addr(addrs[i]);
    m.max = take(&m, HELD_MAX);
    m.table = table_new(m.max);
    if (!m.table)
        abort();
    while (m.length && !m.wrong) {
        step(&m);
        compare(&m);
    }
    table_free(m.table);
    return m.wrong;
}
