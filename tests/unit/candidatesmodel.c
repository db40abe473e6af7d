#include "tests/unit/candidatesmodel.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/sa/candidates.h"
#include "tests/unit/sample.h"

/* So few addresses that most groups have several SAs, and so few SAs that a search sees them all.
 */
enum { HELD_MAX = 24, ADDRS = 8 };

struct held {
    struct sa *sa; /* NULL: a free place */
    bool waits;    /* for candidates_work(): may be missing in groups */
};

struct model {
    const uint8_t *program;
    size_t length;
    struct addr addr[ADDRS]; /* number 0 is none */
    struct candidates *candidates;
    size_t max;
    struct held held[HELD_MAX];
    struct candidates_cursor cursor;
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

/* ------------------------------------------------------------ the list */

static bool is_named(const struct sa *sa)
{
    for (unsigned i = 0; i < sa->stream_count; i++) {
        if (sa->stream[i].origin != SSRC_ORIGIN_LEARNED)
            return true;
    }
    return false;
}

static bool is_unbound(const struct sa *sa)
{
    return sa->source_policy != SOURCE_STRICT && !sa->bound[0] && sa->encap_in == SA_ENCAP_RTP;
}

static bool is_open(const struct sa *sa)
{
    return is_unbound(sa) && sa->source_policy == SOURCE_OPEN;
}

/* At its RTP source, or at an RTCP source that is registered. */
static bool has_source(const struct sa *sa, const struct addr *addr)
{
    const struct addr *rtp = &sa->source.rtp, *rtcp = &sa->source.rtcp;
    bool behind = addr_ip_equal(rtp, rtcp) && rtcp->port == rtp->port + 1;

    if (addr_equal(rtp, addr))
        return true;
    return !sa->source.mux && !behind && !is_open(sa) && addr_equal(rtcp, addr);
}

static bool has_ip(const struct sa *sa, const struct addr *addr)
{
    return addr_ip_equal(&sa->source.rtp, addr) || addr_ip_equal(&sa->hint, addr);
}

static bool belongs(const struct sa *sa, enum candidates_kind kind, enum sa_side side,
                    const struct addr *addr)
{
    if (sa->side != side)
        return false;
    switch (kind) {
    case CANDIDATES_FRESH:
        return sa->stream_count == 0 && has_source(sa, addr);
    case CANDIDATES_HEARD:
        return sa->stream_count > 0 && !is_named(sa) && has_source(sa, addr);
    case CANDIDATES_HINT:
        return is_unbound(sa) && !is_named(sa) && has_ip(sa, addr);
    case CANDIDATES_HINT_NAMED:
        return is_unbound(sa) && is_named(sa) && has_ip(sa, addr);
    case CANDIDATES_OPEN:
        return is_open(sa) && !is_named(sa);
    default:
        return is_open(sa) && is_named(sa);
    }
}

/* ------------------------------------------------------------ comparing */

static void compare_group(struct model *m, enum candidates_kind kind, enum sa_side side,
                          const struct addr *addr)
{
    struct candidates_group group = candidates_group(m->candidates, kind, side, addr);
    uint32_t all = 0;

    for (unsigned i = 0; i < HELD_MAX; i++) {
        const struct sa *sa = m->held[i].sa;
        unsigned times = 0;
        bool right;

        for (uint32_t k = 0; sa && k < group.count; k++)
            times += group.sa[k] == sa;
        right = sa && belongs(sa, kind, side, addr);
        expect(m, times <= right, "in a group that it does not belong to, or twice");
        expect(m, times == right || m->held[i].waits, "not in its group");
        all += times;
    }
    expect(m, all == group.count, "in a group, and gone");
}

/* May it have sent a packet from source? */
static bool is_candidate(const struct sa *sa, enum sa_side side, const struct addr *source,
                         bool rtcp)
{
    struct addr below = *source;
    bool is = false;

    below.port--;
    for (enum candidates_kind kind = 0; kind < CANDIDATES_KINDS; kind++) {
        bool named = kind == CANDIDATES_HINT_NAMED || kind == CANDIDATES_OPEN_NAMED;

        is = is || ((rtcp || !named) && belongs(sa, kind, side, source));
    }
    return is || (rtcp && (belongs(sa, CANDIDATES_FRESH, side, &below) ||
                           belongs(sa, CANDIDATES_HEARD, side, &below)));
}

static void compare_search(struct model *m, enum sa_side side, const struct addr *source, bool rtcp)
{
    struct candidates_search search;
    size_t count = candidates_begin(m->candidates, side, source, rtcp, &search), found = 0;
    bool any = candidates_may_be(m->candidates, side, source, rtcp, true);
    unsigned times[HELD_MAX] = {0};
    struct sa *sa;

    expect(m, any == (count > 0), "somebody may be there");
    expect(m,
           candidates_may_be(m->candidates, side, source, rtcp, false) ==
               (count > 0 && !search.open_only),
           "somebody whose hint it is may be there");

    while (found <= HELD_MAX && (sa = candidates_next(&search, &m->cursor))) {
        found++;
        for (unsigned i = 0; i < HELD_MAX; i++)
            times[i] += m->held[i].sa == sa;
    }
    expect(m, found <= count && (found > 0) == (count > 0), "search: count");
    /* With more it may end before it has seen all. */
    for (unsigned i = 0; i < HELD_MAX && count <= CANDIDATES_LOOKS; i++) {
        bool is = m->held[i].sa && is_candidate(m->held[i].sa, side, source, rtcp);

        expect(m, times[i] <= is, "search: no candidate, or twice");
        expect(m, times[i] == is || m->held[i].waits, "search: left out");
    }
}

static void compare(struct model *m)
{
    for (enum sa_side side = SA_SIDE_EXTERNAL; side <= SA_SIDE_INTERNAL; side++) {
        for (unsigned i = 1; i < ADDRS; i++) {
            for (enum candidates_kind kind = 0; kind < CANDIDATES_KINDS; kind++)
                compare_group(m, kind, side, &m->addr[i]);
            compare_search(m, side, &m->addr[i], false);
            compare_search(m, side, &m->addr[i], true);
        }
    }
}

/* ------------------------------------------------------------ steps */

static void set_fields(struct model *m, struct sa *sa)
{
    unsigned flags = take(m, 256), addrs = take(m, 256);

    sa->source_policy = (enum source_policy)(SOURCE_STRICT + flags % 3);
    sa->side = flags & 4 ? SA_SIDE_INTERNAL : SA_SIDE_EXTERNAL;
    sa->source.mux = flags & 8;
    sa->encap_in = (flags & 0x70) == 0 ? SA_ENCAP_RTP_PRIME : SA_ENCAP_RTP;
    sa->source.rtp = m->addr[addrs % ADDRS];
    sa->source.rtcp = m->addr[addrs / ADDRS % ADDRS];
    sa->hint = m->addr[take(m, ADDRS)];
}

static void step_add(struct model *m, unsigned place)
{
    struct sa *sa = sa_new();
    unsigned origin = take(m, 8);
    size_t count = 0;
    int result;

    if (!sa)
        abort();
    set_fields(m, sa);
    if (origin && origin <= SSRC_ORIGIN_LEARNED &&
        sa_stream_add(sa, 1, (enum ssrc_origin)origin) < 0)
        abort();
    for (unsigned i = 0; i < HELD_MAX; i++)
        count += m->held[i].sa != NULL;
    result = candidates_add(m->candidates, sa);
    expect(m, result == (count < m->max ? 0 : ERR_FULL), "add");
    if (result == 0)
        m->held[place] = (struct held){sa, false};
    else
        sa_free(sa);
}

static void step_remove(struct model *m, unsigned place)
{
    candidates_remove(m->candidates, m->held[place].sa);
    sa_free(m->held[place].sa);
    m->held[place] = (struct held){0};
}

/* What a packet that verified changes. Where its source was known it must be found at once. */
static void step_hear(struct model *m, unsigned place)
{
    struct held *held = &m->held[place];
    struct sa *sa = held->sa;
    const struct addr from = m->addr[1 + take(m, ADDRS - 1)];
    bool rtcp = take(m, 2), was_open = is_open(sa);
    struct addr *source = rtcp ? &sa->source.rtcp : &sa->source.rtp;
    bool same = addr_equal(source, &from);

    *source = from;
    sa->bound[rtcp] = true;
    if (sa_stream_add(sa, take(m, 4), SSRC_ORIGIN_LEARNED) == ERR_NOMEM)
        abort();
    candidates_update(m->candidates, sa);
    held->waits = held->waits || !same || was_open;
}

/* As a new SA-PUT may. */
static void step_change(struct model *m, unsigned place)
{
    struct held *held = &m->held[place];

    set_fields(m, held->sa);
    held->sa->bound[0] = take(m, 2);
    if (take(m, 2))
        held->sa->stream_count = 0;
    candidates_update(m->candidates, held->sa);
    held->waits = true;
}

static void step_work(struct model *m, unsigned most)
{
    if (candidates_work(m->candidates, most))
        return;
    for (unsigned i = 0; i < HELD_MAX; i++)
        m->held[i].waits = false;
}

enum { STEP_ADD, STEP_ADD_TOO, STEP_REMOVE, STEP_HEAR, STEP_CHANGE, STEP_WORK, STEP_COUNT };

static void step(struct model *m)
{
    unsigned what = take(m, 256), number = what / STEP_COUNT, place = number % HELD_MAX;

    if (what % STEP_COUNT == STEP_WORK) {
        step_work(m, number);
    } else if (what % STEP_COUNT <= STEP_ADD_TOO) {
        if (!m->held[place].sa)
            step_add(m, place);
    } else if (m->held[place].sa) {
        if (what % STEP_COUNT == STEP_REMOVE)
            step_remove(m, place);
        else if (what % STEP_COUNT == STEP_HEAR)
            step_hear(m, place);
        else
            step_change(m, place);
    }
}

const char *candidatesmodel_run(const uint8_t *program, size_t length)
{
    static const char *const addrs[ADDRS] = {
        "",
        "192.0.2.1:5000",
        "192.0.2.1:5001",
        "192.0.2.1:5002",
        "192.0.2.2:5000",
        "192.0.2.2:5001",
        "[2001:db8::1]:5000",
        "[c000:201::]:5000", /* the octets of 192.0.2.1 */
    };
    struct model m = {.program = program, .length = length};

    for (unsigned i = 0; i < ADDRS; i++)
        m.addr[i] = sample_addr(addrs[i]);
    m.max = take(&m, HELD_MAX + 1);
    m.candidates = candidates_new(m.max);
    if (!m.candidates)
        abort();
    while (m.length && !m.wrong) {
        step(&m);
        compare(&m);
    }
    candidates_free(m.candidates);
    for (unsigned i = 0; i < HELD_MAX; i++)
        sa_free(m.held[i].sa);
    return m.wrong;
}
