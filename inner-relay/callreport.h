/*
 * What `relayctl call` shows of calls, as JSON: who takes part, what each has said of its m= lines,
 * and what became of that. Keys and SDP never appear. Every function returns a new reference.
 */
#ifndef INNER_RELAY_CALLREPORT_H
#define INNER_RELAY_CALLREPORT_H

#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "inner-relay/calls.h"

/*
 * A row of `call list`. *looks, if not NULL, rises with the work that it took: by the number of m=
 * lines whose SAs were looked up.
 */
json_t *callreport_row(const struct calls *calls, const struct call *call, uint64_t now_us,
                       size_t *looks);
/*
 * The object of `call show`: the same and all that is known of parties, lines and offers. *lines is
 * how many m= lines may be in it, and falls by those that are: a line takes 10 us. Where they are
 * too many those of a party or of an offer are left out, and "cut" is true.
 */
json_t *callreport_full(struct calls *calls, const struct call *call, uint64_t now_us,
                        size_t *lines);

/* "offered", "answered", "held", "restored" */
const char *callreport_state(const struct call *call);
/* "audio"; of CALL_KIND_UNKNOWN "" */
const char *callreport_kind(enum call_kind kind);
/* How many offers wait for their first answer. */
unsigned callreport_waiting(const struct call *call);
/* A text of a proxy's, with '?' for octets that are no UTF-8; null where it is NULL or "". */
json_t *callreport_text(const char *text);
/* A list of the tags that tell this call from others with its Call-ID. */
json_t *callreport_tags(const struct call *call);

#endif
