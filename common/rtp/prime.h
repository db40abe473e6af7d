/*
 * RTP': the SSRC of the sender in network order, then the (S)RTP or (S)RTCP packet as it is.
 * Nothing in the octets tells RTP' from RTP, since an outer SSRC may look like the beginning of an
 * RTP header: who sends decides.
 */
#ifndef COMMON_RTP_PRIME_H
#define COMMON_RTP_PRIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PRIME_OCTETS = 4 };

/*
 * Sets *outer to the outer SSRC; the packet, one octet or more, is at data + PRIME_OCTETS. False,
 * and *outer 0, where no packet follows.
 */
bool prime_read(const uint8_t *data, size_t length, uint32_t *outer);
/* Writes what goes in front of the packet. */
void prime_write(uint8_t head[PRIME_OCTETS], uint32_t outer);

#endif
