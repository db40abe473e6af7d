#include "common/srtp/suite.h"

#include <string.h>

/* RFC 4568 section 6.2 (SRTCP keeps its 80-bit tag beside _32), RFC 6188, RFC 7714. */
static const struct suite suites[SUITE_COUNT] = {
    {SUITE_AES_CM_128_HMAC_SHA1_80, "AES_CM_128_HMAC_SHA1_80", 16, 14, 10, 10, false},
    {SUITE_AES_CM_128_HMAC_SHA1_32, "AES_CM_128_HMAC_SHA1_32", 16, 14, 4, 10, false},
    {SUITE_AES_256_CM_HMAC_SHA1_80, "AES_256_CM_HMAC_SHA1_80", 32, 14, 10, 10, false},
    {SUITE_AEAD_AES_128_GCM, "AEAD_AES_128_GCM", 16, 12, 16, 16, true},
    {SUITE_AEAD_AES_256_GCM, "AEAD_AES_256_GCM", 32, 12, 16, 16, true},
};

const struct suite *suite_find(const char *name)
{
    for (unsigned i = 0; i < SUITE_COUNT; i++) {
        if (strcmp(suites[i].name, name) == 0)
            return &suites[i];
    }
    return NULL;
}

const struct suite *suite_get(enum suite_id id)
{
    return (unsigned)id < SUITE_COUNT ? &suites[id] : NULL;
}

const char *suite_names(void)
{
    return "AES_CM_128_HMAC_SHA1_80, AES_CM_128_HMAC_SHA1_32, AES_256_CM_HMAC_SHA1_80, "
           "AEAD_AES_128_GCM, AEAD_AES_256_GCM";
}
