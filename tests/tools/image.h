/* Searches the memory of a live process for octets that should, or should not, be in it. */
#ifndef TESTS_TOOLS_IMAGE_H
#define TESTS_TOOLS_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Fewer octets than IMAGE_NEEDLE_MIN are found by chance. */
enum { IMAGE_NEEDLE_MIN = 8, IMAGE_NEEDLE_MAX = 64, IMAGE_NAME_SIZE = 64, IMAGE_WINDOW = 1 << 20 };

struct needle {
    char name[IMAGE_NAME_SIZE];
    uint8_t octets[IMAGE_NEEDLE_MAX];
    size_t length;
    uint64_t found;
    size_t next; /* 1 + the next one with the same first two octets */
};

struct needles {
    struct needle *list;
    size_t count, size;
    size_t longest;
    size_t *heads; /* 1 + the first needle, by its first two octets */
};

/* One place of a needle; mapping is its line of /proc/PID/maps, without the line's end. */
struct image_place {
    const struct needle *needle;
    unsigned long address;
    const char *mapping;
};

struct image_result {
    size_t mappings;
    uint64_t octets;
    uint64_t places;
    size_t unreadable; /* mappings that should have been readable and were not */
};

/* Ends the program without memory. */
void needles_init(struct needles *needles);
void needles_fini(struct needles *needles);
/* "NAME HEX", the line's end is left out. False when it is not that. */
bool needles_add(struct needles *needles, const char *line);
/* How many of them were found at least once. */
size_t needles_found(const struct needles *needles);

/*
 * Reads all memory of the process, and calls found for each place of each needle. Negative with
 * errno set when the process cannot be looked into. The process may run meanwhile: what moves may
 * then be missed, so stop it for a search that is to be sure.
 */
int image_search(pid_t pid, struct needles *needles,
                 void (*found)(void *ctx, const struct image_place *place), void *ctx,
                 struct image_result *result);

#endif
