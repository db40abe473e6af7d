/* Both ends of a tunnel over loopback TCP, each in an event loop of its own. */
#include "common/tunnel/conn.h"

#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/protocol.h"
#include "common/carrier/seal.h"
#include "common/tunnel/acceptor.h"
#include "common/tunnel/connector.h"
#include "common/tunnel/frame.h"
#include "common/tunnel/sealed.h"
#include "common/tunnel/tcp.h"
#include "tests/unit/pki.h"
#include "tests/unit/unit.h"

enum { INNER, DMZ, ENDS, PATIENCE_US = 60000000, PAYLOAD = 1000 };

static const char *const dmz_names[] = {"dmz.example", NULL};
static const char *const inner_names[] = {"inner.example", "inner2.example", NULL};

/* ------------------------------------------------------------ certificates */

static char folder[64];
static EVP_PKEY *relay_key;
static struct pki_authority ca;

static void make_pki(void)
{
    long serial;

    snprintf(folder, sizeof(folder), "/tmp/test_conn.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(chdir(folder), 0);
    relay_key = EVP_EC_gen("P-256");
    pki_write_key("relay.key", relay_key, NULL, 0600);
    pki_make_authority(&ca, "test CA", "ca.pem", NULL);
    serial = pki_make_leaf("inner.pem", "DNS:inner.example", "clientAuth", relay_key, &ca, -PKI_DAY,
                           PKI_YEAR);
    pki_make_crl("no-inner.pem", "w", &ca, serial, -PKI_DAY, PKI_DAY);
    serial = pki_make_leaf("dmz.pem", "DNS:dmz.example", "serverAuth", relay_key, &ca, -PKI_DAY,
                           PKI_YEAR);
    pki_make_crl("no-dmz.pem", "w", &ca, serial, -PKI_DAY, PKI_DAY);
    pki_make_crl("empty.pem", "w", &ca, 0, -PKI_DAY, PKI_DAY);
}

static int remove_one(const char *name, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(name);
}

static void remove_pki(void)
{
    pki_free_authority(&ca);
    EVP_PKEY_free(relay_key);
    ck_assert_int_eq(chdir("/"), 0);
    nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static struct tls_context *make_context(int role, const char *crl)
{
    struct tls_files files = {role == INNER ? "inner.pem" : "dmz.pem", "relay.key", "ca.pem", crl};
    struct tls_context *context = NULL;
    char error[512] = "";

    ck_assert_msg(tls_context_new(&context, role == INNER ? TLS_CLIENT : TLS_SERVER, &files, error,
                                  sizeof(error)) == 0,
                  "%s", error);
    return context;
}

/* ------------------------------------------------------------ what stands above a connection */

struct end {
    int role;
    struct ev_loop *loop;
    struct tls_context *context;
    uint64_t max_age_us;

    struct conn *conn;
    struct session *session;
    unsigned secured, up, drained, closed, freed;
    unsigned drained_there;  /* where it was moved to */
    bool refuse;             /* in secured() */
    struct ev_loop *move_to; /* in up() */
    char reason[256];        /* of the last closed() */
    uint64_t closed_us;

    uint32_t changes, changes_sent; /* frames that pull_live has due, and gave */
    uint32_t changes_got;           /* in order, without a gap */
    uint64_t slow_us;               /* that each of them takes */
    uint32_t media_sent, media_got, media_last;
    unsigned dropped;
    struct verdict_counts counts;
};

static struct end ends[ENDS];
static struct seal_store *seals; /* NULL: what the connections carry is not sealed */
static const struct conn_hooks moved_hooks;

static int on_hello(void *ctx, const struct hello *theirs, struct hello *reply,
                    char reason[BYE_REASON_SIZE])
{
    (void)ctx;
    (void)theirs;
    (void)reason;
    if (!reply)
        return 0;
    *reply =
        (struct hello){.features = FEATURE_DELTA | FEATURE_SEALED, .capacity = 10, .quota = 10};
    snprintf(reply->software, sizeof(reply->software), "test");
    return 0;
}

static void on_up(void *ctx, const struct hello *theirs)
{
    struct end *end = ctx;

    (void)theirs;
    end->up++;
    if (end->move_to)
        conn_move(end->conn, end->move_to, &moved_hooks, end);
}

static int on_control(void *ctx, uint8_t type, struct reader *body, uint64_t now_us)
{
    struct end *end = ctx;
    uint64_t began_us = clock_now_us();

    (void)now_us;
    while (clock_now_us() - began_us < end->slow_us)
        ;
    ck_assert_uint_eq(type, FRAME_SA_DELETE);
    ck_assert_uint_eq(reader_u32(body), end->changes_got);
    end->changes_got++;
    return 0;
}

static void on_packet(void *ctx, uint32_t label, const uint8_t *packet, size_t length,
                      uint64_t now_us)
{
    struct end *end = ctx;

    (void)now_us;
    ck_assert_uint_eq(length, PAYLOAD);
    ck_assert_uint_eq(packet[PAYLOAD - 1], (uint8_t)label);
    ck_assert_uint_gt(label, end->media_last);
    end->media_last = label;
    end->media_got++;
}

static void on_media(void *ctx, const struct session_packet *packets, size_t count, uint64_t now_us)
{
    ck_assert(count >= 1 && count <= SESSION_GROUP);
    for (size_t i = 0; i < count; i++)
        on_packet(ctx, packets[i].label, packets[i].data, packets[i].length, now_us);
}

static bool pull_live(void *ctx, uint8_t *type, struct writer *body, uint64_t now_us)
{
    struct end *end = ctx;

    (void)now_us;
    if (end->changes_sent == end->changes)
        return false;
    *type = FRAME_SA_DELETE;
    writer_u32(body, end->changes_sent++);
    return true;
}

static bool pull_bulk(void *ctx, uint8_t *type, struct writer *body, uint64_t now_us)
{
    (void)now_us;
    (void)ctx;
    (void)type;
    (void)body;
    return false;
}

static void on_dropped(void *ctx, const uint32_t *labels, size_t count, enum verdict verdict)
{
    struct end *end = ctx;

    (void)labels;
    (void)verdict;
    end->dropped += (unsigned)count;
}

static void on_freed(void *ctx)
{
    struct end *end = ctx;

    end->freed++;
}

static const struct session_hooks session_hooks = {
    .hello = on_hello,
    .up = on_up,
    .control = on_control,
    .media = on_media,
    .pull_live = pull_live,
    .pull_bulk = pull_bulk,
    .dropped = on_dropped,
    .freed = on_freed,
};

static struct session *on_secured(void *ctx, struct conn *conn, const char *name,
                                  const char **reason)
{
    struct hello hello = {.version_min = 1, .version_max = 1, .epoch = 1};
    struct end *end = ctx;

    if (seals) {
        hello.features = FEATURE_SEALED;
        hello.worker = 3;
    }

    ck_assert_str_eq(name, end->role == INNER ? "dmz.example" : "inner.example");
    if (end->refuse) {
        *reason = "the test refuses it";
        return NULL;
    }
    end->secured++;
    end->conn = conn;
    end->session = session_new(end->role == INNER ? SESSION_INNER : SESSION_DMZ, &session_hooks,
                               end, end->max_age_us, 8 * 1024 * 1024, clock_now_us());
    session_set_seals(end->session, seals);
    if (end->role == INNER)
        session_start(end->session, &hello);
    return end->session;
}

static void on_drained(void *ctx)
{
    struct end *end = ctx;

    end->drained++;
}

static void on_closed(void *ctx, struct conn *conn, const char *reason)
{
    struct end *end = ctx;

    if (conn == end->conn) {
        end->conn = NULL;
        end->session = NULL;
    }
    end->closed++;
    end->closed_us = clock_now_us();
    snprintf(end->reason, sizeof(end->reason), "%s", reason);
}

static const struct conn_hooks conn_hooks = {on_secured, on_drained, on_closed};

static void on_drained_there(void *ctx)
{
    struct end *end = ctx;

    end->drained_there++;
}

static const struct conn_hooks moved_hooks = {on_secured, on_drained_there, on_closed};

/* ------------------------------------------------------------ loops */

static char log_path[128];
static int saved_stderr;

static void setup(void)
{
    int fd;

    snprintf(log_path, sizeof(log_path), "%s/log", folder);
    fd = open(log_path, O_RDWR | O_CREAT | O_TRUNC | O_APPEND, 0600);
    saved_stderr = dup(2);
    ck_assert_int_ge(dup2(fd, 2), 0);
    close(fd);
    log_open("test", LOG_TARGET_STDERR, LOG_LEVEL_WARNING);
    memset(ends, 0, sizeof(ends));
    for (int role = 0; role < ENDS; role++) {
        ends[role].role = role;
        ends[role].max_age_us = 10000000;
        ends[role].loop = ev_loop_new(EVFLAG_AUTO);
        ends[role].context = make_context(role, NULL);
        ck_assert_ptr_nonnull(ends[role].loop);
    }
}

static void setup_sealed(void)
{
    setup();
    ck_assert_int_eq(seal_store_new(&seals), 0);
}

static void teardown(void)
{
    seal_store_free(seals);
    seals = NULL;
    for (int role = 0; role < ENDS; role++) {
        /* Every session was freed, after its connection's end was told. */
        ck_assert_uint_eq(ends[role].secured, ends[role].freed);
        tls_context_free(ends[role].context);
        ev_loop_destroy(ends[role].loop);
    }
    dup2(saved_stderr, 2);
    close(saved_stderr);
}

enum { PUMP_INNER = 1, PUMP_DMZ = 2, PUMP_BOTH = 3, STALL_US = 100000 };

/*
 * A busy machine holds this process up, and its timers with it: since watch(), for stalled_us in
 * all. Upper bounds of time have it added.
 */
static uint64_t stalled_us, pumped_us;

static uint64_t watch(void)
{
    stalled_us = 0;
    pumped_us = clock_now_us();
    return pumped_us;
}

static void note_stall(void)
{
    uint64_t now_us = clock_now_us();

    if (now_us - pumped_us > STALL_US)
        stalled_us += now_us - pumped_us;
    pumped_us = now_us;
}

/* One turn of the loops, and a moment for what comes. */
static void pump(unsigned which)
{
    for (int role = 0; role < ENDS; role++) {
        if (which & 1u << role)
            ev_run(ends[role].loop, EVRUN_NOWAIT);
    }
    poll(NULL, 0, 1);
    note_stall();
}

#define PUMP_UNTIL(which, condition)                                                               \
    for (uint64_t pump_end = clock_now_us() + PATIENCE_US; !(condition);) {                        \
        ck_assert_msg(clock_now_us() < pump_end, "waited for too long: %s", #condition);           \
        pump(which);                                                                               \
    }

static bool is_one_up(const struct end *end)
{
    return end->conn && conn_is_up(end->conn) &&
           (!seals || session_wire(end->session) == SESSION_SEALED);
}

static bool is_up(void)
{
    return is_one_up(&ends[INNER]) && is_one_up(&ends[DMZ]);
}

static unsigned logged(const char *text)
{
    static char all[65536];
    FILE *file = fopen(log_path, "r");
    size_t length = fread(all, 1, sizeof(all) - 1, file);
    unsigned count = 0;

    fclose(file);
    all[length] = '\0';
    for (const char *at = all; (at = strstr(at, text)) != NULL; at++)
        count++;
    return count;
}

/* ------------------------------------------------------------ sockets */

static struct sockaddr_in loopback(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
}

static int listening(uint16_t *port, int backlog)
{
    struct sockaddr_in address = loopback(0);
    socklen_t length = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, length), 0);
    ck_assert_int_eq(listen(fd, backlog), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    *port = ntohs(address.sin_port);
    return fd;
}

/* A port where nobody listens. */
static uint16_t free_port(void)
{
    uint16_t port;

    close(listening(&port, 1));
    return port;
}

static int connect_to(uint16_t port)
{
    struct sockaddr_in address = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    ck_assert_int_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

/* Has the other side closed it? What came before is thrown away. */
static bool is_closed(int fd)
{
    char buffer[4096];
    ssize_t count;

    while ((count = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT)) > 0)
        ;
    return count == 0 || (count < 0 && errno == ECONNRESET);
}

static void make_small(int fd)
{
    int size = 16384;

    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
}

/* Both ends of one connection, with buffers that are soon full. */
static void pair_open(void)
{
    uint16_t port;
    int listener = listening(&port, 1), fd[ENDS];

    make_small(listener);
    fd[INNER] = connect_to(port);
    make_small(fd[INNER]);
    fd[DMZ] = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    ck_assert_int_ge(fd[DMZ], 0);
    close(listener);
    for (int role = 0; role < ENDS; role++)
        ends[role].conn =
            conn_new(ends[role].loop, fd[role], ends[role].context,
                     role == INNER ? dmz_names : inner_names, 0, &conn_hooks, &ends[role]);
    ck_assert_str_eq(conn_state(ends[INNER].conn), "handshake");
    PUMP_UNTIL(PUMP_BOTH, is_up());
}

static void pair_close(void)
{
    for (int role = 0; role < ENDS; role++) {
        if (ends[role].conn)
            conn_close(ends[role].conn, "the test is over");
    }
}

/* ------------------------------------------------------------ two connections */

START_TEST(test_comes_up)
{
    char congestion[16];

    pair_open();
    ck_assert_uint_eq(ends[INNER].up, 1);
    ck_assert_uint_eq(ends[DMZ].up, 1);
    ck_assert_str_eq(conn_state(ends[DMZ].conn), "up");
    ck_assert_uint_ge(ends[INNER].drained, 1);
    ck_assert_uint_eq(conn_peer(ends[INNER].conn)->family, 4);
    conn_congestion(ends[INNER].conn, congestion, sizeof(congestion));
    ck_assert_str_ne(congestion, "");
    ck_assert_str_ne(congestion, "unknown");
    ck_assert(conn_refused(ends[INNER].conn) & 1u << TCP_OPTION_BBR
                  ? strcmp(congestion, "bbr") != 0
                  : strcmp(congestion, "bbr") == 0);
    conn_close(ends[INNER].conn, "words of the inner one");
    ck_assert_uint_eq(ends[INNER].closed, 1);
    PUMP_UNTIL(PUMP_BOTH, ends[DMZ].closed == 1);
    ck_assert_msg(strstr(ends[DMZ].reason, "words of the inner one"), "%s", ends[DMZ].reason);
}
END_TEST

/* Longer than any bound of the handshake and of a dead peer. */
START_TEST(test_heartbeat)
{
    uint64_t start_us;

    pair_open();
    start_us = clock_now_us();
    PUMP_UNTIL(PUMP_BOTH, clock_now_us() - start_us > HANDSHAKE_TIMEOUT_US + 500000);
    ck_assert(is_up());
    for (int role = 0; role < ENDS; role++) {
        ck_assert_uint_gt(session_rtt_us(ends[role].session), 0);
        ck_assert_uint_ge(session_counters(ends[role].session)->frames_in, 6);
    }
    pair_close();
}
END_TEST

/* The kernel of the other side still acknowledges: only the heartbeat tells. */
START_TEST(test_dead_peer)
{
    struct end *alive = &ends[_i];
    uint64_t start_us;

    pair_open();
    pump(PUMP_BOTH);
    start_us = watch();
    PUMP_UNTIL(1u << _i, alive->closed);
    ck_assert_uint_ge(alive->closed_us - start_us, DEAD_PEER_US - PING_INTERVAL_US);
    ck_assert_uint_le(alive->closed_us - start_us, DEAD_PEER_US + 1000000 + stalled_us);
    ck_assert_msg(strstr(alive->reason, "nothing was heard"), "%s", alive->reason);
    PUMP_UNTIL(PUMP_BOTH, ends[1 - _i].closed);
}
END_TEST

START_TEST(test_frame_that_may_not_come)
{
    static const uint8_t body[4] = {0};

    pair_open();
    session_control(ends[DMZ].session, FRAME_SA_PUT, body, sizeof(body));
    conn_flush(ends[DMZ].conn);
    PUMP_UNTIL(PUMP_BOTH, ends[INNER].closed && ends[DMZ].closed);
    ck_assert_msg(strstr(ends[INNER].reason, "protocol error"), "%s", ends[INNER].reason);
}
END_TEST

/* ------------------------------------------------------------ many frames, a slow reader */

static void send_media(unsigned count)
{
    uint8_t packet[PAYLOAD] = {0x80};
    struct end *inner = &ends[INNER];

    for (unsigned i = 0; i < count; i++) {
        uint32_t label = ++inner->media_sent;

        packet[PAYLOAD - 1] = (uint8_t)label;
        inner->counts.received++;
        session_media(inner->session, label, packet, sizeof(packet), &inner->counts,
                      clock_now_us());
    }
    conn_flush(inner->conn);
}

static const struct {
    uint64_t max_age_us;
    bool loses;
} readers[] = {{10000000, false}, {20000, true}};

/*
 * The reader pauses, the socket fills, and what was due meanwhile comes in the
 * order of before: control frames all of them, media but for what was too old.
 */
START_TEST(test_slow_reader)
{
    struct end *inner = &ends[INNER], *dmz = &ends[DMZ];
    unsigned blocked = 0;

    inner->max_age_us = readers[_i].max_age_us;
    pair_open();
    for (unsigned round = 0; round < 8; round++) {
        uint64_t start_us = clock_now_us();

        PUMP_UNTIL(PUMP_INNER, clock_now_us() - start_us > 60000 ||
                                   (inner->changes += 10, send_media(20), false));
        blocked += session_queued(inner->session) > 0;
        start_us = clock_now_us();
        PUMP_UNTIL(PUMP_BOTH, clock_now_us() - start_us > 20000);
    }
    ck_assert_uint_ge(blocked, 4);
    PUMP_UNTIL(PUMP_BOTH, inner->counts.queued == 0 && dmz->changes_got == inner->changes &&
                              dmz->media_got == inner->counts.n[VERDICT_ACCEPTED]);
    ck_assert_uint_eq(inner->counts.received, verdict_sum(&inner->counts));
    ck_assert_uint_eq(inner->counts.received, inner->media_sent);
    ck_assert_uint_eq(inner->counts.n[VERDICT_TUNNEL_LATE], inner->dropped);
    ck_assert_uint_eq(session_counters(inner->session)->late, inner->dropped);
    ck_assert_uint_gt(dmz->media_got, 100);
    ck_assert_int_eq(inner->dropped > 0, readers[_i].loses);
    ck_assert_uint_eq(inner->closed + dmz->closed, 0);
    pair_close();
}
END_TEST

/* Frames that take long are taken a few at a time: all other sockets have their turn in between. */
START_TEST(test_slow_frames)
{
    struct end *inner = &ends[INNER], *dmz = &ends[DMZ];

    pair_open();
    dmz->slow_us = 500;
    inner->changes = 300;
    conn_flush(inner->conn);
    PUMP_UNTIL(PUMP_INNER, inner->changes_sent == inner->changes);
    while (dmz->changes_got < inner->changes) {
        uint32_t before = dmz->changes_got;

        pump(PUMP_BOTH);
        ck_assert_uint_le(dmz->changes_got - before, 4);
    }
    ck_assert_uint_eq(inner->closed + dmz->closed, 0);
    pair_close();
}
END_TEST

/* However often it is asked for in one turn. */
START_TEST(test_flush_soon)
{
    struct end *inner = &ends[INNER], *dmz = &ends[DMZ];

    pair_open();
    pump(PUMP_INNER);
    for (unsigned i = 0; i < 10; i++) {
        uint64_t frames = session_counters(inner->session)->frames_out;

        for (unsigned k = 0; k < 3; k++) {
            inner->changes++;
            conn_flush_soon(inner->conn);
        }
        ck_assert_uint_eq(session_counters(inner->session)->frames_out, frames);
        pump(PUMP_INNER);
        ck_assert_uint_eq(inner->changes_sent, inner->changes);
    }
    PUMP_UNTIL(PUMP_BOTH, dmz->changes_got == inner->changes);
    pair_close();
}
END_TEST

/* The timer goes with the connection. */
START_TEST(test_flush_soon_at_any_time)
{
    pair_open();
    conn_flush_soon(ends[INNER].conn);
    pair_close();
    pump(PUMP_BOTH);
    ck_assert_uint_eq(ends[INNER].closed, 1);
}
END_TEST

/* The loop that it came up in has nothing more of it; heartbeat, both ways and the end are there.
 */
START_TEST(test_move)
{
    struct end *inner = &ends[INNER], *dmz = &ends[DMZ];
    struct ev_loop *first = dmz->loop;
    uint64_t start_us;

    dmz->move_to = ev_loop_new(EVFLAG_AUTO);
    ck_assert_ptr_nonnull(dmz->move_to);
    pair_open();
    ck_assert_int_eq(ev_run(first, EVRUN_NOWAIT), 0); /* no watcher is left */
    dmz->loop = dmz->move_to;
    start_us = clock_now_us();
    for (unsigned i = 0; i < 100; i++) {
        inner->changes++;
        conn_flush_soon(inner->conn);
        PUMP_UNTIL(PUMP_BOTH, dmz->changes_got == inner->changes);
        conn_flush_soon(dmz->conn);
    }
    ck_assert_uint_gt(dmz->drained_there, 0);
    PUMP_UNTIL(PUMP_BOTH, clock_now_us() - start_us > DEAD_PEER_US + 500000);
    ck_assert(is_up());
    ck_assert_uint_gt(session_rtt_us(dmz->session), 0);
    conn_close(inner->conn, "the test is over");
    PUMP_UNTIL(PUMP_DMZ, dmz->closed == 1);
    ev_loop_destroy(first);
}
END_TEST

/* What waits when the connection ends is counted: the verdicts add up. */
START_TEST(test_closed_while_blocked)
{
    struct end *inner = &ends[INNER];

    pair_open();
    PUMP_UNTIL(PUMP_INNER, session_queued(inner->session) > 0 || (send_media(20), false));
    conn_close(inner->conn, "in the middle");
    ck_assert_uint_eq(inner->counts.queued, 0);
    ck_assert_uint_gt(inner->counts.n[VERDICT_TUNNEL_DOWN], 0);
    ck_assert_uint_eq(inner->counts.received, verdict_sum(&inner->counts));
    PUMP_UNTIL(PUMP_BOTH, ends[DMZ].closed);
}
END_TEST

/* ------------------------------------------------------------ sealed frames */

START_TEST(test_switches)
{
    struct end *inner = &ends[INNER], *dmz = &ends[DMZ];

    pair_open();
    ck_assert_int_eq(session_wire(inner->session), SESSION_SEALED);
    ck_assert_int_eq(session_wire(dmz->session), SESSION_SEALED);
    send_media(50);
    PUMP_UNTIL(PUMP_BOTH, dmz->media_got == 50);
    ck_assert_uint_ge(sealed_count(conn_sealed(dmz->conn), SEAL_OPENED), 50);
    ck_assert_uint_eq(sealed_count(conn_sealed(dmz->conn), SEAL_FORGED), 0);
    conn_close(dmz->conn, "words of the dmz-relay");
    PUMP_UNTIL(PUMP_BOTH, inner->closed == 1);
    ck_assert_msg(strstr(inner->reason, "words of the dmz-relay"), "%s", inner->reason);
}
END_TEST

/* ------------------------------------------------------------ the acceptor */

static struct acceptor *acceptor;
static uint16_t port;

static void open_acceptor(unsigned max_handshakes)
{
    uint8_t ip[4] = {127, 0, 0, 1};
    struct acceptor_settings settings = {
        .listen = addr_from_ip4(ip, port), .names = inner_names, .max_handshakes = max_handshakes};
    char error[256] = "";

    ck_assert_msg(acceptor_new(&acceptor, ends[DMZ].loop, ends[DMZ].context, &settings, &conn_hooks,
                               &ends[DMZ], error, sizeof(error)) == 0,
                  "%s", error);
}

static void setup_acceptor(void)
{
    setup();
    port = free_port();
    open_acceptor(4);
}

static void setup_acceptor_sealed(void)
{
    setup_acceptor();
    ck_assert_int_eq(seal_store_new(&seals), 0);
}

static void teardown_acceptor(void)
{
    acceptor_free(acceptor, "the test is over");
    acceptor = NULL;
    teardown();
}

/* A client that speaks TLS, and above it what a test wants. */
struct raw {
    int fd;
    struct tls *tls;
};

static void raw_open(struct raw *raw)
{
    raw->fd = connect_to(port);
    raw->tls = tls_new(ends[INNER].context, raw->fd, dmz_names);
    ck_assert_ptr_nonnull(raw->tls);
}

static void raw_shake(struct raw *raw)
{
    enum tls_result result;

    PUMP_UNTIL(PUMP_DMZ, (result = tls_handshake(raw->tls),
                          result != TLS_WANT_INPUT && result != TLS_WANT_OUTPUT));
    ck_assert_int_eq(result, TLS_SUCCESS);
}

static void raw_close(struct raw *raw)
{
    tls_free(raw->tls);
    close(raw->fd);
}

static void check_about_3_s(uint64_t start_us)
{
    uint64_t took_us = clock_now_us() - start_us;

    ck_assert_msg(took_us > HANDSHAKE_TIMEOUT_US - 200000 &&
                      took_us < HANDSHAKE_TIMEOUT_US + 1200000 + stalled_us,
                  "%llu us", (unsigned long long)took_us);
}

START_TEST(test_silence_after_connect)
{
    uint64_t start_us = watch();
    int fd = connect_to(port);

    PUMP_UNTIL(PUMP_DMZ, is_closed(fd));
    check_about_3_s(start_us);
    close(fd);
    ck_assert_uint_eq(ends[DMZ].secured, 0);
    ck_assert_uint_eq(ends[DMZ].closed, 0);
    ck_assert_uint_eq(logged("no TLS handshake within 3 s"), 1);
}
END_TEST

/* However the 3 s are spent: TLS comes late, HELLO never. */
START_TEST(test_silence_after_tls)
{
    uint64_t start_us = watch();
    uint64_t late_us = _i ? 2000000 : 0;
    struct raw raw;

    raw_open(&raw);
    PUMP_UNTIL(PUMP_DMZ, clock_now_us() - start_us >= late_us);
    raw_shake(&raw);
    PUMP_UNTIL(PUMP_DMZ, ends[DMZ].closed);
    check_about_3_s(start_us);
    ck_assert_msg(strstr(ends[DMZ].reason, "no HELLO within 3 s"), "%s", ends[DMZ].reason);
    raw_close(&raw);
}
END_TEST

/* HELLO of a connection that carries media alone, and so many changes behind it. */
static size_t make_hello(uint8_t *octets, size_t size, uint32_t changes)
{
    static const struct hello hello = {.version_min = 1, .version_max = 1, .epoch = 1, .worker = 1};
    struct writer w;
    uint8_t *head;

    writer_init(&w, octets, size);
    head = frame_begin(&w, FRAME_HELLO);
    hello_put(&w, &hello);
    frame_end(&w, head);
    for (uint32_t i = 0; i < changes; i++) {
        head = frame_begin(&w, FRAME_SA_DELETE);
        writer_u32(&w, i);
        frame_end(&w, head);
    }
    ck_assert(!w.failed);
    return writer_length(&w);
}

/* What comes in one record with HELLO is not read in the loop that the connection leaves. */
START_TEST(test_move_with_more)
{
    struct end *dmz = &ends[DMZ];
    struct ev_loop *first = dmz->loop;
    uint8_t octets[4096];
    size_t count, length = make_hello(octets, sizeof(octets), 100);
    struct raw raw;

    dmz->move_to = ev_loop_new(EVFLAG_AUTO);
    ck_assert_ptr_nonnull(dmz->move_to);
    raw_open(&raw);
    raw_shake(&raw);
    ck_assert_int_eq(tls_write(raw.tls, octets, length, &count), TLS_SUCCESS);
    PUMP_UNTIL(PUMP_DMZ, dmz->up);
    acceptor_release(acceptor, dmz->conn);
    for (unsigned i = 0; i < 5; i++)
        pump(PUMP_DMZ);
    ck_assert_uint_eq(dmz->changes_got, 0);
    dmz->loop = dmz->move_to;
    PUMP_UNTIL(PUMP_DMZ, dmz->changes_got == 100);
    raw_close(&raw);
    PUMP_UNTIL(PUMP_DMZ, dmz->closed == 1);
    dmz->loop = first;
    ev_loop_destroy(dmz->move_to);
}
END_TEST

static const struct {
    const char *hex, *reason;
} garbage[] = {
    {"0000", "protocol error"},
    {"ffff", "protocol error"},
    {"000103", "a frame before HELLO"},
    {"000580 00000001", "a frame before HELLO"},
    {"000101", "HELLO cannot be read"},
    {"000501 8001 0004", "HELLO cannot be read"},
    {"000563 00000000", "a frame before HELLO"},
};

START_TEST(test_garbage_after_tls)
{
    uint8_t octets[64];
    size_t count, length = unit_hex(garbage[_i].hex, octets, sizeof(octets));
    struct raw raw;

    raw_open(&raw);
    raw_shake(&raw);
    ck_assert_int_eq(tls_write(raw.tls, octets, length, &count), TLS_SUCCESS);
    PUMP_UNTIL(PUMP_DMZ, ends[DMZ].closed);
    ck_assert_msg(strstr(ends[DMZ].reason, garbage[_i].reason), "%s", ends[DMZ].reason);
    PUMP_UNTIL(PUMP_DMZ, is_closed(raw.fd));
    raw_close(&raw);
}
END_TEST

static const char *const noise[] = {"GET / HTTP/1.0\r\n\r\n", "\x16\x03\x01\x02", "\x80"};

/* Closed at once, or, when it could still become TLS, after 3 s. */
START_TEST(test_garbage_before_tls)
{
    int fd = connect_to(port);

    ck_assert_int_gt(send(fd, noise[_i], strlen(noise[_i]), MSG_NOSIGNAL), 0);
    PUMP_UNTIL(PUMP_DMZ, is_closed(fd));
    close(fd);
    ck_assert_uint_eq(ends[DMZ].secured + ends[DMZ].closed, 0);
    ck_assert_uint_eq(logged("refused"), 1);
}
END_TEST

/* The client goes before or after TLS is up. */
START_TEST(test_cut_short)
{
    struct raw raw;

    raw_open(&raw);
    if (_i > 0)
        raw_shake(&raw);
    raw_close(&raw);
    PUMP_UNTIL(PUMP_DMZ, ends[DMZ].closed || logged("refused"));
    ck_assert_uint_eq(ends[DMZ].closed, ends[DMZ].secured);
}
END_TEST

static struct connector *connector;

static void open_connector(const char *host)
{
    static struct connector_settings settings;

    settings = (struct connector_settings){
        .label = "east", .host = host, .port = port, .name = "dmz.example"};
    connector =
        connector_new(ends[INNER].loop, ends[INNER].context, &settings, &conn_hooks, &ends[INNER]);
    ck_assert_ptr_nonnull(connector);
}

static void close_connector(void)
{
    connector_free(connector, "the test is over");
    connector = NULL;
}

/* What was handed on outlives the acceptor. */
START_TEST(test_release)
{
    open_connector("127.0.0.1");
    PUMP_UNTIL(PUMP_BOTH, is_up());
    conn_move(ends[DMZ].conn, ends[DMZ].loop, &moved_hooks, &ends[DMZ]);
    acceptor_release(acceptor, ends[DMZ].conn);
    acceptor_release(acceptor, ends[DMZ].conn);
    acceptor_free(acceptor, "the acceptor ends");
    acceptor = NULL;
    ends[INNER].changes = 3;
    conn_flush_soon(ends[INNER].conn);
    PUMP_UNTIL(PUMP_BOTH, ends[DMZ].changes_got == 3);
    ck_assert_uint_eq(ends[DMZ].closed, 0);
    close_connector();
    PUMP_UNTIL(PUMP_DMZ, ends[DMZ].closed == 1);
}
END_TEST

START_TEST(test_cap)
{
    int fd[5];
    unsigned closed = 0;

    for (int i = 0; i < 5; i++)
        fd[i] = connect_to(port);
    PUMP_UNTIL(PUMP_DMZ, acceptor_turned_away(acceptor) == 1);
    PUMP_UNTIL(PUMP_DMZ, is_closed(fd[4]));
    for (int i = 0; i < 4; i++)
        closed += is_closed(fd[i]);
    ck_assert_uint_eq(closed, 0);
    /* A place that gets free is free for others. */
    close(fd[0]);
    PUMP_UNTIL(PUMP_DMZ, logged("refused") == 1);
    open_connector("127.0.0.1");
    PUMP_UNTIL(PUMP_BOTH, is_up());
    /* One that is up takes none: there is room for one more, and not for two. */
    fd[0] = connect_to(port);
    pump(PUMP_DMZ);
    close(fd[4]);
    fd[4] = connect_to(port);
    PUMP_UNTIL(PUMP_BOTH, is_closed(fd[4]));
    ck_assert(!is_closed(fd[0]));
    ck_assert(is_up());
    close_connector();
    for (int i = 0; i < 5; i++)
        close(fd[i]);
}
END_TEST

/* Without a word of goodbye: the socket of the other side is gone, but for what it has to read. */
static void reset(int fd)
{
    struct linger linger = {.l_onoff = 1};

    ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
    close(fd);
}

static const char *const before_reset[] = {"", "\x16", "X\r\n\r\n", "GET / HTTP/1.1\r\n\r\n"};

/* Whoever has gone before he was accepted has a name in the log. */
START_TEST(test_reset)
{
    int fd = connect_to(port);
    struct sockaddr_in own;
    socklen_t length = sizeof(own);
    char wanted[128];

    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&own, &length), 0);
    snprintf(wanted, sizeof(wanted), "connection from 127.0.0.1:%u refused: ", ntohs(own.sin_port));
    ck_assert_int_ge(send(fd, before_reset[_i], strlen(before_reset[_i]), 0), 0);
    reset(fd);
    PUMP_UNTIL(PUMP_DMZ, logged("refused") == 1);
    ck_assert_uint_eq(logged(wanted), 1);
}
END_TEST

START_TEST(test_port_in_use)
{
    struct acceptor_settings settings = {.names = inner_names, .max_handshakes = 1};
    uint8_t ip[4] = {127, 0, 0, 1};
    struct acceptor *second = NULL;
    char error[256] = "";

    settings.listen = addr_from_ip4(ip, port);
    ck_assert_int_lt(acceptor_new(&second, ends[DMZ].loop, ends[DMZ].context, &settings,
                                  &conn_hooks, &ends[DMZ], error, sizeof(error)),
                     0);
    ck_assert_msg(strstr(error, "cannot listen on 127.0.0.1:"), "%s", error);
}
END_TEST

/* ------------------------------------------------------------ HTTP at the port */

#define TOKEN "/media-relay/0123456789abcdef0123456789abcdef"
#define GET   "GET " TOKEN " HTTP/1.1\r\n\r\n"
#define POST  "POST " TOKEN " HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
static const struct {
    const char *said[2], *reply, *reason;
} strangers[] = {
    {{"GET / HTTP/1.1\r\n\r\n", NULL}, "HTTP/1.1 404 ", "no inner-relay's"},
    {{"CONNECT dmz:7000 HTTP/1.1\r\n\r\n", NULL}, "HTTP/1.1 404 ", "no inner-relay's"},
    {{"OPTIONS sip:dmz.example SIP/2.0\r\n\r\n", NULL}, "HTTP/1.1 400 ", "neither TLS nor"},
    {{"GET / HTTP/1.1\n\n", NULL}, "HTTP/1.1 400 ", "neither TLS nor"},
    {{"GET / HTTP/1.1\r\n", NULL}, "", "no request of HTTP within 3 s"},
    {{GET, NULL}, "HTTP/1.1 404 ", "the other half"},
    {{POST, NULL}, "HTTP/1.1 404 ", "the other half"},
    {{GET, GET}, "HTTP/1.1 404 ", "its token is taken"},
    {{GET "x", NULL}, "HTTP/1.1 400 ", "something followed"},
    {{POST "8\r\nabcdefgh\r\n", GET}, "HTTP/1.1 200 ", "what the peer sent is not TLS"},
    {{GET, POST "x\r\n"}, "HTTP/1.1 200 ", "refused: what came is not chunked"},
    {{GET, POST "1\r\n\x16xx"}, "HTTP/1.1 200 ", "refused: what came is not chunked"},
};

/* Each gets a plain answer or none, in time, and no way in. */
START_TEST(test_strangers)
{
    uint64_t start_us = watch();
    char reply[2][512] = {"", ""};
    int fd[2] = {-1, -1};
    unsigned count = strangers[_i].said[1] ? 2 : 1;

    for (unsigned i = 0; i < count; i++) {
        fd[i] = connect_to(port);
        ck_assert_int_gt(send(fd[i], strangers[_i].said[i], strlen(strangers[_i].said[i]), 0), 0);
        pump(PUMP_DMZ);
    }
    for (unsigned i = 0; i < count; i++) {
        PUMP_UNTIL(PUMP_DMZ, recv(fd[i], reply[i], sizeof(reply[i]) - 1, MSG_DONTWAIT) >= 0);
        PUMP_UNTIL(PUMP_DMZ, is_closed(fd[i]));
        close(fd[i]);
    }
    ck_assert_uint_lt(clock_now_us() - start_us, HANDSHAKE_TIMEOUT_US + 1200000 + stalled_us);
    ck_assert_msg(strncmp(reply[0], strangers[_i].reply, strlen(strangers[_i].reply)) == 0 ||
                      strncmp(reply[1], strangers[_i].reply, strlen(strangers[_i].reply)) == 0,
                  "%s and %s", reply[0], reply[1]);
    if (strangers[_i].reason)
        ck_assert_uint_ge(logged(strangers[_i].reason), 1);
    ck_assert_uint_eq(ends[DMZ].secured, 0);
    /* Its places are free again. */
    open_connector("127.0.0.1");
    PUMP_UNTIL(PUMP_BOTH, is_up());
    close_connector();
}
END_TEST

/* To a proxy that speaks HTTP/1.0 the way in has no chunks: it ends with the connection. */
START_TEST(test_reply_to_close)
{
    static const char get[] = "GET " TOKEN " HTTP/1.0\r\n\r\n";
    int fd[2] = {connect_to(port), connect_to(port)};
    struct transport transport = {.in = fd[0], .out = fd[1], .chunked_out = true};
    struct raw raw = {.fd = fd[0]};
    char head[512] = "";

    ck_assert_int_gt(send(fd[0], get, sizeof(get) - 1, 0), 0);
    ck_assert_int_gt(send(fd[1], POST, sizeof(POST) - 1, 0), 0);
    PUMP_UNTIL(PUMP_DMZ, recv(fd[0], head, sizeof(head) - 1, MSG_DONTWAIT) > 0);
    ck_assert_msg(strncmp(head, "HTTP/1.1 200 ", 13) == 0 && !strstr(head, "chunked") &&
                      strstr(head, "Connection: close\r\n"),
                  "%s", head);
    raw.tls = tls_new_over(ends[INNER].context, &transport, dmz_names);
    ck_assert_ptr_nonnull(raw.tls);
    raw_shake(&raw);
    PUMP_UNTIL(PUMP_DMZ, ends[DMZ].secured == 1);
    raw_close(&raw);
    close(fd[1]);
    PUMP_UNTIL(PUMP_DMZ, ends[DMZ].closed);
}
END_TEST

static const struct {
    const char *ways, *wanted;
} ways[] = {
    {"upgrade", "upgrade"},
    {"http", "http"},
    {"connect, upgrade, http", "upgrade"},
    {"connect, http", "http"},
};

/* The port is its own proxy, but for CONNECT. What worked once is tried first the next time. */
START_TEST(test_ways)
{
    struct httpproxy proxy = {.host = "127.0.0.1", .port = port};
    struct connector_settings settings = {.label = "east",
                                          .host = "dmz.invalid",
                                          .port = port,
                                          .name = "dmz.example",
                                          .proxy = &proxy};
    unsigned refusals = ways[_i].ways[0] == 'c';

    ck_assert_int_eq(httpproxy_read_ways(&proxy, ways[_i].ways), 0);
    connector =
        connector_new(ends[INNER].loop, ends[INNER].context, &settings, &conn_hooks, &ends[INNER]);
    ck_assert_ptr_nonnull(connector);
    for (unsigned round = 1; round <= 2; round++) {
        uint64_t up_us;

        PUMP_UNTIL(PUMP_BOTH, is_up());
        ck_assert_str_eq(httpproxy_way_name(conn_way(ends[INNER].conn)), ways[_i].wanted);
        ck_assert_str_eq(httpproxy_way_name(conn_way(ends[DMZ].conn)), ways[_i].wanted);
        up_us = clock_now_us();
        /* PINGs go both ways: without them it would be dead by then. */
        PUMP_UNTIL(PUMP_BOTH, clock_now_us() >= up_us + DEAD_PEER_US + TUNNEL_STEADY_US);
        ck_assert(is_up());
        ck_assert_uint_eq(logged("by connect through the proxy"), refusals);
        if (round == 1) {
            conn_close(ends[DMZ].conn, "once more");
            PUMP_UNTIL(PUMP_BOTH, ends[INNER].closed == 1);
        }
    }
    close_connector();
}
END_TEST

/* ------------------------------------------------------------ a proxy that is none */

enum { ASKERS_MAX = 64 };
/* Says one of two things to who asks, once. */
static struct {
    int listener, fds[ASKERS_MAX], said[ASKERS_MAX];
    unsigned count;
    uint16_t port;
} rogue;

#define FORBIDDEN "HTTP/1.1 403 Forbidden\r\n\r\n"
#define OPEN      "HTTP/1.1 200 OK\r\n\r\n"
#define CHUNKED   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
static const struct {
    const char *ways, *says[4]; /* to who asks by the last way, one after the other */
    bool resets;                /* right after the first of them */
    const char *way, *reason;
} rogues[] = {
    {"connect, upgrade, http", {CHUNKED "zz\r\n"}, false, "http", "what came is not chunked"},
    {"connect, upgrade, http", {CHUNKED "3\r\nabcd"}, false, "http", "what came is not chunked"},
    {"connect, upgrade, http", {CHUNKED, "zz\r\n"}, false, "http", "what came is not chunked"},
    {"connect, upgrade, http", {CHUNKED}, true, "http", ""},
    {"connect", {OPEN}, true, "connect", ""},
};

static bool asks_by_last_way(unsigned row, const char *head)
{
    if (!strchr(rogues[row].ways, ','))
        return true;
    return strncmp(head, "GET ", 4) == 0 && !strstr(head, "Upgrade:");
}

static void rogue_answers(unsigned row, unsigned number)
{
    int *said = &rogue.said[number];
    const char *text = FORBIDDEN;
    char head[4096] = "";

    if (*said == 0 && (recv(rogue.fds[number], head, sizeof(head) - 1, MSG_PEEK) <= 0 ||
                       !strstr(head, "\r\n\r\n") || strncmp(head, "POST ", 5) == 0))
        return;
    if (*said > 0 || asks_by_last_way(row, head))
        text = rogues[row].says[*said];
    else
        *said = 2;
    if (*said == 3 || !text)
        return;
    (void)send(rogue.fds[number], text, strlen(text), MSG_NOSIGNAL);
    ++*said;
    if (rogues[row].resets && *said == 1) {
        reset(rogue.fds[number]);
        rogue.fds[number] = -1;
        *said = 3;
    }
}

static bool rogue_turns(unsigned row)
{
    int fd = accept4(rogue.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd >= 0) {
        ck_assert_uint_lt(rogue.count, ASKERS_MAX);
        rogue.said[rogue.count] = 0;
        rogue.fds[rogue.count++] = fd;
    }
    for (unsigned i = 0; i < rogue.count; i++)
        rogue_answers(row, i);
    return true;
}

/* The way has failed: the others are tried again, later and later, and the log says what came. */
START_TEST(test_rogue_proxy)
{
    struct httpproxy proxy = {.host = "127.0.0.1"};
    struct connector_settings settings = {
        .label = "east", .host = "dmz.invalid", .port = 7000, .name = "dmz.example"};
    char wanted[256];

    rogue.count = 0;
    rogue.listener = listening(&rogue.port, 8);
    ck_assert_int_eq(fcntl(rogue.listener, F_SETFL, O_NONBLOCK), 0);
    proxy.port = rogue.port;
    settings.proxy = &proxy;
    ck_assert_int_eq(httpproxy_read_ways(&proxy, rogues[_i].ways), 0);
    connector =
        connector_new(ends[INNER].loop, ends[INNER].context, &settings, &conn_hooks, &ends[INNER]);
    snprintf(wanted, sizeof(wanted), "by %s through the proxy 127.0.0.1:%u ended: %s",
             rogues[_i].way, rogue.port, rogues[_i].reason);
    PUMP_UNTIL(PUMP_INNER, rogue_turns((unsigned)_i) && logged(wanted) >= 3);
    if (strchr(rogues[_i].ways, ','))
        ck_assert_uint_eq(logged("next attempt by http"), 3);
    /* The first time at once. */
    ck_assert_uint_eq(logged("next attempt in "), 2);
    ck_assert_uint_eq(logged("by connect through the proxy"), 3);
    ck_assert_uint_eq(connector_count(connector), 0);
    close_connector();
    for (unsigned i = 0; i < rogue.count; i++) {
        if (rogue.fds[i] >= 0)
            close(rogue.fds[i]);
    }
    close(rogue.listener);
}
END_TEST

/* ------------------------------------------------------------ the connector */

/* At once after a tunnel that was up; one that ends right after it came up is tried less often. */
START_TEST(test_reconnects_at_once)
{
    open_connector(_i ? "localhost" : "127.0.0.1");
    for (unsigned round = 1; round <= 5; round++) {
        uint64_t up_us = clock_now_us();

        PUMP_UNTIL(PUMP_BOTH, is_up());
        ck_assert_str_eq(connector_state(connector), "up");
        ck_assert_uint_eq(connector_count(connector), round);
        if (round == 5)
            break;
        if (round == 2)
            PUMP_UNTIL(PUMP_BOTH, clock_now_us() >= up_us + 2 * TUNNEL_STEADY_US);
        conn_close(ends[DMZ].conn, "once more");
        PUMP_UNTIL(PUMP_BOTH, ends[INNER].closed == round);
        ck_assert_msg(strstr(connector_last_error(connector), "once more"), "%s",
                      connector_last_error(connector));
        if (round <= 2)
            ck_assert_uint_eq(logged("next attempt in 0 ms"), round);
    }
    ck_assert_uint_lt(logged("next attempt in 0 ms"), 4);
    close_connector();
    ck_assert_uint_eq(ends[INNER].closed, 5);
    ck_assert_uint_eq(logged("next attempt"), 4);
}
END_TEST

/* The waits in milliseconds, as they were logged. */
static unsigned waits(unsigned out[], unsigned max)
{
    char line[1024];
    FILE *file = fopen(log_path, "r");
    unsigned count = 0;

    while (fgets(line, sizeof(line), file) && count < max) {
        const char *at = strstr(line, "next attempt in ");

        if (at)
            out[count++] = (unsigned)strtoul(at + strlen("next attempt in "), NULL, 10);
    }
    fclose(file);
    return count;
}

/* Nobody is there, then somebody who refuses, then somebody who does not. */
START_TEST(test_backs_off)
{
    unsigned wait[64], count;
    uint64_t start_us;

    acceptor_free(acceptor, "away");
    acceptor = NULL;
    open_connector("127.0.0.1");
    PUMP_UNTIL(PUMP_BOTH, waits(wait, 64) >= 8);
    ck_assert_msg(strstr(connector_last_error(connector), "cannot connect to 127.0.0.1:"), "%s",
                  connector_last_error(connector));
    ck_assert_str_eq(connector_state(connector), "down");
    ck_assert_ptr_null(connector_conn(connector));
    count = waits(wait, 64);
    ck_assert_uint_eq(wait[0], 0);
    ck_assert_uint_le(wait[1], 200);
    for (unsigned i = 2; i < count; i++)
        ck_assert_uint_le(wait[i], 500);

    open_acceptor(4);
    ends[DMZ].refuse = true;
    PUMP_UNTIL(PUMP_BOTH, waits(wait, 64) >= count + 3);
    ck_assert_msg(strstr(connector_last_error(connector), "ended"), "%s",
                  connector_last_error(connector));
    /* The long cut before does not count. */
    ck_assert_uint_eq(wait[count], 0);
    ck_assert_uint_le(wait[count + 1], 200);
    ck_assert_uint_le(wait[count + 2], 400);
    ends[DMZ].refuse = false;
    start_us = watch();
    PUMP_UNTIL(PUMP_BOTH, is_up());
    ck_assert_uint_lt(clock_now_us() - start_us, 2500000 + stalled_us);
    ck_assert_uint_eq(connector_count(connector), 1);
    close_connector();
}
END_TEST

START_TEST(test_wrong_name)
{
    struct connector_settings settings = {
        .label = "east", .host = "127.0.0.1", .port = port, .name = "other.example"};
    unsigned wait[8];

    connector =
        connector_new(ends[INNER].loop, ends[INNER].context, &settings, &conn_hooks, &ends[INNER]);
    PUMP_UNTIL(PUMP_BOTH, waits(wait, 8) >= 3);
    ck_assert_msg(strstr(connector_last_error(connector), "name"), "%s",
                  connector_last_error(connector));
    ck_assert_uint_eq(ends[INNER].secured, 0);
    ck_assert_uint_eq(connector_count(connector), 0);
    close_connector();
}
END_TEST

START_TEST(test_unknown_host)
{
    open_connector("no-such-host.invalid");
    PUMP_UNTIL(PUMP_BOTH, connector_last_error(connector)[0]);
    ck_assert_msg(strstr(connector_last_error(connector), "cannot resolve no-such-host.invalid"),
                  "%s", connector_last_error(connector));
    close_connector();
}
END_TEST

/* A queue that is full: the kernel leaves SYNs without an answer. */
START_TEST(test_no_answer)
{
    int full, fd[4];
    uint64_t start_us;

    full = listening(&port, 0);
    for (int i = 0; i < 4; i++) {
        struct sockaddr_in address = loopback(port);

        fd[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)connect(fd[i], (struct sockaddr *)&address, sizeof(address));
    }
    start_us = watch();
    open_connector("127.0.0.1");
    PUMP_UNTIL(PUMP_BOTH, connector_last_error(connector)[0]);
    ck_assert_msg(strstr(connector_last_error(connector), "timed out"), "%s",
                  connector_last_error(connector));
    ck_assert_uint_ge(clock_now_us() - start_us, CONNECT_TIMEOUT_US - 200000);
    ck_assert_uint_le(clock_now_us() - start_us, CONNECT_TIMEOUT_US + 1000000 + stalled_us);
    PUMP_UNTIL(PUMP_BOTH, strcmp(connector_state(connector), "connecting") == 0);
    close_connector();
    for (int i = 0; i < 4; i++)
        close(fd[i]);
    close(full);
}
END_TEST

/* While it resolves, connects, shakes hands, says hello, and is up. */
START_TEST(test_freed_at_any_time)
{
    const char *host = _i % 2 ? "localhost" : "127.0.0.1";
    int turns = _i / 2;

    open_connector(host);
    for (int i = 0; i < turns; i++)
        pump(i % 2 ? PUMP_DMZ : PUMP_INNER);
    close_connector();
    ck_assert_uint_eq(ends[INNER].closed, ends[INNER].secured);
    ck_assert_ptr_null(ends[INNER].conn);
    /* The other end goes as well. */
    PUMP_UNTIL(PUMP_DMZ, !ends[DMZ].conn);
    ck_assert_uint_eq(ends[INNER].closed, ends[INNER].secured);
}
END_TEST

/* ------------------------------------------------------------ a new CRL */

static void change_context(int role, const char *crl)
{
    struct tls_context *old = ends[role].context;

    ends[role].context = make_context(role, crl);
    if (role == DMZ)
        acceptor_set_context(acceptor, ends[DMZ].context);
    else
        connector_set_context(connector, ends[INNER].context);
    tls_context_free(old);
}

START_TEST(test_new_crl)
{
    int judge = _i;

    open_connector("127.0.0.1");
    PUMP_UNTIL(PUMP_BOTH, is_up());
    change_context(judge, "empty.pem");
    ck_assert(is_up());
    ck_assert_uint_eq(ends[judge].closed, 0);
    change_context(judge, judge == DMZ ? "no-inner.pem" : "no-dmz.pem");
    ck_assert_uint_eq(ends[judge].closed, 1);
    ck_assert_msg(strstr(ends[judge].reason, "no longer good"), "%s", ends[judge].reason);
    PUMP_UNTIL(PUMP_BOTH, ends[1 - judge].closed);
    /* It does not come back, until the CRL does. */
    PUMP_UNTIL(PUMP_BOTH, logged("revoked") >= 2);
    ck_assert_uint_eq(connector_count(connector), 1);
    change_context(judge, "empty.pem");
    PUMP_UNTIL(PUMP_BOTH, is_up());
    close_connector();
}
END_TEST

/* A handshake that began before the CRL came ends under it. */
START_TEST(test_new_crl_in_a_handshake)
{
    struct raw raw;

    raw_open(&raw);
    ck_assert_int_eq(tls_handshake(raw.tls), TLS_WANT_INPUT);
    for (int i = 0; i < 10; i++)
        pump(PUMP_DMZ);
    change_context(DMZ, "no-inner.pem");
    change_context(DMZ, "no-inner.pem");
    raw_shake(&raw); /* the client's end of TLS 1.3 is through before it is judged */
    PUMP_UNTIL(PUMP_DMZ, is_closed(raw.fd));
    ck_assert_uint_eq(ends[DMZ].secured, 0);
    ck_assert_uint_eq(logged("revoked"), 1);
    raw_close(&raw);
}
END_TEST

START_TEST(test_same_crl_in_a_handshake)
{
    struct raw raw;

    raw_open(&raw);
    ck_assert_int_eq(tls_handshake(raw.tls), TLS_WANT_INPUT);
    for (int i = 0; i < 10; i++)
        pump(PUMP_DMZ);
    change_context(DMZ, "empty.pem");
    raw_shake(&raw);
    PUMP_UNTIL(PUMP_DMZ, ends[DMZ].secured == 1);
    raw_close(&raw);
    PUMP_UNTIL(PUMP_DMZ, ends[DMZ].closed == 1);
}
END_TEST

#define ROWS(table) (int)(sizeof(table) / sizeof((table)[0]))

static TCase *add_case(Suite *suite, const char *name)
{
    TCase *tc = tcase_create(name);

    suite_add_tcase(suite, tc);
    tcase_set_timeout(tc, 120);
    tcase_add_unchecked_fixture(tc, make_pki, remove_pki);
    return tc;
}

int main(void)
{
    Suite *suite = suite_create("conn");
    TCase *tc = add_case(suite, "conn");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, test_comes_up);
    tcase_add_test(tc, test_heartbeat);
    tcase_add_loop_test(tc, test_dead_peer, 0, ENDS);
    tcase_add_test(tc, test_frame_that_may_not_come);
    tcase_add_loop_test(tc, test_slow_reader, 0, ROWS(readers));
    tcase_add_test(tc, test_slow_frames);
    tcase_add_test(tc, test_flush_soon);
    tcase_add_test(tc, test_flush_soon_at_any_time);
    tcase_add_test(tc, test_move);
    tcase_add_test(tc, test_closed_while_blocked);

    tc = add_case(suite, "sealed");
    tcase_add_checked_fixture(tc, setup_sealed, teardown);
    tcase_add_test(tc, test_comes_up);
    tcase_add_test(tc, test_switches);
    tcase_add_test(tc, test_heartbeat);
    tcase_add_loop_test(tc, test_dead_peer, 0, ENDS);
    tcase_add_test(tc, test_frame_that_may_not_come);
    tcase_add_loop_test(tc, test_slow_reader, 0, ROWS(readers));
    tcase_add_test(tc, test_slow_frames);
    tcase_add_test(tc, test_flush_soon_at_any_time);
    tcase_add_test(tc, test_move);
    tcase_add_test(tc, test_closed_while_blocked);

    tc = add_case(suite, "sealed, in HTTP");
    tcase_add_checked_fixture(tc, setup_acceptor_sealed, teardown_acceptor);
    tcase_add_loop_test(tc, test_ways, 1, 2);

    tc = add_case(suite, "acceptor");
    tcase_add_checked_fixture(tc, setup_acceptor, teardown_acceptor);
    tcase_add_test(tc, test_silence_after_connect);
    tcase_add_loop_test(tc, test_silence_after_tls, 0, 2);
    tcase_add_test(tc, test_move_with_more);
    tcase_add_loop_test(tc, test_garbage_after_tls, 0, ROWS(garbage));
    tcase_add_loop_test(tc, test_garbage_before_tls, 0, ROWS(noise));
    tcase_add_loop_test(tc, test_cut_short, 0, 2);
    tcase_add_test(tc, test_cap);
    tcase_add_test(tc, test_release);
    tcase_add_loop_test(tc, test_reset, 0, ROWS(before_reset));
    tcase_add_test(tc, test_port_in_use);
    tcase_add_loop_test(tc, test_strangers, 0, sizeof(strangers) / sizeof(strangers[0]));
    tcase_add_test(tc, test_reply_to_close);
    tcase_add_loop_test(tc, test_ways, 0, sizeof(ways) / sizeof(ways[0]));

    tc = add_case(suite, "connector");
    tcase_add_checked_fixture(tc, setup_acceptor, teardown_acceptor);
    tcase_add_loop_test(tc, test_rogue_proxy, 0, ROWS(rogues));
    tcase_add_loop_test(tc, test_reconnects_at_once, 0, 2);
    tcase_add_test(tc, test_backs_off);
    tcase_add_test(tc, test_wrong_name);
    tcase_add_test(tc, test_unknown_host);
    tcase_add_test(tc, test_no_answer);
    tcase_add_loop_test(tc, test_freed_at_any_time, 0, 32);
    tcase_add_loop_test(tc, test_new_crl, 0, ENDS);
    tcase_add_test(tc, test_new_crl_in_a_handshake);
    tcase_add_test(tc, test_same_crl_in_a_handshake);
    return unit_run(suite);
}
