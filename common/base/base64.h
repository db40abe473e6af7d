/* Base64 (RFC 4648 section 4), as a=crypto lines carry it (RFC 4568). */
#ifndef COMMON_BASE_BASE64_H
#define COMMON_BASE_BASE64_H

#include <stddef.h>
#include <stdint.h>

/*
 * Decodes text, with or without its padding. Returns the number of octets
 * written, ERR_INVALID for a character, a length or trailing bits that base64
 * never makes, ERR_TOO_LONG when more than size octets come out.
 */
int base64_decode(const char *text, uint8_t *out, size_t size);

/* Encodes with padding; out must hold 4 * ((length + 2) / 3) + 1 octets. */
void base64_encode(const uint8_t *data, size_t length, char *out);

#endif
