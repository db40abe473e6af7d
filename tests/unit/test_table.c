#include "common/sa/table.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "tests/unit/sample.h"
#include "tests/unit/tablemodel.h"
#include "tests/unit/unit.h"

enum { MANY = 100000 };

static struct sa *must_insert(struct table *table, struct sa *sa)
{
    ck_assert_int_eq(table_insert(table, sa), 0);
    return sa;
}

/* Refused, and still the caller's. */
static void must_refuse(struct table *table, struct sa *sa, int error)
{
    size_t before = table_count(table);

    ck_assert_int_eq(table_insert(table, sa), error);
    ck_assert_uint_eq(table_count(table), before);
    sa_free(sa);
}

static void discard(struct table *table, struct sa *sa)
{
    table_remove(table, sa);
    sa_free(sa);
}

static void expect_found(struct table *table, struct sa *sa)
{
    uint32_t ssrc = sa->stream[0].ssrc;

    ck_assert_ptr_eq(table_by_id(table, sa->owner, sa->id), sa);
    ck_assert_ptr_eq(table_by_label(table, sa->owner, sa->label), sa);
    ck_assert_ptr_eq(table_by_source(table, sa->side, &sa->source.rtp, ssrc), sa);
    if (!sa->source.mux && sa->source.rtcp.family)
        ck_assert_ptr_eq(table_by_source(table, sa->side, &sa->source.rtcp, ssrc), sa);
}

static void expect_gone(struct table *table, const struct sa *was)
{
    ck_assert_ptr_null(table_by_id(table, was->owner, was->id));
    ck_assert_ptr_null(table_by_label(table, was->owner, was->label));
    ck_assert_ptr_null(table_by_source(table, was->side, &was->source.rtp, was->stream[0].ssrc));
    ck_assert_ptr_null(table_by_source(table, was->side, &was->source.rtcp, was->stream[0].ssrc));
}

START_TEST(test_empty)
{
    struct table *table = table_new(0);
    struct addr source = sample_addr("8.8.8.8:4000");

    ck_assert_ptr_nonnull(table);
    ck_assert_uint_eq(table_count(table), 0);
    ck_assert_uint_eq(table_max(table), 0);
    ck_assert_ptr_null(table_by_id(table, 0, 0));
    ck_assert_ptr_null(table_by_label(table, 0, 0));
    ck_assert_ptr_null(table_by_source(table, SA_SIDE_EXTERNAL, &source, 0));
    must_refuse(table, sample_sa(SA_SIDE_EXTERNAL, 1, 1), ERR_FULL);
    table_free(table);
    table_free(NULL);
}
END_TEST

START_TEST(test_many)
{
    const uint32_t many = unit_rounds(MANY) / 8 * 8;
    struct table *table = table_new(many);
    struct sa **all = calloc(many, sizeof(struct sa *));
    struct table_walk walk;
    unsigned walked = 0;

    ck_assert(table && all);
    for (uint32_t i = 0; i < many; i++) {
        all[i] = sample_sa(i % 3 ? SA_SIDE_EXTERNAL : SA_SIDE_INTERNAL, i + 1, i);
        all[i]->owner = i % 4;
        must_insert(table, all[i]);
    }
    must_refuse(table, sample_sa(SA_SIDE_EXTERNAL, many + 1, many), ERR_FULL);
    ck_assert_uint_eq(table_count(table), many);
    for (unsigned i = 0; i < 4; i++)
        ck_assert_uint_eq(table_count_owner(table, i), many / 4);
    for (uint32_t i = 0; i < many; i++)
        expect_found(table, all[i]);
    for (uint32_t i = 0; i < many; i += 2) {
        table_remove(table, all[i]);
        expect_gone(table, all[i]);
        sa_free(all[i]);
    }
    for (uint32_t i = 1; i < many; i += 2)
        expect_found(table, all[i]);
    ck_assert_uint_eq(table_count(table), many / 2);
    ck_assert_uint_eq(table_count_owner(table, 0), 0);
    ck_assert_uint_eq(table_count_owner(table, 1), many / 4);
    for (table_walk_begin(table, &walk); table_walk_next(table, &walk);)
        walked++;
    ck_assert_uint_eq(walked, many / 2);
    table_free(table);
    free(all);
}
END_TEST

START_TEST(test_remove_twice)
{
    struct table *table = table_new(4);
    struct sa *sa = must_insert(table, sample_sa(SA_SIDE_EXTERNAL, 1, 2));

    table_remove(table, sa);
    table_remove(table, sa);
    ck_assert_uint_eq(table_count(table), 0);
    ck_assert_uint_eq(table_count_owner(table, 0), 0);
    /* And once more in: nothing of the first time is left in it. */
    must_insert(table, sa);
    expect_found(table, sa);
    table_free(table);
}
END_TEST

/* What stands in the way of an SA: id and label of SA 1, but not its source and SSRC. */
static const struct {
    const char *name;
    uint64_t id;
    uint32_t label, ssrc;
    const char *rtp, *rtcp;
    bool mux;
    unsigned owner;
    enum sa_side side;
    bool conflict;
} conflict_rows[] = {
    {"nothing in common", 2, 20, 20, "8.8.8.2:20", "8.8.8.2:21", false, 0, SA_SIDE_EXTERNAL, false},
    {"id", 1, 20, 20, "8.8.8.2:20", "8.8.8.2:21", false, 0, SA_SIDE_EXTERNAL, true},
    {"id of another owner", 1, 20, 20, "8.8.8.2:20", "8.8.8.2:21", false, 1, SA_SIDE_EXTERNAL,
     false},
    {"label", 2, 10, 20, "8.8.8.2:20", "8.8.8.2:21", false, 0, SA_SIDE_EXTERNAL, true},
    {"label of another owner", 2, 10, 20, "8.8.8.2:20", "8.8.8.2:21", false, 1, SA_SIDE_EXTERNAL,
     false},
    {"source and SSRC", 2, 20, 10, "8.8.8.1:10", "8.8.8.2:21", false, 0, SA_SIDE_EXTERNAL, false},
    {"source and second SSRC", 2, 20, 11, "8.8.8.1:10", "", true, 0, SA_SIDE_EXTERNAL, false},
    {"source and SSRC of another owner", 2, 20, 10, "8.8.8.1:10", "8.8.8.2:21", false, 1,
     SA_SIDE_EXTERNAL, false},
    {"source and SSRC, other side", 2, 20, 10, "8.8.8.1:10", "8.8.8.1:11", false, 0,
     SA_SIDE_INTERNAL, false},
    {"source, other SSRC", 2, 20, 20, "8.8.8.1:10", "8.8.8.1:11", false, 0, SA_SIDE_EXTERNAL,
     false},
    {"SSRC, other port", 2, 20, 10, "8.8.8.1:12", "8.8.8.1:13", false, 0, SA_SIDE_EXTERNAL, false},
    {"SSRC, other address", 2, 20, 10, "8.8.8.2:10", "8.8.8.2:11", false, 0, SA_SIDE_EXTERNAL,
     false},
    {"RTCP source and SSRC", 2, 20, 10, "8.8.8.1:8", "8.8.8.1:11", false, 0, SA_SIDE_EXTERNAL,
     false},
    {"RTP on the other's RTCP source", 2, 20, 10, "8.8.8.1:11", "8.8.8.1:12", false, 0,
     SA_SIDE_EXTERNAL, false},
    {"RTCP on the other's RTP source", 2, 20, 10, "8.8.8.1:9", "8.8.8.1:10", false, 0,
     SA_SIDE_EXTERNAL, false},
    {"RTCP source that mux makes void", 2, 20, 10, "8.8.8.1:8", "8.8.8.1:11", true, 0,
     SA_SIDE_EXTERNAL, false},
    {"no source", 2, 20, 10, "", "", false, 0, SA_SIDE_EXTERNAL, false},
};

START_TEST(test_conflict)
{
    struct table *table = table_new(8);
    struct sa *first = sample_sa(SA_SIDE_EXTERNAL, 1, 10);
    struct sa *sa = sample_sa(conflict_rows[_i].side, conflict_rows[_i].id, conflict_rows[_i].ssrc);

    first->source.rtp = sample_addr("8.8.8.1:10");
    first->source.rtcp = sample_addr("8.8.8.1:11");
    ck_assert_int_eq(sa_stream_add(first, 11, SSRC_ORIGIN_SIGNALLED), 0);
    must_insert(table, first);
    sa->label = conflict_rows[_i].label;
    sa->owner = conflict_rows[_i].owner;
    sa->source.rtp = sample_addr(conflict_rows[_i].rtp);
    sa->source.rtcp = sample_addr(conflict_rows[_i].rtcp);
    sa->source.mux = conflict_rows[_i].mux;
    ck_assert_msg((table_conflict(table, sa) == first) == conflict_rows[_i].conflict, "%s",
                  conflict_rows[_i].name);
    if (conflict_rows[_i].conflict) {
        must_refuse(table, sa, ERR_EXISTS);
        expect_found(table, first);
    } else {
        must_insert(table, sa);
        ck_assert_ptr_null(table_conflict(table, sa));
        ck_assert_ptr_null(table_conflict(table, first));
    }
    table_free(table);
}
END_TEST

static struct sa *alike(unsigned owner, uint64_t id)
{
    struct sa *sa = sample_sa(SA_SIDE_EXTERNAL, id, (uint32_t)id);

    sa->owner = owner;
    sa->source.rtp = sample_addr("8.8.8.8:4000");
    sa->source.rtcp = sample_addr("8.8.8.8:4001");
    sa->stream[0].ssrc = 77;
    return sa;
}

/* SAs of one source and SSRC: so many of an owner, so many in all, the youngest first. */
START_TEST(test_alike)
{
    struct table *table = table_new(20);
    struct addr source = sample_addr("8.8.8.8:4001");
    struct sa *sa = NULL, *first = NULL;
    uint64_t id = 0;

    for (unsigned owner = 0; owner < 2; owner++) {
        for (unsigned i = 0; i < TABLE_ALIKE_OWN; i++) {
            sa = must_insert(table, alike(owner, ++id));
            first = first ? first : sa;
        }
        sa = alike(owner, ++id);
        ck_assert_uint_eq(table_conflict(table, sa)->id, 1 + owner * (TABLE_ALIKE_OWN + 1));
        must_refuse(table, sa, ERR_EXISTS);
    }
    sa = alike(2, 99);
    ck_assert_ptr_eq(table_conflict(table, sa), first);
    must_refuse(table, sa, ERR_EXISTS);
    for (unsigned i = 0; i < TABLE_ALIKE_MAX; i++) {
        sa = table_by_stream(table, SA_SIDE_EXTERNAL, &source, 77, i ? sa : NULL);
        ck_assert_ptr_nonnull(sa);
        ck_assert_uint_lt(sa->id, id);
        id = sa->id;
    }
    ck_assert_ptr_eq(sa, first);
    ck_assert_ptr_null(table_by_stream(table, SA_SIDE_EXTERNAL, &source, 77, sa));
    ck_assert_ptr_null(table_by_stream(table, SA_SIDE_EXTERNAL, &source, 78, NULL));
    ck_assert_ptr_null(table_by_stream(table, SA_SIDE_EXTERNAL, &source, 78, sa));
    discard(table, first);
    must_insert(table, alike(2, 99));
    table_free(table);
}
END_TEST

/* The eighth SSRC is not the last that a sender may have: the oldest goes. */
START_TEST(test_learned_ssrcs)
{
    struct table *table = table_new(8);
    struct sa *sa = sample_sa(SA_SIDE_EXTERNAL, 1, 1);
    struct addr source = sa->source.rtp;

    sa->stream_count = 0;
    must_insert(table, sa);
    for (uint32_t ssrc = 100; ssrc < 120; ssrc++) {
        struct sa_stream *stream = table_learn_ssrc(table, sa, ssrc);

        ck_assert_ptr_eq(stream, sa_stream(sa, ssrc));
        ck_assert_int_eq(stream->origin, SSRC_ORIGIN_LEARNED);
        ck_assert(!stream->index.started);
        stream->index.started = true;
        for (uint32_t old = 100; old <= ssrc; old++) {
            bool there = old + SA_SSRC_MAX > ssrc;

            ck_assert_ptr_eq(table_by_stream(table, SA_SIDE_EXTERNAL, &source, old, NULL),
                             there ? sa : NULL);
            ck_assert_ptr_eq(table_by_ssrc(table, SA_SIDE_EXTERNAL, old, NULL), there ? sa : NULL);
        }
    }
    table_free(table);
}
END_TEST

/* A sender that is found elsewhere from now on, with all its SSRCs, among others of its source. */
START_TEST(test_moved_source)
{
    struct table *table = table_new(8);
    struct addr from = sample_addr("8.8.8.8:4000"), to = sample_addr("9.9.9.9:5000"), none = {0};
    struct sa *sas[3];

    for (unsigned i = 0; i < 3; i++) {
        sas[i] = alike(0, i + 1);
        sas[i]->stream[0].ssrc = 100 + i;
        must_insert(table, sas[i]);
    }
    for (unsigned i = 0; i < 3; i++) {
        table_move_source(table, sas[i], false, &to);
        ck_assert_ptr_eq(table_by_stream(table, SA_SIDE_EXTERNAL, &to, 100 + i, NULL), sas[i]);
        ck_assert_ptr_null(table_by_stream(table, SA_SIDE_EXTERNAL, &from, 100 + i, NULL));
        ck_assert(!table_at_source(table, SA_SIDE_EXTERNAL, &from) == (i == 2));
        ck_assert_ptr_nonnull(table_at_source(table, SA_SIDE_EXTERNAL, &to));
    }
    table_move_source(table, sas[1], true, &none);
    ck_assert_ptr_null(table_by_stream(table, SA_SIDE_EXTERNAL, &none, 101, NULL));
    ck_assert_ptr_null(table_at_source(table, SA_SIDE_INTERNAL, &to));
    table_free(table);
}
END_TEST

START_TEST(test_shared_source)
{
    struct table *table = table_new(8);
    struct addr source = sample_addr("8.8.8.8:4000"), rtcp = sample_addr("8.8.8.8:4001");
    struct sa *sas[3];

    for (uint32_t i = 0; i < 3; i++) {
        sas[i] = sample_sa(SA_SIDE_EXTERNAL, i + 1, 100 + i);
        sas[i]->source.rtp = source;
        sas[i]->source.rtcp = rtcp;
        sas[i]->source.mux = i == 2;
        must_insert(table, sas[i]);
        /* One alone is found whatever the SSRC. */
        ck_assert_ptr_eq(table_by_source(table, SA_SIDE_EXTERNAL, &source, 999),
                         i == 0 ? sas[0] : NULL);
    }
    for (uint32_t i = 0; i < 3; i++)
        ck_assert_ptr_eq(table_by_source(table, SA_SIDE_EXTERNAL, &source, 100 + i), sas[i]);
    ck_assert_ptr_eq(table_by_source(table, SA_SIDE_EXTERNAL, &rtcp, 100), sas[0]);
    ck_assert_ptr_null(table_by_source(table, SA_SIDE_EXTERNAL, &rtcp, 102));
    ck_assert_ptr_null(table_by_source(table, SA_SIDE_INTERNAL, &source, 100));
    discard(table, sas[1]);
    /* On the RTCP address the first is alone now, with mux the third never stood there. */
    ck_assert_ptr_eq(table_by_source(table, SA_SIDE_EXTERNAL, &rtcp, 999), sas[0]);
    ck_assert_ptr_null(table_by_source(table, SA_SIDE_EXTERNAL, &source, 999));
    discard(table, sas[0]);
    ck_assert_ptr_eq(table_by_source(table, SA_SIDE_EXTERNAL, &source, 999), sas[2]);
    table_free(table);
}
END_TEST

/* All calls of a gateway come from one port; a walk through them would take longer than a test may.
 */
/* Against a sender at 8.8.8.8, ports 4000 and 4001: which of its own addresses another one shares
 * with it, and which of that sender's are shared. */
static const struct {
    const char *rtp, *rtcp;
    bool mux;
    enum sa_side side;
    bool shares[2], shared[2];
} neighbours[] = {
    {"8.8.8.8:4000", "8.8.8.8:6001", false, SA_SIDE_EXTERNAL, {true, false}, {true, false}},
    {"8.8.8.8:4000", "8.8.8.8:4001", false, SA_SIDE_EXTERNAL, {true, true}, {true, true}},
    {"8.8.8.8:4001", "8.8.8.8:4002", false, SA_SIDE_EXTERNAL, {true, false}, {false, true}},
    {"8.8.8.8:3999", "8.8.8.8:4000", false, SA_SIDE_EXTERNAL, {false, true}, {true, false}},
    {"8.8.8.8:3999", "8.8.8.8:4001", false, SA_SIDE_EXTERNAL, {false, true}, {false, true}},
    {"8.8.8.8:3999", "8.8.8.8:4000", true, SA_SIDE_EXTERNAL, {false}, {false}},
    {"8.8.8.8:4002", "8.8.8.8:4003", false, SA_SIDE_EXTERNAL, {false}, {false}},
    {"8.8.8.9:4000", "8.8.8.9:4001", false, SA_SIDE_EXTERNAL, {false}, {false}},
    {"8.8.8.8:4000", "8.8.8.8:4001", false, SA_SIDE_INTERNAL, {false}, {false}},
    {"", "", false, SA_SIDE_EXTERNAL, {false}, {false}},
};

static void expect_shares(struct table *table, const struct sa *sa, const bool shares[2],
                          const struct sa *other)
{
    for (int rtcp = 0; rtcp < 2; rtcp++)
        ck_assert_ptr_eq(table_shares_source(table, sa, rtcp), shares[rtcp] ? other : NULL);
}

START_TEST(test_shares_source)
{
    static const bool none[2];
    struct table *table = table_new(8);
    struct sa *sa = sample_sa(SA_SIDE_EXTERNAL, 1, 2), *other;

    sa->source = (struct sa_transport){.rtp = sample_addr("8.8.8.8:4000"),
                                       .rtcp = sample_addr("8.8.8.8:4001")};
    must_insert(table, sa);
    expect_shares(table, sa, none, NULL);
    other = sample_sa(neighbours[_i].side, 2, 4);
    other->source = (struct sa_transport){.rtp = sample_addr(neighbours[_i].rtp),
                                          .rtcp = sample_addr(neighbours[_i].rtcp),
                                          .mux = neighbours[_i].mux};
    expect_shares(table, other, neighbours[_i].shares, sa);
    must_insert(table, other);
    expect_shares(table, other, neighbours[_i].shares, sa);
    expect_shares(table, sa, neighbours[_i].shared, other);
    discard(table, other);
    expect_shares(table, sa, none, NULL);
    table_free(table);
}
END_TEST

START_TEST(test_gateway)
{
    enum { CALLS = 20000 };
    struct table *table = table_new(CALLS);
    struct addr source = sample_addr("8.8.8.8:4000");

    for (uint32_t i = 1; i <= CALLS; i++) {
        struct sa *sa = sample_sa(SA_SIDE_EXTERNAL, i, i);

        sa->source.rtp = source;
        sa->source.mux = true;
        must_insert(table, sa);
    }
    for (uint32_t i = 1; i <= CALLS; i++) {
        struct sa *sa = table_by_source(table, SA_SIDE_EXTERNAL, &source, i);

        ck_assert_ptr_nonnull(sa);
        ck_assert_uint_eq(sa->stream[0].ssrc, i);
        ck_assert_ptr_null(table_by_source(table, SA_SIDE_EXTERNAL, &source, CALLS + i));
    }
    table_free(table);
}
END_TEST

/* A stream that is added later is found by its SSRC, and by no other source. */
/* Each of the SAs, which is alone at its RTCP port. */
static void expect_alone(struct table *table, struct sa *const *sas, const bool *in, int count)
{
    struct sa *only = NULL;
    int left = 0;

    for (int i = 0; i < count; i++) {
        left += in[i];
        only = in[i] ? sas[i] : only;
    }
    for (int i = 0; i < count; i++) {
        const struct sa *other = table_shares_source(table, sas[i], false);

        if (in[i])
            expect_found(table, sas[i]);
        ck_assert_ptr_eq(table_by_source(table, SA_SIDE_EXTERNAL, &sas[i]->source.rtcp, 4711),
                         in[i] ? sas[i] : NULL);
        ck_assert_int_eq(other != NULL, left - in[i] > 0);
        ck_assert_ptr_ne(other, sas[i]);
    }
    ck_assert_ptr_eq(table_by_source(table, SA_SIDE_EXTERNAL, &sas[0]->source.rtp, 4711),
                     left == 1 ? only : NULL);
}

/* Four at one port go and come back in each order, in few buckets that they share with others. */
START_TEST(test_one_source_in_any_order)
{
    enum { SHARING = 4, OTHERS = 12 };
    struct table *table = table_new(SHARING + OTHERS);
    struct sa *sas[SHARING];
    bool in[SHARING];

    for (uint32_t i = 0; i < SHARING; i++) {
        sas[i] = sample_sa(SA_SIDE_EXTERNAL, 100 + i, 2 * (100 + i));
        sas[i]->source.rtp = sample_addr("8.8.8.8:3");
        must_insert(table, sas[i]);
        in[i] = true;
        for (uint32_t j = 0; j < OTHERS / SHARING; j++)
            must_insert(table, sample_sa(SA_SIDE_EXTERNAL, 1 + 3 * i + j, 2 * (1 + 3 * i + j)));
    }
    expect_alone(table, sas, in, SHARING);
    /* _i in the numeral system of SHARING: which go or come one after another. */
    for (int step = 0, rest = _i; step < 2 * SHARING; step++, rest /= SHARING) {
        int which = (step < SHARING ? rest : _i >> (step - SHARING)) % SHARING;

        if (in[which])
            table_remove(table, sas[which]);
        else
            must_insert(table, sas[which]);
        in[which] = !in[which];
        expect_alone(table, sas, in, SHARING);
    }
    for (uint32_t i = 0; i < SHARING; i++) {
        if (in[i])
            table_remove(table, sas[i]);
        sa_free(sas[i]);
    }
    for (uint32_t i = 1; i <= OTHERS; i++)
        expect_found(table, table_by_id(table, 0, i));
    table_free(table);
}
END_TEST

/* More labels than are looked up together, some of them twice, and of none. */
START_TEST(test_count_verdicts)
{
    static const uint32_t labels[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 3, 99, 3};
    struct table *table = table_new(16);

    for (uint32_t i = 1; i <= 10; i++)
        must_insert(table, sample_sa(SA_SIDE_EXTERNAL, i, i));
    table_count_verdicts(table, 1, labels, 13, VERDICT_TUNNEL_DOWN, NULL);
    table_count_verdicts(table, 0, labels, 13, VERDICT_TUNNEL_DOWN, NULL);
    table_count_verdicts(table, 0, labels, 0, VERDICT_TUNNEL_DOWN, NULL);
    for (uint32_t i = 1; i <= 10; i++)
        ck_assert_uint_eq(table_by_label(table, 0, i)->verdicts[VERDICT_TUNNEL_DOWN],
                          i == 3 ? 3 : 1);
    table_free(table);
}
END_TEST

START_TEST(test_streams_added)
{
    struct table *table = table_new(8);
    struct sa *sa = must_insert(table, sample_sa(SA_SIDE_EXTERNAL, 1, 1));
    struct sa *other = sample_sa(SA_SIDE_EXTERNAL, 2, 2);

    other->source = sa->source;
    must_insert(table, other);
    ck_assert_ptr_null(table_by_source(table, SA_SIDE_EXTERNAL, &sa->source.rtp, 77));
    ck_assert_int_eq(sa_stream_add(sa, 77, SSRC_ORIGIN_LEARNED), 0);
    table_streams_added(table, sa);
    table_streams_added(table, sa);
    ck_assert_ptr_eq(table_by_source(table, SA_SIDE_EXTERNAL, &sa->source.rtp, 77), sa);
    discard(table, sa);
    ck_assert_ptr_eq(table_by_source(table, SA_SIDE_EXTERNAL, &other->source.rtp, 77), other);
    table_free(table);
}
END_TEST

/* RTP and RTCP addresses of so many SAs fall into the same buckets of a small table. */
START_TEST(test_both_links_in_one_bucket)
{
    struct table *table = table_new(16);
    struct addr source = sample_addr("8.8.8.8:4000");
    struct sa *sa;

    for (uint32_t round = 0; round < 200; round++) {
        sa = sample_sa(SA_SIDE_EXTERNAL, 1, 7);
        sa->source.rtp = source;
        sa->source.rtcp = source;
        sa->source.rtcp.port = (uint16_t)(4001 + round);
        must_insert(table, sa);
        expect_found(table, sa);
        ck_assert_ptr_eq(table_by_source(table, SA_SIDE_EXTERNAL, &sa->source.rtp, 999), sa);
        ck_assert_ptr_eq(table_by_source(table, SA_SIDE_EXTERNAL, &sa->source.rtcp, 999), sa);
        table_remove(table, sa);
        expect_gone(table, sa);
        sa_free(sa);
    }
    /* One address for both, without mux: found once, and gone at once. */
    sa = sample_sa(SA_SIDE_EXTERNAL, 1, 7);
    sa->source.rtp = sa->source.rtcp = source;
    must_insert(table, sa);
    ck_assert_ptr_eq(table_by_source(table, SA_SIDE_EXTERNAL, &source, 999), sa);
    table_remove(table, sa);
    expect_gone(table, sa);
    sa_free(sa);
    table_free(table);
}
END_TEST

struct visit {
    struct table *table;
    unsigned seen, removed;
    uint64_t id_sum;
};

static void visit_and_remove_odd(void *ctx, struct sa *sa)
{
    struct visit *visit = ctx;

    visit->seen++;
    visit->id_sum += sa->id;
    if (sa->id % 2) {
        discard(visit->table, sa);
        visit->removed++;
    }
}

START_TEST(test_each_removes)
{
    struct visit visit = {.table = table_new(1000)};

    for (uint32_t i = 1; i <= 1000; i++)
        must_insert(visit.table, sample_sa(SA_SIDE_EXTERNAL, i, i));
    table_each(visit.table, visit_and_remove_odd, &visit);
    ck_assert_uint_eq(visit.seen, 1000);
    ck_assert_uint_eq(visit.id_sum, 1000 * 1001 / 2);
    ck_assert_uint_eq(visit.removed, 500);
    ck_assert_uint_eq(table_count(visit.table), 500);
    visit.seen = visit.removed = 0;
    table_each(visit.table, visit_and_remove_odd, &visit);
    ck_assert_uint_eq(visit.seen, 500);
    ck_assert_uint_eq(visit.removed, 0);
    table_free(visit.table);
}
END_TEST

/* Everything may be inserted and removed while a walk stands still, and nothing ends it. */
START_TEST(test_walk)
{
    enum { COUNT = 300 };
    struct table *table = table_new(COUNT + 100);
    unsigned seen[COUNT + 200] = {0};
    struct table_walk walk;
    struct sa *sa;
    uint32_t next = COUNT + 1;

    for (uint32_t i = 1; i <= COUNT; i++)
        must_insert(table, sample_sa(SA_SIDE_EXTERNAL, i, i));
    table_walk_begin(table, &walk);
    for (unsigned step = 0; (sa = table_walk_next(table, &walk)); step++) {
        ck_assert_uint_eq(seen[sa->id]++, 0);
        /* The one that came, one that has come or is to come, and a new one. */
        if (step % 5 == 0)
            discard(table, sa);
        sa = table_by_id(table, 0, step * 7 % COUNT / 2 * 2 + 1);
        if (sa)
            discard(table, sa);
        if (step % 2 && next < COUNT + 200) {
            must_insert(table, sample_sa(SA_SIDE_EXTERNAL, next, next));
            next++;
        }
    }
    ck_assert_ptr_null(table_walk_next(table, &walk));
    for (uint32_t i = 2; i <= COUNT; i += 2)
        ck_assert_uint_eq(seen[i], 1);
    table_free(table);
}
END_TEST

/* One SSRC of many senders, on both sides, among others. */
START_TEST(test_by_ssrc)
{
    enum { COUNT = 1000, SSRC = 4711 };
    struct table *table = table_new(COUNT);
    struct sa *sa, *last = NULL;
    unsigned count = 0;

    for (uint32_t i = 1; i <= COUNT; i++) {
        sa = sample_sa(i % 4 ? SA_SIDE_EXTERNAL : SA_SIDE_INTERNAL, i, i + 10000);
        if (i % 2 == 0)
            ck_assert_int_eq(sa_stream_add(sa, SSRC, SSRC_ORIGIN_LEARNED), 0);
        must_insert(table, sa);
    }
    ck_assert_ptr_null(table_by_ssrc(table, SA_SIDE_EXTERNAL, 1, NULL));
    for (sa = NULL; (sa = table_by_ssrc(table, SA_SIDE_EXTERNAL, SSRC, sa)); count++) {
        ck_assert_int_eq(sa->side, SA_SIDE_EXTERNAL);
        ck_assert_uint_eq(sa->id % 4, 2);
        last = sa;
    }
    ck_assert_uint_eq(count, COUNT / 4);
    ck_assert_ptr_eq(table_by_ssrc(table, SA_SIDE_INTERNAL, 10004, NULL), table_by_id(table, 0, 4));
    ck_assert_ptr_null(table_by_ssrc(table, SA_SIDE_EXTERNAL, 10004, NULL));
    /* An SA that does not have it has nothing behind it. */
    ck_assert_ptr_null(table_by_ssrc(table, SA_SIDE_EXTERNAL, 10001, last));
    ck_assert_int_eq(sa_stream_add(last, 77, SSRC_ORIGIN_LEARNED), 0);
    table_streams_added(table, last);
    ck_assert_ptr_eq(table_by_ssrc(table, SA_SIDE_EXTERNAL, 77, NULL), last);
    discard(table, last);
    ck_assert_ptr_null(table_by_ssrc(table, SA_SIDE_EXTERNAL, 77, NULL));
    for (sa = NULL; (sa = table_by_ssrc(table, SA_SIDE_EXTERNAL, SSRC, sa));)
        count--;
    ck_assert_uint_eq(count, 1);
    table_free(table);
}
END_TEST

/* Random programs against a list; the same for the same seed, everywhere. */
START_TEST(test_model)
{
    uint32_t random = 1 + (uint32_t)_i;
    uint8_t program[1500];

    for (unsigned round = unit_rounds(20); round > 0; round--) {
        const char *wrong;

        for (size_t i = 0; i < sizeof(program); i++) {
            random ^= random << 13;
            random ^= random >> 17;
            random ^= random << 5;
            program[i] = (uint8_t)(random >> 11);
        }
        wrong = tablemodel_run(program, sizeof(program));
        ck_assert_msg(!wrong, "%s (%u rounds to go)", wrong, round);
    }
}
END_TEST

START_TEST(test_owner_out_of_range)
{
    struct table *table = table_new(4);
    struct sa *sa = sample_sa(SA_SIDE_EXTERNAL, 1, 1);

    sa->owner = 100000;
    must_refuse(table, sa, ERR_RANGE);
    ck_assert_uint_eq(table_count_owner(table, 100000), 0);
    table_free(table);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("table");
    TCase *tc = tcase_create("table");

    tcase_add_test(tc, test_empty);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, test_many);
    tcase_add_test(tc, test_remove_twice);
    tcase_add_loop_test(tc, test_conflict, 0, sizeof(conflict_rows) / sizeof(conflict_rows[0]));
    tcase_add_test(tc, test_alike);
    tcase_add_test(tc, test_learned_ssrcs);
    tcase_add_test(tc, test_moved_source);
    tcase_add_test(tc, test_shared_source);
    tcase_add_test(tc, test_both_links_in_one_bucket);
    tcase_add_loop_test(tc, test_shares_source, 0, sizeof(neighbours) / sizeof(neighbours[0]));
    tcase_add_test(tc, test_gateway);
    tcase_add_loop_test(tc, test_one_source_in_any_order, 0, 256);
    tcase_add_test(tc, test_count_verdicts);
    tcase_add_test(tc, test_streams_added);
    tcase_add_test(tc, test_each_removes);
    tcase_add_test(tc, test_walk);
    tcase_add_test(tc, test_by_ssrc);
    tcase_add_loop_test(tc, test_model, 0, 10);
    tcase_add_test(tc, test_owner_out_of_range);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
