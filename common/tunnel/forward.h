/*
 * The sockets of one [forward NAME] in the event loop: it listens, and each connection becomes a
 * stream; or it connects the streams of this name that the other side opens. A host name is looked
 * up off the loop. What it came to is used for FORWARD_FRESH_US, and longer while it is
 * looked up again; of several addresses the first that can be connected is taken.
 */
#ifndef COMMON_TUNNEL_FORWARD_H
#define COMMON_TUNNEL_FORWARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/addr.h"
#include "common/base/protocol.h"
#include "common/tunnel/proxyline.h"
#include "common/tunnel/streams.h"

struct ev_loop;
struct forward;

enum { FORWARD_HOST_SIZE = 256, FORWARD_FRESH_US = 30000000 };

struct forward_settings {
    char name[NAME_SIZE];
    struct addr listen;              /* family 0: it connects, to: */
    char to_host[FORWARD_HOST_SIZE]; /* a name, or a numeric address; "": it listens */
    uint16_t to_port;
    uint64_t fresh_us; /* for so long what a name came to is used without asking again */
    unsigned max_streams, max_half_open, max_per_client;
    uint64_t half_open_us, idle_us; /* idle_us 0: never */
    enum proxyline_version proxy;   /* what a connection to "to" begins with */
};

/* streams is that of its tunnel, and must live longer. Negative with a sentence in error. */
int forward_new(struct forward **out, struct ev_loop *loop, const struct forward_settings *settings,
                struct streams *streams, char *error, size_t error_size);
/* After streams_fini() only, which closes the connections. Accepts NULL. */
void forward_free(struct forward *forward);
const struct forward_settings *forward_settings(const struct forward *forward);
/* Where it listens, or connects to; out is returned. */
const char *forward_where(const struct forward *forward, char *out, size_t size);
/* What there is now, and what there was; lives as long as forward. */
const struct stream_forward *forward_streams(const struct forward *forward);

#endif
