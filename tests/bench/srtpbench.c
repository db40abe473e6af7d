/*
 * What it costs to verify a packet, always as a ratio of two things that were measured in turns in
 * one run: this machine's speed, and what else runs on it, is in both. See usage() and HACKING.md.
 */
#include "config.h" /* _GNU_SOURCE */

#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/net/path.h"
#include "common/sa/verify.h"
#include "common/srtp/hmac.h"
#include "tests/bench/load.h"
#include "tests/tools/cli.h"
#include "tests/unit/protect.h"

enum {
    ROUNDS = 101,
    ROUNDS_MAX = 1001,
    BATCHES = 8, /* of one side in a round */
    TAG_OCTETS = 10,
    GCM_TAG_OCTETS = 16,
    FEW_SAS = 10,
    MANY_SAS = 20000,
    LIBSRTP2_SAS = 1000,
    LIBSRTP2_ROUNDS = 31, /* its packets come only once, and it takes long to open its sessions */
};

static const size_t sizes[] = {60, 172, 1200};
enum { SIZES = sizeof(sizes) / sizeof(sizes[0]) };

static const enum suite_id suites[] = {SUITE_AES_CM_128_HMAC_SHA1_80, SUITE_AEAD_AES_128_GCM,
                                       SUITE_AEAD_AES_256_GCM};
enum { SUITES = sizeof(suites) / sizeof(suites[0]) };

/* ---------------------------------------------------------------- measuring */

/* Verifies the packets in the slots and returns how many were good. */
struct side;
typedef unsigned work_fn(const struct side *side);

/* One of the two that are compared. */
struct side {
    struct load *load;
    work_fn *work;
    unsigned good; /* of each batch */
    unsigned warm; /* batches in front of each round that do not count */
    void *ctx;
};

struct comparison {
    double ns[2], ratio; /* of the first to the second */
};

struct bench {
    struct srtp_engine *evp, *libsrtp2;
    unsigned rounds;
    double clock_ns; /* what it costs to look at the clock */
};

static double cpu_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *values, unsigned count)
{
    qsort(values, count, sizeof(values[0]), by_value);
    return values[count / 2];
}

static double measure_clock(void)
{
    double took[ROUNDS];

    for (unsigned i = 0; i < ROUNDS; i++) {
        double began = cpu_ns();

        took[i] = cpu_ns() - began;
    }
    return median(took, ROUNDS);
}

static void work_off(const struct side *side, unsigned batches)
{
    for (unsigned i = 0; i < batches; i++) {
        load_receive(side->load);
        (void)side->work(side);
    }
}

/* Nanoseconds per packet. */
static double measure(const struct bench *bench, const struct side *side)
{
    double took = 0;

    work_off(side, side->warm);
    for (unsigned i = 0; i < BATCHES; i++) {
        unsigned good;
        double began;

        load_receive(side->load);
        began = cpu_ns();
        good = side->work(side);
        took += cpu_ns() - began - bench->clock_ns;
        if (good != side->good)
            cli_die("%u of %u packets verified, and not %u", good, LOAD_BATCH, side->good);
    }
    return took / (BATCHES * LOAD_BATCH);
}

static unsigned batches_of(unsigned sas)
{
    return sas / LOAD_BATCH + 1;
}

static struct comparison compare(const struct bench *bench, const struct side *a,
                                 const struct side *b, unsigned rounds)
{
    double ns[2][ROUNDS_MAX], ratio[ROUNDS_MAX];
    struct comparison result;

    /*
     * Once through all SAs. The first touch of memory that was just filled is slower than any later
     * one, and libsrtp2 makes a stream when the first packet of an SSRC comes.
     */
    work_off(a, batches_of(a->load->plan.sas));
    work_off(b, batches_of(b->load->plan.sas));
    for (unsigned i = 0; i < rounds; i++) {
        ns[0][i] = measure(bench, a);
        ns[1][i] = measure(bench, b);
        ratio[i] = ns[0][i] / ns[1][i];
    }
    result.ratio = median(ratio, rounds);
    result.ns[0] = median(ns[0], rounds);
    result.ns[1] = median(ns[1], rounds);
    return result;
}

/* ---------------------------------------------------------------- work */

/* As path.c does it: some packets at a time, and what they need is fetched before. */
static unsigned work_verify(const struct side *side)
{
    unsigned good = 0;

    for (unsigned at = 0; at < LOAD_BATCH; at += PATH_GROUP) {
        const struct load_slot *slot = &side->load->slot[at];

        for (unsigned i = 0; i < PATH_GROUP; i++)
            srtp_prefetch(slot[i].session, slot[i].index, &slot[i].view);
        for (unsigned i = 0; i < PATH_GROUP; i++)
            good += srtp_verify(slot[i].session, slot[i].index, &slot[i].view, slot[i].data,
                                side->load->length) == VERDICT_ACCEPTED;
    }
    return good;
}

/* As the daemons do it, from the datagram to the verdict. */
static unsigned work_admit(const struct side *side)
{
    const struct load *load = side->load;
    bool rtcp = load->plan.shape == RTP_SHAPE_RTCP;
    struct path_found found[PATH_GROUP];
    unsigned good = 0;

    for (unsigned at = 0; at < LOAD_BATCH; at += PATH_GROUP) {
        path_find(&load->path, load->packet + at, PATH_GROUP, found);
        for (unsigned i = 0; i < PATH_GROUP; i++)
            good += path_verify(&load->path, &found[i], rtcp, &load->packet[at + i],
                                load->now_us) == VERDICT_ACCEPTED;
    }
    return good;
}

/* As the inner-relay does it with what comes out of the tunnel. */
static unsigned work_frames(const struct side *side)
{
    const struct load *load = side->load;
    struct session_packet frames[PATH_GROUP];
    struct path_found found[PATH_GROUP];
    unsigned good = 0;

    for (unsigned at = 0; at < LOAD_BATCH; at += PATH_GROUP) {
        for (unsigned i = 0; i < PATH_GROUP; i++)
            frames[i] = (struct session_packet){.label = load->slot[at + i].view.ssrc,
                                                .data = load->slot[at + i].data,
                                                .length = load->length};
        path_find_labels(load->table, 0, frames, PATH_GROUP, found);
        for (unsigned i = 0; i < PATH_GROUP; i++)
            good += verify_packet(load->table, found[i].sa, &found[i].input, load->now_us) ==
                    VERDICT_ACCEPTED;
    }
    return good;
}

/* The tag is over the packet and the ROC, which is 0. */
static const uint8_t roc[4];

static unsigned work_bare_hmac(const struct side *side)
{
    EVP_MAC_CTX *mac = side->ctx;
    unsigned good = 0;

    for (unsigned i = 0; i < LOAD_BATCH; i++) {
        const struct udp_packet *packet = &side->load->packet[i];
        size_t length = packet->length - TAG_OCTETS, written;
        uint8_t tag[HMAC_OCTETS];

        good += EVP_MAC_init(mac, NULL, 0, NULL) && EVP_MAC_update(mac, packet->data, length) &&
                EVP_MAC_update(mac, roc, sizeof(roc)) &&
                EVP_MAC_final(mac, tag, &written, sizeof(tag)) &&
                memcmp(tag, packet->data + length, TAG_OCTETS) == 0;
    }
    return good;
}

static unsigned work_bare_sha1(const struct side *side)
{
    const struct hmac_key *key = side->ctx;
    unsigned good = 0;

    for (unsigned i = 0; i < LOAD_BATCH; i++) {
        const struct udp_packet *packet = &side->load->packet[i];
        size_t length = packet->length - TAG_OCTETS;
        uint8_t tag[HMAC_OCTETS];

        hmac_tag(key, packet->data, length, roc, sizeof(roc), tag);
        good += memcmp(tag, packet->data + length, TAG_OCTETS) == 0;
    }
    return good;
}

static unsigned work_bare_gcm(const struct side *side)
{
    EVP_CIPHER_CTX *gcm = side->ctx;
    uint8_t text[PACKET_MAX_OCTETS];
    unsigned good = 0;

    for (unsigned i = 0; i < LOAD_BATCH; i++) {
        struct load_slot *slot = &side->load->slot[i];
        size_t header = slot->view.header_length;
        size_t length = side->load->length - header - GCM_TAG_OCTETS;
        int written;

        good += EVP_DecryptInit_ex2(gcm, NULL, NULL, slot->iv, NULL) &&
                EVP_DecryptUpdate(gcm, NULL, &written, slot->data, (int)header) &&
                EVP_DecryptUpdate(gcm, text, &written, slot->data + header, (int)length) &&
                EVP_CIPHER_CTX_ctrl(gcm, EVP_CTRL_AEAD_SET_TAG, GCM_TAG_OCTETS,
                                    slot->data + header + length) &&
                EVP_DecryptFinal_ex(gcm, text, &written);
    }
    return good;
}

/* ---------------------------------------------------------------- contexts of the bare loops */

static EVP_MAC_CTX *new_mac(const struct reference_keys *keys)
{
    char digest[] = "SHA1";
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string("digest", digest, 0),
                           OSSL_PARAM_construct_end()};
    EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *mac = EVP_MAC_CTX_new(hmac);

    if (!mac || !EVP_MAC_init(mac, keys->auth, sizeof(keys->auth), params))
        cli_die("no HMAC-SHA1");
    EVP_MAC_free(hmac);
    return mac;
}

static EVP_CIPHER_CTX *new_gcm(const struct suite *suite, const struct reference_keys *keys)
{
    EVP_CIPHER *cipher =
        EVP_CIPHER_fetch(NULL, suite->key_octets == 16 ? "AES-128-GCM" : "AES-256-GCM", NULL);
    EVP_CIPHER_CTX *gcm = EVP_CIPHER_CTX_new();

    if (!gcm || !EVP_DecryptInit_ex2(gcm, cipher, keys->cipher, NULL, NULL))
        cli_die("no AES-GCM");
    EVP_CIPHER_free(cipher);
    return gcm;
}

/* ---------------------------------------------------------------- the table */

static void print_head(const char *title, const char *first, const char *second)
{
    printf("\n%s\n%-29s %5s %10s %10s %8s   %s\n", title, "", "size", first, second, "ratio",
           "target");
}

/* What the issue wants; 0: no such bound. */
struct target {
    double at_most, at_least;
};

static void print_row(const char *name, size_t size, const struct comparison *result,
                      const struct target *target)
{
    /* As exactly as it is printed. */
    bool met = (target->at_most <= 0 || result->ratio < target->at_most + 0.005) &&
               result->ratio >= target->at_least;

    printf("%-29s %5zu %10.1f %10.1f %8.2f   ", name, size, result->ns[0], result->ns[1],
           result->ratio);
    if (target->at_most > 0)
        printf("at most %.1f", target->at_most);
    else if (target->at_least > 0)
        printf("at least %.0f", target->at_least);
    printf("%s\n", met ? "" : ": MISSED");
    fflush(stdout);
}

static struct load_plan plan_of(struct srtp_engine *engine, enum suite_id suite, size_t size,
                                unsigned sas, unsigned packets)
{
    return (struct load_plan){.engine = engine,
                              .suite = suite_get(suite),
                              .shape = RTP_SHAPE_RTP,
                              .size = size,
                              .sas = sas,
                              .packets = packets};
}

static void compare_and_print(struct bench *bench, const char *name, const struct side *a,
                              const struct side *b, const struct target *target)
{
    struct comparison result = compare(bench, a, b, bench->rounds);

    print_row(name, a->load->plan.size, &result, target);
}

/* ---------------------------------------------------------------- sections */

enum { ONE_SA_PACKETS = 512 };
static const struct target no_target = {0}, bare_target = {.at_most = 1.3},
                           many_target = {.at_most = 1.5}, lookup_target = {.at_most = 2},
                           forged_target = {.at_most = 1};

static void bare_hmac(struct bench *bench, struct load *load)
{
    struct side verify = {.load = load, .work = work_verify, .good = LOAD_BATCH};
    struct side bare = {.load = load, .work = work_bare_hmac, .good = LOAD_BATCH};
    struct hmac_key key;
    struct side sha1 = {.load = load, .work = work_bare_sha1, .good = LOAD_BATCH, .ctx = &key};

    hmac_init(&key, load->keys[0].auth, sizeof(load->keys[0].auth));
    bare.ctx = new_mac(&load->keys[0]);
    compare_and_print(bench, load->plan.suite->name, &verify, &bare, &bare_target);
    compare_and_print(bench, "  against SHA1_* alone", &verify, &sha1, &no_target);
    EVP_MAC_CTX_free(bare.ctx);
}

static void bare_gcm(struct bench *bench, struct load *load)
{
    struct side verify = {.load = load, .work = work_verify, .good = LOAD_BATCH};
    struct side bare = {.load = load, .work = work_bare_gcm, .good = LOAD_BATCH};

    bare.ctx = new_gcm(load->plan.suite, &load->keys[0]);
    compare_and_print(bench, load->plan.suite->name, &verify, &bare, &bare_target);
    EVP_CIPHER_CTX_free(bare.ctx);
}

static void section_bare(struct bench *bench)
{
    print_head("evp engine against a bare OpenSSL loop, one SA (ns per packet)", "evp", "bare");
    for (unsigned i = 0; i < SUITES * SIZES; i++) {
        struct load_plan plan =
            plan_of(bench->evp, suites[i / SIZES], sizes[i % SIZES], 1, ONE_SA_PACKETS);
        struct load *load = load_new(&plan);

        (plan.suite->aead ? bare_gcm : bare_hmac)(bench, load);
        load_free(load);
    }
}

static void section_many(struct bench *bench)
{
    print_head("20,000 SAs in random order against 10 (ns per packet)", "20,000", "10");
    for (unsigned i = 0; i < SUITES * SIZES; i++) {
        enum suite_id suite = suites[i / SIZES];
        struct load_plan many = plan_of(bench->evp, suite, sizes[i % SIZES], MANY_SAS, 1);
        struct load_plan few =
            plan_of(bench->evp, suite, sizes[i % SIZES], FEW_SAS, MANY_SAS / FEW_SAS);
        struct side a = {.load = load_new(&many), .work = work_verify, .good = LOAD_BATCH};
        struct side b = {.load = load_new(&few), .work = work_verify, .good = LOAD_BATCH};

        compare_and_print(bench, many.suite->name, &a, &b, &many_target);
        a.work = b.work = work_admit;
        compare_and_print(bench, "  found by source", &a, &b, &lookup_target);
        a.work = b.work = work_frames;
        compare_and_print(bench, "  found by label", &a, &b, &lookup_target);
        load_free(a.load);
        load_free(b.load);
    }
}

/* Its packets come only once: the library remembers them, whatever the SA says. */
static struct load *load_once(struct srtp_engine *engine, enum suite_id suite, unsigned sas)
{
    unsigned batches = LIBSRTP2_ROUNDS * (batches_of(sas) + BATCHES) + batches_of(sas) + 1;
    struct load_plan plan = plan_of(engine, suite, 172, sas, batches * LOAD_BATCH / sas + 1);

    plan.only_once = true;
    return load_new(&plan);
}

static void against_libsrtp2(struct bench *bench, enum suite_id suite, unsigned sas,
                             const struct target *target)
{
    /* With 1,000 SAs libsrtp2 takes the whole cache, which evp would not have to do without. */
    struct side a = {.work = work_verify, .good = LOAD_BATCH, .warm = batches_of(sas)}, b = a;
    struct comparison result;

    a.load = load_once(bench->libsrtp2, suite, sas);
    b.load = load_once(bench->evp, suite, sas);
    result = compare(bench, &a, &b, LIBSRTP2_ROUNDS);
    print_row(suite_get(suite)->name, a.load->plan.size, &result, target);
    load_free(a.load);
    load_free(b.load);
}

static void section_libsrtp2(struct bench *bench)
{
    static const struct target targets[] = {{.at_least = 8}, {.at_least = 40}};

    for (unsigned many = 0; many < 2; many++) {
        print_head(
            many ? "libsrtp2 against the evp engine, 1,000 SAs in random order (ns per packet)"
                 : "libsrtp2 against the evp engine, one SA (ns per packet)",
            "libsrtp2", "evp");
        for (unsigned i = 0; i < SUITES; i++)
            against_libsrtp2(bench, suites[i], many ? LIBSRTP2_SAS : 1,
                             suite_get(suites[i])->aead ? &no_target : &targets[many]);
    }
}

static void forged_row(struct bench *bench, struct load_plan plan, const char *title,
                       unsigned (*work)(const struct side *side))
{
    struct side a = {.work = work}, b = {.work = work, .good = LOAD_BATCH};

    b.load = load_new(&plan);
    plan.forged = true;
    a.load = load_new(&plan);
    compare_and_print(bench, title, &a, &b, &forged_target);
    load_free(a.load);
    load_free(b.load);
}

static void forged(struct bench *bench, struct load_plan plan, const char *name)
{
    char title[64];

    snprintf(title, sizeof(title), "%s, %s", plan.suite->name, name);
    forged_row(bench, plan, title, work_verify);
    forged_row(bench, plan, "  with the lookup", work_admit);
    plan.learned = true;
    forged_row(bench, plan, "  of learned senders", work_admit);
}

static void section_forged(struct bench *bench)
{
    print_head("a forged packet against a good one, 10 SAs (ns per packet)", "forged", "good");
    for (unsigned i = 0; i < SUITES * SIZES; i++) {
        struct load_plan plan =
            plan_of(bench->evp, suites[i / SIZES], sizes[i % SIZES], FEW_SAS, 64);

        forged(bench, plan, "RTP");
        plan.shape = RTP_SHAPE_RTCP;
        forged(bench, plan, "RTCP");
    }
}

/* ---------------------------------------------------------------- */

static const struct section {
    const char *name;
    void (*run)(struct bench *bench);
} sections[] = {
    {"bare", section_bare},
    {"many", section_many},
    {"libsrtp2", section_libsrtp2},
    {"forged", section_forged},
};
enum { SECTIONS = sizeof(sections) / sizeof(sections[0]) };

static _Noreturn void usage(void)
{
    fprintf(stderr, "usage: srtpbench [ROUNDS [bare | many | libsrtp2 | forged]]\n"
                    "CPU time of packets that are verified, as ratios: medians of so many rounds\n"
                    "(default 101) in which the two that are compared take turns.\n");
    exit(CLI_USAGE);
}

int main(int argc, char **argv)
{
    struct bench bench = {.rounds = ROUNDS};
    bool found = false;

    if (argc > 3)
        usage();
    if (argc > 1)
        bench.rounds = (unsigned)cli_number("ROUNDS", argv[1], 1, ROUNDS_MAX);
    if (protect_start() < 0 || srtp_engine_new(&bench.evp, SRTP_ENGINE_EVP) < 0 ||
        srtp_engine_new(&bench.libsrtp2, SRTP_ENGINE_LIBSRTP2) < 0)
        cli_die("the engines cannot be started");
    bench.clock_ns = measure_clock();
    for (unsigned i = 0; i < SECTIONS; i++) {
        if (argc > 2 && strcmp(argv[2], sections[i].name) != 0)
            continue;
        sections[i].run(&bench);
        found = true;
    }
    if (!found)
        usage();
    srtp_engine_free(bench.libsrtp2);
    srtp_engine_free(bench.evp);
    protect_stop();
    return 0;
}
