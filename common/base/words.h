/*
 * Taking a text apart that is not terminated: lines of SDP, and what stands in them. Nothing is
 * copied; each part points into the text.
 */
#ifndef COMMON_BASE_WORDS_H
#define COMMON_BASE_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct words {
    const char *at;
    size_t length;
};

/* Takes what stands before the first mark, and the mark; all of it where there is none. */
struct words words_until(struct words *rest, char mark);
/* Takes the next word between blanks and tabs; of no length at the end. */
struct words words_next(struct words *rest);
/* Takes with away from the beginning, in any letter case; false: something else stands there. */
bool words_skip(struct words *rest, const char *with);
/* In any letter case. */
bool words_are(const struct words *words, const char *text);
/* Nothing but digits, and a number up to max; otherwise false, and *out stays. */
bool words_number(const struct words *words, uint64_t max, uint64_t *out);
/* Copies and terminates; false, and "", when it does not fit or has an octet 0. */
bool words_copy(const struct words *words, char *out, size_t size);

#endif
