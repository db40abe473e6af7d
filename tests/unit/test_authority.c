#include "common/sa/authority.h"

#include <stdio.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/tlv.h"
#include "common/sa/table.h"
#include "common/srtp/srtp.h"
#include "tests/unit/sample.h"
#include "tests/unit/unit.h"

enum { OWNER = 2 };

#define SECOND UINT64_C(1000000)

struct fixture {
    struct table *table;
    struct authority a;
};

static void setup(struct fixture *f, size_t max)
{
    f->table = table_new(max);
    ck_assert_ptr_nonnull(f->table);
    ck_assert_int_eq(authority_init(&f->a, f->table, OWNER), 0);
}

static void teardown(struct fixture *f)
{
    authority_fini(&f->a);
    table_free(f->table);
}

static struct sa *insert(struct fixture *f, uint64_t id)
{
    struct sa *sa = sample_sa(SA_SIDE_EXTERNAL, id, (uint32_t)id);

    sa->owner = OWNER;
    ck_assert_int_eq(table_insert(f->table, sa), 0);
    return sa;
}

static struct sa *add(struct fixture *f, uint64_t id)
{
    struct sa *sa = insert(f, id);

    authority_added(&f->a, sa);
    return sa;
}

static void change(struct fixture *f, uint64_t id)
{
    authority_changed(&f->a, table_by_id(f->table, OWNER, id));
}

static void removed(struct fixture *f, uint64_t id, uint64_t now_us)
{
    struct sa *sa = table_by_id(f->table, OWNER, id);

    ck_assert_ptr_nonnull(sa);
    authority_removed(&f->a, sa, now_us);
    table_remove(f->table, sa);
    sa_free(sa);
}

/* ------------------------------------------------------------ what goes out, in short */

/* Writes "begin-snapshot", "put 7", "delete 7", "end-delta" into out. */
static void describe(uint8_t type, const uint8_t *body, size_t length, char *out, size_t size)
{
    struct wire_sync sync;
    struct wire_delete deletion;
    struct reader r;

    reader_init(&r, body, length);
    if (type == FRAME_SYNC_BEGIN || type == FRAME_SYNC_END) {
        ck_assert_int_eq(wire_get_sync(&r, &sync), 0);
        snprintf(out, size, "%s-%s", type == FRAME_SYNC_BEGIN ? "begin" : "end",
                 sync.kind == SYNC_DELTA ? "delta" : "snapshot");
    } else if (type == FRAME_SA_DELETE) {
        ck_assert_int_eq(wire_get_delete(&r, &deletion), 0);
        snprintf(out, size, "delete %u", (unsigned)deletion.id);
    } else {
        struct sa *sa = sa_new();
        struct srtp_key key;

        ck_assert_uint_eq(type, FRAME_SA_PUT);
        ck_assert_int_eq(wire_get_sa(&r, sa, &key), 0);
        snprintf(out, size, "put %u", (unsigned)sa->id);
        sa_free(sa);
    }
}

typedef bool pull_fn(struct authority *authority, uint8_t *type, struct writer *body);

static const char *pull(struct fixture *f, pull_fn *fn)
{
    static char text[64];
    uint8_t memory[FRAME_MAX_OCTETS], type = 0;
    struct writer w;

    writer_init(&w, memory, sizeof(memory));
    if (!fn(&f->a, &type, &w)) {
        ck_assert_uint_eq(writer_length(&w), 0);
        return "nothing";
    }
    ck_assert(!w.failed);
    describe(type, memory, writer_length(&w), text, sizeof(text));
    return text;
}

#define expect_live(f, text) ck_assert_str_eq(pull(f, authority_pull_live), text)
#define expect_bulk(f, text) ck_assert_str_eq(pull(f, authority_pull_bulk), text)
#define expect_sync(f, name) ck_assert_str_eq(authority_sync_name((f)->a.sync), name)

/* Brings the sync to its end, whatever it sends. */
static void drain(struct fixture *f)
{
    while (strcmp(pull(f, authority_pull_bulk), "nothing") != 0)
        ;
    expect_sync(f, "synced");
}

/* Of media between two sites, which has the replica's own address, the Call-ID is not told. */
START_TEST(test_between_sites)
{
    static const char call_id[] = "a84b4c76e66710@10.1.1.1";
    struct addr own[2] = {sample_addr("[2001:db8::1]:5004"), sample_addr("192.0.2.1:5004")};
    struct fixture f;
    struct sa *sa;

    setup(&f, 100);
    authority_set_own(&f.a, own, 2);
    sa = insert(&f, 1);
    sa->side = _i & 2 ? SA_SIDE_INTERNAL : SA_SIDE_EXTERNAL;
    sa->source.rtp = sample_addr(_i & 2 ? "10.1.1.1:4000" : "192.0.2.1:5004");
    sa->destination.rtp = sample_addr(_i & 2 ? "192.0.2.1:5004" : "10.1.1.1:4000");
    if (_i & 1)
        (_i & 2 ? &sa->destination : &sa->source)->rtp.port = 5006;
    ck_assert_int_eq(sa_set_text(sa, SA_CALL_ID, call_id), 0);
    authority_added(&f.a, sa);
    authority_connected(&f.a, 0, 0);
    for (;;) {
        uint8_t memory[FRAME_MAX_OCTETS], type = 0;
        struct writer w;

        writer_init(&w, memory, sizeof(memory));
        ck_assert(authority_pull_bulk(&f.a, &type, &w));
        if (type == FRAME_SYNC_END)
            break;
        if (type == FRAME_SA_PUT)
            ck_assert_int_eq(
                memmem(memory, writer_length(&w), call_id, sizeof(call_id) - 1) != NULL, _i & 1);
    }
    teardown(&f);
}
END_TEST

/* ------------------------------------------------------------ hairpins */

static struct sa *add_hairpin(struct fixture *f, enum sa_side side, uint64_t id)
{
    struct sa *sa = sample_hairpin(side, id, (uint32_t)id);

    sa->owner = OWNER;
    ck_assert_int_eq(table_insert(f->table, sa), 0);
    authority_added(&f->a, sa);
    return sa;
}

/* What stays inside the replica is told nothing of: not when it comes, changes or goes. */
START_TEST(test_stays_inside)
{
    struct fixture f;

    setup(&f, 100);
    add_hairpin(&f, SA_SIDE_INTERNAL, 1);
    add(&f, 2);
    add_hairpin(&f, SA_SIDE_INTERNAL, 3);
    authority_connected(&f.a, 0, 0);
    expect_bulk(&f, "begin-snapshot");
    expect_bulk(&f, "put 2");
    expect_bulk(&f, "end-snapshot");
    add_hairpin(&f, SA_SIDE_INTERNAL, 4);
    change(&f, 1);
    add(&f, 5);
    removed(&f, 3, 0);
    expect_live(&f, "put 5");
    expect_live(&f, "nothing");
    ck_assert(!f.a.more);
    /* Its label rests all the same. */
    ck_assert(!authority_label_is_free(&f.a, 3));
    authority_disconnected(&f.a);
    authority_connected(&f.a, f.a.epoch, 2);
    expect_bulk(&f, "begin-delta");
    expect_bulk(&f, "put 5");
    expect_bulk(&f, "end-delta");
    teardown(&f);
}
END_TEST

/* However many there are, one call passes by a few of them only; nothing ends before the last. */
START_TEST(test_many_stay_inside)
{
    struct fixture f;
    unsigned calls = 0;

    setup(&f, 1000);
    add(&f, 1);
    for (uint64_t id = 2; id <= 500; id++)
        add_hairpin(&f, SA_SIDE_INTERNAL, id);
    authority_connected(&f.a, 0, 0);
    expect_bulk(&f, "begin-snapshot");
    for (; strcmp(pull(&f, authority_pull_bulk), "nothing") == 0; calls++)
        ck_assert(f.a.more);
    ck_assert_uint_ge(calls, 5);
    expect_bulk(&f, "end-snapshot");
    expect_bulk(&f, "nothing");
    for (uint64_t id = 501; id <= 700; id++)
        add_hairpin(&f, SA_SIDE_INTERNAL, id);
    add(&f, 701);
    for (calls = 0; strcmp(pull(&f, authority_pull_live), "nothing") == 0; calls++)
        ck_assert(f.a.more);
    ck_assert_uint_ge(calls, 3);
    expect_live(&f, "nothing");
    ck_assert(!f.a.more);
    teardown(&f);
}
END_TEST

/* A dmz-relay of an older version would end the tunnel. */
START_TEST(test_hairpins_unknown)
{
    struct fixture f;
    struct sa *sa;

    setup(&f, 100);
    sa = add_hairpin(&f, SA_SIDE_EXTERNAL, 1);
    authority_connected(&f.a, 0, 0);
    expect_bulk(&f, "begin-snapshot");
    expect_bulk(&f, "end-snapshot");
    ck_assert(strstr(sa_text(sa, SA_REFUSED), "knows no hairpins") != NULL);
    authority_disconnected(&f.a);
    f.a.hairpins = true;
    authority_connected(&f.a, 0, 0);
    expect_bulk(&f, "begin-snapshot");
    expect_bulk(&f, "put 1");
    ck_assert_str_eq(sa_text(sa, SA_REFUSED), "");
    expect_bulk(&f, "end-snapshot");
    removed(&f, 1, 0);
    expect_live(&f, "delete 1");
    teardown(&f);
}
END_TEST

/* ------------------------------------------------------------ the syncs */

START_TEST(test_snapshot)
{
    struct fixture f;

    setup(&f, 100);
    for (uint64_t id = 1; id <= 3; id++)
        add(&f, id);
    removed(&f, 2, 0);
    expect_sync(&f, "none");
    expect_live(&f, "nothing");
    expect_bulk(&f, "nothing");
    authority_connected(&f.a, 0, 0);
    expect_sync(&f, "snapshot");
    /* SYNC-BEGIN at once, newest first, no tombstones. */
    expect_live(&f, "begin-snapshot");
    expect_live(&f, "nothing");
    expect_bulk(&f, "put 3");
    expect_bulk(&f, "put 1");
    expect_bulk(&f, "end-snapshot");
    expect_sync(&f, "synced");
    expect_bulk(&f, "nothing");
    teardown(&f);
}
END_TEST

START_TEST(test_delta)
{
    struct fixture f;
    uint64_t version;

    setup(&f, 100);
    for (uint64_t id = 1; id <= 5; id++)
        add(&f, id);
    removed(&f, 5, 0);
    version = f.a.version;
    change(&f, 1);
    removed(&f, 3, 0);
    add(&f, 6);
    authority_connected(&f.a, f.a.epoch, version);
    expect_sync(&f, "delta");
    expect_bulk(&f, "begin-delta");
    expect_bulk(&f, "delete 3");
    expect_bulk(&f, "put 6");
    expect_bulk(&f, "put 1");
    expect_bulk(&f, "end-delta");
    expect_bulk(&f, "nothing");
    teardown(&f);
}
END_TEST

/* What the replica says, and what it gets. version: beside the authority's, which is 6. */
static const struct {
    const char *name;
    bool right_epoch;
    int version;
    const char *sync;
} decisions[] = {
    {"holds nothing", false, -6, "snapshot"},
    {"another epoch, our version", false, 0, "snapshot"},
    {"up to date", true, 0, "delta"},
    {"one behind", true, -1, "delta"},
    {"behind what is forgotten", true, -3, "snapshot"},
    {"at what is forgotten", true, -2, "delta"},
    {"from the future", true, 1, "snapshot"},
};

START_TEST(test_decision)
{
    struct fixture f;

    setup(&f, 100);
    for (uint64_t id = 1; id <= 3; id++)
        add(&f, id);
    removed(&f, 3, 0);
    authority_tick(&f.a, LABEL_REST_US);
    add(&f, 4);
    add(&f, 5);
    ck_assert_uint_eq(f.a.version, 6);
    authority_connected(&f.a, f.a.epoch + !decisions[_i].right_epoch,
                        (uint64_t)((int)f.a.version + decisions[_i].version));
    ck_assert_msg(strcmp(authority_sync_name(f.a.sync), decisions[_i].sync) == 0, "%s",
                  decisions[_i].name);
    drain(&f);
    teardown(&f);
}
END_TEST

START_TEST(test_live_when_synced)
{
    struct fixture f;

    setup(&f, 100);
    authority_connected(&f.a, 0, 0);
    drain(&f);
    add(&f, 1);
    add(&f, 2);
    removed(&f, 1, 0);
    add(&f, 3);
    change(&f, 2);
    change(&f, 2);
    /* In the order of their versions; what changed twice goes out once. */
    expect_live(&f, "delete 1");
    expect_live(&f, "put 3");
    expect_live(&f, "put 2");
    expect_live(&f, "nothing");
    expect_bulk(&f, "nothing");
    change(&f, 3);
    expect_bulk(&f, "put 3");
    removed(&f, 3, 0);
    expect_live(&f, "delete 3");
    expect_live(&f, "nothing");
    teardown(&f);
}
END_TEST

START_TEST(test_changes_during_snapshot)
{
    struct fixture f;

    setup(&f, 100);
    for (uint64_t id = 1; id <= 6; id++)
        add(&f, id);
    authority_connected(&f.a, 0, 0);
    expect_bulk(&f, "begin-snapshot");
    expect_bulk(&f, "put 6");
    /* The cursor stands on 5. */
    removed(&f, 5, 0);
    removed(&f, 4, 0);
    change(&f, 3); /* has not gone yet: goes now, and not again */
    change(&f, 6); /* has gone: goes again */
    add(&f, 7);
    expect_live(&f, "delete 5");
    expect_bulk(&f, "delete 4"); /* bulk never overtakes what is live */
    expect_bulk(&f, "put 3");
    removed(&f, 7, 0);
    expect_bulk(&f, "put 6");
    expect_bulk(&f, "delete 7");
    expect_bulk(&f, "put 2");
    removed(&f, 1, 0);
    expect_bulk(&f, "delete 1");
    expect_bulk(&f, "end-snapshot");
    expect_bulk(&f, "nothing");
    teardown(&f);
}
END_TEST

START_TEST(test_last_sa_deleted_under_the_cursor)
{
    struct fixture f;

    setup(&f, 100);
    add(&f, 1);
    authority_connected(&f.a, 0, 0);
    expect_bulk(&f, "begin-snapshot");
    removed(&f, 1, 0);
    expect_bulk(&f, "delete 1");
    expect_bulk(&f, "end-snapshot");
    add(&f, 2);
    expect_live(&f, "put 2");
    /* The same under the live cursor. */
    add(&f, 3);
    removed(&f, 3, 0);
    expect_live(&f, "delete 3");
    expect_live(&f, "nothing");
    teardown(&f);
}
END_TEST

/* A new SA would not find room where one that the replica still holds has been deleted. */
START_TEST(test_delta_deletes_before_it_adds)
{
    struct fixture f;
    uint64_t version;

    setup(&f, 100);
    add(&f, 1);
    version = f.a.version;
    removed(&f, 1, 0);
    authority_connected(&f.a, f.a.epoch, version);
    add(&f, 2);
    expect_live(&f, "begin-delta");
    expect_live(&f, "delete 1");
    expect_live(&f, "put 2");
    expect_bulk(&f, "end-delta");
    teardown(&f);
}
END_TEST

START_TEST(test_cut_in_the_middle)
{
    struct fixture f;
    uint64_t version;

    setup(&f, 100);
    for (uint64_t id = 1; id <= 3; id++)
        add(&f, id);
    version = f.a.version;
    removed(&f, 2, 0);
    change(&f, 1);
    authority_connected(&f.a, f.a.epoch, version);
    expect_bulk(&f, "begin-delta");
    expect_bulk(&f, "delete 2");
    authority_disconnected(&f.a);
    expect_sync(&f, "none");
    expect_bulk(&f, "nothing");
    authority_connected(&f.a, f.a.epoch, version);
    expect_bulk(&f, "begin-delta");
    expect_bulk(&f, "delete 2");
    expect_bulk(&f, "put 1");
    expect_bulk(&f, "end-delta");
    teardown(&f);
}
END_TEST

/* ------------------------------------------------------------ tombstones and labels */

START_TEST(test_label_rests)
{
    struct fixture f;

    setup(&f, 100);
    add(&f, 7);
    ck_assert_uint_ne(authority_label(&f.a, 7), 7);
    ck_assert_uint_eq(authority_label(&f.a, 8), 8);
    removed(&f, 7, 5 * SECOND);
    for (uint64_t s = 5; s < 65; s++) {
        authority_tick(&f.a, s * SECOND);
        ck_assert_uint_ne(authority_label(&f.a, 7), 7);
    }
    authority_tick(&f.a, 65 * SECOND - 1);
    ck_assert_uint_ne(authority_label(&f.a, 7), 7);
    authority_tick(&f.a, 65 * SECOND);
    ck_assert_uint_eq(authority_label(&f.a, 7), 7);
    ck_assert_ptr_null(f.a.oldest_dead);
    teardown(&f);
}
END_TEST

/* In one turn: the replica hears of no deletion, and their labels are theirs. */
START_TEST(test_revived)
{
    struct fixture f;
    struct sa *sa[2], *fresh;

    setup(&f, 100);
    authority_connected(&f.a, 0, 0);
    for (uint64_t id = 1; id <= 4; id++)
        add(&f, id);
    drain(&f);
    for (unsigned before = 0; before < 2; before++) {
        if (before)
            removed(&f, 4, 0);
        for (unsigned i = 0; i < 2; i++) {
            sa[i] = table_by_id(f.table, OWNER, 1 + i);
            authority_removed(&f.a, sa[i], 0);
            table_remove(f.table, sa[i]);
        }
        fresh = add(&f, 5);
        authority_forget(&f.a, fresh);
        table_remove(f.table, fresh);
        sa_free(fresh);
        for (unsigned i = 2; i-- > 0;) {
            ck_assert_int_eq(table_insert(f.table, sa[i]), 0);
            authority_revived(&f.a, sa[i]);
        }
        if (before)
            expect_live(&f, "delete 4");
        expect_live(&f, "put 2");
        expect_live(&f, "put 1");
        expect_live(&f, "nothing");
    }
    ck_assert_uint_eq(f.a.dead_count, 1);
    removed(&f, 2, 0);
    expect_live(&f, "delete 2");
    expect_live(&f, "nothing");
    authority_tick(&f.a, 60 * SECOND);
    ck_assert_ptr_null(f.a.oldest_dead);
    ck_assert_ptr_null(f.a.newest_dead);
    teardown(&f);
}
END_TEST

/* As many labels as chains, deleted one by one: those of one chain do not hide each other. */
START_TEST(test_labels_in_chains)
{
    struct fixture f;

    setup(&f, 16);
    for (uint32_t i = 0; i < 16; i++)
        add(&f, 1 + i * 65537);
    for (uint32_t i = 0; i < 16; i++)
        removed(&f, 1 + i * 65537, i * SECOND);
    for (uint32_t i = 0; i < 16; i++) {
        for (uint32_t k = 0; k < 16; k++)
            ck_assert_int_eq(authority_label(&f.a, 1 + k * 65537) == 1 + k * 65537, k < i);
        authority_tick(&f.a, i * SECOND + LABEL_REST_US);
    }
    teardown(&f);
}
END_TEST

/*
 * Labels are SSRCs, and strangers choose those: with 50,000 that a simple hash puts into one chain,
 * walks through it would take longer than a test may.
 */
START_TEST(test_chosen_labels)
{
    enum { DELETIONS = 50000 };
    struct sa *sa = sample_sa(SA_SIDE_EXTERNAL, 1, 1);
    struct fixture f;

    setup(&f, DELETIONS);
    sa->owner = OWNER;
    for (uint32_t i = 0; i < DELETIONS; i++) {
        sa->id = i + 1;
        sa->label = i << 16 | i;
        authority_added(&f.a, sa);
        authority_removed(&f.a, sa, 0);
    }
    for (uint32_t i = 0; i < DELETIONS; i++)
        ck_assert_uint_ne(authority_label(&f.a, i << 16 | i), i << 16 | i);
    while (authority_tick(&f.a, LABEL_REST_US))
        ;
    ck_assert_uint_eq(f.a.dead_count, 0);
    sa_free(sa);
    teardown(&f);
}
END_TEST

START_TEST(test_label_of_another_owner)
{
    struct fixture f;
    struct sa *sa;

    setup(&f, 100);
    sa = sample_sa(SA_SIDE_EXTERNAL, 1, 7);
    sa->owner = OWNER + 1;
    ck_assert_int_eq(table_insert(f.table, sa), 0);
    ck_assert_uint_eq(authority_label(&f.a, 7), 7);
    teardown(&f);
}
END_TEST

START_TEST(test_label_clash_gets_another)
{
    struct fixture f;
    uint32_t first, second;

    setup(&f, 100);
    add(&f, 7);
    first = authority_label(&f.a, 7);
    second = authority_label(&f.a, 7);
    ck_assert_uint_ne(first, 7);
    ck_assert_uint_ne(second, 7);
    ck_assert_uint_ne(first, second);
    teardown(&f);
}
END_TEST

/* A deletion that waits to be sent is not forgotten, however long the tunnel takes. */
START_TEST(test_unsent_deletions_stay)
{
    struct fixture f;
    uint64_t version;

    setup(&f, 100);
    for (uint64_t id = 1; id <= 5; id++)
        add(&f, id);
    removed(&f, 5, 0);
    version = f.a.version;
    removed(&f, 1, 0);
    removed(&f, 2, 0);
    authority_connected(&f.a, f.a.epoch, version);
    expect_bulk(&f, "begin-delta");
    authority_tick(&f.a, 2 * LABEL_REST_US);
    /* The replica knew that one before. */
    ck_assert_uint_eq(f.a.dead_count, 2);
    expect_bulk(&f, "delete 2");
    authority_tick(&f.a, 2 * LABEL_REST_US);
    ck_assert_uint_eq(f.a.dead_count, 2);
    expect_bulk(&f, "delete 1");
    expect_bulk(&f, "end-delta");
    removed(&f, 3, 2 * LABEL_REST_US);
    removed(&f, 4, 2 * LABEL_REST_US);
    authority_tick(&f.a, 4 * LABEL_REST_US);
    expect_live(&f, "delete 3");
    authority_tick(&f.a, 4 * LABEL_REST_US);
    expect_live(&f, "delete 4");
    authority_tick(&f.a, 4 * LABEL_REST_US);
    ck_assert_ptr_null(f.a.oldest_dead);
    teardown(&f);
}
END_TEST

/* More deletions than tombstones: a delta that would miss one becomes a snapshot. */
START_TEST(test_too_many_tombstones)
{
    struct fixture f;
    uint64_t version, late;

    setup(&f, 16);
    add(&f, 1);
    version = f.a.version;
    for (uint64_t id = 100; id < 140; id++) {
        add(&f, id);
        removed(&f, id, 0);
    }
    late = f.a.version;
    authority_connected(&f.a, f.a.epoch, version);
    expect_sync(&f, "snapshot");
    authority_disconnected(&f.a);
    /* Nor later, when the tombstones that there were have been forgotten one after the other. */
    add(&f, 2);
    authority_tick(&f.a, LABEL_REST_US);
    authority_connected(&f.a, f.a.epoch, late - 1);
    expect_sync(&f, "snapshot");
    authority_connected(&f.a, f.a.epoch, late);
    expect_sync(&f, "delta");
    drain(&f);
    /* While connected: what is under way starts again as a snapshot. */
    for (uint64_t id = 200; id < 240; id++) {
        add(&f, id);
        removed(&f, id, 2 * LABEL_REST_US);
    }
    expect_sync(&f, "snapshot");
    expect_live(&f, "begin-snapshot");
    drain(&f);
    teardown(&f);
}
END_TEST

/* More deletions than tombstones, but all were sent: no sync begins, labels rest less long. */
START_TEST(test_many_told_deletions)
{
    struct fixture f;
    uint64_t before;

    setup(&f, 16);
    authority_connected(&f.a, 0, 0);
    drain(&f);
    for (uint64_t id = 100; id < 1100; id++) {
        add(&f, id);
        removed(&f, id, 0);
        drain(&f);
        ck_assert_int_eq(f.a.sync, AUTHORITY_SYNCED);
        ck_assert_uint_le(f.a.dead_count, 16);
    }
    ck_assert_uint_ne(authority_label(&f.a, 1099), 1099);
    ck_assert_uint_ne(authority_label(&f.a, 1084), 1084);
    ck_assert_uint_eq(authority_label(&f.a, 1083), 1083);
    /* A delta builds on what is still known, no more. */
    before = f.a.forgotten;
    authority_disconnected(&f.a);
    authority_connected(&f.a, f.a.epoch, before);
    expect_sync(&f, "delta");
    authority_disconnected(&f.a);
    authority_connected(&f.a, f.a.epoch, before - 1);
    expect_sync(&f, "snapshot");
    teardown(&f);
}
END_TEST

/* ------------------------------------------------------------ a second life */

static struct sa *restore(struct fixture *f, uint64_t id, uint64_t version)
{
    struct sa *sa = insert(f, id);

    sa->version = version;
    authority_restored(&f->a, sa);
    return sa;
}

static void setup_restored(struct fixture *f, uint64_t epoch, uint64_t version)
{
    f->table = table_new(100);
    ck_assert_ptr_nonnull(f->table);
    ck_assert_int_eq(authority_init(&f->a, f->table, OWNER), 0);
    authority_resume(&f->a, epoch, version);
    restore(f, 1, version - 2);
    restore(f, 2, version);
}

START_TEST(test_restored)
{
    struct fixture f;
    uint64_t version;

    setup_restored(&f, 77, 10);
    ck_assert_uint_eq(f.a.epoch, 77);
    authority_connected(&f.a, 77, 10);
    expect_bulk(&f, "begin-snapshot");
    expect_bulk(&f, "put 2");
    expect_bulk(&f, "put 1");
    expect_bulk(&f, "end-snapshot");
    authority_disconnected(&f.a);
    version = f.a.version;
    removed(&f, 1, 0);
    add(&f, 3);
    authority_connected(&f.a, 77, version);
    expect_bulk(&f, "begin-delta");
    expect_bulk(&f, "delete 1");
    expect_bulk(&f, "put 3");
    expect_bulk(&f, "end-delta");
    teardown(&f);
}
END_TEST

/*
 * The earlier life made changes after its state was saved, and the replica has
 * them: this life's versions must never look like those.
 */
START_TEST(test_restored_knows_no_unsaved_changes)
{
    struct fixture f;

    uint64_t begin;

    /* The lives before: one that saved version 10, and one that began with that file, too. */
    setup_restored(&f, 77, 10);
    begin = f.a.version;
    teardown(&f);
    for (uint64_t unsaved = 1; unsaved < 20; unsaved++) {
        setup_restored(&f, 77, 10);
        for (uint64_t id = 3; id < 13; id++)
            add(&f, id);
        authority_connected(&f.a, 77, 10 + unsaved);
        expect_sync(&f, "snapshot");
        if (f.a.forgotten > begin) { /* another millisecond */
            authority_connected(&f.a, 77, begin + unsaved);
            expect_sync(&f, "snapshot");
        }
        teardown(&f);
    }
}
END_TEST

START_TEST(test_restored_versions_rise)
{
    struct fixture f;
    uint64_t version;

    setup_restored(&f, 77, 10);
    version = add(&f, 3)->version;
    ck_assert_uint_gt(version, 10);
    authority_connected(&f.a, 77, version);
    expect_sync(&f, "delta");
    teardown(&f);
    /* Even when the clock went back between the lives. */
    setup_restored(&f, 77, UINT64_C(1) << 63);
    version = add(&f, 3)->version;
    ck_assert_uint_gt(version, UINT64_C(1) << 63);
    teardown(&f);
}
END_TEST

START_TEST(test_new_lineages)
{
    struct fixture f, g;

    setup(&f, 10);
    setup(&g, 10);
    ck_assert_uint_ne(f.a.epoch, 0);
    ck_assert_uint_ne(f.a.epoch, g.a.epoch);
    teardown(&f);
    teardown(&g);
}
END_TEST

/* ------------------------------------------------------------ SA-NAK */

static int nak_error(struct fixture *f, uint64_t id, uint32_t generation, int error,
                     const char *reason)
{
    struct wire_nak what = {.id = id, .generation = generation, .error = error};
    uint8_t memory[256];
    struct writer w;
    struct reader r;

    snprintf(what.reason, sizeof(what.reason), "%s", reason);
    writer_init(&w, memory, sizeof(memory));
    wire_put_nak(&w, &what);
    reader_init(&r, memory, writer_length(&w));
    return authority_nak(&f->a, &r);
}

static int nak(struct fixture *f, uint64_t id, uint32_t generation, const char *reason)
{
    return nak_error(f, id, generation, ERR_FORBIDDEN, reason);
}

START_TEST(test_nak)
{
    struct fixture f;
    struct sa *sa;

    setup(&f, 10);
    sa = add(&f, 1);
    authority_connected(&f.a, 0, 0);
    drain(&f);
    ck_assert_int_eq(nak(&f, 1, 9, "another generation"), 0);
    ck_assert_str_eq(sa_text(sa, SA_REFUSED), "");
    ck_assert_int_eq(nak(&f, 5, 1, "no such SA"), 0);
    ck_assert_int_eq(nak(&f, 1, 1, "because"), 0);
    ck_assert_str_eq(sa_text(sa, SA_REFUSED), "because");
    ck_assert_int_eq(nak(&f, 1, 1, ""), 0);
    ck_assert_str_eq(sa_text(sa, SA_REFUSED), err_text(ERR_FORBIDDEN));
    /* It is put again, and nothing is known until the answer. */
    change(&f, 1);
    expect_live(&f, "put 1");
    ck_assert_str_eq(sa_text(sa, SA_REFUSED), "");
    teardown(&f);
}
END_TEST

/* The replica has to delete something first: the SA goes out again, but not for ever. */
START_TEST(test_nak_again)
{
    enum { ROOM = 3 };
    struct fixture f;
    struct sa *sa;

    setup(&f, ROOM);
    sa = add(&f, 1);
    authority_connected(&f.a, 0, 0);
    expect_bulk(&f, "begin-snapshot");
    expect_bulk(&f, "put 1");
    for (int i = 0; i < ROOM; i++) {
        if (i == 1)
            drain(&f);
        ck_assert_int_eq(nak_error(&f, 1, 9, ERR_AGAIN, "another generation"), 0);
        expect_live(&f, "nothing");
        ck_assert_int_eq(nak_error(&f, 1, 1, ERR_AGAIN, "not yet"), 0);
        ck_assert_str_eq(sa_text(sa, SA_REFUSED), "");
        expect_live(&f, "put 1");
        expect_live(&f, "nothing");
    }
    ck_assert_int_eq(nak_error(&f, 1, 1, ERR_AGAIN, "not yet"), 0);
    expect_live(&f, "nothing");
    ck_assert_str_eq(sa_text(sa, SA_REFUSED), "not yet");
    authority_disconnected(&f.a);
    authority_connected(&f.a, 0, 0);
    drain(&f);
    ck_assert_int_eq(nak_error(&f, 1, 1, ERR_AGAIN, "not yet"), 0);
    expect_live(&f, "put 1");
    teardown(&f);
}
END_TEST

START_TEST(test_nak_of_another_owner)
{
    struct fixture f;
    struct sa *sa = sample_sa(SA_SIDE_EXTERNAL, 1, 7);

    setup(&f, 10);
    sa->owner = OWNER + 1;
    ck_assert_int_eq(table_insert(f.table, sa), 0);
    ck_assert_int_eq(nak(&f, 1, 1, "because"), 0);
    ck_assert_str_eq(sa_text(sa, SA_REFUSED), "");
    teardown(&f);
}
END_TEST

START_TEST(test_nak_unreadable)
{
    struct fixture f;
    struct reader r;

    setup(&f, 10);
    reader_init(&r, "\x00", 1);
    ck_assert_int_eq(authority_nak(&f.a, &r), ERR_PROTOCOL);
    reader_init(&r, NULL, 0);
    ck_assert_int_eq(authority_nak(&f.a, &r), ERR_PROTOCOL);
    teardown(&f);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("authority");
    TCase *tc = tcase_create("authority");
    int result;

    tcase_add_checked_fixture(tc, sample_engine_start, NULL);
    tcase_add_loop_test(tc, test_between_sites, 0, 4);
    tcase_add_test(tc, test_stays_inside);
    tcase_add_test(tc, test_many_stay_inside);
    tcase_add_test(tc, test_hairpins_unknown);
    tcase_add_test(tc, test_snapshot);
    tcase_add_test(tc, test_delta);
    tcase_add_loop_test(tc, test_decision, 0, sizeof(decisions) / sizeof(decisions[0]));
    tcase_add_test(tc, test_live_when_synced);
    tcase_add_test(tc, test_changes_during_snapshot);
    tcase_add_test(tc, test_last_sa_deleted_under_the_cursor);
    tcase_add_test(tc, test_delta_deletes_before_it_adds);
    tcase_add_test(tc, test_cut_in_the_middle);
    tcase_add_test(tc, test_label_rests);
    tcase_add_test(tc, test_revived);
    tcase_add_test(tc, test_labels_in_chains);
    tcase_add_test(tc, test_chosen_labels);
    tcase_add_test(tc, test_label_of_another_owner);
    tcase_add_test(tc, test_label_clash_gets_another);
    tcase_add_test(tc, test_unsent_deletions_stay);
    tcase_add_test(tc, test_too_many_tombstones);
    tcase_add_test(tc, test_many_told_deletions);
    tcase_add_test(tc, test_restored);
    tcase_add_test(tc, test_restored_knows_no_unsaved_changes);
    tcase_add_test(tc, test_restored_versions_rise);
    tcase_add_test(tc, test_new_lineages);
    tcase_add_test(tc, test_nak);
    tcase_add_test(tc, test_nak_again);
    tcase_add_test(tc, test_nak_of_another_owner);
    tcase_add_test(tc, test_nak_unreadable);
    suite_add_tcase(suite, tc);
    result = unit_run(suite);
    sample_engine_stop();
    return result;
}
