/*
 * Senders that change in the middle of a call, as clients do on hold, on resume, after a hand-over
 * or a long silence: whatever is still theirs arrives, each packet once, and is counted as accepted
 * by both relays.
 */
#include <string.h>

#include "common/sa/table.h"
#include "common/srtp/srtp.h"
#include "tests/pair/pair.h"
#include "tests/unit/sample.h"
#include "tests/unit/unit.h"

enum { STEPS_MAX = 24, SSRCS = 10, CLIENTS_MAX = 2, RTCP_EVERY = 5 };

#define TURN 0x10000

/* ------------------------------------------------------------ a client */

/* One of its SSRCs. */
struct voice {
    uint32_t ssrc;
    uint64_t index; /* of the next RTP packet */
    struct protect *protect;
};

struct client {
    struct pair_sender *sender;
    struct admit_request key; /* suite and key that it protects with */
    struct voice voice[SSRCS];
    unsigned now; /* which of them it uses */
    unsigned keys;
    size_t sent;
};

static struct pair *pair;
static struct client clients[CLIENTS_MAX];
static unsigned client_count;
static const char *row_name;

static struct inner *inner(void)
{
    return pair->site[0].inner;
}

static struct sa *at_inner(const struct client *client)
{
    return inner_find_sa(inner(), client->sender->id);
}

static struct sa *at_dmz(const struct client *client)
{
    return table_by_id(pair->dmz->table, 0, client->sender->id);
}

static void use_voice(struct client *client, unsigned now)
{
    struct voice *voice = &client->voice[now];
    struct pair_sender *sender = client->sender;

    client->voice[client->now].index = sender->index;
    client->now = now;
    sender->protect = voice->protect;
    sender->index = voice->index;
    sender->request.ssrc[0] = voice->ssrc;
}

static void make_protect(struct client *client)
{
    for (unsigned i = 0; i < SSRCS; i++) {
        struct voice *voice = &client->voice[i];

        protect_free(voice->protect);
        voice->protect =
            protect_new(client->key.suite, client->key.key.octets, client->voice[i].ssrc);
        ck_assert_ptr_nonnull(voice->protect);
    }
    client->sender->protect = client->voice[client->now].protect;
}

/* ssrcs: of those that it will use, this many are signalled; 0: the relays learn them. */
static struct client *client_new(const struct admit_request *request, unsigned ssrcs)
{
    struct client *client = &clients[client_count++];
    struct admit_request full = *request;

    memset(client, 0, sizeof(*client));
    client->key = *request;
    for (unsigned i = 0; i < SSRCS; i++)
        client->voice[i] = (struct voice){.ssrc = request->ssrc[0] + 0x1000 * i, .index = 100};
    full.ssrc_count = ssrcs;
    for (unsigned i = 0; i < ssrcs; i++)
        full.ssrc[i] = client->voice[i].ssrc;
    client->sender = pair_sender_new(pair, 0, &full);
    client->sender->request.ssrc[0] = request->ssrc[0];
    protect_free(client->sender->protect);
    make_protect(client);
    return client;
}

static void setup(void)
{
    client_count = 0;
    pair = pair_new_unconnected(1);
    pair->inner_options.dmz_keys = WIRE_REPLICA_VERIFY_ONLY;
    inner()->options.dmz_keys = WIRE_REPLICA_VERIFY_ONLY;
    inner()->options.learns_ssrcs = true;
    pair->site[0].reconnect = true;
    (void)pair_run_until_synced(pair);
}

static void teardown(void)
{
    for (unsigned i = 0; i < client_count; i++) {
        clients[i].sender->protect = NULL;
        for (unsigned k = 0; k < SSRCS; k++)
            protect_free(clients[i].voice[k].protect);
        pair_sender_free(clients[i].sender);
    }
    pair_free(pair);
}

/* ------------------------------------------------------------ what it sends arrives */

static void wait_for_one(struct client *client, bool rtcp)
{
    struct pair_out *out = pair_receiver(client->sender);

    for (unsigned i = 0; i < 20 && out->count == 0; i++)
        pair_run(pair, PAIR_MS);
    ck_assert_msg(out->count == 1, "%s: %zu packets arrived, not 1", row_name, out->count);
    pair_expect_received(client->sender, rtcp);
    out->count = 0;
    client->sent++;
}

static void send_rtp(struct client *client)
{
    pair_send_rtp(client->sender);
    wait_for_one(client, false);
}

static void send_rtcp(struct client *client)
{
    pair_send_rtcp(client->sender);
    wait_for_one(client, true);
}

static void talk(struct client *client, unsigned packets)
{
    for (unsigned i = 0; i < packets; i++) {
        send_rtp(client);
        if (i % RTCP_EVERY == 1)
            send_rtcp(client);
    }
}

/* What the SA itself has counted, where the packet came in. */
static void expect_counted(const struct client *client)
{
    const struct sa *sa =
        client->sender->side == SA_SIDE_EXTERNAL ? at_dmz(client) : at_inner(client);

    for (enum verdict v = 0; v < VERDICT_COUNT; v++)
        ck_assert_uint_eq(sa->verdicts[v], v == VERDICT_ACCEPTED ? client->sent : 0);
}

/* Both relays: accepted, and nothing else. */
static void expect_all_accepted(void)
{
    uint64_t sent[3] = {0};

    for (unsigned i = 0; i < client_count; i++) {
        sent[clients[i].sender->side] += clients[i].sent;
        expect_counted(&clients[i]);
        ck_assert_uint_eq(at_inner(&clients[i])->packets, clients[i].sent);
        ck_assert_uint_eq(at_dmz(&clients[i])->packets, clients[i].sent);
    }
    for (enum verdict v = 0; v < VERDICT_COUNT; v++) {
        bool accepted = v == VERDICT_ACCEPTED;

        ck_assert_uint_eq(pair_dmz_verdict(pair, v), accepted ? sent[SA_SIDE_EXTERNAL] : 0);
        ck_assert_uint_eq(pair_inner_verdict(pair, 0, v), accepted ? sent[SA_SIDE_INTERNAL] : 0);
        ck_assert_uint_eq(inner()->links[0].counts.n[v], accepted ? sent[SA_SIDE_EXTERNAL] : 0);
        ck_assert_uint_eq(pair->dmz->sites[0].counts.n[v], accepted ? sent[SA_SIDE_INTERNAL] : 0);
    }
}

/* ------------------------------------------------------------ one client changes */

enum op {
    END,
    TALK,     /* sends so many */
    LOSE,     /* so many are lost on their way to the relay */
    BEGIN_AT, /* this is the sender's next index */
    HOLD,     /* is silent for so many seconds */
    SSRC,     /* changes to the SSRC with this number; it goes on where that stood */
    NEW_KEY,  /* the relays are told a new key. 1: the sender's ROC begins anew, 0: it goes on */
    SAME_KEY, /* the relays are told the same key once more */
};

static const struct {
    const char *name;
    unsigned ssrcs; /* that are signalled; 0: they are learned */
    struct {
        enum op op;
        unsigned n;
    } step[STEPS_MAX];
} rows[] = {
    {"the ROC wraps", 1, {{BEGIN_AT, TURN - 20}, {TALK, 50}}},
    {"the ROC wraps again and again",
     1,
     {{TALK, 5},
      {LOSE, 30000},
      {TALK, 5},
      {LOSE, 30000},
      {TALK, 5},
      {LOSE, 30000},
      {TALK, 5},
      {LOSE, 30000},
      {TALK, 5},
      {LOSE, 30000},
      {TALK, 5}}},
    {"the sequence jumps ahead",
     1,
     {{TALK, 20}, {LOSE, 1000}, {TALK, 20}, {LOSE, 5000}, {TALK, 20}, {LOSE, 32000}, {TALK, 20}}},
    {"the sequence jumps back, the ROC ahead",
     1,
     {{BEGIN_AT, 10000}, {TALK, 20}, {LOSE, TURN - 1000}, {TALK, 20}}},
    {"40,000 lost", 1, {{TALK, 20}, {LOSE, 40000}, {TALK, 50}}},
    {"40,000 lost over a wrap", 1, {{BEGIN_AT, 60000}, {TALK, 20}, {LOSE, 40000}, {TALK, 50}}},
    {"40,000 lost in a later turn",
     1,
     {{BEGIN_AT, TURN - 10}, {TALK, 20}, {LOSE, 40000}, {TALK, 50}}},
    {"40,000 lost twice in a row",
     1,
     {{TALK, 20}, {LOSE, 40000}, {TALK, 2}, {LOSE, 40000}, {TALK, 50}}},
    {"70,000 lost", 1, {{TALK, 20}, {LOSE, 70000}, {TALK, 50}}},
    {"40,000 lost, then a new key", 1, {{TALK, 20}, {LOSE, 40000}, {NEW_KEY, 0}, {TALK, 50}}},
    {"a new key, the ROC goes on",
     1,
     {{BEGIN_AT, TURN - 10}, {TALK, 20}, {NEW_KEY, 0}, {TALK, 50}}},
    {"a new key, the ROC begins anew",
     1,
     {{BEGIN_AT, TURN - 10}, {TALK, 20}, {NEW_KEY, 1}, {TALK, 50}}},
    {"a new key during a hold",
     1,
     {{BEGIN_AT, TURN - 10}, {TALK, 20}, {HOLD, 4}, {NEW_KEY, 0}, {HOLD, 7}, {TALK, 50}}},
    {"a new key again and again",
     1,
     {{TALK, 10},
      {NEW_KEY, 0},
      {TALK, 10},
      {NEW_KEY, 1},
      {TALK, 10},
      {HOLD, 6},
      {NEW_KEY, 0},
      {TALK, 10}}},
    {"the same key again",
     1,
     {{BEGIN_AT, TURN - 10}, {TALK, 20}, {SAME_KEY, 0}, {TALK, 20}, {HOLD, 6}, {TALK, 20}}},
    {"the same key again, and 40,000 lost",
     1,
     {{TALK, 20}, {SAME_KEY, 0}, {LOSE, 40000}, {TALK, 20}}},
    {"another SSRC on hold, and back to the old one on resume",
     2,
     {{TALK, 20},
      {HOLD, 3},
      {SSRC, 1},
      {TALK, 20},
      {HOLD, 3},
      {SSRC, 0},
      {TALK, 20},
      {SSRC, 1},
      {TALK, 20}}},
    {"another SSRC with another ROC",
     2,
     {{BEGIN_AT, TURN - 10},
      {TALK, 20},
      {SSRC, 1},
      {BEGIN_AT, 7},
      {TALK, 20},
      {SSRC, 0},
      {TALK, 20}}},
    {"another SSRC with another key",
     2,
     {{TALK, 20}, {HOLD, 3}, {NEW_KEY, 1}, {SSRC, 1}, {TALK, 20}, {HOLD, 6}, {SSRC, 0}, {TALK, 9}}},
    {"eight SSRCs in turn",
     8,
     {{TALK, 7},
      {SSRC, 1},
      {TALK, 7},
      {SSRC, 2},
      {TALK, 7},
      {SSRC, 3},
      {TALK, 7},
      {SSRC, 4},
      {TALK, 7},
      {SSRC, 5},
      {TALK, 7},
      {SSRC, 6},
      {TALK, 7},
      {SSRC, 7},
      {TALK, 7},
      {SSRC, 0},
      {TALK, 7}}},
    {"learned: another SSRC on hold, and back to the old one on resume",
     0,
     {{TALK, 20},
      {HOLD, 3},
      {SSRC, 1},
      {TALK, 20},
      {HOLD, 3},
      {SSRC, 0},
      {TALK, 20},
      {SSRC, 1},
      {TALK, 20}}},
    {"learned: another SSRC, whose ROC wraps",
     0,
     {{BEGIN_AT, TURN - 10},
      {TALK, 20},
      {SSRC, 1},
      {BEGIN_AT, TURN - 30},
      {TALK, 50},
      {SSRC, 0},
      {TALK, 20}}},
    {"learned: 40,000 lost under each SSRC",
     0,
     {{TALK, 20},
      {LOSE, 40000},
      {TALK, 20},
      {SSRC, 1},
      {TALK, 20},
      {LOSE, 40000},
      {TALK, 20},
      {SSRC, 0},
      {TALK, 20},
      {LOSE, 40000},
      {TALK, 20}}},
    {"learned: another SSRC and another key at once",
     0,
     {{BEGIN_AT, TURN - 10}, {TALK, 20}, {HOLD, 3}, {NEW_KEY, 1}, {SSRC, 1}, {TALK, 20}}},
    {"learned: another key, and back to an old SSRC",
     0,
     {{TALK, 20},
      {SSRC, 1},
      {TALK, 20},
      {NEW_KEY, 1},
      {TALK, 20},
      {HOLD, 6},
      {SSRC, 0},
      {TALK, 20}}},
    {"learned: the same key again",
     0,
     {{BEGIN_AT, TURN - 10}, {TALK, 20}, {SAME_KEY, 0}, {TALK, 20}, {SSRC, 1}, {TALK, 20}}},
    {"learned: ten SSRCs in turn, and back to the first, which was let go",
     0,
     {{TALK, 7}, {SSRC, 1}, {TALK, 7}, {SSRC, 2}, {TALK, 7}, {SSRC, 3}, {TALK, 7}, {SSRC, 4},
      {TALK, 7}, {SSRC, 5}, {TALK, 7}, {SSRC, 6}, {TALK, 7}, {SSRC, 7}, {TALK, 7}, {SSRC, 8},
      {TALK, 7}, {SSRC, 9}, {TALK, 7}, {SSRC, 4}, {TALK, 7}, {SSRC, 0}, {TALK, 7}}},
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]), SIDES = 2, CASES = ROWS * SUITE_COUNT * SIDES };

/* The sender takes the key once the relays have it. */
static void give_key(struct client *client, bool anew)
{
    struct srtp_key *key = &client->key.key;
    struct admit_error error;

    client->keys++;
    for (size_t i = 0; i < key->length; i++)
        key->octets[i] = (uint8_t)(client->keys * 83 + i * 7 + 3);
    ck_assert_int_eq(
        admit_rekey(inner(), at_inner(client), client->key.suite, key, pair->now_us, &error), 0);
    pair_run(pair, 20 * PAIR_MS);
    make_protect(client);
    if (!anew)
        return;
    client->voice[client->now].index = client->sender->index;
    for (unsigned i = 0; i < SSRCS; i++)
        client->voice[i].index %= TURN;
    client->sender->index = client->voice[client->now].index;
}

static void give_same_key(struct client *client)
{
    uint32_t generation = at_inner(client)->generation;
    struct admit_error error;

    ck_assert_int_eq(admit_rekey(inner(), at_inner(client), client->key.suite, &client->key.key,
                                 pair->now_us, &error),
                     0);
    pair_run(pair, 20 * PAIR_MS);
    ck_assert_uint_eq(at_dmz(client)->generation, generation);
}

static void do_step(struct client *client, enum op op, unsigned n)
{
    switch (op) {
    case TALK:
        talk(client, n);
        break;
    case LOSE:
        client->sender->index += n;
        break;
    case BEGIN_AT:
        client->sender->index = n;
        break;
    case HOLD:
        pair_run(pair, n * PAIR_SECOND);
        break;
    case SSRC:
        use_voice(client, n);
        break;
    case NEW_KEY:
        give_key(client, n);
        break;
    case SAME_KEY:
        give_same_key(client);
        break;
    case END:
        break;
    }
}

START_TEST(test_one)
{
    unsigned suite = (unsigned)_i / ROWS % SUITE_COUNT;
    enum sa_side side = _i / ROWS / (int)SUITE_COUNT ? SA_SIDE_INTERNAL : SA_SIDE_EXTERNAL;
    unsigned row = (unsigned)_i % ROWS;
    struct admit_request request;
    struct client *client;

    row_name = rows[row].name;
    pair_request(&request, side, suite);
    client = client_new(&request, rows[row].ssrcs);
    pair_run(pair, 20 * PAIR_MS);
    for (unsigned i = 0; i < STEPS_MAX; i++)
        do_step(client, rows[row].step[i].op, rows[row].step[i].n);
    expect_all_accepted();
}
END_TEST

/* ------------------------------------------------------------ two clients, one SSRC */

/* Where they send from, and what else happens. */
static const struct {
    const char *name;
    enum sa_side side[CLIENTS_MAX];
    bool one_source; /* one address and port: nothing but the key tells them apart */
    unsigned ssrcs;  /* signalled; 0: learned */
    unsigned lost;   /* of the second one, in each round */
    bool new_key;    /* the second one gets one in between */
} couples[] = {
    {"two outside", {SA_SIDE_EXTERNAL, SA_SIDE_EXTERNAL}, false, 1, 0, false},
    {"two inside", {SA_SIDE_INTERNAL, SA_SIDE_INTERNAL}, false, 1, 0, false},
    {"one on either side", {SA_SIDE_EXTERNAL, SA_SIDE_INTERNAL}, false, 1, 0, false},
    {"two outside, at different ROCs",
     {SA_SIDE_EXTERNAL, SA_SIDE_EXTERNAL},
     false,
     1,
     30000,
     false},
    {"two outside, one with a new key", {SA_SIDE_EXTERNAL, SA_SIDE_EXTERNAL}, false, 1, 0, true},
    {"two outside at one address", {SA_SIDE_EXTERNAL, SA_SIDE_EXTERNAL}, true, 1, 0, false},
    {"two inside at one address", {SA_SIDE_INTERNAL, SA_SIDE_INTERNAL}, true, 1, 0, false},
    {"two at one address, at different ROCs",
     {SA_SIDE_EXTERNAL, SA_SIDE_EXTERNAL},
     true,
     1,
     30000,
     false},
    {"two at one address, one with a new key",
     {SA_SIDE_EXTERNAL, SA_SIDE_EXTERNAL},
     true,
     1,
     0,
     true},
    {"two at one address, learned", {SA_SIDE_EXTERNAL, SA_SIDE_EXTERNAL}, true, 0, 0, false},
    {"two inside at one address, learned", {SA_SIDE_INTERNAL, SA_SIDE_INTERNAL}, true, 0, 0, false},
    {"two at one address, learned, one with a new key",
     {SA_SIDE_EXTERNAL, SA_SIDE_EXTERNAL},
     true,
     0,
     0,
     true},
};
enum { COUPLES = sizeof(couples) / sizeof(couples[0]) };

START_TEST(test_two)
{
    unsigned suite = (unsigned)_i / COUPLES, row = (unsigned)_i % COUPLES;
    struct admit_request request;

    row_name = couples[row].name;
    for (unsigned i = 0; i < CLIENTS_MAX; i++) {
        pair_request(&request, couples[row].side[i], suite + SUITE_COUNT * i);
        request.ssrc[0] = 4711;
        if (i > 0 && couples[row].one_source)
            request.source = clients[0].key.source;
        client_new(&request, couples[row].ssrcs);
    }
    ck_assert_uint_ne(at_inner(&clients[0])->label, at_inner(&clients[1])->label);
    pair_run(pair, 20 * PAIR_MS);
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < CLIENTS_MAX; i++)
            talk(&clients[i], 3);
        clients[1].sender->index += couples[row].lost;
        if (round == 10 && couples[row].new_key)
            give_key(&clients[1], false);
    }
    expect_all_accepted();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pair changes");
    TCase *tc = tcase_create("changes");
    int result;

    tcase_set_timeout(tc, 60);
    tcase_add_unchecked_fixture(tc, sample_engine_start, NULL);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, test_one, 0, CASES);
    tcase_add_loop_test(tc, test_two, 0, COUPLES * SUITE_COUNT);
    suite_add_tcase(suite, tc);
    result = unit_run(suite);
    sample_engine_stop();
    return result;
}
