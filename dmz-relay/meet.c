#define LOG_MODULE "meet"
#include "dmz-relay/meet.h"

#include <ev.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/protocol.h"
#include "common/base/random.h"
#include "common/carrier/deaf.h"
#include "common/carrier/rawsocket.h"
#include "common/carrier/seal.h"
#include "common/carrier/segment.h"
#include "common/carrier/track.h"
#include "common/tunnel/conn.h"
#include "common/tunnel/meetwire.h"
#include "common/tunnel/rawreader.h"

#define STEP_S 0.01
/* From the first connection to the hand-over, and until a kernel has taken a RST of our own. */
#define MEET_US  (UINT64_C(8) * 1000 * 1000)
#define CLOSE_US (UINT64_C(1) * 1000 * 1000)

enum state {
    STATE_EMPTY,
    STATE_COMING,  /* its connection has switched, and is the session's yet */
    STATE_SHAKING, /* one frame each way tells the numbers */
    STATE_SILENT,
    STATE_CLOSING, /* the kernel is to believe that the peer has ended it */
};

struct end {
    struct meet *meet;
    unsigned site;
    enum state state;
    struct conn *conn;
    int fd;
    struct addr local, peer;
    struct seal *seal;
    struct rawreader_client client;
    bool listens;
    struct deaf deaf;
    struct track_start start;
    uint64_t silent_us;
};

struct meet {
    struct meets *meets;
    struct meet *next;
    uint64_t number;
    struct end end[2];
    ev_timer timer;
    bool ending;
    uint64_t began_us; /* or when its end began */
};

struct meets {
    struct ev_loop *loop;
    struct rawreader *reader;
    struct seal_store *seals;
    struct meets_hooks hooks;
    struct meet *first;
    size_t count; /* meetings */
    unsigned site_count;
};

/* ------------------------------------------------------------ list */

static struct meet *find(const struct meets *meets, uint64_t number)
{
    struct meet *meet = meets->first;

    while (meet && (meet->number != number || meet->ending))
        meet = meet->next;
    return meet;
}

static void stop_listening(struct end *end)
{
    if (end->listens)
        rawreader_remove(end->meet->meets->reader, &end->client);
    end->listens = false;
}

/* Its connection is closed. */
static void empty(struct end *end)
{
    stop_listening(end);
    seal_free(end->seal);
    end->seal = NULL;
    end->conn = NULL;
    end->state = STATE_EMPTY;
}

static void remove_meet(struct meet *meet)
{
    struct meets *meets = meet->meets;
    struct meet **at = &meets->first;

    while (*at != meet)
        at = &(*at)->next;
    *at = meet->next;
    meets->count--;
    ev_timer_stop(meets->loop, &meet->timer);
    free(meet);
}

/* ------------------------------------------------------------ the end */

static void tell_end(const struct end *end, const char *reason)
{
    const struct meets *meets = end->meet->meets;
    struct meet_frame frame = {.number = end->meet->number};
    uint8_t memory[2 * MESSAGE_REASON_SIZE];
    struct writer w;

    snprintf(frame.reason, sizeof(frame.reason), "%s", reason);
    writer_init(&w, memory, sizeof(memory));
    meetwire_put(&w, FRAME_MEET_END, &frame);
    meets->hooks.tell(meets->hooks.ctx, end->site, FRAME_MEET_END, memory, writer_length(&w));
}

static void start_timer(struct meet *meet)
{
    if (!ev_is_active(&meet->timer))
        ev_timer_again(meet->meets->loop, &meet->timer);
}

/* The timer does the rest. quiet_site: is not told. */
static void end_meet(struct meet *meet, const char *reason, int quiet_site)
{
    if (meet->ending)
        return;
    meet->ending = true;
    meet->began_us = clock_now_us();
    log_info("meeting %016" PRIx64 " is over: %s", meet->number, reason);
    for (int i = 0; i < 2; i++) {
        struct end *end = &meet->end[i];

        if (end->state == STATE_EMPTY)
            continue;
        if ((int)end->site != quiet_site)
            tell_end(end, reason);
        stop_listening(end);
        end->state = STATE_CLOSING;
    }
    start_timer(meet);
}

static void close_now(struct end *end)
{
    struct conn *conn = end->conn;

    if (conn)
        conn_close(conn, "the meeting is over"); /* on_closed() empties it */
}

/* True: nothing is left of it. */
static bool close_end(struct end *end, uint64_t now_us)
{
    struct rawsocket *raw = rawreader_socket(end->meet->meets->reader, end->local.family);

    if (end->state == STATE_EMPTY)
        return true;
    if (end->deaf.made && raw && !deaf_is_over(end->fd) &&
        now_us - end->meet->began_us < CLOSE_US) {
        (void)deaf_reset(&end->deaf, raw, &end->local, &end->peer);
        if (!deaf_is_over(end->fd))
            return false;
    }
    close_now(end);
    return true;
}

/* ------------------------------------------------------------ the numbers */

/* The kernel repeats it when it is lost. */
static void answer(struct end *end)
{
    uint8_t frame[SEAL_OVER_OCTETS];
    int length = seal_put(end->seal, FRAME_PONG, 0, NULL, 0, frame);

    if (length > 0)
        (void)send(end->fd, frame, (size_t)length, MSG_NOSIGNAL | MSG_DONTWAIT | MSG_EOR);
}

static void on_segment(void *ctx, struct segment *segment)
{
    struct end *end = ctx;
    uint8_t *at = (uint8_t *)(uintptr_t)segment->data;
    size_t left = segment->length;
    bool opened = false;
    int length;

    if (end->state != STATE_SHAKING)
        return;
    while ((length = seal_length(at, left)) > 0 && (size_t)length <= left) {
        struct seal_opened frame;

        opened = seal_open(end->seal, at, (size_t)length, at + SEAL_HEAD_OCTETS, &frame) ==
                     SEAL_OPENED ||
                 opened;
        at += length;
        left -= (size_t)length;
    }
    if (!opened)
        return;
    deaf_saw(&end->deaf, segment);
    if (deaf_note(&end->deaf, end->fd) == 0)
        answer(end);
}

static void on_segments_drained(void *ctx)
{
    (void)ctx;
}

static const struct rawreader_hooks raw_hooks = {.segment = on_segment,
                                                 .drained = on_segments_drained};

static struct addr local_of(int fd)
{
    struct sockaddr_storage name = {0};
    socklen_t length = sizeof(name);

    (void)getsockname(fd, (struct sockaddr *)&name, &length);
    return addr_from_sockaddr((struct sockaddr *)&name);
}

/* The connection leaves its session. Not yet: it is in the midst of something. */
static void leave(struct end *end)
{
    uint8_t secret[2][SEAL_SECRET_OCTETS];
    struct meets *meets = end->meet->meets;
    size_t key_octets;
    int fd = conn_leave(end->conn, secret, &key_octets);

    if (fd < 0)
        return;
    if (seal_new(&end->seal, meets->seals, key_octets, secret[1], secret[0]) == 0) {
        end->fd = fd;
        end->local = local_of(fd);
        end->client = (struct rawreader_client){
            .peer = end->peer, .local_port = end->local.port, .hooks = &raw_hooks, .ctx = end};
        rawreader_add(meets->reader, &end->client);
        end->listens = true;
        end->state = STATE_SHAKING;
    }
    wipe(secret, sizeof(secret));
}

static void shut_ears(struct end *end, uint64_t now_us)
{
    if (!end->deaf.noted || deaf_make(&end->deaf, end->fd, &end->start) < 0)
        return;
    stop_listening(end);
    end->silent_us = now_us;
    end->state = STATE_SILENT;
}

static void hand_over(struct meet *meet, const struct end *to, const struct end *other,
                      uint64_t now_us)
{
    struct meets *meets = meet->meets;
    struct meet_frame frame = {.number = meet->number,
                               .own = to->peer,
                               .mapped = other->peer,
                               .handed_over = true,
                               .start = other->start};
    uint8_t memory[SITE_SIZE + 256];
    struct writer w;

    snprintf(frame.site, sizeof(frame.site), "%s",
             meets->hooks.name(meets->hooks.ctx, other->site));
    frame.start.timestamp += (uint32_t)((now_us - other->silent_us) / 1000);
    writer_init(&w, memory, sizeof(memory));
    meetwire_put(&w, FRAME_MEET, &frame);
    meets->hooks.tell(meets->hooks.ctx, to->site, FRAME_MEET, memory, writer_length(&w));
}

/* ------------------------------------------------------------ time */

static void go_on(struct meet *meet, uint64_t now_us)
{
    for (int i = 0; i < 2; i++) {
        if (meet->end[i].state == STATE_COMING)
            leave(&meet->end[i]);
        else if (meet->end[i].state == STATE_SHAKING)
            shut_ears(&meet->end[i], now_us);
    }
    if (meet->end[0].state == STATE_SILENT && meet->end[1].state == STATE_SILENT) {
        log_info("meeting %016" PRIx64 ": handed over to its sites", meet->number);
        ev_timer_stop(meet->meets->loop, &meet->timer);
        hand_over(meet, &meet->end[0], &meet->end[1], now_us);
        hand_over(meet, &meet->end[1], &meet->end[0], now_us);
    } else if (now_us - meet->began_us >= MEET_US) {
        end_meet(meet,
                 meet->end[1].state == STATE_EMPTY ? "the other site has not come"
                                                   : "the numbers could not be told",
                 -1);
    }
}

static void on_step(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct meet *meet = timer->data;
    uint64_t now_us = clock_now_us();

    (void)loop;
    (void)events;
    if (!meet->ending) {
        go_on(meet, now_us);
        return;
    }
    if ((int)close_end(&meet->end[0], now_us) & (int)close_end(&meet->end[1], now_us))
        remove_meet(meet);
}

/* ------------------------------------------------------------ connections */

static void on_closed(void *ctx, struct conn *conn, const char *reason)
{
    struct end *end = ctx;

    (void)conn;
    empty(end);
    end_meet(end->meet, reason, -1);
}

static const struct conn_hooks conn_hooks = {.closed = on_closed};

static struct meet *add(struct meets *meets, uint64_t number)
{
    struct meet *meet = meets->count < MEETS_MAX ? calloc(1, sizeof(*meet)) : NULL;

    if (!meet)
        return NULL;
    meet->meets = meets;
    meet->number = number;
    meet->began_us = clock_now_us();
    meet->next = meets->first;
    meets->first = meet;
    meets->count++;
    ev_timer_init(&meet->timer, on_step, 0., STEP_S);
    meet->timer.data = meet;
    start_timer(meet);
    return meet;
}

static unsigned count_of(const struct meets *meets, unsigned site)
{
    unsigned count = 0;

    for (const struct meet *meet = meets->first; meet; meet = meet->next) {
        for (int i = 0; i < 2; i++)
            count += meet->end[i].state != STATE_EMPTY && meet->end[i].site == site;
    }
    return count;
}

bool meets_may_begin(unsigned of_site, unsigned all, unsigned sites)
{
    return of_site < MEETS_OF_SITE && all < MEETS_MAX && 2 * of_site < MEETS_MAX - all &&
           (of_site == 0 || all + sites <= MEETS_MAX);
}

/* NULL: it may not, *why says so. */
static struct end *place_for(struct meets *meets, unsigned site, uint64_t number, const char **why)
{
    struct meet *meet = find(meets, number);

    if (!meet && meets_may_begin(count_of(meets, site), (unsigned)meets->count, meets->site_count))
        meet = add(meets, number);
    *why = "there are too many meetings already";
    if (!meet)
        return NULL;
    *why = "the meeting is another one's";
    if (meet->end[0].state == STATE_EMPTY)
        return &meet->end[0];
    if (meet->end[1].state != STATE_EMPTY || meet->end[0].site == site ||
        !meets->hooks.may(meets->hooks.ctx, site, meet->end[0].site))
        return NULL;
    return &meet->end[1];
}

void meets_take(struct meets *meets, unsigned site, uint64_t number, struct conn *conn)
{
    const char *why;
    struct end *end = place_for(meets, site, number, &why);

    if (!end) {
        conn_close(conn, why);
        return;
    }
    if (!end->meet)
        *end = (struct end){.meet = find(meets, number)};
    end->site = site;
    end->conn = conn;
    end->peer = *conn_peer(conn);
    end->state = STATE_COMING;
    conn_move(conn, meets->loop, &conn_hooks, end);
}

int meets_frame(struct meets *meets, unsigned site, struct reader *body)
{
    struct meet_frame frame;
    struct meet *meet;

    if (meetwire_get(FRAME_MEET_END, body, &frame) < 0)
        return ERR_PROTOCOL;
    meet = find(meets, frame.number);
    for (int i = 0; meet && i < 2; i++) {
        if (meet->end[i].state != STATE_EMPTY && meet->end[i].site == site) {
            end_meet(meet, frame.reason[0] ? frame.reason : "a site has ended it", (int)site);
            break;
        }
    }
    return 0;
}

void meets_down(struct meets *meets, unsigned site)
{
    for (struct meet *meet = meets->first; meet; meet = meet->next) {
        for (int i = 0; i < 2; i++) {
            if (meet->end[i].state != STATE_EMPTY && meet->end[i].site == site)
                end_meet(meet, "a site is not connected any more", (int)site);
        }
    }
}

/* ------------------------------------------------------------ life */

struct meets *meets_new(struct ev_loop *loop, struct rawreader *reader, struct seal_store *seals,
                        unsigned site_count, const struct meets_hooks *hooks)
{
    struct meets *meets = calloc(1, sizeof(*meets));

    if (!meets)
        return NULL;
    meets->loop = loop;
    meets->reader = reader;
    meets->seals = seals;
    meets->site_count = site_count;
    meets->hooks = *hooks;
    return meets;
}

void meets_free(struct meets *meets)
{
    if (!meets)
        return;
    while (meets->first) {
        struct meet *meet = meets->first;

        end_meet(meet, "the dmz-relay stops", -1);
        for (int i = 0; i < 2; i++) {
            if (close_end(&meet->end[i], clock_now_us()))
                continue;
            close_now(&meet->end[i]);
        }
        remove_meet(meet);
    }
    free(meets);
}
