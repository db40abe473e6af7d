/*
 * The sockets of one [forward NAME] in the event loop: it listens, and each connection becomes a
 * stream; or it connects the streams of this name that the other side opens.
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

struct forward_settings {
    char name[NAME_SIZE];
    struct addr listen, to; /* one of the two has family 0 */
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
/* What there is now, and what there was; lives as long as forward. */
const struct stream_forward *forward_streams(const struct forward *forward);

#endif
