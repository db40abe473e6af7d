#define LOG_MODULE "tunnel"
#include "common/tunnel/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/protocol.h"
#include "common/base/random.h"
#include "common/tunnel/bulk.h"
#include "common/tunnel/frame.h"
#include "common/tunnel/ways.h"

enum {
    INPUT_OCTETS = 64 * 1024,
    /* Bulk goes out in small helpings: media that comes next waits behind no more than one. */
    BULK_HELPING_OCTETS = 2 * FRAME_MAX_OCTETS,
    /* For so long after the last packet calls are on. */
    CALLS_ARE_ON_US = 200 * 1000,
    /* So often a frame of bulk goes out however long media, or a queue on the path, is in its way.
     */
    BULK_AT_LEAST_US = 500 * 1000,
    /* What one call of session_received does, in media frames; an SA frame is as much as 8. */
    INPUT_HELPING = 32,
    TAKES_HUNG_MOST = 3, /* in a row, or refused */
    SA_FRAME_COST = 8,
};

struct session {
    enum session_role role;
    enum session_state state;
    const struct session_hooks *hooks;
    void *ctx;
    char reason[BYE_REASON_SIZE + 64];

    uint8_t *input;
    size_t input_length;
    bool pending;    /* whole frames may be in the input still */
    uint8_t *urgent; /* whole frames */
    size_t urgent_length, urgent_sent;
    size_t switch_end; /* in urgent, while SWITCHING: what is behind it waits */
    enum session_wire wire;
    bool offers_seal; /* HELLO or HELLO-ACK of ours had FEATURE_SEALED, */
    bool offers_raw;  /* FEATURE_RAW */
    bool may_raw;
    enum session_take take;
    char take_refused[BYE_REASON_SIZE];
    bool input_sealed; /* SWITCH, or SWITCH-OK, has come */
    uint8_t number;    /* of a connection of media */
    struct seal_store *seals;
    size_t packet_room; /* octets */
    struct ways *ways;  /* NULL: it is the only one */
    bool early;         /* segments are read as they come */
    uint64_t overtook;
    struct queue media;
    bool output_has_keys;

    struct hello peer;
    uint64_t sa_version;
    uint64_t max_age_us;
    struct session_path path;
    uint64_t queued_us; /* when a packet was queued last; 0: never */
    struct bulk bulk;
    uint64_t bulk_us;  /* when bulk had its turn */
    bool bulk_is_held; /* there may be some, and it has to wait for the path */
    uint64_t started_us, up_us, heard_us, pinged_us;
    uint64_t rtt_us;
    struct session_counters counters;
};

struct session *session_new(enum session_role role, const struct session_hooks *hooks, void *ctx,
                            uint64_t max_age_us, size_t queue_octets, uint64_t now_us)
{
    struct session *session = calloc(1, sizeof(*session));

    if (!session)
        return NULL;
    session->role = role;
    session->max_age_us = max_age_us;
    session->path.room = session->packet_room = SIZE_MAX;
    session->started_us = session->heard_us = now_us;
    session->input = malloc(INPUT_OCTETS);
    session->urgent = malloc(URGENT_QUEUE_OCTETS);
    if (!session->input || !session->urgent || queue_init(&session->media, queue_octets) < 0) {
        session_free(session); /* without hooks: ctx is still the caller's */
        return NULL;
    }
    session->hooks = hooks;
    session->ctx = ctx;
    return session;
}

/* So many at most that the hook can find their SAs together. */
static void drop_oldest(struct session *session, size_t most, enum verdict verdict)
{
    uint32_t labels[SESSION_GROUP];
    const struct queue_entry *entry;
    const uint8_t *packet;
    size_t count = 0;

    while (count < most && count < SESSION_GROUP &&
           (entry = queue_peek(&session->media, &packet))) {
        most -= entry->copy;
        if (!entry->copy) {
            entry->counts->queued--;
            verdict_count(entry->counts, verdict);
            labels[count++] = entry->label;
        }
        queue_pop(&session->media);
    }
    if (count > 0 && session->hooks->dropped)
        session->hooks->dropped(session->ctx, labels, count, verdict);
    session->counters.late += verdict == VERDICT_TUNNEL_LATE ? count : 0;
}

void session_take_queue(struct session *session, struct queue *queue)
{
    *queue = session->media;
    memset(&session->media, 0, sizeof(session->media));
}

void session_free(struct session *session)
{
    if (!session)
        return;
    while (session->media.count > 0)
        drop_oldest(session, SESSION_GROUP, VERDICT_TUNNEL_DOWN);
    queue_fini(&session->media);
    /* SA-PUT frames carry keys. */
    if (session->input)
        wipe(session->input, INPUT_OCTETS);
    free(session->input);
    free(session->urgent);
    if (session->hooks && session->hooks->freed)
        session->hooks->freed(session->ctx);
    free(session);
}

static int end(struct session *session, const char *why, const char *detail)
{
    if (session->state != SESSION_ENDED) {
        session->state = SESSION_ENDED;
        snprintf(session->reason, sizeof(session->reason), "%s%s%s", why, detail ? ": " : "",
                 detail ? detail : "");
    }
    return ERR_CLOSED;
}

/* ------------------------------------------------------------ urgent control */

/* What is behind switch_end waits, and so does all else. */
static bool holds_back(const struct session *session)
{
    return session->wire == SESSION_SWITCHING ||
           (session->take >= SESSION_TAKE_ASKED && session->take <= SESSION_TAKE_OVER);
}

typedef void put_fn(struct writer *w, const void *what);

static void queue_urgent(struct session *session, uint8_t type, put_fn *put, const void *what)
{
    struct writer w;
    uint8_t *head;

    /* The bound is on what waits, not on what has gone since the queue was last empty. */
    session->urgent_length -= session->urgent_sent;
    memmove(session->urgent, session->urgent + session->urgent_sent, session->urgent_length);
    session->switch_end -= holds_back(session) ? session->urgent_sent : 0;
    session->urgent_sent = 0;
    writer_init(&w, session->urgent + session->urgent_length,
                URGENT_QUEUE_OCTETS - session->urgent_length);
    head = frame_begin(&w, type);
    put(&w, what);
    if (w.failed || writer_length(&w) > FRAME_MAX_OCTETS) {
        end(session, "the queue of urgent control frames is full", NULL);
        return;
    }
    frame_end(&w, head);
    session->urgent_length += writer_length(&w);
    session->counters.frames_out++;
}

struct octets {
    const void *data;
    size_t length;
};

static void put_octets(struct writer *w, const void *what)
{
    const struct octets *octets = what;

    writer_copy(w, octets->data, octets->length);
}

static void put_hello(struct writer *w, const void *what)
{
    hello_put(w, what);
}

static void put_hello_ack(struct writer *w, const void *what)
{
    hello_ack_put(w, what);
}

static void put_ping(struct writer *w, const void *what)
{
    ping_put(w, what);
}

static void put_bye(struct writer *w, const void *what)
{
    bye_put(w, what);
}

void session_control(struct session *session, uint8_t type, const void *body, size_t length)
{
    struct octets octets = {body, length};

    if (session->state == SESSION_UP)
        queue_urgent(session, type, put_octets, &octets);
}

void session_set_started(struct session *session, uint64_t started_us)
{
    session->started_us = started_us;
}

void session_set_seals(struct session *session, struct seal_store *seals)
{
    session->seals = seals;
}

void session_set_ways(struct session *session, struct ways *ways)
{
    session->ways = ways;
}

void session_set_early(struct session *session, bool early, uint64_t overtook)
{
    session->early = early;
    session->overtook = overtook;
}

struct seal_store *session_seals(const struct session *session)
{
    return session->seals;
}

enum session_role session_role(const struct session *session)
{
    return session->role;
}

void session_start(struct session *session, const struct hello *hello)
{
    session->number = hello->worker;
    session->offers_seal = (hello->features & FEATURE_SEALED) != 0;
    session->offers_raw = (hello->features & FEATURE_RAW) != 0;
    queue_urgent(session, FRAME_HELLO, put_hello, hello);
}

void session_bye(struct session *session, const char *reason)
{
    if (session->state == SESSION_ENDED)
        return;
    queue_urgent(session, FRAME_BYE, put_bye, reason);
    end(session, reason, NULL);
}

/* ------------------------------------------------------------ what comes in */

/* The other side is told, as far as it still listens. */
static int protocol_error(struct session *session, const char *detail)
{
    char reason[BYE_REASON_SIZE];

    snprintf(reason, sizeof(reason), "protocol error: %s", detail);
    session_bye(session, reason);
    return ERR_CLOSED;
}

/* ------------------------------------------------------------ from plain frames to sealed ones */

static bool will_switch(const struct session *session)
{
    return session->number > 0 && session->offers_seal && session->peer.features & FEATURE_SEALED;
}

static void put_nothing(struct writer *w, const void *what)
{
    (void)w;
    (void)what;
}

static void queue_switch(struct session *session, uint8_t type)
{
    queue_urgent(session, type, put_nothing, NULL);
    session->wire = SESSION_SWITCHING;
    session->switch_end = session->urgent_length;
}

static int on_switch(struct session *session, uint8_t type, const struct reader *body)
{
    bool inner = session->role == SESSION_INNER;

    if (!will_switch(session) || session->input_sealed || reader_left(body) > 0 ||
        type != (inner ? FRAME_SWITCH_OK : FRAME_SWITCH))
        return protocol_error(session, "SWITCH where none may come");
    session->input_sealed = true;
    if (!inner)
        queue_switch(session, FRAME_SWITCH_OK);
    return session->state == SESSION_ENDED ? ERR_CLOSED : 0;
}

/* ------------------------------------------------------------ from the kernel to raw sockets */

static bool will_take(const struct session *session)
{
    return will_switch(session) && session->offers_raw && session->peer.features & FEATURE_RAW;
}

static void put_refusal(struct writer *w, const void *what)
{
    if (what)
        bye_put(w, what);
}

/* Before the state says that it is the last. */
static void queue_take(struct session *session, uint8_t type, const char *refused)
{
    queue_urgent(session, type, put_refusal, refused);
    session->switch_end = session->urgent_length;
}

static void say_up(struct session *session)
{
    if (session->hooks->up)
        session->hooks->up(session->ctx, &session->peer);
}

/* False: BYE tells the reason. reply: NULL at the inner-relay. */
static bool is_welcome(struct session *session, struct hello *reply)
{
    char reason[BYE_REASON_SIZE] = "";

    if (!session->hooks->hello ||
        session->hooks->hello(session->ctx, &session->peer, reply, reason) >= 0)
        return true;
    session_bye(session, reason);
    return false;
}

static void refuse_take(struct session *session, const char *reason)
{
    snprintf(session->take_refused, sizeof(session->take_refused), "%s", reason);
    session->take = SESSION_TAKE_NONE;
    if (session->role == SESSION_INNER)
        say_up(session);
}

static int on_take_ok(struct session *session, struct reader *body)
{
    char reason[BYE_REASON_SIZE];
    bool refused = reader_left(body) > 0;

    if (refused && (bye_get(body, reason) < 0 || session->role == SESSION_DMZ))
        return protocol_error(session, "TAKE-OK cannot be read");
    if (session->role == SESSION_INNER && session->take == SESSION_TAKE_ASKED) {
        if (refused)
            refuse_take(session, reason);
        else
            session->take = SESSION_TAKE_PREPARE;
    } else if (session->role == SESSION_DMZ && session->take == SESSION_TAKE_ANSWERED) {
        session->take = SESSION_TAKE_OVER;
    } else if (session->role == SESSION_INNER || session->take < SESSION_TAKE_OVER) {
        return protocol_error(session, "TAKE-OK where none may come");
    }
    return 0;
}

static int on_take(struct session *session, uint8_t type, struct reader *body)
{
    if (type == FRAME_TAKE_OK)
        return on_take_ok(session, body);
    if (session->take != SESSION_TAKE_WAITING || reader_left(body) > 0)
        return protocol_error(session, "TAKE where none may come");
    session->switch_end = session->urgent_length;
    session->take = SESSION_TAKE_PREPARE;
    return 0;
}

void session_set_raw(struct session *session, bool may)
{
    session->may_raw = may;
}

enum session_take session_take(const struct session *session)
{
    return session->take;
}

bool session_may_be_taken(const struct session *session)
{
    return will_take(session);
}

/* One that ends on the way may have ended for any reason, such as the other side's restart. */
bool session_take_has_failed(const struct session *session, unsigned *hung)
{
    bool failed;

    if (!session)
        return false;
    failed = (session->take >= SESSION_TAKE_ASKED && session->take <= SESSION_TAKE_OVER) ||
             session->take_refused[0];
    *hung = failed ? *hung + 1 : 0;
    failed = session->take == SESSION_TAKE_PROVING || *hung >= TAKES_HUNG_MOST;
    *hung = failed ? 0 : *hung;
    return failed;
}

const char *session_take_refused(const struct session *session)
{
    return session->take_refused;
}

void session_take_prepared(struct session *session, const char *refused)
{
    if (session->role == SESSION_INNER) {
        session->take = SESSION_TAKE_OVER;
        return;
    }
    queue_take(session, FRAME_TAKE_OK, refused);
    if (refused)
        refuse_take(session, refused);
    else
        session->take = SESSION_TAKE_ANSWERED;
}

/* What waited goes, too: the dmz-relay's PING tells the inner-relay that its segments come. */
void session_taken(struct session *session)
{
    if (session->role == SESSION_INNER) {
        session->take = SESSION_TAKE_PROVING;
        session_take_again(session);
        return;
    }
    session->take = SESSION_TAKE_DONE;
    session->pinged_us = 0;
}

void session_take_again(struct session *session)
{
    queue_urgent(session, FRAME_TAKE_OK, put_nothing, NULL);
}

/*
 * The first frame says that the dmz-relay sees our segments; what comes while PROVING was sent by
 * its raw socket.
 */
static void take_goes_on(struct session *session)
{
    if (session->role == SESSION_INNER && session->take == SESSION_TAKE_WAITING) {
        queue_take(session, FRAME_TAKE, NULL);
        session->take = SESSION_TAKE_ASKED;
    } else if (session->take == SESSION_TAKE_PROVING) {
        session->take = SESSION_TAKE_DONE;
        say_up(session);
    }
}

bool session_input_is_sealed(const struct session *session)
{
    return session->input_sealed;
}

void session_output_is_sent(struct session *session)
{
    if (session->wire != SESSION_SWITCHING || !session->input_sealed ||
        session->urgent_sent < session->switch_end || session->state != SESSION_UP)
        return;
    session->wire = SESSION_SEALED;
    if (will_take(session)) {
        session->take = SESSION_TAKE_WAITING;
        session->pinged_us = 0; /* so that the other side soon hears a frame */
    }
    if (session->take == SESSION_TAKE_NONE || session->role == SESSION_DMZ)
        say_up(session);
}

enum session_wire session_wire(const struct session *session)
{
    return session->wire;
}

uint8_t session_number(const struct session *session)
{
    return session->number;
}

static void come_up(struct session *session, uint64_t now_us)
{
    session->state = SESSION_UP;
    session->up_us = session->heard_us = session->pinged_us = session->bulk_us = now_us;
    if (!will_switch(session))
        say_up(session);
    else if (session->role == SESSION_INNER)
        queue_switch(session, FRAME_SWITCH);
}

static int on_hello(struct session *session, struct reader *body, uint64_t now_us)
{
    struct hello reply = {0};
    int result = hello_get(body, &session->peer);

    if (result == ERR_PROTOCOL)
        return protocol_error(session, "HELLO cannot be read");
    if (result == ERR_UNSUPPORTED) {
        session_bye(session, "no protocol version in common");
        return ERR_CLOSED;
    }
    if (!is_welcome(session, &reply))
        return ERR_CLOSED;
    reply.version = session->peer.version_max < PROTOCOL_VERSION_MAX ? session->peer.version_max
                                                                     : PROTOCOL_VERSION_MAX;
    session->number = session->peer.worker;
    session->offers_seal = (reply.features & FEATURE_SEALED) != 0;
    if (session->may_raw && session->number > 0)
        reply.features |= FEATURE_RAW;
    session->offers_raw = (reply.features & FEATURE_RAW) != 0;
    queue_urgent(session, FRAME_HELLO_ACK, put_hello_ack, &reply);
    come_up(session, now_us);
    return 0;
}

static int on_hello_ack(struct session *session, struct reader *body, uint64_t now_us)
{
    int result = hello_ack_get(body, &session->peer);

    if (result == ERR_UNSUPPORTED)
        return end(session, "the dmz-relay chose a protocol version that was not offered", NULL);
    if (result < 0)
        return protocol_error(session, "HELLO-ACK cannot be read");
    if (!is_welcome(session, NULL))
        return ERR_CLOSED;
    come_up(session, now_us);
    return 0;
}

static int on_bye(struct session *session, struct reader *body)
{
    char reason[BYE_REASON_SIZE];

    if (bye_get(body, reason) < 0)
        return protocol_error(session, "BYE cannot be read");
    return end(session, "the other side said BYE", reason);
}

static int on_ping(struct session *session, struct reader *body)
{
    struct ping ping;

    if (ping_get(body, &ping) < 0)
        return protocol_error(session, "PING cannot be read");
    queue_urgent(session, FRAME_PONG, put_ping, &ping);
    return session->state == SESSION_ENDED ? ERR_CLOSED : 0;
}

static int on_pong(struct session *session, struct reader *body, uint64_t now_us)
{
    struct ping ping;

    if (ping_get(body, &ping) < 0 || ping.clock_us > now_us)
        return protocol_error(session, "PONG cannot be read");
    session->rtt_us = now_us - ping.clock_us;
    return 0;
}

static void put_report(struct writer *w, const void *what)
{
    probe_report_put(w, what);
}

/* Is it the carrier of two ways? */
static bool is_carrier(const struct session *session)
{
    return session->ways && will_switch(session);
}

static int on_probe(struct session *session, struct reader *body)
{
    struct choice_report report;

    if (!is_carrier(session) || probe_get(body, &report.number) < 0)
        return protocol_error(session, "PROBE cannot be read, or may not come");
    report.early = session->early;
    report.overtook = session->overtook;
    queue_urgent(session, FRAME_PROBE_REPORT, put_report, &report);
    return session->state == SESSION_ENDED ? ERR_CLOSED : 0;
}

static int on_probe_report(struct session *session, struct reader *body, uint64_t now_us)
{
    struct choice_report report;

    if (!is_carrier(session) || probe_report_get(body, &report) < 0 ||
        !choice_reported(&session->ways->choice, &report, now_us))
        return protocol_error(session, "PROBE-REPORT cannot be read, or may not come");
    return 0;
}

bool session_wants_hole(const struct session *session)
{
    return is_carrier(session) && choice_wants_hole(&session->ways->choice);
}

void session_left_hole(struct session *session)
{
    choice_left_hole(&session->ways->choice);
}

/* Media frames that came one after another, and lie in the input still. */
struct run {
    struct session_packet packets[SESSION_GROUP];
    size_t count;
};

static void end_run(struct session *session, struct run *run, uint64_t now_us)
{
    if (run->count > 0 && session->hooks->media)
        session->hooks->media(session->ctx, run->packets, run->count, now_us);
    run->count = 0;
}

static int on_media(struct session *session, struct frame *frame, struct run *run, uint64_t now_us)
{
    struct session_packet *packet = &run->packets[run->count];
    uint32_t number;
    int result =
        frame->type == FRAME_TWIN
            ? frame_twin(&frame->body, &packet->label, &number, &packet->data, &packet->length)
            : frame_media(&frame->body, &packet->label, &packet->data, &packet->length);

    if (result < 0) {
        end_run(session, run, now_us);
        return protocol_error(session, "media frame too short or too long");
    }
    session->counters.frames_in++;
    session->counters.media_in++;
    if (frame->type == FRAME_TWIN && ways_is_copy(session->ways, number))
        return 0;
    if (++run->count == SESSION_GROUP)
        end_run(session, run, now_us);
    return 0;
}

/*
 * Which side may send what: SAs come from the authority, refusals and reports from the replica,
 * streams and what goes from site to site from both.
 */
static bool may_come(const struct session *session, uint8_t type)
{
    switch (type) {
    case FRAME_SYNC_BEGIN:
    case FRAME_SYNC_END:
    case FRAME_SA_PUT:
    case FRAME_SA_DELETE:
    case FRAME_PASS:
        return session->role == SESSION_DMZ;
    case FRAME_SA_NAK:
    case FRAME_SA_REPORT:
    case FRAME_STATS:
    case FRAME_MEET:
    case FRAME_PASS_STATE:
        return session->role == SESSION_INNER;
    case FRAME_MEET_END:
    case FRAME_PUNCH:
    case FRAME_STREAM_OPEN:
    case FRAME_STREAM_DATA:
    case FRAME_STREAM_CREDIT:
    case FRAME_STREAM_END:
    case FRAME_STREAM_RESET:
    case FRAME_SITE:
    case FRAME_SITE_STATE:
        return true;
    default:
        return false;
    }
}

static int on_frame_up(struct session *session, struct frame *frame, uint64_t now_us)
{
    switch (frame->type) {
    case FRAME_PING:
        return on_ping(session, &frame->body);
    case FRAME_PONG:
        return on_pong(session, &frame->body, now_us);
    case FRAME_SWITCH:
    case FRAME_SWITCH_OK:
        return on_switch(session, frame->type, &frame->body);
    case FRAME_TAKE:
    case FRAME_TAKE_OK:
        return on_take(session, frame->type, &frame->body);
    case FRAME_PROBE:
        return on_probe(session, &frame->body);
    case FRAME_PROBE_REPORT:
        return on_probe_report(session, &frame->body, now_us);
    default:
        break;
    }
    if (!may_come(session, frame->type))
        return protocol_error(session, "a frame of a type that may not come");
    if (!session->hooks->control ||
        session->hooks->control(session->ctx, frame->type, &frame->body, now_us) < 0)
        return protocol_error(session, "an SA, sync, stream or site frame cannot be read");
    return session->state == SESSION_ENDED ? ERR_CLOSED : 0;
}

static int on_frame(struct session *session, struct frame *frame, struct run *run, uint64_t now_us)
{
    uint8_t awaited = session->role == SESSION_DMZ ? FRAME_HELLO : FRAME_HELLO_ACK;

    if ((frame->type == FRAME_MEDIA || (frame->type == FRAME_TWIN && session->ways)) &&
        session->state == SESSION_UP)
        return on_media(session, frame, run, now_us);
    end_run(session, run, now_us);
    if (session->state == SESSION_ENDED)
        return ERR_CLOSED;
    session->counters.frames_in++;
    if (frame->type == FRAME_BYE)
        return on_bye(session, &frame->body);
    if (session->state == SESSION_UP)
        return on_frame_up(session, frame, now_us);
    if (frame->type != awaited)
        return protocol_error(session, "a frame before HELLO");
    return awaited == FRAME_HELLO ? on_hello(session, &frame->body, now_us)
                                  : on_hello_ack(session, &frame->body, now_us);
}

uint8_t *session_space(struct session *session, size_t *size)
{
    *size = INPUT_OCTETS - session->input_length;
    return session->input + session->input_length;
}

/*
 * What comes after is moved to the front. Where it lay is wiped: it may be the beginning of an
 * SA-PUT, with a key.
 */
static void drop_input(struct session *session, size_t octets)
{
    size_t left = session->input_length - octets;
    size_t stale = left > octets ? left : octets;

    memmove(session->input, session->input + octets, left);
    wipe(session->input + stale, session->input_length - stale);
    session->input_length = left;
}

/*
 * The connection may have become another thread's with this frame: what follows is for that one to
 * take.
 */
static bool is_for_another(const struct session *session, const struct frame *frame)
{
    return frame->type == FRAME_HELLO && session->peer.worker > 0;
}

int session_received(struct session *session, size_t count, uint64_t now_us)
{
    struct run run = {.count = 0};
    bool sealed = session->input_sealed;
    size_t at = 0;
    unsigned done = 0;

    session->counters.octets_in += count;
    session->input_length += count;
    while (session->state != SESSION_ENDED && done < INPUT_HELPING) {
        struct frame frame;
        int taken = frame_parse(session->input + at, session->input_length - at, &frame);

        if (taken < 0) {
            end_run(session, &run, now_us);
            return protocol_error(session, "a frame of a length that may not be");
        }
        if (taken == 0)
            break;
        at += (size_t)taken;
        done += frame_has_label(frame.type) ? 1 : SA_FRAME_COST;
        session->heard_us = now_us;
        take_goes_on(session);
        if (on_frame(session, &frame, &run, now_us) < 0)
            return ERR_CLOSED;
        if (!frame_has_label(frame.type))
            wipe(session->input + at - taken, (size_t)taken);
        if (session->input_sealed != sealed && at < session->input_length)
            return protocol_error(session, "a frame behind SWITCH that is not sealed");
        if (is_for_another(session, &frame))
            done = INPUT_HELPING;
    }
    end_run(session, &run, now_us);
    if (session->state == SESSION_ENDED)
        return ERR_CLOSED;
    drop_input(session, at);
    session->pending = done >= INPUT_HELPING && session->input_length > 0;
    return 0;
}

bool session_pending(const struct session *session)
{
    return session->pending;
}

/* ------------------------------------------------------------ what goes out */

static size_t urgent_due(const struct session *session)
{
    size_t end = holds_back(session) ? session->switch_end : session->urgent_length;

    return end - session->urgent_sent;
}

static void output_urgent(struct session *session, struct writer *w)
{
    size_t waiting = urgent_due(session);
    size_t room = writer_room(w);
    size_t length = waiting < room ? waiting : room;

    writer_copy(w, session->urgent + session->urgent_sent, length);
    session->urgent_sent += length;
}

typedef bool pull_fn(void *ctx, uint8_t *type, struct writer *body, uint64_t now_us);

/* False when nothing was due. The writer has room for a whole frame. */
static bool output_pulled(struct session *session, struct writer *w, pull_fn *pull, uint64_t now_us)
{
    uint8_t *head = frame_begin(w, 0);
    uint8_t type;

    if (!pull || !pull(session->ctx, &type, w, now_us)) {
        w->at = head;
        return false;
    }
    head[2] = type;
    frame_end(w, head);
    /* STREAM-DATA may be SIP. */
    session->output_has_keys =
        session->output_has_keys || type == FRAME_SA_PUT || type == FRAME_STREAM_DATA;
    session->counters.frames_out++;
    return true;
}

/* What lies before the next packet is time that it has lost already. */
static uint64_t age_bound(const struct session *session, size_t written)
{
    const struct session_path *path = &session->path;
    uint64_t delay_us = (uint64_t)(path->held + written) * path->ns_per_octet / 1000;
    /* Who misjudges the path is not to drop all. */
    uint64_t most_us = session->max_age_us / 4 * 3;

    delay_us += path->behind_us < most_us ? path->behind_us : most_us;
    delay_us = delay_us > path->spare_us ? delay_us - path->spare_us : 0;
    return session->max_age_us > delay_us ? session->max_age_us - delay_us : 0;
}

static void output_probe(struct session *session, struct writer *w, uint64_t now_us)
{
    uint32_t number;
    uint8_t *head;

    if (session->media.count == 0 || !choice_probe(&session->ways->choice, now_us, &number))
        return;
    head = frame_begin(w, FRAME_PROBE);
    probe_put(w, number);
    frame_end(w, head);
    session->counters.frames_out++;
}

/* need: with its head. */
static void put_media(struct session *session, struct writer *w, const struct queue_entry *entry,
                      const uint8_t *packet, size_t need)
{
    writer_u16(w, (uint16_t)(need - 2));
    writer_u8(w, entry->twin ? FRAME_TWIN : FRAME_MEDIA);
    writer_u32(w, entry->label);
    if (entry->twin)
        writer_u32(w, entry->number);
    writer_copy(w, packet, entry->length);
    if (!entry->copy) {
        entry->counts->queued--;
        verdict_count(entry->counts, VERDICT_ACCEPTED);
    }
    session->counters.frames_out++;
    session->counters.media_out++;
}

static void output_media(struct session *session, struct writer *w, uint64_t now_us)
{
    const struct queue_entry *entry;
    const uint8_t *packet;

    if (is_carrier(session))
        output_probe(session, w, now_us);
    while ((entry = queue_peek(&session->media, &packet)) != NULL) {
        size_t need = FRAME_HEAD_OCTETS + FRAME_LABEL_OCTETS + entry->length +
                      (entry->twin ? FRAME_TWIN_OCTETS : 0);
        size_t written = writer_length(w);

        if (now_us > entry->queued_us + age_bound(session, written)) {
            drop_oldest(session, 1, VERDICT_TUNNEL_LATE);
            continue;
        }
        if (writer_room(w) < need || (written > 0 && written + need > session->path.room))
            return;
        put_media(session, w, entry, packet, need);
        queue_pop(&session->media);
    }
}

size_t session_room(const struct session *session)
{
    return session->path.room;
}

bool session_media_waits(const struct session *session, uint64_t *since_us, size_t *octets)
{
    const uint8_t *packet;
    const struct queue_entry *entry = queue_peek(&session->media, &packet);

    if (!entry || session->urgent_length > session->urgent_sent || session->state != SESSION_UP)
        return false;
    *since_us = entry->queued_us;
    *octets = session->media.count * (entry->length + FRAME_HEAD_OCTETS + FRAME_LABEL_OCTETS);
    return true;
}

static void output_bulk(struct session *session, struct writer *w, size_t octets, uint64_t now_us)
{
    size_t begin = writer_length(w);

    if (begin < octets)
        session->bulk_us = now_us;
    while (writer_length(w) < octets && writer_room(w) >= FRAME_MAX_OCTETS &&
           output_pulled(session, w, session->hooks->pull_bulk, now_us))
        ;
    bulk_took(&session->bulk, writer_length(w) - begin);
}

static size_t room_for_bulk(struct session *session, const struct writer *w, uint64_t now_us)
{
    const struct session_path *path = &session->path;
    bool calls = session->queued_us != 0 && now_us < session->queued_us + CALLS_ARE_ON_US;
    size_t room = bulk_room(&session->bulk, calls, path->long_queue, path->rtt_us, now_us);

    session->bulk_is_held = room == 0;
    room = room < BULK_HELPING_OCTETS ? room + writer_length(w) : BULK_HELPING_OCTETS;
    if (room > BULK_HELPING_OCTETS)
        room = BULK_HELPING_OCTETS;
    return room < path->room ? room : path->room;
}

static void output_up(struct session *session, struct writer *w, size_t size, uint64_t now_us)
{
    /* Half of each helping is kept for media, however many SAs change at once. */
    while (writer_length(w) < size / 2 && writer_room(w) >= FRAME_MAX_OCTETS &&
           output_pulled(session, w, session->hooks->pull_live, now_us))
        ;
    /* Calls are ended by bulk, too: SIP that goes through streams. */
    if (now_us >= session->bulk_us + BULK_AT_LEAST_US)
        output_bulk(session, w, writer_length(w) + 1, now_us);
    output_media(session, w, now_us);
    session->bulk_is_held = false;
    if (session->media.count == 0)
        output_bulk(session, w, room_for_bulk(session, w, now_us), now_us);
}

size_t session_output(struct session *session, uint8_t *memory, size_t size, uint64_t now_us)
{
    struct writer w;

    session->output_has_keys = false;
    writer_init(&w, memory, size);
    output_urgent(session, &w);
    if (urgent_due(session) == 0 && !holds_back(session) && session->state == SESSION_UP)
        output_up(session, &w, size, now_us);
    session->counters.octets_out += writer_length(&w);
    return writer_length(&w);
}

bool session_output_has_keys(const struct session *session)
{
    return session->output_has_keys;
}

static void drop_new(struct session *session, const struct queue_entry *entry, enum verdict verdict)
{
    if (entry->copy)
        return;
    verdict_count(entry->counts, verdict);
    if (session->hooks->dropped)
        session->hooks->dropped(session->ctx, &entry->label, 1, verdict);
    session->counters.late += verdict == VERDICT_TUNNEL_LATE;
}

void session_queue(struct session *session, uint32_t label, const uint8_t *packet, size_t length,
                   struct verdict_counts *counts, const struct session_mark *mark, uint64_t now_us)
{
    struct queue_entry entry = {.queued_us = now_us,
                                .counts = counts,
                                .label = label,
                                .length = (uint32_t)length,
                                .number = mark ? mark->number : 0,
                                .twin = mark && mark->twin,
                                .copy = mark && mark->copy};

    session->queued_us = now_us;
    if (session->state != SESSION_UP) {
        drop_new(session, &entry, VERDICT_TUNNEL_DOWN);
        return;
    }
    while (!queue_push(&session->media, &entry, packet)) {
        if (session->media.count == 0) {
            drop_new(session, &entry, VERDICT_TUNNEL_LATE);
            return;
        }
        drop_oldest(session, 1, VERDICT_TUNNEL_LATE);
    }
    if (!entry.copy)
        counts->queued++;
}

void session_media(struct session *session, uint32_t label, const uint8_t *packet, size_t length,
                   struct verdict_counts *counts, uint64_t now_us)
{
    if (session->ways && session->number > 0 && ways_are_there(session->ways))
        ways_media(session->ways, label, packet, length, counts, now_us);
    else
        session_queue(session, label, packet, length, counts, NULL, now_us);
}

/* ------------------------------------------------------------ time */

static void send_ping(struct session *session, uint64_t now_us)
{
    struct ping ping = {.clock_us = now_us, .sa_version = session->sa_version};

    session->pinged_us = now_us;
    queue_urgent(session, FRAME_PING, put_ping, &ping);
}

int session_tick(struct session *session, uint64_t now_us)
{
    if (session->state == SESSION_ENDED)
        return ERR_CLOSED;
    if (session->state == SESSION_HELLO) {
        if (now_us < session->started_us + HANDSHAKE_TIMEOUT_US)
            return 0;
        return end(session, "no HELLO within 3 s of the connection", NULL);
    }
    if (will_switch(session) && session->wire != SESSION_SEALED &&
        now_us >= session->started_us + HANDSHAKE_TIMEOUT_US)
        return end(session, "no SWITCH within 3 s of the connection", NULL);
    if (now_us >= session->heard_us + DEAD_PEER_US)
        return end(session, "nothing was heard for 1.5 s", NULL);
    if (now_us >= session->pinged_us + PING_INTERVAL_US)
        send_ping(session, now_us);
    return 0;
}

uint64_t session_deadline(const struct session *session)
{
    uint64_t dead = session->heard_us + DEAD_PEER_US;
    uint64_t ping = session->pinged_us + PING_INTERVAL_US;

    if (session->state == SESSION_HELLO)
        return session->started_us + HANDSHAKE_TIMEOUT_US;
    return dead < ping ? dead : ping;
}

/* ------------------------------------------------------------ questions and settings */

void session_set_packet_room(struct session *session, size_t octets)
{
    session->packet_room = octets;
}

bool session_takes(const struct session *media, size_t length)
{
    return length <= media->packet_room;
}

struct session *session_for(struct session *media, struct session *stream, size_t length)
{
    if (length <= media->packet_room || !stream || stream->state != SESSION_UP)
        return media;
    media->counters.larger++;
    return stream;
}

void session_set_max_age(struct session *session, uint64_t max_age_us)
{
    session->max_age_us = max_age_us;
}

void session_set_path(struct session *session, const struct session_path *path, uint64_t now_us)
{
    session->path = *path;
    if (session->ways)
        ways_path(session->ways, session, path, now_us);
}

void session_set_sa_version(struct session *session, uint64_t version)
{
    session->sa_version = version;
}

enum session_state session_state(const struct session *session)
{
    return session->state;
}

const char *session_reason(const struct session *session)
{
    return session->reason;
}

const struct session_counters *session_counters(const struct session *session)
{
    return &session->counters;
}

bool session_bulk_is_held(const struct session *session)
{
    return session->bulk_is_held;
}

uint64_t session_rtt_us(const struct session *session)
{
    return session->rtt_us;
}

bool session_congested(const struct session *session)
{
    return session->urgent_length - session->urgent_sent > URGENT_QUEUE_OCTETS / 2;
}

size_t session_queued(const struct session *session)
{
    return session->media.count;
}

const struct hello *session_peer(const struct session *session)
{
    return &session->peer;
}

uint64_t session_up_since(const struct session *session)
{
    return session->up_us;
}
