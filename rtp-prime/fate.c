#include "rtp-prime/fate.h"

#include <errno.h>
#include <inttypes.h>

static const struct {
    const char *name, *text;
} list[] = {
#define X(name, word, text) {word, text},
    FATE_LIST(X)
#undef X
};

enum fate fate_of_sending(int error)
{
    switch (error) {
    case 0:
        return FATE_PASSED;
    case EMSGSIZE:
        return FATE_TOO_BIG;
    case EAGAIN:
    case ENOBUFS:
    case ENOMEM:
        return FATE_SOCKET_FULL;
    default:
        return FATE_UNREACHABLE;
    }
}

const char *fate_name(enum fate fate)
{
    return list[fate].name;
}

const char *fate_text(enum fate fate)
{
    return list[fate].text;
}

void fate_print(const struct fate_counts *counts, const char *place, FILE *to)
{
    fprintf(to, "%s packets=%" PRIu64, place, counts->received);
    for (unsigned i = 0; i < FATE_COUNT; i++)
        if (counts->n[i] > 0)
            fprintf(to, " %s=%" PRIu64, list[i].name, counts->n[i]);
    fputc('\n', to);
}
