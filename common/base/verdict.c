#include "common/base/verdict.h"

#include <string.h>

static const struct {
    const char *name, *text;
} list[] = {
#define X(name, word, text) {word, text},
    VERDICT_LIST(X)
#undef X
};

const char *verdict_name(enum verdict verdict)
{
    return list[verdict].name;
}

const char *verdict_text(enum verdict verdict)
{
    return list[verdict].text;
}

bool verdict_parse(const char *name, enum verdict *out)
{
    for (enum verdict v = 0; v < VERDICT_COUNT; v++) {
        if (strcmp(list[v].name, name) == 0) {
            *out = v;
            return true;
        }
    }
    return false;
}

uint64_t verdict_sum(const struct verdict_counts *counts)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < VERDICT_COUNT; i++)
        sum += counts->n[i];
    return sum;
}

void verdict_gather(struct verdict_counts *sum, struct verdict_counts *part)
{
    sum->received += part->received;
    sum->queued += part->queued;
    for (unsigned v = 0; v < VERDICT_COUNT; v++)
        sum->n[v] += part->n[v];
    *part = (struct verdict_counts){.received = 0};
}
