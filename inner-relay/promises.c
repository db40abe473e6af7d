#include "inner-relay/promises.h"

#include <stdlib.h>

#include "common/base/err.h"

enum { SIZE_LEAST = 16 };

/* The numbers are random, and nobody's choice. */
static size_t home_of(const struct promises *promises, uint32_t ssrc)
{
    return ssrc & (promises->size - 1);
}

/* Where it is, or the empty place where it would be. */
static struct promise *find(const struct promises *promises, uint32_t ssrc)
{
    size_t i = home_of(promises, ssrc);

    while (promises->slot[i].ssrc && promises->slot[i].ssrc != ssrc)
        i = (i + 1) & (promises->size - 1);
    return &promises->slot[i];
}

static int grow(struct promises *promises)
{
    struct promises bigger = {.size = promises->size ? 2 * promises->size : SIZE_LEAST,
                              .used = promises->used};

    bigger.slot = calloc(bigger.size, sizeof(*bigger.slot));
    if (!bigger.slot)
        return ERR_NOMEM;
    for (size_t i = 0; i < promises->size; i++) {
        if (promises->slot[i].ssrc)
            *find(&bigger, promises->slot[i].ssrc) = promises->slot[i];
    }
    free(promises->slot);
    *promises = bigger;
    return 0;
}

int promises_add(struct promises *promises, uint32_t ssrc)
{
    struct promise *promise;

    if (2 * (promises->used + 1) > promises->size && grow(promises) < 0)
        return ERR_NOMEM;
    promise = find(promises, ssrc);
    promises->used += !promise->ssrc;
    promise->ssrc = ssrc;
    promise->count++;
    return 0;
}

/* Those behind it move up, as far as their places allow. */
static void close_gap(struct promises *promises, size_t gap)
{
    size_t mask = promises->size - 1, i = gap;

    while (promises->slot[i = (i + 1) & mask].ssrc) {
        size_t home = home_of(promises, promises->slot[i].ssrc);

        if (((i - home) & mask) < ((i - gap) & mask))
            continue;
        promises->slot[gap] = promises->slot[i];
        gap = i;
    }
    promises->slot[gap] = (struct promise){0};
}

void promises_drop(struct promises *promises, uint32_t ssrc)
{
    struct promise *promise = promises->size && ssrc ? find(promises, ssrc) : NULL;

    if (!promise || !promise->ssrc || --promise->count > 0)
        return;
    promises->used--;
    close_gap(promises, (size_t)(promise - promises->slot));
}

bool promises_has(const struct promises *promises, uint32_t ssrc)
{
    return promises->size && ssrc && find(promises, ssrc)->ssrc;
}

void promises_fini(struct promises *promises)
{
    free(promises->slot);
    *promises = (struct promises){0};
}
