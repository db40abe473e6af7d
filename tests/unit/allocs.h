/*
 * Counts what the whole process allocates, the libraries too: a program that has this file has its
 * malloc() and all its kin in here. Not for programs with threads.
 */
#ifndef TESTS_UNIT_ALLOCS_H
#define TESTS_UNIT_ALLOCS_H

#include <stdbool.h>
#include <stdint.h>

/* False under valgrind, whose malloc() stands in front: nothing is counted. */
bool allocs_are_seen(void);
/* From here on, from 0. */
void allocs_begin(void);
/* How many there were; counting ends. */
uint64_t allocs_end(void);

#endif
