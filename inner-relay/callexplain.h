/*
 * What is to be said of a call before its SAs are explained: that nobody has answered it, that it
 * has none, that silence was agreed on. explain.h says why an SA is silent.
 */
#ifndef INNER_RELAY_CALLEXPLAIN_H
#define INNER_RELAY_CALLEXPLAIN_H

#include <stddef.h>
#include <stdint.h>

#include "inner-relay/calls.h"

/* The greatest number of SAs that a call can have. */
enum { CALLEXPLAIN_SIZE = 600, CALLEXPLAIN_SAS_MAX = CALL_PARTIES_MAX * CALL_LINES_MAX };

struct callexplain {
    const char *cause; /* "answered": there is nothing to be said */
    char text[CALLEXPLAIN_SIZE], check[CALLEXPLAIN_SIZE]; /* "": nothing */
    /* Ids of those whose media is to be heard: not of branches that lead nowhere. */
    size_t sa_count;
    uint64_t sa[CALLEXPLAIN_SAS_MAX];
};

void callexplain(const struct calls *calls, const struct call *call, uint64_t now_us,
                 struct callexplain *out);

#endif
