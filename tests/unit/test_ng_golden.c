/*
 * What Kamailio and OpenSIPS are told, octet by octet: their requests (tests/unit/ng), the real
 * calls, and the whole reply to each (tests/unit/ng/replies). A reply that is meant to change is
 * changed there.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/sa/table.h"
#include "inner-relay/calls.h"
#include "inner-relay/ng.h"
#include "tests/unit/core.h"
#include "tests/unit/unit.h"

#define SECOND UINT64_C(1000000)
#define WALL   (1795271820 * SECOND + 7)

enum { TEXT_MAX = 65536 };

/*
 * One after the other, as in a call, and how many SAs there are then. kamailio-query is made after
 * the others, which came from Kamailio.
 */
static const struct {
    const char *name;
    size_t sas;
} steps[] = {
    {"kamailio-ping", 0},
    {"kamailio-offer", 0},
    {"kamailio-answer", 2},
    {"kamailio-hold", 2},
    {"kamailio-offer-of-callee", 2},
    {"kamailio-answer-of-caller", 2},
    {"kamailio-query", 2},
    {"kamailio-delete-of-callee", 2}, /* of another call, which is not there */
    {"kamailio-delete", 0},
    {"kamailio-late-offer", 0},
    {"kamailio-late-answer", 0}, /* an error: both are outside, and the offer did not say so */
    {"opensips-ping", 0},
    {"opensips-offer", 0},
    {"opensips-answer", 2},
    {"opensips-delete", 0},
};

static size_t read_text(const char *folder, const char *name, char *out)
{
    const char *top = getenv("TEST_TOP_SRCDIR");
    char path[4096];
    size_t length;
    FILE *file;

    snprintf(path, sizeof(path), "%s/tests/unit/ng%s/%s", top ? top : ".", folder, name);
    file = fopen(path, "rb");
    ck_assert_msg(file != NULL, "%s cannot be opened", path);
    length = fread(out, 1, TEXT_MAX, file);
    fclose(file);
    return length;
}

static void do_step(struct ng *ng, unsigned number)
{
    static char request[TEXT_MAX], wanted[TEXT_MAX];
    const char *name = steps[number].name;
    size_t length = read_text("", name, request), size = 0;
    size_t wanted_length = read_text("/replies", name, wanted);
    struct ng_asker asker = {.socket = 0};
    char *got = ng_answer(ng, &asker, request, length, WALL + number * SECOND,
                          (1000 + number) * SECOND, &size);

    ck_assert_ptr_nonnull(got);
    ck_assert_msg(size == wanted_length && memcmp(got, wanted, size) == 0,
                  "%s\ngot:    %.*s\nwanted: %.*s", name, (int)size, got, (int)wanted_length,
                  wanted);
    ng_reply_free(got, size);
}

START_TEST(test_replies)
{
    struct call_options options = {.offer_timeout_us = 3600 * SECOND, .max_calls = 8};
    struct calls *calls;
    struct core core;
    struct ng *ng;

    ck_assert(core_init(&core, 32));
    core_introduce(&core, 0, 100, 100);
    core.inner.options.learns_ssrcs = true;
    core.inner.options.source_policy = SOURCE_HINTED;
    calls = calls_new(&core.inner, &options);
    ck_assert_ptr_nonnull(calls);
    ng = ng_new(&core.inner, calls, 1000 * SECOND);
    ck_assert_ptr_nonnull(ng);
    for (unsigned i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        do_step(ng, i);
        ck_assert_msg(table_count(core.inner.table) == steps[i].sas, "%s: %zu SAs", steps[i].name,
                      table_count(core.inner.table));
    }
    ng_free(ng);
    calls_free(calls);
    core_fini(&core);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ng golden");
    TCase *tc = tcase_create("golden");
    int result;

    if (!core_start_engine())
        return 1;
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, test_replies);
    suite_add_tcase(suite, tc);
    result = unit_run(suite);
    core_stop_engine();
    return result;
}
