/* A core of the inner-relay without sockets, for the tests of what lies around it. */
#ifndef TESTS_UNIT_CORE_H
#define TESTS_UNIT_CORE_H

#include <stdbool.h>
#include <stdint.h>

#include "inner-relay/admit.h"
#include "inner-relay/inner.h"

enum { CORE_DELETED_MAX = 64 };

struct core {
    struct inner inner;
    unsigned kicked[INNER_LINKS_MAX], changed; /* how often each hook was called */
    unsigned deleted_count;
    uint64_t deleted[CORE_DELETED_MAX]; /* ids */
    unsigned sent;
};

/* Once per program that makes SAs. */
bool core_start_engine(void);
void core_stop_engine(void);

/*
 * Two links, "east" and "west"; listeners "four" (IPv4) and "six" (IPv6);
 * internal are 10.0.0.0/8 and fd00::/8, external beside public ones 192.0.2.0/24
 * and 2001:db8::/32. False without memory.
 */
bool core_init(struct core *core, size_t max_sas);
void core_fini(struct core *core);
/* What the dmz-relay of this link said in HELLO-ACK: listeners "out4" and "out6". */
void core_introduce(struct core *core, unsigned link, uint32_t capacity, uint32_t quota);

/* A request that is right; each n has its own source, SSRC, key and receiver. */
void core_request(struct admit_request *request, unsigned n);
/* Admits it; NULL when it was refused. */
struct sa *core_add(struct core *core, const struct admit_request *request);

#endif
