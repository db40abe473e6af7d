/* The command line. */
#ifndef RTP_PRIME_SETUP_H
#define RTP_PRIME_SETUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/base/addr.h"

enum { SETUP_EXIT_CLEAN = 0, SETUP_EXIT_FAILED = 1, SETUP_EXIT_USAGE = 2 };

enum setup_action { SETUP_RUN, SETUP_HELP, SETUP_VERSION };

/* RTCP is at the next port of each address, without mux. */
struct setup {
    enum setup_action action;
    struct addr listen; /* where the client sends to */
    struct addr relay;
    struct addr from;   /* what the relay sees */
    struct addr client; /* family 0: any; port 0: where it sends from */
    bool mux;
    bool ssrc_given;
    uint32_t ssrc;
    unsigned dscp;
    unsigned keepalive_s; /* 0: none */
};

/* 0, or negative with a sentence in error: what is wrong, and what would be right. */
int setup_read(struct setup *setup, int argc, char **argv, char *error, size_t error_size);
void setup_print_help(FILE *to);

/* The address that RTCP of this RTP address has. */
struct addr setup_rtcp(const struct setup *setup, const struct addr *rtp);

#endif
