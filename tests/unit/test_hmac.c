#include "common/srtp/hmac.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#include "tests/unit/unit.h"

enum { KEY_MAX = 64, MESSAGE_MAX = 200 };

/* RFC 2202 section 3; its keys of 80 octets are longer than hmac_init() takes. */
static const struct {
    const char *key, *message, *tag;
} vectors[] = {
    {"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "4869205468657265",
     "b617318655057264e28bc0b6fb378c8ef146be00"},
    {"4a656665", "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
     "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"},
    {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
     "dddddddddddddddddddddddddddddddddddddddddddddddddd"
     "dddddddddddddddddddddddddddddddddddddddddddddddddd",
     "125d7342b9ac11cd91a39af48aa17b4f63f175d3"},
    {"0102030405060708090a0b0c0d0e0f10111213141516171819",
     "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"
     "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd",
     "4c9007f4026250c6bc8414f9bf50c86c2d7235da"},
    {"0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c", "546573742057697468205472756e636174696f6e",
     "4c1a03424b55e07fe7f27be1d58bb9324a9a5a04"},
};

/* In two pieces, whose border is at every place. */
static void expect_tag(const struct hmac_key *key, const uint8_t *message, size_t length,
                       const uint8_t *want)
{
    for (size_t split = 0; split <= length; split++) {
        uint8_t got[HMAC_OCTETS] = {0};

        hmac_tag(key, message, split, message + split, length - split, got);
        ck_assert_msg(memcmp(got, want, sizeof(got)) == 0, "%zu octets, split at %zu", length,
                      split);
    }
}

START_TEST(test_rfc2202)
{
    uint8_t octets[KEY_MAX], message[MESSAGE_MAX], want[HMAC_OCTETS];
    size_t length = unit_hex(vectors[_i].message, message, sizeof(message));
    struct hmac_key key;

    hmac_init(&key, octets, unit_hex(vectors[_i].key, octets, sizeof(octets)));
    ck_assert_uint_eq(unit_hex(vectors[_i].tag, want, sizeof(want)), sizeof(want));
    expect_tag(&key, message, length, want);
}
END_TEST

/* Keys and messages of every length, over the borders of SHA-1's blocks. */
START_TEST(test_lengths)
{
    uint8_t octets[KEY_MAX], message[MESSAGE_MAX], want[HMAC_OCTETS];
    size_t key_length = (size_t)_i;
    struct hmac_key key;
    unsigned n;

    for (size_t i = 0; i < sizeof(octets); i++)
        octets[i] = (uint8_t)(11 * i + 1);
    for (size_t i = 0; i < sizeof(message); i++)
        message[i] = (uint8_t)(7 * i + 5);
    hmac_init(&key, octets, key_length);
    for (size_t length = 0; length <= MESSAGE_MAX;
         length += (length < 60 ? 10 : 1) * unit_stride(7)) {
        ck_assert_ptr_nonnull(HMAC(EVP_sha1(), octets, (int)key_length, message, length, want, &n));
        expect_tag(&key, message, length, want);
    }
}
END_TEST

/* There may be no second piece; the key serves many messages. */
START_TEST(test_one_piece)
{
    uint8_t one[HMAC_OCTETS], two[HMAC_OCTETS];
    struct hmac_key key, before;

    hmac_init(&key, (const uint8_t *)"key", 3);
    before = key;
    hmac_tag(&key, (const uint8_t *)"message", 7, NULL, 0, one);
    hmac_tag(&key, (const uint8_t *)"mess", 4, (const uint8_t *)"age", 3, two);
    ck_assert_mem_eq(one, two, sizeof(one));
    ck_assert_mem_eq(&key, &before, sizeof(key));
    hmac_tag(&key, (const uint8_t *)"messagf", 7, NULL, 0, two);
    ck_assert_mem_ne(one, two, sizeof(one));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("hmac");
    TCase *tc = tcase_create("hmac");

    tcase_add_loop_test(tc, test_rfc2202, 0, sizeof(vectors) / sizeof(vectors[0]));
    tcase_add_loop_test(tc, test_lengths, 0, KEY_MAX + 1);
    tcase_add_test(tc, test_one_piece);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
