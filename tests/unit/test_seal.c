#include "common/carrier/seal.h"

#include <openssl/evp.h>
#include <stdbool.h>
#include <string.h>

#include "common/base/err.h"
#include "common/carrier/hkdf.h"
#include "tests/unit/allocs.h"
#include "tests/unit/unit.h"

enum { LABEL = 0x11223344, KEY_FRAMES = 1 << SEAL_KEY_BITS };

/* What one side sealed, and where the other one opens. */
static struct seal_store *store;
static struct seal *near, *far;
static uint8_t secrets[2][SEAL_SECRET_OCTETS];

struct frame {
    uint8_t octets[SEAL_FRAME_MAX_OCTETS];
    size_t length;
};

static void open_pair(size_t key_octets)
{
    ck_assert_int_eq(seal_new(&near, store, key_octets, secrets[0], secrets[1]), 0);
    ck_assert_int_eq(seal_new(&far, store, key_octets, secrets[1], secrets[0]), 0);
}

static void close_pair(void)
{
    seal_free(near);
    seal_free(far);
}

static void start(void)
{
    ck_assert_int_eq(seal_store_new(&store), 0);
    for (size_t i = 0; i < SEAL_SECRET_OCTETS; i++) {
        secrets[0][i] = (uint8_t)(i * 7 + 1);
        secrets[1][i] = (uint8_t)(i * 11 + 2);
    }
    open_pair(16);
}

static void stop(void)
{
    close_pair();
    seal_store_free(store);
}

static void fill(uint8_t *octets, size_t length, size_t seed)
{
    for (size_t i = 0; i < length; i++)
        octets[i] = (uint8_t)(seed * 151 + i * 31 + (i >> 3));
}

static void put(struct seal *seal, struct frame *frame, size_t length)
{
    uint8_t packet[PACKET_MAX_OCTETS];
    int result;

    fill(packet, length, length);
    memset(frame, 0xee, sizeof(*frame));
    result = seal_put(seal, FRAME_MEDIA, LABEL, packet, length, frame->octets);
    ck_assert_int_eq(result, (int)(SEAL_OVER_OCTETS + length));
    frame->length = (size_t)result;
}

static enum seal_verdict open_octets(struct seal *seal, const uint8_t *octets, size_t length)
{
    uint8_t text[SEAL_TEXT_MAX_OCTETS + SEAL_TAG_OCTETS];
    struct seal_opened opened;

    return seal_open(seal, octets, length, text, &opened);
}

static enum seal_verdict open_frame(struct seal *seal, const struct frame *frame)
{
    return open_octets(seal, frame->octets, frame->length);
}

static void expect_whole(struct seal *seal, const struct frame *frame, size_t length,
                         uint64_t counter)
{
    uint8_t text[SEAL_TEXT_MAX_OCTETS], packet[PACKET_MAX_OCTETS];
    struct seal_opened opened;

    fill(packet, length, length);
    ck_assert_int_eq(seal_open(seal, frame->octets, frame->length, text, &opened), SEAL_OPENED);
    ck_assert_uint_eq(opened.type, FRAME_MEDIA);
    ck_assert_uint_eq(opened.label, LABEL);
    ck_assert_uint_eq(opened.length, length);
    ck_assert_uint_eq(opened.counter, counter);
    ck_assert(opened.packet == text + SEAL_INSIDE_OCTETS);
    if (length > 0)
        ck_assert_mem_eq(opened.packet, packet, length);
}

/* ---------------------------------------------------------------- the octets */

/* All of it by EVP, from the secret on. */
static void seal_by_evp(size_t key_octets, uint64_t counter, const uint8_t *packet, size_t length,
                        uint8_t *frame)
{
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    uint8_t key[32], iv[12], *text = frame + SEAL_HEAD_OCTETS;
    const uint8_t inside[] = {FRAME_MEDIA, 0x11, 0x22, 0x33, 0x44};
    size_t follows = 6 + 5 + length + 16;
    int written;

    hkdf_expand_label(secrets[0], "sealed key", key, key_octets);
    hkdf_expand_label(secrets[0], "sealed iv", iv, sizeof(iv));
    memcpy(frame, "\x17\x03\x03", 3);
    frame[3] = (uint8_t)(follows >> 8);
    frame[4] = (uint8_t)follows;
    for (int i = 0; i < 6; i++) {
        frame[5 + i] = (uint8_t)(counter >> (40 - 8 * i));
        iv[6 + i] ^= frame[5 + i];
    }
    ck_assert(EVP_EncryptInit_ex2(context, key_octets == 16 ? EVP_aes_128_gcm() : EVP_aes_256_gcm(),
                                  key, iv, NULL));
    ck_assert(EVP_EncryptUpdate(context, NULL, &written, frame, 11));
    ck_assert(EVP_EncryptUpdate(context, text, &written, inside, 5));
    ck_assert(EVP_EncryptUpdate(context, text + 5, &written, packet, (int)length));
    ck_assert(EVP_EncryptFinal_ex(context, text + 5 + length, &written));
    ck_assert(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, 16, text + 5 + length));
    EVP_CIPHER_CTX_free(context);
}

START_TEST(test_as_described)
{
    size_t key_octets = _i == 0 ? 16 : 32;
    uint8_t packet[200], wanted[232];
    struct frame frame;

    close_pair();
    open_pair(key_octets);
    fill(packet, sizeof(packet), sizeof(packet));
    put(near, &frame, sizeof(packet));
    seal_by_evp(key_octets, 0, packet, sizeof(packet), wanted);
    ck_assert_uint_eq(frame.length, sizeof(wanted));
    ck_assert_mem_eq(frame.octets, wanted, sizeof(wanted));
    seal_skip(near, 0x1233);
    put(near, &frame, sizeof(packet));
    seal_by_evp(key_octets, 0x1234, packet, sizeof(packet), wanted);
    ck_assert_mem_eq(frame.octets, wanted, sizeof(wanted));
    ck_assert_uint_eq(seal_counter_of(frame.octets), 0x1234);
}
END_TEST

/* Each length, in both directions; nothing is written behind a frame. */
START_TEST(test_lengths)
{
    struct frame frame;

    for (size_t length = 0; length <= PACKET_MAX_OCTETS; length++) {
        put(near, &frame, length);
        ck_assert_int_eq(seal_length(frame.octets, frame.length), (int)frame.length);
        if (frame.length < sizeof(frame.octets))
            ck_assert_uint_eq(frame.octets[frame.length], 0xee);
        expect_whole(far, &frame, length, length);
        put(far, &frame, length);
        expect_whole(near, &frame, length, length);
    }
    ck_assert_uint_eq(seal_count(far, SEAL_OPENED), PACKET_MAX_OCTETS + 1);
}
END_TEST

START_TEST(test_too_long)
{
    uint8_t packet[PACKET_MAX_OCTETS + 1] = {0}, frame[SEAL_FRAME_MAX_OCTETS + 1];

    ck_assert_int_eq(seal_put(near, FRAME_MEDIA, 1, packet, sizeof(packet), frame), ERR_TOO_LONG);
    ck_assert_uint_eq(seal_next_counter(near), 0);
}
END_TEST

START_TEST(test_in_place)
{
    struct seal_opened opened;
    uint8_t packet[160];
    struct frame frame;

    fill(packet, sizeof(packet), sizeof(packet));
    put(near, &frame, sizeof(packet));
    ck_assert_int_eq(
        seal_open(far, frame.octets, frame.length, frame.octets + SEAL_HEAD_OCTETS, &opened),
        SEAL_OPENED);
    ck_assert_mem_eq(opened.packet, packet, sizeof(packet));
}
END_TEST

/* ---------------------------------------------------------------- heads */

static const struct {
    const char *octets;
    int length;
} heads[] = {
    {"", 0},
    {"17", 0},
    {"1703", 0},
    {"170303", 0},
    {"17030300", 0},
    {"170303001b", 32},
    {"170303001a", ERR_PROTOCOL},
    {"1703030000", ERR_PROTOCOL},
    {"170303081b", SEAL_FRAME_MAX_OCTETS},
    {"170303081c", ERR_PROTOCOL},
    {"170303ffff", ERR_PROTOCOL},
    {"16", ERR_PROTOCOL},
    {"1702", ERR_PROTOCOL},
    {"170301", ERR_PROTOCOL},
    {"170301001b", ERR_PROTOCOL},
};

START_TEST(test_heads)
{
    uint8_t octets[8];
    size_t length = unit_hex(heads[_i].octets, octets, sizeof(octets));

    ck_assert_int_eq(seal_length(octets, length), heads[_i].length);
}
END_TEST

/* ---------------------------------------------------------------- what is not genuine */

START_TEST(test_every_bit_counts)
{
    struct frame frame;

    put(near, &frame, 40);
    for (size_t bit = 0; bit < 8 * frame.length; bit++) {
        enum seal_verdict verdict;

        frame.octets[bit / 8] ^= (uint8_t)(1 << bit % 8);
        verdict = open_frame(far, &frame);
        /* Start and length are judged by themselves; from the counter on the tag tells. */
        if (bit < 8 * SEAL_START_OCTETS)
            ck_assert_msg(verdict == SEAL_MALFORMED || verdict == SEAL_TRUNCATED, "bit %zu", bit);
        else
            ck_assert_msg(verdict == SEAL_FORGED, "bit %zu", bit);
        frame.octets[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    expect_whole(far, &frame, 40, 0);
    ck_assert_uint_eq(seal_count(far, SEAL_FORGED), 8 * (frame.length - SEAL_START_OCTETS));
    ck_assert_uint_eq(seal_count(far, SEAL_MALFORMED) + seal_count(far, SEAL_TRUNCATED),
                      8 * SEAL_START_OCTETS);
}
END_TEST

START_TEST(test_truncated)
{
    struct frame frame;

    put(near, &frame, 100);
    for (size_t length = 0; length < frame.length; length++)
        ck_assert_int_eq(open_octets(far, frame.octets, length), SEAL_TRUNCATED);
    ck_assert_int_eq(open_octets(far, frame.octets, frame.length + 1), SEAL_TRUNCATED);
    ck_assert_uint_eq(seal_count(far, SEAL_TRUNCATED), frame.length + 1);
    expect_whole(far, &frame, 100, 0);
}
END_TEST

/* Neither what one sent itself, nor what is of another connection. */
START_TEST(test_other_keys)
{
    struct frame frame;
    struct seal *other;
    uint8_t foreign[SEAL_SECRET_OCTETS];

    put(near, &frame, 100);
    ck_assert_int_eq(open_frame(near, &frame), SEAL_FORGED);
    memcpy(foreign, secrets[0], sizeof(foreign));
    foreign[31] ^= 1;
    ck_assert_int_eq(seal_new(&other, store, 16, secrets[1], foreign), 0);
    ck_assert_int_eq(open_frame(other, &frame), SEAL_FORGED);
    seal_free(other);
    ck_assert_int_eq(seal_new(&other, store, 32, secrets[1], secrets[0]), 0);
    ck_assert_int_eq(open_frame(other, &frame), SEAL_FORGED);
    seal_free(other);
    expect_whole(far, &frame, 100, 0);
}
END_TEST

/* ---------------------------------------------------------------- the window */

/* offset: of the frame, from the highest counter that came. */
static const struct {
    int64_t offset;
    enum seal_verdict verdict, again;
} places[] = {
    {-1, SEAL_OPENED, SEAL_REPLAYED},
    {-63, SEAL_OPENED, SEAL_REPLAYED},
    {-64, SEAL_OPENED, SEAL_REPLAYED},
    {-SEAL_WINDOW_FRAMES + 1, SEAL_OPENED, SEAL_REPLAYED},
    {-SEAL_WINDOW_FRAMES, SEAL_OLD, SEAL_OLD},
    {-SEAL_WINDOW_FRAMES - 1, SEAL_OLD, SEAL_OLD},
    {1, SEAL_OPENED, SEAL_REPLAYED},
    {63, SEAL_OPENED, SEAL_REPLAYED},
    {64, SEAL_OPENED, SEAL_REPLAYED},
    {SEAL_WINDOW_FRAMES - 1, SEAL_OPENED, SEAL_REPLAYED},
    {SEAL_WINDOW_FRAMES, SEAL_OPENED, SEAL_REPLAYED},
    {SEAL_WINDOW_FRAMES + 1, SEAL_OPENED, SEAL_REPLAYED},
    {10 * SEAL_WINDOW_FRAMES, SEAL_OPENED, SEAL_REPLAYED},
};

/* The rows around a counter that was the first to come. */
START_TEST(test_window)
{
    uint64_t highest = 5 * SEAL_WINDOW_FRAMES + 77;
    uint64_t at = (uint64_t)((int64_t)highest + places[_i].offset);
    struct frame first, frame;

    if (at < highest) {
        seal_skip(near, at);
        put(near, &frame, 20);
        seal_skip(near, highest - at - 1);
        put(near, &first, 20);
    } else {
        seal_skip(near, highest);
        put(near, &first, 20);
        seal_skip(near, at - highest - 1);
        put(near, &frame, 20);
    }
    ck_assert_int_eq(open_frame(far, &first), SEAL_OPENED);
    ck_assert_int_eq(open_frame(far, &frame), places[_i].verdict);
    ck_assert_int_eq(open_frame(far, &frame), places[_i].again);
    ck_assert_int_eq(open_frame(far, &first),
                     places[_i].offset >= SEAL_WINDOW_FRAMES ? SEAL_OLD : SEAL_REPLAYED);
}
END_TEST

/* What is in the window is not lost when it moves on, bit by bit and by leaps. */
START_TEST(test_window_moves)
{
    enum { FRAMES = 600, TINY = SEAL_OVER_OCTETS };
    static uint8_t frames[FRAMES][TINY];
    uint64_t leap = 1;

    for (unsigned i = 0; i < FRAMES; i++) {
        ck_assert_int_eq(seal_put(near, FRAME_PING, 0, NULL, 0, frames[i]), TINY);
        seal_skip(near, leap = leap * 5 % 211);
    }
    for (unsigned i = 0; i < FRAMES; i += 2)
        ck_assert_int_eq(open_octets(far, frames[i], TINY), SEAL_OPENED);
    for (unsigned i = 0; i < FRAMES; i++)
        ck_assert_int_eq(open_octets(far, frames[i], TINY), i % 2 ? SEAL_OPENED : SEAL_REPLAYED);
    for (unsigned i = 0; i < FRAMES; i++)
        ck_assert_int_eq(open_octets(far, frames[i], TINY), SEAL_REPLAYED);
}
END_TEST

/* A forged frame must not move the window, and a replay costs no look at the tag. */
START_TEST(test_forged_changes_nothing)
{
    struct frame early, late, copy;

    put(near, &early, 20);
    seal_skip(near, KEY_FRAMES - 10);
    put(near, &late, 20);
    copy = late;
    copy.octets[copy.length - 1] ^= 1;
    ck_assert_int_eq(open_frame(far, &copy), SEAL_FORGED);
    ck_assert_int_eq(open_frame(far, &early), SEAL_OPENED);
    copy = early;
    copy.octets[copy.length - 1] ^= 1;
    ck_assert_int_eq(open_frame(far, &copy), SEAL_REPLAYED);
    ck_assert_int_eq(open_frame(far, &late), SEAL_OPENED);
}
END_TEST

/* ---------------------------------------------------------------- the ratchet */

/* Around each change of keys frames come in any order. */
START_TEST(test_ratchet)
{
    struct frame before, late, after;

    for (uint64_t turn = 1; turn <= 7; turn++) {
        seal_skip(near, turn * KEY_FRAMES - 2 - seal_next_counter(near));
        put(near, &before, 20);
        put(near, &late, 20);
        put(near, &after, 20);
        ck_assert_uint_eq(seal_counter_of(after.octets), turn * KEY_FRAMES);
        ck_assert_int_eq(open_frame(far, &before), SEAL_OPENED);
        ck_assert_int_eq(open_frame(far, &after), SEAL_OPENED);
        ck_assert_int_eq(open_frame(far, &late), SEAL_OPENED);
        ck_assert_int_eq(open_frame(far, &late), SEAL_REPLAYED);
    }
    ck_assert_uint_eq(seal_count(far, SEAL_FORGED), 0);
}
END_TEST

/* Frames around a change of keys, of which some are lost and others come in reverse, eight at a
 * time. */
static void change_keys(uint64_t turn, bool hole)
{
    enum { FRAMES = 256, ROW = 8, TINY = SEAL_OVER_OCTETS };
    static uint8_t frames[FRAMES][TINY];
    static bool lost[FRAMES];

    seal_skip(near, turn * KEY_FRAMES - FRAMES / 2 - seal_next_counter(near));
    for (unsigned i = 0; i < FRAMES; i++) {
        ck_assert_int_eq(seal_put(near, FRAME_PING, 0, NULL, 0, frames[i]), TINY);
        lost[i] = (i * 2654435761u + turn * 40503u) >> 16 & 1;
        if (hole)
            lost[i] |= i > FRAMES / 4 && i < 3 * FRAMES / 4;
    }
    for (unsigned i = 0; i < FRAMES; i++)
        if (!lost[i ^ (ROW - 1)])
            ck_assert_int_eq(open_octets(far, frames[i ^ (ROW - 1)], TINY), SEAL_OPENED);
    /* What was only late is good for either key, once. */
    for (unsigned i = 0; i < FRAMES; i++)
        ck_assert_int_eq(open_octets(far, frames[i], TINY), lost[i] ? SEAL_OPENED : SEAL_REPLAYED);
}

/* The last frames under a key and the first ones under the next may all be lost. */
START_TEST(test_ratchet_with_loss)
{
    for (uint64_t turn = 1; turn <= 9; turn++)
        change_keys(turn, turn % 2 == 0);
    ck_assert_uint_eq(seal_count(far, SEAL_FORGED), 0);
    ck_assert_uint_eq(seal_count(far, SEAL_OLD), 0);
}
END_TEST

/* The receiver looks one key ahead, and never more. */
START_TEST(test_far_ahead)
{
    struct frame next, farther;

    seal_skip(near, 2 * (uint64_t)KEY_FRAMES - 1);
    put(near, &next, 20);
    put(near, &farther, 20);
    ck_assert_int_eq(open_frame(far, &farther), SEAL_FORGED);
    ck_assert_int_eq(open_frame(far, &next), SEAL_OPENED);
    ck_assert_int_eq(open_frame(far, &farther), SEAL_OPENED);
}
END_TEST

/* Each key opens only its own frames. */
START_TEST(test_keys_differ)
{
    struct frame frame;

    seal_skip(near, KEY_FRAMES);
    put(near, &frame, 20);
    frame.octets[SEAL_START_OCTETS + 3] = 0; /* the counter of the first frame of the first key */
    ck_assert_uint_eq(seal_counter_of(frame.octets), 0);
    ck_assert_int_eq(open_frame(far, &frame), SEAL_FORGED);
}
END_TEST

START_TEST(test_counters_used_up)
{
    uint8_t frame[SEAL_OVER_OCTETS];

    /* From key to key would take 2^26 turns of the ratchet. */
    seal_skip(near, (uint64_t)1 << SEAL_COUNTER_BITS);
    ck_assert_int_eq(seal_put(near, FRAME_PING, 0, NULL, 0, frame), ERR_RANGE);
    ck_assert_int_eq(seal_put(near, FRAME_PING, 0, NULL, 0, frame), ERR_RANGE);
}
END_TEST

/* ---------------------------------------------------------------- memory */

START_TEST(test_no_allocation)
{
    struct frame frame;
    unsigned bad = 0;

    put(near, &frame, 160);
    ck_assert_int_eq(open_frame(far, &frame), SEAL_OPENED);
    allocs_begin();
    for (int i = 0; i < 1000; i++) {
        uint8_t packet[160] = {0}, text[SEAL_TEXT_MAX_OCTETS];
        struct seal_opened opened;

        if (i % 100 == 99)
            seal_skip(near, KEY_FRAMES - 50);
        bad += seal_put(near, FRAME_MEDIA, LABEL, packet, sizeof(packet), frame.octets) < 0;
        frame.octets[frame.length - 1] ^= 1;
        bad += seal_open(far, frame.octets, frame.length, text, &opened) != SEAL_FORGED;
        frame.octets[frame.length - 1] ^= 1;
        bad += seal_open(far, frame.octets, frame.length, text, &opened) != SEAL_OPENED;
        bad += seal_open(far, frame.octets, frame.length, text, &opened) != SEAL_REPLAYED;
    }
    ck_assert_uint_eq(allocs_end(), 0);
    ck_assert_uint_eq(bad, 0);
}
END_TEST

START_TEST(test_not_to_be_had)
{
    struct seal *seal = NULL;

    ck_assert(EVP_set_default_properties(NULL, "provider=none"));
    ck_assert_int_eq(seal_new(&seal, store, 16, secrets[0], secrets[1]), ERR_CRYPTO);
    ck_assert_ptr_null(seal);
    ck_assert(EVP_set_default_properties(NULL, ""));
    seal_free(NULL);
    seal_store_free(NULL);
}
END_TEST

START_TEST(test_names)
{
    ck_assert_str_eq(seal_verdict_name(SEAL_OPENED), "opened");
    ck_assert_str_eq(seal_verdict_name(SEAL_MALFORMED), "malformed");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("seal");
    TCase *tc = tcase_create("seal");

    tcase_add_checked_fixture(tc, start, stop);
    tcase_add_loop_test(tc, test_as_described, 0, 2);
    tcase_add_test(tc, test_lengths);
    tcase_add_test(tc, test_too_long);
    tcase_add_test(tc, test_in_place);
    tcase_add_loop_test(tc, test_heads, 0, sizeof(heads) / sizeof(heads[0]));
    tcase_add_test(tc, test_every_bit_counts);
    tcase_add_test(tc, test_truncated);
    tcase_add_test(tc, test_other_keys);
    tcase_add_loop_test(tc, test_window, 0, sizeof(places) / sizeof(places[0]));
    tcase_add_test(tc, test_window_moves);
    tcase_add_test(tc, test_forged_changes_nothing);
    tcase_add_test(tc, test_ratchet);
    tcase_add_test(tc, test_ratchet_with_loss);
    tcase_add_test(tc, test_far_ahead);
    tcase_add_test(tc, test_keys_differ);
    tcase_add_test(tc, test_counters_used_up);
    if (allocs_are_seen())
        tcase_add_test(tc, test_no_allocation);
    tcase_add_test(tc, test_not_to_be_had);
    tcase_add_test(tc, test_names);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
