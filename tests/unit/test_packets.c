#include "config.h" /* _GNU_SOURCE */

#include "tests/tools/packets.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/err.h"
#include "tests/tools/junk.h"
#include "tests/unit/unit.h"

static const char *const contents[] = {"one", "two", "", "one", "three"};
enum { CONTENTS = sizeof(contents) / sizeof(contents[0]) };

/* The path is valid until the next call. */
static const char *write_file(const uint8_t *extra, size_t extra_octets)
{
    static char path[64];
    FILE *file;

    strcpy(path, "/tmp/test_packets.XXXXXX");
    file = fdopen(mkstemp(path), "wb");
    ck_assert_ptr_nonnull(file);
    for (size_t i = 0; i < CONTENTS; i++)
        ck_assert(packets_append(file, (const uint8_t *)contents[i], strlen(contents[i])));
    if (extra_octets > 0)
        ck_assert_uint_eq(fwrite(extra, 1, extra_octets, file), extra_octets);
    ck_assert_int_eq(fclose(file), 0);
    return path;
}

static bool take(struct packets *packets, const char *text)
{
    return packets_take(packets, (const uint8_t *)text, strlen(text));
}

START_TEST(written_and_read)
{
    const char *path = write_file(NULL, 0), *error = NULL;
    struct packets packets;

    ck_assert_msg(packets_read(&packets, path, &error) == 0, "%s", error);
    unlink(path);
    ck_assert_uint_eq(packets.count, CONTENTS);
    for (size_t i = 0; i < CONTENTS; i++) {
        ck_assert_uint_eq(packets.list[i].length, strlen(contents[i]));
        ck_assert_int_eq(memcmp(packets.list[i].data, contents[i], strlen(contents[i])), 0);
    }
    ck_assert_uint_eq(packets_missing(&packets), 4);
    ck_assert(take(&packets, "one"));
    ck_assert(take(&packets, "one"));
    ck_assert(!take(&packets, "on"));
    ck_assert(!take(&packets, "one "));
    ck_assert(take(&packets, ""));
    ck_assert_uint_eq(packets_missing(&packets), 2);
    ck_assert(take(&packets, "two"));
    ck_assert(take(&packets, "three"));
    ck_assert_uint_eq(packets_missing(&packets), 0);
    packets_free(&packets);
}
END_TEST

START_TEST(cut_off)
{
    static const uint8_t extra[] = {0, 3, 'x', 'y'};
    const char *error = NULL;
    struct packets packets;

    for (size_t n = 1; n <= sizeof(extra); n++) {
        const char *path = write_file(extra, n);

        ck_assert_int_eq(packets_read(&packets, path, &error), ERR_TRUNCATED);
        ck_assert_ptr_nonnull(error);
        unlink(path);
    }
    ck_assert_int_eq(packets_read(&packets, "/nonexistent", &error), ERR_SYSTEM);
}
END_TEST

/* Each length from 0 to 64 is in the list, and the list is the same each time. */
START_TEST(junk)
{
    unsigned of_length[JUNK_MAX_OCTETS + 1] = {0};
    uint8_t a[JUNK_MAX_OCTETS] = {0}, b[JUNK_MAX_OCTETS] = {0};

    for (size_t n = 0; n < junk_count(); n++) {
        size_t length = junk_make(n, a);

        ck_assert_uint_le(length, JUNK_MAX_OCTETS);
        of_length[length]++;
        ck_assert_uint_eq(junk_make(n, b), length);
        ck_assert_int_eq(memcmp(a, b, length), 0);
    }
    for (size_t length = 0; length <= 64; length++)
        ck_assert_uint_ge(of_length[length], 2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("packets");
    TCase *tcase = tcase_create("packets");

    tcase_add_test(tcase, written_and_read);
    tcase_add_test(tcase, cut_off);
    tcase_add_test(tcase, junk);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
