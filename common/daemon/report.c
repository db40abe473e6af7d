#include "config.h"

#include "common/daemon/report.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/daemon/reportvalue.h"
#include "common/sa/far.h"
#include "common/sa/rekey.h"
#include "common/sa/table.h"
#include "common/srtp/srtp.h"
#include "common/tunnel/forward.h"
#include "common/tunnel/sealed.h"
#include "common/tunnel/takeover.h"
#include "common/tunnel/tcp.h"
#include "common/tunnel/ways.h"

static json_t *text_or_null(const char *text)
{
    return text && text[0] ? json_string(text) : json_null();
}

/* ------------------------------------------------------------ status */

static json_t *port(const struct path_listener *listener, bool rtcp)
{
    const struct verdict_counts *counts = &listener->counts[rtcp];
    uint64_t accepted = counts->n[VERDICT_ACCEPTED];

    return json_pack("{s:o,s:o,s:o,s:o,s:o}", "received", report_number(counts->received),
                     "accepted", report_number(accepted), "dropped",
                     report_number(verdict_sum(counts) - accepted), "sent",
                     report_number(listener->sent[rtcp]), "overflow",
                     report_number(counts->n[VERDICT_OVERFLOW]));
}

static json_t *listeners_array(const struct path_listener *listeners, size_t count)
{
    json_t *array = json_array();

    for (unsigned i = 0; i < count; i++) {
        const struct path_listener *l = &listeners[i];

        json_array_append_new(array, json_pack("{s:s,s:o,s:o,s:i,s:i,s:o,s:o}", "name", l->name,
                                               "address", report_ip(&l->address), "advertise",
                                               report_ip(&l->advertise), "rtp_port",
                                               l->address.port, "rtcp_port", l->address.port + 1,
                                               "rtp", port(l, false), "rtcp", port(l, true)));
    }
    return array;
}

static json_t *coalesce(const struct coalesce *c)
{
    json_t *setting = c->setting == COALESCE_AUTO ? json_string("auto") : json_integer(c->setting);

    return json_pack("{s:o,s:i,s:o,s:o}", "setting", setting, "interval_us", (int)c->interval_us,
                     "packets_per_s", report_number(c->packets_per_s), "turns_per_s",
                     report_number(c->turns_per_s));
}

json_t *report_status(const struct daemon *daemon, const struct path_listener *listeners,
                      size_t count, size_t sas, size_t max_sas)
{
    uint64_t uptime_us = clock_now_us() - daemon->started_us;
    struct coalesce waits = daemon->workers ? workers_coalesce(daemon->workers) : daemon->coalesce;
    bool keys_locked = daemon->engine && srtp_engine_is_locked(daemon->engine);

    return json_pack("{s:b,s:s,s:s,s:i,s:o,s:o,s:o,s:b,s:b,s:o,s:o}", "ok", 1, "daemon",
                     daemon->kind->name, "version", PACKAGE_VERSION, "pid", (int)getpid(), "uptime",
                     report_number(uptime_us / 1000000), "sas", report_number(sas), "max_sas",
                     report_number(max_sas), "memory_locked", daemon->memory_locked, "keys_locked",
                     keys_locked, "coalesce", coalesce(&waits), "listeners",
                     listeners_array(listeners, count));
}

json_t *report_peers(const struct peers *peers)
{
    json_t *array = json_array();

    for (size_t i = 0; i < peers->count; i++) {
        const struct peer *peer = &peers->peer[i];

        if (strcmp(peer->name, PEERS_SELF) != 0)
            json_array_append_new(array,
                                  json_pack("{s:s,s:o,s:i,s:i}", "name", peer->name, "address",
                                            report_ip(&peer->rtp), "rtp_port", peer->rtp.port,
                                            "rtcp_port", peer->rtp.port + 1));
    }
    return array;
}

static json_t *forward_row(const struct forward *forward)
{
    const struct forward_settings *settings = forward_settings(forward);
    const struct stream_forward *now = forward_streams(forward);
    char where[FORWARD_HOST_SIZE + 16];

    return json_pack("{s:s,s:s,s:s,s:o,s:o,s:o}", "name", settings->name, "kind",
                     now->listens ? "listen" : "to", "address",
                     forward_where(forward, where, sizeof(where)), "streams",
                     report_number(now->count), "half_open", report_number(now->half_open.count),
                     "max_streams", report_number(settings->max_streams));
}

static json_t *forward_counters(const struct forward *forward)
{
    const struct stream_counts *counts = &forward_streams(forward)->counts;

    return json_pack(
        "{s:s,s:{s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o}}", "name", forward_settings(forward)->name,
        "counters", "opened", report_number(counts->opened), "refused",
        report_number(counts->refused), "failed", report_number(counts->failed), "reset",
        report_number(counts->reset), "displaced", report_number(counts->displaced), "timeouts",
        report_number(counts->timeouts), "tunnel_down", report_number(counts->cut), "octets_in",
        report_number(counts->octets_in), "octets_out", report_number(counts->octets_out));
}

json_t *report_forwards(struct forward *const *forwards, bool counters)
{
    json_t *array = json_array();

    for (; *forwards; forwards++)
        json_array_append_new(array,
                              counters ? forward_counters(*forwards) : forward_row(*forwards));
    return array;
}

/* Of all its connections together. */
static void add_counters(json_t *row, const struct session *session,
                         const struct report_tunnel *tunnel)
{
    struct session_counters sum = *session_counters(session);
    size_t queued = session_queued(session);

    for (unsigned i = 0; i < tunnel->media_count; i++) {
        const struct session *media = conn_session(tunnel->media[i]);
        const struct session_counters *counters = session_counters(media);

        sum.frames_in += counters->frames_in;
        sum.frames_out += counters->frames_out;
        sum.octets_in += counters->octets_in;
        sum.octets_out += counters->octets_out;
        sum.late += counters->late;
        sum.larger += counters->larger;
        queued += session_queued(media);
    }
    json_object_set_new(row, "queued", report_number(queued));
    json_object_set_new(row, "frames_in", report_number(sum.frames_in));
    json_object_set_new(row, "frames_out", report_number(sum.frames_out));
    json_object_set_new(row, "octets_in", report_number(sum.octets_in));
    json_object_set_new(row, "octets_out", report_number(sum.octets_out));
    json_object_set_new(row, "late", report_number(sum.late));
    json_object_set_new(row, "larger", report_number(sum.larger));
}

static void add_to(json_t *object, const char *key, uint64_t more)
{
    json_int_t sum = json_integer_value(json_object_get(object, key));

    json_object_set_new(object, key, json_integer(sum + (json_int_t)more));
}

/* What became of sealed frames, of all connections that carry any; NULL: none does. */
static json_t *sealed_object(const struct report_tunnel *tunnel)
{
    uint64_t sum[SEAL_VERDICT_COUNT] = {0}, repeated = 0;
    json_t *object = NULL;

    for (unsigned i = 0; i < tunnel->media_count; i++) {
        const struct sealed *sealed = conn_sealed(tunnel->media[i]);

        for (enum seal_verdict v = 0; sealed && v < SEAL_VERDICT_COUNT; v++)
            sum[v] += sealed_count(sealed, v);
        repeated += sealed ? sealed_repeated(sealed) : 0;
        if (sealed && !object)
            object = json_object();
    }
    for (enum seal_verdict v = 0; object && v < SEAL_VERDICT_COUNT; v++)
        json_object_set_new(object, seal_verdict_name(v), report_number(sum[v]));
    if (object)
        json_object_set_new(object, "repeated", report_number(repeated));
    return object;
}

/* What came of segments that were read before the kernel's order; NULL: none are. */
static json_t *early_object(const struct report_tunnel *tunnel)
{
    uint64_t sum[EARLY_COUNTS] = {0}, discarded = 0, asked = 0;
    json_t *object = NULL;

    for (unsigned i = 0; i < tunnel->media_count; i++) {
        const struct sealed *sealed = conn_sealed(tunnel->media[i]);

        if (!sealed || !conn_reads_early(tunnel->media[i]))
            continue;
        for (enum early_count c = 0; c < EARLY_COUNTS; c++)
            sum[c] += sealed_early_count(sealed, c);
        discarded += sealed_discarded(sealed);
        asked += sealed_asked_for(sealed);
        if (!object)
            object = json_object();
    }
    for (enum early_count c = 0; object && c < EARLY_COUNTS; c++)
        json_object_set_new(object, early_count_name(c), report_number(sum[c]));
    if (!object)
        return NULL;
    json_object_set_new(object, "discarded", report_number(discarded));
    json_object_set_new(object, "asked", report_number(asked));
    return object;
}

/* Sealed frames are read in the kernel's order: why? */
static json_t *order_reason(const struct report_tunnel *tunnel)
{
    bool direct = conn_way(tunnel->media[0]) == HTTPPROXY_DIRECT;
    const char *why = direct ? tunnel->raw_reason : "they come through an HTTP proxy";

    return why && why[0] ? json_sprintf("frames are read in their order: %s", why) : json_null();
}

static bool is_on_carrier(const struct ways *ways)
{
    return ways->carrier && ways->choice.state == CHOICE_CARRIER;
}

static bool is_idle(const struct ways *ways)
{
    return ways->carrier && ways->choice.why == CHOICE_IDLE_;
}

unsigned report_worst_ways(const struct ways *const *ways, unsigned count)
{
    unsigned worst = 0;

    for (unsigned i = 0; i < count; i++) {
        if (!is_on_carrier(ways[i]) && !is_idle(ways[i]))
            return i;
        if (is_idle(ways[worst]))
            worst = i;
    }
    return worst;
}

static const struct ways *worst_of(const struct report_tunnel *tunnel)
{
    return tunnel->ways[report_worst_ways(tunnel->ways, tunnel->ways_count)];
}

static json_t *carrier_reason(const struct report_tunnel *tunnel, bool sealed, bool early)
{
    if (tunnel->carrier_reason && tunnel->carrier_reason[0])
        return json_string(tunnel->carrier_reason);
    if (tunnel->conn && tunnel->ways_count > 0)
        return json_string(choice_why_text(&worst_of(tunnel)->choice));
    return sealed && !early ? order_reason(tunnel) : json_null();
}

static void add_raw(json_t *object, const struct takeover *takeover)
{
    const struct track *track = takeover_track(takeover);

    add_to(object, "connections", 1);
    add_to(object, "rewinds", track->rewinds);
    add_to(object, "stops", track->stops);
    add_to(object, "refused", track->refused);
    add_to(object, "too_long", takeover_too_long(takeover));
    for (enum track_count c = 0; c < TRACK_COUNTS; c++)
        add_to(object, track_count_name(c), track->counts[c]);
}

/* Of all connections that were taken over; NULL: none was. */
static json_t *raw_object(const struct report_tunnel *tunnel)
{
    json_t *object = NULL;

    for (unsigned i = 0; i < tunnel->media_count; i++) {
        const struct takeover *takeover = conn_taken(tunnel->media[i]);

        if (takeover && !object)
            object = json_object();
        if (takeover)
            add_raw(object, takeover);
    }
    return object;
}

/* Of all threads together; the round trip of those that speak for them. */
static json_t *ways_object(const struct report_tunnel *tunnel)
{
    json_t *object = json_pack("{s:f}", "rtt_ms", worst_of(tunnel)->choice.rtt_us / 1000.0);

    for (unsigned i = 0; i < tunnel->ways_count; i++) {
        const struct ways *ways = tunnel->ways[i];

        add_to(object, "doubled", ways->doubled);
        add_to(object, "copies", ways->copies);
        for (enum choice_count c = 0; c < CHOICE_COUNTS; c++)
            add_to(object, choice_count_name(c), ways->choice.counts[c]);
    }
    return object;
}

static bool all_taken(const struct report_tunnel *tunnel)
{
    for (unsigned i = 0; i < tunnel->media_count; i++) {
        if (conn_sealed(tunnel->media[i]) && !conn_taken(tunnel->media[i]))
            return false;
    }
    return true;
}

/* The one that media goes by from here. */
static const char *carrier_name(const struct report_tunnel *tunnel, bool sealed)
{
    const struct ways *worst = tunnel->ways_count > 0 ? worst_of(tunnel) : NULL;

    if (!sealed || (worst && !worst->carrier))
        return "stream";
    if (worst && worst->choice.state != CHOICE_CARRIER)
        return choice_way_name(&worst->choice);
    return all_taken(tunnel) ? "raw" : "unordered";
}

static void add_carrier(json_t *row, const struct report_tunnel *tunnel)
{
    json_t *sealed = sealed_object(tunnel), *early, *raw = raw_object(tunnel);
    bool chooses = tunnel->conn && tunnel->ways_count > 0;

    json_object_set_new(row, "carrier",
                        tunnel->conn ? json_string(carrier_name(tunnel, sealed != NULL))
                                     : json_null());
    json_object_set_new(row, "choice", chooses ? ways_object(tunnel) : json_null());
    json_object_set_new(row, "raw", raw ? raw : json_null());
    json_object_set_new(row, "sealed", sealed ? sealed : json_null());
    early = early_object(tunnel);
    json_object_set_new(row, "early", early ? early : json_null());
    json_object_set_new(row, "carrier_reason", carrier_reason(tunnel, sealed, early));
}

/* Of the control connection: those of the media ones are set on the same machine by the same user.
 */
static json_t *refused_array(unsigned refused)
{
    json_t *array = json_array();

    for (enum tcp_option option = 0; option < TCP_OPTIONS; option++) {
        if (refused & 1u << option)
            json_array_append_new(array, json_string(tcp_option_name(option)));
    }
    return array;
}

static void add_connection(json_t *row, const struct report_tunnel *tunnel)
{
    const struct conn *conn = tunnel->conn;
    const struct session *session = conn_session(conn);
    char congestion[32];

    conn_congestion(conn, congestion, sizeof(congestion));
    json_object_set_new(row, "peer", report_addr(conn_peer(conn)));
    json_object_set_new(row, "via", json_string(httpproxy_way_name(conn_way(conn))));
    json_object_set_new(row, "congestion", json_string(congestion));
    json_object_set_new(row, "tcp_refused", refused_array(conn_refused(conn)));
    if (!session)
        return;
    uint64_t rtt_us = session_rtt_us(session);

    if (rtt_us)
        json_object_set_new(row, "rtt_ms", json_real((double)rtt_us / 1000));
    add_counters(row, session, tunnel);
}

json_t *report_tunnel(const struct report_tunnel *tunnel)
{
    uint64_t now_us = clock_now_us();
    json_t *since =
        tunnel->changed_us ? report_number((now_us - tunnel->changed_us) / 1000000) : json_null();
    json_t *row = json_pack("{s:s,s:s,s:o,s:o,s:s,s:o,s:o}", "name", tunnel->name, "state",
                            tunnel->state, "since", since, "connects",
                            report_number(tunnel->connects), "sync", tunnel->sync, "last_error",
                            text_or_null(tunnel->last_error), "sas", report_number(tunnel->sas));
    static const char *const zero[] = {"queued",     "frames_in", "frames_out", "octets_in",
                                       "octets_out", "late",      "larger"};

    json_object_set_new(row, "srtp_engine", text_or_null(tunnel->engine));
    json_object_set_new(row, "peer", json_null());
    json_object_set_new(row, "rtt_ms", json_null());
    json_object_set_new(row, "via", json_null());
    json_object_set_new(row, "congestion", json_null());
    json_object_set_new(row, "tcp_refused", json_array());
    for (size_t i = 0; i < sizeof(zero) / sizeof(zero[0]); i++)
        json_object_set_new(row, zero[i], json_integer(0));
    json_object_set_new(row, "media_connections", report_number(tunnel->media_count));
    add_carrier(row, tunnel);
    if (tunnel->conn)
        add_connection(row, tunnel);
    return row;
}

/* ------------------------------------------------------------ stats */

json_t *report_place(const char *place, const struct verdict_counts *counts)
{
    json_t *verdicts = json_object();

    for (enum verdict v = 0; v < VERDICT_COUNT; v++)
        json_object_set_new(verdicts, verdict_name(v), report_number(counts->n[v]));
    return json_pack("{s:s,s:o,s:o,s:o}", "place", place, "received",
                     report_number(counts->received), "queued", report_number(counts->queued),
                     "verdicts", verdicts);
}

void report_add_listeners(json_t *places, const struct path_listener *listeners, size_t count)
{
    char place[NAME_SIZE + 32];

    for (size_t i = 0; i < 2 * count; i++) {
        const struct path_listener *listener = &listeners[i / 2];

        snprintf(place, sizeof(place), "listener %s %s", listener->name, i % 2 ? "rtcp" : "rtp");
        json_array_append_new(places, report_place(place, &listener->counts[i % 2]));
    }
}

static json_t *turns(const struct turns *turns)
{
    return json_pack(
        "{s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "loop_turns", report_number(turns->count),
        "loop_turns_over_500us", report_number(turns->over_500us), "loop_turns_over_1ms",
        report_number(turns->over_1ms), "loop_turns_late", report_number(turns->late),
        "loop_turns_preempted", report_number(turns->preempted), "loop_longest_own_us",
        report_number(turns->longest_own_us), "loop_longest_us", report_number(turns->longest_us));
}

void report_add_budget(json_t *stats, const struct budget *budget)
{
    struct budget_counts counts = budget_counts(budget);
    json_t *counters = json_object_get(stats, "counters");

    json_object_set_new(counters, "learn_tries", report_number(counts.tries));
    json_object_set_new(counters, "learn_refused", report_number(counts.refused));
}

json_t *report_stats(const struct daemon *daemon, json_t *places)
{
    uint64_t verifications = daemon->engine ? srtp_engine_verifications(daemon->engine) : 0;
    struct turns sum =
        daemon->workers ? workers_turns(daemon->workers, &daemon->turns) : daemon->turns;
    json_t *counters = turns(&sum);

    json_object_set_new(counters, "srtp_verifications", report_number(verifications));
    if (daemon->workers)
        json_object_set_new(counters, "lock_contended",
                            report_number(workers_contended(daemon->workers)));
    return json_pack("{s:b,s:o,s:o}", "ok", 1, "places", places, "counters", counters);
}

/* ------------------------------------------------------------ SAs */

static json_t *ssrcs(const struct sa *sa)
{
    json_t *array = json_array();

    for (unsigned i = 0; i < sa->stream_count; i++)
        json_array_append_new(array, json_integer(sa->stream[i].ssrc));
    return array;
}

static uint64_t dropped(const uint32_t *counts)
{
    uint64_t sum = 0;

    for (enum verdict v = 0; v < VERDICT_COUNT; v++)
        sum += v == VERDICT_ACCEPTED ? 0 : counts[v];
    return sum;
}

static json_t *seconds_ago(uint64_t then_us)
{
    return then_us ? json_real((double)(clock_now_us() - then_us) / 1e6) : json_null();
}

static const char *origin_name(enum ssrc_origin origin)
{
    static const char *const names[] = {"", "signalled", "assigned", "learned"};

    return names[origin];
}

static json_t *streams(const struct sa *sa)
{
    json_t *array = json_array();

    for (unsigned i = 0; i < sa->stream_count; i++) {
        const struct sa_stream *s = &sa->stream[i];

        json_array_append_new(
            array,
            json_pack("{s:I,s:s,s:I,s:I,s:o,s:f,s:o}", "ssrc", (json_int_t)s->ssrc, "origin",
                      origin_name(s->origin), "roc", (json_int_t)index_roc(s->index.highest),
                      "highest", (json_int_t)(s->index.highest & 0xffff), "lost",
                      report_number(rtp_stats_lost(&s->stats)), "jitter", (double)s->stats.jitter,
                      "received", report_number(s->stats.received)));
    }
    return array;
}

static json_t *sa_verdicts(const uint32_t *counts)
{
    json_t *object = json_object();

    for (enum verdict v = 0; v < VERDICT_COUNT; v++) {
        if (counts[v])
            json_object_set_new(object, verdict_name(v), report_number(counts[v]));
    }
    return object;
}

/* The last packet that was dropped. */
static json_t *stray(const struct addr *from, enum verdict verdict, json_t *ago)
{
    if (json_is_null(ago))
        return ago;
    return json_pack("{s:o,s:s,s:o}", "from", report_addr(from), "verdict", verdict_name(verdict),
                     "age", ago);
}

static const char *encap_name(enum sa_encap encap)
{
    return encap == SA_ENCAP_RTP_PRIME ? "rtp-prime" : "rtp";
}

static json_t *created(const struct sa *sa)
{
    return json_integer((json_int_t)(sa->created_us / 1000000));
}

/* How much of its key is here, as dmz-keys names it. */
static const char *key_name(const struct sa *sa)
{
    static const char *const names[] = {
        [SRTP_KEY_NONE] = "none", [SRTP_KEY_AUTH] = "verify-only", [SRTP_KEY_MASTER] = "full"};

    return names[sa->srtp ? srtp_session_kind(sa->srtp) : SRTP_KEY_NONE];
}

static json_t *mki(const struct sa *sa)
{
    char hex[2 * SRTP_MKI_MAX_OCTETS + 1];
    size_t length = 0;
    const uint8_t *octets = sa->srtp ? srtp_session_mki(sa->srtp, &length) : NULL;

    for (size_t i = 0; i < length; i++)
        snprintf(hex + 2 * i, 3, "%02x", octets[i]);
    return length ? json_string(hex) : json_null();
}

/* Of the key itself nothing is shown. */
static void add_key(json_t *row, const struct sa *sa)
{
    uint64_t lifetime = sa->srtp ? srtp_session_lifetime(sa->srtp) : SRTP_LIFETIME_MAX;
    uint64_t left_us = rekey_left_us(sa, clock_now_us());

    json_object_set_new(row, "key", json_string(key_name(sa)));
    json_object_set_new(row, "mki", mki(sa));
    json_object_set_new(row, "lifetime",
                        lifetime < SRTP_LIFETIME_MAX ? report_number(lifetime) : json_null());
    json_object_set_new(row, "old_key", left_us ? json_real((double)left_us / 1e6) : json_null());
}

/* Where RTP of a sender whose source is learned is heard; of one outside the dmz-relay knows it. */
static const struct addr *bound(const struct sa *sa, bool rtcp)
{
    const struct addr *far = sa->side == SA_SIDE_EXTERNAL ? far_bound(sa, rtcp) : NULL;

    if (sa->source_policy == SOURCE_STRICT)
        return NULL;
    return !far && sa->bound[rtcp] ? sa_transport_addr(&sa->source, rtcp) : far;
}

/* null: it ends with its call. */
static json_t *media_timeout(const struct sa *sa)
{
    return sa_ends_with_call(sa) ? json_null() : report_number(sa->media_timeout_s);
}

static void add_details(json_t *row, const struct sa *sa)
{
    json_t *more = json_pack(
        "{s:I,s:o,s:o,s:b,s:o,s:b,s:s,s:s,s:I,s:o,s:o,s:o,s:o,s:o,s:i,s:o,s:o}", "generation",
        (json_int_t)sa->generation, "created", created(sa), "source_rtcp",
        report_addr(sa->source.mux ? NULL : &sa->source.rtcp), "source_mux", sa->source.mux,
        "destination_rtcp", report_addr(sa->destination.mux ? NULL : &sa->destination.rtcp),
        "destination_mux", sa->destination.mux, "encap_in", encap_name(sa->encap_in), "encap_out",
        encap_name(sa->encap_out), "rate",
        (json_int_t)((uint64_t)sa->rate.octets_per_second * 8 / 1000), "listener",
        text_or_null(sa_text(sa, SA_LISTENER_IN)), "to_listener",
        text_or_null(sa_text(sa, SA_LISTENER_OUT)), "reverse",
        sa->reverse ? report_number(sa->reverse) : json_null(), "media_timeout", media_timeout(sa),
        "refused", text_or_null(sa_text(sa, SA_REFUSED)), "media", (int)sa->media_index, "streams",
        streams(sa), "verdicts", sa_verdicts(sa->verdicts));

    json_object_update(row, more);
    json_decref(more);
    add_key(row, sa);
    json_object_set_new(row, "bound_rtcp", report_addr(bound(sa, true)));
    json_object_set_new(
        row, "stray",
        stray(&sa->stray.from, (enum verdict)sa->stray.verdict, seconds_ago(sa->stray.at_us)));
}

/* ------------------------------------------------------------ what the dmz-relay says of an SA */

static json_t *seconds(uint64_t age_us)
{
    return age_us == REPORT_NEVER ? json_null() : json_real((double)age_us / 1e6);
}

static json_t *heard(const struct sa_report *report)
{
    json_t *array = json_array();

    for (unsigned i = 0; i < report->heard_count; i++) {
        const struct sa_heard *h = &report->heard[i];

        json_array_append_new(
            array,
            json_pack("{s:I,s:s,s:I,s:I,s:o,s:f,s:o}", "ssrc", (json_int_t)h->ssrc, "origin",
                      origin_name(h->origin), "roc", (json_int_t)index_roc(h->index), "highest",
                      (json_int_t)(h->index & 0xffff), "lost", report_number(h->lost), "jitter",
                      (double)h->jitter, "received", report_number(h->received)));
    }
    return array;
}

json_t *report_far(const struct sa *sa)
{
    uint64_t now_us = clock_now_us(), reported_us;
    struct sa_report report;

    if (!far_get(sa, &report, &reported_us, now_us))
        return json_null();
    return json_pack(
        "{s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "reported", seconds_ago(reported_us), "source",
        report_addr(&report.bound[0]), "source_rtcp", report_addr(&report.bound[1]), "packets",
        report_number(report.packets), "octets", report_number(report.octets), "dropped",
        report_number(dropped(report.verdicts)), "last_packet", seconds(report.age_us), "stray",
        stray(&report.stray, report.stray_verdict, seconds(report.stray_age_us)), "streams",
        heard(&report), "verdicts", sa_verdicts(report.verdicts));
}

/* Does it go to where the sender of the other direction is heard? */
static bool is_destination_learned(struct table *table, const struct sa *sa)
{
    const struct sa *other =
        table && sa->reverse ? table_by_id(table, sa->owner, sa->reverse) : NULL;

    return other && sa_may_be_reverse(other, sa) && other->reverse == sa->id &&
           other->source_policy != SOURCE_STRICT;
}

/* A dmz-relay is not told what senders inside send from. */
static void add_learning(json_t *row, struct table *table, const struct sa *sa)
{
    bool told = sa->source.rtp.family || sa->source_policy != SOURCE_STRICT;
    bool is_bound = sa_is_bound(sa, false) || bound(sa, false);

    json_object_set_new(row, "source_policy",
                        told ? json_string(sa_source_policy_name(sa->source_policy)) : json_null());
    json_object_set_new(row, "source_bound", told ? json_boolean(is_bound) : json_null());
    json_object_set_new(row, "bound", report_addr(bound(sa, false)));
    json_object_set_new(row, "hint", report_ip(&sa->hint));
    json_object_set_new(row, "destination_learned",
                        json_boolean(is_destination_learned(table, sa)));
}

json_t *report_sa(struct table *table, const struct sa *sa, const char *home, const char *home_name,
                  bool full)
{
    json_t *row = json_pack(
        "{s:o,s:s,s:s,s:s,s:s,s:o,s:o,s:o,s:I,s:o,s:o,s:o,s:o,s:o,s:s}", "id",
        report_number(sa->id), "side", sa_side_name(sa->side), "to_side",
        sa_side_name(sa_to_side(sa)), "call_id", sa_text(sa, SA_CALL_ID), home, home_name, "source",
        report_addr(&sa->source.rtp), "destination", report_addr(&sa->destination.rtp), "ssrc",
        ssrcs(sa), "label", (json_int_t)sa->label, "suite",
        text_or_null(sa->suite ? sa->suite->name : NULL), "packets", report_number(sa->packets),
        "octets", report_number(sa->octets), "dropped", report_number(dropped(sa->verdicts)),
        "last_packet", seconds_ago(sa->last_packet_us), "state",
        sa_text(sa, SA_REFUSED)[0] ? "refused" : "active");

    if (row)
        add_learning(row, table, sa);
    if (full && row)
        add_details(row, sa);
    return row;
}

/* A whole number from 1 on; *out stays when it is not there. False: *refusal is the answer. */
static bool get_positive(const json_t *request, const char *name, uint32_t *out, json_t **refusal)
{
    const json_t *value = json_object_get(request, name);
    json_int_t n = json_integer_value(value);

    if (!value || json_is_null(value))
        return true;
    if (n < 1 || n > UINT32_MAX) {
        *refusal = control_refuse(name, "a whole number from 1 on is needed");
        return false;
    }
    *out = (uint32_t)n;
    return true;
}

json_t *report_sa_list(struct table *table, const json_t *request, const char *home,
                       const char *(*home_name)(const void *ctx, unsigned owner), const void *ctx)
{
    const char *call_id = json_string_value(json_object_get(request, "call_id"));
    uint32_t after = UINT32_MAX, limit = REPORT_PAGE_SAS, looks = REPORT_PAGE_LOOKS;
    struct table_walk walk;
    const struct sa *sa;
    json_t *rows, *refusal;

    if (!get_positive(request, "after", &after, &refusal) ||
        !get_positive(request, "limit", &limit, &refusal))
        return refusal;
    if (limit > REPORT_PAGE_SAS)
        limit = REPORT_PAGE_SAS;
    rows = json_array();
    table_walk_begin(table, &walk);
    if (walk.left > after)
        walk.left = after;
    while (json_array_size(rows) < limit && looks-- > 0 && (sa = table_walk_next(table, &walk))) {
        if (!call_id || strcmp(sa_text(sa, SA_CALL_ID), call_id) == 0)
            json_array_append_new(rows,
                                  report_sa(table, sa, home, home_name(ctx, sa->owner), false));
    }
    return json_pack("{s:b,s:o,s:o}", "ok", 1, "sas", rows, "next",
                     walk.left ? report_number(walk.left) : json_null());
}

json_t *report_sa_show(struct table *table, const struct sa *sa, uint64_t id, const char *home,
                       const char *home_name)
{
    if (!sa)
        return control_refuse("id", "there is no SA %llu", (unsigned long long)id);
    return json_pack("{s:b,s:o}", "ok", 1, "sa", report_sa(table, sa, home, home_name, true));
}

/* ------------------------------------------------------------ commands of both */

static json_t *texts(char list[][96], size_t count)
{
    json_t *array = json_array();

    for (size_t i = 0; i < count; i++)
        json_array_append_new(array, json_string(list[i]));
    return array;
}

json_t *report_reload(void *ctx, const json_t *request)
{
    struct daemon *daemon = ctx;
    struct daemon_changes changes;
    char error[512] = "";

    (void)request;
    if (daemon_reload(daemon, &changes, error, sizeof(error)) < 0)
        return control_refuse(NULL, "not reloaded, the old values stay: %s", error);
    return json_pack("{s:b,s:o,s:o}", "ok", 1, "changed",
                     texts(changes.changed_key, changes.changed), "restart_needed",
                     texts(changes.restart_key, changes.restart));
}

json_t *report_debug(void *ctx, const json_t *request)
{
    const json_t *wanted = json_object_get(request, "level");
    enum log_level level;

    (void)ctx;
    if (wanted) {
        if (!json_is_string(wanted) || !log_level_parse(json_string_value(wanted), &level))
            return control_refuse("level", "not a level; error, warning, info or debug");
        log_set_level(level);
    }
    return json_pack("{s:b,s:s}", "ok", 1, "level", log_level_name(log_get_level()));
}

bool report_get_id(const json_t *request, uint64_t *id, json_t **refusal)
{
    const json_t *value = json_object_get(request, "id");

    if (!json_is_integer(value) || json_integer_value(value) <= 0) {
        *refusal = control_refuse("id", "a whole number from 1 on is needed");
        return false;
    }
    *id = (uint64_t)json_integer_value(value);
    return true;
}
