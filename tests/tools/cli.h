/*
 * What the command lines of the test tools share. Each function that reads an
 * option's text ends the program with a message and status 2 when it is wrong.
 */
#ifndef TESTS_TOOLS_CLI_H
#define TESTS_TOOLS_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/addr.h"
#include "common/srtp/suite.h"

enum { CLI_USAGE = 2 };

/* A suite and its key; streams after the first may have keys derived from it. */
struct cli_key {
    const struct suite *suite;
    uint8_t material[SUITE_KEY_MAX_OCTETS];
    bool derive;
};

_Noreturn void cli_die(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Decimal, or hexadecimal with 0x. */
uint64_t cli_number(const char *option, const char *text, uint64_t min, uint64_t max);
double cli_real(const char *option, const char *text, double min, double max);
struct addr cli_addr(const char *option, const char *text);
/* suite NULL: AES_CM_128_HMAC_SHA1_80. */
void cli_key(struct cli_key *key, const char *suite, const char *base64);
/*
 * The key of stream n: the key itself, or with derive the one whose last four octets of the master
 * key are XORed with n in network order.
 */
void cli_key_of(const struct cli_key *key, uint32_t n, uint8_t material[SUITE_KEY_MAX_OCTETS]);
/* As many open files as the system allows this process. */
void cli_raise_files(void);
/* A UDP socket bound to this address; 4 MiB of buffers asked for. Ends the program with status 1
 * when it cannot be had. */
int cli_socket(const struct addr *local);

#endif
