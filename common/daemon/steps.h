/*
 * The start of a daemon as a table of steps: run forward, unwound backward when
 * one fails or at the end.
 */
#ifndef COMMON_DAEMON_STEPS_H
#define COMMON_DAEMON_STEPS_H

#include <stddef.h>

struct step {
    const char *name; /* for the message of a failure: "control socket" */
    /* 0, or negative with a sentence in error, after which stop is not called. NULL: nothing. */
    int (*start)(void *ctx, char *error, size_t error_size);
    void (*stop)(void *ctx); /* NULL: nothing */
};

struct steps {
    const struct step *table; /* ended by name NULL; must outlive this */
    void *ctx;
    size_t started;
};

void steps_init(struct steps *steps, const struct step *table, void *ctx);
/*
 * Runs the steps that were not run yet. When one fails, those before it are stopped, the last
 * first, and the result is its own, with "NAME: sentence" in error.
 */
int steps_start(struct steps *steps, char *error, size_t error_size);
/* Stops what was started, the last first. May be called again. */
void steps_stop(struct steps *steps);

#endif
