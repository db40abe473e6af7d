/* What relayctl may ask of the inner-relay about calls; rows of relay_commands. ctx: the daemon. */
#ifndef INNER_RELAY_CALLCOMMANDS_H
#define INNER_RELAY_CALLCOMMANDS_H

#include <jansson.h>

struct calls;

/* "call-list": a page, as that of "sa-list". */
json_t *callcommands_list(void *ctx, const json_t *request);
/* "call-show": all calls with this Call-ID, or those of them that have this tag. */
json_t *callcommands_show(void *ctx, const json_t *request);
/* "call-end": one call, with its SAs. */
json_t *callcommands_end(void *ctx, const json_t *request);
/* "explain" with call_id: what there is to say of each such call, and the SAs to explain. */
json_t *callcommands_explain(void *ctx, const json_t *request);

/* Adds how many calls there are to "status", and to the counters of "stats". calls may be NULL. */
void callcommands_add_status(json_t *status, const struct calls *calls);
void callcommands_add_counters(json_t *counters, const struct calls *calls);

#endif
