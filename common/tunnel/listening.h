/*
 * A TCP socket that listens in the event loop: of the tunnel, and of a [forward NAME]. What is
 * accepted is its owner's business.
 */
#ifndef COMMON_TUNNEL_LISTENING_H
#define COMMON_TUNNEL_LISTENING_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/base/addr.h"

struct listening_hooks {
    /* fd does not block and is the owner's, who must not stop listening from within. */
    void (*accepted)(void *ctx, int fd, const struct addr *client);
    /* May there be a line in the log? Who connects need not be who may. */
    bool (*may_log)(void *ctx);
};

struct listening {
    struct ev_loop *loop;
    const char *section;
    const struct listening_hooks *hooks;
    void *ctx;
    ev_io io;
    ev_timer pause;
    int fd;
};

/*
 * A socket that listens at local; section ("[tunnel]") is what messages name. ERR_SYSTEM with a
 * sentence in error.
 */
int listening_open(const struct addr *local, const char *section, char *error, size_t error_size);
/* Takes fd over; section, hooks and ctx must live until listening_stop(). */
void listening_start(struct listening *listening, struct ev_loop *loop, int fd, const char *section,
                     const struct listening_hooks *hooks, void *ctx);
/* Closes the socket. */
void listening_stop(struct listening *listening);

#endif
