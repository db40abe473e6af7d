#include "config.h" /* _GNU_SOURCE: memmem */

#include "common/sa/wire.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/tlv.h"
#include "common/srtp/srtp.h"
#include "tests/unit/reference.h"
#include "tests/unit/sample.h"
#include "tests/unit/unit.h"

static void fill_text(struct sa *sa, enum sa_text which, char c, size_t length)
{
    char text[CALL_ID_SIZE] = "";

    memset(text, c, length);
    sample_text(sa, which, text);
}

/* An SA with every field set. */
static struct sa *full_sa(enum sa_side side)
{
    struct sa *sa = sample_keyed_sa(side, 0x0102030405060708, 0xdeadbef5);

    sa->generation = 0xfffffffe;
    sa->version = 0x1122334455667788;
    sa->media_index = 3;
    sa->reverse = 99;
    sa->media_timeout_s = 3600;
    sa->source.mux = true;
    sa->source_policy = SOURCE_OPEN;
    sa->hint = sample_addr("[2a00::77]:1");
    sa->bound[0] = true;
    sa->encap_out = SA_ENCAP_RTP_PRIME;
    fill_text(sa, SA_CALL_ID, 'c', CALL_ID_SIZE - 1);
    fill_text(sa, SA_LISTENER_IN, 'i', NAME_SIZE - 1);
    fill_text(sa, SA_LISTENER_OUT, 'o', NAME_SIZE - 1);
    for (uint32_t i = 1; i < SA_SSRC_MAX; i++) {
        ck_assert_int_eq(sa_stream_add(sa, i, (enum ssrc_origin)(1 + i % 3)), 0);
        sa->stream[i].index = (struct srtp_index){
            .started = i % 2, .rtcp_started = i % 3 == 0, .highest = 0, .rtcp_highest = 0};
        sa->stream[i].index.hinted = i == 4;
        if (sa->stream[i].index.started || sa->stream[i].index.hinted)
            sa->stream[i].index.highest = ((uint64_t)1 << 48) - i;
        if (sa->stream[i].index.rtcp_started)
            sa->stream[i].index.rtcp_highest = 0x7fffffff - i;
    }
    return sa;
}

static size_t put(uint8_t *memory, const struct sa *sa, enum wire_view view)
{
    struct writer w;

    writer_init(&w, memory, FRAME_MAX_OCTETS);
    wire_put_sa(&w, sa, view);
    ck_assert(!w.failed);
    return writer_length(&w);
}

/* That of the last get(). */
static struct srtp_key key;

/* The copy is exactly as long, so that ASan and valgrind see every octet too far. */
static int get(const uint8_t *data, size_t length, struct sa **sa)
{
    uint8_t *copy = malloc(length ? length : 1);
    struct reader r;
    int result;

    ck_assert_ptr_nonnull(copy);
    memcpy(copy, data, length);
    reader_init(&r, copy, length);
    *sa = sa_new();
    ck_assert_ptr_nonnull(*sa);
    result = wire_get_sa(&r, *sa, &key);
    free(copy);
    ck_assert_uint_le(key.length, sizeof(key.octets));
    ck_assert_uint_le(key.mki_length, sizeof(key.mki));
    if (result == 0 && key.kind != SRTP_KEY_NONE)
        (void)sa_open(*sa, sample_engine(), &key); /* not when all of it is zero */
    return result;
}

static bool contains(const uint8_t *data, size_t length, const void *what, size_t n)
{
    return memmem(data, length, what, n) != NULL;
}

static const struct {
    enum sa_side side;
    enum wire_view view;
    bool hairpin;
} round_trips[] = {
    {SA_SIDE_EXTERNAL, WIRE_REPLICA_FULL, false},
    {SA_SIDE_INTERNAL, WIRE_REPLICA_FULL, false},
    {SA_SIDE_EXTERNAL, WIRE_REPLICA_VERIFY_ONLY, false},
    {SA_SIDE_INTERNAL, WIRE_REPLICA_VERIFY_ONLY, false},
    {SA_SIDE_EXTERNAL, WIRE_STATE, false},
    {SA_SIDE_INTERNAL, WIRE_STATE, false},
    {SA_SIDE_EXTERNAL, WIRE_REPLICA_FULL, true},
    {SA_SIDE_EXTERNAL, WIRE_REPLICA_VERIFY_ONLY, true},
    {SA_SIDE_EXTERNAL, WIRE_STATE, true},
    {SA_SIDE_INTERNAL, WIRE_STATE, true},
};
enum { ROUND_TRIPS = sizeof(round_trips) / sizeof(round_trips[0]) };

static struct sa *round_trip_sa(int row)
{
    struct sa *sa = full_sa(round_trips[row].side);

    sa->hairpin = round_trips[row].hairpin;
    return sa;
}

START_TEST(test_round_trip)
{
    struct sa *sa = round_trip_sa(_i), *back;
    uint8_t memory[FRAME_MAX_OCTETS];
    size_t length = put(memory, sa, round_trips[_i].view);

    ck_assert_int_eq(get(memory, length, &back), 0);
    ck_assert(sample_same(sa, back, round_trips[_i].view == WIRE_STATE));
    sa_free(sa);
    sa_free(back);
}
END_TEST

START_TEST(test_round_trip_all_suites)
{
    for (uint32_t i = 0; i < 2 * SUITE_COUNT; i++) {
        struct sa *sa = sample_keyed_sa(SA_SIDE_EXTERNAL, 1, i), *back;
        uint8_t memory[FRAME_MAX_OCTETS];

        ck_assert_int_eq(get(memory, put(memory, sa, WIRE_REPLICA_FULL), &back), 0);
        ck_assert(sample_same(sa, back, false));
        sa_free(sa);
        sa_free(back);
    }
}
END_TEST

/* Whatever the octets were: an SA that was accepted keeps every rule that the packet path needs. */
static void expect_sound(const struct sa *sa)
{
    static const struct addr none;
    bool sound = true; /* one check at the end: these are many */

    sound = sound && (sa->side == SA_SIDE_EXTERNAL || sa->side == SA_SIDE_INTERNAL);
    sound = sound && (sa->encap_in == SA_ENCAP_RTP || sa->encap_in == SA_ENCAP_RTP_PRIME);
    sound = sound && (sa->encap_out == SA_ENCAP_RTP || sa->encap_out == SA_ENCAP_RTP_PRIME);
    sound = sound && (sa->stream_count <= SA_SSRC_MAX);
    for (unsigned i = 0; i < sa->stream_count; i++) {
        const struct sa_stream *stream = &sa->stream[i];

        sound = sound &&
                (stream->origin >= SSRC_ORIGIN_SIGNALLED && stream->origin <= SSRC_ORIGIN_LEARNED);
        sound =
            sound && (stream->index.highest >> 48 == 0 && stream->index.rtcp_highest >> 31 == 0);
        for (unsigned k = 0; k < i; k++)
            sound = sound && (sa->stream[k].ssrc != stream->ssrc);
    }
    sound = sound && (!sa->suite || sa->suite == suite_get(sa->suite->id));
    sound = sound && strlen(sa_text(sa, SA_CALL_ID)) < CALL_ID_SIZE;
    sound = sound && strlen(sa_text(sa, SA_LISTENER_IN)) < NAME_SIZE;
    sound = sound && strlen(sa_text(sa, SA_LISTENER_OUT)) < NAME_SIZE;
    sound = sound && (sa->source.rtp.family == 4 || sa->source.rtp.family == 6 ||
                      addr_equal(&sa->source.rtp, &none));
    sound = sound && (key.kind == SRTP_KEY_NONE ||
                      (sa->suite && key.length == srtp_key_octets(sa->suite, key.kind) &&
                       key.lifetime <= SRTP_LIFETIME_MAX));
    ck_assert(sound);
}

static const enum wire_view views[] = {WIRE_REPLICA_VERIFY_ONLY, WIRE_REPLICA_FULL,
                                       WIRE_REPLICA_KEYLESS, WIRE_STATE};

static enum srtp_key_kind kind_in(enum wire_view view, const struct suite *suite)
{
    if (view == WIRE_REPLICA_KEYLESS)
        return SRTP_KEY_NONE;
    return view == WIRE_REPLICA_VERIFY_ONLY && !suite->aead ? SRTP_KEY_AUTH : SRTP_KEY_MASTER;
}

/* Does any part of the key of this length stand in the octets? */
static bool contains_part(const uint8_t *data, size_t length, const uint8_t *part, size_t octets)
{
    for (size_t i = 0; i + 8 <= octets; i++) {
        if (contains(data, length, part + i, 8))
            return true;
    }
    return false;
}

/* Of each suite, each view has the key that it should, and nothing of the others. */
START_TEST(test_keys_of_views)
{
    const struct suite *suite = suite_get((enum suite_id)_i);
    struct sa *sa = sample_keyed_sa(SA_SIDE_EXTERNAL, 1, (uint32_t)_i), *back;
    uint8_t memory[FRAME_MAX_OCTETS], material[SUITE_KEY_MAX_OCTETS];
    struct reference_keys rtp, rtcp;

    sample_material(sa, material);
    reference_keys(suite, material, false, &rtp);
    reference_keys(suite, material, true, &rtcp);
    for (size_t i = 0; i < sizeof(views) / sizeof(views[0]); i++) {
        enum srtp_key_kind kind = kind_in(views[i], suite);
        size_t length = put(memory, sa, views[i]);

        ck_assert_int_eq(get(memory, length, &back), 0);
        ck_assert_int_eq(key.kind, kind);
        ck_assert_ptr_eq(back->suite, suite);
        ck_assert_uint_eq(key.length, srtp_key_octets(suite, kind));
        if (kind == SRTP_KEY_MASTER) {
            ck_assert_mem_eq(key.octets, material, key.length);
        } else {
            ck_assert(!contains_part(memory, length, material, suite_material_octets(suite)));
            ck_assert(!contains_part(memory, length, rtp.cipher, suite->key_octets));
            ck_assert(!contains_part(memory, length, rtcp.cipher, suite->key_octets));
            ck_assert(!contains_part(memory, length, rtp.salt, suite->salt_octets));
            ck_assert(!contains_part(memory, length, rtcp.salt, suite->salt_octets));
        }
        if (kind == SRTP_KEY_AUTH) {
            ck_assert_mem_eq(key.octets, rtp.auth, SRTP_AUTH_KEY_OCTETS);
            ck_assert_mem_eq(key.octets + SRTP_AUTH_KEY_OCTETS, rtcp.auth, SRTP_AUTH_KEY_OCTETS);
        }
        sa_free(back);
    }
    sa_free(sa);
}
END_TEST

/* MKI and lifetime go with the key, and not without one. */
START_TEST(test_mki_and_lifetime)
{
    static const size_t lengths[] = {0, 1, 4, SRTP_MKI_MAX_OCTETS};

    for (size_t i = 0; i < 4 * sizeof(views) / sizeof(views[0]); i++) {
        struct sa *sa = sample_keyed_sa(SA_SIDE_EXTERNAL, 1, SUITE_AES_CM_128_HMAC_SHA1_80), *back;
        uint8_t memory[FRAME_MAX_OCTETS];
        struct srtp_key with;

        ck_assert_int_eq(srtp_session_key(sa->srtp, SRTP_KEY_MASTER, &with), 0);
        ck_assert_uint_eq(with.lifetime, SRTP_LIFETIME_MAX);
        with.mki_length = lengths[i % 4];
        memset(with.mki, 0xa5, with.mki_length);
        with.lifetime = i % 4 ? 1000 + i : 0;
        ck_assert_int_eq(sa_open(sa, sample_engine(), &with), 0);
        ck_assert_int_eq(get(memory, put(memory, sa, views[i / 4]), &back), 0);
        if (key.kind == SRTP_KEY_NONE) {
            ck_assert_uint_eq(key.mki_length, 0);
        } else {
            ck_assert_uint_eq(key.mki_length, with.mki_length);
            ck_assert_mem_eq(key.mki, with.mki, sizeof(key.mki));
            ck_assert_uint_eq(key.lifetime, with.lifetime);
        }
        sa_free(sa);
        sa_free(back);
    }
}
END_TEST

/* Where the stream stood under the key before; INDEX is worth more, whichever comes first. */
static const struct {
    uint64_t old_index, index; /* 0: not there */
    bool index_first;
    int result;
    bool started, hinted;
} old_indexes[] = {
    {0, 0, false, 0, false, false},
    {0x50007, 0, false, 0, false, true},
    {0xffffffffffff, 0, false, 0, false, true},
    {0x1000000000000, 0, false, ERR_PROTOCOL, false, false},
    {0x50007, 0x60008, false, 0, true, false},
    {0x50007, 0x60008, true, 0, true, false},
    {UINT64_MAX, 0x60008, true, ERR_PROTOCOL, false, false},
};

START_TEST(test_old_index)
{
    struct sa *sa = sample_sa(SA_SIDE_INTERNAL, 77, 5), *back;
    uint8_t memory[FRAME_MAX_OCTETS], stream[64];
    struct writer w, fields;

    writer_init(&fields, stream, sizeof(stream));
    tlv_put_u32(&fields, SSRC_TAG_SSRC, 99);
    for (int i = 0; i < 2; i++) {
        bool index = old_indexes[_i].index_first ? i == 0 : i == 1;

        if (index && old_indexes[_i].index)
            tlv_put_u64(&fields, SSRC_TAG_INDEX, old_indexes[_i].index);
        else if (!index && old_indexes[_i].old_index)
            tlv_put_u64(&fields, SSRC_TAG_OLD_INDEX, old_indexes[_i].old_index);
    }
    writer_init(&w, memory, sizeof(memory));
    wire_put_sa(&w, sa, WIRE_REPLICA_FULL);
    tlv_put_bytes(&w, SA_TAG_SSRC, stream, writer_length(&fields));
    ck_assert_int_eq(get(memory, writer_length(&w), &back), old_indexes[_i].result);
    if (old_indexes[_i].result == 0) {
        const struct srtp_index *at = &sa_stream(back, 99)->index;

        ck_assert(at->started == old_indexes[_i].started && at->hinted == old_indexes[_i].hinted);
        ck_assert_uint_eq(at->highest,
                          at->started ? old_indexes[_i].index : old_indexes[_i].old_index);
    }
    sa_free(sa);
    sa_free(back);
}
END_TEST

/* Which fields of keys may stand together. */
static const struct {
    const char *suite;
    size_t key, auth, mki; /* octets; 0: not there */
    const char *lifetime;  /* hex; NULL: not there */
    int result;
} together[] = {
    {NULL, 0, 0, 0, NULL, 0},
    {"AES_CM_128_HMAC_SHA1_80", 0, 0, 0, NULL, 0},
    {"AES_CM_128_HMAC_SHA1_80", 30, 0, 0, NULL, 0},
    {"AES_CM_128_HMAC_SHA1_80", 0, 40, 0, NULL, 0},
    {"AES_256_CM_HMAC_SHA1_80", 0, 40, 0, NULL, 0},
    {"AES_256_CM_HMAC_SHA1_80", 46, 0, 128, "0000000000000001", 0},
    {"AES_CM_128_HMAC_SHA1_32", 0, 40, 1, "0001000000000000", 0},
    {"AEAD_AES_128_GCM", 28, 0, 0, NULL, 0},
    {"AEAD_AES_128_GCM", 0, 0, 0, NULL, 0},
    {"AES_CM_128_HMAC_SHA1_80", 30, 40, 0, NULL, ERR_PROTOCOL},
    {"AEAD_AES_128_GCM", 0, 40, 0, NULL, ERR_PROTOCOL},
    {"AEAD_AES_256_GCM", 44, 40, 0, NULL, ERR_PROTOCOL},
    {NULL, 30, 0, 0, NULL, ERR_PROTOCOL},
    {NULL, 0, 40, 0, NULL, ERR_PROTOCOL},
    {"AES_CM_128_HMAC_SHA1_80", 29, 0, 0, NULL, ERR_PROTOCOL},
    {"AES_CM_128_HMAC_SHA1_80", 40, 0, 0, NULL, ERR_PROTOCOL},
    {"AES_CM_128_HMAC_SHA1_80", 0, 30, 0, NULL, ERR_PROTOCOL},
    {"AES_CM_128_HMAC_SHA1_80", 0, 39, 0, NULL, ERR_PROTOCOL},
    {"AES_CM_128_HMAC_SHA1_80", 0, 41, 0, NULL, ERR_PROTOCOL},
    {"AES_CM_128_HMAC_SHA1_80", 0, 20, 0, NULL, ERR_PROTOCOL},
    {"AES_CM_128_HMAC_SHA1_80", 0, 47, 0, NULL, ERR_PROTOCOL},
    {"AES_CM_128_HMAC_SHA1_80", 30, 0, 129, NULL, ERR_PROTOCOL},
    {"AES_CM_128_HMAC_SHA1_80", 0, 0, 4, NULL, ERR_PROTOCOL},
    {"AES_CM_128_HMAC_SHA1_80", 0, 0, 0, "0000000000000001", ERR_PROTOCOL},
    {"AES_CM_128_HMAC_SHA1_80", 30, 0, 0, "0001000000000001", ERR_PROTOCOL},
    {"AES_CM_128_HMAC_SHA1_80", 30, 0, 0, "01", ERR_PROTOCOL},
    {NULL, 0, 0, 4, NULL, ERR_PROTOCOL},
};

static void put_octets(struct writer *w, uint16_t tag, size_t octets)
{
    uint8_t value[160];

    memset(value, 0x5a, sizeof(value));
    if (octets > 0)
        tlv_put_bytes(w, tag, value, octets);
}

/* In either order. */
START_TEST(test_keys_together)
{
    struct sa *sa = sample_sa(SA_SIDE_EXTERNAL, 77, 5), *back;
    uint8_t memory[FRAME_MAX_OCTETS], value[16];
    struct writer w;

    sa->suite = NULL;
    for (int i = 0; i < 2; i++) {
        writer_init(&w, memory, sizeof(memory));
        wire_put_sa(&w, sa, WIRE_REPLICA_FULL);
        if (together[_i].suite && i == 0)
            tlv_put_text(&w, SA_TAG_SUITE, together[_i].suite);
        put_octets(&w, i ? SA_TAG_KEY : SA_TAG_AUTH_KEYS, i ? together[_i].key : together[_i].auth);
        put_octets(&w, SA_TAG_MKI, together[_i].mki);
        put_octets(&w, i ? SA_TAG_AUTH_KEYS : SA_TAG_KEY, i ? together[_i].auth : together[_i].key);
        if (together[_i].lifetime)
            tlv_put_bytes(&w, SA_TAG_LIFETIME, value,
                          unit_hex(together[_i].lifetime, value, sizeof(value)));
        if (together[_i].suite && i == 1)
            tlv_put_text(&w, SA_TAG_SUITE, together[_i].suite);
        ck_assert_int_eq(get(memory, writer_length(&w), &back), together[_i].result);
        if (together[_i].result == 0)
            expect_sound(back);
        sa_free(back);
    }
    sa_free(sa);
}
END_TEST

/* What a stolen dmz-relay must not know. */
START_TEST(test_replica_view_is_the_least)
{
    struct sa *outside = full_sa(SA_SIDE_EXTERNAL), *inside = full_sa(SA_SIDE_INTERNAL), *back;
    uint8_t memory[FRAME_MAX_OCTETS], out_key[SUITE_KEY_MAX_OCTETS], in_key[SUITE_KEY_MAX_OCTETS];
    size_t length = put(memory, outside, WIRE_REPLICA_FULL);
    size_t key_octets = suite_material_octets(inside->suite);

    sample_material(outside, out_key);
    sample_material(inside, in_key);

    ck_assert_int_eq(get(memory, length, &back), 0);
    ck_assert_uint_eq(back->destination.rtp.family, 0);
    ck_assert_uint_eq(back->destination.rtcp.family, 0);
    ck_assert(!contains(memory, length, outside->destination.rtp.ip, 16));
    ck_assert(!contains(memory, length, "iiiiiiii", 8));
    ck_assert(!contains(memory, length, "oooooooo", 8));
    ck_assert(contains(memory, length, out_key, key_octets));
    sa_free(back);

    length = put(memory, inside, WIRE_REPLICA_FULL);
    ck_assert_int_eq(get(memory, length, &back), 0);
    ck_assert_ptr_null(back->suite);
    ck_assert_uint_eq(back->source.rtp.family, 0);
    ck_assert_uint_eq(back->source.rtcp.family, 0);
    for (size_t i = 0; i + 8 <= key_octets; i++)
        ck_assert(!contains(memory, length, in_key + i, 8));
    ck_assert(!contains(memory, length, inside->source.rtp.ip, 16));
    sa_free(back);
    sa_free(outside);
    sa_free(inside);
}
END_TEST

/* From outside to outside, all that it needs to send on; nothing inside has to do with it. */
START_TEST(test_hairpin_view)
{
    struct sa *sa = full_sa(SA_SIDE_EXTERNAL), *back;
    uint8_t memory[FRAME_MAX_OCTETS];
    size_t length;

    sa->hairpin = true;
    length = put(memory, sa, WIRE_REPLICA_VERIFY_ONLY);
    ck_assert_int_eq(get(memory, length, &back), 0);
    ck_assert(back->hairpin);
    ck_assert_int_eq(sa_to_side(back), SA_SIDE_EXTERNAL);
    ck_assert(addr_equal(&back->destination.rtp, &sa->destination.rtp));
    ck_assert(addr_equal(&back->destination.rtcp, &sa->destination.rtcp));
    ck_assert_str_eq(sa_text(back, SA_LISTENER_OUT), sa_text(sa, SA_LISTENER_OUT));
    ck_assert(addr_equal(&back->source.rtp, &sa->source.rtp));
    ck_assert_int_eq(key.kind, SRTP_KEY_AUTH);
    sa_free(back);
    sa_free(sa);
}
END_TEST

START_TEST(test_truncated)
{
    struct sa *sa = round_trip_sa(_i), *back;
    uint8_t memory[FRAME_MAX_OCTETS];
    size_t length = put(memory, sa, round_trips[_i].view), good = 0;

    for (size_t cut = 0; cut < length; cut++) {
        int result = get(memory, cut, &back);

        ck_assert(result == 0 || result == ERR_PROTOCOL);
        if (result == 0)
            expect_sound(back);
        good += result == 0;
        sa_free(back);
    }
    /* Only a cut between two fields that need not be there can be read. */
    ck_assert_uint_lt(good, 32);
    sa_free(sa);
}
END_TEST

START_TEST(test_every_bit_flipped)
{
    struct sa *sa = round_trip_sa(_i), *back;
    uint8_t memory[FRAME_MAX_OCTETS];
    size_t length = put(memory, sa, round_trips[_i].view), refused = 0;

    for (size_t bit = 0; bit < 8 * length; bit++) {
        int result;

        memory[bit / 8] ^= (uint8_t)(1u << bit % 8);
        result = get(memory, length, &back);
        ck_assert(result == 0 || result == ERR_PROTOCOL || result == ERR_UNSUPPORTED);
        if (result == 0)
            expect_sound(back);
        refused += result != 0;
        sa_free(back);
        memory[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    ck_assert_uint_gt(refused, 100);
    sa_free(sa);
}
END_TEST

/* One field more, behind a sound external SA. */
struct extra {
    const char *name;
    uint16_t tag;
    const char *hex;
    int result;
};

static const struct extra extras[] = {
    {"nothing", 0, NULL, 0},
    {"unknown", 0x7000, "00", 0},
    {"unknown and critical", 0xf000, "00", ERR_PROTOCOL},
    {"known, marked critical", SA_TAG_RATE | TLV_CRITICAL, "00001000", 0},
    {"known, not marked", SA_TAG_SIDE, "01", 0},
    {"id too short", SA_TAG_ID, "00", ERR_PROTOCOL},
    {"id too long", SA_TAG_ID, "000000000000000000", ERR_PROTOCOL},
    {"side 0", SA_TAG_SIDE, "00", ERR_PROTOCOL},
    {"side 3", SA_TAG_SIDE, "03", ERR_PROTOCOL},
    {"to the sender's side", SA_TAG_TO_SIDE, "01", 0},
    {"to the other side", SA_TAG_TO_SIDE, "02", 0},
    {"to side 0", SA_TAG_TO_SIDE, "00", ERR_PROTOCOL},
    {"to side 3", SA_TAG_TO_SIDE, "03", ERR_PROTOCOL},
    {"to side of two octets", SA_TAG_TO_SIDE, "0001", ERR_PROTOCOL},
    {"encap 0", SA_TAG_ENCAP_IN, "00", ERR_PROTOCOL},
    {"encap 3", SA_TAG_ENCAP_OUT, "03", ERR_PROTOCOL},
    {"flag 2", SA_TAG_SOURCE_MUX, "02", ERR_PROTOCOL},
    {"destination flag 2", SA_TAG_DESTINATION_MUX, "02", ERR_PROTOCOL},
    {"address of no family", SA_TAG_SOURCE_RTP, "05 08080808 1000", ERR_PROTOCOL},
    {"IPv4 address too long", SA_TAG_SOURCE_RTP, "04 0808080808 1000", ERR_PROTOCOL},
    {"IPv6 address too short", SA_TAG_SOURCE_RTP, "06 0808080808 1000", ERR_PROTOCOL},
    {"empty address", SA_TAG_SOURCE_RTP, "", ERR_PROTOCOL},
    {"source policy 0", SA_TAG_SOURCE_POLICY, "00", ERR_PROTOCOL},
    {"source policy 4", SA_TAG_SOURCE_POLICY, "04", ERR_PROTOCOL},
    {"source policy of two octets", SA_TAG_SOURCE_POLICY, "0002", ERR_PROTOCOL},
    {"hint without a port", SA_TAG_HINT, "04 08080808", ERR_PROTOCOL},
    {"bound address of a strict source", SA_TAG_BOUND_RTP, "04 08080808 1000", 0},
    {"bound address too long", SA_TAG_BOUND_RTCP, "04 0808080808 1000", ERR_PROTOCOL},
    {"unknown suite", SA_TAG_SUITE, "4e4f4e45", ERR_UNSUPPORTED},
    {"suite with a NUL", SA_TAG_SUITE, "4e4f4e4500", ERR_PROTOCOL},
    {"empty suite", SA_TAG_SUITE, "", ERR_UNSUPPORTED},
    {"key one octet too short", SA_TAG_KEY,
     "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c", ERR_PROTOCOL},
    {"key one octet too long", SA_TAG_KEY,
     "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e", ERR_PROTOCOL},
    {"empty key", SA_TAG_KEY, "", ERR_PROTOCOL},
    {"call-id with a control byte", SA_TAG_CALL_ID, "41420a43", ERR_PROTOCOL},
    {"call-id with UTF-8", SA_TAG_CALL_ID, "c3a4", ERR_PROTOCOL},
    {"another SSRC", SA_TAG_SSRC, "0001 0004 00000001", 0},
    {"the same SSRC", SA_TAG_SSRC, "0001 0004 00000005", ERR_PROTOCOL},
    {"SSRC fields without SSRC", SA_TAG_SSRC, "0002 0001 01", ERR_PROTOCOL},
    {"SSRC empty", SA_TAG_SSRC, "", ERR_PROTOCOL},
    {"SSRC cut", SA_TAG_SSRC, "0001 0004 000000", ERR_PROTOCOL},
    {"SSRC of origin 0", SA_TAG_SSRC, "0001 0004 00000001 0002 0001 00", ERR_PROTOCOL},
    {"SSRC of origin 4", SA_TAG_SSRC, "0001 0004 00000001 0002 0001 04", ERR_PROTOCOL},
    {"highest index", SA_TAG_SSRC, "0001 0004 00000001 0003 0008 0000ffffffffffff", 0},
    {"index over 48 bits", SA_TAG_SSRC, "0001 0004 00000001 0003 0008 0001000000000000",
     ERR_PROTOCOL},
    {"highest SRTCP index", SA_TAG_SSRC, "0001 0004 00000001 0004 0004 7fffffff", 0},
    {"SRTCP index over 31 bits", SA_TAG_SSRC, "0001 0004 00000001 0004 0004 80000000",
     ERR_PROTOCOL},
    {"unknown SSRC field", SA_TAG_SSRC, "0001 0004 00000001 0044 0000", 0},
    {"unknown critical SSRC field", SA_TAG_SSRC, "0001 0004 00000001 8044 0000", ERR_PROTOCOL},
};

START_TEST(test_extra_field)
{
    const struct extra *row = &extras[_i];
    struct sa *sa = sample_keyed_sa(SA_SIDE_EXTERNAL, 77, 5), *back;
    uint8_t memory[FRAME_MAX_OCTETS], value[256];
    struct writer w;
    int result;

    writer_init(&w, memory, sizeof(memory));
    wire_put_sa(&w, sa, WIRE_REPLICA_FULL);
    if (row->hex)
        tlv_put_bytes(&w, row->tag, value, unit_hex(row->hex, value, sizeof(value)));
    result = get(memory, writer_length(&w), &back);
    ck_assert_msg(result == row->result, "%s: %s", row->name, err_text(result));
    if (result == 0)
        expect_sound(back);
    if (result == 0)
        ck_assert_int_eq(back->hairpin, row->tag == SA_TAG_TO_SIDE && strcmp(row->hex, "01") == 0);
    if (result == ERR_UNSUPPORTED)
        ck_assert_uint_eq(back->id, 77);
    sa_free(sa);
    sa_free(back);
}
END_TEST

/* Each field that must be there is left out once. */
START_TEST(test_missing_field)
{
    static const uint16_t needed[] = {SA_TAG_ID, SA_TAG_GENERATION, SA_TAG_LABEL, SA_TAG_SIDE,
                                      SA_TAG_SUITE};
    struct sa *sa = sample_keyed_sa(SA_SIDE_EXTERNAL, 77, 5), *back;
    uint8_t memory[FRAME_MAX_OCTETS], less[FRAME_MAX_OCTETS];
    size_t length = put(memory, sa, WIRE_REPLICA_FULL);

    for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
        struct reader r;
        struct writer w;
        struct tlv field;

        reader_init(&r, memory, length);
        writer_init(&w, less, sizeof(less));
        while (tlv_next(&r, &field)) {
            if (field.tag != needed[i])
                tlv_put_bytes(&w, field.tag, field.value.at, reader_left(&field.value));
        }
        ck_assert_int_eq(get(less, writer_length(&w), &back), ERR_PROTOCOL);
        sa_free(back);
    }
    sa_free(sa);
}
END_TEST

START_TEST(test_too_many_ssrcs)
{
    struct sa *sa = sample_keyed_sa(SA_SIDE_EXTERNAL, 77, 5), *back;
    uint8_t memory[FRAME_MAX_OCTETS], value[16];
    struct writer w;

    writer_init(&w, memory, sizeof(memory));
    wire_put_sa(&w, sa, WIRE_REPLICA_FULL);
    for (uint32_t i = 0; i < SA_SSRC_MAX; i++) {
        struct writer stream;

        ck_assert_int_eq(get(memory, writer_length(&w), &back), 0);
        sa_free(back);
        writer_init(&stream, value, sizeof(value));
        tlv_put_u32(&stream, SSRC_TAG_SSRC, 1000 + i);
        tlv_put_bytes(&w, SA_TAG_SSRC, value, writer_length(&stream));
    }
    ck_assert_int_eq(get(memory, writer_length(&w), &back), ERR_PROTOCOL);
    sa_free(back);
    sa_free(sa);
}
END_TEST

/* ------------------------------------------------------------ the small messages */

typedef int get_fn(const uint8_t *data, size_t length);

static int get_delete(const uint8_t *data, size_t length)
{
    struct wire_delete deletion;
    struct reader r;

    reader_init(&r, data, length);
    return wire_get_delete(&r, &deletion);
}

static int get_nak(const uint8_t *data, size_t length)
{
    struct wire_nak nak = {0};
    struct reader r;
    int result;

    reader_init(&r, data, length);
    result = wire_get_nak(&r, &nak);
    if (result == 0) {
        ck_assert(memchr(nak.reason, 0, sizeof(nak.reason)) != NULL);
        ck_assert_int_lt(nak.error, 0);
    }
    return result;
}

static int get_sync(const uint8_t *data, size_t length)
{
    struct wire_sync sync;
    struct reader r;
    int result;

    reader_init(&r, data, length);
    result = wire_get_sync(&r, &sync);
    if (result == 0)
        ck_assert(sync.kind == SYNC_DELTA || sync.kind == SYNC_SNAPSHOT);
    return result;
}

/* Cut anywhere and flipped anywhere: refused or sound, and never read beyond the end. */
static void torture(get_fn *fn, const uint8_t *data, size_t length)
{
    uint8_t *copy = malloc(length);

    ck_assert_ptr_nonnull(copy);
    for (size_t cut = 0; cut < length; cut++) {
        uint8_t *shorter = malloc(cut ? cut : 1);
        int result;

        ck_assert_ptr_nonnull(shorter);
        memcpy(shorter, data, cut);
        result = fn(shorter, cut);
        ck_assert(result == 0 || result == ERR_PROTOCOL);
        free(shorter);
    }
    for (size_t bit = 0; bit < 8 * length; bit++) {
        int result;

        memcpy(copy, data, length);
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
        result = fn(copy, length);
        ck_assert(result == 0 || result == ERR_PROTOCOL);
    }
    ck_assert_int_eq(fn(data, length), 0);
    free(copy);
}

START_TEST(test_delete)
{
    struct wire_delete deletion = {.id = 0x1122334455667788, .version = 0x99aabbccddeeff00}, back;
    uint8_t memory[64];
    struct writer w;
    struct reader r;

    writer_init(&w, memory, sizeof(memory));
    wire_put_delete(&w, &deletion);
    reader_init(&r, memory, writer_length(&w));
    ck_assert_int_eq(wire_get_delete(&r, &back), 0);
    ck_assert_uint_eq(back.id, deletion.id);
    ck_assert_uint_eq(back.version, deletion.version);
    torture(get_delete, memory, writer_length(&w));
    /* Both fields are needed. */
    ck_assert_int_eq(get_delete(memory, 12), ERR_PROTOCOL);
    ck_assert_int_eq(get_delete(memory + 12, 12), ERR_PROTOCOL);
}
END_TEST

START_TEST(test_nak)
{
    struct wire_nak nak = {.id = 7, .generation = 3, .error = ERR_FULL}, back = {0};
    uint8_t memory[256], reason[SA_REFUSED_SIZE];
    struct writer w;
    struct reader r;

    memset(nak.reason, 'r', sizeof(nak.reason) - 1);
    writer_init(&w, memory, sizeof(memory));
    wire_put_nak(&w, &nak);
    reader_init(&r, memory, writer_length(&w));
    ck_assert_int_eq(wire_get_nak(&r, &back), 0);
    ck_assert_uint_eq(back.id, 7);
    ck_assert_uint_eq(back.generation, 3);
    ck_assert_int_eq(back.error, ERR_FULL);
    ck_assert_str_eq(back.reason, nak.reason);
    torture(get_nak, memory, writer_length(&w));
    /* A reason that is one octet longer than there is room for. */
    writer_init(&w, memory, sizeof(memory));
    tlv_put_u64(&w, SA_TAG_ID, 7);
    memset(reason, 'r', sizeof(reason));
    tlv_put_bytes(&w, SA_TAG_REASON, reason, sizeof(reason));
    ck_assert_int_eq(get_nak(memory, writer_length(&w)), ERR_PROTOCOL);
    /* Error 0 is none. */
    writer_init(&w, memory, sizeof(memory));
    tlv_put_u64(&w, SA_TAG_ID, 7);
    tlv_put_u8(&w, SA_TAG_ERROR, 0);
    ck_assert_int_eq(get_nak(memory, writer_length(&w)), ERR_PROTOCOL);
}
END_TEST

START_TEST(test_sync)
{
    struct wire_sync sync = {.kind = SYNC_SNAPSHOT, .epoch = 1, .version = UINT64_MAX}, back;
    uint8_t memory[64];
    struct writer w;
    struct reader r;

    writer_init(&w, memory, sizeof(memory));
    wire_put_sync(&w, &sync);
    reader_init(&r, memory, writer_length(&w));
    ck_assert_int_eq(wire_get_sync(&r, &back), 0);
    ck_assert_uint_eq(back.kind, SYNC_SNAPSHOT);
    ck_assert_uint_eq(back.epoch, 1);
    ck_assert_uint_eq(back.version, UINT64_MAX);
    torture(get_sync, memory, writer_length(&w));
    for (unsigned kind = 0; kind < 256; kind++) {
        memory[4] = (uint8_t)kind;
        ck_assert_int_eq(get_sync(memory, writer_length(&w)),
                         kind == SYNC_DELTA || kind == SYNC_SNAPSHOT ? 0 : ERR_PROTOCOL);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("wire");
    TCase *tc = tcase_create("wire");
    int result;

    tcase_add_loop_test(tc, test_round_trip, 0, ROUND_TRIPS);
    tcase_add_test(tc, test_round_trip_all_suites);
    tcase_add_loop_test(tc, test_keys_of_views, 0, SUITE_COUNT);
    tcase_add_test(tc, test_mki_and_lifetime);
    tcase_add_loop_test(tc, test_keys_together, 0, sizeof(together) / sizeof(together[0]));
    tcase_add_loop_test(tc, test_old_index, 0, sizeof(old_indexes) / sizeof(old_indexes[0]));
    tcase_add_test(tc, test_replica_view_is_the_least);
    tcase_add_test(tc, test_hairpin_view);
    tcase_add_loop_test(tc, test_truncated, 0, ROUND_TRIPS);
    tcase_add_loop_test(tc, test_every_bit_flipped, 0, ROUND_TRIPS);
    tcase_add_loop_test(tc, test_extra_field, 0, sizeof(extras) / sizeof(extras[0]));
    tcase_add_test(tc, test_missing_field);
    tcase_add_test(tc, test_too_many_ssrcs);
    tcase_add_test(tc, test_delete);
    tcase_add_test(tc, test_nak);
    tcase_add_test(tc, test_sync);
    suite_add_tcase(suite, tc);
    result = unit_run(suite);
    sample_engine_stop();
    return result;
}
