/* Who is no part of a call and wants to be; see usage(). */
#include "config.h" /* _GNU_SOURCE */

#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/random.h"
#include "common/base/writer.h"
#include "common/rtp/prime.h"
#include "tests/tools/cli.h"
#include "tests/tools/rawip.h"

enum {
    NS_PER_MS = 1000 * 1000,
    NS_PER_S = 1000 * NS_PER_MS,
    NETNS_MAX = 256,
    WAITING_MAX = 8192, /* datagrams that are held back or to be repeated */
    TURN_MAX = 256,     /* packets made before what came in is looked at */
    MADE_PAYLOAD_OCTETS = 160,
    MADE_TAG_OCTETS = 10,
    MADE_RTCP_EVERY = 16,
    MADE_FIRST = 10000, /* sequence numbers: ahead of a sender that has just begun */
    MADE_SPAN = 16384,
    RTP_TIMESTAMP_STEP = 160,
    SSRC_RTP_AT = 8,
    SSRC_RTCP_AT = 4,
};

/* What the packets of an attack are made of. */
enum matter {
    MATTER_NONE,
    MATTER_SEEN, /* those of the sender */
    MATTER_MADE  /* nothing but knowledge of how they look */
};

enum ssrcs { SSRC_KNOWN, SSRC_RANDOM, SSRC_BOTH };

struct attack {
    const char *name, *text;
    enum matter matter;
    bool spoil;     /* the tag */
    bool as_sender; /* from its address and port */
    bool prime;
    bool late; /* after the sender's own */
    enum ssrcs ssrcs;
};

static const struct attack attacks[] = {
    {"watch", "sends nothing: counts what comes to him", .matter = MATTER_NONE},
    {"copy", "each packet of the sender, as soon as he sees it", .matter = MATTER_SEEN},
    {"replay", "each packet of the sender, after the sender's own", .matter = MATTER_SEEN,
     .late = true},
    {"spoil", "each packet of the sender, with a wrong tag", .matter = MATTER_SEEN, .spoil = true},
    {"spoof", "the same from the sender's own address and port", .matter = MATTER_SEEN,
     .spoil = true, .as_sender = true},
    {"prime", "each packet of the sender as RTP'", .matter = MATTER_SEEN, .prime = true},
    {"forge", "made-up packets of the SSRC --ssrc", .matter = MATTER_MADE},
    {"guess", "made-up packets of SSRCs at random", .matter = MATTER_MADE, .ssrcs = SSRC_RANDOM},
    {"flood", "both by turns", .matter = MATTER_MADE, .ssrcs = SSRC_BOTH},
};

struct config {
    const struct attack *attack;
    struct addr own, target, sender, as;
    uint32_t addresses, ssrc;
    char see_netns[NETNS_MAX];
    const char *see_device, *ready;
    uint64_t hold_ns, lag_ns, duration_ns;
    double rate;
    unsigned copies;
    bool prime;
};

/* A datagram that leaves at a time to come. */
struct waiting {
    uint64_t at_ns;
    struct rawip_udp udp; /* its payload is in octets */
    uint8_t octets[RAWIP_MAX_OCTETS];
};

/* Each waits as long as all others of its line: the first is always the next. */
struct line {
    struct waiting *list; /* WAITING_MAX of them */
    size_t first, count;
};

struct attacker {
    struct config config;
    int sees, hears; /* -1: sees nothing */
    struct rawip_out own, router;
    struct line held, late;
    uint64_t seen, received, made, start_ns;
    uint64_t random;
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
    fprintf(to, "usage: attacker ATTACK --own IP:PORT --target IP:PORT [options]\n"
                "What he sends:\n");
    for (size_t i = 0; i < sizeof(attacks) / sizeof(attacks[0]); i++)
        fprintf(to, "  %-8s %s\n", attacks[i].name, attacks[i].text);
    fprintf(to,
            "  --own IP:PORT        his address (IPv4, as all of this)\n"
            "  --addresses N        and the N - 1 after it, from each by turns (default 1)\n"
            "  --target IP:PORT     RTP port of the relay; RTCP has the next\n"
            "  --see NETNS:DEVICE   he sees what comes in at this device of a network namespace,\n"
            "                       a file as /run/netns/NAME\n"
            "  --sender IP:PORT     of what he sees: only what comes from this port and the next\n"
            "  --hold MS            and holds it back so long; the packets must not find their\n"
            "                       way otherwise (a rule drops them): he is the router\n"
            "  --lag MS             replay: so long after the sender's own (default 40)\n"
            "  --copies N           of each packet, from as many addresses (default 1)\n"
            "  --as IP:PORT         what he makes up comes from there instead\n"
            "  --prime              what he makes up is RTP'\n"
            "  --ssrc N             of the sender (default 1)\n"
            "  --rate N             made-up packets per second (default 1000, 0: no pause)\n"
            "  --seconds S          (default: until SIGTERM)\n"
            "  --ready FILE         made when he begins\n"
            "Needs root. Prints one JSON line: what he saw of the sender, sent, held back, and\n"
            "what came to his addresses. Exit status 0, or 2 (usage).\n");
    exit(status);
}

enum option_id {
    OPT_OWN = 256,
    OPT_ADDRESSES,
    OPT_TARGET,
    OPT_SEE,
    OPT_SENDER,
    OPT_HOLD,
    OPT_LAG,
    OPT_COPIES,
    OPT_AS,
    OPT_PRIME,
    OPT_SSRC,
    OPT_RATE,
    OPT_SECONDS,
    OPT_READY,
    OPT_HELP,
};

static const struct option options[] = {
    {"own", required_argument, NULL, OPT_OWN},
    {"addresses", required_argument, NULL, OPT_ADDRESSES},
    {"target", required_argument, NULL, OPT_TARGET},
    {"see", required_argument, NULL, OPT_SEE},
    {"sender", required_argument, NULL, OPT_SENDER},
    {"hold", required_argument, NULL, OPT_HOLD},
    {"lag", required_argument, NULL, OPT_LAG},
    {"copies", required_argument, NULL, OPT_COPIES},
    {"as", required_argument, NULL, OPT_AS},
    {"prime", no_argument, NULL, OPT_PRIME},
    {"ssrc", required_argument, NULL, OPT_SSRC},
    {"rate", required_argument, NULL, OPT_RATE},
    {"seconds", required_argument, NULL, OPT_SECONDS},
    {"ready", required_argument, NULL, OPT_READY},
    {"help", no_argument, NULL, OPT_HELP},
    {0},
};

static void take_see(struct config *c, const char *text)
{
    const char *colon = strrchr(text, ':');

    if (!colon || colon == text || colon[1] == '\0' || colon - text >= NETNS_MAX)
        cli_die("--see wants NETNS:DEVICE, not \"%s\"", text);
    memcpy(c->see_netns, text, (size_t)(colon - text));
    c->see_netns[colon - text] = '\0';
    c->see_device = colon + 1;
}

static struct addr take_address(const char *name, const char *text)
{
    struct addr addr = cli_addr(name, text);

    if (addr.family != 4)
        cli_die("--%s wants an IPv4 address, not \"%s\"", name, text);
    return addr;
}

static uint64_t take_time(const char *name, const char *text, double unit_ns)
{
    return (uint64_t)(cli_real(name, text, 0, 86400) * unit_ns);
}

static void take_number(struct config *c, int id, const char *name, const char *text)
{
    if (id == OPT_ADDRESSES)
        c->addresses = (uint32_t)cli_number(name, text, 1, 1u << 24);
    else if (id == OPT_COPIES)
        c->copies = (unsigned)cli_number(name, text, 1, 1000);
    else if (id == OPT_SSRC)
        c->ssrc = (uint32_t)cli_number(name, text, 0, UINT32_MAX);
    else if (id == OPT_RATE)
        c->rate = cli_real(name, text, 0, 1e7);
    else if (id == OPT_HOLD)
        c->hold_ns = take_time(name, text, NS_PER_MS);
    else if (id == OPT_LAG)
        c->lag_ns = take_time(name, text, NS_PER_MS);
    else
        c->duration_ns = take_time(name, text, NS_PER_S);
}

static void take(struct config *c, int id, const char *name, const char *text)
{
    if (id == OPT_HELP)
        usage(stdout, 0);
    else if (id == '?')
        usage(stderr, CLI_USAGE);
    else if (id == OPT_OWN)
        c->own = take_address(name, text);
    else if (id == OPT_TARGET)
        c->target = take_address(name, text);
    else if (id == OPT_SENDER)
        c->sender = take_address(name, text);
    else if (id == OPT_AS)
        c->as = take_address(name, text);
    else if (id == OPT_SEE)
        take_see(c, text);
    else if (id == OPT_PRIME)
        c->prime = true;
    else if (id == OPT_READY)
        c->ready = text;
    else
        take_number(c, id, name, text);
}

static const struct attack *find_attack(const char *name)
{
    for (size_t i = 0; i < sizeof(attacks) / sizeof(attacks[0]); i++)
        if (strcmp(attacks[i].name, name) == 0)
            return &attacks[i];
    cli_die("there is no attack \"%s\"; see --help", name);
}

static void parse(struct config *c, int argc, char **argv)
{
    int id, at = 0;

    *c = (struct config){
        .addresses = 1, .ssrc = 1, .lag_ns = 40 * NS_PER_MS, .rate = 1000, .copies = 1};
    while ((id = getopt_long(argc, argv, "", options, &at)) != -1)
        take(c, id, options[at].name, optarg);
    if (optind != argc - 1)
        cli_die("one attack has to be named; see --help");
    c->attack = find_attack(argv[optind]);
    if (!c->own.family || !c->target.family)
        cli_die("--own and --target are needed; see --help");
    if (c->attack->matter == MATTER_SEEN && !c->see_device)
        cli_die("%s wants --see: where he sees the sender's packets", c->attack->name);
    if (c->hold_ns > 0 && !c->see_device)
        cli_die("--hold wants --see: where he holds them back");
    c->prime = c->prime || c->attack->prime;
}

/* ---------------------------------------------------------------- time and chance */

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* Quick, and as good as an attacker needs it (xorshift64). */
static uint64_t chance(struct attacker *a)
{
    a->random ^= a->random << 13;
    a->random ^= a->random >> 7;
    a->random ^= a->random << 17;
    return a->random;
}

/* ---------------------------------------------------------------- sending */

static bool is_rtcp(const uint8_t *packet, size_t length)
{
    return length > 1 && packet[1] >= 192 && packet[1] <= 223;
}

static uint32_t ssrc_of(const struct rawip_udp *udp)
{
    size_t at = is_rtcp(udp->payload, udp->length) ? SSRC_RTCP_AT : SSRC_RTP_AT;
    uint32_t ssrc = 0;

    for (size_t i = at; i < at + 4; i++)
        ssrc = ssrc << 8 | (i < udp->length ? udp->payload[i] : 0);
    return ssrc;
}

/* His next address, each by turns. */
static struct addr own_address(const struct attacker *a, uint64_t n)
{
    return rawip_after(&a->config.own, (uint32_t)(n % a->config.addresses));
}

/* With the SSRC in front where the attack wants it so. */
static void send_as(struct attacker *a, const struct addr *from, const struct rawip_udp *udp)
{
    uint8_t payload[PRIME_OCTETS + RAWIP_MAX_OCTETS];
    struct rawip_udp made = *udp;

    made.from = *from;
    if (a->config.prime) {
        prime_write(payload, ssrc_of(udp));
        memcpy(payload + PRIME_OCTETS, udp->payload, udp->length);
        made.payload = payload;
        made.length += PRIME_OCTETS;
    }
    rawip_send(&a->own, &made);
}

/* The sender's packet, as often as wanted, each copy spoilt in a way of its own. */
static void send_seen(struct attacker *a, const struct rawip_udp *udp)
{
    const struct config *c = &a->config;
    uint8_t spoilt[RAWIP_MAX_OCTETS];
    struct rawip_udp copy = *udp;

    for (unsigned i = 0; i < c->copies; i++) {
        struct addr from = c->attack->as_sender ? udp->from : own_address(a, a->made++);

        if (c->attack->spoil) {
            memcpy(spoilt, udp->payload, udp->length);
            spoilt[udp->length - 1 - i % 4] ^= (uint8_t)(1 + chance(a) % 255);
            copy.payload = spoilt;
        }
        send_as(a, &from, &copy);
    }
}

static void put_header(struct writer *w, bool rtcp, uint16_t n, uint32_t ssrc)
{
    writer_u8(w, 0x80);
    writer_u8(w, rtcp ? 200 : 0);
    writer_u16(w, rtcp ? 6 : n);
    if (!rtcp)
        writer_u32(w, (uint32_t)n * RTP_TIMESTAMP_STEP);
    writer_u32(w, ssrc);
}

/* SRTP or SRTCP to look at: header, noise as payload, noise as tag. */
static void make_one(struct attacker *a)
{
    const struct config *c = &a->config;
    const uint64_t n = a->made++;
    const bool rtcp = n % MADE_RTCP_EVERY == MADE_RTCP_EVERY - 1;
    const bool known = c->attack->ssrcs == SSRC_KNOWN || (c->attack->ssrcs == SSRC_BOTH && n % 2);
    uint8_t packet[RAWIP_MAX_OCTETS];
    struct addr from = c->as.family ? c->as : own_address(a, n);
    struct rawip_udp udp = {.to = c->target, .payload = packet};
    struct writer w;

    writer_init(&w, packet, sizeof(packet));
    put_header(&w, rtcp, (uint16_t)(MADE_FIRST + n / c->addresses % MADE_SPAN),
               known ? c->ssrc : (uint32_t)chance(a));
    for (unsigned i = 0; i < MADE_PAYLOAD_OCTETS / 8 + 1; i++)
        writer_u64(&w, chance(a));
    writer_u32(&w, 0x80000000u | (uint32_t)n);
    for (unsigned i = 0; i < MADE_TAG_OCTETS; i++)
        writer_u8(&w, (uint8_t)chance(a));
    udp.length = writer_length(&w);
    udp.to.port = (uint16_t)(udp.to.port + rtcp);
    from.port = (uint16_t)(from.port + (c->as.family && rtcp));
    send_as(a, &from, &udp);
}

/* As many as are due by now. */
static void make_due(struct attacker *a, uint64_t now)
{
    const struct config *c = &a->config;
    double due = (double)(now - a->start_ns) / NS_PER_S * c->rate;

    for (unsigned i = 0; i < TURN_MAX && (c->rate == 0 || (double)a->made < due); i++)
        make_one(a);
}

/* ---------------------------------------------------------------- what he sees */

static void line_open(struct line *line)
{
    line->list = calloc(WAITING_MAX, sizeof(*line->list));
    if (!line->list)
        cli_die("out of memory");
}

static void line_put(struct line *line, const struct rawip_udp *udp, uint64_t at_ns)
{
    struct waiting *place;

    if (line->count == WAITING_MAX)
        cli_die("more than %d packets wait", WAITING_MAX);
    place = &line->list[(line->first + line->count++) % WAITING_MAX];
    place->at_ns = at_ns;
    place->udp = *udp;
    memcpy(place->octets, udp->payload, udp->length);
    place->udp.payload = place->octets;
}

/* NULL while nothing is due. Valid until the next line_put(). */
static const struct waiting *line_due(struct line *line, uint64_t now)
{
    const struct waiting *place = &line->list[line->first];

    if (line->count == 0 || place->at_ns > now)
        return NULL;
    line->first = (line->first + 1) % WAITING_MAX;
    line->count--;
    return place;
}

/* One of a pair of ports, RTP's or RTCP's. */
static bool is_of_pair(const struct addr *addr, const struct addr *pair)
{
    return addr_ip_equal(addr, pair) && (addr->port == pair->port || addr->port == pair->port + 1);
}

static bool is_senders(const struct config *c, const struct rawip_udp *udp)
{
    if (udp->length <= 4 || udp->length > RAWIP_MAX_OCTETS || !is_of_pair(&udp->to, &c->target))
        return false;
    return c->sender.family ? is_of_pair(&udp->from, &c->sender)
                            : !rawip_within(&udp->from, &c->own, c->addresses);
}

static void see(struct attacker *a)
{
    const struct config *c = &a->config;
    uint8_t buffer[RAWIP_HEAD_OCTETS + RAWIP_MAX_OCTETS];
    struct rawip_udp udp;
    size_t length;

    while (a->sees >= 0 && (length = rawip_next(a->sees, buffer, sizeof(buffer))) > 0) {
        uint64_t now = now_ns();

        if (!rawip_parse(buffer, length, &udp) || !is_senders(c, &udp))
            continue;
        a->seen++;
        if (c->hold_ns > 0)
            line_put(&a->held, &udp, now + c->hold_ns);
        if (c->attack->matter != MATTER_SEEN)
            continue;
        if (c->attack->late)
            line_put(&a->late, &udp, now + c->hold_ns + c->lag_ns);
        else
            send_seen(a, &udp);
    }
}

/* Whatever it is: nobody has a reason to send him anything. */
static void hear(struct attacker *a)
{
    uint8_t buffer[RAWIP_HEAD_OCTETS + RAWIP_MAX_OCTETS];

    while (rawip_next(a->hears, buffer, sizeof(buffer)) > 0) {
        struct addr to = rawip_destination(buffer);

        a->received += rawip_within(&to, &a->config.own, a->config.addresses);
    }
}

static void release(struct attacker *a, uint64_t now)
{
    const struct waiting *due;

    while ((due = line_due(&a->held, now)))
        rawip_send(&a->router, &due->udp);
    rawip_flush(&a->router);
    while ((due = line_due(&a->late, now)))
        send_seen(a, &due->udp);
}

/* ---------------------------------------------------------------- main */

static void open_all(struct attacker *a)
{
    const struct config *c = &a->config;
    FILE *ready;

    rawip_out_open(&a->own, NULL);
    a->hears = rawip_see(NULL, NULL);
    a->sees = -1;
    line_open(&a->held);
    line_open(&a->late);
    random_bytes(&a->random, sizeof(a->random));
    a->random |= 1;
    if (c->see_device) {
        rawip_out_open(&a->router, c->see_netns);
        a->sees = rawip_see(c->see_netns, c->see_device);
    }
    a->start_ns = now_ns();
    if (c->ready && (!(ready = fopen(c->ready, "w")) || fclose(ready) != 0))
        cli_die("%s: %s", c->ready, strerror(errno));
}

/* Until something comes in or is due. */
static void pause_until_due(const struct attacker *a)
{
    struct pollfd fds[] = {{.fd = a->hears, .events = POLLIN}, {.fd = a->sees, .events = POLLIN}};
    const bool making = a->config.attack->matter == MATTER_MADE;
    struct timespec ts = {.tv_nsec = NS_PER_MS / 2};

    if (!making && a->held.count == 0 && a->late.count == 0)
        ts.tv_nsec = 50 * NS_PER_MS;
    if (!making || a->config.rate > 0)
        ppoll(fds, 2, &ts, NULL);
}

static void run(struct attacker *a)
{
    const struct config *c = &a->config;
    uint64_t now = a->start_ns;

    while (!stopped && (c->duration_ns == 0 || now - a->start_ns < c->duration_ns)) {
        pause_until_due(a);
        now = now_ns();
        see(a);
        release(a, now);
        if (c->attack->matter == MATTER_MADE)
            make_due(a, now);
        rawip_flush(&a->own);
        hear(a);
    }
    release(a, UINT64_MAX);
    rawip_flush(&a->own);
}

static void print(const struct attacker *a)
{
    json_t *line = json_pack("{s:s, s:I, s:I, s:I, s:I, s:I}", "attack", a->config.attack->name,
                             "seen", (json_int_t)a->seen, "sent", (json_int_t)a->own.sent, "held",
                             (json_int_t)a->router.sent, "errors",
                             (json_int_t)(a->own.errors + a->router.errors), "received",
                             (json_int_t)a->received);

    if (a->own.errors + a->router.errors > 0)
        fprintf(stderr, "attacker: packets could not be sent: %s\n",
                strerror(a->own.errors > 0 ? a->own.last_error : a->router.last_error));
    if (!line || json_dumpf(line, stdout, JSON_COMPACT) < 0)
        cli_die("out of memory");
    putchar('\n');
    json_decref(line);
}

int main(int argc, char **argv)
{
    const struct sigaction action = {.sa_handler = on_signal};
    struct attacker attacker = {0};

    parse(&attacker.config, argc, argv);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    open_all(&attacker);
    run(&attacker);
    print(&attacker);
    free(attacker.held.list);
    free(attacker.late.list);
    return EXIT_SUCCESS;
}
