/* Faults between two clients and both cores: the cause that explain() finds is the one. */
#include <errno.h>
#include <string.h>

#include "common/sa/table.h"
#include "inner-relay/facts.h"
#include "tests/pair/pair.h"
#include "tests/unit/sample.h"
#include "tests/unit/unit.h"

enum { OUT, IN, BOTH };

/* A call, and beside it another one that is always well: somebody is heard. */
struct scene {
    struct pair *pair;
    struct pair_sender *side[BOTH];  /* the sender outside, and the one inside */
    struct pair_sender *other[BOTH]; /* of the other call */
    struct protect *wrong_key;
    bool quiet; /* the other call is silent, too */
};

static struct pair_sender *sender(struct pair *pair, enum sa_side side, unsigned n,
                                  const struct pair_sender *reverse)
{
    struct admit_request request;

    pair_request(&request, side, n);
    request.suite = suite_get(SUITE_AES_CM_128_HMAC_SHA1_80);
    request.key.length = suite_material_octets(request.suite);
    request.reverse = reverse ? reverse->id : 0;
    return pair_sender_new(pair, 0, &request);
}

static void set_up(struct scene *scene)
{
    memset(scene, 0, sizeof(*scene));
    scene->pair = pair_new(1);
    scene->side[OUT] = sender(scene->pair, SA_SIDE_EXTERNAL, 1, NULL);
    scene->side[IN] = sender(scene->pair, SA_SIDE_INTERNAL, 1, scene->side[OUT]);
    scene->other[OUT] = sender(scene->pair, SA_SIDE_EXTERNAL, 2, NULL);
    scene->other[IN] = sender(scene->pair, SA_SIDE_INTERNAL, 2, scene->other[OUT]);
    (void)pair_run_until_synced(scene->pair);
}

static void tear_down(struct scene *scene)
{
    for (int i = 0; i < BOTH; i++) {
        pair_sender_free(scene->side[i]);
        pair_sender_free(scene->other[i]);
    }
    protect_free(scene->wrong_key);
    pair_free(scene->pair);
}

/* A second of packets, every 20 ms; how each of a direction goes out is the fault's. */
typedef void send_fn(struct scene *scene, struct pair_sender *sender);

static void talk(struct scene *scene, unsigned seconds, send_fn *out, send_fn *in)
{
    for (unsigned i = 0; i < 50 * seconds; i++) {
        if (out)
            out(scene, scene->side[OUT]);
        if (in)
            in(scene, scene->side[IN]);
        if (!scene->quiet) {
            pair_send_rtp(scene->other[OUT]);
            pair_send_rtp(scene->other[IN]);
        }
        pair_run(scene->pair, 20 * PAIR_MS);
    }
}

/* ------------------------------------------------------------ ways to send */

static void good(struct scene *scene, struct pair_sender *sender)
{
    (void)scene;
    pair_send_rtp(sender);
}

static void give(struct pair_sender *sender, bool rtcp_port, const struct addr *source)
{
    pair_datagram(sender->pair, sender->side, 0, 0, rtcp_port, source, sender->packet,
                  sender->length);
}

static void with_wrong_key(struct scene *scene, struct pair_sender *sender)
{
    uint8_t material[SUITE_KEY_MAX_OCTETS] = {9};
    struct protect *right = sender->protect;

    if (!scene->wrong_key)
        scene->wrong_key = protect_new(sender->request.suite, material, sender->request.ssrc[0]);
    sender->protect = scene->wrong_key;
    pair_send_rtp(sender);
    sender->protect = right;
}

static void under_another_ssrc(struct scene *scene, struct pair_sender *sender)
{
    struct protect *right = sender->protect;
    uint32_t ssrc = sender->request.ssrc[0];

    if (!scene->wrong_key)
        scene->wrong_key =
            protect_new(sender->request.suite, sender->request.key.octets, ssrc + 1000);
    sender->protect = scene->wrong_key;
    sender->request.ssrc[0] = ssrc + 1000;
    pair_send_rtp(sender);
    sender->protect = right;
    sender->request.ssrc[0] = ssrc;
}

static void from_elsewhere(struct scene *scene, struct pair_sender *sender)
{
    struct addr source = sender->request.source.rtp;

    (void)scene;
    source.port += 1000;
    pair_make_rtp(sender);
    give(sender, false, &source);
}

static void to_the_rtcp_port(struct scene *scene, struct pair_sender *sender)
{
    (void)scene;
    pair_make_rtp(sender);
    give(sender, true, &sender->request.source.rtp);
}

/* G.711 silence, and no tag. */
static void unprotected(struct scene *scene, struct pair_sender *sender)
{
    uint8_t payload[160];

    (void)scene;
    memset(payload, 0xd5, sizeof(payload));
    sender->length = protect_make_rtp(sender->packet, sizeof(sender->packet), 8,
                                      (uint16_t)sender->index++, sender->timestamp += 160,
                                      sender->request.ssrc[0], payload, sizeof(payload));
    give(sender, false, &sender->request.source.rtp);
}

static void octets(struct pair_sender *sender, const char *hex)
{
    sender->length = unit_hex(hex, sender->packet, sizeof(sender->packet));
    give(sender, false, &sender->request.source.rtp);
}

static void dtls(struct scene *scene, struct pair_sender *sender)
{
    (void)scene;
    octets(sender, "16 fefd 0000 000000000000 0004 01000000");
}

static void stun(struct scene *scene, struct pair_sender *sender)
{
    (void)scene;
    octets(sender, "0001 0000 2112a442 000102030405060708090a0b");
}

static void rtcp_only(struct scene *scene, struct pair_sender *sender)
{
    (void)scene;
    pair_send_rtcp(sender);
}

static void the_same_again(struct scene *scene, struct pair_sender *sender)
{
    (void)scene;
    give(sender, false, &sender->request.source.rtp);
}

/* ------------------------------------------------------------ faults */

static void fault_none(struct scene *scene)
{
    talk(scene, 3, good, good);
}

static void fault_wrong_key(struct scene *scene)
{
    talk(scene, 3, with_wrong_key, good);
}

static void fault_wrong_key_inside(struct scene *scene)
{
    talk(scene, 3, good, with_wrong_key);
}

static void fault_nothing_sent(struct scene *scene)
{
    talk(scene, 3, NULL, good);
}

static void fault_one_direction(struct scene *scene)
{
    talk(scene, 3, good, NULL);
}

static void fault_firewall(struct scene *scene)
{
    scene->quiet = true;
    talk(scene, 3, NULL, good);
}

static void fault_moved(struct scene *scene)
{
    talk(scene, 2, good, good);
    talk(scene, 5, from_elsewhere, good);
}

static void fault_tunnel_down(struct scene *scene)
{
    talk(scene, 2, good, good);
    scene->pair->site[0].reconnect = false;
    pair_reset(pair_tunnel(scene->pair, 0));
    talk(scene, 2, good, good);
}

static void fault_wrong_ssrc(struct scene *scene)
{
    talk(scene, 3, under_another_ssrc, good);
}

static void fault_unreachable(struct scene *scene)
{
    scene->pair->site[0].out.error = EHOSTUNREACH;
    talk(scene, 3, good, good);
}

static void fault_plain(struct scene *scene)
{
    talk(scene, 3, unprotected, good);
}

static void fault_wrong_port(struct scene *scene)
{
    talk(scene, 3, to_the_rtcp_port, good);
}

static void fault_dtls(struct scene *scene)
{
    talk(scene, 3, dtls, good);
}

static void fault_stun(struct scene *scene)
{
    talk(scene, 3, stun, good);
}

static void fault_rtcp_only(struct scene *scene)
{
    talk(scene, 3, rtcp_only, good);
}

static void fault_replay(struct scene *scene)
{
    talk(scene, 2, good, good);
    talk(scene, 5, the_same_again, good);
}

static void fault_stopped(struct scene *scene)
{
    talk(scene, 2, good, good);
    talk(scene, 5, NULL, good);
}

static void fault_rate(struct scene *scene)
{
    struct sa *sa = table_by_id(scene->pair->dmz->table, 0, scene->side[OUT]->id);

    rate_init(&sa->rate, 1000);
    talk(scene, 5, good, good);
}

static void fault_refused(struct scene *scene)
{
    struct inner *inner = scene->pair->site[0].inner;
    struct sa *sa = inner_find_sa(inner, scene->side[IN]->id);

    ck_assert_int_eq(sa_set_text(sa, SA_LISTENER_OUT, "nowhere"), 0);
    authority_changed(&inner->links[0].authority, sa);
    talk(scene, 3, good, good);
}

static const struct {
    const char *name;
    void (*make)(struct scene *scene);
    enum explain_cause cause;
    unsigned worst;
    const char *tail; /* of the first line */
} faults[] = {
    {"none", fault_none, EXPLAIN_FLOWS, OUT, "flow to 10.1.0.1:30000."},
    {"wrong key", fault_wrong_key, EXPLAIN_WRONG_KEY, OUT,
     "auth-fail). The other direction flows."},
    {"wrong key inside", fault_wrong_key_inside, EXPLAIN_WRONG_KEY, IN,
     "The other direction flows."},
    {"nothing sent", fault_nothing_sent, EXPLAIN_NOTHING, OUT, "The other direction flows."},
    {"one direction", fault_one_direction, EXPLAIN_NOTHING, IN, "The other direction flows."},
    {"firewall", fault_firewall, EXPLAIN_LISTENER_SILENT, OUT, "The other direction flows."},
    {"moved", fault_moved, EXPLAIN_OTHER_SOURCE, OUT, "The other direction flows."},
    {"tunnel down", fault_tunnel_down, EXPLAIN_TUNNEL_DOWN, OUT, "."},
    {"wrong SSRC", fault_wrong_ssrc, EXPLAIN_WRONG_SSRC, OUT,
     "0x20000001. The other direction flows."},
    {"unreachable", fault_unreachable, EXPLAIN_UNREACHABLE, OUT, "The other direction flows."},
    {"plain", fault_plain, EXPLAIN_PLAIN_RTP, OUT, "The other direction flows."},
    {"wrong port", fault_wrong_port, EXPLAIN_WRONG_PORT, OUT, "The other direction flows."},
    {"DTLS", fault_dtls, EXPLAIN_DTLS, OUT, "The other direction flows."},
    {"STUN", fault_stun, EXPLAIN_STUN, OUT, "The other direction flows."},
    {"RTCP only", fault_rtcp_only, EXPLAIN_ONLY_RTCP, OUT, "The other direction flows."},
    {"replay", fault_replay, EXPLAIN_REPLAY, OUT, "The other direction flows."},
    {"stopped", fault_stopped, EXPLAIN_STOPPED, OUT, "s. The other direction flows."},
    {"rate", fault_rate, EXPLAIN_RATE, OUT, "The other direction flows."},
    {"refused", fault_refused, EXPLAIN_REFUSED, IN,
     "no listener of this name and family. The other direction flows."},
};

static bool ends_with(const char *text, const char *tail)
{
    size_t length = strlen(text), n = strlen(tail);

    return length >= n && strcmp(text + length - n, tail) == 0;
}

/* From whichever side one asks. */
START_TEST(test_fault)
{
    struct scene scene;

    set_up(&scene);
    faults[_i].make(&scene);
    for (int asked = OUT; asked < BOTH; asked++) {
        struct inner *inner = scene.pair->site[0].inner;
        const struct sa *sa = inner_find_sa(inner, scene.side[asked]->id);
        struct explain_facts facts;
        struct explained out;

        facts_gather(inner, sa, &facts, scene.pair->now_us);
        ck_assert_uint_eq(facts.count, 2);
        explain(&facts, &out);
        ck_assert_msg(out.direction[out.worst].cause == faults[_i].cause, "%s: %s", faults[_i].name,
                      out.text);
        if (faults[_i].cause != EXPLAIN_FLOWS && faults[_i].cause != EXPLAIN_TUNNEL_DOWN)
            ck_assert_uint_eq(facts.direction[out.worst].id, scene.side[faults[_i].worst]->id);
        ck_assert_msg(asked != OUT || ends_with(out.text, faults[_i].tail), "%s", out.text);
    }
    tear_down(&scene);
}
END_TEST

/* ------------------------------------------------------------ phones behind one NAT */

enum { TALKS, WRONG, SILENT, PHONES };

static void send_from(struct pair_sender *phone, unsigned n)
{
    struct addr source = sample_addr("198.51.100.99:40000");

    source.port = (uint16_t)(source.port + n);
    pair_make_rtp(phone);
    give(phone, false, &source);
}

static enum explain_cause cause_of(const struct pair_sender *phone)
{
    struct inner *inner = phone->pair->site[0].inner;
    struct explain_facts facts;
    struct explained out;

    facts_gather(inner, inner_find_sa(inner, phone->id), &facts, phone->pair->now_us);
    explain(&facts, &out);
    return out.direction[0].cause;
}

/*
 * Their address is all that is known of them, and one has a wrong key: whose packets these are is
 * known when all others were heard, and not before.
 */
START_TEST(test_behind_one_nat)
{
    struct pair *pair = pair_new(1);
    struct pair_sender *phones[PHONES];
    struct admit_request request;

    pair->site[0].inner->options.learns_ssrcs = true;
    for (unsigned i = 0; i < PHONES; i++) {
        pair_request(&request, SA_SIDE_EXTERNAL, SUITE_COUNT * i);
        request.source_policy = SOURCE_HINTED;
        request.hint = sample_addr("198.51.100.99:5060");
        request.source.rtp = sample_addr("192.168.1.7:4000");
        request.source.rtp.port = (uint16_t)(request.source.rtp.port + 2 * i);
        request.source.rtcp.family = 0;
        request.ssrc_count = 0;
        phones[i] = pair_sender_new(pair, 0, &request);
        /* What it sends nobody is told of. */
        if (i == WRONG) {
            protect_free(phones[i]->protect);
            request.key.octets[3]++;
            phones[i]->protect = protect_new(request.suite, request.key.octets, request.ssrc[0]);
        }
    }
    (void)pair_run_until_synced(pair);
    for (unsigned i = 0; i < 200; i++) {
        send_from(phones[TALKS], TALKS);
        send_from(phones[WRONG], WRONG);
        if (i == 100) {
            ck_assert_int_eq(cause_of(phones[TALKS]), EXPLAIN_FLOWS);
            ck_assert_int_eq(cause_of(phones[WRONG]), EXPLAIN_NO_KEY_FITS);
            ck_assert_int_eq(cause_of(phones[SILENT]), EXPLAIN_NO_KEY_FITS);
        }
        if (i > 100)
            send_from(phones[SILENT], SILENT);
        pair_run(pair, 20 * PAIR_MS);
    }
    ck_assert_int_eq(cause_of(phones[TALKS]), EXPLAIN_FLOWS);
    ck_assert_int_eq(cause_of(phones[WRONG]), EXPLAIN_WRONG_KEY);
    ck_assert_int_eq(cause_of(phones[SILENT]), EXPLAIN_FLOWS);
    for (unsigned i = 0; i < PHONES; i++)
        pair_sender_free(phones[i]);
    pair_free(pair);
}
END_TEST

/* Two sites of one dmz-relay meet in its memory: a silent one is no matter of firewalls. */
START_TEST(test_other_site_silent)
{
    struct pair *pair = pair_new(1);
    struct dmz *dmz = pair->dmz;
    struct pair_sender *far;
    struct admit_request request;

    ck_assert_int_eq(peers_add(&dmz->peers, PEERS_SELF, &dmz->listeners[0].advertise), 0);
    peers_fill_rules(&dmz->peers, &dmz->rules);
    pair_request(&request, SA_SIDE_EXTERNAL, 1);
    request.source.rtp = request.source.rtcp = dmz->listeners[0].advertise;
    request.source.rtcp.port++;
    far = pair_sender_new(pair, 0, &request);
    (void)pair_run_until_synced(pair);
    pair_run(pair, 3 * PAIR_SECOND);
    ck_assert_int_eq(cause_of(far), EXPLAIN_OTHER_SITE);
    pair_sender_free(far);
    pair_free(pair);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pair_explain");
    TCase *tc = tcase_create("pair_explain");
    int result;

    tcase_add_checked_fixture(tc, sample_engine_start, NULL);
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, test_fault, 0, sizeof(faults) / sizeof(faults[0]));
    tcase_add_test(tc, test_behind_one_nat);
    tcase_add_test(tc, test_other_site_silent);
    suite_add_tcase(suite, tc);
    result = unit_run(suite);
    sample_engine_stop();
    return result;
}
