/* What every unit test program shares: running its suite, and test vectors in hex. */
#ifndef TESTS_UNIT_UNIT_H
#define TESTS_UNIT_UNIT_H

#include <check.h>
/*
 * libcheck writes a record to a file at every assertion that holds, to know the last one before a
 * crash. Tests that look at every octet would spend nine tenths of their time there, and under
 * valgrind minutes; a sanitizer or a core file names the line of a crash as well.
 */
#define _mark_point(file, line) ((void)0)

#include <stddef.h>
#include <stdint.h>

/*
 * Runs the suite and returns main()'s result. Under CK_FORK=no (valgrind) all
 * tests run in this process.
 */
int unit_run(Suite *suite);
/* How often a random test goes round: full, or a tenth where $UNIT_SHORT is set (valgrind). */
unsigned unit_rounds(unsigned full);
/* Writes the octets of a hex string (blanks are skipped), returns how many; aborts on bad hex. */
size_t unit_hex(const char *hex, uint8_t *out, size_t size);

#endif
