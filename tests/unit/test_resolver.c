#include "common/tunnel/resolver.h"

#include <dirent.h>
#include <ev.h>
#include <string.h>

#include "common/base/err.h"
#include "tests/unit/unit.h"

struct answer {
    struct ev_loop *loop;
    struct resolver *resolver;
    unsigned calls;
    struct addr addrs[RESOLVER_MAX_ADDRS];
    size_t count;
    char error[512];
    bool free_inside;
    const char *then; /* asked for from inside the first answer */
};

static void on_answer(void *ctx, const struct addr *addrs, size_t count, const char *error)
{
    struct answer *answer = ctx;

    answer->calls++;
    answer->count = count;
    if (count > 0)
        memcpy(answer->addrs, addrs, count * sizeof(*addrs));
    ck_assert_int_eq(error == NULL, count > 0);
    strncpy(answer->error, error ? error : "", sizeof(answer->error) - 1);
    if (answer->free_inside) {
        resolver_free(answer->resolver);
        answer->resolver = NULL;
    }
    if (answer->then) {
        ck_assert_int_eq(resolver_start(answer->resolver, answer->then, 1), 0);
        answer->then = NULL;
        return;
    }
    ev_break(answer->loop, EVBREAK_ALL);
}

static void setup(struct answer *answer)
{
    memset(answer, 0, sizeof(*answer));
    answer->loop = ev_loop_new(EVFLAG_AUTO);
    answer->resolver = resolver_new(answer->loop, on_answer, answer);
    ck_assert_ptr_nonnull(answer->resolver);
}

static void teardown(struct answer *answer)
{
    resolver_free(answer->resolver);
    ev_loop_destroy(answer->loop);
}

static void ask(struct answer *answer, const char *host, uint16_t port)
{
    unsigned before = answer->calls;

    ck_assert_int_eq(resolver_start(answer->resolver, host, port), 0);
    ck_assert_uint_eq(answer->calls, before); /* never from inside resolver_start */
    ck_assert_int_eq(resolver_start(answer->resolver, host, port), ERR_AGAIN);
    ev_run(answer->loop, 0);
    ck_assert_uint_eq(answer->calls, before + 1);
}

static const struct {
    const char *host;
    uint16_t port;
    const char *want;
} numeric[] = {
    {"192.0.2.1", 4600, "192.0.2.1:4600"},
    {"2001:db8::1", 4601, "[2001:db8::1]:4601"},
    {"::ffff:192.0.2.2", 4602, "192.0.2.2:4602"},
};

START_TEST(numeric_address)
{
    struct answer answer;
    char text[ADDR_TEXT_SIZE];

    setup(&answer);
    ask(&answer, numeric[_i].host, numeric[_i].port);
    ck_assert_uint_eq(answer.count, 1);
    ck_assert_str_eq(addr_format(&answer.addrs[0], text, sizeof(text)), numeric[_i].want);
    teardown(&answer);
}
END_TEST

START_TEST(localhost)
{
    struct answer answer;

    setup(&answer);
    for (uint16_t round = 1; round <= 3; round++) {
        ask(&answer, "localhost", round);
        ck_assert_uint_ge(answer.count, 1);
        for (size_t i = 0; i < answer.count; i++) {
            ck_assert_int_eq(addr_kind(&answer.addrs[i]), ADDR_LOOPBACK);
            ck_assert_uint_eq(answer.addrs[i].port, round);
        }
    }
    teardown(&answer);
}
END_TEST

/* Names that no name server is asked about, so that the test needs none. */
static const char *const unresolvable[] = {
    "a-label-of-more-than-sixty-three-characters-cannot-be-in-the-name-system.example",
    "not a host name",
    "",
};

START_TEST(unresolvable_name)
{
    struct answer answer;

    setup(&answer);
    ask(&answer, unresolvable[_i], 4600);
    ck_assert_uint_eq(answer.count, 0);
    ck_assert_ptr_nonnull(strstr(answer.error, "cannot resolve"));
    ck_assert_ptr_nonnull(strstr(answer.error, unresolvable[_i]));
    teardown(&answer);
}
END_TEST

START_TEST(name_too_long)
{
    struct answer answer;
    char host[400];

    memset(host, 'a', sizeof(host));
    host[sizeof(host) - 1] = '\0';
    setup(&answer);
    ck_assert_int_eq(resolver_start(answer.resolver, host, 1), ERR_TOO_LONG);
    ask(&answer, "127.0.0.1", 1); /* the refusal left nothing behind */
    teardown(&answer);
}
END_TEST

START_TEST(start_and_free_in_the_answer)
{
    struct answer answer;

    setup(&answer);
    answer.then = "localhost";
    ck_assert_int_eq(resolver_start(answer.resolver, "127.0.0.1", 1), 0);
    ev_run(answer.loop, 0);
    ck_assert_uint_eq(answer.calls, 2);
    answer.free_inside = true;
    ck_assert_int_eq(resolver_start(answer.resolver, "localhost", 1), 0);
    ev_run(answer.loop, 0);
    ck_assert_uint_eq(answer.calls, 3);
    ck_assert_ptr_null(answer.resolver);
    teardown(&answer);
}
END_TEST

static unsigned threads(void)
{
    DIR *dir = opendir("/proc/self/task");
    struct dirent *entry;
    unsigned n = 0;

    ck_assert_ptr_nonnull(dir);
    while ((entry = readdir(dir)))
        n += entry->d_name[0] != '.';
    closedir(dir);
    return n;
}

/* Also those of earlier tests: they would end after the program, and their stacks count as lost. */
static void await_threads(void)
{
    while (threads() > 1)
        ev_sleep(0.001);
}

/* No answer comes, and the thread, which ends when it likes, touches nothing that is gone. */
START_TEST(free_during_a_look_up)
{
    struct answer answer;

    for (unsigned i = 0; i < 50; i++) {
        setup(&answer);
        ck_assert_int_eq(resolver_start(answer.resolver, i % 5 ? "localhost" : "127.0.0.1", 1), 0);
        resolver_free(answer.resolver);
        answer.resolver = NULL;
        ev_run(answer.loop, EVRUN_NOWAIT);
        ck_assert_uint_eq(answer.calls, 0);
        teardown(&answer);
    }
    await_threads();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("resolver");
    TCase *tcase = tcase_create("resolver");

    tcase_set_timeout(tcase, 30);
    tcase_add_loop_test(tcase, numeric_address, 0, sizeof(numeric) / sizeof(numeric[0]));
    tcase_add_test(tcase, localhost);
    tcase_add_loop_test(tcase, unresolvable_name, 0,
                        sizeof(unresolvable) / sizeof(unresolvable[0]));
    tcase_add_test(tcase, name_too_long);
    tcase_add_test(tcase, start_and_free_in_the_answer);
    tcase_add_test(tcase, free_during_a_look_up);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
