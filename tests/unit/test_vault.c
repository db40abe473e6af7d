#include "common/base/vault.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/err.h"
#include "tests/unit/unit.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) && !defined(__SANITIZE_ADDRESS__)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

/* Reads what the sanitizer takes to be out of reach. */
#define UNCHECKED __attribute__((no_sanitize("address"), noinline))

/* Some chunks full of the smallest cells. */
enum { MANY = 10000, FILL = 0x5a };

static struct vault *make(size_t cell_octets)
{
    struct vault *vault = NULL;

    ck_assert_int_eq(vault_new(&vault, cell_octets), 0);
    ck_assert_ptr_nonnull(vault);
    ck_assert_uint_eq(vault_count(vault), 0);
    return vault;
}

UNCHECKED static size_t octets_set(const volatile uint8_t *p, size_t length)
{
    size_t n = 0;

    for (size_t i = 0; i < length; i++)
        n += p[i] != 0;
    return n;
}

/* In a process of its own; returns what waitpid says of it. */
static int in_child(int (*run)(void *), void *ctx)
{
    pid_t pid = fork();
    int status;

    ck_assert_int_ge(pid, 0);
    if (pid == 0)
        _exit(run(ctx));
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return status;
}

/* ------------------------------------------------------------ cells */

static const size_t sizes[] = {1, 63, 64, 65, 192, 1168, 4097, VAULT_CELL_MAX};

START_TEST(test_cells)
{
    size_t size = sizes[_i];
    struct vault *vault = make(size);
    uint8_t *cell[40];

    for (size_t i = 0; i < 40; i++) {
        cell[i] = vault_take(vault);
        ck_assert_ptr_nonnull(cell[i]);
        ck_assert_uint_eq((uintptr_t)cell[i] % VAULT_ALIGNMENT, 0);
        ck_assert_uint_eq(octets_set(cell[i], size), 0);
        memset(cell[i], (int)i + 1, size);
    }
    ck_assert_uint_eq(vault_count(vault), 40);
    /* No two of them overlap. */
    for (size_t i = 0; i < 40; i++) {
        for (size_t k = 0; k < size; k++)
            ck_assert_uint_eq(cell[i][k], i + 1);
        vault_give(vault, cell[i]);
    }
    ck_assert_uint_eq(vault_count(vault), 0);
    vault_give(vault, NULL);
    vault_free(vault);
}
END_TEST

START_TEST(test_sizes_refused)
{
    struct vault *vault = NULL;

    ck_assert_int_eq(vault_new(&vault, 0), ERR_NOMEM);
    ck_assert_int_eq(vault_new(&vault, VAULT_CELL_MAX + 1), ERR_NOMEM);
    ck_assert_ptr_null(vault);
    vault_free(NULL);
}
END_TEST

/* The chunk stays mapped, as another cell of it is taken. */
START_TEST(test_wiped)
{
    size_t size = sizes[_i] < 10000 ? sizes[_i] : 10000;
    struct vault *vault = make(size);
    uint8_t *other = vault_take(vault), *cell = vault_take(vault);

    memset(other, FILL, size);
    memset(cell, FILL, size);
    ck_assert_uint_eq(octets_set(cell, size), size);
    vault_give(vault, cell);
    ck_assert_uint_eq(octets_set(cell, size), 0);
    ck_assert_uint_eq(octets_set(other, size), size);
    ck_assert_ptr_eq(vault_take(vault), cell);
    vault_free(vault);
}
END_TEST

static void shuffle(void **list, size_t count)
{
    for (size_t i = count - 1; i > 0; i--) {
        size_t k = (size_t)random() % (i + 1);
        void *kept = list[i];

        list[i] = list[k];
        list[k] = kept;
    }
}

static size_t chunk_of(const void *cell)
{
    return (uintptr_t)cell >> 18;
}

/* Growth over several chunks, given back in a random order, and again. */
START_TEST(test_growth)
{
    const size_t count = unit_rounds(MANY);
    void **cell = calloc(count, sizeof(cell[0]));
    struct vault *vault = make(100);

    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < count; i++) {
            cell[i] = vault_take(vault);
            ck_assert_ptr_nonnull(cell[i]);
            ck_assert_uint_eq(octets_set(cell[i], 100), 0);
            memcpy(cell[i], &i, sizeof(i));
        }
        ck_assert_uint_eq(vault_count(vault), count);
        if (count == MANY)
            ck_assert_uint_ne(chunk_of(cell[0]), chunk_of(cell[count - 1]));
        for (size_t i = 0; i < count; i++)
            ck_assert_mem_eq(cell[i], &i, sizeof(i));
        shuffle(cell, count);
        /* Some of it comes back in between. */
        for (size_t i = 0; i < count; i++) {
            vault_give(vault, cell[i]);
            if (i % 3 == 0)
                vault_give(vault, vault_take(vault));
        }
        ck_assert_uint_eq(vault_count(vault), 0);
    }
    vault_free(vault);
    free(cell);
}
END_TEST

/* ------------------------------------------------------------ what the kernel says */

/* A number of /proc/self/status, in KiB. */
static unsigned long status_kib(const char *name)
{
    FILE *file = fopen("/proc/self/status", "re");
    size_t length = strlen(name);
    unsigned long value = 0;
    char line[256];

    ck_assert_ptr_nonnull(file);
    while (fgets(line, sizeof(line), file)) {
        if (strncmp(line, name, length) == 0)
            value = strtoul(line + length, NULL, 10);
    }
    fclose(file);
    return value;
}

/* The flags of the mapping that this address lies in. */
static void find_flags(const void *address, char flags[512])
{
    FILE *file = fopen("/proc/self/smaps", "re");
    unsigned long at = (unsigned long)(uintptr_t)address, from, to;
    bool inside = false;
    char line[512];

    ck_assert_ptr_nonnull(file);
    flags[0] = '\0';
    while (fgets(line, sizeof(line), file)) {
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            inside = from <= at && at < to;
        else if (inside && strncmp(line, "VmFlags:", 8) == 0)
            memcpy(flags, line + 8, sizeof(line) - 8);
    }
    fclose(file);
}

START_TEST(test_flags)
{
    unsigned long before = status_kib("VmLck:");
    struct vault *vault = make(1024);
    void *cell = vault_take(vault);
    char flags[512];

    find_flags(cell, flags);
    ck_assert_ptr_nonnull(strstr(flags, " dd"));
    ck_assert_ptr_nonnull(strstr(flags, " wf"));
#ifndef __SANITIZE_ADDRESS__ /* which takes mlock away */
    /* The usual limit is 8 MiB; where there is less than two chunks, the next test says it all. */
    if (vault_is_locked(vault)) {
        ck_assert_ptr_nonnull(strstr(flags, " lo"));
        unsigned long per_chunk = status_kib("VmLck:") - before;

        ck_assert_uint_ge(per_chunk, 128);
        ck_assert_uint_le(per_chunk, 256);
        for (size_t i = 0; i < 256; i++)
            vault_take(vault);
        if (vault_is_locked(vault))
            ck_assert_uint_eq(status_kib("VmLck:") - before, 2 * per_chunk);
    }
#endif
    vault_free(vault);
    ck_assert_uint_eq(status_kib("VmLck:"), before);
}
END_TEST

#ifndef __SANITIZE_ADDRESS__
/* A limit of 0 binds whoever has no CAP_IPC_LOCK; giving up root gives up that, too. */
static int refused_lock(void *ctx)
{
    const struct rlimit none = {0, 0};
    struct vault *vault = NULL;
    uint8_t *cell;

    (void)ctx;
    if (setrlimit(RLIMIT_MEMLOCK, &none) < 0)
        return 1;
    if (geteuid() == 0 && setresuid(65534, 65534, 65534) < 0)
        return 2;
    if (vault_new(&vault, 1024) < 0)
        return 3;
    if (vault_is_locked(vault))
        return 4;
    cell = vault_take(vault);
    if (!cell || octets_set(cell, 1024) != 0)
        return 5;
    memset(cell, FILL, 1024);
    vault_give(vault, cell);
    if (octets_set(cell, 1024) != 0 || vault_is_locked(vault))
        return 6;
    vault_free(vault);
    return 0;
}

START_TEST(test_lock_refused)
{
    ck_assert_int_eq(in_child(refused_lock, NULL), 0);
}
END_TEST
#endif

static int count_set(void *cell)
{
    return octets_set(cell, 64) == 0 ? 0 : 1;
}

START_TEST(test_fork)
{
    struct vault *vault = make(64);
    uint8_t *cell = vault_take(vault);

    memset(cell, FILL, 64);
    ck_assert_int_eq(in_child(count_set, cell), 0);
    ck_assert_uint_eq(octets_set(cell, 64), 64);
    vault_give(vault, cell);
    vault_free(vault);
}
END_TEST

/* ------------------------------------------------------------ wrong use */

static struct vault *pair[2]; /* constant in each child */

static int give_twice(void *cell)
{
    vault_give(pair[0], cell);
    vault_give(pair[0], cell);
    return 0;
}

static int give_inside(void *cell)
{
    vault_give(pair[0], (uint8_t *)cell + VAULT_ALIGNMENT);
    return 0;
}

static int give_to_other(void *cell)
{
    vault_give(pair[1], cell);
    return 0;
}

static int give_once(void *cell)
{
    vault_give(pair[0], cell);
    return 0;
}

static int (*const wrong[])(void *) = {give_twice, give_inside, give_to_other};

START_TEST(test_wrong_use)
{
    const struct rlimit none = {0, 0};
    void *cell;
    int status;

    setrlimit(RLIMIT_CORE, &none);
    pair[0] = make(128);
    pair[1] = make(128);
    cell = vault_take(pair[0]);
    vault_take(pair[0]); /* so that the chunk stays */
    vault_take(pair[1]);
    status = in_child(wrong[_i], cell);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    ck_assert_int_eq(in_child(give_once, cell), 0);
    vault_free(pair[0]);
    vault_free(pair[1]);
}
END_TEST

#ifdef __SANITIZE_ADDRESS__
START_TEST(test_poison)
{
    struct vault *vault = make(100);
    uint8_t *cell = vault_take(vault);

    ck_assert(!__asan_address_is_poisoned(cell));
    vault_take(vault);
    vault_give(vault, cell);
    ck_assert(__asan_address_is_poisoned(cell));
    ck_assert_ptr_eq(vault_take(vault), cell);
    ck_assert(!__asan_address_is_poisoned(cell));
    vault_free(vault);
}
END_TEST
#endif

int main(void)
{
    Suite *suite = suite_create("vault");
    TCase *tc = tcase_create("vault");
    const int size_count = (int)(sizeof(sizes) / sizeof(sizes[0]));

    tcase_add_loop_test(tc, test_cells, 0, size_count);
    tcase_add_test(tc, test_sizes_refused);
    tcase_add_loop_test(tc, test_wiped, 0, size_count);
    tcase_add_test(tc, test_growth);
    tcase_add_test(tc, test_flags);
    tcase_add_test(tc, test_fork);
    tcase_add_loop_test(tc, test_wrong_use, 0, (int)(sizeof(wrong) / sizeof(wrong[0])));
#ifdef __SANITIZE_ADDRESS__
    tcase_add_test(tc, test_poison);
#else
    tcase_add_test(tc, test_lock_refused);
#endif
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
