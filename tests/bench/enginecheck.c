/*
 * The long run of both engines under one random schedule (tests/unit/enginerun.h): millions of
 * packets per suite. It prints how far it is, then a line of counts for each suite, and ends with
 * status 1 when a rule was broken.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/tools/cli.h"
#include "tests/unit/enginerun.h"

struct options {
    uint64_t packets, seed;
    const struct suite *suite; /* NULL: all */
};

static _Noreturn void usage(int status)
{
    fputs("usage: enginecheck [--packets N] [--suite NAME] [--seed S]\n"
          "  N packets (default 1000000) for each suite, or for the one that is named\n",
          status ? stderr : stdout);
    exit(status);
}

static void parse(int argc, char **argv, struct options *options)
{
    static const struct option names[] = {{"packets", required_argument, NULL, 'p'},
                                          {"suite", required_argument, NULL, 's'},
                                          {"seed", required_argument, NULL, 'r'},
                                          {"help", no_argument, NULL, 'h'},
                                          {0}};
    int option;

    while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        if (option == 'p')
            options->packets = cli_number("--packets", optarg, 1, UINT64_MAX);
        else if (option == 'r')
            options->seed = cli_number("--seed", optarg, 0, UINT64_MAX);
        else if (option == 's')
            options->suite = suite_find(optarg);
        else
            usage(option == 'h' ? EXIT_SUCCESS : CLI_USAGE);
        if (option == 's' && !options->suite)
            cli_die("--suite %s: not one of %s", optarg, suite_names());
    }
    if (optind < argc)
        usage(CLI_USAGE);
}

static double seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void print_counts(const struct enginerun_counts *counts)
{
    for (int i = 0; i < VERDICT_COUNT; i++) {
        if (counts->verdict[i] > 0)
            printf(" %s %" PRIu64, verdict_name((enum verdict)i), counts->verdict[i]);
    }
    printf("; oracle: accept %" PRIu64 " refuse %" PRIu64 " either %" PRIu64 "; forged %" PRIu64
           " unknown %" PRIu64 "; rekeys %" PRIu64 " restarts %" PRIu64 " moves %" PRIu64
           " wraps %" PRIu64 "\n",
           counts->to_accept, counts->to_refuse, counts->either, counts->forged, counts->unknown,
           counts->rekeys, counts->restarts, counts->moves, counts->wraps);
}

static bool check(const struct suite *suite, const struct options *options)
{
    struct enginerun *run = enginerun_new(suite, options->seed);
    double start = seconds(), next = start + 10;
    uint64_t done = 0;
    bool same = true;

    if (!run)
        cli_die("%s: no engine for it", suite->name);
    while (same && done < options->packets) {
        same = enginerun_step(run);
        done++;
        if (done % 4096 == 0 && seconds() > next) {
            fprintf(stderr, "%s: %" PRIu64 " packets, %.0f s\n", suite->name, done, next - start);
            next += 10;
        }
    }
    printf("%s: %s: %" PRIu64 " packets, seed %" PRIu64 ", %.0f s:", suite->name,
           same ? "same verdicts" : "FAILED", done, options->seed, seconds() - start);
    print_counts(enginerun_counts(run));
    if (!same)
        printf("%s\n", enginerun_failure(run));
    fflush(stdout);
    enginerun_free(run);
    return same;
}

int main(int argc, char **argv)
{
    struct options options = {.packets = 1000000, .seed = 1};
    bool same = true;

    parse(argc, argv, &options);
    for (int i = 0; i < SUITE_COUNT; i++) {
        const struct suite *suite = suite_get((enum suite_id)i);

        if (!options.suite || options.suite == suite)
            same = check(suite, &options) && same;
    }
    return same ? EXIT_SUCCESS : EXIT_FAILURE;
}
