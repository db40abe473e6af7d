#define LOG_MODULE "sites"
#include "inner-relay/sites.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/random.h"
#include "common/tunnel/sitewire.h"
#include "common/tunnel/tls.h"
#include "inner-relay/sitelink.h"

/* Sessions that a site opens: each is a handshake. The first of a burst are free. */
#define OPENS_PER_SECOND 4
/* A session that calls want is opened again after so long, each time after twice as long. */
#define RETRY_US     (UINT64_C(3) * 1000 * 1000)
#define RETRY_MAX_US (UINT64_C(60) * 1000 * 1000)
/* One that nobody wants, for so many seconds. */
#define OPEN_TICKS 600

struct session_of {
    struct site *site;
    enum sites_side side;
    uint64_t number;
    struct sitelink *link;
    bool began;   /* the first octets have gone out */
    bool leaving; /* its last octets, and its end, are to be sent */
    uint64_t began_us, active_us;
};

struct site {
    struct sites *sites;
    char name[SITE_SIZE];
    unsigned dmz; /* number of its link */
    struct tls_context *context[2];
    bool refuse;
    uint64_t ring_us;
    uint32_t room; /* in the window to it */
    bool busy;     /* it may have something to send */
    struct session_of *session[2];
    uint64_t retry_us, pause_us; /* ours is opened again, not before; and after so long once more */
    unsigned opens;              /* in this second */
    unsigned open_ticks; /* site_open(): for so many seconds still; 0: it is not asked for */
    bool stray;          /* the end of a session that is not there is to be said */
    uint64_t stray_number;
    uint8_t stray_kind;
    char error[2][160];
};

struct sites_user {
    const struct sites_hooks *hooks;
    void *ctx;
};

struct sites {
    struct inner *inner;
    struct sites_user user[SITES_USERS_MAX];
    unsigned user_count;
    size_t count;
    struct site *site[SITES_MAX];
    unsigned turn;
    bool configured;            /* not for the first time */
    bool busy[INNER_LINKS_MAX]; /* a site of this tunnel may have something to send */
    unsigned strangers;         /* that were told of in the log, since it was last allowed */
};

/* ------------------------------------------------------------ sessions */

static void kick(struct site *site)
{
    struct inner *inner = site->sites->inner;

    site->busy = site->sites->busy[site->dmz] = true;
    inner->hooks.kick(inner->hooks.ctx, &inner->links[site->dmz]);
}

static void on_up(void *ctx)
{
    struct session_of *session = ctx;
    struct sites *sites = session->site->sites;

    log_info("site %s: a session is up, opened by %s", session->site->name,
             session->side == SITES_OURS ? "us" : "it");
    if (session->side == SITES_OURS)
        session->site->open_ticks = 0;
    for (unsigned i = 0; i < sites->user_count; i++) {
        struct sites_user *user = &sites->user[i];

        if (user->hooks->up)
            user->hooks->up(user->ctx, session->site, session->side, session->active_us);
    }
}

/* One that is for nobody is of a later version, and passed over. */
static int on_message(void *ctx, uint8_t type, struct reader *body, uint64_t now_us)
{
    struct session_of *session = ctx;
    struct sites *sites = session->site->sites;
    int result = ERR_UNSUPPORTED;

    for (unsigned i = 0; result == ERR_UNSUPPORTED && i < sites->user_count; i++) {
        struct sites_user *user = &sites->user[i];
        struct reader copy = *body;

        if (user->hooks->message)
            result =
                user->hooks->message(user->ctx, session->site, session->side, type, &copy, now_us);
    }
    return result == ERR_UNSUPPORTED ? 0 : result;
}

static const struct sitelink_hooks link_hooks = {on_up, on_message};

static void free_session(struct session_of *session)
{
    session->site->session[session->side] = NULL;
    sitelink_free(session->link);
    free(session);
}

/* Its last words are still to be sent, where there is a way. */
static void end_session(struct session_of *session, const char *why, bool told)
{
    struct site *site = session->site;
    struct sites *sites = site->sites;
    enum sites_side side = session->side;
    bool first = !session->leaving;

    if (first) {
        snprintf(site->error[side], sizeof(site->error[0]), "%s", why);
        log_info("site %s: the session that %s opened is over: %s", site->name,
                 side == SITES_OURS ? "we" : "it", why);
    }
    /* What was said last may not have come. */
    if (first && side == SITES_OURS && sitelink_is_up(session->link))
        site->open_ticks = OPEN_TICKS;
    sitelink_close(session->link, why);
    session->leaving = true;
    if (told || !site_link(site)->sites)
        free_session(session);
    else
        kick(site);
    for (unsigned i = 0; first && i < sites->user_count; i++) {
        if (sites->user[i].hooks->down)
            sites->user[i].hooks->down(sites->user[i].ctx, site, side, site->error[side]);
    }
}

static struct session_of *new_session(struct site *site, enum sites_side side, uint64_t number,
                                      uint64_t now_us)
{
    struct session_of *session = calloc(1, sizeof(*session));

    if (!session)
        return NULL;
    session->site = site;
    session->side = side;
    session->number = number;
    session->began_us = session->active_us = now_us;
    session->link = sitelink_new(site->context[side], site->name, &link_hooks, session);
    if (!session->link) {
        free(session);
        return NULL;
    }
    site->session[side] = session;
    return session;
}

static void give(struct session_of *session, const void *data, size_t length, uint64_t now_us)
{
    struct site *site = session->site;

    session->active_us = now_us;
    if (sitelink_give(session->link, data, length, now_us) < 0 && !session->leaving)
        end_session(session, sitelink_error(session->link), false);
    kick(site);
}

/* ------------------------------------------------------------ frames that come */

/* A newer session takes the place of the one that this site had opened before. */
static struct session_of *accept_session(struct site *site, uint64_t number, uint64_t now_us)
{
    struct session_of *old = site->session[SITES_THEIRS];

    if (++site->opens > OPENS_PER_SECOND)
        return NULL;
    if (old)
        end_session(old, "the other site has opened another one", true);
    return new_session(site, SITES_THEIRS, number, now_us);
}

static void say_stray(struct site *site, const struct site_frame *frame)
{
    site->stray = true;
    site->stray_number = frame->session;
    site->stray_kind = frame->kind == SITE_KIND_BACK ? SITE_KIND_FORTH : SITE_KIND_BACK;
    kick(site);
}

static void take_data(struct site *site, const struct site_frame *frame, uint64_t now_us)
{
    enum sites_side side = frame->kind == SITE_KIND_BACK ? SITES_OURS : SITES_THEIRS;
    struct session_of *session = site->session[side];

    if (session && session->number != frame->session)
        session = NULL;
    if (!session && frame->kind == SITE_KIND_OPEN)
        session = accept_session(site, frame->session, now_us);
    if (!session || session->leaving) {
        if (!session)
            say_stray(site, frame);
        return;
    }
    give(session, frame->data, frame->length, now_us);
}

static const char *state_text(enum site_state state)
{
    switch (state) {
    case SITE_STATE_REFUSED:
        return "the dmz-relay refuses it: its ini file has no call-from that allows it";
    case SITE_STATE_UNKNOWN:
        return "the dmz-relay has no site of this name";
    case SITE_STATE_OFFLINE:
        return "the other site is not connected to the dmz-relay";
    default:
        return "the other site has ended the session";
    }
}

/* The KIND of what the dmz-relay says is ours, that of the other site its own. */
static void take_state(struct site *site, const struct site_frame *frame)
{
    bool ours = (frame->kind == SITE_KIND_BACK) == (frame->state == SITE_STATE_CLOSED);
    struct session_of *session;

    if (frame->state == SITE_STATE_UNKNOWN)
        site->room = SITE_WINDOW_OCTETS;
    for (int side = 0; side < 2; side++) {
        session = site->session[side];
        if (session && (frame->kind == 0 ||
                        ((side == SITES_OURS) == ours && session->number == frame->session)))
            end_session(session, state_text((enum site_state)frame->state), true);
    }
}

static void meet_stranger(struct sites *sites, const char *name)
{
    if (sites->strangers++ < 3)
        log_warning("site %s wants a session, and there is no [site %s] in the ini file", name,
                    name);
}

static int take_frame(void *ctx, struct inner_link *link, uint8_t type, struct reader *body,
                      uint64_t now_us)
{
    struct sites *sites = ctx;
    struct site_frame frame;
    struct site *site;

    if (sitewire_get(type, body, &frame) < 0)
        return ERR_PROTOCOL;
    site = sites_find(sites, frame.site);
    if (!site || site->dmz != link->number) {
        if (type == FRAME_SITE && frame.kind == SITE_KIND_OPEN)
            meet_stranger(sites, frame.site);
        return 0;
    }
    if (type == FRAME_SITE) {
        take_data(site, &frame, now_us);
    } else if (frame.state == SITE_STATE_TAKEN) {
        /* It may be of what was sent before the section went from the ini file, and came again. */
        if (frame.credit > SITE_WINDOW_OCTETS - site->room)
            frame.credit = SITE_WINDOW_OCTETS - site->room;
        site->room += frame.credit;
        kick(site);
    } else {
        take_state(site, &frame);
    }
    return 0;
}

/* ------------------------------------------------------------ frames that go */

static void fill(struct site *site, struct site_frame *frame, uint8_t kind, uint64_t number)
{
    snprintf(frame->site, sizeof(frame->site), "%s", site->name);
    frame->kind = kind;
    frame->session = number;
}

static void put_end(struct site *site, struct site_frame *frame, uint8_t kind, uint64_t number)
{
    fill(site, frame, kind, number);
    frame->state = SITE_STATE_CLOSED;
    frame->length = 0;
}

static uint8_t kind_of(struct session_of *session)
{
    if (session->side == SITES_THEIRS)
        return SITE_KIND_BACK;
    return session->began ? SITE_KIND_FORTH : SITE_KIND_OPEN;
}

/* False: it has nothing to send now. */
static bool pull_session(struct session_of *session, uint8_t *type, struct site_frame *frame,
                         uint8_t *memory)
{
    struct site *site = session->site;
    size_t size = site->room - SITE_COST_OCTETS;
    bool was_over = sitelink_is_over(session->link);

    size = size < SITE_DATA_OCTETS ? size : SITE_DATA_OCTETS;
    frame->length = sitelink_take(session->link, memory, size, session->active_us);
    if (frame->length > 0) {
        fill(site, frame, kind_of(session), session->number);
        frame->data = memory;
        session->began = true;
        *type = FRAME_SITE;
        return true;
    }
    if (!was_over && sitelink_is_over(session->link))
        end_session(session, sitelink_error(session->link), false);
    if (!session->leaving)
        return false;
    if (session->began || session->side == SITES_THEIRS) {
        put_end(site, frame, session->side == SITES_THEIRS ? SITE_KIND_BACK : SITE_KIND_FORTH,
                session->number);
        *type = FRAME_SITE_STATE;
    }
    free_session(session);
    return frame->state != 0;
}

static bool pull_site(struct site *site, uint8_t *type, struct site_frame *frame, uint8_t *memory)
{
    if (site->room <= SITE_COST_OCTETS)
        return false;
    if (site->stray) {
        put_end(site, frame, site->stray_kind, site->stray_number);
        site->stray = false;
        *type = FRAME_SITE_STATE;
        return true;
    }
    for (int side = 0; side < 2; side++) {
        if (site->session[side] && pull_session(site->session[side], type, frame, memory))
            return true;
    }
    return false;
}

static bool pull(void *ctx, struct inner_link *link, uint8_t *type, struct writer *body)
{
    struct sites *sites = ctx;
    uint8_t memory[SITE_DATA_OCTETS];

    for (size_t i = 0; sites->busy[link->number] && i < sites->count; i++) {
        struct site *site = sites->site[(sites->turn + i) % sites->count];
        struct site_frame frame = {.state = 0};

        if (site->dmz != link->number || !site->busy)
            continue;
        site->busy = pull_site(site, type, &frame, memory);
        if (!site->busy)
            continue;
        site->room -= sitewire_cost(&frame);
        sitewire_put(body, *type, &frame);
        sites->turn = (unsigned)((sites->turn + i + 1) % sites->count);
        return true;
    }
    sites->busy[link->number] = false;
    return false;
}

static void on_link(void *ctx, struct inner_link *link, bool up)
{
    struct sites *sites = ctx;

    (void)up;
    for (size_t i = 0; i < sites->count; i++) {
        struct site *site = sites->site[i];

        if (site->dmz != link->number)
            continue;
        site->room = SITE_WINDOW_OCTETS;
        site->stray = false;
        for (int side = 0; side < 2; side++) {
            if (site->session[side])
                end_session(site->session[side], "the tunnel to the dmz-relay is down", true);
        }
    }
}

/* ------------------------------------------------------------ all of them */

struct sites *sites_new(struct inner *inner)
{
    struct sites *sites = calloc(1, sizeof(*sites));

    if (!sites)
        return NULL;
    sites->inner = inner;
    inner->sites =
        (struct inner_sites){.link = on_link, .frame = take_frame, .pull = pull, .ctx = sites};
    return sites;
}

void sites_add_hooks(struct sites *sites, const struct sites_hooks *hooks, void *ctx)
{
    if (sites->user_count < SITES_USERS_MAX)
        sites->user[sites->user_count++] = (struct sites_user){hooks, ctx};
}

static void free_site(struct site *site)
{
    for (int side = 0; side < 2; side++) {
        if (site->session[side])
            free_session(site->session[side]);
        tls_context_free(site->context[side]);
    }
    free(site);
}

void sites_free(struct sites *sites)
{
    if (!sites)
        return;
    for (size_t i = 0; i < sites->count; i++)
        free_site(sites->site[i]);
    sites->inner->sites = (struct inner_sites){.link = NULL};
    for (size_t i = 0; i < sites->inner->link_count; i++)
        sites->inner->links[i].sites = false;
    free(sites);
}

struct site *sites_find(struct sites *sites, const char *name)
{
    for (size_t i = 0; i < sites->count; i++) {
        if (strcasecmp(sites->site[i]->name, name) == 0)
            return sites->site[i];
    }
    return NULL;
}

struct site *sites_at(struct sites *sites, size_t number)
{
    return number < sites->count ? sites->site[number] : NULL;
}

size_t sites_count(const struct sites *sites)
{
    return sites->count;
}

/* One that is in its handshake has names and context of before: it begins anew. */
static void renew(struct site *site)
{
    for (int side = 0; side < 2; side++) {
        struct session_of *session = site->session[side];

        if (session && !session->leaving && !sitelink_recheck(session->link, site->context[side]))
            end_session(session,
                        sitelink_is_over(session->link) ? sitelink_error(session->link)
                                                        : "the ini file was read again meanwhile",
                        false);
    }
}

static void set_context(struct site *site, const struct sites_conf *conf)
{
    struct tls_context *old[2] = {site->context[0], site->context[1]};

    memcpy(site->context, conf->context, sizeof(site->context));
    renew(site);
    for (int side = 0; side < 2; side++)
        tls_context_free(old[side]);
}

static void set_site(struct site *site, const struct sites_conf *conf)
{
    const struct inner_link *link = inner_find_link(site->sites->inner, conf->dmz);

    if (link->number != site->dmz) {
        for (int side = 0; side < 2; side++) {
            if (site->session[side])
                end_session(site->session[side], "another dmz-relay leads there now", true);
        }
        site->dmz = link->number;
        site->room = SITE_WINDOW_OCTETS;
    }
    site->refuse = conf->refuse;
    site->ring_us = conf->ring_us;
    set_context(site, conf);
}

static struct site *add_site(struct sites *sites, const struct sites_conf *conf)
{
    struct site *site = sites->count < SITES_MAX ? calloc(1, sizeof(*site)) : NULL;

    if (!site)
        return NULL;
    site->sites = sites;
    site->room = SITE_WINDOW_OCTETS;
    snprintf(site->name, sizeof(site->name), "%s", conf->name);
    for (char *c = site->name; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    sites->site[sites->count++] = site;
    return site;
}

static bool is_in(const struct site *site, const struct sites_conf *conf, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcasecmp(conf[i].name, site->name) == 0)
            return true;
    }
    return false;
}

static void remove_site(struct sites *sites, size_t number)
{
    struct site *site = sites->site[number];

    for (unsigned i = 0; i < sites->user_count; i++) {
        if (sites->user[i].hooks->gone)
            sites->user[i].hooks->gone(sites->user[i].ctx, site);
    }
    sites->site[number] = sites->site[--sites->count];
    sites->turn = 0;
    free_site(site);
}

int sites_configure(struct sites *sites, const struct sites_conf *conf, size_t count,
                    uint64_t now_us)
{
    int result = 0;

    (void)now_us;
    for (size_t i = sites->count; i-- > 0;) {
        if (!is_in(sites->site[i], conf, count))
            remove_site(sites, i);
    }
    for (size_t i = 0; i < count; i++) {
        struct site *site = sites_find(sites, conf[i].name);
        bool is_new = !site;

        if (is_new)
            site = add_site(sites, &conf[i]);
        if (site) {
            set_site(site, &conf[i]);
            /* It may have stood there before, and the site have calls of then. */
            if (is_new && sites->configured)
                site_open(site);
            continue;
        }
        tls_context_free(conf[i].context[0]);
        tls_context_free(conf[i].context[1]);
        result = ERR_NOMEM;
    }
    sites->configured = true;
    return result;
}

static bool is_wanted(const struct site *site, enum sites_side side)
{
    const struct sites *sites = site->sites;
    bool wanted = side == SITES_OURS && site->open_ticks > 0;

    for (unsigned i = 0; !wanted && i < sites->user_count; i++) {
        const struct sites_user *user = &sites->user[i];

        wanted = user->hooks->wanted && user->hooks->wanted(user->ctx, site, side);
    }
    return wanted;
}

static void end_idle(struct session_of *session)
{
    struct site *site = session->site;
    enum sites_side side = session->side;

    end_session(session, "it was idle", false);
    if (side == SITES_OURS)
        site->open_ticks = 0;
}

static void tick_session(struct session_of *session, uint64_t now_us)
{
    if (session->leaving)
        return;
    if (!sitelink_is_up(session->link)) {
        if (now_us - session->began_us >= SITE_HANDSHAKE_US)
            end_session(session,
                        "the other site has not answered; its ini file needs a [site NAME] of "
                        "this one",
                        false);
        return;
    }
    if (is_wanted(session->site, session->side))
        session->active_us = now_us;
    else if (now_us - session->active_us >=
             (session->side == SITES_OURS ? SITE_IDLE_US : 2 * SITE_IDLE_US))
        end_idle(session);
}

static void open_session(struct site *site, uint64_t now_us)
{
    struct session_of *session = new_session(site, SITES_OURS, random_u64(), now_us);

    if (session)
        give(session, NULL, 0, now_us);
}

/* What is wanted still, and ended. One that has stayed begins the pauses anew. */
static void open_again(struct site *site, uint64_t now_us)
{
    const struct session_of *session = site->session[SITES_OURS];

    if (session) {
        if (now_us - session->began_us >= SITE_HANDSHAKE_US && sitelink_is_up(session->link))
            site->pause_us = 0;
        site->retry_us = now_us + (site->pause_us ? site->pause_us : RETRY_US);
        return;
    }
    if (!site_link(site)->sites || !is_wanted(site, SITES_OURS))
        return;
    if (site->open_ticks > 0)
        site->open_ticks--;
    if (now_us < site->retry_us)
        return;
    site->pause_us = site->pause_us ? 2 * site->pause_us : RETRY_US;
    if (site->pause_us > RETRY_MAX_US)
        site->pause_us = RETRY_MAX_US;
    site->retry_us = now_us + site->pause_us;
    open_session(site, now_us);
}

void sites_tick(struct sites *sites, uint64_t now_us)
{
    sites->strangers = 0;
    for (size_t i = 0; i < sites->count; i++) {
        struct site *site = sites->site[i];

        site->opens = 0;
        for (int side = 0; side < 2; side++) {
            if (site->session[side])
                tick_session(site->session[side], now_us);
        }
        open_again(site, now_us);
    }
}

/* ------------------------------------------------------------ one of them */

const char *site_name(const struct site *site)
{
    return site->name;
}

bool site_refuses(const struct site *site)
{
    return site->refuse;
}

uint64_t site_ring_us(const struct site *site)
{
    return site->ring_us;
}

struct inner_link *site_link(const struct site *site)
{
    return &site->sites->inner->links[site->dmz];
}

const char *site_session_state(const struct site *site, enum sites_side side)
{
    const struct session_of *session = site->session[side];

    if (!session || session->leaving)
        return "none";
    return sitelink_is_up(session->link) ? "up" : "connecting";
}

bool site_is_up(const struct site *site, enum sites_side side)
{
    const struct session_of *session = site->session[side];

    return session && !session->leaving && sitelink_is_up(session->link);
}

void site_open(struct site *site)
{
    site->open_ticks = site_is_up(site, SITES_OURS) ? 0 : OPEN_TICKS;
}

bool site_up_side(const struct site *site, enum sites_side *side)
{
    *side = site_is_up(site, SITES_OURS) ? SITES_OURS : SITES_THEIRS;
    return site_is_up(site, *side);
}

const char *site_error(const struct site *site, enum sites_side side)
{
    return site->error[side];
}

bool site_export(struct site *site, enum sites_side side, uint8_t use, uint64_t number,
                 uint8_t secret[SITE_SECRET_OCTETS])
{
    struct session_of *session = site->session[side];
    uint8_t context[1 + sizeof(number)];
    struct writer w;

    writer_init(&w, context, sizeof(context));
    writer_u8(&w, use);
    writer_u64(&w, number);
    return session && !session->leaving &&
           sitelink_export(session->link, "EXPORTER-media-relay-direct", context, sizeof(context),
                           secret, SITE_SECRET_OCTETS);
}

uint64_t site_mark(struct site *site, enum sites_side side)
{
    uint8_t octets[SITE_SECRET_OCTETS];
    uint64_t mark;

    if (!site_export(site, side, SITE_USE_MARK, 0, octets))
        return 0;
    memcpy(&mark, octets, sizeof(mark));
    return mark;
}

static int refuse(const char **why, int code, const char *text)
{
    *why = text;
    return code;
}

int site_send(struct site *site, enum sites_side side, uint8_t type, const void *fields,
              size_t length, const char **why, uint64_t now_us)
{
    struct session_of *session = site->session[side];

    if (!site_link(site)->sites)
        return refuse(why, ERR_CLOSED,
                      "the tunnel to the dmz-relay is down, or it carries nothing between sites");
    if (session && session->leaving) {
        free_session(session);
        session = NULL;
    }
    if (!session && side == SITES_THEIRS)
        return refuse(why, ERR_CLOSED, "the session with the other site is over");
    if (!session) {
        open_session(site, now_us);
        session = site->session[side];
    }
    if (!session)
        return refuse(why, ERR_NOMEM, "out of memory");
    if (sitelink_send(session->link, type, fields, length) < 0)
        return refuse(why, ERR_FULL, "too much waits to be sent to the other site");
    session->active_us = now_us;
    kick(site);
    return 0;
}
