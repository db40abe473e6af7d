#define LOG_MODULE "meet"
#include "inner-relay/meet.h"

#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/random.h"
#include "common/carrier/rawsocket.h"
#include "common/daemon/reportvalue.h"
#include "common/tunnel/meetwire.h"
#include "inner-relay/meetconn.h"
#include "inner-relay/meetmessage.h"
#include "inner-relay/meetpace.h"
#include "inner-relay/meetpath.h"
#include "inner-relay/relay.h"

#define STEP_S 0.005
/* From the agreement to the path. */
#define MEET_US (UINT64_C(12) * 1000 * 1000)
/* What is on its way when a path ends comes to a connection that is there yet. */
#define LINGER_US (UINT64_C(300) * 1000)
#define CLOSE_US  (UINT64_C(1) * 1000 * 1000)

enum state {
    STATE_OFF,
    STATE_COMING,  /* its connection is being made */
    STATE_WAITING, /* that is silent; MEET of the dmz-relay is awaited */
    STATE_OPEN,
    STATE_LINGERING,
    STATE_CLOSING, /* the kernel is to believe that the dmz-relay has ended it */
};

static const char no_calls[] = "there are no calls with it";
static const char *const state_names[] = {"off",  "connecting", "waiting",
                                          "open", "ending",     "ending"};

struct meet {
    struct meets *meets;
    struct site *site;    /* NULL: the place is free */
    enum sites_side side; /* of the session in which it was agreed on */
    enum state state;
    uint64_t number, since_us;
    struct meetpace pace;
    char why[MESSAGE_REASON_SIZE];         /* it came to nothing, or ended; "": neither */
    uint8_t secret[2][SEAL_SECRET_OCTETS]; /* 0: from who has opened the session */
    bool told;
    struct meet_frame frame; /* as the dmz-relay has told */
    struct meetconn conn;
    struct meetpath path;
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

/* Why there can be none with this site; NULL: there can. */
static const char *obstacle(const struct meets *meets, const struct site *site)
{
    const struct site_settings *settings = inner_site(meets->daemon->settings, site_name(site));
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

static void start_timer(struct meets *meets)
{
    if (!ev_is_active(&meets->timer))
        ev_timer_again(meets->daemon->loop, &meets->timer);
}

/* ------------------------------------------------------------ what is said */

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

/* Nothing is left but when it may be tried again. */
static void clear(struct meet *meet, uint64_t now_us)
{
    meetconn_close(&meet->conn);
    meetpath_fini(&meet->path);
    wipe(meet->secret, sizeof(meet->secret));
    meet->told = false;
    meetpace_end(&meet->pace, now_us);
    meet->state = STATE_OFF;
}

static void clear_at_once(struct meet *meet, uint64_t now_us)
{
    if (meet->state == STATE_OFF)
        return;
    meetconn_reset_at_once(&meet->conn, now_us);
    clear(meet, now_us);
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
    meetpace_close(&meet->pace, direct_is_proven(&meet->path.direct, now_us), now_us);
    meetpath_close(&meet->path);
    meet->state = STATE_LINGERING;
    meet->since_us = now_us;
    start_timer(meet->meets);
}

static void go_away(struct meet *meet, uint64_t now_us)
{
    if (meet->state == STATE_LINGERING) {
        if (meetconn_is_deaf(&meet->conn) && now_us - meet->since_us < LINGER_US)
            return;
        meetconn_reset(&meet->conn, now_us);
        meet->state = STATE_CLOSING;
    }
    if (meetconn_is_over(&meet->conn, now_us) || now_us - meet->since_us >= CLOSE_US)
        clear(meet, now_us);
}

/* ------------------------------------------------------------ media */

static void send_segment(void *ctx, const struct segment *segment)
{
    struct rawsocket *raw = meetconn_raw(&((struct meet *)ctx)->conn);

    if (raw)
        (void)rawsocket_queue(raw, segment);
}

/* For those SAs alone that take packets of that site. */
static void take_media(void *ctx, const struct session_packet *packets, size_t count,
                       uint64_t now_us)
{
    const struct meet *meet = ctx;

    inbound_past(site_link(meet->site), site_name(meet->site), packets, count, now_us);
}

static const struct meetpath_hooks path_hooks = {send_segment, take_media};

/* True: it has gone that way, and need not go through the tunnel. */
static bool on_media(void *ctx, const struct sa *sa, const uint8_t *packet, size_t length,
                     uint64_t now_us)
{
    struct meets *meets = ctx;
    uint32_t label = 0;
    struct site *site = meets->open > 0 ? sitemedia_find(meets->media, sa, &label) : NULL;
    struct meet *meet = site ? find(meets, site) : NULL;

    return meet && meet->state == STATE_OPEN &&
           meetpath_media(&meet->path, label, packet, length, now_us);
}

static bool is_open(void *ctx, const char *name)
{
    const struct meets *meets = ctx;
    struct site *site = sites_find(relay_of(meets->daemon)->sites, name);
    const struct meet *meet = site ? find(meets, site) : NULL;

    return meet && meet->state == STATE_OPEN;
}

static void flush(struct meet *meet, uint64_t now_us)
{
    meetpath_flush(&meet->path, now_us);
    meetconn_flush(&meet->conn);
}

void meets_flush(struct meets *meets)
{
    if (!meets || meets->open == 0)
        return;
    for (size_t i = 0; i < SITES_MAX; i++) {
        if (meets->meet[i].path.length > 0)
            flush(&meets->meet[i], clock_now_us());
    }
}

/* ------------------------------------------------------------ the connection */

static void open_path(struct meet *meet, uint64_t now_us);

static void on_deaf(void *ctx, uint64_t now_us)
{
    struct meet *meet = ctx;
    unsigned out = meet->side == SITES_OURS ? 0 : 1;

    if (meetpath_init(&meet->path, &path_hooks, meet, meet->meets->daemon->seals, meet->secret[out],
                      meet->secret[1 - out]) < 0) {
        end_meet(meet, "keys cannot be made", true, now_us);
        return;
    }
    meet->state = STATE_WAITING;
    if (meet->told)
        open_path(meet, now_us);
}

static bool on_frames(void *ctx, uint8_t *at, size_t left, uint64_t now_us)
{
    struct meet *meet = ctx;

    return (meet->state == STATE_WAITING || meet->state == STATE_OPEN) &&
           meetpath_frames(&meet->path, at, left, now_us);
}

static const struct meetconn_hooks conn_hooks = {on_deaf, on_frames};

/* Each needs a local port of its own. */
static unsigned count_others(const struct meet *meet)
{
    const struct meets *meets = meet->meets;
    unsigned count = 0;

    for (size_t i = 0; i < SITES_MAX; i++) {
        const struct meet *other = &meets->meet[i];

        count += other != meet && other->site && other->state != STATE_OFF &&
                 site_link(other->site) == site_link(meet->site);
    }
    return count;
}

/* False: not now. */
static bool begin(struct meet *meet, uint64_t number, enum sites_side side, uint64_t now_us)
{
    uint64_t mark = site_mark(meet->site, side);

    if (!meetpace_may_begin(&meet->pace, count_others(meet), now_us) || mark == 0 ||
        !meetpace_take(&meet->pace, side, mark, number))
        return false;
    for (uint8_t direction = 0; direction < 2; direction++) {
        if (!site_export(meet->site, side, SITE_USE_MEETING + direction, number,
                         meet->secret[direction]))
            return false;
    }
    meetpace_begin(&meet->pace, now_us);
    meet->number = number;
    meet->side = side;
    meet->since_us = now_us;
    meet->why[0] = '\0';
    if (meetconn_begin(&meet->conn, meet->meets->daemon, site_link(meet->site), number, meet->label,
                       &conn_hooks, meet) < 0)
        return false;
    meet->state = STATE_COMING;
    start_timer(meet->meets);
    return true;
}

/* ------------------------------------------------------------ the path */

static bool is_allowed(const struct meet *meet)
{
    return inner_site_is_at(meet->meets->daemon->settings, site_name(meet->site),
                            &meet->frame.mapped);
}

/* NULL: what the dmz-relay has told is good. */
static const char *objection(const struct meet *meet)
{
    char text[ADDR_TEXT_SIZE];

    if (strcasecmp(meet->frame.site, site_name(meet->site)) != 0 || !meet->frame.handed_over ||
        meet->frame.mapped.family != meet->conn.remote.family)
        return "the dmz-relay has told of something else";
    if (is_allowed(meet))
        return NULL;
    log_warning("site %s: the dmz-relay says that it is at %s, which its direct-to does not allow",
                site_name(meet->site), addr_format(&meet->frame.mapped, text, sizeof(text)));
    return "direct-to does not allow the address of the other site";
}

static void open_path(struct meet *meet, uint64_t now_us)
{
    const struct meet_frame *frame = &meet->frame;
    const char *why = objection(meet);
    char own[ADDR_TEXT_SIZE], mapped[ADDR_TEXT_SIZE];

    if (why) {
        end_meet(meet, why, true, now_us);
        return;
    }
    meet->path.traffic = (uint8_t)(meet->meets->daemon->shared.tunnel->dscp << 2);
    meetpath_open(&meet->path, &meet->conn.remote, &frame->mapped, &frame->start, now_us);
    meetpace_open(&meet->pace, now_us);
    meet->state = STATE_OPEN;
    meet->meets->open++;
    log_info("site %s: direct path from %s to %s", site_name(meet->site),
             addr_format(&frame->own, own, sizeof(own)),
             addr_format(&frame->mapped, mapped, sizeof(mapped)));
}

static void keep_open(struct meet *meet, uint64_t now_us)
{
    if (direct_is_proven(&meet->path.direct, now_us) && meetpace_prove(&meet->pace))
        log_info("site %s: the direct path works", site_name(meet->site));
    if (direct_is_lost(&meet->path.direct, now_us)) {
        end_meet(meet, "nothing comes there", true, now_us);
        return;
    }
    meetpath_ping(&meet->path, meetconn_received(&meet->conn), now_us);
    meetpath_flush(&meet->path, now_us);
}

/* Why it cannot go on; NULL: it can. */
static const char *trouble(const struct meet *meet, uint64_t now_us)
{
    if (!site_link(meet->site)->session)
        return "the tunnel to the dmz-relay is down";
    if (meetconn_is_broken(&meet->conn))
        return "the connection for it has not come up";
    if (meet->state < STATE_OPEN && now_us - meet->since_us >= MEET_US)
        return "the other site, or the dmz-relay, has not done its part";
    return NULL;
}

static void step_one(struct meet *meet, uint64_t now_us)
{
    const char *why;

    if (meet->state >= STATE_LINGERING) {
        go_away(meet, now_us);
        return;
    }
    why = trouble(meet, now_us);
    if (why) {
        end_meet(meet, why, true, now_us);
        return;
    }
    meetconn_step(&meet->conn, now_us);
    if (meet->state == STATE_OPEN)
        keep_open(meet, now_us);
    meetconn_flush(&meet->conn);
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
    enum sites_side side;
    uint64_t number;

    if (meetmessage_is_theirs(meet->site) || !site_up_side(meet->site, &side))
        return;
    number = meetpace_draw(&meet->pace, side, site_mark(meet->site, side), random_u64());
    if (begin(meet, number, side, now_us))
        meetmessage_send(meet->site, side, MESSAGE_MEET, number, "", now_us);
}

static void tick_site(struct meets *meets, struct site *site, uint64_t now_us)
{
    const char *why = obstacle(meets, site);
    bool wanted = !why && is_wanted(meets, site);
    struct meet *meet = wanted ? place_for(meets, site) : find(meets, site);

    if (!meet)
        return;
    if (!wanted)
        end_meet(meet, why ? why : no_calls, true, now_us);
    else if (meet->state == STATE_OPEN && !is_allowed(meet))
        end_meet(meet, "direct-to allows the address of the other site no more", true, now_us);
    else if (punchings_are_steady(relay_of(meets->daemon)->punchings, site, now_us))
        end_meet(meet, "the connection that both have opened at once works", true, now_us);
    else if (meet->state == STATE_OFF && meetpace_is_due(&meet->pace, now_us) &&
             !punchings_hope(relay_of(meets->daemon)->punchings, site))
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
    const char *why = obstacle(meets, site);
    struct meet *meet = why ? NULL : place_for(meets, site);

    if (meet && meet->state != STATE_OFF && meet->number == number)
        return;
    if (meet && meetpace_may_begin(&meet->pace, count_others(meet), now_us)) {
        end_meet(meet, "the other site has begun another one", true, now_us);
        clear_at_once(meet, now_us);
    }
    if (meet && meet->state == STATE_OFF && begin(meet, number, side, now_us))
        return;
    meetmessage_send(site, side, MESSAGE_MEET_END, number, why ? why : "it cannot be begun now",
                     now_us);
}

static int on_message(void *ctx, struct site *site, enum sites_side side, uint8_t type,
                      struct reader *body, uint64_t now_us)
{
    struct meets *meets = ctx;
    struct meet *meet = find(meets, site);
    struct meet_message message;
    int result;

    if (type != MESSAGE_MEET && type != MESSAGE_MEET_END)
        return ERR_UNSUPPORTED;
    result = meetmessage_get(type, body, &message);
    if (result < 0)
        return result;
    if (type == MESSAGE_MEET)
        take_asked(meets, site, side, message.number, now_us);
    else if (meet && meet->number == message.number)
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
    clear_at_once(meet, clock_now_us());
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
    relay->core.meetings = (struct inner_meetings){
        .frame = on_frame, .media = on_media, .is_open = is_open, .ctx = meets};
    return meets;
}

void meets_stop(struct meets *meets)
{
    if (!meets)
        return;
    relay_of(meets->daemon)->core.meetings = (struct inner_meetings){.frame = NULL};
    ev_timer_stop(meets->daemon->loop, &meets->timer);
    for (size_t i = 0; i < SITES_MAX; i++) {
        if (meets->meet[i].site)
            clear_at_once(&meets->meet[i], 0);
    }
}

void meets_free(struct meets *meets)
{
    meets_stop(meets);
    free(meets);
}

/* ------------------------------------------------------------ what others show */

static const char *why_not(const struct meets *meets, const struct site *site)
{
    const struct meet *meet = find(meets, site);
    const char *why = obstacle(meets, site);

    if (why)
        return why;
    if (!meet && !is_wanted(meets, site))
        return no_calls;
    if (meet && (meet->state != STATE_OFF || meet->why[0]))
        return meet->why;
    if (punchings_hope(relay_of(meets->daemon)->punchings, site))
        return "the connection that both open at once is tried first";
    return meetmessage_not_yet(site);
}

static const char *state_of(const struct meet *meet)
{
    if (!meet)
        return state_names[STATE_OFF];
    if (meet->state == STATE_OPEN && direct_is_proven(&meet->path.direct, clock_now_us()))
        return "proven";
    return state_names[meet->state];
}

void meets_add(json_t *row, const struct meets *meets, const struct site *site)
{
    const struct meet *meet = meets ? find(meets, site) : NULL;
    bool proven = strcmp(state_of(meet), "proven") == 0;

    json_object_set_new(row, "path", json_string(proven ? "direct" : "dmz-relay"));
    json_object_set_new(row, "direct", json_string(state_of(meet)));
    json_object_set_new(row, "direct_why", json_string(meets ? why_not(meets, site) : "it stops"));
    if (!meet || meet->state != STATE_OPEN)
        return;
    json_object_set_new(row, "mapped", report_addr(&meet->frame.own));
    json_object_set_new(row, "other_mapped", report_addr(&meet->frame.mapped));
}

json_t *meets_report(const struct meets *meets, const char *name)
{
    struct site *site = meets ? sites_find(relay_of(meets->daemon)->sites, name) : NULL;
    const struct meet *meet = site ? find(meets, site) : NULL;
    const char *why = site ? why_not(meets, site) : "";

    if (!meet)
        return json_pack("{s:s,s:s}", "state", state_of(meet), "why", why);
    return json_pack(
        "{s:s,s:s,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "state", state_of(meet), "why", why, "sent",
        report_number(meet->path.sent), "received", report_number(meet->path.came), "forged",
        report_number(meet->path.forged), "moves", report_number(meet->path.direct.moves),
        "returns", report_number(meet->path.direct.returns), "rtt_us",
        report_number(meet->path.direct.rtt_us), "rewinds", report_number(meet->path.out.rewinds),
        "acks", report_number(meet->conn.track.counts[TRACK_GENUINE]));
}
