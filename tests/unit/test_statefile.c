#include "inner-relay/statefile.h"

#include <ev.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/sa/table.h"
#include "common/tunnel/turn.h"
#include "inner-relay/state.h"
#include "tests/unit/core.h"
#include "tests/unit/unit.h"

enum { ROOM = 600, INTERVAL_US = 20000, PATIENCE_US = 20000000, FILE_SIZE = 1 << 20 };

static const uint64_t MAX_AGE_US = 600000000;

static char folder[64], path[128], path_new[136], log_path[128];
static int saved_stderr;
static struct ev_loop *loop;
static struct core core;
static struct statefile *statefile;

/* ------------------------------------------------------------ surroundings */

static void start_engine(void)
{
    ck_assert(core_start_engine());
}

static void on_changed(void *ctx)
{
    (void)ctx;
    if (statefile)
        statefile_changed(statefile);
}

static void on_deleted(void *ctx, uint64_t id)
{
    (void)ctx;
    if (statefile)
        statefile_deleted(statefile, id);
}

static void init_core(void)
{
    ck_assert(core_init(&core, ROOM));
    core.inner.hooks.changed = on_changed;
    core.inner.hooks.deleted = on_deleted;
}

static void setup(void)
{
    int fd;

    snprintf(folder, sizeof(folder), "/tmp/test_statefile.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/home/inner-relay.state", folder);
    snprintf(path_new, sizeof(path_new), "%s.new", path);
    snprintf(log_path, sizeof(log_path), "%s/log", folder);
    fd = open(log_path, O_RDWR | O_CREAT | O_APPEND, 0600);
    saved_stderr = dup(2);
    ck_assert_int_ge(dup2(fd, 2), 0);
    close(fd);
    log_open("test", LOG_TARGET_STDERR, LOG_LEVEL_INFO);
    ck_assert_int_eq(chdir(folder), 0);
    ck_assert_int_eq(mkdir("home", 0700), 0);
    umask(0); /* the mode is the file's own, not what the umask leaves of it */
    loop = ev_loop_new(EVFLAG_AUTO);
    ck_assert_ptr_nonnull(loop);
    statefile = NULL;
    init_core();
}

static int remove_one(const char *name, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(name);
}

static void teardown(void)
{
    statefile_close(statefile, false);
    statefile = NULL;
    core_fini(&core);
    ev_loop_destroy(loop);
    dup2(saved_stderr, 2);
    close(saved_stderr);
    ck_assert_int_eq(chdir("/"), 0);
    nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void open_file(void)
{
    statefile = statefile_open(loop, &core.inner, path, MAX_AGE_US, INTERVAL_US);
    ck_assert_ptr_nonnull(statefile);
}

static void add(unsigned n)
{
    struct admit_request request;

    core_request(&request, n);
    ck_assert_ptr_nonnull(core_add(&core, &request));
}

/* How often a text stands in the log. */
static unsigned logged(const char *text)
{
    static char all[65536];
    FILE *file = fopen(log_path, "r");
    size_t length = fread(all, 1, sizeof(all) - 1, file);
    unsigned count = 0;

    fclose(file);
    all[length] = '\0';
    for (const char *at = all; (at = strstr(at, text)) != NULL; at++)
        count++;
    return count;
}

/* ------------------------------------------------------------ the loop */

static void run_until(bool (*reached)(void))
{
    uint64_t end_us = clock_now_us() + PATIENCE_US;

    while (!reached()) {
        ck_assert_msg(clock_now_us() < end_us, "waited for too long");
        ev_run(loop, EVRUN_ONCE);
    }
}

static bool is_there(void)
{
    return access(path, F_OK) == 0;
}

static bool is_growing(void)
{
    struct stat st;

    return stat(path_new, &st) == 0 && st.st_size > 0;
}

/* Reads what is in place into a core of its own: it is whole at any time. */
static size_t saved_sas(uint64_t id, uint32_t *roc)
{
    static uint8_t data[FILE_SIZE];
    struct core reader;
    FILE *file = fopen(path, "r");
    size_t length = file ? fread(data, 1, sizeof(data), file) : 0;
    size_t count = SIZE_MAX;
    char error[192] = "";
    const struct sa *sa;

    if (!file)
        return SIZE_MAX;
    fclose(file);
    ck_assert(core_init(&reader, ROOM));
    ck_assert_msg(state_read(&reader.inner, data, length, MAX_AGE_US, clock_wall_us(), 1, &count,
                             error, sizeof(error)) == 0,
                  "%s", error);
    sa = id ? inner_find_sa(&reader.inner, id) : NULL;
    if (sa)
        *roc = index_roc(sa->stream[0].index.highest);
    core_fini(&reader);
    return count;
}

static bool holds_all(void)
{
    return saved_sas(0, NULL) == table_count(core.inner.table);
}

/* ------------------------------------------------------------ writing */

START_TEST(test_life)
{
    struct stat st;

    open_file();
    ck_assert(!is_there());
    add(0);
    add(1);
    run_until(is_there);
    ck_assert(holds_all());
    ck_assert_int_eq(lstat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode, S_IFREG | 0600);
    ck_assert_int_ne(access(path_new, F_OK), 0);

    inner_delete(&core.inner, inner_find_sa(&core.inner, 1), 1);
    run_until(holds_all);
    statefile_close(statefile, false);
    statefile = NULL;
    ck_assert(!is_there());
    ck_assert_uint_eq(logged("error"), 0);
}
END_TEST

/* Like after SIGKILL: nobody removes the file. */
START_TEST(test_restart)
{
    open_file();
    for (unsigned n = 0; n < 10; n++)
        add(n);
    run_until(holds_all);
    statefile_close(statefile, true);
    statefile = NULL;
    ck_assert(is_there());
    core_fini(&core);
    init_core();
    open_file();
    ck_assert_uint_eq(table_count(core.inner.table), 10);
    ck_assert_uint_eq(logged("10 SAs go on"), 1);
    /* The file stays until there is a newer one. */
    ck_assert(is_there());
    inner_delete(&core.inner, inner_find_sa(&core.inner, 3), 1);
    run_until(holds_all);
}
END_TEST

/* The whole time while it is written, and the old file is in place and whole. */
START_TEST(test_pieces)
{
    unsigned pieces = 0;
    struct stat st;

    open_file();
    add(0);
    run_until(is_there);
    for (unsigned n = 1; n < 500; n++)
        add(n);
    while (!holds_all()) {
        ev_run(loop, EVRUN_ONCE);
        if (stat(path_new, &st) < 0)
            continue;
        pieces++;
        ck_assert_uint_eq(st.st_mode, S_IFREG | 0600);
        ck_assert_uint_eq(saved_sas(0, NULL), 1);
    }
    ck_assert_uint_ge(pieces, 2);
}
END_TEST

static void use_up_turn(struct ev_loop *loop_, ev_check *check, int events)
{
    (void)check;
    (void)events;
    while (!turn_is_over(loop_)) {
    }
}

/* Where others use up each turn a piece is written in every fifth of them, not on top of each. */
START_TEST(test_busy_loop)
{
    off_t size = -1;
    unsigned turns = 0, pieces = 0;
    struct stat st;
    ev_check check;

    ev_check_init(&check, use_up_turn);
    ev_set_priority(&check, EV_MAXPRI);
    ev_check_start(loop, &check);
    for (unsigned n = 0; n < 500; n++)
        add(n);
    open_file();
    for (; !holds_all(); turns++) {
        ev_run(loop, EVRUN_ONCE);
        if (stat(path_new, &st) < 0 || st.st_size == size)
            continue;
        if (pieces++ > 0)
            ck_assert_uint_ge(turns, 5);
        size = st.st_size;
        turns = 0;
        ck_assert_uint_lt(pieces, 100);
    }
    ck_assert_uint_ge(pieces, 2);
    ev_check_stop(loop, &check);
}
END_TEST

START_TEST(test_deleted_meanwhile)
{
    open_file();
    for (unsigned n = 0; n < 500; n++)
        add(n);
    run_until(is_growing);
    ck_assert(!is_there());
    inner_delete(&core.inner, inner_find_sa(&core.inner, 1), 1);
    inner_delete(&core.inner, inner_find_sa(&core.inner, 500), 1);
    run_until(is_there);
    ck_assert_uint_eq(saved_sas(0, NULL), 498);
}
END_TEST

START_TEST(test_closed_meanwhile)
{
    open_file();
    for (unsigned n = 0; n < 500; n++)
        add(n);
    run_until(is_growing);
    statefile_close(statefile, false);
    statefile = NULL;
    ck_assert_int_ne(access(path_new, F_OK), 0);
    ck_assert(!is_there());
}
END_TEST

static bool roc_is_saved(void)
{
    uint32_t roc = 0;

    return saved_sas(1, &roc) == 1 && roc == 7;
}

/* Nothing was added or deleted, but packets came. */
START_TEST(test_interval)
{
    struct srtp_index *index;

    open_file();
    add(0);
    run_until(is_there);
    ck_assert(!roc_is_saved());
    index = &inner_find_sa(&core.inner, 1)->stream[0].index;
    *index = (struct srtp_index){.started = true, .highest = 7 << 16 | 1};
    run_until(roc_is_saved);
}
END_TEST

enum { OLD_OCTETS = 3500000, PIECE = 1024 * 1024 };

/* Whatever lies there is replaced; its pages are given back piece by piece, but for another name's.
 */
START_TEST(test_old_file_shrinks)
{
    bool linked = _i;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    off_t size = OLD_OCTETS;
    struct stat st;

    ck_assert_int_eq(ftruncate(fd, OLD_OCTETS), 0);
    if (linked)
        ck_assert_int_eq(link(path, "linked"), 0);
    open_file();
    add(0);
    while (fstat(fd, &st) == 0 && st.st_nlink > (nlink_t)linked)
        ev_run(loop, EVRUN_ONCE);
    ck_assert(holds_all());
    add(1);
    while (!holds_all()) {
        ev_run(loop, EVRUN_ONCE);
        ck_assert_int_eq(fstat(fd, &st), 0);
        ck_assert_int_ge(st.st_size, size - PIECE);
        size = st.st_size;
    }
    ck_assert_int_eq(size, linked ? OLD_OCTETS : OLD_OCTETS - 3 * PIECE);
    close(fd);
}
END_TEST

/* ------------------------------------------------------------ trouble */

static unsigned ticks;
static const char *expected;
static unsigned expected_count;

static bool some_ticks(void)
{
    return ticks > 10;
}

static void on_tick(struct ev_loop *ignored, ev_timer *timer, int events)
{
    (void)ignored;
    (void)timer;
    (void)events;
    ticks++;
}

/* Lets the file's own timer fire several times: what would be said again would be said now. Ticks
 * are counted, not turns of the loop: a file that puts its piece off uses turns up. */
static void run_a_while(void)
{
    ev_timer tick;

    ev_now_update(loop);
    ev_timer_init(&tick, on_tick, INTERVAL_US / 1e6, INTERVAL_US / 1e6);
    ev_timer_start(loop, &tick);
    ticks = 0;
    run_until(some_ticks);
    ev_timer_stop(loop, &tick);
}

static bool is_told(void)
{
    return logged(expected) >= expected_count;
}

static void run_until_told(const char *text, unsigned count)
{
    expected = text;
    expected_count = count;
    run_until(is_told);
    ck_assert_uint_eq(logged(text), count);
}

/* Also for SAs that were deleted while nothing could be written: they must not come back. */
START_TEST(test_folder_that_is_away)
{
    open_file();
    add(0);
    run_until(is_there);
    ck_assert_int_eq(rename("home", "away"), 0);
    run_until_told("calls would not survive a crash now", 1);
    add(1);
    run_a_while();
    inner_delete(&core.inner, inner_find_sa(&core.inner, 1), 1);
    inner_delete(&core.inner, inner_find_sa(&core.inner, 2), 1);
    run_a_while();
    ck_assert_uint_eq(logged("calls would not survive a crash now"), 1);
    ck_assert_uint_eq(logged(path), 1);

    ck_assert_int_eq(rename("away", "home"), 0);
    ck_assert_uint_eq(saved_sas(0, NULL), 1);
    run_until(holds_all);
    ck_assert_uint_eq(table_count(core.inner.table), 0);
    /* Trouble that comes back is told again. */
    add(2);
    run_until(holds_all);
    ck_assert_int_eq(rename("home", "away"), 0);
    run_until_told("calls would not survive a crash now", 2);
}
END_TEST

/* Where the file goes is a folder: it cannot be put into place. */
START_TEST(test_folder_in_the_way)
{
    ck_assert_int_eq(mkdir(path, 0700), 0);
    open_file();
    ck_assert_uint_eq(logged("is left out: it is not a regular file"), 1);
    add(0);
    run_until_told("cannot be put into place", 1);
    ck_assert_int_ne(access(path_new, F_OK), 0);
    ck_assert_int_eq(rmdir(path), 0);
    run_until(is_there);
    ck_assert(holds_all());
}
END_TEST

/* What somebody else left under the new file's name is not written into. */
START_TEST(test_link_in_the_way)
{
    struct stat st;

    ck_assert_int_eq(symlink("../victim", path_new), 0);
    open_file();
    add(0);
    run_until(is_there);
    ck_assert_int_ne(access("victim", F_OK), 0);
    ck_assert_int_eq(lstat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode, S_IFREG | 0600);
}
END_TEST

/* ------------------------------------------------------------ unfit files */

static void write_file(const char *name, int64_t ago_us, size_t cut)
{
    static uint8_t memory[64 * 1024];
    struct state_writer state;
    struct writer w;
    struct core writer_core;
    struct admit_request request;
    FILE *file = fopen(name, "w");

    ck_assert_ptr_nonnull(file);
    ck_assert(core_init(&writer_core, ROOM));
    core_request(&request, 1);
    ck_assert_ptr_nonnull(core_add(&writer_core, &request));
    writer_init(&w, memory, sizeof(memory));
    state_begin(&state, &writer_core.inner, clock_wall_us() - (uint64_t)ago_us, &w);
    ck_assert_int_eq(state_more(&state, &w), 0);
    ck_assert(state.finished && !w.failed);
    state_end(&state);
    ck_assert_uint_eq(fwrite(memory, writer_length(&w) - cut, 1, file), 1);
    fclose(file);
    ck_assert_int_eq(chmod(name, 0600), 0);
    core_fini(&writer_core);
}

static void make_fit(void)
{
    write_file(path, 1000000, 0);
}

static void make_group_readable(void)
{
    make_fit();
    ck_assert_int_eq(chmod(path, 0640), 0);
}

static void make_world_writable(void)
{
    make_fit();
    ck_assert_int_eq(chmod(path, 0602), 0);
}

static void make_owned(void)
{
    make_fit();
    ck_assert_int_eq(chown(path, 1, 1), 0);
}

static void make_link(void)
{
    write_file("home/elsewhere", 1000000, 0);
    ck_assert_int_eq(symlink("elsewhere", path), 0);
}

static void make_fifo(void)
{
    ck_assert_int_eq(mkfifo(path, 0600), 0);
}

static void make_old(void)
{
    write_file(path, 700000000, 0);
}

static void make_future(void)
{
    write_file(path, -60000000, 0);
}

static void make_short(void)
{
    write_file(path, 1000000, 1);
}

static void make_empty(void)
{
    FILE *file = fopen(path, "w");

    fclose(file);
    ck_assert_int_eq(chmod(path, 0600), 0);
}

static const struct {
    void (*make)(void);
    const char *says; /* NULL: fit */
    bool root_only;
} unfit[] = {
    {make_fit, NULL, false},
    {make_group_readable, "mode has to be 0600", false},
    {make_world_writable, "mode has to be 0600", false},
    {make_owned, "belongs to another user", true},
    {make_link, "symbolic link", false},
    {make_fifo, "not a regular file", false},
    {make_old, "older than", false},
    {make_future, "future", false},
    {make_short, "truncated", false},
    {make_empty, "not whole", false},
};

static ino_t unfit_inode;

static bool is_new(void)
{
    struct stat st;

    /* A file that is too old is removed at once: its keys are of no use. */
    return lstat(path, &st) == 0 && st.st_ino != unfit_inode;
}

/* Told once, and the daemon goes on without it: the next file is right. */
START_TEST(test_unfit)
{
    struct stat st;

    if (unfit[_i].root_only && geteuid() != 0)
        return;
    unfit[_i].make();
    ck_assert_int_eq(lstat(path, &st), 0);
    unfit_inode = st.st_ino;
    open_file();
    if (!unfit[_i].says) {
        ck_assert_uint_eq(table_count(core.inner.table), 1);
        ck_assert_uint_eq(logged("left out"), 0);
        return;
    }
    ck_assert_uint_eq(table_count(core.inner.table), 0);
    ck_assert_uint_eq(core.inner.next_id, 1);
    ck_assert_uint_eq(logged("left out"), 1);
    ck_assert_uint_eq(logged(unfit[_i].says), 1);
    add(5);
    add(6);
    run_until(is_new);
    ck_assert(holds_all());
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("statefile");
    TCase *tc = tcase_create("statefile");

    suite_add_tcase(suite, tc);
    tcase_set_timeout(tc, 60);
    tcase_add_unchecked_fixture(tc, start_engine, core_stop_engine);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, test_life);
    tcase_add_test(tc, test_restart);
    tcase_add_test(tc, test_pieces);
    tcase_add_test(tc, test_busy_loop);
    tcase_add_test(tc, test_deleted_meanwhile);
    tcase_add_test(tc, test_closed_meanwhile);
    tcase_add_test(tc, test_interval);
    tcase_add_loop_test(tc, test_old_file_shrinks, 0, 2);
    tcase_add_test(tc, test_folder_that_is_away);
    tcase_add_test(tc, test_folder_in_the_way);
    tcase_add_test(tc, test_link_in_the_way);
    tcase_add_loop_test(tc, test_unfit, 0, sizeof(unfit) / sizeof(unfit[0]));
    return unit_run(suite);
}
