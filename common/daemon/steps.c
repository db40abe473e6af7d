#include "common/daemon/steps.h"

#include <stdio.h>

void steps_init(struct steps *steps, const struct step *table, void *ctx)
{
    steps->table = table;
    steps->ctx = ctx;
    steps->started = 0;
}

int steps_start(struct steps *steps, char *error, size_t error_size)
{
    char why[512] = "";

    for (const struct step *step = &steps->table[steps->started]; step->name; step++) {
        int code = step->start ? step->start(steps->ctx, why, sizeof(why)) : 0;

        if (code < 0) {
            snprintf(error, error_size, "%s: %s", step->name, why);
            steps_stop(steps);
            return code;
        }
        steps->started++;
    }
    return 0;
}

void steps_stop(struct steps *steps)
{
    while (steps->started > 0) {
        const struct step *step = &steps->table[--steps->started];

        if (step->stop)
            step->stop(steps->ctx);
    }
}
