#include "config.h" /* _GNU_SOURCE */

#include "tests/tools/image.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HEADS = 65536, LINE_SIZE = 4608 };

struct search {
    struct needles *needles;
    void (*found)(void *ctx, const struct image_place *place);
    void *ctx;
    struct image_result *result;
    int memory; /* /proc/PID/mem */
    uint8_t *window;
};

/* ---------------------------------------------------------------- needles */

static void *must(void *memory)
{
    if (memory)
        return memory;
    fprintf(stderr, "out of memory\n");
    exit(2);
}

void needles_init(struct needles *needles)
{
    *needles = (struct needles){.heads = must(calloc(HEADS, sizeof(size_t)))};
}

void needles_fini(struct needles *needles)
{
    free(needles->list);
    free(needles->heads);
    *needles = (struct needles){0};
}

static bool get_hex(const char *text, struct needle *needle)
{
    static const char digits[] = "0123456789abcdef";

    for (needle->length = 0; isxdigit((unsigned char)*text); text += 2) {
        const char *high = strchr(digits, tolower((unsigned char)text[0]));
        const char *low = text[1] ? strchr(digits, tolower((unsigned char)text[1])) : NULL;

        if (!high || !low || needle->length == IMAGE_NEEDLE_MAX)
            return false;
        needle->octets[needle->length++] = (uint8_t)((high - digits) << 4 | (low - digits));
    }
    return text[strspn(text, "\r\n")] == '\0' && needle->length >= IMAGE_NEEDLE_MIN;
}

static size_t head_of(const uint8_t *octets)
{
    return (size_t)octets[0] << 8 | octets[1];
}

bool needles_add(struct needles *needles, const char *line)
{
    size_t name = strcspn(line, " ");
    struct needle needle = {0};
    size_t *head;

    if (name == 0 || name >= sizeof(needle.name) || line[name] != ' ' ||
        !get_hex(line + name + 1, &needle))
        return false;
    memcpy(needle.name, line, name);
    if (needles->count == needles->size) {
        needles->size = needles->size ? 2 * needles->size : 64;
        needles->list = must(reallocarray(needles->list, needles->size, sizeof(needles->list[0])));
    }
    if (needle.length > needles->longest)
        needles->longest = needle.length;
    head = &needles->heads[head_of(needle.octets)];
    needle.next = *head;
    needles->list[needles->count++] = needle;
    *head = needles->count;
    return true;
}

size_t needles_found(const struct needles *needles)
{
    size_t n = 0;

    for (size_t i = 0; i < needles->count; i++)
        n += needles->list[i].found > 0;
    return n;
}

/* ---------------------------------------------------------------- the image */

struct mapping {
    unsigned long from, to;
    char line[LINE_SIZE];
};

/* Needles that begin in the first `starts` of length octets; address is that of the first. */
static void look(struct search *search, const struct mapping *mapping, unsigned long address,
                 size_t starts, size_t length)
{
    for (size_t at = 0; at < starts && at + IMAGE_NEEDLE_MIN <= length; at++) {
        const uint8_t *octets = search->window + at;
        struct needle *needle;

        for (size_t i = search->needles->heads[head_of(octets)]; i > 0; i = needle->next) {
            needle = &search->needles->list[i - 1];
            if (needle->length > length - at || memcmp(octets, needle->octets, needle->length) != 0)
                continue;
            needle->found++;
            search->result->places++;
            search->found(search->ctx, &(struct image_place){needle, address + at, mapping->line});
        }
    }
}

/* The kernel's own pages: time and the like. */
static bool is_of_kernel(const struct mapping *mapping)
{
    return strstr(mapping->line, "[vvar") || strstr(mapping->line, "[vsyscall]");
}

/* Window by window; the end of one, where a needle may begin, is the start of the next. */
static void search_mapping(struct search *search, const struct mapping *mapping)
{
    size_t kept = 0;
    unsigned long at = mapping->from;

    search->result->mappings++;
    while (at < mapping->to) {
        size_t want = mapping->to - at < IMAGE_WINDOW ? mapping->to - at : IMAGE_WINDOW;
        ssize_t got = pread(search->memory, search->window + kept, want, (off_t)at);
        size_t have, starts;

        if (got <= 0) {
            look(search, mapping, at - kept, kept, kept);
            search->result->unreadable += strstr(mapping->line, " r") && !is_of_kernel(mapping);
            return;
        }
        search->result->octets += (uint64_t)got;
        at += (size_t)got;
        have = kept + (size_t)got;
        starts = have;
        if (at < mapping->to && search->needles->longest > 0)
            starts = have < search->needles->longest ? 0 : have - (search->needles->longest - 1);
        look(search, mapping, at - have, starts, have);
        kept = have - starts;
        memmove(search->window, search->window + starts, kept);
    }
}

static void search_all(struct search *search, FILE *maps)
{
    struct mapping mapping;

    while (fgets(mapping.line, sizeof(mapping.line), maps)) {
        mapping.line[strcspn(mapping.line, "\n")] = '\0';
        if (sscanf(mapping.line, "%lx-%lx ", &mapping.from, &mapping.to) != 2)
            continue;
        if (!is_of_kernel(&mapping))
            search_mapping(search, &mapping);
    }
}

int image_search(pid_t pid, struct needles *needles,
                 void (*found)(void *ctx, const struct image_place *place), void *ctx,
                 struct image_result *result)
{
    struct search search = {needles, found, ctx, result, -1, NULL};
    char path[64];
    FILE *maps;
    int error;

    *result = (struct image_result){0};
    snprintf(path, sizeof(path), "/proc/%ld/mem", (long)pid);
    search.memory = open(path, O_RDONLY | O_CLOEXEC);
    snprintf(path, sizeof(path), "/proc/%ld/maps", (long)pid);
    maps = fopen(path, "re");
    error = errno;
    if (search.memory >= 0 && maps) {
        search.window = must(malloc(IMAGE_WINDOW + IMAGE_NEEDLE_MAX));
        search_all(&search, maps);
        free(search.window);
        error = result->octets == 0 ? EIO : 0;
    }
    if (maps)
        fclose(maps);
    if (search.memory >= 0)
        close(search.memory);
    errno = error;
    return error ? -1 : 0;
}
