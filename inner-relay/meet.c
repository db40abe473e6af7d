#define LOG_MODULE "meet"
#include "inner-relay/meet.h"

#include <ev.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/random.h"
#include "common/carrier/deaf.h"
#include "common/carrier/rawsocket.h"
#include "common/carrier/seal.h"
#include "common/carrier/segment.h"
#include "common/carrier/track.h"
#include "common/tunnel/localports.h"
#include "common/tunnel/meetwire.h"
#include "common/tunnel/rawreader.h"
#include "inner-relay/bypass.h"
#include "inner-relay/direct.h"
#include "inner-relay/meetmessage.h"
#include "inner-relay/relay.h"

#define STEP_S 0.005
/* From the agreement to the path. */
#define MEET_US (UINT64_C(12) * 1000 * 1000)
/* One that came to nothing is tried again after so long, each time after twice as long. */
#define RETRY_US     (UINT64_C(10) * 1000 * 1000)
#define RETRY_MAX_US (UINT64_C(600) * 1000 * 1000)
/* No two are begun in less time, whoever asks: each is a connection to the dmz-relay. */
#define BEGIN_US (UINT64_C(5) * 1000 * 1000)
/* A path that dies earlier is as good as one that came to nothing. */
#define LASTED_US (UINT64_C(60) * 1000 * 1000)
/* A PING without an answer is sent again. */
#define SHAKE_US (UINT64_C(1) * 1000 * 1000)
/* What is on its way when a path ends comes to a connection that is there yet. */
#define LINGER_US (UINT64_C(300) * 1000)
#define CLOSE_US  (UINT64_C(1) * 1000 * 1000)

enum {
    KEY_OCTETS = 32,
    PORTS_LEFT = 3,
    RATE = 100 * 1000 * 1000, /* octets per second */
    SEGMENT_OCTETS = 1200,    /* what passes nearly everywhere */
    SEGMENT_ROOM = SEGMENT_OCTETS + SEAL_FRAME_MAX_OCTETS,
};

enum state {
    STATE_OFF,
    STATE_COMING,  /* its connection is being made */
    STATE_SHAKING, /* one frame each way tells its numbers */
    STATE_WAITING, /* ours is silent; MEET of the dmz-relay is awaited */
    STATE_OPEN,
    STATE_LINGERING,
    STATE_CLOSING, /* the kernel is to believe that the dmz-relay has ended it */
};

static const char *const state_names[] = {"off",  "connecting", "connecting", "waiting",
                                          "open", "ending",     "ending"};

struct meet {
    struct meets *meets;
    struct site *site;    /* NULL: the place is free */
    enum sites_side side; /* of the session in which it was agreed on */
    enum state state;
    uint64_t number, since_us, retry_us, pause_us;
    uint64_t begun_us, opened_us;  /* the last one; 0: none was */
    char why[MESSAGE_REASON_SIZE]; /* it came to nothing, or ended; "": neither */
    bool worked;
    struct connector *connector;
    struct conn *conn;
    struct session *session;
    bool up, broken;
    int fd;
    struct addr local, remote, own, mapped;
    struct deaf deaf;
    struct seal *shake, *seal;
    uint8_t secret[2][SEAL_SECRET_OCTETS]; /* 0: from who has opened the session */
    struct rawreader_client client;
    bool listens, told;
    struct meet_frame frame; /* as the dmz-relay has told */
    uint64_t shaken_us;
    struct track in;  /* the connection that is ours: what comes is acknowledged */
    struct track out; /* that of the other site, in the name of the dmz-relay */
    struct direct direct;
    uint64_t sent, came, forged; /* packets, and frames that were not genuine */
    size_t length;
    uint8_t segment[SEGMENT_ROOM];
    char label[NAME_SIZE + SITE_SIZE];
};

struct meets {
    struct daemon *daemon;
    struct sitemedia *media;
    struct meet meet[SITES_MAX];
    unsigned open; /* of them */
    ev_timer timer;
};

/* ------------------------------------------------------------ settings and places */

static struct relay *relay_of_meet(const struct meet *meet)
{
    return relay_of(meet->meets->daemon);
}

static const struct site_settings *settings_for(const struct meets *meets, const char *name)
{
    const struct inner_settings *settings = meets->daemon->settings;

    for (size_t i = 0; i < settings->site_count; i++) {
        if (strcasecmp(settings->sites[i].name, name) == 0)
            return &settings->sites[i];
    }
    return NULL;
}

/* Why there can be none with this site; NULL: there can. */
static const char *obstacle(const struct meets *meets, const struct site *site)
{
    const struct site_settings *settings = settings_for(meets, site_name(site));
    const struct daemon *daemon = meets->daemon;
    const struct inner_link *link = site_link(site);

    if (!settings || !settings->allow_spoofing)
        return "the ini file does not allow spoofing";
    if (daemon->workers || !daemon->readers[0] || !daemon->ports[0] || !daemon->seals)
        return "there is no raw socket, or more than one thread";
    if (relay_of(daemon)->links[link->number].proxy.host[0])
        return "there is an HTTP proxy on the way";
    if (!link->session || session_state(link->session) != SESSION_UP ||
        !(link->peer.features & FEATURE_MEET))
        return "the dmz-relay knows no meetings, or has no raw socket";
    return NULL;
}

static struct meet *find(const struct meets *meets, const struct site *site)
{
    for (size_t i = 0; i < SITES_MAX; i++) {
        if (meets->meet[i].site == site)
            return (struct meet *)(uintptr_t)&meets->meet[i];
    }
    return NULL;
}

static struct meet *place_for(struct meets *meets, struct site *site)
{
    struct meet *meet = find(meets, site);

    if (!meet)
        meet = find(meets, NULL);
    if (!meet || meet->site)
        return meet;
    *meet = (struct meet){.meets = meets, .site = site};
    snprintf(meet->label, sizeof(meet->label), "%s, meeting with %s", site_link(site)->name,
             site_name(site));
    return meet;
}

static struct rawsocket *raw_of(const struct meet *meet)
{
    return rawreader_socket(meet->meets->daemon->readers[0], meet->remote.family);
}

static void start_timer(struct meets *meets)
{
    if (!ev_is_active(&meets->timer))
        ev_timer_again(meets->daemon->loop, &meets->timer);
}

/* ------------------------------------------------------------ what is said */

static void say(struct meet *meet, uint8_t type, const struct meet_message *message,
                enum sites_side side, uint64_t now_us)
{
    uint8_t memory[512];
    struct writer w;
    const char *why;

    writer_init(&w, memory, sizeof(memory));
    meetmessage_put(&w, type, message);
    if (site_send(meet->site, side, type, memory, writer_length(&w), &why, now_us) < 0)
        log_debug("site %s: %s", site_name(meet->site), why);
}

static void tell_dmz(const struct meet *meet)
{
    struct inner_link *link = site_link(meet->site);
    struct meet_frame frame = {.number = meet->number};
    uint8_t memory[64 + MESSAGE_REASON_SIZE];
    struct writer w;

    if (!link->session || session_state(link->session) != SESSION_UP)
        return;
    snprintf(frame.reason, sizeof(frame.reason), "%s", meet->why);
    writer_init(&w, memory, sizeof(memory));
    meetwire_put(&w, FRAME_MEET_END, &frame);
    session_control(link->session, FRAME_MEET_END, memory, writer_length(&w));
    link->inner->hooks.kick(link->inner->hooks.ctx, link);
}

/* ------------------------------------------------------------ the end */

static void stop_listening(struct meet *meet)
{
    if (meet->listens)
        rawreader_remove(meet->meets->daemon->readers[0], &meet->client);
    meet->listens = false;
}

/* Nothing is left but when it may be tried again. */
static void clear(struct meet *meet, uint64_t now_us)
{
    stop_listening(meet);
    connector_free(meet->connector, "the meeting is over");
    seal_free(meet->shake);
    seal_free(meet->seal);
    wipe(meet->secret, sizeof(meet->secret));
    meet->connector = NULL;
    meet->shake = meet->seal = NULL;
    meet->up = meet->broken = meet->told = false;
    meet->deaf = (struct deaf){.seen = false};
    meet->length = 0;
    meet->pause_us = meet->worked || !meet->pause_us ? RETRY_US : 2 * meet->pause_us;
    if (meet->pause_us > RETRY_MAX_US)
        meet->pause_us = RETRY_MAX_US;
    meet->retry_us = meet->worked ? meet->begun_us + BEGIN_US : now_us + meet->pause_us;
    meet->worked = false;
    meet->state = STATE_OFF;
}

/* Each NAT on the way forgets the connection. */
static void send_reset(struct meet *meet)
{
    struct segment segment = {.source = meet->local,
                              .destination = meet->remote,
                              .sequence = meet->in.send_next,
                              .ack = meet->in.receive,
                              .flags = SEGMENT_RST | SEGMENT_ACK};
    struct rawsocket *raw = raw_of(meet);

    if (!raw || !meet->deaf.made)
        return;
    (void)rawsocket_queue(raw, &segment);
    rawsocket_flush(raw);
}

static void end_meet(struct meet *meet, const char *why, bool tell, uint64_t now_us)
{
    if (meet->state == STATE_OFF || meet->state >= STATE_LINGERING)
        return;
    snprintf(meet->why, sizeof(meet->why), "%s", why);
    log_info("site %s: no direct path: %s", site_name(meet->site), why);
    if (tell)
        tell_dmz(meet);
    meet->meets->open -= meet->state == STATE_OPEN;
    direct_close(&meet->direct);
    meet->state = STATE_LINGERING;
    meet->since_us = now_us;
    start_timer(meet->meets);
}

/* True: the kernel will say nothing. */
static bool is_closed(struct meet *meet)
{
    struct rawsocket *raw = raw_of(meet);

    if (!meet->deaf.made || !raw || deaf_is_over(meet->fd))
        return true;
    (void)deaf_reset(&meet->deaf, raw, &meet->local, &meet->remote);
    return deaf_is_over(meet->fd);
}

static void go_away(struct meet *meet, uint64_t now_us)
{
    if (meet->state == STATE_LINGERING) {
        if (meet->deaf.made && now_us - meet->since_us < LINGER_US)
            return;
        send_reset(meet);
        stop_listening(meet);
        meet->state = STATE_CLOSING;
    }
    if (is_closed(meet) || now_us - meet->since_us >= CLOSE_US)
        clear(meet, now_us);
}

/* ------------------------------------------------------------ frames to the other site */

static void emit(struct meet *meet, uint64_t now_us)
{
    struct segment segment = {.source = meet->remote,
                              .destination = meet->mapped,
                              .traffic = (uint8_t)(meet->meets->daemon->shared.tunnel->dscp << 2),
                              .data = meet->segment,
                              .length = meet->length};
    struct rawsocket *raw = raw_of(meet);

    if (meet->length > 0 && raw && track_send(&meet->out, meet->length, &segment, now_us) == 0)
        (void)rawsocket_queue(raw, &segment);
    meet->length = 0;
}

/* False: it is too large for a segment, or cannot be sealed. */
static bool put(struct meet *meet, uint8_t type, uint32_t label, const uint8_t *data, size_t length,
                uint64_t now_us)
{
    size_t room = track_room(&meet->out);
    int result;

    if (room > SEGMENT_OCTETS)
        room = SEGMENT_OCTETS;
    if (SEAL_OVER_OCTETS + length > room)
        return false;
    if (meet->length + SEAL_OVER_OCTETS + length > room)
        emit(meet, now_us);
    result = seal_put(meet->seal, type, label, data, length, meet->segment + meet->length);
    if (result < 0)
        return false;
    meet->length += (size_t)result;
    return true;
}

/* True: it has gone that way, and need not go through the tunnel. */
static bool on_media(void *ctx, const struct sa *sa, const uint8_t *packet, size_t length,
                     uint64_t now_us)
{
    struct meets *meets = ctx;
    uint32_t label = 0;
    struct site *site = meets->open > 0 ? sitemedia_find(meets->media, sa, &label) : NULL;
    struct meet *meet = site ? find(meets, site) : NULL;
    enum direct_way way = DIRECT_TUNNEL;

    if (meet && meet->state == STATE_OPEN)
        way = direct_way(&meet->direct, now_us);
    if (way == DIRECT_TUNNEL || !put(meet, FRAME_MEDIA, label, packet, length, now_us))
        return false;
    meet->sent++;
    return way == DIRECT_ALONE;
}

static void send_ping(struct meet *meet, uint64_t now_us)
{
    uint8_t ping[DIRECT_PING_OCTETS];

    direct_put(&meet->direct, meet->in.receive - meet->in.start.receive_next, ping, now_us);
    (void)put(meet, FRAME_PING, 0, ping, sizeof(ping), now_us);
}

/* On the connection itself: each firewall on the way sees that what comes is wanted. */
static void acknowledge(struct meet *meet, uint64_t now_us)
{
    struct segment segment = {.source = meet->local, .destination = meet->remote};
    struct rawsocket *raw = raw_of(meet);

    if (raw && track_ack(&meet->in, &segment, now_us))
        (void)rawsocket_queue(raw, &segment);
}

static void flush(struct meet *meet, uint64_t now_us)
{
    struct rawsocket *raw = raw_of(meet);

    emit(meet, now_us);
    if (raw)
        rawsocket_flush(raw);
}

void meets_flush(struct meets *meets)
{
    for (size_t i = 0; meets && i < SITES_MAX; i++) {
        if (meets->meet[i].length > 0)
            flush(&meets->meet[i], clock_now_us());
    }
}

/* ------------------------------------------------------------ frames of the other site */

static void take_ping(struct meet *meet, const struct seal_opened *frame, uint64_t now_us)
{
    struct segment ack = {.flags = SEGMENT_ACK, .window = TRACK_WINDOW};
    uint32_t received;

    if (direct_get(&meet->direct, frame->packet, frame->length, &received, now_us) < 0 ||
        meet->state != STATE_OPEN)
        return;
    /* As if the other site's own acknowledgement had come here. */
    ack.sequence = meet->out.start.receive_next;
    ack.ack = meet->out.start.send_next + received;
    (void)track_received(&meet->out, &ack, false, now_us);
}

struct run {
    struct session_packet packets[SESSION_GROUP];
    size_t count;
};

/* For those SAs alone that take packets of that site. */
static void end_run(struct meet *meet, struct run *run, uint64_t now_us)
{
    struct inner_link *link = site_link(meet->site);
    int number = run->count > 0 ? bypass_find(link->inner->bypass, site_name(meet->site)) : -1;

    if (number >= 0) {
        inbound_beside(link, (unsigned)number, run->packets, run->count, now_us);
    } else {
        link->counts.received += run->count;
        link->counts.n[VERDICT_NO_SA] += run->count;
    }
    run->count = 0;
}

static void take_frame(struct meet *meet, const struct seal_opened *frame, struct run *run,
                       uint64_t now_us)
{
    if (frame->type == FRAME_PING) {
        take_ping(meet, frame, now_us);
    } else if (frame->type == FRAME_MEDIA) {
        meet->came++;
        run->packets[run->count++] =
            (struct session_packet){frame->label, frame->packet, frame->length};
        if (run->count == SESSION_GROUP)
            end_run(meet, run, now_us);
    }
}

/* True: at least one frame was genuine. */
static bool take_frames(struct meet *meet, uint8_t *at, size_t left, uint64_t now_us)
{
    struct run run = {.count = 0};
    bool genuine = false;
    int length;

    while ((length = seal_length(at, left)) > 0 && (size_t)length <= left) {
        struct seal_opened frame;
        enum seal_verdict verdict =
            seal_open(meet->seal, at, (size_t)length, at + SEAL_HEAD_OCTETS, &frame);

        genuine = genuine || verdict == SEAL_OPENED;
        meet->forged += verdict == SEAL_FORGED;
        if (verdict == SEAL_OPENED)
            take_frame(meet, &frame, &run, now_us);
        at += length;
        left -= (size_t)length;
    }
    end_run(meet, &run, now_us);
    return genuine;
}

/* What the dmz-relay says, before it is silent. Leaves what it is given as it is. */
static bool is_pong(struct meet *meet, const uint8_t *at, size_t left)
{
    uint8_t text[SEAL_INSIDE_OCTETS + SEAL_TAG_OCTETS];
    struct seal_opened frame;
    enum seal_verdict verdict;

    if (seal_length(at, left) != SEAL_OVER_OCTETS || left < SEAL_OVER_OCTETS)
        return false;
    verdict = seal_open(meet->shake, at, SEAL_OVER_OCTETS, text, &frame);
    return verdict == SEAL_OPENED ||
           (verdict == SEAL_REPLAYED && seal_is_genuine(meet->shake, at, SEAL_OVER_OCTETS, text));
}

static void shut_ears(struct meet *meet, uint64_t now_us);

static void on_segment(void *ctx, struct segment *segment)
{
    struct meet *meet = ctx;
    uint8_t *data = (uint8_t *)(uintptr_t)segment->data;
    uint64_t now_us = clock_now_us();

    if (meet->state == STATE_SHAKING) {
        if (!is_pong(meet, data, segment->length))
            return;
        deaf_saw(&meet->deaf, segment);
        (void)deaf_note(&meet->deaf, meet->fd);
        shut_ears(meet, now_us);
    } else if (meet->state == STATE_WAITING || meet->state == STATE_OPEN) {
        bool genuine = (meet->state == STATE_WAITING && is_pong(meet, data, segment->length)) ||
                       take_frames(meet, data, segment->length, now_us);

        (void)track_received(&meet->in, segment, genuine, now_us);
    }
}

static void on_segments_drained(void *ctx)
{
    struct meet *meet = ctx;
    struct inner *core = &relay_of_meet(meet)->core;

    core->out.flush(core->out.ctx);
    if (table_work_due(core->table))
        daemon_has_work(meet->meets->daemon);
}

static const struct rawreader_hooks raw_hooks = {.segment = on_segment,
                                                 .drained = on_segments_drained};

/* ------------------------------------------------------------ the connection */

static int on_hello(void *ctx, const struct hello *theirs, struct hello *reply,
                    char reason[BYE_REASON_SIZE])
{
    (void)ctx;
    (void)theirs;
    (void)reply;
    (void)reason;
    return 0;
}

static void on_up(void *ctx, const struct hello *theirs)
{
    (void)theirs;
    ((struct meet *)ctx)->up = true;
}

static int on_control(void *ctx, uint8_t type, struct reader *body, uint64_t now_us)
{
    (void)ctx;
    (void)type;
    (void)body;
    (void)now_us;
    return ERR_PROTOCOL;
}

static void on_no_media(void *ctx, const struct session_packet *packets, size_t count,
                        uint64_t now_us)
{
    (void)ctx;
    (void)packets;
    (void)count;
    (void)now_us;
}

static bool pull_nothing(void *ctx, uint8_t *type, struct writer *body, uint64_t now_us)
{
    (void)ctx;
    (void)type;
    (void)body;
    (void)now_us;
    return false;
}

static void on_dropped(void *ctx, const uint32_t *labels, size_t count, enum verdict verdict)
{
    (void)ctx;
    (void)labels;
    (void)count;
    (void)verdict;
}

static const struct session_hooks session_hooks = {
    .hello = on_hello,
    .up = on_up,
    .control = on_control,
    .media = on_no_media,
    .pull_live = pull_nothing,
    .pull_bulk = pull_nothing,
    .dropped = on_dropped,
};

static struct session *on_secured(void *ctx, struct conn *conn, const char *name,
                                  const char **reason)
{
    struct meet *meet = ctx;
    const struct inner_link *link = site_link(meet->site);
    const struct inner_options *options = &link->inner->options;
    struct hello hello = {.version_min = PROTOCOL_VERSION_MIN,
                          .version_max = PROTOCOL_VERSION_MAX,
                          .features = FEATURE_WORKERS | FEATURE_SEALED | FEATURE_MEET,
                          .epoch = link->authority.epoch,
                          .sa_version = link->authority.version,
                          .instance = link->instance,
                          .worker = 1,
                          .meet = meet->number};

    (void)name;
    snprintf(hello.software, sizeof(hello.software), "%s", options->software);
    meet->conn = conn;
    meet->session = session_new(SESSION_INNER, &session_hooks, meet, options->max_age_us,
                                options->queue_octets, clock_now_us());
    if (!meet->session) {
        *reason = "out of memory";
        return NULL;
    }
    session_set_seals(meet->session, options->seals);
    session_start(meet->session, &hello);
    return meet->session;
}

static void on_drained(void *ctx)
{
    (void)ctx;
}

static void on_closed(void *ctx, struct conn *conn, const char *reason)
{
    struct meet *meet = ctx;

    (void)conn;
    (void)reason; /* the connector logs it */
    meet->conn = NULL;
    meet->session = NULL;
    meet->broken = true;
}

static const struct conn_hooks conn_hooks = {on_secured, on_drained, on_closed};

static bool is_too_soon(const struct meet *meet, uint64_t now_us)
{
    return meet->begun_us > 0 && now_us - meet->begun_us < BEGIN_US;
}

/* Each needs a local port of its own: some are left for the tunnel. */
static bool is_full(const struct meet *meet)
{
    const struct meets *meets = meet->meets;
    size_t count = 0;

    for (size_t i = 0; i < SITES_MAX; i++) {
        const struct meet *other = &meets->meet[i];

        count += other->site && other->state != STATE_OFF &&
                 site_link(other->site) == site_link(meet->site);
    }
    return count >= LOCALPORTS - PORTS_LEFT;
}

/* False: not now. */
static bool begin(struct meet *meet, uint64_t number, enum sites_side side, uint64_t now_us)
{
    struct daemon *daemon = meet->meets->daemon;
    const struct relay_link *link = &relay_of(daemon)->links[site_link(meet->site)->number];
    struct connector_settings settings = link->settings;

    if (is_too_soon(meet, now_us) || is_full(meet))
        return false;
    for (uint8_t direction = 0; direction < 2; direction++) {
        if (!site_export(meet->site, side, direction, number, meet->secret[direction]))
            return false;
    }
    meet->number = number;
    meet->side = side;
    meet->since_us = meet->begun_us = now_us;
    meet->why[0] = '\0';
    meet->sent = meet->came = meet->forged = 0;
    settings.label = meet->label;
    settings.ports = daemon->ports[0];
    meet->connector = connector_new(daemon->loop, daemon->tls, &settings, &conn_hooks, meet);
    if (!meet->connector)
        return false;
    meet->state = STATE_COMING;
    start_timer(meet->meets);
    return true;
}

static struct addr local_of(int fd)
{
    struct sockaddr_storage name = {0};
    socklen_t length = sizeof(name);

    (void)getsockname(fd, (struct sockaddr *)&name, &length);
    return addr_from_sockaddr((struct sockaddr *)&name);
}

static void shake(struct meet *meet, uint64_t now_us)
{
    uint8_t frame[SEAL_OVER_OCTETS];
    int length = seal_put(meet->shake, FRAME_PING, 0, NULL, 0, frame);

    meet->shaken_us = now_us;
    if (length > 0)
        (void)send(meet->fd, frame, (size_t)length, MSG_NOSIGNAL | MSG_DONTWAIT | MSG_EOR);
}

/* The connection leaves its session. */
static void leave(struct meet *meet, uint64_t now_us)
{
    uint8_t secret[2][SEAL_SECRET_OCTETS];
    struct daemon *daemon = meet->meets->daemon;
    size_t key_octets;
    int fd = meet->up && meet->conn ? conn_leave(meet->conn, secret, &key_octets) : ERR_AGAIN;

    if (fd < 0)
        return;
    if (seal_new(&meet->shake, daemon->seals, key_octets, secret[0], secret[1]) == 0) {
        meet->fd = fd;
        meet->local = local_of(fd);
        meet->remote = *conn_peer(meet->conn);
        meet->client = (struct rawreader_client){
            .peer = meet->remote, .local_port = meet->local.port, .hooks = &raw_hooks, .ctx = meet};
        rawreader_add(daemon->readers[0], &meet->client);
        meet->listens = true;
        meet->state = STATE_SHAKING;
        shake(meet, now_us);
    }
    wipe(secret, sizeof(secret));
}

static void open_path(struct meet *meet, uint64_t now_us);

static void shut_ears(struct meet *meet, uint64_t now_us)
{
    unsigned out = meet->side == SITES_OURS ? 0 : 1;
    struct track_start start = {.rate = 0};

    if (!meet->deaf.noted || deaf_make(&meet->deaf, meet->fd, &start) < 0)
        return;
    if (seal_new(&meet->seal, meet->meets->daemon->seals, KEY_OCTETS, meet->secret[out],
                 meet->secret[1 - out]) < 0) {
        end_meet(meet, "keys cannot be made", true, now_us);
        return;
    }
    track_init(&meet->in, &start, now_us);
    meet->state = STATE_WAITING;
    if (meet->told)
        open_path(meet, now_us);
}

/* ------------------------------------------------------------ the path */

static bool is_allowed(const struct meet *meet, const struct addr *to)
{
    const struct site_settings *settings = settings_for(meet->meets, site_name(meet->site));

    for (size_t i = 0; settings && i < settings->direct_to.count; i++) {
        if (addr_in_net(to, &settings->direct_to.net[i]))
            return true;
    }
    return false;
}

static void open_path(struct meet *meet, uint64_t now_us)
{
    char own[ADDR_TEXT_SIZE], mapped[ADDR_TEXT_SIZE];

    meet->own = meet->frame.own;
    meet->mapped = meet->frame.mapped;
    if (strcasecmp(meet->frame.site, site_name(meet->site)) != 0 || !meet->frame.handed_over ||
        meet->mapped.family != meet->remote.family) {
        end_meet(meet, "the dmz-relay has told of something else", true, now_us);
        return;
    }
    addr_format(&meet->mapped, mapped, sizeof(mapped));
    if (!is_allowed(meet, &meet->mapped)) {
        log_warning("site %s: the dmz-relay says that it is at %s, which its direct-to does not "
                    "allow",
                    site_name(meet->site), mapped);
        end_meet(meet, "direct-to does not allow the address of the other site", true, now_us);
        return;
    }
    meet->frame.start.rate = RATE;
    track_init(&meet->out, &meet->frame.start, now_us);
    direct_open(&meet->direct, now_us);
    meet->opened_us = now_us;
    meet->state = STATE_OPEN;
    meet->meets->open++;
    log_info("site %s: direct path from %s to %s", site_name(meet->site),
             addr_format(&meet->own, own, sizeof(own)), mapped);
}

static void keep_open(struct meet *meet, uint64_t now_us)
{
    if (!meet->worked && direct_is_proven(&meet->direct, now_us)) {
        meet->worked = true;
        log_info("site %s: the direct path works", site_name(meet->site));
    }
    if (direct_is_lost(&meet->direct, now_us)) {
        meet->worked = meet->worked && now_us - meet->opened_us >= LASTED_US;
        end_meet(meet, "nothing comes there", true, now_us);
        return;
    }
    if (direct_is_due(&meet->direct, now_us))
        send_ping(meet, now_us);
    acknowledge(meet, now_us);
    flush(meet, now_us);
}

static void step_one(struct meet *meet, uint64_t now_us)
{
    bool gone = site_link(meet->site)->session == NULL;

    if (meet->state >= STATE_LINGERING) {
        go_away(meet, now_us);
        return;
    }
    if (meet->broken || gone) {
        end_meet(meet,
                 gone ? "the tunnel to the dmz-relay is down"
                      : "the connection for it has not come up",
                 true, now_us);
    } else if (meet->state == STATE_OPEN) {
        keep_open(meet, now_us);
    } else if (now_us - meet->since_us >= MEET_US) {
        end_meet(meet, "the other site, or the dmz-relay, has not done its part", true, now_us);
    } else if (meet->state == STATE_COMING) {
        leave(meet, now_us);
    } else if (meet->state == STATE_SHAKING) {
        if (!meet->deaf.noted && now_us - meet->shaken_us >= SHAKE_US)
            shake(meet, now_us);
        shut_ears(meet, now_us);
    } else {
        acknowledge(meet, now_us);
        rawsocket_flush(raw_of(meet));
    }
}

static void on_step(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct meets *meets = timer->data;
    uint64_t now_us = clock_now_us();
    bool busy = false;

    (void)events;
    for (size_t i = 0; i < SITES_MAX; i++) {
        struct meet *meet = &meets->meet[i];

        if (meet->site && meet->state != STATE_OFF)
            step_one(meet, now_us);
        busy = busy || meet->state != STATE_OFF;
    }
    if (!busy)
        ev_timer_stop(loop, timer);
}

/* ------------------------------------------------------------ which there are */

static bool is_wanted(const struct meets *meets, const struct site *site)
{
    return sitemedia_count(meets->media, site) > 0;
}

/* One of the two asks: the one whose name comes first. In a session that is up. */
static void ask(struct meet *meet, uint64_t now_us)
{
    struct meet_message message = {.number = random_u64() | 1};
    enum sites_side side = SITES_OURS;

    if (strcasecmp(site_link(meet->site)->peer.site, site_name(meet->site)) > 0)
        return;
    if (strcmp(site_session_state(meet->site, side), "up") != 0)
        side = SITES_THEIRS;
    if (strcmp(site_session_state(meet->site, side), "up") != 0 ||
        !begin(meet, message.number, side, now_us))
        return;
    say(meet, MESSAGE_MEET, &message, side, now_us);
}

static void tick_site(struct meets *meets, struct site *site, uint64_t now_us)
{
    const char *why = obstacle(meets, site);
    bool wanted = !why && is_wanted(meets, site);
    struct meet *meet = wanted ? place_for(meets, site) : find(meets, site);

    if (!meet)
        return;
    if (!wanted)
        end_meet(meet, why ? why : "there are no calls with it", true, now_us);
    else if (meet->state == STATE_OPEN && !is_allowed(meet, &meet->mapped))
        end_meet(meet, "direct-to allows the address of the other site no more", true, now_us);
    else if (meet->state == STATE_OFF && now_us >= meet->retry_us)
        ask(meet, now_us);
}

void meets_tick(struct meets *meets, uint64_t now_us)
{
    struct sites *sites = relay_of(meets->daemon)->sites;

    for (size_t i = 0; i < sites_count(sites); i++)
        tick_site(meets, sites_at(sites, i), now_us);
}

/* The other site has begun it; what there was before is over. */
static void take_asked(struct meets *meets, struct site *site, enum sites_side side,
                       uint64_t number, uint64_t now_us)
{
    struct meet none = {.site = site};
    struct meet_message refusal = {.number = number};
    const char *why = obstacle(meets, site);
    struct meet *meet = why ? NULL : place_for(meets, site);

    if (meet && meet->state != STATE_OFF && meet->number == number)
        return;
    if (meet && meet->state != STATE_OFF && !is_too_soon(meet, now_us)) {
        end_meet(meet, "the other site has begun another one", true, now_us);
        send_reset(meet);
        (void)is_closed(meet);
        clear(meet, now_us);
    }
    if (meet && meet->state == STATE_OFF && begin(meet, number, side, now_us))
        return;
    snprintf(refusal.reason, sizeof(refusal.reason), "%s", why ? why : "it cannot be begun now");
    say(&none, MESSAGE_MEET_END, &refusal, side, now_us);
}

static int on_message(void *ctx, struct site *site, enum sites_side side, uint8_t type,
                      struct reader *body, uint64_t now_us)
{
    struct meets *meets = ctx;
    struct meet *meet = find(meets, site);
    struct meet_message message;
    int result = meetmessage_get(type, body, &message);

    if (result < 0)
        return result;
    if (type == MESSAGE_MEET)
        take_asked(meets, site, side, message.number, now_us);
    else if (meet && type == MESSAGE_MEET_END && meet->number == message.number)
        end_meet(meet, message.reason[0] ? message.reason : "the other site does not want it", true,
                 now_us);
    return 0;
}

static void on_gone(void *ctx, struct site *site)
{
    struct meet *meet = find(ctx, site);

    if (!meet)
        return;
    end_meet(meet, "its site stands no longer in the ini file", true, clock_now_us());
    if (meet->state != STATE_OFF) {
        send_reset(meet);
        (void)is_closed(meet);
        clear(meet, clock_now_us());
    }
    meet->site = NULL;
}

static const struct sites_hooks sites_hooks = {.message = on_message, .gone = on_gone};

/* ------------------------------------------------------------ what the dmz-relay says */

static int on_frame(void *ctx, struct inner_link *link, uint8_t type, struct reader *body,
                    uint64_t now_us)
{
    struct meets *meets = ctx;
    struct meet_frame frame;

    if (meetwire_get(type, body, &frame) < 0)
        return ERR_PROTOCOL;
    for (size_t i = 0; i < SITES_MAX; i++) {
        struct meet *meet = &meets->meet[i];

        if (!meet->site || site_link(meet->site) != link || meet->number != frame.number ||
            meet->state == STATE_OFF || meet->state >= STATE_OPEN + (type == FRAME_MEET_END))
            continue;
        if (type == FRAME_MEET_END) {
            end_meet(meet, frame.reason[0] ? frame.reason : "the dmz-relay has ended it", false,
                     now_us);
            continue;
        }
        meet->frame = frame;
        meet->told = true;
        if (meet->state == STATE_WAITING)
            open_path(meet, now_us);
    }
    return 0;
}

/* ------------------------------------------------------------ life */

struct meets *meets_new(struct daemon *daemon)
{
    struct meets *meets = calloc(1, sizeof(*meets));
    struct relay *relay = relay_of(daemon);

    if (!meets)
        return NULL;
    meets->daemon = daemon;
    meets->media = relay->sitemedia;
    for (size_t i = 0; i < SITES_MAX; i++)
        meets->meet[i].meets = meets;
    ev_timer_init(&meets->timer, on_step, 0., STEP_S);
    meets->timer.data = meets;
    sites_add_hooks(relay->sites, &sites_hooks, meets);
    relay->core.meetings =
        (struct inner_meetings){.frame = on_frame, .media = on_media, .ctx = meets};
    return meets;
}

void meets_stop(struct meets *meets)
{
    if (!meets)
        return;
    relay_of(meets->daemon)->core.meetings = (struct inner_meetings){.frame = NULL};
    ev_timer_stop(meets->daemon->loop, &meets->timer);
    for (size_t i = 0; i < SITES_MAX; i++) {
        struct meet *meet = &meets->meet[i];

        if (!meet->site || meet->state == STATE_OFF)
            continue;
        send_reset(meet);
        (void)is_closed(meet);
        clear(meet, 0);
    }
}

void meets_free(struct meets *meets)
{
    meets_stop(meets);
    free(meets);
}

/* ------------------------------------------------------------ what others show */

static json_t *addr_text(const struct addr *addr)
{
    char text[ADDR_TEXT_SIZE];

    return json_string(addr_format(addr, text, sizeof(text)));
}

void meets_add(json_t *row, const struct meets *meets, const struct site *site)
{
    const struct meet *meet = meets ? find(meets, site) : NULL;
    bool open = meet && meet->state == STATE_OPEN;
    bool proven = open && direct_is_proven(&meet->direct, clock_now_us());

    json_object_set_new(row, "path", json_string(proven ? "direct" : "dmz-relay"));
    if (!open)
        return;
    json_object_set_new(row, "mapped", addr_text(&meet->own));
    json_object_set_new(row, "other_mapped", addr_text(&meet->mapped));
}

static json_t *number(uint64_t value)
{
    return json_integer((json_int_t)value);
}

json_t *meets_report(const struct meets *meets, const char *name)
{
    struct site *site = meets ? sites_find(relay_of(meets->daemon)->sites, name) : NULL;
    const struct meet *meet = site ? find(meets, site) : NULL;
    const char *why = site ? obstacle(meets, site) : "";
    const char *state;

    if (!meet)
        return json_pack("{s:s,s:s}", "state", "off", "why", why ? why : "there are no calls");
    state = state_names[meet->state];
    if (meet->state == STATE_OPEN && direct_is_proven(&meet->direct, clock_now_us()))
        state = "proven";
    return json_pack("{s:s,s:s,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "state", state, "why",
                     why ? why : meet->why, "sent", number(meet->sent), "received",
                     number(meet->came), "forged", number(meet->forged), "moves",
                     number(meet->direct.moves), "returns", number(meet->direct.returns), "rtt_us",
                     number(meet->direct.rtt_us), "rewinds", number(meet->out.rewinds), "acks",
                     number(meet->in.counts[TRACK_GENUINE]));
}
