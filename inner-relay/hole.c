#include "config.h"

#include "inner-relay/hole.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/err.h"

/* ------------------------------------------------------------ what goes */

/* How many octets TCP takes; negative: ERR_AGAIN, or it is over. */
static ssize_t write_some(struct hole *hole, const uint8_t *data, size_t length)
{
    ssize_t sent;

    do
        sent = send(hole->fd, data, length, MSG_EOR | MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    if (sent >= 0)
        return sent;
    return errno == EAGAIN || errno == ENOBUFS ? ERR_AGAIN : ERR_CLOSED;
}

/* What is left of a segment goes before anything else. */
static int write_rest(struct hole *hole)
{
    while (hole->rest_length > 0) {
        ssize_t sent = write_some(hole, hole->rest + hole->rest_at, hole->rest_length);

        if (sent < 0)
            return (int)sent;
        hole->rest_at += (size_t)sent;
        hole->rest_length -= (size_t)sent;
    }
    return 0;
}

static int on_write(void *ctx, const uint8_t *data, size_t length)
{
    struct hole *hole = ctx;
    int result = write_rest(hole);
    ssize_t sent;

    if (result < 0)
        return result;
    sent = write_some(hole, data, length);
    if (sent < 0)
        return (int)sent;
    hole->rest_at = 0;
    hole->rest_length = length - (size_t)sent;
    memcpy(hole->rest, data + sent, hole->rest_length);
    return 0;
}

int hole_tend(struct hole *hole, uint64_t now_us)
{
    int result = write_rest(hole);

    if (result == ERR_CLOSED)
        return result;
    meetpath_ping(&hole->path, 0, now_us);
    meetpath_flush(&hole->path, now_us);
    return 0;
}

bool hole_is_restless(struct hole *hole, uint64_t now_us)
{
    while (hole->returns < hole->path.direct.returns)
        hole->returned_us[hole->returns++ % HOLE_RETURNS] = now_us;
    return hole->returns >= HOLE_RETURNS &&
           now_us - hole->returned_us[hole->returns % HOLE_RETURNS] < HOLE_RETURNS_US;
}

/* ------------------------------------------------------------ what comes */

/* How many octets of whole frames there are from here on. */
static size_t whole_frames(const struct hole *hole, size_t from)
{
    size_t at = from;

    for (;;) {
        int length = seal_length(hole->input + at, hole->length - at);

        if (length <= 0 || (size_t)length > hole->length - at)
            return at - from;
        at += (size_t)length;
    }
}

/* No frame begins here: how far it is to where one may. */
static size_t strays(const struct hole *hole, size_t from)
{
    size_t at = from + 1;

    while (at < hole->length && seal_length(hole->input + at, hole->length - at) < 0)
        at++;
    return at - from;
}

/* Somebody who is not the other site at all has nothing to say. */
static bool has_begun(const struct hole *hole)
{
    return hole->path.came > 0 || hole->path.direct.theirs > 0;
}

/* Goes on at *at. 1: there is more to be looked at; 0: not now. */
static int take(struct hole *hole, size_t *at, uint64_t now_us)
{
    size_t whole = whole_frames(hole, *at);

    (void)meetpath_frames(&hole->path, hole->input + *at, whole, now_us);
    *at += whole;
    if (seal_length(hole->input + *at, hole->length - *at) >= 0)
        return 0;
    if (!has_begun(hole))
        return ERR_PROTOCOL;
    hole->path.forged++;
    *at += strays(hole, *at);
    return 1;
}

int hole_read(struct hole *hole, uint64_t now_us)
{
    size_t room = sizeof(hole->input) - hole->length;
    ssize_t got = recv(hole->fd, hole->input + hole->length,
                       room < HOLE_READ_OCTETS ? room : HOLE_READ_OCTETS, MSG_DONTWAIT);
    size_t at = 0;
    int result;

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (got <= 0)
        return ERR_CLOSED;
    hole->length += (size_t)got;
    do
        result = take(hole, &at, now_us);
    while (result > 0);
    hole->length -= at;
    memmove(hole->input, hole->input + at, hole->length);
    return result;
}

void hole_segment(struct hole *hole, uint8_t *data, size_t length, uint64_t now_us)
{
    uint64_t before = hole->path.came;

    (void)meetpath_frames(&hole->path, data, length, now_us);
    hole->early += hole->path.came - before;
}

/* ------------------------------------------------------------ life */

struct hole *hole_new(int fd, struct seal_store *store, const uint8_t out[SEAL_SECRET_OCTETS],
                      const uint8_t in[SEAL_SECRET_OCTETS], const struct meetpath_hooks *hooks,
                      void *ctx, uint64_t now_us)
{
    struct hole *hole = calloc(1, sizeof(*hole));

    if (hole)
        hole->fd = fd;
    else
        close(fd);
    if (!hole || meetpath_init(&hole->path, hooks, ctx, store, out, in) < 0) {
        hole_free(hole);
        return NULL;
    }
    meetpath_open_over(&hole->path, on_write, hole, now_us);
    return hole;
}

void hole_free(struct hole *hole)
{
    static const struct linger at_once = {.l_onoff = 1};

    if (!hole)
        return;
    (void)setsockopt(hole->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    close(hole->fd);
    meetpath_fini(&hole->path);
    free(hole);
}
