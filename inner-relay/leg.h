/*
 * What an offer and its answer make of SAs: for each m= line that both take, one for what each of
 * the two parties sends. All lines, or none.
 */
#ifndef INNER_RELAY_LEG_H
#define INNER_RELAY_LEG_H

#include <stdbool.h>
#include <stdint.h>

#include "inner-relay/admit.h"
#include "inner-relay/batch.h"
#include "inner-relay/calls.h"
#include "inner-relay/sdp.h"

/* One of the two, with what it has just said. */
struct leg_end {
    struct call_party *party;
    int number; /* of the party */
    enum sa_side side;
    struct addr signalling;
    bool assign;
    struct sdp sdp;
    /* Of each line: */
    const struct sdes *crypto[CALL_LINES_MAX];
    struct sa_transport at[CALL_LINES_MAX];
    uint32_t assigned[CALL_LINES_MAX];
    uint64_t sa[CALL_LINES_MAX]; /* that is there already; 0: none */
};

/* Large, and with keys: borrowed from calls, given back with leg_free. */
struct leg {
    struct calls *calls;
    struct call *call;
    bool direct;           /* no SAs */
    struct leg_end end[2]; /* who offered, who answered */
    unsigned count;        /* lines */
    bool wanted[CALL_LINES_MAX], mux[CALL_LINES_MAX];
    struct admit_request request[CALL_LINES_MAX][2];
    struct batch batch; /* what was done so far */
};

/* NULL without memory. */
struct leg *leg_new(struct calls *calls, struct call *call);
/* Wipes it. Accepts NULL. */
void leg_free(struct leg *leg);
/* From the ends: what is wanted. 0, or negative with error. */
int leg_plan(struct leg *leg, struct call_error *error);
/* Makes it so, or changes nothing: 0, or negative with error. */
int leg_commit(struct leg *leg, uint64_t wall_us, uint64_t now_us, struct call_error *error);

/* What this party sends leads nowhere from now on. */
void leg_park(struct calls *calls, struct call *call, unsigned party);

/*
 * The two have the media again, as they had it before another branch took it. False: nothing has
 * changed.
 */
bool leg_resume(struct calls *calls, struct call *call, unsigned hub, unsigned branch,
                uint64_t now_us);

#endif
