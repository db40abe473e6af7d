/*
 * Ways for the media of calls between sites beside their dmz-relay: by packet forwarders. Both
 * sites ask each forwarder for it, probe all ways that there are every 20 ms, and send on the one
 * with the shortest round trip, each for itself. Media goes through the dmz-relay from its first
 * packet until a way has been proven; on both while that is new, and as soon as probes are missing;
 * replay windows remove the copies. A way where probes come, but media does not, is left, and so is
 * a slow one. One packet of an SA in a second goes through the dmz-relay always, so that it can
 * take over at any time: it keeps the ROC, the bindings and the NAT's state. No socket, no clock.
 *
 * Media threads call bypass_take() and bypass_frames() beside each other; everything else is the
 * main thread's.
 */
#ifndef INNER_RELAY_BYPASS_H
#define INNER_RELAY_BYPASS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "inner-relay/inner.h"
#include "inner-relay/passprobe.h"

struct bypass;
struct sa;

enum {
    BYPASS_PROBE_US = 20 * 1000,
    BYPASS_LATE_US = 70 * 1000,   /* over the round trip without an answer: media goes on both */
    BYPASS_SLOW_US = 400 * 1000,  /* a round trip that is longer is as none */
    BYPASS_OLD_US = 1000 * 1000,  /* an answer that took so long is none */
    BYPASS_DEAD_US = 400 * 1000,  /* it goes to another one, or to the dmz-relay alone */
    BYPASS_PROOF_US = 200 * 1000, /* it has answered for so long: it may carry media alone; */
    BYPASS_PROOF_MAX_US = 600 * 1000 * 1000, /* twice as long each time that it was left, */
    BYPASS_LASTED_US = 60 * 1000 * 1000,     /* unless it has carried media for so long */
    BYPASS_BOTH_US = 200 * 1000,             /* a change takes so long */
    BYPASS_WARM_US = 1000 * 1000,            /* a packet of each SA goes through the dmz-relay */
    BYPASS_BETTER_US = 2000 * 1000, /* another way has been better for so long: media moves there */
    /*
     * For so long and two round trips, twice, more than a fourth of at least so many packets has
     * not come to the other site by the way: it is left, and has to answer for so long.
     */
    BYPASS_BALANCE_US = 1000 * 1000,
    BYPASS_BALANCE_LEAST = 20,
    BYPASS_SHORT_US = 60 * 1000 * 1000,
    BYPASS_AGAIN_US = 60 * 1000 * 1000, /* a packet forwarder that has refused is asked again */
};

/* Takes inner->bypass and inner->passes. NULL without memory. */
struct bypass *bypass_new(struct inner *inner);
/* Before inner_fini(). Accepts NULL. */
void bypass_free(struct bypass *bypass);

/* The number of the site, which is a new one if need be; dmz: of its link. -1: too many. */
int bypass_site(struct bypass *bypass, const char *name, unsigned dmz);
/* It is none any more. No SA may have its number. */
void bypass_forget(struct bypass *bypass, unsigned site, uint64_t now_us);
/* -1: there is none of this name. */
int bypass_find(const struct bypass *bypass, const char *name);
/* Is there media with it, so that ways are wanted? */
void bypass_want(struct bypass *bypass, unsigned site, bool wanted, uint64_t now_us);
/*
 * A session with it is up, which we have opened (ours) or the other site has; secret: see
 * passprobe.h. NULL: it is over. Without a key no probe leaves, and none that comes is good.
 */
void bypass_key(struct bypass *bypass, unsigned site, bool ours,
                const uint8_t (*secret)[PASSPROBE_SECRET_OCTETS], uint64_t now_us);
/*
 * Packets of the SA go to that site, where label is that of the SA which takes them; or, label 0,
 * they come from there. site -1: neither. 0 or ERR_NOMEM.
 */
int bypass_bind(struct sa *sa, int site, uint32_t label);

/* A tunnel to a packet forwarder has come up, or is gone. */
void bypass_link(struct bypass *bypass, const struct inner_link *link, bool up, uint64_t now_us);
/* Probes and chooses. When it is to be called next; UINT64_MAX: not before something changes. */
uint64_t bypass_tick(struct bypass *bypass, uint64_t now_us);

/* See path.h, beside(). */
bool bypass_take(struct inner *core, const struct path_found *found, struct verdict_counts *counts,
                 uint64_t now_us);
/* Is the label of a frame from a packet forwarder that of a site? */
bool bypass_knows(const struct inner_link *link, uint32_t label);
/* Takes those in front that are of other sites: how many. */
size_t bypass_frames(struct inner_link *link, const struct session_packet *packets, size_t count,
                     uint64_t now_us);

/* For display: the way that media to the site goes. */
struct bypass_view {
    const struct inner_link *by; /* NULL: its dmz-relay */
    bool both;                   /* it goes through the dmz-relay, too, at the moment */
    uint64_t rtt_us;             /* to the other site, by that way; 0: not known */
    uint64_t moves, returns;     /* to another way, and to the dmz-relay since one was silent */
};
void bypass_show(const struct bypass *bypass, unsigned site, struct bypass_view *out);

#endif
