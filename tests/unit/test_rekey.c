#include "common/sa/rekey.h"

#include <stdlib.h>
#include <string.h>

#include "common/sa/verify.h"
#include "common/srtp/srtp.h"
#include "tests/unit/allocs.h"
#include "tests/unit/protect.h"
#include "tests/unit/sample.h"
#include "tests/unit/unit.h"

enum { SSRC = 0x1234, OTHER = 0x5678, STRANGE = 0x9abc, PACKET_SIZE = 512, TAG_MAX = 16 };

#define ROC(n)    ((uint64_t)(n) << 16)
#define START_US  ((uint64_t)1000000)
#define AT(index) (ROC(5) + (index))

static struct srtp_engine *engines[2]; /* auto, which has evp for all suites, and libsrtp2 */

/* An SA as the authority has it, and what its sender has. */
struct stage {
    struct srtp_engine *engine;
    struct rekey_queue queue;
    struct sa *sa;
    uint64_t now_us;
};

static struct stage stage;

/* A key that the seed makes. mki_length octets of MKI, all 0xa0 + seed. */
struct ring {
    const struct suite *suite;
    uint8_t seed;
    size_t mki_length;
    struct protect *protect, *other, *strange; /* for SSRC, OTHER, STRANGE */
};

struct packet {
    size_t length;
    uint8_t octets[PACKET_SIZE];
};

static bool calloc_fails;

void *__wrap_calloc(size_t count, size_t size);
void *__real_calloc(size_t count, size_t size);

/* The linker puts this in place of the library's. */
void *__wrap_calloc(size_t count, size_t size)
{
    return calloc_fails ? NULL : __real_calloc(count, size);
}

/* ---------------------------------------------------------------- fixture */

static void start_engines(void)
{
    engines[0] = sample_engine();
    ck_assert_int_eq(srtp_engine_new(&engines[1], SRTP_ENGINE_LIBSRTP2), 0);
}

static void stop_engines(void)
{
    srtp_engine_free(engines[1]);
}

static void master(const struct ring *ring, uint64_t lifetime, struct srtp_key *key)
{
    uint8_t material[SUITE_KEY_MAX_OCTETS];

    for (size_t i = 0; i < sizeof(material); i++)
        material[i] = (uint8_t)(ring->seed * 17 + i * 3 + 1);
    srtp_key_master(key, material, suite_material_octets(ring->suite));
    key->lifetime = lifetime;
    key->mki_length = ring->mki_length;
    memset(key->mki, 0xa0 + ring->seed, ring->mki_length);
}

static struct ring ring_with_mki(const struct suite *suite, uint8_t seed, size_t mki_length)
{
    struct ring ring = {.suite = suite, .seed = seed, .mki_length = mki_length};
    struct srtp_key key;

    master(&ring, SRTP_LIFETIME_MAX, &key);
    ring.protect = protect_new(suite, key.octets, SSRC);
    ring.other = protect_new(suite, key.octets, OTHER);
    ring.strange = protect_new(suite, key.octets, STRANGE);
    ck_assert(ring.protect && ring.other && ring.strange);
    return ring;
}

static struct ring ring(const struct suite *suite, uint8_t seed)
{
    return ring_with_mki(suite, seed, 0);
}

static void ring_free(struct ring *ring)
{
    protect_free(ring->protect);
    protect_free(ring->other);
    protect_free(ring->strange);
}

static struct srtp_session *session(const struct ring *ring, uint64_t lifetime)
{
    struct srtp_session *made;
    struct srtp_key key;

    master(ring, lifetime, &key);
    ck_assert_int_eq(srtp_session_new(stage.engine, &made, ring->suite, &key), 0);
    return made;
}

static struct sa *new_sa(const struct ring *ring, uint64_t lifetime)
{
    struct sa *sa = sa_new();

    ck_assert_ptr_nonnull(sa);
    ck_assert_int_eq(sa_stream_add(sa, SSRC, SSRC_ORIGIN_SIGNALLED), 0);
    ck_assert_int_eq(sa_stream_add(sa, OTHER, SSRC_ORIGIN_SIGNALLED), 0);
    rate_init(&sa->rate, 1000 * 1000 * 1000);
    sa->suite = ring->suite;
    sa->srtp = session(ring, lifetime);
    return sa;
}

static void set_stage(struct srtp_engine *engine, const struct ring *ring, uint64_t lifetime)
{
    stage = (struct stage){.engine = engine, .now_us = START_US};
    TAILQ_INIT(&stage.queue);
    stage.sa = new_sa(ring, lifetime);
}

static void clear_stage(void)
{
    sa_free(stage.sa);
    ck_assert(TAILQ_EMPTY(&stage.queue));
}

/* As the authority does it. */
static void change_sa(struct sa *sa, const struct ring *to, uint64_t lifetime)
{
    struct srtp_session *before = sa->srtp;

    sa->srtp = session(to, lifetime);
    sa->suite = to->suite;
    rekey(&stage.queue, sa, before, sa->stream, sa->stream_count, stage.now_us);
}

static void change(const struct ring *to)
{
    change_sa(stage.sa, to, SRTP_LIFETIME_MAX);
}

/* ---------------------------------------------------------------- packets */

/* The senders know no MKI, and no tag covers it (RFC 3711 section 3.1): it is put in afterwards. */
static void put_mki(const struct ring *ring, bool rtcp, struct packet *packet)
{
    size_t behind = rtcp ? ring->suite->rtcp_tag_octets : ring->suite->rtp_tag_octets;
    uint8_t *at;

    if (ring->suite->aead)
        behind = 0;
    at = packet->octets + packet->length - behind;
    ck_assert_uint_le(packet->length + ring->mki_length, sizeof(packet->octets));
    memmove(at + ring->mki_length, at, behind);
    memset(at, 0xa0 + ring->seed, ring->mki_length);
    packet->length += ring->mki_length;
}

/* As short as one can be that is RTP: one octet of payload. */
static struct packet rtp_of(const struct ring *ring, struct protect *sender, uint32_t ssrc,
                            uint64_t index)
{
    struct packet packet;

    packet.length = protect_make_rtp(packet.octets, sizeof(packet.octets), 8, (uint16_t)index,
                                     (uint32_t)index * 160, ssrc, "x", 1);
    packet.length = protect_rtp(sender, index, packet.octets, packet.length, sizeof(packet.octets));
    ck_assert_uint_gt(packet.length, 0);
    put_mki(ring, false, &packet);
    return packet;
}

static struct packet rtp(const struct ring *ring, uint64_t index)
{
    return rtp_of(ring, ring->protect, SSRC, index);
}

/* An empty receiver report; its SRTCP index is one more than the last one's. */
static struct packet rtcp(const struct ring *ring)
{
    struct packet packet = {8, {0x80, 201, 0, 1, 0, 0, SSRC >> 8, SSRC & 0xff}};

    packet.length =
        protect_rtcp(ring->protect, packet.octets, packet.length, sizeof(packet.octets));
    ck_assert_uint_gt(packet.length, 0);
    put_mki(ring, true, &packet);
    return packet;
}

/* From memory that is exactly as long: ASan sees every octet too far. */
static enum verdict come(const struct packet *packet)
{
    uint8_t *copy = malloc(packet->length);
    struct rtp_view view;
    enum verdict verdict;

    ck_assert_ptr_nonnull(copy);
    memcpy(copy, packet->octets, packet->length);
    ck_assert_int_eq(classify(copy, packet->length, &view), VERDICT_ACCEPTED);
    verdict = verify_packet(
        NULL, stage.sa,
        &(struct verify_input){.packet = copy, .length = packet->length, .view = view},
        stage.now_us);
    free(copy);
    return verdict;
}

/* Once, and not twice. */
static void expect_once(const struct packet *packet)
{
    ck_assert_int_eq(come(packet), VERDICT_ACCEPTED);
    ck_assert_int_eq(come(packet), VERDICT_REPLAY);
}

static enum verdict send_rtp(const struct ring *ring, uint64_t index)
{
    struct packet packet = rtp(ring, index);

    return come(&packet);
}

/* index is the sender's next one: it goes up. */
static void expect_rtp(const struct ring *ring, uint64_t index)
{
    struct packet packet = rtp(ring, index);

    expect_once(&packet);
}

static uint32_t counted(enum verdict verdict)
{
    return stage.sa->verdicts[verdict];
}

static uint32_t counted_in_all(void)
{
    uint32_t sum = 0;

    for (enum verdict v = 0; v < VERDICT_COUNT; v++)
        sum += counted(v);
    return sum;
}

/* ---------------------------------------------------------------- two keys */

enum { SUITES_OF_ENGINES = 2 * SUITE_COUNT };

static const struct suite *suite_of(int i)
{
    return suite_get((enum suite_id)(i % SUITE_COUNT));
}

/* The same indexes under both keys: each is accepted once, as RTP and as RTCP. */
START_TEST(test_both_keys)
{
    struct ring a = ring(suite_of(_i), 1), b = ring(suite_of(_i), 2);
    struct packet first = rtp(&a, AT(1)), first_rtcp = rtcp(&a);

    set_stage(engines[_i / SUITE_COUNT], &a, SRTP_LIFETIME_MAX);
    stage.sa->stream[0].index = (struct srtp_index){.hinted = true, .highest = AT(0)};
    expect_once(&first);
    expect_once(&first_rtcp);
    change(&b);
    for (uint64_t i = 2; i < 10; i++) {
        struct packet old = rtp(&a, AT(i)), fresh = rtp(&b, AT(i)), old_rtcp = rtcp(&a),
                      fresh_rtcp = rtcp(&b);

        /* Whichever comes first. */
        expect_once(i % 2 ? &old : &fresh);
        expect_once(i % 2 ? &fresh : &old);
        expect_once(i % 2 ? &old_rtcp : &fresh_rtcp);
        expect_once(i % 2 ? &fresh_rtcp : &old_rtcp);
        ck_assert_int_eq(come(&first), VERDICT_REPLAY);
        ck_assert_int_eq(come(&first_rtcp), VERDICT_REPLAY);
    }
    ck_assert_uint_eq(counted(VERDICT_ACCEPTED), 2 + 8 * 4);
    ck_assert_uint_eq(counted(VERDICT_REPLAY), 2 + 8 * 6);
    ck_assert_uint_eq(counted_in_all(), 4 + 8 * 10);
    ck_assert_uint_eq(stage.sa->packets, 2 + 8 * 4);
    clear_stage();
    ring_free(&a);
    ring_free(&b);
}
END_TEST

/* Late ones of the old key, in any order; what is older than its window is a replay. */
START_TEST(test_late_packets)
{
    struct ring a = ring(suite_of(_i), 1), b = ring(suite_of(_i), 2);
    struct packet late[1300];

    set_stage(engines[0], &a, SRTP_LIFETIME_MAX);
    for (unsigned i = 0; i < 1300; i++)
        late[i] = rtp(&a, i);
    expect_once(&late[1200]);
    change(&b);
    expect_rtp(&b, 1300);
    for (unsigned i = 1200; i > 0; i--)
        ck_assert_int_eq(come(&late[i - 1]),
                         i - 1 > 1200 - SRTP_WINDOW_PACKETS ? VERDICT_ACCEPTED : VERDICT_REPLAY);
    expect_once(&late[1299]);
    clear_stage();
    ring_free(&a);
    ring_free(&b);
}
END_TEST

/* Where the sender begins under the new key, after this index under the old one. */
static const struct {
    uint64_t before, after;
} beginnings[] = {
    {AT(100), AT(101)},
    {AT(100), AT(30000)},
    {AT(100), 101},       /* ROC 0 */
    {AT(100), 65000},     /* ROC 0, another sequence number */
    {AT(0xffff), ROC(6)}, /* over the wrap */
    {AT(0xfff0), ROC(6) + 5},
    {ROC(6) + 5, AT(0xfff0)}, /* the sender was behind */
    {AT(0xffff), 0},
    {0xffff, ROC(1)},
    {ROC(1) + 5, 5},
    {ROC(100) + 1, ROC(100) + 2},
    {ROC(0xffffffff) + 9, ROC(0xffffffff) + 10},
    {ROC(0xffffffff) + 9, 3},
};

START_TEST(test_roc)
{
    uint64_t before = beginnings[_i].before, after = beginnings[_i].after;

    for (int i = 0; i < SUITES_OF_ENGINES; i++) {
        struct ring a = ring(suite_of(i), 1), b = ring(suite_of(i), 2);

        set_stage(engines[i / SUITE_COUNT], &a, SRTP_LIFETIME_MAX);
        stage.sa->stream[0].index = (struct srtp_index){.hinted = true, .highest = before};
        expect_rtp(&a, before);
        change(&b);
        expect_rtp(&b, after);
        if (before + 1 < ROC(0xffffffff))
            expect_rtp(&a, before + 1); /* on its way */
        for (uint64_t n = 1; n < 5; n++)
            expect_rtp(&b, after + n);
        ck_assert_uint_eq(stage.sa->stream[0].index.highest, after + 4);
        ck_assert_uint_eq(counted(VERDICT_AUTH_FAIL), 0);
        clear_stage();
        ring_free(&a);
        ring_free(&b);
    }
}
END_TEST

/* The sender goes on under the old key, over a wrap and on, before it changes over. */
START_TEST(test_wrap_meanwhile)
{
    struct ring a = ring(suite_of(_i), 1), b = ring(suite_of(_i), 2);
    uint64_t at = AT(1000);

    set_stage(engines[0], &a, SRTP_LIFETIME_MAX);
    stage.sa->stream[0].index = (struct srtp_index){.hinted = true, .highest = at};
    expect_rtp(&a, at);
    change(&b);
    for (int i = 0; i < 6; i++)
        expect_rtp(&a, at += 30000);
    ck_assert_uint_gt(at, ROC(7));
    expect_rtp(&b, at + 1);
    expect_rtp(&a, at + 2);
    expect_rtp(&b, at + 3);
    clear_stage();
    ring_free(&a);
    ring_free(&b);
}
END_TEST

/* The first packet of all comes after the change. */
START_TEST(test_not_started)
{
    struct ring a = ring(suite_of(_i), 1), b = ring(suite_of(_i), 2);

    set_stage(engines[0], &a, SRTP_LIFETIME_MAX);
    change(&b);
    ck_assert(!stage.sa->stream[0].index.hinted);
    expect_rtp(&a, 7);
    expect_rtp(&b, 7);
    ck_assert(!stage.sa->stream[1].index.hinted);
    clear_stage();
    ring_free(&a);
    ring_free(&b);
}
END_TEST

/* What the statistics say of a sender that begins anew with ROC 0, and of late packets. */
START_TEST(test_statistics)
{
    struct ring a = ring(suite_of(_i), 1), b = ring(suite_of(_i), 2);
    struct packet late;

    set_stage(engines[0], &a, SRTP_LIFETIME_MAX);
    stage.sa->stream[0].index = (struct srtp_index){.hinted = true, .highest = ROC(1)};
    for (uint64_t i = 0; i < 10; i++)
        expect_rtp(&a, ROC(1) + i);
    late = rtp(&a, ROC(1) + 10);
    change(&b);
    for (uint64_t i = 11; i < 20; i++)
        expect_rtp(&b, i);
    ck_assert_uint_eq(rtp_stats_lost(&stage.sa->stream[0].stats), 1);
    expect_once(&late);
    ck_assert_uint_eq(rtp_stats_lost(&stage.sa->stream[0].stats), 0);
    ck_assert_uint_eq(stage.sa->stream[0].stats.received, 20);
    expect_rtp(&b, 22);
    ck_assert_uint_eq(rtp_stats_lost(&stage.sa->stream[0].stats), 2);
    clear_stage();
    ring_free(&a);
    ring_free(&b);
}
END_TEST

/* Each SSRC has its own windows under either key. */
START_TEST(test_several_ssrcs)
{
    struct ring a = ring(suite_of(_i), 1), b = ring(suite_of(_i), 2);

    set_stage(engines[0], &a, SRTP_LIFETIME_MAX);
    expect_rtp(&a, 1);
    change(&b);
    for (int i = 2; i < 5; i++) {
        struct packet old = rtp_of(&a, a.other, OTHER, (uint64_t)i),
                      fresh = rtp_of(&b, b.other, OTHER, (uint64_t)i);

        expect_once(&old);
        expect_once(&fresh);
        expect_rtp(&a, (uint64_t)i);
        expect_rtp(&b, (uint64_t)i);
    }
    clear_stage();
    ring_free(&a);
    ring_free(&b);
}
END_TEST

START_TEST(test_unknown_ssrc)
{
    struct ring a = ring(suite_of(_i), 1), b = ring(suite_of(_i), 2), c = ring(suite_of(_i), 3);
    struct packet old = rtp_of(&a, a.strange, STRANGE, 5),
                  fresh = rtp_of(&b, b.strange, STRANGE, 5),
                  forged = rtp_of(&c, c.strange, STRANGE, 5);

    set_stage(engines[0], &a, SRTP_LIFETIME_MAX);
    change(&b);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(come(&old), VERDICT_SSRC_MISMATCH);
        ck_assert_int_eq(come(&fresh), VERDICT_SSRC_MISMATCH);
        ck_assert_int_eq(come(&forged), VERDICT_AUTH_FAIL);
    }
    /* One that came with the new key: under the old one it has no window. */
    ck_assert_int_eq(sa_stream_add(stage.sa, STRANGE, SSRC_ORIGIN_SIGNALLED), 0);
    ck_assert_int_eq(come(&old), VERDICT_SSRC_MISMATCH);
    ck_assert_int_eq(come(&old), VERDICT_SSRC_MISMATCH);
    expect_once(&fresh);
    ck_assert_int_eq(come(&forged), VERDICT_REPLAY); /* before its tag is looked at */
    clear_stage();
    ring_free(&a);
    ring_free(&b);
    ring_free(&c);
}
END_TEST

/* Under neither key: one verdict, counted once. */
START_TEST(test_forged)
{
    struct ring a = ring(suite_of(_i), 1), b = ring(suite_of(_i), 2), c = ring(suite_of(_i), 3);
    unsigned rtp_octets, forged = 0;

    set_stage(engines[_i / SUITE_COUNT], &a, SRTP_LIFETIME_MAX);
    expect_rtp(&a, 1);
    change(&b);
    expect_rtp(&b, 2);
    for (uint64_t i = 3; i < 40; i++, forged++)
        ck_assert_int_eq(send_rtp(&c, i), VERDICT_AUTH_FAIL);
    for (int i = 0; i < 5; i++, forged++) {
        struct packet packet = rtcp(&c);

        ck_assert_int_eq(come(&packet), VERDICT_AUTH_FAIL);
    }
    /* Each octet altered, behind the header and in its timestamp. */
    rtp_octets = (unsigned)rtp(&a, 50).length;
    for (unsigned i = 4; i < rtp_octets; i++) {
        struct packet old = rtp(&a, 51 + i), fresh = rtp(&b, 51 + i);

        if (i >= 8 && i < 12)
            continue; /* the SSRC */
        old.octets[i] ^= 1;
        fresh.octets[i] ^= 1;
        ck_assert_int_eq(come(&old), VERDICT_AUTH_FAIL);
        ck_assert_int_eq(come(&fresh), VERDICT_AUTH_FAIL);
        forged += 2;
    }
    ck_assert_uint_eq(counted(VERDICT_AUTH_FAIL), forged);
    ck_assert_uint_eq(counted(VERDICT_ACCEPTED), 2);
    ck_assert_uint_eq(counted_in_all(), forged + 4);
    expect_rtp(&a, 1000);
    expect_rtp(&b, 1000);
    clear_stage();
    ring_free(&a);
    ring_free(&b);
    ring_free(&c);
}
END_TEST

/* Every suite to every other: packets of both, however short. */
START_TEST(test_other_suite)
{
    struct ring a = ring(suite_of(_i), 1);

    for (int to = 0; to < SUITE_COUNT; to++) {
        struct ring b = ring(suite_of(to), 2), c = ring(suite_of(to), 3);
        struct packet old_rtcp, fresh_rtcp;

        set_stage(engines[_i / SUITE_COUNT], &a, SRTP_LIFETIME_MAX);
        expect_rtp(&a, (uint64_t)to * 10);
        change(&b);
        old_rtcp = rtcp(&a);
        fresh_rtcp = rtcp(&b);
        expect_rtp(&a, (uint64_t)to * 10 + 1);
        expect_rtp(&b, (uint64_t)to * 10 + 1);
        expect_once(&old_rtcp);
        expect_once(&fresh_rtcp);
        ck_assert_int_eq(send_rtp(&c, (uint64_t)to * 10 + 2), VERDICT_AUTH_FAIL);
        clear_stage();
        ring_free(&b);
        ring_free(&c);
    }
    ring_free(&a);
}
END_TEST

/* Octets of MKI under the old key and under the new one. */
static const struct {
    size_t from, to;
} mkis[] = {{0, 4}, {4, 0}, {4, 4}, {1, 128}, {128, 1}, {128, 0}, {0, 128}};

START_TEST(test_other_mki)
{
    for (int i = 0; i < SUITES_OF_ENGINES; i++) {
        struct ring a = ring_with_mki(suite_of(i), 1, mkis[_i].from),
                    b = ring_with_mki(suite_of(i), 2, mkis[_i].to);
        struct packet old_rtcp, fresh_rtcp, wrong;

        set_stage(engines[i / SUITE_COUNT], &a, SRTP_LIFETIME_MAX);
        expect_rtp(&a, 1);
        change(&b);
        expect_rtp(&a, 2);
        expect_rtp(&b, 2);
        old_rtcp = rtcp(&a);
        fresh_rtcp = rtcp(&b);
        expect_once(&old_rtcp);
        expect_once(&fresh_rtcp);
        if (mkis[_i].to > 0) {
            wrong = rtp(&b, 3);
            wrong.octets[wrong.length - (b.suite->aead ? 0 : b.suite->rtp_tag_octets) - 1] ^= 1;
            ck_assert_int_eq(come(&wrong), VERDICT_AUTH_FAIL);
        }
        clear_stage();
        ring_free(&a);
        ring_free(&b);
    }
}
END_TEST

/* Each packet has two forms, and whoever has one can make the other; it comes once all the same. */
static void expect_one_key(const struct ring *a, const struct ring *b)
{
    struct packet seen[2] = {rtp(a, 1), rtcp(a)}, other[2] = {rtp(b, 1), rtcp(b)};

    for (int i = 0; i < 2; i++)
        expect_once(&seen[i]);
    change(b);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(come(&other[i]), VERDICT_REPLAY);
        ck_assert_int_eq(come(&seen[i]), VERDICT_REPLAY);
    }
    expect_rtp(a, 2);
    ck_assert_int_eq(send_rtp(b, 2), VERDICT_REPLAY);
    expect_rtp(b, 3);
    ck_assert_int_eq(send_rtp(a, 3), VERDICT_REPLAY);
    change(a);
    ck_assert_int_eq(come(&seen[0]), VERDICT_REPLAY);
    ck_assert_int_eq(come(&other[0]), VERDICT_REPLAY);
    expect_rtp(a, 4);
    ck_assert_int_eq(send_rtp(b, 4), VERDICT_REPLAY);
}

/* The MKI is in no tag, and may be changed. */
START_TEST(test_one_key_other_mki)
{
    for (int i = 0; i < SUITES_OF_ENGINES; i++) {
        struct ring a = ring_with_mki(suite_of(i), 1, mkis[_i].from),
                    b = ring_with_mki(suite_of(i), 1, mkis[_i].to);

        /* What they say comes from the seed: two of one length would be the same. */
        if (mkis[_i].from == mkis[_i].to)
            b.mki_length--;
        set_stage(engines[i / SUITE_COUNT], &a, SRTP_LIFETIME_MAX);
        expect_one_key(&a, &b);
        clear_stage();
        ring_free(&a);
        ring_free(&b);
    }
}
END_TEST

/* Of the longer tag one can be cut; and from that key to another, and back with another MKI. */
START_TEST(test_one_key_other_suite)
{
    struct ring a = ring(suite_get(SUITE_AES_CM_128_HMAC_SHA1_80), 1);
    struct ring b = ring(suite_get(SUITE_AES_CM_128_HMAC_SHA1_32), 1);
    struct ring c = ring(suite_get(SUITE_AES_CM_128_HMAC_SHA1_80), 2);
    struct ring d = ring_with_mki(suite_get(SUITE_AES_CM_128_HMAC_SHA1_80), 1, 4);

    set_stage(engines[_i], &a, SRTP_LIFETIME_MAX);
    expect_one_key(&a, &b);
    change(&c);
    expect_rtp(&c, 5);
    change(&d);
    ck_assert_int_eq(send_rtp(&d, 4), VERDICT_REPLAY);
    expect_rtp(&d, 5);
    expect_rtp(&c, 6);
    clear_stage();
    ring_free(&a);
    ring_free(&b);
    ring_free(&c);
    ring_free(&d);
}
END_TEST

/* ---------------------------------------------------------------- how long */

START_TEST(test_exact_time)
{
    struct ring a = ring(suite_of(_i), 1), b = ring(suite_of(_i), 2);

    set_stage(engines[0], &a, SRTP_LIFETIME_MAX);
    ck_assert_uint_eq(rekey_left_us(stage.sa, stage.now_us), 0);
    expect_rtp(&a, 1);
    change(&b);
    ck_assert_uint_eq(rekey_left_us(stage.sa, stage.now_us), OLD_KEY_US);
    stage.now_us += OLD_KEY_US - 1;
    ck_assert_uint_eq(rekey_left_us(stage.sa, stage.now_us), 1);
    ck_assert(!rekey_tick(&stage.queue, stage.now_us, 10));
    expect_rtp(&a, 2);
    stage.now_us++;
    /* It is over, whether the tick has come or not. */
    ck_assert_uint_eq(rekey_left_us(stage.sa, stage.now_us), 0);
    ck_assert_ptr_nonnull(stage.sa->old);
    ck_assert_int_eq(send_rtp(&a, 3), VERDICT_AUTH_FAIL);
    ck_assert(!rekey_tick(&stage.queue, stage.now_us, 10));
    ck_assert_ptr_null(stage.sa->old);
    ck_assert_int_eq(send_rtp(&a, 4), VERDICT_AUTH_FAIL);
    expect_rtp(&b, 5);
    clear_stage();
    ring_free(&a);
    ring_free(&b);
}
END_TEST

START_TEST(test_tick)
{
    struct ring a = ring(suite_of(0), 1), b = ring(suite_of(0), 2);
    struct sa *sas[6];

    set_stage(engines[0], &a, SRTP_LIFETIME_MAX);
    for (int i = 0; i < 6; i++) {
        sas[i] = new_sa(&a, SRTP_LIFETIME_MAX);
        change_sa(sas[i], &b, SRTP_LIFETIME_MAX);
        stage.now_us += (unsigned)i % 2; /* two at a time */
    }
    ck_assert(!rekey_tick(&stage.queue, START_US + OLD_KEY_US - 1, 100));
    ck_assert_ptr_nonnull(sas[0]->old);
    ck_assert(!rekey_tick(&stage.queue, START_US + OLD_KEY_US, 2)); /* no more than these are due */
    ck_assert_ptr_null(sas[1]->old);
    ck_assert_ptr_nonnull(sas[2]->old);
    /* The oldest first, and no more than may. */
    ck_assert(rekey_tick(&stage.queue, START_US + 2 * OLD_KEY_US, 0));
    ck_assert(rekey_tick(&stage.queue, START_US + 2 * OLD_KEY_US, 3));
    ck_assert_ptr_null(sas[4]->old);
    ck_assert_ptr_nonnull(sas[5]->old);
    ck_assert(!rekey_tick(&stage.queue, START_US + 2 * OLD_KEY_US, 3));
    ck_assert(TAILQ_EMPTY(&stage.queue));
    ck_assert(!rekey_tick(&stage.queue, UINT64_MAX, 1));
    for (int i = 0; i < 6; i++)
        sa_free(sas[i]);
    clear_stage();
    ring_free(&a);
    ring_free(&b);
}
END_TEST

/* The first old key ends with the second change; the time counts from there. */
START_TEST(test_second_change)
{
    struct ring a = ring(suite_of(_i), 1), b = ring(suite_of(_i), 2), c = ring(suite_of(_i), 3);
    struct packet seen;

    set_stage(engines[0], &a, SRTP_LIFETIME_MAX);
    expect_rtp(&a, 1);
    change(&b);
    seen = rtp(&b, 2);
    expect_once(&seen);
    stage.now_us += 4 * 1000 * 1000;
    change(&c);
    ck_assert_int_eq(send_rtp(&a, 3), VERDICT_AUTH_FAIL);
    expect_rtp(&b, 3);
    expect_rtp(&c, 3);
    ck_assert_int_eq(come(&seen), VERDICT_REPLAY);
    ck_assert(!rekey_tick(&stage.queue, stage.now_us + OLD_KEY_US - 1, 10));
    expect_rtp(&b, 4);
    ck_assert(!rekey_tick(&stage.queue, stage.now_us + OLD_KEY_US, 10));
    ck_assert_int_eq(send_rtp(&b, 5), VERDICT_AUTH_FAIL);
    expect_rtp(&c, 5);
    clear_stage();
    ring_free(&a);
    ring_free(&b);
    ring_free(&c);
}
END_TEST

/* Back to the key before: what came under it stays known. */
START_TEST(test_back)
{
    struct ring a = ring_with_mki(suite_of(_i), 1, 4), b = ring(suite_of(_i), 2);
    struct packet seen = rtp(&a, 1), seen_rtcp = rtcp(&a);

    set_stage(engines[_i / SUITE_COUNT], &a, 100);
    expect_once(&seen);
    expect_once(&seen_rtcp);
    change(&b);
    expect_rtp(&b, 2);
    expect_rtp(&a, 3);
    stage.now_us += 1000;
    change(&a);
    ck_assert_int_eq(come(&seen), VERDICT_REPLAY);
    ck_assert_int_eq(come(&seen_rtcp), VERDICT_REPLAY);
    ck_assert_uint_eq(stage.sa->stream[0].index.highest, 3);
    ck_assert_uint_eq(srtp_session_lifetime(stage.sa->srtp), 97);
    expect_rtp(&a, 4);
    expect_rtp(&b, 4);
    ck_assert_uint_eq(rekey_left_us(stage.sa, stage.now_us), OLD_KEY_US);
    ck_assert(!rekey_tick(&stage.queue, stage.now_us + OLD_KEY_US, 1));
    ck_assert_int_eq(send_rtp(&b, 5), VERDICT_MALFORMED); /* no room for an MKI */
    expect_rtp(&a, 5);
    clear_stage();
    ring_free(&a);
    ring_free(&b);
}
END_TEST

/* Good packets, replays and forged ones, while both keys are good. */
START_TEST(test_no_allocation)
{
    enum { ROUNDS = 200 };
    struct ring rings[3] = {ring(suite_of(_i), 1), ring(suite_of(_i), 2), ring(suite_of(_i), 3)};
    static struct packet packets[4 * ROUNDS];
    static struct rtp_view views[4 * ROUNDS];
    uint64_t allocations;

    set_stage(engines[0], &rings[0], SRTP_LIFETIME_MAX);
    for (unsigned i = 0; i < 4 * ROUNDS; i++) {
        packets[i] = i % 4 < 3 ? rtp(&rings[i % 4], AT(i)) : rtcp(&rings[i / 4 % 3]);
        ck_assert_int_eq(classify(packets[i].octets, packets[i].length, &views[i]),
                         VERDICT_ACCEPTED);
    }
    stage.sa->stream[0].index = (struct srtp_index){.hinted = true, .highest = AT(0)};
    change(&rings[1]);
    allocs_begin();
    for (unsigned i = 0; i < 8 * ROUNDS; i++)
        (void)verify_packet(NULL, stage.sa,
                            &(struct verify_input){.packet = packets[i / 2].octets,
                                                   .length = packets[i / 2].length,
                                                   .view = views[i / 2]},
                            stage.now_us);
    allocations = allocs_end();
    ck_assert_uint_eq(allocations, 0);
    ck_assert_uint_ge(counted(VERDICT_ACCEPTED), 2 * ROUNDS + ROUNDS / 3 * 2);
    ck_assert_uint_ge(counted(VERDICT_AUTH_FAIL), ROUNDS);
    ck_assert_uint_eq(counted_in_all(), 8 * ROUNDS);
    clear_stage();
    for (int i = 0; i < 3; i++)
        ring_free(&rings[i]);
}
END_TEST

/* ---------------------------------------------------------------- ends and moves */

START_TEST(test_ends)
{
    struct ring a = ring(suite_of(_i), 1), b = ring(suite_of(_i), 2);
    struct sa *other;

    set_stage(engines[0], &a, SRTP_LIFETIME_MAX);
    other = new_sa(&a, SRTP_LIFETIME_MAX);
    change(&b);
    change_sa(other, &b, SRTP_LIFETIME_MAX);
    /* With its SA, out of the middle of the queue. */
    sa_free(other);
    ck_assert_ptr_eq(TAILQ_FIRST(&stage.queue), stage.sa->old);
    ck_assert_ptr_eq(TAILQ_LAST(&stage.queue, rekey_queue), stage.sa->old);
    rekey_end(stage.sa);
    ck_assert(TAILQ_EMPTY(&stage.queue));
    rekey_end(stage.sa); /* there is none */
    ck_assert_int_eq(send_rtp(&a, 1), VERDICT_AUTH_FAIL);
    expect_rtp(&b, 1);
    clear_stage();
    ring_free(&a);
    ring_free(&b);
}
END_TEST

START_TEST(test_move)
{
    struct ring a = ring(suite_of(_i), 1), b = ring(suite_of(_i), 2);
    struct sa *from, *to;

    set_stage(engines[0], &a, SRTP_LIFETIME_MAX);
    to = new_sa(&b, SRTP_LIFETIME_MAX);
    rekey_move(stage.sa, to);
    ck_assert_ptr_null(to->old); /* there was none */
    expect_rtp(&a, 1);
    change(&b);
    expect_rtp(&a, 2);
    from = stage.sa;
    rekey_move(from, to);
    ck_assert_ptr_null(from->old);
    stage.sa = to;
    sa_free(from);
    ck_assert_uint_eq(rekey_left_us(to, stage.now_us), OLD_KEY_US);
    expect_rtp(&a, 3);
    expect_rtp(&b, 3);
    ck_assert(!rekey_tick(&stage.queue, stage.now_us + OLD_KEY_US, 1));
    ck_assert_ptr_null(to->old);
    ck_assert_int_eq(send_rtp(&a, 4), VERDICT_AUTH_FAIL);
    clear_stage();
    ring_free(&a);
    ring_free(&b);
}
END_TEST

/* As the replica does it: another struct, with streams of its own, some of which it was told more
 * of. */
START_TEST(test_other_form)
{
    struct ring a = ring(suite_of(_i), 1), b = ring(suite_of(_i), 2);
    struct packet late, fresh;
    struct sa *held;

    set_stage(engines[0], &a, SRTP_LIFETIME_MAX);
    held = stage.sa;
    held->stream[0].index = (struct srtp_index){.hinted = true, .highest = AT(0)};
    expect_rtp(&a, AT(1));
    late = rtp_of(&a, a.other, OTHER, 7);
    expect_once(&late);
    stage.sa = new_sa(&b, SRTP_LIFETIME_MAX);
    index_resume(&stage.sa->stream[1].index, AT(70));
    rekey(&stage.queue, stage.sa, held->srtp, held->stream, held->stream_count, stage.now_us);
    held->srtp = NULL;
    sa_free(held);
    ck_assert(stage.sa->stream[0].index.hinted);
    ck_assert_uint_eq(stage.sa->stream[1].index.highest, AT(70));
    expect_rtp(&a, AT(2));
    expect_rtp(&b, AT(3));
    fresh = rtp_of(&b, b.other, OTHER, AT(71));
    expect_once(&fresh);
    ck_assert_int_eq(come(&late), VERDICT_REPLAY);
    clear_stage();
    ring_free(&a);
    ring_free(&b);
}
END_TEST

/* Without a key here: packets that are as short as those of either suite. */
START_TEST(test_without_key)
{
    struct ring a = ring(suite_of(_i), 1);

    for (int to = 0; to < SUITE_COUNT; to++) {
        const struct suite *suite = suite_of(to);
        struct packet packets[2] = {rtp(&a, (uint64_t)to), rtcp(&a)};

        set_stage(engines[0], &a, SRTP_LIFETIME_MAX);
        srtp_session_free(stage.sa->srtp);
        stage.sa->srtp = NULL;
        stage.sa->suite = suite;
        rekey_suite(&stage.queue, stage.sa, a.suite, stage.now_us);
        for (int n = 0; n < 2; n++) {
            enum rtp_shape shape = n ? RTP_SHAPE_RTCP : RTP_SHAPE_RTP;
            bool fits = srtp_trailer_octets(suite, shape, 0) <=
                        srtp_trailer_octets(a.suite, shape, 0) + (n ? 0 : 1); /* of payload */

            ck_assert_int_eq(come(&packets[n]), VERDICT_ACCEPTED);
            stage.now_us += OLD_KEY_US - 1;
            ck_assert_int_eq(come(&packets[n]), VERDICT_ACCEPTED);
            stage.now_us++;
            ck_assert_int_eq(come(&packets[n]), fits ? VERDICT_ACCEPTED : VERDICT_MALFORMED);
            stage.now_us -= OLD_KEY_US;
            packets[n].length = n ? 8 : 12; /* nothing behind the header */
            ck_assert_int_eq(come(&packets[n]), VERDICT_MALFORMED);
        }
        ck_assert(!rekey_tick(&stage.queue, stage.now_us + OLD_KEY_US, 1));
        ck_assert_ptr_null(stage.sa->old);
        calloc_fails = true;
        rekey_suite(&stage.queue, stage.sa, a.suite, stage.now_us);
        calloc_fails = false;
        ck_assert_ptr_null(stage.sa->old);
        clear_stage();
    }
    ring_free(&a);
}
END_TEST

/* The old key ends at once; the new one has no windows of the old. */
START_TEST(test_no_memory)
{
    struct ring a = ring(suite_of(_i), 1), b = ring(suite_of(_i), 2);
    struct srtp_session *before;

    set_stage(engines[0], &a, SRTP_LIFETIME_MAX);
    expect_rtp(&a, 5);
    before = stage.sa->srtp;
    stage.sa->srtp = session(&b, SRTP_LIFETIME_MAX);
    calloc_fails = true;
    rekey(&stage.queue, stage.sa, before, stage.sa->stream, 2, stage.now_us);
    calloc_fails = false;
    ck_assert_ptr_null(stage.sa->old);
    ck_assert(stage.sa->stream[0].index.hinted);
    ck_assert_int_eq(send_rtp(&a, 6), VERDICT_AUTH_FAIL);
    expect_rtp(&b, 5);
    clear_stage();
    ring_free(&a);
    ring_free(&b);
}
END_TEST

/* ---------------------------------------------------------------- lifetime */

enum { LIFETIME = 20 };

START_TEST(test_lifetime)
{
    struct ring a = ring(suite_of(_i), 1), b = ring(suite_of(_i), 2);

    set_stage(engines[_i / SUITE_COUNT], &a, LIFETIME);
    for (uint64_t i = 0; i < LIFETIME / 2; i++) {
        struct packet report = rtcp(&a);

        ck_assert_int_eq(send_rtp(&a, i), VERDICT_ACCEPTED);
        ck_assert_int_eq(come(&report), VERDICT_ACCEPTED);
        ck_assert_uint_eq(srtp_session_lifetime(stage.sa->srtp), LIFETIME - 2 * i - 2);
    }
    ck_assert_int_eq(send_rtp(&a, LIFETIME), VERDICT_KEY_EXPIRED);
    ck_assert_int_eq(send_rtp(&a, LIFETIME + 1), VERDICT_KEY_EXPIRED);
    ck_assert_uint_eq(counted(VERDICT_KEY_EXPIRED), 2);
    change(&b);
    expect_rtp(&b, LIFETIME + 1);
    ck_assert_int_eq(send_rtp(&a, LIFETIME + 2), VERDICT_AUTH_FAIL);
    expect_rtp(&b, LIFETIME + 3);
    ck_assert_uint_eq(srtp_session_lifetime(stage.sa->srtp), SRTP_LIFETIME_MAX);
    clear_stage();
    ring_free(&a);
    ring_free(&b);
}
END_TEST

/* What is left of the old key's life goes on to count; the new one's does not. */
START_TEST(test_lifetime_of_both)
{
    struct ring a = ring(suite_of(_i), 1), b = ring(suite_of(_i), 2);

    set_stage(engines[_i / SUITE_COUNT], &a, 5);
    expect_rtp(&a, 1);
    change_sa(stage.sa, &b, 3);
    for (uint64_t i = 2; i < 5; i++) {
        ck_assert_int_eq(send_rtp(&a, i), VERDICT_ACCEPTED);
        ck_assert_int_eq(send_rtp(&b, i), VERDICT_ACCEPTED);
    }
    ck_assert_int_eq(send_rtp(&b, 5), VERDICT_KEY_EXPIRED);
    ck_assert_int_eq(send_rtp(&a, 5), VERDICT_ACCEPTED);
    ck_assert_int_eq(send_rtp(&a, 6), VERDICT_KEY_EXPIRED);
    clear_stage();
    ring_free(&a);
    ring_free(&b);
}
END_TEST

/* ---------------------------------------------------------------- at random, with a record */

enum { RANDOM_ROUNDS = 6, RANDOM_KEYS = 4, RANDOM_PACKETS = 1500, RANDOM_STEPS = 4000 };

/* What the relay must know: which packets came, of each key that it has. */
struct record {
    struct ring ring;
    struct packet packet[RANDOM_PACKETS];
    bool came[RANDOM_PACKETS];
    int highest; /* -1: none came */
    int next;    /* that the sender sends */
};

struct records {
    uint64_t dice;
    struct record *now, *old; /* old NULL: there is none */
    uint64_t end_us;
    struct record key[RANDOM_KEYS];
};

/* xorshift64: a failure is the same again. */
static unsigned roll(struct records *records, unsigned sides)
{
    records->dice ^= records->dice << 13;
    records->dice ^= records->dice >> 7;
    records->dice ^= records->dice << 17;
    return (unsigned)(records->dice >> 32) % sides;
}

static void forget(struct record *record)
{
    memset(record->came, 0, sizeof(record->came));
    record->highest = -1;
}

static void random_change(struct records *records)
{
    struct record *to = &records->key[roll(records, RANDOM_KEYS)];

    if (to == records->now)
        return; /* admit_rekey() sees that */
    change(&to->ring);
    if (records->old && records->old != to)
        forget(records->old);
    records->old = records->now;
    records->now = to;
    records->end_us = stage.now_us + OLD_KEY_US;
}

static void random_tick(struct records *records)
{
    ck_assert(!rekey_tick(&stage.queue, stage.now_us, 10));
    if (!records->old || stage.now_us < records->end_us)
        return;
    forget(records->old);
    records->old = NULL;
}

static void random_packet(struct records *records)
{
    struct record *of = &records->key[roll(records, RANDOM_KEYS)];
    bool good = of == records->now || (of == records->old && stage.now_us < records->end_us);
    int which = of->next;
    enum verdict verdict;

    if (roll(records, 3) == 0 || which == RANDOM_PACKETS)
        which = (int)roll(records, RANDOM_PACKETS);
    else
        of->next++;
    verdict = come(&of->packet[which]);
    if (!good) {
        ck_assert_int_ne(verdict, VERDICT_ACCEPTED);
    } else if (of->came[which] || which + SRTP_WINDOW_PACKETS <= of->highest) {
        ck_assert_int_eq(verdict, VERDICT_REPLAY);
    } else {
        ck_assert_int_eq(verdict, VERDICT_ACCEPTED);
        of->came[which] = true;
        of->highest = which > of->highest ? which : of->highest;
    }
}

/* Keys come, go and come back: what is known is never accepted twice, what is fresh always. */
START_TEST(test_random)
{
    struct records *records;

    if ((unsigned)_i >= unit_rounds(RANDOM_ROUNDS) * SUITE_COUNT)
        return;
    records = calloc(1, sizeof(*records));
    ck_assert_ptr_nonnull(records);
    records->dice = 0x9e3779b97f4a7c15u * (unsigned)(_i + 1);
    for (int i = 0; i < RANDOM_KEYS; i++) {
        struct record *record = &records->key[i];

        record->ring = ring_with_mki(suite_of(_i + i * (_i / SUITE_COUNT)), (uint8_t)(i + 1),
                                     _i % 3 ? (size_t)i : 0);
        for (uint64_t n = 0; n < RANDOM_PACKETS; n++)
            record->packet[n] = rtp(&record->ring, AT(0xfc00 + n)); /* with a wrap */
        forget(record);
    }
    records->now = &records->key[0];
    set_stage(engines[0], &records->now->ring, SRTP_LIFETIME_MAX);
    stage.sa->stream[0].index = (struct srtp_index){.hinted = true, .highest = AT(0xfc00)};
    for (unsigned step = 0; step < RANDOM_STEPS; step++) {
        switch (roll(records, 100)) {
        case 0:
            random_change(records);
            break;
        case 1:
            stage.now_us += roll(records, 3 * 1000 * 1000);
            break;
        case 2:
            random_tick(records);
            break;
        default:
            random_packet(records);
        }
    }
    ck_assert_uint_gt(counted(VERDICT_ACCEPTED), RANDOM_STEPS / 8);
    clear_stage();
    for (int i = 0; i < RANDOM_KEYS; i++)
        ring_free(&records->key[i].ring);
    free(records);
}
END_TEST

int main(void)
{
    const struct {
        const TTest *test;
        int rounds;
    } tests[] = {
        {test_both_keys, SUITES_OF_ENGINES},
        {test_late_packets, SUITE_COUNT},
        {test_roc, sizeof(beginnings) / sizeof(beginnings[0])},
        {test_wrap_meanwhile, SUITE_COUNT},
        {test_not_started, SUITE_COUNT},
        {test_statistics, SUITE_COUNT},
        {test_several_ssrcs, SUITE_COUNT},
        {test_unknown_ssrc, SUITE_COUNT},
        {test_forged, SUITES_OF_ENGINES},
        {test_other_suite, SUITES_OF_ENGINES},
        {test_other_mki, sizeof(mkis) / sizeof(mkis[0])},
        {test_one_key_other_mki, sizeof(mkis) / sizeof(mkis[0])},
        {test_one_key_other_suite, 2},
        {test_exact_time, SUITE_COUNT},
        {test_tick, 1},
        {test_second_change, SUITE_COUNT},
        {test_back, SUITES_OF_ENGINES},
        {test_no_allocation, SUITE_COUNT},
        {test_ends, SUITE_COUNT},
        {test_move, SUITE_COUNT},
        {test_other_form, SUITE_COUNT},
        {test_without_key, SUITE_COUNT},
        {test_no_memory, SUITE_COUNT},
        {test_lifetime, SUITES_OF_ENGINES},
        {test_lifetime_of_both, SUITES_OF_ENGINES},
        {test_random, RANDOM_ROUNDS * SUITE_COUNT},
    };
    Suite *suite = suite_create("rekey");
    TCase *tc = tcase_create("rekey");
    int result;

    tcase_set_timeout(tc, 60);
    tcase_add_unchecked_fixture(tc, start_engines, stop_engines);
    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
        tcase_add_loop_test(tc, tests[i].test, 0, tests[i].rounds);
    suite_add_tcase(suite, tc);
    result = unit_run(suite);
    sample_engine_stop();
    return result;
}
