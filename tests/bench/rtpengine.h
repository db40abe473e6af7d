/*
 * Calls at a running rtpengine, by its ng protocol: the bench compares the pair with it.
 */
#ifndef TESTS_BENCH_RTPENGINE_H
#define TESTS_BENCH_RTPENGINE_H

#include "common/base/addr.h"

/* Each ends the program with a message when it fails. */
int rtpengine_open(const struct addr *ng);
/*
 * Call n, from a sender at from to a receiver at to: with a key (base64) it is SRTP that rtpengine
 * verifies and decrypts; with NULL it is passed through. Returns where the sender has to send to.
 */
struct addr rtpengine_call(int fd, unsigned n, const struct addr *from, const struct addr *to,
                           const char *suite, const char *key);
void rtpengine_end(int fd, unsigned n);

#endif
