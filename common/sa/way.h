/* What the authority knows of an SA whose packets go to another site, or come from there. */
#ifndef COMMON_SA_WAY_H
#define COMMON_SA_WAY_H

#include <stdbool.h>
#include <stdint.h>

/* A media thread writes it while it holds the SA (hold.h). */
struct sa_way {
    uint64_t copied_us; /* when a packet went by the dmz-relay last */
    uint32_t label;     /* of the SA at the other site that takes them */
    uint8_t site;       /* number of the other one, as the inner-relay counts them */
    bool goes;          /* they go there; else they come from there */
};

#endif
