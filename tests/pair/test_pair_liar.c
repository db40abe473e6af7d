/*
 * A stolen dmz-relay: it says whatever it likes to the inner-relay. No packet
 * leaves that its sender did not protect, none twice, none to another address;
 * no SA changes; every frame gets its verdict.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/tlv.h"
#include "common/sa/reportwire.h"
#include "common/sa/table.h"
#include "common/srtp/srtp.h"
#include "tests/pair/pair.h"
#include "tests/unit/sample.h"
#include "tests/unit/unit.h"

/* Two external senders, one internal one, and a tunnel whose other end the test plays. */
struct stage {
    struct pair *pair;
    struct pair_tunnel *tunnel;
    struct pair_sender *first, *second, *inside;
    uint8_t *before; /* the SAs, written out */
    size_t before_length;
};

/* All that is to be known of the SAs, but not what their packets have taught. */
/* All but what packets change: indexes, and how many the key may protect yet. */
static void write_sas(void *ctx, struct sa *sa)
{
    struct sa_stream streams[SA_SSRC_MAX];
    struct sa plain = *sa;
    struct srtp_key key;

    ck_assert_int_eq(srtp_session_key(sa->srtp, SRTP_KEY_MASTER, &key), 0);
    writer_copy(ctx, key.octets, key.length);
    plain.srtp = NULL;

    memcpy(streams, sa->stream, sa->stream_count * sizeof(*streams));
    plain.stream = streams;
    for (unsigned i = 0; i < plain.stream_count; i++)
        streams[i].index = (struct srtp_index){0};
    wire_put_sa(ctx, &plain, WIRE_STATE);
}

static size_t describe(struct stage *stage, uint8_t *memory, size_t size)
{
    struct writer w;

    writer_init(&w, memory, size);
    table_each(stage->pair->site[0].inner->table, write_sas, &w);
    ck_assert(!w.failed);
    return writer_length(&w);
}

enum { DESCRIPTION_OCTETS = 8192 };

static void set_up(struct stage *stage)
{
    struct admit_request request;

    stage->pair = pair_new_unconnected(1);
    pair_request(&request, SA_SIDE_EXTERNAL, 5);
    stage->first = pair_sender_new(stage->pair, 0, &request);
    pair_request(&request, SA_SIDE_EXTERNAL, 10);
    stage->second = pair_sender_new(stage->pair, 0, &request);
    pair_request(&request, SA_SIDE_INTERNAL, 5);
    stage->inside = pair_sender_new(stage->pair, 0, &request);
    stage->tunnel = pair_connect_scripted(stage->pair, 0);
    stage->before = malloc(DESCRIPTION_OCTETS);
    ck_assert_ptr_nonnull(stage->before);
    stage->before_length = describe(stage, stage->before, DESCRIPTION_OCTETS);
}

static void expect_unchanged(struct stage *stage)
{
    uint8_t *now = malloc(DESCRIPTION_OCTETS);

    ck_assert_ptr_nonnull(now);
    ck_assert_uint_eq(describe(stage, now, DESCRIPTION_OCTETS), stage->before_length);
    ck_assert_mem_eq(now, stage->before, stage->before_length);
    free(now);
    pair_check_sums(stage->pair);
}

static void tear_down(struct stage *stage)
{
    expect_unchanged(stage);
    pair_sender_free(stage->first);
    pair_sender_free(stage->second);
    pair_sender_free(stage->inside);
    free(stage->before);
    pair_free(stage->pair);
}

static uint64_t verdict(const struct stage *stage, enum verdict what)
{
    return stage->pair->site[0].inner->links[0].counts.n[what];
}

static size_t left(const struct stage *stage)
{
    return stage->pair->site[0].out.count;
}

static void media(struct stage *stage, uint32_t label, const struct pair_sender *of)
{
    pair_inject_media(stage->tunnel, true, label, of->packet, of->length);
    pair_run(stage->pair, 20 * PAIR_MS);
}

static uint32_t label_of(const struct stage *stage, const struct pair_sender *sender)
{
    return inner_find_sa(stage->pair->site[0].inner, sender->id)->label;
}

/* What an honest one would send arrives: the rows below fail for their own reason only. */
START_TEST(test_honest)
{
    struct stage stage;

    set_up(&stage);
    pair_make_rtp(stage.first);
    media(&stage, label_of(&stage, stage.first), stage.first);
    ck_assert_uint_eq(left(&stage), 1);
    pair_expect_received(stage.first, false);
    ck_assert_uint_eq(verdict(&stage, VERDICT_ACCEPTED), 1);
    tear_down(&stage);
}
END_TEST

START_TEST(test_wrong_labels)
{
    struct stage stage;

    set_up(&stage);
    pair_make_rtp(stage.first);
    media(&stage, 0xdeadbeef, stage.first);
    media(&stage, 0, stage.first);
    ck_assert_uint_eq(verdict(&stage, VERDICT_NO_SA), 2);
    /* A good packet under another SA's label would go to that one's receiver. */
    media(&stage, label_of(&stage, stage.second), stage.first);
    ck_assert_uint_eq(verdict(&stage, VERDICT_AUTH_FAIL), 1);
    /* What came from inside may not be turned round. */
    pair_make_rtp(stage.inside);
    media(&stage, label_of(&stage, stage.inside), stage.inside);
    media(&stage, label_of(&stage, stage.inside), stage.first);
    ck_assert_uint_eq(verdict(&stage, VERDICT_WRONG_SIDE), 2);
    ck_assert_uint_eq(left(&stage), 0);
    ck_assert_uint_eq(stage.pair->site[0].inner->links[0].counts.received, 5);
    tear_down(&stage);
}
END_TEST

START_TEST(test_replayed)
{
    struct stage stage;
    uint8_t old[PACKET_MAX_OCTETS];
    size_t old_length;

    set_up(&stage);
    pair_make_rtp(stage.first);
    memcpy(old, stage.first->packet, stage.first->length);
    old_length = stage.first->length;
    for (unsigned i = 0; i < 3; i++) {
        media(&stage, label_of(&stage, stage.first), stage.first);
        media(&stage, label_of(&stage, stage.first), stage.first);
        pair_make_rtp(stage.first);
    }
    ck_assert_uint_eq(left(&stage), 3);
    ck_assert_uint_eq(verdict(&stage, VERDICT_REPLAY), 3);
    for (unsigned i = 0; i < 10; i++)
        pair_inject_media(stage.tunnel, true, label_of(&stage, stage.first), old, old_length);
    pair_run(stage.pair, 20 * PAIR_MS);
    ck_assert_uint_eq(left(&stage), 3);
    ck_assert_uint_eq(verdict(&stage, VERDICT_REPLAY), 13);
    tear_down(&stage);
}
END_TEST

/* Each octet of a good packet changed, and each length that it can be cut to. */
START_TEST(test_altered)
{
    struct stage stage;
    struct pair_sender *first;
    uint8_t packet[PACKET_MAX_OCTETS];
    uint64_t sent = 0;

    set_up(&stage);
    first = stage.first;
    pair_make_rtp(first);
    for (size_t i = 0; i < first->length; i++) {
        memcpy(packet, first->packet, first->length);
        packet[i] ^= 0x10;
        pair_inject_media(stage.tunnel, true, label_of(&stage, first), packet, first->length);
        sent++;
        if (i > 0) {
            pair_inject_media(stage.tunnel, true, label_of(&stage, first), first->packet, i);
            sent++;
        }
    }
    pair_run(stage.pair, 50 * PAIR_MS);
    ck_assert_uint_eq(left(&stage), 0);
    ck_assert_uint_eq(stage.pair->site[0].inner->links[0].counts.received, sent);
    ck_assert_uint_eq(verdict(&stage, VERDICT_ACCEPTED), 0);
    ck_assert_uint_eq(verdict_sum(&stage.pair->site[0].inner->links[0].counts), sent);
    /* The packet itself is still good. */
    media(&stage, label_of(&stage, first), first);
    ck_assert_uint_eq(left(&stage), 1);
    tear_down(&stage);
}
END_TEST

/* With the key of its own sender, as it is in the DMZ, but under an SSRC that is not the SA's. */
START_TEST(test_other_ssrc)
{
    struct stage stage;
    struct pair_sender *first;
    struct protect *forger;

    set_up(&stage);
    first = stage.first;
    forger = protect_new(first->request.suite, first->request.key.octets, 0x7777);
    ck_assert_ptr_nonnull(forger);
    first->length =
        protect_make_rtp(first->packet, sizeof(first->packet), 8, 1, 1, 0x7777, "forged", 6);
    first->length = protect_rtp(forger, 1, first->packet, first->length, sizeof(first->packet));
    ck_assert_uint_gt(first->length, 0);
    media(&stage, label_of(&stage, first), first);
    ck_assert_uint_eq(verdict(&stage, VERDICT_SSRC_MISMATCH), 1);
    ck_assert_uint_eq(left(&stage), 0);
    protect_free(forger);
    tear_down(&stage);
}
END_TEST

/* A flood of frames that were accepted: the rate of the SA is kept behind the tunnel, too. */
START_TEST(test_flood)
{
    struct stage stage;
    struct pair_sender *first;

    set_up(&stage);
    first = stage.first;
    for (unsigned i = 0; i < 4000; i++) {
        pair_make_rtp(first);
        pair_inject_media(stage.tunnel, true, label_of(&stage, first), first->packet,
                          first->length);
    }
    pair_run(stage.pair, 20 * PAIR_MS);
    ck_assert_uint_le(left(&stage) * first->length, 500000 + 20000);
    ck_assert_uint_eq(verdict(&stage, VERDICT_RATE) + verdict(&stage, VERDICT_ACCEPTED), 4000);
    tear_down(&stage);
}
END_TEST

/* ------------------------------------------------------------ control frames */

static size_t put_sa(uint8_t *body, const struct stage *stage)
{
    struct sa *sa = sample_keyed_sa(SA_SIDE_EXTERNAL, stage->first->id, 5);
    struct writer w;

    sa->destination.rtp = sample_addr("10.6.6.6:6666");
    writer_init(&w, body, FRAME_MAX_OCTETS - FRAME_HEAD_OCTETS);
    wire_put_sa(&w, sa, WIRE_STATE);
    sa_free(sa);
    return writer_length(&w);
}

static size_t put_delete(uint8_t *body, const struct stage *stage)
{
    struct wire_delete deletion = {.id = stage->first->id, .version = 1};
    struct writer w;

    writer_init(&w, body, FRAME_MAX_OCTETS);
    wire_put_delete(&w, &deletion);
    return writer_length(&w);
}

static size_t put_sync(uint8_t *body, const struct stage *stage)
{
    struct wire_sync sync = {.kind = SYNC_SNAPSHOT,
                             .epoch = stage->pair->site[0].inner->links[0].authority.epoch};
    struct writer w;

    writer_init(&w, body, FRAME_MAX_OCTETS);
    wire_put_sync(&w, &sync);
    return writer_length(&w);
}

static size_t put_hello(uint8_t *body, const struct stage *stage)
{
    struct hello hello = {.version_min = 1, .version_max = 1, .version = 1};
    struct writer w;

    (void)stage;
    writer_init(&w, body, FRAME_MAX_OCTETS);
    hello_put(&w, &hello);
    return writer_length(&w);
}

static size_t put_ack(uint8_t *body, const struct stage *stage)
{
    struct hello hello = {.version = 1, .epoch = 1, .sa_version = 99};
    struct writer w;

    (void)stage;
    writer_init(&w, body, FRAME_MAX_OCTETS);
    hello_ack_put(&w, &hello);
    return writer_length(&w);
}

static size_t put_noise(uint8_t *body, const struct stage *stage)
{
    (void)stage;
    memset(body, 0x5a, 100);
    return 100;
}

static size_t put_nothing(uint8_t *body, const struct stage *stage)
{
    (void)body;
    (void)stage;
    return 0;
}

typedef size_t put_fn(uint8_t *body, const struct stage *stage);

static const struct {
    const char *name;
    uint8_t type;
    put_fn *put;
} lies[] = {
    {"SA-PUT", FRAME_SA_PUT, put_sa},
    {"SA-DELETE", FRAME_SA_DELETE, put_delete},
    {"SYNC-BEGIN", FRAME_SYNC_BEGIN, put_sync},
    {"SYNC-END", FRAME_SYNC_END, put_sync},
    {"HELLO", FRAME_HELLO, put_hello},
    {"a second HELLO-ACK", FRAME_HELLO_ACK, put_ack},
    {"SA-NAK of noise", FRAME_SA_NAK, put_noise},
    {"empty SA-NAK", FRAME_SA_NAK, put_nothing},
    {"PING of noise", FRAME_PING, put_noise},
    {"PONG of noise", FRAME_PONG, put_noise},
    {"empty SA-REPORT", FRAME_SA_REPORT, put_nothing},
    {"SA-REPORT of noise", FRAME_SA_REPORT, put_noise},
    {"STATS of noise", FRAME_STATS, put_noise},
    {"unknown", 0x33, put_noise},
    {"unknown media", 0x99, put_noise},
    {"media without a packet", FRAME_MEDIA, put_nothing},
};

/* A protocol error closes the tunnel and nothing else; an honest dmz-relay is welcome after it. */
START_TEST(test_control_lies)
{
    struct stage stage;
    uint8_t body[FRAME_MAX_OCTETS];
    size_t length;

    set_up(&stage);
    length = lies[_i].put(body, &stage);
    pair_inject(stage.tunnel, true, lies[_i].type, body, length);
    pair_run(stage.pair, 50 * PAIR_MS);
    ck_assert_ptr_null(stage.tunnel->inner);
    ck_assert_msg(strstr(stage.tunnel->inner_reason, "protocol error") != NULL, "%s: %s",
                  lies[_i].name, stage.tunnel->inner_reason);
    expect_unchanged(&stage);
    stage.pair->site[0].reconnect = true;
    (void)pair_run_until_synced(stage.pair);
    pair_expect_one_way(stage.first);
    pair_expect_one_way(stage.inside);
    tear_down(&stage);
}
END_TEST

/* Refusals of everything, PONGs to nothing: seen in what is displayed, and nowhere else. */
START_TEST(test_harmless_lies)
{
    struct stage stage;
    uint8_t body[256];
    struct writer w;

    set_up(&stage);
    for (uint64_t id = 0; id < 100; id++) {
        struct wire_nak nak = {.id = id, .generation = 1, .error = -255, .reason = "because"};
        struct ping ping = {.clock_us = id};

        writer_init(&w, body, sizeof(body));
        wire_put_nak(&w, &nak);
        pair_inject(stage.tunnel, true, FRAME_SA_NAK, body, writer_length(&w));
        writer_init(&w, body, sizeof(body));
        ping_put(&w, &ping);
        pair_inject(stage.tunnel, true, FRAME_PONG, body, writer_length(&w));
    }
    pair_make_rtp(stage.first);
    media(&stage, label_of(&stage, stage.first), stage.first);
    ck_assert_ptr_nonnull(stage.tunnel->inner);
    ck_assert_uint_eq(left(&stage), 1);
    pair_expect_received(stage.first, false);
    ck_assert_str_eq(sa_text(inner_find_sa(stage.pair->site[0].inner, stage.first->id), SA_REFUSED),
                     "because");
    tear_down(&stage);
}
END_TEST

/* Reports of everything, thousands of them: seen in what is displayed, and nowhere else. */
START_TEST(test_lying_reports)
{
    const struct inner_link *link;
    struct stage stage;
    uint8_t body[FRAME_MAX_OCTETS];
    struct writer w;

    set_up(&stage);
    link = &stage.pair->site[0].inner->links[0];
    for (unsigned i = 0; i < 3000; i++) {
        struct sa_report report = {.id = i % 100,
                                   .generation = 1,
                                   .packets = UINT64_MAX - i,
                                   .stray_verdict = VERDICT_RATE,
                                   .heard_count = 1};

        report.bound[0] = report.bound[1] = report.stray = sample_addr("10.1.0.66:6666");
        report.heard[0] = (struct sa_heard){.ssrc = i, .origin = SSRC_ORIGIN_ASSIGNED, .rtp = true};
        report.heard[0].index = (UINT64_C(1) << 48) - 1;
        writer_init(&w, body, sizeof(body));
        reportwire_put(&w, &report);
        pair_inject(stage.tunnel, true, FRAME_SA_REPORT, body, writer_length(&w));
    }
    pair_make_rtp(stage.first);
    media(&stage, label_of(&stage, stage.first), stage.first);
    ck_assert_ptr_nonnull(stage.tunnel->inner);
    ck_assert_uint_eq(left(&stage), 1);
    pair_expect_received(stage.first, false);
    ck_assert_uint_eq(link->reports, 3 * 30);
    ck_assert_uint_eq(link->reports_ignored, 3000 - 3 * 30);
    tear_down(&stage);
}
END_TEST

/* It says that it holds versions which it does not: it only harms itself. */
START_TEST(test_lie_about_versions)
{
    struct stage stage;
    struct pair *pair;

    set_up(&stage);
    pair = stage.pair;
    pair_reset(stage.tunnel);
    pair->dmz->sites[0].replica.epoch = pair->site[0].inner->links[0].authority.epoch;
    pair->dmz->sites[0].replica.version = pair->site[0].inner->links[0].authority.version;
    pair->site[0].reconnect = true;
    pair_run(pair, PAIR_SECOND);
    ck_assert_uint_eq(table_count(pair->dmz->table), 0);
    pair_send_rtp(stage.first);
    ck_assert_uint_eq(pair_dmz_verdict(pair, VERDICT_NO_SA), 1);
    pair_send_rtp(stage.inside);
    pair_run(pair, 50 * PAIR_MS);
    ck_assert_uint_eq(pair->dmz->sites[0].counts.n[VERDICT_NO_SA], 1);
    tear_down(&stage);
}
END_TEST

/* What the replica gets to know: no key of an internal sender, no address inside. */
START_TEST(test_what_the_dmz_knows)
{
    struct stage stage;
    struct pair *pair;
    const struct sa *outside, *inside;

    set_up(&stage);
    pair = stage.pair;
    pair_reset(stage.tunnel);
    pair->site[0].reconnect = true;
    (void)pair_run_until_synced(pair);
    outside = table_by_id(pair->dmz->table, 0, stage.first->id);
    inside = table_by_id(pair->dmz->table, 0, stage.inside->id);
    ck_assert_uint_eq(outside->destination.rtp.family, 0);
    ck_assert_uint_eq(outside->destination.rtcp.family, 0);
    ck_assert_uint_eq(inside->source.rtp.family, 0);
    ck_assert_uint_eq(inside->source.rtcp.family, 0);
    ck_assert_ptr_null(inside->suite);
    ck_assert_ptr_null(inside->srtp);
    tear_down(&stage);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pair liar");
    TCase *tc = tcase_create("liar");
    int result;

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, sample_engine_start, NULL);
    tcase_add_test(tc, test_honest);
    tcase_add_test(tc, test_wrong_labels);
    tcase_add_test(tc, test_replayed);
    tcase_add_test(tc, test_altered);
    tcase_add_test(tc, test_other_ssrc);
    tcase_add_test(tc, test_flood);
    tcase_add_loop_test(tc, test_control_lies, 0, sizeof(lies) / sizeof(lies[0]));
    tcase_add_test(tc, test_harmless_lies);
    tcase_add_test(tc, test_lying_reports);
    tcase_add_test(tc, test_lie_about_versions);
    tcase_add_test(tc, test_what_the_dmz_knows);
    suite_add_tcase(suite, tc);
    result = unit_run(suite);
    sample_engine_stop();
    return result;
}
