/*
 * SSRCs that were told to somebody inside before there is an SA of it, so that nobody else is given
 * them meanwhile. There are as many as offers that wait have m= lines.
 */
#ifndef INNER_RELAY_PROMISES_H
#define INNER_RELAY_PROMISES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct promise {
    uint32_t ssrc; /* 0: none stands here */
    uint32_t count;
};

/* All zero: none. */
struct promises {
    struct promise *slot; /* hashed; half of them at most are used */
    size_t size, used;
};

/* Once more, if it is there already. ssrc is not 0. 0 or ERR_NOMEM. */
int promises_add(struct promises *promises, uint32_t ssrc);
/* Once less. One that is not there is no error. */
void promises_drop(struct promises *promises, uint32_t ssrc);
bool promises_has(const struct promises *promises, uint32_t ssrc);
/* Frees the memory. */
void promises_fini(struct promises *promises);

#endif
