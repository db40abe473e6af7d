/* The SDP of calls: what of it can be relayed, and how it is shown to the other party. */
#ifndef INNER_RELAY_CALLSDP_H
#define INNER_RELAY_CALLSDP_H

#include <stdbool.h>
#include <stdint.h>

#include "inner-relay/calls.h"
#include "inner-relay/sdp.h"

/* Is it a line that goes through the relay? */
bool callsdp_is_media(const struct sdp_media *media);
/* Does it say that no media, or only one way, is expected? */
bool callsdp_is_held(const struct sdp_media *media);
/* The first a=crypto line that can be used; NULL: none. */
const struct sdes *callsdp_usable(const struct sdp_media *media);
/* Of the first line that is media and has an address; 0: none. */
uint8_t callsdp_family(const struct sdp *sdp);
/* For display: what the line is, and what becomes of its media; direct: the SDP is left alone. */
enum call_kind callsdp_kind(const struct sdp_media *media);
enum call_way callsdp_way(const struct sdp_media *media, bool direct);
/* How many SAs an SDP may come to. */
size_t callsdp_sas(const struct sdp *sdp);

/* Does an address of it belong to a [peer], or is it our own outside? */
bool callsdp_is_peer(const struct calls *calls, unsigned link, const struct sdp *sdp);
/* Does it show our own address: has this relay written it? */
bool callsdp_is_own(const struct calls *calls, unsigned link, const struct sdp *sdp);

/* Can all of its lines be relayed for a party of that side? 0, or negative with error. */
int callsdp_check(const struct calls *calls, unsigned link, enum sa_side side,
                  const struct sdp *sdp, struct call_error *error);
/* Reads it; 0, or negative with error. *sdp points into the request. */
int callsdp_read(const struct call_request *request, struct sdp *sdp, struct call_error *error);

/* To whom an SDP is shown. */
struct callsdp_view {
    enum sa_side side;
    uint8_t family;           /* 0: as it is, if possible */
    bool must;                /* this family and no other */
    bool direct;              /* untouched */
    const bool *mux;          /* of each line: agreed on; NULL: of none */
    const uint32_t *assigned; /* of each line, 0: none */
};
/* Fills in the reply. 0, or negative with error. */
int callsdp_show(const struct calls *calls, unsigned link, const struct callsdp_view *view,
                 const struct call_request *request, const struct sdp *sdp,
                 struct call_reply *reply, struct call_error *error);

#endif
