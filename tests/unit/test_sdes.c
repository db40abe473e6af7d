#include "common/srtp/sdes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "tests/unit/unit.h"

#define K30 "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz" /* RFC 4568 section 6.1 */
#define K46                                                                                        \
    "MDEyMzQ1Njc4OUFCQ0RFRjAxMjM0NTY3ODlBQkNERUZzYWx0eXNhbHR5MTIzNA" /* without its padding */
#define K28 "MDEyMzQ1Njc4OUFCQ0RFRnNhbHR5c2FsdHkx"                   /* 27 octets */
#define G28 "MDEyMzQ1Njc4OUFCQ0RFRnNhbHR5c2FsdHkxMg"                 /* 28 */
#define S80 "AES_CM_128_HMAC_SHA1_80 "

/* unusable: words of the reason; NULL: the line is good. suite -1: unknown. */
static const struct {
    const char *text;
    unsigned tag;
    int suite;
    const char *unusable;
    uint64_t lifetime;
    const char *mki; /* in hex */
} rows[] = {
    {"1 " S80 "inline:" K30, 1, SUITE_AES_CM_128_HMAC_SHA1_80, NULL, SRTP_LIFETIME_MAX, ""},
    {"1 " S80 "inline:" K30 "|2^20|1:4", 1, SUITE_AES_CM_128_HMAC_SHA1_80, NULL, 1 << 20,
     "00000001"},
    {"1 " S80 "inline:" K30 "|1:1", 1, SUITE_AES_CM_128_HMAC_SHA1_80, NULL, SRTP_LIFETIME_MAX,
     "01"},
    {"007 AES_CM_128_HMAC_SHA1_32 INLINE:" K30 "|1000", 7, SUITE_AES_CM_128_HMAC_SHA1_32, NULL,
     1000, ""},
    {"999999999\tAES_CM_128_HMAC_SHA1_80  inline:" K30 " ", 999999999,
     SUITE_AES_CM_128_HMAC_SHA1_80, NULL, SRTP_LIFETIME_MAX, ""},
    /* linphonec: 256-bit keys with their padding. */
    {"3 AES_256_CM_HMAC_SHA1_80 inline:" K46 "==", 3, SUITE_AES_256_CM_HMAC_SHA1_80, NULL,
     SRTP_LIFETIME_MAX, ""},
    {"3 AES_256_CM_HMAC_SHA1_80 inline:" K46, 3, SUITE_AES_256_CM_HMAC_SHA1_80, NULL,
     SRTP_LIFETIME_MAX, ""},
    {"2 AEAD_AES_128_GCM inline:" G28 "==", 2, SUITE_AEAD_AES_128_GCM, NULL, SRTP_LIFETIME_MAX, ""},
    {"1 " S80 "inline:" K30 " UNENCRYPTED_SRTP", 1, SUITE_AES_CM_128_HMAC_SHA1_80, NULL,
     SRTP_LIFETIME_MAX, ""},
    {"1 " S80 "inline:" K30 " WSH=64 FEC_ORDER=FEC_SRTP -odd=1", 1, SUITE_AES_CM_128_HMAC_SHA1_80,
     NULL, SRTP_LIFETIME_MAX, ""},
    /* An MKI has up to 128 octets. */
    {"1 " S80 "inline:" K30 "|340282366920938463463374607431768211455:16", 1,
     SUITE_AES_CM_128_HMAC_SHA1_80, NULL, SRTP_LIFETIME_MAX, "ffffffffffffffffffffffffffffffff"},
    /* Lines that cannot be used, and why. */
    {"1 AES_CM_256_HMAC_SHA1_80 inline:" K46, 1, -1, "suite is unknown", 0, ""},
    {"1 aes_cm_128_hmac_sha1_80 inline:" K30, 1, -1, "suite is unknown", 0, ""},
    {"1 F8_128_HMAC_SHA1_80 inline:" K30, 1, -1, "suite is unknown", 0, ""},
    {"1 AES_CM_128_HMAC_SHA1_80_AES_CM_128_HMAC_SHA1_80 inline:" K30, 1, -1, "unknown", 0, ""},
    {"1", 1, -1, "suite is unknown", 0, ""},
    {"1 " S80, 1, SUITE_AES_CM_128_HMAC_SHA1_80, "not begin with inline:", 0, ""},
    {"1 " S80 "inline:", 1, SUITE_AES_CM_128_HMAC_SHA1_80, "too short", 0, ""},
    {"1 " S80 "inline:" K28, 1, SUITE_AES_CM_128_HMAC_SHA1_80, "too short", 0, ""},
    {"1 " S80 "inline:" K46, 1, SUITE_AES_CM_128_HMAC_SHA1_80, "too long", 0, ""},
    {"1 " S80 "inline:" K46 K46 K46, 1, SUITE_AES_CM_128_HMAC_SHA1_80, "too long", 0, ""},
    {"1 AES_256_CM_HMAC_SHA1_80 inline:" K30, 1, SUITE_AES_256_CM_HMAC_SHA1_80, "too short", 0, ""},
    {"1 " S80 "inline:!!!!", 1, SUITE_AES_CM_128_HMAC_SHA1_80, "not base64", 0, ""},
    {"1 " S80 "inline:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", 1, SUITE_AES_CM_128_HMAC_SHA1_80,
     "all zeros", 0, ""},
    {"1 " S80 "uri:" K30, 1, SUITE_AES_CM_128_HMAC_SHA1_80, "not begin with inline:", 0, ""},
    {"1 " S80 "inline:" K30 "|1:4;inline:" K30 "|2:4", 1, SUITE_AES_CM_128_HMAC_SHA1_80,
     "several keys", 0, ""},
    {"1 " S80 "inline:" K30 "|", 1, SUITE_AES_CM_128_HMAC_SHA1_80, "no lifetime", 0, ""},
    {"1 " S80 "inline:" K30 "|0", 1, SUITE_AES_CM_128_HMAC_SHA1_80, "no lifetime", 0, ""},
    {"1 " S80 "inline:" K30 "|2^49", 1, SUITE_AES_CM_128_HMAC_SHA1_80, "no lifetime", 0, ""},
    {"1 " S80 "inline:" K30 "|2^20|2^20", 1, SUITE_AES_CM_128_HMAC_SHA1_80, "two lifetimes", 0, ""},
    {"1 " S80 "inline:" K30 "|1:4|1:4", 1, SUITE_AES_CM_128_HMAC_SHA1_80, "two MKIs", 0, ""},
    {"1 " S80 "inline:" K30 "|1:", 1, SUITE_AES_CM_128_HMAC_SHA1_80, "MKI is none", 0, ""},
    {"1 " S80 "inline:" K30 "|:4", 1, SUITE_AES_CM_128_HMAC_SHA1_80, "MKI is none", 0, ""},
    {"1 " S80 "inline:" K30 "|x:4", 1, SUITE_AES_CM_128_HMAC_SHA1_80, "MKI is none", 0, ""},
    {"1 " S80 "inline:" K30 "|256:1", 1, SUITE_AES_CM_128_HMAC_SHA1_80, "MKI is none", 0, ""},
    {"1 " S80 "inline:" K30 "|0001:1", 1, SUITE_AES_CM_128_HMAC_SHA1_80, "MKI is none", 0, ""},
    {"1 " S80 "inline:" K30 "|340282366920938463463374607431768211456:16", 1,
     SUITE_AES_CM_128_HMAC_SHA1_80, "MKI is none", 0, ""},
    {"1 " S80 "inline:" K30 "|1:129", 1, SUITE_AES_CM_128_HMAC_SHA1_80, "MKI is none", 0, ""},
    {"1 " S80 "inline:" K30 " UNAUTHENTICATED_SRTP", 1, SUITE_AES_CM_128_HMAC_SHA1_80,
     "UNAUTHENTICATED_SRTP", 0, ""},
    {"1 " S80 "inline:" K30 " UNENCRYPTED_SRTCP", 1, SUITE_AES_CM_128_HMAC_SHA1_80,
     "UNENCRYPTED_SRTCP", 0, ""},
    {"1 AEAD_AES_128_GCM inline:" G28 " UNENCRYPTED_SRTP", 1, SUITE_AEAD_AES_128_GCM, "AEAD", 0,
     ""},
    {"1 " S80 "inline:" K30 " KDR=1", 1, SUITE_AES_CM_128_HMAC_SHA1_80, "KDR", 0, ""},
    {"1 " S80 "inline:" K30 " WSH=64 FEC_KEY=inline:" K30, 1, SUITE_AES_CM_128_HMAC_SHA1_80,
     "FEC_KEY", 0, ""},
    {"1 " S80 "inline:" K30 " FEC_ORDER=SRTP_FEC", 1, SUITE_AES_CM_128_HMAC_SHA1_80, "FEC_ORDER", 0,
     ""},
    {"1 " S80 "inline:" K30 " NEW=1", 1, SUITE_AES_CM_128_HMAC_SHA1_80, "unknown session", 0, ""},
};

static void check_key(const struct sdes *line, int i)
{
    uint8_t mki[SRTP_MKI_MAX_OCTETS];
    size_t length = unit_hex(rows[i].mki, mki, sizeof(mki));

    ck_assert_int_eq(line->key.kind, SRTP_KEY_MASTER);
    ck_assert_uint_eq(line->key.length, suite_material_octets(line->suite));
    ck_assert_uint_eq(line->key.lifetime, rows[i].lifetime);
    ck_assert_uint_eq(line->key.mki_length, length);
    ck_assert(memcmp(line->key.mki, mki, length) == 0);
}

START_TEST(test_row)
{
    const char *text = rows[_i].text;
    struct sdes line;

    ck_assert_int_eq(sdes_read(text, strlen(text), &line), 0);
    ck_assert_uint_eq(line.tag, rows[_i].tag);
    ck_assert_int_eq(line.suite ? (int)line.suite->id : -1, rows[_i].suite);
    if (!rows[_i].unusable) {
        ck_assert_msg(!line.unusable, "\"%s\": %s", text, line.unusable);
        check_key(&line, _i);
    } else {
        ck_assert_msg(line.unusable, "\"%s\" is taken", text);
        ck_assert_msg(strstr(line.unusable, rows[_i].unusable), "\"%s\": %s", text, line.unusable);
        ck_assert_int_eq(line.key.kind, SRTP_KEY_NONE);
    }
}
END_TEST

START_TEST(test_octets)
{
    static const char text[] = "1 " S80 "inline:" K30;
    struct sdes line;

    ck_assert_int_eq(sdes_read(text, strlen(text), &line), 0);
    ck_assert(memcmp(line.key.octets, "YS___semctl () {\t220;}\n}\nunles", 30) == 0);
    ck_assert(!line.unencrypted);
}
END_TEST

static const char *const untagged[] = {
    "", " ", " 1 " S80 "inline:" K30, "x " S80, "1x " S80, "1000000000 " S80, "-1 " S80, S80,
};

START_TEST(test_untagged)
{
    struct sdes line;

    ck_assert_int_eq(sdes_read(untagged[_i], strlen(untagged[_i]), &line), ERR_INVALID);
}
END_TEST

/* What is cut off and what is flipped is read within its bounds, and never a key of another length.
 */
static void read_copy(const char *text, size_t length, size_t bit)
{
    char *copy = malloc(length ? length : 1);
    struct sdes line;

    ck_assert_ptr_nonnull(copy);
    memcpy(copy, text, length);
    if (bit < 8 * length)
        copy[bit / 8] = (char)(copy[bit / 8] ^ 1 << bit % 8);
    if (sdes_read(copy, length, &line) == 0)
        ck_assert(line.unusable ? line.key.kind == SRTP_KEY_NONE
                                : line.key.length == suite_material_octets(line.suite));
    free(copy);
}

START_TEST(test_damaged)
{
    size_t length = strlen(rows[_i].text);

    for (size_t cut = 0; cut <= length; cut++)
        read_copy(rows[_i].text, cut, SIZE_MAX);
    for (size_t bit = 0; bit < 8 * length; bit++)
        read_copy(rows[_i].text, length, bit);
}
END_TEST

/* relayctl's --key takes these, and looks at the key itself. */
START_TEST(test_inline)
{
    struct sdes_inline parts;

    ck_assert_int_eq(sdes_read_inline("KEY|2^4|258:3", 13, &parts), SDES_RIGHT);
    ck_assert(parts.key_length == 3 && memcmp(parts.key, "KEY", 3) == 0);
    ck_assert_uint_eq(parts.lifetime, 16);
    ck_assert(parts.mki_length == 3 && memcmp(parts.mki, "\0\1\2", 3) == 0);
    ck_assert_int_eq(sdes_read_inline("", 0, &parts), SDES_RIGHT);
    ck_assert(parts.key_length == 0 && parts.lifetime == 0 && parts.mki_length == 0);
}
END_TEST

/* One more, in decimal. The text has room. */
static void increment(char *text)
{
    size_t i = strlen(text);

    while (i-- > 0) {
        if (text[i]++ != '9')
            return;
        text[i] = '0';
    }
    memmove(text + 1, text, strlen(text) + 1);
    text[0] = '1';
}

static void twice(char *text)
{
    unsigned carry = 0;

    for (size_t i = strlen(text); i-- > 0;) {
        carry += (unsigned)(text[i] - '0') * 2;
        text[i] = (char)('0' + carry % 10);
        carry /= 10;
    }
    if (carry) {
        memmove(text + 1, text, strlen(text) + 1);
        text[0] = '1';
    }
}

/* In so many octets, leading zeros before it. Returns what sdes_read_inline says. */
static enum sdes_wrong read_mki(const char *number, size_t octets, struct sdes_inline *parts)
{
    char text[512];
    int length = snprintf(text, sizeof(text), "KEY|%s:%zu", number, octets);

    return sdes_read_inline(text, (size_t)length, parts);
}

/* Of each length 2^(8 * octets), which is too much, its half, and the half and one. */
START_TEST(test_mki)
{
    char number[400] = "1", half[400];
    struct sdes_inline parts;

    for (size_t octets = 1; octets <= SRTP_MKI_MAX_OCTETS; octets++) {
        for (int bit = 0; bit < 7; bit++)
            twice(number);
        strcpy(half, number);
        twice(number);
        ck_assert_int_eq(read_mki(number, octets, &parts), SDES_WRONG_MKI);
        ck_assert_int_eq(read_mki(half, octets, &parts), SDES_RIGHT);
        ck_assert(parts.mki_length == octets && parts.mki[0] == 0x80);
        for (size_t i = 1; i < octets; i++)
            ck_assert_uint_eq(parts.mki[i], 0);
        increment(half);
        ck_assert_int_eq(read_mki(half, octets, &parts), SDES_RIGHT);
        ck_assert_uint_eq(parts.mki[octets - 1] & 1, 1);
    }
    ck_assert_int_eq(read_mki("12345678901234567890", 12, &parts), SDES_RIGHT);
    ck_assert(memcmp(parts.mki, "\0\0\0\0\xab\x54\xa9\x8c\xeb\x1f\x0a\xd2", 12) == 0);
    ck_assert_int_eq(read_mki("1234567890x", 12, &parts), SDES_WRONG_MKI);
    ck_assert_int_eq(read_mki("000000000000", 4, &parts), SDES_RIGHT);
    ck_assert_int_eq(read_mki("0000000000000", 4, &parts), SDES_WRONG_MKI);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sdes");
    TCase *tc = tcase_create("sdes");

    tcase_add_loop_test(tc, test_row, 0, sizeof(rows) / sizeof(rows[0]));
    tcase_add_test(tc, test_octets);
    tcase_add_loop_test(tc, test_untagged, 0, sizeof(untagged) / sizeof(untagged[0]));
    tcase_add_loop_test(tc, test_damaged, 0, sizeof(rows) / sizeof(rows[0]));
    tcase_add_test(tc, test_inline);
    tcase_add_test(tc, test_mki);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
