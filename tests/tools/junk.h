/* Datagrams that no media port may take or answer. */
#ifndef TESTS_TOOLS_JUNK_H
#define TESTS_TOOLS_JUNK_H

#include <stddef.h>
#include <stdint.h>

enum { JUNK_MAX_OCTETS = 1400 };

/* The nth of the list; its length is 0 to JUNK_MAX_OCTETS. */
size_t junk_make(size_t n, uint8_t out[JUNK_MAX_OCTETS]);
size_t junk_count(void);

#endif
