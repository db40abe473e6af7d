/* The crypto suites of a=crypto lines (RFC 4568, RFC 6188, RFC 7714). */
#ifndef COMMON_SRTP_SUITE_H
#define COMMON_SRTP_SUITE_H

#include <stdbool.h>
#include <stddef.h>

enum suite_id {
    SUITE_AES_CM_128_HMAC_SHA1_80,
    SUITE_AES_CM_128_HMAC_SHA1_32,
    SUITE_AES_256_CM_HMAC_SHA1_80,
    SUITE_AEAD_AES_128_GCM,
    SUITE_AEAD_AES_256_GCM,
    SUITE_COUNT
};

enum { SUITE_KEY_MAX_OCTETS = 32 + 14 };

struct suite {
    enum suite_id id;
    const char *name;   /* "AES_CM_128_HMAC_SHA1_80" */
    size_t key_octets;  /* master key */
    size_t salt_octets; /* master salt */
    size_t rtp_tag_octets;
    size_t rtcp_tag_octets;
    bool aead;
};

/* Constant; NULL for an unknown name. Letter case counts, as in RFC 4568. */
const struct suite *suite_find(const char *name);
const struct suite *suite_get(enum suite_id id);
/* All names in one line, for error messages. */
const char *suite_names(void);

static inline size_t suite_material_octets(const struct suite *suite)
{
    return suite->key_octets + suite->salt_octets;
}

#endif
