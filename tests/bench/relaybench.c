/* Loads a pair of relays with SRTP streams and measures what comes through; see usage(). */
#include "config.h" /* _GNU_SOURCE */

#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/base/base64.h"
#include "common/base/protocol.h"
#include "common/base/random.h"
#include "tests/bench/ctl.h"
#include "tests/bench/flow.h"
#include "tests/unit/protect.h"

enum { NS_PER_S = 1000000000, PIDS_MAX = 4, FLOWS_MAX = 2, TICK_US_DEFAULT = 500 };
static const uint64_t quiet_ns = 300 * 1000 * 1000, drain_ns = 3 * (uint64_t)NS_PER_S;

struct process {
    const char *name;
    long pid;
    double cpu_seconds; /* of the run */
};

struct bench {
    bool direct, back, table;
    const char *control, *suite;
    struct addr outside, inside; /* of the first sender and of the sink on that side */
    double seconds;
    unsigned tick_us;
    struct flow_plan plan;
    struct flow flows[FLOWS_MAX];
    unsigned flow_count;
    struct process processes[PIDS_MAX];
    unsigned process_count;
    double took; /* seconds that sending lasted */
};

/* ---------------------------------------------------------------- options */

static _Noreturn void usage(FILE *to, int status)
{
    fprintf(to,
            "usage: relaybench --control SOCKET | --direct [options]\n"
            "  --control SOCKET    of the inner relay: the SAs are added there, and removed\n"
            "  --direct            sends to the sink itself, to measure the generator\n"
            "  --outside IP:PORT   the \"Internet\" side (default 127.0.1.10:20000)\n"
            "  --inside IP:PORT    the inner side (default 127.0.2.10:20000)\n"
            "                      sinks have PORT, senders PORT + 2 and every second after it\n"
            "  --streams N         SRTP streams in each direction (default 10)\n"
            "  --sources N         addresses that they come from (default: one for each; fewer\n"
            "                      let more packets go out in one system call)\n"
            "  --rate N            packets per second of each stream (default 50)\n"
            "  --size N            octets of payload (default 160)\n"
            "  --seconds N         default 5\n"
            "  --back              from the inside out as well\n"
            "  --suite NAME        default AES_CM_128_HMAC_SHA1_80\n"
            "  --tick MICROSECONDS packets due within it are sent together (default 500)\n"
            "  --pid NAME=PID      a process whose CPU time is told; may repeat\n"
            "  --table             a row for people instead of a JSON line\n"
            "Exit status 0; 1: nothing came, or a packet was altered; 2: usage, or the relay\n"
            "refused.\n");
    exit(status);
}

enum option_id {
    OPT_CONTROL = 256,
    OPT_DIRECT,
    OPT_OUTSIDE,
    OPT_INSIDE,
    OPT_STREAMS,
    OPT_SOURCES,
    OPT_RATE,
    OPT_SIZE,
    OPT_SECONDS,
    OPT_BACK,
    OPT_SUITE,
    OPT_TICK,
    OPT_PID,
    OPT_TABLE,
    OPT_HELP,
};

static const struct option options[] = {
    {"control", required_argument, NULL, OPT_CONTROL},
    {"direct", no_argument, NULL, OPT_DIRECT},
    {"outside", required_argument, NULL, OPT_OUTSIDE},
    {"inside", required_argument, NULL, OPT_INSIDE},
    {"streams", required_argument, NULL, OPT_STREAMS},
    {"sources", required_argument, NULL, OPT_SOURCES},
    {"rate", required_argument, NULL, OPT_RATE},
    {"size", required_argument, NULL, OPT_SIZE},
    {"seconds", required_argument, NULL, OPT_SECONDS},
    {"back", no_argument, NULL, OPT_BACK},
    {"suite", required_argument, NULL, OPT_SUITE},
    {"tick", required_argument, NULL, OPT_TICK},
    {"pid", required_argument, NULL, OPT_PID},
    {"table", no_argument, NULL, OPT_TABLE},
    {"help", no_argument, NULL, OPT_HELP},
    {0},
};

static void take_pid(struct bench *b, char *text)
{
    char *equals = strchr(text, '=');

    if (!equals || b->process_count == PIDS_MAX)
        cli_die("--pid wants NAME=PID, at most %d times", PIDS_MAX);
    *equals = '\0';
    b->processes[b->process_count].name = text;
    b->processes[b->process_count++].pid = (long)cli_number("pid", equals + 1, 1, INT32_MAX);
}

static void take(struct bench *b, int id, const char *name, char *text)
{
    if (id == OPT_HELP)
        usage(stdout, 0);
    else if (id == '?')
        usage(stderr, CLI_USAGE);
    else if (id == OPT_CONTROL)
        b->control = text;
    else if (id == OPT_DIRECT)
        b->direct = true;
    else if (id == OPT_OUTSIDE)
        b->outside = cli_addr(name, text);
    else if (id == OPT_INSIDE)
        b->inside = cli_addr(name, text);
    else if (id == OPT_STREAMS)
        b->plan.streams = (unsigned)cli_number(name, text, 1, 20000);
    else if (id == OPT_SOURCES)
        b->plan.sources = (unsigned)cli_number(name, text, 1, 20000);
    else if (id == OPT_RATE)
        b->plan.rate = cli_real(name, text, 0.1, 1e7);
    else if (id == OPT_SIZE)
        b->plan.size = (size_t)cli_number(
            name, text, 0, PACKET_MAX_OCTETS - PROTECT_HEADER_OCTETS - PROTECT_ADDS_OCTETS);
    else if (id == OPT_SECONDS)
        b->seconds = cli_real(name, text, 0.1, 3600);
    else if (id == OPT_BACK)
        b->back = true;
    else if (id == OPT_SUITE)
        b->suite = text;
    else if (id == OPT_TICK)
        b->tick_us = (unsigned)cli_number(name, text, 1, 100000);
    else if (id == OPT_PID)
        take_pid(b, text);
    else
        b->table = true;
}

static void parse(struct bench *b, int argc, char **argv)
{
    int id, at = 0;

    b->outside = cli_addr("outside", "127.0.1.10:20000");
    b->inside = cli_addr("inside", "127.0.2.10:20000");
    b->seconds = 5;
    b->tick_us = TICK_US_DEFAULT;
    b->plan = (struct flow_plan){.streams = 10, .rate = 50, .size = 160};
    while ((id = getopt_long(argc, argv, "", options, &at)) != -1)
        take(b, id, options[at].name, optarg);
    if (optind != argc || b->direct == (b->control != NULL))
        usage(stderr, CLI_USAGE);
    if (b->plan.sources == 0)
        b->plan.sources = b->plan.streams;
    if (b->plan.streams % b->plan.sources != 0)
        cli_die("--streams has to be a multiple of --sources");
    if (b->outside.port + 2 * b->plan.sources + 1 > UINT16_MAX ||
        b->inside.port + 2 * b->plan.sources + 1 > UINT16_MAX)
        cli_die("there are not enough ports for so many sources");
    b->plan.per_stream = (uint64_t)fmax(1, b->plan.rate * b->seconds);
}

static void make_key(struct bench *b)
{
    uint8_t material[SUITE_KEY_MAX_OCTETS];
    char text[4 * SUITE_KEY_MAX_OCTETS / 3 + 8];
    const struct suite *suite = suite_find(b->suite ? b->suite : "AES_CM_128_HMAC_SHA1_80");

    if (!suite)
        cli_die("--suite wants one of %s", suite_names());
    random_bytes(material, sizeof(material));
    base64_encode(material, suite_material_octets(suite), text);
    cli_key(&b->plan.key, suite->name, text);
    b->plan.key.derive = true;
}

static void add_flow(struct bench *b, const char *name, const struct addr *from,
                     const struct addr *sink, uint32_t first_ssrc)
{
    struct flow *flow = &b->flows[b->flow_count++];

    flow->plan = &b->plan;
    flow->name = name;
    flow->from = *from;
    flow->from.port = (uint16_t)(from->port + 2);
    flow->sink = *sink;
    flow->to = *sink;
    flow->first_ssrc = first_ssrc;
    flow_open(flow);
}

/* ---------------------------------------------------------------- security associations */

/* Twice what the stream has with all headers, so that the rate bound is not what is measured. */
static json_int_t allowed_kbit(const struct bench *b)
{
    double kbit = 2 * b->plan.rate * (double)(b->plan.size + 80) * 8 / 1000;

    return (json_int_t)fmin(1000000, fmax(64, kbit));
}

static json_t *add_request(const struct bench *b, const struct flow *flow, unsigned n)
{
    struct addr from = flow->from;
    uint8_t material[SUITE_KEY_MAX_OCTETS];
    char text[2][ADDR_TEXT_SIZE], key[4 * SUITE_KEY_MAX_OCTETS / 3 + 8], call[64];

    from.port = (uint16_t)(from.port + 2 * (n % b->plan.sources));
    cli_key_of(&b->plan.key, n, material);
    base64_encode(material, suite_material_octets(b->plan.key.suite), key);
    snprintf(call, sizeof(call), "relaybench-%s-%u", flow->name, n);
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:[I], s:s, s:s, s:I}", "command", "sa-add", "side",
                     strcmp(flow->name, "in") == 0 ? "external" : "internal", "source",
                     addr_format(&from, text[0], sizeof(text[0])), "suite", b->plan.key.suite->name,
                     "key", key, "ssrc", (json_int_t)(flow->first_ssrc + n), "to",
                     addr_format(&flow->sink, text[1], sizeof(text[1])), "call_id", call, "rate",
                     allowed_kbit(b));
}

static void add_sas(struct bench *b, json_t *ids)
{
    struct ctl *ctl = ctl_open(b->control);

    for (unsigned f = 0; f < b->flow_count; f++)
        for (unsigned n = 0; n < b->plan.streams; n++) {
            json_t *reply = ctl_ask(ctl, add_request(b, &b->flows[f], n));
            const char *to = json_string_value(json_object_get(reply, "send_to"));

            if (!to || addr_parse(to, &b->flows[f].to) < 0)
                cli_die("sa-add does not say where to send to: is the tunnel up?");
            json_array_append(ids, json_object_get(reply, "id"));
            json_decref(reply);
        }
    ctl_close(ctl);
}

/* Over a new connection: the relay may have been started anew in between. */
static void delete_sas(const struct bench *b, const json_t *ids)
{
    struct ctl *ctl = ctl_open(b->control);
    size_t i;
    json_t *id;

    json_array_foreach(ids, i, id)
    {
        json_decref(ctl_ask(ctl, json_pack("{s:s, s:O}", "command", "sa-delete", "id", id)));
    }
    ctl_close(ctl);
}

/* ---------------------------------------------------------------- the run */

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

/* User and system time (proc(5)): fields 14 and 15, counted behind the name, which may hold
 * anything. */
static double cpu_seconds(long pid)
{
    char path[64], line[1024];
    unsigned long user = 0, kernel = 0;
    const char *behind;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
    file = fopen(path, "r");
    if (!file)
        cli_die("--pid: there is no process %ld", pid);
    line[fread(line, 1, sizeof(line) - 1, file)] = '\0';
    fclose(file);
    behind = strrchr(line, ')');
    if (!behind || sscanf(behind + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
                          &kernel) != 2)
        cli_die("%s cannot be read", path);
    return (double)(user + kernel) / (double)sysconf(_SC_CLK_TCK);
}

static void measure_cpu(struct bench *b, double sign)
{
    for (unsigned i = 0; i < b->process_count; i++)
        b->processes[i].cpu_seconds += sign * cpu_seconds(b->processes[i].pid);
}

static unsigned receive_all(struct bench *b)
{
    unsigned n = 0;

    for (unsigned f = 0; f < b->flow_count; f++)
        n += flow_receive(&b->flows[f]);
    return n;
}

static bool all_here(const struct bench *b)
{
    for (unsigned f = 0; f < b->flow_count; f++)
        if (b->flows[f].distinct < b->flows[f].total)
            return false;
    return true;
}

/* Until everything is here, nothing came for a while, or it takes too long. */
static void drain(struct bench *b)
{
    uint64_t start = now_ns(), last = start, now = start;

    while (!all_here(b) && now - last < quiet_ns && now - start < drain_ns) {
        if (receive_all(b) > 0)
            last = now;
        sleep_until(now + b->tick_us * (uint64_t)1000);
        now = now_ns();
    }
}

static void run(struct bench *b)
{
    uint64_t start = now_ns(), tick = start, now = start;
    bool all_sent = false;

    measure_cpu(b, -1);
    while (!all_sent) {
        all_sent = true;
        for (unsigned f = 0; f < b->flow_count; f++) {
            flow_send(&b->flows[f], now - start);
            all_sent = all_sent && flow_all_sent(&b->flows[f]);
        }
        receive_all(b);
        tick += b->tick_us * (uint64_t)1000;
        sleep_until(tick);
        now = now_ns();
        tick = now > tick + NS_PER_S ? now : tick;
    }
    b->took = (double)(now - start) / NS_PER_S;
    drain(b);
    measure_cpu(b, 1);
}

/* ---------------------------------------------------------------- the result */

static double loss_percent(const struct flow *flow)
{
    return 100.0 * (double)(flow->sent - flow->distinct) / (double)flow->sent;
}

static uint64_t received_in_all(const struct bench *b)
{
    uint64_t n = 0;

    for (unsigned f = 0; f < b->flow_count; f++)
        n += b->flows[f].distinct;
    return n;
}

static double cpu_us(const struct bench *b, const struct process *process)
{
    uint64_t packets = received_in_all(b);

    return packets ? process->cpu_seconds * 1e6 / (double)packets : 0;
}

static json_t *flow_json(const struct bench *b, const struct flow *flow)
{
    return json_pack(
        "{s:s, s:I, s:I, s:I, s:I, s:f, s:I, s:I, s:I, s:f, s:f, s:{s:I, s:I, s:I, s:I}, s:I, s:f}",
        "direction", flow->name, "sent", (json_int_t)flow->sent, "refused",
        (json_int_t)flow->refused, "received", (json_int_t)flow->received, "lost",
        (json_int_t)(flow->sent - flow->distinct), "loss_percent", loss_percent(flow), "duplicates",
        (json_int_t)(flow->received - flow->distinct - flow->strange), "altered",
        (json_int_t)flow->altered, "strange", (json_int_t)flow->strange, "sent_per_second",
        (double)flow->sent / b->took, "received_per_second", (double)flow->distinct / b->took,
        "delay_us", "p50", (json_int_t)flow_percentile(flow, 0.5), "p99",
        (json_int_t)flow_percentile(flow, 0.99), "p99.9", (json_int_t)flow_percentile(flow, 0.999),
        "max", (json_int_t)flow->max_delay_us, "longest_gap_us", (json_int_t)flow->max_gap_us,
        "generator_late_ms", (double)flow->late_ns / 1e6);
}

static void print_json(const struct bench *b)
{
    json_t *flows = json_array(), *cpu = json_object(), *all;

    for (unsigned f = 0; f < b->flow_count; f++)
        json_array_append_new(flows, flow_json(b, &b->flows[f]));
    for (unsigned i = 0; i < b->process_count; i++)
        json_object_set_new(cpu, b->processes[i].name,
                            json_pack("{s:f, s:f}", "us_per_packet", cpu_us(b, &b->processes[i]),
                                      "seconds", b->processes[i].cpu_seconds));
    all = json_pack("{s:i, s:i, s:f, s:I, s:s, s:f, s:o, s:o}", "streams", (int)b->plan.streams,
                    "sources", (int)b->plan.sources, "rate", b->plan.rate, "size",
                    (json_int_t)b->plan.size, "suite", b->plan.key.suite->name, "seconds", b->took,
                    "flows", flows, "cpu", cpu);
    if (!all)
        cli_die("out of memory");
    json_dumpf(all, stdout, JSON_REAL_PRECISION(5));
    putchar('\n');
    json_decref(all);
}

static void print_table(const struct bench *b)
{
    for (unsigned f = 0; f < b->flow_count; f++) {
        const struct flow *flow = &b->flows[f];

        printf("%-4s %7u %8.0f %8.0f %7.3f %5llu %7llu %7llu %7llu %7llu %8.1f", flow->name,
               b->plan.streams, (double)flow->sent / b->took, (double)flow->distinct / b->took,
               loss_percent(flow),
               (unsigned long long)(flow->received - flow->distinct - flow->strange),
               (unsigned long long)flow_percentile(flow, 0.5),
               (unsigned long long)flow_percentile(flow, 0.99),
               (unsigned long long)flow_percentile(flow, 0.999),
               (unsigned long long)flow->max_delay_us, (double)flow->late_ns / 1e6);
        for (unsigned i = 0; i < b->process_count; i++)
            printf(" %11.1f", cpu_us(b, &b->processes[i]));
        putchar('\n');
    }
}

static bool good(const struct bench *b)
{
    for (unsigned f = 0; f < b->flow_count; f++)
        if (b->flows[f].distinct == 0 || b->flows[f].altered > 0)
            return false;
    return true;
}

int main(int argc, char **argv)
{
    static struct bench b;
    json_t *ids = json_array();
    bool result;

    parse(&b, argc, argv);
    if (protect_start() < 0)
        cli_die("libsrtp2 could not be started");
    cli_raise_files();
    make_key(&b);
    add_flow(&b, "in", &b.outside, &b.inside, 0x10000000);
    if (b.back)
        add_flow(&b, "back", &b.inside, &b.outside, 0x20000000);
    if (b.control)
        add_sas(&b, ids);
    run(&b);
    if (b.control)
        delete_sas(&b, ids);
    if (b.table)
        print_table(&b);
    else
        print_json(&b);
    result = good(&b);
    json_decref(ids);
    for (unsigned f = 0; f < b.flow_count; f++)
        flow_close(&b.flows[f]);
    protect_stop();
    return result ? EXIT_SUCCESS : EXIT_FAILURE;
}
