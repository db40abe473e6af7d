#define LOG_MODULE "meet"
#include "inner-relay/meetconn.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/random.h"
#include "common/carrier/rawsocket.h"
#include "common/carrier/seal.h"
#include "common/carrier/segment.h"
#include "inner-relay/relay.h"

/* A PING without an answer is sent again. */
#define SHAKE_US (UINT64_C(1) * 1000 * 1000)
/* Nobody answers a RST: there are so many, each so long after the one before. */
#define RESET_US (UINT64_C(100) * 1000)
enum { RESETS = 3 };

/* ------------------------------------------------------------ what comes by the raw socket */

bool meetconn_is_pong(struct seal *seal, const uint8_t *at, size_t left)
{
    uint8_t text[SEAL_INSIDE_OCTETS + SEAL_TAG_OCTETS];
    struct seal_opened frame;

    return seal_length(at, left) == SEAL_OVER_OCTETS && left >= SEAL_OVER_OCTETS &&
           seal_open(seal, at, SEAL_OVER_OCTETS, text, &frame) == SEAL_OPENED;
}

static void shut_ears(struct meetconn *conn, uint64_t now_us)
{
    struct track_start start = {.rate = 0};

    if (!conn->deaf.noted || deaf_make(&conn->deaf, conn->fd, &start) < 0)
        return;
    track_init(&conn->track, &start, now_us);
    conn->state = MEETCONN_DEAF;
    conn->hooks->deaf(conn->ctx, now_us);
}

static void on_segment(void *ctx, struct segment *segment)
{
    struct meetconn *conn = ctx;
    uint8_t *data = (uint8_t *)(uintptr_t)segment->data;
    uint64_t now_us = clock_now_us();
    bool genuine;

    if (conn->state == MEETCONN_SHAKING && meetconn_is_pong(conn->shake, data, segment->length)) {
        deaf_saw(&conn->deaf, segment);
        (void)deaf_note(&conn->deaf, conn->fd);
        shut_ears(conn, now_us);
    } else if (conn->state == MEETCONN_DEAF) {
        genuine = meetconn_is_pong(conn->shake, data, segment->length) ||
                  conn->hooks->frames(conn->ctx, data, segment->length, now_us);
        (void)track_received(&conn->track, segment, genuine, now_us);
    }
}

static void on_segments_drained(void *ctx)
{
    struct meetconn *conn = ctx;
    struct inner *core = &relay_of(conn->daemon)->core;

    core->out.flush(core->out.ctx);
    if (table_work_due(core->table))
        daemon_has_work(conn->daemon);
}

static const struct rawreader_hooks raw_hooks = {.segment = on_segment,
                                                 .drained = on_segments_drained};

static void stop_listening(struct meetconn *conn)
{
    if (conn->listens)
        rawreader_remove(conn->daemon->readers[0], &conn->client);
    conn->listens = false;
}

/* ------------------------------------------------------------ while the kernel has it */

static void on_up(void *ctx, const struct hello *theirs)
{
    (void)theirs;
    ((struct meetconn *)ctx)->up = true;
}

static const struct session_hooks session_hooks = {.up = on_up};

static struct session *on_secured(void *ctx, struct conn *tls, const char *name,
                                  const char **reason)
{
    struct meetconn *conn = ctx;
    const struct inner_link *link = conn->link;
    const struct inner_options *options = &link->inner->options;
    struct hello hello = {.version_min = PROTOCOL_VERSION_MIN,
                          .version_max = PROTOCOL_VERSION_MAX,
                          .features = FEATURE_WORKERS | FEATURE_SEALED | FEATURE_MEET,
                          .epoch = link->authority.epoch,
                          .sa_version = link->authority.version,
                          .instance = link->instance,
                          .worker = 1,
                          .meet = conn->number};

    (void)name;
    snprintf(hello.software, sizeof(hello.software), "%s", options->software);
    conn->conn = tls;
    conn->session = session_new(SESSION_INNER, &session_hooks, conn, options->max_age_us,
                                options->queue_octets, clock_now_us());
    if (!conn->session) {
        *reason = "out of memory";
        return NULL;
    }
    session_set_seals(conn->session, options->seals);
    session_start(conn->session, &hello);
    return conn->session;
}

static void on_closed(void *ctx, struct conn *tls, const char *reason)
{
    struct meetconn *conn = ctx;

    (void)tls;
    (void)reason; /* the connector logs it */
    conn->conn = NULL;
    conn->session = NULL;
    conn->broken = true;
}

static const struct conn_hooks conn_hooks = {.secured = on_secured, .closed = on_closed};

int meetconn_begin(struct meetconn *conn, struct daemon *daemon, const struct inner_link *link,
                   uint64_t number, const char *label, const struct meetconn_hooks *hooks,
                   void *ctx)
{
    struct connector_settings settings = relay_of(daemon)->links[link->number].settings;

    *conn = (struct meetconn){
        .daemon = daemon, .link = link, .hooks = hooks, .ctx = ctx, .number = number};
    settings.label = label;
    settings.ports = daemon->ports[0];
    conn->connector = connector_new(daemon->loop, daemon->tls, &settings, &conn_hooks, conn);
    if (!conn->connector)
        return ERR_NOMEM;
    conn->state = MEETCONN_COMING;
    return 0;
}

/* ------------------------------------------------------------ out of the kernel */

static struct addr local_of(int fd)
{
    struct sockaddr_storage name = {0};
    socklen_t length = sizeof(name);

    (void)getsockname(fd, (struct sockaddr *)&name, &length);
    return addr_from_sockaddr((struct sockaddr *)&name);
}

static void shake(struct meetconn *conn, uint64_t now_us)
{
    uint8_t frame[SEAL_OVER_OCTETS];
    int length = seal_put(conn->shake, FRAME_PING, 0, NULL, 0, frame);

    conn->shaken_us = now_us;
    if (length > 0)
        (void)send(conn->fd, frame, (size_t)length, MSG_NOSIGNAL | MSG_DONTWAIT | MSG_EOR);
}

static void listen_to_it(struct meetconn *conn, int fd)
{
    conn->fd = fd;
    conn->local = local_of(fd);
    conn->remote = *conn_peer(conn->conn);
    conn->client = (struct rawreader_client){
        .peer = conn->remote, .local_port = conn->local.port, .hooks = &raw_hooks, .ctx = conn};
    rawreader_add(conn->daemon->readers[0], &conn->client);
    conn->listens = true;
}

/* The connection leaves its session. */
static void leave(struct meetconn *conn, uint64_t now_us)
{
    uint8_t secret[2][SEAL_SECRET_OCTETS];
    size_t key_octets;
    int fd = conn->up && conn->conn ? conn_leave(conn->conn, secret, &key_octets) : ERR_AGAIN;

    if (fd < 0)
        return;
    if (seal_new(&conn->shake, conn->daemon->seals, key_octets, secret[0], secret[1]) == 0) {
        listen_to_it(conn, fd);
        conn->state = MEETCONN_SHAKING;
        shake(conn, now_us);
    }
    wipe(secret, sizeof(secret));
}

/* Each firewall on the way sees that what comes is wanted. */
static void acknowledge(struct meetconn *conn, uint64_t now_us)
{
    struct segment segment = {.source = conn->local, .destination = conn->remote};
    struct rawsocket *raw = meetconn_raw(conn);

    if (raw && track_ack(&conn->track, &segment, now_us))
        (void)rawsocket_queue(raw, &segment);
}

void meetconn_step(struct meetconn *conn, uint64_t now_us)
{
    if (conn->state == MEETCONN_COMING)
        leave(conn, now_us);
    if (conn->state == MEETCONN_SHAKING) {
        if (!conn->deaf.noted && now_us - conn->shaken_us >= SHAKE_US)
            shake(conn, now_us);
        shut_ears(conn, now_us);
    }
    if (conn->state == MEETCONN_DEAF)
        acknowledge(conn, now_us);
}

/* ------------------------------------------------------------ what is asked */

struct rawsocket *meetconn_raw(const struct meetconn *conn)
{
    return conn->daemon ? rawreader_socket(conn->daemon->readers[0], conn->remote.family) : NULL;
}

void meetconn_flush(struct meetconn *conn)
{
    struct rawsocket *raw = meetconn_raw(conn);

    if (raw)
        rawsocket_flush(raw);
}

bool meetconn_is_broken(const struct meetconn *conn)
{
    return conn->broken;
}

bool meetconn_is_deaf(const struct meetconn *conn)
{
    return conn->state == MEETCONN_DEAF;
}

uint32_t meetconn_received(const struct meetconn *conn)
{
    return conn->track.receive - conn->track.start.receive_next;
}

/* ------------------------------------------------------------ the end */

static void send_reset(struct meetconn *conn, uint64_t now_us)
{
    struct segment segment = {.source = conn->local,
                              .destination = conn->remote,
                              .sequence = conn->track.send_next,
                              .ack = conn->track.receive,
                              .flags = SEGMENT_RST | SEGMENT_ACK};
    struct rawsocket *raw = meetconn_raw(conn);

    if (raw && rawsocket_queue(raw, &segment) == 0)
        rawsocket_flush(raw);
    conn->reset_us = now_us;
    conn->resets++;
}

void meetconn_reset(struct meetconn *conn, uint64_t now_us)
{
    stop_listening(conn);
    if (conn->state == MEETCONN_DEAF)
        send_reset(conn, now_us);
    conn->state = MEETCONN_RESET;
}

void meetconn_reset_at_once(struct meetconn *conn, uint64_t now_us)
{
    meetconn_reset(conn, now_us);
    while (conn->deaf.made && conn->resets < RESETS)
        send_reset(conn, now_us);
    (void)meetconn_is_over(conn, now_us);
}

bool meetconn_is_over(struct meetconn *conn, uint64_t now_us)
{
    struct rawsocket *raw = meetconn_raw(conn);

    if (!conn->deaf.made || !raw)
        return true;
    if (!deaf_is_over(conn->fd))
        (void)deaf_reset(&conn->deaf, raw, &conn->local, &conn->remote);
    if (conn->resets < RESETS && now_us - conn->reset_us >= RESET_US)
        send_reset(conn, now_us);
    return conn->resets >= RESETS && deaf_is_over(conn->fd);
}

void meetconn_close(struct meetconn *conn)
{
    stop_listening(conn);
    connector_free(conn->connector, "the meeting is over");
    seal_free(conn->shake);
    *conn = (struct meetconn){.state = MEETCONN_NONE};
}
