/*
 * The sockets and the event loop: two UDP ports towards the client, two towards the relay, one of
 * each with mux. Nothing is allocated once it is open.
 */
#ifndef RTP_PRIME_PROXY_H
#define RTP_PRIME_PROXY_H

#include <stddef.h>
#include <stdio.h>

#include "rtp-prime/setup.h"

struct ev_loop;
struct proxy;

/*
 * Opens all ports; packets are taken from the next turn of the loop on. setup must outlive it.
 * Negative with a sentence in error.
 */
int proxy_open(struct proxy **proxy, struct ev_loop *loop, const struct setup *setup, char *error,
               size_t error_size);
/* Accepts NULL. */
void proxy_close(struct proxy *proxy);

/* A line per place that receives packets, and one of the keepalives. */
void proxy_print(const struct proxy *proxy, FILE *to);

#endif
