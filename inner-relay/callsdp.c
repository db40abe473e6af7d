#include "inner-relay/callsdp.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "inner-relay/sdpedit.h"
#include "inner-relay/side.h"

bool callsdp_is_media(const struct sdp_media *media)
{
    return media->rtp && media->port != 0;
}

bool callsdp_is_held(const struct sdp_media *media)
{
    return media->held || media->direction != SDP_SENDRECV;
}

const struct sdes *callsdp_usable(const struct sdp_media *media)
{
    for (unsigned i = 0; i < media->crypto_count; i++) {
        if (!media->crypto[i].unusable)
            return &media->crypto[i];
    }
    return NULL;
}

uint8_t callsdp_family(const struct sdp *sdp)
{
    for (unsigned i = 0; i < sdp->media_count; i++) {
        if (callsdp_is_media(&sdp->media[i]) && sdp->media[i].rtp_addr.family)
            return sdp->media[i].rtp_addr.family;
    }
    return 0;
}

enum call_kind callsdp_kind(const struct sdp_media *media)
{
    static const char *const names[] = {
        [CALL_KIND_AUDIO] = "audio",     [CALL_KIND_VIDEO] = "video",
        [CALL_KIND_TEXT] = "text",       [CALL_KIND_IMAGE] = "image",
        [CALL_KIND_MESSAGE] = "message", [CALL_KIND_APPLICATION] = "application",
    };

    for (int kind = CALL_KIND_AUDIO; kind < CALL_KIND_OTHER; kind++) {
        if (words_are(&media->kind, names[kind]))
            return (enum call_kind)kind;
    }
    return CALL_KIND_OTHER;
}

enum call_way callsdp_way(const struct sdp_media *media, bool direct)
{
    if (media->port == 0)
        return CALL_WAY_REJECTED;
    if (direct)
        return CALL_WAY_DIRECT;
    return media->rtp ? CALL_WAY_RELAYED : CALL_WAY_UNTOUCHED;
}

size_t callsdp_sas(const struct sdp *sdp)
{
    size_t count = 0;

    for (unsigned i = 0; i < sdp->media_count; i++)
        count += 2 * (size_t)callsdp_is_media(&sdp->media[i]);
    return count;
}

static enum side_place place_of(const struct calls *calls, unsigned link,
                                const struct sdp_media *media)
{
    return callsdp_is_media(media) ? side_place(calls->inner, link, &media->rtp_addr)
                                   : SIDE_ELSEWHERE;
}

bool callsdp_is_peer(const struct calls *calls, unsigned link, const struct sdp *sdp)
{
    for (unsigned i = 0; i < sdp->media_count; i++) {
        if (place_of(calls, link, &sdp->media[i]) == SIDE_PEER)
            return true;
    }
    return false;
}

bool callsdp_is_own(const struct calls *calls, unsigned link, const struct sdp *sdp)
{
    for (unsigned i = 0; i < sdp->media_count; i++) {
        const struct sdp_media *media = &sdp->media[i];

        if (place_of(calls, link, media) == SIDE_OWN ||
            (callsdp_is_media(media) && side_is_self(calls->inner, link, &media->rtp_addr)))
            return true;
    }
    return false;
}

/* ------------------------------------------------------------ what can be relayed */

static int refuse_line(struct call_error *error, int code, const struct sdp_media *media,
                       const char *why)
{
    return calls_refuse(error, code, "SDP line %u (m=%.*s): %s", media->line,
                        (int)(media->kind.length < 16 ? media->kind.length : 16), media->kind.at,
                        why);
}

static int check_crypto(const struct sdp_media *media, struct call_error *error)
{
    char why[128];

    if (callsdp_usable(media))
        return 0;
    if (media->crypto_count > 0) {
        snprintf(why, sizeof(why), "no a=crypto line that can be used: %s",
                 media->crypto[0].unusable);
        return refuse_line(error, ERR_UNSUPPORTED, media, why);
    }
    return refuse_line(error, ERR_UNSUPPORTED, media,
                       media->dtls ? "DTLS-SRTP and no a=crypto line; SDES keys would be right"
                                   : "no a=crypto line, and plain RTP is not relayed");
}

/* Of an address that a party says it is at. Outside, a private one is a hint, and right. */
static const char *bad_address(const struct calls *calls, unsigned link, enum sa_side side,
                               const struct addr *addr)
{
    const struct target_rules *rules = &calls->inner->rules;
    enum addr_kind kind = addr_kind(addr);

    switch (side_place(calls->inner, link, addr)) {
    case SIDE_PEER:
        return NULL;
    case SIDE_OWN:
        return "the address is this relay's own: the SDP has been through it already";
    case SIDE_OWN_DMZ:
        return "the address is the dmz-relay's own, but not the RTP port of a listener there";
    case SIDE_ELSEWHERE:
        break;
    }
    if (side == SA_SIDE_INTERNAL)
        return target_refusal(rules, side, addr);
    if (kind == ADDR_MULTICAST || kind == ADDR_BROADCAST ||
        (kind == ADDR_LOOPBACK && !rules->allow_loopback))
        return "loopback, multicast and broadcast addresses are not relayed to";
    return NULL;
}

static int check_line(const struct calls *calls, unsigned link, enum sa_side side,
                      const struct sdp_media *media, struct call_error *error)
{
    bool known = media->rtp_addr.family && addr_kind(&media->rtp_addr) != ADDR_UNSPECIFIED;
    const char *why = known ? bad_address(calls, link, side, &media->rtp_addr) : NULL;

    if (!why && known && media->rtcp_addr.family && !media->mux &&
        side_place(calls->inner, link, &media->rtp_addr) != SIDE_PEER &&
        addr_kind(&media->rtcp_addr) != ADDR_UNSPECIFIED)
        why = bad_address(calls, link, side, &media->rtcp_addr);
    if (why)
        return refuse_line(error, ERR_FORBIDDEN, media, why);
    if (side == SA_SIDE_INTERNAL && !media->rtp_addr.family)
        return refuse_line(error, ERR_UNSUPPORTED, media,
                           "a host name; inside, an IP address is needed");
    return check_crypto(media, error);
}

int callsdp_check(const struct calls *calls, unsigned link, enum sa_side side,
                  const struct sdp *sdp, struct call_error *error)
{
    int result = 0;

    for (unsigned i = 0; i < sdp->media_count && result == 0; i++) {
        if (callsdp_is_media(&sdp->media[i]))
            result = check_line(calls, link, side, &sdp->media[i], error);
    }
    return result;
}

int callsdp_read(const struct call_request *request, struct sdp *sdp, struct call_error *error)
{
    char why[SDP_ERROR_SIZE];
    int result = sdp_read(sdp, request->sdp, request->sdp_length, why);

    return result < 0 ? calls_refuse(error, result, "SDP: %s", why) : 0;
}

/* ------------------------------------------------------------ how it is shown */

static int show_line(const struct calls *calls, unsigned link, const struct callsdp_view *view,
                     unsigned line, const struct sdp_media *media, struct sdp_line_edit *edit,
                     struct call_error *error)
{
    uint8_t family = view->family ? view->family : media->rtp_addr.family;
    struct side_shown shown;
    int result = side_shown(calls->inner, link, view->side, line, family, &shown);

    if (result < 0 && !view->must)
        result = side_shown(calls->inner, link, view->side, line, 0, &shown);
    if (result < 0)
        return calls_refuse(error, result,
                            "there is no %s listener for m= line %u%s: a [listener] would be right",
                            sa_side_name(view->side), line,
                            family == 6   ? " and IPv6"
                            : family == 4 ? " and IPv4"
                                          : "");
    edit->touch = true;
    edit->rtp = shown.rtp;
    if (!view->mux || !view->mux[line]) {
        edit->rtcp = shown.rtp;
        edit->rtcp.port++;
    }
    edit->assigned_ssrc = view->assigned ? view->assigned[line] : 0;
    return 0;
}

static void __attribute__((format(printf, 2, 3))) warn(json_t *warnings, const char *format, ...)
{
    char text[192];
    va_list ap;

    va_start(ap, format);
    vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    json_array_append_new(warnings, json_string(text));
}

/* Another one is used, if the answer has it: who answers sees all of them. One is enough to say. */
static void warn_of_crypto(json_t *warnings, const struct sdp_media *media, unsigned number)
{
    for (unsigned i = 0; i < media->crypto_count; i++) {
        if (!media->crypto[i].unusable)
            continue;
        warn(warnings, "m= line %u: a=crypto:%u cannot be used: %s", number, media->crypto[i].tag,
             media->crypto[i].unusable);
        return;
    }
}

static bool share_key(const struct sdp_media *a, const struct sdp_media *b)
{
    const struct sdes *of_a = callsdp_usable(a), *of_b = callsdp_usable(b);

    return of_a && of_b && of_a->suite == of_b->suite && of_a->key.length == of_b->key.length &&
           memcmp(of_a->key.octets, of_b->key.octets, of_a->key.length) == 0;
}

/* What comes from one port under one key is told apart by SSRCs alone. */
static void warn_of_shared_port(json_t *warnings, const struct sdp *sdp, unsigned number)
{
    const struct sdp_media *media = &sdp->media[number];

    for (unsigned i = 0; i < number; i++) {
        const struct sdp_media *other = &sdp->media[i];

        if (!callsdp_is_media(other) || !addr_equal(&media->rtp_addr, &other->rtp_addr) ||
            !share_key(media, other) || (media->ssrc_count > 0 && other->ssrc_count > 0))
            continue;
        warn(warnings,
             "m= lines %u and %u have one address and one key: which packet is of which is not "
             "known; a=ssrc in both, or two ports or keys, would be right",
             i, number);
        return;
    }
}

static json_t *warnings_of(const struct sdp *sdp)
{
    json_t *warnings = json_array();

    if (sdp->bundle)
        warn(warnings,
             "a=group:BUNDLE is passed on, but each m= line is relayed by itself: from its "
             "own address, with its own key");
    for (unsigned i = 0; i < sdp->media_count; i++) {
        const struct sdp_media *media = &sdp->media[i];

        if (media->port == 0)
            continue;
        if (!media->rtp) {
            warn(warnings,
                 "m= line %u is not RTP and is passed on untouched: it does not go through the "
                 "relay",
                 i);
            continue;
        }
        warn_of_crypto(warnings, media, i);
        warn_of_shared_port(warnings, sdp, i);
    }
    return warnings;
}

static json_t *numbers_of(const struct sdp *sdp, const uint32_t *numbers)
{
    json_t *array = json_array();

    for (unsigned i = 0; i < sdp->media_count; i++)
        json_array_append_new(array, json_integer(numbers[i]));
    return array;
}

static bool any_number(const uint32_t *numbers)
{
    for (unsigned i = 0; numbers && i < CALL_LINES_MAX; i++) {
        if (numbers[i])
            return true;
    }
    return false;
}

static json_t *extra_of(const struct callsdp_view *view, const struct sdp *sdp)
{
    json_t *extra = json_object(), *warnings = view->direct ? json_array() : warnings_of(sdp);

    if (json_array_size(warnings) > 0)
        json_object_set(extra, "warnings", warnings);
    json_decref(warnings);
    if (any_number(view->assigned))
        json_object_set_new(extra, "assigned-ssrc", numbers_of(sdp, view->assigned));
    if (json_object_size(extra) > 0)
        return extra;
    json_decref(extra);
    return NULL;
}

static bool is_touched(const struct sdp_edit *edit)
{
    for (unsigned i = 0; i < SDP_MEDIA_MAX; i++) {
        if (edit->line[i].touch)
            return true;
    }
    return false;
}

int callsdp_show(const struct calls *calls, unsigned link, const struct callsdp_view *view,
                 const struct call_request *request, const struct sdp *sdp,
                 struct call_reply *reply, struct call_error *error)
{
    struct sdp_edit edit = {0};
    struct side_shown first;
    int result = 0;

    *reply = (struct call_reply){0};
    if (!view->direct) {
        edit.origin = request->replace_origin;
        edit.session_connection = request->replace_session_connection;
        edit.ice_remove = request->ice_remove;
        for (unsigned i = 0; i < sdp->media_count && result == 0; i++) {
            if (callsdp_is_media(&sdp->media[i]))
                result = show_line(calls, link, view, i, &sdp->media[i], &edit.line[i], error);
        }
    }
    /* o= shows the relay in each SDP of a call, also in one without media. */
    if (result == 0 && edit.origin && !is_touched(&edit) &&
        side_shown(calls->inner, link, view->side, 0, view->family, &first) == 0)
        edit.address = first.rtp;
    if (result < 0)
        return result;
    reply->sdp = sdp_edit(sdp, &edit, &reply->sdp_length);
    if (!reply->sdp)
        return calls_refuse(error, ERR_NOMEM, "out of memory");
    reply->extra = extra_of(view, sdp);
    return 0;
}
