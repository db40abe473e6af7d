/* bencode and ngjson: the same values in two forms. */
#include "config.h"

#include "inner-relay/bencode.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "inner-relay/ngjson.h"
#include "tests/unit/unit.h"

/* A literal that may have NUL octets, and its length. */
#define TEXT(literal) literal, sizeof(literal) - 1

/* On the heap, as long as it is: a tool that watches the heap sees an octet too far. */
static int read_copy(bool json, const char *text, size_t length, json_t **value, char *error)
{
    char *copy = malloc(length ? length : 1);
    int rc;

    if (length > 0)
        memcpy(copy, text, length);
    rc = json ? ngjson_read(copy, length, value, error) : bencode_read(copy, length, value, error);
    free(copy);
    ck_assert_int_eq(rc == 0, *value != NULL);
    ck_assert_int_eq(rc == 0, error[0] == '\0');
    return rc;
}

static char *written(bool json, const json_t *value, size_t *length)
{
    char *text = NULL;
    FILE *to = open_memstream(&text, length);

    ck_assert_int_eq(json ? ngjson_write(value, to) : bencode_write(value, to), 0);
    fclose(to);
    return text;
}

/* What is read from text is written as out. */
static void check_form(bool json, const char *text, size_t length, const char *out,
                       size_t out_length)
{
    char error[BENCODE_ERROR_SIZE], *again;
    size_t again_length;
    json_t *value;

    ck_assert_msg(read_copy(json, text, length, &value, error) == 0, "%s: %s", text, error);
    again = written(json, value, &again_length);
    ck_assert_uint_eq(again_length, out_length);
    ck_assert_mem_eq(again, out, out_length);
    free(again);
    json_decref(value);
}

static const struct {
    const char *text;
    size_t length;
    const char *out; /* NULL: the same */
    size_t out_length;
} good[] = {
    {TEXT("0:"), NULL, 0},
    {TEXT("3:a:b"), NULL, 0},
    {TEXT("4:\0\xff\n\xe4"), NULL, 0},
    {TEXT("i0e"), NULL, 0},
    {TEXT("i-1e"), NULL, 0},
    {TEXT("i9223372036854775807e"), NULL, 0},
    {TEXT("i-9223372036854775807e"), NULL, 0},
    {TEXT("le"), NULL, 0},
    {TEXT("de"), NULL, 0},
    {TEXT("l1:ai5eld1:xleeee"), NULL, 0},
    {TEXT("d1:b1:x1:a1:ye"), NULL, 0},
    {TEXT("d13:received froml3:IP49:192.0.2.1e0:i7ee"), NULL, 0},
    {TEXT("d1:ai1e1:ai2ee"), TEXT("d1:ai1ee")},
};

START_TEST(test_good)
{
    const char *out = good[_i].out ? good[_i].out : good[_i].text;

    check_form(false, good[_i].text, good[_i].length, out,
               good[_i].out ? good[_i].out_length : good[_i].length);
}
END_TEST

static const struct {
    const char *text, *error;
} bad[] = {
    {"", "octet 0: it ends too early"},
    {"x", "octet 0: neither a string, a number, a list nor a dictionary"},
    {"-1:", "octet 0: neither a string, a number, a list nor a dictionary"},
    {"5:abc", "octet 0: a string of 5 octets, but 3 are left"},
    {"5", "octet 1: \":\" is missing"},
    {"05:abcde", "octet 0: a zero in front of a number"},
    {"65537:", "octet 0: the number is larger than 65536"},
    {"9223372036854775808:x", "octet 0: the number is larger than 65536"},
    {"99999999999999999999999999999999999999:x", "octet 0: the number is larger than 65536"},
    {"ie", "octet 1: a digit is missing"},
    {"i-e", "octet 2: a digit is missing"},
    {"i--1e", "octet 2: a digit is missing"},
    {"i-0e", "octet 0: minus zero"},
    {"i01e", "octet 1: a zero in front of a number"},
    {"i1", "octet 2: \"e\" is missing"},
    {"i1x", "octet 2: \"e\" is missing"},
    {"i9223372036854775808e", "octet 1: the number is larger than 9223372036854775807"},
    {"l", "octet 1: it ends too early"},
    {"ll", "octet 2: it ends too early"},
    {"d", "octet 1: a key is missing"},
    {"d1:a", "octet 4: it ends too early"},
    {"d1:ae", "octet 4: neither a string, a number, a list nor a dictionary"},
    {"di1ei2ee", "octet 1: a key is missing"},
    {"d1:a1:be1", "octet 8: something stands behind the end"},
    {"i1ei2e", "octet 3: something stands behind the end"},
    {"llllllllllllllllleeeeeeeeeeeeeeeee", "octet 16: nested more than 16 deep"},
};

START_TEST(test_bad)
{
    char error[BENCODE_ERROR_SIZE];
    json_t *value;

    ck_assert_int_lt(read_copy(false, bad[_i].text, strlen(bad[_i].text), &value, error), 0);
    ck_assert_str_eq(error, bad[_i].error);
}
END_TEST

START_TEST(test_key_with_nul)
{
    char error[BENCODE_ERROR_SIZE];
    json_t *value;

    ck_assert_int_lt(read_copy(false, TEXT("d3:a\0bi1ee"), &value, error), 0);
    ck_assert_str_eq(error, "octet 1: a key that is too long, or has a NUL octet");
}
END_TEST

/* A hostile depth, number of values, or size: refused before it costs anything. */
START_TEST(test_bounds)
{
    static const struct {
        bool json;
        const char *piece;
        size_t count;
        const char *error; /* its end */
    } rows[] = {
        {false, "l", 60000, "nested more than 16 deep"},
        {false, "d1:a", 15000, "nested more than 16 deep"},
        {true, "[", 60000, "nested more than 16 deep"},
        {true, "{\"a\":", 10000, "nested more than 16 deep"},
        {false, "l", 100000, "longer than 65536 octets"},
        {true, "[", 100000, "longer than 65536 octets"},
    };
    size_t piece = strlen(rows[_i].piece), length = piece * rows[_i].count;
    char error[BENCODE_ERROR_SIZE], *text = malloc(length + 1);
    json_t *value;

    for (size_t i = 0; i < rows[_i].count; i++)
        memcpy(text + i * piece, rows[_i].piece, piece + 1);
    ck_assert_int_lt(read_copy(rows[_i].json, text, length, &value, error), 0);
    ck_assert_msg(strstr(error, rows[_i].error) != NULL, "%s", error);
    free(text);
}
END_TEST

/* As many values as there may be, and one more. */
START_TEST(test_values)
{
    bool json = _i == 1;
    const char *item = json ? ",1" : "i1e";
    size_t size = strlen(item) * BENCODE_VALUES_MAX + 16;
    char error[BENCODE_ERROR_SIZE], *text = malloc(size);

    for (int more = 0; more < 2; more++) {
        size_t count = BENCODE_VALUES_MAX - 1 + (size_t)more, used;
        json_t *value;

        /* The list, or the first item, which has no comma, is one of them. */
        used = (size_t)snprintf(text, size, json ? "[1" : "l");
        for (size_t i = json ? 1 : 0; i < count; i++)
            used += (size_t)snprintf(text + used, size - used, "%s", item);
        used += (size_t)snprintf(text + used, size - used, json ? "]" : "e");
        ck_assert_int_eq(read_copy(json, text, used, &value, error) == 0, !more);
        if (more)
            ck_assert_msg(strstr(error, "more than 2048 values") != NULL, "%s", error);
        json_decref(value);
    }
    free(text);
}
END_TEST

static const struct {
    const char *text;
    size_t length;
    const char *out;
} json_good[] = {
    {TEXT("{\"a\": [1, -2, true, false, {}, []]}"), "{\"a\":[1,-2,true,false,{},[]]}"},
    {TEXT("\"\\u00e4\\/\\\\\\\"\\r\\n\\u001f\\u0001\\t\\ud83d\\ude00\""),
     "\"\xc3\xa4/\\\\\\\"\\r\\n\\u001f\\u0001\\u0009\xf0\x9f\x98\x80\""},
    {TEXT("\"[[[[[[[[[[[[[[[[[[[[[{\\\"[,,\""), "\"[[[[[[[[[[[[[[[[[[[[[{\\\"[,,\""},
};

START_TEST(test_json_good)
{
    check_form(true, json_good[_i].text, json_good[_i].length, json_good[_i].out,
               strlen(json_good[_i].out));
}
END_TEST

static const struct {
    const char *text;
    size_t length;
    const char *error; /* its end */
} json_bad[] = {
    {TEXT(""), "it ends too early"},
    {TEXT("{"), "it ends too early"},
    {TEXT("{\"a\":1}x"), "something stands behind the end"},
    {TEXT("{\"key\":x}"), "not JSON"},
    {TEXT("{\"a\":\"M\xfcller\"}"), "not UTF-8; bencode takes any octets"},
    {TEXT("{\"a\":\"\\u0000\"}"), "a NUL character"},
    {TEXT("{\"a\":99999999999999999999}"), "a number that is too large"},
};

START_TEST(test_json_bad)
{
    char error[BENCODE_ERROR_SIZE];
    json_t *value;

    ck_assert_int_lt(read_copy(true, json_bad[_i].text, json_bad[_i].length, &value, error), 0);
    ck_assert_msg(strncmp(error, "octet ", 6) == 0, "%s", error);
    ck_assert_msg(strstr(error, json_bad[_i].error) != NULL, "%s", error);
}
END_TEST

/* Octets that came by bencode are shown in JSON all the same. */
START_TEST(test_json_of_any_octets)
{
    static const struct {
        const char *octets;
        size_t length;
        const char *out;
    } rows[] = {
        {TEXT("M\xfcller"), "\"M\\ufffdller\""},
        {TEXT("\xc3"), "\"\\ufffd\""},
        {TEXT("\xc0\x80"), "\"\\ufffd\\ufffd\""},            /* a NUL in too many octets */
        {TEXT("\xed\xa0\x80"), "\"\\ufffd\\ufffd\\ufffd\""}, /* a surrogate */
        {TEXT("\xf4\x90\x80\x80"), "\"\\ufffd\\ufffd\\ufffd\\ufffd\""}, /* above U+10FFFF */
        {TEXT("\xf4\x8f\xbf\xbf\x7f"), "\"\xf4\x8f\xbf\xbf\x7f\""},
        {TEXT("\xff\0z"), "\"\\ufffd\\u0000z\""},
        {TEXT("a\"\\\n\r\t"), "\"a\\\"\\\\\\n\\r\\u0009\""},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        json_t *value = json_stringn_nocheck(rows[i].octets, rows[i].length);
        size_t length;
        char *text = written(true, value, &length);

        ck_assert_str_eq(text, rows[i].out);
        ck_assert_uint_eq(ngjson_string_octets(rows[i].octets, rows[i].length), length);
        free(text);
        json_decref(value);
    }
}
END_TEST

START_TEST(test_not_in_bencode)
{
    char *text = NULL;
    size_t length;
    FILE *to = open_memstream(&text, &length);
    json_t *value = json_pack("{s:n}", "a");

    ck_assert_int_eq(bencode_write(value, to), ERR_UNSUPPORTED);
    ck_assert_int_eq(ngjson_write(value, to), ERR_UNSUPPORTED);
    json_decref(value);
    fclose(to);
    free(text);
}
END_TEST

static const char request[] = "d3:sdp9:v=0\r\no=\xe4\n7:call-id3:a@b8:supportsl10:load "
                              "limite9:directionl8:internal8:external"
                              "e3:TOSi-184e6:nestedd1:xld1:yi0eeeee";

static const char json_request[] =
    "{\"sdp\":\"v=0\\r\\no=\\u00e4\xc3\xa4\",\"flags\":[\"a b\",1,true],\"n\":{\"x\":[{}]}}";

START_TEST(test_truncated)
{
    const char *text = _i ? json_request : request;
    char error[BENCODE_ERROR_SIZE];
    json_t *value;

    for (size_t length = 0; length < strlen(text); length++)
        ck_assert_int_lt(read_copy(_i, text, length, &value, error), 0);
    ck_assert_msg(read_copy(_i, text, strlen(text), &value, error) == 0, "%s", error);
    json_decref(value);
}
END_TEST

/* Refused with a place, or a value that is the same when it is written and read. */
START_TEST(test_bits)
{
    const char *text = _i ? json_request : request;
    size_t length = strlen(text), again_length;
    char error[BENCODE_ERROR_SIZE], *copy = strdup(text), *again;
    json_t *value, *second;

    for (size_t bit = 0; bit < 8 * length; bit++) {
        copy[bit / 8] = (char)(copy[bit / 8] ^ (1 << bit % 8));
        if (read_copy(_i, copy, length, &value, error) == 0 && !strstr(copy, "null")) {
            again = written(_i, value, &again_length);
            ck_assert_int_eq(read_copy(_i, again, again_length, &second, error), 0);
            ck_assert(json_equal(value, second));
            json_decref(second);
            free(again);
        }
        json_decref(value);
        copy[bit / 8] = (char)(copy[bit / 8] ^ (1 << bit % 8));
    }
    free(copy);
}
END_TEST

#define ROWS(rows) (sizeof(rows) / sizeof((rows)[0]))

int main(void)
{
    Suite *suite = suite_create("bencode");
    TCase *tc = tcase_create("bencode");

    tcase_add_loop_test(tc, test_good, 0, ROWS(good));
    tcase_add_loop_test(tc, test_bad, 0, ROWS(bad));
    tcase_add_test(tc, test_key_with_nul);
    tcase_add_loop_test(tc, test_bounds, 0, 6);
    tcase_add_loop_test(tc, test_values, 0, 2);
    tcase_add_loop_test(tc, test_json_good, 0, ROWS(json_good));
    tcase_add_loop_test(tc, test_json_bad, 0, ROWS(json_bad));
    tcase_add_test(tc, test_json_of_any_octets);
    tcase_add_test(tc, test_not_in_bencode);
    tcase_add_loop_test(tc, test_truncated, 0, 2);
    tcase_add_loop_test(tc, test_bits, 0, 2);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
