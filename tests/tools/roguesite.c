/* An inner-relay with a good certificate and bad intentions; see usage(). */
#include "config.h" /* _GNU_SOURCE */

#include <ev.h>
#include <getopt.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/sa/reportwire.h"
#include "common/sa/wire.h"
#include "common/srtp/srtp.h"
#include "common/tunnel/connector.h"
#include "tests/tools/cli.h"
#include "tests/unit/protect.h"

enum {
    IDS = 100,         /* ids from 1 on: those of all SAs of the other site are among them */
    MARK_ID = 1000000, /* of the SA whose refusal says that everything before it was read */
    PACKETS = 100,     /* under each label */
    LABELS_MAX = 16,
    CROWD = 5000, /* senders that are hinted at one address */
    CROWD_ID = 10000,
    SHARED = 6, /* SAs of one source and SSRC: more than a site may have */
    PAYLOAD_OCTETS = 160,
    QUEUE_OCTETS = 1024 * 1024,
    TIME_LIMIT_S = 20,
};

struct rogue;

/*
 * What it does: frames until put says that there are no more, n from 0 on, and packets. put may
 * be NULL.
 */
struct step {
    const char *name, *text;
    bool (*put)(struct rogue *rogue, unsigned n, uint8_t *type, struct writer *body);
    bool media;
    uint64_t epoch; /* and instance, that it says it has; 0: at random */
};

struct config {
    const struct step *step;
    struct tls_files files;
    struct addr connect, source, own, to, inside;
    char host[ADDR_TEXT_SIZE];
    const char *name;
    uint32_t ssrc, labels[LABELS_MAX];
    size_t label_count;
};

struct rogue {
    struct config config;
    struct ev_loop *loop;
    struct srtp_engine *engine;
    struct connector *connector;
    struct session *session;
    struct verdict_counts counts;
    struct hello hello;
    json_t *reasons; /* of refusals, with how often each came */
    unsigned frames, naks;
    uint64_t version, sent, received;
    bool up, marked, done;
    char closed[256];
};

/* ---------------------------------------------------------------- SAs */

/* One that is complete, with a key of its own: external from config.source, or internal to
 * config.to. */
static struct sa *make_sa(struct rogue *rogue, enum sa_side side, uint64_t id, uint32_t label)
{
    const struct config *c = &rogue->config;
    struct sa *sa = sa_new();

    if (!sa || sa_stream_add(sa, c->ssrc, SSRC_ORIGIN_SIGNALLED) < 0)
        cli_die("out of memory");
    sa->id = id;
    sa->generation = 1000;
    sa->version = ++rogue->version;
    sa->side = side;
    sa->label = label;
    sa->suite = suite_find("AES_CM_128_HMAC_SHA1_80");
    rate_init(&sa->rate, 1000000);
    if (side == SA_SIDE_EXTERNAL) {
        sa->source.rtp = sa->source.rtcp = c->source;
        sa->source.rtcp.port++;
    } else {
        sa->destination.rtp = sa->destination.rtcp = c->to;
        sa->destination.rtcp.port++;
    }
    return sa;
}

static void add_key(struct rogue *rogue, struct sa *sa)
{
    uint8_t material[SUITE_KEY_MAX_OCTETS];
    struct srtp_key key;

    random_bytes(material, sizeof(material));
    srtp_key_master(&key, material, suite_material_octets(sa->suite));
    if (sa_open(sa, rogue->engine, &key) < 0)
        cli_die("the SRTP session could not be made");
}

/* Frees sa. */
static void put_sa(struct sa *sa, uint8_t *type, struct writer *body)
{
    *type = FRAME_SA_PUT;
    wire_put_sa(body, sa, WIRE_REPLICA_FULL);
    sa_free(sa);
}

static void move_to(struct sa_transport *transport, const struct addr *addr)
{
    transport->rtp = transport->rtcp = *addr;
    transport->rtcp.port++;
}

/* ---------------------------------------------------------------- steps */

/* SAs under the ids of the other site's: outside with its source and SSRC, inside to its client. */
static bool put_own(struct rogue *rogue, unsigned n, uint8_t *type, struct writer *body)
{
    const struct config *c = &rogue->config;
    enum sa_side side = n % 2 ? SA_SIDE_INTERNAL : SA_SIDE_EXTERNAL;
    struct sa *sa;

    if (n >= c->label_count)
        return false;
    sa = make_sa(rogue, side, n + 1, c->labels[n]);
    if (side == SA_SIDE_EXTERNAL) {
        add_key(rogue, sa);
        sa->stream[0].ssrc += n / 2; /* one source and SSRC has room for some only */
    }
    put_sa(sa, type, body);
    return true;
}

/* More SAs with the other's source and SSRC than one site may have: each of its packets would be
 * tried with all of them. */
static bool put_shared(struct rogue *rogue, unsigned n, uint8_t *type, struct writer *body)
{
    struct sa *sa;

    if (n >= SHARED)
        return false;
    sa = make_sa(rogue, SA_SIDE_EXTERNAL, IDS + 1 + n, 0x10000 + n);
    add_key(rogue, sa);
    put_sa(sa, type, body);
    return true;
}

static void without_key(struct rogue *rogue, struct sa *sa)
{
    (void)rogue;
    sa->side = SA_SIDE_EXTERNAL;
    move_to(&sa->source, &rogue->config.source);
}

static void as_peer(struct rogue *rogue, struct sa *sa)
{
    without_key(rogue, sa);
    add_key(rogue, sa);
    sa->encap_in = SA_ENCAP_RTP_PRIME;
}

static void from_own_as_rtp(struct rogue *rogue, struct sa *sa)
{
    sa->side = SA_SIDE_EXTERNAL;
    move_to(&sa->source, &rogue->config.own);
    add_key(rogue, sa);
}

static void to_own_as_rtp(struct rogue *rogue, struct sa *sa)
{
    move_to(&sa->destination, &rogue->config.own);
}

static void to_client_as_prime(struct rogue *rogue, struct sa *sa)
{
    (void)rogue;
    sa->encap_out = SA_ENCAP_RTP_PRIME;
}

static void to_inside(struct rogue *rogue, struct sa *sa)
{
    move_to(&sa->destination, &rogue->config.inside);
}

static void to_loopback(struct rogue *rogue, struct sa *sa)
{
    struct addr addr;

    (void)rogue;
    (void)addr_parse("127.0.0.1:5004", &addr);
    move_to(&sa->destination, &addr);
}

static void from_nowhere(struct rogue *rogue, struct sa *sa)
{
    sa->side = SA_SIDE_EXTERNAL;
    add_key(rogue, sa);
    sa->source_policy = SOURCE_HINTED;
}

/* Each is refused. An internal SA to the client otherwise. */
static void (*const refusals[])(struct rogue *rogue, struct sa *sa) = {
    without_key,        as_peer,   from_own_as_rtp, to_own_as_rtp,
    to_client_as_prime, to_inside, to_loopback,     from_nowhere,
};

static bool put_refused(struct rogue *rogue, unsigned n, uint8_t *type, struct writer *body)
{
    struct sa *sa;

    if (n >= sizeof(refusals) / sizeof(refusals[0]))
        return false;
    sa = make_sa(rogue, SA_SIDE_INTERNAL, n + 1, rogue->config.ssrc);
    refusals[n](rogue, sa);
    if (sa->side == SA_SIDE_EXTERNAL)
        sa->destination = (struct sa_transport){0};
    put_sa(sa, type, body);
    return true;
}

static bool put_deletions(struct rogue *rogue, unsigned n, uint8_t *type, struct writer *body)
{
    struct wire_delete deletion = {.id = n + 1, .version = ++rogue->version};

    if (n >= IDS + SHARED)
        return false;
    *type = FRAME_SA_DELETE;
    wire_put_delete(body, &deletion);
    return true;
}

/* A snapshot of nothing: all SAs that it does not name are to go. */
static bool put_snapshot(struct rogue *rogue, unsigned n, uint8_t *type, struct writer *body)
{
    struct wire_sync sync = {SYNC_SNAPSHOT, rogue->hello.epoch, ++rogue->version};

    if (n >= 2)
        return false;
    *type = n == 0 ? FRAME_SYNC_BEGIN : FRAME_SYNC_END;
    wire_put_sync(body, &sync);
    return true;
}

/* An SA whose packets go to the dmz-relay's own address: what comes in there is RTP' of a peer. */
static bool put_self(struct rogue *rogue, unsigned n, uint8_t *type, struct writer *body)
{
    const struct config *c = &rogue->config;
    struct sa *sa;

    if (n >= c->label_count)
        return false;
    sa = make_sa(rogue, SA_SIDE_INTERNAL, n + 1, c->labels[n]);
    move_to(&sa->destination, &c->own);
    sa->encap_out = SA_ENCAP_RTP_PRIME;
    put_sa(sa, type, body);
    return true;
}

/*
 * Senders that may be whoever sends from the address of the other's, with its SSRC or without one:
 * each packet of one that is not known yet would be tried with them.
 */
static bool put_hinted(struct rogue *rogue, unsigned n, bool named, uint8_t *type,
                       struct writer *body)
{
    struct sa *sa;

    if (n >= CROWD)
        return false;
    sa = make_sa(rogue, SA_SIDE_EXTERNAL, CROWD_ID + n, 0x20000 + n);
    add_key(rogue, sa);
    sa->source = (struct sa_transport){0};
    sa->source_policy = SOURCE_HINTED;
    sa->hint = rogue->config.source;
    sa->stream_count = named;
    put_sa(sa, type, body);
    return true;
}

static bool put_crowd(struct rogue *rogue, unsigned n, uint8_t *type, struct writer *body)
{
    return put_hinted(rogue, n, false, type, body);
}

static bool put_named_crowd(struct rogue *rogue, unsigned n, uint8_t *type, struct writer *body)
{
    return put_hinted(rogue, n, true, type, body);
}

/* What only a dmz-relay says. */
static bool put_report(struct rogue *rogue, unsigned n, uint8_t *type, struct writer *body)
{
    struct sa_report report = {.id = 1, .generation = 1, .bound = {rogue->config.to}};

    if (n > 0)
        return false;
    *type = FRAME_SA_REPORT;
    reportwire_put(body, &report);
    return true;
}

static bool put_nak(struct rogue *rogue, unsigned n, uint8_t *type, struct writer *body)
{
    struct wire_nak nak = {.id = 1, .generation = 1, .error = -1, .reason = "because"};

    (void)rogue;
    if (n > 0)
        return false;
    *type = FRAME_SA_NAK;
    wire_put_nak(body, &nak);
    return true;
}

static bool put_ack(struct rogue *rogue, unsigned n, uint8_t *type, struct writer *body)
{
    struct hello hello = {.version = 1, .epoch = 1, .quota = 1000};

    (void)rogue;
    if (n > 0)
        return false;
    *type = FRAME_HELLO_ACK;
    hello_ack_put(body, &hello);
    return true;
}

static bool put_unknown(struct rogue *rogue, unsigned n, uint8_t *type, struct writer *body)
{
    (void)rogue;
    if (n > 0)
        return false;
    *type = 0x33;
    writer_u64(body, UINT64_MAX);
    return true;
}

static const struct step steps[] = {
    {"put", "SAs under the other's ids, labels, source and SSRC", put_own, false, 0},
    {"share", "more SAs with its source and SSRC than a site may have", put_shared, false, 0},
    {"forbidden", "SAs that may not be: each is refused", put_refused, false, 0},
    {"delete", "the ids 1 to 106", put_deletions, false, 0},
    {"sweep", "a snapshot that names no SA", put_snapshot, false, 0},
    {"send", "packets with --ssrc under --labels", NULL, true, 0},
    {"self", "the same by SAs to the dmz-relay's own address", put_self, true, 0},
    {"crowd", "5,000 SAs that are hinted at the source's IP address", put_crowd, false, 0},
    {"namesakes", "the same with its SSRC", put_named_crowd, false, 0},
    {"newest", "an epoch and an instance that are the highest there are", put_deletions, false,
     UINT64_MAX},
    {"report", "what a dmz-relay says of SAs", put_report, false, 0},
    {"nak", "a refusal", put_nak, false, 0},
    {"ack", "HELLO-ACK", put_ack, false, 0},
    {"unknown", "a frame of no known type", put_unknown, false, 0},
};

/* ---------------------------------------------------------------- session */

static uint64_t now_us(void)
{
    return clock_now_us();
}

static int on_hello(void *ctx, const struct hello *theirs, struct hello *reply,
                    char reason[BYE_REASON_SIZE])
{
    (void)ctx;
    (void)theirs;
    (void)reply;
    (void)reason;
    return 0;
}

/* Header of the other's sender, noise for the rest. */
static void send_packets(struct rogue *rogue, uint32_t label)
{
    uint8_t packet[PACKET_MAX_OCTETS], payload[PAYLOAD_OCTETS];

    for (uint16_t i = 0; i < PACKETS; i++) {
        size_t length;

        random_bytes(payload, sizeof(payload));
        length = protect_make_rtp(packet, sizeof(packet), 0, (uint16_t)(10000 + i), i * 160u,
                                  rogue->config.ssrc, payload, sizeof(payload));
        session_media(rogue->session, label, packet, length, &rogue->counts, now_us());
        rogue->sent++;
    }
}

static void on_up(void *ctx, const struct hello *theirs)
{
    struct rogue *rogue = ctx;

    (void)theirs;
    rogue->up = true;
    for (size_t i = 0; rogue->config.step->media && i < rogue->config.label_count; i++)
        send_packets(rogue, rogue->config.labels[i]);
}

static void finish(struct rogue *rogue)
{
    rogue->done = true;
    ev_break(rogue->loop, EVBREAK_ALL);
}

static void note_reason(struct rogue *rogue, const char *reason)
{
    json_int_t count = json_integer_value(json_object_get(rogue->reasons, reason));

    rogue->naks++;
    json_object_set_new(rogue->reasons, reason, json_integer(count + 1));
}

static int on_control(void *ctx, uint8_t type, struct reader *body, uint64_t now)
{
    struct rogue *rogue = ctx;
    struct wire_nak nak;

    (void)now;
    if (type != FRAME_SA_NAK)
        return 0;
    if (wire_get_nak(body, &nak) < 0)
        cli_die("SA-NAK cannot be read");
    if (nak.id == MARK_ID)
        finish(rogue);
    else
        note_reason(rogue, nak.reason);
    return 0;
}

static void on_media(void *ctx, const struct session_packet *packets, size_t count, uint64_t now)
{
    struct rogue *rogue = ctx;

    (void)packets;
    (void)now;
    rogue->received += count;
}

static bool pull_frames(void *ctx, uint8_t *type, struct writer *body, uint64_t now)
{
    struct rogue *rogue = ctx;
    const struct step *step = rogue->config.step;

    (void)now;
    return step->put && step->put(rogue, rogue->frames, type, body) && ++rogue->frames;
}

/* When all has gone out: the refusal of this one comes after what all of that makes. */
static bool pull_mark(void *ctx, uint8_t *type, struct writer *body, uint64_t now)
{
    struct rogue *rogue = ctx;
    struct sa *sa;

    (void)now;
    if (rogue->marked)
        return false;
    rogue->marked = true;
    sa = make_sa(rogue, SA_SIDE_INTERNAL, MARK_ID, 1);
    to_loopback(rogue, sa);
    put_sa(sa, type, body);
    return true;
}

static void on_dropped(void *ctx, const uint32_t *labels, size_t count, enum verdict verdict)
{
    (void)ctx;
    (void)labels;
    cli_die("%zu packets did not go out: %s", count, verdict_name(verdict));
}

static const struct session_hooks session_hooks = {
    .hello = on_hello,
    .up = on_up,
    .control = on_control,
    .media = on_media,
    .pull_live = pull_frames,
    .pull_bulk = pull_mark,
    .dropped = on_dropped,
};

/* ---------------------------------------------------------------- connection */

static struct session *on_secured(void *ctx, struct conn *conn, const char *name,
                                  const char **reason)
{
    struct rogue *rogue = ctx;

    (void)conn;
    (void)name;
    rogue->session =
        session_new(SESSION_INNER, &session_hooks, rogue, UINT64_MAX / 2, QUEUE_OCTETS, now_us());
    *reason = "out of memory";
    if (rogue->session)
        session_start(rogue->session, &rogue->hello);
    return rogue->session;
}

static void on_drained(void *ctx)
{
    struct rogue *rogue = ctx;

    conn_flush(connector_conn(rogue->connector));
}

static void on_closed(void *ctx, struct conn *conn, const char *reason)
{
    struct rogue *rogue = ctx;

    (void)conn;
    if (rogue->done)
        return;
    snprintf(rogue->closed, sizeof(rogue->closed), "%s", reason);
    finish(rogue);
}

static const struct conn_hooks conn_hooks = {on_secured, on_drained, on_closed};

static void on_time_limit(struct ev_loop *loop, struct ev_timer *timer, int events)
{
    (void)loop;
    (void)timer;
    (void)events;
    cli_die("no end after %d s", TIME_LIMIT_S);
}

/* ---------------------------------------------------------------- options */

static _Noreturn void usage(FILE *to, int status)
{
    fprintf(to,
            "usage: roguesite STEP --connect IP:PORT --name NAME --certificate FILE --key FILE\n"
            "                 --ca FILE --source IP:PORT --ssrc N --labels N,N... --own IP:PORT\n"
            "                 --to IP:PORT --inside IP:PORT\n"
            "What it says to the dmz-relay, one step in one connection:\n");
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
        fprintf(to, "  %-10s %s\n", steps[i].name, steps[i].text);
    fprintf(to,
            "  --connect, --name    the dmz-relay's tunnel port, the name in its certificate\n"
            "  --certificate, --key, --ca\n"
            "                       files of a site that may connect\n"
            "  --source, --ssrc     of a sender outside of another site\n"
            "  --labels             of SAs of the other site\n"
            "  --own                the dmz-relay's own media address\n"
            "  --to                 a client outside\n"
            "  --inside             an address inside the other site\n"
            "Prints one JSON line: frames and packets that it sent, refusals by their reasons,\n"
            "packets that came to it, and why the dmz-relay closed the connection, if it did.\n"
            "Exit status 0, or 2 (usage, no tunnel).\n");
    exit(status);
}

enum option_id {
    OPT_CONNECT = 256,
    OPT_NAME,
    OPT_CERTIFICATE,
    OPT_KEY,
    OPT_CA,
    OPT_SOURCE,
    OPT_SSRC,
    OPT_LABELS,
    OPT_OWN,
    OPT_TO,
    OPT_INSIDE,
    OPT_HELP,
};

static const struct option options[] = {
    {"connect", required_argument, NULL, OPT_CONNECT},
    {"name", required_argument, NULL, OPT_NAME},
    {"certificate", required_argument, NULL, OPT_CERTIFICATE},
    {"key", required_argument, NULL, OPT_KEY},
    {"ca", required_argument, NULL, OPT_CA},
    {"source", required_argument, NULL, OPT_SOURCE},
    {"ssrc", required_argument, NULL, OPT_SSRC},
    {"labels", required_argument, NULL, OPT_LABELS},
    {"own", required_argument, NULL, OPT_OWN},
    {"to", required_argument, NULL, OPT_TO},
    {"inside", required_argument, NULL, OPT_INSIDE},
    {"help", no_argument, NULL, OPT_HELP},
    {0},
};

static void take_labels(struct config *c, const char *text)
{
    char *copy = strdup(text), *rest = copy, *word;

    while (copy && (word = strsep(&rest, ","))) {
        if (c->label_count == LABELS_MAX)
            cli_die("--labels: at most %d", LABELS_MAX);
        c->labels[c->label_count++] = (uint32_t)cli_number("labels", word, 0, UINT32_MAX);
    }
    free(copy);
}

static void take_text(struct config *c, int id, const char *text)
{
    const char **const texts[] = {
        [OPT_NAME - 256] = &c->name,
        [OPT_CERTIFICATE - 256] = &c->files.certificate,
        [OPT_KEY - 256] = &c->files.key,
        [OPT_CA - 256] = &c->files.ca,
    };

    *texts[id - 256] = text;
}

static void take(struct config *c, int id, const char *name, const char *text)
{
    if (id == OPT_HELP)
        usage(stdout, 0);
    else if (id == '?')
        usage(stderr, CLI_USAGE);
    else if (id == OPT_CONNECT)
        c->connect = cli_addr(name, text);
    else if (id == OPT_SOURCE)
        c->source = cli_addr(name, text);
    else if (id == OPT_OWN)
        c->own = cli_addr(name, text);
    else if (id == OPT_TO)
        c->to = cli_addr(name, text);
    else if (id == OPT_INSIDE)
        c->inside = cli_addr(name, text);
    else if (id == OPT_SSRC)
        c->ssrc = (uint32_t)cli_number(name, text, 0, UINT32_MAX);
    else if (id == OPT_LABELS)
        take_labels(c, text);
    else
        take_text(c, id, text);
}

static const struct step *find_step(const char *name)
{
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        if (strcmp(steps[i].name, name) == 0)
            return &steps[i];
    }
    cli_die("there is no step \"%s\"; see --help", name);
}

static void parse(struct config *c, int argc, char **argv)
{
    int id, at = 0;

    while ((id = getopt_long(argc, argv, "", options, &at)) != -1)
        take(c, id, options[at].name, optarg);
    if (optind != argc - 1)
        cli_die("one step has to be named; see --help");
    c->step = find_step(argv[optind]);
    if (!c->connect.family || !c->source.family || !c->own.family || !c->to.family ||
        !c->inside.family || !c->name || !c->files.certificate || !c->files.key || !c->files.ca ||
        c->label_count == 0)
        cli_die("all options are needed; see --help");
    addr_format_ip(&c->connect, c->host, sizeof(c->host));
}

/* ---------------------------------------------------------------- main */

static void fill_hello(struct rogue *rogue)
{
    uint64_t epoch = rogue->config.step->epoch;

    rogue->hello = (struct hello){.version_min = PROTOCOL_VERSION_MIN,
                                  .version_max = PROTOCOL_VERSION_MAX,
                                  .features = FEATURE_DELTA | FEATURE_REKEY | FEATURE_REPORT,
                                  .epoch = epoch ? epoch : random_u64() >> 1,
                                  .instance = epoch ? epoch : 1,
                                  .software = "roguesite",
                                  .engine = "none"};
}

static void run(struct rogue *rogue)
{
    const struct config *c = &rogue->config;
    struct connector_settings settings = {
        .label = "rogue", .host = c->host, .port = c->connect.port, .name = c->name};
    struct tls_context *tls = NULL;
    struct ev_timer timer;
    char error[256];

    if (tls_context_new(&tls, TLS_CLIENT, &c->files, error, sizeof(error)) < 0)
        cli_die("%s", error);
    rogue->loop = ev_loop_new(EVFLAG_AUTO);
    ev_timer_init(&timer, on_time_limit, TIME_LIMIT_S, 0);
    ev_timer_start(rogue->loop, &timer);
    rogue->connector = connector_new(rogue->loop, tls, &settings, &conn_hooks, rogue);
    if (!rogue->connector)
        cli_die("out of memory");
    while (!rogue->done)
        ev_run(rogue->loop, 0);
    connector_free(rogue->connector, "done");
    ev_timer_stop(rogue->loop, &timer);
    ev_loop_destroy(rogue->loop);
    tls_context_free(tls);
}

static void print(struct rogue *rogue)
{
    json_t *line =
        json_pack("{s:s, s:b, s:i, s:I, s:i, s:o, s:I, s:s}", "step", rogue->config.step->name,
                  "up", rogue->up, "frames", (int)rogue->frames, "sent", (json_int_t)rogue->sent,
                  "naks", (int)rogue->naks, "reasons", rogue->reasons, "received",
                  (json_int_t)rogue->received, "closed", rogue->closed);

    if (!line || json_dumpf(line, stdout, JSON_COMPACT) < 0)
        cli_die("out of memory");
    putchar('\n');
    json_decref(line);
}

int main(int argc, char **argv)
{
    struct rogue rogue = {.reasons = json_object()};

    parse(&rogue.config, argc, argv);
    if (srtp_engine_new(&rogue.engine, SRTP_ENGINE_AUTO) < 0)
        cli_die("the SRTP engine could not be started");
    fill_hello(&rogue);
    run(&rogue);
    print(&rogue);
    srtp_engine_free(rogue.engine);
    return rogue.up ? EXIT_SUCCESS : CLI_USAGE;
}
