/*
 * The way of a packet allocates nothing: neither in the cores nor in what they call, libcrypto
 * included. Between the two sessions there is no TLS here; test_tls counts what that allocates.
 */
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/base64.h"
#include "common/sa/table.h"
#include "common/srtp/srtp.h"
#include "inner-relay/calls.h"
#include "tests/pair/pair.h"
#include "tests/unit/allocs.h"
#include "tests/unit/sample.h"
#include "tests/unit/unit.h"

enum {
    SENDERS = 4, /* two on each side, one of them with AES-CM, the other with GCM */
    BATCHES = 50,
    RTP = BATCHES * UDP_BATCH, /* packets of a round, of each sender */
    RTCP_EVERY = 50,
    RTCP = RTP / RTCP_EVERY,
    PACKET_SIZE = 256,
    PACKETS_EACH_WAY = 1000 * 1000,
};

/* Packets that were made before anything is counted, and come again and again. */
struct store {
    struct pair_sender *sender;
    struct udp_packet rtp[RTP], rtcp[RTCP];
    uint8_t octets[RTP + RTCP][PACKET_SIZE];
    struct srtp_index *index[2]; /* of its SA at both relays; NULL: there is none */
};

typedef int message_fn(struct calls *calls, const struct call_request *request, uint64_t wall_us,
                       uint64_t now_us, struct call_reply *reply, struct call_error *error);

static struct pair *pair;
static struct calls *calls; /* NULL: the SAs are not those of calls */
static struct store *stores[SENDERS];
static uint64_t arrived[2]; /* outside, inside */

/* ------------------------------------------------------------ what is sent */

static struct udp_packet keep(const struct pair_sender *sender, const struct addr *source,
                              uint8_t octets[PACKET_SIZE])
{
    ck_assert_uint_le(sender->length, PACKET_SIZE);
    memcpy(octets, sender->packet, sender->length);
    return (struct udp_packet){.data = octets, .length = sender->length, .source = *source};
}

static void fill(struct store *store)
{
    struct pair_sender *sender = store->sender;

    for (unsigned i = 0; i < RTP; i++) {
        pair_make_rtp(sender);
        store->rtp[i] = keep(sender, &sender->request.source.rtp, store->octets[i]);
    }
    for (unsigned i = 0; i < RTCP; i++) {
        pair_make_rtcp(sender);
        store->rtcp[i] = keep(sender, &sender->request.source.rtcp, store->octets[RTP + i]);
    }
}

/* To another client of the side where it is itself. */
static void turn(struct admit_request *request)
{
    struct admit_request other;

    pair_request(&other, request->side, 99);
    request->to_side = request->side;
    request->destination = other.source;
}

/* What its SAs are: learned is their source and their SSRC. */
enum kind { SIGNALLED, LEARNED, HAIRPIN, CALLS };

static struct store *store_new(enum sa_side side, unsigned number, enum suite_id suite,
                               enum kind kind)
{
    struct store *store = calloc(1, sizeof(*store));
    struct admit_request request;

    ck_assert_ptr_nonnull(store);
    pair_request(&request, side, number);
    ck_assert_uint_eq(request.suite->id, suite);
    request.rate = 100 * 1000 * 1000;
    if (kind == LEARNED) {
        request.source_policy = SOURCE_HINTED;
        request.ssrc_count = 0;
    }
    if (kind == HAIRPIN)
        turn(&request);
    store->sender = pair_sender_new(pair, 0, &request);
    fill(store);
    return store;
}

static void store_free(struct store *store)
{
    pair_sender_free(store->sender);
    free(store);
}

static struct srtp_index *index_in(struct sa *sa)
{
    return sa && sa->srtp ? &sa->stream[0].index : NULL;
}

static void find_indexes(struct store *store)
{
    unsigned owner = pair->dmz->sites[0].replica.owner;

    store->index[0] = index_in(inner_find_sa(pair->site[0].inner, store->sender->id));
    store->index[1] = index_in(table_by_id(pair->dmz->table, owner, store->sender->id));
    ck_assert_ptr_nonnull(store->index[0]);
    ck_assert(store->sender->side == SA_SIDE_INTERNAL || store->index[1]);
}

/* The same packets are fresh once more. */
static void forget(struct store *store)
{
    for (int i = 0; i < 2; i++) {
        if (store->index[i])
            memset(store->index[i], 0, sizeof(*store->index[i]));
    }
}

/* ------------------------------------------------------------ how it goes */

static void give(const struct store *store, bool rtcp, unsigned first, unsigned count)
{
    const struct udp_packet *packets = (rtcp ? store->rtcp : store->rtp) + first;

    if (count == 0)
        return;
    if (store->sender->side == SA_SIDE_EXTERNAL)
        inbound_packets(pair->dmz, 0, rtcp, packets, count, pair->now_us);
    else
        outbound_packets(pair->site[0].inner, 0, rtcp, packets, count, pair->now_us);
}

/* All that is to leave arrives at once. */
static void carry(struct session *from, struct session *to)
{
    uint8_t memory[RECORD_MAX_OCTETS];
    size_t length, at, size;

    while ((length = session_output(from, memory, sizeof(memory), pair->now_us)) > 0) {
        for (at = 0; at < length; at += size) {
            uint8_t *space = session_space(to, &size);

            size = size < length - at ? size : length - at;
            memcpy(space, memory + at, size);
            ck_assert_int_eq(session_received(to, size, pair->now_us), 0);
            while (session_pending(to))
                ck_assert_int_eq(session_received(to, 0, pair->now_us), 0);
        }
    }
}

static void count_arrived(struct pair_out *out, uint64_t *sum)
{
    *sum += out->count;
    out->count = 0;
}

/* A millisecond: a batch of each sender, and PINGs when they are due. */
static void step(unsigned batch)
{
    struct pair_tunnel *tunnel = pair_tunnel(pair, 0);
    unsigned rtcp = batch * UDP_BATCH / RTCP_EVERY;

    ck_assert_ptr_nonnull(tunnel);
    for (unsigned i = 0; i < SENDERS; i++) {
        give(stores[i], false, batch * UDP_BATCH, UDP_BATCH);
        give(stores[i], true, rtcp, (batch + 1) * UDP_BATCH / RTCP_EVERY - rtcp);
    }
    ck_assert_int_eq(session_tick(tunnel->inner, pair->now_us), 0);
    ck_assert_int_eq(session_tick(tunnel->dmz->session, pair->now_us), 0);
    carry(tunnel->dmz->session, tunnel->inner);
    carry(tunnel->inner, tunnel->dmz->session);
    count_arrived(&pair->out, &arrived[0]);
    count_arrived(&pair->site[0].out, &arrived[1]);
    pair->now_us += PAIR_MS;
}

static void go_round(void)
{
    for (unsigned i = 0; i < SENDERS; i++)
        forget(stores[i]);
    for (unsigned batch = 0; batch < BATCHES; batch++)
        step(batch);
}

/* ------------------------------------------------------------ SAs of calls */

static void say(message_fn *message, const struct pair_sender *sender, const char *from,
                const char *to)
{
    const struct admit_request *of = &sender->request;
    char ip[ADDR_TEXT_SIZE], key[64], text[1024];
    bool outside = sender->side == SA_SIDE_EXTERNAL;
    struct call_request request = {
        .call_id = from, .from_tag = from, .to_tag = to, .via_branch = "", .sdp = text};
    struct call_reply reply;
    struct call_error error;

    addr_format_ip(&of->source.rtp, ip, sizeof(ip));
    base64_encode(of->key.octets, of->key.length, key);
    snprintf(text, sizeof(text),
             "v=0\r\no=- 1 1 IN IP4 %s\r\ns=-\r\nc=IN IP4 %s\r\nt=0 0\r\n"
             "m=audio %u RTP/SAVP 8\r\na=crypto:1 %s inline:%s\r\n",
             ip, ip, of->source.rtp.port, of->suite->name, key);
    request.sdp_length = strlen(text);
    request.direction[0] = sender->side;
    request.direction[1] = outside ? SA_SIDE_INTERNAL : SA_SIDE_EXTERNAL;
    ck_assert_msg(message(calls, &request, 0, pair->now_us, &reply, &error) == 0, "%s", error.text);
    calls_reply_free(&reply);
}

/* The sender as it is, but its SA is that of a call. */
static void forget_sa(struct store *store)
{
    inner_delete(pair->site[0].inner, inner_find_sa(pair->site[0].inner, store->sender->id),
                 pair->now_us);
}

/* The stores of each suite are the two ends of a call. */
static void make_calls(void)
{
    static const char *const ids[] = {"a", "b"};
    struct call_options options = {.max_calls = SENDERS};

    calls = calls_new(pair->site[0].inner, &options);
    ck_assert_ptr_nonnull(calls);
    for (unsigned i = 0; i < SENDERS; i++)
        forget_sa(stores[i]);
    for (unsigned i = 0; i < SENDERS / 2; i++) {
        const struct call *call;

        say(calls_offer, stores[2 * i]->sender, ids[i], "");
        say(calls_answer, stores[2 * i + 1]->sender, ids[i], "to");
        call = calls_find(calls, ids[i], "", "");
        for (unsigned k = 0; k < 2; k++)
            stores[2 * i + k]->sender->id = call->party[k]->line[0].sa;
    }
}

static void make_pair(enum kind kind)
{
    bool learned = kind == LEARNED || kind == CALLS;

    /* Of the suites of pair_request(), these are the numbers of AES-CM and GCM. */
    static const enum suite_id suites[] = {SUITE_AES_CM_128_HMAC_SHA1_80, SUITE_AEAD_AES_128_GCM};

    pair = pair_new(1);
    pair->site[0].inner->options.dmz_keys = WIRE_REPLICA_VERIFY_ONLY;
    pair->site[0].inner->options.learns_ssrcs = learned;
    pair->site[0].inner->options.sa_rate = 100 * 1000 * 1000;
    if (kind == CALLS)
        pair->site[0].inner->options.source_policy = SOURCE_HINTED;
    for (unsigned i = 0; i < SENDERS; i++)
        stores[i] = store_new(i % 2 ? SA_SIDE_EXTERNAL : SA_SIDE_INTERNAL,
                              SUITE_COUNT + suites[i / 2], suites[i / 2], kind);
    if (kind == CALLS)
        make_calls();
    (void)pair_run_until_synced(pair);
    if (learned) /* which allocates */
        step(0);
    for (unsigned i = 0; i < SENDERS; i++)
        find_indexes(stores[i]);
}

static void setup(void)
{
    make_pair(SIGNALLED);
}

static void setup_learned(void)
{
    make_pair(LEARNED);
    ck_assert(table_by_id(pair->dmz->table, 0, stores[1]->sender->id)->bound[0]);
    ck_assert(inner_find_sa(pair->site[0].inner, stores[0]->sender->id)->bound[0]);
}

static void setup_hairpin(void)
{
    make_pair(HAIRPIN);
}

static void setup_calls(void)
{
    make_pair(CALLS);
    ck_assert(table_by_id(pair->dmz->table, 0, stores[1]->sender->id)->bound[0]);
}

static void teardown(void)
{
    calls_free(calls);
    calls = NULL;
    for (unsigned i = 0; i < SENDERS; i++)
        store_free(stores[i]);
    pair_free(pair);
}

START_TEST(test_packets)
{
    unsigned packets = allocs_are_seen() ? unit_rounds(PACKETS_EACH_WAY) : 1;
    unsigned rounds = packets / ((RTP + RTCP) * SENDERS / 2) + 1;
    uint64_t allocations;

    go_round();
    arrived[0] = arrived[1] = 0;
    allocs_begin();
    for (unsigned i = 0; i < rounds; i++)
        go_round();
    allocations = allocs_end();
    ck_assert_uint_eq(arrived[0], (uint64_t)rounds * (RTP + RTCP) * SENDERS / 2);
    ck_assert_uint_eq(arrived[1], arrived[0]);
    ck_assert_msg(allocations == 0, "%llu allocations for 2 * %llu packets",
                  (unsigned long long)allocations, (unsigned long long)arrived[0]);
}
END_TEST

/* One packet of a kind that must allocate, so that the test above can fail: with libsrtp2. */
START_TEST(test_seen_on_the_way)
{
    struct srtp_engine *engine = NULL;
    struct sa *sa =
        table_by_id(pair->dmz->table, pair->dmz->sites[0].replica.owner, stores[1]->sender->id);
    struct srtp_session *kept = sa->srtp;

    ck_assert_int_eq(srtp_engine_new(&engine, SRTP_ENGINE_LIBSRTP2), 0);
    ck_assert_int_eq(
        srtp_session_new(engine, &sa->srtp, sa->suite, &stores[1]->sender->request.key), 0);
    allocs_begin();
    step(0);
    ck_assert_uint_ge(allocs_end(), UDP_BATCH);
    srtp_session_free(sa->srtp);
    sa->srtp = kept;
    srtp_engine_free(engine);
}
END_TEST

/* Each of the family, and what a library allocates. */
START_TEST(test_seen)
{
    static void *volatile memory; /* else the compiler takes a pair of calls away */
    void *aligned = NULL;
    uint64_t seen[7];
    EVP_MD_CTX *context;

    allocs_begin();
    memory = malloc(10);
    seen[0] = allocs_end();
    allocs_begin();
    memory = realloc(memory, 100000);
    seen[1] = allocs_end();
    free(memory);
    allocs_begin();
    memory = calloc(3, 5);
    seen[2] = allocs_end();
    free(memory);
    allocs_begin();
    memory = aligned_alloc(64, 128);
    seen[3] = allocs_end();
    free(memory);
    allocs_begin();
    seen[4] = posix_memalign(&aligned, 64, 100) == 0;
    seen[4] = allocs_end();
    free(aligned);
    allocs_begin();
    memory = strdup("text");
    seen[5] = allocs_end();
    free(memory);
    allocs_begin();
    context = EVP_MD_CTX_new();
    seen[6] = allocs_end();
    EVP_MD_CTX_free(context);
    for (unsigned i = 0; i < 7; i++)
        ck_assert_msg(seen[i] == 1, "%u: %llu", i, (unsigned long long)seen[i]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pair alloc");
    TCase *tc = tcase_create("seen"), *way = tcase_create("way"),
          *learned = tcase_create("learned"), *hairpin = tcase_create("hairpin"),
          *of_calls = tcase_create("calls");
    int result;

    if (allocs_are_seen())
        tcase_add_test(tc, test_seen);
    suite_add_tcase(suite, tc);
    tcase_set_timeout(way, 120);
    tcase_add_unchecked_fixture(way, sample_engine_start, NULL);
    tcase_add_checked_fixture(way, setup, teardown);
    tcase_add_test(way, test_packets);
    if (allocs_are_seen())
        tcase_add_test(way, test_seen_on_the_way);
    suite_add_tcase(suite, way);
    tcase_set_timeout(learned, 120);
    tcase_add_unchecked_fixture(learned, sample_engine_start, NULL);
    tcase_add_checked_fixture(learned, setup_learned, teardown);
    tcase_add_test(learned, test_packets);
    suite_add_tcase(suite, learned);
    tcase_set_timeout(hairpin, 120);
    tcase_add_unchecked_fixture(hairpin, sample_engine_start, NULL);
    tcase_add_checked_fixture(hairpin, setup_hairpin, teardown);
    tcase_add_test(hairpin, test_packets);
    suite_add_tcase(suite, hairpin);
    tcase_set_timeout(of_calls, 120);
    tcase_add_unchecked_fixture(of_calls, sample_engine_start, NULL);
    tcase_add_checked_fixture(of_calls, setup_calls, teardown);
    tcase_add_test(of_calls, test_packets);
    suite_add_tcase(suite, of_calls);
    result = unit_run(suite);
    sample_engine_stop();
    return result;
}
