/* What an engine and a session do with keys: kinds, suites, MKI, lifetime. */
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/protocol.h"
#include "common/srtp/srtp.h"
#include "tests/unit/reference.h"
#include "tests/unit/unit.h"

enum { SSRC = 0x5501a0b2, ENGINES = 2, PACKET_SIZE = 512, PAYLOAD_OCTETS = 160 };

struct packet {
    uint8_t octets[PACKET_SIZE];
    size_t length;
};

static struct srtp_engine *engine[ENGINES];
static const enum srtp_engine_kind kinds[ENGINES] = {SRTP_ENGINE_EVP, SRTP_ENGINE_LIBSRTP2};

/* A session under test, and the sender's keys. */
static const struct suite *suite;
static uint8_t material[SUITE_KEY_MAX_OCTETS];
static struct reference_keys keys[2]; /* by enum rtp_shape */
static struct srtp_key key;
static struct srtp_session *session;
static struct srtp_index index_;

static void start_engines(void)
{
    for (int i = 0; i < ENGINES; i++)
        ck_assert_int_eq(srtp_engine_new(&engine[i], kinds[i]), 0);
}

static void stop_engines(void)
{
    for (int i = 0; i < ENGINES; i++)
        srtp_engine_free(engine[i]);
}

static void close_session(void)
{
    srtp_session_free(session);
    session = NULL;
}

static void use_suite(enum suite_id id)
{
    suite = suite_get(id);
    for (size_t i = 0; i < sizeof(material); i++)
        material[i] = (uint8_t)(5 * i + 1);
    reference_keys(suite, material, false, &keys[RTP_SHAPE_RTP]);
    reference_keys(suite, material, true, &keys[RTP_SHAPE_RTCP]);
    srtp_key_master(&key, material, suite_material_octets(suite));
    memset(&index_, 0, sizeof(index_));
}

static void open_session(int which)
{
    ck_assert_int_eq(srtp_session_new(engine[which], &session, suite, &key), 0);
}

static void use_mki(size_t length)
{
    key.mki_length = length;
    for (size_t i = 0; i < length; i++)
        key.mki[i] = (uint8_t)(0xa0 + i);
}

static struct packet make(enum rtp_shape shape, uint64_t index)
{
    static const uint8_t rtp[] = {0x80, 96, 0, 0, 0, 0, 0, 1, 0x55, 0x01, 0xa0, 0xb2};
    static const uint8_t rtcp[] = {0x80, 201, 0, 1, 0x55, 0x01, 0xa0, 0xb2};
    bool is_rtcp = shape == RTP_SHAPE_RTCP;
    struct packet p = {.length = is_rtcp ? sizeof(rtcp) : sizeof(rtp) + PAYLOAD_OCTETS};

    memcpy(p.octets, is_rtcp ? rtcp : rtp, is_rtcp ? sizeof(rtcp) : sizeof(rtp));
    p.length = is_rtcp
                   ? reference_rtcp(suite, &keys[shape], (uint32_t)index, true, p.octets, p.length)
                   : reference_rtp(suite, &keys[shape], index, p.octets, sizeof(rtp), p.length);
    p.length = reference_mki(suite, is_rtcp, key.mki, key.mki_length, p.octets, p.length);
    return p;
}

static enum verdict verify_as(struct srtp_index *index, enum rtp_shape shape,
                              const struct packet *p)
{
    return shape == RTP_SHAPE_RTCP ? srtp_verify_rtcp(session, index, SSRC, p->octets, p->length)
                                   : srtp_verify_rtp(session, index, SSRC, p->octets, p->length);
}

static enum verdict verify(enum rtp_shape shape, const struct packet *p)
{
    return verify_as(&index_, shape, p);
}

static enum verdict receive(enum rtp_shape shape, uint64_t index)
{
    struct packet p = make(shape, index);

    return verify(shape, &p);
}

#define expect(verdict, expression)                                                                \
    ck_assert_str_eq(verdict_name(expression), verdict_name(VERDICT_##verdict))

/* ---------------------------------------------------------------- engines */

START_TEST(test_engine_kinds)
{
    static const struct {
        enum srtp_engine_kind kind;
        const char *name;
        bool has_auth;
    } rows[] = {{SRTP_ENGINE_AUTO, "auto", true},
                {SRTP_ENGINE_EVP, "evp", true},
                {SRTP_ENGINE_LIBSRTP2, "libsrtp2", false}};
    struct srtp_engine *made;

    ck_assert_int_eq(srtp_engine_new(&made, rows[_i].kind), 0);
    ck_assert_int_eq(srtp_engine_kind(made), rows[_i].kind);
    ck_assert_str_eq(srtp_engine_name(rows[_i].kind), rows[_i].name);
    for (int i = 0; i < SUITE_COUNT; i++) {
        const struct suite *one = suite_get((enum suite_id)i);

        ck_assert(srtp_engine_has(made, one, SRTP_KEY_MASTER));
        ck_assert(srtp_engine_has(made, one, SRTP_KEY_AUTH) == (rows[_i].has_auth && !one->aead));
        ck_assert(!srtp_engine_has(made, one, SRTP_KEY_NONE));
    }
    srtp_engine_free(made);
    srtp_engine_free(NULL);
}
END_TEST

START_TEST(test_key_octets)
{
    const struct suite *one = suite_get((enum suite_id)_i);

    ck_assert_uint_eq(srtp_key_octets(one, SRTP_KEY_MASTER), one->key_octets + one->salt_octets);
    ck_assert_uint_eq(srtp_key_octets(one, SRTP_KEY_AUTH), one->aead ? 0 : 40);
    ck_assert_uint_eq(srtp_key_octets(one, SRTP_KEY_NONE), 0);
}
END_TEST

/* ---------------------------------------------------------------- keys that are refused */

static void expect_refused(int which, int error)
{
    ck_assert_int_eq(srtp_session_new(engine[which], &session, suite, &key), error);
    ck_assert_ptr_null(session);
}

START_TEST(test_refused)
{
    int which = _i / SUITE_COUNT;

    /* The length of every suite, and of none; a key of zeros, whatever the salt. */
    for (size_t length = 0; length <= 64; length++) {
        use_suite((enum suite_id)(_i % SUITE_COUNT));
        key.length = length;
        if (length != suite_material_octets(suite))
            expect_refused(which, ERR_INVALID);
    }
    key.length = suite_material_octets(suite);
    memset(key.octets, 0, sizeof(key.octets));
    expect_refused(which, ERR_INVALID);
    key.octets[key.length - 1] = 1;
    expect_refused(which, ERR_INVALID);
    key.octets[suite->key_octets - 1] = 1;
    open_session(which);
    close_session();
    key.octets[0] = 1;
    key.mki_length = SRTP_MKI_MAX_OCTETS + 1;
    expect_refused(which, ERR_INVALID);
    key.mki_length = SIZE_MAX;
    expect_refused(which, ERR_INVALID);
    use_suite((enum suite_id)(_i % SUITE_COUNT));
    key.kind = SRTP_KEY_NONE;
    expect_refused(which, ERR_INVALID);
}
END_TEST

START_TEST(test_refused_auth)
{
    int which = _i / SUITE_COUNT;

    for (size_t length = 0; length <= 64; length++) {
        use_suite((enum suite_id)(_i % SUITE_COUNT));
        key.kind = SRTP_KEY_AUTH;
        key.length = length;
        if (suite->aead || length != 40)
            expect_refused(which, ERR_INVALID);
        else if (kinds[which] == SRTP_ENGINE_LIBSRTP2)
            expect_refused(which, ERR_UNSUPPORTED);
    }
    key.length = 40;
    memset(key.octets, 0, sizeof(key.octets));
    expect_refused(which, ERR_INVALID);
}
END_TEST

/* ---------------------------------------------------------------- keys that come back */

START_TEST(test_key_back)
{
    struct srtp_key back;

    use_suite((enum suite_id)(_i % SUITE_COUNT));
    use_mki(7);
    key.lifetime = 1000;
    open_session(_i / SUITE_COUNT);
    ck_assert_int_eq(srtp_session_key(session, SRTP_KEY_MASTER, &back), 0);
    ck_assert_int_eq(back.kind, SRTP_KEY_MASTER);
    ck_assert_uint_eq(back.length, suite_material_octets(suite));
    ck_assert_mem_eq(back.octets, material, back.length);
    ck_assert_uint_eq(back.mki_length, 7);
    ck_assert_mem_eq(back.mki, key.mki, 7);
    ck_assert_uint_eq(back.lifetime, 1000);
    expect(ACCEPTED, receive(RTP_SHAPE_RTP, 1));
    expect(ACCEPTED, receive(RTP_SHAPE_RTCP, 1));
    ck_assert_int_eq(srtp_session_key(session, SRTP_KEY_MASTER, &back), 0);
    ck_assert_uint_eq(back.lifetime, 998);
    ck_assert_uint_eq(srtp_session_lifetime(session), 998);
    ck_assert_int_eq(srtp_session_key(session, SRTP_KEY_NONE, &back), ERR_UNSUPPORTED);
}
END_TEST

/* Without a lifetime there is none to write down, however many packets came. */
START_TEST(test_no_lifetime)
{
    struct srtp_key back;

    use_suite(SUITE_AES_CM_128_HMAC_SHA1_80);
    open_session(_i);
    expect(ACCEPTED, receive(RTP_SHAPE_RTP, 1));
    ck_assert_int_eq(srtp_session_key(session, SRTP_KEY_MASTER, &back), 0);
    ck_assert_uint_eq(back.lifetime, SRTP_LIFETIME_MAX);
    close_session();
    key.lifetime = UINT64_MAX;
    open_session(_i);
    ck_assert_int_eq(srtp_session_key(session, SRTP_KEY_MASTER, &back), 0);
    ck_assert_uint_eq(back.lifetime, SRTP_LIFETIME_MAX);
}
END_TEST

static bool contains(const void *memory, size_t size, const void *what, size_t length)
{
    for (size_t i = 0; i + length <= size; i++) {
        if (memcmp((const uint8_t *)memory + i, what, length) == 0)
            return true;
    }
    return false;
}

START_TEST(test_auth_derived)
{
    struct srtp_key back, again;

    use_suite((enum suite_id)(_i % SUITE_COUNT));
    use_mki(3);
    open_session(_i / SUITE_COUNT);
    if (suite->aead || kinds[_i / SUITE_COUNT] == SRTP_ENGINE_LIBSRTP2) {
        ck_assert_int_eq(srtp_session_key(session, SRTP_KEY_AUTH, &back), ERR_UNSUPPORTED);
        ck_assert(!contains(&back, sizeof(back), material, 8));
        return;
    }
    ck_assert_int_eq(srtp_session_key(session, SRTP_KEY_AUTH, &back), 0);
    ck_assert_int_eq(back.kind, SRTP_KEY_AUTH);
    ck_assert_uint_eq(back.length, 40);
    ck_assert_mem_eq(back.octets, keys[RTP_SHAPE_RTP].auth, 20);
    ck_assert_mem_eq(back.octets + 20, keys[RTP_SHAPE_RTCP].auth, 20);
    ck_assert_uint_eq(back.mki_length, 3);
    /* It says nothing of the master key, and a session made of it cannot give one. */
    ck_assert(!contains(&back, sizeof(back), material, 8));
    close_session();
    ck_assert_int_eq(srtp_session_new(engine[0], &session, suite, &back), 0);
    ck_assert_int_eq(srtp_session_key(session, SRTP_KEY_MASTER, &again), ERR_UNSUPPORTED);
    ck_assert_int_eq(srtp_session_key(session, SRTP_KEY_AUTH, &again), 0);
    ck_assert_mem_eq(again.octets, back.octets, 40);
}
END_TEST

/* A session of authentication keys says of every packet what one of the master key says. */
START_TEST(test_auth_verifies)
{
    struct srtp_session *master;
    struct srtp_key auth;

    use_suite((enum suite_id)_i);
    if (suite->aead)
        return;
    open_session(0);
    master = session;
    ck_assert_int_eq(srtp_session_key(master, SRTP_KEY_AUTH, &auth), 0);
    ck_assert_int_eq(srtp_session_new(engine[0], &session, suite, &auth), 0);
    for (int shape = 0; shape < 2; shape++) {
        struct packet good = make((enum rtp_shape)shape, 7), p;

        for (size_t bit = 0; bit < 8 * good.length; bit++) {
            p = good;
            p.octets[bit / 8] ^= (uint8_t)(1u << bit % 8);
            ck_assert_msg(verify((enum rtp_shape)shape, &p) != VERDICT_ACCEPTED, "bit %zu", bit);
        }
        expect(ACCEPTED, verify((enum rtp_shape)shape, &good));
        expect(REPLAY, verify((enum rtp_shape)shape, &good));
    }
    srtp_session_free(master);
}
END_TEST

START_TEST(test_session_is)
{
    const struct suite *other = suite_get((enum suite_id)((_i + 1) % SUITE_COUNT));
    struct srtp_key changed;

    use_suite((enum suite_id)_i);
    use_mki(2);
    open_session(0);
    ck_assert(srtp_session_is(session, suite, &key));
    ck_assert(!srtp_session_is(session, other, &key));
    for (size_t i = 0; i < key.length; i++) {
        changed = key;
        changed.octets[i] ^= 0x80;
        ck_assert(!srtp_session_is(session, suite, &changed));
    }
    changed = key;
    changed.mki[1] ^= 1;
    ck_assert(!srtp_session_is(session, suite, &changed));
    changed = key;
    changed.mki_length = 1;
    ck_assert(!srtp_session_is(session, suite, &changed));
    changed = key;
    changed.length--;
    ck_assert(!srtp_session_is(session, suite, &changed));
    changed = key;
    changed.kind = SRTP_KEY_AUTH;
    ck_assert(!srtp_session_is(session, suite, &changed));
    changed = key;
    changed.lifetime = 5; /* is not the key */
    changed.mki[2] ^= 1;  /* behind its end */
    ck_assert(srtp_session_is(session, suite, &changed));
}
END_TEST

/* Two sessions: the same key in the same form, the same key at all, or neither. */
static void expect_like(enum suite_id id, bool equal, bool one_key)
{
    struct srtp_session *other = NULL;

    ck_assert_int_eq(srtp_session_new(engine[0], &other, suite_get(id), &key), 0);
    ck_assert(srtp_session_equal(session, other) == equal);
    ck_assert(srtp_session_equal(other, session) == equal);
    ck_assert(srtp_session_one_key(session, other) == one_key);
    ck_assert(srtp_session_one_key(other, session) == one_key);
    srtp_session_free(other);
}

START_TEST(test_sessions_like)
{
    enum suite_id id = (enum suite_id)_i;

    use_suite(id);
    use_mki(4);
    open_session(0);
    expect_like(id, true, true);
    key.lifetime = 5;
    expect_like(id, true, true);
    key.mki[3] ^= 1;
    expect_like(id, false, true);
    key.mki_length = 0;
    expect_like(id, false, true);
    if (id == SUITE_AES_CM_128_HMAC_SHA1_80)
        expect_like(SUITE_AES_CM_128_HMAC_SHA1_32, false, true);
    key.octets[key.length - 1] ^= 1;
    expect_like(id, false, false);
    if (suite->aead)
        return;
    ck_assert_int_eq(srtp_session_key(session, SRTP_KEY_AUTH, &key), 0);
    expect_like(id, false, true);
    key.octets[0] ^= 1;
    expect_like(id, false, false);
}
END_TEST

START_TEST(test_mki_back)
{
    size_t length = 99;

    use_suite(SUITE_AEAD_AES_128_GCM);
    open_session(_i);
    ck_assert_ptr_null(srtp_session_mki(session, &length));
    ck_assert_uint_eq(length, 0);
    ck_assert_int_eq(srtp_session_kind(session), SRTP_KEY_MASTER);
    close_session();
    use_mki(5);
    open_session(_i);
    ck_assert_mem_eq(srtp_session_mki(session, &length), key.mki, 5);
    ck_assert_uint_eq(length, 5);
}
END_TEST

/* ---------------------------------------------------------------- lifetime */

START_TEST(test_lifetime)
{
    enum { LIFETIME = 10 };
    struct packet bad;

    use_suite((enum suite_id)(_i % SUITE_COUNT));
    key.lifetime = LIFETIME;
    open_session(_i / SUITE_COUNT);
    for (uint64_t i = 0; i < LIFETIME; i++) {
        struct packet stranger = make(RTP_SHAPE_RTP, i + 50);

        bad = make(RTP_SHAPE_RTP, i + 100);
        bad.octets[bad.length - 1] ^= 1;
        expect(AUTH_FAIL, verify(RTP_SHAPE_RTP, &bad));
        expect(ACCEPTED, verify_as(NULL, RTP_SHAPE_RTP, &stranger)); /* any number of times */
        expect(ACCEPTED, receive(i % 3 ? RTP_SHAPE_RTP : RTP_SHAPE_RTCP, i));
        if (i + 1 < LIFETIME)
            expect(REPLAY, receive(i % 3 ? RTP_SHAPE_RTP : RTP_SHAPE_RTCP, i));
    }
    for (uint64_t i = LIFETIME; i < LIFETIME + 3; i++) {
        expect(KEY_EXPIRED, receive(RTP_SHAPE_RTP, i));
        expect(KEY_EXPIRED, receive(RTP_SHAPE_RTCP, i));
    }
    ck_assert_uint_eq(index_.highest, 8);
    ck_assert_uint_eq(index_.rtcp_highest, 9);
    bad.length = 12 + suite->rtp_tag_octets - 1;
    expect(MALFORMED, verify(RTP_SHAPE_RTP, &bad));
}
END_TEST

START_TEST(test_lifetime_none)
{
    use_suite((enum suite_id)(_i % SUITE_COUNT));
    key.lifetime = 0;
    open_session(_i / SUITE_COUNT);
    expect(KEY_EXPIRED, receive(RTP_SHAPE_RTP, 1));
    expect(KEY_EXPIRED, receive(RTP_SHAPE_RTCP, 1));
    ck_assert(!index_.started && !index_.rtcp_started);
}
END_TEST

/* ---------------------------------------------------------------- MKI */

static const size_t mki_octets[] = {1, 4, SRTP_MKI_MAX_OCTETS};

enum { MKIS = sizeof(mki_octets) / sizeof(mki_octets[0]) };

static size_t octets_behind_mki(enum rtp_shape shape)
{
    if (suite->aead)
        return 0;
    return shape == RTP_SHAPE_RTCP ? suite->rtcp_tag_octets : suite->rtp_tag_octets;
}

static void open_with_mki(int row)
{
    use_suite((enum suite_id)(row / MKIS % SUITE_COUNT));
    use_mki(mki_octets[row % MKIS]);
    open_session(row / MKIS / SUITE_COUNT);
}

START_TEST(test_mki)
{
    open_with_mki(_i);
    for (int i = 0; i < 2; i++) {
        enum rtp_shape shape = (enum rtp_shape)i;
        struct packet good = make(shape, 5), p;
        size_t at = good.length - octets_behind_mki(shape) - key.mki_length;

        for (size_t octet = 0; octet < key.mki_length; octet++) {
            p = good;
            p.octets[at + octet] ^= 0x10;
            expect(AUTH_FAIL, verify(shape, &p));
        }
        expect(ACCEPTED, verify(shape, &good));
        expect(REPLAY, verify(shape, &good));
        expect(ACCEPTED, receive(shape, 0x8005));
        expect(ACCEPTED, receive(shape, 0x10004));
    }
}
END_TEST

/* Missing, too many, or where the other suites have it. */
START_TEST(test_mki_misplaced)
{
    size_t length;

    open_with_mki(_i);
    length = key.mki_length;
    for (int i = 0; i < 2; i++) {
        enum rtp_shape shape = (enum rtp_shape)i;
        struct packet p;

        key.mki_length = 0;
        p = make(shape, 5);
        ck_assert(verify(shape, &p) != VERDICT_ACCEPTED);
        if (suite->aead) {
            memmove(p.octets + p.length - 16 + length, p.octets + p.length - 16, 16);
            memcpy(p.octets + p.length - 16, key.mki, length);
        } else {
            memcpy(p.octets + p.length, key.mki, length);
        }
        p.length += length;
        expect(AUTH_FAIL, verify(shape, &p));
        key.mki_length = length;
        p = make(shape, 5);
        p.length =
            reference_mki(suite, shape == RTP_SHAPE_RTCP, key.mki, length, p.octets, p.length);
        expect(AUTH_FAIL, verify(shape, &p));
        expect(ACCEPTED, receive(shape, 5));
    }
}
END_TEST

/* A session that expects none. */
START_TEST(test_mki_unexpected)
{
    use_suite((enum suite_id)(_i % SUITE_COUNT));
    open_session(_i / SUITE_COUNT);
    for (size_t i = 0; i < MKIS; i++) {
        use_mki(mki_octets[i]);
        expect(AUTH_FAIL, receive(RTP_SHAPE_RTP, 5));
        expect(AUTH_FAIL, receive(RTP_SHAPE_RTCP, 5));
    }
    use_mki(0);
    expect(ACCEPTED, receive(RTP_SHAPE_RTP, 5));
    expect(ACCEPTED, receive(RTP_SHAPE_RTCP, 5));
}
END_TEST

/* Each length up to where it would fit, from memory of just that length. */
START_TEST(test_mki_too_long)
{
    open_with_mki(_i);
    for (int i = 0; i < 2; i++) {
        enum rtp_shape shape = (enum rtp_shape)i;
        struct packet good = make(shape, 5);
        size_t least =
            (shape == RTP_SHAPE_RTCP ? 8 : 12) + srtp_trailer_octets(suite, shape, key.mki_length);

        for (size_t length = 0; length < least; length++) {
            uint8_t *copy = malloc(length ? length : 1);
            enum verdict verdict;

            memcpy(copy, good.octets, length);
            verdict = shape == RTP_SHAPE_RTCP
                          ? srtp_verify_rtcp(session, &index_, SSRC, copy, length)
                          : srtp_verify_rtp(session, &index_, SSRC, copy, length);
            expect(MALFORMED, verdict);
            free(copy);
        }
        expect(ACCEPTED, verify(shape, &good));
    }
}
END_TEST

int main(void)
{
    Suite *all = suite_create("srtp_keys");
    TCase *tc = tcase_create("srtp_keys");

    tcase_add_unchecked_fixture(tc, start_engines, stop_engines);
    tcase_add_checked_fixture(tc, NULL, close_session);
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, test_engine_kinds, 0, 3);
    tcase_add_loop_test(tc, test_key_octets, 0, SUITE_COUNT);
    tcase_add_loop_test(tc, test_refused, 0, ENGINES * SUITE_COUNT);
    tcase_add_loop_test(tc, test_refused_auth, 0, ENGINES * SUITE_COUNT);
    tcase_add_loop_test(tc, test_key_back, 0, ENGINES * SUITE_COUNT);
    tcase_add_loop_test(tc, test_no_lifetime, 0, ENGINES);
    tcase_add_loop_test(tc, test_auth_derived, 0, ENGINES * SUITE_COUNT);
    tcase_add_loop_test(tc, test_auth_verifies, 0, SUITE_COUNT);
    tcase_add_loop_test(tc, test_session_is, 0, SUITE_COUNT);
    tcase_add_loop_test(tc, test_sessions_like, 0, SUITE_COUNT);
    tcase_add_loop_test(tc, test_mki_back, 0, ENGINES);
    tcase_add_loop_test(tc, test_lifetime, 0, ENGINES * SUITE_COUNT);
    tcase_add_loop_test(tc, test_lifetime_none, 0, ENGINES * SUITE_COUNT);
    tcase_add_loop_test(tc, test_mki, 0, ENGINES * SUITE_COUNT * MKIS);
    tcase_add_loop_test(tc, test_mki_misplaced, 0, ENGINES * SUITE_COUNT * MKIS);
    tcase_add_loop_test(tc, test_mki_unexpected, 0, ENGINES * SUITE_COUNT);
    tcase_add_loop_test(tc, test_mki_too_long, 0, ENGINES * SUITE_COUNT * MKIS);
    suite_add_tcase(all, tc);
    return unit_run(all);
}
