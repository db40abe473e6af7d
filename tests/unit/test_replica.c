#include "common/sa/replica.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/sa/rekey.h"
#include "common/sa/review.h"
#include "common/sa/table.h"
#include "common/sa/verify.h"
#include "common/srtp/srtp.h"
#include "tests/unit/protect.h"
#include "tests/unit/sample.h"
#include "tests/unit/unit.h"

enum { EPOCH = 77, QUOTA = 10, ROOM = 16 };

/* Two sites over one table. */
struct fixture {
    struct table *table;
    struct target_rules rules;
    struct replica replica, other;
    unsigned naks;
    struct wire_nak last;
    const char *listener_refusal;
};

static void on_nak(void *ctx, const struct wire_nak *nak)
{
    struct fixture *f = ctx;

    f->naks++;
    f->last = *nak;
}

static const char *listener_refusal(void *ctx, const struct sa *sa)
{
    (void)sa;
    return ((struct fixture *)ctx)->listener_refusal;
}

static bool yield(void *ctx, struct sa *sa)
{
    struct fixture *f = ctx;

    if (sa)
        return replica_yield(sa->owner ? &f->other : &f->replica, sa);
    return replica_sweep(&f->other, 1) > 0;
}

static const struct replica_hooks hooks = {on_nak, listener_refusal, yield};

static void setup_room(struct fixture *f, size_t room)
{
    memset(f, 0, sizeof(*f));
    f->table = table_new(room);
    ck_assert_ptr_nonnull(f->table);
    replica_init(&f->replica, f->table, sample_engine(), 0, QUOTA, &f->rules, &hooks, f);
    replica_init(&f->other, f->table, sample_engine(), 1, QUOTA, &f->rules, &hooks, f);
}

static void setup(struct fixture *f)
{
    setup_room(f, ROOM);
}

static void teardown(struct fixture *f)
{
    table_free(f->table);
}

/* ------------------------------------------------------------ frames */

static int sync_frame(struct replica *replica, uint8_t type, uint8_t kind, uint64_t epoch,
                      uint64_t version)
{
    struct wire_sync sync = {.kind = kind, .epoch = epoch, .version = version};
    uint8_t memory[64];
    struct writer w;
    struct reader r;

    writer_init(&w, memory, sizeof(memory));
    wire_put_sync(&w, &sync);
    reader_init(&r, memory, writer_length(&w));
    return replica_frame(replica, type, &r);
}

static void begin(struct replica *replica, uint8_t kind)
{
    ck_assert_int_eq(sync_frame(replica, FRAME_SYNC_BEGIN, kind, EPOCH, 0), 0);
}

static void finish(struct replica *replica, uint8_t kind, uint64_t version)
{
    ck_assert_int_eq(sync_frame(replica, FRAME_SYNC_END, kind, EPOCH, version), 0);
}

/* In a replica's view; sa stays the caller's. */
static int put_view(struct replica *replica, const struct sa *sa, enum wire_view view)
{
    uint8_t memory[FRAME_MAX_OCTETS];
    struct writer w;
    struct reader r;

    writer_init(&w, memory, sizeof(memory));
    wire_put_sa(&w, sa, view);
    reader_init(&r, memory, writer_length(&w));
    return replica_frame(replica, FRAME_SA_PUT, &r);
}

static int put_frame(struct replica *replica, const struct sa *sa)
{
    return put_view(replica, sa, WIRE_REPLICA_FULL);
}

static void put(struct replica *replica, struct sa *sa)
{
    ck_assert_int_eq(put_frame(replica, sa), 0);
    sa_free(sa);
}

static void put_number(struct replica *replica, enum sa_side side, uint64_t id)
{
    put(replica, sample_keyed_sa(side, id, (uint32_t)id));
}

/* So many SAs of further sites have source and SSRC of sample SA number. */
static void crowd(struct fixture *f, const struct addr *rtp, uint32_t number, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct sa *sa = sample_sa(SA_SIDE_EXTERNAL, i + 1, number);

        sa->owner = 5 + i / TABLE_ALIKE_OWN;
        sa->label = i;
        if (rtp)
            sa->source.rtp = *rtp;
        sa->source.rtcp = (struct addr){0};
        ck_assert_int_eq(table_insert(f->table, sa), 0);
    }
}

static void delete (struct replica *replica, uint64_t id, uint64_t version)
{
    struct wire_delete deletion = {.id = id, .version = version};
    uint8_t memory[64];
    struct writer w;
    struct reader r;

    writer_init(&w, memory, sizeof(memory));
    wire_put_delete(&w, &deletion);
    reader_init(&r, memory, writer_length(&w));
    ck_assert_int_eq(replica_frame(replica, FRAME_SA_DELETE, &r), 0);
}

static struct sa *held(struct fixture *f, uint64_t id)
{
    return table_by_id(f->table, 0, id);
}

/* To its end, in pieces that are as large as they were said to be. */
static void sweep(struct replica *replica)
{
    while (replica_sweep_due(replica)) {
        size_t before = table_count_owner(replica->table, replica->owner);
        unsigned swept = replica_sweep(replica, 2);

        ck_assert(swept == 1 || swept == 2);
        ck_assert_uint_eq(table_count_owner(replica->table, replica->owner), before - swept);
    }
    ck_assert_uint_eq(replica_sweep(replica, 2), 0);
}

#define expect_nak(f, code, part)                                                                  \
    do {                                                                                           \
        ck_assert_uint_eq((f)->naks, 1);                                                           \
        ck_assert_int_eq((f)->last.error, code);                                                   \
        ck_assert_msg(strstr((f)->last.reason, part) != NULL, "%s", (f)->last.reason);             \
        (f)->naks = 0;                                                                             \
    } while (0)
#define expect_no_nak(f) ck_assert_msg((f)->naks == 0, "%s", (f)->last.reason)

/* ------------------------------------------------------------ sync */

START_TEST(test_snapshot_sweeps)
{
    struct fixture f;

    setup(&f);
    begin(&f.replica, SYNC_SNAPSHOT);
    for (uint64_t id = 1; id <= 4; id++)
        put_number(&f.replica, id % 2 ? SA_SIDE_EXTERNAL : SA_SIDE_INTERNAL, id);
    finish(&f.replica, SYNC_SNAPSHOT, 4);
    ck_assert_uint_eq(f.replica.epoch, EPOCH);
    ck_assert_uint_eq(f.replica.version, 4);
    ck_assert_ptr_nonnull(held(&f, 1)->srtp);
    ck_assert_ptr_null(held(&f, 2)->srtp);

    begin(&f.replica, SYNC_SNAPSHOT);
    put_number(&f.replica, SA_SIDE_EXTERNAL, 3);
    put_number(&f.replica, SA_SIDE_EXTERNAL, 5);
    /* Until the end, what is not named yet stays. */
    ck_assert_uint_eq(table_count(f.table), 5);
    ck_assert(!replica_sweep_due(&f.replica));
    finish(&f.replica, SYNC_SNAPSHOT, 9);
    sweep(&f.replica);
    ck_assert_uint_eq(table_count(f.table), 2);
    ck_assert_ptr_nonnull(held(&f, 3));
    ck_assert_ptr_nonnull(held(&f, 5));
    ck_assert_uint_eq(f.replica.version, 9);
    /* What comes live belongs to no sweep. */
    put_number(&f.replica, SA_SIDE_EXTERNAL, 6);
    sweep(&f.replica);
    ck_assert_uint_eq(table_count(f.table), 3);
    expect_no_nak(&f);
    teardown(&f);
}
END_TEST

START_TEST(test_delta_does_not_sweep)
{
    struct fixture f;

    setup(&f);
    begin(&f.replica, SYNC_SNAPSHOT);
    put_number(&f.replica, SA_SIDE_EXTERNAL, 1);
    put_number(&f.replica, SA_SIDE_EXTERNAL, 2);
    finish(&f.replica, SYNC_SNAPSHOT, 2);
    begin(&f.replica, SYNC_DELTA);
    put_number(&f.replica, SA_SIDE_EXTERNAL, 3);
    delete (&f.replica, 1, 4);
    finish(&f.replica, SYNC_DELTA, 4);
    ck_assert_ptr_null(held(&f, 1));
    ck_assert_ptr_nonnull(held(&f, 2));
    ck_assert_ptr_nonnull(held(&f, 3));
    ck_assert_uint_eq(f.replica.version, 4);
    teardown(&f);
}
END_TEST

START_TEST(test_versions)
{
    struct fixture f;
    struct sa *sa = sample_keyed_sa(SA_SIDE_EXTERNAL, 1, 1);

    setup(&f);
    begin(&f.replica, SYNC_SNAPSHOT);
    sa->version = 50;
    put(&f.replica, sa);
    delete (&f.replica, 9, 60);
    /* During a sync nothing is complete up to any version. */
    ck_assert_uint_eq(f.replica.version, 0);
    finish(&f.replica, SYNC_SNAPSHOT, 10);
    ck_assert_uint_eq(f.replica.version, 10);
    sa = sample_keyed_sa(SA_SIDE_EXTERNAL, 2, 2);
    sa->version = 11;
    put(&f.replica, sa);
    ck_assert_uint_eq(f.replica.version, 11);
    delete (&f.replica, 2, 12);
    ck_assert_uint_eq(f.replica.version, 12);
    delete (&f.replica, 2, 12);
    ck_assert_uint_eq(f.replica.version, 12);
    teardown(&f);
}
END_TEST

START_TEST(test_half_snapshot_then_cut)
{
    struct fixture f;

    setup(&f);
    begin(&f.replica, SYNC_SNAPSHOT);
    put_number(&f.replica, SA_SIDE_EXTERNAL, 1);
    put_number(&f.replica, SA_SIDE_EXTERNAL, 2);
    finish(&f.replica, SYNC_SNAPSHOT, 2);
    begin(&f.replica, SYNC_SNAPSHOT);
    put_number(&f.replica, SA_SIDE_EXTERNAL, 3);
    replica_disconnected(&f.replica);
    /* All stay, but no delta can build on that. */
    ck_assert_uint_eq(table_count(f.table), 3);
    ck_assert_uint_eq(f.replica.epoch, 0);
    ck_assert_uint_eq(f.replica.version, 0);
    ck_assert_int_eq(sync_frame(&f.replica, FRAME_SYNC_END, SYNC_SNAPSHOT, EPOCH, 9), ERR_PROTOCOL);
    ck_assert_uint_eq(table_count(f.table), 3);
    begin(&f.replica, SYNC_SNAPSHOT);
    put_number(&f.replica, SA_SIDE_EXTERNAL, 3);
    finish(&f.replica, SYNC_SNAPSHOT, 9);
    sweep(&f.replica);
    ck_assert_uint_eq(table_count(f.table), 1);
    teardown(&f);
}
END_TEST

START_TEST(test_half_delta_then_cut)
{
    struct fixture f;

    setup(&f);
    begin(&f.replica, SYNC_SNAPSHOT);
    put_number(&f.replica, SA_SIDE_EXTERNAL, 1);
    finish(&f.replica, SYNC_SNAPSHOT, 2);
    begin(&f.replica, SYNC_DELTA);
    put_number(&f.replica, SA_SIDE_EXTERNAL, 3);
    replica_disconnected(&f.replica);
    ck_assert_uint_eq(f.replica.epoch, EPOCH);
    ck_assert_uint_eq(f.replica.version, 2);
    teardown(&f);
}
END_TEST

START_TEST(test_disconnected_and_cleared)
{
    struct fixture f;

    setup(&f);
    begin(&f.replica, SYNC_SNAPSHOT);
    put_number(&f.replica, SA_SIDE_EXTERNAL, 1);
    finish(&f.replica, SYNC_SNAPSHOT, 2);
    put_number(&f.other, SA_SIDE_EXTERNAL, 5);
    replica_disconnected(&f.replica);
    ck_assert_uint_eq(f.replica.version, 2);
    replica_clear(&f.replica);
    ck_assert_uint_eq(f.replica.epoch, 0);
    ck_assert_uint_eq(f.replica.version, 0);
    ck_assert(replica_is_empty(&f.replica));
    sweep(&f.replica);
    ck_assert(replica_is_empty(&f.replica));
    ck_assert(!replica_is_empty(&f.other));
    ck_assert_uint_eq(table_count_owner(f.table, 0), 0);
    ck_assert_uint_eq(table_count_owner(f.table, 1), 1);
    teardown(&f);
}
END_TEST

/* A snapshot of so many SAs, then an empty one: all of them are to be swept, from 1 on. */
static void leave_behind(struct replica *replica, uint64_t count)
{
    begin(replica, SYNC_SNAPSHOT);
    for (uint64_t id = 1; id <= count; id++)
        put_number(replica, SA_SIDE_EXTERNAL, id);
    finish(replica, SYNC_SNAPSHOT, 10);
    begin(replica, SYNC_SNAPSHOT);
    finish(replica, SYNC_SNAPSHOT, 20);
}

/* The next connection comes before the sweep is through; its delta builds on the whole of it. */
START_TEST(test_delta_in_a_sweep)
{
    struct fixture f;

    setup(&f);
    leave_behind(&f.replica, 5);
    ck_assert_uint_eq(replica_sweep(&f.replica, 2), 2);
    ck_assert_ptr_null(held(&f, 2));
    ck_assert_ptr_nonnull(held(&f, 3));
    replica_disconnected(&f.replica);
    /* What is left was deleted up to this version, so far as the authority is concerned. */
    ck_assert_uint_eq(f.replica.version, 20);
    begin(&f.replica, SYNC_DELTA);
    put_number(&f.replica, SA_SIDE_EXTERNAL, 7);
    ck_assert_uint_eq(replica_sweep(&f.replica, 1), 1);
    put_number(&f.replica, SA_SIDE_EXTERNAL, 8);
    finish(&f.replica, SYNC_DELTA, 22);
    sweep(&f.replica);
    ck_assert_ptr_nonnull(held(&f, 7));
    ck_assert_ptr_nonnull(held(&f, 8));
    ck_assert_uint_eq(table_count(f.table), 2);
    expect_no_nak(&f);
    teardown(&f);
}
END_TEST

/* What the next snapshot names lives on, what an unfinished one named stays, the rest goes. */
START_TEST(test_snapshot_in_a_sweep)
{
    struct fixture f;

    setup(&f);
    leave_behind(&f.replica, 6);
    put_number(&f.replica, SA_SIDE_EXTERNAL, 7);
    begin(&f.replica, SYNC_SNAPSHOT);
    put_number(&f.replica, SA_SIDE_EXTERNAL, 2);
    ck_assert_uint_eq(replica_sweep(&f.replica, 2), 2);
    ck_assert_ptr_null(held(&f, 1));
    ck_assert_ptr_null(held(&f, 3));
    put_number(&f.replica, SA_SIDE_EXTERNAL, 5);
    sweep(&f.replica);
    ck_assert_uint_eq(table_count(f.table), 3);
    ck_assert_ptr_nonnull(held(&f, 7));
    finish(&f.replica, SYNC_SNAPSHOT, 30);
    sweep(&f.replica);
    ck_assert_uint_eq(table_count(f.table), 2);
    ck_assert_ptr_nonnull(held(&f, 2));
    ck_assert_ptr_nonnull(held(&f, 5));
    teardown(&f);
}
END_TEST

/* In a delta, and live, the quota is not used up by what is to be swept. */
START_TEST(test_quota_in_a_sweep)
{
    struct fixture f;

    setup(&f);
    leave_behind(&f.replica, QUOTA);
    begin(&f.replica, SYNC_DELTA);
    put_number(&f.replica, SA_SIDE_EXTERNAL, 11);
    finish(&f.replica, SYNC_DELTA, 21);
    for (uint64_t id = 12; id <= 20; id++)
        put_number(&f.replica, SA_SIDE_EXTERNAL, id);
    expect_no_nak(&f);
    ck_assert(!replica_sweep_due(&f.replica));
    ck_assert_uint_eq(table_count(f.table), QUOTA);
    put_number(&f.replica, SA_SIDE_EXTERNAL, 21);
    expect_nak(&f, ERR_FULL, "quota");
    teardown(&f);
}
END_TEST

/*
 * A reload made the quota smaller: each SA that comes takes a few of those left over with it, and
 * is never kept out by them; what counts is how many are not left over.
 */
START_TEST(test_smaller_quota_in_a_sweep)
{
    struct fixture f;

    setup(&f);
    leave_behind(&f.replica, QUOTA);
    f.replica.quota = 3;
    /* One in the place of an earlier form, and four for room. */
    put(&f.replica, sample_sa(SA_SIDE_EXTERNAL, 1, 30));
    expect_no_nak(&f);
    ck_assert_uint_eq(held(&f, 1)->label, 30);
    ck_assert_uint_eq(table_count(f.table), QUOTA - 4);
    put_number(&f.replica, SA_SIDE_EXTERNAL, 31);
    expect_no_nak(&f);
    ck_assert_uint_eq(table_count(f.table), 3);
    put_number(&f.replica, SA_SIDE_EXTERNAL, 32);
    expect_no_nak(&f);
    put_number(&f.replica, SA_SIDE_EXTERNAL, 33);
    expect_nak(&f, ERR_FULL, "quota");
    ck_assert_uint_eq(table_count(f.table), 3);
    ck_assert(!replica_sweep_due(&f.replica));
    teardown(&f);
}
END_TEST

/* The same in a snapshot: the left-overs do not make the quota larger for what it names. */
START_TEST(test_smaller_quota_in_a_snapshot)
{
    struct fixture f;

    setup(&f);
    begin(&f.replica, SYNC_SNAPSHOT);
    for (uint64_t id = 1; id <= QUOTA; id++)
        put_number(&f.replica, SA_SIDE_INTERNAL, id);
    finish(&f.replica, SYNC_SNAPSHOT, 2);
    begin(&f.replica, SYNC_SNAPSHOT);
    f.replica.quota = 2;
    put_number(&f.replica, SA_SIDE_INTERNAL, 101);
    ck_assert_uint_eq(table_count(f.table), QUOTA - 3);
    /* Named again: it is one of the two. */
    put_number(&f.replica, SA_SIDE_INTERNAL, QUOTA);
    expect_no_nak(&f);
    put_number(&f.replica, SA_SIDE_INTERNAL, 102);
    expect_nak(&f, ERR_FULL, "quota");
    ck_assert_uint_eq(table_count(f.table), QUOTA - 7);
    /* What goes makes room, what is named twice takes none. */
    put_number(&f.replica, SA_SIDE_INTERNAL, 101);
    delete (&f.replica, QUOTA, 3);
    put_number(&f.replica, SA_SIDE_INTERNAL, 103);
    expect_no_nak(&f);
    finish(&f.replica, SYNC_SNAPSHOT, 4);
    sweep(&f.replica);
    ck_assert_uint_eq(table_count(f.table), 2);
    put_number(&f.replica, SA_SIDE_INTERNAL, 104);
    expect_nak(&f, ERR_FULL, "quota");
    teardown(&f);
}
END_TEST

/* What is in the way as well as what is to be swept is no room: it comes back when there is none.
 */
START_TEST(test_refused_in_a_sweep)
{
    struct fixture f;
    struct sa *sa;

    setup(&f);
    leave_behind(&f.replica, 3);
    crowd(&f, NULL, 9, TABLE_ALIKE_MAX);
    /* Its label is that of one left over, its source and SSRC those of too many. */
    sa = sample_sa(SA_SIDE_EXTERNAL, 30, 9);
    sa->label = 2;
    put(&f.replica, sa);
    expect_nak(&f, ERR_EXISTS, "other sites");
    ck_assert_ptr_eq(table_by_label(f.table, 0, 2), held(&f, 2));
    /* Its label, its id and its source are each of one left over: one goes for three. */
    sa = sample_sa(SA_SIDE_EXTERNAL, 1, 3);
    sa->label = 2;
    put(&f.replica, sa);
    expect_no_nak(&f);
    ck_assert(!replica_sweep_due(&f.replica));
    ck_assert_uint_eq(table_count_owner(f.table, 0), 1);
    teardown(&f);
}
END_TEST

/* Of another site's, what is to be swept is in nobody's way: neither by its source nor by its room.
 */
START_TEST(test_other_site_in_a_sweep)
{
    struct fixture f;
    struct sa *sa;

    setup(&f);
    leave_behind(&f.other, QUOTA);
    sa = sample_sa(SA_SIDE_EXTERNAL, 50, 4);
    put(&f.replica, sa);
    expect_no_nak(&f);
    ck_assert_ptr_null(table_by_id(f.table, 1, 4));
    f.replica.quota = ROOM;
    for (uint64_t id = 20; id < 20 + ROOM - 1; id++)
        put_number(&f.replica, SA_SIDE_EXTERNAL, id);
    expect_no_nak(&f);
    ck_assert_uint_eq(table_count_owner(f.table, 0), ROOM);
    ck_assert_uint_eq(table_count_owner(f.table, 1), 0);
    teardown(&f);
}
END_TEST

/* Given up, and back before it is gone: what is named lives on with its replay window. */
START_TEST(test_back_in_a_clearing)
{
    struct fixture f;
    const struct sa *sa;

    setup(&f);
    begin(&f.replica, SYNC_SNAPSHOT);
    for (uint64_t id = 1; id <= 4; id++)
        put_number(&f.replica, SA_SIDE_EXTERNAL, id);
    finish(&f.replica, SYNC_SNAPSHOT, 10);
    sa = held(&f, 3);
    replica_disconnected(&f.replica);
    replica_clear(&f.replica);
    ck_assert_uint_eq(replica_sweep(&f.replica, 1), 1);
    begin(&f.replica, SYNC_SNAPSHOT);
    ck_assert(replica_is_empty(&f.replica));
    put_number(&f.replica, SA_SIDE_EXTERNAL, 3);
    ck_assert(!replica_is_empty(&f.replica));
    ck_assert_ptr_eq(held(&f, 3), sa);
    sweep(&f.replica);
    finish(&f.replica, SYNC_SNAPSHOT, 11);
    sweep(&f.replica);
    ck_assert_uint_eq(table_count(f.table), 1);
    ck_assert_ptr_eq(held(&f, 3), sa);
    teardown(&f);
}
END_TEST

/* Frames that no honest authority sends; the table stays as it was. */
START_TEST(test_protocol_errors)
{
    struct fixture f;
    struct reader r;
    struct sa *sa = sample_keyed_sa(SA_SIDE_EXTERNAL, 9, 9);

    setup(&f);
    begin(&f.replica, SYNC_SNAPSHOT);
    put_number(&f.replica, SA_SIDE_EXTERNAL, 1);
    finish(&f.replica, SYNC_SNAPSHOT, 1);
    ck_assert_int_eq(sync_frame(&f.replica, FRAME_SYNC_END, SYNC_SNAPSHOT, EPOCH, 2), ERR_PROTOCOL);
    ck_assert_int_eq(sync_frame(&f.replica, FRAME_SYNC_END, SYNC_DELTA, EPOCH, 2), ERR_PROTOCOL);
    ck_assert_int_eq(sync_frame(&f.replica, FRAME_SYNC_BEGIN, SYNC_DELTA, EPOCH + 1, 2),
                     ERR_PROTOCOL);
    begin(&f.replica, SYNC_DELTA);
    ck_assert_int_eq(sync_frame(&f.replica, FRAME_SYNC_END, SYNC_SNAPSHOT, EPOCH, 2), ERR_PROTOCOL);
    for (unsigned type = 0; type < 256; type++) {
        reader_init(&r, NULL, 0);
        ck_assert_int_eq(replica_frame(&f.replica, (uint8_t)type, &r), ERR_PROTOCOL);
        reader_init(&r, "\x80\x01\x00", 3);
        ck_assert_int_eq(replica_frame(&f.replica, (uint8_t)type, &r), ERR_PROTOCOL);
    }
    sa->encap_in = (enum sa_encap)3;
    ck_assert_int_eq(put_frame(&f.replica, sa), ERR_PROTOCOL);
    sa_free(sa);
    ck_assert_uint_eq(table_count(f.table), 1);
    expect_no_nak(&f);
    teardown(&f);
}
END_TEST

/* ------------------------------------------------------------ refusals */

typedef void spoil_fn(struct sa *sa);

static void no_source(struct sa *sa)
{
    sa->source.rtp.family = sa->source.rtcp.family = 0;
}

static void no_suite(struct sa *sa)
{
    sa->suite = NULL;
}

static void prime_in(struct sa *sa)
{
    sa->encap_in = SA_ENCAP_RTP_PRIME;
}

static void prime_out(struct sa *sa)
{
    sa->encap_out = SA_ENCAP_RTP_PRIME;
}

/* What the rules of these tests have as their one peer. */
#define PEER_RTP  "172.16.0.1:5004"
#define PEER_RTCP "172.16.0.1:5005"

static void at_peer(struct sa_transport *at)
{
    at->rtp = sample_addr(PEER_RTP);
    at->rtcp = sample_addr(PEER_RTCP);
}

static void peer_in(struct sa *sa)
{
    at_peer(&sa->source);
    prime_in(sa);
}

static void peer_in_mux(struct sa *sa)
{
    peer_in(sa);
    sa->source.mux = true;
    sa->source.rtcp.family = 0;
}

static void peer_in_rtp(struct sa *sa)
{
    at_peer(&sa->source);
}

static void peer_in_rtcp_port(struct sa *sa)
{
    peer_in(sa);
    sa->source.rtp.port++;
}

static void peer_in_rtcp_elsewhere(struct sa *sa)
{
    peer_in(sa);
    sa->source.rtcp.port++;
}

static void peer_in_only_rtcp(struct sa *sa)
{
    sa->source.rtcp = sample_addr(PEER_RTCP);
}

static void peer_out(struct sa *sa)
{
    at_peer(&sa->destination);
    prime_out(sa);
}

static void peer_out_mux(struct sa *sa)
{
    peer_out(sa);
    sa->destination.mux = true;
}

static void peer_out_rtp(struct sa *sa)
{
    at_peer(&sa->destination);
}

static void peer_out_rtcp_port(struct sa *sa)
{
    peer_out(sa);
    sa->destination.rtp.port++;
}

static void peer_out_rtcp_elsewhere(struct sa *sa)
{
    peer_out(sa);
    sa->destination.rtcp.port++;
}

static void to_loopback(struct sa *sa)
{
    sa->destination.rtp = sample_addr("127.0.0.1:4000");
}

static void to_private(struct sa *sa)
{
    sa->destination.rtp = sample_addr("10.0.0.1:4000");
}

static void to_multicast(struct sa *sa)
{
    sa->destination.rtp = sample_addr("[ff02::1]:4000");
}

static void rtcp_to_loopback(struct sa *sa)
{
    sa->destination.rtcp = sample_addr("[::ffff:127.0.0.1]:4000");
}

static void only_rtcp_to_loopback(struct sa *sa)
{
    sa->destination.rtp.family = 0;
    sa->destination.rtcp = sample_addr("127.0.0.1:4000");
}

static void rtcp_to_loopback_unused(struct sa *sa)
{
    sa->destination.mux = true;
    rtcp_to_loopback(sa);
}

static void no_destination(struct sa *sa)
{
    sa->destination.rtp.family = sa->destination.rtcp.family = 0;
}

static void hairpin(struct sa *sa)
{
    sa->hairpin = true;
    sa->destination.rtp = sample_addr("8.8.4.4:4000");
    sa->destination.rtcp = sample_addr("8.8.4.4:4001");
}

static void hairpin_without_source(struct sa *sa)
{
    hairpin(sa);
    no_source(sa);
}

static void hairpin_without_destination(struct sa *sa)
{
    hairpin(sa);
    no_destination(sa);
}

static void hairpin_to_private(struct sa *sa)
{
    hairpin(sa);
    to_private(sa);
}

static void hairpin_rtcp_to_loopback(struct sa *sa)
{
    hairpin(sa);
    rtcp_to_loopback(sa);
}

static void hairpin_to_itself(struct sa *sa)
{
    hairpin(sa);
    sa->destination = sa->source;
}

static void hairpin_to_peer(struct sa *sa)
{
    hairpin(sa);
    peer_out(sa);
}

static void hairpin_to_peer_rtp(struct sa *sa)
{
    hairpin(sa);
    peer_out_rtp(sa);
}

static void hairpin_prime_out(struct sa *sa)
{
    hairpin(sa);
    prime_out(sa);
}

static void hairpin_from_peer(struct sa *sa)
{
    hairpin(sa);
    peer_in(sa);
}

static void hairpin_from_peer_rtp(struct sa *sa)
{
    hairpin(sa);
    peer_in_rtp(sa);
}

static void nothing(struct sa *sa)
{
    (void)sa;
}

static const struct {
    enum sa_side side;
    spoil_fn *spoil;
    int error; /* 0: taken */
    const char *why;
} refusals[] = {
    {SA_SIDE_EXTERNAL, nothing, 0, ""},
    {SA_SIDE_INTERNAL, nothing, 0, ""},
    {SA_SIDE_EXTERNAL, no_source, ERR_FORBIDDEN, "needs a source address"},
    {SA_SIDE_EXTERNAL, no_suite, ERR_FORBIDDEN, "needs a suite"},
    {SA_SIDE_EXTERNAL, prime_in, ERR_FORBIDDEN, "the source is no [peer] of this dmz-relay"},
    {SA_SIDE_INTERNAL, prime_out, ERR_FORBIDDEN, "the destination is no [peer] of this dmz-relay"},
    {SA_SIDE_EXTERNAL, peer_in, 0, ""},
    {SA_SIDE_EXTERNAL, peer_in_mux, 0, ""},
    {SA_SIDE_EXTERNAL, peer_in_rtp, ERR_FORBIDDEN, "which sends RTP'"},
    {SA_SIDE_EXTERNAL, peer_in_only_rtcp, ERR_FORBIDDEN, "which sends RTP'"},
    {SA_SIDE_EXTERNAL, peer_in_rtcp_port, ERR_FORBIDDEN, "the source is no [peer]"},
    {SA_SIDE_EXTERNAL, peer_in_rtcp_elsewhere, ERR_FORBIDDEN, "the source is no [peer]"},
    {SA_SIDE_INTERNAL, peer_out, 0, ""},
    {SA_SIDE_INTERNAL, peer_out_mux, 0, ""},
    {SA_SIDE_INTERNAL, peer_out_rtp, ERR_FORBIDDEN, "takes nothing but RTP'"},
    {SA_SIDE_INTERNAL, peer_out_rtcp_port, ERR_FORBIDDEN, "the destination is no [peer]"},
    {SA_SIDE_INTERNAL, peer_out_rtcp_elsewhere, ERR_FORBIDDEN, "the destination is no [peer]"},
    /* Inside, the authority knows who speaks what. */
    {SA_SIDE_EXTERNAL, prime_out, 0, ""},
    {SA_SIDE_INTERNAL, prime_in, 0, ""},
    {SA_SIDE_INTERNAL, to_loopback, ERR_FORBIDDEN, "loopback"},
    {SA_SIDE_INTERNAL, to_private, ERR_FORBIDDEN, "neither a public"},
    {SA_SIDE_INTERNAL, to_multicast, ERR_FORBIDDEN, "multicast"},
    {SA_SIDE_INTERNAL, rtcp_to_loopback, ERR_FORBIDDEN, "loopback"},
    {SA_SIDE_INTERNAL, only_rtcp_to_loopback, ERR_FORBIDDEN, "loopback"},
    {SA_SIDE_INTERNAL, rtcp_to_loopback_unused, 0, ""},
    {SA_SIDE_INTERNAL, no_destination, 0, ""},
    /* Where an external sender's packets go is none of the replica's business. */
    {SA_SIDE_EXTERNAL, to_loopback, 0, ""},
    /* But of a hairpin it is. */
    {SA_SIDE_EXTERNAL, hairpin, 0, ""},
    {SA_SIDE_EXTERNAL, hairpin_without_destination, 0, ""},
    {SA_SIDE_EXTERNAL, hairpin_from_peer, 0, ""},
    {SA_SIDE_EXTERNAL, hairpin_to_peer, 0, ""},
    {SA_SIDE_EXTERNAL, hairpin_without_source, ERR_FORBIDDEN, "needs a source address"},
    {SA_SIDE_EXTERNAL, hairpin_to_private, ERR_FORBIDDEN, "neither a public"},
    {SA_SIDE_EXTERNAL, hairpin_rtcp_to_loopback, ERR_FORBIDDEN, "loopback"},
    {SA_SIDE_EXTERNAL, hairpin_to_itself, ERR_FORBIDDEN, "go back to their sender"},
    {SA_SIDE_EXTERNAL, hairpin_to_peer_rtp, ERR_FORBIDDEN, "takes nothing but RTP'"},
    {SA_SIDE_EXTERNAL, hairpin_prime_out, ERR_FORBIDDEN, "the destination is no [peer]"},
    {SA_SIDE_EXTERNAL, hairpin_from_peer_rtp, ERR_FORBIDDEN, "which sends RTP'"},
    {SA_SIDE_INTERNAL, hairpin, ERR_FORBIDDEN, "from inside to inside"},
};

/* Nobody would verify it. */
START_TEST(test_hairpin_without_a_key)
{
    struct fixture f;
    struct sa *sa = sample_hairpin(SA_SIDE_EXTERNAL, 4, 4);

    setup(&f);
    ck_assert_int_eq(put_view(&f.replica, sa, WIRE_REPLICA_KEYLESS), 0);
    expect_nak(&f, ERR_FORBIDDEN, "no key for");
    ck_assert_int_eq(put_view(&f.replica, sa, WIRE_REPLICA_VERIFY_ONLY), 0);
    expect_no_nak(&f);
    ck_assert(held(&f, 4)->hairpin && held(&f, 4)->srtp);
    /* Its listener, and after a reload where it goes, are judged like an internal sender's. */
    f.listener_refusal = "no such listener";
    ck_assert_int_eq(put_view(&f.replica, sa, WIRE_REPLICA_VERIFY_ONLY), 0);
    expect_nak(&f, ERR_FORBIDDEN, "no such listener");
    teardown(&f);
    sa_free(sa);
}
END_TEST

/* The same id with the other kind is taken anew: nothing of the sender's media is lost. */
START_TEST(test_hairpin_changes)
{
    struct fixture f;
    struct sa *sa = sample_hairpin(SA_SIDE_EXTERNAL, 4, 4);

    setup(&f);
    ck_assert_int_eq(put_frame(&f.replica, sa), 0);
    held(&f, 4)->packets = 7;
    sa->destination.rtp = sample_addr("8.8.4.4:4000");
    ck_assert_int_eq(put_frame(&f.replica, sa), 0);
    ck_assert(addr_equal(&held(&f, 4)->destination.rtp, &sa->destination.rtp));
    ck_assert_uint_eq(held(&f, 4)->packets, 7);
    sa->hairpin = false;
    ck_assert_int_eq(put_frame(&f.replica, sa), 0);
    ck_assert(!held(&f, 4)->hairpin);
    ck_assert_uint_eq(held(&f, 4)->destination.rtp.family, 0);
    expect_no_nak(&f);
    teardown(&f);
    sa_free(sa);
}
END_TEST

START_TEST(test_refusals)
{
    struct fixture f;
    struct sa *sa = sample_keyed_sa(refusals[_i].side, 4, 4);

    setup(&f);
    f.rules.peer[f.rules.peer_count++] = sample_addr(PEER_RTP);
    refusals[_i].spoil(sa);
    put(&f.replica, sa);
    if (refusals[_i].error) {
        expect_nak(&f, refusals[_i].error, refusals[_i].why);
        ck_assert_uint_eq(f.last.id, 4);
        ck_assert_uint_eq(f.last.generation, 1);
        ck_assert_uint_eq(table_count(f.table), 0);
    } else {
        expect_no_nak(&f);
        ck_assert_uint_eq(table_count(f.table), 1);
    }
    teardown(&f);
}
END_TEST

/* A peer that comes or goes with a reload: its SAs stay, and none of the other kind comes to them.
 */
START_TEST(test_peer_comes_and_goes)
{
    struct sa *plain = sample_keyed_sa(SA_SIDE_EXTERNAL, 1, 1);
    struct sa *prime = sample_keyed_sa(SA_SIDE_EXTERNAL, 2, 2);
    struct sa *last = _i ? plain : prime;
    struct fixture f;

    setup(&f);
    at_peer(&plain->source);
    peer_in(prime);
    f.rules.peer[0] = sample_addr(PEER_RTP);
    f.rules.peer_count = _i ? 1 : 0;
    ck_assert_int_eq(put_frame(&f.replica, _i ? prime : plain), 0);
    expect_no_nak(&f);
    f.rules.peer_count = _i ? 0 : 1;
    ck_assert_int_eq(put_frame(&f.replica, last), 0);
    expect_nak(&f, ERR_EXISTS, "one source sends RTP or RTP', not both");
    delete (&f.replica, _i ? 2 : 1, 9);
    ck_assert_int_eq(put_frame(&f.replica, last), 0);
    expect_no_nak(&f);
    ck_assert_uint_eq(table_count(f.table), 1);
    sa_free(plain);
    sa_free(prime);
    teardown(&f);
}
END_TEST

/* What the review says; its NAKs are told as others are. */
static unsigned review(struct fixture *f, struct replica *replica)
{
    uint8_t memory[FRAME_MAX_OCTETS], type;
    struct writer w;
    struct reader r;
    bool more;
    unsigned naks = 0;

    review_begin(replica);
    do {
        writer_init(&w, memory, sizeof(memory));
        while (review_pull(replica, &type, &w, &more)) {
            ck_assert_uint_eq(type, FRAME_SA_NAK);
            reader_init(&r, memory, writer_length(&w));
            ck_assert_int_eq(wire_get_nak(&r, &f->last), 0);
            naks++;
            writer_init(&w, memory, sizeof(memory));
        }
    } while (more);
    return naks;
}

/* Once that is known of SAs at an address that became a peer's, they are in the way of none there,
 * whichever site they are of.
 */
START_TEST(test_refused_gives_way)
{
    struct sa *plain = sample_keyed_sa(SA_SIDE_EXTERNAL, 1, 1);
    struct sa *prime = sample_keyed_sa(SA_SIDE_EXTERNAL, 2, 2);
    struct replica *first;
    struct fixture f;

    setup(&f);
    first = _i ? &f.other : &f.replica;
    at_peer(&plain->source);
    peer_in(prime);
    ck_assert_int_eq(put_frame(first, plain), 0);
    ck_assert_uint_eq(review(&f, first), 0);
    f.rules.peer[f.rules.peer_count++] = sample_addr(PEER_RTP);
    ck_assert_uint_eq(review(&f, first), 1);
    ck_assert_int_eq(f.last.error, ERR_FORBIDDEN);
    ck_assert_uint_eq(f.last.id, 1);
    ck_assert_uint_eq(f.last.generation, 1);
    ck_assert_int_eq(put_frame(&f.replica, prime), 0);
    expect_no_nak(&f);
    ck_assert_ptr_nonnull(held(&f, 2));
    ck_assert_uint_eq(table_count(f.table), 1);
    sa_free(plain);
    sa_free(prime);
    teardown(&f);
}
END_TEST

/* A reload that is taken back: it is asked for again, and is as it was. */
START_TEST(test_review_taken_back)
{
    struct sa *sa = sample_keyed_sa(SA_SIDE_INTERNAL, 4, 4);
    struct fixture f;

    setup(&f);
    ck_assert_int_eq(put_frame(&f.replica, sa), 0);
    f.rules.peer[f.rules.peer_count++] = sa->destination.rtp;
    ck_assert_uint_eq(review(&f, &f.replica), 1);
    ck_assert_uint_eq(held(&f, 4)->destination.rtp.family, 0);
    /* It comes meanwhile, for another reason, and then because it was asked for: refused still. */
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(put_frame(&f.replica, sa), 0);
        expect_nak(&f, ERR_FORBIDDEN, "a [peer], which takes nothing but RTP'");
        ck_assert_uint_eq(review(&f, &f.replica), 1);
        ck_assert_int_eq(f.last.error, ERR_AGAIN);
    }
    f.rules.peer_count = 0;
    ck_assert_int_eq(put_frame(&f.replica, sa), 0);
    expect_no_nak(&f);
    ck_assert(addr_equal(&held(&f, 4)->destination.rtp, &sa->destination.rtp));
    ck_assert_uint_eq(review(&f, &f.replica), 0);
    /* An SA that goes is not asked about. */
    f.rules.peer_count = 1;
    review_begin(&f.replica);
    delete (&f.replica, 4, 9);
    ck_assert_ptr_null(f.replica.review_next);
    sa_free(sa);
    teardown(&f);
}
END_TEST

/* The receiver of an SA that is there already becomes a peer, and back. */
START_TEST(test_encapsulation_changes)
{
    struct sa *sa = sample_keyed_sa(SA_SIDE_INTERNAL, 4, 4);
    struct sa_transport plain = sa->destination;
    struct fixture f;

    setup(&f);
    f.rules.peer[f.rules.peer_count++] = sample_addr(PEER_RTP);
    ck_assert_int_eq(put_frame(&f.replica, sa), 0);
    peer_out(sa);
    ck_assert_int_eq(put_frame(&f.replica, sa), 0);
    ck_assert_int_eq(held(&f, 4)->encap_out, SA_ENCAP_RTP_PRIME);
    ck_assert(addr_equal(&held(&f, 4)->destination.rtp, &sa->destination.rtp));
    sa->destination = plain;
    sa->encap_out = SA_ENCAP_RTP;
    put(&f.replica, sa);
    ck_assert_int_eq(held(&f, 4)->encap_out, SA_ENCAP_RTP);
    expect_no_nak(&f);
    teardown(&f);
}
END_TEST

START_TEST(test_listener_refusal)
{
    struct fixture f;

    setup(&f);
    f.listener_refusal = "no such listener";
    put_number(&f.replica, SA_SIDE_INTERNAL, 1);
    expect_nak(&f, ERR_FORBIDDEN, "no such listener");
    put_number(&f.replica, SA_SIDE_EXTERNAL, 2);
    expect_no_nak(&f);
    ck_assert_uint_eq(table_count(f.table), 1);
    teardown(&f);
}
END_TEST

START_TEST(test_unknown_suite)
{
    struct fixture f;
    struct sa *sa = sample_keyed_sa(SA_SIDE_EXTERNAL, 4, 4);
    struct suite future = *sa->suite;

    setup(&f);
    future.name = "ROT13";
    sa->suite = &future;
    put(&f.replica, sa);
    expect_nak(&f, ERR_UNSUPPORTED, "suite");
    ck_assert_uint_eq(f.last.id, 4);
    ck_assert_uint_eq(table_count(f.table), 0);
    teardown(&f);
}
END_TEST

/* Authentication keys, at a dmz-relay that has libsrtp2 alone: the reason says what can. */
START_TEST(test_engine_lacks_key_kind)
{
    struct fixture f;
    struct sa *sa = sample_keyed_sa(SA_SIDE_EXTERNAL, 5, 5);
    struct srtp_engine *libsrtp2 = NULL;

    setup(&f);
    ck_assert(!sa->suite->aead);
    ck_assert_int_eq(srtp_engine_new(&libsrtp2, SRTP_ENGINE_LIBSRTP2), 0);
    f.replica.engine = libsrtp2;
    ck_assert_int_eq(put_view(&f.replica, sa, WIRE_REPLICA_VERIFY_ONLY), 0);
    expect_nak(&f, ERR_UNSUPPORTED, "evp can");
    ck_assert_uint_eq(table_count(f.table), 0);
    ck_assert_int_eq(put_frame(&f.replica, sa), 0);
    ck_assert_uint_eq(table_count(f.table), 1);
    sa_free(sa);
    teardown(&f);
    srtp_engine_free(libsrtp2);
}
END_TEST

/* A refused change leaves what was there. */
START_TEST(test_refused_change)
{
    struct fixture f;
    struct sa *sa = sample_keyed_sa(SA_SIDE_INTERNAL, 4, 4);
    struct addr before = sa->destination.rtp;

    setup(&f);
    ck_assert_int_eq(put_frame(&f.replica, sa), 0);
    to_loopback(sa);
    sa->generation++;
    put(&f.replica, sa);
    expect_nak(&f, ERR_FORBIDDEN, "loopback");
    ck_assert_uint_eq(f.last.generation, 2);
    ck_assert(addr_equal(&held(&f, 4)->destination.rtp, &before));
    ck_assert_uint_eq(held(&f, 4)->generation, 1);
    teardown(&f);
}
END_TEST

START_TEST(test_quota)
{
    struct fixture f;

    setup(&f);
    for (uint64_t id = 1; id <= QUOTA; id++)
        put_number(&f.replica, SA_SIDE_EXTERNAL, id);
    expect_no_nak(&f);
    put_number(&f.replica, SA_SIDE_EXTERNAL, QUOTA + 1);
    expect_nak(&f, ERR_FULL, "quota");
    /* One that is held already is no new one, whatever of it changes. */
    put_number(&f.replica, SA_SIDE_EXTERNAL, 3);
    put_number(&f.replica, SA_SIDE_INTERNAL, 4);
    expect_no_nak(&f);
    ck_assert_int_eq(held(&f, 4)->side, SA_SIDE_INTERNAL);
    /* The other site has a quota of its own, and the table has a bound. */
    for (uint64_t id = 101; id <= 100 + ROOM - QUOTA; id++)
        put_number(&f.other, SA_SIDE_EXTERNAL, id);
    expect_no_nak(&f);
    put_number(&f.other, SA_SIDE_EXTERNAL, 200);
    expect_nak(&f, ERR_FULL, "no room");
    delete (&f.replica, 1, 1);
    put_number(&f.other, SA_SIDE_EXTERNAL, 200);
    expect_no_nak(&f);
    ck_assert_uint_eq(table_count(f.table), ROOM);
    teardown(&f);
}
END_TEST

/* The inner-relay lost its state: what is left of its earlier life may not keep out the new. */
START_TEST(test_quota_in_a_snapshot)
{
    struct fixture f;

    setup(&f);
    begin(&f.replica, SYNC_SNAPSHOT);
    for (uint64_t id = 1; id <= QUOTA; id++)
        put_number(&f.replica, SA_SIDE_EXTERNAL, id);
    finish(&f.replica, SYNC_SNAPSHOT, 2);
    begin(&f.replica, SYNC_SNAPSHOT);
    for (uint64_t id = 101; id <= 100 + QUOTA; id++)
        put_number(&f.replica, SA_SIDE_EXTERNAL, id);
    expect_no_nak(&f);
    put_number(&f.replica, SA_SIDE_EXTERNAL, 200);
    expect_nak(&f, ERR_FULL, "quota");
    finish(&f.replica, SYNC_SNAPSHOT, 4);
    ck_assert_uint_eq(table_count(f.table), QUOTA);
    for (uint64_t id = 101; id <= 100 + QUOTA; id++)
        ck_assert_ptr_nonnull(held(&f, id));
    /* In a delta nothing is left over. */
    begin(&f.replica, SYNC_DELTA);
    put_number(&f.replica, SA_SIDE_EXTERNAL, 201);
    expect_nak(&f, ERR_FULL, "quota");
    ck_assert_uint_eq(table_count(f.table), QUOTA);
    teardown(&f);
}
END_TEST

/* ------------------------------------------------------------ merging */

/* One SRTP packet of the sender of a sample SA, verified by the SA that the replica holds. */
static enum verdict packet(struct fixture *f, struct protect *sender, uint64_t index, uint64_t id)
{
    uint8_t memory[256];
    struct sa *sa = held(f, id);
    struct rtp_view view;
    size_t length = protect_make_rtp(memory, sizeof(memory), 0, (uint16_t)index, 0,
                                     sa->stream[0].ssrc, "media", 5);

    length = protect_rtp(sender, index, memory, length, sizeof(memory));
    ck_assert_uint_gt(length, 0);
    ck_assert_int_eq(classify(memory, length, &view), VERDICT_ACCEPTED);
    return verify_packet(f->table, sa,
                         &(struct verify_input){.packet = memory, .length = length, .view = view},
                         1000000);
}

struct merging {
    struct fixture f;
    struct sa *sa;                  /* as the authority has it, id 5 */
    struct protect *sender, *again; /* again: the same packets once more, replayed */
};

static struct protect *sender_of(const struct sa *sa)
{
    uint8_t material[SUITE_KEY_MAX_OCTETS];
    struct protect *sender;

    sample_material(sa, material);
    sender = protect_new(sa->suite, material, sa->stream[0].ssrc);

    ck_assert_ptr_nonnull(sender);
    return sender;
}

/* Held, with two packets received in the second turn of the sequence number. */
static void setup_merging(struct merging *m)
{
    setup(&m->f);
    m->sa = sample_keyed_sa(SA_SIDE_EXTERNAL, 5, 5);
    m->sa->stream[0].index = (struct srtp_index){.started = true, .highest = 0x1fff0};
    ck_assert_int_eq(put_frame(&m->f.replica, m->sa), 0);
    m->sender = sender_of(m->sa);
    m->again = sender_of(m->sa);
    ck_assert_int_eq(packet(&m->f, m->sender, 0x20001, 5), VERDICT_ACCEPTED);
    ck_assert_int_eq(packet(&m->f, m->sender, 0x20005, 5), VERDICT_ACCEPTED);
}

static void teardown_merging(struct merging *m)
{
    protect_free(m->sender);
    protect_free(m->again);
    sa_free(m->sa);
    teardown(&m->f);
}

static void expect_history_kept(struct merging *m)
{
    struct sa *sa = held(&m->f, 5);

    expect_no_nak(&m->f);
    ck_assert_uint_eq(sa->packets, 2);
    ck_assert_uint_gt(sa->octets, 0);
    ck_assert_uint_eq(sa->verdicts[VERDICT_ACCEPTED], 2);
    ck_assert_uint_eq(sa->last_packet_us, 1000000);
}

/* The replay window itself is kept, not only the highest index: 0x20003 may still come, once. */
static void expect_window_kept(struct merging *m)
{
    expect_history_kept(m);
    ck_assert_uint_eq(held(&m->f, 5)->stream[0].index.highest, 0x20005);
    ck_assert_int_eq(packet(&m->f, m->again, 0x20001, 5), VERDICT_REPLAY);
    ck_assert_int_eq(packet(&m->f, m->again, 0x20003, 5), VERDICT_ACCEPTED);
    ck_assert_int_eq(packet(&m->f, m->again, 0x20005, 5), VERDICT_REPLAY);
    ck_assert_int_eq(packet(&m->f, m->sender, 0x30000, 5), VERDICT_ACCEPTED);
}

START_TEST(test_merge_same)
{
    struct merging m;
    struct srtp_session *session;

    setup_merging(&m);
    session = held(&m.f, 5)->srtp;
    ck_assert_int_eq(put_frame(&m.f.replica, m.sa), 0);
    ck_assert_ptr_eq(held(&m.f, 5)->srtp, session);
    expect_window_kept(&m);
    teardown_merging(&m);
}
END_TEST

START_TEST(test_merge_takes_what_changed)
{
    struct merging m;
    struct sa *sa;

    setup_merging(&m);
    m.sa->version = 99;
    m.sa->generation = 7; /* two changes of keys, and the same in the end: only that is seen here */
    m.sa->reverse = 6;
    m.sa->rate.octets_per_second = 4242;
    sample_text(m.sa, SA_CALL_ID, "renamed");
    ck_assert_int_eq(put_frame(&m.f.replica, m.sa), 0);
    sa = held(&m.f, 5);
    ck_assert_uint_eq(sa->version, 99);
    ck_assert_uint_eq(sa->generation, 7);
    ck_assert_ptr_null(sa->old);
    ck_assert_uint_eq(sa->reverse, 6);
    ck_assert_uint_eq(sa->rate.octets_per_second, 4242);
    ck_assert_str_eq(sa_text(sa, SA_CALL_ID), "renamed");
    expect_window_kept(&m);
    teardown_merging(&m);
}
END_TEST

START_TEST(test_merge_destination)
{
    struct fixture f;
    struct sa *sa = sample_keyed_sa(SA_SIDE_INTERNAL, 4, 4);

    setup(&f);
    ck_assert_int_eq(put_frame(&f.replica, sa), 0);
    held(&f, 4)->packets = 7;
    sa->destination.rtp = sample_addr("9.9.9.9:4000");
    sa->destination.mux = true;
    sample_text(sa, SA_LISTENER_OUT, "second");
    ck_assert_int_eq(put_frame(&f.replica, sa), 0);
    ck_assert(addr_equal(&held(&f, 4)->destination.rtp, &sa->destination.rtp));
    ck_assert(held(&f, 4)->destination.mux);
    ck_assert_str_eq(sa_text(held(&f, 4), SA_LISTENER_OUT), "second");
    ck_assert_uint_eq(held(&f, 4)->packets, 7);
    sa_free(sa);
    teardown(&f);
}
END_TEST

/* The sender moved: it is found at the new place, not at the old one, and goes on. */
START_TEST(test_merge_source)
{
    struct merging m;
    struct addr old;

    setup_merging(&m);
    old = m.sa->source.rtp;
    m.sa->source.rtp = sample_addr("9.9.9.9:4000");
    ck_assert_int_eq(put_frame(&m.f.replica, m.sa), 0);
    ck_assert_ptr_null(table_by_source(m.f.table, SA_SIDE_EXTERNAL, &old, 5));
    ck_assert_ptr_eq(table_by_source(m.f.table, SA_SIDE_EXTERNAL, &m.sa->source.rtp, 5),
                     held(&m.f, 5));
    expect_window_kept(&m);
    teardown_merging(&m);
}
END_TEST

START_TEST(test_merge_label)
{
    struct merging m;

    setup_merging(&m);
    m.sa->label = 4711;
    ck_assert_int_eq(put_frame(&m.f.replica, m.sa), 0);
    ck_assert_ptr_null(table_by_label(m.f.table, 0, 5));
    ck_assert_ptr_eq(table_by_label(m.f.table, 0, 4711), held(&m.f, 5));
    expect_window_kept(&m);
    teardown_merging(&m);
}
END_TEST

START_TEST(test_merge_ssrcs)
{
    struct merging m;
    struct sa *sa;

    setup_merging(&m);
    ck_assert_int_eq(sa_stream_add(m.sa, 6, SSRC_ORIGIN_SIGNALLED), 0);
    ck_assert_int_eq(sa_stream_add(held(&m.f, 5), 7, SSRC_ORIGIN_LEARNED), 0);
    ck_assert_int_eq(put_frame(&m.f.replica, m.sa), 0);
    sa = held(&m.f, 5);
    /* The authority's, and what was learned here. */
    ck_assert_uint_eq(sa->stream_count, 3);
    ck_assert_ptr_nonnull(sa_stream(sa, 6));
    ck_assert_ptr_nonnull(sa_stream(sa, 7));
    expect_window_kept(&m);
    m.sa->stream_count = 1;
    ck_assert_int_eq(put_frame(&m.f.replica, m.sa), 0);
    ck_assert_ptr_null(sa_stream(held(&m.f, 5), 6));
    ck_assert_ptr_nonnull(sa_stream(held(&m.f, 5), 7));
    ck_assert_uint_eq(held(&m.f, 5)->stream[0].index.highest, 0x30000);
    teardown_merging(&m);
}
END_TEST

/*
 * Another key. When the generation announces it, the old one is good for some seconds more, and
 * the ROC goes on; otherwise the authority has lost its state, and it is another call.
 */
START_TEST(test_merge_new_key)
{
    uint8_t material[SUITE_KEY_MAX_OCTETS];
    struct merging m;
    struct protect *fresh;
    bool announced = _i > 0;

    setup_merging(&m);
    sample_material(m.sa, material);
    material[0] ^= 1;
    sample_set_key(m.sa, material);
    m.sa->generation += (uint32_t)_i;
    m.sa->stream[0].index = (struct srtp_index){0};
    ck_assert_int_eq(put_frame(&m.f.replica, m.sa), 0);
    expect_history_kept(&m);
    ck_assert(!held(&m.f, 5)->stream[0].index.started);
    ck_assert_int_eq(packet(&m.f, m.again, 0x20006, 5),
                     announced ? VERDICT_ACCEPTED : VERDICT_AUTH_FAIL);
    fresh = sender_of(m.sa);
    ck_assert_int_eq(packet(&m.f, fresh, announced ? 0x20007 : 1, 5), VERDICT_ACCEPTED);
    ck_assert_int_eq(packet(&m.f, m.again, 0x20008, 5),
                     announced ? VERDICT_ACCEPTED : VERDICT_AUTH_FAIL);
    ck_assert(!rekey_tick(table_old_keys(m.f.table), OLD_KEY_US, 1));
    ck_assert_ptr_null(held(&m.f, 5)->old);
    ck_assert_int_eq(packet(&m.f, m.again, 0x20009, 5), VERDICT_AUTH_FAIL);
    protect_free(fresh);
    teardown_merging(&m);
}
END_TEST

/* The key that the flag makes; the sender of it. */
static struct protect *put_key(struct merging *m, uint8_t flag, uint32_t generation)
{
    uint8_t material[SUITE_KEY_MAX_OCTETS];

    sample_material(m->sa, material);
    material[0] ^= flag;
    sample_set_key(m->sa, material);
    m->sa->generation = generation;
    m->sa->stream[0].index = (struct srtp_index){0};
    ck_assert_int_eq(put_frame(&m->f.replica, m->sa), 0);
    expect_no_nak(&m->f);
    return sender_of(m->sa);
}

static struct protect *rekeyed(struct merging *m)
{
    return put_key(m, 1, m->sa->generation + 1);
}

/* From the time at which the frame came; with the counts, and the SSRCs that were learned. */
START_TEST(test_rekey)
{
    struct merging m;
    struct protect *fresh;
    struct sa *sa;

    setup_merging(&m);
    ck_assert_int_eq(sa_stream_add(held(&m.f, 5), 7, SSRC_ORIGIN_LEARNED), 0);
    m.f.replica.now_us = 7000000;
    fresh = rekeyed(&m);
    sa = held(&m.f, 5);
    expect_history_kept(&m);
    ck_assert_uint_eq(rekey_left_us(sa, 7000000), OLD_KEY_US);
    ck_assert_uint_eq(sa->stream[0].stats.received, 2);
    ck_assert_int_eq(sa_stream(sa, 7)->origin, SSRC_ORIGIN_LEARNED);
    ck_assert_int_eq(packet(&m.f, fresh, 0x20006, 5), VERDICT_ACCEPTED);
    ck_assert_int_eq(packet(&m.f, m.again, 0x20001, 5), VERDICT_REPLAY);
    ck_assert_int_eq(packet(&m.f, m.again, 0x20007, 5), VERDICT_ACCEPTED);
    ck_assert_uint_eq(sa->stream[0].stats.received, 4);
    ck_assert(!rekey_tick(table_old_keys(m.f.table), 7000000 + OLD_KEY_US - 1, 1));
    ck_assert_ptr_nonnull(sa->old);
    ck_assert(!rekey_tick(table_old_keys(m.f.table), 7000000 + OLD_KEY_US, 1));
    ck_assert_ptr_null(sa->old);
    protect_free(fresh);
    teardown_merging(&m);
}
END_TEST

/* While the old key is good: back to it, on to a third, or the same again. */
START_TEST(test_rekey_again)
{
    struct merging m;
    struct protect *fresh, *third;

    setup_merging(&m);
    fresh = rekeyed(&m);
    ck_assert_int_eq(packet(&m.f, fresh, 0x20006, 5), VERDICT_ACCEPTED);
    if (_i == 0) {
        third = put_key(&m, 1, 3); /* the first again */
        ck_assert_int_eq(packet(&m.f, third, 0x20001, 5), VERDICT_REPLAY);
        ck_assert_int_eq(packet(&m.f, third, 0x20005, 5), VERDICT_REPLAY);
        ck_assert_int_eq(packet(&m.f, third, 0x20007, 5), VERDICT_ACCEPTED);
        ck_assert_int_eq(packet(&m.f, fresh, 0x20007, 5), VERDICT_ACCEPTED);
    } else if (_i == 1) {
        third = put_key(&m, 2, 3);
        ck_assert_int_eq(packet(&m.f, m.again, 0x20007, 5), VERDICT_AUTH_FAIL);
        ck_assert_int_eq(packet(&m.f, third, 0x20007, 5), VERDICT_ACCEPTED);
        ck_assert_int_eq(packet(&m.f, fresh, 0x20007, 5), VERDICT_ACCEPTED);
    } else {
        third = put_key(&m, 0, _i == 2 ? 3 : 2);
        ck_assert_int_eq(packet(&m.f, third, 0x20006, 5), VERDICT_REPLAY);
        ck_assert_int_eq(packet(&m.f, third, 0x20007, 5), VERDICT_ACCEPTED);
        ck_assert_int_eq(packet(&m.f, m.again, 0x20001, 5), VERDICT_REPLAY);
        ck_assert_int_eq(packet(&m.f, m.again, 0x20007, 5), VERDICT_ACCEPTED);
    }
    protect_free(third);
    protect_free(fresh);
    teardown_merging(&m);
}
END_TEST

/* The SA moves while the old key is good. */
START_TEST(test_rekey_and_move)
{
    struct merging m;
    struct protect *fresh;

    setup_merging(&m);
    fresh = rekeyed(&m);
    m.sa->source.rtp = sample_addr("9.9.9.9:4000");
    ck_assert_int_eq(put_frame(&m.f.replica, m.sa), 0);
    ck_assert_int_eq(packet(&m.f, fresh, 0x20006, 5), VERDICT_ACCEPTED);
    ck_assert_int_eq(packet(&m.f, m.again, 0x20001, 5), VERDICT_REPLAY);
    ck_assert_int_eq(packet(&m.f, m.again, 0x20007, 5), VERDICT_ACCEPTED);
    ck_assert_uint_eq(rekey_left_us(held(&m.f, 5), 0), OLD_KEY_US);
    ck_assert(!rekey_tick(table_old_keys(m.f.table), OLD_KEY_US, 1));
    ck_assert_int_eq(packet(&m.f, m.again, 0x20008, 5), VERDICT_AUTH_FAIL);
    protect_free(fresh);
    teardown_merging(&m);
}
END_TEST

/* What cannot be done changes no key: here a third one comes with the place of too many. */
START_TEST(test_rekey_refused)
{
    uint8_t material[SUITE_KEY_MAX_OCTETS];
    struct merging m;
    struct protect *fresh;
    struct addr theirs = sample_addr("9.9.9.9:4000");

    setup_merging(&m);
    crowd(&m.f, &theirs, 5, TABLE_ALIKE_MAX);
    fresh = rekeyed(&m);
    sample_material(m.sa, material);
    material[0] ^= 2;
    sample_set_key(m.sa, material);
    m.sa->generation++;
    m.sa->source.rtp = theirs;
    ck_assert_int_eq(put_frame(&m.f.replica, m.sa), 0);
    expect_nak(&m.f, ERR_EXISTS, "other sites");
    ck_assert_uint_eq(held(&m.f, 5)->generation, 2);
    ck_assert_int_eq(packet(&m.f, fresh, 0x20006, 5), VERDICT_ACCEPTED);
    ck_assert_int_eq(packet(&m.f, m.again, 0x20006, 5), VERDICT_ACCEPTED);
    protect_free(fresh);
    teardown_merging(&m);
}
END_TEST

/* Without a key here there is nothing to change: the SA stays as it is. */
START_TEST(test_rekey_internal)
{
    struct sa *sa = sample_keyed_sa(SA_SIDE_INTERNAL, 4, 4), *before;
    struct fixture f;

    setup(&f);
    ck_assert_int_eq(put_frame(&f.replica, sa), 0);
    before = held(&f, 4);
    sa->generation = 2;
    ck_assert_int_eq(put_frame(&f.replica, sa), 0);
    ck_assert_ptr_eq(held(&f, 4), before);
    ck_assert_uint_eq(before->generation, 2);
    ck_assert_ptr_null(before->old);
    expect_no_nak(&f);
    sa_free(sa);
    teardown(&f);
}
END_TEST

/* A replica that did not hold the SA: only the new key, and where its ROC may go on. */
START_TEST(test_rekeyed_elsewhere)
{
    struct merging m;
    struct protect *fresh;
    uint64_t at = (uint64_t)4711 << 16;

    setup_merging(&m);
    table_remove(m.f.table, held(&m.f, 5));
    sa_free(m.f.replica.oldest);
    m.f.replica.oldest = m.f.replica.newest = NULL;
    sample_set_key(m.sa, (const uint8_t *)"0123456789012345678901234567890123456789012345");
    m.sa->generation = 2;
    m.sa->stream[0].index = (struct srtp_index){.hinted = true, .highest = at + 5};
    ck_assert_int_eq(put_frame(&m.f.replica, m.sa), 0);
    fresh = sender_of(m.sa);
    ck_assert_int_eq(packet(&m.f, m.sender, at + 6, 5), VERDICT_AUTH_FAIL);
    ck_assert_int_eq(packet(&m.f, fresh, _i ? 3 : at + 6, 5), VERDICT_ACCEPTED);
    protect_free(fresh);
    teardown_merging(&m);
}
END_TEST

/* Put in one view, and after two packets in another: what there is of the key, and of the window.
 */
static const struct {
    enum suite_id suite;
    enum wire_view before, after;
    enum srtp_key_kind kind;
    bool kept;
} forms[] = {
    {SUITE_AES_CM_128_HMAC_SHA1_80, WIRE_REPLICA_FULL, WIRE_REPLICA_VERIFY_ONLY, SRTP_KEY_AUTH,
     true},
    {SUITE_AES_CM_128_HMAC_SHA1_80, WIRE_REPLICA_VERIFY_ONLY, WIRE_REPLICA_FULL, SRTP_KEY_MASTER,
     true},
    {SUITE_AES_256_CM_HMAC_SHA1_80, WIRE_REPLICA_VERIFY_ONLY, WIRE_REPLICA_VERIFY_ONLY,
     SRTP_KEY_AUTH, true},
    {SUITE_AEAD_AES_128_GCM, WIRE_REPLICA_VERIFY_ONLY, WIRE_REPLICA_FULL, SRTP_KEY_MASTER, true},
    {SUITE_AEAD_AES_128_GCM, WIRE_REPLICA_FULL, WIRE_REPLICA_VERIFY_ONLY, SRTP_KEY_MASTER, true},
    {SUITE_AES_CM_128_HMAC_SHA1_32, WIRE_REPLICA_VERIFY_ONLY, WIRE_REPLICA_KEYLESS, SRTP_KEY_NONE,
     false},
    {SUITE_AEAD_AES_256_GCM, WIRE_REPLICA_FULL, WIRE_REPLICA_KEYLESS, SRTP_KEY_NONE, false},
};

/* dmz-keys of the authority was changed, and it goes on with its state file. */
START_TEST(test_key_in_another_form)
{
    struct merging m;
    const struct sa *sa;

    setup(&m.f);
    m.sa = sample_keyed_sa(SA_SIDE_EXTERNAL, 5, 5 + (uint32_t)forms[_i].suite);
    m.sa->stream[0].index = (struct srtp_index){.started = true, .highest = 0x1fff0};
    ck_assert_int_eq(put_view(&m.f.replica, m.sa, forms[_i].before), 0);
    m.sender = sender_of(m.sa);
    m.again = sender_of(m.sa);
    ck_assert_int_eq(packet(&m.f, m.sender, 0x20001, 5), VERDICT_ACCEPTED);
    ck_assert_int_eq(packet(&m.f, m.sender, 0x20005, 5), VERDICT_ACCEPTED);
    ck_assert_int_eq(put_view(&m.f.replica, m.sa, forms[_i].after), 0);
    sa = held(&m.f, 5);
    ck_assert_int_eq(sa->srtp ? srtp_session_kind(sa->srtp) : SRTP_KEY_NONE, forms[_i].kind);
    if (forms[_i].kept)
        expect_window_kept(&m);
    else
        expect_history_kept(&m);
    teardown_merging(&m);
}
END_TEST

/* After a snapshot of a dmz-relay that started anew: the ROC comes with the SA. */
START_TEST(test_roc_comes_with_the_sa)
{
    struct merging m;

    setup_merging(&m);
    delete (&m.f.replica, 5, 1);
    m.sa->stream[0].index = (struct srtp_index){.started = true, .highest = 0x20005};
    ck_assert_int_eq(put_frame(&m.f.replica, m.sa), 0);
    ck_assert_int_eq(packet(&m.f, m.again, 0x20005, 5), VERDICT_REPLAY);
    ck_assert_int_eq(packet(&m.f, m.sender, 0x20006, 5), VERDICT_ACCEPTED);
    teardown_merging(&m);
}
END_TEST

/* ------------------------------------------------------------ conflicts */

/* Of one site the authority's newest word counts. */
START_TEST(test_own_left_over_goes)
{
    struct fixture f;
    struct sa *sa = sample_keyed_sa(SA_SIDE_EXTERNAL, 1, 1);

    setup(&f);
    put_number(&f.replica, SA_SIDE_EXTERNAL, 1);
    put_number(&f.replica, SA_SIDE_EXTERNAL, 2);
    sa->id = 20;
    sa->label = 2; /* source, SSRC and key of 1, label of 2 */
    put(&f.replica, sa);
    expect_no_nak(&f);
    ck_assert_ptr_null(held(&f, 1));
    ck_assert_ptr_null(held(&f, 2));
    ck_assert_ptr_nonnull(held(&f, 20));
    ck_assert_uint_eq(table_count(f.table), 1);
    teardown(&f);
}
END_TEST

enum left { LIVE, LEFT_OVER, GIVEN_UP };

/* Two senders at one source, of the same or of two sites; the first is live, or left over. */
static const struct {
    enum wire_view first, second;
    bool other_site;
    enum left left;
    bool refused;
} neighbours[] = {
    {WIRE_REPLICA_FULL, WIRE_REPLICA_FULL, false, LIVE, false},
    {WIRE_REPLICA_VERIFY_ONLY, WIRE_REPLICA_FULL, false, LIVE, false},
    {WIRE_REPLICA_KEYLESS, WIRE_REPLICA_KEYLESS, false, LIVE, true},
    {WIRE_REPLICA_KEYLESS, WIRE_REPLICA_FULL, false, LIVE, true},
    {WIRE_REPLICA_FULL, WIRE_REPLICA_KEYLESS, false, LIVE, true},
    {WIRE_REPLICA_FULL, WIRE_REPLICA_FULL, true, LIVE, false},
    {WIRE_REPLICA_KEYLESS, WIRE_REPLICA_KEYLESS, true, LIVE, true},
    {WIRE_REPLICA_KEYLESS, WIRE_REPLICA_VERIFY_ONLY, true, LIVE, true},
    {WIRE_REPLICA_FULL, WIRE_REPLICA_KEYLESS, true, LIVE, true},
    {WIRE_REPLICA_KEYLESS, WIRE_REPLICA_KEYLESS, false, LEFT_OVER, false},
    {WIRE_REPLICA_KEYLESS, WIRE_REPLICA_FULL, false, LEFT_OVER, false},
    {WIRE_REPLICA_FULL, WIRE_REPLICA_KEYLESS, false, LEFT_OVER, false},
    {WIRE_REPLICA_KEYLESS, WIRE_REPLICA_KEYLESS, true, GIVEN_UP, false},
    {WIRE_REPLICA_FULL, WIRE_REPLICA_KEYLESS, true, GIVEN_UP, false},
};

START_TEST(test_keyless_alone)
{
    bool keyless = neighbours[_i].first == WIRE_REPLICA_KEYLESS ||
                   neighbours[_i].second == WIRE_REPLICA_KEYLESS;
    struct sa *one = sample_keyed_sa(SA_SIDE_EXTERNAL, 1, 1), *sa;
    struct sa *two = sample_keyed_sa(SA_SIDE_EXTERNAL, 2, 2);
    struct fixture f;
    struct replica *first;

    setup(&f);
    first = neighbours[_i].other_site ? &f.other : &f.replica;
    two->source = (struct sa_transport){.rtp = one->source.rtcp, .mux = true};
    ck_assert_int_eq(put_view(first, one, neighbours[_i].first), 0);
    if (neighbours[_i].left == LEFT_OVER)
        begin(&f.replica, SYNC_SNAPSHOT);
    else if (neighbours[_i].left == GIVEN_UP)
        replica_clear(&f.other);
    ck_assert_int_eq(put_view(&f.replica, two, neighbours[_i].second), 0);
    if (neighbours[_i].refused)
        expect_nak(&f, ERR_EXISTS, "must have its source to itself");
    else
        expect_no_nak(&f);
    sa = held(&f, 2);
    ck_assert_int_eq(sa == NULL, neighbours[_i].refused);
    ck_assert_int_eq(sa && !sa->srtp, sa && neighbours[_i].second == WIRE_REPLICA_KEYLESS);
    ck_assert_int_eq(table_by_id(f.table, neighbours[_i].other_site, 1) == NULL,
                     keyless && !neighbours[_i].refused);
    /* Itself is no neighbour. */
    ck_assert_int_eq(put_view(first, one, neighbours[_i].first), 0);
    f.naks = 0;
    sa_free(one);
    sa_free(two);
    teardown(&f);
}
END_TEST

/* A site cannot keep the others out of the calls with a peer, by having it to itself. */
START_TEST(test_keyless_peer)
{
    struct sa *keyless = sample_keyed_sa(SA_SIDE_EXTERNAL, 1, 1);
    struct sa *keyed = sample_keyed_sa(SA_SIDE_EXTERNAL, 2, 2);
    struct fixture f;

    setup(&f);
    f.rules.peer[f.rules.peer_count++] = sample_addr(PEER_RTP);
    f.replica.several_sites = f.other.several_sites = _i;
    peer_in(keyless);
    peer_in(keyed);
    ck_assert_int_eq(put_view(&f.other, keyless, WIRE_REPLICA_KEYLESS), 0);
    if (_i)
        expect_nak(&f, ERR_FORBIDDEN, "would have the [peer] to itself");
    ck_assert_int_eq(put_frame(&f.replica, keyed), 0);
    if (_i)
        expect_no_nak(&f);
    else
        expect_nak(&f, ERR_EXISTS, "must have its source to itself");
    ck_assert_int_eq(held(&f, 2) != NULL, _i);
    sa_free(keyless);
    sa_free(keyed);
    teardown(&f);
}
END_TEST

/*
 * All calls of a gateway were at one port, and are left over; now there is one
 * without a key. Not all go at once, and those that went do not come back.
 */
START_TEST(test_keyless_where_many_were)
{
    enum { CALLS = 40 };
    struct sa *keyless = sample_keyed_sa(SA_SIDE_EXTERNAL, 100, 100);
    struct fixture f;
    struct replica *before;
    unsigned rounds = 0;
    size_t left = CALLS;

    setup_room(&f, 2 * CALLS);
    before = _i ? &f.other : &f.replica;
    before->quota = CALLS;
    for (uint32_t i = 1; i <= CALLS; i++) {
        struct sa *sa = sample_keyed_sa(SA_SIDE_EXTERNAL, i, i);

        sa->source = keyless->source;
        put(before, sa);
    }
    ck_assert_uint_eq(table_count(f.table), CALLS);
    if (_i)
        replica_clear(&f.other);
    else
        begin(&f.replica, SYNC_SNAPSHOT);
    do {
        ck_assert_int_eq(put_view(&f.replica, keyless, WIRE_REPLICA_KEYLESS), 0);
        ck_assert_uint_lt(table_count_owner(f.table, _i != 0), left);
        left = table_count_owner(f.table, _i != 0);
        if (rounds == 0) {
            ck_assert_uint_ge(left, CALLS / 4);
            expect_nak(&f, ERR_AGAIN, "still to be deleted");
        }
        rounds++;
    } while (!held(&f, 100));
    expect_no_nak(&f);
    ck_assert_uint_eq(table_count(f.table), 1);
    ck_assert_uint_gt(rounds, 1);
    sa_free(keyless);
    teardown(&f);
}
END_TEST

/* Its RTP comes from where another keyed one's does; that does not hide whom its RTCP would meet.
 */
START_TEST(test_keyless_alone_at_both_ports)
{
    struct sa *keyed = sample_keyed_sa(SA_SIDE_EXTERNAL, 1, 2);
    struct sa *keyless = sample_keyed_sa(SA_SIDE_EXTERNAL, 2, 4);
    struct sa *both = sample_keyed_sa(SA_SIDE_EXTERNAL, 3, 6);
    struct fixture f;

    setup(&f);
    both->source = (struct sa_transport){.rtp = keyed->source.rtp, .rtcp = keyless->source.rtcp};
    ck_assert_int_eq(put_frame(&f.other, keyed), 0);
    ck_assert_int_eq(put_view(&f.other, keyless, WIRE_REPLICA_KEYLESS), 0);
    expect_no_nak(&f);
    ck_assert_int_eq(put_frame(&f.replica, both), 0);
    expect_nak(&f, ERR_EXISTS, "must have its source to itself");
    ck_assert_ptr_null(held(&f, 3));
    sa_free(keyed);
    sa_free(keyless);
    sa_free(both);
    teardown(&f);
}
END_TEST

/* Other sites' SAs stand in the way: nothing changes, neither there nor here. */
START_TEST(test_foreign_sa_is_not_touched)
{
    struct fixture f;
    struct sa *foreign, *sa;

    setup(&f);
    put_number(&f.other, SA_SIDE_EXTERNAL, 1);
    foreign = table_by_id(f.table, 1, 1);
    crowd(&f, &foreign->source.rtp, 1, TABLE_ALIKE_MAX - 1);
    put_number(&f.replica, SA_SIDE_EXTERNAL, 2);
    put_number(&f.replica, SA_SIDE_EXTERNAL, 3);

    /* a new one, that has the label of one of its own site as well */
    sa = sample_keyed_sa(SA_SIDE_EXTERNAL, 4, 1);
    sa->label = 2;
    put(&f.replica, sa);
    expect_nak(&f, ERR_EXISTS, "other sites");
    /* one that is held, and moves to the foreign source */
    sa = sample_keyed_sa(SA_SIDE_EXTERNAL, 3, 1);
    sa->label = 3;
    put(&f.replica, sa);
    expect_nak(&f, ERR_EXISTS, "other sites");
    /* one that shares the source already, and takes the SSRC too */
    sa = sample_keyed_sa(SA_SIDE_EXTERNAL, 5, 5);
    sa->source = foreign->source;
    ck_assert_int_eq(put_frame(&f.replica, sa), 0);
    expect_no_nak(&f);
    ck_assert_int_eq(sa_stream_add(sa, 1, SSRC_ORIGIN_SIGNALLED), 0);
    put(&f.replica, sa);
    expect_nak(&f, ERR_EXISTS, "other sites");

    ck_assert_ptr_eq(table_by_source(f.table, SA_SIDE_EXTERNAL, &foreign->source.rtcp, 1), foreign);
    ck_assert_ptr_eq(table_by_label(f.table, 0, 2), held(&f, 2));
    ck_assert_uint_eq(held(&f, 3)->stream[0].ssrc, 3);
    ck_assert_ptr_nonnull(held(&f, 3)->srtp);
    ck_assert_uint_eq(held(&f, 5)->stream_count, 1);
    ck_assert_uint_eq(table_count_owner(f.table, 0), 3);
    ck_assert_uint_eq(table_count_owner(f.table, 1), 1);

    /* Its id and label mean nothing to this site. */
    put_number(&f.replica, SA_SIDE_INTERNAL, 1);
    expect_no_nak(&f);
    delete (&f.replica, 1, 9);
    begin(&f.replica, SYNC_SNAPSHOT);
    finish(&f.replica, SYNC_SNAPSHOT, 10);
    sweep(&f.replica);
    ck_assert_ptr_eq(table_by_id(f.table, 1, 1), foreign);
    ck_assert_uint_eq(table_count(f.table), TABLE_ALIKE_MAX);
    teardown(&f);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("replica");
    TCase *tc = tcase_create("replica");
    int result;

    tcase_add_checked_fixture(tc, sample_engine_start, NULL);
    tcase_add_test(tc, test_snapshot_sweeps);
    tcase_add_test(tc, test_delta_does_not_sweep);
    tcase_add_test(tc, test_versions);
    tcase_add_test(tc, test_half_snapshot_then_cut);
    tcase_add_test(tc, test_half_delta_then_cut);
    tcase_add_test(tc, test_disconnected_and_cleared);
    tcase_add_test(tc, test_delta_in_a_sweep);
    tcase_add_test(tc, test_snapshot_in_a_sweep);
    tcase_add_test(tc, test_quota_in_a_sweep);
    tcase_add_test(tc, test_smaller_quota_in_a_sweep);
    tcase_add_test(tc, test_smaller_quota_in_a_snapshot);
    tcase_add_test(tc, test_refused_in_a_sweep);
    tcase_add_test(tc, test_other_site_in_a_sweep);
    tcase_add_test(tc, test_back_in_a_clearing);
    tcase_add_test(tc, test_protocol_errors);
    tcase_add_test(tc, test_hairpin_without_a_key);
    tcase_add_test(tc, test_hairpin_changes);
    tcase_add_loop_test(tc, test_refusals, 0, sizeof(refusals) / sizeof(refusals[0]));
    tcase_add_loop_test(tc, test_peer_comes_and_goes, 0, 2);
    tcase_add_loop_test(tc, test_refused_gives_way, 0, 2);
    tcase_add_test(tc, test_review_taken_back);
    tcase_add_test(tc, test_encapsulation_changes);
    tcase_add_test(tc, test_listener_refusal);
    tcase_add_test(tc, test_unknown_suite);
    tcase_add_test(tc, test_engine_lacks_key_kind);
    tcase_add_test(tc, test_refused_change);
    tcase_add_test(tc, test_quota);
    tcase_add_test(tc, test_quota_in_a_snapshot);
    tcase_add_test(tc, test_merge_same);
    tcase_add_test(tc, test_merge_takes_what_changed);
    tcase_add_test(tc, test_merge_destination);
    tcase_add_test(tc, test_merge_source);
    tcase_add_test(tc, test_merge_label);
    tcase_add_test(tc, test_merge_ssrcs);
    tcase_add_loop_test(tc, test_merge_new_key, 0, 2);
    tcase_add_test(tc, test_rekey);
    tcase_add_loop_test(tc, test_rekey_again, 0, 4);
    tcase_add_test(tc, test_rekey_and_move);
    tcase_add_test(tc, test_rekey_refused);
    tcase_add_test(tc, test_rekey_internal);
    tcase_add_loop_test(tc, test_rekeyed_elsewhere, 0, 2);
    tcase_add_loop_test(tc, test_key_in_another_form, 0, sizeof(forms) / sizeof(forms[0]));
    tcase_add_test(tc, test_roc_comes_with_the_sa);
    tcase_add_test(tc, test_own_left_over_goes);
    tcase_add_loop_test(tc, test_keyless_alone, 0, sizeof(neighbours) / sizeof(neighbours[0]));
    tcase_add_loop_test(tc, test_keyless_peer, 0, 2);
    tcase_add_loop_test(tc, test_keyless_where_many_were, 0, 2);
    tcase_add_test(tc, test_keyless_alone_at_both_ports);
    tcase_add_test(tc, test_foreign_sa_is_not_touched);
    suite_add_tcase(suite, tc);
    result = unit_run(suite);
    sample_engine_stop();
    return result;
}
