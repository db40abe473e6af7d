#include "common/tunnel/takeover.h"

#include <ev.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/carrier/deaf.h"
#include "common/carrier/segment.h"
#include "common/tunnel/hello.h"
#include "common/tunnel/rawreader.h"
#include "common/tunnel/sealed.h"

enum {
    /*
     * What we may send at most, as there is no congestion control: the calls have their own rates,
     * this is for what goes wrong. Octets per second.
     */
    RATE = 100 * 1000 * 1000,
    /*
     * Octets of frames in a segment, however large the kernel's were: it never hears of a path that
     * takes less (RFC 1191), and with this none that takes packets of 1,400 octets has to say so.
     */
    SEGMENT_OCTETS = 1320,
    /* How often one that leaves is looked after. */
    LEAVE_STEP_US = 10 * 1000,
    /* The kernel has so many steps to hear that it is closed. */
    RESETS_MAX = 50,
    /* When the daemon ends, and both have said FIN. */
    HURRY_LINGER_US = 200 * 1000,
};

struct takeover {
    struct rawreader *reader;
    int fd;
    struct addr local, peer;
    uint8_t traffic; /* as the kernel's segments had it */
    struct deaf deaf;
    struct track track;
    uint64_t too_long;

    /* Of one that leaves. */
    struct sealed *sealed;
    char reason[BYE_REASON_SIZE];
    struct rawreader_client client;
    ev_timer timer;
    unsigned resets;
};

/* A socket of IPv6 may have a connection of IPv4, and has both: [tunnel] dscp sets them alike. */
static uint8_t traffic_of(int fd)
{
    int value = 0;
    socklen_t length = sizeof(value);

    if (getsockopt(fd, IPPROTO_IPV6, IPV6_TCLASS, &value, &length) < 0 &&
        getsockopt(fd, IPPROTO_IP, IP_TOS, &value, &length) < 0)
        return 0;
    return (uint8_t)value;
}

struct takeover *takeover_new(struct rawreader *reader, int fd, const struct addr *local,
                              const struct addr *peer)
{
    struct takeover *t = calloc(1, sizeof(*t));

    if (!t)
        return NULL;
    t->reader = reader;
    t->fd = fd;
    t->local = *local;
    t->peer = *peer;
    t->traffic = traffic_of(fd);
    return t;
}

void takeover_free(struct takeover *takeover)
{
    free(takeover);
}

/* ------------------------------------------------------------ the beginning */

void takeover_saw(struct takeover *takeover, const struct segment *segment)
{
    deaf_saw(&takeover->deaf, segment);
}

bool takeover_has_seen(const struct takeover *takeover, uint32_t *end)
{
    *end = takeover->deaf.end;
    return takeover->deaf.seen;
}

int takeover_note(struct takeover *takeover)
{
    return deaf_note(&takeover->deaf, takeover->fd);
}

int takeover_begin(struct takeover *takeover, uint64_t now_us)
{
    struct track_start start = {.rate = RATE};
    int result = deaf_make(&takeover->deaf, takeover->fd, &start);

    if (result < 0)
        return result;
    track_init(&takeover->track, &start, now_us);
    return 0;
}

/* ------------------------------------------------------------ segments */

static struct segment blank(const struct takeover *takeover)
{
    return (struct segment){
        .source = takeover->local, .destination = takeover->peer, .traffic = takeover->traffic};
}

void takeover_received(struct takeover *takeover, const struct segment *segment, bool genuine,
                       uint64_t now_us)
{
    (void)track_received(&takeover->track, segment, genuine, now_us);
}

size_t takeover_room(const struct takeover *takeover)
{
    size_t room = track_room(&takeover->track);

    return room < SEGMENT_OCTETS ? room : SEGMENT_OCTETS;
}

int takeover_send(struct takeover *takeover, const uint8_t *frames, size_t length, uint64_t now_us)
{
    struct segment segment = blank(takeover);
    int result = track_send(&takeover->track, length, &segment, now_us);

    if (result == ERR_TOO_LONG) {
        takeover->too_long++;
        return 0;
    }
    if (result < 0)
        return result;
    segment.data = frames;
    segment.length = length;
    return rawreader_send(takeover->reader, &segment);
}

int takeover_leave_out(struct takeover *takeover, size_t length, uint64_t now_us)
{
    struct segment segment = blank(takeover);

    return track_send(&takeover->track, length, &segment, now_us);
}

void takeover_flush(struct takeover *takeover, uint64_t now_us)
{
    struct segment segment = blank(takeover);

    if (track_ack(&takeover->track, &segment, now_us))
        (void)rawreader_send(takeover->reader, &segment);
    rawreader_flush(takeover->reader);
}

uint64_t takeover_wake_us(const struct takeover *takeover)
{
    return track_wake_us(&takeover->track);
}

const struct track *takeover_track(const struct takeover *takeover)
{
    return &takeover->track;
}

uint64_t takeover_too_long(const struct takeover *takeover)
{
    return takeover->too_long;
}

/* ------------------------------------------------------------ the end */

static void go(struct takeover *t)
{
    struct ev_loop *loop = rawreader_loop(t->reader);

    ev_timer_stop(loop, &t->timer);
    rawreader_remove(t->reader, &t->client);
    sealed_free(t->sealed);
    close(t->fd);
    free(t);
}

/* BYE is sealed anew each time, and always as long. */
static void say_fin(struct takeover *t, uint64_t now_us)
{
    struct segment segment = blank(t);
    uint8_t frame[SEALED_BYE_MAX_OCTETS];
    size_t length = sealed_bye(t->sealed, t->reason, frame);

    if (track_finish(&t->track, length, &segment, now_us) < 0)
        return;
    segment.data = frame;
    segment.length = length;
    (void)rawreader_send(t->reader, &segment);
}

/* False: it is over. */
static bool work(struct takeover *t, uint64_t now_us, bool at_once)
{
    struct rawsocket *raw = rawreader_socket(t->reader, t->local.family);

    if (track_state(&t->track, now_us) != TRACK_OVER && !at_once) {
        if (track_fin_is_due(&t->track, now_us))
            say_fin(t, now_us);
        takeover_flush(t, now_us);
        return true;
    }
    if (deaf_is_over(t->fd) || t->resets == RESETS_MAX || !raw)
        return false;
    t->resets++;
    (void)deaf_reset(&t->deaf, raw, &t->local, &t->peer);
    return !deaf_is_over(t->fd);
}

static void on_left_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct takeover *t = timer->data;

    (void)loop;
    (void)events;
    if (!work(t, clock_now_us(), false))
        go(t);
}

static void on_left_segment(void *ctx, struct segment *segment)
{
    struct takeover *t = ctx;
    bool genuine = segment->length > 0 &&
                   sealed_judge(t->sealed, segment->sequence, (uint8_t *)(uintptr_t)segment->data,
                                segment->length) == SEALED_NEW;

    takeover_received(t, segment, genuine, clock_now_us());
}

static void on_left_drained(void *ctx)
{
    takeover_flush(ctx, clock_now_us());
}

static void on_hurry(void *ctx, bool at_once)
{
    struct takeover *t = ctx;
    uint64_t now_us = clock_now_us();

    bool ends = track_is_answered(&t->track) && now_us - t->track.ended_us >= HURRY_LINGER_US;

    if (!work(t, now_us, at_once || ends) || at_once)
        go(t);
}

static const struct rawreader_hooks left_hooks = {on_left_segment, on_left_drained, on_hurry};

void takeover_leave(struct takeover *takeover, struct sealed *sealed, const char *reason,
                    uint64_t now_us)
{
    struct takeover *t = takeover;

    t->sealed = sealed;
    snprintf(t->reason, sizeof(t->reason), "%s", reason);
    t->client = (struct rawreader_client){
        .peer = t->peer, .local_port = t->local.port, .hooks = &left_hooks, .ctx = t};
    rawreader_add(t->reader, &t->client);
    ev_timer_init(&t->timer, on_left_timer, LEAVE_STEP_US / 1e6, LEAVE_STEP_US / 1e6);
    t->timer.data = t;
    ev_timer_start(rawreader_loop(t->reader), &t->timer);
    say_fin(t, now_us);
    takeover_flush(t, now_us);
}
