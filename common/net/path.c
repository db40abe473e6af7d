#include "common/net/path.h"

#include <errno.h>
#include <string.h>

#include "common/sa/table.h"
#include "common/sa/verify.h"

/* RFC 5761: RTCP may come on the RTP port only where that was agreed; RTP never on the RTCP port.
 */
static bool right_port(const struct sa *sa, const struct rtp_view *view, bool rtcp_port)
{
    bool rtcp = view->shape == RTP_SHAPE_RTCP;

    return rtcp_port ? rtcp && !sa->source.mux : !rtcp || sa->source.mux;
}

static void look_at(const struct udp_packet *packet, struct path_found *found,
                    struct table_lookup *lookup)
{
    *found = (struct path_found){0};
    found->verdict =
        packet->truncated ? VERDICT_TOO_BIG : classify(packet->data, packet->length, &found->view);
    *lookup = (struct table_lookup){.ssrc = found->view.ssrc};
    if (found->verdict == VERDICT_ACCEPTED)
        lookup->source = &packet->source;
}

/* What was found is also fetched, for verifying. */
static void take_over(const struct table_lookup *lookups, size_t count, struct path_found *found)
{
    for (size_t i = 0; i < count; i++) {
        found[i].sa = lookups[i].sa;
        if (found[i].sa)
            verify_prefetch(found[i].sa, &found[i].view);
    }
}

void path_find(struct table *table, enum sa_side side, const struct udp_packet *packets,
               size_t count, struct path_found *found)
{
    struct table_lookup lookups[PATH_GROUP];

    for (size_t i = 0; i < count; i++)
        look_at(&packets[i], &found[i], &lookups[i]);
    table_by_sources(table, side, lookups, count);
    take_over(lookups, count, found);
    for (size_t i = 0; i < count; i++) {
        if (!found[i].sa && found[i].verdict == VERDICT_ACCEPTED)
            found[i].verdict = VERDICT_NO_SA;
    }
}

void path_find_labels(struct table *table, unsigned owner, const struct session_packet *packets,
                      size_t count, struct path_found *found)
{
    struct table_lookup lookups[PATH_GROUP];

    for (size_t i = 0; i < count; i++) {
        found[i].verdict = classify(packets[i].data, packets[i].length, &found[i].view);
        lookups[i].ssrc = packets[i].label;
    }
    table_by_labels(table, owner, lookups, count);
    take_over(lookups, count, found);
}

enum verdict path_verify(const struct path_found *found, bool rtcp_port,
                         const struct udp_packet *packet, uint64_t now_us)
{
    if (found->verdict != VERDICT_ACCEPTED)
        return found->verdict;
    if (!right_port(found->sa, &found->view, rtcp_port)) {
        verify_count(found->sa, VERDICT_WRONG_PORT);
        return VERDICT_WRONG_PORT;
    }
    return verify_packet(found->sa, &found->view, packet->data, packet->length, now_us);
}

void path_into_tunnel(const struct path_found *found, struct session *session,
                      struct verdict_counts *counts, bool rtcp_port,
                      const struct udp_packet *packet, uint64_t now_us)
{
    enum verdict verdict = path_verify(found, rtcp_port, packet, now_us);

    counts->received++;
    if (verdict == VERDICT_ACCEPTED && session) {
        session_media(session, found->sa->label, packet->data, packet->length, counts, now_us);
        return;
    }
    if (verdict == VERDICT_ACCEPTED) {
        verdict = VERDICT_TUNNEL_DOWN;
        verify_count(found->sa, verdict);
    }
    verdict_count(counts, verdict);
}

int path_find_listener(const struct path_listener *listeners, size_t count, const char *name,
                       uint8_t family)
{
    for (size_t i = 0; i < count; i++) {
        if (name[0] ? strcmp(listeners[i].name, name) == 0
                    : family == 0 || listeners[i].address.family == family)
            return (int)i;
    }
    return -1;
}

enum verdict path_route(const struct sa *sa, bool rtcp, const struct path_listener *listeners,
                        size_t count, struct path_hop *hop)
{
    const struct addr *to = sa_transport_addr(&sa->destination, rtcp);
    int listener =
        to ? path_find_listener(listeners, count, sa_text(sa, SA_LISTENER_OUT), to->family) : -1;

    if (listener < 0 || listeners[listener].address.family != to->family)
        return VERDICT_NO_DESTINATION;
    hop->to = to;
    hop->listener = (unsigned)listener;
    hop->rtcp_port = rtcp && !sa->destination.mux;
    return VERDICT_ACCEPTED;
}

enum verdict path_sent_verdict(int error)
{
    switch (error) {
    case 0:
        return VERDICT_ACCEPTED;
    case EMSGSIZE:
        return VERDICT_TOO_BIG;
    case EAGAIN:
    case ENOBUFS:
    case ENOMEM:
        return VERDICT_SOCKET_FULL;
    default:
        return VERDICT_UNREACHABLE;
    }
}
