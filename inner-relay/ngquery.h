/* What the ng protocol's query says of a call: its times, parties, SSRCs, and what was counted. */
#ifndef INNER_RELAY_NGQUERY_H
#define INNER_RELAY_NGQUERY_H

#include "inner-relay/call.h"
#include "inner-relay/inner.h"

struct json_t;

/*
 * Adds created, last signal, tags, SSRC and totals to reply. Packets are those that verified at the
 * inner-relay, those of a hairpin those that the dmz-relay last reported. 0 or ERR_NOMEM.
 */
int ngquery_call(struct inner *inner, const struct call *call, struct json_t *reply);

#endif
