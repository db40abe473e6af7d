/*
 * The commands of the ng protocol, by which SIP proxies command calls: a request's octets in, a
 * reply's octets out. No socket, no clock, no event loop.
 */
#ifndef INNER_RELAY_NG_H
#define INNER_RELAY_NG_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/addr.h"
#include "inner-relay/calls.h"
#include "inner-relay/inner.h"

struct ng;

/* In the order of their table. OTHER: an unknown one, or a request that cannot be read. */
enum ng_command {
    NG_PING,
    NG_OFFER,
    NG_ANSWER,
    NG_DELETE,
    NG_QUERY,
    NG_LIST,
    NG_STATISTICS,
    NG_OTHER,
    NG_COMMAND_COUNT
};

/* Who asks: at a UDP socket, where a request has a cookie, or on a stream, where it has none. */
struct ng_asker {
    unsigned socket; /* its number */
    bool stream;
    struct addr from; /* not of a stream */
};

struct ng_counts {
    uint64_t requests[NG_COMMAND_COUNT]; /* carried out, with or without success */
    uint64_t errors, load_limit;         /* of them */
    uint64_t repeats;                    /* answered with the reply of the first one */
    uint64_t dropped;                    /* datagrams without a cookie */
};

/* Both must outlive it. NULL without memory. */
struct ng *ng_new(struct inner *inner, struct calls *calls, uint64_t now_us);
/* Accepts NULL. */
void ng_free(struct ng *ng);
/*
 * The reply, on the heap: to be freed with ng_reply_free(). NULL: nothing is answered. wall_us is
 * the time since 1970.
 */
char *ng_answer(struct ng *ng, const struct ng_asker *asker, const char *request, size_t length,
                uint64_t wall_us, uint64_t now_us, size_t *reply_length);
/* Wipes it: there are keys in it. Accepts NULL. */
void ng_reply_free(char *reply, size_t length);
/* Once a second or so: lets go of what is kept for repeats; ng_work() goes on with it. */
void ng_tick(struct ng *ng, uint64_t now_us);
/* A piece of it. False: it is done. */
bool ng_work(struct ng *ng, uint64_t now_us);

const struct ng_counts *ng_counts(const struct ng *ng);
/* "offer"; of NG_OTHER "other". */
const char *ng_command_name(enum ng_command command);

#endif
