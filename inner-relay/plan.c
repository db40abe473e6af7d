#include "inner-relay/plan.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/base/err.h"
#include "common/sa/table.h"

int admit_refuse(struct admit_error *error, int code, const char *field, const char *format, ...)
{
    va_list ap;

    error->field = field;
    va_start(ap, format);
    vsnprintf(error->text, sizeof(error->text), format, ap);
    va_end(ap);
    return code;
}
/* ------------------------------------------------------------ peers */

/* One end of an SA: the sender's or the receiver's. */
struct hop {
    const struct inner *inner;
    const struct inner_link *link;
    enum sa_side side;
    const struct sa_transport *at;
    bool prime; /* asked for */
    const char *rtp_field, *rtcp_field, *prime_field;
};

/* The dmz-relay's own addresses are one more peer's: what it sends there comes in again. */
static bool is_own_of_dmz(const struct inner_link *link, const struct addr *addr, bool rtcp)
{
    for (size_t i = 0; i < link->peer.listener_count; i++) {
        const struct addr *own = &link->peer.listener[i].advertise;

        if (addr_ip_equal(addr, own) && addr->port == own->port + rtcp)
            return true;
    }
    return false;
}

static bool is_peer(const struct hop *hop, const struct addr *addr, bool rtcp)
{
    return target_is_peer(&hop->inner->rules, addr, rtcp) || is_own_of_dmz(hop->link, addr, rtcp);
}

static int refuse_half_peer(const struct hop *hop, struct admit_error *error)
{
    const struct sa_transport *at = hop->at;

    if (is_peer(hop, &at->rtp, true))
        return admit_refuse(error, ERR_INVALID, hop->rtp_field,
                            "the RTCP port of a [peer]; its RTP port would be right");
    if (!at->mux && (is_peer(hop, &at->rtcp, false) || is_peer(hop, &at->rtcp, true)))
        return admit_refuse(error, ERR_INVALID, hop->rtcp_field,
                            "the address of a [peer], but that of RTP is not");
    return 0;
}

/* Outside, who is at the other end decides; inside, the request. */
static int choose_encap(const struct hop *hop, enum sa_encap *encap, struct admit_error *error)
{
    const struct sa_transport *at = hop->at;

    *encap = hop->prime ? SA_ENCAP_RTP_PRIME : SA_ENCAP_RTP;
    if (hop->side == SA_SIDE_INTERNAL)
        return 0;
    if (is_peer(hop, &at->rtp, false)) {
        *encap = SA_ENCAP_RTP_PRIME;
        if (at->mux || !at->rtcp.family ||
            (addr_ip_equal(&at->rtp, &at->rtcp) && at->rtcp.port == at->rtp.port + 1))
            return 0;
        return admit_refuse(error, ERR_INVALID, hop->rtcp_field,
                            "a [peer] has RTCP at the port behind that of RTP");
    }
    if (hop->prime)
        return admit_refuse(error, ERR_FORBIDDEN, hop->prime_field,
                            "outside only a [peer] speaks RTP', and the address is no peer's");
    return refuse_half_peer(hop, error);
}

enum sa_side plan_far_side(const struct admit_request *request)
{
    return request->to_side ? request->to_side : sa_other_side(request->side);
}

static int choose_encaps(const struct inner *inner, const struct inner_link *link,
                         const struct admit_request *request, struct plan *plan,
                         struct admit_error *error)
{
    struct hop in = {.inner = inner,
                     .link = link,
                     .side = request->side,
                     .at = &request->source,
                     .prime = request->prime_in,
                     .rtp_field = "source",
                     .rtcp_field = "source_rtcp",
                     .prime_field = "rtp_prime"};
    struct hop out = {.inner = inner,
                      .link = link,
                      .side = plan_far_side(request),
                      .at = &request->destination,
                      .prime = request->prime_out,
                      .rtp_field = "to",
                      .rtcp_field = "to_rtcp",
                      .prime_field = "to_rtp_prime"};
    int result = choose_encap(&in, &plan->in, error);

    return result < 0 ? result : choose_encap(&out, &plan->out, error);
}

/* ------------------------------------------------------------ what is learned */

bool plan_is_keyless(const struct inner *inner, enum sa_side side)
{
    return inner->options.dmz_keys == WIRE_REPLICA_KEYLESS && side == SA_SIDE_EXTERNAL;
}

/* Why no packet can teach where the sender sends from; NULL: it can. */
static const char *fixed_because(const struct inner *inner, const struct admit_request *request,
                                 const struct plan *plan)
{
    if (request->assign_ssrc)
        return "nothing is learned from a sender with an assigned SSRC, since its packets are not "
               "verified; strict would be right";
    if (plan->in == SA_ENCAP_RTP_PRIME)
        return "RTP' comes from an address that is known; strict would be right";
    if (plan_is_keyless(inner, request->side))
        return "with dmz-keys = keyless the dmz-relay cannot verify what it would learn from; "
               "strict would be right";
    return NULL;
}

static int choose_policy(const struct inner *inner, const struct admit_request *request,
                         struct plan *plan, struct admit_error *error)
{
    const char *why = fixed_because(inner, request, plan);

    plan->policy = request->source_policy ? request->source_policy : inner->options.source_policy;
    if (!why || plan->policy == SOURCE_STRICT)
        return 0;
    if (request->source_policy)
        return admit_refuse(error, ERR_INVALID, "source_policy", "%s", why);
    plan->policy = SOURCE_STRICT;
    return 0;
}

/* The two have to be at one dmz-relay, which learns the one and sends the other. */
static bool goes_back(struct inner *inner, const struct inner_link *link,
                      const struct admit_request *request, const struct sa *old)
{
    const struct sa *reverse = table_by_id(inner->table, link->number, request->reverse);

    return reverse && reverse->side == plan_far_side(request) &&
           sa_to_side(reverse) == request->side && reverse->source_policy != SOURCE_STRICT &&
           inner_is_single(inner, reverse, old ? old->id : 0);
}

int plan_make(struct inner *inner, const struct inner_link *link,
              const struct admit_request *request, const struct sa *old, struct plan *plan,
              struct admit_error *error)
{
    int result = choose_encaps(inner, link, request, plan, error);

    if (result == 0)
        result = choose_policy(inner, request, plan, error);
    plan->back = plan->out == SA_ENCAP_RTP && goes_back(inner, link, request, old);
    return result;
}

/* Is the peer the sender, and not the receiver? */
static bool is_from_peer(const struct admit_request *request)
{
    if (request->side == SA_SIDE_INTERNAL || plan_far_side(request) == SA_SIDE_INTERNAL)
        return request->side == SA_SIDE_EXTERNAL;
    return !request->source.rtp.family && !request->hint.family;
}

/* Our own dmz-relay's address, as it said when it was connected. */
static int find_self(const struct inner *inner, const struct admit_request *request, bool from,
                     struct addr *rtp, struct admit_error *error)
{
    const char *listener = from ? request->listener : request->to_listener;
    const struct inner_link *link = inner_find_link((struct inner *)(uintptr_t)inner, request->dmz);
    const struct hello_listener *own = link ? inner_link_listener(link, listener, 0) : NULL;

    if (!own)
        return admit_refuse(
            error, ERR_NOT_FOUND, "peer",
            "the addresses of the dmz-relay are not known: its tunnel was not up yet, or "
            "it has no such listener");
    *rtp = own->advertise;
    return 0;
}

static int find_peer(const struct inner *inner, const char *name, struct addr *rtp,
                     struct admit_error *error)
{
    const struct peer *peer = peers_by_name(&inner->peers, name);

    if (!peer)
        return admit_refuse(error, ERR_NOT_FOUND, "peer", "the inner-relay has no [peer %s]", name);
    *rtp = peer->rtp;
    return 0;
}

int admit_peer(const struct inner *inner, const char *name, struct admit_request *request,
               struct admit_error *error)
{
    bool from = is_from_peer(request);
    struct sa_transport *at = from ? &request->source : &request->destination;
    int result;

    *error = (struct admit_error){0};
    if (at->rtp.family || at->rtcp.family)
        return admit_refuse(error, ERR_INVALID, "peer", "not together with %s, which it stands for",
                            from ? "source" : "to");
    result = strcmp(name, PEERS_SELF) == 0 ? find_self(inner, request, from, &at->rtp, error)
                                           : find_peer(inner, name, &at->rtp, error);
    if (result == 0 && !at->mux) {
        at->rtcp = at->rtp;
        at->rtcp.port++;
    }
    return result;
}
