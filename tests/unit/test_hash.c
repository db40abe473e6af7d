#include "common/base/hash.h"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"

static const struct hash_key key = {0x0706050403020100, 0x0f0e0d0c0b0a0908};

/* The authors' vectors of SipHash-2-4: key 00 to 0f, input 00, 01, 02, ... of that length. */
static const struct {
    size_t length;
    uint64_t hash;
} rows[] = {
    {0, 0x726fdb47dd0e0e31}, {1, 0x74f839c593dc67fd},  {7, 0xab0200f58b01d137},
    {8, 0x93f5f5799a932462}, {15, 0xa129ca6149be45e5},
};

START_TEST(test_vectors)
{
    uint8_t *input = malloc(rows[_i].length ? rows[_i].length : 1);

    for (size_t i = 0; i < rows[_i].length; i++)
        input[i] = (uint8_t)i;
    ck_assert_uint_eq(hash_bytes(&key, input, rows[_i].length), rows[_i].hash);
    free(input);
}
END_TEST

START_TEST(test_unaligned)
{
    uint8_t room[32];

    for (size_t offset = 0; offset < 8; offset++) {
        for (size_t i = 0; i < 15; i++)
            room[offset + i] = (uint8_t)i;
        ck_assert_uint_eq(hash_bytes(&key, room + offset, 15), 0xa129ca6149be45e5);
    }
}
END_TEST

START_TEST(test_bits)
{
    uint8_t input[24] = {0};
    uint64_t plain = hash_bytes(&key, input, sizeof(input));

    for (size_t bit = 0; bit < 8 * sizeof(input); bit++) {
        input[bit / 8] ^= (uint8_t)(1u << bit % 8);
        ck_assert_uint_ne(hash_bytes(&key, input, sizeof(input)), plain);
        input[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    ck_assert_uint_ne(hash_bytes(&key, input, sizeof(input) - 1), plain);
}
END_TEST

START_TEST(test_random_key)
{
    struct hash_key a = hash_key_random(), b = hash_key_random();

    ck_assert(a.k0 != b.k0 && a.k1 != b.k1);
    ck_assert_uint_ne(hash_bytes(&a, "x", 1), hash_bytes(&b, "x", 1));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("hash");
    TCase *tc = tcase_create("hash");

    tcase_add_loop_test(tc, test_vectors, 0, sizeof(rows) / sizeof(rows[0]));
    tcase_add_test(tc, test_unaligned);
    tcase_add_test(tc, test_bits);
    tcase_add_test(tc, test_random_key);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
