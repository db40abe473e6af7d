#include "inner-relay/state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/protocol.h"
#include "common/sa/far.h"
#include "common/sa/table.h"
#include "common/sa/wire.h"
#include "common/srtp/srtp.h"
#include "common/tunnel/frame.h"
#include "tests/unit/core.h"
#include "tests/unit/unit.h"

enum {
    ROOM = 400,
    PIECE = (INNER_LINKS_MAX + 1) * FRAME_MAX_OCTETS, /* the least that state_begin takes */
    FILE_SIZE = 512 * 1024,
};

static const uint64_t WALL_US = 1700000000000000;
static const uint64_t MAX_AGE_US = 600000000;

static struct core core, other; /* the life that wrote, and the one that reads */
static uint8_t file[FILE_SIZE];
static size_t file_length;

static void start_engine(void)
{
    ck_assert(core_start_engine());
}

static void setup(void)
{
    ck_assert(core_init(&core, ROOM));
    ck_assert(core_init(&other, ROOM));
    file_length = 0;
}

static void teardown(void)
{
    core_fini(&core);
    core_fini(&other);
}

/* Half of them on each link, and all that an SA can have somewhere. */
static struct sa *add(unsigned n)
{
    struct admit_request request;
    struct sa *sa;

    core_request(&request, n);
    snprintf(request.dmz, sizeof(request.dmz), n % 2 ? "west" : "east");
    if (n % 3 == 0)
        request.source.mux = request.destination.mux = true;
    if (n % 5 == 0)
        snprintf(request.listener, sizeof(request.listener), "in%u", n % 4);
    if (n % 7 == 0)
        snprintf(request.to_listener, sizeof(request.to_listener), "four");
    for (; request.ssrc_count < 1 + n % SA_SSRC_MAX; request.ssrc_count++)
        request.ssrc[request.ssrc_count] = n << 16 | request.ssrc_count;
    request.media_index = (uint8_t)n;
    request.media_timeout_s = n;
    request.rate = 1000 + n;
    sa = core_add(&core, &request);
    ck_assert_ptr_nonnull(sa);
    sa->stream[0].index = (struct srtp_index){.started = true,
                                              .rtcp_started = n % 2 == 0,
                                              .highest = (uint64_t)n << 16 | 0xfff0,
                                              .rtcp_highest = n % 2 == 0 ? 77 * n : 0};
    return sa;
}

/* ------------------------------------------------------------ writing in pieces */

static void keep(const struct writer *w)
{
    ck_assert(!w->failed);
    ck_assert_uint_le(file_length + writer_length(w), sizeof(file));
    memcpy(file + file_length, w->start, writer_length(w));
    file_length += writer_length(w);
}

/* Returns whether there is more to come. */
static bool write_piece(struct state_writer *state, bool first)
{
    static uint8_t memory[PIECE];
    struct writer w;

    writer_init(&w, memory, sizeof(memory));
    if (first) {
        file_length = 0;
        state_begin(state, &core.inner, WALL_US, &w);
    }
    ck_assert_int_eq(state_more(state, &w), 0);
    keep(&w);
    return !state->finished;
}

static void write_file(void)
{
    struct state_writer state;
    bool first = true;

    for (; write_piece(&state, first); first = false)
        ;
    state_end(&state);
}

/* As the daemon does it: the file is told first. */
static void remove_sa(struct state_writer *state, uint64_t id)
{
    struct sa *sa = inner_find_sa(&core.inner, id);

    ck_assert_ptr_nonnull(sa);
    if (state)
        ck_assert_int_eq(state_deleted(state, id), 0);
    inner_delete(&core.inner, sa, 1);
}

static void change(uint64_t id)
{
    struct sa *sa = inner_find_sa(&core.inner, id);

    sa->media_timeout_s += 10000;
    authority_changed(&core.inner.links[sa->owner].authority, sa);
}

/* ------------------------------------------------------------ reading */

static int read_octets(const uint8_t *data, size_t length, uint64_t wall_us, size_t *count,
                       char *error, size_t error_size)
{
    /* As long as the input: a tool that watches the heap sees every octet too far. */
    uint8_t *copy = malloc(length ? length : 1);
    int result;

    ck_assert_ptr_nonnull(copy);
    memcpy(copy, data, length);
    error[0] = '\0';
    result = state_read(&other.inner, copy, length, MAX_AGE_US, wall_us, 5000000, count, error,
                        error_size);
    free(copy);
    return result;
}

static size_t read_back(void)
{
    char error[192];
    size_t count = 0;

    ck_assert_msg(read_octets(file, file_length, WALL_US + 1, &count, error, sizeof(error)) == 0,
                  "%s", error);
    return count;
}

static void check_untouched(void)
{
    ck_assert_uint_eq(table_count(other.inner.table), 0);
    ck_assert_uint_eq(other.inner.next_id, 1);
    for (unsigned i = 0; i < other.inner.link_count; i++) {
        ck_assert_uint_eq(other.inner.links[i].authority.version, 0);
        ck_assert_ptr_null(other.inner.links[i].authority.oldest);
    }
}

static void check_refused(const uint8_t *data, size_t length, uint64_t wall_us, const char *says)
{
    char error[192];
    size_t count = 4711;

    ck_assert_int_lt(read_octets(data, length, wall_us, &count, error, sizeof(error)), 0);
    ck_assert_msg(strlen(error) > 5 && strstr(error, says), "\"%s\" does not say \"%s\"", error,
                  says);
    ck_assert_uint_eq(count, 4711);
    check_untouched();
}

static void check_transport(const struct sa_transport *a, const struct sa_transport *b)
{
    ck_assert(addr_equal(&a->rtp, &b->rtp) && addr_equal(&a->rtcp, &b->rtcp));
    ck_assert_int_eq(a->mux, b->mux);
}

static void check_streams(const struct sa *a, const struct sa *b)
{
    ck_assert_uint_eq(a->stream_count, b->stream_count);
    for (unsigned i = 0; i < a->stream_count; i++) {
        const struct srtp_index *x = &a->stream[i].index, *y = &b->stream[i].index;

        ck_assert_uint_eq(a->stream[i].ssrc, b->stream[i].ssrc);
        ck_assert_int_eq(a->stream[i].origin, b->stream[i].origin);
        ck_assert(x->started == y->started && x->highest == y->highest);
        ck_assert_int_eq(x->hinted, y->hinted);
        ck_assert(x->rtcp_started == y->rtcp_started && x->rtcp_highest == y->rtcp_highest);
    }
}

static void check_same(const struct sa *a, const struct sa *b)
{
    struct srtp_key key;

    ck_assert_uint_eq(a->owner, b->owner);
    ck_assert_uint_eq(a->generation, b->generation);
    ck_assert_uint_eq(a->version, b->version);
    ck_assert_uint_eq(a->label, b->label);
    ck_assert_str_eq(sa_text(a, SA_CALL_ID), sa_text(b, SA_CALL_ID));
    ck_assert_uint_eq(a->media_index, b->media_index);
    ck_assert_uint_eq(a->created_us, b->created_us);
    ck_assert_int_eq(a->side, b->side);
    check_transport(&a->source, &b->source);
    check_transport(&a->destination, &b->destination);
    ck_assert_str_eq(sa_text(a, SA_LISTENER_IN), sa_text(b, SA_LISTENER_IN));
    ck_assert_str_eq(sa_text(a, SA_LISTENER_OUT), sa_text(b, SA_LISTENER_OUT));
    ck_assert_uint_eq(a->reverse, b->reverse);
    ck_assert_uint_eq(a->media_timeout_s, b->media_timeout_s);
    ck_assert_ptr_eq(a->suite, b->suite);
    if (a->srtp) {
        ck_assert_int_eq(srtp_session_key(a->srtp, SRTP_KEY_MASTER, &key), 0);
        ck_assert(srtp_session_is(b->srtp, a->suite, &key));
        ck_assert_uint_eq(srtp_session_lifetime(b->srtp), key.lifetime);
    } else {
        ck_assert(sa_is_assigned(b) && !b->srtp);
    }
    ck_assert_ptr_null(b->old);
    ck_assert_uint_eq(a->rate.octets_per_second, b->rate.octets_per_second);
    check_streams(a, b);
    ck_assert_uint_eq(b->installed_us, 5000000);
}

static void check_one(void *ctx, struct sa *sa)
{
    (void)ctx;
    ck_assert_ptr_nonnull(inner_find_sa(&other.inner, sa->id));
    check_same(sa, inner_find_sa(&other.inner, sa->id));
}

/* The change list of each link holds its SAs in rising order of versions. */
static void check_lists(void)
{
    for (unsigned i = 0; i < other.inner.link_count; i++) {
        const struct authority *authority = &other.inner.links[i].authority;
        size_t count = 0;

        for (const struct sa *sa = authority->oldest; sa; sa = sa->newer, count++) {
            ck_assert(!sa->newer || sa->newer->version > sa->version);
            ck_assert_uint_lt(sa->version, authority->version);
        }
        ck_assert_uint_eq(count, table_count_owner(other.inner.table, i));
    }
}

static void check_all_same(size_t count)
{
    ck_assert_uint_eq(table_count(core.inner.table), count);
    ck_assert_uint_eq(read_back(), count);
    ck_assert_uint_eq(table_count(other.inner.table), count);
    table_each(core.inner.table, check_one, NULL);
    check_lists();
}

/* ------------------------------------------------------------ round trips */

START_TEST(test_round_trip)
{
    unsigned pieces = 1;
    struct state_writer state;

    for (unsigned n = 0; n < 300; n++)
        add(n);
    while (write_piece(&state, pieces == 1))
        pieces++;
    state_end(&state);
    ck_assert_uint_gt(pieces, 2);
    check_all_same(300);
}
END_TEST

/* An assigned SSRC is the sender's after a restart, too. */
START_TEST(test_assigned)
{
    for (unsigned n = 0; n < 4; n++) {
        struct admit_request request;

        core_request(&request, n);
        if (n >= 2) {
            struct sa_transport from = request.source;

            request.side = SA_SIDE_INTERNAL;
            request.source = request.destination;
            request.destination = from;
            request.ssrc_count = 0;
            request.assign_ssrc = true;
        }
        if (n == 3) {
            request.suite = NULL;
            request.key.kind = SRTP_KEY_NONE;
        }
        ck_assert_ptr_nonnull(core_add(&core, &request));
    }
    write_file();
    check_all_same(4);
}
END_TEST

static struct addr addr_of(const char *text)
{
    struct addr addr = {0};

    ck_assert_int_eq(addr_parse(text, &addr), 0);
    return addr;
}

/* The dmz-relay says where it hears the sender. */
static void report_bound(struct sa *sa, const char *rtp, const char *rtcp)
{
    struct sa_report report = {.id = sa->id,
                               .generation = sa->generation,
                               .bound = {addr_of(rtp), addr_of(rtcp)},
                               .age_us = REPORT_NEVER,
                               .stray_age_us = REPORT_NEVER};

    ck_assert_int_eq(far_store(sa, &report, 1000000), 0);
}

/* A call of two whose sources are learned. */
static void add_learned(struct sa **outside, struct sa **inside)
{
    struct admit_request request;

    core.inner.options.learns_ssrcs = true;
    core_request(&request, 1);
    request.ssrc_count = 0;
    request.source_policy = SOURCE_HINTED;
    request.hint = addr_of("198.18.0.9:5060");
    *outside = core_add(&core, &request);
    ck_assert_ptr_nonnull(*outside);
    core_request(&request, 2);
    request.side = SA_SIDE_INTERNAL;
    request.source.rtp = addr_of("10.1.1.1:7000");
    request.source.rtcp = addr_of("10.1.1.1:7001");
    request.source_policy = SOURCE_OPEN;
    request.destination = (struct sa_transport){0};
    request.reverse = (*outside)->id;
    *inside = core_add(&core, &request);
    ck_assert_ptr_nonnull(*inside);
}

/*
 * Where a sender inside was heard lives on, and where the dmz-relay hears one outside, beside what
 * was signalled. What it says of one inside counts for nothing.
 */
START_TEST(test_learned)
{
    struct addr moved = addr_of("198.18.0.77:9000"), heard = addr_of("10.1.1.2:7100");
    struct sa *outside, *inside, *sa;

    add_learned(&outside, &inside);
    table_learn_ssrc(core.inner.table, outside, 4711);
    report_bound(outside, "198.18.0.77:9000", "198.18.0.77:9001");
    inside->bound[0] = true;
    table_move_source(core.inner.table, inside, false, &heard);
    report_bound(inside, "10.6.6.6:6666", "10.6.6.6:6667");
    write_file();
    ck_assert_uint_eq(read_back(), 2);

    sa = inner_find_sa(&other.inner, outside->id);
    ck_assert_int_eq(sa->source_policy, SOURCE_HINTED);
    ck_assert(addr_equal(&sa->hint, &outside->hint));
    ck_assert(addr_equal(&sa->source.rtp, &outside->source.rtp));
    ck_assert(addr_equal(&sa->source.rtcp, &outside->source.rtcp));
    ck_assert(!sa->bound[0] && !sa->bound[1]);
    ck_assert(addr_equal(far_bound(sa, false), &moved));
    ck_assert_uint_eq(far_bound(sa, true)->port, 9001);
    ck_assert_uint_eq(sa->stream_count, 1);
    ck_assert_uint_eq(sa->stream[0].ssrc, 4711);
    ck_assert_int_eq(sa->stream[0].origin, SSRC_ORIGIN_LEARNED);

    sa = inner_find_sa(&other.inner, inside->id);
    ck_assert_int_eq(sa->source_policy, SOURCE_OPEN);
    ck_assert(sa->bound[0] && !sa->bound[1]);
    ck_assert(addr_equal(&sa->source.rtp, &heard));
    ck_assert(addr_equal(&sa->source.rtcp, &inside->source.rtcp));
    ck_assert_ptr_null(sa->far);
    ck_assert_int_eq(sa->destination.rtp.family, 0);
}
END_TEST

/* The life that wrote ends, and one that has read goes on. */
static void live_again(void)
{
    char error[192];
    size_t count;

    core_fini(&core);
    ck_assert(core_init(&core, ROOM));
    ck_assert_int_eq(state_read(&core.inner, file, file_length, MAX_AGE_US, WALL_US + 1, 5000000,
                                &count, error, sizeof(error)),
                     0);
}

/* The next file has it again, and so has what the dmz-relay is told. */
START_TEST(test_learned_again)
{
    struct addr moved = addr_of("198.18.0.77:9000");
    struct sa *outside, *inside, *put = sa_new();
    uint8_t memory[FRAME_MAX_OCTETS];
    struct srtp_key key;
    struct writer w;
    struct reader r;

    add_learned(&outside, &inside);
    report_bound(outside, "198.18.0.77:9000", "198.18.0.77:9001");
    write_file();
    live_again();
    write_file();
    ck_assert_uint_eq(read_back(), 2);
    writer_init(&w, memory, sizeof(memory));
    wire_put_sa(&w, inner_find_sa(&other.inner, 1), WIRE_REPLICA_FULL);
    reader_init(&r, memory, writer_length(&w));
    ck_assert_int_eq(wire_get_sa(&r, put, &key), 0);
    ck_assert(put->bound[0] && put->bound[1]);
    ck_assert(addr_equal(&put->source.rtp, &moved));
    sa_free(put);
}
END_TEST

START_TEST(test_empty)
{
    write_file();
    ck_assert_uint_eq(read_back(), 0);
    ck_assert_uint_eq(other.inner.links[0].authority.epoch, core.inner.links[0].authority.epoch);
}
END_TEST

/* What the earlier life did after its last file is unknown: nothing that it gave out comes again.
 */
START_TEST(test_numbers_jump)
{
    for (unsigned n = 0; n < 10; n++)
        add(n);
    remove_sa(NULL, 10);
    write_file();
    ck_assert_uint_eq(read_back(), 9);
    ck_assert_uint_ge(other.inner.next_id, core.inner.next_id + 5000);
    for (unsigned i = 0; i < 2; i++) {
        const struct authority *before = &core.inner.links[i].authority;
        struct authority *after = &other.inner.links[i].authority;

        ck_assert_uint_eq(after->epoch, before->epoch);
        ck_assert_uint_ge(after->version, before->version + 1000000);
        /* No replica can take a delta: what it may lack is not known. */
        authority_connected(after, before->epoch, before->version);
        ck_assert_str_eq(authority_sync_name(after->sync), "snapshot");
    }
}
END_TEST

/* A crash, and another one soon after. */
START_TEST(test_twice)
{
    uint64_t version;

    for (unsigned n = 0; n < 10; n++)
        add(n);
    write_file();
    read_back();
    version = other.inner.links[0].authority.version;
    core_fini(&core);
    core = other;
    ck_assert(core_init(&other, ROOM));
    core.inner.hooks.ctx = core.inner.out.ctx = &core;
    for (unsigned i = 0; i < 2; i++)
        core.inner.links[i].inner = &core.inner;
    add(10);
    write_file();
    ck_assert_uint_eq(read_back(), 11);
    ck_assert_uint_gt(other.inner.links[0].authority.version, version);
}
END_TEST

START_TEST(test_link_that_is_gone)
{
    for (unsigned n = 0; n < 10; n++)
        add(n);
    write_file();
    core_fini(&other);
    ck_assert(core_init(&other, ROOM));
    authority_fini(&other.inner.links[1].authority);
    other.inner.link_count = 1;
    ck_assert_uint_eq(read_back(), 5);
    ck_assert_uint_eq(table_count_owner(other.inner.table, 0), 5);
}
END_TEST

START_TEST(test_less_room)
{
    for (unsigned n = 0; n < 10; n++)
        add(n);
    write_file();
    core_fini(&other);
    ck_assert(core_init(&other, 4));
    ck_assert_uint_eq(read_back(), 4);
    check_lists();
}
END_TEST

/* ------------------------------------------------------------ changes meanwhile */

/* After the first piece, which is far from the end of either link. */
START_TEST(test_added_meanwhile)
{
    struct state_writer state;

    for (unsigned n = 0; n < 300; n++)
        add(n);
    ck_assert(write_piece(&state, true));
    add(300);
    add(301);
    while (write_piece(&state, false))
        ;
    state_end(&state);
    check_all_same(302);
    ck_assert_uint_gt(other.inner.next_id, 302);
}
END_TEST

/* Those that are in the file already, those that are not, and the newest. */
START_TEST(test_changed_meanwhile)
{
    struct state_writer state;
    unsigned piece = 0;

    for (unsigned n = 0; n < 300; n++)
        add(n);
    for (bool more = true; more; piece++) {
        more = write_piece(&state, piece == 0);
        if (piece == 0) {
            change(1);
            change(2);
            change(150);
            change(299);
            change(300);
            change(300);
        }
    }
    state_end(&state);
    check_all_same(300);
}
END_TEST

/* To the next suite, with MKI and lifetime. */
static void rekey_one(uint64_t id, unsigned mki_length, uint64_t lifetime)
{
    struct sa *sa = inner_find_sa(&core.inner, id);
    const struct suite *suite = suite_get((sa->suite->id + 1) % SUITE_COUNT);
    struct srtp_key key = {.kind = SRTP_KEY_MASTER, .lifetime = lifetime};
    struct admit_error error;

    key.length = suite_material_octets(suite);
    memset(key.octets, (int)(0x80 + id % 64), key.length);
    key.mki_length = mki_length;
    memset(key.mki, 0x4d, mki_length);
    ck_assert_int_eq(admit_rekey(&core.inner, sa, suite, &key, 3000000, &error), 0);
}

/* With the new key, its MKI and lifetime, and where the ROC may go on; the old key is gone. */
START_TEST(test_rekeyed)
{
    static const struct {
        unsigned mki_length;
        uint64_t lifetime;
    } rows[] = {{0, SRTP_LIFETIME_MAX}, {4, 4711}, {SRTP_MKI_MAX_OCTETS, 1}};
    struct srtp_key key;
    const struct sa *sa;
    size_t length;

    add(20);
    rekey_one(1, rows[_i].mki_length, rows[_i].lifetime);
    write_file();
    check_all_same(1);
    sa = inner_find_sa(&other.inner, 1);
    ck_assert_uint_eq(sa->generation, 2);
    ck_assert_uint_eq(srtp_session_lifetime(sa->srtp), rows[_i].lifetime);
    (void)srtp_session_mki(sa->srtp, &length);
    ck_assert_uint_eq(length, rows[_i].mki_length);
    ck_assert_int_eq(srtp_session_key(sa->srtp, SRTP_KEY_MASTER, &key), 0);
    ck_assert_uint_eq(key.octets[0], 0x81);
    ck_assert(sa->stream[0].index.hinted && !sa->stream[0].index.started);
    ck_assert_uint_eq(sa->stream[0].index.highest, 20 << 16 | 0xfff0);
}
END_TEST

/* A key that has lived its life comes back as one. */
START_TEST(test_expired)
{
    struct sa *sa = add(20);
    struct srtp_key key;

    ck_assert_int_eq(srtp_session_key(sa->srtp, SRTP_KEY_MASTER, &key), 0);
    key.lifetime = 0;
    ck_assert_int_eq(sa_open(sa, core.inner.options.engine, &key), 0);
    write_file();
    check_all_same(1);
    ck_assert_uint_eq(srtp_session_lifetime(inner_find_sa(&other.inner, 1)->srtp), 0);
}
END_TEST

/* Some stand in the file with their old key already, some do not yet: the new one counts. */
START_TEST(test_rekeyed_meanwhile)
{
    struct state_writer state;
    unsigned piece = 0;

    for (unsigned n = 0; n < 300; n++)
        add(n);
    for (bool more = true; more; piece++) {
        more = write_piece(&state, piece == 0);
        for (uint64_t id = 1; piece == 0 && id <= 300; id += 7)
            rekey_one(id, 4, 1000 + id);
        if (piece == 0)
            rekey_one(300, 1, 5);
    }
    state_end(&state);
    ck_assert_uint_gt(piece, 1);
    check_all_same(300);
}
END_TEST

/* The one that stands next, and is the newest as well: it is moved onto its own place. */
START_TEST(test_last_one_changed_meanwhile)
{
    struct state_writer state;
    struct inner_link *east = &core.inner.links[0];
    unsigned turns = 0;

    for (unsigned n = 0; n < 300; n++)
        add(n);
    for (bool more = true, first = true; more; first = false) {
        more = write_piece(&state, first);
        /* Only what stands next is left: all others are deleted. */
        if (first) {
            while (east->authority.newest != east->authority.save_next)
                remove_sa(&state, east->authority.newest->id);
            change(east->authority.newest->id);
            turns++;
        }
    }
    state_end(&state);
    ck_assert_uint_eq(turns, 1);
    check_all_same(table_count(core.inner.table));
}
END_TEST

START_TEST(test_deleted_meanwhile)
{
    struct state_writer state;
    unsigned piece = 0;

    for (unsigned n = 0; n < 300; n++)
        add(n);
    for (bool more = true; more; piece++) {
        more = write_piece(&state, piece == 0);
        if (piece > 0)
            continue;
        remove_sa(&state, 1);
        remove_sa(&state, 3);
        change(5);
        remove_sa(&state, 5);
        /* The very one that would be written next. */
        remove_sa(&state, core.inner.links[0].authority.save_next->id);
        remove_sa(&state, 300);
        /* More than the first list of ids holds. */
        for (uint64_t id = 100; id < 200; id++) {
            if (inner_find_sa(&core.inner, id))
                remove_sa(&state, id);
        }
    }
    state_end(&state);
    check_all_same(table_count(core.inner.table));
    ck_assert_uint_le(table_count(other.inner.table), 196);
    ck_assert_ptr_null(inner_find_sa(&other.inner, 1));
    ck_assert_ptr_null(inner_find_sa(&other.inner, 5));
}
END_TEST

/* The source of one that was deleted may have a new SA in the same file. */
START_TEST(test_replaced_meanwhile)
{
    struct state_writer state;
    struct sa *sa;

    for (unsigned n = 0; n < 300; n++)
        add(n);
    ck_assert(write_piece(&state, true));
    remove_sa(&state, 1);
    sa = add(0);
    while (write_piece(&state, false))
        ;
    state_end(&state);
    check_all_same(300);
    ck_assert_uint_eq(sa->id, 301);
}
END_TEST

/* Every change that may be, at every piece of the writing. */
START_TEST(test_churn)
{
    struct state_writer state;
    unsigned piece = 0, n = 300;
    uint64_t oldest = 1;

    for (unsigned i = 0; i < 300; i++)
        add(i);
    for (bool more = true; more && piece < 60; piece++) {
        more = write_piece(&state, piece == 0);
        /* The end recedes for a while. */
        if (more && piece < 50) {
            change(oldest + 2);
            remove_sa(&state, oldest++);
            add(n++);
            change(n);
        }
    }
    ck_assert(state.finished);
    state_end(&state);
    /* What came after a link was through is left for the next file; nothing is there that is not
     * so. */
    ck_assert_uint_gt(read_back(), 200);
    for (uint64_t id = 1; id < oldest; id++)
        ck_assert_ptr_null(inner_find_sa(&other.inner, id));
    check_lists();
}
END_TEST

/* ------------------------------------------------------------ unfit files */

static void write_three(void)
{
    for (unsigned n = 0; n < 3; n++)
        add(n);
    write_file();
}

START_TEST(test_truncated)
{
    write_three();
    for (size_t length = 0; length < file_length; length++)
        check_refused(file, length, WALL_US, "");
    ck_assert_uint_eq(read_back(), 3);
}
END_TEST

START_TEST(test_longer)
{
    write_three();
    for (unsigned more = 1; more < 64; more++) {
        memcpy(file + file_length, file, more);
        check_refused(file, file_length + more, WALL_US, "");
    }
}
END_TEST

START_TEST(test_bits)
{
    write_three();
    for (size_t bit = 0; bit < 8 * file_length; bit++) {
        file[bit / 8] ^= (uint8_t)(1u << bit % 8);
        check_refused(file, file_length, WALL_US, "");
        file[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    ck_assert_uint_eq(read_back(), 3);
}
END_TEST

/* Records that swap places, or are left out. */
START_TEST(test_records)
{
    size_t start[16], count = 0, at = 0;
    struct frame frame;

    write_three();
    while (at < file_length) {
        start[count++] = at;
        at += (size_t)frame_parse(file + at, file_length - at, &frame);
    }
    start[count] = at;
    ck_assert_uint_eq(count, 7); /* head, two links, three SAs, end */
    for (size_t i = 0; i < count; i++) {
        size_t length = start[i + 1] - start[i];
        uint8_t without[FILE_SIZE / 64], twice[FILE_SIZE / 64];

        memcpy(without, file, start[i]);
        memcpy(without + start[i], file + start[i + 1], at - start[i + 1]);
        check_refused(without, at - length, WALL_US, "");
        memcpy(twice, file, start[i + 1]);
        memcpy(twice + start[i + 1], file + start[i], at - start[i]);
        check_refused(twice, at + length, WALL_US, "");
    }
}
END_TEST

START_TEST(test_age)
{
    static const struct {
        int64_t later;
        const char *says; /* NULL: fit */
    } rows[] = {{-1, "future"},       {-86400000000, "future"},
                {600000001, "older"}, {86400000000000, "older"},
                {600000000, NULL},    {0, NULL}};

    write_three();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char error[192];
        size_t count = 0;

        if (rows[i].says) {
            check_refused(file, file_length, WALL_US + (uint64_t)rows[i].later, rows[i].says);
            continue;
        }
        core_fini(&other);
        ck_assert(core_init(&other, ROOM));
        ck_assert_int_eq(read_octets(file, file_length, WALL_US + (uint64_t)rows[i].later, &count,
                                     error, sizeof(error)),
                         0);
        ck_assert_uint_eq(count, 3);
        core_fini(&other);
        ck_assert(core_init(&other, ROOM));
    }
}
END_TEST

START_TEST(test_no_state_file)
{
    static const char text[] = "[dmz east]\naddress = 192.0.2.1:5061\nname = dmz.example\n";
    uint8_t zero[256] = {0};

    check_refused((const uint8_t *)text, sizeof(text) - 1, WALL_US, "");
    check_refused(zero, sizeof(zero), WALL_US, "");
    check_refused(zero, 0, WALL_US, "not whole");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("state");
    TCase *tc = tcase_create("state");

    suite_add_tcase(suite, tc);
    tcase_set_timeout(tc, 60);
    tcase_add_unchecked_fixture(tc, start_engine, core_stop_engine);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, test_round_trip);
    tcase_add_test(tc, test_assigned);
    tcase_add_test(tc, test_learned);
    tcase_add_test(tc, test_learned_again);
    tcase_add_test(tc, test_empty);
    tcase_add_test(tc, test_numbers_jump);
    tcase_add_test(tc, test_twice);
    tcase_add_test(tc, test_link_that_is_gone);
    tcase_add_test(tc, test_less_room);
    tcase_add_test(tc, test_added_meanwhile);
    tcase_add_test(tc, test_changed_meanwhile);
    tcase_add_loop_test(tc, test_rekeyed, 0, 3);
    tcase_add_test(tc, test_expired);
    tcase_add_test(tc, test_rekeyed_meanwhile);
    tcase_add_test(tc, test_last_one_changed_meanwhile);
    tcase_add_test(tc, test_deleted_meanwhile);
    tcase_add_test(tc, test_replaced_meanwhile);
    tcase_add_test(tc, test_churn);
    tcase_add_test(tc, test_truncated);
    tcase_add_test(tc, test_longer);
    tcase_add_test(tc, test_bits);
    tcase_add_test(tc, test_records);
    tcase_add_test(tc, test_age);
    tcase_add_test(tc, test_no_state_file);
    return unit_run(suite);
}
