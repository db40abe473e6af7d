/* Payloads that are not encrypted, as far as they show it. */
#ifndef COMMON_RTP_PLAIN_H
#define COMMON_RTP_PLAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * In ciphertext, the first bit of one octet differs from that of the next as often as not. In G.711
 * it is the sign of a sample, and in speech and silence that changes seldom. Other codecs mostly
 * look like ciphertext; one packet of ciphertext in 35 million looks like this. False for less than
 * PLAIN_OCTETS.
 */
enum { PLAIN_OCTETS = 128 };
bool plain_looks_so(const uint8_t *payload, size_t length);

#endif
