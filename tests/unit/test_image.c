#include "config.h" /* _GNU_SOURCE */

#include "tests/tools/image.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/unit.h"

/* The shadow of AddressSanitizer has 20 TB. */
#if defined(__SANITIZE_ADDRESS__)
enum { SANITIZED = 1 };
#elif defined(__has_feature)
enum { SANITIZED = __has_feature(address_sanitizer) };
#else
enum { SANITIZED = 0 };
#endif

/* ------------------------------------------------------------ needles */

static const struct {
    const char *line;
    bool good;
    size_t length;
} lines[] = {
    {"a 0011223344556677", true, 8},
    {"a 0011223344556677\n", true, 8},
    {"sa.1 00112233445566778899AAbbCCddEEff", true, 16},
    {"a 00112233445566", false, 0},
    {"a 001122334455667", false, 0},
    {"a 00112233445566770", false, 0},
    {"a 0011223344556677 ", false, 0},
    {"a 00112233445566g7", false, 0},
    {"a  0011223344556677", false, 0},
    {" 0011223344556677", false, 0},
    {"0011223344556677", false, 0},
    {"", false, 0},
};

START_TEST(test_lines)
{
    struct needles needles;

    needles_init(&needles);
    ck_assert(needles_add(&needles, lines[_i].line) == lines[_i].good);
    ck_assert_uint_eq(needles.count, lines[_i].good);
    if (lines[_i].good) {
        ck_assert_uint_eq(needles.list[0].length, lines[_i].length);
        ck_assert_uint_eq(needles.list[0].octets[7], 0x77);
    }
    needles_fini(&needles);
}
END_TEST

/* ------------------------------------------------------------ a process to look into */

enum {
    NEEDLE_OCTETS = 16,
    /* One needle at each place around the border of two windows, each in a mapping of its own. */
    BORDER_FIRST = IMAGE_WINDOW - NEEDLE_OCTETS - 2,
    BORDERS = NEEDLE_OCTETS + 4,
    BORDER_OCTETS = IMAGE_WINDOW + 4096,
    HEAP = BORDERS,
    STACK,
    LOCKED,
    FIRST, /* octets of a mapping, and the last ones */
    LAST,
    WIPED, /* written and overwritten */
    NEVER,
    NEEDLES,
};

/*
 * The child has the memory of its parent: so a needle as such is made only in its place, octet by
 * octet, and in the parent after the fork.
 */
static uint8_t octet_of(unsigned needle, size_t i)
{
    uint32_t x = (uint32_t)(needle * NEEDLE_OCTETS + i + 1) * 2654435761u;

    return (uint8_t)(x >> 13 ^ x >> 24);
}

__attribute__((noinline)) static void write_needle(volatile uint8_t *to, unsigned needle)
{
    for (size_t i = 0; i < NEEDLE_OCTETS; i++)
        to[i] = octet_of(needle, i);
}

/* Shared, so that it does not become one with its neighbour. */
static uint8_t *own_mapping(size_t octets)
{
    uint8_t *memory = mmap(NULL, octets, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        _exit(1);
    return memory;
}

_Noreturn static void be_searched(int ready)
{
    volatile uint8_t on_stack[NEEDLE_OCTETS];
    volatile uint8_t *heap = malloc(NEEDLE_OCTETS), *locked = own_mapping(4096);
    volatile uint8_t *ends = own_mapping(8192);

    for (unsigned i = 0; i < BORDERS; i++)
        write_needle(own_mapping(BORDER_OCTETS) + BORDER_FIRST + i, i);
    write_needle(heap, HEAP);
    write_needle(on_stack, STACK);
    if (mlock((void *)locked, 4096) < 0 || madvise((void *)locked, 4096, MADV_DONTDUMP) < 0)
        _exit(1);
    write_needle(locked, LOCKED);
    write_needle(ends, FIRST);
    write_needle(ends + 8192 - NEEDLE_OCTETS, LAST);
    write_needle(ends + 4096, WIPED);
    for (size_t i = 0; i < NEEDLE_OCTETS; i++)
        ends[4096 + i] = 0;
    if (write(ready, "", 1) != 1)
        _exit(1);
    for (;;) {
        pause();
        write_needle(on_stack, STACK); /* so that its place stays its own */
    }
}

static void add_needle(struct needles *needles, unsigned needle)
{
    char line[64];
    int n = snprintf(line, sizeof(line), "n%u ", needle);

    for (size_t i = 0; i < NEEDLE_OCTETS; i++)
        n += snprintf(line + n, sizeof(line) - (size_t)n, "%02x", octet_of(needle, i));
    ck_assert(needles_add(needles, line));
}

static void on_found(void *ctx, const struct image_place *place)
{
    uint64_t *called = ctx;
    unsigned long from, to;

    ++*called;
    ck_assert_int_eq(sscanf(place->mapping, "%lx-%lx ", &from, &to), 2);
    ck_assert(place->address >= from && place->address + NEEDLE_OCTETS <= to);
    ck_assert_uint_eq(place->needle->length, NEEDLE_OCTETS);
}

static void check_counts(const struct needles *needles)
{
    for (unsigned i = 0; i < NEEDLES; i++)
        ck_assert_msg(needles->list[i].found == (i < WIPED), "%s was found %llu times",
                      needles->list[i].name, (unsigned long long)needles->list[i].found);
}

START_TEST(test_search)
{
    struct image_result result;
    struct needles needles;
    uint64_t called = 0;
    int ends[2], searched;
    char octet;
    pid_t pid;

    ck_assert_int_eq(pipe(ends), 0);
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0)
        be_searched(ends[1]);
    close(ends[1]);
    ck_assert_int_eq(read(ends[0], &octet, 1), 1);
    needles_init(&needles);
    for (unsigned i = 0; i < NEEDLES; i++)
        add_needle(&needles, i);
    searched = image_search(pid, &needles, on_found, &called, &result);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    ck_assert_msg(searched == 0, "%s", strerror(errno));
    ck_assert_uint_eq(result.unreadable, 0);
    ck_assert_uint_ge(result.mappings, BORDERS + 5);
    check_counts(&needles);
    ck_assert_uint_eq(needles_found(&needles), WIPED);
    ck_assert_uint_eq(result.places, called);
    ck_assert_uint_eq(called, WIPED);
    needles_fini(&needles);
    close(ends[0]);
}
END_TEST

START_TEST(test_no_process)
{
    struct image_result result;
    struct needles needles;
    pid_t pid = fork();

    ck_assert_int_ge(pid, 0);
    if (pid == 0)
        _exit(0);
    waitpid(pid, NULL, 0);
    needles_init(&needles);
    add_needle(&needles, 0);
    ck_assert_int_lt(image_search(pid, &needles, on_found, NULL, &result), 0);
    ck_assert_int_ne(errno, 0);
    needles_fini(&needles);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("image");
    TCase *tc = tcase_create("image");

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, test_lines, 0, sizeof(lines) / sizeof(lines[0]));
    if (!SANITIZED)
        tcase_add_test(tc, test_search);
    tcase_add_test(tc, test_no_process);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
