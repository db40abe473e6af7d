#define LOG_MODULE "tunnel"
#include "common/tunnel/conn.h"

#include <ev.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/protocol.h"
#include "common/base/random.h"
#include "common/carrier/segment.h"
#include "common/tunnel/holdback.h"
#include "common/tunnel/rawreader.h"
#include "common/tunnel/sealed.h"
#include "common/tunnel/takeover.h"
#include "common/tunnel/tcp.h"
#include "common/tunnel/turn.h"

enum {
    /* What each direction of a connection has of a turn that others have used up before it. */
    SHARE_US = 150,
    REASON_SIZE = 256,
    /* Of sealed frames that are not TCP segments: HTTP is around them, or a segment is as large. */
    SEALED_SEGMENT_OCTETS = 8 * 1024,
    /* How often the kernel is asked how much a segment takes. */
    SEGMENT_INTERVAL_US = 100 * 1000,
    /* While the connection is taken over: how often what is waited for is looked at, */
    TAKE_STEP_US = 5 * 1000,
    /* how often the other side is told, and how long we wait for what must be there already. */
    TAKE_AGAIN_US = 50 * 1000,
    TAKE_PATIENCE_US = 500 * 1000,
    /* A raw socket's acknowledgements need not be more exact than this. */
    RAW_LEAST_US = 1000,
    /* How soon bulk that had to stand back is tried again. */
    BULK_RETRY_US = 5000,
};

struct conn {
    struct ev_loop *loop;
    ev_io io;
    ev_io out_io; /* of out_fd, where that is another socket than fd */
    ev_timer timer;
    uint64_t armed_us; /* when the timer fires */
    ev_timer more;     /* fires in the next turn of the loop */
    uint64_t started_us;
    int fd, out_fd; /* read, and written */
    enum httpproxy_way way;
    unsigned refused; /* by the kernel: bit n is enum tcp_option n */
    struct addr peer;
    struct tls *tls;
    struct tls_context *recheck; /* new since the handshake began; NULL: none is */
    struct session *session;     /* NULL until TLS is up */
    const struct conn_hooks *hooks;
    void *ctx;
    struct ev_loop *next_loop; /* it is to be moved there; NULL: it stays */

    bool busy; /* inside a hook or on the way to one: nothing may be freed now */
    bool failed;
    char reason[REASON_SIZE];

    uint8_t output[RECORD_MAX_OCTETS]; /* immutable from tls_write's first refusal to its success */
    size_t output_length, output_sent;
    struct sealed *sealed;    /* NULL: what comes is TLS's */
    bool seals;               /* what goes is sealed, too */
    struct rawreader *reader; /* NULL: frames are read in the kernel's order alone */
    bool reads_early;
    bool left; /* the socket is somebody else's */
    struct rawreader_client client;
    struct takeover *takeover; /* NULL: nothing of that kind was asked for */
    bool raw;                  /* the kernel has nothing to do with it any more */
    ev_timer raw_timer;
    uint64_t take_us; /* when the last step of it was made */
    uint64_t segment_asked_us;
    bool write_blocked;
    bool write_more;     /* the session has more, but the turn was over */
    unsigned read_turn;  /* of the loop, in which was read last */
    unsigned flush_turn; /* of the loop, in which the flush began */
    uint64_t flush_began_us;
    bool read_more;       /* something may lie decrypted already, and the socket would not tell */
    struct tcp_path path; /* of out_fd */
    struct holdback holdback;
};

static void fail(struct conn *conn, const char *reason)
{
    if (!conn->failed)
        snprintf(conn->reason, sizeof(conn->reason), "%s", reason);
    conn->failed = true;
}

static void stop_early(struct conn *conn)
{
    if (conn->reads_early)
        rawreader_remove(conn->reader, &conn->client);
    if (conn->reads_early && conn->session)
        session_set_early(conn->session, false, 0);
    conn->reads_early = false;
}

/* One that was taken over says goodbye by itself. */
static void end_carrier(struct conn *conn)
{
    if (conn->raw) {
        takeover_leave(conn->takeover, conn->sealed, conn->reason, clock_now_us());
        return;
    }
    takeover_free(conn->takeover);
    sealed_free(conn->sealed);
    close(conn->fd);
}

static void destroy(struct conn *conn)
{
    stop_early(conn);
    ev_io_stop(conn->loop, &conn->io);
    ev_io_stop(conn->loop, &conn->out_io);
    ev_timer_stop(conn->loop, &conn->timer);
    ev_timer_stop(conn->loop, &conn->more);
    ev_timer_stop(conn->loop, &conn->raw_timer);
    conn->hooks->closed(conn->ctx, conn, conn->reason);
    if (conn->tls && conn->session && !conn->sealed)
        tls_close(conn->tls);
    end_carrier(conn);
    tls_free(conn->tls);
    session_free(conn->session);
    if (conn->out_fd != conn->fd)
        close(conn->out_fd);
    wipe(conn->output, sizeof(conn->output)); /* it may hold an SA-PUT, with its key */
    free(conn);
}

static void start_early(struct conn *conn);
static void set_raw_timer(struct conn *conn, uint64_t wait_us);
static void start_more(struct conn *conn);
static void set_timer(struct conn *conn);

static void move(struct conn *conn)
{
    bool writes = ev_is_active(&conn->out_io), steps = ev_is_active(&conn->raw_timer);

    stop_early(conn);
    ev_timer_stop(conn->loop, &conn->raw_timer);
    ev_io_stop(conn->loop, &conn->io);
    ev_io_stop(conn->loop, &conn->out_io);
    ev_timer_stop(conn->loop, &conn->timer);
    ev_timer_stop(conn->loop, &conn->more);
    conn->loop = conn->next_loop;
    conn->next_loop = NULL;
    conn->read_turn = conn->flush_turn = ev_iteration(conn->loop) - 1;
    start_early(conn);
    if (steps)
        set_raw_timer(conn, TAKE_STEP_US);
    ev_io_start(conn->loop, &conn->io);
    if (writes)
        ev_io_start(conn->loop, &conn->out_io);
    set_timer(conn);
    start_more(conn);
}

/* Every way out of the event loop's callbacks and of the public functions ends here. */
static void leave(struct conn *conn)
{
    conn->busy = false;
    if (conn->failed)
        destroy(conn);
    else if (conn->next_loop)
        move(conn);
}

static void watch(struct conn *conn, ev_io *io, int fd, int events)
{
    if (conn->left || ((io->events & (EV_READ | EV_WRITE)) == events && ev_is_active(io)))
        return;
    ev_io_stop(conn->loop, io);
    if (events == 0)
        return;
    ev_io_set(io, fd, events);
    ev_io_start(conn->loop, io);
}

static void want(struct conn *conn, int events)
{
    if (conn->out_fd == conn->fd) {
        watch(conn, &conn->io, conn->fd, events);
        return;
    }
    watch(conn, &conn->io, conn->fd, events & EV_READ);
    watch(conn, &conn->out_io, conn->out_fd, events & EV_WRITE);
}

/* Has what began then to leave the rest for the next turn? */
static bool share_is_used(struct conn *conn, uint64_t began_us)
{
    return turn_is_over(conn->loop) && clock_now_us() - began_us >= SHARE_US;
}

/* ------------------------------------------------------------ writing */

/* Nothing waits in a raw socket. */
static bool set_raw_path(struct conn *conn, uint64_t now_us)
{
    static const struct session_path path = {.room = SIZE_MAX};

    session_set_path(conn->session, &path, now_us);
    return true;
}

/* False: the kernel holds as much as it should, and the socket is not writable before it is less.
 */
static bool ask_path(struct conn *conn, uint64_t now_us)
{
    struct session_path path;

    if (conn->raw)
        return set_raw_path(conn, now_us);
    if (!tcp_path_is_open(&conn->path, conn->out_fd, now_us)) {
        conn->write_blocked = true;
        return false;
    }
    path.held = conn->path.held;
    path.room = tcp_path_room(&conn->path);
    path.ns_per_octet = conn->path.ns_per_octet;
    path.behind_us = conn->path.behind_us;
    path.spare_us = conn->path.spare_us;
    path.rtt_us = conn->path.rtt_us;
    path.long_queue = conn->path.long_queue;
    path.lost = conn->path.lost;
    session_set_path(conn->session, &path, now_us);
    return true;
}

/* False when the socket takes no more for now, or the connection failed. */
static bool was_written(struct conn *conn, enum tls_result result)
{
    if (result == TLS_SUCCESS)
        return true;
    if (result == TLS_FAILED || result == TLS_CLOSED)
        fail(conn, result == TLS_FAILED ? tls_error(conn->tls) : "closed by the other side");
    else
        conn->write_blocked = true;
    return false;
}

/* Only what was left out counts: not what has to wait, or is too long. */
static int send_segment(struct conn *conn, const struct iovec *segment, uint64_t now_us)
{
    int result;

    if (session_wants_hole(conn->session)) {
        result = takeover_leave_out(conn->takeover, segment->iov_len, now_us);
        if (result == 0)
            session_left_hole(conn->session);
        if (result != ERR_TOO_LONG)
            return result;
    }
    return takeover_send(conn->takeover, segment->iov_base, segment->iov_len, now_us);
}

/* False: the rest has to wait, and the timer will go on. */
static bool write_raw(struct conn *conn)
{
    struct iovec segments[SEALED_SEGMENTS_MAX];
    size_t count = sealed_segments(conn->sealed, segments), sent = 0;
    uint64_t now_us = clock_now_us();

    for (size_t i = 0; i < count && !conn->write_blocked; i++) {
        conn->write_blocked = send_segment(conn, &segments[i], now_us) < 0;
        sent += conn->write_blocked ? 0 : segments[i].iov_len;
    }
    sealed_sent(conn->sealed, sent);
    return !conn->write_blocked;
}

static bool write_sealed(struct conn *conn)
{
    struct iovec segments[SEALED_SEGMENTS_MAX];
    size_t count, octets;

    if (conn->raw)
        return write_raw(conn);

    while ((count = sealed_segments(conn->sealed, segments)) > 0) {
        if (!was_written(conn, tls_raw_write(conn->tls, segments, count, &octets)))
            return false;
        sealed_sent(conn->sealed, octets);
    }
    return true;
}

static bool write_output(struct conn *conn)
{
    if (conn->seals)
        return write_sealed(conn);
    while (conn->output_sent < conn->output_length) {
        size_t count = 0;

        if (!was_written(conn, tls_write(conn->tls, conn->output + conn->output_sent,
                                         conn->output_length - conn->output_sent, &count)))
            return false;
        conn->output_sent += count;
    }
    if (conn->output_length > 0 && session_output_has_keys(conn->session))
        wipe(conn->output, conn->output_length);
    conn->output_length = conn->output_sent = 0;
    return true;
}

/* So many octets of frames go into a segment. */
static void set_room(struct conn *conn, size_t octets)
{
    size_t over = SEAL_OVER_OCTETS + FRAME_TWIN_OCTETS;

    sealed_set_segment(conn->sealed, octets);
    session_set_packet_room(conn->session, octets > over ? octets - over : 0);
}

static void set_segment(struct conn *conn, uint64_t now_us)
{
    int octets = SEALED_SEGMENT_OCTETS;
    socklen_t length = sizeof(octets);

    if (conn->raw || now_us - conn->segment_asked_us < SEGMENT_INTERVAL_US)
        return;
    conn->segment_asked_us = now_us;
    if (conn->out_fd == conn->fd &&
        (getsockopt(conn->out_fd, IPPROTO_TCP, TCP_MAXSEG, &octets, &length) < 0 || octets <= 0))
        return;
    if (octets < SEALED_SEGMENT_OCTETS)
        set_room(conn, (size_t)octets);
    else
        sealed_set_segment(conn->sealed, SEGMENT_MAX_OCTETS);
}

static size_t fill_sealed(struct conn *conn, uint64_t now_us)
{
    int octets;

    set_segment(conn, now_us);
    octets = sealed_fill(conn->sealed, conn->session, now_us);
    if (octets < 0)
        fail(conn, "sealed frames cannot be made any more");
    return octets > 0 ? (size_t)octets : 0;
}

/* How many octets there are to be written now. Nothing may be left of the call before. */
static size_t fill_output(struct conn *conn, uint64_t now_us)
{
    if (conn->seals)
        return fill_sealed(conn, now_us);
    conn->output_length = session_output(conn->session, conn->output, sizeof(conn->output), now_us);
    if (conn->output_length > 0 || !conn->sealed)
        return conn->output_length;
    session_output_is_sent(conn->session);
    conn->seals = session_wire(conn->session) == SESSION_SEALED;
    return conn->seals ? fill_sealed(conn, now_us) : 0;
}

/* Not ev_feed_event(): libev would call back at once, before it looks at any other socket. */
static void start_more_after(struct conn *conn, uint64_t wait_us)
{
    if (conn->left)
        return;
    /* The shorter one counts. */
    if (ev_is_active(&conn->more)) {
        if (ev_timer_remaining(conn->loop, &conn->more) <= (double)wait_us / 1e6)
            return;
        ev_timer_stop(conn->loop, &conn->more);
    }
    ev_timer_set(&conn->more, (double)wait_us / 1e6, 0.);
    ev_timer_start(conn->loop, &conn->more);
}

static void start_more(struct conn *conn)
{
    start_more_after(conn, 0);
}

/* For a frame that is missing, if it does not come. */
static void wait_to_ask(struct conn *conn)
{
    uint64_t wait_us = conn->sealed ? sealed_wait_us(conn->sealed, clock_now_us()) : UINT64_MAX;

    if (wait_us != UINT64_MAX && !conn->write_blocked)
        start_more_after(conn, wait_us);
}

static void wait_for_more(struct conn *conn)
{
    bool congested = conn->write_blocked && session_congested(conn->session);

    if (conn->raw) {
        want(conn, 0);
        if (conn->write_more || conn->read_more)
            start_more(conn);
        conn->read_more = false;
        return;
    }
    want(conn,
         (congested ? 0 : EV_READ) | (conn->write_blocked || conn->write_more ? EV_WRITE : 0));
    if (conn->read_more && !congested) {
        conn->read_more = false;
        start_more(conn);
    }
    if (session_bulk_is_held(conn->session))
        start_more_after(conn, BULK_RETRY_US);
    wait_to_ask(conn);
}

/*
 * The other side reads each segment as it comes, and one that is lost holds up no other one. But
 * after a loss the kernel sends one for each that has arrived, be it full or not.
 */
static bool is_sent_at_once(struct conn *conn)
{
    bool early = conn->seals && conn_is_direct(conn) &&
                 session_peer(conn->session)->features & FEATURE_EARLY;

    return early && !tcp_path_holds(&conn->path, conn->out_fd);
}

/* True: what waits does so for a moment still, and the timer goes on. */
static bool is_held_back(struct conn *conn, uint64_t now_us)
{
    struct holdback_state state = {.lost_us = conn->path.lost_us};
    uint64_t wait_us;

    if (conn->raw || conn->write_blocked || conn->write_more || conn->read_more ||
        !session_media_waits(conn->session, &state.queued_us, &state.octets))
        return false;
    state.sent = session_counters(conn->session)->media_out;
    wait_us = holdback_us(&conn->holdback, &state, now_us);
    /* The kernel is asked last, and only where something would wait. */
    if (wait_us == 0 || is_sent_at_once(conn))
        return false;
    start_more_after(conn, wait_us);
    return true;
}

static void flush(struct conn *conn)
{
    uint64_t now_us = clock_now_us();
    size_t count;

    if (!conn->session || conn->left || is_held_back(conn, now_us))
        return;
    conn->write_blocked = conn->write_more = false;
    /* Each batch of media flushes: all of them in one turn share what one has. */
    if (conn->flush_turn != ev_iteration(conn->loop)) {
        conn->flush_turn = ev_iteration(conn->loop);
        conn->flush_began_us = now_us;
    }
    while (write_output(conn)) {
        if (share_is_used(conn, conn->flush_began_us)) {
            conn->write_more = true;
            break;
        }
        if (!ask_path(conn, now_us))
            break;
        count = fill_output(conn, now_us);
        if (count == 0)
            break;
        if (conn->seals)
            tcp_path_wrote_segments(&conn->path, count, sealed_segment_count(conn->sealed));
        else
            tcp_path_wrote(&conn->path, count);
    }
    if (conn->raw)
        takeover_flush(conn->takeover, clock_now_us());
    if (conn->failed)
        return;
    if (session_state(conn->session) == SESSION_ENDED)
        fail(conn, session_reason(conn->session));
    else
        wait_for_more(conn);
}

void conn_flush(struct conn *conn)
{
    /* Inside a hook the flush follows by itself. */
    if (conn->busy)
        return;
    conn->busy = true;
    if (!conn->write_blocked)
        flush(conn);
    leave(conn);
}

void conn_flush_soon(struct conn *conn)
{
    if (conn->session)
        start_more(conn);
}

/* ------------------------------------------------------------ reading */

static void take(struct conn *conn, size_t count);

static struct addr local_name(int fd)
{
    struct sockaddr_storage name = {0};
    socklen_t length = sizeof(name);

    (void)getsockname(fd, (struct sockaddr *)&name, &length);
    return addr_from_sockaddr((struct sockaddr *)&name);
}

/* No two that seal frames have the same keys. */
static const char LABEL_SEALED[] = "EXPORTER-media-relay-sealed";
static const char LABEL_LEFT[] = "EXPORTER-media-relay-meet";

/* The secret of one direction; 0: from the inner-relay. */
static bool export_secret(struct conn *conn, const char *label, uint8_t direction,
                          uint8_t secret[SEAL_SECRET_OCTETS])
{
    uint8_t context[] = {direction, session_number(conn->session)};

    return tls_export(conn->tls, label, context, sizeof(context), secret, SEAL_SECRET_OCTETS);
}

/* One that ends the session is genuine all the same. */
static enum sealed_kind open_segment(struct conn *conn, struct segment *segment)
{
    if (sealed_segment(conn->sealed, conn->session, segment->sequence,
                       (uint8_t *)(uintptr_t)segment->data, segment->length, clock_now_us()) < 0)
        fail(conn, session_reason(conn->session));
    return sealed_kind(conn->sealed);
}

static void on_segment(void *ctx, struct segment *segment)
{
    struct conn *conn = ctx;
    enum sealed_kind kind = SEALED_NOTHING;

    conn->busy = true;
    /* The kernel's order has it, too, as long as there is one. */
    if (conn->failed || (!conn->raw && session_congested(conn->session)))
        return;
    while (session_pending(conn->session) && !conn->failed)
        take(conn, 0);
    if (!conn->failed && segment->length > 0)
        kind = open_segment(conn, segment);
    if (conn->raw)
        takeover_received(conn->takeover, segment, kind == SEALED_NEW, clock_now_us());
    else if (conn->takeover && kind > SEALED_NOTHING)
        takeover_saw(conn->takeover, segment);
}

static void end_turn(struct conn *conn);
static void read_input(struct conn *conn);

/* What is missing may lie in the kernel's order already: nobody is asked for that. */
static void on_segments_drained(void *ctx)
{
    struct conn *conn = ctx;

    conn->busy = true;
    if (!conn->failed && conn->sealed && sealed_wait_us(conn->sealed, clock_now_us()) == 0)
        read_input(conn);
    end_turn(conn);
}

static const struct rawreader_hooks early_hooks = {on_segment, on_segments_drained, NULL};

/* What comes from now on says which numbers the connection has. */
static void prepare_takeover(struct conn *conn)
{
    struct addr local;

    if (!session_may_be_taken(conn->session) || conn->takeover)
        return;
    local = local_name(conn->fd);
    conn->takeover = takeover_new(conn->reader, conn->fd, &local, &conn->peer);
    if (!conn->takeover) {
        fail(conn, "out of memory");
        return;
    }
    sealed_check_copies(conn->sealed, true);
    set_raw_timer(conn, TAKE_STEP_US);
}

/* Where an HTTP proxy stands in between, segments are the proxy's: it cuts them as it likes. */
static void start_early(struct conn *conn)
{
    if (!conn->sealed || conn->reads_early || !conn->reader || conn->way != HTTPPROXY_DIRECT ||
        conn->next_loop || rawreader_loop(conn->reader) != conn->loop)
        return;
    conn->client = (struct rawreader_client){.peer = conn->peer,
                                             .local_port = local_name(conn->fd).port,
                                             .hooks = &early_hooks,
                                             .ctx = conn};
    rawreader_add(conn->reader, &conn->client);
    session_set_early(conn->session, true, 0);
    conn->reads_early = true;
    prepare_takeover(conn);
}

static void start_sealed(struct conn *conn)
{
    uint8_t secret[2][SEAL_SECRET_OCTETS];
    unsigned out = session_role(conn->session) == SESSION_DMZ;
    struct seal *seal;

    if (export_secret(conn, LABEL_SEALED, 0, secret[0]) &&
        export_secret(conn, LABEL_SEALED, 1, secret[1]) &&
        seal_new(&seal, session_seals(conn->session), tls_key_octets(conn->tls), secret[out],
                 secret[1 - out]) == 0)
        conn->sealed = sealed_new(seal);
    wipe(secret, sizeof(secret));
    if (!conn->sealed)
        fail(conn, "keys for sealed frames cannot be made");
    else
        start_early(conn);
    if (conn->sealed && !session_may_be_taken(conn->session) &&
        session_peer(conn->session)->features & FEATURE_AGAIN)
        sealed_repeats(conn->sealed);
}

static void take(struct conn *conn, size_t count)
{
    if (session_received(conn->session, count, clock_now_us()) < 0)
        fail(conn, session_reason(conn->session));
    else if (!conn->sealed && session_input_is_sealed(conn->session))
        start_sealed(conn);
}

static void take_sealed(struct conn *conn, size_t count)
{
    if (sealed_received(conn->sealed, conn->session, count, clock_now_us()) < 0)
        fail(conn, session_reason(conn->session));
}

static bool is_pending(const struct conn *conn)
{
    return session_pending(conn->session) || (conn->sealed && sealed_pending(conn->sealed));
}

/*
 * What was opened early is in the kernel's order, too. It is not read again; if there is more
 * behind it, the socket says so in the next turn. False: there is nothing of that kind.
 */
static bool discard(struct conn *conn)
{
    size_t skip = conn->reads_early && !tls_raw_ahead(conn->tls) ? sealed_skip(conn->sealed) : 0;
    size_t count = 0;
    enum tls_result result;

    if (skip == 0)
        return false;
    result = tls_raw_discard(conn->tls, skip, &count);
    if (result == TLS_SUCCESS)
        sealed_skipped(conn->sealed, count);
    else if (result != TLS_WANT_INPUT)
        fail(conn, result == TLS_FAILED ? tls_error(conn->tls) : "closed by the other side");
    return true;
}

/* False when there is nothing to read now. */
static bool read_once(struct conn *conn)
{
    size_t size, count = 0;
    uint8_t *space =
        conn->sealed ? sealed_space(conn->sealed, &size) : session_space(conn->session, &size);
    enum tls_result result = conn->sealed ? tls_raw_read(conn->tls, space, size, &count)
                                          : tls_read(conn->tls, space, size, &count);

    if (result == TLS_WANT_INPUT || result == TLS_WANT_OUTPUT)
        return false;
    if (result != TLS_SUCCESS)
        fail(conn, result == TLS_FAILED ? tls_error(conn->tls) : "closed by the other side");
    else if (conn->sealed)
        take_sealed(conn, count);
    else
        take(conn, count);
    return true;
}

static void read_input(struct conn *conn)
{
    uint64_t began_us = clock_now_us();

    /* Socket and timers may have called in one turn: it is one turn all the same. */
    if (conn->read_turn == ev_iteration(conn->loop))
        return;
    conn->read_turn = ev_iteration(conn->loop);
    tls_refresh(conn->tls);
    ev_timer_stop(conn->loop, &conn->more);
    ev_clear_pending(conn->loop, &conn->io);
    do {
        if (session_congested(conn->session))
            break;
        if (session_pending(conn->session))
            take(conn, 0);
        else if (is_pending(conn))
            take_sealed(conn, 0);
        else if (conn->raw)
            return;
        else if (discard(conn) || !read_once(conn))
            return;
        if (tls_drained(conn->tls) && !is_pending(conn))
            return;
        /* In its next loop, which is another thread's, it reads on. */
    } while (!conn->failed && !conn->next_loop && !share_is_used(conn, began_us));
    conn->read_more = true;
}

/* A BYE that explains the failure goes out if the socket takes it at once. */
static void send_last_words(struct conn *conn)
{
    if (!conn->session || conn->left || conn->output_length > 0 || conn->raw ||
        (conn->seals && conn->write_blocked))
        return;
    session_bye(conn->session, conn->reason);
    if (fill_output(conn, clock_now_us()) > 0)
        (void)write_output(conn);
}

/* A deadline that moves away is noticed when the timer fires; one that comes closer, here. */
static void set_timer(struct conn *conn)
{
    uint64_t now_us = clock_now_us();
    uint64_t deadline = session_deadline(conn->session);

    if (conn->left)
        return;
    /* Stopping one that has fired and not been called yet would take its turn away. */
    if ((ev_is_active(&conn->timer) || ev_is_pending(&conn->timer)) && conn->armed_us <= deadline)
        return;
    conn->armed_us = deadline;
    ev_timer_stop(conn->loop, &conn->timer);
    ev_timer_set(&conn->timer, deadline > now_us ? (double)(deadline - now_us) / 1e6 : 0, 0.);
    ev_timer_start(conn->loop, &conn->timer);
}

static void secure(struct conn *conn)
{
    const char *reason = "refused";
    enum tls_result result = tls_handshake(conn->tls);

    if (result == TLS_WANT_INPUT || result == TLS_WANT_OUTPUT) {
        want(conn, result == TLS_WANT_INPUT ? EV_READ : EV_WRITE);
        return;
    }
    if (result != TLS_SUCCESS) {
        fail(conn, result == TLS_FAILED ? tls_error(conn->tls) : "closed by the other side");
        return;
    }
    if (conn->recheck && !tls_recheck(conn->tls, conn->recheck)) {
        fail(conn, tls_error(conn->tls));
        return;
    }
    conn->session = conn->hooks->secured(conn->ctx, conn, tls_peer_name(conn->tls), &reason);
    if (!conn->session) {
        fail(conn, reason);
        return;
    }
    session_set_started(conn->session, conn->started_us);
    ev_timer_stop(conn->loop, &conn->timer);
    read_input(conn);
}

/* ------------------------------------------------------------ from the kernel to a raw socket */

static void set_raw_timer(struct conn *conn, uint64_t wait_us)
{
    ev_timer_stop(conn->loop, &conn->raw_timer);
    ev_timer_set(&conn->raw_timer, (double)wait_us / 1e6, 0.);
    ev_timer_start(conn->loop, &conn->raw_timer);
}

/*
 * The raw socket must have seen whatever was read in the kernel's order, or its numbers are not the
 * newest; and that must have been read as far as it has seen, where the other side says no more.
 */
static bool numbers_are_known(const struct conn *conn, bool all)
{
    uint32_t end, place;

    return takeover_has_seen(conn->takeover, &end) && sealed_place(conn->sealed, &place) &&
           (place == end || (!all && segment_is_after(end, place)));
}

static void prepare_take(struct conn *conn, uint64_t now_us)
{
    const char *refused = NULL;

    if (!numbers_are_known(conn, true) || takeover_note(conn->takeover) < 0) {
        if (now_us - conn->take_us < TAKE_PATIENCE_US)
            return;
        refused = "its segments were not seen by the raw socket";
    }
    if (refused && session_role(conn->session) == SESSION_INNER)
        fail(conn, refused);
    else
        session_take_prepared(conn->session, refused);
}

static void take_over(struct conn *conn, uint64_t now_us)
{
    int result =
        numbers_are_known(conn, false) ? takeover_begin(conn->takeover, now_us) : ERR_AGAIN;

    if (result == ERR_AGAIN)
        return;
    if (result < 0) {
        fail(conn, "the kernel does not let go of the connection");
        return;
    }
    conn->raw = true;
    sealed_is_alone(conn->sealed);
    set_room(conn, takeover_room(conn->takeover));
    session_taken(conn->session);
}

static void take_again(struct conn *conn, uint64_t now_us)
{
    if (now_us - conn->take_us < TAKE_AGAIN_US)
        return;
    conn->take_us = now_us;
    session_take_again(conn->session);
}

static void step_take(struct conn *conn)
{
    uint64_t now_us = clock_now_us();
    enum session_take take;

    do {
        take = session_take(conn->session);
        if (take == SESSION_TAKE_PREPARE)
            prepare_take(conn, now_us);
        else if (take == SESSION_TAKE_OVER)
            take_over(conn, now_us);
        else if (take == SESSION_TAKE_PROVING)
            take_again(conn, now_us);
        else
            conn->take_us = now_us;
    } while (take != session_take(conn->session) && !conn->failed);
    if (take == SESSION_TAKE_NONE || take == SESSION_TAKE_DONE)
        sealed_check_copies(conn->sealed, false);
}

/* When its timer has something to do next. */
static uint64_t raw_wait_us(const struct conn *conn)
{
    uint64_t now_us = clock_now_us(), wake_us;

    if (!conn->raw || conn->write_blocked || session_take(conn->session) != SESSION_TAKE_DONE)
        return TAKE_STEP_US;
    wake_us = takeover_wake_us(conn->takeover);
    return wake_us > now_us + RAW_LEAST_US ? wake_us - now_us : RAW_LEAST_US;
}

static void on_raw_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct conn *conn = timer->data;

    (void)loop;
    (void)events;
    conn->busy = true;
    step_take(conn);
    if (!conn->failed)
        flush(conn);
    if (session_take(conn->session) != SESSION_TAKE_NONE)
        set_raw_timer(conn, raw_wait_us(conn));
    set_timer(conn);
    leave(conn);
}

static void say_drained(const struct conn *conn)
{
    if (conn->hooks->drained)
        conn->hooks->drained(conn->ctx);
}

static void end_turn(struct conn *conn)
{
    if (conn->session) {
        say_drained(conn);
        if (conn->takeover && !conn->failed)
            step_take(conn);
        if (!conn->failed)
            flush(conn);
        set_timer(conn);
    }
    if (conn->failed)
        send_last_words(conn);
    leave(conn);
}

static void on_io(struct ev_loop *loop, ev_io *io, int events)
{
    struct conn *conn = io->data;

    (void)loop;
    conn->busy = true;
    if (!conn->session) {
        secure(conn);
    } else if (events & EV_READ) {
        read_input(conn);
    }
    end_turn(conn);
}

/*
 * After a stall of our own the timer comes before the socket: what lies there is a sign of life all
 * the same.
 */
static void beat(struct conn *conn)
{
    read_input(conn);
    say_drained(conn);
    if (!conn->failed && session_tick(conn->session, clock_now_us()) < 0)
        fail(conn, session_reason(conn->session));
    if (conn->failed)
        return;
    flush(conn);
    set_timer(conn);
}

static void on_out(struct ev_loop *loop, ev_io *io, int events)
{
    struct conn *conn = io->data;

    on_io(loop, &conn->io, events);
}

static void on_more(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct conn *conn = timer->data;

    (void)events;
    on_io(loop, &conn->io, EV_READ);
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct conn *conn = timer->data;

    (void)loop;
    (void)events;
    conn->busy = true;
    if (!conn->session)
        fail(conn, "no TLS handshake within 3 s");
    else
        beat(conn);
    leave(conn);
}

/* ------------------------------------------------------------ life */

/* A socket that was reset meanwhile has forgotten it. */
static struct addr peer_of(const struct transport *transport)
{
    struct sockaddr_storage storage = {0};
    socklen_t length = sizeof(storage);

    if (getpeername(transport->in, (struct sockaddr *)&storage, &length) < 0)
        return transport->peer;
    return addr_from_sockaddr((struct sockaddr *)&storage);
}

struct conn *conn_new(struct ev_loop *loop, int fd, struct tls_context *context,
                      const char *const *names, unsigned dscp, const struct conn_hooks *hooks,
                      void *ctx)
{
    struct transport transport = transport_direct(fd);

    return conn_new_over(loop, &transport, context, names, dscp, hooks, ctx);
}

static void start_watchers(struct conn *conn)
{
    uint64_t spent_us = clock_now_us() - conn->started_us;
    uint64_t left_us = spent_us < HANDSHAKE_TIMEOUT_US ? HANDSHAKE_TIMEOUT_US - spent_us : 0;

    ev_io_init(&conn->io, on_io, conn->fd, EV_READ | EV_WRITE);
    ev_io_init(&conn->out_io, on_out, conn->out_fd, EV_WRITE);
    ev_timer_init(&conn->timer, on_timer, (double)left_us / 1e6, 0.);
    ev_timer_init(&conn->more, on_more, 0., 0.);
    ev_timer_init(&conn->raw_timer, on_raw_timer, 0., 0.);
    conn->raw_timer.data = conn;
    conn->io.data = conn->out_io.data = conn->timer.data = conn->more.data = conn;
    want(conn, EV_READ | EV_WRITE);
    ev_timer_start(conn->loop, &conn->timer);
}

struct conn *conn_new_over(struct ev_loop *loop, const struct transport *transport,
                           struct tls_context *context, const char *const *names, unsigned dscp,
                           const struct conn_hooks *hooks, void *ctx)
{
    struct conn *conn = calloc(1, sizeof(*conn));

    if (conn)
        conn->tls = tls_new_over(context, transport, names);
    if (!conn || !conn->tls) {
        free(conn);
        close(transport->in);
        if (transport->out != transport->in)
            close(transport->out);
        return NULL;
    }
    conn->loop = loop;
    conn->fd = transport->in;
    conn->out_fd = transport->out;
    conn->way = transport->way;
    conn->started_us = transport->started_us ? transport->started_us : clock_now_us();
    conn->peer = peer_of(transport);
    conn->hooks = hooks;
    conn->ctx = ctx;
    conn->refused = tcp_set_options(conn->fd, dscp);
    if (conn->out_fd != conn->fd)
        conn->refused |= tcp_set_options(conn->out_fd, dscp);
    conn->path.bbr = !(conn->refused & 1u << TCP_OPTION_BBR);
    start_watchers(conn);
    return conn;
}

void conn_close(struct conn *conn, const char *reason)
{
    bool outside = !conn->busy;

    conn->busy = true;
    fail(conn, reason);
    if (outside) {
        send_last_words(conn);
        leave(conn);
    }
}

void conn_move(struct conn *conn, struct ev_loop *loop, const struct conn_hooks *hooks, void *ctx)
{
    conn->hooks = hooks;
    conn->ctx = ctx;
    conn->next_loop = loop == conn->loop ? NULL : loop;
}

int conn_leave(struct conn *conn, uint8_t secret[2][CONN_SECRET_OCTETS], size_t *key_octets)
{
    if (conn->busy || conn->failed || !conn->seals || conn->way != HTTPPROXY_DIRECT ||
        !export_secret(conn, LABEL_LEFT, 0, secret[0]) ||
        !export_secret(conn, LABEL_LEFT, 1, secret[1]))
        return ERR_INVALID;
    *key_octets = tls_key_octets(conn->tls);
    stop_early(conn);
    ev_io_stop(conn->loop, &conn->io);
    ev_timer_stop(conn->loop, &conn->timer);
    ev_timer_stop(conn->loop, &conn->more);
    ev_timer_stop(conn->loop, &conn->raw_timer);
    conn->left = true;
    return conn->fd;
}

void conn_recheck(struct conn *conn, struct tls_context *context)
{
    if (!conn->session)
        conn->recheck = context;
    else if (!tls_recheck(conn->tls, context))
        conn_close(conn, "the other side's certificate is no longer good");
}

const struct addr *conn_peer(const struct conn *conn)
{
    return &conn->peer;
}

struct addr conn_local(const struct conn *conn)
{
    return local_name(conn->fd);
}

enum httpproxy_way conn_way(const struct conn *conn)
{
    return conn->way;
}

struct session *conn_session(const struct conn *conn)
{
    return conn->session;
}

bool conn_is_up(const struct conn *conn)
{
    return conn->session && session_state(conn->session) == SESSION_UP;
}

const char *conn_state(const struct conn *conn)
{
    if (!conn->session)
        return "handshake";
    return conn_is_up(conn) ? "up" : "hello";
}

void conn_read_early(struct conn *conn, struct rawreader *reader)
{
    stop_early(conn);
    conn->reader = reader;
    start_early(conn);
}

bool conn_reads_early(const struct conn *conn)
{
    return conn->reads_early;
}

bool conn_is_direct(const struct conn *conn)
{
    return conn->way == HTTPPROXY_DIRECT && conn->fd == conn->out_fd;
}

const struct takeover *conn_taken(const struct conn *conn)
{
    return conn->raw ? conn->takeover : NULL;
}

const struct sealed *conn_sealed(const struct conn *conn)
{
    return conn->sealed;
}

void conn_congestion(const struct conn *conn, char *out, size_t size)
{
    tcp_congestion(conn->out_fd, out, size);
}

unsigned conn_refused(const struct conn *conn)
{
    return conn->refused;
}
