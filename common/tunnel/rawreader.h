/*
 * Raw sockets in the event loop: the segments of this process's TCP connections, handed to the
 * connection that they belong to before the kernel has put them in order.
 */
#ifndef COMMON_TUNNEL_RAWREADER_H
#define COMMON_TUNNEL_RAWREADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/addr.h"

struct ev_loop;
struct rawreader;
struct rawsocket;
struct segment;

struct rawreader_hooks {
    /* The data may be written to, and are gone afterwards. It must not end the client. */
    void (*segment)(void *ctx, struct segment *segment);
    /* After some segments: a batch is complete. Here the client may end. */
    void (*drained)(void *ctx);
    /*
     * The reader is about to be freed: from now on this is called in between, until the client is
     * removed or time is over; at_once: it is. NULL: the client's owner ends it before.
     */
    void (*hurry)(void *ctx, bool at_once);
};

/* Embedded in what reads early. */
struct rawreader_client {
    struct addr peer;
    uint16_t local_port;
    const struct rawreader_hooks *hooks;
    void *ctx;
    struct rawreader_client *next;
};

struct rawreader_counts {
    uint64_t received, malformed, overflows; /* of the raw sockets */
    uint64_t foreign;                        /* segments of no client */
};

/*
 * Opens a raw socket for each IP version that this host has, for segments to these local ports:
 * those with data, and what raw sockets acknowledge (rawsocket.h). Negative with a sentence in
 * error; ERR_FORBIDDEN without CAP_NET_RAW.
 */
int rawreader_new(struct rawreader **reader, const uint16_t *ports, size_t count, char *error,
                  size_t error_size);
/* Reads from now on; once. Callbacks come in this loop alone, which must outlive the reader. */
void rawreader_start(struct rawreader *reader, struct ev_loop *loop);
/*
 * All clients must have gone, but for those with the hook hurry(): they have a second, and it takes
 * as long as they need. Accepts NULL.
 */
void rawreader_free(struct rawreader *reader);
/* NULL: it was not started. */
struct ev_loop *rawreader_loop(const struct rawreader *reader);
/* The client is the caller's, and stays where it is until it is removed. */
void rawreader_add(struct rawreader *reader, struct rawreader_client *client);
void rawreader_remove(struct rawreader *reader, struct rawreader_client *client);
/* Queues a segment of ours; to be flushed. 0, or negative: it cannot be written (rawsocket.h). */
int rawreader_send(struct rawreader *reader, const struct segment *segment);
void rawreader_flush(struct rawreader *reader);
/* To send by; NULL where this host does not have the IP version (4 or 6). */
struct rawsocket *rawreader_socket(const struct rawreader *reader, uint8_t family);
struct rawreader_counts rawreader_counts(const struct rawreader *reader);

#endif
