/* A new key in the middle of a call, while media runs: nothing is lost, and each packet counted. */
#include <string.h>

#include "common/sa/rekey.h"
#include "common/sa/table.h"
#include "common/srtp/srtp.h"
#include "tests/pair/pair.h"
#include "tests/unit/sample.h"
#include "tests/unit/unit.h"

enum { KEYS_MAX = 4 };

#define ROC(n) ((uint64_t)(n) << 16)

/* One sender, its keys, and what it has sent. */
struct line {
    struct pair *pair;
    struct pair_sender *sender;
    unsigned count; /* of keys */
    struct protect *key[KEYS_MAX];
    size_t sent;
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

static void start(struct line *line, enum wire_view keys, enum sa_side side, enum suite_id suite)
{
    struct admit_request request;

    memset(line, 0, sizeof(*line));
    line->pair = pair_new_unconnected(1);
    line->pair->inner_options.dmz_keys = keys;
    inner_of(line)->options.dmz_keys = keys;
    line->pair->site[0].reconnect = true;
    pair_request(&request, side, (unsigned)suite);
    line->sender = pair_sender_new(line->pair, 0, &request);
    line->key[line->count++] = line->sender->protect;
    (void)pair_run_until_synced(line->pair);
}

static void end(struct line *line)
{
    line->sender->protect = line->key[0];
    for (unsigned i = 1; i < line->count; i++)
        protect_free(line->key[i]);
    pair_sender_free(line->sender);
    pair_free(line->pair);
}

/* The authority knows one more key, the sender has it ready. */
static void change(struct line *line, enum suite_id id, uint64_t lifetime)
{
    const struct suite *suite = suite_get(id);
    struct srtp_key key = {.kind = SRTP_KEY_MASTER, .lifetime = lifetime};
    struct admit_error error;

    key.length = suite_material_octets(suite);
    for (size_t i = 0; i < key.length; i++)
        key.octets[i] = (uint8_t)(line->count * 41 + i * 7 + 3);
    ck_assert_int_eq(
        admit_rekey(inner_of(line), at_inner(line), suite, &key, line->pair->now_us, &error), 0);
    ck_assert_uint_lt(line->count, KEYS_MAX);
    line->key[line->count] = protect_new(suite, key.octets, line->sender->request.ssrc[0]);
    ck_assert_ptr_nonnull(line->key[line->count]);
    line->count++;
}

/* The sender protects with this key from now on. */
static void use(struct line *line, unsigned key)
{
    line->sender->protect = line->key[key];
}

/* RTP every 20 ms, and a report with every fifth. */
static void talk(struct line *line, unsigned packets)
{
    for (unsigned i = 0; i < packets; i++) {
        pair_send_rtp(line->sender);
        line->sent++;
        if (i % 5 == 0) {
            pair_send_rtcp(line->sender);
            line->sent++;
        }
        pair_run(line->pair, 20 * PAIR_MS);
    }
}

static void send_once(struct line *line)
{
    pair_send_rtp(line->sender);
    pair_run(line->pair, 50 * PAIR_MS);
}

static size_t arrived(const struct line *line)
{
    return pair_receiver(line->sender)->count;
}

static void expect_all(struct line *line)
{
    pair_run(line->pair, 50 * PAIR_MS);
    ck_assert_uint_eq(arrived(line), line->sent);
}

/* The relay that verifies packets of this sender first. */
static uint64_t first_verdict(const struct line *line, enum verdict verdict)
{
    return line->sender->side == SA_SIDE_EXTERNAL ? pair_dmz_verdict(line->pair, verdict)
                                                  : pair_inner_verdict(line->pair, 0, verdict);
}

/* Of frames that came through the tunnel. */
static uint64_t second_verdict(const struct line *line, enum verdict verdict)
{
    return line->sender->side == SA_SIDE_EXTERNAL ? inner_of(line)->links[0].counts.n[verdict]
                                                  : line->pair->dmz->sites[0].counts.n[verdict];
}

/* Both relays: so many accepted, and nothing else but these. */
static void expect_verdicts(const struct line *line, enum verdict verdict, uint64_t first,
                            uint64_t second)
{
    for (enum verdict v = 0; v < VERDICT_COUNT; v++) {
        if (v == VERDICT_ACCEPTED) {
            ck_assert_uint_eq(second_verdict(line, v), line->sent);
            ck_assert_uint_eq(first_verdict(line, v), line->sent + second);
        } else {
            ck_assert_uint_eq(first_verdict(line, v), v == verdict ? first : 0);
            ck_assert_uint_eq(second_verdict(line, v), v == verdict ? second : 0);
        }
    }
}

static void send_again(struct line *line, const uint8_t *packet, size_t length)
{
    pair_datagram(line->pair, line->sender->side, 0, line->sender->listener, false,
                  &line->sender->request.source.rtp, packet, length);
    pair_run(line->pair, 50 * PAIR_MS);
}

/* ------------------------------------------------------------ while media runs */

static const struct {
    enum wire_view keys;
    enum sa_side side;
} stages[] = {
    {WIRE_REPLICA_VERIFY_ONLY, SA_SIDE_EXTERNAL},
    {WIRE_REPLICA_FULL, SA_SIDE_EXTERNAL},
    {WIRE_REPLICA_KEYLESS, SA_SIDE_EXTERNAL},
    {WIRE_REPLICA_VERIFY_ONLY, SA_SIDE_INTERNAL},
};
enum { STAGES = sizeof(stages) / sizeof(stages[0]), CASES = STAGES * SUITE_COUNT };

static void start_case(struct line *line, int row)
{
    start(line, stages[row / SUITE_COUNT].keys, stages[row / SUITE_COUNT].side,
          (enum suite_id)(row % SUITE_COUNT));
}

static bool verified_second(int row)
{
    return stages[row / SUITE_COUNT].keys == WIRE_REPLICA_KEYLESS;
}

/* The sender changes over later than the authority, to the next suite; one packet is very late. */
START_TEST(test_nothing_lost)
{
    enum suite_id next = (enum suite_id)((_i + 1) % SUITE_COUNT);
    bool second = verified_second(_i), anew = _i % 2; /* the ROC */
    uint8_t late[PACKET_MAX_OCTETS];
    uint64_t changed_us;
    struct line line;
    size_t length;

    start_case(&line, _i);
    line.sender->index = ROC(1) - 30; /* a wrap, which both sides see */
    talk(&line, 50);
    expect_all(&line);
    changed_us = line.pair->now_us;
    change(&line, next, SRTP_LIFETIME_MAX);
    talk(&line, 25);
    pair_make_rtp(line.sender);
    length = line.sender->length;
    memcpy(late, line.sender->packet, length);
    use(&line, 1);
    if (anew)
        line.sender->index = (uint16_t)line.sender->index;
    talk(&line, 100);
    pair_run(line.pair, changed_us + OLD_KEY_US - 100 * PAIR_MS - line.pair->now_us);
    send_again(&line, late, length);
    line.sent++;
    expect_all(&line);
    expect_verdicts(&line, VERDICT_AUTH_FAIL, 0, 0);
    ck_assert_uint_eq(at_inner(&line)->generation, 2);
    ck_assert_uint_eq(at_dmz(&line)->generation, 2);
    ck_assert_uint_eq(at_inner(&line)->packets, line.sent);
    ck_assert_uint_eq(at_dmz(&line)->packets, line.sent);
    ck_assert_uint_eq(rtp_stats_lost(&at_inner(&line)->stream[0].stats), 0);
    ck_assert_uint_eq(rtp_stats_lost(&at_dmz(&line)->stream[0].stats), 0);

    /* It is over. */
    pair_run(line.pair, 100 * PAIR_MS);
    use(&line, 0);
    line.sender->index = ROC(9);
    for (int i = 0; i < 10; i++)
        send_once(&line);
    expect_all(&line);
    expect_verdicts(&line, VERDICT_AUTH_FAIL, second ? 0 : 10, second ? 10 : 0);
    pair_run(line.pair, 2 * PAIR_SECOND);
    ck_assert_ptr_null(at_inner(&line)->old);
    ck_assert_ptr_null(at_dmz(&line)->old);
    end(&line);
}
END_TEST

/* What was heard is not heard again: under the old key while it is good, and under the new one. */
START_TEST(test_replays)
{
    uint8_t packet[3][PACKET_MAX_OCTETS];
    bool second = verified_second(_i);
    size_t length[3];
    struct line line;

    start_case(&line, _i);
    for (int i = 0; i < 3; i++) {
        if (i == 1)
            change(&line, (enum suite_id)(_i % SUITE_COUNT), SRTP_LIFETIME_MAX);
        pair_run(line.pair, 50 * PAIR_MS);
        if (i == 2)
            use(&line, 1);
        send_once(&line);
        line.sent++;
        length[i] = line.sender->length;
        memcpy(packet[i], line.sender->packet, length[i]);
    }
    expect_all(&line);
    for (int i = 0; i < 3; i++)
        send_again(&line, packet[i], length[i]);
    expect_all(&line);
    expect_verdicts(&line, VERDICT_REPLAY, second ? 0 : 3, second ? 3 : 0);
    end(&line);
}
END_TEST

/* Three keys within five seconds, each used for a while; the first is good no longer. */
START_TEST(test_third_key)
{
    bool second = verified_second(_i);
    struct line line;

    start_case(&line, _i);
    talk(&line, 10);
    for (unsigned key = 1; key < 3; key++) {
        change(&line, (enum suite_id)((unsigned)_i * key % SUITE_COUNT), SRTP_LIFETIME_MAX);
        talk(&line, 10);
        use(&line, key);
        talk(&line, 10);
    }
    expect_all(&line);
    use(&line, 0);
    send_once(&line);
    use(&line, 2);
    expect_all(&line);
    expect_verdicts(&line, VERDICT_AUTH_FAIL, !second, second);
    end(&line);
}
END_TEST

/* A key that may protect some packets more, in both directions. */
START_TEST(test_lifetime)
{
    struct line line;
    bool second = verified_second(_i);

    start_case(&line, _i);
    change(&line, (enum suite_id)(_i % SUITE_COUNT), 24);
    use(&line, 1);
    pair_run(line.pair, 50 * PAIR_MS);
    talk(&line, 20); /* 24 with the reports */
    expect_all(&line);
    expect_verdicts(&line, VERDICT_KEY_EXPIRED, 0, 0);
    for (int i = 0; i < 3; i++)
        send_once(&line);
    expect_all(&line);
    expect_verdicts(&line, VERDICT_KEY_EXPIRED, second ? 0 : 3, second ? 3 : 0);
    change(&line, (enum suite_id)(_i % SUITE_COUNT), 1000);
    pair_run(line.pair, 50 * PAIR_MS);
    use(&line, 2);
    talk(&line, 50);
    expect_all(&line);
    expect_verdicts(&line, VERDICT_KEY_EXPIRED, second ? 0 : 3, second ? 3 : 0);
    end(&line);
}
END_TEST

/* ------------------------------------------------------------ with a cut in between */

/* To a ROC that no search would find: what follows shows that it was handed on. */
static void far_away(struct line *line)
{
    for (unsigned i = 0; i < 45; i++) {
        send_once(line);
        line->sent++;
        line->sender->index += 30000;
    }
    ck_assert_uint_gt(line->sender->index, ROC(20));
    expect_all(line);
}

/* The key changes while the network is away. */
START_TEST(test_change_while_cut)
{
    bool second = verified_second(_i), outside = stages[_i / SUITE_COUNT].side == SA_SIDE_EXTERNAL;
    struct line line;

    start_case(&line, _i);
    far_away(&line);
    pair_reset(pair_tunnel(line.pair, 0));
    change(&line, (enum suite_id)((_i + 1) % SUITE_COUNT), SRTP_LIFETIME_MAX);
    (void)pair_run_until_synced(line.pair);
    ck_assert_int_eq(inner_of(&line)->links[0].authority.sweep, false);
    pair_run(line.pair, 50 * PAIR_MS);
    talk(&line, 10); /* the delta took the old key with it */
    use(&line, 1);
    talk(&line, 10);
    expect_all(&line);
    expect_verdicts(&line, VERDICT_AUTH_FAIL, 0, 0);
    /* Twice: the dmz-relay knows the first and the third key, the inner-relay the second and third.
     */
    pair_reset(pair_tunnel(line.pair, 0));
    change(&line, (enum suite_id)(_i % SUITE_COUNT), SRTP_LIFETIME_MAX);
    change(&line, (enum suite_id)(_i % SUITE_COUNT), SRTP_LIFETIME_MAX);
    (void)pair_run_until_synced(line.pair);
    pair_run(line.pair, 50 * PAIR_MS);
    use(&line, 3);
    talk(&line, 10);
    use(&line, 1);
    send_once(&line); /* stopped by the inner-relay at the latest */
    expect_all(&line);
    expect_verdicts(&line, VERDICT_AUTH_FAIL, !outside, outside);
    if (!outside || second)
        goto done;
    use(&line, 2);
    send_once(&line);
    expect_all(&line);
    expect_verdicts(&line, VERDICT_AUTH_FAIL, 1, 1);
done:
    end(&line);
}
END_TEST

/* A dmz-relay that starts anew knows the new key only, and where the ROC goes on. */
START_TEST(test_fresh_replica)
{
    bool inside = stages[_i / SUITE_COUNT].side == SA_SIDE_INTERNAL;
    bool keyless = verified_second(_i);
    struct line line;
    size_t before;

    start_case(&line, _i);
    far_away(&line);
    change(&line, (enum suite_id)((_i + 1) % SUITE_COUNT), SRTP_LIFETIME_MAX);
    pair_run(line.pair, 50 * PAIR_MS);
    pair_restart_dmz(line.pair);
    (void)pair_run_until_synced(line.pair);
    ck_assert_int_eq(inner_of(&line)->links[0].authority.sweep, true);
    ck_assert_ptr_null(at_dmz(&line)->old);
    ck_assert_ptr_nonnull(at_inner(&line)->old);
    before = arrived(&line);
    send_once(&line);
    /* Of a sender inside, and without a key, it knows neither: the inner-relay says. */
    ck_assert_uint_eq(arrived(&line), before + (inside || keyless));
    ck_assert_uint_eq(pair_dmz_verdict(line.pair, VERDICT_AUTH_FAIL), !inside && !keyless);
    use(&line, 1);
    if (_i % 2)
        line.sender->index = (uint16_t)line.sender->index;
    before = arrived(&line);
    for (int i = 0; i < 20; i++)
        send_once(&line);
    ck_assert_uint_eq(arrived(&line), before + 20);
    ck_assert_uint_eq(pair_dmz_verdict(line.pair, VERDICT_AUTH_FAIL), !inside && !keyless);
    end(&line);
}
END_TEST

/* Likewise an inner-relay with its state file; the dmz-relay goes on with both keys. */
START_TEST(test_inner_restarted)
{
    bool inside = stages[_i / SUITE_COUNT].side == SA_SIDE_INTERNAL;
    static uint8_t state[PAIR_STATE_OCTETS];
    struct line line;
    size_t length, before;

    start_case(&line, _i);
    far_away(&line);
    change(&line, (enum suite_id)((_i + 1) % SUITE_COUNT), 4711);
    pair_run(line.pair, 50 * PAIR_MS);
    length = pair_save_state(line.pair, 0, state, sizeof(state));
    pair_kill_inner(line.pair, 0);
    pair_start_inner(line.pair, 0, state, length);
    (void)pair_run_until_synced(line.pair);
    ck_assert_uint_eq(at_inner(&line)->generation, 2);
    ck_assert_uint_eq(srtp_session_lifetime(at_inner(&line)->srtp), 4711);
    ck_assert_ptr_null(at_inner(&line)->old);
    ck_assert_int_eq(at_dmz(&line)->old != NULL, !inside);
    before = arrived(&line);
    send_once(&line);
    ck_assert_uint_eq(arrived(&line), before);
    ck_assert_uint_eq(inside ? pair_inner_verdict(line.pair, 0, VERDICT_AUTH_FAIL)
                             : second_verdict(&line, VERDICT_AUTH_FAIL),
                      1);
    use(&line, 1);
    if (_i % 2)
        line.sender->index = (uint16_t)line.sender->index;
    for (int i = 0; i < 20; i++)
        send_once(&line);
    ck_assert_uint_eq(arrived(&line), before + 20);
    ck_assert_uint_eq(srtp_session_lifetime(at_inner(&line)->srtp), 4711 - 20);
    end(&line);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {test_nothing_lost,   test_replays,          test_third_key,
                                  test_lifetime,       test_change_while_cut, test_fresh_replica,
                                  test_inner_restarted};
    Suite *suite = suite_create("pair rekey");
    TCase *tc = tcase_create("rekey");
    int result;

    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, sample_engine_start, NULL);
    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
        tcase_add_loop_test(tc, tests[i], 0, CASES);
    suite_add_tcase(suite, tc);
    result = unit_run(suite);
    sample_engine_stop();
    return result;
}
