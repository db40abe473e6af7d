/*
 * A TLS 1.3 connection of this process with itself, over TCP on loopback: AES-128-GCM, as the
 * tunnel has it, with read-ahead.
 */
#ifndef TESTS_BENCH_TLSPAIR_H
#define TESTS_BENCH_TLSPAIR_H

#include <openssl/ssl.h>

/* Both ends, whose calls wait. Ends the program with status 1 when it cannot be had. */
void tlspair_open(SSL *tls[2]);

#endif
