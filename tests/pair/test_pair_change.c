/*
 * An SA changes in the middle of its call, while its packets are on their way through both relays:
 * with the key unchanged each comes out once, in order, and none comes out again.
 */
#include <string.h>

#include "common/sa/table.h"
#include "common/srtp/srtp.h"
#include "tests/pair/pair.h"
#include "tests/unit/sample.h"
#include "tests/unit/unit.h"

enum { PACKETS_MAX = 512, STEPS_MAX = 10, ROUND = 8, TURN = 65536 };

/* One sender, and what it has sent. */
struct line {
    struct pair *pair;
    struct pair_sender *sender;
    struct admit_request request; /* as it was signalled last */
    size_t count;
    struct {
        bool rtcp;
        size_t length;
        uint8_t data[256];
    } packet[PACKETS_MAX];
};

static struct inner *inner_of(const struct line *line)
{
    return line->pair->site[0].inner;
}

static struct sa *at_inner(const struct line *line)
{
    return inner_find_sa(inner_of(line), line->sender->id);
}

static struct sa *at_dmz(const struct line *line)
{
    return table_by_id(line->pair->dmz->table, 0, line->sender->id);
}

static void change(struct line *line)
{
    struct admit_error error;
    int result =
        admit_change(inner_of(line), at_inner(line), &line->request, line->pair->now_us, &error);

    ck_assert_msg(result == 0, "%s: %s", result ? error.field : "", error.text);
}

/* Just before the sequence number wraps: the ROC has to be kept, too. */
static void start(struct line *line, enum wire_view keys, enum sa_side side, enum suite_id suite)
{
    struct admit_request request;

    memset(line, 0, sizeof(*line));
    line->pair = pair_new_unconnected(1);
    line->pair->inner_options.dmz_keys = keys;
    inner_of(line)->options.dmz_keys = keys;
    line->pair->site[0].reconnect = true;
    pair_request(&request, side, (unsigned)suite);
    request.source_policy = SOURCE_OPEN;
    line->request = request;
    line->sender = pair_sender_new(line->pair, 0, &request);
    line->sender->index = TURN - 20;
    (void)pair_run_until_synced(line->pair);
}

static void end(struct line *line)
{
    pair_sender_free(line->sender);
    pair_free(line->pair);
}

static void record(struct line *line, bool rtcp)
{
    size_t n = line->count++;

    ck_assert_uint_lt(n, PACKETS_MAX);
    ck_assert_uint_le(line->sender->length, sizeof(line->packet[n].data));
    line->packet[n].rtcp = rtcp;
    line->packet[n].length = line->sender->length;
    memcpy(line->packet[n].data, line->sender->packet, line->sender->length);
}

/* Changes fall between the packets of a burst and into the tunnel's delay, wherever. */
static void talk(struct line *line, unsigned packets)
{
    for (unsigned i = 0; i < packets; i++) {
        pair_send_rtp(line->sender);
        record(line, false);
        if (i % 3 == 0) {
            pair_send_rtcp(line->sender);
            record(line, true);
        }
        pair_run(line->pair, (i * 7 % 20) * PAIR_MS);
    }
}

/* ------------------------------------------------------------ what changes */

static struct addr other_port(const struct addr *addr, unsigned port)
{
    struct addr out = *addr;

    out.port = (uint16_t)port;
    return out;
}

/* There and back. */
static void destination(struct line *line, unsigned n)
{
    struct sa_transport *to = &line->request.destination;
    unsigned port = n % 2 ? 30000 : 40000;

    to->rtp = other_port(&to->rtp, port);
    to->rtcp = other_port(&to->rtp, port + 1);
    change(line);
}

static void mux(struct line *line, unsigned n)
{
    (void)n;
    line->request.destination.mux = !line->request.destination.mux;
    change(line);
}

/* It sends from there at once; and from where it was, what it still has. */
static void source(struct line *line, unsigned n)
{
    struct sa_transport *from = &line->request.source;

    from->rtp = other_port(&from->rtp, 21000 + 2 * n);
    from->rtcp = other_port(&from->rtp, 21001 + 2 * n);
    change(line);
    talk(line, 2);
    line->sender->request.source = *from;
}

static void hint(struct line *line, unsigned n)
{
    line->request.hint = other_port(&line->request.source.rtp, 0);
    line->request.hint.ip[15] = (uint8_t)(n + 1);
    change(line);
}

static void more_ssrcs(struct line *line, unsigned n)
{
    if (line->request.ssrc_count < 4)
        line->request.ssrc[line->request.ssrc_count++] = 7000 + n;
    else
        line->request.ssrc_count = 1;
    change(line);
}

static void rate(struct line *line, unsigned n)
{
    line->request.rate = 500000 + n;
    change(line);
}

static void nothing(struct line *line, unsigned n)
{
    uint64_t version = at_inner(line)->version;

    (void)n;
    change(line);
    ck_assert_uint_eq(at_inner(line)->version, version);
}

static void everything(struct line *line, unsigned n)
{
    line->request.rate = 600000 + n;
    more_ssrcs(line, n);
    destination(line, n);
    source(line, n);
    hint(line, n);
}

static void cut(struct line *line, unsigned n)
{
    destination(line, n);
    pair_run(line->pair, PAIR_SECOND);
    pair_reset(pair_tunnel(line->pair, 0));
    destination(line, n + 1);
    (void)pair_run_until_synced(line->pair);
}

static const struct {
    const char *name;
    void (*make)(struct line *line, unsigned n);
} changes[] = {
    {"destination", destination},
    {"mux", mux},
    {"source", source},
    {"hint", hint},
    {"more SSRCs", more_ssrcs},
    {"rate", rate},
    {"nothing", nothing},
    {"everything", everything},
    {"cut", cut},
};

/* ------------------------------------------------------------ each comes out once */

static void expect_all(struct line *line)
{
    const struct pair_out *out = pair_receiver(line->sender);
    bool outside = line->sender->side == SA_SIDE_EXTERNAL;

    pair_run(line->pair, PAIR_SECOND);
    ck_assert_uint_eq(out->count, line->count);
    for (size_t i = 0; i < line->count; i++) {
        ck_assert_uint_eq(out->sent[i].length, line->packet[i].length);
        ck_assert_mem_eq(out->sent[i].data, line->packet[i].data, line->packet[i].length);
    }
    for (enum verdict v = 0; v < VERDICT_COUNT; v++) {
        uint64_t first =
            outside ? pair_dmz_verdict(line->pair, v) : pair_inner_verdict(line->pair, 0, v);
        uint64_t second =
            outside ? inner_of(line)->links[0].counts.n[v] : line->pair->dmz->sites[0].counts.n[v];

        ck_assert_uint_eq(first, v == VERDICT_ACCEPTED ? line->count : 0);
        ck_assert_uint_eq(second, v == VERDICT_ACCEPTED ? line->count : 0);
    }
    ck_assert_uint_eq(at_inner(line)->packets, line->count);
    ck_assert_uint_eq(at_dmz(line)->packets, line->count);
}

/* Somebody has kept all of them; and so has a dmz-relay that is not what it was. */
static void expect_no_replay(struct line *line)
{
    const struct pair_out *out = pair_receiver(line->sender);
    const struct sa_transport *from = &line->sender->request.source;
    bool outside = line->sender->side == SA_SIDE_EXTERNAL;
    uint64_t replays;

    for (size_t i = 0; i < line->count; i++) {
        bool rtcp = line->packet[i].rtcp;

        pair_datagram(line->pair, line->sender->side, 0, 0, rtcp, rtcp ? &from->rtcp : &from->rtp,
                      line->packet[i].data, line->packet[i].length);
        if (outside)
            pair_inject_media(pair_tunnel(line->pair, 0), true, at_inner(line)->label,
                              line->packet[i].data, line->packet[i].length);
    }
    pair_run(line->pair, PAIR_SECOND);
    ck_assert_uint_eq(out->count, line->count);
    replays = outside ? pair_dmz_verdict(line->pair, VERDICT_REPLAY)
                      : pair_inner_verdict(line->pair, 0, VERDICT_REPLAY);
    ck_assert_uint_eq(replays, line->count);
    if (outside)
        ck_assert_uint_eq(inner_of(line)->links[0].counts.n[VERDICT_REPLAY], line->count);
}

static const enum wire_view views[] = {WIRE_REPLICA_VERIFY_ONLY, WIRE_REPLICA_FULL};
static const enum sa_side sides[] = {SA_SIDE_EXTERNAL, SA_SIDE_INTERNAL};

enum { CHANGES = sizeof(changes) / sizeof(changes[0]) };

static void run(const unsigned which, enum wire_view view, enum sa_side side, enum suite_id suite)
{
    struct line line;

    start(&line, view, side, suite);
    for (unsigned n = 0; n < ROUND; n++) {
        talk(&line, 8);
        changes[which].make(&line, n);
    }
    talk(&line, 8);
    expect_all(&line);
    expect_no_replay(&line);
    end(&line);
}

START_TEST(test_no_packet_is_lost_or_comes_again)
{
    for (unsigned i = 0; i < 4; i++) {
        for (unsigned suite = 0; suite < SUITE_COUNT; suite++)
            run((unsigned)_i, views[i % 2], sides[i / 2], (enum suite_id)suite);
    }
}
END_TEST

/* The next packet goes where the last change says, and the ones before went where they were to. */
START_TEST(test_destination_is_where_it_goes)
{
    struct line line;
    const struct pair_out *out;

    start(&line, views[0], sides[_i], SUITE_AES_CM_128_HMAC_SHA1_80);
    out = pair_receiver(line.sender);
    for (unsigned n = 0; n < ROUND; n++) {
        destination(&line, n);
        pair_run(line.pair, 50 * PAIR_MS);
        line.sender->request.destination = line.request.destination;
        pair_expect_one_way(line.sender);
    }
    ck_assert_uint_eq(out->count, 2 * ROUND);
    line.request.destination = (struct sa_transport){0};
    line.request.no_destination = true;
    change(&line);
    pair_run(line.pair, 50 * PAIR_MS);
    pair_send_rtp(line.sender);
    pair_run(line.pair, 50 * PAIR_MS);
    ck_assert_uint_eq(out->count, 2 * ROUND);
    ck_assert_uint_eq(at_inner(&line)->verdicts[VERDICT_NO_DESTINATION] +
                          at_dmz(&line)->verdicts[VERDICT_NO_DESTINATION],
                      1);
    destination(&line, 0);
    end(&line);
}
END_TEST

/* ------------------------------------------------------------ both directions of a call */

enum order { SOURCE_FIRST, DESTINATION_FIRST, OVER_A_CUT, ORDERS };

static void readdress(struct line *outside, struct line *inside, enum order order)
{
    struct line *first = order == DESTINATION_FIRST ? inside : outside;

    outside->request.source.rtp = sample_addr("8.8.200.1:5000");
    outside->request.source.rtcp = sample_addr("8.8.200.1:5001");
    inside->request.destination = outside->request.source;
    if (order == OVER_A_CUT)
        pair_reset(pair_tunnel(outside->pair, 0));
    change(first);
    if (order == DESTINATION_FIRST)
        pair_run(outside->pair, 50 * PAIR_MS);
    change(first == inside ? outside : inside);
    if (order == OVER_A_CUT)
        (void)pair_run_until_synced(outside->pair);
    pair_run(outside->pair, 50 * PAIR_MS);
}

/*
 * A phone outside that was heard behind a NAT says that it is elsewhere now: what goes to it goes
 * there before it is heard there, in whichever order the dmz-relay is told.
 */
START_TEST(test_a_phone_says_where_it_went)
{
    struct line outside, inside;
    struct addr heard = sample_addr("8.8.100.1:1000"), heard_rtcp = sample_addr("8.8.100.1:1001");

    start(&outside, views[0], SA_SIDE_EXTERNAL, SUITE_AES_CM_128_HMAC_SHA1_80);
    memset(&inside, 0, sizeof(inside));
    inside.pair = outside.pair;
    pair_request(&inside.request, SA_SIDE_INTERNAL, 1);
    inside.request.reverse = outside.sender->id;
    inside.request.destination = outside.request.source;
    inside.sender = pair_sender_new(inside.pair, 0, &inside.request);
    outside.request.reverse = inside.sender->id;
    outside.sender->request.source.rtp = heard;
    outside.sender->request.source.rtcp = heard_rtcp;
    inside.sender->request.destination = outside.sender->request.source;
    pair_run(outside.pair, 50 * PAIR_MS);
    pair_expect_one_way(outside.sender);
    pair_expect_call(outside.sender, inside.sender);
    ck_assert(at_dmz(&outside)->bound[0]);
    /* Long enough for the inner-relay to be told where it is heard. */
    pair_run(outside.pair, 15 * PAIR_SECOND);

    readdress(&outside, &inside, (enum order)_i);
    inside.sender->request.destination = inside.request.destination;
    pair_expect_one_way(inside.sender);
    outside.sender->request.source = outside.request.source;
    pair_expect_call(outside.sender, inside.sender);
    ck_assert(at_dmz(&outside)->bound[0]);
    ck_assert(addr_equal(&at_dmz(&outside)->source.rtp, &outside.request.source.rtp));
    pair_sender_free(inside.sender);
    end(&outside);
}
END_TEST

/* The same offer again leaves everything where packets have shown it to be. */
START_TEST(test_a_hold_moves_nothing)
{
    struct line outside;
    struct addr heard = sample_addr("8.8.100.1:1000");

    start(&outside, views[0], SA_SIDE_EXTERNAL, SUITE_AES_CM_128_HMAC_SHA1_80);
    outside.sender->request.source.rtp = heard;
    outside.sender->request.source.rtcp = other_port(&heard, 1001);
    pair_expect_one_way(outside.sender);
    for (unsigned n = 0; n < 3; n++) {
        rate(&outside, n);
        pair_run(outside.pair, 4 * PAIR_SECOND);
        ck_assert(at_dmz(&outside)->bound[0]);
        ck_assert(addr_equal(&at_dmz(&outside)->source.rtp, &heard));
        pair_expect_one_way(outside.sender);
    }
    end(&outside);
}
END_TEST

/* A phone that takes another SSRC after the answer: none of either is lost, whenever it does. */
START_TEST(test_another_ssrc)
{
    struct line line;
    struct protect *before;

    start(&line, views[1], sides[_i], SUITE_AES_CM_128_HMAC_SHA1_80);
    talk(&line, 30);
    line.request.ssrc[0] = 0x30000001;
    change(&line);
    talk(&line, 10);
    before = line.sender->protect;
    line.sender->request.ssrc[0] = 0x30000001;
    line.sender->protect =
        protect_new(line.request.suite, line.request.key.octets, line.request.ssrc[0]);
    ck_assert_ptr_nonnull(line.sender->protect);
    line.sender->index = 300;
    talk(&line, 30);
    expect_all(&line);
    expect_no_replay(&line);
    protect_free(before);
    end(&line);
}
END_TEST

/* An SSRC that was learned and is signalled then is binding from there on, at both relays. */
START_TEST(test_an_ssrc_is_named)
{
    struct line line;

    start(&line, views[0], sides[_i], SUITE_AES_CM_128_HMAC_SHA1_80);
    inner_of(&line)->options.learns_ssrcs = true;
    line.request.ssrc_count = 0;
    change(&line);
    talk(&line, 5);
    pair_run(line.pair, PAIR_SECOND);
    ck_assert(sa_learns_ssrcs(at_inner(&line)));
    ck_assert(sa_learns_ssrcs(at_dmz(&line)));
    line.request.ssrc_count = 1;
    change(&line);
    talk(&line, 5);
    expect_all(&line);
    ck_assert(!sa_learns_ssrcs(at_inner(&line)));
    ck_assert(!sa_learns_ssrcs(at_dmz(&line)));
    expect_no_replay(&line);
    end(&line);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pair_change");
    TCase *tc = tcase_create("pair_change");

    suite_add_tcase(suite, tc);
    tcase_set_timeout(tc, 120);
    tcase_add_unchecked_fixture(tc, sample_engine_start, sample_engine_stop);
    tcase_add_loop_test(tc, test_no_packet_is_lost_or_comes_again, 0, CHANGES);
    tcase_add_loop_test(tc, test_destination_is_where_it_goes, 0, 2);
    tcase_add_loop_test(tc, test_a_phone_says_where_it_went, 0, ORDERS);
    tcase_add_test(tc, test_a_hold_moves_nothing);
    tcase_add_loop_test(tc, test_another_ssrc, 0, 2);
    tcase_add_loop_test(tc, test_an_ssrc_is_named, 0, 2);
    return unit_run(suite);
}
