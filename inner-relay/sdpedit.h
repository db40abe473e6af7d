/*
 * Changing SDP line by line: where the media of a call goes, and nothing else. Each octet of all
 * other lines stays, a=crypto above all: keys are agreed on end to end.
 */
#ifndef INNER_RELAY_SDPEDIT_H
#define INNER_RELAY_SDPEDIT_H

#include "inner-relay/sdp.h"

/* The line that tells a client the SSRC it is to send under, at the end of its m= section. */
#define SDP_ASSIGNED_SSRC "media-relay-ssrc"

struct sdp_line_edit {
    bool touch;             /* of no effect where the line is not RTP, or its port is 0 */
    struct addr rtp;        /* what the line shows from now on, with the port */
    struct addr rtcp;       /* family 0: the RTP port, too (a=rtcp-mux) */
    uint32_t assigned_ssrc; /* 0: none */
};

struct sdp_edit {
    bool origin; /* o= shows address, too */
    /*
     * The session's c= shows address, too, and m= lines without a c= of their own that show the
     * same one need none. Otherwise, and where an untouched line relies on the session's c=, that
     * one stays, and each touched line has its own.
     */
    bool session_connection;
    bool ice_remove; /* of the session and the touched lines: a=candidate, a=ice-* and the like */
    struct addr address; /* family 0: that of the first touched line */
    struct sdp_line_edit line[SDP_MEDIA_MAX];
};

/*
 * The SDP with these changes, in memory that the caller frees, terminated by an octet 0 that
 * *length does not count; NULL without memory. With nothing to touch and no origin it is what was
 * read, octet for octet. An address 0.0.0.0 or :: (hold) stays.
 */
char *sdp_edit(const struct sdp *sdp, const struct sdp_edit *edit, size_t *length);

#endif
