#define LOG_MODULE "state"
#include "inner-relay/statefile.h"

#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/random.h"
#include "common/sa/table.h"
#include "common/tunnel/turn.h"
#include "inner-relay/state.h"

enum {
    /* What one turn of the loop writes: about 100 SAs, well under a millisecond. */
    PIECE_OCTETS = 64 * 1024,
    /* To free the pages of a file with 20,000 SAs takes half a millisecond: not all in one turn. */
    SHRINK_OCTETS = 1024 * 1024,
    FILE_MAX_OCTETS = 1 << 30,
    /* So many turns in a row that others have used up go by without a piece, and no more. */
    PUT_OFF_MAX = 4,
};

static const double SOON_S = 0.1;
static const double NEXT_PIECE_S = 0.001;

struct statefile {
    struct ev_loop *loop;
    struct inner *inner;
    const char *path;
    char path_new[PATH_MAX];
    double interval_s;
    ev_timer timer;
    int fd;  /* of the new file while it is written; -1 otherwise */
    int old; /* of the file whose place it took, while that shrinks; -1 otherwise */
    off_t old_size;
    unsigned put_off; /* turns in a row */
    bool changed;     /* since the writing began */
    bool failing;     /* the last attempt failed, and was reported */
    struct state_writer writer;
    uint8_t piece[PIECE_OCTETS];
};

static void wait_for(struct statefile *statefile, double seconds)
{
    ev_timer_stop(statefile->loop, &statefile->timer);
    ev_timer_set(&statefile->timer, seconds, 0.);
    ev_timer_start(statefile->loop, &statefile->timer);
}

static void let_old_go(struct statefile *statefile)
{
    if (statefile->old >= 0)
        close(statefile->old);
    statefile->old = -1;
}

/* ------------------------------------------------------------ writing */

static void give_up(struct statefile *statefile, const char *what)
{
    if (!statefile->failing)
        log_error("%s: %s: %s; calls would not survive a crash now", statefile->path, what,
                  strerror(errno));
    statefile->failing = true;
    /* The file that lies there may name SAs that are gone, even when none is left. */
    statefile->changed = true;
    if (statefile->fd >= 0)
        close(statefile->fd);
    statefile->fd = -1;
    unlink(statefile->path_new);
    wipe(statefile->piece, sizeof(statefile->piece));
    state_end(&statefile->writer);
    wait_for(statefile, statefile->interval_s);
}

static bool write_piece(struct statefile *statefile, struct writer *w)
{
    const uint8_t *at = w->start;
    bool ok = true;

    while (ok && at < w->at) {
        ssize_t count = write(statefile->fd, at, (size_t)(w->at - at));

        if (count < 0 && errno == EINTR)
            continue;
        ok = count > 0;
        at += ok ? count : 0;
    }
    wipe(w->start, (size_t)(w->at - w->start));
    return ok;
}

/* Without the descriptor the file would go with its name, all at once. */
static void hold_old(struct statefile *statefile)
{
    struct stat st;

    statefile->old =
        open(statefile->path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    /* One that has another name as well is not only ours. */
    if (statefile->old >= 0 && fstat(statefile->old, &st) == 0 && S_ISREG(st.st_mode) &&
        st.st_nlink == 1)
        statefile->old_size = st.st_size;
    else
        let_old_go(statefile);
}

/* Nobody finds that file any more: its name is the new one's. */
static void shrink_old(struct statefile *statefile)
{
    statefile->old_size -= SHRINK_OCTETS;
    if (statefile->old_size > 0 && ftruncate(statefile->old, statefile->old_size) == 0) {
        wait_for(statefile, NEXT_PIECE_S);
        return;
    }
    let_old_go(statefile);
    wait_for(statefile, statefile->changed ? SOON_S : statefile->interval_s);
}

static void finish(struct statefile *statefile)
{
    int fd = statefile->fd;

    statefile->fd = -1;
    state_end(&statefile->writer);
    hold_old(statefile);
    if (close(fd) < 0 || rename(statefile->path_new, statefile->path) < 0) {
        let_old_go(statefile);
        give_up(statefile, "cannot be put into place");
        return;
    }
    statefile->failing = false;
    if (statefile->old >= 0)
        wait_for(statefile, NEXT_PIECE_S);
    else
        wait_for(statefile, statefile->changed ? SOON_S : statefile->interval_s);
}

static void more(struct statefile *statefile, struct writer *w)
{
    if (state_more(&statefile->writer, w) < 0) {
        errno = ENOMEM;
        give_up(statefile, "a record is too large");
    } else if (!write_piece(statefile, w)) {
        give_up(statefile, "cannot be written");
    } else if (statefile->writer.finished) {
        finish(statefile);
    } else {
        wait_for(statefile, NEXT_PIECE_S);
    }
}

static void begin(struct statefile *statefile, struct writer *w)
{
    unlink(statefile->path_new);
    statefile->fd =
        open(statefile->path_new, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (statefile->fd < 0) {
        give_up(statefile, "cannot be made");
        return;
    }
    statefile->changed = false;
    state_begin(&statefile->writer, statefile->inner, clock_wall_us(), w);
    more(statefile, w);
}

static bool put_off(struct statefile *statefile)
{
    if (!turn_is_over(statefile->loop) || statefile->put_off == PUT_OFF_MAX) {
        statefile->put_off = 0;
        return false;
    }
    statefile->put_off++;
    wait_for(statefile, NEXT_PIECE_S);
    return true;
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct statefile *statefile = timer->data;
    struct writer w;

    (void)loop;
    (void)events;
    if (put_off(statefile))
        return;
    writer_init(&w, statefile->piece, sizeof(statefile->piece));
    if (statefile->old >= 0)
        shrink_old(statefile);
    else if (statefile->fd >= 0)
        more(statefile, &w);
    else if (statefile->changed || table_count(statefile->inner->table) > 0)
        begin(statefile, &w);
    else
        wait_for(statefile, statefile->interval_s);
}

void statefile_changed(struct statefile *statefile)
{
    if (statefile->changed)
        return;
    statefile->changed = true;
    /* A file that is being written is followed by another one. */
    if (statefile->fd < 0 && statefile->old < 0 && !statefile->failing)
        wait_for(statefile, SOON_S);
}

void statefile_deleted(struct statefile *statefile, uint64_t id)
{
    if (statefile->fd >= 0 && state_deleted(&statefile->writer, id) < 0) {
        errno = ENOMEM;
        give_up(statefile, "a deleted SA cannot be noted");
    }
}

void statefile_set_interval(struct statefile *statefile, uint64_t interval_us)
{
    statefile->interval_s = (double)interval_us / 1e6;
}

/* ------------------------------------------------------------ reading */

static const char *unfit(const struct stat *st)
{
    if (!S_ISREG(st->st_mode))
        return "it is not a regular file";
    if (st->st_uid != geteuid())
        return "it belongs to another user";
    if (st->st_mode & 077)
        return "others may read or write it; its mode has to be 0600";
    return st->st_size > FILE_MAX_OCTETS ? "it is too large" : NULL;
}

/* The whole file, to be wiped and freed by the caller; NULL with a sentence in error. */
static uint8_t *read_file(const char *path, size_t *length, char *error, size_t error_size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat st = {0};
    uint8_t *data = NULL;
    const char *why = NULL;

    *length = 0;
    if (fd < 0 || fstat(fd, &st) < 0) {
        if (errno == ELOOP)
            why = "it is a symbolic link";
        else
            why = errno == ENOENT ? "" : strerror(errno);
        snprintf(error, error_size, "%s", why);
        goto out;
    }
    why = unfit(&st);
    if (why) {
        snprintf(error, error_size, "%s", why);
        goto out;
    }
    data = malloc((size_t)st.st_size + 1);
    while (data && *length < (size_t)st.st_size) {
        ssize_t count = read(fd, data + *length, (size_t)st.st_size - *length);

        if (count <= 0)
            break;
        *length += (size_t)count;
    }
out:
    if (fd >= 0)
        close(fd);
    return data;
}

static void restore(struct statefile *statefile, uint64_t max_age_us)
{
    char error[192] = "out of memory";
    size_t length, count = 0;
    uint8_t *data = read_file(statefile->path, &length, error, sizeof(error));
    int result;

    if (!data) {
        if (error[0])
            log_warning("%s is left out: %s", statefile->path, error);
        return;
    }
    result = state_read(statefile->inner, data, length, max_age_us, clock_wall_us(), clock_now_us(),
                        &count, error, sizeof(error));
    if (result == 0)
        log_info("%s: %zu SAs go on", statefile->path, count);
    else
        log_warning("%s is left out: %s", statefile->path, error);
    /* The keys of calls that are long over serve nobody. */
    if (result == ERR_TOO_OLD)
        unlink(statefile->path);
    wipe(data, length);
    free(data);
}

struct statefile *statefile_open(struct ev_loop *loop, struct inner *inner, const char *path,
                                 uint64_t max_age_us, uint64_t interval_us)
{
    struct statefile *statefile = calloc(1, sizeof(*statefile));

    if (!statefile)
        return NULL;
    statefile->loop = loop;
    statefile->inner = inner;
    statefile->path = path;
    statefile->fd = statefile->old = -1;
    statefile_set_interval(statefile, interval_us);
    snprintf(statefile->path_new, sizeof(statefile->path_new), "%s.new", path);
    ev_timer_init(&statefile->timer, on_timer, SOON_S, 0.);
    statefile->timer.data = statefile;
    restore(statefile, max_age_us);
    ev_timer_start(loop, &statefile->timer);
    return statefile;
}

void statefile_close(struct statefile *statefile, bool keep)
{
    if (!statefile)
        return;
    ev_timer_stop(statefile->loop, &statefile->timer);
    if (statefile->fd >= 0)
        close(statefile->fd);
    let_old_go(statefile);
    unlink(statefile->path_new);
    if (!keep)
        unlink(statefile->path);
    state_end(&statefile->writer);
    free(statefile);
}
