/*
 * Runs a fuzz target without a fuzzing engine: each file of its corpus folder
 * as it is, cut short at several points, and with single bits flipped. The
 * folder is the first argument, or $FUZZ_CORPUS/NAME for a program fuzz_NAME.
 */
#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* At most so many cuts and flips for each file, evenly spread over it. */
enum { CUTS_MAX = 64, FLIPS_MAX = 512, FILE_MAX_OCTETS = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The copy is as long as the input: a tool that watches the heap sees every octet too far. */
static void run(const uint8_t *data, size_t size, size_t flip_bit)
{
    uint8_t *copy = malloc(size ? size : 1);

    if (!copy)
        abort();
    memcpy(copy, data, size);
    if (flip_bit < 8 * size)
        copy[flip_bit / 8] ^= (uint8_t)(1u << flip_bit % 8);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

/* A part of them where tests are slow, as in the unit tests: MEDIA_RELAY_TEST_SHARE percent. */
static size_t at_most(size_t full)
{
    const char *share = getenv("MEDIA_RELAY_TEST_SHARE");
    size_t percent = share ? strtoul(share, NULL, 10) : 100;

    return percent >= 1 && percent < 100 ? full * percent / 100 : full;
}

static unsigned long run_all(const uint8_t *data, size_t size)
{
    size_t cuts = size < at_most(CUTS_MAX) ? size : at_most(CUTS_MAX);
    size_t flips = 8 * size < at_most(FLIPS_MAX) ? 8 * size : at_most(FLIPS_MAX);

    run(data, size, SIZE_MAX);
    for (size_t i = 0; i < cuts; i++)
        run(data, i * size / cuts, SIZE_MAX);
    for (size_t i = 0; i < flips; i++)
        run(data, size, i * (8 * size / flips) + i % 8 % (8 * size / flips));
    return 1 + cuts + flips;
}

/* Returns how many inputs were made of the file; 0 when it cannot be read. */
static unsigned long replay_file(const char *folder, const char *name)
{
    char path[4096];
    unsigned long inputs = 0;
    uint8_t *data = malloc(FILE_MAX_OCTETS);
    FILE *file = NULL;
    int length = snprintf(path, sizeof(path), "%s/%s", folder, name);

    if (data && length > 0 && (size_t)length < sizeof(path))
        file = fopen(path, "rb");
    if (file) {
        size_t size = fread(data, 1, FILE_MAX_OCTETS, file);

        if (ferror(file) || !feof(file))
            fprintf(stderr, "%s: cannot be read, or larger than %d octets\n", path,
                    (int)FILE_MAX_OCTETS);
        else
            inputs = run_all(data, size);
        fclose(file);
    }
    free(data);
    return inputs;
}

static bool find_folder(int argc, char **argv, char *out, size_t size)
{
    const char *corpus = getenv("FUZZ_CORPUS");
    const char *slash = strrchr(argv[0], '/');
    const char *name = slash ? slash + 1 : argv[0];
    int length;

    if (argc > 1)
        length = snprintf(out, size, "%s", argv[1]);
    else if (corpus && strncmp(name, "fuzz_", 5) == 0)
        length = snprintf(out, size, "%s/%s", corpus, name + 5);
    else
        return false;
    return length > 0 && (size_t)length < size;
}

int main(int argc, char **argv)
{
    char folder[4096];
    unsigned long files = 0, inputs = 0;
    struct dirent *entry;
    DIR *dir;

    if (!find_folder(argc, argv, folder, sizeof(folder))) {
        fprintf(stderr, "usage: %s FOLDER (or set FUZZ_CORPUS)\n", argv[0]);
        return EXIT_FAILURE;
    }
    dir = opendir(folder);
    while (dir && (entry = readdir(dir)) != NULL) {
        unsigned long n;

        if (entry->d_name[0] == '.')
            continue;
        n = replay_file(folder, entry->d_name);
        if (n == 0) {
            fprintf(stderr, "%s/%s: not a readable corpus file\n", folder, entry->d_name);
            closedir(dir);
            return EXIT_FAILURE;
        }
        files++;
        inputs += n;
    }
    if (dir)
        closedir(dir);
    if (files == 0) {
        fprintf(stderr, "%s: missing, or empty: a target needs a corpus\n", folder);
        return EXIT_FAILURE;
    }
    printf("%s: %lu files, %lu inputs\n", folder, files, inputs);
    return EXIT_SUCCESS;
}
