/*
 * Reading SDP (RFC 4566, RFC 8866): what a relay has to know of an offer or an answer. What it has
 * no use for is passed over, and stays as it is: sdpedit.h changes the lines that have to change.
 */
#ifndef INNER_RELAY_SDP_H
#define INNER_RELAY_SDP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/addr.h"
#include "common/base/words.h"
#include "common/srtp/sdes.h"

enum {
    SDP_MAX_OCTETS = 65535,
    SDP_LINES_MAX = 2000,    /* so that none keeps the event loop for long */
    SDP_MEDIA_MAX = 16,      /* m= lines */
    SDP_CRYPTO_OFFERED = 24, /* a=crypto of one m= line, */
    SDP_CRYPTO_MAX = 8,      /* of which so many are kept */
    SDP_SSRC_MAX = 8,        /* distinct SSRCs of one m= line */
    SDP_ERROR_SIZE = 160
};

enum sdp_direction { SDP_SENDRECV, SDP_SENDONLY, SDP_RECVONLY, SDP_INACTIVE };

/* An m= line, and what is said of it up to the next one. */
struct sdp_media {
    struct words kind;  /* "audio" */
    struct words proto; /* "RTP/SAVP" */
    unsigned line;      /* its number in the text, from 1 */
    uint16_t port;      /* 0: rejected or disabled */
    bool rtp;           /* RTP over UDP: RTP/..., UDP/TLS/RTP/... */
    /*
     * What follows is read of lines that are RTP and whose port is not 0, no others; and no others
     * are touched.
     */
    /*
     * As signalled, with the port. Family 0: a host name. RTCP: what a=rtcp says, with RTP's IP
     * address where it gives none; otherwise RTP's port + 1, family 0 where RTP has the last port.
     */
    struct addr rtp_addr, rtcp_addr;
    bool mux;                     /* a=rtcp-mux: offered in an offer, agreed on in an answer */
    bool held;                    /* the address is 0.0.0.0 or ::, or the direction inactive */
    enum sdp_direction direction; /* the line's or the session's: seen from who wrote the SDP */
    bool dtls;                    /* a=fingerprint, or the profile says so */
    bool ice;                     /* a=candidate or a=ice-ufrag */
    /*
     * In the text's order, usable or not, each with its reason. Of more than SDP_CRYPTO_MAX the
     * usable ones are kept.
     */
    unsigned crypto_count;
    struct sdes crypto[SDP_CRYPTO_MAX];
    unsigned ssrc_count; /* of a=ssrc, distinct ones: all that this party may send under */
    uint32_t ssrc[SDP_SSRC_MAX];
    /*
     * Octets per second, the greater one of b=AS and b=TIAS, the line's or the session's; 0: not
     * said. It is what this party wants to *receive* (RFC 3264 section 5.8).
     */
    uint32_t bandwidth;

    /* For the editor: where the line begins, where its section ends (behind its last line). */
    size_t begin, end;
    bool own_connection; /* it has a c= line of its own; known of each m= line */
};

/* It has keys: whoever holds it wipes it. About 35 KB. */
struct sdp {
    const char *text; /* the caller's */
    size_t length;
    struct addr connection; /* the session's c=; family 0: a host name, or none */
    bool has_connection;
    enum sdp_direction direction; /* the session's */
    bool bundle;                  /* a=group:BUNDLE with two m= lines or more (RFC 9143) */
    size_t session_end;           /* offset behind its last line */
    unsigned media_count;
    struct sdp_media media[SDP_MEDIA_MAX];
};

/*
 * Reads an offer or an answer, with LF or CRLF. text is kept, not copied: it must live as long as
 * *out is used. 0, or ERR_INVALID, ERR_TOO_LONG with an error such as "line 7: ..." that quotes
 * nothing.
 */
int sdp_read(struct sdp *out, const char *text, size_t length, char error[SDP_ERROR_SIZE]);

/* The a=crypto line with this tag; NULL: none. */
const struct sdes *sdp_crypto(const struct sdp_media *media, uint32_t tag);

/* Is it 0.0.0.0 or ::, which shows hold? */
bool sdp_addr_is_any(const struct addr *addr);

/* Where a line is: offsets of its first octet, of its LF or CRLF, and of what comes after that. */
struct sdp_line {
    size_t begin, end, next;
};
/* The line at *offset, which moves to the next one; false at the end. */
bool sdp_next_line(const char *text, size_t length, size_t *offset, struct sdp_line *line);

/* Is it "a=NAME", alone or with ":" and a value behind it? line has no end of line. */
bool sdp_is_attribute(const struct words *line, const char *name);

#endif
