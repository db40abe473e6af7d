/* Loads a relay with SRTP streams and measures what comes through; see usage(). */
#include "config.h" /* _GNU_SOURCE */

#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "common/base/base64.h"
#include "common/base/protocol.h"
#include "common/base/random.h"
#include "tests/bench/ctl.h"
#include "tests/bench/flow.h"
#include "tests/bench/rtpengine.h"
#include "tests/unit/protect.h"

enum {
    NS_PER_S = 1000000000,
    PIDS_MAX = 8,
    FLOWS_MAX = 2,
    STREAMS_MAX = 100000,
    BURSTS_MAX = 1000,
    THREADS_MAX = 64,
};
static const uint64_t quiet_ns = 300 * 1000 * 1000, drain_ns = 3 * (uint64_t)NS_PER_S;
/* Of a burst: how often we look whether it is worked off, what the process does at the most when it
 * is, and how long all may take. */
static const uint64_t settled_ns = 30 * 1000 * 1000, settled_busy_ns = NS_PER_S / 1000,
                      burst_max_ns = NS_PER_S;
static const uint64_t late_us = 100 * 1000;
/* How long a turn lasts at most, and how long one that found nothing to do sleeps. */
static const uint64_t turn_ns = 500 * 1000, idle_ns = 20 * 1000;

struct process {
    const char *name;
    clockid_t clock;
    double cpu_seconds; /* of the run */
};

struct bench {
    bool direct, back, line, pass_through;
    const char *control, *suite, *sink_netns;
    struct addr outside, inside; /* of the first sender and of the sink on that side */
    struct addr rtpengine, to;   /* its ng port; a relay that is set up already */
    double seconds;
    uint64_t packets;        /* of all streams; 0: as many as rate and seconds make */
    unsigned tick_us, burst; /* packets of a burst, 0: none */
    pid_t burst_pid, end_pid;
    struct flow_plan plan;
    struct flow flows[FLOWS_MAX];
    unsigned flow_count;
    struct process processes[PIDS_MAX];
    unsigned process_count;
    double took, own_cpu; /* seconds that sending lasted; of this process in the run */
};

/* ---------------------------------------------------------------- options */

static _Noreturn void usage(FILE *to, int status)
{
    fprintf(
        to,
        "usage: relaybench --control SOCKET | --rtpengine IP:PORT | --to IP:PORT | --direct\n"
        "                  [options]\n"
        "  --control SOCKET    of the inner relay: the SAs are added there, and removed\n"
        "  --rtpengine IP:PORT calls are made there by the ng protocol, and ended; RTP arrives\n"
        "  --pass-through      with --rtpengine: it is not told that it is SRTP\n"
        "  --to IP:PORT        sends there; what listens there brings it to the sink\n"
        "  --direct            sends to the sink itself\n"
        "  --outside IP:PORT   the \"Internet\" side (default 127.0.1.10:20000)\n"
        "  --inside IP:PORT    the inner side (default 127.0.2.10:21000)\n"
        "                      sinks have PORT, senders PORT + 2\n"
        "  --sink-netns NAME   network namespace of the inner side's end\n"
        "  --streams N         SRTP streams in each direction (default 10)\n"
        "  --sources N         IP addresses that they come from (default: one for each), and\n"
        "  --sinks N           that they go to (default 1): those behind the one given\n"
        "  --rate N            packets per second of each stream (default 50)\n"
        "  --window N          no rate: so many packets are on their way at any time\n"
        "  --seconds N         default 5; or\n"
        "  --packets N         in all\n"
        "  --uncounted N       so many of each stream's first ones count for no delay (default 0)\n"
        "  --size N            octets of payload (default 160)\n"
        "  --forged PERCENT    of the packets have a wrong tag\n"
        "  --replayed PERCENT  of the packets are older ones once more\n"
        "  --back              from the inside out as well (with --control or --direct)\n"
        "  --suite NAME        default AES_CM_128_HMAC_SHA1_80\n"
        "  --tick MICROSECONDS packets due within it are sent together (default 0: each when\n"
        "                      it is due)\n"
        "  --pid NAME=PID      a process whose CPU time is told; may repeat\n"
        "  --line              NAME=VALUE words on one line instead of a line of JSON\n"
        "The SAs are added in an order that is not that of their packets.\n"
        "Exit status 0; 1: nothing came, or a packet was altered; 2: usage, or the relay\n"
        "refused.\n");
    exit(status);
}

enum option_id {
    OPT_CONTROL = 256,
    OPT_RTPENGINE,
    OPT_PASS_THROUGH,
    OPT_TO,
    OPT_DIRECT,
    OPT_OUTSIDE,
    OPT_INSIDE,
    OPT_SINK_NETNS,
    OPT_STREAMS,
    OPT_SOURCES,
    OPT_SINKS,
    OPT_RATE,
    OPT_WINDOW,
    OPT_BURST,
    OPT_END,
    OPT_SECONDS,
    OPT_PACKETS,
    OPT_UNCOUNTED,
    OPT_SIZE,
    OPT_FORGED,
    OPT_REPLAYED,
    OPT_BACK,
    OPT_SUITE,
    OPT_TICK,
    OPT_PID,
    OPT_LINE,
    OPT_HELP,
};

static const struct option options[] = {
    {"control", required_argument, NULL, OPT_CONTROL},
    {"rtpengine", required_argument, NULL, OPT_RTPENGINE},
    {"pass-through", no_argument, NULL, OPT_PASS_THROUGH},
    {"to", required_argument, NULL, OPT_TO},
    {"direct", no_argument, NULL, OPT_DIRECT},
    {"outside", required_argument, NULL, OPT_OUTSIDE},
    {"inside", required_argument, NULL, OPT_INSIDE},
    {"sink-netns", required_argument, NULL, OPT_SINK_NETNS},
    {"streams", required_argument, NULL, OPT_STREAMS},
    {"sources", required_argument, NULL, OPT_SOURCES},
    {"sinks", required_argument, NULL, OPT_SINKS},
    {"rate", required_argument, NULL, OPT_RATE},
    {"window", required_argument, NULL, OPT_WINDOW},
    {"burst", required_argument, NULL, OPT_BURST},
    {"end", required_argument, NULL, OPT_END},
    {"seconds", required_argument, NULL, OPT_SECONDS},
    {"packets", required_argument, NULL, OPT_PACKETS},
    {"uncounted", required_argument, NULL, OPT_UNCOUNTED},
    {"size", required_argument, NULL, OPT_SIZE},
    {"forged", required_argument, NULL, OPT_FORGED},
    {"replayed", required_argument, NULL, OPT_REPLAYED},
    {"back", no_argument, NULL, OPT_BACK},
    {"suite", required_argument, NULL, OPT_SUITE},
    {"tick", required_argument, NULL, OPT_TICK},
    {"pid", required_argument, NULL, OPT_PID},
    {"line", no_argument, NULL, OPT_LINE},
    {"help", no_argument, NULL, OPT_HELP},
    {0},
};

static void take_pid(struct bench *b, char *text)
{
    char *equals = strchr(text, '=');
    struct process *process = &b->processes[b->process_count];
    pid_t pid;

    if (!equals || b->process_count == PIDS_MAX)
        cli_die("--pid wants NAME=PID, at most %d times", PIDS_MAX);
    *equals = '\0';
    process->name = text;
    pid = (pid_t)cli_number("pid", equals + 1, 1, INT32_MAX);
    if (clock_getcpuclockid(pid, &process->clock) != 0)
        cli_die("--pid: there is no process %ld", (long)pid);
    b->process_count++;
}

static void take_burst(struct bench *b, char *text)
{
    char *equals = strchr(text, '=');

    if (!equals)
        cli_die("--burst wants PID=PACKETS");
    *equals = '\0';
    b->burst_pid = (pid_t)cli_number("burst", text, 2, INT32_MAX);
    b->burst = (unsigned)cli_number("burst", equals + 1, 1, 1000000);
}

/* Those that have a number or a name; false: it is another one. */
static bool take_load(struct bench *b, int id, const char *name, const char *text)
{
    struct flow_plan *plan = &b->plan;

    if (id == OPT_STREAMS)
        plan->streams = (unsigned)cli_number(name, text, 1, STREAMS_MAX);
    else if (id == OPT_SOURCES)
        plan->sources = (unsigned)cli_number(name, text, 1, STREAMS_MAX);
    else if (id == OPT_SINKS)
        plan->sinks = (unsigned)cli_number(name, text, 1, STREAMS_MAX);
    else if (id == OPT_RATE)
        plan->rate = cli_real(name, text, 0.01, 1e7);
    else if (id == OPT_WINDOW)
        plan->window = (unsigned)cli_number(name, text, 1, 1000000);
    else if (id == OPT_SECONDS)
        b->seconds = cli_real(name, text, 0.1, 3600);
    else if (id == OPT_PACKETS)
        b->packets = cli_number(name, text, 1, 1000000000);
    else if (id == OPT_UNCOUNTED)
        plan->uncounted = cli_number(name, text, 0, 1000000);
    else if (id == OPT_SIZE)
        plan->size = (size_t)cli_number(
            name, text, 0, PACKET_MAX_OCTETS - PROTECT_HEADER_OCTETS - PROTECT_ADDS_OCTETS);
    else if (id == OPT_FORGED)
        plan->forged = cli_real(name, text, 0, 50) / 100;
    else if (id == OPT_REPLAYED)
        plan->replayed = cli_real(name, text, 0, 50) / 100;
    else if (id == OPT_SUITE)
        b->suite = text;
    else if (id == OPT_TICK)
        b->tick_us = (unsigned)cli_number(name, text, 0, 100000);
    else
        return false;
    return true;
}

static void take(struct bench *b, int id, const char *name, char *text)
{
    if (id == OPT_HELP)
        usage(stdout, 0);
    else if (id == '?')
        usage(stderr, CLI_USAGE);
    else if (id == OPT_CONTROL)
        b->control = text;
    else if (id == OPT_RTPENGINE)
        b->rtpengine = cli_addr(name, text);
    else if (id == OPT_PASS_THROUGH)
        b->pass_through = true;
    else if (id == OPT_TO)
        b->to = cli_addr(name, text);
    else if (id == OPT_DIRECT)
        b->direct = true;
    else if (id == OPT_OUTSIDE)
        b->outside = cli_addr(name, text);
    else if (id == OPT_INSIDE)
        b->inside = cli_addr(name, text);
    else if (id == OPT_SINK_NETNS)
        b->sink_netns = text;
    else if (id == OPT_BACK)
        b->back = true;
    else if (id == OPT_PID)
        take_pid(b, text);
    else if (id == OPT_BURST)
        take_burst(b, text);
    else if (id == OPT_END)
        b->end_pid = (pid_t)cli_number(name, text, 2, INT32_MAX);
    else if (id == OPT_LINE)
        b->line = true;
    else
        take_load(b, id, name, text);
}

static void check(struct bench *b)
{
    int targets =
        b->direct + (b->control != NULL) + (b->to.family != 0) + (b->rtpengine.family != 0);

    if (targets != 1)
        usage(stderr, CLI_USAGE);
    if (b->burst && !b->control)
        cli_die("--burst wants --control");
    if (b->back && !b->control && !b->direct)
        cli_die("--back wants --control or --direct");
    /* The window sends so much in one go. */
    b->plan.window = b->burst ? b->burst : b->plan.window;
    if (b->back && b->outside.port == b->inside.port)
        cli_die("--back wants another port inside than outside");
}

static void parse(struct bench *b, int argc, char **argv)
{
    int id, at = 0;

    b->outside = cli_addr("outside", "127.0.1.10:20000");
    b->inside = cli_addr("inside", "127.0.2.10:21000");
    b->seconds = 5;
    b->plan = (struct flow_plan){.streams = 10, .rate = 50, .size = 160, .sinks = 1};
    while ((id = getopt_long(argc, argv, "", options, &at)) != -1)
        take(b, id, options[at].name, optarg);
    if (optind != argc)
        usage(stderr, CLI_USAGE);
    check(b);
    if (b->plan.sources == 0)
        b->plan.sources = b->plan.streams;
    b->plan.plain = b->rtpengine.family != 0 && !b->pass_through;
    b->plan.per_stream =
        b->packets ? b->packets / b->plan.streams : (uint64_t)(b->plan.rate * b->seconds);
    if (b->plan.per_stream == 0)
        b->plan.per_stream = 1;
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
    const bool inward = from == &b->outside;

    flow->from_netns = inward ? NULL : b->sink_netns;
    flow->sink_netns = inward ? b->sink_netns : NULL;
    flow->plan = &b->plan;
    flow->name = name;
    flow->from = *from;
    flow->from.port = (uint16_t)(from->port + 2);
    flow->sink = *sink;
    flow->first_ssrc = first_ssrc;
    flow_open(flow);
}

/* ---------------------------------------------------------------- what the relays are told */

/* In no order: the SAs of packets that follow each other are not neighbours. Freed by the caller.
 */
static unsigned *shuffled(unsigned count)
{
    unsigned *order = calloc(count, sizeof(*order));
    uint32_t random = 1;

    if (!order)
        cli_die("out of memory");
    for (unsigned i = 0; i < count; i++) {
        unsigned other;

        random = random * 1664525u + 1013904223u;
        other = (unsigned)(((uint64_t)random * (i + 1)) >> 32);
        order[i] = order[other];
        order[other] = i;
    }
    return order;
}

/* The key of stream n in base64. */
static void key_text(const struct bench *b, unsigned n, char text[4 * SUITE_KEY_MAX_OCTETS / 3 + 8])
{
    uint8_t material[SUITE_KEY_MAX_OCTETS];

    cli_key_of(&b->plan.key, n, material);
    base64_encode(material, suite_material_octets(b->plan.key.suite), text);
}

/* Twice what the stream has with all headers, so that the rate bound is not what is measured. */
static json_int_t allowed_kbit(const struct bench *b)
{
    double kbit = 2 * b->plan.rate * (double)(b->plan.size + 80) * 8 / 1000;

    return b->plan.window ? 1000000 : (json_int_t)fmin(1000000, fmax(64, kbit));
}

static json_t *add_request(const struct bench *b, const struct flow *flow, unsigned n)
{
    struct addr from = flow_source(flow, n), sink = flow_sink(flow, n);
    char text[2][ADDR_TEXT_SIZE], key[4 * SUITE_KEY_MAX_OCTETS / 3 + 8], call[64];

    key_text(b, n, key);
    snprintf(call, sizeof(call), "relaybench-%s-%u", flow->name, n);
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:[I], s:s, s:s, s:I}", "command", "sa-add", "side",
                     strcmp(flow->name, "in") == 0 ? "external" : "internal", "source",
                     addr_format(&from, text[0], sizeof(text[0])), "suite", b->plan.key.suite->name,
                     "key", key, "ssrc", (json_int_t)(flow->first_ssrc + n), "to",
                     addr_format(&sink, text[1], sizeof(text[1])), "call_id", call, "rate",
                     allowed_kbit(b));
}

static void add_sas(struct bench *b, json_t *ids)
{
    struct ctl *ctl = ctl_open(b->control);
    unsigned *order = shuffled(b->plan.streams);

    for (unsigned f = 0; f < b->flow_count; f++)
        for (unsigned i = 0; i < b->plan.streams; i++) {
            json_t *reply = ctl_ask(ctl, add_request(b, &b->flows[f], order[i]));
            const char *text = json_string_value(json_object_get(reply, "send_to"));
            struct addr to;

            if (!text || addr_parse(text, &to) < 0)
                cli_die("sa-add does not say where to send to: is the tunnel up?");
            flow_aim(&b->flows[f], order[i], &to);
            json_array_append(ids, json_object_get(reply, "id"));
            json_decref(reply);
        }
    free(order);
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

static void add_calls(struct bench *b)
{
    int fd = rtpengine_open(&b->rtpengine);
    struct flow *flow = &b->flows[0];

    for (unsigned n = 0; n < b->plan.streams; n++) {
        struct addr from = flow_source(flow, n), sink = flow_sink(flow, n), to;
        char key[4 * SUITE_KEY_MAX_OCTETS / 3 + 8];

        key_text(b, n, key);
        to = rtpengine_call(fd, n, &from, &sink, b->plan.key.suite->name,
                            b->pass_through ? NULL : key);
        flow_aim(flow, n, &to);
    }
    close(fd);
}

static void end_calls(const struct bench *b)
{
    int fd = rtpengine_open(&b->rtpengine);

    for (unsigned n = 0; n < b->plan.streams; n++)
        rtpengine_end(fd, n);
    close(fd);
}

/* What the relays need to know, and where the senders send to. */
static void prepare(struct bench *b, json_t *ids)
{
    if (b->control)
        add_sas(b, ids);
    else if (b->rtpengine.family)
        add_calls(b);
    for (unsigned f = 0; f < b->flow_count && (b->direct || b->to.family); f++)
        for (unsigned n = 0; n < b->plan.streams; n++) {
            struct addr to = b->direct ? flow_sink(&b->flows[f], n) : b->to;

            flow_aim(&b->flows[f], n, &to);
        }
}

static void clear_away(const struct bench *b, const json_t *ids)
{
    if (b->control)
        delete_sas(b, ids);
    else if (b->rtpengine.family)
        end_calls(b);
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

static double cpu_seconds(clockid_t clock)
{
    struct timespec ts;

    if (clock_gettime(clock, &ts) < 0)
        cli_die("a process has ended");
    return (double)ts.tv_sec + (double)ts.tv_nsec / NS_PER_S;
}

static void measure_cpu(struct bench *b, double sign)
{
    for (unsigned i = 0; i < b->process_count; i++)
        b->processes[i].cpu_seconds += sign * cpu_seconds(b->processes[i].clock);
    b->own_cpu += sign * cpu_seconds(CLOCK_PROCESS_CPUTIME_ID);
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
        if (flow_lost(&b->flows[f]) > 0)
            return false;
    return true;
}

/* What is to be dropped waits there, too; and who reads it has to know its SAs still. */
static bool all_read(const struct bench *b)
{
    for (unsigned f = 0; f < b->flow_count; f++)
        if (!flow_is_read(&b->flows[f]))
            return false;
    return true;
}

/* Until everything is here or nothing came for a while, and nothing waits for who is sent to; or it
 * takes too long. */
static void drain(struct bench *b)
{
    uint64_t start = now_ns(), last = start, now = start;

    while (now - start < drain_ns) {
        if (all_here(b) || now - last >= quiet_ns) {
            if (all_read(b))
                return;
            last = now;
        }
        if (receive_all(b) > 0)
            last = now;
        sleep_until(now + turn_ns);
        now = now_ns();
    }
}

/* Of the next packet, or, with a tick, of all that are due in it; but no longer than a turn. */
static uint64_t next_turn(const struct bench *b, uint64_t start, uint64_t now, unsigned moved)
{
    uint64_t next = b->tick_us ? now + b->tick_us * (uint64_t)1000 : now + turn_ns;

    if (b->plan.window)
        return moved ? now : now + idle_ns;
    for (unsigned f = 0; f < b->flow_count && !b->tick_us; f++) {
        uint64_t due = start + flow_due_ns(&b->flows[f]);

        if (!flow_all_sent(&b->flows[f]) && due < next)
            next = due;
    }
    return next;
}

static void run(struct bench *b)
{
    uint64_t start, now, received = 0;
    bool all_sent = false;

    /* A sleep ends when it should, and not up to 50 us later. */
    prctl(PR_SET_TIMERSLACK, 1000, 0, 0, 0);
    measure_cpu(b, -1);
    start = now = now_ns();
    while (!all_sent) {
        unsigned moved = 0;
        uint64_t next;

        all_sent = true;
        for (unsigned f = 0; f < b->flow_count; f++) {
            moved += flow_send(&b->flows[f], now - start);
            all_sent = all_sent && flow_all_sent(&b->flows[f]);
        }
        /* The kernel has stamped them: they may wait, but not where a window waits for them. */
        if (b->plan.window || now - received >= turn_ns) {
            moved += receive_all(b);
            received = now;
        }
        next = next_turn(b, start, now, moved);
        if (next > now)
            sleep_until(next);
        now = now_ns();
    }
    b->took = (double)(now - start) / NS_PER_S;
    drain(b);
    measure_cpu(b, 1);
}

/* ---------------------------------------------------------------- bursts */

struct thread {
    long id;
    uint64_t busy_ns; /* worked, or waited for a processor */
};

/* How many there are. */
static unsigned look_at_threads(pid_t pid, struct thread threads[THREADS_MAX])
{
    char path[64];
    unsigned count = 0;
    struct dirent *entry;
    DIR *folder;

    snprintf(path, sizeof(path), "/proc/%ld/task", (long)pid);
    folder = opendir(path);
    while (folder && count < THREADS_MAX && (entry = readdir(folder))) {
        unsigned long long worked, waited;
        FILE *file;

        threads[count].id = strtol(entry->d_name, NULL, 10);
        snprintf(path, sizeof(path), "/proc/%ld/task/%ld/schedstat", (long)pid, threads[count].id);
        file = threads[count].id > 0 ? fopen(path, "r") : NULL;
        if (file && fscanf(file, "%llu %llu", &worked, &waited) == 2)
            threads[count++].busy_ns = worked + waited;
        if (file)
            fclose(file);
    }
    if (folder)
        closedir(folder);
    if (count == 0)
        cli_die("--burst: process %ld is gone, or the kernel has no schedstat", (long)pid);
    return count;
}

/* Of all the threads, the longest time since before. */
static uint64_t longest_since(pid_t pid, const struct thread before[THREADS_MAX], unsigned count)
{
    struct thread now[THREADS_MAX];
    unsigned found = look_at_threads(pid, now);
    uint64_t longest = 0;

    for (unsigned i = 0; i < found; i++)
        for (unsigned j = 0; j < count; j++)
            if (now[i].id == before[j].id && now[i].busy_ns - before[j].busy_ns > longest)
                longest = now[i].busy_ns - before[j].busy_ns;
    return longest;
}

/*
 * Seconds that the process takes from here until it has nothing more to do. Until then no thread
 * sleeps, so that the time of each is known from the kernel's account of it: to look on would take
 * a processor away from it.
 */
static double work_off(pid_t pid, const struct thread before[THREADS_MAX], unsigned count)
{
    uint64_t start = now_ns(), longest, last = 0;

    do {
        sleep_until(now_ns() + settled_ns);
        longest = last;
        last = longest_since(pid, before, count);
    } while (last - longest > settled_busy_ns && now_ns() - start < burst_max_ns);
    return (double)(longest > 0 ? longest : last) / NS_PER_S;
}

static void stop_process(pid_t pid)
{
    char path[64], state = 0;

    if (kill(pid, SIGSTOP) < 0)
        cli_die("--burst: process %ld: %s", (long)pid, strerror(errno));
    snprintf(path, sizeof(path), "/proc/%ld/stat", (long)pid);
    while (state != 'T') {
        FILE *file = fopen(path, "r");

        if (!file || fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
            cli_die("--burst: process %ld is gone", (long)pid);
        fclose(file);
        sleep_until(now_ns() + idle_ns);
    }
}

static void send_burst(struct bench *b)
{
    struct flow *flow = &b->flows[0];
    uint64_t end = flow->next + b->burst;

    while (flow->next < end && !flow_all_sent(flow))
        flow_send(flow, 0);
    flow->written_off = flow->next; /* nothing comes back */
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* What is too little for one more burst is left out. Packets per second of the median burst. */
static double run_bursts(struct bench *b)
{
    struct flow *flow = &b->flows[0];
    struct thread threads[THREADS_MAX];
    double took[BURSTS_MAX];
    unsigned count = 0, thread_count;

    if (b->end_pid) {
        sleep_until(now_ns() + quiet_ns); /* the last SA arrives */
        kill(b->end_pid, SIGKILL);
        sleep_until(now_ns() + quiet_ns); /* the other one notices */
    }
    while (flow->total - flow->next >= b->burst && count < BURSTS_MAX) {
        stop_process(b->burst_pid);
        send_burst(b);
        thread_count = look_at_threads(b->burst_pid, threads);
        kill(b->burst_pid, SIGCONT);
        took[count++] = work_off(b->burst_pid, threads, thread_count);
    }
    qsort(took, count, sizeof(took[0]), by_value);
    return count ? b->burst / took[count / 2] : 0;
}

/* ---------------------------------------------------------------- the result */

static double loss_percent(const struct flow *flow)
{
    return flow->good_sent ? 100.0 * (double)flow_lost(flow) / (double)flow->good_sent : 0;
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
        (json_int_t)flow_lost(flow), "loss_percent", loss_percent(flow), "duplicates",
        (json_int_t)flow_duplicates(flow), "altered", (json_int_t)flow->altered, "strange",
        (json_int_t)flow->strange, "sent_per_second", (double)flow->sent / b->took,
        "received_per_second", (double)flow->distinct / b->took, "delay_us", "p50",
        (json_int_t)flow_percentile(flow, 1, 0.5), "p99",
        (json_int_t)flow_percentile(flow, 1, 0.99), "p99.9",
        (json_int_t)flow_percentile(flow, 1, 0.999), "max", (json_int_t)flow->max_delay_us,
        "longest_gap_us", (json_int_t)flow->max_gap_us, "generator_late_ms",
        (double)flow->late_ns / 1e6);
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

/* Of all directions together; who comes later than a telephone call can use has not come. */
static void print_all(const struct bench *b)
{
    static const double shares[] = {0.5, 0.95, 0.99, 0.999};
    static const char *const names[] = {"p50", "p95", "p99", "p999"};
    uint64_t sent = 0, in_time = 0;

    for (unsigned f = 0; f < b->flow_count; f++) {
        sent += flow_counted(&b->flows[f]);
        in_time += flow_within(&b->flows[f], late_us);
    }
    printf("all_sent=%llu all_in_time=%llu ", (unsigned long long)sent,
           (unsigned long long)in_time);
    for (size_t i = 0; i < sizeof(shares) / sizeof(shares[0]); i++)
        printf("all_%s=%llu ", names[i],
               (unsigned long long)flow_percentile(b->flows, b->flow_count, shares[i]));
}

/* One line for scripts. The direction's name stands in front of its figures. */
static void print_line(const struct bench *b)
{
    for (unsigned f = 0; f < b->flow_count; f++) {
        const struct flow *flow = &b->flows[f];

        printf("direction=%s streams=%u sent=%llu good=%llu forged=%llu replayed=%llu came=%llu "
               "lost=%llu duplicates=%llu forged_came=%llu altered=%llu strange=%llu "
               "sent_rate=%.0f came_rate=%.0f loss=%.4f p50=%llu p99=%llu p999=%llu max=%llu "
               "late_ms=%.1f burst=%.2f refused=%llu stalled=%llu ",
               flow->name, b->plan.streams, (unsigned long long)flow->sent,
               (unsigned long long)flow->good_sent, (unsigned long long)flow->forged_sent,
               (unsigned long long)flow->replayed_sent, (unsigned long long)flow->distinct,
               (unsigned long long)flow_lost(flow), (unsigned long long)flow_duplicates(flow),
               (unsigned long long)flow->forged, (unsigned long long)flow->altered,
               (unsigned long long)flow->strange, (double)flow->sent / b->took,
               (double)flow->distinct / b->took, loss_percent(flow),
               (unsigned long long)flow_percentile(flow, 1, 0.5),
               (unsigned long long)flow_percentile(flow, 1, 0.99),
               (unsigned long long)flow_percentile(flow, 1, 0.999),
               (unsigned long long)flow->max_delay_us, (double)flow->late_ns / 1e6,
               (double)flow->sent / (double)flow->bursts, (unsigned long long)flow->refused,
               (unsigned long long)flow->written_off);
    }
    for (unsigned i = 0; i < b->process_count; i++)
        printf("cpu_%s=%.3f ", b->processes[i].name, cpu_us(b, &b->processes[i]));
    print_all(b);
    printf("cpu_bench=%.3f\n", b->own_cpu * 1e6 / (double)received_in_all(b));
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
    prepare(&b, ids);
    if (b.burst) {
        double per_second = run_bursts(&b);

        printf("packets=%llu per_second=%.0f\n", (unsigned long long)b.flows[0].sent, per_second);
        return EXIT_SUCCESS;
    }
    run(&b);
    clear_away(&b, ids);
    if (b.line)
        print_line(&b);
    else
        print_json(&b);
    result = good(&b);
    json_decref(ids);
    for (unsigned f = 0; f < b.flow_count; f++)
        flow_close(&b.flows[f]);
    protect_stop();
    return result ? EXIT_SUCCESS : EXIT_FAILURE;
}
