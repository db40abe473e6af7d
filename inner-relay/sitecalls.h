/*
 * Calls between sites: placed and answered by SDP at the control sockets of two inner-relays, which
 * tell each other in their end-to-end session. What becomes of the SDP is the business of calls.h:
 * each such call is one there, with the Call-ID NUMBER@SITE of who places it. No socket, no clock.
 */
#ifndef INNER_RELAY_SITECALLS_H
#define INNER_RELAY_SITECALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "inner-relay/calls.h"
#include "inner-relay/sites.h"

struct sitecalls;

/* Of one site at most so many that it has placed, and of these so many that ring. */
enum { SITECALLS_MAX = 1024, SITECALLS_OF_SITE = 512, SITECALLS_RINGING_MAX = 32 };

enum sitecall_state {
    SITECALL_PLACED,  /* ours: the other site has not said anything yet */
    SITECALL_RINGING, /* it is at the other site, or here, and waits for an answer */
    SITECALL_ANSWERED,
    SITECALL_ENDED, /* reason says why; it can be asked about for a while */
};

struct sitecall {
    struct sitecall *next;
    struct site *site; /* NULL: it stands no longer in the ini file */
    enum sites_side side;
    uint64_t number;
    char call_id[SITE_SIZE + 24];
    char site_name[SITE_SIZE];
    enum sitecall_state state;
    bool told; /* of theirs: somebody who waits for calls has got it */
    bool kept; /* of theirs: the other site has it still */
    char reason[192];
    char *sdp; /* for who asks here, with keys: the offer, or the answer to ours; NULL: none */
    size_t sdp_length;
    uint64_t changed_us;
};

/*
 * Both must outlive it. NULL without memory. Calls that were answered before a restart, and that
 * calls_restore() has brought back, go on when their tunnel is up.
 */
struct sitecalls *sitecalls_new(struct sites *sites, struct calls *calls);
/* Accepts NULL. */
void sitecalls_free(struct sitecalls *sitecalls);
/* Once a second: who rings for too long, and what ended by itself. */
void sitecalls_tick(struct sitecalls *sitecalls, uint64_t wall_us, uint64_t now_us);

/* Places a call. NULL with error. */
struct sitecall *sitecalls_place(struct sitecalls *sitecalls, struct site *site, const char *sdp,
                                 size_t sdp_length, uint64_t wall_us, uint64_t now_us,
                                 struct call_error *error);
/* Answers one of theirs that rings. Negative with error: it rings on, or is over. */
int sitecalls_answer(struct sitecalls *sitecalls, struct sitecall *call, const char *sdp,
                     size_t sdp_length, uint64_t wall_us, uint64_t now_us,
                     struct call_error *error);
/* One of theirs that rings; reason may be "". */
int sitecalls_refuse(struct sitecalls *sitecalls, struct sitecall *call, const char *reason,
                     uint64_t now_us, struct call_error *error);
/* Ends it in any state, with its SAs. */
void sitecalls_end(struct sitecalls *sitecalls, struct sitecall *call, const char *reason,
                   uint64_t now_us);

/* One that has not ended, if there is one. */
struct sitecall *sitecalls_find(struct sitecalls *sitecalls, const char *call_id);
/* One of theirs that rings and that nobody was told of yet; NULL: none. It is told now. */
struct sitecall *sitecalls_next_ringing(struct sitecalls *sitecalls);
/* "placed", "ringing", "answered", "ended". */
const char *sitecall_state_name(const struct sitecall *call);

#endif
