#include "common/tunnel/httpwire.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "tests/unit/unit.h"

static const struct {
    const char *chunks, *body; /* body NULL: these are no chunks */
    bool ended;
} rows[] = {
    {"", "", false},
    {"3\r\nabc\r\n", "abc", false},
    {"3\r\nabc\r\n1\r\nd", "abcd", false},
    {"000A;name=\"x\"\r\n0123456789\r\n", "0123456789", false},
    {"2 \r\nab\r\n0\r\n\r\n", "ab", true},
    {"2\r\nab\r\n0\r\nTrailer: x\r\n\r\nrest", "ab", true},
    {"\r\n", NULL, false},
    {"x\r\n", NULL, false},
    {"-1\r\n", NULL, false},
    {"0x1\r\n", NULL, false},
    {"1\na\r\n", NULL, false},
    {"1\r\nab\r\n", NULL, false},
    {"1\r\na\n", NULL, false},
    {"80000000\r\n", NULL, false},
    {"FFFFFFFFFFFFFFFF1\r\n", NULL, false},
    {"1;\x01\r\n", NULL, false},
};

/* However the octets are cut into pieces. */
START_TEST(test_read)
{
    size_t length = strlen(rows[_i].chunks);

    for (size_t piece = 1; piece <= length + 1; piece++) {
        struct httpwire_reader reader = {.left = 0};
        uint8_t body[64];
        size_t total = 0;
        int count = 0;

        for (size_t at = 0; count >= 0 && at < length; at += piece) {
            size_t octets = length - at < piece ? length - at : piece;
            uint8_t *copy = malloc(octets);

            ck_assert_ptr_nonnull(copy);
            memcpy(copy, rows[_i].chunks + at, octets);
            count = httpwire_read(&reader, copy, octets);
            if (count > 0) {
                memcpy(body + total, copy, (size_t)count);
                total += (size_t)count;
            }
            free(copy);
        }
        if (!rows[_i].body) {
            ck_assert_int_eq(count, ERR_INVALID);
            ck_assert_int_eq(httpwire_read(&reader, body, 1), ERR_INVALID);
            ck_assert(httpwire_broken(&reader));
            continue;
        }
        ck_assert(!httpwire_broken(&reader));
        ck_assert_int_ge(count, 0);
        ck_assert_uint_eq(total, strlen(rows[_i].body));
        ck_assert_int_eq(memcmp(body, rows[_i].body, total), 0);
        ck_assert_int_eq(httpwire_ended(&reader), rows[_i].ended);
    }
}
END_TEST

/* The line of a size has an end. */
START_TEST(test_long_line)
{
    struct httpwire_reader reader = {.left = 0};
    uint8_t octet;
    int result = 0, count = 0;

    for (; result == 0 && count < 1000; count++) {
        octet = '0';
        result = httpwire_read(&reader, &octet, 1);
    }
    ck_assert_int_eq(result, ERR_INVALID);
    ck_assert_int_eq(count, 257);
}
END_TEST

START_TEST(test_bits)
{
    static const char chunks[] = "5\r\nabcde\r\n1a\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\n\r\n";
    uint8_t copy[sizeof(chunks) - 1];

    for (size_t bit = 0; bit < 8 * sizeof(copy); bit++) {
        struct httpwire_reader reader = {.left = 0};
        int count;

        memcpy(copy, chunks, sizeof(copy));
        copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
        count = httpwire_read(&reader, copy, sizeof(copy));
        ck_assert(count == ERR_INVALID || (count >= 0 && count <= (int)sizeof(copy)));
    }
}
END_TEST

/* Takes at most limit octets of the parts, as a socket may. */
static size_t take(const struct iovec *parts, size_t count, size_t limit, uint8_t *out)
{
    size_t total = 0;

    for (size_t i = 0; i < count && total < limit; i++) {
        size_t octets = parts[i].iov_len < limit - total ? parts[i].iov_len : limit - total;

        memcpy(out + total, parts[i].iov_base, octets);
        total += octets;
    }
    return total;
}

/* What is written in whatever pieces is what is read again. */
START_TEST(test_write)
{
    uint8_t data[600], stream[4096];

    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 7);
    for (size_t limit = 1; limit < 40; limit++) {
        struct httpwire_writer writer = {.left = 0};
        struct httpwire_reader reader = {.left = 0};
        size_t at = 0, total = 0;

        /* Records of 100 octets: a caller goes on with the same one until it is taken. */
        while (at < sizeof(data)) {
            struct iovec parts[HTTPWIRE_PARTS];
            size_t count = httpwire_frame(&writer, data + at, 100 - at % 100, parts);
            size_t taken = take(parts, count, limit, stream + total);

            total += taken;
            at += httpwire_sent(&writer, taken);
            ck_assert_uint_lt(total, sizeof(stream) - limit);
        }
        ck_assert_int_eq(httpwire_read(&reader, stream, total), (int)sizeof(data));
        ck_assert_int_eq(memcmp(stream, data, sizeof(data)), 0);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("httpwire");
    TCase *tc = tcase_create("httpwire");

    tcase_add_loop_test(tc, test_read, 0, sizeof(rows) / sizeof(rows[0]));
    tcase_add_test(tc, test_long_line);
    tcase_add_test(tc, test_bits);
    tcase_add_test(tc, test_write);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
