/* What every unit test program shares: running its suite, and test vectors in hex. */
#ifndef TESTS_UNIT_UNIT_H
#define TESTS_UNIT_UNIT_H

#include <check.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Runs the suite and returns main()'s result. Under CK_FORK=no (valgrind) all
 * tests run in this process.
 */
int unit_run(Suite *suite);
/* Writes the octets of a hex string (blanks are skipped) and returns how many; aborts on bad hex. */
size_t unit_hex(const char *hex, uint8_t *out, size_t size);

#endif
