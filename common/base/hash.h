/*
 * SipHash-2-4: a keyed hash for tables whose keys a stranger can choose, and
 * the check sum of the state file.
 */
#ifndef COMMON_BASE_HASH_H
#define COMMON_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

struct hash_key {
    uint64_t k0, k1;
};

/* A key from the system's random source. */
struct hash_key hash_key_random(void);
uint64_t hash_bytes(const struct hash_key *key, const void *data, size_t length);

#endif
