#define LOG_MODULE "punch"
#include "inner-relay/punching.h"

#include <ev.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/protocol.h"
#include "common/base/random.h"
#include "common/carrier/segment.h"
#include "common/daemon/reportvalue.h"
#include "common/tunnel/localports.h"
#include "common/tunnel/meetwire.h"
#include "common/tunnel/punch.h"
#include "common/tunnel/rawreader.h"
#include "common/tunnel/tcp.h"
#include "inner-relay/hole.h"
#include "inner-relay/meetmessage.h"
#include "inner-relay/meetpace.h"
#include "inner-relay/relay.h"

#define STEP_S 0.005
/* Until both sites have asked, and been told. */
#define ASKING_US (UINT64_C(2) * 1000 * 1000)

enum state {
    STATE_OFF,
    STATE_ASKING,     /* the dmz-relay is to tell where the other site is */
    STATE_CONNECTING, /* at the same time as the other site */
    STATE_OPEN,
};

static const char no_calls[] = "there are no calls with it";
static const char *const state_names[] = {"off", "asking", "connecting", "open"};

struct punching {
    struct punchings *punchings;
    struct site *site; /* NULL: the place is free */
    enum state state;
    uint64_t number, since_us;
    struct meetpace pace;
    char why[MESSAGE_REASON_SIZE + 32];    /* it came to nothing, or ended; "": neither */
    enum sites_side side;                  /* of the session in which it was agreed on */
    uint8_t secret[2][SEAL_SECRET_OCTETS]; /* 0: from who has opened the session */
    struct addr own, mapped;
    struct punch punch;
    struct hole *hole; /* once it is open */
    ev_io io;
    bool reads_early;
    struct rawreader_client client;
    struct direct last; /* how the one before ended */
    bool cut_off;       /* it was ended while it was good, and the other site has not said why */
};

struct punchings {
    struct daemon *daemon;
    struct sitemedia *media;
    struct punching punching[SITES_MAX];
    unsigned open; /* of them */
    ev_timer timer;
};

/* ------------------------------------------------------------ settings and places */

static bool is_allowed(const struct punching *punching)
{
    return inner_site_is_at(punching->punchings->daemon->settings, site_name(punching->site),
                            &punching->mapped);
}

static const struct conn *tunnel_of(const struct punchings *punchings, const struct site *site)
{
    const struct relay *relay = relay_of(punchings->daemon);

    return connector_conn(relay->links[site_link(site)->number].connector);
}

/* Why there can be none with this site; NULL: there can. */
static const char *obstacle(const struct punchings *punchings, const struct site *site)
{
    const struct site_settings *settings = inner_site(punchings->daemon->settings, site_name(site));
    const struct daemon *daemon = punchings->daemon;
    const struct inner_link *link = site_link(site);

    if (!settings || settings->direct_to.count == 0)
        return "direct-to of the ini file names no address";
    if (daemon->workers || !daemon->seals)
        return "there is more than one thread";
    if (!link->session || session_state(link->session) != SESSION_UP ||
        !(link->peer.features & FEATURE_PUNCH))
        return "the dmz-relay does not tell where sites are";
    if (!conn_is_direct(tunnel_of(punchings, site)) ||
        relay_of(daemon)->links[link->number].proxy.host[0])
        return "there is an HTTP proxy on the way";
    return NULL;
}

static struct punching *find(const struct punchings *punchings, const struct site *site)
{
    for (size_t i = 0; i < SITES_MAX; i++) {
        if (punchings->punching[i].site == site)
            return (struct punching *)(uintptr_t)&punchings->punching[i];
    }
    return NULL;
}

static struct punching *place_for(struct punchings *punchings, struct site *site)
{
    struct punching *punching = find(punchings, site);

    if (!punching)
        punching = find(punchings, NULL);
    if (punching && !punching->site)
        *punching = (struct punching){.punchings = punchings, .site = site, .punch.fd = -1};
    return punching;
}

/* ------------------------------------------------------------ what is said */

static void ask_dmz(const struct punching *punching)
{
    struct inner_link *link = site_link(punching->site);
    struct meet_frame frame = {.number = punching->number};
    uint8_t memory[SITE_SIZE + 64];
    struct writer w;

    snprintf(frame.site, sizeof(frame.site), "%s", site_name(punching->site));
    writer_init(&w, memory, sizeof(memory));
    meetwire_put(&w, FRAME_PUNCH, &frame);
    session_control(link->session, FRAME_PUNCH, memory, writer_length(&w));
    link->inner->hooks.kick(link->inner->hooks.ctx, link);
}

/* ------------------------------------------------------------ read early */

static void hand_on(const struct punching *punching)
{
    struct daemon *daemon = punching->punchings->daemon;
    struct inner *core = &relay_of(daemon)->core;

    core->out.flush(core->out.ctx);
    if (table_work_due(core->table))
        daemon_has_work(daemon);
}

static void on_segment(void *ctx, struct segment *segment)
{
    struct punching *punching = ctx;

    hole_segment(punching->hole, (uint8_t *)(uintptr_t)segment->data, segment->length,
                 clock_now_us());
}

static void on_segments_drained(void *ctx)
{
    hand_on(ctx);
}

static const struct rawreader_hooks raw_hooks = {.segment = on_segment,
                                                 .drained = on_segments_drained};

/* Where the tunnel comes from a port that the raw socket sees; else in order alone. */
static void start_early(struct punching *punching)
{
    const struct daemon *daemon = punching->punchings->daemon;
    uint16_t port = punching->punch.local.port;

    if (!daemon->readers[0] || !daemon->ports[0] || !localports_has(daemon->ports[0], port))
        return;
    punching->client = (struct rawreader_client){
        .peer = punching->mapped, .local_port = port, .hooks = &raw_hooks, .ctx = punching};
    rawreader_add(daemon->readers[0], &punching->client);
    punching->reads_early = true;
}

static void stop_early(struct punching *punching)
{
    if (punching->reads_early)
        rawreader_remove(punching->punchings->daemon->readers[0], &punching->client);
    punching->reads_early = false;
}

/* ------------------------------------------------------------ beginning and end */

static bool is_proven(const struct punching *punching, uint64_t now_us)
{
    return punching && punching->hole && direct_is_proven(&punching->hole->path.direct, now_us);
}

/* Media goes there, and never went back. */
static bool is_good(const struct punching *punching, uint64_t now_us)
{
    return is_proven(punching, now_us) && punching->hole->path.direct.returns == 0;
}

static void begin(struct punching *punching, uint64_t now_us)
{
    punching->since_us = now_us;
    punching->why[0] = '\0';
    punching->cut_off = false;
    meetpace_begin(&punching->pace, now_us);
    punching->state = STATE_ASKING;
    ask_dmz(punching);
    if (!ev_is_active(&punching->punchings->timer))
        ev_timer_again(punching->punchings->daemon->loop, &punching->punchings->timer);
}

/* False: not now. */
static bool agree(struct punching *punching, uint64_t number, enum sites_side side, uint64_t now_us)
{
    uint64_t mark = site_mark(punching->site, side);

    if (!meetpace_may_begin(&punching->pace, 0, now_us) || mark == 0 ||
        !meetpace_take(&punching->pace, side, mark, number))
        return false;
    for (uint8_t direction = 0; direction < 2; direction++) {
        if (!site_export(punching->site, side, SITE_USE_PUNCHED + direction, number,
                         punching->secret[direction]))
            return false;
    }
    punching->number = number;
    punching->side = side;
    return true;
}

static void finish(struct punching *punching, const char *why, bool tell, uint64_t now_us)
{
    struct punchings *punchings = punching->punchings;

    if (punching->state == STATE_OFF)
        return;
    snprintf(punching->why, sizeof(punching->why), "%s", why);
    log_info("site %s: no connection opened by both at once: %s", site_name(punching->site), why);
    if (tell)
        meetmessage_send(punching->site, punching->side, MESSAGE_PUNCH_END, punching->number, why,
                         now_us);
    punchings->open -= punching->state == STATE_OPEN;
    meetpace_close(&punching->pace, !punching->cut_off && is_good(punching, now_us), now_us);
    ev_io_stop(punchings->daemon->loop, &punching->io);
    stop_early(punching);
    if (punching->hole)
        punching->last = punching->hole->path.direct;
    hole_free(punching->hole);
    punching->hole = NULL;
    punch_end(&punching->punch);
    wipe(punching->secret, sizeof(punching->secret));
    meetpace_end(&punching->pace, now_us);
    punching->state = STATE_OFF;
}

/* ------------------------------------------------------------ the connection */

static void on_media(void *ctx, const struct session_packet *packets, size_t count, uint64_t now_us)
{
    const struct punching *punching = ctx;

    inbound_past(site_link(punching->site), site_name(punching->site), packets, count, now_us);
}

static const struct meetpath_hooks path_hooks = {.media = on_media};

static void on_readable(struct ev_loop *loop, ev_io *io, int events)
{
    struct punching *punching = io->data;
    uint64_t now_us = clock_now_us();
    int result = hole_read(punching->hole, now_us);

    (void)loop;
    (void)events;
    hand_on(punching);
    if (result < 0) {
        punching->cut_off = is_good(punching, now_us);
        finish(punching,
               result == ERR_PROTOCOL ? "what came is no sealed frame" : "the connection has ended",
               false, now_us);
    }
}

/*
 * The kernel ends a connection that times out without a word: each NAT on the way would keep it for
 * days, and take no SYN of another one from the same ports to the same. We end it by RST.
 */
static void forget_timeout(int fd)
{
    static const unsigned never = 0;

    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &never, sizeof(never));
}

static void open_hole(struct punching *punching, uint64_t now_us)
{
    struct punchings *punchings = punching->punchings;
    unsigned out = punching->side == SITES_OURS ? 0 : 1;
    char from[ADDR_TEXT_SIZE], to[ADDR_TEXT_SIZE];
    int fd = punch_take(&punching->punch);

    (void)tcp_set_options(fd, punchings->daemon->shared.tunnel->dscp);
    forget_timeout(fd);
    punching->hole = hole_new(fd, punchings->daemon->seals, punching->secret[out],
                              punching->secret[1 - out], &path_hooks, punching, now_us);
    if (!punching->hole) {
        finish(punching, "out of memory", true, now_us);
        return;
    }
    ev_io_init(&punching->io, on_readable, fd, EV_READ);
    punching->io.data = punching;
    ev_io_start(punchings->daemon->loop, &punching->io);
    start_early(punching);
    meetpace_open(&punching->pace, now_us);
    punching->state = STATE_OPEN;
    punchings->open++;
    log_info("site %s: a connection that both have opened at once, from %s to %s",
             site_name(punching->site), addr_format(&punching->own, from, sizeof(from)),
             addr_format(&punching->mapped, to, sizeof(to)));
}

static void go_on(struct punching *punching, uint64_t now_us)
{
    char why[sizeof(punching->why)];

    switch (punch_go_on(&punching->punch, now_us)) {
    case PUNCH_WAITS:
        break;
    case PUNCH_IS_OPEN:
        open_hole(punching, now_us);
        break;
    default:
        snprintf(why, sizeof(why), "TCP does not open: %s; a NAT draws ports, or lets nothing out",
                 strerror(punching->punch.error));
        finish(punching, why, false, now_us);
    }
}

static void keep_open(struct punching *punching, uint64_t now_us)
{
    struct direct *direct = &punching->hole->path.direct;

    if (direct_is_proven(direct, now_us) && meetpace_prove(&punching->pace))
        log_info("site %s: the connection that both have opened at once works",
                 site_name(punching->site));
    if (direct_is_lost(direct, now_us)) {
        finish(punching, "nothing comes there", true, now_us);
    } else if (hole_is_restless(punching->hole, now_us)) {
        finish(punching, "media went there and back again and again", true, now_us);
    } else if (hole_tend(punching->hole, now_us) < 0) {
        finish(punching, "the connection has ended", true, now_us);
    }
}

/* What is open needs no dmz-relay. */
static void step_one(struct punching *punching, uint64_t now_us)
{
    if (punching->state == STATE_OPEN)
        keep_open(punching, now_us);
    else if (!site_link(punching->site)->session)
        finish(punching, "the tunnel to the dmz-relay is down", false, now_us);
    else if (punching->state == STATE_CONNECTING)
        go_on(punching, now_us);
    else if (now_us - punching->since_us >= ASKING_US)
        finish(punching, "the other site, or the dmz-relay, has not done its part", true, now_us);
}

static void on_step(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct punchings *punchings = timer->data;
    uint64_t now_us = clock_now_us();
    bool busy = false;

    (void)events;
    for (size_t i = 0; i < SITES_MAX; i++) {
        struct punching *punching = &punchings->punching[i];

        if (punching->site && punching->state != STATE_OFF)
            step_one(punching, now_us);
        busy = busy || punching->state != STATE_OFF;
    }
    if (!busy)
        ev_timer_stop(loop, timer);
}

/* True: it has gone that way, and need not go through the tunnel. */
static bool on_packet(void *ctx, const struct sa *sa, const uint8_t *packet, size_t length,
                      uint64_t now_us)
{
    struct punchings *punchings = ctx;
    uint32_t label = 0;
    struct site *site = punchings->open > 0 ? sitemedia_find(punchings->media, sa, &label) : NULL;
    struct punching *punching = site ? find(punchings, site) : NULL;

    return punching && punching->state == STATE_OPEN &&
           meetpath_media(&punching->hole->path, label, packet, length, now_us);
}

static bool is_open(void *ctx, const char *name)
{
    const struct punchings *punchings = ctx;
    struct site *site = sites_find(relay_of(punchings->daemon)->sites, name);
    const struct punching *punching = site ? find(punchings, site) : NULL;

    return punching && punching->state == STATE_OPEN;
}

void punchings_flush(struct punchings *punchings)
{
    uint64_t now_us;

    if (!punchings || punchings->open == 0)
        return;
    now_us = clock_now_us();
    for (size_t i = 0; i < SITES_MAX; i++) {
        if (punchings->punching[i].hole)
            meetpath_flush(&punchings->punching[i].hole->path, now_us);
    }
}

/* ------------------------------------------------------------ which there are */

/* One of the two asks: the one whose name comes first. In a session that is up. */
static void ask(struct punching *punching, uint64_t now_us)
{
    enum sites_side side;
    uint64_t number;

    if (meetmessage_is_theirs(punching->site) || !site_up_side(punching->site, &side))
        return;
    number = meetpace_draw(&punching->pace, side, site_mark(punching->site, side), random_u64());
    if (!agree(punching, number, side, now_us))
        return;
    meetmessage_send(punching->site, side, MESSAGE_PUNCH, number, "", now_us);
    begin(punching, now_us);
}

/* The tunnel may be down, and who is at its other end may know less than before. */
static void tick_open(struct punching *punching, uint64_t now_us)
{
    if (sitemedia_count(punching->punchings->media, punching->site) == 0)
        finish(punching, no_calls, true, now_us);
    else if (!is_allowed(punching))
        finish(punching, "direct-to allows the address of the other site no more", true, now_us);
}

static void tick_site(struct punchings *punchings, struct site *site, uint64_t now_us)
{
    const char *why = obstacle(punchings, site);
    bool wanted = !why && sitemedia_count(punchings->media, site) > 0;
    struct punching *punching = wanted ? place_for(punchings, site) : find(punchings, site);

    if (!punching)
        return;
    if (punching->state == STATE_OPEN)
        tick_open(punching, now_us);
    else if (!wanted)
        finish(punching, why ? why : no_calls, true, now_us);
    else if (punching->state == STATE_OFF && meetpace_is_due(&punching->pace, now_us))
        ask(punching, now_us);
}

void punchings_tick(struct punchings *punchings, uint64_t now_us)
{
    struct sites *sites = relay_of(punchings->daemon)->sites;

    for (size_t i = 0; i < sites_count(sites); i++)
        tick_site(punchings, sites_at(sites, i), now_us);
}

void punchings_reloaded(struct punchings *punchings)
{
    for (size_t i = 0; i < SITES_MAX; i++)
        punchings->punching[i].pace.retry_us = punchings->punching[i].pace.pause_us = 0;
}

/* The other site has begun it; what there was before is over. */
static void take_asked(struct punchings *punchings, struct site *site, enum sites_side side,
                       uint64_t number, uint64_t now_us)
{
    const char *why = obstacle(punchings, site);
    struct punching *punching = why ? NULL : place_for(punchings, site);

    if (punching && punching->state != STATE_OFF && punching->number == number)
        return;
    if (punching && meetpace_may_begin(&punching->pace, 0, now_us))
        finish(punching, "the other site has begun another one", false, now_us);
    if (punching && punching->state == STATE_OFF && agree(punching, number, side, now_us)) {
        begin(punching, now_us);
        return;
    }
    meetmessage_send(site, side, MESSAGE_PUNCH_END, number, why ? why : "it cannot be begun now",
                     now_us);
}

/* Its RST comes earlier than its message: then it has not died by itself. */
static void take_end(struct punching *punching, const char *reason, uint64_t now_us)
{
    char why[sizeof(punching->why)];

    snprintf(why, sizeof(why), "the other site: %s", reason[0] ? reason : "not any more");
    finish(punching, why, false, now_us);
    if (!punching->cut_off)
        return;
    punching->cut_off = false;
    memcpy(punching->why, why, sizeof(why));
    (void)meetpace_prove(&punching->pace);
    meetpace_end(&punching->pace, now_us);
}

static int on_message(void *ctx, struct site *site, enum sites_side side, uint8_t type,
                      struct reader *body, uint64_t now_us)
{
    struct punchings *punchings = ctx;
    struct punching *punching = find(punchings, site);
    struct meet_message message;
    int result;

    if (type != MESSAGE_PUNCH && type != MESSAGE_PUNCH_END)
        return ERR_UNSUPPORTED;
    result = meetmessage_get(type, body, &message);
    if (result < 0)
        return result;
    if (type == MESSAGE_PUNCH)
        take_asked(punchings, site, side, message.number, now_us);
    else if (punching && punching->number == message.number)
        take_end(punching, message.reason, now_us);
    return 0;
}

static void on_gone(void *ctx, struct site *site)
{
    struct punching *punching = find(ctx, site);

    if (!punching)
        return;
    finish(punching, "its site stands no longer in the ini file", true, clock_now_us());
    punching->site = NULL;
}

static const struct sites_hooks sites_hooks = {.message = on_message, .gone = on_gone};

/* ------------------------------------------------------------ what the dmz-relay says */

static void connect_now(struct punching *punching, const struct meet_frame *frame, uint64_t now_us)
{
    struct addr local = conn_local(tunnel_of(punching->punchings, punching->site));
    char to[ADDR_TEXT_SIZE];

    punching->own = frame->own;
    punching->mapped = frame->mapped;
    if (strcasecmp(frame->site, site_name(punching->site)) != 0 ||
        local.family != frame->mapped.family) {
        finish(punching, "the dmz-relay has told of something else", true, now_us);
    } else if (!is_allowed(punching)) {
        log_warning("site %s: the dmz-relay says that it is at %s, which its direct-to does not "
                    "allow",
                    site_name(punching->site), addr_format(&frame->mapped, to, sizeof(to)));
        finish(punching, "direct-to does not allow the address of the other site", true, now_us);
    } else {
        punching->state = STATE_CONNECTING;
        punch_begin(&punching->punch, &local, &punching->mapped, now_us);
    }
}

static int on_frame(void *ctx, struct inner_link *link, uint8_t type, struct reader *body,
                    uint64_t now_us)
{
    struct punchings *punchings = ctx;
    struct meet_frame frame;

    if (meetwire_get(type, body, &frame) < 0)
        return ERR_PROTOCOL;
    for (size_t i = 0; i < SITES_MAX; i++) {
        struct punching *punching = &punchings->punching[i];

        if (!punching->site || site_link(punching->site) != link ||
            punching->number != frame.number || punching->state != STATE_ASKING)
            continue;
        if (frame.mapped.port != 0)
            connect_now(punching, &frame, now_us);
        else
            finish(punching, frame.reason[0] ? frame.reason : "the dmz-relay does not tell", true,
                   now_us);
    }
    return 0;
}

/* ------------------------------------------------------------ life */

struct punchings *punchings_new(struct daemon *daemon)
{
    struct punchings *punchings = calloc(1, sizeof(*punchings));
    struct relay *relay = relay_of(daemon);

    if (!punchings)
        return NULL;
    punchings->daemon = daemon;
    punchings->media = relay->sitemedia;
    for (size_t i = 0; i < SITES_MAX; i++)
        punchings->punching[i] = (struct punching){.punchings = punchings, .punch.fd = -1};
    ev_timer_init(&punchings->timer, on_step, 0., STEP_S);
    punchings->timer.data = punchings;
    sites_add_hooks(relay->sites, &sites_hooks, punchings);
    relay->core.punchings = (struct inner_meetings){
        .frame = on_frame, .media = on_packet, .is_open = is_open, .ctx = punchings};
    return punchings;
}

void punchings_stop(struct punchings *punchings)
{
    if (!punchings)
        return;
    relay_of(punchings->daemon)->core.punchings = (struct inner_meetings){.frame = NULL};
    ev_timer_stop(punchings->daemon->loop, &punchings->timer);
    for (size_t i = 0; i < SITES_MAX; i++) {
        if (punchings->punching[i].site)
            finish(&punchings->punching[i], "the inner-relay stops", true, clock_now_us());
    }
}

void punchings_free(struct punchings *punchings)
{
    punchings_stop(punchings);
    free(punchings);
}

/* ------------------------------------------------------------ what others show */

/* One that has never been tried may be good. */
bool punchings_hope(const struct punchings *punchings, const struct site *site)
{
    const struct punching *punching = punchings ? find(punchings, site) : NULL;

    if (punching && punching->state == STATE_OPEN)
        return true;
    if (!punchings || obstacle(punchings, site))
        return false;
    return !punching || punching->state != STATE_OFF || punching->why[0] == '\0';
}

bool punchings_are_steady(const struct punchings *punchings, const struct site *site,
                          uint64_t now_us)
{
    const struct punching *punching = punchings ? find(punchings, site) : NULL;

    return punching && punching->hole && direct_is_steady(&punching->hole->path.direct, now_us);
}

static const char *why_not(const struct punchings *punchings, const struct site *site)
{
    const struct punching *punching = punchings ? find(punchings, site) : NULL;
    const char *why = punchings ? obstacle(punchings, site) : "it stops";

    if (punching && punching->state == STATE_OPEN)
        return "";
    if (why)
        return why;
    if (!punching && sitemedia_count(punchings->media, site) == 0)
        return no_calls;
    if (!punching || (punching->state == STATE_OFF && !punching->why[0]))
        return meetmessage_not_yet(site);
    return punching->why;
}

static const char *state_of(const struct punching *punching)
{
    if (!punching)
        return state_names[STATE_OFF];
    return is_proven(punching, clock_now_us()) ? "proven" : state_names[punching->state];
}

void punchings_add(json_t *row, const struct punchings *punchings, const struct site *site)
{
    const struct punching *punching = punchings ? find(punchings, site) : NULL;

    json_object_set_new(row, "punch", json_string(state_of(punching)));
    json_object_set_new(row, "punch_why", json_string(why_not(punchings, site)));
    if (!punching || !punching->hole)
        return;
    if (is_proven(punching, clock_now_us()))
        json_object_set_new(row, "path", json_string("punched"));
    json_object_set_new(row, "mapped", report_addr(&punching->own));
    json_object_set_new(row, "other_mapped", report_addr(&punching->mapped));
}

json_t *punchings_report(const struct punchings *punchings, const char *name)
{
    struct site *site = punchings ? sites_find(relay_of(punchings->daemon)->sites, name) : NULL;
    const struct punching *punching = site ? find(punchings, site) : NULL;
    const struct meetpath *path = punching && punching->hole ? &punching->hole->path : NULL;
    const struct direct *direct = path ? &path->direct : punching ? &punching->last : NULL;

    return json_pack(
        "{s:s,s:s,s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "state", state_of(punching), "why",
        site ? why_not(punchings, site) : "", "sent", report_number(path ? path->sent : 0),
        "received", report_number(path ? path->came : 0), "early",
        report_number(path ? punching->hole->early : 0), "forged",
        report_number(path ? path->forged : 0), "moves", report_number(direct ? direct->moves : 0),
        "returns", report_number(direct ? direct->returns : 0), "rtt_us",
        report_number(direct ? direct->rtt_us : 0));
}
