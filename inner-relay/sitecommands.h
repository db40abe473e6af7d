/* What relayctl may ask of the inner-relay about calls between sites. ctx: the daemon. */
#ifndef INNER_RELAY_SITECOMMANDS_H
#define INNER_RELAY_SITECOMMANDS_H

#include <stdbool.h>

#include <jansson.h>

struct call;
struct daemon;
struct relay;

/* "call-place": site, sdp; "call-answer": call_id, sdp; "call-refuse": call_id, reason. */
json_t *sitecommands_place(void *ctx, const json_t *request);
json_t *sitecommands_answer(void *ctx, const json_t *request);
json_t *sitecommands_refuse(void *ctx, const json_t *request);
/* "call-wait": the oldest call that rings and that nobody has got yet, or none. */
json_t *sitecommands_wait(void *ctx, const json_t *request);
/* "call-state": call_id. */
json_t *sitecommands_state(void *ctx, const json_t *request);

/* For "status": the sites and their sessions. */
json_t *sitecommands_report(const struct daemon *daemon);
/* Adds to a call what it is between sites; nothing where it is none. */
void sitecommands_add(json_t *row, const struct relay *relay, const struct call *call);
/* Ends it, and tells the other site. False: it is no call between sites. */
bool sitecommands_end(struct relay *relay, const struct call *call);

#endif
