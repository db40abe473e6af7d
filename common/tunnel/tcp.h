/*
 * The kernel's TCP under a tunnel connection: what is asked of it, and what it refuses.
 */
#ifndef COMMON_TUNNEL_TCP_H
#define COMMON_TUNNEL_TCP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a kernel may refuse: too old, or no privilege. */
enum tcp_option {
    TCP_OPTION_BBR,
    TCP_OPTION_NODELAY,
    TCP_OPTION_NOTSENT_LOWAT,
    TCP_OPTION_USER_TIMEOUT,
    TCP_OPTION_RTO_MIN,
    TCP_OPTION_RTO_MAX,
    TCP_OPTION_DELACK_MAX,
    TCP_OPTIONS,
};

/* As relayctl shows it. */
const char *tcp_option_name(enum tcp_option option);

/* Sets all of them and the DSCP. Returns those refused: bit n is option n. */
unsigned tcp_set_options(int fd, unsigned dscp);

/* The congestion control algorithm that the kernel runs, or "unknown"; at most size octets. */
void tcp_congestion(int fd, char *out, size_t size);

#endif
