#include "common/srtp/gcm.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/protocol.h"
#include "tests/unit/allocs.h"
#include "tests/unit/unit.h"

enum { AAD_MAX = 32, BLOCKS_MAX = 64 };

/* A message with what it was made of; the tag stands behind the text. */
struct sealed {
    uint8_t key[GCM_KEY_MAX_OCTETS], iv[GCM_IV_OCTETS], aad[AAD_MAX];
    uint8_t text[PACKET_MAX_OCTETS + GCM_TAG_OCTETS];
    size_t key_octets, aad_octets, text_octets;
};

static struct gcm *gcm[2]; /* for keys of 16 and 32 octets */

static void start(void)
{
    gcm[0] = gcm_new(16);
    gcm[1] = gcm_new(32);
    ck_assert(gcm[0] && gcm[1]);
}

static void stop(void)
{
    gcm_free(gcm[0]);
    gcm_free(gcm[1]);
}

static bool is_right_split(const struct sealed *sealed, size_t split)
{
    struct gcm_message message = {.aad = sealed->aad,
                                  .aad_octets = split,
                                  .more_aad = sealed->aad + split,
                                  .more_aad_octets = sealed->aad_octets - split,
                                  .text = sealed->text,
                                  .text_octets = sealed->text_octets,
                                  .tag = sealed->text + sealed->text_octets};

    memcpy(message.iv, sealed->iv, sizeof(message.iv));
    return gcm_is_right(gcm[sealed->key_octets == 32], sealed->key, &message);
}

static bool is_right(const struct sealed *sealed)
{
    return is_right_split(sealed, sealed->aad_octets);
}

/* Octets that differ from one seed to the next. */
static void fill(uint8_t *octets, size_t length, unsigned seed)
{
    for (size_t i = 0; i < length; i++)
        octets[i] = (uint8_t)(seed * 151 + i * 31 + (i >> 3));
}

/* By EVP. */
static void seal(struct sealed *sealed, size_t key_octets, size_t aad_octets, size_t text_octets,
                 unsigned seed)
{
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    uint8_t *tag = sealed->text + text_octets;
    int written;

    sealed->key_octets = key_octets;
    sealed->aad_octets = aad_octets;
    sealed->text_octets = text_octets;
    fill(sealed->key, sizeof(sealed->key), seed);
    fill(sealed->iv, sizeof(sealed->iv), seed + 1);
    fill(sealed->aad, sizeof(sealed->aad), seed + 2);
    fill(sealed->text, text_octets, seed + 3);
    ck_assert(EVP_EncryptInit_ex2(context, key_octets == 16 ? EVP_aes_128_gcm() : EVP_aes_256_gcm(),
                                  sealed->key, sealed->iv, NULL));
    ck_assert(EVP_EncryptUpdate(context, NULL, &written, sealed->aad, (int)aad_octets));
    ck_assert(EVP_EncryptUpdate(context, sealed->text, &written, sealed->text, (int)text_octets));
    ck_assert(EVP_EncryptFinal_ex(context, tag, &written));
    ck_assert(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, GCM_TAG_OCTETS, tag));
    EVP_CIPHER_CTX_free(context);
}

/* ---------------------------------------------------------------- messages */

/* McGrew and Viega, The Galois/Counter Mode of Operation, appendix B: cases 1, 4, 13 and 16. */
static const struct {
    const char *key, *iv, *aad, *text;
} vectors[] = {
    {"00000000000000000000000000000000", "000000000000000000000000", "",
     "58e2fccefa7e3061367f1d57a4e7455a"},
    {"feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888",
     "feedfacedeadbeeffeedfacedeadbeefabaddad2",
     "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
     "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091"
     "5bc94fbc3221a5db94fae95ae7121a47"},
    {"0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000",
     "", "530f8afbc74536b9a963b4f1c4cb738b"},
    {"feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888",
     "feedfacedeadbeeffeedfacedeadbeefabaddad2",
     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
     "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
     "76fc6ece0f4e1768cddf8853bb2d551b"},
};

/* The AAD comes in two pieces, whose border is at every place. */
START_TEST(test_vectors)
{
    struct sealed sealed = {0};

    sealed.key_octets = unit_hex(vectors[_i].key, sealed.key, sizeof(sealed.key));
    unit_hex(vectors[_i].iv, sealed.iv, sizeof(sealed.iv));
    sealed.aad_octets = unit_hex(vectors[_i].aad, sealed.aad, sizeof(sealed.aad));
    sealed.text_octets =
        unit_hex(vectors[_i].text, sealed.text, sizeof(sealed.text)) - GCM_TAG_OCTETS;
    for (size_t split = 0; split <= sealed.aad_octets; split++)
        ck_assert_msg(is_right_split(&sealed, split), "split at %zu", split);
}
END_TEST

static void expect_refused_flipped(struct sealed *sealed, uint8_t *octets, size_t length)
{
    for (size_t bit = 0; bit < 8 * length; bit++) {
        octets[bit / 8] ^= (uint8_t)(1 << bit % 8);
        ck_assert_msg(!is_right(sealed), "bit %zu", bit);
        octets[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    ck_assert(is_right(sealed));
}

START_TEST(test_every_bit_counts)
{
    struct sealed sealed;

    seal(&sealed, _i == 0 ? 16 : 32, 12, 37, 1);
    expect_refused_flipped(&sealed, sealed.key, sealed.key_octets);
    expect_refused_flipped(&sealed, sealed.iv, sizeof(sealed.iv));
    expect_refused_flipped(&sealed, sealed.aad, sealed.aad_octets);
    expect_refused_flipped(&sealed, sealed.text, sealed.text_octets + GCM_TAG_OCTETS);
}
END_TEST

/* Of every length, and each under a key of its own: nothing is left of the one before. */
START_TEST(test_lengths)
{
    struct sealed now, before, empty;

    seal(&empty, 16, 0, 0, 77);
    seal(&before, 32, 0, 0, 0);
    for (size_t length = 0; length <= PACKET_MAX_OCTETS; length += length < 300 ? 1 : 97) {
        seal(&now, length % 2 ? 16 : 32, length % (AAD_MAX + 1), length, (unsigned)length);
        ck_assert_msg(is_right(&now), "%zu octets", length);
        now.text[length + GCM_TAG_OCTETS - 1] ^= 1;
        ck_assert_msg(!is_right(&now), "%zu octets", length);
        now.text[length + GCM_TAG_OCTETS - 1] ^= 1;
        ck_assert_msg(is_right(&before) && is_right(&empty) && is_right(&now), "%zu octets",
                      length);
        before = now;
    }
    seal(&now, 16, AAD_MAX, PACKET_MAX_OCTETS, 1);
    ck_assert(is_right(&now));
}
END_TEST

START_TEST(test_no_allocation)
{
    struct sealed good, bad;

    seal(&good, 16, 12, 160, 5);
    bad = good;
    bad.text[0] ^= 1;
    allocs_begin();
    for (int i = 0; i < 1000; i++) {
        if (!is_right(&good) || is_right(&bad))
            break;
        gcm_forget(gcm[0]);
    }
    ck_assert_uint_eq(allocs_end(), 0);
    ck_assert(is_right(&good));
}
END_TEST

/* ---------------------------------------------------------------- keys in memory */

/* What OpenSSL allocated while a test looked. */
struct block {
    void *start; /* NULL: given back */
    size_t octets;
    bool wiped; /* when it was given back */
};

static struct {
    bool looks;
    unsigned count;
    struct block block[BLOCKS_MAX];
} memory;

static void note(void *start, size_t octets)
{
    if (!memory.looks || !start)
        return;
    ck_assert_uint_lt(memory.count, BLOCKS_MAX);
    memory.block[memory.count++] = (struct block){.start = start, .octets = octets};
}

static void *ssl_malloc(size_t octets, const char *file, int line)
{
    void *start = malloc(octets);

    (void)file;
    (void)line;
    note(start, octets);
    return start;
}

static void *ssl_realloc(void *start, size_t octets, const char *file, int line)
{
    (void)file;
    (void)line;
    return realloc(start, octets);
}

static bool is_zero(const uint8_t *octets, size_t length)
{
    return length == 0 || (octets[0] == 0 && memcmp(octets, octets + 1, length - 1) == 0);
}

static void ssl_free(void *start, const char *file, int line)
{
    (void)file;
    (void)line;
    for (unsigned i = 0; i < memory.count && start; i++) {
        struct block *block = &memory.block[i];

        if (block->start != start)
            continue;
        block->wiped = is_zero(start, block->octets);
        block->start = NULL;
    }
    free(start);
}

static struct gcm *new_and_look(size_t key_octets)
{
    struct gcm *made;

    memset(&memory, 0, sizeof(memory));
    memory.looks = true;
    made = gcm_new(key_octets);
    memory.looks = false;
    ck_assert_ptr_nonnull(made);
    return made;
}

/* The largest block. */
static const struct block *find_context(void)
{
    const struct block *largest = &memory.block[0];

    for (unsigned i = 1; i < memory.count; i++)
        largest = memory.block[i].octets > largest->octets ? &memory.block[i] : largest;
    ck_assert_uint_gt(largest->octets, 0);
    return largest;
}

static uint8_t *copy_context(void)
{
    const struct block *context = find_context();
    uint8_t *copy = malloc(context->octets);

    ck_assert_ptr_nonnull(context->start);
    memcpy(copy, context->start, context->octets);
    return copy;
}

/*
 * A context has keys in a form of its own. But when it is the same whatever key
 * it had, nothing is left of that.
 */
START_TEST(test_forget)
{
    struct gcm *one = new_and_look(_i == 0 ? 16 : 32), *standing = gcm[_i];
    uint8_t *keyed[2], *forgot[2];
    struct sealed sealed;
    size_t octets = find_context()->octets;

    gcm[_i] = one;
    for (unsigned i = 0; i < 2; i++) {
        seal(&sealed, _i == 0 ? 16 : 32, 12, 160, 9 + i);
        ck_assert(is_right(&sealed));
        keyed[i] = copy_context();
        gcm_forget(one);
        forgot[i] = copy_context();
    }
    ck_assert_mem_ne(keyed[0], keyed[1], octets);
    ck_assert_mem_eq(forgot[0], forgot[1], octets);
    ck_assert(is_right(&sealed));
    for (unsigned i = 0; i < 2; i++) {
        free(keyed[i]);
        free(forgot[i]);
    }
    gcm[_i] = standing;
    gcm_free(one);
}
END_TEST

START_TEST(test_free_wipes)
{
    struct gcm *one = new_and_look(32), *standing = gcm[1];
    struct sealed sealed;

    gcm[1] = one;
    seal(&sealed, 32, 12, 160, 3);
    ck_assert(is_right(&sealed));
    gcm[1] = standing;
    gcm_free(one);
    ck_assert_ptr_null(find_context()->start);
    ck_assert(find_context()->wiped);
}
END_TEST

START_TEST(test_not_to_be_had)
{
    ck_assert(EVP_set_default_properties(NULL, "provider=none"));
    ck_assert_ptr_null(gcm_new(16));
    ck_assert_ptr_null(gcm_new(32));
    ck_assert(EVP_set_default_properties(NULL, ""));
    gcm_free(NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("gcm");
    TCase *tc = tcase_create("gcm");

    /* Before OpenSSL allocates anything. */
    if (!CRYPTO_set_mem_functions(ssl_malloc, ssl_realloc, ssl_free))
        return EXIT_FAILURE;
    tcase_add_checked_fixture(tc, start, stop);
    tcase_add_loop_test(tc, test_vectors, 0, sizeof(vectors) / sizeof(vectors[0]));
    tcase_add_loop_test(tc, test_every_bit_counts, 0, 2);
    tcase_add_test(tc, test_lengths);
    if (allocs_are_seen())
        tcase_add_test(tc, test_no_allocation);
    tcase_add_loop_test(tc, test_forget, 0, 2);
    tcase_add_test(tc, test_free_wipes);
    tcase_add_test(tc, test_not_to_be_had);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
