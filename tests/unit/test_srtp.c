#include "common/srtp/srtp.h"

#include <srtp2/srtp.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/protocol.h"
#include "common/base/writer.h"
#include "common/srtp/gcm.h"
#include "common/srtp/hmac.h"
#include "tests/unit/protect.h"
#include "tests/unit/reference.h"
#include "tests/unit/unit.h"

enum { SSRC = 0x5501a0b2, OTHER_SSRC = 0x01020304, PACKET_SIZE = 256, WINDOW = 1024 };

#define TURN ((uint64_t)0x10000)

/* ---------------------------------------------------------------- calls into the libraries */

static struct {
    unsigned tags; /* checked */
    unsigned forget;
    unsigned add_stream, remove_stream;
    srtp_err_status_t fail; /* not ok: what the next calls of libsrtp2 return instead */
} calls;

srtp_err_status_t __real_srtp_unprotect_mki(srtp_t context, void *packet, int *length,
                                            unsigned use_mki);
srtp_err_status_t __wrap_srtp_unprotect_mki(srtp_t context, void *packet, int *length,
                                            unsigned use_mki);
srtp_err_status_t __real_srtp_unprotect_rtcp_mki(srtp_t context, void *packet, int *length,
                                                 unsigned use_mki);
srtp_err_status_t __wrap_srtp_unprotect_rtcp_mki(srtp_t context, void *packet, int *length,
                                                 unsigned use_mki);
void __real_hmac_tag(const struct hmac_key *key, const uint8_t *message, size_t length,
                     const uint8_t *more, size_t more_length, uint8_t tag[HMAC_OCTETS]);
void __wrap_hmac_tag(const struct hmac_key *key, const uint8_t *message, size_t length,
                     const uint8_t *more, size_t more_length, uint8_t tag[HMAC_OCTETS]);
bool __real_gcm_is_right(struct gcm *gcm, const uint8_t *key, const struct gcm_message *message);
bool __wrap_gcm_is_right(struct gcm *gcm, const uint8_t *key, const struct gcm_message *message);
void __real_gcm_forget(struct gcm *gcm);
void __wrap_gcm_forget(struct gcm *gcm);
srtp_err_status_t __real_srtp_add_stream(srtp_t context, const srtp_policy_t *policy);
srtp_err_status_t __wrap_srtp_add_stream(srtp_t context, const srtp_policy_t *policy);
srtp_err_status_t __real_srtp_remove_stream(srtp_t context, unsigned ssrc);
srtp_err_status_t __wrap_srtp_remove_stream(srtp_t context, unsigned ssrc);

srtp_err_status_t __wrap_srtp_unprotect_mki(srtp_t context, void *packet, int *length,
                                            unsigned use_mki)
{
    calls.tags++;
    return calls.fail ? calls.fail : __real_srtp_unprotect_mki(context, packet, length, use_mki);
}

srtp_err_status_t __wrap_srtp_unprotect_rtcp_mki(srtp_t context, void *packet, int *length,
                                                 unsigned use_mki)
{
    calls.tags++;
    return calls.fail ? calls.fail
                      : __real_srtp_unprotect_rtcp_mki(context, packet, length, use_mki);
}

void __wrap_hmac_tag(const struct hmac_key *key, const uint8_t *message, size_t length,
                     const uint8_t *more, size_t more_length, uint8_t tag[HMAC_OCTETS])
{
    calls.tags++;
    __real_hmac_tag(key, message, length, more, more_length, tag);
}

bool __wrap_gcm_is_right(struct gcm *gcm, const uint8_t *key, const struct gcm_message *message)
{
    calls.tags++;
    return __real_gcm_is_right(gcm, key, message);
}

void __wrap_gcm_forget(struct gcm *gcm)
{
    calls.forget++;
    __real_gcm_forget(gcm);
}

srtp_err_status_t __wrap_srtp_add_stream(srtp_t context, const srtp_policy_t *policy)
{
    calls.add_stream++;
    return __real_srtp_add_stream(context, policy);
}

srtp_err_status_t __wrap_srtp_remove_stream(srtp_t context, unsigned ssrc)
{
    srtp_err_status_t status = __real_srtp_remove_stream(context, ssrc);

    calls.remove_stream += status == srtp_err_status_ok;
    return status;
}

/* ---------------------------------------------------------------- a sender and a receiver */

struct packet {
    uint8_t octets[PACKET_SIZE];
    size_t length;
};

struct call {
    const struct suite *suite;
    uint8_t material[SUITE_KEY_MAX_OCTETS];
    struct reference_keys rtp, rtcp;
    struct srtp_session *session;
    struct srtp_index index;
};

static struct call call;

/* Each test runs on each of them. */
static struct srtp_engine *evp, *libsrtp2, *engine;

static void session_open(void)
{
    struct srtp_key key;

    srtp_key_master(&key, call.material, suite_material_octets(call.suite));
    ck_assert_int_eq(srtp_session_new(engine, &call.session, call.suite, &key), 0);
}

static void call_open(enum suite_id id)
{
    memset(&call, 0, sizeof(call));
    call.suite = suite_get(id);
    for (size_t i = 0; i < sizeof(call.material); i++)
        call.material[i] = (uint8_t)(7 * i + 3);
    reference_keys(call.suite, call.material, false, &call.rtp);
    reference_keys(call.suite, call.material, true, &call.rtcp);
    session_open();
}

static void call_close(void)
{
    srtp_session_free(call.session);
    call.session = NULL;
}

/* The daemon starts anew; the index comes from the state file. */
static void call_restart(void)
{
    call_close();
    if (call.index.started)
        index_resume(&call.index, call.index.highest);
    if (call.index.rtcp_started)
        index_resume_rtcp(&call.index, call.index.rtcp_highest);
    session_open();
}

static void start_engines(void)
{
    ck_assert_int_eq(protect_start(), 0);
    ck_assert_int_eq(srtp_engine_new(&evp, SRTP_ENGINE_EVP), 0);
    ck_assert_int_eq(srtp_engine_new(&libsrtp2, SRTP_ENGINE_LIBSRTP2), 0);
}

static void stop_engines(void)
{
    srtp_engine_free(evp);
    srtp_engine_free(libsrtp2);
    protect_stop();
}

static void setup_evp(void)
{
    memset(&calls, 0, sizeof(calls));
    engine = evp;
}

static void setup_libsrtp2(void)
{
    memset(&calls, 0, sizeof(calls));
    engine = libsrtp2;
}

static struct packet rtp_of(uint32_t ssrc, uint64_t index)
{
    struct packet p;

    p.length = protect_make_rtp(p.octets, sizeof(p.octets), 96, 0, (uint32_t)index, ssrc,
                                "0123456789abcdefghi", 19);
    p.length = reference_rtp(call.suite, &call.rtp, index, p.octets, 12, p.length);
    return p;
}

static size_t make_report(uint8_t *out, size_t size, uint32_t ssrc)
{
    struct writer w;

    writer_init(&w, out, size);
    writer_u32(&w, 0x80c80006);
    writer_u32(&w, ssrc);
    writer_copy(&w, "a sender report here", 20);
    return writer_length(&w);
}

static struct packet rtcp_of(uint32_t ssrc, uint32_t index)
{
    struct packet p;

    p.length = make_report(p.octets, sizeof(p.octets), ssrc);
    p.length = reference_rtcp(call.suite, &call.rtcp, index, true, p.octets, p.length);
    return p;
}

static enum verdict verify(struct srtp_index *index, uint32_t ssrc, const struct packet *p,
                           bool rtcp)
{
    return rtcp ? srtp_verify_rtcp(call.session, index, ssrc, p->octets, p->length)
                : srtp_verify_rtp(call.session, index, ssrc, p->octets, p->length);
}

static enum verdict receive(uint64_t index)
{
    struct packet p = rtp_of(SSRC, index);

    return verify(&call.index, SSRC, &p, false);
}

static enum verdict receive_forged(uint64_t index)
{
    struct packet p = rtp_of(SSRC, index);

    p.octets[p.length - 1] ^= 1;
    return verify(&call.index, SSRC, &p, false);
}

static enum verdict receive_rtcp(uint32_t index)
{
    struct packet p = rtcp_of(SSRC, index);

    return verify(&call.index, SSRC, &p, true);
}

#define expect(verdict, expression)                                                                \
    ck_assert_str_eq(verdict_name(expression), verdict_name(VERDICT_##verdict))

/* ---------------------------------------------------------------- vectors of the RFCs */

static void expect_hex(const uint8_t *got, size_t length, const char *hex)
{
    uint8_t want[PACKET_SIZE];

    ck_assert_uint_eq(unit_hex(hex, want, sizeof(want)), length);
    ck_assert_mem_eq(got, want, length);
}

/* RFC 3711 appendix B.2. */
START_TEST(test_rfc3711_aes_cm)
{
    uint8_t key[16], iv[16], stream[48] = {0};

    unit_hex("2B7E151628AED2A6ABF7158809CF4F3C", key, sizeof(key));
    unit_hex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD0000", iv, sizeof(iv));
    reference_aes_cm(key, sizeof(key), iv, stream, sizeof(stream));
    expect_hex(stream, sizeof(stream),
               "E03EAD0935C95E80E166B16DD92B4EB4 D23513162B02D0F72A43A2FE4A5F97AB"
               "41E95B3BB0A2E8DD477901E4FCA894C0");
}
END_TEST

/* RFC 3711 appendix B.3. */
START_TEST(test_rfc3711_derivation)
{
    const struct suite *suite = suite_get(SUITE_AES_CM_128_HMAC_SHA1_80);
    struct reference_keys keys;
    uint8_t material[30], auth[94];

    unit_hex("E1F97A0D3E018BE0D64FA32C06DE4139 0EC675AD498AFEEBB6960B3AABE6", material,
             sizeof(material));
    reference_keys(suite, material, false, &keys);
    expect_hex(keys.cipher, 16, "C61E7A93744F39EE10734AFE3FF7A087");
    expect_hex(keys.salt, 14, "30CBBC08863D8C85D49DB34A9AE1");
    reference_derive(suite, material, 1, auth, sizeof(auth));
    expect_hex(auth, sizeof(auth),
               "CEBE321F6FF7716B6FD4AB49AF256A15 6D38BAA48F0A0ACF3C34E2359E6CDBCE"
               "E049646C43D9327AD175578EF7227098 6371C10C9A369AC2F94A8C5FBCDDDC25"
               "6D6E919A48B610EF17C2041E47403576 6B68642C59BBFC2F34DB60DBDFB2");
    ck_assert_mem_eq(keys.auth, auth, sizeof(keys.auth));
}
END_TEST

/* RFC 6188 section 7, the key derivation with AES-256. */
START_TEST(test_rfc6188_derivation)
{
    struct reference_keys keys;
    uint8_t material[46];

    unit_hex("f0f04914b513f2763a1b1fa130f10e29 98f6f6e43e4309d1e622a0e332b9f1b6"
             "3b04803de51ee7c96423ab5b78d2",
             material, sizeof(material));
    reference_keys(suite_get(SUITE_AES_256_CM_HMAC_SHA1_80), material, false, &keys);
    expect_hex(keys.cipher, 32,
               "5ba1064e30ec51613cad926c5a28ef73 1ec7fb397f70a960653caf06554cd8c4");
    expect_hex(keys.salt, 14, "fa31791685ca444a9e07c6c64e93");
    expect_hex(keys.auth, 20, "fd9c32d39ed5fbb5a9dc96b30818454d1313dc05");
}
END_TEST

#define GALLIA_HEADER "8040f17b 8041f8d3 5501a0b2 "
#define REPORT                                                                                     \
    "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61"                      \
    "deadbeef deadbeef deadbeef deadbeef deadbeef"

static const struct {
    const char *section;
    enum suite_id suite;
    bool rtcp, encrypt;
    const char *plain, *protected;
} vectors[] = {
    {"16.1.1", SUITE_AEAD_AES_128_GCM, false, true,
     GALLIA_HEADER "47616c6c 69612065 7374206f 6d6e6973 20646976 69736120 696e2070 61727465"
                   "73207472 6573",
     GALLIA_HEADER "f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f 42a5f47a 51c7d19b"
                   "36de3adf 8833 899d7f27beb16a9152cf765ee4390cce"},
    {"16.2.1", SUITE_AEAD_AES_256_GCM, false, true,
     GALLIA_HEADER "47616c6c 69612065 7374206f 6d6e6973 20646976 69736120 696e2070 61727465"
                   "73207472 6573",
     GALLIA_HEADER "32b1de78 a822fe12 ef9f78fa 332e33aa b1801238 9a58e2f3 b50b2a02 76ffae0f"
                   "1ba63799 b87b 7aa3db36dfffd6b0f9bb7878d7a76c13"},
    {"17.1", SUITE_AEAD_AES_128_GCM, true, true, REPORT,
     "81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d c676a5f1 730d6fda"
     "4ce09b46 86303ded 0bb9275b c84aa458 96cf4d2f c5abf872 45d9eade 800005d4"},
    {"17.2", SUITE_AEAD_AES_256_GCM, true, true, REPORT,
     "81c8000d 4d617273 d50ae4d1 f5ce5d30 4ba297e4 7d470c28 2c3ece5d bffe0a50 a2eaa5c1 110555be"
     "8415f658 c61de047 6f1b6fad 1d1eb30c 4446839f 57ff6f6c b26ac3be 800005d4"},
    {"17.3", SUITE_AEAD_AES_128_GCM, true, false, REPORT,
     REPORT "841dd968 3dd78ec9 2ae58790 125f62b3 000005d4"},
};

/* RFC 7714 gives session keys: they prove the reference, which then stands for the RFC below. */
START_TEST(test_rfc7714)
{
    const struct suite *suite = suite_get(vectors[_i].suite);
    struct reference_keys keys = {{0}, {0}, "Quid pro quo"};
    uint8_t packet[PACKET_SIZE];
    size_t length = unit_hex(vectors[_i].plain, packet, sizeof(packet));

    for (uint8_t i = 0; i < 32; i++)
        keys.cipher[i] = i;
    length = vectors[_i].rtcp
                 ? reference_rtcp(suite, &keys, 0x5d4, vectors[_i].encrypt, packet, length)
                 : reference_rtp(suite, &keys, 0xf17b, packet, 12, length);
    expect_hex(packet, length, vectors[_i].protected);
}
END_TEST

/* The RFCs' plain packets under a master key: the engine takes what the reference makes. */
START_TEST(test_rfc_packets_accepted)
{
    struct packet p;

    call_open(vectors[_i].suite);
    p.length = unit_hex(vectors[_i].plain, p.octets, sizeof(p.octets));
    p.length =
        vectors[_i].rtcp
            ? reference_rtcp(call.suite, &call.rtcp, 0x5d4, vectors[_i].encrypt, p.octets, p.length)
            : reference_rtp(call.suite, &call.rtp, 0xf17b, p.octets, 12, p.length);
    expect(ACCEPTED,
           verify(&call.index, vectors[_i].rtcp ? 0x4d617273 : SSRC, &p, vectors[_i].rtcp));
    if (vectors[_i].rtcp)
        ck_assert_uint_eq(call.index.rtcp_highest, 0x5d4);
    else
        ck_assert_uint_eq(call.index.highest, 0xf17b);
}
END_TEST

/* The master key of RFC 3711 appendix B.3, and a packet that is widely used with it. */
START_TEST(test_known_packet)
{
    static const char hex[] =
        "800f1234 decafbad cafebabe 4e55dc4c e79978d8 8ca4d215 949d2402 b78d6acc 99ea179b 8dbb";
    struct srtp_index index = {0};
    struct packet p;
    uint8_t material[30];

    unit_hex("E1F97A0D3E018BE0D64FA32C06DE4139 0EC675AD498AFEEBB6960B3AABE6", material,
             sizeof(material));
    call.suite = suite_get(SUITE_AES_CM_128_HMAC_SHA1_80);
    memcpy(call.material, material, sizeof(material));
    session_open();
    p.length = unit_hex(hex, p.octets, sizeof(p.octets));
    expect(ACCEPTED, verify(&index, 0xcafebabe, &p, false));
    ck_assert_uint_eq(index.highest, 0x1234);
}
END_TEST

/* ---------------------------------------------------------------- every suite */

START_TEST(test_material_length)
{
    struct srtp_session *session = NULL;
    uint8_t material[SUITE_KEY_MAX_OCTETS + 1] = {1};
    const struct suite *suite = suite_get((enum suite_id)_i);
    struct srtp_key key;

    for (size_t length = 0; length <= sizeof(material); length++) {
        srtp_key_master(&key, material, length);
        if (length == suite_material_octets(suite))
            memset(key.octets, 0, sizeof(key.octets));
        ck_assert_int_eq(srtp_session_new(engine, &session, suite, &key), ERR_INVALID);
        ck_assert_ptr_null(session);
    }
    srtp_session_free(NULL);
}
END_TEST

/* libsrtp2's sender and the reference make the same octets, and the engine takes them. */
START_TEST(test_senders_agree)
{
    static const uint64_t indexes[] = {0, 1, 0xffff, 0x10000, 0x1ffff, 0x20005, 0xffffffff0000};
    struct protect *sender;
    struct packet p, q;

    call_open((enum suite_id)_i);
    sender = protect_new(call.suite, call.material, SSRC);
    ck_assert_ptr_nonnull(sender);
    for (size_t i = 0; i < sizeof(indexes) / sizeof(indexes[0]); i++) {
        p.length = protect_make_rtp(p.octets, sizeof(p.octets), 96, 0, (uint32_t)indexes[i], SSRC,
                                    "0123456789abcdefghi", 19);
        p.length = protect_rtp(sender, indexes[i], p.octets, p.length, sizeof(p.octets));
        q = rtp_of(SSRC, indexes[i]);
        ck_assert_uint_eq(p.length, q.length);
        ck_assert_mem_eq(p.octets, q.octets, q.length);
        /* As if told the ROC: any index may come next. */
        index_resume(&call.index, indexes[i] ? indexes[i] - 1 : 0);
        call_restart();
        if (indexes[i] > 0)
            expect(ACCEPTED, verify(&call.index, SSRC, &p, false));
    }
    for (uint32_t i = 1; i <= 3; i++) {
        p.length = make_report(p.octets, sizeof(p.octets), SSRC);
        p.length = protect_rtcp(sender, p.octets, p.length, sizeof(p.octets));
        q = rtcp_of(SSRC, i);
        ck_assert_uint_eq(p.length, q.length);
        ck_assert_mem_eq(p.octets, q.octets, q.length);
        expect(ACCEPTED, verify(&call.index, SSRC, &p, true));
    }
    protect_free(sender);
}
END_TEST

START_TEST(test_accept_and_replay)
{
    struct packet p, before;

    call_open((enum suite_id)_i);
    p = before = rtp_of(SSRC, 0x1234);
    expect(ACCEPTED, verify(&call.index, SSRC, &p, false));
    ck_assert_mem_eq(p.octets, before.octets, before.length);
    expect(REPLAY, verify(&call.index, SSRC, &p, false));
    ck_assert(call.index.started);
    ck_assert_uint_eq(call.index.highest, 0x1234);
    ck_assert(!call.index.rtcp_started);

    p = before = rtcp_of(SSRC, 5);
    expect(ACCEPTED, verify(&call.index, SSRC, &p, true));
    ck_assert_mem_eq(p.octets, before.octets, before.length);
    expect(REPLAY, verify(&call.index, SSRC, &p, true));
    expect(ACCEPTED, receive_rtcp(4));
    expect(REPLAY, receive_rtcp(4));
    ck_assert_uint_eq(call.index.rtcp_highest, 5);
    expect(ACCEPTED, receive(0x1235));
}
END_TEST

/* What one flip may make of a packet; a caller says SSRC as it stands in the packet. */
static void expect_flips_refused(const struct packet *good, bool rtcp, bool known)
{
    struct srtp_index before = call.index;

    for (size_t bit = 0; bit < 8 * good->length; bit++) {
        struct packet p = *good;
        size_t at = rtcp ? 4 : 8;
        uint32_t ssrc;
        enum verdict verdict;

        p.octets[bit / 8] ^= (uint8_t)(1u << bit % 8);
        ssrc = (uint32_t)p.octets[at] << 24 | (uint32_t)p.octets[at + 1] << 16 |
               (uint32_t)p.octets[at + 2] << 8 | p.octets[at + 3];
        verdict = verify(known && ssrc == SSRC ? &call.index : NULL, ssrc, &p, rtcp);
        ck_assert_msg(verdict == VERDICT_AUTH_FAIL || verdict == VERDICT_MALFORMED ||
                          (known && verdict == VERDICT_REPLAY),
                      "bit %zu: %s", bit, verdict_name(verdict));
    }
    before.search_roc = call.index.search_roc; /* which ROC to try next is all that may change */
    before.search_wait = call.index.search_wait;
    before.search_spent = call.index.search_spent;
    ck_assert_mem_eq(&call.index, &before, sizeof(before));
}

START_TEST(test_every_bit)
{
    struct packet p;

    call_open((enum suite_id)_i);
    for (int known = 0; known < 2; known++) {
        p = rtp_of(SSRC, 0x1234);
        expect_flips_refused(&p, false, known);
        p = rtcp_of(SSRC, 0x123);
        expect_flips_refused(&p, true, known);
    }
    expect(ACCEPTED, receive(0x1234));
    expect(ACCEPTED, receive_rtcp(0x123));
    /* Once more with a stream in sync. */
    p = rtp_of(SSRC, 0x1235);
    expect_flips_refused(&p, false, true);
    p = rtcp_of(SSRC, 0x124);
    expect_flips_refused(&p, true, true);
    expect(ACCEPTED, receive(0x1235));
    expect(ACCEPTED, receive_rtcp(0x124));
}
END_TEST

static void expect_cuts_refused(const struct packet *good, bool rtcp, size_t least)
{
    for (size_t length = 0; length < good->length; length++) {
        uint8_t *copy = malloc(length ? length : 1);
        enum verdict verdict;

        memcpy(copy, good->octets, length);
        verdict = rtcp ? srtp_verify_rtcp(call.session, &call.index, SSRC, copy, length)
                       : srtp_verify_rtp(call.session, &call.index, SSRC, copy, length);
        if (length < least)
            ck_assert_msg(verdict == VERDICT_MALFORMED, "%zu: %s", length, verdict_name(verdict));
        else
            ck_assert_msg(verdict == VERDICT_AUTH_FAIL || (rtcp && verdict == VERDICT_MALFORMED),
                          "%zu: %s", length, verdict_name(verdict));
        free(copy);
    }
}

START_TEST(test_truncated)
{
    struct packet p;

    call_open((enum suite_id)_i);
    p = rtp_of(SSRC, 0x1234);
    expect_cuts_refused(&p, false, 12 + call.suite->rtp_tag_octets);
    expect(ACCEPTED, receive(0x1234));
    p = rtcp_of(SSRC, 7);
    expect_cuts_refused(&p, true, 8 + 4 + call.suite->rtcp_tag_octets);
    expect(ACCEPTED, receive_rtcp(7));
}
END_TEST

START_TEST(test_unaligned)
{
    uint8_t room[PACKET_SIZE + 8];

    call_open((enum suite_id)_i);
    for (uint32_t offset = 0; offset < 8; offset++) {
        struct packet p = rtp_of(SSRC, 100 + offset);

        memcpy(room + offset, p.octets, p.length);
        expect(ACCEPTED, srtp_verify_rtp(call.session, &call.index, SSRC, room + offset, p.length));
        ck_assert_mem_eq(room + offset, p.octets, p.length);
        p = rtcp_of(SSRC, 100 + offset);
        memcpy(room + offset, p.octets, p.length);
        expect(ACCEPTED,
               srtp_verify_rtcp(call.session, &call.index, SSRC, room + offset, p.length));
    }
}
END_TEST

/* A bad packet under another key, and one whose SSRC stands elsewhere than the caller says. */
START_TEST(test_other_key)
{
    struct packet p;

    call_open((enum suite_id)_i);
    call.rtp.cipher[0] ^= 1;
    call.rtp.auth[0] ^= 1;
    call.rtcp.cipher[0] ^= 1;
    call.rtcp.auth[0] ^= 1;
    expect(AUTH_FAIL, receive(5));
    expect(AUTH_FAIL, receive_rtcp(5));
    p = rtp_of(SSRC, 6);
    expect(MALFORMED, verify(&call.index, OTHER_SSRC, &p, false));
    ck_assert(!call.index.started && !call.index.rtcp_started);
}
END_TEST

/* Headers with everything in them. */
START_TEST(test_long_header)
{
    struct packet p;

    call_open((enum suite_id)_i);
    p.length = unit_hex("b2e0 0000 00000002 5501a0b2 00000007 00000008 bede0001 01020304 aabbccdd"
                        "ff",
                        p.octets, sizeof(p.octets));
    p.length = reference_rtp(call.suite, &call.rtp, 9, p.octets, 28, p.length);
    expect(ACCEPTED, verify(&call.index, SSRC, &p, false));
    /* No payload at all. */
    p.length = unit_hex("8060 0000 00000002 5501a0b2", p.octets, sizeof(p.octets));
    p.length = reference_rtp(call.suite, &call.rtp, 10, p.octets, 12, p.length);
    expect(ACCEPTED, verify(&call.index, SSRC, &p, false));
    ck_assert_uint_eq(call.index.highest, 10);
}
END_TEST

/* Any octets, any length, exactly as long as the memory that holds them. */
START_TEST(test_junk)
{
    call_open((enum suite_id)_i);
    for (size_t length = 0; length <= 64; length++) {
        uint8_t *junk = malloc(length ? length : 1);

        for (unsigned first = 0; first < 256; first++) {
            memset(junk, (int)(first * 31 + length), length);
            if (length > 0)
                junk[0] = (uint8_t)first;
            for (size_t i = 8; i < length && i < 12; i++)
                junk[i] = (uint8_t)((unsigned)SSRC >> (8 * (11 - i)));
            ck_assert(srtp_verify_rtp(call.session, &call.index, SSRC, junk, length) !=
                      VERDICT_ACCEPTED);
            ck_assert(srtp_verify_rtcp(call.session, NULL, SSRC, junk, length) != VERDICT_ACCEPTED);
        }
        free(junk);
    }
}
END_TEST

START_TEST(test_longest)
{
    uint8_t *packet = calloc(1, PACKET_MAX_OCTETS + 64);
    size_t most = PACKET_MAX_OCTETS, length;

    call_open((enum suite_id)_i);
    protect_make_rtp(packet, 12, 96, 0, 0, SSRC, NULL, 0);
    length = reference_rtp(call.suite, &call.rtp, 1, packet, 12, most - call.suite->rtp_tag_octets);
    ck_assert_uint_eq(length, most);
    expect(ACCEPTED, srtp_verify_rtp(call.session, &call.index, SSRC, packet, length));
    memset(packet, 0, most);
    protect_make_rtp(packet, 12, 96, 0, 0, SSRC, NULL, 0);
    length =
        reference_rtp(call.suite, &call.rtp, 2, packet, 12, most + 1 - call.suite->rtp_tag_octets);
    expect(MALFORMED, srtp_verify_rtp(call.session, &call.index, SSRC, packet, length));
    free(packet);
}
END_TEST

/* ---------------------------------------------------------------- order, loss, wraps */

#define MOST_STEPS 10

/* Packets in this order, and what becomes of each. */
static const struct {
    const char *name;
    unsigned count;
    struct {
        uint64_t index;
        enum verdict verdict;
    } step[MOST_STEPS];
} orders[] = {
    {"reordered around the wrap",
     8,
     {{0xfffd, VERDICT_ACCEPTED},
      {0x10000, VERDICT_ACCEPTED},
      {0xffff, VERDICT_ACCEPTED},
      {0x10002, VERDICT_ACCEPTED},
      {0xfffe, VERDICT_ACCEPTED},
      {0x10001, VERDICT_ACCEPTED},
      {0xffff, VERDICT_REPLAY},
      {0x10000, VERDICT_REPLAY}}},
    {"first after the wrap comes first of all",
     4,
     {{0xffff, VERDICT_ACCEPTED},
      {0x10003, VERDICT_ACCEPTED},
      {0xfffc, VERDICT_ACCEPTED},
      {0x10004, VERDICT_ACCEPTED}}},
    {"three turns",
     10,
     {{0x8000, VERDICT_ACCEPTED},
      {0xf000, VERDICT_ACCEPTED},
      {0x16000, VERDICT_ACCEPTED},
      {0x1d000, VERDICT_ACCEPTED},
      {0x23000, VERDICT_ACCEPTED},
      {0x2a000, VERDICT_ACCEPTED},
      {0x29fff, VERDICT_ACCEPTED},
      {0x29fff, VERDICT_REPLAY},
      {0x31000, VERDICT_ACCEPTED},
      {0x31000, VERDICT_REPLAY}}},
    {"the window's ends",
     6,
     {{5000, VERDICT_ACCEPTED},
      {5000 - WINDOW + 1, VERDICT_ACCEPTED},
      {5000 - WINDOW, VERDICT_REPLAY},
      {5001, VERDICT_ACCEPTED},
      {5001 - WINDOW + 1, VERDICT_ACCEPTED},
      {5001 - WINDOW, VERDICT_REPLAY}}},
    {"40,000 lost inside a turn",
     3,
     {{100, VERDICT_ACCEPTED}, {40100, VERDICT_ACCEPTED}, {40099, VERDICT_ACCEPTED}}},
    {"40,000 lost over a wrap",
     4,
     {{60000, VERDICT_ACCEPTED},
      {100000, VERDICT_ACCEPTED},
      {99999, VERDICT_ACCEPTED},
      {99999, VERDICT_REPLAY}}},
    {"40,000 lost in a later turn",
     5,
     {{0x8000, VERDICT_ACCEPTED},
      {0x10064, VERDICT_ACCEPTED},
      {0x10064 + 40000, VERDICT_ACCEPTED},
      {0x10064 + 40001, VERDICT_ACCEPTED},
      {0x10064 + 60000, VERDICT_ACCEPTED}}},
    {"70,000 lost",
     4,
     {{100, VERDICT_ACCEPTED},
      {70100, VERDICT_ACCEPTED},
      {70099, VERDICT_ACCEPTED},
      {100, VERDICT_REPLAY}}},
    {"half a turn exactly", 2, {{1, VERDICT_ACCEPTED}, {0x8001, VERDICT_ACCEPTED}}},
};

enum { ORDERS = sizeof(orders) / sizeof(orders[0]) };

START_TEST(test_order)
{
    call_open((enum suite_id)(_i / ORDERS));
    for (unsigned i = 0; i < orders[_i % ORDERS].count; i++) {
        enum verdict verdict = receive(orders[_i % ORDERS].step[i].index);

        ck_assert_msg(verdict == orders[_i % ORDERS].step[i].verdict, "%s, step %u: %s",
                      orders[_i % ORDERS].name, i, verdict_name(verdict));
    }
}
END_TEST

/* At the end of all indexes (RFC 3711 section 9.2) the sender must have a new key. */
START_TEST(test_last_index)
{
    call_open((enum suite_id)_i);
    index_resume(&call.index, ((uint64_t)1 << 48) - 3);
    expect(ACCEPTED, receive(((uint64_t)1 << 48) - 2));
    expect(ACCEPTED, receive(((uint64_t)1 << 48) - 1));
    ck_assert(receive(0) != VERDICT_ACCEPTED);
    ck_assert_uint_eq(call.index.highest, ((uint64_t)1 << 48) - 1);

    index_resume_rtcp(&call.index, 0x7ffffffd);
    expect(ACCEPTED, receive_rtcp(0x7ffffffe));
    expect(ACCEPTED, receive_rtcp(0x7fffffff));
    expect(REPLAY, receive_rtcp(0));
}
END_TEST

/* ---------------------------------------------------------------- floods */

/* Bad packets cost little more than one verification each, and move nothing. */
START_TEST(test_flood_in_sync)
{
    call_open((enum suite_id)_i);
    expect(ACCEPTED, receive(0xfff0));
    calls.tags = 0;
    for (uint64_t i = 0; i < 1600; i++)
        expect(AUTH_FAIL, receive_forged(0xfff1 + i));
    ck_assert_uint_le(calls.tags, 1600 + 1600 / INDEX_SEARCH_EVERY + 1);
    ck_assert_uint_eq(calls.add_stream, 0);
    ck_assert_uint_eq(call.index.highest, 0xfff0);
    for (uint64_t i = 0xfff1; i < 0x10010; i++)
        expect(ACCEPTED, receive(i));
}
END_TEST

START_TEST(test_flood_first)
{
    call_open((enum suite_id)_i);
    for (uint64_t i = 0; i < 1600; i++)
        expect(AUTH_FAIL, receive_forged(100 + i));
    ck_assert_uint_le(calls.tags, 1600 + INDEX_SEARCH_BURST + 1600 / INDEX_SEARCH_EVERY + 1);
    ck_assert_uint_le(calls.add_stream, 1);
    ck_assert(!call.index.started);
    expect(ACCEPTED, receive(0xffff));
    expect(ACCEPTED, receive(0x10000));
    expect(ACCEPTED, receive(0xfffe));
}
END_TEST

/* Replays from far behind the window are searched for as seldom as forged ones. */
START_TEST(test_flood_of_old)
{
    struct packet p;

    call_open((enum suite_id)_i);
    expect(ACCEPTED, receive(1));
    expect(ACCEPTED, receive(30000));
    p = rtp_of(SSRC, 1);
    calls.tags = 0;
    for (int i = 0; i < 1600; i++)
        expect(REPLAY, verify(&call.index, SSRC, &p, false));
    ck_assert_uint_le(calls.tags, 1600 + 1600 / INDEX_SEARCH_EVERY + 1);
    expect(ACCEPTED, receive(30001));
}
END_TEST

/* A sender that lost 70,000 packets comes through a flood of forged ones. */
START_TEST(test_search_in_flood)
{
    unsigned lost = 0;

    call_open((enum suite_id)_i);
    expect(ACCEPTED, receive(100));
    for (unsigned i = 0;; i++) {
        expect(AUTH_FAIL, receive_forged(101 + i));
        expect(AUTH_FAIL, receive_forged(101 + i));
        if (receive(70100 + i) == VERDICT_ACCEPTED)
            break;
        ck_assert_uint_lt(++lost, 2 * INDEX_SEARCH_EVERY);
    }
    expect(ACCEPTED, receive(70100 + lost + 1));
}
END_TEST

/* What is counted is the work: packets that are refused without any do not show. */
START_TEST(test_verifications)
{
    uint64_t before = srtp_engine_verifications(engine);
    struct packet p;

    call_open((enum suite_id)_i);
    expect(ACCEPTED, receive(100));
    expect(ACCEPTED, receive(101));
    expect(ACCEPTED, receive_rtcp(1));
    ck_assert_uint_eq(srtp_engine_verifications(engine) - before, 3);
    expect(REPLAY, receive(101));
    expect(REPLAY, receive_rtcp(1));
    ck_assert_uint_eq(srtp_engine_verifications(engine) - before, 3);
    p = rtcp_of(SSRC, 2);
    p.octets[9] ^= 1;
    expect(AUTH_FAIL, verify(&call.index, SSRC, &p, true));
    p = rtcp_of(OTHER_SSRC, 3);
    expect(ACCEPTED, verify(NULL, OTHER_SSRC, &p, true));
    p = rtp_of(OTHER_SSRC, 3);
    expect(ACCEPTED, verify(NULL, OTHER_SSRC, &p, false));
    ck_assert_uint_eq(srtp_engine_verifications(engine) - before, 6);
    ck_assert_uint_eq(srtp_engine_verifications(engine == evp ? libsrtp2 : evp), 0);
}
END_TEST

/* ---------------------------------------------------------------- an SSRC that the SA does not
 * know */

START_TEST(test_unknown_ssrc)
{
    struct packet rtp, rtcp, bad;

    call_open((enum suite_id)_i);
    rtp = rtp_of(OTHER_SSRC, 0xfffe);
    rtcp = rtcp_of(OTHER_SSRC, 9);
    bad = rtp;
    bad.octets[20] ^= 4;
    for (int i = 0; i < 50; i++) {
        expect(ACCEPTED, verify(NULL, OTHER_SSRC, &rtp, false));
        expect(AUTH_FAIL, verify(NULL, OTHER_SSRC, &bad, false));
        expect(ACCEPTED, verify(NULL, OTHER_SSRC, &rtcp, true));
    }
    ck_assert_uint_eq(calls.tags, 150);
    ck_assert_uint_eq(calls.add_stream, 0);
    ck_assert_uint_eq(calls.remove_stream, engine == libsrtp2 ? 100 : 0);
    /* It is learned: then its packets count, the first one too. */
    expect(ACCEPTED, verify(&call.index, OTHER_SSRC, &rtp, false));
    expect(REPLAY, verify(&call.index, OTHER_SSRC, &rtp, false));
    /* It is forgotten again. */
    expect(ACCEPTED, verify(NULL, OTHER_SSRC, &rtp, false));
    expect(ACCEPTED, verify(NULL, OTHER_SSRC, &rtp, false));
    /* The index of its time is still known to the SA. */
    expect(REPLAY, verify(&call.index, OTHER_SSRC, &rtp, false));
    ck_assert_uint_eq(call.index.highest, 0xfffe);
}
END_TEST

/* One SSRC more than a session has room for: the oldest goes, its index guards against replay. */
START_TEST(test_many_ssrcs)
{
    struct srtp_index index[SA_SSRC_MAX + 1] = {{0}};
    struct packet p;

    call_open((enum suite_id)_i);
    for (int round = 0; round < 3; round++) {
        for (uint32_t i = 0; i <= SA_SSRC_MAX; i++) {
            p = rtp_of(100 + i, (uint64_t)(10 + round));
            expect(ACCEPTED, verify(&index[i], 100 + i, &p, false));
            expect(REPLAY, verify(&index[i], 100 + i, &p, false));
            p = rtcp_of(100 + i, (uint32_t)(10 + round));
            expect(ACCEPTED, verify(&index[i], 100 + i, &p, true));
        }
    }
    ck_assert_uint_eq(calls.add_stream, 0);
    if (engine == libsrtp2)
        ck_assert_uint_eq(calls.remove_stream, 3 * (SA_SSRC_MAX + 1) - SA_SSRC_MAX);
    p = rtp_of(100, 12);
    expect(REPLAY, verify(&index[0], 100, &p, false));
    p = rtcp_of(100, 12);
    expect(REPLAY, verify(&index[0], 100, &p, true));
}
END_TEST

/* ---------------------------------------------------------------- restart in the middle of a call
 */

START_TEST(test_restart)
{
    uint64_t base = (uint64_t)(unsigned)(_i % 4) * TURN + 0xfff0;

    call_open((enum suite_id)(_i / 4));
    index_resume(&call.index, base);
    /* What came before is a replay, and forged packets leave it as it was. */
    expect(REPLAY, receive(base));
    expect(REPLAY, receive(base - 1));
    expect(REPLAY, receive(base - 5000));
    for (uint64_t i = 0; i < 100; i++)
        expect(AUTH_FAIL, receive_forged(base + 1 + i));
    ck_assert_uint_le(calls.add_stream, 1);
    ck_assert_uint_eq(call.index.highest, base);
    expect(ACCEPTED, receive(base + 5));
    /* Reordered over the restart: above the old highest it is new, below it is not. */
    expect(ACCEPTED, receive(base + 3));
    expect(ACCEPTED, receive(base + 1));
    expect(REPLAY, receive(base + 3));
    expect(REPLAY, receive(base));
    expect(REPLAY, receive(base - 1));
    /* And on over two wraps. */
    for (uint64_t i = 1; i < 8; i++)
        expect(ACCEPTED, receive(base + 5 + i * 20000));
    expect(REPLAY, receive(base + 5 + 7 * 20000));
    ck_assert_uint_eq(call.index.highest, base + 5 + 7 * 20000);
    ck_assert_uint_le(calls.add_stream, 1);
}
END_TEST

/* The state is some time old: packets went by unseen, over a wrap. */
START_TEST(test_restart_late)
{
    uint64_t at = 6 * TURN + 30000 + 40000;

    call_open((enum suite_id)_i);
    index_resume(&call.index, 5 * TURN + 0xff00);
    expect(ACCEPTED, receive(5 * TURN + 0xff00 + 30000));
    call_restart();
    expect(ACCEPTED, receive(5 * TURN + 0xff00 + 30001));
    /* More than half a turn: found by the first or by one of the next. */
    call_restart();
    while (receive(at) != VERDICT_ACCEPTED)
        ck_assert_uint_lt(++at, 6 * TURN + 30000 + 40000 + INDEX_SEARCH_EVERY);
    expect(REPLAY, receive(at));
    expect(ACCEPTED, receive(at + 1));
}
END_TEST

START_TEST(test_restart_rtcp)
{
    call_open((enum suite_id)_i);
    index_resume_rtcp(&call.index, 1000);
    expect(REPLAY, receive_rtcp(1));
    expect(REPLAY, receive_rtcp(1000));
    ck_assert_uint_eq(calls.tags, 0);
    expect(ACCEPTED, receive_rtcp(1003));
    expect(ACCEPTED, receive_rtcp(1001));
    expect(REPLAY, receive_rtcp(1000));
    expect(REPLAY, receive_rtcp(999));
    /* RTP has a state of its own. */
    expect(ACCEPTED, receive(10));
    call_restart();
    expect(REPLAY, receive(10));
    expect(REPLAY, receive_rtcp(1003));
    expect(ACCEPTED, receive_rtcp(1004));
    expect(ACCEPTED, receive(11));
}
END_TEST

/* The state comes after RTCP did, before any RTP. */
START_TEST(test_state_after_rtcp)
{
    call_open((enum suite_id)_i);
    expect(ACCEPTED, receive_rtcp(1));
    index_resume(&call.index, 2 * TURN + 7);
    expect(REPLAY, receive(2 * TURN + 7));
    expect(ACCEPTED, receive(2 * TURN + 8));
    ck_assert_uint_eq(calls.add_stream, 0);
}
END_TEST

/* All sessions share what holds the key of the last packet. */
START_TEST(test_close_forgets)
{
    call_open((enum suite_id)_i);
    expect(ACCEPTED, receive(1));
    expect(ACCEPTED, receive_rtcp(1));
    ck_assert_uint_eq(calls.forget, 0);
    call_close();
    ck_assert_uint_eq(calls.forget, engine == evp && call.suite->aead ? 1 : 0);
}
END_TEST

/* ---------------------------------------------------------------- results of the library */

static const struct {
    srtp_err_status_t status;
    enum verdict verdict;
} results[] = {
    {srtp_err_status_key_expired, VERDICT_KEY_EXPIRED},
    {srtp_err_status_replay_fail, VERDICT_REPLAY},
    {srtp_err_status_replay_old, VERDICT_REPLAY},
    {srtp_err_status_pkt_idx_old, VERDICT_REPLAY},
    {srtp_err_status_auth_fail, VERDICT_AUTH_FAIL},
    {srtp_err_status_cipher_fail, VERDICT_AUTH_FAIL},
    {srtp_err_status_cant_check, VERDICT_AUTH_FAIL},
    {srtp_err_status_alloc_fail, VERDICT_AUTH_FAIL},
    {srtp_err_status_bad_param, VERDICT_MALFORMED},
    {srtp_err_status_parse_err, VERDICT_MALFORMED},
};

START_TEST(test_results)
{
    call_open(SUITE_AEAD_AES_128_GCM);
    expect(ACCEPTED, receive(1));
    calls.fail = results[_i].status;
    ck_assert_int_eq(receive(2), results[_i].verdict);
    ck_assert_int_eq(receive_rtcp(2), results[_i].verdict);
    calls.fail = srtp_err_status_ok;
    expect(ACCEPTED, receive(2));
    expect(ACCEPTED, receive_rtcp(2));
}
END_TEST

static void add_vectors(Suite *suite, SFun setup)
{
    TCase *tc = tcase_create("vectors");
    int count = sizeof(vectors) / sizeof(vectors[0]);

    tcase_add_unchecked_fixture(tc, start_engines, stop_engines);
    tcase_add_checked_fixture(tc, setup, call_close);
    tcase_add_test(tc, test_rfc3711_aes_cm);
    tcase_add_test(tc, test_rfc3711_derivation);
    tcase_add_test(tc, test_rfc6188_derivation);
    tcase_add_loop_test(tc, test_rfc7714, 0, count);
    tcase_add_loop_test(tc, test_rfc_packets_accepted, 0, count);
    tcase_add_test(tc, test_known_packet);
    suite_add_tcase(suite, tc);
}

/* Each runs once for every suite. */
static void add_suites(Suite *suite, SFun setup)
{
    TCase *tc = tcase_create("suites");

    tcase_add_unchecked_fixture(tc, start_engines, stop_engines);
    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, setup, call_close);
    tcase_add_loop_test(tc, test_material_length, 0, SUITE_COUNT);
    tcase_add_loop_test(tc, test_senders_agree, 0, SUITE_COUNT);
    tcase_add_loop_test(tc, test_accept_and_replay, 0, SUITE_COUNT);
    tcase_add_loop_test(tc, test_every_bit, 0, SUITE_COUNT);
    tcase_add_loop_test(tc, test_truncated, 0, SUITE_COUNT);
    tcase_add_loop_test(tc, test_unaligned, 0, SUITE_COUNT);
    tcase_add_loop_test(tc, test_other_key, 0, SUITE_COUNT);
    tcase_add_loop_test(tc, test_long_header, 0, SUITE_COUNT);
    tcase_add_loop_test(tc, test_junk, 0, SUITE_COUNT);
    tcase_add_loop_test(tc, test_longest, 0, SUITE_COUNT);
    tcase_add_loop_test(tc, test_order, 0, SUITE_COUNT * ORDERS);
    tcase_add_loop_test(tc, test_last_index, 0, SUITE_COUNT);
    tcase_add_loop_test(tc, test_flood_in_sync, 0, SUITE_COUNT);
    tcase_add_loop_test(tc, test_flood_first, 0, SUITE_COUNT);
    tcase_add_loop_test(tc, test_flood_of_old, 0, SUITE_COUNT);
    tcase_add_loop_test(tc, test_search_in_flood, 0, SUITE_COUNT);
    tcase_add_loop_test(tc, test_verifications, 0, SUITE_COUNT);
    tcase_add_loop_test(tc, test_unknown_ssrc, 0, SUITE_COUNT);
    tcase_add_loop_test(tc, test_many_ssrcs, 0, SUITE_COUNT);
    tcase_add_loop_test(tc, test_restart, 0, SUITE_COUNT * 4);
    tcase_add_loop_test(tc, test_restart_late, 0, SUITE_COUNT);
    tcase_add_loop_test(tc, test_restart_rtcp, 0, SUITE_COUNT);
    tcase_add_loop_test(tc, test_state_after_rtcp, 0, SUITE_COUNT);
    tcase_add_loop_test(tc, test_close_forgets, 0, SUITE_COUNT);
    suite_add_tcase(suite, tc);
}

int main(void)
{
    Suite *suite = suite_create("srtp");
    TCase *tc = tcase_create("results");

    add_vectors(suite, setup_evp);
    add_suites(suite, setup_evp);
    add_vectors(suite, setup_libsrtp2);
    add_suites(suite, setup_libsrtp2);
    tcase_add_unchecked_fixture(tc, start_engines, stop_engines);
    tcase_add_checked_fixture(tc, setup_libsrtp2, call_close);
    tcase_add_loop_test(tc, test_results, 0, sizeof(results) / sizeof(results[0]));
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
