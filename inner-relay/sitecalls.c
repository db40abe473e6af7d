#define LOG_MODULE "sitecalls"
#include "inner-relay/sitecalls.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/random.h"
#include "inner-relay/callsdp.h"
#include "inner-relay/side.h"
#include "inner-relay/sitemessage.h"

/* One that is over can be asked about for so long. */
#define LINGER_US (UINT64_C(30) * 1000 * 1000)

/* The two parties, as calls.h knows them. */
static const char caller_tag[] = "caller", called_tag[] = "called";

struct sitecalls {
    struct sites *sites;
    struct calls *calls;
    size_t count;
    struct sitecall *first;         /* the newest */
    uint64_t wall_us;               /* minus now_us: of the last tick */
    bool restored[INNER_LINKS_MAX]; /* calls of before a restart were looked for */
};

/* ------------------------------------------------------------ the list */

static struct sitecall *add(struct sitecalls *sitecalls, struct site *site, enum sites_side side,
                            uint64_t number, uint64_t now_us)
{
    struct sitecall *call = sitecalls->count < SITECALLS_MAX ? calloc(1, sizeof(*call)) : NULL;

    if (!call)
        return NULL;
    call->site = site;
    call->side = side;
    call->number = number;
    call->kept = true;
    call->changed_us = now_us;
    snprintf(call->site_name, sizeof(call->site_name), "%s", site_name(site));
    snprintf(call->call_id, sizeof(call->call_id), "%016" PRIx64 "@%s", number,
             side == SITES_OURS ? site_link(site)->peer.site : call->site_name);
    call->next = sitecalls->first;
    sitecalls->first = call;
    sitecalls->count++;
    return call;
}

static void drop_sdp(struct sitecall *call)
{
    if (call->sdp)
        wipe(call->sdp, call->sdp_length);
    free(call->sdp);
    call->sdp = NULL;
    call->sdp_length = 0;
}

static void set_sdp(struct sitecall *call, struct call_reply *reply)
{
    drop_sdp(call);
    call->sdp = reply->sdp;
    call->sdp_length = reply->sdp_length;
    reply->sdp = NULL;
    calls_reply_free(reply);
}

static void remove_call(struct sitecalls *sitecalls, struct sitecall *call)
{
    struct sitecall **at = &sitecalls->first;

    while (*at != call)
        at = &(*at)->next;
    *at = call->next;
    sitecalls->count--;
    drop_sdp(call);
    free(call);
}

struct sitecall *sitecalls_find(struct sitecalls *sitecalls, const char *call_id)
{
    struct sitecall *found = NULL;

    for (struct sitecall *call = sitecalls->first; call; call = call->next) {
        if (strcmp(call->call_id, call_id) == 0 && (!found || found->state == SITECALL_ENDED))
            found = call;
    }
    return found;
}

/* After a restart it may not be known which of several sites a call is with. */
static struct sitecall *find_other(struct sitecalls *sitecalls, const struct sitecall *call)
{
    struct sitecall *other = sitecalls_find(sitecalls, call->call_id);

    return other && other != call && other->state != SITECALL_ENDED ? other : NULL;
}

static struct sitecall *find_number(struct sitecalls *sitecalls, const struct site *site,
                                    enum sites_side side, uint64_t number)
{
    struct sitecall *call = sitecalls->first;

    while (call && (call->site != site || call->side != side || call->number != number))
        call = call->next;
    return call;
}

struct sitecall *sitecalls_next_ringing(struct sitecalls *sitecalls)
{
    struct sitecall *oldest = NULL;

    for (struct sitecall *call = sitecalls->first; call; call = call->next) {
        if (call->side == SITES_THEIRS && call->state == SITECALL_RINGING && !call->told)
            oldest = call;
    }
    if (oldest)
        oldest->told = true;
    return oldest;
}

const char *sitecall_state_name(const struct sitecall *call)
{
    static const char *const names[] = {
        [SITECALL_PLACED] = "placed",
        [SITECALL_RINGING] = "ringing",
        [SITECALL_ANSWERED] = "answered",
        [SITECALL_ENDED] = "ended",
    };

    return names[call->state];
}

/* ------------------------------------------------------------ what is said */

static int say(struct site *site, enum sites_side side, uint8_t type,
               const struct site_message *message, uint64_t now_us, const char **why)
{
    uint8_t *memory = malloc(MESSAGE_MAX_OCTETS);
    struct writer w;
    int result = ERR_NOMEM;

    *why = "out of memory";
    if (!memory)
        return result;
    writer_init(&w, memory, MESSAGE_MAX_OCTETS - 1);
    sitemessage_put(&w, type, message);
    result = site_send(site, side, type, memory, writer_length(&w), why, now_us);
    wipe(memory, writer_length(&w));
    free(memory);
    return result;
}

static int say_of(struct sitecall *call, uint8_t type, const char *reason, uint64_t now_us)
{
    struct site_message message = {.number = call->number};
    const char *why;

    if (!call->site)
        return ERR_CLOSED;
    sitemessage_set_reason(&message, reason);
    return say(call->site, call->side, type, &message, now_us, &why);
}

static int say_sdp(struct sitecall *call, uint8_t type, const struct call_reply *reply,
                   uint64_t now_us, struct call_error *error)
{
    struct site_message message = {
        .number = call->number, .sdp = reply->sdp, .sdp_length = reply->sdp_length};
    const char *why;
    int result;

    if (!call->site)
        return calls_refuse(error, ERR_CLOSED, "the site stands no longer in the ini file");
    if (reply->sdp_length > MESSAGE_SDP_OCTETS)
        return calls_refuse(error, ERR_TOO_LONG, "the SDP has more than %d octets",
                            MESSAGE_SDP_OCTETS);
    result = say(call->site, call->side, type, &message, now_us, &why);
    return result < 0 ? calls_refuse(error, result, "site %s: %s", call->site_name, why) : 0;
}

/* ------------------------------------------------------------ the call of calls.h */

static struct call *media_of(const struct sitecalls *sitecalls, const struct sitecall *call)
{
    return calls_find(sitecalls->calls, call->call_id, caller_tag, "");
}

static struct call_request request_of(const struct sitecall *call, const char *sdp, size_t length)
{
    return (struct call_request){.call_id = call->call_id,
                                 .from_tag = caller_tag,
                                 .to_tag = "",
                                 .via_branch = "",
                                 .sdp = sdp,
                                 .sdp_length = length,
                                 .link = call->site ? 1 + site_link(call->site)->number : 0,
                                 .replace_origin = true,
                                 .replace_session_connection = true,
                                 .ice_remove = true};
}

static void end_media(struct sitecalls *sitecalls, const struct sitecall *call, uint64_t now_us)
{
    struct call *media = media_of(sitecalls, call);

    if (media)
        calls_end(sitecalls->calls, media, now_us);
}

/* Nothing is said to the other site. */
static void settle_end(struct sitecalls *sitecalls, struct sitecall *call, const char *reason,
                       uint64_t now_us)
{
    drop_sdp(call);
    call->state = SITECALL_ENDED;
    if (!find_other(sitecalls, call))
        end_media(sitecalls, call, now_us);
    call->changed_us = now_us;
    snprintf(call->reason, sizeof(call->reason), "%s", reason);
    log_info("call %s %s site %s ended: %s", call->call_id,
             call->side == SITES_OURS ? "to" : "from", call->site_name, reason);
}

/* Media of another site comes by the dmz-relay that both have, and goes there, or nowhere. */
static int check_place(struct sitecalls *sitecalls, const struct call_request *request,
                       struct call_error *error)
{
    struct sdp *sdp = calls_borrow(sitecalls->calls, sizeof(*sdp));
    int result =
        sdp ? callsdp_read(request, sdp, error) : calls_refuse(error, ERR_NOMEM, "out of memory");

    for (unsigned i = 0; result == 0 && i < sdp->media_count; i++) {
        const struct sdp_media *media = &sdp->media[i];

        if (callsdp_is_media(media) && !callsdp_is_held(media) &&
            !side_is_self(sitecalls->calls->inner, request->link - 1, &media->rtp_addr))
            result = calls_refuse(error, ERR_FORBIDDEN,
                                  "m= line %u is not at the dmz-relay that both sites have", i);
    }
    calls_give_back(sitecalls->calls, sdp, sizeof(*sdp));
    return result;
}

/* ------------------------------------------------------------ what an operator does */

struct sitecall *sitecalls_place(struct sitecalls *sitecalls, struct site *site, const char *sdp,
                                 size_t sdp_length, uint64_t wall_us, uint64_t now_us,
                                 struct call_error *error)
{
    struct sitecall *call = add(sitecalls, site, SITES_OURS, random_u64(), now_us);
    struct call_request request;
    struct call_reply reply;

    if (!call) {
        calls_refuse(error, ERR_FULL, "there are %d calls between sites already", SITECALLS_MAX);
        return NULL;
    }
    request = request_of(call, sdp, sdp_length);
    request.direction[0] = SA_SIDE_INTERNAL;
    request.direction[1] = SA_SIDE_EXTERNAL;
    if (calls_offer(sitecalls->calls, &request, wall_us, now_us, &reply, error) < 0) {
        remove_call(sitecalls, call);
        return NULL;
    }
    if (say_sdp(call, MESSAGE_PLACE, &reply, now_us, error) < 0) {
        end_media(sitecalls, call, now_us);
        remove_call(sitecalls, call);
        call = NULL;
    }
    calls_reply_free(&reply);
    if (call)
        log_info("call %s to site %s placed", call->call_id, call->site_name);
    return call;
}

static int check_ringing(const struct sitecall *call, struct call_error *error)
{
    if (call->side == SITES_OURS)
        return calls_refuse(error, ERR_INVALID,
                            "the call was placed here; the other site answers or refuses it");
    if (call->state == SITECALL_RINGING)
        return 0;
    return calls_refuse(error, ERR_INVALID, "the call does not ring any more: %s",
                        call->state == SITECALL_ENDED ? call->reason : "it was answered");
}

int sitecalls_answer(struct sitecalls *sitecalls, struct sitecall *call, const char *sdp,
                     size_t sdp_length, uint64_t wall_us, uint64_t now_us, struct call_error *error)
{
    struct call_request request = request_of(call, sdp, sdp_length);
    struct call_reply reply;
    int result = check_ringing(call, error);

    if (result < 0)
        return result;
    request.to_tag = called_tag;
    request.direction[0] = SA_SIDE_INTERNAL;
    request.direction[1] = SA_SIDE_EXTERNAL;
    result = calls_answer(sitecalls->calls, &request, wall_us, now_us, &reply, error);
    if (result < 0)
        return result;
    result = say_sdp(call, MESSAGE_ANSWER, &reply, now_us, error);
    calls_reply_free(&reply);
    if (result < 0) {
        settle_end(sitecalls, call, error->text, now_us);
        return result;
    }
    drop_sdp(call);
    call->state = SITECALL_ANSWERED;
    call->changed_us = now_us;
    log_info("call %s from site %s answered", call->call_id, call->site_name);
    return 0;
}

int sitecalls_refuse(struct sitecalls *sitecalls, struct sitecall *call, const char *reason,
                     uint64_t now_us, struct call_error *error)
{
    int result = check_ringing(call, error);

    if (result < 0)
        return result;
    (void)say_of(call, MESSAGE_REFUSE, reason, now_us);
    settle_end(sitecalls, call, reason[0] ? reason : "refused here", now_us);
    return 0;
}

static void end_one(struct sitecalls *sitecalls, struct sitecall *call, const char *reason,
                    uint64_t now_us)
{
    if (call->state == SITECALL_ENDED)
        return;
    if (call->side == SITES_THEIRS && call->state == SITECALL_RINGING) {
        (void)say_of(call, MESSAGE_REFUSE, reason, now_us);
    } else {
        (void)say_of(call, MESSAGE_END, reason, now_us);
        if (call->side == SITES_OURS && call->site)
            site_open(call->site);
    }
    settle_end(sitecalls, call, reason, now_us);
}

void sitecalls_end(struct sitecalls *sitecalls, struct sitecall *call, const char *reason,
                   uint64_t now_us)
{
    struct sitecall *other;

    end_one(sitecalls, call, reason, now_us);
    while ((other = find_other(sitecalls, call)))
        end_one(sitecalls, other, reason, now_us);
}

/* ------------------------------------------------------------ after a restart */

/* What stands behind the @ in "0123456789abcdef@NAME"; NULL: no Call-ID of ours. */
static const char *parse_id(const char *call_id, uint64_t *number)
{
    if (strspn(call_id, "0123456789abcdef") != 16 || call_id[16] != '@')
        return NULL;
    *number = strtoull(call_id, NULL, 16);
    return call_id + 17;
}

static void restore_with(struct sitecalls *sitecalls, struct site *site, enum sites_side side,
                         uint64_t number, const struct call *media, uint64_t now_us)
{
    struct sitecall *call = find_number(sitecalls, site, side, number)
                                ? NULL
                                : add(sitecalls, site, side, number, now_us);

    if (!call)
        return;
    snprintf(call->call_id, sizeof(call->call_id), "%s", media->call_id);
    call->state = SITECALL_ANSWERED;
    log_info("call %s %s site %s goes on", call->call_id, side == SITES_OURS ? "to" : "from",
             call->site_name);
}

/* Of one that was placed here it is not known with which site: those that do not have it say so. */
static void restore_call(struct sitecalls *sitecalls, const struct call *media, uint64_t now_us)
{
    uint64_t number;
    const char *name = parse_id(media->call_id, &number);

    for (size_t i = 0; name && i < sites_count(sitecalls->sites); i++) {
        struct site *site = sites_at(sitecalls->sites, i);
        const struct inner_link *link = site_link(site);

        if (link->number != media->link)
            continue;
        if (strcasecmp(name, link->peer.site) == 0)
            restore_with(sitecalls, site, SITES_OURS, number, media, now_us);
        else if (strcasecmp(name, site_name(site)) == 0)
            restore_with(sitecalls, site, SITES_THEIRS, number, media, now_us);
    }
}

/* Once for each tunnel, when it comes up: then we know what we are called. */
static void restore(struct sitecalls *sitecalls, const struct inner_link *link, uint64_t now_us)
{
    const struct call *media;
    size_t at = 0;

    if (sitecalls->restored[link->number] || !link->sites)
        return;
    sitecalls->restored[link->number] = true;
    while ((media = calls_next(sitecalls->calls, &at))) {
        if (media->restored && media->link == link->number)
            restore_call(sitecalls, media, now_us);
    }
}

/* ------------------------------------------------------------ what the other site does */

static bool is_room(const struct sitecalls *sitecalls, const struct site *site)
{
    unsigned count = 0, ringing = 0;

    for (const struct sitecall *call = sitecalls->first; call; call = call->next) {
        bool theirs = call->site == site && call->side == SITES_THEIRS;

        count += theirs;
        ringing += theirs && call->state == SITECALL_RINGING;
    }
    return count < SITECALLS_OF_SITE && ringing < SITECALLS_RINGING_MAX;
}

static void refuse_placed(struct site *site, uint64_t number, const char *reason, uint64_t now_us)
{
    struct site_message message = {.number = number};
    const char *why;

    sitemessage_set_reason(&message, reason);
    (void)say(site, SITES_THEIRS, MESSAGE_REFUSE, &message, now_us, &why);
    log_info("a call from site %s refused: %s", site_name(site), reason);
}

/* NULL: it is offered to who is inside; else why not. */
static const char *take_placed(struct sitecalls *sitecalls, struct sitecall *call,
                               const struct site_message *message, uint64_t now_us,
                               struct call_error *error)
{
    struct call_request request = request_of(call, message->sdp, message->sdp_length);
    struct call_reply reply;

    request.direction[0] = SA_SIDE_EXTERNAL;
    request.direction[1] = SA_SIDE_INTERNAL;
    if (check_place(sitecalls, &request, error) < 0 ||
        calls_offer(sitecalls->calls, &request, sitecalls->wall_us + now_us, now_us, &reply,
                    error) < 0)
        return error->text;
    set_sdp(call, &reply);
    return NULL;
}

static void on_place(struct sitecalls *sitecalls, struct site *site,
                     const struct site_message *message, uint64_t now_us)
{
    struct sitecall *call = find_number(sitecalls, site, SITES_THEIRS, message->number);
    struct call_error error = {0};
    const char *why = NULL;

    if (call)
        why = "there was a call of this number already";
    else if (site_refuses(site))
        why = "the other site takes no calls of this one";
    else if (!is_room(sitecalls, site))
        why = "there are too many calls of this site";
    if (why) {
        refuse_placed(site, message->number, why, now_us);
        return;
    }
    call = add(sitecalls, site, SITES_THEIRS, message->number, now_us);
    if (!call) {
        refuse_placed(site, message->number, "the other site has too many calls", now_us);
        return;
    }
    why = take_placed(sitecalls, call, message, now_us, &error);
    if (why) {
        refuse_placed(site, message->number, why, now_us);
        remove_call(sitecalls, call);
        return;
    }
    call->state = SITECALL_RINGING;
    (void)say_of(call, MESSAGE_RINGING, "", now_us);
    log_info("call %s from site %s rings", call->call_id, call->site_name);
}

static void on_answer(struct sitecalls *sitecalls, struct sitecall *call,
                      const struct site_message *message, uint64_t now_us)
{
    struct call_request request = request_of(call, message->sdp, message->sdp_length);
    struct call_error error = {0};
    struct call_reply reply;

    request.to_tag = called_tag;
    request.direction[0] = SA_SIDE_EXTERNAL;
    request.direction[1] = SA_SIDE_INTERNAL;
    if (check_place(sitecalls, &request, &error) < 0 ||
        calls_answer(sitecalls->calls, &request, sitecalls->wall_us + now_us, now_us, &reply,
                     &error) < 0) {
        sitecalls_end(sitecalls, call, error.text, now_us);
        return;
    }
    set_sdp(call, &reply);
    call->state = SITECALL_ANSWERED;
    call->changed_us = now_us;
    log_info("call %s to site %s answered", call->call_id, call->site_name);
}

static void on_end(struct sitecalls *sitecalls, struct sitecall *call, uint8_t type,
                   const struct site_message *message, uint64_t now_us)
{
    char text[sizeof(call->reason)];

    snprintf(text, sizeof(text), "%s%s%s",
             type == MESSAGE_REFUSE ? "refused by the other site" : "ended by the other site",
             message->reason[0] ? ": " : "", message->reason);
    settle_end(sitecalls, call, text, now_us);
}

/* What the one that has opened the session says. */
static int from_caller(struct sitecalls *sitecalls, struct site *site, uint8_t type,
                       const struct site_message *message, uint64_t now_us)
{
    struct sitecall *call = find_number(sitecalls, site, SITES_THEIRS, message->number);
    bool alive = call && call->state != SITECALL_ENDED;
    struct site_message gone = {.number = message->number};
    const char *why;

    switch (type) {
    case MESSAGE_PLACE:
        on_place(sitecalls, site, message, now_us);
        return 0;
    case MESSAGE_END:
        if (alive)
            on_end(sitecalls, call, type, message, now_us);
        return 0;
    case MESSAGE_KEEP:
        if (alive)
            call->kept = true;
        else
            (void)say(site, SITES_THEIRS, MESSAGE_END, &gone, now_us, &why);
        return 0;
    case MESSAGE_ASK:
        site_open(site);
        return 0;
    case MESSAGE_KEPT:
        for (call = sitecalls->first; call; call = call->next) {
            if (call->site == site && call->side == SITES_THEIRS && !call->kept &&
                call->state == SITECALL_ANSWERED)
                settle_end(sitecalls, call, "the other site has it no more", now_us);
        }
        return 0;
    default:
        return ERR_PROTOCOL;
    }
}

static int from_called(struct sitecalls *sitecalls, struct site *site, uint8_t type,
                       const struct site_message *message, uint64_t now_us)
{
    struct sitecall *call = find_number(sitecalls, site, SITES_OURS, message->number);

    if (type != MESSAGE_RINGING && type != MESSAGE_ANSWER && type != MESSAGE_REFUSE &&
        type != MESSAGE_END)
        return ERR_PROTOCOL;
    if (!call || call->state == SITECALL_ENDED)
        return 0;
    if (type == MESSAGE_REFUSE || type == MESSAGE_END)
        on_end(sitecalls, call, type, message, now_us);
    else if (type == MESSAGE_RINGING && call->state == SITECALL_PLACED)
        call->state = SITECALL_RINGING;
    else if (type == MESSAGE_ANSWER && call->state != SITECALL_ANSWERED)
        on_answer(sitecalls, call, message, now_us);
    return 0;
}

static int on_message(void *ctx, struct site *site, enum sites_side side, uint8_t type,
                      struct reader *body, uint64_t now_us)
{
    struct site_message message;
    int result = type <= MESSAGE_KEPT || type == MESSAGE_ASK ? sitemessage_get(type, body, &message)
                                                             : ERR_UNSUPPORTED;

    if (result < 0)
        return result;
    return (side == SITES_THEIRS ? from_caller : from_called)(ctx, site, type, &message, now_us);
}

/* ------------------------------------------------------------ the session */

/* It may have ended, and its end be lost with the session in which it would be said. */
static bool is_uncertain(const struct sitecall *call)
{
    return call->side == SITES_THEIRS && call->state == SITECALL_ANSWERED && call->site &&
           !site_is_up(call->site, SITES_THEIRS);
}

static bool any_uncertain(const struct sitecalls *sitecalls, const struct site *site)
{
    const struct sitecall *call = sitecalls->first;

    while (call && (call->site != site || !is_uncertain(call)))
        call = call->next;
    return call != NULL;
}

/* Which calls there are still: the other site ends those that are not named. */
static void on_up(void *ctx, struct site *site, enum sites_side side, uint64_t now_us)
{
    struct sitecalls *sitecalls = ctx;
    struct site_message none = {.number = 0};
    const char *why;

    restore(sitecalls, site_link(site), now_us);
    for (struct sitecall *call = sitecalls->first; call; call = call->next) {
        if (call->site != site || call->side != side)
            continue;
        if (side == SITES_THEIRS)
            call->kept = false;
        else if (call->state == SITECALL_ANSWERED)
            (void)say_of(call, MESSAGE_KEEP, "", now_us);
    }
    if (side != SITES_OURS)
        return;
    (void)say(site, side, MESSAGE_KEPT, &none, now_us, &why);
    if (any_uncertain(sitecalls, site))
        (void)say(site, side, MESSAGE_ASK, &none, now_us, &why);
}

/* A call that was answered goes on: its media does not need the session. */
static void on_down(void *ctx, struct site *site, enum sites_side side, const char *why)
{
    struct sitecalls *sitecalls = ctx;

    for (struct sitecall *call = sitecalls->first; call; call = call->next) {
        if (call->site == site && call->side == side &&
            (call->state == SITECALL_PLACED || call->state == SITECALL_RINGING))
            settle_end(sitecalls, call, why, call->changed_us);
    }
}

static bool is_wanted(void *ctx, const struct site *site, enum sites_side side)
{
    const struct sitecalls *sitecalls = ctx;

    for (const struct sitecall *call = sitecalls->first; call; call = call->next) {
        if (call->site == site && call->side == side && call->state != SITECALL_ENDED)
            return true;
    }
    return side == SITES_OURS && any_uncertain(sitecalls, site);
}

static void on_gone(void *ctx, struct site *site)
{
    struct sitecalls *sitecalls = ctx;

    for (struct sitecall *call = sitecalls->first; call; call = call->next) {
        if (call->site != site)
            continue;
        if (call->state != SITECALL_ENDED)
            settle_end(sitecalls, call, "its site stands no longer in the ini file",
                       call->changed_us);
        call->site = NULL;
    }
}

static const struct sites_hooks hooks = {on_up, on_down, on_message, is_wanted, on_gone};

struct sitecalls *sitecalls_new(struct sites *sites, struct calls *calls)
{
    struct sitecalls *sitecalls = calloc(1, sizeof(*sitecalls));

    if (!sitecalls)
        return NULL;
    sitecalls->sites = sites;
    sitecalls->calls = calls;
    sites_add_hooks(sites, &hooks, sitecalls);
    return sitecalls;
}

void sitecalls_free(struct sitecalls *sitecalls)
{
    if (!sitecalls)
        return;
    while (sitecalls->first)
        remove_call(sitecalls, sitecalls->first);
    free(sitecalls);
}

static void tick_call(struct sitecalls *sitecalls, struct sitecall *call, uint64_t now_us)
{
    bool waits = call->state == SITECALL_PLACED || call->state == SITECALL_RINGING;

    if (waits && call->site && now_us - call->changed_us >= site_ring_us(call->site))
        sitecalls_end(sitecalls, call, "nobody has answered", now_us);
    else if (call->state != SITECALL_ENDED && !media_of(sitecalls, call))
        sitecalls_end(sitecalls, call, "the media has ended", now_us);
}

void sitecalls_tick(struct sitecalls *sitecalls, uint64_t wall_us, uint64_t now_us)
{
    struct sitecall *next;

    sitecalls->wall_us = wall_us - now_us;
    for (size_t i = 0; i < sites_count(sitecalls->sites); i++)
        restore(sitecalls, site_link(sites_at(sitecalls->sites, i)), now_us);
    for (struct sitecall *call = sitecalls->first; call; call = next) {
        next = call->next;
        if (call->state != SITECALL_ENDED)
            tick_call(sitecalls, call, now_us);
        else if (now_us - call->changed_us >= LINGER_US)
            remove_call(sitecalls, call);
    }
}
