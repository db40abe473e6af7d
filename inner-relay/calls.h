/*
 * All SIP calls of the inner-relay: what the control protocol's offers, answers and deletions make
 * of the SAs. No socket, no clock, no event loop.
 *
 * Whether a party is inside or outside is what the request says, else the network that its message
 * came from; never what its SDP says.
 */
#ifndef INNER_RELAY_CALLS_H
#define INNER_RELAY_CALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "common/base/addr.h"
#include "common/base/hash.h"
#include "common/sa/sa.h"
#include "inner-relay/call.h"
#include "inner-relay/callconf.h"
#include "inner-relay/inner.h"

/* What offer, answer, delete and query say. Texts are never NULL; "": absent. */
struct call_request {
    const char *call_id, *from_tag, *to_tag, *via_branch;
    const char *sdp;
    size_t sdp_length;
    struct addr received_from; /* of this message; family 0: not said. The port does not count. */
    enum sa_side direction[2]; /* 0: not said; [0] of who sends this message, [1] of the other */
    unsigned link;             /* of a new call: 1 + the number of its [dmz NAME]; 0: any */
    uint8_t family;            /* of addresses for who is shown this SDP: 4, 6, or 0: kept */
    bool replace_origin, replace_session_connection, ice_remove;
    bool assign_ssrc; /* who is inside is given its SSRCs */
};

struct call_reply {
    char *sdp; /* heap; the caller's */
    size_t sdp_length;
    /*
     * NULL, or an object: "warnings": [TEXT], "assigned-ssrc": [for each m= line a number, 0:
     * none], which are those of who gets this SDP. The caller's.
     */
    json_t *extra;
};

struct call_error {
    int code; /* as it is returned. ERR_FULL: load limit, the next relay may take the call */
    char text[192];
};

/* Since the start. */
struct calls_counts {
    uint64_t offers, answers, deletes; /* that were taken */
    uint64_t refused, load_limit;      /* with an error; of those with ERR_FULL */
    uint64_t timeouts;                 /* calls that ended by themselves */
    uint64_t ended;                    /* by relayctl */
};

struct calls {
    struct inner *inner;
    struct call_options options;
    struct calls_counts counts;
    struct call **slot;  /* max of them */
    uint32_t *free_slot; /* max - count of them */
    struct call **bucket;
    size_t max, count, bucket_mask;
    size_t offered;  /* of them, those that nobody has answered yet */
    size_t reserved; /* SAs that staged calls may need */
    size_t staged;   /* octets of SDP that they hold above their free share */
    unsigned logged; /* ends in this second */
    uint64_t next_number;
    struct hash_key key;
    size_t aging; /* the next slot to look at; max: the round is done */
    /* See calls_borrow(): zeros while nobody has it. */
    void *scratch;
    size_t scratch_size;
    bool scratch_lent;
};

/* Options are copied. NULL without memory. */
struct calls *calls_new(struct inner *inner, const struct call_options *options);
/* The SAs stay: they are the core's. Accepts NULL. */
void calls_free(struct calls *calls);
/* After a reload. max_calls stays as it was. */
void calls_set_options(struct calls *calls, const struct call_options *options);

/*
 * 0 and *reply, or negative with *error; no call that is there is changed then. *reply need not be
 * set before.
 */
int calls_offer(struct calls *calls, const struct call_request *request, uint64_t wall_us,
                uint64_t now_us, struct call_reply *reply, struct call_error *error);
/* from_tag is the offerer's, to_tag of who answers. ERR_NOT_FOUND: nothing was offered. */
int calls_answer(struct calls *calls, const struct call_request *request, uint64_t wall_us,
                 uint64_t now_us, struct call_reply *reply, struct call_error *error);
/*
 * Ends the call, or with to_tag or via_branch that branch of it. calls_ending_tag has to be the
 * call's. ERR_NOT_FOUND: there is none such (any more).
 */
int calls_delete(struct calls *calls, const struct call_request *request, uint64_t now_us,
                 struct call_error *error);
/* Whose call is deleted: from_tag's, which to_tag does not make good; to_tag's without it. */
const char *calls_ending_tag(const struct call_request *request);
/* Wipes and frees what a reply holds; it is empty afterwards. */
void calls_reply_free(struct call_reply *reply);

/*
 * The call with this Call-ID that a party with this tag (either of two; "": any) takes part in.
 * NULL: none. Valid until the next call of a function that changes calls.
 */
struct call *calls_find(const struct calls *calls, const char *call_id, const char *tag,
                        const char *other_tag);
/* The next call with the same Call-ID; NULL: none. */
struct call *calls_find_next(const struct call *call);
size_t calls_count(const struct calls *calls);
size_t calls_max(const struct calls *calls);
/*
 * The next call from place *at on (0: the first); *at goes on. NULL at the end. To be left and
 * resumed at any time: a call that is there all the time comes exactly once.
 */
struct call *calls_next(const struct calls *calls, size_t *at);
/* Ends it, its SAs too. */
void calls_end(struct calls *calls, struct call *call, uint64_t now_us);

/*
 * After the state file was read: calls whose tags are not known, of the SAs that it had of calls.
 * Such a call ends by its Call-ID or by its timeouts; the next answer in it shows by its keys whose
 * they are.
 */
void calls_restore(struct calls *calls, uint64_t wall_us, uint64_t now_us);

/* Once a second: begins a round of calls_work. */
void calls_tick(struct calls *calls);
/* A piece of the round: what has timed out ends. False: it is done. */
bool calls_work(struct calls *calls, uint64_t now_us);

const struct calls_counts *calls_counts(const struct calls *calls);

/* --- for offer.c and answer.c: */

/* Has it what each needs, and nothing too long? 0, or negative with error, which is reset. */
int calls_check_request(const struct call_request *request, struct call_error *error);
/* Of all that is said in it: the same again has the same one. */
uint64_t calls_print(const struct calls *calls, const struct call_request *request);

/*
 * Zeroed memory for the length of a request. The same block serves one request after the other:
 * blocks of this size that came and went would leave the heap in pieces. NULL without memory.
 */
void *calls_borrow(struct calls *calls, size_t size);
/* Wipes it; it was borrowed with this size. Accepts NULL. */
void calls_give_back(struct calls *calls, void *memory, size_t size);

/*
 * How many calls have this Call-ID. Whoever calls chooses it: with as many as the table takes, each
 * search would go through all of them.
 */
size_t calls_count_id(const struct calls *calls, const char *call_id);
enum { CALLS_OF_ONE_ID = 16 };

/* Fills in error. Returns code. */
int calls_refuse(struct call_error *error, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* A new call, without parties. NULL: no room or no memory. */
struct call *calls_add(struct calls *calls, const char *call_id, uint64_t wall_us, uint64_t now_us);
/* Something of it is committed: from now on it is more than an offer. */
void calls_set_answered(struct calls *calls, struct call *call);
/* Its SAs stay. */
void calls_remove(struct calls *calls, struct call *call);
/* How many SAs it may need yet. */
void calls_reserve(struct calls *calls, struct call *call, size_t count);
/* Deletes the SAs of a party, from this m= line on. */
void calls_drop_lines(struct calls *calls, struct call_party *party, unsigned from,
                      uint64_t now_us);

#endif
