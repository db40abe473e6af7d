#include "common/sa/budget.h"

#include <stdlib.h>

#include "tests/unit/sample.h"
#include "tests/unit/unit.h"

#define SECOND UINT64_C(1000000)

enum {
    PACKET_US = 20000, /* between two packets of one stream of speech */
    FORGER_US = 200000,
    TICK_US = 20,
    WHEEL_TICKS = 20000, /* longer than any interval */
};

static struct addr address(uint32_t host, uint16_t port)
{
    const uint8_t ip[4] = {(uint8_t)(host >> 24), (uint8_t)(host >> 16), (uint8_t)(host >> 8),
                           (uint8_t)host};

    return addr_from_ip4(ip, port);
}

/* ------------------------------------------------------------ bounds */

/*
 * Packets that want 8 tries each, for seconds: hosts * ports flows in turn. Within the first second
 * and for all of them together, exactly what the narrowest bound lets through.
 */
static const struct {
    const char *name;
    enum budget_kind kind;
    unsigned hosts, ports, per_second;
    bool peer;
    uint64_t rate, burst; /* of all together */
} bounds[] = {
    {"one flow", BUDGET_SEARCH, 1, 1, 1000, false, BUDGET_FLOW_RATE, BUDGET_FLOW_BURST},
    {"one flow that matches", BUDGET_MATCH, 1, 1, 1000, false, BUDGET_FLOW_RATE, BUDGET_FLOW_BURST},
    {"a host", BUDGET_SEARCH, 1, 5000, 10000, false, BUDGET_IP_RATE, BUDGET_IP_BURST},
    {"a host, open", BUDGET_OPEN, 1, 5000, 10000, false, BUDGET_IP_RATE, BUDGET_IP_BURST},
    {"a peer", BUDGET_SEARCH, 1, 5000, 10000, true, BUDGET_PEER_RATE, BUDGET_PEER_BURST},
    {"hosts", BUDGET_SEARCH, 10000, 1, 50000, false, BUDGET_SEARCH_RATE, BUDGET_SEARCH_BURST},
    {"hosts, open", BUDGET_OPEN, 10000, 1, 50000, false, BUDGET_OPEN_RATE, BUDGET_OPEN_BURST},
    {"SSRCs", BUDGET_MATCH, 1, 60000, 50000, false, BUDGET_MATCH_RATE, BUDGET_MATCH_BURST},
};

/* A flow that has searched in vain for too long may still be the SSRC's sender. */
START_TEST(test_match_beside_search)
{
    struct budget *budget = budget_new();
    struct addr source = address(0xcb007101, 4000);
    struct budget_flow flow = budget_flow(budget, &source, 1, false);
    unsigned tries = 0, taken;

    while ((taken = budget_take(budget, &flow, BUDGET_SEARCH, 8, SECOND)) > 0) {
        budget_done(budget, &flow, BUDGET_SEARCH, taken, taken, false);
        tries += taken;
    }
    ck_assert_uint_eq(tries, BUDGET_FLOW_BURST);
    ck_assert_uint_eq(budget_take(budget, &flow, BUDGET_MATCH, 8, SECOND), 8);
    budget_done(budget, &flow, BUDGET_MATCH, 8, 1, true);
    /* Heard: nothing of what it took in vain is held against it. */
    ck_assert_uint_eq(budget_take(budget, &flow, BUDGET_SEARCH, 8, SECOND), 8);
    budget_free(budget);
}
END_TEST

START_TEST(test_bounds)
{
    enum { SECONDS = 3 };
    struct budget *budget = budget_new();
    const uint64_t step = SECOND / bounds[_i].per_second, start = 5 * SECOND + 1;
    uint64_t tries = 0, refused = 0, last = 0;

    for (uint64_t n = 0; n < (uint64_t)bounds[_i].per_second * SECONDS; n++) {
        struct addr source = address(0xcb007100 + (uint32_t)(n % bounds[_i].hosts),
                                     (uint16_t)(1024 + n % bounds[_i].ports));
        struct budget_flow flow = budget_flow(budget, &source, 1, bounds[_i].peer);
        unsigned taken = budget_take(budget, &flow, bounds[_i].kind, 8, start + n * step);

        ck_assert_uint_le(taken, 8);
        if (taken)
            budget_done(budget, &flow, bounds[_i].kind, taken, taken, false);
        tries += taken;
        refused += taken == 0;
        last = n * step;
        /* Never above it, and at it whenever that many were wanted. */
        ck_assert_uint_le(tries * SECOND, bounds[_i].burst * SECOND + last * bounds[_i].rate);
    }
    ck_assert_msg((tries + 1) * SECOND > bounds[_i].burst * SECOND + last * bounds[_i].rate,
                  "%s: %llu tries only", bounds[_i].name, (unsigned long long)tries);
    ck_assert_uint_eq(budget_counts(budget).tries, tries);
    ck_assert_uint_eq(budget_counts(budget).refused, refused);
    budget_free(budget);
}
END_TEST

START_TEST(test_owner)
{
    static const uint64_t rates[] = {BUDGET_MATCH_OWNER_RATE, BUDGET_SEARCH_OWNER_RATE,
                                     BUDGET_OPEN_OWNER_RATE};
    static const uint64_t bursts[] = {BUDGET_MATCH_OWNER_BURST, BUDGET_SEARCH_OWNER_BURST,
                                      BUDGET_OPEN_OWNER_BURST};
    struct budget *budget = budget_new();

    for (unsigned n = 0; n < BUDGET_KINDS * BUDGET_OWNERS; n++) {
        enum budget_kind kind = (enum budget_kind)(n % BUDGET_KINDS);
        uint64_t passed = 0;

        for (uint64_t now = 0; now <= SECOND; now += 10)
            passed += budget_owner(budget, kind, n / BUDGET_KINDS, 7 * SECOND + now);
        ck_assert_uint_eq(passed, bursts[kind] + rates[kind]);
    }
    budget_free(budget);
    budget_free(NULL);
}
END_TEST

/* What was not used comes back, and a flow that was heard is forgiven all of it. */
START_TEST(test_not_charged)
{
    struct budget *budget = budget_new();
    struct addr source = address(0xcb007101, 5004);
    struct budget_flow flow = budget_flow(budget, &source, 1, false);
    unsigned failed = 0;

    for (unsigned i = 0; i < 100000; i++) {
        ck_assert_uint_eq(budget_take(budget, &flow, BUDGET_SEARCH, 5, SECOND), 5);
        budget_done(budget, &flow, BUDGET_SEARCH, 5, 0, false);
    }
    ck_assert_uint_eq(budget_counts(budget).tries, 0);
    ck_assert_uint_eq(budget_counts(budget).refused, 100000);
    for (; budget_take(budget, &flow, BUDGET_SEARCH, 8, SECOND); failed++)
        budget_done(budget, &flow, BUDGET_SEARCH, 8, 8, false);
    ck_assert_uint_eq(failed, BUDGET_FLOW_BURST / 8);

    /* Its next packet that may try at all is the one: as if nothing had been. */
    ck_assert_uint_eq(budget_take(budget, &flow, BUDGET_SEARCH, 1, SECOND + 20000), 1);
    budget_done(budget, &flow, BUDGET_SEARCH, 1, 1, true);
    for (failed = 0; budget_take(budget, &flow, BUDGET_SEARCH, 8, SECOND + 20000); failed++)
        budget_done(budget, &flow, BUDGET_SEARCH, 8, 8, false);
    ck_assert_uint_eq(failed, BUDGET_FLOW_BURST / 8);
    budget_free(budget);
}
END_TEST

/* A host whose senders are all heard with their first packet pays nothing, however many they are.
 */
START_TEST(test_host_not_charged)
{
    struct budget *budget = budget_new();

    for (uint64_t i = 0; i < 20000; i++) {
        struct addr source = address(0xcb007101, (uint16_t)i);
        struct budget_flow flow = budget_flow(budget, &source, 1, false);

        ck_assert_uint_eq(budget_take(budget, &flow, BUDGET_SEARCH, 8, SECOND + i * 1000), 8);
        budget_done(budget, &flow, BUDGET_SEARCH, 8, 8, true);
    }
    budget_free(budget);
}
END_TEST

START_TEST(test_wanted)
{
    struct budget *budget = budget_new();
    struct addr source = address(0xcb007101, 5004);
    struct budget_flow flow = budget_flow(budget, &source, 1, false);

    ck_assert_uint_eq(budget_take(budget, &flow, BUDGET_SEARCH, 0, SECOND), 0);
    ck_assert_uint_eq(budget_counts(budget).refused, 0);
    ck_assert_uint_eq(budget_take(budget, &flow, BUDGET_SEARCH, 3, SECOND), 3);
    ck_assert_uint_eq(budget_take(budget, &flow, BUDGET_SEARCH, 1000, SECOND), BUDGET_TRIES);
    budget_free(budget);
}
END_TEST

/* A clock that stands or goes back gives nothing twice. */
START_TEST(test_clock_going_back)
{
    struct budget *budget = budget_new();
    struct addr source = address(0xcb007101, 5004);
    struct budget_flow flow = budget_flow(budget, &source, 1, false);
    unsigned tries = 0;

    for (unsigned i = 0; i < 10000; i++)
        tries += budget_take(budget, &flow, BUDGET_SEARCH, 8, SECOND * (i % 2 ? 9 : 10));
    ck_assert_uint_eq(tries, BUDGET_FLOW_BURST);
    /* Nor does a very long silence: it fills the bucket, no more. */
    for (unsigned i = 0; i < 10000; i++)
        tries += budget_take(budget, &flow, BUDGET_SEARCH, 8, UINT64_MAX - 5);
    ck_assert_uint_eq(tries, 2 * BUDGET_FLOW_BURST);
    budget_free(budget);

    /* 50 times that is 2^64 and a bit: it must fill the bucket, too. */
    budget = budget_new();
    flow = budget_flow(budget, &source, 1, false);
    ck_assert_int_eq(BUDGET_FLOW_RATE, 50);
    for (unsigned i = tries = 0; i < 100; i++)
        tries += budget_take(budget, &flow, BUDGET_SEARCH, 8, SECOND);
    for (unsigned i = 0; i < 100; i++)
        tries += budget_take(budget, &flow, BUDGET_SEARCH, 8, SECOND + 368934881474191033);
    ck_assert_uint_eq(tries, 2 * BUDGET_FLOW_BURST);
    budget_free(budget);
}
END_TEST

/* ------------------------------------------------------------ cursors */

/* Another flow with the same place. */
static struct budget_flow meet(const struct budget *budget, const struct budget_flow *flow)
{
    for (uint32_t ssrc = 0;; ssrc++) {
        struct addr source = address(0xcb007200, 7000);
        struct budget_flow other = budget_flow(budget, &source, ssrc, false);

        if (other.place == flow->place && other.tag != flow->tag)
            return other;
    }
}

START_TEST(test_cursor)
{
    struct budget *budget = budget_new();
    struct addr source = address(0xcb007101, 5004);
    struct budget_flow flow = budget_flow(budget, &source, 1, false), other = meet(budget, &flow);
    struct candidates_cursor *cursor = budget_cursor(budget, &flow, SECOND);
    uint32_t at = cursor->at[2];

    ck_assert_uint_eq(cursor->turn, 0);
    cursor->at[2] += 8;
    /* The other one does not disturb it while its packets come. */
    for (uint64_t now = SECOND; now < 3 * SECOND; now += PACKET_US) {
        ck_assert_ptr_ne(budget_cursor(budget, &other, now), cursor);
        ck_assert_ptr_eq(budget_cursor(budget, &flow, now), cursor);
        ck_assert_uint_eq(cursor->at[2], at + 8);
    }
    ck_assert_ptr_eq(budget_cursor(budget, &other, 4 * SECOND), cursor);
    ck_assert_ptr_ne(budget_cursor(budget, &flow, 4 * SECOND), cursor);
    budget_free(budget);
}
END_TEST

/* Flows that meet share tokens, and nothing else: both see all candidates. */
START_TEST(test_flows_that_meet)
{
    enum { COUNT = 16, PACKETS = 400 };
    struct budget *budget = budget_new();
    struct addr source = address(0xcb007101, 5004);
    struct budget_flow flow = budget_flow(budget, &source, 1, false);
    struct budget_flow flows[2] = {flow, meet(budget, &flow)};
    uint32_t seen[2] = {0};
    unsigned tries = 0;

    for (uint64_t i = 0; i < PACKETS; i++) {
        struct candidates_cursor *cursor = budget_cursor(budget, &flows[i % 2], i * PACKET_US / 2);

        for (unsigned k = 0; k < 8; k++)
            seen[i % 2] |= 1u << cursor->at[2]++ % COUNT;
    }
    ck_assert_uint_eq(seen[0], 0xffff);
    ck_assert_uint_eq(seen[1], 0xffff);
    for (unsigned i = 0; i < PACKETS; i++)
        tries += budget_take(budget, &flows[i % 2], BUDGET_SEARCH, 8, PACKETS * PACKET_US);
    ck_assert_uint_eq(tries, BUDGET_FLOW_BURST);
    budget_free(budget);
}
END_TEST

/* ------------------------------------------------------------ senders and forgers */

struct stream {
    struct addr source;
    struct sa *sa; /* whose packets it sends; NULL: a forger, whose packets are nobody's */
    uint32_t ssrc;
    bool peer;
    uint64_t interval_us, next_us;
    uint64_t waited_us; /* when its first packet came; once heard, how long it took since */
    bool heard;
    struct stream *next; /* at the same time */
};

struct world {
    struct budget *budget;
    struct candidates *candidates;
    struct sa **sa;
    struct stream *stream;
    size_t sa_count, stream_count;
    uint32_t jitter;                   /* random, the same in each run */
    struct stream *wheel[WHEEL_TICKS]; /* by the time of their next packets */
};

static struct world world_new(size_t sas, size_t streams)
{
    struct world w = {.budget = budget_new(), .candidates = candidates_new(sas), .jitter = 1};

    w.sa = calloc(sas + 1, sizeof(struct sa *));
    w.stream = calloc(streams + 1, sizeof(struct stream));
    ck_assert(w.budget && w.candidates && w.sa && w.stream);
    return w;
}

static void world_free(struct world *w)
{
    for (size_t i = 0; i < w->sa_count; i++)
        sa_free(w->sa[i]);
    candidates_free(w->candidates);
    budget_free(w->budget);
    free(w->stream);
    free(w->sa);
}

/* An SA, and the stream of its sender unless that is silent (from.family 0). */
static void world_sa(struct world *w, const struct sa *fields, const struct addr *from)
{
    struct sa *sa = sa_new();
    size_t number = w->sa_count;

    ck_assert_ptr_nonnull(sa);
    sa->source_policy = fields->source_policy;
    sa->source = fields->source;
    sa->hint = fields->hint;
    sa->encap_in = fields->encap_in;
    ck_assert_int_eq(candidates_add(w->candidates, sa), 0);
    w->sa[w->sa_count++] = sa;
    if (from->family)
        w->stream[w->stream_count++] =
            (struct stream){.source = *from,
                            .sa = sa,
                            .ssrc = (uint32_t)number,
                            .peer = fields->encap_in == SA_ENCAP_RTP_PRIME,
                            .interval_us = PACKET_US,
                            .next_us = SECOND + number * 7919 % PACKET_US};
}

/* Tries what the budget lets it; the packet verifies with the sender's own SA only. */
static unsigned try_candidates(struct world *w, struct stream *stream,
                               struct candidates_search *search, unsigned taken,
                               struct candidates_cursor *cursor, uint64_t now_us)
{
    enum budget_kind kind = search->open_only ? BUDGET_OPEN : BUDGET_SEARCH;
    unsigned tried = 0;
    struct sa *sa;

    while (tried < taken && !stream->heard && (sa = candidates_next(search, cursor))) {
        if (!budget_owner(w->budget, kind, sa->owner, now_us))
            continue;
        tried++;
        stream->heard = sa == stream->sa;
    }
    return tried;
}

static void world_heard(struct world *w, struct stream *stream, uint64_t now_us)
{
    struct sa *sa = stream->sa;

    stream->waited_us = now_us - stream->waited_us;
    sa->source.rtp = stream->source;
    sa->bound[0] = true;
    ck_assert_int_eq(sa_stream_add(sa, stream->ssrc, SSRC_ORIGIN_LEARNED), 0);
    candidates_update(w->candidates, sa);
}

/* A packet whose source and SSRC the table does not know, as the packet path will treat it. */
static void world_packet(struct world *w, struct stream *stream, uint64_t now_us)
{
    struct candidates_search search;
    size_t wanted =
        candidates_begin(w->candidates, SA_SIDE_EXTERNAL, &stream->source, false, &search);
    enum budget_kind kind = search.open_only ? BUDGET_OPEN : BUDGET_SEARCH;
    struct budget_flow flow = budget_flow(w->budget, &stream->source, stream->ssrc, stream->peer);
    unsigned taken, tried;

    if (wanted > BUDGET_TRIES)
        wanted = BUDGET_TRIES;
    taken = budget_take(w->budget, &flow, kind, (unsigned)wanted, now_us);
    if (!stream->waited_us)
        stream->waited_us = now_us;
    if (!taken)
        return;
    tried =
        try_candidates(w, stream, &search, taken, budget_cursor(w->budget, &flow, now_us), now_us);
    budget_done(w->budget, &flow, kind, taken, tried, stream->heard);
    if (stream->heard)
        world_heard(w, stream, now_us);
}

/* Up to a quarter of the interval late: else one stream might be a hair behind another for ever. */
static void world_schedule(struct world *w, struct stream *stream)
{
    struct stream **slot;

    w->jitter ^= w->jitter << 13;
    w->jitter ^= w->jitter >> 17;
    w->jitter ^= w->jitter << 5;
    slot = &w->wheel[(stream->next_us + w->jitter % (stream->interval_us / 4)) / TICK_US %
                     WHEEL_TICKS];
    stream->next = *slot;
    *slot = stream;
}

/*
 * All packets in the order of time: with any other, whoever comes first each time would have
 * what came back to the buckets. Who was heard is in the table from then on, and no business of
 * ours.
 */
static void world_run(struct world *w, uint64_t until_us)
{
    for (size_t i = 0; i < w->stream_count; i++)
        world_schedule(w, &w->stream[i]);
    for (uint64_t now = SECOND; now < until_us; now += TICK_US) {
        struct stream **slot = &w->wheel[now / TICK_US % WHEEL_TICKS], *due = *slot, *next;

        *slot = NULL;
        for (; due; due = next) {
            next = due->next;
            world_packet(w, due, now);
            due->next_us += due->interval_us;
            if (!due->heard)
                world_schedule(w, due);
        }
        if (now % 1000 == 0)
            candidates_work(w->candidates, 16);
    }
}

enum sender_kind { SENDER_PHONE, SENDER_PEER, SENDER_OPEN, SENDER_KINDS };

enum forgers {
    FORGE_NOTHING,
    FORGE_ADDRESSES, /* from 10,000 addresses that nobody has */
    FORGE_PORTS,     /* from 10,000 ports of the phones' address */
    FORGE_SSRCS,     /* from the peer's address, with 10,000 SSRCs */
};

/* 50,000 packets per second. */
static void add_forgers(struct world *w, enum forgers what)
{
    for (unsigned i = 0; what != FORGE_NOTHING && i < 10000; i++) {
        struct stream forger = {.ssrc = 0x80000000 + i, .peer = what == FORGE_SSRCS};

        forger.source = address(0xcb007101, (uint16_t)(20000 + i));
        if (what == FORGE_ADDRESSES)
            forger.source = address(0x08000000 + i * 257, 5004);
        if (what == FORGE_SSRCS)
            forger.source = address(0xc6336401, 5004);
        forger.interval_us = FORGER_US;
        forger.next_us = SECOND + i * TICK_US;
        w->stream[w->stream_count++] = forger;
    }
}

/*
 * Phones behind one address, streams of a peer, and senders that may be anywhere; of the first and
 * the last so many send, the others are silent. Each that sends is heard within that time after
 * its first packet (0: some time), and in two seconds no more is tried than that.
 */
static const struct scenario {
    const char *name;
    unsigned phones, phones_send, peers, open, open_send;
    enum forgers forgers;
    uint64_t heard_ms[SENDER_KINDS];
    uint64_t tries;
} scenarios[] = {
    {"phones", 50, 30, 0, 0, 0, FORGE_NOTHING, {1000, 0, 0}, 2500},
    {"all phones", 50, 50, 0, 0, 0, FORGE_NOTHING, {1000, 0, 0}, 2500},
    {"a peer", 0, 0, 200, 0, 0, FORGE_NOTHING, {0, 1000, 0}, 25000},
    {"open", 0, 0, 0, 50, 25, FORGE_NOTHING, {0, 0, 1000}, 2500},
    {"all", 50, 30, 200, 50, 25, FORGE_NOTHING, {1000, 2000, 1000}, 40000},
    /* Nobody is named by a stranger's address: nothing is tried for it. */
    {"strangers", 50, 30, 200, 0, 0, FORGE_ADDRESSES, {1000, 1000, 0}, 25000},
    /* Some SAs may be anywhere: 33,000 with strangers at most, 22,000 of one site; 50,000 as below.
     */
    {"strangers, open", 50, 30, 200, 50, 25, FORGE_ADDRESSES, {1000, 2000, 0}, 86000},
    /*
     * 26,000 for the address of the phones. Its many flows take the places of the peer's, which
     * then go on by chance: of the 50,000 that a peer may cause, they need more than 25,000.
     */
    {"a neighbour of phones", 50, 30, 200, 0, 0, FORGE_PORTS, {0, 2000, 0}, 76000},
    /* 50,000 for the peer. */
    {"a false peer", 50, 30, 200, 0, 0, FORGE_SSRCS, {1000, 0, 0}, 54000},
};

static void add_senders(struct world *w, const struct scenario *s)
{
    const struct addr nobody = {0}, peer = address(0xc6336401, 5004);
    struct sa fields = {.source_policy = SOURCE_HINTED, .encap_in = SA_ENCAP_RTP};

    fields.hint = address(0xcb007101, 5060);
    for (unsigned i = 0; i < s->phones; i++) {
        struct addr from = address(0xcb007101, (uint16_t)(1024 + i * 100));

        fields.source.rtp = address(0x0a000001 + i, 5004);
        world_sa(w, &fields, i < s->phones_send ? &from : &nobody);
    }
    fields = (struct sa){.source_policy = SOURCE_OPEN, .encap_in = SA_ENCAP_RTP};
    for (unsigned i = 0; i < s->open; i++) {
        struct addr from = address(0xc0000201 + i, 5004);

        fields.source.rtp = address(0x0a000001 + i, 5004);
        world_sa(w, &fields, i < s->open_send ? &from : &nobody);
    }
    fields = (struct sa){.source_policy = SOURCE_STRICT, .encap_in = SA_ENCAP_RTP_PRIME};
    fields.source.rtp = peer;
    for (unsigned i = 0; i < s->peers; i++)
        world_sa(w, &fields, &peer);
}

static enum sender_kind kind_of(const struct stream *stream)
{
    if (stream->peer)
        return SENDER_PEER;
    return stream->sa->source_policy == SOURCE_OPEN ? SENDER_OPEN : SENDER_PHONE;
}

START_TEST(test_scenario)
{
    const struct scenario *s = &scenarios[_i];
    struct world w = world_new(s->phones + s->peers + s->open, 20000);
    uint64_t tries;

    add_senders(&w, s);
    add_forgers(&w, s->forgers);
    world_run(&w, 3 * SECOND);
    for (size_t i = 0; i < w.stream_count; i++) {
        const struct stream *stream = &w.stream[i];
        uint64_t limit_ms = stream->sa ? s->heard_ms[kind_of(stream)] : 0;

        ck_assert(!stream->heard || stream->sa);
        ck_assert_msg(!limit_ms || stream->heard, "%s: not heard", s->name);
        ck_assert_msg(!limit_ms || stream->waited_us <= limit_ms * 1000, "%s: heard after %llu us",
                      s->name, (unsigned long long)stream->waited_us);
    }
    tries = budget_counts(w.budget).tries;
    ck_assert_msg(tries <= s->tries, "%s: %llu tries", s->name, (unsigned long long)tries);
    world_free(&w);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("budget");
    TCase *tc = tcase_create("budget");

    tcase_add_loop_test(tc, test_bounds, 0, sizeof(bounds) / sizeof(bounds[0]));
    tcase_add_test(tc, test_match_beside_search);
    tcase_add_test(tc, test_owner);
    tcase_add_test(tc, test_not_charged);
    tcase_add_test(tc, test_host_not_charged);
    tcase_add_test(tc, test_wanted);
    tcase_add_test(tc, test_clock_going_back);
    tcase_add_test(tc, test_cursor);
    tcase_add_test(tc, test_flows_that_meet);
    tcase_add_loop_test(tc, test_scenario, 0, sizeof(scenarios) / sizeof(scenarios[0]));
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
