#include "common/base/base64.h"

#include <stdint.h>
#include <string.h>

#include "common/base/err.h"
#include "tests/unit/unit.h"

/* RFC 4648 section 10. */
static const struct {
    const char *plain, *padded, *bare;
} rows[] = {
    {"", "", ""},
    {"f", "Zg==", "Zg"},
    {"fo", "Zm8=", "Zm8"},
    {"foo", "Zm9v", "Zm9v"},
    {"foob", "Zm9vYg==", "Zm9vYg"},
    {"fooba", "Zm9vYmE=", "Zm9vYmE"},
    {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
};

START_TEST(test_vectors)
{
    size_t length = strlen(rows[_i].plain);
    uint8_t out[8];
    char text[16];

    base64_encode((const uint8_t *)rows[_i].plain, length, text);
    ck_assert_str_eq(text, rows[_i].padded);
    ck_assert_int_eq(base64_decode(rows[_i].padded, out, sizeof(out)), (int)length);
    ck_assert(memcmp(out, rows[_i].plain, length) == 0);
    ck_assert_int_eq(base64_decode(rows[_i].bare, out, length), (int)length);
    if (length > 0)
        ck_assert_int_eq(base64_decode(rows[_i].bare, out, length - 1), ERR_TOO_LONG);
}
END_TEST

static const char *const bad[] = {
    "Z",     "Zg=",   "Zm8==",  "Zg===",  "=",      "==",       "===",      "====",
    "Zm9vY", "Zm9v=", "Zm9v==", "Zm 9v",  "Zm9v\n", "Zm9-",     "Zm9_",     "Zg==Zg==",
    "Z=g=",  "Zh==",  "Zm9=",   "Zm9vYm", "Zm8=\n", "\xc3\xa9", "Zm9vZ===", "A=",
};

START_TEST(test_bad)
{
    uint8_t out[16];

    /* "Zm9vYm": its last character has bits that no octet holds. */
    ck_assert_msg(base64_decode(bad[_i], out, sizeof(out)) == ERR_INVALID, "\"%s\"", bad[_i]);
}
END_TEST

START_TEST(test_round_trip)
{
    uint8_t data[64], out[64];
    char text[4 * ((64 + 2) / 3) + 1];

    for (size_t length = 0; length <= sizeof(data); length++) {
        for (size_t i = 0; i < length; i++)
            data[i] = (uint8_t)(i * 37 + length * 11);
        base64_encode(data, length, text);
        ck_assert_uint_eq(strlen(text), 4 * ((length + 2) / 3));
        ck_assert_int_eq(base64_decode(text, out, sizeof(out)), (int)length);
        ck_assert(memcmp(out, data, length) == 0);
    }
}
END_TEST

/* Every octet value in the place of a character. */
START_TEST(test_every_character)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char text[] = "AAAA";
    uint8_t out[3];

    for (int c = 1; c < 256; c++) {
        text[1] = (char)c;
        ck_assert_msg((base64_decode(text, out, sizeof(out)) == 3) == (strchr(alphabet, c) != NULL),
                      "octet %d", c);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base64");
    TCase *tc = tcase_create("base64");

    tcase_add_loop_test(tc, test_vectors, 0, sizeof(rows) / sizeof(rows[0]));
    tcase_add_loop_test(tc, test_bad, 0, sizeof(bad) / sizeof(bad[0]));
    tcase_add_test(tc, test_round_trip);
    tcase_add_test(tc, test_every_character);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
