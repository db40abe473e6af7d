#include "common/sa/hold.h"
#include "common/sa/verify.h"
#include "dmz-relay/dmz.h"

/* The inner-relay has verified the packet; the replica has no key of internal senders. */
static enum verdict route(const struct path_found *found, const struct dmz *dmz,
                          struct path_hop *hop)
{
    if (!found->sa)
        return VERDICT_NO_SA;
    if (found->verdict != VERDICT_ACCEPTED)
        return found->verdict;
    if (found->sa->side != SA_SIDE_INTERNAL)
        return VERDICT_WRONG_SIDE;
    return path_route(found->sa, found->input.view.shape == RTP_SHAPE_RTCP, dmz->listeners,
                      dmz->listener_count, hop);
}

static void drop(struct dmz_site *site, struct dmz *dmz, struct sa *sa, enum verdict verdict,
                 uint64_t now_us)
{
    verdict_count(&site->counts, verdict);
    if (sa)
        path_drop(dmz->path.pass, sa, NULL, verdict, now_us);
}

/* handed_over: its fate is known. */
static void note(const struct dmz *dmz, struct sa *sa, const struct path_found *found,
                 bool handed_over, uint64_t now_us)
{
    hold_take(sa, dmz->path.pass);
    sa->octets += found->input.length;
    sa->last_packet_us = now_us;
    sa->packets += handed_over;
    if (handed_over)
        verify_count(sa, VERDICT_ACCEPTED);
    hold_give(sa, dmz->path.pass);
}

/* The listener whose address this is, bound or as the world sees it; -1: it is nobody's here. */
static int own_listener(const struct dmz *dmz, const struct addr *addr)
{
    for (size_t i = 0; i < dmz->listener_count; i++) {
        const struct path_listener *own = &dmz->listeners[i];

        if ((addr_ip_equal(addr, &own->advertise) || addr_ip_equal(addr, &own->address)) &&
            (addr->port == own->address.port || addr->port == own->address.port + 1))
            return (int)i;
    }
    return -1;
}

static int own_receiver(const struct dmz *dmz, const struct sa *sa, const struct addr *to)
{
    return sa->encap_out == SA_ENCAP_RTP_PRIME ? own_listener(dmz, to) : -1;
}

/* To ourselves: two sites meet, and nothing leaves the host (DESIGN section 4). */
static void hand_over(struct dmz *dmz, const struct path_found *found, const struct addr *addr,
                      unsigned to, uint64_t now_us)
{
    uint8_t memory[PATH_PRIME_OCTETS];
    size_t length = path_prime(found->sa, &found->input, memory);

    inbound_own(dmz, to, addr->port != dmz->listeners[to].advertise.port, memory, length, now_us);
}

static void take(struct dmz_site *site, struct dmz *dmz, const struct path_found *found,
                 uint64_t now_us)
{
    struct sa *sa = found->sa;
    struct path_hop hop;
    enum verdict verdict = route(found, dmz, &hop);
    int own;

    site->counts.received++;
    if (verdict != VERDICT_ACCEPTED) {
        drop(site, dmz, sa, verdict, now_us);
        return;
    }
    own = own_receiver(dmz, sa, hop.to);
    note(dmz, sa, found, own >= 0, now_us);
    if (own < 0) {
        path_send(&dmz->out, &hop, sa, &found->input);
        return;
    }
    verdict_count(&site->counts, VERDICT_ACCEPTED);
    hand_over(dmz, found, hop.to, (unsigned)own, now_us);
}

static unsigned site_number(const struct dmz *dmz, const struct dmz_site *site)
{
    return (unsigned)(site - dmz->sites);
}

/*
 * What is handed over comes in at once, and may be turned round again: SAs that lead in a circle
 * would have to share its one stream, and the replay window of each lets it through once.
 */
void outbound_turn(void *ctx, const struct path_found *found, uint64_t now_us)
{
    struct dmz *dmz = ctx;
    const struct addr *to =
        sa_transport_addr(&found->sa->destination, found->input.view.shape == RTP_SHAPE_RTCP);
    int own = to ? own_receiver(dmz, found->sa, to) : -1;

    if (own < 0) {
        path_turn(&dmz->path, dmz->listeners, dmz->listener_count, &dmz->hairpin, found, now_us);
        return;
    }
    dmz->hairpin.received++;
    verdict_count(&dmz->hairpin, VERDICT_ACCEPTED);
    hand_over(dmz, found, to, (unsigned)own, now_us);
}

/* The connection of the site for what goes there by way of this one. */
static struct session *way_to(struct dmz *dmz, unsigned site, const struct session_packet *packet,
                              struct verdict_counts **counts)
{
    const struct dmz_site *to = &dmz->sites[site];
    /* Behind its first octet it has a label that is not ours: packets of one keep their order. */
    uint32_t spread = packet->length > 4 ? packet->data[3] * 256u + packet->data[4] : 0;
    struct session *media = inbound_media(to, spread), *stream = NULL;

    if (media && session_takes(media, packet->length))
        return media;
    if (dmz->main) {
        path_widen(&dmz->path);
        media = inbound_media(to, spread);
        stream = dmz_worker_borrow(dmz, site, media != NULL, counts);
    } else if (to->link) {
        stream = to->link->session;
    }
    return media ? session_for(media, stream, packet->length) : stream;
}

static const struct passes *passes_of(const struct dmz *dmz)
{
    return dmz->main ? &dmz->main->passes : &dmz->passes;
}

/*
 * Octets per second from one site to another one, in each thread: thousands of calls, and less than
 * half of what a link of 1 Gbit/s takes, so that others have their part.
 */
enum { PASS_RATE = 50 * 1000 * 1000 };

static bool is_in_rate(struct rate *rate, size_t length, uint64_t now_us)
{
    if (rate->octets_per_second == 0)
        rate_init(rate, PASS_RATE);
    return rate_take(rate, length, now_us);
}

/* A packet from one site to another one that no SA is known of. */
static void pass(struct dmz_site *site, struct dmz *dmz, const struct session_packet *packet,
                 uint64_t now_us)
{
    struct verdict_counts *counts = &site->counts;
    unsigned from = site_number(dmz, site);
    struct session *session = NULL;
    bool open = passes_open(passes_of(dmz), from, packet->label);

    site->counts.received++;
    if (open && !is_in_rate(&site->passing[packet->label], packet->length, now_us)) {
        verdict_count(counts, VERDICT_RATE);
        return;
    }
    if (open)
        session = way_to(dmz, packet->label, packet, &counts);
    if (session)
        session_media(session, from, packet->data, packet->length, counts, now_us);
    else
        verdict_count(counts, open ? VERDICT_TUNNEL_DOWN : VERDICT_NO_SA);
}

static bool is_passing(uint64_t wants, const struct session_packet *packet)
{
    return packet->label < PASS_NUMBERS && (wants >> packet->label & 1);
}

/* How many in front go to other sites, or how many do not. */
static size_t count_passing(uint64_t wants, bool passing, const struct session_packet *packets,
                            size_t count)
{
    size_t done = 0;

    while (done < count && is_passing(wants, &packets[done]) == passing)
        done++;
    return done;
}

/* Those in front, with SAs or not, at most as far as what was found of them is right. */
static size_t take_some(struct dmz_site *site, struct dmz *dmz,
                        const struct session_packet *packets, size_t count, uint64_t now_us)
{
    uint64_t wants = passes_of(dmz)->wants[site_number(dmz, site)];
    size_t passing = count_passing(wants, true, packets, count), done = 0;
    bool shared = gate_is_shared(dmz->path.pass);
    struct path_found found[PATH_GROUP];

    for (size_t i = 0; i < passing; i++)
        pass(site, dmz, &packets[i], now_us);
    if (passing > 0)
        return passing;
    count = count_passing(wants, false, packets, count);
    path_find_labels(dmz->table, site_number(dmz, site), packets, count, found);
    do
        take(site, dmz, &found[done++], now_us);
    while (done < count && gate_is_shared(dmz->path.pass) == shared);
    return done;
}

void outbound_frames(struct dmz_site *site, struct dmz *dmz, const struct session_packet *packets,
                     size_t count, uint64_t now_us)
{
    for (size_t at = 0; at < count;)
        at += take_some(site, dmz, packets + at, count - at, now_us);
    path_narrow(&dmz->path);
}

void outbound_sent(struct dmz *dmz, unsigned listener, bool rtcp_port, void *tag, int error)
{
    struct sa *sa = tag;
    enum verdict verdict = path_sent_verdict(error);

    dmz->listeners[listener].sent[rtcp_port] += verdict == VERDICT_ACCEPTED;
    if (sa->hairpin) {
        path_turned(&dmz->path, &dmz->hairpin, sa, rtcp_port, verdict);
        return;
    }
    verdict_count(&dmz->sites[sa->owner].counts, verdict);
    if (verdict != VERDICT_ACCEPTED) {
        path_unsent(dmz->path.pass, sa, rtcp_port, verdict);
        return;
    }
    hold_take(sa, dmz->path.pass);
    verify_count(sa, verdict);
    sa->packets++;
    hold_give(sa, dmz->path.pass);
}
