#define LOG_MODULE "admit"
#include "inner-relay/admit.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/random.h"
#include "common/sa/learn.h"
#include "common/sa/rekey.h"
#include "common/sa/table.h"
#include "common/srtp/srtp.h"

static int refuse(struct admit_error *error, int code, const char *field, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static int refuse(struct admit_error *error, int code, const char *field, const char *format, ...)
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

/* What is chosen for an SA before it is checked. */
struct plan {
    enum sa_encap in, out;     /* how packets stand on both hops */
    enum source_policy policy; /* of its source */
    bool back;                 /* its packets go to where the sender of reverse is heard */
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
        return refuse(error, ERR_INVALID, hop->rtp_field,
                      "the RTCP port of a [peer]; its RTP port would be right");
    if (!at->mux && (is_peer(hop, &at->rtcp, false) || is_peer(hop, &at->rtcp, true)))
        return refuse(error, ERR_INVALID, hop->rtcp_field,
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
        return refuse(error, ERR_INVALID, hop->rtcp_field,
                      "a [peer] has RTCP at the port behind that of RTP");
    }
    if (hop->prime)
        return refuse(error, ERR_FORBIDDEN, hop->prime_field,
                      "outside only a [peer] speaks RTP', and the address is no peer's");
    return refuse_half_peer(hop, error);
}

static int choose_encaps(const struct inner *inner, const struct inner_link *link,
                         const struct admit_request *request, struct plan *plan,
                         struct admit_error *error)
{
    bool from_outside = request->side == SA_SIDE_EXTERNAL;
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
                      .side = from_outside ? SA_SIDE_INTERNAL : SA_SIDE_EXTERNAL,
                      .at = &request->destination,
                      .prime = request->prime_out,
                      .rtp_field = "to",
                      .rtcp_field = "to_rtcp",
                      .prime_field = "to_rtp_prime"};
    int result = choose_encap(&in, &plan->in, error);

    return result < 0 ? result : choose_encap(&out, &plan->out, error);
}

/* ------------------------------------------------------------ what is learned */

/* The dmz-relay tells senders outside by source and SSRC alone, and verifies none. */
static bool is_keyless(const struct inner *inner, const struct admit_request *request)
{
    return inner->options.dmz_keys == WIRE_REPLICA_KEYLESS && request->side == SA_SIDE_EXTERNAL;
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
    if (is_keyless(inner, request))
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
        return refuse(error, ERR_INVALID, "source_policy", "%s", why);
    plan->policy = SOURCE_STRICT;
    return 0;
}

/* Has it no other direction, or one that is gone? */
static bool is_single(struct inner *inner, const struct sa *sa)
{
    return sa->reverse == 0 || !inner_find_sa(inner, sa->reverse);
}

/* The two have to be at one dmz-relay, which learns the one and sends the other. */
static bool goes_back(struct inner *inner, const struct inner_link *link,
                      const struct admit_request *request)
{
    const struct sa *reverse = table_by_id(inner->table, link->number, request->reverse);

    return reverse && reverse->side != request->side && reverse->source_policy != SOURCE_STRICT &&
           is_single(inner, reverse);
}

static int choose(struct inner *inner, const struct inner_link *link,
                  const struct admit_request *request, struct plan *plan, struct admit_error *error)
{
    int result = choose_encaps(inner, link, request, plan, error);

    if (result == 0)
        result = choose_policy(inner, request, plan, error);
    plan->back = plan->out == SA_ENCAP_RTP && goes_back(inner, link, request);
    return result;
}

/* Our own dmz-relay's address, as it said when it was connected. */
static int find_self(const struct inner *inner, const struct admit_request *request,
                     struct addr *rtp, struct admit_error *error)
{
    const char *listener =
        request->side == SA_SIDE_EXTERNAL ? request->listener : request->to_listener;
    const struct inner_link *link = inner_find_link((struct inner *)(uintptr_t)inner, request->dmz);
    const struct hello_listener *own = link ? inner_link_listener(link, listener, 0) : NULL;

    if (!own)
        return refuse(error, ERR_NOT_FOUND, "peer",
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
        return refuse(error, ERR_NOT_FOUND, "peer", "the inner-relay has no [peer %s]", name);
    *rtp = peer->rtp;
    return 0;
}

int admit_peer(const struct inner *inner, const char *name, struct admit_request *request,
               struct admit_error *error)
{
    bool from = request->side == SA_SIDE_EXTERNAL;
    struct sa_transport *at = from ? &request->source : &request->destination;
    int result;

    *error = (struct admit_error){0};
    if (at->rtp.family || at->rtcp.family)
        return refuse(error, ERR_INVALID, "peer", "not together with %s, which it stands for",
                      from ? "source" : "to");
    result = strcmp(name, PEERS_SELF) == 0 ? find_self(inner, request, &at->rtp, error)
                                           : find_peer(inner, name, &at->rtp, error);
    if (result == 0 && !at->mux) {
        at->rtcp = at->rtp;
        at->rtcp.port++;
    }
    return result;
}

/* ------------------------------------------------------------ checks, one per member */

static int check_key(const struct inner *inner, const struct suite *suite,
                     const struct srtp_key *key, struct admit_error *error)
{
    static const uint8_t zero[SUITE_KEY_MAX_OCTETS];
    size_t right = suite_material_octets(suite);

    if (key->length != right)
        return refuse(error, ERR_INVALID, "key",
                      "%zu octets, but %s takes %zu (master key %zu, then master salt %zu)",
                      key->length, suite->name, right, suite->key_octets, suite->salt_octets);
    if (memcmp(key->octets, zero, suite->key_octets) == 0)
        return refuse(error, ERR_INVALID, "key",
                      "all octets of the master key are zero; a key is random");
    if (key->lifetime == 0)
        return refuse(error, ERR_INVALID, "lifetime", "a key that may protect no packet is none");
    if (!srtp_engine_has(inner->options.engine, suite, SRTP_KEY_MASTER))
        return refuse(error, ERR_UNSUPPORTED, "suite", "srtp-engine = %s does not have %s",
                      srtp_engine_name(srtp_engine_kind(inner->options.engine)), suite->name);
    return 0;
}

/* A sender with an assigned SSRC needs no key. One that is given has to be right all the same. */
static int check_secret(const struct inner *inner, const struct admit_request *request,
                        struct admit_error *error)
{
    if (request->assign_ssrc && request->key.kind == SRTP_KEY_NONE)
        return 0;
    return check_key(inner, request->suite, &request->key, error);
}

static int check_assign(const struct admit_request *request, struct admit_error *error)
{
    if (request->side != SA_SIDE_INTERNAL)
        return refuse(error, ERR_FORBIDDEN, "assign_ssrc",
                      "only a sender inside is given its SSRC: others have to be verified");
    return request->ssrc_count > 0 ? refuse(error, ERR_INVALID, "assign_ssrc",
                                            "not together with ssrc: the SSRC is either the "
                                            "sender's choice or ours")
                                   : 0;
}

static int check_no_ssrc(const struct inner *inner, const struct admit_request *request,
                         struct admit_error *error)
{
    if (is_keyless(inner, request))
        return refuse(error, ERR_INVALID, "ssrc",
                      "at least one is needed: with dmz-keys = keyless none is learned");
    return inner->options.learns_ssrcs
               ? 0
               : refuse(error, ERR_INVALID, "ssrc",
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
                return refuse(error, ERR_INVALID, "ssrc", "%u stands twice", request->ssrc[i]);
        }
    }
    return 0;
}

static int check_sender(const struct addr *addr, const char *field, struct admit_error *error)
{
    enum addr_kind kind = addr_kind(addr);

    if (kind == ADDR_MULTICAST || kind == ADDR_BROADCAST || kind == ADDR_UNSPECIFIED)
        return refuse(error, ERR_FORBIDDEN, field, "the address is %s and cannot be a sender's",
                      addr_kind_text(kind));
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
        return refuse(error, ERR_INVALID, field, "nobody sends from port 0");
    result = check_sender(addr, field, error);
    if (result < 0)
        return result;
    if (side == SA_SIDE_INTERNAL && !internal)
        return refuse(error, ERR_FORBIDDEN, field,
                      "the side is internal, but the address is not in [networks] internal");
    if (side == SA_SIDE_EXTERNAL && internal && plan->policy == SOURCE_STRICT)
        return refuse(error, ERR_FORBIDDEN, field,
                      "the side is external, but the address is in [networks] internal");
    return 0;
}

static int check_no_source(const struct admit_request *request, const struct plan *plan,
                           struct admit_error *error)
{
    if (plan->policy == SOURCE_STRICT)
        return refuse(error, ERR_INVALID, "source",
                      "address and port are needed: the source is strict, and is not learned");
    if (plan->policy == SOURCE_HINTED && !request->hint.family)
        return refuse(error, ERR_INVALID, "source",
                      "address and port are needed, or a hint, or the source policy open");
    return !request->source.mux && request->source.rtcp.family
               ? refuse(error, ERR_INVALID, "source_rtcp", "not without source")
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
            return refuse(error, ERR_INVALID, "source_rtcp", "of another family than source");
        result = check_one_source(inner, plan, request->side, &from->rtcp, "source_rtcp", error);
    }
    return result;
}

static int check_hint(const struct admit_request *request, struct admit_error *error)
{
    return request->hint.family ? check_sender(&request->hint, "hint", error) : 0;
}

static int check_one_target(const struct inner *inner, enum sa_side side, const struct addr *addr,
                            const char *field, struct admit_error *error)
{
    const char *why = target_refusal(&inner->rules, side, addr);

    return why ? refuse(error, ERR_FORBIDDEN, field, "%s", why) : 0;
}

static enum sa_side far_side(const struct admit_request *request)
{
    return request->side == SA_SIDE_EXTERNAL ? SA_SIDE_INTERNAL : SA_SIDE_EXTERNAL;
}

static int check_targets(const struct inner *inner, const struct admit_request *request,
                         struct admit_error *error)
{
    const struct sa_transport *to = &request->destination;
    enum sa_side side = far_side(request);
    int result = check_one_target(inner, side, &to->rtp, "to", error);

    if (result == 0 && !to->mux && to->rtcp.family) {
        if (to->rtcp.family != to->rtp.family)
            return refuse(error, ERR_INVALID, "to_rtcp", "of another family than to");
        result = check_one_target(inner, side, &to->rtcp, "to_rtcp", error);
    }
    return result;
}

/*
 * choose_encaps() has seen that RTP' goes to a peer, which is always right. What may not be sent
 * to while it has to be learned anyway is no more than what the SDP said, and left out.
 */
static int check_destination(const struct inner *inner, const struct admit_request *request,
                             const struct plan *plan, struct admit_error *error)
{
    if (!request->destination.rtp.family)
        return plan->back ? 0
                          : refuse(error, ERR_INVALID, "to",
                                   "address and port of the receiver are needed, or as reverse an "
                                   "SA whose source is learned");
    if (plan->back || (request->side == SA_SIDE_INTERNAL && plan->out == SA_ENCAP_RTP_PRIME))
        return 0;
    return check_targets(inner, request, error);
}

static int check_inner_listener(const struct inner *inner, const char *name, uint8_t family,
                                const char *field, struct admit_error *error)
{
    int found = path_find_listener(inner->listeners, inner->listener_count, name, family);

    if (found < 0 && name[0])
        return refuse(error, ERR_NOT_FOUND, field, "the inner-relay has no [listener %s]", name);
    if (found >= 0 && family && inner->listeners[found].address.family != family)
        return refuse(error, ERR_INVALID, field, "[listener %s] of the inner-relay is not IPv%u",
                      inner->listeners[found].name, family);
    if (found < 0)
        return refuse(error, ERR_NOT_FOUND, field,
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
        return refuse(error, ERR_NOT_FOUND, field, "dmz %s has no [listener %s]", link->name, name);
    if (found && family && found->advertise.family != family)
        return refuse(error, ERR_INVALID, field, "[listener %s] of dmz %s is not IPv%u",
                      found->name, link->name, family);
    if (!found)
        return refuse(error, ERR_NOT_FOUND, field,
                      "dmz %s has no listener for IPv%u; add a [listener] there", link->name,
                      family);
    return 0;
}

uint8_t admit_source_family(const struct admit_request *request)
{
    return request->source.rtp.family ? request->source.rtp.family : request->hint.family;
}

static int check_listeners(const struct inner *inner, const struct inner_link *link,
                           const struct admit_request *request, struct admit_error *error)
{
    uint8_t in = admit_source_family(request), out = request->destination.rtp.family;
    int result;

    if (request->side == SA_SIDE_EXTERNAL) {
        result = check_dmz_listener(link, request->listener, in, "listener", error);
        return result < 0
                   ? result
                   : check_inner_listener(inner, request->to_listener, out, "to_listener", error);
    }
    result = check_inner_listener(inner, request->listener, in, "listener", error);
    return result < 0 ? result
                      : check_dmz_listener(link, request->to_listener, out, "to_listener", error);
}

static int check_room(const struct inner *inner, const struct inner_link *link,
                      struct admit_error *error)
{
    size_t held = table_count_owner(inner->table, link->number);

    if (table_count(inner->table) >= table_max(inner->table))
        return refuse(error, ERR_FULL, NULL, "all %zu SAs of [limits] max-sas are in use",
                      table_max(inner->table));
    if (link->peer.version == 0)
        return 0;
    if (held >= link->peer.quota || held >= link->peer.capacity)
        return refuse(error, ERR_FULL, NULL, "dmz %s takes no more than %zu SAs of this site",
                      link->name, held);
    return 0;
}

static int check(const struct inner *inner, const struct inner_link *link,
                 const struct admit_request *request, const struct plan *plan,
                 struct admit_error *error)
{
    int result = check_source(inner, request, plan, error);

    if (result == 0)
        result = check_hint(request, error);
    if (result == 0)
        result = check_destination(inner, request, plan, error);
    if (result == 0)
        result = check_secret(inner, request, error);
    if (result == 0)
        result = check_ssrcs(inner, request, error);
    if (result == 0)
        result = check_listeners(inner, link, request, error);
    if (result == 0)
        result = check_room(inner, link, error);
    return result;
}

/* ------------------------------------------------------------ making it */

/* No SA of the site has it, nor had it until some seconds ago, whatever dmz-relay it lives on. */
static bool ssrc_is_free(const struct inner *inner, uint32_t ssrc)
{
    bool free = !table_by_ssrc(inner->table, SA_SIDE_EXTERNAL, ssrc, NULL) &&
                !table_by_ssrc(inner->table, SA_SIDE_INTERNAL, ssrc, NULL);

    for (size_t i = 0; i < inner->link_count && free; i++)
        free = authority_label_is_free(&inner->links[i].authority, ssrc);
    return free;
}

/* Up to 2^31, since there are senders whose option for it is a signed number. Never 0. */
static uint32_t pick_ssrc(const struct inner *inner)
{
    uint32_t ssrc;

    do {
        ssrc = random_u32() >> 1;
    } while (ssrc == 0 || !ssrc_is_free(inner, ssrc));
    return ssrc;
}

static int add_streams(struct sa *sa, const struct inner *inner,
                       const struct admit_request *request)
{
    int result = 0;

    if (request->assign_ssrc)
        return sa_stream_add(sa, pick_ssrc(inner), SSRC_ORIGIN_ASSIGNED);
    for (unsigned i = 0; result == 0 && i < request->ssrc_count; i++)
        result = sa_stream_add(sa, request->ssrc[i], SSRC_ORIGIN_SIGNALLED);
    return result;
}

static void fill_addresses(struct sa *sa, const struct inner *inner,
                           const struct admit_request *request, const struct plan *plan)
{
    struct admit_error error;

    sa->source = request->source;
    sa->source_policy = plan->policy;
    if (plan->policy != SOURCE_STRICT && request->hint.family) {
        sa->hint = request->hint;
        sa->hint.port = 0;
    }
    sa->destination = request->destination;
    if (plan->back && request->destination.rtp.family && check_targets(inner, request, &error) < 0)
        sa->destination = (struct sa_transport){.mux = request->destination.mux};
    sa->encap_in = plan->in;
    sa->encap_out = plan->out;
}

static int fill(struct sa *sa, const struct inner *inner, const struct inner_link *link,
                const struct admit_request *request, const struct plan *plan)
{
    int result;

    sa->owner = link->number;
    sa->generation = 1;
    sa->side = request->side;
    fill_addresses(sa, inner, request, plan);
    sa->suite = request->suite;
    result = add_streams(sa, inner, request);
    rate_init(&sa->rate, request->rate ? request->rate : inner->options.sa_rate);
    sa->media_index = request->media_index;
    sa->reverse = request->reverse;
    sa->media_timeout_s = request->media_timeout_s < 0 ? inner->options.media_timeout_s
                                                       : (uint32_t)request->media_timeout_s;
    if (result < 0)
        return result;
    sa->label =
        authority_label(&link->authority, sa->stream_count > 0 ? sa->stream[0].ssrc : random_u32());
    if (sa_set_text(sa, SA_CALL_ID, request->call_id) < 0 ||
        sa_set_text(sa, SA_LISTENER_IN, request->listener) < 0 ||
        sa_set_text(sa, SA_LISTENER_OUT, request->to_listener) < 0)
        return ERR_NOMEM;
    return 0;
}

/* Two SAs of one call know each other, whichever was added first. */
static void tie_reverse(struct inner *inner, struct sa *sa)
{
    struct sa *other = sa->reverse ? inner_find_sa(inner, sa->reverse) : NULL;

    if (!other || !is_single(inner, other))
        return;
    other->reverse = sa->id;
    /* The dmz-relay shows it too. */
    authority_changed(&inner->links[other->owner].authority, other);
    if (other->owner != sa->owner)
        inner->hooks.kick(inner->hooks.ctx, &inner->links[other->owner]);
}

/* Without a key the dmz-relay tells senders by their source alone: it would not take a second one.
 */
static int check_alone(const struct inner *inner, const struct sa *sa, struct admit_error *error)
{
    const struct sa *other;

    if (inner->options.dmz_keys != WIRE_REPLICA_KEYLESS || sa->side != SA_SIDE_EXTERNAL)
        return 0;
    other = table_shares_source(inner->table, sa, false);
    if (!other)
        other = table_shares_source(inner->table, sa, true);
    return other ? refuse(error, ERR_EXISTS, "source",
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
            return refuse(error, ERR_EXISTS, rtcp ? "source_rtcp" : "source",
                          "SA %llu has this source and %s, and one source has one of the two",
                          (unsigned long long)other->id,
                          other->encap_in == SA_ENCAP_RTP ? "RTP" : "RTP'");
    }
    return 0;
}

static int open_session(const struct inner *inner, const struct admit_request *request,
                        struct sa *sa, struct admit_error *error)
{
    int result;

    if (sa_is_assigned(sa))
        return 0;
    result = sa_open(sa, inner->options.engine, &request->key);
    return result < 0
               ? refuse(error, result, "key", "no SRTP session could be made: %s", err_text(result))
               : 0;
}

static int check_twin(const struct inner *inner, const struct sa *sa, struct admit_error *error)
{
    const struct sa *other = table_twin(inner->table, sa, true);

    return other ? refuse(error, ERR_EXISTS, "source",
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
    return other ? refuse(error, ERR_EXISTS, "ssrc",
                          "SA %llu, with the same source, was given this SSRC",
                          (unsigned long long)other->id)
                 : 0;
}

static int install(struct inner *inner, struct inner_link *link,
                   const struct admit_request *request, struct sa *sa, struct admit_error *error)
{
    const struct sa *other = table_conflict(inner->table, sa);
    int result;

    if (other)
        return refuse(error, ERR_EXISTS, "source",
                      "as many SAs as may be have the same side, source and SSRC, as SA %llu has",
                      (unsigned long long)other->id);
    result = check_alone(inner, sa, error);
    if (result == 0)
        result = check_mix(inner, sa, error);
    if (result == 0)
        result = check_given_away(inner, sa, error);
    if (result == 0)
        result = open_session(inner, request, sa, error);
    if (result == 0)
        result = check_twin(inner, sa, error);
    if (result < 0)
        return result;
    result = table_insert(inner->table, sa);
    if (result < 0)
        return refuse(error, result, NULL, "the table takes no more: %s", err_text(result));
    inner->next_id++;
    authority_added(&link->authority, sa);
    tie_reverse(inner, sa);
    learn_settle(&inner->path.learn, sa);
    return 0;
}

int admit(struct inner *inner, const struct admit_request *request, uint64_t wall_us,
          uint64_t now_us, struct sa **out, struct admit_error *error)
{
    struct inner_link *link = inner_find_link(inner, request->dmz);
    struct plan plan = {0};
    struct sa *sa;
    int result;

    *error = (struct admit_error){0};
    if (!link)
        return refuse(error, ERR_NOT_FOUND, "dmz", "there is no [dmz %s]", request->dmz);
    if (request->reverse && !inner_find_sa(inner, request->reverse))
        return refuse(error, ERR_NOT_FOUND, "reverse", "there is no SA %llu",
                      (unsigned long long)request->reverse);
    result = choose(inner, link, request, &plan, error);
    if (result == 0)
        result = check(inner, link, request, &plan, error);
    if (result < 0)
        return result;
    sa = sa_new();
    if (!sa || fill(sa, inner, link, request, &plan) < 0) {
        sa_free(sa);
        return refuse(error, ERR_NOMEM, NULL, "out of memory");
    }
    sa->id = inner->next_id;
    sa->created_us = wall_us;
    sa->installed_us = now_us;
    result = install(inner, link, request, sa, error);
    if (result < 0) {
        sa_free(sa);
        return result;
    }
    log_debug("SA %llu added: %s sender, label %u", (unsigned long long)sa->id,
              sa_side_name(sa->side), sa->label);
    inner->hooks.kick(inner->hooks.ctx, link);
    inner->hooks.changed(inner->hooks.ctx);
    *out = sa;
    return 0;
}

/* Without a key: packets have the shape of one suite or of the other. Is anything another? */
static int change_suite(struct inner *inner, struct sa *sa, const struct suite *suite,
                        uint64_t now_us)
{
    const struct suite *before = sa->suite;

    if (suite == before)
        return 0;
    sa->suite = suite;
    sa->generation++;
    if (before)
        rekey_suite(table_old_keys(inner->table), sa, before, now_us);
    return 1;
}

/* 1: it has a new key, 0: it had this one, or an error of srtp_session_new(). */
static int change_key(struct inner *inner, struct sa *sa, const struct suite *suite,
                      const struct srtp_key *key, uint64_t now_us)
{
    struct srtp_session *before = sa->srtp, *session = NULL;
    int result;

    if (srtp_session_is(before, suite, key))
        return 0;
    result = srtp_session_new(inner->options.engine, &session, suite, key);
    if (result < 0)
        return result;
    sa->srtp = session;
    sa->suite = suite;
    sa->generation++;
    rekey(table_old_keys(inner->table), sa, before, sa->stream, sa->stream_count, now_us);
    return 1;
}

int admit_rekey(struct inner *inner, struct sa *sa, const struct suite *suite,
                const struct srtp_key *key, uint64_t now_us, struct admit_error *error)
{
    struct inner_link *link = &inner->links[sa->owner];
    int result = check_key(inner, suite, key, error), changed;

    if (result < 0)
        return result;
    changed = sa_is_assigned(sa) ? change_suite(inner, sa, suite, now_us)
                                 : change_key(inner, sa, suite, key, now_us);
    if (changed < 0)
        return refuse(error, changed, "key", "no SRTP session could be made: %s",
                      err_text(changed));
    if (changed == 0)
        return 0;
    authority_changed(&link->authority, sa);
    log_debug("SA %llu has a new key, generation %u", (unsigned long long)sa->id, sa->generation);
    inner->hooks.kick(inner->hooks.ctx, link);
    inner->hooks.changed(inner->hooks.ctx);
    return 0;
}
