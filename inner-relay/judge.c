#include "inner-relay/judge.h"

#include <string.h>

#include "common/base/err.h"
#include "common/sa/table.h"
#include "common/srtp/srtp.h"

/* ------------------------------------------------------------ checks, one per member */

int judge_key(const struct inner *inner, const struct suite *suite, const struct srtp_key *key,
              struct admit_error *error)
{
    static const uint8_t zero[SUITE_KEY_MAX_OCTETS];
    size_t right = suite_material_octets(suite);

    if (key->length != right)
        return admit_refuse(error, ERR_INVALID, "key",
                            "%zu octets, but %s takes %zu (master key %zu, then master salt %zu)",
                            key->length, suite->name, right, suite->key_octets, suite->salt_octets);
    if (memcmp(key->octets, zero, suite->key_octets) == 0)
        return admit_refuse(error, ERR_INVALID, "key",
                            "all octets of the master key are zero; a key is random");
    if (key->lifetime == 0)
        return admit_refuse(error, ERR_INVALID, "lifetime",
                            "a key that may protect no packet is none");
    if (!srtp_engine_has(inner->options.engine, suite, SRTP_KEY_MASTER))
        return admit_refuse(error, ERR_UNSUPPORTED, "suite", "srtp-engine = %s does not have %s",
                            srtp_engine_name(srtp_engine_kind(inner->options.engine)), suite->name);
    return 0;
}

/* A sender with an assigned SSRC needs no key. One that is given has to be right all the same. */
static int check_secret(const struct inner *inner, const struct admit_request *request,
                        struct admit_error *error)
{
    if (request->assign_ssrc && request->key.kind == SRTP_KEY_NONE)
        return 0;
    return judge_key(inner, request->suite, &request->key, error);
}

static int check_assign(const struct admit_request *request, struct admit_error *error)
{
    if (request->side != SA_SIDE_INTERNAL)
        return admit_refuse(error, ERR_FORBIDDEN, "assign_ssrc",
                            "only a sender inside is given its SSRC: others have to be verified");
    return request->ssrc_count > 0 ? admit_refuse(error, ERR_INVALID, "assign_ssrc",
                                                  "not together with ssrc: the SSRC is either the "
                                                  "sender's choice or ours")
                                   : 0;
}

static int check_no_ssrc(const struct inner *inner, const struct admit_request *request,
                         struct admit_error *error)
{
    if (plan_is_keyless(inner, request->side))
        return admit_refuse(error, ERR_INVALID, "ssrc",
                            "at least one is needed: with dmz-keys = keyless none is learned");
    return inner->options.learns_ssrcs
               ? 0
               : admit_refuse(
                     error, ERR_INVALID, "ssrc",
                     "at least one is needed: with [learning] ssrc-policy = strict none is "
                     "learned");
}

static int check_ssrcs(const struct inner *inner, const struct admit_request *request,
                       struct admit_error *error)
{
    if (request->assign_ssrc)
        return check_assign(request, error);
    if (request->ssrc_count == 0)
        return check_no_ssrc(inner, request, error);
    for (unsigned i = 1; i < request->ssrc_count; i++) {
        for (unsigned k = 0; k < i; k++) {
            if (request->ssrc[i] == request->ssrc[k])
                return admit_refuse(error, ERR_INVALID, "ssrc", "%u stands twice",
                                    request->ssrc[i]);
        }
    }
    return 0;
}

static int check_sender(const struct addr *addr, const char *field, struct admit_error *error)
{
    enum addr_kind kind = addr_kind(addr);

    if (kind == ADDR_MULTICAST || kind == ADDR_BROADCAST || kind == ADDR_UNSPECIFIED)
        return admit_refuse(error, ERR_FORBIDDEN, field,
                            "the address is %s and cannot be a sender's", addr_kind_text(kind));
    return 0;
}

/*
 * A phone at home may say that it sends from an address that is one of ours too: as long as packets
 * are to show where it sends from, that is no error.
 */
static int check_one_source(const struct inner *inner, const struct plan *plan, enum sa_side side,
                            const struct addr *addr, const char *field, struct admit_error *error)
{
    bool internal = target_is_internal(&inner->rules, addr);
    int result;

    if (addr->port == 0)
        return admit_refuse(error, ERR_INVALID, field, "nobody sends from port 0");
    result = check_sender(addr, field, error);
    if (result < 0)
        return result;
    if (side == SA_SIDE_INTERNAL && !internal)
        return admit_refuse(error, ERR_FORBIDDEN, field,
                            "the side is internal, but the address is not in [networks] internal");
    if (side == SA_SIDE_EXTERNAL && internal && plan->policy == SOURCE_STRICT)
        return admit_refuse(error, ERR_FORBIDDEN, field,
                            "the side is external, but the address is in [networks] internal");
    return 0;
}

static int check_no_source(const struct admit_request *request, const struct plan *plan,
                           struct admit_error *error)
{
    if (plan->policy == SOURCE_STRICT)
        return admit_refuse(
            error, ERR_INVALID, "source",
            "address and port are needed: the source is strict, and is not learned");
    if (plan->policy == SOURCE_HINTED && !request->hint.family)
        return admit_refuse(error, ERR_INVALID, "source",
                            "address and port are needed, or a hint, or the source policy open");
    return !request->source.mux && request->source.rtcp.family
               ? admit_refuse(error, ERR_INVALID, "source_rtcp", "not without source")
               : 0;
}

static int check_source(const struct inner *inner, const struct admit_request *request,
                        const struct plan *plan, struct admit_error *error)
{
    const struct sa_transport *from = &request->source;
    int result;

    if (!from->rtp.family)
        return check_no_source(request, plan, error);
    result = check_one_source(inner, plan, request->side, &from->rtp, "source", error);
    if (result == 0 && !from->mux && from->rtcp.family) {
        if (from->rtcp.family != from->rtp.family)
            return admit_refuse(error, ERR_INVALID, "source_rtcp", "of another family than source");
        result = check_one_source(inner, plan, request->side, &from->rtcp, "source_rtcp", error);
    }
    return result;
}

static int check_hint(const struct admit_request *request, struct admit_error *error)
{
    return request->hint.family ? check_sender(&request->hint, "hint", error) : 0;
}

/* It would refuse what it may not send to itself, but a call would have been taken by then. */
static bool is_at_dmz(const struct inner_link *link, const struct addr *addr)
{
    struct addr ends = addr_embedded(addr);

    for (size_t i = 0; i < link->peer.listener_count; i++) {
        const struct addr *own = &link->peer.listener[i].advertise;

        if (addr_ip_equal(addr, own) || addr_ip_equal(&ends, own))
            return true;
    }
    return false;
}

static int check_one_target(const struct inner *inner, const struct inner_link *link,
                            enum sa_side side, const struct addr *addr, const char *field,
                            struct admit_error *error)
{
    const char *why = target_refusal(&inner->rules, side, addr);

    if (why)
        return admit_refuse(error, ERR_FORBIDDEN, field, "%s", why);
    if (side == SA_SIDE_EXTERNAL && is_at_dmz(link, addr))
        return admit_refuse(error, ERR_FORBIDDEN, field,
                            "an address of dmz %s, but not one where it hears media", link->name);
    return 0;
}

int judge_targets(const struct inner *inner, const struct inner_link *link,
                  const struct admit_request *request, struct admit_error *error)
{
    const struct sa_transport *to = &request->destination;
    enum sa_side side = plan_far_side(request);
    int result = check_one_target(inner, link, side, &to->rtp, "to", error);

    if (result == 0 && !to->mux && to->rtcp.family) {
        if (to->rtcp.family != to->rtp.family)
            return admit_refuse(error, ERR_INVALID, "to_rtcp", "of another family than to");
        result = check_one_target(inner, link, side, &to->rtcp, "to_rtcp", error);
    }
    return result;
}

/*
 * choose_encaps() has seen that RTP' goes to a peer, which is always right. What may not be sent
 * to while it has to be learned anyway is no more than what the SDP said, and left out.
 */
static int check_destination(const struct inner *inner, const struct inner_link *link,
                             const struct admit_request *request, const struct plan *plan,
                             struct admit_error *error)
{
    if (!request->destination.rtp.family)
        return plan->back || request->no_destination
                   ? 0
                   : admit_refuse(error, ERR_INVALID, "to",
                                  "address and port of the receiver are needed, or as reverse an "
                                  "SA whose source is learned");
    if (plan->back ||
        (plan_far_side(request) == SA_SIDE_EXTERNAL && plan->out == SA_ENCAP_RTP_PRIME))
        return 0;
    return judge_targets(inner, link, request, error);
}

/* What goes out where it came in; only the relay of that side ever sees it. */
static int check_hairpin(const struct inner *inner, const struct inner_link *link,
                         const struct admit_request *request, struct admit_error *error)
{
    if (request->destination.rtp.family &&
        addr_equal(&request->source.rtp, &request->destination.rtp))
        return admit_refuse(error, ERR_INVALID, "to", "packets would go back to their sender");
    if (plan_is_keyless(inner, request->side))
        return admit_refuse(error, ERR_FORBIDDEN, "to_side",
                            "from outside to outside nothing goes with dmz-keys = keyless: the "
                            "dmz-relay does not verify it, and nobody else sees it");
    if (request->side == SA_SIDE_EXTERNAL && link->peer.version != 0 &&
        !(link->peer.features & FEATURE_HAIRPIN))
        return admit_refuse(error, ERR_UNSUPPORTED, "to_side",
                            "dmz %s sends nothing from outside to outside: it is of an older "
                            "version",
                            link->name);
    return 0;
}

static int check_inner_listener(const struct inner *inner, const char *name, uint8_t family,
                                const char *field, struct admit_error *error)
{
    int found = path_find_listener(inner->listeners, inner->listener_count, name, family);

    if (found < 0 && name[0])
        return admit_refuse(error, ERR_NOT_FOUND, field, "the inner-relay has no [listener %s]",
                            name);
    if (found >= 0 && family && inner->listeners[found].address.family != family)
        return admit_refuse(error, ERR_INVALID, field,
                            "[listener %s] of the inner-relay is not IPv%u",
                            inner->listeners[found].name, family);
    if (found < 0)
        return admit_refuse(error, ERR_NOT_FOUND, field,
                            "the inner-relay has no listener for IPv%u; add a [listener]", family);
    return 0;
}

/*
 * family 0: any will do. What the dmz-relay has is known once it was connected; before, it says no
 * later (SA-NAK).
 */
static int check_dmz_listener(const struct inner_link *link, const char *name, uint8_t family,
                              const char *field, struct admit_error *error)
{
    const struct hello_listener *found = inner_link_listener(link, name, family);

    if (link->peer.version == 0)
        return 0;
    if (!found && name[0])
        return admit_refuse(error, ERR_NOT_FOUND, field, "dmz %s has no [listener %s]", link->name,
                            name);
    if (found && family && found->advertise.family != family)
        return admit_refuse(error, ERR_INVALID, field, "[listener %s] of dmz %s is not IPv%u",
                            found->name, link->name, family);
    if (!found)
        return admit_refuse(error, ERR_NOT_FOUND, field,
                            "dmz %s has no listener for IPv%u; add a [listener] there", link->name,
                            family);
    return 0;
}

static int check_listeners(const struct inner *inner, const struct inner_link *link,
                           const struct admit_request *request, struct admit_error *error)
{
    uint8_t in = admit_source_family(request), out = request->destination.rtp.family;
    int result = request->side == SA_SIDE_EXTERNAL
                     ? check_dmz_listener(link, request->listener, in, "listener", error)
                     : check_inner_listener(inner, request->listener, in, "listener", error);

    if (result < 0)
        return result;
    return plan_far_side(request) == SA_SIDE_EXTERNAL
               ? check_dmz_listener(link, request->to_listener, out, "to_listener", error)
               : check_inner_listener(inner, request->to_listener, out, "to_listener", error);
}

int judge_room(const struct inner *inner, const struct inner_link *link,
               const struct admit_request *request, struct admit_error *error)
{
    size_t held = table_count_owner(inner->table, link->number);

    if (table_count(inner->table) >= table_max(inner->table))
        return admit_refuse(error, ERR_FULL, NULL, "all %zu SAs of [limits] max-sas are in use",
                            table_max(inner->table));
    /* The dmz-relay has no part in what stays inside. */
    if (link->peer.version == 0 ||
        (request->side == SA_SIDE_INTERNAL && plan_far_side(request) == SA_SIDE_INTERNAL))
        return 0;
    if (held >= link->peer.quota || held >= link->peer.capacity)
        return admit_refuse(error, ERR_FULL, NULL, "dmz %s takes no more than %zu SAs of this site",
                            link->name, held);
    return 0;
}

int judge_request(const struct inner *inner, const struct inner_link *link,
                  const struct admit_request *request, const struct plan *plan,
                  struct admit_error *error)
{
    int result = check_source(inner, request, plan, error);

    if (result == 0)
        result = check_hint(request, error);
    if (result == 0)
        result = check_destination(inner, link, request, plan, error);
    if (result == 0 && plan_far_side(request) == request->side)
        result = check_hairpin(inner, link, request, error);
    if (result == 0)
        result = check_secret(inner, request, error);
    if (result == 0)
        result = check_ssrcs(inner, request, error);
    if (result == 0)
        result = check_listeners(inner, link, request, error);
    return result;
}

/* ------------------------------------------------------------ what others have */

/* Without a key the dmz-relay tells senders by their source alone: it would not take a second one.
 */
static int check_alone(const struct inner *inner, const struct sa *sa, struct admit_error *error)
{
    const struct sa *other;

    if (!plan_is_keyless(inner, sa->side))
        return 0;
    other = table_shares_source(inner->table, sa, false);
    if (!other)
        other = table_shares_source(inner->table, sa, true);
    return other ? admit_refuse(
                       error, ERR_EXISTS, "source",
                       "SA %llu has this source, and with dmz-keys = keyless a source has no "
                       "more than one",
                       (unsigned long long)other->id)
                 : 0;
}

/* What comes from one source is read as RTP or as RTP': the octets do not decide. */
static int check_mix(const struct inner *inner, const struct sa *sa, struct admit_error *error)
{
    for (int rtcp = 0; rtcp < 2; rtcp++) {
        const struct sa *other = table_shares_source(inner->table, sa, rtcp);

        if (other && other->encap_in != sa->encap_in)
            return admit_refuse(error, ERR_EXISTS, rtcp ? "source_rtcp" : "source",
                                "SA %llu has this source and %s, and one source has one of the two",
                                (unsigned long long)other->id,
                                other->encap_in == SA_ENCAP_RTP ? "RTP" : "RTP'");
    }
    return 0;
}

int judge_twin(const struct inner *inner, const struct sa *sa, struct admit_error *error)
{
    const struct sa *other = table_twin(inner->table, sa, true);

    return other ? admit_refuse(error, ERR_EXISTS, "source",
                                "SA %llu has the same side, source, SSRC and key already",
                                (unsigned long long)other->id)
                 : 0;
}

static const struct sa *assigned_at(const struct inner *inner, const struct sa *sa,
                                    const struct addr *source, uint32_t ssrc)
{
    const struct sa *other = NULL;

    while ((other = table_by_stream(inner->table, sa->side, source, ssrc, other))) {
        if (sa_is_assigned(other))
            break;
    }
    return other;
}

/* Nothing could tell whose packets they are: those with an assigned SSRC are not verified. */
static int check_given_away(const struct inner *inner, const struct sa *sa,
                            struct admit_error *error)
{
    const struct sa *other = NULL;

    for (unsigned i = 0; i < sa->stream_count && !other; i++) {
        other = assigned_at(inner, sa, &sa->source.rtp, sa->stream[i].ssrc);
        if (!other && !sa->source.mux)
            other = assigned_at(inner, sa, &sa->source.rtcp, sa->stream[i].ssrc);
    }
    return other ? admit_refuse(error, ERR_EXISTS, "ssrc",
                                "SA %llu, with the same source, was given this SSRC",
                                (unsigned long long)other->id)
                 : 0;
}

int judge_place(const struct inner *inner, const struct sa *sa, struct admit_error *error)
{
    const struct sa *other = table_conflict(inner->table, sa);
    int result;

    if (other)
        return admit_refuse(
            error, ERR_EXISTS, "source",
            "as many SAs as may be have the same side, source and SSRC, as SA %llu has",
            (unsigned long long)other->id);
    result = check_alone(inner, sa, error);
    if (result == 0)
        result = check_mix(inner, sa, error);
    if (result == 0)
        result = check_given_away(inner, sa, error);
    return result;
}
