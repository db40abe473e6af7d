#include "tests/pair/pair.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/sa/table.h"
#include "common/tunnel/frame.h"
#include "inner-relay/state.h"
#include "tests/unit/sample.h"
#include "tests/unit/unit.h"

#define START_US  UINT64_C(1000000000)
#define WALL_US   UINT64_C(1700000000000000)
#define RETRY_US  (100 * PAIR_MS)
#define QUEUE_MAX (64 * 1024)
/* What a socket holds before it says that it is full. */
#define UNSENT_MAX (32 * 1024)
#define FEATURES   (FEATURE_VERIFY_ONLY | FEATURE_KEYLESS)

static const char *const site_names[] = {"site-a.example", "site-b.example", NULL};
static const char *const dmz_names[] = {"dmz", NULL};

/* ------------------------------------------------------------ what leaves */

static bool is_in_table(const struct table *table, const void *tag)
{
    struct table_walk walk;
    const struct sa *sa;

    table_walk_begin(table, &walk);
    while ((sa = table_walk_next(table, &walk)) && sa != tag)
        ;
    return sa != NULL;
}

static void out_flush(void *ctx)
{
    struct pair_out *out = ctx;
    size_t waiting = out->waiting;

    out->waiting = 0;
    for (size_t i = 0; i < waiting; i++) {
        ck_assert_msg(is_in_table(out->table, out->tag[i]), "an SA went before its packet");
        out->told(out->core, out->listener[i], out->rtcp_port[i], out->tag[i], out->error);
    }
}

static void out_send(void *ctx, unsigned listener, bool rtcp_port, const struct addr *to,
                     const uint8_t *packet, size_t length, void *tag)
{
    struct pair_out *out = ctx;
    struct pair_packet *sent = &out->sent[out->count];

    if (out->waiting == sizeof(out->tag) / sizeof(out->tag[0]))
        out_flush(out);
    out->tag[out->waiting] = tag;
    out->listener[out->waiting] = listener;
    out->rtcp_port[out->waiting++] = rtcp_port;
    if (out->error)
        return;
    ck_assert_uint_lt(out->count, PAIR_SENT_MAX);
    ck_assert_uint_le(length, sizeof(sent->data));
    *sent = (struct pair_packet){
        .to = *to, .listener = listener, .rtcp_port = rtcp_port, .length = length};
    sent->at_us = *out->now_us;
    memcpy(sent->data, packet, length);
    out->count++;
}

static void told_dmz(void *core, unsigned listener, bool rtcp_port, void *tag, int error)
{
    outbound_sent(core, listener, rtcp_port, tag, error);
}

static void told_inner(void *core, unsigned listener, bool rtcp_port, void *tag, int error)
{
    inbound_sent(core, listener, rtcp_port, tag, error);
}

static void out_init(struct pair_out *out, const struct pair *pair)
{
    out->sent = malloc(PAIR_SENT_MAX * sizeof(*out->sent));
    ck_assert_ptr_nonnull(out->sent);
    out->now_us = &pair->now_us;
}

/* ------------------------------------------------------------ pipes */

static uint64_t bandwidth_of(const struct pair_tunnel *tunnel, const struct pair_pipe *pipe)
{
    const struct pair *pair = tunnel->pair;

    return pipe == &tunnel->to_inner && pair->bandwidth_back ? pair->bandwidth_back
                                                             : pair->bandwidth;
}

/* Forgets what was read. */
static void pipe_compact(struct pair_pipe *pipe)
{
    size_t done = 0;

    while (done < pipe->chunk_read && pipe->chunk[done].end <= pipe->read)
        done++;
    pipe->chunk_count -= done;
    pipe->chunk_read -= done;
    for (size_t i = 0; i < pipe->chunk_count; i++) {
        pipe->chunk[i] = pipe->chunk[i + done];
        pipe->chunk[i].end -= pipe->read;
    }
    pipe->length -= pipe->read;
    memmove(pipe->octets, pipe->octets + pipe->read, pipe->length);
    pipe->read = 0;
}

static void pipe_write(struct pair_tunnel *tunnel, struct pair_pipe *pipe, const uint8_t *data,
                       size_t length)
{
    struct pair *pair = tunnel->pair;
    uint64_t bandwidth = bandwidth_of(tunnel, pipe);

    if (pipe->length + length > PAIR_PIPE_OCTETS || pipe->chunk_count == PAIR_CHUNKS_MAX)
        pipe_compact(pipe);
    ck_assert_uint_le(pipe->length + length, PAIR_PIPE_OCTETS);
    ck_assert_uint_lt(pipe->chunk_count, PAIR_CHUNKS_MAX);
    memcpy(pipe->octets + pipe->length, data, length);
    pipe->length += length;
    if (pipe->free_us < pair->now_us)
        pipe->free_us = pair->now_us;
    if (bandwidth)
        pipe->free_us += length * PAIR_SECOND / bandwidth;
    pipe->chunk[pipe->chunk_count].end = pipe->length;
    pipe->chunk[pipe->chunk_count++].due_us = pipe->free_us + pair->delay_us;
}

/* Is the socket full? */
static bool pipe_full(const struct pair_tunnel *tunnel, const struct pair_pipe *pipe)
{
    const struct pair *pair = tunnel->pair;
    uint64_t bandwidth = bandwidth_of(tunnel, pipe);

    if (pair->cut)
        return pipe->length - pipe->read >= UNSENT_MAX;
    return bandwidth && pipe->free_us > pair->now_us &&
           (pipe->free_us - pair->now_us) * bandwidth / PAIR_SECOND >= UNSENT_MAX;
}

/* How many octets have arrived and were not read. */
static size_t pipe_arrived(struct pair_tunnel *tunnel, struct pair_pipe *pipe)
{
    const struct pair *pair = tunnel->pair;

    if (pair->cut)
        return 0;
    while (pipe->chunk_read < pipe->chunk_count &&
           pipe->chunk[pipe->chunk_read].due_us <= pair->now_us)
        pipe->chunk_read++;
    return pipe->chunk_read ? pipe->chunk[pipe->chunk_read - 1].end - pipe->read : 0;
}

static void pipe_reset(struct pair_pipe *pipe)
{
    uint8_t *octets = pipe->octets;

    memset(pipe, 0, sizeof(*pipe));
    pipe->octets = octets;
}

/* ------------------------------------------------------------ ends of a connection */

static void close_inner(struct pair_tunnel *tunnel, const char *reason)
{
    struct session *session = tunnel->inner;
    struct pair_site *site = &tunnel->pair->site[tunnel->site];

    if (!session)
        return;
    snprintf(tunnel->inner_reason, sizeof(tunnel->inner_reason), "%s", reason);
    tunnel->inner = NULL;
    if (tunnel->link->session == session)
        inner_link_closed(tunnel->link, tunnel->pair->now_us);
    session_free(session);
    site->connect_us = tunnel->pair->now_us + RETRY_US;
}

static void close_dmz(struct pair_tunnel *tunnel, const char *reason)
{
    struct dmz_link *link = tunnel->dmz;

    if (!link)
        return;
    snprintf(tunnel->dmz_reason, sizeof(tunnel->dmz_reason), "%s", reason);
    tunnel->dmz = NULL;
    dmz_link_closed(link, reason, tunnel->pair->now_us);
    session_free(link->session);
}

/* The last words of an end that closes go out, if anybody is there. */
static void last_words(struct pair_tunnel *tunnel, struct session *session, struct pair_pipe *pipe)
{
    uint8_t memory[RECORD_MAX_OCTETS];
    size_t length = session_output(session, memory, sizeof(memory), tunnel->pair->now_us);

    if (length > 0)
        pipe_write(tunnel, pipe, memory, length);
}

static void on_close_link(void *ctx, struct dmz_link *link, const char *reason)
{
    struct pair *pair = ctx;

    for (unsigned i = 0; i < PAIR_TUNNELS_MAX; i++) {
        struct pair_tunnel *tunnel = pair->tunnel[i];

        if (tunnel && tunnel->dmz == link) {
            session_bye(link->session, reason);
            last_words(tunnel, link->session, &tunnel->to_inner);
            close_dmz(tunnel, reason);
        }
    }
}

/* As the event loop does: reads while the session is not congested, then flushes what is to leave.
 */
static bool receive(struct pair_tunnel *tunnel, struct session *session, struct pair_pipe *pipe)
{
    const struct pair *pair = tunnel->pair;
    size_t arrived = pipe_arrived(tunnel, pipe);
    bool alive = true;

    while ((arrived > 0 || session_pending(session)) && alive && !session_congested(session)) {
        size_t size, n = session_pending(session) ? 0 : arrived;
        uint8_t *space = session_space(session, &size);

        if (n == 0) {
            alive = session_received(session, 0, pair->now_us) == 0;
            continue;
        }
        ck_assert_uint_gt(size, 0);
        n = n < pair->piece ? n : pair->piece;
        n = n < size ? n : size;
        memcpy(space, pipe->octets + pipe->read, n);
        pipe->read += n;
        arrived -= n;
        alive = session_received(session, n, pair->now_us) == 0;
    }
    return alive;
}

static void transmit(struct pair_tunnel *tunnel, struct session *session, struct pair_pipe *pipe)
{
    uint8_t memory[RECORD_MAX_OCTETS];
    size_t length;

    while (!pipe_full(tunnel, pipe) &&
           (length = session_output(session, memory, sizeof(memory), tunnel->pair->now_us)) > 0)
        pipe_write(tunnel, pipe, memory, length);
}

static void turn_inner(struct pair_tunnel *tunnel)
{
    struct pair_site *site = &tunnel->pair->site[tunnel->site];
    struct session *session = tunnel->inner;

    if (!receive(tunnel, session, &tunnel->to_inner) ||
        session_tick(session, tunnel->pair->now_us) < 0) {
        out_flush(&site->out);
        last_words(tunnel, session, &tunnel->to_dmz);
        close_inner(tunnel, session_reason(session));
        return;
    }
    out_flush(&site->out);
    transmit(tunnel, session, &tunnel->to_dmz);
}

static void turn_dmz(struct pair_tunnel *tunnel)
{
    struct session *session = tunnel->dmz->session;

    if (!receive(tunnel, session, &tunnel->to_dmz) ||
        session_tick(session, tunnel->pair->now_us) < 0) {
        out_flush(&tunnel->pair->out);
        last_words(tunnel, session, &tunnel->to_inner);
        close_dmz(tunnel, session_reason(session));
        return;
    }
    out_flush(&tunnel->pair->out);
    transmit(tunnel, session, &tunnel->to_inner);
}

/* One side closed: the other learns it when all octets before have come, unless the network is cut.
 */
static void pass_on_close(struct pair_tunnel *tunnel)
{
    if (tunnel->pair->cut)
        return;
    if (!tunnel->inner && tunnel->dmz && pipe_arrived(tunnel, &tunnel->to_dmz) == 0 &&
        tunnel->to_dmz.read == tunnel->to_dmz.length)
        close_dmz(tunnel, "closed by the other side");
    if (!tunnel->dmz && !tunnel->scripted && tunnel->inner &&
        pipe_arrived(tunnel, &tunnel->to_inner) == 0 &&
        tunnel->to_inner.read == tunnel->to_inner.length)
        close_inner(tunnel, "closed by the other side");
}

static void free_tunnel(struct pair_tunnel *tunnel)
{
    free(tunnel->to_dmz.octets);
    free(tunnel->to_inner.octets);
    free(tunnel);
}

static void turn(struct pair *pair)
{
    for (unsigned i = 0; i < PAIR_TUNNELS_MAX; i++) {
        struct pair_tunnel *tunnel = pair->tunnel[i];

        if (!tunnel)
            continue;
        if (tunnel->inner)
            turn_inner(tunnel);
        if (tunnel->dmz)
            turn_dmz(tunnel);
        pass_on_close(tunnel);
    }
    if (pair->dmz)
        (void)dmz_work(pair->dmz, pair->now_us);
    for (unsigned i = 0; i < pair->site_count; i++) {
        if (pair->site[i].inner)
            (void)inner_work(pair->site[i].inner, pair->now_us);
    }
}

/* ------------------------------------------------------------ connecting */

static struct pair_tunnel *new_tunnel(struct pair *pair, unsigned site)
{
    struct pair_tunnel *tunnel = calloc(1, sizeof(*tunnel));
    unsigned i = 0;

    ck_assert_ptr_nonnull(tunnel);
    while (i < PAIR_TUNNELS_MAX && pair->tunnel[i] &&
           (pair->tunnel[i]->inner || pair->tunnel[i]->dmz))
        i++;
    ck_assert_uint_lt(i, PAIR_TUNNELS_MAX);
    if (pair->tunnel[i])
        free_tunnel(pair->tunnel[i]);
    pair->tunnel[i] = tunnel;
    tunnel->pair = pair;
    tunnel->site = site;
    tunnel->to_dmz.octets = malloc(PAIR_PIPE_OCTETS);
    tunnel->to_inner.octets = malloc(PAIR_PIPE_OCTETS);
    ck_assert(tunnel->to_dmz.octets && tunnel->to_inner.octets);
    pair->site[site].connects++;
    return tunnel;
}

static void open_inner(struct pair_tunnel *tunnel)
{
    struct pair *pair = tunnel->pair;

    tunnel->link = &pair->site[tunnel->site].inner->links[0];
    tunnel->inner = inner_link_open(tunnel->link, WALL_US + pair->now_us, pair->now_us);
    ck_assert_ptr_nonnull(tunnel->inner);
}

struct pair_tunnel *pair_connect(struct pair *pair, unsigned site)
{
    struct pair_tunnel *tunnel = new_tunnel(pair, site);

    tunnel->dmz = dmz_link_new(pair->dmz, site_names[site], pair->now_us);
    ck_assert_ptr_nonnull(tunnel->dmz);
    open_inner(tunnel);
    return tunnel;
}

struct pair_tunnel *pair_connect_scripted(struct pair *pair, unsigned site)
{
    struct pair_tunnel *tunnel = new_tunnel(pair, site);
    struct hello ack = {.version = PROTOCOL_VERSION_MAX,
                        .features = FEATURES | FEATURE_HAIRPIN,
                        .capacity = 1000,
                        .quota = 1000};
    uint8_t memory[FRAME_MAX_OCTETS];
    struct writer w;

    tunnel->scripted = true;
    open_inner(tunnel);
    writer_init(&w, memory, sizeof(memory));
    hello_ack_put(&w, &ack);
    pair_inject(tunnel, true, FRAME_HELLO_ACK, memory, writer_length(&w));
    pair_run(pair, 10 * PAIR_MS);
    ck_assert_int_eq(session_state(tunnel->inner), SESSION_UP);
    return tunnel;
}

static bool has_connection(const struct pair *pair, unsigned site)
{
    for (unsigned i = 0; i < PAIR_TUNNELS_MAX; i++) {
        if (pair->tunnel[i] && pair->tunnel[i]->site == site && pair->tunnel[i]->inner)
            return true;
    }
    return false;
}

static void reconnect(struct pair *pair)
{
    for (unsigned i = 0; i < pair->site_count; i++) {
        struct pair_site *site = &pair->site[i];

        if (site->reconnect && site->inner && pair->dmz && !pair->cut &&
            pair->now_us >= site->connect_us && !has_connection(pair, i))
            (void)pair_connect(pair, i);
    }
}

void pair_inject(struct pair_tunnel *tunnel, bool to_inner, uint8_t type, const void *body,
                 size_t length)
{
    uint8_t memory[FRAME_MAX_OCTETS];
    struct writer w;
    uint8_t *head;

    writer_init(&w, memory, sizeof(memory));
    head = frame_begin(&w, type);
    writer_copy(&w, body, length);
    frame_end(&w, head);
    ck_assert(!w.failed);
    pipe_write(tunnel, to_inner ? &tunnel->to_inner : &tunnel->to_dmz, memory, writer_length(&w));
}

void pair_inject_media(struct pair_tunnel *tunnel, bool to_inner, uint32_t label,
                       const uint8_t *packet, size_t length)
{
    uint8_t memory[FRAME_MAX_OCTETS];
    struct writer w;

    writer_init(&w, memory, sizeof(memory));
    writer_u32(&w, label);
    writer_copy(&w, packet, length);
    pair_inject(tunnel, to_inner, FRAME_MEDIA, memory, writer_length(&w));
}

void pair_reset(struct pair_tunnel *tunnel)
{
    pipe_reset(&tunnel->to_dmz);
    pipe_reset(&tunnel->to_inner);
    close_inner(tunnel, "reset");
    close_dmz(tunnel, "reset");
}

struct pair_tunnel *pair_tunnel(struct pair *pair, unsigned site)
{
    for (unsigned i = 0; i < PAIR_TUNNELS_MAX; i++) {
        struct pair_tunnel *tunnel = pair->tunnel[i];

        if (tunnel && tunnel->site == site && tunnel->inner &&
            session_state(tunnel->inner) == SESSION_UP && tunnel->dmz &&
            session_state(tunnel->dmz->session) == SESSION_UP)
            return tunnel;
    }
    return NULL;
}

/* ------------------------------------------------------------ time */

void pair_run(struct pair *pair, uint64_t duration_us)
{
    uint64_t end_us = pair->now_us + duration_us;

    turn(pair);
    while (pair->now_us < end_us) {
        pair->now_us += PAIR_MS;
        reconnect(pair);
        turn(pair);
        if (pair->now_us - pair->ticked_us < PAIR_SECOND)
            continue;
        pair->ticked_us = pair->now_us;
        if (pair->dmz)
            dmz_tick(pair->dmz, pair->now_us);
        for (unsigned i = 0; i < pair->site_count; i++) {
            if (pair->site[i].inner)
                inner_tick(pair->site[i].inner);
        }
    }
}

/* Of what stays inside, and is the newest, it hears nothing. */
static bool is_told(const struct authority *authority, const struct replica *replica)
{
    const struct sa *sa = authority->newest;

    if (replica->version == authority->version)
        return true;
    if (authority->live_next || authority->live_dead || !sa || sa->version != authority->version)
        return false;
    while (sa && sa_stays_inside(sa))
        sa = sa->older;
    return !sa || replica->version >= sa->version;
}

bool pair_synced(const struct pair *pair, unsigned site)
{
    const struct inner_link *link = &pair->site[site].inner->links[0];
    const struct replica *replica = &pair->dmz->sites[site].replica;

    return link->authority.sync == AUTHORITY_SYNCED && replica->epoch == link->authority.epoch &&
           is_told(&link->authority, replica) && !replica_sweep_due(replica);
}

uint64_t pair_run_until_synced(struct pair *pair)
{
    uint64_t began_us = pair->now_us;
    bool synced = false;

    while (!synced) {
        ck_assert_msg(pair->now_us < began_us + 30 * PAIR_SECOND, "not synced within 30 s");
        pair_run(pair, PAIR_MS);
        synced = true;
        for (unsigned i = 0; i < pair->site_count; i++)
            synced = synced && pair_synced(pair, i);
    }
    return pair->now_us - began_us;
}

/* ------------------------------------------------------------ the cores */

static void add_listener(struct path_listener *listeners, size_t *count, struct target_rules *rules,
                         const char *name, const char *address)
{
    struct path_listener *listener = &listeners[(*count)++];

    snprintf(listener->name, sizeof(listener->name), "%s", name);
    listener->address = listener->advertise = sample_addr(address);
    listener->m_line = -1;
    rules->own[rules->own_count++] = listener->address;
}

static void on_dmz_kick(void *ctx, struct dmz_link *link)
{
    (void)ctx;
    (void)link;
}

static void start_dmz(struct pair *pair)
{
    struct path_out out = {out_send, out_flush, &pair->out};
    struct dmz_hooks hooks = {on_close_link, on_dmz_kick, NULL, NULL, pair};

    pair->dmz = calloc(1, sizeof(*pair->dmz));
    ck_assert_ptr_nonnull(pair->dmz);
    ck_assert_int_eq(dmz_init(pair->dmz, &pair->dmz_options, site_names, &out, &hooks), 0);
    add_listener(pair->dmz->listeners, &pair->dmz->listener_count, &pair->dmz->rules, "four",
                 "9.0.0.1:5004");
    add_listener(pair->dmz->listeners, &pair->dmz->listener_count, &pair->dmz->rules, "six",
                 "[2a09::1]:5004");
    pair->out.told = told_dmz;
    pair->out.core = pair->dmz;
    pair->out.table = pair->dmz->table;
    for (unsigned i = 0; i < pair->site_count; i++)
        pair->dmz->sites[i].changed_us = pair->now_us;
}

static void stop_dmz(struct pair *pair)
{
    out_flush(&pair->out);
    for (unsigned i = 0; i < PAIR_TUNNELS_MAX; i++) {
        if (pair->tunnel[i])
            close_dmz(pair->tunnel[i], "killed");
    }
    pair_check_sums(pair);
    dmz_fini(pair->dmz);
    free(pair->dmz);
    pair->dmz = NULL;
}

void pair_restart_dmz(struct pair *pair)
{
    stop_dmz(pair);
    start_dmz(pair);
}

static void on_kick(void *ctx, struct inner_link *link)
{
    (void)ctx;
    (void)link;
}

static void on_changed(void *ctx)
{
    (void)ctx;
}

static void on_deleted(void *ctx, uint64_t id)
{
    (void)ctx;
    (void)id;
}

void pair_start_inner(struct pair *pair, unsigned site, const uint8_t *state, size_t length)
{
    struct pair_site *at = &pair->site[site];
    struct path_out out = {out_send, out_flush, &at->out};
    struct inner_hooks hooks = {on_kick, on_changed, on_deleted, NULL, NULL, pair};
    struct target_rules *rules;
    char error[192] = "";
    size_t count;

    at->inner = calloc(1, sizeof(*at->inner));
    ck_assert_ptr_nonnull(at->inner);
    ck_assert_int_eq(inner_init(at->inner, &pair->inner_options, dmz_names, &out, &hooks), 0);
    rules = &at->inner->rules;
    add_listener(at->inner->listeners, &at->inner->listener_count, rules, "four", "10.0.0.1:5004");
    add_listener(at->inner->listeners, &at->inner->listener_count, rules, "six", "[fd00::1]:5004");
    ck_assert_int_eq(addr_net_parse("10.0.0.0/8", &rules->internal[rules->internal_count++]), 0);
    ck_assert_int_eq(addr_net_parse("fd00::/8", &rules->internal[rules->internal_count++]), 0);
    at->out.told = told_inner;
    at->out.core = at->inner;
    at->out.table = at->inner->table;
    at->connect_us = 0;
    if (state)
        ck_assert_msg(state_read(at->inner, state, length, 600 * PAIR_SECOND,
                                 WALL_US + pair->now_us, pair->now_us, &count, error,
                                 sizeof(error)) == 0,
                      "%s", error);
}

void pair_kill_inner(struct pair *pair, unsigned site)
{
    struct pair_site *at = &pair->site[site];

    out_flush(&at->out);
    for (unsigned i = 0; i < PAIR_TUNNELS_MAX; i++) {
        if (pair->tunnel[i] && pair->tunnel[i]->site == site)
            close_inner(pair->tunnel[i], "killed");
    }
    pair_check_sums(pair);
    inner_fini(at->inner);
    free(at->inner);
    at->inner = NULL;
}

size_t pair_save_state(struct pair *pair, unsigned site, uint8_t *memory, size_t size)
{
    struct state_writer state;
    struct writer w;

    writer_init(&w, memory, size);
    state_begin(&state, pair->site[site].inner, WALL_US + pair->now_us, &w);
    while (!state.finished)
        ck_assert_int_eq(state_more(&state, &w), 0);
    state_end(&state);
    ck_assert(!w.failed);
    return writer_length(&w);
}

struct pair *pair_new_unconnected(unsigned sites)
{
    struct pair *pair = calloc(1, sizeof(*pair));

    ck_assert_ptr_nonnull(pair);
    pair->now_us = pair->ticked_us = START_US;
    pair->piece = SIZE_MAX;
    pair->delay_us = 5 * PAIR_MS;
    pair->site_count = sites;
    pair->dmz_options = (struct dmz_options){.engine = sample_engine(),
                                             .max_sas = 2000,
                                             .site_quota = 1000,
                                             .max_age_us = 60 * PAIR_MS,
                                             .stale_hold_us = 60 * PAIR_SECOND,
                                             .queue_octets = QUEUE_MAX,
                                             .features = FEATURES,
                                             .engine_name = "test",
                                             .software = "dmz-relay test"};
    pair->inner_options = (struct inner_options){.engine = sample_engine(),
                                                 .max_sas = 2000,
                                                 .max_age_us = 60 * PAIR_MS,
                                                 .queue_octets = QUEUE_MAX,
                                                 .sa_rate = 1000000,
                                                 .dmz_keys = WIRE_REPLICA_FULL,
                                                 .features = FEATURES,
                                                 .engine_name = "test",
                                                 .software = "inner-relay test"};
    out_init(&pair->out, pair);
    start_dmz(pair);
    for (unsigned i = 0; i < sites; i++) {
        pair->site[i].name = site_names[i];
        out_init(&pair->site[i].out, pair);
        pair_start_inner(pair, i, NULL, 0);
    }
    return pair;
}

struct pair *pair_new(unsigned sites)
{
    struct pair *pair = pair_new_unconnected(sites);

    for (unsigned i = 0; i < sites; i++)
        pair->site[i].reconnect = true;
    (void)pair_run_until_synced(pair);
    return pair;
}

void pair_free(struct pair *pair)
{
    pair_check_sums(pair);
    stop_dmz(pair);
    for (unsigned i = 0; i < pair->site_count; i++) {
        if (pair->site[i].inner)
            pair_kill_inner(pair, i);
        free(pair->site[i].out.sent);
    }
    for (unsigned i = 0; i < PAIR_TUNNELS_MAX; i++) {
        if (pair->tunnel[i])
            free_tunnel(pair->tunnel[i]);
    }
    free(pair->out.sent);
    free(pair);
}

/* ------------------------------------------------------------ verdicts */

static void check_sum(const struct verdict_counts *counts, const char *place)
{
    ck_assert_msg(counts->received == counts->queued + verdict_sum(counts),
                  "%s: received %llu, verdicts %llu, queued %llu", place,
                  (unsigned long long)counts->received, (unsigned long long)verdict_sum(counts),
                  (unsigned long long)counts->queued);
}

void pair_check_sums(struct pair *pair)
{
    out_flush(&pair->out);
    for (size_t i = 0; pair->dmz && i < pair->dmz->listener_count; i++) {
        check_sum(&pair->dmz->listeners[i].counts[0], "dmz-relay, RTP");
        check_sum(&pair->dmz->listeners[i].counts[1], "dmz-relay, RTCP");
    }
    for (size_t i = 0; pair->dmz && i < pair->dmz->site_count; i++)
        check_sum(&pair->dmz->sites[i].counts, "dmz-relay, tunnel");
    if (pair->dmz) {
        check_sum(&pair->dmz->own, "dmz-relay, own address");
        check_sum(&pair->dmz->hairpin, "dmz-relay, hairpin");
    }
    for (unsigned s = 0; s < pair->site_count; s++) {
        struct inner *inner = pair->site[s].inner;

        if (!inner)
            continue;
        out_flush(&pair->site[s].out);
        for (size_t i = 0; i < inner->listener_count; i++) {
            check_sum(&inner->listeners[i].counts[0], "inner-relay, RTP");
            check_sum(&inner->listeners[i].counts[1], "inner-relay, RTCP");
        }
        check_sum(&inner->links[0].counts, "inner-relay, tunnel");
        check_sum(&inner->hairpin, "inner-relay, hairpin");
    }
}

static uint64_t listener_verdict(const struct path_listener *listeners, size_t count,
                                 enum verdict verdict)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < count; i++)
        sum += listeners[i].counts[0].n[verdict] + listeners[i].counts[1].n[verdict];
    return sum;
}

uint64_t pair_dmz_verdict(const struct pair *pair, enum verdict verdict)
{
    return listener_verdict(pair->dmz->listeners, pair->dmz->listener_count, verdict);
}

uint64_t pair_inner_verdict(const struct pair *pair, unsigned site, enum verdict verdict)
{
    const struct inner *inner = pair->site[site].inner;

    return listener_verdict(inner->listeners, inner->listener_count, verdict);
}

/* ------------------------------------------------------------ calls */

static struct addr client(bool inside, bool six, unsigned n, unsigned port)
{
    char text[ADDR_TEXT_SIZE];

    if (six)
        snprintf(text, sizeof(text), "[%s::%x:%x]:%u", inside ? "fd00" : "2a00", 1 + (n >> 12),
                 n & 0xfff, port);
    else
        snprintf(text, sizeof(text), "%s.%u.%u:%u", inside ? "10.1" : "8.8", n >> 8 & 0xff,
                 n & 0xff, port);
    return sample_addr(text);
}

void pair_request(struct admit_request *request, enum sa_side side, unsigned n)
{
    bool inside = side == SA_SIDE_INTERNAL;

    *request = (struct admit_request){.side = side, .ssrc_count = 1, .media_timeout_s = -1};
    request->source.rtp = client(inside, false, n, 20000);
    request->source.rtcp = client(inside, false, n, 20001);
    request->destination.rtp = client(!inside, false, n, 30000);
    request->destination.rtcp = client(!inside, false, n, 30001);
    request->suite = suite_get((enum suite_id)(n % SUITE_COUNT));
    request->key.kind = SRTP_KEY_MASTER;
    request->key.lifetime = SRTP_LIFETIME_MAX;
    request->key.length = suite_material_octets(request->suite);
    for (size_t i = 0; i < request->key.length; i++)
        request->key.octets[i] = (uint8_t)(1 + n * 31 + i * (inside ? 3 : 5));
    request->ssrc[0] = (inside ? 0x10000000 : 0x20000000) + n;
    snprintf(request->call_id, sizeof(request->call_id), "call-%u@example.net", n);
}

uint64_t pair_admit(struct pair *pair, unsigned site, const struct admit_request *request)
{
    struct admit_error error;
    struct sa *sa = NULL;
    int result =
        admit(pair->site[site].inner, request, WALL_US + pair->now_us, pair->now_us, &sa, &error);

    ck_assert_msg(result == 0, "%s: %s", error.field ? error.field : "", error.text);
    return sa->id;
}

struct pair_sender *pair_sender_new(struct pair *pair, unsigned site,
                                    const struct admit_request *request)
{
    struct pair_sender *sender = calloc(1, sizeof(*sender));

    ck_assert_ptr_nonnull(sender);
    sender->pair = pair;
    sender->site = site;
    sender->side = request->side;
    sender->request = *request;
    sender->id = pair_admit(pair, site, request);
    if (request->assign_ssrc)
        sender->request.ssrc[0] = inner_find_sa(pair->site[site].inner, sender->id)->stream[0].ssrc;
    sender->protect = protect_new(request->suite, request->key.octets, sender->request.ssrc[0]);
    ck_assert_ptr_nonnull(sender->protect);
    sender->index = 100;
    sender->listener = request->source.rtp.family == 6;
    return sender;
}

void pair_sender_free(struct pair_sender *sender)
{
    protect_free(sender->protect);
    free(sender);
}

void pair_datagram(struct pair *pair, enum sa_side side, unsigned site, unsigned listener,
                   bool rtcp_port, const struct addr *source, const uint8_t *data, size_t length)
{
    /* Of the exact length, so that ASan and valgrind see every octet too far. */
    uint8_t *copy = malloc(length ? length : 1);
    struct udp_packet packet = {.data = copy, .length = length, .source = *source};

    ck_assert_ptr_nonnull(copy);
    if (length > 0)
        memcpy(copy, data, length);
    if (side == SA_SIDE_EXTERNAL)
        inbound_packets(pair->dmz, listener, rtcp_port, &packet, 1, pair->now_us);
    else
        outbound_packets(pair->site[site].inner, listener, rtcp_port, &packet, 1, pair->now_us);
    /* As the event loop does. */
    out_flush(side == SA_SIDE_EXTERNAL ? &pair->out : &pair->site[site].out);
    free(copy);
}

void pair_make_rtp(struct pair_sender *sender)
{
    uint8_t payload[160];

    for (size_t i = 0; i < sizeof(payload); i++)
        payload[i] = (uint8_t)(sender->index * 7 + i);
    sender->length =
        protect_make_rtp(sender->packet, sizeof(sender->packet), 8, (uint16_t)sender->index,
                         sender->timestamp, sender->request.ssrc[0], payload, sizeof(payload));
    sender->length = protect_rtp(sender->protect, sender->index, sender->packet, sender->length,
                                 sizeof(sender->packet));
    ck_assert_uint_gt(sender->length, 172);
    sender->index++;
    sender->timestamp += 160;
}

void pair_send_rtp(struct pair_sender *sender)
{
    pair_make_rtp(sender);
    pair_datagram(sender->pair, sender->side, sender->site, sender->listener, false,
                  &sender->request.source.rtp, sender->packet, sender->length);
}

/* A receiver report without blocks: what every client sends. */
void pair_make_rtcp(struct pair_sender *sender)
{
    struct writer w;

    writer_init(&w, sender->packet, sizeof(sender->packet));
    writer_u32(&w, 0x80c90001);
    writer_u32(&w, sender->request.ssrc[0]);
    sender->length =
        protect_rtcp(sender->protect, sender->packet, writer_length(&w), sizeof(sender->packet));
    ck_assert_uint_gt(sender->length, 8);
}

void pair_send_rtcp(struct pair_sender *sender)
{
    const struct sa_transport *source = &sender->request.source;

    pair_make_rtcp(sender);
    pair_datagram(sender->pair, sender->side, sender->site, sender->listener, !source->mux,
                  source->mux ? &source->rtp : &source->rtcp, sender->packet, sender->length);
}

struct pair_out *pair_receiver(struct pair_sender *sender)
{
    enum sa_side to_side =
        sender->request.to_side ? sender->request.to_side : sa_other_side(sender->side);

    return to_side == SA_SIDE_INTERNAL ? &sender->pair->site[sender->site].out : &sender->pair->out;
}

void pair_expect_received(struct pair_sender *sender, bool rtcp)
{
    const struct pair_out *out = pair_receiver(sender);
    const struct sa_transport *to = &sender->request.destination;
    const struct pair_packet *packet;
    char text[ADDR_TEXT_SIZE];

    ck_assert_msg(out->count > 0, "nothing arrived of SA %u", (unsigned)sender->id);
    packet = &out->sent[out->count - 1];
    ck_assert_uint_eq(packet->length, sender->length);
    ck_assert_mem_eq(packet->data, sender->packet, sender->length);
    ck_assert_msg(addr_equal(&packet->to, rtcp && !to->mux ? &to->rtcp : &to->rtp), "went to %s",
                  addr_format(&packet->to, text, sizeof(text)));
    ck_assert_int_eq(packet->rtcp_port, rtcp && !to->mux);
    ck_assert_uint_eq(packet->listener, to->rtp.family == 6);
}

static void expect_one(struct pair_sender *sender, bool rtcp)
{
    struct pair_out *out = pair_receiver(sender);
    size_t before = out->count;

    if (rtcp)
        pair_send_rtcp(sender);
    else
        pair_send_rtp(sender);
    for (unsigned i = 0; i < 100 && out->count == before; i++)
        pair_run(sender->pair, PAIR_MS);
    ck_assert_uint_eq(out->count, before + 1);
    pair_expect_received(sender, rtcp);
}

void pair_expect_one_way(struct pair_sender *sender)
{
    expect_one(sender, false);
    expect_one(sender, true);
}

void pair_expect_call(struct pair_sender *a, struct pair_sender *b)
{
    pair_expect_one_way(a);
    pair_expect_one_way(b);
}
