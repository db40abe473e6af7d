/*
 * SDP security descriptions: what stands behind "a=crypto:" (RFC 4568). A line that cannot be used
 * is read as well, with the reason: the next one that is offered may do.
 */
#ifndef COMMON_SRTP_SDES_H
#define COMMON_SRTP_SDES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/srtp/srtp.h"

/* What stands behind "inline:", in its parts. key points into the text, in base64. */
struct sdes_inline {
    const char *key;
    size_t key_length;
    uint64_t lifetime; /* packets; 0: not said */
    size_t mki_length; /* octets; 0: none */
    uint8_t mki[SRTP_MKI_MAX_OCTETS];
};

/* What is wrong with it. */
enum sdes_wrong {
    SDES_RIGHT,
    SDES_WRONG_LIFETIME,
    SDES_WRONG_MKI,
    SDES_TWO_LIFETIMES,
    SDES_TWO_MKIS,
};

/* One a=crypto line. It has a key: whoever holds it wipes it. */
struct sdes {
    uint32_t tag;              /* up to nine digits: it names the line in the answer */
    const struct suite *suite; /* NULL: unknown */
    struct srtp_key key;       /* master; of the kind NONE where the line is unusable */
    bool unencrypted;          /* UNENCRYPTED_SRTP: packets are authenticated only */
    const char *unusable;      /* constant: why; NULL: it can be used */
};

/*
 * "KEY", "KEY|2^31", "KEY|1:4" or "KEY|2^31|1:4" (RFC 4568 section 6.1). KEY is not looked at.
 * *out is as far as it could be read.
 */
enum sdes_wrong sdes_read_inline(const char *text, size_t length, struct sdes_inline *out);

/* text begins behind "a=crypto:". 0, or ERR_INVALID where there is no tag to know the line by. */
int sdes_read(const char *text, size_t length, struct sdes *out);

#endif
