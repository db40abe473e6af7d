#define LOG_MODULE "forward"
#include "common/tunnel/streams.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/random.h"

enum {
    /* What was used up is given back in pieces of this: fewer frames, and the sender never waits
     * for it while the octets flow. */
    CREDIT_PIECE_OCTETS = STREAM_WINDOW_OCTETS / 4,
    PULL_LOOKS = 16, /* ends that are asked in one call */
    WORK_PIECE = 4,  /* ends that are closed in one call */
    NET6_OCTETS = 8, /* one client has as many IPv6 addresses as it likes */
};

enum stream_state {
    STREAM_HALF_OPEN, /* the other side has sent no octet yet; where it is connected: it is not */
    STREAM_OPEN,
    STREAM_LEAVING, /* has no end any more: STREAM-RESET is to be sent */
};

/* A stream is in several lists at once, each by links of its own. */
enum { IN_ALL, IN_QUEUE, IN_FORWARD, LINKS };

struct stream {
    struct streams *streams;
    struct stream_forward *forward;
    struct stream *chain;
    struct {
        struct stream *next, *last;
        struct stream_list *list; /* NULL: in none */
    } link[LINKS];
    void *end;
    uint32_t number;
    uint32_t life;
    enum stream_state state;
    bool open_due;            /* STREAM-OPEN is not sent yet */
    bool readable;            /* the end may have octets */
    bool ended_in, ended_out; /* STREAM-END has come, was sent */
    bool finished;            /* the end was told of the former */
    bool spoke;               /* half-open, and its own end has brought octets */
    uint32_t credit;          /* that we may send yet */
    uint32_t window;          /* that may come yet */
    uint32_t owed;            /* taken by the end, and not given back as credit */
    uint8_t *buffer;          /* STREAM_WINDOW_OCTETS that the end did not take; NULL: none */
    size_t buffered, buffer_at;
    uint64_t opened_us, active_us;
    struct addr client, server;
    char reason[STREAM_REASON_SIZE];
};

/* ------------------------------------------------------------ lists */

static void list_remove(struct stream *stream, int which)
{
    struct stream_list *list = stream->link[which].list;
    struct stream *next = stream->link[which].next, *last = stream->link[which].last;

    if (!list)
        return;
    *(last ? &last->link[which].next : &list->first) = next;
    *(next ? &next->link[which].last : &list->last) = last;
    list->count--;
    stream->link[which].next = stream->link[which].last = NULL;
    stream->link[which].list = NULL;
}

/* Moves it to the end of the list. */
static void list_append(struct stream_list *list, struct stream *stream, int which)
{
    list_remove(stream, which);
    stream->link[which].last = list->last;
    stream->link[which].list = list;
    *(list->last ? &list->last->link[which].next : &list->first) = stream;
    list->last = stream;
    list->count++;
}

static struct stream **chain_of(struct streams *streams, uint32_t number)
{
    return &streams->chain[number / 2 % STREAMS_CHAINS];
}

static struct stream *find(struct streams *streams, uint32_t number)
{
    struct stream *stream = *chain_of(streams, number);

    while (stream && stream->number != number)
        stream = stream->chain;
    return stream;
}

static struct stream_forward *find_forward(struct streams *streams, const char *name, bool listens)
{
    struct stream_forward *forward = streams->forwards;

    while (forward && (forward->listens != listens || strcmp(forward->name, name) != 0))
        forward = forward->next;
    return forward;
}

/* Is it of the connection that is up? */
static bool is_alive(const struct stream *stream)
{
    return stream->life == stream->streams->life;
}

/* ------------------------------------------------------------ life */

static struct stream *new_stream(struct streams *streams, struct stream_forward *forward,
                                 uint32_t number, uint64_t now_us)
{
    struct stream *stream = calloc(1, sizeof(*stream)), **chain = chain_of(streams, number);

    if (!stream)
        return NULL;
    stream->streams = streams;
    stream->forward = forward;
    stream->number = number;
    stream->life = streams->life;
    stream->opened_us = stream->active_us = now_us;
    stream->readable = true; /* the end is asked once, at least */
    stream->chain = *chain;
    *chain = stream;
    list_append(&streams->all, stream, IN_ALL);
    list_append(&forward->half_open, stream, IN_FORWARD);
    forward->count++;
    return stream;
}

/* It may have held SIP without TLS, and so keys of calls. */
static void free_buffer(struct stream *stream)
{
    if (stream->buffer)
        wipe(stream->buffer, STREAM_WINDOW_OCTETS);
    free(stream->buffer);
    stream->buffer = NULL;
    stream->buffered = 0;
}

static void free_stream(struct stream *stream)
{
    struct stream **chain = chain_of(stream->streams, stream->number);

    while (*chain && *chain != stream)
        chain = &(*chain)->chain;
    if (*chain)
        *chain = stream->chain;
    for (int i = 0; i < LINKS; i++)
        list_remove(stream, i);
    stream->forward->count--;
    free_buffer(stream);
    free(stream);
}

static void close_end(struct stream *stream, bool broken)
{
    if (stream->end)
        stream->forward->ends->close(stream->end, broken);
    stream->end = NULL;
    free_buffer(stream);
}

/* May be called for streams that have nothing to send. */
static void queue(struct stream *stream)
{
    struct streams *streams = stream->streams;

    if (!is_alive(stream) || stream->link[IN_QUEUE].list)
        return;
    list_append(&streams->queue, stream, IN_QUEUE);
    streams->hooks->kick(streams->ctx);
}

/* The end is closed at once; the other side is told as soon as the tunnel has room. */
static void leave(struct stream *stream, const char *reason)
{
    close_end(stream, true);
    if (stream->open_due || !is_alive(stream)) {
        free_stream(stream);
        return;
    }
    log_debug("%s: stream %u ended: %s", stream->forward->name, stream->number, reason);
    snprintf(stream->reason, sizeof(stream->reason), "%s", reason);
    stream->state = STREAM_LEAVING;
    list_remove(stream, IN_FORWARD);
    queue(stream);
}

static void fail(struct stream *stream, const char *reason)
{
    stream->forward->counts.failed++;
    leave(stream, reason);
}

/* Both directions have ended. */
static bool is_done(const struct stream *stream)
{
    return stream->finished && stream->ended_out;
}

static void end_well(struct stream *stream)
{
    close_end(stream, false);
    free_stream(stream);
}

/* It has come to life, or is the last that did. */
static void touch(struct stream *stream, uint64_t now_us)
{
    stream->active_us = now_us;
    stream->state = STREAM_OPEN;
    list_append(&stream->forward->open, stream, IN_FORWARD);
}

/*
 * By its own end alone. That is no answer of the server: who sends one octet, or one a second, is
 * in the way of newer ones as who sends none is, and keeps its place among those that give way.
 */
static void touch_own(struct stream *stream, uint64_t now_us)
{
    if (stream->state == STREAM_OPEN) {
        touch(stream, now_us);
        return;
    }
    stream->active_us = now_us;
    stream->spoke = true;
}

/* ------------------------------------------------------------ what comes in */

static bool has_room(struct stream_forward *forward)
{
    if (forward->count < forward->max_streams && forward->half_open.count < forward->max_half_open)
        return true;
    forward->counts.refused++;
    return false;
}

static void refuse(struct streams *streams, uint32_t number, const char *reason)
{
    struct stream_frame frame = {.number = number};
    uint8_t memory[STREAM_REASON_SIZE + 64];
    struct writer w;

    snprintf(frame.reason, sizeof(frame.reason), "%s", reason);
    writer_init(&w, memory, sizeof(memory));
    streamwire_put(&w, FRAME_STREAM_RESET, &frame);
    streams->hooks->refuse(streams->ctx, memory, writer_length(&w));
}

static bool is_ours(const struct streams *streams, uint32_t number)
{
    return (number % 2 == 1) == streams->inner;
}

static int on_open(struct streams *streams, const struct stream_frame *frame, uint64_t now_us)
{
    struct stream_forward *forward = find_forward(streams, frame->forward, false);
    struct stream *stream;

    if (is_ours(streams, frame->number) || find(streams, frame->number))
        return ERR_PROTOCOL;
    if (!forward) {
        streams->unknown++;
        refuse(streams, frame->number, "no [forward] of this name with \"to\" for this tunnel");
        return 0;
    }
    if (!has_room(forward)) {
        refuse(streams, frame->number, "as many streams as may be");
        return 0;
    }
    stream = new_stream(streams, forward, frame->number, now_us);
    if (!stream) {
        forward->counts.failed++;
        refuse(streams, frame->number, "out of memory");
        return 0;
    }
    stream->credit = STREAM_WINDOW_OCTETS;
    stream->end = forward->ends->open(forward, stream, &frame->client, &frame->server);
    if (stream->end)
        forward->counts.opened++;
    else
        fail(stream, "it could not be connected");
    return 0;
}

/* Some octets have reached the end: as many more may come. */
static void give_back(struct stream *stream, size_t octets)
{
    stream->owed += (uint32_t)octets;
    if (stream->owed >= CREDIT_PIECE_OCTETS && !stream->ended_in)
        queue(stream);
}

/* The buffer is a ring. False: no memory. */
static bool keep(struct stream *stream, const uint8_t *data, size_t length)
{
    size_t at = (stream->buffer_at + stream->buffered) % STREAM_WINDOW_OCTETS;
    size_t first = STREAM_WINDOW_OCTETS - at < length ? STREAM_WINDOW_OCTETS - at : length;

    if (!stream->buffer)
        stream->buffer = malloc(STREAM_WINDOW_OCTETS);
    if (!stream->buffer)
        return false;
    memcpy(stream->buffer + at, data, first);
    memcpy(stream->buffer, data + first, length - first);
    stream->buffered += length;
    return true;
}

static int on_data(struct stream *stream, const struct stream_frame *frame, uint64_t now_us)
{
    int taken = 0;

    if (stream->ended_in || frame->length > stream->window)
        return ERR_PROTOCOL;
    stream->window -= (uint32_t)frame->length;
    stream->forward->counts.octets_in += frame->length;
    touch(stream, now_us);
    if (stream->buffered == 0)
        taken = stream->forward->ends->give(stream->end, frame->data, frame->length);
    if (taken < 0) {
        fail(stream, "the connection broke");
        return 0;
    }
    if ((size_t)taken < frame->length &&
        !keep(stream, frame->data + taken, frame->length - (size_t)taken)) {
        fail(stream, "out of memory");
        return 0;
    }
    give_back(stream, (size_t)taken);
    return 0;
}

static int on_credit(struct stream *stream, const struct stream_frame *frame)
{
    if (frame->credit > STREAM_WINDOW_OCTETS - stream->credit)
        return ERR_PROTOCOL;
    stream->credit += frame->credit;
    if (stream->readable && !stream->ended_out)
        queue(stream);
    return 0;
}

static void finish(struct stream *stream)
{
    stream->finished = true;
    stream->forward->ends->finish(stream->end);
    if (is_done(stream))
        end_well(stream);
}

static int on_end(struct stream *stream)
{
    /* One that may not send yet has nothing to end. */
    if (stream->ended_in || (stream->window == 0 && stream->state == STREAM_HALF_OPEN))
        return ERR_PROTOCOL;
    stream->ended_in = true;
    if (stream->buffered == 0)
        finish(stream);
    return 0;
}

static int on_reset(struct stream *stream, const struct stream_frame *frame)
{
    log_debug("%s: stream %u reset by the other side: %s", stream->forward->name, stream->number,
              frame->reason);
    if (stream->state != STREAM_LEAVING)
        stream->forward->counts.reset++;
    close_end(stream, true);
    free_stream(stream);
    return 0;
}

int streams_frame(struct streams *streams, uint8_t type, struct reader *body, uint64_t now_us)
{
    struct stream_frame frame;
    struct stream *stream;

    if (streamwire_get(type, body, &frame) < 0)
        return ERR_PROTOCOL;
    if (type == FRAME_STREAM_OPEN)
        return on_open(streams, &frame, now_us);
    /* What crossed our STREAM-RESET speaks of no stream any more. */
    stream = find(streams, frame.number);
    if (!stream || (stream->state == STREAM_LEAVING && type != FRAME_STREAM_RESET))
        return 0;
    if (stream->open_due) /* the other side cannot know of it */
        return ERR_PROTOCOL;
    switch (type) {
    case FRAME_STREAM_DATA:
        return on_data(stream, &frame, now_us);
    case FRAME_STREAM_CREDIT:
        return on_credit(stream, &frame);
    case FRAME_STREAM_END:
        return on_end(stream);
    default:
        return on_reset(stream, &frame);
    }
}

/* ------------------------------------------------------------ what goes out */

static void put_open(struct stream *stream, struct writer *body)
{
    struct stream_frame frame = {.number = stream->number};

    memcpy(frame.forward, stream->forward->name, sizeof(frame.forward));
    /* No address of the inside is told to the dmz-relay. */
    if (!stream->streams->inner) {
        frame.client = stream->client;
        frame.server = stream->server;
    }
    streamwire_put(body, FRAME_STREAM_OPEN, &frame);
    stream->open_due = false;
}

static void put_reset(struct stream *stream, struct writer *body)
{
    struct stream_frame frame = {.number = stream->number};

    memcpy(frame.reason, stream->reason, sizeof(frame.reason));
    streamwire_put(body, FRAME_STREAM_RESET, &frame);
    free_stream(stream);
}

static void put_credit(struct stream *stream, struct writer *body)
{
    struct stream_frame frame = {.number = stream->number, .credit = stream->owed};

    stream->window += stream->owed;
    stream->owed = 0;
    streamwire_put(body, FRAME_STREAM_CREDIT, &frame);
}

static void put_end(struct stream *stream, struct writer *body)
{
    struct stream_frame frame = {.number = stream->number};

    streamwire_put(body, FRAME_STREAM_END, &frame);
    stream->ended_out = true;
    if (is_done(stream))
        end_well(stream);
}

/* Octets of the end, or its end. False: it has none now. */
static bool pull_data(struct stream *stream, uint8_t *type, struct writer *body, uint64_t now_us)
{
    uint8_t memory[STREAM_DATA_OCTETS];
    struct stream_frame frame = {.number = stream->number, .data = memory};
    size_t size = stream->credit < sizeof(memory) ? stream->credit : sizeof(memory);
    int count = stream->forward->ends->take(stream->end, memory, size);

    stream->readable = count > 0;
    if (count == 0)
        return false;
    if (count == ERR_CLOSED) {
        *type = FRAME_STREAM_END;
        put_end(stream, body);
        return true;
    }
    if (count < 0) {
        fail(stream, "the connection broke");
        return false; /* it is in the queue again */
    }
    frame.length = (size_t)count;
    *type = FRAME_STREAM_DATA;
    streamwire_put(body, FRAME_STREAM_DATA, &frame);
    wipe(memory, (size_t)count);
    stream->credit -= (uint32_t)count;
    stream->forward->counts.octets_out += (uint64_t)count;
    touch_own(stream, now_us);
    queue(stream);
    return true;
}

static bool is_credit_due(const struct stream *stream)
{
    return stream->owed >= CREDIT_PIECE_OCTETS && !stream->ended_in;
}

/* The stream is not in the queue; it is put there again when it has more. */
static bool pull_one(struct stream *stream, uint8_t *type, struct writer *body, uint64_t now_us)
{
    bool reads = stream->readable && !stream->ended_out && stream->credit > 0;

    if (stream->open_due) {
        *type = FRAME_STREAM_OPEN;
        put_open(stream, body);
        return true;
    }
    if (stream->state == STREAM_LEAVING) {
        *type = FRAME_STREAM_RESET;
        put_reset(stream, body);
        return true;
    }
    if (is_credit_due(stream)) {
        *type = FRAME_STREAM_CREDIT;
        put_credit(stream, body);
        if (reads)
            queue(stream);
        return true;
    }
    return reads && pull_data(stream, type, body, now_us);
}

bool streams_pull(struct streams *streams, uint8_t *type, struct writer *body, bool *more,
                  uint64_t now_us)
{
    unsigned looks = PULL_LOOKS;

    while (streams->queue.first && looks-- > 0) {
        struct stream *stream = streams->queue.first;

        list_remove(stream, IN_QUEUE);
        if (pull_one(stream, type, body, now_us)) {
            *more = streams->queue.first != NULL;
            return true;
        }
    }
    *more = streams->queue.first != NULL;
    return false;
}

/* ------------------------------------------------------------ the local ends */

static bool is_same_client(const struct addr *a, const struct addr *b)
{
    return a->family == b->family &&
           memcmp(a->ip, b->ip, a->family == 6 ? NET6_OCTETS : addr_ip_length(a)) == 0;
}

static unsigned count_of(const struct stream_list *list, const struct addr *client)
{
    unsigned count = 0;

    for (const struct stream *stream = list->first; stream; stream = stream->link[IN_FORWARD].next)
        count += is_same_client(&stream->client, client);
    return count;
}

/* Walks all streams of one forward, which are 1,024 at most. */
static bool has_room_for(struct stream_forward *forward, const struct addr *client)
{
    if (count_of(&forward->half_open, client) + count_of(&forward->open, client) <
        forward->max_per_client)
        return true;
    forward->counts.refused++;
    return false;
}

/*
 * Whom the server has not answered keeps nobody out: the oldest of those gives way. Its
 * STREAM-RESET goes before the STREAM-OPEN of the newer one, so that no more than max-streams wait
 * to be reset.
 */
static bool make_room(struct stream_forward *forward)
{
    bool full = forward->half_open.count + forward->open.count >= forward->max_streams ||
                forward->half_open.count >= forward->max_half_open;

    if (full && !forward->half_open.first) {
        forward->counts.refused++;
        return false;
    }
    if (full) {
        forward->counts.displaced++;
        leave(forward->half_open.first, "half-open, and in the way of a newer one");
    }
    return true;
}

struct stream *streams_open(struct streams *streams, struct stream_forward *forward, void *end,
                            const struct addr *client, const struct addr *server, uint64_t now_us)
{
    struct stream *stream;

    if (!streams->up) {
        forward->counts.refused++;
        return NULL;
    }
    if (!has_room_for(forward, client) || !make_room(forward))
        return NULL;
    do {
        streams->next_number += 2;
    } while (find(streams, streams->next_number));
    stream = new_stream(streams, forward, streams->next_number, now_us);
    if (!stream) {
        forward->counts.failed++;
        return NULL;
    }
    stream->end = end;
    stream->client = *client;
    stream->server = *server;
    stream->window = STREAM_WINDOW_OCTETS;
    stream->open_due = true;
    forward->counts.opened++;
    queue(stream);
    return stream;
}

void stream_connected(struct stream *stream, uint64_t now_us)
{
    if (!is_alive(stream))
        return;
    touch(stream, now_us);
    give_back(stream, STREAM_WINDOW_OCTETS);
    queue(stream);
}

void stream_readable(struct stream *stream)
{
    stream->readable = true;
    if (stream->credit > 0 && !stream->ended_out)
        queue(stream);
}

void stream_writable(struct stream *stream, uint64_t now_us)
{
    int taken = 1;

    if (!is_alive(stream))
        return;
    while (stream->buffered > 0 && taken > 0) {
        size_t upper = STREAM_WINDOW_OCTETS - stream->buffer_at;
        size_t length = stream->buffered < upper ? stream->buffered : upper;

        taken =
            stream->forward->ends->give(stream->end, stream->buffer + stream->buffer_at, length);
        if (taken < 0) {
            fail(stream, "the connection broke");
            return;
        }
        stream->buffer_at = (stream->buffer_at + (size_t)taken) % STREAM_WINDOW_OCTETS;
        stream->buffered -= (size_t)taken;
        give_back(stream, (size_t)taken);
    }
    touch(stream, now_us);
    if (stream->buffered > 0)
        return;
    free_buffer(stream);
    if (stream->ended_in && !stream->finished)
        finish(stream);
}

void stream_broken(struct stream *stream, const char *reason)
{
    fail(stream, reason);
}

/* ------------------------------------------------------------ the tunnel, and time */

void streams_init(struct streams *streams, bool inner, const struct streams_hooks *hooks, void *ctx)
{
    *streams = (struct streams){
        .hooks = hooks, .ctx = ctx, .inner = inner, .next_number = inner ? UINT32_MAX : 0};
}

void streams_add(struct streams *streams, struct stream_forward *forward)
{
    forward->next = streams->forwards;
    streams->forwards = forward;
}

void streams_up(struct streams *streams, uint64_t features)
{
    streams->up = (features & FEATURE_STREAMS) != 0;
}

/* Pointers only: closing takes longer, and is done in pieces. */
void streams_down(struct streams *streams)
{
    struct stream_list *all = &streams->all, *doomed = &streams->doomed;

    streams->up = false;
    streams->life++;
    memset(streams->chain, 0, sizeof(streams->chain));
    while (streams->queue.first)
        list_remove(streams->queue.first, IN_QUEUE);
    while (all->first)
        list_append(doomed, all->first, IN_ALL);
}

/* Who waits for the server's first octet, after a large upload or for good, has more time. */
static bool is_late(const struct stream *stream, uint64_t now_us)
{
    const struct stream_forward *forward = stream->forward;
    uint64_t limit_us = stream->spoke ? forward->idle_us : forward->half_open_us;

    return limit_us && now_us - stream->active_us >= limit_us;
}

/* The oldest come first: behind the first one that is too young there is none. */
static struct stream *find_late_half_open(const struct stream_forward *forward, uint64_t now_us)
{
    struct stream *stream = forward->half_open.first;
    uint64_t least_us = forward->half_open_us;

    if (forward->idle_us && forward->idle_us < least_us)
        least_us = forward->idle_us;
    while (stream && now_us - stream->opened_us >= least_us && !is_late(stream, now_us))
        stream = stream->link[IN_FORWARD].next;
    return stream && now_us - stream->opened_us >= least_us ? stream : NULL;
}

/* One whose time is over; NULL: none is. */
static struct stream *find_late(const struct stream_forward *forward, uint64_t now_us)
{
    struct stream *half_open = find_late_half_open(forward, now_us), *open = forward->open.first;

    if (half_open)
        return half_open;
    if (open && forward->idle_us && now_us - open->active_us >= forward->idle_us)
        return open;
    return NULL;
}

static void end_late(struct stream *stream)
{
    stream->forward->counts.timeouts++;
    leave(stream, stream->state == STREAM_HALF_OPEN && !stream->spoke ? "half-open for too long"
                                                                      : "idle for too long");
}

static void end_doomed(struct stream *stream)
{
    stream->forward->counts.cut += stream->state != STREAM_LEAVING;
    close_end(stream, true);
    free_stream(stream);
}

bool streams_has_work(const struct streams *streams)
{
    return streams->doomed.count > 0;
}

bool streams_work(struct streams *streams, uint64_t now_us)
{
    unsigned left = WORK_PIECE;
    struct stream *late;

    for (; left > 0 && streams->doomed.first; left--)
        end_doomed(streams->doomed.first);
    for (struct stream_forward *forward = streams->forwards; forward; forward = forward->next) {
        for (; left > 0 && (late = find_late(forward, now_us)); left--)
            end_late(late);
    }
    return left == 0;
}

void streams_fini(struct streams *streams)
{
    streams_down(streams);
    while (streams->doomed.first)
        end_doomed(streams->doomed.first);
    streams->forwards = NULL;
}
