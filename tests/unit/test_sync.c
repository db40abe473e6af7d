/*
 * Authority and replica against each other: whatever is added, changed and
 * deleted, and wherever the tunnel is cut, after the next complete sync the
 * replica holds exactly what the authority does.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/sa/authority.h"
#include "common/sa/replica.h"
#include "common/sa/table.h"
#include "common/srtp/srtp.h"
#include "tests/unit/sample.h"
#include "tests/unit/unit.h"

enum { OWNER_HERE = 3, OWNER_THERE = 1, MAX = 24, STEPS = 3000, SEEDS = 16, IDS = 40 };

struct world {
    uint32_t random;
    uint64_t now_us, next_id;
    struct table *here, *there;
    struct authority authority;
    struct replica replica;
    struct target_rules rules;
    bool connected;
    unsigned naks, snapshots, deltas, cuts, left_overs;
};

/* The same numbers for the same seed, everywhere. */
static uint32_t dice(struct world *w, uint32_t sides)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 17;
    w->random ^= w->random << 5;
    return w->random % sides;
}

static void on_nak(void *ctx, const struct wire_nak *nak)
{
    struct world *w = ctx;
    uint8_t memory[FRAME_MAX_OCTETS];
    struct writer body;
    struct reader r;

    w->naks++;
    writer_init(&body, memory, sizeof(memory));
    wire_put_nak(&body, nak);
    reader_init(&r, memory, writer_length(&body));
    ck_assert_int_eq(authority_nak(&w->authority, &r), 0);
}

static const char *no_refusal(void *ctx, const struct sa *sa)
{
    (void)ctx;
    (void)sa;
    return NULL;
}

static const struct replica_hooks hooks = {on_nak, no_refusal, NULL};

static void make_replica(struct world *w, uint32_t max)
{
    w->there = table_new(max);
    ck_assert_ptr_nonnull(w->there);
    replica_init(&w->replica, w->there, sample_engine(), OWNER_THERE, max, &w->rules, &hooks, w);
}

static void make_authority(struct world *w, size_t max)
{
    w->here = table_new(max);
    ck_assert_ptr_nonnull(w->here);
    ck_assert_int_eq(authority_init(&w->authority, w->here, OWNER_HERE), 0);
}

/* ------------------------------------------------------------ what may happen */

/* Sources, labels and SSRCs are few, so that they are used again and stand in each other's way. */
static struct sa *random_sa(struct world *w, uint64_t id, uint32_t generation)
{
    uint32_t number = dice(w, IDS);
    /* Each new external one makes an SRTP session, which takes long: a few are enough. */
    struct sa *sa = sample_keyed_sa(dice(w, 4) ? SA_SIDE_INTERNAL : SA_SIDE_EXTERNAL, id, number);

    sa->owner = OWNER_HERE;
    sa->generation = generation;
    sa->source.mux = dice(w, 4) == 0;
    sa->destination.mux = dice(w, 4) == 0;
    sa->label = authority_label(&w->authority, dice(w, IDS));
    if (dice(w, 3) == 0)
        (void)sa_stream_add(sa, dice(w, IDS), SSRC_ORIGIN_SIGNALLED);
    return sa;
}

static void add(struct world *w)
{
    struct sa *sa = random_sa(w, w->next_id, 1);

    if (table_insert(w->here, sa) < 0) {
        sa_free(sa);
        return;
    }
    w->next_id++;
    authority_added(&w->authority, sa);
}

struct choice {
    uint32_t left;
    struct sa *sa;
};

static void choose(void *ctx, struct sa *sa)
{
    struct choice *choice = ctx;

    if (choice->left-- == 0)
        choice->sa = sa;
}

static struct sa *any_sa(struct world *w)
{
    uint32_t count = (uint32_t)table_count(w->here);
    struct choice choice = {.left = count ? dice(w, count) : 0};

    table_each(w->here, choose, &choice);
    return choice.sa;
}

static void delete (struct world *w, struct sa *sa)
{
    authority_removed(&w->authority, sa, w->now_us);
    table_remove(w->here, sa);
    sa_free(sa);
}

/* Small changes, and others that give it a new place in the table. */
static void change(struct world *w, struct sa *sa)
{
    struct sa *other;
    struct srtp_session *session;
    struct sa_stream *stream;
    uint32_t kind = dice(w, 4);
    char text[16];

    if (kind == 0) {
        snprintf(text, sizeof(text), "call %u", (unsigned)dice(w, 1000));
        sample_text(sa, SA_CALL_ID, text);
    } else if (kind == 1) {
        sa->destination.rtp.port = (uint16_t)(2000 + dice(w, 1000));
    } else if (kind == 2) {
        other = random_sa(w, sa->id, sa->generation + dice(w, 2));
        table_remove(w->here, sa);
        if (table_conflict(w->here, other)) {
            sa_free(other);
            ck_assert_int_eq(table_insert(w->here, sa), 0);
        } else {
            sa->generation = other->generation;
            sa->source = other->source;
            sa->label = other->label;
            sa->side = other->side;
            sa->destination = other->destination;
            session = sa->srtp;
            sa->srtp = other->srtp;
            other->srtp = session;
            sa->suite = other->suite;
            stream = sa->stream;
            sa->stream = other->stream;
            sa->stream_count = other->stream_count;
            other->stream = stream;
            sa_free(other);
            ck_assert_int_eq(table_insert(w->here, sa), 0);
        }
    }
    authority_changed(&w->authority, sa);
}

static void come_up(struct world *w)
{
    authority_connected(&w->authority, w->replica.epoch, w->replica.version);
    w->snapshots += w->authority.sync == AUTHORITY_SNAPSHOT;
    w->deltas += w->authority.sync == AUTHORITY_DELTA;
    w->connected = true;
}

static void cut(struct world *w)
{
    w->cuts += w->authority.sync != AUTHORITY_SYNCED;
    authority_disconnected(&w->authority);
    replica_disconnected(&w->replica);
    w->connected = false;
}

typedef bool pull_fn(struct authority *authority, uint8_t *type, struct writer *body);

/* One frame goes over. False when none is due. */
static bool pull(struct world *w, pull_fn *fn)
{
    uint8_t memory[FRAME_MAX_OCTETS], type;
    struct writer body;
    struct reader r;

    writer_init(&body, memory, sizeof(memory));
    if (!fn(&w->authority, &type, &body))
        return false;
    ck_assert(!body.failed);
    reader_init(&r, memory, writer_length(&body));
    ck_assert_int_eq(replica_frame(&w->replica, type, &r), 0);
    return true;
}

/* ------------------------------------------------------------ the judgement */

static void compare(void *ctx, struct sa *sa)
{
    struct world *w = ctx;
    struct sa *copy = table_by_id(w->there, OWNER_THERE, sa->id), *other;

    ck_assert_msg(copy != NULL, "SA %u is missing", (unsigned)sa->id);
    ck_assert_msg(sample_same(sa, copy, false), "SA %u differs", (unsigned)sa->id);
    ck_assert_ptr_eq(table_by_label(w->there, OWNER_THERE, sa->label), copy);
    ck_assert_str_eq(sa_text(sa, SA_REFUSED), "");
    if (sa->side == SA_SIDE_EXTERNAL) {
        ck_assert_ptr_nonnull(copy->srtp);
        for (other = NULL; other != copy;) {
            other = table_by_stream(w->there, sa->side, &sa->source.rtp, sa->stream[0].ssrc, other);
            ck_assert_ptr_nonnull(other);
        }
    }
}

static void settle(struct world *w)
{
    while (pull(w, authority_pull_bulk))
        ;
    ck_assert_int_eq(w->authority.sync, AUTHORITY_SYNCED);
    /* Whatever a sweep has not reached yet: what the authority named is there, and is found. */
    table_each(w->here, compare, w);
    w->left_overs += table_count(w->there) > table_count(w->here);
    while (replica_sweep(&w->replica, 3) > 0)
        ;
    ck_assert(!replica_sweep_due(&w->replica));
    ck_assert_uint_eq(table_count(w->there), table_count(w->here));
    table_each(w->here, compare, w);
    ck_assert_uint_eq(w->replica.epoch, w->authority.epoch);
    ck_assert_uint_eq(w->replica.version, w->authority.version);
    ck_assert_uint_eq(w->naks, 0);
}

/* The dmz-relay is killed and started, or the site was away for longer than stale-hold. */
static void lose_replica(struct world *w)
{
    cut(w);
    if (dice(w, 2)) {
        replica_clear(&w->replica);
        ck_assert(replica_is_empty(&w->replica));
    } else {
        table_free(w->there);
        make_replica(w, MAX);
    }
}

/* As the state file has it. */
static struct sa *saved(const struct sa *sa)
{
    uint8_t memory[FRAME_MAX_OCTETS];
    struct sa *copy = sa_new();
    struct srtp_key key;
    struct writer w;
    struct reader r;

    ck_assert_ptr_nonnull(copy);
    writer_init(&w, memory, sizeof(memory));
    wire_put_sa(&w, sa, WIRE_STATE);
    reader_init(&r, memory, writer_length(&w));
    ck_assert_int_eq(wire_get_sa(&r, copy, &key), 0);
    ck_assert_int_eq(sa_open(copy, sample_engine(), &key), 0);
    copy->owner = sa->owner;
    return copy;
}

/* The inner-relay is killed and started: with what its state file held, which may be old. */
static void lose_authority(struct world *w)
{
    uint64_t epoch = w->authority.epoch, version = w->authority.version;
    struct sa *kept[MAX];
    unsigned count = 0;
    bool state = dice(w, 2);

    cut(w);
    for (struct sa *sa = w->authority.oldest; sa; sa = sa->newer) {
        kept[count++] = saved(sa);
    }
    /* What it did after that is lost here, but the replica may have it. */
    for (uint32_t i = dice(w, 6); i > 0; i--)
        add(w);
    come_up(w);
    for (uint32_t i = dice(w, 40); i > 0 && pull(w, authority_pull_bulk); i--)
        ;
    cut(w);
    authority_fini(&w->authority);
    table_free(w->here);
    make_authority(w, MAX);
    if (state)
        authority_resume(&w->authority, epoch, version);
    /* Without the file its numbers begin anew, too. */
    w->next_id = 1;
    for (unsigned i = 0; i < count; i++) {
        if (!state) {
            sa_free(kept[i]);
            continue;
        }
        ck_assert_int_eq(table_insert(w->here, kept[i]), 0);
        authority_restored(&w->authority, kept[i]);
        if (w->next_id <= kept[i]->id)
            w->next_id = kept[i]->id + 1;
    }
}

static void step(struct world *w)
{
    struct sa *sa;

    w->now_us += dice(w, 3000000);
    authority_tick(&w->authority, w->now_us);
    if (dice(w, 20) == 0)
        (void)replica_sweep(&w->replica, dice(w, 4));
    switch (dice(w, 12)) {
    case 0:
    case 1:
        add(w);
        break;
    case 2:
    case 3:
        sa = any_sa(w);
        if (sa)
            change(w, sa);
        break;
    case 4:
        sa = any_sa(w);
        if (sa)
            delete (w, sa);
        break;
    case 5:
        if (!w->connected)
            come_up(w);
        else if (dice(w, 4) == 0)
            cut(w);
        break;
    case 6:
        if (dice(w, 40) == 0)
            lose_replica(w);
        else if (dice(w, 80) == 0)
            lose_authority(w);
        else if (dice(w, 8) == 0 && w->connected)
            settle(w);
        break;
    case 7:
    case 8:
        if (w->connected)
            (void)pull(w, authority_pull_live);
        break;
    default:
        if (w->connected)
            (void)pull(w, authority_pull_bulk);
    }
}

START_TEST(test_converges)
{
    struct world w = {.random = 0x9e3779b9u * (uint32_t)(_i + 1), .next_id = 1};

    if ((unsigned)_i >= unit_rounds(SEEDS))
        return;
    make_authority(&w, MAX);
    make_replica(&w, MAX);
    for (unsigned i = 0; i < STEPS; i++)
        step(&w);
    if (!w.connected)
        come_up(&w);
    settle(&w);
    /* The dice saw all of it. */
    ck_assert_uint_gt(w.snapshots, 2);
    ck_assert_uint_gt(w.deltas, 10);
    ck_assert_uint_gt(w.cuts, 5);
    ck_assert_uint_gt(w.left_overs, 0);
    authority_fini(&w.authority);
    table_free(w.here);
    table_free(w.there);
}
END_TEST

/* The calls of a gateway at one port end while the tunnel is down; one without a key follows. */
START_TEST(test_keyless_after_many)
{
    enum { CALLS = 60 };
    struct world w = {.random = 1};
    struct sa *sa;

    make_authority(&w, CALLS);
    make_replica(&w, CALLS);
    for (uint32_t i = 1; i <= CALLS; i++) {
        sa = sample_keyed_sa(SA_SIDE_EXTERNAL, i, i);
        sa->owner = OWNER_HERE;
        sa->source = (struct sa_transport){.rtp = sample_addr("192.0.2.1:4000"), .mux = true};
        ck_assert_int_eq(table_insert(w.here, sa), 0);
        authority_added(&w.authority, sa);
    }
    come_up(&w);
    settle(&w);
    cut(&w);
    for (uint32_t i = 1; i < CALLS; i++)
        delete (&w, table_by_id(w.here, OWNER_HERE, i));
    sa = table_by_id(w.here, OWNER_HERE, CALLS);
    w.authority.view = WIRE_REPLICA_KEYLESS;
    replica_disconnected(&w.replica);
    w.replica.epoch = 0;
    come_up(&w);
    while (pull(&w, authority_pull_bulk))
        ;
    ck_assert_int_eq(w.authority.sync, AUTHORITY_SYNCED);
    ck_assert_uint_gt(w.naks, 0);
    ck_assert_str_eq(sa_text(sa, SA_REFUSED), "");
    sa = table_by_id(w.there, OWNER_THERE, CALLS);
    ck_assert_ptr_nonnull(sa);
    ck_assert_ptr_null(sa->srtp);
    while (replica_sweep(&w.replica, 3) > 0)
        ;
    ck_assert_uint_eq(table_count(w.there), 1);
    ck_assert_ptr_eq(table_by_source(w.there, sa->side, &sa->source.rtp, 4711), sa);
    authority_fini(&w.authority);
    table_free(w.here);
    table_free(w.there);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sync");
    TCase *tc = tcase_create("sync");
    int result;

    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, sample_engine_start, NULL);
    tcase_add_loop_test(tc, test_converges, 0, SEEDS);
    tcase_add_test(tc, test_keyless_after_many);
    suite_add_tcase(suite, tc);
    result = unit_run(suite);
    sample_engine_stop();
    return result;
}
