/* The words of the counters, the errors of sending, and what rtp-prime(1) says of them. */
#include "rtp-prime/fate.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"

enum { LINE_SIZE = 512 };

START_TEST(test_sending)
{
    static const struct {
        int error;
        enum fate fate;
    } rows[] = {
        {0, FATE_PASSED},           {EMSGSIZE, FATE_TOO_BIG},
        {EAGAIN, FATE_SOCKET_FULL}, {ENOBUFS, FATE_SOCKET_FULL},
        {ENOMEM, FATE_SOCKET_FULL}, {ENETUNREACH, FATE_UNREACHABLE},
        {EPERM, FATE_UNREACHABLE}, /* a local firewall */
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        ck_assert_int_eq(fate_of_sending(rows[i].error), rows[i].fate);
}
END_TEST

START_TEST(test_print)
{
    struct fate_counts counts = {0};
    char *text = NULL;
    size_t length;
    FILE *to = open_memstream(&text, &length);

    ck_assert_ptr_nonnull(to);
    fate_print(&counts, "here", to);
    counts.received = 12;
    counts.n[FATE_SOCKET_FULL] = 1;
    counts.n[FATE_PASSED] = 11;
    fate_print(&counts, "there", to);
    fclose(to);
    ck_assert_str_eq(text, "here packets=0\nthere packets=12 passed=11 socket-full=1\n");
    free(text);
}
END_TEST

/* ".B WORD" and the text in the next line, for each, in this order, below ".SH COUNTERS". */
START_TEST(test_page)
{
    const char *top = getenv("TEST_TOP_SRCDIR");
    char path[4096], line[LINE_SIZE], wanted[LINE_SIZE];
    bool below = false, text_follows = false;
    unsigned at = 0;
    FILE *page;

    snprintf(path, sizeof(path), "%s/man/rtp-prime.1", top ? top : ".");
    page = fopen(path, "r");
    ck_assert_msg(page != NULL, "%s cannot be opened", path);
    while (fgets(line, sizeof(line), page)) {
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, ".SH ", 4) == 0)
            below = strcmp(line, ".SH COUNTERS") == 0;
        if (text_follows) {
            ck_assert_str_eq(line, fate_text((enum fate)at++));
            text_follows = false;
        } else if (below && strncmp(line, ".B ", 3) == 0) {
            ck_assert_uint_lt(at, FATE_COUNT);
            snprintf(wanted, sizeof(wanted), ".B %s", fate_name((enum fate)at));
            ck_assert_str_eq(line, wanted);
            text_follows = true;
        }
    }
    fclose(page);
    ck_assert_uint_eq(at, FATE_COUNT);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fate");
    TCase *tc = tcase_create("fate");

    tcase_add_test(tc, test_sending);
    tcase_add_test(tc, test_print);
    tcase_add_test(tc, test_page);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
