/*
 * The table of SAs by itself: what an SA with its SRTP session costs to add, to find and to delete,
 * and how much memory it takes, for each suite.
 */
#include <getopt.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/sa/table.h"
#include "common/srtp/srtp.h"
#include "tests/tools/cli.h"

enum { DELETES = 20000, FINDS = 200000, COUNT_MAX = 1000000 };

struct bench {
    struct srtp_engine *engine;
    const struct suite *suite;
    uint32_t count;
    bool waiting, heard; /* sources and SSRCs are learned: not yet, or already */
    struct table *table;
    struct sa **all;
    uint32_t *add_ns, *delete_ns;
    uint32_t random;
};

struct memory {
    size_t heap, resident;
};

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static uint32_t since_ns(uint64_t begin_ns)
{
    uint64_t elapsed = now_ns() - begin_ns;

    return elapsed < UINT32_MAX ? (uint32_t)elapsed : UINT32_MAX;
}

/* The same numbers in each run. */
static uint32_t dice(struct bench *b, uint32_t sides)
{
    b->random ^= b->random << 13;
    b->random ^= b->random >> 17;
    b->random ^= b->random << 5;
    return b->random % sides;
}

static struct memory memory_now(void)
{
    struct mallinfo2 info = mallinfo2();
    struct memory memory = {.heap = info.uordblks + info.hblkhd};
    size_t pages = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");

    if (!file || fscanf(file, "%zu %zu", &pages, &resident) != 2)
        cli_die("/proc/self/statm cannot be read");
    fclose(file);
    memory.resident = resident * (size_t)sysconf(_SC_PAGESIZE);
    return memory;
}

/* ------------------------------------------------------------ the work */

static struct addr addr_of(uint8_t net, uint32_t n, uint16_t port)
{
    uint8_t ip[4] = {net, (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};

    return addr_from_ip4(ip, port);
}

static uint32_t ssrc_of(uint32_t n)
{
    return n * 2246822519u;
}

static void fill(const struct bench *b, struct sa *sa, uint32_t n)
{
    char call_id[CALL_ID_SIZE];

    snprintf(call_id, sizeof(call_id), "%08x-%u@sip.example.net", n * 2654435761u, n);
    sa->id = n + 1;
    sa->generation = 1;
    sa->label = n;
    sa->source.rtp = addr_of(11, n, 5000);
    sa->source.rtcp = addr_of(11, n, 5001);
    sa->destination.rtp = addr_of(10, n, 6000);
    sa->destination.rtcp = addr_of(10, n, 6001);
    sa->suite = b->suite;
    if (sa_set_text(sa, SA_CALL_ID, call_id) < 0)
        cli_die("out of memory");
    if (b->waiting || b->heard) {
        sa->source_policy = SOURCE_HINTED;
        sa->hint = addr_of(12, n, 0);
    } else if (sa_stream_add(sa, ssrc_of(n), SSRC_ORIGIN_SIGNALLED) < 0) {
        cli_die("out of memory");
    }
}

/* What its first packets of RTP and RTCP leave behind. */
static void hear(struct bench *b, struct sa *sa, uint32_t n)
{
    struct addr rtp = sa->source.rtp, rtcp = sa->source.rtcp;

    if (!table_learn_ssrc(b->table, sa, ssrc_of(n)))
        cli_die("out of memory");
    sa->bound[0] = sa->bound[1] = true;
    table_move_source(b->table, sa, false, &rtp);
    table_move_source(b->table, sa, true, &rtcp);
    while (table_work(b->table))
        continue;
}

static int open_session(const struct bench *b, struct sa *sa, uint32_t n)
{
    uint8_t material[SUITE_KEY_MAX_OCTETS];
    struct srtp_key key;

    for (size_t i = 0; i < sizeof(material); i++)
        material[i] = (uint8_t)(n >> 8 * (i % 4)) ^ (uint8_t)(i + 1);
    srtp_key_master(&key, material, suite_material_octets(sa->suite));
    return sa_open(sa, b->engine, &key);
}

static void add(struct bench *b, uint32_t n)
{
    uint64_t begin_ns = now_ns();
    struct sa *sa = sa_new();
    int result;

    if (!sa)
        cli_die("out of memory");
    fill(b, sa, n);
    result = open_session(b, sa, n);
    if (result == 0)
        result = table_insert(b->table, sa);
    if (result < 0)
        cli_die("SA %u: %s", n, err_text(result));
    if (b->heard)
        hear(b, sa, n);
    b->all[n] = sa;
    b->add_ns[n] = since_ns(begin_ns);
}

static void remove_one(struct bench *b, uint32_t n, uint32_t nth)
{
    uint64_t begin_ns = now_ns();

    table_remove(b->table, b->all[n]);
    sa_free(b->all[n]);
    b->all[n] = NULL;
    b->delete_ns[nth] = since_ns(begin_ns);
}

static void shuffle(struct bench *b, uint32_t *order)
{
    for (uint32_t i = 0; i < b->count; i++) {
        uint32_t k = dice(b, i + 1);

        order[i] = order[k];
        order[k] = i;
    }
}

/* As a packet does, in no order. Nanoseconds for one. */
static double find(struct bench *b, uint32_t among)
{
    uint64_t begin_ns = now_ns();

    for (uint32_t i = 0; i < FINDS; i++) {
        uint32_t n = dice(b, among);
        struct addr source = addr_of(11, n, 5000);

        if (!table_by_source(b->table, SA_SIDE_EXTERNAL, &source, ssrc_of(n)))
            cli_die("SA %u is not found", n);
    }
    return (double)(now_ns() - begin_ns) / FINDS;
}

/* ------------------------------------------------------------ the row */

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

/* In microseconds; the values are in order. */
static double percentile(const uint32_t *ns, uint32_t count, unsigned percent)
{
    return ns[(uint64_t)(count - 1) * percent / 100] / 1000.0;
}

static void print_row(struct bench *b, struct memory before, struct memory after, double few_ns,
                      double many_ns, uint64_t deletes_ns)
{
    double count = b->count;

    qsort(b->add_ns, b->count, sizeof(*b->add_ns), compare);
    qsort(b->delete_ns, b->count, sizeof(*b->delete_ns), compare);
    printf("%-24s %7u %6.0f %6.0f %7.2f %7.2f %7.2f %7.2f %8.1f %6.0f %6.0f\n", b->suite->name,
           b->count, (double)(after.heap - before.heap) / count,
           (double)(after.resident - before.resident) / count, percentile(b->add_ns, b->count, 50),
           percentile(b->add_ns, b->count, 99), percentile(b->delete_ns, b->count, 50),
           percentile(b->delete_ns, b->count, 99), (double)deletes_ns / 1e6, few_ns, many_ns);
    fflush(stdout);
}

static void *need(size_t count, size_t size)
{
    void *memory = malloc(count * size);

    if (!memory)
        cli_die("out of memory");
    /* Its pages are here before the first measurement. */
    memset(memory, 1, count * size);
    return memory;
}

static void run(struct bench *b)
{
    uint32_t *order = need(b->count, sizeof(*order));
    struct memory before, after;
    uint64_t begin_ns, deletes_ns = 0;
    double few_ns, many_ns;

    b->all = need(b->count, sizeof(struct sa *));
    b->add_ns = need(b->count, sizeof(*b->add_ns));
    b->delete_ns = need(b->count, sizeof(*b->delete_ns));
    shuffle(b, order);
    malloc_trim(0);
    before = memory_now();
    b->table = table_new(b->count);
    if (!b->table)
        cli_die("out of memory");
    for (uint32_t n = 0; n < b->count; n++)
        add(b, n);
    after = memory_now();
    few_ns = find(b, b->count < 10 ? b->count : 10);
    many_ns = find(b, b->count);
    begin_ns = now_ns();
    for (uint32_t i = 0; i < b->count; i++) {
        remove_one(b, order[i], i);
        if (i < DELETES)
            deletes_ns = now_ns() - begin_ns;
    }
    print_row(b, before, after, few_ns, many_ns, deletes_ns);
    table_free(b->table);
    free(b->all);
    free(b->add_ns);
    free(b->delete_ns);
    free(order);
}

static void print_head(void)
{
    printf(
        "octets for each SA, with its session and its share of the table: heap, and resident\n"
        "memory (in locked pages too); microseconds to add one (session included) and to delete\n"
        "one in no order; milliseconds for all deletes, or the first %d; nanoseconds to find\n"
        "one by source among 10 and among all, in no order.\n",
        DELETES);
    printf("%-24s %7s %6s %6s %7s %7s %7s %7s %8s %6s %6s\n", "", "SAs", "heap", "resid", "add50",
           "add99", "del50", "del99", "dels-ms", "find10", "find");
}

static enum srtp_engine_kind engine_kind(const char *name)
{
    for (int kind = SRTP_ENGINE_AUTO; kind <= SRTP_ENGINE_LIBSRTP2; kind++) {
        if (strcmp(name, srtp_engine_name((enum srtp_engine_kind)kind)) == 0)
            return (enum srtp_engine_kind)kind;
    }
    cli_die("--engine %s: auto, evp or libsrtp2", name);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"sas", required_argument, NULL, 's'},
                                            {"engine", required_argument, NULL, 'e'},
                                            {"waiting", no_argument, NULL, 'w'},
                                            {"heard", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    uint32_t counts[2] = {20000, 100000}, rows = 2;
    enum srtp_engine_kind kind = SRTP_ENGINE_AUTO;
    struct bench bench = {.random = 1};
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 's') {
            counts[0] = (uint32_t)cli_number("sas", optarg, 1, COUNT_MAX);
            rows = 1;
        } else if (option == 'e') {
            kind = engine_kind(optarg);
        } else if (option == 'w') {
            bench.waiting = true;
        } else if (option == 'h') {
            bench.heard = true;
        } else {
            cli_die("usage: sabench [--sas NUMBER] [--engine auto|evp|libsrtp2] [--waiting | "
                    "--heard]\nwhose senders' sources and SSRCs are yet to be learned, or were");
        }
    }
    if (srtp_engine_new(&bench.engine, kind) < 0)
        cli_die("the engine cannot be started");
    print_head();
    for (uint32_t row = 0; row < rows; row++) {
        bench.count = counts[row];
        for (int suite = 0; suite < SUITE_COUNT; suite++) {
            bench.suite = suite_get((enum suite_id)suite);
            run(&bench);
        }
    }
    srtp_engine_free(bench.engine);
    return EXIT_SUCCESS;
}
