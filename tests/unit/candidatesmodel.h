/*
 * The groups of candidates beside a list of SAs that is searched from end to end: a program of
 * octets adds, changes and removes SAs, and after each step every group must have the SAs whose
 * fields say so, and a search must come to all of them.
 */
#ifndef TESTS_UNIT_CANDIDATESMODEL_H
#define TESTS_UNIT_CANDIDATESMODEL_H

#include <stddef.h>
#include <stdint.h>

/* What differed first, or NULL. Aborts without memory. */
const char *candidatesmodel_run(const uint8_t *program, size_t length);

#endif
