#include "inner-relay/meetpath.h"

#include "common/base/err.h"
#include "common/base/protocol.h"
#include "common/carrier/segment.h"

enum { KEY_OCTETS = 32 };

/* ------------------------------------------------------------ life */

int meetpath_init(struct meetpath *path, const struct meetpath_hooks *hooks, void *ctx,
                  struct seal_store *store, const uint8_t out[SEAL_SECRET_OCTETS],
                  const uint8_t in[SEAL_SECRET_OCTETS])
{
    *path = (struct meetpath){.hooks = hooks, .ctx = ctx};
    return seal_new(&path->seal, store, KEY_OCTETS, out, in);
}

void meetpath_open(struct meetpath *path, const struct addr *source, const struct addr *to,
                   const struct track_start *start, uint64_t now_us)
{
    struct track_start bounded = *start;

    bounded.rate = MEETPATH_RATE;
    path->source = *source;
    path->to = *to;
    path->length = 0;
    track_init(&path->out, &bounded, now_us);
    direct_open(&path->direct, now_us);
}

void meetpath_open_over(struct meetpath *path,
                        int (*write)(void *ctx, const uint8_t *data, size_t length),
                        void *write_ctx, uint64_t now_us)
{
    path->write = write;
    path->write_ctx = write_ctx;
    path->length = 0;
    direct_open(&path->direct, now_us);
}

void meetpath_close(struct meetpath *path)
{
    direct_close(&path->direct);
    path->length = 0;
}

void meetpath_fini(struct meetpath *path)
{
    meetpath_close(path);
    seal_free(path->seal);
    path->seal = NULL;
}

/* ------------------------------------------------------------ frames to the other site */

static int send_segment(struct meetpath *path, uint64_t now_us)
{
    struct segment segment = {.source = path->source,
                              .destination = path->to,
                              .traffic = path->traffic,
                              .data = path->segment,
                              .length = path->length};
    int result;

    if (path->write)
        return path->write(path->write_ctx, path->segment, path->length);
    result = track_send(&path->out, path->length, &segment, now_us);
    if (result == 0)
        path->hooks->send(path->ctx, &segment);
    return result;
}

void meetpath_flush(struct meetpath *path, uint64_t now_us)
{
    if (path->length > 0 && send_segment(path, now_us) != ERR_AGAIN)
        path->length = 0;
}

/* False: it is too large for a segment, or cannot be sealed, or there is no room now. */
static bool put(struct meetpath *path, uint8_t type, uint32_t label, const uint8_t *data,
                size_t length, uint64_t now_us)
{
    size_t room = path->write ? MEETPATH_OCTETS : track_room(&path->out);
    int result;

    if (room > MEETPATH_OCTETS)
        room = MEETPATH_OCTETS;
    if (SEAL_OVER_OCTETS + length > room)
        return false;
    if (path->length + SEAL_OVER_OCTETS + length > room)
        meetpath_flush(path, now_us);
    if (path->length + SEAL_OVER_OCTETS + length > room)
        return false;
    result = seal_put(path->seal, type, label, data, length, path->segment + path->length);
    if (result < 0)
        return false;
    path->length += (size_t)result;
    return true;
}

bool meetpath_media(struct meetpath *path, uint32_t label, const uint8_t *packet, size_t length,
                    uint64_t now_us)
{
    enum direct_way way = direct_way(&path->direct, now_us);

    if (way == DIRECT_TUNNEL || !put(path, FRAME_MEDIA, label, packet, length, now_us))
        return false;
    path->sent++;
    return way == DIRECT_ALONE;
}

void meetpath_ping(struct meetpath *path, uint32_t received, uint64_t now_us)
{
    uint8_t ping[DIRECT_PING_OCTETS];

    if (!direct_is_due(&path->direct, now_us))
        return;
    direct_put(&path->direct, received, ping, now_us);
    (void)put(path, FRAME_PING, 0, ping, sizeof(ping), now_us);
}

/* ------------------------------------------------------------ frames of the other site */

static void take_ping(struct meetpath *path, const struct seal_opened *frame, uint64_t now_us)
{
    struct segment ack = {.flags = SEGMENT_ACK, .window = TRACK_WINDOW};
    uint32_t received;

    if (direct_get(&path->direct, frame->packet, frame->length, &received, now_us) < 0 ||
        !path->direct.open || path->write)
        return;
    /* As if the other site's own acknowledgement had come here. */
    ack.sequence = path->out.start.receive_next;
    ack.ack = path->out.start.send_next + received;
    (void)track_received(&path->out, &ack, false, now_us);
}

struct run {
    struct session_packet packets[SESSION_GROUP];
    size_t count;
};

static void end_run(struct meetpath *path, struct run *run, uint64_t now_us)
{
    if (run->count > 0)
        path->hooks->media(path->ctx, run->packets, run->count, now_us);
    run->count = 0;
}

static void take_frame(struct meetpath *path, const struct seal_opened *frame, struct run *run,
                       uint64_t now_us)
{
    if (frame->type == FRAME_PING) {
        take_ping(path, frame, now_us);
    } else if (frame->type == FRAME_MEDIA) {
        path->came++;
        run->packets[run->count++] =
            (struct session_packet){frame->label, frame->packet, frame->length};
        if (run->count == SESSION_GROUP)
            end_run(path, run, now_us);
    }
}

bool meetpath_frames(struct meetpath *path, uint8_t *at, size_t left, uint64_t now_us)
{
    struct run run = {.count = 0};
    bool genuine = false;
    int length;

    while ((length = seal_length(at, left)) > 0 && (size_t)length <= left) {
        struct seal_opened frame;
        enum seal_verdict verdict =
            seal_open(path->seal, at, (size_t)length, at + SEAL_HEAD_OCTETS, &frame);

        genuine = genuine || verdict == SEAL_OPENED;
        path->forged += verdict == SEAL_FORGED;
        if (verdict == SEAL_OPENED)
            take_frame(path, &frame, &run, now_us);
        at += length;
        left -= (size_t)length;
    }
    end_run(path, &run, now_us);
    return genuine;
}
