/* Receives SRTP and SRTCP on a range of ports, and judges what came; see usage(). */
#include "config.h" /* _GNU_SOURCE */

#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/rtp/classify.h"
#include "common/rtp/prime.h"
#include "common/srtp/srtp.h"
#include "tests/tools/cli.h"
#include "tests/tools/packets.h"

enum {
    DATAGRAM_MAX_OCTETS = 65536,
    SOURCES_MAX = 4096,
    SOURCES_SHOWN = 16,
    HALF_TURN = 0x8000,
    TURN = 0x10000
};

struct config {
    struct addr listen;
    unsigned ports;
    uint64_t count;
    double timeout, wait;
    const char *suite, *key_text, *save, *compare, *ready;
    struct cli_key key;
    uint32_t first_ssrc, roc;
    bool brief, prime;
};

struct stream {
    uint32_t ssrc;
    uint64_t rtp, rtcp, duplicates, out_of_order, auth_failures, replays;
    bool started;
    uint64_t base, lowest, highest, distinct; /* extended sequence numbers */
    uint8_t *seen;                            /* a bit for each from base on */
    size_t seen_octets;
    struct srtp_session *session;
    struct srtp_index index;
};

struct receiver {
    struct srtp_engine *engine;
    struct config config;
    int epoll_fd;
    int *fds;
    struct stream **streams; /* in the order of their first packet */
    size_t stream_count;
    struct stream **table; /* hash table by SSRC, twice as large as the streams at least */
    size_t table_mask;
    struct addr sources[SOURCES_MAX];
    size_t source_count;
    uint64_t packets, octets, neither, different;
    uint64_t other_outer; /* RTP' with another SSRC in front than inside */
    struct packets expected;
    FILE *save;
};

/* The one thing that a signal may touch. */
static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
    (void)number;
    stopped = 1;
}

/* ---------------------------------------------------------------- options */

static _Noreturn void usage(FILE *to, int status)
{
    fprintf(to,
            "usage: rtprecv --listen IP:PORT [options]\n"
            "  --ports N         receives on PORT and the N - 1 ports after it (default 1)\n"
            "  --count N         ends after N packets (default: goes on until it is quiet)\n"
            "  --timeout S       ends when nothing came for so long (default 2)\n"
            "  --wait S          waits so long for the first packet (default 10)\n"
            "  --suite NAME      default AES_CM_128_HMAC_SHA1_80\n"
            "  --key BASE64      verifies each packet with this master key and salt\n"
            "  --ssrc N          with --derive: the SSRC of stream 0 (default 1)\n"
            "  --derive          the key of SSRC --ssrc + n is derived as rtpsend does\n"
            "  --roc N           of the first packet of each stream (default 0)\n"
            "  --prime           takes RTP', with the SSRC in front: that has to be the packet's\n"
            "  --save FILE       keeps what came: u16 length, then the packet (what stands in\n"
            "                    front of it is not kept)\n"
            "  --compare FILE    every packet has to be in this file, byte for byte\n"
            "  --ready FILE      made when the ports are open\n"
            "  --brief           leaves the list of streams out\n"
            "Ends on SIGTERM as well, and prints one JSON line: what came, from which addresses\n"
            "(the first 16 of \"source_count\"), and each stream. Exit status 0; 1: fewer than\n"
            "--count packets, a tag was wrong, a packet was not in --compare, or, with --prime,\n"
            "another SSRC stood in front; 2: usage.\n");
    exit(status);
}

enum option_id {
    OPT_LISTEN = 256,
    OPT_PORTS,
    OPT_COUNT,
    OPT_TIMEOUT,
    OPT_WAIT,
    OPT_SUITE,
    OPT_KEY,
    OPT_SSRC,
    OPT_DERIVE,
    OPT_ROC,
    OPT_PRIME,
    OPT_SAVE,
    OPT_COMPARE,
    OPT_READY,
    OPT_BRIEF,
    OPT_HELP,
};

static const struct option options[] = {
    {"listen", required_argument, NULL, OPT_LISTEN},
    {"ports", required_argument, NULL, OPT_PORTS},
    {"count", required_argument, NULL, OPT_COUNT},
    {"timeout", required_argument, NULL, OPT_TIMEOUT},
    {"wait", required_argument, NULL, OPT_WAIT},
    {"suite", required_argument, NULL, OPT_SUITE},
    {"key", required_argument, NULL, OPT_KEY},
    {"ssrc", required_argument, NULL, OPT_SSRC},
    {"derive", no_argument, NULL, OPT_DERIVE},
    {"roc", required_argument, NULL, OPT_ROC},
    {"prime", no_argument, NULL, OPT_PRIME},
    {"save", required_argument, NULL, OPT_SAVE},
    {"compare", required_argument, NULL, OPT_COMPARE},
    {"ready", required_argument, NULL, OPT_READY},
    {"brief", no_argument, NULL, OPT_BRIEF},
    {"help", no_argument, NULL, OPT_HELP},
    {0},
};

static void take_text(struct config *c, int id, const char *text)
{
    const char **const texts[] = {
        [OPT_SUITE - 256] = &c->suite, [OPT_KEY - 256] = &c->key_text,
        [OPT_SAVE - 256] = &c->save,   [OPT_COMPARE - 256] = &c->compare,
        [OPT_READY - 256] = &c->ready,
    };

    *texts[id - 256] = text;
}

static void take(struct config *c, int id, const char *name, const char *text)
{
    if (id == OPT_HELP)
        usage(stdout, 0);
    else if (id == '?')
        usage(stderr, CLI_USAGE);
    else if (id == OPT_LISTEN)
        c->listen = cli_addr(name, text);
    else if (id == OPT_PORTS)
        c->ports = (unsigned)cli_number(name, text, 1, 60000);
    else if (id == OPT_COUNT)
        c->count = cli_number(name, text, 1, UINT32_MAX);
    else if (id == OPT_TIMEOUT)
        c->timeout = cli_real(name, text, 0, 86400);
    else if (id == OPT_WAIT)
        c->wait = cli_real(name, text, 0, 86400);
    else if (id == OPT_SSRC)
        c->first_ssrc = (uint32_t)cli_number(name, text, 0, UINT32_MAX);
    else if (id == OPT_ROC)
        c->roc = (uint32_t)cli_number(name, text, 0, UINT32_MAX);
    else if (id == OPT_DERIVE)
        c->key.derive = true;
    else if (id == OPT_BRIEF)
        c->brief = true;
    else if (id == OPT_PRIME)
        c->prime = true;
    else
        take_text(c, id, text);
}

static void parse(struct config *c, int argc, char **argv)
{
    int id, at = 0;

    *c = (struct config){.ports = 1, .timeout = 2, .wait = 10, .first_ssrc = 1};
    while ((id = getopt_long(argc, argv, "", options, &at)) != -1)
        take(c, id, options[at].name, optarg);
    if (optind != argc)
        cli_die("\"%s\" is not an option; see --help", argv[optind]);
    if (!c->listen.family)
        cli_die("--listen is needed; see --help");
    if (c->listen.port + c->ports - 1 > UINT16_MAX)
        cli_die("--ports: there are not so many ports from %u on", c->listen.port);
    if (c->key_text)
        cli_key(&c->key, c->suite, c->key_text);
}

/* ---------------------------------------------------------------- streams */

static void *need(void *memory)
{
    if (!memory)
        cli_die("out of memory");
    return memory;
}

static struct stream **table_slot(struct receiver *r, uint32_t ssrc)
{
    size_t at = (ssrc * 2654435761u) & r->table_mask;

    while (r->table[at] && r->table[at]->ssrc != ssrc)
        at = (at + 1) & r->table_mask;
    return &r->table[at];
}

static void grow_table(struct receiver *r)
{
    size_t size = r->table ? 2 * (r->table_mask + 1) : 64;

    free(r->table);
    r->table = need(calloc(size, sizeof(*r->table)));
    r->table_mask = size - 1;
    r->streams = need(realloc(r->streams, size / 2 * sizeof(*r->streams)));
    for (size_t i = 0; i < r->stream_count; i++)
        *table_slot(r, r->streams[i]->ssrc) = r->streams[i];
}

static struct stream *stream_of(struct receiver *r, uint32_t ssrc)
{
    struct stream **slot, *stream;

    if (!r->table || r->stream_count * 2 > r->table_mask)
        grow_table(r);
    slot = table_slot(r, ssrc);
    if (*slot)
        return *slot;
    stream = need(calloc(1, sizeof(*stream)));
    stream->ssrc = ssrc;
    if (r->config.key.suite) {
        const struct cli_key *key = &r->config.key;
        uint8_t material[SUITE_KEY_MAX_OCTETS];
        struct srtp_key srtp_key;

        cli_key_of(key, ssrc - r->config.first_ssrc, material);
        srtp_key_master(&srtp_key, material, suite_material_octets(key->suite));
        if (srtp_session_new(r->engine, &stream->session, key->suite, &srtp_key) < 0)
            cli_die("the SRTP session of SSRC %08x could not be made", ssrc);
    }
    *slot = r->streams[r->stream_count++] = stream;
    return stream;
}

/* True when this one was not there yet. */
static bool mark_seen(struct stream *s, uint64_t number)
{
    size_t octet = (size_t)(number - s->base) / 8;
    uint8_t bit = (uint8_t)(1u << (number - s->base) % 8);

    if (octet >= s->seen_octets) {
        s->seen = need(realloc(s->seen, octet + HALF_TURN));
        memset(s->seen + s->seen_octets, 0, octet + HALF_TURN - s->seen_octets);
        s->seen_octets = octet + HALF_TURN;
    }
    if (s->seen[octet] & bit)
        return false;
    s->seen[octet] |= bit;
    return true;
}

/* The extended number that is nearest to the highest one so far. */
static uint64_t extend(const struct stream *s, uint16_t sequence)
{
    uint64_t number = (s->highest & ~(uint64_t)(TURN - 1)) | sequence;

    if (number > s->highest + HALF_TURN && number >= s->base + TURN)
        return number - TURN;
    return number + HALF_TURN < s->highest ? number + TURN : number;
}

static void note_rtp(struct stream *s, uint16_t sequence)
{
    uint64_t number;

    s->rtp++;
    if (!s->started) {
        s->started = true;
        s->lowest = s->highest = (uint64_t)TURN + sequence;
        s->base = s->lowest - HALF_TURN;
    }
    number = extend(s, sequence);
    if (!mark_seen(s, number)) {
        s->duplicates++;
        return;
    }
    s->distinct++;
    s->out_of_order += number < s->highest;
    s->lowest = number < s->lowest ? number : s->lowest;
    s->highest = number > s->highest ? number : s->highest;
}

static uint64_t lost(const struct stream *s)
{
    return s->started ? s->highest - s->lowest + 1 - s->distinct : 0;
}

static void verify(struct receiver *r, struct stream *s, const struct rtp_view *view,
                   const uint8_t *data, size_t length)
{
    uint64_t first = (uint64_t)r->config.roc << 16 | view->sequence;
    enum verdict verdict;

    if (!s->session)
        return;
    if (view->shape == RTP_SHAPE_RTCP) {
        verdict = srtp_verify_rtcp(s->session, &s->index, s->ssrc, data, length);
    } else {
        if (r->config.roc > 0 && !s->index.started) {
            s->index.started = true;
            s->index.highest = first - 1;
        }
        verdict = srtp_verify_rtp(s->session, &s->index, s->ssrc, data, length);
    }
    s->replays += verdict == VERDICT_REPLAY;
    s->auth_failures += verdict != VERDICT_ACCEPTED && verdict != VERDICT_REPLAY;
}

/* ---------------------------------------------------------------- receiving */

static void note_source(struct receiver *r, const struct addr *source)
{
    for (size_t i = 0; i < r->source_count; i++)
        if (addr_equal(&r->sources[i], source))
            return;
    if (r->source_count < SOURCES_MAX)
        r->sources[r->source_count++] = *source;
}

static void note_packet(struct receiver *r, const uint8_t *data, size_t length)
{
    struct rtp_view view;
    struct stream *stream;
    uint32_t outer = 0;
    bool headed = r->config.prime && prime_read(data, length, &outer);

    if (headed) {
        data += PRIME_OCTETS;
        length -= PRIME_OCTETS;
    }

    r->packets++;
    r->octets += length;
    if (r->save && !packets_append(r->save, data, length))
        cli_die("%s: cannot be written", r->config.save);
    if (r->config.compare)
        r->different += !packets_take(&r->expected, data, length);
    if (headed != r->config.prime || classify(data, length, &view) != VERDICT_ACCEPTED) {
        r->neither++;
        return;
    }
    r->other_outer += headed && outer != view.ssrc;
    stream = stream_of(r, view.ssrc);
    if (view.shape == RTP_SHAPE_RTP)
        note_rtp(stream, view.sequence);
    else
        stream->rtcp++;
    verify(r, stream, &view, data, length);
}

static bool enough(const struct receiver *r)
{
    return stopped || (r->config.count > 0 && r->packets >= r->config.count);
}

static void drain(struct receiver *r, int fd)
{
    static uint8_t data[DATAGRAM_MAX_OCTETS];

    while (!enough(r)) {
        struct sockaddr_storage from;
        socklen_t from_length = sizeof(from);
        ssize_t n =
            recvfrom(fd, data, sizeof(data), MSG_DONTWAIT, (struct sockaddr *)&from, &from_length);
        struct addr source;

        if (n < 0)
            break;
        source = addr_from_sockaddr((struct sockaddr *)&from);
        note_source(r, &source);
        note_packet(r, data, (size_t)n);
    }
    /* A test may look at the file while this goes on. */
    if (r->save)
        fflush(r->save);
}

static void receive_all(struct receiver *r)
{
    struct epoll_event events[64];

    while (!enough(r)) {
        double seconds = r->packets > 0 ? r->config.timeout : r->config.wait;
        int n = epoll_wait(r->epoll_fd, events, 64, (int)(seconds * 1000));

        if (n == 0 || (n < 0 && errno != EINTR))
            return;
        for (int i = 0; i < n; i++)
            drain(r, events[i].data.fd);
    }
}

static void open_all(struct receiver *r)
{
    const struct config *c = &r->config;
    const char *error;
    FILE *ready;

    /* Not the engine that the relays use: a mistake in that one would go unseen. */
    if (srtp_engine_new(&r->engine, SRTP_ENGINE_LIBSRTP2) < 0)
        cli_die("libsrtp2 could not be started");
    if (c->compare && packets_read(&r->expected, c->compare, &error) < 0)
        cli_die("%s: %s", c->compare, error);
    if (c->save && !(r->save = fopen(c->save, "wb")))
        cli_die("%s: %s", c->save, strerror(errno));
    cli_raise_files();
    r->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    r->fds = need(calloc(c->ports, sizeof(*r->fds)));
    for (unsigned i = 0; i < c->ports; i++) {
        struct addr local = c->listen;
        struct epoll_event event = {.events = EPOLLIN};

        local.port = (uint16_t)(local.port + i);
        event.data.fd = r->fds[i] = cli_socket(&local);
        if (epoll_ctl(r->epoll_fd, EPOLL_CTL_ADD, r->fds[i], &event) < 0)
            cli_die("epoll: %s", strerror(errno));
    }
    if (c->ready && (!(ready = fopen(c->ready, "w")) || fclose(ready) != 0))
        cli_die("%s: %s", c->ready, strerror(errno));
}

static void close_all(struct receiver *r)
{
    if (r->save && fclose(r->save) != 0)
        cli_die("%s: cannot be written", r->config.save);
    for (unsigned i = 0; i < r->config.ports; i++)
        close(r->fds[i]);
    close(r->epoll_fd);
    for (size_t i = 0; i < r->stream_count; i++) {
        srtp_session_free(r->streams[i]->session);
        free(r->streams[i]->seen);
        free(r->streams[i]);
    }
    free(r->streams);
    free(r->table);
    free(r->fds);
    packets_free(&r->expected);
    srtp_engine_free(r->engine);
}

/* ---------------------------------------------------------------- the result */

static void add_stream(json_t *list, struct stream *sum, const struct stream *s)
{
    sum->rtp += s->rtp;
    sum->rtcp += s->rtcp;
    sum->distinct += lost(s); /* of the sum only */
    sum->duplicates += s->duplicates;
    sum->out_of_order += s->out_of_order;
    sum->auth_failures += s->auth_failures;
    sum->replays += s->replays;
    if (list)
        json_array_append_new(
            list, json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "ssrc", (json_int_t)s->ssrc,
                            "rtp", (json_int_t)s->rtp, "rtcp", (json_int_t)s->rtcp, "lost",
                            (json_int_t)lost(s), "duplicates", (json_int_t)s->duplicates,
                            "out_of_order", (json_int_t)s->out_of_order, "auth_failures",
                            (json_int_t)s->auth_failures, "replays", (json_int_t)s->replays));
}

static json_t *list_sources(const struct receiver *r)
{
    json_t *list = json_array();
    char text[ADDR_TEXT_SIZE];

    for (size_t i = 0; i < r->source_count && i < SOURCES_SHOWN; i++)
        json_array_append_new(list, json_string(addr_format(&r->sources[i], text, sizeof(text))));
    return list;
}

/* True when all is as it was asked for. */
static bool print_result(const struct receiver *r)
{
    json_t *list = r->config.brief ? NULL : json_array(), *object;
    struct stream sum = {0};

    for (size_t i = 0; i < r->stream_count; i++)
        add_stream(list, &sum, r->streams[i]);
    object = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "packets",
                       (json_int_t)r->packets, "octets", (json_int_t)r->octets, "rtp",
                       (json_int_t)sum.rtp, "rtcp", (json_int_t)sum.rtcp, "other",
                       (json_int_t)r->neither, "ssrcs", (json_int_t)r->stream_count, "lost",
                       (json_int_t)sum.distinct, "duplicates", (json_int_t)sum.duplicates,
                       "out_of_order", (json_int_t)sum.out_of_order, "auth_failures",
                       (json_int_t)sum.auth_failures, "replays", (json_int_t)sum.replays);
    need(object);
    if (r->config.compare) {
        json_object_set_new(object, "different", json_integer((json_int_t)r->different));
        json_object_set_new(object, "missing",
                            json_integer((json_int_t)packets_missing(&r->expected)));
    }
    if (r->config.prime)
        json_object_set_new(object, "other_outer", json_integer((json_int_t)r->other_outer));
    json_object_set_new(object, "source_count", json_integer((json_int_t)r->source_count));
    json_object_set_new(object, "sources", list_sources(r));
    if (list)
        json_object_set_new(object, "streams", list);
    json_dumpf(object, stdout, 0);
    putchar('\n');
    json_decref(object);
    return sum.auth_failures == 0 && r->different == 0 && r->other_outer == 0 &&
           r->packets >= r->config.count;
}

int main(int argc, char **argv)
{
    const struct sigaction action = {.sa_handler = on_signal};
    static struct receiver r;
    bool good;

    parse(&r.config, argc, argv);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    open_all(&r);
    receive_all(&r);
    good = print_result(&r);
    close_all(&r);
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
