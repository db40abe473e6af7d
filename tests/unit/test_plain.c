#include "common/rtp/plain.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"

/* G.711, mu-law. */
static uint8_t ulaw(int sample)
{
    int sign = sample < 0 ? 0x80 : 0, value = abs(sample) + 0x84, exponent = 7;

    for (int mask = 0x4000; exponent > 0 && !(value & mask); mask >>= 1)
        exponent--;
    return (uint8_t) ~(sign | exponent << 4 | (value >> (exponent + 3) & 15));
}

static void make_tone(uint8_t *payload, size_t length, double hertz, double amplitude, double phase)
{
    for (size_t i = 0; i < length; i++)
        payload[i] =
            ulaw((int)(amplitude * sin(2 * 3.14159265 * hertz * (double)i / 8000 + phase)));
}

static const struct {
    double hertz, amplitude;
} tones[] = {{100, 30000}, {300, 8000}, {440, 4000}, {440, 300},
             {441, 16000}, {700, 8000}, {950, 9000}};

START_TEST(test_tones)
{
    uint8_t payload[160];

    for (int phase = 0; phase < 100; phase++) {
        make_tone(payload, sizeof(payload), tones[_i].hertz, tones[_i].amplitude, phase / 10.0);
        ck_assert(plain_looks_so(payload, sizeof(payload)));
    }
}
END_TEST

START_TEST(test_silence)
{
    static const int values[] = {0, 0xff, 0xd5, 0x7f};
    uint8_t payload[160];

    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        memset(payload, values[i], sizeof(payload));
        ck_assert(plain_looks_so(payload, sizeof(payload)));
    }
}
END_TEST

/* xorshift: as good as ciphertext here, and the same each time. */
static uint64_t next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

START_TEST(test_ciphertext)
{
    uint64_t state = 88172645463325252;
    uint8_t payload[160];

    for (int packet = 0; packet < 20000; packet++) {
        for (size_t i = 0; i < sizeof(payload); i++)
            payload[i] = (uint8_t)(next(&state) >> 24);
        ck_assert(!plain_looks_so(payload, sizeof(payload)));
    }
}
END_TEST

/* Too short to tell. Of the exact length, so that ASan and valgrind see an octet too far. */
START_TEST(test_lengths)
{
    for (size_t length = 0; length < 2 * PLAIN_OCTETS; length++) {
        uint8_t *payload = calloc(1, length ? length : 1);

        ck_assert_ptr_nonnull(payload);
        ck_assert_int_eq(plain_looks_so(payload, length), length >= PLAIN_OCTETS);
        free(payload);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("plain");
    TCase *tc = tcase_create("plain");

    tcase_add_loop_test(tc, test_tones, 0, sizeof(tones) / sizeof(tones[0]));
    tcase_add_test(tc, test_silence);
    tcase_add_test(tc, test_ciphertext);
    tcase_add_test(tc, test_lengths);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
