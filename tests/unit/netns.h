/* Real connections in a network namespace of a child; left out where none may be made. */
#ifndef TESTS_UNIT_NETNS_H
#define TESTS_UNIT_NETNS_H

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "common/base/addr.h"

/*
 * Runs the body in a child of its own, so that nothing stays of the namespace, in which the
 * loopback is up. The test fails where the body has called _exit() with anything but 0.
 */
void netns_run(void (*body)(bool ip6), bool ip6);

/* In the child: says what was not as expected, and ends it. */
#define EXPECT(condition)                                                                          \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not so: %s (errno %d)\n", __FILE__, __LINE__, #condition,      \
                    errno);                                                                        \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

/* In the child: where a socket is; a socket of this type at any port of the loopback. */
struct addr netns_local_name(int fd);
int netns_bound(bool ip6, int type);

#endif
