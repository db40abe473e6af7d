/*
 * A connection of media between two ends in one process, taken over by both: over the loopback of a
 * network namespace of its own; left out where none may be made.
 */
#include "config.h"

#include "common/tunnel/takeover.h"

#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/protocol.h"
#include "common/carrier/rawsocket.h"
#include "common/carrier/seal.h"
#include "common/carrier/segment.h"
#include "common/tunnel/conn.h"
#include "common/tunnel/rawreader.h"
#include "tests/unit/netns.h"
#include "tests/unit/pki.h"
#include "tests/unit/unit.h"

enum { INNER, DMZ, ENDS, TRIES = 5, PATIENCE_US = 20 * 1000 * 1000, DSCP = 46 };

/* ------------------------------------------------------------ the sessions */

struct end {
    unsigned role;
    uint16_t port;
    struct tls_context *context;
    struct rawreader *reader;
    struct conn *conn;
    struct session *session;
    unsigned media, controls;
    struct verdict_counts counts;
};

static struct end ends[ENDS];
static struct ev_loop *loop;
static struct seal_store *seals;
static struct rawsocket *ears; /* hear what comes to the inner-relay's port */
static unsigned marked, unmarked;

static int on_hello(void *ctx, const struct hello *theirs, struct hello *reply,
                    char reason[BYE_REASON_SIZE])
{
    (void)ctx;
    (void)theirs;
    (void)reason;
    if (reply)
        *reply = (struct hello){.features = FEATURE_SEALED, .capacity = 1, .quota = 1};
    return 0;
}

static int on_control(void *ctx, uint8_t type, struct reader *body, uint64_t now_us)
{
    (void)type;
    (void)body;
    (void)now_us;
    ((struct end *)ctx)->controls++;
    return 0;
}

static void on_media(void *ctx, const struct session_packet *packets, size_t count, uint64_t now_us)
{
    (void)packets;
    (void)now_us;
    ((struct end *)ctx)->media += (unsigned)count;
}

static const struct session_hooks session_hooks = {
    .hello = on_hello, .control = on_control, .media = on_media};

static struct session *on_secured(void *ctx, struct conn *conn, const char *name,
                                  const char **reason)
{
    struct hello hello = {.version_min = 1,
                          .version_max = 1,
                          .epoch = 1,
                          .features = FEATURE_SEALED | FEATURE_RAW,
                          .worker = 1};
    struct end *end = ctx;

    (void)name;
    (void)reason;
    end->session = session_new(end->role == INNER ? SESSION_INNER : SESSION_DMZ, &session_hooks,
                               end, 10000000, 1024 * 1024, clock_now_us());
    session_set_seals(end->session, seals);
    if (end->role == INNER)
        session_start(end->session, &hello);
    else
        session_set_raw(end->session, true);
    conn_read_early(conn, end->reader);
    return end->session;
}

static void on_closed(void *ctx, struct conn *conn, const char *reason)
{
    (void)conn;
    (void)reason;
    ((struct end *)ctx)->conn = NULL;
}

static const struct conn_hooks conn_hooks = {.secured = on_secured, .closed = on_closed};

/* ------------------------------------------------------------ the two ends */

static void make_contexts(void)
{
    static const char *const files[] = {"relay.key", "ca.pem", "inner.pem", "dmz.pem"};
    char folder[] = "/tmp/test_takeover.XXXXXX", error[256] = "";
    EVP_PKEY *key = EVP_EC_gen("P-256");
    struct pki_authority ca;

    EXPECT(mkdtemp(folder) && chdir(folder) == 0);
    pki_write_key("relay.key", key, NULL, 0600);
    pki_make_authority(&ca, "test CA", "ca.pem", NULL);
    pki_make_leaf("inner.pem", "DNS:inner.example", "clientAuth", key, &ca, -PKI_DAY, PKI_YEAR);
    pki_make_leaf("dmz.pem", "DNS:dmz.example", "serverAuth", key, &ca, -PKI_DAY, PKI_YEAR);
    for (unsigned role = 0; role < ENDS; role++) {
        struct tls_files tls = {role == INNER ? "inner.pem" : "dmz.pem", "relay.key", "ca.pem",
                                NULL};

        EXPECT(tls_context_new(&ends[role].context, role == INNER ? TLS_CLIENT : TLS_SERVER, &tls,
                               error, sizeof(error)) == 0);
    }
    pki_free_authority(&ca);
    EVP_PKEY_free(key);
    for (unsigned i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        unlink(files[i]);
    EXPECT(chdir("/") == 0 && rmdir(folder) == 0);
}

static int bound(uint16_t *port)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof(name);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    EXPECT(fd >= 0 && bind(fd, (struct sockaddr *)&name, length) == 0);
    EXPECT(getsockname(fd, (struct sockaddr *)&name, &length) == 0);
    *port = ntohs(name.sin_port);
    return fd;
}

static void open_readers(void)
{
    struct rawsocket_filter filter = {
        .family = 4, .port_count = 1, .ports = {{ends[INNER].port, ends[INNER].port}}};
    char error[256] = "";

    for (unsigned role = 0; role < ENDS; role++) {
        struct end *end = &ends[role];

        EXPECT(rawreader_new(&end->reader, &end->port, 1, error, sizeof(error)) == 0);
        rawreader_start(end->reader, loop);
    }
    EXPECT(rawsocket_open(&ears, &filter, error, sizeof(error)) == 0);
}

static void open_ends(void)
{
    static const char *const names[ENDS][2] = {{"dmz.example", NULL}, {"inner.example", NULL}};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fds[ENDS], listener = bound(&ends[DMZ].port);

    fds[INNER] = bound(&ends[INNER].port);
    EXPECT(listen(listener, 1) == 0);
    open_readers();
    to.sin_port = htons(ends[DMZ].port);
    EXPECT(connect(fds[INNER], (struct sockaddr *)&to, sizeof(to)) == 0);
    fds[DMZ] = accept(listener, NULL, NULL);
    EXPECT(fds[DMZ] >= 0);
    close(listener);
    for (unsigned role = 0; role < ENDS; role++) {
        ends[role].role = role;
        EXPECT(fcntl(fds[role], F_SETFL, O_NONBLOCK) == 0);
        ends[role].conn = conn_new(loop, fds[role], ends[role].context, names[role], DSCP,
                                   &conn_hooks, &ends[role]);
        EXPECT(ends[role].conn != NULL);
    }
}

static void listen_in(void)
{
    struct segment segments[RAWSOCKET_BATCH];
    unsigned count;

    while ((count = rawsocket_receive(ears, segments)) > 0) {
        for (unsigned i = 0; i < count; i++) {
            if (segments[i].window != TRACK_WINDOW)
                continue;
            marked += segments[i].traffic == DSCP << 2;
            unmarked += segments[i].traffic != DSCP << 2;
        }
    }
}

#define PUMP_UNTIL(condition)                                                                      \
    for (uint64_t pump_end = clock_now_us() + PATIENCE_US; !(condition);) {                        \
        EXPECT(clock_now_us() < pump_end);                                                         \
        ev_run(loop, EVRUN_NOWAIT);                                                                \
        listen_in();                                                                               \
        poll(NULL, 0, 1);                                                                          \
    }

static bool is_taken(const struct end *end)
{
    return end->conn && end->session && session_take(end->session) == SESSION_TAKE_DONE;
}

/* On a busy machine: the connection was ended, or the dmz-relay's end said no. */
static bool has_failed(const struct end *end)
{
    return !end->conn || (end->session && session_take_refused(end->session)[0]);
}

static bool try_to_begin(void)
{
    loop = ev_loop_new(EVFLAG_AUTO);
    EXPECT(loop && seal_store_new(&seals) == 0);
    make_contexts();
    open_ends();
    PUMP_UNTIL((is_taken(&ends[INNER]) && is_taken(&ends[DMZ])) || has_failed(&ends[INNER]) ||
               has_failed(&ends[DMZ]));
    marked = unmarked = 0;
    return is_taken(&ends[INNER]) && is_taken(&ends[DMZ]);
}

static void finish(void)
{
    for (unsigned role = 0; role < ENDS; role++) {
        if (ends[role].conn)
            conn_close(ends[role].conn, "the test is over");
        EXPECT(ends[role].conn == NULL);
        ends[role].session = NULL;
    }
    for (unsigned role = 0; role < ENDS; role++) {
        rawreader_free(ends[role].reader);
        tls_context_free(ends[role].context);
    }
    rawsocket_close(ears);
    seal_store_free(seals);
    ev_loop_destroy(loop);
}

/* As the inner-relay does, it tries again. */
static void begin(void)
{
    for (unsigned tries = 0; !try_to_begin(); tries++) {
        EXPECT(tries < TRIES);
        finish();
    }
}

static void send_media(struct end *end)
{
    static const uint8_t packet[] = {0x80, 0, 0, 1};

    end->counts.received++;
    session_media(end->session, 1, packet, sizeof(packet), &end->counts, clock_now_us());
}

/* ------------------------------------------------------------ what is looked at */

/* [tunnel] dscp is in each segment of ours, as it was in the kernel's. */
static void check_traffic(bool ip6)
{
    (void)ip6;
    begin();
    send_media(&ends[DMZ]);
    conn_flush(ends[DMZ].conn);
    PUMP_UNTIL(ends[INNER].media == 1 && marked + unmarked >= 3);
    EXPECT(unmarked == 0);
    finish();
}

START_TEST(test_traffic)
{
    netns_run(check_traffic, false);
}
END_TEST

/* Who has much to say itself does not pass segments by: no kernel's order brings them again. */
static void check_congested(bool ip6)
{
    (void)ip6;
    enum { ROUNDS = 50 };
    static const uint8_t body[1000];
    struct end *inner = &ends[INNER], *dmz = &ends[DMZ];
    unsigned frames = 0;

    begin();
    /* Now and then a timer of theirs comes before the segment, and sends all that there is. */
    for (unsigned round = 1; round <= ROUNDS; round++) {
        for (; !session_congested(dmz->session); frames++)
            session_control(dmz->session, FRAME_STATS, body, sizeof(body));
        send_media(inner);
        conn_flush(inner->conn);
        PUMP_UNTIL(inner->controls == frames && dmz->media == round);
    }
    finish();
}

START_TEST(test_congested)
{
    netns_run(check_congested, false);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("takeover");
    TCase *tc = tcase_create("takeover");

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, test_traffic);
    tcase_add_test(tc, test_congested);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
