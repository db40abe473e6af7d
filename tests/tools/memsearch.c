/* Searches the memory of a live process; see usage(). */
#include "config.h" /* _GNU_SOURCE */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/tools/cli.h"
#include "tests/tools/image.h"

enum { LINE_SIZE = 512, SHOWN_MAX = 100 };

static _Noreturn void usage(FILE *to, int status)
{
    fprintf(to,
            "usage: memsearch PID <NEEDLES\n"
            "Looks in all memory of the process for the octets that standard input names, one\n"
            "a line: NAME HEX, with %d to %d octets. Prints where each of them is, and a last\n"
            "line that counts. Exit status 0 (none found), 1 (some found), 2 (usage, or the\n"
            "process cannot be looked into: root can). SIGSTOP it for a search that is sure.\n",
            IMAGE_NEEDLE_MIN, IMAGE_NEEDLE_MAX);
    exit(status);
}

static void read_needles(struct needles *needles)
{
    char line[LINE_SIZE];
    unsigned long number = 0;

    while (fgets(line, sizeof(line), stdin)) {
        number++;
        if (line[0] != '\n' && !needles_add(needles, line))
            cli_die("line %lu of the needles is not \"NAME HEX\"", number);
    }
    if (ferror(stdin) || needles->count == 0)
        cli_die("no needles on standard input");
}

static void on_found(void *ctx, const struct image_place *place)
{
    unsigned *shown = ctx;

    if ((*shown)++ < SHOWN_MAX)
        printf("%s at %lx in %s\n", place->needle->name, place->address, place->mapping);
}

int main(int argc, char **argv)
{
    struct image_result result;
    struct needles needles;
    unsigned shown = 0;
    size_t found;
    pid_t pid;

    if (argc == 2 && strcmp(argv[1], "--help") == 0)
        usage(stdout, 0);
    if (argc != 2)
        usage(stderr, CLI_USAGE);
    pid = (pid_t)cli_number("PID", argv[1], 1, INT32_MAX);
    needles_init(&needles);
    read_needles(&needles);
    if (image_search(pid, &needles, on_found, &shown, &result) < 0)
        cli_die("process %ld: %s", (long)pid, strerror(errno));
    if (result.unreadable > 0)
        cli_die("process %ld: %zu mappings cannot be read", (long)pid, result.unreadable);
    found = needles_found(&needles);
    printf("%zu of %zu needles found, in %llu octets of %zu mappings, at %llu places\n", found,
           needles.count, (unsigned long long)result.octets, result.mappings,
           (unsigned long long)result.places);
    needles_fini(&needles);
    return found > 0 ? 1 : 0;
}
