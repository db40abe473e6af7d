#include "common/net/path.h"

#include <errno.h>
#include <string.h>

#include "common/sa/hold.h"
#include "common/sa/table.h"

/* ------------------------------------------------------------ listeners */

void path_listener_copy(struct path_listener *to, const struct path_listener *from)
{
    *to = *from;
    for (int rtcp = 0; rtcp < 2; rtcp++) {
        to->counts[rtcp] = (struct verdict_counts){.received = 0};
        to->sent[rtcp] = to->heard_us[rtcp] = 0;
    }
}

void path_listener_gather(struct path_listener *sum, struct path_listener *part)
{
    for (int rtcp = 0; rtcp < 2; rtcp++) {
        verdict_gather(&sum->counts[rtcp], &part->counts[rtcp]);
        sum->sent[rtcp] += part->sent[rtcp];
        part->sent[rtcp] = 0;
        if (sum->heard_us[rtcp] < part->heard_us[rtcp])
            sum->heard_us[rtcp] = part->heard_us[rtcp];
    }
}

/* ------------------------------------------------------------ who sends */

/*
 * From inside, RTP' comes from where an SA says so; one address has one encapsulation. Outside it
 * comes from peers alone: an SA of one that is no peer any longer does not make it one again.
 */
static bool is_prime_source(const struct path *path, const struct addr *source)
{
    const struct sa *sa;

    if (path->side != SA_SIDE_INTERNAL || !table_has_prime(path->learn.table, path->side))
        return false;
    sa = table_at_source(path->learn.table, path->side, source);
    return sa && sa->encap_in == SA_ENCAP_RTP_PRIME;
}

/* Nothing that comes through a socket is from ourselves, whatever its source address says. */
static bool is_peer(const struct path *path, const struct addr *source)
{
    const struct peer *peer = path->peers ? peers_find(path->peers, source) : NULL;

    return peer && strcmp(peer->name, PEERS_SELF) != 0;
}

/* ------------------------------------------------------------ which SA */

static enum verdict read_input(const struct udp_packet *packet, bool prime,
                               struct verify_input *input)
{
    *input =
        (struct verify_input){.packet = packet->data, .length = packet->length, .prime = prime};
    if (packet->truncated)
        return VERDICT_TOO_BIG;
    if (prime) {
        if (!prime_read(packet->data, packet->length, &input->outer))
            return VERDICT_MALFORMED;
        input->packet += PRIME_OCTETS;
        input->length -= PRIME_OCTETS;
    }
    if (input->length > PACKET_MAX_OCTETS)
        return VERDICT_TOO_BIG;
    return classify(input->packet, input->length, &input->view);
}

static void look_at(const struct udp_packet *packet, bool prime, struct path_found *found,
                    struct table_lookup *lookup)
{
    found->sa = NULL;
    found->verdict = read_input(packet, prime, &found->input);
    *lookup = (struct table_lookup){.ssrc = verify_ssrc(&found->input), .exact = prime};
    if (found->verdict == VERDICT_ACCEPTED)
        lookup->source = &packet->source;
}

/* What was found is also fetched, for verifying. */
static void take_over(const struct table_lookup *lookups, size_t count, struct path_found *found)
{
    for (size_t i = 0; i < count; i++) {
        found[i].sa = lookups[i].sa;
        if (found[i].sa)
            verify_prefetch(found[i].sa, &found[i].input.view);
    }
}

void path_find(const struct path *path, const struct udp_packet *packets, size_t count,
               struct path_found *found)
{
    struct table_lookup lookups[PATH_GROUP];

    for (size_t i = 0; i < count; i++) {
        found[i].peer = is_peer(path, &packets[i].source);
        look_at(&packets[i], found[i].peer || is_prime_source(path, &packets[i].source), &found[i],
                &lookups[i]);
    }
    table_by_sources(path->learn.table, path->side, lookups, count);
    take_over(lookups, count, found);
}

void path_find_own(const struct path *path, const struct udp_packet *packet,
                   struct path_found *found)
{
    struct table_lookup lookup;

    found->peer = true;
    look_at(packet, true, found, &lookup);
    table_by_sources(path->learn.table, path->side, &lookup, 1);
    take_over(&lookup, 1, found);
}

void path_find_labels(struct table *table, unsigned owner, const struct session_packet *packets,
                      size_t count, struct path_found *found)
{
    struct table_lookup lookups[PATH_GROUP];

    for (size_t i = 0; i < count; i++) {
        found[i].peer = false;
        found[i].input =
            (struct verify_input){.packet = packets[i].data, .length = packets[i].length};
        found[i].verdict = classify(packets[i].data, packets[i].length, &found[i].input.view);
        lookups[i] = (struct table_lookup){.ssrc = packets[i].label};
    }
    table_by_labels(table, owner, lookups, count);
    take_over(lookups, count, found);
}

/* ------------------------------------------------------------ whose packet it is */

/* What the SA that was found by source and SSRC says of it, and does not count yet. */
static enum verdict ask_known(const struct path *path, const struct path_found *found,
                              bool rtcp_port, uint64_t now_us)
{
    struct sa *sa = found->sa;

    if (!sa || (sa->encap_in == SA_ENCAP_RTP_PRIME) != found->input.prime)
        return VERDICT_NO_SA;
    if (!learn_right_port(sa, &found->input.view, rtcp_port))
        return VERDICT_WRONG_PORT;
    return verify_judge(path->learn.table, sa, &found->input, now_us);
}

/* Do others share source and SSRC with the one that was found by them, the first of those? */
static bool is_alike(const struct path *path, const struct path_found *found,
                     const struct addr *source)
{
    return table_by_stream(path->learn.table, path->side, source, verify_ssrc(&found->input),
                           found->sa) != NULL;
}

/*
 * Could the packet be another SA's? What fails before its tag was looked at, only of one that
 * shares source and SSRC, or that may come to do so: it sends from there and was not heard yet.
 * SEARCH_DOUBT: the search is to be charged to the SA in whose name the packet came.
 */
enum search { SEARCH_NONE, SEARCH_DUE, SEARCH_DOUBT };

static enum search search_due(const struct path *path, const struct path_found *found,
                              const struct addr *source, enum verdict verdict)
{
    if (verdict == VERDICT_NO_SA)
        return SEARCH_DUE;
    /* An SA without a key knows its SSRCs, and nothing of others that come from its source. */
    if (verdict == VERDICT_SSRC_MISMATCH)
        return !found->sa->srtp && !found->input.prime ? SEARCH_DUE : SEARCH_NONE;
    if (verdict == VERDICT_REPLAY || verdict == VERDICT_KEY_EXPIRED)
        return is_alike(path, found, source) || learn_is_fresh(&path->learn, path->side, source)
                   ? SEARCH_DUE
                   : SEARCH_NONE;
    if (verdict != VERDICT_AUTH_FAIL && verdict != VERDICT_MALFORMED &&
        verdict != VERDICT_PLAIN_RTP)
        return SEARCH_NONE;
    /* One alone at its source is asked first whatever the SSRC: a gateway may have the others. */
    if (!sa_stream(found->sa, verify_ssrc(&found->input)) || is_alike(path, found, source))
        return SEARCH_DUE;
    return SEARCH_DOUBT;
}

/* SAs that are told of one such packet. */
enum { NOISE_EXPECTED = 8 };

/* Those that wait for a sender at this IP address. Whose it is, is not known: none counts it. */
static void note_expected(const struct path *path, const struct addr *source, enum verdict verdict,
                          uint64_t now_us)
{
    struct candidates_search search;
    struct candidates_cursor cursor = {.turn = 0};
    struct sa *sa;

    if (candidates_begin(table_candidates(path->learn.table), path->side, source, true, &search) ==
            0 ||
        search.open_only)
        return;
    for (unsigned left = NOISE_EXPECTED;
         left > 0 && (sa = candidates_next(&search, &cursor)) != NULL; left--) {
        if (addr_ip_equal(&sa->source.rtp, source) || addr_ip_equal(&sa->hint, source))
            verify_stray(sa, source, verdict, now_us); /* under the locks of all */
    }
}

/*
 * A sender that has its source to itself sends something else than SRTP: DTLS, for one. An empty
 * datagram keeps a firewall open (RFC 6263) and says nothing of the sender.
 */
static void note_noise(const struct path *path, const struct udp_packet *packet,
                       enum verdict verdict, uint64_t now_us)
{
    struct sa *sa = table_at_source(path->learn.table, path->side, &packet->source);

    if (packet->length == 0)
        return;
    if (!sa) {
        note_expected(path, &packet->source, verdict, now_us);
        return;
    }
    if (!table_shares_source(path->learn.table, sa, false))
        path_drop(path->pass, sa, &packet->source, verdict, now_us);
}

static bool is_search_due(const struct path *path, const struct path_found *found,
                          const struct addr *source, enum verdict verdict, bool *doubt,
                          uint64_t now_us)
{
    enum search search = search_due(path, found, source, verdict);

    *doubt = search == SEARCH_DOUBT && learn_may_doubt(found->sa, now_us);
    return search == SEARCH_DUE || *doubt;
}

enum verdict path_verify(const struct path *path, struct path_found *found, bool rtcp_port,
                         const struct udp_packet *packet, uint64_t now_us)
{
    struct learn_origin origin = {path->side, &packet->source, rtcp_port, found->peer};
    enum verdict verdict = found->verdict, said;
    struct sa *other = NULL;
    bool doubt;

    if (verdict != VERDICT_ACCEPTED) {
        note_noise(path, packet, verdict, now_us);
        return verdict;
    }
    verdict = said = ask_known(path, found, rtcp_port, now_us);
    if (verdict == VERDICT_REPLAY)
        learn_replayed(found->sa, &origin, &found->input, now_us);
    if (is_search_due(path, found, &packet->source, verdict, &doubt, now_us))
        verdict =
            learn_search(&path->learn, &origin, &found->input, found->sa, verdict, &other, now_us);
    if (other && doubt)
        learn_doubted(found->sa);
    /* A packet that is another's does not count against the one that was asked first. */
    if (other)
        found->sa = other;
    else if (said != VERDICT_NO_SA)
        verify_count(found->sa, said);
    if (verdict == VERDICT_ACCEPTED)
        learn_heard(&path->learn, found->sa, &origin, &found->input, now_us);
    else if (found->sa)
        verify_stray(found->sa, &packet->source, verdict, now_us);
    return verdict;
}

/* ------------------------------------------------------------ beside other threads */

/* What can be said before the packet is verified: does it change more than its SA? */
static bool is_wide(const struct path *path, const struct path_found *found,
                    const struct learn_origin *origin)
{
    struct sa *sa = found->sa;

    if (found->verdict != VERDICT_ACCEPTED)
        return !table_at_source(path->learn.table, path->side, origin->source) &&
               candidates_may_be(table_candidates(path->learn.table), path->side, origin->source,
                                 true, false);
    if (!sa)
        return learn_may_find(&path->learn, origin, &found->input);
    return (sa->encap_in == SA_ENCAP_RTP_PRIME) != found->input.prime ||
           !verify_is_alone(sa, &found->input) ||
           !learn_is_alone(sa, origin->source, &found->input) ||
           (!sa->hairpin && path->elsewhere(path->ctx, sa, found->input.length));
}

/* path_verify() of the one SA that was found, which this thread holds. False: not so. */
static bool verify_held(const struct path *path, struct path_found *found,
                        const struct learn_origin *origin, enum verdict *verdict, uint64_t now_us)
{
    enum search search;

    *verdict = ask_known(path, found, origin->rtcp_port, now_us);
    if (*verdict == VERDICT_REPLAY)
        learn_replayed(found->sa, origin, &found->input, now_us);
    search = search_due(path, found, origin->source, *verdict);
    if (search == SEARCH_DUE || (search == SEARCH_DOUBT && learn_would_doubt(found->sa, now_us)))
        return false;
    verify_count(found->sa, *verdict);
    if (*verdict == VERDICT_ACCEPTED)
        learn_heard(&path->learn, found->sa, origin, &found->input, now_us);
    else
        verify_stray(found->sa, origin->source, *verdict, now_us);
    return true;
}

/*
 * path_verify() of what changes no more than one SA. False: it would change more, and nothing has
 * been counted, nor has any state moved.
 */
static bool verify_beside(const struct path *path, struct path_found *found, bool rtcp_port,
                          const struct udp_packet *packet, enum verdict *verdict, uint64_t now_us)
{
    struct learn_origin origin = {path->side, &packet->source, rtcp_port, found->peer};
    bool done;

    if (is_wide(path, found, &origin))
        return false;
    *verdict = found->verdict;
    if (*verdict != VERDICT_ACCEPTED) {
        note_noise(path, packet, *verdict, now_us);
        return true;
    }
    if (!found->sa) {
        *verdict = VERDICT_NO_SA;
        return true;
    }
    hold_take(found->sa, path->pass);
    done = verify_held(path, found, &origin, verdict, now_us);
    hold_give(found->sa, path->pass);
    return done;
}

void path_widen(const struct path *path)
{
    /* Packets that wait to be sent hold their SA. */
    path->out->flush(path->out->ctx);
    gate_widen(path->pass);
}

void path_narrow(const struct path *path)
{
    if (path->pass && path->pass->all)
        gate_narrow(path->pass);
}

void path_drop(struct gate_pass *pass, struct sa *sa, const struct addr *from, enum verdict verdict,
               uint64_t now_us)
{
    hold_take(sa, pass);
    verify_count(sa, verdict);
    verify_stray(sa, from, verdict, now_us);
    hold_give(sa, pass);
}

void path_unsent(struct gate_pass *pass, struct sa *sa, bool rtcp_port, enum verdict verdict)
{
    hold_take(sa, pass);
    verify_count(sa, verdict);
    verify_stray(sa, sa_transport_addr(&sa->destination, rtcp_port), verdict, sa->last_packet_us);
    hold_give(sa, pass);
}

/* ------------------------------------------------------------ into the tunnel */

static void count_down(const struct path *path, struct sa *sa)
{
    hold_take(sa, path->pass);
    verify_count(sa, VERDICT_TUNNEL_DOWN);
    hold_give(sa, path->pass);
}

static void hand_on(const struct path *path, const struct path_found *found,
                    struct verdict_counts *counts, uint64_t now_us)
{
    struct session *session;

    if (found->sa->hairpin) {
        verdict_count(counts, VERDICT_ACCEPTED);
        path->turn(path->ctx, found, now_us);
        return;
    }
    if (path->past && path->past(path->ctx, found, now_us)) {
        verdict_count(counts, VERDICT_ACCEPTED);
        return;
    }
    if (found->sa->way && path->beside && path->beside(path->ctx, found, counts, now_us))
        return;
    session = path->session(path->ctx, found->sa, found->input.length, &counts);
    if (session) {
        session_media(session, found->sa->label, found->input.packet, found->input.length, counts,
                      now_us);
        return;
    }
    verdict_count(counts, VERDICT_TUNNEL_DOWN);
    count_down(path, found->sa);
}

/* False: only with the locks of all, and nothing has happened yet. */
static bool into_tunnel(const struct path *path, struct path_found *found,
                        struct verdict_counts *counts, bool rtcp_port,
                        const struct udp_packet *packet, uint64_t now_us)
{
    enum verdict verdict;

    if (!gate_is_shared(path->pass))
        verdict = path_verify(path, found, rtcp_port, packet, now_us);
    else if (!verify_beside(path, found, rtcp_port, packet, &verdict, now_us))
        return false;
    counts->received++;
    if (verdict == VERDICT_ACCEPTED)
        hand_on(path, found, counts, now_us);
    else
        verdict_count(counts, verdict);
    return true;
}

/* How many are done. What was found is stale when the locks of all were taken meanwhile. */
static size_t take_some(const struct path *path, struct verdict_counts *counts, bool rtcp_port,
                        const struct udp_packet *packets, size_t count, uint64_t now_us)
{
    struct path_found found[PATH_GROUP];
    bool shared = gate_is_shared(path->pass);
    size_t done = 0;

    path_find(path, packets, count, found);
    while (done < count &&
           into_tunnel(path, &found[done], counts, rtcp_port, &packets[done], now_us)) {
        done++;
        if (gate_is_shared(path->pass) != shared)
            return done;
    }
    if (done < count)
        path_widen(path);
    return done;
}

void path_take(const struct path *path, struct verdict_counts *counts, bool rtcp_port,
               const struct udp_packet *packets, size_t count, uint64_t now_us)
{
    for (size_t at = 0; at < count;) {
        size_t some = count - at < PATH_GROUP ? count - at : PATH_GROUP;

        at += take_some(path, counts, rtcp_port, packets + at, some, now_us);
    }
}

void path_take_own(const struct path *path, struct verdict_counts *counts, bool rtcp_port,
                   const struct udp_packet *packet, uint64_t now_us)
{
    struct path_found found;

    path_find_own(path, packet, &found);
    if (into_tunnel(path, &found, counts, rtcp_port, packet, now_us))
        return;
    path_widen(path);
    path_find_own(path, packet, &found);
    (void)into_tunnel(path, &found, counts, rtcp_port, packet, now_us);
}

/* ------------------------------------------------------------ on the way out */

static uint32_t outer_of(struct sa *sa, const struct verify_input *input)
{
    uint32_t ssrc = input->view.ssrc, carried;

    if (input->view.shape == RTP_SHAPE_RTP) {
        /* Whichever thread was last is right: it need not hold the SA. */
        __atomic_store_n(&sa->carried_ssrc, ssrc, __ATOMIC_RELAXED);
        return ssrc;
    }
    if (sa_stream(sa, ssrc))
        return ssrc;
    carried = __atomic_load_n(&sa->carried_ssrc, __ATOMIC_RELAXED);
    if (sa->stream_count > 0 && !carried)
        return sa->stream[0].ssrc;
    return carried ? carried : ssrc;
}

size_t path_prime(struct sa *sa, const struct verify_input *input, uint8_t *memory)
{
    prime_write(memory, outer_of(sa, input));
    memcpy(memory + PRIME_OCTETS, input->packet, input->length);
    return PRIME_OCTETS + input->length;
}

void path_send(const struct path_out *out, const struct path_hop *hop, struct sa *sa,
               const struct verify_input *input)
{
    uint8_t memory[PATH_PRIME_OCTETS];

    if (sa->encap_out == SA_ENCAP_RTP)
        out->send(out->ctx, hop->listener, hop->rtcp_port, hop->to, input->packet, input->length,
                  sa);
    else
        out->send(out->ctx, hop->listener, hop->rtcp_port, hop->to, memory,
                  path_prime(sa, input, memory), sa);
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

void path_turn(const struct path *path, const struct path_listener *listeners, size_t count,
               struct verdict_counts *counts, const struct path_found *found, uint64_t now_us)
{
    struct path_hop hop;
    enum verdict verdict =
        path_route(found->sa, found->input.view.shape == RTP_SHAPE_RTCP, listeners, count, &hop);

    counts->received++;
    if (verdict == VERDICT_ACCEPTED) {
        path_send(path->out, &hop, found->sa, &found->input);
        return;
    }
    verdict_count(counts, verdict);
    path_drop(path->pass, found->sa, NULL, verdict, now_us);
}

void path_turned(const struct path *path, struct verdict_counts *counts, struct sa *sa,
                 bool rtcp_port, enum verdict verdict)
{
    verdict_count(counts, verdict);
    if (verdict != VERDICT_ACCEPTED)
        path_unsent(path->pass, sa, rtcp_port, verdict);
}

/* ------------------------------------------------------------ what did not arrive */

enum { RTP_HEADER_OCTETS = 12, RTP_SSRC_AT = 8, FAILED_LOOKS = 32 };

/* From one side to the other, or, of a sender on the other side, back to that. */
static bool is_sent_to(const struct sa *sa, enum sa_side to_side, enum sa_encap encap,
                       const struct addr *to)
{
    return sa_to_side(sa) == to_side && sa->encap_out == encap &&
           addr_equal(&sa->destination.rtp, to);
}

static struct sa *find_sent_by(struct table *table, enum sa_side side, enum sa_side to_side,
                               enum sa_encap encap, const struct addr *to, uint32_t ssrc)
{
    struct sa *sa = NULL;

    for (unsigned looks = FAILED_LOOKS; looks > 0; looks--) {
        sa = table_by_ssrc(table, side, ssrc, sa);
        if (!sa || is_sent_to(sa, to_side, encap, to))
            return sa;
    }
    return NULL;
}

static struct sa *find_sent(struct table *table, enum sa_side to_side, enum sa_encap encap,
                            const struct addr *to, const uint8_t *ssrc)
{
    struct reader r;
    struct sa *sa;
    uint32_t number;

    reader_init(&r, ssrc, sizeof(number));
    number = reader_u32(&r);
    sa = find_sent_by(table, sa_other_side(to_side), to_side, encap, to, number);
    return sa ? sa : find_sent_by(table, to_side, to_side, encap, to, number);
}

void path_failed(const struct path *path, bool rtcp_port, const struct addr *to,
                 const uint8_t *data, size_t length, uint64_t now_us)
{
    struct table *table = path->learn.table;
    struct sa *sa;

    /* Many receivers have no port for RTCP, and nobody misses it. */
    if (rtcp_port || length < RTP_HEADER_OCTETS)
        return;
    sa = find_sent(table, path->side, SA_ENCAP_RTP, to, data + RTP_SSRC_AT);
    if (!sa)
        sa = find_sent(table, path->side, SA_ENCAP_RTP_PRIME, to, data);
    if (sa)
        path_drop(path->pass, sa, to, VERDICT_UNREACHABLE, now_us);
}
