/*
 * Cells lie in chunks that are mapped, locked and marked as a whole. A chunk is aligned to its own
 * size, so that the address of a cell gives the chunk. Its first page holds what is known of the
 * chunk and no secret; the cells come after it. Full chunks stand behind all others in the list,
 * so that its first one has a free cell or none has. One empty chunk is kept: a single call that
 * comes and goes maps nothing.
 */
#include "common/base/vault.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/queue.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/random.h"

#if defined(__SANITIZE_ADDRESS__)
#define VAULT_POISON 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define VAULT_POISON 1
#endif
#endif

#ifdef VAULT_POISON
#include <sanitizer/asan_interface.h>
#define POISON(cell, octets)   ASAN_POISON_MEMORY_REGION(cell, octets)
#define UNPOISON(cell, octets) ASAN_UNPOISON_MEMORY_REGION(cell, octets)
#else
#define POISON(cell, octets)   ((void)0)
#define UNPOISON(cell, octets) ((void)0)
#endif

enum {
    CHUNK_OCTETS = 256 * 1024,
    CELLS_MAX = CHUNK_OCTETS / VAULT_ALIGNMENT,
    WORD_BITS = 64,
    WORDS = (CELLS_MAX + WORD_BITS - 1) / WORD_BITS,
};

struct chunk {
    struct vault *vault; /* whose it is: tells a cell from any other address */
    TAILQ_ENTRY(chunk) link;
    size_t taken;
    bool locked;
    uint64_t used[WORDS]; /* a bit per cell */
};

_Static_assert(sizeof(struct chunk) <= 4096, "the cells start at the second page");

TAILQ_HEAD(chunk_list, chunk);

struct vault {
    size_t head, body;    /* octets of a chunk: its first page, the cells */
    size_t stride, cells; /* octets of a cell; cells of a chunk */
    size_t taken, unlocked;
    struct chunk_list chunks;
    struct chunk *empty; /* the one that has no cell taken, or NULL */
};

static uint8_t *cells_of(struct chunk *chunk)
{
    return (uint8_t *)chunk + chunk->vault->head;
}

/* Maps twice the size and gives back what lies beside the aligned part. */
static struct chunk *map_chunk(void)
{
    uint8_t *start = mmap(NULL, 2 * (size_t)CHUNK_OCTETS, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    size_t before;

    if (start == MAP_FAILED)
        return NULL;
    before = -(uintptr_t)start % CHUNK_OCTETS;
    if (before > 0)
        munmap(start, before);
    munmap(start + before + CHUNK_OCTETS, CHUNK_OCTETS - before);
    return (struct chunk *)(void *)(start + before);
}

static struct chunk *add_chunk(struct vault *vault)
{
    struct chunk *chunk = map_chunk();

    if (!chunk)
        return NULL;
    chunk->vault = vault;
    chunk->locked = mlock(cells_of(chunk), vault->body) == 0;
    /* Second lines of defence: daemons write no core file, and fork before they have keys. */
    madvise(cells_of(chunk), vault->body, MADV_DONTDUMP);
    madvise(cells_of(chunk), vault->body, MADV_WIPEONFORK);
    POISON(cells_of(chunk), vault->body);
    vault->unlocked += !chunk->locked;
    vault->empty = chunk;
    TAILQ_INSERT_HEAD(&vault->chunks, chunk, link);
    return chunk;
}

/* Its cells are wiped already. */
static void remove_chunk(struct vault *vault, struct chunk *chunk)
{
    TAILQ_REMOVE(&vault->chunks, chunk, link);
    vault->unlocked -= !chunk->locked;
    UNPOISON(cells_of(chunk), vault->body);
    munmap(chunk, CHUNK_OCTETS);
}

int vault_new(struct vault **vault, size_t cell_octets)
{
    struct vault *made;

    if (cell_octets == 0 || cell_octets > VAULT_CELL_MAX)
        return ERR_NOMEM;
    made = calloc(1, sizeof(*made));
    if (!made)
        return ERR_NOMEM;
    TAILQ_INIT(&made->chunks);
    made->head = (size_t)sysconf(_SC_PAGESIZE);
    made->body = CHUNK_OCTETS - made->head;
    made->stride = (cell_octets + VAULT_ALIGNMENT - 1) / VAULT_ALIGNMENT * VAULT_ALIGNMENT;
    made->cells = made->body / made->stride;
    if (!add_chunk(made)) {
        free(made);
        return ERR_NOMEM;
    }
    *vault = made;
    return 0;
}

void vault_free(struct vault *vault)
{
    struct chunk *chunk;

    if (!vault)
        return;
    while ((chunk = TAILQ_FIRST(&vault->chunks))) {
        UNPOISON(cells_of(chunk), vault->body);
        if (chunk->taken > 0)
            wipe(cells_of(chunk), vault->body);
        remove_chunk(vault, chunk);
    }
    free(vault);
}

/* There is one. */
static size_t free_cell(const struct chunk *chunk)
{
    size_t word = 0;

    while (chunk->used[word] == UINT64_MAX)
        word++;
    return word * WORD_BITS + (size_t)__builtin_ctzll(~chunk->used[word]);
}

void *vault_take(struct vault *vault)
{
    struct chunk *chunk = TAILQ_FIRST(&vault->chunks);
    size_t number;
    uint8_t *cell;

    if (!chunk || chunk->taken == vault->cells)
        chunk = add_chunk(vault);
    if (!chunk)
        return NULL;
    number = free_cell(chunk);
    chunk->used[number / WORD_BITS] |= (uint64_t)1 << number % WORD_BITS;
    vault->taken++;
    if (chunk == vault->empty)
        vault->empty = NULL;
    if (++chunk->taken == vault->cells) {
        TAILQ_REMOVE(&vault->chunks, chunk, link);
        TAILQ_INSERT_TAIL(&vault->chunks, chunk, link);
    }
    cell = cells_of(chunk) + number * vault->stride;
    UNPOISON(cell, vault->stride);
    return cell;
}

/* Its bit is cleared. */
static struct chunk *release(const struct vault *vault, uint8_t *cell)
{
    size_t place = (uintptr_t)cell % CHUNK_OCTETS, offset = place - vault->head;
    struct chunk *chunk = (struct chunk *)(void *)(cell - place);
    size_t number = offset / vault->stride;
    uint64_t bit = (uint64_t)1 << number % WORD_BITS;

    if (place < vault->head || offset % vault->stride || number >= vault->cells ||
        chunk->vault != vault || !(chunk->used[number / WORD_BITS] & bit))
        abort();
    chunk->used[number / WORD_BITS] &= ~bit;
    return chunk;
}

void vault_give(struct vault *vault, void *cell)
{
    struct chunk *chunk;

    if (!cell)
        return;
    chunk = release(vault, cell);
    wipe(cell, vault->stride);
    POISON(cell, vault->stride);
    vault->taken--;
    if (chunk->taken-- == vault->cells) {
        TAILQ_REMOVE(&vault->chunks, chunk, link);
        TAILQ_INSERT_HEAD(&vault->chunks, chunk, link);
    }
    if (chunk->taken > 0)
        return;
    if (vault->empty)
        remove_chunk(vault, chunk);
    else
        vault->empty = chunk;
}

bool vault_is_locked(const struct vault *vault)
{
    return vault->unlocked == 0;
}

size_t vault_count(const struct vault *vault)
{
    return vault->taken;
}
