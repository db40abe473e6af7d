/* Sends SRTP and SRTCP, good and bad, from one or many senders; see usage(). */
#include "config.h" /* _GNU_SOURCE */

#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "common/base/base64.h"
#include "common/base/protocol.h"
#include "common/base/writer.h"
#include "common/rtp/classify.h"
#include "common/rtp/prime.h"
#include "tests/tools/cli.h"
#include "tests/tools/junk.h"
#include "tests/tools/packets.h"
#include "tests/unit/protect.h"

enum { TIMESTAMP_STEP = 160, NS_PER_S = 1000000000, PORT_MAX = 65535 };

struct config {
    struct addr from, to, rtcp_to, rtcp_from;
    bool mux, plain, forge, wrong_key, junk, plain_rtcp, print_keys, prime, other_outer;
    const char *suite, *key_text, *next_suite, *next_key_text, *save, *resend;
    struct cli_key key, next_key;
    uint32_t ssrc, roc, outer;
    uint16_t sequence;
    uint8_t payload_type;
    uint64_t count, switch_at;
    double rate;
    size_t size;
    unsigned streams, step, replay, rtcp_every, rtcp_index;
};

struct stream {
    int rtp_fd, rtcp_fd;
    uint32_t ssrc;
    uint64_t first_index, sent;
    struct protect *protect;
};

struct totals {
    uint64_t rtp, rtcp, other, octets, errors;
    int last_error;
};

struct sender {
    struct config config;
    struct stream *streams;
    struct totals totals;
    FILE *save;
    uint64_t start_ns;
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
            "usage: rtpsend --from IP:PORT --to IP:PORT --key BASE64 [options]\n"
            "  --from IP:PORT       sends from here; stream n from PORT + n * step\n"
            "  --to IP:PORT         where RTP goes\n"
            "  --rtcp-from IP:PORT  default: the port after --from\n"
            "  --rtcp-to IP:PORT    default: the port after --to\n"
            "  --mux                RTCP from and to the RTP ports\n"
            "  --suite NAME         default AES_CM_128_HMAC_SHA1_80\n"
            "  --key BASE64         master key and salt\n"
            "  --plain              RTP and RTCP without protection, and without a key\n"
            "  --ssrc N             of the first stream (default 1), the next has the next\n"
            "  --streams N          senders (default 1)\n"
            "  --step N             ports from one stream to the next (default 2)\n"
            "  --derive             stream n has the key whose last four octets (before the\n"
            "                       salt) are XORed with n; default: all have the same key\n"
            "  --print-keys         prints a JSON line for each stream and sends nothing\n"
            "  --count N            RTP packets of each stream (default 100, 0: until SIGTERM)\n"
            "  --rate N             packets per second of each stream (default 50, 0: no pause)\n"
            "  --size N             octets of payload (default 160)\n"
            "  --seq N, --roc N     of the first packet (default 1 and 0)\n"
            "  --pt N               payload type (default 0)\n"
            "  --rtcp-every N       a sender report after every N RTP packets\n"
            "  --rtcp-index N       of SRTCP, of the first report (default 1)\n"
            "  --plain-rtcp         leaves RTCP unprotected\n"
            "  --replay N           each packet N times\n"
            "  --forge              spoils the tag of each packet\n"
            "  --wrong-key          protects with another key\n"
            "  --next-key BASE64    of each stream after --switch-at N RTP packets; the indexes\n"
            "                       of SRTP go on\n"
            "  --next-suite NAME    default: as --suite\n"
            "  --prime              sends RTP', with the SSRC in front: each packet's own\n"
            "  --outer N            another one in front, N for the first stream; means --prime\n"
            "  --save FILE          keeps what was sent: u16 length, then the packet (what stands\n"
            "                       in front of it is not kept)\n"
            "  --resend FILE        sends what is in such a file instead\n"
            "  --junk               sends what is neither RTP nor RTCP, or not well-formed,\n"
            "                       to both ports, --count rounds of it (default 1)\n"
            "Prints one JSON line: what was sent. Exit status 0, 1 (a packet could not be sent), 2 "
            "(usage).\n");
    exit(status);
}

enum option_id {
    OPT_FROM = 256,
    OPT_TO,
    OPT_RTCP_FROM,
    OPT_RTCP_TO,
    OPT_MUX,
    OPT_SUITE,
    OPT_KEY,
    OPT_PLAIN,
    OPT_SSRC,
    OPT_STREAMS,
    OPT_STEP,
    OPT_DERIVE,
    OPT_PRINT_KEYS,
    OPT_COUNT,
    OPT_RATE,
    OPT_SIZE,
    OPT_SEQ,
    OPT_ROC,
    OPT_PT,
    OPT_RTCP_EVERY,
    OPT_RTCP_INDEX,
    OPT_PLAIN_RTCP,
    OPT_REPLAY,
    OPT_FORGE,
    OPT_WRONG_KEY,
    OPT_NEXT_KEY,
    OPT_NEXT_SUITE,
    OPT_SWITCH_AT,
    OPT_PRIME,
    OPT_OUTER,
    OPT_SAVE,
    OPT_RESEND,
    OPT_JUNK,
    OPT_HELP,
};

static const struct option options[] = {
    {"from", required_argument, NULL, OPT_FROM},
    {"to", required_argument, NULL, OPT_TO},
    {"rtcp-from", required_argument, NULL, OPT_RTCP_FROM},
    {"rtcp-to", required_argument, NULL, OPT_RTCP_TO},
    {"mux", no_argument, NULL, OPT_MUX},
    {"suite", required_argument, NULL, OPT_SUITE},
    {"key", required_argument, NULL, OPT_KEY},
    {"plain", no_argument, NULL, OPT_PLAIN},
    {"ssrc", required_argument, NULL, OPT_SSRC},
    {"streams", required_argument, NULL, OPT_STREAMS},
    {"step", required_argument, NULL, OPT_STEP},
    {"derive", no_argument, NULL, OPT_DERIVE},
    {"print-keys", no_argument, NULL, OPT_PRINT_KEYS},
    {"count", required_argument, NULL, OPT_COUNT},
    {"rate", required_argument, NULL, OPT_RATE},
    {"size", required_argument, NULL, OPT_SIZE},
    {"seq", required_argument, NULL, OPT_SEQ},
    {"roc", required_argument, NULL, OPT_ROC},
    {"pt", required_argument, NULL, OPT_PT},
    {"rtcp-every", required_argument, NULL, OPT_RTCP_EVERY},
    {"rtcp-index", required_argument, NULL, OPT_RTCP_INDEX},
    {"plain-rtcp", no_argument, NULL, OPT_PLAIN_RTCP},
    {"replay", required_argument, NULL, OPT_REPLAY},
    {"forge", no_argument, NULL, OPT_FORGE},
    {"wrong-key", no_argument, NULL, OPT_WRONG_KEY},
    {"next-key", required_argument, NULL, OPT_NEXT_KEY},
    {"next-suite", required_argument, NULL, OPT_NEXT_SUITE},
    {"switch-at", required_argument, NULL, OPT_SWITCH_AT},
    {"prime", no_argument, NULL, OPT_PRIME},
    {"outer", required_argument, NULL, OPT_OUTER},
    {"save", required_argument, NULL, OPT_SAVE},
    {"resend", required_argument, NULL, OPT_RESEND},
    {"junk", no_argument, NULL, OPT_JUNK},
    {"help", no_argument, NULL, OPT_HELP},
    {0},
};

static void take_number(struct config *c, int id, const char *name, const char *text)
{
    if (id == OPT_SSRC)
        c->ssrc = (uint32_t)cli_number(name, text, 0, UINT32_MAX);
    else if (id == OPT_OUTER)
        c->outer = (uint32_t)cli_number(name, text, 0, UINT32_MAX);
    else if (id == OPT_STREAMS)
        c->streams = (unsigned)cli_number(name, text, 1, 30000);
    else if (id == OPT_STEP)
        c->step = (unsigned)cli_number(name, text, 1, 1000);
    else if (id == OPT_COUNT)
        c->count = cli_number(name, text, 0, UINT32_MAX);
    else if (id == OPT_SWITCH_AT)
        c->switch_at = cli_number(name, text, 1, UINT32_MAX);
    else if (id == OPT_RATE)
        c->rate = cli_real(name, text, 0, 1e7);
    else if (id == OPT_SIZE)
        c->size = (size_t)cli_number(
            name, text, 0, PACKET_MAX_OCTETS - PROTECT_HEADER_OCTETS - PROTECT_ADDS_OCTETS);
    else if (id == OPT_SEQ)
        c->sequence = (uint16_t)cli_number(name, text, 0, UINT16_MAX);
    else if (id == OPT_ROC)
        c->roc = (uint32_t)cli_number(name, text, 0, UINT32_MAX);
    else if (id == OPT_PT)
        c->payload_type = (uint8_t)cli_number(name, text, 0, 127);
    else if (id == OPT_RTCP_EVERY)
        c->rtcp_every = (unsigned)cli_number(name, text, 1, UINT32_MAX);
    else if (id == OPT_RTCP_INDEX)
        c->rtcp_index = (unsigned)cli_number(name, text, 1, 65536);
    else
        c->replay = (unsigned)cli_number(name, text, 1, 1000);
}

static void take_address(struct config *c, int id, const char *name, const char *text)
{
    struct addr addr = cli_addr(name, text);

    if (id == OPT_FROM)
        c->from = addr;
    else if (id == OPT_TO)
        c->to = addr;
    else if (id == OPT_RTCP_FROM)
        c->rtcp_from = addr;
    else
        c->rtcp_to = addr;
}

static void take_flag(struct config *c, int id)
{
    bool *const flags[] = {
        [OPT_MUX - 256] = &c->mux,           [OPT_PLAIN - 256] = &c->plain,
        [OPT_DERIVE - 256] = &c->key.derive, [OPT_PRINT_KEYS - 256] = &c->print_keys,
        [OPT_FORGE - 256] = &c->forge,       [OPT_PLAIN_RTCP - 256] = &c->plain_rtcp,
        [OPT_JUNK - 256] = &c->junk,         [OPT_WRONG_KEY - 256] = &c->wrong_key,
        [OPT_PRIME - 256] = &c->prime,
    };

    *flags[id - 256] = true;
}

static void take(struct config *c, int id, const char *name, const char *text)
{
    switch (id) {
    case OPT_HELP:
        usage(stdout, 0);
    case '?':
        usage(stderr, CLI_USAGE);
    case OPT_FROM:
    case OPT_TO:
    case OPT_RTCP_FROM:
    case OPT_RTCP_TO:
        take_address(c, id, name, text);
        break;
    case OPT_SUITE:
        c->suite = text;
        break;
    case OPT_KEY:
        c->key_text = text;
        break;
    case OPT_NEXT_KEY:
        c->next_key_text = text;
        break;
    case OPT_NEXT_SUITE:
        c->next_suite = text;
        break;
    case OPT_SAVE:
        c->save = text;
        break;
    case OPT_RESEND:
        c->resend = text;
        break;
    default:
        if (text)
            take_number(c, id, name, text);
        else
            take_flag(c, id);
    }
}

static struct addr beside(const struct addr *given, const struct addr *rtp, bool mux)
{
    struct addr addr = given->family ? *given : *rtp;

    if (!given->family && !mux)
        addr.port++;
    return addr;
}

static void check(struct config *c)
{
    if (!c->from.family || (!c->to.family && !c->print_keys))
        cli_die("--from and --to are needed; see --help");
    if (c->mux && (c->rtcp_from.family || c->rtcp_to.family))
        cli_die("--mux says where RTCP goes: --rtcp-from and --rtcp-to contradict it");
    if (c->from.port + (c->streams - 1) * c->step + 1 > PORT_MAX)
        cli_die("--streams, --step: the ports do not suffice from %u on", c->from.port);
    c->rtcp_from = beside(&c->rtcp_from, &c->from, c->mux);
    c->rtcp_to = beside(&c->rtcp_to, &c->to, c->mux);
    if (c->resend || c->junk || c->plain)
        return;
    if (!c->key_text)
        cli_die("--key is needed (or --plain); see --help");
    cli_key(&c->key, c->suite, c->key_text);
    if (c->wrong_key)
        c->key.material[0] ^= 0xff;
    if (!c->next_key_text != (c->switch_at == 0))
        cli_die("--next-key and --switch-at go together; see --help");
    if (!c->next_key_text)
        return;
    cli_key(&c->next_key, c->next_suite ? c->next_suite : c->suite, c->next_key_text);
    c->next_key.derive = c->key.derive;
}

static void parse(struct config *c, int argc, char **argv)
{
    bool counted = false;
    int id, at = 0;

    *c = (struct config){.ssrc = 1,
                         .sequence = 1,
                         .count = 100,
                         .rate = 50,
                         .size = 160,
                         .streams = 1,
                         .step = 2,
                         .rtcp_index = 1,
                         .replay = 1};
    while ((id = getopt_long(argc, argv, "", options, &at)) != -1) {
        take(c, id, options[at].name, optarg);
        counted = counted || id == OPT_COUNT;
        c->other_outer = c->other_outer || id == OPT_OUTER;
    }
    if (optind != argc)
        cli_die("\"%s\" is not an option; see --help", argv[optind]);
    if (c->junk && !counted)
        c->count = 1;
    c->prime = c->prime || c->other_outer;
    check(c);
}

/* ---------------------------------------------------------------- sending */

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

static void sleep_until(uint64_t at_ns)
{
    struct timespec ts = {.tv_sec = (time_t)(at_ns / NS_PER_S),
                          .tv_nsec = (long)(at_ns % NS_PER_S)};

    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
}

/* What stands in front of a packet; nothing known of it counts as SSRC 0. */
static uint32_t outer_of(const struct config *c, const uint8_t *data, size_t length)
{
    struct rtp_view view = {0};

    (void)classify(data, length, &view);
    return c->other_outer ? c->outer + (view.ssrc - c->ssrc) : view.ssrc;
}

static ssize_t send_datagram(const struct config *c, int fd, const struct addr *to,
                             const uint8_t *data, size_t length)
{
    uint8_t head[PRIME_OCTETS];
    struct sockaddr_storage name;
    struct iovec parts[] = {{head, c->prime ? sizeof(head) : 0}, {(void *)(uintptr_t)data, length}};
    struct msghdr message = {.msg_name = &name,
                             .msg_namelen = addr_to_sockaddr(to, &name),
                             .msg_iov = parts,
                             .msg_iovlen = 2};

    prime_write(head, outer_of(c, data, length));
    return sendmsg(fd, &message, 0);
}

/* Sends a datagram; an ICMP error of an earlier one does not count. */
static void emit(struct sender *s, int fd, const struct addr *to, const uint8_t *data,
                 size_t length, uint64_t *counter)
{
    ssize_t n = -1;

    for (unsigned tries = 0; n < 0 && tries < 3; tries++)
        n = send_datagram(&s->config, fd, to, data, length);
    if (n < 0) {
        s->totals.errors++;
        s->totals.last_error = errno;
        return;
    }
    ++*counter;
    s->totals.octets += length;
    if (s->save && !packets_append(s->save, data, length))
        cli_die("%s: cannot be written", s->config.save);
}

static void emit_media(struct sender *s, struct stream *stream, bool rtcp, uint8_t *packet,
                       size_t length)
{
    const struct config *c = &s->config;

    if (length == 0)
        cli_die("a packet could not be protected: its index was used before?");
    if (c->forge)
        packet[length - 1] ^= 0x01;
    for (unsigned i = 0; i < c->replay; i++)
        emit(s, rtcp ? stream->rtcp_fd : stream->rtp_fd, rtcp ? &c->rtcp_to : &c->to, packet,
             length, rtcp ? &s->totals.rtcp : &s->totals.rtp);
}

static void set_key(struct stream *stream, const struct cli_key *key, unsigned n)
{
    uint8_t material[SUITE_KEY_MAX_OCTETS];

    protect_free(stream->protect);
    cli_key_of(key, n, material);
    stream->protect = protect_new(key->suite, material, stream->ssrc);
    if (!stream->protect)
        cli_die("the SRTP session of stream %u could not be made", n);
}

static void send_rtp(struct sender *s, struct stream *stream)
{
    const struct config *c = &s->config;
    uint64_t index = stream->first_index + stream->sent;
    uint8_t packet[PACKET_MAX_OCTETS], payload[PACKET_MAX_OCTETS];
    size_t length;

    if (c->switch_at > 0 && stream->sent == c->switch_at)
        set_key(stream, &c->next_key, (unsigned)(stream - s->streams));
    for (size_t i = 0; i < c->size; i++)
        payload[i] = (uint8_t)(i + index);
    length = protect_make_rtp(packet, sizeof(packet), c->payload_type, (uint16_t)index,
                              (uint32_t)index * TIMESTAMP_STEP, stream->ssrc, payload, c->size);
    if (!c->plain)
        length = protect_rtp(stream->protect, index, packet, length, sizeof(packet));
    emit_media(s, stream, false, packet, length);
    stream->sent++;
}

/* A sender report and a description with a CNAME (RFC 3550 sections 6.4.1 and 6.5). */
static size_t make_report(const struct stream *stream, uint8_t *out, size_t size)
{
    static const char cname[] = "rtpsend@test";
    struct timespec ts;
    struct writer w;

    clock_gettime(CLOCK_REALTIME, &ts);
    writer_init(&w, out, size);
    writer_u32(&w, 0x80c80006);
    writer_u32(&w, stream->ssrc);
    writer_u32(&w, (uint32_t)((uint64_t)ts.tv_sec + 2208988800u));
    writer_u32(&w, (uint32_t)(((uint64_t)ts.tv_nsec << 32) / NS_PER_S));
    writer_u32(&w, (uint32_t)(stream->first_index + stream->sent) * TIMESTAMP_STEP);
    writer_u32(&w, (uint32_t)stream->sent);
    writer_u32(&w, (uint32_t)stream->sent * TIMESTAMP_STEP);
    writer_u32(&w, 0x81ca0005);
    writer_u32(&w, stream->ssrc);
    writer_u8(&w, 1);
    writer_u8(&w, sizeof(cname) - 1);
    writer_copy(&w, cname, sizeof(cname) - 1);
    writer_u16(&w, 0);
    return w.failed ? 0 : writer_length(&w);
}

static void send_rtcp(struct sender *s, struct stream *stream)
{
    uint8_t packet[256];
    size_t length = make_report(stream, packet, sizeof(packet));

    if (!s->config.plain && !s->config.plain_rtcp)
        length = protect_rtcp(stream->protect, packet, length, sizeof(packet));
    emit_media(s, stream, true, packet, length);
}

/* Waits until it is time for the nth of all packets. */
static void pace(const struct sender *s, uint64_t n)
{
    double rate = s->config.rate * s->config.streams;

    if (rate > 0)
        sleep_until(s->start_ns + (uint64_t)((double)n / rate * NS_PER_S));
}

static void run_streams(struct sender *s)
{
    const struct config *c = &s->config;
    uint64_t n = 0;

    for (uint64_t round = 0; (c->count == 0 || round < c->count) && !stopped; round++)
        for (unsigned i = 0; i < c->streams && !stopped; i++) {
            struct stream *stream = &s->streams[i];

            pace(s, n++);
            send_rtp(s, stream);
            if (c->rtcp_every > 0 && stream->sent % c->rtcp_every == 0)
                send_rtcp(s, stream);
        }
}

static void run_junk(struct sender *s)
{
    const struct config *c = &s->config;
    uint8_t packet[JUNK_MAX_OCTETS];
    uint64_t n = 0;

    for (uint64_t round = 0; (c->count == 0 || round < c->count) && !stopped; round++)
        for (size_t i = 0; i < junk_count() && !stopped; i++) {
            struct stream *stream = &s->streams[i % c->streams];
            size_t length = junk_make(i, packet);

            pace(s, n++);
            emit(s, stream->rtp_fd, &c->to, packet, length, &s->totals.other);
            if (!c->mux)
                emit(s, stream->rtcp_fd, &c->rtcp_to, packet, length, &s->totals.other);
        }
}

static bool looks_like_rtcp(const struct packet *p)
{
    return p->length >= 8 && p->data[1] >= 192 && p->data[1] <= 223;
}

static void run_resend(struct sender *s)
{
    const struct config *c = &s->config;
    struct packets packets;
    const char *error;
    uint64_t n = 0;

    if (packets_read(&packets, c->resend, &error) < 0)
        cli_die("%s: %s", c->resend, error);
    for (size_t i = 0; i < packets.count && !stopped; i++) {
        const struct packet *p = &packets.list[i];
        bool rtcp = looks_like_rtcp(p);

        for (unsigned copy = 0; copy < c->replay; copy++) {
            pace(s, n++);
            emit(s, rtcp ? s->streams->rtcp_fd : s->streams->rtp_fd, rtcp ? &c->rtcp_to : &c->to,
                 p->data, p->length, rtcp ? &s->totals.rtcp : &s->totals.rtp);
        }
    }
    packets_free(&packets);
}

/* ---------------------------------------------------------------- start and end */

static struct addr address_of(const struct addr *first, const struct config *c, unsigned n)
{
    struct addr addr = *first;

    addr.port = (uint16_t)(addr.port + n * c->step);
    return addr;
}

/* The library counts the reports that it protects, and lets nobody say where to begin. */
static void skip_reports(const struct config *c, struct stream *stream)
{
    uint8_t packet[256];

    for (unsigned i = 1; i < c->rtcp_index; i++) {
        size_t length = make_report(stream, packet, sizeof(packet));

        if (protect_rtcp(stream->protect, packet, length, sizeof(packet)) == 0)
            cli_die("--rtcp-index: a report could not be protected");
    }
}

static void open_stream(const struct config *c, struct stream *stream, unsigned n)
{
    struct addr rtp = address_of(&c->from, c, n), rtcp = address_of(&c->rtcp_from, c, n);
    bool with_rtcp = c->rtcp_every > 0 || c->junk || c->resend;

    stream->ssrc = c->ssrc + n;
    stream->first_index = (uint64_t)c->roc << 16 | c->sequence;
    stream->rtp_fd = cli_socket(&rtp);
    stream->rtcp_fd = c->mux || !with_rtcp ? stream->rtp_fd : cli_socket(&rtcp);
    if (!c->key.suite)
        return;
    set_key(stream, &c->key, n);
    skip_reports(c, stream);
}

static void close_stream(struct stream *stream)
{
    if (stream->rtcp_fd != stream->rtp_fd)
        close(stream->rtcp_fd);
    close(stream->rtp_fd);
    protect_free(stream->protect);
}

static void print_json(json_t *object)
{
    if (!object)
        cli_die("out of memory");
    json_dumpf(object, stdout, JSON_REAL_PRECISION(6));
    putchar('\n');
    fflush(stdout);
    json_decref(object);
}

static void print_keys(const struct config *c)
{
    for (unsigned n = 0; n < c->streams; n++) {
        struct addr rtp = address_of(&c->from, c, n), rtcp = address_of(&c->rtcp_from, c, n);
        uint8_t material[SUITE_KEY_MAX_OCTETS];
        char text[2][ADDR_TEXT_SIZE], key[4 * SUITE_KEY_MAX_OCTETS / 3 + 8] = "";

        if (c->key.suite) {
            cli_key_of(&c->key, n, material);
            base64_encode(material, suite_material_octets(c->key.suite), key);
        }
        print_json(json_pack("{s:s, s:s, s:I, s:s, s:s}", "source",
                             addr_format(&rtp, text[0], sizeof(text[0])), "source_rtcp",
                             addr_format(&rtcp, text[1], sizeof(text[1])), "ssrc",
                             (json_int_t)(c->ssrc + n), "suite",
                             c->key.suite ? c->key.suite->name : "", "key", key));
    }
}

static void print_totals(const struct sender *s)
{
    const struct totals *t = &s->totals;
    const struct stream *first = &s->streams[0];
    double seconds = (double)(now_ns() - s->start_ns) / NS_PER_S;

    print_json(json_pack(
        "{s:i, s:I, s:I, s:I, s:I, s:I, s:s?, s:I, s:I, s:f}", "streams", (int)s->config.streams,
        "rtp", (json_int_t)t->rtp, "rtcp", (json_int_t)t->rtcp, "other", (json_int_t)t->other,
        "octets", (json_int_t)t->octets, "errors", (json_int_t)t->errors, "last_error",
        t->errors ? strerror(t->last_error) : NULL, "first_index", (json_int_t)first->first_index,
        "next_index", (json_int_t)(first->first_index + first->sent), "seconds", seconds));
}

static void open_all(struct sender *s)
{
    const struct config *c = &s->config;

    if (protect_start() < 0)
        cli_die("libsrtp2 could not be started");
    cli_raise_files();
    s->streams = calloc(c->streams, sizeof(*s->streams));
    if (!s->streams)
        cli_die("out of memory");
    for (unsigned i = 0; i < c->streams; i++)
        open_stream(c, &s->streams[i], i);
    if (c->save && !(s->save = fopen(c->save, "wb")))
        cli_die("%s: %s", c->save, strerror(errno));
}

static void close_all(struct sender *s)
{
    if (s->save && fclose(s->save) != 0)
        cli_die("%s: cannot be written", s->config.save);
    for (unsigned i = 0; i < s->config.streams; i++)
        close_stream(&s->streams[i]);
    free(s->streams);
    protect_stop();
}

int main(int argc, char **argv)
{
    const struct sigaction action = {.sa_handler = on_signal};
    struct sender s = {0};

    parse(&s.config, argc, argv);
    if (s.config.print_keys) {
        print_keys(&s.config);
        return EXIT_SUCCESS;
    }
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    open_all(&s);
    s.start_ns = now_ns();
    if (s.config.resend)
        run_resend(&s);
    else if (s.config.junk)
        run_junk(&s);
    else
        run_streams(&s);
    print_totals(&s);
    close_all(&s);
    return s.totals.errors == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
