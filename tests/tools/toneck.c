/* Tells whether a WAV file holds a tone for long enough; see usage(). */
#include "config.h" /* _GNU_SOURCE */

#include <getopt.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/tools/cli.h"
#include "tests/tools/tone.h"
#include "tests/tools/wav.h"

struct toneck {
    struct tone_want want;
    double min, expected;
    const char *path;
};

static _Noreturn void usage(FILE *to, int status)
{
    fprintf(to,
            "usage: toneck [--frequency HZ] [--level DBFS] [--tolerance DB] [--purity DB]\n"
            "              [--expect-seconds S] [--min SHARE] FILE.wav\n"
            "Looks in each 100 ms of a WAV file (16-bit PCM, mono or stereo) for the tone\n"
            "(default 1000 Hz), within 3 dB of the level (default -18.06, which ffmpeg's\n"
            "\"sine\" source has; 0 is a sine that reaches full scale) and 20 dB above all else.\n"
            "Prints one JSON line. Exit status 0: the tone lasts for SHARE (default 0.95) of S\n"
            "seconds (default: of the file); 1: it does not; 2: wrong usage or no such file.\n");
    exit(status);
}

static void parse(struct toneck *t, int argc, char **argv)
{
    static const struct option options[] = {
        {"frequency", required_argument, NULL, 'f'},
        {"level", required_argument, NULL, 'l'},
        {"tolerance", required_argument, NULL, 't'},
        {"purity", required_argument, NULL, 'p'},
        {"expect-seconds", required_argument, NULL, 's'},
        {"min", required_argument, NULL, 'm'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    double *const real[128] = {
        ['f'] = &t->want.frequency, ['l'] = &t->want.level, ['t'] = &t->want.tolerance,
        ['p'] = &t->want.purity,    ['s'] = &t->expected,   ['m'] = &t->min};
    int c, at;

    while ((c = getopt_long(argc, argv, "h", options, &at)) != -1) {
        if (c == 'h')
            usage(stdout, 0);
        if (c == '?')
            usage(stderr, CLI_USAGE);
        *real[c] = cli_real(options[at].name, optarg, c == 'l' ? -200 : 0, c == 'm' ? 1 : 1e6);
    }
    if (optind + 1 != argc)
        usage(stderr, CLI_USAGE);
    t->path = argv[optind];
}

static bool judge(const struct toneck *t, const struct tone_result *result)
{
    double expected = t->expected > 0 ? t->expected : result->seconds;
    double share = expected > 0 ? fmin(1, result->tone_seconds / expected) : 0;
    /* A block more or less is not what this is about: 9.5 of 10 is 0.95 however it rounds. */
    bool good = share > 0 && share + 1e-9 >= t->min;

    printf("{\"file\": \"%s\", \"seconds\": %.2f, \"tone_seconds\": %.2f, \"expected\": %.2f, "
           "\"share\": %.3f, \"level_dbfs\": ",
           t->path, result->seconds, result->tone_seconds, expected, share);
    if (isfinite(result->level))
        printf("%.1f", result->level);
    else
        printf("null");
    printf(", \"ok\": %s}\n", good ? "true" : "false");
    return good;
}

int main(int argc, char **argv)
{
    struct toneck t = {.want = {.frequency = 1000, .level = -18.06, .tolerance = 3, .purity = 20},
                       .min = 0.95};
    struct tone_result result;
    const char *error;
    struct wav wav;
    bool good;

    parse(&t, argc, argv);
    if (wav_read(&wav, t.path, &error) < 0)
        cli_die("%s: %s", t.path, error);
    if (t.want.frequency <= 0 || t.want.frequency * 2 >= wav.rate)
        cli_die("--frequency has to be below half of the file's %u samples per second", wav.rate);
    tone_measure(&t.want, &wav, &result);
    good = judge(&t, &result);
    wav_free(&wav);
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
