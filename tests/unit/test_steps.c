#include "config.h"

#include "common/daemon/steps.h"

#include <stdio.h>
#include <string.h>

#include "common/base/err.h"
#include "tests/unit/unit.h"

/* Each step writes its letter when it starts, and the small one when it stops. */
struct trace {
    char text[64];
    char failing; /* the letter of the step that fails; 0: none */
};

static void write_letter(struct trace *trace, char letter)
{
    size_t used = strlen(trace->text);

    snprintf(trace->text + used, sizeof(trace->text) - used, "%c", letter);
}

static int start(struct trace *trace, char letter, char *error, size_t error_size)
{
    write_letter(trace, letter);
    if (trace->failing != letter)
        return 0;
    snprintf(error, error_size, "%c is wrong", letter);
    return ERR_FORBIDDEN;
}

#define STEP(letter, small)                                                                        \
    static int start_##small(void *ctx, char *error, size_t error_size)                            \
    {                                                                                              \
        return start(ctx, letter, error, error_size);                                              \
    }                                                                                              \
    static void stop_##small(void *ctx)                                                            \
    {                                                                                              \
        write_letter(ctx, #small[0]);                                                              \
    }
STEP('A', a)
STEP('B', b)
STEP('C', c)

static const struct step table[] = {
    {"first", start_a, stop_a},      {"no stop", start_b, NULL}, {"no start", NULL, stop_b},
    {"third step", start_c, stop_c}, {NULL, NULL, NULL},
};

static const struct {
    char failing;
    int code;
    const char *after_start, *after_stop, *error;
} rows[] = {
    {0, 0, "ABC", "ABCcba", ""},
    {'A', ERR_FORBIDDEN, "A", "A", "first: A is wrong"},
    {'B', ERR_FORBIDDEN, "ABa", "ABa", "no stop: B is wrong"},
    {'C', ERR_FORBIDDEN, "ABCba", "ABCba", "third step: C is wrong"},
};

START_TEST(test_rows)
{
    struct trace trace = {.failing = rows[_i].failing};
    char error[128] = "";
    struct steps steps;

    steps_init(&steps, table, &trace);
    ck_assert_int_eq(steps_start(&steps, error, sizeof(error)), rows[_i].code);
    ck_assert_str_eq(trace.text, rows[_i].after_start);
    ck_assert_str_eq(error, rows[_i].error);
    steps_stop(&steps);
    steps_stop(&steps);
    ck_assert_str_eq(trace.text, rows[_i].after_stop);
}
END_TEST

START_TEST(test_again)
{
    struct trace trace = {.failing = 'C'};
    char error[128];
    struct steps steps;

    steps_init(&steps, table, &trace);
    ck_assert_int_lt(steps_start(&steps, error, sizeof(error)), 0);
    trace = (struct trace){.failing = 0};
    ck_assert_int_eq(steps_start(&steps, error, sizeof(error)), 0);
    /* What runs is not run twice. */
    ck_assert_int_eq(steps_start(&steps, error, sizeof(error)), 0);
    steps_stop(&steps);
    ck_assert_str_eq(trace.text, "ABCcba");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("steps");
    TCase *tc = tcase_create("steps");

    tcase_add_loop_test(tc, test_rows, 0, sizeof(rows) / sizeof(rows[0]));
    tcase_add_test(tc, test_again);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
