/* RTCP compounds (RFC 3550 section 6.1). */
#ifndef COMMON_RTP_RTCP_H
#define COMMON_RTP_RTCP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * True when the lengths of the RTCP packets add up to exactly the datagram, as
 * in plain RTCP: SRTCP has an index and a tag behind them (RFC 3711 section
 * 3.4), and everything after its first eight octets may be ciphertext.
 */
bool rtcp_is_plain(const uint8_t *packet, size_t length);

#endif
