/* The system's random source, and wiping of secrets. */
#ifndef COMMON_BASE_RANDOM_H
#define COMMON_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* Never fails: without a random source the program cannot go on, and aborts. */
void random_bytes(void *out, size_t length);
uint32_t random_u32(void);
uint64_t random_u64(void);
/* Evenly from 0 to below - 1; below must not be 0. */
uint32_t random_below(uint32_t below);

/* Overwrites memory in a way that the compiler keeps. */
void wipe(void *memory, size_t length);

#endif
