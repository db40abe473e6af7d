/*
 * Media past the dmz-relay: whatever paths are good, one packet of each SA in a second goes through
 * the tunnel, also where all send in step.
 */
#include "common/base/protocol.h"
#include "common/sa/table.h"
#include "common/sa/way.h"
#include "inner-relay/bypass.h"
#include "inner-relay/direct.h"
#include "tests/pair/pair.h"
#include "tests/unit/unit.h"

enum { SENDERS_MAX = 8, SECONDS = 10, STEP_MS = 20 };

/* A path to the other site: it answers at once, or never. */
struct way_past {
    struct direct direct;
    bool answers;
    unsigned packets;
};

static struct pair *pair;
static struct pair_sender *senders[SENDERS_MAX];
static unsigned sender_count;
static struct way_past ways[2];

static bool on_media(void *ctx, const struct sa *sa, const uint8_t *packet, size_t length,
                     uint64_t now_us)
{
    struct way_past *way = ctx;

    (void)sa;
    (void)packet;
    (void)length;
    if (direct_way(&way->direct, now_us) != DIRECT_ALONE)
        return false;
    way->packets++;
    return true;
}

static void answer(struct way_past *way)
{
    uint8_t ping[DIRECT_PING_OCTETS];
    struct direct other;
    uint32_t received;

    if (!way->answers)
        return;
    direct_open(&other, pair->now_us);
    direct_put(&way->direct, 0, ping, pair->now_us);
    ck_assert_int_eq(direct_get(&other, ping, sizeof(ping), &received, pair->now_us), 0);
    direct_put(&other, 0, ping, pair->now_us);
    ck_assert_int_eq(direct_get(&way->direct, ping, sizeof(ping), &received, pair->now_us), 0);
}

static void talk(unsigned ms)
{
    for (unsigned done = 0; done < ms; done += STEP_MS) {
        for (unsigned i = 0; i < 2; i++)
            answer(&ways[i]);
        for (unsigned i = 0; i < sender_count; i++)
            pair_send_rtp(senders[i]);
        pair_run(pair, STEP_MS * PAIR_MS);
    }
}

static void begin(unsigned count, bool first, bool second)
{
    struct admit_request request;

    pair = pair_new(1);
    sender_count = count;
    for (unsigned i = 0; i < count; i++) {
        pair_request(&request, SA_SIDE_INTERNAL, i + 1);
        senders[i] = pair_sender_new(pair, 0, &request);
    }
    (void)pair_run_until_synced(pair);
    for (unsigned i = 0; i < count; i++)
        ck_assert_int_eq(bypass_bind(inner_find_sa(pair->site[0].inner, senders[i]->id), 0, 1), 0);
    for (unsigned i = 0; i < 2; i++) {
        ways[i] = (struct way_past){.answers = i ? second : first};
        direct_open(&ways[i].direct, pair->now_us);
    }
    pair->site[0].inner->punchings = (struct inner_meetings){.media = on_media, .ctx = &ways[0]};
    pair->site[0].inner->meetings = (struct inner_meetings){.media = on_media, .ctx = &ways[1]};
}

static void end(void)
{
    for (unsigned i = 0; i < sender_count; i++)
        pair_sender_free(senders[i]);
    pair_free(pair);
}

static unsigned came_of(const struct pair_sender *sender)
{
    unsigned count = 0;

    for (size_t i = 0; i < pair->out.count; i++)
        count += addr_equal(&pair->out.sent[i].to, &sender->request.destination.rtp);
    return count;
}

static const struct {
    unsigned senders;
    bool first, second;
} rows[] = {
    {1, true, false}, {2, true, false}, {8, true, false},
    {1, true, true},  {8, true, true},  {8, false, true},
};

START_TEST(test_each)
{
    begin(rows[_i].senders, rows[_i].first, rows[_i].second);
    talk(2000);
    pair->out.count = 0;
    ways[0].packets = ways[1].packets = 0;
    talk(SECONDS * 1000);
    for (unsigned i = 0; i < sender_count; i++) {
        ck_assert_uint_ge(came_of(senders[i]), SECONDS - 1);
        ck_assert_uint_le(came_of(senders[i]), SECONDS + 1);
    }
    /* All have gone past it, each once. */
    ck_assert_uint_eq(ways[0].packets + ways[1].packets, sender_count * SECONDS * 1000 / STEP_MS);
    end();
}
END_TEST

/* Through the tunnel goes what no path takes, and each packet once. */
START_TEST(test_none)
{
    begin(2, false, false);
    talk(2000);
    pair->out.count = 0;
    talk(1000);
    for (unsigned i = 0; i < sender_count; i++)
        ck_assert_uint_eq(came_of(senders[i]), 1000 / STEP_MS);
    end();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pair_past");
    TCase *tcase = tcase_create("pair_past");

    tcase_add_loop_test(tcase, test_each, 0, sizeof(rows) / sizeof(rows[0]));
    tcase_add_test(tcase, test_none);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
