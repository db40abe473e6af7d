/*
 * Sealed frames that are sent once more, before TCP repeats the segment that was lost with one, or
 * beside it: on a path that loses one segment in fifty, one of those that TCP repeats in fifty is
 * lost, too, and comes two round trips late. Who reads early sees which counters are missing and
 * asks for them, by AGAIN; who has sent the frames sends the same octets again. The replay window
 * drops what comes twice.
 *
 * The body of AGAIN: runs of counters, each u48 first, u16 count (relay-tunnel(7)).
 *
 * Pure: octets and times go in and out.
 */
#ifndef COMMON_CARRIER_AGAIN_H
#define COMMON_CARRIER_AGAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/reader.h"
#include "common/base/writer.h"

struct again;
struct seal;

enum {
    AGAIN_RUNS = 32,        /* of an AGAIN */
    AGAIN_RUN_FRAMES = 256, /* what is missing in a row beyond that is an outage: TCP's affair */
    AGAIN_WAITING = 512,    /* frames that are to be sent again */
    AGAIN_LATER_FRAMES = 3, /* the newest one is so far ahead, as TCP has it, */
    AGAIN_LATER_US = 2000,  /* or so much time has gone: it is lost, and not late */
    AGAIN_SHARE = 8,    /* for so many frames that come, or go, one is asked for, or sent, again: */
    AGAIN_CREDIT = 256, /* so many at once, where there were none for long */
};

/* NULL without memory. What was sent is kept from the first AGAIN on. */
struct again *again_new(void);
/* Accepts NULL. */
void again_free(struct again *again);

/* ------------------------------------------------------------ what comes */

/* A frame that had not come before. */
void again_came(struct again *again, uint64_t counter, uint64_t now_us);
/* How long until there may be something to ask for; 0: there may be by now. UINT64_MAX: nothing. */
uint64_t again_wait_us(const struct again *again, uint64_t now_us);
/*
 * The body of an AGAIN for what is missing by now, and by what seal knows has not come since;
 * nothing is asked for twice. False: there is nothing to ask for, and nothing was put. w has room
 * for AGAIN_RUNS of 8 octets.
 */
bool again_ask(struct again *again, const struct seal *seal, struct writer *w, uint64_t now_us);

/* ------------------------------------------------------------ what goes */

/* A frame has been sealed. */
void again_keep(struct again *again, uint64_t counter, const uint8_t *frame, size_t length);
/* The body of an AGAIN. ERR_PROTOCOL: no honest side sends it, and nothing is taken from it. */
int again_asked(struct again *again, struct reader *body);
/* The next frame that is to be sent again, and is there still; NULL: none. Until again_keep(). */
const uint8_t *again_next(struct again *again, size_t *length);

/* How many frames were asked for, and how many were sent again. */
uint64_t again_asked_for(const struct again *again);
uint64_t again_repeated(const struct again *again);

#endif
