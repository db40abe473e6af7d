/* Who stands on the way of a TCP connection and adds segments to it; see usage(). */
#include "config.h" /* _GNU_SOURCE */

#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/random.h"
#include "common/carrier/seal.h"
#include "common/carrier/segment.h"
#include "tests/tools/cli.h"

enum {
    SEEN_OCTETS = 65536 + ETH_HLEN, /* what segments were merged into */
    DATA_OCTETS = 1400,             /* of a segment that is added */
    KEPT = 32,
    ROW = 8, /* that are sent again, the last first */
    GARBAGE_OCTETS = 300,
    WINDOW = 8192, /* so far from the next number what is meant to be within the window is */
    POLL_MS = 50,
};

/* In the order of their names. */
enum attack { REPLAY, FORGE, CUT, SWAP, RESET, FINISH, BLIND, INJECT, MOVE, ATTACKS };

static const char *const names[ATTACKS] = {
    [REPLAY] = "replay", [FORGE] = "forge", [CUT] = "cut",       [SWAP] = "swap", [RESET] = "rst",
    [FINISH] = "fin",    [BLIND] = "blind", [INJECT] = "inject", [MOVE] = "move"};

struct kept {
    struct segment segment;
    uint8_t data[DATA_OCTETS];
};

struct injector {
    int fd;
    uint16_t port, except;
    unsigned every;
    bool does[ATTACKS];
    uint8_t head[ETH_HLEN]; /* of what went last */
    struct kept kept[KEPT];
    uint64_t seen, sent[ATTACKS], refused;
};

/* The one thing that a signal may touch. */
static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
    (void)number;
    stopped = 1;
}

static _Noreturn void usage(FILE *to, int status)
{
    fprintf(to,
            "usage: injector --device NAME --port PORT [--except PORT] [--every N] ATTACK...\n"
            "Looks at the TCP segments with data, of connections with PORT at either end, that\n"
            "leave by this device, and adds others of the same connection behind each N-th (1).\n"
            "Those with the port --except at either end are left alone. Until SIGTERM; then it\n"
            "prints what it saw and sent as JSON.\n"
            "  replay  one that went before, again\n"
            "  forge   a copy with one bit that is not as it was\n"
            "  cut     a copy without its end, and one without its beginning\n"
            "  swap    the last eight again, in reverse\n"
            "  rst     RST with a number within the window, but not the next one\n"
            "  fin     FIN with a number that has gone\n"
            "  blind   RST, FIN, SYN and data with any numbers\n"
            "  inject  octets at the next number, before those that belong there\n"
            "  move    one that went before, at the next number\n");
    exit(status);
}

/* ---------------------------------------------------------------- sending */

static void put(struct injector *injector, enum attack attack, const struct segment *segment)
{
    uint8_t frame[ETH_HLEN + SEGMENT_HEADS_MAX + DATA_OCTETS];
    int length = segment_write(segment, frame + ETH_HLEN, sizeof(frame) - ETH_HLEN);

    if (length < 0)
        cli_die("a segment cannot be made");
    memcpy(frame, injector->head, ETH_HLEN);
    if (send(injector->fd, frame, ETH_HLEN + (size_t)length, 0) < 0)
        injector->refused++;
    else
        injector->sent[attack]++;
}

static struct kept *kept(struct injector *injector, uint64_t ago)
{
    return &injector->kept[(injector->seen - 1 - ago) % KEPT];
}

static uint64_t some_ago(const struct injector *injector)
{
    return random_below((uint32_t)(injector->seen < KEPT ? injector->seen : KEPT));
}

static void replay(struct injector *injector)
{
    put(injector, REPLAY, &kept(injector, some_ago(injector))->segment);
}

static void forge(struct injector *injector)
{
    struct kept copy = *kept(injector, 0);
    uint32_t bit = random_below((uint32_t)copy.segment.length * 8);

    /* Half of them in the counter of the first frame: another one came before. */
    if (injector->seen % 2 && copy.segment.length > SEAL_HEAD_OCTETS)
        bit = 8 * SEAL_START_OCTETS + random_below(8 * (SEAL_HEAD_OCTETS - SEAL_START_OCTETS));
    copy.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    copy.segment.data = copy.data;
    put(injector, FORGE, &copy.segment);
}

static void cut(struct injector *injector)
{
    const struct segment *whole = &kept(injector, 0)->segment;
    uint32_t left = random_below((uint32_t)whole->length);
    struct segment part = *whole;

    part.length = left;
    put(injector, CUT, &part);
    part = *whole;
    part.sequence += left;
    part.data += left;
    part.length -= left;
    put(injector, CUT, &part);
}

static void swap(struct injector *injector)
{
    if (injector->seen % ROW != 0)
        return;
    for (unsigned ago = 0; ago < ROW; ago++)
        put(injector, SWAP, &kept(injector, ago)->segment);
}

/* One of this connection as it is now, without data. */
static struct segment bare(struct injector *injector, uint8_t flags)
{
    struct segment segment = kept(injector, 0)->segment;

    segment.sequence = segment_end(&segment);
    segment.flags = flags;
    segment.data = NULL;
    segment.length = 0;
    return segment;
}

static void reset(struct injector *injector)
{
    struct segment segment = bare(injector, SEGMENT_RST | SEGMENT_ACK);

    segment.sequence += WINDOW / 2 + random_below(WINDOW / 2);
    put(injector, RESET, &segment);
    segment.flags = SEGMENT_RST;
    segment.has_timestamps = false;
    put(injector, RESET, &segment);
}

static void finish(struct injector *injector)
{
    struct segment segment = bare(injector, SEGMENT_FIN | SEGMENT_ACK);

    segment.sequence = kept(injector, KEPT / 2)->segment.sequence;
    if (injector->seen >= KEPT)
        put(injector, FINISH, &segment);
}

static void blind(struct injector *injector)
{
    static const uint8_t flags[] = {SEGMENT_RST,
                                    SEGMENT_RST | SEGMENT_ACK,
                                    SEGMENT_FIN | SEGMENT_ACK,
                                    SEGMENT_PSH | SEGMENT_ACK,
                                    SEGMENT_SYN,
                                    SEGMENT_SYN | SEGMENT_ACK};
    struct segment segment = bare(injector, flags[random_below(sizeof(flags))]);
    uint8_t garbage[GARBAGE_OCTETS];

    random_bytes(garbage, sizeof(garbage));
    segment.sequence = random_u32();
    segment.ack = random_u32();
    segment.timestamp = random_u32();
    if (segment.flags & SEGMENT_PSH) {
        segment.data = garbage;
        segment.length = sizeof(garbage);
    }
    put(injector, BLIND, &segment);
}

/* Half of them look like a frame. */
static void inject(struct injector *injector)
{
    struct segment segment = bare(injector, SEGMENT_PSH | SEGMENT_ACK);
    uint8_t garbage[GARBAGE_OCTETS];

    segment.data = garbage;
    segment.length = 1 + random_below(sizeof(garbage));
    random_bytes(garbage, sizeof(garbage));
    if (garbage[GARBAGE_OCTETS - 1] % 2 == 0)
        memcpy(garbage, "\x17\x03\x03\x00", 4);
    put(injector, INJECT, &segment);
}

static void move(struct injector *injector)
{
    struct kept copy = *kept(injector, some_ago(injector));

    copy.segment.sequence = segment_end(&kept(injector, 0)->segment);
    put(injector, MOVE, &copy.segment);
}

static void (*const attacks[ATTACKS])(struct injector *injector) = {
    [REPLAY] = replay, [FORGE] = forge, [CUT] = cut,       [SWAP] = swap, [RESET] = reset,
    [FINISH] = finish, [BLIND] = blind, [INJECT] = inject, [MOVE] = move};

/* ---------------------------------------------------------------- seeing */

static bool is_of(const struct injector *injector, const struct segment *segment)
{
    uint16_t from = segment->source.port, to = segment->destination.port;

    if (segment->length == 0 || segment->length > DATA_OCTETS ||
        (injector->except && (from == injector->except || to == injector->except)))
        return false;
    return from == injector->port || to == injector->port;
}

static void keep(struct injector *injector, const struct segment *segment)
{
    struct kept *at = &injector->kept[injector->seen++ % KEPT];

    at->segment = *segment;
    memcpy(at->data, segment->data, segment->length);
    at->segment.data = at->data;
}

static void see(struct injector *injector)
{
    static uint8_t frame[SEEN_OCTETS];
    struct sockaddr_ll from;
    socklen_t from_length = sizeof(from);
    struct segment segment;
    ssize_t length =
        recvfrom(injector->fd, frame, sizeof(frame), 0, (struct sockaddr *)&from, &from_length);

    if (length <= ETH_HLEN || from.sll_pkttype != PACKET_OUTGOING ||
        frame[ETH_ALEN * 2] != ETH_P_IP >> 8 || frame[ETH_ALEN * 2 + 1] != (ETH_P_IP & 0xff) ||
        segment_read(&segment, frame + ETH_HLEN, (size_t)length - ETH_HLEN) < 0 ||
        !is_of(injector, &segment))
        return;
    memcpy(injector->head, frame, ETH_HLEN);
    keep(injector, &segment);
    for (unsigned a = 0; a < ATTACKS && injector->seen % injector->every == 0; a++) {
        if (injector->does[a])
            attacks[a](injector);
    }
}

/* ---------------------------------------------------------------- main */

static int open_device(const char *device)
{
    struct sockaddr_ll name = {.sll_family = AF_PACKET,
                               .sll_protocol = htons(ETH_P_ALL),
                               .sll_ifindex = (int)if_nametoindex(device)};
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

    if (fd < 0 || name.sll_ifindex == 0 || bind(fd, (struct sockaddr *)&name, sizeof(name)) < 0)
        cli_die("%s: %s", device, strerror(errno));
    return fd;
}

static void add_attack(struct injector *injector, const char *name)
{
    for (unsigned a = 0; a < ATTACKS; a++) {
        if (strcmp(name, names[a]) != 0)
            continue;
        injector->does[a] = true;
        return;
    }
    usage(stderr, CLI_USAGE);
}

static void print(const struct injector *injector)
{
    json_t *sent = json_object();

    for (unsigned a = 0; a < ATTACKS; a++) {
        if (injector->does[a])
            json_object_set_new(sent, names[a], json_integer((json_int_t)injector->sent[a]));
    }
    printf("{\"seen\":%llu,\"refused\":%llu,\"sent\":", (unsigned long long)injector->seen,
           (unsigned long long)injector->refused);
    json_dumpf(sent, stdout, JSON_COMPACT);
    printf("}\n");
    json_decref(sent);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"device", required_argument, NULL, 'd'}, {"port", required_argument, NULL, 'p'},
        {"except", required_argument, NULL, 'x'}, {"every", required_argument, NULL, 'e'},
        {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0}};
    static struct injector injector = {.fd = -1, .every = 1};
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'd')
            injector.fd = open_device(optarg);
        else if (option == 'p')
            injector.port = (uint16_t)cli_number("port", optarg, 1, UINT16_MAX);
        else if (option == 'x')
            injector.except = (uint16_t)cli_number("except", optarg, 1, UINT16_MAX);
        else if (option == 'e')
            injector.every = (unsigned)cli_number("every", optarg, 1, UINT16_MAX);
        else
            usage(option == 'h' ? stdout : stderr, option == 'h' ? 0 : CLI_USAGE);
    }
    if (injector.fd < 0 || injector.port == 0 || optind == argc)
        usage(stderr, CLI_USAGE);
    for (int i = optind; i < argc; i++)
        add_attack(&injector, argv[i]);
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    while (!stopped) {
        struct pollfd poll_fd = {.fd = injector.fd, .events = POLLIN};

        if (poll(&poll_fd, 1, POLL_MS) > 0)
            see(&injector);
    }
    print(&injector);
    return 0;
}
