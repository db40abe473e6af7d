/*
 * What no sender makes: SRTP and SRTCP of every length up to more than the longest, from memory of
 * just that length, under every suite, engine and kind of key, with and without MKI, whatever the
 * stream has seen before. The answer is a verdict, the same from all, and the index stays.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/protocol.h"
#include "common/srtp/srtp.h"
#include "tests/unit/reference.h"
#include "tests/unit/unit.h"

enum { SSRC = 0x5501a0b2, LANES = 3, LENGTH_MAX = PACKET_MAX_OCTETS + 2 };

static struct srtp_engine *evp, *libsrtp2;

/* The suite under test; the third lane has authentication keys alone, or with AEAD nothing. */
static const struct suite *suite;
static struct reference_keys keys[2]; /* by enum rtp_shape */
static struct srtp_key key;
static struct srtp_session *session[LANES];
static struct srtp_index index_[LANES];
static unsigned lanes;

static void start_engines(void)
{
    ck_assert_int_eq(srtp_engine_new(&evp, SRTP_ENGINE_EVP), 0);
    ck_assert_int_eq(srtp_engine_new(&libsrtp2, SRTP_ENGINE_LIBSRTP2), 0);
}

static void stop_engines(void)
{
    srtp_engine_free(evp);
    srtp_engine_free(libsrtp2);
}

static void open_sessions(enum suite_id id, size_t mki_length)
{
    uint8_t material[SUITE_KEY_MAX_OCTETS];
    struct srtp_key auth;

    suite = suite_get(id);
    lanes = suite->aead ? 2 : 3;
    for (size_t i = 0; i < sizeof(material); i++)
        material[i] = (uint8_t)(3 * i + 9);
    reference_keys(suite, material, false, &keys[RTP_SHAPE_RTP]);
    reference_keys(suite, material, true, &keys[RTP_SHAPE_RTCP]);
    srtp_key_master(&key, material, suite_material_octets(suite));
    key.mki_length = mki_length;
    for (size_t i = 0; i < mki_length; i++)
        key.mki[i] = (uint8_t)(0x70 + i);
    ck_assert_int_eq(srtp_session_new(evp, &session[0], suite, &key), 0);
    ck_assert_int_eq(srtp_session_new(libsrtp2, &session[1], suite, &key), 0);
    if (suite->aead)
        return;
    ck_assert_int_eq(srtp_session_key(session[0], SRTP_KEY_AUTH, &auth), 0);
    ck_assert_int_eq(srtp_session_new(evp, &session[2], suite, &auth), 0);
}

static void close_sessions(void)
{
    for (int i = 0; i < LANES; i++) {
        srtp_session_free(session[i]);
        session[i] = NULL;
    }
}

/* What a stream may have seen before. */
static const struct {
    bool resumed, hinted;
    uint64_t highest;
    uint32_t rtcp_highest;
} pasts[] = {
    {false, false, 0, 0},
    {true, false, 0x12345, 77},
    {true, false, 0xffffffff8000, 0x7ffffffe}, /* ROC 2^32 - 1, and half a turn to go */
    {true, false, 0xffffffffffff, 0x7fffffff},
    {false, true, 0xffffffffffff, 0},
};

enum { PASTS = sizeof(pasts) / sizeof(pasts[0]) };

static void set_past(int past)
{
    for (unsigned i = 0; i < LANES; i++) {
        struct srtp_index old = {.started = pasts[past].hinted, .highest = pasts[past].highest};

        index_rekey(&index_[i], &old);
        if (!pasts[past].resumed)
            continue;
        index_resume(&index_[i], pasts[past].highest);
        index_resume_rtcp(&index_[i], pasts[past].rtcp_highest);
    }
}

static enum verdict verify_one(unsigned lane, bool known, bool rtcp, const uint8_t *octets,
                               size_t length)
{
    struct srtp_index *index = known ? &index_[lane] : NULL;

    return rtcp ? srtp_verify_rtcp(session[lane], index, SSRC, octets, length)
                : srtp_verify_rtp(session[lane], index, SSRC, octets, length);
}

/* All lanes say the same, none changes the packet, and their indexes stay alike. */
static enum verdict verify(bool known, bool rtcp, const uint8_t *packet, size_t length)
{
    enum verdict verdict = VERDICT_COUNT;
    uint8_t *copy = malloc(length ? length : 1);

    memcpy(copy, packet, length);
    for (unsigned i = 0; i < lanes; i++) {
        enum verdict one = verify_one(i, known, rtcp, copy, length);

        if (i > 0 && one != verdict)
            ck_abort_msg("%s, rtcp %d, %zu octets: lane %u says %s, the first %s", suite->name,
                         rtcp, length, i, verdict_name(one), verdict_name(verdict));
        ck_assert(memcmp(copy, packet, length) == 0);
        ck_assert(memcmp(&index_[i], &index_[0], sizeof(index_[0])) == 0);
        verdict = one;
    }
    free(copy);
    return verdict;
}

static void expect_refused(bool rtcp, const uint8_t *packet, size_t length)
{
    struct srtp_index before = index_[0];
    enum verdict verdict = verify(true, rtcp, packet, length);

    if (verdict != VERDICT_MALFORMED && verdict != VERDICT_AUTH_FAIL && verdict != VERDICT_REPLAY)
        ck_abort_msg("%s, rtcp %d, %zu octets: %s", suite->name, rtcp, length,
                     verdict_name(verdict));
    before.search_roc = index_[0].search_roc; /* which ROC to try next is all that may change */
    before.search_wait = index_[0].search_wait;
    before.search_spent = index_[0].search_spent;
    ck_assert(memcmp(&before, &index_[0], sizeof(before)) == 0);
}

/* Also as of an SSRC that the SA does not know. */
static void expect_junk(bool rtcp, const uint8_t *packet, size_t length)
{
    expect_refused(rtcp, packet, length);
    ck_assert(verify(false, rtcp, packet, length) != VERDICT_ACCEPTED);
}

static void put_u32(uint8_t *out, size_t at, size_t length, uint32_t value)
{
    for (size_t i = 0; i < 4 && at + i < length; i++)
        out[at + i] = (uint8_t)(value >> (24 - 8 * i));
}

/* Random, but for the first octets, with which it passes for RTP or RTCP of the SSRC. */
static void make_junk(uint8_t *out, size_t length, bool rtcp, uint64_t *seed)
{
    for (size_t i = 0; i < length; i++) {
        *seed = *seed * 6364136223846793005u + 1442695040888963407u;
        out[i] = (uint8_t)(*seed >> 56);
    }
    if (length > 0)
        out[0] = rtcp ? 0x81 : (uint8_t)(0x80 | (length % 3 == 0 ? out[0] & 0x1f : 0));
    if (length > 1)
        out[1] = rtcp ? 200 : 96;
    if (length > 3 && rtcp) {
        out[2] = 0;
        out[3] = 1;
    }
    put_u32(out, rtcp ? 4 : 8, length, SSRC);
}

/* With the right MKI, so that more than that is looked at. */
static void put_mki(uint8_t *packet, size_t length, bool rtcp)
{
    size_t tag = rtcp ? suite->rtcp_tag_octets : suite->rtp_tag_octets;
    size_t behind = key.mki_length + (suite->aead ? 0 : tag);

    if (length >= behind + 12)
        memcpy(packet + length - behind, key.mki, key.mki_length);
}

/* SRTCP with E = 0, which is another way through AEAD. */
static void clear_e(uint8_t *packet, size_t length)
{
    size_t behind = 4 + key.mki_length + (suite->aead ? 0 : suite->rtcp_tag_octets);

    if (length >= behind + 8)
        packet[length - behind] &= 0x7f;
}

static const size_t mki_octets[] = {0, 4, SRTP_MKI_MAX_OCTETS};

enum { MKIS = sizeof(mki_octets) / sizeof(mki_octets[0]) };

START_TEST(test_junk)
{
    uint8_t packet[LENGTH_MAX];
    uint64_t seed = (uint64_t)_i;

    open_sessions((enum suite_id)(_i / MKIS), mki_octets[_i % MKIS]);
    for (size_t length = 0; length <= LENGTH_MAX; length += unit_stride(7)) {
        set_past((int)(length % PASTS));
        make_junk(packet, length, false, &seed);
        put_mki(packet, length, false);
        expect_junk(false, packet, length);
        make_junk(packet, length, true, &seed);
        put_mki(packet, length, true);
        expect_junk(true, packet, length);
        clear_e(packet, length);
        expect_junk(true, packet, length);
    }
}
END_TEST

/* Short ones with every past, and every first and second octet. */
START_TEST(test_short)
{
    uint8_t packet[64];
    uint64_t seed = (uint64_t)_i;

    open_sessions((enum suite_id)(_i / PASTS), 0);
    set_past(_i % PASTS);
    for (size_t length = 0; length <= sizeof(packet); length++) {
        const unsigned step = length < 2 ? 1 : 5 * unit_stride(7);

        for (unsigned first = 0; first < 256; first += step) {
            make_junk(packet, length, first & 1, &seed);
            if (length > 0)
                packet[0] = (uint8_t)first;
            expect_junk(false, packet, length);
            expect_junk(true, packet, length);
            if (length > 1)
                packet[1] = (uint8_t)first;
            if (length > 0)
                packet[0] = 0x80;
            expect_junk(false, packet, length);
            expect_junk(true, packet, length);
        }
    }
}
END_TEST

static size_t seal(uint8_t *packet, size_t length, bool rtcp, bool encrypt, uint64_t index)
{
    length = rtcp ? reference_rtcp(suite, &keys[RTP_SHAPE_RTCP], (uint32_t)index, encrypt, packet,
                                   length)
                  : reference_rtp(suite, &keys[RTP_SHAPE_RTP], index, packet, 12, length);
    return reference_mki(suite, rtcp, key.mki, key.mki_length, packet, length);
}

/* Every length is taken when it is genuine, up to the longest and no further. */
START_TEST(test_genuine)
{
    uint8_t packet[LENGTH_MAX + 256], plain[LENGTH_MAX];
    uint64_t seed = (uint64_t)_i, index = 1;

    open_sessions((enum suite_id)(_i / MKIS), mki_octets[_i % MKIS]);
    set_past(0);
    for (size_t length = 12; length < LENGTH_MAX; length += unit_stride(7)) {
        for (int rtcp = 0; rtcp < 2; rtcp++) {
            bool encrypt = !suite->aead || length % 2;
            size_t sealed;

            make_junk(plain, length, rtcp, &seed);
            plain[0] = 0x80;
            memcpy(packet, plain, length);
            sealed = seal(packet, length, rtcp, encrypt, index);
            ck_assert(verify(true, rtcp, packet, sealed) ==
                      (sealed <= PACKET_MAX_OCTETS ? VERDICT_ACCEPTED : VERDICT_MALFORMED));
        }
        index++;
    }
}
END_TEST

/* At the end of all indexes: good packets end there, and nothing wraps to the beginning. */
START_TEST(test_last)
{
    uint8_t packet[256];
    uint64_t seed = 1;
    size_t length;

    open_sessions((enum suite_id)_i, 0);
    set_past(2);
    for (uint64_t index = 0xfffffffffffe; index <= 0xffffffffffff; index++) {
        make_junk(packet, 40, false, &seed);
        packet[0] = 0x80;
        length = seal(packet, 40, false, true, index);
        ck_assert_int_eq(verify(true, false, packet, length), VERDICT_ACCEPTED);
    }
    for (uint64_t index = 0; index < 200; index++) {
        make_junk(packet, 40, false, &seed);
        packet[0] = 0x80;
        length = seal(packet, 40, false, true, index);
        expect_refused(false, packet, length);
    }
    make_junk(packet, 40, true, &seed);
    length = seal(packet, 40, true, true, 0x7fffffff);
    ck_assert_int_eq(verify(true, true, packet, length), VERDICT_ACCEPTED);
    ck_assert_int_eq(verify(true, true, packet, length), VERDICT_REPLAY);
    make_junk(packet, 40, true, &seed);
    length = seal(packet, 40, true, true, 0);
    expect_refused(true, packet, length);
}
END_TEST

int main(void)
{
    Suite *all = suite_create("srtp_input");
    TCase *tc = tcase_create("srtp_input");

    tcase_add_unchecked_fixture(tc, start_engines, stop_engines);
    tcase_add_checked_fixture(tc, NULL, close_sessions);
    tcase_set_timeout(tc, 240);
    tcase_add_loop_test(tc, test_junk, 0, SUITE_COUNT * MKIS);
    tcase_add_loop_test(tc, test_short, 0, SUITE_COUNT * PASTS);
    tcase_add_loop_test(tc, test_genuine, 0, SUITE_COUNT * MKIS);
    tcase_add_loop_test(tc, test_last, 0, SUITE_COUNT);
    suite_add_tcase(all, tc);
    return unit_run(all);
}
