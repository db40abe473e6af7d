/*
 * The SA table beside a list that is searched from end to end: a program of octets inserts,
 * removes and changes SAs in both, and after each step everything that can be asked must have the
 * same answer.
 */
#ifndef TESTS_UNIT_TABLEMODEL_H
#define TESTS_UNIT_TABLEMODEL_H

#include <stddef.h>
#include <stdint.h>

/* What differed first, or NULL. Aborts without memory. */
const char *tablemodel_run(const uint8_t *program, size_t length);

#endif
