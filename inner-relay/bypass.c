#define LOG_MODULE "bypass"
#include "inner-relay/bypass.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/protocol.h"
#include "common/base/random.h"
#include "common/base/reader.h"
#include "common/base/writer.h"
#include "common/sa/hold.h"
#include "common/sa/sa.h"
#include "common/sa/way.h"
#include "common/tunnel/passwire.h"
#include "inner-relay/passprobe.h"

/* Of what went by a way alone, how much has come? Since when, and what was counted then. */
struct balance {
    uint64_t since_us; /* 0: it is not looked at */
    uint32_t sent, taken;
    bool bad; /* so was the time before */
};

/* One way to a site: a packet forwarder. */
struct way {
    bool asked, open;
    bool refused;           /* as it has said; it is asked again */
    bool fell;              /* it was no more while media went there */
    uint64_t ask_us;        /* then */
    uint8_t number;         /* the label of frames there */
    struct bypass_ear ear;  /* the newest of all threads' */
    uint64_t good_us;       /* since when it answers; 0: it does not */
    uint64_t heard_good_us; /* when it did last */
    uint64_t better_us;     /* since when it is better than the one that is used */
    uint64_t proof_us;      /* so long it has to answer before it carries media; 0: as ever */
    struct balance balance;
};

struct other_site {
    char name[SITE_SIZE]; /* "": none */
    unsigned dmz;
    bool wanted;
    struct way way[BYPASS_WAYS];
    int chosen;             /* -1: the dmz-relay */
    int former;             /* takes copies until both_until_us; -1: the dmz-relay does */
    bool doubt;             /* the dmz-relay takes copies */
    uint64_t both_until_us; /* of a change */
    uint64_t moved_us;      /* when the way was chosen */
    uint64_t tended_us;     /* when its ways were looked at last */
    struct passprobe_keys keys;
    uint64_t moves, returns;
};

struct bypass {
    struct inner *inner;
    struct other_site site[BYPASS_SITES];
    int8_t site_of[BYPASS_WAYS][PASS_NUMBERS]; /* by way and label; -1: none */
};

/* ------------------------------------------------------------ packets */

/* In front of what goes from site to site, by any way. */
enum { KIND_MEDIA = 1, KIND_PROBE = 2 };
enum { HEAD_OCTETS = 5 };

static struct session *session_of(struct inner *core, unsigned way, uint32_t label, size_t length)
{
    struct inner_link *link = &core->links[way];
    struct session *stream =
        !core->main && link->session && session_state(link->session) == SESSION_UP ? link->session
                                                                                   : NULL;

    if (link->media_count > 0)
        return session_for(link->media[label % link->media_count]->session, stream, length);
    return stream;
}

static const struct bypass *bypass_of(const struct inner *core)
{
    return core->main ? core->main->bypass : core->bypass;
}

static bool send_media(struct inner *core, const struct other_site *site, int number,
                       uint32_t label, const struct verify_input *input,
                       struct verdict_counts *counts, uint64_t now_us)
{
    struct session *session = NULL;
    uint8_t memory[HEAD_OCTETS + PACKET_MAX_OCTETS];
    struct writer w;

    if (site->way[number].open)
        session = session_of(core, (unsigned)number, label, HEAD_OCTETS + input->length);
    if (!session || HEAD_OCTETS + input->length > PACKET_MAX_OCTETS)
        return false;
    writer_init(&w, memory, sizeof(memory));
    writer_u8(&w, KIND_MEDIA);
    writer_u32(&w, label);
    writer_copy(&w, input->packet, input->length);
    if (counts == &core->beside)
        counts->received++;
    else
        core->ears[site - bypass_of(core)->site][number].sent++;
    session_media(session, site->way[number].number, memory, writer_length(&w), counts, now_us);
    return true;
}

/* Is the packet to go through the dmz-relay, too: all do, or it is the first one in a second? */
static bool is_warm_due(struct inner *core, struct sa *sa, bool both, uint64_t now_us)
{
    bool due;

    hold_take(sa, core->path.pass);
    due = both || now_us - sa->way->copied_us >= BYPASS_WARM_US;
    if (due)
        sa->way->copied_us = now_us;
    hold_give(sa, core->path.pass);
    return due;
}

bool bypass_take(struct inner *core, const struct path_found *found, struct verdict_counts *counts,
                 uint64_t now_us)
{
    const struct bypass *bypass = bypass_of(core);
    const struct sa_way *way = found->sa->way;
    const struct other_site *site;
    bool both;

    if (!bypass || !way->goes)
        return false;
    site = &bypass->site[way->site];
    both = now_us < site->both_until_us;
    if (both && site->former >= 0)
        (void)send_media(core, site, site->former, way->label, &found->input, &core->beside,
                         now_us);
    if (site->chosen < 0)
        return false;
    both = (both && site->former < 0) || site->doubt;
    if (!is_warm_due(core, found->sa, both, now_us))
        return send_media(core, site, site->chosen, way->label, &found->input, counts, now_us);
    (void)send_media(core, site, site->chosen, way->label, &found->input, &core->beside, now_us);
    return false;
}

/* ------------------------------------------------------------ probes */

/* Where a session of the main core, or, with threads, one of theirs, may be flushed. */
static struct session *any_session(struct inner *inner, unsigned way, struct inner **core)
{
    struct session *session = NULL;

    *core = inner;
    for (unsigned i = 0; i < inner->worker_count && !session; i++) {
        *core = inner->workers[i];
        session = session_of(*core, way, 0, 1 + PASSPROBE_OCTETS);
    }
    if (session)
        return session;
    *core = inner;
    return session_of(inner, way, 0, 1 + PASSPROBE_OCTETS);
}

static void send_probe(struct bypass *bypass, const struct other_site *site, unsigned number,
                       uint64_t now_us)
{
    const struct bypass_ear *ear = &site->way[number].ear;
    struct inner *core;
    struct session *session = any_session(bypass->inner, number, &core);
    struct passprobe probe = {.clock_us = now_us,
                              .echo_us = ear->clock_us,
                              .held_us = ear->clock_us ? (uint32_t)(now_us - ear->came_us) : 0,
                              .taken = ear->taken};
    uint8_t memory[1 + PASSPROBE_OCTETS];
    struct writer w;

    writer_init(&w, memory, sizeof(memory));
    writer_u8(&w, KIND_PROBE);
    if (!session || !passprobe_put(&w, &site->keys, &probe, now_us))
        return;
    core->beside.received++;
    session_media(session, site->way[number].number, memory, writer_length(&w), &core->beside,
                  now_us);
    core->hooks.kick(core->hooks.ctx, &core->links[number]);
    if (core->main)
        core->hooks.wake(core->hooks.ctx);
}

/*
 * The shortest one, which rises slowly: what a busy host adds now and then is not the way's. Never
 * 0.
 */
static uint64_t lowest_of_late(uint64_t before_us, uint64_t rtt_us)
{
    return before_us == 0 || rtt_us <= before_us ? rtt_us + 1
                                                 : before_us + (rtt_us - before_us) / 64;
}

/*
 * What a packet forwarder has kept, and sends again, proves nothing: an answer to a probe is new
 * once, and soon, or never.
 */
static bool is_new_answer(const struct bypass_ear *ear, const struct passprobe *probe,
                          uint64_t now_us)
{
    return probe->echo_us > ear->acked_us && probe->echo_us >= ear->since_us &&
           now_us - probe->echo_us <= (uint64_t)BYPASS_OLD_US + probe->held_us;
}

static void hear(struct bypass_ear *ear, const struct passprobe *probe, uint64_t now_us)
{
    if (probe->clock_us > ear->clock_us) {
        ear->clock_us = probe->clock_us;
        ear->came_us = now_us;
        ear->theirs = probe->taken;
    }
    if (is_new_answer(ear, probe, now_us)) {
        uint64_t rtt_us = now_us - probe->echo_us;

        rtt_us = rtt_us > probe->held_us ? rtt_us - probe->held_us : 0;
        ear->acked_us = probe->echo_us;
        ear->rtt_us = lowest_of_late(ear->rtt_us, rtt_us);
    }
}

static enum verdict take_probe(struct bypass_ear *ear, const struct passprobe_keys *keys,
                               struct reader *r, uint64_t now_us)
{
    struct passprobe probe;
    int result = passprobe_get(r, keys, &probe);

    if (result == ERR_NOT_FOUND)
        return VERDICT_NO_SA;
    if (result == ERR_FORBIDDEN)
        return VERDICT_AUTH_FAIL;
    if (result < 0 || probe.echo_us > now_us)
        return VERDICT_MALFORMED;
    hear(ear, &probe, now_us);
    return VERDICT_ACCEPTED;
}

/* ------------------------------------------------------------ what comes */

static int site_at(const struct inner_link *link, uint32_t label)
{
    const struct bypass *bypass = bypass_of(link->inner);

    return bypass && label < PASS_NUMBERS ? bypass->site_of[link->number][label] : -1;
}

bool bypass_knows(const struct inner_link *link, uint32_t label)
{
    return site_at(link, label) >= 0;
}

/* What is media of that site comes to media; what is not is counted here. */
static bool take_frame(struct inner_link *link, unsigned site, const struct session_packet *packet,
                       struct session_packet *media, uint64_t now_us)
{
    enum verdict verdict = VERDICT_MALFORMED;
    struct reader r;
    uint8_t kind;

    reader_init(&r, packet->data, packet->length);
    kind = reader_u8(&r);
    if (kind == KIND_MEDIA) {
        media->label = reader_u32(&r);
        media->length = reader_left(&r);
        media->data = reader_take(&r, media->length);
        if (!r.failed && media->length > 0)
            return true;
    } else if (kind == KIND_PROBE) {
        verdict = take_probe(&link->inner->ears[site][link->number],
                             &bypass_of(link->inner)->site[site].keys, &r, now_us);
    }
    link->counts.received++;
    verdict_count(&link->counts, verdict);
    return false;
}

size_t bypass_frames(struct inner_link *link, const struct session_packet *packets, size_t count,
                     uint64_t now_us)
{
    struct session_packet media[SESSION_GROUP];
    size_t done = 0, taken = 0;
    int site = count > 0 ? site_at(link, packets[0].label) : -1;

    if (site < 0)
        return 0;
    while (done < count && packets[done].label == packets[0].label) {
        if (take_frame(link, (unsigned)site, &packets[done], &media[taken], now_us))
            taken++;
        done++;
    }
    if (taken > 0)
        link->inner->ears[site][link->number].taken +=
            (uint32_t)inbound_beside(&link->inner->links[bypass_of(link->inner)->site[site].dmz],
                                     (unsigned)site, media, taken, now_us);
    return done;
}

/* ------------------------------------------------------------ which way */

static const char *way_name(const struct bypass *bypass, int way)
{
    return way < 0 ? "the dmz-relay" : bypass->inner->links[way].name;
}

static void change(struct bypass *bypass, struct other_site *site, int way, const char *why,
                   uint64_t now_us)
{
    if (site->chosen == way)
        return;
    log_info("site %s: media goes by %s: %s", site->name, way_name(bypass, way), why);
    site->former = site->chosen;
    site->chosen = way;
    site->moved_us = now_us;
    site->both_until_us = now_us + BYPASS_BOTH_US;
    site->doubt = false;
    site->moves += way >= 0;
    site->returns += way < 0;
    for (unsigned i = 0; i < BYPASS_WAYS; i++)
        site->way[i].better_us = 0;
}

/* Of all threads the newest, each of which has heard a part. */
static void gather(struct bypass *bypass, unsigned number, unsigned way)
{
    const struct inner *inner = bypass->inner;
    struct bypass_ear *sum = &bypass->site[number].way[way].ear;

    sum->sent = sum->taken = 0;
    for (unsigned i = 0; i <= inner->worker_count; i++) {
        const struct inner *core = i < inner->worker_count ? inner->workers[i] : inner;
        const struct bypass_ear *ear = &core->ears[number][way];

        if (ear->clock_us > sum->clock_us) {
            sum->clock_us = ear->clock_us;
            sum->came_us = ear->came_us;
            sum->theirs = ear->theirs;
        }
        sum->sent += ear->sent;
        sum->taken += ear->taken;
        if (ear->acked_us > sum->acked_us) {
            sum->acked_us = ear->acked_us;
            sum->rtt_us = ear->rtt_us;
        }
    }
}

/* late_us: the time in which we have not looked; nothing was sent then either. */
static void judge(struct way *way, uint64_t late_us, uint64_t now_us)
{
    const struct bypass_ear *ear = &way->ear;
    bool good = way->open && ear->acked_us > 0 && ear->rtt_us <= BYPASS_SLOW_US &&
                now_us - ear->acked_us <= ear->rtt_us + BYPASS_LATE_US + late_us;

    if (!good) {
        way->good_us = 0;
        return;
    }
    if (way->good_us == 0)
        way->good_us = now_us;
    way->heard_good_us = now_us;
}

static bool is_proven(const struct way *way, uint64_t now_us)
{
    uint64_t proof_us = way->proof_us ? way->proof_us : BYPASS_PROOF_US;

    return way->open && way->good_us > 0 && now_us - way->good_us >= proof_us;
}

/* The proven way with the shortest round trip; -1: none. */
static int find_best(const struct other_site *site, uint64_t now_us)
{
    int best = -1;

    for (int i = 0; i < BYPASS_WAYS; i++) {
        if (is_proven(&site->way[i], now_us) &&
            (best < 0 || site->way[i].ear.rtt_us < site->way[best].ear.rtt_us))
            best = i;
    }
    return best;
}

/* By a fifth and more than a millisecond, and for some time: ways that are alike do not take turns.
 */
static bool is_better(struct other_site *site, int best, uint64_t now_us)
{
    struct way *way = &site->way[best];

    if (best == site->chosen ||
        way->ear.rtt_us + way->ear.rtt_us / 4 + 1000 >= site->way[site->chosen].ear.rtt_us) {
        way->better_us = 0;
        return false;
    }
    if (way->better_us == 0)
        way->better_us = now_us;
    return now_us - way->better_us >= BYPASS_BETTER_US;
}

/* It was not good, or not for long: it has to be good for longer before media goes there again. */
static void distrust(struct way *way, uint64_t least_us)
{
    uint64_t proof_us = 2 * (way->proof_us ? way->proof_us : BYPASS_PROOF_US);

    proof_us = proof_us > least_us ? proof_us : least_us;
    way->proof_us = proof_us < BYPASS_PROOF_MAX_US ? proof_us : BYPASS_PROOF_MAX_US;
    way->good_us = 0;
}

static void leave(struct bypass *bypass, struct other_site *site, uint64_t least_us,
                  const char *why, uint64_t now_us)
{
    distrust(&site->way[site->chosen], least_us);
    change(bypass, site, find_best(site, now_us), why, now_us);
}

static const char *why_left(const struct way *way)
{
    return way->ear.rtt_us > BYPASS_SLOW_US ? "the way before is slow"
                                            : "the way before does not answer";
}

static void choose(struct bypass *bypass, struct other_site *site, uint64_t now_us)
{
    int best = find_best(site, now_us);
    struct way *way = site->chosen >= 0 ? &site->way[site->chosen] : NULL;

    if (!way) {
        if (best >= 0)
            change(bypass, site, best, "it answers", now_us);
        return;
    }
    if (!way->open) {
        way->fell = true;
        change(bypass, site, best, "the way before is no more", now_us);
    } else if (way->good_us == 0) {
        site->doubt = true;
        if (now_us - way->heard_good_us >= BYPASS_DEAD_US)
            leave(bypass, site, 0, why_left(way), now_us);
    } else {
        site->doubt = false;
        if (now_us - site->moved_us >= BYPASS_LASTED_US)
            way->proof_us = 0;
        if (best >= 0 && is_better(site, best, now_us))
            change(bypass, site, best, "it is the shorter one", now_us);
    }
}

/* True: of what has gone there alone for some time, much has not come. */
static bool is_short(struct way *way, uint64_t now_us)
{
    const struct bypass_ear *ear = &way->ear;
    struct balance *balance = &way->balance;
    uint32_t sent = ear->sent - balance->sent, taken = ear->theirs - balance->taken;
    bool was_bad = balance->bad, bad;

    if (balance->since_us > 0 && now_us - balance->since_us < BYPASS_BALANCE_US + 2 * ear->rtt_us)
        return false;
    bad = balance->since_us > 0 && sent >= BYPASS_BALANCE_LEAST && taken < sent - sent / 4;
    *balance = (struct balance){now_us, ear->sent, ear->theirs, bad};
    return bad && was_bad;
}

/* What has gone past the dmz-relay, too, comes by the packet forwarder as a copy, if later. */
static bool is_past_open(const struct bypass *bypass, const struct other_site *site)
{
    const struct inner_meetings *past[] = {&bypass->inner->punchings, &bypass->inner->meetings};

    for (unsigned i = 0; i < 2; i++) {
        if (past[i]->is_open && past[i]->is_open(past[i]->ctx, site->name))
            return true;
    }
    return false;
}

/* A packet forwarder may pass probes on, and no media. */
static void weigh(struct bypass *bypass, struct other_site *site, uint64_t now_us)
{
    struct way *way = site->chosen >= 0 ? &site->way[site->chosen] : NULL;

    if (!way)
        return;
    if (site->doubt || now_us < site->both_until_us || is_past_open(bypass, site))
        way->balance = (struct balance){.since_us = 0};
    else if (is_short(way, now_us))
        leave(bypass, site, BYPASS_SHORT_US, "what goes by the way before does not come", now_us);
}

static void tend(struct bypass *bypass, unsigned number, uint64_t now_us)
{
    struct other_site *site = &bypass->site[number];
    uint64_t since_us = site->tended_us ? now_us - site->tended_us : 0;
    uint64_t late_us = since_us > 2 * BYPASS_PROBE_US ? since_us - BYPASS_PROBE_US : 0;

    site->tended_us = now_us;
    for (unsigned i = 0; i < BYPASS_WAYS; i++) {
        if (!site->way[i].open)
            continue;
        gather(bypass, number, i);
        judge(&site->way[i], late_us, now_us);
        send_probe(bypass, site, i, now_us);
    }
    choose(bypass, site, now_us);
    weigh(bypass, site, now_us);
}

static bool has_way(const struct other_site *site)
{
    for (unsigned i = 0; i < BYPASS_WAYS; i++) {
        if (site->way[i].open)
            return true;
    }
    return false;
}

static void ask_again(struct bypass *bypass, struct other_site *site, uint64_t now_us);

uint64_t bypass_tick(struct bypass *bypass, uint64_t now_us)
{
    uint64_t next_us = UINT64_MAX;

    for (unsigned i = 0; i < BYPASS_SITES; i++) {
        if (!bypass->site[i].wanted)
            continue;
        ask_again(bypass, &bypass->site[i], now_us);
        if (!has_way(&bypass->site[i]))
            continue;
        tend(bypass, i, now_us);
        next_us = now_us + BYPASS_PROBE_US;
    }
    return next_us;
}

/* ------------------------------------------------------------ packet forwarders */

static void ask(struct bypass *bypass, struct other_site *site, struct inner_link *link, bool want)
{
    struct way *way = &site->way[link->number];
    struct pass_frame frame = {.want = want};
    uint8_t memory[SITE_SIZE + 64];
    struct writer w;

    if (way->asked == want || !link->forwarder || !link->session ||
        session_state(link->session) != SESSION_UP)
        return;
    way->asked = want;
    snprintf(frame.site, sizeof(frame.site), "%s", site->name);
    writer_init(&w, memory, sizeof(memory));
    passwire_put(&w, FRAME_PASS, &frame);
    session_control(link->session, FRAME_PASS, memory, writer_length(&w));
    bypass->inner->hooks.kick(bypass->inner->hooks.ctx, link);
}

/* Where it was refused: the other side's ini file may have changed. */
static void ask_again(struct bypass *bypass, struct other_site *site, uint64_t now_us)
{
    for (unsigned i = 0; i < bypass->inner->link_count; i++) {
        struct way *way = &site->way[i];

        if (!way->asked || !way->refused || now_us < way->ask_us)
            continue;
        way->asked = false;
        way->ask_us = now_us + BYPASS_AGAIN_US;
        ask(bypass, site, &bypass->inner->links[i], true);
    }
}

/* All threads forget what they have heard; from this time on it is a way. */
static void clear_ears(struct bypass *bypass, unsigned number, unsigned way, uint64_t since_us)
{
    const struct inner *inner = bypass->inner;

    for (unsigned i = 0; i <= inner->worker_count; i++) {
        struct inner *core = i < inner->worker_count ? inner->workers[i] : bypass->inner;

        core->ears[number][way] = (struct bypass_ear){.since_us = since_us};
    }
}

static void close_way(struct bypass *bypass, unsigned number, unsigned way)
{
    struct other_site *site = &bypass->site[number];

    if (site->way[way].open && bypass->site_of[way][site->way[way].number] == (int8_t)number)
        bypass->site_of[way][site->way[way].number] = -1;
    site->way[way] = (struct way){.asked = site->way[way].asked,
                                  .refused = site->way[way].refused,
                                  .fell = site->way[way].fell,
                                  .ask_us = site->way[way].ask_us,
                                  .proof_us = site->way[way].proof_us};
    clear_ears(bypass, number, way, 0);
}

int bypass_find(const struct bypass *bypass, const char *name)
{
    for (int i = 0; i < BYPASS_SITES; i++) {
        if (bypass->site[i].name[0] && strcasecmp(bypass->site[i].name, name) == 0)
            return i;
    }
    return -1;
}

static void open_way(struct bypass *bypass, unsigned number, unsigned way_number, uint8_t label,
                     uint64_t now_us)
{
    struct way *way = &bypass->site[number].way[way_number];

    if (way->fell)
        distrust(way, 0);
    way->fell = false;
    way->open = true;
    way->number = label;
    clear_ears(bypass, number, way_number, now_us);
    bypass->site_of[way_number][label] = (int8_t)number;
}

static void on_refused(struct way *way, const struct inner_link *link, const char *name,
                       uint8_t state, uint64_t now_us)
{
    if (!way->refused)
        log_warning("forwarder %s: it does not pass packets to site %s: %s", link->name, name,
                    state == PASS_STATE_REFUSED ? "no call-from there allows it"
                                                : "it does not know that site");
    way->refused = true;
    way->ask_us = now_us + BYPASS_AGAIN_US;
}

static void on_state(void *ctx, struct inner_link *link, const struct pass_frame *frame,
                     uint64_t now_us)
{
    struct bypass *bypass = ctx;
    int number = bypass_find(bypass, frame->site);
    struct other_site *site = number >= 0 ? &bypass->site[number] : NULL;
    struct way *way = site ? &site->way[link->number] : NULL;

    if (!way || !link->forwarder || !way->asked)
        return;
    close_way(bypass, (unsigned)number, link->number);
    if (frame->state == PASS_STATE_REFUSED || frame->state == PASS_STATE_UNKNOWN) {
        on_refused(way, link, site->name, frame->state, now_us);
    } else {
        way->refused = false;
        if (frame->state == PASS_STATE_OPEN)
            open_way(bypass, (unsigned)number, link->number, frame->number, now_us);
    }
    choose(bypass, site, now_us);
}

void bypass_link(struct bypass *bypass, const struct inner_link *link, bool up, uint64_t now_us)
{
    for (unsigned i = 0; i < BYPASS_SITES && link->forwarder; i++) {
        struct other_site *site = &bypass->site[i];

        close_way(bypass, i, link->number);
        site->way[link->number].asked = site->way[link->number].refused = false;
        if (site->name[0])
            choose(bypass, site, now_us);
        if (up && site->wanted)
            ask(bypass, site, &bypass->inner->links[link->number], true);
    }
}

/* ------------------------------------------------------------ sites */

struct bypass *bypass_new(struct inner *inner)
{
    struct bypass *bypass = calloc(1, sizeof(*bypass));

    if (!bypass)
        return NULL;
    bypass->inner = inner;
    memset(bypass->site_of, -1, sizeof(bypass->site_of));
    inner->bypass = bypass;
    inner->passes = (struct inner_passes){.state = on_state, .ctx = bypass};
    return bypass;
}

void bypass_free(struct bypass *bypass)
{
    if (!bypass)
        return;
    bypass->inner->bypass = NULL;
    bypass->inner->passes = (struct inner_passes){.state = NULL};
    wipe(bypass, sizeof(*bypass));
    free(bypass);
}

int bypass_site(struct bypass *bypass, const char *name, unsigned dmz)
{
    int number = bypass_find(bypass, name);

    for (int i = 0; i < BYPASS_SITES && number < 0; i++) {
        if (bypass->site[i].name[0])
            continue;
        bypass->site[i] = (struct other_site){.chosen = -1, .former = -1};
        snprintf(bypass->site[i].name, sizeof(bypass->site[i].name), "%s", name);
        number = i;
    }
    if (number >= 0)
        bypass->site[number].dmz = dmz;
    return number;
}

void bypass_want(struct bypass *bypass, unsigned number, bool wanted, uint64_t now_us)
{
    struct other_site *site = &bypass->site[number];

    if (site->wanted == wanted)
        return;
    site->wanted = wanted;
    if (!wanted) {
        change(bypass, site, -1, "there are no calls", now_us);
        site->former = -1;
    }
    for (unsigned i = 0; i < bypass->inner->link_count; i++) {
        ask(bypass, site, &bypass->inner->links[i], wanted);
        site->way[i].fell = false;
        if (!wanted)
            close_way(bypass, number, i);
    }
}

void bypass_forget(struct bypass *bypass, unsigned number, uint64_t now_us)
{
    bypass_want(bypass, number, false, now_us);
    wipe(&bypass->site[number], sizeof(bypass->site[number]));
    bypass->site[number].chosen = bypass->site[number].former = -1;
}

void bypass_key(struct bypass *bypass, unsigned number, bool ours,
                const uint8_t (*secret)[PASSPROBE_SECRET_OCTETS], uint64_t now_us)
{
    struct passprobe_keys *keys = &bypass->site[number].keys;

    if (secret)
        passprobe_keys_add(keys, ours, secret, now_us);
    else
        passprobe_keys_end(keys, ours, now_us);
}

int bypass_bind(struct sa *sa, int site, uint32_t label)
{
    if (site < 0) {
        free(sa->way);
        sa->way = NULL;
        return 0;
    }
    if (!sa->way)
        sa->way = calloc(1, sizeof(*sa->way));
    if (!sa->way)
        return ERR_NOMEM;
    sa->way->site = (uint8_t)site;
    sa->way->label = label;
    sa->way->goes = sa->side == SA_SIDE_INTERNAL;
    return 0;
}

/* ------------------------------------------------------------ display */

void bypass_show(const struct bypass *bypass, unsigned number, struct bypass_view *out)
{
    const struct other_site *site = &bypass->site[number];

    *out = (struct bypass_view){.moves = site->moves, .returns = site->returns};
    if (site->chosen < 0)
        return;
    out->by = &bypass->inner->links[site->chosen];
    out->both = site->doubt;
    out->rtt_us = site->way[site->chosen].ear.rtt_us;
}
