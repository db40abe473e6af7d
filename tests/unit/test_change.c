/* An SA becomes what a later request of its call says. */
#include <string.h>

#include "common/base/err.h"
#include "common/base/protocol.h"
#include "common/base/random.h"
#include "common/base/writer.h"
#include "common/sa/candidates.h"
#include "common/sa/far.h"
#include "common/sa/learn.h"
#include "common/sa/rekey.h"
#include "common/sa/table.h"
#include "common/sa/wire.h"
#include "common/srtp/srtp.h"
#include "inner-relay/admit.h"
#include "tests/unit/core.h"
#include "tests/unit/sample.h"
#include "tests/unit/unit.h"

enum { ROOM = 32, NOW = 5000000 };

static struct core core;

static void start_engine(void)
{
    ck_assert(core_start_engine());
}

static void setup(void)
{
    ck_assert(core_init(&core, ROOM));
    core_introduce(&core, 0, 100, 100);
    core.inner.options.learns_ssrcs = true;
}

static void teardown(void)
{
    core_fini(&core);
}

/* All that an SA is, and what was done beside. */
struct picture {
    size_t count;
    uint64_t next_id, version;
    unsigned kicked, changed;
    size_t length;
    uint8_t octets[4096];
};

static void take_picture(struct picture *picture, const struct sa *sa)
{
    struct writer w;

    memset(picture, 0, sizeof(*picture));
    picture->count = table_count(core.inner.table);
    picture->next_id = core.inner.next_id;
    picture->version = core.inner.links[0].authority.version;
    picture->kicked = core.kicked[0];
    picture->changed = core.changed;
    writer_init(&w, picture->octets, sizeof(picture->octets));
    wire_put_sa(&w, sa, WIRE_STATE);
    ck_assert(!w.failed);
    picture->length = writer_length(&w);
}

/* An SA, and the request that made it. */
struct line {
    struct admit_request request;
    struct sa *sa;
};

static void add(struct line *c, unsigned n, enum sa_side side)
{
    core_request(&c->request, n);
    c->request.side = side;
    if (side == SA_SIDE_INTERNAL) {
        struct sa_transport source = c->request.source;

        c->request.source = c->request.destination;
        c->request.destination = source;
    }
    c->sa = core_add(&core, &c->request);
    ck_assert_ptr_nonnull(c->sa);
}

static int change(struct line *c, struct admit_error *error)
{
    struct picture before, after;
    int expected, result;

    take_picture(&before, c->sa);
    expected = admit_check(&core.inner, &c->request, c->sa, error);
    take_picture(&after, c->sa);
    ck_assert_mem_eq(&before, &after, sizeof(before));
    result = admit_change(&core.inner, c->sa, &c->request, NOW, error);
    ck_assert_int_eq(result, expected);
    return result;
}

static void change_ok(struct line *c)
{
    struct admit_error error;

    ck_assert_msg(change(c, &error) == 0, "%s", error.text);
    ck_assert_ptr_eq(inner_find_sa(&core.inner, c->sa->id), c->sa);
}

static void use_key(struct admit_request *request, enum suite_id suite, unsigned seed)
{
    request->suite = suite_get(suite);
    request->key.length = suite_material_octets(request->suite);
    for (size_t i = 0; i < request->key.length; i++)
        request->key.octets[i] = (uint8_t)(seed * 3 + i * 5 + 1);
}

/* ------------------------------------------------------------ nothing */

static const enum sa_side sides[] = {SA_SIDE_EXTERNAL, SA_SIDE_INTERNAL};

/* An offer with what the last one said: no version, no frame, no new state file. */
START_TEST(test_nothing)
{
    struct line c;
    struct picture before, after;

    add(&c, 1, sides[_i]);
    take_picture(&before, c.sa);
    change_ok(&c);
    take_picture(&after, c.sa);
    ck_assert_mem_eq(&before, &after, sizeof(before));
}
END_TEST

/* Nor where packets have taught more than was signalled. */
START_TEST(test_nothing_of_what_was_learned)
{
    struct line out, in;
    struct picture before[2], after[2];
    struct addr heard = sample_addr("10.7.7.7:7000"), rtcp = sample_addr("10.7.7.7:7001");

    add(&in, 1, SA_SIDE_EXTERNAL);
    core_request(&out.request, 2);
    out.request.side = SA_SIDE_INTERNAL;
    out.request.source = in.request.destination;
    out.request.destination = in.request.source;
    out.request.source_policy = SOURCE_OPEN;
    out.request.ssrc_count = 0;
    out.request.reverse = in.sa->id;
    out.sa = core_add(&core, &out.request);
    ck_assert_ptr_nonnull(out.sa);
    in.request.reverse = out.sa->id;
    table_move_source(core.inner.table, out.sa, false, &heard);
    table_move_source(core.inner.table, out.sa, true, &rtcp);
    out.sa->bound[0] = out.sa->bound[1] = true;
    ck_assert_ptr_nonnull(table_learn_ssrc(core.inner.table, out.sa, 77));
    learn_settle(&core.inner.path.learn, out.sa);
    ck_assert(addr_equal(&in.sa->destination.rtp, &heard));
    take_picture(&before[0], in.sa);
    take_picture(&before[1], out.sa);
    change_ok(&in);
    change_ok(&out);
    take_picture(&after[0], in.sa);
    take_picture(&after[1], out.sa);
    ck_assert_mem_eq(before, after, sizeof(before));
}
END_TEST

/* ------------------------------------------------------------ one member */

static void make_destination(struct admit_request *request)
{
    request->destination.rtp.port = (uint16_t)(request->destination.rtp.port + 40);
}

static void make_rtcp(struct admit_request *request)
{
    request->destination.rtcp.port = (uint16_t)(request->destination.rtcp.port + 40);
}

static void make_mux(struct admit_request *request)
{
    request->destination.mux = true;
}

static void make_nowhere(struct admit_request *request)
{
    request->destination = (struct sa_transport){0};
    request->no_destination = true;
}

static void make_source(struct admit_request *request)
{
    request->source.rtp.port = (uint16_t)(request->source.rtp.port + 40);
}

static void make_source_mux(struct admit_request *request)
{
    request->source.mux = true;
}

static void make_policy(struct admit_request *request)
{
    request->source_policy = SOURCE_HINTED;
}

static void make_key(struct admit_request *request)
{
    request->key.octets[5] ^= 1;
}

static void make_suite(struct admit_request *request)
{
    use_key(request, SUITE_AES_CM_128_HMAC_SHA1_32, 9);
}

static void make_ssrc(struct admit_request *request)
{
    request->ssrc[0] = 0xabcdef;
}

static void make_more_ssrcs(struct admit_request *request)
{
    request->ssrc[request->ssrc_count++] = 0xabcdef;
}

static void make_no_ssrc(struct admit_request *request)
{
    request->ssrc_count = 0;
}

static void make_rate(struct admit_request *request)
{
    request->rate = 12345;
}

static void make_timeout(struct admit_request *request)
{
    request->media_timeout_s = 7;
}

static void make_media(struct admit_request *request)
{
    request->media_index = 3;
}

static void make_call_id(struct admit_request *request)
{
    strcpy(request->call_id, "another call's, and a longer one");
}

static void make_listener(struct admit_request *request)
{
    strcpy(request->side == SA_SIDE_INTERNAL ? request->listener : request->to_listener, "four");
}

static void make_prime(struct admit_request *request)
{
    *(request->side == SA_SIDE_INTERNAL ? &request->prime_in : &request->prime_out) = true;
}

static void make_all(struct admit_request *request)
{
    make_destination(request);
    make_source(request);
    make_key(request);
    make_ssrc(request);
    make_rate(request);
    make_prime(request);
    make_call_id(request);
}

static const struct {
    void (*make)(struct admit_request *request);
    bool key;            /* there is a new one */
    unsigned generation; /* afterwards */
    bool as_new;         /* and all else as if it had been added so */
} members[] = {
    {make_destination, false, 1, true}, {make_rtcp, false, 1, true},
    {make_mux, false, 1, true},         {make_nowhere, false, 1, true},
    {make_source, false, 2, false},     {make_source_mux, false, 2, false},
    {make_policy, false, 2, false},     {make_key, true, 2, false},
    {make_suite, true, 2, false},       {make_ssrc, false, 1, false},
    {make_more_ssrcs, false, 1, true},  {make_no_ssrc, false, 1, false},
    {make_rate, false, 1, true},        {make_timeout, false, 1, true},
    {make_media, false, 1, true},       {make_call_id, false, 1, true},
    {make_listener, false, 1, true},    {make_prime, false, 1, true},
    {make_all, true, 3, false},
};

enum { MEMBERS = sizeof(members) / sizeof(members[0]) };

/* All but its numbers is as admit() makes it of that request: nothing shines through. */
static void expect_as_new(struct line *c)
{
    struct picture changed, fresh;
    struct sa *sa = c->sa, *other;
    uint64_t id = sa->id, version = sa->version, other_id;

    take_picture(&changed, sa);
    inner_delete(&core.inner, sa, NOW);
    ck_assert(!inner_work(&core.inner, NOW + LABEL_REST_US));
    other = core_add(&core, &c->request);
    ck_assert_ptr_nonnull(other);
    other_id = other->id;
    other->id = id;
    other->version = version;
    take_picture(&fresh, other);
    other->id = other_id;
    ck_assert_uint_eq(changed.length, fresh.length);
    ck_assert_mem_eq(changed.octets, fresh.octets, fresh.length);
}

/* One version, however much there is; and once more the same says nothing. */
START_TEST(test_member)
{
    struct line c;
    struct picture before, after, again;
    unsigned row = (unsigned)_i % MEMBERS;
    uint32_t ssrc;

    add(&c, 1, sides[(unsigned)_i / MEMBERS]);
    ssrc = c.sa->stream[0].ssrc;
    index_advance(&c.sa->stream[0].index, 1000);
    take_picture(&before, c.sa);
    members[row].make(&c.request);
    change_ok(&c);
    take_picture(&after, c.sa);
    ck_assert_uint_eq(after.version, before.version + 1);
    ck_assert_uint_eq(c.sa->version, after.version);
    ck_assert_uint_eq(after.kicked, before.kicked + 1);
    ck_assert_uint_eq(after.changed, before.changed + 1);
    ck_assert_uint_eq(after.count, before.count);
    ck_assert_uint_eq(c.sa->generation, members[row].generation);
    ck_assert_int_eq(rekey_left_us(c.sa, NOW) > 0, members[row].key);
    ck_assert(srtp_session_is(c.sa->srtp, c.request.suite, &c.request.key));
    ck_assert_ptr_nonnull(sa_stream(c.sa, ssrc));
    ck_assert_int_eq(index_is_replay(&sa_stream(c.sa, ssrc)->index, 1000), !members[row].key);
    change_ok(&c);
    take_picture(&again, c.sa);
    ck_assert_mem_eq(&after, &again, sizeof(after));
    if (members[row].as_new) {
        sa_stream(c.sa, ssrc)->index = (struct srtp_index){0};
        expect_as_new(&c);
    }
}
END_TEST

/* ------------------------------------------------------------ by what it is found */

static struct sa *found(const struct sa *sa, const char *source, uint32_t ssrc)
{
    struct addr at = sample_addr(source);

    return table_by_stream(core.inner.table, sa->side, &at, ssrc, NULL);
}

START_TEST(test_place)
{
    struct line c;
    uint32_t ssrc;

    add(&c, 1, SA_SIDE_EXTERNAL);
    ssrc = c.sa->stream[0].ssrc;
    ck_assert_ptr_eq(found(c.sa, "192.0.2.10:1026", ssrc), c.sa);
    c.request.source.rtp = sample_addr("192.0.2.99:2000");
    c.request.source.rtcp = sample_addr("192.0.2.99:2001");
    c.request.ssrc[0] = 5;
    change_ok(&c);
    ck_assert_ptr_null(found(c.sa, "192.0.2.10:1026", ssrc));
    ck_assert_ptr_null(found(c.sa, "192.0.2.10:1026", 5));
    ck_assert_ptr_eq(found(c.sa, "192.0.2.99:2000", 5), c.sa);
    ck_assert_ptr_eq(found(c.sa, "192.0.2.99:2001", 5), c.sa);
    /* What the sender still has on its way. */
    ck_assert_ptr_eq(found(c.sa, "192.0.2.99:2000", ssrc), c.sa);
    ck_assert_int_eq(sa_stream(c.sa, ssrc)->origin, SSRC_ORIGIN_LEARNED);
    c.request.ssrc[0] = 6;
    change_ok(&c);
    ck_assert_ptr_null(sa_stream(c.sa, ssrc));
    ck_assert_ptr_null(found(c.sa, "192.0.2.99:2000", ssrc));
    ck_assert_uint_eq(c.sa->stream_count, 2);
    inner_delete(&core.inner, c.sa, NOW);
    ck_assert_ptr_null(found(&(struct sa){.side = SA_SIDE_EXTERNAL}, "192.0.2.99:2000", 6));
}
END_TEST

/* RTP' is looked for only while there is an SA that takes it. */
START_TEST(test_prime_is_counted)
{
    struct line c;

    add(&c, 1, SA_SIDE_INTERNAL);
    for (int i = 0; i < 3; i++) {
        c.request.prime_in = !c.request.prime_in;
        change_ok(&c);
        ck_assert_int_eq(table_has_prime(core.inner.table, SA_SIDE_INTERNAL), c.request.prime_in);
    }
    inner_delete(&core.inner, c.sa, NOW);
    ck_assert(!table_has_prime(core.inner.table, SA_SIDE_INTERNAL));
}
END_TEST

/* A source that is signalled anew is looked for again, and where it was heard is forgotten. */
START_TEST(test_binding)
{
    struct line c;
    struct addr heard = sample_addr("10.7.7.7:7000");
    struct sa_report report = {.generation = 1,
                               .bound = {sample_addr("8.8.8.8:800")},
                               .age_us = REPORT_NEVER,
                               .stray_age_us = REPORT_NEVER};

    core_request(&c.request, 1);
    c.request.source_policy = SOURCE_HINTED;
    c.request.side = SA_SIDE_INTERNAL;
    c.request.source.rtp = sample_addr("10.5.5.5:500");
    c.request.source.rtcp = sample_addr("10.5.5.5:501");
    c.request.destination.rtp = sample_addr("192.0.2.10:1000");
    c.request.destination.rtcp = sample_addr("192.0.2.10:1001");
    c.sa = core_add(&core, &c.request);
    ck_assert_ptr_nonnull(c.sa);
    c.sa->bound[0] = true;
    table_move_source(core.inner.table, c.sa, false, &heard);
    ck_assert_int_eq(far_store(c.sa, &report, NOW), 0);
    c.request.rate = 9999;
    change_ok(&c);
    ck_assert(c.sa->bound[0] && addr_equal(&c.sa->source.rtp, &heard));
    make_key(&c.request);
    change_ok(&c);
    ck_assert(c.sa->bound[0] && addr_equal(&c.sa->source.rtp, &heard));
    ck_assert_ptr_nonnull(far_bound(c.sa, false));
    c.request.hint = sample_addr("10.6.6.6:5060");
    change_ok(&c);
    ck_assert(!c.sa->bound[0] && addr_equal(&c.sa->source.rtp, &c.request.source.rtp));
    ck_assert_uint_eq(c.sa->hint.port, 0);
    ck_assert_ptr_null(far_bound(c.sa, false));
    while (table_work(core.inner.table))
        ;
    ck_assert(!candidates_are_none(table_candidates(core.inner.table)));
}
END_TEST

/* The state file has what was signalled, also of a sender outside that is bound. */
START_TEST(test_after_a_restart)
{
    struct line c;
    struct picture picture;
    struct reader r;
    struct srtp_key key;
    struct sa *sa = sa_new();
    struct sa_report report = {.generation = 1,
                               .bound = {sample_addr("8.8.8.8:800")},
                               .age_us = REPORT_NEVER,
                               .stray_age_us = REPORT_NEVER};

    ck_assert_ptr_nonnull(sa);
    add(&c, 1, sides[_i]);
    make_policy(&c.request);
    change_ok(&c);
    if (sides[_i] == SA_SIDE_EXTERNAL)
        ck_assert_int_eq(far_store(c.sa, &report, NOW), 0);
    take_picture(&picture, c.sa);
    reader_init(&r, picture.octets, picture.length);
    ck_assert_int_eq(wire_get_saved_sa(&r, sa, &key), 0);
    ck_assert_uint_ne(sa->source_print, 0);
    ck_assert_uint_eq(sa->source_print, c.sa->source_print);
    sa_free(sa);
}
END_TEST

/* What goes back to where a sender was heard does not stay there when it says that it is gone. */
START_TEST(test_way_back_of_a_new_source)
{
    struct line c;
    struct admit_request request;
    struct sa *in;
    struct addr heard = sample_addr("10.7.7.7:7000");

    add(&c, 1, SA_SIDE_INTERNAL);
    inner_delete(&core.inner, c.sa, NOW);
    c.request.source_policy = SOURCE_OPEN;
    c.sa = core_add(&core, &c.request);
    core_request(&request, 2);
    request.reverse = c.sa->id;
    request.destination = c.request.source;
    in = core_add(&core, &request);
    ck_assert_ptr_nonnull(in);
    c.sa->bound[0] = true;
    table_move_source(core.inner.table, c.sa, false, &heard);
    learn_settle(&core.inner.path.learn, c.sa);
    ck_assert(addr_equal(&in->destination.rtp, &heard));
    c.request.reverse = in->id;
    c.request.source.rtp = sample_addr("10.8.8.8:800");
    c.request.source.rtcp = sample_addr("10.8.8.8:801");
    change_ok(&c);
    ck_assert(addr_equal(&in->destination.rtp, &c.request.source.rtp));
    ck_assert(addr_equal(&in->destination.rtcp, &c.request.source.rtcp));
}
END_TEST

/* ------------------------------------------------------------ refusals */

static void spoil_side(struct admit_request *request)
{
    struct sa_transport source = request->source;

    request->side = request->side == SA_SIDE_EXTERNAL ? SA_SIDE_INTERNAL : SA_SIDE_EXTERNAL;
    request->source = request->destination;
    request->destination = source;
}

static void spoil_dmz(struct admit_request *request)
{
    strcpy(request->dmz, "west");
}

static void spoil_no_dmz(struct admit_request *request)
{
    strcpy(request->dmz, "north");
}

static void spoil_destination(struct admit_request *request)
{
    request->destination.rtp = sample_addr("127.0.0.1:4000");
}

static void spoil_own(struct admit_request *request)
{
    request->destination.rtp = sample_addr("10.0.0.101:4000");
}

static void spoil_zero(struct admit_request *request)
{
    request->destination.rtp = sample_addr("0.0.0.0:4000");
}

static void spoil_multicast(struct admit_request *request)
{
    request->destination.rtp = sample_addr("239.1.2.3:4000");
}

static void spoil_key(struct admit_request *request)
{
    request->key.length--;
}

static void spoil_zero_key(struct admit_request *request)
{
    memset(request->key.octets, 0, sizeof(request->key.octets));
}

static void spoil_no_key(struct admit_request *request)
{
    request->key.length = 0;
}

static void spoil_ssrcs(struct admit_request *request)
{
    request->ssrc_count = 2;
    request->ssrc[1] = request->ssrc[0];
}

static void spoil_assign(struct admit_request *request)
{
    request->assign_ssrc = true;
    request->ssrc_count = 0;
    spoil_side(request);
}

static void spoil_reverse(struct admit_request *request)
{
    request->reverse = 999;
}

static void spoil_listener(struct admit_request *request)
{
    strcpy(request->to_listener, "five");
}

/* The other SA of the test: the same source and SSRC, and its key. */
static void spoil_twin(struct admit_request *request)
{
    struct admit_request other;

    core_request(&other, 1);
    request->source = other.source;
    request->ssrc[0] = other.ssrc[0];
    request->suite = other.suite;
    request->key = other.key;
    make_destination(request);
}

static void spoil_prime(struct admit_request *request)
{
    request->prime_in = true;
}

static const struct {
    void (*spoil)(struct admit_request *request);
    int code;
    const char *field, *says;
} spoilt[] = {
    {spoil_side, ERR_INVALID, "side", "stays external"},
    {spoil_dmz, ERR_INVALID, "dmz", "stays at its dmz-relay"},
    {spoil_no_dmz, ERR_NOT_FOUND, "dmz", "there is no [dmz north]"},
    {spoil_destination, ERR_FORBIDDEN, "to", "loopback"},
    {spoil_own, ERR_FORBIDDEN, "to", "own address"},
    {spoil_zero, ERR_FORBIDDEN, "to", "unspecified"},
    {spoil_multicast, ERR_FORBIDDEN, "to", "multicast"},
    {spoil_key, ERR_INVALID, "key", "takes"},
    {spoil_zero_key, ERR_INVALID, "key", "zero"},
    {spoil_no_key, ERR_INVALID, "key", "0 octets"},
    {spoil_ssrcs, ERR_INVALID, "ssrc", "stands twice"},
    {spoil_assign, ERR_INVALID, NULL, ""},
    {spoil_reverse, ERR_NOT_FOUND, "reverse", "there is no SA 999"},
    {spoil_listener, ERR_NOT_FOUND, "to_listener", "no [listener five]"},
    {spoil_twin, ERR_EXISTS, "source", "the same side, source, SSRC and key"},
    {spoil_prime, ERR_FORBIDDEN, "rtp_prime", "outside only a [peer]"},
};

/* An error with a reason, and the SA goes on as it was, down to the last octet. */
START_TEST(test_refused)
{
    struct line c, other;
    struct picture before, after;
    struct admit_error error;
    struct admit_request right;

    add(&other, 1, SA_SIDE_EXTERNAL);
    add(&c, 2, SA_SIDE_EXTERNAL);
    right = c.request;
    index_advance(&c.sa->stream[0].index, 1000);
    take_picture(&before, c.sa);
    spoilt[_i].spoil(&c.request);
    ck_assert_int_eq(change(&c, &error), spoilt[_i].code);
    if (spoilt[_i].field)
        ck_assert_str_eq(error.field, spoilt[_i].field);
    ck_assert_msg(strstr(error.text, spoilt[_i].says) != NULL, "\"%s\"", error.text);
    take_picture(&after, c.sa);
    ck_assert_mem_eq(&before, &after, sizeof(before));
    ck_assert_ptr_eq(found(c.sa, "192.0.2.10:1028", right.ssrc[0]), c.sa);
    c.request = right;
    change_ok(&c);
    take_picture(&after, c.sa);
    ck_assert_mem_eq(&before, &after, sizeof(before));
}
END_TEST

/* As many with one source and SSRC as may be: one that stands among them is not in its own way. */
START_TEST(test_crowd)
{
    struct line c[TABLE_ALIKE_OWN + 1];
    struct admit_error error;

    for (unsigned n = 0; n <= TABLE_ALIKE_OWN; n++) {
        core_request(&c[n].request, n + 1);
        if (n > 0 && n < TABLE_ALIKE_OWN) {
            c[n].request.source = c[0].request.source;
            c[n].request.ssrc[0] = c[0].request.ssrc[0];
        }
        c[n].sa = core_add(&core, &c[n].request);
        ck_assert_ptr_nonnull(c[n].sa);
    }
    make_key(&c[1].request);
    change_ok(&c[1]);
    make_more_ssrcs(&c[1].request);
    change_ok(&c[1]);
    c[TABLE_ALIKE_OWN].request.source = c[0].request.source;
    change_ok(&c[TABLE_ALIKE_OWN]);
    c[TABLE_ALIKE_OWN].request.ssrc[0] = c[0].request.ssrc[0];
    ck_assert_int_eq(change(&c[TABLE_ALIKE_OWN], &error), ERR_EXISTS);
    ck_assert_ptr_nonnull(strstr(error.text, "as many SAs as may be"));
}
END_TEST

enum { LINES = 20, SOURCES = 4, SSRCS = 5, CHANGES = 2000 };

static struct addr source_at(unsigned n, bool rtcp)
{
    struct addr out = sample_addr("192.0.2.50:6000");

    out.port = (uint16_t)(6000 + 2 * n + rtcp);
    return out;
}

static void make_random_place(struct admit_request *request)
{
    unsigned at = (unsigned)random_below(SOURCES);

    request->source.rtp = source_at(at, false);
    request->source.rtcp = source_at(at, true);
    request->source.mux = random_below(3) == 0;
    request->source_policy = random_below(2) ? SOURCE_STRICT : SOURCE_OPEN;
    request->ssrc_count = (unsigned)random_below(3);
    for (unsigned i = 0; i < request->ssrc_count; i++)
        request->ssrc[i] = 100 + (uint32_t)(random_below(SSRCS - 1) + i);
}

static bool sends(struct sa *sa, const struct addr *from, uint32_t ssrc)
{
    return sa_stream(sa, ssrc) && (addr_equal(&sa->source.rtp, from) ||
                                   (!sa->source.mux && addr_equal(&sa->source.rtcp, from)));
}

/* By each source and SSRC those are found that have it, each once, and no other. */
static void expect_found(struct line *lines)
{
    for (unsigned at = 0; at < 2 * SOURCES; at++) {
        struct addr from = source_at(at / 2, at % 2);

        for (uint32_t ssrc = 100; ssrc < 100 + SSRCS; ssrc++) {
            struct sa *sa = NULL;
            unsigned count = 0, right = 0;

            while ((sa = table_by_stream(core.inner.table, SA_SIDE_EXTERNAL, &from, ssrc, sa))) {
                ck_assert(sends(sa, &from, ssrc));
                count++;
            }
            for (unsigned i = 0; i < LINES; i++)
                right += sends(lines[i].sa, &from, ssrc);
            ck_assert_uint_eq(count, right);
        }
    }
}

/* However they come and go at some sources, taken or refused, the table stays right. */
START_TEST(test_random_places)
{
    struct line lines[LINES];
    unsigned taken = 0;

    for (unsigned i = 0; i < LINES; i++)
        add(&lines[i], i, SA_SIDE_EXTERNAL);
    for (unsigned i = 0; i < CHANGES; i++) {
        struct line *line = &lines[random_below(LINES)];
        struct admit_request before = line->request;
        struct admit_error error;

        make_random_place(&line->request);
        if (change(line, &error) == 0)
            taken++;
        else
            line->request = before;
        while (table_work(core.inner.table))
            ;
        if (i % 20 == 0)
            expect_found(lines);
    }
    ck_assert_uint_gt(taken, CHANGES / 10);
    ck_assert_uint_lt(taken, CHANGES);
    for (unsigned i = 0; i < LINES; i++)
        inner_delete(&core.inner, lines[i].sa, NOW);
    ck_assert_uint_eq(table_count(core.inner.table), 0);
    ck_assert(candidates_are_none(table_candidates(core.inner.table)));
}
END_TEST

/* ------------------------------------------------------------ calls */

static void branch(struct line *c, unsigned n, uint64_t reverse)
{
    core_request(&c->request, n);
    c->request.side = SA_SIDE_INTERNAL;
    c->request.source = c->request.destination;
    c->request.destination = (struct sa_transport){0};
    c->request.no_destination = true;
    c->request.reverse = reverse;
    c->sa = core_add(&core, &c->request);
    ck_assert_ptr_nonnull(c->sa);
}

/* To the branch that answered last, and from that one only. */
static void point(struct line *caller, struct line *to, struct line *away)
{
    away->request.no_destination = true;
    away->request.destination = (struct sa_transport){0};
    away->request.reverse = 0;
    to->request.destination = caller->request.source;
    to->request.reverse = caller->sa->id;
    caller->request.destination = to->request.source;
    caller->request.reverse = to->sa->id;
    change_ok(caller);
    change_ok(to);
    change_ok(away);
    ck_assert_uint_eq(caller->sa->reverse, to->sa->id);
    ck_assert_uint_eq(to->sa->reverse, caller->sa->id);
    ck_assert_uint_eq(away->sa->reverse, 0);
    ck_assert_uint_eq(away->sa->destination.rtp.family, 0);
    ck_assert(addr_equal(&caller->sa->destination.rtp, &to->request.source.rtp));
    ck_assert(addr_equal(&to->sa->destination.rtp, &caller->request.source.rtp));
}

START_TEST(test_fork)
{
    struct line caller, one, two;

    add(&caller, 1, SA_SIDE_EXTERNAL);
    branch(&one, 2, caller.sa->id);
    branch(&two, 3, 0);
    ck_assert_uint_eq(caller.sa->reverse, one.sa->id);
    caller.request.reverse = one.sa->id;
    for (int i = 0; i < 3; i++) {
        point(&caller, &two, &one);
        point(&caller, &one, &two);
    }
}
END_TEST

/* An SSRC that was given stays; a key that nobody verifies with matters by its shape only. */
START_TEST(test_assigned)
{
    struct line c;
    struct admit_error error;
    uint32_t ssrc;

    core_request(&c.request, SUITE_AES_CM_128_HMAC_SHA1_80);
    c.request.side = SA_SIDE_INTERNAL;
    c.request.source = c.request.destination;
    c.request.destination.rtp = sample_addr("192.0.2.10:1000");
    c.request.destination.rtcp = sample_addr("192.0.2.10:1001");
    use_key(&c.request, SUITE_AES_CM_128_HMAC_SHA1_80, 1);
    c.request.ssrc_count = 0;
    c.request.assign_ssrc = true;
    c.sa = core_add(&core, &c.request);
    ck_assert_ptr_nonnull(c.sa);
    ssrc = c.sa->stream[0].ssrc;
    make_destination(&c.request);
    make_source(&c.request);
    c.request.assigned = ssrc;
    change_ok(&c);
    ck_assert_uint_eq(c.sa->stream[0].ssrc, ssrc);
    ck_assert_int_eq(c.sa->stream[0].origin, SSRC_ORIGIN_ASSIGNED);
    ck_assert_uint_eq(c.sa->stream_count, 1);
    ck_assert(!rekey_left_us(c.sa, NOW));
    use_key(&c.request, SUITE_AES_CM_128_HMAC_SHA1_32, 2);
    change_ok(&c);
    ck_assert_ptr_eq(c.sa->suite, c.request.suite);
    ck_assert(rekey_left_us(c.sa, NOW) > 0);
    c.request.assigned = ssrc + 1;
    ck_assert_int_eq(change(&c, &error), ERR_INVALID);
    ck_assert_str_eq(error.field, "assigned");
    c.request.assigned = 0;
    c.request.assign_ssrc = false;
    ck_assert_int_eq(change(&c, &error), ERR_INVALID);
    ck_assert_str_eq(error.field, "assign_ssrc");
}
END_TEST

/* On hold a call may be silent; what it was silent then does not count when it goes on. */
START_TEST(test_silence_on_hold)
{
    struct line c;
    struct admit_error error;
    uint64_t later = NOW + UINT64_C(600) * 1000000;

    add(&c, 1, SA_SIDE_EXTERNAL);
    c.sa->last_packet_us = NOW;
    c.request.media_timeout_s = 0;
    change_ok(&c);
    c.request.media_timeout_s = 30;
    ck_assert_int_eq(admit_change(&core.inner, c.sa, &c.request, later, &error), 0);
    inner_tick(&core.inner);
    while (inner_work(&core.inner, later + 29 * UINT64_C(1000000)))
        ;
    ck_assert_uint_eq(table_count(core.inner.table), 1);
    inner_tick(&core.inner);
    while (inner_work(&core.inner, later + 30 * UINT64_C(1000000)))
        ;
    ck_assert_uint_eq(table_count(core.inner.table), 0);
}
END_TEST

#define ROWS(table) (int)(sizeof(table) / sizeof((table)[0]))

int main(void)
{
    Suite *suite = suite_create("change");
    TCase *tc = tcase_create("change");

    suite_add_tcase(suite, tc);
    tcase_add_unchecked_fixture(tc, start_engine, core_stop_engine);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, test_nothing, 0, 2);
    tcase_add_test(tc, test_nothing_of_what_was_learned);
    tcase_add_loop_test(tc, test_member, 0, 2 * MEMBERS);
    tcase_add_test(tc, test_place);
    tcase_add_test(tc, test_prime_is_counted);
    tcase_add_test(tc, test_binding);
    tcase_add_loop_test(tc, test_after_a_restart, 0, 2);
    tcase_add_test(tc, test_way_back_of_a_new_source);
    tcase_add_loop_test(tc, test_refused, 0, ROWS(spoilt));
    tcase_add_test(tc, test_crowd);
    tcase_add_test(tc, test_random_places);
    tcase_add_test(tc, test_fork);
    tcase_add_test(tc, test_assigned);
    tcase_add_test(tc, test_silence_on_hold);
    return unit_run(suite);
}
