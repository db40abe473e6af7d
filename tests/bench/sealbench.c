/*
 * What it costs to seal a frame and to open it, beside what OpenSSL's cipher alone takes for it,
 * and to see that a frame has come before or is forged: nanoseconds of CPU time, medians of rounds
 * that took turns.
 */
#include "config.h" /* _GNU_SOURCE */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/carrier/seal.h"
#include "common/srtp/gcm.h"
#include "tests/tools/cli.h"

enum { ROUNDS = 101, ROUNDS_MAX = 1001, FRAMES = 256 };

static const size_t sizes[] = {60, 188, 1200};

enum work { SEAL, OPEN, REPLAYED, FORGED, BARE, WORKS };

static const char *const names[] = {"sealed", "opened", "replayed", "forged", "cipher alone"};

struct bench {
    struct seal *near, *far;
    struct gcm *gcm;
    size_t length;
    uint8_t packet[PACKET_MAX_OCTETS];
    uint8_t frame[FRAMES][SEAL_FRAME_MAX_OCTETS];
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

static void put_all(struct bench *bench)
{
    for (unsigned i = 0; i < FRAMES; i++) {
        if (seal_put(bench->near, FRAME_MEDIA, i, bench->packet, bench->length, bench->frame[i]) <
            0)
            cli_die("a frame could not be sealed");
    }
}

static void open_all(struct bench *bench, enum seal_verdict wanted)
{
    size_t length = SEAL_OVER_OCTETS + bench->length;
    uint8_t text[SEAL_TEXT_MAX_OCTETS];
    struct seal_opened opened;

    for (unsigned i = 0; i < FRAMES; i++) {
        enum seal_verdict verdict = seal_open(bench->far, bench->frame[i], length, text, &opened);

        if (verdict != wanted)
            cli_die("a frame was %s, and not %s", seal_verdict_name(verdict),
                    seal_verdict_name(wanted));
    }
}

static void spoil_all(struct bench *bench)
{
    for (unsigned i = 0; i < FRAMES; i++)
        bench->frame[i][SEAL_OVER_OCTETS + bench->length - 1] ^= 1;
}

static void cipher_all(struct bench *bench)
{
    uint8_t iv[GCM_IV_OCTETS] = {0}, tag[GCM_TAG_OCTETS];

    for (unsigned i = 0; i < FRAMES; i++) {
        iv[0] = (uint8_t)i;
        if (!gcm_seal(bench->gcm, iv, bench->packet, SEAL_HEAD_OCTETS, bench->frame[i],
                      SEAL_INSIDE_OCTETS + bench->length, bench->frame[i], tag))
            cli_die("the cipher refused");
    }
}

/* One round of all kinds of work: nanoseconds for a frame. */
static void measure(struct bench *bench, double ns[WORKS])
{
    double began = cpu_ns(), at;

#define TOOK(work) (at = cpu_ns(), ns[work] = (at - began) / FRAMES, began = cpu_ns())
    put_all(bench);
    TOOK(SEAL);
    spoil_all(bench);
    began = cpu_ns();
    open_all(bench, SEAL_FORGED);
    TOOK(FORGED);
    spoil_all(bench);
    began = cpu_ns();
    open_all(bench, SEAL_OPENED);
    TOOK(OPEN);
    open_all(bench, SEAL_REPLAYED);
    TOOK(REPLAYED);
    cipher_all(bench);
    TOOK(BARE);
#undef TOOK
}

static void run(struct bench *bench, unsigned rounds)
{
    static double ns[WORKS][ROUNDS_MAX];
    double one[WORKS];

    measure(bench, one);
    for (unsigned i = 0; i < rounds; i++) {
        measure(bench, one);
        for (int work = 0; work < WORKS; work++)
            ns[work][i] = one[work];
    }
    printf("%4zu octets", bench->length);
    for (int work = 0; work < WORKS; work++) {
        qsort(ns[work], rounds, sizeof(ns[work][0]), by_value);
        printf("  %s %.0f", names[work], ns[work][rounds / 2]);
    }
    printf(" ns\n");
}

int main(int argc, char **argv)
{
    static const uint8_t secret[2][SEAL_SECRET_OCTETS] = {{1}, {2}};
    static const size_t keys[] = {16, 32};
    unsigned rounds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : ROUNDS;
    struct bench *bench = calloc(1, sizeof(*bench));
    struct seal_store *store;

    if (!bench || rounds == 0 || rounds > ROUNDS_MAX || seal_store_new(&store) < 0)
        cli_die("usage: sealbench [ROUNDS, at most %d]", ROUNDS_MAX);
    for (int k = 0; k < 2; k++) {
        bench->gcm = gcm_new(keys[k]);
        if (!bench->gcm || !gcm_set_key(bench->gcm, secret[0]) ||
            seal_new(&bench->near, store, keys[k], secret[0], secret[1]) < 0 ||
            seal_new(&bench->far, store, keys[k], secret[1], secret[0]) < 0)
            cli_die("no AES-GCM");
        printf("AES-%zu-GCM, a frame of a packet of\n", 8 * keys[k]);
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            bench->length = sizes[i];
            run(bench, rounds);
        }
        gcm_free(bench->gcm);
        seal_free(bench->near);
        seal_free(bench->far);
    }
    seal_store_free(store);
    free(bench);
    return EXIT_SUCCESS;
}
