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
/*
 * Where tests are slow (valgrind) or have run before, $MEDIA_RELAY_TEST_SHARE says how many percent
 * of the work are enough, 1 to 100; without it all of it is done. unit_rounds: how often a random
 * test goes round, at least once. unit_stride: the step of a loop over every bit, octet or length:
 * 1, then more, at most `most`; an odd one meets every bit of an octet.
 */
unsigned unit_rounds(unsigned full);
unsigned unit_stride(unsigned most);
/* Writes the octets of a hex string (blanks are skipped), returns how many; aborts on bad hex. */
size_t unit_hex(const char *hex, uint8_t *out, size_t size);

#endif
